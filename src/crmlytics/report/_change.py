"""What changed revenue: a bridge from one span to the next, and the groups that grew or shrank."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics.report._charts import bridge
from crmlytics.report._section import Figure, Heading, Section, Table
from crmlytics.report._words import change, count, percent, sentence, signed, weeks

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from crmlytics.report._context import Context

EFFECTS = {
    "new_amount": "New customers",
    "reactivated_amount": "Customers who came back",
    "lost_amount": "Customers who stayed away",
    "returns_amount": "Returns without an order",
    "volume_effect_amount": "Same customers: {volume}",
    "mix_effect_amount": "Same customers: dearer or cheaper products",
    "price_effect_amount": "Same customers: {price}",
    "added_products_amount": "Same customers: products new to them",
    "dropped_products_amount": "Same customers: products given up",
    "other_effect_amount": "Same customers: lines without a unit price",
}
BASES = {
    "units": {"volume": "more or fewer pieces", "price": "prices per piece"},
    "orders": {"volume": "more or fewer orders", "price": "larger or smaller orders"},
}
LEAST = 0.0005  # of the revenue: smaller effects are not drawn one by one
WAYS = {
    "category": "category", "channel": "channel", "partner_id": "partner", "department": "department", "tier": "tier",
    "country": "country", "region": "region", "acquisition_channel": "way they were won", "product_id": "product",
}  # fmt: skip
LARGEST = 8


def build(context: Context) -> Section | None:
    """Write the section, where two spans can be compared."""
    row = _bridge_row(context)
    cuts = context.table("cuts", "by", "group", "total_amount", "amount_change", "growth_share")
    if row is None and cuts is None:
        return None
    findings = [] if row is None else _bridge_findings(context, row)
    tables = []
    if cuts is not None:
        ways = list(dict.fromkeys(cuts["by"]))
        findings += [found for by in ways if (found := _cut_finding(context, cuts[cuts["by"] == by])) is not None]
        tables = [_cut_table(context, cuts[cuts["by"] == by], folded=i > 0) for i, by in enumerate(ways)]
    return Section(
        key="change",
        title="What changed",
        question="Why did revenue change: customers, prices, quantities or products?",
        findings=tuple(findings),
        figures=() if row is None else (_bridge_figure(context, row),),
        tables=tuple(tables),
    )


def _bridge_row(context: Context) -> dict[str, Any] | None:
    table = context.table("bridge", "previous_amount", "total_amount", "amount_change", "basis", "span_days", *EFFECTS)
    row: dict[str, Any] | None = None if table is None or table.empty else table.iloc[0].to_dict()
    return row


def _spans(row: dict[str, Any]) -> tuple[str, str]:
    """Name the later span and the one it is held against."""
    span = weeks(int(row["span_days"]))
    before = f"the {span} before" if row["lag"] == 1 else "the same weeks a year before"
    return f"the last {span}", before


def _effects(row: dict[str, Any]) -> list[tuple[str, float]]:
    """Return what is worth a bar, in the order of the bridge; the rest is one bar."""
    words = BASES[str(row["basis"])]
    size = LEAST * max(abs(float(row["previous_amount"])), abs(float(row["total_amount"])))
    amounts = {text.format(**words): float(row[name]) for name, text in EFFECTS.items()}
    told = [(text, amount) for text, amount in amounts.items() if abs(amount) > size]
    rest = float(row["amount_change"]) - sum(amount for _, amount in told)
    return [*told, ("All else", rest)] if abs(rest) > size else told


def _bridge_findings(context: Context, row: dict[str, Any]) -> list[Markup]:
    (now, before), was = _spans(row), float(row["previous_amount"])
    growth = f" ({change(row['amount_change'] / was)})" if was > 0 else ""
    seasons = "" if row["lag"] > 1 or row["span_days"] >= 364 else " Seasons are not taken out."
    more = "more" if row["amount_change"] >= 0 else "less"
    found = [
        sentence(
            f"{now.capitalize()} brought {{}}, {{}} {more} than {before}{growth}.{seasons}",
            context.money(row["total_amount"]), context.money(abs(row["amount_change"])),
        )
    ]  # fmt: skip
    effects = sorted(_effects(row), key=lambda effect: effect[1])
    if len(effects) > 1 and effects[0][1] < 0 < effects[-1][1]:
        found.append(
            sentence(
                "Most was gained by {} ({}), most was lost by {} ({}).",
                _lower(effects[-1][0]), signed(context.money, effects[-1][1]),
                _lower(effects[0][0]), signed(context.money, effects[0][1]),
            )
        )  # fmt: skip
    return found


def _bridge_figure(context: Context, row: dict[str, Any]) -> Figure:
    now, before = _spans(row)
    effects = _effects(row)
    units = row["basis"] == "units"
    first = (before.capitalize(), float(row["previous_amount"]))
    last = (now.capitalize(), float(row["total_amount"]))
    return Figure(
        title="From one span to the next",
        picture=bridge(
            first, effects, last, text=context.money,
            alt=f"Bridge: revenue of {before}, {context.money(row['previous_amount'])}, to {now}, "
            f"{context.money(row['total_amount'])}, by {len(effects)} effects.",
        ),
        note="Each bar begins where the one above it ends; together they are the change, to the cent. Same customers "
        "ordered in both spans. "
        + ("" if units else "Products and quantities are not known, so orders stand for them. ")
        + "This says where the money moved, not why.",
    )  # fmt: skip


def _cut_finding(context: Context, cut: pd.DataFrame) -> Markup | None:
    """Tell what grew and what shrank most, unless nothing can be compared."""
    known = cut[cut["amount_change"].notna()]
    if len(known) < 2:
        return None
    order = known.sort_values(["amount_change", "group"], ascending=[False, True], kind="stable")
    up, down = order.iloc[0], order.iloc[-1]
    if not up["amount_change"] > 0 > down["amount_change"]:
        return None
    return sentence(
        f"By {WAYS[str(cut['by'].iloc[0])]}: {{}} gained most ({{}}), {{}} lost most ({{}}).",
        str(up["group"]), signed(context.money, up["amount_change"]), str(down["group"]),
        signed(context.money, down["amount_change"]),
    )  # fmt: skip


def _cut_table(context: Context, cut: pd.DataFrame, *, folded: bool) -> Table:
    first = cut.iloc[0].to_dict()
    (now, before), way = _spans(first), WAYS[str(first["by"])]
    rows = [
        (
            str(row["group"]), context.money(row["total_amount"]), percent(row["amount_share"]),
            signed(context.money, row["amount_change"]), change(row["growth_share"]),
        )
        for row in cut.to_dict("records")
    ]  # fmt: skip
    more = int(first["group_count"]) - len(rows)
    return Table(
        caption=f"Revenue by {way}: {now} against {before}",
        headings=(
            Heading(way.capitalize()),
            *(Heading(text, is_number=True) for text in ("Revenue", "Share", "Change", "Growth")),
        ),
        rows=tuple(rows),
        note=f"The {LARGEST} largest and those that moved most; {count(more)} more are not shown." if more > 0 else "",
        folded=folded,
    )


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]
