"""``write_report``: from order lines to a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import crmlytics
from crmlytics._files import check_place, in_place_of
from crmlytics._validation import as_days, as_moment, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.report import (
    _actions,
    _change,
    _channels,
    _customers,
    _differences,
    _guide,
    _outlook,
    _partners,
    _revenue,
    _slipping,
    _stages,
    _summary,
    _support,
    _trust,
    _value,
    _words,
)
from crmlytics.report._gather import gather
from crmlytics.report._render import render
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    import os
    from collections.abc import Mapping

    from crmlytics.report._context import Context

BUILDERS = (
    _summary.build,
    _actions.build,
    _slipping.build,
    _customers.build,
    _stages.build,
    _differences.build,
    _value.build,
    _revenue.build,
    _change.build,
    _outlook.build,
    _channels.build,
    _partners.build,
    _support.build,
    _trust.build,
    _guide.build,
)
ENDINGS = (".html", ".htm")
METHOD = (
    "Segments come from recency, frequency and monetary value (RFM), stages of life from each customer's own rhythm, "
    "groups by behaviour from k-means where they are found again in other samples. Chances to buy, expected orders and "
    "amounts come from the purchase histories alone (MBG/NBD and Gamma-Gamma models, fitted to these customers); they "
    "know nothing of prices, campaigns, seasons or competitors, and hold for groups better than for a single customer."
)


def write_report(
    transactions: Transactions | Any,
    path: str | os.PathLike[str],
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str | dt.timedelta = "90d",
    margin: float | None = None,
    title: str | None = None,
    scorecard: Any = None,
    currency: str = "",
    customers: Any = None,
    products: Any = None,
    tickets: Any = None,
    contacts: Any = None,
    events: Any = None,
    quotas: Any = None,
    costs: Mapping[str, float] | None = None,
    force: bool = False,
) -> Path:
    """Write one HTML page about the customers at ``as_of``: who they are, what they bring, who is slipping, what to do.

    The page needs nothing else (no network, no script), fits a phone, a desk and A4 paper, and is the same to the
    byte for the same input.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``. With ``channel`` the page tells of channels,
        with ``partner_id`` of partners.
    path : path
        The file to write; its name ends with ``.html``.
    as_of : date
        The day described from; lines on or after it are left out.
    horizon : duration
        How far to look ahead, such as ``"90d"`` or ``"12w"``.
    margin : float, optional
        The share of an amount that is profit, between 0 and 1; turns expected revenue into customer lifetime
        value, and tells what is left of the revenue of channels and partners.
    title : str, optional
        The page's heading; "Our customers on <date>" if not given.
    scorecard : Scorecard, optional
        What :func:`crmlytics.scorecard.score_customers` returned for the same transactions, date and horizon, so that
        it is not computed again.
    currency : str
        What stands at amounts: a symbol before (``"£"``) or a code after (``"EUR"``).
    customers : Customers or dataframe, one row per customer, optional
        Attributes, such as an age or a country: what sets the best customers apart, and revenue by ``country``,
        ``region`` and ``acquisition_channel``. With ``valid_from`` those that held just before ``as_of``.
    products : Products or dataframe, one row per product, optional
        Revenue by ``department``, ``category`` or ``tier``, the first that is there.
    tickets : Tickets or dataframe, one row per ticket, optional
        How support did, and who waits; with ``costs["ticket"]`` also what serving customers cost.
    contacts : Contacts or dataframe, one row per contact, optional
        What serving customers cost, with ``costs["contact"]`` or a cost of their own; with ``partner_id`` the part of
        partners in sales.
    events : Events or dataframe, one row per event, optional
        With ``channel`` the visits of channels, what is touched before an order and who gets the credit; with
        ``partner_id`` the part of partners in sales.
    quotas : dataframe, one row per partner and period, optional
        As :func:`crmlytics.partners.quota_table` reads them: what each partner will have sold at the end.
    costs : mapping of str to float, optional
        What an order, a return, a ticket and a contact cost, such as ``{"order": 4.5, "return": 8.0}``, as in
        :func:`crmlytics.value.contribution_table`: what customers leave over, and who costs more than they bring.
    force : bool
        Whether a file that is there may be replaced.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    CrmlyticsError
        If the file is there and ``force`` is not given, or the folder is not there or can't be written.
    SchemaError, MissingColumnsError
        For an argument that cannot be read, a role that has no column, no line before ``as_of``, or tables of another
        kind than ``transactions``. What the data do not allow stays away, and "How far to trust it" says why.

    Examples
    --------
    >>> import tempfile, crmlytics as crm
    >>> made = crm.datasets.make_transactions(customers=60, missing_customer_rate=0, random_state=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = write_report(made.transactions.dropna(), f"{folder}/report.html", as_of="2024-07-01")
    ...     path.read_text(encoding="utf-8")[:15]
    '<!DOCTYPE html>'
    """
    moment = as_moment(as_of, caller="write_report")
    days = as_days(horizon, caller="write_report")
    if margin is not None:
        check_fraction(margin, name="margin", caller="write_report")
    _check_inputs(currency, scorecard)
    target = _check_target(Path(path), force=force)
    table = Transactions.bind(transactions)
    context = gather(
        table, as_of=moment, horizon_days=days, margin=margin, scorecard=scorecard, currency=currency, costs=costs,
        customers=customers, products=products, tickets=tickets, contacts=contacts, events=events, quotas=quotas,
    )  # fmt: skip
    page = render_page(context, title=title)
    with in_place_of(target, force=force) as temporary:
        temporary.write_text(page, encoding="utf-8", newline="\n")
    return target


def render_page(context: Context, *, title: str | None = None) -> str:
    """Build every section that the context has something for, and lay them out."""
    sections = [section for build in BUILDERS if (section := build(context)) is not None]
    return render(
        title=title if title is not None else f"Our customers on {_words.date(context.as_of)}",
        subtitle=_subtitle(context),
        sections=sections,
        footnotes=_footnotes(context),
    )


def _check_inputs(currency: Any, scorecard: Any) -> None:
    if not isinstance(currency, str):
        raise SchemaError(f'write_report: currency must be text such as "\u00a3" or "EUR", got {currency!r}.')
    if scorecard is not None and not all(hasattr(scorecard, name) for name in ("scores", "guide", "evaluation")):
        raise SchemaError(f"write_report: scorecard must be what score_customers returned, got {scorecard!r}.")


def _check_target(path: Path, *, force: bool) -> Path:
    if path.suffix.lower() not in ENDINGS:
        raise SchemaError(f"write_report: {str(path)!r} must end with .html: a page is written.")
    check_place(path, force=force)
    return path


def _subtitle(context: Context) -> str:
    parts = [f"Orders from {_words.date(context.first_day)} to {_words.date(context.last_day)}"]
    parts.append(f"looking {context.horizon} ahead")
    if context.currency:
        parts.append(f"amounts in {context.currency}")
    return " \u00b7 ".join(parts)


def _footnotes(context: Context) -> tuple[str, ...]:
    scope = (
        f"Described on {_words.date(context.as_of)}: only what was known before the beginning of that day is used. "
        f"Forecasts look {context.horizon} ahead of it."
    )
    return (scope, METHOD, f"Made with crmlytics {crmlytics.__version__}.")
