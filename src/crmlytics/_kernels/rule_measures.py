"""How interesting a rule is, from four counts: how many baskets hold both sides, each side, and how many there are.

Definitions are those of R's arules (M. Hahsler, "A Probabilistic Comparison of Commonly Used Interest Measures for
Association Rules", 2015). Every function takes ``both``, ``antecedent`` and ``consequent``, integer arrays of one
length, and ``baskets``, a number; it returns a float64 array. Whole numbers stay whole until they are divided, once.

At the edges one rule holds. A side that every basket holds is independent of everything, so a measure that would be
0/0 takes its value at independence (arules has NA for phi, the odds ratio and chi-squared there). A side that no
basket holds leaves 0/0, which is NaN. What grows beyond all bounds is inf: the conviction of a rule without exception.
"""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    Counts: TypeAlias = NDArray[np.int64]
    Values: TypeAlias = NDArray[np.float64]

HYPER_LIFT_LEVEL = 0.99  # arules' default


def _of_counts(measure: Callable[[Counts, Counts, Counts, int], Values]) -> Callable[..., Values]:
    """Let a measure take counts of any integer type: products of two need 64 bits."""

    @wraps(measure)
    def measured(both: ArrayLike, antecedent: ArrayLike, consequent: ArrayLike, baskets: int) -> Values:
        wide_both, wide_antecedent, wide_consequent = (
            np.asarray(counts, dtype=np.int64) for counts in (both, antecedent, consequent)
        )
        return measure(wide_both, wide_antecedent, wide_consequent, int(baskets))

    return measured


def _divide(over: Counts | Values, under: Counts | Values | int) -> Values:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(over / under, dtype=np.float64)


def _divide_or(over: Counts | Values, under: Counts | Values, independent: float) -> Values:
    """Divide; 0/0, where a side is in every basket, is the value at independence."""
    return np.where((over == 0) & (under == 0), independent, _divide(over, under))


def _excess(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Counts:
    """Return leverage times the square of the number of baskets, exactly."""
    return both * baskets - antecedent * consequent


def _spread(antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """Return the square root of the product of the four margins of the table of two sides."""
    spread: Values = np.sqrt(antecedent * (baskets - antecedent)) * np.sqrt(consequent * (baskets - consequent))
    return spread


@_of_counts
def support(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:  # noqa: ARG001
    """P(XY)."""
    return _divide(both, baskets)


@_of_counts
def confidence(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:  # noqa: ARG001
    """P(Y|X)."""
    return _divide(both, antecedent)


@_of_counts
def lift(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """P(XY) / (P(X) P(Y))."""
    return _divide(both * baskets, antecedent * consequent)


@_of_counts
def leverage(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """P(XY) - P(X) P(Y)."""
    return _divide(_excess(both, antecedent, consequent, baskets), baskets * baskets)


@_of_counts
def added_value(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """P(Y|X) - P(Y)."""
    return _divide(_excess(both, antecedent, consequent, baskets), antecedent * baskets)


@_of_counts
def conviction(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """P(X) P(not Y) / P(X, not Y): inf without exception, 1 for a consequent in every basket."""
    values = _divide_or(antecedent * (baskets - consequent), (antecedent - both) * baskets, 1.0)
    return np.where(antecedent == 0, np.nan, values)


@_of_counts
def certainty(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """(P(Y|X) - P(Y)) / P(not Y), on both sides of zero: 0 for a consequent in every basket."""
    excess = _excess(both, antecedent, consequent, baskets)
    values = _divide_or(excess, antecedent * (baskets - consequent), 0.0)
    return np.where(antecedent == 0, np.nan, values)


@_of_counts
def zhang(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """(P(XY) - P(X) P(Y)) / max(P(XY) P(not X), P(X) P(Y, not X)): 0 for a side in every basket."""
    excess = _excess(both, antecedent, consequent, baskets)
    most = np.maximum(both * (baskets - antecedent), antecedent * (consequent - both))
    return np.where((antecedent == 0) | (consequent == 0), np.nan, _divide_or(excess, most, 0.0))


@_of_counts
def jaccard(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:  # noqa: ARG001
    """P(XY) / P(X or Y)."""
    return _divide(both, antecedent + consequent - both)


@_of_counts
def cosine(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:  # noqa: ARG001
    """P(XY) / sqrt(P(X) P(Y))."""
    return _divide(both, np.sqrt(antecedent * consequent))


@_of_counts
def kulczynski(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:  # noqa: ARG001
    """(P(Y|X) + P(X|Y)) / 2."""
    return (_divide(both, antecedent) + _divide(both, consequent)) / 2


@_of_counts
def imbalance(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:  # noqa: ARG001
    """|P(X) - P(Y)| / P(X or Y)."""
    return _divide(np.abs(antecedent - consequent), antecedent + consequent - both)


@_of_counts
def phi(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """Correlation of the two sides: 0 for a side in every basket."""
    values = _divide_or(_excess(both, antecedent, consequent, baskets), _spread(antecedent, consequent, baskets), 0.0)
    return np.where((antecedent == 0) | (consequent == 0), np.nan, values)


@_of_counts
def odds_ratio(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """P(XY) P(neither) / (P(X, not Y) P(Y, not X)): 1 for a side in every basket, inf if one side implies the other."""
    neither = baskets - antecedent - consequent + both
    values = _divide((both * neither).astype(np.float64), (antecedent - both) * (consequent - both))
    in_every = (antecedent == baskets) | (consequent == baskets)
    return np.where((antecedent == 0) | (consequent == 0), np.nan, np.where(in_every, 1.0, values))


@_of_counts
def chi_squared(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """Pearson's statistic of the two by two table, without continuity correction: baskets times phi squared."""
    return np.asarray(baskets * phi(both, antecedent, consequent, baskets) ** 2)


@_of_counts
def fisher_p_value(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """P(C >= both), C hypergeometric: Fisher's exact test, one-sided."""
    from crmlytics._kernels.hypergeometric import upper_tail

    return upper_tail(baskets, antecedent, consequent, both)


@_of_counts
def hyper_confidence(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """P(C < both), C hypergeometric."""
    from crmlytics._kernels.hypergeometric import lower_tail

    return lower_tail(baskets, antecedent, consequent, both - 1)


@_of_counts
def hyper_lift(both: Counts, antecedent: Counts, consequent: Counts, baskets: int) -> Values:
    """Divide ``both`` by the 99 % quantile of C, hypergeometric: inf where that is 0 and ``both`` is not."""
    from crmlytics._kernels.hypergeometric import quantile

    return _divide(both, quantile(baskets, antecedent, consequent, HYPER_LIFT_LEVEL))
