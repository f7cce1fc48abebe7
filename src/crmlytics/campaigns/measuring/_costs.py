"""What a campaign cost: contacts, offers that were taken, and what was spent once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import check_amount
from crmlytics.campaigns._experiment import CAMPAIGN
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.campaigns._experiment import Experiment
    from crmlytics.campaigns.measuring._effect_rows import Comparison

    Vector = NDArray[np.float64]

SHOWN = 5
CONTACT_COST = "contact_cost_amount"


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What was paid for each customer, and for each campaign once.

    Attributes
    ----------
    contact, offer : float64 arrays, shape (n,)
        Paid for the customer; 0 in the control group, whom nobody contacts: costs logged for it are none of the arm.
    fixed : dict of campaign (None where there is only one) to amount
    treated : dict of campaign to number of treated customers
        Fixed costs are shared out among the arms by their size.
    """

    contact: Vector
    offer: Vector
    fixed: dict[Any, float]
    treated: dict[Any, int]

    def of(self, comparison: Comparison) -> dict[str, float]:
        """Return what an arm cost."""
        size, campaign = len(comparison.treated), comparison.labels.get(CAMPAIGN)
        costs = {
            CONTACT_COST: float(self.contact[comparison.treated].sum()),
            "offer_cost_amount": float(self.offer[comparison.treated].sum()),
            "fixed_cost_amount": self.fixed.get(campaign, 0.0) * size / self.treated[campaign],
        }
        return costs | {"cost_amount": sum(costs.values())}


def read_costs(
    experiment: Experiment, *, contact_cost: Any, offer_cost: Any, campaign_costs: Any, caller: str
) -> Costs:
    """Read the costs of a campaign, or say how to give them."""
    is_treated = experiment.arm > 0
    campaigns = experiment.table[CAMPAIGN].tolist() if CAMPAIGN in experiment.key else [None] * len(experiment)
    treated: dict[Any, int] = {}
    for campaign, one in zip(campaigns, is_treated.tolist(), strict=True):
        treated[campaign] = treated.get(campaign, 0) + one
    contact = _contact_costs(experiment, contact_cost, is_treated, caller=caller)
    offer = _offer_costs(experiment, offer_cost, is_treated, caller=caller)
    return Costs(contact, offer, _fixed_costs(campaign_costs, list(treated), caller=caller), treated)


def _contact_costs(experiment: Experiment, contact_cost: Any, is_treated: NDArray[np.bool_], *, caller: str) -> Vector:
    if contact_cost is not None:
        return np.where(is_treated, check_amount(contact_cost, name="contact_cost", caller=caller), 0.0)
    if CONTACT_COST in experiment.table.columns:
        return np.where(is_treated, experiment.numbers(CONTACT_COST, caller=caller), 0.0)
    msg = (
        f"{caller}: what did a contact cost? Type contact_cost=0.5 (of each customer contacted; 0 if nothing), or give "
        f"the contacts a cost, which outcome_table(...) adds up as {CONTACT_COST!r}."
    )
    raise MissingColumnsError(msg)


def _offer_costs(experiment: Experiment, offer_cost: Any, is_treated: NDArray[np.bool_], *, caller: str) -> Vector:
    cost = check_amount(offer_cost, name="offer_cost", caller=caller)
    if not cost:
        return np.zeros(len(experiment))
    return cost * is_treated * experiment.numbers("converted", caller=caller)


def _fixed_costs(campaign_costs: Any, campaigns: list[Any], *, caller: str) -> dict[Any, float]:
    if campaign_costs is None:
        return {}
    if isinstance(campaign_costs, Mapping):
        unknown = [name for name in campaign_costs if name not in campaigns]
        if unknown:
            known = "no campaign_id: give one amount" if campaigns == [None] else str(campaigns[:SHOWN])
            msg = f"{caller}: campaign_costs names the campaigns {unknown[:SHOWN]}, and the table has {known}."
            raise SchemaError(msg)
        return {name: check_amount(cost, name="campaign_costs", caller=caller) for name, cost in campaign_costs.items()}
    cost = check_amount(campaign_costs, name="campaign_costs", caller=caller)
    if len(campaigns) > 1:
        msg = (
            f"{caller}: campaign_costs={campaign_costs!r} is one amount for {len(campaigns)} campaigns. Say which: "
            f"campaign_costs={{{campaigns[0]!r}: {campaign_costs!r}}}."
        )
        raise SchemaError(msg)
    return {campaigns[0]: cost}
