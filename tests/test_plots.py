"""What the helpers of all plots promise: rows by name, dots with as much of an interval as is known."""

import numpy as np
import pandas as pd

from crmlytics._plots import draw_intervals, row_axes

ROWS = pd.DataFrame({
    "share": [0.2, None, 0.4, 0.5], "share_low": [0.1, 0.0, None, None], "share_high": [0.3, 0.2, 0.6, None],
}).astype("Float64")  # fmt: skip


def drawn(axes):
    """Return the lines and the dots: (from, to, how high) and (value, how high)."""
    lines = [tuple(line.T.ravel()[[0, 1, 2]]) for line in axes.collections[0].get_segments()]
    return lines, list(zip(*axes.lines[0].get_data(), strict=True))


def test_an_interval_ends_at_the_dot_where_its_bound_is_not_known():
    axes = row_axes(None, "abcd")
    draw_intervals(axes, ROWS, "share", colour="black", label="Share")
    lines, dots = drawn(axes)
    np.testing.assert_allclose(lines, [(0.1, 0.3, 0), (0.4, 0.6, 2), (0.5, 0.5, 3)])  # no value, no line
    np.testing.assert_allclose(dots, [(0.2, 0), (0.4, 2), (0.5, 3)])
    assert axes.lines[0].get_label() == "Share"


def test_places_and_hollow_dots_are_the_callers():
    axes = row_axes(None, "ab")
    draw_intervals(axes, ROWS.iloc[[2, 0]], "share", places=[1.2, 0.2], colour="black", filled=False)
    np.testing.assert_allclose(drawn(axes)[1], [(0.4, 1.2), (0.2, 0.2)])
    assert axes.lines[0].get_markerfacecolor() == "white"


def test_without_a_value_nothing_is_drawn():
    axes = row_axes(None, "a")
    draw_intervals(axes, ROWS.iloc[[1]], "share", colour="black", label="Share")
    assert not axes.lines
    assert not axes.collections


def test_rows_are_named_from_below_and_make_the_figure_higher():
    few, many = row_axes(None, ["a", 7]), row_axes(None, range(12))
    assert [label.get_text() for label in few.get_yticklabels()] == ["a", "7"]
    assert few.get_ylim() == (-0.6, 1.6)
    assert many.figure.get_figheight() > few.figure.get_figheight()
    assert row_axes(few, ["x"]) is few
