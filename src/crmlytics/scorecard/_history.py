"""What customers did: counted, not estimated."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import narwhals.stable.v2 as nw

from crmlytics import rfm, value
from crmlytics._frames import compute
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.scorecard._part import CALLER, Column, Part

if TYPE_CHECKING:
    from crmlytics.scorecard._part import Request


TENTHS = 10
COUNTED = "Counted from the lines kept."
RELATIVE = "Relative: says who stands above whom in this base, not how good a customer is."


def rfm_part(request: Request) -> Part:
    """Recency, frequency, monetary value, their scores and the segment."""
    measures = compute(rfm.rfm_table(request.known, as_of=request.as_of), caller=CALLER)
    if len(measures) == 0:
        msg = f"{CALLER}: no line lies before as_of={request.as_of:%Y-%m-%d}. Check as_of and the data."
        raise SchemaError(msg)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)  # empty scores are told in the guide
        segmenter = rfm.RFMSegmenter().fit(measures.to_native())
    relative = {name: RELATIVE + _ties_in_words(empty) for name, empty in segmenter.empty_scores_.items()}
    columns = (
        Column("recency_days", "Calendar days since the last order; without any order, since the last return", "days",
               COUNTED),
        Column("order_count", "Orders so far", "orders", COUNTED),
        Column("total_amount", "Revenue so far, returns taken off", "currency", COUNTED),
        Column("r_score", "How recent the last order is: 5 is the most recent fifth", "1 to 5", relative["r_score"]),
        Column("f_score", "How often they ordered: 5 is the most frequent fifth", "1 to 5", relative["f_score"]),
        Column("m_score", "How much they brought: 5 is the fifth with the highest revenue", "1 to 5",
               relative["m_score"]),
        Column("rfm_score", "The three scores side by side", "text", RELATIVE),
        Column("segment", "The name of the group of scores", "text", RELATIVE),
    )  # fmt: skip
    return Part(compute(segmenter.score_table(measures.to_native()), caller=CALLER), columns)


def value_part(request: Request) -> Part:
    """Average order, tenure, share of all revenue and tenth by it."""
    table = compute(value.value_table(request.known, as_of=request.as_of), caller=CALLER)
    customers = len(table)
    shift = customers - (
        1 if customers >= TENTHS else TENTHS
    )  # tenths as value_decile_table has them; of few, the first
    table = table.with_columns(value_decile=(nw.col("rank") * TENTHS + shift) // customers)
    columns = (
        Column("average_order_amount", "Revenue per order", "currency", COUNTED),
        Column("tenure_days", "Calendar days since the first line of any kind, order or return", "days", COUNTED),
        Column("amount_share", "Share of the revenue of all customers", "share", COUNTED),
        Column("value_decile", "Tenth by revenue so far: 1 is the tenth of the customers who brought most", "1 to 10",
               RELATIVE),
    )  # fmt: skip
    return Part(table, columns)


def _ties_in_words(empty: list[int]) -> str:
    return f" So many share a value that nobody has score {', '.join(map(str, empty))}." if empty else ""
