"""Figures of scores beside what became of the customers: curves, coefficients, tenths, and how sure they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.draws import Draws, bounds

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crmlytics._kernels.uplift_curves import Curves
    from crmlytics.campaigns.uplift._trial import Trial

    Vector = NDArray[np.float64]

SHARES = np.arange(101) / 100
TOPS = (10, 20, 30)  # per cent of the customers
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """The curve of one score, as it is and in samples of customers.

    Attributes
    ----------
    curve : Curves
        One sample: everybody.
    drawn : Curves
        One sample per draw.
    """

    curve: Curves
    drawn: Curves

    @property
    def qini(self) -> float:
        """The Qini coefficient per customer."""
        return float(self.curve.qini[0])

    @property
    def effect(self) -> float:
        """The mean effect of treating everybody."""
        return float(self.curve.heights[0, -1])

    @property
    def effect_bounds(self) -> tuple[float, float]:
        """Its interval."""
        low, high = bounds(self.drawn.heights[:, -1])
        return float(low), float(high)


def judge(trial: Trial, *, replicates: int, seed: int) -> dict[str, Judged]:
    """Return the curves of all scores of a trial, of the same samples of customers: differences are paired ones."""
    from crmlytics._kernels.uplift_curves import curves

    draws = Draws.of(trial.customers, replicates=replicates, seed=seed)
    observed = (trial.outcome, trial.treated, trial.propensity)
    return {
        name: Judged(curves(score, *observed, shares=SHARES), curves(score, *observed, draws, shares=SHARES))
        for name, score in trial.scores.items()
    }


def drawn_p_value(value: float, drawn: Vector) -> float:
    """Return the two-sided p-value that a figure is nought: normal, with the standard deviation of its samples.

    Of samples counted beyond nought few would do for an interval, but not for p-values that are adjusted for many
    scores. A figure that is nought in every sample, such as a difference of two scores that rank alike, has 1.
    """
    from scipy import special

    known = drawn[~np.isnan(drawn)]
    if 2 * len(known) < len(drawn):
        return float("nan")
    spread = float(known.std(ddof=1))
    if spread == 0:
        return float(value == 0)
    return float(2 * special.ndtr(-abs(value) / spread))


def curve_columns(judged: Mapping[str, Judged], customers: int) -> dict[str, Any]:
    """Return incremental outcomes by share contacted, one score after the other."""
    points = len(SHARES)
    columns: dict[str, Any] = {
        "score": np.repeat(np.array(list(judged), object), points),
        "contact_share": np.tile(SHARES, len(judged)),
        "contact_count": np.tile(np.rint(SHARES * customers).astype(np.int64), len(judged)),
    }
    limits = [bounds(one.drawn.heights) for one in judged.values()]
    found = {
        "incremental_outcome": [one.curve.heights[0] for one in judged.values()],
        "incremental_outcome_low": [low for low, _ in limits],
        "incremental_outcome_high": [high for _, high in limits],
        "random_outcome": [SHARES * one.effect + 0.0 for one in judged.values()],
    }
    return columns | {name: np.concatenate(parts) * customers for name, parts in found.items()}


def comparison_columns(judged: Mapping[str, Judged], baseline: str | None) -> dict[str, Any]:
    """Return the coefficients of each score, and how far it is from the baseline."""
    others = {name: None if name == baseline else judged.get(str(baseline)) for name in judged}
    rows = [_figures(one) | _difference(one, others[name]) for name, one in judged.items()]
    columns: dict[str, Any] = {"score": np.array(list(judged), object)}
    return columns | {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}


def decile_columns(trial: Trial, bins: int) -> dict[str, Any]:
    """Return what each slice of each ranking holds."""
    parts = [_slices(trial, score, bins) for score in trial.scores.values()]
    columns: dict[str, Any] = {
        "score": np.repeat(np.array(list(trial.scores), object), bins),
        "bin": np.tile(np.arange(1, bins + 1), len(parts)),
    }
    return columns | {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def stacked(parts: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the columns of several arms one below the other, under the names of the arms."""
    first, columns = next(iter(parts.values())), {}
    lengths = [len(next(iter(part.values()))) for part in parts.values()]
    columns["arm"] = np.repeat(np.array(list(parts), object), lengths)
    return columns | {name: np.concatenate([part[name] for part in parts.values()]) for name in first}


