"""What contractual churn promises: hand-counted spells and curves, a hazard law that finds the truth, refusals."""

import datetime as dt

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from crmlytics._kernels.discrete_hazard import fit_hazards, spline_basis, survival_ahead
from crmlytics.churn._contract_plots import plot_hazard, plot_retention
from crmlytics.churn.contractual import contract_table, retention_curve_table
from crmlytics.churn.hazard_model import DiscreteTimeHazardModel
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import check_table_estimator, make_frame, records

mpl.use("Agg")
START = dt.datetime(2024, 1, 1)


def day(number):
    return None if number is None else START + dt.timedelta(days=number)


def subscriptions(rows, **more):
    """Rows of customer, start, end."""
    who, start, end = zip(*rows, strict=True)
    table = {"customer_id": list(who), "started_at": [day(at) for at in start], "ended_at": [day(at) for at in end]}
    return table | more


ROWS = [
    ("a", 0, 31), ("a", 40, None),  # continued within the grace days
    ("b", 0, 31), ("b", 62, None),  # a day too late: left, and came back
    ("c", 0, 100), ("c", 10, 20),  # one within the other
    ("d", 50, 95),  # ended 26 days before: may still be continued
    ("e", 90, 300),  # an end that lies ahead is not known
    ("f", 121, None),  # begins when nobody knows
]  # fmt: skip


# -- contract_table ------------------------------------------------------------------------------------------------


def test_spells_by_hand_on_every_frame(frame):
    plans = ["x", "y", "x", "z", "x", "y", "x", "x", "x"]
    data = frame(subscriptions(ROWS, plan=plans, price=[1.0, 2.0, 1.0, 4.0, 3.0, 9.0, 1.0, None, 1.0]))
    table = contract_table(data, as_of=day(121))
    assert type(table) is type(data)
    assert records(table) == [
        ("a", day(0), None, 1, "running", False, 121, 90, 2, "y", 2.0),
        ("b", day(0), day(31), 1, "churned", True, 31, 31, 1, "x", 1.0),
        ("b", day(62), None, 2, "running", False, 59, 28, 1, "z", 4.0),
        ("c", day(0), day(100), 1, "in grace", False, 100, 90, 2, "x", 3.0),
        ("d", day(50), day(95), 1, "in grace", False, 45, 40, 1, "x", 1.0),
        ("e", day(90), None, 1, "running", False, 31, 0, 1, "x", None),
    ]


@pytest.mark.parametrize(("as_of", "status"), [(125, "in grace"), (126, "churned")])
def test_who_left_is_known_once_the_grace_days_are_over(as_of, status):
    """d ended on day 95: day 125 is the last on which a new start continues it, known on day 126."""
    table = contract_table(make_frame(subscriptions(ROWS), "pandas"), as_of=day(as_of))
    assert table[table.customer_id == "d"].status.tolist() == [status]


def test_without_grace_only_the_day_of_the_end_continues():
    rows = [("a", 0, 10), ("a", 10, 20), ("b", 0, 10), ("b", 11, 20)]
    table = contract_table(make_frame(subscriptions(rows), "pandas"), as_of=day(60), grace=None)
    assert table[["customer_id", "tenure_days", "spell_number"]].to_numpy().tolist() == [
        ["a", 20, 1], ["b", 10, 1], ["b", 9, 2]]  # fmt: skip


def test_a_moment_within_a_day_knows_what_ended_before_it():
    rows = subscriptions([("a", 0, 50)]) | {"ended_at": [day(50) + dt.timedelta(hours=9)]}
    data = make_frame(rows, "pandas")
    status = [contract_table(data, as_of=day(50) + dt.timedelta(hours=hour), grace=None).status[0] for hour in (9, 10)]
    assert status == ["running", "churned"]


spells = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(0, 150), st.one_of(st.none(), st.integers(0, 80))), min_size=1
)


