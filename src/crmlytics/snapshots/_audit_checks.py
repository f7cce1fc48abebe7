"""Leaks that a panel gives away by itself: what knows the outcome too well, or speaks of a day after the cutoff."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from crmlytics.snapshots._audit_panel import DAY, ERROR, MOMENT, NUMBER, PASSED, WARNING, WORD, Feature, Finding, Panel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PERFECT, TOO_GOOD, STEP, FAIR = 0.95, 0.8, 0.1, 0.75  # AUC of one column alone
BINS = 32  # of a number, by its quantiles, at the most
LEAST_ROWS = 20
ROWS_A_BIN = 100
CHANCE = 1e-6  # below it a level of one outcome is no accident
LARGE_SHARE = 0.05  # of a class that a level holds
FEW_LEVELS = 20
COPIES = 0.05  # of the rows of a table without a key: fewer may be alike by chance
RECENCY = re.compile(r"recency|days_since", re.IGNORECASE)
DAYS = re.compile(r"_days$|recency|days_since", re.IGNORECASE)
ORDERS = re.compile(
    r"order|purchase|recency|frequency|monetary|spen[dt]|revenue|total_amount|days_since", re.IGNORECASE
)  # what moves from cutoff to cutoff if anything does
FIXED = re.compile(r"first|initial|acquisition|signup", re.IGNORECASE)
WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
LATE_WORDS = {
    "future", "outcome", "today", "now", "current", "final", "latest", "closed", "cancelled", "canceled", "converted",
    "churned", "lost", "reason", "next",
}  # fmt: skip


def near_perfect(panel: Panel) -> list[Finding]:
    """Look for columns that tell the outcome alone."""
    alone = {feature.name: auc_alone(feature, panel) for feature in panel.features}
    ranked = sorted(alone, key=lambda name: (-alone[name], name))
    if not ranked:
        return []
    second = alone[ranked[1]] if len(ranked) > 1 else 0.5
    findings = []
    for name in ranked:
        value, stands_out = alone[name], name == ranked[0] and alone[name] - second >= STEP
        if value < TOO_GOOD and not (stands_out and value >= FAIR):
            continue
        evidence = f"alone it tells the outcome with AUC {value:.3f}" + (
            f"; the next best column has {second:.3f}" if name == ranked[0] and len(ranked) > 1 else ""
        )
        repair = f"Ask when {name!r} is filled in. If at or after the cutoff: drop it, or compute it from lines before."
        severity = ERROR if value >= PERFECT else WARNING
        findings.append(Finding("near-perfect feature", severity, name, evidence, repair))
    best = f"the best column alone is {ranked[0]!r} with AUC {alone[ranked[0]]:.3f}"
    return findings or [Finding("near-perfect feature", PASSED, None, best, "")]


def auc_alone(feature: Feature, panel: Panel) -> float:
    """Return the AUC of one column by itself, whatever its shape.

    Its levels (quantile bins, words, missing) are scored by their mean outcome. Those of few rows are one level, so ids
    tell nothing. A number without gaps is also taken as the score, either way round.
    """
    from crmlytics._kernels.classification import auc

    levels = _levels(feature)
    total = np.bincount(levels)
    levels = np.where(total[levels] < LEAST_ROWS, len(total), levels)
    total, positive = np.bincount(levels), np.bincount(levels, panel.outcome)
    alone = auc(panel.outcome, (positive / np.maximum(total, 1))[levels])
    if feature.kind == NUMBER and not feature.missing.any():
        straight = auc(panel.outcome, feature.values)
        alone = max(alone, straight, 1 - straight)
    return alone


def telling_levels(panel: Panel) -> list[Finding]:
    """Look for values, and for gaps, with which only one outcome occurs."""
    findings = []
    rare = bool(panel.outcome.mean() < 0.5)
    for feature in panel.features:
        for label, rows in _states(feature):
            findings += _telling(feature, label, rows, panel.outcome == rare)
    return findings or [Finding("telling value", PASSED, None, "no value and no gap decides the outcome", "")]


def _states(feature: Feature) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Yield what a column may say: that it is missing, that it is not, and each of its few values."""
    missing = feature.missing
    if missing.any():
        yield "missing", missing
        yield "filled in", ~missing
    values = np.unique(feature.values[~missing])
    if feature.kind == MOMENT or not 2 <= len(values) <= FEW_LEVELS:
        return
    for value in values:
        yield repr(feature.levels[value] if feature.kind == WORD else float(value)), feature.values == value


