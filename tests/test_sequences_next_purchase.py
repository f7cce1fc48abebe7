"""What NextPurchaseModel promises: planted habits found and dated, honest probabilities, no future."""

import datetime as dt
import pickle
from collections import Counter, defaultdict

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from threadpoolctl import threadpool_info

from crmlytics import Products, Transactions
from crmlytics._kernels.next_purchase import FEATURES, OWN, POPULAR, candidates_of
from crmlytics._kernels.next_purchase_population import Histories, population_of, top
from crmlytics._kernels.next_purchase_reasons import evidence_for
from crmlytics._sequences import Sequences
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.sequences import _candidates, _training
from crmlytics.sequences._calibration import fit_ranker
from crmlytics.sequences._candidates import cut_before_day, cut_before_order
from crmlytics.sequences._reasons import reasons_of
from crmlytics.sequences._timing import Dates
from crmlytics.sequences._training import Lessons
from crmlytics.sequences.next_purchase import NextPurchaseModel, _with_any_order, score_next_purchase
from crmlytics.sequences.upselling import upsell_table
from crmlytics.testing import make_frame, records

DAY0 = dt.datetime(2024, 1, 1)
COLUMNS = [
    "customer_id", "rank", "product_id", "probability", "expected_date", "expected_date_low", "expected_date_high",
    "reason",
]  # fmt: skip


def as_lines(orders):
    """Order lines of (customer, day, items)."""
    rows = [
        (customer, number, DAY0 + dt.timedelta(days=int(day), hours=10), item)
        for number, (customer, day, items) in enumerate(orders)
        for item in items
    ]
    names = ("customer_id", "order_id", "timestamp", "product_id")
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


def habits(customers=120, days=140):
    """Everybody buys bread every 7 days and soap every 28, each from a day of their own; and something odd at times."""
    rng = np.random.default_rng(5)
    orders = defaultdict(set)
    for customer in range(customers):
        for day in range(customer % 7, days, 7):
            orders[customer, day].add("bread")
        for day in range(customer % 28, days, 28):
            orders[customer, day].add("soap")
        for day in rng.integers(0, days, 4):
            orders[customer, int(day)].add(f"odd{rng.integers(12)}")
    return [(customer, day, sorted(items)) for (customer, day), items in sorted(orders.items())]


AS_OF = DAY0 + dt.timedelta(days=126)


@pytest.fixture(scope="module")
def lines():
    return pd.DataFrame(as_lines(habits()))


@pytest.fixture(scope="module")
def model(lines):
    return NextPurchaseModel().fit(lines, as_of=AS_OF, horizon="7d")


# -- planted habits ------------------------------------------------------------------------------------------------


def test_planted_habits_come_with_probability_date_and_reason(model, lines):
    table = model.recommend_table(lines, as_of=AS_OF, n=3)
    assert list(table.columns) == COLUMNS
    found = table.set_index(["customer_id", "product_id"])
    for customer in range(120):
        bread_due, soap_due = (-(126 - customer % every) % every for every in (7, 28))
        bread = found.loc[customer, "bread"]
        assert bread["rank"] <= 2
        assert bread["probability"] > 0.8
        assert abs((bread["expected_date"] - AS_OF).days - bread_due) <= 1
        ago = 7 - bread_due
        assert bread["reason"] == f"bought every 7 days, last {ago} day{'s' * (ago > 1)} ago"
        if soap_due < 6:
            soap = found.loc[customer, "soap"]
            assert soap["rank"] <= 2
            assert soap["probability"] > 0.5
            assert abs((soap["expected_date"] - AS_OF).days - soap_due) <= 3
            assert soap["reason"].startswith("bought every 28 days")
    in_days = [(table[name] - AS_OF).dt.days for name in COLUMNS[4:7]]
    told = in_days[0].notna()
    assert told.equals(table["probability"] >= 0.05)
    middle, low, high = (days[told] for days in in_days)
    assert ((low >= 0) & (low <= middle) & (middle <= high) & (high < 7)).all()


def test_soap_that_is_not_due_is_less_probable_than_soap_that_is(model, lines):
    soap = model.recommend_table(lines, as_of=AS_OF, n=20).query("product_id == 'soap'").set_index("customer_id")
    due_in = pd.Series([-(126 - customer % 28) % 28 for customer in soap.index], soap.index)
    assert soap["probability"][due_in < 7].min() > 3 * soap["probability"][due_in >= 14].max()


