"""What an assignment promises: the shares in every stratum, the same arm again, whatever the order of rows."""

import datetime as dt
from collections import Counter
from itertools import product

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics import Contacts
from crmlytics._kernels.proportion_tests import score_p_value
from crmlytics.campaigns.planning._dealing import quotas
from crmlytics.campaigns.planning.assigning import assign_arms
from crmlytics.campaigns.planning.sizing import detectable_effect_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import FRAME_KINDS, make_frame, records

pytestmark = pytest.mark.filterwarnings("ignore:assign_arms. [0-9,]+ customers in arm")
TENTH = {"control": 0.1, "mail": 0.9}
THREE = {"control": 0.2, "mail": 0.5, "call": 0.3}


def flags(*values):
    return pd.array(values, dtype="boolean")


def people(count, **columns):
    return pd.DataFrame({"customer_id": np.arange(count), **columns})


def test_rows_columns_and_kind_stay(frame):
    customers = frame({
        "customer_id": ["d", "a", "c", "b"], "segment": ["x", "y", "x", None], "amount": [1.5, 2.5, None, 4.5],
    })  # fmt: skip
    table = assign_arms(customers, campaign_id="may", shares={"control": 0.5, "mail": 0.5}, strata="segment")
    assert type(table) is type(customers)
    rows = records(table)
    assert [row[:3] for row in rows] == [("a", "y", 2.5), ("b", None, 4.5), ("c", "x", None), ("d", "x", 1.5)]
    assert {row[3] for row in rows} == {"may"}
    assert [row[5] for row in rows] == ["segment=y", "segment=missing", "segment=x", "segment=x"]
    assert sorted(row[4] for row in rows[2:]) == ["control", "mail"]
    assert sorted(row[4] for row in rows[:2]) == ["control", "mail"]  # single customers: the remainder is carried


def test_every_kind_of_frame_and_every_order_of_rows_deals_the_same():
    customers = people(50, segment=["x", "y"] * 25, amount=np.arange(50.0) % 7)
    customers = customers.assign(size=np.where(customers["customer_id"] % 10 == 0, np.nan, customers["amount"] + 0.5))
    dealt = [
        records(assign_arms(make_frame(table, kind), campaign_id=7, shares=THREE, strata=["segment", "amount", "size"]))
        for kind in FRAME_KINDS
        if kind != "pyspark"
        for table in (customers, customers.sample(frac=1, random_state=1))
    ]
    assert all(rows == dealt[0] for rows in dealt)
    assert {row[4] for row in dealt[0]} == {7}
    assert dealt[0][10][-1].endswith("size=missing")


def test_numbers_are_cut_at_their_quartiles_and_few_values_are_levels():
    customers = people(8, amount=[1.0, 2, 2, 2, 3, 4, 5, np.nan], tier=[1, 2, 3, 1, 2, 3, 1, 2])
    table = assign_arms(customers, campaign_id="x", shares=TENTH, strata=["amount", "tier"])
    amounts = [text.split(", ")[0] for text in table["stratum"]]
    quarter = [1, 1, 1, 1, 3, 3, 4]  # of seven values the second, fourth and sixth are the cuts: 2, 2, 4
    assert amounts == [f"amount={i} of 4" for i in quarter] + ["amount=missing"]
    assert [text.split(", ")[1] for text in table["stratum"]] == [f"tier={i}" for i in customers["tier"]]
    flags = people(4, is_new=pd.array([True, False, None, True], dtype="boolean"))
    many = people(6, size=[1234567.0, 1234568.0, np.nan, 1.0, 2.5, 1.0])  # levels that a short number would merge
    words = assign_arms(many, campaign_id="x", shares=TENTH, strata="size")["stratum"].tolist()
    assert words == [f"size={size}" for size in ("1234567", "1234568", "missing", "1", "2.5", "1")]
    table = assign_arms(flags, campaign_id="x", shares=TENTH, strata="is_new")
    assert table["stratum"].tolist() == ["is_new=True", "is_new=False", "is_new=missing", "is_new=True"]


shares_of_arms = st.lists(st.integers(1, 20), min_size=2, max_size=5).map(lambda parts: np.array(parts) / sum(parts))
counts = st.lists(st.integers(0, 12), min_size=1, max_size=30)


@given(shares=shares_of_arms, new=counts)
def test_every_stratum_and_their_sum_miss_the_shares_by_less_than_one_customer(shares, new):
    new = np.array(new)
    given_ = quotas(np.zeros((len(new), len(shares)), dtype=np.int64), new, shares)
    assert given_.sum(axis=1).tolist() == new.tolist()
    assert (np.abs(given_ - np.outer(new, shares)) < 1).all()
    assert (np.abs(given_.sum(axis=0) - new.sum() * shares) < 1 + 1e-9).all()


