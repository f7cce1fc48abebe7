"""Who the customers are: the segments, what they bring, what to do about each."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from crmlytics.report._charts import bars
from crmlytics.report._section import Figure, Heading, Section, Table
from crmlytics.report._words import MISSING, compact, count, counted, is_missing, percent, sentence, verb

if TYPE_CHECKING:
    import pandas as pd

    from crmlytics.report._context import Context

NEEDED = ("segment", "customer_count", "customer_share", "total_amount", "total_amount_share")
MOST_SEGMENTS = 12  # drawn; the table has all
LEGEND = ((5, "Share of customers"), (1, "Share of revenue so far"))
ORDER_STEPS = ((1, 2, 5, 10), (5, 10, 25, 50), (25, 50, 100, 200))  # for rare, usual and daily purchases
MOST_IN_LAST = 0.5  # of the customers


def build(context: Context) -> Section | None:
    """Write the section, where customers have segments."""
    segments = context.table("segments", *NEEDED)
    if segments is None or segments.empty:
        return None
    return Section(
        key="customers",
        title="The customers",
        question="Who are our customers, and which of them bring the revenue?",
        findings=_findings(context, segments),
        figures=tuple(figure for figure in (_figure(segments), _habit_figure(context)) if figure is not None),
        tables=(_table(context, segments),),
    )


def _findings(context: Context, segments: pd.DataFrame) -> tuple[str, ...]:
    found = []
    scores = context.table("scores", "order_count")
    if scores is not None:
        buyers, once = int((scores["order_count"] > 0).sum()), int((scores["order_count"] == 1).sum())
        returns_only = len(scores) - buyers
        have = verb(buyers, "has", "have")
        more = f" Another {count(returns_only)} {verb(returns_only, 'has', 'have')} returns only."
        found.append(
            sentence(
                f"{{}} {have} ordered so far; {{}} of them ({{}}) only once.{more if returns_only else ''}",
                counted(buyers, "customer"), count(once), percent(once / max(buyers, 1)),
            )
        )  # fmt: skip
    biggest = segments.sort_values("customer_count", ascending=False, kind="stable").iloc[0]
    richest = segments.sort_values("total_amount", ascending=False, kind="stable").iloc[0]
    found.append(
        sentence(
            "The segment {} brings most: {} of the customers make {} of all revenue so far.",
            richest["segment"], percent(richest["customer_share"]), percent(richest["total_amount_share"]),
        )
    )  # fmt: skip
    if biggest["segment"] != richest["segment"]:
        found.append(
            sentence(
                "The segment {} is the largest: {} of the customers, with {} of the revenue.",
                biggest["segment"], percent(biggest["customer_share"]), percent(biggest["total_amount_share"]),
            )
        )  # fmt: skip
    return tuple(found)


def _figure(segments: pd.DataFrame) -> Figure:
    shown = segments.head(MOST_SEGMENTS)
    shares = [shown[name].fillna(0.0).astype(float).tolist() for name in ("customer_share", "total_amount_share")]
    richest = segments.sort_values("total_amount", ascending=False, kind="stable").iloc[0]
    return Figure(
        title="The segments",
        picture=bars(
            [str(name) for name in shown["segment"]],
            shares,
            text=percent,
            colours=(5, 1),
            alt=f"Bars: share of customers and share of revenue for {len(shown)} segments. {richest['segment']} bring "
            f"most revenue, {percent(richest['total_amount_share'])}.",
        ),
        legend=LEGEND,
        note="Segments follow from how recently, how often and for how much a customer bought, compared with the other "
        "customers.",
    )


def _habit_figure(context: Context) -> Figure | None:
    scores = context.table("scores", "order_count", "total_amount")
    if scores is not None:
        scores = scores[scores["order_count"] > 0]  # others have returns only
    if scores is None or not scores["total_amount"].sum() > 0:
        return None
    orders, amounts = scores["order_count"], scores["total_amount"].astype(float)
    steps = next((found for found in ORDER_STEPS if (orders > found[-1]).mean() <= MOST_IN_LAST), ORDER_STEPS[-1])
    labels = [*map(_band_label, (0, *steps), steps), f"More than {steps[-1]} orders"]
    edges = [float("-inf"), *steps, float("inf")]
    bands = [(orders > low) & (orders <= high) for low, high in itertools.pairwise(edges)]
    labels = [label for label, band in zip(labels, bands, strict=True) if band.any()]
    bands = [band for band in bands if band.any()]
    customers = [float(band.mean()) for band in bands]
    revenue = [float(amounts[band].sum() / amounts.sum()) for band in bands]
    return Figure(
        title="How often they ordered, and what that brings",
        picture=bars(
            labels, [customers, revenue], text=percent, colours=(5, 1),
            alt=f"Bars: share of customers and of revenue by number of orders. {labels[-1]}: {percent(customers[-1])} "
            f"of the customers and {percent(revenue[-1])} of the revenue.",
        ),
        legend=LEGEND,
        note=f"Customers with {labels[-1].lower()} are {percent(customers[-1])} of all and bring "
        f"{percent(revenue[-1])} of the revenue.",
    )  # fmt: skip


def _band_label(above: int, upto: int) -> str:
    if upto == above + 1:
        return counted(upto, "order")
    return f"Up to {upto} orders" if above == 0 else f"{above + 1} to {upto} orders"


def _table(context: Context, segments: pd.DataFrame) -> Table:
    measures = {
        "mean_recency_days": ("Days since last order", count),
        "mean_order_count": ("Orders each", compact),
        "mean_total_amount": ("Revenue each", context.money),
    }
    measures = {name: value for name, value in measures.items() if name in segments.columns}
    has_action = "suggested_action" in segments.columns and bool(segments["suggested_action"].notna().any())
    headings = [Heading("Segment"), Heading("Customers", is_number=True), Heading("Revenue so far", is_number=True)]
    headings += [Heading(text, is_number=True) for text, _ in measures.values()]
    headings += [Heading("What to do")] if has_action else []
    rows = []
    for row in segments.to_dict("records"):
        cells = [str(row["segment"]), count(row["customer_count"]), context.money(row["total_amount"])]
        cells += [write(row[name]) for name, (_, write) in measures.items()]
        if has_action:
            cells.append(MISSING if is_missing(row["suggested_action"]) else str(row["suggested_action"]))
        rows.append(tuple(cells))
    return Table(caption="The segments, from best to worst", headings=tuple(headings), rows=tuple(rows))
