"""How orders come in by channel: whom it reached, and through which channel each customer orders."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect
from crmlytics._sales import NAME, GroupedSales, named, numbered, sum_up
from crmlytics._validation import check_amount, check_fraction, did_you_mean, warn
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Collection, Iterable, Mapping

    from numpy.typing import NDArray

    from crmlytics.tables import Events

    Vector = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Flags = NDArray[np.bool_]

CHANNEL = "channel"
UNKNOWN = "(unknown)"  # what came through a channel that nobody wrote down
FEW = 30
SHOWN = 30  # names of events in a message
MISSPELT = 0.85  # so alike are "search_ad" and "search_ads", and not "tv" and "ctv"
NO_CAUSE = "Association, not effect: channels differ in whom they reach and in what they sell."


@dataclass(frozen=True, eq=False)
class Sales(GroupedSales):
    """Sales by channel, named in order; ``"(unknown)"``, where there is any, is the last."""

    @property
    def channel(self) -> Codes:
        """The number of each sale's channel."""
        return self.group

    @property
    def is_known(self) -> Flags:
        """Whether the channel of each sale is known."""
        return np.array([name != UNKNOWN for name in self.names], bool)[self.channel]

    def order_counts(self) -> Codes:
        """Count the orders of each customer, through whatever channels."""
        _, place = np.unique(self.order[self.is_order], return_index=True)
        return np.bincount(self.customer[self.is_order][place], minlength=len(self.customer_ids))

    def uses(self, rows: Flags) -> Flags:
        """Whether each customer ordered through each channel in some of the sales: shape (customers, channels)."""
        used = np.zeros((len(self.customer_ids), len(self.names)), bool)
        rows = rows & self.is_order
        used[self.customer[rows], self.channel[rows]] = True
        return used

    def main_channel(self, rows: Flags) -> Codes:
        """Return the channel each customer ordered through most often, -1 without an order.

        Equals are told apart by the later last order, then by name. What is not known is nobody's main channel who
        has another.
        """
        chosen = np.flatnonzero(rows & self.is_order)
        size, width = len(self.customer_ids), len(self.names)
        cell = self.customer[chosen] * width + self.channel[chosen]
        count = np.bincount(cell, minlength=size * width)
        last = np.full(size * width, -1)
        last[cell] = np.arange(len(chosen))  # sales are sorted by time: the last one stays
        moments = np.unique(self.moment[chosen], return_inverse=True)[1]
        latest = np.where(last >= 0, np.append(moments, -1)[last], -1)
        known = np.tile(np.array(self.names, object) != UNKNOWN, size)
        backwards = np.tile(-np.arange(width), size)
        filled = np.flatnonzero(count)
        order = filled[np.lexsort((backwards[filled], latest[filled], count[filled], known[filled], filled // width))]
        found = np.full(size, -1)
        found[order // width] = order % width  # the last of each customer is the best
        return found


def sorted_names(names: Iterable[str], *, caller: str) -> list[str]:
    """Sort channels, numbers as numbers, what is unknown last; tell of those that seem to be one."""
    found = set(names)
    known = found - {UNKNOWN}
    whole = all(name.lstrip("-").isdecimal() for name in known)
    in_order = sorted(known, key=int if whole else None)
    _tell_alike(in_order, caller=caller)
    return [*in_order, *(found & {UNKNOWN})]


def _tell_alike(names: list[str], *, caller: str) -> None:
    """Warn of channels whose names differ in case only, or in how many blanks are within."""
    spellings = defaultdict(list)
    for name in names:
        spellings[_plain(name)].append(repr(name))
    alike = [", ".join(spelt) for spelt in spellings.values() if len(spelt) > 1]
    if alike:
        warn(
            f"{caller}: channels that differ in case or blanks only count as different ones: {'; '.join(alike)}. Are "
            'they one? Then write them alike, such as data["channel"].str.lower().'
        )


def _plain(name: str) -> str:
    return " ".join(name.lower().split())


def read_sales(
    transactions: Transactions | Any,
    *,
    as_of: dt.datetime,
    since: dt.datetime | None = None,
    margin: Any = None,
    by_channel: bool = True,
    caller: str,
) -> Sales:
    """Read all sales of a period; the margin is a share of amounts, else amounts less costs where these are known."""
    share = None if margin is None else check_fraction(margin, name="margin", caller=caller)
    whole = Transactions.bind(transactions)
    table = whole.before(as_of) if since is None else whole.between(since, as_of)
    names = named(CHANNEL, UNKNOWN) if by_channel else nw.lit(UNKNOWN)
    rows = sum_up(table, CHANNEL if by_channel else None, names, as_of=as_of, since=since, caller=caller)
    channels = sorted_names(rows[NAME], caller=caller)
    number = {name: place for place, name in enumerate(channels)}
    return Sales(table=table, names=channels, **numbered(rows, number, margin=share))


# -- what tables of channels share ---------------------------------------------------------------------------------


def is_conversion(events: Events, conversion: Any, *, caller: str) -> nw.Expr:
    """Whether an event is the one that converts."""
    is_text = events.id_kind("event") == "String"
    if isinstance(conversion, bool) or not isinstance(conversion, str if is_text else int):
        kind = "a word" if is_text else "a whole number"
        raise SchemaError(f"{caller}: conversion must be an event, which are {kind} here, got {conversion!r}.")
    return (nw.col("event") == conversion).fill_null(value=False)


def no_conversion(events: nw.LazyFrame[Any], conversion: Any, when: str, *, caller: str) -> SchemaError:
    """Return the refusal of a conversion that is no event."""
    known = collect(events.select("event").unique().sort("event").head(SHOWN))["event"].to_list()
    hint = did_you_mean(conversion, known)
    return SchemaError(
        f"{caller}: no event {when} is called {conversion!r}.{hint} Events: {known}. Say conversion=..., or give "
        "transactions."
    )


def channel_costs(costs: Mapping[Any, float], names: Collection[str], *, caller: str) -> dict[str, float]:
    """Return what channels cost, also those that nobody came through; refuse what looks like a misspelt name."""
    if not hasattr(costs, "items"):
        msg = f'{caller}: costs must map channels to amounts, such as costs={{"search_ad": 500.0}}, got {costs!r}.'
        raise SchemaError(msg)
    given: dict[str, float] = defaultdict(float)
    for name, cost in costs.items():
        given[str(name).strip()] += check_amount(cost, name=f"costs[{name!r}]", caller=caller)
    by_plain = {_plain(name): name for name in sorted(names)}
    for name in sorted(given.keys() - set(names)):
        close = get_close_matches(_plain(name), by_plain, n=1, cutoff=MISSPELT)
        if close and _digits(close[0]) == _digits(name):
            msg = f"{caller}: costs names {name!r}, no such channel. Did you mean {by_plain[close[0]]!r}?"
            raise SchemaError(f"{msg} Channels: {sorted(names)}")
    return dict(given)


def _digits(name: str) -> str:
    """Return the digits of a name: "tv 1" is no misspelt "tv 2"."""
    return "".join(filter(str.isdigit, name))


def sums(group: Codes, values: NDArray[Any], groups: int) -> Vector:
    """Add up values by group."""
    return np.bincount(group, values, groups).astype(np.float64)