@given(shares=shares_of_arms.filter(lambda shares: len(shares) <= 3), data=st.data(), new=st.integers(0, 6))
def test_no_other_deal_comes_nearer_to_the_shares(shares, data, new):
    had = np.array(data.draw(st.lists(st.integers(0, 6), min_size=len(shares), max_size=len(shares))))
    ideal = shares * (had.sum() + new)

    def miss(dealt):
        return float(((had + dealt - ideal) ** 2).sum())

    (dealt,) = quotas(had[None, :], np.array([new]), shares)
    others = [each for each in product(range(new + 1), repeat=len(shares)) if sum(each) == new]
    assert dealt.sum() == new
    assert dealt.min() >= 0
    assert miss(dealt) == pytest.approx(min(miss(np.array(each)) for each in others))


def test_customers_keep_their_arm_when_the_list_grows_and_shrinks():
    first = assign_arms(people(1000), campaign_id="x", shares=TENTH)
    grown = assign_arms(people(3000), campaign_id="x", shares=TENTH, previous=first)
    shrunk = assign_arms(people(3000).iloc[500:700], campaign_id="x", shares=TENTH, previous=grown)
    assert grown["arm"][:1000].tolist() == first["arm"].tolist()
    assert shrunk["arm"].tolist() == grown["arm"][500:700].tolist()
    assert grown["arm"].value_counts().to_dict() == {"mail": 2700, "control": 300}
    closed = assign_arms(people(2000), campaign_id="x", shares={"control": 0.5, "call": 0.5, "mail": 0}, previous=first)
    assert closed["arm"][:1000].tolist() == first["arm"].tolist()
    assert closed["arm"][1000:].value_counts().to_dict() == {"call": 550, "control": 450}  # 550 and 550 in all, and 900


def test_new_customers_make_up_for_what_a_stratum_lacks():
    previous = people(40).assign(arm="mail")  # an assignment that went wrong
    table = assign_arms(people(60), campaign_id="x", shares={"control": 0.5, "mail": 0.5}, previous=previous)
    assert table["arm"].tolist() == ["mail"] * 40 + ["control"] * 20


def test_contacts_tell_the_arms_of_their_campaign_and_the_first_one_counts(frame):
    log = {
        "customer_id": [1, 1, 2, 3, 3],
        "campaign_id": ["x", "x", "x", "x", "other"],
        "timestamp": [dt.datetime(2024, 1, day) for day in (2, 1, 1, 1, 1)],
        "arm": ["mail", "control", "mail", "mail", "control"],
    }
    for previous in (Contacts(frame(log)), frame(log)):
        table = assign_arms(frame({"customer_id": [1, 2, 3]}), campaign_id="x", shares=TENTH, previous=previous)
        assert [row[2] for row in records(table)] == ["control", "mail", "mail"]


def test_two_campaigns_are_dealt_independently_and_the_seed_deals_anew():
    halves = {"control": 0.5, "mail": 0.5}
    arms = [
        assign_arms(people(20_000), campaign_id=campaign, shares=halves, random_state=seed)["arm"] == "mail"
        for campaign, seed in (("a", 0), ("b", 0), ("a", 1))
    ]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        both = int((arms[one] & arms[other]).sum())
        assert score_p_value(*(np.array([n]) for n in (both, 10_000, int(arms[other].sum()) - both, 10_000)))[0] > 0.001
    again = assign_arms(people(20_000), campaign_id="a", shares=halves)["arm"] == "mail"
    assert again.equals(arms[0])


def test_a_customer_alone_in_a_stratum_is_dealt_at_random():
    """Over 200 campaigns the first of ten lone customers is held out in a fifth of them (3 sigma: 0.085)."""
    lone = people(10, name=list("abcdefghij"))
    held = [
        assign_arms(lone, campaign_id=i, shares={"control": 0.2, "mail": 0.8}, strata="name")["arm"] for i in range(200)
    ]
    assert {Counter(arms)["control"] for arms in held} == {2}
    for customer in (0, 9):
        assert np.mean([arms[customer] == "control" for arms in held]) == pytest.approx(0.2, abs=0.085)


