"""What kinds of patterns promise: closed and maximal by their definition; every pattern is found in its tree again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _reference_sequences import closed_of, is_part, maximal_of
from _sequence_arrays import CONTEXT_PREFIX_SPAN, as_arrays, as_members, pattern, patterns_in, spelt
from crmlytics._kernels.sequence_gaps import mine_within
from crmlytics._kernels.sequence_kinds import closed_rows, maximal_rows, prefix_tree, rows_of, tree_of_patterns
from crmlytics._kernels.sequence_rows import Question
from crmlytics._kernels.sequence_steps import Limits

ITEMS = "abcd"
NAMES = ("item", "parent", "joined", "count")

words = st.text(ITEMS, min_size=1, max_size=3)
histories = st.lists(st.lists(words, max_size=4).map(" ".join), max_size=6).map(lambda texts: spelt(*texts))


def tree_of(sequences, min_count=1, limits=Limits(), items=ITEMS):  # noqa: B008  a tuple
    return mine_within(*as_arrays(sequences, items), len(items), Question(min_count), limits, max_bytes=2**31)


def counts_of(tree, items=ITEMS):
    return dict(zip(patterns_in(tree, items), tree.count.tolist(), strict=True))


def test_example_of_spmf():
    tree = tree_of(spelt(*CONTEXT_PREFIX_SPAN), 2, items="1234567")
    assert (len(closed_rows(tree)), len(maximal_rows(tree))) == (17, 10)


def test_counted_by_hand():
    tree = tree_of(spelt("a bc", "a bc", "a c", "c"))
    assert set(patterns_in(tree, ITEMS, closed_rows(tree))) == {pattern("a bc"), pattern("a c"), pattern("c")}
    assert patterns_in(tree, ITEMS, maximal_rows(tree)) == [pattern("a bc")]


@given(sequences=histories, min_count=st.integers(1, 3))
def test_closed_and_maximal_by_their_definition(sequences, min_count):
    tree = tree_of(sequences, min_count)
    counts = counts_of(tree)
    assert set(patterns_in(tree, ITEMS, closed_rows(tree))) == set(closed_of(counts))
    assert set(patterns_in(tree, ITEMS, maximal_rows(tree))) == set(maximal_of(counts))


@given(sequences=histories, max_gap=st.integers(0, 2))
def test_within_limits_by_the_patterns_found_with_one_item_more(sequences, max_gap):
    tree = tree_of(sequences, limits=Limits(max_gap=max_gap))
    counts = counts_of(tree)
    covered, equalled = set(), set()
    for large, count in counts.items():
        size = sum(map(len, large))
        parts = [small for small in counts if sum(map(len, small)) == size - 1 and is_part(small, large)]
        covered |= set(parts)
        equalled |= {small for small in parts if counts[small] == count}
    assert set(patterns_in(tree, ITEMS, maximal_rows(tree))) == counts.keys() - covered
    assert set(patterns_in(tree, ITEMS, closed_rows(tree))) == counts.keys() - equalled


@given(sequences=histories, seed=st.integers(0, 1000))
def test_rows_are_found_again_and_trees_are_built_again(sequences, seed):
    tree = tree_of(sequences, limits=Limits(max_gap=1))
    rows = np.random.default_rng(seed).permutation(len(tree)).astype(np.int32)
    members = tree.members(rows)
    np.testing.assert_array_equal(rows_of(tree, *members), rows)
    again = tree_of_patterns(*members, tree.count[rows], len(ITEMS), len(sequences))
    for name in NAMES:
        np.testing.assert_array_equal(getattr(again, name), getattr(tree, name))
        assert getattr(again, name).dtype == getattr(tree, name).dtype
    assert (again.item_total, again.sequence_count) == (tree.item_total, tree.sequence_count)


def test_what_is_not_in_the_tree_has_no_row():
    tree = tree_of(spelt("ab c"))
    wanted = [pattern(text) for text in ("ab c", "ac", "a b", "d", "c a", "b c")]
    found = rows_of(tree, *as_members([*wanted, ()], ITEMS))
    assert [patterns_in(tree, ITEMS, found[[k]]) if found[k] >= 0 else None for k in range(7)] == [
        [pattern("ab c")], None, None, None, None, [pattern("b c")], None,
    ]  # fmt: skip


def test_items_of_an_element_may_come_in_any_order():
    starts, codes, joined = np.array([0, 1, 3]), np.array([1, 2, 1], np.int32), np.array([False, False, True])
    tree = tree_of_patterns(starts, codes, joined, np.array([5, 4], np.int32), 3, 9)
    assert counts_of(tree) == {pattern("b"): 5, pattern("bc"): 4}
    tree, rows = prefix_tree(starts, codes, joined, 3)
    assert (rows.tolist(), tree.count.tolist()) == ([0, 1], [0, 0])


@pytest.mark.parametrize("texts", [["a", "a"], ["a", "a b c"], ["b", "ab"]])
def test_refuses_patterns_that_make_no_tree(texts):
    members = as_members(map(pattern, texts), ITEMS)
    with pytest.raises(ValueError, match="there twice, or it is there without its prefix"):
        tree_of_patterns(*members, np.ones(2, np.int32), 4, 9)
