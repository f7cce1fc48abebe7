"""The options of a scorecard, checked and made into what its parts need."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from crmlytics._validation import check_amount, check_choice, check_count, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.leads._bins import Wanted
from crmlytics.leads._columns import Levels
from crmlytics.leads._scorecard import Scale

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from crmlytics.leads.points import PointsScorecard

DIRECTIONS = (1, 0, -1)


def wanted_of(options: PointsScorecard, outcome: NDArray[np.bool_], *, caller: str) -> Wanted:
    """Return what bins have to be like; each after the first pays as Schwarz's criterion has it."""
    check_count(options.max_bins, name="max_bins", caller=caller)
    check_count(options.min_bin_positives, name="min_bin_positives", caller=caller, least=0)
    share = check_fraction(options.min_bin_share, name="min_bin_share", caller=caller)
    shrinkage = check_amount(options.shrinkage, name="shrinkage", caller=caller, positive=True)
    rows, positive = len(outcome), int(outcome.sum())
    price = math.log(rows) * (1 / positive + 1 / (rows - positive))
    return Wanted(options.max_bins, share * rows, float(options.min_bin_positives), shrinkage, price)


def scale_of(options: PointsScorecard, outcome: NDArray[np.bool_], *, caller: str) -> Scale:
    """Return how log odds become points."""
    doubling = check_amount(options.points_to_double_odds, name="points_to_double_odds", caller=caller, positive=True)
    base = check_amount(options.base_points, name="base_points", caller=caller)
    rate = float(outcome.mean())
    if options.base_odds is None:
        return Scale(doubling, base, rate / (1 - rate))
    return Scale(doubling, base, check_amount(options.base_odds, name="base_odds", caller=caller, positive=True))


def check_features(features: Any, *, caller: str) -> None:
    """Check that columns to learn from come as a list."""
    if isinstance(features, str):
        raise SchemaError(f"{caller}: features must be a list of names such as [{features!r}], got {features!r}.")


def check_numbers(monotone: Mapping[str, int], columns: Mapping[str, Any], *, caller: str) -> None:
    """Refuse a direction for words and truth values, which have no order."""
    for name in monotone:
        if isinstance(columns[name], Levels) and columns[name].names:
            kind = "truth values" if columns[name].is_flag else "words"
            msg = f"{caller}: monotone names {name!r}, which holds {kind}: only numbers rise or fall. Leave it out."
            raise SchemaError(msg)


def check_monotone(monotone: Any, names: Sequence[str], *, caller: str) -> dict[str, int]:
    """Check which way the points of a column may go, by its name."""
    if monotone is None:
        return {}
    if not hasattr(monotone, "items"):
        msg = f'{caller}: monotone must say 1, -1 or 0 by column, such as monotone={{"visits": 1}}, got {monotone!r}.'
        raise SchemaError(msg)
    for name, direction in monotone.items():
        check_choice(name, names, name="a column of monotone", caller=caller)
        if direction not in DIRECTIONS:
            msg = f"{caller}: monotone={{{name!r}: {direction!r}}}: expected 1 (rising), -1 (falling) or 0 (either)."
            raise SchemaError(msg)
    return dict(monotone)
