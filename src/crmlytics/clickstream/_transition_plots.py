"""Pictures of transitions: a heat map of all of them, and a graph of the likely ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import columns_of, enter, to_pandas
from crmlytics._plots import INK, MUTED, PALETTE, RULE
from crmlytics._plots import axes as new_axes
from crmlytics._validation import check_count, check_fraction
from crmlytics.clickstream._walks import END, START
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

NEEDED = ["from_state", "to_state", "transition_count", "probability"]
COLOURS = "YlGnBu"
DARK = 0.55  # of the colour scale: needs white text
LEAST_SHOWN = 0.005  # a probability that is not written as 0
LONGEST_NAME = 22


def plot_transition_heatmap(transitions: Any, *, n: int = 15, ax: Axes | None = None) -> Axes:
    """Draw where visitors go next: a row for each state they are in, the darker a cell, the more of them go there.

    Parameters
    ----------
    transitions : dataframe
        As :func:`transition_table` makes it.
    n : int, default 15
        How many states at most, the most visited ones.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        States from top to bottom and from left to right by how early in a session they tend to be: what is right of the
        diagonal leads on, what is left of it leads back. Cells hold the share of the row in per cent; what goes to
        states that are not shown is missing from its row.
    """
    graph = _graph(transitions, n, caller="plot_transition_heatmap")
    rows, columns = graph.rows(), graph.columns()
    shares = graph.probability[np.ix_(rows, columns)]
    ax = new_axes(ax, size=(3.2 + 0.55 * len(columns), 2.2 + 0.38 * len(rows)))
    ax.imshow(np.ma.masked_equal(shares, 0), cmap=COLOURS, vmin=0, vmax=shares.max(), aspect="auto")
    for i, j in np.argwhere(shares >= LEAST_SHOWN):
        colour = "white" if shares[i, j] > DARK * shares.max() else INK
        ax.text(j, i, f"{100 * shares[i, j]:.0f}", ha="center", va="center", fontsize=8, color=colour)
    ax.set_xticks(range(len(columns)), [_short(graph.names[i]) for i in columns], rotation=45, ha="left")
    ax.set_yticks(range(len(rows)), [_short(graph.names[i]) for i in rows])
    ax.tick_params(length=0, colors=MUTED, top=False, bottom=False, labeltop=True, labelbottom=False)
    ax.spines[:].set_visible(False)
    ax.set_ylabel("From", color=MUTED)
    ax.set_title(graph.title("Share of what follows, in per cent"), loc="left", fontsize=11)
    return ax


def plot_transitions(transitions: Any, *, min_probability: float = 0.1, n: int = 10, ax: Axes | None = None) -> Axes:
    """Draw the likely transitions as arrows between states, from the beginning of a session to its end.

    Parameters
    ----------
    transitions : dataframe
        As :func:`transition_table` makes it.
    min_probability : float, default 0.1
        Arrows of a lower probability are left out.
    n : int, default 10
        How many states at most, the most visited ones.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
        States are on an oval: sessions begin on the left and end on the right, and states between stand the further to
        the right the more often they are the last and the less often the first. Arrows are blue where they lead on in
        this order, orange where they lead back, grey to the end; the wider, the likelier. The larger a state, the more
        visited; how often it repeats itself is written below its name. The same table always gives the same picture.
    """
    caller = "plot_transitions"
    check_fraction(min_probability, name="min_probability", caller=caller)
    graph = _graph(transitions, n, caller=caller)
    places = _oval(graph)
    ax = new_axes(ax, size=(11, 7))
    _draw_arrows(ax, graph, places, min_probability)
    _draw_states(ax, graph, places)
    ax.set(xlim=(-1.45, 1.45), ylim=(-1.3, 1.3))
    ax.set_axis_off()
    ax.set_title(
        graph.title(f"Transitions of {100 * min_probability:g}% and more: blue on, orange back, grey out"),
        loc="left",
        fontsize=11,
    )
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Graph:
    """The states to be drawn, the earliest first, and what leads from each to each.

    Attributes
    ----------
    names : list of str
        The beginning first and the end last, where they are among the data.
    probability : float64 array, shape (states, states)
    visits : int64 array, shape (states,)
    left_out : int
        How many states are not drawn.
    """

    names: list[str]
    probability: Floats
    visits: NDArray[np.int64]
    left_out: int

    def rows(self) -> list[int]:
        """Return the states that something follows."""
        return [i for i, name in enumerate(self.names) if name != END]

    def columns(self) -> list[int]:
        """Return the states that follow something."""
        return [i for i, name in enumerate(self.names) if name != START]

    def title(self, text: str) -> str:
        """Say what is drawn, and what is not."""
        return f"{text}\n({self.left_out:,} less visited states are left out)" if self.left_out else text


def _graph(transitions: Any, n: int, *, caller: str) -> _Graph:
    check_count(n, name="n", caller=caller)
    names = columns_of(enter(transitions, caller=caller)[0])
    missing = [name for name in NEEDED if name not in names]
    if missing:
        msg = f"{caller}: transitions needs the columns {missing}, got {names}. Make it with transition_table(events)."
        raise MissingColumnsError(msg)
    table = to_pandas(transitions, caller=caller)
    if not len(table):
        raise SchemaError(f"{caller}: there are no transitions to draw.")
    counts = table.pivot_table(index="from_state", columns="to_state", values="transition_count", fill_value=0)
    every = counts.index.union(counts.columns)
    counts = counts.reindex(index=every, columns=every, fill_value=0)
    shares = table.pivot_table(index="from_state", columns="to_state", values="probability", fill_value=0.0)
    shares = shares.reindex(index=every, columns=every, fill_value=0.0)
    visits = np.maximum(counts.sum(axis=0), counts.sum(axis=1)).astype(np.int64)
    inner = [name for name in every if name not in {START, END}]
    shown = sorted(inner, key=lambda name: (-visits[name], name))[:n]
    shown = sorted(shown, key=lambda name: (_lateness(counts, visits, name), name))
    order = [*(name for name in (START,) if name in every), *shown, *(name for name in (END,) if name in every)]
    drawn = shares.loc[order, order].to_numpy(dtype=float)
    return _Graph(order, drawn, visits[order].to_numpy(), len(inner) - len(shown))


def _lateness(counts: Any, visits: Any, name: str) -> float:
    """Return the share of a state's visits that end a walk less that of those that begin one."""
    begins = counts.loc[START, name] if START in counts.index else 0
    ends = counts.loc[name, END] if END in counts.columns else 0
    return float((ends - begins) / visits[name])


