"""What the model of the next purchase learns from: candidates at earlier cuts, and whether they were bought after."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.working import in_parts
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._allowed import is_among
from crmlytics.sequences._candidates import (
    LIMITS,
    Crowd,
    Cut,
    candidates_at,
    cut_before_day,
    cut_before_order,
    in_small_parts,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._sequences import Sequences

CUTS = 3  # periods to learn from: older ones are less like the one to come
STEP_DAYS = 28  # between cuts, or the horizon where that is shorter
ROWS = 1_000_000  # candidates to learn from, about: all that were bought, and some of the others
CUSTOMERS = 10_000  # a cut


class Lessons(NamedTuple):
    """Candidates of earlier cuts.

    Attributes
    ----------
    features : float32 array, shape (rows, features)
    bought : bool array
        Whether the customer bought it in time.
    weight : float64 array
        How many candidates each row stands for.
    customer : int64 array
        The number of the sequence.
    """

    features: NDArray[np.float32]
    bought: NDArray[np.bool_]
    weight: NDArray[np.float64]
    customer: NDArray[np.int64]


def lessons_of(
    sequences: Sequences, now: NDArray[np.int64], horizon: int | None, *, which: str, random_state: int, caller: str
) -> Lessons:
    """Describe the candidates at the latest cuts whose outcome is known, and say which were bought."""
    cuts = _cuts(sequences, now, horizon, caller=caller)
    crowds = in_parts(lambda cut: Crowd.of(sequences, cut, random_state), cuts, label="items")
    rng = np.random.default_rng(random_state)
    parts = [
        (cut, crowd, customers)
        for cut, crowd in zip(cuts, crowds, strict=True)
        for customers in in_small_parts(_some_of(np.flatnonzero(_has_lesson(sequences, cut, horizon)), rng))
    ]
    rows = sum(LIMITS[which][0] + 4 * LIMITS[which][1] for *_, customers in parts for _ in customers)
    share = min(1.0, ROWS / max(rows, 1))
    numbered = list(enumerate(parts))

    def learn(part: tuple[int, tuple[Cut, Crowd, NDArray[np.int64]]]) -> Lessons:
        number, (cut, crowd, customers) = part
        rng = np.random.default_rng([random_state, number])
        return _lessons(sequences, cut, crowd, customers, which=which, share=share, rng=rng)

    found = in_parts(learn, numbered, label="candidates")
    return Lessons(*(np.concatenate(column) for column in zip(*found, strict=True)))


def _cuts(sequences: Sequences, now: NDArray[np.int64], horizon: int | None, *, caller: str) -> list[Cut]:
    """Return the latest cuts that have a horizon of history before them, and what was bought after them."""
    if horizon is None:
        longest = int(np.diff(sequences.starts).max(initial=0))
        if longest < 2:
            msg = f"{caller}: nobody ordered twice, so no order tells what comes next. Take a later as_of."
            raise SchemaError(msg)
        return [cut_before_order(sequences, back) for back in range(1, min(CUTS, longest - 1) + 1)]
    known = int((now - sequences.moment[sequences.starts[:-1]]).max())
    if known < 2 * horizon:
        day = np.datetime64(int(now.max()), "D")
        msg = (
            f'{caller}: horizon="{horizon}d" takes a history of {2 * horizon} days, one horizon to learn from and one '
            f'before it; before {day} there are {known}. Take horizon="{max(known // 2, 1)}d" or less, or '
            "PersonalThenPopularRecommender, which learns no probability."
        )
        raise SchemaError(msg)
    step = min(horizon, STEP_DAYS)
    possible = 1 + (known - 2 * horizon) // step
    return [cut_before_day(sequences, now - horizon - step * back, horizon) for back in range(min(CUTS, possible))]


def _has_lesson(sequences: Sequences, cut: Cut, horizon: int | None) -> NDArray[np.bool_]:
    """Say whose history began before the cut, and whether there is a next order, if that is to be predicted."""
    is_known: NDArray[np.bool_] = cut.ends > sequences.starts[:-1]
    return is_known if horizon is not None else is_known & (cut.until > cut.ends)


def _some_of(customers: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    if len(customers) <= CUSTOMERS:
        return customers
    return np.sort(rng.choice(customers, CUSTOMERS, replace=False))


def _lessons(
    sequences: Sequences, cut: Cut, crowd: Crowd, customers: NDArray[np.int64], *, which: str, share: float,
    rng: np.random.Generator,
) -> Lessons:  # fmt: skip
    found = candidates_at(sequences, cut, crowd, customers, which=which)
    owner = np.repeat(customers, np.diff(found.starts))
    bought = is_among(owner * len(sequences.item_ids) + found.items, _outcome(sequences, cut, customers))
    kept = np.flatnonzero(bought | (rng.random(len(bought)) < share))
    weight = np.where(bought, 1.0, 1 / share)
    return Lessons(found.features[kept], bought[kept], weight[kept], owner[kept])


def _outcome(sequences: Sequences, cut: Cut, customers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return what was bought after a cut, as ``sequence x items + item``, sorted."""
    first, last = (sequences.item_starts[limit[customers]] for limit in (cut.ends, cut.until))
    lengths = last - first
    ends = np.cumsum(lengths)
    places = np.repeat(first - ends + lengths, lengths) + np.arange(lengths.sum())
    return np.unique(np.repeat(customers, lengths) * len(sequences.item_ids) + sequences.items[places])
