"""What the baselines of the next purchase promise: scores by hand, ties by popularity, nothing from the future."""

import datetime as dt
import pickle
from collections import Counter
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from crmlytics import Products, Transactions
from crmlytics._sequences import read_sequences
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.sequences._allowed import Allowed
from crmlytics.sequences._recommender import NextItemRecommender
from crmlytics.sequences.baselines import (
    DecayedRepeatRecommender,
    MarkovRecommender,
    PersonalThenPopularRecommender,
    PersonalTopRecommender,
    PopularRecommender,
    TIFUKNNRecommender,
)
from crmlytics.testing import make_frame, records

ALL = [
    PopularRecommender, PersonalTopRecommender, PersonalThenPopularRecommender, DecayedRepeatRecommender,
    MarkovRecommender, TIFUKNNRecommender,
]  # fmt: skip
START = dt.datetime(2024, 1, 1)
AS_OF = dt.datetime(2024, 3, 1)


def lines_of(histories, *, every=7):
    """Order lines of customers: one order every ``every`` days from the first of January, its items as letters."""
    rows = [
        (customer, f"{customer}{number}", START + dt.timedelta(days=every * number), item)
        for customer, orders in histories.items()
        for number, order in enumerate(orders)
        for item in order
    ]
    columns = ["customer_id", "order_id", "timestamp", "product_id"]
    return {name: [row[place] for row in rows] for place, name in enumerate(columns)}


# a in 4 orders, b in 3, c in 2, d in 2, e in 1: 7 orders in all
HISTORIES = {"ann": ["ab", "ac", "a"], "bob": ["bd", "d"], "eve": ["abc", "e"]}
ORDERS = pd.DataFrame(lines_of(HISTORIES))


def ranked(model, orders=ORDERS, **options):
    """Return for each customer what is suggested: [(item, score), ...]."""
    fitted = model.fit(orders, as_of=AS_OF)
    found = {}
    for customer, rank, item, score in records(fitted.recommend_table(orders, as_of=AS_OF, **options)):
        found.setdefault(customer, []).append((item, pytest.approx(score)))
        assert rank == len(found[customer])
    return found


def items(model, orders=ORDERS, **options):
    return {customer: "".join(item for item, _ in row) for customer, row in ranked(model, orders, **options).items()}


# -- by hand -------------------------------------------------------------------------------------------------------


def test_popular_is_what_most_orders_hold_and_ties_go_by_id():
    expected = [("a", 4 / 7), ("b", 3 / 7), ("c", 2 / 7), ("d", 2 / 7), ("e", 1 / 7)]
    assert ranked(PopularRecommender()) == dict.fromkeys(["ann", "bob", "eve"], expected)


def test_personal_is_the_share_of_own_orders_then_popular_with_score_zero(frame):
    orders = frame(lines_of(HISTORIES))
    model = PersonalThenPopularRecommender().fit(orders, as_of=AS_OF)
    table = model.recommend_table(orders, as_of=AS_OF, n=4)
    assert type(table) is type(orders)
    assert records(table) == [
        ("ann", 1, "a", 1.0), ("ann", 2, "b", 1 / 3), ("ann", 3, "c", 1 / 3), ("ann", 4, "d", 0.0),
        ("bob", 1, "d", 1.0), ("bob", 2, "b", 1 / 2), ("bob", 3, "a", 0.0), ("bob", 4, "c", 0.0),
        ("eve", 1, "a", 1 / 2), ("eve", 2, "b", 1 / 2), ("eve", 3, "c", 1 / 2), ("eve", 4, "e", 1 / 2),
    ]  # fmt: skip


def test_personal_top_leaves_places_empty():
    assert items(PersonalTopRecommender()) == {"ann": "abc", "bob": "db", "eve": "abce"}


def test_decayed_repeats_weigh_by_age_and_by_how_often_an_item_is_bought_again():
    found = ranked(DecayedRepeatRecommender(half_life="7d"))
    # repeats: a 4 - 2, b 3 - 3, c 2 - 2, d 2 - 1, e 1 - 1, so 3 of 12 in all; ten purchases are assumed of that rate
    rate_a, rate_d = (2 + 10 / 4) / (4 + 10), (1 + 10 / 4) / (2 + 10)
    age = (AS_OF - START).days
    assert found["ann"][0] == ("a", rate_a * sum(0.5 ** ((age - day) / 7) for day in (0, 7, 14)))
    assert found["bob"][0] == ("d", rate_d * sum(0.5 ** ((age - day) / 7) for day in (0, 7)))
    assert [score for _, score in found["bob"][2:]] == [0, 0, 0]


