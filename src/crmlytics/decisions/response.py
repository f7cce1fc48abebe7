"""Whom to offer something: from probabilities of buying to the customers a contact is worth making to."""

from __future__ import annotations

from typing import Any

import numpy as np

from crmlytics._validation import check_amount
from crmlytics.decisions._campaign import Campaign, profit_curve, read_limits, read_scores, targets
from crmlytics.metrics._offer import read_acceptance


def response_threshold(*, margin: float, contact_cost: float, offer_cost: float = 0.0) -> float:
    """Return the probability of a response above which a contact pays.

    Parameters
    ----------
    margin : float
        What a response earns, before the costs below.
    contact_cost : float
        What it costs to contact anybody.
    offer_cost : float, default 0
        What a response costs besides, such as a voucher.

    Returns
    -------
    float
        ``f / (m - d)`` for margin m, contact cost f and offer cost d. Above 1 it pays for nobody; infinite where a
        response earns nothing.

    Raises
    ------
    SchemaError
        When amounts are negative.

    Examples
    --------
    >>> from crmlytics.decisions import response_threshold
    >>> response_threshold(margin=25, contact_cost=1, offer_cost=5)
    0.05
    """
    caller = "response_threshold"
    margin, contact, offer = (
        check_amount(value, name=name, caller=caller)
        for name, value in (("margin", margin), ("contact_cost", contact_cost), ("offer_cost", offer_cost))
    )
    return contact / (margin - offer) if margin > offer else float("inf")


def response_profit_table(
    scores: Any,
    *,
    probability: str = "buy_probability",
    margin: float | str,
    contact_cost: float,
    offer_cost: float = 0.0,
    key: str = "customer_id",
) -> Any:
    """Say what a campaign costs and earns as it goes down the list, the best customers first.

    Parameters
    ----------
    scores, probability, margin, contact_cost, offer_cost, key
        As in :func:`response_target_table`.

    Returns
    -------
    dataframe of the kind that came in, one row per number of contacts, from none to all, about a hundred of them
        The columns of :func:`profit_table`; without an acceptance to be unsure of, the bounds of the profit are the
        profit.

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`response_target_table`.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.decisions import response_profit_table
    >>> scores = pd.DataFrame({"customer_id": [1, 2, 3], "buy_probability": [0.01, 0.1, 0.5]})
    >>> table = response_profit_table(scores, margin=25, contact_cost=1)
    >>> print(table[["contact_count", "expected_profit_amount", "marginal_profit_amount", "is_best"]].to_string())
       contact_count  expected_profit_amount  marginal_profit_amount  is_best
    0              0                    0.00                     NaN    False
    1              1                   11.50                   11.50    False
    2              2                   13.00                    1.50     True
    3              3                   12.25                   -0.75    False
    """
    return profit_curve(
        _response(scores, probability, margin, key, (contact_cost, offer_cost), caller="response_profit_table")
    )


def response_target_table(
    scores: Any,
    *,
    probability: str = "buy_probability",
    margin: float | str,
    contact_cost: float,
    offer_cost: float = 0.0,
    budget: float | None = None,
    capacity: int | None = None,
    holdout_share: float = 0.1,
    random_state: int = 0,
    key: str = "customer_id",
) -> Any:
    """List whom to contact with an offer, whom to hold out to see what it did, and whom to leave alone.

    Parameters
    ----------
    scores : dataframe, one row per customer or lead
        Of any kind, such as the ``score_table`` of a propensity model. Probabilities should be calibrated.
    probability : str, default "buy_probability"
        The column with the probability of a response if contacted.
    margin : float or str
        What a response earns, before the costs below: one number, or the column that says it for each customer.
    contact_cost : float
        What it costs to contact anybody.
    offer_cost : float, default 0
        What a response costs besides, such as a voucher.
    budget, capacity, holdout_share, random_state
        As in :func:`target_table`.
    key : str, default "customer_id"
        The column with the id, such as ``"lead_id"``.

    Returns
    -------
    dataframe of the kind that came in, one row per customer, sorted by ``rank``
        The columns of :func:`target_table`, with ``threshold_probability`` ``f / (m - d)``, ``expected_cost_amount``
        ``f + d p`` and ``expected_profit_amount`` ``p (m - d) - f``; the bounds of the profit are the profit.

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`target_table`.

    Notes
    -----
    **Who is likely to buy is not who is moved by a contact.** Where ``probability`` was learnt from customers whom
    nobody contacted, many of the likeliest would buy anyway, and their profit is not the campaign's. The difference to
    the hold-out is what the campaign earned; :func:`summary_table` says how small a difference it can show. With
    contacts of a campaign that held customers out at random, model the uplift instead (E. Ascarza, 2018, Journal of
    Marketing Research 55(1), for the same mistake with churn).

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.decisions import response_target_table
    >>> scores = pd.DataFrame({"customer_id": [1, 2, 3], "buy_probability": [0.01, 0.1, 0.5]})
    >>> table = response_target_table(scores, margin=25, contact_cost=1, budget=1.5, holdout_share=0)
    >>> print(table[["customer_id", "expected_profit_amount", "action", "reason"]].to_string())
       customer_id  expected_profit_amount   action           reason
    0            3                   11.50  contact              NaN
    1            2                    1.50    leave           budget
    2            1                   -0.75    leave  below threshold
    """
    caller = "response_target_table"
    limits = read_limits(
        budget=budget, capacity=capacity, holdout_share=holdout_share, random_state=random_state, caller=caller
    )
    return targets(_response(scores, probability, margin, key, (contact_cost, offer_cost), caller=caller), limits)


def _response(scores: Any, probability: str, margin: Any, key: str, costs: tuple[Any, Any], *, caller: str) -> Campaign:
    """Return the campaign: only who responds takes the offer."""
    contact, offer = (
        check_amount(cost, name=name, caller=caller)
        for name, cost in zip(("contact_cost", "offer_cost"), costs, strict=True)
    )
    read = read_scores(scores, key=key, probability=probability, value=margin, value_name="margin", caller=caller)
    earned = read.value - offer
    return Campaign(
        scores=read,
        acceptance=read_acceptance(1.0, caller=caller),
        gain=read.probability * earned,
        cost=np.full(len(earned), contact),
        spending=contact + offer * read.probability,
        threshold=np.divide(contact, earned, out=np.full(len(earned), np.inf), where=earned > 0),
    )
