"""How long customers stay: the Pareto and the Gamma/Gompertz distribution, and integrals over them that never fail.

Both are one distribution on two clocks. In customer time c a lifetime is exponential, with a rate that is gamma
distributed over customers, shape s and rate beta: ``S = (beta / (beta + c)) ** s``. The Pareto takes customer time for
calendar time, ``c = t``; in the Gamma/Gompertz customers age ever faster, ``c = exp(b t) - 1``.

Integrals over lifetimes are taken in ``v = log((m + c) / (m + c(start)))``. With m no larger than what is added to c in
any factor of the integrand, all its singularities lie at imaginary parts of pi or more, so a few Gauss-Legendre nodes
give all digits. What is raised to a power is counted from the start of the integral: nothing overflows.

References
----------
Schmittlein, D., Morrison, D. and Colombo, R. (1987), Counting your customers: who are they and what will they do
next?, Management Science 33(1). Bemmaor, A. and Glady, N. (2012), Modeling purchasing behavior with sudden "death": a
flexible customer lifetime model, Management Science 58(5).
"""

# ruff: noqa: ARG002  the signatures are those of the protocol

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    from crmlytics._kernels.process import Params
    from crmlytics._kernels.special import Vector

NEGLIGIBLE = 40.0  # exp(-40) is below the rounding of a double
FALL = 60.0  # what has fallen by exp(-60) is negligible even if another factor grows by exp(25) after it
LARGEST_LOG = 600.0  # exp(600) does not overflow, nor vanish beside 1 when multiplied by a share of exp(-500)
PANEL_LENGTH = 3.0  # in v; singularities are pi away
PANEL_FALL = 12.0  # logarithm of the largest ratio of the integrand within a panel
NODES = 16
FEW_NODES, FEW_REACH = 8, 0.25  # so far into a panel, few nodes are as exact as all of them are for a whole one
NUMBERS_PER_CHUNK = 16384  # 128 KB an array: several stay in the cache


@dataclass(frozen=True, slots=True)
class Frame:
    """Where integrals start, one entry per row.

    Attributes
    ----------
    start : array
        In calendar time.
    beta_share : array
        ``(m + c) / (beta + c)`` at the start, at most 1.
    time_share : array
        The same for what calendar time is made from: ``m + c`` (Pareto) or ``(m + c) / (1 + c)`` (Gamma/Gompertz).
    hazard : array
        ``1 / (beta + c)`` at the start.
    bend : array
        The v from which on all singularities are left behind, so that panels may grow.
    """

    start: Vector
    beta_share: Vector
    time_share: Vector
    hazard: Vector
    bend: Vector

    def take(self, rows: npt.NDArray[np.intp]) -> Frame:
        """Return some of the rows."""
        return Frame(self.start[rows], self.beta_share[rows], self.time_share[rows], self.hazard[rows], self.bend[rows])

    def beta_share_at(self, v: Vector) -> Vector:
        """Return ``(m + c) / (beta + c)`` at v."""
        return np.asarray(1 / (1 + (1 / self.beta_share - 1) * np.exp(-v)))


class Lifetime(Protocol):
    """A distribution of lifetimes; ``params`` are those named ``names``, the last two s and beta.

    Attributes
    ----------
    growth : float
        In the long run calendar time grows like ``exp(growth * v)``.
    """

    @property
    def names(self) -> tuple[str, ...]: ...
    @property
    def time_powers(self) -> tuple[int, ...]: ...
    @property
    def growth(self) -> float: ...

    def frame(self, params: Params, start: Vector, *, reach: float | Vector) -> Frame:
        """Describe the start of integrals with powers of ``reach + time`` in them; reach is infinite without any."""

    def span(self, params: Params, frame: Frame, ahead: Vector) -> Vector:
        """Return v at ``start + ahead``."""

    def elapsed(self, params: Params, frame: Frame, v: Vector) -> Vector:
        """Return the calendar time from the start to v."""

    def pace(self, params: Params, frame: Frame, v: Vector) -> Vector:
        """Return the derivative of calendar time by v."""

    def log_survival(self, params: Params, start: Vector, ahead: float | Vector) -> Vector:
        """Return ``log(S(start + ahead) / S(start))``."""

    def survival_slopes(self, params: Params, T: Vector) -> Vector:
        """Return the derivatives of ``log S(T)`` by the parameters, shape (k, n)."""

    def density_slopes(self, params: Params, nodes: Nodes, mean: Callable[[Vector], Vector]) -> Vector:
        """Return the means over nodes of the derivatives of ``log(f / S(start))`` by the parameters, shape (k, n)."""


