"""What contacting each customer costs and brings, whatever the campaign: the order of the list, and where it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._frames import collect, columns_of, enter, id_column
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_amount, check_count, check_fraction, did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.metrics._columns import as_numbers, check_probabilities
from crmlytics.metrics._offer import Acceptance, check_values

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]

CONTACT, HOLD_OUT, LEAVE = "contact", "hold out", "leave"
POINTS = 100
EXACT = 2.0**53  # beyond it floats skip whole numbers
COMPUTED = (
    "threshold_probability",
    "expected_cost_amount",
    "expected_profit_amount",
    "expected_profit_low_amount",
    "expected_profit_high_amount",
    "rank",
    "action",
    "reason",
)


@dataclass(frozen=True, slots=True)
class Scores:
    """A table of scores, one row per customer, sorted by id.

    Attributes
    ----------
    key, probability_name : str
        Names of the columns of ids and probabilities.
    ids : array, shape (n,)
        int64, or text.
    probability, value : float64 arrays, shape (n,)
        ``value``: what there is to win, a customer's value or an order's margin.
    """

    engine: Engine
    key: str
    probability_name: str
    ids: NDArray[Any]
    probability: Vector
    value: Vector


@dataclass(frozen=True, slots=True)
class Campaign:
    """What contacting each customer brings: ``share * gain - cost``, the share being that of those who accept.

    Attributes
    ----------
    gain, cost : float64 arrays, shape (n,)
    spending : float64 array, shape (n,)
        Money expected to be paid out, for contacts and for offers that are taken.
    threshold : float64 array, shape (n,)
        The probability above which contacting this customer pays.
    """

    scores: Scores
    acceptance: Acceptance
    gain: Vector
    cost: Vector
    spending: Vector
    threshold: Vector

    @property
    def profit(self) -> Vector:
        """Expected profit of contacting each customer, shape (n,)."""
        return self.acceptance.mean * self.gain - self.cost

    def profit_bounds(self, gain: Vector, cost: Vector) -> tuple[Vector, Vector]:
        """Return the profit at the bounds of the acceptance, the lower one first."""
        ends = np.sort([share * gain - cost for share in (self.acceptance.low, self.acceptance.high)], axis=0)
        return ends[0], ends[1]


@dataclass(frozen=True, slots=True)
class Limits:
    """How much may be spent, how many may be contacted, how many are held out."""

    budget: float
    capacity: float
    holdout_share: float
    random_state: int


def read_limits(*, budget: Any, capacity: Any, holdout_share: Any, random_state: Any, caller: str) -> Limits:
    """Check the limits of a campaign; None is no limit."""
    no_holdout = not isinstance(holdout_share, bool) and holdout_share == 0
    return Limits(
        np.inf if budget is None else check_amount(budget, name="budget", caller=caller),
        np.inf if capacity is None else check_count(capacity, name="capacity", caller=caller, least=0),
        0.0 if no_holdout else check_fraction(holdout_share, name="holdout_share", caller=caller),
        check_count(random_state, name="random_state", caller=caller, least=0),
    )


def read_scores(scores: Any, *, key: str, probability: str, value: Any, value_name: str, caller: str) -> Scores:
    """Read a table of scores; ``value`` is a number, or the name of a column of numbers."""
    roles = {"key": key, "probability": probability} | ({value_name: value} if isinstance(value, str) else {})
    _check_roles(roles, caller=caller)
    engine, ids, rows = read_rows(scores, key=key, columns=list(roles.values())[1:], caller=caller)
    chance = as_numbers(rows[probability], name=repr(probability), caller=caller)
    check_probabilities(chance, name=repr(probability), caller=caller)
    if isinstance(value, str):
        amounts = check_values(as_numbers(rows[value], name=repr(value), caller=caller), name=value, caller=caller)
    else:
        amounts = np.full(len(ids), check_amount(value, name=value_name, caller=caller))
    return Scores(engine, key, probability, ids, chance, amounts)


def read_rows(
    table: Any, *, key: str, columns: Iterable[str], name: str = "scores", caller: str
) -> tuple[Engine, NDArray[Any], pd.DataFrame]:
    """Read columns of a table of one row per customer, sorted by id: the kind of table, the ids, the columns."""
    frame, engine = enter(table, caller=caller)
    wanted, there = list(dict.fromkeys([key, *columns])), columns_of(frame)
    missing = [column for column in wanted if column not in there]
    if missing:
        msg = f"{caller} needs {missing}.{did_you_mean(missing[0], there)} Columns: {there}"
        raise MissingColumnsError(msg)
    dtype = frame.collect_schema()[key]
    ids_of = nw.col(key) if dtype.is_float() else id_column(key, dtype, caller=caller)
    rows = collect(frame.select(ids_of, *wanted[1:]).sort(key)).to_pandas()
    return engine, _check_ids(rows[key], key=key, name=name, caller=caller), rows


def targets(campaign: Campaign, limits: Limits) -> Any:
    """Return the list of a campaign, best customers first."""
    scores, profit = campaign.scores, campaign.profit
    worth = profit if np.isinf(limits.budget) else _per_unit(profit, campaign.spending)
    order = np.argsort(-worth, kind="stable")  # rows come sorted by id, which decides among equals
    held = _shares_of(scores.ids, limits.random_state) < limits.holdout_share
    action, reason = _actions(profit[order], campaign.spending[order], held[order], limits)
    low, high = campaign.profit_bounds(campaign.gain, campaign.cost)
    computed = (campaign.threshold, campaign.spending, profit, low, high)
    columns = {
        scores.key: scores.ids[order],
        scores.probability_name: scores.probability[order],
        **{name: values[order] for name, values in zip(COMPUTED, computed, strict=False)},
        "rank": np.arange(1, len(order) + 1),
        "action": action,
        "reason": reason,
    }
    schema = {name: nw.Float64() for name in columns} | {"rank": nw.Int64(), "action": nw.String()}
    schema |= {"reason": nw.String(), scores.key: nw.Int64() if scores.ids.dtype.kind == "i" else nw.String()}
    given = {name: values.tolist() if values.dtype == object else values for name, values in columns.items()}
    return scores.engine.from_columns(given, nw.Schema(schema))


def profit_curve(campaign: Campaign) -> Any:
    """Return what contacting the best k customers costs and brings, for about a hundred k."""
    profit = campaign.profit
    order = np.argsort(-profit, kind="stable")
    best = int((profit > 0).sum())
    counts = np.unique(np.append(np.round(np.linspace(0, len(order), POINTS + 1)).astype(np.int64), best))
    spending, gain, cost = (
        np.append(0.0, np.cumsum(values[order]))[counts] for values in (campaign.spending, campaign.gain, campaign.cost)
    )
    low, high = campaign.profit_bounds(gain, cost)
    columns = {
        "contact_count": counts,
        "contact_share": counts / len(order),
        "expected_cost_amount": spending,
        "expected_profit_amount": campaign.acceptance.mean * gain - cost,
        "expected_profit_low_amount": low,
        "expected_profit_high_amount": high,
        "marginal_profit_amount": np.append(np.nan, profit[order])[counts],
        "is_best": counts == best,
    }
    return table_with_lists(campaign.scores.engine, columns)


def _actions(
    profit: Vector, spending: Vector, held: NDArray[np.bool_], limits: Limits
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Go down the list until money or hands run out; those held out cost neither."""
    pays = profit > 0
    contacted = pays & ~held
    ends = {
        "capacity": _first(contacted & (np.cumsum(contacted) > limits.capacity)),
        "budget": _first(contacted & (np.cumsum(spending * contacted) > limits.budget * (1 + 1e-12))),
    }
    limit = min(ends, key=lambda name: ends[name])
    beyond = np.arange(len(profit)) >= ends[limit]
    reason = np.full(len(profit), None, dtype=object)
    reason[beyond], reason[~pays] = limit, "below threshold"
    action = np.where(~pays | beyond, LEAVE, np.where(held, HOLD_OUT, CONTACT))
    return action.astype(object), reason


