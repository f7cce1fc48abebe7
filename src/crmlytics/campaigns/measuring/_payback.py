"""On which day the incremental margin of a campaign had covered its cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._frames import to_pandas
from crmlytics.campaigns._experiment import CAMPAIGN, check_columns, word_of
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd


def add_payback(rows: Sequence[dict[str, Any]], curve: Any, *, value: str, share: float, caller: str) -> None:
    """Add the days until the lift so far, times the customers treated, was worth the cost and stayed so."""
    lifts = _lifts(curve, value, by_campaign=any(CAMPAIGN in row for row in rows), caller=caller)
    for row in rows:
        wanted = (word_of(row[CAMPAIGN]) if CAMPAIGN in row else None, row["arm"])
        if wanted not in lifts:
            msg = (
                f"{caller}: curve has nothing of arm {row['arm']!r}"
                + (f" of campaign {row[CAMPAIGN]!r}" if CAMPAIGN in row else "")
                + ". Give response_curve_table(...) of the same contacts."
            )
            raise SchemaError(msg)
        lift = lifts[wanted]
        covered = lift["difference"] * share * row["treated_count"] >= row["cost_amount"]
        for_good = covered[::-1].cummin()  # a noisy curve covers a small cost on some days and not on others
        row["payback_days"] = int(lift.loc[for_good[for_good].index[-1], "day"]) if for_good.any() else None


def _lifts(curve: Any, value: str, *, by_campaign: bool, caller: str) -> dict[Any, pd.DataFrame]:
    """Return the cumulative lift of each campaign and arm, by day."""
    table = to_pandas(curve, caller=caller)
    check_columns(table.columns, ["arm", "metric", "day", "difference", *[CAMPAIGN] * by_campaign], caller=caller)
    lines = table[(table["metric"] == value).to_numpy(bool)].sort_values("day", kind="stable")
    if lines.empty:
        metrics = sorted(set(table["metric"].tolist()))
        msg = f"{caller}: curve has no metric {value!r}, only {metrics}. Take value= from these."
        raise SchemaError(msg)
    campaigns = lines[CAMPAIGN].map(word_of) if by_campaign else [None] * len(lines)
    keys = list(zip(campaigns, lines["arm"].map(word_of), strict=True))
    return {key: lines[[one == key for one in keys]] for key in dict.fromkeys(keys)}
