"""Differentiate customers by what they are worth and by what they could be worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_fraction, did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.value._reading import KEY, best_first, over, read_amounts, settled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

VALUABLE, GROWABLE, STEADY, BELOW_ZERO = "most valuable", "most growable", "low maintenance", "below zero"
GROUPS = (VALUABLE, GROWABLE, STEADY, BELOW_ZERO)
TIERS = {VALUABLE: 0.2, GROWABLE: 0.2}
ACTIONS = {
    VALUABLE: "keep: serve them first, and watch for signs of leaving",
    GROWABLE: "grow: find out what they buy elsewhere, and offer it",
    STEADY: "serve at low cost: self-service and standard offers",
    BELOW_ZERO: "cut the loss: charge for service, lower its cost, or let go",
}


def value_matrix_table(
    values: Any,
    *,
    current: str,
    potential: str,
    tiers: Mapping[str, float] | None = None,
    key: str = KEY,
) -> Any:
    """Set what each customer is worth against what they could be worth, and say what to do with them.

    Parameters
    ----------
    values : dataframe, one row per customer
        Needs ``key`` and the two columns. A customer of whom one is missing is left out, with a warning.
    current : str
        The column of what the customer is worth today: the contribution of a year, not the revenue, or nobody is below
        zero.
    potential : str
        The column of what the customer could be worth over the same time, in all: an estimate such as today's
        contribution over the share of wallet. Not what could be added.
    tiers : mapping of str to float, optional
        The shares of customers that are "most valuable" and "most growable". Default: ``{"most valuable": 0.2,
        "most growable": 0.2}``.
    key : str, default "customer_id"
        The column with the id of the customer.

    Returns
    -------
    dataframe of the kind that came in, one row per customer, sorted by the key
        The key, ``current_amount``, ``potential_amount``, ``growth_amount`` (Float64, ``potential - current``),
        ``current_rank``, ``growth_rank`` (Int64, 1 the largest; ties by id), ``value_group`` and ``action`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When columns are missing, hold no numbers or are all missing, or a tier is no share.

    Notes
    -----
    Peppers and Rogers (2016), "Managing customer experience and relationships", chapter 5. The first that holds:

    * "below zero": neither worth anything today nor ever, both amounts below zero;
    * "most valuable": in the top share by current value, and above zero;
    * "most growable": in the top share of all customers by growth, and above zero;
    * "low maintenance": everybody else.

    The most valuable may be growable, too: look at ``growth_rank``. An action is a place to start, not a decision:
    what is below zero today may be new (see the age of the customer) or cost too much by our own fault. The groups are
    as good as ``potential``, which nobody has observed: try them with it a third lower.

    Examples
    --------
    >>> import pandas as pd
    >>> values = pd.DataFrame({
    ...     "customer_id": ["a", "b", "c", "d", "e"], "year": [90.0, 20.0, 10.0, -5.0, -8.0],
    ...     "wallet": [95.0, 80.0, 12.0, 4.0, -2.0],
    ... })
    >>> value_matrix_table(values, current="year", potential="wallet")[["customer_id", "growth_amount", "value_group"]]
      customer_id  growth_amount      value_group
    0           a            5.0    most valuable
    1           b           60.0    most growable
    2           c            2.0  low maintenance
    3           d            9.0  low maintenance
    4           e            6.0       below zero
    """
    caller = "value_matrix_table"
    shares = _check_tiers(tiers, caller=caller)
    read = read_amounts(values, [current, potential], key=key, name="values", caller=caller)
    read = read.known(what=f"{current!r} or {potential!r}", caller=caller)
    today, could = read.columns[current], read.columns[potential]
    current_rank, growth_rank = _ranks(today), _ranks(could - today)
    most = {name: int(np.ceil(share * len(today) - 1e-9)) for name, share in shares.items()}
    conditions = [
        (settled(today) < 0) & (settled(could) < 0),
        (settled(today) > 0) & (current_rank <= most[VALUABLE]),
        (settled(could - today) > 0) & (growth_rank <= most[GROWABLE]),
    ]
    group = np.select(conditions, [BELOW_ZERO, VALUABLE, GROWABLE], STEADY).astype(object)
    columns = {
        key: read.ids,
        "current_amount": today,
        "potential_amount": could,
        "growth_amount": could - today,
        "current_rank": current_rank,
        "growth_rank": growth_rank,
        "value_group": group,
        "action": np.array([ACTIONS[name] for name in group], object),
    }
    return table_with_lists(read.engine, columns)


def value_group_table(matrix: Any, *, key: str = KEY) -> Any:
    """Add up the groups of a value matrix: how many customers, what they are worth, what they could be.

    Parameters
    ----------
    matrix : dataframe
        What :func:`value_matrix_table` returned.
    key : str, default "customer_id"
        The column with the id of the customer.

    Returns
    -------
    dataframe of the kind that came in, one row per group, also where there is nobody
        ``value_group`` (String, "most valuable", "most growable", "low maintenance", "below zero"), ``customer_count``
        (Int64), ``customer_share``, ``current_amount``, ``potential_amount``, ``growth_amount`` (Float64, sums),
        ``current_share`` (Float64, of all current value; null where that is not above zero), ``action`` (String).

    Raises
    ------
    SchemaError, MissingColumnsError
        When it is another table.

    Examples
    --------
    >>> import pandas as pd
    >>> values = pd.DataFrame({"customer_id": ["a", "b"], "year": [90.0, 20.0], "wallet": [95.0, 80.0]})
    >>> groups = value_group_table(value_matrix_table(values, current="year", potential="wallet"))
    >>> groups[["value_group", "customer_count", "current_amount", "growth_amount"]]
           value_group  customer_count  current_amount  growth_amount
    0    most valuable               1            90.0            5.0
    1    most growable               1            20.0           60.0
    2  low maintenance               0             0.0            0.0
    3       below zero               0             0.0            0.0
    """
    caller = "value_group_table"
    names = ["current_amount", "potential_amount", "growth_amount"]
    engine, group, amounts = read_matrix(matrix, names, key=key, caller=caller)
    code = np.array([GROUPS.index(name) for name in group], np.int64)
    count = np.bincount(code, minlength=len(GROUPS))
    sums = {name: np.bincount(code, values, len(GROUPS)) for name, values in amounts.items()}
    columns = {
        "value_group": np.array(GROUPS, object),
        "customer_count": count,
        "customer_share": count / len(code),
        **sums,
        "current_share": over(sums["current_amount"], float(sums["current_amount"].sum())),
        "action": np.array(list(ACTIONS.values()), object),
    }
    return table_with_lists(engine, columns)


def read_matrix(matrix: Any, names: list[str], *, key: str, caller: str) -> tuple[Any, NDArray[Any], dict[str, Vector]]:
    """Read back what :func:`value_matrix_table` returned: its kind, the groups and some amounts."""
    from crmlytics._frames import columns_of, enter
    from crmlytics.decisions._campaign import read_rows

    there = columns_of(enter(matrix, caller=caller)[0])
    missing = [name for name in ("value_group", *names) if name not in there]
    if missing:
        msg = f"{caller} reads the result of value_matrix_table(...): no columns {missing} in {there}."
        raise MissingColumnsError(msg)
    engine, _, rows = read_rows(matrix, key=key, columns=["value_group", *names], name="matrix", caller=caller)
    group = rows["value_group"].to_numpy(dtype=object)
    unknown = sorted({str(name) for name in group} - set(GROUPS))
    if unknown:
        raise SchemaError(f"{caller}: value_group holds {unknown}, expected {list(GROUPS)}.")
    return engine, group, {name: rows[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in names}


def _ranks(amounts: Vector) -> NDArray[np.int64]:
    ranks = np.empty(len(amounts), np.int64)
    ranks[best_first(amounts)] = np.arange(1, len(amounts) + 1)
    return ranks


def _check_tiers(tiers: Any, *, caller: str) -> dict[str, float]:
    """Read the shares of the two tiers that are cut by rank."""
    if tiers is None:
        return TIERS
    if not hasattr(tiers, "items"):
        msg = (
            f'{caller}: tiers must be a mapping such as tiers={{"{VALUABLE}": 0.2, "{GROWABLE}": 0.2}}, got {tiers!r}.'
        )
        raise SchemaError(msg)
    for name in tiers:
        if name not in TIERS:
            msg = f"{caller}: tiers has {name!r}.{did_you_mean(name, TIERS)} Tiers cut by a share: {list(TIERS)}."
            raise SchemaError(msg)
    return TIERS | {
        name: check_fraction(share, name=f"tiers[{name!r}]", caller=caller) for name, share in tiers.items()
    }