def test_markov_is_the_mean_rate_of_what_follows_the_last_order():
    # a: 3 orders with a next one (ab, ac, abc), followed by ac, a, e; d: followed by d
    found = ranked(MarkovRecommender())
    assert found["ann"][:3] == [("a", 2 / 3), ("c", 1 / 3), ("e", 1 / 3)]
    assert found["bob"][:2] == [("d", 1.0), ("a", 0.0)]
    assert found["eve"][0] == ("a", 0.0)  # nothing ever followed e


def test_markov_averages_over_the_items_of_the_last_order_and_keeps_the_likeliest():
    histories = {"ann": ["a", "x"], "bob": ["a", "xy"], "cat": ["b", "y"], "dan": ["c", "ab"]}
    orders = pd.DataFrame(lines_of(histories))
    assert ranked(MarkovRecommender(), orders)["dan"][:2] == [("y", (1 / 2 + 1) / 2), ("x", (1 + 0) / 2)]
    assert ranked(MarkovRecommender(successor_count=1), orders)["dan"][:2] == [("x", 1 / 2), ("y", 1 / 2)]


def test_tifu_knn_by_the_formula_of_the_paper():
    histories = {"ann": ["a", "b", "a", "a", "c"], "bob": ["a", "d"], "cat": ["q"]}
    model = TIFUKNNRecommender(neighbour_count=1, group_size=2, basket_decay=0.5, group_decay=0.2, own_weight=0.75)
    found = dict(ranked(model, pd.DataFrame(lines_of(histories)))["ann"])
    # ann's groups from the end: (a, c), (b, a), (a) of weights 1, .2, .04; bob's: (a, d)
    own = {
        "a": (0.5 / 2 + 0.2 * 1 / 2 + 0.04 * 1) / 3,
        "b": 0.2 * 0.5 / 2 / 3,
        "c": 1 / 2 / 3,
        "d": 0,
    }
    bob = {"a": 0.5 / 2, "d": 1 / 2}
    for item in "abcd":
        assert 0.75 * own[item] + 0.25 * bob.get(item, 0) == found[item]
    assert found["q"] == 0  # cat shares no item with ann: no neighbour


def test_of_customers_equally_near_the_first_by_id_counts():
    histories = {"ann": ["a"], "bob": ["ay"], "cat": ["ax"], "dan": ["aw"]}
    found = ranked(TIFUKNNRecommender(neighbour_count=2), pd.DataFrame(lines_of(histories)))
    assert found["ann"] == [("a", 0.7 + 0.3), ("x", 0.3 / 2), ("y", 0.3 / 2), ("w", 0.0)]
    assert found["dan"][:2] == [("a", 0.7 + 0.3), ("w", 0.7)]
    assert found["dan"][2:] == [("y", 0.3 / 2), ("x", 0.0)]  # ann is nearest, then bob before cat


# -- against plain Python ------------------------------------------------------------------------------------------

HISTORY = st.lists(st.sets(st.sampled_from("abcdefg"), min_size=1, max_size=4), min_size=1, max_size=6)
MANY = st.dictionaries(st.sampled_from(["ann", "bob", "cat", "dan", "eve", "fay"]), HISTORY, min_size=1)


def plain_markov(histories):
    after, total = Counter(), Counter()
    for orders in histories.values():
        for one, following in pairwise(orders):
            total.update(one)
            after.update((i, j) for i in one for j in following)
    return {
        who: {j: sum(after[i, j] / total[i] for i in orders[-1] if total[i]) / len(orders[-1]) for j in "abcdefg"}
        for who, orders in histories.items()
    }


def plain_tifu(histories, k, m, within, across, alpha):
    vectors = {}
    for who, orders in histories.items():
        groups, rest = [], list(orders)
        while rest:
            rest, group = rest[:-m], rest[-m:]
            groups.append(group)
        vectors[who] = dict.fromkeys("abcdefg", 0.0)
        for g, group in enumerate(groups):
            for j, order in enumerate(reversed(group)):
                for item in order:
                    vectors[who][item] += within**j / len(group) * across**g / len(groups)
    scores = {}
    for who, own in vectors.items():
        others = [w for w in sorted(vectors) if w != who and any(own[i] and vectors[w][i] for i in own)]
        near = sorted(others, key=lambda w: round(sum((own[i] - vectors[w][i]) ** 2 for i in own), 9))[:k]
        mean = {i: sum(vectors[w][i] for w in near) / max(len(near), 1) for i in own}
        scores[who] = {i: alpha * own[i] + (1 - alpha) * mean[i] for i in own}
    return scores


