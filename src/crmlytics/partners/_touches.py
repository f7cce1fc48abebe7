"""Which partners were in touch with a customer before an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._baskets import MICROSECONDS_A_DAY
from crmlytics._frames import check_same_kind, collect, columns_of, enter, id_column
from crmlytics.exceptions import MissingColumnsError
from crmlytics.partners._reading import PARTNER, names_of
from crmlytics.snapshots._contacts import not_held_out
from crmlytics.tables import Contacts, Events, check_same_ids

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from crmlytics.partners._reading import Sales

CUSTOMER = "customer_id"
COLUMNS = [CUSTOMER, PARTNER, "timestamp"]


def read_touches(
    sales: Sales, events: Any, contacts: Any, *, before: dt.datetime, control: Any, caller: str
) -> pd.DataFrame:
    """Return when each partner was in touch with each customer who ordered: numbers of customers, names of partners."""
    parts = []
    if events is not None:
        parts.append(_touches(sales, Events.bind(events), before, name="events", caller=caller))
    if contacts is not None:
        table, arm = _as_events(contacts)
        held_out = {"arm": arm, "control": control} if table.has(arm) else {}
        parts.append(_touches(sales, table, before, name="contacts", caller=caller, **held_out))
    if not parts:
        return pd.DataFrame({CUSTOMER: np.zeros(0, np.int64), PARTNER: [], "timestamp": np.zeros(0, "datetime64[us]")})
    found = pd.concat(parts, ignore_index=True).drop_duplicates()
    place = pd.Index(sales.customer_ids).get_indexer(found[CUSTOMER].to_numpy())
    found[CUSTOMER] = place
    return found[place >= 0].sort_values(COLUMNS, kind="stable").reset_index(drop=True)


def _as_events(contacts: Any) -> tuple[Events, str]:
    """Read contacts as events, which keep columns without a role such as ``partner_id``; name that of the arms."""
    if not isinstance(contacts, Contacts):
        return Events(contacts), "arm"
    roles: dict[str, Any] = {name: contacts.sources.get(name) for name in (CUSTOMER, "timestamp")}
    table = Events(contacts.data, **roles, time_zone=contacts.time_zone, timestamp_format=contacts.timestamp_format)
    return table, contacts.sources.get("arm", "arm")


def _touches(
    sales: Sales, table: Events, before: dt.datetime, *, name: str, caller: str, **held_out: Any
) -> pd.DataFrame:
    check_same_kind({"transactions": sales.engine, name: table.engine}, caller=caller)
    check_same_ids([sales.table, table], role=CUSTOMER, caller=caller)
    if not table.has(PARTNER):
        columns = columns_of(enter(table.data, caller=caller)[0])
        msg = f"{caller}: {name} needs a column 'partner_id', which tells who was in touch. Columns: {columns}"
        raise MissingColumnsError(msg)
    arms = [held_out["arm"]] if held_out else []
    lines = table.before(before).need(*COLUMNS, *arms, caller=caller).filter(~nw.col(PARTNER).is_null())
    if held_out:
        lines = lines.filter(not_held_out(**held_out))
    ids = id_column(PARTNER, lines.collect_schema()[PARTNER], caller=caller)
    rows = collect(lines.select(CUSTOMER, ids, "timestamp").unique()).to_pandas()
    rows["timestamp"] = rows["timestamp"].astype("datetime64[us]")
    kind = sales.customer_ids.dtype
    rows[CUSTOMER] = rows[CUSTOMER].astype(kind if kind.kind == "i" else object)
    rows[PARTNER] = names_of(rows[PARTNER], sales.table, name=name, caller=caller)
    return rows[rows[PARTNER].notna()][COLUMNS]


def influences(
    sales: Sales, touches: pd.DataFrame, rows: np.ndarray[Any, Any], days: int, names: Sequence[str]
) -> pd.DataFrame:
    """Return which partners touched the customer of each sale before it, not more than so many calendar days.

    Of sales that are all dated without a time, touches of the same day count: these came before.
    Columns: ``row`` (of the sales) and ``partner`` (the number of the name).
    """
    moment = sales.moment.astype(np.int64)
    if not (moment % MICROSECONDS_A_DAY).any():
        moment = moment + MICROSECONDS_A_DAY - 1
    number = {name: place for place, name in enumerate(names)}
    touched = pd.DataFrame({
        CUSTOMER: touches[CUSTOMER].to_numpy(np.int64),
        "partner": np.array([number[name] for name in touches[PARTNER]], np.int64),
        "moment": touches["timestamp"].to_numpy("datetime64[us]").astype(np.int64),
    })  # fmt: skip
    asked = pd.DataFrame({"row": rows, CUSTOMER: sales.customer[rows], "moment": moment[rows]})
    pairs = asked.merge(touched[[CUSTOMER, "partner"]].drop_duplicates(), on=CUSTOMER)
    if pairs.empty:
        return pairs[["row", "partner"]]
    both = pd.merge_asof(
        pairs.sort_values("moment", kind="stable"),
        touched.assign(last=touched["moment"]).sort_values("moment", kind="stable"),
        on="moment",
        by=[CUSTOMER, "partner"],
    )
    apart = both["moment"] // MICROSECONDS_A_DAY - both["last"] // MICROSECONDS_A_DAY
    return both.loc[apart <= days, ["row", "partner"]]  # without a touch it is NaN, and not near
