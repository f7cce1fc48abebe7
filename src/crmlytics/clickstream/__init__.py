"""What visitors do: sessions, funnels, transitions, paths and what leads to a conversion.

Make sessions with :func:`add_sessions` and look at them with :func:`session_table` and :func:`page_table`; find where
visitors are lost with :func:`funnel_table`, what they do next with :func:`transition_table` and
:class:`MarkovChainModel`, and what leads to a purchase with :func:`conversion_table` and :func:`path_table`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics.clickstream._plots import plot_funnel
from crmlytics.clickstream._transition_plots import plot_transition_heatmap, plot_transitions
from crmlytics.clickstream.conversion import conversion_table
from crmlytics.clickstream.funnels import funnel_table, funnel_test_table
from crmlytics.clickstream.pages import loop_table, page_table
from crmlytics.clickstream.paths import path_table
from crmlytics.clickstream.sessions import add_sessions, session_table
from crmlytics.clickstream.transition_contrasts import transition_contrast_table
from crmlytics.clickstream.transitions import transition_table
from crmlytics.clickstream.visitors import visitor_table

if TYPE_CHECKING:
    from crmlytics.clickstream.next_event import MarkovChainModel

__all__ = [
    "MarkovChainModel",
    "add_sessions",
    "conversion_table",
    "funnel_table",
    "funnel_test_table",
    "loop_table",
    "page_table",
    "path_table",
    "plot_funnel",
    "plot_transition_heatmap",
    "plot_transitions",
    "session_table",
    "transition_contrast_table",
    "transition_table",
    "visitor_table",
]


def __getattr__(name: str) -> Any:
    """Load the model when it is first used: it brings scikit-learn, which nothing else here needs."""
    if name != "MarkovChainModel":
        msg = f"module 'crmlytics.clickstream' has no attribute {name!r}"
        raise AttributeError(msg)
    return getattr(import_module("crmlytics.clickstream.next_event"), name)
