"""The page's beginning: the headline figures, and the whole report in a few sentences."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics.report import _revenue, _trust
from crmlytics.report._section import Card, Section
from crmlytics.report._slipping import expected_amount
from crmlytics.report._words import compact, count, counted, date, percent, sentence, verb

if TYPE_CHECKING:
    import pandas as pd

    from crmlytics.report._context import Context

TOP = 0.2


def build(context: Context) -> Section | None:
    """Write the headline figures of whatever is known."""
    scores = context.table("scores", "customer_id", "order_count", "total_amount")
    if scores is None or scores.empty:
        return None
    return Section(
        key="summary",
        title="In short",
        question=f"Where do we stand on {date(context.as_of)}?",
        cards=(*_past_cards(context, scores), *_future_cards(context, scores)),
        findings=_findings(context),
    )


def _past_cards(context: Context, scores: pd.DataFrame) -> list[Card]:
    orders, total = scores["order_count"].sum(), scores["total_amount"].astype(float).sum()
    buyers = int((scores["order_count"] > 0).sum())
    cards = [
        Card("Customers", compact(buyers), "with an order so far"),
        Card("Revenue", context.money(total), "since the first order in the data"),
    ]
    if not buyers:
        return cards
    again = (scores["order_count"] > 1).sum() / buyers
    return [
        *cards,
        Card("Orders", compact(orders), f"{compact(orders / buyers)} per customer"),
        Card("Average order", context.money(total / orders), "revenue per order"),
        Card("Came back", percent(again), "of the customers ordered again"),
    ]


def _future_cards(context: Context, scores: pd.DataFrame) -> list[Card]:
    cards = []
    top = top_share(context, TOP)
    if top is not None:
        cards.append(Card(f"Best {percent(TOP)} make", percent(top), "of all revenue"))
    if context.table("watch") is not None:  # there are chances to buy
        likely = scores["purchase_probability"].astype(float)
        cards.append(
            Card("Expected to buy", compact(round(likely.sum())), f"customers in the next {context.horizon}")
        )  # fmt: skip
        expected = expected_amount(scores).sum()
        cards.append(Card("Expected revenue", context.money(expected), f"from them, in the next {context.horizon}"))
    return cards


def top_share(context: Context, share: float) -> float | None:
    """Return what the best ``share`` of the customers make of all revenue, where it is known."""
    table = context.table("concentration", "top_share", "amount_share")
    if table is None:
        return None
    row = table[(table["top_share"] - share).abs() < 1e-9]
    return float(row["amount_share"].iloc[0]) if len(row) else None


def _findings(context: Context) -> tuple[str, ...]:
    found = []
    trend = _revenue.trend_sentence(context)
    if trend is not None:
        found.append(trend)
    segments = context.table("segments", "segment", "customer_count", "total_amount_share")
    if segments is not None and len(segments) > 1:
        best = segments.sort_values("total_amount", ascending=False, kind="stable").iloc[0]
        found.append(
            sentence(
                f"The {{}} in the segment {{}} {verb(best['customer_count'], 'makes', 'make')} {{}} of all revenue.",
                counted(best["customer_count"], "customer"), best["segment"], percent(best["total_amount_share"]),
            )
        )  # fmt: skip
    watched = context.table("watch")
    if watched is not None and len(watched):
        found.append(
            sentence(
                "{} " + verb(len(watched), "is", "are") + " slipping, with {} of revenue at stake in the next {}.",
                counted(len(watched), "good customer"), context.money(watched["at_stake_amount"].sum()),
                context.horizon,
            )
        )  # fmt: skip
    caution = _trust.caution_sentence(context)
    if caution is not None:
        found.append(caution)
    audit = context.table("audit")
    if audit is not None:
        received, kept = audit["lines"].iloc[0], audit["lines"].iloc[1]
        aside = "; what was set aside is listed below" if kept < received else ""
        found.append(
            sentence(f"All this rests on {{}} of {{}} received ({{}}){aside}.",
                     count(kept), counted(received, "order line"), percent(kept / received))
        )  # fmt: skip
    return tuple(found)
