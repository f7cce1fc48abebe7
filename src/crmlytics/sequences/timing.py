"""How long until the next purchase: the usual interval of each customer or item, when each is due, who is overdue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._purchase_days import CUSTOMER, as_moments, check_by, read_purchases, tell_silence
from crmlytics._validation import LONGEST_DAYS, as_days, check_choice, check_count, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._timing import (
    FAMILIES,
    INTERVAL,
    NOON,
    dates_within,
    effects,
    fit_renewal,
    likelier,
    probability_within,
    spells_between,
)

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.renewal import Spells
    from crmlytics._purchase_days import Purchases
    from crmlytics.sequences._timing import Vector
    from crmlytics.tables import Transactions


def interval_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    by: str | tuple[str, str] = "customer_id",
    family: str = "auto",
) -> Any:
    """Measure how long it takes each customer to buy again, or each item to be bought again by the same customer.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp``, ``amount`` and the roles that ``by`` names.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.
    by : "customer_id", an item such as "product_id", or ("customer_id", "product_id")
        Whose intervals are meant: those between any purchases of a customer; those between purchases of an item by the
        same customer, over all its customers; or those of each customer and item. An item is a ``product_id``,
        ``category``, ``channel`` or ``partner_id``.
    family : {"auto", "weibull", "log-logistic"}
        The law of intervals; by default the likelier one. See Notes.

    Returns
    -------
    dataframe of the kind that came in, one row per key, sorted by key
        The columns of ``by`` (Int64 or String); ``interval_count`` (Int64, intervals that ended before ``as_of``);
        ``waiting_count`` (Int64, customers who bought and have not yet bought again; 1 where the key has a customer);
        ``median_interval_days`` (Float64, of this key's intervals alone; for items by Kaplan and Meier's method, with
        those who still wait, and null if fewer than half ever came back); ``usual_interval_days`` (Float64, the median
        interval once what is known of all others, and the time waited now, is mixed in: see Notes);
        ``interval_days_low`` and ``interval_days_high`` (Float64, between which a whole interval lies with a
        probability of 80 %). These three are null if longer than a century (36,525 days).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date that cannot be read, a ``by`` that is none, or when nobody bought twice.

    Warns
    -----
    DataQualityWarning
        When nobody bought anything for more than a week before ``as_of``, and for longer than ever before.

    Notes
    -----
    A purchase is a day on which more was bought than returned (or goods were free): several orders of a day are one.
    What comes back on another day cancels nothing. An ``as_of`` within a day counts that day as seen to its end.

    *Partial pooling.* Two intervals of 10 days do not make a customer with a habit of 10 days. The intervals of a key
    are drawn towards those of all keys, the more the fewer it has; the data say how much. Where ``by`` names customer
    and item, they are drawn towards what is usual for this item and this customer. ``usual_interval_days`` is there for
    keys without any interval, too.

    *Families.* ``"weibull"``: the chance of buying grows (or falls) steadily while waiting; the rates of keys are Gamma
    distributed. ``"log-logistic"``: the chance first grows and then falls, as of customers who may have left; the
    logarithms of the keys' medians are normally distributed. Both have three parameters and are fitted by maximum
    likelihood, together with the times still waited, to 50,000 spells if there are more. On CDNOW, Online Retail and
    the Complete Journey the log-logistic law is the likelier one by far.

    The times that customers wait now are part of what is told here: short intervals end before ``as_of`` more often
    than long ones, and without the waits every interval would look too short. In :func:`due_table` and
    :func:`overdue_table` the column of the same name leaves the wait of now out, since there the wait is measured by
    it; so it is lower than here for who has waited long. How regular keys are, and how much they differ, tells
    :func:`interval_law_table`.

    When not to use: for the value of customers and whether they are still active take :mod:`crmlytics.clv`.

    Examples
    --------
    >>> import pandas as pd
    >>> days = {"a": [0, 7, 14, 20, 28, 35], "b": [0, 30, 62], "c": [5]}
    >>> orders = pd.DataFrame([(who, day) for who in days for day in days[who]], columns=["customer_id", "day"])
    >>> orders["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(orders["day"], unit="D")
    >>> table = interval_table(orders.assign(amount=1.0), as_of="2024-03-06")
    >>> table[["customer_id", "interval_count", "median_interval_days", "usual_interval_days"]].round(1)
      customer_id  interval_count  median_interval_days  usual_interval_days
    0           a               5                   7.0                  8.4
    1           b               2                  31.0                 30.8
    2           c               0                   NaN                 94.1
    """
    caller = "interval_table"
    check_choice(family, FAMILIES, name="family", caller=caller)
    ids, spells, pace, engine = _read(transactions, as_of, by, caller=caller)
    at_pace = spells.divided(pace)
    model = fit_renewal(at_pace, family)
    known, none = model.posterior(at_pace), np.zeros(spells.keys)
    low, high = (model.left(known, none, none + (1 + side * INTERVAL) / 2) for side in (1, -1))
    columns = ids | {
        "interval_count": spells.counts(),
        "waiting_count": np.bincount(spells.key[~spells.ended], minlength=spells.keys),
        "median_interval_days": _medians(spells.completed() if CUSTOMER in ids else spells),
        "usual_interval_days": _within_a_century(pace * model.typical(known)),
        "interval_days_low": _within_a_century(pace * low),
        "interval_days_high": _within_a_century(pace * high),
    }
    return table_with_lists(engine, columns)


def interval_law_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    by: str | tuple[str, str] = "customer_id",
) -> Any:
    """Tell how regular the intervals of a customer (or an item) are, and how much customers differ.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp``, ``amount`` and the roles that ``by`` names.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.
    by : "customer_id", an item such as "product_id", or ("customer_id", "product_id")
        Whose intervals are meant, as in :func:`interval_table`.

    Returns
    -------
    dataframe of the kind that came in, one row per family of laws: "weibull", "log-logistic"
        ``family`` (String); ``is_chosen`` (Boolean, the likelier one, which ``family="auto"`` takes in
        :func:`interval_table`, :func:`due_table` and :func:`overdue_table`); ``log_likelihood`` (Float64, both have
        three parameters); ``median_interval_days`` (Float64, of the key in the middle; null if longer than a century);
        ``interval_shape`` (Float64, how regular the intervals of one key are); ``key_spread`` (Float64, how much keys
        differ: the standard deviation of the natural logarithms of their median intervals); ``key_count`` and
        ``spell_count`` (Int64, keys, and intervals of theirs that ended or still run).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date that cannot be read, a ``by`` that is none, or when nobody bought twice.

    Warns
    -----
    DataQualityWarning
        When nobody bought anything for more than a week before ``as_of``, and for longer than ever before.

    Notes
    -----
    *Shape*. Of ten intervals of one key, eight lie within a factor of 9^(1/shape) of its median, up and down, by the
    log-logistic law: a factor of 9 with a shape of 1, of 3 with 2, of 1.2 with 12. With Weibull's law a shape of 1 is
    blind chance (the purchase is as likely on any day), above are regular customers, below those who buy in bursts.

    *Spread*. Of ten keys, eight have a median within a factor of exp(1.28 spread) of that of the middle one (for
    Weibull's law about so): 2.8 with a spread of 0.8. Near 0 all keys are alike, and one reminder day does for all.

    The log-logistic shape is 1 / sigma and its spread tau, the median exp(mu); of Weibull's law with Gamma(r) rates the
    shape is k, the spread the root of psi'(r), divided by k. Where ``by`` names customer and item, the pace of the item
    and of the customer is divided out before: the spread is what is left.

    When not to use: with fewer than some thirty intervals the three numbers are hardly known.

    Examples
    --------
    >>> import pandas as pd
    >>> days = {"a": [0, 7, 14, 20, 28, 35], "b": [0, 30, 62], "c": [5]}
    >>> orders = pd.DataFrame([(who, day) for who in days for day in days[who]], columns=["customer_id", "day"])
    >>> orders["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(orders["day"], unit="D")
    >>> table = interval_law_table(orders.assign(amount=1.0), as_of="2024-03-06")
    >>> table[["family", "is_chosen", "median_interval_days", "spell_count"]].round(1)
             family  is_chosen  median_interval_days  spell_count
    0       weibull      False                  26.4           10
    1  log-logistic       True                  29.0           10
    """
    _, spells, pace, engine = _read(transactions, as_of, by, caller="interval_law_table")
    models = [fit_renewal(spells.divided(pace), family) for family in FAMILIES[1:]]
    chosen = likelier(models)
    columns = {
        "family": np.array(FAMILIES[1:], object),
        "is_chosen": np.array([model is chosen for model in models]),
        "log_likelihood": np.array([model.log_likelihood for model in models]),
        "median_interval_days": _within_a_century(np.array([model.middle for model in models])),
        "interval_shape": np.array([model.shape for model in models]),
        "key_spread": np.array([model.spread for model in models]),
        "key_count": np.full(len(models), spells.keys),
        "spell_count": np.full(len(models), len(spells.key)),
    }
    return table_with_lists(engine, columns)


def due_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str | dt.timedelta,
    by: str | tuple[str, str] = "customer_id",
    family: str = "auto",
) -> Any:
    """Say when each customer is due to buy next (or to buy an item again), and how late they are.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp``, ``amount`` and the item that ``by`` names.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.
    horizon : duration such as "30d"
        How far ``purchase_probability`` looks.
    by : "customer_id" or ("customer_id", "product_id")
        Any purchase of the customer, or each item that the customer bought before: a ``product_id``, ``category``,
        ``channel`` or ``partner_id``.
    family : {"auto", "weibull", "log-logistic"}
        The law of intervals; by default the likelier one. See :func:`interval_table`.

    Returns
    -------
    dataframe of the kind that came in, one row per customer (and item), sorted by key
        The columns of ``by`` (Int64 or String); ``purchase_count`` (Int64, days with a purchase); ``last_date``
        (Datetime, the day of the last one); ``days_since_last`` (Int64, calendar days from it to ``as_of``);
        ``usual_interval_days`` (Float64, the median interval by the intervals that ended, drawn towards what is usual;
        the time waited now, which :func:`interval_table` counts, is left out); ``overdue_probability`` (Float64, the
        probability that one of the customer's usual intervals would have ended by now); ``purchase_probability``
        (Float64, of a purchase within ``horizon``); ``expected_date`` (Datetime, the day by which it has happened as
        likely as not), ``expected_date_low`` and ``expected_date_high`` (Datetime, the purchase falls between them with
        a probability of 80 %). Dates are never before ``as_of``, and null if farther than a century.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date or duration that cannot be read, a ``by`` that is none, or when nobody bought twice.

    Warns
    -----
    DataQualityWarning
        When nobody bought anything for more than a week before ``as_of``, and for longer than ever before.

    Notes
    -----
    A purchase is a day on which more was bought than returned; what comes back on another day cancels nothing. An
    ``as_of`` within a day counts that day as seen to its end.

    What is expected is told from the time waited so far: someone with intervals of 10 days who has waited for 40 is not
    due yesterday, but either changed the habit or left; with the log-logistic law the expected date then moves away.

    *How right it is.* Learnt before and checked after a cut-off, share of customers predicted to buy and share that
    did:

    ======================================  ========  ========  ========  ========  ========
    purchases so far                        1         2         3-4       5-9       10+
    ======================================  ========  ========  ========  ========  ========
    CDNOW, 273 d from 1997-10-01            .24, .15  .43, .38  .60, .58  .77, .77  .89, .93
    Online Retail, 122 d from 2011-08-09    .43, .43  .59, .63  .74, .80  .88, .93  .97, .99
    Complete Journey, 92 d from 2017-10-01  .72, .43  .73, .62  .78, .73  .89, .90  .98, .98
    ======================================  ========  ========  ========  ========  ========

    The law knows no goodbye. Where many buy once and leave for good, as on CDNOW and in a loyalty programme, the
    probability of those with one or two purchases is too high and their dates too early; for who is still a customer
    take the models with dropout of :mod:`crmlytics.clv`. Before ``expected_date_low`` came 8 %, 8 % and 4 % of all
    customers of the three (10 % promised); by ``expected_date`` 51, 52 and 52 % (50 % promised) of those whose date lay
    within the time checked, which few dates of customers with a single purchase do.

    *Items.* The probability of an item bought once is too high, since people try and seasons end. Customers and
    products of Online Retail over the same 122 days: .18 predicted and .14 bought again after one purchase, .38 and .35
    after two, right from three on; but .63 and .51 of the eighth with the highest probabilities, and 20 % too many
    purchases in all. For which item comes next take :class:`NextPurchaseModel`.

    Examples
    --------
    >>> import pandas as pd
    >>> days = {"a": [0, 7, 14, 20, 28, 35], "b": [0, 30, 62], "c": [5]}
    >>> orders = pd.DataFrame([(who, day) for who in days for day in days[who]], columns=["customer_id", "day"])
    >>> orders["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(orders["day"], unit="D")
    >>> table = due_table(orders.assign(amount=1.0), as_of="2024-03-06", horizon="30d")
    >>> table[["customer_id", "days_since_last", "expected_date", "expected_date_low"]]
      customer_id  days_since_last expected_date expected_date_low
    0           a               30    2024-03-13        2024-03-06
    1           b                3    2024-04-03        2024-03-17
    2           c               60    2024-04-24        2024-03-12
    >>> table["purchase_probability"].round(2).tolist()
    [0.9, 0.54, 0.36]
    """
    caller = "due_table"
    days = as_days(horizon, caller=caller)
    purchases, due, engine = _due(transactions, as_of, by, family, float(days), caller=caller)
    order = ("usual_interval_days", "overdue_probability", "purchase_probability", *DATES)
    return table_with_lists(engine, _described(purchases) | {name: due[name] for name in order})


def overdue_table(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    by: str | tuple[str, str] = "customer_id",
    min_purchase_count: int = 3,
    threshold: float = 0.9,
    family: str = "auto",
) -> Any:
    """List the customers who are past their own usual interval: who buys every week and has not come for three.

    "No purchase for 90 days" calls the customer who comes twice a year lost, every time, and finds the weekly one
    eleven weeks too late. Here each customer is measured by the intervals of their own.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp``, ``amount`` and the item that ``by`` names.
    as_of : date
        The day described from; lines on or after it are left out, so nothing leaks from the future.
    by : "customer_id" or ("customer_id", "product_id")
        Overdue with any purchase, or with an item: a ``product_id``, ``category``, ``channel`` or ``partner_id``.
    min_purchase_count : int
        The fewest days with a purchase that make a habit.
    threshold : float
        The probability that a usual interval would have ended by now, from which on somebody is overdue. With 0.9,
        about one interval in ten of a customer who keeps the habit is called overdue before it ends.
    family : {"auto", "weibull", "log-logistic"}
        The law of intervals; by default the likelier one. See :func:`interval_table`.

    Returns
    -------
    dataframe of the kind that came in, one row per overdue customer (and item), sorted by key
        The columns of ``by`` (Int64 or String); ``purchase_count`` (Int64, days with a purchase); ``last_date``
        (Datetime, the day of the last one); ``days_since_last`` (Int64, calendar days from it to ``as_of``);
        ``usual_interval_days`` (Float64, as in :func:`due_table`: without the time waited now); ``overdue_days``
        (Float64, ``days_since_last`` less that); ``overdue_ratio`` (Float64, ``days_since_last`` divided by it);
        ``overdue_probability`` (Float64, at least ``threshold``); ``expected_date`` (Datetime, the day by which they
        come back as likely as not, given that they have waited so long; null if farther than a century).

    Raises
    ------
    SchemaError, MissingColumnsError
        For a date that cannot be read, a ``by`` that is none, or when nobody bought twice.

    Warns
    -----
    DataQualityWarning
        When nobody bought anything for more than a week before ``as_of``, and for longer than ever before.

    Notes
    -----
    With S the probability that a usual interval lasts longer (given the customer's completed intervals and those of
    everybody else), ``overdue_probability`` is 1 - S(``days_since_last``). Irregular customers need a longer silence
    than regular ones with the same usual interval.

    Everybody who left is overdue for ever. To win back those who can be won, sort by ``overdue_ratio`` and begin with
    the least, or keep those whose ``expected_date`` is near.

    Examples
    --------
    >>> import pandas as pd
    >>> days = {"a": [0, 7, 14, 20, 28, 35], "b": [0, 30, 62], "c": [5]}
    >>> orders = pd.DataFrame([(who, day) for who in days for day in days[who]], columns=["customer_id", "day"])
    >>> orders["timestamp"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(orders["day"], unit="D")
    >>> table = overdue_table(orders.assign(amount=1.0), as_of="2024-03-06")
    >>> table[["customer_id", "days_since_last", "usual_interval_days", "overdue_ratio"]].round(1)
      customer_id  days_since_last  usual_interval_days  overdue_ratio
    0           a               30                  7.3            4.1
    """
    caller = "overdue_table"
    check_count(min_purchase_count, name="min_purchase_count", caller=caller, least=2)
    check_fraction(threshold, name="threshold", caller=caller)
    purchases, due, engine = _due(transactions, as_of, by, family, None, caller=caller)
    columns = _described(purchases)
    usual, since = due["usual_interval_days"], columns["days_since_last"]
    columns |= {
        "usual_interval_days": usual,
        "overdue_days": since - usual,
        "overdue_ratio": since / usual,
        "overdue_probability": due["overdue_probability"],
        "expected_date": due["expected_date"],
    }
    rows = (columns["purchase_count"] >= min_purchase_count) & (due["overdue_probability"] >= threshold)
    return table_with_lists(engine, {name: values[rows] for name, values in columns.items()})


# -- inside --------------------------------------------------------------------------------------------------------

DATES = ("expected_date", "expected_date_low", "expected_date_high")


def _due(
    transactions: Any, as_of: Any, by: Any, family: str, horizon: float | None, *, caller: str
) -> tuple[Purchases, dict[str, NDArray[Any]], Any]:
    """Read, fit and predict: the histories and what is expected of each."""
    names = check_by(by, caller=caller)
    check_choice(family, FAMILIES, name="family", caller=caller)
    purchases, engine = read_purchases(transactions, as_of=as_of, by=names, caller=caller)
    tell_silence(purchases, as_of, caller=caller)
    spells = _spells(purchases, np.arange(len(purchases)), len(purchases), caller=caller)
    pace, waited = _pace(spells, purchases, names), _waited(purchases)
    model = fit_renewal(spells.divided(pace), family)
    known = model.posterior(spells.completed().divided(pace))  # what waiting says comes in by the condition on it
    found = {
        "usual_interval_days": pace * model.typical(known),
        "overdue_probability": 1 - model.survival(known, waited / pace),
    }
    if horizon is not None:
        found["purchase_probability"] = probability_within(model, known, waited, horizon, pace)
    for name, days in zip(DATES, dates_within(model, known, waited, None, pace)[1:], strict=True):
        found[name] = np.where(days < 0, np.datetime64("NaT"), as_moments(purchases.watched + 1 + days))
    return purchases, found, engine


def _read(
    transactions: Any, as_of: Any, by: Any, *, caller: str
) -> tuple[dict[str, NDArray[Any]], Spells, Vector, Any]:
    """Read the spells of each key, also of items: the ids of the keys, their spells and pace."""
    names = check_by(by, caller=caller, items=True)
    purchases, engine = read_purchases(transactions, as_of=as_of, by=names, caller=caller)
    tell_silence(purchases, as_of, caller=caller)
    key, ids = _keys(purchases, names)
    spells = _spells(purchases, key, len(next(iter(ids.values()))), caller=caller)
    return ids, spells, _pace(spells, purchases, names), engine


def _keys(purchases: Purchases, names: tuple[str, ...]) -> tuple[NDArray[np.int64], dict[str, NDArray[Any]]]:
    """Return the number of each history's key, and the ids of the keys."""
    if CUSTOMER in names:
        return np.arange(len(purchases)), {name: purchases.ids[name] for name in names}
    _, first = np.unique(purchases.item, return_index=True)
    return purchases.item, {names[0]: purchases.ids[names[0]][first]}


def _waited(purchases: Purchases) -> Vector:
    return np.asarray(purchases.watched - purchases.last() + NOON, np.float64)


def _spells(purchases: Purchases, key: NDArray[np.int64], keys: int, *, caller: str) -> Spells:
    if len(purchases.day) == len(purchases):
        again = "anything" if len(purchases.ids) == 1 else "the same item"
        msg = f"{caller}: nobody bought {again} on two days before as_of, so no interval is known. Take longer data."
        raise SchemaError(msg)
    return spells_between(purchases.starts, purchases.day, _waited(purchases), key, keys)


def _pace(spells: Spells, purchases: Purchases, names: tuple[str, ...]) -> Vector:
    """Return how many times longer than usual the intervals of each key are, by its item and its customer."""
    pace = np.ones(spells.keys)
    if len(names) == 2:
        groups = (purchases.item, purchases.customer)
        for group, effect in zip(groups, effects(spells, *groups), strict=True):
            pace = pace * np.exp(effect)[group]
    return pace


def _within_a_century(days: Vector) -> Vector:
    return np.where(days <= LONGEST_DAYS, days, np.nan)


def _medians(spells: Spells) -> Vector:
    """Return the median of each key's intervals; NaN if it has none, or fewer than half of its spells ended."""
    from crmlytics._kernels.kaplan_meier import kaplan_meier

    whole = np.where(spells.ended, spells.time, np.maximum(spells.time - NOON, 0.0))
    return kaplan_meier(whole, spells.ended, spells.key, spells.keys).median()


def _described(purchases: Purchases) -> dict[str, NDArray[Any]]:
    last = purchases.last()
    return purchases.ids | {
        "purchase_count": purchases.counts(),
        "last_date": as_moments(last),
        "days_since_last": purchases.today - last,
    }
