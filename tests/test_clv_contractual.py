"""What the contractual models promise: published values, agreement with 50 digits, honest intervals, refusals."""

import calendar
import datetime as dt
import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.special import betaln
from sklearn.exceptions import NotFittedError

from crmlytics import Subscriptions
from crmlytics._kernels import contractual as kernel
from crmlytics.clv import BetaDiscreteWeibullModel, ShiftedBetaGeoModel, plot_retention, tenure_table
from crmlytics.clv._contractual_tables import read_renewals
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

MODELS = [ShiftedBetaGeoModel, BetaDiscreteWeibullModel]

# Fader & Hardie (2007), table 1: customers of 1,000 left after 0, 1, ..., 12 years
HIGH_END = [1000, 869, 743, 653, 593, 551, 517, 491, 468, 445, 427, 409, 394]
REGULAR = [1000, 631, 468, 382, 326, 289, 262, 241, 223, 207, 194, 183, 173]


def cohort(counts, **columns):
    return pd.DataFrame({"period": range(len(counts)), "customer_count": counts, **columns})


@pytest.fixture(scope="module")
def high_end():
    return ShiftedBetaGeoModel().fit(cohort(HIGH_END[:8]))


# --- kernels against arithmetic of 50 digits


def exact_log_moment(mp, n, a, b):
    n, a, b = mp.mpf(float(n)), mp.mpf(float(a)), mp.mpf(float(b))
    return mp.loggamma(a + n) - mp.loggamma(a) + mp.loggamma(a + b) - mp.loggamma(a + b + n)


@pytest.fixture(scope="module")
def mp():
    mpmath = pytest.importorskip("mpmath").mp.clone()
    mpmath.dps = 60
    return mpmath


anywhere = st.floats(-5, 6).map(lambda exponent: 10**exponent)
moderate = st.floats(-2, 2).map(lambda exponent: 10**exponent)
weibull = st.tuples(moderate, moderate, st.floats(0.2, 3))


@settings(max_examples=300)
@given(n=anywhere, a=anywhere, b=anywhere)
def test_moments_of_the_beta_distribution_do_not_cancel(mp, n, a, b):
    exact = exact_log_moment(mp, n, a, b)
    assert abs(float(kernel.log_beta_moment(n, a, b) / exact - 1)) < 1e-13


@settings(max_examples=60)
@given(params=weibull, period=st.integers(1, 400))
def test_survival_and_renewal_are_those_of_the_paper(mp, params, period):
    gamma, delta, c = (mp.mpf(value) for value in params)
    log_survival = [exact_log_moment(mp, mp.mpf(t) ** c, delta, gamma) for t in (period - 1, period)]
    ours = kernel.log_survival(np.array(params), np.array([period]))[0]
    assert ours == pytest.approx(float(log_survival[1]), rel=1e-12)
    ours = kernel.log_renewal_probability(np.array(params), np.array([period]))[0]
    assert ours == pytest.approx(float(log_survival[1] - log_survival[0]), rel=1e-11)


@given(gamma=anywhere, delta=anywhere, period=st.integers(1, 1000))
def test_without_duration_dependence_the_renewal_rate_is_a_ratio(gamma, delta, period):
    params = np.array([gamma, delta, 1.0])
    lost = -np.expm1(kernel.log_renewal_probability(params, np.array([period])))[0]
    assert lost == pytest.approx(gamma / (gamma + delta + period - 1), rel=1e-12)


def plain_log_likelihood(counts, gamma, delta, c):
    """As in the papers: customers lost in year t by S(t-1) - S(t), the others by S."""
    survival = [math.exp(betaln(gamma, delta + t**c) - betaln(gamma, delta)) for t in range(len(counts))]
    total = counts[-1] * math.log(survival[-1])
    for t in range(1, len(counts)):
        total += (counts[t - 1] - counts[t]) * math.log(survival[t - 1] - survival[t])
    return total


def objective(counts):
    counts = np.asarray(counts, dtype=float)
    return kernel.retention_objective(np.arange(1.0, len(counts)), counts[1:], counts[:-1] - counts[1:])


@pytest.mark.parametrize(("start", "value"), [(1.0, -2115.5), (0.01, -2741.7)])
def test_likelihood_has_the_values_that_the_paper_gives_for_starts(start, value):
    """Fader & Hardie (2007), appendix B."""
    assert objective(HIGH_END[:8])(np.array([start, start, 1.0]))[0] == pytest.approx(value, abs=0.05)


