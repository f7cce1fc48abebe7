"""How a group differs from the others: v-tests and effect sizes of levels and of numbers, as functions on arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.hypergeometric import lower_tail, upper_tail

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Floats = NDArray[np.float64]

SMALLEST = 1e-300  # p-values below it end at 0: from here on the likelihood ratio tells v


@dataclass(frozen=True, slots=True, eq=False)
class NumberSummary:
    """One column of numbers, group by group; every array has shape (groups,).

    Attributes
    ----------
    count : int64 array
    mean, median : float64 array
        Missing in an empty group.
    squares : float64 array
        Sum of the squared differences from the group's mean.
    mean_rank : float64 array
        Mean place of the group's values among all, from 1; values that are equal share their places.
    overall_median : float
    """

    count: Counts
    mean: Floats
    median: Floats
    squares: Floats
    mean_rank: Floats
    overall_median: float

    @property
    def overall_mean(self) -> float:
        """The mean of all values."""
        filled = self.count > 0
        return float((self.count[filled] * self.mean[filled]).sum() / self.count.sum())

    @property
    def overall_squares(self) -> float:
        """Sum of the squared differences of all values from the mean of all."""
        filled = self.count > 0
        between = self.count[filled] * (self.mean[filled] - self.overall_mean) ** 2
        return float(self.squares.sum() + between.sum())


# -- levels --------------------------------------------------------------------------------------------------------


def level_v_test(inside: Counts, group: Counts, level: Counts, total: Counts) -> tuple[Floats, Floats]:
    """Return v and p of a level in a group, were the group drawn from everybody at random.

    ``inside`` of ``group`` customers have the level, and ``level`` of all ``total``. The number in the group is then
    hypergeometric; p is twice the smaller of the two mid tails ``P(X > x) + P(X = x) / 2``, and ``v`` the quantile of
    the normal distribution that belongs to p, with the sign of the difference.

    L. Lebart, A. Morineau and M. Piron (1995), Statistique exploratoire multidimensionnelle; with the mid tail, as
    FactoMineR's ``catdes`` computes it. Where p is below 1e-300, v is the signed root of the likelihood ratio.
    """
    from scipy import special

    above = upper_tail(total, level, group, inside) + upper_tail(total, level, group, inside + 1)
    below = lower_tail(total, level, group, inside) + lower_tail(total, level, group, inside - 1)
    p_value = np.minimum(np.minimum(above, below), 1.0)
    is_tiny = p_value < SMALLEST
    v = -special.ndtri(np.where(is_tiny, 0.5, p_value / 2))
    v = np.where(is_tiny, np.sqrt(_likelihood_ratio(inside, group, level, total)), v)
    return np.sign(inside * total - group * level) * v, p_value


def _likelihood_ratio(inside: Counts, group: Counts, level: Counts, total: Counts) -> Floats:
    """Return 2 sum O ln(O / E) over the four cells of the table."""
    from scipy import special

    rows, columns = (group, total - group), (level, total - level)
    cells = (inside, group - inside), (level - inside, total - group - level + inside)
    ratio = sum(
        special.rel_entr(cells[i][j], np.asarray(rows[i], np.float64) * columns[j] / total)
        for i in range(2)
        for j in range(2)
    )
    return np.maximum(2 * np.asarray(ratio, np.float64), 0.0)


def cohen_h(
    inside: Counts, group: Counts, outside: Counts, others: Counts, confidence: float
) -> tuple[Floats, Floats, Floats]:
    """Return Cohen's h of two shares and its interval: ``2 asin sqrt(p) - 2 asin sqrt(q)``, error ``1/m + 1/n``.

    J. Cohen (1988), Statistical power analysis for the behavioral sciences, chapter 6: .2 small, .5 medium, .8 large.
    """
    effect = 2 * np.arcsin(np.sqrt(inside / group)) - 2 * np.arcsin(np.sqrt(outside / others))
    reach = _normal_quantile(confidence) * np.sqrt(1 / group + 1 / others)
    return effect, np.maximum(effect - reach, -np.pi), np.minimum(effect + reach, np.pi)


# -- numbers -------------------------------------------------------------------------------------------------------


def summarise_numbers(values: Floats, group: NDArray[np.int32], groups: int) -> NumberSummary:
    """Summarise known values by group; the same to the last digit whatever the order of the rows."""
    order = np.argsort(values)
    ranked, code = values[order], group[order]
    count, total, ranks = _sums(ranked, code, groups)
    with np.errstate(invalid="ignore"):
        mean, mean_rank = total / count, ranks / count
    low, high = _middles(ranked, code, count)
    middle = len(ranked) // 2
    overall = float(ranked[middle] + ranked[-middle - 1]) / 2
    return NumberSummary(count, mean, (low + high) / 2, _squares(ranked, code, mean), mean_rank, overall)


def number_v_test(summary: NumberSummary) -> tuple[Floats, Floats]:
    """Return v and p of each group's mean, were the group drawn from everybody at random.

    ``v = (mean_q - mean) / sqrt(s^2 / n_q (N - n_q) / (N - 1))``, s the standard deviation of all N (divided by N), and
    p from the normal distribution; Lebart, Morineau and Piron (1995). Missing for a group of everybody or nobody.
    """
    from scipy import special

    n, total = summary.count, summary.count.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = summary.overall_squares / total / n * (total - n) / (total - 1)
        v = (summary.mean - summary.overall_mean) / np.sqrt(variance)
    v = np.where(np.isfinite(v), v, np.nan)
    return v, 2 * special.ndtr(-np.abs(v))


def cohen_d(summary: NumberSummary, confidence: float) -> tuple[Floats, Floats, Floats]:
    """Return Cohen's d of each group against the others, and its interval.

    The difference of the means divided by the pooled standard deviation; error ``(m + n) / mn + d^2 / 2(m + n)``, after
    L. V. Hedges and I. Olkin (1985), Statistical methods for meta-analysis. Missing where neither side has a spread.
    """
    n = summary.count
    means = np.where(n > 0, summary.mean, 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, squares = _of_others(n, means, summary.squares)
        total, others = n.sum(), n.sum() - n
        spread = np.sqrt((summary.squares + squares) / (total - 2))
        effect = (summary.mean - mean) / spread
        reach = _normal_quantile(confidence) * np.sqrt(total / (n * others) + effect**2 / (2 * total))
    effect = np.where((spread > 1e-9 * np.abs(summary.mean - mean)) & np.isfinite(effect), effect, np.nan)
    return effect, effect - reach, effect + reach


def _of_others(n: Counts, means: Floats, squares: Floats) -> tuple[Floats, Floats]:
    """Return mean and sum of squares of all but each group: added up, for a difference would leave rounding errors."""
    is_other = 1 - np.eye(len(n))
    mean = is_other @ (n * means) / (is_other @ n)
    between = (is_other * n * (means - mean[:, None]) ** 2).sum(axis=1)
    return mean, is_other @ squares + between


def superiority(summary: NumberSummary) -> Floats:
    """Return the probability that a member of the group has a higher value than somebody else; ties count half.

    Mann and Whitney's U divided by the number of pairs: ``(mean rank - (n + 1) / 2) / (N - n)``.
    """
    n, total = summary.count, summary.count.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((n > 0) & (n < total), (summary.mean_rank - (n + 1) / 2) / (total - n), np.nan)


def _normal_quantile(confidence: float) -> float:
    from scipy import special

    return float(-special.ndtri((1 - confidence) / 2))


@compiled
def _sums(values: Floats, group: NDArray[np.int32], groups: int) -> tuple[Counts, Floats, Floats]:
    """Add up, group by group, rising values: how many, their sum, and the sum of their places among all."""
    count, total, ranks = np.zeros(groups, np.int64), np.zeros(groups), np.zeros(groups)
    start = 0
    while start < len(values):
        end = start + 1
        while end < len(values) and values[end] == values[start]:
            end += 1
        for i in range(start, end):
            count[group[i]] += 1
            total[group[i]] += values[i]
            ranks[group[i]] += (start + 1 + end) / 2
        start = end
    return count, total, ranks


@compiled
def _squares(values: Floats, group: NDArray[np.int32], mean: Floats) -> Floats:
    squares = np.zeros(len(mean))
    for i in range(len(values)):
        squares[group[i]] += (values[i] - mean[group[i]]) ** 2
    return squares


@compiled
def _middles(values: Floats, group: NDArray[np.int32], count: Counts) -> tuple[Floats, Floats]:
    """Find the two values in the middle of each group, which are one where the number is odd."""
    seen = np.zeros(len(count), np.int64)
    low, high = np.full(len(count), np.nan), np.full(len(count), np.nan)
    for i in range(len(values)):
        code = group[i]
        if seen[code] == (count[code] - 1) // 2:
            low[code] = values[i]
        if seen[code] == count[code] // 2:
            high[code] = values[i]
        seen[code] += 1
    return low, high
