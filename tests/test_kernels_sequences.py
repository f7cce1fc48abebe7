"""Mining sequential patterns: what the definitions count, what others published, whatever the algorithm and threads."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _reference_sequences import holds, patterns_of
from _sequence_arrays import CONTEXT_PREFIX_SPAN, as_arrays, pattern, patterns_in, spelt
from crmlytics._kernels import sequence_rows, sequences, working
from crmlytics._kernels.sequences import NO_LIMIT, Question, TooManySequencesError, frequent_part, mine, suited_to
from crmlytics._sequences import Sequences

ALGORITHMS = ["projection", "bitmaps"]
ROOM = 10**9

elements = st.sets(st.sampled_from("abcd"), min_size=1, max_size=3)
histories = st.lists(st.lists(elements, max_size=4), min_size=1, max_size=6)


@pytest.fixture(params=ALGORITHMS)
def algorithm(request):
    return request.param


def packed(histories, item_ids):
    return Sequences(*as_arrays(histories, item_ids), np.arange(len(histories)), np.array(list(item_ids)))


def in_days(histories):
    return [list(enumerate(history)) for history in histories]


def counted(tree, item_ids):
    return dict(zip(patterns_in(tree, item_ids), tree.count.tolist(), strict=True))


def fits(found, max_len, max_element_len):
    return sum(map(len, found)) <= max_len and max(map(len, found)) <= max_element_len


def is_same(one, other):
    return all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in ("item", "parent", "joined", "count")
    )


def from_table(table):
    """Sequences from a table of unique sequence, element and item, the more frequent items last."""
    ids = table["item"].value_counts(ascending=True).index
    table = table.assign(item=pd.Categorical(table["item"], ids).codes).sort_values(["sequence", "element", "item"])
    sizes = table.groupby(["sequence", "element"]).size()
    return Sequences(
        np.cumsum([0, *sizes.groupby(level=0).size()]),
        np.cumsum([0, *sizes]),
        table["item"].to_numpy(np.int32),
        np.zeros(len(sizes), np.int64),
        table["sequence"].unique(),
        ids.to_numpy(),
    )


@pytest.fixture(scope="module")
def bike(shared_data):
    lines = (shared_data / "bike_sequences.txt").read_text().splitlines()
    rows = [
        (n, k, item) for n, line in enumerate(lines) for k, item in enumerate(line[: line.find(" -2")].split(" -1 "))
    ]
    table = pd.DataFrame(rows, columns=["sequence", "element", "item"])
    return from_table(table.assign(item=table["item"].str.removesuffix(" -1")))


@pytest.fixture(scope="module")
def journey(shared_data):
    folder = shared_data / "complete_journey"
    products = pd.read_parquet(folder / "products.parquet").dropna(subset="product_category")
    lines = pd.read_parquet(folder / "transactions.parquet").merge(products, on="product_id")
    days = lines["transaction_timestamp"].dt.normalize()
    table = pd.DataFrame({"sequence": lines["household_id"], "element": days, "item": lines["product_category"]})
    return from_table(table[table["item"] != "COUPON/MISC ITEMS"].drop_duplicates())


# --- the definitions


@given(
    histories=histories,
    min_count=st.integers(1, 4),
    max_len=st.sampled_from([1, 2, 3, NO_LIMIT]),
    max_element_len=st.sampled_from([1, 2, NO_LIMIT]),
)
def test_finds_what_the_definition_finds(histories, min_count, max_len, max_element_len):
    expected = patterns_of(in_days(histories), min_count)
    expected = {found: count for found, count in expected.items() if fits(found, max_len, max_element_len)}
    question = Question(min_count, max_len, max_element_len)
    for algorithm in ALGORITHMS:
        tree = mine(packed(in_days(histories), "abcd"), question, max_bytes=ROOM, algorithm=algorithm)
        assert counted(tree, "abcd") == expected
        assert (tree.item_total, tree.sequence_count) == (4, len(histories))


@given(histories=histories, seed=st.integers(0, 99))
def test_the_order_of_sequences_changes_nothing_and_rows_are_in_order(histories, seed):
    shuffled = [histories[place] for place in np.random.default_rng(seed).permutation(len(histories))]
    trees = [
        mine(packed(in_days(each), "abcd"), Question(2), max_bytes=ROOM, algorithm=algorithm)
        for each in (histories, shuffled)
        for algorithm in ALGORITHMS
    ]
    assert all(is_same(trees[0], tree) for tree in trees)
    tree = trees[0]
    assert (tree.parent < np.arange(len(tree))).all()
    sisters = {}
    for parent, item, joined in zip(tree.parent.tolist(), tree.item.tolist(), tree.joined.tolist(), strict=True):
        sisters.setdefault(parent, []).append((item, joined))
    assert all(order == sorted(order) for order in sisters.values())


@pytest.mark.parametrize("seed", range(10))
def test_histories_of_several_words(seed):
    """Over 64 elements, and over 128, of items some of which are rare: some patterns found are counted again."""
    rng = np.random.default_rng(seed)
    lengths, chances = rng.integers(20, 200, 12), {"a": 0.5, "b": 0.1, "c": 0.02, "d": 0.01}
    histories = [[{item for item, p in chances.items() if rng.random() < p} for _ in range(n)] for n in lengths]
    data = in_days([[element or {"a"} for element in history] for history in histories])
    trees = [mine(packed(data, "abcd"), Question(3, 4), max_bytes=ROOM, algorithm=name) for name in ALGORITHMS]
    assert is_same(*trees)
    found = counted(trees[0], "abcd")
    for rare in sorted(found, key=found.get)[:20]:
        assert found[rare] == sum(holds(rare, history) for history in data)


@pytest.mark.parametrize("length", [63, 64, 65, 127, 128, 129])
def test_the_last_elements_of_a_word_are_seen(algorithm, length):
    data = packed(in_days([["a"] * (length - 3) + ["b", "c", "bd"]] * 2), "abcd")
    found = counted(mine(data, Question(2, 3), max_bytes=ROOM, algorithm=algorithm), "abcd")
    assert {pattern("b c d"), pattern("c b"), pattern("c bd"), pattern("b bd"), pattern("a c d")} <= set(found)
    assert not {pattern("c c"), pattern("b d d"), pattern("bc")} & set(found)


def test_an_element_is_looked_for_in_every_later_one_not_only_in_the_first(algorithm):
    data = packed(spelt("x a ab", "x ab"), "abx")
    found = counted(mine(data, Question(2), max_bytes=ROOM, algorithm=algorithm), "abx")
    assert found[pattern("x ab")] == 2


def test_one_item_twice_needs_two_elements(algorithm):
    data = packed(spelt("a a", "a", "ab a"), "ab")
    found = counted(mine(data, Question(1), max_bytes=ROOM, algorithm=algorithm), "ab")
    assert found == {
        pattern("a"): 3, pattern("a a"): 2, pattern("b"): 1, pattern("b a"): 1, pattern("ab"): 1, pattern("ab a"): 1
    }  # fmt: skip


def test_nothing_is_found_where_nothing_is_frequent(algorithm):
    for data in (packed(spelt("a", "b"), "ab"), packed([], "ab"), packed([[]], "ab")):
        assert len(mine(data, Question(2), max_bytes=ROOM, algorithm=algorithm)) == 0


# --- what others published


@pytest.mark.parametrize(("min_count", "patterns"), [(2, 53), (3, 14)])
def test_example_of_spmf(algorithm, min_count, patterns):
    data = packed(spelt(*CONTEXT_PREFIX_SPAN), "1234567")
    tree = mine(data, Question(min_count), max_bytes=ROOM, algorithm=algorithm)
    assert len(tree) == patterns
    assert counted(tree, "1234567")[pattern("1 3 2")] == 3


def test_bike(bike, algorithm):
    assert len(bike) == 21_078
    assert len(mine(bike, Question(21), max_bytes=ROOM, algorithm=algorithm)) == 38_895


def test_complete_journey(journey, algorithm):
    """The count that both algorithms find for the 600 households."""
    tree = mine(journey, Question(480), max_bytes=ROOM, algorithm=algorithm)
    assert len(tree) == 560


# --- which algorithm, how many threads, how much memory


def test_chooses_by_how_much_of_the_tables_is_filled(bike, journey):
    assert suited_to(frequent_part(bike, Question(21)), ROOM) == "projection"
    dense = frequent_part(journey, Question(480))
    assert suited_to(dense, ROOM) == "bitmaps"
    assert suited_to(dense, 10**5) == "projection"  # the table alone would be larger


def test_bitmaps_are_not_chosen_for_more_elements_than_they_can_number():
    def data(elements):
        return packed([list(enumerate(["a", "b"] * (elements // 2)))], "ab")

    assert suited_to(frequent_part(data(2**15 - 2), Question(1)), ROOM) == "bitmaps"
    assert suited_to(frequent_part(data(2**15), Question(1)), ROOM) == "projection"
    found = [mine(data(n), Question(1, 3), max_bytes=ROOM) for n in (2**15 - 2, 2**15)]
    assert is_same(*found)


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_change_nothing(bike, algorithm, threads, monkeypatch):
    expected = mine(bike, Question(200), max_bytes=ROOM, algorithm=algorithm)
    for module in (sequence_rows, working):
        monkeypatch.setattr(module, "thread_count", lambda: threads)
    assert is_same(expected, mine(bike, Question(200), max_bytes=ROOM, algorithm=algorithm))


def test_parts_are_as_many_as_threads_can_share(monkeypatch):
    monkeypatch.setattr(sequence_rows, "thread_count", lambda: 1)
    ranges = sequence_rows.ranges_of(np.arange(1, 1001))
    assert len(ranges) == sequence_rows.TASKS_A_THREAD
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 1000
    assert all(one[1] == next_one[0] for one, next_one in pairwise(ranges))


def test_stops_before_it_takes_more_memory_than_allowed(algorithm):
    data = packed(in_days([["abcd"] * 30] * 4), "abcd")
    with pytest.raises(TooManySequencesError):
        mine(data, Question(4), max_bytes=10**7, algorithm=algorithm)
    fitting = mine(data, Question(4, max_len=4), max_bytes=10**7, algorithm=algorithm)
    assert len(fitting) == 4 + 22 + 116 + 613  # of 1 / (2 - (1 + x)^4): each element is some of four items


def test_stops_before_it_starts_where_the_data_alone_are_too_large(algorithm):
    data = packed(spelt("abcd abcd abcd"), "abcd")
    with pytest.raises(TooManySequencesError):
        mine(data, Question(1, max_len=1), max_bytes=50, algorithm=algorithm)


def test_leaves_the_sequences_as_they_are():
    data = packed(spelt("ab c", "a", "c"), "abc")
    before = [array.copy() for array in (data.starts, data.item_starts, data.items)]
    frequent = frequent_part(data, Question(2))
    assert [array.tolist() for array in frequent] == [[0, 2, 3, 4], [0, 1, 2, 3, 4], [0, 1, 0, 1], [0, 2], [2, 2]]
    assert all(map(np.array_equal, before, (data.starts, data.item_starts, data.items)))
    assert sequences.mine(data, Question(2), max_bytes=ROOM).item.tolist() == [0, 2]
