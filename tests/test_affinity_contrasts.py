"""What contrasts and trends of rules promise: exact counts in groups, and no alarm about a few customers' habits."""

import datetime as dt
import warnings
from itertools import combinations

import matplotlib as mpl
import matplotlib.pyplot as plt
import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crmlytics import Transactions
from crmlytics._kernels.itemset_tree import ItemsetTree
from crmlytics._kernels.rule_counts import cluster_moments, count_itemsets
from crmlytics.affinity.contrasts import contrast_table
from crmlytics.affinity.itemsets import frequent_itemsets
from crmlytics.affinity.rules import association_rules
from crmlytics.affinity.trends import plot_rule_trend, rule_movement_table, rule_trend_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame

mpl.use("Agg")

START = dt.datetime(2024, 1, 1)


def sales_of(baskets):
    """Lines of (customer, day, items) baskets; order ids are their places."""
    found = [
        (customer, order, START + dt.timedelta(days=day), item)
        for order, (customer, day, items) in enumerate(baskets)
        for item in items
    ]
    names = ["customer_id", "order_id", "timestamp", "product_id"]
    return dict(zip(names, map(list, zip(*found, strict=True)), strict=True))


def rules_of(sales, consequent="m", least=2):
    return association_rules(frequent_itemsets(sales, min_support=least), min_confidence=0.01, consequent=consequent)


def as_dicts(table):
    return nw.from_native(table).lazy().collect().to_arrow().to_pylist()


def of_rule(table, *antecedent):
    return [row for row in as_dicts(table) if row["antecedent"] == list(antecedent)]


# -- counting, against a plain count -------------------------------------------------------------------------------

EVERY = [itemset for length in (1, 2, 3) for itemset in combinations(range(5), length)]
ROW = {itemset: row for row, itemset in enumerate(EVERY)}
TREE = ItemsetTree(
    np.array([itemset[-1] for itemset in EVERY], np.int32),
    np.array([ROW.get(itemset[:-1], -1) for itemset in EVERY], np.int32),
    np.zeros(len(EVERY), np.int32), 5, 0,
)  # fmt: skip
RULES = [(one, other) for one in EVERY for other in EVERY if not set(one) & set(other)]
drawn_baskets = st.lists(st.tuples(st.integers(-1, 3), st.sets(st.integers(0, 4)), st.integers(-3, 3)), max_size=60)


def packed(baskets):
    starts = np.append(0, np.cumsum([len(items) for items in baskets])).astype(np.int64)
    return starts, np.array([item for items in baskets for item in sorted(items)], np.int32)


@given(drawn_baskets, st.lists(st.integers(0, len(EVERY) - 1), max_size=6), st.sampled_from([1, 40]))
def test_itemsets_are_counted_in_groups(drawn, rows, times):
    drawn = drawn * times  # more than one block
    group = np.array([number for number, _, _ in drawn], np.int32)
    baskets = packed([items for _, items, _ in drawn])
    found = count_itemsets(TREE, np.array(rows, np.int32), *baskets, group, 4)
    plain = [[sum(g == k and set(EVERY[row]) <= items for g, items, _ in drawn) for k in range(4)] for row in rows]
    assert found.tolist() == plain
    whole = count_itemsets(TREE, np.array(rows, np.int32), *baskets)
    assert whole.tolist() == [[sum(set(EVERY[row]) <= items for _, items, _ in drawn)] for row in rows]


@given(drawn_baskets, st.sampled_from(RULES), st.booleans())
def test_products_of_counts_are_summed_over_customers(drawn, rule, scored):
    one, other = map(set, rule)
    clusters = np.array([number for number, _, _ in drawn], np.int32)
    scores = np.array([score for _, _, score in drawn], np.int64)
    found = cluster_moments(
        TREE, np.array([ROW[rule[0]]], np.int32), np.array([ROW[rule[1]]], np.int32),
        *packed([items for _, items, _ in drawn]), clusters, scores if scored else None,
    )  # fmt: skip
    table = np.array([[one | other <= i, one <= i, other <= i, True] for _, i, _ in drawn], np.int64).reshape(-1, 4)
    table = np.hstack([table, table * scores[:, None]]) if scored else table
    sums = np.array([table[clusters == c].sum(axis=0) for c in set(clusters.tolist())]).reshape(-1, table.shape[1])
    assert found.sums[0].tolist() == table.sum(axis=0).tolist()
    assert found.clusters[0].tolist() == (sums != 0).sum(axis=0).tolist()
    assert found.products[0].tolist() == (sums.T @ sums).tolist()
    weights = np.arange(table.shape[1]) - 1.5
    assert found.variance(weights[None]) == pytest.approx([((sums @ weights) ** 2).sum()], rel=1e-9, abs=1e-9)


