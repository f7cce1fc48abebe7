"""Affinity analysis counted the slow way, straight from the definitions: what the kernels must equal."""

from itertools import combinations


def itemsets_of(baskets, min_count, *, max_len=None):
    """All itemsets in at least ``min_count`` of the baskets (sets of items): frozenset -> count."""
    counts = {}
    for basket in baskets:
        for size in range(1, min(len(basket), max_len or len(basket)) + 1):
            for items in combinations(sorted(basket), size):
                counts[frozenset(items)] = counts.get(frozenset(items), 0) + 1
    return {items: count for items, count in counts.items() if count >= min_count}


def closed_of(counts):
    """Those to which no item can be added without losing baskets."""
    return {s: n for s, n in counts.items() if not any(s < other and n == more for other, more in counts.items())}


def maximal_of(counts):
    """Those to which no item can be added."""
    return {s: n for s, n in counts.items() if not any(s < other for other in counts)}
