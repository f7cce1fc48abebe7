"""Point-in-time panels: features strictly before a cutoff, labels strictly after it, and a check for leaks.

:class:`Snapshots` makes the panel, at the moments of :func:`cutoff_dates`. :func:`audit_leakage` looks any panel over
for what could not have been known; :func:`audit_features` tries a function of yours by taking the future away.
"""

from crmlytics.snapshots._cutoffs import cutoff_dates
from crmlytics.snapshots._snapshots import Snapshots
from crmlytics.snapshots.auditing import audit_features, audit_leakage

__all__ = ["Snapshots", "audit_features", "audit_leakage", "cutoff_dates"]
