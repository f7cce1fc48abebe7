"""Pictures of association rules. Those of few rules draw the first: ``rules.top(30, by="leverage")`` chooses them."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._names import names_of
from crmlytics._plots import INK, MUTED, RULE, percent_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics._validation import check_count
from crmlytics.affinity._checks import check_rules
from crmlytics.affinity._rule_graph import Edge, edges_of, layout
from crmlytics.affinity.measures import measure_values
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from numpy.typing import NDArray

    from crmlytics.affinity._rule_graph import Places
    from crmlytics.affinity.itemsets import Itemsets
    from crmlytics.affinity.rules import RuleSet

    Floats = NDArray[np.float64]

COLOURS, DIVERGING = "YlGnBu", "RdBu_r"
PALEST = 0.25  # of the colours of lines, which must stand out from the paper
LONGEST_NAME = 30
ON_LOG_SCALE = {"lift", "conviction", "odds_ratio", "hyper_lift", "chi_squared"}
SPOTS = 500  # places along an axis that can be told apart
LONG = 8  # largest over smallest colour, from which on ticks are powers
WIDE = 10  # largest over smallest support, from which on a log scale reads better
DARK = 0.6  # of the diverging colours, from the middle: needs white text


def plot_rules(rules: RuleSet, *, colour: str = "lift", ax: Axes | None = None) -> Axes:
    """Draw all rules by support and confidence, coloured by a third measure.

    Parameters
    ----------
    rules : RuleSet
    colour : str
        The measure of the colour, as :meth:`RuleSet.measure` takes it.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        A point is a rule. Where several fall on the same spot only the one with the greatest ``colour`` is drawn, so
        that hundreds of thousands are quick. Support is on a log scale where it is wide.
    """
    _check_drawable(rules, caller="plot_rules")
    support, confidence, shade = (rules.measure(name) for name in ("support", "confidence", colour))
    is_wide = support.max() > WIDE * support.min()
    drawn = _one_a_spot(np.log(support) if is_wide else support, confidence, shade)
    scale, colours = _coloured(shade[drawn], log=colour in ON_LOG_SCALE)
    ax = tidy(new_axes(ax), grid="both")
    ax.scatter(support[drawn], confidence[drawn], color=colours, s=18, linewidths=0, rasterized=True)
    if is_wide:
        _log_axis(ax)
    percent_axis(ax.xaxis)
    percent_axis(ax.yaxis)
    _colour_bar(ax, scale, colour)
    ax.set_xlabel("Support: share of all baskets that hold both sides")
    ax.set_ylabel("Confidence: share of the baskets with\nthe antecedent that hold the consequent")
    ax.set_title(_how_many(rules), loc="left")
    return ax


def plot_rule_graph(rules: RuleSet, *, n: int = 30, names: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the first rules as arrows between items: what leads to what, and which items form a group.

    Parameters
    ----------
    rules : RuleSet
        Such as ``rules.top(30, by="leverage")``.
    n : int, default 30
        How many rules at most.
    names : mapping, optional
        Item id to the name that is read.
    ax : Axes, optional
        Where to draw; a new figure, as large as the graph needs, if not given.

    Returns
    -------
    Axes
        The darker an arrow, the higher the lift; the wider, the higher the confidence. The larger an item, the more
        baskets hold it. A rule of three items or more goes through a small dot: from each item of its antecedent to
        each of its consequent. The same rules always give the same picture.
    """
    rules = _first(rules, n, caller="plot_rule_graph")
    labels = names_of(rules.itemsets.item_ids.tolist(), names, caller="plot_rule_graph")
    edges = edges_of(rules)
    places, (width, height) = layout(edges)
    ax = new_axes(ax, size=(width + 1.2, height + 0.6))
    scale, colours = _coloured(rules.measure("lift"), log=True)
    _draw_arrows(ax, edges, places, colours, rules.measure("confidence"))
    _draw_items(ax, places, labels, rules.itemsets)
    ax.set(xlim=(0, width), ylim=(0, height), aspect="equal")
    ax.set_axis_off()
    _colour_bar(ax, scale, "lift")
    ax.set_title(f"{_how_many(rules)}: wide arrows are confident, dark ones lift most", loc="left", fontsize=11)
    return ax