@settings(max_examples=12)
@given(rows=spells, grace=st.integers(1, 20))
def test_spells_agree_with_a_walk_through_the_days(rows, grace):
    """Every day of a customer is covered or within reach of a cover; and what is after as_of changes nothing."""
    as_of = 120
    data = [(who, start, None if length is None else start + length) for who, start, length in rows] + [
        ("y", 0, 5),
        ("z", 0, None),
    ]
    table = contract_table(make_frame(subscriptions(data), "pandas"), as_of=day(as_of), grace=f"{grace}d")
    expected = []
    for who in sorted({row[0] for row in data}):
        known = sorted((start, min(as_of if end is None else end, as_of)) for name, start, end in data if name == who
                       and start < as_of)  # fmt: skip
        merged = []
        for start, end in known:
            if merged and start <= merged[-1][1] + grace:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        expected += [(who, day(start), end - start, end + grace < as_of) for start, end in merged]
    found = [(r[0], r[1], r[6], r[5]) for r in records(table)]
    assert found == expected
    cut = [(who, start, None if end is None or end >= as_of else end) for who, start, end in data if start < as_of]
    pd.testing.assert_frame_equal(
        contract_table(make_frame(subscriptions(cut), "pandas"), as_of=day(as_of), grace=f"{grace}d"), table
    )


def test_refuses_a_table_without_ends():
    data = make_frame({"customer_id": ["a"], "started_at": [START]}, "pandas")
    with pytest.raises(MissingColumnsError, match=r"contract_table needs \['ended_at'\]"):
        contract_table(data, as_of=day(10))


# -- retention_curve_table -----------------------------------------------------------------------------------------


def test_a_curve_by_hand_on_every_frame(frame):
    """Days 5 and 10 fall into the first period, 20 ends the second; two of six are seen no longer before."""
    data = frame({"tenure_days": [5, 10, 12, 20, 30, 30], "churned": [True, False, False, True, True, False]})
    table = retention_curve_table(data, period="10d")
    assert type(table) is type(data)
    first, second, third = 5 / 6, 5 / 6 * 2 / 3, 5 / 6 * 2 / 3 / 2
    found = [(row[0], row[1], row[4], *row[7:]) for row in records(table)]
    assert found[0] == (0, 1.0, None, 6, 0, 0)
    np.testing.assert_allclose(found[1:], [
        (10, first, 1 / 6, 6, 1, 1),
        (20, second, 1 / 3, 4, 1, 1),
        (30, third, 1 / 2, 2, 1, 1),
    ])  # fmt: skip


def test_intervals_are_greenwoods():
    """S = .75 after the first period: var ln S = 1 / (4 * 3), bounds S ** exp(+-1.96 sd / ln S)."""
    data = make_frame({"tenure_days": [10, 20, 20, 20], "churned": [True, False, False, False]}, "pandas")
    row = retention_curve_table(data, period="10d").loc[1]
    reach = np.exp(1.959964 * np.sqrt(1 / 12) / -np.log(0.75))
    bounds = [0.75**reach, 0.75 ** (1 / reach)]
    np.testing.assert_allclose(row[["retention_probability_low", "retention_probability_high"]].tolist(), bounds, 1e-6)
    hazards = row[["churn_probability_low", "churn_probability_high"]].tolist()
    np.testing.assert_allclose(hazards, [1 - bounds[1], 1 - bounds[0]], 1e-6)


def test_a_curve_for_each_value_of_a_column():
    data = {"tenure_days": [10, 20, 10, 20, 30], "churned": [True, False, False, False, True],
            "plan": ["b", "b", "a", "a", None], "old": [True, True, False, False, True]}  # fmt: skip
    table = retention_curve_table(make_frame(data, "pandas"), by="plan", period="10d")
    assert table[["plan", "time_days", "retention_probability"]].to_numpy().tolist() == [
        ["a", 0, 1.0], ["a", 10, 1.0], ["a", 20, 1.0], ["b", 0, 1.0], ["b", 10, 0.5], ["b", 20, 0.5]]  # fmt: skip
    flags = retention_curve_table(make_frame(data, "pandas"), by="old", period="10d")
    assert flags["old"].unique().tolist() == ["False", "True"]


def test_the_last_days_do_not_make_churn_look_low():
    """Everybody leaves with probability .1 every 30 days. With days seen to as_of, late ends would be missing."""
    chance = np.random.default_rng(5)
    start, months = chance.integers(0, 300, 4000), chance.geometric(0.1, 4000)
    data = {"customer_id": list(range(4000)), "started_at": [day(int(at)) for at in start],
            "ended_at": [day(int(at)) for at in start + 30 * months]}  # fmt: skip
    table = contract_table(make_frame(data, "pandas"), as_of=day(330), grace="90d")
    hazard = retention_curve_table(table).churn_probability[1:6]
    np.testing.assert_allclose(hazard, 0.1, atol=0.025)
    to_as_of = retention_curve_table(table.drop(columns="observed_days")).churn_probability[1:6]
    assert to_as_of.mean() < 0.085


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="churned"), r"needs the columns \['churned'\].*contract_table"),
        (lambda t: t.assign(churned="Yes"), "column 'churned' holds String, expected true or false"),
        (lambda t: t.assign(tenure_days=-1), "expected values of tenure_days"),
        (lambda t: t.iloc[:0], "expected rows"),
    ],
)
def test_refuses_what_is_no_table_of_contracts(change, message):
    with pytest.raises(SchemaError, match=message):
        retention_curve_table(change(pd.DataFrame({"tenure_days": [10], "churned": [True]})))