def _telling(feature: Feature, label: str, rows: NDArray[np.bool_], rare: NDArray[np.bool_]) -> list[Finding]:
    """Judge a state of a column; the rarer outcome is the one that fields are filled in for afterwards."""
    count, hits, rate = int(rows.sum()), int(rare[rows].sum()), float(rare.mean())
    if count < LEAST_ROWS or hits not in ({count} if feature.kind == NUMBER and label[0] != "m" else {0, count}):
        return []
    chance = (rate if hits else 1 - rate) ** count
    if chance >= CHANCE:
        return []
    is_leak = bool(hits) and count >= LARGE_SHARE * rare.sum()
    evidence = f"all {count:,} rows where it is {label} have the {'rarer' if hits else 'more frequent'} outcome"
    repair = (
        f"{feature.name!r} is probably filled in when the outcome is known: drop it, or read it as of the cutoff."
        if is_leak
        else f"Ask whether {feature.name!r} is set before the cutoff; keep it if it is."
    )
    return [Finding("telling value", ERROR if is_leak else WARNING, feature.name, evidence, repair)]


def dated_later(panel: Panel) -> list[Finding]:
    """Look for dates at or after the cutoff, and for days that count backwards from one."""
    findings = []
    for feature in panel.features:
        late = np.zeros(0, bool)
        if feature.kind == MOMENT and panel.cutoff is not None:
            late = feature.values >= panel.cutoff
            what = "values lie at or after the cutoff of their row"
        elif feature.kind == NUMBER and DAYS.search(feature.name):
            late = feature.values < 0
            what = "values are below zero: days from a date after the cutoff"
        if late.any():
            repair = f"Read {feature.name!r} as of the cutoff: only what was recorded strictly before it."
            evidence = f"{int(late.sum()):,} of {int((~feature.missing).sum()):,} {what}"
            findings.append(Finding("dated after the cutoff", ERROR, feature.name, evidence, repair))
    return findings or [Finding("dated after the cutoff", PASSED, None, "no date lies at or after its cutoff", "")]


def cutoff_day(panel: Panel) -> list[Finding]:
    """Look for recencies of zero days: strictly before a midnight, the least is one."""
    if panel.cutoff is None or (panel.cutoff != panel.cutoff.astype("datetime64[D]")).any():
        return []
    findings = []
    for feature in panel.features:
        if feature.kind != NUMBER or not RECENCY.search(feature.name):
            continue
        today = feature.values == 0
        if today.any():
            rate = panel.outcome[today].mean()
            evidence = (
                f"{int(today.sum()):,} rows have 0 days, so the cutoff day is read; "
                f"{rate:.0%} of them have the outcome, of all rows {panel.outcome.mean():.0%}"
            )
            repair = "Keep lines with timestamp < cutoff (a date is the midnight that begins it), not <=."
            findings.append(Finding("cutoff day", ERROR, feature.name, evidence, repair))
    return findings


def same_at_every_cutoff(panel: Panel) -> list[Finding]:
    """Look for columns that no cutoff changes, though activity does: those of one day, such as that of the export."""
    if panel.cutoff is None:
        return []
    order = np.lexsort((panel.cutoff, panel.customer))
    pairs = panel.customer[order][1:] == panel.customer[order][:-1]
    findings: list[Finding] = []
    if pairs.sum() < LEAST_ROWS:
        return findings
    for feature in panel.features:
        if feature.is_constant or FIXED.search(feature.name) or (_steps(feature, order) & pairs).any():
            continue
        moves = feature.kind == NUMBER and ORDERS.search(feature.name)
        evidence = f"the same for a customer at every cutoff ({int(pairs.sum()):,} pairs of cutoffs)"
        repair = (
            f"Compute {feature.name!r} anew at each cutoff, from lines before it."
            if moves
            else f"If {feature.name!r} can change, read it as of the cutoff: Customers(..., valid_from=...)."
        )
        findings.append(Finding("as of today", ERROR if moves else WARNING, feature.name, evidence, repair))
    return findings


