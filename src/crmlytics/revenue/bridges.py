"""The bridge between two periods: customers who came and went, and volume, mix and price of those who stayed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._orders import ORDER_ROLES, ROUNDING, orders_of
from crmlytics._periods import customer_periods, filled, first_active_period, period_grid
from crmlytics._validation import as_moment
from crmlytics.revenue._groups import TIE_DECIMALS, Grouping, check_periods, comparisons, now_and_before
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

    from crmlytics._periods import PeriodGrid

CALLER = "bridge_table"
OF_CUSTOMERS = ("new", "reactivated", "lost", "returns")
OF_KEPT = ("volume_effect", "mix_effect", "price_effect", "added_products", "dropped_products", "other_effect")
EFFECTS = tuple(f"{name}_amount" for name in (*OF_CUSTOMERS, *OF_KEPT))
CELL = ("customer_id", "period_index", "group", "_item", "_known")


def bridge_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    period: str | dt.timedelta = "month",
    lag: int = 1,
    by: str | None = None,
    customers: Any = None,
    products: Any = None,
) -> Any:
    r"""Split the change of revenue into lost and new customers and, for those kept, volume, mix and price.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``; with ``product_id`` and ``quantity`` volume
        is counted in units of products, without them in orders (see ``basis``).
    as_of : date
        The moment up to which the data are known; lines on or after it are left out.
    period : {"month", "quarter", "year"} or a number of days or weeks such as "7d", default "month"
        Calendar periods, or periods of days counted back from ``as_of``, so that the last one is whole.
    lag : int, default 1
        With which period each is compared: 1 is the one before, 12 with months the same month of the year before.
    by : str, optional
        One bridge for each value of ``"category"``, ``"channel"``, ``"partner_id"`` or ``"product_id"``, of an
        attribute of ``customers`` such as ``"country"``, or of ``"category"``, ``"department"``, ``"tier"`` in
        ``products``.
    customers, products : Customers or Products or dataframe, one row each, optional
        Where ``by`` is looked up if the order lines do not have it.

    Returns
    -------
    dataframe of the kind that came in, one row per period that has one to compare with, and group; sorted by both
        ``period_start``, ``period_end`` (Datetime, the end excluded),
        ``is_complete`` (Boolean, both periods are whole; a bridge to or from a part of a period says little),
        ``group`` (String, the value of ``by``, ``"(unknown)"`` for lines without one, ``"all"`` without ``by``),
        ``basis`` (String, ``"units"`` or ``"orders"``: what volume is counted in),
        ``previous_amount``, ``total_amount``, ``amount_change`` (Float64, revenue then, now, and the difference),
        which is the sum of ten effects (Float64). Of customers, with all of their lines:
        ``new_amount`` (first order of all since the period compared with),
        ``reactivated_amount`` (ordered now and longer ago, not in the period compared with),
        ``lost_amount`` (ordered then, not now), ``returns_amount`` (no order in either, only lines sent back).
        Of kept customers, who ordered in both:
        ``volume_effect_amount`` (more or fewer units), ``mix_effect_amount`` (dearer or cheaper products, or more to
        those who pay more, at the same number of units), ``price_effect_amount`` (customers paid another unit price
        for a product than they themselves did before),
        ``added_products_amount``, ``dropped_products_amount`` (products that they bought in one of the periods only,
        which have no price in the other), ``other_effect_amount`` (lines without product or quantity, and products of
        which more was sent back than bought).

    Raises
    ------
    SchemaError
        When ``period`` or ``by`` is not known, or the data hold no period to compare with.

    Notes
    -----
    For the products :math:`i` that kept customers bought in both periods, with units :math:`q`, unit prices
    :math:`p = a / q`, :math:`Q = \sum q_i`, :math:`s_i = q_i / Q`, a bar for the mean of then and now, and
    :math:`c` for the kept customers who bought product :math:`i` in both,

    .. math:: \text{price} = \sum_{i, c} (p_{1ic} - p_{0ic})\, \bar q_{ic}, \quad
              \text{volume} = (Q_1 - Q_0) \sum_i \bar s_i \bar p_i,

    .. math:: \text{mix} = \bar Q \sum_i (s_{1i} - s_{0i})\, \bar p_i +
              \Bigl(\sum_i (p_{1i} - p_{0i})\, \bar q_i - \text{price}\Bigr)

    These are Bennet's indicators: what changes together is halved between the two, so the bridge reads the same
    backwards with the signs turned, and nothing is left over. The order of the steps does not matter. The mean price of
    a product also moves when those who pay more for it buy more of it, though nobody's price has changed: that is the
    second part of the mix, of customers. Somebody who bought a product in one of the periods only has no price of
    their own to compare, and counts in the mix likewise.

    ``basis="orders"`` takes all orders as one product: volume is the number of orders, price what each customer's
    orders came to, and mix whether those with larger orders ordered more often.

    With ``by`` who is new, kept or lost is told from all of a customer's orders, so over the groups ``new``,
    ``reactivated``, ``lost`` and ``returns`` add up to the whole. The six effects of kept customers add up to it
    together, each on its own does not: they are told within each group, so a customer who buys the same tea in another
    channel has dropped a product in one and added it in the other.

    Units of all products are added up: where a kilogramme stands beside a piece, cut ``by`` category. A price is what
    a customer paid on average, so another discount or size under the same product number is a price. Effects are
    bookkeeping, not causes: a price rise that drives customers away shows as a gain in price and a loss of customers.

    References: T. L. Bennet, The theory of measurement of changes in cost of living, Journal of the Royal Statistical
    Society 83 (1920), 455-462. W. E. Diewert, Index number theory using differences rather than ratios, American
    Journal of Economics and Sociology 64 (2005), 311-360.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "a", "c"], "order_id": [1, 2, 3, 4], "product_id": ["tea", "tea", "tea", "tea"],
    ...     "quantity": [10, 5, 12, 1], "amount": [20.0, 10.0, 30.0, 2.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-21", "2024-02-10", "2024-02-20"]),
    ... })
    >>> columns = ["amount_change", "new_amount", "lost_amount", "volume_effect_amount", "price_effect_amount"]
    >>> print(bridge_table(orders, as_of="2024-03-01")[columns].to_string())
       amount_change  new_amount  lost_amount  volume_effect_amount  price_effect_amount
    0            2.0         2.0        -10.0                   4.5                  5.5
    """
    grid = period_grid(period, as_of=as_moment(as_of, caller=CALLER), caller=CALLER)
    table = Transactions.bind(transactions).before(grid.as_of)
    in_units = table.has("product_id", "quantity")
    roles = (*ORDER_ROLES, *(("product_id", "quantity") if in_units else ()))
    lines = Grouping(by, customers, products).lines(table, roles, caller=CALLER)
    rows = grid.rows(table, lines, caller=CALLER)
    lag = check_periods(rows, lag, caller=CALLER)
    lines = lines.with_columns(period_index=grid.number(nw.col("timestamp")))
    cells = _units(lines, text=table.id_kind("product_id") == "String") if in_units else _orders(lines)
    sums = _summed(_with_effects(_products(cells, _headings(lines, grid, lag), lag)))
    bridges = (
        comparisons(rows, lag)
        .filter(~nw.col("_before_complete").is_null())
        .join(lines.select("group").unique(), how="cross")
        .join(sums, on=["period_index", "group"], how="left")
        .with_columns(*filled((), ("previous_amount", "total_amount", *EFFECTS)))
        .select(
            "period_start",
            "period_end",
            (nw.col("is_complete") & (nw.col("_before_complete") == 1)).alias("is_complete"),
            "group",
            nw.lit("units" if in_units else "orders").cast(nw.String).alias("basis"),
            "previous_amount",
            "total_amount",
            (nw.col("total_amount") - nw.col("previous_amount")).alias("amount_change"),
            *EFFECTS,
        )
    )
    return table.to_native(bridges.sort("period_start", "group"))


# -- inside --------------------------------------------------------------------------------------------------------


def _units(lines: nw.LazyFrame[Any], *, text: bool) -> nw.LazyFrame[Any]:
    """One row per customer, period, group and product: units and amount; what has no product or no units is apart."""
    known = ~nw.col("product_id").is_null() & ~nw.col("quantity").is_null()
    item = nw.when(known).then(nw.col("product_id")).otherwise(nw.lit("" if text else 0))
    return (
        lines.with_columns(_item=item, _known=known.cast(nw.Int64), quantity=nw.col("quantity").fill_null(0.0))
        .group_by(*CELL)
        .agg(nw.col("quantity", "amount").sum())
        .with_columns(nw.col("quantity", "amount").cast(nw.Float64))
    )


def _orders(lines: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Return the same with every order as one unit of one product."""
    one = nw.lit(1).cast(nw.Int64)
    return (
        orders_of(lines, "customer_id", "period_index", "group")
        .with_columns(_item=one, _known=one, quantity=nw.col("is_order"))
        .group_by(*CELL)
        .agg(nw.col("quantity", "amount").sum())
        .with_columns(nw.col("quantity", "amount").cast(nw.Float64))
    )


