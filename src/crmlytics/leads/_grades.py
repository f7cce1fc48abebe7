"""Grades of leads: how many times likelier than average a lead is to convert, as a letter."""

from __future__ import annotations

import itertools
import numbers
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

GRADES: Mapping[str, float] = {"A": 2.0, "B": 1.0, "C": 0.5, "D": 0.0}


def check_grades(grades: Any, *, caller: str) -> dict[str, float]:
    """Check grades: letters, each with the least lift it takes, falling to 0."""
    limits = list(grades.values()) if hasattr(grades, "values") else []
    numeric = all(isinstance(limit, numbers.Real) and not isinstance(limit, bool) for limit in limits)
    if not limits or not numeric or limits[-1] != 0 or any(a <= b for a, b in itertools.pairwise(limits)):
        msg = (
            f"{caller}: grades must give the least lift of each, falling to 0 for the last, such as "
            f'grades={{"A": 2, "B": 1, "C": 0.5, "D": 0}}, got {dict(grades) if limits else grades!r}.'
        )
        raise SchemaError(msg)
    return {str(name): float(limit) for name, limit in grades.items()}


def grade_expression(lift: nw.Expr, grades: Mapping[str, float]) -> nw.Expr:
    """Return the grade of a lift, on any engine."""
    *better, last = grades
    grade: Any = nw.lit(last)
    for name in reversed(better):
        grade = nw.when(lift >= grades[name]).then(nw.lit(name)).otherwise(grade)
    expression: nw.Expr = grade
    return expression


def grade_codes(lift: NDArray[np.float64], grades: Mapping[str, float]) -> NDArray[np.int64]:
    """Return the number of the grade of each lift, from 0, the best."""
    limits = np.array(list(grades.values()))
    codes: NDArray[np.int64] = (lift[:, None] < limits[:-1]).sum(axis=1)
    return codes