def test_without_a_horizon_the_next_order_is_predicted_as_if_it_came_today(lines):
    table = NextPurchaseModel().fit(lines, as_of=AS_OF).recommend_table(lines, as_of=AS_OF, n=1)
    due = table[table["customer_id"] % 7 == 126 % 7]  # bread was bought 7 days ago
    assert set(due["product_id"]) == {"bread"}
    assert due["probability"].min() > 0.8
    assert (due["expected_date"] >= AS_OF).all()


def simulated(customers, days, seed):
    """Each customer buys each of 15 items at a rate of their own, orders of one day together."""
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.6, 0.03, (customers, 15)) * rng.gamma(2, 0.5, (customers, 1))
    bought = rng.random((days, customers, 15)) < 1 - np.exp(-rates)
    return [
        (customer, day, np.flatnonzero(bought[day, customer]).tolist())
        for day in range(days)
        for customer in range(customers)
        if bought[day, customer].any()
    ]


def test_probabilities_come_true_on_later_days_of_simulated_customers():
    lines = pd.DataFrame(as_lines(simulated(150, 168, 1)))
    as_of = DAY0 + dt.timedelta(days=140)
    table = NextPurchaseModel().fit(lines, as_of=as_of, horizon="28d").recommend_table(lines, as_of=as_of, n=15)
    later = lines[lines["timestamp"] >= as_of]
    bought = set(zip(later["customer_id"], later["product_id"], strict=True))
    table["came_true"] = [pair in bought for pair in zip(table["customer_id"], table["product_id"], strict=True)]
    assert table["came_true"].mean() == pytest.approx(table["probability"].mean(), abs=0.02)
    for _, group in table.groupby(pd.qcut(table["probability"], 5)):
        assert group["came_true"].mean() == pytest.approx(group["probability"].mean(), abs=0.06)
    assert table.groupby("rank")["came_true"].mean().loc[1] > 2 * table["came_true"].mean()