def _headings(lines: nw.LazyFrame[Any], grid: PeriodGrid, lag: int) -> nw.LazyFrame[Any]:
    """One row per customer and period with a line in it or ``lag`` before: ``_heading``, their part in the bridge."""
    periods = customer_periods(lines.drop("period_index"), grid)
    customers = now_and_before(periods, ("customer_id", "period_index"), ("is_active",), lag)
    firsts = first_active_period(periods)
    active, was_active = nw.col("is_active") > 0, nw.col("_before_is_active") > 0
    heading = (
        nw.when(active & was_active)
        .then(nw.lit("kept"))
        .when(active & (nw.col("first_index") > nw.col("period_index") - lag))
        .then(nw.lit("new"))
        .when(active)
        .then(nw.lit("reactivated"))
        .when(was_active)
        .then(nw.lit("lost"))
        .otherwise(nw.lit("returns"))
    )
    named = customers.join(firsts, on="customer_id", how="left").with_columns(_heading=heading.cast(nw.String))
    return named.select("customer_id", "period_index", "_heading")


def _products(cells: nw.LazyFrame[Any], headings: nw.LazyFrame[Any], lag: int) -> nw.LazyFrame[Any]:
    """One row per period, group, heading and product: units, amounts of now and before, and what prices changed."""
    values = ("quantity", "amount")
    sums = (*values, *(f"_before_{name}" for name in values), "_own_price")
    return (
        now_and_before(cells, CELL, values, lag)
        .with_columns(nw.col(*sums[:-1]).cast(nw.Float64))
        .with_columns(_own_price=_price_effect(_is_sold_in_both()))
        .join(headings, on=["customer_id", "period_index"], how="inner")
        .group_by("period_index", "group", "_heading", "_item", "_known")
        .agg(nw.col(*sums).sum())
        .with_columns(nw.col(*sums).cast(nw.Float64))
    )


