"""BG/BB: customers who can buy once a period (donors, subscribers to events, seasonal buyers), and who has left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import narwhals.stable.v2 as nw
import numpy as np
from sklearn.utils.validation import check_is_fitted

from crmlytics._kernels import beta_binomial as kernel
from crmlytics._kernels.fitting import collapse, maximise
from crmlytics._kernels.uncertainty import delta_errors, interval_around, trusted_covariance
from crmlytics._orders import gather
from crmlytics._periods import period_grid
from crmlytics._validation import as_moment, check_count, check_fraction
from crmlytics.clv._base import MaximumLikelihoodModel, check_histories, describe, read_histories, refuse_rows
from crmlytics.clv.contractual import check_ahead, check_horizon
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping

    from crmlytics._kernels.special import Vector
    from crmlytics._kernels.uncertainty import Scale
    from crmlytics.clv._base import Histories

STARTS = ((1.0, 1.0, 1.0, 1.0), (0.5, 2.0, 0.5, 5.0), (2.0, 0.5, 0.2, 1.0))
ADVICE = {
    "bound": "Usually too few opportunities, or customers too much alike, to tell not buying from having left.",
    "ridge": "Usually hardly anybody leaves, or customers are much alike in buying or in leaving.",
}


def discrete_table(transactions: Transactions | Any, *, as_of: str | dt.date | dt.datetime, period: str = "30d") -> Any:
    """Summarise each customer's purchases before ``as_of`` by periods in which there was one or none.

    Every period after that of the first purchase is an opportunity: purchases in it, however many, count as one.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp`` and ``amount``.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.
    period : str, default "30d"
        ``"month"``, ``"quarter"``, ``"year"``, or a number of days or weeks such as ``"7d"``. Periods of days are
        counted back from ``as_of``, so the last one is whole; of calendar periods the one that ``as_of`` cuts short is
        left out.

    Returns
    -------
    dataframe of the kind that came in, one row per customer with a purchase, sorted by ``customer_id``
        ``frequency`` (Int64, opportunities with a purchase), ``recency`` (Int64, the last of these, counted from 1; 0
        for none), ``T`` (Int64, opportunities there were: periods after that of the first purchase).

    Notes
    -----
    A day counts as one of purchase as in :func:`crmlytics.clv.btyd_table`: a day of returns does not.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "a", "a", "b"], "amount": [10.0, 4.0, 6.0, 5.0, 7.0],
    ...     "timestamp": pd.to_datetime(["2019-05-01", "2020-01-08", "2020-12-29", "2022-03-01", "2021-01-22"]),
    ... })
    >>> discrete_table(orders, as_of="2024-01-01", period="year")
      customer_id  frequency  recency  T
    0           a          2        3  4
    1           b          0        0  2
    """
    caller = "discrete_table"
    as_of = as_moment(as_of, caller=caller)
    grid = period_grid(period, as_of=as_of, caller=caller)
    last = grid.last if grid.start(grid.last + 1) <= as_of or not grid.months else grid.last - 1
    table = Transactions.bind(transactions).before(as_of)
    lines = table.need("customer_id", "timestamp", "amount", caller=caller)
    days = gather(lines.with_columns(day=nw.col("timestamp").dt.truncate("1d")), "customer_id", "day")
    bought = (
        days.filter(nw.col("is_order") == 1)
        .select("customer_id", number=grid.number(nw.col("day")))
        .filter(nw.col("number") <= last)
        .unique()
    )
    per_customer = (
        bought.group_by("customer_id")
        .agg(count=nw.len(), first=nw.col("number").min(), latest=nw.col("number").max())
        .select(
            "customer_id",
            frequency=(nw.col("count").cast(nw.Int64) - 1).cast(nw.Int64),
            recency=(nw.col("latest") - nw.col("first")).cast(nw.Int64),
            T=(nw.lit(last) - nw.col("first")).cast(nw.Int64),
        )
    )
    return table.to_native(per_customer.sort("customer_id"))


class BetaGeoBetaBinomModel(MaximumLikelihoodModel):
    """BG/BB: at every opportunity a customer may leave for good, and if not, buys or does not.

    The probability of buying varies over customers as Beta(alpha, beta), that of leaving as Beta(gamma, delta). A
    customer who bought at x of n opportunities, the last time at the t_x-th, has likelihood

    ``B(alpha+x, beta+n-x) / B(alpha, beta) * B(gamma, delta+n) / B(gamma, delta)
    + sum over k = t_x..n-1 of B(alpha+x, beta+k-x) / B(alpha, beta) * B(gamma+1, delta+k) / B(gamma, delta)``.

    It is the discrete sister of the Pareto/NBD: for purchases that come once a period (yearly donations, seasonal
    tickets, a monthly visit), or are only recorded so.

    Attributes
    ----------
    params_ : dict
        ``alpha``, ``beta`` (buying), ``gamma``, ``delta`` (leaving).
    standard_errors_, covariance_, log_likelihood_, converged_, verdict_
        As in :class:`BetaGeoModel`.
    n_customers_ : int

    Warns
    -----
    DataQualityWarning
        If the fit did not converge, or hardly determines a parameter.

    References
    ----------
    Fader, P., Hardie, B. and Shang, J. (2010), Customer-base analysis in a discrete-time noncontractual setting,
    Marketing Science 29(6), 1086-1108.

    Examples
    --------
    >>> from crmlytics.clv import BetaGeoBetaBinomModel
    >>> from crmlytics.datasets import load_donations
    >>> counts = load_donations().rename(columns={"periods": "T"})
    >>> donors = counts.loc[counts.index.repeat(counts["weights"])]
    >>> model = BetaGeoBetaBinomModel().fit(donors)
    >>> {name: round(value, 3) for name, value in model.params_.items()}
    {'alpha': 1.204, 'beta': 0.75, 'gamma': 0.657, 'delta': 2.783}
    >>> print(model.score_table(donors.tail(2), horizon=5).round(3).to_string())
       row_number  alive_probability  expected_purchase_count  purchase_probability
    0           0               0.93                    3.753                 0.923
    1           1               0.93                    3.753                 0.923
    """

    _names = ("alpha", "beta", "gamma", "delta")

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002  scikit-learn's signature
        """Estimate the parameters by maximum likelihood.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.discrete_table` makes it
            Needs ``frequency``, ``recency`` and ``T``, whole numbers of opportunities.
        y : ignored

        Returns
        -------
        self
        """
        table = _read(X, caller=f"{self._caller}.fit")
        rows = collapse(table["frequency"], table["recency"], table["T"])
        x, t_x, T = rows.columns
        objective = kernel.objective(x, t_x, T, rows.weights)
        found = maximise(objective, STARTS, weight=len(table))
        self.n_customers_ = len(table)
        self._keep(found, [1.0] * len(self._names), shift=0.0, verdict=describe(found, self._names, ADVICE))
        return self

    def score(self, X: Any, y: object = None) -> float:  # noqa: ARG002  scikit-learn's signature
        """Return the mean log-likelihood of a customer of ``X``: higher is better."""
        check_is_fitted(self)
        table = _read(X, caller=f"{self._caller}.score")
        rows = collapse(table["frequency"], table["recency"], table["T"])
        value = kernel.log_likelihood(self._params, *rows.columns)
        return float(np.average(value, weights=rows.weights))

    def score_table(self, X: Any, *, horizon: int, interval: float | None = None) -> Any:
        """Score each customer for the opportunities after the end of their history.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.discrete_table` makes it
            Needs ``frequency``, ``recency`` and ``T``; ``customer_id`` is the key if it is there.
        horizon : int
            How many opportunities to look ahead.
        interval : float, optional
            Confidence of intervals, such as 0.9: adds the columns ``_low`` and ``_high``.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            ``customer_id`` (or ``row_number``, from 0, where the table has no key), ``alive_probability`` (Float64, of
            not having left when the next opportunity comes, as in the paper: below 1 for everybody),
            ``expected_purchase_count`` (Float64, opportunities with a purchase in the horizon),
            ``purchase_probability`` (Float64, of at least one purchase in the horizon).
        """
        check_is_fitted(self)
        caller = f"{self._caller}.score_table"
        ahead = check_horizon(horizon, caller=caller)
        table = _read(X, caller=caller)

        def predict(params: Vector, x: Vector, t_x: Vector, n: Vector) -> tuple[Vector, ...]:
            now = kernel.alive_probability(params, x, t_x, n)
            expected = kernel.expected_purchases_if_alive(params, x, n, horizon=ahead)
            buys = kernel.purchase_probability_if_alive(params, x, n, horizon=ahead)
            return kernel.alive_probability(params, x, t_x, n, ahead=1), now * expected, now * buys

        names: dict[str, Scale] = {
            "alive_probability": "logit",
            "expected_purchase_count": "log",
            "purchase_probability": "logit",
        }
        return table.score_frame(self._scores(table, predict, names, interval, caller=caller))

    def discounted_purchase_table(
        self, X: Any, *, discount_rate: float, horizon: int | None = None, interval: float | None = None
    ) -> Any:
        """Return each customer's discounted expected residual transactions (DERT).

        Times the margin of a purchase this is residual lifetime value.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.discrete_table` makes it
        discount_rate : float
            Per period. The next opportunity is one period away and discounted once, as in the paper.
        horizon : int, optional
            Opportunities looked ahead; without one all that ever come.
        interval : float, optional
            Confidence of intervals, such as 0.9: adds the columns ``_low`` and ``_high``.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            The key, ``discounted_purchase_count`` (Float64).
        """
        check_is_fitted(self)
        caller = f"{self._caller}.discounted_purchase_table"
        ahead, rate = check_ahead(horizon, discount_rate, caller=caller)
        table = _read(X, caller=caller)

        def predict(params: Vector, x: Vector, t_x: Vector, n: Vector) -> tuple[Vector, ...]:
            now = kernel.alive_probability(params, x, t_x, n)
            return (now * kernel.expected_purchases_if_alive(params, x, n, horizon=ahead, rate=rate),)

        names: dict[str, Scale] = {"discounted_purchase_count": "log"}
        return table.score_frame(self._scores(table, predict, names, interval, caller=caller))

    def purchase_count_table(self, X: Any, *, horizon: int, most: int) -> Any:
        """Return how likely each customer is to make exactly 0, 1, ..., ``most`` purchases.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.discrete_table` makes it
        horizon : int
            How many opportunities to look ahead.
        most : int
            The last count shown.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            The key, ``probability_0``, ``probability_1``, ..., ``probability_<most>`` (Float64); they add up to 1 if
            ``most`` is the ``horizon``.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.purchase_count_table"
        ahead = check_horizon(horizon, caller=caller)
        counts = check_count(most, name="most", caller=caller, least=0)
        table = _read(X, caller=caller)

        def predict(params: Vector, x: Vector, t_x: Vector, n: Vector) -> tuple[Vector, ...]:
            now = kernel.alive_probability(params, x, t_x, n)
            shares = kernel.count_probabilities_if_alive(params, x, n, horizon=ahead, most=counts) * now[:, None]
            shares[:, 0] += 1 - now
            return tuple(shares.T)

        names: dict[str, Scale] = {f"probability_{count}": "logit" for count in range(counts + 1)}
        return table.score_frame(self._scores(table, predict, names, None, caller=caller))

    def expected_new_customer_purchases(self, *, horizon: int) -> float:
        """Purchases expected of a customer at the first ``horizon`` opportunities after the first purchase."""
        check_is_fitted(self)
        ahead = check_horizon(horizon, caller=f"{self._caller}.expected_new_customer_purchases")
        new = np.zeros(1)
        return float(kernel.expected_purchases_if_alive(self._params, new, new, horizon=ahead)[0])

    def _scores(
        self,
        table: Histories,
        predict: Callable[[Vector, Vector, Vector, Vector], tuple[Vector, ...]],
        scales: Mapping[str, Scale],
        interval: float | None,
        *,
        caller: str,
    ) -> dict[str, Vector]:
        """Predict once for each distinct history, with bounds if asked for, and hand on to the customers."""
        rows = collapse(table["frequency"], table["recency"], table["T"])
        if interval is None:
            found = predict(self._params, *rows.columns)
            return {name: value[rows.inverse] for name, value in zip(scales, found, strict=True)}
        level = check_fraction(interval, name="interval", caller=caller)
        covariance = trusted_covariance(self.information_)
        errors = delta_errors(lambda theta: predict(np.exp(theta), *rows.columns), self.theta_, covariance)
        scores: dict[str, Vector] = {}
        for (name, scale), (value, error) in zip(scales.items(), errors, strict=True):
            band = interval_around(value, error, level=level, scale=scale)
            parts = {name: band.value, f"{name}_low": band.low, f"{name}_high": band.high}
            scores |= {part: values[rows.inverse] for part, values in parts.items()}
        return scores


def _read(X: Any, *, caller: str) -> Histories:
    table = read_histories(X, "frequency", "recency", "T", caller=caller)
    check_histories(table, caller=caller)
    x, t_x, T = table["frequency"], table["recency"], table["T"]
    counted = "Both count opportunities. Make the table with crm.clv.discrete_table, not with btyd_table."
    broken = (t_x != np.floor(t_x)) | (np.floor(T) != T)
    refuse_rows(table, broken, "a recency or T that is not a whole number", counted, caller=caller)
    once = "An opportunity counts once, however much was bought at it, and the first purchase does not count."
    refuse_rows(table, x > t_x, "more purchases than opportunities up to the last one", once, caller=caller)
    return table