def test_foretold_odds_are_corrected_on_customers_not_seen():
    """Mostly chance: each model learns its own customers by heart, and the line takes that back."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 5)).astype(np.float32)
    bought = rng.random(3000) < np.where(features[:, 0] > 0, 0.26, 0.14)
    lessons = Lessons(features, bought, np.ones(3000), np.repeat(np.arange(150), 20))
    ranker = fit_ranker(lessons, 0, caller="test")
    assert 0 < ranker.slope < 0.5
    fresh = ranker.probability(rng.normal(size=(1000, 5)).astype(np.float32))
    assert fresh == pytest.approx(0.2, abs=0.15)
    weighted = fit_ranker(lessons._replace(weight=np.where(bought, 1.0, 4.0)), 0, caller="test")
    assert weighted.probability(features[:100]).mean() == pytest.approx(0.2 / (0.2 + 4 * 0.8), abs=0.02)


def test_where_nothing_was_learnt_everything_is_as_probable_and_that_is_told():
    """Nothing is known of any candidate: each model foretells the mean of its own, and that of the others is lower."""
    rng = np.random.default_rng(0)
    features = np.zeros((3000, 5), np.float32)
    lessons = Lessons(features, rng.random(3000) < 0.2, np.ones(3000), np.repeat(np.arange(150), 20))
    with pytest.warns(DataQualityWarning, match="fit: nothing was learnt .* rank by popularity. Take PersonalThenPop"):
        ranker = fit_ranker(lessons, 0, caller="fit")
    assert ranker.slope == 0
    assert ranker.probability(features) == pytest.approx(lessons.bought.mean())
    few = Lessons(*(column[: 90 * 20] for column in lessons))
    with pytest.warns(DataQualityWarning) as told:
        fit_ranker(few, 0, caller="fit")
    assert any(
        "of their candidates in the periods to learn from: with under 100 a simple" in str(w.message) for w in told
    )


def test_what_is_known_of_no_candidate_is_no_obstacle():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(3000, 3)).astype(np.float32)
    bought = rng.random(3000) < np.where(features[:, 0] > 0, 0.6, 0.1)
    features[:, 1] = np.nan  # as intervals are where only items new to the customer are asked for
    ranker = fit_ranker(Lessons(features, bought, np.ones(3000), np.repeat(np.arange(150), 20)), 0, caller="test")
    likely, unlikely = ranker.probability(np.array([[1, np.nan, 0], [-1, np.nan, 0]], np.float32))
    assert likely > 0.4
    assert unlikely < 0.2


def test_threads_of_others_are_left_alone(lines):
    before = {library["filepath"]: library["num_threads"] for library in threadpool_info()}
    NextPurchaseModel().fit(lines, as_of=AS_OF, horizon="7d")
    assert {library["filepath"]: library["num_threads"] for library in threadpool_info()} == before


def test_a_sample_of_very_many_candidates_is_as_honest(monkeypatch):
    lines = pd.DataFrame(as_lines(simulated(150, 168, 2)))
    as_of = DAY0 + dt.timedelta(days=140)

    def suggested():
        return NextPurchaseModel().fit(lines, as_of=as_of, horizon="28d").recommend_table(lines, as_of=as_of, n=15)

    whole = suggested()
    monkeypatch.setattr(_training, "ROWS", 12_000)  # candidates are counted as 200 a customer: one of four is drawn
    monkeypatch.setattr(_training, "CUSTOMERS", 80)
    monkeypatch.setattr(_candidates, "POOL", 50)
    sample = suggested()
    assert not sample.equals(whole)
    assert sample.equals(suggested())
    assert sample["probability"].mean() == pytest.approx(whole["probability"].mean(), abs=0.02)


def test_parts_of_the_customers_are_worked_on_like_all(monkeypatch, model, lines):
    owned = pd.DataFrame({"customer_id": [0, 13, 39], "product_id": ["bread", "soap", "bread"]})
    whole = model.recommend_table(lines, as_of=AS_OF, n=6, exclude=owned)
    monkeypatch.setattr(_candidates, "PART", 7)
    pd.testing.assert_frame_equal(model.recommend_table(lines, as_of=AS_OF, n=6, exclude=owned), whole, rtol=1e-6)


# -- time ----------------------------------------------------------------------------------------------------------


def test_nothing_at_or_after_as_of_is_read(model, lines):
    known = lines[lines["timestamp"] < AS_OF]
    poison = pd.DataFrame(as_lines([(c, 126 + c % 3, ["poison", "odd1"]) for c in range(140)]))
    poison["order_id"] += 10**6
    poison.loc[0, "timestamp"] = AS_OF
    poisoned = pd.concat([poison, known])
    expected = model.recommend_table(known, as_of=AS_OF, n=5)
    assert model.recommend_table(poisoned, as_of=AS_OF, n=5).equals(expected)
    again = NextPurchaseModel().fit(poisoned, as_of=AS_OF, horizon="7d")
    assert again.recommend_table(poisoned, as_of=AS_OF, n=5).equals(expected)


def test_the_order_of_the_lines_changes_nothing(model, lines):
    shuffled = lines.sample(frac=1, random_state=3)
    again = NextPurchaseModel().fit(shuffled, as_of=AS_OF, horizon="7d")
    expected = model.recommend_table(lines, as_of=AS_OF)
    assert again.recommend_table(shuffled, as_of=AS_OF).equals(expected)


def test_cuts_by_hand():
    # customer 0 orders on days 1, 5, 9; customer 1 on day 5
    sequences = Sequences(
        np.array([0, 3, 4]),
        np.arange(5),
        np.zeros(4, np.int32),
        np.array([1, 5, 9, 5]),
        np.array([7, 8]),
        np.array([0]),
    )
    cut = cut_before_day(sequences, np.array([5, 6]), 4)
    assert (cut.ends.tolist(), cut.until.tolist()) == ([1, 4], [2, 4])  # day 9 is outside [5, 9)
    one, two = cut_before_order(sequences, 1), cut_before_order(sequences, 2)
    assert (one.ends.tolist(), one.now.tolist(), one.until.tolist()) == ([2, 3], [9, 5], [3, 4])
    assert (two.ends.tolist(), two.now[0], two.until.tolist()) == ([1, 3], 5, [2, 3])  # customer 1 has no such order


# -- what is asked for ---------------------------------------------------------------------------------------------


def test_only_repeats_only_new_ones_and_what_is_excluded(model, lines):
    bought = set(zip(lines["customer_id"], lines["product_id"], strict=True))
    known = lines[lines["timestamp"] < AS_OF]
    had = set(zip(known["customer_id"], known["product_id"], strict=True))
    for which in ("repeat", "new"):
        chosen = NextPurchaseModel(which=which).fit(lines, as_of=AS_OF, horizon="28d")
        table = chosen.recommend_table(lines, as_of=AS_OF, n=4)
        pairs = set(zip(table["customer_id"], table["product_id"], strict=True))
        assert (pairs <= had) if which == "repeat" else not (pairs & had)
        assert len(pairs) == len(table) > 40
        assert table["reason"].str.startswith("bought").all() == (which == "repeat")
    assert bought
    table = model.recommend_table(lines, as_of=AS_OF, exclude=["bread"])
    assert set(table["product_id"]) == set(known["product_id"]) - {"bread"}
    owned = pd.DataFrame({"customer_id": [0], "product_id": ["bread"]})
    table = model.recommend_table(lines, as_of=AS_OF, n=1, exclude=owned)
    assert (table["product_id"] == "bread").tolist() == [False] + [True] * 119


def test_whoever_bought_nothing_known_gets_what_is_popular(model, lines):
    stranger = pd.DataFrame(as_lines([(999, 100, ["never sold before", "bread"]), (998, 101, ["new here"])]))
    table = model.recommend_table(pd.concat([lines, stranger]), as_of=AS_OF, n=20).set_index(
        ["customer_id", "product_id"]
    )
    assert table.loc[(999, "bread"), "reason"] == "bought once, 26 days ago"
    assert set(table.loc[998, "reason"]) == {"popular"}
    assert {"bread", "soap"} <= set(table.loc[998].index)


def test_categories(lines):
    by_category = lines.assign(category=lines["product_id"].str[:3])
    tx = Transactions(by_category)
    table = NextPurchaseModel(item="category").fit(tx, as_of=AS_OF, horizon="7d").recommend_table(tx, as_of=AS_OF, n=1)
    assert "category" in table
    assert set(table["category"]) <= {"bre", "soa", "odd"}
    assert (table["category"] == "bre").mean() > 0.8


def test_every_kind_of_frame_gets_the_same_answer(kind, model, lines):
    frame = make_frame({name: lines[name].tolist() for name in lines}, kind)
    table = model.recommend_table(frame, as_of=AS_OF, n=2)
    assert type(table) is type(frame)
    expected = records(model.recommend_table(lines, as_of=AS_OF, n=2))
    for row, wanted in zip(records(table), expected, strict=True):
        assert row[:3] == wanted[:3]
        assert row[3] == pytest.approx(wanted[3])
        assert row[4:] == wanted[4:]


def test_dtypes_and_missing_dates_are_the_same_on_every_kind(frame, model, lines):
    import narwhals.stable.v2 as nw

    few = lines[lines["customer_id"] < 8]
    table = nw.from_native(model.recommend_table(frame({name: few[name].tolist() for name in few}), as_of=AS_OF))
    schema = table.collect_schema()
    assert [str(schema[name]) for name in ("customer_id", "rank", "product_id", "probability", "reason")] == [
        "Int64", "Int64", "String", "Float64", "String",
    ]  # fmt: skip
    assert all(isinstance(schema[name], nw.Datetime) for name in COLUMNS[4:7])
    rows = records(table.to_native())
    undated = [row[4] is None or row[4] != row[4] for row in rows]
    assert undated == [row[3] < 0.05 for row in rows]
    assert any(undated)


def test_is_an_estimator(model, lines):
    again = pickle.loads(pickle.dumps(model))  # noqa: S301  our own bytes
    assert again.recommend_table(lines, as_of=AS_OF).equals(model.recommend_table(lines, as_of=AS_OF))
    assert clone(model).get_params() == {"item": "product_id", "which": "all", "random_state": 0}
    assert all(name.endswith("_") for name in set(vars(model)) - set(model.get_params()))
    with pytest.raises(NotFittedError):
        clone(model).recommend_table(lines, as_of=AS_OF)


# -- candidates, against a plain count -----------------------------------------------------------------------------

histories = st.lists(
    st.lists(st.tuples(st.integers(0, 9), st.sets(st.integers(0, 7), min_size=1, max_size=4)), max_size=6),
    min_size=1, max_size=5,
)  # fmt: skip


def as_histories(drawn):
    """Arrays of customers' orders, (days since the one before, items)."""
    orders = [sorted(items) for customer in drawn for _, items in customer]
    days = [day for customer in drawn for day in np.cumsum([gap for gap, _ in customer]).tolist()]
    starts = np.append(0, np.cumsum([len(customer) for customer in drawn])).astype(np.int64)
    item_starts = np.append(0, np.cumsum([len(items) for items in orders])).astype(np.int64)
    items = np.array([item for order in orders for item in order], np.int32)
    return Histories(starts[:-1], starts[1:], item_starts, items, np.array(days, np.int64))


