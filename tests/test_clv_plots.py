"""What the pictures of crmlytics.clv promise: they draw the table they are given, whatever its kind."""

import datetime as dt

import matplotlib as mpl
import matplotlib.dates as mdates
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from crmlytics.clv import (
    NBDModel,
    ParetoNBDModel,
    alive_history_table,
    conditional_table,
    frequency_table,
    heterogeneity_table,
    holdout_table,
    plot_alive_history,
    plot_calibration,
    plot_conditional,
    plot_forecast,
    plot_frequency,
    plot_heterogeneity,
    plot_recency_frequency,
    plot_tracking,
    plot_value_distribution,
    recency_frequency_table,
    tracking_table,
)
from crmlytics.clv._covariates import NONE
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

mpl.use("Agg")

DAYS = {"a": [3, 5, 9, 16, 18], "b": [5, 20, 27], "c": [14], "e": [2, 9, 29]}
SALES = {
    "customer_id": [customer for customer, days in DAYS.items() for _ in days],
    "timestamp": [dt.datetime(2024, 1, day) for days in DAYS.values() for day in days],
    "amount": [10.0] * sum(map(len, DAYS.values())),
}
HALVES = {"calibration_end": "2024-01-15", "as_of": "2024-01-29"}
CALIBRATION = {
    "decile": [1, 2],
    "customer_count": [50, 50],
    "predicted_mean_count": [0.5, 2.0],
    "actual_mean_count": [0.4, 2.5],
}
FORECAST = {
    "step": [1, 2],
    "days_until": [7, 14],
    "existing_purchase_count": [5.0, 4.0],
    "new_customer_purchase_count": [1.0, 3.0],
    "purchase_count": [6.0, 7.0],
    "purchase_count_low": [3.0, 4.0],
    "purchase_count_high": [9.0, 10.0],
    "cumulative_purchase_count": [6.0, 13.0],
    "cumulative_purchase_count_low": [3.0, 9.0],
    "cumulative_purchase_count_high": [9.0, 17.0],
}


def known(kind, *params):
    model = kind(unit="1d")
    model.theta_, model._coefficients_ = np.log(params), NONE
    return model


PARETO = known(ParetoNBDModel, 0.6, 10.0, 0.6, 12.0)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def ticks(axis):
    return [label.get_text() for label in axis.get_ticklabels()]


# --- one picture a table


def test_frequencies_are_pairs_of_bars(frame):
    table = frequency_table(PARETO, frame({"frequency": [0, 0, 3], "recency": [0.0, 0.0, 8.0], "T": [9.0] * 3}), most=2)
    ax = plot_frequency(table)
    rows = records(table)
    assert [bar.get_height() for bar in ax.containers[0]] == [row[2] for row in rows] == [2, 0, 1]
    assert [bar.get_height() for bar in ax.containers[1]] == [row[3] for row in rows]
    assert ticks(ax.xaxis) == ["0", "1", "2+"]
    assert legend(ax) == ["Actual", "Expected"]


@pytest.mark.parametrize(("kind_of_count", "prefix"), [("step", ""), ("cumulative", "cumulative_")])
def test_tracking_draws_both_lines_and_where_the_holdout_begins(frame, kind_of_count, prefix):
    table = tracking_table(PARETO, frame(SALES), **HALVES)
    ax = plot_tracking(table, kind=kind_of_count)
    rows = pd.DataFrame(records(tracking_table(PARETO, pd.DataFrame(SALES), **HALVES)))
    actual, expected = (rows[at + (2 if prefix else 0)].tolist() for at in (4, 5))
    assert ax.lines[0].get_ydata() == pytest.approx(actual)
    assert ax.lines[1].get_ydata() == pytest.approx(expected)
    assert ax.lines[0].get_xdata()[-1] == np.datetime64("2024-01-29")
    split = ax.lines[2].get_xdata()[0]
    assert pd.Timestamp(split) == pd.Timestamp("2024-01-15")
    assert "holdout" in [text.get_text().strip() for text in ax.texts]
    ax.figure.canvas.draw()  # dates are understood by the axis
    first, last = (mdates.num2date(limit).replace(tzinfo=None) for limit in ax.get_xlim())
    assert dt.datetime(2024, 1, 1) < first < dt.datetime(2024, 1, 8)
    assert dt.datetime(2024, 1, 29) < last < dt.datetime(2024, 2, 5)


def test_tracking_without_a_holdout_has_no_line_for_it():
    table = tracking_table(PARETO, pd.DataFrame(SALES), **HALVES)
    assert len(plot_tracking(table[~table["is_holdout"]]).lines) == 2


