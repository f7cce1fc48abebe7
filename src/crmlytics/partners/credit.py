"""Whose revenue it is when one partner brought the customer, another was in touch, and a third sold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import cautions
from crmlytics._kernels.ratios import over
from crmlytics._measured import read_measured
from crmlytics._validation import as_days, as_period
from crmlytics.exceptions import SchemaError
from crmlytics.partners._brought import read_brought
from crmlytics.partners._reading import DIRECT, NO_CAUSE, PARTNER, read_sales, rows_in_order
from crmlytics.partners._touches import influences, read_touches

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics.partners._reading import Codes, Flags, Sales, Vector
    from crmlytics.tables import Contacts, Customers, Events, Transactions

CALLER = "partner_credit_table"
MEASURED = "incremental_amount"
CONVENTION = "A split by convention, not what would be lost without it."
FROM_EXPERIMENT = "An experiment measured what this partner brought: decide by it, not by the credit."
NO_TOUCHES = "No touches were given: only who brought and who sold."
DIGITS = 10  # of an amount: what is left of adding up thirds
SCHEMA = nw.Schema({
    PARTNER: nw.String(), "order_count": nw.Int64(), "sold_amount": nw.Float64(), "sourced_amount": nw.Float64(),
    "influenced_amount": nw.Float64(), "sole_amount": nw.Float64(), "joint_amount": nw.Float64(),
    "credit_amount": nw.Float64(), "credit_share": nw.Float64(), "incremental_amount": nw.Float64(),
    "incremental_amount_low": nw.Float64(), "incremental_amount_high": nw.Float64(),
    "incremental_per_credit": nw.Float64(), "caution": nw.String(),
})  # fmt: skip


def partner_credit_table(
    transactions: Transactions | Any,
    events: Events | Any = None,
    contacts: Contacts | Any = None,
    customers: Customers | Any = None,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    lookback: str | dt.timedelta = "30d",
    control: Any = None,
    experiment: Any = None,
) -> Any:
    r"""Split revenue among the partners who brought the customer, were in touch before the order, and sold it.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp``, ``amount`` and ``partner_id`` (who sold).
    events : Events or dataframe of the same kind, optional
        What partners did with customers: needs ``customer_id``, ``timestamp`` and a column ``partner_id``.
    contacts : Contacts or dataframe of the same kind, optional
        Whom partners contacted: the same columns. Those held out (``arm``) were not.
    customers : Customers or dataframe of the same kind, optional
        Where it has ``partner_id``, that is who brought a customer; else it is who sold the first order.
    as_of : date
        Lines, events and contacts on or after it are left out.
    since : date, optional
        From when on revenue is split; None: all. Who brought a customer is told from everything before ``as_of``.
    lookback : duration such as "30d", default "30d"
        How many calendar days before an order a touch counts, up to the moment of the order. Where all orders are dated
        without a time, touches of the same day count.
    control : str or int, optional
        The arm of those held out. By default every usual name of it, such as "control", "holdout" or "not contacted".
    experiment : dataframe, optional
        What an experiment measured in the same period: ``partner_id``, ``incremental_amount`` (revenue that would not
        have come without the partner) and, if known, ``incremental_amount_low`` and ``_high``. It stands beside the
        credit, and does not change it.

    Returns
    -------
    dataframe of the kind that came in, one row per partner with any part in it, sorted by ``partner_id``
        ``partner_id`` (String; ``"(direct)"`` is the business itself, where no partner sold or brought),
        ``order_count`` (Int64, orders with any part of it), ``sold_amount`` (Float64, revenue of the lines that it
        sold; adds up to all revenue), ``sourced_amount`` (Float64, of the customers whom it brought; adds up to all
        revenue), ``influenced_amount`` (Float64, of sales before which it was in touch; one sale may count for several
        partners and for none), ``sole_amount`` (Float64, of sales in which nobody else had a part), ``joint_amount``
        (Float64, of those in which others had one), ``credit_amount`` (Float64, its share of both; adds up to all
        revenue), ``credit_share`` (Float64, of all credit; null where that is not above zero),
        ``incremental_amount``, ``incremental_amount_low``, ``incremental_amount_high`` (Float64, what the experiment
        measured; null where none did), ``incremental_per_credit`` (Float64, of that, for each unit credited),
        ``caution`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role or column is missing, tables or ids are of different kinds, no line lies in the period, or the
        experiment names a partner without a row.

    Notes
    -----
    A sale is what one partner sold in one order. In its game every one of its players is needed, who brought the
    customer, who was in touch and who sold: a coalition is worth the amount if it holds them all, and nothing else.
    The Shapley value of that game is the equal split,

    .. math:: \phi_p = \sum_{s \ni p} \frac{v_s}{|S_s|},

    with :math:`S_s` the different players of sale s and :math:`v_s` its amount: who has two parts in a sale counts
    once. Returns are split like sales, and booked where their lines are. The split is a convention for paying out what
    was earned together, fair in Shapley's sense if you accept the game.

    **When not to use it**: to tell what would be lost without a partner. Touches go along with customers who buy
    anyway. L. S. Shapley (1953), "A value for n-person games", Contributions to the Theory of Games II.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 1, 2], "order_id": [1, 2, 3], "partner_id": ["x", "y", None],
    ...     "amount": [30.0, 90.0, 50.0], "timestamp": pd.to_datetime(["2024-01-01", "2024-03-01", "2024-03-05"]),
    ... })
    >>> calls = pd.DataFrame({
    ...     "customer_id": [1], "partner_id": ["z"], "timestamp": pd.to_datetime(["2024-02-20"])})
    >>> table = partner_credit_table(orders, calls, as_of="2024-04-01")
    >>> print(table.iloc[:, [0, 2, 3, 4, 6, 7]].to_string())
      partner_id  sold_amount  sourced_amount  influenced_amount  joint_amount  credit_amount
    0   (direct)         50.0            50.0                0.0           0.0           50.0
    1          x         30.0           120.0                0.0          90.0           60.0
    2          y         90.0             0.0                0.0          90.0           30.0
    3          z          0.0             0.0               90.0          90.0           30.0
    """
    (start, end), days = as_period(since, as_of, caller=CALLER), as_days(lookback, name="lookback", caller=CALLER)
    sales = read_sales(transactions, as_of=end, caller=CALLER)
    rows = np.flatnonzero(_is_split(sales, start))
    brought = read_brought(sales, customers, caller=CALLER)
    touches = read_touches(sales, events, contacts, before=end, control=control, caller=CALLER)
    names = [*brought.names, *sorted(set(touches[PARTNER]) - set(brought.names))]
    source = np.full(len(sales.customer_ids), -1)
    source[brought.customer] = brought.partner
    near = influences(sales, touches, rows, days, names)
    parts = _parts(sales, rows, source, near["row"].to_numpy(np.int64), near["partner"].to_numpy(np.int64))
    columns = _amounts(sales, parts, len(names))
    had_part = rows_in_order(names, np.unique(parts["partner"]), sales.table)
    columns |= {PARTNER: np.array(names, object)}
    columns = {name: of[had_part] for name, of in columns.items()}
    columns |= _judged(columns, experiment, touched=len(touches) > 0)
    return sales.engine.from_columns({name: columns[name] for name in SCHEMA}, SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _is_split(sales: Sales, start: dt.datetime | None) -> Flags:
    if start is None:
        return np.ones(len(sales.moment), bool)
    rows = sales.moment >= np.datetime64(start, "us")
    if not rows.any():
        raise SchemaError(f"{CALLER}: no line lies from since={start:%Y-%m-%d} to as_of. Check both dates.")
    return rows


def _parts(sales: Sales, rows: Codes, source: Codes, near: Codes, near_partner: Codes) -> dict[str, Codes]:
    """Return who had a part in which sale: pairs of sale and partner, each pair once, with the part."""
    known = source[sales.customer[rows]]  # of customers who only gave back nobody knows who brought them
    known = np.where(known >= 0, known, sales.partner[rows])
    sold, sourced = np.zeros(len(rows), np.int64), np.ones(len(rows), np.int64)
    return {
        "row": np.concatenate([rows, rows, near]),
        "partner": np.concatenate([sales.partner[rows], known, near_partner]),
        "part": np.concatenate([sold, sourced, np.full(len(near), 2)]),
    }


def _amounts(sales: Sales, parts: dict[str, Codes], count: int) -> dict[str, NDArray[Any]]:
    """Add up by partner: what it sold, sourced and influenced, and its share of what all had a part in."""
    found: dict[str, NDArray[Any]] = {}
    for number, name in enumerate(("sold", "sourced", "influenced")):
        own = parts["part"] == number
        found[f"{name}_amount"] = _sums(parts["partner"][own], sales.amount[parts["row"][own]], count)
    row, partner = np.unique(np.column_stack([parts["row"], parts["partner"]]), axis=0).T
    players = np.bincount(row, minlength=len(sales.amount))[row]
    amount = sales.amount[row]
    found["sole_amount"] = _sums(partner[players == 1], amount[players == 1], count)
    found["joint_amount"] = _sums(partner[players > 1], amount[players > 1], count)
    found["credit_amount"] = _sums(partner, amount / players, count)
    orders = np.unique(np.column_stack([partner, sales.order[row]])[sales.is_order[row]], axis=0)
    found["order_count"] = np.bincount(orders[:, 0], minlength=count)
    return found


def _sums(partner: Codes, amounts: Vector, count: int) -> Vector:
    return np.round(np.bincount(partner, amounts, count), DIGITS)


def _judged(columns: dict[str, NDArray[Any]], experiment: Any, *, touched: bool) -> dict[str, NDArray[Any]]:
    """Return shares of the credit, how it stands to an experiment, and what it does not show."""
    names, credit = columns[PARTNER], columns["credit_amount"]
    measured = read_measured(experiment, names.tolist(), role=PARTNER, figure=MEASURED, caller=CALLER)
    amount, is_direct = measured[MEASURED], names == DIRECT
    is_known = ~np.isnan(amount)
    return measured | {
        "credit_share": over(credit, credit.sum()),
        "incremental_per_credit": over(amount, credit),
        "caution": cautions(len(names), [
            (is_known, FROM_EXPERIMENT), (~is_known & is_direct, CONVENTION), (~is_known & ~is_direct, NO_CAUSE),
            (not touched, NO_TOUCHES),
        ]),
    }  # fmt: skip
