"""What owner_table and late_field_table promise: planted effects found, luck not praised, leaks told from signals."""

import datetime as dt
import math
import warnings

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from crmlytics import Leads
from crmlytics._kernels.proportions import wilson
from crmlytics.datasets._leads import make_leads
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.leads.conversion_times import conversion_time_table
from crmlytics.leads.late_fields import late_field_table
from crmlytics.leads.owners import owner_table
from crmlytics.testing import make_frame, records

END = pd.Timestamp("2024-12-31")
MADE = make_leads(6000, random_state=1).leads
KNOWN = ["source", "industry", "job_title", "visits", "company_size", "demo_requested"]
START = dt.datetime(2024, 1, 1)


def table_of(table):
    return pd.DataFrame(records(table), columns=nw.from_native(table).collect_schema().names())


def few_leads():
    """Make 80 leads of ann, 10 of bob and 40 young ones: by plain rates 40 of 80 and 2 of 10."""
    owner = ["ann"] * 80 + ["bob"] * 10 + ["ann"] * 40
    created = [START + dt.timedelta(days=i % 9) for i in range(90)] + [START + dt.timedelta(days=80)] * 40
    won = [i < 40 or 80 <= i < 82 or i >= 120 for i in range(130)]
    after = [dt.timedelta(days=29) if i else dt.timedelta(days=30) for i in range(130)]  # the first converts too late
    return {
        "lead_id": list(range(130)),
        "created_at": created,
        "converted_at": [at + wait if is_won else None for at, wait, is_won in zip(created, after, won, strict=True)],
        "owner": owner,
    }


# -- owners --------------------------------------------------------------------------------------------------------


def test_plain_rates_by_hand_on_every_kind(frame):
    leads = frame(few_leads())
    table = owner_table(leads, as_of="2024-03-31", within="30d", adjust_for=[])
    assert type(table) is type(leads)
    found = table_of(table).set_index("owner")
    assert found["lead_count"].to_dict() == {"ann": 80, "bob": 10}
    assert found["young_count"].to_dict() == {"ann": 40, "bob": 0}  # ten of whom have converted: they do not count
    assert found["converted_count"].to_dict() == {"ann": 39, "bob": 2}
    assert found["conversion_rate"].to_dict() == pytest.approx({"ann": 39 / 80, "bob": 0.2})
    assert found["expected_count"].to_dict() == pytest.approx({"ann": 80 * 41 / 90, "bob": 10 * 41 / 90})
    assert found["ratio"].to_dict() == pytest.approx({"ann": 39 / 80 / (41 / 90), "bob": 0.2 / (41 / 90)})
    rate = 41 / 90
    z = (2 - 10 * rate) / np.sqrt(10 * rate * (1 - rate))
    assert found["p_value"]["bob"] == pytest.approx(2 * special.ndtr(z))
    assert found["verdict"].to_dict() == {"ann": "as expected", "bob": "too few"}
    assert np.isnan(found["adjusted_p_value"]["bob"])


def test_a_lead_is_old_enough_on_the_day_its_time_is_over():
    leads = pd.DataFrame(few_leads())
    on_time, early = (
        owner_table(leads, as_of=START + dt.timedelta(days=days), within="30d").set_index("owner") for days in (38, 37)
    )
    assert on_time["lead_count"].to_dict() == {"ann": 80, "bob": 10}
    assert early["lead_count"].to_dict() == {"ann": 80 - 8, "bob": 10 - 2}  # those created on the ninth day
    assert early["young_count"].to_dict() == {"ann": 8, "bob": 2}


def test_without_a_mix_the_interval_is_wilsons():
    table = owner_table(pd.DataFrame(few_leads()), as_of="2024-03-31", within="30d", adjust_for=[], alpha=0.1)
    low, high = wilson(table["converted_count"], table["lead_count"], 0.9)
    rate = table["converted_count"].sum() / table["lead_count"].sum()
    assert table["ratio_low"].to_numpy() == pytest.approx(low / rate)
    assert table["ratio_high"].to_numpy() == pytest.approx(high / rate)


