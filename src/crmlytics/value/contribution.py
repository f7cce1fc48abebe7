"""What each customer leaves over: revenue less the goods, and less what serving the customer costs."""

from __future__ import annotations

from functools import reduce
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import check_same_kind
from crmlytics._orders import ORDER_ROLES, gather
from crmlytics._periods import ratio
from crmlytics._validation import as_period, check_amount, did_you_mean
from crmlytics.exceptions import SchemaError
from crmlytics.snapshots._contacts import not_held_out
from crmlytics.tables import Contacts, Tickets, Transactions, check_same_ids
from crmlytics.value._checks import is_empty, no_line
from crmlytics.value._tables import TIE_DECIMALS, in_ties

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

    from crmlytics._contract import Contract

    Plan = nw.LazyFrame[Any]

MOMENTS = {"transactions": "timestamp", "tickets": "opened_at", "contacts": "timestamp"}
ACTIVITIES = ("order", "return", "ticket", "contact")


def contribution_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    costs: Mapping[str, float],
    since: str | dt.date | dt.datetime | None = None,
    tickets: Tickets | Any = None,
    contacts: Contacts | Any = None,
) -> Any:
    """Say what each customer leaves over once the goods, and the serving, are paid for.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``; with ``cost`` the goods are taken off.
    as_of : date
        The day described from; nothing on or after it is read, of no table.
    costs : mapping of str to float
        What serving costs, each time, in the currency of ``amount``: ``{"order": 4.5, "return": 8.0, "ticket": 6.0,
        "contact": 0.5}``. An activity left out costs nothing, unless its table is given. There is no default: what an
        order costs to pack is yours to say.
    since : date, optional
        The first day that counts; the beginning of the data if not given.
    tickets : Tickets or dataframe, one row per ticket, optional
        Needs ``customer_id``, ``opened_at`` and ``ticket_id``.
    contacts : Contacts or dataframe, one row per contact, optional
        Needs ``customer_id`` and ``timestamp``. Where the role ``cost`` has a column, that is what a contact cost, and
        ``costs["contact"]`` stands in where it is missing. Customers held out (``arm`` "control" or "not contacted")
        were not contacted.

    Returns
    -------
    dataframe of the kind that came in, one row per customer with a line, ticket or contact, sorted by ``customer_id``
        ``total_amount`` (Float64, revenue, returns taken off).
        With the role ``cost``: ``goods_cost_amount`` (Float64; null when a line of the customer has no cost) and
        ``margin_amount`` (Float64, the difference).
        ``order_count``, ``order_cost_amount``; ``return_count`` (Int64, order numbers with a line that came back),
        ``return_cost_amount``; with ``tickets`` ``ticket_count`` and ``ticket_cost_amount``; with ``contacts``
        ``contact_count`` and ``contact_cost_amount`` (counts Int64, costs Float64; a contact's cost is null when
        one is unknown).
        ``service_cost_amount`` (Float64, the sum of these costs), ``contribution_amount`` (Float64, revenue less goods,
        where known, less service), ``contribution_ratio`` (Float64, of one's own revenue; below zero for who costs
        more than they bring; null where revenue is not above zero), ``rank`` (Int64, 1 is the largest contribution;
        ties go by ``customer_id``; the unknown come last).

    Raises
    ------
    SchemaError
        For costs that are negative or of an unknown activity, a table without its cost, tables of different kinds,
        ``since`` not before ``as_of``, or when nothing lies between them.

    Notes
    -----
    ``contribution = revenue - goods - orders x c_order - returns x c_return - tickets x c_ticket - contacts``.
    Sums over the customers are those of the lines, to the cent.

    An order is told from a credit note as in :func:`value_table`. A return is an ``order_id`` with a line of negative
    ``quantity`` (of negative ``amount`` where there is no quantity): a parcel that comes back is handled once. Returns
    that the contract matches or sets aside are not seen here, and cost nothing: leave ``returns="keep"``.

    Somebody who was contacted and never bought has a row, with no revenue: no cost is lost. Leave prospects out of
    ``contacts`` if winning customers is another budget. Costs are averages: they say where to look, and not what would
    be saved by losing a customer, since rent and wages stay (Kaplan and Narayanan 2001, "Measuring and managing
    customer profitability", Journal of Cost Management 15(5)).

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b", "b"], "order_id": [1, 2, 3, 4], "amount": [50.0, 30.0, 15.0, -15.0],
    ...     "cost": [20.0, 10.0, 6.0, -6.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-20", "2024-01-10", "2024-01-30"]),
    ... })
    >>> table = contribution_table(orders, as_of="2024-02-01", costs={"order": 4.5, "return": 8.0})
    >>> table[["customer_id", "margin_amount", "service_cost_amount", "contribution_amount", "rank"]]
      customer_id  margin_amount  service_cost_amount  contribution_amount  rank
    0           a           50.0                  9.0                 41.0     1
    1           b            0.0                 12.5                -12.5     2
    """
    caller = "contribution_table"
    tables = {"transactions": Transactions.bind(transactions)} | _bound({"tickets": tickets, "contacts": contacts})
    prices = _check_costs(costs, tables, caller=caller)
    _check_joinable(tables, caller=caller)
    tables = {name: _between(table, since, as_of, caller=caller) for name, table in tables.items()}
    with_goods = tables["transactions"].has("cost")
    if all(is_empty(table.need(MOMENTS[name], caller=caller), MOMENTS[name]) for name, table in tables.items()):
        raise no_line(as_of, caller=caller, since=since)
    parts = [_bought(tables["transactions"], caller=caller)]
    parts += [_asked(tables["tickets"], caller=caller)] if "tickets" in tables else []
    parts += [_reached(tables["contacts"], prices.get("contact"), caller=caller)] if "contacts" in tables else []
    activities = ["order", "return", *[name for name in ("ticket", "contact") if f"{name}s" in tables]]
    customers = _costed(_one_row_each(parts), activities, prices, with_goods=with_goods)
    goods = ["goods_cost_amount", "margin_amount"] if with_goods else []
    told = [column for name in activities for column in (f"{name}_count", f"{name}_cost_amount")]
    ranked = _ranked(customers).with_columns(_whole=nw.col("total_amount").round(TIE_DECIMALS))  # not a last bit
    found = ranked.select(
        "customer_id", "total_amount", *goods, *told, "service_cost_amount", "contribution_amount",
        ratio("contribution_amount", "_whole").alias("contribution_ratio"), "rank",
    )  # fmt: skip
    return tables["transactions"].to_native(found.sort("customer_id"))


