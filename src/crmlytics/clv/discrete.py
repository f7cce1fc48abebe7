"""BG/BB: customers who can buy once a period (donors, subscribers to events, seasonal buyers), and who has left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from sklearn.utils.validation import check_is_fitted

from crmlytics._frames import columns_of, enter
from crmlytics._kernels import beta_binomial as kernel
from crmlytics._kernels.fitting import collapse, in_logs, maximise
from crmlytics._kernels.uncertainty import delta_errors, interval_around, trusted_covariance
from crmlytics._orders import gather
from crmlytics._periods import period_grid
from crmlytics._validation import as_moment, check_count, check_fraction
from crmlytics.clv._base import CountingModel, describe
from crmlytics.clv._histories import check_histories, read_histories, refuse_rows
from crmlytics.clv.contractual import ahead_of, check_ahead, check_horizon
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from crmlytics._kernels.fitting import Objective
    from crmlytics._kernels.special import Vector
    from crmlytics.clv._histories import Histories

SCORES = (
    "alive_probability",
    "alive_at_horizon_probability",
    "purchase_probability",
    "expected_purchase_count",
    "discounted_purchase_count",
)
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


class BetaGeoBetaBinomModel(CountingModel):
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
    >>> scores = model.score_table(donors.drop_duplicates(), horizon=5).iloc[[0, 19, 21]]
    >>> print(scores[["alive_probability", "purchase_probability", "expected_purchase_count"]].round(3))
        alive_probability  purchase_probability  expected_purchase_count
    0               0.108                 0.048                    0.073
    19              0.522                 0.510                    1.813
    21              0.930                 0.923                    3.753
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
        caller = f"{self._caller}.fit"
        table = _read(X, caller=caller)
        _refuse_weights(X, table, caller=caller)
        found = maximise(_objective(table), STARTS, weight=len(table))
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

    def score_table(self, X: Any, *, horizon: int, discount_rate: float | None = None, interval: float = 0.9) -> Any:
        """Score each customer for the opportunities after the end of their history.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.discrete_table` makes it
            Needs ``frequency``, ``recency`` and ``T``; ``customer_id`` is the key if it is there.
        horizon : int
            How many opportunities to look ahead.
        discount_rate : float, optional
            Per period, such as 0.1 for years: adds ``discounted_purchase_count``. The next opportunity is a period
            away and discounted once, as in the paper.
        interval : float, default 0.9
            Confidence of the intervals, which tell how well the prediction is known; not what one customer will do.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            ``customer_id`` (or ``row_number``, from 0, where the table has no key), and each with ``_low`` and
            ``_high``, all Float64: ``alive_probability`` (of not having left when the next opportunity comes, as in the
            paper: below 1 for everybody), ``alive_at_horizon_probability`` (of not having left at the last of them),
            ``purchase_probability`` (of at least one purchase in the horizon), ``expected_purchase_count``
            (opportunities with a purchase in the horizon) and, with a ``discount_rate``,
            ``discounted_purchase_count``.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.score_table"
        ahead, rate = check_ahead(check_horizon(horizon, caller=caller), discount_rate or 0.0, caller=caller)
        table = _read(X, caller=caller)

        def predict(params: Vector, x: Vector, t_x: Vector, n: Vector) -> tuple[Vector, ...]:
            now = kernel.alive_probability(params, x, t_x, n)
            predicted = (
                kernel.alive_probability(params, x, t_x, n, ahead=1),
                kernel.alive_probability(params, x, t_x, n, ahead=horizon),
                now * kernel.purchase_probability_if_alive(params, x, n, horizon=horizon),
                now * kernel.expected_purchases_if_alive(params, x, n, horizon=ahead),
            )
            if discount_rate is None:
                return predicted
            return *predicted, now * kernel.expected_purchases_if_alive(params, x, n, horizon=ahead, rate=rate)

        names = SCORES if discount_rate is not None else SCORES[:-1]
        return self._score_frame(table, predict, names, interval, caller=caller)

    def residual_table(self, X: Any, *, discount_rate: float, horizon: int | None = None, interval: float = 0.9) -> Any:
        """Return the discounted purchases expected of each customer for ever after: residual transactions, or DERT.

        Times the margin of a purchase this is residual lifetime value.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.discrete_table` makes it
        discount_rate : float
            Per period. The next opportunity is a period away and discounted once, as in the paper.
        horizon : int, optional
            Opportunities looked ahead; without one all that ever come.
        interval : float, default 0.9
            Confidence of the intervals.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            The key, ``discounted_residual_count`` (Float64) with ``_low`` and ``_high``.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.residual_table"
        ahead, rate = check_ahead(horizon, discount_rate, caller=caller)
        table = _read(X, caller=caller)

        def predict(params: Vector, x: Vector, t_x: Vector, n: Vector) -> tuple[Vector, ...]:
            return (_discounted(params, x, t_x, n, ahead=ahead, rate=rate),)

        return self._score_frame(table, predict, ["discounted_residual_count"], interval, caller=caller)

    def count_table(self, X: Any, *, horizon: int, most: int = 5) -> Any:
        """Return how likely each customer is to make exactly 0, 1, 2, ... purchases in the horizon.

        Parameters
        ----------
        X : dataframe, one row per customer, as :func:`crmlytics.clv.discrete_table` makes it
        horizon : int
            How many opportunities to look ahead.
        most : int, default 5
            The largest number that gets a column of its own.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by key
            The key, ``probability_of_0`` ... ``probability_of_5`` and ``probability_of_more`` (Float64): they sum to 1.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.count_table"
        ahead = check_horizon(horizon, caller=caller)
        counts = check_count(most, name="most", caller=caller, least=0)
        table = _read(X, caller=caller)
        rows = collapse(table["frequency"], table["recency"], table["T"])
        x, t_x, n = rows.columns
        alive = kernel.alive_probability(self._params, x, t_x, n)
        mass = kernel.count_probabilities_if_alive(self._params, x, n, horizon=ahead, most=counts) * alive[:, None]
        mass[:, 0] += 1 - alive
        columns = [*mass.T, np.maximum(1 - mass.sum(axis=1), 0.0)]
        names = [*(f"probability_of_{count}" for count in range(counts + 1)), "probability_of_more"]
        return table.score_frame({name: part[rows.inverse] for name, part in zip(names, columns, strict=True)})

    def new_customer_table(self, *, horizons: Sequence[int], interval: float = 0.9) -> pd.DataFrame:
        """Return what to expect of a customer at the opportunities after the first purchase.

        Parameters
        ----------
        horizons : list of int
            Numbers of opportunities.
        interval : float, default 0.9
            Confidence of the intervals.

        Returns
        -------
        pandas.DataFrame, one row per horizon
            ``horizon``, ``alive_at_horizon_probability``, ``purchase_probability`` (of at least one),
            ``expected_purchase_count`` (the first purchase is not counted), each with ``_low`` and ``_high``.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.new_customer_table"
        if np.ndim(horizons) != 1 or not len(horizons):
            raise SchemaError(f"{caller}: horizons must be a list such as horizons=[1, 5], got {horizons!r}.")
        steps = [check_horizon(horizon, caller=caller) for horizon in horizons]
        new = np.zeros(1)

        def predict(theta: Vector) -> tuple[Vector, ...]:
            params = np.exp(theta)
            parts = [
                (
                    kernel.alive_probability(params, new, new, new, ahead=step),
                    kernel.purchase_probability_if_alive(params, new, new, horizon=step),
                    kernel.expected_purchases_if_alive(params, new, new, horizon=step),
                )
                for step in steps
            ]
            return tuple(np.concatenate(part) for part in zip(*parts, strict=True))

        names = ["alive_at_horizon_probability", "purchase_probability", "expected_purchase_count"]
        return pd.DataFrame({"horizon": steps} | self._with_intervals(predict, names, interval, caller=caller))

    # -- inside --------------------------------------------------------------------------------------------------

    def _value_of_customers(
        self, X: Any, horizon: Any, discount_rate: Any, *, caller: str
    ) -> tuple[Histories, Vector, Vector]:
        ahead, rate = ahead_of(horizon, discount_rate, caller=caller)
        table = _read(X, caller=caller)
        rows = collapse(table["frequency"], table["recency"], table["T"])
        x, t_x, n = rows.columns

        def predict(theta: Vector) -> tuple[Vector]:
            return (_discounted(np.exp(theta), x, t_x, n, ahead=ahead, rate=rate),)

        ((value, error),) = delta_errors(predict, self.theta_, trusted_covariance(self.information_))
        return table, value[rows.inverse], error[rows.inverse]

    def _value_of_new_customer(self, like: Any, horizon: Any, discount_rate: Any, *, caller: str) -> float:  # noqa: ARG002
        ahead, rate = ahead_of(horizon, discount_rate, caller=caller)
        new = np.zeros(1)
        return float(_discounted(self._params, new, new, new, ahead=ahead, rate=rate)[0])

    def _objective(self, X: Any, *, caller: str) -> Objective:
        return in_logs(_objective(_read(X, caller=caller)))

    def _score_frame(
        self,
        table: Histories,
        predict: Callable[[Vector, Vector, Vector, Vector], tuple[Vector, ...]],
        names: Sequence[str],
        interval: float,
        *,
        caller: str,
    ) -> Any:
        """Predict once for each distinct history, and hand on to the customers."""
        rows = collapse(table["frequency"], table["recency"], table["T"])
        x, t_x, n = rows.columns
        scores = self._with_intervals(lambda theta: predict(np.exp(theta), x, t_x, n), names, interval, caller=caller)
        return table.score_frame({name: values[rows.inverse] for name, values in scores.items()})

    def _with_intervals(
        self, predict: Callable[[Vector], tuple[Vector, ...]], names: Sequence[str], interval: float, *, caller: str
    ) -> dict[str, Vector]:
        """Return each prediction with its bounds, three columns a name."""
        level = check_fraction(interval, name="interval", caller=caller)
        found = delta_errors(predict, self.theta_, trusted_covariance(self.information_))
        columns: dict[str, Vector] = {}
        for name, (value, error) in zip(names, found, strict=True):
            band = interval_around(value, error, level=level, scale="logit" if "probability" in name else "log")
            columns |= {name: band.value, f"{name}_low": band.low, f"{name}_high": band.high}
        return columns


