"""What makes a group of customers different from everybody else: a segment, those who left, those who answered.

:func:`profile_table` compares every column, one at a time; :func:`profile_tree_table` looks for conditions that go
together; :func:`describe_profiles` says it in sentences. :func:`pseudonymise` hides who is who.
"""

from crmlytics.profiling._plots import plot_profile, plot_profile_card
from crmlytics.profiling.describing import describe_profiles
from crmlytics.profiling.profiles import profile_table
from crmlytics.profiling.pseudonyms import pseudonymise
from crmlytics.profiling.trees import profile_tree_table

__all__ = [
    "describe_profiles",
    "plot_profile",
    "plot_profile_card",
    "profile_table",
    "profile_tree_table",
    "pseudonymise",
]