@settings(max_examples=60)
@given(params=weibull, lost=st.lists(st.integers(0, 30), min_size=1, max_size=12), left=st.integers(0, 50))
def test_likelihood_equals_the_plain_formula_and_its_gradient_the_differences(params, lost, left):
    counts = np.cumsum([left, *lost])[::-1].tolist()
    assume(counts[0] > 0)
    value = objective(counts)
    ours, gradient = value(np.array(params))
    try:
        theirs = plain_log_likelihood(counts, *params)
    except ValueError:  # log of a difference that cancelled to nothing
        theirs = None
    if theirs is not None and params[2] < 1.5:
        assert ours == pytest.approx(theirs, rel=1e-6, abs=1e-6)
    theta, h = np.log(params), 1e-3
    for j, step in enumerate(h * np.eye(3)):
        near = value(np.exp(theta + step))[0] - value(np.exp(theta - step))[0]
        far = value(np.exp(theta + 2 * step))[0] - value(np.exp(theta - 2 * step))[0]
        assert gradient[j] * params[j] == pytest.approx((8 * near - far) / (12 * h), rel=1e-6, abs=1e-6)


@pytest.mark.parametrize("gamma", [0.02, 0.7, 1.0, 30.0])
@pytest.mark.parametrize("delta", [0.05, 4.0, 500.0])
@pytest.mark.parametrize("rate", [1e-3, 0.1, 3.0])
def test_residual_lifetime_equals_the_hypergeometric_function(mp, gamma, delta, rate):
    """Fader & Hardie (2010), equation 6."""
    made = np.array([0.0, 3.0, 40.0])
    ours = kernel.expected_renewals(np.array([gamma, delta, 1.0]), made, horizon=np.inf, rate=rate)
    for n, value in zip(made, ours, strict=True):
        b = mp.mpf(delta) + n
        exact = b / (gamma + b) * mp.hyp2f1(1, b + 1, gamma + b + 1, 1 / (1 + mp.mpf(rate)))
        assert value == pytest.approx(float(exact), rel=1e-11)


@pytest.mark.parametrize("c", [0.3, 0.8, 1.6])
@pytest.mark.parametrize("gamma", [0.2, 1.5])
def test_residual_lifetime_with_duration_dependence_equals_the_sum(mp, gamma, c):
    def survival(t):
        return mp.exp(exact_log_moment(mp, mp.mpf(t) ** c, 2.0, gamma))

    params, rate = np.array([gamma, 2.0, c]), 0.05
    ours = kernel.expected_renewals(params, np.array([0.0, 5.0]), horizon=np.inf, rate=rate)
    for n, value in zip((0, 5), ours, strict=True):
        exact = mp.fsum(survival(n + j) / mp.mpf(1 + rate) ** (j - 1) for j in range(1, 800)) / survival(n)
        assert value == pytest.approx(float(exact), rel=1e-10)


@given(params=weibull, rate=st.floats(0.001, 2), horizon=st.integers(1, 300), made=st.integers(0, 50))
def test_lifetimes_ahead_follow_from_one_another(params, rate, horizon, made):
    """One renewal, and if it is made, all that follow: ahead(n, h) = r(n + 1) (1 + ahead(n + 1, h - 1) / (1 + d))."""
    params, n = np.array(params), np.array([made, made + 1.0])
    renewal = np.exp(kernel.log_renewal_probability(params, n[:1] + 1))[0]
    whole = kernel.expected_renewals(params, n, horizon=np.inf, rate=rate)
    assert whole[0] == pytest.approx(renewal * (1 + whole[1] / (1 + rate)), rel=1e-10)
    some = kernel.expected_renewals(params, n, horizon=horizon, rate=rate)
    one_less = kernel.expected_renewals(params, n, horizon=horizon - 1, rate=rate)
    assert some[0] == pytest.approx(renewal * (1 + one_less[1] / (1 + rate)), rel=1e-10)
    assert (some <= whole * (1 + 1e-12)).all()
    undiscounted = kernel.expected_renewals(params, n, horizon=horizon, rate=0.0)
    assert (some <= undiscounted * (1 + 1e-12)).all()
    assert (undiscounted < horizon).all()