def in_order(scores, histories):
    """Return what a model with these scores has to suggest: ties by popularity, then by id."""
    popularity = Counter(item for orders in histories.values() for order in orders for item in order)
    ordered = sorted(popularity, key=lambda item: (-round(scores[item], 9), -popularity[item], item))
    return [(item, pytest.approx(scores[item], abs=1e-9)) for item in ordered]


@given(MANY)
@settings(max_examples=30)
def test_markov_equals_plain_python(histories):
    expected = plain_markov(histories)
    found = ranked(MarkovRecommender(), pd.DataFrame(lines_of(histories)))
    assert found == {who: in_order(expected[who], histories) for who in histories}


@given(MANY, st.integers(1, 3), st.integers(1, 3))
@settings(max_examples=30)
def test_tifu_knn_equals_plain_python(histories, k, m):
    expected = plain_tifu(histories, k, m, 0.9, 0.7, 0.6)
    model = TIFUKNNRecommender(neighbour_count=k, group_size=m, own_weight=0.6)
    found = ranked(model, pd.DataFrame(lines_of(histories)))
    assert found == {who: in_order(expected[who], histories) for who in histories}


# -- what every model keeps ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ALL)
def test_repeat_and_new_are_the_two_parts_of_all(model):
    own = {who: {item for order in orders for item in order} for who, orders in HISTORIES.items()}
    everything = ranked(model())
    for which, wanted in (("repeat", True), ("new", False)):
        expected = {
            who: [(item, score) for item, score in row if (item in own[who]) is wanted]
            for who, row in everything.items()
        }
        assert ranked(model(which=which)) == {who: row for who, row in expected.items() if row}


@pytest.mark.parametrize("which", ["all", "repeat", "new"])
@pytest.mark.parametrize("model", ALL)
def test_what_is_excluded_moves_the_rest_up(model, which):
    everything = items(model(which=which))
    without = {who: row.replace("a", "") for who, row in everything.items()}
    pairs = pd.DataFrame({"customer_id": ["ann", "bob", "eve", "zoe"], "product_id": ["a", "d", "d", "a"]})
    owned = {who: row.replace({"ann": "a", "bob": "d", "eve": "d"}[who], "") for who, row in everything.items()}
    assert items(model(which=which), exclude=["a", "not sold"]) == without
    assert items(model(which=which), exclude=pairs) == {who: row for who, row in owned.items() if row}
    assert items(model(which=which), exclude=["a"], n=2) == {who: row[:2] for who, row in without.items()}


def test_exclude_comes_as_list_series_array_products_or_frame(kind):
    stock = {"product_id": ["a", "b"], "price": [1.0, 2.0]}
    expected = items(PopularRecommender(), exclude=["a", "b"])
    assert expected["ann"] == "cde"
    assert items(PopularRecommender(), exclude=make_frame(stock, kind)) == expected
    for exclude in (("a", "b"), {"a", "b"}, pd.Series(["a", "b"]), np.array(["a", "b"]), Products(pd.DataFrame(stock))):
        assert items(PopularRecommender(), exclude=exclude) == expected


@pytest.mark.parametrize("model", ALL)
def test_nothing_at_or_after_the_cutoff_is_read(model):
    poison = pd.DataFrame({
        "customer_id": ["ann", "bob", "new"] * 20, "order_id": ["p", "bob0", "q"] * 20,
        "timestamp": [AS_OF, AS_OF, AS_OF + dt.timedelta(days=9)] * 20, "product_id": ["z", "e", "a"] * 20,
    })  # fmt: skip
    assert ranked(model(), pd.concat([ORDERS, poison])) == ranked(model())


@pytest.mark.parametrize("model", ALL)
def test_the_order_of_rows_does_not_matter(model):
    assert ranked(model(), ORDERS.sample(frac=1, random_state=1)) == ranked(model())


