"""The one door between dataframes of any engine and crmlytics.

Inside, every table is a narwhals ``LazyFrame``; ``enter`` brings a table in and remembers its kind, and
``Engine.to_native`` hands a result back as that kind. Which operations are safe on every engine is listed in
``docs/decisions/0002-engines.md``.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
from narwhals.stable.v2.selectors import by_dtype

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Implementation = nw.Implementation
SUPPORTED = {
    Implementation.PANDAS: "pandas",
    Implementation.POLARS: "Polars",
    Implementation.PYARROW: "PyArrow",
    Implementation.DUCKDB: "DuckDB",
    Implementation.PYSPARK: "PySpark",
    Implementation.PYSPARK_CONNECT: "PySpark",
}
SPARK = {Implementation.PYSPARK, Implementation.PYSPARK_CONNECT}
SQL = {Implementation.DUCKDB, *SPARK}
UNIX_EPOCH_DAY = 719_468  # days from 0000-03-01 to 1970-01-01


@dataclass(frozen=True, slots=True)
class Engine:
    """The kind of a table that came in, and the way back to it.

    Attributes
    ----------
    implementation : narwhals Implementation
        The dataframe library of the table.
    is_lazy : bool
        True for Polars LazyFrames, DuckDB relations and PySpark frames: nothing is computed before somebody asks.
    native : dataframe
        The table itself: DuckDB relations and PySpark frames know the connection that a result must live in.
    """

    implementation: Implementation
    is_lazy: bool
    native: Any

    @property
    def name(self) -> str:
        """The engine as its users call it, such as ``'Polars'``."""
        return SUPPORTED[self.implementation]

    @property
    def without_table(self) -> Engine:
        """The engine for what is kept long: only SQL engines need a table, for its connection, to hand results back."""
        needs_it = self.implementation in SQL
        return Engine(self.implementation, self.is_lazy, self.native if needs_it else None)

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave table and connection behind when pickled: results of a SQL engine come out as PyArrow afterwards."""
        kind = Implementation.PYARROW if self.implementation in SQL else self.implementation
        return Engine, (kind, self.is_lazy and kind is not Implementation.PYARROW, None)

    def to_native(self, frame: nw.LazyFrame[Any]) -> Any:
        """Hand back ``frame``, which was derived from this engine's table, as the kind that came in."""
        return frame.to_native() if self.is_lazy else self.from_eager(frame.collect())

    def from_columns(self, columns: Mapping[str, Sequence[Any] | np.ndarray[Any, Any]], schema: nw.Schema) -> Any:
        """Build a table of this engine's kind from computed columns; NaN is missing in every engine, also of Int64."""
        backend: Any = Implementation.PYARROW
        if self.implementation in {Implementation.PANDAS, Implementation.POLARS}:
            backend = self.implementation
        settled = {name: _settled(values, schema[name], backend) for name, values in columns.items()}
        computed = nw.from_dict(settled, schema=schema, backend=backend)
        return self.from_eager(computed.with_columns(by_dtype(nw.Float64()).fill_nan(None)))

    def from_eager(self, computed: nw.DataFrame[Any]) -> Any:
        """Hand back a table that was computed in memory as the kind that came in; a lazy kind is lazy again."""
        match self.implementation:
            case Implementation.PANDAS:
                return computed.to_native().reset_index(drop=True)
            case Implementation.POLARS:
                return computed.lazy().to_native() if self.is_lazy else computed.to_native()
        crmlytics_computed_table = _arrow_table(computed)
        match self.implementation:
            case Implementation.PYARROW:
                return crmlytics_computed_table
            case Implementation.DUCKDB:  # finds the variable by its name, unless a table of the user has that name
                return self.native.query("_", "from crmlytics_computed_table")
        return self.native.sparkSession.createDataFrame(crmlytics_computed_table)


def enter(native: Any, *, caller: str) -> tuple[nw.LazyFrame[Any], Engine]:
    """Bring a dataframe in: its lazy narwhals plan, and the engine that leads back."""
    _refuse_repeated_columns(native, caller=caller)
    try:
        frame = nw.from_native(native)
    except TypeError:
        frame = None
    if frame is None or frame.implementation not in SUPPORTED:
        msg = (
            f"{caller}: expected a pandas, Polars, PyArrow, DuckDB or PySpark dataframe, "
            f"got {_kind_in_words(native)}. {_repair_for(native)}"
        )
        raise SchemaError(msg)
    engine = Engine(frame.implementation, isinstance(frame, nw.LazyFrame), native)
    if engine.implementation is Implementation.PYARROW:  # PyArrow has no window functions
        frame = nw.from_native(_arrow_backed_pandas(native))
    return frame.lazy(), engine


def _settled(values: Any, dtype: nw.dtypes.DType, backend: Implementation) -> Any:
    """Return Python objects, and whole numbers of which some are missing, as every engine can cast them."""
    kind = getattr(getattr(values, "dtype", None), "kind", "")
    if kind == "f" and dtype == nw.Int64() and np.isnan(values).any():
        whole = [None if missing else int(value) for value, missing in zip(values, np.isnan(values), strict=True)]
        return whole if backend is not Implementation.PANDAS else _nullable(whole)
    return values.tolist() if kind == "O" else values


def _nullable(whole: list[int | None]) -> Any:
    import pandas as pd

    return pd.array(whole, dtype="Int64")


