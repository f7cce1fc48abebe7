"""What the check of randomisation promises: textbook figures, few false alarms, a loud one where arms were chosen."""

import datetime as dt
import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats

import crmlytics as crm
from crmlytics._kernels.balance import mean_p_value, omnibus, sample_ratio_p_value, standardised_differences
from crmlytics.campaigns.uplift._plots import plot_balance
from crmlytics.campaigns.uplift.balance import balance_table, randomisation_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

mpl.use("Agg")

SIX = {
    "customer_id": [6, 5, 4, 3, 2, 1],
    "arm": ["mail", "mail", "mail", "control", "control", "control"],
    "visits": [1.0, 2.0, 3.0, 3.0, 4.0, 5.0],
    "is_member": [True, True, False, False, False, True],
    "region": ["north", "south", "north", None, "south", "south"],
    "converted": [True, True, True, False, False, False],  # known only afterwards
    "country": ["GR"] * 6,  # says nothing
}


def dealt(rows=500, *, columns=5, seed=0, pull=0.0, share=0.5):
    """Customers dealt to arms at random, or by their first covariate."""
    random = np.random.default_rng(seed)
    known = random.normal(size=(rows, columns))
    treated = random.random(rows) < 1 / (1 + np.exp(-pull * known[:, 0])) * share * 2
    table = pd.DataFrame(known, columns=[f"x{number}" for number in range(columns)])
    return table.assign(customer_id=range(rows), arm=np.where(treated, "mail", "control"))


# -- by hand -----------------------------------------------------------------------------------------------------------


def test_differences_by_hand_on_every_frame(frame):
    came = frame(SIX)
    table = balance_table(came)
    assert type(table) is type(came)
    rows = {row[1:3]: row[3:] for row in records(table)}
    assert list(rows) == [
        ("visits", "mean"), ("is_member", "mean"), ("region", "north"), ("region", "south"), ("region", "missing"),
    ]  # fmt: skip
    mean, control, difference, p_value, is_large = rows["visits", "mean"]
    assert (mean, control, is_large) == (2.0, 4.0, True)
    assert difference == pytest.approx(-2.0)  # both variances are 1
    assert p_value == pytest.approx(stats.ttest_ind([1, 2, 3], [3, 4, 5], equal_var=False).pvalue)
    assert rows["is_member", "mean"][2] == pytest.approx((2 / 3 - 1 / 3) / np.sqrt(2 / 9))
    assert rows["region", "north"][:3] == (pytest.approx(2 / 3), 0.0, pytest.approx(2 / 3 / np.sqrt(1 / 9)))
    assert rows["region", "missing"][:2] == (0.0, pytest.approx(1 / 3))


def test_numbers_that_are_missing_are_a_level_of_their_own():
    visits = [1.0, None, None, 3.0, 4.0, 5.0]
    rows = records(balance_table(make_frame(SIX | {"visits": visits}, kind="polars"), columns=["visits"]))
    assert [row[2:5] for row in rows] == [("mean", 1.0, 4.0), ("missing", pytest.approx(2 / 3), 0.0)]
    assert rows[0][5:7] == (None, None)  # one customer has no variance


def test_dates_are_days_and_rare_words_are_taken_together():
    rows = 50
    table = pd.DataFrame(
        {
            "customer_id": range(rows),
            "arm": ["mail", "control"] * 25,
            "joined": [dt.datetime(1970, 1, 1) + dt.timedelta(days=day % 4) for day in range(rows)],
            "town": ["Athens"] * 20 + [f"village {number:02}" for number in range(30)],
        }
    )
    found = records(balance_table(table))
    assert found[0][1:3] == ("joined", "mean")
    assert found[0][3:5] == (pytest.approx(24 / 25), pytest.approx(49 / 25))  # days 0 and 2, days 1 and 3
    towns = [row[2] for row in found if row[1] == "town"]
    assert len(towns) == 21
    assert towns[0] == "Athens"
    assert towns[-1] == "any other"


def test_a_difference_without_variance_is_infinite():
    values, treated = np.array([[1.0], [1], [2], [2]]), np.array([True, True, False, False])
    assert standardised_differences(values, treated).tolist() == [-np.inf]
    assert standardised_differences(np.ones((4, 1)), treated).tolist() == [0.0]
    assert mean_p_value(values[:2, 0], values[2:, 0]) == 0
    assert mean_p_value(np.ones(2), np.ones(2)) == 1