def plot_lift_matrix(rules: RuleSet, *, n: int = 20, names: Any = None, ax: Axes | None = None) -> Axes:
    """Draw the lift of every pair of the items in the first rules: red pairs attract, blue ones avoid each other.

    Parameters
    ----------
    rules : RuleSet
        Such as ``rules.top(100, by="leverage")``.
    n : int, default 20
        How many items at most, those that the rules name first.
    names : mapping, optional
        Item id to the name that is read.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Items that go together stand together. Pairs that are no frequent itemset are blank: their lift is not known.
        Colours are on a log scale around 1: twice as often is as far from it as half as often.
    """
    caller = "plot_lift_matrix"
    _check_drawable(rules, caller=caller)
    n = check_count(n, name="n", caller=caller, least=2)
    labels = names_of(rules.itemsets.item_ids.tolist(), names, caller=caller)
    codes = _first_items(rules, n)
    lift = _pair_lift(rules.itemsets, codes)
    order = _grouped(np.nan_to_num(np.log2(lift)))
    codes, lift = codes[order], lift[np.ix_(order, order)]
    ax = new_axes(ax, size=(3.6 + 0.42 * len(codes), 2.4 + 0.36 * len(codes)))
    _draw_lift(ax, lift)
    shown = [_short(labels[code]) for code in codes]
    ax.set_xticks(range(len(codes)), shown, rotation=45, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(codes)), shown)
    ax.tick_params(length=0, colors=INK, labelsize=8)
    ax.spines[:].set_visible(False)
    ax.set_title(
        f"Lift of pairs (blank: together in fewer than {rules.itemsets.min_count:,} baskets)", loc="left", fontsize=11
    )
    return ax


def plot_parallel_coordinates(rules: RuleSet, *, n: int = 20, names: Any = None, ax: Axes | None = None) -> Axes:
    """Draw each of the first rules as a line through its items, from the antecedent to the consequent on the right.

    Parameters
    ----------
    rules : RuleSet
        Such as ``rules.top(20, by="leverage")``.
    n : int, default 20
        How many rules at most.
    names : mapping, optional
        Item id to the name that is read.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        Every row is an item. The darker a line, the higher the lift; the wider, the higher the confidence.
    """
    rules = _first(rules, n, caller="plot_parallel_coordinates")
    labels = names_of(rules.itemsets.item_ids.tolist(), names, caller="plot_parallel_coordinates")
    items = _first_items(rules, None)
    together = _times_together(rules, items)
    items = items[_grouped(together)]
    height = {int(code): place for place, code in enumerate(items)}
    ax = tidy(new_axes(ax, size=(9, 1.6 + 0.3 * len(items))))
    scale, colours = _coloured(rules.measure("lift"), log=True)
    longest = _draw_paths(ax, rules, height, colours)
    ax.set_yticks(range(len(items)), [_short(labels[code]) for code in items])
    steps = range(-longest[0], longest[1])
    ax.set_xticks(steps, ["if" if step == -1 else "and" if step < -1 else "then" for step in steps])
    ax.tick_params(colors=INK)
    ax.set(xlim=(-longest[0] - 0.1, longest[1] - 0.9), ylim=(len(items) - 0.5, -0.5))
    ax.spines[["left", "bottom"]].set_visible(False)
    _colour_bar(ax, scale, "lift")
    ax.set_title(f"{_how_many(rules)}, each a line from left to right", loc="left")
    return ax


# -- choosing what is drawn ----------------------------------------------------------------------------------------


def _check_drawable(rules: Any, *, caller: str) -> None:
    check_rules(rules, caller=caller)
    if not len(rules):
        msg = f"{caller}: there are no rules to draw. Mine with a lower min_support or min_confidence."
        raise SchemaError(msg)


def _first(rules: RuleSet, n: Any, *, caller: str) -> RuleSet:
    _check_drawable(rules, caller=caller)
    return rules.take(np.arange(min(len(rules), check_count(n, name="n", caller=caller))))


def _first_items(rules: RuleSet, n: int | None) -> NDArray[np.int32]:
    """Return the codes of the items that the rules name first."""
    codes = rules.itemsets.tree.members(rules.both, order=rules.itemsets.id_order())[1]
    found, first = np.unique(codes, return_index=True)
    return found[np.argsort(first)][:n]


