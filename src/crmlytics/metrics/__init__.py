"""How good a score is: tables and figures of outcomes and scores.

Figures with intervals: :func:`classification_table`. The ranking: :func:`lift_table`, :func:`gains_table`. Whether
probabilities come true: :func:`calibration_table`. Errors at a threshold: :func:`confusion_table`. Money:
:func:`expected_max_profit`. Whether customers still are who they were: :func:`stability_table`.
"""

from crmlytics.metrics._plots import plot_calibration, plot_gains, plot_lift
from crmlytics.metrics.classification import calibration_table, classification_table, confusion_table
from crmlytics.metrics.lift import gains_table, lift_table
from crmlytics.metrics.profit import ExpectedProfit, expected_max_profit
from crmlytics.metrics.stability import population_stability_index, stability_table

__all__ = [
    "ExpectedProfit",
    "calibration_table",
    "classification_table",
    "confusion_table",
    "expected_max_profit",
    "gains_table",
    "lift_table",
    "plot_calibration",
    "plot_gains",
    "plot_lift",
    "population_stability_index",
    "stability_table",
]
