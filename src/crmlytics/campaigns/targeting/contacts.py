"""From a list of targets to the contacts that results are read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import as_moment
from crmlytics.campaigns._experiment import CONTROL
from crmlytics.decisions._campaign import CONTACT, HOLD_OUT
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import datetime as dt

CALLER = "contacts_table"
COST = "contact_cost_amount"


def contacts_table(
    targets: Any,
    *,
    campaign_id: str | int,
    timestamp: str | dt.date | dt.datetime,
    key: str = "customer_id",
    control: str = CONTROL,
) -> Any:
    """Make contacts of a list of targets: who is contacted with what, and who is held out as the control group.

    Parameters
    ----------
    targets : dataframe
        What :func:`target_table` returned.
    campaign_id : str or int
        How the campaign is called.
    timestamp : date or datetime
        When the contacts are made; those held out are observed from the same moment.
    key : str, default "customer_id"
        The column with the id of the customer.
    control : str, default "control"
        How the arm of those held out is to be called.

    Returns
    -------
    dataframe of the kind that came in, one row per customer contacted or held out, sorted by the key
        The key; ``campaign_id`` (as given; where the list has several offers a campaign of each, such as ``"spring:
        voucher"``); ``timestamp`` (Datetime); ``arm`` (String, the offer, or ``control`` of those held out); ``cost``
        (Float64, of the contact, without redeemed offers; missing for those held out).

    Raises
    ------
    MissingColumnsError
        When it is no table of targets.
    SchemaError
        When nobody is to be contacted or held out, or an offer is called like the control group.

    Notes
    -----
    Those held out stand in the list with the offer they would have got. Taken for contacts as they are, they would
    count as treated; here they are the control group of that offer alone, since customers with different offers were
    different before. Customers left alone are no part of the campaign: they were chosen, not drawn.

    ``Contacts`` and :func:`outcome_table` take the table as it is. Append it to the log of contacts **when the contacts
    are made**, all rows of it: who then turned out not to be reached stays in the arm.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.campaigns import Offer, contacts_table, target_table
    >>> scores = pd.DataFrame({"customer_id": range(1, 7), "uplift_email": [0.02, 0.05, -0.01, 0.03, 0.06, 0.04]})
    >>> targets = target_table(scores, Offer("email", value=40, contact_cost=0.1), holdout_share=0.4)
    >>> print(contacts_table(targets, campaign_id="may", timestamp="2024-05-02").to_string())
       customer_id campaign_id  timestamp      arm  cost
    0            1         may 2024-05-02    email   0.1
    1            2         may 2024-05-02  control   NaN
    2            4         may 2024-05-02    email   0.1
    3            5         may 2024-05-02  control   NaN
    4            6         may 2024-05-02    email   0.1
    """
    moment = as_moment(timestamp, name="timestamp", caller=CALLER)
    plan, engine = enter(targets, caller=CALLER)
    missing = [name for name in (key, "arm", "action", COST) if name not in columns_of(plan)]
    if missing:
        msg = f"{CALLER} takes the result of campaigns.target_table(...): no columns {missing} in {columns_of(plan)}."
        raise MissingColumnsError(msg)
    plan = plan.filter(nw.col("action").is_in([CONTACT, HOLD_OUT]))
    offers = collect(plan.select("arm").unique())["arm"].to_list()
    if not offers:
        raise SchemaError(f"{CALLER}: nobody in targets is to be contacted or held out.")
    if control in offers:
        raise SchemaError(f"{CALLER}: {control!r} is an offer. Give the control group another name: control=.")
    campaign = nw.lit(campaign_id).cast(nw.String if isinstance(campaign_id, str) else nw.Int64)
    if len(offers) > 1:
        campaign = nw.concat_str(nw.lit(f"{campaign_id}: "), nw.col("arm"))
    is_contacted = nw.col("action") == CONTACT
    table = plan.select(
        key,
        campaign_id=campaign,
        timestamp=nw.lit(moment).cast(nw.Datetime("us")),
        arm=nw.when(is_contacted).then(nw.col("arm")).otherwise(nw.lit(control)),
        cost=nw.when(is_contacted).then(nw.col(COST)),
    )
    return engine.to_native(table.sort(key))
