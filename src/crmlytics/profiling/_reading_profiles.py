"""What words and pictures share: a profile read back, and how its rows are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics._frames import to_pandas
from crmlytics.exceptions import MissingColumnsError

if TYPE_CHECKING:
    import pandas as pd

NEEDED = (
    "segment", "rank", "column", "level", "share_in_segment", "share_overall", "lift", "mean", "mean_overall",
    "superiority_probability", "effect_size", "effect_low", "effect_high", "adjusted_p_value", "note",
)  # fmt: skip
WORDS = ("segment", "column", "level", "note")
FEW = 0.1  # below it a decimal is written


def read_profile(profile: Any, *, caller: str) -> pd.DataFrame:
    """Return a profile as a pandas table in its order: words as text or None, figures as floats."""
    rows: pd.DataFrame = to_pandas(profile, caller=caller)
    missing = [name for name in NEEDED if name not in rows.columns]
    if missing:
        msg = f"{caller} reads the result of profile_table(...): no columns {missing} in {list(rows.columns)}."
        raise MissingColumnsError(msg)
    for name in WORDS:
        rows[name] = rows[name].astype(object).where(rows[name].notna(), None)
    for name in set(NEEDED) - {*WORDS}:
        rows[name] = rows[name].astype("float64")
    return rows.sort_values(["segment", "rank"], kind="stable").reset_index(drop=True)


def is_mean(row: Any) -> bool:
    """Whether a row of a profile tells a mean, not a level."""
    return not isinstance(row["level"], str)


def in_words(row: Any) -> str:
    """Return what a row is about."""
    return str(row["column"]) if is_mean(row) else f"{row['column']} = {row['level']}"


def percent(share: float) -> str:
    """Write a share.

    >>> [percent(share) for share in (0.5, 0.031, 0.0, 0.9991)]
    ['50%', '3.1%', '0%', '99.9%']
    """
    return f"{share:.0%}" if FEW <= share <= 1 - FEW or share in {0, 1} else f"{share:.1%}"


def strongest_of_each_column(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep the largest effect of each column, the largest first; of two levels that mirror each other, the rarer."""
    ordered = rows.assign(_size=-rows["effect_size"].abs().round(9))
    ordered = ordered.sort_values(["_size", "share_overall", "rank"], kind="stable").drop_duplicates("column")
    return ordered.drop(columns="_size")
