"""Association rules from a tree of itemsets: counted first, then written into arrays of the right size.

The innermost loops work on plain arrays: reading an array from a named tuple costs more there than all the rest.
"""

from __future__ import annotations

from functools import partial
from math import comb
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.itemset_index import find
from crmlytics._kernels.working import FULL, GO, controls, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.itemset_index import ItemsetIndex
    from crmlytics._kernels.itemset_tree import ItemsetTree
    from crmlytics._kernels.working import Controls

EITHER, ONLY_ANTECEDENT, ONLY_CONSEQUENT, NEITHER = 0, 1, 2, 3  # the side of a rule on which an item may stand
TASKS = 64
COUNT_ONLY = -1
LOOK_EVERY_ROWS = 256
COUNT_LIMIT = 1_000_000_000  # counted in seconds; beyond that the number says no more


class Counted(NamedTuple):
    """A tree and its index as compiled loops take them; see :class:`ItemsetTree` and :class:`ItemsetIndex`."""

    item: NDArray[np.int32]
    parent: NDArray[np.int32]
    counts: NDArray[np.int32]
    keys: NDArray[np.int64]
    hashes: NDArray[np.int64]
    slots: NDArray[np.int32]


class Question(NamedTuple):
    """Which rules are asked for.

    Attributes
    ----------
    numerator, denominator : int
        The confidence is at least their ratio; both are at most 1e9, so that products with a count fit 64 bits.
    max_consequent_len : int
        The most items a consequent has.
    sides : int8 array, shape (items,)
        Where each item code may stand: EITHER, ONLY_ANTECEDENT, ONLY_CONSEQUENT or NEITHER.
    """

    numerator: int
    denominator: int
    max_consequent_len: int
    sides: NDArray[np.int8]


class Rules(NamedTuple):
    """Rows of the tree, int32: of all items of each rule, of its antecedent and of its consequent."""

    both: NDArray[np.int32]
    antecedent: NDArray[np.int32]
    consequent: NDArray[np.int32]


class MissingSubsetError(Exception):
    """A subset of an itemset is not in the tree, so that its count is not known."""


class TooManyRulesError(Exception):
    """There are more rules than allowed: ``args[0]``, or more where that is above ``COUNT_LIMIT``."""


def counted(tree: ItemsetTree, index: ItemsetIndex) -> Counted:
    """Return a tree and its index for compiled loops."""
    return Counted(tree.item, tree.parent, tree.count, index.keys, index.hashes, index.slots)


def split_count(lengths: NDArray[np.int32], max_consequent_len: int) -> int:
    """Return how many rules itemsets of these lengths can be split into, whatever their confidence."""
    by_length = np.bincount(lengths)
    return sum(
        int(sets) * sum(comb(length, taken) for taken in range(1, min(max_consequent_len, length - 1) + 1))
        for length, sets in enumerate(by_length)
    )


def find_rules(itemsets: Counted, rows: NDArray[np.int32], question: Question, *, max_rules: int) -> Rules:
    """Return all rules of the itemsets at ``rows``, in their order; raise before anything is built if too many.

    Itemsets are independent of each other: tasks take ranges of them, the first pass counts each range's rules and the
    second writes them where those of the ranges before it end.
    """
    parts = np.array_split(rows, TASKS)
    found = np.zeros(len(parts), np.int64)
    _pass(itemsets, question, parts, np.full_like(found, COUNT_ONLY), _room_for(0), found)
    total = int(found.sum())
    if total > min(max_rules, COUNT_LIMIT):
        raise TooManyRulesError(total)
    rules = _room_for(total)
    _pass(itemsets, question, parts, np.cumsum(found) - found, rules, np.zeros_like(found))
    if total and rules.consequent.min() < 0:
        raise MissingSubsetError
    return rules


def _room_for(total: int) -> Rules:
    return Rules(np.empty(total, np.int32), np.empty(total, np.int32), np.empty(total, np.int32))


def _pass(
    itemsets: Counted,
    question: Question,
    parts: list[NDArray[np.int32]],
    places: NDArray[np.int64],
    rules: Rules,
    found: NDArray[np.int64],
) -> None:
    """Count the rules of each part into ``found``, and write them from ``places`` on."""
    shared = controls(len(found), 0)
    tasks = [
        partial(_split_rows, itemsets, question, rows, places[task], rules, task, found, shared)
        for task, rows in enumerate(parts)
    ]
    if not all(run(tasks, shared, steps=sum(map(len, parts)), label="rules")):
        raise MissingSubsetError


