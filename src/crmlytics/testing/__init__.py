"""Shipped helpers for tests of crmlytics and of your own code on top of it."""

from crmlytics.testing._kinds import FRAME_KINDS, make_frame, records, spark_session

__all__ = ["FRAME_KINDS", "make_frame", "records", "spark_session"]
