"""What customers are expected to do: MBG/NBD for purchases, Gamma-Gamma for amounts, tried on the past."""

from __future__ import annotations

import datetime as dt
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import compute
from crmlytics._validation import warn
from crmlytics.clv import GammaGammaModel, ModifiedBetaGeoModel, btyd_table
from crmlytics.exceptions import DataQualityWarning
from crmlytics.scorecard._part import CALLER, Column, Figure, Part

if TYPE_CHECKING:
    import numpy.typing as npt

    from crmlytics.scorecard._part import Request

UNIT = "7d"
FEWEST_REPEAT_BUYERS = 30  # below that, eight parameters are guesses
SCORES = ("alive_probability", "purchase_probability", "expected_purchase_count", "expected_order_amount")


@dataclass(frozen=True, slots=True)
class Forecast:
    """Expected purchases and amounts, one row per customer, and how the models see themselves.

    Attributes
    ----------
    table : eager narwhals frame
        ``customer_id``, the four columns of ``SCORES`` and ``expected_amount``.
    purchases, amounts : str
        In a sentence: how well the model of purchases, and that of amounts, is determined.
    has_amounts : bool
        False when too few customers paid for a repeat purchase to expect an amount of anybody.
    """

    table: nw.DataFrame[Any]
    purchases: str
    amounts: str
    has_amounts: bool


def forecast_part(request: Request) -> Part:
    """Probability and number of purchases in the horizon, the amount of an order, and what that makes."""
    forecast = _forecast(_histories(request, request.as_of), request.horizon_days)
    evaluation = _back_test(request)
    tested = _in_words(evaluation, request)
    factor, column = 1.0, _revenue_column(request, forecast, tested)
    if request.margin is not None:
        factor, column = request.margin, _clv_column(request, forecast, tested)
    table = forecast.table.with_columns((nw.col("expected_amount") * factor).alias(column.name))
    horizon = f"the next {request.horizon_days} days"
    by_model = f"Estimated by MBG/NBD. {tested}"
    columns = (
        Column("alive_probability", "Probability that the customer has not left for good", "probability",
               f"Estimated by MBG/NBD: {forecast.purchases}"),
        Column("purchase_probability", f"Probability of at least one purchase in {horizon}", "probability",
               by_model),
        Column("expected_purchase_count", f"Days with a purchase expected in {horizon}", "purchase days",
               by_model),
        Column("expected_order_amount", "Amount expected of a day with a purchase, before returns on other days",
               "currency", f"Estimated by Gamma-Gamma: {forecast.amounts}"),
        column,
    )  # fmt: skip
    return Part(table, columns, evaluation)


def _revenue_column(request: Request, forecast: Forecast, tested: str) -> Column:
    return Column(
        "expected_revenue_amount",
        f"Revenue expected in the next {request.horizon_days} days: expected purchases x expected amount",
        "currency",
        f"As sure as its two factors. {tested}" if forecast.has_amounts else forecast.amounts,
    )


def _clv_column(request: Request, forecast: Forecast, tested: str) -> Column:
    revenue = _revenue_column(request, forecast, tested)
    meaning = (
        f"Lifetime value within the next {request.horizon_days} days: margin of {request.margin:.0%} "
        "on the revenue expected, not discounted"
    )
    return Column("clv_amount", meaning, "currency", f"{revenue.certainty} The margin is taken as given.")


def _histories(request: Request, as_of: dt.datetime) -> nw.DataFrame[Any]:
    return compute(btyd_table(request.known, as_of=as_of, unit=UNIT), caller=CALLER)


def _forecast(histories: nw.DataFrame[Any], horizon_days: int) -> Forecast:
    """Fit both models and apply them; where too few customers came back, say so and leave the columns empty."""
    repeat_buyers = int((histories["frequency"] > 0).cast(nw.Int64).sum())
    if repeat_buyers < FEWEST_REPEAT_BUYERS:
        why = f"not estimated: {repeat_buyers} customers bought again, at least {FEWEST_REPEAT_BUYERS} are needed."
        return Forecast(_empty(histories, *SCORES, "expected_amount"), why, why, has_amounts=False)
    purchases = _fitted(ModifiedBetaGeoModel(unit=UNIT), histories)
    scores = purchases.score_table(histories.to_native(), horizon=f"{horizon_days}d")
    amounts, verdict, has_amounts = _order_amounts(histories)
    table = compute(scores, caller=CALLER).join(amounts, on="customer_id", how="left")
    expected = nw.col("expected_purchase_count") * nw.col("expected_order_amount")
    return Forecast(table.with_columns(expected_amount=expected), purchases.verdict_, verdict, has_amounts=has_amounts)


def _empty(histories: nw.DataFrame[Any], *names: str) -> nw.DataFrame[Any]:
    return histories.select("customer_id", *[nw.lit(None).cast(nw.Float64).alias(name) for name in names])


