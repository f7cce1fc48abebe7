"""Whom to keep: from probabilities of leaving to the customers an offer is worth making to."""

from __future__ import annotations

from typing import Any

import numpy as np

from crmlytics._validation import check_amount
from crmlytics.decisions._campaign import Campaign, profit_curve, read_limits, read_scores, targets
from crmlytics.metrics._offer import read_offer


def profit_threshold(
    *, customer_value: float, offer_cost: float, contact_cost: float, acceptance: float | tuple[float, float] = (6, 14)
) -> float:
    """Return the probability of leaving above which contacting a customer pays.

    Parameters
    ----------
    customer_value : float
        What a customer who is kept is worth.
    offer_cost : float
        What the offer costs when it is taken: by the leavers it keeps, and by all who were to stay anyway.
    contact_cost : float
        What it costs to contact anybody.
    acceptance : (a, b) or float, default (6, 14)
        The share of the leavers whom the offer keeps: a beta distribution, by default with mean 0.3, or a share that
        is known.

    Returns
    -------
    float
        ``(d + f) / (g (V - d) + d)`` for value V, offer cost d, contact cost f and mean acceptance g. Above 1 it pays
        for nobody; infinite where there is nothing to win at all.

    Raises
    ------
    SchemaError
        When amounts are negative, or acceptance is neither a share nor a distribution.

    Notes
    -----
    It takes probabilities at their word: use calibrated ones. With the usual 0.5 most of the profit is left lying, or
    most of the budget wasted.

    Examples
    --------
    >>> from crmlytics.decisions import profit_threshold
    >>> round(profit_threshold(customer_value=200, offer_cost=10, contact_cost=1, acceptance=0.3), 4)  # 11 / 67
    0.1642
    """
    caller = "profit_threshold"
    value = check_amount(customer_value, name="customer_value", caller=caller)
    offer = read_offer(offer_cost=offer_cost, contact_cost=contact_cost, acceptance=acceptance, caller=caller)
    won = offer.acceptance.mean * (value - offer.offer_cost) + offer.offer_cost
    return (offer.offer_cost + offer.contact_cost) / won if won > 0 else float("inf")


def profit_table(
    scores: Any,
    *,
    probability: str = "churn_probability",
    customer_value: float | str,
    offer_cost: float,
    contact_cost: float,
    acceptance: float | tuple[float, float] = (6, 14),
    key: str = "customer_id",
) -> Any:
    """Say what a retention campaign costs and earns as it goes down the list, the best customers first.

    Parameters
    ----------
    scores, probability, customer_value, offer_cost, contact_cost, acceptance, key
        As in :func:`target_table`.

    Returns
    -------
    dataframe of the kind that came in, one row per number of contacts, from none to all, about a hundred of them
        ``contact_count`` (Int64, by expected profit, the best first), ``contact_share`` (of all customers),
        ``expected_cost_amount`` (what will be paid out, for contacts and for offers taken), ``expected_profit_amount``
        (of all of them together), ``expected_profit_low_amount`` and ``expected_profit_high_amount`` (at the bounds of
        the central 95 % of ``acceptance``; the same where it is a number), ``marginal_profit_amount`` (of the last
        customer contacted; missing for none; all Float64), ``is_best`` (Boolean, the number that earns most).

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`target_table`.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.decisions import profit_table
    >>> scores = pd.DataFrame({"customer_id": [1, 2, 3], "churn_probability": [0.1, 0.2, 0.9]})
    >>> costs = {"customer_value": 200, "offer_cost": 10, "contact_cost": 1, "acceptance": 0.3}
    >>> table = profit_table(scores, **costs)
    >>> print(table[["contact_count", "expected_cost_amount", "expected_profit_amount", "is_best"]].to_string())
       contact_count  expected_cost_amount  expected_profit_amount  is_best
    0              0                   0.0                     0.0    False
    1              1                   4.7                    49.3    False
    2              2                  14.3                    51.7     True
    3              3                  24.6                    47.4    False
    """
    campaign = _retention(
        scores, probability, customer_value, key, _costs(offer_cost, contact_cost, acceptance), caller="profit_table"
    )
    return profit_curve(campaign)


