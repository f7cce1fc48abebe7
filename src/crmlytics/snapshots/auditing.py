"""The leakage auditor: whether a table to learn from knows what happens after its cutoff."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._validation import as_days, as_moment, read_length
from crmlytics.exceptions import SchemaError
from crmlytics.snapshots import _audit_checks as checks
from crmlytics.snapshots._audit_panel import CALLER, NOT_CHECKED, SEVERITIES, Finding, Panel, read_panel
from crmlytics.snapshots._snapshots import Snapshots
from crmlytics.tables import Customers, Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable, Sequence

    from crmlytics._frames import Engine

SCHEMA = nw.Schema({name: nw.String() for name in Finding._fields})
KEY = ("customer_id", "cutoff")


def audit_leakage(
    panel: Snapshots | Any,
    *,
    target: str,
    key: str | Sequence[str] = KEY,
    features: Sequence[str] | None = None,
    horizon: str | dt.timedelta | None = None,
    gap: str | dt.timedelta = "0d",
    splits: Iterable[Any] | None = None,
    transactions: Transactions | Any = None,
    customers: Customers | Any = None,
) -> Any:
    """Look for features that know the outcome, and for tests that know the training: before the model is believed.

    Parameters
    ----------
    panel : Snapshots or dataframe, one row per customer, or per customer and cutoff
        Of :class:`Snapshots` everything below but ``target`` is known, and its features are also computed without the
        future, as :func:`audit_features` does.
    target : str
        The column of the outcome: true or false, 1 or 0.
    key : str or two names, default ("customer_id", "cutoff")
        The customer and the cutoff. ``key="customerID"`` for a table without cutoffs, ``key=()`` for one without
        either.
    features : list of str, optional
        The columns that a model would be given; by default all but ``target`` and ``key``. Name them where the panel
        has other labels.
    horizon, gap : str or timedelta
        The label window is [cutoff + gap, cutoff + gap + horizon).
    splits : list of (train, test) row positions, optional
        What ``cv=`` is given, or a scikit-learn splitter's ``.split(...)``.
    transactions : Transactions or dataframe, optional
        The order lines the features were computed from.
    customers : Customers or dataframe, optional
        The table the attributes were taken from.

    Returns
    -------
    dataframe of the kind that came in, one row per finding, errors first, then by ``check`` and ``column``
        ``check`` (String, see Notes), ``severity`` (String), ``column`` (String, null for the table as a whole),
        ``evidence`` (String, the numbers seen), ``repair`` (String, what to do). An ``"error"`` makes an evaluation
        worthless; a ``"warning"`` is a question that only you can answer; ``"passed"`` says what was looked at, and
        ``"not checked"`` what to pass so that it is.

    Raises
    ------
    SchemaError, MissingColumnsError
        For a column that is not there, an outcome that is not true or false or never changes, cutoffs that are no
        dates, ``splits`` that are no pairs of positions.

    Notes
    -----
    =======================  ==========================================================================================
    check                    what it looks for
    =======================  ==========================================================================================
    near-perfect feature     one column whose AUC alone, as quantile bins, words and gaps, is at least 0.95 (error), at
                             least 0.80, or at least 0.75 and 0.10 above the next best (warning)
    telling value            a word, a number of few, a gap or its absence with which only one outcome occurs, in at
                             least 20 rows and with a chance below 1e-6; an error if it is the rarer outcome and at
                             least 5 % of it: a field filled in afterwards
    dated after the cutoff   dates at or after the cutoff, days below zero
    cutoff day               recencies of 0 days at a midnight cutoff; columns that equal a sum, count or date of orders
                             through the cutoff day
    later facts              columns that equal a sum, count, mean, largest line or date of the orders through the label
                             window or the whole history, or rank customers as it does (by a logarithm, say), and not
                             one before the cutoff
    as of today              columns that no cutoff changes (an error if their name speaks of orders), names such as
                             ``current_plan`` or ``churn_reason`` (warning)
    attributes               attributes of a table of customers without ``valid_from`` (warning), or that are not those
                             in force just before the cutoff (error)
    label windows            training rows with a cutoff above test cutoff - gap - horizon; without cutoffs, customers
                             on both sides
    identical rows           rows that repeat another one in everything, of a table without a key at least 5 % (warning)
    =======================  ==========================================================================================

    It finds what can be seen. A column that a clerk fills in a little later, only for some, looks like a good feature:
    ask when each one is written. And an honest column may be as good as a leak: a warning is not a verdict.

    References
    ----------
    Kaufman S., Rosset S., Perlich C., Stitelman O. (2012). Leakage in data mining: formulation, detection, and
    avoidance. ACM Transactions on Knowledge Discovery from Data 6(4). Kapoor S., Narayanan A. (2023). Leakage and the
    reproducibility crisis in machine-learning-based science. Patterns 4(9).

    Examples
    --------
    >>> import pandas as pd
    >>> panel = pd.DataFrame({
    ...     "customer_id": range(100), "cutoff": pd.Timestamp("2024-05-01"), "age": [20, 30, 40, 50, 60] * 20,
    ...     "closed_on": pd.to_datetime(["2024-05-20", None] * 50), "churned": [True, False] * 50,
    ... })
    >>> table = audit_leakage(panel, target="churned")
    >>> table.loc[table["severity"] == "error", ["check", "column"]]
                        check     column
    0  dated after the cutoff  closed_on
    1    near-perfect feature  closed_on
    2           telling value  closed_on
    """
    if isinstance(panel, Snapshots):
        return _audit_snapshots(panel, target)
    names = (key,) if isinstance(key, str) else tuple(key)
    gap_days = read_length(gap, name="gap", caller=CALLER).days
    horizon_days = None if horizon is None else as_days(horizon, caller=CALLER)
    read, engine = read_panel(panel, target, names, features=features, gap_days=gap_days, horizon_days=horizon_days)
    findings = _from_panel(read) + _from_splits(read, splits)
    findings += _from_transactions(read, transactions) + _from_customers(read, customers)
    return _table(findings, engine)


def audit_features(
    build: Callable[[Transactions, dt.datetime], Any],
    transactions: Transactions | Any,
    *,
    cutoff: str | dt.date | dt.datetime,
) -> Any:
    """Take the future away and see whether the features change: the one check that no leak of orders escapes.

    Parameters
    ----------
    build : function of (Transactions, datetime)
        Your own code: returns a dataframe with ``customer_id`` and the features at the cutoff, one row per customer.
    transactions : Transactions or dataframe, one row per order line
        Needs lines at or after the cutoff: they are what is taken away.
    cutoff : date

    Returns
    -------
    dataframe of the kind that came in, as of :func:`audit_leakage`
        One row for each feature that changes, ``"cutoff day"`` where the lines of that day alone do it and
        ``"later facts"`` for the rest, or one row ``"passed"``.

    Raises
    ------
    SchemaError
        When no line lies at or after the cutoff, or before it; when ``build`` returns no ``customer_id`` or several
        rows of one.

    Notes
    -----
    ``build`` is called three times: with all lines, with those before the cutoff, and with those before the midnight
    after it. Numbers are the same when they agree to a millionth.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "a", "b"], "order_id": [1, 2, 3], "amount": [10.0, 5.0, 7.0],
    ...     "timestamp": pd.to_datetime(["2024-01-10", "2024-03-01", "2024-01-20"]),
    ... })
    >>> def spent(transactions, cutoff):
    ...     lines = transactions.need("customer_id", "amount", caller="spent").collect().to_native()
    ...     return lines.groupby("customer_id", as_index=False)["amount"].sum()
    >>> audit_features(spent, orders, cutoff="2024-02-01")[["check", "severity", "column"]]
             check severity  column
    0  later facts    error  amount
    """
    from crmlytics.snapshots._audit_history import poisoned

    caller = "audit_features"
    moment = as_moment(cutoff, name="cutoff", caller=caller)
    table = Transactions.bind(transactions)
    if not callable(build):
        msg = f"{caller}: build must be a function of (transactions, cutoff) that returns features, got {build!r}."
        raise SchemaError(msg)
    _check_both_sides(table, moment, caller)
    return _table(poisoned(build, table, moment, caller), table.engine)


# -- inside --------------------------------------------------------------------------------------------------------


def _audit_snapshots(snapshots: Snapshots, target: str) -> Any:
    from crmlytics.snapshots._audit_history import poisoned

    gap, horizon = snapshots.gap, snapshots.horizon
    panel, names = snapshots.panel_table(), snapshots.feature_names
    read, engine = read_panel(panel, target, KEY, features=names, gap_days=gap.days, horizon_days=horizon.days)
    splits = None
    if len(snapshots.cutoffs) > 1 and snapshots.cutoffs[-1] - snapshots.cutoffs[0] >= gap + horizon:
        splits = snapshots.splits()
    findings = _from_panel(read) + _from_splits(read, splits)
    findings += _from_transactions(read, snapshots.transactions) + _from_customers(read, snapshots.customers)

    def rebuilt(transactions: Transactions, cutoff: dt.datetime) -> Any:
        until = cutoff + gap + horizon  # the future that was taken away counts as seen
        then = replace(snapshots, transactions=transactions, cutoffs=cutoff, observed_until=until)
        return then.features_table(cutoff)

    findings += poisoned(rebuilt, snapshots.transactions, snapshots.cutoffs[0], CALLER)
    return _table(findings, engine)


def _from_panel(panel: Panel) -> list[Finding]:
    looks = (
        checks.near_perfect, checks.telling_levels, checks.dated_later, checks.cutoff_day, checks.same_at_every_cutoff,
        checks.telling_names, checks.identical_rows,
    )  # fmt: skip
    return [finding for look in looks for finding in look(panel)]


def _from_splits(panel: Panel, splits: Iterable[Any] | None) -> list[Finding]:
    if splits is None:
        evidence = "which rows train and which test is not known"
        if panel.cutoff is not None and len(cutoffs := np.unique(panel.cutoff)) > 1:
            every = int(np.diff(cutoffs).min().astype("timedelta64[D]").astype(int))
            evidence += f"; cutoffs lie {every} days apart, so random folds would share label windows"
        return [Finding("label windows", NOT_CHECKED, None, evidence, "Pass splits=, and horizon= and gap=.")]
    pairs = _read_splits(splits, len(panel.outcome))
    if panel.cutoff is not None and panel.horizon_days is None:
        msg = f'{CALLER}: with splits= say how long the label window is, such as horizon="90d".'
        raise SchemaError(msg)
    return checks.label_windows(panel, pairs)


def _read_splits(splits: Iterable[Any], rows: int) -> list[Any]:
    try:
        pairs = [(np.asarray(train), np.asarray(test)) for train, test in splits]
        whole = all(_is_positions(side, rows) for pair in pairs for side in pair)
    except (TypeError, ValueError):
        pairs, whole = [], False
    if not pairs or not whole:
        msg = (
            f"{CALLER}: splits must be pairs (train, test) of row positions from 0 to {rows - 1:,}, such as "
            "snapshots.splits() or list(KFold(5).split(panel))."
        )
        raise SchemaError(msg)
    return pairs


def _is_positions(side: Any, rows: int) -> bool:
    return side.dtype.kind in "iu" and side.size > 0 and 0 <= side.min() <= side.max() < rows


def _from_transactions(panel: Panel, transactions: Any) -> list[Finding]:
    from crmlytics.snapshots._audit_history import later_facts

    if transactions is None or panel.cutoff is None:
        repair = (
            "Pass transactions= (and a panel with customer and cutoff), or try audit_features(build, transactions)."
        )
        return [Finding("later facts", NOT_CHECKED, None, "the order lines are not known", repair)]
    return later_facts(panel, Transactions.bind(transactions))


def _from_customers(panel: Panel, customers: Any) -> list[Finding]:
    from crmlytics.snapshots._audit_history import attributes

    if customers is None or panel.cutoff is None:
        repair = "If features come from a table of customers, pass customers= and a panel with customer and cutoff."
        return [Finding("attributes", NOT_CHECKED, None, "no table of customers is known", repair)]
    return attributes(panel, Customers.bind(customers))


def _check_both_sides(transactions: Transactions, cutoff: dt.datetime, caller: str) -> None:
    from crmlytics._frames import collect

    moment = nw.col("timestamp")
    lines = transactions.need("timestamp", caller=caller)
    found = collect(lines.select(first=moment.min(), last=moment.max())).row(0)
    first, last = (as_moment(value, name="timestamp", caller=caller) for value in found)
    if not first < cutoff <= last:
        msg = (
            f"{caller}: cutoff={cutoff:%Y-%m-%d} must have lines on both sides, and they run from {first:%Y-%m-%d} "
            f"to {last:%Y-%m-%d}. Take a cutoff in between: the future is what is taken away."
        )
        raise SchemaError(msg)


def _table(findings: list[Finding], engine: Engine) -> Any:
    """Give findings as a table, each once: errors first, then by check and column."""
    ordered = sorted(dict.fromkeys(findings), key=lambda f: (SEVERITIES.index(f.severity), f.check, f.column or ""))
    columns = {name: [getattr(finding, name) for finding in ordered] for name in Finding._fields}
    return engine.from_columns(columns, SCHEMA)