def _oval(graph: _Graph) -> Floats:
    """Place the states on an oval: the first at the left, the last at the right, others above and below in turn."""
    size = len(graph.names)
    number = np.arange(size)
    side = np.where(number % 2 == 1, 1, -1)
    side[0] = side[-1] = 0
    beside = np.array([np.count_nonzero(side == own) for own in side])
    before = np.array([np.count_nonzero(side[:i] == side[i]) for i in number])
    along = np.where(side == 0, number / max(size - 1, 1), (before + 1) / (beside + 1))
    return np.column_stack([-np.cos(np.pi * along), side * np.sin(np.pi * along)])


def _draw_arrows(ax: Axes, graph: _Graph, places: Floats, least: float) -> None:
    from matplotlib.patches import FancyArrowPatch

    for i, j in np.argwhere(graph.probability >= least):
        if i == j:
            continue
        share = graph.probability[i, j]
        arrow = FancyArrowPatch(
            tuple(places[i]),
            tuple(places[j]),
            arrowstyle="-|>,head_length=6,head_width=3",
            connectionstyle="arc3,rad=0.15",
            shrinkA=13,
            shrinkB=15,
            linewidth=0.5 + 8 * share,
            color=_colour(graph, i, j),
            alpha=min(1.0, 0.25 + share),
            zorder=1,
        )
        ax.add_patch(arrow)


def _colour(graph: _Graph, origin: int, destination: int) -> str:
    """Return the colour of what leads on, of what leads back, and, quieter, of what leads out."""
    if graph.names[destination] == END:
        return MUTED
    return PALETTE[0] if destination > origin else PALETTE[3]


def _draw_states(ax: Axes, graph: _Graph, places: Floats) -> None:
    from matplotlib.patheffects import withStroke

    size = 60 + 500 * graph.visits / graph.visits.max()
    ax.scatter(places[:, 0], places[:, 1], s=size, color=RULE, edgecolors=MUTED, linewidths=0.8, zorder=2)
    for number, (x, y) in enumerate(places):
        again = graph.probability[number, number]
        text = _short(graph.names[number]) + (f"\nagain {100 * again:.0f}%" if again >= LEAST_SHOWN else "")
        ax.annotate(
            text, (x, y), xytext=(0, 17 if y > 0 else -17), textcoords="offset points", ha="center",
            va="bottom" if y > 0 else "top", fontsize=8.5, linespacing=1.0, color=INK, zorder=3,
            path_effects=[withStroke(linewidth=2.5, foreground="white", alpha=0.85)],
        )  # fmt: skip


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1].rstrip()}…"
