"""Leaks that the raw data give away: features that equal what only a later day knew."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crmlytics._frames import collect, to_pandas
from crmlytics._validation import as_moment
from crmlytics.exceptions import SchemaError
from crmlytics.snapshots._audit_panel import CALLER, DAY, ERROR, NUMBER, PASSED, WARNING, WORD, Feature, Finding, Panel

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from crmlytics.tables import Customers, Transactions

    Facts = dict[str, NDArray[np.float64]]
    Build = Callable[[Transactions, dt.datetime], Any]

SAME = 0.95  # of the rows, for a column to be a fact about some day
LEAST_ROWS = 10  # whose fact differs between that day and the cutoff
CLOSE = 1e-6
MOST_RANKED, LEAST_LEVELS, NEAR = 2_000, 5, 0.01  # rows whose ranks are compared, and how far they may be apart
WHOLE, THROUGH_DAY, THROUGH_LABELS = "the whole history", "the cutoff day", "the label window"
LAST_DAY = "days from the last order"
PAST = "before the cutoff"
REPAIR = "Keep lines strictly before the cutoff: transactions.before(cutoff)."


class Lines(NamedTuple):
    """Order lines, sorted by customer and moment.

    Attributes
    ----------
    place : int64 array, shape (lines,)
        Customer and second in one number, ascending.
    second : int64 array, shape (lines,)
    sums : dict of name to float64 array, shape (lines + 1,)
        Running sums, from which what holds up to any line is a difference.
    peaks : dict of name to float64 array, shape (lines,)
        The largest of the customer up to each line.
    """

    place: NDArray[np.int64]
    second: NDArray[np.int64]
    sums: Facts
    peaks: Facts


def later_facts(panel: Panel, transactions: Transactions) -> list[Finding]:
    """Look for columns that count, add up or date orders of the cutoff day, the label window or the whole history."""
    span, lines = _lines(panel, transactions)
    moments = _moments(panel)
    facts = {name: _facts(panel, lines, span, moment) for name, moment in moments.items()}
    findings = []
    for feature in panel.features:
        if feature.kind == NUMBER and not feature.is_constant:
            findings += _later_fact(feature, panel, facts)
    compared = f"no column equals a fact of {', '.join(name for name in moments if name != PAST)}"
    return findings or [Finding("later facts", PASSED, None, compared, "")]


def _moments(panel: Panel) -> dict[str, NDArray[np.int64]]:
    """Return, for each row, up to which second something may have been read, the least first."""
    cutoff = panel.known_at_cutoff
    reach = panel.gap_days + (panel.horizon_days or 0)
    ends = {PAST: cutoff, THROUGH_DAY: cutoff.astype("datetime64[D]") + DAY}
    if panel.horizon_days:
        ends[THROUGH_LABELS] = cutoff + reach * DAY
    seconds = {name: end.astype("datetime64[s]").astype(np.int64) for name, end in ends.items()}
    return seconds | {WHOLE: np.full(len(cutoff), np.iinfo(np.int32).max, np.int64)}


def _lines(panel: Panel, transactions: Transactions) -> tuple[int, Lines]:
    """Read the lines of the panel's customers."""
    import pandas as pd

    more = [role for role in ("order_id", "amount", "product_id") if transactions.has(role)]
    table = collect(transactions.need("customer_id", "timestamp", *more, caller=CALLER)).to_pandas()
    codes = pd.Series(np.arange(len(panel.ids)), index=panel.ids)
    code = codes.reindex(table["customer_id"].astype(object)).to_numpy()
    known = ~np.isnan(code)
    if not known.any():
        msg = (
            f"{CALLER}(transactions=...): none of the customers of the panel has a line, "
            f"such as {panel.ids[:3].tolist()}. Are the ids of one kind?"
        )
        raise SchemaError(msg)
    table, code = table[known], code[known].astype(np.int64)
    second = table["timestamp"].to_numpy(dtype="datetime64[us]").astype("datetime64[s]").astype(np.int64)
    second = np.maximum(second, 0)
    span = int(np.iinfo(np.int32).max) + 1
    order = np.argsort(code * span + second, kind="stable")
    numbers = {"lines": np.ones(len(code))}
    if "amount" in more:
        amount = table["amount"].to_numpy(dtype=float)
        numbers |= {"amount": amount, "amount without returns": np.maximum(amount, 0)}
    if "order_id" in more:
        numbers |= _orders(table, numbers.get("amount"))
    if "product_id" in more:
        products = table.iloc[order].assign(code=code[order])
        is_first = ~products.duplicated(["code", "product_id"]) & products["product_id"].notna()
        numbers["distinct products"] = np.empty(len(code))
        numbers["distinct products"][order] = is_first.to_numpy(dtype=float)
    sums = {name: np.concatenate(([0.0], np.cumsum(values[order]))) for name, values in numbers.items()}
    peaks = {}
    if "amount" in more:
        peaks["the largest line"] = pd.Series(amount[order]).groupby(code[order]).cummax().to_numpy()
    return span, Lines((code * span + second)[order], second[order], sums, peaks)