def _per_unit(profit: Vector, spending: Vector) -> Vector:
    """Return the profit per unit of money; what costs nothing comes first."""
    free = np.where(profit > 0, np.inf, profit)
    return np.divide(profit, spending, out=free, where=spending > 0)


def _first(flags: NDArray[np.bool_]) -> int:
    return int(flags.argmax()) if flags.any() else len(flags)


def _shares_of(ids: NDArray[Any], random_state: int) -> Vector:
    """Return a number from 0 to 1 for each id, which looks random and is always the same for the same id."""
    words = np.array([str(value) for value in ids.tolist()], dtype=object)
    key = f"{random_state % 10**16:016d}"
    hashed = pd.util.hash_array(words, hash_key=key, categorize=False)
    return np.asarray(hashed, np.float64) / 2.0**64


def _check_roles(roles: dict[str, str], *, caller: str) -> None:
    """Check that no column has two roles, or the name of one that is computed."""
    names = list(roles.values())
    taken = [name for name in names if name in COMPUTED]
    if taken:
        raise SchemaError(f"{caller}: {taken} are names of columns of the result. Rename them first.")
    twice = [f"{role}={name!r}" for role, name in roles.items() if names.count(name) > 1]
    if twice:
        raise SchemaError(f"{caller}: {' and '.join(twice)} are the same column. Expected one each.")


def _check_ids(ids: pd.Series[Any], *, key: str, name: str, caller: str) -> NDArray[Any]:
    if not len(ids):
        raise SchemaError(f"{caller}: {name} has no rows. Expected one row per customer.")
    if ids.isna().any():
        raise SchemaError(f"{caller}: {key!r} is missing in {int(ids.isna().sum()):,} rows.")
    if pd.api.types.is_float_dtype(ids.dtype):
        ids = _as_whole(ids, key=key, caller=caller)
    repeated = ids[ids.duplicated()]
    if len(repeated):
        msg = (
            f"{caller}: {key} {repeated.tolist()[0]!r} has more than one row ({len(repeated):,} rows too many). Keep "
            "one row per customer, such as that of the latest cutoff."
        )
        raise SchemaError(msg)
    return np.asarray(ids, np.int64 if pd.api.types.is_integer_dtype(ids.dtype) else object)


def _as_whole(ids: pd.Series[Any], *, key: str, caller: str) -> pd.Series[Any]:
    """Read whole numbers that came as floats, as the contracts of tables do."""
    number = ids.to_numpy(np.float64)
    unfit = number[(number != np.floor(number)) | (np.abs(number) >= EXACT)]
    if len(unfit):
        large = abs(unfit[0]) >= EXACT
        why = "It is too large to be held exactly: give the ids as text." if large else "Is this the right column?"
        raise SchemaError(f"{caller}: {key!r} must be whole numbers or text, got {unfit[0]}. {why}")
    return pd.Series(number.astype(np.int64))
