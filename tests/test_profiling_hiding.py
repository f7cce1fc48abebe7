"""What least_count promises: no small cell is seen, and none can be computed from the sums."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from crmlytics._kernels.cell_suppression import hidden_cells, moments_tell
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.profiling._counting import pool_rare
from crmlytics.profiling._rows import FIGURES
from crmlytics.profiling.profiles import profile_table

LEAST = 4
HIDDEN = f"hidden: a count below {LEAST} could be told"
ROUNDED = f"rounded: a count below {LEAST} could be told"
RANKS = ["median", "median_overall", "superiority_probability"]


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


@settings(max_examples=40)
@given(tables)
def test_who_sees_a_table_from_both_sides_learns_no_more(counts):
    assume(counts.sum(axis=0).min() >= LEAST and counts.sum(axis=1).min() >= LEAST)
    assert (hidden_cells(counts, LEAST) == hidden_cells(np.ascontiguousarray(counts.T), LEAST).T).all()


def test_profiles_of_a_by_b_and_of_b_by_a_hide_the_same():
    random = np.random.default_rng(4)
    seen = 0
    for _ in range(12):
        cells = random.poisson(random.gamma(0.6, 12, (3, 4)))
        if min(cells.sum(axis=0).min(), cells.sum(axis=1).min()) < LEAST:
            continue
        table = customers(cells).iloc[::-1]
        one = profile_table(table, least_count=LEAST)
        other = profile_table(table, segment="level", least_count=LEAST)
        hidden = set(zip(*one.loc[one["note"] == HIDDEN, ["segment", "level"]].T.to_numpy(), strict=True))
        assert hidden == set(zip(*other.loc[other["note"] == HIDDEN, ["level", "segment"]].T.to_numpy(), strict=True))
        seen += len(hidden)
    assert seen > 10


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
    assert spend["mean"].tolist() == pytest.approx([50, 149])  # 50.0 and 149.49, to what 4 of 50 move: 4 * 29 / 99 > 1
    assert (spend["note"] == ROUNDED).all()
    table.loc[1:6, "spend"] = None  # 7 in one segment, 1 in the other
    spend = profile_table(table, least_count=LEAST).query("column == 'spend'")
    assert spend["count"].isna().all()
    assert (spend.loc[spend["level"] == "missing", "note"] == HIDDEN).all()


def test_tests_follow_from_what_is_shown_where_counts_are_hidden():
    random = np.random.default_rng(0)
    table = customers([[120, 80], [150, 100], [90, 60]]).assign(income=random.normal(50, 10, 600))
    table.loc[[5, 300, 301], "income"] = None  # fewer than 4: shared out by size
    found = profile_table(table, least_count=LEAST).query("column == 'income'").sort_values("segment")
    assert (found["note"] == ROUNDED).all()
    assert found[["count", *RANKS]].isna().all(axis=None)
    size = np.array([200, 250, 150])
    known = np.rint(size * (1 - 3 / 600))
    mean, spread = found["mean"].to_numpy(), found["standard_deviation"].to_numpy()
    overall = (known * mean).sum() / known.sum()
    variance = (known * (spread**2 + (mean - overall) ** 2)).sum() / known.sum()
    assert found["mean_overall"].to_numpy() == pytest.approx(overall)
    assert found["standard_deviation_overall"].to_numpy() == pytest.approx(np.sqrt(variance))
    error = np.sqrt(variance / known * (known.sum() - known) / (known.sum() - 1))
    assert found["v_test"].to_numpy() == pytest.approx((mean - overall) / error)
    true = table.groupby("segment")["income"].mean().to_numpy()
    assert 0 < np.abs(mean - true).max() <= LEAST * 10.5 / 150 / 2  # half of what 4 customers move


def children(shares, n=600, seed=2):
    random = np.random.default_rng(seed)
    return pd.DataFrame({"segment": random.choice(["a", "b", "c"], n), "kids": random.choice(len(shares), n, p=shares)})


def test_three_values_cannot_be_solved_for_their_counts():
    kids = children([0.8, 0.18, 0.02])
    found = profile_table(kids, key=None)
    assert (found["note"] == "mean only, as_levels shows more: a count below 10 could be told").all()
    hidden = [*RANKS, "standard_deviation", "standard_deviation_overall", "effect_size", "v_test", "p_value"]
    assert found[hidden].isna().all(axis=None)
    true = kids.groupby("segment")["kids"].mean()
    assert found.set_index("segment")["mean"].sub(true).abs().max() < 10 * 0.5 / 180 / 2
    exact = profile_table(kids, key=None, least_count=1)
    assert exact["note"].isna().all()
    assert exact.set_index("segment")["mean"].sub(true).abs().max() < 1e-12


def test_more_values_keep_mean_and_spread_if_these_do_not_tell():
    """Counts of 0 to 3 children with the same number, mean and spread: brute force."""
    kids = children([0.6, 0.2, 0.18, 0.02])
    found = profile_table(kids, key=None)
    assert found[RANKS].isna().all(axis=None)
    assert (found["note"] == "no ranks: a count below 10 could be told").all()
    for _, row in found.iterrows():
        one, two, three = np.meshgrid(*[np.arange(101)] * 3, indexing="ij")
        zero = row["count"] - one - two - three
        mean = (one + 2 * two + 3 * three) / row["count"]
        square = (one + 4 * two + 9 * three) / row["count"]
        fits = (np.abs(mean - row["mean"]) < 1e-9) & (zero >= 0)
        fits &= np.abs(square - mean**2 - row["standard_deviation"] ** 2) < 1e-9
        assert np.ptp(three[fits]) >= 2
    few = np.array([90, 0, 0, 4])  # nobody has one or two: 4 follows
    assert moments_tell(np.arange(4.0), few, 10)
    assert not moments_tell(np.arange(4.0), np.array([90, 50, 50, 4]), 10)
    assert not moments_tell(np.arange(3.0), np.array([90, 0, 50]), 10)


def test_a_segment_without_small_counts_keeps_its_mean():
    cells = [[60, 60, 60], [50, 50, 3]]
    table = customers(cells).assign(kids=lambda rows: rows["level"].str[1].astype(int)).drop(columns="level")
    found = profile_table(table, least_count=LEAST).set_index("segment")
    assert found.loc["s0", "mean"] == 1.0
    assert found[["effect_size", "standard_deviation_overall"]].isna().all(axis=None)  # of all others: of s1


def test_a_mean_of_few_is_hidden():
    table = customers([[50, 50], [50, 50]]).assign(spend=np.arange(200.0))
    table.loc[3:99, "spend"] = None
    spend = profile_table(table, least_count=LEAST).query("column == 'spend' and level.isna()")
    few = spend[spend["segment"] == "s0"]
    assert few[list(FIGURES)].isna().all(axis=None)
    assert few["note"].tolist() == [HIDDEN]
    others = spend[spend["segment"] == "s1"]
    assert others["mean_overall"].tolist() == others["mean"].tolist()  # or the mean of the few would follow


def test_a_column_of_rare_levels_is_left_out():
    table = customers([[50, 50], [50, 50]]).assign(won=[1, *[0] * 199])
    with pytest.warns(DataQualityWarning, match=r"profile_table leaves out 'won': fewer than 10 customers differ"):
        found = profile_table(table)
    assert set(found["column"]) == {"level"}
    with pytest.raises(SchemaError, match=r"no column is left to compare segments by \(won: fewer than 10 cust"):
        profile_table(table, columns=["won"])
