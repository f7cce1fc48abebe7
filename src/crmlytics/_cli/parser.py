"""What can be typed: the commands, their options, their help."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, NoReturn

import crmlytics
from crmlytics._validation import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEFAULT_FOLDER = "crmlytics-report"
NEEDED_ROLES = {
    "customer_id": "who bought: an id, as whole numbers or text",
    "timestamp": "when it was bought: dates or moments",
}
MONEY_ROLES = {
    "amount": "the money of the line; not needed if quantity and unit price are given",
    "quantity": "number of units, negative for returns",
    "unit_price": "price of one unit",
}
OTHER_ROLES = {
    "order_id": "which purchase a line belongs to; without it, one day of a customer is one order",
    "product_id": "what was bought",
    "category": "what kind of product",
    "list_price": "price of one unit before discounts",
    "discount_amount": "discount of the line",
    "cost": "what the line cost you",
    "currency": "the currency of the line; more than one is refused",
    "channel": "where it was bought",
    "partner_id": "through whom it was bought",
}
ROLES = NEEDED_ROLES | MONEY_ROLES | OTHER_ROLES

_ABOUT = "Analytical CRM: a file of purchases goes in; one scored row per customer and a report for people come out."
_EXAMPLES = """\
examples:
  crmlytics demo                      score and report 600 real households, in the folder crmlytics-report
  crmlytics look sales.csv            show the columns of a file, and the command that scores it
  crmlytics score sales.csv --customer-id Client --order-id Invoice --timestamp Date --amount Total

exit codes: 0 done; 1 something unexpected; 2 not understood, or refused (the message says what to type);
130 stopped with Ctrl-C
"""
_SCORE_EXAMPLES = """\
examples:
  crmlytics score online_retail.parquet --customer-id CustomerID --order-id InvoiceNo --timestamp InvoiceDate \\
      --product-id StockCode --quantity Quantity --unit-price UnitPrice --currency-symbol £ --out results
  crmlytics score umsatz.csv --customer-id Kunde --order-id Bon --timestamp Datum --amount Betrag \\
      --timestamp-format "%d.%m.%Y" --as-of 2024-07-01 --horizon 12w --margin 30%

A column that is called as its role (customer_id, order_id, ...) needs no option; --category "" leaves it unused.
Not sure which columns? Type: crmlytics look FILE
"""
_SCORE_ABOUT = """\
Score the customers of a file and write, all or nothing:
  report.html         the page to read, send or print
  scorecard.xlsx      one row per customer, with guide, evaluation and audit as further sheets (needs openpyxl)
  scorecard.csv       the same rows for any spreadsheet (UTF-8 with BOM), scorecard.parquet for programs
  guide.csv           what each column of the scorecard means, and how sure it is
  evaluation.csv      how such scores did on the past of these customers
  audit.csv           which lines were kept or set aside, and why; it adds up