def test_the_shrunken_ratio_is_the_likeliest_under_the_spread_of_all():
    total, won = np.array([100, 100, 50]), np.array([40, 20, 5])
    leads = pd.DataFrame({
        "lead_id": range(250),
        "created_at": START,
        "converted_at": [START if i < w else pd.NaT for n, w in zip(total, won, strict=True) for i in range(n)],
        "owner": np.repeat(["a", "b", "c"], total),
    })  # fmt: skip
    table = owner_table(leads, as_of=END, adjust_for=[]).set_index("owner").sort_index()
    rate = 65 / 250
    weight = total * rate * (1 - rate)
    effect = (won - total * rate) / weight  # their weighted mean is 0
    spread = (weight @ effect**2 - 2) / (weight.sum() - weight @ weight / weight.sum())
    assert spread == pytest.approx(0.543, abs=1e-3)  # (18.71 - 2) / 30.78
    odds = np.log(rate / (1 - rate))

    def likelihood(at, n, w):
        p = special.expit(odds + at)
        return -(w * np.log(p) + (n - w) * np.log(1 - p) - at**2 / (2 * spread))

    at = [optimize.minimize_scalar(likelihood, args=pair, tol=1e-12).x for pair in zip(total, won, strict=True)]
    assert table["shrunken_ratio"].to_numpy() == pytest.approx(special.expit(odds + np.array(at)) / rate, abs=1e-5)


@pytest.mark.parametrize("kind", ["pandas", "pandas-nullable", "polars", "polars-lazy", "pyarrow", "duckdb"])
def test_dtypes_and_numbers_are_the_same_on_every_kind(kind):
    made = {name: list(values) for name, values in MADE.head(900).astype(object).where(MADE.notna(), None).items()}
    leads = make_frame(made, kind)
    with pytest.warns(DataQualityWarning, match=r"look filled late or tell the outcome, and are left out"):
        owners = owner_table(leads, as_of=END, within="20d")
    fields = late_field_table(leads, as_of=END)
    words = {"owner", "verdict", "column", "reason"}
    for table in (owners, fields):
        for name, dtype in nw.from_native(table).collect_schema().items():
            whole = name in {"lead_count", "young_count", "converted_count"}
            assert dtype == (nw.String if name in words else nw.Int64 if whole else nw.Float64), name
    with warnings.catch_warnings(action="ignore"):
        expected = owner_table(MADE.head(900), as_of=END, within="20d")
    pd.testing.assert_frame_equal(table_of(owners), expected, check_dtype=False)
    pd.testing.assert_frame_equal(table_of(fields), late_field_table(MADE.head(900), as_of=END), check_dtype=False)


def test_planted_owners_are_found_and_who_only_got_good_leads_is_not_praised():
    table = owner_table(MADE, as_of=END, adjust_for=KNOWN).set_index("owner")
    assert table["verdict"].to_dict() == {
        "Ana": "better", "Ben": "as expected", "Cleo": "as expected", "Dan": "worse", "Eva": "as expected",
    }  # fmt: skip
    plain = owner_table(MADE, as_of=END, adjust_for=[]).set_index("owner")
    assert plain["verdict"]["Cleo"] == "better"
    assert plain["ratio"]["Cleo"] > 1.5
    assert table["ratio"]["Ana"] == pytest.approx(1.5, abs=0.15)
    assert ((table["shrunken_ratio"] - 1).abs() <= (table["ratio"] - 1).abs() + 1e-12).all()
    rate = table["converted_count"].sum() / table["lead_count"].sum()
    assert table["adjusted_rate"].to_numpy() == pytest.approx(table["shrunken_ratio"].to_numpy() * rate)


def test_sources_are_compared_alike():
    table = owner_table(MADE, as_of=END, by="source", adjust_for=[*KNOWN[1:], "owner"]).set_index("source")
    assert table["verdict"]["referral"] == "better"
    assert table["verdict"]["cold_call"] == "worse"
    assert table["verdict"]["website"] == "as expected"
    assert table.index[0] == "referral"  # the best first


def test_owners_who_are_alike_are_rarely_told_apart():
    false_alarms, covered = 0, []
    for seed in range(12):
        leads = make_leads(800, owner_effect=0, random_state=seed).leads
        table = owner_table(leads, as_of=END, adjust_for=KNOWN)
        false_alarms += table["verdict"].isin(["better", "worse"]).any()
        covered.append(((table["ratio_low"] <= 1) & (table["ratio_high"] >= 1)).mean())
    assert false_alarms <= 3  # of 12 tables, each with an error rate of 5 %: more has probability .2 %
    assert np.mean(covered) > 0.92


