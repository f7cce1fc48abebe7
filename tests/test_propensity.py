"""What propensity promises: planted habits are found, the future is not read, offers are those that pay."""

import datetime as dt
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

import crmlytics as crm
from crmlytics import Contacts, Products, Transactions
from crmlytics._frames import to_pandas
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.propensity._plots import plot_offers
from crmlytics.propensity._targets import score_targets
from crmlytics.propensity.look_alikes import look_alike_table
from crmlytics.propensity.modelling import PropensityModel
from crmlytics.propensity.offers import offer_table
from crmlytics.propensity.scoring import PropensityScores, score_propensity
from crmlytics.snapshots._snapshots import Snapshots
from crmlytics.testing import FRAME_KINDS, check_table_estimator, make_frame, records

DAY_0, DAYS = dt.datetime(2024, 1, 1), 260
AS_OF = DAY_0 + dt.timedelta(days=DAYS)
CUTOFF, KNOWN = dt.datetime(2024, 3, 1), dt.datetime(2024, 6, 1)
TEA, MILK = "tea", "milk"
TARGETS = {"category": [TEA, MILK]}
WINDOWS = {"as_of": AS_OF, "horizon": "20d", "families": ["recency", "frequency", "monetary"]}
QUICK = {"model": "logistic", "cutoffs": [AS_OF - dt.timedelta(days=back) for back in (20, 50, 80)]}


@pytest.fixture(params=[kind for kind in FRAME_KINDS if kind != "pyspark"])
def quick_frame(request):
    """Every kind but PySpark, which is slow: two tests of this file have that one too."""
    return partial(make_frame, kind=request.param)


def on(days, **more):
    """The moment so many days from the cutoff."""
    return CUTOFF + dt.timedelta(days=days, **more)


