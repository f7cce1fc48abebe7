"""What the pictures of value show: the numbers of the table, and nothing else."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from crmlytics.exceptions import MissingColumnsError
from crmlytics.testing import make_frame
from crmlytics.value._customer_plots import (
    plot_concentration_windows,
    plot_value_matrix,
    plot_value_migration,
    plot_whale_curve,
)
from crmlytics.value.matrix import value_matrix_table
from crmlytics.value.whale import whale_curve_table

mpl.use("Agg")
import matplotlib.pyplot as plt

LEFT = {"customer_id": ["a", "b", "c", "d"], "contribution_amount": [60.0, -30.0, 20.0, -10.0]}
WINDOWS = pd.DataFrame({
    "window_days": [30, 365], "known_amount_share": [0.9, 0.7], "known_amount_share_low": [0.8, 0.6],
    "known_amount_share_high": [0.95, 0.8], "active_amount_share": [None, 0.6], "active_amount_share_low": [None, 0.5],
    "active_amount_share_high": [None, 0.7],
})  # fmt: skip
MOVES = pd.DataFrame({
    "from_tier": ["high", "low", "(new)"], "to_tier": ["low", "(gone)", "high"], "from_share": [1.0, 0.25, 0.5],
    "amount_change": [-1_200.0, -50.0, 3_000.0],
})  # fmt: skip


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


@pytest.mark.parametrize("kind", ["pandas", "polars-lazy", "duckdb"])
def test_the_whale_leaps_to_its_peak_and_falls(kind):
    ax = plot_whale_curve(whale_curve_table(make_frame(LEFT, kind)))
    rise, fall, dot = ax.lines[2:5]
    assert rise.get_xydata().tolist() == [[0, 0], [0.25, 60], [0.5, 80]]
    assert fall.get_xydata().tolist() == [[0.5, 80], [0.75, 70], [1, 40]]
    assert dot.get_xydata().tolist() == [[0.5, 80]]
    assert texts(ax) == ["50% of customers earn 80;\nthe others take 40 back"]


def test_a_whale_of_one_customer_can_be_drawn():
    ax = plot_whale_curve(whale_curve_table(pd.DataFrame({"customer_id": [1], "contribution_amount": [5.0]})))
    assert texts(ax) == ["100% of customers earn 5;\nthe others take 0 back"]


def test_windows_have_a_line_each_with_intervals():
    ax = plot_concentration_windows(WINDOWS)
    known, active = ax.containers
    assert known[0].get_ydata().tolist() == [0.9, 0.7]
    assert np.isnan(active[0].get_ydata()[0])
    assert known[2][0].get_segments()[1][:, 1].tolist() == [0.6, 0.8]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["30 days", "365 days"]


def test_the_matrix_has_a_point_for_everybody_and_counts_them():
    values = pd.DataFrame(LEFT).assign(potential=[70.0, -20.0, 90.0, 5.0])
    ax = plot_value_matrix(value_matrix_table(values, current="contribution_amount", potential="potential"))
    assert [len(points.get_offsets()) for points in ax.collections] == [1, 1, 1, 1]
    assert ax.collections[0].get_offsets().tolist() == [[60.0, 70.0]]
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["most valuable (1)", "most growable (1)", "low maintenance (1)", "below zero (1)"]


def test_moves_stand_in_their_cells_with_tiers_in_brackets_last():
    ax = plot_value_migration(MOVES)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["high", "low", "(new)"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["high", "low", "(gone)"]
    assert texts(ax) == ["100%\n-1.2k", "25%\n-50", "50%\n+3k"]
    assert [text.get_position() for text in ax.texts] == [(1, 0), (2, 1), (0, 2)]
    assert ax.images[0].get_array().tolist() == [[0, 1, 0], [0, 0, 0.25], [0.5, 0, 0]]


@pytest.mark.parametrize(
    "draw", [plot_whale_curve, plot_concentration_windows, plot_value_matrix, plot_value_migration]
)
def test_plots_draw_on_the_axes_given_and_refuse_other_tables(draw):
    with pytest.raises(MissingColumnsError, match=f"{draw.__name__} draws the result of [a-z_]+_table"):
        draw(pd.DataFrame({"x": [1]}))
    tables = {
        plot_whale_curve: whale_curve_table(pd.DataFrame(LEFT)), plot_concentration_windows: WINDOWS,
        plot_value_migration: MOVES,
        plot_value_matrix: value_matrix_table(
            pd.DataFrame(LEFT).assign(may=1.0), current="contribution_amount", potential="may"
        ),
    }  # fmt: skip
    ax = plt.subplots()[1]
    assert draw(tables[draw], ax=ax) is ax
