"""What is a score worth in money? The expected maximum profit of a retention campaign, computed exactly."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import check_amount
from crmlytics.metrics._columns import Judged, as_numbers, check_lengths, read_scores
from crmlytics.metrics._offer import Offer, check_values, read_offer

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class ExpectedProfit:
    """What a score is worth when the best part of its list is contacted.

    Attributes
    ----------
    profit_amount : float
        Per customer of the whole list, contacted or not, in the currency of the values.
    fraction : float
        The share of the list to contact, from the top.
    customer_count : int
    total_profit_amount : float
        ``profit_amount * customer_count``.
    """

    profit_amount: float
    fraction: float
    customer_count: int

    @property
    def total_profit_amount(self) -> float:
        """The profit of the whole list."""
        return self.profit_amount * self.customer_count


def expected_max_profit(
    y: Any,
    score: Any,
    *,
    customer_value: Any,
    offer_cost: float,
    contact_cost: float,
    acceptance: float | tuple[float, float] = (6, 14),
) -> ExpectedProfit:
    """Say what a churn score earns if the list is cut where it pays most: the measure that a campaign is about.

    Parameters
    ----------
    y : column of true and false, or 1 and 0
        Who left.
    score : column of numbers
        The list is contacted from the highest down. Customers with the same score are contacted together or not at all.
    customer_value : float or column of numbers
        What a customer who is kept is worth; one number, or one for each customer. Then the order that earns most is
        that of the expected profit, not of the probability.
    offer_cost : float
        What the offer costs when it is taken: by the leavers it keeps, and by all others, who were to stay anyway.
    contact_cost : float
        What it costs to contact anybody.
    acceptance : (a, b) or float, default (6, 14)
        The share of the leavers whom the offer keeps: a beta distribution, by default with mean 0.3, or a share that
        is known.

    Returns
    -------
    ExpectedProfit

    Raises
    ------
    SchemaError
        When lengths differ, values are missing, there is one outcome only, or amounts are negative.

    Notes
    -----
    Contacting the first k customers of the list earns ``g sum(y (V - d)) - sum(y f + (1 - y)(d + f))`` for acceptance
    g, value V, offer cost d and contact cost f: a straight line in g. For each g the best k is chosen; this upper
    envelope of lines is integrated over the beta distribution in closed form. With one value for all customers it is
    the measure of Verbraken, Verbeke and Baesens; individual values change the slopes and nothing else.

    The best cut is chosen knowing the outcomes and the acceptance, so that this is what could be earned at best, good
    for comparing models. What to expect of a campaign says :func:`crmlytics.decisions.profit_table`. And it assumes
    that those who leave can be kept: that is what a campaign with a hold-out has to show.

    References
    ----------
    T. Verbraken, W. Verbeke and B. Baesens (2013), "A novel profit maximizing metric for measuring classification
    performance of customer churn prediction models", IEEE Transactions on Knowledge and Data Engineering 25(5).

    Examples
    --------
    >>> from crmlytics.metrics import expected_max_profit
    >>> found = expected_max_profit(
    ...     [0, 1, 0, 1, 0, 1, 0, 1], [0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 0.8, 0.9],
    ...     customer_value=200, offer_cost=10, contact_cost=1,
    ... )
    >>> round(found.profit_amount, 6), round(found.fraction, 6)
    (23.875593, 0.87437)
    """
    from crmlytics._kernels.expected_profit import expected_maximum, maximum_at, running_totals

    caller = "expected_max_profit"
    judged = read_scores(y, score, caller=caller)
    offer = read_offer(offer_cost=offer_cost, contact_cost=contact_cost, acceptance=acceptance, caller=caller)
    gain, cost = _by_customer(judged, read_values(customer_value, len(judged.y), caller=caller), offer)
    count, gains, costs = running_totals(judged.score, gain, cost)
    if offer.acceptance.beta is None:
        profit, contacts = maximum_at(gains, costs, count, offer.acceptance.mean)
    else:
        profit, contacts = expected_maximum(gains, costs, count, *offer.acceptance.beta)
    return ExpectedProfit(profit / len(judged.y), contacts / len(judged.y), len(judged.y))


def read_values(customer_value: Any, rows: int, *, caller: str) -> NDArray[np.float64]:
    """Return what each customer is worth, from one number or one a customer."""
    if isinstance(customer_value, numbers.Real):
        return np.full(rows, check_amount(customer_value, name="customer_value", caller=caller))
    values = as_numbers(customer_value, name="customer_value", caller=caller)
    check_lengths({"y": rows, "customer_value": len(values)}, caller=caller)
    return check_values(values, name="customer_value", caller=caller)


def _by_customer(
    judged: Judged, value: NDArray[np.float64], offer: Offer
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return what contacting each customer brings if every leaver accepts, and what it costs."""
    gain = np.where(judged.y, value - offer.offer_cost, 0.0)
    cost = np.where(judged.y, 0.0, offer.offer_cost) + offer.contact_cost
    return gain, cost
