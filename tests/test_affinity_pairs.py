"""What pair_table promises: attraction within customers and sizes of baskets, at the level it says, on every frame."""

import datetime as dt
from collections import defaultdict
from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from crmlytics import Transactions
from crmlytics._kernels.co_purchase import pair_counts
from crmlytics._kernels.multiple_testing import benjamini_hochberg, holm
from crmlytics.affinity.pairs import pair_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

NAMES = ["product_id", "other_product_id", "observed_count", "expected_count", "ratio", "z_score", "p_value",
         "adjusted_p_value", "customer_count", "customer_share", "customer_lift", "relation"]  # fmt: skip


def lines_of(baskets):
    """Lines of (customer, items) baskets; order ids are their places."""
    found = [(customer, order, item) for order, (customer, items) in enumerate(baskets) for item in items]
    return dict(zip(["customer_id", "order_id", "product_id"], map(list, zip(*found, strict=True)), strict=True))


# One customer, three baskets of two or three items: a is in all three, b in two, c and d in one each. Of the ordered
# pairs of different items 7^2 - (9 + 4 + 1 + 1) = 34 are possible and 6 + 2 + 2 = 10 met: as in n* = 3.4 baskets.
# Ten such customers, an eleventh with baskets of unlike sizes and a twelfth with a single basket, who say nothing.
WEEKS = [["a", "b", "c"], ["a", "b"], ["a", "d"]]
BASKETS = [(customer, week) for customer in range(10) for week in WEEKS]
BASKETS += [(10, ["a", "b"]), (10, ["a", "b", "c", "d"]), (10, ["d"]), (10, ["d"]), (11, ["c", "d"])]
SIZE = 3.4


def test_counted_by_hand_on_every_kind(frame):
    sales = frame(lines_of(BASKETS))
    table = pair_table(sales, min_expected=2)
    assert type(table) is type(sales)
    found = {row[:2]: dict(zip(NAMES, row, strict=True)) for row in records(table)}
    assert set(found) == set(combinations("abcd", 2))
    ab, bd = found["a", "b"], found["b", "d"]
    assert (ab["observed_count"], ab["z_score"], ab["p_value"]) == (20, None, None)  # with a in all there is no chance
    assert ab["expected_count"] == pytest.approx(20)
    assert (ab["customer_count"], ab["customer_share"]) == (11, 11 / 12)
    assert ab["customer_lift"] == pytest.approx(11 * 12 / (11 * 11))
    assert (bd["observed_count"], bd["ratio"]) == (0, 0)
    assert bd["expected_count"] == pytest.approx(10 * 2 * 1 / SIZE)
    variance = 10 * 2 * 1 * (SIZE - 2) * (SIZE - 1) / (SIZE**2 * (SIZE - 1))
    assert bd["z_score"] == pytest.approx(-20 / SIZE / variance**0.5)
    assert bd["p_value"] == pytest.approx(2 * stats.norm.cdf(bd["z_score"]))
    cd = found["c", "d"]
    assert (cd["observed_count"], cd["customer_count"]) == (0, 12)  # ten in different baskets, two together
    assert cd["expected_count"] == pytest.approx(10 / SIZE)


def test_dtypes_are_the_same_on_every_kind(frame):
    import narwhals.stable.v2 as nw

    schema = nw.from_native(pair_table(frame(lines_of(BASKETS)), min_expected=2)).collect_schema()
    kinds = dict.fromkeys(NAMES, "Float64") | dict.fromkeys(["product_id", "other_product_id", "relation"], "String")
    assert {name: str(kind) for name, kind in schema.items()} == kinds | {"observed_count": "Int64",
                                                                         "customer_count": "Int64"}  # fmt: skip


def test_a_pair_that_is_always_together_has_no_test():
    baskets = [(customer, ["a", "b"]) for customer in range(6) for _ in range(2)]
    (row,) = records(pair_table(make_frame(lines_of(baskets), "polars")))
    assert row[2:8] == (12, 12.0, 1.0, None, None, None)
    assert row[-1] == "unrelated"


# -- against a plain count -----------------------------------------------------------------------------------------

baskets = st.lists(
    st.tuples(st.integers(0, 3), st.sets(st.integers(0, 6), min_size=1, max_size=6)), min_size=1, max_size=40
)