def target_table(
    scores: Any,
    *,
    probability: str = "churn_probability",
    customer_value: float | str,
    offer_cost: float,
    contact_cost: float,
    acceptance: float | tuple[float, float] = (6, 14),
    budget: float | None = None,
    capacity: int | None = None,
    holdout_share: float = 0.1,
    random_state: int = 0,
    key: str = "customer_id",
) -> Any:
    """List whom to contact in a retention campaign, whom to hold out to see what it did, and whom to leave alone.

    Parameters
    ----------
    scores : dataframe, one row per customer
        Of any kind, such as the ``score_table`` of a churn model. Probabilities should be calibrated.
    probability : str, default "churn_probability"
        The column with the probability of leaving.
    customer_value : float or str
        What a customer who is kept is worth: one number, or the column that says it for each customer.
    offer_cost : float
        What the offer costs when it is taken: by the leavers it keeps, and by all who were to stay anyway.
    contact_cost : float
        What it costs to contact anybody.
    acceptance : (a, b) or float, default (6, 14)
        The share of the leavers whom the offer keeps: a beta distribution, by default with mean 0.3, or a share that
        is known.
    budget : float, optional
        The most that contacts and offers taken may be expected to cost.
    capacity : int, optional
        The most customers that can be contacted.
    holdout_share : float, default 0.1
        The share of those worth contacting who are not contacted, drawn at random: without them nobody will know what
        the campaign did. 0 for none.
    random_state : int, default 0
        Fixes the draw, together with the id: whatever the order of the rows, and in the next run, the same customers
        are held out. Another number for another campaign draws others.
    key : str, default "customer_id"
        The column with the id of the customer.

    Returns
    -------
    dataframe of the kind that came in, one row per customer, sorted by ``rank``
        The key, the probability, ``threshold_probability`` (above which this customer is worth contacting; above 1:
        never), ``expected_cost_amount`` (paid out if contacted: ``f + d (1 - p + g p)``), ``expected_profit_amount``
        (if contacted: ``p (g (V - d) - f) - (1 - p)(d + f)``), ``expected_profit_low_amount`` and
        ``expected_profit_high_amount`` (at the bounds of the central 95 % of ``acceptance``; the same where it is a
        number; all Float64), ``rank`` (Int64, from 1, by expected profit; with a budget by expected profit per unit of
        expected cost, which is what scarce money should buy), ``action`` (String: "contact", "hold out" or "leave"),
        ``reason`` (String, why a customer is left: "below threshold", "budget" or "capacity"; missing for others).

    Raises
    ------
    SchemaError
        When there are no rows, ids are missing or repeated, probabilities lie outside 0 to 1, or amounts are negative.
    MissingColumnsError
        When a column is missing.

    Notes
    -----
    **Who is at risk is not who can be persuaded.** One acceptance for all assumes that a customer who is surer to leave
    is as easy to keep as any other. Ascarza found in two experiments that campaigns aimed at the highest risk kept
    fewer customers than they could have, and made some leave. So the hold-out is there by default:
    :func:`summary_table` says how small a difference it can show. And once there are contacts of a campaign with a
    random hold-out, model who is moved by a contact (uplift) instead of who is at risk.

    References
    ----------
    E. Ascarza (2018), "Retention futility: targeting high-risk customers might be ineffective", Journal of Marketing
    Research 55(1). T. Verbraken, W. Verbeke and B. Baesens (2013), IEEE Transactions on Knowledge and Data Engineering
    25(5), for the profit.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.decisions import target_table
    >>> scores = pd.DataFrame({"customer_id": [1, 2, 3], "churn_probability": [0.1, 0.2, 0.9]})
    >>> costs = {"customer_value": 200, "offer_cost": 10, "contact_cost": 1, "acceptance": 0.3}
    >>> table = target_table(scores, **costs, capacity=1, holdout_share=0)
    >>> print(table[["customer_id", "expected_profit_amount", "rank", "action", "reason"]].to_string())
       customer_id  expected_profit_amount  rank   action           reason
    0            3                    49.3     1  contact              NaN
    1            2                     2.4     2    leave         capacity
    2            1                    -4.3     3    leave  below threshold
    """
    caller = "target_table"
    limits = read_limits(
        budget=budget, capacity=capacity, holdout_share=holdout_share, random_state=random_state, caller=caller
    )
    campaign = _retention(
        scores, probability, customer_value, key, _costs(offer_cost, contact_cost, acceptance), caller=caller
    )
    return targets(campaign, limits)


def _costs(offer_cost: Any, contact_cost: Any, acceptance: Any) -> dict[str, Any]:
    return {"offer_cost": offer_cost, "contact_cost": contact_cost, "acceptance": acceptance}


def _retention(
    scores: Any, probability: str, customer_value: Any, key: str, costs: dict[str, Any], *, caller: str
) -> Campaign:
    """Return the campaign: who leaves and is kept brings a value, who would have stayed takes the offer too."""
    offer = read_offer(**costs, caller=caller)
    read = read_scores(
        scores, key=key, probability=probability, value=customer_value, value_name="customer_value", caller=caller
    )
    p, d, f, kept = read.probability, offer.offer_cost, offer.contact_cost, offer.acceptance.mean
    won = kept * (read.value - d) + d
    return Campaign(
        scores=read,
        acceptance=offer.acceptance,
        gain=p * (read.value - d),
        cost=f + d * (1 - p),
        spending=f + d * (1 - p + kept * p),
        threshold=np.divide(d + f, won, out=np.full(len(won), np.inf), where=won > 0),
    )
