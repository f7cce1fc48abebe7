"""Complements and substitutes: what the same customer buys together, and what instead of one another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._baskets import read_baskets
from crmlytics._lists import table_with_lists
from crmlytics._periods import period_grid
from crmlytics._validation import check_amount, check_count, check_fraction, warn
from crmlytics.affinity._rule_baskets import EPOCH, period_numbers, ratio_of
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._baskets import Baskets
    from crmlytics._kernels.co_purchase import Pairs

CALLER = "pair_table"


def pair_table(
    transactions: Transactions | Any,
    *,
    item: str = "product_id",
    basket: str | tuple[str, str] = "order_id",
    min_expected: float = 5,
    min_ratio: float = 1.1,
    max_ratio: float = 2 / 3,
    min_customer_count: int = 10,
    alpha: float = 0.05,
    period: str | dt.timedelta | None = None,
) -> Any:
    """Ask of every two items whether the same customers put them into the same basket, or into different ones.

    Customers differ: a vegetarian household lifts tofu with lentils even if it never buys both at once. So baskets are
    compared with other baskets of the same customer, of about the same size: given how often the customer buys each
    item, do the two meet more often than by chance (complements) or less often (substitutes)?

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id`` and the roles that ``basket`` and ``item`` name.
    item : {"product_id", "category", "channel", "partner_id"}
        What the items are. Substitutes show best among products or narrow categories.
    basket : "order_id" or a customer's days such as ("customer_id", "1d")
        What counts as bought together.
    min_expected : float
        Pairs that chance would bring together in fewer baskets than this are left out: their test means little. What
        is left out does not depend on how often they did meet.
    min_ratio : float
        How often complements meet at the least, as a multiple of chance: 1 or more.
    max_ratio : float
        How often substitutes meet at the most, as a multiple of chance: 1 or less. With many baskets a ratio of 0.9 is
        beyond chance too, and says only that two items are for different shopping, as bread and flour are.
    min_customer_count : int
        Complements and substitutes are called so if at least so many customers bought both: one is a habit.
    alpha : float
        The share of false ones to be expected among the pairs called complements or substitutes.
    period : {"month", "quarter", "year"} or a number of days or weeks such as "28d", optional
        Compare only baskets of the same period, so that what is bought in different seasons is not taken for
        substitutes; needs ``timestamp``. Periods of days are counted back from the last day of the data. The shorter
        the period, the fewer baskets of a customer can be compared, and the fewer pairs are left.

    Returns
    -------
    dataframe of the kind that came in, one row per pair, from the strongest complement to the strongest substitute
        Sorted by ``z_score``, falling; pairs without one last.
        ``product_id`` and ``other_product_id`` (or as ``item`` is called; Int64 or String, the lesser id first),
        ``observed_count`` (Int64, baskets with both, of those that can be compared), ``expected_count`` (Float64, as
        many as chance would bring), ``ratio`` (Float64, ``observed_count / expected_count``), ``z_score`` (Float64,
        their difference in standard deviations; missing where chance has no choice), ``p_value`` (Float64, two-sided),
        ``adjusted_p_value`` (Float64, by Benjamini and Hochberg's method over all rows),
        ``customer_count`` (Int64, customers who bought both, ever), ``customer_share`` (Float64, of all customers),
        ``customer_lift`` (Float64, ``customer_count`` over what it would be if customers chose both independently),
        ``relation`` (String: "complement" if the pair meets more often than by chance, beyond doubt and
        ``ratio >= min_ratio``, "substitute" if less often, beyond doubt and ``ratio <= max_ratio``; else, or with too
        few customers, "unrelated").

    Raises
    ------
    SchemaError
        When ``basket`` is all that a customer bought, or ``period`` is not known.

    Warns
    -----
    DataQualityWarning
        When no pair is expected often enough.

    Notes
    -----
    Baskets of one item and baskets without another of the same customer and size (2-3 items, 4-7, 8-15, ...) say
    nothing and are not counted. In each of these strata, baskets have the items that they have, and chance deals them
    to baskets of these sizes; expectations and hypergeometric variances are summed over strata, as N. Mantel and W.
    Haenszel (1959), "Statistical aspects of the analysis of data from retrospective studies", do. Without the sizes, a
    customer's few big baskets would make complements of nearly everything: so what is measured is attraction beyond
    that of any other two items, and in an assortment of very few items there is nothing to compare with.

    Only customers who bought both items, and had a choice of baskets, say anything: substitutes are what the same
    customers buy in different baskets. In simulated baskets of independent items and very unlike sizes 5.4% of pairs
    had a p-value below 0.05. A substitute is a hint, not a proof: two package sizes of a product look alike and, where
    no ``period`` is given, two seasons' fruits. Customers who buy much buy more of everything: a ``customer_lift`` a
    little above 1 means little.

    In the gifts of Online Retail (UCI) 517 pairs are called substitutes, most of them things sold in different months.
    Within quarters one is left: more than half of the pairs cannot be compared there, and of the others the median
    ratio is 0.71, not 0.51, in too few baskets to be beyond doubt.

    Examples
    --------
    >>> import pandas as pd
    >>> weeks = ["pasta sauce tea", "tofu milk eggs", "pasta sauce eggs", "bread milk tea"]
    >>> lines = pd.DataFrame(
    ...     [(c, 10 * c + n, p) for c in range(12) for n, week in enumerate(weeks) for p in week.split()],
    ...     columns=["customer_id", "order_id", "product_id"],
    ... )
    >>> pair_table(lines)[["product_id", "other_product_id", "observed_count", "expected_count", "relation"]].head(2)
      product_id other_product_id  observed_count  expected_count    relation
    0      pasta            sauce              24        9.442623  complement
    1       eggs             milk              12        9.442623   unrelated
    """
    check_fraction(alpha, name="alpha", caller=CALLER)
    check_amount(min_expected, name="min_expected", caller=CALLER, positive=True)
    check_amount(min_ratio, name="min_ratio", caller=CALLER)
    check_amount(max_ratio, name="max_ratio", caller=CALLER)
    if not max_ratio <= 1 <= min_ratio:
        msg = (
            f"{CALLER}: min_ratio must be 1 or more and max_ratio 1 or less, got min_ratio={min_ratio!r} and "
            f"max_ratio={max_ratio!r}: complements meet more often than by chance, substitutes less often."
        )
        raise SchemaError(msg)
    check_count(min_customer_count, name="min_customer_count", caller=CALLER)
    if basket == "customer_id":
        msg = (
            f"{CALLER}: a customer's baskets are compared with one another, so basket='customer_id' has nothing to "
            "compare. Take basket='order_id' or basket=('customer_id', '1d')."
        )
        raise SchemaError(msg)
    table = Transactions.bind(transactions)
    table.need("customer_id", caller=CALLER)
    baskets = read_baskets(table, basket=basket, item=item, days=period is not None, caller=CALLER)
    pairs = _counted(baskets, min_expected, None if period is None else _periods(baskets, period))
    if not len(pairs.first):
        warn(
            f"{CALLER}: none of the {pairs.skipped:,} pairs that could meet is expected in {min_expected:g} baskets of "
            "customers with comparable ones. Take a broader item (item='category') or a longer time"
            f"{'' if period is None else ', or longer periods'}."
        )
    columns = _columns(baskets, pairs, item, (alpha, min_ratio, max_ratio, min_customer_count))
    return table_with_lists(table.engine, columns)


# -- inside --------------------------------------------------------------------------------------------------------


def _counted(baskets: Baskets, min_expected: float, period: NDArray[np.int64] | None) -> Pairs:
    from crmlytics._kernels.co_purchase import pair_counts

    owner = np.asarray(baskets.customer)
    return pair_counts(baskets.starts, baskets.items, owner, len(baskets.item_ids), min_expected, period=period)


def _periods(baskets: Baskets, period: Any) -> NDArray[np.int64]:
    """Return the number of the period of each basket; periods of days end with the last day on which one was bought."""
    day = np.asarray(baskets.day, np.int64)
    end = EPOCH + (day.max() + 1 if len(day) else 1)
    return period_numbers(baskets, period_grid(period, as_of=end.astype("datetime64[us]").item(), caller=CALLER))


def _columns(
    baskets: Baskets, pairs: Pairs, item: str, limits: tuple[float, float, float, int]
) -> dict[str, NDArray[Any]]:
    from scipy import stats

    from crmlytics._kernels.multiple_testing import benjamini_hochberg

    z_score = ratio_of(pairs.observed - pairs.expected, np.sqrt(pairs.variance))
    p_value = 2 * stats.norm.sf(np.abs(z_score))
    adjusted = benjamini_hochberg(p_value)
    customers, lift = _customers(baskets, pairs)
    ratio = pairs.observed / pairs.expected
    alpha, min_ratio, max_ratio, min_customer_count = limits
    told = (adjusted <= alpha) & (pairs.customers >= min_customer_count)
    relation = np.full(len(z_score), "unrelated", object)
    relation[told & (ratio >= min_ratio)] = "complement"
    relation[told & (ratio <= max_ratio)] = "substitute"
    order = np.empty(len(baskets.item_ids), np.int64)
    order[np.argsort(baskets.item_ids, kind="stable")] = np.arange(len(order))
    swapped = order[pairs.first] > order[pairs.second]
    lesser, greater = np.where(swapped, (pairs.second, pairs.first), (pairs.first, pairs.second))
    columns = {
        item: baskets.item_ids[lesser],
        f"other_{item}": baskets.item_ids[greater],
        "observed_count": pairs.observed,
        "expected_count": pairs.expected,
        "ratio": ratio,
        "z_score": z_score,
        "p_value": p_value,
        "adjusted_p_value": adjusted,
        "customer_count": pairs.customers,
        "customer_share": pairs.customers / max(customers, 1),
        "customer_lift": lift,
        "relation": relation,
    }
    rows = np.lexsort((order[greater], order[lesser], -z_score))  # NaN last
    return {name: values[rows] for name, values in columns.items()}


def _customers(baskets: Baskets, pairs: Pairs) -> tuple[int, NDArray[np.float64]]:
    """Return how many customers bought anything, and the lift of each pair among customers."""
    owner = np.asarray(baskets.customer)
    lines = np.repeat(owner, np.diff(baskets.starts)).astype(np.int64) * len(baskets.item_ids) + baskets.items
    buyers = np.bincount(np.unique(lines) % max(len(baskets.item_ids), 1), minlength=len(baskets.item_ids))
    customers = len(np.unique(owner))
    return customers, ratio_of(pairs.customers * customers, buyers[pairs.first] * buyers[pairs.second])
