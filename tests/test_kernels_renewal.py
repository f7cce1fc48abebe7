"""What the kernels of waiting promise: published curves, likelihoods that are integrals, quantiles that fit."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from scipy.optimize import approx_fprime

from crmlytics._kernels import renewal_log_logistic as log_logistic
from crmlytics._kernels.kaplan_meier import kaplan_meier
from crmlytics._kernels.renewal import LONGEST, Spells, WeibullGamma, _Likelihood, fit_weibull
from crmlytics._kernels.renewal_log_logistic import LogLogisticNormal, fit_log_logistic
from crmlytics.sequences._timing import effects, fit_renewal

# -- Kaplan and Meier ----------------------------------------------------------------------------------------------

# Weeks to relapse of 21 children on 6-MP (E. J. Freireich et al. 1963); negative: still in remission
WEEKS = [6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34, -35]
SURVIVAL = [0.857, 0.807, 0.753, 0.690, 0.627, 0.538, 0.448]
GREENWOOD = [0.0764, 0.0869, 0.0963, 0.1068, 0.1141, 0.1282, 0.1346]  # as in Kleinbaum and Klein, Survival Analysis


def one_group(weeks, **more):
    weeks = np.array(weeks)
    return kaplan_meier(np.abs(weeks), weeks > 0, np.zeros(len(weeks), np.int64), 1, **more)


def test_equals_the_published_curve_of_6_mp():
    curve = one_group(WEEKS)
    died = curve.ended > 0
    assert curve.time[died].tolist() == [6, 7, 10, 13, 16, 22, 23]
    assert curve.at_risk[died].tolist() == [21, 17, 15, 12, 11, 7, 6]
    assert curve.open[curve.time == 32].tolist() == [2]
    assert curve.survival[died] == pytest.approx(SURVIVAL, abs=5e-4)
    assert curve.survival[died] * np.sqrt(curve.variance[died]) == pytest.approx(GREENWOOD, abs=6e-5)
    low, high = curve.interval(stats.norm.ppf(0.975))
    assert (low[0], high[0]) == pytest.approx((0.620, 0.952), abs=5e-4)  # R, survfit(conf.type="log-log")
    assert (curve.median(), curve.median(low)) == (23, 13)
    assert np.isnan(curve.median(high)[0])
    steps = dict(zip([0, 6, 7, 10, 13, 16, 22, 23], [1, *curve.survival[died]], strict=True))
    area = sum(height * days for height, days in zip(steps.values(), [6, 1, 3, 3, 3, 6, 1, 7], strict=True))
    assert curve.restricted_mean(30)[0] == pytest.approx(area)


def test_a_curve_that_reaches_zero_has_no_interval_there():
    curve = one_group([3, 5])
    assert curve.survival.tolist() == [0.5, 0]
    assert np.isnan(curve.variance[1])
    assert [np.isnan(bound).tolist() for bound in curve.interval(1.96)] == [[False, True]] * 2
    assert curve.median().tolist() == [4]


def test_half_is_half_whatever_the_last_bit():
    assert one_group([1, 2, 3, 4, 5, 6]).median().tolist() == [3.5]  # 5/6 x 4/5 x 3/4 = 0.50000000000000011
    assert one_group(list(range(1, 51))).median().tolist() == [25.5]
    # as R's survfit has it: the middle of the time at one half, over what is cut off there, unless the curve ends so
    assert one_group([2, 3, -4, 8]).median().tolist() == [5.5]
    assert one_group([2, 3, -4, -8]).median().tolist() == [3]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=30))
def test_the_median_of_spells_that_all_ended_is_the_usual_one(weeks):
    assert one_group(weeks).median().tolist() == [np.median(weeks)]


spells = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 6), st.booleans(), st.integers(0, 3)), min_size=1, max_size=30
)


def plain_curve(rows, weight=None):
    """The product as it is written, and -ln of it, for one group of (time, ended) rows."""
    weight = np.ones(len(rows)) if weight is None else weight
    survival = {}
    alive = 1.0
    for day in sorted({time for time, _ in rows}):
        at_risk = sum(w for (time, _), w in zip(rows, weight, strict=True) if time >= day)
        ended = sum(w for (time, done), w in zip(rows, weight, strict=True) if time == day and done)
        alive *= 1 - ended / at_risk
        survival[day] = alive
    return survival


@given(spells)
def test_equals_the_product_written_out_for_many_groups(drawn):
    group, time, ended, _ = (np.array(column) for column in zip(*drawn, strict=True))
    curves = kaplan_meier(time, ended, group, 4)
    for g in range(4):
        rows = [(t, e) for k, t, e, _ in drawn if k == g]
        found = slice(curves.starts[g], curves.starts[g + 1])
        expected = plain_curve(rows)
        assert curves.time[found].tolist() == list(expected)
        assert curves.survival[found] == pytest.approx(list(expected.values()), abs=1e-12)
        assert (np.diff(curves.survival[found]) <= 0).all()
        assert (curves.survival[found] >= 0).all()
        left = curves.at_risk[found] - curves.ended[found]
        with np.errstate(all="ignore"):
            greenwood = np.cumsum(curves.ended[found] / (curves.at_risk[found] * left))
        lasting = curves.survival[found] > 0
        assert curves.variance[found][lasting] == pytest.approx(greenwood[lasting])


@given(spells)
def test_a_weight_of_three_is_three_spells(drawn):
    group, time, ended, weight = (np.array(column) for column in zip(*drawn, strict=True))
    one = kaplan_meier(time, ended, group, 3, weights=weight + 1.0)
    other = kaplan_meier(*(np.repeat(column, weight + 1) for column in (time, ended, group)), 3)
    assert one.survival == pytest.approx(other.survival, abs=1e-12)
    assert (one.at_risk.tolist(), one.ended.tolist()) == (other.at_risk.tolist(), other.ended.tolist())


@given(spells)
def test_the_variance_of_clusters_is_their_squared_influence_as_if_each_were_left_out(drawn):
    rows = [(t, e) for _, t, e, _ in drawn]
    cluster = np.array([c for *_, c in drawn])
    curve = kaplan_meier(
        np.array([t for t, _ in rows]),
        np.array([e for _, e in rows]),
        np.zeros(len(rows), np.int64),
        1,
        cluster=cluster,
    )
    lasting = curve.survival > 1e-9
    squares, step = np.zeros(len(curve.time)), 1e-6
    for c in np.unique(cluster):
        up, down = (
            np.array(list(plain_curve(rows, np.where(cluster == c, 1 + sign * step, 1.0)).values())) for sign in (1, -1)
        )
        with np.errstate(all="ignore"):
            squares += ((np.log(up) - np.log(down)) / (2 * step) / np.mean(cluster != c)) ** 2
    clusters = len(np.unique(cluster))
    expected = squares[lasting] * (clusters - 1) / clusters if clusters > 1 else np.full(lasting.sum(), np.nan)
    assert curve.variance[lasting] == pytest.approx(expected, rel=1e-5, abs=1e-8, nan_ok=True)


def test_one_cluster_a_spell_is_greenwood_and_one_cluster_says_nothing():
    alone, together = (
        one_group(WEEKS, cluster=cluster).variance for cluster in (np.arange(21), np.zeros(21, np.int64))
    )
    assert alone == pytest.approx(one_group(WEEKS).variance * 21 / 20)
    assert np.isnan(together).all()


# -- likelihoods ---------------------------------------------------------------------------------------------------

FEW = Spells(np.array([0, 0, 0, 1, 1, 3]), np.array([4.0, 9.0, 2.5, 30.0, 0.0, 12.0]),
             np.array([True, True, False, True, False, False]), 4)  # fmt: skip


def log_likelihood(theta):
    nodes = log_logistic.NODES, log_logistic.NODE_WEIGHTS
    return log_logistic._evaluate(*log_logistic._arrays(FEW), theta, *nodes)  # noqa: SLF001


def of_key(key):
    held = FEW.key == key
    return FEW.time[held], FEW.ended[held]


def test_the_weibull_likelihood_is_the_integral_over_rates():
    k, r, alpha = 1.4, 0.8, 25.0

    def density(rate, time, ended):
        hazard = np.where(ended, rate * k * np.maximum(time, 1e-300) ** (k - 1), 1.0)
        return np.prod(hazard) * np.exp(-rate * np.sum(time**k)) * stats.gamma.pdf(rate, r, scale=1 / alpha)

    expected = sum(np.log(integrate.quad(density, 0, np.inf, args=of_key(key))[0]) for key in (0, 1, 3))
    found = _Likelihood(FEW, 1.0)(np.array([k, r, alpha / r]))[0]
    assert found == pytest.approx(expected, rel=1e-6)


def test_the_log_logistic_likelihood_is_the_integral_over_medians():
    mu, sigma, tau = 2.0, 0.6, 0.9

    def density(m, time, ended):
        z = (np.log(np.maximum(time, 1e-300)) - m) / sigma
        values = np.where(ended, stats.logistic.pdf(z) / sigma, np.where(time > 0, stats.logistic.sf(z), 1.0))
        return np.prod(values) * stats.norm.pdf(m, mu, tau)

    theta = np.array([mu, sigma, tau])
    masses = [integrate.quad(density, -10, 14, args=of_key(key), limit=200)[0] for key in (0, 1, 3)]
    found, _ = log_likelihood(theta)
    assert found == pytest.approx(np.log(masses).sum(), abs=1e-5)
    mean, deviation = LogLogisticNormal(mu, sigma, tau, 0.0).posterior(FEW)
    for place, key in enumerate((0, 1, 3)):
        first, second = (
            integrate.quad(lambda m, p=power, k=key: m**p * density(m, *of_key(k)), -10, 14)[0] / masses[place]
            for power in (1, 2)
        )
        assert mean[key] == pytest.approx(first, abs=1e-4)
        assert deviation[key] == pytest.approx(np.sqrt(second - first**2), abs=1e-3)
    assert (mean[2], deviation[2]) == pytest.approx((mu, tau))  # without a spell: the population


def test_the_likelihood_of_a_wait_is_the_integral_where_keys_differ_much_more_than_their_intervals():
    mu, sigma, tau = 3.3, 0.075, 0.9
    waits = Spells(np.arange(3), np.array([10.0, 60.0, 300.0]), np.zeros(3, bool), 3)

    def density(m, power, log_time):
        return m**power * stats.norm.pdf(m, mu, tau) * stats.logistic.sf((log_time - m) / sigma)

    integrals = np.array([
        [integrate.quad(density, -6, 13, args=(power, at), points=[at - 0.5, at, at + 0.5], limit=400)[0]
         for power in range(3)] for at in np.log(waits.time)
    ])  # fmt: skip
    nodes = log_logistic.NODES, log_logistic.NODE_WEIGHTS
    theta = np.array([mu, sigma, tau])
    found, _ = log_logistic._evaluate(*log_logistic._arrays(waits), theta, *nodes)  # noqa: SLF001
    assert found == pytest.approx(np.log(integrals[:, 0]).sum(), abs=1e-6)
    mean, deviation = LogLogisticNormal(mu, sigma, tau, 0.0).posterior(waits)
    first, second = integrals[:, 1:].T / integrals[:, 0]
    assert mean == pytest.approx(first, abs=1e-5)
    assert deviation == pytest.approx(np.sqrt(second - first**2), abs=1e-5)


def test_gradients_equal_differences():
    likelihood = _Likelihood(FEW, 7.0)
    at = np.array([1.3, 0.7, 1.4])
    assert likelihood(at)[1] == pytest.approx(approx_fprime(at, lambda x: likelihood(x)[0], 1e-7), rel=1e-4)

    def in_logs(x):
        theta = np.array([x[0], np.exp(x[1]), np.exp(x[2])])
        return log_likelihood(theta)

    at = np.array([2.2, -0.6, -0.3])
    assert in_logs(at)[1] == pytest.approx(approx_fprime(at, lambda x: in_logs(x)[0], 1e-6), abs=2e-3)


def test_log_logistic_survival_is_the_integral():
    model = LogLogisticNormal(3.0, 0.5, 1.0, 0.0)
    found = model.survival((np.array([2.5]), np.array([0.4])), np.array([20.0]))
    integral = integrate.quad(
        lambda m: stats.norm.pdf(m, 2.5, 0.4) * stats.logistic.sf((np.log(20) - m) / 0.5), 0, 5, epsabs=1e-12
    )
    assert found == pytest.approx(integral[0], abs=1e-6)


def test_predictions_are_integrals_where_keys_differ_much_more_than_their_intervals():
    """With tau = 12 sigma the medians of a few nodes would lie farther apart than an interval varies: a staircase."""
    model = LogLogisticNormal(3.3, 0.075, 0.9, 0.0)
    days = np.arange(1.0, 400.0, 3)
    known = np.full(len(days), 3.3), np.full(len(days), 0.9)
    m = np.linspace(3.3 - 9 * 0.9, 3.3 + 9 * 0.9, 8_001)
    weight = stats.norm.pdf(m, 3.3, 0.9) * (m[1] - m[0])
    expected = np.array([weight @ stats.logistic.sf((np.log(day) - m) / 0.075) for day in days])
    survival = model.survival(known, days)
    assert survival == pytest.approx(expected, abs=1e-7)
    within = 1 - model.survival(known, days + 14) / survival
    assert (np.diff(within)[6:] < 0).all()  # the longer the silence, the less likely a purchase in a fortnight
    left = model.left(known, days, np.full(len(days), 0.5))
    assert model.survival(known, days + left) / survival == pytest.approx(np.full(len(days), 0.5), rel=1e-6)
    assert (np.diff(left)[6:] > 0).all()


def test_keys_of_which_little_is_known_do_not_change_the_others():
    model = LogLogisticNormal(3.0, 0.1, 1.0, 0.0)
    mean, deviation = np.array([2.0, 3.0, 2.5]), np.array([0.05, 1.0, 0.1])
    days = np.array([9.0, 20.0, 15.0])
    together = [model.survival((mean, deviation), days), model.left((mean, deviation), days, np.full(3, 0.3))]
    for key in range(3):
        alone = mean[key : key + 1], deviation[key : key + 1]
        day = days[key : key + 1]
        found = model.survival(alone, day)[0], model.left(alone, day, np.array([0.3]))[0]
        assert found == pytest.approx((together[0][key], together[1][key]), rel=1e-6)


@pytest.mark.parametrize(
    "model", [WeibullGamma(1.4, 2.5, 0.7, 30.0, 0.0), LogLogisticNormal(3.2, 0.4, 0.8, 0.0)], ids=["weibull", "other"]
)
def test_the_law_tells_the_medians_of_keys(model):
    rng = np.random.default_rng(1)
    if isinstance(model, WeibullGamma):
        rate = rng.gamma(model.r, 1 / (model.r * model.beta), 200_000)
        medians = model.scale * (np.log(2) / rate) ** (1 / model.k)
    else:
        medians = np.exp(rng.normal(model.mu, model.tau, 200_000))
    assert model.middle == pytest.approx(np.median(medians), rel=0.01)
    assert model.spread == pytest.approx(np.log(medians).std(), rel=0.01)


# -- what is predicted ---------------------------------------------------------------------------------------------

weibulls = st.builds(WeibullGamma, st.floats(0.05, 50), st.floats(1e-3, 1e4), st.floats(1e-3, 1e3),
                     st.floats(0.5, 1000), st.just(0.0))  # fmt: skip
log_logistics = st.builds(LogLogisticNormal, st.floats(-1, 9), st.floats(0.02, 50), st.floats(0.02, 50), st.just(0.0))
days = st.integers(1, 3000).map(float)


def too_steep(model, time):
    """Whether odds are cut off: medians that differ by a factor of exp(300 sigma)."""
    if isinstance(model, WeibullGamma):
        return False
    return np.log(time) + abs(model.mu) + log_logistic.REACH * model.tau > log_logistic.STEEP * model.sigma


@settings(max_examples=200)
@given(st.one_of(weibulls, log_logistics), st.lists(days, max_size=5), days, st.floats(0.01, 0.99))
def test_quantiles_undo_survival_everywhere(model, own, waited, share):
    spells = Spells(np.zeros(len(own), np.int64), np.array(own), np.ones(len(own), bool), 1)
    known = model.posterior(spells)
    now = np.array([waited])
    left, sooner = (model.left(known, now, np.array([part])) for part in (share, 1 - (1 - share) / 2))
    numbers = [*known, left, model.survival(known, now), model.typical(known)]
    assert np.isfinite(numbers).all()
    assert 0 <= sooner <= left <= LONGEST
    before, after = model.survival(known, now), model.survival(known, now + left)
    assert 0 <= after <= before <= 1
    if left / waited > 1e-6 and left < LONGEST and before > 1e-250 and not too_steep(model, waited + left):
        assert after / before == pytest.approx(share, rel=1e-4)


@given(weibulls, st.lists(days, min_size=1, max_size=5))
def test_the_usual_interval_lies_between_the_own_and_that_of_all(model, own):
    spells = Spells(np.zeros(len(own), np.int64), np.array(own), np.ones(len(own), bool), 2)
    with_own, of_all = model.typical(model.posterior(spells))
    alone = (np.log(2) * np.mean(np.array(own) ** model.k)) ** (1 / model.k) if max(own) ** model.k < 1e300 else None
    if alone is not None:
        assert min(alone, of_all) * (1 - 1e-9) <= with_own <= max(alone, of_all) * (1 + 1e-9)


def test_the_farthest_quantile_of_a_regular_key_is_no_overflow():
    model = WeibullGamma(49.0, 0.00390625, 1.0, 0.5, 0.0)
    known = np.array([model.r]), np.array([model.r])
    assert 0 < model.survival(known, np.array([LONGEST])) < 0.1  # (2 million)^49 is no number
    assert model.survival(known, np.array([0.0])) == 1


def test_more_intervals_outweigh_the_population():
    for model in (WeibullGamma(1.5, 2.0, 1.0, 30.0, 0.0), LogLogisticNormal(np.log(30), 0.4, 0.7, 0.0)):
        own = [np.array([7.0] * n) for n in (0, 1, 3, 30)]
        spells = Spells(np.repeat(range(4), [0, 1, 3, 30]), np.concatenate(own), np.ones(34, bool), 4)
        usual = model.typical(model.posterior(spells))
        assert (np.diff(usual) < 0).all()
        assert usual[0] > 3.0 * 7
        assert usual[3] == pytest.approx(7, rel=0.2)


# -- planted populations -------------------------------------------------------------------------------------------


def lived(draw_key, draw_interval, *, keys=1500, until=400, seed=0):
    """Spells of keys that are watched for some time, and the first interval after it."""
    rng = np.random.default_rng(seed)
    rows, nexts = [], []
    for key in range(keys):
        its, at = draw_key(rng), 0.0
        while at + (interval := draw_interval(rng, its)) <= until:
            rows.append((key, interval, True))
            at += interval
        rows.append((key, until - at, False))
        nexts.append((until - at, interval))
    key, time, ended = (np.array(column) for column in zip(*rows, strict=True))
    return Spells(key, time, ended, keys), np.array(nexts)


WEIBULL = (lambda rng: rng.gamma(2.5) / 2.5 * 30**-1.8, lambda rng, rate: (rng.exponential() / rate) ** (1 / 1.8))
LOG_LOGISTIC = (lambda rng: rng.normal(np.log(30), 0.6), lambda rng, m: np.exp(m + 0.35 * rng.logistic()))


def test_planted_parameters_are_found_and_the_family_is_told():
    spells, _ = lived(*WEIBULL)
    model = fit_renewal(spells, "auto")
    assert isinstance(model, WeibullGamma)
    assert (model.k, model.r) == pytest.approx((1.8, 2.5), rel=0.1)
    assert model.beta * model.scale**model.k == pytest.approx(30**1.8, rel=0.1)
    spells, _ = lived(*LOG_LOGISTIC)
    model = fit_renewal(spells, "auto")
    assert isinstance(model, LogLogisticNormal)
    assert (model.mu, model.sigma, model.tau) == pytest.approx((np.log(30), 0.35, 0.6), rel=0.06)
    assert model.log_likelihood > fit_weibull(spells).log_likelihood


@pytest.mark.parametrize(("law", "fit"), [(WEIBULL, fit_weibull), (LOG_LOGISTIC, fit_log_logistic)])
def test_intervals_hold_what_they_say_given_the_time_waited(law, fit):
    spells, nexts = lived(*law, seed=1)
    model = fit(spells)
    waited, interval = nexts.T
    known = model.posterior(spells.completed())
    low, middle, high = (model.left(known, waited, np.full(len(waited), share)) for share in (0.9, 0.5, 0.1))
    rest = interval - waited
    assert np.mean((low <= rest) & (rest <= high)) == pytest.approx(0.8, abs=0.03)
    assert np.mean(rest <= middle) == pytest.approx(0.5, abs=0.04)


def test_intervals_that_are_all_equal_are_no_trouble():
    spells = Spells(np.repeat(np.arange(20), 6), np.full(120, 7.0), np.tile([True] * 5 + [False], 20), 20)
    for family in ("weibull", "log-logistic"):
        model = fit_renewal(spells, family)
        known = model.posterior(spells.completed())
        assert model.typical(known) == pytest.approx(np.full(20, 7.0), rel=0.05)
        assert model.survival(known, np.full(20, 9.0)).max() < 0.01


def test_effects_of_two_groups_are_found_and_drawn_to_nothing():
    rng = np.random.default_rng(3)
    first, second = np.array([-0.8, 0.0, 0.8]), np.array([-0.4, 0.4])
    one, other = np.repeat([0, 1, 2], 300), np.tile([0, 1], 450)
    m = 3 + first[one] + second[other] + rng.normal(0, 0.3, 900)
    key = np.repeat(np.arange(900), 4)
    spells = Spells(key, np.exp(m[key] + 0.3 * rng.logistic(size=3600)), np.ones(3600, bool), 900)
    found, rest = effects(spells, one, other)
    assert found - found.mean() == pytest.approx(first, abs=0.08)
    assert rest - rest.mean() == pytest.approx(second, abs=0.08)
    assert np.ptp(found) < 1.6  # the planted difference


def test_the_effect_of_a_group_with_one_key_is_drawn_to_nothing_the_most():
    rng = np.random.default_rng(4)
    group = np.repeat(np.arange(61), [1, *[5] * 60])
    m = 3 + np.where(group % 2 == 0, 0.5, -0.5)
    key = np.repeat(np.arange(len(group)), 4)
    spells = Spells(key, np.exp(m[key] + 0.1 * rng.logistic(size=len(key))), np.ones(len(key), bool), len(group))
    (found,) = effects(spells, group)
    found = np.abs(found - 0.5 * (found[1] + found[2]))
    assert 0.1 < found[0] / found[2] < 0.6  # 1 key / (1 + 3) against 5 / (5 + 3)


# -- samples -------------------------------------------------------------------------------------------------------


def test_a_sample_keeps_whole_keys_where_there_are_many():
    spells = Spells(np.repeat(np.arange(20_000), 3), np.ones(60_000), np.tile([True, True, False], 20_000), 20_000)
    some, again = spells.sample(6_000), spells.sample(6_000)
    assert (some.keys, len(some.key)) == (2_000, 6_000)
    assert np.bincount(some.key).tolist() == [3] * 2_000
    assert some.key.tolist() == again.key.tolist()
    assert spells.sample(60_000) is spells


def test_a_sample_keeps_few_keys_and_takes_some_of_their_spells():
    spells = Spells(np.repeat(np.arange(10), 2_000), np.ones(20_000), np.tile([True, False], 10_000), 10)
    some = spells.sample(2_000)
    assert some.keys == 10
    assert len(some.key) == pytest.approx(2_000, rel=0.1)
    assert some.ended.mean() == pytest.approx(0.5, abs=0.05)
    rare = Spells(np.zeros(10_000, np.int64), np.ones(10_000), np.arange(10_000) == 77, 1)
    assert rare.sample(10).ended.any()
