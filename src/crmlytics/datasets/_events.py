"""Made clicks in a web shop of which everything is known: the visits, the way from page to page, what was planted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmlytics._validation import as_moment, check_count
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt

    import numpy as np
    import pandas as pd

CALLER = "make_events"
PAGES = ("home", "search", "category", "product", "cart", "checkout", "purchase", "help", "(end)")
END = "(end)"
ENTRIES = {  # by channel: the first page
    "direct": {"home": 0.70, "search": 0.10, "category": 0.10, "product": 0.10},
    "email": {"home": 0.10, "category": 0.30, "product": 0.60},
    "search_ad": {"home": 0.10, "category": 0.35, "product": 0.55},
    "social": {"home": 0.30, "category": 0.20, "product": 0.50},
}
CHANNEL_SHARES = {"direct": 0.35, "email": 0.15, "search_ad": 0.30, "social": 0.20}
WAYS = {  # on a desktop, without help: the next page
    "home": {"search": 0.25, "category": 0.35, "product": 0.15, "help": 0.03, END: 0.22},
    "search": {"home": 0.02, "search": 0.15, "category": 0.10, "product": 0.50, "help": 0.03, END: 0.20},
    "category": {"home": 0.05, "search": 0.08, "category": 0.15, "product": 0.50, "help": 0.02, END: 0.20},
    "product": {"home": 0.03, "search": 0.08, "category": 0.15, "product": 0.25, "cart": 0.18, "help": 0.03, END: 0.28},
    "cart": {"home": 0.03, "category": 0.05, "product": 0.15, "cart": 0.05, "checkout": 0.45, "help": 0.05, END: 0.22},
    "checkout": {"cart": 0.10, "purchase": 0.55, "help": 0.08, END: 0.27},
    "purchase": {"home": 0.10, "product": 0.10, END: 0.80},
    "help": {"home": 0.15, "search": 0.10, "product": 0.25, "cart": 0.15, "checkout": 0.15, END: 0.20},
}
MEDIAN_SECONDS = {"home": 15, "search": 20, "category": 30, "product": 45, "cart": 25, "checkout": 90, "purchase": 20,
                  "help": 60}  # fmt: skip
SPREAD = 0.8  # of the logarithm of the time on a page
LONGEST_SECONDS = 600  # on a page: far below the half hour that ends a session
MOST_EVENTS = 40  # in a visit
FIRST_HOUR, LAST_HOUR = 6.0, 22.5  # a visit begins between them, one a day: all end half an hour before the next begins
MOBILE_SHARE = 0.45
REPEAT = (0.8, 0.5)  # shape and rate of the gamma distribution of a customer's further visits
GAP_DAYS = 12
BASKET = (4.0, 15.0)  # shape and scale of the amount of a purchase
LARGEST_DEVICE, LARGEST_HELP = 0.55, 0.27  # what checkout leaves for effects


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SyntheticEvents:
    """Made clicks and the truth behind them; every table is a pandas DataFrame.

    Attributes
    ----------
    events
        One row per click, by time: ``customer_id`` (int64), ``timestamp``, ``event`` (the kind of page), ``channel``
        (of the visit), ``device``, ``amount`` (float64, of a purchase, else missing).
    lines
        The truth of each row of ``events``, under the same index: ``visit_number`` (int64, which visit of the
        customer, from 1), ``helped`` (bool, whether help was seen earlier in the visit).
    visits
        The truth of each visit, by customer and time: ``customer_id``, ``visit_number``, ``started_at``,
        ``ended_at``, ``channel``, ``device``, ``event_count``, ``converted``.
    transitions
        The planted way: ``device``, ``helped``, ``from_state``, ``to_state``, ``probability``; the next page
        depends on nothing else.
    entries
        The planted first page: ``channel``, ``to_state``, ``probability``.
    pages
        The planted time on a page, log-normal and at most ten minutes: ``event``, ``median_seconds``.
    """

    events: pd.DataFrame
    lines: pd.DataFrame
    visits: pd.DataFrame
    transitions: pd.DataFrame
    entries: pd.DataFrame
    pages: pd.DataFrame

    def __repr__(self) -> str:
        """Say how much of what was made."""
        return (
            f"SyntheticEvents({len(self.events):,} events, {len(self.visits):,} visits of "
            f"{self.visits['customer_id'].nunique():,} customers, {int(self.visits['converted'].sum()):,} converted)"
        )


def make_events(
    *,
    customers: int = 6000,
    start: str | dt.date | dt.datetime = "2024-01-01",
    days: int = 180,
    device_effect: float = 0.15,
    help_effect: float = 0.15,
    random_state: int = 0,
) -> SyntheticEvents:
    """Make the clicks of a web shop, and keep the truth.

    A customer has one device and comes one or more times, each time through a channel that decides the first page.
    From there the next page depends on the page alone (a Markov chain of order 1), with two planted exceptions at the
    checkout: on a mobile fewer go on to the purchase, and whoever saw help earlier in the visit more.

    Parameters
    ----------
    customers : int
        How many, at least 1.
    start, days : date, int
        The first day of the data and their length; nothing happens at or after ``start + days``.
    device_effect : float
        By how much the probability of going from checkout to purchase is lower on a mobile, 0 to 0.55.
    help_effect : float
        By how much it is higher once help was seen in the visit, 0 to 0.27. The purchase or end after a checkout is all
        that help changes.
    random_state : int
        Seed; the same arguments give the same tables.

    Returns
    -------
    SyntheticEvents
        ``events`` and the truth: ``lines``, ``visits``, ``transitions``, ``entries``, ``pages``. Pauses within a visit
        are at most ten minutes and between visits more than 30, so ``gap="30m"`` finds exactly the visits.

    Raises
    ------
    SchemaError
        If an argument is out of its range.

    Examples
    --------
    >>> made = make_events(customers=200, random_state=1)
    >>> made
    SyntheticEvents(... events, ... visits of 200 customers, ... converted)
    >>> made.transitions.query("device == 'mobile' and not helped and from_state == 'checkout'")[
    ...     ["to_state", "probability"]].to_numpy().tolist()
    [['cart', 0.1], ['purchase', 0.4], ['help', 0.08], ['(end)', 0.42]]
    """
    import numpy as np

    _check(customers, days, device_effect, help_effect)
    origin = np.datetime64(as_moment(start, name="start", caller=CALLER).date(), "us")
    rng = np.random.default_rng(random_state)
    laws = _laws(device_effect, help_effect)
    visits = _plan_visits(rng, customers, days)
    events = _walk(rng, visits, laws)
    events["second"] = _seconds(rng, visits, events)
    events["amount"] = np.maximum(rng.gamma(*BASKET, len(events["page"])), 1).round(2)
    return _as_tables(events, visits, laws, (origin, origin + np.timedelta64(days, "D")))


def _check(customers: int, days: int, device_effect: float, help_effect: float) -> None:
    """Refuse counts below one, and effects that leave no probability."""
    check_count(customers, name="customers", caller=CALLER)
    check_count(days, name="days", caller=CALLER)
    for name, value, largest in (
        ("device_effect", device_effect, LARGEST_DEVICE),
        ("help_effect", help_effect, LARGEST_HELP),
    ):
        if not 0 <= value <= largest:
            raise SchemaError(f"{CALLER}: {name} must lie between 0 and {largest}, got {value!r}.")


def _laws(device_effect: float, help_effect: float) -> np.ndarray:
    """Return the probabilities of the next page: shape (mobile, helped, page, next page)."""
    import numpy as np

    usual = np.array([[WAYS[page].get(to, 0.0) for to in PAGES] for page in PAGES[:-1]])
    laws = np.broadcast_to(usual, (2, 2, *usual.shape)).copy()
    checkout, purchase, end = (PAGES.index(page) for page in ("checkout", "purchase", END))
    for mobile, helped in np.ndindex(2, 2):
        effect = help_effect * helped - device_effect * mobile
        laws[mobile, helped, checkout, purchase] += effect
        laws[mobile, helped, checkout, end] -= effect
    return laws.round(12)


def _plan_visits(rng: np.random.Generator, customers: int, days: int) -> dict[str, Any]:
    """Draw who comes when, through what channel and with what device; visits of a customer are on different days."""
    import numpy as np

    mobile = rng.random(customers) < MOBILE_SHARE
    count = 1 + rng.poisson(rng.gamma(REPEAT[0], 1 / REPEAT[1], customers))
    customer = np.repeat(np.arange(customers), count)
    first = np.cumsum(count) - count
    gaps = rng.geometric(1 / GAP_DAYS, len(customer))
    gaps[first] = rng.integers(0, days, customers)
    day = np.cumsum(gaps)
    day -= np.repeat(day[first] - gaps[first], count)
    hour = FIRST_HOUR + (LAST_HOUR - FIRST_HOUR) * rng.beta(2.5, 1.6, len(customer))  # most of them in the evening
    inside = day < days
    customer, number = customer[inside], (np.arange(len(customer)) - np.repeat(first, count))[inside] + 1
    shares = list(CHANNEL_SHARES.values())
    return {
        "customer": customer,
        "number": number,
        "second": (day[inside] * 86_400 + hour[inside] * 3_600).astype(np.int64),
        "mobile": mobile[customer].astype(np.int64),
        "channel": rng.choice(len(shares), len(customer), p=shares),
    }


def _walk(rng: np.random.Generator, visits: dict[str, Any], laws: np.ndarray) -> dict[str, Any]:
    """Lead all visits from page to page at once: visit and page of each event, by visit and step."""
    import numpy as np

    entries = np.array([[ENTRIES[name].get(page, 0.0) for page in PAGES] for name in CHANNEL_SHARES])
    steps = laws.cumsum(axis=3)
    end, help_page = PAGES.index(END), PAGES.index("help")
    visit = np.arange(len(visits["customer"]))
    page = _drawn(rng, entries.cumsum(axis=1)[visits["channel"]])
    helped = np.zeros(len(visit), np.int64)
    walked = []
    for _ in range(MOST_EVENTS):
        walked.append((visit, page, helped))
        seen = helped | (page == help_page)
        onward = _drawn(rng, steps[visits["mobile"][visit], helped, page])
        going = onward != end
        visit, page, helped = visit[going], onward[going], seen[going]
    columns = [np.concatenate(column) for column in zip(*walked, strict=True)]
    order = np.argsort(columns[0], kind="stable")  # the steps of a visit stay in order
    return {name: column[order] for name, column in zip(("visit", "page", "helped"), columns, strict=True)}


def _drawn(rng: np.random.Generator, cumulative: np.ndarray) -> np.ndarray:
    """Draw a page from each row of cumulative probabilities."""
    import numpy as np

    places = (rng.random(len(cumulative))[:, None] * cumulative[:, -1:] >= cumulative).sum(axis=1)
    drawn: np.ndarray = np.minimum(places, cumulative.shape[1] - 1)
    return drawn


def _seconds(rng: np.random.Generator, visits: dict[str, Any], events: dict[str, Any]) -> np.ndarray:
    """Return the second of each event: its visit's beginning, and the times on the pages before."""
    import numpy as np

    median = np.array([MEDIAN_SECONDS[page] for page in PAGES[:-1]], float)[events["page"]]
    spent = np.clip(np.round(median * np.exp(SPREAD * rng.standard_normal(len(median)))), 1, LONGEST_SECONDS)
    before = np.concatenate(([0], np.cumsum(spent)[:-1])).astype(np.int64)
    count = np.bincount(events["visit"], minlength=len(visits["second"]))
    first = np.cumsum(count) - count
    seconds: np.ndarray = np.repeat(visits["second"] - before[first], count) + before
    return seconds


