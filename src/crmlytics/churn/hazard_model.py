"""Who of the customers under contract leaves when: a hazard for each period that hangs on time and on the customer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy import special
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crmlytics._frames import collect, columns_of, enter, id_column
from crmlytics._kernels.discrete_hazard import fit_hazards, spline_basis, survival_ahead
from crmlytics._validation import as_days, check_amount, check_choice, check_fraction, warn
from crmlytics.churn._hazard_features import choose_features, feature_columns, learn_encoder
from crmlytics.churn.contractual import CONTRACT_SCHEMA, read_durations
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Whole = NDArray[np.int64]

RESERVED = ("customer_id", *CONTRACT_SCHEMA)
FEWEST_LEFT = 20
KNOT_SHARES = (0.05, 0.275, 0.5, 0.725, 0.95)  # of those who left: Harrell's places for five knots
SCORES: dict[str, Any] = {
    "tenure_days": nw.Int64(), "survival_probability": nw.Float64(), "churn_probability": nw.Float64(),
    "expected_remaining_days": nw.Float64(),
}  # fmt: skip


class DiscreteTimeHazardModel(BaseEstimator):  # type: ignore[misc]
    """Tell of customers under contract how probably each leaves within a horizon, given how long they have stayed.

    Parameters
    ----------
    period : duration such as "30d", default "30d"
        The step in which people leave: the billing period.
    baseline : {"spline", "periods"}, default "spline"
        How the hazard moves with tenure: smoothly, along a spline of the logarithm of the period, or freely, with a
        number for every period. ``"periods"`` follows the peaks of yearly contracts and, without features, is Kaplan
        and Meier's curve; it needs some leavers in every period.
    features : list of str, optional
        The columns that tell customers apart, numbers or words; by default all but the key, the outcome and moments.
        ``[]``: tenure alone.
    ridge : float, default 1.0
        Draws the coefficients of standardised features to nothing, as if a few customers more had been seen.

    Attributes
    ----------
    feature_names_ : list of str
    hazards_ : Hazards
        Coefficients, their covariance, and the counts of each period.
    encoder_ : Encoder
        How features are read.
    base_logit_, clock_ : arrays, one entry per period seen
        The logit of the hazard of a customer at the mean of numbers and the commonest level of words, and z_k.
    log_likelihood_ : float
    n_customers_, n_periods_ : int
        Rows fitted, and periods of all of them together.

    Raises
    ------
    SchemaError, MissingColumnsError
        From ``fit``: when nobody left, or nobody was seen for a whole period; for columns missing or of a wrong kind.

    Warns
    -----
    DataQualityWarning
        When fewer than 20 left: the numbers are hardly known. When a horizon is longer than anybody was seen.

    Notes
    -----
    ``logit h_k(x) = b_k'a + x'(c + z_k d)`` with z_k = ln k, less its mean: what a feature does to the odds of leaving
    may fade or grow with tenure (:meth:`effect_table`). Fitted by maximum likelihood to every period that every
    customer lived through (P. D. Allison (1982), "Discrete-time methods for the analysis of event histories").
    Survival given tenure is ``S(t + h) / S(t)``, within a period by an even hazard; beyond the longest tenure seen the
    hazard stays as it was.

    Features must be known at the start or never change. What a customer has today (price, plan, complaints) has changed
    in those who stayed long, and then it seems to keep people: for such things take snapshots and :class:`ChurnModel`.
    A rare level (under 20 rows) stands with the other rare ones; one never seen is taken for these, or for the
    commonest.

    *How right it is.* Telco, fitted on one half of 7,043 customers, told of the other: of those who had stayed for 0,
    6, 12, 24, 36 and 48 months .126, .050, .033, .027, .031 and .036 were to leave within six months, and by Kaplan and
    Meier's method .110, .051, .038, .026, .029 and .033 did.

    Examples
    --------
    >>> import pandas as pd
    >>> contracts = pd.DataFrame({
    ...     "customer_id": range(60), "tenure_days": [30, 60, 90] * 20, "churned": [True, True, False] * 20,
    ...     "plan": ["a"] * 30 + ["b"] * 30,
    ... })
    >>> model = DiscreteTimeHazardModel(baseline="periods", features=[]).fit(contracts)
    >>> model.score_table(contracts.head(2), horizon="30d").round(2)[["customer_id", "churn_probability"]]
       customer_id  churn_probability
    0            0                0.5
    1            1                0.0
    """

    def __init__(
        self,
        *,
        period: str = "30d",
        baseline: str = "spline",
        features: Sequence[str] | None = None,
        ridge: float = 1.0,
    ) -> None:
        self.period = period
        self.baseline = baseline
        self.features = features
        self.ridge = ridge

    def fit(self, X: Any, y: object = None) -> Self:  # noqa: ARG002  scikit-learn's signature
        """Learn when customers leave.

        Parameters
        ----------
        X : dataframe, one row per relationship
            As :func:`contract_table` makes it, with features joined; or any table with ``tenure_days`` (or
            ``observed_days``, which is taken where there is one) and ``churned``.

        Returns
        -------
        self
        """
        caller = f"{self._caller}.fit"
        check_choice(self.baseline, ["spline", "periods"], name="baseline", caller=caller)
        check_amount(self.ridge, name="ridge", caller=caller)
        frame, _ = enter(X, caller=caller)
        names = choose_features(frame, self.features, RESERVED, caller=caller)
        days, left, table = read_durations(frame, feature_columns(frame, names, caller=caller), caller=caller)
        self.encoder_ = learn_encoder(table, names, caller=caller)
        self.feature_names_ = [column.name for column in self.encoder_.columns]
        periods = _periods(days, left, as_days(self.period, name="period", caller=caller))
        _check_outcome(periods, left, self.period, caller=caller)
        basis = self._basis(periods, left)
        self.clock_ = _clock(periods)
        matrix = self.encoder_.matrix(table)
        self.hazards_ = fit_hazards(basis, self.clock_, matrix, periods, left, float(self.ridge))
        self.base_logit_ = basis @ self.hazards_.coefficients[: basis.shape[1]]
        self.log_likelihood_ = self.hazards_.log_likelihood
        self.n_customers_, self.n_periods_ = len(periods), int(periods.sum())
        return self

    def score(self, X: Any, y: object = None) -> float:  # noqa: ARG002  scikit-learn's signature
        """Return the mean log-likelihood of a period lived through: nearer to 0 is better."""
        check_is_fitted(self)
        caller = f"{self._caller}.score"
        frame, _ = enter(X, caller=caller)
        features = feature_columns(frame, self.feature_names_, caller=caller)
        days, left, table = read_durations(frame, features, caller=caller)
        own, drift = self._effects(table)
        periods = _periods(days, left, self._period_days)
        if not periods.any():
            msg = f"{caller}: nobody was seen for a whole period of {self.period}, so there is nothing to judge by."
            raise SchemaError(msg)
        total = 0.0
        for k in range(int(periods.max())):
            place = min(k, len(self.base_logit_) - 1)
            logit = (self.base_logit_[place] + own + self.clock_[place] * drift)[periods > k]
            leaves = left[periods > k] & (periods[periods > k] == k + 1)
            total += float(logit[leaves].sum() - np.logaddexp(0.0, logit).sum())
        return total / float(periods.sum())

    def score_table(self, X: Any, *, horizon: str, limit: str = "730d") -> Any:
        """Say how probably each customer leaves within a horizon, given that they have stayed until now.

        Parameters
        ----------
        X : dataframe, one row per customer
            Needs ``customer_id``, ``tenure_days`` and the features. Keep the rows of those who are still customers: of
            others it is told what it would have been, had they stayed.
        horizon : duration such as "90d"
        limit : duration, default "730d"
            How far the expected days are counted.

        Returns
        -------
        dataframe of the kind that came in, one row per customer, sorted by ``customer_id``
            ``customer_id`` (Int64 or String), ``tenure_days`` (Int64), ``survival_probability`` (Float64, of still
            being a customer at the end of the horizon), ``churn_probability`` (Float64, 1 less that),
            ``expected_remaining_days`` (Float64, of the next ``limit`` days, those as a customer).

        Raises
        ------
        SchemaError, MissingColumnsError
            For customers who appear twice, missing columns, or a duration that cannot be read.
        """
        check_is_fitted(self)
        caller = f"{self._caller}.score_table"
        ahead, most = as_days(horizon, caller=caller), as_days(limit, name="limit", caller=caller)
        frame, engine = enter(X, caller=caller)
        key, kind = _key(frame, caller=caller)
        table = collect(frame.select(*key, *feature_columns(frame, self.feature_names_, caller=caller)))
        ids, tenure = table["customer_id"].to_list(), _tenure(table, caller=caller)
        _refuse_repeated(ids, caller=caller)
        elapsed = tenure / self._period_days
        self._tell_beyond(ahead, caller=caller)
        law = (self.base_logit_, self.clock_, self._effects(table), elapsed)
        stays, _ = survival_ahead(*law, ahead / self._period_days)
        _, periods = survival_ahead(*law, most / self._period_days)
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.int64)
        scores = (tenure.astype(np.int64), stays, 1 - stays, periods * self._period_days)
        columns = {"customer_id": [ids[row] for row in order]} | {
            name: values[order] for name, values in zip(SCORES, scores, strict=True)
        }
        return engine.from_columns(columns, nw.Schema({"customer_id": kind} | SCORES))

    def effect_table(self, *, interval: float = 0.95) -> pd.DataFrame:
        """Say what each feature does to the odds of leaving.

        Parameters
        ----------
        interval : float
            The probability that an interval, ``_low`` to ``_high``, is made to hold.

        Returns
        -------
        pandas.DataFrame, one row per feature and level
            ``feature``; ``level`` (of words, each against the commonest level; missing for numbers; "(missing)",
            "(other)"); ``step`` (Float64, the change of a number that the factor is for: a standard deviation);
            ``odds_ratio``, ``odds_ratio_low``, ``odds_ratio_high`` (Float64, the factor by which the odds of leaving in
            a period are multiplied, the other features alike, at the tenure of a typical period lived through);
            ``drift_ratio`` (Float64, by how much that factor is multiplied for twice that tenure). Associations: not
            what a change would bring about.
        """
        check_is_fitted(self)
        check_fraction(interval, name="interval", caller=f"{self._caller}.effect_table")
        effects = self.encoder_.effects
        mean, drift = self._coefficients.reshape(2, len(effects))
        errors = np.sqrt(np.diag(self.hazards_.covariance)[-2 * len(effects) :][: len(effects)])
        reach = special.ndtri((1 + interval) / 2) * errors
        columns = {"odds_ratio": mean, "odds_ratio_low": mean - reach, "odds_ratio_high": mean + reach}
        columns["drift_ratio"] = np.log(2) * drift
        feature, level, step = zip(*effects, strict=True) if effects else ((), (), ())
        named = {"feature": pd.Series(feature, dtype="str"), "level": pd.Series(level, dtype="str")}
        steps = {"step": np.array(step, np.float64)}
        return pd.DataFrame(named | steps | {name: np.exp(values) for name, values in columns.items()})

    def hazard_table(self) -> pd.DataFrame:
        """Set the hazard seen in each period beside the one expected: where they part, take ``baseline="periods"``.

        Returns
        -------
        pandas.DataFrame, one row per period seen
            ``period`` (Int64, from 1), ``at_risk_count``, ``churned_count`` (Int64), ``churn_probability`` (Float64,
            the share of those at risk who left), ``expected_churn_probability`` (Float64, what the model says of them).
        """
        check_is_fitted(self)
        found = self.hazards_
        there = np.where(found.at_risk > 0, found.at_risk, np.nan)
        return pd.DataFrame(
            {
                "period": np.arange(1, len(found.at_risk) + 1),
                "at_risk_count": found.at_risk.astype(np.int64),
                "churned_count": found.left.astype(np.int64),
                "churn_probability": found.left / there,
                "expected_churn_probability": found.expected / there,
            }
        )

    # -- inside ------------------------------------------------------------------------------------------------------

    @property
    def _caller(self) -> str:
        return type(self).__name__

    @property
    def _period_days(self) -> int:
        return as_days(self.period, name="period", caller=self._caller)

    @property
    def _coefficients(self) -> Vector:
        """What features do, then how that drifts."""
        return self.hazards_.coefficients[len(self.hazards_.coefficients) - 2 * len(self.encoder_.effects) :]

    def _basis(self, periods: Whole, left: NDArray[np.bool_]) -> Vector:
        """Return what time does: a row per period."""
        number = np.arange(1, periods.max() + 1, dtype=np.float64)
        if self.baseline == "periods":
            return np.eye(len(number))
        knots = np.unique(np.quantile(periods[left], KNOT_SHARES, method="inverted_cdf")).astype(np.float64)
        if len(knots) > 1:
            return spline_basis(number, knots)
        return np.stack([np.ones(len(number)), np.log(number)], axis=1) if len(number) > 1 else np.ones((1, 1))

    def _effects(self, table: nw.DataFrame[Any]) -> tuple[Vector, Vector]:
        """Return what each customer's features add to the logit, and what to that for each step of the clock."""
        matrix = self.encoder_.matrix(table)
        own, drift = self._coefficients.reshape(2, matrix.shape[1])
        return matrix @ own, matrix @ drift

    def _tell_beyond(self, days: int, *, caller: str) -> None:
        """Warn if nobody at all was seen for as long as the horizon."""
        seen = len(self.base_logit_) * self._period_days
        if days > seen:
            warn(
                f"{caller}: the horizon of {days:,} days is longer than anybody was seen ({seen:,} days): the hazard "
                "is taken to stay as in the last period."
            )