def telling_names(panel: Panel) -> list[Finding]:
    """Look for names that speak of the end of the story."""
    findings = []
    for feature in panel.features:
        found = sorted(LATE_WORDS & {word.lower() for word in WORDS.findall(feature.name)})
        if found:
            evidence = f"its name says {found[0]!r}"
            repair = f"Make sure that {feature.name!r} was known strictly before the cutoff; else drop it."
            findings.append(Finding("as of today", WARNING, feature.name, evidence, repair))
    return findings


def identical_rows(panel: Panel) -> list[Finding]:
    """Look for copies of rows, which random folds put on both sides."""
    if not panel.features:
        return []
    has_key = len(panel.ids) > 0
    columns = [np.unique(feature.values, return_inverse=True)[1] for feature in panel.features]
    columns += [panel.customer] if has_key else []
    columns += [] if panel.cutoff is None else [panel.cutoff.astype(np.int64)]
    rows = np.column_stack([*columns, panel.outcome])
    copies = len(rows) - len(np.unique(rows, axis=0))
    evidence = (
        f"{copies:,} of {len(rows):,} rows repeat another in {'the key, ' if has_key else ''}features and outcome"
    )
    if copies < (1 if has_key else COPIES * len(rows)):
        return [Finding("identical rows", PASSED, None, evidence, "")]
    repair = "If they are the same customers exported twice, keep one of each: data.drop_duplicates()."
    return [Finding("identical rows", WARNING, None, evidence, repair)]


def label_windows(panel: Panel, splits: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> list[Finding]:
    """Look for training rows whose outcome was not known at the test cutoff, and for customers on both sides."""
    if panel.cutoff is None:
        return _shared_customers(panel, splits)
    reach = (panel.gap_days + (panel.horizon_days or 0)) * DAY
    late, shared, tested, learnt = 0, 0, 0, 0
    for train, test in splits:
        limit = panel.cutoff[test].min() - reach
        is_late = panel.cutoff[train] > limit
        late, learnt, tested = late + int(is_late.sum()), learnt + len(train), tested + len(test)
        shared += int(np.isin(panel.customer[test], panel.customer[train][is_late]).sum())
    if not late:
        return [
            Finding("label windows", PASSED, None, f"no training row reaches into the test (splits: {len(splits)})", "")
        ]
    days = panel.gap_days + (panel.horizon_days or 0)
    evidence = (
        f"{late:,} of {learnt:,} training rows have a cutoff less than {days} days before the test cutoff, so their "
        f"outcome was not known yet; {shared / max(tested, 1):.0%} of the test rows are customers of these"
    )
    repair = "Train on cutoffs <= test cutoff - gap - horizon only: splits=snapshots.splits()."
    return [Finding("label windows", ERROR, None, evidence, repair)]


def _shared_customers(panel: Panel, splits: list[tuple[NDArray[np.int64], NDArray[np.int64]]]) -> list[Finding]:
    shared = sum(int(np.isin(panel.customer[test], panel.customer[train]).sum()) for train, test in splits)
    if not shared:
        return [Finding("label windows", PASSED, None, f"no customer is on both sides (splits: {len(splits)})", "")]
    evidence = f"{shared:,} test rows are of customers that are learnt from as well"
    repair = "Keep the rows of a customer together: sklearn.model_selection.StratifiedGroupKFold(...), groups=customer."
    return [Finding("label windows", ERROR, None, evidence, repair)]


def _levels(feature: Feature) -> NDArray[np.int64]:
    """Return the level of each row as a code, 0 where the value is missing."""
    if feature.kind == WORD:
        return feature.values + 1
    missing = feature.missing
    values = feature.values.astype(float)
    if missing.all():
        return np.zeros(len(values), np.int64)
    known = values[~missing]
    distinct, bins = np.unique(known), int(np.clip(len(known) // ROWS_A_BIN, 2, BINS))
    shares = np.linspace(0, 1, bins + 1)[1:-1]
    edges = distinct if len(distinct) <= bins else np.unique(np.quantile(known, shares))
    return np.where(missing, 0, 1 + np.searchsorted(edges, values, side="right"))


def _steps(feature: Feature, order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether a value differs from that of the row before; two gaps do not differ."""
    values, missing = feature.values[order], feature.missing[order]
    differs: NDArray[np.bool_] = (values[1:] != values[:-1]) & ~(missing[1:] & missing[:-1])
    return differs