def _order_amounts(histories: nw.DataFrame[Any]) -> tuple[nw.DataFrame[Any], str, bool]:
    """Return the amount expected of each customer's orders, how sure it is, and whether there is one.

    Repeat buyers of free goods count as unknown: what they would pay was never seen.
    """
    unpaid = (nw.col("monetary_value") <= 0).fill_null(value=False)
    paid = histories.select(
        "customer_id",
        frequency=nw.when(unpaid).then(nw.lit(0)).otherwise(nw.col("frequency")).cast(nw.Int64),
        monetary_value=nw.when(~unpaid).then(nw.col("monetary_value")),
    )
    payers = int((paid["frequency"] > 0).cast(nw.Int64).sum())
    if payers < FEWEST_REPEAT_BUYERS:
        why = (
            f"not estimated: {payers} customers paid for a repeat purchase, at least {FEWEST_REPEAT_BUYERS} are needed."
        )
        return _empty(histories, "expected_order_amount"), why, False
    model = _fitted(GammaGammaModel(), paid)
    scores = model.score_table(paid.to_native())
    typical = float(paid["monetary_value"].drop_nulls().median())
    table = compute(scores, caller=CALLER)
    amount = nw.col("expected_order_amount")
    verdict = f"{model.verdict_} Independence of spend and frequency {model.independence_verdict_}"
    if not np.isfinite(model.population_mean_amount_):
        table = table.with_columns(
            nw.when(amount.is_finite()).then(amount).otherwise(nw.lit(typical)).alias("expected_order_amount")
        )
        verdict += " Spend varies so much that one-time buyers get the median instead of a mean."
    return table, verdict, True


def _fitted(model: Any, histories: nw.DataFrame[Any]) -> Any:
    """Fit a model; its verdict goes to the guide, and to a warning only if there is no well-defined fit."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        model.fit(histories.to_native())
    if not model.converged_:
        warn(f"scorecard: {type(model).__name__} {model.verdict_}")
    return model


def _back_test(request: Request) -> tuple[Figure, ...]:
    """Forecast the last horizon from what was known before it, and compare; nothing if the history is too short."""
    cutoff = request.as_of - dt.timedelta(days=request.horizon_days)
    before = _histories(request, cutoff)
    watched_days = float(before["T"].max() or 0.0) * 7 if len(before) else 0.0
    if (
        watched_days < request.horizon_days
        or int((before["frequency"] > 0).cast(nw.Int64).sum()) < FEWEST_REPEAT_BUYERS
    ):
        return ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)  # the model proper says it, once
        forecast = _forecast(before, request.horizon_days)
    after = _histories(request, request.as_of).select(
        "customer_id", frequency_after=nw.col("frequency"), spend_after=nw.col("monetary_value")
    )
    joined = before.join(after, on="customer_id", how="left").join(forecast.table, on="customer_id", how="left")
    columns = {name: _numbers(joined, name) for name in joined.columns if name != "customer_id"}
    return _figures(columns, with_amounts=forecast.has_amounts)


def _numbers(table: nw.DataFrame[Any], name: str) -> npt.NDArray[np.float64]:
    return np.asarray(table[name].cast(nw.Float64).fill_null(0.0).to_numpy(), dtype=np.float64)


def _figures(columns: dict[str, npt.NDArray[np.float64]], *, with_amounts: bool) -> tuple[Figure, ...]:
    """Compare forecast and outcome; arrays of one entry per customer known at the cutoff."""
    from sklearn.metrics import roc_auc_score

    bought = np.maximum(columns["frequency_after"] - columns["frequency"], 0.0)
    earlier = np.nan_to_num(columns["monetary_value"]) * columns["frequency"]
    spent = np.maximum(np.nan_to_num(columns["spend_after"]) * columns["frequency_after"] - earlier, 0.0)
    came, likely = bought > 0, columns["purchase_probability"]
    expected, amount = columns["expected_purchase_count"].sum(), columns["expected_amount"].sum()
    figures = [
        Figure("known_customer_count", float(len(bought)), "Customers known when the back-test began"),
        Figure("expected_purchase_count", expected, "Purchase days expected of them in the horizon"),
        Figure("actual_purchase_count", bought.sum(), "Purchase days they had"),
        Figure("expected_buyer_share", likely.mean(), "Share of them expected to buy at least once"),
        Figure("actual_buyer_share", came.mean(), "Share of them that did"),
    ]
    if with_amounts:
        figures += [
            Figure("expected_revenue_amount", amount, "Revenue expected of their purchase days"),
            Figure("actual_revenue_amount", spent.sum(), "Revenue of their purchase days"),
        ]
    if 0 < came.sum() < len(came):
        auc = float(roc_auc_score(came, likely))
        meaning = "Chance that a buyer was ranked above a non-buyer: 0.5 is guessing, 1 is perfect (AUC)"
        figures.append(Figure("purchase_ranking_auc", auc, meaning))
    return tuple(figures)


def _in_words(figures: tuple[Figure, ...], request: Request) -> str:
    if not figures:
        return f"Not back-tested: the history is too short for a trial of {request.horizon_days} days."
    found = {figure.name: figure.value for figure in figures}
    expected, actual = found["expected_purchase_count"], found["actual_purchase_count"]
    words = f"Back-test on the last {request.horizon_days} days: {expected:,.0f} purchases expected, {actual:,.0f} came"
    return f"{words}; AUC {found['purchase_ranking_auc']:.2f}." if "purchase_ranking_auc" in found else f"{words}."
