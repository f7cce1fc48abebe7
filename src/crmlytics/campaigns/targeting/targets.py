"""Whom to contact with what: offers dealt out under a budget, with a hold-out, by what they are expected to bring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._validation import check_count
from crmlytics.campaigns.targeting._prospects import FIGURES, check_arm_names, read_barred, read_prospects
from crmlytics.decisions._campaign import CONTACT, HOLD_OUT, LEAVE, _per_unit, _shares_of, read_limits
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.campaigns.targeting._prospects import Prospects
    from crmlytics.campaigns.targeting.offers import Offer

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]

COMPUTED = ("arm", "action", "reason", "rank", *FIGURES, "contact_cost_amount", "profit_bound_amount")
BELOW, BUDGET, CAPACITY, NOT_ELIGIBLE = "below threshold", "budget", "capacity", "not eligible: "


@dataclass(frozen=True, slots=True, eq=False)
class _Choice:
    """Who gets what.

    Attributes
    ----------
    arm : int64 array, shape (n,)
        The offer's place, -1 for none.
    held : bool array, shape (n,)
        Who is held out if chosen.
    reason : object array, shape (n,)
        Why a customer is left.
    bound : float
        What no list under the same limits can be expected to exceed.
    """

    arm: Codes
    held: NDArray[np.bool_]
    reason: NDArray[Any]
    bound: float


def target_table(
    scores: Any,
    offers: Offer | list[Offer],
    *,
    by: str | None = None,
    budget: float | None = None,
    capacity: int | Mapping[str, int] | None = None,
    eligible: Any = None,
    holdout_share: float = 0.1,
    random_state: int = 0,
    key: str = "customer_id",
) -> Any:
    """List whom to contact with which offer, whom to hold out to see what it did, and whom to leave alone.

    Parameters
    ----------
    scores : dataframe, one row per customer
        Of any kind, such as the ``score_table`` of an uplift model, with the columns that the offers name.
    offers : Offer or list of Offer
        Each customer gets one of them at most.
    by : str, optional
        Rank by this column, highest first, such as value at stake or the probability of leaving or buying, and go down
        that list: each customer gets the most profitable offer that still fits. By default the list that brings most.
        Either way nobody is contacted at an expected loss, and the money is counted alike: :func:`policy_table`
        compares rankings.
    budget : float, optional
        The most that contacts and redeemed offers may be expected to cost.
    capacity : int or dict of offer to int, optional
        The most customers that can be contacted: in all, or with the offers named.
    eligible : dataframe, optional
        The :func:`eligibility_table`: ``is_eligible`` and ``reason`` by customer. Who is not in it is not contacted.
    holdout_share : float, default 0.1
        The share of the chosen who are not contacted, drawn at random for every offer alike: without them nobody will
        know what the campaign did. They use up no money and no capacity. 0 for none.
    random_state : int, default 0
        Fixes the draw, together with the id, as in :func:`crmlytics.decisions.target_table`: the same customers are
        held out in the next run. Another number for another campaign draws others.
    key : str, default "customer_id"
        The column with the id of the customer.

    Returns
    -------
    dataframe of the kind that came in, one row per customer, sorted by ``rank``
        The key; ``arm`` (String, the offer chosen; missing for those left alone); ``action`` (String, "contact",
        "hold out" or "leave"); ``reason`` (String, why a customer is left: "not eligible: <reason>", "below threshold"
        if no offer is worth it, "budget", "capacity"; missing for others); ``rank`` (Int64, from 1, by expected profit,
        or by expected profit per unit of cost where the budget keeps customers out, or by ``by``; who is not eligible
        comes last). Of the offer chosen, or of the most profitable one where none is, and as if contacted (Float64):
        ``expected_uplift``, ``expected_cost_amount`` (contact cost + redemption x offer cost),
        ``expected_incremental_profit_amount`` (uplift x value - that cost), ``expected_profit_low_amount`` and
        ``expected_profit_high_amount`` (at the bounds of the uplift; missing where the offer has none),
        ``contact_cost_amount`` (of the contact alone). And ``profit_bound_amount`` (Float64, the same in every row):
        what no list of these customers, offers, limits and hold-out can be expected to exceed.

    Raises
    ------
    SchemaError
        When there are no rows, ids are missing or repeated, numbers are missing or out of range, limits cannot be read.
    MissingColumnsError
        When a column is missing.

    Notes
    -----
    **How offers are dealt out.** Choosing at most one offer each under a budget is a multiple-choice knapsack. Prices
    for the money and for the places are found first (the Lagrangian dual, whose value is ``profit_bound_amount``); then
    each customer's offers that are worth their price are taken step by step, the most profit per unit of price first:
    from nothing to a cheap offer, from there to a dear one if the difference pays (Sinha and Zoltners 1979). With one
    limit the list is within one step of the best, less than a customer's profit; with several it is a heuristic, and
    the bound tells how far it can be from the best.

    **Measure each offer against its own hold-out.** Customers with different offers were different before. The list is
    no log of contacts: those held out stand in it with their offer. :func:`contacts_table` makes one of it, with a
    campaign per offer and those held out as its control group.

    **Expected is not earned.** Customers are chosen for high predictions, which are too high more often than too low:
    a list usually brings less than its sum. Judge it by the hold-out.

    When not to use: with probabilities of leaving or buying only, and no uplift, there is
    :func:`crmlytics.decisions.target_table`.

    References
    ----------
    P. Sinha and A. Zoltners (1979), "The multiple-choice knapsack problem", Operations Research 27(3). E. Ascarza
    (2018), "Retention futility: targeting high-risk customers might be ineffective", Journal of Marketing Research
    55(1).

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.campaigns import Offer, target_table
    >>> scores = pd.DataFrame({"customer_id": [1, 2, 3], "uplift_email": [0.02, 0.05, -0.01],
    ...     "uplift_call": [0.03, 0.2, 0.1]})
    >>> offers = [Offer("email", value=40, contact_cost=0.1), Offer("call", value=40, contact_cost=2)]
    >>> table = target_table(scores, offers, budget=2.5, holdout_share=0)
    >>> shown = ["customer_id", "arm", "reason", "expected_cost_amount", "expected_incremental_profit_amount"]
    >>> print(table[shown].to_string())
       customer_id    arm  reason  expected_cost_amount  expected_incremental_profit_amount
    0            1  email     NaN                   0.1                                 0.7
    1            2   call     NaN                   2.0                                 6.0
    2            3    NaN  budget                   2.0                                 2.0
    """
    caller = "target_table"
    if key in COMPUTED:
        raise SchemaError(f"{caller}: key={key!r} is the name of a column of the result. Rename it first.")
    prospects = read_prospects(scores, offers, columns=() if by is None else (by,), key=key, caller=caller)
    total, by_arm = _split_capacity(capacity, prospects.arms, caller=caller)
    limits = read_limits(
        budget=budget, capacity=total, holdout_share=holdout_share, random_state=random_state, caller=caller
    )
    nobody = np.full(len(prospects.ids), None, dtype=object)
    barred = nobody if eligible is None else read_barred(eligible, prospects, caller=caller)
    held = _shares_of(prospects.ids, limits.random_state) < limits.holdout_share
    ranking = None if by is None else prospects.columns[by]
    scarce = (limits.budget, float(limits.capacity), by_arm)
    choice = _chosen(prospects, scarce, barred=barred, held=held, ranking=ranking)
    return _table(prospects, choice, ranking)


def _split_capacity(capacity: Any, arms: tuple[str, ...], *, caller: str) -> tuple[Any, Vector]:
    """Return the capacity in all, as it came, and that of every offer."""
    by_arm = np.full(len(arms), np.inf)
    if not isinstance(capacity, Mapping):
        return capacity, by_arm
    check_arm_names(capacity, arms, caller=caller)
    for name, count in capacity.items():
        by_arm[arms.index(name)] = check_count(count, name=f"capacity of {name!r}", caller=caller, least=0)
    return None, by_arm


def _chosen(
    prospects: Prospects,
    scarce: tuple[float, float, Vector],
    *,
    barred: NDArray[Any],
    held: NDArray[np.bool_],
    ranking: Vector | None,
) -> _Choice:
    """Deal out the offers, for the most profit or down a ranking; scarce: money, contacts, and those of each offer."""
    from crmlytics._kernels import allocation

    limits = allocation.Limits(*scarce)
    may = np.array([reason is None for reason in barred.tolist()])
    profit = np.where(may[:, None], prospects.profit, -np.inf)
    cost = prospects.cost
    prices = allocation.best_prices(profit[~held], cost[~held], limits)
    if ranking is None:
        found = allocation.allocate(profit, cost, ~held, limits, prices.prices)
    else:
        found = allocation.allocate_in_order(profit, cost, ~held, limits, np.argsort(-ranking, kind="stable"))
    left = found.arm == allocation.LEFT
    reason = np.full(len(may), None, dtype=object)
    reason[left] = BELOW
    reason[left & (found.refused == allocation.BUDGET)] = BUDGET
    reason[left & (found.refused == allocation.CAPACITY)] = CAPACITY
    reason[~may] = [NOT_ELIGIBLE + str(word) for word in barred[~may]]
    return _Choice(found.arm, held, reason, prices.bound)


def _table(prospects: Prospects, choice: _Choice, ranking: Vector | None) -> Any:
    is_left = choice.arm < 0
    shown = np.where(is_left, prospects.best(), choice.arm)
    figures = prospects.of(shown)
    figures["contact_cost_amount"] = prospects.contact_cost[np.arange(len(shown)), shown]
    barred = np.array([str(reason).startswith(NOT_ELIGIBLE) for reason in choice.reason.tolist()])
    worth = figures["expected_incremental_profit_amount"] if ranking is None else ranking
    if ranking is None and (choice.reason == BUDGET).any():
        worth = _per_unit(worth, figures["expected_cost_amount"])
    order = np.lexsort((-worth, barred))  # rows come sorted by id, which decides among equals
    names = np.array([*prospects.arms, None], dtype=object)
    columns: dict[str, NDArray[Any]] = {
        prospects.key: prospects.ids,
        "arm": names[choice.arm],  # -1 is the last
        "action": np.where(is_left, LEAVE, np.where(choice.held, HOLD_OUT, CONTACT)).astype(object),
        "reason": choice.reason,
    }
    rows = {name: values[order] for name, values in columns.items()}
    rows["rank"] = np.arange(1, len(order) + 1)
    rows |= {name: values[order] for name, values in figures.items()}
    rows["profit_bound_amount"] = np.full(len(order), choice.bound)
    schema: dict[str, Any] = dict.fromkeys(rows, nw.Float64())
    schema |= dict.fromkeys(("arm", "action", "reason"), nw.String()) | {"rank": nw.Int64()}
    schema[prospects.key] = nw.Int64() if prospects.ids.dtype.kind == "i" else nw.String()
    return prospects.engine.from_columns(rows, nw.Schema(schema))
