"""Who may be contacted: consent, suppression and contact pressure, each customer under the first rule that applies."""

from __future__ import annotations

import numbers
from functools import reduce
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._contract import Contract
from crmlytics._frames import check_same_kind, columns_of, enter
from crmlytics._validation import as_moment, check_choice
from crmlytics.campaigns._experiment import check_columns, word_of
from crmlytics.campaigns._rows import refuse_mixed_ids
from crmlytics.campaigns.planning._consent import people_at, statements
from crmlytics.campaigns.planning._pressure import contact_pressure, read_rules
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.scoring._reading import with_whole_ids
from crmlytics.tables import Contacts, Customers, check_same_ids

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping

OPTED_OUT, NO_CONSENT, SUPPRESSED = "opted out", "no consent on record", "suppressed"
RECORDED, ASSURED = "recorded", "assured"


def eligibility_table(
    customers: Customers | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    contacts: Contacts | Any = None,
    channel: str | None = None,
    suppress: Any = None,
    at_most: Mapping[str, int] | None = None,
    consent: str = RECORDED,
    control: str = "control",
) -> Any:
    """Say of each customer whether a campaign may contact them, why not, and from when again.

    Parameters
    ----------
    customers : Customers or dataframe
        Needs ``customer_id``; ``consent`` (true or false) here or in ``contacts``. With ``valid_from`` the customers on
        record just before ``as_of`` are read, and what they said about consent until then.
    as_of : date
        The day to contact on; nothing at or after it is read.
    contacts : Contacts or dataframe, optional
        Past contacts: ``customer_id``, ``timestamp``; ``arm`` (those of the control group, and of the customers whom
        :func:`comparison_contacts` adds as ``"not contacted"``, were no contacts), ``consent`` (the answer to the
        contact: a no is an opt-out; missing where nobody answered), ``channel``.
    channel : str, optional
        Count only contacts of this channel for ``at_most``. An opt-out counts whatever its channel.
    suppress : ids or dataframe, optional
        Customers not to be contacted whatever they agreed to: a list of ids, or a dataframe with ``customer_id`` and,
        if there is one, ``reason``.
    at_most : dict of window to count, optional
        Contact pressure: ``{"7d": 1, "30d": 3}`` allows one contact within 7 days and three within 30.
    consent : {"recorded", "assured"}, default "recorded"
        ``"recorded"``: contact needs a yes on record; nothing on record is no yes. ``"assured"``: the caller answers
        for consent (another legal basis, say); a no on record is honoured all the same.
    control : str, default "control"
        The arm that is not contacted, as ``"not contacted"`` is in any case: a yes in its rows is no answer, a no
        counts.

    Returns
    -------
    dataframe of the kind that came in, one row per customer on record at ``as_of``, sorted by ``customer_id``
        ``customer_id``, ``is_eligible`` (Boolean), ``reason`` (String, the first that applies of ``"opted out"``,
        ``"no consent on record"``, ``"suppressed"`` or ``"suppressed: <reason>"``, ``"contacted too often in <n>d"``,
        the shortest window first; null if eligible). With ``contacts`` also ``contact_count_<n>d`` for every window
        (Int64, contacts in the n days before ``as_of``), ``last_contact_at`` (datetime, null without a contact) and,
        with ``at_most``, ``eligible_from`` (datetime, the first midnight at which contact pressure allows a contact if
        there is none until then; null where it allows one now).

    Raises
    ------
    MissingColumnsError
        When nothing tells who consented, or a role is missing.
    SchemaError
        When the tables are of different kinds or their ids are, or a rule cannot be read.

    Notes
    -----
    **A no counts until a later yes.** The latest answer in ``contacts`` and the dated rows of ``customers`` are one
    history; a yes and a no at the same moment are a no. A row of ``customers`` that only carries a yes on (because
    something else changed) is no new yes. Without ``valid_from`` nobody knows when ``customers`` was told yes or no:
    a no in it, and a no in ``contacts``, then stand whatever the other says.

    Without ``valid_from`` nobody knows who was a customer at ``as_of``, and everybody in the table comes back. Where
    it has the day of joining, type ``Customers(data, valid_from="joined_at")``.

    When not to use: this is bookkeeping, not legal advice. Whether a yes covers this channel and this purpose is for
    you to know; filter ``contacts`` and ``customers`` first where consent is given per channel.

    Examples
    --------
    >>> import pandas as pd
    >>> customers = pd.DataFrame({"customer_id": [1, 2, 3, 4], "consent": [True, True, True, False]})
    >>> contacts = pd.DataFrame({
    ...     "customer_id": [1, 2, 3], "campaign_id": "may",
    ...     "timestamp": pd.to_datetime(["2024-05-20", "2024-05-28", "2024-05-28"]), "arm": ["mail", "mail", "control"],
    ... })
    >>> table = eligibility_table(customers, as_of="2024-06-01", contacts=contacts, at_most={"7d": 1})
    >>> print(table[["customer_id", "is_eligible", "reason", "eligible_from"]].to_string())
       customer_id  is_eligible                     reason eligible_from
    0            1         True                        NaN           NaT
    1            2        False  contacted too often in 7d    2024-06-05
    2            3         True                        NaN           NaT
    3            4        False                  opted out           NaT
    """
    caller = "eligibility_table"
    moment = as_moment(as_of, caller=caller)
    check_choice(consent, [RECORDED, ASSURED], name="consent", caller=caller)
    people = Customers.bind(customers)
    log = None if contacts is None else Contacts.bind(contacts)
    control = word_of(control)
    rules = {} if at_most is None else read_rules(at_most, caller=caller)
    _check_tables(people, log, has_rules=bool(rules), consent=consent, caller=caller)
    log = None if log is None else log.before(moment)

    on_record = people_at(people, moment, caller=caller)
    said = statements(people, log, moment, control=control, caller=caller)
    parts = [part for part in (said, _suppressed(suppress, people, caller=caller)) if part is not None]
    tests = _consent_tests(consent, has_dates=said is not None)
    tests += [] if suppress is None else [(~nw.col("_suppressed").is_null(), nw.col("_suppressed"))]
    shown: list[Any] = []
    if log is not None:
        parts.append(contact_pressure(log, rules, moment, channel=channel, control=control, caller=caller))
        counts = {days: nw.col(f"contact_count_{days}d").fill_null(0).cast(nw.Int64) for days in rules}
        tests += [(counts[days] >= most, nw.lit(f"contacted too often in {days}d")) for days, most in rules.items()]
        shown = [*counts.values(), "last_contact_at", *(["eligible_from"] if rules else [])]
    plan = reduce(lambda one, part: one.join(part, on="customer_id", how="left"), parts, on_record)
    plan = plan.with_columns(reason=_first(tests))
    table = plan.select("customer_id", nw.col("reason").is_null().alias("is_eligible"), "reason", *shown)
    return people.to_native(table.sort("customer_id"))