def _one_a_spot(x: Floats, y: Floats, shade: Floats) -> NDArray[np.int64]:
    """Return the points that would be seen, one a spot: that of the greatest shade. The greatest of all come last."""
    across, up = (((v - v.min()) / max(np.ptp(v), 1e-300) * SPOTS).astype(np.int64) for v in (x, y))
    order = np.lexsort((across, up, -np.nan_to_num(shade, nan=-np.inf)))
    first = np.unique((across * (SPOTS + 1) + up)[order], return_index=True)[1]
    return order[np.sort(first)[::-1]]


def _pair_lift(itemsets: Itemsets, codes: NDArray[np.int32]) -> Floats:
    """Return the lift of all pairs of items, shape (items, items); NaN where a pair is not among the itemsets."""
    from crmlytics._kernels.itemset_index import index_of, rows_of_sets

    tree, index = itemsets.tree, index_of(itemsets.tree)
    first, second = np.triu_indices(len(codes), k=1)
    pairs = np.column_stack([codes[first], codes[second]]).ravel()
    rows = rows_of_sets(tree, index, np.arange(0, len(pairs) + 1, 2), pairs)
    singles = tree.count[rows_of_sets(tree, index, np.arange(len(codes) + 1), codes)]
    known = rows >= 0
    first, second = first[known], second[known]
    lift = np.full((len(codes), len(codes)), np.nan)
    found = measure_values("lift", tree.count[rows[known]], singles[first], singles[second], itemsets.basket_count)
    lift[first, second] = lift[second, first] = found
    return lift


def _times_together(rules: RuleSet, items: NDArray[np.int32]) -> Floats:
    """Return how many rules hold both items, shape (items, items)."""
    starts, codes = rules.itemsets.tree.members(rules.both)
    held = np.zeros((len(rules), len(rules.itemsets.item_ids)))
    held[np.repeat(np.arange(len(rules)), np.diff(starts)), codes] = 1
    held = held[:, items]
    together: Floats = held.T @ held
    return together


def _grouped(similarity: Floats) -> NDArray[np.int64]:
    """Return an order in which what is similar stands together: the leaves of a clustering by average distance."""
    from scipy.cluster.hierarchy import leaves_list, linkage
    from scipy.spatial.distance import squareform

    if len(similarity) < 3:
        return np.arange(len(similarity))
    distance = similarity.max() - similarity
    np.fill_diagonal(distance, 0)
    order: NDArray[np.int64] = leaves_list(linkage(squareform(distance), "average", optimal_ordering=True))
    return order


# -- drawing -------------------------------------------------------------------------------------------------------