def test_conditional_means_are_drawn_with_the_number_of_customers(frame):
    table = conditional_table(PARETO, holdout_table(frame(SALES), **HALVES, unit="1d"), most=3)
    ax = plot_conditional(table)
    assert ticks(ax.xaxis) == ["0\n(2)", "1\n(1)", "2\n(1)", "3+\n(0)"]
    assert ax.lines[0].get_ydata()[:3].tolist() == [1.0, 0.0, 2.0]
    assert np.isnan(ax.lines[0].get_ydata()[3])
    assert ax.lines[1].get_ydata()[:3].tolist() == [row[3] for row in records(table)][:3]


def test_calibration_is_points_about_a_diagonal(frame):
    ax = plot_calibration(frame(CALIBRATION))
    assert ax.lines[1].get_xdata().tolist() == CALIBRATION["predicted_mean_count"]
    assert ax.lines[1].get_ydata().tolist() == CALIBRATION["actual_mean_count"]
    assert ax.lines[0].get_xdata().tolist() == ax.lines[0].get_ydata().tolist()
    assert ax.get_title(loc="left") == "Forecast and outcome in 2 groups by forecast"


@pytest.mark.parametrize("value", ["alive_probability", "expected_purchase_count"])
def test_the_heat_map_has_recency_upwards_and_leaves_impossible_cells_blank(value):
    table = recency_frequency_table(PARETO, T=30, horizon=10, most_frequency=3, steps=2)
    ax = plot_recency_frequency(table, value=value)
    cells = np.ma.filled(ax.collections[0].get_array(), np.nan).reshape(3, 4)
    wanted = table[value].to_numpy().reshape(3, 4)
    np.testing.assert_array_equal(cells, wanted)
    assert np.isnan(cells[0, 1:]).all()
    assert np.isnan(cells[1:, 0]).all()
    assert ax.get_ylim()[1] > 30 > ax.get_ylim()[0]


def test_the_history_of_a_customer_marks_the_purchases(frame):
    ax = plot_alive_history(alive_history_table(PARETO, frame(SALES), customer_id="a", as_of="2024-01-21"))
    marks = [mdates.num2date(path.vertices[0, 0]).day for path in ax.collections[0].get_paths()]
    assert marks == DAYS["a"]
    assert len(ax.lines[0].get_ydata()) == 18
    assert ax.get_title(loc="left") == "Customer a, day by day"


@pytest.mark.parametrize(
    ("process", "label"), [("purchase", "Purchases per day, while a customer"), ("dropout", "Rate of leaving per day")]
)
def test_bars_are_the_shares_of_customers(process, label):
    table = heterogeneity_table(PARETO)
    ax = plot_heterogeneity(table, process=process)
    cells = table[table["process"] == process]
    assert [bar.get_height() for bar in ax.patches] == cells["customer_share"].tolist()
    assert [bar.get_x() for bar in ax.patches] == pytest.approx(cells["value_from"].tolist())
    assert ax.lines[0].get_xdata()[0] == cells["mean_value"].iloc[0]
    assert ax.get_xlabel() == label


@pytest.mark.parametrize(("kind_of_count", "known_count"), [("step", [5.0, 4.0]), ("cumulative", [5.0, 9.0])])
def test_the_forecast_has_its_band_and_those_already_there(kind_of_count, known_count):
    ax = plot_forecast(pd.DataFrame(FORECAST), kind=kind_of_count)
    name = ("cumulative_" if kind_of_count == "cumulative" else "") + "purchase_count"
    assert ax.lines[0].get_ydata().tolist() == FORECAST[name]
    assert ax.lines[1].get_ydata().tolist() == known_count
    band = ax.collections[0].get_paths()[0].vertices[:, 1]
    assert {band.min(), band.max()} == {min(FORECAST[f"{name}_low"]), max(FORECAST[f"{name}_high"])}


def test_a_forecast_without_new_customers_is_one_line():
    ax = plot_forecast(pd.DataFrame(FORECAST).assign(new_customer_purchase_count=0.0))
    assert len(ax.lines) == 1
    assert ax.get_legend() is None


# --- the distribution of values


def test_values_are_counted_once_and_the_best_fifth_is_named(frame):
    ax = plot_value_distribution(frame({"clv_amount": [10.0, 20.0, 30.0, 40.0, 100.0]}))
    assert sum(bar.get_height() for bar in ax.patches) == 5
    assert ax.get_xscale() == "linear"
    assert ax.lines[0].get_xdata()[0] == 40
    assert ax.get_title(loc="left") == "The best 20% of customers hold 50% of the total"
    assert ax.get_xlabel() == "clv_amount, per customer"