@dataclass(frozen=True, slots=True)
class Pareto:
    """``S(t) = (beta / (beta + t)) ** s``."""

    names: ClassVar[tuple[str, ...]] = ("s", "beta")
    time_powers: ClassVar[tuple[int, ...]] = (0, 1)
    growth: ClassVar[float] = 1.0

    def frame(self, params: Params, start: Vector, *, reach: float | Vector) -> Frame:
        """Describe the start of integrals; m is the smaller of beta and reach."""
        _, beta = params
        scale = np.minimum(beta, reach) + start
        return Frame(start, scale / (beta + start), scale, 1 / (beta + start), np.full_like(start, np.inf))

    def span(self, params: Params, frame: Frame, ahead: Vector) -> Vector:
        """Return v at ``start + ahead``."""
        return np.asarray(np.log1p(ahead / frame.time_share))

    def elapsed(self, params: Params, frame: Frame, v: Vector) -> Vector:
        """Return the calendar time from the start to v."""
        return np.asarray(frame.time_share * np.expm1(v))

    def pace(self, params: Params, frame: Frame, v: Vector) -> Vector:
        """Return the derivative of calendar time by v."""
        return np.asarray(frame.time_share * np.exp(v))

    def log_survival(self, params: Params, start: Vector, ahead: float | Vector) -> Vector:
        """Return ``log(S(start + ahead) / S(start))``."""
        s, beta = params
        return np.asarray(-s * np.log1p(ahead / (beta + start)))

    def survival_slopes(self, params: Params, T: Vector) -> Vector:
        """Return the derivatives of ``log S(T)`` by s and beta."""
        s, beta = params
        return np.stack([-np.log1p(T / beta), s * T / (beta * (beta + T))])

    def density_slopes(self, params: Params, nodes: Nodes, mean: Callable[[Vector], Vector]) -> Vector:
        """Return the means over nodes of the derivatives of ``log(f / S(start))`` by s and beta."""
        s = params[0]
        by_beta = nodes.frame.hazard * (s - (s + 1) * mean(np.exp(-nodes.log_grown)))
        return np.stack([1 / s - mean(nodes.log_grown), by_beta])


