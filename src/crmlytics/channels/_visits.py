"""How visits come in by channel: one row per session, or per customer and day where sessions are not known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._frames import check_same_kind, collect, day_number
from crmlytics._sales import named
from crmlytics.channels._reading import CHANNEL, UNKNOWN, is_conversion, no_conversion
from crmlytics.exceptions import MissingColumnsError
from crmlytics.tables import Events

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._frames import Engine


@dataclass(frozen=True, slots=True, eq=False)
class Visits:
    """Visits, a row each, and what channels cost.

    Attributes
    ----------
    channel : object array
        The name of the channel of the first event that has one.
    is_converted : bool array or None
        Whether the visit holds a conversion; None where events have no names.
    visitor : int64 array or None
        The number of the customer; None where customers are not known.
    costs : dict of channel to amount
        What the events of each channel cost, of channels with a known cost.
    """

    channel: NDArray[Any]
    is_converted: NDArray[np.bool_] | None
    visitor: NDArray[np.int64] | None
    costs: dict[str, float]


def read_visits(
    events: Events | Any,
    engine: Engine,
    period: tuple[dt.datetime | None, dt.datetime],
    conversion: Any,
    *,
    caller: str,
) -> Visits:
    """Read the visits of a period."""
    whole = Events.bind(events)
    check_same_kind({"transactions": engine, "events": whole.engine}, caller=caller)
    table = whole.before(period[1]) if period[0] is None else whole.between(*period)
    lines, keys = _keyed(table, caller=caller)
    has_names = table.has("event")
    converts = is_conversion(table, conversion, caller=caller).cast(nw.Int64) if has_names else nw.lit(0)
    counted = lines.with_columns(_converts=converts).group_by(*keys, CHANNEL)
    found = counted.agg(first=nw.col("timestamp").min(), converts=nw.col("_converts").max())
    rows = collect(found).to_pandas()
    if has_names and not rows["converts"].any():
        raise no_conversion(lines, conversion, "of the period", caller=caller)
    rows["is_unknown"] = (rows[CHANNEL] == UNKNOWN).astype(bool)
    rows = rows.sort_values([*keys, "is_unknown", "first", CHANNEL], kind="stable", ignore_index=True)
    visit = rows.groupby(keys, sort=True).ngroup().to_numpy()
    begins = np.flatnonzero(np.diff(visit, prepend=-1))
    done = np.maximum.reduceat(rows["converts"].to_numpy(np.int64), begins) > 0 if len(begins) else np.zeros(0, bool)
    return Visits(
        rows[CHANNEL].astype(object).to_numpy()[begins],
        done if has_names else None,
        pd.factorize(rows["customer_id"], sort=True)[0].astype(np.int64)[begins] if "customer_id" in keys else None,
        _costs(lines) if table.has("cost") else {},
    )


def _keyed(table: Events, *, caller: str) -> tuple[nw.LazyFrame[Any], list[str]]:
    """Return the events and what tells visits apart: the session, or the day of the customer."""
    ids = [name for name in ("customer_id", "session_id") if table.has(name)]
    if not ids:
        raise MissingColumnsError(
            f"{caller}: events need session_id or customer_id to count visits by: Events(data, session_id='<column>')."
        )
    more = [name for name in ("event", "cost") if table.has(name)]
    lines = table.need(*ids, "timestamp", CHANNEL, *more, caller=caller).with_columns(named(CHANNEL, UNKNOWN))
    day = day_number(nw.col("timestamp"))
    if "session_id" not in ids:
        return lines.with_columns(_day=day), ["customer_id", "_day"]
    alone = nw.col("session_id").is_null()
    if "customer_id" not in ids:
        return lines.filter(~alone), ["session_id"]
    none = nw.lit("") if table.id_kind("session_id") == "String" else nw.lit(-1).cast(nw.Int64)
    lines = lines.with_columns(
        _day=nw.when(alone).then(day).otherwise(nw.lit(0).cast(nw.Int64)),
        session_id=nw.when(alone).then(none).otherwise(nw.col("session_id")),
    )
    return lines, ["customer_id", "session_id", "_day"]


def _costs(lines: nw.LazyFrame[Any]) -> dict[str, float]:
    paid = lines.filter(~nw.col("cost").is_null()).group_by(CHANNEL).agg(cost=nw.col("cost").sum())
    rows = collect(paid).to_pandas()
    return {str(name): float(cost) for name, cost in zip(rows[CHANNEL], rows["cost"], strict=True)}
