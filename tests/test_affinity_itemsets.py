"""What frequent_itemsets promises: exact counts, the same on every frame, whatever the data look like."""

import datetime as dt
import shutil
import signal
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _reference_affinity import closed_of, itemsets_of, maximal_of
from crmlytics.affinity import frequent_itemsets
from crmlytics.exceptions import DataQualityWarning, ResultTooLargeError, SchemaError
from crmlytics.tables import Transactions
from crmlytics.testing import make_frame, records

GROCERIES = [{"tea", "milk"}, {"tea", "milk", "jam"}, {"tea"}, {"jam", "bread"}]
KINDS = {"all": lambda counts: counts, "closed": closed_of, "maximal": maximal_of}
random_baskets = st.lists(st.sets(st.integers(0, 7), min_size=1, max_size=7), min_size=1, max_size=25)


def lines_of(baskets):
    pairs = [(number, item) for number, basket in enumerate(baskets) for item in basket]
    return {"order_id": [number for number, _ in pairs], "product_id": [item for _, item in pairs]}


def found(itemsets):
    rows = records(itemsets.to_frame())
    answer = {frozenset(itemset): basket_count for itemset, _, basket_count, _ in rows}
    assert len(answer) == len(rows) == len(itemsets)
    return answer


def fimi(path):
    baskets = [line.split() for line in path.read_text().splitlines() if line.strip()]
    numbers = np.repeat(np.arange(len(baskets)), [len(basket) for basket in baskets])
    return pd.DataFrame({"order_id": numbers, "product_id": np.concatenate([np.array(b, np.int64) for b in baskets])})


# -- what it returns ---------------------------------------------------------------------------------------------------


def test_counts_by_hand_on_every_frame_and_returns_the_kind_that_came_in(frame):
    lines = frame(lines_of(GROCERIES))
    table = frequent_itemsets(lines, min_support=2).to_frame()
    assert type(table) is type(lines)
    assert [(list(itemset), *rest) for itemset, *rest in records(table)] == [
        (["tea"], 1, 3, 0.75),
        (["jam"], 1, 2, 0.5),
        (["milk"], 1, 2, 0.5),
        (["milk", "tea"], 2, 2, 0.5),
    ]


@given(baskets=random_baskets, min_count=st.integers(1, 5), max_len=st.sampled_from([None, 1, 2, 3]))
def test_all_itemsets_are_what_counting_every_subset_finds(baskets, min_count, max_len):
    itemsets = frequent_itemsets(pd.DataFrame(lines_of(baskets)), min_count, max_len=max_len)
    assert found(itemsets) == itemsets_of(baskets, min_count, max_len=max_len)


@pytest.mark.parametrize("kind", ["closed", "maximal"])
@given(baskets=random_baskets, min_count=st.integers(1, 5), max_len=st.sampled_from([None, 2, 3]))
def test_closed_and_maximal_itemsets_are_what_their_definitions_say(kind, baskets, min_count, max_len):
    expected = KINDS[kind](itemsets_of(baskets, min_count))  # against all itemsets, long ones too
    expected = {items: count for items, count in expected.items() if len(items) <= (max_len or len(items))}
    assert found(frequent_itemsets(pd.DataFrame(lines_of(baskets)), min_count, max_len=max_len, kind=kind)) == expected


@given(baskets=random_baskets, top_k=st.integers(1, 30), min_len=st.integers(1, 3))
def test_top_k_are_the_most_frequent(baskets, top_k, min_len):
    every = {s: n for s, n in itemsets_of(baskets, 1).items() if len(s) >= min_len}
    best = found(frequent_itemsets(pd.DataFrame(lines_of(baskets)), top_k=top_k, min_len=min_len))
    assert sorted(best.values()) == sorted(every.values())[-top_k:]
    assert best.items() <= every.items()


@given(baskets=random_baskets, top_k=st.integers(1, 9), kind=st.sampled_from(["closed", "maximal"]))
def test_top_k_of_closed_and_maximal_itemsets_are_the_most_frequent_of_these(baskets, top_k, kind):
    every = KINDS[kind](itemsets_of(baskets, 2))
    best = found(frequent_itemsets(pd.DataFrame(lines_of(baskets)), 2, kind=kind, top_k=top_k))
    assert best.items() <= every.items()
    assert sorted(best.values()) == sorted(every.values())[-top_k:]