def _periods(days: Vector, left: NDArray[np.bool_], period: int) -> Whole:
    """Return how many periods each was seen for: the whole ones, and that in which they left."""
    whole = np.where(left, np.maximum(np.ceil(days / period), 1), np.floor(days / period))
    return np.asarray(whole, np.int64)


def _clock(periods: Whole) -> Vector:
    """Return the logarithm of each period's number, 0 on average over the periods that customers lived through."""
    number = np.log(np.arange(1, periods.max(initial=1) + 1))
    there = np.array([(periods > k).sum() for k in range(len(number))])
    return np.asarray(number - number @ there / max(there.sum(), 1), np.float64)


def _check_outcome(periods: Whole, left: NDArray[np.bool_], period: str, *, caller: str) -> None:
    if not left.any():
        msg = f"{caller}: nobody churned in {len(left):,} rows, so when people leave is not known. Take longer data."
        raise SchemaError(msg)
    if left.sum() < FEWEST_LEFT:
        warn(f"{caller}: only {int(left.sum())} of {len(left):,} churned: the hazards are hardly known.")
    short = int((periods == 0).sum())
    if short == len(periods) - int(left.sum()) and short:
        warn(f"{caller}: nobody who stayed was seen for a whole period of {period}. Give a shorter period.")


def _key(frame: nw.LazyFrame[Any], *, caller: str) -> tuple[list[nw.Expr], Any]:
    """Return how the key and the tenure are read, and the kind of the key."""
    missing = [name for name in ("customer_id", "tenure_days") if name not in columns_of(frame)]
    if missing:
        msg = f"{caller} needs the columns {missing}, got {columns_of(frame)}."
        raise MissingColumnsError(msg)
    kind = frame.collect_schema()["customer_id"]
    key = id_column("customer_id", kind, caller=caller)
    return [key, nw.col("tenure_days").cast(nw.Float64)], nw.Int64() if kind.is_integer() else nw.String()


def _tenure(table: nw.DataFrame[Any], *, caller: str) -> Vector:
    tenure = np.asarray(table["tenure_days"].to_numpy(), np.float64)
    if not (tenure >= 0).all():
        msg = f"{caller}: tenure_days must be a number of 0 or more in every row."
        raise SchemaError(msg)
    return tenure


def _refuse_repeated(ids: list[Any], *, caller: str) -> None:
    if len(set(ids)) < len(ids):
        msg = (
            f"{caller}: {len(ids) - len(set(ids)):,} customers appear more than once. Keep the relationship that runs: "
            "contracts[~contracts['churned']]."
        )
        raise SchemaError(msg)
