"""What the file reader and writer promise: every id as it was, every fault named, never half a file."""

import contextlib
import datetime as dt
import gzip
import re
import stat
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pandas.api.types import is_datetime64_any_dtype, is_float_dtype, is_string_dtype

from crmlytics._files import find_text_format, parse_dates, read_file, read_table, write_table
from crmlytics.exceptions import CrmlyticsError, MissingDependencyError, SchemaError


@pytest.fixture
def read(tmp_path):
    """Write bytes (or text as UTF-8) to a file and read it as a table."""

    def write_and_read(content, name="sales.csv", **options):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return read_table(path, **options)

    return write_and_read


def column(read, *cells, separator=","):
    """Read one column of text next to a column of letters."""
    lines = [f"x{separator}{cell}" for cell in cells]
    return read("\n".join([f"letter{separator}value", *lines]) + "\n")["value"]


# --- encodings and separators ------------------------------------------------------------------------------------

CHINESE = "客户编号,城市,金额\n00123,北京,12.5\n00124,上海,8.25\n"
WESTERN = "Kunde;Straße;Betrag\n00123;Müllerstraße;12,50\n00124;Café Zoë Nord €;1.208,25\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "gb18030"])
def test_chinese_text_in_every_encoding_it_comes_in(read, encoding):
    table = read(CHINESE.encode(encoding))
    assert list(table) == ["客户编号", "城市", "金额"]
    assert table["城市"].tolist() == ["北京", "上海"]
    assert table["客户编号"].tolist() == ["00123", "00124"]
    assert table["金额"].tolist() == [12.5, 8.25]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_western_text_with_semicolons_and_decimal_commas(read, encoding):
    table = read(WESTERN.encode(encoding))
    assert list(table) == ["Kunde", "Straße", "Betrag"]
    assert table["Straße"].tolist() == ["Müllerstraße", "Café Zoë Nord €"]
    assert table["Betrag"].tolist() == [12.5, 1208.25]


def test_bytes_that_windows_1252_lacks_are_latin_1():
    assert find_text_format(b"a,b\n\x81x,1.5\n").encoding == "latin-1"


def test_an_announced_encoding_that_is_broken_is_refused(read):
    with pytest.raises(SchemaError, match=r"sales\.csv: the file says it is utf-8-sig but has bytes that are not"):
        read(b"\xef\xbb\xbfa,b\n\xff\xfe\xfd,1\n")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_even_if_others_stand_in_the_text(read, separator):
    table = read(
        f'name{separator}note{separator}n\n"a,b;c|d\te"{separator}x y{separator}1\nf{separator}g{separator}2\n'
    )
    assert table["name"].tolist() == ["a,b;c|d\te", "f"]
    assert table["n"].tolist() == [1, 2]


def test_excels_own_separator_line_is_no_header(read):
    assert read("sep=;\r\na;b\r\n1;2\r\n").to_dict("list") == {"a": [1], "b": [2]}


def test_the_separator_of_a_file_longer_than_the_sample():
    rows = "".join(f"{n};a,b;c\n" for n in range(20_000))
    assert find_text_format(f"n;text, more;c\n{rows}".encode()).separator == ";"


def test_quoted_newlines_stay_in_their_cell_and_blank_lines_are_skipped(read):
    table = read('\n\na,b\n"one\ntwo",1\n\nthree,2\n')
    assert table["a"].tolist() == ["one\ntwo", "three"]


@pytest.mark.parametrize("top", ["\n\n", "sep=,\r\n\n"])
def test_line_numbers_count_what_stands_above_the_header(read, top):
    with pytest.raises(SchemaError, match="line 4: 1 fields"):
        read(f"{top}a,b\n1\n")


def test_gzip_is_unpacked_and_a_cut_one_is_refused(read):
    packed = gzip.compress(CHINESE.encode())
    assert len(read(packed, "sales.csv.gz")) == 2
    with pytest.raises(SchemaError, match="compressed file is damaged or cut off"):
        read(packed[:-12], "sales.csv.gz")