@dataclass(frozen=True, slots=True)
class GammaGompertz:
    """``S(t) = (beta / (beta - 1 + exp(b t))) ** s``.

    Sizes of customer time are written in units of ``exp(b * start)``, so that they do not overflow.
    """

    names: ClassVar[tuple[str, ...]] = ("b", "s", "beta")
    time_powers: ClassVar[tuple[int, ...]] = (-1, 0, 0)
    growth: ClassVar[float] = 0.0

    def frame(self, params: Params, start: Vector, *, reach: float | Vector) -> Frame:
        """Describe the start of integrals; ``c = -m`` comes no later than any of beta + c, 1 + c, reach + time = 0."""
        b, _, beta = params
        unit, passed = np.exp(-b * start), -np.expm1(-b * start)
        near = np.minimum(beta, -np.expm1(-b * np.asarray(reach))) * unit + passed
        far = beta * unit + passed
        bend = np.maximum(0.0, np.log(np.maximum(beta, 1.0)) - b * start - np.log(near))
        return Frame(start, near / far, near, unit / far, bend)

    def span(self, params: Params, frame: Frame, ahead: Vector) -> Vector:
        """Return v at ``start + ahead``."""
        return log_grown(1 / frame.time_share, params[0] * ahead)

    def elapsed(self, params: Params, frame: Frame, v: Vector) -> Vector:
        """Return the calendar time from the start to v."""
        return log_grown(frame.time_share, v) / params[0]

    def pace(self, params: Params, frame: Frame, v: Vector) -> Vector:
        """Return the derivative of calendar time by v."""
        return np.asarray(1 / (params[0] * (1 + (1 / frame.time_share - 1) * np.exp(-v))))

    def log_survival(self, params: Params, start: Vector, ahead: float | Vector) -> Vector:
        """Return ``log(S(start + ahead) / S(start))``."""
        b, s, beta = params
        return -s * log_grown(1 / (beta * np.exp(-b * start) - np.expm1(-b * start)), b * np.asarray(ahead))

    def survival_slopes(self, params: Params, T: Vector) -> Vector:
        """Return the derivatives of ``log S(T)`` by b, s and beta."""
        b, s, beta = params
        passed = -np.expm1(-b * T)
        weight = 1 / (beta * np.exp(-b * T) + passed)
        return np.stack([-s * T * weight, -log_grown(1 / beta, b * T), s / beta * passed * weight])

    def density_slopes(self, params: Params, nodes: Nodes, mean: Callable[[Vector], Vector]) -> Vector:
        """Return the means over nodes of the derivatives of ``log(f / S(start))`` by b, s and beta."""
        b, s, beta = params
        start, first = nodes.frame.start, nodes.frame.hazard
        hazard = first * np.exp(-nodes.log_grown)
        by_b = 1 / b + mean((start + nodes.elapsed) * (1 - (s + 1) * (1 + (1 - beta) * hazard)))
        by_b += s * start * (1 + (1 - beta) * first)
        return np.stack([by_b, 1 / s - mean(nodes.log_grown), s * first - (s + 1) * mean(hazard)])


@dataclass(frozen=True, slots=True)
class Nodes:
    """Nodes of integrals over some rows.

    Attributes
    ----------
    rows : array of int
    frame : Frame
        Of these rows.
    v, dv, elapsed, log_grown : arrays (nodes, rows)
        Place and weight of each node, calendar time since the start, ``log((beta + c) / (beta + c(start)))``.
    """

    rows: npt.NDArray[np.intp]
    frame: Frame
    v: Vector
    dv: Vector
    elapsed: Vector
    log_grown: Vector

    def mass(self, params: Params, log_factor: Vector | float = 0.0) -> Vector:
        """Probabilities of leaving near each node, of who is there at the start, times ``exp(log_factor)``."""
        s = params[-2]
        scale = s * self.frame.beta_share * self.dv
        return np.asarray(scale * np.exp(self.v - (s + 1) * self.log_grown + log_factor))


def nodes_of(
    lifetime: Lifetime,
    params: Params,
    frame: Frame,
    ahead: Vector,
    *,
    tail: float | Vector,
    slope: Callable[[Vector], Vector],
) -> Iterator[Nodes]:
    """Yield the nodes of integrals of ``f(time) * other factors`` from ``start`` to ``start + ahead``, in chunks.

    Parameters
    ----------
    ahead : array, one entry per row of ``frame``
        Rows of no extent have no nodes.
    tail : float or array
        In the long run the integrand falls at least like ``exp(-tail * v)``: what does not count is left out.
    slope : function of the derivative of calendar time by v, at the end
        Bounds the slope, by v, of the logarithm of the other factors.
    """
    span = lifetime.span(params, frame, ahead)
    fallen = log_grown(1 / frame.beta_share, np.broadcast_to(FALL / np.maximum(tail, 1e-300), span.shape))
    span = np.minimum(span, fallen)
    steepness = slope(lifetime.pace(params, frame, span)) + (params[-2] + 1) * frame.beta_share_at(span)
    for rows, panels, nodes in _alike(span, _panels_needed(span, frame.bend, steepness)):
        here, there = take(params, rows), frame.take(rows)
        v, dv = _nodes_in_panels(span[rows], there.bend, panels, nodes)
        yield Nodes(rows, there, v, dv, lifetime.elapsed(here, there, v), log_grown(there.beta_share, v))