def test_everything_is_finite_on_a_stress_grid():
    counts = objective([10**6, 10**6, 999, 999, 1, 0, 0])
    stress = [1e-6, 1e-3, 1.0, 1e3, 1e6]
    for params in np.stack(np.meshgrid(stress, stress, stress), axis=-1).reshape(-1, 3):
        value, gradient = counts(params)
        assert np.isfinite(value)
        assert np.isfinite(gradient).all()
        for period in (1.0, 2.0, 50.0, 1e4):
            assert -np.inf < kernel.log_survival(params, np.array([period]))[0] <= 0
            assert -np.inf < kernel.log_renewal_probability(params, np.array([period]))[0] <= 0
        ahead = kernel.expected_renewals(params, np.array([0.0, 20.0]), horizon=np.inf, rate=0.5)
        assert ((ahead >= 0) & (ahead <= 3 * (1 + 1e-12))).all()


def simulate(rng, customers, gamma, delta, c, periods):
    """Renewals made by customers who decide one by one, at most ``periods``."""
    loyalty = rng.beta(delta, gamma, customers)
    made, active = np.zeros(customers), np.ones(customers, dtype=bool)
    for t in range(1, periods + 1):
        active &= rng.random(customers) < loyalty ** (t**c - (t - 1) ** c)
        made += active
    return made, active


@pytest.mark.parametrize("c", [0.7, 1.0, 1.5])
def test_predictions_match_simulated_customers(c):
    gamma, delta, periods, customers = 0.8, 3.0, 20, 200_000
    made, _ = simulate(np.random.default_rng(1), customers, gamma, delta, c, periods)
    params = np.array([gamma, delta, c])
    for n in (0, 4):
        still = made >= n
        ahead = np.minimum(made[still] - n, 10)
        expected = kernel.expected_renewals(params, np.array([float(n)]), horizon=10, rate=0.0)[0]
        assert abs(ahead.mean() - expected) < 4 * ahead.std() / math.sqrt(still.sum())
        renewal = np.exp(kernel.log_renewal_probability(params, np.array([n + 1.0])))[0]
        assert abs((ahead > 0).mean() - renewal) < 4 * math.sqrt(0.25 / still.sum())


# --- published values


@pytest.mark.parametrize(
    ("model", "counts", "params", "log_likelihood"),
    [
        # Fader & Hardie (2007): seven renewals
        (ShiftedBetaGeoModel, HIGH_END[:8], [0.66809, 3.80610], -1611.158),
        (ShiftedBetaGeoModel, REGULAR[:8], [0.704, 1.182], -1680.265),
        # Fader, Hardie, Liu, Davin & Steenburgh (2018): four renewals
        (ShiftedBetaGeoModel, HIGH_END[:5], [1.281, 7.790], -1225.135),
        (ShiftedBetaGeoModel, REGULAR[:5], [0.764, 1.296], -1401.559),
        (BetaDiscreteWeibullModel, HIGH_END[:5], [0.259, 1.722, 1.584], -1222.749),
        (BetaDiscreteWeibullModel, REGULAR[:5], [0.523, 0.894, 1.196], -1401.383),
    ],
)
def test_fits_have_the_published_values(model, counts, params, log_likelihood):
    fitted = model().fit(cohort(counts))
    assert list(fitted.params_.values()) == pytest.approx(params, abs=8e-4)
    assert fitted.log_likelihood_ == pytest.approx(log_likelihood, abs=1e-3)
    assert fitted.converged_
    assert fitted.n_customers_ == 1000
    assert fitted.score(cohort(counts)) * 1000 == pytest.approx(fitted.log_likelihood_)


@pytest.mark.parametrize(("counts", "ratio", "p"), [(HIGH_END, 4.77, 0.029), (REGULAR, 0.35, 0.553)])
def test_duration_dependence_has_the_published_likelihood_ratio(counts, ratio, p):
    """Fader, Hardie, Liu, Davin & Steenburgh (2018), five-year calibration."""
    plain, more = (model().fit(cohort(counts[:5])) for model in MODELS)
    found = 2 * (more.log_likelihood_ - plain.log_likelihood_)
    assert found == pytest.approx(ratio, abs=6e-3)
    assert stats.chi2.sf(found, 1) == pytest.approx(p, abs=2e-3)


