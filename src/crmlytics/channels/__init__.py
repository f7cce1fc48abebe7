"""Channels: what each brings, who comes by which, and who gets the credit for what was bought.

:func:`channel_table` and :func:`acquisition_channel_table` compare channels and the customers they bring;
:func:`channel_migration_table`, :func:`channel_mix_table` and :func:`preferred_channel_table` follow customers between
them; :func:`touchpoint_table` counts what happens around a sale. :func:`path_table` has the ways to it,
:func:`attribution_table` divides the credit, and :func:`budget_table` asks what a changed budget would do. Credit is
no effect: that is what experiments are for.
"""

from crmlytics.channels._attribution_plots import plot_attribution, plot_budget, plot_paths
from crmlytics.channels._plots import (
    plot_acquisition_channels,
    plot_channel_migration,
    plot_channel_mix,
    plot_channels,
    plot_touchpoints,
)
from crmlytics.channels.acquisition import acquisition_channel_table
from crmlytics.channels.attribution import attribution_table
from crmlytics.channels.budget import budget_table
from crmlytics.channels.migration import channel_migration_table
from crmlytics.channels.mix import channel_mix_table, multichannel_table
from crmlytics.channels.paths import path_table
from crmlytics.channels.performance import channel_table
from crmlytics.channels.preferred import preferred_channel_table
from crmlytics.channels.touchpoints import touchpoint_table

__all__ = [
    "acquisition_channel_table",
    "attribution_table",
    "budget_table",
    "channel_migration_table",
    "channel_mix_table",
    "channel_table",
    "multichannel_table",
    "path_table",
    "plot_acquisition_channels",
    "plot_attribution",
    "plot_budget",
    "plot_channel_migration",
    "plot_channel_mix",
    "plot_channels",
    "plot_paths",
    "plot_touchpoints",
    "preferred_channel_table",
    "touchpoint_table",
]
