"""Write a table so that the file is whole or not there, and opens well in Excel."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlytics._files.excel import need_openpyxl
from crmlytics.exceptions import CrmlyticsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import pandas as pd

_FORMULA_START = r"^[=+\-@\t\r]"
_PLAIN_NUMBER = r"^[+-]?\d+([.,]\d+)?$"
_EXCEL_ROWS = 1_048_576
_EXCEL_DIGITS = 10**15
_NOT_IN_XML = r"[\x00-\x08\x0b\x0c\x0e-\x1f]"


def write_table(frame: pd.DataFrame, path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write a pandas DataFrame as .parquet, .csv or .xlsx, without its index.

    Another file is written first, in the same folder, and takes its place at the end: nobody ever sees half a file.

    Parameters
    ----------
    frame : pandas.DataFrame
    path : path
        Its ending says the kind. CSV is UTF-8 with a byte order mark, so that Excel shows every script.
    force : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    CrmlyticsError
        If the file is there and ``force`` is not given, or the folder is not there or can't be written.
    SchemaError
        If the ending is none of the three, or the table has more rows than an Excel sheet.
    MissingDependencyError
        If .xlsx is asked for and openpyxl is not installed.

    Notes
    -----
    Spreadsheets run text that starts with ``= + - @`` as a formula, so a customer called ``=HYPERLINK(...)`` would
    act on the reader's machine. In CSV such text (plain numbers excepted) gets a leading apostrophe, names of columns
    too; in .xlsx it is stored as text, unchanged; parquet is unchanged. Whole numbers of more than 15 digits are
    text in .xlsx, because Excel would round them; infinite numbers are the text "inf"; moments with a
    time zone are ISO text.

    Examples
    --------
    >>> import pandas as pd, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_table(pd.DataFrame({"name": ["=1+1", "Zoë"]}), f"{folder}/t.csv")
    ...     path.read_text(encoding="utf-8-sig").splitlines()
    ['name', "'=1+1", 'Zoë']
    """
    path = Path(path)
    writers = {".parquet": _write_parquet, ".csv": _write_csv, ".xlsx": _write_excel}
    writer = writers.get(path.suffix.lower())
    if writer is None:
        raise SchemaError(f"write_table: {str(path)!r} must end with one of {list(writers)}.")
    with in_place_of(path, force=force) as temporary:
        writer(frame, temporary)
    return path


def write_sheets(sheets: Mapping[str, pd.DataFrame], path: str | os.PathLike[str], *, force: bool = False) -> Path:
    """Write several tables as the sheets of one Excel workbook, as :func:`write_table` writes one.

    Parameters
    ----------
    sheets : mapping of sheet name to pandas.DataFrame
        The first one is what Excel opens.
    path : path
        It ends with .xlsx.
    force : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    CrmlyticsError, SchemaError, MissingDependencyError
        As :func:`write_table`.
    """
    path = Path(path)
    if path.suffix.lower() != ".xlsx":
        raise SchemaError(f"write_sheets: {str(path)!r} must end with .xlsx.")
    with in_place_of(path, force=force) as temporary:
        _write_book(sheets, temporary)
    return path


def check_place(path: Path, *, force: bool) -> None:
    """Refuse a place that is taken or not there."""
    if path.is_dir() or (path.exists() and not force):
        raise CrmlyticsError(
            f"{path}: is there already; give another name, or force=True (--force) to replace the file."
        )
    if not path.parent.is_dir():
        raise CrmlyticsError(f"{path}: the folder {str(path.parent)!r} does not exist; make it first.")


@contextlib.contextmanager
def in_place_of(path: Path, *, force: bool) -> Iterator[Path]:
    """Give a temporary file next to ``path`` that becomes it at the end, or disappears. Refuses a taken place."""
    check_place(path, force=force)
    try:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
        os.close(handle)
    except OSError as error:
        raise CrmlyticsError(f"{path}: the folder can't be written ({error.strerror}).") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(_usual_mode())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _usual_mode() -> int:
    """Permissions that a newly made file gets (a temporary one is closed to others)."""
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


