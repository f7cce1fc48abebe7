"""What the pictures of segments show: the numbers of the table, and nothing else."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

from crmlytics._plots import INK, LESS, MORE, RULE, draw_differences
from crmlytics.exceptions import MissingColumnsError
from crmlytics.segmentation._plots import plot_lifecycle, plot_migration, plot_segment_count, plot_segments
from crmlytics.testing import make_frame

mpl.use("Agg")
import matplotlib.pyplot as plt

COUNTS = {
    "segment_count": [1, 2, 3],
    "lowest_jaccard": [None, 0.9, 0.5], "lowest_jaccard_low": [None, 0.8, 0.3], "lowest_jaccard_high": [None, 1.0, 0.7],
    "adjusted_rand": [None, 0.9, 0.6], "adjusted_rand_low": [None, 0.8, 0.4], "adjusted_rand_high": [None, 1.0, 0.8],
    "silhouette": [None, 0.5, 0.3], "silhouette_low": [None, 0.4, 0.2], "silhouette_high": [None, 0.6, 0.4],
    "highest_valley": [None, 0.2, 0.9],
    "gap": [0.2, 0.6, 0.5], "gap_error": [0.01, 0.02, 0.01], "suggested": [False, True, False],
}  # fmt: skip
SUMMARY = {
    "segment": ["low a, low b", "low a, low b", "high a", "high a"], "customer_share": [0.75, 0.75, 0.25, 0.25],
    "feature": ["a", "w", "a", "w"], "level": [None, "x", None, "x"],
    "standardised_difference": [-0.4, 0.1, 1.3, -0.3],
}  # fmt: skip
MOVES = {
    "from_segment": ["big", "big", "(new)"], "to_segment": ["big", "(gone)", "big"], "customer_count": [3, 1, 2],
    "transition_probability": [0.75, 0.25, 1.0],
}  # fmt: skip


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def texts(ax):
    return [text.get_text() for text in ax.texts]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


def test_segment_count_marks_what_is_suggested_and_keeps_the_gap_apart():
    ax = plot_segment_count(pd.DataFrame(COUNTS))
    lines = {line.get_label(): line.get_ydata(orig=False) for line in ax.lines}
    np.testing.assert_allclose(lines["silhouette"][1:], [0.5, 0.3])
    np.testing.assert_allclose(lines["highest valley between neighbours"][1:], [0.2, 0.9])
    assert texts(ax) == [" stable above", " apart below"]
    (gap,) = ax.child_axes
    assert gap.get_title(loc="left") == "suggested: 2"
    np.testing.assert_allclose(gap.lines[0].get_ydata(orig=False), COUNTS["gap"])
    one = pd.DataFrame(COUNTS).assign(suggested=[True, False, False])
    assert plot_segment_count(one).child_axes[0].get_title(loc="left") == "suggested: one cloud, no segments"


def test_segments_are_columns_and_features_rows_the_most_different_first():
    ax = plot_segments(make_frame(SUMMARY, "polars"))
    assert ticks(ax.yaxis) == ["a", "w: x"]
    assert ticks(ax.xaxis) == ["low a,\nlow b\n75%", "high a\n25%"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[-0.4, 1.3], [0.1, -0.3]])
    assert texts(ax) == ["-0.4", "+1.3", "+0.1", "-0.3"]
    assert ax.get_xlabel().endswith("blue: more, orange: less")
    assert [text.get_color() for text in ax.texts] == [INK, "white", INK, INK]


def test_lifecycle_counts_customers_and_shows_empty_stages():
    table = pd.DataFrame({"customer_id": range(4), "stage": ["loyal", "loyal", "new", "lapsed"]})
    ax = plot_lifecycle(table)
    assert ticks(ax.yaxis) == ["new", "growing", "loyal", "won back", "at risk", "lapsed"]
    assert [bar.get_width() for bar in ax.patches] == [0.25, 0.0, 0.5, 0.0, 0.0, 0.25]
    assert texts(ax)[2].strip() == "2"


def test_migration_draws_segments_and_stages():
    ax = plot_migration(pd.DataFrame(MOVES))
    assert ticks(ax.yaxis) == ["big  4", "(new)  2"]
    assert ax.get_ylabel() == "before (customers)"
    assert ticks(ax.xaxis) == ["big", "(gone)"]
    np.testing.assert_allclose(ax.images[0].get_array(), [[0.75, 0.25], [1.0, 0.0]])
    names = {"from_segment": "from_stage", "to_segment": "to_stage", "customer_count": "transition_count"}
    figure, own = plt.subplots()
    stages = pd.DataFrame(MOVES).rename(columns=names)
    assert plot_migration(stages, ax=own) is own
    assert figure.axes == [own]
    assert own.get_ylabel() == "before (customers times steps)"  # who was looked at four times counts four times
    with pytest.raises(MissingColumnsError, match=r"result of crm.segmentation.lifecycle_transition_table\(...\)"):
        plot_migration(stages.drop(columns="transition_count"))


@pytest.mark.parametrize("full", [0.8, 1.5])
def test_more_is_blue_and_less_is_orange_in_every_table_of_differences(full):
    _, ax = plt.subplots()
    draw_differences(ax, [[full, -full], [0.0, np.nan]], [["a", "b"], ["c", "d"]], full=full)
    image = ax.images[0]
    drawn = [mpl.colors.to_hex(colour).upper() for colour in image.to_rgba([full, -full])]
    assert drawn == [MORE, LESS]
    np.testing.assert_allclose(image.to_rgba([0.0]), 1.0, atol=0.01)
    assert image.get_array().mask.tolist() == [[False, False], [False, True]]
    assert mpl.colors.to_hex(ax.get_facecolor()).upper() == RULE
    assert [text.get_color() for text in ax.texts] == ["white", INK, INK, INK]


@pytest.mark.parametrize(
    ("plot", "source"),
    [
        (plot_segment_count, "segment_count_table"), (plot_segments, "segment_summary_table"),
        (plot_lifecycle, "lifecycle_table"), (plot_migration, "segment_migration_table"),
    ],
)  # fmt: skip
def test_a_table_of_something_else_is_refused(plot, source):
    with pytest.raises(MissingColumnsError, match=rf"draws the result of crm.segmentation.{source}\(...\): no columns"):
        plot(pd.DataFrame({"a": [1]}))