# --- kinds of columns --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "cells",
    [
        ("00123", "77"),
        ("1234567890123456789", "1"),
        ("12345678901234567890123", "1"),
        ("12345678901234567", "1.5"),
        ("AB", "1"),
        ("3/4/2024", "25/4/2024"),
        ("2024-02-30", "2024-02-01"),
        ("NA", "DE"),
        ("2024-02-01", "2024-02-01T10:00Z"),
    ],
)
def test_text_stays_as_it_was(read, cells):
    values = column(read, *cells)
    assert is_string_dtype(values.dtype)
    assert tuple(values) == cells


def test_long_ids_are_exact_and_ids_with_blanks_stay_whole(read):
    exact = column(read, "999999999999999999", "-3")
    assert exact.tolist() == [999999999999999999, -3]
    assert exact.dtype == "int64"
    gaps = column(read, "900719925474099311", "", "12")
    assert gaps.dtype == "Int64"
    assert gaps.tolist() == [900719925474099311, pd.NA, 12]


@pytest.mark.parametrize(
    ("separator", "cells", "expected"),
    [
        (",", ["1.5", "-0.25", "3"], [1.5, -0.25, 3.0]),
        (",", ["1e3", "2.5E-1", ".5"], [1000.0, 0.25, 0.5]),
        (",", ['"1,234.50"', '"12,345,678"'], [1234.5, 12345678.0]),
        (",", ['"1.234,50"', '"8,00"'], [1234.5, 8.0]),
        (";", ["1.234,56", "-7,5"], [1234.56, -7.5]),
        (";", ["1.5", "2.25"], [1.5, 2.25]),
        (";", ["1 234,56", "1\u00a0234 567,5"], [1234.56, 1234567.5]),
        (";", ["1'234.50", "3.10"], [1234.5, 3.1]),
        ("\t", ["1.234", "5.678"], [1.234, 5.678]),
        (",", ["1.234", "5.678"], [1.234, 5.678]),
        (",", ["1.5", "inf", "-inf"], [1.5, np.inf, -np.inf]),
        (",", ["+1.5", "+2.5"], [1.5, 2.5]),
    ],
)
def test_numbers_with_either_decimal_sign(read, separator, cells, expected):
    values = column(read, *cells, separator=separator)
    assert values.tolist() == expected
    assert is_float_dtype(values.dtype)


@pytest.mark.parametrize(
    ("separator", "cells"), [(";", ["1,250", "400"]), (";", ["1.250", "-2.300"]), ("\t", ["1,250"])]
)
def test_numbers_that_either_sign_can_read_stay_text_until_one_is_given(read, separator, cells):
    assert column(read, *cells, separator=separator).tolist() == cells
    text = "\n".join([f"letter{separator}value", *[f"x{separator}{cell}" for cell in cells]])
    sign = cells[0][1]
    assert read(text, decimal=sign)["value"][0] == 1.25
    assert read(text, decimal=",."[sign == ","])["value"][0] == 1250


def test_numbers_with_a_unit_tell_the_decimal_sign_of_the_file(read):
    assert read("price;stock\n1,50 €;1.234\n2,75 €;2.000\n")["stock"].tolist() == [1234, 2000]


@pytest.mark.parametrize("content", ['[{"a": 1, "b": 2}]', '{"a": 1,\n "b": 2}', "[[1, 2], [3, 4]]"])
def test_json_is_called_by_its_name(read, content):
    with pytest.raises(SchemaError, match=r"this looks like JSON, which is not read; save the table as \.csv"):
        read(content)


def test_a_message_lists_ten_columns_at_most(read):
    header = ",".join(f"c{place % 40}" for place in range(80))
    with pytest.raises(SchemaError, match=r"same name, \['c0', .*'c17', \.\.\. \(40 columns\)\]") as caught:
        read(header + "\n")
    assert len(str(caught.value)) < 300


def test_a_sheet_of_a_file_that_has_none_is_refused(read):
    with pytest.raises(SchemaError, match="sheet='X' is for Excel workbooks, and this is a text file; leave it out"):
        read("a,b\n1,2\n", sheet="X")


