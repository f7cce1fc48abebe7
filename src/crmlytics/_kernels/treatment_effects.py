"""What being treated changes on average, with its interval, as functions on arrays; NaN where it cannot be told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

HALVINGS = 60  # of a range of e^70: to the last digit
LARGEST_LOG_RATIO = 35.0
MOST_SKEWNESS = 1.0  # of the difference; beyond it the correction is a guess
LEAST_SKEWNESS = 1e-9  # below it there is nothing to correct
TINY = 1e-300  # instead of no variance at all: 0 / TINY is 0
NOISE = 1e-12  # a spread of this share of the numbers' size is that of rounding


class Effect(NamedTuple):
    """Treated against control: numbers, or arrays with one for each comparison."""

    treated_mean: Any
    control_mean: Any
    difference: Any
    difference_low: Any
    difference_high: Any
    ratio: Any
    ratio_low: Any
    ratio_high: Any
    p_value: Any
    unadjusted_difference: Any
    variance_reduction_share: Any


UNKNOWN = Effect(*[np.nan] * len(Effect._fields))


class Spread(NamedTuple):
    """How far a difference of means may lie from the true one.

    Attributes
    ----------
    error : float
        The standard error.
    degrees : float
        Of freedom, after Welch and Satterthwaite.
    skewness : float
        Of the difference as an estimate.
    """

    error: float
    degrees: float
    skewness: float

    def reach(self, confidence: float) -> tuple[float, float]:
        """Return between which multiples of the standard error the estimate's deviation lies, the lower one first."""
        from scipy import special

        quantile = special.stdtrit(self.degrees, (1 + confidence) / 2)
        return float(skewed(-quantile, self.skewness)), float(skewed(quantile, self.skewness))

    def probability_below(self, deviation: float) -> float:
        """Return how probable a deviation of at most this size is."""
        from scipy import special

        return float(special.stdtr(self.degrees, unskewed(deviation / self.error, self.skewness)))

    def p_value(self, difference: float) -> float:
        """Return the two-sided p-value of no difference."""
        from scipy import special

        statistic = abs(unskewed(difference / self.error, self.skewness))
        return float(2 * special.stdtr(self.degrees, -statistic))


class MeanDifference(NamedTuple):
    """A difference of means as an estimate: the effect without its interval.

    Attributes
    ----------
    means : float64 array, shape (2,)
        Treated and control, each as it would be had both arms the same covariates.
    covariance : float64 array, shape (2, 2)
        Of these two as estimates.
    """

    means: Vector
    covariance: Vector
    spread: Spread
    unadjusted: float
    unadjusted_variance: float

    @property
    def difference(self) -> float:
        """Treated less control."""
        return float(self.means[0] - self.means[1])


# -- means ---------------------------------------------------------------------------------------------------------


def mean_effect(treated: Vector, control: Vector, confidence: float) -> Effect:
    """Compare means; the first column is the outcome, the others are covariates of before the treatment.

    Welch's interval, corrected for skewness (see :func:`mean_difference`), and Fieller's of the ratio.
    """
    found = mean_difference(treated, control)
    if found is None:
        return _means_only(treated, control)
    low, high = found.spread.reach(confidence)
    error, difference = found.spread.error, found.difference
    reduction = 1 - error**2 / found.unadjusted_variance if treated.shape[1] > 1 else np.nan
    return Effect(
        float(found.means[0]),
        float(found.means[1]),
        difference,
        difference - high * error,
        difference - low * error,
        *_fieller(found, low, high),
        found.spread.p_value(difference),
        found.unadjusted,
        reduction,
    )


