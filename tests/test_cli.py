"""What the command line promises: the right files or none, every fault in words to act on, honest exit codes."""

import os
import re
import shlex
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pandas as pd
import pytest

import crmlytics
from crmlytics import Transactions, cli, report, scorecard
from crmlytics._cli.guessing import guess_roles
from crmlytics._cli.loading import load_transactions
from crmlytics._cli.messages import as_typed
from crmlytics._cli.outputs import FILES, OutputFolder
from crmlytics._cli.parser import ROLES, parse
from crmlytics._cli.steps import Steps
from crmlytics._files import parse_numbers, read_table, write_sheets, write_table
from crmlytics.cli import DONE, REFUSED, STOPPED, UNEXPECTED, main
from crmlytics.datasets import make_transactions
from crmlytics.exceptions import CrmlyticsError, SchemaError
from crmlytics.scorecard import score_customers

BOM = b"\xef\xbb\xbf"
HEADER = "Client,Invoice,Day,Total"
LINES = ["a,1,2024-01-31,5.5", "b,2,2024-02-01,7.5"]
NAMED = ["--customer-id", "Client", "--order-id", "Invoice", "--timestamp", "Day", "--amount", "Total"]


@pytest.fixture(scope="session")
def orders():
    made = make_transactions(customers=80, missing_customer_rate=0.05, random_state=1).transactions
    return made[made["amount"] > 0].reset_index(drop=True)


@pytest.fixture
def sales(orders, tmp_path, monkeypatch):
    """A file whose columns are called as their roles, in an empty current folder."""
    monkeypatch.chdir(tmp_path)
    orders.to_parquet("sales.parquet")
    return "sales.parquet"


@pytest.fixture
def stand_ins(monkeypatch):
    """Quick substitutes for scores and report, for tests of everything around them."""
    scores = pd.DataFrame(
        {
            "customer_id": ["客户一", "b"],
            "recency_days": [1, 2],
            "order_count": [2, 1],
            "total_amount": [30.0, 10.0],
            "segment": ["Champions", "Lost"],
            "purchase_probability": [0.9, 0.1],
            "expected_revenue_amount": [20.0, 5.0],
        }
    )
    guide = pd.DataFrame({"column": ["segment"], "meaning": ["a"], "unit": ["text"], "certainty": ["b"]})
    evaluation = pd.DataFrame({"name": ["auc"], "value": [0.7], "meaning": ["c"]})
    card = scorecard.Scorecard(scores, guide, evaluation)
    monkeypatch.setattr(scorecard, "score_customers", lambda *_, **__: card)
    monkeypatch.setattr(report, "write_report", lambda _, path, **__: path.write_text("<!DOCTYPE html>"))
    return card


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


# --- the whole way, with nothing replaced ------------------------------------------------------------------------


def test_scores_a_file_and_says_what_an_analyst_needs(sales, orders, tmp_path, capsys):
    words = ["score", sales, "--as-of", "2024-12-01", "--horizon", "12w", "--currency-symbol", "£", "--title", "Ours"]
    assert main([*words, "--out", "deep/results"]) == DONE
    folder = tmp_path / "deep" / "results"
    assert sorted(contents(folder)) == sorted(FILES)
    expected = score_customers(
        Transactions(orders.dropna(subset="customer_id")), as_of="2024-12-01", horizon="84d"
    ).scores
    pd.testing.assert_frame_equal(pd.read_parquet(folder / "scorecard.parquet"), expected)
    table = pd.read_csv(folder / "scorecard.csv", encoding="utf-8-sig", dtype={"rfm_score": str})
    assert table["customer_id"].tolist() == expected["customer_id"].tolist()
    assert table["total_amount"].tolist() == expected["total_amount"].tolist()
    assert all(content.startswith(BOM) for name, content in contents(folder).items() if name.endswith(".csv"))
    sheets = pd.read_excel(folder / "scorecard.xlsx", sheet_name=None)
    assert list(sheets) == ["scorecard", "guide", "evaluation", "audit"]
    assert len(sheets["scorecard"]) == len(expected)
    assert "Ours" in (folder / "report.html").read_text(encoding="utf-8")
    out, err = capsys.readouterr()
    assert f"{len(expected):,} customers, as of 2024-12-01" in out
    assert f"£{expected['total_amount'].sum():,.0f} in {expected['order_count'].sum():,} orders" in out
    assert f"{orders.shape[0]:,} received" in out
    assert "next 84 days" in out
    assert folder.joinpath("report.html").as_uri() in out
    assert f"reading sales.parquet ... {len(orders):,} lines, 7 columns (" in err
    assert f"no customer {orders['customer_id'].isna().sum():,}" in err
    assert "DataQualityWarning" not in err
    later = (orders["customer_id"].notna() & (orders["timestamp"] >= "2024-12-01")).sum()
    assert f"lines on or after 2024-12-01 are not used ({later:,})" in err


def test_a_margin_makes_lifetime_value(sales, capsys):
    assert main(["score", sales, "--as-of", "2024-12-01", "--margin", "30%", "--no-excel", "--out", "new"]) == DONE
    written = pd.read_parquet("new/scorecard.parquet")
    orders = read_table(sales).dropna(subset="customer_id")
    expected = score_customers(orders, as_of="2024-12-01", margin=0.3).scores
    assert written["clv_amount"].sum() == pytest.approx(expected["clv_amount"].sum(), nan_ok=True)
    assert not Path("new/scorecard.xlsx").exists()
    assert "scorecard.xlsx" not in capsys.readouterr().out


