"""Tables of who the customers are: segments, stages of life, behaviour, and what sets the best apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics.report._sources import CALLER, QUARTER, small

if TYPE_CHECKING:
    import pandas as pd

    from crmlytics.report._sources import Sources

BEHAVIOUR = ("recency_days", "order_count", "tenure_days", "average_order_amount")
REVENUE_IS = ("order_count", "average_order_amount")  # their product: the best by revenue are high in them by design
SEARCH: dict[str, Any] = {"counts": range(2, 6), "replicates": 10}  # fewer than the topic tries: a page is not a study
BEST_SHARE = 0.2
BEST, OTHERS = "best", "others"


def segments(sources: Sources) -> Any:
    """Count the segments of recency, frequency and monetary value."""
    from crmlytics import rfm

    return rfm.segment_table(sources.scores)


def stages(sources: Sources) -> Any:
    """Return ``lifecycle_value_table`` with the revenue so far of each stage, and ``step_days``."""
    from crmlytics.segmentation import lifecycle_table, lifecycle_value_table

    days, options = _steps(sources)
    placed = small(lifecycle_table(sources.orders, as_of=sources.as_of, window=f"{days}d"))[["customer_id", "stage"]]
    table = small(lifecycle_value_table(sources.orders, **options))
    revenue = placed.merge(sources.scores[["customer_id", "total_amount"]], on="customer_id")
    amounts = revenue.groupby("stage")["total_amount"].sum().astype(float)
    total, customers = float(amounts.sum()), float(table["customer_count"].sum())
    table["total_amount"] = table["stage"].map(amounts).fillna(0.0)
    table["total_amount_share"] = table["total_amount"] / total if total > 0 else float("nan")
    table["customer_share"] = table["customer_count"].astype(float) / customers
    return table.assign(step_days=days)


def stage_moves(sources: Sources) -> Any:
    """Return ``lifecycle_transition_table``."""
    from crmlytics.segmentation import lifecycle_transition_table

    return lifecycle_transition_table(sources.orders, **_steps(sources)[1])


def behaviour(sources: Sources) -> Any:
    """Count the customers and the revenue of behavioural segments, with their means; one row where there are none."""
    buyers = _buyers(sources)
    features = [name for name in BEHAVIOUR if name in buyers.columns]
    if "behaviour_segment" not in buyers.columns:
        buyers = buyers.assign(behaviour_segment=_behaviour_segment(buyers, features))
    named = buyers.assign(segment=buyers["behaviour_segment"].fillna("everybody"))
    sums = named.groupby("segment", sort=True).agg(
        customer_count=("customer_id", "size"), total_amount=("total_amount", "sum"),
        **{f"mean_{name}": (name, "mean") for name in features},
    )  # fmt: skip
    total = float(sums["total_amount"].sum())
    sums["customer_share"] = sums["customer_count"] / len(named)
    sums["total_amount_share"] = sums["total_amount"].astype(float) / total if total > 0 else float("nan")
    return sums.reset_index().sort_values(["customer_count", "segment"], ascending=[False, True], ignore_index=True)


def best(sources: Sources) -> Any:
    """Profile the best customers by revenue: their attributes, where given, and their histories."""
    from crmlytics.profiling import profile_table

    buyers = _buyers(sources)
    place = buyers["total_amount"].astype(float).rank(method="first", ascending=False)
    is_best = place <= BEST_SHARE * len(buyers)
    buyers = buyers.assign(segment=is_best.map({True: BEST, False: OTHERS}))
    histories = [name for name in BEHAVIOUR if name in buyers.columns]
    table, attributes = buyers[["customer_id", "segment", *histories]], []
    if "customers" in sources.others:
        known = small(sources.others["customers"].to_native(attributes_at(sources)))
        attributes = [name for name in known.columns if not name.endswith("_id") and name not in table.columns]
        table = table.merge(known[["customer_id", *attributes]], on="customer_id", how="inner")
    formed_by = [name for name in REVENUE_IS if name in histories]
    profile = profile_table(table, columns=[*histories, *attributes], groups=[BEST], formed_by=formed_by)
    return profile.assign(profiled_count=len(table))


def attributes_at(sources: Sources) -> Any:
    """Return what was known of the customers just before ``as_of``, as a plan."""
    from crmlytics.snapshots._customers import customer_features

    return customer_features(sources.others["customers"], sources.as_of)


# -- inside --------------------------------------------------------------------------------------------------------


def _steps(sources: Sources) -> tuple[int, dict[str, Any]]:
    days = sources.span(2, longest=QUARTER)
    return days, {"as_of": sources.as_of, "step": f"{days}d", "window": f"{days}d"}


def _buyers(sources: Sources) -> pd.DataFrame:
    scores: pd.DataFrame = sources.scores
    return scores[(scores["order_count"] > 0).fillna(value=False).astype(bool)].reset_index(drop=True)


def _behaviour_segment(buyers: pd.DataFrame, features: list[str]) -> Any:
    """Name the segment of each customer, or None where everybody is one cloud."""
    from crmlytics.exceptions import SchemaError
    from crmlytics.segmentation import CustomerSegmenter, segment_count_table

    if len(buyers) < FEWEST_BUYERS:
        msg = f"{CALLER}: it needs {FEWEST_BUYERS} customers with an order, and there are {len(buyers)}."
        raise SchemaError(msg)
    tried = segment_count_table(buyers, features=features, **SEARCH)
    count = int(tried.loc[tried["suggested"], "segment_count"].iloc[0])
    if count == 1:
        return None
    return CustomerSegmenter(segments=count, features=features).fit(buyers).score_table(buyers)["segment"].to_numpy()


FEWEST_BUYERS = 100  # of fewer, what is found again by chance looks stable
