"""Read a table from a file: which kind it is, decided by its bytes, and what is wrong with it, in words."""

from __future__ import annotations

import gzip
import io
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlytics._files.columns import arrow_to_frame, check_header
from crmlytics._files.excel import need_openpyxl
from crmlytics._files.text import parse_text, text_to_frame
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import CrmlyticsError, SchemaError

if TYPE_CHECKING:
    import os

    import pandas as pd

    from crmlytics._files.text import TextFormat

_TABLE_SUFFIXES = {".csv", ".txt", ".tsv", ".gz", ".parquet", ".pq", ".xlsx", ".xlsm"}
_INT64_LIMIT = 2**63


@dataclass(frozen=True, slots=True, eq=False)
class ReadFile:
    """A table with how it was read: the ``format`` of a text file, the names of all ``sheets`` of a workbook."""

    frame: pd.DataFrame
    format: TextFormat | None = None
    sheets: tuple[str, ...] = ()


def read_table(path: str | os.PathLike[str], *, sheet: str | None = None, decimal: str | None = None) -> pd.DataFrame:
    r"""Read a CSV, TSV, parquet or Excel file as a pandas DataFrame, with every id as it was.

    Parameters
    ----------
    path : path
        The kind of file is told by its first bytes, not by its name. Text may be compressed with gzip.
    sheet : str, optional
        Sheet of an Excel workbook; the first one if not given.
    decimal : "." or ",", optional
        The decimal sign of a text file; found out if not given.

    Returns
    -------
    pandas.DataFrame, one row per line, with a RangeIndex
        Text files: encoding (UTF-8, UTF-16, Windows-1252, GB18030), separator (, ; tab |) and decimal sign are
        found out. A column becomes int64 (Int64 if it has blanks), float64, bool or datetime (ISO-8601 only) if all
        its values are; all else stays text, above all numbers with leading zeros or more than 18 digits, and dates
        of other formats, for which there is :func:`parse_dates`. An empty cell is missing; "NA", "NaN", "NULL" and
        the like are missing in columns of numbers and dates, and text in columns of text (they may be ids). Where no
        number tells the decimal sign ("1,234" alone), a point is decimal and a comma groups thousands in a file with
        commas; with ";" the column stays text, for :func:`parse_numbers` to ask. Excel: text cells stay text.
        Parquet: whole numbers with gaps become Int64, never float.

    Raises
    ------
    CrmlyticsError
        If there is no such file, it is a folder, or it can't be opened.
    SchemaError
        If it is not a table: empty, binary, cut off, or with rows of another length than the header (with line number).
    MissingDependencyError
        If it is an Excel file and openpyxl is not installed.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "sales.csv")
    ...     _ = path.write_text("Kunde;Betrag\n00123;1.234,50\n00077;8,00\n")
    ...     read_table(path)
       Kunde  Betrag
    0  00123  1234.5
    1  00077     8.0
    """
    return read_file(path, sheet=sheet, decimal=decimal).frame


def read_file(path: str | os.PathLike[str], *, sheet: str | None = None, decimal: str | None = None) -> ReadFile:
    """Read a file as :func:`read_table` does, and say how it was read."""
    path = Path(path)
    data = _read_bytes(path)
    if data[:2] == b"\x1f\x8b":
        data = _decompress(data, path)
    if not data.strip():
        raise SchemaError(f"{path}: the file is empty.")
    if data[:4] == b"PAR1" or path.suffix.lower() in {".parquet", ".pq"}:
        _check_no_sheet(path, sheet, "parquet")
        return ReadFile(_read_parquet(data, path))
    if data[:4] == b"PK\x03\x04":
        return _read_excel(data, path, sheet)
    if data[:4] == b"\xd0\xcf\x11\xe0":
        raise SchemaError(
            f"{path}: this is an old or encrypted Excel file; open it in Excel and save it as .xlsx or .csv."
        )
    _check_no_sheet(path, sheet, "a text file")
    text = parse_text(data, name=str(path), decimal=decimal)
    return ReadFile(text_to_frame(text, decimal=decimal), text.format)


def _check_no_sheet(path: Path, sheet: str | None, kind: str) -> None:
    """Refuse a sheet where there are none."""
    if sheet is not None:
        raise SchemaError(f"{path}: sheet={sheet!r} is for Excel workbooks, and this is {kind}; leave it out.")


