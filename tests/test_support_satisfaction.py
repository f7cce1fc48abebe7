"""What the tables of satisfaction promise: marks by hand, differences that a brute force finds too, honest refusals."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

import crmlytics as crm
from crmlytics._frames import to_pandas
from crmlytics._kernels.adjusted_differences import (
    aliased_columns,
    explained_shares,
    jackknifed_regression,
)
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.support._marks import check_mark, scale_of
from crmlytics.support._plots import plot_satisfaction_drivers
from crmlytics.support.outcomes import ticket_outcome_table
from crmlytics.support.satisfaction import satisfaction_table
from crmlytics.support.satisfaction_drivers import satisfaction_driver_table
from crmlytics.testing import make_frame

DAY = pd.Timestamp("2024-01-01")
MARKS = {
    "ticket_id": [1, 2, 3, 4, 5, 6],
    "customer_id": ["a", "a", "b", "b", "c", "d"],
    "opened_at": [DAY] * 6,
    "closed_at": [DAY + pd.Timedelta(days=1)] * 5 + [None],
    "channel": ["web", "web", "web", "mail", "mail", "mail"],
    "satisfaction": [5, 3, 4, 2, None, 1],  # the last is not closed: its mark is not known yet
}


def made(n=600, seed=0, effect=0.8):
    """Return tickets whose marks fall with the hours to a reply, and hang on nothing else."""
    rng = np.random.default_rng(seed)
    hours = rng.exponential(10, n)
    opened = DAY + pd.to_timedelta(rng.integers(0, 200, n), unit="D")
    replied = opened + pd.to_timedelta(hours, unit="h")
    return pd.DataFrame({
        "ticket_id": rng.permutation(n), "customer_id": rng.integers(0, n // 2, n), "opened_at": opened,
        "first_reply_at": replied, "closed_at": replied + pd.to_timedelta(rng.exponential(20, n), unit="h"),
        "category": rng.choice(["bill", "ship", "shop"], n), "channel": rng.choice(["web", "mail"], n),
        "satisfaction": np.clip(np.rint(5 - effect * np.log1p(hours) + rng.normal(0, 0.7, n)), 1, 5),
    })  # fmt: skip


# -- marks -----------------------------------------------------------------------------------------------------------


def test_marks_by_hand_and_the_kind_that_came_in(frame):
    tickets = frame(MARKS)
    found = satisfaction_table(tickets, as_of="2024-02-01", by="channel")
    assert type(found) is type(tickets)
    rows = to_pandas(found)
    assert rows["group"].tolist() == ["mail", "web"]
    assert rows[["closed_count", "mark_count"]].to_numpy().tolist() == [[2, 1], [3, 3]]
    assert rows["marked_share"].tolist() == [0.5, 1.0]
    assert rows["satisfaction_mean"].tolist() == [2.0, 4.0]
    assert rows["satisfied_share"].tolist() == pytest.approx([0.0, 2 / 3])
    # web: residuals 1 and -1 of one customer, 0 of the other: the mean has no error that customers would show
    assert rows["satisfaction_mean_low"].isna().all()
    assert rows["nps_score"].isna().all()
    assert rows["caution"].str.contains("Fewer than 30 customers.", regex=False).all()


def test_the_interval_is_students_where_each_ticket_has_its_own_customer():
    tickets = pd.DataFrame(MARKS).drop(columns="customer_id")
    row = satisfaction_table(tickets, as_of="2024-02-01").iloc[0]
    marks, reach = np.array([5, 3, 4, 2]), 3.182446305284263  # t of 3 degrees of freedom
    error = marks.std(ddof=1) / 2
    bounds = row["satisfaction_mean_low"], row["satisfaction_mean_high"]
    assert bounds == pytest.approx((3.5 - reach * error, 5.0))  # cut at the end of the scale
    assert (row["satisfied_share_low"], row["satisfied_share_high"]) == pytest.approx((0.1500, 0.8500), abs=1e-4)


def test_many_marks_of_few_customers_are_few():
    tickets = made(n=200).assign(customer_id=lambda rows: rows["ticket_id"] % 29)
    assert satisfaction_table(tickets, as_of="2024-07-01")["caution"].tolist() == ["Fewer than 30 customers."]


def test_who_is_satisfied_is_the_callers_choice():
    tickets = pd.DataFrame(MARKS)
    assert satisfaction_table(tickets, as_of="2024-02-01", satisfied_from=3)["satisfied_share"].tolist() == [0.75]
    ten = satisfaction_table(tickets.assign(satisfaction=[10, 9, 8, 3, None, 0]), as_of="2024-02-01", scale=(0, 10))
    assert ten[["nps_score", "satisfied_share", "satisfied_from"]].to_numpy().tolist() == [[25.0, 0.75, 7.5]]


def test_complaints_of_the_cfpb(shared_data):
    """The share that did not dispute the answer, as marks of 1 and 0; complaints have no date of closing."""
    rows = pd.read_parquet(shared_data / "cfpb_complaints.parquet")
    sent = pd.to_datetime(rows["Date sent to company"], format="%m/%d/%Y")
    answered = rows["Consumer disputed?"]
    tickets = pd.DataFrame({
        "ticket_id": range(len(rows)), "opened_at": pd.to_datetime(rows["Date received"], format="%m/%d/%Y"),
        "closed_at": sent, "channel": rows["Submitted via"],
        "satisfaction": answered.map({"No": 1.0, "Yes": 0.0}),
    })  # fmt: skip
    tickets = tickets[tickets["closed_at"] >= tickets["opened_at"]]
    kept = answered[tickets.index]
    row = satisfaction_table(tickets, as_of="2030-01-01", scale=(0, 1)).iloc[0]
    assert row["mark_count"] == kept.notna().sum()
    assert row["satisfied_share"] == pytest.approx((kept == "No").sum() / kept.notna().sum())
    assert row["satisfied_share_low"] < row["satisfied_share"] < row["satisfied_share_high"]


def test_marks_that_are_missing_everywhere_are_told():
    tickets = pd.DataFrame(MARKS).assign(satisfaction=np.nan)
    with pytest.raises(SchemaError, match=r"no ticket closed before as_of has a mark \(5 of 6 are closed\)"):
        satisfaction_table(tickets, as_of="2024-02-01")
    with pytest.raises(SchemaError, match="0 closed tickets have a mark, and it takes 30"):
        satisfaction_driver_table(tickets, as_of="2024-02-01")
    with pytest.raises(MissingColumnsError, match=r"satisfaction_table needs \['satisfaction'\]"):
        satisfaction_table(tickets.drop(columns="satisfaction"), as_of="2024-02-01")
    with pytest.raises(SchemaError, match=r"satisfied_from must lie within scale=\(1.0, 5.0\)"):
        satisfaction_table(pd.DataFrame(MARKS), as_of="2024-02-01", satisfied_from=1)


def test_marks_that_are_all_alike_are_as_many_as_customers():
    tickets = pd.DataFrame({
        "ticket_id": range(500), "customer_id": np.repeat(np.arange(10), 50), "opened_at": DAY,
        "closed_at": DAY + pd.Timedelta(hours=1), "satisfaction": 10,
    })  # fmt: skip
    row = satisfaction_table(tickets, as_of="2024-02-01", scale=(0, 10)).iloc[0]
    assert row["nps_score"] == 100
    assert 30 < row["nps_score_low"] < 60  # 98.5, had each ticket a customer of its own
    one = satisfaction_table(tickets.assign(customer_id=1), as_of="2024-02-01", scale=(0, 10)).iloc[0]
    assert one[["nps_score_low", "satisfied_share_low", "satisfaction_mean_low"]].isna().all()


@pytest.mark.parametrize(
    ("marks", "scale"),
    [([1, 5], (1, 5)), ([1, 5.5], (1, 7)), ([0, 5], (0, 10)), ([20, 90], (0, 100)), ([-1, 5], None), ([], (1, 5))],
)
def test_a_scale_is_the_first_usual_one_that_holds_all_marks(marks, scale):
    assert scale_of(np.array([np.nan, *marks])) == scale


def test_a_mark_to_begin_from_lies_a_quarter_off_the_end_unless_it_is_told():
    assert check_mark(None, (1, 5), usual=0.25, name="low_mark", caller="here") == 2
    assert check_mark(None, (0, 100), usual=0.25, name="low_mark", caller="here") == 25
    assert check_mark(6, (0, 10), usual=0.25, name="low_mark", caller="here") == 6
    for mark in (5, 6):
        with pytest.raises(SchemaError, match=r"here: low_mark must lie within scale=\(1, 5\), below the highest mark"):
            check_mark(mark, (1, 5), usual=0.25, name="low_mark", caller="here")


def test_whoever_reads_marks_refuses_those_beyond_the_scale():
    tickets = pd.DataFrame(MARKS).assign(satisfaction=[9, 3, 4, 2, None, 1])
    orders = pd.DataFrame({"customer_id": ["a"], "order_id": [1], "timestamp": [DAY], "amount": [5.0]})
    refused = r"satisfaction holds 9, beyond the scale of 1 to 5 .*such as scale=\(0, 10\)"
    with pytest.raises(SchemaError, match=f"ticket_outcome_table: {refused}"):
        ticket_outcome_table(tickets, orders, as_of="2024-02-01")
    with pytest.raises(SchemaError, match=f"satisfaction_table: {refused}"):
        satisfaction_table(tickets, as_of="2024-02-01")


# -- drivers ---------------------------------------------------------------------------------------------------------


def test_errors_are_those_of_the_fits_without_one_customer():
    rng = np.random.default_rng(3)
    design = np.column_stack([np.ones(40), rng.normal(size=(40, 2))])
    values, cluster = rng.normal(size=40), rng.integers(0, 15, 40)
    fit = jackknifed_regression(design, values, cluster)
    whole = np.linalg.lstsq(design, values, rcond=None)[0]
    ids = np.unique(cluster)
    without = np.array([
        np.linalg.lstsq(design[cluster != one], values[cluster != one], rcond=None)[0] for one in ids
    ])  # fmt: skip
    shifts = without - whole
    assert fit.coefficients == pytest.approx(whole)
    assert fit.covariance == pytest.approx((len(ids) - 1) / len(ids) * shifts.T @ shifts)


def test_shares_explained_are_averages_of_adjusted_r_squared_over_all_orders():
    rng = np.random.default_rng(4)
    columns = rng.normal(size=(50, 4))
    columns[:, 1] += columns[:, 0]
    values = columns @ [1, 0.5, 0, -1] + rng.normal(size=50)
    parts = [[1, 2], [3], [4]]
    design = np.column_stack([np.ones(50), columns])

    def rest(chosen):
        fitted = design[:, [0, *chosen]]
        left = values - fitted @ np.linalg.lstsq(fitted, values, rcond=None)[0]
        return left @ left

    total, variance = rest([]), rest([1, 2, 3, 4]) / 45

    def r_squared(chosen):  # Theil's, with the error variance of all columns: of all of them it is the usual one
        return 1 - (rest(chosen) + len(chosen) * variance) / total

    expected = np.zeros(3)
    orders = list(permutations(range(3)))
    for order in orders:
        chosen = []
        for part in order:
            before = r_squared(chosen)
            chosen = chosen + parts[part]
            expected[part] += (r_squared(chosen) - before) / len(orders)
    found = explained_shares(design, values, variance * design.T @ design, parts)
    assert found == pytest.approx(expected)
    assert found.sum() == pytest.approx(1 - variance / (total / 49))  # adjusted R^2 as it is usually written


def test_noise_explains_nothing_also_where_customers_are_alike():
    """Levels that hang on the customer alone, as their marks do: R^2 itself would be about 7 / 99 and more."""
    shares = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        customer, level = np.repeat(np.arange(100), 4), rng.integers(0, 8, 100)
        design = np.column_stack([np.ones(400), level[customer, None] == np.arange(1, 8)]).astype(float)
        values = rng.normal(size=100)[customer] + 0.5 * rng.normal(size=400)
        noise = jackknifed_regression(design, values, customer).noise
        shares.append(explained_shares(design, values, noise, [list(range(1, 8))])[0])
    assert abs(np.mean(shares)) < 0.015


def test_noise_explains_nothing_also_where_one_customer_has_most_tickets():
    """With the covariance of the coefficients instead it would be -.02: that one's errors are counted twice over."""
    customer, shares = np.repeat(np.arange(12), [400, *[10] * 11]), []
    for seed in range(100):
        rng = np.random.default_rng(seed)
        design = np.column_stack([np.ones(510), rng.normal(size=(510, 3))])
        values = 0.8 * rng.normal(size=12)[customer] + rng.normal(size=510)
        noise = jackknifed_regression(design, values, customer).noise
        shares.append(explained_shares(design, values, noise, [[1], [2], [3]]).sum())
    assert abs(np.mean(shares)) < 0.004


