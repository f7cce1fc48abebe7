"""When a customer buys (an item) next, on arrays: models of renewal, and the door for :class:`NextPurchaseModel`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from crmlytics._validation import LONGEST_DAYS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.renewal import Spells
    from crmlytics._kernels.renewal_log_logistic import LogLogisticNormal
    from crmlytics._sequences import Sequences

    Vector = NDArray[np.float64]
    Whole = NDArray[np.int64]
    Known = tuple[Vector, Vector]

FAMILIES = ("auto", "weibull", "log-logistic")
NOON = 0.5  # purchases count as made at noon, and what is known ends with a day
INTERVAL = 0.8  # the probability of the dates from low to high
EFFECT_PRIOR = 3.0  # an item or a customer is taken for a usual one until so many pairs say otherwise
EFFECT_SPELLS = 20_000  # to learn effects from, they need no last digits


class Renewal(Protocol):
    """What the families of intervals share; what is known of each key is a pair of arrays."""

    @property
    def log_likelihood(self) -> float:
        """Of the spells fitted."""

    @property
    def middle(self) -> float:
        """The median interval of the key in the middle, in days."""

    @property
    def shape(self) -> float:
        """How regular the intervals of a key are."""

    @property
    def spread(self) -> float:
        """The standard deviation of the logarithms of the keys' medians."""

    def posterior(self, spells: Spells) -> Known:
        """Return what is known of each key."""

    def typical(self, posterior: Known) -> Vector:
        """Return the usual interval of each key, in days."""

    def survival(self, posterior: Known, time: Vector) -> Vector:
        """Return the probability that an interval of each key lasts longer."""

    def left(self, posterior: Known, waited: Vector, share: Vector) -> Vector:
        """Return after how many more days a share of the intervals that lasted so long have not ended."""


class Dates(NamedTuple):
    """When something is expected, in days from the first day not known: 0 is that day; -1 is beyond a century.

    Attributes
    ----------
    probability : float64 array
        That it happens within the horizon; 1 without one.
    middle, low, high : int64 arrays
        Median and 80 % interval of the day, given that it happens within the horizon.
    """

    probability: Vector
    middle: Whole
    low: Whole
    high: Whole


def spells_between(starts: Whole, day: Whole, waited: Vector, key: Whole, keys: int) -> Spells:
    """Return the spells between the days of each history, and the open one after its last day.

    Parameters
    ----------
    starts, day : the days of history ``h`` are ``day[starts[h]:starts[h + 1]]``, rising
    waited : float array, one entry per history
        Days since its last day.
    key : int array, one entry per history
        Whose spells these are.
    keys : int
        How many keys there are.
    """
    from crmlytics._kernels.renewal import Spells

    time = np.diff(day, append=0).astype(np.float64)
    ended = np.ones(len(day), bool)
    time[starts[1:] - 1], ended[starts[1:] - 1] = waited, False
    owner = np.repeat(key, np.diff(starts))
    order = np.argsort(owner, kind="stable")
    return Spells(owner[order], time[order], ended[order], keys)


def fit_renewal(spells: Spells, family: str) -> Renewal:
    """Fit a family of intervals, or the likelier one of both; they have as many parameters, so BIC agrees."""
    from crmlytics._kernels.renewal import fit_weibull
    from crmlytics._kernels.renewal_log_logistic import fit_log_logistic

    if family == "auto":
        return likelier([fit_renewal(spells, each) for each in FAMILIES[1:]])
    return fit_weibull(spells) if family == "weibull" else fit_log_logistic(spells)


def likelier(models: Sequence[Renewal]) -> Renewal:
    """Return the likeliest model, of equals the first."""
    return max(models, key=lambda model: model.log_likelihood)


def probability_within(model: Renewal, known: Known, waited: Vector, horizon: float, pace: Vector) -> Vector:
    """Return the probability that who has waited so long waits no more than ``horizon`` days longer."""
    now, later = (model.survival(known, time / pace) for time in (waited, waited + horizon))
    return np.clip(1 - later / now, 0.0, 1.0)


