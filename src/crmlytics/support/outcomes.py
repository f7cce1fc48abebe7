"""Does a bad ticket cost a customer? Whoever had one beside customers who were alike until then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._kernels.landmarks import Timeline, same_day_customers
from crmlytics._validation import (
    as_days,
    as_moment,
    as_seconds,
    check_amount,
    check_choice,
    check_count,
    check_fraction,
    warn,
)
from crmlytics.exceptions import SchemaError
from crmlytics.support._likeness import compare
from crmlytics.support._outcome_reading import SIGNS, places_of, read_ids, read_ordered, settled_at, signs_of
from crmlytics.support._reading import ALL as EVERY
from crmlytics.support._reading import HOUR, NEVER, UNKNOWN, read_tickets
from crmlytics.tables import Tickets, Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from crmlytics.support._likeness import Compared
    from crmlytics.support._outcome_reading import Ordered
    from crmlytics.support._reading import KnownTickets

    Vector = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Flags = NDArray[np.bool_]

CALLER = "ticket_outcome_table"
DAY = 24 * HOUR
RECENT_DAYS = 90
ALL, GOOD, BAD = "all", "good", "bad"
NO_TICKET, GOOD_TICKET, OTHER_TICKETS = "no ticket", "good ticket", "other tickets"
OUTCOMES = ("returned_share", "revenue_amount")
ALIKE = 0.1  # standard deviations: Austin (2009)
CAUTIONS = {
    NO_TICKET: "association: who asks is still a customer, who does not may have left already",
    GOOD_TICKET: "association: hard questions go badly more often, and who asks them may differ in what no order shows",
    OTHER_TICKETS: "association: who asks about one thing may differ from who asks about another",
}
SCHEMA = nw.Schema(
    {"kind": nw.String(), "comparison": nw.String()}
    | dict.fromkeys(("ticket_count", "undecided_count", "matched_count", "comparison_count"), nw.Int64())
    | {
        name: nw.Float64()
        for outcome in OUTCOMES
        for name in (outcome, f"comparison_{outcome}", *(f"{outcome}_difference{end}" for end in ("", "_low", "_high")))
    }
    | dict.fromkeys(("p_value", "adjusted_p_value", "e_value_bound", "largest_imbalance"), nw.Float64())
    | {"caution": nw.String()}
)


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Customers at moments of their own: what was known of them, and what they did in the horizon from there on.

    Attributes
    ----------
    customer : int64 array, shape (n,)
    features : float64 array, shape (n, k)
    outcomes : float64 array, shape (n, 2)
        Whether the customer ordered, and for how much.
    """

    customer: Counts
    features: Vector
    outcomes: Vector


@dataclass(frozen=True, slots=True)
class Plan:
    """The horizon in days, customers drawn for each ticket, the confidence of intervals and the seed."""

    days: int
    comparisons: int
    confidence: float
    seed: int


@dataclass(frozen=True, slots=True)
class Pair:
    """One row of the table: which tickets, and who stands beside them (None: customers without a ticket)."""

    kind: str
    comparison: str
    tickets: Flags
    others: Flags | None