def test_without_customers_each_basket_stands_alone():
    found = cluster_moments(TREE, np.array([0], np.int32), np.array([1], np.int32), *packed([{0, 1}, {0}, {0, 1}, {2}]))
    assert found.sums[0].tolist() == [2, 3, 2, 4]
    assert np.diag(found.products[0]).tolist() == [2, 3, 2, 4]


@pytest.mark.parametrize("share", [1 / 3, 2 / 3, 1 / 7])
def test_a_confidence_without_spread_has_exactly_no_variance(share):
    """Every customer has the same share: what rounding leaves of 0 would be a division by it."""
    size = 3 if share > 0.3 else 7
    own = [{0, 1}] * round(share * size) + [{0}] * (size - round(share * size))
    for customers in range(2, 30):
        clusters = np.repeat(np.arange(customers), size).astype(np.int32)
        found = cluster_moments(
            TREE, np.array([0], np.int32), np.array([1], np.int32), *packed(own * customers), clusters
        )
        one = 1 / (size * customers)
        assert found.variance(np.array([[one, -share * one, 0, 0]])).tolist() == [0.0]


# -- contrasts -----------------------------------------------------------------------------------------------------

# tea (t) and milk (m); customers 1-6 are old and 7-12 new, 13 nobody knows. Old: both twice, tea alone once;
# new: both once, tea alone twice; customers 6 and 12 besides: milk alone once.
OLD, NEW = [["t", "m"], ["t", "m"], ["t"]], [["t", "m"], ["t"], ["t"]]
BASKETS = [(c, 10 * n, items) for c in range(1, 13) for n, items in enumerate(OLD if c <= 6 else NEW)]
BASKETS += [(6, 40, ["m"]), (12, 40, ["m"]), (13, 40, ["t", "m"]), (13, 50, ["t", "m"])]
SEGMENTS = {"customer_id": list(range(1, 13)), "segment": ["old"] * 6 + ["new"] * 6}


def contrasted(kind="pandas", **options):
    sales, segments = make_frame(sales_of(BASKETS), kind), make_frame(SEGMENTS, kind)
    with pytest.warns(DataQualityWarning, match="have no segment"):
        return contrast_table(rules_of(sales), sales, segments=segments, **options)


def test_counted_by_hand_on_every_kind(kind):
    table = contrasted(kind)
    assert type(table) is type(make_frame(SEGMENTS, kind))
    new, old = as_dicts(table)
    assert (old["antecedent"], old["consequent"], old["segment"], new["segment"]) == (["t"], ["m"], "old", "new")
    assert (old["segment_basket_count"], old["antecedent_count"], old["basket_count"]) == (19, 18, 12)
    assert (new["segment_basket_count"], new["antecedent_count"], new["basket_count"]) == (19, 18, 6)
    assert (old["confidence"], old["rest_confidence"]) == pytest.approx((2 / 3, 1 / 3))
    assert old["difference"] == pytest.approx(1 / 3)
    assert old["lift"] == pytest.approx((12 / 18) / (13 / 19))
    # At the confidence of both, 1/2, each of 12 customers adds only ((2 - 3/2) / 18)^2 to the variance; it is not
    # believed to be smaller than that of 36 independent baskets, 1/4 (1/18 + 1/18) = (1/6)^2.
    expected = 2 * stats.t.sf((1 / 3) / (1 / 6), 5)
    assert (old["p_value"], new["p_value"]) == pytest.approx((expected, expected))
    assert old["adjusted_p_value"] == pytest.approx(2 * expected)
    assert (old["differs"], as_dicts(contrasted(kind, alpha=0.25))[1]["differs"]) == (False, True)


def test_dtypes_and_missing_values_are_the_same_on_every_kind(kind):
    sales = make_frame(sales_of([*BASKETS[:-4], (20, 0, ["x"])]), kind)
    segments = make_frame({"customer_id": [*range(1, 13), 20], "segment": [*SEGMENTS["segment"], "apart"]}, kind)
    table = contrast_table(rules_of(sales), sales, segments=segments)
    for name, dtype in nw.from_native(table).collect_schema().items():
        if name in {"antecedent", "consequent"}:
            assert str(dtype) == "List(String)"
        elif name == "segment":
            assert dtype == nw.String
        elif name == "differs":
            assert dtype == nw.Boolean
        else:
            assert dtype == (nw.Int64 if name.endswith("count") else nw.Float64)
    apart = as_dicts(table)[0]
    assert (apart["segment"], apart["segment_basket_count"], apart["antecedent_count"]) == ("apart", 1, 0)
    missing = ("confidence", "confidence_lower", "confidence_upper", "lift", "difference", "p_value")
    assert [apart[name] for name in missing] == [None] * 6
    assert apart["differs"] is False


