"""The main job: a contract in, a folder with scorecard and report out."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlytics._cli.loading import load_transactions
from crmlytics._cli.outputs import OutputFolder
from crmlytics._validation import as_days, as_moment, check_fraction
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from crmlytics._cli.steps import Steps
    from crmlytics.scorecard import Scorecard
    from crmlytics.tables import Transactions

_EXCEL_ROWS = 1_048_575
_LONGEST_HORIZON = 36_525  # days
_LONGEST_TEXT = 20
_SLACK = dt.timedelta(days=2)  # a date may be ahead of this machine's clock by a time zone
_CALLER = "crmlytics"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the job has to tell at its end.

    Attributes
    ----------
    folder : Path
    files : list of names of the files written, the first to open first
    audit, scores, evaluation : pandas.DataFrame
        As they were written.
    as_of : datetime
    horizon_days : int
    currency : str
    customer_column : str
        What the file calls the customer.
    """

    folder: Path
    files: list[str]
    audit: pd.DataFrame
    scores: pd.DataFrame
    evaluation: pd.DataFrame
    as_of: dt.datetime
    horizon_days: int
    currency: str
    customer_column: str


def run(options: argparse.Namespace, steps: Steps) -> Outcome:
    """Check everything that can be checked, then load, score, report and put the results in place."""
    margin = _margin(options.margin)
    days = _horizon(options.horizon)
    as_of = None if options.as_of is None else as_moment(options.as_of, caller=_CALLER)
    folder = OutputFolder(Path(options.out), force=options.force)
    folder.check(reads=Path(options.file))
    with folder.filled() as staging:
        tx = load_transactions(options, steps)
        as_of = _settle_as_of(tx, as_of, steps)
        _note_long_horizon(tx, as_of, days, steps)
        currency = _currency(tx, options.currency_symbol)
        with steps.step("scoring the customers") as step:
            from crmlytics.scorecard import score_customers

            card = score_customers(tx, as_of=as_of, horizon=f"{days}d", margin=margin)
            step.result = f"{len(card.scores):,} customers"
        audit = tx.before(as_of).audit
        with steps.step("writing the report"):
            from crmlytics.report import write_report

            write_report(
                tx,
                staging / "report.html",
                as_of=as_of,
                horizon=f"{days}d",
                margin=margin,
                title=options.title,
                scorecard=card,
                currency=currency,
            )
        with steps.step("writing the tables"):
            _write_tables(card, audit, staging, steps, excel=not options.no_excel)
        files = sorted(file.name for file in staging.iterdir())
    return Outcome(
        folder.path, files, audit, card.scores, card.evaluation, as_of, days, currency, tx.sources["customer_id"]
    )


def _horizon(text: str) -> int:
    """Read ``90d``; nobody looks ahead further than a century, and dates end at some time."""
    days = as_days(text, caller=_CALLER) if len(text) <= _LONGEST_TEXT else _LONGEST_HORIZON + 1
    if days > _LONGEST_HORIZON:
        raise SchemaError(f"--horizon {text[:_LONGEST_TEXT]}: longer than 100 years; give a time such as 90d or 12w.")
    return days


def _note_long_horizon(tx: Transactions, as_of: dt.datetime, days: int, steps: Steps) -> None:
    moments = _kept_moments(tx)
    known = (as_of - moments[moments < as_of].min().to_pydatetime(warn=False)).days
    if days > known:
        steps.note(
            f"take the forecasts with caution: the horizon of {days:,} days is longer than the history of {known:,} "
            "days"
        )


def _margin(text: str | None) -> float | None:
    """Read ``0.3`` or ``30%``."""
    if text is None:
        return None
    number = text.strip().replace(",", ".")
    try:
        share = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError as error:
        raise SchemaError(f"--margin {text!r}: expected a share such as 0.3 or 30%.") from error
    if not 0 < share < 1:
        hint = f" Did you mean {text}%?" if 1 < share < 100 else ""
        raise SchemaError(f"--margin {text!r}: expected a share between 0 and 1, such as 0.3 or 30%.{hint}")
    return check_fraction(share, name="margin", caller=_CALLER)


def _settle_as_of(tx: Transactions, as_of: dt.datetime | None, steps: Steps) -> dt.datetime:
    """Take the day after the last purchase where no day is given, and refuse a day that leaves nothing."""
    moments = _kept_moments(tx)
    first, last = moments.min().to_pydatetime(warn=False), moments.max().to_pydatetime(warn=False)
    if as_of is None:
        as_of = dt.datetime.combine(last.date() + dt.timedelta(days=1), dt.time())
        if last > dt.datetime.now() + _SLACK:
            raise SchemaError(
                f"the last purchase is dated {last:%Y-%m-%d}, which is yet to come. Correct the date in the file, or "
                "say which day to describe from, such as --as-of 2024-07-01: what lies on or after it is not used."
            )
        steps.note(
            f"customers are described as of {as_of:%Y-%m-%d}, the day after the last purchase (else give --as-of)"
        )
    elif as_of <= first:
        raise SchemaError(
            f"--as-of {as_of:%Y-%m-%d}: no purchase lies before it; the first is of {first:%Y-%m-%d}, the last of "
            f"{last:%Y-%m-%d}."
        )
    later = int((moments >= as_of).sum())
    if later:
        steps.note(f"lines on or after {as_of:%Y-%m-%d} are not used ({later:,})")
    return as_of


def _kept_moments(tx: Transactions) -> Any:
    from crmlytics._frames import collect

    return collect(tx.need("timestamp", caller=_CALLER))["timestamp"].to_pandas()


def _currency(tx: Transactions, symbol: str | None) -> str:
    """Return what stands at amounts: what was asked for, else the one code of the currency column."""
    if symbol is not None or not tx.has("currency"):
        return symbol or ""
    from crmlytics._frames import collect

    codes = collect(tx.need("currency", caller=_CALLER))["currency"].drop_nulls().unique().to_list()
    return str(codes[0]) if len(codes) == 1 else ""


def _write_tables(card: Scorecard, audit: pd.DataFrame, staging: Path, steps: Steps, *, excel: bool) -> None:
    from crmlytics._files import write_sheets, write_table
    from crmlytics._files.excel import openpyxl_command

    sheets = {"scorecard": card.scores, "guide": card.guide, "evaluation": card.evaluation, "audit": audit}
    write_table(card.scores, staging / "scorecard.parquet")
    for name, table in sheets.items():
        write_table(table, staging / f"{name}.csv")
    if not excel:
        return
    if find_spec("openpyxl") is None:
        steps.note(f"scorecard.xlsx is left out: it needs openpyxl; type: {openpyxl_command()}")
    elif len(card.scores) > _EXCEL_ROWS:
        steps.note(f"scorecard.xlsx is left out: {len(card.scores):,} customers do not fit an Excel sheet")
    else:
        write_sheets(sheets, staging / "scorecard.xlsx")
