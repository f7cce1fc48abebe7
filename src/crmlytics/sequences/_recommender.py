"""What every model of the next purchase shares: it learns from histories before a day and ranks items for customers."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crmlytics._lists import table_with_lists
from crmlytics._sequences import read_sequences
from crmlytics._validation import as_days, as_moment, check_choice, check_count, warn
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._allowed import SHOWN, WHICH, Allowed, kind_of, refuse_kinds
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._sequences import Sequences

EPOCH = dt.date(1970, 1, 1)
ITEMS = ("product_id", "category")
USUAL_DAYS = 91  # without a horizon: a shop that sold nothing for a quarter is closed, or its data end earlier


@dataclass(frozen=True, slots=True, eq=False)
class Ranked:
    """What a model suggests: for each customer items, best first.

    Attributes
    ----------
    starts : int64 array, shape (customers + 1,)
        The suggestions for customer ``c`` are ``items[starts[c]:starts[c + 1]]``, best first.
    items : int32 array
        Item codes, each at most once a customer.
    scores : float64 array
        Falling within a customer; a probability where the model says so.
    """

    starts: NDArray[np.int64]
    items: NDArray[np.int32]
    scores: NDArray[np.float64]

    def owners(self) -> NDArray[np.int64]:
        """Return the customer of each suggestion, as the number of the sequence."""
        return np.repeat(np.arange(len(self.starts) - 1), np.diff(self.starts))

    def ranks(self) -> NDArray[np.int64]:
        """Return the rank of each suggestion, from 1."""
        return np.arange(len(self.items)) - self.starts[self.owners()] + 1


class NextItemRecommender(BaseEstimator):  # type: ignore[misc]
    """Rank for each customer the items that are bought next, from the orders before a day.

    The contract of every model of the next purchase. A model says how it learns (:meth:`_learn`) and how it ranks
    (:meth:`_rank`), both on arrays; reading, checking and answering in frames is done here.

    Parameters
    ----------
    item : {"product_id", "category"}, default "product_id"
        What is suggested.
    which : {"all", "repeat", "new"}, default "all"
        Whether all items are suggested, only those that the customer has bought before, or only others.

    Attributes
    ----------
    item_ids_ : array, shape (items,)
        The id of each item code: the items bought before ``as_of``, rare ones first and by id among equals.
    as_of_ : datetime
        The moment before which the model knows everything.
    customer_kind_ : str
        What the ids of customers are: ``"numbers"`` or ``"text"``.
    horizon_days_ : int or None
        Purchases of how many days from ``as_of`` are predicted; None: those of the next order.
    """

    def __init__(self, *, item: str = "product_id", which: str = "all") -> None:
        self.item = item
        self.which = which

    def fit(self, transactions: Transactions | Any, *, as_of: Any, horizon: Any = None) -> Self:
        """Learn from the orders before ``as_of``.

        Parameters
        ----------
        transactions : Transactions or dataframe, one row per order line
            Needs ``customer_id``, ``order_id``, ``timestamp`` and the role ``item`` names. An item is in an order
            unless as much of it was returned there.
        as_of : date
            The midnight that begins this day (or the moment given): nothing at or after it is read.
        horizon : str or timedelta, optional
            What is predicted: the purchases of so many days from ``as_of``, such as ``"28d"``. None: those of the next
            order.

        Returns
        -------
        the recommender itself

        Raises
        ------
        SchemaError
            When no order lies before ``as_of``.

        Warns
        -----
        DataQualityWarning
            When the last order lies longer before ``as_of`` than the horizon is, or than 91 days without one.
        """
        caller = f"{type(self).__name__}.fit"
        moment = as_moment(as_of, caller=caller)
        days = None if horizon is None else as_days(horizon, caller=caller)
        self._check(caller=caller)
        sequences = read_sequences(transactions, item=self.item, element="order_id", as_of=moment, caller=caller)
        if not len(sequences):
            msg = f"{caller}: nothing was bought before as_of={moment:%Y-%m-%d}. Take a later day, or look at .audit."
            raise SchemaError(msg)
        tell_of_old_orders(sequences, moment, days, caller=caller)
        return self._fit_arrays(sequences, moment, days_from(sequences, moment), days)

    def recommend_table(
        self, transactions: Transactions | Any, *, as_of: Any, n: int = 10, horizon: Any = None, exclude: Any = None
    ) -> Any:
        """Suggest up to ``n`` items to each customer who bought something before ``as_of``.

        Parameters
        ----------
        transactions : Transactions or dataframe, one row per order line
            The histories; as for :meth:`fit`. Items that were not known when the model was fitted are passed over. A
            customer who bought nothing else gets what is popular.
        as_of : date
            The day to recommend on, at or after that of the fit: nothing at or after it is read.
        n : int, default 10
            The most items a customer.
        horizon : str or timedelta, optional
            That of the fit, if given: another one takes another fit.
        exclude : list, Series, Products or dataframe, optional
            What must not be suggested: ids of items, such as what is out of stock (a list, a Series, or a frame with
            the item's column), or a frame with ``customer_id`` and the item's column, such as what customers own.

        Returns
        -------
        dataframe of the kind that came in, key (``customer_id``, ``rank``)
            ``customer_id``; ``rank`` (Int64, from 1); the item, named by its role, ``product_id`` or ``category``;
            ``score`` (Float64, falling with the rank; what it means depends on the model). Equal scores rank by
            popularity (customers' orders with the item before the fit), then by item id.

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        SchemaError
            When ``as_of`` lies before that of the fit, ``horizon`` is another, or ids are numbers here and were text at
            the fit, or the other way round.

        Warns
        -----
        DataQualityWarning
            When none of the items was known at the fit, or the last order lies longer before ``as_of`` than the horizon
            is (than 91 days without one).
        """
        caller = f"{type(self).__name__}.recommend_table"
        check_is_fitted(self, "item_ids_")
        n = check_count(n, name="n", caller=caller)
        moment = self._check_moment(as_of, caller=caller)
        self._check_horizon(horizon, caller=caller)
        table = Transactions.bind(transactions)
        sequences = read_sequences(
            table, item=self.item, element="order_id", as_of=moment, known=self.item_ids_, caller=caller
        )
        self._check_ids(table, sequences, caller=caller)
        tell_of_old_orders(sequences, moment, self.horizon_days_, caller=caller)
        allowed = Allowed.of(sequences, which=self.which, exclude=exclude, item=self.item, caller=caller)
        now = days_from(sequences, moment)
        ranked = self._rank(sequences, now, n, allowed)
        columns = {
            "customer_id": sequences.sequence_ids[ranked.owners()],
            "rank": ranked.ranks(),
            self.item: sequences.item_ids[ranked.items],
            **self._columns(ranked, sequences, now),
        }
        return table_with_lists(table.engine, columns)

    # -- what a model says -----------------------------------------------------------------------------------------

    def _check(self, *, caller: str) -> None:
        """Check the parameters; a model with more of them adds its own checks."""
        check_choice(self.item, ITEMS, name="item", caller=caller)
        check_choice(self.which, WHICH, name="which", caller=caller)

    def _learn(self, sequences: Sequences, now: NDArray[np.int64], horizon: int | None) -> None:
        """Learn from histories of orders.

        ``now`` is the day of each sequence from which on purchases are predicted: no order is later. ``horizon`` is in
        days; None: the next order is predicted.
        """
        raise NotImplementedError

    def _rank(self, sequences: Sequences, now: NDArray[np.int64], n: int, allowed: Allowed) -> Ranked:
        """Return up to ``n`` of the items allowed for each sequence, in the codes of the fit; ``now`` as in _learn."""
        raise NotImplementedError

    def _columns(self, ranked: Ranked, sequences: Sequences, now: NDArray[np.int64]) -> dict[str, Any]:  # noqa: ARG002
        """Return the columns that follow the item: arrays, one value a suggestion.

        The evaluation looks at two of them where they are there: ``probability`` (of being bought within the horizon)
        is judged by its calibration, ``expected_date`` (datetime64, NaT: no saying) by its error in days.
        """
        return {"score": ranked.scores}

    # -- inside ----------------------------------------------------------------------------------------------------

    def _fit_arrays(
        self, sequences: Sequences, moment: dt.datetime, now: NDArray[np.int64], horizon: int | None
    ) -> Self:
        """Learn from histories that are read already: what ``fit`` and the evaluation share."""
        self.item_ids_, self.as_of_, self.horizon_days_ = sequences.item_ids, moment, horizon
        self.customer_kind_ = kind_of(sequences.sequence_ids)
        self._learn(sequences, now, horizon)
        return self

    def _check_ids(self, table: Transactions, sequences: Sequences, *, caller: str) -> None:
        """Refuse ids that cannot be those of the fit, and tell if no item is."""
        if not len(sequences):
            return
        where = ", and at the fit"
        refuse_kinds("customer_id", kind_of(sequences.sequence_ids), self.customer_kind_, where=where, caller=caller)
        if len(sequences.items):
            return
        dtype = table.need(self.item, caller=caller).collect_schema()[self.item]
        kind = "numbers" if dtype.is_integer() else "text"
        refuse_kinds(self.item, kind, kind_of(self.item_ids_), where=where, caller=caller)
        known = ", ".join(map(repr, self.item_ids_[-SHOWN:].tolist()))
        warn(f"{caller}: none of the items was known at the fit, such as {known}. Fit the model again.")

    def _check_moment(self, as_of: Any, *, caller: str) -> dt.datetime:
        moment = as_moment(as_of, caller=caller)
        if moment < self.as_of_:
            msg = (
                f"{caller}: as_of={moment:%Y-%m-%d} lies before that of the fit, {self.as_of_:%Y-%m-%d}: the model "
                f'knows what came after it. Fit it again: .fit(transactions, as_of="{moment:%Y-%m-%d}").'
            )
            raise SchemaError(msg)
        return moment

    def _check_horizon(self, horizon: Any, *, caller: str) -> None:
        days = self.horizon_days_ if horizon is None else as_days(horizon, caller=caller)
        if days != self.horizon_days_:
            fitted = "the next order" if self.horizon_days_ is None else f'horizon="{self.horizon_days_}d"'
            msg = (
                f'{caller}: the model was fitted to predict {fitted}, got horizon="{days}d". Fit it again: '
                f'.fit(transactions, as_of=..., horizon="{days}d").'
            )
            raise SchemaError(msg)


def tell_of_old_orders(sequences: Sequences, moment: dt.datetime, horizon: int | None, *, caller: str) -> None:
    """Warn if nothing was bought lately: mostly newer orders are missing, and everybody looks as if they had left."""
    if not len(sequences):
        return
    last = EPOCH + dt.timedelta(days=int(sequences.moment.max()))
    days = (moment.date() - last).days
    if days > (horizon or USUAL_DAYS):
        warn(
            f"{caller}: the last order is of {last}, {days} days before as_of={moment:%Y-%m-%d}. Add newer orders, or "
            f'take as_of="{last + dt.timedelta(days=1)}".'
        )


def days_from(sequences: Sequences, moment: dt.datetime) -> NDArray[np.int64]:
    """Return the day of ``moment``, in days since 1970-01-01, once for each sequence."""
    return np.full(len(sequences), (moment.date() - EPOCH).days, np.int64)
