"""Markov chains from counted steps, on arrays: chains that end in a conversion or without one, and chains with memory.

References
----------
Kemeny, J. and Snell, J. (1960), Finite Markov chains, Van Nostrand (absorbing chains, the fundamental matrix).
Anderl, E., Becker, I., von Wangenheim, F. and Schumann, J. (2016), Mapping the customer journey: lessons learned from
graph-based online attribution modeling, International Journal of Research in Marketing 33(3), 457-474 (removal
effect). Singer, P., Helic, D., Taraghi, B. and Strohmaier, M. (2014), Detecting memory and structure in human
navigation patterns using Markov chain models of varying order, PLoS ONE 9(7). Billingsley, P. (1961), Statistical
methods in Markov chains, Annals of Mathematical Statistics 32(1), 12-40 (parameters of chains that cannot go
everywhere). MacKay, D. and Peto, L. (1995), A hierarchical Dirichlet language model, Natural Language Engineering 1(3),
289-308 (falling back on the shorter context).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crmlytics._kernels.transitions import steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

DENSE = 1000  # states up to which a full matrix is quicker than a sparse one
BLOCK = 256  # columns of a sparse inverse at once


# -- chains that end -----------------------------------------------------------------------------------------------


class AbsorbingChain(NamedTuple):
    """What a chain of transient states comes to; every state has a way out.

    Attributes
    ----------
    probability : float64 array, shape (states,)
        Of ending in conversion, from each state; NaN of a state that nothing leaves.
    steps : float64 array
        Expected until the end, from each state; NaN of a state that nothing leaves.
    visits : float64 array
        Expected in each state by who begins at ``start``, the beginning counted.
    without : float64 array
        The probability of conversion from ``start`` were everybody who comes to the state lost there.
    """

    probability: Floats
    steps: Floats
    visits: Floats
    without: Floats


def absorbing_chain(transitions: Any, converting: NDArray[Any], leaving: NDArray[Any], start: int) -> AbsorbingChain:
    """Solve a chain that ends in conversion or without one, from counts (which may be weights).

    Parameters
    ----------
    transitions : sparse array, shape (states, states)
        How often each transient state was followed by each other.
    converting, leaving : float arrays, shape (states,)
        How often each was followed by conversion, and by the end without it.
    start : int
        The state that walks begin in.

    Notes
    -----
    With Q the transient part of the chain and N = (I - Q)^-1, the probabilities are N r for r the probabilities of
    converting at once, the expected steps N 1, the expected visits row ``start`` of N. Who begins at ``start`` comes to
    state j with probability N[start, j] / N[j, j], so that without it N[start] r - N[start, j] / N[j, j] (N r)[j] is
    left: no chain is solved anew for each state.
    """
    from scipy import sparse

    total = np.asarray(transitions.sum(axis=1)).ravel() + converting + leaving
    by_total = np.divide(1.0, total, out=np.zeros(len(total)), where=total > 0)
    lacking = sparse.eye_array(len(total)) - sparse.diags_array(by_total) @ transitions
    inverse_of = _solver(lacking)
    seen = np.where(total > 0, 1.0, np.nan)
    probability, duration = inverse_of.columns(np.column_stack([converting * by_total, np.ones(len(total))])).T
    visits, itself = inverse_of.row(start), inverse_of.diagonal()
    without = probability[start] - visits / itself * probability
    return AbsorbingChain(
        np.clip(probability, 0.0, 1.0) * seen, duration * seen, visits, np.clip(without, 0.0, probability[start])
    )


class _Dense:
    """The inverse of a small matrix."""

    def __init__(self, matrix: Any) -> None:
        self.inverse = np.linalg.inv(matrix.toarray())

    def columns(self, right: Floats) -> Floats:
        return np.asarray(self.inverse @ right)

    def row(self, number: int) -> Floats:
        return np.asarray(self.inverse[number])

    def diagonal(self) -> Floats:
        return np.diag(self.inverse)


class _Sparse:
    """A large sparse matrix in factors, never inverted as a whole."""

    def __init__(self, matrix: Any) -> None:
        from scipy.sparse.linalg import splu

        self.size = matrix.shape[0]
        self.factors = splu(matrix.tocsc())

    def columns(self, right: Floats) -> Floats:
        return np.asarray(self.factors.solve(right))

    def row(self, number: int) -> Floats:
        unit = np.zeros(self.size)
        unit[number] = 1.0
        return np.asarray(self.factors.solve(unit, "T"))

    def diagonal(self) -> Floats:
        found = np.empty(self.size)
        for begin in range(0, self.size, BLOCK):
            size = min(BLOCK, self.size - begin)
            unit = np.zeros((self.size, size))
            unit[begin + np.arange(size), np.arange(size)] = 1.0
            found[begin : begin + size] = self.factors.solve(unit)[begin + np.arange(size), np.arange(size)]
        return found


def _solver(matrix: Any) -> _Dense | _Sparse:
    return _Dense(matrix) if matrix.shape[0] <= DENSE else _Sparse(matrix)


# -- chains with memory --------------------------------------------------------------------------------------------


class Outcomes(NamedTuple):
    """The codes of what may come next in a chain of ``states`` states (0, 1, ...), and how many codes there are."""

    states: int

    @property
    def start(self) -> int:
        """What stands before the first state."""
        return self.states

    @property
    def end(self) -> int:
        """What comes after the last state."""
        return self.states + 1

    @property
    def unknown(self) -> int:
        """A state that was never seen."""
        return self.states + 2

    @property
    def width(self) -> int:
        """How many codes there are."""
        return self.states + 3

    @property
    def possible(self) -> int:
        """How many of them may come next: the states, the end, a state never seen."""
        return self.states + 2


class Level(NamedTuple):
    """The contexts of one length: the last states before something came next, and what came.

    Attributes
    ----------
    key : int64 array, shape (contexts,)
        Rising. ``(number of the context that is one state shorter) * width + (the state before it)``.
    total : int64 array, shape (contexts,)
        How often each was seen.
    pair : int64 array, shape (pairs,)
        Rising. ``(number of the context) * width + (what came next)``.
    times : int64 array, shape (pairs,)
        How often each pair was seen.
    latest : int64 array, shape (contexts,)
        The latest state of each context; -1 of the empty one.
    """

    key: Ints
    total: Ints
    pair: Ints
    times: Ints
    latest: Ints


class Positions(NamedTuple):
    """Places where something comes next: ``recent[0]`` is the state before each, ``recent[1]`` the one before that."""

    coming: Ints
    recent: list[Ints]


def positions(starts: Ints, states: Ints, outcomes: Outcomes, order: int) -> Positions:
    """Return every place of some walks, their ends included; before the first state stands the start, again and again.

    Walks of all lengths then have the same places whatever the order, and chains can be compared.
    """
    walked = steps(starts, states, outcomes.start, outcomes.end)
    here = np.arange(len(walked.origin))
    recent = []
    for back in range(order):
        is_within = walked.place >= back
        recent.append(np.where(is_within, walked.origin[np.where(is_within, here - back, 0)], outcomes.start))
    return Positions(walked.destination, recent)


def final_positions(starts: Ints, states: Ints, outcomes: Outcomes, order: int) -> Positions:
    """Return the place after each walk, where nothing has come yet."""
    recent = []
    for back in range(order):
        at = starts[1:] - 1 - back
        is_within = at >= starts[:-1]
        recent.append(np.full(len(at), outcomes.start))
        recent[-1][is_within] = states[at[is_within]]
    return Positions(np.full(len(starts) - 1, outcomes.end), recent)


def count_contexts(at: Positions, outcomes: Outcomes) -> list[Level]:
    """Count what came after every context of 0, 1, ... states."""
    levels = []
    code, latest = np.zeros(len(at.coming), np.int64), np.array([-1])
    key = code[:1]
    for order in range(len(at.recent) + 1):
        if order:
            key, first, code = np.unique(
                code * outcomes.width + at.recent[order - 1], return_index=True, return_inverse=True
            )
            latest = at.recent[0][first]
        pair, count = np.unique(code * outcomes.width + at.coming, return_counts=True)
        levels.append(Level(key, np.bincount(code, minlength=len(key)), pair, count, latest))
    return levels


class Fit(NamedTuple):
    """How well chains of orders 0, 1, ... fit: an entry each."""

    contexts: Ints
    parameters: Ints
    log_likelihood: Floats
    aic: Floats
    bic: Floats


def fit_of(levels: list[Level], outcomes: Outcomes) -> Fit:
    """Return the maximum likelihood of the chain of each order, and what it costs in parameters.

    A context whose latest state was ever followed by m different things has m - 1 free parameters: where there is no
    link nothing can follow, whatever came before (Billingsley 1961).
    """
    followers = np.zeros(outcomes.width, np.int64)
    if len(levels) > 1:
        followers[levels[1].latest] = np.bincount(levels[1].pair // outcomes.width)
    parameters, likelihood = [len(levels[0].pair) - 1], []
    parameters += [int((followers[level.latest] - 1).sum()) for level in levels[1:]]
    for level in levels:
        share = level.times / level.total[level.pair // outcomes.width]
        likelihood.append(float((level.times * np.log(share)).sum()))
    cost, fit = np.array(parameters, np.int64), np.array(likelihood)
    bic = -2 * fit + cost * np.log(level.total.sum())
    return Fit(np.array([len(level.key) for level in levels]), cost, fit, -2 * fit + 2 * cost, bic)


def context_codes(levels: list[Level], recent: list[Ints], outcomes: Outcomes, count: int) -> list[Ints]:
    """Return the number of the context of each length at some places, -1 where it was never seen."""
    codes = [np.zeros(count, np.int64)]
    for level, state in zip(levels[1:], recent, strict=True):
        codes.append(_found(level.key, np.where(codes[-1] >= 0, codes[-1] * outcomes.width + state, -1)))
    return codes


def probabilities(levels: list[Level], at: Positions, outcomes: Outcomes, smoothing: float) -> Floats:
    """Return the probability of what came at each place.

    ``p(x | context) = (count(context, x) + k p(x | context one shorter)) / (count(context) + k)``, k = ``smoothing``;
    below the empty context everything possible is equally likely. A context never seen leaves it to the shorter one.
    """
    codes = context_codes(levels, at.recent, outcomes, len(at.coming))
    found = np.full(len(at.coming), 1.0 / outcomes.possible)
    for level, code in zip(levels, codes, strict=True):
        pair = _found(level.pair, np.where(code >= 0, code * outcomes.width + at.coming, -1))
        count = np.where(pair >= 0, level.times[pair], 0)
        total = np.where(code >= 0, level.total[code], 0)
        found = (count + smoothing * found) / (total + smoothing)
    return found


def distributions(levels: list[Level], codes: list[Ints], outcomes: Outcomes, smoothing: float) -> Floats:
    """Return the probability of each code at some places of the given contexts, shape (places, width)."""
    found = np.full((len(codes[0]), outcomes.width), 1.0 / outcomes.possible)
    found[:, outcomes.start] = 0.0
    for level, code in zip(levels, codes, strict=True):
        known = np.flatnonzero(code >= 0)
        begin = np.searchsorted(level.pair, code[known] * outcomes.width)
        size = np.searchsorted(level.pair, (code[known] + 1) * outcomes.width) - begin
        entries = np.repeat(begin - (np.cumsum(size) - size), size) + np.arange(size.sum())
        found[known] *= smoothing
        found[np.repeat(known, size), level.pair[entries] % outcomes.width] += level.times[entries]
        found[known] /= (level.total[code[known]] + smoothing)[:, None]
    return found


def _found(keys: Ints, wanted: Ints) -> Ints:
    """Return where each wanted number stands among rising keys, or -1."""
    place = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[place] == wanted, place, -1)
