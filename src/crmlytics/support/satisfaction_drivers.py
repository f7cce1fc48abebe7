"""What goes with satisfied customers: fast replies, a category, a channel, other things equal."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import cautions
from crmlytics._validation import check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.support._driver_columns import LEAST_CUSTOMERS, drivers_of, usable_tickets
from crmlytics.support._reading import BY, read_tickets
from crmlytics.tables import Tickets

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics.support._driver_columns import Driver

    Vector = NDArray[np.float64]
    Counts = NDArray[np.int64]

CALLER = "satisfaction_driver_table"
LEAST_MARKS, MARKS_A_COLUMN = 30, 5
NO_CAUSE = "Association, not effect: hard questions take long and get low marks whoever answers; only a trial tells."
SCHEMA = nw.Schema({
    "driver": nw.String(), "level": nw.String(), "compared": nw.String(), "ticket_count": nw.Int64(),
    "mark_difference": nw.Float64(), "mark_difference_low": nw.Float64(), "mark_difference_high": nw.Float64(),
    "standardised_difference": nw.Float64(), "p_value": nw.Float64(), "adjusted_p_value": nw.Float64(),
    "explained_share": nw.Float64(), "caution": nw.String(),
})  # fmt: skip


def satisfaction_driver_table(
    tickets: Tickets | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    confidence: float = 0.95,
) -> Any:
    """Say what goes with high and low marks: waiting, reopening, category, priority and channel, other things equal.

    Parameters
    ----------
    tickets : Tickets or dataframe, one row per ticket
        Needs ``ticket_id``, ``opened_at``, ``closed_at`` and ``satisfaction``; ``first_reply_at``, ``reopened_at``,
        ``category``, ``priority`` and ``channel`` are drivers where they are given.
    as_of : date
        The day described from: tickets closed before it are read, as it was known then.
    since : date, optional
        Leave out the tickets opened before it.
    confidence : float, default 0.95
        Of the intervals.

    Returns
    -------
    dataframe of the kind that came in, one row per driver, or per level of one; what explains most comes first
        ``driver`` (String: "reply_hours", "resolution_hours", "reopened", "category", "priority" or "channel"),
        ``level`` (String, null for hours; levels that fewer than 10 customers have, and all but the 20 that most have,
        are together, "(other)"),
        ``compared`` (String: hours of which a quarter took more with hours of which a quarter took less; yes with no; a
        level with all others), ``ticket_count`` (Int64, with a mark, of the level);

        ``mark_difference`` (Float64, marks, other drivers being equal) with ``_low`` and ``_high``,
        ``standardised_difference`` (Float64, in standard deviations of the marks), ``p_value`` and
        ``adjusted_p_value`` (Float64, the latter by Holm's method over all rows);

        ``explained_share`` (Float64, of the variance of the marks, by the driver as a whole: the same in all its rows,
        0 or a little below or above where it says nothing); over the drivers it adds up to adjusted R^2. ``caution``
        (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date that cannot be read, a role without a column, no ticket before ``as_of``, fewer than 30 marks or
        five a coefficient, fewer than 10 customers, marks that are all alike, or no driver in which tickets differ.

    Warns
    -----
    DataQualityWarning
        When drivers say the same, or nothing, and are left out, as is the wait for a reply where most tickets got none;
        else tickets without a reply are left out.

    Notes
    -----
    A least-squares regression of the marks on ln(1 + hours) and on the levels. Errors are those of the fits without one
    customer each (HC3 where every ticket has its own; Student's t). ``explained_share`` is what a driver adds to R^2,
    averaged over all orders in which the drivers can come in (Lindeman, Merenda and Gold 1980, called LMG or Shapley),
    less what as many columns that say nothing would add.

    When not to use: to decide what to change. A ticket is slow because it is hard, and a hard one is marked low also by
    who was answered at once. And only who answered the survey is here.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> random = np.random.default_rng(0)
    >>> hours = random.exponential(10, 400)
    >>> tickets = pd.DataFrame({"ticket_id": range(400), "opened_at": pd.Timestamp("2024-01-01")})
    >>> tickets["closed_at"] = tickets["opened_at"] + pd.to_timedelta(hours, unit="h")
    >>> tickets["channel"] = random.choice(["chat", "email"], 400)
    >>> tickets["satisfaction"] = np.clip(np.rint(5 - np.log1p(hours) / 2 + random.normal(0, 0.5, 400)), 1, 5)
    >>> table = satisfaction_driver_table(tickets, as_of="2024-02-01")
    >>> table[["driver", "level", "mark_difference", "adjusted_p_value", "explained_share"]].round(2)
                 driver  level  mark_difference  adjusted_p_value  explained_share
    0  resolution_hours    NaN            -0.62              0.00             0.37
    1           channel   chat            -0.02              0.68            -0.00
    2           channel  email             0.02              0.68            -0.00
    """
    check_fraction(confidence, name="confidence", caller=CALLER)
    table = Tickets.bind(tickets)
    words = [role for role in BY if table.has(role)]
    known = read_tickets(table, "closed_at", "satisfaction", *words, as_of=as_of, since=since, caller=CALLER)
    kept = usable_tickets(known, caller=CALLER)
    _check_marks(known.mark[kept])
    customer = np.flatnonzero(kept) if known.customer is None else known.customer[kept]
    _check_customers(customer)
    drivers = drivers_of(known, kept, customer, caller=CALLER)
    _check_drivers(int(kept.sum()), drivers)
    rows = _rows(known.mark[kept], drivers, customer, confidence)
    order = np.lexsort((-np.abs(rows["mark_difference"]), rows["driver"].astype(str), -rows["explained_share"]))
    return known.engine.from_columns({name: rows[name][order] for name in SCHEMA}, SCHEMA)


def _check_marks(marks: Vector) -> None:
    if len(marks) < LEAST_MARKS:
        raise SchemaError(_too_few(len(marks), LEAST_MARKS))
    if marks.min() == marks.max():
        raise SchemaError(f"{CALLER}: all {len(marks):,} marks are {marks[0]:g}: there is nothing that goes with them.")


def _check_customers(customer: Counts) -> None:
    found = len(np.unique(customer))
    if found < LEAST_CUSTOMERS:
        msg = (
            f"{CALLER}: the marks are of {found:,} customers, and it takes {LEAST_CUSTOMERS}: those of one are "
            "alike. Take a longer time, or Tickets(..., customer_id=None) if customers do not matter."
        )
        raise SchemaError(msg)


def _check_drivers(marks: int, drivers: list[Driver]) -> None:
    if not drivers:
        msg = (
            f"{CALLER}: the tickets with a mark differ in nothing. Give category, priority, channel or first_reply_at."
        )
        raise SchemaError(msg)
    least = MARKS_A_COLUMN * (1 + sum(driver.columns.shape[1] for driver in drivers))
    if marks < least:
        raise SchemaError(_too_few(marks, least))


def _too_few(marks: int, least: int) -> str:
    return f"{CALLER}: {marks:,} closed tickets have a mark, and it takes {least:,}. Take a longer time."


def _rows(marks: Vector, drivers: list[Driver], customer: Counts, confidence: float) -> dict[str, NDArray[Any]]:
    """Return the differences, and what each driver explains, row by row."""
    from scipy import special

    from crmlytics._kernels.adjusted_differences import explained_shares, jackknifed_regression

    design, parts, contrasts = _design(drivers), _parts(drivers), _contrasts(drivers)
    fit = jackknifed_regression(design, marks, customer)
    explained = explained_shares(design, marks, fit.noise, parts)
    difference = contrasts @ fit.coefficients
    error = np.sqrt(np.einsum("ij,jk,ik->i", contrasts, fit.covariance, contrasts))
    freedom = max(fit.clusters - 1, 1)
    reach = special.stdtrit(freedom, (1 + confidence) / 2) * error
    p_value = 2 * special.stdtr(freedom, -np.abs(difference) / error)
    comparisons = [one for driver in drivers for one in driver.comparisons]
    return {
        "driver": np.array([driver.name for driver in drivers for _ in driver.comparisons], object),
        "level": np.array([one.level for one in comparisons], object),
        "compared": np.array([one.compared for one in comparisons], object),
        "ticket_count": np.array([one.tickets for one in comparisons], np.int64),
        "mark_difference": difference,
        "mark_difference_low": difference - reach,
        "mark_difference_high": difference + reach,
        "standardised_difference": difference / marks.std(ddof=1),
        "p_value": p_value,
        "adjusted_p_value": _adjusted(p_value, drivers),
        "explained_share": np.repeat(explained, [len(driver.comparisons) for driver in drivers]),
        "caution": cautions(len(comparisons), [], first=NO_CAUSE),
    }


def _adjusted(p_value: Vector, drivers: list[Driver]) -> Vector:
    """Adjust for the number of tests: two levels are compared once, whichever way round."""
    from crmlytics._kernels.multiple_testing import holm

    first = np.concatenate([
        np.zeros(len(driver.comparisons), np.int64) if driver.is_one_test else np.arange(len(driver.comparisons))
        for driver in drivers
    ])  # fmt: skip
    starts = np.repeat(
        np.cumsum([0, *(len(driver.comparisons) for driver in drivers)])[:-1], [len(d.comparisons) for d in drivers]
    )
    stands_for = starts + first
    tested = np.where(stands_for == np.arange(len(p_value)), p_value, np.nan)
    adjusted: Vector = holm(tested)[stands_for]
    return adjusted


def _design(drivers: list[Driver]) -> Vector:
    return np.column_stack([np.ones(len(drivers[0].columns)), *(driver.columns for driver in drivers)])


def _parts(drivers: list[Driver]) -> list[list[int]]:
    """Return which columns of the design are whose."""
    ends = np.cumsum([1, *(driver.columns.shape[1] for driver in drivers)]).tolist()
    return [list(range(start, end)) for start, end in pairwise(ends)]


def _contrasts(drivers: list[Driver]) -> Vector:
    parts = _parts(drivers)
    contrasts = np.zeros((sum(len(driver.comparisons) for driver in drivers), parts[-1][-1] + 1))
    row = 0
    for driver, columns in zip(drivers, parts, strict=True):
        for one in driver.comparisons:
            contrasts[row, columns] = one.contrast
            row += 1
    return contrasts
