"""Where customers stand in life: new, growing, loyal, won back, at risk, lapsed; where they go, what they bring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics.report._charts import bars
from crmlytics.report._section import Cell, Figure, Heading, Section, Table
from crmlytics.report._words import MISSING, count, counted, is_missing, percent, sentence, verb, weeks

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from crmlytics.report._context import Context

MEANINGS = {
    "new": "first bought lately, or once only",
    "growing": "buy more often than they used to",
    "loyal": "buy as they used to",
    "won back": "bought again after a long silence",
    "at risk": "silent for more than twice their usual time",
    "lapsed": "silent for more than four times their usual time",
}
IN_TOUCH, LEAVING = ("growing", "loyal", "won back"), ("at risk", "lapsed")
NEEDED = ("stage", "customer_count", "customer_share", "total_amount_share", "next_amount", "step_days")
LEGEND = ((5, "Share of customers"), (1, "Share of revenue so far"))


def build(context: Context) -> Section | None:
    """Write the section, where the data are long enough to tell a stage from the next."""
    stages = context.table("stages", *NEEDED)
    if stages is None:
        return None
    moves = context.table("stage_moves", "from_stage", "to_stage", "transition_probability", "from_customer_count")
    tables = [_stage_table(context, stages)] + ([_move_table(moves, stages)] if moves is not None else [])
    return Section(
        key="stages",
        title="Where they stand",
        question="Who is new, loyal or on the way out, and where do they go from there?",
        findings=_findings(context, stages, moves),
        figures=(_figure(stages),),
        tables=tuple(tables),
    )


def _findings(context: Context, stages: pd.DataFrame, moves: pd.DataFrame | None) -> tuple[Markup, ...]:
    found = [
        _count_finding(stages, ("loyal", "growing"), "loyal or growing"),
        _count_finding(stages, LEAVING, "at risk or lapsed, measured by their own rhythm"),
        _next_finding(context, stages),
    ]
    if moves is not None:
        span = weeks(int(stages["step_days"].iloc[0]))
        found += [
            _move_finding(moves, "loyal", LEAVING, f"Of loyal customers, {{}} are at risk or lapsed {span} later."),
            _move_finding(moves, "at risk", IN_TOUCH, f"Of those at risk, {{}} are back {span} later."),
        ]
    return tuple(one for one in found if one is not None)


def _count_finding(stages: pd.DataFrame, names: tuple[str, ...], words: str) -> Markup | None:
    these = stages[stages["stage"].isin(names)]
    customers = int(these["customer_count"].sum())
    if not customers:
        return None
    return sentence(
        f"{{}} ({{}}) {verb(customers, 'is', 'are')} {words}; they brought {{}} of all revenue so far.",
        counted(customers, "customer"), percent(these["customer_share"].sum()),
        percent(these["total_amount_share"].sum(skipna=False)),
    )  # fmt: skip


def _next_finding(context: Context, stages: pd.DataFrame) -> Markup | None:
    """Hold what a loyal customer brings against what one at risk does."""
    rows = stages.set_index("stage")
    if not {"loyal", "at risk"} <= set(rows.index[rows["next_amount"].notna()]):
        return None
    loyal, risk = rows.loc["loyal"], rows.loc["at risk"]
    span = weeks(int(loyal["step_days"]))
    return sentence(
        f"A loyal customer brings {{}} in the {span} that follow ({_interval(context, loyal)}), "
        f"one at risk {{}} ({_interval(context, risk)}).",
        context.money(loyal["next_amount"]), context.money(risk["next_amount"]),
    )  # fmt: skip


def _interval(context: Context, row: pd.Series[Any]) -> str:
    return f"{context.money(row['next_amount_low'])} to {context.money(row['next_amount_high'])}"


def _move_finding(moves: pd.DataFrame, start: str, ends: tuple[str, ...], pattern: str) -> Markup | None:
    found = moves[(moves["from_stage"] == start) & moves["to_stage"].isin(ends)]["transition_probability"]
    return None if found.isna().any() else sentence(pattern, percent(found.astype(float).sum()))


def _figure(stages: pd.DataFrame) -> Figure:
    largest = stages.sort_values("customer_count", ascending=False, kind="stable").iloc[0]
    shares = [stages[name].astype(float).fillna(0.0).tolist() for name in ("customer_share", "total_amount_share")]
    return Figure(
        title="The stages of life",
        picture=bars(
            [str(name).capitalize() for name in stages["stage"]], shares, text=percent, colours=(5, 1),
            alt=f"Bars: share of customers and of revenue by stage of life. The largest stage is {largest['stage']}, "
            f"{percent(largest['customer_share'])} of the customers.",
        ),
        legend=LEGEND,
        note="A stage follows from each customer\u2019s own rhythm: who buys every week is at risk sooner than who "
        "buys twice a year.",
    )  # fmt: skip


def _stage_table(context: Context, stages: pd.DataFrame) -> Table:
    days = int(stages["step_days"].iloc[0])
    headings = ("Customers", f"Each brings in {weeks(days)}", "between", f"All bring in {weeks(4 * days)}")
    rows = []
    for row in stages.to_dict("records"):
        is_known = not is_missing(row["next_amount"])
        total = row["total_expected_amount"] if is_known else None
        between = f"{context.money(row['next_amount_low'])} \u2013 {context.money(row['next_amount_high'])}"
        rows.append((
            str(row["stage"]).capitalize(), MEANINGS.get(row["stage"], ""), count(row["customer_count"]),
            context.money(row["next_amount"]), between if is_known else MISSING, context.money(total),
        ))  # fmt: skip
    return Table(
        caption="The stages, and what customers in them bring",
        headings=(Heading("Stage"), Heading("They \u2026"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note="What customers in a stage brought afterwards, on average, with the range that holds the truth in 95 of "
        f"100 cases. All bring: the customers who are there now, over {weeks(4 * days)}, worth 10\u00a0% a year less "
        "the later it comes; new customers to come are not in it.",
    )


def _move_table(moves: pd.DataFrame, stages: pd.DataFrame) -> Table:
    span = weeks(int(stages["step_days"].iloc[0]))
    names = [str(name) for name in stages["stage"]]
    rows = []
    for name in names:
        of_stage = moves[moves["from_stage"] == name]
        shares = dict(zip(of_stage["to_stage"], of_stage["transition_probability"], strict=True))
        cells = [MISSING if is_missing(shares.get(to)) else Cell.of(shares[to]) for to in names]
        rows.append((name.capitalize(), count(of_stage["from_customer_count"].iloc[0]), *cells))
    return Table(
        caption=f"Of those in a stage, how many per cent are in which one {span} later?",
        headings=(
            Heading("From"),
            Heading("Customers seen", is_number=True),
            *(Heading(name.capitalize(), is_number=True) for name in names),
        ),
        rows=tuple(rows),
        note="Counted over the last steps that the data hold. Read a row from left to right; it adds up to 100.",
        folded=True,
    )
