"""Uplift instead of hope: what rankings of customers can be expected to bring at the same number of contacts."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_amount, check_fraction
from crmlytics.campaigns.targeting._prospects import FIGURES, read_prospects
from crmlytics.decisions._campaign import _per_unit
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.campaigns.targeting.offers import Offer

    Vector = NDArray[np.float64]

BEST, RANDOM = "expected profit", "at random"
SHARES = (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
UPLIFT, COST, PROFIT, *_ = FIGURES
ROUNDING = 1e-12  # of sums in another order


def policy_table(
    scores: Any,
    offers: Offer | list[Offer],
    *,
    policies: Mapping[str, str],
    contact_shares: Sequence[float] = SHARES,
    budget: float | None = None,
    key: str = "customer_id",
) -> Any:
    """Compare rankings of customers by the profit to be expected of contacting as many from the top of each.

    Parameters
    ----------
    scores : dataframe, one row per customer
        With the columns that offers and policies name.
    offers : Offer or list of Offer
        Each customer gets the one that can be expected to bring most, whatever the ranking.
    policies : dict of name to column
        The rankings, highest first: ``{"value": "clv_amount", "churn": "churn_probability"}``. Two are always there:
        "expected profit" and "at random".
    contact_shares : sequence of float, default (0.05, 0.1, 0.2, 0.3, 0.5, 1.0)
        Which shares of the customers to contact.
    budget : float, optional
        The most that contacts and redeemed offers may be expected to cost: a ranking stops where it is spent. "Expected
        profit" then ranks by expected profit per unit of cost, which is best where the budget ends.
    key : str, default "customer_id"
        The column with the id of the customer.

    Returns
    -------
    dataframe of the kind that came in, one row per policy and share, in the order given, "expected profit" first
        ``policy`` (String), ``contact_share`` (Float64, as given), ``contact_count`` (Int64, rounded to customers;
        fewer where the budget ends), and Float64 of those customers: ``expected_uplift`` (mean),
        ``expected_cost_amount``, ``expected_incremental_profit_amount``, ``expected_profit_low_amount`` and
        ``expected_profit_high_amount`` (at the bounds of the uplift; missing where an offer has none),
        ``forgone_profit_amount`` (how much more the ranking "expected profit" brings).

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`target_table`; when a share is not above 0 and at most 1.

    Notes
    -----
    Everybody near the top is contacted, also at a loss: that is what such a ranking does. :func:`target_table` leaves
    customers out who cost more than they bring.

    The uplift is taken at its word, so "expected profit" wins by construction; with a budget it is the better of the
    rankings by profit and by profit per unit of money, which is near the best there is. What the table tells is how
    much a customary ranking gives away, and whether it does better than chance, **if the uplift is right**. Whether it
    is, a campaign with a random hold-out tells: :func:`incremental_profit_table`.

    "At random" is the mean over all choices of so many customers; with a budget of as many as it pays for on average.

    References
    ----------
    E. Ascarza (2018), "Retention futility: targeting high-risk customers might be ineffective", Journal of Marketing
    Research 55(1).

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.campaigns import Offer, policy_table
    >>> scores = pd.DataFrame({"customer_id": [1, 2, 3, 4], "churn_probability": [0.9, 0.6, 0.3, 0.1],
    ...     "uplift_call": [-0.05, 0.02, 0.1, 0.01]})
    >>> call = Offer("call", value=100, contact_cost=2)
    >>> table = policy_table(scores, call, policies={"churn": "churn_probability"}, contact_shares=[0.5])
    >>> shown = ["policy", "contact_count", "expected_incremental_profit_amount", "forgone_profit_amount"]
    >>> print(table[shown].to_string())
                policy  contact_count  expected_incremental_profit_amount  forgone_profit_amount
    0  expected profit              2                                 8.0                    0.0
    1            churn              2                                -7.0                   15.0
    2        at random              2                                 0.0                    8.0
    """
    caller = "policy_table"
    _check_policies(policies, caller=caller)
    shares = _read_shares(contact_shares, caller=caller)
    money = np.inf if budget is None else check_amount(budget, name="budget", caller=caller)
    prospects = read_prospects(scores, offers, columns=tuple(policies.values()), key=key, caller=caller)
    figures = prospects.of(prospects.best())
    worth = figures[PROFIT]
    rankings = {name: prospects.columns[column] for name, column in policies.items()}
    counts = np.round(shares * len(prospects.ids)).astype(np.int64)
    parts = [_best(figures, counts, money)]
    parts += [_of_ranking(figures, ranking, counts, money) for ranking in rankings.values()]
    parts.append(_at_random(figures, counts, money))
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    profit = columns[PROFIT]
    most = np.tile(profit[: len(shares)], len(parts))
    told = {
        "policy": np.repeat(np.array([BEST, *rankings, RANDOM], dtype=object), len(shares)),
        "contact_share": np.tile(shares, len(parts)),
    }
    forgone = np.where(np.abs(most - profit) > ROUNDING * np.abs(worth).sum(), most - profit, 0.0)
    return table_with_lists(prospects.engine, told | columns | {"forgone_profit_amount": forgone})


def _best(figures: dict[str, Vector], counts: NDArray[np.int64], money: float) -> Any:
    """Add up who brings most: by profit, or by profit per unit of money where the budget is what ends the list."""
    worth = figures[PROFIT]
    both = [_of_ranking(figures, by, counts, money) for by in (worth, _per_unit(worth, figures[COST]))]
    plain = both[0][PROFIT] >= both[1][PROFIT]
    return {name: np.where(plain, both[0][name], both[1][name]) for name in both[0]}


def _of_ranking(figures: dict[str, Vector], ranking: Vector, counts: NDArray[np.int64], money: float) -> Any:
    """Add up the first customers of a ranking."""
    order = np.argsort(-ranking, kind="stable")
    within = np.cumsum(figures[COST][order]) <= money * (1 + 1e-12)
    reached = np.minimum(counts, int(within.sum()))
    sums = {name: np.append(0.0, np.cumsum(values[order]))[reached] for name, values in figures.items()}
    return _row(reached, sums)


def _at_random(figures: dict[str, Vector], counts: NDArray[np.int64], money: float) -> Any:
    """Return the mean over all choices of so many customers."""
    means = {name: float(values.mean()) for name, values in figures.items()}
    cost = means[COST]
    affordable = int(min(money / cost * (1 + 1e-12), len(figures[UPLIFT]))) if cost > 0 else counts.max()
    reached = np.minimum(counts, affordable)
    return _row(reached, {name: mean * reached for name, mean in means.items()})


def _row(reached: NDArray[np.int64], sums: dict[str, Vector]) -> dict[str, Any]:
    nobody = np.full(len(reached), np.nan)
    mean = np.divide(sums[UPLIFT], reached, out=nobody, where=reached > 0)
    return {"contact_count": reached} | sums | {UPLIFT: mean}


def _read_shares(shares: Any, *, caller: str) -> Vector:
    given = list(shares) if isinstance(shares, (list, tuple, np.ndarray)) else [shares]
    read = [1.0 if share == 1 else check_fraction(share, name="contact_shares", caller=caller) for share in given]
    if not read or any(later <= earlier for earlier, later in pairwise(read)):
        raise SchemaError(f"{caller}: contact_shares must rise, such as [0.1, 0.2, 0.5], got {shares!r}.")
    return np.array(read)


def _check_policies(policies: Any, *, caller: str) -> None:
    if not isinstance(policies, Mapping) or not policies or not all(isinstance(c, str) for c in policies.values()):
        msg = f'{caller}: policies must name columns, such as {{"churn": "churn_probability"}}, got {policies!r}.'
        raise SchemaError(msg)
    taken = [name for name in policies if name in {BEST, RANDOM}]
    if taken:
        raise SchemaError(f"{caller}: {taken} is compared anyway. Give the policy another name.")