def test_infinite_missing_and_worthless_customers_are_left_out_and_counted():
    values = [*np.geomspace(1, 1e4, 997), 0.0, 1e-12, np.inf, np.nan]
    ax = plot_value_distribution(pd.DataFrame({"clv_amount": values}))
    assert ax.get_xscale() == "log"
    drawn = sum(bar.get_height() for bar in ax.patches)
    assert drawn == 999 - 5  # the lowest half per cent of those that are finite
    assert f"({1001 - drawn:.0f} not drawn: infinite, missing or next to nothing)" in ax.get_xlabel()
    ax.figure.canvas.draw()


@pytest.mark.parametrize("values", [[0.0, 0.0], [5.0], [7.0] * 3, [-3.0, 1.0], [0.0] * 9 + [1.0]])
def test_odd_values_can_be_drawn(values):
    ax = plot_value_distribution(pd.DataFrame({"clv_amount": values}))
    ax.figure.canvas.draw()
    assert sum(bar.get_height() for bar in ax.patches) in {len(values), np.count_nonzero(values)}


def test_customers_alike_are_all_drawn_on_a_logarithmic_axis_too():
    ax = plot_value_distribution(pd.DataFrame({"clv_amount": [1.0] * 90 + [1000.0] * 10}))
    assert ax.get_xscale() == "log"
    assert sum(bar.get_height() for bar in ax.patches) == 100
    assert ax.get_xlabel() == "clv_amount, per customer"


def test_nothing_finite_is_refused():
    with pytest.raises(SchemaError, match=r"plot_value_distribution: column 'clv_amount' has no finite value to draw"):
        plot_value_distribution(pd.DataFrame({"clv_amount": [np.inf, np.nan]}))


# --- what all promise

NBD_ROWS = heterogeneity_table(known(NBDModel, 0.5, 10.0))
PICTURES = {
    plot_frequency: lambda: frequency_table(
        PARETO, pd.DataFrame({"frequency": [1], "recency": [2.0], "T": [9.0]}), most=2
    ),
    plot_tracking: lambda: tracking_table(PARETO, pd.DataFrame(SALES), **HALVES),
    plot_conditional: lambda: conditional_table(PARETO, holdout_table(pd.DataFrame(SALES), **HALVES, unit="1d")),
    plot_calibration: lambda: make_frame(CALIBRATION, "pandas"),
    plot_recency_frequency: lambda: recency_frequency_table(PARETO, T=30, horizon=10),
    plot_alive_history: lambda: alive_history_table(PARETO, pd.DataFrame(SALES), customer_id="a", as_of="2024-01-21"),
    plot_heterogeneity: lambda: NBD_ROWS,
    plot_value_distribution: lambda: pd.DataFrame({"clv_amount": [1.0, 2.0, 9.0]}),
    plot_forecast: lambda: pd.DataFrame(FORECAST),
}


@pytest.mark.parametrize("plot", PICTURES, ids=lambda plot: plot.__name__)
def test_a_plot_draws_on_the_axes_it_is_given_and_changes_nothing(plot):
    table = PICTURES[plot]()
    before = table.copy()
    ax = plt.figure(layout="constrained").add_subplot()
    assert plot(table, ax=ax) is ax
    ax.figure.canvas.draw()
    assert ax.get_title(loc="left")
    assert ax.get_xlabel() or plot in {plot_tracking, plot_alive_history}  # dates speak for themselves
    assert ax.get_ylabel()
    pd.testing.assert_frame_equal(table, before)
    assert len(plt.get_fignums()) == 1
    assert plot(table) is not ax


@pytest.mark.parametrize("plot", PICTURES, ids=lambda plot: plot.__name__)
def test_another_table_is_refused(plot):
    with pytest.raises(MissingColumnsError, match=rf"{plot.__name__} draws the result of \w+.*: no columns \['"):
        plot(pd.DataFrame({"other": [1]}))


def test_words_that_are_not_known_are_refused():
    with pytest.raises(SchemaError, match=r"plot_tracking: kind must be one of \['step', 'cumulative'\], got 'weekly'"):
        plot_tracking(PICTURES[plot_tracking](), kind="weekly")
    with pytest.raises(SchemaError, match=r"plot_forecast: kind must be one of"):
        plot_forecast(pd.DataFrame(FORECAST), kind="")
    with pytest.raises(SchemaError, match=r"value must be one of .* Did you mean 'alive_probability'"):
        plot_recency_frequency(PICTURES[plot_recency_frequency](), value="alive_probabilty")
    with pytest.raises(SchemaError, match=r'no rows of process="dropout": in this model nobody leaves'):
        plot_heterogeneity(NBD_ROWS, process="dropout")