def mean_difference(treated: Vector, control: Vector) -> MeanDifference | None:
    """Estimate a difference of means; None where nothing varies, or too few are there to tell how much it does.

    Covariates are taken off both arms with the same weights theta, those with which the variance of the difference is
    least: CUPED (Deng, Xu, Kohavi & Walker 2013, "Improving the sensitivity of online controlled experiments by
    utilizing pre-experiment data", WSDM). In large samples that is the regression with slopes of its own in each arm
    (Lin 2013, Annals of Applied Statistics 7), for any shares of the arms. Each weight takes a degree of freedom from
    either arm.

    The distribution of the difference is skewed where one arm is small and the outcome has a long tail. It is set
    right by the cubic transformation of Hall (1992, Journal of the Royal Statistical Society B 54; of two samples: Zhou
    & Dinh 2005, Biostatistics 6), with one skewness of the outcome for both arms about their means: that of a small
    arm alone is worth nothing. Arms of equal size have none.
    """
    size = np.array([len(treated), len(control)], np.float64)
    free = size - treated.shape[1]
    if free.min() < 1:
        return None
    means = np.array([treated.mean(axis=0), control.mean(axis=0)])
    centred = [treated - means[0], control - means[1]]
    squares = np.array([rows.T @ rows for rows in centred])
    if squares[:, 0, 0].sum() <= (NOISE * np.abs(means[:, 0]).max()) ** 2 * size.sum():
        return None
    covariances = squares / (size * free)[:, None, None]
    theta = _weights(covariances.sum(axis=0))
    residuals = [rows[:, 0] - rows[:, 1:] @ theta for rows in centred]
    adjusted = np.r_[1.0, -theta]
    variances = np.array([adjusted @ one @ adjusted for one in covariances])
    if variances.sum() <= (NOISE**2) * covariances[:, 0, 0].sum():
        return None
    spread = Spread(
        error=float(np.sqrt(variances.sum())),
        degrees=float(variances.sum() ** 2 / (variances**2 / free).sum()),
        skewness=_skewness(residuals, size),
    )
    raw = squares[:, 0, 0] / (size * (size - 1))
    adjusted_means, covariance = _adjusted_means(means, covariances, theta, size)
    return MeanDifference(adjusted_means, covariance, spread, float(means[0, 0] - means[1, 0]), float(raw.sum()))


def _weights(covariance: Vector) -> Vector:
    """Return by which covariates a variable is best told: those that add nothing share their weight."""
    scale = np.sqrt(np.diag(covariance)[1:])
    scale[scale == 0] = 1.0
    correlation = covariance[1:, 1:] / np.outer(scale, scale)
    weights: Vector = np.linalg.pinv(correlation, rcond=1e-10, hermitian=True) @ (covariance[1:, 0] / scale) / scale
    return weights


def _adjusted_means(means: Vector, covariances: Vector, theta: Vector, size: Vector) -> tuple[Vector, Vector]:
    """Return both means at the covariates' mean over both arms, and their covariance: they share that mean."""
    share = size / size.sum()
    of_treated = np.array([np.r_[1.0, -theta * share[1]], np.r_[0.0, theta * share[0]]])  # what each arm's means add
    of_control = np.array([np.r_[0.0, theta * share[1]], np.r_[1.0, -theta * share[0]]])
    adjusted: Vector = of_treated @ means[0] + of_control @ means[1]
    covariance: Vector = of_treated @ covariances[0] @ of_treated.T + of_control @ covariances[1] @ of_control.T
    return adjusted, covariance


def _skewness(residuals: list[Vector], size: Vector) -> float:
    """Return the skewness of the difference, that of the outcome being the same in both arms."""
    squares = [rows * rows for rows in residuals]  # ** 3 takes ten times as long
    cubes = [(rows * square).sum() for rows, square in zip(residuals, squares, strict=True)]
    return float(difference_skewness(np.sum(cubes), np.sum([square.sum() for square in squares]), size))


def difference_skewness(cubes: Any, squares: Any, size: Vector) -> Any:
    """Return the skewness of differences, of sums over both arms: cubes and squares of distances to the arm's mean."""
    apart = (size[1] - size[0]) / np.sqrt(size[0] * size[1])
    ratio = np.divide(cubes, squares**1.5, out=np.zeros_like(apart), where=squares > 0)
    return np.clip(ratio * apart, -MOST_SKEWNESS, MOST_SKEWNESS)


def unskewed(statistic: Any, skewness: Any) -> Any:
    """Return Hall's transformation of a studentised statistic: that is distributed as if nothing were skewed."""
    return statistic + skewness * statistic**2 / 3 + skewness**2 * statistic**3 / 27 + skewness / 6


def skewed(value: Any, skewness: Any) -> Any:
    """Return the statistic that :func:`unskewed` makes this value of."""
    is_skewed = np.abs(skewness) >= LEAST_SKEWNESS
    divisor = np.where(is_skewed, skewness, 1.0)
    return np.where(is_skewed, 3 / divisor * (np.cbrt(1 + divisor * (value - divisor / 6)) - 1), value)