"""
_HELP = {
    "as_of": "day described from, e.g. 2024-07-01; what lies on or after it is not used (the day after the last "
    "purchase if not given)",
    "margin": "share of an amount that is profit, 0.3 or 30%%; turns expected revenue into customer lifetime value",
    "returns": "returns stay as negative lines, go together with their original, or go (%(default)s)",
    "duplicates": "lines equal in every column of the file (%(default)s)",
    "timestamp_format": 'how dates in text are written, e.g. "%%d/%%m/%%Y %%H:%%M"; found out if not given, unless two '
    "readings are possible",
    "decimal": "the sign before the decimals of numbers in text; found out if not given, unless two readings are "
    "possible (1.250)",
    "time_zone": "where a day begins for you, e.g. Europe/London; needed for moments with a time zone",
}


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line: what is wrong, and where the help is."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and leave with code 2."""
        self.exit(2, f"{self.prog}: {message}\nSee: {self.prog} --help\n")


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read what was typed; a misspelt option is answered with the likeliest one."""
    parser = build_parser()
    options, unknown = parser.parse_known_args(argv)
    if unknown:
        command = options.parser or parser
        hints = [did_you_mean(word.partition("=")[0], _flags(command)) for word in unknown if word.startswith("-")]
        command.error(f"not understood: {' '.join(unknown)}.{''.join(hints)}")
    return options


def build_parser() -> Parser:
    """Put the commands together."""
    parser = Parser(
        prog="crmlytics",
        description=_ABOUT,
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"crmlytics {crmlytics.__version__}")
    parser.set_defaults(command=None, parser=None)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=Parser)
    _add_demo(commands)
    _add_score(commands)
    _add_look(commands)
    return parser


def flag(name: str) -> str:
    """Write a role or option as it is typed.

    >>> flag("customer_id")
    '--customer-id'
    """
    return "--" + name.replace("_", "-")


def _flags(parser: argparse.ArgumentParser) -> list[str]:
    return [text for action in parser._actions for text in action.option_strings]  # noqa: SLF001  argparse shows no other way


def _add_command(
    commands: argparse._SubParsersAction[Parser],
    name: str,
    summary: str,
    *,
    about: str,
    usage: str | None = None,
    epilog: str | None = None,
) -> Parser:
    parser = commands.add_parser(
        name,
        help=summary,
        description=about,
        usage=usage,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(command=name, parser=parser)
    return parser


def _add_demo(commands: argparse._SubParsersAction[Parser]) -> None:
    about = "Score and report 600 real households (the Complete Journey, a year of groceries, comes with crmlytics)."
    parser = _add_command(commands, "demo", "score and report customers that come with crmlytics", about=about)
    _add_output(parser)


def _add_score(commands: argparse._SubParsersAction[Parser]) -> None:
    parser = _add_command(
        commands,
        "score",
        "score and report the customers of your file",
        about=_SCORE_ABOUT,
        epilog=_SCORE_EXAMPLES,
        usage="crmlytics score FILE --customer-id COLUMN --order-id COLUMN --timestamp COLUMN --amount COLUMN ...",
    )
    _add_file(parser)
    for title, roles in (
        ("columns that are needed", NEEDED_ROLES),
        ("the money: amount, or quantity and unit price", MONEY_ROLES),
        ("columns that are used if given", OTHER_ROLES),
    ):
        group = parser.add_argument_group(title)
        for role, meaning in roles.items():
            group.add_argument(flag(role), metavar="COLUMN", help=meaning)
    _add_choices(parser)
    _add_output(parser)


def _add_choices(parser: Parser) -> None:
    """Add what is not a column."""
    add = parser.add_argument_group("time and money").add_argument
    add("--as-of", metavar="DATE", help=_HELP["as_of"])
    add("--horizon", metavar="TIME", default="90d", help="how far to look ahead: 90d, 12w (%(default)s)")
    add("--margin", metavar="SHARE", help=_HELP["margin"])
    add("--currency-symbol", metavar="TEXT", help="what stands at amounts: £, EUR")
    add = parser.add_argument_group("which lines count").add_argument
    add("--returns", choices=["keep", "match", "set_aside"], default="keep", help=_HELP["returns"])
    add("--duplicates", choices=["keep", "set_aside"], default="keep", help=_HELP["duplicates"])
    add = parser.add_argument_group("how to read the file").add_argument
    add("--timestamp-format", metavar="FORMAT", help=_HELP["timestamp_format"])
    add("--time-zone", metavar="ZONE", help=_HELP["time_zone"])
    _add_decimal(add)
    parser.add_argument("--title", metavar="TEXT", help="heading of the report")


def _add_look(commands: argparse._SubParsersAction[Parser]) -> None:
    about = "Show the columns of a file, what they look like, and the command that scores its customers."
    parser = _add_command(commands, "look", "show the columns of a file, and what to type", about=about)
    _add_file(parser)
    _add_decimal(parser.add_argument)


def _add_decimal(add: Callable[..., Any]) -> None:
    add("--decimal", choices=[".", ","], help=_HELP["decimal"])


def _add_file(parser: Parser) -> None:
    parser.add_argument(
        "file", metavar="FILE", help="CSV, TSV, parquet or Excel (.xlsx); one row an order line or order"
    )
    parser.add_argument("--sheet", metavar="NAME", help="sheet of an Excel workbook (the first if not given)")
    _add_traceback(parser)


def _add_output(parser: Parser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument("--out", metavar="DIR", default=DEFAULT_FOLDER, help="folder for the results (%(default)s)")
    group.add_argument("--force", action="store_true", help="replace results that are there already")
    group.add_argument("--no-excel", action="store_true", help="write no scorecard.xlsx")
    group.add_argument("--quiet", action="store_true", help="print notes about the data and errors only")
    if parser.get_default("command") == "demo":
        _add_traceback(parser)


def _add_traceback(parser: Parser) -> None:
    parser.add_argument("--traceback", action="store_true", help=argparse.SUPPRESS)