def test_refuses_a_column_that_is_not_there():
    with pytest.raises(MissingColumnsError, match=r"by: no column is called 'plann'. Did you mean 'plan'\?"):
        retention_curve_table(pd.DataFrame({"tenure_days": [10], "churned": [True], "plan": ["a"]}), by="plann")


def test_pictures_draw_the_curves():
    data = {
        "tenure_days": [10, 20, 10, 20] * 5,
        "churned": [True, False, True, True] * 5,
        "plan": ["a", "a", "b", "b"] * 5,
    }
    table = retention_curve_table(make_frame(data, "pandas"), by="plan", period="10d")
    ax = plot_retention(table)
    assert ax.lines[0].get_ydata().tolist() == [1.0, 0.5, 0.5]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["a", "b"]
    ax = plot_hazard(table)
    np.testing.assert_allclose(ax.lines[0].get_ydata(), [0.5, 0.0])
    with pytest.raises(MissingColumnsError, match=r"plot_hazard needs .*retention_curve_table"):
        plot_hazard(pd.DataFrame({"a": [1]}))
    mpl.pyplot.close("all")


# -- the hazard law ------------------------------------------------------------------------------------------------


def people(count=3000, seed=1):
    """Monthly hazards: logit = -2.5 - .3 ln k + .8 x - 1 on plan b; seen for 1 to 24 months."""
    chance = np.random.default_rng(seed)
    x, plan = chance.normal(size=count), chance.choice(["a", "b"], count, p=[0.6, 0.4])
    month = np.arange(1, 25)
    logit = -2.5 - 0.3 * np.log(month) + (0.8 * x - 1.0 * (plan == "b"))[:, None]
    leaves = chance.random((count, 24)) < 1 / (1 + np.exp(-logit))
    ends = np.where(leaves.any(axis=1), leaves.argmax(axis=1) + 1, 99)
    seen = chance.integers(1, 25, count)
    return {
        "customer_id": list(range(count)), "tenure_days": (30 * np.minimum(ends, seen)).tolist(),
        "churned": (ends <= seen).tolist(), "x": x.tolist(), "plan": plan.tolist(),
    }, logit  # fmt: skip


def unrolled(tenure, churned, x):
    """A row per customer and period."""
    rows = [(k, value, churned[i] and k == tenure[i]) for i, value in enumerate(x) for k in range(1, tenure[i] + 1)]
    k, value, y = (np.array(column) for column in zip(*rows, strict=True))
    return k, value, y.astype(int)


def test_equals_a_logistic_regression_on_unrolled_periods():
    data, _ = people(400)
    tenure, x = np.array(data["tenure_days"]) // 30, StandardScaler().fit_transform(np.array(data["x"])[:, None])[:, 0]
    churned = np.array(data["churned"])
    number = np.arange(1, 25)
    clock = np.log(number) - 1.0
    fit = fit_hazards(np.stack([np.ones(24), clock], 1), clock, x[:, None], tenure, churned, 1e-9)
    k, value, y = unrolled(tenure, churned, x)
    z = np.log(k) - 1.0
    peer = LogisticRegression(C=1e9, tol=1e-10, max_iter=1000).fit(np.stack([z, value, z * value], 1), y)
    np.testing.assert_allclose(fit.coefficients, [*peer.intercept_, *peer.coef_[0]], atol=1e-4)
    p = peer.predict_proba(np.stack([z, value, z * value], 1))[:, 1]
    assert fit.log_likelihood == pytest.approx(np.log(np.where(y == 1, p, 1 - p)).sum(), rel=1e-8)
    np.testing.assert_allclose(fit.expected.sum(), y.sum(), rtol=1e-4)
    assert fit.converged


def test_without_features_it_is_kaplan_and_meiers_curve():
    data = make_frame(people(500)[0], "pandas")
    model = DiscreteTimeHazardModel(baseline="periods", features=[]).fit(data)
    curve = retention_curve_table(data)
    new = make_frame({"customer_id": [1], "tenure_days": [0]}, "pandas")
    for months in (1, 5, 12):
        expected = curve.retention_probability[months]
        found = model.score_table(new, horizon=f"{30 * months}d").survival_probability[0]
        assert found == pytest.approx(expected, abs=1e-6)
    np.testing.assert_allclose(model.hazard_table().churn_probability, curve.churn_probability[1:], atol=1e-12)


