"""The best of all more general rules: same consequent, fewer items in the antecedent, down to none."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.itemset_index import find
from crmlytics._kernels.rules import TASKS, MissingSubsetError
from crmlytics._kernels.working import GO, controls, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.rules import Counted, Rules
    from crmlytics._kernels.working import Controls

NEVER = 2**31  # more baskets than can be; times a count it still fits 64 bits


def most_confident_general_rules(
    itemsets: Counted, rules: Rules, basket_count: int, *, only_to_decide: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return, for each rule, the counts of both sides and of the antecedent of its most confident generalisation.

    All proper subsets of the antecedent are looked at, whether or not they make a rule of the set; the empty one has
    the baskets with the consequent among all baskets. ``only_to_decide``: the first generalisation that is at least as
    confident as the rule itself will do.
    """
    total = len(rules.both)
    best = np.empty((total, 2), np.int64)
    best[:, 0], best[:, 1] = itemsets.counts[rules.consequent], basket_count
    edges = np.unique(np.linspace(0, total, TASKS + 1).astype(np.int64))
    shared = controls(len(edges) - 1, 0)
    tasks = [
        partial(_improve, itemsets, rules, edges[task : task + 2], best, only_to_decide, task, shared)
        for task in range(len(edges) - 1)
    ]
    if not all(run(tasks, shared, steps=total, label="more general rules")):
        raise MissingSubsetError
    return best[:, 0], best[:, 1]


@compiled
def _improve(
    itemsets: Counted,
    rules: Rules,
    span: NDArray[np.int64],
    best: NDArray[np.int64],
    only_to_decide: bool,
    task: int,
    shared: Controls,
) -> bool:
    """Improve the best counts of the rules from ``span[0]`` up to ``span[1]``; False where a subset is missing."""
    keys = np.empty(len(itemsets.keys), np.int64)
    counts, hashes, slots = itemsets.counts, itemsets.hashes, itemsets.slots
    for rule in range(span[0], span[1]):
        whole, consequent = rules.antecedent[rule], hashes[rules.consequent[rule]]
        length = _keys_of(whole, itemsets, keys)
        enough = int(counts[rules.both[rule]]) if only_to_decide else NEVER
        walk = (int(hashes[whole]), int(consequent), enough, int(counts[whole]))
        if not _walk_subsets(keys[:length], walk, best[rule], counts, hashes, slots):
            return False
        shared.done[task] += 1
        if shared.signal[0] != GO:
            break
    return True


@compiled
def _keys_of(row: int, itemsets: Counted, keys: NDArray[np.int64]) -> int:
    length = 0
    while row >= 0:
        keys[length] = itemsets.keys[itemsets.item[row]]
        length += 1
        row = itemsets.parent[row]
    return length


@compiled
def _walk_subsets(
    keys: NDArray[np.int64],
    walk: tuple[int, int, int, int],
    best: NDArray[np.int64],
    counts: NDArray[np.int32],
    hashes: NDArray[np.int64],
    slots: NDArray[np.int32],
) -> bool:
    """Walk the proper, not empty subsets in Gray-code order, one item in or out a step; False if one is missing.

    ``walk``: the hashes of the antecedent and of the consequent, and the ratio of counts that ends the walk.
    """
    subset, consequent, enough, of = walk
    held = (1 << len(keys)) - 1
    for step in range(1, 1 << len(keys)):
        if best[0] * of >= enough * best[1]:
            break
        bit = 0
        while (step >> bit) & 1 == 0:
            bit += 1
        subset += -keys[bit] if (held >> bit) & 1 else keys[bit]
        held ^= 1 << bit
        if held == 0:
            continue
        antecedent, both = find(subset, hashes, slots), find(subset + consequent, hashes, slots)
        if antecedent < 0 or both < 0:
            return False
        if counts[both] * best[1] > best[0] * counts[antecedent]:
            best[0], best[1] = counts[both], counts[antecedent]
    return True
