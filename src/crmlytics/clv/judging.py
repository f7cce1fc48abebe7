"""Which model to trust: forecasts of a holdout, judged side by side."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
from scipy import stats
from sklearn.base import clone

from crmlytics._frames import columns_of, compute, enter
from crmlytics._validation import check_count
from crmlytics.clv._drawable import check_model
from crmlytics.clv._histories import KEY
from crmlytics.clv._holdout import MEASURES, Holdout, name_of, read_holdout
from crmlytics.clv._purchases import PurchaseModel
from crmlytics.clv.beta_geo import BetaGeoModel, ModifiedBetaGeoModel
from crmlytics.clv.cnbd import INTERVALS, BetaGeoCNBDModel, ModifiedBetaGeoCNBDModel
from crmlytics.clv.pareto import NBDModel, ParetoNBDModel
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from crmlytics._kernels.special import Vector
    from crmlytics.clv._histories import Histories

DISTINGUISHABLE = 2.0  # standard errors between the predictive log-likelihoods of two models


def evaluation_table(
    X: Any, *, models: Sequence[PurchaseModel] | None = None, baselines: Any = None, unit: Any = "7d"
) -> Any:
    """Fit models to the calibration period and judge their forecasts of the holdout, side by side with baselines.

    Parameters
    ----------
    X : dataframe, one row per customer, as :func:`holdout_table` makes it
        Late joiners are left out: nobody could have forecast them from their history.
    models : list of models, optional
        Unfitted; copies are fitted. By default NBD, Pareto/NBD, BG/NBD and MBG/NBD, and the two CNBD-k models if there
        is a column ``log_interval_sum``.
    baselines : dataframe, optional
        ``customer_id`` and a column of forecast purchase counts per baseline, as :func:`baseline_table` makes it, or
        forecasts of your own.
    unit : str, default "7d"
        The unit of ``recency`` and ``T``, for the default models.

    Returns
    -------
    dataframe of the kind that came in, one row per model or baseline, the best first
        ``model`` (text), ``predictive_log_likelihood`` (Float64, sum over customers of the log-probability of what
        they did: the higher the better; missing for baselines, which forecast a number and no probabilities),
        ``predicted_purchase_count``, ``actual_purchase_count``, ``bias_share`` (predicted / actual - 1),
        ``root_mean_squared_error``, ``mean_absolute_error``, ``correlation``, ``normalised_gini`` (1: customers are
        ranked as well as can be, 0: as by chance), ``log_likelihood``, ``aic``, ``bic`` (of the calibration period),
        ``verdict`` (text). Sorted by predictive log-likelihood, then by root mean squared error.

    Notes
    -----
    The mean absolute error is shown because everybody asks for it, and decides nothing: most customers make no purchase
    in a holdout, so a forecast of nought for everybody, or one cut in half, often has a lower one than the truth.

    The likelihood of the calibration period may be much better for a CNBD-k model and that of the holdout worse:
    regular intervals explain when a customer bought, and promise too much certainty about how often they will.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import baseline_table, evaluation_table, holdout_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> periods = {"calibration_end": "1997-10-01", "as_of": "1998-07-01"}
    >>> simple = baseline_table(orders, **periods, period="21d")
    >>> table = evaluation_table(holdout_table(orders, **periods), baselines=simple)
    >>> columns = ["model", "predictive_log_likelihood", "bias_share", "root_mean_squared_error"]
    >>> print(table[columns].round(3).to_string())
                      model  predictive_log_likelihood  bias_share  root_mean_squared_error
    0  ModifiedBetaGeoModel                  -2314.824      -0.162                    1.607
    1          BetaGeoModel                  -2320.361      -0.121                    1.608
    2        ParetoNBDModel                  -2326.797      -0.115                    1.603
    3              NBDModel                  -2506.890       0.557                    1.860
    4                markov                        NaN      -0.115                    1.894
    5                  mean                        NaN       0.556                    2.104
    6        retention_rate                        NaN      -0.969                    2.166
    7         historic_rate                        NaN       0.557                    2.212
    8           last_period                        NaN       1.558                    2.318
    9       retention_table                        NaN         NaN                      NaN
    """
    caller = "evaluation_table"
    holdout = read_holdout(X, caller=caller)
    judged = [holdout.judge_model(model) for model in _fitted(holdout, models, unit, caller=caller)]
    judged += [
        holdout.judge_forecast(name, values)
        for name, values in _read_baselines(baselines, holdout.table, caller=caller).items()
    ]
    return holdout.engine.from_columns(*_as_columns(sorted(judged, key=_rank)))


@dataclass(frozen=True, slots=True)
class ModelChoice:
    """The model that forecast a holdout best, and why.

    Attributes
    ----------
    model : fitted model
        On the calibration period. To use it, fit it to everything that is known: :meth:`refit`.
    evaluation : dataframe
        As :func:`evaluation_table` makes it.
    reason : str
    """

    model: PurchaseModel
    evaluation: Any
    reason: str

    def refit(self, X: Any) -> PurchaseModel:
        """Return a fresh model of the same kind, fitted to ``X``: a btyd table of the whole history."""
        fitted: PurchaseModel = clone(self.model).fit(X)
        return fitted

    def to_frame(self) -> Any:
        """Return the evaluation."""
        return self.evaluation


def choose_model(X: Any, *, models: Sequence[PurchaseModel] | None = None, unit: Any = "7d") -> ModelChoice:
    """Choose the model that forecasts a holdout best.

    The highest predictive log-likelihood wins. Models that come so close to it that the data cannot tell them apart
    (within two standard errors of the paired difference) compete by root mean squared error; should that be equal to
    three digits, by the smaller bias. Models whose fit did not converge are chosen only if there is no other.

    Parameters
    ----------
    X, models, unit
        As in :func:`evaluation_table`.

    Returns
    -------
    ModelChoice

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import choose_model, holdout_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> choice = choose_model(holdout_table(orders, calibration_end="1997-10-01", as_of="1998-07-01"))
    >>> choice.model
    ParetoNBDModel()
    >>> print(choice.reason)
    ModifiedBetaGeoModel has the highest predictive log-likelihood, -2,314.8; ParetoNBDModel, BetaGeoModel cannot be
    told from it, and of these ParetoNBDModel has the smallest error (root mean squared error 1.603, bias -11.5%).
    """
    caller = "choose_model"
    holdout = read_holdout(X, caller=caller)
    fitted = _fitted(holdout, models, unit, caller=caller)
    judged = [holdout.judge_model(model) for model in fitted]
    columns = _as_columns(sorted(judged, key=_rank))
    chosen, reason = _choose(holdout, fitted, judged)
    return ModelChoice(chosen, holdout.engine.from_columns(*columns), reason)


def calibration_table(model: PurchaseModel, X: Any, *, bins: int = 10) -> Any:
    """Compare forecast and outcome in groups of customers with similar forecasts.

    Parameters
    ----------
    model : fitted model of purchases
    X : dataframe, one row per customer, as :func:`holdout_table` makes it
    bins : int, default 10
        Number of groups of equal size, by forecast; customers with the same forecast stay together, so there may be
        fewer.

    Returns
    -------
    dataframe of the kind that came in, one row per group
        ``decile`` (Int64, from 1, the lowest forecasts), ``customer_count`` (Int64), ``predicted_mean_count`` and
        ``actual_mean_count`` (Float64, purchases in the holdout per customer).

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.clv import ModifiedBetaGeoModel, btyd_table, calibration_table, holdout_table
    >>> from crmlytics.datasets import load_cdnow
    >>> orders = Transactions(load_cdnow(), customer_id="sample_id", timestamp="date")
    >>> model = ModifiedBetaGeoModel().fit(btyd_table(orders, as_of="1997-10-01"))
    >>> table = holdout_table(orders, calibration_end="1997-10-01", as_of="1998-07-01")
    >>> print(calibration_table(model, table, bins=5).round(2).to_string())
       decile  customer_count  predicted_mean_count  actual_mean_count
    0       1             475                  0.16               0.25
    1       2             463                  0.18               0.24
    2       3             470                  0.20               0.26
    3       4             478                  0.47               0.72
    4       5             471                  2.33               2.52
    """
    caller = "calibration_table"
    check_model(model, caller=caller)
    bins = check_count(bins, name="bins", caller=caller, least=2)
    holdout = read_holdout(X, caller=caller)
    predicted = holdout.predict(model)
    ranks = stats.rankdata(predicted, method="average")
    _, group = np.unique(np.ceil(bins * ranks / (len(ranks) + 1)), return_inverse=True)
    sizes = np.bincount(group)
    columns = {
        "decile": np.arange(1, len(sizes) + 1),
        "customer_count": sizes.astype(np.int64),
        "predicted_mean_count": np.bincount(group, predicted) / sizes,
        "actual_mean_count": np.bincount(group, holdout.actual) / sizes,
    }
    schema: dict[str, Any] = {"decile": nw.Int64(), "customer_count": nw.Int64()}
    schema |= {"predicted_mean_count": nw.Float64(), "actual_mean_count": nw.Float64()}
    return holdout.engine.from_columns(columns, nw.Schema(schema))


def _rank(row: Mapping[str, Any]) -> tuple[bool, float, float]:
    likelihood = row["predictive_log_likelihood"]
    error = row["root_mean_squared_error"]
    return likelihood is None, -(likelihood or 0.0), math.inf if error is None else error


def _as_columns(rows: Sequence[Mapping[str, Any]]) -> tuple[dict[str, list[Any]], nw.Schema]:
    columns = {name: [row[name] for row in rows] for name in MEASURES}
    texts = {"model", "verdict"}
    return columns, nw.Schema({name: nw.String() if name in texts else nw.Float64() for name in MEASURES})


def _choose(
    holdout: Holdout, fitted: Sequence[PurchaseModel], judged: Sequence[Mapping[str, Any]]
) -> tuple[PurchaseModel, str]:
    sound = [at for at, model in enumerate(fitted) if model.converged_] or [*range(len(fitted))]
    best = max(sound, key=lambda at: judged[at]["predictive_log_likelihood"])
    likelihoods = {at: holdout.log_probabilities(fitted[at]) for at in sound}
    close = [at for at in sound if at == best or _is_close(likelihoods[best], likelihoods[at])]
    winner = min(
        close,
        key=lambda at: (
            float(f"{judged[at]['root_mean_squared_error']:.3g}"),
            abs(judged[at]["bias_share"] or 0.0),
        ),
    )
    names = [name_of(model) for model in fitted]
    reason = (
        f"{names[best]} has the highest predictive log-likelihood, {judged[best]['predictive_log_likelihood']:,.1f}"
    )
    rivals = [names[at] for at in close if at != best]
    if rivals:
        reason += f"; {', '.join(rivals)} cannot be told from it"
    if winner != best:
        reason += f", and of these {names[winner]} has the smallest error"
    bias = judged[winner]["bias_share"]
    reason += f" (root mean squared error {judged[winner]['root_mean_squared_error']:.3f}"
    reason += f", bias {bias:+.1%})." if bias is not None else ")."
    left_out = [
        f"{names[at]} ({fitted[at].verdict_.partition(':')[0]})" for at in range(len(fitted)) if at not in sound
    ]
    if left_out:
        reason += f" Not considered: {', '.join(left_out)}."
    return fitted[winner], reason


def _is_close(best: Vector, other: Vector) -> bool:
    difference = best - other
    error = float(difference.std()) * np.sqrt(len(difference))
    return bool(difference.sum() <= DISTINGUISHABLE * error)


def _fitted(holdout: Holdout, models: Sequence[PurchaseModel] | None, unit: Any, *, caller: str) -> list[PurchaseModel]:
    if models is None:
        kinds: list[type] = [NBDModel, ParetoNBDModel, BetaGeoModel, ModifiedBetaGeoModel]
        if INTERVALS in columns_of(enter(holdout.frame, caller=caller)[0]):
            kinds += [BetaGeoCNBDModel, ModifiedBetaGeoCNBDModel]
        models = [kind(unit=unit) for kind in kinds]
    if not isinstance(models, (list, tuple)):
        raise SchemaError(f"{caller}: models must be a list of models, got {type(models).__name__}. Type models=[...].")
    strange = [type(model).__name__ for model in models if not isinstance(model, PurchaseModel)]
    if strange or not models:
        raise SchemaError(
            f"{caller}: models must be models of purchases such as ModifiedBetaGeoModel(), got {strange}."
        )
    models[0]._warn_of_unit(models[0]._read(holdout.frame, caller=caller), caller=caller)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)  # the column verdict says it
        return [clone(model).fit(holdout.frame) for model in models]


def _read_baselines(baselines: Any, table: Histories, *, caller: str) -> dict[str, Vector]:
    """Return the forecasts of baselines in the order of the table's customers."""
    if baselines is None:
        return {}
    frame: pd.DataFrame = compute(baselines, caller=caller).to_pandas().convert_dtypes(dtype_backend="numpy_nullable")
    if KEY not in frame.columns or table.key_name != KEY:
        raise MissingColumnsError(f"{caller}: baselines are matched by {KEY!r}, which both tables must have.")
    if frame[KEY].duplicated().any():
        raise SchemaError(f"{caller}: baselines repeat {KEY} {frame[KEY][frame[KEY].duplicated()].tolist()[0]!r}.")
    texts = [name for name in frame.columns if name != KEY and frame[name].dtype.kind not in "iufb"]
    if texts:
        raise SchemaError(f"{caller}: baselines must be columns of numbers, {texts} are not.")
    by_key = frame.set_index(KEY)
    unknown = [key for key in table.keys.tolist() if key not in by_key.index]
    if unknown:
        msg = (
            f"{caller}: {len(unknown)} customers have no baseline ({KEY} {', '.join(map(repr, unknown[:5]))}). "
            "Make both tables with the same calibration_end and as_of."
        )
        raise SchemaError(msg)
    ordered = by_key.loc[table.keys.tolist()]
    forecasts = {name: ordered[name].to_numpy(float, na_value=np.nan) for name in ordered.columns}
    return {name.removesuffix("_count"): values for name, values in forecasts.items()}
