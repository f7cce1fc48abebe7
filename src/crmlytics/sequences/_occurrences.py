"""Who holds patterns and rules, in what order and how long apart: in the sequences they come from, or in others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.sequence_steps import Limits as KernelLimits
    from crmlytics._sequences import Sequences
    from crmlytics.sequences.rules import SequenceRules

    Members = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.bool_]]


@dataclass(frozen=True, slots=True, eq=False)
class Orders:
    """How many sequences hold the two sides of each rule in which order, int64 arrays of shape (rules,).

    Attributes
    ----------
    forward : the consequent after the antecedent
    backward : the rule turned round, see :func:`turned_round`
    both : in the one order and in the other
    """

    forward: NDArray[np.int64]
    backward: NDArray[np.int64]
    both: NDArray[np.int64]

    @property
    def forward_only(self) -> NDArray[np.int64]:
        """Sequences with the consequent after the antecedent, and not the other way round."""
        return self.forward - self.both

    @property
    def backward_only(self) -> NDArray[np.int64]:
        """Sequences with the rule turned round, and not as it is."""
        return self.backward - self.both


def holding(members: Members, sequences: Sequences, limits: tuple[int, int, int] | None) -> NDArray[np.bool_]:
    """Say which sequences hold which patterns, shape (sequences, patterns)."""
    from crmlytics._kernels.sequence_matching import holders

    return holders(members, arrays_of(sequences), as_limits(limits))


def reversed_count(rules: SequenceRules, sequences: Sequences) -> NDArray[np.int64]:
    """Count the sequences that hold each rule turned round."""
    from crmlytics._kernels.sequence_matching import count_holders

    limits = rules.patterns.limits
    backward = turned_round(rules.patterns.tree.members(rules.whole), limits)
    return count_holders(backward, arrays_of(sequences), as_limits(limits)).astype(np.int64)


def orders_of(rules: SequenceRules, sequences: Sequences) -> Orders:
    """Count in which order sequences hold the two sides of rules, within the limits of time of the rules."""
    from crmlytics._kernels.sequence_matching import count_both, count_holders

    forward = rules.patterns.tree.members(rules.whole)
    backward = turned_round(forward, rules.patterns.limits)
    given = arrays_of(sequences), as_limits(rules.patterns.limits)
    counts = (count_holders(forward, *given), count_holders(backward, *given), count_both(forward, backward, *given))
    return Orders(*(count.astype(np.int64) for count in counts))


def counts_of(rules: SequenceRules, sequences: Sequences) -> tuple[NDArray[np.int64], ...]:
    """Count the sequences that hold each rule, its antecedent and its consequent."""
    from crmlytics._kernels.sequence_matching import count_holders

    tree, given = rules.patterns.tree, (arrays_of(sequences), as_limits(rules.patterns.limits))
    sides = (rules.whole, rules.antecedent, rules.consequent)
    return tuple(count_holders(tree.members(rows), *given).astype(np.int64) for rows in sides)


def times_between(rules: SequenceRules, sequences: Sequences) -> NDArray[np.float64]:
    """Return the quartiles of the time from antecedent to consequent in days or seconds, shape (3, rules)."""
    from crmlytics._kernels.sequence_matching import times_to_last

    patterns = rules.patterns
    found = times_to_last(patterns.tree.members(rules.whole), arrays_of(sequences), as_limits(patterns.limits))
    times: NDArray[np.float64] = found.T * patterns.layout.units_a_moment
    return times


def arrays_of(
    sequences: Sequences,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]]:
    """Return what kernels need of sequences."""
    return sequences.starts, sequences.item_starts, sequences.items, sequences.moment


def as_limits(limits: tuple[int, int, int] | None) -> KernelLimits:
    """Return limits as kernels take them; none where there are none."""
    from crmlytics._kernels.sequence_steps import Limits

    return Limits() if limits is None else Limits(*limits)


def last_elements(starts: NDArray[np.int64], joined: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return where the last element of each pattern begins."""
    if len(starts) == 1:
        return starts[:0]
    begins: NDArray[np.int64] = np.maximum.reduceat(np.where(joined, 0, np.arange(len(joined))), starts[:-1])
    return begins


def turned_round(members: Members, limits: tuple[int, int, int] | None) -> Members:
    """Return rules the other way round, such that chance holds them as often as the rules themselves.

    Where days could have come in any order, that is the consequent first, and the antecedent after it. Limits of time
    know better: of ``a > b > c`` within 30 days ``b`` is near to both others, of ``c > a > b`` it is not. There the
    mirror image ``c > b > a`` is as likely, since a history that runs backwards keeps its gaps.
    """
    starts, codes, joined = members
    pattern = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
    element = np.cumsum(~joined)
    place = element.max(initial=0) - element  # backwards
    if limits is None:
        place = np.where(element == element[starts[1:] - 1][pattern], 0, 1)
    order = np.lexsort((place, pattern))  # stable: items of an element stay in order
    return starts, codes[order], joined[order]


def reads_the_same_turned_round(rules: SequenceRules) -> NDArray[np.bool_]:
    """Say which rules are the same the other way round, such as ``a => a``: their order cannot be tested."""
    starts, codes, joined = members = rules.patterns.tree.members(rules.whole)
    _, other_codes, other_joined = turned_round(members, rules.patterns.limits)
    same = (codes == other_codes) & (joined == other_joined)
    return np.logical_and.reduceat(same, starts[:-1]) if len(rules) else np.zeros(0, bool)
