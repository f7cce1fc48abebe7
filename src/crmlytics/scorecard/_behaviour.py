"""Customers who buy alike: recency, frequency, amounts, expected value and habits together, if there are groups."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import compute
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.scorecard._part import CALLER, Column, Part, unknown

if TYPE_CHECKING:
    from crmlytics.scorecard._part import Request

FEATURES = (
    "recency_days", "order_count", "average_order_amount", "tenure_days", "expected_revenue_amount", "returned_share",
    "discount_share",
)  # fmt: skip  # not the number of products: it says again what orders say, and then other samples find other groups
COUNTS = range(2, 7)  # more groups than that are not remembered
TRIALS: dict[str, Any] = {
    "replicates": 10,
    "references": 10,
}  # half the bootstrap of the default: the same numbers, a second less
FEWEST_CUSTOMERS = 100
BY_DISTANCE = "By the distances to the centres of the groups; near one half: between two of them."
KINDS = {"behaviour_segment": nw.String(), "behaviour_probability": nw.Float64()}


def behaviour_part(request: Request, scores: nw.DataFrame[Any]) -> Part:
    """Place customers with an order in groups: those learnt before, or those that the data hold."""
    buyers = _buyers(scores)
    segmenter, certainty = request.segmenter, "Groups learnt before, from another table."
    if segmenter is None:
        segmenter, certainty = _learnt(buyers)
    if segmenter is None:
        return Part(unknown(scores, **KINDS), _columns(certainty, certainty))
    placed = compute(segmenter.score_table(buyers.to_native()), caller=CALLER)
    table = placed.select("customer_id", behaviour_segment="segment", behaviour_probability="membership_probability")
    return Part(table, _columns(certainty, BY_DISTANCE), segmenter=segmenter)


def _buyers(scores: nw.DataFrame[Any]) -> nw.DataFrame[Any]:
    """Return the customers with an order, and the revenue expected of them, also where a margin was given."""
    buyers = scores.filter(nw.col("order_count") > 0)
    if "expected_revenue_amount" in buyers.columns:
        return buyers
    expected = nw.col("expected_purchase_count") * nw.col("expected_order_amount")
    return buyers.with_columns(expected_revenue_amount=expected)


def _learnt(buyers: nw.DataFrame[Any]) -> tuple[Any, str]:
    """Return a segmenter and how sure its groups are; none, and why, where there are no groups."""
    from crmlytics.segmentation import CustomerSegmenter, segment_count_table

    if len(buyers) < FEWEST_CUSTOMERS:
        return None, f"Not looked for: {len(buyers)} who ordered, at least {FEWEST_CUSTOMERS} are needed."
    features = [name for name in FEATURES if name in buyers.columns and _differs(buyers[name])]
    table = buyers.select("customer_id", *features).to_native()
    try:
        evidence = compute(segment_count_table(table, counts=COUNTS, features=features, **TRIALS), caller=CALLER)
    except SchemaError as error:  # nobody differs
        return None, f"Not looked for: {error}"
    suggested = evidence.filter(nw.col("suggested"))
    count = int(suggested["segment_count"].item())
    if count == 1:
        return None, (
            "No groups: one cloud. No number of groups from 2 to 6 stands apart from one cloud, with valleys between, "
            "and is found again in other samples; cuts would be made for convenience."
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)  # what there is to say goes to the guide
        segmenter = CustomerSegmenter(segments=count, features=features).fit(table)
    jaccard, silhouette = (float(suggested[name].item()) for name in ("lowest_jaccard", "silhouette"))
    return segmenter, (
        f"{segmenter.segment_count_} groups ({suggested['verdict'].item()}), found again in other samples (Jaccard "
        f"{jaccard:.2f} of the least stable; silhouette {silhouette:.2f}). Learnt anew on another day they move: give "
        "segmenter= to keep them."
    )


def _differs(values: nw.Series[Any]) -> bool:
    return int(values.drop_nulls().n_unique()) > 1 if values.drop_nulls().len() else False


def _columns(certainty: str, of_probability: str) -> tuple[Column, ...]:
    return (
        Column("behaviour_segment", "Customers who buy alike (recency, orders, amounts, time as customer, revenue "
               "expected, returns, discounts), named by what differs most from everybody", "text", certainty),
        Column("behaviour_probability", "How clearly the customer belongs to that group", "probability",
               of_probability),
    )  # fmt: skip