def test_columns_that_others_say_are_found():
    design = np.column_stack([np.ones(6), [0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0], [1, 2, 3, 4, 5, 7]])
    assert aliased_columns(design).tolist() == [2]


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_what_marks_hang_on_is_found_and_nothing_else(kind):
    rows = to_pandas(satisfaction_driver_table(make_frame(made(), kind), as_of="2025-01-01"))
    assert rows["driver"].iloc[0] == "reply_hours"
    reply = rows.iloc[0]
    first, second = (float(part.split()[0]) for part in reply["compared"].split(" against "))
    assert reply["mark_difference"] == pytest.approx(-0.8 * (np.log1p(first) - np.log1p(second)), abs=0.12)
    assert reply["adjusted_p_value"] < 1e-10
    assert (rows["adjusted_p_value"].iloc[1:] > 0.05).all()
    assert rows["caution"].str.startswith("Association").all()
    shares = rows.drop_duplicates("driver")["explained_share"]
    assert shares.iloc[2:].abs().max() < 0.01 < shares.iloc[1] < shares.iloc[0] < 1  # resolution holds the reply
    assert shares.tolist() == sorted(shares, reverse=True)


def test_two_levels_are_one_test_and_opposite():
    rows = satisfaction_driver_table(made(), as_of="2025-01-01").query("driver == 'channel'")
    assert rows["mark_difference"].sum() == pytest.approx(0)
    assert rows["p_value"].nunique() == rows["adjusted_p_value"].nunique() == 1


