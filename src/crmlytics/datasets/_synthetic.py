"""A made customer base of which everything is known: who is alive, who spends how much, which line is dirty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from crmlytics._validation import as_moment, check_choice, check_count
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt

    import numpy as np
    import pandas as pd

_DAY_S = 86_400
_YEAR_DAYS = 365.25
_PEAK_DAY = 345  # of the year: the middle of December
_RETURN_WITHIN_DAYS = 21


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SyntheticTransactions:
    """Made transactions and the truth behind them; every table is a pandas DataFrame.

    Attributes
    ----------
    transactions
        One row per order line, by time: ``customer_id`` (Int64), ``order_id`` (text; ``C...`` cancels order ``...``,
        ``R...`` is a return), ``timestamp``, ``product_id`` (text), ``quantity`` (int64), ``unit_price``, ``amount``
        (float64; quantity x unit price).
    lines
        The truth of each row of ``transactions``, under the same index: ``dirt`` ("clean", "missing_customer",
        "duplicate", "zero_price", "negative_price", "infinite_amount", "cancellation", "cancelled"), ``is_return``
        (bool), ``true_customer_id`` (int64).
    customers
        The truth of each customer: ``customer_id``, ``joined_at``, ``weekly_order_rate`` (expected orders a week while
        active), ``dropout_probability`` (after each order), ``dropped_out_at`` (NaT if still active when the data end),
        ``mean_order_amount`` (expected amount of an order), ``order_count`` (orders placed, whatever dirt did to them).
    products
        ``product_id``, ``popularity`` (sums to one), ``list_price``.
    """

    transactions: pd.DataFrame
    lines: pd.DataFrame
    customers: pd.DataFrame
    products: pd.DataFrame

    def __repr__(self) -> str:
        """Say how much of what was made."""
        dirty = int((self.lines["dirt"] != "clean").sum())
        return (
            f"SyntheticTransactions({len(self.transactions):,} lines, {dirty:,} of them dirty; "
            f"{len(self.customers):,} customers, {len(self.products):,} products)"
        )


def make_transactions(
    *,
    customers: int = 1000,
    start: str | dt.date | dt.datetime = "2023-01-01",
    days: int = 730,
    joining_days: int = 365,
    process: Literal["mbg_nbd", "bg_nbd"] = "mbg_nbd",
    purchase_rate: tuple[float, float] = (1.0, 6.0),
    dropout: tuple[float, float] = (1.0, 6.0),
    spend: tuple[float, float, float] = (6.0, 4.0, 20.0),
    seasonality: float = 0.3,
    products: int = 50,
    lines_per_order: float = 2.5,
    return_rate: float = 0.02,
    missing_customer_rate: float = 0.0,
    duplicate_rate: float = 0.0,
    zero_price_rate: float = 0.0,
    negative_price_rate: float = 0.0,
    cancellation_rate: float = 0.0,
    infinite_amount_rate: float = 0.0,
    random_state: int = 0,
) -> SyntheticTransactions:
    r"""Make the order lines of a customer base, and keep the truth.

    A customer joins (and orders) at a uniform moment of the first ``joining_days``, then orders at random with a rate
    of its own, and after an order may leave for good with a probability of its own: BG/NBD, or MBG/NBD, where the
    first order can be the last. Amounts of orders follow the Gamma-Gamma model. Dirt is put on top of it, and noted.

    Parameters
    ----------
    customers : int
        How many, at least 1.
    start, days : date, int
        The first day of the data and their length; nothing happens at or after ``start + days``.
    joining_days : int
        Customers join during the first so many days, 0 < joining_days <= days.
    process : {"mbg_nbd", "bg_nbd"}
        Whether a customer may leave right after the first order ("mbg_nbd") or only after a repeat order.
    purchase_rate : (r, alpha)
        Orders a week are Gamma distributed with shape r and rate alpha (mean r / alpha).
    dropout : (a, b)
        The probability to leave after an order is Beta(a, b) distributed (mean a / (a + b)).
    spend : (p, q, gamma)
        An order's amount is Gamma(p, rate nu), with nu of the customer Gamma(q, rate gamma) distributed: the mean order
        is p gamma / (q - 1). Amounts are then rounded to whole cents a piece, at least one cent.
    seasonality : float
        Amplitude of a yearly wave on all rates, with its peak in mid-December; 0 <= seasonality < 1, 0 for none.
    products : int
        Size of the catalogue; popularity falls as 1 / rank.
    lines_per_order : float
        Mean number of products picked for an order, at least 1 (the same one picked twice makes one line).
    return_rate : float
        Share of order lines brought back later: a further line with negative quantity, not dirt.
    missing_customer_rate, zero_price_rate, negative_price_rate, infinite_amount_rate : float
        Share of order lines spoilt so.
    duplicate_rate : float
        Share of order lines that come twice, equal in every column; the second one is the dirt.
    cancellation_rate : float
        Share of order lines ("cancelled") followed within an hour by one with the quantity negated ("cancellation").
    random_state : int
        Seed; the same arguments give the same tables.

    Returns
    -------
    SyntheticTransactions
        ``transactions`` and the truth: ``lines``, ``customers``, ``products``. With n order lines, a rate means exactly
        ``round(rate * n)`` of them, no line chosen twice, so tests can count.

    Raises
    ------
    SchemaError
        If an argument is out of its range.

    Notes
    -----
    In operational time, where seasons last as long as they sell, the process is exactly (M)BG/NBD: orders of an
    active customer are Poisson, the number of repeat orders before leaving is geometric. Calendar time is
    :math:`t = \Lambda^{-1}(\tau)` with :math:`\Lambda'(t) = 1 + s \cos(2 \pi (t - t_{peak}) / 365.25)`.

    References
    ----------
    Fader, Hardie & Lee (2005). "Counting your customers" the easy way. Marketing Science 24(2).
    Batislam, Denizel & Filiztekin (2007). Empirical validation and comparison of models for customer base analysis.
    Fader & Hardie (2013). The Gamma-Gamma model of monetary value.

    Examples
    --------
    >>> made = make_transactions(customers=200, duplicate_rate=0.01, random_state=1)
    >>> made
    SyntheticTransactions(... customers, 50 products)
    >>> bool(made.transactions.duplicated().sum() == (made.lines["dirt"] == "duplicate").sum())
    True
    """
    import numpy as np

    rates = {
        "missing_customer": missing_customer_rate,
        "duplicate": duplicate_rate,
        "zero_price": zero_price_rate,
        "negative_price": negative_price_rate,
        "infinite_amount": infinite_amount_rate,
        "cancelled": cancellation_rate,
        "return": return_rate,
    }
    _check_sizes(customers=customers, days=days, joining_days=joining_days, products=products)
    _check_law(process, purchase_rate, dropout, spend)
    _check_rates(rates, seasonality=seasonality, lines_per_order=lines_per_order)
    origin = np.datetime64(as_moment(start, name="start", caller="make_transactions"), "us")

    rng = np.random.default_rng(random_state)
    clock = _season_clock(origin, days, seasonality)
    people = _make_customers(
        rng, customers, purchase_rate=purchase_rate, dropout=dropout, spend=spend, joining=clock.at(joining_days)
    )
    orders = _place_orders(rng, people, clock.at(days), can_leave_at_once=process == "mbg_nbd")
    catalogue = _make_catalogue(rng, products)
    lines = _fill_orders(rng, orders, people, catalogue, shape=spend[0], lines_per_order=lines_per_order)
    lines["second"] = np.floor(clock.calendar_days(orders["moment"]) * _DAY_S).astype(np.int64)[lines["order"]]
    lines = _spoil(rng, lines, rates, last_second=days * _DAY_S - 1)
    return SyntheticTransactions(
        *_as_frames(lines, origin),
        customers=_customer_truth(people, orders, clock, origin, spend[0]),
        products=_product_truth(catalogue),
    )


@dataclass(frozen=True, slots=True)
class _Clock:
    """Two clocks side by side: calendar days since the start, and days weighted by how well they sell."""

    calendar: np.ndarray
    operational: np.ndarray

    def at(self, calendar_days: float) -> float:
        """Operational days that have passed after so many calendar days."""
        import numpy as np

        return float(np.interp(calendar_days, self.calendar, self.operational))

    def calendar_days(self, operational_days: np.ndarray) -> np.ndarray:
        """Calendar days at which so many operational days have passed."""
        import numpy as np

        return np.asarray(np.interp(operational_days, self.operational, self.calendar))


def _season_clock(origin: np.datetime64, days: int, amplitude: float) -> _Clock:
    """Integrate the yearly wave day by day."""
    import numpy as np

    new_year = origin.astype("datetime64[Y]").astype("datetime64[D]")
    first_day = (origin.astype("datetime64[D]") - new_year).astype(int)
    calendar = np.arange(days + 1, dtype=float)
    turn = 2 * np.pi / _YEAR_DAYS
    wave = np.sin(turn * (calendar + first_day - _PEAK_DAY)) - np.sin(turn * (first_day - _PEAK_DAY))
    return _Clock(calendar, calendar + amplitude * wave / turn)


def _make_customers(
    rng: np.random.Generator,
    count: int,
    *,
    purchase_rate: tuple[float, float],
    dropout: tuple[float, float],
    spend: tuple[float, float, float],
    joining: float,
) -> dict[str, Any]:
    """Draw what each customer is like; ``joined`` is in operational days."""
    return {
        "weekly_rate": rng.gamma(purchase_rate[0], 1 / purchase_rate[1], count),
        "dropout": rng.beta(*dropout, count),
        "nu": rng.gamma(spend[1], 1 / spend[2], count),
        "joined": rng.uniform(0, joining, count),
    }


def _place_orders(
    rng: np.random.Generator, people: dict[str, Any], end: float, *, can_leave_at_once: bool
) -> dict[str, Any]:
    """Draw the orders of each customer until dropout or the end: ``customer`` and ``moment``, sorted by both."""
    import numpy as np

    joined = people["joined"]
    patience = rng.geometric(np.clip(people["dropout"], 1e-12, 1.0)) - int(can_leave_at_once)
    possible = rng.poisson(people["weekly_rate"] / 7 * (end - joined))
    repeats = np.minimum(possible, patience)
    customer = np.repeat(np.arange(len(joined)), possible)
    moment = joined[customer] + rng.uniform(size=len(customer)) * (end - joined[customer])
    order = np.lexsort((moment, customer))
    rank = np.arange(len(customer)) - np.repeat(np.cumsum(possible) - possible, possible)
    kept = rank < repeats[customer]
    customer, moment = customer[kept], moment[order][kept]
    customer = np.concatenate([np.arange(len(joined)), customer])
    moment = np.concatenate([joined, moment])
    order = np.lexsort((moment, customer))
    return {
        "customer": customer[order],
        "moment": moment[order],
        "count": repeats + 1,
        "left": patience <= possible,
    }


def _make_catalogue(rng: np.random.Generator, count: int) -> dict[str, Any]:
    """Draw list prices; popularity falls as 1 / rank."""
    import numpy as np

    popularity = 1 / np.arange(1, count + 1)
    return {
        "popularity": popularity / popularity.sum(),
        "list_price": np.round(np.exp(rng.normal(2.0, 0.7, count)) + 0.5, 2),
    }


def _fill_orders(
    rng: np.random.Generator,
    orders: dict[str, Any],
    people: dict[str, Any],
    catalogue: dict[str, Any],
    *,
    shape: float,
    lines_per_order: float,
) -> dict[str, Any]:
    """Draw each order's amount, pick its products, and split the amount over them in proportion to list value."""
    import numpy as np

    count = len(orders["customer"])
    total = rng.gamma(shape, 1 / people["nu"][orders["customer"]])
    picks = 1 + rng.poisson(lines_per_order - 1, count)
    catalogue_size = len(catalogue["popularity"])
    picked = np.searchsorted(np.cumsum(catalogue["popularity"]), rng.uniform(size=picks.sum()))
    picked = np.minimum(picked, catalogue_size - 1)
    places = np.sort(np.repeat(np.arange(count), picks) * catalogue_size + picked)
    is_first = np.append(True, places[1:] != places[:-1])  # np.unique hashes, which takes a hundred times as long
    order, product = np.divmod(places[is_first], catalogue_size)
    quantity = rng.geometric(0.6, len(order))
    value = catalogue["list_price"][product] * quantity
    factor = total / np.bincount(order, weights=value, minlength=count)
    price = np.maximum(np.round(catalogue["list_price"][product] * factor[order], 2), 0.01)
    return {
        "order": order,
        "customer": orders["customer"][order],
        "product": product,
        "quantity": quantity,
        "unit_price": price,
    }


