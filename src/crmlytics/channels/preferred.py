"""The channel that each customer prefers, computed where the order lines live."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._orders import ORDER_ROLES, gather
from crmlytics._sales import named
from crmlytics._validation import as_period, check_fraction
from crmlytics.channels._reading import CHANNEL, UNKNOWN
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

CALLER = "preferred_channel_table"
KEY = "customer_id"


def preferred_channel_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    confidence: float = 0.95,
) -> Any:
    r"""Tell which channel each customer prefers, how strongly, and whether that is clear.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp``, ``amount`` and ``channel``. On DuckDB, PySpark and Polars
        LazyFrames nothing is computed before somebody asks.
    as_of : date
        Only what was before it is read.
    since : date, optional
        The beginning of the period; by default that of the data.
    confidence : float, default 0.95
        How sure a preference must be to be clear.

    Returns
    -------
    dataframe of the kind that came in, one row per customer with an order, sorted by ``customer_id``
        ``customer_id``, ``preferred_channel`` (String, ordered through most often; of equals the one of the last
        order, then the first by name; null where no channel is known), ``preferred_order_count`` (Int64, orders through
        it), ``order_count`` (Int64, through all, those without a channel as well; an order with lines of two channels
        is one of each), ``channel_count`` (Int64, known ones), ``preferred_share`` (Float64, expected of the next
        orders: the customer's share drawn towards that of all orders), ``prior_order_count`` (Float64, as how many
        orders of the customer's own the share of all counts, the same on every row; null: a customer's orders are no
        more alike than those of strangers, and only the share of all counts), ``is_clear`` (Boolean, the lead over the
        customer's second channel is more than chance), ``last_channel`` (String, of the last order with one).

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role is missing.

    Notes
    -----
    ``preferred_share`` is the mean of a Dirichlet posterior, :math:`(n_c + s b_c) / (n + s)`, with :math:`b_c` the
    channel's share of all orders and :math:`s` the ``prior_order_count``. How much it must count is read from the data:
    with :math:`\rho` the share, beyond chance, in which two orders of one customer use the same channel (the mean over
    customers with two orders or more, against :math:`\sum b_c^2`), :math:`s = (1 - \rho) / \rho`. Where nobody ordered
    twice it is 1.

    ``is_clear`` asks whether the customer would divide the orders through the two most used channels evenly:
    :math:`n_1 > n_2` and :math:`(n_1 - n_2 - 1)^2 > z^2 (n_1 + n_2)`, the two-sided binomial test with the correction
    of Yates, which is never less strict than the exact one at the usual levels. With 95 % that takes six orders through
    one channel and none through another, or eight and one. That the channels are the first two of several, picked after
    the fact, does no harm: who prefers none is called clear in 5 % at most (Hung and Fithian 2019).

    **When not to use it**: to write to customers through the channel they *buy* in, without consent; and with few
    orders, which show no preference, as ``is_clear`` says.

    References
    ----------
    J. E. Mosimann (1962), "On the compound multinomial distribution", Biometrika 49. K. Hung and W. Fithian (2019),
    "Rank verification for exponential family models", Annals of Statistics 47.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.channels.preferred import preferred_channel_table
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a"] * 6 + ["b"] * 2 + ["c"] * 4, "order_id": range(12), "amount": 10.0,
    ...     "channel": ["web"] * 6 + ["web", "store"] + ["store"] * 4,
    ...     "timestamp": pd.date_range("2024-01-01", periods=12),
    ... })
    >>> table = preferred_channel_table(orders, as_of="2024-02-01")
    >>> table[["customer_id", "preferred_channel", "order_count", "preferred_share", "is_clear"]].round(2)
      customer_id preferred_channel  order_count  preferred_share  is_clear
    0           a               web            6             0.89      True
    1           b             store            2             0.46     False
    2           c             store            4             0.79     False
    """
    level = check_fraction(confidence, name="confidence", caller=CALLER)
    begin, end = as_period(since, as_of, caller=CALLER)
    whole = Transactions.bind(transactions)
    table = whole.before(end) if begin is None else whole.between(begin, end)
    lines = table.need(*ORDER_ROLES, CHANNEL, caller=CALLER).with_columns(named(CHANNEL, UNKNOWN))
    orders = gather(lines, KEY, "order_id", CHANNEL, last=nw.col("timestamp").max()).filter(nw.col("is_order") == 1)
    counted = orders.with_columns(one=nw.lit(1).cast(nw.Int64)).group_by(KEY, CHANNEL)
    uses = counted.agg(orders=nw.col("one").sum(), last=nw.col("last").max())
    return table.to_native(_preferred(uses, level))


# -- inside --------------------------------------------------------------------------------------------------------


def _preferred(uses: nw.LazyFrame[Any], level: float) -> nw.LazyFrame[Any]:
    """Put together, per customer, what is read from the orders through each channel."""
    known = uses.filter(nw.col(CHANNEL) != UNKNOWN)
    base = _base(known)
    total = uses.group_by(KEY).agg(order_count=nw.col("orders").sum())
    table = total.join(_places(known.join(base, on=CHANNEL, how="left")), on=KEY, how="left")
    own, lead, both = nw.col("first"), nw.col("first") - nw.col("second"), nw.col("first") + nw.col("second")
    likeness, share = nw.col("likeness"), nw.col("base_share")
    is_clear = (lead > 0) & ((lead - 1) * (lead - 1) > _squared_quantile(level) * both)
    expected = (likeness * own + (1 - likeness) * share) / (likeness * nw.col("known_count") + 1 - likeness)
    return (
        table.join(_likeness(known, base), how="cross")
        .select(
            KEY,
            "preferred_channel",
            own.fill_null(0).cast(nw.Int64).alias("preferred_order_count"),
            nw.col("order_count").cast(nw.Int64),
            nw.col("channel_count").fill_null(0).cast(nw.Int64),
            expected.cast(nw.Float64).alias("preferred_share"),
            _prior(likeness).cast(nw.Float64).alias("prior_order_count"),
            is_clear.fill_null(value=False).alias("is_clear"),
            "last_channel",
        )
        .sort(KEY)
    )


def _base(known: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Return the share of all orders that each channel has, and its number by name."""
    counted = known.group_by(CHANNEL).agg(_orders=nw.col("orders").sum())
    whole = known.select(_all=nw.col("orders").sum())
    share = nw.col("_orders").cast(nw.Float64) / nw.col("_all").cast(nw.Float64)
    one = nw.lit(1).cast(nw.Int64)
    numbered = counted.with_columns(_one=one, _group=one).with_columns(
        code=nw.col("_one").cum_sum().over("_group", order_by=CHANNEL)
    )
    return numbered.join(whole, how="cross").select(CHANNEL, "code", base_share=share)


