"""Join what every topic knows into one row per customer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics.scorecard._attributes import attributes_part
from crmlytics.scorecard._behaviour import behaviour_part
from crmlytics.scorecard._contribution import contribution_part
from crmlytics.scorecard._forecast import forecast_part
from crmlytics.scorecard._habits import habits_part
from crmlytics.scorecard._history import rfm_part, value_part
from crmlytics.scorecard._lifecycle import lifecycle_part
from crmlytics.scorecard._matrix import matrix_part
from crmlytics.scorecard._part import Column, Figure
from crmlytics.scorecard._reading import read_request
from crmlytics.scorecard._tickets import tickets_part
from crmlytics.scorecard._ways import channel_part, partner_part

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping, Sequence

    from crmlytics._frames import Engine
    from crmlytics.scorecard._part import Part, Request
    from crmlytics.segmentation import CustomerSegmenter
    from crmlytics.tables import Contacts, Customers, Products, Tickets, Transactions

    Frame = nw.DataFrame[Any]

TOPICS: tuple[Callable[[Request], Part], ...] = (rfm_part, value_part, lifecycle_part, habits_part, forecast_part)
"""What is made from the tables, in the order of the columns; the first knows all customers. A new topic is one line."""

SUMMARIES: tuple[Callable[[Request, Frame], Part | None], ...] = (
    contribution_part, matrix_part, behaviour_part, channel_part, partner_part, tickets_part, attributes_part,
)  # fmt: skip
"""What builds on the columns before it, or needs a table that may not be given."""


@dataclass(frozen=True, slots=True)
class Scorecard:
    """The scores of a customer base, what they mean and how far to trust them.

    Attributes
    ----------
    scores : dataframe of the kind that came in, one row per customer, sorted by ``customer_id``
    guide : dataframe, one row per score column
        ``column``, ``meaning``, ``unit``, ``certainty`` (String).
    evaluation : dataframe, one row per figure of the back-test; no rows when the history was too short for one
        ``name`` (String), ``value`` (Float64), ``meaning`` (String).
    segmenter : CustomerSegmenter or None
        What made ``behaviour_segment``: hand it to next month's scores, so that the segments stay the same. None where
        customers are one cloud, or too few.
    """

    scores: Any
    guide: Any
    evaluation: Any
    segmenter: Any = None


def score_customers(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str = "90d",
    margin: float | None = None,
    customers: Customers | Any = None,
    products: Products | Any = None,
    tickets: Tickets | Any = None,
    contacts: Contacts | Any = None,
    costs: Mapping[str, float] | None = None,
    segmenter: CustomerSegmenter | None = None,
) -> Scorecard:
    """Score every customer, say what each score means, and try the forecasts on the past.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``; ``product_id``, ``category``, ``cost``,
        ``discount_amount``, ``channel`` and ``partner_id`` are read where they are there.
    as_of : date
        The day described from; lines on or after it are left out, of every table, so nothing leaks from the future.
    horizon : str, default "90d"
        How far forecasts look ahead, in days ("90d") or weeks ("12w").
    margin : float, optional
        The share of an amount that is margin, between 0 and 1. Without it there is no lifetime value, only revenue.
    customers : Customers or dataframe, one row per customer, optional
        Its attributes join the scorecard, as on record just before ``as_of`` where it has ``valid_from``.
    products : Products or dataframe, one row per product, optional
        Tells the ``category`` of lines that have none.
    tickets : Tickets or dataframe, one row per ticket, optional
        Who asked and who still waits; with ``costs["ticket"]`` also what serving consists of.
    contacts : Contacts or dataframe, one row per contact, optional
        What serving consists of besides, as :func:`crmlytics.value.contribution_table` has it.
    costs : mapping of str to float, optional
        What serving costs, each time: ``{"order": 4.5, "return": 8.0, "ticket": 6.0, "contact": 0.5}``. Needed with
        ``contacts`` that have no ``cost``.
    segmenter : CustomerSegmenter, optional
        The ``.segmenter`` of an earlier scorecard, or one fitted to columns of a scorecard. Without it, groups are
        looked for.

    Returns
    -------
    Scorecard
        ``.scores`` as :func:`scorecard_table` has it, ``.guide``, ``.evaluation`` and ``.segmenter``.

    Raises
    ------
    SchemaError, MissingColumnsError
        For an argument that cannot be read, a role without a column, no line before ``as_of``, or tables of different
        kinds or ids.

    Warns
    -----
    DataQualityWarning
        When an attribute of customers is called like a score: it is left out.

    Notes
    -----
    The back-test hides the last horizon, fits the models on what was known before it, and compares their forecast with
    what happened. Frames of lazy engines are summarised where they live; the customers are then scored in memory.

    There is no churn score beside ``purchase_probability``: its complement is the probability of no purchase in the
    horizon. A model of churn trained on many snapshots is :func:`crmlytics.churn.score_churn`.

    Examples
    --------
    >>> import crmlytics as crm
    >>> orders = crm.datasets.make_transactions(customers=300, random_state=1).transactions
    >>> card = score_customers(orders, as_of="2024-12-01")
    >>> card.guide["column"].tolist()[:4]
    ['recency_days', 'order_count', 'total_amount', 'r_score']
    >>> card.evaluation["name"].tolist()[:3]
    ['known_customer_count', 'expected_purchase_count', 'actual_purchase_count']
    """
    given = {"customers": customers, "products": products, "tickets": tickets, "contacts": contacts, "costs": costs}
    given |= {"segmenter": segmenter}
    return _score(read_request(transactions, as_of, horizon, margin, given, caller="score_customers"))


def scorecard_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str = "90d",
    margin: float | None = None,
    customers: Customers | Any = None,
    products: Products | Any = None,
    tickets: Tickets | Any = None,
    contacts: Contacts | Any = None,
    costs: Mapping[str, float] | None = None,
    segmenter: CustomerSegmenter | None = None,
) -> Any:
    """Score every customer: one row each, with what they did and what they are expected to do.

    Parameters
    ----------
    transactions, as_of, horizon, margin, customers, products, tickets, contacts, costs, segmenter
        As in :func:`score_customers`, which also says what each column means and how sure it is.

    Returns
    -------
    dataframe of the kind that came in, one row per customer with a line, sorted by ``customer_id``
        Counted: ``recency_days``, ``order_count`` (Int64), ``total_amount`` (Float64), ``r_score``, ``f_score``,
        ``m_score`` (Int64, 1 to 5), ``rfm_score``, ``segment`` (String), ``average_order_amount`` (Float64),
        ``tenure_days`` (Int64), ``amount_share`` (Float64), ``value_decile`` (Int64, 1 the best), ``returned_share``
        (Float64); with their roles ``discount_share`` (Float64), ``product_count``, ``category_count`` (Int64).
        By rule: ``stage`` (String), ``usual_interval_days``, ``silence_ratio`` (Float64), as
        :func:`crmlytics.segmentation.lifecycle_table` has them; null for who never made a purchase.
        Estimated (Float64): ``alive_probability``, ``purchase_probability`` (at least one purchase in the horizon),
        ``expected_purchase_count``, ``expected_order_amount`` and, without a margin, ``expected_revenue_amount`` (in
        the horizon), with one ``clv_amount`` (margin of that revenue, not discounted). They are null for a customer
        who never made a purchase in the data (returns only), and for all when fewer than 30 customers came back;
        the amounts are null for all when fewer than 30 customers paid for a repeat purchase.
        Now and later: ``current_amount`` (Float64, of the last days, as many as the horizon has), ``growth_amount``
        (Float64, what the next are expected to bring less that), ``value_group`` and ``action`` (String), as
        :func:`crmlytics.value.value_matrix_table` makes them; null where nothing is estimated.
        Alike: ``behaviour_segment`` (String), ``behaviour_probability`` (Float64); null where customers are one cloud,
        with fewer than 100 who ordered, and for who never ordered.
        With the role ``cost``: ``margin_amount`` (Float64). With ``contacts`` or ``costs``: ``return_count``,
        ``contact_count`` (Int64, where given), ``service_cost_amount``, ``contribution_amount``,
        ``contribution_ratio`` (Float64).
        With the role ``channel``: ``preferred_channel`` (String), ``preferred_channel_share`` (Float64),
        ``channel_count`` (Int64), as :func:`crmlytics.channels.preferred_channel_table` has them, and
        ``acquisition_channel`` (String, that of the first order, unless ``customers`` says it). With ``partner_id``:
        ``first_partner`` (unless ``customers`` has a ``partner_id``) and ``main_partner`` (String, "(direct)" without
        one). With ``tickets``: ``ticket_count``, and where they have ``closed_at`` ``open_ticket_count`` (Int64),
        ``open_ticket_urgency`` and ``open_ticket_reason`` (String), as :func:`crmlytics.support.at_risk_table` has
        them. With ``customers`` its attributes.

    Notes
    -----
    ``current_amount`` is contribution where a cost is known, else margin where a margin is given, else revenue; what it
    is set against is measured alike. The guide of :func:`score_customers` says which.

    Examples
    --------
    >>> import crmlytics as crm
    >>> orders = crm.datasets.make_transactions(customers=300, random_state=1).transactions
    >>> table = scorecard_table(orders, as_of="2024-12-01", costs={"order": 4.5, "return": 8.0})
    >>> table[["customer_id", "stage", "value_group", "contribution_amount"]].head(3).round(2)
       customer_id   stage      value_group  contribution_amount
    0            1   loyal    most growable                82.83
    1            2   loyal    most valuable               376.59
    2            3  lapsed  low maintenance                28.96
    """
    given = {"customers": customers, "products": products, "tickets": tickets, "contacts": contacts, "costs": costs}
    given |= {"segmenter": segmenter}
    return _score(read_request(transactions, as_of, horizon, margin, given, caller="scorecard_table")).scores


def _score(request: Request) -> Scorecard:
    parts = [build(request) for build in TOPICS]
    scores = _chosen(parts[0]).sort("customer_id")
    for part in parts[1:]:
        scores = _joined(scores, part)
    for summarise in SUMMARIES:
        summary = summarise(request, scores)
        if summary is not None:
            parts.append(summary)
            scores = _joined(scores, summary)
    engine = request.known.engine
    return Scorecard(
        scores=engine.from_eager(scores.sort("customer_id")),
        guide=_frame(engine, Column, [column for part in parts for column in part.columns], first="column"),
        evaluation=_frame(engine, Figure, [figure for part in parts for figure in part.evaluation], first="name"),
        segmenter=next((part.segmenter for part in parts if part.segmenter is not None), None),
    )


def _chosen(part: Part) -> nw.DataFrame[Any]:
    return part.table.select("customer_id", *[column.name for column in part.columns])


def _joined(table: nw.DataFrame[Any], part: Part) -> nw.DataFrame[Any]:
    return table.join(_chosen(part), on="customer_id", how="left")


def _frame(engine: Engine, kind: type, rows: Sequence[Any], *, first: str) -> Any:
    names = [item.name for item in fields(kind)]
    columns = {(first if i == 0 else name): [getattr(row, name) for row in rows] for i, name in enumerate(names)}
    types = {name: nw.Float64() if name == "value" else nw.String() for name in columns}
    return engine.from_columns(columns, nw.Schema(types))
