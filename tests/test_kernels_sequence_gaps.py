"""What mining within limits of time promises: what plain recursion finds; limits that include their own value."""

from collections import Counter
from itertools import chain, combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _sequence_arrays import CONTEXT_PREFIX_SPAN, as_arrays, pattern, patterns_in, spelt
from crmlytics._kernels import sequence_gaps
from crmlytics._kernels.sequence_gaps import mine_within
from crmlytics._kernels.sequence_rows import NO_LIMIT, Question, TooManySequencesError
from crmlytics._kernels.sequence_steps import NONE, Limits

ITEMS = "abcd"
PLENTY = 2**31
ANY = Question(1)


def mined(sequences, question=ANY, limits=Limits(), items=ITEMS):  # noqa: B008  a tuple
    tree = mine_within(*as_arrays(sequences, items), len(items), question, limits, max_bytes=PLENTY)
    found = dict(zip(patterns_in(tree, items), tree.count.tolist(), strict=True))
    assert len(found) == len(tree)  # each once
    return found


def subsets(items):
    return map(frozenset, chain.from_iterable(combinations(items, size) for size in range(1, len(items) + 1)))


def occurrences(sequence, limits, max_len):
    """Yield every pattern of a sequence as often as it is there: all choices of elements, and of a part of each."""

    def grow(found, first, last):
        if sum(map(len, found)) > max_len:
            return
        yield found
        for later in range(last + 1, len(sequence)):
            gap, whole = sequence[later][0] - sequence[last][0], sequence[later][0] - sequence[first][0]
            if gap < limits.min_gap or gap > limits.max_gap >= 0 or whole > limits.window >= 0:
                continue
            for part in subsets(sequence[later][1]):
                yield from grow((*found, part), first, later)

    for first, (_, items) in enumerate(sequence):
        for part in subsets(items):
            yield from grow((part,), first, first)


def brute_force(sequences, question, limits):
    per_sequence = (set(occurrences(sequence, limits, question.max_len)) for sequence in sequences)
    return {
        found: count
        for found, count in Counter(chain.from_iterable(per_sequence)).items()
        if count >= question.min_count and max(map(len, found)) <= question.max_element_len
    }


gaps = st.integers(NONE, 6)
limits_of_all_kinds = st.builds(Limits, gaps, gaps, st.integers(NONE, 12))
questions = st.builds(
    Question, st.integers(1, 3), st.integers(1, 5) | st.just(NO_LIMIT), st.sampled_from([1, 2, NO_LIMIT])
)
element = st.tuples(st.integers(0, 12), st.sets(st.sampled_from(ITEMS), min_size=1, max_size=3))
in_time = st.lists(element, max_size=5).map(lambda elements: sorted(elements, key=lambda e: e[0]))
histories = st.lists(in_time, max_size=6)


@given(sequences=histories, question=questions, limits=limits_of_all_kinds)
def test_finds_what_plain_recursion_finds(sequences, question, limits):
    assert mined(sequences, question, limits) == brute_force(sequences, question, limits)


@given(
    seed=st.integers(0, 2**32 - 1),
    limits=st.sampled_from([Limits(-1, 2, 4), Limits(1, -1, 3), Limits(40, 43), Limits(60, 64, 126), Limits(-1, 0)]),
)
def test_long_sequences_take_several_words(seed, limits):
    rng = np.random.default_rng(seed)
    sequences = [
        [(int(moment), set(rng.choice([*ITEMS], 2))) for moment in rng.integers(0, 3, length).cumsum()]
        for length in rng.integers(1, 90, 3)
    ]
    question = Question(1, 3)
    assert mined(sequences, question, limits) == brute_force(sequences, question, limits)


# --- counted by hand


def days(text):
    """``"a0 b30"``: a on day 0, b on day 30."""
    return [(int(word[1:]), {word[0]}) for word in text.split()]


@pytest.mark.parametrize(("limit", "held"), [(29, False), (30, True), (31, True), (NONE, True)])
def test_the_largest_gap_and_the_window_include_themselves(limit, held):
    assert (pattern("a b") in mined([days("a0 b30")], ANY, Limits(max_gap=limit))) == held
    assert (pattern("a b") in mined([days("a0 b30")], ANY, Limits(window=limit))) == held


@pytest.mark.parametrize(("limit", "held"), [(NONE, True), (0, True), (29, True), (30, True), (31, False)])
def test_the_least_gap_includes_itself(limit, held):
    assert (pattern("a b") in mined([days("a0 b30")], ANY, Limits(min_gap=limit))) == held


def test_equal_moments_are_a_gap_of_0_in_their_order():
    same_day = [days("a5 b5")]
    for limits in (Limits(), Limits(max_gap=0), Limits(window=0), Limits(min_gap=0, max_gap=0, window=0)):
        assert mined(same_day, ANY, limits) == {pattern("a"): 1, pattern("b"): 1, pattern("a b"): 1}
    assert mined(same_day, ANY, Limits(min_gap=1)) == {pattern("a"): 1, pattern("b"): 1}


