"""What a scoring model reads of a table: its key, its outcome, its periods, and the columns left to learn from."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import collect, columns_of, enter, id_column
from crmlytics._validation import as_days, did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import narwhals.stable.v2 as nw
    from numpy.typing import NDArray

    from crmlytics._frames import Engine

YES = {"yes", "y", "true", "t", "1"}
NO = {"no", "n", "false", "f", "0"}
ROW = "row_number"
LABELS = ("bought", "future_order_count", "future_amount")  # of every panel of snapshots
MORE_LABELS = ("churned", "contacted", "responded", "ended")
TAKEN = ("model", "base rate", "best single feature")  # rows of an evaluation
TARGET_PREFIX = "bought_"


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """A table in memory, sorted by its key where it has one.

    Attributes
    ----------
    table : pandas DataFrame
    engine : Engine
        The kind of table that came in.
    key : tuple of str
        The columns of the key that the table has; ``("row_number",)`` where it has none.
    """

    table: Any
    engine: Engine
    key: tuple[str, ...]

    @property
    def group(self) -> NDArray[np.int64]:
        """The customer of each row, as a code from 0."""
        import pandas as pd

        return np.asarray(pd.factorize(self.table[self.key[0]])[0], dtype=np.int64)


def read_rows(X: Any, *, key: Sequence[str], caller: str) -> Rows:
    """Compute a table once; ids become Int64 or String, and no key may come twice."""
    plan, engine = enter(X, caller=caller)
    _check_names(plan, caller=caller)
    found = [name for name in key if name in columns_of(plan)]
    refuse_ids_in_index(X, key, found, caller=caller)
    if found:
        table = collect(with_whole_ids(plan, found, caller=caller)).to_pandas()
        table = table.sort_values(found, kind="stable").reset_index(drop=True)
        _check_ids(table, found, key, caller=caller)
    else:
        table = collect(plan).to_pandas().reset_index(drop=True)
        table.insert(0, ROW, np.arange(len(table)))
        found = [ROW]
    if not len(table):
        msg = f"{caller}: the table has no rows."
        raise SchemaError(msg)
    return Rows(table, engine, tuple(found))


def refuse_ids_in_index(table: Any, key: Sequence[str], found: Sequence[str], *, caller: str) -> None:
    """Refuse a pandas table whose ids are its index, as after groupby: without a word they would be lost."""
    there = getattr(getattr(table, "index", None), "names", ())
    lost = [name for name in key if name not in found and name in there]
    if lost:
        msg = f"{caller}: {lost[0]!r} is the index of the table, no column: type table.reset_index()."
        raise SchemaError(msg)


def with_whole_ids(plan: nw.LazyFrame[Any], names: Iterable[str], *, caller: str) -> nw.LazyFrame[Any]:
    """Read ids as Int64 or String; whole numbers that came as floats are ids, 1.5 is none. Moments stay."""
    import narwhals.stable.v2 as nw

    schema = plan.collect_schema()
    names = [name for name in names if not schema[name].is_temporal()]
    floats = [name for name in names if schema[name].is_float()]
    for name in floats:
        _refuse_missing(plan, name, caller=caller)
        strange = collect(plan.filter(nw.col(name) != nw.col(name).floor()).select(name).head(1))[name].to_list()
        if strange:
            msg = f"{caller}: ids must be whole numbers or text, got {strange[0]} in {name!r}. Is this the key?"
            raise SchemaError(msg)
    ids = [
        nw.col(name).cast(nw.Int64) if name in floats else id_column(name, schema[name], caller=caller)
        for name in names
    ]
    return plan.with_columns(*ids) if ids else plan


def _refuse_missing(plan: nw.LazyFrame[Any], name: str, *, caller: str) -> None:
    import narwhals.stable.v2 as nw

    lacks = (nw.col(name).is_null() | nw.col(name).is_nan()).cast(nw.Int64)
    missing = int(collect(plan.select(_missing=lacks.sum()))["_missing"][0] or 0)
    if missing:
        raise SchemaError(_missing_in_words([name], missing, caller=caller))


def _missing_in_words(names: Sequence[str], missing: int, *, caller: str) -> str:
    return (
        f"{caller}: {' or '.join(names)} is missing in {missing:,} rows. Leave these out, such as by "
        f'table[table["{names[0]}"].notna()].'
    )


def check_key(plan: nw.LazyFrame[Any], found: list[str], key: Sequence[str], *, caller: str) -> None:
    """Refuse a table in memory whose key is missing somewhere or comes twice."""
    _check_ids(collect(plan.select(found)).to_pandas(), found, key, caller=caller)


def read_outcome(values: Any, name: str, *, caller: str) -> NDArray[np.bool_]:
    """Read true and false, 1 and 0, or yes and no; both must occur."""
    import pandas as pd

    values = pd.Series(values)
    if values.isna().any():
        msg = f"{caller}: {name!r} is missing in {int(values.isna().sum()):,} rows. Leave out rows of unknown outcome."
        raise SchemaError(msg)
    words = values.map(lambda value: str(value).strip().lower().removesuffix(".0"))
    strange = sorted(set(words) - YES - NO)
    if strange:
        rarest = values.value_counts(ascending=True).index.tolist()[0]
        msg = (
            f"{caller}: {name!r} must be true or false, 1 or 0, or yes and no, got {strange[:5]}. "
            f'Say what counts, such as table["{name}"] = table["{name}"] == {rarest!r}.'
        )
        raise SchemaError(msg)
    outcome: NDArray[np.bool_] = words.isin(YES).to_numpy(dtype=bool)
    if outcome.all() or not outcome.any():
        msg = f"{caller}: every row has {name!r} {bool(outcome[0])}: there is nothing to tell apart."
        raise SchemaError(msg)
    return outcome


def feature_names(
    rows: Rows, wanted: Sequence[str] | None, apart: Iterable[str], *, caller: str
) -> list[str]:  # fmt: skip
    """Return the columns to learn from: those wanted, or all but the key, the outcome and what is set apart."""
    names = [str(name) for name in rows.table.columns]
    apart = {*rows.key, *apart}
    if wanted is None:
        return [name for name in names if name not in apart]
    wanted = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in wanted:
        if name not in names:
            msg = f"{caller}: features names {name!r}, no such column.{did_you_mean(name, names)} Columns: {names}"
            raise MissingColumnsError(msg)
        if name in apart:
            msg = f"{caller}: features names {name!r}, which is the key, the outcome, the time or a baseline."
            raise SchemaError(msg)
    return wanted


def labels_of(columns: Iterable[str]) -> list[str]:
    """Return the outcomes that stand beside the target in a panel of snapshots: features of the future."""
    names = [str(name) for name in columns]
    if not set(LABELS) <= set(names):
        return []
    return [name for name in names if name in {*LABELS, *MORE_LABELS} or name.startswith(TARGET_PREFIX)]


def column_of(rows: Rows, name: str, *, what: str, caller: str) -> Any:
    """Return a column that is needed, or say how it could be called."""
    names = [str(column) for column in rows.table.columns]
    if name not in names:
        msg = f"{caller} needs the column {what}={name!r}, no such column.{did_you_mean(name, names)} Columns: {names}"
        raise MissingColumnsError(msg)
    return rows.table[name]


def read_period(rows: Rows, time: str | None, purge: Any, *, caller: str) -> tuple[NDArray[Any] | None, Any]:
    """Return the period of each row and how long before a period rows to learn from must lie; None without time."""
    if time is None or time not in rows.table.columns:
        return None, 0
    values = rows.table[time]
    if values.isna().any():
        msg = f"{caller}: time={time!r} is missing in {int(values.isna().sum()):,} rows."
        raise SchemaError(msg)
    kind = str(values.dtype).lower()
    if kind.startswith(("int", "uint")) or (kind.startswith(("float", "double")) and not (values % 1).any()):
        return _whole_period(values.to_numpy(dtype=np.int64), time, purge, caller=caller)
    expected = f"{caller}: time={time!r} must hold dates or whole numbers, got {values.dtype}. time=None leaves it out."
    if kind.startswith(("float", "double", "bool")):
        raise SchemaError(expected)
    try:
        period = np.asarray(values.to_numpy(dtype="datetime64[us]"))
    except (TypeError, ValueError) as error:
        raise SchemaError(expected) from error
    if len(np.unique(period)) == 1:
        return period, np.timedelta64(0, "D")
    if purge is None:
        msg = (
            f"{caller}: the table has several moments in time={time!r}: say how long after them the outcome was known, "
            'gap + horizon, such as purge="90d". Without it the model would learn from what lay in the future.'
        )
        raise SchemaError(msg)
    return period, np.timedelta64(as_days(purge, name="purge", caller=caller), "D")


def read_baselines(rows: Rows, names: Iterable[str], *, caller: str) -> dict[str, NDArray[np.float64]]:
    """Return the scores to beat, by name."""
    found = {}
    for name in names:
        if name in TAKEN:
            msg = f"{caller}: a baseline cannot be called {name!r}, which stands for something else. Rename the column."
            raise SchemaError(msg)
        column = column_of(rows, name, what="baselines", caller=caller)
        try:
            values = column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError) as error:
            msg = f"{caller}: the baseline {name!r} must hold numbers, higher is likelier, got {column.dtype}."
            raise SchemaError(msg) from error
        if not np.isfinite(values).all():
            strange = int((~np.isfinite(values)).sum())
            msg = f"{caller}: the baseline {name!r} is missing or infinite in {strange:,} rows. Fill it first."
            raise SchemaError(msg)
        found[name] = values
    return found


# -- inside --------------------------------------------------------------------------------------------------------


def _check_names(plan: nw.LazyFrame[Any], *, caller: str) -> None:
    strange = [name for name in columns_of(plan) if not isinstance(name, str)]
    if strange:
        msg = f"{caller}: columns need names, got {strange[:5]}. Type table.columns = table.columns.astype(str)."
        raise SchemaError(msg)


def _whole_period(
    period: NDArray[np.int64], time: str, purge: Any, *, caller: str
) -> tuple[NDArray[np.int64], int]:  # fmt: skip
    several = len(np.unique(period)) > 1
    if purge is None and several:
        msg = (
            f"{caller}: the table has several periods in time={time!r}: say how many later the outcome was known, gap "
            "+ horizon, such as purge=3 (0: before the next one). Without it the model would learn from the future."
        )
        raise SchemaError(msg)
    if not several:
        return period, 0
    if isinstance(purge, bool) or not isinstance(purge, numbers.Integral) or purge < 0:
        msg = f"{caller}: time={time!r} holds whole numbers, so purge must be one: purge=3, got {purge!r}."
        raise SchemaError(msg)
    return period, int(purge)


def _check_ids(table: Any, found: list[str], key: Sequence[str], *, caller: str) -> None:
    missing = int(table[found].isna().any(axis=1).sum())
    if missing:
        raise SchemaError(_missing_in_words(found, missing, caller=caller))
    repeated = table[found][table.duplicated(found)].drop_duplicates()
    if len(repeated):
        shown = repeated.head(3).astype(str).agg(", ".join, axis=1).tolist()
        more = [name for name in key if name not in found]
        lacks = f" The table has no {' or '.join(map(repr, more))}, which is part of the key." if more else ""
        msg = (
            f"{caller}: expected one row per {' and '.join(found)}, but {shown} appear more than once. Keep one row of "
            f"each, or name the columns that tell rows apart as key=.{lacks}"
        )
        raise SchemaError(msg)
