"""Tables of customers under contract: made from subscriptions, and read into the counts that models are fitted to."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt

from crmlytics._frames import Engine, collect, columns_of, day_number, enter, id_column
from crmlytics._periods import period_grid
from crmlytics._validation import as_moment, warn
from crmlytics.clv._histories import Histories, read_histories, refuse_rows
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Subscriptions

if TYPE_CHECKING:
    from crmlytics._kernels.special import Vector

CUSTOMER_COLUMNS = ("renewal_count", "is_active")
COHORT_COLUMNS = ("period", "customer_count")
EPOCH = dt.date(1970, 1, 1).toordinal()
DAYS_APART = 32  # of two months, in the numbering of their days


def tenure_table(subscriptions: Subscriptions | Any, *, as_of: str | dt.date | dt.datetime, period: str = "30d") -> Any:
    """Count how often each customer has renewed, and tell who still is one.

    Parameters
    ----------
    subscriptions : Subscriptions or dataframe, one row per subscription
        Needs ``customer_id``, ``started_at`` and ``ended_at`` (null or not before ``as_of``: it runs). ``ended_at`` is
        the first day without the contract.
    as_of : date
        The day described from; what begins or ends on it or later is not known yet.
    period : str, default "30d"
        Length of a contract: ``"month"``, ``"quarter"``, ``"year"``, or a number of days or weeks such as ``"7d"``.

    Returns
    -------
    dataframe of the kind that came in, one row per customer, sorted by ``customer_id``
        ``renewal_count`` (Int64, >= 0, whole periods completed, each followed by a renewal), ``is_active`` (Boolean,
        still a customer on the last day before ``as_of``).

    Notes
    -----
    A first contract of 30 days begins on day 0. Who is still there on day 30 has renewed once; who ended on day 30, or
    earlier, never did: leaving within a period counts at its end, when the renewal was due. Months end on the day of
    the month on which they began, or on the last day of a shorter month.

    Several subscriptions of a customer are taken as one relationship, from the first start to the last end, and gaps
    count as time under contract. If people leave and return often, put the subscription's id in ``customer_id``.

    Examples
    --------
    >>> import pandas as pd
    >>> contracts = pd.DataFrame({
    ...     "customer_id": ["a", "b", "c"], "started_at": pd.to_datetime(["2024-01-01", "2024-01-01", "2024-03-15"]),
    ...     "ended_at": pd.to_datetime([None, "2024-03-01", None]),
    ... })
    >>> tenure_table(contracts, as_of="2024-05-01", period="month")
      customer_id  renewal_count  is_active
    0           a              3       True
    1           b              1      False
    2           c              1       True
    """
    caller = "tenure_table"
    as_of = as_moment(as_of, caller=caller)
    grid = period_grid(period, as_of=as_of, caller=caller)
    months, days = grid.months, grid.days
    table = Subscriptions.bind(subscriptions).before(as_of)
    lines = table.need("customer_id", "started_at", "ended_at", caller=caller)
    end = _day_after(as_of - dt.timedelta(microseconds=1))  # the first day that is not known
    place = _month_place if months else day_number
    known_until = (end.year * 12 + end.month) * DAYS_APART + end.day if months else end.toordinal() - EPOCH
    per_customer = (
        lines.with_columns(nw.col("ended_at").fill_null(end))
        .select("customer_id", started=place(nw.col("started_at")), ended=place(nw.col("ended_at")))
        .group_by("customer_id")
        .agg(nw.col("started").min(), nw.col("ended").max())
        .with_columns(is_active=nw.col("ended") >= known_until)
        .with_columns(ended=nw.when(nw.col("is_active")).then(nw.lit(known_until)).otherwise(nw.col("ended")))
    )
    completed = _months_before_end() // months if months else (nw.col("ended") - nw.col("started") - 1) // days
    renewals = nw.when(nw.col("ended") > nw.col("started")).then(completed).otherwise(nw.lit(0))
    result = per_customer.select("customer_id", renewal_count=renewals.cast(nw.Int64), is_active=nw.col("is_active"))
    return table.to_native(result.sort("customer_id"))


def _day_after(moment: dt.datetime) -> dt.datetime:
    return dt.datetime(moment.year, moment.month, moment.day) + dt.timedelta(days=1)


def _month_place(moment: nw.Expr) -> nw.Expr:
    """Month and day of a date as one number that grows with time: ``(12 year + month) * 32 + day``."""
    month = moment.dt.year().cast(nw.Int64) * 12 + moment.dt.month().cast(nw.Int64)
    return month * DAYS_APART + moment.dt.day().cast(nw.Int64)


def _months_before_end() -> nw.Expr:
    """Months that a customer completed before the first day without contract, both as month places."""
    months = nw.col("ended") // DAYS_APART - nw.col("started") // DAYS_APART
    later_in_month = nw.col("ended") - nw.col("started") > months * DAYS_APART
    return months - 1 + later_in_month.cast(nw.Int64)


@dataclass(frozen=True, slots=True)
class Renewals:
    """What happened at the first, second, ... renewal, counted over customers.

    Attributes
    ----------
    renewed, lost : arrays of float, one entry per renewal t = 1, 2, ...
        How many customers made the t-th renewal, and how many left instead.
    customer_count : int
    """

    renewed: Vector
    lost: Vector
    customer_count: int


@dataclass(frozen=True, slots=True)
class Cohorts:
    """A cohort table in order: periods and customers of one cohort after the other.

    Attributes
    ----------
    cohort : array
        Int64 or text; all 0 where the table has no such column.
    period : array of int
    customer_count : array of float
    is_last : array of bool
        The latest row of its cohort.
    has_key : bool
    engine : Engine
    """

    cohort: npt.NDArray[Any]
    period: npt.NDArray[np.int64]
    customer_count: Vector
    is_last: npt.NDArray[np.bool_]
    has_key: bool
    engine: Engine


def read_renewals(X: Any, *, caller: str) -> Renewals:
    """Read a customer table or a cohort table, whichever it is, as counts of renewals."""
    present = columns_of(enter(X, caller=caller)[0])
    if set(COHORT_COLUMNS) <= set(present):
        found = _count_cohorts(read_cohorts(X, caller=caller), caller=caller)
    elif set(CUSTOMER_COLUMNS) <= set(present):
        table = read_customers(X, caller=caller)
        found = _count_customers(table["renewal_count"].astype(np.int64), table["is_active"] == 1)
    else:
        msg = (
            f"{caller} needs {list(CUSTOMER_COLUMNS)} (one row per customer, as crm.clv.tenure_table makes them) or "
            f"{list(COHORT_COLUMNS)} (one row per period, with 'cohort' if there are several), got {present}."
        )
        raise MissingColumnsError(msg)
    if not (found.renewed + found.lost).any():
        msg = f"{caller}: no renewal has come due yet, so nothing can be learned. Use a longer history."
        raise SchemaError(msg)
    return found


def read_customers(X: Any, *, caller: str) -> Histories:
    """Read a customer table: ``renewal_count`` and ``is_active`` as floats, checked."""
    frame, engine = enter(X, caller=caller)
    schema = frame.collect_schema()
    missing = [name for name in CUSTOMER_COLUMNS if name not in schema]
    if missing:
        msg = (
            f"{caller} needs the columns {missing} of a customer table, got {list(schema)}. "
            "Make one from your subscriptions: crm.clv.tenure_table(subscriptions, as_of=...)."
        )
        raise MissingColumnsError(msg)
    if schema["is_active"] == nw.Boolean:
        X = engine.to_native(frame.with_columns(nw.col("is_active").cast(nw.Float64)))
    table = read_histories(X, *CUSTOMER_COLUMNS, caller=caller, made_by="tenure_table(subscriptions, as_of=...)")
    count, active = table["renewal_count"], table["is_active"]
    meaning = "It counts the renewals made: 0 for a customer in the first period."
    bad = ~(np.isfinite(count) & (count >= 0) & (count == np.floor(count)))
    refuse_rows(table, bad, "a renewal_count that is not a whole number >= 0", meaning, caller=caller)
    meaning = "It is true for customers who have not left, false for those who have."
    refuse_rows(table, ~np.isin(active, (0.0, 1.0)), "no is_active of true or false", meaning, caller=caller)
    return table


def read_cohorts(X: Any, *, caller: str) -> Cohorts:
    """Read a cohort table, sorted by cohort and period, checked."""
    frame, engine = enter(X, caller=caller)
    schema = frame.collect_schema()
    missing = [name for name in COHORT_COLUMNS if name not in schema]
    if missing:
        msg = f"{caller} needs the columns {missing} of a cohort table, got {list(schema)}."
        raise MissingColumnsError(msg)
    for name in COHORT_COLUMNS:
        if not (schema[name].is_numeric() or schema[name] == nw.Unknown):
            raise SchemaError(f"{caller}: column {name!r} holds {schema[name]}, expected numbers.")
    has_key = "cohort" in schema
    key = [id_column("cohort", schema["cohort"], caller=caller)] if has_key else []
    table = collect(frame.select(*key, *[nw.col(name).cast(nw.Float64) for name in COHORT_COLUMNS]))
    if len(table) == 0:
        raise SchemaError(f"{caller}: the table has no rows.")
    if has_key and table["cohort"].null_count():
        raise SchemaError(f"{caller}: {table['cohort'].null_count()} rows have no cohort. Name it, or drop the rows.")
    cohort = np.asarray(table["cohort"].to_list() if has_key else [0] * len(table))
    period, count = (np.asarray(table[name].to_numpy(), dtype=float) for name in COHORT_COLUMNS)
    _check_counts(period, count, caller=caller)
    order = np.lexsort((period, cohort))
    cohort, whole, count = cohort[order], period[order].astype(np.int64), count[order]
    is_last = np.append(cohort[1:] != cohort[:-1], True)
    _check_cohorts(cohort, whole, count, caller=caller)
    return Cohorts(cohort, whole, count, is_last, has_key, engine)


def _check_counts(period: Vector, count: Vector, *, caller: str) -> None:
    for name, values in (("period", period), ("customer_count", count)):
        bad = ~(np.isfinite(values) & (values >= 0) & (values == np.floor(values)))
        if bad.any():
            why = " Shares do not say how many customers they were found with." if name == "customer_count" else ""
            first = values[bad][0]
            msg = f"{caller}: {name} must be a whole number >= 0, got {first} and {bad.sum() - 1} more like it.{why}"
            raise SchemaError(msg)


def _check_cohorts(cohort: npt.NDArray[Any], period: npt.NDArray[np.int64], count: Vector, *, caller: str) -> None:
    """Refuse cohorts with a period twice, a gap, or customers that come from nowhere."""
    for before, after in pairwise(range(len(cohort))):
        if cohort[before] != cohort[after]:
            continue
        where = f"{caller}: cohort {cohort[after].item()!r}"
        if period[after] == period[before]:
            raise SchemaError(f"{where} has period {period[after]} more than once. Add the rows up first.")
        if period[after] != period[before] + 1:
            raise SchemaError(f"{where} has no row for period {period[before] + 1}. Give every period, also the last.")
        if count[after] > count[before]:
            msg = (
                f"{where} grows from {count[before]:.0f} to {count[after]:.0f} customers in period {period[after]}. "
                "A cohort is the customers who began together, so it can only shrink: count newcomers as a cohort of "
                "their own, and those who came back as customers who never left."
            )
            raise SchemaError(msg)


def _count_cohorts(cohorts: Cohorts, *, caller: str) -> Renewals:
    first = np.append(True, cohorts.is_last[:-1])
    if cohorts.period[first].min() > 0:
        warn(
            f"{caller}: no cohort has a period 0, so the customers of period {cohorts.period[first].min()} are taken "
            "to have renewed already. If they had just begun, number the periods from 0: the customers at the start."
        )
    renewed = cohorts.customer_count[~first]
    lost = cohorts.customer_count[:-1][~first[1:]] - renewed
    place = cohorts.period[~first] - 1
    size = int(cohorts.period.max())
    made, missed = (np.bincount(place, counts, size).astype(float) for counts in (renewed, lost))
    return Renewals(made, missed, int(cohorts.customer_count[first].sum()))


def _count_customers(renewal_count: npt.NDArray[np.int64], is_active: npt.NDArray[np.bool_]) -> Renewals:
    """Count renewals customer by customer: of k the first k were made, and if not active, the next one was not."""
    size = int((renewal_count + ~is_active).max())
    made = np.bincount(renewal_count, minlength=size + 1)
    renewed = np.cumsum(made[::-1])[::-1][1 : size + 1]
    lost = np.bincount(renewal_count[~is_active], minlength=size)[:size]
    return Renewals(renewed.astype(float), lost.astype(float), len(renewal_count))
