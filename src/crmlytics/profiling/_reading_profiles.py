"""What words and pictures share: a profile read back, and how its rows are called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

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
    return _without_twins(rows.sort_values(["segment", "rank"], kind="stable").reset_index(drop=True))


def is_mean(row: Any) -> bool:
    """Whether a row of a profile tells a mean, not a level."""
    return not isinstance(row["level"], str)


def in_words(row: Any) -> str:
    """Return what a row is about."""
    if is_mean(row):
        return str(row["column"])
    more = f" and {row['twins']} more column{'s' * (row['twins'] > 1)}" if row["twins"] else ""
    return f"{row['column']} = {row['level']}{more}"


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


# -- inside --------------------------------------------------------------------------------------------------------


def _without_twins(rows: pd.DataFrame) -> pd.DataFrame:
    """Keep one of the levels that equally many of each segment have, such as "none" of every service; the shortest.

    Adds ``twins``: of how many other columns a level has been left out.
    """
    shares = rows[rows["level"].notna()].groupby(["column", "level"], sort=False)[["share_in_segment", "share_overall"]]
    cells = {name: tuple(found.to_numpy().ravel()) for name, found in shares}
    names: dict[tuple[float, ...], list[tuple[str, str]]] = {}
    for name in sorted(cells, key=lambda one: (len(one[0]) + len(one[1]), one)):
        if not np.isnan(cells[name]).any():
            alike = names.setdefault(cells[name], [])
            alike += [name] if name[0] not in {column for column, _ in alike} else []
    twins = {alike[0]: len(alike) - 1 for alike in names.values()}
    left_out = {name for alike in names.values() for name in alike[1:]}
    of_row = list(zip(rows["column"], rows["level"], strict=True))
    rows = rows.assign(twins=[twins.get(name, 0) for name in of_row])
    return rows[[name not in left_out for name in of_row]].reset_index(drop=True)
