"""What all models of :mod:`crmlytics.clv` share: reading a table into arrays, checking it, and handing scores back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator

from crmlytics._frames import Engine, collect, columns_of, enter, id_column
from crmlytics._validation import as_days, check_amount, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics._kernels.fitting import Maximum

Vector: TypeAlias = npt.NDArray[np.float64]

KEY = "customer_id"
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Histories:
    """The columns of a btyd table as arrays, and its key.

    Attributes
    ----------
    columns : dict of name to float array, one entry per customer
    key_name : str
        ``customer_id``, or ``row_number`` (from 0) where the table has no key.
    keys : array
        Int64 or text.
    engine : Engine
        The kind of the table, and the way back to it.
    """

    columns: dict[str, Vector]
    key_name: str
    keys: npt.NDArray[Any]
    engine: Engine

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, name: str) -> Vector:
        return self.columns[name]

    def score_frame(self, scores: Mapping[str, Vector]) -> Any:
        """Return a frame of the kind that came in: the key and these columns, sorted by key."""
        is_text = self.keys.dtype == object
        order = np.argsort(self.keys, kind="stable")
        columns = {self.key_name: self.keys[order].tolist() if is_text else self.keys[order]}
        schema: dict[str, Any] = {self.key_name: nw.String() if is_text else nw.Int64()}
        for name, values in scores.items():
            columns[name] = np.ascontiguousarray(values[order])
            schema[name] = nw.Float64()
        return self.engine.from_columns(columns, nw.Schema(schema))


def read_histories(X: Any, *names: str, caller: str) -> Histories:
    """Collect the needed columns of a btyd table, once."""
    frame, engine = enter(X, caller=caller)
    present = columns_of(frame)
    missing = [name for name in names if name not in present]
    if missing:
        msg = (
            f"{caller} needs the columns {missing} of a btyd table, got {present}. "
            "Make one from your orders: crm.clv.btyd_table(tx, as_of=...)."
        )
        raise MissingColumnsError(msg)
    schema = frame.collect_schema()
    for name in names:
        if not (schema[name].is_numeric() or schema[name] == nw.Unknown):
            msg = f"{caller}: column {name!r} holds {schema[name]}, expected numbers."
            raise SchemaError(msg)
    key = id_column(KEY, schema[KEY], caller=caller) if KEY in present else None
    numbers = [nw.col(name).cast(nw.Float64).fill_null(math.nan) for name in names]
    table = collect(frame.select(*([key] if key is not None else []), *numbers))
    if len(table) == 0:
        raise SchemaError(f"{caller}: the table has no rows. Check as_of and the filters before it.")
    keys = np.arange(len(table)) if key is None else _read_keys(table[KEY], caller=caller)
    columns = {name: np.ascontiguousarray(table[name].to_numpy(), dtype=np.float64) for name in names}
    return Histories(columns, "row_number" if key is None else KEY, keys, engine)


def _read_keys(column: nw.Series[Any], *, caller: str) -> npt.NDArray[Any]:
    if column.null_count():
        raise SchemaError(f"{caller}: {column.null_count()} rows have no customer_id. Set them aside first.")
    is_text = column.dtype == nw.String
    keys = np.asarray(column.to_list(), dtype=object) if is_text else np.asarray(column.to_numpy(), dtype=np.int64)
    repeated = len(keys) - column.n_unique()
    if repeated:
        msg = (
            f"{caller}: {repeated} rows repeat a customer_id; expected one row per customer, as btyd_table makes them."
        )
        raise SchemaError(msg)
    return keys


def check_histories(table: Histories, *, caller: str) -> None:
    """Refuse purchase histories that cannot be, and name the rows."""
    x, t_x, T = table["frequency"], table["recency"], table["T"]
    finite = np.isfinite(x) & np.isfinite(t_x) & np.isfinite(T)
    refuse_rows(table, ~finite, "a frequency, recency or T that is missing or infinite", "", caller=caller)
    whole = "frequency counts repeat purchases: 0 for a customer who bought once."
    refuse_rows(
        table, (x < 0) | (x != np.floor(x)), "a frequency that is not a whole number >= 0", whole, caller=caller
    )
    units = "Both are counted from the first purchase, in the same unit."
    refuse_rows(table, (t_x < 0) | (t_x > T), "a recency that is negative or larger than T", units, caller=caller)
    meaning = "recency is the time from the first to the last purchase, not the time since the last one."
    refuse_rows(table, (x == 0) & (t_x > 0), "a recency above 0 without a repeat purchase", meaning, caller=caller)
    merged = "Merge the purchases of one day, as crm.clv.btyd_table does."
    refuse_rows(table, (x > 0) & (t_x == 0), "repeat purchases but a recency of 0", merged, caller=caller)


def refuse_rows(table: Histories, bad: npt.NDArray[np.bool_], what: str, repair: str, *, caller: str) -> None:
    """Raise if any row is bad, saying how many are and which come first."""
    if not bad.any():
        return
    first = ", ".join(repr(key) for key in table.keys[bad][:SHOWN].tolist())
    more = ", ..." if bad.sum() > SHOWN else ""
    msg = f"{caller}: {int(bad.sum())} of {len(table)} rows have {what} ({table.key_name} {first}{more}). {repair}"
    raise SchemaError(msg.rstrip())


def in_units(horizon: Any, unit: Any, *, caller: str) -> float:
    """Read a horizon as a number of time units: ``"90d"`` is divided by the unit, a number is one already."""
    days_per_unit = as_days(unit, name="unit", caller=caller)
    if isinstance(horizon, (int, float, np.integer, np.floating)) and not isinstance(horizon, bool):
        return check_amount(horizon, name="horizon", caller=caller, positive=True)
    return as_days(horizon, name="horizon", caller=caller) / days_per_unit


class MaximumLikelihoodModel(BaseEstimator):  # type: ignore[misc]
    """What a fit by maximum likelihood leaves behind. Subclasses name their parameters."""

    _names: tuple[str, ...] = ()

    @property
    def _caller(self) -> str:
        return type(self).__name__

    def _keep(self, found: Maximum, scales: Sequence[float], shift: float, verdict: str) -> None:
        """Store a maximum, found in scaled units, in the caller's units, and warn if it deserves little trust."""
        params = found.params * np.asarray(scales)
        self.params_ = dict(zip(self._names, params.tolist(), strict=True))
        self.covariance_ = found.log_covariance * np.outer(params, params)
        errors = np.sqrt(np.diag(self.covariance_))
        self.standard_errors_ = dict(zip(self._names, errors.tolist(), strict=True))
        self.log_likelihood_ = found.log_likelihood + shift
        self.converged_ = found.converged
        self.verdict_ = verdict
        if not self.converged_ or found.on_ridge.any():
            warn(f"{self._caller}: {self.verdict_}")

    @property
    def _params(self) -> Vector:
        return np.array([self.params_[name] for name in self._names])


def describe(found: Maximum, names: Sequence[str], advice: Mapping[str, str]) -> str:
    """Say in a sentence how far to trust a fit; ``advice`` has the model's usual causes of a bound and of a ridge."""

    def listed(which: npt.NDArray[np.bool_]) -> str:
        return ", ".join(name for name, chosen in zip(names, which, strict=True) if chosen)

    if found.at_bound.any():
        return (
            f"not converged: {listed(found.at_bound)} ran to the edge of what was searched. {advice['bound']} "
            "Point predictions are usable; do not interpret the parameters."
        )
    if not found.converged:
        return (
            f"not converged: the likelihood has no well-defined maximum. {advice['bound']} "
            "Treat the predictions with care."
        )
    if found.on_ridge.any():
        return (
            f"converged on a ridge: {listed(found.on_ridge)} could be 20 times larger or smaller and fit as well. "
            f"{advice['ridge']} Predictions are usable; do not interpret these parameters one by one."
        )
    return "converged: the parameters are well determined."