def plain_pairs(drawn, periods):
    """Sum observed, expected and variance over strata as the formula is written, pair by pair."""
    strata, buyers = defaultdict(list), defaultdict(set)
    for (customer, items), period in zip(drawn, periods, strict=True):
        strata[len(items).bit_length(), customer, period].append(items)
        buyers[customer] |= items
    found = defaultdict(lambda: np.zeros(4))
    for (size_class, *_), group in strata.items():
        if size_class == 1 or len(group) == 1:
            continue
        n = {item: sum(item in items for items in group) for item in set().union(*group)}
        possible = sum(n[a] * n[b] for a in n for b in n if a != b)
        size = possible / sum(len(items) * (len(items) - 1) for items in group)
        for a, b in combinations(sorted(n), 2):
            p, q = (1 if n[i] == len(group) else min(n[i] / size, 1) for i in (a, b))
            plain = n[a] * n[b] * (len(group) - n[a]) * (len(group) - n[b]) / (len(group) ** 2 * (len(group) - 1))
            found[a, b][0] += sum({a, b} <= items for items in group)
            found[a, b][1] += size * p * q
            found[a, b][2] += max(size**2 * p * (1 - p) * q * (1 - q) / (size - 1), plain)
    for a, b in found:
        found[a, b][3] = sum({a, b} <= items for items in buyers.values())
    return found


@example([(1, {0, 1, 3, 4}), (1, {0, 1, 3, 5}), (0, {0, 1, 2, 3, 4, 5})], 0.1, 1)  # customer 0 has nothing to compare
@given(baskets, st.sampled_from([0.1, 1.0, 3.0]), st.sampled_from([1, 2, 3]))
def test_equals_the_formula_written_out(drawn, least, period_count):
    periods = [place % period_count - 1 for place in range(len(drawn))]  # numbers may be negative
    lengths = [len(items) for _, items in drawn]
    found = pair_counts(
        np.append(0, np.cumsum(lengths)).astype(np.int64),
        np.array([item for _, items in drawn for item in sorted(items)], np.int32),
        np.array([customer for customer, _ in drawn], np.int32),
        7,
        least,
        period=np.array(periods) if period_count > 1 else None,
    )
    plain = plain_pairs(drawn, periods)
    expected = {pair: tuple(sums) for pair, sums in sorted(plain.items()) if sums[1] >= least}
    got = zip(found.observed, found.expected, found.variance, found.customers, strict=True)
    pairs = zip(found.first.tolist(), found.second.tolist(), strict=True)
    assert dict(zip(pairs, got, strict=True)) == {
        pair: pytest.approx(sums, abs=1e-9) for pair, sums in expected.items()
    }
    assert found.skipped == len(plain) - len(expected)


@settings(max_examples=20)
@given(baskets, st.randoms())
def test_the_order_of_the_lines_changes_nothing(drawn, random):
    lines = pd.DataFrame(lines_of([(9, {90, 91}), (9, {90, 91}), *drawn]))
    shuffled = lines.iloc[random.sample(range(len(lines)), len(lines))]
    one, other = (pair_table(table, min_expected=1) for table in (lines, shuffled))
    assert one.equals(other)


# -- in simulated baskets ------------------------------------------------------------------------------------------


def simulated(seed, *, planted):
    """Baskets of very unlike sizes; customers differ in what they like. Planted: 0 pulls 1 in, 2 drives 3 out."""
    rng = np.random.default_rng(seed)
    popular = 1 / (np.arange(40) + 3.0)
    baskets = []
    for customer in range(400):
        liking = popular * rng.gamma(0.7, size=40) + 1e-9
        liking[3] = liking[2] if planted else liking[3]  # the same customers buy both
        for _ in range(1 + rng.poisson(15)):
            size = 1 + rng.poisson(rng.choice([1, 4, 12]))
            items = set(np.argsort(rng.exponential(size=40) / liking)[:size].tolist())
            if planted and 0 in items and rng.random() < 0.5:
                items.add(1)
            if planted and {2, 3} <= items:
                items.discard(rng.choice([2, 3]))
            baskets.append((customer, items))
    return pd.DataFrame(lines_of(baskets))


def test_independent_items_are_called_related_no_more_often_than_alpha_says():
    tables = [pair_table(simulated(seed, planted=False)) for seed in range(5)]
    p_values = np.concatenate([table["p_value"] for table in tables])
    assert len(p_values) == 5 * 780
    assert (p_values < 0.05).mean() == pytest.approx(0.05, abs=0.02)  # .054 in 10,920 pairs; .99 without the sizes
    assert (p_values < 0.001).mean() < 0.004
    assert sum((table["relation"] != "unrelated").sum() for table in tables) <= 2  # a false one in 1 of 20 tables


def test_planted_complements_and_substitutes_are_the_strongest():
    table = pair_table(simulated(1, planted=True))
    first, last = table.iloc[0], table.iloc[-1]
    assert tuple(first[["product_id", "other_product_id", "relation"]]) == (0, 1, "complement")
    assert tuple(last[["product_id", "other_product_id", "relation"]]) == (2, 3, "substitute")
    assert (last["observed_count"], last["ratio"]) == (0, 0)
    assert (table["relation"] != "unrelated").sum() <= 6


