"""What may go with a mark, as columns of a regression, and what is compared in each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import warn
from crmlytics.support._reading import BY, HOUR, NEVER

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.support._reading import KnownTickets

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]

LEAST_CUSTOMERS = 10  # that a level needs: no customer alone may tell what goes with it
MOST_LEVELS = 20  # of a driver, beside those put together
OTHER = "(other)"


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """One row of the table: a sum of the driver's coefficients, and what it compares."""

    level: str | None
    compared: str
    contrast: Vector
    tickets: int


@dataclass(frozen=True, slots=True, eq=False)
class Driver:
    """A property of tickets: its columns, shape (tickets, k), and what is compared."""

    name: str
    columns: Vector
    comparisons: list[Comparison]

    @property
    def is_one_test(self) -> bool:
        """Whether all comparisons are one: of two levels each is the other turned round."""
        return bool(self.columns.shape[1] == 1)


def usable_tickets(known: KnownTickets, *, caller: str) -> Flags:
    """Return which tickets have a mark and, where the wait for a first reply is a driver, one; warn of the others."""
    marked = ~np.isnan(known.mark)
    replied = marked & (known.replied < NEVER)
    lost, total = int((marked & ~replied).sum()), int(marked.sum())
    if not lost or 2 * lost > total or _number("reply_hours", _hours(known, known.replied, replied)) is None:
        return marked
    warn(f"{caller}: {lost:,} of {total:,} tickets with a mark have no first reply and are left out.")
    return replied


def drivers_of(known: KnownTickets, kept: Flags, customer: NDArray[np.int64], *, caller: str) -> list[Driver]:
    """Return the drivers that the kept tickets tell apart; warn of those they do not."""
    found: dict[str, Driver | None] = {}
    if "first_reply_at" in known.roles:
        all_replied = (known.replied[kept] < NEVER).all()
        found["reply_hours"] = _number("reply_hours", _hours(known, known.replied, kept)) if all_replied else None
    found["resolution_hours"] = _number("resolution_hours", _hours(known, known.closed, kept))
    if "reopened_at" in known.roles:
        reopened = np.where(known.reopened[kept] < NEVER, "yes", "no").astype(object)
        found["reopened"] = _flag("reopened", reopened, customer)
    found |= {role: _levels(role, known.words[role][kept], customer) for role in BY if role in known.words}
    drivers = [driver for driver in found.values() if driver is not None]
    alike = [name for name, driver in found.items() if driver is None]
    if alike:
        warn(f"{caller}: {_listed(alike)} left out: too few tickets with a mark differ in it.")
    return _told_apart(drivers, caller=caller)


def _hours(known: KnownTickets, moment: NDArray[np.int64], of: Flags) -> Vector:
    hours: Vector = (moment[of] - known.opened[of]) / HOUR
    return hours


def _number(name: str, hours: Vector) -> Driver | None:
    """Compare slow with fast: in logarithms, since an hour more matters after an hour and not after a day."""
    low, high = (float(value) for value in np.quantile(hours, [0.25, 0.75]))
    if not high > low:
        return None
    step = np.log1p(high) - np.log1p(low)
    compared = f"{high:.1f} hours against {low:.1f} hours"
    return Driver(name, np.log1p(hours)[:, None], [Comparison(None, compared, np.array([step]), len(hours))])


def _flag(name: str, words: NDArray[Any], customer: NDArray[np.int64]) -> Driver | None:
    if min(len(np.unique(customer[words == word])) for word in ("yes", "no")) < LEAST_CUSTOMERS:
        return None
    flags = (words == "yes").astype(np.float64)
    return Driver(name, flags[:, None], [Comparison("yes", "yes against no", np.ones(1), int(flags.sum()))])


def _levels(name: str, words: NDArray[Any], customer: NDArray[np.int64]) -> Driver | None:
    """Compare each level with all others, as many of each as there are."""
    words = _pooled(words, customer)
    names, codes = np.unique(words.astype(str), return_inverse=True)
    if len(names) < 2:
        return None
    counts = np.bincount(codes)
    dummies = (codes[:, None] == np.arange(1, len(names))).astype(np.float64)
    comparisons = []
    for level, count in enumerate(counts.tolist()):
        others = np.where(np.arange(len(names)) == level, 0.0, counts) / (len(codes) - count)
        contrast = (np.arange(len(names)) == level) - others
        comparisons.append(Comparison(str(names[level]), "against all others", contrast[1:], count))
    return Driver(name, dummies, comparisons)


def _pooled(words: NDArray[Any], customer: NDArray[np.int64]) -> NDArray[Any]:
    """Put the levels of few customers together, and the rarest of too many, so that few have none of what is left."""
    names, codes = np.unique(words.astype(str), return_inverse=True)
    spread = int(customer.max()) + 1
    customers = np.bincount(np.unique(codes * spread + customer) // spread)
    order = np.argsort(customers, kind="stable")
    rare = max(int((customers < LEAST_CUSTOMERS).sum()), len(names) - MOST_LEVELS)
    if rare and len(np.unique(customer[np.isin(codes, order[:rare])])) < LEAST_CUSTOMERS:
        rare += 1  # together still few: with the next
    return np.where(np.isin(codes, order[:rare]), OTHER, words)


def _told_apart(drivers: list[Driver], *, caller: str) -> list[Driver]:
    """Leave out the drivers that those before them already say."""
    from crmlytics._kernels.adjusted_differences import aliased_columns

    if not drivers:
        return drivers
    rows = len(drivers[0].columns)
    aliased = aliased_columns(np.column_stack([np.ones(rows), *(driver.columns for driver in drivers)])) - 1
    owner = np.repeat(np.arange(len(drivers)), [driver.columns.shape[1] for driver in drivers])
    told = set(owner[aliased].tolist())
    if told:
        names = _listed([drivers[place].name for place in sorted(told)])
        warn(
            f"{caller}: {names} left out: it says the same as the other columns together, so they cannot be told apart."
        )
    return [driver for place, driver in enumerate(drivers) if place not in told]


def _listed(names: list[str]) -> str:
    return f"{', '.join(names)} {'are' if len(names) > 1 else 'is'}"