def _as_tables(
    events: dict[str, Any], visits: dict[str, Any], laws: np.ndarray, period: tuple[np.datetime64, np.datetime64]
) -> SyntheticEvents:
    """Lay the arrays out as the events, by time, and their truth."""
    import numpy as np
    import pandas as pd

    devices, channels = np.array(["desktop", "mobile"]), np.array(list(CHANNEL_SHARES))
    of = events["visit"]
    table = pd.DataFrame({
        "customer_id": visits["customer"][of] + 1,
        "timestamp": period[0] + events["second"].astype("timedelta64[s]"),
        "event": np.array(PAGES)[events["page"]],
        "channel": channels[visits["channel"][of]],
        "device": devices[visits["mobile"][of]],
        "amount": np.where(events["page"] == PAGES.index("purchase"), events["amount"], np.nan),
        "visit_number": visits["number"][of],
        "helped": events["helped"].astype(bool),
    })  # fmt: skip
    table = table[table["timestamp"] < period[1]]
    truth = _visit_truth(table)
    table = table.sort_values(["timestamp", "customer_id"], ignore_index=True)
    lines = table[["visit_number", "helped"]]
    return SyntheticEvents(
        table.drop(columns=lines.columns), lines, truth, _transition_truth(laws), _entry_truth(),
        pd.DataFrame({"event": list(MEDIAN_SECONDS), "median_seconds": list(MEDIAN_SECONDS.values())}),
    )  # fmt: skip


