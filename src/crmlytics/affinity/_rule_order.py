"""The order of rules: by strength, and where that is equal by what a reader would rather see first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.affinity.rules import RuleSet


def strongest_first(rules: RuleSet, strength: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the order of falling strength, NaN last; ties: more baskets, then fewer items, then item ids.

    Rules of the same items follow each other by their antecedents in the same manner, so that no tie is left.
    """
    place = _places(rules, np.concatenate((rules.both, rules.antecedent)))
    ties = (place[rules.both] << 31) | place[rules.antecedent]
    return np.lexsort((ties, -strength))


def candidates_of(strength: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Return the rules among which the ``n`` strongest are, whatever breaks the ties."""
    if n >= len(strength):
        return np.arange(len(strength))
    weakest = -np.partition(-strength, n - 1)[n - 1]
    return np.flatnonzero(~(strength < weakest)) if weakest == weakest else np.arange(len(strength))  # noqa: PLR0124  NaN


def _places(rules: RuleSet, rows: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return the place of the itemsets among ``rows`` by baskets, items and ids; an array over all rows of the tree."""
    tree = rules.itemsets.tree
    present = np.zeros(len(tree), bool)
    present[rows] = True
    distinct = np.flatnonzero(present).astype(np.int32)
    order = rules.itemsets.id_order()
    starts, codes = tree.members(distinct, order)
    lengths = np.diff(starts)
    owner = np.repeat(np.arange(len(distinct)), lengths)
    ids = np.zeros((lengths.max(initial=0), len(distinct)), np.int32)  # first item, second item, ...
    ids[np.arange(len(codes)) - starts[owner], owner] = order[codes]
    places = np.zeros(len(tree), np.int64)
    places[distinct[np.lexsort((*ids[::-1], lengths, -tree.count[distinct]))]] = np.arange(len(distinct))
    return places
