"""How often customers were contacted lately, and when the rules allow the next contact."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from functools import reduce
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import day_number
from crmlytics._validation import as_days, check_count
from crmlytics.campaigns._reading import is_contact
from crmlytics.exceptions import SchemaError
from crmlytics.snapshots._sources import is_since, per_customer, window_flags

if TYPE_CHECKING:
    from crmlytics.tables import Contacts

DAY = dt.timedelta(days=1)


def read_rules(at_most: Any, *, caller: str) -> dict[int, int]:
    """Read ``{"7d": 1, "30d": 3}`` as the most contacts by days, the shortest window first."""
    if not isinstance(at_most, Mapping):
        msg = f'{caller}: at_most must map windows to contacts, such as at_most={{"7d": 1, "30d": 3}}, got {at_most!r}.'
        raise SchemaError(msg)
    days = {window: as_days(window, name="a window of at_most", caller=caller) for window in at_most}
    if len(set(days.values())) < len(days):
        raise SchemaError(f"{caller}: at_most has one window twice: {list(at_most)}. Give each once.")
    most = {days[window]: check_count(most, name=f"at_most[{window!r}]", caller=caller)
            for window, most in at_most.items()}  # fmt: skip
    return dict(sorted(most.items()))


def contact_pressure(
    contacts: Contacts, rules: Mapping[int, int], moment: dt.datetime, *, channel: Any, control: str, caller: str
) -> nw.LazyFrame[Any]:
    """Count each customer's contacts, which end before ``moment``, in the window of every rule.

    Returns
    -------
    LazyFrame, one row per customer with a contact
        ``contact_count_<days>d`` (Int64), ``last_contact_at``, ``eligible_from`` (the first midnight at which no rule
        forbids a contact; null where none does now).
    """
    lines = _contacts(contacts, channel=channel, control=control, caller=caller)
    more = {"last_contact_at": nw.col("timestamp").max()}
    if rules:
        latest_first = nw.col("_one").cum_sum().over("customer_id", order_by="_backwards")
        lines = lines.with_columns(_one=nw.lit(1), _backwards=-day_number(nw.col("timestamp")))
        lines = lines.with_columns(_place=latest_first).with_columns(_free=_free_from(rules, moment))
        more["eligible_from"] = nw.col("_free").max()
    flags = window_flags("contact", "timestamp", list(rules), moment)
    return per_customer(lines, flags, **more).drop("contact_count")


def _contacts(contacts: Contacts, *, channel: Any, control: str, caller: str) -> nw.LazyFrame[Any]:
    """Return the contacts made: those of the control group, and of those added to compare with, were none."""
    roles = [name for name in ("arm", "channel") if contacts.has(name) and (name == "arm" or channel is not None)]
    lines = contacts.need("customer_id", "timestamp", *roles, caller=caller)
    if "arm" in roles:
        lines = lines.filter(is_contact(control))
    if channel is not None:
        lines = lines.filter((nw.col("channel") == channel).fill_null(value=False))
    return lines


def _free_from(rules: Mapping[int, int], moment: dt.datetime) -> nw.Expr:
    """Return when a contact that fills a window has left it; of several windows the longest decides.

    A window is full while the contact at the place of its limit, counted from the latest (``_place`` 1), lies in it.
    """
    midnight = nw.col("timestamp").dt.truncate("1d").cast(nw.Datetime("us"))  # Spark makes an instant of it

    def longer(shorter: nw.Expr, rule: tuple[int, int]) -> nw.Expr:
        days, most = rule
        fills = (nw.col("_place") == most) & is_since("timestamp", days, moment)
        return nw.when(fills).then(midnight + dt.timedelta(days=days) + DAY).otherwise(shorter)

    nothing: nw.Expr = nw.when(nw.col("_place") < 0).then(midnight)
    return reduce(longer, rules.items(), nothing)
