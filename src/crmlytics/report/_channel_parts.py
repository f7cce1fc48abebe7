"""Tables of channels: what each brings, whom, who moves between them, and what lies on the way to an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics.report._sources import QUARTER, small

if TYPE_CHECKING:
    from crmlytics.report._sources import Sources

MODELS = ("first", "last", "linear", "markov", "shapley")
REPLICATES = 60  # a page shows two digits
AROUND_DAYS = 30  # before and after an order
TOUCHES = ("customer_id", "timestamp", "channel")


def channels(sources: Sources) -> Any:
    """Return ``channel_table`` of all that is known, with visits where events are given."""
    from crmlytics.channels import channel_table

    if not sources.known.has("channel"):
        return None
    events = sources.other("events", *TOUCHES)
    return channel_table(sources.known, as_of=sources.as_of, events=events, margin=sources.margin)


def channel_customers(sources: Sources) -> Any:
    """Return ``acquisition_channel_table`` for a quarter, or the longest span that fits, with ``horizon_days``."""
    from crmlytics.channels import acquisition_channel_table

    customers = sources.other("customers", "acquisition_channel")
    if customers is None and not sources.known.has("channel"):
        return None
    days = sources.span(2, longest=QUARTER)
    options: dict[str, Any] = {"as_of": sources.as_of, "horizon": f"{days}d", "margin": sources.margin}
    return small(acquisition_channel_table(sources.known, customers, **options)).assign(horizon_days=days)


def channel_moves(sources: Sources) -> Any:
    """Return ``channel_migration_table`` between the two longest spans that the data hold, and ``step_days``."""
    from crmlytics.channels import channel_migration_table

    if not sources.known.has("channel"):
        return None
    days = sources.span(2)
    return small(channel_migration_table(sources.known, as_of=sources.as_of, window=f"{days}d")).assign(step_days=days)


def multichannel(sources: Sources) -> Any:
    """Return ``multichannel_table``."""
    from crmlytics.channels import multichannel_table

    return multichannel_table(sources.known, as_of=sources.as_of) if sources.known.has("channel") else None


def preferred_channels(sources: Sources) -> Any:
    """Count the customers of ``preferred_channel_table`` by channel, and those whose preference is clear."""
    from crmlytics.channels import preferred_channel_table

    if not sources.known.has("channel"):
        return None
    table = small(preferred_channel_table(sources.known, as_of=sources.as_of)).dropna(subset=["preferred_channel"])
    groups = table.assign(clear=table["is_clear"].astype(bool)).groupby("preferred_channel", sort=True)
    counted = groups.agg(customer_count=("customer_id", "size"), clear_count=("clear", "sum")).reset_index()
    return counted.sort_values("customer_count", ascending=False, kind="stable", ignore_index=True)


def touchpoints(sources: Sources) -> Any:
    """Return ``touchpoint_table``, where events have channels, with ``around_days``."""
    from crmlytics.channels import touchpoint_table

    events, around = sources.other("events", *TOUCHES), f"{AROUND_DAYS}d"
    if events is None:
        return None
    table = touchpoint_table(events, sources.known, as_of=sources.as_of, before=around, after=around)
    return small(table).assign(around_days=AROUND_DAYS)


def credit(sources: Sources) -> Any:
    """Return ``attribution_table`` of orders by several models, where events have channels, with ``lookback_days``."""
    from crmlytics.channels import attribution_table

    events = sources.other("events", *TOUCHES)
    if events is None:
        return None
    options: dict[str, Any] = {"model": MODELS, "lookback": f"{AROUND_DAYS}d", "replicates": REPLICATES}
    table = attribution_table(events, sources.known, as_of=sources.as_of, **options)
    return small(table).assign(lookback_days=AROUND_DAYS)