def plain_links(drawn, ahead):
    """Count how often b is ``ahead`` orders after a, as the formula is written."""
    together, counts = Counter(), Counter(item for customer in drawn for _, items in customer for item in items)
    for customer in drawn:
        for place in range(len(customer) - ahead):
            here, there = customer[place][1], customer[place + ahead][1]
            together.update((a, b) for a in here for b in (there - here if ahead else there - {a}))
    return {
        (a, b): n / (n + 10) * n / (counts[a] * counts[b]) ** 0.5 for (a, b), n in together.items() if n > 1
    }  # fmt: skip


@settings(max_examples=30)
@given(histories)
def test_candidates_equal_the_formulas_written_out(drawn):
    arrays = as_histories(drawn)
    everybody = np.arange(len(drawn))
    people = population_of(arrays, 8, everybody)
    now = np.array([sum(gap for gap, _ in customer) + 3 for customer in drawn], np.int64)
    found = candidates_of(arrays, now, everybody, people, own=8, new=8, offered=np.ones(8, bool))
    links = [plain_links(drawn, ahead) for ahead in (0, 1)]
    vectors = [Counter() for _ in drawn]
    for vector, customer in zip(vectors, drawn, strict=True):
        for ago, (_, items) in enumerate(reversed(customer)):
            vector.update(dict.fromkeys(items, 0.95**ago))
    norms = [sum(weight**2 for weight in vector.values()) ** 0.5 for vector in vectors]
    for number, customer in enumerate(drawn):
        rows = slice(found.starts[number], found.starts[number + 1])
        assert sorted(found.items[rows].tolist()) == list(range(8))  # eight popular ones are all there are
        days = np.cumsum([gap for gap, _ in customer])
        for item, source, features in zip(found.items[rows], found.sources[rows], found.features[rows], strict=True):
            value = dict(zip(FEATURES, features.tolist(), strict=True))
            mine = sorted({int(day) for day, (_, items) in zip(days, customer, strict=True) if item in items})
            times = sum(item in items for _, items in customer)
            assert (source == OWN) == (times > 0)
            assert value["times"] == times
            assert value["order_share"] == pytest.approx(times / max(len(customer), 1))
            assert value["decayed_slow"] == pytest.approx(vectors[number][item], abs=1e-5)
            if times:
                assert value["recency_days"] == now[number] - mine[-1]
                assert value["age_days"] == now[number] - mine[0]
                gaps = np.diff(mine)
                assert value["mean_gap"] == pytest.approx(gaps.mean() if len(gaps) else np.nan, nan_ok=True)
                assert value["log_mean_gap"] == pytest.approx(
                    np.exp(np.log(gaps).mean()) if len(gaps) else np.nan, nan_ok=True
                )
                spread = gaps.std() / gaps.mean() if len(gaps) > 1 else np.nan
                assert value["gap_spread"] == pytest.approx(spread, nan_ok=True, abs=1e-3)
            last = customer[-1][1] if customer else set()
            habit = {
                own: vectors[number][own]
                + 1e-3
                * sum(0.5 ** ((now[number] - d) / 30) for d, (_, i) in zip(days, customer, strict=True) if own in i)
                for own in vectors[number]
            }
            assert value["beside"] == pytest.approx(sum(habit[a] * links[0].get((a, item), 0) for a in habit), abs=1e-5)
            assert value["after"] == pytest.approx(sum(habit[a] * links[1].get((a, item), 0) for a in last), abs=1e-5)
            similar = sum(
                sum(vectors[number][i] * other[i] for i in other) / (norms[number] * norm) * other[item] / norm
                for place, (other, norm) in enumerate(zip(vectors, norms, strict=True))
                if place != number and norm and norms[number]
            )
            assert value["similar"] == pytest.approx(similar, abs=1e-5)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 12))
