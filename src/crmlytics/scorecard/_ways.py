"""Which ways customers came and buy by: channels and partners."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics import channels
from crmlytics._frames import collect, compute
from crmlytics._orders import ORDER_ROLES, gather
from crmlytics._sales import named
from crmlytics.scorecard._part import CALLER, Column, Part
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from crmlytics.scorecard._part import Request

DIRECT = "(direct)"
DECIMALS = 6  # of an amount: sums of engines differ beyond
COUNTED = "Counted from the lines kept."


def channel_part(request: Request, scores: nw.DataFrame[Any]) -> Part | None:  # noqa: ARG001  as the others have it
    """Channel preferred, how much, how many there are, and the one of the first order; None without channels."""
    known = request.known
    if not known.has("channel"):
        return None
    table = _preferred(known, request)
    columns = [
        Column("preferred_channel", "Channel that most of the orders came through; empty where none is known", "text",
               f"{COUNTED} Of few orders no preference: see preferred_channel_share."),
        Column("preferred_channel_share", "Share of the next orders expected through that channel", "share",
               "The customer's own share, drawn towards that of everybody as far as customers differ."),
        Column("channel_count", "Different channels ordered through", "channels",
               f"{COUNTED} Who orders more often has more chances to use a second one."),
    ]  # fmt: skip
    if request.customers is None or not request.customers.has("acquisition_channel"):
        table = table.join(_first(known, "acquisition_channel"), on="customer_id", how="left")
        meaning = "Channel of the first order, as the way the customer was won; empty where it is not known"
        columns.append(Column("acquisition_channel", meaning, "text", f"{COUNTED} Of old customers the first known."))
    return Part(table, tuple(columns))


def partner_part(request: Request, scores: nw.DataFrame[Any]) -> Part | None:  # noqa: ARG001
    """Partner who sold most of the orders, and the one who sold the first; None without partners."""
    if not request.known.has("partner_id"):
        return None
    lines = request.known.need(*ORDER_ROLES, "partner_id", caller=CALLER)
    seller = named("partner_id", DIRECT).alias("channel")
    sold = Transactions(request.known.to_native(lines.select(*ORDER_ROLES, seller)))
    table = _preferred(sold, request).select("customer_id", main_partner="preferred_channel")
    columns = [Column("main_partner", f"Partner who sold most of the orders; {DIRECT} without one", "text", COUNTED)]
    if request.customers is None or not request.customers.has("partner_id"):
        table = table.join(_first(sold, "first_partner"), on="customer_id", how="left")
        meaning = f"Partner who sold the first order, and so brought the customer; {DIRECT} without one"
        columns.append(Column("first_partner", meaning, "text", f"{COUNTED} Of old customers the first known."))
    return Part(table, tuple(columns))


def _preferred(known: Transactions, request: Request) -> nw.DataFrame[Any]:
    table = compute(channels.preferred_channel_table(known, as_of=request.as_of), caller=CALLER)
    return table.rename({"preferred_share": "preferred_channel_share"})


def _first(known: Transactions, name: str) -> nw.DataFrame[Any]:
    """Return the channel that each customer's first order came through; of several the one with the largest amount."""
    lines = known.need(*ORDER_ROLES, "channel", caller=CALLER).with_columns(named("channel"))
    orders = gather(lines, "customer_id", "order_id", "channel", _moment=nw.col("timestamp").min())
    orders = orders.filter(nw.col("is_order") == 1).with_columns(
        _one=nw.lit(1).cast(nw.Int64), _less=-nw.col("amount").round(DECIMALS)
    )
    place = nw.col("_one").cum_sum().over("customer_id", order_by=["_moment", "order_id", "_less", "channel"])
    first = orders.with_columns(_place=place).filter(nw.col("_place") == 1)
    return collect(first.select("customer_id", nw.col("channel").alias(name)))