def test_omnibus_is_hotellings_test_and_columns_that_repeat_others_do_not_count():
    table = dealt(80, columns=3, seed=1)
    known, treated = table[["x0", "x1", "x2"]].to_numpy(), (table["arm"] == "mail").to_numpy()
    groups = known[treated], known[~treated]
    sizes = [len(group) for group in groups]
    pooled = sum((size - 1) * np.cov(group.T) for size, group in zip(sizes, groups, strict=True)) / (80 - 2)
    apart = groups[0].mean(axis=0) - groups[1].mean(axis=0)
    squared = apart @ np.linalg.solve(pooled, apart) * sizes[0] * sizes[1] / 80
    expected = stats.f.sf(squared * (80 - 3 - 1) / ((80 - 2) * 3), 3, 80 - 3 - 1)
    repeated = np.column_stack([known, known[:, 0] + known[:, 1], np.ones(80)])
    found = omnibus(repeated, treated)
    assert found.degrees == 3
    assert found.p_value == pytest.approx(expected)
    residuals = treated - np.column_stack([known, np.ones(80)]) @ np.linalg.lstsq(
        np.column_stack([known, np.ones(80)]), treated.astype(float), rcond=None
    )[0]  # fmt: skip
    explained = 1 - residuals.var() / treated.var()
    assert found.statistic == pytest.approx(79 * explained)


def test_sample_ratio_of_a_well_known_experiment():
    """821,588 against 815,482 users, planned half and half: p = 1.8e-6 in Kohavi & Thomke (2017) and others since."""
    assert sample_ratio_p_value(821_588, 815_482, 0.5) == pytest.approx(1.8e-6, rel=0.02)
    assert sample_ratio_p_value(30, 10, 0.75) == 1


