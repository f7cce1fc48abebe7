"""Support: how much comes, how long customers wait, how they mark it, what they do afterwards, who waits now."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from crmlytics.report._charts import columns, falling
from crmlytics.report._revenue import incomplete, period_labels
from crmlytics.report._section import Card, Figure, Heading, Outline, Table
from crmlytics.report._words import (
    MISSING,
    between,
    caution,
    compact,
    count,
    counted,
    date,
    hours,
    is_missing,
    listed,
    percent,
    sentence,
    short,
    signed,
    verb,
    weeks,
)

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from crmlytics.report._context import Context

UNKNOWN = "(unknown)"
SURE = 0.05
LARGEST, MOST_WAITING, MOST_PERIODS = 10, 15, 24
KINDS = ("category", "priority", "channel")
DRIVERS = {
    "reply_hours": "the time to the first reply", "resolution_hours": "the time to resolution",
    "reopened": "being opened again", "category": "the category", "priority": "the priority", "channel": "the channel",
}  # fmt: skip
OUTCOMES = {
    "all": "Any ticket", "good": "A good ticket", "bad": "A bad ticket", "slow": "A slow ticket",
    "reopened": "A ticket opened again", "low mark": "A ticket with a low mark",
}  # fmt: skip
TRIED = {
    "better than last week": "closer than", "worse than last week": "further off than",
    "no clear difference from last week": "neither clearly closer nor clearly further off than",
}  # fmt: skip
MEASURES = {
    "ticket_count": "Tickets", "open_count": "Open", "first_reply_median_hours": "Half answered in",
    "reply_within_target_share": "Within {reply_target_hours}", "resolution_median_hours": "Half closed in",
    "resolution_within_target_share": "Within {resolution_target_hours}", "reopened_share": "Opened again",
    "satisfaction_mean": "Mark",
}  # fmt: skip
WRITE = {
    "ticket_count": count, "open_count": count, "first_reply_median_hours": hours, "resolution_median_hours": hours,
    "reply_within_target_share": percent, "resolution_within_target_share": percent, "reopened_share": percent,
    "satisfaction_mean": compact,
}  # fmt: skip


# -- cards ---------------------------------------------------------------------------------------------------------


def _volume_card(context: Context) -> Card | None:
    row = _all(context)
    if row is None:
        return None
    return Card("Tickets", compact(row["ticket_count"]), f"{count(row['open_count'])} of them open")


def _reply_card(context: Context) -> Card | None:
    row = _all(context, "first_reply_median_hours")
    if row is None or is_missing(row["first_reply_median_hours"]):
        return None
    return Card("First reply", hours(row["first_reply_median_hours"]), "by then half of them are answered")


def _resolution_card(context: Context) -> Card | None:
    row = _all(context)
    if row is None or is_missing(row["resolution_median_hours"]):
        return None
    return Card("Resolution", hours(row["resolution_median_hours"]), "by then half of them are closed")


def _mark_card(context: Context) -> Card | None:
    row = _all(context, "satisfaction_mean")
    if row is None or is_missing(row["satisfaction_mean"]):
        return None
    likely = between(compact, row["satisfaction_mean_low"], row["satisfaction_mean_high"])
    scale = f"of {compact(row['lowest_mark'])} to {compact(row['highest_mark'])}"
    note = f"{scale}, the mean of {count(row['mark_count'])} ({likely})"
    return Card("Mark", compact(row["satisfaction_mean"]), note)


# -- findings ------------------------------------------------------------------------------------------------------


def _time_finding(context: Context) -> Markup | None:
    row = _all(context)
    if row is None:
        return None
    closed = f"{{}} are closed within {hours(row['resolution_target_hours'])}"
    figures = [percent(row["resolution_within_target_share"])]
    if "reply_within_target_share" in row:
        closed = f"{{}} are answered within {hours(row['reply_target_hours'])}, {closed}"
        figures = [percent(row["reply_within_target_share"]), *figures]
    again = ""
    if "reopened_share" in row and not is_missing(row["reopened_share"]):
        again, figures = "; {} are opened again", [*figures, percent(row["reopened_share"])]
    return sentence(f"Of the tickets, {closed}{again}. Open ones count for as long as they have waited.", *figures)


def _doubt_finding(context: Context) -> str | None:
    """Tell what is doubtful in all that is said of tickets."""
    table = context.table("tickets", "caution")
    return None if table is None else caution(table) or None


def _mark_finding(context: Context) -> Markup | None:
    """Tell how many are satisfied, and what goes with it most."""
    marks, drivers = context.table("satisfaction", "satisfied_share"), context.table("satisfaction_drivers", "driver")
    if marks is None:
        return None
    row = marks.iloc[0]
    found = (
        f"{{}} of the marks are {compact(row['satisfied_from'])} or better; {percent(row['marked_share'])} of the "
        "closed tickets have one"
    )
    sure = None if drivers is None else drivers[drivers["adjusted_p_value"].astype(float) <= SURE]
    if sure is None or sure.empty:
        return sentence(f"{found}.", percent(row["satisfied_share"]))
    best = sure.iloc[0]
    return sentence(
        f"{found}. What goes with them most is {{}} ({percent(best['explained_share'])} of their differences): hard "
        "questions take long, too, so this is no cause.",
        percent(row["satisfied_share"]), DRIVERS[str(best["driver"])],
    )  # fmt: skip


def _outcome_finding(context: Context) -> Markup | None:
    """Tell what customers did after a bad ticket beside a good one."""
    table = context.table("ticket_outcomes", "kind", "comparison", "returned_share_difference", "horizon_days")
    found = None if table is None else table[(table["kind"] == "bad") & (table["comparison"] == "good ticket")]
    if found is None or found.empty or is_missing(found["returned_share_difference_low"].iloc[0]):
        return None
    row = found.iloc[0]
    low, high = row["returned_share_difference_low"], row["returned_share_difference_high"]
    figures = [percent(row["returned_share"]), percent(row["comparison_returned_share"])]
    span = weeks(int(row["horizon_days"]))
    text = (
        f"After a ticket gone bad by its target (slow, opened again or marked low), {{}} ordered within {span}; of "
        "customers alike after a good one, {}. "
    )
    points = f"{_points(low)} to {_points(high)} points"
    if low <= 0 <= high:
        return sentence(f"{text}The difference may be chance ({points}).", *figures)
    return sentence(f"{text}That is {{}} points ({points}) beyond chance.", *figures,
                    _points(row["returned_share_difference"]))  # fmt: skip


def _waiting_finding(context: Context) -> Markup | None:
    waiting = context.table("waiting", "urgency", "value_amount", "oldest_age_hours")
    if waiting is None or waiting.empty:
        return None
    late = waiting[waiting["urgency"].isin(["overdue", "late"])]
    text = f"{{}} {verb(len(waiting), 'has', 'have')} an open ticket, the oldest for {{}}"
    figures = [counted(len(waiting), "customer"), hours(waiting["oldest_age_hours"].max())]
    if waiting["urgency"].isna().all():  # none was ever closed
        return sentence(f"{text}.", *figures)
    if late.empty:
        return sentence(f"{text}: none for longer than three in four tickets alike were.", *figures)
    return sentence(
        f"{text}; {{}} of them for longer than three in four tickets alike were, with {{}} of revenue so far.",
        *figures, count(len(late)), context.money(late["value_amount"].sum()),
    )  # fmt: skip


def _workload_finding(context: Context) -> Markup | None:
    ahead = context.table("workload", "expected_count", "last_week_count", "verdict")
    if ahead is None:
        return None
    busiest = ahead.loc[ahead["expected_count"].astype(float).idxmax()]
    return sentence(
        f"In the next {counted(len(ahead), 'day')}, {{}} are expected, most on {{}}. Tried on the past, such forecasts "
        f"were {TRIED[ahead['verdict'].iloc[0]]} last week's numbers.",
        counted(ahead["expected_count"].sum(), "ticket"), _day(busiest["period_start"]),
    )  # fmt: skip


# -- figures -------------------------------------------------------------------------------------------------------


def _resolution_figure(context: Context) -> Figure | None:
    curves = context.table("resolution", "group", "time_hours", "waiting_share")
    if curves is None:
        return None
    groups = list(dict.fromkeys(curves["group"]))
    points = [
        list(zip(rows["time_hours"].astype(float), rows["waiting_share"].astype(float), strict=True))
        for rows in (curves[curves["group"] == name] for name in groups)
    ]
    numbers = list(range(1, len(groups) + 1))
    is_one = len(groups) == 1
    return Figure(
        title="How long tickets stay open" + ("" if is_one else f", by {curves['by'].iloc[0]}"),
        picture=falling(
            points, text=percent, names=("Hours since the ticket was opened", "Still open"), colours=numbers,
            alt="Share of tickets still open by hours since they were opened"
            + ("." if is_one else f", for {listed([str(name) for name in groups])}."),
        ),
        legend=() if is_one else tuple(zip(numbers, map(str, groups), strict=True)),
        note="Open tickets count for as long as they have waited: an average of the closed ones would be too short.",
    )  # fmt: skip


def _backlog_figure(context: Context) -> Figure | None:
    backlog = context.table("backlog", "period_start", "backlog_end_count", "is_complete")
    if backlog is None:
        return None
    shown = backlog.tail(MOST_PERIODS).reset_index(drop=True)
    left = shown["backlog_end_count"].astype(float).tolist()
    return Figure(
        title="Tickets open at the end of each period",
        picture=columns(
            period_labels(shown), [left], text=short, faded=incomplete(shown),
            alt=f"Open tickets at the end of {len(shown)} periods, at last {count(left[-1])}.",
        ),
        note="The first period of the data begins with none. Pale: not a whole period.",
    )  # fmt: skip


# -- tables --------------------------------------------------------------------------------------------------------


def _waiting_table(context: Context) -> Table | None:
    waiting = context.table("waiting", "customer_id", "urgency", "reason", "rank", "value_amount")
    if waiting is None or waiting.empty:
        return None
    rows = [
        (
            str(row["customer_id"]), str(row["ticket_id"]),
            MISSING if is_missing(row["urgency"]) else str(row["urgency"]).capitalize(),
            context.money(row["value_amount"]), _sentence_case(str(row["reason"])),
        )
        for row in waiting.sort_values("rank").head(MOST_WAITING).to_dict("records")
    ]  # fmt: skip
    more = len(waiting) - len(rows)
    return Table(
        caption="Who waits, the most urgent first",
        headings=(
            Heading("Customer"), Heading("Ticket"), Heading("Urgency"), Heading("Revenue so far", is_number=True),
            Heading("Why"),
        ),
        rows=tuple(rows),
        note=(f"The first {count(len(rows))}; {count(more)} more wait. " if more > 0 else "")
        + "Urgent is whose ticket is open for longer than others alike; it is no chance to lose the customer.",
    )  # fmt: skip


def _kind_table(context: Context, by: str) -> Table | None:
    groups = context.table("ticket_groups", "by", "group", "ticket_count", "resolution_median_hours")
    rows_of = None if groups is None else groups[groups["by"] == by]
    if rows_of is None or rows_of.empty:
        return None
    shown = rows_of.sort_values("ticket_count", ascending=False, kind="stable").head(LARGEST)
    targets = {name: hours(value) for name, value in shown.iloc[0].items() if str(name).endswith("_target_hours")}
    told = {name: heading.format(**targets) for name, heading in MEASURES.items() if name in shown}
    rows = [
        (str(row["group"]), *(WRITE[name](row[name]) for name in told)) for row in shown.to_dict("records")
    ]  # fmt: skip
    more = len(rows_of) - len(rows)
    return Table(
        caption=f"Tickets by {by}",
        headings=(Heading(by.capitalize()), *(Heading(text, is_number=True) for text in told.values())),
        rows=tuple(rows),
        note=(f"The {LARGEST} largest; {count(more)} more are not shown. " if more > 0 else "") + caution(shown),
        folded=by != "category",
    )


def _outcome_table(context: Context) -> Table | None:
    table = context.table("ticket_outcomes", "kind", "comparison", "returned_share", "horizon_days")
    if table is None or table["returned_share"].isna().all():
        return None
    rows = [
        (
            OUTCOMES.get(str(row["kind"]), str(row["kind"])), str(row["comparison"]).capitalize(),
            count(row["matched_count"]), percent(row["returned_share"]), percent(row["comparison_returned_share"]),
            between(_points, row["returned_share_difference_low"], row["returned_share_difference_high"]),
            signed(context.money, row["revenue_amount_difference"]),
            between(
                partial(signed, context.money),
                row["revenue_amount_difference_low"], row["revenue_amount_difference_high"],
            ),
        )
        for row in table.to_dict("records")
    ]  # fmt: skip
    headings = ("Tickets", "Ordered", "Compared", "Points, between", "Revenue a ticket", "between")
    return Table(
        caption=f"What customers did in the {weeks(int(table['horizon_days'].iloc[0]))} after a ticket",
        headings=(Heading("After"), Heading("Beside"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note="Beside customers who were alike until then. Who asks is still a customer, so even a good ticket looks as "
        "if it kept them: read a bad one beside a good one. This is association, not effect.",
        folded=True,
    )


def _driver_table(context: Context) -> Table | None:
    drivers = context.table("satisfaction_drivers", "driver", "level", "mark_difference", "explained_share")
    if drivers is None:
        return None
    rows = []
    for row in drivers.head(LARGEST).to_dict("records"):
        level = "" if is_missing(row["level"]) else f": {row['level']}"
        rows.append((
            _sentence_case(DRIVERS[row["driver"]].removeprefix("the "))[:-1] + level, str(row["compared"]),
            signed(compact, row["mark_difference"]),
            between(lambda value: signed(compact, value), row["mark_difference_low"], row["mark_difference_high"]),
            percent(row["explained_share"]),
        ))  # fmt: skip
    headings = ("Marks", "between", "Explains")
    return Table(
        caption="What goes with high and low marks, other things equal",
        headings=(Heading("What"), Heading("Compared"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note=caution(drivers),
        folded=True,
    )


def _workload_table(context: Context) -> Table | None:
    ahead = context.table("workload", "period_start", "expected_count", "last_week_count")
    if ahead is None:
        return None
    rows = [
        (
            _day(row["period_start"]), compact(row["expected_count"]),
            between(count, row["expected_count_low"], row["expected_count_high"]), count(row["last_week_count"]),
        )
        for row in ahead.to_dict("records")
    ]  # fmt: skip
    return Table(
        caption="Tickets to come",
        headings=(
            Heading("Day"),
            *(Heading(text, is_number=True) for text in ("Expected", "between", "Same weekday last week")),
        ),
        rows=tuple(rows),
        note="The level of the last weeks, as the weekdays share it: it knows no holidays and no launches.",
        folded=True,
    )


# -- inside --------------------------------------------------------------------------------------------------------


def _all(context: Context, *needed: str) -> pd.Series[float] | None:
    table = context.table("tickets", "ticket_count", "open_count", "resolution_median_hours", *needed)
    return None if table is None or table.empty else table.iloc[0]


def _day(moment: pd.Timestamp) -> str:
    return f"{moment.day_name()} {date(moment)}"


def _points(share: float) -> str:
    return signed(compact, round(100 * share, 1))


def _sentence_case(text: str) -> str:
    return text[:1].upper() + text[1:] + "."


build = Outline(
    key="support",
    title="Support",
    question="How long do customers wait, how satisfied are they, and what do they do afterwards?",
    cards=(_volume_card, _reply_card, _resolution_card, _mark_card),
    findings=(_doubt_finding, _time_finding, _waiting_finding, _mark_finding, _outcome_finding, _workload_finding),
    figures=(_resolution_figure, _backlog_figure),
    tables=(
        _waiting_table, *(partial(_kind_table, by=by) for by in KINDS), _outcome_table, _driver_table, _workload_table,
    ),
).build  # fmt: skip
