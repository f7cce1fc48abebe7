"""Rules as a graph, and where its nodes stand on paper: groups of items beside each other, without a random number."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.affinity.rules import RuleSet

    Node = tuple[str, int]  # ("item", its code) or ("rule", its position)
    Places = dict[Node, NDArray[np.float64]]

EDGE, APART, MOST = 1.5, 1.15, 2.5  # inches: the usual edge, the least distance; but no edge grows more than so
LABEL_WIDTH, LABEL_HEIGHT = 1.5, 0.75  # inches that are kept free around the nodes of a group
PAGE = 11.0  # inches across


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow of a rule, or a part of it: what goes into a rule's dot has no head."""

    start: Node
    end: Node
    rule: int

    @property
    def has_head(self) -> bool:
        """Whether the edge arrives at an item."""
        return self.end[0] == "item"

    def items(self) -> list[Node]:
        """Return its ends that are items."""
        return [node for node in (self.start, self.end) if node[0] == "item"]


def edges_of(rules: RuleSet) -> list[Edge]:
    """Return the arrows of the rules: from item to item, or through a dot where a side has several items."""
    sides = []
    for rows in (rules.antecedent, rules.consequent):
        starts, codes = rules.itemsets.tree.members(rows)
        sides.append([[("item", int(code)) for code in part] for part in np.split(codes, starts[1:-1])])
    edges = []
    for rule, (antecedent, consequent) in enumerate(zip(*sides, strict=True)):
        if len(antecedent) == len(consequent) == 1:
            edges.append(Edge(antecedent[0], consequent[0], rule))
            continue
        edges += [Edge(item, ("rule", rule), rule) for item in antecedent]
        edges += [Edge(("rule", rule), item, rule) for item in consequent]
    return edges


def layout(edges: list[Edge]) -> tuple[Places, tuple[float, float]]:
    """Return where each node stands in inches, and the width and height of the page."""
    import networkx as nx

    rules: dict[int, list[Edge]] = {}
    for edge in edges:
        rules.setdefault(edge.rule, []).append(edge)
    graph = nx.Graph()
    for parts in rules.values():
        graph.add_edges_from(combinations(sorted({node for edge in parts for node in edge.items()}), 2))
    groups = [_spread(graph.subgraph(nodes)) for nodes in nx.connected_components(graph)]
    places, size = _packed(groups)
    for rule, parts in rules.items():
        if parts[0].end == ("rule", rule):
            places["rule", rule] = _dot(parts, places)
    return places, size


def _dot(parts: list[Edge], places: Places) -> NDArray[np.float64]:
    """Place the dot of a rule between its sides, nearer to the antecedent: each split of a set has its own place."""
    antecedent = np.mean([places[edge.start] for edge in parts if not edge.has_head], axis=0)
    consequent = np.mean([places[edge.end] for edge in parts if edge.has_head], axis=0)
    place: NDArray[np.float64] = 0.85 * antecedent + 0.15 * consequent
    return place


def _spread(group: Any) -> Places:
    """Place connected items by their distances in the graph (Kamada & Kawai 1989), none on another's label."""
    import networkx as nx

    graph = nx.Graph()  # in a fixed order, which the layout starts from
    graph.add_nodes_from(sorted(group))
    graph.add_edges_from(group.edges)
    places: Places = nx.kamada_kawai_layout(graph)
    usual = float(np.median([np.linalg.norm(places[a] - places[b]) for a, b in graph.edges]))
    nearest = min(float(np.linalg.norm(places[a] - places[b])) for a, b in combinations(places, 2))
    scale = min(max(EDGE / usual, APART / max(nearest, 1e-9)), MOST * EDGE / usual)
    corner = np.min(list(places.values()), axis=0)
    return {node: (place - corner) * scale for node, place in places.items()}


def _packed(groups: list[Places]) -> tuple[Places, tuple[float, float]]:
    """Set groups on a page, the tallest first: on shelves, and below each other where a shelf is tall enough."""
    sizes = [np.max(list(group.values()), axis=0) + np.array([LABEL_WIDTH, LABEL_HEIGHT]) for group in groups]
    page = max(PAGE, *(float(size[0]) for size in sizes))
    corners: dict[int, tuple[float, float]] = {}
    left = right = y = shelf = bottom = 0.0  # of the column and the shelf; y runs down
    for i in sorted(range(len(groups)), key=lambda i: (*-sizes[i][::-1].round(3), min(groups[i]))):
        width, height = map(float, sizes[i])
        if y + height > bottom or left + width > right:  # no room below: a new column, or a new shelf
            left, y = right, shelf
            if not right or left + width > page:
                left, y, shelf, bottom = 0.0, bottom, bottom, bottom + height
            right = left + width
        corners[i] = (left, y)
        y += height
    ends = [(x + float(sizes[i][0]), down + float(sizes[i][1])) for i, (x, down) in corners.items()]
    width, height = (max(end) for end in zip(*ends, strict=True))
    places: Places = {}
    for i, (x, down) in corners.items():
        corner = np.array([x + LABEL_WIDTH / 2, height - down - float(sizes[i][1]) + LABEL_HEIGHT / 2])
        places |= {node: place + corner for node, place in groups[i].items()}
    return places, (width, height)
