"""Tables of partners: what each sold, what hangs on it, whom it brought, its part in sales, its quota."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics.report._sources import QUARTER, small

if TYPE_CHECKING:
    from crmlytics.report._sources import Sources

PARTNER = "partner_id"
REPLICATES = 300  # a page shows two digits


def partners(sources: Sources) -> Any:
    """Return ``partner_table`` of the longest span that the data hold twice, and ``span_days``."""
    from crmlytics.partners import partner_table

    return _of_span(sources, partner_table, margin=sources.margin)


def partner_concentration(sources: Sources) -> Any:
    """Return ``partner_concentration_table`` of the same span."""
    from crmlytics.partners import partner_concentration_table

    return _of_span(sources, partner_concentration_table)


def partner_dependence(sources: Sources) -> Any:
    """Return ``partner_dependence_table`` of the same span."""
    from crmlytics.partners import partner_dependence_table

    return _of_span(sources, partner_dependence_table)


def partner_customers(sources: Sources) -> Any:
    """Return ``partner_customer_table`` for a quarter, or the longest span that fits, with ``horizon_days``."""
    from crmlytics.partners import partner_customer_table

    if not sources.known.has(PARTNER):
        return None
    days, customers = sources.span(2, longest=QUARTER), sources.other("customers", PARTNER)
    table = partner_customer_table(sources.known, customers, as_of=sources.as_of, horizon=f"{days}d")
    return small(table).assign(horizon_days=days)


def partner_credit(sources: Sources) -> Any:
    """Return ``partner_credit_table``, with the events and contacts that name a partner."""
    from crmlytics.partners import partner_credit_table

    if not sources.known.has(PARTNER):
        return None
    touched = {name: sources.other(name, PARTNER) for name in ("events", "contacts", "customers")}
    return partner_credit_table(sources.known, as_of=sources.as_of, **touched)


def quotas(sources: Sources) -> Any:
    """Return ``quota_table``, where quotas are given."""
    from crmlytics.partners import quota_table

    return None if sources.quotas is None else quota_table(sources.known, sources.quotas, as_of=sources.as_of)


def _of_span(sources: Sources, make: Any, **options: Any) -> Any:
    if not sources.known.has(PARTNER):
        return None
    days = sources.span(2)
    table = make(sources.known, as_of=sources.as_of, window=f"{days}d", replicates=REPLICATES, **options)
    return small(table).assign(span_days=days)
