"""What makes a segment different: each level and each number of a table, held against everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._kernels.multiple_testing import CORRECTIONS, adjust_p_values
from crmlytics._validation import check_choice, check_count, check_fraction
from crmlytics.profiling._counting import count_column
from crmlytics.profiling._reading import Asked, check_columns, nothing_left, read_population, report_left_out
from crmlytics.profiling._rows import FIGURES, Setting, rows_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crmlytics.profiling._reading import Population
    from crmlytics.profiling._rows import Columns

SCHEMA = nw.Schema(
    {"segment": nw.String(), "rank": nw.Int64(), "column": nw.String(), "level": nw.String()}
    | {"customer_count": nw.Int64()}
    | {name: nw.Float64() for name in (*FIGURES, "adjusted_p_value")}
    | {"note": nw.String()}
)


def profile_table(
    table: Any,
    *,
    segment: str = "segment",
    key: str | None = "customer_id",
    columns: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    as_levels: Sequence[str] = (),
    formed_by: Sequence[str] = (),
    correction: str = "benjamini_hochberg",
    least_count: int = 10,
    confidence: float = 0.95,
) -> Any:
    r"""Compare each segment with all other customers, column by column: what is more frequent, higher, or lower in it.

    Parameters
    ----------
    table : dataframe, one row per customer
        Columns of numbers, words or truth values, and one that says who is in which segment: an RFM segment, churned or
        not, bought or not. Customers without a segment are left out.
    segment : str, default "segment"
        The column of the segment.
    key : str or None, default "customer_id"
        The column with the id of the customer; None for a table that has none.
    columns : list of str, optional
        The columns to compare; all others by default. Ids, dates and constants tell nothing: left out, with a warning.
    groups : list of segments, optional
        Those to describe; all by default. They are compared with all customers either way.
    as_levels : list of str, optional
        Columns of numbers that are codes, such as a region of 1, 2 or 3: their values are levels, not amounts.
    formed_by : list of str, optional
        The columns from which the segments were made, and what is computed from these. Clusters differ in what they
        were cut from even where there are no clusters, so these get effect sizes and no test.
    correction : {"benjamini_hochberg", "holm", "none"}, default "benjamini_hochberg"
        How ``adjusted_p_value`` allows for so many tests at once.
    least_count : int, default 10
        The smallest count of customers that is shown. Segments with fewer are set aside with a warning, levels with
        fewer are pooled; and a level with 1 to ``least_count - 1`` customers in a segment is hidden, together with as
        many other cells of its column as keep it from being computed from the sums. 1 hides nothing.
    confidence : float, default 0.95
        Of the interval of the effect.

    Returns
    -------
    dataframe of the kind that came in, one row per segment, column and level, the largest effect of a segment first
        ``segment`` (String); ``rank`` (Int64, from 1 in each segment); ``column`` (String);
        ``level`` (String, null for the mean of a column of numbers; ``"missing"`` is a level);
        ``customer_count`` (Int64, customers in the segment);
        ``count`` (Float64, whole: those with the level, or with a known number);
        ``share_in_segment`` (of the segment, how many have the level), ``share_overall`` (of all customers),
        ``share_of_level`` (of those with the level, how many are in the segment), ``lift`` (share in the segment
        divided by share overall; all Float64);
        ``mean``, ``median``, ``standard_deviation`` of the segment, and ``mean_overall``, ``median_overall``,
        ``standard_deviation_overall`` of all customers (Float64, known numbers, divided by their count);
        ``superiority_probability`` (Float64, that somebody in the segment has a higher value than somebody outside,
        ties counting half: a comparison of ranks that a few large values do not move);
        ``effect_size``, ``effect_low``, ``effect_high`` (Float64, Cohen's h for a level, Cohen's d for a number, of the
        segment against all others, and its interval: .2 is small, .5 medium, .8 large);
        ``v_test`` (Float64, by how many standard errors the segment differs from a random draw of as many customers;
        beyond 2 either way is rare), ``p_value``, ``adjusted_p_value`` (Float64);
        ``note`` (String, why figures are missing or rounded, that mean and ranks disagree, or that most have one value
        far from all others, such as 999 days for "never").
        What does not apply to a row is null.

    Raises
    ------
    SchemaError
        When there are fewer than two segments of ``least_count`` customers, ids are missing or repeated, or a chosen
        column tells nothing.
    MissingColumnsError
        When a column is missing.

    Notes
    -----
    Of a level that ``j`` of all ``N`` customers have, and ``x`` of the ``n`` in the segment, ``x`` is hypergeometric if
    the segment is drawn at random; ``p`` is twice the smaller mid tail, and ``v`` its normal quantile with the sign of
    the difference. Of a number, :math:`v = (\bar x_q - \bar x) / \sqrt{s^2/n \cdot (N - n)/(N - 1)}`. Both are those
    of ``catdes`` in FactoMineR.

    A p-value says that a difference is more than chance, not that it matters: of a million customers everything
    differs. Read effects first. Differences are no causes, and a profile of churners is no advice on whom to call.

    Numbers with two different values are read as levels: their mean would tell how many have which.

    *Hiding* protects counts of levels, of missing numbers, and of numbers with at most ten different values, in this
    table and in that of the same customers with segment and column exchanged. Where the count of known numbers is
    hidden, mean and standard deviation are rounded to what ``least_count`` customers move, effects and tests follow
    from the rounded figures as if as large a share were missing in each of these segments, and ranks are left out.
    Where number, mean and standard deviation can be solved for how many have a rare value, only means are shown.
    A range is not hidden: of some hidden cells one can tell that they are small. And two profiles of nearly the same
    customers can be subtracted.

    References
    ----------
    L. Lebart, A. Morineau and M. Piron (1995), Statistique exploratoire multidimensionnelle, Dunod. L. L. Gao, J. Bien
    and D. Witten (2022), "Selective inference for hierarchical clustering", Journal of the American Statistical
    Association 119, for why clusters are not tested on what formed them.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.profiling import profile_table
    >>> customers = pd.DataFrame({
    ...     "customer_id": range(8),
    ...     "segment": ["gold"] * 4 + ["other"] * 4,
    ...     "plan": ["year", "year", "year", "month", "month", "month", "month", "year"],
    ...     "income": [60, 70, 80, 90, 30, 40, 50, 60],
    ... })
    >>> profile = profile_table(customers, groups=["gold"], least_count=1)
    >>> print(profile[["column", "level", "share_in_segment", "share_overall", "mean", "v_test"]].round(2).to_string())
       column  level  share_in_segment  share_overall  mean  v_test
    0  income    NaN               NaN            NaN  75.0    2.12
    1    plan  month              0.25            0.5   NaN   -1.13
    2    plan   year              0.75            0.5   NaN    1.13
    """
    caller = "profile_table"
    check_choice(correction, CORRECTIONS, name="correction", caller=caller)
    least = check_count(least_count, name="least_count", caller=caller)
    confidence = check_fraction(confidence, name="confidence", caller=caller)
    population = read_population(table, Asked(segment, key, columns, groups, as_levels, least), caller=caller)
    check_columns(formed_by, _profiled(population), what="formed_by", caller=caller)
    rows, left_out = _rows(population, Setting(population.size, least, confidence), formed_by, caller=caller)
    report_left_out(left_out, chosen=columns is not None, caller=caller)
    return population.engine.from_columns(_as_columns(rows, population, correction), SCHEMA)


def _profiled(population: Population) -> list[str]:
    return [*(feature.name for feature in population.features), *population.left_out]


def _rows(
    population: Population, setting: Setting, formed_by: Sequence[str], *, caller: str
) -> tuple[Columns, dict[str, str]]:
    """Return the rows of all columns and segments, and what is left out."""
    found, left_out = [], dict(population.left_out)
    for feature in population.features:
        counted = count_column(population, feature, setting.least, caller=caller)
        if counted is None:
            left_out[feature.name] = f"fewer than {setting.least} customers differ from the rest"
            continue
        rows = rows_of(counted, setting, formed=feature.name in formed_by)
        found.append(rows | {"column": np.full(len(rows["segment"]), feature.name, object)})
    if not found:
        raise nothing_left(left_out, caller=caller)
    return {name: np.concatenate([rows[name] for rows in found]) for name in found[0]}, left_out


def _as_columns(rows: Columns, population: Population, correction: str) -> dict[str, Any]:
    """Put the rows asked for in order, number them, and read their tests together."""
    rows = {name: values[np.isin(rows["segment"], population.groups)] for name, values in rows.items()}
    size = -np.nan_to_num(np.abs(rows["effect_size"]), nan=-1.0).round(12)  # mirrored levels are a tie
    level = np.array([text or "" for text in rows["level"]])
    order = np.lexsort((level, rows["column"].astype("U"), size, rows["segment"]))
    rows = {name: values[order] for name, values in rows.items()}
    rows["adjusted_p_value"] = adjust_p_values(rows["p_value"], correction)
    starts = np.searchsorted(rows["segment"], rows["segment"])
    rows["rank"] = np.arange(1, len(order) + 1) - starts
    rows["customer_count"] = population.size[rows["segment"]]
    rows["segment"] = np.array(population.segments, object)[rows["segment"]]
    return {name: rows[name] for name in SCHEMA}