def _coloured(values: Floats, *, log: bool) -> tuple[ScalarMappable, Floats]:
    """Return a scale, dark where values are great, and the colour of each value; infinite is as dark as can be."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    is_log = log and low > 0 and high > low
    scale = ScalarMappable(
        norm=LogNorm(low, high) if is_log else Normalize(low, high),
        cmap=ListedColormap(colormaps[COLOURS](np.linspace(PALEST, 1, 256))),
    )
    return scale, np.asarray(scale.to_rgba(np.nan_to_num(values, nan=low, posinf=high, neginf=low)))


def _colour_bar(ax: Axes, scale: ScalarMappable, name: str) -> None:
    from matplotlib.colors import LogNorm
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    bar = ax.figure.colorbar(scale, ax=ax, fraction=0.04, pad=0.02, aspect=25, shrink=_shrunk(ax), anchor=(0, 1))
    low, high = scale.get_clim()
    spans_decades = isinstance(scale.norm, LogNorm) and float(high or 0) > LONG * float(low or 0)
    bar.ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)) if spans_decades else MaxNLocator(6))
    bar.ax.yaxis.set_minor_locator(NullLocator())
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.3g}"))
    _quieten(bar, name.replace("_", " ").capitalize())


def _shrunk(ax: Axes) -> float:
    """Return how much of the height a colour bar takes: about three inches, whatever the height."""
    return min(1.0, 3.2 / float(ax.get_figure(root=True).get_figheight()))  # type: ignore[union-attr]


def _quieten(bar: Any, name: str) -> None:
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=MUTED, length=0)
    bar.set_label(name, color=MUTED)


def _log_axis(ax: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter

    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _how_many(rules: RuleSet) -> str:
    return "1 rule" if len(rules) == 1 else f"{len(rules):,} rules"


def _short(name: str, longest: int = LONGEST_NAME) -> str:
    return name if len(name) <= longest else f"{name[: longest - 1].rstrip()}…"


def _draw_arrows(ax: Axes, edges: list[Edge], places: Places, colours: Any, confidence: Floats) -> None:
    from matplotlib.patches import FancyArrowPatch

    for edge in edges:
        style = "-|>,head_length=5,head_width=2.5" if edge.has_head else "-"
        arrow = FancyArrowPatch(
            tuple(places[edge.start]),
            tuple(places[edge.end]),
            arrowstyle=style,
            connectionstyle="arc3,rad=0.12" if edge.start[0] == edge.end[0] else "arc3",
            shrinkA=8 if edge.start[0] == "item" else 0,
            shrinkB=8 if edge.has_head else 0,
            linewidth=0.6 + 2.4 * confidence[edge.rule],
            color=colours[edge.rule],
            zorder=1,
        )
        ax.add_patch(arrow)


def _draw_items(ax: Axes, places: Places, labels: list[str], itemsets: Itemsets) -> None:
    from matplotlib.patheffects import withStroke

    single = np.flatnonzero(itemsets.tree.parent < 0)
    count = np.zeros(len(labels))
    count[itemsets.tree.item[single]] = itemsets.tree.count[single]
    items = [code for kind, code in places if kind == "item"]
    x, y = np.array([places["item", code] for code in items]).T
    size = 30 + 150 * count[items] / count[items].max()
    ax.scatter(x, y, s=size, color=RULE, edgecolors=MUTED, linewidths=0.8, zorder=2)
    dots = np.array([place for (kind, _), place in places.items() if kind == "rule"]).reshape(-1, 2)
    ax.scatter(dots[:, 0], dots[:, 1], s=10, color=MUTED, linewidths=0, zorder=2)
    for code in items:
        lines = textwrap.wrap(labels[code], 18, max_lines=2, placeholder="…") or [labels[code][:18]]
        ax.annotate(
            "\n".join(lines), tuple(places["item", code]), xytext=(0, -9), textcoords="offset points", ha="center",
            va="top", fontsize=7.5, linespacing=0.95, color=INK, zorder=3,
            path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.85)],
        )  # fmt: skip


def _draw_lift(ax: Axes, lift: Floats) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    shade = np.log2(lift)
    most = max(1.0, float(np.nanmax(np.abs(shade), initial=0.0)))
    image = ax.imshow(np.ma.masked_invalid(shade), cmap=DIVERGING, vmin=-most, vmax=most, aspect="auto")
    for i, j in np.argwhere(np.isfinite(shade)):
        colour = "white" if abs(shade[i, j]) > DARK * most else INK
        text = f"{lift[i, j]:.1f}" if lift[i, j] < 10 else f"{lift[i, j]:.0f}"
        ax.text(j, i, text, ha="center", va="center", fontsize=7.5, color=colour)
    bar = ax.figure.colorbar(image, ax=ax, fraction=0.04, pad=0.02, aspect=25, shrink=_shrunk(ax), anchor=(0, 1))
    bar.ax.yaxis.set_major_locator(MaxNLocator(7, integer=True))
    ratio = FuncFormatter(lambda power, _: f"{2.0**power:g}" if power >= 0 else f"1/{2.0**-power:g}")
    bar.ax.yaxis.set_major_formatter(ratio)
    _quieten(bar, "Lift")


def _draw_paths(ax: Axes, rules: RuleSet, height: dict[int, int], colours: Any) -> tuple[int, int]:
    """Draw a line for each rule; return the most items of an antecedent and of a consequent."""
    sides = []
    for rows in (rules.antecedent, rules.consequent):
        starts, codes = rules.itemsets.tree.members(rows)
        sides.append([sorted(height[int(code)] for code in part) for part in np.split(codes, starts[1:-1])])
    width = 1 + 3 * rules.measure("confidence")
    for rule in np.argsort(rules.measure("lift"), kind="stable"):  # the strongest on top
        y = [*sides[0][rule], *sides[1][rule]]
        x = np.arange(len(y)) - len(sides[0][rule])
        ax.plot(x, y, color=colours[rule], linewidth=width[rule], solid_capstyle="round", marker="o", markersize=4)
        ax.plot(x[-1], y[-1], marker=">", markersize=9, color=colours[rule])
    return max(map(len, sides[0])), max(map(len, sides[1]))
