"""Which rules a more general rule leads one to expect: the same rule with items replaced by what stands above them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.itemset_index import find, is_the_set
from crmlytics._kernels.rules import Rules, counted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.itemset_index import ItemsetIndex
    from crmlytics._kernels.itemset_tree import ItemsetTree
    from crmlytics._kernels.rules import Counted

    Ints = NDArray[np.int32]
    Numbers = NDArray[np.float64]

SLACK = 1e-12  # relative: a rule exactly at the ratio is kept, however its expectation was rounded
NONE = -1
MIXER = 0x9E3779B97F4A7C15 - 2**64  # Knuth's golden ratio: spreads pairs of rows over the slots


def unexpected(
    tree: ItemsetTree, index: ItemsetIndex, rules: Rules, ancestors: Ints, ratio: float
) -> NDArray[np.bool_]:
    """Tell which rules say more than the rules above them do.

    Rules are looked at from the most general on. Above a rule stand those of the given rules that have, for one item
    or more, something above it instead; the closest of those that were kept themselves are compared. A rule goes if,
    beside any of these, neither its count nor its confidence is at least ``ratio`` times what is expected.

    Parameters
    ----------
    tree, index : ItemsetTree, ItemsetIndex
        Every single item has a row.
    rules : Rules
        Rows of the tree.
    ancestors : int32 array, shape (items, levels)
        The codes above each item, nearest first, -1 for none.
    ratio : float

    Returns
    -------
    bool array, shape (rules,)
    """
    depth = (ancestors >= 0).sum(axis=1)
    starts, codes = tree.members(rules.both)
    depths = np.add.reduceat(depth[codes], starts[:-1]) if len(codes) else np.zeros(0, np.int64)
    order, widest = np.argsort(depths, kind="stable"), int(np.diff(starts).max(initial=1))
    return _unexpected(counted(tree, index), rules, order, ancestors, _shares(tree, ancestors), ratio, widest)


def _shares(tree: ItemsetTree, ancestors: Ints) -> Numbers:
    """Return the count of each item as a share of its own count, 1, and of what stands above it."""
    alone = np.flatnonzero(tree.parent < 0)
    count = np.ones(tree.item_total + 1)  # the last place is for what is not there
    count[tree.item[alone]] = tree.count[alone]
    above = np.column_stack([np.arange(tree.item_total), ancestors])
    return np.asarray(count[:-1, None] / count[above], dtype=np.float64)


@compiled
def _unexpected(
    tree: Counted, rules: Rules, order: NDArray[np.int64], ancestors: Ints, shares: Numbers, ratio: float, widest: int
) -> NDArray[np.bool_]:
    slots = _slots_of(rules)
    kept = np.ones(len(rules.both), np.bool_)
    room = np.empty(widest, np.int32)
    sets = np.empty((2, 4, widest + 1), np.int32)
    above = np.empty((4, widest + 1), np.int32)
    for rule in order:
        length, first = _members_of(rule, rules, tree, room)
        codes = room[:length]
        sets, totals = _sides_above(codes, first, sets, tree, ancestors)
        above, found = _kept_above(sets, totals, (first, length), above, rules, slots, kept)
        for one in range(found):
            levels, other = above[one, :length], above[one, -1]
            if _is_expected(rule, other, levels, codes, first, tree, rules, shares, ratio) and _is_close(
                one, above[:found, :length]
            ):
                kept[rule] = False
                break
    return kept


@compiled
def _sides_above(codes: Ints, first: int, sets: Ints, tree: Counted, ancestors: Ints) -> tuple[Ints, tuple[int, int]]:
    """Find, for each side, the itemsets with its items raised, itself first: how far up each goes, and last the row."""
    level, raised = np.zeros(len(codes), np.int32), np.empty(len(codes), np.int32)
    totals = np.zeros(2, np.int64)
    for side in range(2):
        members = codes[:first] if side == 0 else codes[first:]
        choice, more = level[: len(members)], True
        choice[:] = 0
        while more:
            row = _row_above(choice, members, tree, ancestors, raised[: len(members)])
            if row >= 0:
                if totals[side] == sets.shape[1]:
                    sets = np.concatenate((sets, np.empty_like(sets)), axis=1)
                sets[side, totals[side], : len(members)], sets[side, totals[side], -1] = choice, row
                totals[side] += 1
            more = _next_level(choice, members, ancestors)
    return sets, (int(totals[0]), int(totals[1]))


@compiled
def _kept_above(
    sets: Ints, totals: tuple[int, int], ends: tuple[int, int], above: Ints, rules: Rules, slots: Ints,
    kept: NDArray[np.bool_],
) -> tuple[Ints, int]:  # fmt: skip
    """Find the kept rules above one: how far up each item goes and, in the last column, the number of the rule."""
    first, length = ends
    found = 0
    for pair in range(1, totals[0] * totals[1]):  # 0 is the rule itself
        antecedent, consequent = sets[0, pair // totals[1]], sets[1, pair % totals[1]]
        other = _rule_with(antecedent[-1], consequent[-1], rules, slots)
        if other < 0 or not kept[other]:
            continue
        if found == len(above):
            above = np.concatenate((above, np.empty_like(above)))
        above[found, :first], above[found, first:length] = antecedent[:first], consequent[: length - first]
        above[found, -1] = other
        found += 1
    return above, found


@compiled
def _slot_of(antecedent: int, consequent: int, mask: int) -> int:
    mixed = (np.int64(antecedent) * np.int64(2**32) + np.int64(consequent)) * np.int64(MIXER)
    return int((mixed ^ (mixed >> 29)) & mask)


@compiled
def _slots_of(rules: Rules) -> Ints:
    """Put the number of each rule into a table, by its sides."""
    size = 1
    while size < 2 * len(rules.both) + 1:
        size *= 2
    slots = np.full(size, NONE, np.int32)
    for rule in range(len(rules.both)):
        slot = _slot_of(rules.antecedent[rule], rules.consequent[rule], size - 1)
        while slots[slot] >= 0:
            slot = (slot + 1) & (size - 1)
        slots[slot] = rule
    return slots


@compiled
def _rule_with(antecedent: int, consequent: int, rules: Rules, slots: Ints) -> int:
    slot = _slot_of(antecedent, consequent, len(slots) - 1)
    while slots[slot] >= 0:
        rule = slots[slot]
        if rules.antecedent[rule] == antecedent and rules.consequent[rule] == consequent:
            return int(rule)
        slot = (slot + 1) & (len(slots) - 1)
    return NONE


@compiled
def _members_of(rule: int, rules: Rules, tree: Counted, codes: Ints) -> tuple[int, int]:
    """Write the items of the antecedent, then of the consequent; return how many there are, and in the antecedent."""
    length, first = 0, 0
    for side in range(2):
        row = rules.antecedent[rule] if side == 0 else rules.consequent[rule]
        while row >= 0:
            codes[length] = tree.item[row]
            length += 1
            row = tree.parent[row]
        if side == 0:
            first = length
    return length, first


@compiled
def _next_level(level: Ints, codes: Ints, ancestors: Ints) -> bool:
    """Count on to the next choice of how far up each item goes; False after the last."""
    for place in range(len(codes)):
        above = level[place]
        if above < ancestors.shape[1] and ancestors[codes[place], above] >= 0:
            level[place] += 1
            return True
        level[place] = 0
    return False


@compiled
def _row_above(level: Ints, codes: Ints, tree: Counted, ancestors: Ints, raised: Ints) -> int:
    """Raise each item as far as ``level`` says; return the row of the set, or -1."""
    wanted = 0
    for place in range(len(codes)):
        raised[place] = codes[place] if level[place] == 0 else ancestors[codes[place], level[place] - 1]
        wanted += tree.keys[raised[place]]
    row = find(wanted, tree.hashes, tree.slots)
    return int(row) if row >= 0 and is_the_set(row, raised, tree.item, tree.parent) else NONE


@compiled
def _is_close(one: int, above: Ints) -> bool:
    """Whether no other rule stands between: none that is raised less or as far in every item."""
    for other in range(len(above)):
        place = 0
        while place < above.shape[1] and above[other, place] <= above[one, place]:
            place += 1
        if place == above.shape[1] and other != one:
            return False
    return True


@compiled
def _is_expected(
    rule: int, other: int, levels: Ints, codes: Ints, first: int, tree: Counted, rules: Rules, shares: Numbers,
    ratio: float,
) -> bool:  # fmt: skip
    """Whether neither count nor confidence reaches ``ratio`` times what the other rule leads one to expect."""
    count = float(tree.counts[rules.both[other]])
    confidence = count / tree.counts[rules.antecedent[other]]
    for place in range(len(codes)):
        share = shares[codes[place], levels[place]]
        count *= share
        if place >= first:
            confidence *= share
    both, least = tree.counts[rules.both[rule]], ratio * (1 - SLACK)
    return bool(both < least * count and both / tree.counts[rules.antecedent[rule]] < least * confidence)