def _visit_truth(table: pd.DataFrame) -> pd.DataFrame:
    """Lay out what was made of each visit."""
    truth: pd.DataFrame = (
        table.assign(purchase=table["event"] == "purchase")
        .groupby(["customer_id", "visit_number"], as_index=False)
        .agg(
            started_at=("timestamp", "min"),
            ended_at=("timestamp", "max"),
            channel=("channel", "first"),
            device=("device", "first"),
            event_count=("event", "size"),
            converted=("purchase", "any"),
        )
    )
    return truth


def _transition_truth(laws: np.ndarray) -> pd.DataFrame:
    """Lay the planted way out, without what never happens."""
    import numpy as np
    import pandas as pd

    mobile, helped, page, to = np.nonzero(laws)
    return pd.DataFrame({
        "device": np.array(["desktop", "mobile"])[mobile],
        "helped": helped.astype(bool),
        "from_state": np.array(PAGES)[page],
        "to_state": np.array(PAGES)[to],
        "probability": laws[mobile, helped, page, to],
    })  # fmt: skip


def _entry_truth() -> pd.DataFrame:
    """Lay the planted first pages out."""
    import pandas as pd

    rows = [(channel, page, p) for channel, pages in ENTRIES.items() for page, p in pages.items()]
    return pd.DataFrame(rows, columns=["channel", "to_state", "probability"])