def test_the_demo_is_a_newcomers_first_command(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["demo"]) == DONE
    out, err = capsys.readouterr()
    assert "600 customers, as of 2018-01-02" in out
    assert "513,470 received, 513,470 kept" in out
    assert "Then your own customers: crmlytics look FILE" in out
    before = contents(tmp_path / "crmlytics-report")
    assert main(["demo"]) == REFUSED
    assert "has results already (report.html" in (err := capsys.readouterr().err)
    assert "Add --force to replace them, or --out with another folder." in err
    assert contents(tmp_path / "crmlytics-report") == before


def test_online_retail_adds_up(shared_data, tmp_path, capsys):
    words = ["--customer-id", "CustomerID", "--order-id", "InvoiceNo", "--timestamp", "InvoiceDate", "--product-id"]
    words += ["StockCode", "--quantity", "Quantity", "--unit-price", "UnitPrice", "--no-excel", "--out", str(tmp_path)]
    assert main(["score", str(shared_data / "online_retail.parquet"), *words]) == DONE
    audit = pd.read_csv(tmp_path / "audit.csv", encoding="utf-8-sig")
    assert audit["lines"][0] == 541_909
    assert audit["lines"][1:].sum() == 541_909
    assert audit["amount"][0] == pytest.approx(9_747_747.934, abs=1e-3)
    assert audit["amount"][1:].sum() == pytest.approx(9_747_747.934, abs=1e-3)
    scores = pd.read_parquet(tmp_path / "scorecard.parquet")
    assert scores["total_amount"].sum() == pytest.approx(audit["amount"][1])
    assert scores["customer_id"].dtype == "Int64"
    assert "as of 2011-12-10, the day after the last purchase (else give --as-of)" in capsys.readouterr().err


def test_german_export_with_decimal_comma_dates_and_euro_signs(orders, tmp_path, capsys):
    day = orders["timestamp"].dt.strftime("%d.%m.%Y %H:%M")
    money = orders["amount"].map(lambda value: f"{value:.2f} €".replace(".", ","))
    columns = {"Kunde": orders["customer_id"], "Bon": orders["order_id"], "Datum": day, "Betrag": money, "Größe": "x"}
    path = tmp_path / "umsätze.csv"
    pd.DataFrame(columns).to_csv(path, sep=";", index=False, encoding="cp1252")
    words = ["--customer-id", "Kunde", "--order-id", "Bon", "--timestamp", "Datum", "--amount", "Betrag"]
    assert main(["score", str(path), *words, "--out", str(tmp_path / "out"), "--no-excel"]) == DONE
    out, err = capsys.readouterr()
    assert """dates in 'Datum' are read as "%d.%m.%Y %H:%M" (else give --timestamp-format)""" in err
    assert "numbers in 'Betrag' are read without their unit, '€'" in err
    assert "customer_id in these files is your column 'Kunde'" in out
    scores = pd.read_parquet(tmp_path / "out" / "scorecard.parquet")
    kept = orders.dropna(subset="customer_id")
    assert scores["total_amount"].sum() == pytest.approx(kept["amount"].sum())
    assert len(scores) == kept["customer_id"].nunique()


def test_chinese_ids_and_names_in_gb18030_come_through(orders, tmp_path, capsys):
    names = {"customer_id": "客户编号", "order_id": "订单号", "timestamp": "下单时间", "amount": "金额"}
    table = orders[list(names)].rename(columns=names).dropna()
    table["客户编号"] = "客" + table["客户编号"].astype(str)
    path = tmp_path / "订单.csv"
    table.to_csv(path, index=False, encoding="gb18030")
    words = [word for role, name in names.items() for word in (f"--{role.replace('_', '-')}", name)]
    assert main(["score", str(path), *words, "--out", str(tmp_path / "结果")]) == DONE
    content = (tmp_path / "结果" / "scorecard.csv").read_bytes()
    assert content.startswith(BOM)
    assert set(table["客户编号"]) == {line.split(",")[0] for line in content.decode("utf-8-sig").splitlines()[1:]}
    assert "your column '客户编号'" in capsys.readouterr().out


def test_a_handful_of_customers_gets_a_report_without_a_forecast(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("few.csv").write_text("\n".join([HEADER, *LINES]) + "\n")
    assert main(["score", "few.csv", *NAMED]) == DONE
    out = capsys.readouterr().out
    assert "2 customers, as of 2024-02-02" in out
    assert "not estimated: too few customers bought again (see guide.csv)" in out
    assert "not possible: the history is too short" in out
    assert main(["score", "few.csv", *NAMED, "--as-of", "2024-02-01", "--force"]) == DONE  # b bought as it began
    out, err = capsys.readouterr()
    assert "1 customer, as of 2024-02-01" in out
    assert "lines on or after 2024-02-01 are not used (1)" in err


@pytest.mark.parametrize(
    ("expected", "came", "verdict"),
    [(75.0, 100.0, "expected 75.00; 100 came (25 % too low)"), (150.0, 100.0, "expected 150; 100 came (50 % too high)"),
     (100.4, 100.0, "expected 100; 100 came\n"), (5.0, 0.0, "expected 5.00; 0.00 came\n")],
)  # fmt: skip
def test_the_summary_says_how_the_forecast_did(sales, stand_ins, capsys, expected, came, verdict):
    names = ["expected_revenue_amount", "actual_revenue_amount"]
    rows = pd.DataFrame({"name": names, "value": [expected, came], "meaning": ["", ""]})
    object.__setattr__(stand_ins, "evaluation", rows)
    assert main(["score", sales]) == DONE
    assert f"made 90 days earlier, this forecast {verdict}" in capsys.readouterr().out


# --- nothing is overwritten, nothing is half there ---------------------------------------------------------------


@pytest.mark.usefixtures("sales")
def test_results_that_are_there_are_kept_without_force_before_anything_is_read(tmp_path, capsys, monkeypatch):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "audit.csv").write_text("mine")
    monkeypatch.setattr(cli, "_look", None)
    assert main(["score", "not there.csv", "--out", "out"]) == REFUSED
    out, err = capsys.readouterr()
    assert err == (
        "crmlytics: --out out: the folder has results already (audit.csv). Add --force to replace them, or --out with "
        "another folder.\n"
    )
    assert not out
    assert contents(tmp_path / "out") == {"audit.csv": b"mine"}


