"""Real data to learn on (``load_*``) and made data with their truth to check against (``make_*``)."""

from crmlytics.datasets._bundled import (
    CompleteJourney,
    data_path,
    load_cdnow,
    load_complete_journey,
    load_donations,
)
from crmlytics.datasets._events import SyntheticEvents, make_events
from crmlytics.datasets._leads import SyntheticLeads, make_leads
from crmlytics.datasets._online_retail import load_online_retail
from crmlytics.datasets._synthetic import SyntheticTransactions, make_transactions
from crmlytics.datasets._universe import SyntheticUniverse, make_universe

__all__ = [
    "CompleteJourney",
    "SyntheticEvents",
    "SyntheticLeads",
    "SyntheticTransactions",
    "SyntheticUniverse",
    "data_path",
    "load_cdnow",
    "load_complete_journey",
    "load_donations",
    "load_online_retail",
    "make_events",
    "make_leads",
    "make_transactions",
    "make_universe",
]