def _orders(table: Any, amount: NDArray[np.float64] | None) -> Facts:
    """Mark the first line of each order, and of each that adds up to more than nothing."""
    by_time = table.reset_index(drop=True).sort_values("timestamp", kind="stable")
    keys = ["customer_id", "order_id"]
    first = (~by_time.duplicated(keys)).sort_index().to_numpy()
    if amount is None:
        return {"orders": first.astype(float)}
    total = table.groupby(keys, sort=False)["amount"].transform("sum").to_numpy(dtype=float)
    return {"orders": first.astype(float), "orders without credit notes": (first & (total > 0)).astype(float)}


def _facts(panel: Panel, lines: Lines, span: int, moment: NDArray[np.int64]) -> Facts:
    """Return what was known of each row's customer before a moment."""
    begin = np.searchsorted(lines.place, panel.customer * span)
    end = np.searchsorted(lines.place, panel.customer * span + moment)
    facts = {name: sums[end] - sums[begin] for name, sums in lines.sums.items()}
    for orders in ("orders", "orders without credit notes"):
        if orders in facts and "amount" in facts:
            mean = np.divide(facts["amount"], facts[orders], out=np.zeros(len(end)), where=facts[orders] > 0)
            facts[f"amount by {orders}"] = mean
    for name, peaks in lines.peaks.items():
        facts[name] = np.where(end > begin, peaks[np.maximum(end - 1, 0)], 0.0)
    last = lines.second[np.maximum(end - 1, 0)] // 86_400
    facts[LAST_DAY] = np.where(end > begin, last, np.nan)
    return facts


def _later_fact(feature: Feature, panel: Panel, facts: dict[str, Facts]) -> list[Finding]:
    """Say up to which day a column reads, if it is a fact of a day after the cutoff and not one before it."""
    known = ~feature.missing
    for reading in (THROUGH_DAY, THROUGH_LABELS, WHOLE):
        for name, later in facts.get(reading, {}).items():
            differs = known & (later != facts[PAST][name])
            if differs.sum() < LEAST_ROWS:
                continue
            same = _agrees(feature.values, later, panel.known_at_cutoff, is_day=name == LAST_DAY)
            if same[known].mean() >= SAME and same[differs].mean() >= SAME:
                told = f"equals {name} through {reading} for {int(same[differs].sum()):,} of"
            elif _is_ranked_by(feature, panel, name, later, facts[PAST]):
                told = f"ranks customers as {name} through {reading} does, among"
            else:
                continue
            evidence = f"{told} {int(differs.sum()):,} rows where that differs from what was known before the cutoff"
            check = "cutoff day" if reading == THROUGH_DAY else "later facts"
            harmless = reading == THROUGH_DAY and panel.gap_days > 0
            return [Finding(check, WARNING if harmless else ERROR, feature.name, evidence, REPAIR)]
    return []