@pytest.mark.usefixtures("stand_ins")
def test_force_replaces_results_and_nothing_else(sales, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "scorecard.xlsx").write_text("of an older run")
    (out / "report.html").write_text("old")
    (out / "notes.txt").write_text("mine")
    assert main(["score", sales, "--out", "out", "--force", "--no-excel"]) == DONE
    there = contents(out)
    assert there["notes.txt"] == b"mine"
    assert there["report.html"] == b"<!DOCTYPE html>"
    assert sorted(there) == sorted({*FILES, "notes.txt"} - {"scorecard.xlsx"})  # a stale one would mislead


@pytest.mark.parametrize(
    "failure", [RuntimeError("no ink"), KeyboardInterrupt(), CrmlyticsError("no"), OSError(28, "full")]
)
@pytest.mark.parametrize("exists", [True, False])
@pytest.mark.usefixtures("stand_ins")
def test_a_step_that_fails_leaves_the_old_results(sales, tmp_path, monkeypatch, capsys, failure, exists):
    out = tmp_path / "out"
    if exists:
        out.mkdir()
        (out / "report.html").write_text("old")

    def fail(_, path, **__):
        path.write_text("half")
        raise failure

    monkeypatch.setattr(report, "write_report", fail)
    code = main(["score", sales, "--out", "out", "--force"])
    assert code == {KeyboardInterrupt: STOPPED, CrmlyticsError: REFUSED}.get(type(failure), UNEXPECTED)
    assert sorted(file.name for file in tmp_path.iterdir()) == (["out"] if exists else []) + ["sales.parquet"]
    assert not exists or contents(out) == {"report.html": b"old"}
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert isinstance(failure, CrmlyticsError) or "othing was written." in err


