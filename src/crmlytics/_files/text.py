"""Delimited text: find out encoding, separator and decimal sign, and give columns the kind all their values have."""

from __future__ import annotations

import codecs
import csv
import io
import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from crmlytics._files.columns import (
    DECIMAL,
    SURE_DECIMAL,
    all_match,
    arrow_to_frame,
    check_header,
    distinct,
    shown,
    with_kind,
    without_missing,
)
from crmlytics._files.numbers import sure_votes
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_SEPARATORS = (",", ";", "\t", "|")
_ENCODINGS = {"cp1252": "Windows-1252", "utf-8-sig": "UTF-8", "latin-1": "Latin-1"}
_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_JSON = re.compile(r'\s*(\[\s*)?[{\[]\s*["{\[]')
_SAMPLE_LINES = 200
_SAMPLE_CHARACTERS = 100_000
_UNIT_SAMPLE = 500
_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_HIGH_RUN = re.compile(rb"[\x80-\xff]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")


@dataclass(frozen=True, slots=True)
class TextFormat:
    """How a text file was understood: ``encoding``, ``separator`` and, if any number told it, ``decimal``."""

    encoding: str
    separator: str
    decimal: str | None

    def __str__(self) -> str:
        """Say it in words.

        >>> str(TextFormat("cp1252", ";", ","))
        "Windows-1252, separator ';', decimal ','"
        """
        encoding = _ENCODINGS.get(self.encoding, self.encoding.upper())
        separator = "tab" if self.separator == "\t" else repr(self.separator)
        assumed = "" if self.separator == ";" else ", decimal '.' (none seen)"
        return f"{encoding}, separator {separator}" + (f", decimal {self.decimal!r}" if self.decimal else assumed)


@dataclass(frozen=True, slots=True)
class ParsedText:
    """All columns as text, with the format they were read with."""

    table: pa.Table
    format: TextFormat


def find_text_format(data: bytes, *, name: str = "file") -> TextFormat:
    r"""Find out how a delimited text file is written.

    Parameters
    ----------
    data : bytes
        The whole file.
    name : str
        What errors call it.

    Examples
    --------
    >>> find_text_format("Kunde;Betrag\nMüller;12,50\n".encode("cp1252"))
    TextFormat(encoding='cp1252', separator=';', decimal=',')
    """
    return parse_text(data, name=name).format


def parse_text(data: bytes, *, name: str, decimal: str | None = None) -> ParsedText:
    """Read all columns of a delimited text as text; a ``decimal`` sign that is given is not looked for."""
    encoding = find_encoding(data, name=name)
    if encoding != "utf-8":
        data = data.decode(encoding).encode()
    if _JSON.match(data[:1000].decode(errors="replace")) or name.lower().endswith(_JSON_SUFFIXES):
        msg = f"{name}: this looks like JSON, which is not read; save the table as .csv, .parquet or .xlsx."
        raise SchemaError(msg)
    separator, data = _find_separator(data)
    table = _parse_columns(data, separator, name=name)
    return ParsedText(table, TextFormat(encoding, separator, decimal or _find_decimal(table)))


def find_encoding(data: bytes, *, name: str) -> str:
    """Find the encoding: a byte order mark, else UTF-8 if it is valid, else by the pattern of its high bytes.

    Chinese text in GB18030 has its high bytes in pairs; in Western text a high byte stands alone among letters.

    >>> find_encoding("客户,金额".encode("gbk"), name="f"), find_encoding("Zoë,1".encode("cp1252"), name="f")
    ('gb18030', 'cp1252')
    """
    for mark, encoding in _BOMS:
        if data.startswith(mark):
            return _checked(encoding, data, name)
    head = data[:4096]
    if b"\x00" in head:
        zeros = [head[0::2].count(0), head[1::2].count(0)]
        if max(zeros) > len(head) / 5 and min(zeros) == 0:
            return _checked("utf-16-be" if zeros[0] else "utf-16-le", data, name)
    if len(_CONTROL.findall(head)) > len(head) / 100:
        raise SchemaError(f"{name}: this is not text, parquet or Excel; save the table as .csv, .parquet or .xlsx.")
    if _decodes(data, "utf-8"):
        return "utf-8"
    runs = [len(run) for run in _HIGH_RUN.findall(data[:1_000_000])]
    if runs and runs.count(1) < len(runs) / 2 and _decodes(data, "gb18030"):
        return "gb18030"
    return "cp1252" if _decodes(data, "cp1252") else "latin-1"


def _decodes(data: bytes, encoding: str) -> bool:
    """Tell whether the bytes are valid in the encoding."""
    try:
        data.decode(encoding)
    except UnicodeDecodeError:
        return False
    return True


def _checked(encoding: str, data: bytes, name: str) -> str:
    """Refuse bytes that break the encoding they announce."""
    if not _decodes(data, encoding):
        raise SchemaError(f"{name}: the file says it is {encoding} but has bytes that are not; save it as UTF-8.")
    return encoding