def test_complements_and_substitutes_have_limits_of_their_own():
    lines = simulated(1, planted=True)
    table = pair_table(lines, alpha=0.99).query("adjusted_p_value <= 0.99 and customer_count >= 10")  # all but certain
    expected = np.select([table["ratio"] >= 1.1, table["ratio"] <= 2 / 3], ["complement", "substitute"], "unrelated")
    assert table["relation"].tolist() == expected.tolist()
    assert set(expected[(table["ratio"] > 0.67) & (table["ratio"] < 0.9)]) == {"unrelated"}  # 1 / 1.1 is not the limit
    above, below = table.loc[table["ratio"] > 1].iloc[1], table.loc[table["ratio"] < 1].iloc[-2]
    found = pair_table(lines, alpha=0.99, min_ratio=above["ratio"], max_ratio=below["ratio"]).loc[table.index]
    assert (found["relation"] == "complement").equals(table["ratio"] >= above["ratio"])  # at the limit: included
    assert (found["relation"] == "substitute").equals(table["ratio"] <= below["ratio"])


def test_what_different_customers_buy_is_no_substitute():
    """Two kinds of customers, one buys a and one buys b: nothing says that the one replaces the other."""
    one, two = [["a", "x"], ["a", "y"], ["x", "z"], ["y", "z"]], [["b", "x"], ["b", "y"], ["x", "z"], ["y", "z"]]
    baskets = [(c, week) for c in range(40) for week in (one if c % 2 else two) * 2]
    with_both = [(99, ["a", "x"]), (99, ["b", "x"]), (99, ["a", "y"]), (99, ["b", "z"])] * 30
    table = pair_table(pd.DataFrame(lines_of(baskets + with_both)))
    row = table[(table["product_id"] == "a") & (table["other_product_id"] == "b")].iloc[0]
    assert row["adjusted_p_value"] < 0.001
    assert row["customer_lift"] < 1
    assert row["relation"] == "unrelated"


# -- seasons -------------------------------------------------------------------------------------------------------


def seasonal():
    """Eggs are painted in spring and stars hung in winter, by the same 60 customers; tea or coffee goes with either."""
    spring, winter = (dt.datetime(2024, month, 10) for month in (4, 12))
    drinks, rng = ["tea", "coffee"], np.random.default_rng(3)
    found = []
    for customer in range(60):
        for start, season in ((spring, "eggs"), (winter, "stars")):
            for visit in range(8):
                items = {
                    drinks[visit % 2],
                    *rng.choice(["jam", "rice", "salt", "oil", "figs", "oats"], 2, replace=False),
                }
                items |= {season} if rng.random() < 0.5 else {"soap"}
                found.append((customer, items, start + dt.timedelta(days=visit)))
    lines = pd.DataFrame(lines_of([basket[:2] for basket in found]))
    return lines.assign(timestamp=lines["order_id"].map(dict(enumerate(when for *_, when in found))))


def relations(table):
    return {row[:2]: row[-1] for row in records(table)}


def test_two_seasons_are_no_substitutes_within_a_period_and_true_ones_still_are():
    lines = seasonal()
    whole, within = relations(pair_table(lines)), relations(pair_table(lines, period="quarter"))
    assert whole["eggs", "stars"] == "substitute"
    assert ("eggs", "stars") not in within  # they are never sold in the same quarter: nothing to compare
    assert whole["coffee", "tea"] == within["coffee", "tea"] == "substitute"


def test_baskets_of_different_periods_are_not_compared(frame):
    """Four customers with two baskets in January, the first with b, and two in February, the first with c."""
    january = dt.datetime(2024, 1, 22)
    baskets = [(c, items) for c in range(4) for items in ("ab", "ax", "ac", "ay")]
    lines = lines_of(baskets)
    lines["timestamp"] = [january + dt.timedelta([0, 9, 10, 19][order % 4]) for order in lines["order_id"]]
    sales = frame(lines)
    found = {row[:2]: row[2:4] for row in records(pair_table(sales, min_expected=0.1, period="month"))}
    assert set(found) == {("a", "b"), ("a", "c"), ("a", "x"), ("a", "y"), ("b", "x"), ("c", "y")}
    assert set(relations(pair_table(sales, min_expected=0.1))) == set(combinations("abcxy", 2))
    by_days = records(pair_table(sales, min_expected=0.1, period="10d"))
    assert {row[:2]: row[2:4] for row in by_days} == found
    assert set(relations(pair_table(sales, min_expected=0.1, period="year"))) == set(combinations("abcxy", 2))


