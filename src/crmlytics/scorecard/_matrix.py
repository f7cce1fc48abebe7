"""What customers are worth now against what they could be worth, and what to do about it."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect, compute
from crmlytics.scorecard._contribution import contributions
from crmlytics.scorecard._part import CALLER, Column, Part, unknown
from crmlytics.value import value_matrix_table

if TYPE_CHECKING:
    from crmlytics.scorecard._part import Request

KINDS = {"growth_amount": nw.Float64(), "value_group": nw.String(),
         "action": nw.String()}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Worth:
    """What customers brought lately and what they are expected to bring, measured alike.

    Attributes
    ----------
    recent : eager narwhals frame
        ``customer_id``, ``current_amount`` and ``_service``, the cost of serving, of days as many as the horizon has;
        customers without anything in them have no row.
    share : float
        What of the revenue expected counts.
    current, potential : str
        What the two are, in words.
    """

    recent: nw.DataFrame[Any]
    share: float
    current: str
    potential: str


def matrix_part(request: Request, scores: nw.DataFrame[Any]) -> Part:
    """Group customers by worth in the last horizon and by growth expected in the next."""
    since = request.as_of - dt.timedelta(days=request.horizon_days)
    worth = _contribution(request, since, scores) if request.has_costs else _revenue(request, since)
    values = _values(worth, scores)
    known = values.filter(~nw.col("current_amount").is_null() & ~nw.col("potential_amount").is_null())
    if not len(known):
        table = values.join(unknown(values, **KINDS), on="customer_id", how="left")
        return Part(table, _columns(request, worth, " Not made: no revenue is expected of anybody."))
    matrix = value_matrix_table(known.to_native(), current="current_amount", potential="potential_amount")
    grouped = compute(matrix, caller=CALLER).select("customer_id", *KINDS)
    return Part(values.join(grouped, on="customer_id", how="left"), _columns(request, worth, ""))


def _contribution(request: Request, since: dt.datetime, scores: nw.DataFrame[Any]) -> Worth:
    """Measure worth as contribution."""
    recent = contributions(request, since).select(
        "customer_id", current_amount=nw.col("contribution_amount"), _service=nw.col("service_cost_amount")
    )
    share = 1.0 if request.margin is None else request.margin
    if request.known.has("cost"):
        share = _margin_share(scores)
    return Worth(recent, share, "contribution", "the margin on the revenue expected, less what serving cost lately")


def _margin_share(scores: nw.DataFrame[Any]) -> float:
    """Return the share of all revenue of known cost that is margin; 1 where there is no such revenue."""
    known = scores.filter(~nw.col("margin_amount").is_null())
    revenue = float(known["total_amount"].sum() or 0.0)
    return float(known["margin_amount"].sum()) / revenue if revenue > 0 else 1.0


def _revenue(request: Request, since: dt.datetime) -> Worth:
    """Measure worth as revenue, or as the margin on it."""
    share = 1.0 if request.margin is None else request.margin
    lines = request.known.need("customer_id", "timestamp", "amount", caller=CALLER)
    summed = lines.filter(nw.col("timestamp") >= since).group_by("customer_id").agg(_sum=nw.col("amount").sum())
    recent = collect(summed).select("customer_id", current_amount=nw.col("_sum") * share, _service=nw.lit(0.0))
    words = ("revenue", "the revenue expected") if request.margin is None else ("margin", "the margin expected")
    return Worth(recent, share, *words)


def _values(worth: Worth, scores: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
    """Return ``current_amount`` and ``potential_amount`` of everybody; who was quiet brought nothing."""
    quiet = scores.join(worth.recent, on="customer_id", how="anti").select(
        "customer_id", current_amount=nw.lit(0.0), _service=nw.lit(0.0)
    )
    recent = worth.recent.select(
        "customer_id", nw.col("current_amount").cast(nw.Float64), nw.col("_service").cast(nw.Float64)
    )
    everybody = scores.join(nw.concat([recent, quiet]), on="customer_id", how="left")
    expected = nw.col("expected_purchase_count") * nw.col("expected_order_amount")
    potential = expected * worth.share - nw.col("_service")
    return everybody.select("customer_id", "current_amount", potential_amount=potential)


def _columns(request: Request, worth: Worth, missing: str) -> tuple[Column, ...]:
    days = request.horizon_days
    return (
        Column("current_amount", f"{worth.current.capitalize()} of the last {days} days, returns taken off",
               "currency", "Counted from the lines kept."),
        Column("growth_amount", f"How much more the next {days} days are expected to bring than the last: "
               f"{worth.potential}, less current_amount", "currency", f"As sure as the revenue expected.{missing}"),
        Column("value_group", "Most valuable: the fifth with the largest current_amount; most growable: the fifth with "
               "the largest growth_amount; below zero: neither now nor in the days to come worth anything; low "
               "maintenance: all others", "text",
               f"As sure as the revenue expected, which is what the past lets expect and not the most they could "
               f"spend. The best days of a year make the others look growable.{missing}"),
        Column("action", "What to try with customers of this group", "text",
               f"A place to start: only a control group tells what it brings.{missing}"),
    )  # fmt: skip
