"""What measure_campaign promises: the tables it is made of, a verdict that is right as often as it says, refusals."""

import re

import numpy as np
import pandas as pd
import pytest

from crmlytics._frames import to_pandas
from crmlytics.campaigns.measuring.campaign_result import measure_campaign
from crmlytics.campaigns.measuring.effects import effect_table
from crmlytics.campaigns.measuring.returns import return_table
from crmlytics.campaigns.outcomes import outcome_table
from crmlytics.campaigns.uplift.balance import balance_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError

DAY = pd.Timestamp("2024-03-01")
AS_OF = "2024-06-01"


def campaign(bought, size=1000, other=1000, **more):
    """Contacts and orders: of ``size`` treated and ``other`` held out so many bought."""
    treated, control = bought
    contacts = pd.DataFrame({"customer_id": range(size + other), "timestamp": DAY})
    contacts["arm"] = ["mail"] * size + ["control"] * other
    buyers = [*range(treated), *range(size, size + control)]
    orders = pd.DataFrame({"customer_id": buyers, "order_id": buyers, "amount": 30.0, "timestamp": DAY})
    orders["timestamp"] += pd.to_timedelta(3, unit="D")
    return contacts.assign(**more), orders


def linked(size=900, seed=0):
    """Two campaigns and arms, attributes, orders before and after."""
    rng = np.random.default_rng(seed)
    contacts = pd.DataFrame({"customer_id": np.arange(size), "campaign_id": np.arange(size) % 2, "timestamp": DAY})
    contacts["arm"] = rng.choice(["control", "mail", "call"], size)
    contacts["cost"] = np.where(contacts["arm"] == "control", 0, 0.5)
    customers = pd.DataFrame({"customer_id": np.arange(size), "region": rng.choice(["north", "south"], size)})
    who = rng.integers(0, size, 3 * size)
    orders = pd.DataFrame({"customer_id": who, "order_id": range(3 * size), "amount": rng.gamma(2, 10, 3 * size)})
    orders["cost"] = 0.6 * orders["amount"]
    orders["timestamp"] = DAY + pd.to_timedelta(rng.integers(-80, 40, 3 * size), unit="D")
    return contacts, orders, customers


# -- the tables ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pandas", "polars", "polars-lazy", "duckdb"])
def test_its_tables_are_those_of_the_parts_and_of_the_kind_that_came_in(kind):
    from crmlytics.testing import make_frame

    contacts, orders, customers = (make_frame(table.to_dict("list"), kind=kind) for table in linked())
    result = measure_campaign(contacts, orders, as_of=AS_OF, customers=customers, by="region", campaign_costs={0: 90})
    outcomes = outcome_table(contacts, orders, as_of=AS_OF, customers=customers)
    parts = {
        "outcomes": outcomes,
        "effects": effect_table(outcomes),
        "segment_effects": effect_table(outcomes, by="region"),
        "returns": return_table(outcomes, campaign_costs={0: 90}),
    }
    for name, known in parts.items():
        assert type(getattr(result, name)) is type(contacts)
        pd.testing.assert_frame_equal(to_pandas(getattr(result, name)), to_pandas(known))
    first = to_pandas(outcomes)
    first = balance_table(first[first["campaign_id"] == 0])
    balance = to_pandas(result.balance)
    balance = balance[balance["campaign_id"] == 0].drop(columns="campaign_id").reset_index(drop=True)
    pd.testing.assert_frame_equal(balance, first, check_dtype=False)
    assert [one.label for one in result.verdicts] == ["0, call", "0, mail", "1, call", "1, mail"]


def test_nothing_after_as_of_is_read():
    contacts, orders, customers = linked()
    known = measure_campaign(contacts, orders, as_of=AS_OF, customers=customers)
    poison = orders.assign(timestamp=pd.Timestamp(AS_OF), order_id=orders["order_id"] + 10_000, amount=1e6)
    late = contacts.assign(timestamp=pd.Timestamp(AS_OF), arm="mail")
    found = measure_campaign(pd.concat([contacts, late]), pd.concat([orders, poison]), as_of=AS_OF, customers=customers)
    pd.testing.assert_frame_equal(found.effects, known.effects)
    pd.testing.assert_frame_equal(found.returns, known.returns)
    assert str(found) == str(known)


def test_events_are_outcomes_too():
    contacts, orders = campaign((160, 100))
    events = orders.drop(columns=["order_id", "amount"]).assign(event="registration")
    result = measure_campaign(contacts, events, as_of=AS_OF, event="registration", metrics="event_count")
    assert result.effects["metric"].tolist() == ["event_count"]
    assert result.verdicts[0].finding == "found"
    assert result.returns is None


# -- the verdict ---------------------------------------------------------------------------------------------------