@given(days=st.integers(0, 400), who=st.sampled_from(["ann", "bob", "eve"]))
@settings(max_examples=15)
def test_nothing_at_or_after_as_of_is_read(days, who):
    leads = pd.DataFrame(few_leads())
    expected = owner_table(leads, as_of="2024-03-31", within="30d")
    moment = pd.Timestamp("2024-03-31") + pd.Timedelta(days=days)
    late = leads.tail(1).assign(lead_id=999, created_at=moment, converted_at=moment, owner=who)
    poisoned = pd.concat([leads, late], ignore_index=True)
    open_lead = poisoned["lead_id"] == 119
    poisoned.loc[open_lead, "converted_at"] = moment  # it converts later, which nobody knows yet
    pd.testing.assert_frame_equal(owner_table(poisoned, as_of="2024-03-31", within="30d"), expected)


def test_leads_without_an_owner_and_owners_as_numbers():
    leads = pd.DataFrame(few_leads())
    leads["owner"] = leads["owner"].map({"ann": 7.0, "bob": np.nan})
    table = owner_table(leads, as_of="2024-03-31", within="30d")
    assert sorted(table["owner"]) == ["7", "unknown"]
    assert table.set_index("owner")["lead_count"].to_dict() == {"7": 80, "unknown": 10}


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "duckdb"])
def test_groups_of_numbers_keep_their_digits_and_flags_their_name(kind):
    """Ten leads an owner, five of which converted; ids beyond what a float holds, with and without a missing one."""
    large = 2**53
    for values, expected in (
        ([large, large + 1, None], [str(large), str(large + 1), "unknown"]),
        ([1.2, 1.4, math.nan], ["1.2", "1.4", "unknown"]),
        ([True, False, None], ["False", "True", "unknown"]),
        (["Ann\u00a0", "ann", " n/a"], ["Ann", "ann", "unknown"]),
    ):
        leads = {
            "lead_id": list(range(30)), "created_at": [START] * 30, "team": [one for one in values for _ in range(10)],
            "converted_at": [START + dt.timedelta(days=1) if i % 2 else None for i in range(30)],
        }  # fmt: skip
        leads["team"] = pd.array(leads["team"], dtype="Int64") if values[0] == large else leads["team"]
        frame = make_frame(pd.DataFrame(leads), kind)
        owners = table_of(owner_table(frame, as_of=END, by="team", adjust_for=[]))
        assert sorted(owners["team"]) == expected
        assert owners["lead_count"].tolist() == [10, 10, 10]
        times = table_of(conversion_time_table(frame, as_of=END, by="team"))
        assert times["team"].tolist() == expected


def test_conversions_without_a_date_count_as_in_time_and_are_told():
    leads = pd.DataFrame(few_leads())
    leads["converted"] = leads["converted_at"].notna()
    leads.loc[85, "converted"] = True
    with pytest.warns(DataQualityWarning, match=r"1 of 43 conversions have no converted_at: they count as converted"):
        table = owner_table(leads, as_of="2024-03-31", within="30d")
    assert table.set_index("owner")["lead_count"].to_dict() == {"ann": 80, "bob": 10}
    assert table.set_index("owner")["converted_count"].to_dict() == {"ann": 39, "bob": 3}
    with pytest.warns(DataQualityWarning, match=r"43 of 43 conversions have no converted_at"):
        undated = owner_table(leads.drop(columns="converted_at"), as_of="2024-03-31", within="30d")
    assert undated.set_index("owner")["converted_count"].to_dict() == {"ann": 40, "bob": 3}


def test_says_what_is_wrong():
    leads = pd.DataFrame(few_leads())
    given = {"as_of": "2024-03-31", "within": "30d"}
    with pytest.raises(SchemaError, match=r"no lead is 400 days old at as_of \(the oldest lead is 90 days old\)"):
        owner_table(leads, as_of="2024-03-31", within="400d")
    with pytest.raises(SchemaError, match=r"none of the 130 leads old enough converted within 3 days"):
        owner_table(leads, as_of="2024-03-31", within="3d")
    with pytest.raises(MissingColumnsError, match=r"no field by='ownr' to compare by\. Did you mean 'owner'\?"):
        owner_table(leads, **given, by="ownr")
    with pytest.raises(SchemaError, match=r"adjust_for must be a list of fields other than 'owner', got \['size'\]"):
        owner_table(leads, **given, adjust_for=["size"])
    with pytest.raises(MissingColumnsError, match=r"owner_table needs \['converted_at'\]"):
        owner_table(leads.drop(columns="converted_at"), **given)


