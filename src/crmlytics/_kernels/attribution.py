"""Sharing the credit for conversions among the channels on the way to them, as functions on arrays.

Every model is linear in the journeys, or in what a chain counts of them, so that drawing journeys (or customers) again
is one product of a sparse matrix with how often each was drawn.

References
----------
Anderl, E., Becker, I., von Wangenheim, F. and Schumann, J. (2016), Mapping the customer journey: lessons learned from
graph-based online attribution modeling, International Journal of Research in Marketing 33(3), 457-474 (removal effect
of chains of any order). Archak, N., Mirrokni, V. and Muthukrishnan, S. (2010), Mining advertiser-specific user behavior
using adfactors, WWW '10, 31-40 (the removal effect). Zhao, K., Mahboobi, S. and Bagheri, S. (2018), Shapley value
methods for attribution modeling in online advertising, arXiv:1804.05327 (Shapley's value in closed form).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.removal_effects import UNSOLVED, removal_effects

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

NO_EFFECT = 1e-12  # below, an effect is the rounding of none
ESTIMATE, DRAW = 1e-13, 1e-8  # the share of conversions that an estimate, or one drawn, may be wrong by


@dataclass(frozen=True, slots=True, eq=False)
class Journeys:
    """Touches on the way to a conversion, or to none.

    Attributes
    ----------
    starts : int64 array, shape (journeys + 1,)
        The touches of journey ``j`` are ``channels[starts[j]:starts[j + 1]]``, in order of time. There may be none.
    channels : int64 array, shape (touches,)
        Codes 0, 1, ...
    is_converted : bool array, shape (journeys,)
    amount : float64 array, shape (journeys,)
        The money of one conversion; 0 without one.
    count : float64 array, shape (journeys,)
        How often the journey was made.
    is_comparable : bool array, shape (journeys,)
        Of a period whose journeys are all known, whether they converted or not: only these tell how many convert.
    """

    starts: Ints
    channels: Ints
    is_converted: NDArray[np.bool_]
    amount: Floats
    count: Floats
    is_comparable: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return how many journeys there are."""
        return len(self.count)

    @property
    def lengths(self) -> Ints:
        """The touches of each journey."""
        return np.diff(self.starts)

    def journey(self) -> Ints:
        """Return the journey of each touch."""
        return np.repeat(np.arange(len(self)), self.lengths)


# -- shares of a journey's touches ---------------------------------------------------------------------------------


def end_shares(journeys: Journeys, *, last: bool) -> Floats:
    """Give all to the first touch, or to the last one."""
    shares = np.zeros(len(journeys.channels))
    touched = journeys.lengths > 0
    shares[journeys.starts[1:][touched] - 1 if last else journeys.starts[:-1][touched]] = 1.0
    return shares


def linear_shares(journeys: Journeys) -> Floats:
    """Give the same to each touch."""
    return 1.0 / journeys.lengths[journeys.journey()]


def position_shares(journeys: Journeys, first: float, middle: float, last: float) -> Floats:
    """Give so much to the first touch, to those between and to the last; of two touches, the ends share all."""
    length = journeys.lengths[journeys.journey()]
    inner = np.divide(middle, length - 2, out=np.zeros(len(length)), where=length > 2)
    touched = journeys.lengths > 0
    inner[journeys.starts[:-1][touched]] = first
    inner[journeys.starts[1:][touched] - 1] = last
    ends = first + last
    pair = inner / ends if ends > 0 else np.full(len(length), 0.5)
    return np.where(length > 2, inner, np.where(length == 2, pair, 1.0))


def decay_shares(journeys: Journeys, days: Floats, half_life: float) -> Floats:
    """Give half as much to a touch that was ``half_life`` days earlier."""
    journey = journeys.journey()
    touched = np.flatnonzero(journeys.lengths > 0)
    latest = np.zeros(len(journeys))
    latest[touched] = np.minimum.reduceat(days, journeys.starts[touched]) if len(touched) else 0.0
    weight = np.exp2(-(days - latest[journey]) / half_life)  # from the latest touch: the smallest weight may vanish
    return np.asarray(weight / np.bincount(journey, weight, len(journeys))[journey])


def shapley_shares(journeys: Journeys, size: int) -> Floats:
    """Give the same to each different channel, as Shapley's value does.

    In his game a set of channels earns what needs no channel outside it: a sum of unanimity games, one for each set of
    channels, and the value of such a game is dealt equally.
    """
    journey = journeys.journey()
    _, first = np.unique(journey * size + journeys.channels, return_index=True)
    shares = np.zeros(len(journey))
    shares[first] = 1.0 / np.bincount(journey[first], minlength=len(journeys))[journey[first]]
    return shares