def test_an_effect_is_found_in_words():
    result = measure_campaign(*campaign((160, 100)), as_of=AS_OF, margin_share=0.4, contact_cost=0.2)
    found, paid = str(result).splitlines()
    assert found == (
        "mail: converted 16.0% against 10.0% in control, +6.0 points (95% +3.1 to +8.9, p < 0.0001): "
        "an effect was found."
    )
    assert paid == "mail: margin 720 for a cost of 200, profit 520 (167 to 873); that it paid is over 99% probable."
    assert repr(result) == str(result)
    html = result._repr_html_()
    assert html.startswith("<ul><li>mail: converted 16.0%")
    assert "<td>converted</td>" in html
    assert "p &lt; 0.0001" in html


@pytest.mark.parametrize(
    ("bought", "size", "finding", "words"),
    [
        ((100, 160), 1000, "found, for the worse", "and it is for the worse."),
        ((5005, 5000), 10_000, "not found", "no effect was found, and one of 2.0 points would have been in four of"),
        ((110, 100), 1000, "could not have been found", r"worth while \(10% of control: 1.0 points\) could not have"),
        (
            (0, 0),
            1000,
            "could not have been found",
            "10% of control, where there is nothing, does not say what would be",
        ),
        (
            (1, 0),
            1,
            "could not have been found",
            "none could have been with so few customers: contact and hold out more",
        ),
        ((0, 0), 3, "could not have been found", "none could have been with so few customers"),
    ],
)
def test_nothing_found_is_not_nothing_there(bought, size, finding, words):
    contacts, orders = campaign(bought, size, size)
    if orders.empty:
        orders = pd.DataFrame({"customer_id": [0], "order_id": [0], "amount": [1.0], "timestamp": [DAY]})
        orders["timestamp"] -= pd.Timedelta(days=200)
    verdict = measure_campaign(contacts, orders, as_of=AS_OF).verdicts[0]
    assert verdict.finding == finding
    assert re.search(words, verdict.sentence)


