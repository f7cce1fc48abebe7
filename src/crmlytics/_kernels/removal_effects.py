"""What a Markov chain loses where every step onto a state's channel leads nowhere: equations solved, nothing simulated.

References
----------
Grassmann, W., Taksar, M. and Heyman, D. (1985), Regenerative analysis and steady state distributions for Markov chains,
Operations Research 33(5), 1107-1116 (elimination without a subtraction). Stewart, W. (1994), Introduction to the
numerical solution of Markov chains, Princeton University Press, chapter 6 (iterative aggregation and disaggregation).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

FLOOR = 2e-15  # of all visits: what rounding may leave over
MOST_ROUNDS = 50  # chains that need more are solved directly
UNSOLVED = -1.0


@compiled
def removal_effects(
    edge_starts: Ints, edge_to: Ints, last: Ints, steps: Floats, ends: Floats, size: int, tolerance: float
) -> Floats:
    """Return what share of conversions and of money is lost where a step onto a channel leads nowhere.

    Parameters
    ----------
    edge_starts, edge_to, last : int64 arrays
        The steps from state ``s`` lead to ``edge_to[edge_starts[s]:edge_starts[s + 1]]``; ``last`` is the channel of
        each state plus 1. State 0 is the beginning, with ``last`` 0, and no step leads there.
    steps : float64 array, shape (draws, edges)
    ends : float64 array, shape (draws, 3, states)
        Conversions from each state, ends without one, and the money of conversions.
    size : int
        The number of channels.
    tolerance : float
        What a share may be wrong by.

    Returns
    -------
    float64 array, shape (2, size, draws)
        NaN where nothing was to lose, and ``UNSOLVED`` where too many rounds are needed.
    """
    draws, states = steps.shape[0], len(last)
    effect = np.zeros((2, size, draws))
    share, leaving, total = np.empty(len(edge_to)), np.empty(states), np.empty(states)
    for draw in range(draws):
        whole = np.zeros(2)
        for state in range(states):
            total[state] = ends[draw, 0, state] + ends[draw, 1, state]
            leaving[state] = total[state]
            whole[0] += ends[draw, 0, state]
            whole[1] += ends[draw, 2, state]
            for edge in range(edge_starts[state], edge_starts[state + 1]):
                total[state] += steps[draw, edge]
            rate = 1.0 / total[state] if total[state] > 0 else 0.0
            leaving[state] *= rate
            for edge in range(edge_starts[state], edge_starts[state + 1]):
                share[edge] = steps[draw, edge] * rate
        if whole[0] <= 0:
            effect[:, :, draw] = np.nan
            continue
        wrong = tolerance * whole[0]
        for channel in range(size):
            visits = visits_without(channel + 1, edge_starts, edge_to, last, share, leaving, total, size, wrong)
            if visits[0] == 0:
                effect[:, channel, draw] = UNSOLVED
                continue
            for what in range(2):
                kept = _reached(visits, total, ends[draw, 2 * what])
                lost = 1.0 - kept / whole[what] if whole[what] > 0 else np.nan
                effect[what, channel, draw] = 0.0 if lost < 0 else lost
    return effect


@compiled
def _reached(visits: Floats, total: Floats, ends: Floats) -> float:
    """Return how much ends from states that are visited less often than in ``total``."""
    kept = 0.0
    for state in range(len(visits)):
        if visits[state] > 0:
            kept += visits[state] / total[state] * ends[state]
    return kept


@compiled
def visits_without(
    removed: int,
    edge_starts: Ints,
    edge_to: Ints,
    last: Ints,
    share: Floats,
    leaving: Floats,
    total: Floats,
    size: int,
    wrong: float,
) -> Floats:
    """Return how often each state is visited where every step onto channel ``removed`` (from 1) leads nowhere.

    The equations ``x = start + x Q`` are solved by aggregation and disaggregation: the states of one last channel are
    taken together, in the proportions known so far, which leaves a chain of first order that elimination solves
    without a subtraction; one step of the whole chain then gives better proportions. A chain of first order is solved
    at once. What a step still changes, the residual, bounds the error of the conversions (no probability exceeds 1):
    it ends at ``wrong``. All visits are 0 where that takes too many rounds, as where a long memory goes in circles.
    """
    states = len(last)
    visits, stepped = total.copy(), np.empty(states)
    for state in range(states):
        if last[state] == removed:
            visits[state] = 0.0
    for _ in range(MOST_ROUNDS):
        _aggregated(visits, removed, edge_starts, edge_to, last, share, leaving, size)
        residual = mass = 0.0
        stepped[:] = 0.0
        stepped[0] = total[0]
        for state in range(states):
            if visits[state] > 0:
                for edge in range(edge_starts[state], edge_starts[state + 1]):
                    if last[edge_to[edge]] != removed:
                        stepped[edge_to[edge]] += visits[state] * share[edge]
        for state in range(states):
            residual += abs(stepped[state] - visits[state])
            mass += stepped[state]
            visits[state] = stepped[state]
        if residual <= max(wrong, FLOOR * mass):
            return visits
    visits[:] = 0.0
    return visits


@compiled
def _aggregated(
    visits: Floats,
    removed: int,
    edge_starts: Ints,
    edge_to: Ints,
    last: Ints,
    share: Floats,
    leaving: Floats,
    size: int,
) -> None:
    """Scale the visits of each last channel, in place, to those of the chain in which such states are one."""
    flow, out, mass = np.zeros((size + 1, size + 1)), np.zeros(size + 1), np.zeros(size + 1)
    for state in range(len(last)):
        if visits[state] > 0:
            here = last[state]
            mass[here] += visits[state]
            out[here] += visits[state] * leaving[state]
            for edge in range(edge_starts[state], edge_starts[state + 1]):
                there = last[edge_to[edge]]
                if there == removed:
                    out[here] += visits[state] * share[edge]
                else:
                    flow[here, there] += visits[state] * share[edge]
    for here in range(size + 1):
        if mass[here] > 0:
            out[here] /= mass[here]
            for there in range(size + 1):
                flow[here, there] /= mass[here]
    scale = _eliminated(flow, out, mass[0])
    for here in range(size + 1):
        scale[here] = scale[here] / mass[here] if mass[here] > 0 else 0.0
    for state in range(len(last)):
        visits[state] *= scale[last[state]]


@compiled
def _eliminated(flow: Floats, out: Floats, start: float) -> Floats:
    """Return the visits of a small chain that begins in state 0 (both arrays are used up): Grassmann and others."""
    size = len(out)
    for gone in range(size - 1, 0, -1):
        escape = out[gone]
        for state in range(gone):
            escape += flow[gone, state]
        for state in range(gone):
            part = flow[state, gone] / escape if flow[state, gone] > 0 else 0.0
            flow[state, gone] = part
            out[state] += part * out[gone]
            for other in range(gone):
                flow[state, other] += part * flow[gone, other]
    visits = np.zeros(size)
    visits[0] = start
    for state in range(1, size):
        for other in range(state):
            visits[state] += visits[other] * flow[other, state]
    return visits
