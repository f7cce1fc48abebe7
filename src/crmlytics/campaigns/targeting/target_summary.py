"""What a list of targets comes to, offer by offer: contacts, money, and what its hold-outs will be able to show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import Engine, collect, columns_of, enter
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_amount, check_fraction
from crmlytics.campaigns.planning.sizing import Demand, Mean, Rate
from crmlytics.decisions._campaign import CONTACT, HOLD_OUT
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import pandas as pd

ALL = "all"
AMOUNTS = (
    "expected_cost_amount",
    "expected_incremental_profit_amount",
    "expected_profit_low_amount",
    "expected_profit_high_amount",
)
NEEDED = ("arm", "action", *AMOUNTS, "expected_uplift", "profit_bound_amount")


def target_summary_table(
    targets: Any,
    *,
    baseline_rate: float | None = None,
    standard_deviation: float | None = None,
    power: float = 0.8,
    significance: float = 0.05,
) -> Any:
    """Sum up a list of targets by offer and in all: contacts, cost, expected profit, and what its hold-out can show.

    Parameters
    ----------
    targets : dataframe
        What :func:`target_table` returned.
    baseline_rate : float, optional
        The share of such customers who convert without a contact.
    standard_deviation : float, optional
        Instead, where the uplift is an amount: of the amount per customer.
    power : float, default 0.8
        How often the hold-out is to show an uplift that is there.
    significance : float, default 0.05
        How often it may show one that is not, of either sign.

    Returns
    -------
    dataframe of the kind that came in, one row per offer that is used, sorted by name, then one for "all"
        ``arm`` (String), ``contact_count``, ``holdout_count`` (Int64). Of those contacted, Float64:
        ``expected_cost_amount``, ``expected_incremental_profit_amount``, ``expected_profit_low_amount``,
        ``expected_profit_high_amount`` (sums of the customers' bounds; missing where an offer has none) and
        ``expected_uplift`` (per customer; missing without a contact). ``detectable_uplift`` (Float64, the smallest
        uplift that the hold-out can be relied on to show; missing without a hold-out, where it is too small for any,
        and without ``baseline_rate`` or ``standard_deviation``), ``profit_bound_amount`` (Float64, in the row "all"
        only: what no list under the same limits can be expected to exceed), ``note`` (String, whether the hold-out
        will do).

    Raises
    ------
    MissingColumnsError
        When it is no table of targets.
    SchemaError
        When a share or a standard deviation is out of range, or both are given.

    Notes
    -----
    **The bounds of the profit** are those of a model that errs for all customers alike, too high or too low by as much
    as their intervals allow. Errors that differ between customers cancel out in the sum: then the profit lies nearer.
    Neither knows that customers were chosen for high predictions, which makes the sum too high.

    **Each offer is judged against its own hold-out**, as a campaign of its own, by the tests of
    :func:`detectable_effect_table`. The row "all" compares everybody contacted with everybody held out.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.campaigns import Offer, target_summary_table, target_table
    >>> scores = pd.DataFrame({"customer_id": range(10000), "uplift_email": [0.01, 0.03] * 5000})
    >>> targets = target_table(scores, Offer("email", value=40, contact_cost=0.5))
    >>> table = target_summary_table(targets, baseline_rate=0.02)
    >>> print(table.iloc[-1, :5].to_string())
    arm                                      all
    contact_count                           4490
    holdout_count                            510
    expected_cost_amount                  2245.0
    expected_incremental_profit_amount    3143.0
    >>> print(table["note"].iloc[-1])
    The hold-out shows an uplift of 0.0241 reliably; 0.03 is expected.
    """
    caller = "target_summary_table"
    outcome = _read_outcome(baseline_rate, standard_deviation, caller=caller)
    demand = Demand(
        check_fraction(power, name="power", caller=caller),
        check_fraction(significance, name="significance", caller=caller),
    )
    rows, engine = read_targets(targets, caller=caller)
    chosen = rows[rows["action"].isin([CONTACT, HOLD_OUT])]
    groups = [(str(arm), group) for arm, group in chosen.groupby("arm", sort=True)]
    summed = [_summed(group, outcome, demand) for _, group in [*groups, (ALL, chosen)]]
    bound = np.full(len(summed), np.nan)
    bound[-1] = rows["profit_bound_amount"].iloc[0]
    columns = {"arm": np.array([*(arm for arm, _ in groups), ALL], dtype=object)}
    columns |= {name: np.array([values[name] for values in summed]) for name in summed[0]}
    note = columns.pop("note")
    return table_with_lists(engine, columns | {"profit_bound_amount": bound, "note": note})


def read_targets(targets: Any, *, caller: str) -> tuple[pd.DataFrame, Engine]:
    """Read what ``target_table`` returned."""
    frame, engine = enter(targets, caller=caller)
    missing = [name for name in NEEDED if name not in columns_of(frame)]
    if missing:
        msg = (
            f"{caller} takes the result of campaigns.target_table(...): no columns {missing} in {columns_of(frame)}. "
            "Lists of crmlytics.decisions are summed up by decisions.summary_table."
        )
        raise MissingColumnsError(msg)
    rows = collect(frame.select(NEEDED)).to_pandas()
    if not len(rows):
        raise SchemaError(f"{caller}: targets has no rows. Expected one row per customer.")
    return rows, engine


def _read_outcome(rate: Any, deviation: Any, *, caller: str) -> Rate | Mean | None:
    """Return what is known of the outcome without a contact."""
    if rate is not None and deviation is not None:
        msg = f"{caller}: give baseline_rate for conversions, or standard_deviation for amounts, not both."
        raise SchemaError(msg)
    if rate is not None:
        return Rate(check_fraction(rate, name="baseline_rate", caller=caller), information=1.0)
    if deviation is not None:
        spread = check_amount(deviation, name="standard_deviation", caller=caller, positive=True)
        return Mean(baseline=0.0, spread=spread)
    return None


def _summed(rows: pd.DataFrame, outcome: Rate | Mean | None, demand: Demand) -> dict[str, Any]:
    """Sum up the targets of one offer, or of all."""
    contacted = rows[rows["action"] == CONTACT]
    count, held = len(contacted), len(rows) - len(contacted)
    uplift = float(contacted["expected_uplift"].mean()) if count else float("nan")
    detectable = outcome.detectable(held, count, demand) if outcome and count and held else float("nan")
    return {
        "contact_count": count,
        "holdout_count": held,
        **{name: float(contacted[name].to_numpy(np.float64, na_value=np.nan).sum()) for name in AMOUNTS},
        "expected_uplift": uplift,
        "detectable_uplift": detectable,
        "note": _note(count, held, uplift, detectable if outcome else None),
    }


def _note(count: int, held: int, uplift: float, detectable: float | None) -> str:
    if not count:
        return "Nobody is contacted."
    if not held:
        return "There is no hold-out: nobody will know what this campaign did."
    if detectable is None:
        return "Give baseline_rate or standard_deviation to learn what the hold-out can show."
    reach = "no uplift" if np.isnan(detectable) else f"an uplift of {detectable:.3g}"
    told = f"The hold-out shows {reach} reliably; {uplift:.3g} is expected."
    return told if uplift >= detectable else f"{told} Hold out more, or judge several campaigns together."
