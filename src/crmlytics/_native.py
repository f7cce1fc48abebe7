"""What narwhals cannot say yet, in each engine's own words: mixed objects, tolerant date parsing, wall-clock time.

Methods of the native frame are used, so no engine is imported here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import plan_of
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

Implementation = nw.Implementation
SPARK_DIRECTIVES = {
    "%Y": "yyyy", "%y": "yy", "%m": "MM", "%d": "dd", "%H": "HH", "%I": "hh", "%M": "mm", "%S": "ss",
    "%f": "SSSSSS", "%p": "a", "%b": "MMM", "%B": "MMMM", "%%": "%",
}  # fmt: skip


def settle_objects(
    frame: nw.LazyFrame[Any],
    *,
    ids: Iterable[str] = (),
    numbers: Iterable[str] = (),
    moments: Iterable[str] = (),
    flags: Iterable[str] = (),
    caller: str,
) -> nw.LazyFrame[Any]:
    """Give pandas columns of Python objects the kind their values have; other engines have no such columns."""
    if frame.implementation is not Implementation.PANDAS:
        return frame
    import pandas as pd

    table = frame.collect().to_native()
    settled: dict[str, Any] = {}
    kinds = ((ids, _settle_id), (numbers, _settle_number), (moments, _settle_moment), (flags, _settle_flag))
    as_floats = {_settle_flag, _settle_moment}  # what pandas reads as floats where values are missing, some or all
    for columns, settle in kinds:
        for column in columns:
            if isinstance(table[column].dtype, pd.CategoricalDtype) and table[column].cat.categories.dtype.kind in "iu":
                settled[column] = table[column].astype("Int64")  # as the engines that have no categories of numbers do
            elif table[column].dtype == object or (settle in as_floats and table[column].dtype.kind == "f"):
                settled[column] = settle(table[column], f"{caller}: column {column!r}")
    return plan_of(table.assign(**settled)) if settled else frame


def settle_float_ids(frame: nw.LazyFrame[Any], columns: Iterable[str]) -> nw.LazyFrame[Any]:
    """Make whole NumPy floats with gaps nullable integers: NumPy integers have no missing value."""
    if frame.implementation is not Implementation.PANDAS:
        return frame
    table = frame.collect().to_native()
    floats = {name: table[name] for name in columns if str(table[name].dtype).startswith("float")}
    whole = {name: values for name, values in floats.items() if values.dropna().mod(1).eq(0).all()}
    if not whole:
        return frame
    return plan_of(table.astype(dict.fromkeys(whole, "Int64")))


def parse_moments(frame: nw.LazyFrame[Any], column: str, pattern: str, *, caller: str) -> nw.LazyFrame[Any]:
    """Read text moments by a strftime pattern; what does not fit becomes null."""
    native, quoted, literal = frame.to_native(), _quoted(frame, column), pattern.replace("'", "''")
    match frame.implementation:
        case Implementation.PANDAS:
            import pandas as pd

            native = frame.collect().to_native()
            moments = pd.to_datetime(native[column].astype("str").str.strip(), format=pattern, errors="coerce")
            native = native.assign(**{column: moments})
        case Implementation.POLARS:
            polars = nw.get_native_namespace(frame)
            text = polars.col(column).str.strip_chars()
            chrono = pattern.replace(".%f", "%.f")  # %f alone reads nanoseconds there
            native = native.with_columns(text.str.to_datetime(chrono, strict=False, time_unit="us"))
        case Implementation.DUCKDB:
            native = native.project(f"* replace (try_strptime(trim({quoted}), '{literal}') as {quoted})")
        case _:
            java = _java_pattern(pattern, caller=caller).replace("'", "''")
            moment = f"cast(try_to_timestamp(trim({quoted}), '{java}') as timestamp_ntz)"
            native = native.selectExpr(*_spark_replacing(native, column, moment))
    return plan_of(native)


def drop_nanoseconds(frame: nw.LazyFrame[Any], column: str) -> nw.LazyFrame[Any]:
    """Cut moments to whole microseconds: left to a cast, DuckDB rounds up and Arrow refuses."""
    match frame.implementation:
        case Implementation.PANDAS:
            native = frame.collect().to_native()
            return plan_of(native.assign(**{column: native[column].dt.floor("us")}))
        case Implementation.DUCKDB:
            quoted = _quoted(frame, column)
            return plan_of(
                frame.to_native().project(f"* replace (make_timestamp(epoch_ns({quoted}) // 1000) as {quoted})")
            )
        case _:
            return frame


def to_wall_clock(frame: nw.LazyFrame[Any], column: str, time_zone: str) -> nw.LazyFrame[Any]:
    """Turn instants into the naive local time of ``time_zone``."""
    native, quoted, zone = frame.to_native(), _quoted(frame, column), time_zone.replace("'", "''")
    match frame.implementation:
        case Implementation.DUCKDB:
            native = native.project(f"* replace (timezone('{zone}', {quoted}) as {quoted})")
        case Implementation.PYSPARK | Implementation.PYSPARK_CONNECT:
            local = f"convert_timezone(current_timezone(), '{zone}', cast({quoted} as timestamp_ntz))"
            native = native.selectExpr(*_spark_replacing(native, column, local))
        case Implementation.PANDAS:  # pandas 2 drops the zone of Arrow moments without converting them
            native = frame.collect().to_native()
            instants = native[column].astype("datetime64[us, UTC]")
            native = native.assign(**{column: instants.dt.tz_convert(time_zone).dt.tz_localize(None)})
        case _:
            return frame.with_columns(nw.col(column).dt.convert_time_zone(time_zone).dt.replace_time_zone(None))
    return plan_of(native)


def _settle_id(values: Any, where: str) -> Any:
    import pandas as pd

    match pd.api.types.infer_dtype(values, skipna=True):
        case "integer":
            return values.astype("Int64")
        case "floating" | "mixed-integer-float" | "empty":
            return values.astype(float)
        case "mixed" if any(isinstance(value, (list, tuple, set, frozenset)) for value in values.dropna()):
            msg = f"{where} holds lists, expected one row for each value. Type frame.explode({values.name!r})."
            raise SchemaError(msg)
        case "mixed-integer" | "mixed" if all(isinstance(value, (str, int)) for value in values.dropna().unique()):
            return values.map(str, na_action="ignore")  # spreadsheets: 22423 beside "85123A"
        case "string":
            return values
        case inferred:
            repair = "Make them one kind, for example with .astype(str)."
            msg = f"{where} holds Python objects of mixed kind ({inferred}), expected whole numbers or text. {repair}"
            raise SchemaError(msg)


def _settle_number(values: Any, where: str) -> Any:
    import pandas as pd

    if pd.api.types.infer_dtype(values, skipna=True) in {
        "integer", "floating", "mixed-integer-float", "decimal", "empty",
    }:  # fmt: skip
        return values.astype(float)
    text = next((value for value in values.dropna() if isinstance(value, str)), None)
    if text is None:
        msg = f"{where} holds Python objects, expected numbers."
    else:
        msg = f"{where} holds text such as {text!r}, expected numbers. Convert it first: pandas.to_numeric(...)."
    raise SchemaError(msg)


def _settle_flag(values: Any, where: str) -> Any:
    """Read True, False and None, or 1.0, 0.0 and NaN: so flags come where some are missing."""
    strange = [value for value in values.dropna().unique().tolist() if isinstance(value, str) or value not in {0, 1}]
    if strange:
        msg = (
            f"{where} holds {strange[0]!r}, expected true or false. Say which value is true, such as "
            f'column == {strange[0]!r}, or column.map({{"yes": True, "no": False}}) where some are missing.'
        )
        raise SchemaError(msg)
    return values.astype("boolean")


def _settle_moment(values: Any, where: str) -> Any:
    import pandas as pd

    inferred = pd.api.types.infer_dtype(values, skipna=True)
    if inferred in {"datetime", "datetime64", "date"} or values.isna().all():
        zones = {getattr(value, "tzinfo", None) for value in values.dropna()}
        if len({str(zone) for zone in zones}) > 1:
            msg = (
                f"{where} mixes time zones {sorted(map(str, zones))}. "
                "Convert it first: pandas.to_datetime(column, utc=True), then give time_zone=."
            )
            raise SchemaError(msg)
        return pd.to_datetime(values)
    return values.astype("str") if inferred == "string" else values


def _quoted(frame: nw.LazyFrame[Any], column: str) -> str:
    mark = '"' if frame.implementation is Implementation.DUCKDB else "`"
    return mark + column.replace(mark, mark * 2) + mark


def _spark_replacing(native: Any, column: str, expression: str) -> list[str]:
    names = ["`" + name.replace("`", "``") + "`" for name in native.columns]
    quoted = "`" + column.replace("`", "``") + "`"
    return [f"{expression} as {name}" if name == quoted else name for name in names]


def _java_pattern(pattern: str, *, caller: str) -> str:
    """Translate strftime directives to the letters Spark reads."""
    parts, rest = [], pattern
    while rest:
        size = 2 if rest[0] == "%" else 1
        piece, rest = rest[:size], rest[size:]
        if size == 2 and piece not in SPARK_DIRECTIVES:
            msg = f"{caller}: timestamp_format={pattern!r}: Spark does not read {piece!r}. Parse the column first."
            raise SchemaError(msg)
        parts.append(SPARK_DIRECTIVES.get(piece) or (f"'{piece}'" if piece.isalpha() else piece))
    return "".join(parts)
