"""How many to contact: what contacts bring less what they cost, by how far down the ranking they go."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.draws import bounds
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_amount, check_count
from crmlytics.campaigns._experiment import CONTROL, CUSTOMER, Experiment, read_experiment
from crmlytics.campaigns.uplift._judging import SHARES, Judged, judge, stacked
from crmlytics.campaigns.uplift._trial import Trial, read_score_names, read_trials
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]


def incremental_profit_table(
    table: Any,
    *,
    score: str | Sequence[str],
    value: float | str = 1.0,
    contact_cost: float | str = 0.0,
    offer_cost: float | str = 0.0,
    outcome: str = "converted",
    key: Sequence[str] = (CUSTOMER,),
    arm: str = "arm",
    control: Any = CONTROL,
    propensity: str | None = None,
    replicates: int = 1000,
    random_state: int = 0,
) -> Any:
    """Follow the profit of contacting more and more customers, down to where it stops to pay.

    Parameters
    ----------
    table, score, outcome, key, arm, control, propensity, replicates, random_state
        As in :func:`qini_table`.
    value : number or column name, default 1
        What one unit of the outcome is worth: the margin of a conversion, or the margin share of a revenue.
    contact_cost : number or column name, default 0
        Paid for each customer contacted.
    offer_cost : number or column name, default 0
        Paid for each customer contacted whose outcome is above nought, such as a voucher that is redeemed: also by
        those who would have bought anyway.

    Returns
    -------
    dataframe of the kind that came in, one row per arm, score and share contacted (0 to 1 in steps of .01)
        ``arm``, ``score`` (String); ``contact_share`` (Float64), ``contact_count`` (Int64, of the customers of this arm
        and of control); ``incremental_profit_amount`` (Float64, over contacting nobody) with
        ``incremental_profit_amount_low`` and ``incremental_profit_amount_high`` (95%, point by point);
        ``random_profit_amount`` (Float64, of as many random contacts); ``more_than_all_amount`` (Float64, over
        contacting everybody) with ``more_than_all_amount_low`` and ``more_than_all_amount_high``; ``is_best``
        (Boolean: the share with the highest profit, the smallest of equals).

    Raises
    ------
    SchemaError
        When columns are missing or hold missing values, costs are negative, or there is no control group.

    Notes
    -----
    Each customer treated brings ``value * outcome - contact_cost - offer_cost * (outcome > 0)``, each of control
    ``value * outcome``: the curve is :func:`qini_table`'s of these amounts. The profit at the best share flatters,
    being the best of a hundred noisy figures: where its interval over contacting nobody or everybody holds nought, the
    list is not yet known to be worth the trouble. Look at it again on customers of the next campaign.

    Examples
    --------
    >>> import pandas as pd
    >>> arms, bought = ["mail", "control"] * 4, [True, False, True, True, False, False, False, True]
    >>> trial = pd.DataFrame({"customer_id": range(8), "arm": arms, "converted": bought, "uplift": [2.0] * 4 + [1] * 4})
    >>> profit = incremental_profit_table(trial, score="uplift", value=10, contact_cost=1)
    >>> profit.loc[[0, 50, 100], ["contact_count", "incremental_profit_amount", "more_than_all_amount", "is_best"]]
         contact_count  incremental_profit_amount  more_than_all_amount  is_best
    0                0                        0.0                   8.0    False
    50               4                       16.0                  24.0     True
    100              8                       -8.0                   0.0    False
    """
    caller = "incremental_profit_table"
    replicates = check_count(replicates, name="replicates", caller=caller, least=100)
    seed = check_count(random_state, name="random_state", caller=caller, least=0)
    names = read_score_names(score, caller=caller)
    experiment = read_experiment(table, key=key, arm=arm, control=control, needs=[*names, outcome], caller=caller)
    prices = {"value": value, "contact_cost": contact_cost, "offer_cost": offer_cost}
    amounts = {name: _amounts(experiment, price, name=name, caller=caller) for name, price in prices.items()}
    trials = read_trials(experiment, outcome=outcome, scores=names, propensity=propensity, caller=caller)
    columns = {}
    for code, (name, trial) in enumerate(trials.items(), start=1):
        rows = experiment.versus(code)
        profits = _profits(trial, {price: values[rows] for price, values in amounts.items()})
        columns[name] = _columns(judge(profits, replicates=replicates, seed=seed), len(trial.outcome))
    return table_with_lists(experiment.engine, stacked(columns))


def _amounts(experiment: Experiment, price: Any, *, name: str, caller: str) -> Vector:
    """Return one amount per row of the experiment."""
    if not isinstance(price, str):
        return np.full(len(experiment), check_amount(price, name=name, caller=caller))
    amounts = experiment.numbers(price, caller=caller)
    if (amounts < 0).any():
        msg = f"{caller}: {name}={price!r} must be of zero or more, got {amounts.min():g}."
        raise SchemaError(msg)
    return amounts


def _profits(trial: Trial, amounts: Mapping[str, Vector]) -> Trial:
    """Return the same trial with profits as outcomes."""
    paid = amounts["contact_cost"] + amounts["offer_cost"] * (trial.outcome > 0)
    return replace(trial, outcome=amounts["value"] * trial.outcome - np.where(trial.treated, paid, 0.0))


def _columns(judged: Mapping[str, Judged], customers: int) -> dict[str, Any]:
    points = len(SHARES)
    parts = [_figures(one) for one in judged.values()]
    columns: dict[str, Any] = {
        "score": np.repeat(np.array(list(judged), object), points),
        "contact_share": np.tile(SHARES, len(judged)),
        "contact_count": np.tile(np.rint(SHARES * customers).astype(np.int64), len(judged)),
    }
    columns |= {name: np.concatenate([part[name] for part in parts]) * customers for name in parts[0]}
    best = [SHARES[int(np.argmax(part["incremental_profit_amount"]))] == SHARES for part in parts]
    return columns | {"is_best": np.concatenate(best)}


def _figures(one: Judged) -> dict[str, Vector]:
    """Return amounts per customer at each share."""
    values, drawn = one.curve.heights[0], one.drawn.heights
    low, high = bounds(drawn)
    more_low, more_high = bounds(drawn - drawn[:, -1:])
    return {
        "incremental_profit_amount": values,
        "incremental_profit_amount_low": low,
        "incremental_profit_amount_high": high,
        "random_profit_amount": SHARES * one.effect + 0.0,
        "more_than_all_amount": values - values[-1],
        "more_than_all_amount_low": more_low,
        "more_than_all_amount_high": more_high,
    }
