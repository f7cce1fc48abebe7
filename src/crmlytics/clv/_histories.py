"""Reading a table of customers into arrays, checking it, and handing scores back."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import narwhals.stable.v2 as nw
import numpy as np
import numpy.typing as npt

from crmlytics._frames import Engine, collect, columns_of, enter, id_column
from crmlytics._validation import as_days, check_amount, did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Vector: TypeAlias = npt.NDArray[np.float64]

KEY = "customer_id"
SHOWN = 5
DTYPES: dict[str, Any] = {"f": nw.Float64, "i": nw.Int64, "b": nw.Boolean}


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
    attributes : dict of name to array, one entry per customer
        What else is known of customers: floats, or texts (dtype object).
    """

    columns: dict[str, Vector]
    key_name: str
    keys: npt.NDArray[Any]
    engine: Engine
    attributes: dict[str, npt.NDArray[Any]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, name: str) -> Vector:
        return self.columns[name]

    def of(self, customers: npt.NDArray[np.bool_]) -> Histories:
        """Return some of the customers."""
        columns = {name: values[customers] for name, values in self.columns.items()}
        attributes = {name: values[customers] for name, values in self.attributes.items()}
        return Histories(columns, self.key_name, self.keys[customers], self.engine, attributes)

    def score_frame(self, scores: Mapping[str, npt.NDArray[Any]], engine: Engine | None = None) -> Any:
        """Return a frame of the kind that came in (or of ``engine``): the key and these columns, sorted by key.

        Arrays of floats, whole numbers and truth values become Float64, Int64 and Boolean.
        """
        is_text = self.keys.dtype == object
        order = np.argsort(self.keys, kind="stable")
        columns = {self.key_name: self.keys[order].tolist() if is_text else self.keys[order]}
        schema: dict[str, Any] = {self.key_name: nw.String() if is_text else nw.Int64()}
        for name, values in scores.items():
            columns[name] = np.ascontiguousarray(values[order])
            schema[name] = DTYPES[values.dtype.kind]()
        return (engine or self.engine).from_columns(columns, nw.Schema(schema))


def read_histories(
    X: Any,
    *names: str,
    caller: str,
    attributes: Sequence[str] = (),
    made_by: str = "btyd_table(tx, as_of=...)",
) -> Histories:
    """Collect the needed columns of a table, and what else is known of customers, once.

    Parameters
    ----------
    names : columns of numbers that must be there
    attributes : columns of numbers, truth values or text, for ``Histories.attributes``
    made_by : the call that makes such a table, for messages
    """
    frame, engine = enter(X, caller=caller)
    present = columns_of(frame)
    missing = [name for name in names if name not in present]
    if missing:
        msg = (
            f"{caller} needs the columns {missing} of a {made_by.partition('(')[0].replace('_', ' ')}, got {present}. "
            f"Make one: crm.clv.{made_by}."
        )
        raise MissingColumnsError(msg)
    strange = [name for name in attributes if name not in present]
    if strange:
        hint = did_you_mean(strange[0], present)
        msg = f"{caller}: the covariates {strange} are not among the columns {present}.{hint}"
        raise MissingColumnsError(msg)
    schema = frame.collect_schema()
    for name in names:
        if not (schema[name].is_numeric() or schema[name] == nw.Unknown):
            msg = f"{caller}: column {name!r} holds {schema[name]}, expected numbers."
            raise SchemaError(msg)
    key = id_column(KEY, schema[KEY], caller=caller) if KEY in present else None
    numbers = [nw.col(name).cast(nw.Float64).fill_null(math.nan) for name in names]
    known = [_attribute(name, schema[name], caller=caller) for name in attributes]
    table = collect(frame.select(*([key] if key is not None else []), *numbers, *known))
    if len(table) == 0:
        raise SchemaError(f"{caller}: the table has no rows. Check as_of and the filters before it.")
    keys = np.arange(len(table)) if key is None else _read_keys(table[KEY], caller=caller, made_by=made_by)
    columns = {name: np.ascontiguousarray(table[name].to_numpy(), dtype=np.float64) for name in names}
    known_columns = {name: _attribute_values(table[ATTRIBUTE + name]) for name in attributes}
    histories = Histories(columns, "row_number" if key is None else KEY, keys, engine, known_columns)
    for name, values in known_columns.items():
        is_text = values.dtype == object
        bad = np.array([not isinstance(value, str) for value in values]) if is_text else ~np.isfinite(values)
        repair = "Fill it, or leave these customers out."
        refuse_rows(histories, bad, f"no {name!r}, which is a covariate", repair, caller=caller)
    return histories


ATTRIBUTE = "_attribute_"  # a covariate may bear the name of a column of the table


def _attribute(name: str, dtype: nw.dtypes.DType, *, caller: str) -> nw.Expr:
    """Return a covariate as Float64 or String."""
    column = nw.col(name)
    if dtype == nw.Boolean or dtype.is_numeric() or dtype == nw.Unknown:
        return column.cast(nw.Float64).fill_null(math.nan).alias(ATTRIBUTE + name)
    if dtype in {nw.String, nw.Categorical, nw.Enum, nw.Object}:
        return column.cast(nw.String).alias(ATTRIBUTE + name)
    msg = f"{caller}: covariate {name!r} holds {dtype}, expected numbers, truth values or text."
    raise SchemaError(msg)


def _attribute_values(column: nw.Series[Any]) -> npt.NDArray[Any]:
    if column.dtype == nw.String:
        return np.asarray(column.to_list(), dtype=object)
    return np.ascontiguousarray(column.to_numpy(), dtype=np.float64)


def _read_keys(column: nw.Series[Any], *, caller: str, made_by: str) -> npt.NDArray[Any]:
    if column.null_count():
        raise SchemaError(f"{caller}: {column.null_count()} rows have no customer_id. Set them aside first.")
    is_text = column.dtype == nw.String
    keys = np.asarray(column.to_list(), dtype=object) if is_text else np.asarray(column.to_numpy(), dtype=np.int64)
    repeated = len(keys) - column.n_unique()
    if repeated:
        msg = f"{caller}: {repeated} rows repeat a customer_id; expected one row per customer, as {made_by} makes them."
        raise SchemaError(msg)
    return keys


def check_histories(table: Histories, *, caller: str) -> None:
    """Refuse purchase histories that cannot be, and name the rows."""
    x, t_x, T = table["frequency"], table["recency"], table["T"]
    finite = np.isfinite(x) & np.isfinite(t_x) & np.isfinite(T)
    late = "Late joiners of a holdout table have none: leave them out."
    refuse_rows(table, ~finite, "a frequency, recency or T that is missing or infinite", late, caller=caller)
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


def in_units(horizon: Any, unit: Any, *, caller: str, name: str = "horizon") -> float:
    """Read a duration as a number of time units: ``"90d"`` is divided by the unit, a number is one already."""
    days_per_unit = as_days(unit, name="unit", caller=caller)
    if isinstance(horizon, (int, float, np.integer, np.floating)) and not isinstance(horizon, bool):
        return check_amount(horizon, name=name, caller=caller, positive=True)
    return as_days(horizon, name=name, caller=caller) / days_per_unit