def _read_bytes(path: Path) -> bytes:
    """Read the file, or say why not."""
    if path.is_dir():
        tables = sorted(file.name for file in path.iterdir() if file.suffix.lower() in _TABLE_SUFFIXES)
        inside = f" Files in it: {tables[:10]}." if tables else ""
        raise CrmlyticsError(f"{path}: this is a folder, not a file; name one file.{inside}")
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise CrmlyticsError(f"{path}: no such file.{_suggestion(path)}") from error
    except OSError as error:
        raise CrmlyticsError(f"{path}: the file can't be read ({error.strerror}).") from error


def _suggestion(path: Path) -> str:
    """Name the file of that folder which was probably meant, or the folder that is missing."""
    if not path.parent.is_dir():
        return f" The folder {str(path.parent)!r} does not exist either."
    return did_you_mean(path.name, [file.name for file in path.parent.iterdir() if file.is_file()])


def _decompress(data: bytes, path: Path) -> bytes:
    """Unpack gzip."""
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        raise SchemaError(f"{path}: the compressed file is damaged or cut off ({error}).") from error


def _read_parquet(data: bytes, path: Path) -> pd.DataFrame:
    """Read parquet from memory."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise SchemaError(f"{path}: this parquet file is damaged, cut off, or not parquet ({reason}).") from error
    return arrow_to_frame(table)


def _read_excel(data: bytes, path: Path, sheet: str | None) -> ReadFile:
    """Read one sheet of a workbook."""
    import warnings

    openpyxl = need_openpyxl(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # about styles and extensions, not about values
            book = openpyxl.load_workbook(io.BytesIO(data), read_only=True, data_only=True)
            rows = _sheet_rows(book, path, sheet)
    except (zipfile.BadZipFile, KeyError, OSError, EOFError, zlib.error) as error:
        raise SchemaError(f"{path}: this is not an Excel workbook, or it is damaged or cut off ({error}).") from error
    return ReadFile(_rows_to_frame(rows, path), sheets=tuple(book.sheetnames))


def _sheet_rows(book: Any, path: Path, sheet: str | None) -> list[tuple[Any, ...]]:
    """Take the cells of a sheet, without its empty rows."""
    if sheet is not None and sheet not in book.sheetnames:
        hint = did_you_mean(sheet, book.sheetnames)
        raise SchemaError(f"{path}: no sheet {sheet!r}.{hint} Sheets: {book.sheetnames}.")
    page = book[sheet] if sheet is not None else book.worksheets[0]
    page.reset_dimensions()  # what the file says of its size is often wrong
    return [row for row in page.iter_rows(values_only=True) if any(cell is not None for cell in row)]


def _rows_to_frame(rows: list[tuple[Any, ...]], path: Path) -> pd.DataFrame:
    """Lay out cells whose first row is the header."""
    import pandas as pd

    if len(rows) < 2:
        raise SchemaError(f"{path}: the sheet has no lines below its header.")
    header = list(rows[0])
    while header and header[-1] is None:
        header.pop()
    width = len(header)
    for number, row in enumerate(rows[1:], start=2):
        if any(cell is not None for cell in row[width:]):
            raise SchemaError(
                f"{path}, row {number} with content: a cell to the right of the {width} columns of the header."
            )
    names = check_header([None if name is None else str(name) for name in header], name=str(path))
    padding = (None,) * width
    body = zip(*[(*row, *padding)[:width] for row in rows[1:]], strict=True)
    return pd.DataFrame({name: _cells_to_series(list(cells)) for name, cells in zip(names, body, strict=True)})


def _cells_to_series(cells: list[Any]) -> pd.Series:
    """Find the kind that holds all cells of a column: whole numbers, numbers, moments, yes or no, else text."""
    import datetime as dt

    import pandas as pd

    kinds = {type(cell) for cell in cells if cell is not None}
    if kinds == {bool}:
        return pd.Series(cells, dtype="boolean" if None in cells else "bool")
    if kinds and kinds <= {int, float}:
        whole = kinds == {int} and all(abs(cell) < _INT64_LIMIT for cell in cells if cell is not None)
        blank = None in cells
        return pd.Series(cells, dtype=("Int64" if blank else "int64") if whole else "float64")
    if kinds and kinds <= {dt.datetime, dt.date}:
        return pd.Series(pd.to_datetime(pd.Series(cells, dtype=object))).astype("datetime64[us]")
    return pd.Series([None if cell is None else str(cell) for cell in cells], dtype=object).astype(_text_dtype())


def _text_dtype() -> Any:
    """Text as this pandas keeps it: ``str`` since pandas 3, objects before."""
    import pandas as pd

    return pd.Series(["a"]).dtype
