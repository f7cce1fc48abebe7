"""One row per customer with every score: what they did, what they are expected to do, and how sure that is."""

from crmlytics.scorecard._build import Scorecard, score_customers, scorecard_table

__all__ = ["Scorecard", "score_customers", "scorecard_table"]