def test_top_is_a_sort(scores, most):
    values = np.array(scores, np.float32)
    codes = np.random.default_rng(0).permutation(len(values)).astype(np.int32)
    expected = sorted(range(len(values)), key=lambda code: (-scores[code], code))[:most]
    assert top(values, codes, len(codes), most).tolist() == expected


def test_rates_of_items_by_hand():
    # 0: a, a, b on days 0, 4, 9; 1: b
    drawn = [[(0, {0}), (4, {0}), (5, {1})], [(9, {1})]]
    rates = population_of(as_histories(drawn), 2, np.arange(2)).rates
    assert rates[:, 0] == pytest.approx([1 / 2, 2 / 2])  # buyers of customers
    assert rates[:, 1] == pytest.approx([0.5 ** (9 / 30) + 0.5 ** (5 / 30), 2])  # orders of late
    assert rates[:, 2] == pytest.approx([(1 + 20 / 3) / 21, (20 / 3) / 22])  # one buyer of three came back
    assert rates[:, 3] == pytest.approx([(1 + 20 / 2) / 22, 20 / 2 / 20])  # one of two later orders
    assert rates[:, 4] == pytest.approx([4, 4])  # the only gap


def test_nobody_is_compared_with_oneself_and_what_is_not_offered_is_no_candidate():
    drawn = [[(0, {0, 1})], [(0, {0, 2})]]
    arrays = as_histories(drawn)
    people = population_of(arrays, 3, np.arange(2))
    options = {"own": 3, "new": 3}
    found = candidates_of(arrays, np.ones(2, np.int64), np.arange(2), people, offered=np.ones(3, bool), **options)
    similar = {
        (customer, item): float(row[FEATURES.index("similar")])
        for customer in range(2)
        for item, row in zip(
            found.items[found.starts[customer] :][:3], found.features[found.starts[customer] :][:3], strict=True
        )
    }
    assert similar[0, 1] == 0  # only the customer has it
    assert similar[0, 2] == pytest.approx(0.5 * 0.5**0.5)  # likeness 1/2, and the weight of item 2 in a pair
    offered = np.array([True, True, False])
    found = candidates_of(arrays, np.ones(2, np.int64), np.arange(2), people, offered=offered, **options)
    assert found.items.tolist() == [0, 1, 0, 2, 1]  # what one has bought stays
    named = (np.array([0, 1, 1]), np.array([2], np.int32))
    found = candidates_of(arrays, np.ones(2, np.int64), np.arange(2), people, offered=offered, named=named, **options)
    assert found.items.tolist() == [0, 1, 2, 0, 2, 1]