# -- late fields ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("n_leads", [200, 4000])
def test_planted_late_fields_are_caught_and_honest_ones_are_not(n_leads, seed):
    leads = make_leads(n_leads, random_state=seed).leads
    table = late_field_table(leads, as_of=END).set_index("column")
    assert table.index[:2].tolist() == ["contract_type", "last_call_result"]
    assert table["verdict"].tolist() == ["late-filled"] * 2 + ["fine"] * (len(table) - 2)
    assert "of the leads that converted and for 0% of the others" in table["reason"]["contract_type"]
    assert table["reason"]["last_call_result"].startswith("of leads not converted, filled for ")


def test_shares_by_hand_on_every_kind(frame):
    """Nine leads a day apart, the last three converted; half of the forms say nothing in some way."""
    columns = {
        "lead_id": list(range(9)),
        "created_at": [START + dt.timedelta(days=i) for i in range(9)],
        "converted": [i >= 6 for i in range(9)],
        "industry": ["Select", "a", " UNKNOWN ", "a", "", "b", "a", None, "b"],
        "size": [1.0, None, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, None],
    }
    found = table_of(late_field_table(frame(columns), as_of=START + dt.timedelta(days=30))).set_index("column")
    industry, size = found.loc["industry"], found.loc["size"]
    assert industry[["filled_share", "filled_share_converted", "filled_share_other"]].tolist() == pytest.approx(
        [5 / 9, 2 / 3, 1 / 2]
    )
    assert industry[["filled_share_old", "filled_share_young"]].tolist() == [0.5, 0.5]  # leads 0 1 and 4 5
    assert size[["filled_share_old", "filled_share_young"]].tolist() == [0.5, 1.0]
    assert industry["filled_auc"] == pytest.approx((2 * 3 + 0.5 * (2 * 3 + 1 * 3)) / 18)
    assert size["age_correlation"] == pytest.approx(-1)  # 1 2 3 4 5 grow with the day of creation
    assert found["verdict"].tolist() == ["fine", "fine"]  # nine leads prove nothing


def leaky(n=3000):
    """Make leads of which some fields are honest and strong, and others are told by their values alone."""
    rng = np.random.default_rng(0)
    quality, age = rng.normal(size=n), rng.uniform(0, 300, n)
    won = rng.random(n) < special.expit(2 * quality - 1)
    return pd.DataFrame({
        "lead_id": np.arange(n),
        "created_at": END - pd.to_timedelta(age, unit="D"),
        "converted": won,
        "fit": quality.round(2),
        "phone": np.where(rng.random(n) < np.where(won, 0.8, 0.6), "given", None),
        "balance": np.where(won, rng.gamma(3, 10, n), 0.01 * rng.random(n)),
        "status": np.where(won & (rng.random(n) < 0.4), "customer", np.where(rng.random(n) < 0.5, "lead", "contact")),
        "mails": np.where(rng.random(n) < np.where(won, 0.95, 0.35), 1.0, np.nan),
        "visits": rng.poisson(age / 30),
        "name": [f"n{i}" for i in range(n)],
    })  # fmt: skip


def test_values_that_tell_too_much_are_suspicious_and_strong_ones_are_fine():
    table = late_field_table(leaky(), as_of=END).set_index("column")
    assert table["verdict"].to_dict() == {
        "balance": "tells the outcome", "mails": "suspicious", "status": "suspicious", "visits": "suspicious",
        "fit": "fine", "name": "fine", "phone": "fine",
    }  # fmt: skip
    assert table["reason"]["balance"].startswith("the value alone tells who converted (AUC 0.99")
    assert table["reason"]["status"] == "nearly all leads with 'customer' converted"
    assert table["reason"]["visits"].startswith("grows with age (rank correlation 0.")
    assert table["reason"]["mails"].startswith("filled for 9")
    assert table["reason"]["fit"] == "nothing says that it is filled later"
    assert 0.8 < table["value_auc"]["fit"] < 0.9
    assert table["value_auc"]["name"] == pytest.approx(0.5, abs=0.02)


