"""What customers did in the days around the contact: added up where the data live, one row per customer and period."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, day_number, days_between
from crmlytics._orders import ORDER_ROLES, orders_of
from crmlytics._validation import as_moment, did_you_mean
from crmlytics.campaigns._experiment import CAMPAIGN, CUSTOMER, word_of, words_of
from crmlytics.campaigns._reading import KEY, assigned, doings, of_event, read_tables, tell_silence, with_windows_over
from crmlytics.campaigns.outcomes import AMOUNTS, COUNTS
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Events, Transactions

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    from numpy.typing import NDArray

    from crmlytics._contract import Contract
    from crmlytics._frames import Engine
    from crmlytics._kernels.panel_effects import Means

    Vector = NDArray[np.float64]
    Places = NDArray[np.int64]

CONVERTED = "converted"


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """One arm of one campaign beside those it is compared with.

    Attributes
    ----------
    campaign, arm
    treated, comparison : int64 arrays
        Places of customers in the :class:`SinceContact`.
    """

    campaign: Any
    arm: str
    treated: NDArray[np.int64]
    comparison: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SinceContact:
    """Customers of campaigns, and what they did in each period around their contact.

    Attributes
    ----------
    engine : Engine
    customers : pandas DataFrame
        ``campaign_id``, ``customer_id``, ``arm``, ``observed_days`` (whole days from the contact to ``as_of``); sorted.
    row, period : int64 arrays, shape (figures,)
        The customer's place and the period of each figure; what nobody did is not listed.
    figures : dict of metric to float64 array, shape (figures,)
    what : object array, shape (figures,), or None
        The category of each figure, where asked for.
    comparison : str
        The arm that the others are compared with.
    """

    engine: Engine
    customers: pd.DataFrame
    row: NDArray[np.int64]
    period: NDArray[np.int64]
    figures: dict[str, Vector]
    what: NDArray[Any] | None
    comparison: str

    @property
    def campaigns(self) -> list[Any]:
        """The campaigns, sorted."""
        found: list[Any] = self.customers[CAMPAIGN].drop_duplicates().tolist()
        return found

    def groups(self) -> Iterator[Groups]:
        """Go through campaigns and their arms, both sorted."""
        for campaign, rows in self.customers.groupby(CAMPAIGN, sort=True):
            arms = rows["arm"]
            places = {arm: rows.index[arms == arm].to_numpy(np.int64) for arm in sorted(arms.unique())}
            comparison = places.pop(self.comparison)
            for arm, treated in places.items():
                yield Groups(campaign, str(arm), treated, comparison)

    def first_of(self, metric: str) -> Vector:
        """Return 1 for the first period in which a customer did anything, 0 for the later ones."""
        done = np.flatnonzero(self.figures[metric] > 0)
        order = done[np.lexsort((self.period[done], self.row[done]))]
        is_first = np.ones(len(order), bool)
        is_first[1:] = self.row[order[1:]] != self.row[order[:-1]]
        flags = np.zeros(len(self.row))
        flags[order[is_first]] = 1.0
        return flags

    def means(
        self,
        places: Places,
        values: Vector,
        *,
        periods: int,
        ends: Places | None = None,
        which: Places | None = None,
    ) -> Means:
        """Return the means per period of some customers, of figures in the order of ``row`` and ``period``.

        With ``ends``, the days since the contact at which periods end, a customer counts in those that are over at
        ``as_of``, without them in all; ``which`` are the figures that count, all of them by default.
        """
        from crmlytics._kernels.panel_effects import group_means

        row, period = (self.row, self.period) if which is None else (self.row[which], self.period[which])
        number = np.full(len(self.customers), -1)
        number[places] = np.arange(len(places))
        mine = (number[row] >= 0) & (period < periods)
        observed = np.full(len(places), periods)
        if ends is not None:
            observed = np.searchsorted(ends[:periods], self.customers["observed_days"].to_numpy()[places], "right")
        found = (values if which is None else values[which])[mine]
        return group_means(number[row[mine]], period[mine], found, observed=observed, periods=periods)


def read_since_contact(
    contacts: Any,
    outcomes: Any,
    *,
    as_of: Any,
    comparison: Any,
    days: tuple[int, int],
    period: nw.Expr,
    event: str | None = None,
    by: str | None = None,
    whole: bool = False,
    caller: str,
) -> SinceContact:
    """Read what customers did from ``days[0]`` days before the contact to ``days[1]`` days after it.

    Days are counted as :func:`outcome_table` counts them: calendar days, that of the contact being day 0, and what lies
    before the moment of the contact is of day -1 or earlier.

    Parameters
    ----------
    period : expression of ``_day``
        The number of the period that a day is in.
    by : str, optional
        A role of the outcomes to tell figures apart by.
    whole : bool
        Whether only customers are read whose days are over at ``as_of``.
    """
    moment = as_moment(as_of, caller=caller)
    tables = read_tables(contacts, outcomes, caller=caller)
    dealt = assigned(tables["contacts"].before(moment), word_of(comparison), caller=caller)
    if whole:
        dealt = with_windows_over(dealt, days[1], moment, caller=caller)
    observed = days_between(nw.col("contacted_at"), moment)
    dealt = dealt.with_columns(observed_days=observed)
    known = tables["outcomes"].before(moment)
    tell_silence(known, dealt, nw.min_horizontal("observed_days", nw.lit(days[1])), caller=caller)
    done, names = doings(known, event, caller=caller) if by is None else _doings_by(known, event, by, caller=caller)
    in_days = _in_days(dealt, done, days).with_columns(_period=period.cast(nw.Int64))
    sums = collect(_summed(in_days, names, by)).to_pandas()
    people = collect(dealt.select(*KEY, "arm", "observed_days").sort(*KEY)).to_pandas().reset_index(drop=True)
    people["arm"] = words_of(people["arm"])
    _check_comparison(people, word_of(comparison), caller=caller)
    place = people[KEY].assign(_row=np.arange(len(people)))
    sums = sums.merge(place, on=KEY, how="inner").sort_values(["_row", "_period", *([by] if by else [])])
    return SinceContact(
        engine=tables["contacts"].engine,
        customers=people,
        row=sums["_row"].to_numpy(np.int64),
        period=sums["_period"].to_numpy(np.int64),
        figures={name: sums[name].to_numpy(np.float64, na_value=0.0) for name in names},
        what=words_of(sums[by]) if by else None,
        comparison=word_of(comparison),
    )


def count_name(figures: Any) -> str:
    """Return which of the figures counts orders or events."""
    return next(name for name in COUNTS if name in figures)


def amount_names(figures: Any) -> list[str]:
    """Return which of the figures are money."""
    return [name for name in AMOUNTS if name in figures]


# -- inside --------------------------------------------------------------------------------------------------------


def _in_days(dealt: nw.LazyFrame[Any], done: nw.LazyFrame[Any], days: tuple[int, int]) -> nw.LazyFrame[Any]:
    """Return what was done around each contact, with the day since it."""
    moment, contacted = nw.col("_moment"), nw.col("contacted_at")
    pairs = dealt.select(*KEY, "contacted_at").join(done, on=CUSTOMER, how="inner")
    pairs = pairs.with_columns(_calendar=day_number(moment) - day_number(contacted))
    earlier = (moment < contacted) & (nw.col("_calendar") == 0)  # on the day of the contact
    pairs = pairs.with_columns(_day=nw.when(earlier).then(nw.lit(-1)).otherwise(nw.col("_calendar")).cast(nw.Int64))
    return pairs.filter((nw.col("_day") >= -days[0]) & (nw.col("_day") < days[1]))


def _summed(in_days: nw.LazyFrame[Any], names: dict[str, str], by: str | None) -> nw.LazyFrame[Any]:
    """Add up where the data live: one row per campaign, customer, period (and category)."""
    keys = [*KEY, "_period", *([by] if by else [])]
    named = in_days.select(*keys, **{name: nw.col(column) for name, column in names.items()})
    return named.group_by(*keys).agg(*[nw.col(name).sum() for name in names])


def _doings_by(
    outcomes: Contract, event: str | None, by: str, *, caller: str
) -> tuple[nw.LazyFrame[Any], dict[str, str]]:
    """Return one row per order and category, or per event, and which of its columns each figure adds up."""
    if not outcomes.has(by):
        kind = type(outcomes).__name__
        own = [name for name in outcomes.columns if name not in {CUSTOMER, "timestamp"}]
        msg = f"{caller}: by={by!r} is no column of the {kind}.{did_you_mean(by, own)} Columns: {own}"
        raise SchemaError(msg)
    if isinstance(outcomes, Events):
        return _events_by(outcomes, event, by, caller=caller)
    if event is not None:
        raise SchemaError(f"{caller}: event={event!r} goes with Events, and outcomes are {type(outcomes).__name__}.")
    assert isinstance(outcomes, Transactions)  # noqa: S101  what _bind_outcomes lets in
    lines = outcomes.need(*ORDER_ROLES, by, caller=caller).with_columns(nw.col(by).cast(nw.String))
    orders = orders_of(lines, CUSTOMER, by).with_columns(_moment=nw.col("ordered_at"))
    return orders, {"order_count": "is_order", "revenue_amount": "amount"}


def _events_by(events: Events, event: str | None, by: str, *, caller: str) -> tuple[nw.LazyFrame[Any], dict[str, str]]:
    amount = ["amount"] if events.has("amount") else []
    lines = events.need(*dict.fromkeys([CUSTOMER, "timestamp", "event", by]), *amount, caller=caller)
    lines = of_event(lines, event, caller=caller)
    lines = lines.with_columns(nw.col(by).cast(nw.String), _one=nw.lit(1).cast(nw.Int64), _moment=nw.col("timestamp"))
    return lines, {"event_count": "_one"} | ({"revenue_amount": "amount"} if amount else {})


def _check_comparison(people: pd.DataFrame, comparison: str, *, caller: str) -> None:
    """Refuse campaigns in which there is nobody to compare with, or nobody was treated."""
    arms = people.groupby(CAMPAIGN)["arm"].agg(set)
    alone = [campaign for campaign, found in arms.items() if comparison not in found]
    if alone:
        example = sorted(arms[alone[0]])
        msg = (
            f"{caller}: campaign {alone[0]!r} has nobody in arm {comparison!r} ({len(alone):,} of {len(arms):,} "
            f"campaigns). Its arms: {example}. Without a control group there is matched_effect_table, which compares "
            "with customers who were not contacted: comparison_contacts finds them."
        )
        raise SchemaError(msg)
    if all(found == {comparison} for found in arms):
        raise SchemaError(f"{caller}: every contact has arm {comparison!r}: nobody was treated.")