def planted(customers=240, seed=0):
    """Even customers drink tea every 20 days, odd ones milk; what is not theirs they buy every 200 days."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(customers):
        for item in (TEA, MILK):
            often = (customer % 2 == 0) == (item == TEA)
            days = np.flatnonzero(rng.random(DAYS) < 1 / (20 if often else 200))
            rows += [(customer, DAY_0 + dt.timedelta(days=int(day), hours=9), item) for day in days]
    lines = pd.DataFrame(rows, columns=["customer_id", "timestamp", "category"])
    return lines.assign(order_id=np.arange(len(lines)), amount=5.0)


def columns_of(lines):
    return {name: lines[name].tolist() for name in lines.columns}


@pytest.fixture(scope="module")
def lines():
    return planted()


@pytest.fixture(scope="module")
def found(lines):
    return score_propensity(lines, targets=TARGETS, **WINDOWS, **QUICK)


# -- what a customer has had to do with a target -------------------------------------------------------------------

ORDERS = {
    "customer_id": ["a", "a", "a", "a", "b", "c", "a", "b"],
    "order_id": [1, 1, 2, 3, 4, 5, 6, 7],
    "timestamp": [on(-20), on(-20), on(-10, hours=5), on(-5), on(-3), on(-2), on(0), on(9)],
    "amount": [5.0, 2.0, 3.0, -3.0, 4.0, 1.0, 9.0, 8.0],  # order 3 is a credit note; 6 and 7 are of the future
    "category": [TEA, MILK, TEA, TEA, MILK, "egg", TEA, TEA],
    "product_id": [11, 12, 11, 11, 12, 13, 11, 11],
}


def histories(orders, targets, **more):
    options = {"horizon": "30d", "active_within": None, "observed_until": KNOWN, "families": ["targets"]}
    return Snapshots(orders, cutoffs=CUTOFF, targets=targets, **options | more)


def test_orders_with_a_target_and_days_since_by_hand(frame):
    snapshots = histories(frame(ORDERS), {"category": [TEA, MILK], "product_id": [13]})
    names = ["order_count_tea", "order_count_milk", "recency_days_tea", "recency_days_milk"]
    assert snapshots.feature_names == [*names, "order_count_13", "recency_days_13"]
    table = snapshots.features_table(CUTOFF)
    assert [row[:1] + row[2:] for row in records(table)] == [
        ("a", 2, 1, 10.0, 20.0, 0, None),
        ("b", 0, 1, None, 3.0, 0, None),
        ("c", 0, 0, None, None, 1, 2.0),
    ]


def test_the_category_is_that_of_the_products_where_the_lines_do_not_say_it(quick_frame):
    orders = quick_frame({name: values for name, values in ORDERS.items() if name != "category"})
    products = Products(quick_frame({"product_id": [11, 12, 13], "category": [TEA, MILK, "egg"]}))
    table = histories(orders, {"category": [TEA]}, products=products).features_table(CUTOFF)
    assert [row[2:] for row in records(table)] == [(2, 10.0), (0, None), (0, None)]


def test_targets_are_a_family_that_can_be_left_out_and_needs_values():
    orders = make_frame(ORDERS, "pandas")
    assert histories(orders, {"category": [TEA]}, families=["recency"]).feature_names == ["recency_days"]
    assert "targets" in histories(orders, {"category": [TEA]}, families=None).families
    with pytest.raises(MissingColumnsError, match=r"the family 'targets' needs targets=: give \{level: \[values\]\}"):
        histories(orders, None)


line = st.tuples(
    st.sampled_from("ab"), st.integers(1, 5), st.integers(-60, 40), st.sampled_from([-5.0, 0.0, 2.5]),
    st.sampled_from("xyz"),
)  # fmt: skip


@settings(max_examples=15)
@given(past=st.lists(line, min_size=1, max_size=12), future=st.lists(line, max_size=8))
def test_the_future_never_changes_a_history_and_the_past_is_counted_order_by_order(past, future):
    names = ("customer_id", "order_id", "timestamp", "amount", "category")
    known = [(who, order, on(-abs(day) - 1), *rest) for who, order, day, *rest in past]
    later = [(who, order, on(abs(day)), *rest) for who, order, day, *rest in future]
    anchor = [(who, 9, on(-90), 1.0, "other") for who in "ab"]  # or nobody may have an order

    def table(rows):
        columns = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
        return histories(make_frame(columns, "polars"), {"category": ["x", "y"]}).features_table(CUTOFF)

    found = records(table(anchor + known + later))
    assert found == records(table(anchor + known))
    for who, _, *values in found:
        for value, count, recency in zip("xy", values[:2], values[2:], strict=True):
            orders = {}
            for customer, order, moment, amount, category in known:
                if (customer, category) == (who, value):
                    orders.setdefault(order, []).append((amount, moment))
            bought = [
                max(moment for _, moment in of)
                for of in orders.values()
                if sum(amount for amount, _ in of) > 0 or min(amount for amount, _ in of) >= 0
            ]
            assert count == len(bought)
            assert recency == (min((CUTOFF - moment).days for moment in bought) if bought else None)


# -- one call, a model for each target -----------------------------------------------------------------------------


def test_planted_habits_are_found_and_probabilities_come_true(found):
    table = found.scores
    assert list(table.columns) == [
        "customer_id", "cutoff", "target", "buy_probability", "lift", "past_order_count",
    ]  # fmt: skip
    assert table["target"].tolist()[:4] == [MILK, TEA, MILK, TEA]
    assert table["customer_id"].is_monotonic_increasing
    theirs = (table["customer_id"] % 2 == 0) == (table["target"] == TEA)
    mean = table.groupby(theirs)["buy_probability"].mean()
    assert mean[True] == pytest.approx(1 - (19 / 20) ** 20, abs=0.06)  # .64
    assert mean[False] == pytest.approx(1 - (199 / 200) ** 20, abs=0.06)  # .10
    base = found.models[TEA].base_rate_
    tea = table[table["target"] == TEA]
    assert tea["lift"].to_numpy() == pytest.approx(tea["buy_probability"].to_numpy() / base)


def test_past_orders_are_those_with_the_target_before_today(lines, found):
    table = found.scores
    bought = lines.groupby(["customer_id", "category"]).size()
    expected = [int(bought.get((row.customer_id, row.target), 0)) for row in table.itertuples()]
    assert table["past_order_count"].tolist() == expected


def test_a_model_knows_its_own_target_and_has_to_beat_the_habit(found):
    names = list(found.models[TEA].feature_names_in_)
    assert {"order_count_tea", "recency_days_tea"} <= set(names)
    assert not any("milk" in name or name.startswith("bought") for name in names)
    baselines = found.evaluations[TEA].judged.baselines
    assert {"recency", "RFM", "BG/NBD", "bought it before", "bought it lately"} <= set(baselines)
    panel = to_pandas(found.snapshots.panel_table())
    rows = panel["cutoff"].isin(np.unique(found.evaluations[TEA].judged.period))
    assert baselines["bought it before"].tolist() == panel["order_count_tea"][rows].tolist()
    assert np.isfinite(baselines["bought it lately"]).all()


def test_the_figures_of_all_targets_in_one_table(found):
    table = found.evaluation_table()
    assert table["target"].tolist() == [MILK, TEA]
    assert (table["scheme"] == "out of time").all()
    assert (table["auc"].between(table["auc_low"], table["auc_high"]) & (table["auc"] > 0.75)).all()
    judged = found.evaluations[MILK].judged
    assert table["positive_count"][0] == judged.outcome.sum()
    assert table["base_rate"][0] == judged.outcome.mean()
    assert table["customer_count"][0] == len(np.unique(judged.group))
    assert table["grade"].isin(list("ABC")).all()
    assert table["baseline_auc"][0] == found.evaluations[MILK].figure("auc", score=table["baseline"][0])
    lifts = found.evaluations[MILK].comparison_table()
    lifts = lifts[(lifts["scheme"] == "out of time") & (lifts["metric"] == "top_decile_lift")]
    assert table["top_decile_lift"][0] == lifts["model_value"].iloc[0]


def test_of_several_models_one_must_be_named(found):
    assert "tea bought within 20d of the cutoff" in found.card(TEA).to_markdown()
    assert "2 targets: milk, tea" in repr(found)
    with pytest.raises(SchemaError, match=r"name one of the targets \['milk', 'tea'\], got None"):
        _ = found.evaluation
    with pytest.raises(SchemaError, match=r"got 'Tea'\. Did you mean 'tea'\?"):
        found.card("Tea")


def test_every_kind_is_scored_as_what_it_is(found, frame):
    features = frame(columns_of(found.features))
    scores = score_targets(found.models, features, caller="test")
    assert type(scores) is type(features)
    expected = records(found.scores)
    assert [row[:3] + row[5:] for row in records(scores)] == [row[:3] + row[5:] for row in expected]
    assert np.allclose([row[3] for row in records(scores)], [row[3] for row in expected], rtol=1e-9)


@pytest.mark.parametrize("kind", ["polars-lazy", "duckdb"])
def test_other_engines_find_the_same(lines, found, kind):
    other = make_frame(columns_of(lines), kind)
    scores = score_propensity(other, targets=TARGETS, **WINDOWS, **QUICK).scores
    assert type(scores) is type(other)
    assert [row[:3] for row in records(scores)] == [row[:3] for row in records(found.scores)]
    there, here = ([row[3] for row in records(table)] for table in (scores, found.scores))
    assert np.allclose(there, here, atol=1e-4)


def test_nothing_at_or_after_today_is_read(lines, found):
    later = lines.assign(timestamp=AS_OF + (lines["timestamp"] - DAY_0), amount=1e6, order_id=lines["order_id"] + 10**6)
    poisoned = pd.concat([lines, later.assign(category=TEA)], ignore_index=True)
    scores = score_propensity(poisoned, targets=TARGETS, **WINDOWS, **QUICK).scores
    pd.testing.assert_frame_equal(scores, found.scores)


def test_targets_too_rare_are_left_out_and_named(lines):
    rare = lines.copy()
    rare.loc[rare.index[rare["customer_id"] == 1], "category"] = "caviar"
    with pytest.warns(DataQualityWarning, match=r"\['caviar'\] were bought, or not bought, by fewer than 10 customers"):
        found = score_propensity(rare, targets={"category": [TEA, "caviar"]}, **WINDOWS, **QUICK)
    assert list(found.models) == [TEA]
    assert set(found.scores["target"]) == {TEA}
    with pytest.raises(SchemaError, match="Take targets that more customers buy, such as categories"):
        score_propensity(rare, targets={"category": ["caviar"]}, **WINDOWS, **QUICK)


# -- to buy anything, or to respond --------------------------------------------------------------------------------


def test_to_buy_anything_with_reasons(lines):
    seldom = lines[(lines["customer_id"] >= 120) | (lines["order_id"] % 4 == 0)]
    found = score_propensity(seldom, **WINDOWS, **QUICK)
    assert isinstance(found, PropensityScores)
    assert list(found.scores.columns) == [
        "customer_id", "cutoff", "buy_probability", "lift", "reason_1", "reason_2", "reason_3", "recency_days",
        "order_count", "total_amount",
    ]  # fmt: skip
    mean = found.scores.groupby(found.scores["customer_id"] >= 120)["buy_probability"].mean()
    assert mean[True] == pytest.approx(1 - (19 / 20 * 199 / 200) ** 20, abs=0.08)  # .68
    assert mean[False] == pytest.approx(1 - (79 / 80 * 799 / 800) ** 20, abs=0.08)  # .24
    assert found.evaluation.figure("auc") > 0.6
    assert list(found.evaluation_table()["target"]) == ["bought"]
    assert "an order within 20d of the cutoff" in found.card().to_markdown()
    assert "Grade" in repr(found)


def contacted(lines, seed=1):
    """Everybody in the lower half is written to every 30 days; of them every third answers mostly, others hardly."""
    rng = np.random.default_rng(seed)
    rows = [
        (customer, day, bool(rng.random() < (0.7 if customer % 3 == 0 else 0.1)))
        for customer in sorted(lines["customer_id"].unique())[:160]
        for day in range(5, DAYS, 30)
    ]
    table = pd.DataFrame(rows, columns=["customer_id", "day", "responded"])
    return table.assign(timestamp=DAY_0 + pd.to_timedelta(table["day"], unit="D"), campaign_id="k").drop(columns="day")


RESPONSE = WINDOWS | {"families": [*WINDOWS["families"], "contacts"], "outcome": "responded", "model": "logistic"}


def test_who_answers_is_learnt_from_the_contacted_alone(lines):
    contacts = contacted(lines)
    found = score_propensity(lines, contacts=contacts, **RESPONSE)
    panel = found.snapshots.panel_table()
    judged = found.evaluation.judged
    assert panel["contacted"].sum() < len(panel)
    assert found.models["responded"].facts_["row_count"] == panel["contacted"].sum()
    assert "answered before" in judged.baselines
    last = found.snapshots.cutoffs[-1] + dt.timedelta(days=20)
    assert last <= AS_OF - dt.timedelta(days=30)  # answers had time to come in
    scores = found.scores[found.scores["customer_id"] < 160]
    mean = scores.groupby(scores["customer_id"] % 3 == 0)["buy_probability"].mean()
    assert mean[True] > 0.6  # .7 were planted
    assert mean[False] < 0.2  # .1


def test_answers_that_may_still_come_are_not_read(lines):
    contacts = contacted(lines)
    options = RESPONSE | {"cutoffs": [AS_OF - dt.timedelta(days=back) for back in (50, 80, 110)]}
    expected = score_propensity(lines, contacts=contacts, **options).scores
    young = contacts["timestamp"] > AS_OF - dt.timedelta(days=30)
    flipped = contacts.assign(responded=contacts["responded"] ^ young)
    later = contacts.assign(timestamp=contacts["timestamp"] + dt.timedelta(days=DAYS), responded=True)
    poisoned = pd.concat([flipped, later], ignore_index=True)
    pd.testing.assert_frame_equal(score_propensity(lines, contacts=poisoned, **options).scores, expected)


def test_refuses_outcomes_that_the_tables_do_not_tell(lines):
    with pytest.raises(SchemaError, match=r"outcome must be one of \['bought', 'responded'\]"):
        score_propensity(lines, as_of=AS_OF, outcome="respond")
    with pytest.raises(MissingColumnsError, match=r"needs contacts= with the roles 'timestamp' and 'responded'"):
        score_propensity(lines, as_of=AS_OF, outcome="responded", contacts=contacted(lines).drop(columns="responded"))
    with pytest.raises(SchemaError, match="says nothing of targets"):
        score_propensity(lines, as_of=AS_OF, outcome="responded", contacts=contacted(lines), targets=TARGETS)
    nobody = Contacts(contacted(lines).assign(customer_id=lambda table: table["customer_id"] + 1000))
    with (
        pytest.warns(DataQualityWarning, match="no customer_id of Contacts is in Transactions"),
        pytest.raises(SchemaError, match="nobody active was contacted within the horizon"),
    ):
        score_propensity(lines, contacts=nobody, **RESPONSE)
    with pytest.raises(SchemaError, match="The most that this history allows is"):
        score_propensity(lines, as_of=AS_OF, horizon="365d")


@pytest.mark.filterwarnings("ignore:PropensityModel.fit")
def test_the_model_keeps_the_contract_of_estimators():
    rng = np.random.default_rng(0)
    recency = rng.integers(1, 200, 200)
    bought = rng.random(200) < 0.9 - recency / 250
    table = {"customer_id": list(range(200)), "recency_days": recency.tolist(), "bought": bought.tolist()}
    check_table_estimator(PropensityModel(model="logistic"), table, kinds=["pandas", "polars"], tolerance=1e-6)


# -- offers --------------------------------------------------------------------------------------------------------

SCORES = {
    "customer_id": ["b", "b", "b", "a", "a", "a", "c", "c", "c"],
    "target": ["milk", "tea", "wine"] * 3,
    "buy_probability": [0.5, 0.25, 0.125, 0.75, 0.25, 0.0625, 0.125, 0.0625, 0.0],
    "past_order_count": [3, 0, 0, 2, 1, 0, 0, 0, 0],
    "earns": [1.0, 2.0, 4.0, 1.0, 2.0, 16.0, 1.0, 2.0, 4.0],
}
MARGIN = {"milk": 1.0, "tea": 2.0, "wine": 4.0}


def test_offers_by_hand(frame):
    scores = frame(SCORES)
    table = offer_table(scores, margin=MARGIN, contact_cost=0.25, n=2)
    assert type(table) is type(scores)
    assert list(to_pandas(table).columns) == [
        "customer_id", "rank", "target", "buy_probability", "expected_profit_amount",
    ]  # fmt: skip
    assert records(table) == [
        ("a", 1, "milk", 0.75, 0.5),
        ("a", 2, "tea", 0.25, 0.25),
        ("b", 1, "milk", 0.5, 0.25),
        ("b", 2, "tea", 0.25, 0.25),  # wine too earns .25: the third by name
    ]  # nothing pays for c


def test_a_margin_for_all_or_by_column_or_none(quick_frame):
    scores = quick_frame(SCORES)
    assert [row[1:3] + row[4:] for row in records(offer_table(scores, margin=8, contact_cost=1.5))] == [
        (1, "milk", 4.5), (2, "tea", 0.5), (1, "milk", 2.5), (2, "tea", 0.5),
    ]  # fmt: skip
    assert records(offer_table(scores, margin="earns", n=1))[0] == ("a", 1, "wine", 0.0625, 1.0)
    by_probability = records(offer_table(scores))
    assert [row[:3] for row in by_probability] == [
        ("a", 1, "milk"), ("a", 2, "tea"), ("a", 3, "wine"), ("b", 1, "milk"), ("b", 2, "tea"), ("b", 3, "wine"),
        ("c", 1, "milk"), ("c", 2, "tea"),
    ]  # fmt: skip
    assert {row[4] for row in by_probability} == {None}


def test_what_is_left_out(quick_frame):
    scores = quick_frame(SCORES)
    new = records(offer_table(scores, margin=MARGIN, new_to_customer=True, n=1))
    assert [row[:3] for row in new] == [("a", 1, "wine"), ("b", 1, "tea"), ("c", 1, "milk")]
    without = records(offer_table(scores, exclude=["milk"], n=1))
    assert [row[:3] for row in without] == [("a", 1, "tea"), ("b", 1, "tea"), ("c", 1, "tea")]
    pairs = quick_frame({"customer_id": ["a", "a"], "target": ["milk", "tea"]})
    assert [row[:3] for row in records(offer_table(scores, exclude=pairs, n=1))] == [
        ("a", 1, "wine"), ("b", 1, "milk"), ("c", 1, "milk"),
    ]  # fmt: skip


def test_targets_that_are_whole_numbers_are_named_as_they_are():
    scores = {"customer_id": [1, 1], "target": [11, 12], "buy_probability": [0.5, 0.25]}
    table = offer_table(make_frame(scores, "polars"), margin={11: 1.0, 12: 4.0}, exclude=[11])
    assert records(table) == [(1, 1, "12", 0.25, 1.0)]


def test_where_nothing_pays_the_table_is_empty_and_keeps_its_types(quick_frame):
    import narwhals.stable.v2 as nw

    table = offer_table(quick_frame(SCORES), margin=1.0, contact_cost=2.0)
    assert records(table) == []
    assert list(nw.from_native(table).collect_schema().values()) == [
        nw.String, nw.Int64, nw.String, nw.Float64, nw.Float64,
    ]  # fmt: skip


@given(
    chance=st.lists(st.integers(0, 8), min_size=6, max_size=6), margin=st.integers(1, 8), cost=st.integers(0, 4),
    n=st.integers(1, 3),
)  # fmt: skip
def test_no_offer_left_out_is_better_than_one_made(chance, margin, cost, n):
    scores = pd.DataFrame({
        "customer_id": [1, 1, 1, 2, 2, 2], "target": list("xyz") * 2,
        "buy_probability": [value / 8 for value in chance],
    })  # fmt: skip
    table = offer_table(scores, margin=margin, contact_cost=cost, n=n)
    for customer in (1, 2):
        profits = sorted((p / 8 * margin - cost for p in chance[3 * customer - 3 : 3 * customer]), reverse=True)
        made = table["expected_profit_amount"][table["customer_id"] == customer].tolist()
        assert made == [profit for profit in profits if profit > 0][:n]


def test_offers_from_scores(found):
    table = offer_table(found, margin=2.0, n=1)
    theirs = np.where(table["customer_id"] % 2 == 0, TEA, MILK)
    assert (table["target"] == theirs).mean() > 0.95
    assert offer_table(found, new_to_customer=True).merge(found.scores)["past_order_count"].max() == 0


@pytest.mark.parametrize(
    ("change", "options", "error", "text"),
    [
        ({}, {"contact_cost": 1.0}, SchemaError, r"contact_cost=1\.0 needs a margin"),
        ({}, {"margin": {"milk": 1.0}}, SchemaError, r"margin lacks \['tea', 'wine'\].*exclude=\['tea', 'wine'\]"),
        ({}, {"margin": {"milk": -1.0}}, SchemaError, r"margin\['milk'\] must be a number of zero or more"),
        ({}, {"margin": "earn"}, MissingColumnsError, r"needs \['earn'\]\. Did you mean 'earns'\?"),
        ({}, {"exclude": ["Milk"]}, SchemaError, r"no such target\. Did you mean 'milk'\?"),
        ({}, {"exclude": pd.DataFrame({"target": ["tea"]})}, MissingColumnsError, r"exclude needs \['customer_id'\]"),
        ({"target": ["milk"] * 9}, {}, SchemaError, r"\('a', 'milk'\) appear more than once"),
        ({"buy_probability": [1.5] * 9}, {}, SchemaError, r"must lie within 0 and 1, got 1\.5 to 1\.5"),
        ({"target": None}, {}, MissingColumnsError, r"of one outcome, and offers take several.*response_target_table"),
        ({"past_order_count": None}, {"new_to_customer": True}, MissingColumnsError, r"needs \['past_order_count'\]"),
    ],
)
def test_refuses_what_it_cannot_rank(change, options, error, text):
    scores = pd.DataFrame({name: values for name, values in (SCORES | change).items() if values is not None})
    with pytest.raises(error, match=text):
        offer_table(scores, **options)


def test_the_picture_of_offers():
    ax = plot_offers(offer_table(pd.DataFrame(SCORES), margin=MARGIN | {"wine": 8.0}, n=2))
    assert [bar.get_width() for bar in ax.patches] == [
        0.875,
        1.0,
    ]  # first offers: milk to a and c (.75, .125), wine to b
    assert [label.get_text() for label in ax.get_yticklabels()] == ["milk", "wine"]
    assert [text.get_text().strip() for text in ax.texts] == ["2 customers", "1 customer"]
    counts = plot_offers(offer_table(pd.DataFrame(SCORES)))
    assert [bar.get_width() for bar in counts.patches] == [3.0]
    with pytest.raises(SchemaError, match="No offer pays"):
        plot_offers(offer_table(pd.DataFrame(SCORES), margin=1.0, contact_cost=2.0))
    with pytest.raises(MissingColumnsError, match=r"plot_offers needs \['rank'"):
        plot_offers(pd.DataFrame(SCORES))


# -- look-alikes ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def club():
    """Who orders often is wanted; every second one of them is known to be."""
    rng = np.random.default_rng(5)
    features = pd.DataFrame(
        {"customer_id": np.arange(500), "order_count": rng.poisson(3, 500), "noise": rng.random(500)}
    )
    wanted = features["customer_id"][features["order_count"] >= 5].to_numpy()
    return features, wanted


@pytest.mark.filterwarnings("ignore:ScoringModel.fit")
def test_the_hidden_members_come_first(club, quick_frame):
    features, wanted = club
    seeds, hidden = wanted[::2], set(wanted[1::2].tolist())
    native = quick_frame(columns_of(features))
    table = look_alike_table(native, seeds, n=len(hidden), model="logistic")
    assert type(table) is type(native)
    rows = to_pandas(table)
    assert list(rows.columns) == [
        "customer_id", "rank", "similarity_score", "lift", "seed_auc", "seed_auc_low", "seed_auc_high",
    ]  # fmt: skip
    assert len(hidden & set(rows["customer_id"])) >= 0.9 * len(hidden)
    assert rows["rank"].tolist() == list(range(1, len(hidden) + 1))
    assert rows["similarity_score"].is_monotonic_decreasing
    assert np.allclose(rows["lift"], rows["similarity_score"] / (len(seeds) / 500))
    assert len(set(rows["seed_auc"])) == 1
    assert rows["seed_auc_low"][0] < rows["seed_auc"][0] < rows["seed_auc_high"][0]


@pytest.mark.filterwarnings("ignore:ScoringModel.fit")
def test_all_others_once_and_no_seed(club):
    features, wanted = club
    seeds = pd.DataFrame({"customer_id": wanted[::2]})
    table = look_alike_table(features.sample(frac=1.0, random_state=0), seeds, model="logistic")
    assert sorted(table["customer_id"]) == sorted(set(range(500)) - set(wanted[::2].tolist()))
    pd.testing.assert_frame_equal(table, look_alike_table(features, seeds, model="logistic"))


@pytest.mark.filterwarnings("ignore:ScoringModel.fit")
def test_who_is_scored_was_not_learnt_from(club):
    features, wanted = club
    by_heart = DecisionTreeClassifier(random_state=0)  # knows of everybody it saw that they are no seed
    table = look_alike_table(features, wanted[::2], model=by_heart)
    hidden = table["customer_id"].isin(wanted)
    assert table["similarity_score"][hidden].mean() > table["similarity_score"][~hidden].mean() + 0.1


def test_says_when_seeds_are_like_anybody(club):
    features, _ = club
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        look_alike_table(features, np.arange(0, 500, 9), model="logistic")
    assert any("the 56 seeds are hardly told from the others (AUC 0." in str(one.message) for one in told)


def test_refuses_seeds_that_it_cannot_learn_from(club):
    features, wanted = club
    with pytest.raises(SchemaError, match=r"1 of 21 seeds are not among the customers of features, such as \['7'\]"):
        look_alike_table(features, [*range(20), "7"])
    with pytest.raises(SchemaError, match="9 seeds, and it takes 10"):
        look_alike_table(features, wanted[:9])
    with pytest.raises(SchemaError, match="5 other customers, and it takes 10"):
        look_alike_table(features, range(495))
    with pytest.raises(MissingColumnsError, match="features needs 'customer_id'"):
        look_alike_table(features.drop(columns="customer_id"), wanted)
    with pytest.raises(SchemaError, match=r"as features has them \(0\), and only"):
        look_alike_table(features, ["7"])


def test_refuses_customers_that_come_twice_and_a_table_of_nobody(club):
    features, wanted = club
    twice = pd.concat([features, features[features["customer_id"] == 7]])
    with pytest.raises(SchemaError, match=r"look_alike_table: expected one row per customer, but 7 appears more than"):
        look_alike_table(twice, wanted)
    with pytest.raises(SchemaError, match="look_alike_table: features has no rows"):
        look_alike_table(features.head(0), wanted)


# -- on real groceries ---------------------------------------------------------------------------------------------


def test_complete_journey_yogurt_is_foretold_out_of_time():
    data = crm.datasets.load_complete_journey()
    groceries = data.transactions.merge(data.products, on="product_id")
    groceries = Transactions(
        groceries[groceries["product_category"].isin(["YOGURT", "SOUP", "POTATOES"])], customer_id="household_id",
        order_id="basket_id", timestamp="transaction_timestamp", amount="sales_value", category="product_category",
    )  # fmt: skip
    found = score_propensity(
        groceries, as_of="2018-01-01", targets={"category": ["YOGURT"]}, model="logistic",
        families=["recency", "frequency", "monetary"], cutoffs=["2017-08-01", "2017-10-01", "2017-11-30"],
    )  # fmt: skip
    evaluation = found.evaluations["YOGURT"]
    assert evaluation.figure("auc") > evaluation.figure("auc", score="recency") + 0.1
    assert evaluation.figure("auc") > 0.82
    assert evaluation.figure("calibration_error") < 0.1  # of 1,112 rows