def dates_within(model: Renewal, known: Known, waited: Vector, horizon: float | None, pace: Vector) -> Dates:
    """Return when the next event is expected of each key that has waited so long, given that it comes in time.

    ``pace`` is how many times longer than the model's the intervals of each key are.
    """
    certain = np.ones(len(waited))
    probability = certain if horizon is None else probability_within(model, known, waited, horizon, pace)
    quantiles = (0.5, (1 - INTERVAL) / 2, (1 + INTERVAL) / 2)
    left = [pace * model.left(known, waited / pace, 1 - quantile * probability) for quantile in quantiles]
    most = LONGEST_DAYS if horizon is None else horizon - 1  # what comes in time comes before its last midnight
    days = [np.where(days < LONGEST_DAYS, np.minimum(np.floor(days), most), -1).astype(np.int64) for days in left]
    return Dates(probability, *days)


def effects(spells: Spells, *groups: Whole) -> list[Vector]:
    """Learn by how much the intervals of each group are longer: the logarithm of the factor, drawn to nothing.

    Group after group: of what the keys of a group are found to differ from the usual one, its mean, as if there were
    some usual keys more. Keys of which little is known count little.

    Parameters
    ----------
    spells : Spells
    groups : int arrays, one entry per key
        The number of the item of each key, say, and that of its customer.
    """
    from crmlytics._kernels.renewal_log_logistic import fit_log_logistic

    found: list[Vector] = []
    pace = np.ones(spells.keys)
    for group in groups:
        at_pace = spells.divided(pace)
        model = fit_log_logistic(at_pace, EFFECT_SPELLS)
        mean, deviation = model.posterior(at_pace)
        known = 1 - (deviation / model.tau) ** 2
        found.append(np.bincount(group, mean - model.mu) / (np.bincount(group, known) + EFFECT_PRIOR))
        pace = pace * np.exp(found[-1])[group]
    return found


@dataclass(frozen=True, slots=True, eq=False)
class PurchaseTiming:
    """What is known of when each customer buys each item, and anything at all, next.

    Attributes
    ----------
    pair : int64 array, rising
        customer x items + item, of all that were bought.
    known : pair of float64 arrays, one entry per pair
    pair_model : LogLogisticNormal
    customer_pace, item_pace : float64 arrays
        How many times longer than usual the intervals of each customer and of each item are.
    order_known, order_waited : of each customer
    order_model : LogLogisticNormal
        Of the days between a customer's days of purchase.
    """

    pair: Whole
    known: Known
    pair_model: LogLogisticNormal | None
    customer_pace: Vector
    item_pace: Vector
    order_known: Known
    order_waited: Vector
    order_model: LogLogisticNormal | None

    def dates(self, customer: Whole, item: Whole, since: Whole, horizon: float | None = None) -> Dates:
        """Return when each customer buys each item next, in days from ``now``.

        Parameters
        ----------
        customer, item : int arrays
            Their numbers.
        since : int array
            Days from the last purchase of the item to ``now``; -1: never bought, so the customer's next order is told.
        horizon : float, optional
            Days; dates are then those given a purchase in ``[now, now + horizon)``.
        """
        bought = since >= 0
        found = Dates(np.empty(len(since)), *[np.empty(len(since), np.int64) for _ in range(3)])
        for rows, dates in ((bought, self._again(customer[bought], item[bought], since[bought], horizon)),
                            (~bought, self._next_order(customer[~bought], horizon))):  # fmt: skip
            for column, values in zip(found, dates, strict=True):
                column[rows] = values
        return found

    def _again(self, customer: Whole, item: Whole, since: Whole, horizon: float | None) -> Dates:
        pace = self.customer_pace[customer] * self.item_pace[item]
        waited = np.maximum(since - NOON, 0.0)
        return _dates(self.pair_model, self._known(customer, item), waited, horizon, pace)

    def _next_order(self, customer: Whole, horizon: float | None) -> Dates:
        known = (self.order_known[0][customer], self.order_known[1][customer])
        return _dates(self.order_model, known, self.order_waited[customer], horizon, np.ones(len(customer)))

    def _known(self, customer: Whole, item: Whole) -> Known:
        """Look up what is known of pairs; nothing but the population of those that were not there."""
        number = customer.astype(np.int64) * len(self.item_pace) + item
        place = np.minimum(np.searchsorted(self.pair, number), len(self.pair) - 1)
        there = self.pair[place] == number
        model = self.pair_model
        mu, tau = (model.mu, model.tau) if model else (0.0, 1.0)
        return np.where(there, self.known[0][place], mu), np.where(there, self.known[1][place], tau)