def _find_separator(data: bytes) -> tuple[str, bytes]:
    """Find the sign that cuts most lines into as many fields as the header has, and drop Excel's ``sep=`` line."""
    if data[:4].lower() == b"sep=" and data[5:6] in {b"\r", b"\n"}:
        return chr(data[4]), data[5:]  # an empty line is left, so that line numbers stay true
    sample = data[:_SAMPLE_CHARACTERS].decode("utf-8", errors="replace").lstrip("\r\n")
    best, best_score = ",", (0.0, 1)
    for separator in _SEPARATORS:
        rows = _sample_rows(sample, separator)
        width = len(rows[0]) if rows else 0
        if width > 1:
            score = (round(sum(len(row) == width for row in rows) / len(rows), 1), width)
            best, best_score = max((best, best_score), (separator, score), key=lambda found: found[1])
    return best, data


def _sample_rows(sample: str, separator: str) -> list[list[str]]:
    """Cut the first lines of the file with one candidate."""
    rows = (row for row in csv.reader(io.StringIO(sample, newline=""), delimiter=separator) if row)
    try:
        return list(itertools.islice(rows, _SAMPLE_LINES))
    except csv.Error:  # a field too long: not this separator
        return []


def _parse_columns(data: bytes, separator: str, *, name: str) -> pa.Table:
    """Parse with PyArrow, everything as text; on failure find the line that is wrong."""
    import pyarrow as pa
    from pyarrow import csv as pa_csv

    lines = csv.reader(io.StringIO(data[:1_000_000].decode("utf-8", errors="replace"), newline=""), delimiter=separator)
    blank_lines, first = next(((place, row) for place, row in enumerate(lines) if row), (0, None))
    if first is None:
        raise SchemaError(f"{name}: the file is empty.")
    header = check_header([cell.strip() or None for cell in first], name=name)
    try:
        table = pa_csv.read_csv(
            io.BytesIO(data),
            read_options=pa_csv.ReadOptions(
                column_names=header, skip_rows_after_names=blank_lines + 1, block_size=1 << 24
            ),
            parse_options=pa_csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), null_values=[""], strings_can_be_null=True
            ),
        )
    except pa.ArrowInvalid as error:
        raise SchemaError(_broken_line(data, separator, len(header), name) or f"{name}: {error}") from error
    if not table.num_rows:
        raise SchemaError(f"{name}: the file has no lines below its header {shown(header)}.")
    return table


def _broken_line(data: bytes, separator: str, width: int, name: str) -> str | None:
    """Say which line has another number of fields than the header."""
    reader = csv.reader(io.StringIO(data.decode("utf-8", errors="replace"), newline=""), delimiter=separator)
    try:
        for row in reader:
            if row and len(row) != width:
                start = separator.join(row)[:60]
                return (
                    f"{name}, line {reader.line_num}: {len(row)} fields where the header has {width} "
                    f"(separator {separator!r}): {start!r}. Put quotes around text that contains the separator."
                )
    except csv.Error as error:
        return f"{name}, line {reader.line_num}: {error}."
    return None


def _find_decimal(table: pa.Table) -> str | None:
    """Find the decimal sign: the one that some column of numbers, with a unit or without, can't be read without."""
    import pyarrow.compute as pc

    votes = {".": 0, ",": 0}
    for column in table.columns:
        values = column.slice(0, 10_000)
        sample = distinct(values)
        present = without_missing(sample)
        plain = [sign for sign, pattern in DECIMAL.items() if all_match(present, pattern)]
        for sign in plain:
            votes[sign] += pc.sum(pc.match_substring_regex(sample, SURE_DECIMAL[sign])).as_py() or 0
        if len(present) and not plain:
            for sign, count in sure_votes(present[:_UNIT_SAMPLE].to_pandas()).items():
                votes[sign] += count
    return None if votes["."] == votes[","] else max(votes, key=lambda sign: votes[sign])


def text_to_frame(text: ParsedText, *, decimal: str | None = None) -> pd.DataFrame:
    """Give each column the kind all its values have, and make a pandas DataFrame; a ``decimal`` given binds."""
    table = text.table
    found = decimal or text.format.decimal
    decimals = decimal or (",." if found == "," else ".,")
    for place, name in enumerate(table.column_names):
        column = table.column(place)
        may_doubt = found is None and _writes_decimals_either_way(column, text.format.separator)
        table = table.set_column(place, name, with_kind(column, decimals, may_doubt=may_doubt))
    return arrow_to_frame(table)


def _writes_decimals_either_way(column: pa.ChunkedArray, separator: str) -> bool:
    """Tell whether a file with this separator may have either decimal sign: ; may, and tab where commas stand."""
    import pyarrow.compute as pc

    return separator == ";" or (separator == "\t" and bool(pc.any(pc.match_substring(column, ",")).as_py()))