def ticket_outcome_table(
    tickets: Tickets | Any,
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str | dt.timedelta = "90d",
    by: str | None = None,
    bad: Sequence[str] | None = None,
    reply_target: str | dt.timedelta = "8h",
    resolution_target: str | dt.timedelta = "72h",
    low_mark: float = 2,
    comparisons: int = 5,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Any:
    """Compare what customers buy after a ticket with what customers buy who were alike until then.

    Parameters
    ----------
    tickets : Tickets or dataframe, one row per ticket
        Needs ``ticket_id``, ``customer_id``, ``opened_at`` and ``closed_at``; ``first_reply_at``, ``reopened_at`` and
        ``satisfaction`` tell which went badly.
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        Nothing at or after it is read.
    horizon : str, default "90d"
        For how long after the ticket orders count. Tickets whose horizon is not over are undecided.
    by : {"category", "priority", "channel"}, optional
        Add a row for each of them, beside all other tickets.
    bad : sequence of {"slow", "reopened", "low mark"}, optional
        Any of these signs makes a ticket bad; if not given, all that there are columns for.
    reply_target, resolution_target : str, default "8h" and "72h"
        A ticket is slow that was answered, or closed, later than that after it was opened. One closed without a reply
        was not answered, as in :func:`support_table`.
    low_mark : float, default 2
        The highest ``satisfaction`` that is a low mark.
    comparisons : int, default 5
        How many customers without a ticket are drawn for each ticket, on its date.
    confidence : float, default 0.95
        Of the intervals.
    random_state : int, default 0
        Fixes who is drawn, and the folds in which models learn.

    Returns
    -------
    dataframe of the kind that came in, one row per kind of ticket and comparison
        ``kind`` (String: "all", "good", "bad", each sign of a bad one, then the levels of ``by``), ``comparison``
        (String: "no ticket", customers who opened none in a horizon before that day; "good ticket"; "other tickets");
        ``ticket_count`` (Int64, with the horizon over), ``undecided_count`` (Int64), ``matched_count`` (Int64, with
        somebody alike in the comparison: all figures are theirs), ``comparison_count`` (Int64);

        ``returned_share`` (Float64, who ordered within the horizon), ``comparison_returned_share`` (who would have,
        going by the comparison), ``returned_share_difference`` with ``_low`` and ``_high``; ``revenue_amount``,
        ``comparison_revenue_amount`` and ``revenue_amount_difference`` with bounds (Float64, per ticket, in the
        horizon);

        ``p_value``, ``adjusted_p_value`` (Float64, of ``returned_share_difference``, the latter by Holm's method over
        all rows, the same tickets under two names counting once); ``e_value_bound`` (Float64, how many times likelier
        something unseen must make both the ticket and the return to explain the difference away; 1 if the interval
        holds zero); ``largest_imbalance`` (Float64, of what was made alike, in standard deviations; above 0.1 it was
        not); ``caution`` (String). Differences are null where either group has fewer than 20 customers, or nobody is
        alike.

    Raises
    ------
    SchemaError, MissingColumnsError
        For an option that cannot be read, a role without a column, tables of different kinds or ids, tickets of
        customers none of whom had ordered before, or no ticket with its horizon over.

    Warns
    -----
    DataQualityWarning
        When tickets are left out whose customer had not ordered before: nothing is known of them.

    Notes
    -----
    **The landmark** of a ticket is the moment at which it was known how it went: closed, or reopened afterwards. Only
    orders before it describe the customer, only orders from it on are outcome. Alike are recency, orders, their amount
    and those of the last 90 days, time since the first order, earlier tickets and the date. *Doubly robust*: others are
    weighted by the odds of having such a ticket (logistic regression on splines) and what is expected of them without
    it (ridge regression) is taken off, each learnt from other customers, among tickets with somebody alike within 0.2
    standard deviations of the log odds. A customer's rows are alike: they are one cluster.

    **What it cannot show.** Who opens a ticket is still there; who does not may be gone, which no recency tells. So
    even a good ticket looks as if it kept customers: read "bad" beside "good ticket". That a ticket went badly may come
    from what the customer asked. And a low mark is also how the customer felt already.

    References
    ----------
    J. M. Robins, A. Rotnitzky and L. P. Zhao (1994), Journal of the American Statistical Association 89. P. C. Austin
    (2011), Pharmaceutical Statistics 10. M. A. Hernan and J. M. Robins (2016), "Using big data to emulate a target
    trial", American Journal of Epidemiology 183. T. J. VanderWeele and P. Ding (2017), Annals of Internal Medicine 167.

    Examples
    --------
    >>> import crmlytics as crm
    >>> made = crm.datasets.make_universe(customers=2_000, random_state=1)
    >>> table = ticket_outcome_table(made.tickets, made.transactions, as_of="2025-06-01", reply_target="12h")
    >>> bad = table[(table["kind"] == "bad") & (table["comparison"] == "good ticket")]
    >>> bool((bad["returned_share_difference"] < 0).all())
    True
    """
    from threadpoolctl import threadpool_limits

    plan = Plan(
        as_days(horizon, caller=CALLER),
        check_count(comparisons, name="comparisons", caller=CALLER),
        check_fraction(confidence, name="confidence", caller=CALLER),
        check_count(random_state, name="random_state", caller=CALLER, least=0),
    )
    targets = {
        "reply": as_seconds(reply_target, name="reply_target", caller=CALLER),
        "resolution": as_seconds(resolution_target, name="resolution_target", caller=CALLER),
    }
    mark = check_amount(low_mark, name="low_mark", caller=CALLER)
    needed, moment = _roles_of(bad), as_moment(as_of, caller=CALLER)
    table, sales = Tickets.bind(tickets), Transactions.bind(transactions)
    known = read_tickets(table, "customer_id", "closed_at", *needed, as_of=moment, by=by, caller=CALLER)
    ordered = read_ordered(sales, table, moment=moment, caller=CALLER)
    customer = places_of(read_ids(table, moment=moment, caller=CALLER)[1], ordered.customers)
    usable = _ordered_before(known, customer, ordered)
    study = _Study(known, customer, ordered, plan, usable & _is_decided(known, plan, usable))
    signs = signs_of(known, **targets, low_mark=mark)
    pairs = _pairs(known, {sign: flags for sign, flags in signs.items() if sign in (bad or SIGNS)})
    with threadpool_limits(1, user_api="blas"):  # small matrices: threads wait for each other longer than they work
        rows = [study.row(pair, undecided=usable & ~study.decided) for pair in pairs]
    return _table(known, rows)


# -- inside --------------------------------------------------------------------------------------------------------


class _Study:
    """The landmarks of the tickets, and those of customers without one."""

    def __init__(self, known: KnownTickets, customer: Counts, ordered: Ordered, plan: Plan, decided: Flags) -> None:
        self.plan, self.decided, self._orders = plan, decided, ordered.orders
        ordering = customer >= 0
        opened, one = known.opened[ordering], np.ones((int(ordering.sum()), 1))
        self._tickets = Timeline.of(customer[ordering], opened, one, len(ordered.customers))
        settled = settled_at(known)[decided]
        self.of_tickets = self._landmarks(customer[decided], settled, known.opened[decided])
        drawn, self.drawn_for = self._without_ticket(customer[decided], settled)
        self.of_others = self._landmarks(drawn, settled[self.drawn_for], settled[self.drawn_for])

    def row(self, pair: Pair, *, undecided: Flags) -> dict[str, Any]:
        """Return one row of the table."""
        own = pair.tickets[self.decided]
        if pair.others is None:
            others, rows = self.of_others, own[self.drawn_for]
        else:
            others, rows = self.of_tickets, pair.others[self.decided]
        row = {
            "kind": pair.kind,
            "comparison": pair.comparison,
            "ticket_count": int(own.sum()),
            "undecided_count": int((pair.tickets & undecided).sum()),
            "matched_count": 0,
            "comparison_count": int(rows.sum()),
        }
        features, outcomes, customer = (
            np.concatenate([getattr(self.of_tickets, name)[own], getattr(others, name)[rows]])
            for name in ("features", "outcomes", "customer")
        )
        found = compare(features, np.arange(len(features)) < own.sum(), outcomes, customer, self.plan.seed)
        return row | _told(found, row, self.plan.confidence)

    def _landmarks(self, customer: Counts, moment: Counts, opened: Counts) -> Landmarks:
        """Describe customers at moments; the ticket opened at ``opened`` is no earlier one."""
        day = moment // DAY
        past = self._orders.sums_between(customer, None, moment)
        recent = self._orders.sums_between(customer, moment - RECENT_DAYS * DAY, moment)
        features = [
            day - self._orders.last(customer, moment) // DAY,
            *past.T,
            *recent.T,
            day - self._orders.first(customer) // DAY,
            self._tickets.sums_between(customer, None, opened)[:, 0],
            day,
        ]
        after = self._orders.sums_between(customer, moment, moment + self.plan.days * DAY)
        outcomes = np.column_stack([after[:, 0] > 0, after[:, 1]]).astype(np.float64)
        return Landmarks(customer, np.column_stack(features).astype(np.float64), outcomes)

    def _without_ticket(self, customer: Counts, settled: Counts) -> tuple[Counts, Counts]:
        """Draw customers on the day of each ticket who had opened none in the horizon before it."""
        first = self._orders.moment[self._orders.starts[:-1]]
        drawn, landmark = same_day_customers(first, settled, self.plan.comparisons, self.plan.seed)
        day = settled[landmark]
        quiet = self._tickets.sums_between(drawn, day - self.plan.days * DAY, day + 1)[:, 0] == 0
        quiet &= drawn != customer[landmark]
        return drawn[quiet], landmark[quiet]


def _ordered_before(known: KnownTickets, customer: Counts, ordered: Ordered) -> Flags:
    """Return the tickets that were settled and whose customer had ordered before; warn of the others."""
    begun = np.where(customer >= 0, ordered.orders.first(np.maximum(customer, 0)), NEVER)
    settled = settled_at(known)
    closed, usable = int(known.is_closed.sum()), known.is_closed & (begun < settled)
    if closed and not usable.any():
        msg = (
            f"{CALLER}: nobody with one of the {closed:,} closed tickets had ordered before it: nothing tells who is "
            "like them. Is customer_id the same in tickets and transactions, and do the orders reach back far enough?"
        )
        raise SchemaError(msg)
    if usable.sum() < closed:
        warn(
            f"{CALLER}: {closed - int(usable.sum()):,} of {closed:,} closed tickets are left out: "
            "their customers had not ordered before, so nothing tells who is like them."
        )
    return usable


def _is_decided(known: KnownTickets, plan: Plan, usable: Flags) -> Flags:
    """Return the tickets whose horizon is over; refuse if there are none."""
    decided: Flags = settled_at(known) <= known.as_of - plan.days * DAY
    if not (usable & decided).any():
        moment = np.datetime64(known.as_of, "us").astype("datetime64[D]")
        msg = (
            f"{CALLER}: no ticket of a customer with earlier orders was closed {plan.days} days before "
            f'as_of={moment}: none has its horizon over. Take a later as_of, or a shorter one such as horizon="30d".'
        )
        raise SchemaError(msg)
    return decided


def _roles_of(bad: Sequence[str] | None) -> set[str]:
    """Return the roles without which the signs that were asked for cannot be seen."""
    if isinstance(bad, str) or (bad is not None and not len(bad)):
        raise SchemaError(f"{CALLER}: bad must be a list of signs such as bad={list(SIGNS)}, got {bad!r}.")
    return {role for sign in bad or () for role in SIGNS[check_choice(sign, SIGNS, name="bad", caller=CALLER)]}


def _pairs(known: KnownTickets, signs: dict[str, Flags]) -> Iterator[Pair]:
    """Return what is compared with what."""
    went_badly = np.any(list(signs.values()), axis=0)
    yield Pair(ALL, NO_TICKET, np.ones(len(known), bool), None)
    yield Pair(GOOD, NO_TICKET, ~went_badly, None)
    yield Pair(BAD, NO_TICKET, went_badly, None)
    yield Pair(BAD, GOOD_TICKET, went_badly, ~went_badly)
    for sign, flags in signs.items() if len(signs) > 1 else ():
        yield Pair(sign, GOOD_TICKET, flags, ~went_badly)
    for number, level in enumerate(known.names):
        if level not in {EVERY, UNKNOWN}:
            yield Pair(level, OTHER_TICKETS, known.group == number, known.group != number)


def _told(found: Compared | str, row: dict[str, Any], confidence: float) -> dict[str, Any]:
    """Return a comparison as columns."""
    from scipy import special

    from crmlytics._kernels.matching import e_value

    caution = CAUTIONS[row["comparison"]]
    if isinstance(found, str):
        return {"caution": f"{found}; {caution}"}
    quantile = float(special.stdtrit(found.customers - 1, (1 + confidence) / 2))
    told: dict[str, Any] = {"matched_count": found.matched, "largest_imbalance": found.largest_imbalance}
    for place, name in enumerate(OUTCOMES):
        mean, difference, reach = found.mean[place], found.difference[place], quantile * found.error[place]
        told |= {name: mean, f"comparison_{name}": mean - difference, f"{name}_difference": difference}
        told |= {f"{name}_difference_low": difference - reach, f"{name}_difference_high": difference + reach}
    share, apart = told["returned_share"], told["returned_share_difference"]
    told["p_value"] = 2 * float(special.stdtr(found.customers - 1, -abs(apart / found.error[0])))
    low, high = (told[f"returned_share_difference_{end}"] for end in ("low", "high"))
    nearer = low if low > 0 else high
    is_certain = low > 0 or high < 0
    told["e_value_bound"] = e_value(share / max(share - nearer, 0.0)) if is_certain and share > nearer else 1.0
    unlike = "not alike in all that was known before; " if found.largest_imbalance > ALIKE else ""
    return told | {"caution": unlike + caution}


def _table(known: KnownTickets, rows: list[dict[str, Any]]) -> Any:
    from crmlytics._kernels.multiple_testing import holm

    values, place = np.unique([row.get("p_value", np.nan) for row in rows], return_inverse=True)
    adjusted = holm(values)[place]  # the same tickets under two names, such as bad and slow, are one hypothesis
    columns = {name: [row.get(name) for row in rows] for name in SCHEMA} | {"adjusted_p_value": adjusted.tolist()}
    return known.engine.from_columns(columns, SCHEMA)