def test_levels_against_all_others_are_differences_of_means_where_nothing_else_is_known():
    tickets = made().drop(columns=["first_reply_at", "channel"])
    tickets["closed_at"] = tickets["opened_at"] + pd.Timedelta(days=1)
    with pytest.warns(DataQualityWarning, match="resolution_hours is left out: too few tickets"):
        rows = satisfaction_driver_table(tickets, as_of="2025-01-01").set_index("level")
    for level in ("bill", "ship", "shop"):
        inside = tickets["category"] == level
        expected = tickets.loc[inside, "satisfaction"].mean() - tickets.loc[~inside, "satisfaction"].mean()
        assert rows.loc[level, "mark_difference"] == pytest.approx(expected)
        assert rows.loc[level, "ticket_count"] == inside.sum()


def test_rare_levels_are_put_together_and_what_says_the_same_is_left_out():
    tickets = made()
    rare = tickets["category"].where(~tickets["ticket_id"].isin([1, 2, 3]), "odd")
    twice = tickets.assign(priority=tickets["category"].map({"bill": 1, "ship": 2, "shop": 3}))
    with pytest.warns(DataQualityWarning, match="priority is left out: it says the same as the other columns"):
        found = satisfaction_driver_table(twice, as_of="2025-01-01")
    assert "priority" not in found["driver"].tolist()
    levels = satisfaction_driver_table(tickets.assign(category=rare), as_of="2025-01-01")["level"].tolist()
    assert "odd" not in levels
    assert "(other)" in levels


