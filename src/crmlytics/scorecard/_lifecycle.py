"""Where each customer stands in life, by their own rhythm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics._frames import compute
from crmlytics.scorecard._part import CALLER, Column, Part
from crmlytics.segmentation import lifecycle_table

if TYPE_CHECKING:
    from crmlytics.scorecard._part import Request

BY_RULE = "By rule, from each customer's own rhythm."


def lifecycle_part(request: Request) -> Part:
    """Stage of life, and the silence that it follows from."""
    table = compute(lifecycle_table(request.known, as_of=request.as_of), caller=CALLER)
    nobody = "" if len(table) else " Empty: nobody made a purchase."
    columns = (
        Column("stage", "Stage of life: new, growing, loyal, at risk, lapsed or won back; empty without a purchase",
               "text", f"{BY_RULE} In the first 90 days of the data everybody looks new.{nobody}"),
        Column("usual_interval_days", "Days that usually lie between purchases, drawn towards those of everybody",
               "days", f"A mean: of few purchases it is mostly that of everybody.{nobody}"),
        Column("silence_ratio", "Days without a purchase over the usual interval: above 2 at risk, above 4 lapsed",
               "times", f"{BY_RULE} Of random waits 13 % are above 2 and 2 % above 4.{nobody}"),
    )  # fmt: skip
    return Part(table, columns)
