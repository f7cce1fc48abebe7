"""How answers and purchases of customers come in for the measures of loyalty: one row each, computed once."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import check_same_kind, collect, days_between
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._validation import warn
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Events, Transactions, check_same_ids

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from crmlytics._contract import Contract

    Vector = NDArray[np.float64]

GROUPS = ("detractors", "passives", "promoters")
LOWEST, PASSIVE, PROMOTER, HIGHEST = 0, 7, 9, 10  # Reichheld (2003)
INTERVAL = 0.95
MANY, MIDDLE = 5, 5  # so many answers, of which none is above the middle, are of another scale


def check_ratings(values: Any, *, name: str, caller: str) -> Vector:
    """Read answers to "how likely are you to recommend us", whole numbers from 0 to 10; NaN is no answer."""
    try:
        ratings: Vector = values.to_numpy(dtype=np.float64, na_value=np.nan)
    except (TypeError, ValueError) as error:
        raise SchemaError(f"{caller}: {name!r} must hold numbers from 0 to 10, got {values.dtype}.") from error
    unfit = ratings[~np.isnan(ratings) & ~np.isin(ratings, np.arange(LOWEST, HIGHEST + 1))]
    if len(unfit):
        msg = (
            f"{caller}: {name!r} must hold whole numbers from 0 to 10, the scale of the net promoter score, got "
            f"{unfit[0]:g} ({len(unfit):,} of {len(ratings):,} answers). Another scale has other promoters."
        )
        raise SchemaError(msg)
    if (~np.isnan(ratings)).sum() >= MANY and not (ratings > MIDDLE).any():
        warn(
            f"{caller}: no answer in {name!r} is above {MIDDLE}. On a scale from 1 to 5 nobody can be a promoter (9 or "
            "10), and a net promoter score says nothing: it takes answers from 0 to 10."
        )
    return ratings


def group_of(ratings: Vector) -> NDArray[np.int64]:
    """Return 0 for detractors (0 to 6), 1 for passives (7 and 8), 2 for promoters (9 and 10)."""
    return (ratings >= PASSIVE).astype(np.int64) + (ratings >= PROMOTER)


def last_answers(survey: Any, table: Transactions, *, before: dt.datetime, caller: str) -> pd.DataFrame:
    """Return the last answer of each customer before a moment; of answers at the same moment the lowest."""
    answers = Events.bind(survey)
    joinable(table, answers, name="survey", caller=caller)
    needed = "customer_id", "timestamp", "rating"
    answers.need(*needed, caller=f"{caller}(survey=...)")  # before() needs a timestamp, too, and would not say for what
    rows = collect(answers.before(before).need(*needed, caller=caller)).to_pandas()
    rows["rating"] = check_ratings(rows["rating"], name="rating", caller=caller)
    rows = rows[rows["rating"].notna()].sort_values(
        ["customer_id", "timestamp", "rating"], ascending=[True, True, False]
    )
    return rows.drop_duplicates("customer_id", keep="last").reset_index(drop=True)


def purchases(table: Transactions, *, end: dt.datetime, days: int, caller: str) -> pd.DataFrame:
    """Return one row per customer with an order: orders, age, and orders and amounts in the last two periods.

    Columns: ``customer_id``, ``order_count``, ``tenure_days``, ``first_order_at``, ``current_orders``,
    ``previous_orders``, ``current_amount``, ``previous_amount``. The last period ends at ``end`` and lasts ``days``.
    """
    middle, start = (end - dt.timedelta(days=times * days) for times in (1, 2))
    lines, ordered = nw.col("timestamp"), nw.col("ordered_at")
    amounts = {"current_amount": lines >= middle, "previous_amount": (lines >= start) & (lines < middle)}
    orders = {"current_orders": ordered >= middle, "previous_orders": (ordered >= start) & (ordered < middle)}
    is_order = nw.col("is_order") == 1
    split = table.need(*ORDER_ROLES, caller=caller).with_columns(
        **{name: nw.when(test).then(nw.col("amount")).otherwise(nw.lit(0.0)) for name, test in amounts.items()}
    )
    per_customer = (
        orders_of(split, "customer_id", **{name: nw.col(name).sum() for name in amounts})
        .with_columns(
            _first=nw.when(is_order).then(ordered).otherwise(None),
            **{name: (is_order & test).cast(nw.Int64) for name, test in orders.items()},
        )
        .group_by("customer_id")
        .agg(
            order_count=nw.col("is_order").sum(),
            first_order_at=nw.col("_first").min(),
            **{name: nw.col(name).sum() for name in (*amounts, *orders)},
        )
        .filter(nw.col("order_count") > 0)
        .with_columns(tenure_days=days_between(nw.col("first_order_at"), end))
    )
    return collect(per_customer).to_pandas().sort_values("customer_id").reset_index(drop=True)


def joinable(table: Transactions, other: Contract, *, name: str, caller: str) -> None:
    """Refuse tables of two libraries, and whole numbers that would have to meet text."""
    check_same_kind({"transactions": table.engine, name: other.engine}, caller=caller)
    check_same_ids([table, other], role="customer_id", caller=caller)


def tell_unmatched(customers: int, total: int, who: str, *, caller: str) -> None:
    """Warn how many customers of one table have no match in the other, if any."""
    if customers:
        warn(f"{caller}: {customers:,} of {total:,} customers {who}, left out. Check customer_id in both tables.")


def numbers_of(rows: pd.DataFrame, *names: str) -> Vector:
    """Return columns as float64, shape (rows, columns)."""
    return np.column_stack([rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in names])
