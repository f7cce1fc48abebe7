"""Rules over time: which hold more often than they used to, and which fade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import collect, to_pandas
from crmlytics._lists import table_with_lists
from crmlytics._names import names_of
from crmlytics._periods import label_periods, period_grid
from crmlytics._plots import PALETTE, percent_axis, tidy
from crmlytics._plots import axes as new_axes
from crmlytics._validation import as_moment, check_fraction, warn
from crmlytics.affinity._checks import check_rules
from crmlytics.affinity._rule_baskets import (
    EPOCH,
    LEAST_EXPECTED,
    baskets_for,
    counts_by_group,
    only,
    period_numbers,
    ratio_of,
    rule_columns,
)
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from crmlytics._baskets import Baskets
    from crmlytics.affinity.rules import RuleSet

LEAST_PERIODS = 3
SILENCE = np.timedelta64(7, "D")  # a closed Sunday is none
DRAWN = ("antecedent", "consequent", "period_start", "is_complete", "confidence")
LABEL_LETTERS = 40
MANY_LINES = 5  # from which on no corner is free for a legend


def rule_trend_table(
    rules: RuleSet,
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    period: str | dt.timedelta = "month",
) -> Any:
    """Count each rule in each period.

    Parameters
    ----------
    rules : RuleSet
        The rules, from :func:`association_rules`.
    transactions : Transactions or dataframe, one row per order line
        Needs ``timestamp`` and the roles of the baskets and items that the rules are about.
    as_of : date
        The moment up to which the data are known; lines on or after it are left out.
    period : {"month", "quarter", "year"} or a number of days or weeks such as "7d", default "month"
        Calendar periods, or periods of days counted back from ``as_of``. A basket belongs to that of its last line.

    Returns
    -------
    dataframe of the kind the rules came from, one row per rule (in the order of ``rules``) and period (in time)
        Every period from the first line to ``as_of`` is there. ``antecedent``, ``consequent`` (List of ids),
        ``period_start``, ``period_end`` (Datetime), ``is_complete`` (Boolean, false when the period is not over at
        ``as_of``, or the data begin within it, or end before it is over),
        ``period_basket_count`` (Int64, all baskets of the period),
        ``basket_count``, ``antecedent_count`` (Int64, those with all items of the rule, and with its antecedent),
        ``support`` (Float64, ``basket_count / period_basket_count``), ``confidence`` (Float64,
        ``basket_count / antecedent_count``), ``lift`` (Float64, confidence over the consequent's share of the period's
        baskets). A ratio without baskets to divide by is missing.

    Raises
    ------
    SchemaError
        When ``period`` is not known, no line lies before ``as_of``, or none of the items of the rules was bought.

    Warns
    -----
    DataQualityWarning
        When periods are over at ``as_of`` and the last basket lies seven days or more before their end: the data are
        taken to end with its day, and later periods are not complete.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity import association_rules, frequent_itemsets
    >>> lines = pd.DataFrame({
    ...     "order_id": [1, 2, 2, 3, 3], "product_id": ["tea", "tea", "milk", "tea", "milk"],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-09", "2024-01-09", "2024-02-05", "2024-02-05"]),
    ... })
    >>> rules = association_rules(frequent_itemsets(lines, min_support=2), consequent="milk")
    >>> rule_trend_table(rules, lines, as_of="2024-02-10")[["period_start", "antecedent_count", "confidence"]]
      period_start  antecedent_count  confidence
    0   2024-01-01                 2         0.5
    1   2024-02-01                 1         1.0
    """
    caller = "rule_trend_table"
    check_rules(rules, caller=caller)
    baskets, periods = _by_period(rules, transactions, as_of, period, caller=caller)
    group = _places(baskets, periods)
    both, antecedent, consequent, basket_count = counts_by_group(rules, baskets, group, len(periods))
    numbers = {
        "period_basket_count": np.broadcast_to(basket_count, both.shape),
        "basket_count": both,
        "antecedent_count": antecedent,
        "support": ratio_of(both, basket_count),
        "confidence": ratio_of(both, antecedent),
        "lift": ratio_of(ratio_of(both, antecedent) * basket_count, consequent),
    }
    times = {
        name: np.tile(periods[name].to_numpy(dtype=dtype), len(rules))
        for name, dtype in (("period_start", "M8[us]"), ("period_end", "M8[us]"), ("is_complete", bool))
    }
    flat = {name: values.ravel() for name, values in numbers.items()}
    columns = rule_columns(rules, len(periods)) | times | flat
    return table_with_lists(rules.itemsets.engine, columns)


def rule_movement_table(
    rules: RuleSet,
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    period: str | dt.timedelta = "month",
    alpha: float = 0.05,
) -> Any:
    """Find the rules that hold more often from period to period, and those that fade.

    Parameters
    ----------
    rules, transactions, as_of, period
        As for :func:`rule_trend_table`. Only complete periods count; it takes three.
    alpha : float
        The share of false ones to be expected among the rules called rising or fading.

    Returns
    -------
    dataframe of the kind the rules came from, one row per rule (in the order of ``rules``)
        ``antecedent``, ``consequent`` (List of ids), ``period_count`` (Int64, complete periods),
        ``basket_count``, ``antecedent_count`` (Int64, in all of these), then of confidence and support each:
        ``confidence`` (Float64, over all periods together), ``confidence_slope`` (Float64, its change per period,
        0.01 is one percentage point; by least squares over baskets), ``confidence_p_value``,
        ``confidence_adjusted_p_value`` (Float64, by Benjamini and Hochberg's method over all rules tested) and
        ``confidence_movement`` (String, "rising" or "fading" if that is at most ``alpha``, else "steady").

    Raises
    ------
    SchemaError
        When there are fewer than three complete periods, and as :func:`rule_trend_table`, which warns as well.

    Notes
    -----
    Confidence says whether the consequent goes with the antecedent more often, support whether the two are bought
    together in more of all baskets, for whatever reason. Of two tests the larger p-value counts, so that a trend must
    be more than the whim of a few customers and more than the usual wobble from period to period: (1) the
    Cochran-Armitage trend test with the variance summed over customers, whose baskets are not independent (over
    baskets, where customers are not known); (2) Student's t test of the correlation of the periods' values with time,
    each period counting the same, on two degrees of freedom less than there are periods. Rules expected in fewer than
    5 baskets, or absent from fewer, are not tested (p-value missing) and "steady". A season looks like a trend: less
    than two years of data cannot tell them apart.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity import association_rules, frequent_itemsets
    >>> days = pd.date_range("2024-01-01", "2024-12-31")  # with the tea more and more milk
    >>> baskets = [["tea", "milk"] if (7 * n) % 50 < n / 8 else ["tea"] for n in range(366)]
    >>> lines = pd.DataFrame({"order_id": range(366), "timestamp": days, "product_id": baskets})
    >>> lines = lines.explode("product_id")
    >>> rules = association_rules(frequent_itemsets(lines, min_support=2), consequent="milk")
    >>> table = rule_movement_table(rules, lines, as_of="2025-01-01")
    >>> table[["basket_count", "confidence", "confidence_slope", "confidence_movement"]].round(3)
       basket_count  confidence  confidence_slope confidence_movement
    0           168       0.459             0.076              rising
    """
    caller = "rule_movement_table"
    check_rules(rules, caller=caller)
    check_fraction(alpha, name="alpha", caller=caller)
    baskets, periods = _by_period(rules, transactions, as_of, period, caller=caller)
    complete = periods[periods["is_complete"].astype(bool)]
    if len(complete) < LEAST_PERIODS:
        msg = (
            f"{caller}: a trend takes at least {LEAST_PERIODS} complete periods, got {len(complete)} of "
            f"period={period!r} before {as_of}. Take a shorter period."
        )
        raise SchemaError(msg)
    group = _places(baskets, complete)
    baskets, group = only(baskets, group >= 0), group[group >= 0]
    counts = counts_by_group(rules, baskets, group, len(complete))
    columns = {
        "period_count": np.full(len(rules), len(complete)),
        "basket_count": counts[0].sum(axis=1),
        "antecedent_count": counts[1].sum(axis=1),
    }
    columns |= _movements(rules, baskets, group, counts, alpha)
    return table_with_lists(rules.itemsets.engine, rule_columns(rules) | columns)


def plot_rule_trend(table: Any, *, names: Any = None, ax: Axes | None = None) -> Axes:
    """Draw how the confidence of rules went from period to period.

    Parameters
    ----------
    table : dataframe
        What :func:`rule_trend_table` returned. The first seven rules are drawn: filter the table for others.
    names : mapping, optional
        Item id to the name that is read.
    ax : matplotlib Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    matplotlib Axes
        A line a rule; a hollow dot marks a period that is not complete. From five rules on they are named on the right
        of the picture.
    """
    rows = _drawable(table, caller="plot_rule_trend")
    rules = _in_words(rows, names, caller="plot_rule_trend")
    distinct = list(dict.fromkeys(rules))[: len(PALETTE)]
    is_beside = len(distinct) >= MANY_LINES
    ax = tidy(new_axes(ax, size=(11, 4.5) if is_beside else (8, 4.5)))
    for colour, rule in zip(PALETTE, distinct, strict=False):
        drawn = rows[[name == rule for name in rules]]
        shown = rule if len(rule) <= LABEL_LETTERS else f"{rule[: LABEL_LETTERS - 1]}…"
        confidence = drawn["confidence"].astype("Float64").to_numpy(dtype=float, na_value=np.nan)
        ax.plot(range(len(drawn)), confidence, color=colour, label=shown)
        for place, (height, complete) in enumerate(zip(confidence, drawn["is_complete"], strict=True)):
            ax.plot(place, height, "o", color=colour, markerfacecolor=colour if complete else "white")
    label_periods(ax, rows[[name == rules[0] for name in rules]])
    where: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1, 1)} if is_beside else {}
    ax.legend(frameon=False, fontsize=9, **where)
    ax.set_ylim(bottom=0)
    percent_axis(ax.yaxis)
    ax.set_ylabel("Confidence")
    ax.set_title("How often the rule holds", loc="left")
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


def _by_period(
    rules: RuleSet, transactions: Any, as_of: Any, period: Any, *, caller: str
) -> tuple[Baskets, pd.DataFrame]:
    """Read the baskets before ``as_of``, their period in place of their day, and the periods."""
    from dataclasses import replace

    grid = period_grid(period, as_of=as_moment(as_of, caller=caller), caller=caller)
    table = Transactions.bind(transactions)
    table.need("timestamp", caller=caller)
    table = table.before(grid.as_of)
    periods = collect(grid.rows(table, table.need("timestamp", caller=caller), caller=caller)).to_pandas()
    baskets = baskets_for(rules, table, days=True, caller=caller)
    periods = _known(periods, baskets, as_of=grid.as_of, caller=caller)
    return replace(baskets, day=period_numbers(baskets, grid)), periods


def _known(periods: pd.DataFrame, baskets: Baskets, *, as_of: dt.datetime, caller: str) -> pd.DataFrame:
    """Take no period for complete that the data do not reach: that they end is no reason for rules to fade."""
    if not len(baskets):
        return periods
    ends, complete = periods["period_end"].to_numpy(dtype="M8[us]"), periods["is_complete"].to_numpy(dtype=bool)
    last = EPOCH + int(np.max(np.asarray(baskets.day)))
    if not (complete & (ends - (last + 1) >= SILENCE)).any():
        return periods
    warn(
        f"{caller}: as_of is {as_of:%Y-%m-%d}, but the last basket is of {last}: periods that end after that day are "
        f'not complete. Give as_of="{last + 1}".'
    )
    return periods.assign(is_complete=complete & (ends <= last + 1))


def _places(baskets: Baskets, periods: pd.DataFrame) -> NDArray[np.int32]:
    """Return the place of each basket's period among these, which follow one another; -1 if it is not there."""
    place = np.asarray(baskets.day) - int(periods["period_index"].iloc[0])
    return np.where((place >= 0) & (place < len(periods)), place, -1).astype(np.int32)


def _movements(
    rules: RuleSet,
    baskets: Baskets,
    group: NDArray[np.int32],
    counts: tuple[NDArray[np.int64], ...],
    alpha: float,
) -> dict[str, NDArray[Any]]:
    from crmlytics._kernels.multiple_testing import benjamini_hochberg
    from crmlytics._kernels.rule_counts import ANTECEDENT, BASKETS, cluster_moments

    moments = cluster_moments(
        rules.itemsets.tree, rules.antecedent, rules.consequent, baskets.starts, baskets.items,
        baskets.customer, group.astype(np.int64),
    )  # fmt: skip
    both, antecedent, basket_count = counts[0], counts[1], np.broadcast_to(counts[3], counts[0].shape)
    columns: dict[str, NDArray[Any]] = {}
    for name, of, number in (("confidence", antecedent, ANTECEDENT), ("support", basket_count, BASKETS)):
        value, slope = _slopes(both, of)
        p_value = _larger(_p_by_customers(moments, number), _p_by_periods(both, of))
        adjusted = benjamini_hochberg(p_value)
        moved = np.where(slope > 0, "rising", "fading")
        columns |= {
            name: value,
            f"{name}_slope": slope,
            f"{name}_p_value": p_value,
            f"{name}_adjusted_p_value": adjusted,
            f"{name}_movement": np.where(adjusted <= alpha, moved, "steady").astype(object),
        }
    return columns


def _centred(of: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the periods less their mean over baskets, and the sum of their squares over baskets."""
    time = np.arange(of.shape[1])
    centred = time - ratio_of(of @ time, of.sum(axis=1))[:, None]
    return centred, (of * centred**2).sum(axis=1)


def _slopes(both: NDArray[np.int64], of: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the share of baskets and its least-squares change per period."""
    centred, square = _centred(of)
    return ratio_of(both.sum(axis=1), of.sum(axis=1)), ratio_of((both * centred).sum(axis=1), square)


def _p_by_customers(moments: Any, number: int) -> NDArray[np.float64]:
    """Test the trend with each customer's contribution, sum over baskets of (period - mean)(both - share)."""
    from scipy import stats

    from crmlytics._kernels.rule_counts import BOTH, SCORED

    total = moments.sums[:, number]
    share, mean = ratio_of(moments.sums[:, BOTH], total), ratio_of(moments.sums[:, SCORED + number], total)
    weights = np.zeros(moments.sums.shape)
    weights[:, SCORED + BOTH], weights[:, BOTH] = 1, -mean
    weights[:, SCORED + number], weights[:, number] = -share, share * mean
    score = moments.sums[:, SCORED + BOTH] - mean * moments.sums[:, BOTH]
    statistic = np.abs(ratio_of(score, np.sqrt(moments.variance(weights))))
    p_value: NDArray[np.float64] = 2 * stats.t.sf(statistic, np.maximum(moments.clusters[:, number] - 1, 0))
    p_value[~(np.minimum(share, 1 - share) * total >= LEAST_EXPECTED)] = np.nan
    return p_value


def _p_by_periods(both: NDArray[np.int64], of: NDArray[np.int64]) -> NDArray[np.float64]:
    """Test the correlation of the periods' values with time, each period counting the same."""
    from scipy import stats

    known = of > 0
    value = np.where(known, ratio_of(both, of), 0.0)
    mean = ratio_of(value.sum(axis=1), known.sum(axis=1))
    residual = np.where(known, value - mean[:, None], 0.0)
    centred, square = _centred(known.astype(np.int64))
    correlation = ratio_of((centred * residual).sum(axis=1), np.sqrt(square * (residual**2).sum(axis=1)))
    freedom = np.maximum(known.sum(axis=1) - 2, 0)
    statistic = np.sqrt(ratio_of(correlation**2 * freedom, 1 - correlation**2))
    return np.where(freedom > 0, 2 * stats.t.sf(statistic, freedom), 1.0)  # NaN where all lie on a line


def _larger(by_customers: NDArray[np.float64], by_periods: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(by_customers), np.nan, np.fmax(by_customers, by_periods))


def _drawable(table: Any, *, caller: str) -> pd.DataFrame:
    rows = to_pandas(table, caller=caller)
    if missing := [name for name in DRAWN if name not in rows.columns]:
        msg = (
            f"{caller} needs the columns {missing}, got {list(rows.columns)}. "
            "Give what rule_trend_table(rules, transactions, as_of=...) returns."
        )
        raise MissingColumnsError(msg)
    if not len(rows):
        msg = f"{caller}: there are no rules to draw. Give the rows of at least one rule."
        raise SchemaError(msg)
    return rows


def _in_words(rows: pd.DataFrame, names: Any, *, caller: str) -> list[str]:
    """Write each row's rule by the names of its items."""
    sides = [[list(ids) for ids in rows[name]] for name in ("antecedent", "consequent")]
    distinct = np.array(sorted({item_id for side in sides for ids in side for item_id in ids})).tolist()
    name_of = dict(zip(distinct, names_of(distinct, names, caller=caller), strict=True))
    return [" → ".join(" + ".join(name_of[i] for i in ids) for ids in rule) for rule in zip(*sides, strict=True)]
