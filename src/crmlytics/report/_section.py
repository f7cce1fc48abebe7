"""What a page is made of: sections with cards, sentences, steps, figures and tables. No numbers are made here."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeVar

from crmlytics.report._words import MISSING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup

    from crmlytics.report._context import Context

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Card:
    """One headline figure.

    Attributes
    ----------
    label : str
        What the figure is.
    value : str
        The figure, as it is read.
    note : str
        What to compare it with, in a few words.
    """

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do.

    Attributes
    ----------
    title : str
        The action, as a command.
    reason : str or Markup
        Why, in a sentence with its figure.
    """

    title: str
    reason: str | Markup


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture.

    Attributes
    ----------
    title : str
        What is shown, read above the picture.
    picture : Markup
        Inline SVG.
    note : str
        How to read it, below the picture.
    legend : tuple of (series number, label)
        The colours used, where there is more than one.
    """

    title: str
    picture: Markup
    note: str = ""
    legend: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Heading:
    """The heading of a table's column; numbers are set to the right."""

    text: str
    is_number: bool = False


@dataclass(frozen=True, slots=True)
class Cell:
    """A table's cell with a colour: ``level`` 0 (nothing) to 9 (most)."""

    text: str
    level: int

    @classmethod
    def of(cls, share: float) -> Cell:
        """Write a share in per cent, the darker the larger."""
        return cls(f"{100 * share:.0f}", min(9, max(1, round(share * 9))) if share > 0 else 0)


@dataclass(frozen=True, slots=True)
class Table:
    """A table; the first cell of a row is its heading.

    Attributes
    ----------
    caption : str
    headings : tuple of Heading
    rows : tuple of tuples of str or Cell
        One cell a heading.
    note : str
        How to read it.
    folded : bool
        Whether it waits behind a line to click on (always open in print).
    """

    caption: str
    headings: tuple[Heading, ...]
    rows: tuple[tuple[str | Cell, ...], ...]
    note: str = ""
    folded: bool = False

    @property
    def is_heat(self) -> bool:
        """Whether cells are coloured."""
        return any(isinstance(cell, Cell) for row in self.rows for cell in row)

    def filled(self) -> Table:
        """Leave out the columns in which nothing is known."""
        told = [place for place, cells in enumerate(zip(*self.rows, strict=True)) if set(cells) != {MISSING}]
        rows = tuple(tuple(row[place] for place in told) for row in self.rows)
        return replace(self, headings=tuple(self.headings[place] for place in told), rows=rows)


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the page.

    Attributes
    ----------
    key : str
        Its address on the page, such as ``"customers"``.
    title : str
        Its short name.
    question : str
        The question that it answers.
    findings : tuple of str or Markup
        Whole sentences, each with its figure.
    cards, steps, figures, tables : tuples
    """

    key: str
    title: str
    question: str
    findings: tuple[str | Markup, ...] = ()
    cards: tuple[Card, ...] = ()
    steps: tuple[Step, ...] = ()
    figures: tuple[Figure, ...] = ()
    tables: tuple[Table, ...] = ()


@dataclass(frozen=True, slots=True)
class Outline:
    """A section by the functions that write it; each takes the context, and returns None where its tables are missing.

    Attributes
    ----------
    key, title, question : str
        Of the section.
    findings, cards, figures, tables : sequences of functions of a Context
    """

    key: str
    title: str
    question: str
    findings: Sequence[Callable[[Context], str | Markup | None]] = ()
    cards: Sequence[Callable[[Context], Card | None]] = ()
    figures: Sequence[Callable[[Context], Figure | None]] = ()
    tables: Sequence[Callable[[Context], Table | None]] = ()

    def build(self, context: Context) -> Section | None:
        """Write the section, unless it has neither a figure nor a table."""
        figures = _made(self.figures, context)
        tables = tuple(table.filled() for table in _made(self.tables, context))
        if not figures and not tables:
            return None
        return Section(
            key=self.key,
            title=self.title,
            question=self.question,
            findings=_made(self.findings, context),
            cards=_made(self.cards, context),
            figures=figures,
            tables=tables,
        )


def _made(makers: Sequence[Callable[[Context], T | None]], context: Context) -> tuple[T, ...]:
    return tuple(one for make in makers if (one := make(context)) is not None)
