"""How far to trust it: what was received, kept and set aside, and how the forecasts did on the past."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics.report._section import Heading, Section, Table
from crmlytics.report._words import compact, count, counted, listed, percent, sentence, verb

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from crmlytics.report._context import Context

OUTSIDE = "outside the period"
EVALUATION = ("name", "value", "meaning")
NOTES = ("part", "outcome", "reason")
MOST_REASONS = 3
FAR_OFF = 0.2  # of what came


def build(context: Context) -> Section | None:
    """Write the section from the contract's audit and the scorecard's back-test."""
    audit, evaluation = context.table("audit"), context.table("evaluation", *EVALUATION)
    notes = context.table("notes", *NOTES)
    if audit is None and evaluation is None and notes is None:
        return None
    findings: list[str] = []
    tables = []
    if audit is not None:
        findings += _audit_findings(context, audit)
        tables.append(_audit_table(context, audit))
    if evaluation is not None and len(evaluation):
        findings += _trial_findings(context)
        tables.append(_evaluation_table(context, evaluation))
    if notes is not None:
        findings.append(_note_finding(notes))
        tables.append(_note_table(notes))
    return Section(
        key="trust",
        title="How far to trust it",
        question="What was counted, what was set aside, and how sure is it?",
        findings=tuple(findings),
        tables=tuple(tables),
    )


def caution_sentence(context: Context) -> Markup | None:
    """Warn where the forecast of revenue, tried on the past, was far off."""
    trial = _trial(context, "revenue_amount")
    if trial is None or abs(trial[0] / trial[1] - 1) < FAR_OFF:
        return None
    return sentence(
        f"Take the forecasts with caution: tried on the last {context.horizon}, they were {{}}.", _off(*trial)
    )


def _trial_findings(context: Context) -> list[Markup]:
    """Say in a sentence what the back-test found."""
    found = []
    buyers, revenue = _trial(context, "buyer_share"), _trial(context, "revenue_amount")
    if buyers is not None:
        found.append(
            sentence(
                f"Tried on the last {context.horizon}: {{}} of the customers were expected to buy, {{}} did.",
                percent(buyers[0]), percent(buyers[1]),
            )
        )  # fmt: skip
    if revenue is not None:
        found.append(
            sentence(
                "They were expected to bring {} and brought {}: the forecast was {}.",
                context.money(revenue[0]), context.money(revenue[1]), _off(*revenue),
            )
        )  # fmt: skip
    return found


def _trial(context: Context, kind: str) -> tuple[float, float] | None:
    """Return what the back-test expected and what happened, where it says so."""
    evaluation = context.table("evaluation", *EVALUATION)
    if evaluation is None:
        return None
    value = dict(zip(evaluation["name"], evaluation["value"], strict=True))
    expected, actual = value.get(f"expected_{kind}"), value.get(f"actual_{kind}")
    return None if expected is None or actual is None or not actual > 0 else (float(expected), float(actual))


def _off(expected: float, actual: float) -> str:
    error = expected / actual - 1
    return f"{percent(abs(error))} too {'high' if error > 0 else 'low'}"


def _audit_findings(context: Context, audit: pd.DataFrame) -> list[Markup]:
    received, kept = audit["lines"].iloc[0], audit["lines"].iloc[1]
    aside = audit[(audit["outcome"] == "set aside") & (audit["lines"] > 0)]
    if aside.empty:
        return [sentence("All {} were usable; nothing was set aside.", counted(received, "line"))]
    money = "" if audit["amount"].isna().all() else f" ({context.money(audit['amount'].iloc[1])})"
    found = [
        sentence(
            f"Of {{}} received, {{}} {verb(kept, 'was', 'were')} kept{{}}: {{}}.",
            counted(received, "line"), count(kept), money, percent(kept / received),
        )
    ]  # fmt: skip
    mostly = ", mostly" if len(aside) > MOST_REASONS else ""
    most = aside.sort_values("lines", ascending=False).head(MOST_REASONS)
    reasons = [
        f"{_in_words(reason)} ({count(lines)})" for reason, lines in zip(most["reason"], most["lines"], strict=True)
    ]
    found.append(sentence(f"{{}} were set aside{mostly}: {listed(reasons)}.", counted(received - kept, "line")))
    return found


def _audit_table(context: Context, audit: pd.DataFrame) -> Table:
    received = audit["lines"].iloc[0]
    has_amount = bool(audit["amount"].notna().any())
    headings = [Heading("Lines"), Heading("Number", is_number=True), Heading("Share", is_number=True)]
    headings += [Heading("Amount", is_number=True)] if has_amount else []
    rows = []
    for row in audit[(audit["lines"] > 0) | (audit["outcome"] != "set aside")].to_dict("records"):
        cells = [_label(row), count(row["lines"]), percent(row["lines"] / received)]
        rows.append((*cells, context.money(row["amount"])) if has_amount else tuple(cells))
    return Table(
        caption="Every line received is accounted for",
        headings=tuple(headings),
        rows=tuple(rows),
        note="Received = kept + set aside. A line is set aside for the first reason that fits.",
    )


def _note_finding(notes: pd.DataFrame) -> Markup:
    left_out = int((notes["outcome"] == "left out").sum())
    careful = len(notes) - left_out
    told = [f"{{}} of this page {verb(left_out, 'is', 'are')} left out"] if left_out else []
    told += [f"{{}} {verb(careful, 'is', 'are')} to be read with caution"] if careful else []
    figures = [counted(left_out, "part")] if left_out else []
    figures += [counted(careful, "part") if not left_out else count(careful)] if careful else []
    return sentence(f"{' and '.join(told)}: the last table says why.", *figures)


def _note_table(notes: pd.DataFrame) -> Table:
    return Table(
        caption="What is missing, or to be read with caution",
        headings=(Heading("Part"), Heading("Is"), Heading("Because")),
        rows=tuple((str(row["part"]), str(row["outcome"]), str(row["reason"])) for row in notes.to_dict("records")),
    )


def _label(row: dict[str, str]) -> str:
    if row["outcome"] == "set aside":
        return f"Set aside: {_in_words(row['reason'])}"
    return row["reason"].capitalize() if row["outcome"] in {"received", "kept"} else f"Kept: {row['reason']}"


def _in_words(reason: str) -> str:
    return "on or after the date of this report" if reason == OUTSIDE else reason


def _evaluation_table(context: Context, evaluation: pd.DataFrame) -> Table:
    rows = [
        (_readable(str(name)), _value(context, str(name), value), str(meaning))
        for name, value, meaning in zip(
            evaluation["name"], evaluation["value"], evaluation["meaning"], strict=True
        )
    ]  # fmt: skip
    return Table(
        caption="How the forecasts did on the past",
        headings=(Heading("Figure"), Heading("Value", is_number=True), Heading("What it means")),
        rows=tuple(rows),
    )


def _readable(name: str) -> str:
    words = name.replace("_", " ").capitalize()
    return words.removesuffix("auc") + "(AUC)" if words.endswith(" auc") else words


def _value(context: Context, name: str, value: object) -> str:
    if not isinstance(value, (int, float)):
        return str(value)
    if name.endswith("_amount"):
        return context.money(value)
    is_share = name.endswith(("_share", "_probability", "_rate"))
    return percent(value) if is_share else compact(value)
