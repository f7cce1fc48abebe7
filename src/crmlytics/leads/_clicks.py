"""What a lead did before it became one: features from events, none of them later than its creation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._baskets import encode, microseconds
from crmlytics._frames import collect
from crmlytics.exceptions import SchemaError
from crmlytics.leads._columns import places
from crmlytics.leads._maturing import DAY
from crmlytics.tables import Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.leads._maturing import KnownLeads
    from crmlytics.tables import Leads

CLICKS = ("prior_event_count", "prior_event_kind_count", "days_since_first_event", "days_since_last_event")


def click_features(events: Events | Any, leads: Leads, known: KnownLeads, *, caller: str) -> dict[str, Any]:
    """Describe what each lead did before its creation; events that name no lead are passed by."""
    import pyarrow as pa

    history = Events.bind(events)
    if history.has("customer_id") and history.id_kind("customer_id") != leads.id_kind("lead_id"):
        kinds = history.id_kind("customer_id"), leads.id_kind("lead_id")
        msg = f"{caller}: customer_id is {kinds[0]} in Events, lead_id {kinds[1]} in Leads. Give both the same kind."
        raise SchemaError(msg)
    taken = sorted(set(CLICKS) & set(known.table.columns))
    if taken:
        raise SchemaError(
            f"{caller}: the leads have the columns {taken} already, which events would make. Rename them."
        )
    frame = collect(history.need("customer_id", "timestamp", "event", caller=caller))
    lead = places(pa.array(known.table["lead_id"]), frame["customer_id"].to_arrow())
    moment = microseconds(np.asarray(frame["timestamp"].to_numpy()))
    before = (lead >= 0) & (moment < known.created[np.maximum(lead, 0)])
    if not before.any():
        raise SchemaError(
            f"{caller}: no event lies before the creation of its lead. Is customer_id the id of the lead?"
        )
    kind = encode(frame.to_arrow()["event"])[0].astype(np.int64)
    return _described(known, lead[before], moment[before], kind[before])


def _described(
    known: KnownLeads, lead: NDArray[np.int64], moment: NDArray[np.int64], kind: NDArray[np.int64]
) -> dict[str, NDArray[np.float64]]:
    first, last = np.full(len(known), np.inf), np.full(len(known), -np.inf)
    np.minimum.at(first, lead, moment)
    np.maximum.at(last, lead, moment)
    kinds = np.unique(np.stack([lead, kind]), axis=1)[0]
    since = {"days_since_first_event": first, "days_since_last_event": last}
    return {
        "prior_event_count": np.bincount(lead, minlength=len(known)).astype(np.float64),
        "prior_event_kind_count": np.bincount(kinds, minlength=len(known)).astype(np.float64),
    } | {name: np.where(np.isfinite(at), (known.created - at) / DAY, np.nan) for name, at in since.items()}
