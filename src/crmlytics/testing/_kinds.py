"""One table as every kind of dataframe that crmlytics takes."""

from __future__ import annotations

import os
import sys
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from crmlytics._frames import to_pandas
from crmlytics._validation import check_choice

if TYPE_CHECKING:
    from collections.abc import Mapping

FRAME_KINDS = (
    "pandas",
    "pandas-nullable",
    "pandas-pyarrow",
    "polars",
    "polars-lazy",
    "pyarrow",
    "duckdb",
    "pyspark",
)


def make_frame(data: Mapping[str, Any], kind: str) -> Any:
    """Build the table ``data`` (column name to values) as one of ``FRAME_KINDS``.

    >>> make_frame({"a": [1, 2]}, "pyarrow").column_names
    ['a']
    """
    import pandas as pd

    check_choice(kind, FRAME_KINDS, name="kind", caller="make_frame")
    table = pd.DataFrame(dict(data))
    match kind:
        case "pandas":
            return table
        case "pandas-nullable":
            return _nullable(table)
        case "pandas-pyarrow":
            return _arrow(table).to_pandas(types_mapper=pd.ArrowDtype)
        case "pyarrow":
            return _arrow(table)
        case "polars":
            return import_module("polars").from_arrow(_arrow(table))
        case "polars-lazy":
            return import_module("polars").from_arrow(_arrow(table)).lazy()
        case "duckdb":
            return _duckdb().from_arrow(_arrow(table))
        case _:
            return spark_session().createDataFrame(_arrow(table))


def records(table: Any) -> list[tuple[Any, ...]]:
    """Rows of any dataframe as tuples of Python values, missing values as None, in the table's own order."""
    frame = to_pandas(table)
    columns = [[_plain(value) for value in frame[name]] for name in frame.columns]
    return list(zip(*columns, strict=True)) if columns else []


@cache
def spark_session() -> Any:
    """Start a small local Spark session, once; its workers run this very Python, where crmlytics is."""
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = import_module("pyspark.sql").SparkSession.builder.master("local[1]").appName("crmlytics")
    settings = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "1",
        "spark.default.parallelism": "1",
        "spark.sql.timestampType": "TIMESTAMP_NTZ",
        "spark.sql.session.timeZone": "UTC",
    }
    for name, value in settings.items():
        builder = builder.config(name, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


@cache
def _duckdb() -> Any:
    return import_module("duckdb").connect()


def _nullable(table: Any) -> Any:
    """Columns that came as floats stay floats: ``convert_dtypes`` would turn 2.0 into 2."""
    floats = [name for name in table.columns if table[name].dtype.kind == "f"]
    others = {name: table[name].convert_dtypes() for name in table.columns if name not in floats}
    return table.astype(dict.fromkeys(floats, "Float64")).assign(**others)


def _arrow(table: Any) -> Any:
    import pyarrow as pa

    return pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)


def _plain(value: Any) -> Any:
    import pandas as pd

    if value is None or value is pd.NaT or (pd.api.types.is_scalar(value) and pd.isna(value)):
        return None
    if isinstance(value, pd.Timestamp):
        return value.to_pydatetime()
    return value.tolist() if hasattr(value, "tolist") else value  # numbers and, of a column of lists, arrays
