"""From a history of orders to a panel that a model can learn from, and back to the customers of today."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics.exceptions import SchemaError
from crmlytics.scoring._rules import buying_rules

if TYPE_CHECKING:
    from crmlytics._purchase_days import Purchases
    from crmlytics.snapshots._snapshots import Snapshots

EPOCH = dt.datetime(1970, 1, 1)
EVERY_DAYS = 30
MOST_CUTOFFS = 12
HISTORY_DAYS = 60  # known of the first customers at the first cutoff
YEAR_DAYS = 365
SEASON = ("season_sin", "season_cos")


def training_cutoffs(
    purchases: Purchases, as_of: dt.datetime, wait: dt.timedelta, *, caller: str
) -> list[dt.datetime]:  # fmt: skip
    """Return the cutoffs to learn from: every 30 days, a year of them at most, the labels of the last just known.

    Raises
    ------
    SchemaError
        If the history is too short for one, saying how long the horizon may be.
    """
    first = EPOCH + dt.timedelta(days=int(purchases.day.min()) + HISTORY_DAYS)
    last = as_of - wait
    if last < first:
        longest = (as_of - first).days
        advice = f"The most that this history allows is a gap and horizon of {longest} days together."
        if longest <= 0:
            advice = "This history is too short for any horizon."
        msg = (
            f"{caller}: the orders begin on {first - dt.timedelta(days=HISTORY_DAYS):%Y-%m-%d}. To learn, a cutoff "
            f"needs {HISTORY_DAYS} days before it and gap + horizon = {wait.days} days after it, before as_of="
            f"{as_of:%Y-%m-%d}. {advice}"
        )
        raise SchemaError(msg)
    count = min((last - first).days // EVERY_DAYS + 1, MOST_CUTOFFS)
    return [last - dt.timedelta(days=EVERY_DAYS * back) for back in range(count - 1, -1, -1)]


def labelled_panel(snapshots: Snapshots, purchases: Purchases) -> tuple[Any, list[str]]:
    """Compute the panel, and add the rules that a model has to beat: a pandas table and their names."""
    panel = _computed(snapshots)
    cutoff = panel["cutoff"].to_numpy().astype("datetime64[us]")
    amount = np.zeros(len(panel))
    if "total_amount" in panel:  # families may leave it out
        amount = panel["total_amount"].to_numpy(dtype=np.float64, na_value=0.0)
    customer = panel["customer_id"].to_numpy()
    rules = buying_rules(purchases, customer, cutoff, amount, snapshots.horizon.days)
    return panel.assign(**rules), list(rules)


def _computed(snapshots: Snapshots) -> Any:
    """Compute the panel; on a lazy engine a cutoff at a time, since plans of many cutoffs take longer than the data."""
    if not snapshots.transactions.engine.is_lazy:
        return to_pandas(snapshots.panel_table())
    import pandas as pd

    parts = [to_pandas(replace(snapshots, cutoffs=cutoff).panel_table()) for cutoff in snapshots.cutoffs]
    return pd.concat(parts).sort_values(["customer_id", "cutoff"], kind="stable").reset_index(drop=True)


def seen_once(snapshots: Snapshots, panel: Any) -> list[str]:
    """Return the features of the season where the cutoffs do not go round a year: what came once is no season."""
    span = snapshots.cutoffs[-1] - snapshots.cutoffs[0]
    return [] if span.days >= YEAR_DAYS else [name for name in SEASON if name in panel]
