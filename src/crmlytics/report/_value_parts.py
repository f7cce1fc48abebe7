"""Tables of what customers are worth: concentration, contribution, value now and expected, moves between levels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics.report._slipping import expected_amount
from crmlytics.report._sources import CALLER, QUARTER, YEAR, small

if TYPE_CHECKING:
    from crmlytics.report._sources import Sources

CURVE = tuple(n / 100 for n in range(1, 101))
WINDOWS = (28, QUARTER, YEAR)
TOP_SHARE = 0.2
MATRIX = ("current_amount", "growth_amount", "value_group", "action")


def concentration(sources: Sources) -> Any:
    """Return ``concentration_table`` for every hundredth of the customers."""
    from crmlytics.value import concentration_table

    return concentration_table(sources.orders, as_of=sources.as_of, top_shares=CURVE)


def pareto(sources: Sources) -> Any:
    """Return ``pareto_test_table``."""
    from crmlytics.value import pareto_test_table

    return pareto_test_table(sources.orders, as_of=sources.as_of, top_share=TOP_SHARE)


def windows(sources: Sources) -> Any:
    """Return ``concentration_window_table`` for the windows that the data fill, or None with fewer than two."""
    from crmlytics.value import concentration_window_table

    fitting = [f"{days}d" for days in WINDOWS if days <= sources.known_days]
    if len(fitting) < 2:
        return None
    return concentration_window_table(sources.orders, as_of=sources.as_of, windows=fitting, top_share=TOP_SHARE)


def whale(sources: Sources) -> Any:
    """Return some hundred points of ``whale_curve_table``, the peak and the end among them."""
    from crmlytics.value import whale_curve_table

    if sources.contribution is None:
        return None
    curve = whale_curve_table(sources.contribution)
    step = -(-len(curve) // len(CURVE))
    kept = (curve["rank"] % step == 0) | curve["is_peak"].astype(bool) | (curve["rank"] == len(curve))
    return curve[kept].reset_index(drop=True)


def whale_sides(sources: Sources) -> Any:
    """Return ``whale_summary_table``."""
    from crmlytics.value import whale_summary_table

    return None if sources.contribution is None else whale_summary_table(sources.contribution)


def value_groups(sources: Sources) -> Any:
    """Set the worth of the last horizon against what is expected of the next, in ``value_group_table``."""
    from crmlytics.exceptions import SchemaError
    from crmlytics.value import value_group_table, value_matrix_table

    scores = sources.scores
    if set(MATRIX) <= set(scores.columns):  # the scorecard's own groups: the page must not tell others
        placed = scores.dropna(subset=["value_group", "current_amount", "growth_amount"])
        placed = placed.assign(potential_amount=placed["current_amount"] + placed["growth_amount"])
        return value_group_table(placed) if len(placed) else None
    if "purchase_probability" not in scores.columns or scores["purchase_probability"].isna().all():
        return None
    if sources.horizon_days > sources.known_days:
        msg = f"{CALLER}: the horizon of {sources.horizon_days} days is longer than the {sources.known_days} known."
        raise SchemaError(msg)
    expected = expected_amount(scores)
    values = scores[["customer_id"]].assign(expected=expected).merge(_recent(sources), on="customer_id", how="left")
    values["recent"] = values["recent"].fillna(0.0)
    return value_group_table(
        value_matrix_table(values.dropna(subset=["expected"]), current="recent", potential="expected")
    )


def value_moves(sources: Sources) -> Any:
    """Return ``value_migration_table`` between the two longest periods that the data hold, and ``step_days``."""
    from crmlytics.value import value_migration_table

    days = sources.span(2)
    return small(value_migration_table(sources.orders, as_of=sources.as_of, period=f"{days}d")).assign(step_days=days)


def _recent(sources: Sources) -> Any:
    """Return the revenue of each customer in the last horizon."""
    import datetime as dt

    since = sources.as_of - dt.timedelta(days=sources.horizon_days)
    lines = sources.orders.between(since, sources.as_of).need("customer_id", "amount", caller=CALLER)
    sums = lines.group_by("customer_id").agg(recent=nw.col("amount").sum())
    return small(sources.orders.to_native(sums)).astype({"recent": float})
