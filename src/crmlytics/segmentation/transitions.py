"""From stage to stage: how likely customers move on, and what a customer of each stage is worth."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect
from crmlytics._lists import table_with_lists
from crmlytics._validation import as_days, as_moment, check_amount, check_count
from crmlytics.exceptions import SchemaError
from crmlytics.segmentation._moves import transition_columns
from crmlytics.segmentation.lifecycle import CUSTOMER, STAGES, read_rules, stage_plan
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.segmentation.lifecycle import Rules

    Vector = NDArray[np.float64]

REPLICATES = 300
YEAR_DAYS = 365.0


def lifecycle_transition_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    step: str | dt.timedelta = "90d",
    step_count: int = 4,
    window: str | dt.timedelta = "90d",
    at_risk_factor: float = 2.0,
    lapsed_factor: float = 4.0,
) -> Any:
    """Count how customers moved from stage to stage in the steps before ``as_of``, as transition probabilities.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        As in :func:`lifecycle_table`.
    as_of : date
        The end of the last step; lines on or after it are left out.
    step : duration, default "90d"
        From one look at the stages to the next.
    step_count : int, default 4
        How many steps back, at most: none begins before a whole ``window`` is known.
    window, at_risk_factor, lapsed_factor
        As in :func:`lifecycle_table`.

    Returns
    -------
    dataframe of the kind that came in, one row per pair of stages, also those that nobody made
        ``from_stage``, ``to_stage`` (String, in the order of :func:`lifecycle_table`: new, growing, loyal, won back, at
        risk, lapsed); ``transition_count`` (Int64, customers times steps); ``from_customer_count`` (Int64, different
        customers ever seen in ``from_stage``); ``transition_probability`` (Float64, of a step, null if nobody was in
        ``from_stage``); ``transition_probability_low``, ``transition_probability_high`` (Float64, 95 % interval of
        Wilson, wide as if each customer was seen once: what one does again and again is no new evidence).

    Raises
    ------
    SchemaError
        When the data hold no whole step after a whole window.

    Notes
    -----
    Each look knows only what came before it. The last step of two decides alone where the next one goes, which is an
    approximation: who is at risk for the third time is worse off than the table says.

    Examples
    --------
    >>> from crmlytics.datasets import make_transactions
    >>> made = make_transactions(customers=200, random_state=1)
    >>> table = lifecycle_transition_table(made.transactions, as_of="2024-12-31")
    >>> bool((table.groupby("from_stage")["transition_probability"].sum().round(9) == 1).all())
    True
    """
    caller = "lifecycle_transition_table"
    table = Transactions.bind(transactions)
    looks = _looks(as_of, step, step_count, caller=caller)
    rules = read_rules(window, at_risk_factor, lapsed_factor, caller=caller)
    seen = _read_steps(table, looks, rules, caller=caller)
    counts = seen.counts()
    customers = np.array([len(np.unique(seen.customer[seen.origin == stage])) for stage in range(len(STAGES))])
    each = np.repeat(np.arange(len(STAGES)), len(STAGES))
    names = np.array(STAGES, dtype=object)
    columns = {
        "from_stage": names[each],
        "to_stage": np.tile(names, len(STAGES)),
        "transition_count": counts.ravel(),
        "from_customer_count": customers[each],
    }
    moves = transition_columns(counts.ravel(), counts.sum(axis=1)[each], customers[each])
    return table_with_lists(table.engine, columns | moves)


def lifecycle_value_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    step: str | dt.timedelta = "90d",
    step_count: int = 4,
    horizon_step_count: int = 4,
    annual_discount_rate: float = 0.1,
    window: str | dt.timedelta = "90d",
    at_risk_factor: float = 2.0,
    lapsed_factor: float = 4.0,
    random_state: int = 0,
) -> Any:
    """Say what a customer of each stage brings in the next step, and in several: a Markov chain with rewards.

    Parameters
    ----------
    transactions, as_of, step, step_count, window, at_risk_factor, lapsed_factor
        As in :func:`lifecycle_transition_table`.
    horizon_step_count : int, default 4
        How many steps ``expected_amount`` covers.
    annual_discount_rate : float, default 0.1
        What is earned a step later is worth less by this rate a year; the first step counts in full.
    random_state : int
        Of the bootstrap that gives intervals.

    Returns
    -------
    dataframe of the kind that came in, one row per stage, in their order
        ``stage`` (String); ``customer_count`` (Int64, in it at ``as_of``); ``observed_count`` (Int64, customers times
        steps that were seen to begin in it); ``next_amount`` (Float64, mean amount of a customer in the step that
        follows, in the currency of ``amount``); ``next_amount_low``, ``next_amount_high`` (Float64, 95 % interval, by a
        bootstrap of customers); ``expected_amount`` (Float64, over the horizon, discounted), ``expected_amount_low``,
        ``expected_amount_high``; ``total_expected_amount`` (Float64, of all customers in the stage now). Null where no
        step began in the stage.

    Notes
    -----
    ``V = R + P R / (1 + d) + ... + (P / (1 + d))^(h - 1) R``: R the mean amounts of the next step, P the transition
    probabilities, d the rate of a step, h the steps (Pfeifer & Carraway 2000). A stage in which no step began adds
    nothing. Amounts are revenue, returns taken off, not margin, and of customers who are there: those to come are not
    in it. For single customers, ``crm.clv`` tells apart who share a stage.

    References
    ----------
    Pfeifer, P. and Carraway, R. (2000), Modeling customer relationships as Markov chains, Journal of Interactive
    Marketing 14(2).

    Examples
    --------
    >>> from crmlytics.datasets import make_transactions
    >>> made = make_transactions(customers=200, random_state=1)
    >>> table = lifecycle_value_table(made.transactions, as_of="2024-12-31")
    >>> value = table.set_index("stage")["expected_amount"]
    >>> bool(value["loyal"] > value["lapsed"])
    True
    """
    caller = "lifecycle_value_table"
    table = Transactions.bind(transactions)
    looks = _looks(as_of, step, step_count, caller=caller)
    horizon = check_count(horizon_step_count, name="horizon_step_count", caller=caller)
    rate = check_amount(annual_discount_rate, name="annual_discount_rate", caller=caller)
    rules = read_rules(window, at_risk_factor, lapsed_factor, caller=caller)
    seen = _read_steps(table, looks, rules, caller=caller, with_amounts=True)
    per_step = (1 + rate) ** (looks.days / YEAR_DAYS) - 1
    columns = {"stage": np.array(STAGES, dtype=object), "customer_count": seen.now}
    return table_with_lists(table.engine, columns | _value_columns(seen, horizon, per_step, random_state))


# -- inside --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Looks:
    """When the stages are looked at: moments ``days`` apart, the last of them ``as_of``."""

    moments: tuple[dt.datetime, ...]
    days: int


@dataclass(frozen=True, eq=False)
class _Steps:
    """One entry per customer and step: who, the stages before and after as codes, and the amount in between.

    ``now`` is how many customers are in each stage at the last look.
    """

    customer: NDArray[np.int64]
    origin: NDArray[np.int64]
    destination: NDArray[np.int64]
    amount: Vector
    now: NDArray[np.int64]

    @cached_property
    def move(self) -> NDArray[np.int64]:
        """The pair of stages as one code."""
        return self.origin * len(STAGES) + self.destination

    def counts(self) -> NDArray[np.int64]:
        """Return how often each stage (row) was followed by each (column)."""
        return np.bincount(self.move, minlength=len(STAGES) ** 2).reshape(len(STAGES), len(STAGES))

    def sums(self) -> Vector:
        """Return a row per step of what is added up: which of the 36 moves it was, and the amount by stage."""
        moves = (self.move[:, None] == np.arange(len(STAGES) ** 2)).astype(np.float64)
        amounts = (self.origin[:, None] == np.arange(len(STAGES))) * self.amount[:, None]
        return np.hstack([moves, amounts])


def _looks(as_of: Any, step: Any, step_count: Any, *, caller: str) -> _Looks:
    end, days = as_moment(as_of, caller=caller), as_days(step, name="step", caller=caller)
    count = check_count(step_count, name="step_count", caller=caller)
    return _Looks(tuple(end - dt.timedelta(days=days * back) for back in range(count, -1, -1)), days)


def _read_steps(table: Transactions, looks: _Looks, rules: Rules, *, caller: str, with_amounts: bool = False) -> _Steps:
    """Look at the stages of all customers at each moment, each time knowing only what came before."""
    import pandas as pd

    moments = _known_moments(table, looks, rules, caller=caller)
    seen = [_stages_at(table, moment, rules, caller) for moment in moments]
    parts = []
    for start, end, before, after in zip(moments, moments[1:], seen, seen[1:], strict=False):
        joined = before.merge(after, on=CUSTOMER, suffixes=("_before", "_after")).assign(amount=0.0)
        if with_amounts:
            amounts = _amounts_between(table, start, end, caller)
            joined["amount"] = joined[CUSTOMER].map(amounts).fillna(0.0)
        parts.append(joined)
    steps = pd.concat(parts, ignore_index=True)
    if not len(steps):
        msg = f"{caller}: nobody bought anything before {moments[0]:%Y-%m-%d}. Check as_of and the data."
        raise SchemaError(msg)
    steps = steps.sort_values(CUSTOMER, kind="stable")  # or samples of customers would hang on the order of rows
    code = {stage: number for number, stage in enumerate(STAGES)}
    origin, destination, last = (
        stages.map(code).to_numpy(np.int64)
        for stages in (steps["stage_before"], steps["stage_after"], seen[-1]["stage"])
    )
    customer = pd.factorize(steps[CUSTOMER])[0].astype(np.int64)
    now = np.bincount(last, minlength=len(STAGES))
    return _Steps(customer, origin, destination, steps["amount"].to_numpy(np.float64), now)


def _known_moments(table: Transactions, looks: _Looks, rules: Rules, *, caller: str) -> list[dt.datetime]:
    """Return the moments before which a whole window is known: before that, everybody is new."""
    lines = table.before(looks.moments[-1]).need(CUSTOMER, "timestamp", caller=caller)
    found = collect(lines.select(nw.col("timestamp").min()))["timestamp"]
    first = None if found.is_null().any() else as_moment(found[0], name="timestamp", caller=caller)
    known = [one for one in looks.moments if first is not None and one - first >= dt.timedelta(days=rules.window)]
    if len(known) < 2:
        since = "no line lies before it" if first is None else f"the data begin on {first:%Y-%m-%d}"
        msg = (
            f"{caller}: no whole step of {looks.days} days after a window of {rules.window} ends by "
            f'as_of="{looks.moments[-1]:%Y-%m-%d}": {since}. Take a shorter step and window, such as step="30d", '
            'window="30d".'
        )
        raise SchemaError(msg)
    return known


def _stages_at(table: Transactions, moment: dt.datetime, rules: Rules, caller: str) -> Any:
    plan = stage_plan(table, moment, rules, caller=caller).select(CUSTOMER, "stage")
    return collect(plan).to_pandas()


def _amounts_between(table: Transactions, start: dt.datetime, end: dt.datetime, caller: str) -> Any:
    """Return the amount of each customer, as a mapping; to the cent, since sums hang on the order of rows."""
    lines = table.between(start, end).need(CUSTOMER, "amount", caller=caller)
    found = collect(lines.group_by(CUSTOMER).agg(nw.col("amount").sum())).to_pandas()
    return dict(zip(found[CUSTOMER], found["amount"].to_numpy(np.float64).round(6), strict=True))


def _value_columns(seen: _Steps, horizon: int, rate: float, seed: int) -> dict[str, NDArray[Any]]:
    """Return the value of each stage, and how much it varies between samples of customers."""
    from crmlytics._kernels.draws import Draws, bounds

    sums = seen.sums()
    draws = Draws.of(seen.customer, replicates=REPLICATES, seed=seed)
    reward, value = _values(sums.sum(axis=0), horizon, rate)
    drawn = [_values(row, horizon, rate) for row in draws.sums(sums)]
    (next_low, next_high), (low, high) = (bounds(np.array([pair[at] for pair in drawn])) for at in (0, 1))
    return {
        "observed_count": seen.counts().sum(axis=1),
        "next_amount": reward, "next_amount_low": next_low, "next_amount_high": next_high,
        "expected_amount": value, "expected_amount_low": low, "expected_amount_high": high,
        "total_expected_amount": np.where(seen.now > 0, seen.now * value, 0.0),
    }  # fmt: skip


def _values(sums: Vector, horizon: int, rate: float) -> tuple[Vector, Vector]:
    """Return the mean amount of the next step and the value over the horizon, from sums over steps."""
    from crmlytics._kernels.markov import chain_value

    size = len(STAGES)
    moves, amounts = sums[: size * size].reshape(size, size), sums[size * size :]
    total = moves.sum(axis=1)
    by_total = np.divide(1.0, total, out=np.zeros(size), where=total > 0)
    reward = amounts * by_total
    value = chain_value(moves * by_total[:, None], reward, rate, horizon - 1)
    seen = np.where(total > 0, 1.0, np.nan)
    return reward * seen, value * seen