def test_one_element_is_not_two():
    assert pattern("a a") not in mined([days("a0")], ANY, Limits())
    assert pattern("a b") not in mined([[(0, {"a", "b"})]], ANY, Limits())


def test_the_gap_is_between_neighbours_the_window_from_first_to_last():
    sequences = [days("a0 b10 c20")]
    assert pattern("a b c") in mined(sequences, ANY, Limits(max_gap=10))
    assert pattern("a c") not in mined(sequences, ANY, Limits(max_gap=10))  # the whole is there, this part is not
    assert pattern("a b c") not in mined(sequences, ANY, Limits(window=19))
    assert pattern("a b c") in mined(sequences, ANY, Limits(window=20))


def test_the_first_occurrence_is_not_the_only_one():
    assert mined([days("a0 a20 b30")], ANY, Limits(max_gap=10))[pattern("a b")] == 1  # the first a is too early
    assert mined([days("a0 b1 b20 c25")], ANY, Limits(max_gap=5)).get(pattern("a b c")) is None
    assert mined([days("a0 b1 a19 b20 c25")], ANY, Limits(window=6))[pattern("a b c")] == 1
    assert mined([days("a0 b3 b9 c12")], ANY, Limits(min_gap=3, max_gap=9))[pattern("a b c")] == 1


def test_a_sequence_counts_once():
    assert mined([days("a0 b1 a2 b3 a4 b5"), days("b0 a1")], Question(2), Limits()) == {
        pattern("a"): 2,
        pattern("b"): 2,
        pattern("b a"): 2,
    }


@pytest.mark.parametrize("place", [0, 30, 60])
def test_counting_does_not_end_before_it_is_decided(place):
    sequences = spelt(*["ab ab"] * 60)
    sequences.insert(place, spelt("a b")[0])
    assert mined(sequences, Question(61)) == {pattern("a"): 61, pattern("b"): 61, pattern("a b"): 61}
    assert mined(sequences, Question(60), Limits(max_gap=1)) == brute_force(sequences, Question(60), Limits(max_gap=1))


def test_example_of_spmf_without_limits():
    sequences = spelt(*CONTEXT_PREFIX_SPAN)
    assert [len(mined(sequences, Question(count), items="1234567")) for count in (2, 3)] == [53, 14]


def test_bike_without_limits(shared_data):
    lines = (shared_data / "bike_sequences.txt").read_text().splitlines()
    rides = [np.array(line.replace("-1", " ").replace("-2", " ").split(), int) for line in lines]
    ids, items = np.unique(np.concatenate(rides), return_inverse=True)
    lengths = [len(ride) for ride in rides]
    arrays = np.cumsum([0, *lengths]), np.arange(len(items) + 1), items.astype(np.int32), np.arange(len(items))
    tree = mine_within(*arrays, len(ids), Question(21), Limits(), max_bytes=PLENTY)
    assert len(tree) == 38_895  # SPMF's PrefixSpan, cSPADE


# --- the tree


def test_order_of_rows_is_that_of_the_miner_without_limits():
    tree = mine_within(*as_arrays(spelt("b ab", "ab b", "a ab"), "ab"), 2, Question(2), Limits(), max_bytes=PLENTY)
    spelling = [" ".join("".join(sorted(part)) for part in found) for found in patterns_in(tree, "ab")]
    assert spelling == ["a", "a b", "ab", "b", "b b"]
    assert (tree.item_total, tree.sequence_count) == (2, 3)
    assert [tree.item.dtype, tree.parent.dtype, tree.joined.dtype, tree.count.dtype] == ["i4", "i4", "?", "i4"]


@given(sequences=histories, limits=limits_of_all_kinds)
def test_neither_threads_nor_the_order_of_sequences_change_anything(sequences, limits):
    trees = []
    for threads, some in ((1, sequences), (7, sequences[::-1])):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sequence_gaps, "thread_count", lambda n=threads: n)
            trees.append(mine_within(*as_arrays(some, ITEMS), 4, Question(1), limits, max_bytes=PLENTY))
    for name in ("item", "parent", "joined", "count"):
        np.testing.assert_array_equal(*(getattr(tree, name) for tree in trees))


@pytest.mark.parametrize("limits", [Limits(max_gap=1), Limits(window=2)])
@pytest.mark.parametrize("max_bytes", [100, 200_000])
def test_says_when_memory_does_not_do(max_bytes, limits):
    everything = [[(day, set("abcdefghijkl")) for day in range(3)]]
    with pytest.raises(TooManySequencesError):
        mine_within(*as_arrays(everything, "abcdefghijkl"), 12, Question(1), limits, max_bytes=max_bytes)


def test_nothing_in_nothing_out():
    assert mined([]) == {}
    assert mined([[], []]) == {}
    assert mined([days("a0"), days("b0")], Question(2)) == {}