# -- credit --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class SharedCredit:
    """Credit that each journey deals out by itself.

    Attributes
    ----------
    matrix : sparse array, shape (2 x (size + 1), units)
        What a unit (a journey, or some of them) gives to each channel and to none: conversions, then money.
    size : int
        The number of channels.
    """

    matrix: Any
    size: int

    @classmethod
    def of(cls, journeys: Journeys, shares: Floats, size: int, unit: Any) -> SharedCredit:
        """Deal out each conversion by the shares of its touches; without touches it goes to none, code ``size``."""
        journey = journeys.journey()
        touch = np.flatnonzero(journeys.is_converted[journey])
        bare = np.flatnonzero(journeys.is_converted & (journeys.lengths == 0))
        row = np.concatenate([journey[touch], bare])
        channel = np.concatenate([journeys.channels[touch], np.full(len(bare), size)])
        share = np.concatenate([shares[touch], np.ones(len(bare))])
        rows = np.concatenate([channel, channel + size + 1])
        values = np.concatenate([share, share * journeys.amount[row]])
        return cls(_sparse(values, rows, np.tile(row, 2), (2 * (size + 1), len(journeys))) @ unit, size)

    def credit(self, weights: Floats) -> Floats:
        """Return the credit where each unit counts so often: shape (3, size + 1, draws) for weights (units, draws).

        These are conversions, money, and removal effects, which are missing: only a chain has them.
        """
        dealt = np.asarray(self.matrix @ weights).reshape(2, self.size + 1, -1)
        return np.concatenate([dealt, np.full_like(dealt[:1], np.nan)])