def _fieller(found: MeanDifference, low: float, high: float) -> tuple[float, float, float]:
    """Return the ratio of means and its interval; NaN where there is no bound, or the control's mean is not above 0.

    E. C. Fieller (1954), "Some problems in interval estimation", Journal of the Royal Statistical Society B 16: the
    ratios r at which ``treated - r control`` is not told from 0. So 1 lies within it whenever 0 lies within the
    interval of the difference.
    """
    treated, control = found.means
    if control <= 0:
        return np.nan, np.nan, np.nan

    def equation(reach: float) -> tuple[float, float, float, float]:
        square = control**2 - reach**2 * found.covariance[1, 1]
        middle = treated * control - reach**2 * found.covariance[0, 1]
        rest = treated**2 - reach**2 * found.covariance[0, 0]
        return square, middle, rest, np.sqrt(middle**2 - square * rest) if middle**2 >= square * rest else np.nan

    square, middle, rest, root = equation(high)
    ratio_low = rest / (middle + root) if middle + root > 0 else np.nan  # also where the control's mean may be 0
    square, middle, rest, root = equation(low)
    ratio_high = (middle + root) / square if square > 0 else np.nan
    return float(treated / control), float(ratio_low), float(ratio_high)


def _means_only(treated: Vector, control: Vector) -> Effect:
    """Return what is known without a spread."""
    if not len(treated) or not len(control):
        means = [float(arm[:, 0].mean()) if len(arm) else np.nan for arm in (treated, control)]
        return UNKNOWN._replace(treated_mean=means[0], control_mean=means[1])
    means = [float(treated[:, 0].mean()), float(control[:, 0].mean())]
    ratio = means[0] / means[1] if means[1] > 0 else np.nan
    difference = means[0] - means[1]
    return UNKNOWN._replace(
        treated_mean=means[0],
        control_mean=means[1],
        difference=difference,
        ratio=ratio,
        unadjusted_difference=difference,
    )


# -- shares --------------------------------------------------------------------------------------------------------


def share_effects(
    count: NDArray[Any], total: NDArray[Any], other_count: NDArray[Any], other_total: NDArray[Any], confidence: float
) -> Effect:
    """Compare shares of counts: Newcombe's interval of the difference, Koopman's of the ratio, score or exact test."""
    from crmlytics._kernels.proportion_tests import difference_interval, difference_p_value, share

    compared = (count, total, other_count, other_total)
    treated, control = share(count, total), share(other_count, other_total)
    none = np.full(len(treated), np.nan)
    low, high = difference_interval(*compared, 1 - confidence)
    ratio = np.divide(treated, control, out=none.copy(), where=control > 0)
    return Effect(
        treated,
        control,
        treated - control,
        low,
        high,
        ratio,
        *share_ratio_interval(*compared, confidence),
        difference_p_value(*compared),
        treated - control,
        none,
    )


def share_ratio_interval(
    count: NDArray[Any], total: NDArray[Any], other_count: NDArray[Any], other_total: NDArray[Any], confidence: float
) -> tuple[Vector, Vector]:
    """Return the interval of a ratio of shares; NaN where there is no bound: above it where the other share is 0.

    P. A. R. Koopman (1984), "Confidence intervals for the ratio of two binomial proportions", Biometrics 40: the ratios
    that the score test does not refuse.
    """
    from scipy import special

    quantile = special.ndtri((1 + confidence) / 2)
    counts = [np.asarray(values, np.float64) for values in (count, total, other_count, other_total)]
    known = (counts[1] > 0) & (counts[3] > 0) & (counts[0] + counts[2] > 0)
    x, n, y, m = (values[known] for values in counts)
    low, high = np.full((2, len(known)), np.nan)
    low[known] = np.where(x > 0, _score_root(x, n, y, m, quantile), 0.0)
    high[known] = np.where(y > 0, _score_root(x, n, y, m, -quantile), np.nan)
    return low, high


def _score_root(x: Vector, n: Vector, y: Vector, m: Vector, reach: float) -> Vector:
    """Return the ratio at which the score statistic is so large: it falls with the ratio."""
    low, high = np.full(len(x), -LARGEST_LOG_RATIO), np.full(len(x), LARGEST_LOG_RATIO)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        above = _score_statistic(np.exp(middle), x, n, y, m) > reach
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    root: Vector = np.exp((low + high) / 2)
    return root


def _score_statistic(ratio: Vector, x: Vector, n: Vector, y: Vector, m: Vector) -> Vector:
    """Return how many standard deviations the shares x / n and y / m are from having this ratio."""
    half = ratio * (n + y) + x + m
    root = np.sqrt(np.maximum(half**2 - 4 * (n + m) * ratio * (x + y), 0.0))
    control = 2 * (x + y) / (half + root)  # the likeliest share that goes with the ratio
    treated = ratio * control
    variance = treated * (1 - treated) / n + ratio**2 * control * (1 - control) / m
    statistic: Vector = (x / n - ratio * y / m) / np.sqrt(np.maximum(variance, TINY))
    return statistic
