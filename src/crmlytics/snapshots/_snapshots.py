"""Snapshots: who every customer was at a cutoff, and what happened next."""

from __future__ import annotations

import datetime as dt
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, reduce
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect, compute
from crmlytics._orders import ORDER_ROLES
from crmlytics._validation import as_days, as_moment, check_choice, check_count, read_length
from crmlytics.exceptions import MissingColumnsError
from crmlytics.snapshots._checks import (
    OTHERS,
    bind_others,
    check_bought,
    check_eligible,
    check_known,
    check_labels_known,
)
from crmlytics.snapshots._cutoffs import check_splits, read_cutoffs, rolling_origin
from crmlytics.snapshots._families import choose_families, features_of
from crmlytics.snapshots._history import CALLER, History
from crmlytics.snapshots._joining import RESERVED, attach, check_names
from crmlytics.snapshots._labels import (
    answers,
    endings,
    label_names,
    purchases,
    purchases_of,
    read_targets,
    running_at,
)  # fmt: skip
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from crmlytics.snapshots._cutoffs import Split
    from crmlytics.snapshots._joining import Part

YEAR = dt.timedelta(days=365)


@dataclass(frozen=True, eq=False, repr=False)
class Snapshots:
    """Customers at one or several cutoffs: features strictly before, labels strictly after, in one table.

    The one safe way from raw history to a table that a model may learn from: nothing at or after a cutoff is read by a
    feature, and :meth:`splits` lets no row train a model whose label was not yet known when the test begins.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``. ``product_id``, ``category``, ``channel``,
        ``quantity``, ``list_price`` and ``discount_amount`` are read where they are bound.
    cutoffs : date or list of dates
        The moments to describe customers at; a date is the midnight that begins it. See :func:`cutoff_dates`.
    horizon : str or timedelta
        The length of the label window, such as ``"90d"``.
    gap : str or timedelta, default "0d"
        From the cutoff to the label window: the days that pass until anybody acts on a score.
    active_within : str, timedelta or None, default "180d"
        Who is in the table: customers with an order within so many days before the cutoff. None: whoever ever ordered.
    eligible : {"orders", "subscriptions"}
        ``"subscriptions"``: instead, who has a subscription running at the cutoff. Who ends it within ``gap`` is left
        out of the panel: no score comes in time for them.
    events, tickets, contacts, customers, subscriptions : contracts or dataframes, optional
        What else is known; each brings a family of features, all as of the cutoff. Of the library of ``transactions``.
    products : Products or dataframe, optional
        Says the ``category`` and ``department`` of products where the order lines do not.
    families : str or list of str, optional
        Which features, see Notes. By default all that the data allow.
    lookbacks : tuple of durations, default ("30d", "90d", "365d")
        What "lately" means in features of a window, which end in ``_30d`` and so on.
    targets : dict, optional
        Single things to buy: ``{"category": ["DAIRY"]}`` adds the label ``bought_DAIRY``, and what the customer
        has had to do with it to the features. Keys: ``"product_id"``, ``"category"``, ``"department"``.
    observed_until : date, optional
        The moment up to which the data are complete. By default the midnight after the last line.

    Attributes
    ----------
    cutoffs : tuple of datetime
    horizon, gap : timedelta
    active_within : timedelta or None
    families : tuple of str
        What the arguments came to.

    Raises
    ------
    SchemaError, MissingColumnsError
        For arguments that cannot be read, a family whose columns are missing, ids of different kinds, a label window
        that ends after the data (says which cutoff is the last possible), a cutoff before any order, and cutoffs at
        which nobody is eligible.

    Warns
    -----
    DataQualityWarning
        When nobody is eligible at some of the cutoffs, or nobody bought a target in any window.

    Notes
    -----
    An order is an ``order_id`` of one customer that adds up to more than nothing, as everywhere in this package; a
    credit note is none. A line at the very moment of the cutoff belongs to the future. To features an order lies where
    its last line known then lies; labels count only orders whose first line lies in their window, so that freight
    charged later hides no churn. Counts are Int64, words String and all other features Float64, null where unknown.

    ===============  ==================================================================================================
    family           features
    ===============  ==================================================================================================
    recency          ``recency_days``, calendar days since the last order
    frequency        ``order_count``, ``order_count_30d`` and so on for each lookback
    monetary         ``total_amount``, ``mean_order_amount`` (without credit notes), ``amount_30d`` ...
    tenure           ``tenure_days``, calendar days since the first order in the data
    intervals        ``mean_interval_days`` between days with an order, their ``interval_cv`` (sample standard
                     deviation by mean), ``overdue_ratio`` (recency by mean interval); null where there is no interval
    trends           ``order_trend_30d``, ``amount_trend_30d`` ...: log of the later half of a lookback by the earlier
                     one, one order (a mean order) added to both, within -3 and 3; 0 is no change; none of one day
    seasonality      ``season_sin``, ``season_cos``: the day of the year of the cutoff; ``same_season_order_count``
                     (Float64): orders in the label window one year (365 days) earlier, null before the data begin
    breadth          ``product_count``, ``top_product_share`` (of the amount), the same of ``category`` and
                     ``department``
    channels         ``channel_count``, ``top_channel_share`` (of the orders), ``last_channel``
    returns          ``return_line_share``, ``return_amount_share`` (of the money moved either way)
    discounts        ``discounted_line_share``, ``discount_share`` (of the full price)
    targets          ``order_count_DAIRY``, ``recency_days_DAIRY``: orders with each value of ``targets``, calendar days
                     since the last of them (null where there is none)
    tickets, clicks, contacts, customers, subscriptions: from the table given, see the guide
    ===============  ==================================================================================================

    Labels are told from the lines in [cutoff + gap, cutoff + gap + horizon): ``bought`` (Boolean, an order),
    ``future_order_count`` (Int64), ``future_amount`` (Float64, of all lines, returns taken off), ``bought_<value>`` of
    ``targets``; with contacts that have ``responded``: ``contacted`` and ``responded``; with subscriptions that have
    ``ended_at``: ``ended`` (one ran when the window began and none when it was over).

    A lazy engine is asked for the first and last moment of the lines (the first time a table is wanted, and not at all
    if ``observed_until`` is given); the rest is one plan.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b", "a"], "order_id": [1, 2, 3, 4], "amount": [10.0, 20.0, 5.0, 8.0],
    ...     "timestamp": pd.to_datetime(["2024-01-10", "2024-02-09", "2024-02-19", "2024-03-05"]),
    ... })
    >>> snapshots = Snapshots(orders, cutoffs="2024-03-01", horizon="7d", families=["recency", "frequency"],
    ...                       lookbacks=["30d"], observed_until="2024-04-01")
    >>> snapshots.panel_table()[["customer_id", "recency_days", "order_count", "order_count_30d", "bought"]]
      customer_id  recency_days  order_count  order_count_30d  bought
    0           a          21.0            2                1    True
    1           b          11.0            1                1   False
    """

    transactions: Any
    _: KW_ONLY
    cutoffs: Any
    horizon: Any
    gap: Any = "0d"
    active_within: Any = "180d"
    eligible: str = "orders"
    events: Any = None
    tickets: Any = None
    contacts: Any = None
    customers: Any = None
    products: Any = None
    subscriptions: Any = None
    families: Any = None
    lookbacks: Any = ("30d", "90d", "365d")
    targets: Any = None
    observed_until: Any = None

    def __post_init__(self) -> None:
        """Check the arguments, and the data where they are in memory."""
        clean = self._bound() | self._times()
        for name, value in clean.items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "targets", read_targets(self.targets, self.transactions, self.products))
        object.__setattr__(self, "families", choose_families(self.families, self.transactions, self._sources))
        check_choice(self.eligible, ["orders", "subscriptions"], name="eligible", caller=CALLER)
        if self.eligible == "subscriptions" and "ended" not in self.label_names:
            msg = f"{CALLER}: eligible=\"subscriptions\" needs subscriptions= with the role 'ended_at'."
            raise MissingColumnsError(msg)
        if not self.transactions.engine.is_lazy:
            self._check_data()

    # -- what comes out ------------------------------------------------------------------------------------------

    def panel_table(self) -> Any:
        """Return one row per eligible customer and cutoff: what was known then, and what happened after it.

        Returns
        -------
        dataframe of the kind that came in, sorted by ``customer_id``, ``cutoff``
            ``customer_id``, ``cutoff`` (datetime), the features (:attr:`feature_names`), the labels
            (:attr:`label_names`).
        """
        return self.transactions.to_native(self._panel)

    def features_table(self, as_of: str | dt.date | dt.datetime) -> Any:
        """Return the same features at any one moment, such as today, to be scored: no labels, no horizon needed.

        Parameters
        ----------
        as_of : date
            Nothing at or after it is read.

        Returns
        -------
        dataframe of the kind that came in, one row per eligible customer, sorted by ``customer_id``
            ``customer_id``, ``cutoff`` (``as_of``), the features.
        """
        moment = as_moment(as_of, caller=f"{CALLER}.features_table")
        table = self._features(moment).sort("customer_id")
        if not self.transactions.engine.is_lazy:
            table = collect(table).lazy()
            check_eligible(table, (moment,), rule=self._rule)
        return self.transactions.to_native(table)

    def splits(self, panel: Any = None, *, min_train_cutoffs: int = 1) -> list[Split]:
        """Split the rows of the panel by time, as scikit-learn takes it: ``cv=snapshots.splits()``.

        Each cutoff in turn is tested on; to train there are the cutoffs at least ``gap`` + ``horizon`` earlier, whose
        labels were known by then. Cutoffs without enough of these are only trained on.

        Parameters
        ----------
        panel : dataframe, optional
            A table with the column ``cutoff`` whose rows to number, such as a part of the panel. By default the panel;
            on a lazy engine, give the one that you collected.
        min_train_cutoffs : int, default 1
            How many different cutoffs a training needs.

        Returns
        -------
        list of (train, test)
            Arrays of row positions, in the order of the test cutoffs.

        Raises
        ------
        SchemaError
            When no cutoff may train for another; says which cutoffs would do.
        """
        caller = f"{CALLER}.splits"
        least = check_count(min_train_cutoffs, name="min_train_cutoffs", caller=caller)
        table = collect(self._panel.select("cutoff")) if panel is None else compute(panel, caller=caller)
        if "cutoff" not in table.columns:
            msg = f"{caller}: the panel has no column 'cutoff', got {table.columns}."
            raise MissingColumnsError(msg)
        moments = table["cutoff"].to_numpy().astype("datetime64[us]")
        splits = rolling_origin(moments, self.gap + self.horizon, least=least)
        check_splits(splits, self.cutoffs, self.gap + self.horizon, least=least)
        return splits

    @cached_property
    def feature_names(self) -> list[str]:
        """The features, in the order of the columns of the panel."""
        names = self._features(self.cutoffs[-1]).collect_schema().names()
        return [name for name in names if name not in RESERVED]

    @property
    def label_names(self) -> list[str]:
        """The labels, in the order of the columns of the panel."""
        answered = self.contacts is not None and self.contacts.has("timestamp", "responded")
        ends = self.subscriptions is not None and self.subscriptions.has("ended_at")
        return label_names(self.targets, contacts=answered, subscriptions=ends)

    def __repr__(self) -> str:
        """Name the cutoffs, the windows and the families."""
        first, last = self.cutoffs[0], self.cutoffs[-1]
        dates = (
            f"{first:%Y-%m-%d}" if first == last else f"{len(self.cutoffs)} cutoffs {first:%Y-%m-%d}..{last:%Y-%m-%d}"
        )
        return (
            f"Snapshots({self.transactions.engine.name} frame, {dates}, horizon {self.horizon.days}d, gap "
            f"{self.gap.days}d; {', '.join(self.families)})"
        )

    # -- reading the arguments -----------------------------------------------------------------------------------

    def _bound(self) -> dict[str, Any]:
        """Bind every table that was given."""
        transactions = Transactions.bind(self.transactions)
        transactions.need(*ORDER_ROLES, caller=CALLER)
        given = {name: table for name, table in self._others.items() if table is not None}
        return {"transactions": transactions} | bind_others(given, transactions)

    def _times(self) -> dict[str, Any]:
        active, until = self.active_within, self.observed_until
        return {
            "cutoffs": read_cutoffs(self.cutoffs, caller=CALLER),
            "horizon": _length(self.horizon, name="horizon"),
            "gap": read_length(self.gap, name="gap", caller=CALLER),
            "active_within": active if active is None else _length(active, name="active_within"),
            "lookbacks": _lengths(self.lookbacks, name="lookbacks"),
            "observed_until": until if until is None else as_moment(until, name="observed_until", caller=CALLER),
        }

    @property
    def _others(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in OTHERS}

    @property
    def _sources(self) -> dict[str, Any]:
        """What families are computed from beside the transactions."""
        return self._others | {"targets": self.targets or None}

    def _check_data(self) -> None:
        """Refuse cutoffs before the data, and label windows beyond them."""
        check_known(self.transactions, self.cutoffs[0])
        wait = self.gap + self.horizon
        check_labels_known(self.transactions, self.cutoffs[-1], wait, observed_until=self.observed_until)

    @property
    def _rule(self) -> str:
        """Who is eligible, in words."""
        if self.eligible == "subscriptions":
            return "a subscription that runs"
        return f"an order in the {self.active_within.days} days before" if self.active_within else "an order before"

    # -- computing -----------------------------------------------------------------------------------------------

    @cached_property
    def _panel(self) -> nw.LazyFrame[Any]:
        """The panel: a plan, or computed once and kept where the data are in memory."""
        is_lazy = self.transactions.engine.is_lazy
        if is_lazy and self.observed_until is None:
            self._check_data()
        plan = nw.concat([self._labelled(cutoff) for cutoff in self.cutoffs]).sort("customer_id", "cutoff")
        if is_lazy:
            return plan
        panel = collect(plan).lazy()
        check_eligible(panel, self.cutoffs, rule=self._rule)
        check_bought(panel, label_names(self.targets, contacts=False, subscriptions=False)[3:])
        return panel

    def _features(self, cutoff: dt.datetime) -> nw.LazyFrame[Any]:
        """Return the features of who is eligible at a cutoff."""
        season = cutoff + self.gap - YEAR
        days = tuple(lookback.days for lookback in self.lookbacks)
        history = History(self.transactions, cutoff, days, (season, season + self.horizon), self.products)
        ordered, parts = features_of(history, self.families, self._sources)
        check_names([*ordered.names, *(name for part in parts for name in part.names)], self.label_names)
        customers = self._eligible(ordered, cutoff).select("customer_id", *ordered.names)
        table = reduce(attach, parts, customers)
        moment = nw.lit(cutoff).cast(nw.Datetime("us")).alias("cutoff")
        return table.select("customer_id", moment, *ordered.names, *[name for part in parts for name in part.names])

    def _eligible(self, ordered: Part, cutoff: dt.datetime) -> nw.LazyFrame[Any]:
        if self.eligible == "subscriptions":
            return attach(running_at(self.subscriptions, cutoff), ordered)
        customers = ordered.frame
        if self.active_within is not None:
            customers = customers.filter(nw.col("_last") >= cutoff - self.active_within)
        return ordered.settle(customers)

    def _labelled(self, cutoff: dt.datetime) -> nw.LazyFrame[Any]:
        """Return features and labels of a cutoff."""
        start = cutoff + self.gap
        window = start, start + self.horizon
        table = self._features(cutoff)
        if self.eligible == "subscriptions" and self.gap:
            table = table.join(running_at(self.subscriptions, start), on="customer_id", how="inner")
        return reduce(attach, self._labels(*window), table)

    def _labels(self, start: dt.datetime, end: dt.datetime) -> list[Part]:
        parts = [purchases(self.transactions, start, end)]
        parts += [
            purchases_of(self.transactions, self.products, level, values, (start, end))
            for level, values in self.targets.items()
        ]
        parts += [answers(self.contacts, start, end)] if "responded" in self.label_names else []
        return parts + ([endings(self.subscriptions, start, end)] if "ended" in self.label_names else [])


def _length(value: Any, *, name: str) -> dt.timedelta:
    return dt.timedelta(days=as_days(value, name=name, caller=CALLER))


def _lengths(values: Any, *, name: str) -> tuple[dt.timedelta, ...]:
    several = hasattr(values, "__iter__") and not isinstance(values, str)
    return tuple(sorted({_length(value, name=name) for value in (values if several else [values])}))
