"""What is missing, whatever an engine calls it: None, NaN, NaT or NA."""

from __future__ import annotations

from typing import Any


def is_missing(value: Any) -> bool:
    """Whether a value of a column is none."""
    return value is None or type(value).__name__ == "NAType" or bool(value != value)  # noqa: PLR0124  NaN, NaT


def optional(values: Any) -> list[Any]:
    """Return the values of an array or list, None where one is missing."""
    listed = values if isinstance(values, list) else values.tolist()
    return [None if is_missing(value) else value for value in listed]
