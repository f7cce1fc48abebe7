"""How loyal customers are: what they do, what they give elsewhere, and what they say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import columns_of, compute, enter
from crmlytics._lists import table_with_lists
from crmlytics._validation import as_days, as_moment, did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Customers, Transactions
from crmlytics.value._answers import (
    INTERVAL,
    check_ratings,
    group_of,
    joinable,
    last_answers,
    numbers_of,
    purchases,
    tell_unmatched,
)
from crmlytics.value._checks import is_empty, no_line
from crmlytics.value._reading import settled

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Measure = tuple[str, float, float, float, int, str]

ALL = "all"


def nps_table(survey: Any, *, rating: str = "rating", by: str | None = None) -> Any:
    """Count promoters, passives and detractors, and say how sure their net score is.

    Parameters
    ----------
    survey : dataframe, one row per answer
        The answers to be counted, each customer's last for instance; an answer that is missing is none.
    rating : str, default "rating"
        The column of the answers to "how likely is it that you would recommend us?", whole numbers from 0 to 10.
    by : str, optional
        A column of groups that are scored apart, such as segments; a missing one is no group.

    Returns
    -------
    dataframe of the kind that came in, one row per group, sorted by its name; one row without ``by``
        ``group`` (String; "all" without ``by``), ``answer_count`` (Int64), ``promoter_count`` (9 and 10),
        ``passive_count`` (7 and 8), ``detractor_count`` (0 to 6; Int64), ``promoter_share``, ``passive_share``,
        ``detractor_share`` (Float64), ``nps_score`` (Float64, -100 to 100: ``100 x (promoters - detractors) /
        answers``), ``nps_score_low``, ``nps_score_high`` (Float64, its 95 % interval).

    Raises
    ------
    SchemaError, MissingColumnsError
        When there is no answer, or one off the scale.

    Notes
    -----
    Reichheld (2003), "The one number you need to grow", Harvard Business Review 81(12). The interval is the score
    interval of Tango (1998) for a difference of two shares of the same answers; it also holds when all agree. A hundred
    answers leave about 15 points to either side: most changes from quarter to quarter are none. Who answers is not
    everybody, and no interval knows it. The score throws away what 6 and 0, 7 and 8 tell apart; later studies found it
    no better at foretelling growth than satisfaction (Keiningham et al. 2007, Journal of Marketing 71(3)).

    Examples
    --------
    >>> import pandas as pd
    >>> answers = pd.DataFrame({"rating": [10, 9, 9, 8, 7, 3]})
    >>> table = nps_table(answers)
    >>> table[["promoter_count", "passive_count", "detractor_count", "nps_score", "nps_score_low"]].round(1)
       promoter_count  passive_count  detractor_count  nps_score  nps_score_low
    0               3              2                1       33.3          -31.1
    """
    caller = "nps_table"
    wanted = [rating] if by is None else [rating, by]
    frame, engine = enter(survey, caller=caller)
    there = columns_of(frame)
    missing = [name for name in wanted if name not in there]
    if missing:
        msg = f"{caller} needs {missing}.{did_you_mean(missing[0], there)} Columns: {there}"
        raise MissingColumnsError(msg)
    rows = compute(survey, caller=caller).select(*wanted).to_pandas()
    ratings = check_ratings(rows[rating], name=rating, caller=caller)
    answered = ~np.isnan(ratings)
    if by is not None:
        answered &= rows[by].notna().to_numpy(dtype=bool)
    if not answered.any():
        raise SchemaError(f"{caller}: {rating!r} holds no answer in {len(rows):,} rows. Expected numbers from 0 to 10.")
    names = np.full(answered.sum(), ALL, object) if by is None else rows[by][answered].astype(str).to_numpy(object)
    return table_with_lists(engine, _scores(names, group_of(ratings[answered])))


def loyalty_measure_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    period: str | dt.timedelta = "365d",
    survey: Any = None,
    wallet: Any = None,
) -> Any:
    """Put the measures of loyalty side by side, each with its interval: behaviour first, words second.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``.
    as_of : date
        The day described from; lines and answers on or after it are left out.
    period : duration such as "365d" or "12w", default "365d"
        The length of the last period, and of the one before that it is held against.
    survey : Events or dataframe, one row per answer, optional
        Needs ``customer_id``, ``timestamp`` and ``rating`` (0 to 10). The last answer of each customer counts.
    wallet : Customers or dataframe, one row per customer, optional
        Needs ``customer_id`` and ``wallet_amount`` (above zero): what the customer spent on such goods in the last
        period in all, here and elsewhere, as a survey or a panel says.

    Returns
    -------
    dataframe of the kind that came in, one row per measure, in this order
        ``measure`` (String, below), ``value``, ``value_low``, ``value_high`` (Float64, the measure and its 95 %
        interval; null where there is nobody to measure, and where nothing varies),
        ``customer_count`` (Int64, of how many), ``meaning`` (String).

        * ``repeat_customer_share``: of customers with an order, those with two or more (Wilson's interval);
        * ``retained_customer_share``: of customers with an order in the period before the last, those with one in the
          last (Wilson's interval);
        * ``orders_per_customer`` and ``tenure_days``: means (Student's interval, corrected for skewness), the tenure
          from the day of the first order to ``as_of``;
        * with ``wallet`` ``wallet_share``: revenue of the last period over the wallets of the same customers (Fieller's
          interval), of customers with an order before ``as_of``;
        * with ``survey`` ``nps_score``: as in :func:`nps_table`, of all who answered.

    Raises
    ------
    SchemaError, MissingColumnsError
        When nobody ordered before ``as_of``, or a wallet or an answer cannot be one.

    Warns
    -----
    DataQualityWarning
        When customers of ``wallet`` did not order and are left out, or spent more here than their whole wallet.

    Notes
    -----
    Means: Hall (1992), Journal of the Royal Statistical Society B 54(1); ratios: Fieller (1954), ibid. B 16(2).
    Measured: of negative binomial counts of orders the 95 % interval held the true mean in 93 % of bases of 10
    customers, 94 % of 30 and 95 % of 100; of log-normal wallets the true share in 98 %, 97 % and 95 %.

    ``repeat_customer_share`` and ``tenure_days`` grow with the age of the data: compare bases of the same age. Tenure
    counts those who left long ago: it is the age of the relationship, not how long it lived (see the survival curves of
    churn). Who brought whom is told by :func:`referral_table`.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b", "c"], "order_id": [1, 2, 3, 4], "amount": [50.0, 30.0, 15.0, 5.0],
    ...     "timestamp": pd.to_datetime(["2023-02-01", "2024-01-20", "2023-01-10", "2024-01-30"]),
    ... })
    >>> table = loyalty_measure_table(orders, as_of="2024-02-01")
    >>> table[["measure", "value", "customer_count"]].round(2)
                       measure   value  customer_count
    0    repeat_customer_share    0.33               3
    1  retained_customer_share    0.00               1
    2      orders_per_customer    1.33               3
    3              tenure_days  251.33               3
    """
    caller = "loyalty_measure_table"
    end, days = as_moment(as_of, caller=caller), as_days(period, name="period", caller=caller)
    table = Transactions.bind(transactions).before(end)
    rows = purchases(table, end=end, days=days, caller=caller)
    if not len(rows):
        if is_empty(table.need("timestamp", caller=caller)):
            raise no_line(end, caller=caller)
        raise SchemaError(f"{caller}: nobody ordered before as_of={end:%Y-%m-%d}. Check the sign of amount.")
    found = _behaviour(rows)
    found += [_wallet_share(wallet, table, rows, caller=caller)] if wallet is not None else []
    found += [_said(last_answers(survey, table, before=end, caller=caller))] if survey is not None else []
    columns: dict[str, Any] = {"measure": np.array([row[0] for row in found], object)}
    for place, name in enumerate(("value", "value_low", "value_high"), start=1):
        columns[name] = np.array([row[place] for row in found], np.float64)
    columns["customer_count"] = np.array([row[4] for row in found], np.int64)
    columns["meaning"] = np.array([row[5] for row in found], object)
    return table_with_lists(table.engine, columns)


# -- measures ------------------------------------------------------------------------------------------------------


def _scores(names: NDArray[Any], group: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
    from crmlytics._kernels.net_scores import net_score_interval

    groups, code = np.unique(names, return_inverse=True)
    count = np.bincount(3 * code + group, minlength=3 * len(groups)).reshape(-1, 3)
    answers, (detractors, passives, promoters) = count.sum(axis=1), count.T
    low, high = net_score_interval(promoters, detractors, answers, INTERVAL)
    return {
        "group": groups.astype(object),
        "answer_count": answers,
        "promoter_count": promoters,
        "passive_count": passives,
        "detractor_count": detractors,
        "promoter_share": promoters / answers,
        "passive_share": passives / answers,
        "detractor_share": detractors / answers,
        "nps_score": 100 * (promoters - detractors) / answers,
        "nps_score_low": 100 * low,
        "nps_score_high": 100 * high,
    }


def _behaviour(rows: pd.DataFrame) -> list[Measure]:
    before = rows["previous_orders"] > 0
    repeated, retained = int((rows["order_count"] > 1).sum()), int((rows["current_orders"][before] > 0).sum())
    orders, tenure = numbers_of(rows, "order_count", "tenure_days").T
    return [
        _share("repeat_customer_share", repeated, len(rows), "customers with two orders or more, of those with one"),
        _share("retained_customer_share", retained, int(before.sum()), "ordered in the last period, of those before"),
        _mean("orders_per_customer", orders, 1.0, "orders of a customer, on average"),
        _mean("tenure_days", tenure, 0.0, "days since the first order, on average"),
    ]


def _wallet_share(wallet: Any, table: Transactions, rows: pd.DataFrame, *, caller: str) -> Measure:
    from crmlytics._frames import collect

    wallets = Customers.bind(wallet).validate()  # a customer twice would count twice
    joinable(table, wallets, name="wallet", caller=caller)
    given = collect(wallets.need("customer_id", "wallet_amount", caller=caller)).to_pandas()
    given = given[given["wallet_amount"].notna()]
    both = rows.merge(given, on="customer_id").sort_values("customer_id")
    amount, whole = numbers_of(both, "current_amount", "wallet_amount").T
    if not len(both) or not (whole > 0).all() or not np.isfinite(whole).all():
        msg = (
            f"{caller}: wallet_amount must be above zero for some customers of transactions, and for each it is given "
            f"for; got {len(both):,} customers in both tables, {int((~(whole > 0)).sum()):,} of them not above zero."
        )
        raise SchemaError(msg)
    tell_unmatched(len(given) - len(both), len(given), "of wallet had not ordered before as_of", caller=caller)
    beyond = int((settled(amount - whole) > 0).sum())
    if beyond:
        warn(f"{caller}: {beyond:,} customers spent more here than their whole wallet_amount.")
    return _ratio("wallet_share", amount, whole, "revenue of the last period, of what its customers spent anywhere")


def _said(answers: pd.DataFrame) -> Measure:
    meaning = "promoters less detractors, per hundred who answered"
    if not len(answers):
        return ("nps_score", np.nan, np.nan, np.nan, 0, meaning)
    ratings = numbers_of(answers, "rating")[:, 0]
    scores = _scores(np.full(len(ratings), ALL, object), group_of(ratings))
    value, low, high = (float(scores[name][0]) for name in ("nps_score", "nps_score_low", "nps_score_high"))
    return ("nps_score", value, low, high, len(ratings), meaning)


def _share(name: str, count: int, total: int, meaning: str) -> Measure:
    from crmlytics._kernels.proportions import wilson

    low, high = (float(bound) for bound in wilson(np.array(count), np.array(total), INTERVAL))
    return (name, count / total if total else np.nan, low, high, total, meaning)


def _mean(name: str, values: Vector, least: float, meaning: str) -> Measure:
    """Average values that cannot be below ``least``, and so cannot their mean."""
    from crmlytics._kernels.like_for_like import mean_interval

    _, low, high = mean_interval(values, np.zeros(len(values), np.int64), 1, INTERVAL)
    return (name, float(values.mean()), float(np.maximum(low[0], least)), float(high[0]), len(values), meaning)


def _ratio(name: str, above: Vector, below: Vector, meaning: str) -> Measure:
    """Divide two sums over customers; no interval where so few are there that the sum below might be any."""
    from scipy import special

    from crmlytics._kernels.panel_effects import ratio_interval

    found, customers = None, len(above)
    if customers > 1:
        covariance = np.cov(above, below) / customers
        critical = float(special.stdtrit(customers - 1, (1 + INTERVAL) / 2))
        found = ratio_interval(float(above.mean()), float(below.mean()), covariance, critical)
    return (name, float(above.sum() / below.sum()), *(found or (np.nan, np.nan)), customers, meaning)
