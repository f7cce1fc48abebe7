"""Does a bad ticket cost a customer? Whoever had one beside customers who were alike until then."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import BOUNDS, cautions, with_bounds
from crmlytics._kernels.landmarks import Timeline, same_day_customers
from crmlytics._validation import as_days, as_moment, as_seconds, check_count, check_fraction, warn
from crmlytics.exceptions import SchemaError
from crmlytics.support._likeness import REFUSALS, compare
from crmlytics.support._marks import LOW_AT, check_mark, check_scale, read_marks
from crmlytics.support._outcome_reading import SIGNS, Targets, places_of, read_ordered, roles_of, signs_of
from crmlytics.support._reading import ALL as EVERY
from crmlytics.support._reading import DAY, NEVER, UNKNOWN, read_tickets
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
RECENT_DAYS = 90
ALL, GOOD, BAD = "all", "good", "bad"
NO_TICKET, GOOD_TICKET, OTHER_TICKETS = "no ticket", "good ticket", "other tickets"
OUTCOMES = ("returned_share", "revenue_amount")
ALIKE = 0.1  # standard deviations: Austin (2009)
CAUTIONS = {
    NO_TICKET: "Association, not effect: who asks is still a customer, who does not may have left already.",
    GOOD_TICKET: (
        "Association, not effect: hard questions go badly more often, and who asks them may differ in what no order "
        "shows."
    ),
    OTHER_TICKETS: "Association, not effect: who asks about one thing may differ from who asks about another.",
}
UNLIKE = "Not alike in all that was known before."
SCHEMA = nw.Schema(
    {"kind": nw.String(), "comparison": nw.String()}
    | dict.fromkeys(("ticket_count", "undecided_count", "matched_count", "comparison_count"), nw.Int64())
    | {
        name: nw.Float64()
        for outcome in OUTCOMES
        for name in (outcome, f"comparison_{outcome}", *(f"{outcome}_difference{end}" for end in BOUNDS))
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
    """When tickets are judged, the horizon in days, customers drawn for each, the confidence and the seed."""

    targets: Targets
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
    scale: tuple[float, float] = (1, 5),
    low_mark: float | None = None,
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
        For how long orders count, from the moment at which the ticket is judged. Tickets whose horizon is not over are
        undecided.
    by : {"category", "priority", "channel"}, optional
        Add a row for each of them, beside all other tickets.
    bad : sequence of {"slow", "reopened", "low mark"}, optional
        Any of these signs makes a ticket bad; if not given, all that there are columns for.
    reply_target, resolution_target : str, default "8h" and "72h"
        A ticket is slow that was answered, or closed, later than that after it was opened. One closed without a reply
        was not answered, as in :func:`support_table`. At the later of the two every ticket is judged: choose them so
        that most are closed by then.
    scale : (lowest, highest), default (1, 5)
        Of ``satisfaction``.
    low_mark : float, optional
        The highest mark that is a low one; by default that a quarter up the scale: 2 of 1 to 5.
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
        ``ticket_count`` (Int64, with the horizon over), ``undecided_count`` (Int64, judged, but with the horizon not
        over), ``matched_count`` (Int64, with somebody alike in the comparison: all figures are theirs),
        ``comparison_count`` (Int64);

        ``returned_share`` (Float64, who placed an order within the horizon, whatever came back later),
        ``comparison_returned_share`` (who would have, going by the comparison), ``returned_share_difference`` with
        ``_low`` and ``_high``; ``revenue_amount``, ``comparison_revenue_amount`` and ``revenue_amount_difference`` with
        bounds (Float64, per ticket, in the horizon, less what came back in it);

        ``p_value``, ``adjusted_p_value`` (Float64, of ``returned_share_difference``, the latter by Holm's method over
        all rows, the same tickets under two names counting once); ``e_value_bound`` (Float64, how many times likelier
        something unseen must make both the ticket and the return to explain the difference away, at the bound nearer
        to zero and the larger of both shares; 1 if the interval holds zero); ``largest_imbalance`` (Float64, of what
        was made alike, in standard deviations; above 0.1 it was not); ``caution`` (String). Figures are null where
        either group has fewer than 20 customers, or fewer than 20 who are alike, customers that weigh more telling as
        much as fewer of one weight (Kish); bounds are null where nothing varies.

    Raises
    ------
    SchemaError, MissingColumnsError
        For an option that cannot be read, a mark beyond the scale, a role without a column, tables of different kinds
        or ids, tickets of customers none of whom had ordered before, or no ticket with its horizon over.

    Warns
    -----
    DataQualityWarning
        When tickets are left out whose customer had not ordered before: nothing is known of them.

    Notes
    -----
    **The landmark**, at which a ticket is judged, lies as long after each opening: the later of both targets. Bad is
    what went badly by then; a ticket still open is slow, later reopenings and later marks are not seen. Were it the
    closing, whoever waited longer would have had longer to leave and whoever reopens be known to be there: slow tickets
    would seem to cost customers where all leave by chance. Only order lines before the landmark describe the customer,
    only lines from it on are outcome. Alike are recency, orders, their amount and those of the last 90 days, time since
    the first order, earlier tickets and the date. *Doubly robust*: others are weighted by the odds of having such a
    ticket (logistic regression on splines) and what is expected of them without it (ridge regression) is taken off,
    each learnt from other customers, among tickets with somebody alike within 0.2 standard deviations of the log odds.
    A customer's rows are alike: they are one cluster.

    **What it cannot show.** Who opens a ticket is still there; who does not may be gone, which no recency tells. So
    even a good ticket looks as if it kept customers: read "bad" beside "good ticket". That a ticket went badly may come
    from what the customer asked. A low mark is also how the customer felt already. Who reopened a ticket or marked it
    was there until then: keep targets short beside the time for which customers stay.

    References
    ----------
    L. Kish (1965), Survey Sampling. J. M. Robins, A. Rotnitzky and L. P. Zhao (1994), Journal of the American
    Statistical Association 89. P. C. Austin (2011), Pharmaceutical Statistics 10. M. A. Hernan and J. M. Robins (2016),
    "Using big data to emulate a target trial", American Journal of Epidemiology 183. T. J. VanderWeele and P. Ding
    (2017), Annals of Internal Medicine 167.

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
        Targets(
            as_seconds(reply_target, name="reply_target", caller=CALLER),
            as_seconds(resolution_target, name="resolution_target", caller=CALLER),
        ),
        as_days(horizon, caller=CALLER),
        check_count(comparisons, name="comparisons", caller=CALLER),
        check_fraction(confidence, name="confidence", caller=CALLER),
        check_count(random_state, name="random_state", caller=CALLER, least=0),
    )
    bounds = check_scale(scale, caller=CALLER)
    low = check_mark(low_mark, bounds, usual=LOW_AT, name="low_mark", caller=CALLER)
    needed, moment = roles_of(bad, caller=CALLER), as_moment(as_of, caller=CALLER)
    table, sales = Tickets.bind(tickets), Transactions.bind(transactions)
    known = read_tickets(table, "customer_id", "closed_at", *needed, as_of=moment, by=by, caller=CALLER)
    read_marks(known, bounds, caller=CALLER)
    ordered = read_ordered(sales, table, moment=moment, caller=CALLER)
    customer = places_of(known.ids["customer_id"], ordered.customers)
    usable = _ordered_before(known, plan, customer, ordered)
    study = _Study(known, customer, ordered, plan, usable & _is_decided(known, plan, usable))
    signs = signs_of(known, plan.targets, low)
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
        judged = plan.targets.judged_at(known)[decided]
        self.of_tickets = self._landmarks(customer[decided], judged, known.opened[decided])
        drawn, self.drawn_for = self._without_ticket(customer[decided], judged)
        self.of_others = self._landmarks(drawn, judged[self.drawn_for], judged[self.drawn_for])

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
        return row | ({"why": found} if isinstance(found, str) else _told(found, self.plan.confidence))

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

    def _without_ticket(self, customer: Counts, judged: Counts) -> tuple[Counts, Counts]:
        """Draw customers on the day of each ticket who had opened none in the horizon before it."""
        first = self._orders.moment[self._orders.starts[:-1]]
        drawn, landmark = same_day_customers(first, judged, self.plan.comparisons, self.plan.seed)
        day = judged[landmark]
        quiet = self._tickets.sums_between(drawn, day - self.plan.days * DAY, day + 1)[:, 0] == 0
        quiet &= drawn != customer[landmark]
        return drawn[quiet], landmark[quiet]


def _ordered_before(known: KnownTickets, plan: Plan, customer: Counts, ordered: Ordered) -> Flags:
    """Return the tickets that can be judged and whose customer had ordered before; warn of the others."""
    begun = np.where(customer >= 0, ordered.orders.first(np.maximum(customer, 0)), NEVER)
    judged = plan.targets.judged_at(known)
    is_old = judged <= known.as_of
    old, usable = int(is_old.sum()), is_old & (begun < judged)
    if old and not usable.any():
        msg = (
            f"{CALLER}: nobody with one of the {old:,} tickets had ordered before it: nothing tells who is like them. "
            "Is customer_id the same in tickets and transactions, and do the orders reach back far enough?"
        )
        raise SchemaError(msg)
    if usable.sum() < old:
        warn(
            f"{CALLER}: {old - int(usable.sum()):,} of {old:,} tickets are left out: "
            "their customers had not ordered before, so nothing tells who is like them."
        )
    return usable


def _is_decided(known: KnownTickets, plan: Plan, usable: Flags) -> Flags:
    """Return the tickets whose horizon is over; refuse if there are none."""
    decided: Flags = plan.targets.judged_at(known) <= known.as_of - plan.days * DAY
    if not (usable & decided).any():
        moment = np.datetime64(known.as_of, "us").astype("datetime64[D]")
        msg = (
            f"{CALLER}: no ticket of a customer with earlier orders had reached its target {plan.days} days before "
            f'as_of={moment}: none has its horizon over. Take a later as_of, or a shorter one such as horizon="30d".'
        )
        raise SchemaError(msg)
    return decided


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


def _told(found: Compared, confidence: float) -> dict[str, Any]:
    """Return a comparison as columns."""
    from scipy import special

    from crmlytics._kernels.matching import e_value

    freedom = found.customers - 1
    reach = float(special.stdtrit(freedom, (1 + confidence) / 2)) * found.error
    other = found.mean - found.difference + np.array([np.zeros_like(reach), reach, -reach])  # the comparison
    other[:, 0] = np.clip(other[:, 0], 0.0, 1.0)  # no share lies beyond
    told: dict[str, Any] = {"matched_count": found.matched, "largest_imbalance": found.largest_imbalance}
    for name, mean, values in zip(OUTCOMES, found.mean, other.T, strict=True):
        told |= {name: mean, f"comparison_{name}": values[0]}
        told |= with_bounds(f"{name}_difference", *(mean - values))
    told["p_value"] = 2 * float(special.stdtr(freedom, -abs(found.difference[0] / found.error[0])))
    low, high = found.mean[0] - other[1:, 0]
    nearer, larger = np.maximum(low, 0) - np.minimum(high, 0), max(found.mean[0], other[0, 0])
    told["e_value_bound"] = e_value(1 - nearer / larger) if larger else np.nan  # the ratio that is the nearest to 1
    return told


def _table(known: KnownTickets, rows: list[dict[str, Any]]) -> Any:
    from crmlytics._kernels.multiple_testing import holm

    values, place = np.unique([row.get("p_value", np.nan) for row in rows], return_inverse=True)
    adjusted = holm(values)[place]  # the same tickets under two names, such as bad and slow, are one hypothesis
    columns: dict[str, Any] = {name: [row.get(name) for row in rows] for name in SCHEMA}
    columns |= {"adjusted_p_value": adjusted, "caution": _cautions(rows)}
    return known.engine.from_columns(columns, SCHEMA)


def _cautions(rows: list[dict[str, Any]]) -> NDArray[Any]:
    comparison, why = (np.array([row.get(name) for row in rows], object) for name in ("comparison", "why"))
    unlike = np.array([row.get("largest_imbalance", 0.0) > ALIKE for row in rows])
    told = [(comparison == name, words) for name, words in CAUTIONS.items()]
    told += [(why == words, words) for words in REFUSALS]
    return cautions(len(rows), [*told, (unlike, UNLIKE)])
