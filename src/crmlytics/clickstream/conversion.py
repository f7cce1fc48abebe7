"""How likely visitors convert from where they are, and what would be lost without a page: an absorbing Markov chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_count, check_fraction
from crmlytics.clickstream._walks import START, read_walks, until_conversion

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.markov_chains import AbsorbingChain
    from crmlytics.clickstream._walks import Approaches, Walks
    from crmlytics.tables import Events

    Floats = NDArray[np.float64]

CALLER = "conversion_table"
QUIET_SECONDS = 2.0  # shorter work shows no progress
FEWEST_REPLICATES = 20  # below, the bounds of an interval are the extremes
WITH_INTERVAL = ("conversion_probability", "expected_step_count", "removal_effect")


def conversion_table(
    events: Events | Any,
    *,
    converted: Any,
    item: str = "event",
    by: str | None = None,
    as_of: str | dt.date | dt.datetime | None = None,
    confidence: float = 0.95,
    replicates: int = 200,
    random_state: int = 0,
) -> Any:
    """Ask of each event or page how likely visitors convert from there, and what share of conversions hangs on it.

    Sessions are taken for a Markov chain that ends when they convert, or without: where somebody goes next depends on
    where they are, not on how they came. So a page seen by few borrows from what happened to all who came where its
    visitors go.

    Parameters
    ----------
    events : Events or dataframe, one row per event
        Needs ``timestamp``, the role of ``item`` and that of ``by``; with ``customer_id``, intervals allow for
        sessions of the same customer being alike.
    converted : str, int or list of them
        The events that are the conversion (what ``item`` says, where no ``event`` is bound); of several, whichever
        comes first. A session ends with it: what follows is not read.
    item : {"event", "page", "channel"}
        What a state is.
    by : {"session_id", "customer_id"}, optional
        What converts: sessions (where there are any, by default) or customers.
    as_of : date, optional
        Only events before it. Sessions that are not over then count as not converted.
    confidence : float
        Of the intervals.
    replicates : int, at least 20
        Bootstrap samples that the intervals are read from. Customers (else sessions) are drawn.
    random_state : int
        The same number gives the same intervals.

    Returns
    -------
    dataframe of the kind that came in, one row per state, the likeliest to convert first, after that by name
        ``state`` (String; "(start)", the beginning of every session, is the first row),
        ``visit_count`` (Int64, before conversion), ``sequence_count`` (Int64, sessions or customers who came there
        before they converted), ``converted_count`` (Int64, those of them who converted), ``observed_share`` (Float64,
        ``converted_count / sequence_count``), ``conversion_probability`` (Float64, of the chain, from a visit on; 0
        from where nobody's way led to conversion), ``expected_step_count`` (Float64, steps from a visit to the end,
        converted or not, that one counted), ``removal_effect`` (Float64, the share of conversions that would be lost
        if everybody who comes to the state left there; null for "(start)", and without conversions); and of each of the
        last three the bounds of its interval, with ``_low`` and ``_high``.

    Warns
    -----
    DataQualityWarning
        When an event of ``converted`` is not among the data.

    Notes
    -----
    With Q the transitions between states and r those to conversion, probabilities solve ``p = Q p + r`` and expected
    steps ``t = Q t + 1`` (J. Kemeny and J. Snell 1960, "Finite Markov chains"). From "(start)" the chain is exactly as
    likely to convert as sessions did. The removal effect is that of E. Anderl and others (2016, "Mapping the customer
    journey", International Journal of Research in Marketing 33): ``1 - p(without the state) / p``.

    ``observed_share`` and ``conversion_probability`` ask different things: who was ever there, and what a visit there
    promises. Where they are far apart the chain forgets something: where visitors came from matters as well (see
    :class:`MarkovChainModel` for how much memory there is).

    The removal effect is no effect. It says how many conversions passed here, in the chain, not how many would fail
    without the page: nobody who pays goes past the check-out, and every visitor of the help page might have found
    another way. Only an experiment can tell.

    Examples
    --------
    Of four visitors two buy. From the cart, seen twice, one in two does; from home a third do at once, a third go on to
    the cart, where one in two buys: 1/3 + 1/3 x 1/2 = 1/2.

    >>> import pandas as pd
    >>> paths = ["home cart buy", "home buy", "home", "cart"]
    >>> clicks = pd.DataFrame(
    ...     [(s, pd.Timestamp(2024, 5, 1, i), e) for s, path in enumerate(paths) for i, e in enumerate(path.split())],
    ...     columns=["session_id", "timestamp", "event"],
    ... )
    >>> conversion_table(clicks, converted="buy")[["state", "visit_count", "conversion_probability", "removal_effect"]]
         state  visit_count  conversion_probability  removal_effect
    0  (start)            4                     0.5             NaN
    1     cart            2                     0.5            0.50
    2     home            3                     0.5            0.75
    """
    check_fraction(confidence, name="confidence", caller=CALLER)
    check_count(replicates, name="replicates", caller=CALLER, least=FEWEST_REPLICATES)
    check_count(random_state, name="random_state", caller=CALLER, least=0)
    walks = read_walks(events, by=by, item=item, as_of=as_of, caller=CALLER)
    approaches = until_conversion(walks, walks.converts(converted, caller=CALLER))
    moves = _Moves(approaches, walks.owner(), len(walks.state_ids))
    columns = _counts(walks, approaches) | _measures(moves, confidence, replicates, random_state)
    return table_with_lists(walks.engine, _sorted(columns))


# -- inside --------------------------------------------------------------------------------------------------------


class _Moves:
    """The steps of walks, counted by who made them, so that drawing customers again is one product.

    States are numbered from 0, the beginning comes after them, then conversion and the end without it.
    """

    def __init__(self, approaches: Approaches, owner: NDArray[np.int64], states: int) -> None:
        from scipy import sparse

        from crmlytics._kernels.transitions import steps

        self.start = states
        width = states + 3
        last = np.where(approaches.is_converted, states + 1, states + 2)
        walked = steps(approaches.starts, approaches.states, self.start, last)
        key, move = np.unique(walked.origin * width + walked.destination, return_inverse=True)
        self.origin, self.destination = key // width, key % width
        self.owners = int(owner.max()) + 1
        shape = (len(key), self.owners)
        # floats: products with weights are quicker, and exact up to 2**53
        self.by_owner = sparse.csr_array((np.ones(len(move)), (move, owner[walked.walk])), shape=shape)

    def chain(self, weights: Floats) -> AbsorbingChain:
        """Return the chain of owners who count so often."""
        from scipy import sparse

        from crmlytics._kernels.markov_chains import absorbing_chain

        count, size = self.by_owner @ weights, self.start + 1
        inside = self.destination < size
        places = (self.origin[inside], self.destination[inside])
        transitions = sparse.csr_array((count[inside], places), shape=(size, size))
        converting, leaving = (
            np.bincount(self.origin, weights=count * (self.destination == size + way), minlength=size) for way in (0, 1)
        )
        return absorbing_chain(transitions, converting, leaving, self.start)

    def replicate(self, seed: np.random.SeedSequence) -> Floats:
        """Draw as many owners as there are, with replacement, and return what is estimated from them."""
        drawn = np.random.default_rng(seed).integers(self.owners, size=self.owners)
        return self.estimates(np.bincount(drawn, minlength=self.owners).astype(float))

    def estimates(self, weights: Floats) -> Floats:
        """Return the probabilities, expected steps and removal effects, shape (3, states)."""
        chain = self.chain(weights)
        overall = chain.probability[self.start]
        effect = np.full(self.start + 1, np.nan)
        if overall > 0:
            effect[:-1] = 1 - chain.without[:-1] / overall
        return np.array([chain.probability, chain.steps, effect])


def _counts(walks: Walks, approaches: Approaches) -> dict[str, Any]:
    """Return what was counted in each state, the beginning last."""
    from crmlytics._kernels.transitions import walks_with

    states, walk, size = approaches.states, approaches.walk(), len(walks.state_ids)
    is_converted = approaches.is_converted
    held = np.append(walks_with(states, walk, size), len(walks))
    converted = np.append(walks_with(states, walk, size, is_converted), is_converted.sum())
    return {
        "state": np.append(walks.names(), START),
        "visit_count": np.append(np.bincount(states, minlength=size), len(walks)),
        "sequence_count": held,
        "converted_count": converted,
        "observed_share": converted / np.where(held > 0, held, np.nan),
    }


def _measures(moves: _Moves, confidence: float, replicates: int, random_state: int) -> dict[str, Floats]:
    from threadpoolctl import threadpool_limits
    from tqdm.auto import tqdm

    seeds = np.random.SeedSequence(random_state).spawn(replicates)
    progress = tqdm(seeds, desc=CALLER, delay=QUIET_SECONDS, disable=None, leave=False)
    with threadpool_limits(1, user_api="blas"):  # small matrices: threads wait for each other longer than they work
        estimates = moves.estimates(np.ones(moves.owners))
        drawn = np.array([moves.replicate(seed) for seed in progress])
    low, high = _bounds(drawn, (1 - confidence) / 2), _bounds(drawn, (1 + confidence) / 2)
    columns: dict[str, Floats] = {}
    for name, *values in zip(WITH_INTERVAL, estimates, low, high, strict=True):
        columns |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    return columns


def _bounds(drawn: Floats, fraction: float) -> Floats:
    """Return a quantile over the replicates in which there is a value; NaN where there is none."""
    has_any = ~np.isnan(drawn).all(axis=0)
    found = np.full(drawn.shape[1:], np.nan)
    found[has_any] = np.nanquantile(drawn[:, has_any], fraction, axis=0)
    return found


def _sorted(columns: dict[str, Any]) -> dict[str, Any]:
    """Put the beginning first, then the likeliest to convert; what nobody saw before converting is no state."""
    size = len(columns["state"])
    is_inside = np.arange(size) < size - 1
    # rounded: what is equal by the formula may differ in its last digit
    rank = np.lexsort((np.arange(size), -columns["conversion_probability"].round(12), is_inside))
    rank = rank[columns["visit_count"][rank] > 0]
    return {name: values[rank] for name, values in columns.items()}