def test_high_end_forecast_has_the_published_shares(high_end):
    table = high_end.retention_table(horizon=12)
    assert table["survival_probability"].tail(5).round(3).tolist() == [0.460, 0.436, 0.414, 0.395, 0.378]
    assert table["observed_survival_rate"].tolist()[:7] == pytest.approx([n / 1000 for n in HIGH_END[1:8]])
    assert table["observed_renewal_rate"].isna().tolist() == [False] * 7 + [True] * 5
    assert table["at_risk_count"].tolist() == [*HIGH_END[:7], 0, 0, 0, 0, 0]
    rates = table["renewal_probability"]
    np.testing.assert_allclose(table["survival_probability"], rates.cumprod(), rtol=1e-12)


def test_high_end_residual_lifetime_is_the_published_one(high_end):
    table = high_end.residual_lifetime_table(most_renewals=7, discount_rate=0.1)
    assert table["discounted_renewal_count"].iloc[-1] == pytest.approx(7.5296, abs=5e-4)
    ahead = table["discounted_renewal_count"].iloc[0]
    assert high_end.expected_new_customer_periods(discount_rate=0.1) == pytest.approx(1 + ahead / 1.1)
    survival = high_end.retention_table(horizon=5)["survival_probability"]
    assert high_end.expected_new_customer_periods(horizon=5) == pytest.approx(1 + survival.sum())


def test_profile_intervals_hold_the_estimates(high_end):
    table = high_end.profile_table(cohort(HIGH_END[:8]))
    assert (table["low"] < table["estimate"]).all()
    assert (table["estimate"] < table["high"]).all()
    np.testing.assert_allclose(table["low"], high_end.parameter_table()["low"], rtol=0.1)


def test_duration_dependence_forecasts_high_end_better_than_none():
    """The message of the 2018 paper: 394 of 1,000 were left after twelve years."""
    known = cohort(HIGH_END[:5])
    plain, more = (model().fit(known).projection_table(known, horizon=8)["customer_count"].iloc[-1] for model in MODELS)
    assert plain == pytest.approx(307.3, abs=0.1)
    assert more == pytest.approx(389.0, abs=0.1)


# --- kinds of tables


