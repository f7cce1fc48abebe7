"""Where no control group was held out: customers who were not contacted, with a date to compare them from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, day_number
from crmlytics._lists import table_with_lists
from crmlytics._validation import as_days, as_moment, check_count, warn
from crmlytics.campaigns._experiment import CAMPAIGN, CUSTOMER, NOT_CONTACTED, TREATED, missing_arms, words_of
from crmlytics.campaigns._reading import read_tables
from crmlytics.decisions._campaign import _shares_of
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt

    import pandas as pd
    from numpy.typing import NDArray

    from crmlytics._contract import Contract

CALLER = "comparison_contacts"
MORE = ("cost", "responded")
NEVER = -(10**7)  # a day before all others


def comparison_contacts(
    contacts: Any,
    outcomes: Any,
    *,
    as_of: str | dt.date | dt.datetime,
    active_within: str | dt.timedelta | None = "365d",
    random_state: int = 0,
) -> Any:
    """Add to each campaign's contacts the customers whom it did not contact, to compare with.

    Each of them gets the date of one of the campaign's contacts, so that both groups are seen over the same weeks. The
    table goes into :func:`outcome_table`, and from there into :func:`matched_effect_table` or
    :func:`difference_in_differences_table`, with ``comparison="not contacted"``.

    Parameters
    ----------
    contacts : Contacts or dataframe
        Whom campaigns contacted: needs ``customer_id``, ``campaign_id`` and ``timestamp``.
    outcomes : Transactions or Events, or dataframe
        From which customers are known, as in :func:`outcome_table`.
    as_of : date or datetime
        Nothing at or after it is read.
    active_within : str, default "365d"
        Customers count who did anything in so many days before their date, contacted or not: of others nobody knows
        whether they are still there. None: in all the time before.
    random_state : int, default 0
        Fixes, together with the id, which date a customer gets.

    Returns
    -------
    dataframe of the kind of ``contacts``, one row per contact, sorted by campaign, customer and moment
        ``campaign_id``, ``customer_id``, ``timestamp``; ``arm`` (String, ``"not contacted"`` for those added,
        ``"treated"`` for all others where contacts have no arm); ``cost`` (Float64) and ``responded`` (Boolean), where
        contacts have them.

    Raises
    ------
    SchemaError, MissingColumnsError
        When a role is missing, tables are of different kinds, or no customer is left to compare with.

    Warns
    -----
    DataQualityWarning
        When contacted customers are left out, since they were not active before.

    Notes
    -----
    Who is in the comparison was not contacted by this campaign, but perhaps by another at the same time: then the
    comparison is with what you do otherwise, not with silence.

    Examples
    --------
    >>> import pandas as pd
    >>> day = pd.Timestamp("2024-03-01")
    >>> contacts = pd.DataFrame({"customer_id": [1], "campaign_id": ["spring"], "timestamp": [day]})
    >>> orders = pd.DataFrame({"customer_id": [1, 2], "order_id": [1, 2], "amount": 9.0, "timestamp": "2024-02-01"})
    >>> orders["timestamp"] = pd.to_datetime(orders["timestamp"])
    >>> print(comparison_contacts(contacts, orders, as_of="2024-06-01").to_string())
      campaign_id  customer_id  timestamp            arm
    0      spring            1 2024-03-01        treated
    1      spring            2 2024-03-01  not contacted
    """
    moment = as_moment(as_of, caller=CALLER)
    check_count(random_state, name="random_state", caller=CALLER, least=0)
    days = None if active_within is None else as_days(active_within, name="active_within", caller=CALLER)
    tables = read_tables(contacts, outcomes, caller=CALLER)
    made = _contacts(tables["contacts"].before(moment))
    active = _active_days(tables["outcomes"].before(moment))
    rows = _with_others(made, active, days, random_state)
    return table_with_lists(tables["contacts"].engine, _columns(rows))


def _contacts(contacts: Contract) -> pd.DataFrame:
    """Return the contacts, every one in an arm."""
    roles = [role for role in ("arm", *MORE) if contacts.has(role)]
    plan = contacts.need(CAMPAIGN, CUSTOMER, "timestamp", *roles, caller=CALLER)
    rows = collect(plan.sort(CAMPAIGN, CUSTOMER, "timestamp")).to_pandas().reset_index(drop=True)
    if not len(rows):
        raise SchemaError(f"{CALLER}: no contact lies before as_of.")
    if "arm" in roles and rows["arm"].isna().any():
        raise SchemaError(missing_arms(int(rows["arm"].isna().sum()), "contacts", caller=CALLER))
    rows["arm"] = words_of(rows["arm"]) if "arm" in roles else TREATED
    rows["timestamp"] = rows["timestamp"].astype("datetime64[us]")
    return rows


def _active_days(outcomes: Contract) -> pd.DataFrame:
    """Return on which days each customer did anything."""
    lines = outcomes.need(CUSTOMER, "timestamp", caller=CALLER)
    days = lines.select(CUSTOMER, day=day_number(nw.col("timestamp"))).unique().sort(CUSTOMER, "day")
    return collect(days).to_pandas()


def _with_others(made: pd.DataFrame, active: pd.DataFrame, days: int | None, seed: int) -> pd.DataFrame:
    """Return the contacts of active customers, and below them the dates of the others."""
    import pandas as pd

    ids = active[CUSTOMER].drop_duplicates().to_numpy()
    share = _shares_of(ids, seed)
    parts = [made]
    for campaign, contacts in made.groupby(CAMPAIGN, sort=True):
        free = ~np.isin(ids, contacts[CUSTOMER].to_numpy())
        moments = np.sort(contacts.drop_duplicates(CUSTOMER)["timestamp"].to_numpy())
        dates = moments[(share[free] * len(moments)).astype(np.int64)]
        others = {CAMPAIGN: campaign, CUSTOMER: ids[free], "timestamp": dates, "arm": NOT_CONTACTED}
        parts.append(pd.DataFrame(others, columns=list(others)))
    rows = pd.concat(parts, ignore_index=True)
    kept = _is_active(rows, active, days)
    _tell(rows["arm"].to_numpy(), kept)
    return rows[kept].sort_values([CAMPAIGN, CUSTOMER, "timestamp"], kind="stable").reset_index(drop=True)


def _is_active(rows: pd.DataFrame, active: pd.DataFrame, days: int | None) -> NDArray[np.bool_]:
    """Whether a customer did anything in the days before the date, that day itself not counted."""
    import pandas as pd

    both = pd.concat([active[CUSTOMER], rows[CUSTOMER]], ignore_index=True)
    codes = pd.factorize(both, sort=True)[0].astype(np.int64)
    known, asked = codes[: len(active)], codes[len(active) :]
    day = active["day"].to_numpy(np.int64)
    date = rows["timestamp"].to_numpy().astype("datetime64[D]").astype(np.int64)
    order = np.lexsort((day, known))
    known, day = known[order], day[order]
    span = 2 * abs(NEVER)
    place = np.searchsorted(known * span + day, asked * span + date) - 1
    is_own = (place >= 0) & (known[place] == asked)
    last = np.where(is_own, day[place], NEVER)
    return np.asarray(last > NEVER if days is None else last >= date - days)


def _tell(arms: NDArray[Any], kept: NDArray[np.bool_]) -> None:
    """Refuse what leaves nobody to compare; warn of contacts left out."""
    is_other = arms == NOT_CONTACTED
    for which, words in ((is_other, "customer who was not contacted"), (~is_other, "contacted customer")):
        if not (kept & which).any():
            msg = f"{CALLER}: no {words} was active before. Take a longer active_within, or None."
            raise SchemaError(msg)
    lost = int((~kept & ~is_other).sum())
    if lost:
        warn(
            f"{CALLER}: {lost:,} of {int((~is_other).sum()):,} contacts are left out: these customers were not active "
            "before, so there is nothing to compare them by. active_within=None takes in whoever ever was."
        )


def _columns(rows: pd.DataFrame) -> dict[str, NDArray[Any]]:
    """Return the columns as results have them."""
    columns = {name: rows[name].to_numpy() for name in (CAMPAIGN, CUSTOMER)}
    columns = {name: values if values.dtype.kind == "i" else values.astype(object) for name, values in columns.items()}
    columns |= {"timestamp": rows["timestamp"].to_numpy(), "arm": rows["arm"].to_numpy(object)}
    if "cost" in rows:
        columns["cost"] = rows["cost"].to_numpy(np.float64, na_value=np.nan)
    if "responded" in rows:
        columns["responded"] = rows["responded"].fillna(value=False).to_numpy(bool)
    return columns
