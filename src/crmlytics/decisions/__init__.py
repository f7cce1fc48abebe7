"""From a score to a decision: whom to contact, what it costs, what it brings.

To keep who may leave: :func:`profit_table`, :func:`profit_threshold`, :func:`target_table`. To sell to who may buy:
:func:`response_profit_table`, :func:`response_threshold`, :func:`response_target_table`. What a list comes to:
:func:`summary_table`.
"""

from crmlytics.decisions._plots import plot_profit
from crmlytics.decisions.response import response_profit_table, response_target_table, response_threshold
from crmlytics.decisions.retention import profit_table, profit_threshold, target_table
from crmlytics.decisions.summary import summary_table

__all__ = [
    "plot_profit",
    "profit_table",
    "profit_threshold",
    "response_profit_table",
    "response_target_table",
    "response_threshold",
    "summary_table",
    "target_table",
]