@pytest.mark.parametrize("model", ALL)
def test_models_can_be_cloned_pickled_and_fitted_again(model):
    fitted = clone(model(which="repeat")).fit(ORDERS, as_of=AS_OF, horizon="8w")
    assert isinstance(fitted, NextItemRecommender)
    assert (fitted.which, fitted.as_of_, fitted.horizon_days_) == ("repeat", AS_OF, 56)
    assert fitted.item_ids_.tolist() == ["e", "c", "d", "b", "a"]  # rare ones first, then by id
    again = pickle.loads(pickle.dumps(fitted))  # noqa: S301  our own
    expected = records(fitted.recommend_table(ORDERS, as_of=AS_OF))
    assert records(again.recommend_table(ORDERS, as_of=AS_OF, horizon="56d")) == expected
    assert records(fitted.fit(ORDERS, as_of=AS_OF).recommend_table(ORDERS, as_of=AS_OF)) == expected


def test_later_histories_are_ranked_with_what_was_learnt_and_unknown_items_pass():
    later = pd.DataFrame(lines_of({"ann": ["c"], "new": ["zz"], "zed": ["d", "dz"]}))
    model = PersonalThenPopularRecommender().fit(ORDERS, as_of=AS_OF)
    table = model.recommend_table(later, as_of="2024-04-01", n=2)
    assert records(table) == [
        ("ann", 1, "c", 1.0), ("ann", 2, "a", 0.0), ("new", 1, "a", 0.0), ("new", 2, "b", 0.0),
        ("zed", 1, "d", 1.0), ("zed", 2, "a", 0.0),
    ]  # fmt: skip
    assert records(MarkovRecommender().fit(ORDERS, as_of=AS_OF).recommend_table(later, as_of=AS_OF, n=1)) == [
        ("ann", 1, "a", 0.5), ("new", 1, "a", 0.0), ("zed", 1, "d", 1.0),
    ]  # fmt: skip


def test_categories_and_whole_numbers_and_returns():
    orders = pd.DataFrame({
        "customer_id": [7, 7, 7, 8], "order_id": [1, 1, 2, 3], "timestamp": [START] * 4,
        "category": [10, 20, 20, 10], "quantity": [1, -1, 2, 1], "amount": [1.0, -1.0, 2.0, 1.0],
    })  # fmt: skip
    model = PersonalTopRecommender(item="category").fit(orders, as_of=AS_OF)
    table = model.recommend_table(orders, as_of=AS_OF)
    assert table.dtypes.astype(str).to_dict() == {
        "customer_id": "int64", "rank": "int64", "category": "int64", "score": "float64"
    }  # fmt: skip
    assert records(table) == [(7, 1, 10, 0.5), (7, 2, 20, 0.5), (8, 1, 10, 1.0)]


def test_many_customers_are_ranked_in_chunks_as_one_by_one():
    random = np.random.default_rng(0)
    histories = {f"c{n:04}": ["".join(random.choice(list("abcdefgh"), 2)) for _ in range(3)] for n in range(600)}
    whole = pd.DataFrame(lines_of(histories))
    model = PersonalThenPopularRecommender(which="new").fit(whole, as_of=AS_OF)
    found = pd.DataFrame(model.recommend_table(whole, as_of=AS_OF, n=3))
    for part in ("c0000", "c0255", "c0256", "c0599"):
        alone = model.recommend_table(whole[whole["customer_id"] == part], as_of=AS_OF, n=3)
        assert records(found[found["customer_id"] == part]) == records(alone)


# -- what is allowed -----------------------------------------------------------------------------------------------


def test_allowed_pairs_say_what_the_lists_say():
    sequences = read_sequences(ORDERS, as_of=AS_OF, caller="test")
    customers, codes = (grid.ravel() for grid in np.meshgrid(range(3), range(5), indexing="ij"))
    bought = np.array([sequences.item_ids[code] in set("".join(HISTORIES[sequences.sequence_ids[who]]))
                       for who, code in zip(customers, codes, strict=True)])  # fmt: skip
    in_stock = sequences.item_ids[codes] != "a"
    for which, expected in (("all", True), ("repeat", bought), ("new", ~bought)):
        allowed = Allowed.of(sequences, which=which, exclude=["a"])
        assert (allowed.pairs(customers, codes) == (in_stock & expected)).all()


# -- refusals ------------------------------------------------------------------------------------------------------


