"""Analytical CRM: tables of what customers did go in, scored tables come out.

>>> import crmlytics as crm
>>> crm.rfm.rfm_table.__name__
'rfm_table'
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmlytics import (
        affinity,
        campaigns,
        channels,
        churn,
        clickstream,
        clv,
        datasets,
        decisions,
        exceptions,
        leads,
        metrics,
        partners,
        profiling,
        propensity,
        report,
        revenue,
        rfm,
        scorecard,
        scoring,
        segmentation,
        sequences,
        snapshots,
        support,
        testing,
        value,
    )
    from crmlytics.report import write_report
    from crmlytics.scorecard import scorecard_table
    from crmlytics.tables import (
        Contacts,
        Customers,
        Events,
        Leads,
        Products,
        Subscriptions,
        Tickets,
        Transactions,
    )

__version__ = "0.1.0"
__all__ = [
    "Contacts",
    "Customers",
    "Events",
    "Leads",
    "Products",
    "Subscriptions",
    "Tickets",
    "Transactions",
    "affinity",
    "campaigns",
    "channels",
    "churn",
    "clickstream",
    "clv",
    "datasets",
    "decisions",
    "exceptions",
    "leads",
    "metrics",
    "partners",
    "profiling",
    "propensity",
    "report",
    "revenue",
    "rfm",
    "scorecard",
    "scorecard_table",
    "scoring",
    "segmentation",
    "sequences",
    "snapshots",
    "support",
    "testing",
    "value",
    "write_report",
]
_HOMES = {"scorecard_table": "crmlytics.scorecard", "write_report": "crmlytics.report"}


def __getattr__(name: str) -> Any:
    """Load a topic, contract or function when it is first used (PEP 562): importing crmlytics costs nothing."""
    if name not in __all__:
        msg = f"module 'crmlytics' has no attribute {name!r}"
        raise AttributeError(msg)
    if name.islower() and name not in _HOMES:
        return import_module(f"crmlytics.{name}")
    return getattr(import_module(_HOMES.get(name, "crmlytics.tables")), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
