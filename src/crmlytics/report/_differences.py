"""What makes customers different: segments that their behaviour falls into, if any, and what sets the best apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics.report._section import Heading, Section, Table
from crmlytics.report._words import MISSING, compact, count, counted, is_missing, percent, sentence

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from crmlytics.report._context import Context

MEASURES = {
    "recency_days": "days since the last order",
    "order_count": "number of orders",
    "tenure_days": "days as a customer",
    "average_order_amount": "average order",
}
IN_A_NAME = {
    "high recency_days": "silent for long", "low recency_days": "bought lately",
    "high order_count": "many orders", "low order_count": "few orders",
    "high tenure_days": "known for long", "low tenure_days": "known for a short time",
    "high average_order_amount": "large orders", "low average_order_amount": "small orders",
    "high expected_revenue_amount": "much expected of them", "low expected_revenue_amount": "little expected of them",
    "high returned_share": "send much back", "low returned_share": "send little back",
    "high discount_share": "buy at discounts", "low discount_share": "buy at full price",
}  # fmt: skip
TOLD = 3  # findings about the best customers
LEAST_EFFECT, SURE = 0.2, 0.05
SIZES = ((0.8, "large"), (0.5, "middling"), (0.2, "small"))  # Cohen's words
BY_DESIGN = "it formed the segments: no test"


def build(context: Context) -> Section | None:
    """Write the section from the segments by behaviour and the profile of the best."""
    behaviour, best = context.table("behaviour"), context.table("best")
    if behaviour is None and best is None:
        return None
    findings = [] if behaviour is None else [_behaviour_finding(behaviour)]
    tables = [] if behaviour is None or len(behaviour) < 2 else [_behaviour_table(context, behaviour)]
    if best is not None:
        findings += _best_findings(best)
        tables += [_best_table(context, best)]
    return Section(
        key="differences",
        title="What makes them different",
        question="Are there kinds of customers, and what sets the best apart?",
        findings=tuple(findings),
        tables=tuple(tables),
    )


def segment_words(name: str) -> str:
    """Say the name of a segment in words.

    >>> segment_words("high recency_days, low order_count")
    'Silent for long, few orders'
    """
    words = ", ".join(IN_A_NAME.get(part, part) for part in name.split(", "))
    return words[:1].upper() + words[1:]


def _behaviour_finding(behaviour: pd.DataFrame) -> Markup:
    if len(behaviour) < 2:
        return sentence(
            "By how they buy (how often, how lately, how much), the customers are {}: there are no separate "
            "kinds, only more and less of the same. Any cut through them is for convenience.",
            "one cloud without islands",
        )
    richest = behaviour.sort_values("total_amount", ascending=False, kind="stable").iloc[0]
    return sentence(
        "By how they buy (how often, how lately, how much), the customers fall into {}. Those with most "
        "revenue ({}) are {} of the customers and bring {}.",
        f"{len(behaviour)} groups", segment_words(str(richest["segment"])).lower(),
        percent(richest["customer_share"]), percent(richest["total_amount_share"]),
    )  # fmt: skip


def _behaviour_table(context: Context, behaviour: pd.DataFrame) -> Table:
    means = [name for name in MEASURES if f"mean_{name}" in behaviour.columns]
    headings = ["Customers", "Share of customers", "Share of revenue", *(MEASURES[name].capitalize() for name in means)]
    rows = []
    for row in behaviour.to_dict("records"):
        shares = [percent(row["customer_share"]), percent(row["total_amount_share"])]
        values = [_value(context, name, row[f"mean_{name}"]) for name in means]
        rows.append((segment_words(str(row["segment"])), count(row["customer_count"]), *shares, *values))
    return Table(
        caption="Groups by behaviour, the largest first",
        headings=(Heading("Group"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note="Groups that are tighter than chance and found again in other samples of the customers. Their borders are "
        "not sharp: many customers lie between two. The last columns are averages.",
    )


def _best_findings(best: pd.DataFrame) -> list[Markup]:
    """Tell what sets the best apart beside the revenue that they were chosen by."""
    from crmlytics.profiling import describe_profiles

    by_chance = best[best["note"] != BY_DESIGN]
    if by_chance.empty:
        return []
    told = describe_profiles(by_chance, n=TOLD)
    known = counted(best["profiled_count"].iloc[0], "customer")
    heads = [f"The best 20\u00a0% of {known} by revenue" if i == 0 else "The best" for i in range(len(told))]
    return [
        sentence("{}: " + _escaped(_in_words(text.partition(": ")[2], column)) + ".", head)
        for head, text, column in zip(heads, told["finding"], told["column"], strict=True)
    ]


def _in_words(text: str, column: str | None) -> str:
    return text if is_missing(column) else text.replace(str(column), _column_words(str(column)), 1)


def _column_words(name: str) -> str:
    return MEASURES.get(name, name.replace("_", " "))


def _escaped(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _best_table(context: Context, best: pd.DataFrame) -> Table:
    is_told = (best["adjusted_p_value"].astype(float) <= SURE) | (best["note"] == BY_DESIGN)
    shown = best[is_told & (best["effect_size"].astype(float).abs() >= LEAST_EFFECT)]
    rows = [_best_row(context, row) for row in shown.to_dict("records")]
    return Table(
        caption="The best 20\u00a0% by revenue, and everybody",
        headings=(
            Heading("What"), Heading("The best", is_number=True), Heading("Everybody", is_number=True),
            Heading("Difference"),
        ),
        rows=tuple(rows) or (("Nothing sets them apart by more than chance", MISSING, MISSING, ""),),
        note="Numbers are averages, levels are shares of the customers. Orders and the average order make the revenue "
        "by which the best were chosen, so they differ by design. What sets customers apart need not be what made them "
        "good.",
    )  # fmt: skip


def _best_row(context: Context, row: dict[str, object]) -> tuple[str, str, str, str]:
    name = str(row["column"])
    words = _column_words(name)
    effect = float(row["effect_size"])  # type: ignore[arg-type]
    size = next((word for least, word in SIZES if abs(effect) >= least), "small")
    size += ", by design" if row["note"] == BY_DESIGN else ""
    if is_missing(row["level"]):
        values = [_value(context, name, row[key]) for key in ("mean", "mean_overall")]
        return words.capitalize(), values[0], values[1], f"{'higher' if effect > 0 else 'lower'}, {size}"
    shares = [percent(row[key]) for key in ("share_in_segment", "share_overall")]
    return f"{words.capitalize()}: {row['level']}", shares[0], shares[1], f"{'more' if effect > 0 else 'fewer'}, {size}"


def _value(context: Context, name: str, value: object) -> str:
    return context.money(value) if name.endswith("_amount") else compact(value)