def test_finds_the_truth_it_was_made_from():
    data, logit = people(12_000)
    data = make_frame(data, "pandas")
    model = DiscreteTimeHazardModel().fit(data)
    effects = model.effect_table().set_index("feature").odds_ratio
    assert np.log(effects["x"]) / np.std(data["x"]) == pytest.approx(0.8, abs=0.08)
    assert np.log(effects["plan"]) == pytest.approx(-1.0, abs=0.15)
    stays = np.cumprod(1 - 1 / (1 + np.exp(-logit)), axis=1)
    for months, horizon in ((0, 6), (6, 6), (12, 3)):
        at = data.assign(tenure_days=30 * months)
        told = model.score_table(at, horizon=f"{30 * horizon}d").churn_probability.to_numpy()
        before = stays[:, months - 1] if months else 1.0
        truth = 1 - stays[:, months + horizon - 1] / before
        assert np.abs(told - truth).mean() < 0.012
        for part in np.array_split(np.argsort(told), 5):
            assert told[part].mean() == pytest.approx(truth[part].mean(), abs=0.02)


def test_survival_given_tenure_by_hand():
    """Hazards of .5, .2 and then .1 for ever; within a period the hazard is even."""
    base = np.log(np.array([0.5, 0.2, 0.1]) / np.array([0.5, 0.8, 0.9]))
    none = (np.zeros(3), np.zeros(3))
    stays, periods = survival_ahead(base, np.zeros(3), none, np.array([0.0, 1.0, 1.5]), 2.0)
    np.testing.assert_allclose(stays, [0.5 * 0.8, 0.8 * 0.9, 0.8**0.5 * 0.9 * 0.9**0.5])
    assert periods[0] == pytest.approx(0.5 / np.log(2) + 0.5 * 0.2 / -np.log(0.8))
    assert (np.diff(periods) > 0).all()


def test_the_spline_is_straight_beyond_its_knots():
    period = np.exp(np.linspace(0, 6, 61))
    basis = spline_basis(period, np.exp([1.0, 2.0, 3.0, 4.0]))
    assert basis.shape == (61, 4)
    bends = np.abs(np.diff(basis, n=2, axis=0)).max(axis=1)
    beyond = (np.log(period[1:-1]) < 0.95) | (np.log(period[1:-1]) > 4.05)
    assert bends[beyond].max() < 1e-9
    assert bends[~beyond].max() > 1e-3


def test_what_fades_with_tenure_is_found():
    """On plan b nobody leaves in the first year; later all leave alike."""
    chance = np.random.default_rng(3)
    plan = chance.choice(["a", "b"], 4000)
    hazard = np.where((plan == "b")[:, None] & (np.arange(24) < 6), 0.005, 0.06)
    leaves = chance.random((4000, 24)) < hazard
    ends = np.where(leaves.any(axis=1), leaves.argmax(axis=1) + 1, 24)
    data = {"customer_id": list(range(4000)), "tenure_days": (30 * ends).tolist(),
            "churned": leaves.any(axis=1).tolist(), "plan": plan.tolist()}  # fmt: skip
    table = make_frame(data, "pandas")
    model = DiscreteTimeHazardModel().fit(table)
    drift = model.effect_table().drift_ratio[0]
    assert drift > 1.5 if model.encoder_.columns[0].reference == "a" else drift < 1 / 1.5
    told = {
        months: model.score_table(table.assign(tenure_days=30 * months), horizon="30d").churn_probability.groupby(
            table["plan"]).mean() for months in (1, 18)
    }  # fmt: skip
    assert told[1]["b"] < 0.02
    assert told[1]["a"] > 0.045
    assert told[18]["b"] == pytest.approx(told[18]["a"], abs=0.02)


def test_keeps_the_promises_of_every_estimator():
    data, _ = people(300)
    data["x"][5] = data["plan"][7] = None
    check_table_estimator(DiscreteTimeHazardModel(), data, score_options={"horizon": "90d"})