# -- inside --------------------------------------------------------------------------------------------------------


def _figures(one: Judged) -> dict[str, float]:
    low, high = bounds(one.drawn.qini)
    top = {f"uplift_at_{share}": one.curve.heights[0, share] / SHARES[share] for share in TOPS}
    return {
        "qini": one.qini,
        "qini_low": float(low),
        "qini_high": float(high),
        "qini_p_value": drawn_p_value(one.qini, one.drawn.qini),
        "auuc": float(one.curve.area[0]),
        **top,
    }


def _difference(one: Judged, baseline: Judged | None) -> dict[str, float]:
    names = ("difference", "difference_low", "difference_high", "difference_p_value")
    if baseline is None:
        return dict.fromkeys(names, float("nan"))
    drawn = one.drawn.qini - baseline.drawn.qini
    low, high = bounds(drawn)
    value = one.qini - baseline.qini
    return dict(zip(names, (value, float(low), float(high), drawn_p_value(value, drawn)), strict=True))


def _slices(trial: Trial, score: Vector, bins: int) -> dict[str, Vector]:
    """Return the slices of one ranking; customers with equal scores that an edge divides are shared out."""
    from crmlytics.scoring._bootstrap import shares_within

    within = shares_within(score, np.linspace(0, len(score), bins + 1))
    weight = np.where(trial.treated, 1 / trial.propensity, 1 / (1 - trial.propensity))
    arms = [_Means.of(within * (rows * weight)[:, None], trial.outcome) for rows in (trial.treated, ~trial.treated)]
    low, high = _interval(*arms, is_flag=is_flag(trial.outcome))
    return {
        "treated_count": within[trial.treated].sum(axis=0),
        "control_count": within[~trial.treated].sum(axis=0),
        "treated_mean": arms[0].mean,
        "control_mean": arms[1].mean,
        "uplift": arms[0].mean - arms[1].mean,
        "uplift_low": low,
        "uplift_high": high,
        "predicted_uplift": (within * score[:, None]).sum(axis=0) / within.sum(axis=0),
    }


def is_flag(outcome: Vector) -> bool:
    """Whether an outcome is true or false, rather than an amount or a count."""
    return bool(np.isin(outcome, (0.0, 1.0)).all())


@dataclass(frozen=True, slots=True, eq=False)
class _Means:
    """Weighted means of slices, shape (bins,) each; ``size`` is how many equal weights they are worth (Kish)."""

    mean: Vector
    variance: Vector
    size: Vector

    @classmethod
    def of(cls, weights: Vector, outcome: Vector) -> _Means:
        with np.errstate(divide="ignore", invalid="ignore"):
            total = weights.sum(axis=0)
            size = total**2 / (weights**2).sum(axis=0)
            mean = weights.T @ outcome / total
            around = (weights * (outcome[:, None] - mean) ** 2).sum(axis=0) / total
            return cls(mean, around * size / (size - 1), size)


def _interval(treated: _Means, control: _Means, *, is_flag: bool) -> tuple[Vector, Vector]:
    """Return the interval of a difference of means: Newcombe's of shares, Welch's of amounts."""
    from scipy import special

    from crmlytics._kernels.proportion_tests import difference_interval

    with np.errstate(divide="ignore", invalid="ignore"):
        if is_flag:
            count, other = (np.nan_to_num(arm.mean * arm.size) for arm in (treated, control))
            size, other_size = (np.nan_to_num(arm.size) for arm in (treated, control))
            return difference_interval(count, size, other, other_size, 1 - CONFIDENCE)
        errors = [arm.variance / arm.size for arm in (treated, control)]
        parts = [error**2 / (arm.size - 1) for error, arm in zip(errors, (treated, control), strict=True)]
        degrees = (errors[0] + errors[1]) ** 2 / (parts[0] + parts[1])
        reach = special.stdtrit(degrees, (1 + CONFIDENCE) / 2) * np.sqrt(errors[0] + errors[1])
        difference = treated.mean - control.mean
        return difference - reach, difference + reach