# -- what came -----------------------------------------------------------------------------------------------------


def _check_costs(costs: Any, tables: dict[str, Contract], *, caller: str) -> dict[str, float]:
    """Read what each activity costs; a table that came needs its cost."""
    if not hasattr(costs, "items"):
        msg = f'{caller}: costs must be a mapping such as costs={{"order": 4.5, "return": 8.0}}, got {costs!r}.'
        raise SchemaError(msg)
    for name in costs:
        if name not in ACTIVITIES:
            msg = f"{caller}: costs has {name!r}.{did_you_mean(name, ACTIVITIES)} Activities: {list(ACTIVITIES)}."
            raise SchemaError(msg)
    for name in ("ticket", "contact"):
        table = tables.get(f"{name}s")
        if table is not None and name not in costs and not (name == "contact" and table.has("cost")):
            msg = f'{caller}: {name}s came without what one costs. Say it: costs={{"{name}": ...}}; 0 for nothing.'
            raise SchemaError(msg)
    return {name: check_amount(cost, name=f"costs[{name!r}]", caller=caller) for name, cost in costs.items()}


def _bound(given: dict[str, Any]) -> dict[str, Contract]:
    kinds: dict[str, type[Contract]] = {"tickets": Tickets, "contacts": Contacts}
    return {name: kinds[name].bind(table) for name, table in given.items() if table is not None}


def _check_joinable(tables: dict[str, Contract], *, caller: str) -> None:
    check_same_kind({name: table.engine for name, table in tables.items()}, caller=caller)
    check_same_ids(tables.values(), role="customer_id", caller=caller)


def _between(table: Contract, since: Any, as_of: Any, *, caller: str) -> Contract:
    """Keep what happened from ``since`` (inclusive) to ``as_of`` (exclusive)."""
    start, end = as_period(since, as_of, caller=caller)
    return table.before(end) if start is None else table.between(start, end)


# -- one row per customer ------------------------------------------------------------------------------------------


def _bought(table: Contract, *, caller: str) -> Plan:
    """Add up revenue, goods, orders and returns."""
    extra = [name for name in ("cost", "quantity") if table.has(name)]
    lines = table.need(*ORDER_ROLES, *extra, caller=caller)
    came_back = (nw.col("quantity" if "quantity" in extra else "amount") < 0).fill_null(value=False)
    cost = nw.col("cost") if "cost" in extra else nw.lit(0.0)
    lines = lines.with_columns(
        _back=came_back.cast(nw.Int64), _cost=cost.cast(nw.Float64), _uncosted=cost.is_null().cast(nw.Int64)
    )
    sums = {"_back": nw.col("_back").max(), "_cost": nw.col("_cost").sum(), "_uncosted": nw.col("_uncosted").sum()}
    orders = gather(lines, "customer_id", "order_id", **sums)
    return _part(
        orders, total_amount=nw.col("amount"), goods_cost_amount=nw.col("_cost"), _uncosted=nw.col("_uncosted"),
        order_count=nw.col("is_order"), return_count=nw.col("_back"),
    )  # fmt: skip


