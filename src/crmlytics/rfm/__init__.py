"""Recency, frequency, monetary value: who bought lately, often and much, and what to do about each.

``rfm_table`` describes customers at a date, ``RFMSegmenter`` scores and names them, ``segment_table``,
``grid_table`` and ``migration_table`` sum the names up, ``rfm_response_table`` holds them against a past mailing.
"""

from crmlytics.rfm._plots import (
    plot_migration,
    plot_response,
    plot_response_gains,
    plot_rfm_heatmap,
    plot_segments,
)
from crmlytics.rfm._response import rfm_response_table
from crmlytics.rfm._segmenter import RFMSegmenter
from crmlytics.rfm._summaries import grid_table, migration_table, segment_table
from crmlytics.rfm._table import rfm_table

__all__ = [
    "RFMSegmenter",
    "grid_table",
    "migration_table",
    "plot_migration",
    "plot_response",
    "plot_response_gains",
    "plot_rfm_heatmap",
    "plot_segments",
    "rfm_response_table",
    "rfm_table",
    "segment_table",
]
