"""Whether patterns and rules came in, and not the tables that are made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from crmlytics._sequences import Sequences
    from crmlytics.sequences.patterns import SequencePatterns
    from crmlytics.sequences.rules import SequenceRules


def check_patterns(patterns: Any, *, caller: str) -> SequencePatterns:
    """Check for the patterns of :func:`frequent_sequences`."""
    from crmlytics.sequences.patterns import SequencePatterns

    if isinstance(patterns, SequencePatterns):
        return patterns
    msg = (
        f"{caller}: expected SequencePatterns, got {type(patterns).__name__}. Give what frequent_sequences(...) "
        "returns, before .to_frame()."
    )
    raise SchemaError(msg)


def sequences_of(patterns: SequencePatterns, what: str, *, caller: str) -> Sequences:
    """Return the sequences for what needs them; refuse it where Spark mined, and they stayed there."""
    if patterns.sequences is not None:
        return patterns.sequences
    msg = f"{caller}: {what} is not known where Spark mined. Collect the lines first: data.toPandas()."
    raise SchemaError(msg)


def check_rules(rules: Any, *, caller: str) -> SequenceRules:
    """Check for the rules of :func:`sequence_rules`."""
    from crmlytics.sequences.patterns import SequencePatterns
    from crmlytics.sequences.rules import SequenceRules

    if isinstance(rules, SequenceRules):
        return rules
    is_patterns = isinstance(rules, SequencePatterns)
    repair = "Type sequence_rules(patterns)." if is_patterns else "Give the rules before .to_frame()."
    msg = f"{caller}: expected SequenceRules, got {type(rules).__name__}. {repair}"
    raise SchemaError(msg)