def _panels_needed(span: Vector, bend: Vector, steepness: Vector) -> Vector:
    """How many panels an integral takes, as a fraction where one is more than enough.

    Past the bend panels grow in proportion to the way: a power falls by as much in each, and an exponential is
    negligible by the time that it falls too fast for a panel.
    """
    return _in_panels(span, bend) * np.maximum(1.0, steepness * (PANEL_LENGTH / PANEL_FALL))


def _alike(span: Vector, panels: Vector) -> Iterator[tuple[npt.NDArray[np.intp], int, int]]:
    """Yield chunks of rows that take the same number of panels and of nodes in each."""
    kind = np.where(panels <= FEW_REACH, 0, np.ceil(panels)).astype(np.intp)  # 0: few nodes
    order = np.flatnonzero(span > 0)
    order = order[np.argsort(kind[order], kind="stable")]
    kinds, starts = np.unique(kind[order], return_index=True)
    for which, rows in zip(kinds.tolist(), np.split(order, starts)[1:], strict=True):
        count, nodes = max(which, 1), NODES if which else FEW_NODES
        size = max(1, NUMBERS_PER_CHUNK // (count * nodes))
        for first in range(0, len(rows), size):
            yield rows[first : first + size], count, nodes


def _in_panels(v: Vector, bend: Vector) -> Vector:
    """Measure v in panels: they have one length up to the bend, and grow in proportion to the way after it."""
    return np.asarray(np.minimum(v, bend) / PANEL_LENGTH + np.log1p(np.maximum(v - bend, 0.0) / PANEL_LENGTH))


def _nodes_in_panels(span: Vector, bend: Vector, panels: int, nodes: int) -> tuple[Vector, Vector]:
    """Gauss-Legendre nodes and weights of ``panels`` panels from 0 to ``span``, each (panels * nodes, rows)."""
    node, weight = _gauss_legendre(nodes)
    if panels == 1:
        return node * span, weight * span
    border = _in_panels(span, bend) * (np.arange(panels + 1) / panels)[:, None]
    before = np.minimum(border, bend / PANEL_LENGTH)
    border = PANEL_LENGTH * (before + np.expm1(border - before))
    border[-1] = span
    width = np.diff(border, axis=0)[:, None]
    v = border[:-1, None] + width * node
    return v.reshape(-1, len(span)), (width * weight).reshape(-1, len(span))


@cache
def _gauss_legendre(nodes: int) -> tuple[Vector, Vector]:
    """Gauss-Legendre nodes and weights on [0, 1], two columns."""
    node, weight = np.polynomial.legendre.leggauss(nodes)
    return ((node + 1) / 2)[:, None], (weight / 2)[:, None]


def log_grown(share: float | Vector, v: Vector) -> Vector:
    """Return ``log(1 + share * (exp(v) - 1))`` for v >= 0, however large."""
    if np.max(v, initial=0.0) <= LARGEST_LOG:
        return np.asarray(np.log1p(share * np.expm1(v)))
    inside = np.minimum(v, LARGEST_LOG)
    return np.asarray(np.log1p(share * np.expm1(inside)) + (v - inside))


def take(params: Params, rows: npt.NDArray[np.intp]) -> list[float | Vector]:
    """Return the parameters of some rows."""
    return [value[rows] if isinstance(value, np.ndarray) and value.ndim else value for value in params]
