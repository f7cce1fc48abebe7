"""What contacts_table promises: who was held out is a control group, offer by offer, ready to be measured."""

import datetime as dt

import pandas as pd
import pytest

from crmlytics import Contacts
from crmlytics.campaigns.measuring.effects import effect_table
from crmlytics.campaigns.outcomes import outcome_table
from crmlytics.campaigns.planning.eligibility import eligibility_table
from crmlytics.campaigns.targeting.contacts import contacts_table
from crmlytics.campaigns.targeting.offers import Offer
from crmlytics.campaigns.targeting.targets import target_table
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import records

DAY = dt.datetime(2024, 5, 2)
EMAIL = Offer("email", value=20, contact_cost=0.1)
VOUCHER = Offer("voucher", value=20, contact_cost="call_cost", offer_cost=5, redemption=0.4)
SCORES = {
    "customer_id": ["f", "e", "d", "c", "b", "a"],
    "uplift_email": [0.1, 0.2, 0.0, 0.1, 0.3, -0.1],
    "uplift_voucher": [0.3, 0.1, 0.0, 0.9, 0.2, 0.4],  # f, c and a at 2 + the call
    "call_cost": [0.5, 0.5, 0.5, 1.5, 0.5, 0.5],
}


def test_offers_are_campaigns_of_their_own_on_every_frame(frame):
    scores = frame(SCORES)
    targets = target_table(scores, [EMAIL, VOUCHER], holdout_share=0.5)
    held = {row[0] for row in records(targets) if row[2] == "hold out"}
    assert held == {"b", "f"}  # by the hash of the id
    table = contacts_table(targets, campaign_id="may", timestamp="2024-05-02")
    assert type(table) is type(scores)
    assert records(table) == [
        ("a", "may: voucher", DAY, "voucher", 0.5),
        ("b", "may: email", DAY, "control", None),
        ("c", "may: voucher", DAY, "voucher", 1.5),  # a redeemed voucher is no cost of the contact
        ("e", "may: email", DAY, "email", 0.1),
        ("f", "may: voucher", DAY, "control", None),
    ]  # d is left alone


def test_a_single_offer_is_the_campaign():
    targets = target_table(pd.DataFrame(SCORES).rename(columns={"customer_id": "account"}), EMAIL, key="account")
    table = contacts_table(targets, campaign_id=7, timestamp=dt.datetime(2024, 5, 2, 9), key="account", control="none")
    assert table.dtypes.astype(str).drop(["account", "arm"]).to_dict() == {
        "campaign_id": "int64", "timestamp": "datetime64[us]", "cost": "float64"}  # fmt: skip
    assert set(table["campaign_id"]) == {7}
    assert set(table["timestamp"]) == {pd.Timestamp("2024-05-02 09:00")}


def test_from_the_list_to_the_result():
    scores = pd.DataFrame({"customer_id": range(4000), "uplift_email": 0.1, "uplift_voucher": [0.05, 0.3] * 2000})
    scores["call_cost"] = 0.5
    targets = target_table(scores, [EMAIL, VOUCHER], holdout_share=0.5)
    contacts = contacts_table(targets, campaign_id="may", timestamp=DAY)
    got_voucher = contacts.loc[contacts["arm"] == "voucher", "customer_id"]
    buyers = got_voucher[got_voucher % 4 == 1]  # about half of them, and nobody else
    orders = pd.DataFrame({"customer_id": buyers, "order_id": buyers, "amount": 30.0})
    orders["timestamp"] = DAY + dt.timedelta(days=3)
    outcomes = outcome_table(Contacts(contacts), orders, as_of="2024-07-01")
    assert len(outcomes) == 4000
    held = set(targets.loc[targets["action"] == "hold out", "customer_id"])
    assert set(outcomes.loc[~outcomes["is_treated"], "customer_id"]) == held
    assert outcomes.groupby("is_treated")["contact_cost_amount"].max().to_dict() == {False: 0.0, True: 0.5}
    effects = effect_table(outcomes, metrics="converted", covariates=None).set_index(["campaign_id", "arm"])
    assert effects.loc[("may: voucher", "voucher"), "difference"] == pytest.approx(len(buyers) / len(got_voucher))
    assert effects.loc[("may: email", "email"), "difference"] == 0
    people = pd.DataFrame({"customer_id": range(4000), "consent": True})
    may = eligibility_table(people, as_of="2024-05-05", contacts=contacts, at_most={"7d": 1})
    assert set(may.loc[may["is_eligible"], "customer_id"]) == held  # they were not contacted


def test_refusals_say_what_to_type():
    when = {"campaign_id": "may", "timestamp": DAY}
    with pytest.raises(
        MissingColumnsError, match=r"takes the result of campaigns.target_table\(...\): no columns \['arm'"
    ):
        contacts_table(pd.DataFrame(SCORES), **when)
    targets = target_table(pd.DataFrame(SCORES), EMAIL)
    with pytest.raises(SchemaError, match=r"'email' is an offer. Give the control group another name: control="):
        contacts_table(targets, control="email", **when)
    with pytest.raises(SchemaError, match="nobody in targets is to be contacted or held out"):
        contacts_table(targets[targets["action"] == "leave"], **when)
    with pytest.raises(SchemaError, match=r"timestamp must be a date"):
        contacts_table(targets, campaign_id="may", timestamp="soon")
