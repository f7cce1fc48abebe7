"""Shipped helpers for tests of crmlytics and of your own code on top of it."""

from crmlytics.testing._estimators import all_estimators, check_table_estimator
from crmlytics.testing._kinds import FRAME_KINDS, make_frame, records, spark_session

__all__ = [
    "FRAME_KINDS",
    "all_estimators",
    "check_table_estimator",
    "make_frame",
    "records",
    "spark_session",
]