def test_words_for_nothing_are_the_callers():
    leads = leaky(600).assign(phone=lambda t: np.where(t["converted"], "given", "Bitte\u00a0w\u00e4hlen "))
    plain, said = (
        late_field_table(leads, as_of=END, columns=["phone"], **more).iloc[0]
        for more in ({}, {"missing_words": ["bitte w\u00e4hlen"]})
    )
    assert (plain["filled_share_other"], plain["verdict"]) == (1.0, "tells the outcome")
    assert (said["filled_share_other"], said["verdict"]) == (0.0, "late-filled")


def test_another_target_and_some_of_the_columns():
    leads = leaky(600)
    table = late_field_table(leads.rename(columns={"converted": "signed"}), as_of=END, target="signed", columns=["fit"])
    pd.testing.assert_frame_equal(table, late_field_table(leads, as_of=END, columns=["fit"]))
    dated = leads.assign(converted_at=(leads["created_at"] + pd.Timedelta(days=1)).where(leads["converted"]))
    by_date = late_field_table(dated.drop(columns="converted"), as_of=END + pd.Timedelta(days=1), columns=["fit"])
    later = late_field_table(leads, as_of=END + pd.Timedelta(days=1), columns=["fit"])
    pd.testing.assert_frame_equal(by_date, later)


def test_a_conversion_at_or_after_as_of_is_not_known():
    leads = leaky(600)
    leads["converted_at"] = (leads["created_at"] + pd.Timedelta(days=20)).where(leads["converted"])
    leads = leads[leads["created_at"] < END - pd.Timedelta(days=5)]
    unknown = leads.assign(converted=leads["converted"] & (leads["converted_at"] < END))
    assert (unknown["converted"] != leads["converted"]).any()
    pd.testing.assert_frame_equal(late_field_table(leads, as_of=END), late_field_table(unknown, as_of=END))


def test_leads_without_fields_have_an_empty_table():
    leads = pd.DataFrame({"lead_id": [1, 2], "created_at": [START, START], "converted": [True, False]})
    table = late_field_table(leads, as_of=END)
    assert len(table) == 0
    assert table.columns.tolist() == late_field_table(leaky(60), as_of=END).columns.tolist()


def test_says_what_is_wrong_with_the_target():
    leads = leaky(60)
    with pytest.raises(SchemaError, match=r"no lead created before as_of converted: there is nothing to compare"):
        late_field_table(leads.assign(converted=False), as_of=END)
    with pytest.raises(MissingColumnsError, match=r"no column target='conv'"):
        late_field_table(leads, as_of=END, target="conv")
    with pytest.raises(SchemaError, match=r"target='status' holds String, expected true and false, or 0 and 1"):
        late_field_table(leads, as_of=END, target="status")
    with pytest.raises(MissingColumnsError, match=r"no field 'balanc'\. Did you mean 'balance'\?"):
        late_field_table(leads, as_of=END, columns=["balanc"])
    with pytest.raises(SchemaError, match=r"columns must be a list of names such as \['fit'\], got 'fit'"):
        late_field_table(leads, as_of=END, columns="fit")
    with pytest.raises(MissingColumnsError, match=r"needs \['converted'\]"):
        late_field_table(leads.drop(columns="converted"), as_of=END)


def test_telemarketing_calls_whose_length_is_known_afterwards(shared_data):
    bank = pd.read_parquet(shared_data / "bank_marketing.parquet")
    bank.columns = [name.replace(".", "_") for name in bank.columns]
    if "duration" not in bank or "y" not in bank:
        pytest.skip("the columns have other names")
    bank = bank.assign(lead_id=range(len(bank)), created_at=START + pd.to_timedelta(np.arange(len(bank)), unit="m"))
    bank["converted"] = bank.pop("y").isin(["yes", 1, True])
    table = late_field_table(Leads(bank), as_of=END).set_index("column")
    assert table["value_auc"].idxmax() == "duration"
    assert table["value_auc"]["duration"] > 0.8