def _places(known: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Return, per customer, the channel used most, its share of all, the latest, and the orders of the first two."""
    one, orders = nw.col("_one"), nw.col("orders")
    ranked = known.with_columns(_one=nw.lit(1).cast(nw.Int64), _backwards=-nw.col("code")).with_columns(
        _place=one.cum_sum().over(KEY, order_by=["orders", "last", "_backwards"]),
        _age=one.cum_sum().over(KEY, order_by=["last", "orders", "_backwards"]),
        _count=one.sum().over(KEY),
    )
    is_best, is_last = nw.col("_place") == nw.col("_count"), nw.col("_age") == nw.col("_count")
    no_name, nothing = nw.lit(""), nw.lit(0).cast(nw.Int64)
    picked = ranked.select(
        KEY,
        "_one",
        "orders",
        preferred_channel=nw.when(is_best).then(nw.col(CHANNEL)).otherwise(no_name),
        last_channel=nw.when(is_last).then(nw.col(CHANNEL)).otherwise(no_name),
        base_share=nw.when(is_best).then(nw.col("base_share")).otherwise(nw.lit(0.0)),
        first=nw.when(is_best).then(orders).otherwise(nothing),
        second=nw.when(nw.col("_place") == nw.col("_count") - 1).then(orders).otherwise(nothing),
    )
    names, numbers = ("preferred_channel", "last_channel"), ("base_share", "first", "second")
    return picked.group_by(KEY).agg(
        *[nw.col(name).max() for name in names],
        *[nw.col(name).sum() for name in numbers],
        known_count=orders.sum(),
        channel_count=one.sum(),
    )


def _likeness(known: nw.LazyFrame[Any], base: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
    """Return, in one row, how alike two orders of one customer are beyond chance: 0 to 1."""
    orders, total = nw.col("orders").cast(nw.Float64), nw.col("total").cast(nw.Float64)
    pairs = known.with_columns(_pairs=orders * (orders - 1)).group_by(KEY)
    sums = pairs.agg(total=nw.col("orders").sum(), pairs=nw.col("_pairs").sum()).filter(nw.col("total") > 1)
    alike = sums.select(alike=(nw.col("pairs") / (total * (total - 1))).mean())
    chance = base.select(chance=(nw.col("base_share") * nw.col("base_share")).sum())
    beyond = (nw.col("alike") - nw.col("chance")) / (1 - nw.col("chance"))
    likeness = (
        nw.when(nw.col("chance") >= 1)  # one channel: all orders are alike, and none more than others
        .then(nw.lit(0.0))
        .when(nw.col("alike").is_null())
        .then(nw.lit(0.5))
        .when(beyond < 0)
        .then(nw.lit(0.0))
        .otherwise(beyond)
    )
    return alike.join(chance, how="cross").select(likeness=likeness)


def _prior(likeness: nw.Expr) -> nw.Expr:
    """Return as how many orders the share of all counts; missing where nothing else does."""
    return nw.when(likeness > 0).then((1 - likeness) / likeness)


def _squared_quantile(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + level) / 2) ** 2