def test_rare_missing_and_unseen_levels_are_handled():
    data, _ = people(600)
    data["plan"][:25] = [f"rare {i}" for i in range(25)]
    data["x"][30:60] = [None] * 30
    model = DiscreteTimeHazardModel().fit(make_frame(data, "pandas"))
    assert model.effect_table()[["feature", "level"]].fillna("-").to_numpy().tolist() == [
        ["x", "-"], ["x", "(missing)"], ["plan", "(other)"], ["plan", "b"]]  # fmt: skip
    new = {"customer_id": ["k", "l"], "tenure_days": [30, 30], "x": [0.0, 0.0], "plan": ["never seen", "rare 1"]}
    scores = model.score_table(make_frame(new, "polars"), horizon="90d")
    assert scores["churn_probability"][0] == scores["churn_probability"][1]


def test_columns_that_say_nothing_are_left_out_and_moments_are_no_features():
    data, _ = people(300)
    data |= {"same": ["x"] * 300, "since": [START] * 300}
    assert DiscreteTimeHazardModel().fit(make_frame(data, "pandas")).feature_names_ == ["x", "plan"]


def test_score_is_the_likelihood_of_what_happened():
    data = make_frame(people(500)[0], "pandas")
    model = DiscreteTimeHazardModel().fit(data)
    assert model.score(data) == pytest.approx(model.log_likelihood_ / model.n_periods_)
    assert model.score(data) > DiscreteTimeHazardModel(features=[]).fit(data).score(data)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.assign(churned=False), {}, "nobody churned in 300 rows"),
        (lambda t: t, {"baseline": "cubic"}, "baseline must be one of"),
        (lambda t: t, {"features": ["plann"]}, r"no column is called 'plann'. Did you mean 'plan'\?"),
        (lambda t: t, {"features": ["tenure_days"]}, "'tenure_days' can't be a feature"),
        (lambda t: t, {"period": "1 month"}, "period must be a duration"),
        (lambda t: t, {"ridge": -1.0}, "ridge must be a number of zero or more"),
    ],
)
def test_refuses_to_fit(change, options, message):
    data = change(make_frame(people(300)[0], "pandas"))
    with pytest.raises(SchemaError, match=message):
        DiscreteTimeHazardModel(**options).fit(data)


def test_refuses_to_score_what_is_not_one_row_a_customer():
    data = make_frame(people(300)[0], "pandas")
    model = DiscreteTimeHazardModel().fit(data)
    with pytest.raises(SchemaError, match=r"1 customers appear more than once\. Keep the relationship that runs"):
        model.score_table(pd.concat([data, data.head(1)]), horizon="30d")
    with pytest.raises(MissingColumnsError, match=r"needs the columns \['plan'\]"):
        model.score_table(data.drop(columns="plan"), horizon="30d")
    with pytest.warns(DataQualityWarning, match="horizon of 900 days is longer than anybody was seen"):
        model.score_table(data, horizon="900d")


def test_tells_when_hardly_anybody_left():
    data = make_frame(people(60)[0], "pandas")
    with pytest.warns(DataQualityWarning, match="only 3 of 30 churned"):
        DiscreteTimeHazardModel(features=[]).fit(pd.concat([data[data.churned].head(3), data[~data.churned].head(27)]))


# -- real data -----------------------------------------------------------------------------------------------------


def test_telco_is_calibrated_on_customers_it_has_not_seen(shared_data):
    """Predicted and observed (Kaplan and Meier) shares that leave within six months, by tenure and contract."""
    raw = pd.read_parquet(shared_data / "telco_churn.parquet")
    data = raw.drop(columns=["customerID", "tenure", "Churn", "TotalCharges"]).assign(
        customer_id=raw["customerID"], tenure_days=30 * raw["tenure"], churned=raw["Churn"] == "Yes"
    )
    fitted = np.random.default_rng(0).random(len(data)) < 0.5
    model = DiscreteTimeHazardModel().fit(data[fitted])
    assert model.score(data[~fitted]) > DiscreteTimeHazardModel(features=[]).fit(data[fitted]).score(data[~fitted])
    for months in (0, 12, 24, 36):
        test = data[~fitted & (data.tenure_days >= 30 * months)]
        test = test[~(test.churned & (test.tenure_days == 30 * months))]
        told = model.score_table(test.assign(tenure_days=30 * months), horizon="180d").set_index("customer_id")
        for _, group in [("all", test), *test.groupby("Contract")]:
            later = group.assign(tenure_days=group.tenure_days - 30 * months)
            seen = 1 - retention_curve_table(later).retention_probability[6]
            assert told.loc[group.customer_id].churn_probability.mean() == pytest.approx(seen, abs=0.035)