@given(baskets=random_baskets, seed=st.integers(0, 99))
def test_the_order_of_the_lines_and_repeated_lines_change_nothing(baskets, seed):
    lines = pd.DataFrame(lines_of(baskets))
    shuffled = pd.concat([lines, lines]).sample(frac=1, random_state=seed)
    pd.testing.assert_frame_equal(frequent_itemsets(lines, 1).to_frame(), frequent_itemsets(shuffled, 1).to_frame())


# Counts of the FIMI files and of Borgelt's programs on them; see also Zaki (2000), Uno et al. (2004)
@pytest.mark.parametrize(
    ("name", "min_count", "counts"),
    [
        ("mushroom.dat", 1625, (53_583, 1_197, 158)),
        ("mushroom.dat", 813, (574_431, 4_885, 547)),
        ("T10I4D100K.dat", 100, (27_532, 26_806, 4_054)),
        ("T10I4D100K.dat", 10, (411_365, 283_397, 127_264)),
    ],
)
def test_known_counts_of_benchmark_files(shared_data, name, min_count, counts):
    lines = fimi(shared_data / name)
    assert tuple(len(frequent_itemsets(lines, min_count, kind=kind)) for kind in KINDS) == counts


def test_agrees_with_mlxtend(shared_data):
    from mlxtend.frequent_patterns import fpgrowth

    lines = fimi(shared_data / "mushroom.dat")
    one_hot = pd.crosstab(lines["order_id"], lines["product_id"]).astype(bool)
    theirs = fpgrowth(one_hot, min_support=3000 / len(one_hot), use_colnames=True)
    ours = found(frequent_itemsets(lines, 3000))
    assert ours == {s: round(n * len(one_hot)) for s, n in zip(theirs["itemsets"], theirs["support"], strict=True)}


# -- thresholds --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("share", "baskets", "least"), [(0.01, 9_835, 99), (0.1, 30, 3), (0.07, 100, 7), (1.0, 9, 9)])
def test_a_share_is_the_decimal_that_was_written(share, baskets, least):
    for count in (least - 1, least):
        lines = pd.DataFrame({"order_id": range(baskets), "product_id": ["x"] * count + ["y"] * (baskets - count)})
        kept = found(frequent_itemsets(lines, share))
        assert (frozenset("x") in kept) is (count == least)


@given(count=st.integers(1, 999), baskets=st.integers(1, 999))
def test_a_share_that_was_computed_from_counts_is_that_count(count, baskets):
    count = min(count, baskets)
    lines = pd.DataFrame({"order_id": range(baskets), "product_id": "x"})
    assert frequent_itemsets(lines, count / baskets).min_count == count


# -- what a basket is --------------------------------------------------------------------------------------------------

DAY = [dt.datetime(2024, 1, 1) + dt.timedelta(days=n) for n in range(30)]
HISTORY = {
    "customer_id": ["a", "a", "a", "b", "b"],
    "order_id": [1, 2, 3, 1, 1],  # numbers that begin anew with each customer
    "timestamp": [DAY[0], DAY[1], DAY[20], DAY[0], DAY[0]],
    "product_id": ["tea", "milk", "jam", "milk", "jam"],
    "quantity": [1, 1, 1, 1, 1],
    "amount": [1.0] * 5,
}


def test_an_order_belongs_to_one_customer(frame):
    itemsets = frequent_itemsets(frame(HISTORY), 1, min_len=2)
    assert itemsets.basket_count == 4
    assert found(itemsets) == {frozenset({"milk", "jam"}): 1}


def test_all_a_customer_bought_can_be_the_basket(frame):
    itemsets = frequent_itemsets(frame(HISTORY), 2, basket="customer_id", min_len=2)
    assert (itemsets.basket_count, found(itemsets)) == (2, {frozenset({"milk", "jam"}): 2})


def test_a_customers_days_can_be_the_basket():
    # 1970-01-01 and 2024-01-04 are Thursdays: the weeks counted off from the first begin on the second
    itemsets = frequent_itemsets(pd.DataFrame(HISTORY), 1, basket=("customer_id", "7d"), min_len=2)
    assert itemsets.basket_count == 3
    assert found(itemsets) == {frozenset({"tea", "milk"}): 1, frozenset({"milk", "jam"}): 1}


def test_what_was_returned_is_not_in_the_basket(frame):
    lines = {
        "order_id": [1, 1, 1, 2, 2, 3, 4],
        "product_id": ["tea", "milk", "milk", "tea", "milk", "tea", "jam"],
        "quantity": [2, 1, -1, 3, 2, -1, 0],  # order 1: milk taken back; order 3 is a credit note; 4: a free sample
    }
    itemsets = frequent_itemsets(frame(lines), 1)
    assert itemsets.basket_count == 3
    assert found(itemsets) == {
        frozenset({"tea"}): 2, frozenset({"milk"}): 1, frozenset({"tea", "milk"}): 1, frozenset({"jam"}): 1,
    }  # fmt: skip


