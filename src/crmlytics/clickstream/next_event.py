"""What visitors do next: Markov chains of the order that the data speak for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_amount, check_count
from crmlytics.clickstream._walks import read_walks
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics._kernels.markov_chains import Fit, Level, Positions
    from crmlytics.clickstream._walks import Walks

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

BLOCK = 1024  # contexts whose probabilities are held at once


class MarkovChainModel(BaseEstimator):  # type: ignore[misc]
    """Predict the next event of a session from its last ones, as many of them as the data say matter.

    Parameters
    ----------
    order : "auto" or int, default "auto"
        How many of the last events count: 0 none, 1 the last one, and so on. ``"auto"`` takes the order of the least
        BIC.
    max_order : int, default 3
        The highest order that ``"auto"`` tries.
    smoothing : float, default 20.0
        How much a context leans on the one that is an event shorter: as if so many more events had been seen in it,
        spread as they were in the shorter one. Greater than zero.
    item : {"event", "page", "channel"}, default "event"
        What an event is called by.
    by : {"session_id", "customer_id"}, optional
        What is walked through: sessions (where there are any, by default) or all that a customer ever did.

    Attributes
    ----------
    order_ : int
        The order chosen.
    state_ids_ : array
        The events that were seen, sorted.
    levels_ : list of Level
        What followed the contexts of each length up to ``order_``.
    fit_ : Fit
        What :meth:`order_table` shows.

    Notes
    -----
    Every session begins at a start and ends at an end, which are part of the chain: who leaves next is predicted too.
    All orders predict the same events (before the first ones stands the start, as often as needed), so that their
    likelihoods may be compared.

    BIC is ``-2 log L + parameters x log(events)`` with the likelihood not smoothed. A context after whose last event m
    different things were ever seen has m - 1 free parameters: where a page has no link nothing can follow it, whatever
    came before (P. Billingsley 1961, "Statistical methods in Markov chains"). Counting ``states - 1`` for each context,
    or for each that might exist, as P. Singer and others (2014, "Detecting memory and structure in human navigation
    patterns using Markov chain models of varying order", PLoS ONE 9(7)) do, punishes memory harder on sites with few
    links. AIC chooses higher orders; it is shown, not used. They found that people's ways between pages speak
    for order one, and those between topics for two and more.

    Predictions fall back: ``p(x | context) = (n(context, x) + smoothing x p(x | shorter context)) / (n(context) +
    smoothing)``, down to all events being equally likely (D. MacKay and L. Peto 1995, "A hierarchical Dirichlet
    language model"). So a context never seen does no harm, and an event never seen is possible.

    A chain tells what visitors usually do next, not what one of them should be shown: for what to offer to customers
    see :mod:`crmlytics.sequences`.

    Examples
    --------
    >>> import pandas as pd
    >>> paths = ["home list item cart", "home list item", "home help", "home list item cart"] * 5
    >>> clicks = pd.DataFrame(
    ...     [(s, pd.Timestamp(2024, 5, 1, i), e) for s, path in enumerate(paths) for i, e in enumerate(path.split())],
    ...     columns=["session_id", "timestamp", "event"],
    ... )
    >>> model = MarkovChainModel(smoothing=1).fit(clicks)
    >>> model.order_
    1
    >>> found = model.predict_table(clicks[clicks["session_id"] == 1].head(3), n=1)
    >>> found[["session_id", "event", "probability", "end_probability", "context_count"]].round(2)
       session_id event  probability  end_probability  context_count
    0           1  cart         0.63             0.33             15
    """

    def __init__(
        self,
        *,
        order: str | int = "auto",
        max_order: int = 3,
        smoothing: float = 20.0,
        item: str = "event",
        by: str | None = None,
    ) -> None:
        self.order = order
        self.max_order = max_order
        self.smoothing = smoothing
        self.item = item
        self.by = by

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002  scikit-learn passes y
        """Count what followed what, and choose the order.

        Parameters
        ----------
        X : Events or dataframe, one row per event
            Needs ``timestamp``, the role of ``item`` and that of ``by``. To learn from the past only, give
            ``events.before(day)``.
        y : None
            Not used.

        Returns
        -------
        MarkovChainModel
        """
        from crmlytics._kernels.markov_chains import Outcomes, count_contexts, fit_of, positions

        caller = "MarkovChainModel.fit"
        highest = self._highest_order(caller)
        check_amount(self.smoothing, name="smoothing", caller=caller, positive=True)
        walks = read_walks(X, by=self.by, item=self.item, caller=caller)
        outcomes = Outcomes(len(walks.state_ids))
        levels = count_contexts(positions(walks.starts, walks.states, outcomes, highest), outcomes)
        self.fit_: Fit = fit_of(levels, outcomes)
        self.order_ = int(np.argmin(self.fit_.bic)) if self.order == "auto" else highest
        self.levels_: list[Level] = levels[: self.order_ + 1]
        self.state_ids_ = walks.state_ids
        self.by_ = walks.by
        self.engine_: Engine = walks.engine.without_table
        return self

    def order_table(self) -> Any:
        """Compare the chains of every order tried on the events of ``fit``.

        Returns
        -------
        dataframe of the kind that was fitted, one row per order, sorted by it
            ``order`` (Int64), ``context_count`` (Int64, different contexts seen), ``parameter_count`` (Int64, free
            ones), ``log_likelihood``, ``aic``, ``bic`` (Float64; the least BIC is chosen), ``is_chosen`` (Boolean).
        """
        check_is_fitted(self, "levels_")
        fit, orders = self.fit_, np.arange(len(self.fit_.bic))
        return table_with_lists(
            self.engine_,
            {
                "order": orders,
                "context_count": fit.contexts,
                "parameter_count": fit.parameters,
                "log_likelihood": fit.log_likelihood,
                "aic": fit.aic,
                "bic": fit.bic,
                "is_chosen": orders == self.order_,
            },
        )

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002  scikit-learn passes y
        """Return the mean log-likelihood of an event, the ends of sessions included; nearer to 0 is better.

        ``exp(-score)`` is the perplexity: among how many equally likely events the model is as unsure. Compare models
        on sessions that none of them was fitted to.

        Parameters
        ----------
        X : Events or dataframe, one row per event
        y : None
            Not used.

        Returns
        -------
        float
        """
        from crmlytics._kernels.markov_chains import Outcomes, positions, probabilities

        walks, states = self._read(X, caller="MarkovChainModel.score")
        outcomes = Outcomes(len(self.state_ids_))
        at = positions(walks.starts, states, outcomes, self.order_)
        found = np.log(probabilities(self.levels_, at, outcomes, self.smoothing))
        return float(found.mean())

    def predict_table(self, X: Any, *, n: int = 5) -> Any:
        """Tell the likeliest next events of each session, taken to be still going on.

        Parameters
        ----------
        X : Events or dataframe, one row per event
            All events of the sessions so far. Events that were not seen in ``fit`` are read, but nothing follows from
            them: the prediction falls back on shorter contexts.
        n : int
            How many events.

        Returns
        -------
        dataframe of the kind that came in, one row per session and rank, sorted by both
            ``session_id`` (and ``customer_id``, where known) or ``customer_id`` (Int64 or String), ``rank`` (Int64,
            from 1, ties by event), ``event`` (or as ``item`` is called; Int64 or String), ``probability`` (Float64,
            that it comes next), ``end_probability`` (Float64, that nothing does), ``context_length`` (Int64, how many
            of the last events the prediction rests on: fewer than ``order_`` where so many were never seen in this
            order), ``context_count`` (Int64, how often they were seen).
        """
        caller = "MarkovChainModel.predict_table"
        check_count(n, name="n", caller=caller)
        walks, states = self._read(X, caller=caller)
        each, rows = min(n, len(self.state_ids_)), _by_key(walks)
        event, probability, of_walk = self._following(walks, states, each)
        columns = {
            **walks.key_columns(np.repeat(rows, each)),
            "rank": np.tile(np.arange(1, each + 1), len(walks)),
            self.item: self.state_ids_[event[rows].ravel()],
            "probability": probability[rows].ravel(),
        }
        columns |= {name: np.repeat(values[rows], each) for name, values in of_walk.items()}
        return table_with_lists(walks.engine, columns)

    # -- inside --------------------------------------------------------------------------------------------------

    def _highest_order(self, caller: str) -> int:
        if self.order == "auto":
            return check_count(self.max_order, name="max_order", caller=caller)
        if isinstance(self.order, str):
            msg = f'{caller}: order must be "auto" or a whole number such as order=1, got {self.order!r}.'
            raise SchemaError(msg)
        return check_count(self.order, name="order", caller=caller, least=0)

    def _read(self, X: Any, *, caller: str) -> tuple[Walks, Ints]:
        """Read events as walks through the states that were fitted; a state not seen there has the code for that."""
        from crmlytics._kernels.markov_chains import Outcomes

        check_is_fitted(self, "levels_")
        walks = read_walks(X, by=self.by_, item=self.item, caller=caller)
        code = {state: number for number, state in enumerate(self.state_ids_.tolist())}
        unknown = Outcomes(len(code)).unknown
        codes = np.array([code.get(state, unknown) for state in walks.state_ids.tolist()], dtype=np.int64)
        return walks, codes[walks.states]

    def _following(self, walks: Walks, states: Ints, n: int) -> tuple[Ints, Floats, dict[str, NDArray[Any]]]:
        """Return what is likeliest to follow each walk, its probability, and what is told of the walk as a whole."""
        from crmlytics._kernels.markov_chains import Outcomes, context_codes, final_positions

        outcomes = Outcomes(len(self.state_ids_))
        at: Positions = final_positions(walks.starts, states, outcomes, self.order_)
        codes = np.array(context_codes(self.levels_, at.recent, outcomes, len(walks)))
        length = (codes >= 0).sum(axis=0) - 1
        longest = codes[length, np.arange(len(walks))]  # says what the shorter ones are: each is worked out once
        _, first, which = np.unique(longest * len(codes) + length, return_index=True, return_inverse=True)
        event, probability, end = self._likeliest(codes[:, first], n)
        seen = np.zeros(len(walks), np.int64)
        for order, level in enumerate(self.levels_):
            seen[length == order] = level.total[longest[length == order]]
        of_walk = {"end_probability": end[which], "context_length": length, "context_count": seen}
        return event[which], probability[which], of_walk

    def _likeliest(self, contexts: Ints, n: int) -> tuple[Ints, Floats, Floats]:
        """Return the likeliest events after some contexts, their probabilities, and those of the end."""
        from crmlytics._kernels.markov_chains import Outcomes, distributions

        outcomes = Outcomes(len(self.state_ids_))
        size = contexts.shape[1]
        event, probability, end = np.zeros((size, n), np.int64), np.zeros((size, n)), np.zeros(size)
        for begin in range(0, size, BLOCK):
            block = slice(begin, begin + BLOCK)
            found = distributions(self.levels_, list(contexts[:, block]), outcomes, self.smoothing)
            event[block] = np.argsort(-found[:, : outcomes.states], axis=1, kind="stable")[:, :n]
            probability[block] = np.take_along_axis(found, event[block], axis=1)
            end[block] = found[:, outcomes.end]
        return event, probability, end


def _by_key(walks: Walks) -> Ints:
    """Return the walks in order of their key, sessions before customers."""
    return np.lexsort(tuple(walks.keys.values())[::-1])
