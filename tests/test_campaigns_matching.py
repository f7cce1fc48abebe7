"""What matched comparisons promise: the truth where naive figures are wrong, twins reported, nothing hidden."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from crmlytics import datasets
from crmlytics.campaigns.outcomes import outcome_table
from crmlytics.campaigns.without_control.comparison_contacts import comparison_contacts
from crmlytics.campaigns.without_control.matching import matched_balance_table, matched_effect_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

EFFECT, LIFT = 5.0, 0.08


def confounded(seed, count=1_000):
    """Return customers contacted for what also makes them buy: contact adds 5 to revenue and 8 points to conversion."""
    random = np.random.default_rng(seed)
    spent, mood, region = random.gamma(2, 1, count), random.normal(size=count), random.choice(list("nsw"), count)
    treated = random.random(count) < 1 / (1 + np.exp(1 - np.log(spent) - 0.5 * mood - 0.5 * (region == "s")))
    base = 1 / (1 + np.exp(2 - 0.8 * np.log(spent) - 0.4 * mood))
    raised = np.minimum(base + LIFT, 1.0)
    table = pd.DataFrame({
        "customer_id": np.arange(count), "arm": np.where(treated, "mail", "control"),
        "converted": random.random(count) < np.where(treated, raised, base),
        "revenue_amount": 20 * spent + 5 * mood**2 + 8 * (region == "s") + random.normal(0, 10, count) + 5 * treated,
        "pre_revenue_amount": spent, "mood": mood, "region": region,
    })  # fmt: skip
    return table, (raised - base)[treated].mean()


def by_method(table, metric="revenue_amount"):
    return table[table.metric == metric].set_index("method")


def test_the_interval_holds_the_truth_where_the_naive_one_never_does():
    held = {}
    for seed in range(100):
        table, lift = confounded(seed, 600)
        for row in matched_effect_table(table).itertuples():
            truth = EFFECT if row.metric == "revenue_amount" else lift
            held.setdefault((row.metric, row.method), []).append(row.difference_low <= truth <= row.difference_high)
    share = {key: np.mean(values) for key, values in held.items()}
    assert share["revenue_amount", "naive"] == 0.0
    assert share["converted", "naive"] < 0.5
    for metric in ("revenue_amount", "converted"):
        assert 0.92 <= share[metric, "doubly robust"] <= 0.99
        assert share[metric, "nearest twin"] >= 0.92  # on the safe side where chances of contact are estimated


def test_the_same_on_every_frame(frame):
    table, _ = confounded(1, 300)
    own = frame({name: values.tolist() for name, values in table.items()})
    found = matched_effect_table(own, metrics=["revenue_amount"])
    assert type(found) is type(own)
    expected = matched_effect_table(table.sample(frac=1, random_state=0), metrics=["revenue_amount"])
    for row, other in zip(records(found), records(expected), strict=True):
        assert row[:6] == other[:6]
        assert row[-1] == other[-1]
        np.testing.assert_allclose(row[6:-1], other[6:-1], rtol=1e-6)


def test_what_is_told_of_each_way():
    table, _ = confounded(2, 2_000)
    found = by_method(matched_effect_table(table))
    assert found.index.tolist() == ["naive", "nearest twin", "doubly robust"]
    treated = table.arm == "mail"
    naive = table.revenue_amount[treated].mean() - table.revenue_amount[~treated].mean()
    assert found.difference["naive"] == pytest.approx(naive)
    assert found.matched_count["naive"] == found.treated_count["naive"] == treated.sum()
    assert found.matched_count["nearest twin"] == found.matched_count["doubly robust"] <= treated.sum()
    assert found.comparison_count["nearest twin"] < found.comparison_count["doubly robust"] == (~treated).sum()
    assert found.largest_imbalance["naive"] > 0.5
    assert found.largest_imbalance["doubly robust"] < 0.1
    assert found.caution["naive"].startswith("No effect: what the groups differed in before is still in it.")
    assert found.caution["doubly robust"].startswith("Differences that no column shows are not taken out")
    assert found.e_value_bound["doubly robust"] > 1  # surely above nothing
    assert (found.e_value > found.e_value_bound).all()


def test_treated_without_a_twin_are_counted_and_left_out():
    """Spenders over 100 were all contacted: whatever it did to them, nobody can tell."""
    random = np.random.default_rng(0)
    spent = random.uniform(0, 100, 900)
    treated = random.random(900) < 0.3
    rich = pd.DataFrame({"pre_revenue_amount": random.uniform(300, 400, 50), "arm": "mail", "revenue_amount": 1e6})
    table = pd.DataFrame({
        "pre_revenue_amount": spent, "arm": np.where(treated, "mail", "control"), "revenue_amount": spent + 2 * treated
    })  # fmt: skip
    table = pd.concat([table, rich], ignore_index=True).assign(customer_id=range(950))
    found = by_method(matched_effect_table(table))
    assert found.treated_count["nearest twin"] - found.matched_count["nearest twin"] >= 50
    assert "treated have no twin: the effect is that of the others." in found.caution["nearest twin"]
    assert abs(found.difference["nearest twin"] - 2) < 1
    assert abs(found.difference["doubly robust"] - 2) < 1


def test_balance_before_and_after():
    table, _ = confounded(3, 2_000)
    found = matched_balance_table(table).set_index(["covariate", "level"])
    treated = table.arm == "mail"
    assert found.index.tolist() == [("pre_revenue_amount", "mean"), ("mood", "mean"), *(("region", at) for at in "nsw")]
    spent = table.pre_revenue_amount
    spread = np.sqrt((spent[treated].var() + spent[~treated].var()) / 2)
    row = found.loc[("pre_revenue_amount", "mean")]
    assert row.treated_mean == pytest.approx(spent[treated].mean())
    assert row.comparison_mean == pytest.approx(spent[~treated].mean())
    assert row.standardised_difference == pytest.approx((row.treated_mean - row.comparison_mean) / spread)
    assert row.standardised_difference > 0.5
    assert (found.twin_standardised_difference.abs() < 0.12).all()
    assert (found.weighted_standardised_difference.abs() < 0.08).all()
    effects = by_method(matched_effect_table(table))
    worst = found[["standardised_difference", "twin_standardised_difference", "weighted_standardised_difference"]]
    np.testing.assert_allclose(worst.abs().max(), effects.largest_imbalance)


def test_campaigns_are_compared_within_themselves():
    one, two = confounded(4)[0].assign(campaign_id="a"), confounded(5)[0].assign(campaign_id="b")
    found = matched_effect_table(pd.concat([two, one]), metrics=["revenue_amount"])
    assert found.campaign_id.tolist() == ["a"] * 3 + ["b"] * 3
    alone = matched_effect_table(one.drop(columns="campaign_id"), metrics=["revenue_amount"])
    assert found.difference[0] == pytest.approx(alone.difference[0])
    assert found.difference[2] == pytest.approx(alone.difference[2], rel=0.05)  # rare levels are told from all rows


def test_too_few_to_compare():
    table = confounded(6, 60)[0]
    few = table.groupby("arm").head(9)
    found = matched_effect_table(few, features=["mood"])
    assert found.difference.isna().all()
    assert set(found.caution) == {"Too few customers: at least 10 treated and 10 others are needed."}
    assert matched_balance_table(few, features=["mood"]).twin_mean.isna().all()


@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_nobody_or_everybody_converts(value):
    table = confounded(1, 300)[0].drop(columns="converted").assign(revenue_amount=value)
    found = matched_effect_table(table)
    np.testing.assert_allclose(found.difference, 0, atol=1e-12)
    assert found[["difference_low", "difference_high", "p_value", "e_value", "e_value_bound"]].isna().all(axis=None)
    assert found.caution.str.endswith(" No interval: nothing varies between the customers of a group.").all()


def test_groups_with_nothing_in_common_are_not_compared():
    spent = np.concatenate([np.linspace(0, 100, 60), np.linspace(300, 400, 40)])
    table = pd.DataFrame({"customer_id": range(100), "pre_revenue_amount": spent, "revenue_amount": spent})
    found = matched_effect_table(table.assign(arm=["control"] * 60 + ["mail"] * 40))
    assert set(found.caution) == {"Nobody of the treated has a twin: the groups have nothing in common."}
    assert found.matched_count.tolist() == [0, 0, 0]
    assert found.difference.isna().all()


def test_refusals():
    table = confounded(7, 100)[0]
    with pytest.raises(MissingColumnsError, match=r"features names 'moods', no such column. Did you mean 'mood'\?"):
        matched_effect_table(table, features=["moods"])
    with pytest.raises(SchemaError, match="features names 'converted', which is an id, the arm or known only after"):
        matched_effect_table(table, features=["converted"])
    with pytest.raises(SchemaError, match=r"features must be a list of columns, such as features=\['mood'\]"):
        matched_effect_table(table, features="mood")
    bare = table[["customer_id", "arm", "converted", "revenue_amount"]]
    with pytest.raises(SchemaError, match="no column says what customers were like before the contact"):
        matched_effect_table(bare)
    with pytest.raises(MissingColumnsError, match="needs an outcome"):
        matched_effect_table(table.drop(columns=["converted", "revenue_amount"]))
    with pytest.raises(SchemaError, match="caliper must be a number above zero"):
        matched_effect_table(table, caliper=0)
    with pytest.raises(SchemaError, match="no row has arm='not contacted'"):
        matched_effect_table(table, comparison="not contacted")


# -- whom to compare with ------------------------------------------------------------------------------------------

START = dt.datetime(2024, 3, 1)


def day(number, hour=0):
    return START + dt.timedelta(days=number, hours=hour)


CONTACTS = {
    "customer_id": [1, 2, 1, 5],
    "campaign_id": ["spring", "spring", "may", "may"],
    "timestamp": [day(0), day(0, 6), day(60), day(60)],
    "cost": [1.0, 1.0, 2.0, 2.0],
}
ORDERS = {
    "customer_id": [1, 2, 3, 4, 5, 6, 3],
    "order_id": [1, 2, 3, 4, 5, 6, 7],
    "timestamp": [day(-5), day(-1), day(-20), day(-400), day(10), day(0, 5), day(61)],
    "amount": [10.0] * 7,
}


def test_others_by_hand_on_every_frame(frame):
    contacts = frame(CONTACTS)
    found = comparison_contacts(contacts, frame(ORDERS), as_of=day(200), active_within="90d")
    assert type(found) is type(contacts)
    rows = records(found)
    assert [row[:2] + row[3:] for row in rows] == [
        ("may", 1, "treated", 2.0),
        ("may", 2, "not contacted", None),
        ("may", 3, "not contacted", None),
        ("may", 5, "treated", 2.0),
        ("may", 6, "not contacted", None),
        ("spring", 1, "treated", 1.0),
        ("spring", 2, "treated", 1.0),
        ("spring", 3, "not contacted", None),
    ]  # fmt: skip  4 was active long ago, 5 and 6 not before spring's contacts
    assert {row[2] for row in rows if row[0] == "may"} == {day(60)}
    assert rows[-1][2] in {day(0), day(0, 6)}


def test_everybody_seen_before_where_no_period_is_given():
    contacts, orders = make_frame(CONTACTS, "pandas"), make_frame(ORDERS, "pandas")
    found = comparison_contacts(contacts, orders, as_of=day(200), active_within=None)
    assert found[found.campaign_id == "spring"].customer_id.tolist() == [1, 2, 3, 4]
    with pytest.warns(DataQualityWarning, match="2 of 4 contacts are left out: these customers were not active"):
        found = comparison_contacts(contacts, orders, as_of=day(200), active_within="30d")
    assert found[found.campaign_id == "spring"].customer_id.tolist() == [1, 2, 3]
    with pytest.raises(SchemaError, match="no customer who was not contacted was active before"):
        comparison_contacts(contacts.head(2), orders.head(2), as_of=day(200))
    with pytest.raises(MissingColumnsError, match=r"comparison_contacts needs \['campaign_id'\]"):
        comparison_contacts(contacts.drop(columns="campaign_id"), orders, as_of=day(200))


def test_dates_are_dealt_as_the_campaign_made_its_contacts():
    contacts = pd.DataFrame({
        "customer_id": np.arange(100), "campaign_id": "c", "timestamp": [day(0)] * 75 + [day(20)] * 25
    })  # fmt: skip
    orders = pd.DataFrame({"customer_id": np.arange(2_000), "order_id": np.arange(2_000), "amount": 1.0})
    orders = orders.assign(timestamp=day(-10))
    found = comparison_contacts(contacts, orders, as_of=day(99))
    others = found[found.arm == "not contacted"]
    assert len(others) == 1_900
    assert (others.timestamp == day(20)).mean() == pytest.approx(0.25, abs=0.03)
    pd.testing.assert_frame_equal(comparison_contacts(contacts[::-1], orders[::-1], as_of=day(99)), found)
    other_draw = comparison_contacts(contacts, orders, as_of=day(99), random_state=1)
    assert not other_draw.timestamp.equals(found.timestamp)


def test_the_future_finds_nobody():
    contacts, orders = make_frame(CONTACTS, "pandas"), make_frame(ORDERS, "pandas")
    known = comparison_contacts(contacts, orders, as_of=day(60))
    assert set(known.campaign_id) == {"spring"}
    poisoned = pd.concat([orders, orders.assign(customer_id=99, timestamp=day(60))])
    pd.testing.assert_frame_equal(comparison_contacts(contacts, poisoned, as_of=day(60)), known)


def test_coupons_of_a_grocer_were_sent_to_its_best_customers():
    """Complete Journey, campaign 13: not randomised. Households spent twice as much before; little is left of it."""
    journey = datasets.load_complete_journey()
    names = {"household_id": "customer_id", "basket_id": "order_id", "sales_value": "amount"}
    lines = journey.transactions.rename(columns=names | {"transaction_timestamp": "timestamp"})
    sent = journey.campaigns.merge(journey.campaign_descriptions, on="campaign_id")
    sent = sent.rename(columns=names | {"start_date": "timestamp"})
    sent = sent[sent.campaign_id == 13][["customer_id", "campaign_id", "timestamp"]]
    lines = lines[["customer_id", "order_id", "timestamp", "amount"]]
    both = comparison_contacts(sent, lines, as_of="2018-01-01", active_within="90d")
    table = outcome_table(both, lines, as_of="2018-01-01", control="not contacted")
    found = by_method(matched_effect_table(table, comparison="not contacted"))
    assert found.difference_low["naive"] > 50
    assert found.largest_imbalance["naive"] > 0.4
    assert found.difference_low["doubly robust"] < 0 < found.difference_high["doubly robust"]
    assert found.largest_imbalance["doubly robust"] < 0.1
