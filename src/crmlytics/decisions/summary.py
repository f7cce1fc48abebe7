"""What a list of targets comes to: contacts, money, and what its hold-out will be able to show."""

from __future__ import annotations

from typing import Any

import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_fraction
from crmlytics.decisions._campaign import CONTACT, HOLD_OUT, LEAVE
from crmlytics.exceptions import MissingColumnsError

NOTE = (
    "Who is likely to leave or to buy is not who is moved by a contact (Ascarza 2018): judge the campaign by the "
    "difference between contacted and held-out customers. With contacts of a campaign that held customers out at "
    "random, model the uplift."
)
NO_HOLDOUT = " There is no hold-out: nobody will know what this campaign did."
AMOUNTS = (
    "expected_cost_amount",
    "expected_profit_amount",
    "expected_profit_low_amount",
    "expected_profit_high_amount",
)


def summary_table(
    targets: Any, *, probability: str = "churn_probability", power: float = 0.8, confidence: float = 0.95
) -> Any:
    """Sum up a list of targets: contacts, cost, expected profit, and the smallest difference its hold-out can show.

    Parameters
    ----------
    targets : dataframe
        What :func:`target_table` or :func:`response_target_table` returned.
    probability : str, default "churn_probability"
        The column with the probability, such as ``"buy_probability"``.
    power : float, default 0.8
        How often the hold-out is to show a difference that is there.
    confidence : float, default 0.95
        How seldom it is to show one that is not: in 5 % of the campaigns, of either sign.

    Returns
    -------
    dataframe of the kind that came in, one row
        ``contact_count``, ``holdout_count``, ``leave_count`` (Int64), ``expected_cost_amount``,
        ``expected_profit_amount``, ``expected_profit_low_amount``, ``expected_profit_high_amount`` (Float64, of those
        contacted, the bounds being those of ``acceptance``, which is the same for all), ``expected_share`` (Float64,
        mean probability of those contacted and held out: what the hold-out should show), ``smallest_difference_share``
        (Float64, the smallest difference to the contacted that it can be relied on to show; missing without a
        hold-out), ``note`` (String, what these figures do not say).

    Raises
    ------
    MissingColumnsError
        When it is no table of targets, or has no such probability.

    Notes
    -----
    ``smallest_difference_share = (z(1 - alpha / 2) + z(power)) sqrt(p (1 - p)(1 / n + 1 / m))`` for n contacted and m
    held out. If the campaign cannot be expected to make such a difference, hold out more customers, or wait for the
    next campaigns and judge them together: the same customers stay held out while ``random_state`` is the same.

    The bounds of the profit know the uncertainty of the acceptance and nothing else.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from crmlytics.decisions import summary_table, target_table
    >>> scores = pd.DataFrame({"customer_id": range(2000), "churn_probability": np.linspace(0, 0.6, 2000)})
    >>> targets = target_table(scores, customer_value=200, offer_cost=10, contact_cost=1)
    >>> table = summary_table(targets)
    >>> print(table.drop(columns="note").round(3).T.to_string(header=False))
    contact_count                   1330.000
    holdout_count                    123.000
    leave_count                      547.000
    expected_cost_amount           11065.629
    expected_profit_amount         19486.125
    expected_profit_low_amount      2628.951
    expected_profit_high_amount    39999.375
    expected_share                     0.382
    smallest_difference_share          0.128
    """
    caller = "summary_table"
    frame, engine = enter(targets, caller=caller)
    needed = [probability, *AMOUNTS, "action"]
    missing = [name for name in needed if name not in columns_of(frame)]
    if missing:
        msg = f"{caller} sums up the result of target_table(...): no columns {missing} in {columns_of(frame)}."
        if missing == [probability]:
            msg += ' Name the column with the probability, such as probability="buy_probability".'
        raise MissingColumnsError(msg)
    rows = collect(frame.select(needed)).to_pandas()
    power, confidence = (
        check_fraction(value, name=name, caller=caller)
        for name, value in (("power", power), ("confidence", confidence))
    )
    counts = {name: int((rows["action"] == name).sum()) for name in (CONTACT, HOLD_OUT, LEAVE)}
    contacted, chosen = rows[rows["action"] == CONTACT], rows[rows["action"] != LEAVE]
    share = float(chosen[probability].mean()) if len(chosen) else np.nan
    values: dict[str, Any] = {f"{name}_count": counts[action] for name, action in _NAMES.items()}
    values |= {name: float(contacted[name].sum()) for name in AMOUNTS}
    values["expected_share"] = share
    values["smallest_difference_share"] = _smallest_difference(
        share, counts[CONTACT], counts[HOLD_OUT], power=power, confidence=confidence
    )
    values["note"] = NOTE if counts[HOLD_OUT] else NOTE + NO_HOLDOUT
    return table_with_lists(engine, {name: np.array([value]) for name, value in values.items()})


_NAMES = {"contact": CONTACT, "holdout": HOLD_OUT, "leave": LEAVE}


def _smallest_difference(share: float, contacted: int, held: int, *, power: float, confidence: float) -> float:
    from scipy import special

    if not contacted or not held:
        return float("nan")
    reach = special.ndtri(1 - (1 - confidence) / 2) + special.ndtri(power)
    return float(reach * np.sqrt(share * (1 - share) * (1 / contacted + 1 / held)))