def _is_ranked_by(feature: Feature, panel: Panel, name: str, later: NDArray[np.float64], past: Facts) -> bool:
    """Whether a column is a later fact by another scale (its logarithm, its square): it ranks the rows alike.

    Not if a fact known before the cutoff does so too: whoever orders every month has as many more orders as anybody.
    """
    rows = np.flatnonzero(~feature.missing & (later != past[name]) & np.isfinite(later))
    rows = rows[:: -(-len(rows) // MOST_RANKED) or 1]
    mine = np.asarray(feature.values)[rows]
    if len(rows) < LEAST_ROWS or len(np.unique(mine)) < LEAST_LEVELS:
        return False
    today = panel.known_at_cutoff[rows].astype("datetime64[D]").astype(np.int64)
    shapes = [later[rows], later[rows] - today] if name == LAST_DAY else [later[rows]]
    if max(_ranked_alike(mine, shape) for shape in shapes) < SAME:
        return False
    before = [fact[rows] for fact in past.values()] + [past[LAST_DAY][rows] - today]
    return max(_ranked_alike(mine, fact) for fact in before) < SAME


def _ranked_alike(values: NDArray[np.float64], fact: NDArray[np.float64]) -> float:
    """Return the share of rows with the same rank in both, or in one of them turned round; of equals the mean rank."""
    import pandas as pd

    one, other = (pd.Series(numbers.astype(np.float32)).rank().to_numpy() for numbers in (values, fact))
    apart = NEAR * len(values)
    return float(max((np.abs(rank - other) <= apart).mean() for rank in (one, len(values) + 1 - one)))


def _agrees(
    values: NDArray[np.float64], fact: NDArray[np.float64], cutoff: NDArray[np.datetime64], *, is_day: bool
) -> NDArray[np.bool_]:
    """Whether a column is a fact; for a day, whether it counts days from it to the cutoff or to one fixed day."""
    if not is_day:
        return np.asarray(np.abs(values - fact) <= CLOSE * np.maximum(1, np.abs(fact)))
    known = ~(np.isnan(values) | np.isnan(fact))
    if not known.any():
        return known
    today = cutoff.astype("datetime64[D]").astype(np.int64)
    to_cutoff, to_end = values + fact - today, values + fact
    fixed = np.abs(to_end - np.median(to_end[known])) <= CLOSE
    ends = [np.abs(to_cutoff) <= CLOSE, fixed]
    return max(ends, key=lambda same: int((same & known).sum())) & known


# -- attributes ----------------------------------------------------------------------------------------------------


def attributes(panel: Panel, customers: Customers) -> list[Finding]:
    """Look for attributes without a date, and for those of a row that was not yet in force."""
    mine = [feature for feature in panel.features if feature.name in _attribute_names(customers)]
    if not mine:
        return [Finding("attributes", PASSED, None, "no attribute of the customers is in the panel", "")]
    if not customers.has("valid_from"):
        repair = "Record changes with their date and bind it: Customers(data, valid_from='<your column>')."
        evidence = "the table of customers has no valid_from: the values are those of the day it was exported"
        return [Finding("attributes", WARNING, feature.name, evidence, repair) for feature in mine]
    known = _attributes_at_cutoffs(panel, customers, [feature.name for feature in mine])
    findings = []
    for feature in mine:
        wrong = _contradicts(feature, known[feature.name])
        if wrong.any():
            evidence = (
                f"{int(wrong.sum()):,} of {len(wrong):,} values are not those in force just before the cutoff "
                "(valid_from < cutoff <= valid_to)"
            )
            repair = "Take the row in force at the cutoff of each row: Snapshots(..., customers=customers)."
            findings.append(Finding("attributes", ERROR, feature.name, evidence, repair))
    right = f"{len(mine)} attributes are those in force just before the cutoff"
    return findings or [Finding("attributes", PASSED, None, right, "")]


def _attribute_names(customers: Customers) -> list[str]:
    from crmlytics.snapshots._customers import NO_ATTRIBUTES

    dates = [name for name in customers.columns if name not in NO_ATTRIBUTES]
    return [*dates, *(f"{name}_days" for name in dates)]


def _attributes_at_cutoffs(panel: Panel, customers: Customers, names: list[str]) -> dict[str, NDArray[Any]]:
    """Return the attributes as they stood at the cutoff of each row, as objects with None."""
    from crmlytics.snapshots._customers import customer_features

    found = {name: np.full(len(panel.outcome), None, object) for name in names}
    for cutoff in np.unique(panel.known_at_cutoff):
        rows = np.flatnonzero(panel.cutoff == cutoff)
        then = as_moment(cutoff, caller=CALLER)
        table = collect(customer_features(customers, then)).to_pandas().set_index("customer_id")
        table.index = table.index.astype(object)
        here = table.reindex(panel.ids[panel.customer[rows]])
        for name in set(names) & set(table.columns):
            values = here[name].astype(object)
            found[name][rows] = values.where(values.notna(), None).to_numpy()
    return found


def _contradicts(feature: Feature, known: NDArray[Any]) -> NDArray[np.bool_]:
    """Whether a value is not the one known, each of them possibly missing."""
    values, missing = np.asarray(feature.values), feature.missing
    is_known = np.array([value is not None for value in known])
    if feature.kind == NUMBER:
        numbers = np.where(is_known, known, np.nan).astype(float)
        differs = np.abs(values - numbers) > CLOSE * np.maximum(1, np.abs(numbers))
        return np.asarray(differs | (is_known == missing))
    if feature.kind != WORD:
        return np.zeros(len(known), bool)
    words = [None if gap else str(feature.levels[code]) for code, gap in zip(values, missing, strict=True)]
    return np.array([one != other for one, other in zip(words, known, strict=True)])


# -- a function that builds features -------------------------------------------------------------------------------


def poisoned(build: Build, transactions: Transactions, cutoff: dt.datetime, caller: str) -> list[Finding]:
    """Compare the features of all lines with those of the lines that were there, for each column."""
    next_day = dt.datetime.combine(cutoff.date(), dt.time()) + dt.timedelta(days=1)
    whole, then, day = (
        _built(build, lines, cutoff, caller)
        for lines in (transactions, transactions.before(cutoff), transactions.before(next_day))
    )
    findings = []
    for name in whole.columns.union(then.columns, sort=False):
        changed = _changed(whole, then, name)
        if not changed:
            continue
        is_day = not _changed(whole, day, name)
        reads = THROUGH_DAY if is_day else "lines after the cutoff"
        evidence = (
            f"{changed:,} of {len(whole.index):,} customers have another value without the future: it reads {reads}"
        )
        findings.append(Finding("cutoff day" if is_day else "later facts", ERROR, str(name), evidence, REPAIR))
    new = len(whole.index.symmetric_difference(then.index))
    if new:
        evidence = f"{new:,} customers are there only with the lines from the cutoff on, or only without them"
        findings.append(Finding("later facts", ERROR, None, evidence, REPAIR))
    same = f"{len(whole.columns)} features of {len(whole.index):,} customers stay the same without the future"
    return findings or [Finding("later facts", PASSED, None, same, "")]


def _built(build: Build, lines: Transactions, cutoff: dt.datetime, caller: str) -> Any:
    table = to_pandas(build(lines, cutoff), caller=f"{caller}(build)")
    if "customer_id" not in table.columns:
        msg = f"{caller}: build must return a table with the column 'customer_id', got {list(table.columns)}."
        raise SchemaError(msg)
    if table["customer_id"].duplicated().any():
        msg = f"{caller}: build must return one row per customer; some have several."
        raise SchemaError(msg)
    return table.set_index("customer_id").sort_index()


def _changed(whole: Any, other: Any, name: str) -> int:
    """Count the customers of both whose value differs."""
    both = whole.index.intersection(other.index)
    if name not in whole.columns or name not in other.columns:
        return len(both)
    one, two = whole.loc[both, name], other.loc[both, name]
    gone = one.isna() != two.isna()
    there = ~(one.isna() | two.isna())
    if getattr(one.dtype, "kind", "O") in "biuf" and getattr(two.dtype, "kind", "O") in "biuf":
        a, b = one.to_numpy(dtype=float, na_value=np.nan), two.to_numpy(dtype=float, na_value=np.nan)
        differs = np.abs(a - b) > CLOSE * np.maximum(1, np.abs(b))
    else:
        differs = (one != two).fillna(value=False).to_numpy(dtype=bool)
    return int((gone.to_numpy() | (there.to_numpy() & differs)).sum())