def test_more_control_is_advised_where_it_helps():
    """Of 2,000 customers more than half in control find less, not more."""
    for other, advice in ((100, "find it: hold out more customers"), (1000, "find it: contact and hold out more cust")):
        verdict = measure_campaign(*campaign((100, other // 10), other=other), as_of=AS_OF).verdicts[0]
        assert advice in verdict.sentence


def test_so_few_customers_that_nothing_can_be_found_have_no_detectable_difference():
    contacts, orders = campaign((4, 0), size=4, other=4)  # four against none is the least that Fisher's test finds
    verdict = measure_campaign(contacts, orders, as_of=AS_OF).verdicts[0]
    assert verdict.finding == "found"
    assert 0 < verdict.detectable_difference < 1
    verdict = measure_campaign(*campaign((3, 0), size=3, other=3), as_of=AS_OF).verdicts[0]
    assert np.isnan(verdict.detectable_difference)


def test_what_only_the_correction_takes_away_is_said():
    contacts, orders = campaign((139, 110))
    more = contacts[contacts["arm"] == "mail"].assign(arm="call", customer_id=range(5000, 6000))
    bought = orders[orders["customer_id"] >= 1000].assign(customer_id=range(5000, 5110), order_id=range(5000, 5110))
    options = {"as_of": AS_OF, "metrics": "converted"}
    contacts, orders = pd.concat([contacts, more]), pd.concat([orders, bought])
    call, mail = measure_campaign(contacts, orders, **options).verdicts
    assert "(95% +0.0 to +5.8, p = 0.099): no effect was found after correction for 2 comparisons, but" in mail.sentence
    assert "p = 1): no effect was found, but" in call.sentence
    plain = measure_campaign(contacts, orders, **options, correction="none").verdicts[1]
    assert plain.finding == "found"
    assert plain.detectable_difference < mail.detectable_difference


def test_the_detectable_effect_is_found_in_four_of_five_campaigns():
    detectable = measure_campaign(*campaign((200, 200)), as_of=AS_OF).verdicts[0].detectable_difference
    assert detectable == pytest.approx(2.8016 * np.sqrt(2 * 0.2 * 0.8 / 1000), rel=0.01)
    rng = np.random.default_rng(2)
    share = np.array([0.2 + detectable / 2, 0.2 - detectable / 2])
    bought = rng.binomial(1000, share, (4000, 2)) / 1000
    error = np.sqrt((bought * (1 - bought)).sum(axis=1) / 1000)
    assert np.mean(bought[:, 0] - bought[:, 1] > 1.96 * error) == pytest.approx(0.8, abs=0.03)


def test_the_verdict_is_about_the_first_metric_and_what_is_worth_while():
    contacts, orders = campaign((115, 100))
    options = {"as_of": AS_OF, "metrics": ["revenue_amount", "converted"]}
    verdicts = [measure_campaign(contacts, orders, **options, worthwhile_lift=lift).verdicts[0] for lift in (0.1, 0.9)]
    assert verdicts[0].sentence.startswith("mail: revenue_amount 3.45 against 3.00 in control, +0.45 (95% ")
    assert [one.finding for one in verdicts] == ["could not have been found", "not found"]


def test_what_cannot_be_compared_is_said():
    contacts, orders = campaign((3, 1), size=20, other=1)
    verdict = measure_campaign(contacts, orders, as_of=AS_OF, metrics="revenue_amount").verdicts[0]
    assert verdict.sentence == "mail: revenue_amount could not be compared: a single customer in an arm: no interval."


# -- remarks -------------------------------------------------------------------------------------------------------


def test_without_costs_it_says_what_is_missing():
    result = measure_campaign(*campaign((160, 100)), as_of=AS_OF)
    assert result.returns is None
    assert result.segment_effects is None
    assert result.money == ()
    assert str(result).splitlines()[-1].startswith("Mind: whether it paid is not known: give contact_cost=")


def unlike():
    """The mailed bought before, those held out did not."""
    contacts, orders = campaign((160, 100))
    before = orders[orders["customer_id"] < 1000]
    before = before.assign(order_id=before["order_id"] + 5000, timestamp=DAY - pd.Timedelta(days=20))
    return contacts, pd.concat([orders, before])


def test_arms_that_were_not_alike_before_are_not_comparable():
    with pytest.warns(DataQualityWarning, match="measure_campaign: 'mail' and control were not alike before the cont"):
        result = measure_campaign(*unlike(), as_of=AS_OF, margin_share=0.4, contact_cost=0.2, covariates=None)
    assert result.verdicts[0].finding == "not comparable"
    verdict, mind, money = str(result).splitlines()
    assert verdict.endswith(
        ": not comparable, since the groups were not dealt at random: this is no effect of the campaign."
    )
    assert mind.startswith("Mind: 'mail' and control were not alike")
    assert "not randomised" in result.remarks[0]
    assert money == (
        "mail: ahead of the other group by a margin of 720 for a cost of 200, 520 (167 to 873) after it; how much of "
        "that the contacts earned cannot be told."
    )
    assert result.effects["remark"].str.startswith("not comparable: the groups were not dealt at random").all()
    assert result.returns["probability_profitable"].isna().all()
    assert result.balance.set_index("covariate").loc["pre_converted", "treated_mean"] == pytest.approx(0.16)


def test_only_the_campaign_whose_arms_differ_is_not_comparable():
    contacts, orders = unlike()
    sound, bought = campaign((160, 100))
    apart = {"customer_id": sound["customer_id"] + 9000, "campaign_id": "sound"}
    contacts = pd.concat([contacts.assign(campaign_id="odd"), sound.assign(**apart)])
    more = bought.assign(customer_id=bought["customer_id"] + 9000, order_id=bought["order_id"] + 90_000)
    with pytest.warns(DataQualityWarning, match="measure_campaign: odd: 'mail' and control were not alike"):
        result = measure_campaign(contacts, pd.concat([orders, more]), as_of=AS_OF)
    assert [one.finding for one in result.verdicts] == ["not comparable", "found"]
    assert len([one for one in result.remarks if "not alike" in one]) == 1


def test_customers_not_contacted_are_no_control_group_however_alike_they_are():
    contacts, orders = campaign((160, 100))
    contacts["arm"] = contacts["arm"].replace("control", "not contacted")
    with pytest.warns(DataQualityWarning, match="measure_campaign: 'not contacted' is no control group") as told:
        result = measure_campaign(contacts, orders, as_of=AS_OF, control="not contacted")
    assert len(told) == 1
    assert result.verdicts[0].finding == "not comparable"
    assert result.remarks[0].startswith("'not contacted' is no control group")


# -- refusals ------------------------------------------------------------------------------------------------------


def test_without_a_control_group_it_names_what_can_be_done():
    contacts, orders = campaign((160, 100))
    words = r"no control group.*matched_effect_table\(...\) and difference_in_differences_table\(...\), and what these"
    with pytest.raises(SchemaError, match=words):
        measure_campaign(contacts.assign(arm="mail"), orders, as_of=AS_OF)
    with pytest.raises(SchemaError, match=words):
        measure_campaign(contacts.drop(columns="arm"), orders, as_of=AS_OF)


def test_segments_that_are_missing_come_with_customers():
    contacts, orders, customers = linked()
    words = r"needs the columns \['region'\].*Attributes of customers come with customers=\.\.\."
    with pytest.raises(MissingColumnsError, match=words):
        measure_campaign(contacts, orders, as_of=AS_OF, by="region")
    with pytest.raises(MissingColumnsError, match=r"Did you mean 'region'\?.*\]$"):
        measure_campaign(contacts, orders, as_of=AS_OF, by="regio", customers=customers)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"worthwhile_lift": 0}, "worthwhile_lift must be a number above zero, got 0"),
        ({"by": "converted"}, "known only after the contact"),
        ({"confidence": 1}, "confidence must be a fraction between 0 and 1"),
        ({"horizon": "500d"}, "the 500 days after the contact are not over"),
        ({"value": "margin_amount", "contact_cost": 1}, "no column 'margin_amount'. Of revenue say how much is margin"),
    ],
)
def test_bad_options_are_refused(options, words):
    with pytest.raises(SchemaError, match=words):
        measure_campaign(*campaign((160, 100)), **({"as_of": AS_OF} | options))
