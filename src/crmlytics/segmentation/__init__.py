"""Who belongs together, and where each customer stands: segments from any table, stages of life from orders.

Find out how many segments there are by :func:`segment_count_table`, make them with :class:`CustomerSegmenter`, describe
them by :func:`segment_summary_table`, watch them with :func:`segment_drift_table` and :func:`segment_migration_table`.
Stages need no model: :func:`lifecycle_table`, :func:`lifecycle_transition_table`, :func:`lifecycle_value_table`. What
customers are worth crossed with what they need: :func:`value_needs_table`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics.segmentation._plots import plot_lifecycle, plot_migration, plot_segment_count, plot_segments
from crmlytics.segmentation.counting import segment_count_table
from crmlytics.segmentation.lifecycle import lifecycle_table
from crmlytics.segmentation.moving import segment_drift_table, segment_migration_table
from crmlytics.segmentation.needs import value_needs_table
from crmlytics.segmentation.summaries import segment_summary_table
from crmlytics.segmentation.transitions import lifecycle_transition_table, lifecycle_value_table

if TYPE_CHECKING:
    from crmlytics.segmentation.segmenter import CustomerSegmenter

__all__ = [
    "CustomerSegmenter",
    "lifecycle_table",
    "lifecycle_transition_table",
    "lifecycle_value_table",
    "plot_lifecycle",
    "plot_migration",
    "plot_segment_count",
    "plot_segments",
    "segment_count_table",
    "segment_drift_table",
    "segment_migration_table",
    "segment_summary_table",
    "value_needs_table",
]


def __getattr__(name: str) -> Any:
    """Load the segmenter when it is first used: it brings scikit-learn, which nothing else here needs."""
    if name != "CustomerSegmenter":
        msg = f"module 'crmlytics.segmentation' has no attribute {name!r}"
        raise AttributeError(msg)
    return import_module("crmlytics.segmentation.segmenter").CustomerSegmenter
