"""Who is slipping: good customers who are less likely to buy than their own past would have it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics.report._charts import columns
from crmlytics.report._section import Figure, Heading, Section, Table
from crmlytics.report._words import amount, count, counted, percent, sentence, verb

if TYPE_CHECKING:
    import pandas as pd

    from crmlytics.report._context import Context

NEEDED = (
    "order_count",
    "total_amount",
    "average_order_amount",
    "tenure_days",
    "recency_days",
    "purchase_probability",
)
VALUABLE_SHARE = 0.2  # of the customers: those with most revenue so far
FEWEST_ORDERS = 3  # two orders make no habit
SLIPPING_BELOW = 0.5  # of the customer's own usual probability
GONE_BELOW = 0.1
LONGEST_LIST = 20
BANDS = 10


def build(context: Context) -> Section | None:
    """Write the section, where the scorecard knows a probability of buying."""
    watched = context.table("watch")
    scores = context.table("scores")
    if watched is None or scores is None:
        return None
    return Section(
        key="slipping",
        title="Who is slipping",
        question="Which good customers are we about to lose?",
        findings=_findings(context, scores, watched),
        figures=(_figure(context, scores),),
        tables=(_table(context, watched),) if len(watched) else (),
    )


def watch_table(scores: pd.DataFrame, *, horizon_days: int) -> pd.DataFrame | None:
    """List the valuable customers whose probability of buying has fallen, by the money at stake.

    Parameters
    ----------
    scores : pandas.DataFrame, one row per customer
        A scorecard; None comes back where it has no probability of buying.
    horizon_days : int
        What ``purchase_probability`` and the expected counts look ahead to.

    Returns
    -------
    pandas.DataFrame, one row per customer, the most money first
        The columns of ``scores`` and ``usual_gap_days`` (mean days between orders), ``usual_amount`` (revenue in a
        horizon at the pace from first to last order, which is taken as at least one horizon long), ``at_stake_amount``
        (usual less expected, at least zero).
    """
    import numpy as np

    if not {"customer_id", *NEEDED} <= set(scores.columns) or scores["purchase_probability"].isna().all():
        return None
    table = scores.copy()
    active_days = (table["tenure_days"] - table["recency_days"]).astype(float)
    usual_count = table["order_count"].astype(float) / active_days.clip(lower=horizon_days) * horizon_days
    average = table["average_order_amount"].astype(float)
    table["usual_gap_days"] = active_days / (table["order_count"].astype(float) - 1).where(table["order_count"] > 1)
    table["usual_amount"] = usual_count * average
    table["at_stake_amount"] = (table["usual_amount"] - expected_amount(table)).clip(lower=0.0)
    likely_at_own_pace = 1 - np.exp(-usual_count)
    by_value = table["total_amount"].astype(float).rank(method="first", ascending=False)
    is_watched = (
        (by_value <= np.ceil(VALUABLE_SHARE * len(table)))
        & (table["order_count"] >= FEWEST_ORDERS)
        & (table["purchase_probability"].astype(float) < SLIPPING_BELOW * likely_at_own_pace)
        & (table["at_stake_amount"] > 0)
    )
    kept = table[is_watched.fillna(value=False).to_numpy(dtype=bool)]
    return kept.sort_values(["at_stake_amount", "customer_id"], ascending=[False, True]).reset_index(drop=True)


def expected_amount(scores: pd.DataFrame) -> Any:
    """Revenue expected of each customer in the horizon; with a margin the scorecard has only its two factors."""
    if "expected_revenue_amount" in scores.columns:
        return scores["expected_revenue_amount"].astype(float)
    average = scores["average_order_amount"].astype(float)
    if "expected_purchase_count" not in scores.columns:
        return scores["purchase_probability"].astype(float) * average
    an_order = scores["expected_order_amount"].astype(float) if "expected_order_amount" in scores.columns else average
    return scores["expected_purchase_count"].astype(float) * an_order.fillna(average).clip(lower=0.0)


def _findings(context: Context, scores: pd.DataFrame, watched: pd.DataFrame) -> tuple[str, ...]:
    days = context.horizon
    buyers = scores[scores["order_count"] > 0]
    likely = buyers["purchase_probability"].astype(float)
    found = [
        sentence(
            "About {} of our {} ({}) are expected to buy in the next {}.",
            count(likely.sum()), counted(len(buyers), "customer"), percent(likely.mean()), days,
        )
    ]  # fmt: skip
    if watched.empty:
        return (
            *found,
            "No good customer is slipping: all of them are about as likely to buy as their own past suggests.",
        )
    gone = watched["purchase_probability"].astype(float) < GONE_BELOW
    found.append(
        sentence(
            f"{{}} of the best {percent(VALUABLE_SHARE)} {verb(len(watched), 'is', 'are')} slipping: less than half as "
            "likely to buy as their own past pace suggests.",
            counted(len(watched), "customer"),
        )
    )
    found.append(
        sentence(
            "At that pace they would bring {} in {}; {} of it is at stake.",
            context.money(watched["usual_amount"].sum()), days, context.money(watched["at_stake_amount"].sum()),
        )
    )  # fmt: skip
    if gone.any() and not gone.all():
        found.append(
            sentence(
                "{} of them have a chance below {} and are probably gone: win back the other {} first.",
                count(gone.sum()), percent(GONE_BELOW), count((~gone).sum()),
            )
        )  # fmt: skip
    return tuple(found)


def _figure(context: Context, scores: pd.DataFrame) -> Figure:
    import numpy as np

    likely = scores["purchase_probability"].astype(float).fillna(0.0).to_numpy()
    band = np.minimum((likely * BANDS).astype(int), BANDS - 1)
    revenue = scores["total_amount"].astype(float).clip(lower=0.0).fillna(0.0).to_numpy()
    by_band = np.bincount(band, weights=revenue, minlength=BANDS)
    shares = by_band / by_band.sum() if by_band.sum() > 0 else by_band
    labels = [f"{10 * i}\u2013{10 * i + 10}\u00a0%" for i in range(BANDS)]
    low = shares[: BANDS // 2].sum()
    return Figure(
        title="Past revenue, by the customers\u2019 chance to buy again",
        picture=columns(
            labels,
            [[float(share) for share in shares]],
            text=percent,
            colours=(1,),
            alt=f"Columns: share of past revenue by probability of buying in the next {context.horizon}. "
            f"{percent(low)} belongs to customers with less than an even chance.",
        ),
        note=f"Along: the chance to buy in the next {context.horizon}. Up: the share of all revenue so far. "
        f"{percent(low)} of it came from customers who now have less than an even chance.",
    )


def _table(context: Context, watched: pd.DataFrame) -> Table:
    shown = watched.head(LONGEST_LIST)
    has_segment = "segment" in shown.columns
    headings = [Heading("Customer"), Heading(f"At stake in {context.horizon}", is_number=True)]
    headings += [
        Heading(text, is_number=True)
        for text in ("Chance to buy", "Last order, days ago", "Usual days between orders", "Orders", "Revenue so far")
    ]
    headings += [Heading("Segment")] if has_segment else []
    rows = []
    for row in shown.to_dict("records"):
        cells = [
            str(row["customer_id"]),
            amount(row["at_stake_amount"], context.currency),
            percent(row["purchase_probability"]),
            count(row["recency_days"]),
            count(row["usual_gap_days"]),
            count(row["order_count"]),
            amount(row["total_amount"], context.currency),
        ]
        rows.append((*cells, str(row["segment"])) if has_segment else tuple(cells))
    more = len(watched) - len(shown)
    return Table(
        caption="Watch list, most money at stake first",
        headings=tuple(headings),
        rows=tuple(rows),
        note=f"At stake: revenue in {context.horizon} at the customer\u2019s own past pace, less what is expected now. "
        + (f"{count(more)} more are slipping; the scorecard has them all. " if more else "")
        + f"Watched are the best {percent(VALUABLE_SHARE)} by revenue with at least {FEWEST_ORDERS} orders.",
    )