def test_refusals_say_what_to_type():
    with pytest.raises(NotFittedError):
        PopularRecommender().recommend_table(ORDERS, as_of=AS_OF)
    fitted = PopularRecommender().fit(ORDERS, as_of=AS_OF, horizon="56d")
    with pytest.raises(SchemaError, match=r'as_of=2024-02-29 lies before that of the fit, 2024-03-01.*as_of="2024-02'):
        fitted.recommend_table(ORDERS, as_of="2024-02-29")
    with pytest.raises(SchemaError, match=r'fitted to predict horizon="56d", got horizon="7d".*horizon="7d"\)'):
        fitted.recommend_table(ORDERS, as_of=AS_OF, horizon="7d")
    with pytest.raises(SchemaError, match=r'fitted to predict the next order, got horizon="28d"'):
        PopularRecommender().fit(ORDERS, as_of=AS_OF).recommend_table(ORDERS, as_of=AS_OF, horizon="28d")
    with pytest.raises(SchemaError, match=r"PopularRecommender.fit: nothing was bought before as_of=2024-01-01"):
        PopularRecommender().fit(ORDERS, as_of=START)
    with pytest.raises(SchemaError, match=r"recommend_table: n must be a whole number of at least 1, got 0"):
        fitted.recommend_table(ORDERS, as_of=AS_OF, n=0)
    with pytest.raises(SchemaError, match=r"exclude must be a list of ids such as .*got 'a'"):
        fitted.recommend_table(ORDERS, as_of=AS_OF, exclude="a")
    with pytest.raises(SchemaError, match=r"exclude needs a column 'product_id'.*Columns: \['sku'\]"):
        fitted.recommend_table(ORDERS, as_of=AS_OF, exclude=pd.DataFrame({"sku": ["a"]}))


def test_tells_when_nothing_excluded_is_known():
    fitted = PopularRecommender().fit(ORDERS, as_of=AS_OF)
    with pytest.warns(
        DataQualityWarning, match=r"none of the items that are known, such as 'd', 'b', 'a'; it has 'zz'"
    ):
        fitted.recommend_table(ORDERS, as_of=AS_OF, exclude=["zz"])
    with pytest.raises(SchemaError, match=r"product_id holds numbers in exclude, and in the transactions text"):
        fitted.recommend_table(ORDERS, as_of=AS_OF, exclude=[17])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (PopularRecommender(item="channel"), r"item must be one of \['product_id', 'category'\], got 'channel'"),
        (PopularRecommender(which="old"), r"which must be one of \['all', 'repeat', 'new'\], got 'old'"),
        (DecayedRepeatRecommender(half_life=90), r"half_life must be a duration in days or weeks"),
        (MarkovRecommender(successor_count=0), r"successor_count must be a whole number of at least 1"),
        (TIFUKNNRecommender(group_size=0), r"group_size must be a whole number of at least 1"),
        (TIFUKNNRecommender(basket_decay=0), r"basket_decay must be a number above 0 and at most 1, got 0"),
        (TIFUKNNRecommender(group_decay=1.1), r"group_decay must be a number above 0 and at most 1, got 1.1"),
        (TIFUKNNRecommender(own_weight=-1), r"own_weight must be a number from 0 to 1, got -1"),
    ],
)
def test_parameters_are_checked_in_fit(model, message):
    with pytest.raises(SchemaError, match=rf"{type(model).__name__}.fit: {message}"):
        model.fit(ORDERS, as_of=AS_OF)


# -- real data -----------------------------------------------------------------------------------------------------


def test_complete_journey_habits_beat_best_sellers(shared_data):
    lines = pd.read_parquet(shared_data / "complete_journey" / "transactions.parquet")
    roles = {"customer_id": "household_id", "order_id": "basket_id", "timestamp": "transaction_timestamp"}
    tx = Transactions(lines, amount="sales_value", **roles)
    later = set(zip(*(lines[lines["transaction_timestamp"] >= "2017-12-01"][name]
                      for name in ("household_id", "product_id")), strict=True))  # fmt: skip
    hits = {}
    for model in (PopularRecommender(), PersonalThenPopularRecommender(), DecayedRepeatRecommender()):
        table = model.fit(tx, as_of="2017-12-01").recommend_table(tx, as_of="2017-12-01")
        assert (table.groupby("customer_id").size() == 10).all()
        found = [pair in later for pair in zip(table["customer_id"], table["product_id"], strict=True)]
        hits[type(model).__name__] = np.mean(found)
    assert hits["DecayedRepeatRecommender"] > hits["PersonalThenPopularRecommender"] > 2 * hits["PopularRecommender"]
