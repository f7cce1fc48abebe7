"""From a column to what is counted of it in each segment: levels, or the sums of its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics.scoring._encoding import MISSING, OTHER, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.group_differences import NumberSummary
    from crmlytics.profiling._reading import Population
    from crmlytics.scoring._encoding import Feature

    Floats = NDArray[np.float64]

FEW_VALUES = 10


@dataclass(frozen=True, slots=True, eq=False)
class Levels:
    """How many customers of each segment have each level.

    Attributes
    ----------
    labels : list of str
    count : int64 array, shape (segments, levels)
    """

    labels: list[str]
    count: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Numbers:
    """What the numbers of a column come to in each segment.

    Attributes
    ----------
    summary : NumberSummary
        Of the known ones.
    missing : int64 array, shape (segments,)
    values : float64 array, shape (values,)
        The different ones where they are at most ``FEW_VALUES``: mean and spread of so few may be solved for how many
        have which. Else none.
    cells : int64 array, shape (segments, values)
    far_value : float or None
        The value that more than half have, if it lies far from all others: likely a code for "unknown" or "never".
    """

    summary: NumberSummary
    missing: NDArray[np.int64]
    values: Floats
    cells: NDArray[np.int64]
    far_value: float | None


def count_column(population: Population, feature: Feature, least: int, *, caller: str) -> Levels | Numbers | None:
    """Count a column; None where, with rare levels pooled, everybody has the same."""
    values = encode(population, feature, caller=caller)
    labels = list(feature.levels) if feature.levels is not None else _flag(values, population, feature.name)
    if labels is None:
        return _numbers(values, population)
    if feature.levels is None:
        values = np.where(np.isnan(values), np.nan, values == np.nanmax(values))
    if MISSING not in labels:
        labels = [*labels, MISSING]
    code = np.where(np.isnan(values), labels.index(MISSING), values).astype(np.int64)
    cell = population.code.astype(np.int64) * len(labels) + code
    count = np.bincount(cell, minlength=len(population.segments) * len(labels))
    pooled = pool_rare(labels, count.reshape(len(population.segments), len(labels)), least)
    return pooled if len(pooled.labels) > 1 else None


def encode(population: Population, feature: Feature, *, caller: str) -> Floats:
    """Encode a column of the table; each word once, however often it comes."""
    import pandas as pd

    column = population.table[feature.name]
    if feature.levels is None:
        return feature.encode(column, caller=caller)
    place, words = pd.factorize(column)
    codes = feature.encode(pd.Series(words), caller=caller)
    return np.asarray(np.append(codes, np.nan)[place], np.float64)  # the last, -1, is that of no word


def pool_rare(labels: Sequence[str], count: NDArray[np.int64], least: int) -> Levels:
    """Pool levels with fewer than ``least`` customers, and with them as many more as it takes to be that many.

    A level left out would tell its count by the difference to the sum, so it goes with the next rarest one.
    """
    total = count.sum(axis=0)
    order = [number for number in np.argsort(total, kind="stable") if total[number]]
    rare = [number for number in order if total[number] < least]
    if not rare:
        kept = [number for number in range(len(labels)) if total[number]]
        return Levels([labels[number] for number in kept], count[:, kept])
    while total[rare].sum() < least and len(rare) < len(order):
        rare.append(order[len(rare)])
    if len(rare) > 2 or OTHER in [labels[number] for number in rare]:
        rare = list(dict.fromkeys([*rare, *(number for number in order if labels[number] == OTHER)]))
    kept = [number for number in range(len(labels)) if total[number] and number not in rare]
    pooled = count[:, rare].sum(axis=1, keepdims=True)
    name = _name_of_pool([labels[number] for number in sorted(rare)])
    return Levels([*(labels[number] for number in kept), name], np.hstack([count[:, kept], pooled]))


def _name_of_pool(labels: list[str]) -> str:
    return OTHER if len(labels) > 2 or OTHER in labels else " or ".join(labels)


def _flag(values: Floats, population: Population, name: str) -> list[str] | None:
    """Return the two levels of a column that holds two different numbers, or None: a mean would tell their counts."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    if not ((values == low) | (values == high) | np.isnan(values)).all():
        return None
    is_boolean = str(population.table[name].dtype).startswith("bool") and (low, high) == (0.0, 1.0)
    return ["False", "True"] if is_boolean else [short(low), short(high)]


def _numbers(values: Floats, population: Population) -> Numbers:
    from crmlytics._kernels.group_differences import summarise_numbers

    known = ~np.isnan(values)
    code, groups = population.code, len(population.segments)
    missing = np.bincount(code[~known], minlength=groups)
    if missing.any():
        values, code = values[known], code[known]
    summary = summarise_numbers(values, code, groups)
    return Numbers(summary, missing, *_cells(values, code, groups), _far_value(values, summary.overall_median))


def _far_value(values: Floats, median: float) -> float | None:
    """Return the median if more than half have it, and the others lie closer to each other than to it on one side."""
    others = values[values != median]
    if not 0 < len(others) < len(values) / 2:
        return None
    low, high = float(others.min()), float(others.max())
    return median if max(low - median, median - high) > high - low > 0 else None


def _cells(values: Floats, code: NDArray[np.int32], groups: int) -> tuple[Floats, NDArray[np.int64]]:
    """Count each value in each segment, if there are few different ones."""
    if len(np.unique(values[: 10 * FEW_VALUES])) <= FEW_VALUES:  # the first rows spare most columns the rest
        different, place = np.unique(values, return_inverse=True)
        if len(different) <= FEW_VALUES:
            cells = np.bincount(code * np.int64(len(different)) + place, minlength=groups * len(different))
            return different, cells.reshape(groups, len(different))
    return np.empty(0), np.empty((groups, 0), np.int64)