# -- reasons -------------------------------------------------------------------------------------------------------


def test_reasons_by_hand():
    # own: tea on days 0, 10, 40, milk on 10 and 40, jam on 41; tea goes with lemon, jam comes before bread
    tea, milk, jam, lemon, bread = range(5)
    drawn = [[(0, {tea}), (10, {tea, milk}), (30, {tea, milk}), (1, {jam})]]
    drawn += [[(0, {tea, lemon}), (1, {jam}), (1, {bread})]] * 2
    arrays = as_histories(drawn)
    people = population_of(arrays, 5, np.arange(3))
    items = np.array([tea, milk, jam, lemon, bread, bread, bread], np.int32)
    sources = np.array([0, 0, 0, 1, 2, 3, 4], np.int8)
    evidence = evidence_for(arrays, np.array([42, 9, 9]), np.zeros(7, np.int64), items, sources, people)
    assert reasons_of(sources, evidence, np.array(["tea", "milk", "jam", "lemon", "bread"])) == [
        "bought every 20 days, last 2 days ago",
        "bought twice, last 2 days ago",
        "bought once, 1 day ago",
        "goes with tea, bought 2 days ago",
        "often next after jam, bought 1 day ago",
        "customers with similar purchases buy it",
        "popular",
    ]
    assert POPULAR == 4


# -- the one-call door ---------------------------------------------------------------------------------------------


def test_the_door_recommends_and_is_judged_on_the_period_before(lines):
    scores = score_next_purchase(lines, as_of=AS_OF, horizon="14d", n=3)
    assert list(scores.recommendations.columns) == COLUMNS
    assert scores.recommendations.equals(scores.model.recommend_table(lines, as_of=AS_OF, n=3))
    table = scores.evaluation.to_frame().set_index("model")
    assert table.loc["NextPurchaseModel", "recall"] > table.loc["PopularRecommender", "recall"]
    assert table.loc["NextPurchaseModel", "brier_score"] < 0.25
    assert len(table) >= 5
    assert repr(scores).startswith('NextPurchaseScores: as of 2024-05-06, horizon="14d", best recall by ')
    assert "\n" not in repr(scores)
    poisoned = pd.concat([lines[lines["timestamp"] < AS_OF], lines[lines["timestamp"] >= AS_OF].assign(product_id="x")])
    again = score_next_purchase(poisoned, as_of=AS_OF, horizon="14d", n=3)
    assert again.evaluation.to_frame().equals(scores.evaluation.to_frame())


def test_the_door_refuses_a_short_history_before_anything_is_learnt(lines):
    with pytest.raises(
        SchemaError,
        match=r'score_next_purchase: horizon="43d" takes a history of 129 days.*as_of=2024-05-06 there are 126.*="42d"',
    ):
        score_next_purchase(lines, as_of=AS_OF, horizon="43d")


# -- up-selling ----------------------------------------------------------------------------------------------------