def test_a_number_that_is_not_known_neither_adds_nor_takes_away(frame):
    lines = {"order_id": [1, 1, 1, 2], "product_id": ["tea", "tea", "tea", "milk"], "quantity": [3.0, -1.0, None, 1.0]}
    assert found(frequent_itemsets(frame(lines), 1)) == {frozenset({"tea"}): 1, frozenset({"milk"}): 1}


def test_nothing_but_returns_is_told():
    lines = pd.DataFrame({"order_id": [1], "product_id": ["tea"], "quantity": [-1]})
    with pytest.warns(DataQualityWarning, match="frequent_itemsets: no basket holds anything: every item was returned"):
        assert len(frequent_itemsets(lines, 1)) == 0


def test_online_retail_credit_notes_are_no_baskets(shared_data):
    data = pd.read_parquet(shared_data / "online_retail.parquet")
    with warnings.catch_warnings(action="ignore", category=DataQualityWarning):
        tx = Transactions(
            data, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate", product_id="StockCode",
            quantity="Quantity", unit_price="UnitPrice",
        )  # fmt: skip
    sold = data[data["CustomerID"].notna() & (data["UnitPrice"] > 0) & (data["Quantity"] > 0)]
    itemsets = frequent_itemsets(tx, 0.02, min_len=2)
    assert itemsets.basket_count == sold["InvoiceNo"].nunique() == 18_532
    pairs = sold.drop_duplicates(["InvoiceNo", "StockCode"]).groupby("StockCode")["InvoiceNo"].agg(set)
    for items, count in found(itemsets).items():
        assert len(set.intersection(*(pairs[item] for item in items))) == count


def test_a_column_of_lists_is_refused_with_its_repair():
    carts = pd.DataFrame({"order_id": [1, 2], "product_id": [["tea", "milk"], ["tea"]]})
    with pytest.raises(SchemaError, match=r"column 'product_id' holds lists.*Type frame.explode\('product_id'\)"):
        frequent_itemsets(carts, 1)
    assert found(frequent_itemsets(carts.explode("product_id"), 2)) == {frozenset({"tea"}): 2}


def test_lines_without_an_item_are_told(frame):
    lines = frame({"order_id": [1, 1, 2], "product_id": ["tea", None, "tea"]})
    with pytest.warns(DataQualityWarning, match="frequent_itemsets: 1 of 3 lines have no product_id and are left out"):
        assert found(frequent_itemsets(lines, 1)) == {frozenset({"tea"}): 2}


def test_an_item_in_every_basket_and_no_line_at_all():
    lines = pd.DataFrame(lines_of([{"bag", "tea"}, {"bag"}]))
    assert found(frequent_itemsets(lines, 1, kind="closed")) == {frozenset({"bag"}): 2, frozenset({"bag", "tea"}): 1}


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_frequent_is_an_empty_table(kind):
    itemsets = frequent_itemsets(pd.DataFrame(lines_of(GROCERIES)), 5, kind=kind)
    assert len(itemsets) == 0
    assert itemsets.to_frame().columns.tolist() == ["itemset", "length", "basket_count", "support"]
    assert itemsets.to_frame().empty


def test_a_basket_of_thousands_of_items_is_no_trouble():
    lines = pd.DataFrame({"order_id": [0] * 3000 + [1, 1], "product_id": [*range(3000), 0, 1]})
    assert found(frequent_itemsets(lines, 2)) == {frozenset({0}): 2, frozenset({1}): 2, frozenset({0, 1}): 2}


# -- on a cluster ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def on_spark():
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("PySpark needs Java")
    rng = np.random.default_rng(5)
    baskets = [set(rng.choice(12, rng.integers(1, 8), replace=False).tolist()) for _ in range(200)]
    return pd.DataFrame(lines_of(baskets)), make_frame(lines_of(baskets), "pyspark")