def test_how_a_text_file_was_read_is_said(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes("Straße;Betrag\nMüller;12,50\n".encode("cp1252"))
    assert str(read_file(path).format) == "Windows-1252, separator ';', decimal ','"
    path.write_text("a\tb\n1\t2\n")
    assert str(read_file(path).format) == "UTF-8, separator tab, decimal '.' (none seen)"


def test_grouped_thousands_are_whole_numbers(read):
    values = column(read, '"1,234"', '"12,345"')
    assert values.tolist() == [1234, 12345]
    assert values.dtype == "int64"


def test_the_decimal_sign_of_one_column_settles_the_doubtful_one(read):
    table = read("price;stock\n1,50;1.234\n2,75;2.000\n")
    assert table["stock"].tolist() == [1234, 2000]
    other = read("price;stock\n1.50;1.234\n2.75;2.005\n")
    assert other["stock"].tolist() == [1.234, 2.005]


def test_a_column_that_only_the_other_sign_can_read_is_read_with_it(read):
    table = read("price;rate\n1,50;0.5\n2,75;0.25\n2,10;3.5\n3,33;2.25\n")
    assert table["price"].tolist() == [1.5, 2.75, 2.1, 3.33]
    assert table["rate"].tolist() == [0.5, 0.25, 3.5, 2.25]


def test_words_for_nothing_are_missing_among_numbers_only(read):
    numbers = column(read, "1.5", "NULL", "n/a", "-", "")
    assert numbers.tolist()[:1] == [1.5]
    assert numbers.isna().sum() == 4
    assert column(read, "NA", "", "x").isna().tolist() == [False, True, False]


def test_truths_with_and_without_gaps(read):
    assert column(read, "True", "false").tolist() == [True, False]
    gaps = column(read, "TRUE", "", "FALSE")
    assert gaps.dtype == "boolean"
    assert gaps.tolist() == [True, pd.NA, False]


@pytest.mark.parametrize(
    ("cell", "moment"),
    [
        ("2024-02-29", pd.Timestamp(2024, 2, 29)),
        ("2024-02-29 13:45", pd.Timestamp(2024, 2, 29, 13, 45)),
        ("2024-02-29T13:45:10", pd.Timestamp(2024, 2, 29, 13, 45, 10)),
        ("2024-02-29 13:45:10.123456", pd.Timestamp(2024, 2, 29, 13, 45, 10, 123456)),
    ],
)
def test_iso_dates_are_moments_in_microseconds(read, cell, moment):
    values = column(read, cell, "")
    assert str(values.dtype) == "datetime64[us]"
    assert values[0] == moment
    assert values.isna().tolist() == [False, True]


def test_iso_dates_with_a_zone_keep_their_instant(read):
    values = column(read, "2024-02-29T13:45:00+02:00", "2024-02-29T13:45:00Z")
    assert str(values.dtype) == "datetime64[us, UTC]"
    assert [moment.hour for moment in values] == [11, 13]


@given(numbers=st.lists(st.integers(-(10**18) + 1, 10**18 - 1), min_size=1, max_size=20))
def test_every_whole_number_comes_back(tmp_path_factory, numbers):
    path = tmp_path_factory.mktemp("ints") / "n.csv"
    path.write_text("key,n\n" + "".join(f"x,{number}\n" for number in numbers))
    assert read_table(path)["n"].tolist() == numbers


@given(cells=st.lists(st.from_regex(r"0[0-9]{1,20}", fullmatch=True), min_size=1, max_size=20))
def test_every_id_with_leading_zeros_comes_back(tmp_path_factory, cells):
    path = tmp_path_factory.mktemp("ids") / "n.csv"
    path.write_text("key,id\n" + "".join(f"x,{cell}\n" for cell in cells))
    assert read_table(path)["id"].tolist() == cells


# --- faults ------------------------------------------------------------------------------------------------------


def test_a_missing_file_suggests_its_neighbour(tmp_path):
    (tmp_path / "sales.csv").write_text("a,b\n1,2\n")
    with pytest.raises(CrmlyticsError, match=r"salse\.csv: no such file\. Did you mean 'sales\.csv'\?"):
        read_table(tmp_path / "salse.csv")
    with pytest.raises(CrmlyticsError, match=r"no such file\. The folder '.*nowhere' does not exist either"):
        read_table(tmp_path / "nowhere" / "sales.csv")


def test_a_folder_names_the_tables_in_it(tmp_path):
    (tmp_path / "b.parquet").touch()
    (tmp_path / "notes.md").touch()
    with pytest.raises(CrmlyticsError, match=r"this is a folder, not a file.*Files in it: \['b\.parquet'\]"):
        read_table(tmp_path)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        ("", "a.csv", r"a\.csv: the file is empty"),
        (" \n\n", "a.csv", r"a\.csv: the file is empty"),
        ("sep=;\n", "a.csv", r"a\.csv: the file is empty"),
        (b"\xff\xfe", "a.csv", r"a\.csv: the file is empty"),
        ("a;b\n1;2\n3\n", "a.csv", r"line 3: 1 fields where the header has 2 \(separator ';'\)"),
        ("a,b\n", "a.csv", r"no lines below its header \['a', 'b'\]"),
        (b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x01\x02\x03\x04\x05", "a.csv", "this is not text, parquet or Excel"),
        (b"\xd0\xcf\x11\xe0rest", "a.xls", r"old or encrypted Excel file.*save it as \.xlsx"),
        ("a,b\n1,2\n", "a.parquet", "damaged, cut off, or not parquet"),
        (b"PK\x03\x04rubbish", "a.xlsx", "not an Excel workbook, or it is damaged"),
        ("a,b\n1,2\n3,4,5\n", "a.csv", r"a\.csv, line 3: 3 fields where the header has 2 \(separator ','\): '3,4,5'"),
        ('a,b\n"1\n1",2\n3\n', "a.csv", r"line 4: 1 fields where the header has 2"),
        ("a,b,a\n1,2,3\n", "a.csv", r"several columns have the same name, \['a'\]"),
        ("00001,1997-01-01,29.33\n00002,1997-01-02,1.00\n", "a.csv", "the first line looks like data"),
    ],
)
def test_each_fault_is_named(read, content, name, message):
    with pytest.raises(SchemaError, match=message):
        read(content, name)


