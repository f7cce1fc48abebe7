"""What the checks by eye promise: values by hand and by formula on every frame, sums that agree, helpful refusals."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from sklearn.exceptions import NotFittedError

from crmlytics import Transactions
from crmlytics.clv import (
    BetaGeoModel,
    GammaGammaModel,
    GammaGompertzNBDModel,
    ModifiedBetaGeoCNBDModel,
    ModifiedBetaGeoModel,
    NBDModel,
    ParetoNBDModel,
    alive_history_table,
    btyd_table,
    conditional_table,
    frequency_table,
    heterogeneity_table,
    holdout_table,
    recency_frequency_table,
    tracking_table,
)
from crmlytics.clv._covariates import NONE
from crmlytics.datasets import load_cdnow
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

PERIODS = {"calibration_end": "1997-10-01", "as_of": "1998-07-01"}

# Days of January 2024; calibration to the 14th, holdout to the 28th: steps of a week begin on the 1st, 8th, 15th, 22nd
DAYS = {"a": [3, 5, 9, 16, 18], "b": [5, 20, 27], "c": [14], "d": [15, 17], "e": [2, 9, 29]}
SALES = {
    "customer_id": [customer for customer, days in DAYS.items() for _ in days] + ["a"],
    "timestamp": [dt.datetime(2024, 1, day, 9) for days in DAYS.values() for day in days]
    + [dt.datetime(2024, 1, 5, 23)],
    "amount": [10.0] * (sum(map(len, DAYS.values())) + 1),
}
HALVES = {"calibration_end": "2024-01-15", "as_of": "2024-01-29"}


def known(kind, *params, unit="1d", **options):
    """A model whose parameters are given, as if it had been fitted."""
    model = kind(unit=unit, **options)
    model.theta_, model._coefficients_ = np.log(params), NONE
    return model


RATE = 0.5 / 10.0
NBD = known(NBDModel, 0.5, 10.0)


@pytest.fixture(scope="module")
def orders():
    return Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")


@pytest.fixture(scope="module")
def cdnow(orders):
    return btyd_table(orders, as_of="1997-10-01")


# --- frequency_table


def beta_geo_count(n, T, r, alpha, a, b):
    """P(X(T) = n) of a new customer (Fader, Hardie & Lee 2005, equation 8), term by term."""
    log_nb = special.gammaln(r + n) - special.gammaln(r) - special.gammaln(n + 1)
    stays = np.exp(log_nb + r * np.log(alpha / (alpha + T)) + n * np.log(T / (alpha + T)))
    found = np.exp(special.betaln(a, b + n) - special.betaln(a, b)) * stays
    if n > 0:
        fewer = sum(special.poch(r, j) / special.factorial(j) * (T / (alpha + T)) ** j for j in range(n))
        leaves = 1 - (alpha / (alpha + T)) ** r * fewer
        found += np.exp(special.betaln(a + 1, b + n - 1) - special.betaln(a, b)) * leaves
    return found


def test_frequencies_of_cdnow_are_those_of_the_formula(cdnow):
    model = BetaGeoModel().fit(cdnow)
    table = frequency_table(model, cdnow)
    assert table["actual_customer_count"].tolist() == [1411, 439, 214, 100, 62, 38, 29, 64]
    T = cdnow["T"].to_numpy()
    expected = [beta_geo_count(n, T, *model.params_.values()).sum() for n in range(7)]
    expected.append(len(T) - sum(expected))
    assert table["expected_customer_count"].tolist() == pytest.approx(expected, rel=1e-9)
    assert table["is_or_more"].tolist() == [False] * 7 + [True]


@pytest.mark.parametrize(
    ("kind", "chi_square"), [(BetaGeoModel, 4.82), (ParetoNBDModel, 11.99), (ModifiedBetaGeoModel, 2.95)]
)
def test_chi_square_ranks_the_models_of_cdnow(cdnow, kind, chi_square):
    table = frequency_table(kind().fit(cdnow), cdnow)
    assert table["chi_square_contribution"].sum() == pytest.approx(chi_square, abs=0.005)
    pearson = stats.chisquare(table["actual_customer_count"], table["expected_customer_count"])
    assert table["chi_square_contribution"].sum() == pytest.approx(pearson.statistic, rel=1e-9)


def test_frequency_table_by_hand_on_every_kind(frame):
    came = frame({"frequency": [0, 0, 1, 4], "recency": [0.0, 0.0, 5.0, 20.0], "T": [0.0, 10.0, 10.0, 30.0]})
    table = frequency_table(NBD, came, most=2)
    assert type(table) is type(came)
    none = [1.0, 0.5**0.5, 0.5**0.5, 0.25**0.5]  # (alpha / (alpha + T)) ** r
    once = [0.0, 0.5 * none[1] * 0.5, 0.5 * none[1] * 0.5, 0.5 * none[3] * 0.75]  # r * that * T / (alpha + T)
    expected = [sum(none), sum(once), 4 - sum(none) - sum(once)]
    actual = [2, 1, 1]
    for row, n in zip(records(table), range(3), strict=True):
        contribution = (actual[n] - expected[n]) ** 2 / expected[n]
        assert row[:3] == (n, n == 2, actual[n])
        assert row[3:] == pytest.approx((expected[n], contribution), rel=1e-12)


positive = st.floats(-2, 2).map(lambda exponent: 10**exponent)


@settings(max_examples=40, deadline=None)
@given(kind=st.sampled_from([BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel]), params=st.tuples(*[positive] * 4))
def test_expected_customers_are_all_customers_and_nothing_is_missing(kind, params):
    table = pd.DataFrame({"frequency": [0, 3, 1], "recency": [0.0, 4.0, 2.0], "T": [0.0, 8.0, 400.0]})
    model = known(kind, *params)
    found = frequency_table(model, table)
    assert np.isfinite(found.to_numpy(float)).all()
    assert (found["expected_customer_count"] >= 0).all()
    assert found["expected_customer_count"].sum() == pytest.approx(3, rel=1e-9)
    cells = heterogeneity_table(model).select_dtypes("number")
    assert np.isfinite(cells.to_numpy(float)).all()


def test_each_customer_has_their_own_covariates():
    rng = np.random.default_rng(4)
    z = rng.integers(0, 2, 400)
    x = rng.poisson(rng.gamma(0.8, 1 / 8.0, 400) * np.where(z, 60.0, 25.0))
    t_x = np.where(x > 0, np.round(rng.uniform(5, 30, 400)), 0.0)
    table = pd.DataFrame({"frequency": x, "recency": t_x, "T": 30.0, "z": z, "customer_id": np.arange(400)})
    model = NBDModel(unit="1d", purchase_covariates=["z"]).fit(table)
    r, alpha = model.params_.values()
    faster = known(NBDModel, r, alpha * np.exp(-model.coefficients_["purchase:z"]))
    slower = known(NBDModel, r, alpha)
    together = frequency_table(model, table)["expected_customer_count"]
    apart = [frequency_table(one, table[z == value]) for one, value in ((slower, 0), (faster, 1))]
    assert together.to_numpy() == pytest.approx(sum(part["expected_customer_count"] for part in apart), rel=1e-9)
    one = table[z == 1].head(1)
    cells = {"T": 30, "horizon": 10, "most_frequency": 3, "steps": 2}
    pd.testing.assert_frame_equal(
        recency_frequency_table(model, like=one, **cells), recency_frequency_table(faster, **cells)
    )
    pd.testing.assert_frame_equal(heterogeneity_table(model, like=one), heterogeneity_table(faster))
    with pytest.raises(
        SchemaError, match=r"heterogeneity_table: the model has covariates, .*like=<a row with \['z'\]>"
    ):
        heterogeneity_table(model)
    with pytest.raises(SchemaError, match=r"like must be a table of one row, one customer, got 400 rows"):
        heterogeneity_table(model, like=table)


# --- tracking_table


def test_tracking_table_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = tracking_table(NBD, sales, **HALVES)
    assert type(table) is type(sales)
    starts = [dt.datetime(2024, 1, day) for day in (1, 8, 15, 22)]
    joined = {"a": 3, "b": 5, "c": 14, "e": 2}  # d joined in the holdout
    cumulative = [RATE * sum(max(last - day, 0) for day in joined.values()) for last in (7, 14, 21, 28)]
    actual = [1, 2, 3, 1]  # a 5; a 9, e 9; a 16, a 18, b 20; b 27 (e bought on the 29th, which is as_of)
    for at, row in enumerate(records(table)):
        assert row[:5] == (at + 1, starts[at], starts[at] + dt.timedelta(days=7), at >= 2, actual[at])
        assert row[5] == pytest.approx(cumulative[at] - (cumulative[at - 1] if at else 0.0), rel=1e-12)
        assert row[6:] == (sum(actual[: at + 1]), pytest.approx(cumulative[at], rel=1e-12))


def test_a_step_that_would_go_beyond_the_end_is_left_out():
    ends = tracking_table(NBD, pd.DataFrame(SALES), **HALVES, step="5d")["step_end"]
    assert [end.day for end in ends] == [5, 10, 15, 20, 25]  # the first step began in December
    day = tracking_table(NBD, pd.DataFrame(SALES), **HALVES, step="1d")
    assert day["step_start"].iloc[0] == dt.datetime(2024, 1, 2)
    assert len(day) == 27


def test_tracking_of_cdnow_has_all_its_purchases_and_agrees_with_other_tables(orders, cdnow):
    model = ModifiedBetaGeoModel().fit(cdnow)
    table = tracking_table(model, orders, **PERIODS)
    assert len(table) == 78
    by_half = table.groupby("is_holdout")["actual_purchase_count"].sum()
    assert by_half.tolist() == [2457, 1882]  # the anchors of the data
    calibration = table[~table["is_holdout"]].iloc[-1]
    assert calibration["step_end"] == dt.datetime(1997, 10, 1)
    watched, counts = np.unique(cdnow["T"], return_counts=True)
    some = model.new_customer_table(horizons=list(watched[watched > 0]))["expected_purchase_count"]
    assert calibration["cumulative_expected_purchase_count"] == pytest.approx(some @ counts[watched > 0], rel=1e-9)


@settings(max_examples=20, deadline=None)
@given(
    lines=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 60)), min_size=1, max_size=40),
    split=st.integers(1, 59),
    step=st.integers(1, 20),
)
def test_every_repeat_purchase_up_to_the_last_step_is_counted_once(lines, split, step):
    begin = dt.datetime(2024, 1, 1)
    sales = pd.DataFrame(
        {
            "customer_id": [who for who, _ in lines],
            "timestamp": [begin + dt.timedelta(days=day) for _, day in lines],
            "amount": 1.0,
        }
    )
    first = {who: min(day for other, day in lines if other == who) for who, _ in lines}
    periods = {"calibration_end": begin + dt.timedelta(days=split), "as_of": begin + dt.timedelta(days=61)}
    if min(first.values()) >= split:
        with pytest.raises(SchemaError, match=r"tracking_table: nobody bought before calibration_end="):
            tracking_table(NBD, sales, **periods, step=f"{step}d")
        return
    table = tracking_table(NBD, sales, **periods, step=f"{step}d")
    end = (table["step_end"].iloc[-1] - begin).days
    repeats = {(who, day) for who, day in lines if first[who] < split and first[who] < day < end}
    assert table["actual_purchase_count"].sum() == len(repeats)
    expected = RATE * sum(max(end - 1 - day, 0) for day in first.values() if day < split)
    assert table["expected_purchase_count"].sum() == pytest.approx(expected, abs=1e-9)
    assert (table["step_end"] - table["step_start"] == dt.timedelta(days=step)).all()
    assert table["is_holdout"].sum() == (61 - split) // step


def test_tracking_with_covariates_needs_them_by_customer():
    table = btyd_table(pd.DataFrame(SALES), as_of="2024-01-15", unit="1d").assign(z=[0.0, 1.0, 0.0, 1.0])
    model = NBDModel(unit="1d", purchase_covariates=["z"], l2=1.0).fit(table)
    with pytest.raises(SchemaError, match=r"so say who has which: X=<a table with \['customer_id', 'z'\]>"):
        tracking_table(model, pd.DataFrame(SALES), **HALVES)
    with pytest.raises(SchemaError, match=r"X lacks 1 of 4 customers of the cohort \(customer_id 'b'\)"):
        tracking_table(model, pd.DataFrame(SALES), **HALVES, X=table[table["customer_id"] != "b"])
    found = tracking_table(model, pd.DataFrame(SALES), **HALVES, X=table.sample(frac=1, random_state=1))
    r, alpha = model.params_.values()
    faster = np.exp(model.coefficients_["purchase:z"] * table["z"])
    total = (r / alpha * faster * table["T"]).sum()
    assert found["cumulative_expected_purchase_count"][1] == pytest.approx(total, rel=1e-9)


def test_too_many_steps_are_refused():
    old = pd.DataFrame({"customer_id": [1], "timestamp": [dt.datetime(2010, 1, 1)], "amount": [1.0]})
    with pytest.raises(SchemaError, match=r"5,141 steps of 1 days, expected at most 2,000. Take a longer step"):
        tracking_table(NBD, old, **HALVES, step="1d")


# --- conditional_table


def test_conditional_means_add_up_to_the_published_forecast(orders):
    holdout = holdout_table(orders, **PERIODS)
    published = known(ParetoNBDModel, 0.5534, 10.580, 0.6061, 11.656, unit="7d")  # Fader & Hardie 2005
    table = conditional_table(published, holdout)
    count = table["customer_count"]
    assert count.tolist() == [1411, 439, 214, 100, 62, 38, 29, 64]
    assert table["predicted_mean_count"] @ count == pytest.approx(1665.4, abs=0.05)  # BTYD
    assert table["actual_mean_count"] @ count == pytest.approx(1882)
    twice = holdout[holdout["frequency"] == 2]
    assert table["actual_mean_count"][2] == pytest.approx(twice["holdout_frequency"].mean())


def test_conditional_table_by_hand_on_every_kind(frame):
    holdout = holdout_table(frame(SALES), **HALVES, unit="1d")
    table = conditional_table(NBD, holdout, most=3)
    assert type(table) is type(frame(SALES))
    ahead = [14 * (0.5 + x) / (10 + T) for x, T in ((2, 11), (0, 9), (0, 0), (1, 12))]  # a, b, c, e
    expected = [
        (0, False, 2, (ahead[1] + ahead[2]) / 2, 1.0),  # b bought twice, c did not
        (1, False, 1, ahead[3], 0.0),
        (2, False, 1, ahead[0], 2.0),
        (3, True, 0, None, None),
    ]
    *found, empty = records(table)
    assert empty == expected.pop()
    for row, other in zip(found, expected, strict=True):
        assert row == pytest.approx(other, rel=1e-12)


def test_conditional_table_says_which_table_it_needs(cdnow):
    with pytest.raises(MissingColumnsError, match=r"conditional_table needs the columns .*crm.clv.holdout_table"):
        conditional_table(known(NBDModel, 0.5, 10.0), cdnow)


# --- recency_frequency_table


@pytest.mark.parametrize("kind", [BetaGeoModel, ModifiedBetaGeoModel, ParetoNBDModel])
def test_cells_are_those_of_the_score_table(cdnow, kind):
    model = kind().fit(cdnow)
    cells = recency_frequency_table(model, T="26w", horizon="90d", most_frequency=4, steps=3)
    assert cells["frequency"].tolist() == [0, 1, 2, 3, 4] * 4
    assert cells["recency"].to_numpy() == pytest.approx(np.repeat([0, 26 / 3, 52 / 3, 26], 5))
    possible = (cells["frequency"] == 0) == (cells["recency"] == 0)
    scores = model.score_table(cells[possible].assign(T=26.0), horizon="90d")
    for name in ("alive_probability", "expected_purchase_count"):
        assert cells[name].notna().tolist() == possible.tolist()
        assert cells.loc[possible, name].to_numpy() == pytest.approx(scores[name].to_numpy(), rel=1e-12)


def test_one_more_purchase_long_ago_is_worse_and_just_now_is_better(cdnow):
    cells = recency_frequency_table(ParetoNBDModel().fit(cdnow), T=38, horizon=39, most_frequency=12, steps=38)
    expected = cells.pivot_table(index="recency", columns="frequency", values="expected_purchase_count")
    assert (expected.loc[38.0, 1:].diff().dropna() > 0).all()
    assert (expected.loc[5.0, 4:].diff().dropna() < 0).all()  # the increasing frequency paradox (Fader et al. 2005)
    for frequency in range(1, 13):
        assert expected[frequency].dropna().is_monotonic_increasing


# --- alive_history_table


@pytest.fixture(scope="module")
def fitted(cdnow):
    return ModifiedBetaGeoModel(unit="7d").fit(cdnow)


def test_alive_history_is_what_the_score_table_said_day_by_day(frame, fitted):
    sales = frame(SALES)
    table = alive_history_table(fitted, sales, customer_id="a", as_of="2024-01-21")
    assert type(table) is type(sales)
    rows = records(table)
    assert [row[1].day for row in rows] == list(range(3, 21))
    assert [row[1].day for row in rows if row[3]] == DAYS["a"]
    assert {row[0] for row in rows} == {"a"}
    for row in rows:
        known_then = btyd_table(pd.DataFrame(SALES), as_of=row[1] + dt.timedelta(days=1), unit="7d")
        known_then = known_then[known_then["customer_id"] == "a"]
        assert row[2] == known_then["frequency"].item()
        score = fitted.score_table(known_then, horizon="7d")["alive_probability"].item()
        assert row[4] == pytest.approx(score, rel=1e-12)


def test_longer_steps_miss_no_purchase():
    table = alive_history_table(NBD, pd.DataFrame(SALES), customer_id="a", as_of="2024-01-29", step="7d")
    assert [day.day for day in table["day"]] == [3, 10, 17, 24]
    assert table["frequency"].tolist() == [0, 2, 3, 4]
    assert table["is_purchase"].tolist() == [True] * 4


@pytest.mark.parametrize("asked", [7, np.int64(7)])
def test_whole_numbers_of_numpy_are_ids_too(asked):
    sales = pd.DataFrame(SALES).assign(customer_id=7)
    table = alive_history_table(NBD, sales, customer_id=asked, as_of="2024-01-05")
    assert table["customer_id"].tolist() == [7] * 3


@pytest.mark.parametrize(
    ("ids", "asked", "message"),
    [
        (
            "12346",
            12346,
            r"the ids of the table are text, got 12346, which is a whole number\. Write customer_id='12346'",
        ),
        (
            12346,
            "12346",
            r"the ids of the table are whole numbers, got '12346', which is text\. Write customer_id=12346",
        ),
        (12346, "Smith", r"whole numbers, got 'Smith', which is text\.$"),
        (12346, 12347, r"alive_history_table: there is no purchase of customer 12347 before as_of"),
        (12346, [12346], r"customer_id must be one id, a whole number or text, got \[12346\]"),
        (1, True, r"customer_id must be one id, a whole number or text, got True"),
    ],
)
def test_a_customer_who_is_not_there_is_refused_with_the_repair(ids, asked, message):
    sales = pd.DataFrame({"customer_id": [ids], "timestamp": [dt.datetime(2024, 1, 1)], "amount": [1.0]})
    with pytest.raises(SchemaError, match=message):
        alive_history_table(NBD, sales, customer_id=asked, as_of="2024-01-29")


# --- heterogeneity_table


def shares(table, process):
    cells = table[table["process"] == process]
    return cells["value_from"].to_numpy(), cells["value_to"].to_numpy(), cells["customer_share"].to_numpy(), cells


@pytest.mark.parametrize(
    ("model", "process", "measure", "truth"),
    [
        (known(BetaGeoModel, 0.24, 4.4, 0.8, 2.4), "purchase", "rate", stats.gamma(0.24, scale=1 / 4.4)),
        (known(BetaGeoModel, 0.24, 4.4, 0.8, 2.4), "dropout", "probability", stats.beta(0.8, 2.4)),
        (known(ParetoNBDModel, 0.55, 10.6, 0.6, 11.7), "dropout", "rate", stats.gamma(0.6, scale=1 / 11.7)),
        (known(GammaGompertzNBDModel, 0.55, 10.6, 0.1, 0.6, 1.17), "dropout", "rate", stats.gamma(0.6, scale=1 / 11.7)),
        (known(BetaGeoModel, 5.0, 5.0, 0.3, 0.2), "dropout", "probability", stats.beta(0.3, 0.2)),
    ],
)
def test_shares_are_those_of_the_distribution(model, process, measure, truth):
    begins, ends, share, cells = shares(heterogeneity_table(model), process)
    assert set(cells["measure"]) == {measure}
    assert share == pytest.approx(truth.cdf(ends) - truth.cdf(begins), abs=1e-12)
    assert ends[-1] == pytest.approx(truth.ppf(0.99), rel=1e-9)
    assert share.sum() == pytest.approx(0.99)
    assert begins[0] == 0
    assert (begins[1:] == ends[:-1]).all()
    assert cells["mean_value"].to_numpy() == pytest.approx(truth.mean())
    assert cells["density"].to_numpy() == pytest.approx(share / (ends - begins))


def test_with_regular_purchases_the_rate_is_that_of_whole_purchases():
    model = known(ModifiedBetaGeoCNBDModel, 2.0, 3.0, 0.9, 1.6)
    model.k_ = 3
    begins, ends, share, _ = shares(heterogeneity_table(model), "purchase")
    rates = np.random.default_rng(1).gamma(2.0, 1 / 3.0, 200_000) / 3  # three steps to a purchase
    found = np.histogram(rates, bins=[*begins, ends[-1]])[0] / len(rates)
    assert found == pytest.approx(share, abs=0.002)


def test_where_nobody_leaves_there_is_no_dropout():
    table = heterogeneity_table(known(NBDModel, 0.5, 10.0, unit="7d"))
    assert set(table["process"]) == {"purchase"}
    assert set(table["unit_days"]) == {7}


@pytest.mark.parametrize("params", [(1e-5, 1e3, 1e-5, 1e3), (1e5, 1e5, 1e5, 1e5), (1e-5, 1.0, 1e5, 1.0)])
@pytest.mark.parametrize("kind", [ParetoNBDModel, BetaGeoModel])
def test_extreme_customers_give_finite_cells(kind, params):
    table = heterogeneity_table(known(kind, *params))
    numbers = table.select_dtypes("number").to_numpy(float)
    assert np.isfinite(numbers).all()
    assert (table["value_to"] > table["value_from"]).all()
    assert (table.groupby("process")["customer_share"].sum() > 0.98).all()


# --- what all refuse


@pytest.mark.parametrize(
    "call",
    [
        lambda model: frequency_table(model, pd.DataFrame()),
        lambda model: tracking_table(model, pd.DataFrame(SALES), **HALVES),
        lambda model: conditional_table(model, pd.DataFrame()),
        lambda model: recency_frequency_table(model, T=1, horizon=1),
        lambda model: alive_history_table(model, pd.DataFrame(SALES), customer_id="a", as_of="2024-01-29"),
        heterogeneity_table,
    ],
)
def test_only_fitted_models_of_purchases_are_taken(call):
    with pytest.raises(NotFittedError):
        call(NBDModel())
    with pytest.raises(SchemaError, match=r"model must be a fitted model of purchases .*got GammaGammaModel"):
        call(GammaGammaModel())


def test_what_came_in_is_left_as_it_was():
    table = make_frame({"frequency": [0, 2], "recency": [0.0, 3.0], "T": [5.0, 6.0]}, "pandas")
    before = table.copy()
    frequency_table(NBD, table)
    pd.testing.assert_frame_equal(table, before)