def _write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write zstd parquet."""
    frame.to_parquet(path, index=False, compression="zstd")


def _write_csv(frame: pd.DataFrame, path: Path) -> None:
    """Write CSV for spreadsheets and programs."""
    safe = frame.apply(_without_formulas) if len(frame.columns) else frame
    header = [f"'{name}" if _starts_formula(str(name)) else name for name in frame.columns]
    safe.to_csv(path, index=False, header=header, encoding="utf-8-sig", lineterminator="\n")


def _starts_formula(text: str) -> bool:
    """Tell whether a spreadsheet would run this text."""
    return bool(re.match(_FORMULA_START, text)) and not re.match(_PLAIN_NUMBER, text)


def _without_formulas(column: pd.Series) -> pd.Series:
    """Put an apostrophe before text that a spreadsheet would run."""
    return _change_text(column, lambda cell: f"'{cell}" if _starts_formula(cell) else cell)


def _change_text(column: pd.Series, change: Callable[[str], str]) -> pd.Series:
    """Apply a function to the cells that are text; other columns are returned as they are."""
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(column.cat.categories.dtype)
    if not (pd.api.types.is_object_dtype(column.dtype) or pd.api.types.is_string_dtype(column.dtype)):
        return column
    return column.astype(object).map(lambda cell: change(cell) if isinstance(cell, str) else cell)


def _write_excel(frame: pd.DataFrame, path: Path) -> None:
    """Write one sheet."""
    _write_book({"table": frame}, path)


def _write_book(sheets: Mapping[str, pd.DataFrame], path: Path) -> None:
    """Write a workbook."""
    openpyxl = need_openpyxl(path)
    for frame in sheets.values():
        if len(frame) >= _EXCEL_ROWS:
            raise SchemaError(
                f"write_table: {len(frame):,} rows do not fit an Excel sheet ({_EXCEL_ROWS - 1:,}); write .csv."
            )
    book = openpyxl.Workbook(write_only=True)
    for name, frame in sheets.items():
        _write_sheet(frame, book.create_sheet(name))
    book.save(path)


def _write_sheet(frame: pd.DataFrame, page: Any) -> None:
    """Write the rows of a sheet, with the header frozen."""
    page.freeze_panes = "A2"
    page.append([_excel_cell(page, str(name)) for name in frame.columns])
    columns = [_excel_values(frame.iloc[:, place]) for place in range(len(frame.columns))]
    for row in zip(*columns, strict=True):
        page.append([_excel_cell(page, value) if isinstance(value, str) else value for value in row])


def _excel_values(column: pd.Series) -> list[Any]:
    """List the values of a column as things Excel has, None for missing ones."""
    import pandas as pd

    values = column.astype(object)
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        values = values.map(lambda moment: moment.isoformat(), na_action="ignore")
    elif pd.api.types.is_datetime64_any_dtype(column.dtype):
        values = values.map(lambda moment: moment.to_pydatetime(warn=False), na_action="ignore")
    return [None if missing else _excel_value(value) for value, missing in zip(values, column.isna(), strict=True)]


def _excel_value(value: Any) -> Any:
    """Turn what Excel can't hold exactly into text."""
    if isinstance(value, str | bool):
        return value
    if isinstance(value, int) and abs(value) >= _EXCEL_DIGITS:
        return str(value)
    if isinstance(value, float) and value in {float("inf"), float("-inf")}:
        return str(value)
    return value


def _excel_cell(page: Any, text: str) -> Any:
    """Make a cell that is text even if it starts with ``=``."""
    clean = re.sub(_NOT_IN_XML, "", text)
    if not clean.startswith("="):
        return clean
    cell = import_module("openpyxl.cell").WriteOnlyCell(page, clean)
    cell.data_type = "s"
    return cell