def _spoil(
    rng: np.random.Generator, lines: dict[str, Any], rates: dict[str, float], *, last_second: int
) -> dict[str, Any]:
    """Choose different lines for each kind of dirt and for returns, spoil them, and append the further lines."""
    import numpy as np

    count = len(lines["order"])
    dirt = np.full(count, "clean", dtype=object)
    chosen: dict[str, Any] = {}
    shuffled = rng.permutation(count)
    for kind, rate in rates.items():
        size = min(round(rate * count), len(shuffled))
        chosen[kind], shuffled = np.sort(shuffled[:size]), shuffled[size:]
        if kind not in {"duplicate", "return"}:
            dirt[chosen[kind]] = kind
    price = lines["unit_price"]
    price[chosen["zero_price"]] = 0.0
    price[chosen["negative_price"]] *= -1
    price[chosen["infinite_amount"]] = np.inf
    lines |= {"dirt": dirt, "prefix": np.full(count, "", dtype=object), "is_return": np.zeros(count, dtype=bool)}
    again = _copy_of(lines, chosen["duplicate"], dirt="duplicate")
    undone = _copy_of(lines, chosen["cancelled"], dirt="cancellation", prefix="C", sign=-1)
    back = _copy_of(lines, chosen["return"], dirt="clean", prefix="R", sign=-1)
    back["is_return"][:] = True
    undone["second"] += rng.integers(1, 3600, len(undone["second"]))
    back["second"] += rng.integers(_DAY_S, _RETURN_WITHIN_DAYS * _DAY_S, len(back["second"]))
    together = {name: np.concatenate([part[name] for part in (lines, again, undone, back)]) for name in lines}
    together["second"] = np.minimum(together["second"], last_second)
    sort = np.lexsort(
        (together["product"], together["order"], together["second"])
    )  # stable: a copy follows its original
    return {name: values[sort] for name, values in together.items()}


