"""Where the revenue comes from: periods, kinds and movements of customers, cohorts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics.report._charts import columns
from crmlytics.report._section import Cell, Figure, Heading, Section, Table
from crmlytics.report._words import change, compact, count, counted, month, percent, sentence, short

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd
    from markupsafe import Markup

    from crmlytics.report._context import Context

PERIOD_COLUMNS = ("period_start", "period_end", "is_complete", "total_amount")
SPANS = {"week": (52, 4), "month": (12, 3), "quarter": (4, 1), "year": (1, 1)}  # periods in a year, and in a while


def build(context: Context) -> Section | None:
    """Write the section from whatever tables of revenue are there."""
    figures = [figure for draw in FIGURES if (figure := draw(context)) is not None]
    tables = [table for make in TABLES if (table := make(context)) is not None]
    if not figures and not tables:
        return None
    findings = [found for tell in FINDINGS if (found := tell(context)) is not None]
    return Section(
        key="revenue",
        title="The revenue",
        question="Where does the revenue come from, and is it growing?",
        findings=tuple(findings),
        figures=tuple(figures),
        tables=tuple(tables),
    )


def trend_sentence(context: Context) -> Markup | None:
    """Compare the latest complete periods with as many before them: a year with a year where the data allow it."""
    kpis = context.table("kpis", *PERIOD_COLUMNS)
    if kpis is None:
        return None
    whole = kpis[kpis["is_complete"].astype(bool)]["total_amount"].astype(float).to_numpy()
    noun = period_noun(kpis)
    a_year, a_while = SPANS[noun]
    span = a_year if len(whole) >= 2 * a_year else min(a_while, len(whole) // 2)
    if span < 1 or not whole[-2 * span : -span].sum() > 0:
        return None
    latest, before = whole[-span:].sum(), whole[-2 * span : -span].sum()
    last, earlier = (f"{count(span)} complete {noun}s", count(span)) if span > 1 else (f"complete {noun}", "one")
    season = "" if span == a_year else " (seasons are not taken out)"
    return sentence(
        f"The last {last} brought {{}}, {{}} on the {earlier} before{season}.",
        context.money(latest), change(latest / before - 1),
    )  # fmt: skip


def period_noun(table: pd.DataFrame) -> str:
    """Tell what the periods of a table are: "week", "month", "quarter" or "year"."""
    days = (table["period_end"].iloc[0] - table["period_start"].iloc[0]).days
    return next(noun for least, noun in ((300, "year"), (80, "quarter"), (20, "month"), (0, "week")) if days >= least)


def period_labels(table: pd.DataFrame) -> list[str]:
    """Write the beginnings of periods in the room under a column."""
    noun = period_noun(table)
    return [_period_label(start, noun) for start in table["period_start"]]


def _period_label(start: dt.datetime, noun: str) -> str:
    match noun:
        case "year":
            return str(start.year)
        case "quarter":
            return f"Q{(start.month + 2) // 3}\u00a0\u2019{start.year % 100:02d}"
        case "month":
            return f"{month(start, year=False)}\u00a0\u2019{start.year % 100:02d}"
        case _:
            return f"{start.day}\u00a0{month(start, year=False)}"


def incomplete(table: pd.DataFrame) -> list[int]:
    """Return the places of periods that the data do not cover."""
    return [i for i, whole in enumerate(table["is_complete"]) if not whole]


def _period_figure(context: Context) -> Figure | None:
    kpis = context.table("kpis", *PERIOD_COLUMNS)
    if kpis is None or len(kpis) < 2:
        return None
    noun = period_noun(kpis)
    amounts = [float(value) for value in kpis["total_amount"]]
    best = max(range(len(amounts)), key=amounts.__getitem__)
    labels = period_labels(kpis)
    kinds = _kinds(context, kpis)
    pale = " Pale: not a whole " + noun + " in the data." if incomplete(kpis) else ""
    return Figure(
        title=f"Revenue by {noun}" + (", and from whom" if kinds else ""),
        picture=columns(
            labels, list(kinds.values()) or [amounts], text=short, faded=incomplete(kpis),
            colours=[KINDS[kind][0] for kind in kinds] or (1,),
            alt=f"Columns: revenue of {counted(len(kpis), noun)}; the highest is {labels[best]} with "
            f"{context.money(amounts[best])}.",
        ),
        legend=tuple(KINDS[kind] for kind in kinds),
        note=f"The best {noun} was {labels[best]} with {context.money(amounts[best])}.{pale}",
    )  # fmt: skip


def _kinds(context: Context, kpis: pd.DataFrame) -> dict[str, list[float]]:
    """Return the revenue of each period by the kind of customer; kinds that brought nothing are not there."""
    table = context.table("composition", "period_start", "kind", "total_amount")
    if table is None:
        return {}
    by_kind = {kind: rows.set_index("period_start")["total_amount"] for kind, rows in table.groupby("kind")}
    amounts = {
        kind: by_kind[kind].reindex(kpis["period_start"]).astype(float).fillna(0.0).tolist()
        for kind in KINDS if kind in by_kind
    }  # fmt: skip
    return {kind: values for kind, values in amounts.items() if any(values)}


def _kind_finding(context: Context) -> Markup | None:
    """Tell from whom the revenue of the last whole period came."""
    table = context.table("composition", "period_start", "period_end", "is_complete", "kind", "amount_share")
    whole = None if table is None else table[table["is_complete"].astype(bool)]
    if whole is None or whole["period_start"].nunique() < 2:  # in the first everybody is new
        return None
    last = whole[whole["period_start"] == whole["period_start"].max()]
    shares = last.set_index("kind")["amount_share"]
    noun = period_noun(last)
    return sentence(
        f"In {period_labels(last)[0]}, {{}} of revenue came from customers who had ordered in the {noun} before too, "
        "{} from customers back after a pause and {} from new ones.",
        percent(shares.get("retained")), percent(shares.get("reactivated")), percent(shares.get("new")),
    )  # fmt: skip


def _movement_figure(context: Context) -> Figure | None:
    table = _movements(context)
    if table is None:
        return None
    noun = period_noun(table)
    labels = period_labels(table)
    series = [table[name].astype(float).tolist() for name in MOVEMENTS]
    return Figure(
        title=f"What changed from {noun} to {noun}",
        picture=columns(
            labels, series, text=short, colours=tuple(colour for colour, _ in MOVEMENTS.values()),
            faded=incomplete(table),
            alt=f"Stacked columns: change of revenue from {noun} to {noun} by new customers, customers back after a "
            f"pause, customers who bought more or less, and customers who stayed away, {labels[0]} to {labels[-1]}.",
        ),
        legend=tuple(MOVEMENTS.values()),
        note=f"Each column adds up to the change of revenue. Stayed away: bought in the {noun} before and not in this "
        "one; many of them come back later.",
    )  # fmt: skip


def _movement_finding(context: Context) -> Markup | None:
    table = _movements(context)
    whole = None if table is None else table[_follows_a_whole_one(table)]
    if whole is None or whole.empty:
        return None
    last = whole.iloc[-1]
    same = float(last["expansion_amount"]) + float(last["contraction_amount"])
    return sentence(
        "{}: revenue changed by {} on the " + period_noun(whole) + " before. New customers brought {}, customers back "
        "after a pause {}, those who bought in both {}, and {} went with those who stayed away.",
        period_labels(whole)[-1], _signed(context, last["amount_change"]), _signed(context, last["new_amount"]),
        _signed(context, last["reactivated_amount"]), _signed(context, same), _signed(context, last["lost_amount"]),
    )  # fmt: skip


def _movements(context: Context) -> pd.DataFrame | None:
    """Return the movements without the first period, in which everybody is new."""
    table = context.table("movements", *PERIOD_COLUMNS, "amount_change", *MOVEMENTS)
    return None if table is None or len(table) < 2 else table.iloc[1:].reset_index(drop=True)


def _follows_a_whole_one(table: pd.DataFrame) -> pd.Series[bool]:
    whole = table["is_complete"].astype(bool)
    return whole & whole.shift(1, fill_value=False)


def _signed(context: Context, value: float) -> str:
    return ("+" if value > 0 else "") + context.money(value)


def _cohort_table(context: Context) -> Table | None:
    cells = _cohort_cells(context)
    if cells is None:
        return None
    noun = period_noun(cells)
    kept = cells["cohort_start"].drop_duplicates().tail(MOST_COHORTS)
    cells = cells[cells["cohort_start"].isin(kept)]
    numbers = list(range(1, int(cells["period_number"].max()) + 1))
    most = max(float(cells["retained_share"].max()), 1e-9)
    rows = []
    for start, cohort in cells.groupby("cohort_start", sort=True):
        found = dict(zip(cohort["period_number"], cohort["retained_share"], strict=True))
        shares = [Cell(_bare_percent(found[n]), _level(found[n] / most)) if n in found else "" for n in numbers]
        rows.append((_period_label(start, noun), count(cohort["cohort_customer_count"].iloc[0]), *shares))
    return Table(
        caption=f"Of those who first ordered in a {noun}, how many per cent ordered again in the {noun}s after?",
        headings=(
            Heading("First order"),
            Heading("Customers", is_number=True),
            *(Heading(f"+{n}", is_number=True) for n in numbers),
        ),
        rows=tuple(rows),
        note=f"Read a row from left to right: +1 is the {noun} after the first order. The first rows also hold "
        "customers who bought before the data begin.",
    )


def _cohort_finding(context: Context) -> Markup | None:
    cells = _cohort_cells(context)
    if cells is None:
        return None
    noun = period_noun(cells)
    cells = cells[cells["cohort_start"] > cells["cohort_start"].min()]  # in the first, old customers look new
    shares = {}
    for number in (1, 3, 6):
        of_number = cells[cells["period_number"] == number]
        if len(of_number):
            shares[number] = of_number["customer_count"].sum() / of_number["cohort_customer_count"].sum()
    later = [number for number in shares if number > 1]
    if 1 not in shares or not later:
        return None
    return sentence(
        f"{{}} of new customers order again in the {noun} after their first order, {{}} in the {ORDINALS[later[-1]]} "
        f"{noun} after it (without those of the first {noun}, who may have bought before the data begin).",
        percent(shares[1]), percent(shares[later[-1]]),
    )  # fmt: skip


def _cohort_cells(context: Context) -> pd.DataFrame | None:
    """Return the cells of periods that are over, without the first ones, in which everybody ordered."""
    table = context.table("cohorts", *COHORT_COLUMNS)
    if table is None:
        return None
    over = table[(table["period_number"] >= 1) & (table["period_end"] <= context.as_of)]
    recent = over[over["period_number"] <= MOST_COHORTS]
    return recent if len(recent["cohort_start"].unique()) > 1 else None


def _level(share: float) -> int:
    return min(9, max(1, round(share * 9))) if share > 0 else 0


def _bare_percent(share: float) -> str:
    return f"{100 * share:.0f}"


def _period_table(context: Context) -> Table | None:
    kpis = context.table("kpis", *PERIOD_COLUMNS)
    if kpis is None:
        return None
    shown = {
        "total_amount": ("Revenue", context.money),
        "customer_count": ("Customers", count),
        "new_customer_count": ("New", count),
        "order_count": ("Orders", count),
        "average_order_amount": ("Average order", context.money),
        "days_between_orders": ("Days between orders", compact),
    }
    shown = {name: value for name, value in shown.items() if name in kpis.columns}
    noun = period_noun(kpis)
    rows = []
    for label, row in zip(period_labels(kpis), kpis.to_dict("records"), strict=True):
        star = "" if row["is_complete"] else "\u00a0*"
        rows.append((label + star, *(write(row[name]) for name, (_, write) in shown.items())))
    return Table(
        caption=f"The figures of every {noun}",
        headings=(Heading(noun.capitalize()), *(Heading(text, is_number=True) for text, _ in shown.values())),
        rows=tuple(rows),
        note=f"* not a whole {noun} in the data." if incomplete(kpis) else "",
        folded=len(rows) > MOST_COHORTS,
    )


MOST_COHORTS = 12
COHORT_COLUMNS = (
    "cohort_start", "period_number", "period_start", "period_end", "cohort_customer_count", "customer_count",
    "retained_share",
)  # fmt: skip
ORDINALS = {3: "third", 6: "sixth"}
KINDS = {
    "retained": (3, "Customers of the time before"),
    "reactivated": (6, "Back after a pause"),
    "new": (1, "New"),
    "returns": (4, "Returns only"),
}
MOVEMENTS = {
    "new_amount": (1, "New customers"),
    "reactivated_amount": (6, "Back after a pause"),
    "expansion_amount": (3, "Bought more"),
    "contraction_amount": (2, "Bought less"),
    "lost_amount": (4, "Stayed away"),
}
FINDINGS = (trend_sentence, _kind_finding, _movement_finding, _cohort_finding)
FIGURES = (_period_figure, _movement_figure)
TABLES = (_cohort_table, _period_table)