# -- refusals ------------------------------------------------------------------------------------------------------


def test_refusals_say_what_to_type():
    sales = pd.DataFrame(lines_of(BASKETS))
    with pytest.raises(MissingColumnsError, match=r"pair_table needs \['customer_id'\]"):
        pair_table(sales.drop(columns="customer_id"))
    with pytest.raises(
        SchemaError, match=r"nothing to compare. Take basket='order_id' or basket=\('customer_id', '1d'\)"
    ):
        pair_table(sales, basket="customer_id")
    with pytest.raises(SchemaError, match=r"pair_table: alpha must be a fraction"):
        pair_table(sales, alpha=5)
    with pytest.raises(SchemaError, match=r"pair_table: min_expected must be a number above zero, got 0"):
        pair_table(sales, min_expected=0)
    for limits in ({"min_ratio": 0.9}, {"max_ratio": 1.1}):
        with pytest.raises(SchemaError, match=r"min_ratio must be 1 or more and max_ratio 1 or less, got min_ratio="):
            pair_table(sales, **limits)
    with pytest.raises(MissingColumnsError, match=r"pair_table needs \['timestamp'\]"):
        pair_table(sales, period="quarter")
    with pytest.raises(SchemaError, match=r'pair_table: period must be "month", "quarter", .*got .season'):
        pair_table(sales.assign(timestamp=dt.datetime(2024, 1, 1)), period="season")


def test_warns_and_says_how_many_when_no_pair_is_expected_often_enough(frame):
    with pytest.warns(DataQualityWarning, match=r"none of the 6 pairs that could meet is expected in 1000 baskets"):
        table = pair_table(frame(lines_of(BASKETS)), min_expected=1000)
    assert records(table) == []
    sales = pd.DataFrame(lines_of(BASKETS)).assign(timestamp=dt.datetime(2024, 1, 1))
    with pytest.warns(DataQualityWarning, match="or a longer time, or longer periods"):
        pair_table(sales, min_expected=1000, period="month")
    with pytest.warns(DataQualityWarning, match="none of the 0 pairs"):
        assert records(pair_table(sales.assign(quantity=-1), period="month")) == []  # no basket is left


# -- many tests ----------------------------------------------------------------------------------------------------


def test_holm_by_hand_and_what_was_not_tested_does_not_count():
    # sorted .01 .02 .03 .4, times 4 3 2 1: .04 .06 .06 .4
    p_values = np.array([0.03, 0.01, np.nan, 0.4, 0.02])
    assert holm(p_values) == pytest.approx([0.06, 0.04, np.nan, 0.4, 0.06], nan_ok=True)
    assert holm(np.array([0.6, 0.9])) == pytest.approx([1.0, 1.0])
    assert len(holm(np.array([]))) == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30))
def test_benjamini_hochberg_equals_scipy(p_values):
    found = benjamini_hochberg(np.array([*p_values, np.nan]))
    assert found[:-1] == pytest.approx(stats.false_discovery_control(p_values), abs=1e-12)
    assert np.isnan(found[-1])


# -- real data -----------------------------------------------------------------------------------------------------


def test_complete_journey_two_gallons_of_milk_replace_and_pasta_calls_for_sauce(shared_data):
    lines = pd.read_parquet(shared_data / "complete_journey" / "transactions.parquet")
    products = pd.read_parquet(shared_data / "complete_journey" / "products.parquet")
    tx = Transactions(
        lines.merge(products[["product_id", "product_category"]], on="product_id").dropna(subset="product_category"),
        customer_id="household_id", order_id="basket_id", timestamp="transaction_timestamp", amount="sales_value",
        category="product_category",
    ).before(dt.datetime(2018, 1, 1))  # fmt: skip
    narrow = pair_table(tx, item="category", max_ratio=0.8).set_index(["category", "other_category"])
    assert narrow.loc[("DRY NOODLES/PASTA", "PASTA SAUCE"), "relation"] == "complement"
    assert narrow.loc[("DELI MEATS", "LUNCHMEAT"), "relation"] == "substitute"
    bread = narrow.loc[("BAKED BREAD/BUNS/ROLLS", "FLOUR & MEALS")]
    assert (bread["relation"], bread["adjusted_p_value"] < 0.001, bread["ratio"] < 1) == ("unrelated", True, True)
    substitutes = pair_table(tx).query("relation == 'substitute'")
    assert tuple(substitutes.iloc[-1][["product_id", "other_product_id", "relation"]]) == (
        995242,
        1029743,
        "substitute",
    )