def _consent_tests(consent: str, *, has_dates: bool) -> list[tuple[nw.Expr, nw.Expr]]:
    """Return when a customer has opted out, and when one has not opted in."""
    refuses, agrees = nw.col("_refuses") == 1, nw.col("_agrees") == 1
    if has_dates:
        agreed_later = (nw.col("_agreed_at") > nw.col("_refused_at")).fill_null(value=False)
        refuses = refuses | (~nw.col("_refused_at").is_null() & ~agreed_later)
        agrees = agrees | (nw.col("_answered_yes") == 1).fill_null(value=False)
    tests = [(refuses, nw.lit(OPTED_OUT))]
    return tests if consent == ASSURED else [*tests, (~agrees, nw.lit(NO_CONSENT))]


def _first(tests: list[tuple[nw.Expr, nw.Expr]]) -> nw.Expr:
    """Return the words of the first test that holds, null if none does."""
    nothing = nw.lit(None).cast(nw.String)
    return reduce(lambda rest, test: nw.when(test[0]).then(test[1]).otherwise(rest), reversed(tests), nothing)


def _check_tables(people: Customers, log: Contacts | None, *, has_rules: bool, consent: str, caller: str) -> None:
    """Check that the tables fit each other, and that somebody tells of consent."""
    if log is not None:
        check_same_kind({"customers": people.engine, "contacts": log.engine}, caller=caller)
        log.need("customer_id", "timestamp", caller=caller)
        check_same_ids([people, log], role="customer_id", caller=caller)
    elif has_rules:
        raise SchemaError(f"{caller}: at_most counts contacts. Give them: contacts=Contacts(...).")
    if consent == RECORDED and not people.has("consent") and (log is None or not log.has("consent")):
        msg = (
            f"{caller}: no consent column, so nobody is known to have agreed to be contacted. Name yours: "
            "Customers(data, consent='<your column>'); or, if you answer for consent otherwise, type "
            'consent="assured".'
        )
        raise MissingColumnsError(msg)


def _suppressed(suppress: Any, people: Customers, *, caller: str) -> nw.LazyFrame[Any] | None:
    """Return whom not to contact: ``customer_id`` and ``_suppressed``, the reason in words; None for nobody."""
    if suppress is None:
        return None
    if isinstance(suppress, (str, numbers.Number)):
        msg = f"{caller}: suppress must be a list of ids or a dataframe, such as suppress=[{suppress!r}]"
        raise SchemaError(f"{msg}, got {suppress!r}.")
    if isinstance(suppress, (list, tuple, set, frozenset, range)) or hasattr(suppress, "tolist"):
        suppress = _table_of_ids(suppress, people)
    if isinstance(suppress, Contract):  # under canonical names
        roles = [name for name in ("customer_id", "reason") if suppress.has(name)]
        suppress = suppress.to_native(suppress.need(*roles, caller=caller))
    where = f"{caller}(suppress)"
    plan, engine = enter(suppress, caller=where)
    names = columns_of(plan)
    check_columns(names, ["customer_id"], caller=where)
    check_same_kind({"suppress": engine, "customers": people.engine}, caller=caller)
    plan = with_whole_ids(plan, ["customer_id"], caller=where)
    kinds = {"suppress": {str(plan.collect_schema()["customer_id"])}, "customers": {people.id_kind("customer_id")}}
    refuse_mixed_ids("customer_id", kinds, caller=caller)
    words = nw.lit(SUPPRESSED)
    if "reason" in names:
        given = nw.concat_str(nw.lit(f"{SUPPRESSED}: "), nw.col("reason").cast(nw.String))
        words = nw.when(~nw.col("reason").is_null()).then(given).otherwise(words)
    return plan.with_columns(_suppressed=words).group_by("customer_id").agg(nw.col("_suppressed").max())


def _table_of_ids(ids: Any, people: Customers) -> Any:
    """Build a table, of the kind that ``customers`` is, from ids."""
    values = ids.tolist() if hasattr(ids, "tolist") else list(ids)
    if not values:
        kind: Any = nw.String() if people.id_kind("customer_id") == "String" else nw.Int64()
    elif isinstance(values[0], str):
        kind = nw.String()
    else:
        kind = nw.Float64() if any(isinstance(value, float) for value in values) else nw.Int64()
    return people.engine.from_columns({"customer_id": values}, nw.Schema({"customer_id": kind}))
