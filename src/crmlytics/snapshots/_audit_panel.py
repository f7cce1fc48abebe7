"""A panel as the leakage checks read it: features as arrays, beside the outcome, the customer and the cutoff."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import Engine, collect, enter
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CALLER = "audit_leakage"
NUMBER, MOMENT, WORD = "number", "moment", "word"
ERROR, WARNING, NOT_CHECKED, PASSED = SEVERITIES = ("error", "warning", "not checked", "passed")
DAY = np.timedelta64(1, "D")
LARGEST = 1e300  # stands for infinity, which has no quantiles


class Finding(NamedTuple):
    """One row of the audit: what was looked for, how bad it is, where, what was seen and what to do."""

    check: str
    severity: str
    column: str | None
    evidence: str
    repair: str


@dataclass(frozen=True, slots=True, eq=False)
class Feature:
    """One column.

    Attributes
    ----------
    name, kind : str
    values : array, shape (rows,)
        float64 with NaN, datetime64[us] with NaT, or int64 codes of words with -1 for none.
    levels : array of the words that the codes stand for; empty for other kinds
    """

    name: str
    kind: str
    values: NDArray[Any]
    levels: NDArray[Any]

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where there is no value."""
        gaps: NDArray[np.bool_] = self.values < 0 if self.kind == WORD else np.isnan(self.values)
        return gaps

    @property
    def is_constant(self) -> bool:
        """Whether every value there is is the same."""
        return len(np.unique(self.values[~self.missing])) < 2


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """A table to learn from.

    Attributes
    ----------
    features : list of Feature
    outcome : bool array, shape (rows,)
    customer : int64 array, shape (rows,)
        Codes of the key; one a row where the table has none.
    ids : array of the customers' ids, in the order of the codes; empty where the table has none
    cutoff : datetime64[us] array, shape (rows,), or None
    gap_days : int
    horizon_days : int or None
    """

    features: list[Feature]
    outcome: NDArray[np.bool_]
    customer: NDArray[np.int64]
    ids: NDArray[Any]
    cutoff: NDArray[np.datetime64] | None
    gap_days: int
    horizon_days: int | None

    @property
    def known_at_cutoff(self) -> NDArray[np.datetime64]:
        """The cutoffs, of a panel that has them."""
        if self.cutoff is None:  # pragma: no cover  callers have asked
            raise AssertionError
        return self.cutoff


def read_panel(
    native: Any,
    target: str,
    key: Sequence[str],
    *,
    features: Sequence[str] | None,
    gap_days: int,
    horizon_days: int | None,
) -> tuple[Panel, Engine]:
    """Read a dataframe of any kind, in its own order of rows, or say which column is not what it should be."""
    frame, engine = enter(native, caller=CALLER)
    table = collect(frame)
    _check_columns(table.columns, target, key, features)
    names = [name for name in table.columns if name not in {target, *key}] if features is None else list(features)
    schema = table.schema
    moments = [name for name in table.columns if isinstance(schema[name], (nw.Datetime, nw.Date))]
    table = table.with_columns(*[nw.col(name).cast(nw.Datetime("us")) for name in moments]) if moments else table
    columns = table.to_pandas()
    outcome = _outcome(columns[target], target)
    kinds = {name: _kind(schema[name]) for name in names}
    customer, ids = _customers(columns, key)
    return Panel(
        [_feature(columns[name], name, kinds[name]) for name in names if kinds[name]],
        outcome,
        customer,
        ids,
        _cutoffs(columns, key, moments),
        gap_days,
        horizon_days,
    ), engine


def _check_columns(columns: list[str], target: str, key: Sequence[str], features: Sequence[str] | None) -> None:
    for argument, names in (("target", [target]), ("key", key), ("features", features or [])):
        for name in names:
            if name not in columns:
                hint = did_you_mean(name, columns)
                more = " A table without customers or cutoffs: key=()." if argument == "key" else ""
                msg = f"{CALLER}({argument}={name!r}): no such column.{hint}{more} Columns: {columns}"
                raise MissingColumnsError(msg)
    if len(key) > 2:
        msg = f"{CALLER}: key must be the customer, or the customer and the cutoff, got {tuple(key)!r}."
        raise SchemaError(msg)
    if features is not None and target in features:
        msg = f"{CALLER}: the target {target!r} is among the features. Leave it out of features=."
        raise SchemaError(msg)


def _kind(dtype: Any) -> str:
    if dtype.is_numeric() or dtype == nw.Boolean:
        return NUMBER
    if isinstance(dtype, (nw.Datetime, nw.Date)):
        return MOMENT
    return "" if isinstance(dtype, (nw.List, nw.Struct, nw.Array)) else WORD


def _feature(column: Any, name: str, kind: str) -> Feature:
    import pandas as pd

    none = np.empty(0, object)
    if kind == NUMBER:
        numbers = column.to_numpy(dtype=float, na_value=np.nan)
        return Feature(name, kind, np.clip(numbers, -LARGEST, LARGEST), none)
    if kind == MOMENT:
        return Feature(name, kind, column.to_numpy(dtype="datetime64[us]", na_value=np.datetime64("NaT")), none)
    codes, levels = pd.factorize(column.astype(object), sort=False)
    return Feature(name, kind, codes.astype(np.int64), np.asarray(levels, object))


def _outcome(column: Any, target: str) -> NDArray[np.bool_]:
    values = column.dropna().unique().tolist()
    where = f"{CALLER}(target={target!r})"
    if column.isna().any():
        msg = f"{where}: {int(column.isna().sum()):,} rows have no outcome. Drop them first: nothing is known of them."
        raise SchemaError(msg)
    if any(isinstance(value, str) or value not in (0, 1) for value in values):
        repair = f"Make it so: data[{target!r}] == {max(map(str, values))!r}."
        msg = f"{where}: expected true and false, or 1 and 0, got {values[:5]}. {repair}"
        raise SchemaError(msg)
    if len(values) < 2:
        msg = (
            f"{where}: every row is {values}. Leakage shows only where both outcomes occur: take more rows or cutoffs."
        )
        raise SchemaError(msg)
    return np.asarray(column.astype(bool), bool)


def _customers(columns: Any, key: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[Any]]:
    import pandas as pd

    if not key:
        return np.arange(len(columns)), np.empty(0, object)
    codes, ids = pd.factorize(columns[key[0]].astype(object), sort=False)
    if (codes < 0).any():
        msg = f"{CALLER}(key={tuple(key)!r}): {int((codes < 0).sum()):,} rows have no {key[0]!r}. Drop them first."
        raise SchemaError(msg)
    return codes.astype(np.int64), np.asarray(ids, object)


def _cutoffs(columns: Any, key: Sequence[str], moments: list[str]) -> NDArray[np.datetime64] | None:
    if len(key) < 2:
        return None
    if key[1] not in moments or columns[key[1]].isna().any():
        msg = f"{CALLER}(key={tuple(key)!r}): {key[1]!r} must hold dates, one in every row. Convert it first."
        raise SchemaError(msg)
    cutoffs: NDArray[np.datetime64] = columns[key[1]].to_numpy(dtype="datetime64[us]")
    return cutoffs
