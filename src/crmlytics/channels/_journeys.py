"""What customers did, cut into journeys: touches on the way to a conversion, and those that led to none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._baskets import MICROSECONDS_A_DAY
from crmlytics._validation import warn

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.attribution import Journeys

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

MANY_TIED = 0.05  # of touches at the moment of another channel's
MANY_REPEATED = 0.2  # of touches after one of the same channel on the same day


@dataclass(frozen=True, slots=True, eq=False)
class Log:
    """Rows in order of customer and time: touches (``code`` a channel) or conversions (``value`` their money)."""

    owner: Ints
    moment: Ints
    code: Ints
    value: Floats

    @property
    def day(self) -> Ints:
        return self.moment // MICROSECONDS_A_DAY

    def at(self, rows: NDArray[Any]) -> Log:
        return Log(self.owner[rows], self.moment[rows], self.code[rows], self.value[rows])

    def in_order(self) -> Log:
        return self.at(np.lexsort((self.value, self.code, self.moment, self.owner)))

    def tell_of_doubts(self, *, has_sessions: bool, caller: str) -> None:
        """Warn of touches, which stand in order, whose order is not known, and of many that look like one."""
        same = self.owner[1:] == self.owner[:-1]
        clash = same & (self.moment[1:] == self.moment[:-1]) & (self.code[1:] != self.code[:-1])
        tied = (np.append(clash, False) | np.append(False, clash)).mean()
        if tied > MANY_TIED:
            warn(
                f"{caller}: {tied:.0%} of touchpoints share their moment with another channel's of the same customer: "
                "in which order they came is not known, and by name is assumed. Give times of day, or trust only "
                'model="linear" and model="shapley".'
            )
        repeated = (same & (self.day[1:] == self.day[:-1]) & (self.code[1:] == self.code[:-1])).sum()
        if not has_sessions and repeated > MANY_REPEATED * len(self.owner):
            warn(
                f"{caller}: {repeated / len(self.owner):.0%} of touchpoints repeat the channel of the one before, on "
                "the same day: pages of one visit, it seems. Bind session_id, which "
                "crm.clickstream.add_sessions(events) makes, and each visit is one."
            )


def joined(
    touches: Log, conversions: Log, *, begin: int, today: int, lookback: int
) -> tuple[Journeys, Floats, Ints, int]:
    """Give each touch its journey: that of the conversion it led to, or one that led to none.

    ``begin`` is the first moment of the period in microseconds, ``today`` its end and ``lookback`` a length in days.
    Returned are the journeys, the days of touches, the customer of each journey and the number of undecided touches.

    Journeys without a conversion are all known if they began in the period, more than ``lookback`` before its end: so
    only conversions whose journeys began there compare with them.
    """
    from crmlytics._kernels.attribution import Journeys

    following = _following(touches, conversions)
    apart = conversions.day[following] - touches.day if len(conversions.owner) else np.zeros(len(touches.owner))
    leads = (following >= 0) & (apart <= lookback)
    is_old = today - touches.day > lookback
    is_within = touches.moment >= begin
    counted = np.flatnonzero(conversions.moment >= begin)
    number = np.full(len(conversions.owner) + 1, -1)
    number[counted] = np.arange(len(counted))
    journey = np.where(leads, number[following], -1)
    alone = np.flatnonzero(~leads & is_old)
    run, first = _runs(touches.at(alone), lookback)
    began = is_within[alone[first]]
    journey[alone] = np.where(began, len(counted) - 1 + np.cumsum(began), -1)[run]
    kept = np.flatnonzero(journey >= 0)
    kept = kept[np.argsort(journey[kept], kind="stable")]
    total = len(counted) + int(began.sum())
    starts = np.append(0, np.cumsum(np.bincount(journey[kept], minlength=total)))
    touched = np.flatnonzero(np.diff(starts))
    is_comparable = np.zeros(total, bool)
    is_comparable[touched] = (is_old & is_within)[kept[starts[touched]]]  # by the first touch
    owner = np.zeros(total, np.int64)
    owner[journey[kept]] = touches.owner[kept]
    owner[: len(counted)] = conversions.owner[counted]
    amount = np.append(conversions.value[counted], np.zeros(total - len(counted)))
    is_converted = np.arange(total) < len(counted)
    journeys = Journeys(starts, touches.code[kept], is_converted, amount, np.ones(total), is_comparable)
    return journeys, np.where(leads, apart, 0.0)[kept], owner, int((~leads & ~is_old & is_within).sum())


def _following(touches: Log, conversions: Log) -> Ints:
    """Return the next conversion of each touch's customer, at its moment or after it, or -1."""
    size = len(touches.owner)
    owner = np.concatenate([touches.owner, conversions.owner])
    kind = np.arange(len(owner)) >= size
    order = np.lexsort((kind, np.concatenate([touches.moment, conversions.moment]), owner))
    places = np.where(kind[order], np.arange(len(order)), len(order))
    ahead = np.append(order, -1)[np.minimum.accumulate(places[::-1])[::-1]]
    found = np.empty(len(order), np.int64)
    found[order] = np.where((ahead >= 0) & (owner[ahead] == owner[order]), ahead - size, -1)
    return found[:size]


def _runs(touches: Log, lookback: int) -> tuple[Ints, Ints]:
    """Give numbers to runs of touches of one customer no further apart than ``lookback``, and say where they begin."""
    is_new = np.ones(len(touches.owner), bool)
    is_new[1:] = (np.diff(touches.owner) != 0) | (np.diff(touches.day) > lookback)
    return np.cumsum(is_new) - 1, np.flatnonzero(is_new)