@given(rows=st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
def test_customers_and_cohorts_are_two_ways_to_say_the_same(rows):
    """Customers still there were watched for different lengths of time: each length is a cohort."""
    assume(any(not is_active or count > 0 for count, is_active in rows))
    cohorts = []
    for length in {count for count, is_active in rows if is_active}:
        watched = sum(count == length and is_active for count, is_active in rows)
        cohorts.append(cohort([watched] * (length + 1), cohort=length))
    left = [count for count, is_active in rows if not is_active]
    if left:
        cohorts.append(cohort([sum(count >= t for count in left) for t in range(max(left) + 2)], cohort=-1))
    one = read_renewals(pd.DataFrame(rows, columns=["renewal_count", "is_active"]), caller="test")
    other = read_renewals(pd.concat(cohorts), caller="test")
    assert one.renewed.tolist() == other.renewed.tolist()
    assert one.lost.tolist() == other.lost.tolist()
    assert one.customer_count == other.customer_count == len(rows)


def test_cohorts_of_different_lengths_add_up():
    """Fader & Hardie (2010): five cohorts of 10,000, one a year, that renew alike."""
    curve = [10_000, 6334, 4367, 3264, 2604]
    five = pd.concat([cohort(curve[: 5 - i], cohort=2003 + i) for i in range(5)])
    fitted = ShiftedBetaGeoModel().fit(five)

    def plain(alpha, beta):
        return sum(plain_log_likelihood(curve[: 5 - i], alpha, beta, 1.0) for i in range(5))

    alpha, beta = fitted.params_.values()
    assert fitted.log_likelihood_ == pytest.approx(plain(alpha, beta), rel=1e-12)
    assert fitted.log_likelihood_ > max(plain(alpha * 1.01, beta), plain(alpha, beta * 1.01))
    assert fitted.log_likelihood_ > max(plain(alpha / 1.01, beta), plain(alpha, beta / 1.01))
    assert fitted.n_customers_ == 50_000
    assert fitted.renewed_counts_.tolist() == [4 * 6334, 3 * 4367, 2 * 3264, 2604]
    late = five.query("cohort > 2003 or period >= 2")  # the oldest cohort is known from its third year only
    assert ShiftedBetaGeoModel().fit(late).params_ == pytest.approx(fitted.params_, rel=0.05)
    projected = fitted.projection_table(five, horizon=2)
    assert projected["cohort"].tolist() == [y for y in range(2003, 2008) for _ in range(2)]
    assert projected["period"].tolist() == [5, 6, 4, 5, 3, 4, 2, 3, 1, 2]
    survival = fitted.retention_table(horizon=6)["survival_probability"]
    assert projected["customer_count"].iloc[1] == pytest.approx(2604 * survival[5] / survival[3])
    assert projected["customer_count"].iloc[-1] == pytest.approx(10_000 * survival[1])


@pytest.mark.parametrize("model", MODELS)
def test_parameters_are_recovered_within_their_errors(model):
    true = {ShiftedBetaGeoModel: (0.8, 2.5), BetaDiscreteWeibullModel: (0.8, 2.5, 1.4)}[model]
    made, active = simulate(np.random.default_rng(5), 30_000, *true[:2], true[2] if len(true) > 2 else 1.0, 10)
    fitted = model().fit(pd.DataFrame({"renewal_count": made, "is_active": active}))
    for value, (name, found) in zip(true, fitted.params_.items(), strict=True):
        assert abs(found - value) < 4 * fitted.standard_errors_[name]
        assert fitted.standard_errors_[name] < 0.2 * value


@pytest.mark.filterwarnings("ignore::crmlytics.exceptions.DataQualityWarning")
def test_intervals_hold_what_they_promise():
    """Of 90 % intervals of the curve and of a cohort's future, about nine in ten cover what is true."""
    rng = np.random.default_rng(8)
    truth = np.exp(kernel.log_survival(np.array([0.7, 3.0, 1.0]), np.array([8.0])))[0]
    curve, future, runs = 0, 0, 60
    for _ in range(runs):
        made, _ = simulate(rng, 400, 0.7, 3.0, 1.0, 8)
        counts = [(made >= t).sum() for t in range(9)]
        known = cohort(counts[:5])
        fitted = ShiftedBetaGeoModel().fit(known)
        row = fitted.retention_table(horizon=8).iloc[-1]
        curve += row["survival_probability_low"] <= truth <= row["survival_probability_high"]
        row = fitted.projection_table(known, horizon=4).iloc[-1]
        future += row["customer_count_low"] <= counts[8] <= row["customer_count_high"]
    assert stats.binomtest(curve, runs, 0.9).pvalue > 0.001
    assert stats.binomtest(future, runs, 0.9).pvalue > 0.001


def test_a_projection_strays_as_customers_who_decide_one_by_one():
    """With parameters known from millions, what is left of the band is that of a binomial count."""
    fitted = ShiftedBetaGeoModel().fit(cohort([10_000 * count for count in HIGH_END]))
    row = fitted.projection_table(cohort([2000, 1500]), horizon=1).iloc[0]
    share = row["customer_count"] / 1500
    spread = math.sqrt(1500 * share * (1 - share))
    width = row["customer_count_high"] - row["customer_count_low"]
    assert width == pytest.approx(2 * stats.norm.ppf(0.95) * spread, rel=0.02)


# --- tenure_table

AS_OF = dt.datetime(2024, 5, 1)
CONTRACTS = [
    # customer, start, end, renewals by 30 days, renewals by month, active
    ("a", (2024, 1, 1), None, 4, 3, True),  # 120 days on 30 April; renewed on 1 February, March and April
    ("b", (2024, 1, 1), (2024, 3, 1), 1, 1, False),  # ended when the second renewal was due
    ("c", (2024, 1, 31), (2024, 3, 1), 0, 1, False),  # 30 days; January 31 to February 29 is a month
    ("d", (2024, 4, 30), None, 0, 0, True),
    ("e", (2024, 2, 5), (2024, 2, 5), 0, 0, False),  # never began
    ("f", (2024, 3, 1), (2024, 6, 1), 2, 1, True),  # its end is not known yet
    ("g", (2024, 4, 1), (2024, 5, 1), 0, 0, True),  # ends tomorrow
]
SUBSCRIPTIONS = {
    "customer_id": [row[0] for row in CONTRACTS] + ["h", "i", "i"],
    "started_at": [dt.datetime(*row[1]) for row in CONTRACTS]
    + [dt.datetime(2024, 5, 1), dt.datetime(2023, 1, 1), dt.datetime(2024, 1, 15)],
    "ended_at": [None if row[2] is None else dt.datetime(*row[2]) for row in CONTRACTS]
    + [None, dt.datetime(2023, 12, 31), dt.datetime(2024, 2, 15)],
}


def test_tenure_table_counts_by_hand_on_every_kind_of_frame(frame):
    contracts = frame(SUBSCRIPTIONS)
    table = tenure_table(contracts, as_of=AS_OF)
    assert type(table) is type(contracts)
    expected = [(row[0], row[3], row[5]) for row in CONTRACTS]
    assert records(table) == [*expected, ("i", 13, False)]  # two contracts as one of 410 days; h is not known yet
    monthly = records(tenure_table(contracts, as_of="2024-05-01", period="month"))
    assert monthly == [(row[0], row[4], row[5]) for row in CONTRACTS] + [("i", 13, False)]


def plain_renewals(start, last, period):
    """Renewal dates from start to last, one by one."""
    count = 0
    while True:
        if period == "month":
            month = start.month + count
            year, month = start.year + month // 12, month % 12 + 1
            due = dt.date(year, month, min(start.day, calendar.monthrange(year, month)[1]))
        else:
            due = start + dt.timedelta(days=period * (count + 1))
        if due > last:
            return count
        count += 1


spans = st.tuples(st.dates(dt.date(2022, 1, 1), dt.date(2024, 4, 1)), st.none() | st.integers(0, 900))


@given(spans=st.lists(spans, min_size=1, max_size=8), period=st.sampled_from(["month", 7, 30]))
def test_tenure_table_equals_plain_python(spans, period):
    ends = [None if length is None else start + dt.timedelta(days=length) for start, length in spans]
    contracts = pd.DataFrame({
        "customer_id": range(len(spans)),
        "started_at": pd.to_datetime([start for start, _ in spans]).astype("datetime64[us]"),
        "ended_at": pd.Series(pd.to_datetime(pd.Series(ends, dtype=object))).astype("datetime64[us]"),
    })  # fmt: skip
    today = dt.date(2024, 4, 15)
    table = tenure_table(contracts, as_of=today, period=period if period == "month" else f"{period}d")
    for row, (start, _), end in zip(records(table), spans, ends, strict=True):
        active = end is None or end >= today
        last = (today if active else end) - dt.timedelta(days=1)
        assert row[1:] == (plain_renewals(start, last, period), active)


def test_tenure_table_takes_a_contract_and_says_what_it_needs():
    frame = pd.DataFrame(SUBSCRIPTIONS).rename(columns={"started_at": "Begin"})
    contract = Subscriptions(frame, started_at="Begin")
    assert len(tenure_table(contract, as_of=AS_OF, period="quarter")) == 8
    with pytest.raises(MissingColumnsError, match=r"tenure_table needs \['ended_at'\].*ended_at='<your column>'"):
        tenure_table(frame.drop(columns="ended_at").rename(columns={"Begin": "started_at"}), as_of=AS_OF)
    with pytest.raises(SchemaError, match=r'tenure_table: period must be "month".*got \'monthly\''):
        tenure_table(contract, as_of=AS_OF, period="monthly")


# --- estimators


def customers():
    made, active = simulate(np.random.default_rng(3), 500, 0.5, 2.0, 1.5, 8)
    keys = np.random.default_rng(4).permutation(500)
    return {"customer_id": keys, "renewal_count": made.astype(int), "is_active": active}


@pytest.mark.parametrize("model", MODELS)
def test_score_table_is_the_kind_that_came_in_sorted_by_key(frame, model):
    data = customers()
    came = frame(data)
    scores = model().fit(came).score_table(came, horizon=12, discount_rate=0.01)
    assert type(scores) is type(came)
    plain = make_frame(data, "pandas")
    expected = model().fit(plain).score_table(plain, horizon=12, discount_rate=0.01)
    assert [row[0] for row in records(scores)] == list(range(500))
    for row, other in zip(records(scores), records(expected), strict=True):
        assert row == pytest.approx(other, rel=1e-9)


@pytest.mark.parametrize("model", MODELS)
def test_scores_are_in_their_order_and_those_who_left_are_worth_nothing(model):
    table = pd.DataFrame(customers())
    fitted = model().fit(table)
    scores = fitted.score_table(table, horizon=12, discount_rate=0.01).merge(table, on="customer_id")
    values = [name for name in scores.columns if name.removesuffix("_low").removesuffix("_high") != "customer_id"]
    values = [name for name in values if name not in table.columns]
    assert len(values) == 12
    assert (scores.loc[~scores["is_active"], values] == 0).all(axis=None)
    active = scores[scores["is_active"]]
    for name in values[::3]:
        assert (active[f"{name}_low"] < active[name]).all()
        assert (active[name] < active[f"{name}_high"]).all()
    assert (active["survival_probability"] < active["renewal_probability"]).all()
    assert (active["discounted_renewal_count"] < active["expected_renewal_count"]).all()
    assert (active["expected_renewal_count"] < 12).all()
    row = active.iloc[0]
    curve = fitted.retention_table(horizon=30).set_index("period")
    n = int(row["renewal_count"])
    assert row["renewal_probability"] == pytest.approx(curve.loc[n + 1, "renewal_probability"])
    ahead = curve["survival_probability"].loc[n + 1 : n + 12] / curve.loc[n, "survival_probability"]
    assert row["survival_probability"] == pytest.approx(ahead.iloc[-1])
    assert row["expected_renewal_count"] == pytest.approx(ahead.sum())
    assert row["discounted_renewal_count"] == pytest.approx((ahead / 1.01 ** np.arange(12)).sum())


def test_projection_comes_back_as_the_kind_that_came_in(frame, high_end):
    came = frame({"cohort": ["x"] * 8, "period": range(7, -1, -1), "customer_count": HIGH_END[7::-1]})
    table = high_end.projection_table(came, horizon=2)
    assert type(table) is type(came)
    rows = records(table)
    assert [row[:2] for row in rows] == [("x", 8), ("x", 9)]
    assert rows[0][3] < rows[0][2] < rows[0][4] < 491


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "counts", [[100, 100, 100], [100, 0], [100, 50], [3, 2, 0, 0], [100, 90, 81, 73, 66, 59], [1, 1], [100, 100, 0]]
)
def test_degenerate_cohorts_give_finite_predictions_and_a_warning(model, counts):
    with pytest.warns(DataQualityWarning, match=r"Model: (not converged|no difference|converged on a ridge)"):
        fitted = model().fit(cohort(counts))
    predictions = fitted.retention_table(horizon=20).filter(like="probability")
    assert ((predictions >= 0) & (predictions <= 1)).all(axis=None)
    lifetimes = fitted.residual_lifetime_table(most_renewals=5, discount_rate=0.1)
    assert ((lifetimes >= 0) & np.isfinite(lifetimes)).all(axis=None)
    ahead = fitted.projection_table(cohort(counts), horizon=3)
    assert np.isfinite(ahead).all(axis=None)
    assert (ahead["customer_count_high"] <= counts[-1]).all()


