"""What is said of loyal customers, held against one's own data: the pattern of profit, and the folklore."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt

from crmlytics._frames import Engine, collect, columns_of, enter, id_column
from crmlytics._validation import as_moment, check_amount, check_fraction
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

    from crmlytics._kernels.special import Vector

YEAR_COLUMNS = ("customer_id", "year_of_relationship", "amount", "cost")
OPTIONAL_PARTS = {"price_premium_amount": 1.0, "referral_amount": 1.0, "acquisition_cost": -1.0}

CLAIM_SCHEMA = nw.Schema(
    {
        "claim": nw.String(),
        "claimed_low": nw.Float64(),
        "claimed_high": nw.Float64(),
        "observed": nw.Float64(),
        "measure": nw.String(),
        "claimed_by": nw.String(),
        "disputed_by": nw.String(),
    },
)
CLAIMS: tuple[dict[str, Any], ...] = (
    {
        "claim": "20 % of the customers make 80 % of the revenue",
        "claimed_low": 0.8,
        "claimed_high": 0.8,
        "measure": "share of revenue of the best 20 % of the customers",
        "claimed_by": "folklore, the 80/20 rule named after Pareto",
        "disputed_by": "Sharp, Romaniuk and Graham (2019): not much more than half of a brand's sales",
    },
    {
        "claim": "Winning a customer costs five times as much as keeping one",
        "claimed_low": 5.0,
        "claimed_high": 5.0,
        "measure": "acquisition_cost / retention_cost",
        "claimed_by": "folklore, quoted without a source",
        "disputed_by": "Sharp (2010), as reviewed by Ritson (2010)",
    },
    {
        "claim": "Keeping 5 % more of the customers raises profit by 25 to 85 %",
        "claimed_low": 0.25,
        "claimed_high": 0.85,
        "measure": "rise in the value of a customer if retention rises by five percentage points",
        "claimed_by": "Reichheld and Sasser (1990)",
        "disputed_by": "Sharp (2010): a thought experiment; from 10 to 5 % churn is a halving of churn",
    },
)


# -- the pattern of profit


def profit_pattern_table(customer_years: Any) -> Any:
    """Take the profit of a customer apart by year of the relationship: why old customers bring more, if they do.

    Parameters
    ----------
    customer_years : dataframe, one row per customer and year of relationship
        ``customer_id``, ``year_of_relationship`` (1, 2, ...; every customer has a year 1), ``amount`` (revenue of the
        year), ``cost`` (of goods and service). If given, also ``acquisition_cost``, ``referral_amount`` (profit from
        customers they brought) and ``price_premium_amount`` (what part of ``amount`` is due to a price above the base
        price). For averages instead of customers: one customer.

    Returns
    -------
    dataframe of the kind that came in, one row per year of relationship, sorted by it
        ``year_of_relationship``, ``customer_count`` (Int64), and per customer of that year (Float64):
        ``base_profit_amount`` (profit of the first year, of all customers),
        ``selection_amount`` (how much more the first year of those who are still there brought: who stays, not growth),
        ``growth_amount`` (more revenue than in their own first year, at the first year's ratio of cost to revenue),
        ``cost_saved_amount`` (cost at that ratio less the cost there was), and, if their columns are given,
        ``price_premium_amount``, ``referral_amount`` and ``acquisition_cost_amount`` (negative);
        ``profit_amount``, their sum, which is the profit that came in.

    Raises
    ------
    SchemaError
        If a number is missing, a year is no whole number from 1, a row is repeated, or a customer has no first year.

    Notes
    -----
    Reichheld and Sasser's chart has no selection: it compares the customers who are left with all who came, so
    that growth contains the fact that good customers stay. With B and C revenue (net of the price premium)
    and cost of a year, B1 and C1 those of the same customers' first year and k = C1 / B1, growth is ``(B - B1)(1 - k)``
    and cost saved ``C1 + k (B - B1) - C``. Where B1 is not above zero, k is taken for 0.

    References
    ----------
    Reichheld, F. and Sasser, W. (1990), Zero defections: quality comes to services, Harvard Business Review 68(5),
    105-111. Reinartz, W. and Kumar, V. (2002), The mismanagement of customer loyalty, Harvard Business Review 80(7),
    found no evidence that loyal customers cost less, pay more or bring others.

    Examples
    --------
    >>> import pandas as pd
    >>> years = pd.DataFrame({
    ...     "customer_id": ["a", "b", "a"], "year_of_relationship": [1, 1, 2],
    ...     "amount": [100.0, 60.0, 120.0], "cost": [70.0, 42.0, 80.0], "acquisition_cost": [20.0, 20.0, 0.0],
    ... })
    >>> print(profit_pattern_table(years).round(2).T.to_string(header=False))
    year_of_relationship       1.0   2.0
    customer_count             2.0   1.0
    base_profit_amount        24.0  24.0
    selection_amount           0.0   6.0
    growth_amount              0.0   6.0
    cost_saved_amount          0.0   4.0
    acquisition_cost_amount  -20.0   0.0
    profit_amount              4.0  40.0
    """
    caller = "profit_pattern_table"
    years = _read_customer_years(customer_years, caller=caller)
    rows = [_profit_of_year(years, int(year)) for year in np.unique(years.year)]
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    whole = ("year_of_relationship", "customer_count")
    schema = nw.Schema({name: nw.Int64() if name in whole else nw.Float64() for name in columns})
    return years.engine.from_columns(columns, schema)


@dataclass(frozen=True, slots=True)
class _CustomerYears:
    """Columns of one entry per customer and year.

    Attributes
    ----------
    base : float array
        Revenue at base prices.
    more : dict of name to float array
        The optional columns that are there.
    first_row : int array
        The place of the same customer's year 1.
    """

    year: npt.NDArray[np.int64]
    base: Vector
    cost: Vector
    more: dict[str, Vector]
    first_row: npt.NDArray[np.int64]
    engine: Engine

    @property
    def profit(self) -> Vector:
        return self.base - self.cost + sum(sign * self.more.get(name, 0.0) for name, sign in OPTIONAL_PARTS.items())


def _read_customer_years(native: Any, *, caller: str) -> _CustomerYears:
    frame, engine = enter(native, caller=caller)
    present = columns_of(frame)
    missing = [name for name in YEAR_COLUMNS if name not in present]
    if missing:
        raise MissingColumnsError(f"{caller} needs the columns {missing}, got {present}.")
    optional = [name for name in OPTIONAL_PARTS if name in present]
    names = [*YEAR_COLUMNS[1:], *optional]
    key = id_column("customer_id", frame.collect_schema()["customer_id"], caller=caller)
    table = collect(frame.select(key, *(nw.col(name).cast(nw.Float64).fill_null(math.nan) for name in names)))
    numbers = {name: _numbers(table, name) for name in names}
    for name, values in numbers.items():
        if not np.isfinite(values).all():
            raise SchemaError(
                f"{caller}: column {name!r} has missing or infinite numbers. Where there is none, write 0."
            )
    year = numbers["year_of_relationship"]
    if len(year) == 0 or not ((year >= 1) & (year == np.floor(year))).all():
        raise SchemaError(f"{caller}: year_of_relationship must be a whole number from 1, in at least one row.")
    more = {name: numbers[name] for name in optional}
    return _CustomerYears(
        year=year.astype(np.int64),
        base=numbers["amount"] - more.get("price_premium_amount", np.zeros(len(year))),
        cost=numbers["cost"],
        more=more,
        first_row=_first_rows(table["customer_id"].to_list(), year.astype(np.int64).tolist(), caller=caller),
        engine=engine,
    )


def _first_rows(customers: list[Any], years: list[int], *, caller: str) -> npt.NDArray[np.int64]:
    places = {row: place for place, row in enumerate(zip(customers, years, strict=True))}
    if len(places) < len(customers):
        raise SchemaError(
            f"{caller}: {len(customers) - len(places)} rows repeat a customer and year. Add them up first."
        )
    without = sorted({customer for customer in customers if (customer, 1) not in places}, key=str)
    if without:
        msg = f"{caller}: {len(without)} customers have no year 1 to compare with (first: {without[0]!r})."
        raise SchemaError(msg)
    return np.array([places[customer, 1] for customer in customers])


def _profit_of_year(years: _CustomerYears, year: int) -> dict[str, Any]:
    now, start = years.year == year, years.year == 1
    first = years.first_row[now]
    revenue, cost = years.base[now].mean(), years.cost[now].mean()
    first_revenue, first_cost = years.base[first].mean(), years.cost[first].mean()
    ratio = first_cost / first_revenue if first_revenue > 0 else 0.0
    base = years.base[start].mean() - years.cost[start].mean()
    amounts = {
        "base_profit_amount": base,
        "selection_amount": first_revenue - first_cost - base,
        "growth_amount": (revenue - first_revenue) * (1 - ratio),
        "cost_saved_amount": first_cost + ratio * (revenue - first_revenue) - cost,
    }
    for name, sign in OPTIONAL_PARTS.items():
        if name in years.more:
            amounts[name.replace("cost", "cost_amount")] = sign * years.more[name][now].mean() + 0.0  # no minus zero
    return {
        "year_of_relationship": year,
        "customer_count": int(now.sum()),
        **amounts,
        "profit_amount": years.profit[now].mean(),
    }


# -- folklore


def claims_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    acquisition_cost: float | None = None,
    retention_cost: float | None = None,
    retention_rate: float | None = None,
    discount_rate: float | None = None,
) -> Any:
    """Hold what everybody says about customers against one's own data: who claims it, who disputes it, what is found.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``.
    as_of : date
        Lines on or after it are left out.
    acquisition_cost, retention_cost : float, optional
        What you spend on winning a customer, and on keeping one: they have no defaults.
    retention_rate, discount_rate : float, optional
        Share of customers who stay for another period, and the discount rate of that period.

    Returns
    -------
    dataframe of the kind that came in, one row per claim
        ``claim`` (String), ``claimed_low``, ``claimed_high`` (Float64, equal where one number is claimed), ``observed``
        (Float64; null where what it takes was not given), ``measure`` (String, what ``observed`` is), ``claimed_by``,
        ``disputed_by`` (String).

    Notes
    -----
    Observed are: the share of revenue of the best 20 % of the customers (rounded up to whole ones; all lines, returns
    taken off; null if revenue is not above zero); ``acquisition_cost / retention_cost``; and the share by which the
    lifetime value ``m (1 + d) / (1 + d - r)`` rises if r rises by five percentage points (null if r is above .95). The
    last one is the value of a customer, not the profit of the firm, and five points can be a halving of churn.

    References
    ----------
    Reichheld, F. and Sasser, W. (1990), Zero defections: quality comes to services, Harvard Business Review 68(5),
    105-111. Sharp, B. (2010), How brands grow, Oxford University Press. Sharp, B., Romaniuk, J. and Graham, C. (2019),
    Marketing's 60/20 Pareto law, SSRN 3498097. Ritson, M. (2010), Marketing Week, 13 July.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "c", "d", "e"], "amount": [60.0, 10.0, 10.0, 10.0, 10.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01"] * 5),
    ... })
    >>> table = claims_table(orders, as_of="2024-02-01", retention_rate=0.8, discount_rate=0.1)
    >>> table[["claimed_low", "claimed_high", "observed"]].round(2)
       claimed_low  claimed_high  observed
    0         0.80          0.80       0.6
    1         5.00          5.00       NaN
    2         0.25          0.85       0.2
    """
    caller = "claims_table"
    as_of = as_moment(as_of, caller=caller)
    table = Transactions.bind(transactions).before(as_of)
    lines = table.need("customer_id", "timestamp", "amount", caller=caller)
    totals = collect(
        lines.group_by("customer_id").agg(nw.col("amount").sum()).select(nw.col("amount").cast(nw.Float64))
    )
    observed = [
        _share_of_the_best(_numbers(totals, "amount")),
        _cost_ratio(acquisition_cost, retention_cost, caller=caller),
        _rise_in_value(retention_rate, discount_rate, caller=caller),
    ]
    rows = [{**claim, "observed": value} for claim, value in zip(CLAIMS, observed, strict=True)]
    columns = {name: [row[name] for row in rows] for name in CLAIM_SCHEMA.names()}
    return table.engine.from_columns(columns, CLAIM_SCHEMA)


def _share_of_the_best(amounts: Vector) -> float | None:
    total = math.fsum(amounts)
    if len(amounts) == 0 or not total > 0:
        return None
    best = np.sort(amounts)[::-1][: -(-len(amounts) // 5)]
    return math.fsum(best) / total


def _cost_ratio(acquisition_cost: float | None, retention_cost: float | None, *, caller: str) -> float | None:
    if acquisition_cost is None or retention_cost is None:
        return None
    winning = check_amount(acquisition_cost, name="acquisition_cost", caller=caller)
    return winning / check_amount(retention_cost, name="retention_cost", caller=caller, positive=True)


def _rise_in_value(retention_rate: float | None, discount_rate: float | None, *, caller: str) -> float | None:
    if retention_rate is None or discount_rate is None:
        return None
    rate = check_fraction(retention_rate, name="retention_rate", caller=caller)
    leaving = check_amount(discount_rate, name="discount_rate", caller=caller) + 1 - rate
    return 0.05 / (leaving - 0.05) if rate <= 0.95 and leaving > 0.05 else None


def _numbers(table: nw.DataFrame[Any], name: str) -> Vector:
    return np.asarray(table[name].to_numpy(), dtype=float)
