"""Join what every topic knows into one row per customer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import reduce
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._validation import as_days, as_moment, check_fraction
from crmlytics.scorecard._forecast import forecast_part
from crmlytics.scorecard._history import rfm_part, value_part
from crmlytics.scorecard._part import Column, Figure, Request
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Sequence

    from crmlytics._frames import Engine
    from crmlytics.scorecard._part import Part

BUILDERS: tuple[Callable[[Request], Part], ...] = (rfm_part, value_part, forecast_part)
"""Every topic in the scorecard, in the order of its columns; the first knows all customers. A new topic is one line."""


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
    """

    scores: Any
    guide: Any
    evaluation: Any


def score_customers(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str = "90d",
    margin: float | None = None,
) -> Scorecard:
    """Score every customer, say what each score means, and try the forecasts on the past.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.
    horizon : str, default "90d"
        How far forecasts look ahead, in days ("90d") or weeks ("12w").
    margin : float, optional
        The share of an amount that is margin, between 0 and 1. Without it there is no lifetime value, only revenue.

    Returns
    -------
    Scorecard
        ``.scores`` as :func:`scorecard_table` has it, ``.guide`` and ``.evaluation``.

    Raises
    ------
    SchemaError, MissingColumnsError
        For an argument that cannot be read, a role without a column, or no line before ``as_of``.

    Notes
    -----
    The back-test hides the last horizon, fits the models on what was known before it, and compares their forecast with
    what happened. Frames of lazy engines are summarised where they live; the customers are then scored in memory.

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
    return _score(transactions, as_of, horizon, margin, caller="score_customers")


def scorecard_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str = "90d",
    margin: float | None = None,
) -> Any:
    """Score every customer: one row each, with what they did and what they are expected to do.

    Parameters
    ----------
    transactions, as_of, horizon, margin
        As in :func:`score_customers`, which also says what each column means and how sure it is.

    Returns
    -------
    dataframe of the kind that came in, one row per customer, sorted by ``customer_id``
        Counted: ``recency_days``, ``order_count`` (Int64), ``total_amount`` (Float64), ``r_score``, ``f_score``,
        ``m_score`` (Int64, 1 to 5), ``rfm_score``, ``segment`` (String), ``average_order_amount`` (Float64),
        ``tenure_days`` (Int64), ``amount_share`` (Float64).
        Estimated (Float64): ``alive_probability``, ``purchase_probability`` (at least one purchase in the horizon),
        ``expected_purchase_count``, ``expected_order_amount`` and, without a margin, ``expected_revenue_amount`` (in
        the horizon), with one ``clv_amount`` (margin of that revenue, not discounted). They are null for a customer
        who never made a purchase in the data (returns only), and for all when fewer than 30 customers came back;
        the amounts are null for all when fewer than 30 customers paid for a repeat purchase.

    Examples
    --------
    >>> import crmlytics as crm
    >>> orders = crm.datasets.make_transactions(customers=300, random_state=1).transactions
    >>> scorecard_table(orders, as_of="2024-12-01").columns.tolist()[-2:]
    ['expected_order_amount', 'expected_revenue_amount']
    """
    return _score(transactions, as_of, horizon, margin, caller="scorecard_table").scores


def _score(transactions: Any, as_of: Any, horizon: Any, margin: Any, *, caller: str) -> Scorecard:
    request = Request(
        known=Transactions.bind(transactions).before(as_moment(as_of, caller=caller)),
        as_of=as_moment(as_of, caller=caller),
        horizon_days=as_days(horizon, name="horizon", caller=caller),
        margin=None if margin is None else check_fraction(margin, name="margin", caller=caller),
    )
    parts = [build(request) for build in BUILDERS]
    engine = request.known.engine
    return Scorecard(
        scores=engine.from_eager(reduce(_joined, parts[1:], _chosen(parts[0])).sort("customer_id")),
        guide=_frame(engine, Column, [column for part in parts for column in part.columns], first="column"),
        evaluation=_frame(engine, Figure, [figure for part in parts for figure in part.evaluation], first="name"),
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