COFFEE = pd.DataFrame({
    "product_id": ["c1", "c1b", "c2", "c3", "t1", "t2"],
    "category": ["coffee", "coffee", "coffee", "coffee", "tea", "tea"],
    "tier": [1, 1, 2, 3, 1, 2],
    "price": [2.0, 3.0, 5.0, 9.0, 1.0, 4.0],
})  # fmt: skip


@pytest.fixture(scope="module")
def coffee_lines():
    """Even customers buy basic coffee each week, every fourth time a better one; odd ones tea, and the best coffee."""
    orders = []
    for customer in range(104):
        for week in range(20):
            items = ["c2" if week % 4 == 0 else "c1"] if customer % 2 == 0 else ["c3", "t1" if week % 5 else "t2"]
            orders.append((customer, 7 * week + customer % 7, items))
    return pd.DataFrame(as_lines(orders))


def test_the_next_tier_of_what_is_bought_already(coffee_lines):
    as_of = DAY0 + dt.timedelta(days=126)
    table = upsell_table(coffee_lines, COFFEE.drop(columns="price"), as_of=as_of, horizon="14d")
    told = table[["customer_id", "rank", "category", "present_tier", "tier", "product_id"]].to_numpy().tolist()
    assert told == [
        [c, 1, "coffee", 1, 2, "c2"] if c % 2 == 0 else [c, 1, "tea", 1, 2, "t2"] for c in range(104)
    ]  # nobody is above the best coffee
    assert table["probability"].between(0, 1, inclusive="neither").all()


def test_tiers_by_words_and_by_price(coffee_lines):
    as_of = DAY0 + dt.timedelta(days=126)
    words = COFFEE.assign(tier=COFFEE["tier"].map({1: "plain", 2: "fine", 3: "best"}))
    table = upsell_table(coffee_lines, words, as_of=as_of, horizon="14d", n=1)
    assert set(zip(table["present_tier"], table["tier"], strict=True)) == {("plain", "fine")}
    table = upsell_table(coffee_lines, COFFEE.drop(columns="tier"), as_of=as_of, horizon="14d", n=1)
    # coffee sold: 2, 5 and 9; tea: 1 and 4
    assert set(map(tuple, table[["category", "present_tier", "tier"]].to_numpy().tolist())) == {
        ("coffee", "low price", "middle price"), ("tea", "low price", "high price"),
    }  # fmt: skip
    with pytest.raises(SchemaError, match=r"how high these stand: 'best' of 'coffee', 'fine' .* Give a price, or num"):
        upsell_table(coffee_lines, words.drop(columns="price"), as_of=as_of, horizon="14d")
    with pytest.raises(SchemaError, match="products need a tier or a price"):
        upsell_table(coffee_lines, COFFEE[["product_id", "category"]], as_of=as_of, horizon="14d")
    with pytest.raises(SchemaError, match="none of the products that were bought, such as 'c3', is among"):
        upsell_table(coffee_lines, COFFEE.assign(product_id="x" + COFFEE["product_id"]), as_of=as_of, horizon="14d")
    some = Products(COFFEE[COFFEE["product_id"] != "t2"])
    with pytest.warns(DataQualityWarning, match="1 of 5 products bought have no category or tier"):
        table = upsell_table(coffee_lines, some, as_of=as_of, horizon="14d")
    assert set(table["customer_id"] % 2) == {0}


def test_words_stand_in_order_of_price_within_their_category(coffee_lines):
    """Dear tea: over both categories the plain one would seem to be the dearest tier."""
    words = COFFEE.assign(tier=COFFEE["tier"].map({1: "plain", 2: "fine", 3: "best"}))
    words.loc[words["category"] == "tea", "price"] = [100.0, 400.0]
    as_of = DAY0 + dt.timedelta(days=126)
    table = upsell_table(coffee_lines, words, as_of=as_of, horizon="14d")
    told = table[["category", "present_tier", "tier", "product_id"]].drop_duplicates().to_numpy().tolist()
    assert sorted(told) == [["coffee", "plain", "fine", "c2"], ["tea", "plain", "fine", "t2"]]
    words.loc[words["tier"] == "fine", "price"] = np.nan
    with pytest.raises(SchemaError, match=r"these stand: 'fine' of 'coffee', 'fine' of 'tea'. Give a price, or number"):
        upsell_table(coffee_lines, words, as_of=as_of, horizon="14d")


# -- refusals ------------------------------------------------------------------------------------------------------


