"""What the pictures of value show: the numbers of the table, and nothing else."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame
from crmlytics.value._customer_plots import (
    plot_concentration_windows,
    plot_value_deciles,
    plot_value_matrix,
    plot_value_migration,
    plot_whale_curve,
)
from crmlytics.value._loyalty_plots import plot_loyalty, plot_service_profit
from crmlytics.value._plots import plot_concentration, plot_kpis, plot_value
from crmlytics.value.loyalty import nps_table
from crmlytics.value.matrix import value_matrix_table
from crmlytics.value.whale import value_decile_table, whale_curve_table

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
    "amount_change": [-1_200.0, -50.0, 3_000.0], "customer_count": [1, 40, 20],
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


def test_tenths_have_a_bar_each_and_losses_are_red():
    values = pd.DataFrame({"customer_id": range(10), "contribution_amount": [float(n) for n in range(-1, 9)]})
    ax = plot_value_deciles(value_decile_table(values))
    assert [bar.get_height() for bar in ax.patches] == [8, 7, 6, 5, 4, 3, 2, 1, 0, -1]
    assert len({bar.get_facecolor() for bar in ax.patches[:9]}) == 1
    assert ax.patches[9].get_facecolor() != ax.patches[0].get_facecolor()
    assert texts(ax)[:2] == ["23%", "43%"]


def test_scores_and_measures_are_dots_or_words():
    answers = pd.DataFrame({"segment": ["x"] * 4 + ["y"] * 4, "rating": [10, 9, 9, 0, 1, 2, 9, 8]})
    scores = nps_table(answers, by="segment")
    ax = plot_loyalty(scores)
    assert ax.containers[0][0].get_xdata().tolist() == scores["nps_score"].tolist() == [50.0, -25.0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["x (4)", "y (4)"]
    ax = plot_loyalty(pd.DataFrame({
        "measure": ["repeat_customer_share", "retained_customer_share", "orders_per_customer"],
        "customer_count": [4, 0, 4], "value": [0.5, None, 2.5], "value_low": [0.2, None, 2.0],
        "value_high": [0.8, None, 3.0],
    }))  # fmt: skip
    assert ax.containers[0][0].get_xdata()[0] == 0.5
    assert np.isnan(ax.containers[0][0].get_xdata()[1:]).all()
    assert texts(ax) == ["nobody to measure", "2.5 (2 to 3)"]


CHAIN = pd.DataFrame({
    "group": ["detractors", "passives", "promoters"], "customer_count": [40, 0, 50],
    "retained_share": [0.5, None, 0.75], "retained_share_low": [0.4, None, 0.6],
    "retained_share_high": [0.6, None, 0.9],
    "average_amount": [5.0, None, 9.0], "average_amount_low": [4.0, None, 7.0],
    "average_amount_high": [6.0, None, 12.0],
    "previous_average_amount": [6.0, None, 8.0],
})  # fmt: skip


def test_the_chain_has_a_bar_per_group_and_what_was_before():
    ax = plot_service_profit(CHAIN)
    assert [bar.get_height() for bar in ax.patches][::2] == [0.5, 0.75]
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "detractors\n(40)",
        "passives\n(0)",
        "promoters\n(50)",
    ]
    ax = plot_service_profit(CHAIN, measure="average_amount")
    assert [bar.get_height() for bar in ax.patches][::2] == [5.0, 9.0]
    assert ax.lines[-1].get_ydata()[::2].tolist() == [6.0, 8.0]
    with pytest.raises(SchemaError, match="plot_service_profit: measure must be one of"):
        plot_service_profit(CHAIN, measure="retained")


def test_windows_have_a_line_each_with_intervals():
    ax = plot_concentration_windows(WINDOWS)
    known, active = ax.containers
    assert known[0].get_ydata().tolist() == [0.9, 0.7]
    assert np.isnan(active[0].get_ydata()[0])
    assert known[2][0].get_segments()[1][:, 1].tolist() == [0.6, 0.8]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["30 days", "365 days"]


def test_a_share_a_last_bit_above_its_bound_can_be_drawn():
    beyond = WINDOWS.assign(known_amount_share=[1.0000000000000002, 0.7], known_amount_share_high=[1.0, 0.8])
    assert plot_concentration_windows(beyond).containers[0][2][0].get_segments()[0][1, 1] >= 1.0


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
    assert ax.images[0].get_array().tolist() == [[0, 1, 0], [0, 0, 40], [20, 0, 0]]  # one customer is pale


@pytest.mark.parametrize(
    ("draw", "maker"),
    [(plot_value, "value_table"), (plot_concentration, "concentration_table"), (plot_kpis, "kpi_table")],
)
def test_plots_of_revenue_refuse_other_tables_and_none_at_all(draw, maker):
    with pytest.raises(
        MissingColumnsError, match=rf"{draw.__name__} draws the result of {maker}\(\.\.\.\): no columns"
    ):
        draw(pd.DataFrame({"rank": [1]}))
    columns = ["rank", "cumulative_customer_share", "cumulative_amount_share", "top_share", "customer_count"]
    columns += ["amount_share", "period_start", "is_complete", "total_amount"]
    with pytest.raises(SchemaError, match=rf"{draw.__name__}: the table has no rows. Keep at least one of {maker}"):
        draw(pd.DataFrame({name: [] for name in columns}))


@pytest.mark.parametrize(
    "draw",
    [
        plot_whale_curve,
        plot_concentration_windows,
        plot_value_matrix,
        plot_value_migration,
        plot_value_deciles,
        plot_loyalty,
        plot_service_profit,
    ],
)
def test_plots_draw_on_the_axes_given_and_refuse_other_tables(draw):
    with pytest.raises(MissingColumnsError, match=f"{draw.__name__} draws the result of [a-z_]+_table"):
        draw(pd.DataFrame({"x": [1]}))
    tables = {
        plot_whale_curve: whale_curve_table(pd.DataFrame(LEFT)), plot_concentration_windows: WINDOWS,
        plot_value_migration: MOVES, plot_service_profit: CHAIN, plot_loyalty: nps_table(pd.DataFrame({"rating": [9]})),
        plot_value_deciles: value_decile_table(
            pd.DataFrame({"customer_id": range(10), "contribution_amount": [0.0] * 10})
        ),
        plot_value_matrix: value_matrix_table(
            pd.DataFrame(LEFT).assign(may=1.0), current="contribution_amount", potential="may"
        ),
    }  # fmt: skip
    ax = plt.subplots()[1]
    assert draw(tables[draw], ax=ax) is ax