def _refuse_weights(X: Any, table: Histories, *, caller: str) -> None:
    """Refuse a table of distinct histories with how many customers had each: rows are customers here."""
    if "weights" not in columns_of(enter(X, caller=caller)[0]):
        return
    if len(collapse(table["frequency"], table["recency"], table["T"]).weights) == len(table):
        msg = (
            f"{caller}: the column 'weights' is not read: every row is one customer. "
            'Repeat the rows: table.loc[table.index.repeat(table["weights"])].'
        )
        raise SchemaError(msg)


def _discounted(params: Vector, x: Vector, t_x: Vector, n: Vector, *, ahead: float, rate: float) -> Vector:
    """Discounted purchases expected at the opportunities ahead."""
    alive = kernel.alive_probability(params, x, t_x, n)
    return alive * kernel.expected_purchases_if_alive(params, x, n, horizon=ahead, rate=rate)


def _objective(table: Histories) -> Objective:
    """Return the log-likelihood of these customers as a function of the parameters, with its derivatives."""
    rows = collapse(table["frequency"], table["recency"], table["T"])
    x, t_x, n = rows.columns
    return kernel.objective(x, t_x, n, rows.weights)


def _read(X: Any, *, caller: str) -> Histories:
    table = read_histories(
        X, "frequency", "recency", "T", caller=caller, made_by="discrete_table(tx, as_of=..., period=...)"
    )
    check_histories(table, caller=caller)
    x, t_x, T = table["frequency"], table["recency"], table["T"]
    counted = "Both count opportunities. Make the table with crm.clv.discrete_table, not with btyd_table."
    broken = (t_x != np.floor(t_x)) | (np.floor(T) != T)
    refuse_rows(table, broken, "a recency or T that is not a whole number", counted, caller=caller)
    once = "An opportunity counts once, however much was bought at it, and the first purchase does not count."
    refuse_rows(table, x > t_x, "more purchases than opportunities up to the last one", once, caller=caller)
    return table
