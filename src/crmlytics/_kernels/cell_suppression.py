"""Which cells of a table of counts to hide, so that no small one is seen or can be computed from the sums.

Rows and columns are the two sides of a graph and hidden cells its edges. A hidden cell can be computed exactly from the
sums unless it lies on a cycle of hidden cells, along which one customer can be moved about without changing a sum (D.
Gusfield, 1988, "A graph theoretic approach to statistical data security", SIAM Journal on Computing 17). So for each
small cell the cheapest such cycle is hidden as well; a cell that gives a customer away must hold one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Counts = NDArray[np.int64]
    Cells = list[tuple[int, int]]


UNKNOWN = 4  # counts: three equations are solved by three
NARROW = 2.0  # customers


def hidden_cells(counts: Counts, least: int) -> NDArray[np.bool_]:
    """Mark the cells from 1 to ``least - 1``, and those that must go with them.

    Parameters
    ----------
    counts : int64 array, shape (rows, columns)
        Every row and every column adds up to at least ``least``: these sums are known to all.
    least : int
        The smallest count that may be seen; a zero may be seen too.

    Returns
    -------
    bool array, shape (rows, columns)
        For each hidden cell there is another table of counts with the same sums, the same cells in sight, and another
        number in it. The same cells whichever side is called rows: who sees the table from both sides learns no more.
    """
    return _one_way(counts, least) | _one_way(counts.T, least).T


def moments_tell(values: NDArray[np.float64], counts: Counts, least: int) -> bool:
    """Whether the number, the mean and the spread of some values tell how many are one of the rare ones.

    Parameters
    ----------
    values : float64 array, shape (values,)
        The different ones.
    counts : int64 array, shape (values,)
        How often each occurs.
    least : int
        Counts from 1 to ``least - 1`` must not be told.

    Returns
    -------
    bool
        True if, for who knows the three, one of them is certain to ``NARROW`` customers: by linear programming.
    """
    from scipy.optimize import linprog

    rare = np.flatnonzero((counts > 0) & (counts < least))
    if not len(rare) or len(values) < UNKNOWN:
        return len(rare) > 0
    scaled = (values - values.mean()) / values.std()
    moments = np.vander(scaled, 3).T
    for goal in np.eye(len(values))[rare]:
        low, high = (linprog(sign * goal, A_eq=moments, b_eq=moments @ counts).fun for sign in (1, -1))
        if low is None or high is None or -high - low < NARROW:
            return True
    return False


# -- inside --------------------------------------------------------------------------------------------------------


def _one_way(counts: Counts, least: int) -> NDArray[np.bool_]:
    """Hide small cells, the smallest first, each with a cycle; which one may hang on what is called rows."""
    hidden = (counts > 0) & (counts < least)
    small = np.argwhere(hidden)
    for row, column in small[np.argsort(counts[hidden], kind="stable")]:
        for cell in _cycle(counts, hidden, int(row), int(column)):
            hidden[cell] = True
    return hidden


def _cycle(counts: Counts, hidden: NDArray[np.bool_], row: int, column: int) -> Cells:
    """Return the cells of the cheapest cycle that lets the cell be one more: Dijkstra from its row to its column.

    From a row to a column a customer is taken, which takes one to be there; from a column to a row one is added.
    """
    rows, columns = counts.shape
    price = np.where(hidden, 0, counts + 1).astype(np.float64)
    taking = np.where(counts > 0, price, np.inf)
    taking[row, column] = np.inf
    distance = np.full(rows + columns, np.inf)
    before = np.full(rows + columns, -1)
    distance[row] = 0
    left = np.ones(rows + columns, bool)
    while left[rows + column]:
        node = int(np.where(left, distance, np.inf).argmin())
        left[node] = False
        reached = np.arange(rows, rows + columns) if node < rows else np.arange(rows)
        way = distance[node] + (taking[node] if node < rows else price[:, node - rows])
        nearer = reached[left[reached] & (way < distance[reached])]
        distance[nearer] = way[nearer - reached[0]]
        before[nearer] = node
    return _cells(before, rows, row, rows + column)


def _cells(before: NDArray[np.int64], rows: int, start: int, node: int) -> Cells:
    """Walk a way back from its end, edge by edge."""
    cells = []
    while node != start:
        previous = int(before[node])
        cells.append((min(previous, node), max(previous, node) - rows))
        node = previous
    return cells