@given(
    head=st.sampled_from([b"", b"PAR1", b"PK\x03\x04", b"\x1f\x8b", b"\xff\xfe", b"a,b\n"]),
    data=st.binary(max_size=300),
)
def test_rubbish_of_any_kind_is_read_or_refused_in_our_words(tmp_path_factory, head, data):
    path = tmp_path_factory.mktemp("rubbish") / "file.csv"
    path.write_bytes(head + data)
    with contextlib.suppress(CrmlyticsError):
        assert len(read_table(path)) > 0


def test_a_cut_parquet_file_is_refused(read, tmp_path):
    write_table(pd.DataFrame({"a": range(100)}), tmp_path / "whole.parquet")
    data = (tmp_path / "whole.parquet").read_bytes()
    with pytest.raises(SchemaError, match=r"cut\.parquet: this parquet file is damaged"):
        read(data[:-20], "cut.parquet")


def test_a_column_without_a_name_gets_one(read):
    assert list(read(",a , b\n1,2,3\n")) == ["unnamed_1", "a", "b"]


def test_excel_without_openpyxl_says_what_to_type(read, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingDependencyError, match=f"type: {re.escape(sys.executable)} -m pip install openpyxl$"):
        read(b"PK\x03\x04", "a.xlsx")
    with pytest.raises(MissingDependencyError, match=f"type: {re.escape(sys.executable)} -m pip install openpyxl$"):
        write_table(pd.DataFrame({"a": [1]}), tmp_path / "b.xlsx")
    assert not list(tmp_path.glob("*b*.xlsx"))


