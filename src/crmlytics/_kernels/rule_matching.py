"""Which rules fire for a basket, and what the best of them suggest: rules in a trie, walked with the basket's items."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from crmlytics._kernels.compiled import compiled
from crmlytics._kernels.working import controls, run

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.itemset_tree import ItemsetTree

NONE = 2**31 - 1  # the rank of no rule: behind all others
FEW = 8  # children an item of the basket: these are walked, more are searched
CHUNK = 4096  # baskets: a fraction of a second, so that Ctrl-C is heard


@dataclass(frozen=True, slots=True, eq=False)
class RuleTrie:
    """Rules by their antecedents, as a prefix trie: node 0 is the empty antecedent, node ``r + 1`` row ``r`` of a tree.

    A rule is known by its rank: 0 is the one preferred to all others.

    Attributes
    ----------
    child_starts : int64 array, shape (nodes + 1,)
        The children of a node are at ``child_starts[node]`` up to ``child_starts[node + 1]`` of ``child_nodes``.
    child_items, child_nodes : int32 arrays
        The item that leads to each child, rising within a node, and the child.
    rule_starts : int64 array, shape (nodes + 1,)
        The rules of a node are at ``rule_starts[node]`` up to ``rule_starts[node + 1]`` of ``ranks``.
    ranks : int32 array, shape (rules,)
        Rising within a node.
    best : int32 array, shape (nodes,)
        The least rank at a node or below it.
    consequents : int32 array, shape (rules,)
        The item that each rule suggests, by rank.
    item_total, depth : int
        How many items have a code; the most items an antecedent has.
    """

    child_starts: NDArray[np.int64]
    child_items: NDArray[np.int32]
    child_nodes: NDArray[np.int32]
    rule_starts: NDArray[np.int64]
    ranks: NDArray[np.int32]
    best: NDArray[np.int32]
    consequents: NDArray[np.int32]
    item_total: int
    depth: int


def trie_of(tree: ItemsetTree, antecedents: NDArray[np.int32], consequents: NDArray[np.int32]) -> RuleTrie:
    """Build the trie of rules that are given in order of preference, the best first.

    Parameters
    ----------
    tree : ItemsetTree
    antecedents : int32 array, shape (rules,)
        The row of the tree of each antecedent; -1 is the empty one, which every basket has.
    consequents : int32 array, shape (rules,)
        The item code that each rule suggests.
    """
    nodes = len(tree) + 1
    ranks = np.argsort(antecedents, kind="stable").astype(np.int32)
    best = _best_below(tree.parent, antecedents.astype(np.int32))
    used = np.flatnonzero(best[1:] < NONE)
    used = used[np.lexsort((tree.item[used], tree.parent[used]))]
    return RuleTrie(
        child_starts=_starts(tree.parent[used] + 1, nodes),
        child_items=tree.item[used],
        child_nodes=(used + 1).astype(np.int32),
        rule_starts=_starts(antecedents + 1, nodes),
        ranks=ranks,
        best=best,
        consequents=consequents.astype(np.int32),
        item_total=tree.item_total,
        depth=int(tree.lengths()[used].max(initial=0)),
    )


def best_rules(trie: RuleTrie, starts: NDArray[np.int64], items: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    """Return for each basket the ranks of the ``n`` best rules that fire, each for another item not in the basket.

    A rule fires when all items of its antecedent are in the basket. Of the rules that suggest an item the best one
    stands for it.

    Parameters
    ----------
    trie : RuleTrie
    starts : int64 array, shape (baskets + 1,)
        The items of basket ``b`` are ``items[starts[b]:starts[b + 1]]``.
    items : int32 array
        Item codes, rising and without repetition within a basket.
    n : int

    Returns
    -------
    int32 array, shape (baskets, n)
        Rising within a basket; -1 where fewer rules fire.
    """
    baskets = len(starts) - 1
    found = np.full((baskets, n), NONE, np.int32)
    firsts = range(0, baskets, CHUNK)
    shared = controls(len(firsts), room=0)

    def match(chunk: int) -> None:
        first, last = firsts[chunk], min(firsts[chunk] + CHUNK, baskets)
        _match(
            trie.child_starts,
            trie.child_items,
            trie.child_nodes,
            trie.rule_starts,
            trie.ranks,
            trie.best,
            trie.consequents,
            trie.item_total,
            trie.depth,
            starts[first : last + 1],
            items,
            found[first:last],
        )
        shared.done[chunk] = last - first

    run([partial(match, chunk) for chunk in range(len(firsts))], shared, steps=baskets, label="matching rules")
    found[found == NONE] = -1
    return found


def _starts(places: NDArray[np.int32], total: int) -> NDArray[np.int64]:
    """Where the entries of each place begin, once they are sorted by place."""
    starts = np.zeros(total + 1, np.int64)
    np.cumsum(np.bincount(places, minlength=total), out=starts[1:])
    return starts


@compiled
def _best_below(parent: NDArray[np.int32], antecedents: NDArray[np.int32]) -> NDArray[np.int32]:
    best = np.full(len(parent) + 1, NONE, np.int32)
    for rank in range(len(antecedents) - 1, -1, -1):
        best[antecedents[rank] + 1] = rank
    for row in range(len(parent) - 1, -1, -1):  # a parent stands before its children
        best[parent[row] + 1] = min(best[parent[row] + 1], best[row + 1])
    return best


@compiled
def _match(
    child_starts: NDArray[np.int64],
    child_items: NDArray[np.int32],
    child_nodes: NDArray[np.int32],
    rule_starts: NDArray[np.int64],
    ranks: NDArray[np.int32],
    best: NDArray[np.int32],
    consequents: NDArray[np.int32],
    item_total: int,
    depth: int,
    starts: NDArray[np.int64],
    items: NDArray[np.int32],
    found: NDArray[np.int32],
) -> None:
    """Walk the trie depth first, basket by basket; what lies below a node is left out if it can't be among the best."""
    n = found.shape[1]
    last_in = np.full(item_total, -1, np.int64)  # the last basket that had the item
    room = depth * np.max(np.diff(starts)) + 1
    nodes, places = np.empty(room, np.int32), np.empty(room, np.int64)
    for basket in range(len(found)):
        for place in range(starts[basket], starts[basket + 1]):
            last_in[items[place]] = basket
        in_cart = items[: starts[basket + 1]]
        nodes[0], places[0], waiting = 0, starts[basket], 1
        while waiting > 0:
            waiting -= 1
            node, place = nodes[waiting], places[waiting]
            if best[node] >= found[basket, n - 1]:
                continue
            for rank in ranks[rule_starts[node] : rule_starts[node + 1]]:
                if rank >= found[basket, n - 1]:
                    break
                if last_in[consequents[rank]] != basket:
                    _keep(found[basket], rank, consequents)
            first, last = child_starts[node], child_starts[node + 1]
            children = child_items[first:last], child_nodes[first:last]
            waiting = _add_children(children, in_cart, place, nodes, places, waiting)