def test_says_who_has_no_segment_and_leaves_them_out_of_the_rest():
    sales = pd.DataFrame(sales_of(BASKETS))
    with pytest.warns(
        DataQualityWarning, match=r"contrast_table: 1 of 13 customers, with 2 of 40 baskets, have no seg"
    ):
        table = contrast_table(rules_of(sales), sales, segments=pd.DataFrame(SEGMENTS))
    assert table["segment_basket_count"].sum() == 38


def test_intervals_are_wilsons_for_independent_baskets_and_wider_for_customers_of_habit():
    answers = [n % 3 > 0 for n in range(120)]
    baskets = [(c, 0, ["t", "m"] if yes else ["t"]) for c, yes in enumerate(answers)]
    habits = [(c, n, ["t", "m"] if yes else ["t"]) for c, yes in enumerate(answers[:30]) for n in range(4)]
    intervals = []
    for sales, customers in ((sales_of(baskets), 120), (sales_of(habits), 30)):
        frame = pd.DataFrame(sales)
        segments = pd.DataFrame({"customer_id": range(customers), "segment": np.arange(customers) // (customers // 2)})
        row = contrast_table(rules_of(frame), frame, segments=segments).iloc[0]
        assert (row["antecedent_count"], row["basket_count"]) == (60, 40)
        intervals.append((row["confidence_lower"], row["confidence_upper"]))
    for found, independent in zip(intervals, (60, 15), strict=True):
        square = stats.t.isf(0.025, independent - 1) ** 2 / independent
        middle, half = (2 / 3 + square / 2) / (1 + square), (square * 2 / 9 + square**2 / 4) ** 0.5 / (1 + square)
        assert found == pytest.approx((middle - half, middle + half))


def test_a_confidence_of_one_is_uncertain_by_the_number_of_customers():
    """Five customers who always did: no spread, and yet no certainty. Wilson with n = 5 and t on 4 degrees."""
    always = [(c, n, ["t", "m"]) for c in range(5) for n in range(20)]
    mixed = [(c, n, ["t", "m"] if n % 2 else ["t"]) for c in range(5, 15) for n in range(4)]
    frame = pd.DataFrame(sales_of(always + mixed))
    segments = pd.DataFrame({"customer_id": range(15), "segment": ["always"] * 5 + ["mixed"] * 10})
    row = contrast_table(rules_of(frame), frame, segments=segments).iloc[0]
    square = stats.t.isf(0.025, 4) ** 2 / 5
    assert (row["confidence"], row["confidence_upper"]) == (1.0, 1.0)
    assert row["confidence_lower"] == pytest.approx(1 / (1 + square))


def test_what_is_expected_in_fewer_than_five_baskets_is_not_tested():
    def tested(count):
        baskets = [(c, 0, ["t", "m"] if c % 2 else ["t"]) for c in range(40)]
        frame = pd.DataFrame(sales_of(baskets))
        segments = pd.DataFrame({"customer_id": range(40), "segment": ["few"] * count + ["rest"] * (40 - count)})
        return contrast_table(rules_of(frame), frame, segments=segments)["p_value"].notna().tolist()

    assert tested(10) == [True, True]
    assert tested(9) == [False, False]


@pytest.mark.parametrize(("sizes", "which"), [((8, 12), {0}), ((8, 10, 14), {0, 1})])  # 0: the squares observed
def test_the_larger_variance_and_the_side_with_fewer_customers_count(sizes, which):
    segment = np.repeat(np.arange(len(sizes)), sizes)
    baskets = [(c, n, ["t", "m"] if (c * c + c % 2 * n) % 3 else ["t"]) for c in range(len(segment)) for n in range(4)]
    frame = pd.DataFrame(sales_of(baskets))
    segments = pd.DataFrame({"customer_id": range(len(segment)), "segment": segment})
    table = contrast_table(rules_of(frame), frame, segments=segments)
    hits = np.array([sum(len(items) - 1 for c, _, items in baskets if c == k) for k in range(len(segment))])
    size, share = len(segment), hits.mean() / 4
    single = share * (1 - share)
    alike = (((hits - 4 * share) ** 2).sum() - 4 * size * single) / (12 * size * single)  # of two of the same customer
    larger = []
    for own, row in enumerate(as_dicts(table)):
        inside = segment == own
        pull = (hits - 4 * hits.sum() / len(baskets)) * np.where(inside, 1 / inside.sum(), -1 / (~inside).sum()) / 4
        freedom = min(inside.sum(), (~inside).sum()) - 1
        variances = (pull**2).sum(), single * (1 + 3 * alike) / 4 * (1 / inside.sum() + 1 / (~inside).sum())
        larger.append(int(np.argmax(variances)))
        expected = 2 * stats.t.sf(abs(row["difference"]) / max(variances) ** 0.5, freedom)
        assert row["p_value"] == pytest.approx(expected)
    assert alike > 0.1
    assert set(larger) == which


def test_periods_are_groups_too_and_the_same_customers_may_be_in_several():
    sales = pd.DataFrame(sales_of([(c, 100 * n, ["t", "m"] if (c + n) % 2 else ["t"]) for c in range(20)
                                   for n in range(2)]))  # fmt: skip
    table = contrast_table(rules_of(sales), sales, period="quarter", as_of="2024-07-01")
    assert table["segment"].tolist() == ["2024-Q1", "2024-Q2"]
    assert table["antecedent_count"].tolist() == [20, 20]
    assert table["confidence"].tolist() == [0.5, 0.5]
    assert table["p_value"].tolist() == [1.0, 1.0]
    flipped = pd.DataFrame(sales_of([(c, 100 * n, ["t", "m"] if c % 4 < 1 + 2 * n else ["t"]) for c in range(20)
                                     for n in range(2)]))  # fmt: skip
    table = contrast_table(rules_of(flipped), flipped, period="quarter", as_of="2024-07-01")
    # 5 of 20 and 15 of 20; 10 customers changed, each adds (1/20)^2; 10 did not and add nothing; t on 19 degrees
    expected = 2 * stats.t.sf(0.5 / (10**0.5 / 20), 19)
    assert table["p_value"].tolist() == pytest.approx([expected, expected])


@pytest.mark.parametrize(
    ("period", "names"),
    [
        ("month", ["2024-01", "2025-01"]),  # not "2024", as years are called
        ("quarter", ["2024-Q1", "2025-Q1"]),
        ("year", ["2024", "2025"]),
        ("200d", ["2023-12-15", "2025-01-18"]),
    ],
)
def test_no_period_is_named_like_one_of_another_length(period, names):
    sales = pd.DataFrame(sales_of([(c, day, ["t", "m"]) for c in range(3) for day in (1, 390)]))
    table = contrast_table(rules_of(sales), sales, period=period, as_of="2025-08-06")
    assert table["segment"].tolist() == names


def test_autumn_is_the_fourth_quarter():
    sales = pd.DataFrame(sales_of([(c, day, ["t", "m"]) for c in range(3) for day in (181, 182, 366 - 1)]))
    table = contrast_table(rules_of(sales), sales, period="quarter", as_of="2025-01-01")
    assert table["segment"].tolist() == ["2024-Q2", "2024-Q3", "2024-Q4"]


def test_before_as_of_only():
    sales = pd.DataFrame(sales_of(BASKETS))
    poison = sales.assign(timestamp=pd.Timestamp("2024-06-01"), order_id=sales["order_id"] + 1000, product_id="m")
    segments = pd.DataFrame({"customer_id": range(1, 14), "segment": ["old"] * 6 + ["new"] * 7})
    rules = rules_of(sales)
    clean, poisoned = (
        contrast_table(rules, lines, segments=segments, as_of="2024-06-01")
        for lines in (sales, pd.concat([sales, poison]))
    )
    assert clean.equals(poisoned)


def simulated(seed, customers=100, items=12):
    """Customers with strong habits and many baskets each, no segment or month that differs."""
    rng = np.random.default_rng(seed)
    baskets = []
    for customer in range(customers):
        habit = rng.beta(0.5, 1.5, items)
        baskets += [
            (customer, int(rng.integers(0, 360)), np.flatnonzero(rng.random(items) < habit).tolist())
            for _ in range(rng.geometric(0.07))
        ]
    return pd.DataFrame(sales_of(baskets))


def test_habits_of_a_few_customers_are_no_difference_between_segments_and_no_trend():
    by_customer, by_basket, trends, alarms = [], [], [], 0
    for seed in range(4):
        sales = simulated(seed)
        rules = association_rules(frequent_itemsets(sales, min_support=60, max_len=2), min_confidence=0.1)
        chosen = np.random.default_rng(seed).permutation(100) < 40
        segments = pd.DataFrame({"customer_id": range(100), "segment": np.where(chosen, "a", "b")})
        table = contrast_table(rules, sales, segments=segments)
        alone = sales.assign(customer_id=sales["order_id"])  # as though each basket were another customer's
        orders = sales[["order_id", "customer_id"]].drop_duplicates().merge(segments, on="customer_id")
        orders = orders.drop(columns="customer_id").rename(columns={"order_id": "customer_id"})
        by_customer.append(table["p_value"])
        by_basket.append(contrast_table(rules, alone, segments=orders)["p_value"])
        moved = rule_movement_table(rules, sales, as_of="2024-12-26")
        trends.append(moved["confidence_p_value"])
        alarms += table["differs"].any() + (moved["confidence_movement"] != "steady").any()
    shares = [(pd.concat(found) < 0.05).mean() for found in (by_customer, by_basket, trends)]
    assert shares[0] < 0.07  # .03 to .05 in long runs
    assert shares[1] > 0.25  # what clustering by customer is for
    assert shares[2] < 0.07
    assert alarms <= 1


def test_never_seen_in_a_small_segment_is_no_smaller_a_surprise_than_fishers():
    """Of 20,000 customers 1,000 are in the segment: 5.25 of them are expected to buy jam, none does."""
    jam = np.arange(20_000) >= 20_000 - 105
    sales = pd.DataFrame(sales_of([(c, 0, ["t", "m"] if bought else ["t"]) for c, bought in enumerate(jam)]))
    rules = association_rules(frequent_itemsets(sales, min_support=2), min_confidence=0.001, consequent="m")
    segments = pd.DataFrame({"customer_id": range(20_000), "segment": np.where(np.arange(20_000) < 1_000, "a", "b")})
    few, rest = as_dicts(contrast_table(rules, sales, segments=segments))
    assert (few["basket_count"], few["antecedent_count"], rest["basket_count"]) == (0, 1_000, 105)
    fisher = stats.fisher_exact([[0, 1_000], [105, 18_895]]).pvalue  # 0.011
    assert fisher / 4 < few["p_value"] < fisher * 4


@pytest.mark.parametrize("visits", [1, 6])
def test_rare_rules_in_a_small_segment_raise_no_alarm(visits):
    alarms, p_values = 0, []
    shares = np.geomspace(0.005, 0.3, 60)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        customers = 2_400 // visits
        habits = rng.beta(shares, 1 - shares, (customers, len(shares))) if visits > 1 else shares  # correlation 1/2
        held = [rng.random((customers, len(shares))) < habits for _ in range(visits)]
        baskets = [(c, n, [0, *np.flatnonzero(row) + 1]) for n, rows in enumerate(held) for c, row in enumerate(rows)]
        sales = pd.DataFrame(sales_of(baskets))
        rules = association_rules(frequent_itemsets(sales, min_support=2, max_len=2), min_confidence=0)
        segment = np.where(np.arange(customers) < customers // 20, "small", "large")
        segments = pd.DataFrame({"customer_id": range(customers), "segment": segment})
        table = contrast_table(rules.with_items(antecedent=[0]), sales, segments=segments)
        alarms += table["differs"].any()
        p_values.append(table["p_value"].dropna())
    assert alarms <= 1
    assert len(pd.concat(p_values)) > 300
    assert (pd.concat(p_values) < 0.05).mean() < 0.06


def test_a_planted_difference_is_found():
    sales = simulated(0)
    rng = np.random.default_rng(1)
    extra = pd.DataFrame(sales_of([(c, 0, ([97, 98] if rng.random() < (0.8 if c < 50 else 0.4) else [97]))
                                   for c in range(100) for _ in range(5)]))  # fmt: skip
    sales = pd.concat([sales, extra.assign(order_id=extra["order_id"] + 10**6)])
    segments = pd.DataFrame({"customer_id": range(100), "segment": np.where(np.arange(100) < 50, "high", "low")})
    rules = association_rules(frequent_itemsets(sales, min_support=60, max_len=2), min_confidence=0.1)
    table = contrast_table(rules, sales, segments=segments)
    high, low = of_rule(table, 97)
    assert high["differs"] is low["differs"] is True
    assert high["difference"] == -low["difference"] == pytest.approx(0.4, abs=0.1)


# -- trends --------------------------------------------------------------------------------------------------------

# January from the 1st on: t twice, m with one of them; nothing in February; March: t three times, all with m, x alone
MONTHS = [(1, 0, ["t", "m"]), (2, 9, ["t"]), (1, 60, ["t", "m"]), (2, 62, ["t", "m"]), (3, 70, ["t", "m"]),
          (3, 75, ["x"]), (4, 92, ["t", "m"])]  # fmt: skip


def test_a_row_for_every_rule_and_month_on_every_kind(frame):
    sales = frame(sales_of(MONTHS))
    table = rule_trend_table(rules_of(sales), sales, as_of="2024-04-10")
    assert type(table) is type(sales)
    names = ("period_start", "is_complete", "period_basket_count", "antecedent_count", "basket_count")
    assert [tuple(row[name] for name in names) for row in as_dicts(table)] == [
        (dt.datetime(2024, 1, 1), True, 2, 2, 1),
        (dt.datetime(2024, 2, 1), True, 0, 0, 0),
        (dt.datetime(2024, 3, 1), True, 4, 3, 3),
        (dt.datetime(2024, 4, 1), False, 1, 1, 1),
    ]
    assert [(row["support"], row["confidence"], row["lift"]) for row in as_dicts(table)] == [
        (0.5, 0.5, 1.0),
        (None, None, None),
        (0.75, 1.0, pytest.approx(4 / 3)),
        (1.0, 1.0, 1.0),
    ]


DAYS = [*range(0, 330, 30), 359]  # one of each of twelve periods of 30 days, from the first day to the last


def changing(months=12, customers=30):
    """Rule r1 rises, f1 fades, s1 holds in half of the baskets; each customer comes once a month."""
    baskets = []
    for month in range(months):
        for c in range(customers):
            share = (month + 1) / (months + 2)
            lot = (7 * c + 11 * month) % customers / customers
            kinds = (("r", lot < share), ("f", lot > share), ("s", (c + month) % 2 == 0))
            baskets += [(c, DAYS[month], [f"{k}1", "m"] if hit else [f"{k}1"]) for k, hit in kinds]
    return sales_of(baskets)


def test_movements_are_told_on_every_kind(frame):
    sales = frame(changing())
    table = rule_movement_table(rules_of(sales), sales, as_of="2024-12-26", period="30d")
    assert type(table) is type(sales)
    found = {row["antecedent"][0]: row for row in as_dicts(table)}
    assert {name: row["confidence_movement"] for name, row in found.items()} == {
        "r1": "rising", "f1": "fading", "s1": "steady",
    }  # fmt: skip
    assert found["r1"]["period_count"] == 12
    assert found["r1"]["antecedent_count"] == 360
    assert found["r1"]["confidence_slope"] == pytest.approx(1 / 14, rel=0.1)
    assert found["r1"]["support_slope"] == pytest.approx(found["r1"]["confidence_slope"] / 3)
    assert found["f1"]["support_movement"] == "fading"


def test_slope_and_both_tests_equal_weighted_least_squares_written_out():
    rng = np.random.default_rng(5)
    baskets = [(int(rng.integers(9)), int(day), ["t", "m"] if rng.random() < 0.4 else ["t"])
               for day in rng.integers(0, 180, 300)]  # fmt: skip
    sales = pd.DataFrame(sales_of(baskets))
    row = rule_movement_table(rules_of(sales), sales, as_of=START + dt.timedelta(days=180), period="30d").iloc[0]
    time = np.array([day // 30 for _, day, _ in baskets])
    hit = np.array([len(items) - 1 for _, _, items in baskets])
    centred = time - time.mean()
    slope = (centred * hit).sum() / (centred**2).sum()
    assert row["confidence_slope"] == pytest.approx(slope)
    pull = pd.Series(centred * (hit - hit.mean())).groupby([c for c, _, _ in baskets]).sum()
    by_customers = 2 * stats.t.sf(abs((centred * hit).sum()) / ((pull**2).sum() ** 0.5), 8)
    share = pd.Series(hit).groupby(time).transform("mean")
    by_periods = stats.pearsonr(range(6), share.groupby(time).first()).pvalue
    assert row["confidence_p_value"] == pytest.approx(max(by_customers, by_periods))


def test_a_single_customer_or_a_single_month_makes_no_trend():
    steady = [(c, DAYS[n], ["t", "m"] if (c + n) % 2 else ["t"]) for c in range(20) for n in range(12)]
    eager = [(99, DAYS[n], ["t", "m"] if n > 5 else ["t"]) for n in range(12) for _ in range(20)]
    peak = [(100 + c, DAYS[-1], ["t", "m"]) for c in range(200)]
    for odd in (eager, peak):
        sales = pd.DataFrame(sales_of(steady + odd))
        row = rule_movement_table(rules_of(sales), sales, as_of="2024-12-26", period="30d").iloc[0]
        assert row["confidence_slope"] > 0
        assert row["confidence_movement"] == "steady"


def test_customers_may_be_unknown():
    sales = pd.DataFrame(changing()).drop(columns="customer_id")
    table = rule_movement_table(rules_of(sales), sales, as_of="2024-12-26", period="30d")
    assert sorted(table["confidence_movement"]) == ["fading", "rising", "steady"]


def daily(days):
    return pd.DataFrame(sales_of([(day % 7, day, ["t", "m"] if day % 2 else ["t"]) for day in days]))


def test_months_after_the_last_basket_are_not_complete_and_a_warning_says_so():
    sales = daily(range(100))  # up to 2024-04-09
    rules = rules_of(sales)
    say = r"as_of is 2025-01-01, but the last basket is of 2024-04-09: .* not complete\. Give as_of=\"2024-04-10\""
    with pytest.warns(DataQualityWarning, match=f"rule_trend_table: {say}"):
        table = rule_trend_table(rules, sales, as_of="2025-01-01")
    assert table["is_complete"].tolist() == [True] * 3 + [False] * 9
    assert table["period_basket_count"].tolist() == [31, 29, 31, 9] + [0] * 8
    with pytest.warns(DataQualityWarning, match=f"rule_movement_table: {say}"):
        late = rule_movement_table(rules, sales, as_of="2025-01-01")
    assert late.equals(rule_movement_table(rules, sales, as_of="2024-04-10"))


@pytest.mark.parametrize(("day_count", "is_cut_off"), [(121, False), (115, False), (114, True)])
def test_up_to_six_silent_days_a_month_is_complete(day_count, is_cut_off):
    sales = daily(range(day_count))  # 121 days: up to 2024-04-30
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        table = rule_trend_table(rules_of(sales), sales, as_of="2024-05-20")
    assert [str(warning.message)[:25] for warning in told] == ["rule_trend_table: as_of i"] * is_cut_off
    assert table["is_complete"].tolist() == [True, True, True, not is_cut_off, False]


def test_a_month_that_is_not_over_may_be_silent():
    sales = daily(range(92))  # up to 2024-04-01
    table = rule_trend_table(rules_of(sales), sales, as_of="2024-04-30")  # and no warning, which would be an error
    assert table["is_complete"].tolist() == [True, True, True, False]


@pytest.mark.parametrize("build", [rule_trend_table, rule_movement_table])
def test_the_future_and_the_order_of_lines_change_nothing(build):
    sales = pd.DataFrame(changing())
    rules = rules_of(sales)
    as_of = START + dt.timedelta(days=200)
    poison = sales.assign(timestamp=[as_of + dt.timedelta(days=n % 50) for n in range(len(sales))],
                          order_id=sales["order_id"] + 10**6, product_id="m")  # fmt: skip
    clean = build(rules, sales[sales["timestamp"] < as_of], as_of=as_of)
    assert clean.equals(build(rules, pd.concat([poison, sales.sample(frac=1, random_state=1)]), as_of=as_of))


@settings(max_examples=20)
@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 150), st.sets(st.sampled_from("tmxy"), min_size=1)), max_size=30
    )
)
def test_periods_add_up_to_the_counts_of_the_rules(drawn):
    sales = pd.DataFrame(sales_of([(0, 0, ["m", "t"]), (0, 150, ["m", "t"]), *drawn]))
    rules = rules_of(sales)
    table = rule_trend_table(rules, sales, as_of=sales["timestamp"].max() + pd.Timedelta(days=1))
    totals = table[["basket_count", "antecedent_count"]].to_numpy().reshape(len(rules), -1, 2).sum(axis=1)
    assert totals.tolist() == np.stack([rules.both_count, rules.antecedent_count], axis=1).tolist()


def test_the_plot_draws_a_line_a_rule_and_hollow_dots_for_open_months(frame):
    sales = frame(sales_of(MONTHS))
    ax = plot_rule_trend(rule_trend_table(rules_of(sales), sales, as_of="2024-04-10"))
    line, *dots = ax.lines
    assert line.get_label() == "t → m"
    assert line.get_ydata() == pytest.approx([0.5, np.nan, 1.0, 1.0], nan_ok=True)
    assert [dot.get_markerfacecolor() for dot in dots] == [line.get_color()] * 3 + ["white"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2024-01", "2024-02", "2024-03", "2024-04"]
    given_ax = plt.subplots()[1]
    assert plot_rule_trend(rule_trend_table(rules_of(sales), sales, as_of="2024-04-10"), ax=given_ax) is given_ax
    plt.close("all")


def test_the_plot_reads_names_and_tells_items_of_one_name_apart(frame):
    sales = frame(sales_of([(1, day, ["m", "a", "b"]) for day in (1, 40, 80)]))
    rules = association_rules(frequent_itemsets(sales, 1, max_len=2), consequent="m")
    table = rule_trend_table(rules, sales, as_of="2024-03-22")
    ax = plot_rule_trend(table, names={"a": "Tea", "b": "Tea", "m": "Milk"})
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["Tea (a) → Milk", "Tea (b) → Milk"]
    plt.close("all")


@pytest.mark.parametrize(("count", "is_beside"), [(4, False), (5, True), (8, True)])
def test_many_lines_are_named_beside_the_picture(count, is_beside):
    sales = pd.DataFrame(sales_of([(1, day, ["m", *"abcdefgh"[:count]]) for day in (1, 40, 80)]))
    ax = plot_rule_trend(
        rule_trend_table(
            association_rules(frequent_itemsets(sales, 1, max_len=2), consequent="m"), sales, as_of="2024-03-22"
        )
    )
    ax.figure.canvas.draw()
    legend = ax.get_legend()
    assert len(legend.get_texts()) == min(count, 7)
    assert legend.get_window_extent().overlaps(ax.get_window_extent()) is not is_beside
    assert ax.figure.bbox.containsx(legend.get_window_extent().x1)
    plt.close("all")


# -- refusals ------------------------------------------------------------------------------------------------------


def test_refusals_of_contrasts_say_what_to_type():
    sales, segments = pd.DataFrame(sales_of(BASKETS)), pd.DataFrame(SEGMENTS)
    rules = rules_of(sales)
    with pytest.raises(
        SchemaError, match=r"contrast_table: give either segments=.* or period=\"quarter\" .* got neither"
    ):
        contrast_table(rules, sales)
    with pytest.raises(SchemaError, match="got both"):
        contrast_table(rules, sales, segments=segments, period="month", as_of="2024-05-01")
    with pytest.raises(SchemaError, match="contrast_table: as_of must be a date"):
        contrast_table(rules, sales, period="month")
    with (
        pytest.raises(SchemaError, match=r"at least two segments or periods with baskets, got \['old'\]"),
        pytest.warns(DataQualityWarning),
    ):
        contrast_table(rules, sales, segments=segments.head(6))
    with pytest.raises(MissingColumnsError, match=r"contrast_table needs \['customer_id'\]"):
        contrast_table(rules, sales.drop(columns="customer_id"), segments=segments)
    with pytest.raises(SchemaError, match=r"none of the 2 items of the rules was bought .* product_id is such as 't'"):
        contrast_table(rules, sales.assign(product_id="other"), segments=segments)
    with pytest.raises(SchemaError, match="contrast_table: alpha must be a fraction"):
        contrast_table(rules, sales, segments=segments, alpha=1)


def test_refusals_of_trends_say_what_to_type():
    sales = pd.DataFrame(sales_of(MONTHS))
    with pytest.raises(SchemaError, match=r"takes at least 3 complete periods, got 1 of period='quarter' .* shorter"):
        rule_movement_table(rules_of(sales), sales, as_of="2024-04-10", period="quarter")
    with pytest.raises(SchemaError, match=r"rule_trend_table: period must be \"month\".* got 'fortnight'"):
        rule_trend_table(rules_of(sales), sales, as_of="2024-04-10", period="fortnight")
    with pytest.raises(MissingColumnsError, match=r"rule_trend_table needs \['timestamp'\]"):
        rule_trend_table(rules_of(sales), sales.drop(columns="timestamp"), as_of="2024-04-10")
    ever = association_rules(frequent_itemsets(sales, min_support=1, basket="customer_id"), consequent="m")
    with pytest.raises(SchemaError, match=r"has no period. Find rules with basket='order_id'"):
        rule_trend_table(ever, sales, as_of="2024-04-10")


def test_tables_are_not_taken_for_rules_nor_rules_for_tables():
    sales = pd.DataFrame(sales_of(MONTHS))
    rules = rules_of(sales)
    for build in (contrast_table, rule_trend_table, rule_movement_table):
        message = rf"{build.__name__}: expected a RuleSet, got DataFrame. Give the rules before .to_frame\(\)"
        with pytest.raises(SchemaError, match=message):
            build(rules.to_frame(), sales, as_of="2024-04-10")
    with pytest.raises(
        SchemaError, match=r"rule_trend_table: expected a RuleSet, got Itemsets. Type association_rules"
    ):
        rule_trend_table(rules.itemsets, sales, as_of="2024-04-10")
    with pytest.raises(
        MissingColumnsError,
        match=r"plot_rule_trend needs the columns \['period_start', 'is_complete'\].*Give what rule_t",
    ):
        plot_rule_trend(rules.to_frame())
    table = rule_trend_table(rules, sales, as_of="2024-04-10")
    with pytest.raises(SchemaError, match="plot_rule_trend: there are no rules to draw"):
        plot_rule_trend(table[table["confidence"] > 1])
    with pytest.raises(SchemaError, match="plot_rule_trend: names has none of the items, such as 'm', 't'; it has 1"):
        plot_rule_trend(table, names={1: "Tea"})


# -- real data -----------------------------------------------------------------------------------------------------


def test_complete_journey_counts_equal_a_plain_count(shared_data):
    folder = shared_data / "complete_journey"
    products = pd.read_parquet(folder / "products.parquet")[["product_id", "product_category"]]
    lines = pd.read_parquet(folder / "transactions.parquet").merge(products, on="product_id")
    lines = lines.dropna(subset="product_category")
    tx = Transactions(lines, customer_id="household_id", order_id="basket_id", timestamp="transaction_timestamp",
                      amount="sales_value", category="product_category")  # fmt: skip
    rules = association_rules(frequent_itemsets(tx, min_support=300, item="category", max_len=2), min_confidence=0.2,
                              consequent="PASTA SAUCE")  # fmt: skip
    table = rule_trend_table(rules, tx, as_of="2018-01-01")
    pasta = of_rule(table, "DRY NOODLES/PASTA")
    month = lines["transaction_timestamp"].dt.to_period("M").groupby(lines["basket_id"]).max()
    held = [
        set(lines.loc[(lines["product_category"] == name) & (lines["sales_value"] >= 0), "basket_id"])
        for name in ("DRY NOODLES/PASTA", "PASTA SAUCE")
    ]
    plain = month[month.index.isin(held[0] & held[1])].value_counts().sort_index()
    assert [row["basket_count"] for row in pasta][: len(plain)] == plain.tolist()