def learn_timing(sequences: Sequences, now: Whole) -> PurchaseTiming:
    """Learn when customers buy, and buy each item again, from what they bought before ``now`` (a day for each).

    Intervals are log-logistic around a median of each pair's own, at the pace of its item and its customer; what is
    still waited for counts as long as it has lasted. The model of the item of which there is little is that of all.
    """
    elements, items = np.diff(sequences.starts), len(sequences.item_ids)
    owner = np.repeat(np.arange(len(sequences)), elements)
    order_starts, order_day, buyer = _histories(owner, sequences.moment)
    order_waited = np.zeros(len(sequences))
    order_waited[buyer] = _waited(order_starts, order_day, now[buyer])
    orders = spells_between(order_starts, order_day, order_waited[buyer], buyer, len(sequences))
    lengths = np.diff(sequences.item_starts)
    number = np.repeat(owner, lengths) * items + sequences.items
    starts, day, pair = _histories(number, np.repeat(sequences.moment, lengths))
    customer, item = pair // max(items, 1), pair % max(items, 1)
    spells = spells_between(starts, day, _waited(starts, day, now[customer]), np.arange(len(pair)), len(pair))
    order_model, order_known, _ = _learnt(orders, ())
    pair_model, known, paces = _learnt(spells, ((item, items), (customer, len(sequences))))
    return PurchaseTiming(pair, known, pair_model, paces[1], paces[0], order_known, order_waited, order_model)


# -- inside --------------------------------------------------------------------------------------------------------


def _histories(number: Whole, day: Whole) -> tuple[Whole, Whole, Whole]:
    """Return where the days of each number begin, its days, rising and each once, and the numbers, rising."""
    order = np.lexsort((day, number))
    number, day = number[order], day[order]
    fresh = np.ones(len(day), bool)
    fresh[1:] = (number[1:] != number[:-1]) | (day[1:] != day[:-1])
    number, day = number[fresh], day[fresh]
    numbers, first = np.unique(number, return_index=True)
    return np.append(first, len(number)).astype(np.int64), day, numbers


def _waited(starts: Whole, day: Whole, now: Whole) -> Vector:
    return np.asarray(np.maximum(now - day[starts[1:] - 1] - NOON, 0.0), np.float64)


def _learnt(
    spells: Spells, groups: tuple[tuple[Whole, int], ...]
) -> tuple[LogLogisticNormal | None, Known, list[Vector]]:
    """Fit the spells at the pace of their groups: the model (None if no spell ended), what is known, the paces."""
    from crmlytics._kernels.renewal_log_logistic import fit_log_logistic

    paces = [np.ones(size) for _, size in groups]
    if not spells.ended.any():
        return None, (np.zeros(spells.keys), np.ones(spells.keys)), paces
    pace = np.ones(spells.keys)
    for place, effect in enumerate(effects(spells, *[group for group, _ in groups])):
        paces[place][: len(effect)] = np.exp(effect)
        pace = pace * paces[place][groups[place][0]]
    at_pace = spells.divided(pace)
    model = fit_log_logistic(at_pace)
    return model, model.posterior(at_pace.completed()), paces


def _dates(model: LogLogisticNormal | None, known: Known, waited: Vector, horizon: float | None, pace: Vector) -> Dates:
    if model is None:
        never = [np.full(len(waited), -1) for _ in range(3)]
        return Dates(np.full(len(waited), np.nan), *never)
    return dates_within(model, known, waited, horizon, pace)