def test_a_rare_level_alone_is_put_together_with_the_next():
    tickets = made()
    customer = tickets["customer_id"]
    category = np.select([customer < 5, customer < 40, customer < 120], ["odd", "b", "c"], "d")
    rows = satisfaction_driver_table(tickets.assign(category=category), as_of="2025-01-01").query(
        "driver == 'category'"
    )
    assert sorted(rows["level"]) == ["(other)", "c", "d"]
    assert rows.set_index("level").loc["(other)", "ticket_count"] == (customer < 40).sum()


def test_the_rarest_of_many_levels_are_put_together():
    tickets = made(n=3000).assign(category=lambda rows: rows["ticket_id"] % 35)  # 85 or 86 tickets each
    rows = satisfaction_driver_table(tickets, as_of="2025-01-01").query("driver == 'category'")
    assert len(rows) == 21
    assert rows["ticket_count"].sum() == 3000
    assert rows.set_index("level").loc["(other)", "ticket_count"] == pytest.approx(15 * 3000 / 35, rel=0.1)


def test_tickets_without_a_reply_are_told():
    tickets = made()
    silent = tickets["first_reply_at"].where(tickets["ticket_id"] > 9)
    with pytest.warns(DataQualityWarning, match="10 of 600 tickets with a mark have no first reply and are left out"):
        satisfaction_driver_table(tickets.assign(first_reply_at=silent), as_of="2025-01-01")


