"""The guide: what each score means, in which unit, and how sure it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics.report._section import Heading, Section, Table

if TYPE_CHECKING:
    from crmlytics.report._context import Context

MOST_OPEN = 12  # rows
COLUMNS = {"column": "Score", "meaning": "What it means", "unit": "Unit", "certainty": "How sure it is"}


def build(context: Context) -> Section | None:
    """Write the guide to the scorecard's columns."""
    guide = context.table("guide", *COLUMNS)
    if guide is None or guide.empty:
        return None
    rows = [tuple(str(cell) for cell in row) for row in guide[list(COLUMNS)].itertuples(index=False)]
    return Section(
        key="guide",
        title="Guide to the scores",
        question="What does each score mean?",
        tables=(
            Table(
                caption="The columns of the scorecard, one row per customer",
                headings=tuple(Heading(text) for text in COLUMNS.values()),
                rows=tuple(rows),
                folded=len(rows) > MOST_OPEN,
            ),
        ),
    )