def test_files_that_cannot_take_their_place_are_all_taken_back(tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    for name in ("report.html", "audit.csv"):
        (out / name).write_text(f"old {name}")
    replace = type(out).replace

    def replace_but_not_audit(self, target):
        if target == out / "audit.csv" and self.read_text() == "new audit.csv":
            raise PermissionError(13, "Permission denied", str(target))
        return replace(self, target)

    monkeypatch.setattr(type(out), "replace", replace_but_not_audit)
    folder = OutputFolder(out, force=True)

    def fill():
        with folder.filled() as new:
            for name in FILES:
                (new / name).write_text(f"new {name}")

    with pytest.raises(CrmlyticsError, match=r"what was there is unchanged\. Is one of the files open"):
        fill()
    assert contents(out) == {"report.html": b"old report.html", "audit.csv": b"old audit.csv"}


@pytest.mark.skipif(os.name == "nt", reason="permissions are those of POSIX")
@pytest.mark.usefixtures("stand_ins")
def test_a_new_folder_is_as_open_as_any_other(sales, tmp_path):
    assert main(["score", sales, "--out", "out"]) == DONE
    (tmp_path / "other").mkdir()
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize(
    ("make", "words", "text"),
    [
        (lambda p: (p / "out").write_text(""), ["sales.parquet", "--out", "out"], r"'.*out' is a file, not a folder"),
        (lambda p: (p / "out").write_text(""), ["sales.parquet", "--out", "out/a"], r"'.*out' is a file, not a folder"),
        (lambda p: (p / "out/audit.csv").mkdir(parents=True), ["sales.parquet", "--out", "out", "--force"],
         r"'audit.csv' in it is a folder"),
        (lambda p: (p / "guide.csv").write_text("a"), ["guide.csv", "--out", ".", "--force"],
         r"'guide.csv' in it is the file to be read"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("sales")
def test_refuses_a_folder_that_cannot_be(tmp_path, capsys, make, words, text):
    make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    assert main(["score", *words]) == REFUSED
    assert re.search(text, capsys.readouterr().err)
    assert sorted(tmp_path.rglob("*")) == before


# --- mistakes, each with its own words ---------------------------------------------------------------------------


@pytest.fixture
def refused(tmp_path, monkeypatch, capsys):
    """Score a small file, expect a refusal, and return what was said last on stderr."""
    monkeypatch.chdir(tmp_path)

    def score(words, lines=LINES, header=HEADER):
        (tmp_path / "orders.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
        assert main(["score", *words]) == REFUSED
        assert sorted(file.name for file in tmp_path.iterdir()) == ["orders.csv"]
        out, err = capsys.readouterr()
        assert not out
        return err.splitlines()[-1]

    return score


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["ordres.csv"], "ordres.csv: no such file. Did you mean 'orders.csv'?"),
        (["orders.csv", *NAMED[:7], "Totl"],
         ("--amount 'Totl': orders.csv has no such column. Did you mean 'Total'? Columns: ['Client', 'Invoice', 'Day', "
         "'Total']")),
        (["orders.csv", *NAMED[2:]],
         ("orders.csv: say which columns to use: --customer-id (who bought: an id, as whole numbers or text). Likely: "
         "--customer-id Client. Columns: ['Client', 'Invoice', 'Day', 'Total']. The whole command: crmlytics look "
         "orders.csv")),
        (["orders.csv", *NAMED, "--returns", "match"],
         ("orders.csv: say which columns to use: --product-id (what was bought), --quantity (number of units, negative "
         "for returns). Columns: ['Client', 'Invoice', 'Day', 'Total']. The whole command: crmlytics look orders.csv")),
        (["orders.csv", *NAMED[:6], "--amount", "Client"],
         "column 'Client' was given to --customer-id and --amount. Name one column for each."),
        (["orders.csv", *NAMED[:4], "--timestamp", "Total", *NAMED[6:]],
         "column 'Total' was given to --timestamp and --amount. Name one column for each."),
        (["orders.csv", *NAMED, "--timestamp-format", "%d.%m.%Y", "--time-zone", "Europe/Paris"],
         "--time-zone 'Europe/Paris' is for moments that carry a zone; ['Day'] do not."),
        (["orders.csv", *NAMED, "--as-of", "2024-01-31"],
         "--as-of 2024-01-31: no purchase lies before it; the first is of 2024-01-31, the last of 2024-02-01."),
        (["orders.csv", *NAMED, "--as-of", "31.1.2024"],
         ("--as-of must be a date such as --as-of \"2011-12-10\", got '31.1.2024' (year-month-day is the only text "
         "that is read).")),
        (["orders.csv", *NAMED, "--horizon", "3m"],
         ("--horizon must be a duration in days or weeks such as --horizon \"90d\" or \"12w\", got '3m'. Months differ "
         "in length: write 30d or 91d. The longest is 36525d.")),
        (["orders.csv", *NAMED, "--margin", "30"],
         "--margin '30': expected a share between 0 and 1, such as 0.3 or 30%. Did you mean 30%?"),
        (["orders.csv", *NAMED, "--margin", "much"], "--margin 'much': expected a share such as 0.3 or 30%."),
    ],
)  # fmt: skip
def test_says_what_is_wrong_and_what_to_type(refused, words, said):
    assert refused(words) == f"crmlytics: {said}"


@pytest.mark.parametrize(
    ("lines", "words", "said"),
    [
        (["a,1,3/4/2024,5", "b,2,5/6/2024,7"], [],
         ("--timestamp: 'Day' can be read in two ways: '3/4/2024' is 2024-04-03 by '%d/%m/%Y' and 2024-03-04 by "
         "'%m/%d/%Y'. Say which, e.g. --timestamp-format \"%d/%m/%Y\".")),
        (["a,1,3/4/2024,5", "b,2,5/6/2024,7"], ["--timestamp-format", "%Y-%m-%d"],
         "--timestamp: no value of 'Day' is written as '%Y-%m-%d', e.g. ['3/4/2024', '5/6/2024']."),
        (["a,1,3/4/2024,5", "b,2,5/6/2024,7"], ["--timestamp-format", "%d/%m/%Q"],
         "--timestamp: --timestamp-format '%d/%m/%Q': 'Q' is a bad directive in format '%d/%m/%Q'."),
        (["a,1,2024-01-31T10:00:00Z,5", "b,2,2024-02-01T10:00:00Z,7"], [],
         ("--timestamp 'Day': the moments carry a time zone (UTC). Say in which zone a day begins for you, such as "
         '--time-zone "Europe/London".')),
        (["a,1,2024-01-31,five", "b,2,2024-02-01,six"], [],
         "--amount: 'Total' holds text, expected numbers, e.g. ['five', 'six']. Is this the right column?"),
        (["a,1,2024-01-31,$5", "b,2,2024-02-01,£6"], [],
         "--amount: 'Total' has numbers in several units, ['$', '£']; convert them to one in the file."),
        (["1.5,1,2024-01-31,5", "2.5,2,2024-02-01,6"], [],
         "--customer-id 'Client': ids must be whole numbers or text, got 1.5. Is this the right column?"),
        ([",1,2024-01-31,5", ",2,2024-02-01,6"], [], "every line has 'no customer': check --customer-id 'Client'."),
        (["a,1,2024-01-31,5", "b,2,2924-02-01,6"], [],
         ("the last purchase is dated 2924-02-01, which is yet to come. Correct the date in the file, or say which day "
         "to describe from, such as --as-of 2024-07-01: what lies on or after it is not used.")),
        (["a,1,2024-01-31,5,9", "b,2,2024-02-01,6"], [],
         ("orders.csv, line 2: 5 fields where the header has 4 (separator ','): 'a,1,2024-01-31,5,9'. Put quotes "
         "around text that contains the separator.")),
        ([], [], "orders.csv: the file has no lines below its header ['Client', 'Invoice', 'Day', 'Total']."),
    ],
)  # fmt: skip
def test_says_what_is_wrong_with_the_file(refused, lines, words, said):
    last = refused(["orders.csv", *NAMED, *words], lines)
    assert last == f"crmlytics: {said}"


@pytest.mark.usefixtures("stand_ins")
def test_mixed_currencies_are_refused_and_one_stands_at_the_amounts(refused, tmp_path, capsys):
    header, words = f"{HEADER},Cur", ["orders.csv", *NAMED, "--currency", "Cur"]
    mixed = ["a,1,2024-01-31,5,EUR", "b,2,2024-02-01,6,USD"]
    assert "--currency 'Cur': amounts must be in one currency, got ['EUR', 'USD']" in refused(words, mixed, header)
    (tmp_path / "orders.csv").write_text("\n".join([header, mixed[0], mixed[1].replace("USD", "EUR")]) + "\n")
    assert main(["score", *words]) == DONE
    assert "40.00 EUR in 3 orders" in capsys.readouterr().out


@pytest.mark.usefixtures("stand_ins")
def test_a_few_bad_dates_and_numbers_are_set_aside_and_counted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = [f"c{i},{i},{1 + i % 28}.02.2024,{i},5" for i in range(1, 31)]
    lines += ["x,31,soon,5,5", "y,32,01.02.2024,gift,5"]
    (tmp_path / "orders.csv").write_text("\n".join([f"{HEADER},cost", *lines]) + "\n")
    assert main(["score", "orders.csv", *NAMED]) == DONE
    audit = pd.read_csv("crmlytics-report/audit.csv", encoding="utf-8-sig").set_index("reason")["lines"]
    assert audit[["received", "kept", "no date", "not finite"]].tolist() == [32, 30, 1, 1]
    err = capsys.readouterr().err
    assert "values in 'Total' that are no numbers, e.g. ['gift'], are taken as missing (1)" in err
    assert "2 of 32 lines set aside (no date 1, not finite 1). audit.csv lists them all." in err


def test_exact_duplicates_and_moments_with_a_zone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = ["a,1,2024-01-31T23:30:00Z,5,x", "a,1,2024-01-31T23:30:00Z,5,x", "a,1,2024-01-31T23:30:00Z,5,y"]
    Path("orders.csv").write_text("\n".join([f"{HEADER},Note", *lines]) + "\n")
    assert main(["score", "orders.csv", *NAMED, "--duplicates", "set_aside", "--time-zone", "Europe/Berlin"]) == DONE
    assert "1 customer, as of 2024-02-02" in capsys.readouterr().out  # bought on 1 February in Berlin
    audit = pd.read_csv("crmlytics-report/audit.csv", encoding="utf-8-sig").set_index("reason")["lines"]
    assert audit[["received", "kept", "exact duplicate"]].tolist() == [3, 2, 1]


def test_asks_for_the_money_with_the_columns_that_make_it(refused):
    last = refused(["orders.csv", *NAMED[:6]], ["a,1,2024-01-31,5,2"], "Client,Invoice,Day,Menge,Preis")
    asked = "--amount (the money of the line; not needed if quantity and unit price are given)"
    assert f"say which columns to use: {asked}. Likely: --quantity Menge --unit-price Preis." in last


@pytest.mark.usefixtures("stand_ins")
def test_too_little_memory_is_said(sales, monkeypatch, capsys):
    def fail(*_, **__):
        raise MemoryError

    monkeypatch.setattr(scorecard, "score_customers", fail)
    assert main(["score", sales]) == UNEXPECTED
    assert "the memory of this machine is not enough" in capsys.readouterr().err


@pytest.mark.usefixtures("stand_ins")
def test_an_empty_name_leaves_a_column_unused(sales, orders, capsys):
    orders.assign(currency=["EUR", *["USD"] * (len(orders) - 1)]).to_parquet("sales.parquet")
    assert main(["score", sales]) == REFUSED
    assert "got ['EUR', 'USD']" in capsys.readouterr().err
    assert main(["score", sales, "--currency", ""]) == DONE


@pytest.mark.usefixtures("stand_ins")
def test_without_openpyxl_all_but_the_workbook_is_written(sales, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("crmlytics._cli.job.find_spec", lambda _: None)
    assert main(["score", sales]) == DONE
    assert sorted(contents(tmp_path / "crmlytics-report")) == sorted({*FILES} - {"scorecard.xlsx"})
    out, err = capsys.readouterr()
    assert f"scorecard.xlsx is left out: it needs openpyxl; type: {sys.executable} -m pip install openpyxl" in err
    assert err.count("openpyxl") == 2  # one line
    assert "scorecard.xlsx" not in out


@pytest.mark.usefixtures("stand_ins")
def test_quiet_says_nothing_but_notes(sales, capsys):
    assert main(["score", sales, "--quiet", "--as-of", "2030-01-01"]) == DONE
    out, err = capsys.readouterr()
    assert not out
    assert all(line.startswith("  note: ") for line in err.splitlines())


@pytest.mark.usefixtures("stand_ins")
def test_something_unexpected_is_one_line_unless_the_traceback_is_asked_for(sales, monkeypatch, capsys):
    def fail(*_, **__):
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(scorecard, "score_customers", fail)
    assert main(["score", sales]) == UNEXPECTED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("crmlytics: unexpected ZeroDivisionError: by zero. Nothing was written.")
    with pytest.raises(ZeroDivisionError):
        main(["score", sales, "--traceback"])


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["scor"], "crmlytics: argument COMMAND: invalid choice: 'scor'"),
        (["score"], "crmlytics score: the following arguments are required: FILE"),
        (["score", "f.csv", "--custmer-id", "a"], "not understood: --custmer-id a. Did you mean '--customer-id'?"),
        (["score", "f.csv", "--returns", "drop"], "crmlytics score: argument --returns: invalid choice: 'drop'"),
        (["score", "f.csv", "--customer", "a"], "not understood: --customer a. Did you mean '--customer-id'?"),
    ],
)
def test_what_is_not_understood_leaves_with_2_and_points_to_the_help(words, said, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(words)
    err = capsys.readouterr().err
    assert said in err
    assert err.endswith("--help\n")


def test_without_a_command_the_help_is_shown(capsys):
    assert main([]) == REFUSED
    assert "crmlytics look sales.csv" in capsys.readouterr().err


def test_every_role_of_the_contract_is_an_option():
    assert set(ROLES) == {field.name for field in fields(Transactions) if "kind" in field.metadata}


def test_messages_of_the_library_are_said_as_options():
    assert as_typed("Transactions(order_id='No'): what?") == "--order-id 'No': what?"
    assert as_typed("a.csv: is there already; force=True (--force)") == "a.csv: is there already; --force"
    assert as_typed("costs=3 and x=timestamp") == "costs=3 and x=timestamp"


# --- what a newcomer's files need --------------------------------------------------------------------------------


def test_thousands_are_asked_for_and_the_answer_is_taken(refused, tmp_path, capsys):
    header, lines = HEADER.replace(",", ";"), ["a;1;2024-01-31;1.250 €", "b;2;2024-02-01;400 €"]
    last = refused(["orders.csv", *NAMED], lines, header)
    assert last.startswith("crmlytics: --amount: 'Total' can be read in two ways: 1.250 can be 1250 or 1.25. Say which")
    assert last.endswith("--decimal , or --decimal .")
    assert main(["look", "orders.csv"]) == DONE
    out = capsys.readouterr().out
    assert "numbers, in doubt" in out
    assert "--decimal SIGN" in out
    (tmp_path / "orders.csv").write_text(f"{header};Preis\n{lines[0]};1,5\n{lines[1]};2,5\n")
    assert loaded("orders.csv", *NAMED)["Total"].tolist() == [1250, 400]  # another column settles it
    (tmp_path / "orders.csv").write_text("\n".join([header, *lines]))
    assert loaded("orders.csv", *NAMED, "--decimal", ",")["Total"].tolist() == [1250, 400]
    assert loaded("orders.csv", *NAMED, "--decimal", ".")["Total"].tolist() == [1.25, 400]


def loaded(*words):
    """Load as the command does, and return the lines kept."""
    return load_transactions(parse(["score", *words]), Steps(quiet=True)).data


@pytest.mark.usefixtures("stand_ins")
def test_a_text_file_is_said_to_be_read_as_unless_quiet(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_bytes("\n".join([HEADER + ",Straße", *[f"{line},1" for line in LINES]]).encode("cp1252"))
    assert main(["score", "a.csv", *NAMED]) == DONE
    assert "note: read as Windows-1252, separator ',', decimal '.'\n" in capsys.readouterr().err
    assert main(["score", "a.csv", *NAMED, "--quiet", "--force"]) == DONE
    assert "read as" not in capsys.readouterr().err


@pytest.mark.usefixtures("stand_ins")
def test_without_orders_a_day_of_a_customer_is_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    lines = ["a,1,2024-01-31 09:00,5", "a,2,2024-01-31 18:00,5", "a,3,2024-02-01 09:00,5", "b,4,2024-01-31 09:00,5"]
    Path("a.csv").write_text("\n".join([HEADER, *lines]))
    words = [*NAMED[:2], *NAMED[4:]]
    assert loaded("a.csv", *words)["order_id"].tolist() == [0, 0, 1, 2]
    assert main(["score", "a.csv", *words]) == DONE
    err = capsys.readouterr().err
    assert "all that a customer bought on one day counts as one order (likely: --order-id Invoice)" in err


def test_a_day_of_a_customer_begins_in_the_zone_given(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text(f"{HEADER}\na,1,2024-01-31T22:30:00Z,5\na,2,2024-01-31T23:30:00Z,5\n")
    words = [str(path), *NAMED[:2], *NAMED[4:], "--time-zone"]
    assert loaded(*words, "Europe/Berlin")["order_id"].tolist() == [0, 1]
    assert loaded(*words, "UTC")["order_id"].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--timestamp-format", "dd/mm/yyyy"],
         "--timestamp: --timestamp-format 'dd/mm/yyyy': write it as \"%d/%m/%Y\"."),
        (["--timestamp-format", "YYYY-MM-DD HH:mm"],
         "--timestamp: --timestamp-format 'YYYY-MM-DD HH:mm': write it as \"%Y-%m-%d %H:%M\"."),
        ([], ("--timestamp: 3 of 12 values of 'Day' can't be read as \"%d/%m/%Y\", e.g. ['00/00/0000']. Write all "
              "dates in one way in the file (an empty cell means that there is none), or give the format that most of "
              "them have with --timestamp-format.")),
        (["--horizon", "99999999999d"], None),
        (["--horizon", "9" * 5000 + "d"], None),
        (["--sheet", "X"], "orders.csv: --sheet 'X' is for Excel workbooks, and this is a text file; leave it out."),
    ],
)  # fmt: skip
def test_says_what_to_type_instead_of(refused, words, said):
    lines = [f"a,{day},{day + 12}/01/2024,5" for day in range(1, 10)] + ["a,1,00/00/0000,5"] * 3
    last = refused(["orders.csv", *NAMED, *words], lines)
    if said is None:
        assert re.search(r"--horizon.*(longest is 36525d|longer than 100 years)", last)
        assert len(last) < 300
    else:
        assert last == f"crmlytics: {said}"