def _asked(table: Contract, *, caller: str) -> Plan:
    """Count tickets."""
    return _part(table.need("customer_id", "opened_at", "ticket_id", caller=caller), ticket_count=nw.lit(1))


def _reached(table: Contract, price: float | None, *, caller: str) -> Plan:
    """Count contacts and add up what they cost: each its own cost, else what a contact costs on average."""
    roles = [name for name in ("arm", "cost") if table.has(name)]
    lines = table.need("customer_id", "timestamp", *roles, caller=caller)
    if "arm" in roles:
        lines = lines.filter(not_held_out())
    cost = nw.col("cost").cast(nw.Float64) if "cost" in roles else nw.lit(price).cast(nw.Float64)
    cost = cost.fill_null(price) if "cost" in roles and price is not None else cost
    lines = lines.with_columns(_cost=cost)
    return _part(
        lines, contact_count=nw.lit(1), contact_cost_amount=nw.col("_cost"),
        _unpriced=nw.col("_cost").is_null().cast(nw.Int64),
    )  # fmt: skip


AMOUNTS = ("total_amount", "goods_cost_amount", "contact_cost_amount")
COUNTS = ("order_count", "return_count", "ticket_count", "contact_count", "_uncosted", "_unpriced")


def _part(lines: Plan, **columns: nw.Expr) -> Plan:
    """Give the lines of any table the same columns, with 0 for what they do not tell: so that they can be stacked."""
    told = [columns.get(name, nw.lit(0.0)).cast(nw.Float64).fill_null(0.0).alias(name) for name in AMOUNTS]
    told += [columns.get(name, nw.lit(0)).cast(nw.Int64).alias(name) for name in COUNTS]
    summed = lines.select("customer_id", *told).group_by("customer_id")
    return _summed(summed)


def _summed(grouped: Any) -> Plan:
    summed: Plan = grouped.agg(*[nw.col(name).sum() for name in (*AMOUNTS, *COUNTS)])
    return summed.select(
        "customer_id",
        *[nw.col(name).cast(nw.Float64) for name in AMOUNTS],
        *[nw.col(name).cast(nw.Int64) for name in COUNTS],
    )


def _one_row_each(parts: list[Plan]) -> Plan:
    """Stack the parts and add them up: who is in one table only is not lost, as in a join."""
    return _summed(nw.concat(parts).group_by("customer_id")) if len(parts) > 1 else parts[0]


def _costed(customers: Plan, activities: list[str], prices: dict[str, float], *, with_goods: bool) -> Plan:
    """Turn counts into costs, and take these off; what is unknown stays unknown."""
    priced = {
        f"{name}_cost_amount": nw.col(f"{name}_count").cast(nw.Float64) * prices.get(name, 0.0)
        for name in activities
        if name != "contact"
    }
    known = nw.when(nw.col("_unpriced") == 0).then(nw.col("contact_cost_amount")).otherwise(None)
    goods = nw.when(nw.col("_uncosted") == 0).then(nw.col("goods_cost_amount")).otherwise(None)
    service = reduce(nw.Expr.__add__, [nw.col(f"{name}_cost_amount") for name in activities])
    margin = nw.col("total_amount") - nw.col("goods_cost_amount") if with_goods else nw.col("total_amount")
    return (
        customers.with_columns(
            contact_cost_amount=known.cast(nw.Float64), goods_cost_amount=goods.cast(nw.Float64), **priced
        )
        .with_columns(service_cost_amount=service, margin_amount=margin)
        .with_columns(contribution_amount=nw.col("margin_amount") - nw.col("service_cost_amount"))
    )


def _ranked(customers: Plan) -> Plan:
    """Rank customers by contribution, the unknown last: engines sort nulls each its own way."""
    value = nw.col("contribution_amount")
    order = ["_unknown", "_order", "customer_id"]
    return customers.with_columns(
        _unknown=value.is_null().cast(nw.Int64),
        _order=0.0 - in_ties(value.fill_null(0.0)),
        _one=nw.lit(1).cast(nw.Int64),
    ).with_columns(rank=nw.col("_one").cum_sum().over(order_by=order).cast(nw.Int64))