@dataclass(frozen=True, slots=True, eq=False)
class ChainCredit:
    """Credit by removal effects of a Markov chain whose states are the last ``order`` channels.

    Attributes
    ----------
    edge_starts, edge_to : int64 arrays, shapes (states + 1,) and (edges,)
        The steps from state ``s`` lead to ``edge_to[edge_starts[s]:edge_starts[s + 1]]``. State 0 is the beginning.
    last : int64 array, shape (states,)
        The channel of each state plus 1; 0 of the beginning.
    steps : sparse array, shape (edges, units)
        How often each unit took each step, in comparable journeys.
    ends : sparse array, shape (4 x states, units)
        How often comparable journeys of a unit converted from each state, and how often they ended there without; how
        often all of its journeys converted from there, and the money of these.
    bare : SharedCredit
        Conversions without a touch, which are in no chain.
    """

    edge_starts: Ints
    edge_to: Ints
    last: Ints
    steps: Any
    ends: Any
    bare: SharedCredit

    @classmethod
    def of(cls, journeys: Journeys, order: int, size: int, unit: Any) -> ChainCredit:
        """Count the steps of the journeys that have touches."""
        state, last = _states(journeys, order, size)
        journey, touched = journeys.journey(), np.flatnonzero(journeys.lengths > 0)
        is_first = np.zeros(len(state), bool)
        is_first[journeys.starts[touched]] = True
        before = np.where(is_first, 0, np.append(0, state[:-1])[: len(state)])
        key, edge = np.unique(before * len(last) + state, return_inverse=True)
        compared = journeys.is_comparable.astype(np.float64)
        steps = _sparse(compared[journey], edge, journey, (len(key), len(journeys)))
        final, converted = state[journeys.starts[1:][touched] - 1], journeys.is_converted[touched].astype(np.float64)
        compared, money = compared[touched], journeys.amount[touched]
        values = np.concatenate([compared * converted, compared * (1 - converted), converted, converted * money])
        rows = np.concatenate([final + what * len(last) for what in range(4)])
        ends = _sparse(values, rows, np.tile(touched, 4), (4 * len(last), len(journeys)))
        edge_starts = np.searchsorted(key // len(last), np.arange(len(last) + 1))
        nothing = replace(journeys, is_converted=journeys.is_converted & (journeys.lengths == 0))
        bare = SharedCredit.of(nothing, np.zeros(len(state)), size, unit)
        return cls(edge_starts, key % len(last), last, steps @ unit, ends @ unit, bare)

    def credit(self, weights: Floats) -> Floats:
        """Return the credit where each unit counts so often: shape (3, size + 1, draws) for weights (units, draws).

        These are conversions, money, and removal effects. Comparable journeys say in which proportions all conversions
        and their money are dealt; missing where none of them converts.
        """
        ends = (self.ends @ weights).reshape(4, len(self.last), -1)
        effect = self._removal_effects(weights, ends)
        effect[effect < NO_EFFECT] = 0.0
        credit = self.bare.credit(weights)
        credit[:2, :-1] += _in_proportion(effect, ends[2:].sum(axis=1))
        credit[2, :-1] = effect[0]
        return credit

    def _removal_effects(self, weights: Floats, ends: Floats) -> Floats:
        """Return the share of conversions, and of their money, that pass through each channel: (2, size, draws)."""
        tolerance = DRAW if weights.shape[1] > 1 else ESTIMATE
        if len(np.unique(self.last)) == len(self.last):  # of first order: solved in one round
            tolerance = np.inf
        mean = np.divide(ends[3], ends[2], out=np.zeros_like(ends[3]), where=ends[2] > 0)
        leaving = np.ascontiguousarray(np.stack([ends[0], ends[1], ends[0] * mean]).transpose(2, 0, 1))
        counts = np.ascontiguousarray((self.steps @ weights).T)
        effect = removal_effects(self.edge_starts, self.edge_to, self.last, counts, leaving, self.bare.size, tolerance)
        for channel, draw in zip(*np.nonzero(effect[0] == UNSOLVED), strict=True):
            effect[:, channel, draw] = self._solved(channel + 1, counts[draw], leaving[draw])
        return effect

    def _solved(self, removed: int, counts: Floats, ends: Floats) -> Floats:
        """Return what is lost without a channel (from 1) by a direct solution of the equations."""
        from scipy import sparse
        from scipy.sparse.linalg import splu

        states = len(self.last)
        origin = np.repeat(np.arange(states), np.diff(self.edge_starts))
        total = ends[0] + ends[1] + np.bincount(origin, counts, states)
        kept = (self.last != removed) & (total > 0)
        share = counts / np.where(total > 0, total, 1.0)[origin]
        steps = sparse.csr_array((share, (origin, self.edge_to)), shape=(states, states))[kept][:, kept]
        start = np.zeros(int(kept.sum()))
        start[0] = 1.0
        visits = splu((sparse.eye_array(len(start)) - steps).T.tocsc()).solve(start)
        reached = ends[[0, 2]][:, kept] / total[kept] @ visits * total[0]
        whole = ends[[0, 2]].sum(axis=1)
        lost = 1.0 - np.divide(reached, whole, out=np.full(2, np.nan), where=whole > 0)
        return np.asarray(np.maximum(lost, 0.0))


def _in_proportion(effect: Floats, totals: Floats) -> Floats:
    """Deal totals, shape (2, draws), in proportion to removal effects; money as conversions where none is known of."""
    whole = effect.sum(axis=1, keepdims=True)
    share = effect / np.where(whole > 0, whole, np.nan)
    share[1] = np.where(whole[1] > 0, share[1], share[0])
    return np.where(totals[:, None] > 0, share * totals[:, None], 0.0)


def passing(journeys: Journeys, size: int) -> tuple[Ints, Ints, Ints]:
    """Count the journeys that come to each channel, those of them that convert, and the comparable of these."""
    journey = journeys.journey()
    pair = np.unique(journey * size + journeys.channels)
    row, channel = pair // size, pair % size
    every = journeys.count[row]
    converting = every * journeys.is_converted[row]
    weights = (every, converting, converting * journeys.is_comparable[row])
    passed, converted, compared = (np.bincount(channel, weight, size).astype(np.int64) for weight in weights)
    return passed, converted, compared


def _sparse(values: Floats, rows: Ints, columns: Ints, shape: tuple[int, int]) -> Any:
    from scipy import sparse

    return sparse.csr_array((values, (rows, columns)), shape=shape)  # what falls on one place is added up


def _states(journeys: Journeys, order: int, size: int) -> tuple[Ints, Ints]:
    """Give each run of up to ``order`` channels a number from 1: that of each touch, and the last channel of each."""
    state = journeys.channels
    first = np.zeros(len(state), bool)
    first[journeys.starts[:-1][journeys.lengths > 0]] = True
    for _ in range(order - 1):  # a run is the run before it, one shorter, and a channel
        before = np.where(first, 0, np.append(0, state[:-1] + 1)[: len(state)])
        state = np.unique(before * size + journeys.channels, return_inverse=True)[1]
    last = np.zeros(int(state.max(initial=-1)) + 2, np.int64)
    last[state + 1] = journeys.channels + 1
    return state + 1, last
