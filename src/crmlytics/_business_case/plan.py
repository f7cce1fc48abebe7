"""A campaign as a few drivers: from customers contacted to revenue, margin and cost by period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from crmlytics._business_case._figures import Flows
from crmlytics._validation import check_amount, check_count
from crmlytics.exceptions import SchemaError

LAST_PERIOD = 10_000
CALLER = "CampaignPlan"
AMOUNTS = (
    "customer_count",
    "order_amount",
    "orders_per_period",
    "contact_cost_amount",
    "offer_cost_amount",
    "fixed_cost_amount",
    "running_cost_amount",
)
SHARES = ("retention_share", "taker_share")


@dataclass(frozen=True, slots=True, kw_only=True)
class CampaignPlan:
    """What a campaign or a CRM investment is expected to do, as drivers that can be argued about one by one.

    Parameters
    ----------
    customer_count : float
        Customers contacted.
    uplift_share : float
        Share of them who buy because of it: what treated customers buy more often than a control group, not how many
        of them buy. Below zero if it drives buyers away.
    order_amount : float
        Revenue of one order.
    margin_share : float
        Share of the revenue that is left after the cost of the goods.
    orders_per_period : float, default 1
        Orders of a customer won, in each period.
    retention_share : float, default 0
        Share of the customers won who still buy in the next period. With 0 there is one period of extra orders.
    period_count : int, default 1
        Periods looked at after period 0, in which contacts are paid for.
    contact_cost_amount, offer_cost_amount : float, default 0
        Cost of one contact, and of the offer to one who takes it.
    taker_share : float, default 0
        Share of the customers contacted who take the offer; those who had bought anyway take it too.
    fixed_cost_amount, running_cost_amount : float, default 0
        Cost of setting up (period 0), and of every later period.

    Notes
    -----
    In period t = 1, 2, ... revenue is ``customers x uplift x orders x order amount x retention^(t - 1)``, the benefit
    is its ``margin_share``, the cost is ``running_cost_amount``. In period 0 the cost is ``fixed + customers x (contact
    cost + taker share x offer cost)``. Margin that is lost counts as a cost.

    Examples
    --------
    >>> plan = CampaignPlan(customer_count=1000, uplift_share=0.02, order_amount=50, margin_share=0.4,
    ...                     retention_share=0.5, period_count=2, contact_cost_amount=0.25)
    >>> plan.to_frame()
      scenario  period  revenue_amount  benefit_amount  cost_amount
    0     plan       0             0.0             0.0        250.0
    1     plan       1          1000.0           400.0          0.0
    2     plan       2           500.0           200.0          0.0
    """

    customer_count: float
    uplift_share: float
    order_amount: float
    margin_share: float
    orders_per_period: float = 1.0
    retention_share: float = 0.0
    period_count: int = 1
    contact_cost_amount: float = 0.0
    offer_cost_amount: float = 0.0
    taker_share: float = 0.0
    fixed_cost_amount: float = 0.0
    running_cost_amount: float = 0.0

    def __post_init__(self) -> None:
        """Check every driver."""
        for name in AMOUNTS:
            check_amount(getattr(self, name), name=name, caller=CALLER)
        for name in SHARES:
            if check_amount(getattr(self, name), name=name, caller=CALLER) > 1:
                raise SchemaError(f"{CALLER}: {name} must be a share from 0 to 1, got {getattr(self, name)!r}.")
        for name in ("uplift_share", "margin_share"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not -1 <= value <= 1:
                raise SchemaError(f"{CALLER}: {name} must be a share from -1 to 1, such as 0.02, got {value!r}.")
        if check_count(self.period_count, name="period_count", caller=CALLER) > LAST_PERIOD:
            raise SchemaError(f"{CALLER}: period_count must be at most {LAST_PERIOD}, got {self.period_count!r}.")

    def flows(self) -> Flows:
        """Return revenue, benefit and cost of periods 0, 1, ... as arrays."""
        period = np.arange(self.period_count + 1)
        won = self.customer_count * self.uplift_share * np.power(float(self.retention_share), np.maximum(period - 1, 0))
        revenue = np.where(period > 0, won * self.orders_per_period * self.order_amount, 0.0)
        margin = revenue * self.margin_share
        cost = np.full(len(period), float(self.running_cost_amount))
        contact = self.contact_cost_amount + self.taker_share * self.offer_cost_amount
        cost[0] = self.fixed_cost_amount + self.customer_count * contact
        return Flows(np.maximum(margin, 0.0), cost + np.maximum(-margin, 0.0), revenue)

    def to_frame(self, scenario: str = "plan") -> Any:
        """Return the cash flows as a pandas dataframe, as :func:`business_case` takes it: one row per period."""
        import pandas as pd

        flows = self.flows()
        return pd.DataFrame(
            {
                "scenario": scenario,
                "period": np.arange(len(flows.net)),
                "revenue_amount": flows.revenue,
                "benefit_amount": flows.benefit,
                "cost_amount": flows.cost,
            }
        )