@pytest.mark.spark
@pytest.mark.xdist_group("spark")
@pytest.mark.parametrize(
    "arguments",
    [
        {"min_support": 20},
        {"min_support": 0.15, "max_len": 2},
        {"min_support": 3, "kind": "closed"},
        {"min_support": 3, "kind": "maximal", "max_len": 5},
        {"min_support": 5, "top_k": 7, "min_len": 2},
    ],
)
def test_spark_mines_the_same_with_its_own_library(on_spark, arguments):
    here, there = (frequent_itemsets(lines, **arguments) for lines in on_spark)
    assert found(there) == found(here)
    assert (there.basket_count, there.min_count, there.distinct_item_count) == (
        here.basket_count, here.min_count, here.distinct_item_count,
    )  # fmt: skip


@pytest.mark.spark
@pytest.mark.xdist_group("spark")
def test_spark_is_told_what_it_cannot_do(on_spark):
    with pytest.raises(SchemaError, match=r"on Spark give min_support along with top_k"):
        frequent_itemsets(on_spark[1], top_k=5)
    with pytest.raises(ResultTooLargeError, match=r"in at least 3 of 200 baskets need more than max_memory=0 MB"):
        frequent_itemsets(on_spark[1], 3, max_memory="1kB")
    with pytest.raises(SchemaError, match=r"hierarchy= is not handed to Spark. Collect the lines first"):
        frequent_itemsets(on_spark[1], 3, hierarchy=on_spark[0].assign(category="x"))


# -- memory and refusals -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "allowed"), [("all", "20 MB"), ("closed", "1 MB")])
def test_stops_before_the_memory_is_gone_and_says_what_to_do(kind, allowed):
    rng = np.random.default_rng(0)
    lines = pd.DataFrame(lines_of([set(rng.choice(60, 30, replace=False).tolist()) for _ in range(60)]))
    with pytest.raises(ResultTooLargeError, match=r"in at least 1 of 60 baskets need more than max_memory=" + allowed):
        frequent_itemsets(lines, 1, max_memory=allowed, kind=kind)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, r"frequent_itemsets: give min_support, such as min_support=0\.01"),
        ({"min_support": 0}, r"min_support must be a whole number of baskets .* got 0\."),
        ({"min_support": 100.0}, r"or a share of them between 0 and 1 .* got 100\.0"),
        ({"min_support": True}, "got True"),
        ({"min_support": 1, "kind": "close"}, "Did you mean 'closed'"),
        ({"min_support": 1, "min_len": 3, "max_len": 2}, "max_len must be a whole number of at least 3, got 2"),
        ({"min_support": 1, "basket": "day"}, r"basket must be .*\(\"customer_id\", \"1d\"\), got 'day'"),
        ({"min_support": 1, "item": "brand"}, "item must be one of"),
        ({"min_support": 1, "item": "category"}, r"frequent_itemsets needs \['category'\]"),
        ({"min_support": 1, "max_memory": "2 TB"}, r'max_memory="500MB"'),
        ({"top_k": 5, "kind": "maximal"}, "what is maximal depends on min_support. Give it too"),
        ({"top_k": 0}, "top_k must be a whole number of at least 1"),
    ],
)
def test_refusals_say_what_to_type(arguments, message):
    with pytest.raises(SchemaError, match=message):
        frequent_itemsets(pd.DataFrame(lines_of(GROCERIES)), **arguments)


def test_says_in_one_line_what_it_is():
    itemsets = frequent_itemsets(pd.DataFrame(lines_of(GROCERIES)), 0.5, kind="closed")
    assert repr(itemsets) == "Itemsets: 3 closed itemsets of product_id in at least 2 of 4 baskets (.to_frame())"


ENDLESS = """
import sys
import numpy as np
import pandas as pd
from crmlytics.affinity import frequent_itemsets

frequent_itemsets(pd.DataFrame({"order_id": [1], "product_id": [1]}), 1)  # compiles
lines = pd.DataFrame({"order_id": np.repeat(np.arange(2000), 100), "product_id": np.tile(np.arange(100), 2000)})
print("mining", flush=True)
try:
    frequent_itemsets(lines.sample(frac=0.9, random_state=0), 2, kind=sys.argv[1], max_memory="500GB", max_len=8)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a POSIX signal")
@pytest.mark.parametrize("kind", ["all", "closed"])
def test_ctrl_c_stops_mining_that_would_take_hours(kind):
    with subprocess.Popen([sys.executable, "-c", ENDLESS, kind], stdout=subprocess.PIPE, text=True) as mining:
        assert mining.stdout.readline() == "mining\n"
        with pytest.raises(subprocess.TimeoutExpired):
            mining.wait(timeout=1)
        mining.send_signal(signal.SIGINT)
        assert mining.communicate(timeout=30)[0] == "stopped\n"