# --- parquet and Excel -------------------------------------------------------------------------------------------

EVERY_KIND = pd.DataFrame(
    {
        "id": pd.array([900719925474099311, None, 3], dtype="Int64"),
        "code": ["00123", None, "北京"],
        "amount": [1.5, np.nan, -2.0],
        "count": [1, 2, 3],
        "at": pd.to_datetime(["2024-01-31 10:30:15", None, "2024-02-01 00:00:00"]).astype("datetime64[us]"),
        "told": pd.array([True, None, False], dtype="boolean"),
    }
)


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_what_is_written_is_read_again(tmp_path, suffix):
    path = write_table(EVERY_KIND, tmp_path / f"t.{suffix}")
    pd.testing.assert_frame_equal(read_table(path), EVERY_KIND)


def test_excel_keeps_everything_but_has_long_ids_as_text(tmp_path):
    again = read_table(write_table(EVERY_KIND, tmp_path / "t.xlsx"))
    assert again["id"].tolist()[0] == "900719925474099311"
    kept = ["code", "amount", "count", "at", "told"]
    pd.testing.assert_frame_equal(again[kept], EVERY_KIND[kept])


def test_parquet_of_any_make_has_a_plain_index_and_no_object_dates(tmp_path):
    import decimal

    frame = pd.DataFrame(
        {"day": [dt.date(2024, 1, 31)], "price": [decimal.Decimal("1.25")]}, index=pd.Index([7], name="id")
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table(tmp_path / "t.parquet")
    assert list(table.index) == [0]
    assert table.to_dict("list") == {"day": [pd.Timestamp("2024-01-31")], "price": [1.25], "id": [7]}
    assert is_datetime64_any_dtype(table["day"].dtype)


def test_sheets_by_name(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.title = "Notes"
    book.active.append(["a", "b", None])
    book.active.append([1, "00123"])
    book.create_sheet("Sales").append(["n"])
    book["Sales"].append([2])
    book.save(tmp_path / "t.xlsx")
    assert read_table(tmp_path / "t.xlsx").to_dict("list") == {"a": [1], "b": ["00123"]}
    assert read_table(tmp_path / "t.xlsx", sheet="Sales").to_dict("list") == {"n": [2]}
    with pytest.raises(SchemaError, match=r"no sheet 'sales '.* Did you mean 'Sales'\? Sheets: \['Notes', 'Sales'\]"):
        read_table(tmp_path / "t.xlsx", sheet="sales ")


def test_a_workbook_that_lies_about_its_size_is_read_whole(tmp_path):
    import zipfile

    honest = write_table(pd.DataFrame({"a": [1, 2], "b": [3, 4]}), tmp_path / "honest.xlsx")
    with zipfile.ZipFile(honest) as source, zipfile.ZipFile(tmp_path / "liar.xlsx", "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("sheet1.xml"):
                content = content.replace(b"<sheetViews>", b'<dimension ref="A1"/><sheetViews>')
                assert b"dimension" in content
            target.writestr(name, content)
    assert read_table(tmp_path / "liar.xlsx").to_dict("list") == {"a": [1, 2], "b": [3, 4]}


def test_a_column_of_mixed_cells_is_text(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    for row in (["invoice", "x"], [536365, 1.5], ["C536379", None]):
        book.active.append(row)
    book.save(tmp_path / "t.xlsx")
    assert read_table(tmp_path / "t.xlsx")["invoice"].tolist() == ["536365", "C536379"]


# --- writing -----------------------------------------------------------------------------------------------------


def test_nothing_is_replaced_unless_forced(tmp_path):
    path = write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.csv")
    with pytest.raises(CrmlyticsError, match=r"t\.csv: is there already; .*--force"):
        write_table(pd.DataFrame({"a": [2]}), path)
    assert read_table(path)["a"].tolist() == [1]
    write_table(pd.DataFrame({"a": [2]}), path, force=True)
    assert read_table(path)["a"].tolist() == [2]


@pytest.mark.parametrize("suffix", ["parquet", "csv", "xlsx"])
def test_a_failed_write_leaves_the_old_file_and_no_rubbish(tmp_path, suffix):
    path = write_table(pd.DataFrame({"a": [1]}), tmp_path / f"t.{suffix}")
    before = path.read_bytes()

    class Stubborn:
        def __str__(self):
            raise KeyboardInterrupt

        __repr__ = __str__

    with pytest.raises((KeyboardInterrupt, ValueError, TypeError, OSError)):
        write_table(pd.DataFrame({"a": [Stubborn()]}), path, force=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_is_there_until_the_new_one_is_whole(tmp_path, monkeypatch):
    path = write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.csv")
    seen = []
    whole = pd.DataFrame.to_csv
    monkeypatch.setattr(
        pd.DataFrame, "to_csv", lambda frame, to, **how: (seen.append((to, path.read_bytes())), whole(frame, to, **how))
    )
    old = path.read_bytes()
    write_table(pd.DataFrame({"a": [2]}), path, force=True)
    assert seen[0][0] != path
    assert seen[0][0].parent == path.parent
    assert seen[0][1] == old


def test_the_file_can_be_read_by_whom_the_umask_lets(tmp_path):
    (tmp_path / "plain").touch()
    path = write_table(pd.DataFrame({"a": [1]}), tmp_path / "t.csv")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE((tmp_path / "plain").stat().st_mode)


def test_csv_begins_with_the_mark_excel_needs(tmp_path):
    path = write_table(pd.DataFrame({"城市": ["北京"]}), tmp_path / "t.csv")
    assert path.read_bytes() == "\ufeff城市\n北京\n".encode()


def test_formulas_are_disarmed_in_csv_and_text_in_excel(tmp_path):
    texts = ["=1+1", "+cmd", "-2+3", "@SUM(A1)", "\tx", "-12", "+4,5", "plain", None]
    frame = pd.DataFrame({"=name": texts, "delta": [-1.5] * len(texts)})
    lines = write_table(frame, tmp_path / "t.csv").read_text(encoding="utf-8-sig").split("\n")
    assert lines[0] == "'=name,delta"
    cells = [line.split(",-1.5")[0] for line in lines[1:-1]]
    assert cells == ["'=1+1", "'+cmd", "'-2+3", "'@SUM(A1)", "'\tx", "-12", '"+4,5"', "plain", ""]

    import openpyxl

    page = openpyxl.load_workbook(write_table(frame, tmp_path / "t.xlsx")).active
    assert [(page["A1"].value, page["A1"].data_type), (page["A2"].value, page["A2"].data_type)] == [
        ("=name", "s"),
        ("=1+1", "s"),
    ]
    assert frame["=name"].tolist()[0] == "=1+1"


def test_excel_takes_what_it_has_no_kind_for(tmp_path):
    frame = pd.DataFrame(
        {
            "wide": [np.inf, -np.inf],
            "zoned": pd.to_datetime(["2024-01-31T10:00", None]).tz_localize("UTC"),
            "bell": ["a\x07b", "c"],
            "band": pd.Categorical(["x", None]),
        }
    )
    again = read_table(write_table(frame, tmp_path / "t.xlsx"))
    assert again["wide"].tolist() == ["inf", "-inf"]
    assert again["zoned"].tolist()[0] == "2024-01-31T10:00:00+00:00"
    assert again["bell"].tolist() == ["ab", "c"]
    assert again["band"].tolist()[0] == "x"


def test_endings_and_folders_that_cannot_be_written(tmp_path):
    with pytest.raises(SchemaError, match=r"must end with one of \['\.parquet', '\.csv', '\.xlsx'\]"):
        write_table(EVERY_KIND, tmp_path / "t.json")
    with pytest.raises(CrmlyticsError, match=r"the folder '.*nowhere' does not exist; make it first"):
        write_table(EVERY_KIND, tmp_path / "nowhere" / "t.csv")


def test_too_many_rows_for_a_sheet(tmp_path):
    with pytest.raises(SchemaError, match=r"1,048,576 rows do not fit an Excel sheet \(1,048,575\)"):
        write_table(pd.DataFrame({"a": np.zeros(1_048_576)}), tmp_path / "t.xlsx")


# --- dates in text -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "pattern", "first"),
    [
        (["3/4/2024", "25/4/2024"], "%d/%m/%Y", pd.Timestamp(2024, 4, 3)),
        (["3/4/2024", "4/25/2024"], "%m/%d/%Y", pd.Timestamp(2024, 3, 4)),
        (["03.04.24 9:05", "25.04.24 10:15"], "%d.%m.%y %H:%M", pd.Timestamp(2024, 4, 3, 9, 5)),
        (["2024/4/3", "2024/4/25"], "%Y/%m/%d", pd.Timestamp(2024, 4, 3)),
        (
            ["12/1/2010 8:26:01 PM", "12/31/2010 9:00:00 AM"],
            "%m/%d/%Y %I:%M:%S %p",
            pd.Timestamp(2010, 12, 1, 20, 26, 1),
        ),
        (["20240403", "20240425"], "%Y%m%d", pd.Timestamp(2024, 4, 3)),
        ([20240403, 20240425], "%Y%m%d", pd.Timestamp(2024, 4, 3)),
        (["3 Apr 2024", "25 Apr 2024"], "%d %b %Y", pd.Timestamp(2024, 4, 3)),
        (["2024年4月3日", "2024年4月25日"], "%Y年%m月%d日", pd.Timestamp(2024, 4, 3)),
        (["4/4/2024", "5/5/2024"], "%d/%m/%Y", pd.Timestamp(2024, 4, 4)),  # either way the same day
    ],
)
def test_the_format_of_dates_is_found(texts, pattern, first):
    found = parse_dates(pd.Series(texts, name="when", index=[5, 9]))
    assert found.format == pattern
    assert found.moments.loc[5] == first
    assert found.moments.name == "when"
    assert str(found.moments.dtype) == "datetime64[us]"
    assert found.unreadable_count == 0


def test_two_digit_years_stand_where_the_dates_do_not_scatter():
    by_day = [f"{day:02}/12/24" for day in range(1, 32)]
    by_year = [f"24/12/{day:02}" for day in range(1, 32)]
    assert parse_dates(pd.Series(by_day)).format == "%d/%m/%y"
    assert parse_dates(pd.Series(by_year)).format == "%y/%m/%d"
    with pytest.raises(SchemaError, match="is 2012-11-10 by '%d/%m/%y' and 2012-10-11 by '%m/%d/%y'"):
        parse_dates(pd.Series(["10/11/12", "11/11/12"]))
    with pytest.raises(SchemaError, match="is 2012-11-10 by '%d/%m/%y' and 2010-11-12 by '%y/%m/%d'"):
        parse_dates(pd.Series(["10/11/12", "13/11/12", "20/11/14"]))


def test_dates_in_doubt_are_refused_with_what_to_type():
    message = (
        r"'when' can be read in two ways: '3/4/2024' is 2024-04-03 by '%d/%m/%Y' and 2024-03-04 by '%m/%d/%Y'\. "
        r'Say which, e\.g\. --timestamp-format "%d/%m/%Y"'
    )
    with pytest.raises(SchemaError, match=message):
        parse_dates(pd.Series(["3/4/2024", "5/6/2024"], name="when"))


def test_a_few_unreadable_dates_are_counted_and_many_are_refused():
    days = [f"{day}/1/2024" for day in range(1, 32)]
    found = parse_dates(pd.Series([*days, "soon", None, "soon"]))
    assert found.unreadable_count == 2
    assert found.moments.isna().sum() == 3
    with pytest.raises(
        SchemaError, match=r"this column is not read as dates by any format known, e\.g\. \['soon', 'later'"
    ):
        parse_dates(pd.Series(["soon", "later", "1/2/2024"]))
    with pytest.raises(SchemaError, match="has no values"):
        parse_dates(pd.Series([None, None], dtype=object))