@compiled
def _split_rows(
    itemsets: Counted,
    question: Question,
    rows: NDArray[np.int32],
    place: int,
    rules: Rules,
    task: int,
    found: NDArray[np.int64],
    shared: Controls,
) -> bool:
    """Split the itemsets of some rows; False where a subset is missing."""
    keys = np.empty(len(itemsets.keys) + 1, np.int64)
    chosen = np.empty(len(itemsets.keys) + 1, np.int64)
    for number, row in enumerate(rows):
        choices = _choices(row, itemsets, question, keys)
        written = _split(row, choices, keys, chosen, itemsets, question, place, rules)
        if written < 0:
            return False
        place += written if place >= 0 else 0
        found[task] += written
        shared.done[task] += 1
        if found[task] > COUNT_LIMIT or (number % LOOK_EVERY_ROWS == 0 and found.sum() > COUNT_LIMIT):
            shared.signal[0] = FULL
        if shared.signal[0] != GO:
            break
    return True


@compiled
def _choices(row: int, itemsets: Counted, question: Question, keys: NDArray[np.int64]) -> tuple[int, int, int]:
    """Write the keys that consequents are chosen from; return how many, how many may be the first, how many be chosen.

    Items that may only stand in the consequent are in all of them: together they are one key, the only first choice.
    """
    item, parent, sides, item_keys = itemsets.item, itemsets.parent, question.sides, itemsets.keys
    total, bound, length = 1, 0, 0
    keys[0] = 0
    while row >= 0:
        code = item[row]
        if sides[code] == EITHER:
            keys[total] = item_keys[code]
            total += 1
        elif sides[code] == ONLY_CONSEQUENT:
            keys[0] += item_keys[code]
            bound += 1
        elif sides[code] == NEITHER:
            return 0, 0, 0
        length += 1
        row = parent[row]
    most = min(question.max_consequent_len, length - 1)
    if bound:
        return total, 1, most - bound + 1
    keys[0] = keys[total - 1]
    return total - 1, total - 1, most


@compiled
def _split(
    row: int,
    choices: tuple[int, int, int],
    keys: NDArray[np.int64],
    chosen: NDArray[np.int64],
    itemsets: Counted,
    question: Question,
    place: int,
    rules: Rules,
) -> int:
    """Write the rules of one itemset from ``place`` on and return how many; -1 where a subset is missing.

    Consequents grow key by key. One that grows leaves a smaller antecedent, in as many baskets or more: where the
    confidence is too low, it is too low for all that grow from it.
    """
    counts, hashes, slots = itemsets.counts, itemsets.hashes, itemsets.slots
    numerator, enough = question.numerator, np.int64(counts[row]) * question.denominator
    total, first_choices, most = choices
    found, depth, choice, consequent = 0, 0, 0, np.int64(0)
    while True:
        if depth < most and choice < (total if depth else first_choices):
            antecedent = find(hashes[row] - consequent - keys[choice], hashes, slots)
            if antecedent < 0:
                return -1
            if np.int64(counts[antecedent]) * numerator <= enough:
                consequent += keys[choice]
                if place >= 0:
                    _write(place + found, row, antecedent, find(consequent, hashes, slots), rules)
                chosen[depth] = choice
                depth += 1
                found += 1
            choice += 1
        elif depth == 0:
            return found
        else:
            depth -= 1
            consequent -= keys[chosen[depth]]
            choice = chosen[depth] + 1


@compiled
def _write(place: int, both: int, antecedent: int, consequent: int, rules: Rules) -> None:
    rules.both[place], rules.antecedent[place], rules.consequent[place] = both, antecedent, consequent


@compiled
def rows_with(wanted: NDArray[np.bool_], item: NDArray[np.int32], parent: NDArray[np.int32]) -> NDArray[np.bool_]:
    """Return which itemsets of a tree hold at least one of the items wanted."""
    held = np.empty(len(item), np.bool_)
    for row in range(len(item)):
        held[row] = wanted[item[row]] or (parent[row] >= 0 and held[parent[row]])
    return held