def plan_of(native: Any) -> nw.LazyFrame[Any]:
    """Return the plan of a frame that one of our own steps made: nothing to check."""
    plan: nw.LazyFrame[Any] = nw.from_native(native).lazy()
    return plan


def collect(frame: nw.LazyFrame[Any]) -> nw.DataFrame[Any]:
    """Compute a plan once, in memory: Polars stays Polars, everything else is pandas (with Arrow types from SQL)."""
    table = frame.collect()
    if table.implementation is Implementation.PYARROW:
        return nw.from_native(_arrow_backed_pandas(table.to_native()), eager_only=True)
    return table


def compute(native: Any, *, caller: str) -> nw.DataFrame[Any]:
    """Compute any supported dataframe in memory, as :func:`collect` does."""
    return collect(enter(native, caller=caller)[0])


def columns_of(frame: nw.LazyFrame[Any]) -> list[str]:
    """Return the column names of a plan."""
    return frame.collect_schema().names()


def id_column(name: str, dtype: nw.dtypes.DType, *, caller: str) -> nw.Expr:
    """Read the key of a table that was computed before as Int64 or String."""
    if dtype.is_integer():
        return nw.col(name).cast(nw.Int64)
    if isinstance(dtype, (nw.String, nw.Categorical, nw.Enum, nw.Object)):
        return nw.col(name).cast(nw.String)
    kind = '"Int64"' if dtype.is_float() else "str"
    msg = (
        f"{caller}: column {name!r} holds {dtype}, expected whole numbers or text. "
        f"Convert it first, for example with data[{name!r}].astype({kind})."
    )
    raise SchemaError(msg)


def in_words(name: str) -> nw.Expr:
    """Read a column of true and false as ``"True"`` and ``"False"``: cast to text, every engine writes it its way."""
    column = nw.col(name)
    return nw.when(column).then(nw.lit("True")).otherwise(nw.when(~column).then(nw.lit("False"))).alias(name)


def to_pandas(native: Any, *, caller: str = "to_pandas") -> Any:
    """Any supported dataframe as a pandas one: for plots, reports and files, which are small."""
    frame, _ = enter(native, caller=caller)
    return collect(frame).to_pandas().reset_index(drop=True)


def day_number(moment: nw.Expr) -> nw.Expr:
    """Calendar days from 1970-01-01 to the date of ``moment``, as Int64.

    The only helper for elapsed time. It counts from year, month and day, since that is what every engine has
    (H. Hinnant, "chrono-compatible low-level date algorithms", ``days_from_civil``).
    """
    month = moment.dt.month().cast(nw.Int64)
    january_or_february = (month <= 2).cast(nw.Int64)
    year = moment.dt.year().cast(nw.Int64) - january_or_february
    months_since_march = month - 3 + 12 * january_or_february
    day_of_year = (153 * months_since_march + 2) // 5 + moment.dt.day().cast(nw.Int64) - 1
    leap_days = year // 4 - year // 100 + year // 400
    return (365 * year + leap_days + day_of_year - UNIX_EPOCH_DAY).cast(nw.Int64)


def days_between(moment: nw.Expr, later: dt.datetime) -> nw.Expr:
    """Calendar days from ``moment`` to ``later``, as Int64: the number of midnights in between."""
    return nw.lit(later.date().toordinal() - dt.date(1970, 1, 1).toordinal()).cast(nw.Int64) - day_number(moment)


def check_same_kind(engines: Mapping[str, Engine], *, caller: str) -> None:
    """Refuse to join tables of different libraries; they are named as the arguments they came as."""
    (first, engine), *others = engines.items()
    for name, other in others:
        if other.implementation is not engine.implementation:
            msg = (
                f"{caller}: {first} is a {engine.name} table and {name} a {other.name} table. "
                "Give both as the same kind of table."
            )
            raise SchemaError(msg)


def _refuse_repeated_columns(native: Any, *, caller: str) -> None:
    if type(native).__module__.startswith("polars"):  # has none, and asking a LazyFrame costs
        return
    columns: Any = getattr(native, "column_names", None) or getattr(native, "columns", ())
    repeated = sorted(name for name, count in Counter(map(str, columns)).items() if count > 1)
    if repeated:
        msg = f"{caller}: the columns {repeated} appear more than once. Rename or drop one of each."
        raise SchemaError(msg)


def _arrow_table(computed: nw.DataFrame[Any]) -> Any:
    if computed.implementation is Implementation.PANDAS:  # or pandas' index would become a column
        import pyarrow as pa

        return pa.Table.from_pandas(computed.to_native(), preserve_index=False).replace_schema_metadata(None)
    return computed.to_arrow()


def _arrow_backed_pandas(table: Any) -> Any:
    import pandas as pd

    return table.to_pandas(types_mapper=pd.ArrowDtype)


def _kind_in_words(native: Any) -> str:
    kind = type(native)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}.{kind.__name__}"


def _repair_for(native: Any) -> str:
    if isinstance(native, (dict, list)):
        return "Wrap it first: pandas.DataFrame(data)."
    if hasattr(native, "to_frame"):
        return "Make it a table first: .to_frame()."
    if isinstance(native, str):
        return "Read the file first, for example pandas.read_csv(path)."
    return "Convert it first, for example to a pandas DataFrame."
