"""Following visitors through a funnel: who gets how far, when, and in which segment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import collect
from crmlytics._segments import enter_segments
from crmlytics._validation import as_seconds, check_choice, did_you_mean, warn
from crmlytics.clickstream._moments import tell_of_ties
from crmlytics.clickstream._reading import SECOND, as_list, as_names, codes_named, read_clicks
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.clickstream._reading import Clicks
    from crmlytics.tables import Events

FOR_EVER = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True, eq=False)
class Ways:
    """How far those who began a funnel got.

    Attributes
    ----------
    depth : int64 array, shape (visitors,)
        Steps taken, at least 1.
    seconds : float64 array, shape (visitors, steps), NaN where a step was not taken or steps have no order
        From the step before.
    group : int64 array, shape (visitors,)
        The number of the segment, an index to ``names``.
    """

    depth: NDArray[np.int64]
    seconds: NDArray[np.float64]
    group: NDArray[np.int64]
    names: list[str]

    def reached(self) -> NDArray[np.int64]:
        """Count who took each step: shape (segments, steps)."""
        steps = self.seconds.shape[1]
        cells = np.bincount(self.group * (steps + 1) + self.depth, minlength=len(self.names) * (steps + 1))
        exactly = cells.reshape(len(self.names), steps + 1)
        return exactly[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]


class Funnel:
    """The arguments that say what a funnel is."""

    def __init__(self, steps: Any, item: str, order: str, within: Any, caller: str) -> None:
        check_choice(item, ["event", "page"], name="item", caller=caller)
        check_choice(order, ["ordered", "any"], name="order", caller=caller)
        steps = as_list(steps)
        if not isinstance(steps, (list, tuple)) or len(steps) < 2:
            msg = f'{caller}: steps must be a list of two or more, such as ["cart", "purchase"], got {steps!r}.'
            raise SchemaError(msg)
        self.steps = [as_names(step, argument="steps", caller=caller) for step in steps]
        self.item, self.in_order, self.caller = item, order == "ordered", caller
        self.within = FOR_EVER if within is None else as_seconds(within, name="within", caller=caller) * SECOND
        if not self.in_order:
            self._refuse_overlap()

    @property
    def names(self) -> list[str]:
        """What each step is called."""
        return [" or ".join(map(str, step)) for step in self.steps]

    def ways(self, table: Events, by: str, segments: Any) -> Ways:
        """Follow everybody through the funnel."""
        group = [role for role in dict.fromkeys(["customer_id", by]) if role == by or table.has(role)]
        own = [segments] if isinstance(segments, str) else []
        if own:
            self._check_column(table, segments)
        clicks = read_clicks(table, group, [self.item, *own], caller=self.caller)
        fits = np.array(
            [codes_named(step, clicks, self.item, argument="steps", caller=self.caller) for step in self.steps]
        )
        begins, depth, seconds = self._followed(clicks, fits)
        number, names = self._segment_numbers(clicks, begins, table, segments)
        inside = number >= 0
        return Ways(depth[inside], seconds[inside], number[inside], names)

    def _followed(
        self, clicks: Clicks, fits: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Return, of those who began, where in ``clicks`` their first event of the first step is, depth and times."""
        from crmlytics._kernels.funnels import NEVER, any_order_steps, ordered_steps

        codes = clicks.codes[self.item]
        of_step = np.append(fits, np.zeros((len(fits), 1), bool), axis=1)[:, codes].T  # the last place: no page
        place = np.flatnonzero(of_step.any(axis=1))
        of_step, moment = of_step[place], clicks.moment[place]
        visitor = clicks.group()[place]
        first_step = of_step.argmax(axis=1)
        order = np.lexsort((first_step, moment, visitor))  # events of one moment in order of the steps
        place, of_step, moment, first_step = (values[order] for values in (place, of_step, moment, first_step))
        starts = np.searchsorted(visitor, np.arange(len(clicks.starts)))
        if self.in_order:
            tell_of_ties(visitor, moment, first_step, caller=self.caller)
            taken = ordered_steps(starts, moment, np.ascontiguousarray(of_step), self.within)
            depth = (taken != NEVER).sum(axis=1)
            waited = np.where(taken[:, 1:] == NEVER, np.nan, (taken[:, 1:] - taken[:, :-1]) / SECOND)
        else:
            depth = any_order_steps(starts, moment, first_step, len(fits), self.within)
            waited = np.full((len(depth), len(fits) - 1), np.nan)
        began = np.flatnonzero(depth > 0)
        entered = np.flatnonzero(of_step[:, 0])
        begins = place[entered[np.searchsorted(entered, starts[began])]]
        return begins, depth[began], np.insert(waited[began], 0, np.nan, axis=1)

    def _segment_numbers(
        self, clicks: Clicks, begins: NDArray[np.int64], table: Events, segments: Any
    ) -> tuple[NDArray[np.int64], list[str]]:
        """Return the number of the segment of everybody who began (-1: none), and the names, sorted."""
        if segments is None:
            return np.zeros(len(begins), np.int64), ["everybody"]
        if isinstance(segments, str):
            labels = [*map(str, clicks.ids[segments].tolist()), None]
            found = [labels[code] for code in clicks.codes[segments][begins].tolist()]
        else:
            table.need("customer_id", caller=self.caller)
            known = collect(enter_segments(segments, table, caller=self.caller))
            segment_of = dict(zip(known["customer_id"].to_list(), known["segment"].to_list(), strict=True))
            labels = [segment_of.get(customer) for customer in clicks.ids["customer_id"].tolist()]
            found = [labels[code] for code in clicks.codes["customer_id"][begins].tolist()]
        names = sorted(set(found) - {None})
        number = {name: place for place, name in enumerate(names)}
        without = found.count(None)
        if without:
            warn(f"{self.caller}: {without:,} of {len(found):,} who begin the funnel have no segment: left out.")
        return np.array([number.get(name, -1) for name in found], np.int64), names

    def _check_column(self, table: Events, name: str) -> None:
        if table.has(name):
            return
        msg = (
            f"{self.caller}: segments={name!r} is no column of the events.{did_you_mean(name, table.columns)} "
            f"Columns: {table.columns}. Or give a table of customer_id and segment."
        )
        raise MissingColumnsError(msg)

    def _refuse_overlap(self) -> None:
        named = [name for step in self.steps for name in set(step)]
        repeated = sorted({str(name) for name in named if named.count(name) > 1})
        if repeated:
            msg = (
                f'{self.caller}: {repeated} are in several steps, and with order="any" one event cannot tell which of '
                'them it is. Name each event once, or take order="ordered".'
            )
            raise SchemaError(msg)