def _with_effects(products: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Add what each product adds to each effect; together the change of its amount."""
    change = nw.col("amount") - nw.col("_before_amount")
    fits = (nw.col("_heading") == "kept") & (nw.col("_known") == 1)
    priced, was_priced = _is_priced("quantity", "amount"), _is_priced("_before_quantity", "_before_amount")
    same = fits & _is_sold_in_both()
    added = fits & priced & (nw.col("_before_quantity").abs() <= ROUNDING)
    dropped = fits & was_priced & (nw.col("quantity").abs() <= ROUNDING)
    other = (nw.col("_heading") == "kept") & ~same & ~added & ~dropped
    tests = {"added_products": added, "dropped_products": dropped, "other_effect": other}
    tests |= {name: nw.col("_heading") == name for name in OF_CUSTOMERS}
    parts = {f"{name}_amount": nw.when(test).then(change).otherwise(0.0) for name, test in tests.items()}
    return _with_volume_mix_price(products.with_columns(_same=same.cast(nw.Float64), **parts))


def _is_priced(quantity: str, amount: str) -> nw.Expr:
    return (nw.col(quantity) > ROUNDING) & (nw.col(amount).round(TIE_DECIMALS) >= 0)


def _is_sold_in_both() -> nw.Expr:
    return _is_priced("quantity", "amount") & _is_priced("_before_quantity", "_before_amount")


def _price_effect(test: nw.Expr) -> nw.Expr:
    """Return the change of the unit price on mean units where the test holds, else 0."""
    one = nw.lit(1.0)  # no engine may divide by 0
    now, before = (nw.when(test).then(nw.col(name)).otherwise(one) for name in ("quantity", "_before_quantity"))
    effect = (nw.col("amount") / now - nw.col("_before_amount") / before) * (before + now) / 2
    return nw.when(test).then(effect).otherwise(0.0)


def _with_volume_mix_price(products: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Split the change of products sold in both periods by Bennet's midpoints, prices within each customer."""
    same, one = nw.col("_same") == 1.0, nw.lit(1.0)
    q0, q1, all0, all1 = (nw.col(name) for name in ("_q0", "_q1", "_all0", "_all1"))
    total0, total1 = (nw.when(same).then(total).otherwise(one) for total in (all0, all1))
    share0, share1 = q0 / total0, q1 / total1
    price = (
        nw.col("_before_amount") / nw.when(same).then(q0).otherwise(one)
        + nw.col("amount") / nw.when(same).then(q1).otherwise(one)
    ) / 2
    of_products = (total0 + total1) / 2 * (share1 - share0) * price
    of_customers = nw.col("_pooled_price") - nw.col("_own_price")
    is_dust = of_customers.abs() <= ROUNDING * (nw.col("amount").abs() + nw.col("_before_amount").abs())
    effects = {
        "price": nw.when(is_dust).then(nw.col("_pooled_price")).otherwise(nw.col("_own_price")),
        "volume": (total1 - total0) * (share0 + share1) / 2 * price,
        "mix": of_products + nw.when(is_dust).then(0.0).otherwise(of_customers),
    }
    units = {"_q0": nw.col("_before_quantity"), "_q1": nw.col("quantity")}
    return (
        products.with_columns(
            **{name: nw.when(same).then(q).otherwise(0.0) for name, q in units.items()},
            _pooled_price=_price_effect(same),
        )
        .with_columns(_all0=q0.sum().over("period_index", "group"), _all1=q1.sum().over("period_index", "group"))
        .with_columns(
            **{f"{name}_effect_amount": nw.when(same).then(part).otherwise(0.0) for name, part in effects.items()}
        )
    )


def _summed(products: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """One row per period and group."""
    sums = products.group_by("period_index", "group").agg(
        nw.col(*EFFECTS).sum(), total_amount=nw.col("amount").sum(), previous_amount=nw.col("_before_amount").sum()
    )
    return sums.with_columns(nw.col(*EFFECTS) + 0.0)  # -0.0 would be shown