def test_refusals_say_what_to_type(lines):
    with pytest.raises(
        SchemaError, match=r'horizon="70d" takes a history of 140 days.*before 2024-05-06 there are 126'
    ):
        NextPurchaseModel().fit(lines, as_of=AS_OF, horizon="70d")
    NextPurchaseModel().fit(lines, as_of=AS_OF, horizon="63d")
    once = pd.DataFrame(as_lines([(customer, customer, ["tea"]) for customer in range(30)]))
    with pytest.raises(SchemaError, match="nobody ordered twice"):
        NextPurchaseModel().fit(once, as_of=DAY0 + dt.timedelta(days=40))
    nine = lines[lines["customer_id"] < 9]
    with pytest.raises(SchemaError, match=r"9 customers bought one of their candidates .* it takes 10"):
        NextPurchaseModel().fit(nine, as_of=AS_OF, horizon="28d")
    with pytest.raises(SchemaError, match="random_state must be a whole number of at least 0, got -1"):
        NextPurchaseModel(random_state=-1).fit(lines, as_of=AS_OF, horizon="7d")


def test_ids_of_another_kind_and_items_that_are_not_known(model, lines):
    text = lines.assign(customer_id=lines["customer_id"].astype(str))
    with pytest.raises(
        SchemaError, match=r"recommend_table: customer_id holds text, and at the fit numbers.*astype\(int"
    ):
        model.recommend_table(text, as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"product_id holds numbers, and at the fit text.*astype\(str\)"):
        model.recommend_table(lines.assign(product_id=17), as_of=AS_OF)
    with pytest.warns(DataQualityWarning, match="none of the items was known at the fit, such as .*'bread'"):
        model.recommend_table(lines.assign(product_id="new"), as_of=AS_OF)
    owned = pd.DataFrame({"customer_id": ["0"], "product_id": ["bread"]})
    with pytest.raises(SchemaError, match=r"customer_id holds text in exclude, and in the transactions numbers"):
        model.recommend_table(lines, as_of=AS_OF, exclude=owned)
    with pytest.warns(
        DataQualityWarning, match="exclude has none of the customers that are known, such as .* it has 5000"
    ):
        model.recommend_table(lines, as_of=AS_OF, exclude=owned.assign(customer_id=5000))


def test_orders_that_end_early_are_told(model, lines):
    known = lines[lines["timestamp"] < AS_OF]  # the last ones are of 2024-05-05
    on_time, late = (AS_OF + dt.timedelta(days=days) for days in (6, 7))
    model.recommend_table(known, as_of=on_time)
    told = r'the last order is of 2024-05-05, 8 days before as_of=2024-05-13. .*take as_of="2024-05-06"'
    with pytest.warns(DataQualityWarning, match=r"recommend_table: " + told):
        model.recommend_table(known, as_of=late)
    with pytest.warns(DataQualityWarning) as warnings:
        NextPurchaseModel().fit(known, as_of=AS_OF + dt.timedelta(days=8), horizon="7d")
    assert any("NextPurchaseModel.fit: the last order is of 2024-05-05, 9 days" in str(w.message) for w in warnings)


# -- dates of what is new ------------------------------------------------------------------------------------------


def test_days_of_what_is_new_by_hand():
    dates = Dates(np.ones(4), *np.array([[9, 9, 27, -1], [8, 8, 27, -1], [20, 20, 27, -1]]))
    spread = _with_any_order(dates, np.array([True, False, True, True]), 28)
    # from day 8 to 27 there are 20 days: 10 % are the first two, the last two another 10 %
    assert [row.tolist() for row in spread[1:]] == [[18, 9, 27, -1], [10, 8, 27, -1], [25, 20, 27, -1]]


def test_days_of_new_items_come_true_four_times_in_five():
    """Customers whose many tastes are found out order by order: each first purchase is on one of their order days."""
    lines = pd.DataFrame(as_lines(simulated(250, 140, 4)))
    as_of = DAY0 + dt.timedelta(days=112)
    model = NextPurchaseModel(which="new").fit(lines, as_of=as_of, horizon="28d")
    table = model.recommend_table(lines, as_of=as_of, n=15).dropna(subset="expected_date")
    later = lines[lines["timestamp"] >= as_of]
    first = later.groupby(["customer_id", "product_id"])["timestamp"].min().dt.normalize()
    day = pd.Series(
        [first.get(pair) for pair in zip(table["customer_id"], table["product_id"], strict=True)], table.index
    )
    is_held = (day >= table["expected_date_low"]) & (day <= table["expected_date_high"])
    assert day.notna().sum() > 100
    assert is_held[day.notna()].mean() == pytest.approx(0.8, abs=0.08)
    assert (day > table["expected_date"])[day.notna()].mean() == pytest.approx(0.5, abs=0.12)
