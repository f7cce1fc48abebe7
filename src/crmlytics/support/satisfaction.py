"""How satisfied customers are with the answers: their marks, the share satisfied and the net promoter score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import BOUNDS, with_bounds
from crmlytics._validation import check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.support._marks import SATISFIED_AT, check_mark, check_scale, mark_columns, marked, read_marks
from crmlytics.support._reading import read_tickets

if TYPE_CHECKING:
    import datetime as dt

    from crmlytics.tables import Tickets

CALLER = "satisfaction_table"
SCHEMA = nw.Schema(
    {"by": nw.String(), "group": nw.String()}
    | {"closed_count": nw.Int64(), "mark_count": nw.Int64(), "marked_share": nw.Float64()}
    | {f"{name}{end}": nw.Float64() for name in ("satisfaction_mean", "satisfied_share", "nps_score") for end in BOUNDS}
    | {"satisfied_from": nw.Float64(), "caution": nw.String()}
)


def satisfaction_table(
    tickets: Tickets | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    since: str | dt.date | dt.datetime | None = None,
    by: str | None = None,
    scale: tuple[float, float] = (1, 5),
    satisfied_from: float | None = None,
    confidence: float = 0.95,
) -> Any:
    """Say how customers mark the answers: the mean, the share satisfied and, from 0 to 10, the net promoter score.

    Parameters
    ----------
    tickets : Tickets or dataframe, one row per ticket
        Needs ``ticket_id``, ``opened_at``, ``closed_at`` and ``satisfaction``.
    as_of : date
        The day described from. A mark has no date of its own: those of tickets closed before it are read.
    since : date, optional
        Leave out the tickets opened before it.
    by : {"category", "priority", "channel"}, optional
        A row for each of them; without it one row for all.
    scale : (lowest, highest), default (1, 5)
        Of the marks. With (0, 10) they are read as a net promoter score too.
    satisfied_from : float, optional
        The lowest mark that counts as satisfied; by default that three quarters up the scale: 4 of 1 to 5.
    confidence : float, default 0.95
        Of the intervals.

    Returns
    -------
    dataframe of the kind that came in, one row per group, sorted by its id
        ``by``, ``group`` (String), ``closed_count``, ``mark_count`` (Int64), ``marked_share`` (Float64, of the closed),
        ``satisfaction_mean``, ``satisfied_share``, ``nps_score`` (Float64, -100 to 100, only on a scale of 0 to 10),
        each with ``_low`` and ``_high``; ``satisfied_from`` (Float64), ``caution`` (String, null where there is none).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date or scale that cannot be read, a mark beyond the scale, a role without a column, no ticket before
        ``as_of``, or no mark at all.

    Notes
    -----
    Marks of one customer are alike: the error of the mean is that of leaving one customer out, on Student's t with the
    degrees of freedom of as many customers with equally many marks (Kish); the bounds of shares (Wilson) and of the net
    promoter score (Tango) are those of as many independent marks as they are worth. Of a single customer there are no
    bounds, and where all marks are equal the mean has none.

    When not to use: as the satisfaction of all. Who answers is not who asked: read ``marked_share``.

    Examples
    --------
    >>> import pandas as pd
    >>> tickets = pd.DataFrame({
    ...     "ticket_id": range(5), "opened_at": pd.Timestamp("2024-01-01"), "closed_at": pd.Timestamp("2024-01-02"),
    ...     "satisfaction": [5, 4, 2, None, 5],
    ... })
    >>> table = satisfaction_table(tickets, as_of="2024-02-01")
    >>> table[["mark_count", "marked_share", "satisfaction_mean", "satisfied_share"]]
       mark_count  marked_share  satisfaction_mean  satisfied_share
    0           4           0.8                4.0             0.75
    """
    from crmlytics._kernels.clustered_means import group_means

    check_fraction(confidence, name="confidence", caller=CALLER)
    bounds = check_scale(scale, caller=CALLER)
    least = check_mark(satisfied_from, bounds, usual=SATISFIED_AT, name="satisfied_from", caller=CALLER)
    known = read_tickets(tickets, "closed_at", "satisfaction", as_of=as_of, since=since, by=by, caller=CALLER)
    marks = read_marks(known, bounds, caller=CALLER)
    if np.isnan(marks).all():
        msg = (
            f"{CALLER}: no ticket closed before as_of has a mark ({int(known.is_closed.sum()):,} of {len(known):,} are "
            "closed). Check satisfaction in the data."
        )
        raise SchemaError(msg)
    group, given, cluster = marked(known, marks)
    satisfied = group_means((given >= least).astype(np.float64), group, known.groups, cluster=cluster)
    closed = known.count(known.is_closed)
    columns: dict[str, Any] = known.labels() | mark_columns(known, marks, bounds, confidence)
    columns |= with_bounds("satisfied_share", satisfied.mean, *satisfied.share_interval(confidence))
    columns["closed_count"] = closed
    columns["marked_share"] = np.divide(satisfied.count, closed, out=np.full(len(closed), np.nan), where=closed > 0)
    columns["satisfied_from"] = np.full(len(closed), least)
    columns["caution"] = known.cautions(satisfied, "marks")
    return known.engine.from_columns({name: columns[name] for name in SCHEMA}, SCHEMA)
