"""Histories and what came after them: cut at one day for everybody, or before each customer's last order."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._sequences import offsets, read_sequences
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._allowed import is_among, own_items

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._sequences import Sequences
    from crmlytics.tables import Transactions

EPOCH = dt.date(1970, 1, 1)


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """What was known, and what was bought then.

    Attributes
    ----------
    moment : datetime
        The cutoff; where everybody has one of their own, the end of the data.
    horizon : int or None
        How many days from the cutoff are the future; None: one order is.
    history : Sequences
        The orders known, in codes of the items known.
    now : int64 array, shape (customers,)
        The day of the cutoff of each customer.
    bought : int64 array, sorted
        What each customer bought then, each item once: ``customer * width + item``, items that were not known included.
    width : int
        One more than the largest item code in ``bought`` can be.
    day : int64 array
        When each of them was first bought then, in days since 1970-01-01.
    is_judged : bool array, shape (customers,)
        Who is judged.
    """

    moment: dt.datetime
    horizon: int | None
    history: Sequences
    now: NDArray[np.int64]
    bought: NDArray[np.int64]
    width: int
    day: NDArray[np.int64]
    is_judged: NDArray[np.bool_]

    def sizes(self) -> NDArray[np.int64]:
        """Return how many items each customer bought."""
        return np.bincount(self.bought // self.width, minlength=len(self.history)).astype(np.int64)

    def repeated(self) -> NDArray[np.int64]:
        """Return how many of these each customer had bought before."""
        again = self.bought[is_among(self.bought, self.own())]
        return np.bincount(again // self.width, minlength=len(self.history)).astype(np.int64)

    def own(self) -> NDArray[np.int64]:
        """Return what each customer had bought before, as ``customer * width + item``, sorted."""
        starts, items, _ = own_items(self.history)
        return np.repeat(np.arange(len(self.history)), np.diff(starts)) * self.width + items


def split_at(table: Transactions, cutoff: dt.datetime, horizon: int, *, item: str, caller: str) -> Split:
    """Cut at one day for everybody: what is at or after it is the future, also what others buy.

    History and future are read apart: the one is the same whatever the other holds.
    """
    history = read_sequences(table, item=item, element="order_id", as_of=cutoff, caller=caller)
    if not len(history):
        msg = (
            f"{caller}: nothing was bought before {cutoff:%Y-%m-%d}, from where on the models are judged. Take fewer "
            "cutoffs, a shorter horizon or a later as_of."
        )
        raise SchemaError(msg)
    later = table.between(cutoff, cutoff + dt.timedelta(days=horizon))
    future = read_sequences(later, item=item, element="order_id", caller=caller)
    customer = _numbers(future.sequence_ids, history.sequence_ids)
    code = _numbers(future.item_ids, history.item_ids)
    unknown = np.flatnonzero(code < 0)
    code[unknown] = len(history.item_ids) + np.arange(len(unknown))
    width = len(history.item_ids) + len(unknown)
    owner = np.repeat(customer, np.diff(future.starts))
    bought, day = _first_bought(owner, future, code, width)
    now = np.full(len(history), (cutoff.date() - EPOCH).days, np.int64)
    return Split(cutoff, horizon, history, now, bought, max(width, 1), day, np.ones(len(history), np.bool_))


def split_off_last(table: Transactions, as_of: dt.datetime, least: int, *, item: str, caller: str) -> Split:
    """Cut before each customer's last order; customers with one order have no history and are left out."""
    whole = read_sequences(table, item=item, element="order_id", as_of=as_of, caller=caller)
    enough = np.diff(whole.starts) > 1
    if not enough.any():
        msg = f"{caller}: no customer has two orders before as_of={as_of:%Y-%m-%d}: there is no history to learn from."
        raise SchemaError(msg)
    is_last = np.zeros(len(whole.moment), np.bool_)
    is_last[whole.starts[1:] - 1] = True
    is_used = np.repeat(enough, np.diff(whole.starts))
    history, future = _part(whole, is_used & ~is_last, enough), _part(whole, is_used & is_last, enough)
    code, known = _codes_of(history)
    width = len(code)
    bought, day = _first_bought(np.arange(len(future)), future, code, width)
    split = Split(as_of, None, _recoded(history, code, known), future.moment, bought, width, day, np.ones(0, np.bool_))
    return replace(split, is_judged=split.sizes() >= least)


def _numbers(ids: NDArray[Any], known: NDArray[Any]) -> NDArray[np.int64]:
    """Return the number of each id among those known, -1 for none."""
    number = {known_id: place for place, known_id in enumerate(known.tolist())}
    return np.array([number.get(one, -1) for one in ids.tolist()], np.int64)


def _first_bought(
    owner: NDArray[np.int64], future: Sequences, code: NDArray[np.int64], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what known customers bought, each item once and sorted, and when first; ``owner`` is of each order."""
    lengths = np.diff(future.item_starts)
    owner, day = np.repeat(owner, lengths), np.repeat(future.moment, lengths)
    known = owner >= 0
    keys, day = (owner * max(width, 1) + code[future.items])[known], day[known]
    order = np.lexsort((day, keys))
    bought, first = np.unique(keys[order], return_index=True)
    return bought, day[order][first]


def _part(whole: Sequences, elements: NDArray[np.bool_], sequences: NDArray[np.bool_]) -> Sequences:
    """Return some elements of some sequences."""
    lengths = np.diff(whole.item_starts)
    counts = np.add.reduceat(elements.astype(np.int64), whole.starts[:-1])[sequences]
    return replace(
        whole,
        starts=offsets(counts),
        item_starts=offsets(lengths[elements]),
        items=whole.items[np.repeat(elements, lengths)],
        moment=whole.moment[elements],
        sequence_ids=whole.sequence_ids[sequences],
    )


def _codes_of(history: Sequences) -> tuple[NDArray[np.int64], int]:
    """Return a new code for each item, from the history alone, as reading it would give, and how many it holds.

    Rare items come first and equals by id; those that the history does not hold follow after all others.
    """
    counts = np.bincount(history.items, minlength=len(history.item_ids))
    order = np.lexsort((np.argsort(np.argsort(history.item_ids)), counts, counts == 0))
    code = np.empty(len(order), np.int64)
    code[order] = np.arange(len(order))
    return code, int((counts > 0).sum())


def _recoded(history: Sequences, code: NDArray[np.int64], known: int) -> Sequences:
    element = np.repeat(np.arange(len(history.moment)), np.diff(history.item_starts))
    keys = np.sort(element * len(code) + code[history.items])
    item_ids = np.empty_like(history.item_ids)
    item_ids[code] = history.item_ids
    return replace(history, items=(keys % len(code)).astype(np.int32), item_ids=item_ids[:known])