def test_tickets_without_a_reply_stay_where_the_wait_for_one_is_no_driver():
    """By phone nobody replies, and every mail is answered after an hour; or hardly anything is answered."""
    tickets = made()
    hour = (tickets["opened_at"] + pd.Timedelta(hours=1)).where(tickets["channel"] == "mail")
    few = tickets["first_reply_at"].where(tickets["ticket_id"] < 40)
    for replied in (hour, few):
        with pytest.warns(DataQualityWarning, match="reply_hours is left out: too few tickets with a mark differ"):
            rows = satisfaction_driver_table(tickets.assign(first_reply_at=replied), as_of="2025-01-01")
        assert rows.loc[rows["driver"] == "channel", "ticket_count"].sum() == 600


def test_the_future_and_the_order_of_rows_are_not_read():
    tickets, moment = made(), DAY + pd.Timedelta(days=100)
    late = tickets["closed_at"] >= moment
    poisoned = tickets.assign(satisfaction=tickets["satisfaction"].where(~late, 1.0))
    known = satisfaction_driver_table(tickets, as_of=moment)
    pd.testing.assert_frame_equal(satisfaction_driver_table(poisoned, as_of=moment), known)
    shuffled = tickets.sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(satisfaction_driver_table(shuffled, as_of=moment), known)


def test_marks_that_are_all_alike_go_with_nothing():
    with pytest.raises(SchemaError, match="all 600 marks are 4: there is nothing that goes with them"):
        satisfaction_driver_table(made().assign(satisfaction=4), as_of="2025-01-01")
    bare = made()[["ticket_id", "opened_at", "satisfaction"]].assign(closed_at=lambda rows: rows["opened_at"])
    with (
        pytest.warns(DataQualityWarning, match="resolution_hours is left out"),
        pytest.raises(SchemaError, match="the tickets with a mark differ in nothing"),
    ):
        satisfaction_driver_table(bare, as_of="2025-01-01")


def test_marks_of_a_few_customers_tell_of_these_customers():
    rows = made().assign(customer_id=lambda table: table["ticket_id"] % 9)
    with pytest.raises(SchemaError, match="the marks are of 9 customers, and it takes 10"):
        satisfaction_driver_table(rows, as_of="2025-01-01")
    anonymous = crm.Tickets(rows, customer_id=None)
    assert not np.isnan(satisfaction_driver_table(anonymous, as_of="2025-01-01")["p_value"]).any()


def test_the_universe_marks_slow_answers_low_and_no_category():
    tickets = crm.datasets.make_universe(customers=3000, random_state=1).tickets
    rows = satisfaction_driver_table(tickets, as_of="2025-06-01")
    sure = rows[rows["adjusted_p_value"] < 0.05]
    assert set(sure["driver"]) == {"reply_hours", "resolution_hours", "reopened"}
    assert (sure["mark_difference"] < 0).all()


def test_the_picture_has_a_point_for_each_row():
    import matplotlib.pyplot as plt

    rows = satisfaction_driver_table(made(), as_of="2025-01-01")
    ax = plot_satisfaction_drivers(rows)
    assert len(ax.get_yticklabels()) == len(rows)
    assert ax.get_yticklabels()[-1].get_text().startswith("reply: ")
    assert sum(len(line.get_xdata()) for line in ax.lines[:2]) == len(rows)
    plt.close("all")