@pytest.mark.parametrize("kind", ["pandas", "pandas-nullable", "pandas-pyarrow", "polars-lazy", "duckdb"])
def test_whole_ids_that_came_as_floats_are_the_same_customers(kind):
    whole, floats = ([kind_of(number) for number in range(200)] for kind_of in (int, float))
    assign = {"campaign_id": "x", "shares": TENTH}
    table = assign_arms(make_frame({"customer_id": floats}, kind), **assign)
    assert records(table) == records(assign_arms(make_frame({"customer_id": whole}, kind), **assign))
    previous = make_frame({"customer_id": [0.0, None, 7.0], "arm": ["control", "mail", "control"]}, kind)
    kept = dict(
        row[::2] for row in records(assign_arms(make_frame({"customer_id": whole}, kind), previous=previous, **assign))
    )
    assert kept[0] == kept[7] == "control"


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_who_may_not_be_contacted_is_not_dealt(kind):
    table = {"customer_id": [1, 2, 3], "is_eligible": [True, False, True], "reason": [None, "opted out", None]}
    assign = {"campaign_id": "x", "shares": TENTH}
    words = r'1 customers may not be contacted, such as customer_id 2 \(opted out\)\. .*table\[table\["is_eligible"\]\]'
    with pytest.raises(SchemaError, match=words):
        assign_arms(make_frame(table, kind), **assign)
    free = {"customer_id": [1, 3], "is_eligible": [True, True]}
    assert [row[0] for row in records(assign_arms(make_frame(free, kind), **assign))] == [1, 3]
    with pytest.raises(SchemaError, match=r"such as customer_id 3\. Leave"):  # unknown is no yes
        assign_arms(pd.DataFrame({"customer_id": [1, 3], "is_eligible": flags(True, None), "reason": None}), **assign)


@pytest.mark.filterwarnings("default")
def test_small_arms_come_with_what_they_can_show():
    rise = detectable_effect_table({"control": 50, "mail": 450}, baseline_rate=0.05)["smallest_difference"][0]
    words = rf"50 customers in arm 'control': if 5% buy without it, only a rise to {0.05 + rise:.0%} or more would be"
    with pytest.warns(DataQualityWarning, match=words):
        assign_arms(people(500), campaign_id="x", shares=TENTH)
    with pytest.warns(
        DataQualityWarning, match="1 customers in arm 'control': no effect would be found, however large"
    ):
        assign_arms(people(2), campaign_id="x", shares={"control": 0.5, "mail": 0.5})
    with pytest.warns(DataQualityWarning, match="previous knows no customer of campaign 'y': everybody is dealt anew"):
        assign_arms(people(1000), campaign_id="y", shares=TENTH, previous=people(1, campaign_id="x", arm="mail"))


def test_refusals_say_what_to_type():
    assign = {"campaign_id": "x", "shares": TENTH}
    with pytest.raises(SchemaError, match=r"is called 'control': without a control group nobody will know"):
        assign_arms(people(5), campaign_id="x", shares={"mail": 0.5, "call": 0.5})
    with pytest.raises(
        MissingColumnsError, match=r"assign_arms needs the columns \['segmnt'\]\. Did you mean 'segment'"
    ):
        assign_arms(people(5, segment="a"), strata="segmnt", **assign)
    with pytest.raises(SchemaError, match=r"has columns \['arm'\], which the result adds.*goes in as previous="):
        assign_arms(people(5, arm="a"), **assign)
    with pytest.raises(SchemaError, match="'customer_id' is the key: every customer would be a stratum"):
        assign_arms(people(5), strata="customer_id", **assign)
    with pytest.raises(SchemaError, match="customer_id 'a' has more than one row"):
        assign_arms(pd.DataFrame({"customer_id": ["a", "a"]}), **assign)
    with pytest.raises(SchemaError, match="customer_id 1 has more than one row"):
        assign_arms(pd.DataFrame({"customer_id": [1, 1]}), **assign)
    with pytest.raises(SchemaError, match=r"ids must be whole numbers or text, got 1\.5 in 'customer_id'"):
        assign_arms(pd.DataFrame({"customer_id": [1.0, 1.5]}), **assign)
    with pytest.raises(SchemaError, match="'customer_id' is missing in 1 rows"):
        assign_arms(pd.DataFrame({"customer_id": ["a", None]}), **assign)
    with pytest.raises(SchemaError, match="customers has no rows"):
        assign_arms(people(0), **assign)
    with pytest.raises(
        SchemaError, match=r"previous has customers in the arms \['call'\].*shares=\{\.\.\., 'call': 0\}"
    ):
        assign_arms(people(5), previous=people(1, arm="call"), **assign)
    with pytest.raises(SchemaError, match="previous has customer_id 1 in several arms at once"):
        assign_arms(people(5), previous=pd.DataFrame({"customer_id": [1, 1], "arm": ["mail", "control"]}), **assign)
    with pytest.raises(SchemaError, match="customer_id is Int64 in customers, String in previous"):
        assign_arms(people(5), previous=pd.DataFrame({"customer_id": ["1"], "arm": ["mail"]}), **assign)
    with pytest.raises(MissingColumnsError, match=r"\(previous\) needs the columns \['arm'\]"):
        assign_arms(people(5), previous=people(5), **assign)
    with pytest.raises(SchemaError, match="customers is a pandas table and previous a Polars table"):
        assign_arms(people(5), previous=make_frame({"customer_id": [1], "arm": ["mail"]}, "polars"), **assign)
    with pytest.raises(SchemaError, match="the shares add up to 0"):
        assign_arms(people(5), campaign_id="x", shares={"control": 0.2, "mail": 0.3})
