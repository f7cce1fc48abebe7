"""A profile in words: the few differences that make up a segment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import enter
from crmlytics._validation import check_count
from crmlytics.profiling._reading_profiles import in_words, is_mean, percent, read_profile, strongest_of_each_column
from crmlytics.profiling._rows import FORMED, LARGE_VALUES, SMALL_VALUES
from crmlytics.scoring._encoding import short

if TYPE_CHECKING:
    import pandas as pd

CALLER = "describe_profiles"
SURE = 0.05  # adjusted p-value
LEAST_EFFECT = 0.1  # half of what counts as small
SCHEMA = nw.Schema(
    {"segment": nw.String(), "rank": nw.Int64(), "finding": nw.String(), "column": nw.String()}
    | {"level": nw.String(), "effect_size": nw.Float64()}
)


def describe_profiles(profile: Any, *, n: int = 3) -> Any:
    r"""Say in sentences what sets each segment apart from all other customers.

    Parameters
    ----------
    profile : dataframe
        What :func:`profile_table` returned.
    n : int, default 3
        How many findings a segment at most.

    Returns
    -------
    dataframe of the kind that came in, one row per segment and finding, the strongest first
        ``segment`` (String); ``rank`` (Int64, from 1 in each segment);
        ``finding`` (String, what to read: ``print("\n".join(table["finding"]))``);
        ``column``, ``level`` (String) and ``effect_size`` (Float64) as in the profile. A segment that nothing sets
        apart has one row that says so, with these three null.

    Raises
    ------
    MissingColumnsError
        When the table is no profile.

    Notes
    -----
    Each column is told once, by its largest effect, and of two levels by the rarer one. Told is what is more than
    chance (an adjusted p-value of 5 % at most; of columns that formed the segments this is not asked) and has an effect
    of at least .1: what is smaller needs no words. "In 70% of comparisons" is the probability that somebody in the
    segment has the higher (or lower) value than somebody outside, ties counting half.

    Findings describe; they do not say what would happen if a customer's plan or price were changed.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.profiling import describe_profiles, profile_table
    >>> customers = pd.DataFrame({
    ...     "customer_id": range(400),
    ...     "segment": ["gold"] * 100 + ["other"] * 300,
    ...     "plan": ["year"] * 80 + ["month"] * 20 + ["year"] * 60 + ["month"] * 240,
    ... })
    >>> print("\n".join(describe_profiles(profile_table(customers, least_count=10))["finding"]))
    gold: plan = year in 80%, in 35% of all customers (2.3 times as often)
    other: plan = year in 20%, in 35% of all customers (0.6 times as often)
    """
    n = check_count(n, name="n", caller=CALLER)
    _, engine = enter(profile, caller=CALLER)
    rows = read_profile(profile, caller=CALLER)
    told = rows[rows["effect_size"].abs() >= LEAST_EFFECT]
    told = told[(told["adjusted_p_value"] <= SURE) | (told["note"] == FORMED)]
    found: list[tuple[Any, ...]] = []
    for segment in dict.fromkeys(rows["segment"]):
        chosen = strongest_of_each_column(told[told["segment"] == segment]).head(n)
        found += [
            (segment, rank, _finding(row), row["column"], None if is_mean(row) else row["level"], row["effect_size"])
            for rank, (_, row) in enumerate(chosen.iterrows(), start=1)
        ]
        if not len(chosen):
            found.append(
                (segment, 1, f"{segment}: nothing that is shown sets it apart by more than chance", *[None] * 3)
            )
    return engine.from_columns(dict(zip(SCHEMA, map(list, zip(*found, strict=True)), strict=True)), SCHEMA)


def _finding(row: pd.Series[Any]) -> str:
    words = _mean_in_words(row) if is_mean(row) else _level_in_words(row)
    formed = "; the segments were formed by it" if row["note"] == FORMED else ""
    return f"{row['segment']}: {words}{formed}"


def _level_in_words(row: pd.Series[Any]) -> str:
    inside, overall = percent(row["share_in_segment"]), percent(row["share_overall"])
    times = f"{row['lift']:.1f} times as often" if row["share_in_segment"] else "never"
    return f"{in_words(row)} in {inside}, in {overall} of all customers ({times})"


def _mean_in_words(row: pd.Series[Any]) -> str:
    is_higher = row["effect_size"] > 0
    words = f"{row['column']} {short(row['mean'])} on average, {short(row['mean_overall'])} of all customers"
    share = row["superiority_probability"] if is_higher else 1 - row["superiority_probability"]
    if not np.isnan(share):
        words = f"{words} ({'higher' if is_higher else 'lower'} than others in {percent(share)} of comparisons)"
    return f"{words}; {row['note']}" if row["note"] in {LARGE_VALUES, SMALL_VALUES} else words
