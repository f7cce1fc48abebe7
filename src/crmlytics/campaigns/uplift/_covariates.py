"""What was known of customers before the contact, as columns of numbers that arms can be compared in."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics.campaigns._experiment import MISSING, check_columns, words_of
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.campaigns._experiment import Experiment

    Vector = NDArray[np.float64]

MEAN, OTHERS = "mean", "any other"
MOST_LEVELS = 20
DAY = pd.Timedelta(days=1)


@dataclass(frozen=True, slots=True, eq=False)
class Covariate:
    """One column of a table.

    Attributes
    ----------
    name : str
    levels : tuple of str
        ``"mean"`` of numbers, then ``"missing"`` if some are; the words of words.
    columns : float64 array, shape (n, levels)
        Numbers, NaN where missing; flags of levels.
    """

    name: str
    levels: tuple[str, ...]
    columns: Vector

    def among(self, rows: NDArray[np.bool_]) -> Covariate:
        """Return the same covariate of some of the rows."""
        return replace(self, columns=self.columns[rows])


def read_covariates(experiment: Experiment, names: Sequence[str], *, caller: str) -> list[Covariate]:
    """Read columns that say something: those with one value throughout are left out."""
    check_columns(experiment.table.columns, names, caller=caller)
    found = [_covariate(name, experiment.table[name], caller=caller) for name in names]
    telling = [one for one in found if (one.columns != one.columns[0]).any()]  # NaN is unlike itself
    if not telling:
        tried = f", only {list(names)} with one value throughout" if names else ""
        msg = (
            f"{caller}: there is nothing known before the contact to compare the arms in{tried}. Add such columns: "
            "outcome_table(..., customers=...) and its pre_period do."
        )
        raise SchemaError(msg)
    return telling


def side_by_side(covariates: Sequence[Covariate]) -> Vector:
    """Return the columns of all covariates, shape (n, levels of all)."""
    return np.column_stack([one.columns for one in covariates])


def filled(values: Vector) -> Vector:
    """Return columns with the mean of what is known where something is missing; nought where nothing is known."""
    known = ~np.isnan(values)
    mean = np.where(known, values, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    return np.where(known, values, mean)


def _covariate(name: str, values: pd.Series[Any], *, caller: str) -> Covariate:
    if _is_date(values):
        values = (pd.to_datetime(values) - pd.Timestamp(0)) / DAY
    if not pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        return _words(name, words_of(values))
    numbers = values.astype("Float64").to_numpy(dtype=np.float64, na_value=np.nan)
    if np.isinf(numbers).any():
        raise SchemaError(f"{caller}: {name!r} is infinite in {int(np.isinf(numbers).sum()):,} rows.")
    missing = np.isnan(numbers)
    if not missing.any():
        return Covariate(name, (MEAN,), numbers[:, None])
    return Covariate(name, (MEAN, MISSING), np.column_stack([numbers, missing]))


def _is_date(values: pd.Series[Any]) -> bool:
    kind = str(values.dtype)
    return pd.api.types.is_datetime64_any_dtype(values) or kind.startswith(("timestamp", "date"))


def _words(name: str, words: NDArray[Any]) -> Covariate:
    counts = Counter(words)
    kept = sorted(sorted(counts), key=lambda word: -counts[word])[:MOST_LEVELS]
    levels = sorted(word for word in kept if word != MISSING)
    if len(counts) > MOST_LEVELS:
        words = np.where(np.isin(words, kept), words, OTHERS)
        levels.append(OTHERS)
    levels += [MISSING] if MISSING in kept else []
    return Covariate(name, tuple(levels), np.column_stack([words == level for level in levels]).astype(np.float64))
