"""What least_count promises: no small cell is seen, and none can be computed from the sums."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from crmlytics._kernels.cell_suppression import hidden_cells
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.profiling._counting import pool_rare
from crmlytics.profiling._rows import FIGURES
from crmlytics.profiling.profiles import profile_table

LEAST = 4
HIDDEN = f"hidden: a count below {LEAST} could be told"


def bounds_of(counts, hidden, cell):
    """Return the least and the most that a cell can hold, for who sees the sums and what is not hidden."""
    rows, columns = counts.shape
    sums = np.array([(np.indices(counts.shape)[0] == row).ravel() for row in range(rows)]).astype(float)
    sums = np.vstack([sums, [(np.indices(counts.shape)[1] == column).ravel() for column in range(columns)]])
    seen = [(0, None) if gone else (count, count) for gone, count in zip(hidden.ravel(), counts.ravel(), strict=True)]
    goal = np.zeros(counts.size)
    goal[cell] = 1
    ends = [linprog(sign * goal, A_eq=sums, b_eq=sums @ counts.ravel(), bounds=seen).fun for sign in (1, -1)]
    return ends[0], -ends[1]


tables = st.tuples(st.integers(2, 4), st.integers(2, 4)).flatmap(
    lambda shape: st.lists(st.integers(0, 9), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1]).map(
        lambda cells: np.array(cells, np.int64).reshape(shape)
    )
)


@settings(max_examples=40)
@given(tables)
def test_no_hidden_cell_can_be_computed(counts):
    assume(counts.sum(axis=0).min() >= LEAST and counts.sum(axis=1).min() >= LEAST)
    hidden = hidden_cells(counts, LEAST)
    assert hidden[(counts > 0) & (counts < LEAST)].all()
    for cell in np.flatnonzero(hidden):
        low, high = bounds_of(counts, hidden, cell)
        assert high >= low + 1 - 1e-6


def test_hides_no_more_than_needed():
    counts = np.array([[100, 3, 50], [60, 70, 80], [200, 40, 20]])
    assert hidden_cells(counts, 3).sum() == 0
    hidden = hidden_cells(counts, 10)  # with 3 go 50, 20 and 40: the cheapest cycle
    assert np.argwhere(hidden).tolist() == [[0, 1], [0, 2], [2, 1], [2, 2]]


def test_two_cycles_joined_by_one_cell_do_not_hide_it():
    counts = np.full((4, 4), 50)
    counts[0, 0] = counts[0, 1] = counts[1, 0] = counts[1, 1] = 2
    counts[2, 2] = counts[2, 3] = counts[3, 2] = counts[3, 3] = 2
    counts[1, 2] = 3  # each of its sums has two hidden cells or more, and yet it is known
    hidden = hidden_cells(counts, 5)
    low, high = bounds_of(counts, hidden, 1 * 4 + 2)
    assert high > low
    alone = (counts > 0) & (counts < 5)
    low, high = bounds_of(counts, alone, 1 * 4 + 2)
    assert low == pytest.approx(high)


def test_zeros_that_give_a_cell_away_do_not_go_with_it():
    counts = np.array([[2, 0, 50], [50, 0, 60], [60, 40, 70]])  # the two zeros are the cheapest, and add up to zero
    hidden = hidden_cells(counts, 5)
    low, high = bounds_of(counts, hidden, 0)
    assert high > low


@given(st.lists(st.integers(0, 12), min_size=2, max_size=6), st.integers(1, 8))
def test_pools_are_large_enough_and_lose_nobody(totals, least):
    assume(sum(totals) >= least)
    count = np.array([totals, [0] * len(totals)], np.int64)
    pooled = pool_rare([f"level {number}" for number in range(len(totals))], count, least)
    assert pooled.count.sum() == sum(totals)
    assert pooled.count.sum(axis=0).min() >= least
    assert len(set(pooled.labels)) == len(pooled.labels) == pooled.count.shape[1]


def test_names_of_pools():
    count = np.array([[90, 40, 3, 1, 2]])
    assert pool_rare(["a", "b", "c", "d", "e"], count, 5).labels == ["a", "b", "other"]
    assert pool_rare(["a", "b", "c"], count[:, :3], 5).labels == ["a", "b or c"]
    assert pool_rare(["a", "b", "other"], count[:, :3], 5).labels == ["a", "other"]
    assert pool_rare(["other", "b", "c", "d", "e"], count, 5).labels == ["b", "other"]


def customers(cells):
    """One customer for each count of a table: a row is a segment, a column a level."""
    counts = np.array(cells)
    rows, columns = np.indices(counts.shape)
    segment, level = (np.repeat(numbers.ravel(), counts.ravel()) for numbers in (rows, columns))
    return pd.DataFrame({
        "customer_id": range(len(level)),
        "segment": [f"s{number}" for number in segment],
        "level": [f"l{number}" for number in level],
    })  # fmt: skip


def test_hidden_rows_tell_nothing():
    table = profile_table(customers([[100, 3, 50], [60, 70, 80], [200, 40, 20]]), least_count=LEAST)
    hidden = table[table["note"] == HIDDEN]
    assert sorted(zip(hidden["segment"], hidden["level"], strict=True)) == [
        ("s0", "l1"), ("s0", "l2"), ("s2", "l1"), ("s2", "l2"),
    ]  # fmt: skip
    assert hidden[[*FIGURES, "adjusted_p_value"]].isna().all(axis=None)
    assert table.loc[table["note"].isna(), "count"].min() >= LEAST
    assert (table.groupby("segment")["note"].apply(lambda note: note.notna().is_monotonic_increasing)).all()


def test_a_column_of_two_levels_is_hidden_as_a_whole():
    table = profile_table(customers([[100, 2], [60, 70]]), least_count=LEAST)
    assert (table["note"] == HIDDEN).all()
    assert profile_table(customers([[100, 2], [60, 70]]), least_count=2)["count"].tolist() == [100, 2, 60, 70]


def test_a_zero_may_be_seen():
    table = profile_table(customers([[100, 0], [60, 70]]), least_count=LEAST)
    assert table["note"].isna().all()
    assert table["count"].min() == 0


def test_few_missing_numbers_are_not_told_of():
    table = customers([[50, 50], [50, 50]]).assign(spend=np.arange(200.0))
    table.loc[[0, 150], "spend"] = None
    found = profile_table(table, least_count=LEAST)
    spend = found[found["column"] == "spend"]
    assert spend["level"].isna().all()
    assert spend["count"].isna().all()
    assert spend["mean"].tolist() == [table.loc[100:, "spend"].mean(), table.loc[:99, "spend"].mean()] or spend[
        "mean"
    ].tolist() == [table.loc[:99, "spend"].mean(), table.loc[100:, "spend"].mean()]
    assert (spend["note"] == "count hidden: how many are missing could be told").all()
    table.loc[1:6, "spend"] = None  # 7 in one segment, 1 in the other
    spend = profile_table(table, least_count=LEAST).query("column == 'spend'")
    assert spend["count"].isna().all()
    assert (spend.loc[spend["level"] == "missing", "note"] == HIDDEN).all()


def test_a_mean_of_few_is_hidden():
    table = customers([[50, 50], [50, 50]]).assign(spend=np.arange(200.0))
    table.loc[3:99, "spend"] = None
    spend = profile_table(table, least_count=LEAST).query("column == 'spend' and level.isna()")
    few = spend[spend["segment"] == "s0"]
    assert few[list(FIGURES)].isna().all(axis=None)
    assert few["note"].tolist() == [HIDDEN]


def test_a_column_of_rare_levels_is_left_out():
    table = customers([[50, 50], [50, 50]]).assign(won=[1, *[0] * 199])
    with pytest.warns(DataQualityWarning, match=r"profile_table leaves out 'won': fewer than 10 customers differ"):
        found = profile_table(table)
    assert set(found["column"]) == {"level"}
    with pytest.raises(SchemaError, match=r"no column is left to compare segments by \(won: fewer than 10 cust"):
        profile_table(table, columns=["won"])