def _copy_of(lines: dict[str, Any], rows: np.ndarray, *, dirt: str, prefix: str = "", sign: int = 1) -> dict[str, Any]:
    """Copy some lines under another label."""
    copy = {name: values[rows] for name, values in lines.items()}
    copy["dirt"][:] = dirt
    copy["prefix"][:] = prefix
    copy["quantity"] = copy["quantity"] * sign
    return copy


def _as_frames(lines: dict[str, Any], origin: np.datetime64) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Lay the arrays out as the transactions and the truth of each line."""
    import pandas as pd

    customer_id = pd.Series(lines["customer"] + 1)
    transactions = pd.DataFrame(
        {
            "customer_id": customer_id.astype("Int64").mask(lines["dirt"] == "missing_customer"),
            "order_id": pd.Series(lines["prefix"]).astype(str) + pd.Series(lines["order"] + 100_001).astype(str),
            "timestamp": origin + lines["second"].astype("timedelta64[s]"),
            "product_id": _product_ids(lines["product"]),
            "quantity": lines["quantity"],
            "unit_price": lines["unit_price"],
            "amount": lines["quantity"] * lines["unit_price"],
        }
    )
    truth = pd.DataFrame(
        {
            "dirt": pd.Series(lines["dirt"]).astype(str),
            "is_return": lines["is_return"],
            "true_customer_id": customer_id,
        }
    )
    return transactions, truth


def _product_ids(numbers: np.ndarray) -> pd.Series:
    """Name the products P0001, P0002, ..."""
    import numpy as np
    import pandas as pd

    names = np.array([f"P{number:04d}" for number in range(1, int(numbers.max()) + 2)], dtype=object)
    return pd.Series(names[numbers]).astype(str)


def _customer_truth(
    people: dict[str, Any], orders: dict[str, Any], clock: _Clock, origin: np.datetime64, shape: float
) -> pd.DataFrame:
    """Lay out what was planted in each customer."""
    import numpy as np
    import pandas as pd

    last = np.cumsum(orders["count"]) - 1
    seconds = {
        name: np.floor(clock.calendar_days(moments) * _DAY_S).astype("timedelta64[s]")
        for name, moments in (("joined", people["joined"]), ("last", orders["moment"][last]))
    }
    return pd.DataFrame(
        {
            "customer_id": np.arange(1, len(last) + 1),
            "joined_at": origin + seconds["joined"],
            "weekly_order_rate": people["weekly_rate"],
            "dropout_probability": people["dropout"],
            "dropped_out_at": pd.Series(origin + seconds["last"]).where(orders["left"]),
            "mean_order_amount": shape / people["nu"],
            "order_count": orders["count"],
        }
    )


def _product_truth(catalogue: dict[str, Any]) -> pd.DataFrame:
    """Lay the catalogue out."""
    import numpy as np
    import pandas as pd

    return pd.DataFrame({"product_id": _product_ids(np.arange(len(catalogue["list_price"]))), **catalogue})


def _check_sizes(*, customers: int, days: int, joining_days: int, products: int) -> None:
    """Refuse counts below one, and joining after the end."""
    sizes = {"customers": customers, "days": days, "joining_days": joining_days, "products": products}
    for name, value in sizes.items():
        check_count(value, name=name, caller="make_transactions")
    if joining_days > days:
        raise SchemaError(f"make_transactions: joining_days={joining_days} is longer than the data, days={days}.")


def _check_law(process: str, *parameters: tuple[float, ...]) -> None:
    """Refuse parameters no distribution has."""
    check_choice(process, ["mbg_nbd", "bg_nbd"], name="process", caller="make_transactions")
    expected = {"purchase_rate": "(r, alpha)", "dropout": "(a, b)", "spend": "(p, q, gamma)"}
    for (name, shape), values in zip(expected.items(), parameters, strict=True):
        if len(values) != shape.count(",") + 1 or not all(value > 0 for value in values):
            raise SchemaError(f"make_transactions: {name} must be {shape}, all above 0, got {values!r}.")


def _check_rates(rates: dict[str, float], *, seasonality: float, lines_per_order: float) -> None:
    """Refuse shares that are none, or that need more lines than there are."""
    for name, rate in rates.items():
        if not 0 <= rate <= 1:
            raise SchemaError(f"make_transactions: the rate of {name!r} must lie between 0 and 1, got {rate!r}.")
    if sum(rates.values()) > 1:
        msg = (
            f"make_transactions: the rates sum to {sum(rates.values()):g}; a line has one fault, so at most 1: {rates}."
        )
        raise SchemaError(msg)
    if not 0 <= seasonality < 1:
        raise SchemaError(f"make_transactions: seasonality must lie in [0, 1), got {seasonality!r}.")
    if lines_per_order < 1:
        raise SchemaError(f"make_transactions: lines_per_order must be at least 1, got {lines_per_order!r}.")