@pytest.mark.parametrize(
    ("model", "counts"),
    [
        (ShiftedBetaGeoModel, [5000, 4020, 3200, 2560, 2048, 1638, 1311, 1049]),  # four in five renew every time
        (BetaDiscreteWeibullModel, [5000, 3970, 3460, 3020, 2690, 2400, 2120, 1900, 1720]),  # ever more, by habit
    ],
)
def test_customers_who_are_all_alike_are_called_so_and_still_predicted(model, counts):
    with pytest.warns(DataQualityWarning, match=r"no difference between customers found: .*Do not interpret \w+ and"):
        fitted = model().fit(cohort(counts))
    table = fitted.retention_table(horizon=len(counts) - 1)
    np.testing.assert_allclose(table["renewal_probability"], table["observed_renewal_rate"], atol=0.03)
    width = table["renewal_probability_high"] - table["renewal_probability_low"]
    assert width.between(0.003, 0.05).all()


BAD_COHORTS = [
    ([(0, 10), (1, 12)], "cohort 0 grows from 10 to 12 customers in period 1.*newcomers as a cohort of their own"),
    ([(0, 10), (2, 8)], "cohort 0 has no row for period 1"),
    ([(0, 10), (1, 8), (1, 8)], "cohort 0 has period 1 more than once"),
    ([(0, 10), (1, -8)], "customer_count must be a whole number >= 0, got -8.0 and 0 more"),
    ([(0, 1.0), (1, 0.869)], "got 0.869 and 0 more like it. Shares do not say"),
    ([(0, 10), (1, float("nan"))], "customer_count must be a whole number >= 0, got nan"),
    ([(0.5, 10), (1, 8)], "period must be a whole number >= 0, got 0.5"),
    ([(0, 10)], "no renewal has come due yet"),
]