@compiled
def _add_children(
    children: tuple[NDArray[np.int32], NDArray[np.int32]],
    in_cart: NDArray[np.int32],
    place: int,
    nodes: NDArray[np.int32],
    places: NDArray[np.int64],
    waiting: int,
) -> int:
    """Put the children whose items are in the basket, from a place on, on the stack; return how many wait there."""
    by_item, node_of = children
    child = 0
    while place < len(in_cart) and child < len(by_item):
        if len(by_item) - child > FEW * (len(in_cart) - place):
            child += np.searchsorted(by_item[child:], in_cart[place])
            if child == len(by_item):
                break
        if by_item[child] == in_cart[place]:
            nodes[waiting], places[waiting] = node_of[child], place + 1
            waiting += 1
        if by_item[child] <= in_cart[place]:
            child += 1
        else:
            place += 1
    return waiting


@compiled
def _keep(found: NDArray[np.int32], rank: int, consequents: NDArray[np.int32]) -> None:
    """Put a rule in its place among the best; of those that suggest the same item one stays."""
    place = 0
    while found[place] < rank:
        if consequents[found[place]] == consequents[rank]:
            return
        place += 1
    end = place
    while end < len(found) - 1 and found[end] < NONE and consequents[found[end]] != consequents[rank]:
        end += 1
    for at in range(end, place, -1):
        found[at] = found[at - 1]
    found[place] = rank
