"""From contacts and what customers did to one row per customer of a campaign: the table that results are read from."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect, columns_of, day_number
from crmlytics._validation import as_days, as_moment
from crmlytics.campaigns._experiment import CONTROL, CUSTOMER, word_of
from crmlytics.campaigns._reading import KEY, assigned, doings, read_tables, tell_silence, with_windows_over
from crmlytics.exceptions import SchemaError
from crmlytics.tables import Customers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crmlytics._contract import Contract

CALLER = "outcome_table"
COUNTS = ("order_count", "event_count")
AMOUNTS = ("revenue_amount", "margin_amount")
PRE = "pre_"
NO_ATTRIBUTES = ("customer_id", "account_id", "valid_from", "valid_to")
ALWAYS = dt.datetime(1, 1, 2)  # the first day that every engine can hold, whatever the zone


def outcome_table(
    contacts: Any,
    outcomes: Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str | dt.timedelta = "30d",
    pre_period: str | dt.timedelta = "90d",
    event: str | None = None,
    customers: Any = None,
    control: Any = CONTROL,
) -> Any:
    """Say what every customer of a campaign, contacted or held out, did after the contact and before it.

    Parameters
    ----------
    contacts : Contacts or dataframe
        Who was dealt to which arm, the control group among them: needs ``customer_id`` and ``timestamp`` (of the
        control group: of the assignment). Without ``campaign_id`` all contacts are of one campaign, ``"campaign"``;
        without ``arm`` all are ``"treated"``, and nothing tells what they would have done anyway.
    outcomes : Transactions or Events, or dataframe
        What may be the outcome: purchases, or page views, registrations and any other event. A dataframe with
        ``order_id`` is read as Transactions, one with ``event`` as Events.
    as_of : date or datetime
        Nothing at or after it is read.
    horizon : str, default "30d"
        How long after the contact an outcome counts: from the moment of the contact to the end of this many calendar
        days, that of the contact being the first.
    pre_period : str, default "90d"
        How long before the contact customers are described by the same figures, to make comparisons sharper.
    event : str, optional
        Which of the events is the outcome; all of them if not given.
    customers : Customers or dataframe, optional
        Attributes to add, as they stood at the contact where they are dated.
    control : str or number, default "control"
        How the arm of the control group is called.

    Returns
    -------
    dataframe of the kind that came in, one row per campaign and customer, sorted by both
        ``campaign_id``, ``customer_id``; ``arm`` (String); ``is_treated`` (Boolean, neither in the control group nor
        ``"not contacted"``, as :func:`comparison_contacts` calls those whom it adds);
        ``contacted_at`` (the first contact of the campaign); ``contact_count`` (Int64; 0 of those not treated);
        ``contact_cost_amount`` (Float64, of all contacts, where they have a ``cost``; 0 of those not treated);
        ``responded`` (Boolean, where contacts have it: to any of them); ``converted`` (Boolean, an order or event
        within the horizon); ``order_count`` or, of events, ``event_count`` (Int64); ``revenue_amount`` (Float64, less
        returns; where there are amounts); ``margin_amount`` (Float64, less ``cost``, of purchases that have one); the
        same figures of the period before the contact, as ``pre_converted``, ``pre_order_count``,
        ``pre_revenue_amount`` ...; then the attributes.

    Raises
    ------
    SchemaError
        If outcomes are neither purchases nor events, an arm is missing, a customer is in two arms of a campaign at the
        same moment, tables are of different kinds, or no window is over at ``as_of``.

    Warns
    -----
    DataQualityWarning
        Where windows are not over at ``as_of`` (these customers are left out); where the outcomes end long before the
        windows do, as an export that stops early; and where customers were contacted in several arms of one campaign:
        they stay in that of the first contact (intention to treat), since leaving them out would leave out the
        contacted more often than the others.

    Notes
    -----
    An order counts where its first line lies, with all its lines; one that only returns goods is no order, but its
    amount counts. An outcome before the contact is none: it describes the customer. Of dates without a time of day,
    orders of the day of the contact count as later.

    Examples
    --------
    >>> import pandas as pd
    >>> contacts = pd.DataFrame({
    ...     "customer_id": [1, 2, 3], "arm": ["offer", "control", "offer"],
    ...     "timestamp": pd.to_datetime(["2024-03-01", "2024-03-01", "2024-03-01"]),
    ... })
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 2, 3], "order_id": [11, 12, 13], "amount": [30.0, 20.0, 50.0],
    ...     "timestamp": pd.to_datetime(["2024-03-05", "2024-02-05", "2024-05-05"]),
    ... })
    >>> table = outcome_table(contacts, orders, as_of="2024-06-01")
    >>> print(table[["customer_id", "arm", "converted", "revenue_amount", "pre_revenue_amount"]].to_string())
       customer_id      arm  converted  revenue_amount  pre_revenue_amount
    0            1    offer       True            30.0                 0.0
    1            2  control      False             0.0                20.0
    2            3    offer      False             0.0                 0.0
    """
    moment = as_moment(as_of, caller=CALLER)
    windows = {"": as_days(horizon, caller=CALLER), PRE: as_days(pre_period, name="pre_period", caller=CALLER)}
    others = {} if customers is None else {"customers": Customers.bind(customers)}
    tables = read_tables(contacts, outcomes, caller=CALLER, **others)
    dealt = assigned(tables["contacts"].before(moment), word_of(control), caller=CALLER)
    dealt = with_windows_over(dealt, windows[""], moment, caller=CALLER)
    known = tables["outcomes"].before(moment)
    tell_silence(known, dealt, windows[""], caller=CALLER)
    table = _counted(dealt, *doings(known, event, caller=CALLER), windows)
    if "customers" in tables:
        table = _with_attributes(table, tables["customers"])
    return tables["contacts"].engine.to_native(table.sort(*KEY))


def _counted(
    dealt: nw.LazyFrame[Any], done: nw.LazyFrame[Any], figures: Mapping[str, str], windows: Mapping[str, int]
) -> nw.LazyFrame[Any]:
    """Add the figures of both windows: what nobody did is 0."""
    contacted = nw.col("contacted_at")
    pairs = dealt.select(*KEY, "contacted_at").join(done, on=CUSTOMER, how="inner")
    pairs = pairs.with_columns(_day=day_number(nw.col("_moment")) - day_number(contacted))
    is_in = {
        "": (nw.col("_moment") >= contacted) & (nw.col("_day") < windows[""]),
        PRE: (nw.col("_moment") < contacted) & (nw.col("_day") >= -windows[PRE]),
    }
    parts = {
        f"{prefix}{name}": nw.when(test).then(nw.col(column)).otherwise(nw.lit(0))
        for prefix, test in is_in.items()
        for name, column in figures.items()
    }
    sums = pairs.select(*KEY, **parts).group_by(*KEY).agg(*[nw.col(name).sum() for name in parts])
    table = dealt.join(sums, on=KEY, how="left")
    kinds = {name: nw.Int64 if name.removeprefix(PRE) in COUNTS else nw.Float64 for name in parts}
    table = table.with_columns(*[nw.col(name).fill_null(0).cast(kind) for name, kind in kinds.items()])
    count = next(iter(figures))
    of_contacts = {"contact_cost_amount": nw.col("contact_cost_amount"), "responded": nw.col("responded") > 0}
    shown = [read for name, read in of_contacts.items() if name in columns_of(dealt)]
    return table.select(
        *KEY, "arm", "is_treated", "contacted_at", "contact_count", *shown,
        (nw.col(count) > 0).alias("converted"), *figures,
        (nw.col(PRE + count) > 0).alias(PRE + "converted"), *[PRE + name for name in figures],
    )  # fmt: skip


# -- who they are --------------------------------------------------------------------------------------------------


def _with_attributes(table: nw.LazyFrame[Any], customers: Contract) -> nw.LazyFrame[Any]:
    """Add the attributes in force at the contact; of several rows in force, those of the one that began last."""
    names = [name for name in customers.columns if name not in NO_ATTRIBUTES]
    taken = [name for name in names if name in columns_of(table)]
    if taken:
        msg = f"{CALLER}: customers has columns called {taken}, like the result. Rename these first."
        raise SchemaError(msg)
    validity = [name for name in ("valid_from", "valid_to") if customers.has(name)]
    lines = customers.need(CUSTOMER, *validity, *names, caller=CALLER)
    if "valid_from" not in validity:
        return table.join(lines.select(CUSTOMER, *names), on=CUSTOMER, how="left")
    lines = table.select(*KEY, "contacted_at").join(lines, on=CUSTOMER, how="inner")
    lines = lines.with_columns(nw.col("valid_from").fill_null(ALWAYS))
    in_force = nw.col("valid_from") <= nw.col("contacted_at")
    if "valid_to" in validity:
        ends = nw.col("valid_to").is_null() | (nw.col("valid_to") > nw.col("contacted_at")).fill_null(value=False)
        in_force = in_force & ends
    lines = lines.filter(in_force)
    latest = lines.group_by(*KEY).agg(_latest=nw.col("valid_from").max())
    lines = lines.join(latest, on=KEY, how="inner").filter(nw.col("valid_from") == nw.col("_latest"))
    _check_one_row(lines)
    return table.join(lines.select(*KEY, *names), on=KEY, how="left")


def _check_one_row(lines: nw.LazyFrame[Any]) -> None:
    rows = lines.group_by(*KEY).agg(_rows=nw.len()).filter(nw.col("_rows") > 1)
    found = collect(rows.select(CUSTOMER).sort(CUSTOMER).head(1))
    if len(found):
        msg = (
            f"{CALLER}: customers has two rows that begin together for customer {found[CUSTOMER][0]!r}. Keep one row "
            "per customer and valid_from."
        )
        raise SchemaError(msg)