@pytest.mark.parametrize(("rows", "text"), BAD_COHORTS)
def test_cohorts_that_cannot_be_are_refused(rows, text):
    table = pd.DataFrame(rows, columns=["period", "customer_count"])
    with pytest.raises(SchemaError, match=rf"ShiftedBetaGeoModel\.fit: .*{text}"):
        ShiftedBetaGeoModel().fit(table)


def test_refusals_say_what_came_and_what_to_type(high_end):
    table = pd.DataFrame(customers())
    model = ShiftedBetaGeoModel()
    both = (
        r"needs \['renewal_count', 'is_active'\] \(one row per customer.*\['period', 'customer_count'\].*got \['tenure"
    )
    with pytest.raises(MissingColumnsError, match=both):
        model.fit(table.rename(columns={"renewal_count": "tenure"})[["tenure", "is_active"]])
    with pytest.raises(
        SchemaError, match=r"1 of 500 rows have a renewal_count that is not a whole number .*\(customer"
    ):
        model.fit(table.assign(renewal_count=table["renewal_count"].astype(float).where(table["customer_id"] != 7)))
    with pytest.raises(SchemaError, match="500 rows have no is_active of true or false"):
        model.fit(table.assign(is_active=2))
    with pytest.raises(SchemaError, match="no renewal has come due yet"):
        model.fit(table.assign(renewal_count=0, is_active=True))
    with pytest.raises(
        MissingColumnsError, match=r"score_table needs the columns \['is_active'\].*crm\.clv\.tenure_table"
    ):
        high_end.score_table(table.drop(columns="is_active"), horizon=3)
    with pytest.raises(MissingColumnsError, match=r"projection_table needs the columns \['period', 'customer_count'\]"):
        high_end.projection_table(table, horizon=3)
    with pytest.raises(SchemaError, match="1 rows have no cohort"):
        model.fit(cohort([3, 2], cohort=["a", None]))
    with pytest.raises(SchemaError, match="column 'customer_count' holds String, expected numbers"):
        model.fit(cohort(["10", "8"]))
    with pytest.raises(SchemaError, match=r"without a horizon, discount_rate must be at least 1e-05 .*may be infinite"):
        high_end.expected_new_customer_periods()
    with pytest.raises(SchemaError, match="horizon must be a whole number of at least 1"):
        high_end.retention_table(horizon=1.5)
    with pytest.raises(SchemaError, match="horizon must be at most 100,000 periods"):
        high_end.retention_table(horizon=10**6)
    with pytest.raises(SchemaError, match="interval must be a fraction between 0 and 1"):
        high_end.retention_table(horizon=3, interval=90)
    with pytest.raises(NotFittedError):
        model.retention_table(horizon=3)


def test_plot_retention_draws_lines_bands_and_what_was_observed(high_end):
    plt = pytest.importorskip("matplotlib.pyplot")
    table = high_end.retention_table(horizon=12)
    figure, given_ax = plt.subplots()
    ax = plot_retention(table, ax=given_ax)
    assert ax is given_ax
    curves = {
        tuple(line.get_ydata()) for line in ax.lines if line.get_linestyle() == "-" and line.get_marker() == "None"
    }
    assert curves == {tuple(table["survival_probability"]), tuple(table["renewal_probability"])}
    points = [line for line in ax.lines if line.get_marker() == "o"]
    assert [np.isfinite(line.get_ydata().astype(float)).sum() for line in points] == [7, 7]
    assert len(ax.collections) == 2
    assert [text.get_text() for text in ax.texts] == ["Renewed, of those asked", "Still customers"]
    plt.close(figure)
