"""Where rules differ: the same rule in each segment of customers or each period, against all the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crmlytics._frames import collect
from crmlytics._lists import table_with_lists
from crmlytics._periods import period_grid
from crmlytics._segments import enter_segments
from crmlytics._validation import as_moment, check_fraction, warn
from crmlytics.affinity._checks import check_rules
from crmlytics.affinity._rule_baskets import (
    LEAST_EXPECTED,
    baskets_for,
    counts_by_group,
    only,
    period_numbers,
    ratio_of,
    rule_columns,
)
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._baskets import Baskets
    from crmlytics._kernels.rule_counts import ClusterMoments
    from crmlytics._periods import PeriodGrid
    from crmlytics.affinity.rules import RuleSet

CALLER = "contrast_table"
NO_LIMIT = 1e6  # a quantile of Student's t without any degree of freedom


def contrast_table(
    rules: RuleSet,
    transactions: Transactions | Any,
    *,
    segments: Any = None,
    period: str | dt.timedelta | None = None,
    as_of: str | dt.date | dt.datetime | None = None,
    alpha: float = 0.05,
) -> Any:
    """Count each rule in each segment, and find where its confidence differs from that of all other segments.

    Parameters
    ----------
    rules : RuleSet
        The rules, from :func:`association_rules`. They may come from these transactions.
    transactions : Transactions or dataframe, one row per order line
        Needs the roles of the baskets and items that the rules are about, ``customer_id`` with ``segments`` and
        ``timestamp`` with ``period``.
    segments : dataframe, one row per customer, of the kind of ``transactions``
        Needs ``customer_id`` and ``segment``. Customers without a segment are left out of all comparisons; a warning
        says how many.
    period : {"month", "quarter", "year"} or a number of days or weeks such as "7d"
        Instead of ``segments``: periods are compared, needs ``as_of``. A basket belongs to the period of its last line.
    as_of : date, optional
        The moment up to which the data are known; lines on or after it are left out.
    alpha : float
        The probability of a single false "differs" in the whole table.

    Returns
    -------
    dataframe of the kind the rules came from, one row per rule (in the order of ``rules``) and segment (sorted)
        ``antecedent``, ``consequent`` (List of ids), ``segment`` (String; a period as ``"2024-02"``,
        ``"2024-Q1"``, ``"2024"`` or, of days, its first day),
        ``segment_basket_count`` (Int64, all baskets of the segment), ``basket_count``, ``antecedent_count`` (Int64,
        those with all items of the rule, and with its antecedent),
        ``confidence`` (Float64, ``basket_count / antecedent_count``),
        ``confidence_lower``, ``confidence_upper`` (Float64, its confidence interval at 1 - ``alpha``, for this row
        alone), ``lift`` (Float64, within the segment), ``rest_confidence`` (Float64, in all other segments together),
        ``difference`` (Float64, ``confidence - rest_confidence``), ``p_value``, ``adjusted_p_value`` (Float64),
        ``differs`` (Boolean, ``adjusted_p_value <= alpha``). A ratio without baskets to divide by is missing.

    Raises
    ------
    SchemaError
        When there is not one of ``segments`` and ``period``, or fewer than two segments, or none of the items.

    Notes
    -----
    The test asks whether the confidence is that of all other segments. One customer's baskets are not independent: the
    variance is the sum over customers of their squared contributions to the difference, at the confidence ``p`` of all
    segments together (a score test). Where a rule happens to hold in few baskets of a segment that sum is far too
    small; so it is at least the variance if any two baskets of a customer had the same correlation r, in all segments:
    ``p (1 - p) ((1 - r) (1 / a + 1 / a') + r sum of (n / a - n' / a')^2)``, of customers with ``n`` of the ``a``
    baskets with the antecedent in the segment and ``n'`` of ``a'`` in the rest. The reference is Student's t with as
    many degrees of freedom as the side with fewer customers has, less one. Errs on the side of caution. A rule expected
    to hold, or to fail, in fewer than 5 baskets of a segment or of the rest is not tested (``p_value`` missing).
    Adjusted by Holm's method over all rows tested. That rules were found in the same data does no harm as long as they
    were not chosen for differing.

    The interval is Wilson's with the number of baskets divided by the design effect of customers (A. Korn and B.
    Graubard 1998, "Confidence intervals for proportions with small expected number of positive counts").

    A rule may differ because of what else differs between segments; look at ``lift`` too, which takes out how popular
    the consequent is there.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity import association_rules, frequent_itemsets
    >>> lines = pd.DataFrame([
    ...     (c, c, p) for c in range(40) for p in (["tea", "milk"] if c < 20 or c % 4 == 0 else ["tea"])
    ... ], columns=["customer_id", "order_id", "product_id"])
    >>> segments = pd.DataFrame({"customer_id": range(40), "segment": ["old"] * 20 + ["new"] * 20})
    >>> rules = association_rules(frequent_itemsets(lines, min_support=2), consequent="milk")
    >>> contrast_table(rules, lines, segments=segments)[["segment", "confidence", "rest_confidence", "differs"]]
      segment  confidence  rest_confidence  differs
    0     new        0.25             1.00     True
    1     old        1.00             0.25     True
    """
    check_rules(rules, caller=CALLER)
    check_fraction(alpha, name="alpha", caller=CALLER)
    table = Transactions.bind(transactions)
    if as_of is not None:
        table.need("timestamp", caller=CALLER)
        table = table.before(as_moment(as_of, caller=CALLER))
    baskets, group, names = _grouped(rules, table, segments, period, as_of)
    if len(names) < 2:
        msg = f"{CALLER}: expected at least two segments or periods with baskets, got {names}."
        raise SchemaError(msg)
    baskets, group = only(baskets, group >= 0), group[group >= 0]
    counts = counts_by_group(rules, baskets, group, len(names))
    columns = _compared(rules, baskets, group, counts, alpha)
    flat = {name: values.ravel() for name, values in columns.items()}
    sides = rule_columns(rules, len(names))
    named = {"segment": np.tile(np.array(names, object), len(rules))}
    return table_with_lists(rules.itemsets.engine, sides | named | flat)


# -- inside --------------------------------------------------------------------------------------------------------


class Spread(NamedTuple):
    """How much customers vary, arrays of shape (rules, groups).

    Attributes
    ----------
    variance, null_variance : float64 arrays
        Of the confidence; of its difference from the rest, if there is none.
    customers, others : float64 arrays
        Customers with the antecedent in the group, and in the rest.
    """

    variance: NDArray[np.float64]
    null_variance: NDArray[np.float64]
    customers: NDArray[np.float64]
    others: NDArray[np.float64]


def _grouped(
    rules: RuleSet, table: Transactions, segments: Any, period: Any, as_of: Any
) -> tuple[Baskets, NDArray[np.int32], list[str]]:
    """Read the baskets, the number of the segment or period of each (-1: none), and their names, sorted."""
    if (segments is None) == (period is None):
        msg = (
            f"{CALLER}: give either segments=<a table of customer_id and segment> or "
            f'period="quarter" with as_of, got {"neither" if segments is None else "both"}.'
        )
        raise SchemaError(msg)
    if period is not None:
        grid = period_grid(period, as_of=as_moment(as_of, caller=CALLER), caller=CALLER)
        baskets = baskets_for(rules, table, days=True, caller=CALLER)
        numbers, place = np.unique(period_numbers(baskets, grid), return_inverse=True)
        return baskets, place.astype(np.int32), [_period_name(grid, int(number)) for number in numbers]
    table.need("customer_id", caller=CALLER)
    baskets = baskets_for(rules, table, caller=CALLER)
    group, names = _segment_of_baskets(baskets, segments, table)
    return baskets, group, names


def _period_name(grid: PeriodGrid, number: int) -> str:
    """Name a period so that none is taken for another, nor a quarter for its first month."""
    start = grid.start(number)
    quarter = f"{start.year:04}-Q{start.month // 3 + 1}"
    return {0: f"{start:%Y-%m-%d}", 1: f"{start:%Y-%m}", 3: quarter, 12: f"{start:%Y}"}[grid.months]


def _segment_of_baskets(baskets: Baskets, segments: Any, table: Transactions) -> tuple[NDArray[np.int32], list[str]]:
    found = collect(enter_segments(segments, table, caller=CALLER))
    segment_of = dict(zip(found["customer_id"].to_list(), found["segment"].to_list(), strict=True))
    customers: list[Any] = [] if baskets.customer_ids is None else baskets.customer_ids.tolist()
    owned = [segment_of.get(customer) for customer in customers]
    owner = np.asarray(baskets.customer)
    buyers = np.unique(owner)
    names = sorted({owned[buyer] for buyer in buyers.tolist()} - {None})
    number = {name: place for place, name in enumerate(names)}
    group = np.array([number.get(name, -1) for name in owned], np.int32)[owner]
    without = int(sum(owned[buyer] is None for buyer in buyers.tolist()))
    if without:
        warn(
            f"{CALLER}: {without:,} of {len(buyers):,} customers, with {int((group < 0).sum()):,} of "
            f"{len(group):,} baskets, have no segment: left out."
        )
    return group, names


def _compared(
    rules: RuleSet, baskets: Baskets, group: NDArray[np.int32], counts: tuple[NDArray[np.int64], ...], alpha: float
) -> dict[str, NDArray[Any]]:
    """Compare each group with the rest: columns of shape (rules, groups)."""
    from crmlytics._kernels.multiple_testing import holm

    both, antecedent, consequent, basket_count = counts
    rest_both, rest_antecedent = (n.sum(axis=1, keepdims=True) - n for n in (both, antecedent))
    confidence, rest = ratio_of(both, antecedent), ratio_of(rest_both, rest_antecedent)
    spread = _spread(rules, baskets, group, counts)
    p_value = _p_values(confidence - rest, spread)
    expected = ratio_of(both.sum(axis=1), antecedent.sum(axis=1))[:, None]
    fewest = np.minimum(expected, 1 - expected) * np.minimum(antecedent, rest_antecedent)
    p_value[~(fewest >= LEAST_EXPECTED)] = np.nan
    adjusted = holm(p_value.ravel()).reshape(p_value.shape)
    lower, upper = _interval(confidence, antecedent, spread, alpha)
    return {
        "segment_basket_count": np.broadcast_to(basket_count, both.shape),
        "basket_count": both,
        "antecedent_count": antecedent,
        "confidence": confidence,
        "confidence_lower": lower,
        "confidence_upper": upper,
        "lift": ratio_of(confidence * basket_count, consequent),
        "rest_confidence": rest,
        "difference": confidence - rest,
        "p_value": p_value,
        "adjusted_p_value": adjusted,
        "differs": adjusted <= alpha,
    }


def _spread(
    rules: RuleSet, baskets: Baskets, group: NDArray[np.int32], counts: tuple[NDArray[np.int64], ...]
) -> Spread:
    """Sum what customers contribute, for each group in turn."""
    from crmlytics._kernels.rule_counts import ANTECEDENT, BOTH, SCORED, cluster_moments

    both, antecedent = counts[0], counts[1]
    confidence, pooled = ratio_of(both, antecedent), ratio_of(both.sum(axis=1), antecedent.sum(axis=1))
    rest = antecedent.sum(axis=1, keepdims=True) - antecedent
    spread = Spread(
        np.full(both.shape, np.nan), np.full(both.shape, np.nan), np.zeros(both.shape), np.zeros(both.shape)
    )
    for g in range(both.shape[1]):
        moments = cluster_moments(
            rules.itemsets.tree, rules.antecedent, rules.consequent, baskets.starts, baskets.items,
            baskets.customer, (group == g).astype(np.int64),
        )  # fmt: skip
        one, other = ratio_of(np.ones(1), antecedent[:, g]), ratio_of(np.ones(1), rest[:, g])
        own, contrast = np.zeros((len(rules), 8)), np.zeros((len(rules), 8))
        own[:, SCORED + BOTH], own[:, SCORED + ANTECEDENT] = one, -confidence[:, g] * one
        contrast[:, SCORED + BOTH], contrast[:, BOTH] = one + other, -other  # in the group: 1/a; in the rest: -1/a'
        contrast[:, SCORED + ANTECEDENT], contrast[:, ANTECEDENT] = -pooled * (one + other), pooled * other
        spread.variance[:, g] = moments.variance(own)
        alike = _variance_if_alike(moments, pooled, one, other)
        spread.null_variance[:, g] = np.fmax(moments.variance(contrast), alike)
        spread.customers[:, g] = moments.clusters[:, SCORED + ANTECEDENT]
        spread.others[:, g] = moments.clusters[:, ANTECEDENT] - spread.customers[:, g]
    for g in range(both.shape[1]):  # customers of several periods: at least as many as the largest other one has
        largest = np.delete(spread.customers, g, axis=1).max(axis=1)
        spread.others[:, g] = np.maximum(spread.others[:, g], largest)
    return spread


def _variance_if_alike(
    moments: ClusterMoments, pooled: NDArray[np.float64], one: NDArray[np.float64], other: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the variance of a difference of confidences if all baskets, and all pairs of a customer's, are alike.

    What a few baskets happened to hold does not make it small, as it does the sum of observed squares.
    """
    from crmlytics._kernels.rule_counts import ANTECEDENT, BOTH, SCORED

    surplus, weight = np.zeros((len(pooled), 8)), np.zeros((len(pooled), 8))
    surplus[:, BOTH], surplus[:, ANTECEDENT] = 1, -pooled
    weight[:, SCORED + ANTECEDENT], weight[:, ANTECEDENT] = one + other, -other
    single, count = pooled * (1 - pooled), moments.sums[:, ANTECEDENT]
    pairs = moments.products[:, ANTECEDENT, ANTECEDENT] - count  # ordered pairs of two baskets of one customer
    correlation = ratio_of(moments.variance(surplus) - count * single, pairs * single)
    correlation = np.clip(np.nan_to_num(correlation), 0, 1)
    together: NDArray[np.float64] = correlation * moments.variance(weight) + (1 - correlation) * (one + other)
    return single * together


def _p_values(difference: NDArray[np.float64], spread: Spread) -> NDArray[np.float64]:
    from scipy import stats

    freedom = np.minimum(spread.customers, spread.others) - 1
    statistic = np.abs(ratio_of(difference, np.sqrt(spread.null_variance)))
    p_value: NDArray[np.float64] = 2 * stats.t.sf(statistic, np.maximum(freedom, 0))  # NaN without any freedom
    return p_value


def _interval(
    share: NDArray[np.float64], baskets: NDArray[np.int64], spread: Spread, alpha: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return Wilson's interval for as many independent baskets as customers' baskets are worth."""
    from scipy import stats

    independent = np.minimum(ratio_of(share * (1 - share), spread.variance), baskets)
    worth = np.where(spread.variance > 0, independent, spread.customers)
    quantile = np.nan_to_num(stats.t.isf(alpha / 2, np.maximum(spread.customers - 1, 0)), nan=NO_LIMIT)
    square = ratio_of(quantile**2, worth)
    middle = (share + square / 2) / (1 + square)
    half = np.sqrt(square * share * (1 - share) + square**2 / 4) / (1 + square)
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
