"""What matching promises: who holds a pattern, and how long it took, as all its occurrences tell."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from _reference_sequences import embeddings
from _sequence_arrays import as_arrays, as_members, pattern, spelt
from crmlytics._kernels import sequence_matching
from crmlytics._kernels.sequence_gaps import mine_within
from crmlytics._kernels.sequence_matching import count_both, count_holders, holders, times_to_last
from crmlytics._kernels.sequence_rows import Question
from crmlytics._kernels.sequence_steps import NONE, Limits

ITEMS = "abcd"

gaps = st.integers(NONE, 6)
limits_of_all_kinds = st.builds(Limits, gaps, gaps, st.integers(NONE, 12))
parts = st.sets(st.sampled_from(ITEMS), min_size=1, max_size=2).map(frozenset)
patterns = st.lists(st.lists(parts, min_size=1, max_size=3).map(tuple), max_size=8)
element = st.tuples(st.integers(0, 12), st.sets(st.sampled_from(ITEMS), min_size=1, max_size=3))
in_time = st.lists(element, max_size=7).map(lambda elements: sorted(elements, key=lambda e: e[0]))
histories = st.lists(in_time, max_size=6)


def long_history(seed):
    rng = np.random.default_rng(seed)
    return [(int(moment), set(rng.choice([*ITEMS], 2))) for moment in rng.integers(0, 3, 150).cumsum()]


def ask(question, sequences, wanted, limits=Limits()):  # noqa: B008  a tuple
    return question(as_members(wanted, ITEMS), as_arrays(sequences, ITEMS), limits)


def days(text):
    """``"a0 b30"``: a on day 0, b on day 30."""
    return [(int(word[1:]), {word[0]}) for word in text.split()]


@given(sequences=histories, wanted=patterns, limits=limits_of_all_kinds)
def test_holders_have_an_occurrence(sequences, wanted, limits):
    expected = [[next(embeddings(p, s, limits), None) is not None for p in wanted] for s in sequences]
    expected = np.array(expected, np.bool_).reshape(len(sequences), len(wanted))
    found = ask(holders, sequences, wanted, limits)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, expected)
    counts = ask(count_holders, sequences, wanted, limits)
    assert counts.dtype == np.int32
    np.testing.assert_array_equal(counts, expected.sum(axis=0))


def time_to_last(wanted, sequence, limits):
    """From the first completion of the rest that leads to the whole, to the first completion of the whole after it."""
    ends = [places[-2:] for places in embeddings(wanted, sequence, limits)]
    rest, whole = min(ends)  # the earliest rest, then the earliest whole
    assert whole == min(place for _, place in ends)  # as the docstring says
    return sequence[whole][0] - sequence[rest][0]


@given(sequences=histories, wanted=patterns, limits=limits_of_all_kinds, seed=st.integers(0, 99))
def test_times_are_quartiles_over_the_holders(sequences, wanted, limits, seed):
    sequences = [*sequences, long_history(seed)] if limits.window in range(9) else sequences
    found = ask(times_to_last, sequences, wanted, limits)
    held = ask(holders, sequences, wanted, limits)
    for number, one in enumerate(wanted):
        of = [s for s, is_held in zip(sequences, held[:, number], strict=True) if is_held and len(one) > 1]
        times = [time_to_last(one, sequence, limits) for sequence in of]
        np.testing.assert_allclose(found[number], np.quantile(times, [0.25, 0.5, 0.75]) if times else [np.nan] * 3)


def test_times_counted_by_hand():
    sequences = [
        days("a0 b7"),
        days("a0 a5 b15 b20"),  # from the first a to the first b: 15
        days("a0 a50 b59"),  # 59; within 30 days the first a leads nowhere: 9
        days("b0 a1"),
    ]
    assert ask(times_to_last, sequences, [pattern("a b")]).tolist() == [[11, 15, 37]]
    assert ask(times_to_last, sequences, [pattern("a b")], Limits(max_gap=30)).tolist() == [[8, 9, 12]]
    assert ask(count_holders, sequences, [pattern("a b")], Limits(max_gap=8)).tolist() == [1]
    # only from day 5 on is it 10 or less: the completion is the first that leads to the whole within the limits
    assert ask(times_to_last, sequences[1:2], [pattern("a b")], Limits(max_gap=10)).tolist() == [[10, 10, 10]]


def test_time_to_an_element_of_several_items_and_from_several_elements():
    sequence = [(0, {"a"}), (3, {"b"}), (8, {"c"}), (20, {"c", "d"})]
    wanted = [pattern("a b cd"), pattern("a b c"), pattern("a cd"), pattern("cd"), pattern("d a")]
    times = ask(times_to_last, [sequence], wanted)[:, 1]
    np.testing.assert_array_equal(times, [17, 5, 20, np.nan, np.nan])


def test_patterns_may_be_there_twice_and_items_may_be_unknown():
    sequences = spelt("a b", "c a")
    wanted = [pattern("a"), pattern("a b"), pattern("d"), pattern("a")]
    assert ask(count_holders, sequences, wanted).tolist() == [2, 1, 0, 2]
    starts, item_starts, items, moment = as_arrays(sequences, ITEMS)
    for stranger in (-1, 99):
        others = (starts, item_starts, np.where(items == 2, stranger, items).astype(np.int32), moment)
        assert count_holders(as_members(wanted, ITEMS), others, Limits()).tolist() == [2, 1, 0, 2]


@given(sequences=histories, wanted=patterns, limits=limits_of_all_kinds, bytes_at_a_time=st.integers(1, 30))
def test_both_are_held_however_much_is_done_at_a_time(sequences, wanted, limits, bytes_at_a_time):
    others = [one[::-1] for one in wanted]
    both = ask(holders, sequences, wanted, limits) & ask(holders, sequences, others, limits)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequence_matching, "BYTES_AT_A_TIME", bytes_at_a_time)
        members = as_members(wanted, ITEMS), as_members(others, ITEMS)
        found = count_both(*members, as_arrays(sequences, ITEMS), limits)
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, both.sum(axis=0))


@given(seed=st.integers(0, 999), limits=st.sampled_from([Limits(-1, 2), Limits(1, 3, 5), Limits(window=4)]))
def test_mined_patterns_are_held_as_often_as_was_counted(seed, limits):
    sequences = [long_history(seed + k)[k:] for k in range(3)]
    arrays = as_arrays(sequences, ITEMS)
    tree = mine_within(*arrays, 4, Question(2, 4), limits, max_bytes=2**31)
    members = tree.members(np.arange(len(tree), dtype=np.int32))
    np.testing.assert_array_equal(count_holders(members, arrays, limits), tree.count)


@given(sequences=histories, wanted=patterns, limits=limits_of_all_kinds)
def test_threads_do_not_change_anything(sequences, wanted, limits):
    answers = []
    for threads in (1, 7):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sequence_matching, "thread_count", lambda n=threads: n)
            answers.append([ask(question, sequences, wanted, limits) for question in (holders, times_to_last)])
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)


def test_nothing_in_nothing_out():
    assert ask(count_holders, [], [pattern("a b")]).tolist() == [0]
    assert ask(count_holders, spelt("a"), []).tolist() == []
    assert ask(holders, spelt("a", "b"), []).shape == (2, 0)
    assert ask(times_to_last, spelt("a"), []).shape == (0, 3)
