"""What customers are worth: how uneven it is, what each leaves over, value now and expected, who moved up or down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics.report._charts import curve
from crmlytics.report._section import Cell, Figure, Heading, Outline, Table
from crmlytics.report._words import between, count, counted, percent, sentence, signed, verb, weeks

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from crmlytics.report._context import Context

TOP = 0.2
GROUPS = ("value_group", "customer_count", "current_amount", "potential_amount", "action")
LEVELS = ("high", "middle", "low", "(nothing)", "(back)", "(new)", "(gone)")
WORDS = {
    "high": "High", "middle": "Middle", "low": "Low", "(nothing)": "No more than returned", "(back)": "Back again",
    "(new)": "New", "(gone)": "Bought nothing",
}  # fmt: skip


def _concentration_finding(context: Context) -> Markup | None:
    table = context.table("concentration", "top_share", "amount_share", "customer_count")
    rows = None if table is None else table[(table["top_share"] - TOP).abs() < 1e-9]
    if rows is None or rows.empty:
        return None
    row = rows.iloc[0]
    pareto = context.table("pareto", "amount_share_low", "amount_share_high", "needed_customer_share")
    figures = [percent(row["top_share"]), count(row["customer_count"]), percent(row["amount_share"])]
    if pareto is None or pareto["amount_share_low"].isna().any():
        return sentence("The best {} of the customers ({}) make {} of all revenue.", *figures)
    one = pareto.iloc[0]
    return sentence(
        "The best {} of the customers ({}) make {} of all revenue (with other customers of the same kind, "
        f"{percent(one['amount_share_low'])} to {percent(one['amount_share_high'])}). It takes {{}} of the customers "
        f"to make {percent(one['expected_share'])} of it.",
        *figures, percent(one["needed_customer_share"]),
    )  # fmt: skip


def _window_finding(context: Context) -> Markup | None:
    windows = context.table("windows", "window_days", "known_amount_share")
    if windows is None or windows["known_amount_share"].isna().any():
        return None
    first, last = windows.iloc[0], windows.iloc[-1]
    return sentence(
        f"How uneven it looks depends on how long one looks: within {weeks(int(first['window_days']))} the best "
        f"{percent(TOP)} make {{}}, within {weeks(int(last['window_days']))} {{}}. Compare spans of equal length only.",
        percent(first["known_amount_share"]), percent(last["known_amount_share"]),
    )  # fmt: skip


def _whale_finding(context: Context) -> Markup | None:
    sides = context.table("whale_sides", "side", "customer_count", "customer_share", "contribution_amount")
    if sides is None:
        return None
    rows = sides.set_index("side")
    earning, losing = rows.loc["earning"], rows.loc["losing"]
    if not losing["customer_count"]:
        return sentence(
            "After all costs, {} leave {} over; nobody costs more than they bring.",
            counted(earning["customer_count"], "customer"), context.money(earning["contribution_amount"]),
        )  # fmt: skip
    losers = losing["customer_count"]
    return sentence(
        f"After all costs, {{}} ({{}}) leave {{}} over; {{}} {verb(losers, 'costs', 'cost')} more than they bring "
        f"and {verb(losers, 'takes', 'take')} {{}} of it back.",
        counted(earning["customer_count"], "customer"), percent(earning["customer_share"]),
        context.money(earning["contribution_amount"]), counted(losing["customer_count"], "customer"),
        context.money(-losing["contribution_amount"]),
    )  # fmt: skip


def _move_finding(context: Context) -> Markup | None:
    """Tell how many of the high level stayed there."""
    moves = context.table("value_moves", "from_tier", "to_tier", "customer_count", "step_days")
    of_high = None if moves is None else moves[moves["from_tier"] == "high"]
    if of_high is None or of_high.empty:
        return None
    everybody = int(of_high["customer_count"].sum())
    stayed = int(of_high.loc[of_high["to_tier"] == "high", "customer_count"].sum())
    gone = int(of_high.loc[of_high["to_tier"] == "(gone)", "customer_count"].sum())
    return sentence(
        f"Of the {{}} on the high level of value in the {weeks(int(moves['step_days'].iloc[0]))} before the last, {{}} "
        f"stayed there and {{}} bought nothing since.",
        counted(everybody, "customer"), percent(stayed / everybody), count(gone),
    )  # fmt: skip


def _concentration_figure(context: Context) -> Figure | None:
    table = context.table("concentration", "top_share", "amount_share")
    if table is None or table.empty:
        return None
    shares = zip(table["top_share"], table["amount_share"], strict=True)
    points = [(0.0, 0.0), *((float(a), float(b)) for a, b in shares)]
    mark = next(((a, b) for a, b in points if abs(a - TOP) < 1e-9), None)
    words = f"The best {percent(mark[0])} of the customers make {percent(mark[1])} of the revenue." if mark else ""
    return Figure(
        title="How concentrated the revenue is",
        picture=curve(
            points, mark=mark, text=percent, names=("share of customers, best first", "share of revenue"),
            alt=f"Curve: cumulative share of revenue over the share of customers, best first. {words}",
        ),
        note=f"{words} The dashed line is where all would bring the same.",
    )  # fmt: skip


def _whale_figure(context: Context) -> Figure | None:
    points = context.table("whale", "cumulative_customer_share", "cumulative_contribution_share", "is_peak")
    if points is None or points["cumulative_contribution_share"].isna().any():
        return None
    shares = zip(points["cumulative_customer_share"], points["cumulative_contribution_share"], strict=True)
    places = [(0.0, 0.0), *((float(a), float(b)) for a, b in shares)]
    peak = points[points["is_peak"].astype(bool)].iloc[0]
    mark = (float(peak["cumulative_customer_share"]), float(peak["cumulative_contribution_share"]))
    return Figure(
        title="What customers leave over, the best first",
        picture=curve(
            places, mark=mark, text=percent, names=("share of customers, best first", "share of what is left over"),
            alt="Whale curve: cumulative contribution over the share of customers, best first. It peaks at "
            f"{percent(mark[1])} with {percent(mark[0])} of the customers.",
        ),
        note=f"The curve climbs to {percent(mark[1])} with {percent(mark[0])} of the customers; those after the mark "
        "cost more than they bring. Left over: revenue less the goods, where their cost is known, and the serving.",
    )  # fmt: skip


def _group_table(context: Context) -> Table | None:
    groups = context.table("value_groups", *GROUPS)
    groups = None if groups is None else groups[groups["customer_count"] > 0]
    if groups is None or groups.empty:
        return None
    rows = [
        (
            str(row["value_group"]).capitalize(), count(row["customer_count"]), context.money(row["current_amount"]),
            context.money(row["potential_amount"]), _sentence_case(str(row["action"])),
        )
        for row in groups.to_dict("records")
    ]  # fmt: skip
    return Table(
        caption="Value now and to come: what to do with whom",
        headings=(
            Heading("Group"), Heading("Customers", is_number=True),
            Heading(f"Worth in the last {context.horizon}", is_number=True),
            Heading(f"Expected in the next {context.horizon}", is_number=True), Heading("What to do"),
        ),
        rows=tuple(rows),
        note="Most valuable: the best 20\u00a0% by what they were worth. Most growable: of the others, those with most "
        "more to come than lately. Expected is what their own histories promise, not what they spend elsewhere; part "
        "of the best always fall back, and part of the quiet come back.",
    )  # fmt: skip


def _window_table(context: Context) -> Table | None:
    windows = context.table("windows", "window_days", "known_amount_share", "active_amount_share")
    if windows is None:
        return None
    rows = []
    for row in windows.to_dict("records"):
        shares = [
            text
            for kind in ("known", "active")
            for text in (
                percent(row[f"{kind}_amount_share"]),
                between(percent, row[f"{kind}_amount_share_low"], row[f"{kind}_amount_share_high"]),
            )
        ]
        rows.append((f"The last {weeks(int(row['window_days']))}", *shares))
    headings = ("Of all customers", "between", "Of those who bought in it", "between")
    return Table(
        caption=f"What the best {percent(TOP)} make of revenue, by how long one looks",
        headings=(Heading("Span"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note="In a short span many good customers happened not to order, so the base looks more uneven than it is.",
        folded=True,
    )


def _move_table(context: Context) -> Table | None:
    moves = context.table("value_moves", "from_tier", "to_tier", "customer_count", "from_share", "amount_change")
    if moves is None or moves.empty:
        return None
    span = weeks(int(moves["step_days"].iloc[0]))
    ends = [name for name in LEVELS if name in set(moves["to_tier"])]
    rows = [_move_row(context, name, moves[moves["from_tier"] == name], ends) for name in LEVELS]
    return Table(
        caption=f"From level to level: the last {span} against the {span} before, in per cent of the row",
        headings=(
            Heading("Before"), Heading("Customers", is_number=True),
            *(Heading(WORDS[name], is_number=True) for name in ends), Heading("Revenue moved by", is_number=True),
        ),
        rows=tuple(row for row in rows if row is not None),
        note="Levels are the best 20\u00a0%, the next 30\u00a0% and the other half of those who bought in the span "
        "before, cut at the same amounts in both. Some of the best had a lucky span and fall back without a cause.",
        folded=True,
    )  # fmt: skip


def _move_row(context: Context, name: str, rows: pd.DataFrame, ends: list[str]) -> tuple[str | Cell, ...] | None:
    if rows.empty:
        return None
    shares = dict(zip(rows["to_tier"], rows["from_share"].astype(float), strict=True))
    cells = [Cell.of(shares.get(end, 0.0)) for end in ends]
    return WORDS[name], count(rows["customer_count"].sum()), *cells, signed(context.money, rows["amount_change"].sum())


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


build = Outline(
    key="value",
    title="What they are worth",
    question="How few customers make how much, and whom should we keep or grow?",
    findings=(_concentration_finding, _window_finding, _whale_finding, _move_finding),
    figures=(_concentration_figure, _whale_figure),
    tables=(_group_table, _window_table, _move_table),
).build