# -- how often it is wrong ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rows", "columns"), [(100, 5), (100, 40)])
def test_doubts_one_of_twenty_sound_trials(rows, columns):
    random = np.random.default_rng(columns)
    doubted = 0
    for _ in range(200):
        known = random.gamma(1, 10, (rows, columns))  # as skewed as money is
        doubted += omnibus(known, random.permutation(rows) < rows // 4).p_value < 0.05
    assert 0.015 < doubted / 200 < 0.09


def test_says_so_where_customers_were_chosen():
    table = dealt(pull=1.0)
    with pytest.warns(DataQualityWarning, match=r"balance_table: 'mail' and control were not alike before.*in x0, "):
        balance = balance_table(table)
    assert balance["is_large"].tolist()[0]
    with pytest.warns(DataQualityWarning, match=r"randomisation_table: 'mail'.*not randomised"):
        tests = randomisation_table(table)
    assert tests["verdict"].tolist() == ["not randomised"]


def test_complete_journey_chose_whom_to_send_coupons():
    """Campaigns went to households that buy more; their purchases before the campaign tell."""
    data = crm.datasets.load_complete_journey()
    started = data.campaign_descriptions.set_index("campaign_id")["start_date"][18]
    lines = data.transactions[data.transactions["transaction_timestamp"] < pd.Timestamp(started)]
    before = lines.groupby("household_id").agg(orders=("basket_id", "nunique"), spent=("sales_value", "sum"))
    sent = data.campaigns.loc[data.campaigns["campaign_id"] == 18, "household_id"]
    table = before.reset_index().assign(arm=lambda rows: np.where(rows["household_id"].isin(sent), "sent", "control"))
    with pytest.warns(DataQualityWarning, match=r"'sent' and control were not alike before the contact"):
        tests = randomisation_table(table, key=["household_id"])
    row = tests.iloc[0]
    assert row["verdict"] == "not randomised"
    assert row["large_count"] == 2


def test_information_uplift_was_randomised(shared_data):
    trial = pd.read_parquet(shared_data / "information_uplift" / "train.parquet").reset_index()
    table = trial.rename(columns={"index": "customer_id"}).drop(columns="PURCHASE")
    with warnings.catch_warnings(action="error"):
        tests = randomisation_table(table, arm="TREATMENT", control=0, planned_shares={"1": 1, "0": 1})
    assert tests["verdict"].tolist() == ["consistent with random assignment"]
    assert tests["covariate_count"].tolist() == [68]


# -- the table of tests ------------------------------------------------------------------------------------------------


def test_tests_by_hand_on_every_frame(frame):
    table = dealt(60, columns=2)
    came = frame({name: table[name].tolist() for name in table.columns})
    tests = randomisation_table(came)
    assert type(tests) is type(came)
    (row,) = records(tests)
    treated = (table["arm"] == "mail").to_numpy()
    expected = omnibus(table[["x0", "x1"]].to_numpy(), treated)
    assert row[:4] == ("mail", int(treated.sum()), int((~treated).sum()), None)
    assert row[4:7] == (pytest.approx(treated.mean()), None, 2)
    assert row[9:12] == (pytest.approx(expected.statistic), 2, pytest.approx(expected.p_value))


def test_customers_who_went_missing_are_noticed():
    table = dealt(4_000)
    lost = table[(table["arm"] == "mail") | (table["customer_id"] % 4 > 0)]
    with pytest.warns(DataQualityWarning, match=r"sample ratio mismatch: 'mail' has 5\d.\d\d% .* 50.00% were planned"):
        tests = randomisation_table(lost, planned_shares={"mail": 0.5, "control": 0.5})
    assert tests["verdict"].tolist() == ["sample ratio mismatch"]


def test_planned_shares_of_several_arms_are_those_of_each_against_control():
    table = dealt(1_000).assign(arm=["mail"] * 500 + ["call"] * 300 + ["control"] * 200)
    tests = randomisation_table(table, planned_shares={"mail": 5, "call": 3, "control": 2})
    assert tests["arm"].tolist() == ["call", "mail"]
    assert tests["planned_share"].tolist() == pytest.approx([0.6, 5 / 7])
    assert tests["ratio_p_value"].tolist() == [1, 1]


def test_between_an_alarm_and_none_there_is_doubt():
    table = dealt(400, pull=0.32, seed=0)
    tests = randomisation_table(table)
    assert 0.001 < tests["omnibus_p_value"][0] < 0.01
    assert tests["verdict"][0] == "doubtful"
    sizes = dealt(1_000).assign(arm=["mail"] * 545 + ["control"] * 455)  # 2.85 standard deviations off
    tests = randomisation_table(sizes, planned_shares={"mail": 1, "control": 1})
    assert 0.001 < tests["ratio_p_value"][0] < 0.01
    assert tests["verdict"][0] == "doubtful"


# -- refusals and the picture ------------------------------------------------------------------------------------------


def test_says_what_is_wrong():
    table = pd.DataFrame(SIX)
    with pytest.raises(
        MissingColumnsError, match=r"balance_table needs the columns \['visit'\]. Did you mean 'visits'"
    ):
        balance_table(table, columns=["visit"])
    with pytest.raises(SchemaError, match=r"nothing known before the contact.*only \['country'\] with one value"):
        balance_table(table, columns=["country"])
    with pytest.raises(SchemaError, match=r"'visits' is infinite in 1 rows"):
        balance_table(table.assign(visits=[np.inf, 1, 2, 3, 4, 5]))
    with pytest.raises(
        SchemaError, match=r"planned_shares must have a share for each of the arms \['control', 'mail'\]"
    ):
        randomisation_table(table, planned_shares={"mail": 0.5})
    with pytest.raises(SchemaError, match=r"planned_shares\['mail'\] must be a number above zero, got 0"):
        randomisation_table(table, planned_shares={"mail": 0, "control": 1})


def test_picture_has_the_largest_difference_on_top():
    ax = plot_balance(balance_table(make_frame(SIX, kind="polars")))
    lines = [label.get_text() for label in ax.get_yticklabels()]
    assert lines[-2:] == ["visits", "region: north"] or lines[-2:] == ["region: north", "visits"]
    assert ax.get_title(loc="left") == "5 of 5 differ by more than 0.1"
    mpl.pyplot.close(ax.figure)
    with pytest.raises(MissingColumnsError, match=r"draws the result of balance_table: no columns \['level'\]"):
        plot_balance(balance_table(pd.DataFrame(SIX)).drop(columns="level"))
