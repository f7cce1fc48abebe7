"""Funnels on arrays: how far each visitor gets through steps in order, or in any order, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

NEVER = np.iinfo(np.int64).min


@compiled
def ordered_steps(
    starts: NDArray[np.int64], moment: NDArray[np.int64], fits: NDArray[np.bool_], within: int
) -> NDArray[np.int64]:
    """Return when each visitor took each step, in order: shape (visitors, steps), ``NEVER`` for steps not reached.

    Of all ways through the funnel in which the last step is at most ``within`` after the first one, the one told goes
    furthest, gets there first, starts last and then takes each step as early as it can.

    Parameters
    ----------
    starts : shape (visitors + 1,)
        The events of visitor ``v`` are ``starts[v]`` to ``starts[v + 1]``, in the order in which they count.
    moment : shape (events,)
    fits : shape (events, steps)
        Which steps an event may be; it is one of them at most.
    within : in units of ``moment``
    """
    steps = fits.shape[1]
    taken = np.full((len(starts) - 1, steps), NEVER, np.int64)
    latest = np.empty(steps, np.int64)  # the event that begins the latest way through the steps so far
    for visitor in range(len(starts) - 1):
        begin, end = starts[visitor], starts[visitor + 1]
        latest[:] = -1
        furthest, first, arrived = 0, -1, -1
        for event in range(begin, end):
            for step in range(steps - 1, -1, -1):  # backwards: one event is one step
                if not fits[event, step]:
                    continue
                origin = event if step == 0 else latest[step - 1]
                if step == 0 and latest[0] >= 0 and moment[latest[0]] == moment[event]:
                    origin = latest[0]  # of one moment the first, which leaves most to choose from
                if origin < 0 or moment[event] - moment[origin] > within:
                    continue
                latest[step] = origin
                if step + 1 > furthest or (step + 1 == furthest and moment[event] == moment[arrived]):
                    furthest, first, arrived = step + 1, origin, event
        step = 0
        for event in range(first if furthest else end, end):
            if step < furthest and fits[event, step]:
                taken[visitor, step] = moment[event]
                step += 1
    return taken


@compiled
def any_order_steps(
    starts: NDArray[np.int64], moment: NDArray[np.int64], step_of: NDArray[np.int64], step_count: int, within: int
) -> NDArray[np.int64]:
    """Count the first steps that each visitor took, in any order, the last event at most ``within`` after the first.

    ``step_of`` is the one step that each event is.
    """
    furthest = np.zeros(len(starts) - 1, np.int64)
    last = np.empty(step_count, np.int64)
    for visitor in range(len(starts) - 1):
        last[:] = -1
        for event in range(starts[visitor], starts[visitor + 1]):
            last[step_of[event]] = event
            for step in range(step_count):
                if last[step] < 0 or moment[event] - moment[last[step]] > within:
                    break
                furthest[visitor] = max(furthest[visitor], step + 1)
    return furthest