@pytest.mark.usefixtures("stand_ins")
def test_a_horizon_longer_than_the_history_is_noted_and_its_label_has_room(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("a.csv").write_text("\n".join([HEADER, *LINES]))
    assert main(["score", "a.csv", *NAMED, "--horizon", "5000d"]) == DONE
    out, err = capsys.readouterr()
    assert "the horizon of 5,000 days is longer than the history of 2 days" in err
    assert "next 5000 days  1 of them expected" in out


def test_customers_with_returns_only_are_no_buyers(sales, stand_ins, capsys):
    scores = pd.concat([stand_ins.scores, stand_ins.scores.tail(1).assign(customer_id="c", order_count=0)])
    object.__setattr__(stand_ins, "scores", scores)
    assert main(["score", sales]) == DONE
    out = capsys.readouterr().out
    assert "3 customers (1 of them with returns only)" in out
    assert "50 % of the customers ordered again" in out
    assert "Champions: 1 customer (33 %)" in out


def test_columns_are_listed_up_to_ten(refused):
    header = ",".join(f"c{place}" for place in range(30))
    last = refused(["orders.csv"], [",".join(["x"] * 30)], header)
    assert "'c9', ... (30 columns)]" in last
    assert "c10" not in last


# --- look --------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("stand_ins")
def test_look_shows_the_columns_and_the_command_that_then_works(orders, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {
        "customer_id": "客户编号",
        "order_id": "订单号",
        "timestamp": "日期",
        "quantity": "数量",
        "unit_price": "单价",
    }
    table = orders[list(names)].rename(columns=names).assign(备注=None)
    table["日期"] = table["日期"].dt.strftime("%Y/%m/%d")
    table.to_csv("my orders.csv", index=False, encoding="gb18030")
    assert main(["look", "my orders.csv"]) == DONE
    out = capsys.readouterr().out
    assert f"my orders.csv: {len(orders):,} lines, 6 columns" in out
    assert "dates (yyyy/mm/dd)" in out
    (command,) = [line.strip() for line in out.splitlines() if line.startswith("  crmlytics score")]
    words = [word for role, name in names.items() for word in (f"--{role.replace('_', '-')}", name)]
    assert shlex.split(command) == ["crmlytics", "score", "my orders.csv", *words]
    assert main(shlex.split(command)[1:]) == DONE


def test_look_says_what_is_left_to_fill_in(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("when,value,thing\n3/4/2024,1,a\n5/6/2024,2,b\n")
    assert main(["look", str(path)]) == DONE
    out = capsys.readouterr().out
    assert "No column looks like customer_id: put its name" in out
    assert "without --order-id, one day of a customer counts as one order" in out
    path.write_text("customer,invoice,date,total\na,1,3/4/2024,1\nb,2,5/6/2024,2\n")
    assert main(["look", str(path)]) == DONE
    out = capsys.readouterr().out
    assert "--amount total --timestamp-format FORMAT" in out
    assert 'The dates can be read in two ways: put "%d/%m/%Y" or "%m/%d/%Y"' in out


def test_look_goes_by_the_values_where_names_say_nothing(tmp_path, capsys):
    path = tmp_path / "a.csv"
    path.write_text("Buyer;Wann;Was;Beleg\na;31.01.2024;15,37 €;A1\nb;01.02.2024;3 €;A2\n")
    assert main(["look", str(path)]) == DONE
    out = capsys.readouterr().out
    assert re.search(r"Beleg +text .* order_id\n", out)
    assert re.search(r"Wann +dates \(dd\.mm\.yyyy\) .* timestamp\n", out)
    assert re.search(r"Was +numbers with € .* amount\n", out)
    assert "read as UTF-8, separator ';', decimal ','" in out
    path.write_text("cust,date,dollar_value\n1,2024-01-31T10:00:00Z,2.5\n2,2024-02-01T10:00:00Z,3.5\n")
    assert main(["look", str(path)]) == DONE
    out = capsys.readouterr().out
    assert "--timestamp date --amount dollar_value --time-zone ZONE" in out
    assert "The moments carry a time zone (UTC): put that in which a day begins for you, such as Europe/London" in out


def test_look_names_the_other_sheets(tmp_path, capsys):
    sheets = {"one": pd.DataFrame({"a": [1]}), "two": pd.DataFrame({"b": [1]})}
    path = write_sheets(sheets, tmp_path / "t.xlsx")
    assert main(["look", str(path)]) == DONE
    assert "sheet 'one'; other sheets, for --sheet: ['two']" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("columns", "roles"),
    [
        ({"InvoiceNo": ["5", "6"], "StockCode": ["a", "b"], "Quantity": [1, 2], "UnitPrice": [1.5, 2.5],
          "CustomerID": [1.0, None], "InvoiceDate": pd.to_datetime(["2024-01-01", "2024-01-02"])},
         {"customer_id": "CustomerID", "order_id": "InvoiceNo", "timestamp": "InvoiceDate", "product_id": "StockCode",
          "quantity": "Quantity", "unit_price": "UnitPrice"}),
        ({"household_id": [1], "basket_id": [2], "sales_value": [2.5], "week": [3],
          "transaction_timestamp": pd.to_datetime(["2024-01-01"])},
         {"customer_id": "household_id", "order_id": "basket_id", "timestamp": "transaction_timestamp",
          "amount": "sales_value"}),
        ({"member": ["a"], "Price": [2.5], "x": pd.to_datetime(["2024-01-01"])},
         {"customer_id": "member", "timestamp": "x", "amount": "Price"}),
        ({"customer": [1.5, 2.5], "amount": ["many", "few"], "date": ["soon", "late"]}, {}),
    ],
)  # fmt: skip
def test_guesses_roles_by_name_and_kind(columns, roles):
    assert guess_roles(pd.DataFrame(columns)) == roles


# --- the process -------------------------------------------------------------------------------------------------


def run(*words, **options):
    command = [sys.executable, "-m", "crmlytics", *words]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False, **options)


def test_version_and_help_are_quick_because_nothing_heavy_is_imported():
    done = run("--version")
    assert (done.returncode, done.stdout) == (DONE, f"crmlytics {crmlytics.__version__}\n")
    code = (
        "import sys, crmlytics.cli as cli\n"
        "try: cli.main(['score', '--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'numpy', 'pandas', 'narwhals', 'pyarrow', 'matplotlib', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n")
    assert "crmlytics look FILE" in done.stdout


def test_a_terminal_without_the_characters_is_no_reason_to_fail(tmp_path):
    path = tmp_path / "订单.csv"
    path.write_text("客户编号,金额\n张三,5\n李四,6\n", encoding="utf-8")
    done = run("look", str(path), env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (DONE, "")
    assert "customer_id" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.usefixtures("sales")
def test_ctrl_c_stops_with_130_and_leaves_nothing(tmp_path):
    code = (
        "import sys, time, crmlytics.scorecard as s\n"
        "s.score_customers = lambda *a, **k: (print('now', flush=True), time.sleep(60))\n"
        "from crmlytics.cli import main\n"
        "sys.exit(main(['score', 'sales.parquet']))"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", code], **pipes) as process:
        assert process.stdout.readline() == "now\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert process.returncode == STOPPED
    assert err.splitlines()[-1] == "crmlytics: stopped; nothing was written."
    assert [file.name for file in tmp_path.iterdir()] == ["sales.parquet"]


@pytest.mark.skipif(os.name == "nt", reason="pipes are those of POSIX")
def test_a_reader_that_has_seen_enough_is_no_fault(sales):
    with subprocess.Popen(
        [sys.executable, "-m", "crmlytics", "look", sales], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        err = process.stderr.read()
    assert (process.returncode, err) == (DONE, b"")


# --- what the command line added to the files --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cells", "numbers", "unit", "unreadable"),
    [
        (["1,50 €", "1.000,00 €", "-2 €"], [1.5, 1000.0, -2.0], "€", []),
        (["$1,234.50", "-$5", "$-3"], [1234.5, -5.0, -3.0], "$", []),
        (["EUR 5", "EUR 1 000"], [5.0, 1000.0], "EUR", []),
        (["(40.00)", "\u221240.00", "15.37-", "7.25"], [-40.0, -40.0, -15.37, 7.25], "", []),
        (["($12.00)", "-$5", "$-5", "$(3.10)", "(3.00) $", "7 USD"], [-12.0, -5.0, -5.0, -3.1, -3.0, 7.0], "$", []),
        (["12,00- €", "\u20133,50 €", "5 EUR"], [-12.0, -3.5, 5.0], "€", []),
        (["CHF 1\u2019537.00", "CHF 12.\u2013", "CHF -3.50"], [1537.0, 12.0, -3.5], "CHF", []),
        (["£5.5", "GBP 1\u00a0000", "gbp 2"], [5.5, 1000.0, 2.0], "£", []),
        ([*["2"] * 9, "-(5)"], [2.0] * 9 + [None], "", ["-(5)"]),
        ([*["2"] * 9, "5 %"], [2.0] * 9 + [None], "", ["5 %"]),
        ([*["2"] * 9, "two", "n/a", None], [2.0] * 9 + [None] * 3, "", ["two"]),
    ],
)
def test_numbers_with_a_unit_or_a_few_words_are_read(cells, numbers, unit, unreadable):
    parsed = parse_numbers(pd.Series(cells))
    assert parsed.numbers.astype(object).where(parsed.numbers.notna(), None).tolist() == numbers
    assert (parsed.unit, parsed.unreadable.tolist()) == (unit, unreadable)


@pytest.mark.parametrize("cells", [["1.250 €", "400 €", "2.300 €"], ["1,250", "3,400"], ["(1.250)", "7"]])
def test_thousands_that_could_be_decimals_are_asked_for(cells):
    said = r"'Betrag' can be read in two ways: 1.250 can be 1250 or 1\.25\. Say .*: --decimal , or --decimal \."
    with pytest.raises(SchemaError, match=said):
        parse_numbers(pd.Series(cells, name="Betrag"))
    point = "." in cells[0]
    assert parse_numbers(pd.Series(cells), decimal="," if point else ".").numbers[0] in {1250, -1250}
    assert parse_numbers(pd.Series(cells), decimal="." if point else ",").numbers[0] in {1.25, -1.25}
    assert parse_numbers(pd.Series(cells), likely="," if point else ".").numbers[0] in {1250, -1250}
    settled = [*cells, "1.234,56"]
    assert parse_numbers(pd.Series(settled)).numbers[0] == (-1250 if "(" in cells[0] else 1250 if point else 1.25)


def test_a_column_of_words_is_not_one_of_numbers():
    with pytest.raises(SchemaError, match=r"'Name' holds text, expected numbers, e\.g\. \['Ann', 'Bob'\]"):
        parse_numbers(pd.Series(["Ann", "Bob", "3"], name="Name"))


def test_sheets_of_a_workbook(tmp_path):
    path = write_sheets({"one": pd.DataFrame({"a": [1]}), "two": pd.DataFrame({"b": ["=1+1"]})}, tmp_path / "t.xlsx")
    assert read_table(path, sheet="two")["b"].tolist() == ["=1+1"]
    assert read_table(path)["a"].tolist() == [1]
    with pytest.raises(CrmlyticsError, match="is there already"):
        write_sheets({}, path)
    with pytest.raises(SchemaError, match=r"must end with \.xlsx"):
        write_sheets({}, tmp_path / "t.csv")
    assert write_table(pd.DataFrame({"a": [1]}), path, force=True) == path
