"""The command line: ``crmlytics demo``, ``crmlytics score``, ``crmlytics look``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from crmlytics._cli.messages import as_typed
from crmlytics._cli.parser import build_parser, parse
from crmlytics._cli.steps import Steps, say
from crmlytics.exceptions import CrmlyticsError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

DONE, UNEXPECTED, REFUSED, STOPPED = 0, 1, 2, 130
_DEMO = {
    "household_id": "--customer-id",
    "basket_id": "--order-id",
    "transaction_timestamp": "--timestamp",
    "product_id": "--product-id",
    "quantity": "--quantity",
    "sales_value": "--amount",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Do what was typed, and return the exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The words after ``crmlytics``; those of the process if not given.

    Returns
    -------
    int
        0 done; 1 something unexpected; 2 refused, with a message that says what to type; 130 stopped with Ctrl-C.

    Raises
    ------
    SystemExit
        For ``--help`` and ``--version`` (code 0) and for what is not understood (code 2), as argparse has it.
    """
    options = parse(argv)
    if options.command is None:
        say(build_parser().format_help(), sys.stderr)
        return REFUSED
    steps = Steps(quiet=getattr(options, "quiet", False))
    try:
        with steps.notes_from_warnings():
            {"demo": _demo, "score": _score, "look": _look}[options.command](options, steps)
    except CrmlyticsError as error:
        return _leave(steps, as_typed(str(error)), REFUSED)
    except KeyboardInterrupt:
        return _leave(steps, "stopped; nothing was written.", STOPPED)
    except BrokenPipeError:  # `crmlytics look FILE | head`: the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except MemoryError:
        return _leave(steps, "the memory of this machine is not enough for this file; nothing was written.", UNEXPECTED)
    except OSError as error:
        return _leave(steps, f"the system refused: {error}. Nothing was written.", UNEXPECTED)
    except Exception as error:
        if options.traceback:
            raise
        steps.end_line()
        return _leave(
            steps,
            f"unexpected {type(error).__name__}: {error}. Nothing was written. This is a fault of crmlytics: add "
            "--traceback to see where, and report it.",
            UNEXPECTED,
        )
    return DONE


def _leave(steps: Steps, message: str, code: int) -> int:
    steps.end_line()
    say(f"crmlytics: {message}\n", sys.stderr)
    return code


def _score(options: argparse.Namespace, steps: Steps) -> None:
    from crmlytics._cli.job import run
    from crmlytics._cli.summary import summarise

    outcome = run(options, steps)
    if not options.quiet:
        say(summarise(outcome), sys.stdout)


def _demo(options: argparse.Namespace, steps: Steps) -> None:
    from crmlytics.datasets import data_path

    file = str(data_path("complete_journey", "transactions.parquet"))
    words = [
        "score",
        file,
        "--as-of",
        "2018-01-02",
        "--currency-symbol",
        "$",
        "--title",
        "The Complete Journey: 600 households, a year of groceries",
    ]
    words += [word for column, option in _DEMO.items() for word in (option, column)]
    typed = build_parser().parse_args(words)
    for name in ("out", "force", "no_excel", "quiet"):
        setattr(typed, name, getattr(options, name))
    _score(typed, steps)
    if not options.quiet:
        say("Then your own customers: crmlytics look FILE\n", sys.stdout)


def _look(options: argparse.Namespace, _: Steps) -> None:
    from crmlytics._cli.looking import describe_file
    from crmlytics._files import read_file

    found = read_file(options.file, sheet=options.sheet, decimal=options.decimal)
    say(describe_file(found, options.file, sheet=options.sheet, decimal=options.decimal), sys.stdout)
