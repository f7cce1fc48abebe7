"""What resolution_curve_table promises: published curves and tests, sums that add up, customers that count once."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special

from crmlytics._frames import to_pandas
from crmlytics._kernels.kaplan_meier import kaplan_meier
from crmlytics._kernels.waiting_times import log_rank, quantile, quantile_interval, share_within, survival_interval
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.support._plots import plot_resolution, plot_support
from crmlytics.support.resolution import resolution_curve_table
from crmlytics.support.volumes import support_table
from crmlytics.testing import make_frame

# Freireich et al. (1963), weeks of remission, 6-MP and placebo; minus: cut off
SIX_MP = [6, 6, 6, -6, 7, -9, 10, -10, -11, 13, 16, -17, -19, -20, 22, 23, -25, -32, -32, -34, -35]
PLACEBO = [1, 1, 2, 2, 3, 4, 4, 5, 5, 8, 8, 8, 8, 11, 11, 12, 12, 15, 17, 22, 23]
AS_OF = pd.Timestamp("2024-02-01")


def freireich():
    """Return the remissions as tickets, an hour a week; those that ended were opened long before as_of."""
    weeks = np.array(SIX_MP + PLACEBO)
    hours = pd.to_timedelta(np.abs(weeks), unit="h")
    opened = AS_OF - np.where(weeks < 0, hours, pd.Timedelta(hours=40))
    return {
        "ticket_id": list(range(len(weeks))),
        "opened_at": list(opened),
        "closed_at": [
            start + time if week > 0 else None for start, time, week in zip(opened, hours, weeks, strict=True)
        ],
        "priority": ["6-MP"] * len(SIX_MP) + ["placebo"] * len(PLACEBO),
    }


def spells(rng, n=60, groups=3):
    return rng.integers(1, 20, n).astype(float), rng.random(n) < 0.7, rng.integers(0, groups, n)


@pytest.mark.parametrize("kind", ["pandas", "polars-lazy", "duckdb"])
def test_the_curve_of_freireich_as_published(kind):
    curve = to_pandas(resolution_curve_table(make_frame(freireich(), kind), as_of=AS_OF, by="priority"))
    treated = curve[(curve["group"] == "6-MP") & (curve["time_hours"] > 0)].set_index("time_hours")
    published = {6: 0.857, 7: 0.807, 10: 0.753, 13: 0.690, 16: 0.627, 22: 0.538, 23: 0.448}
    for week, share in published.items():
        assert treated.loc[week, "waiting_share"] == pytest.approx(share, abs=5e-4)
    bounds = treated.loc[6.0, ["waiting_share_low", "waiting_share_high"]].tolist()
    assert bounds == pytest.approx([0.620, 0.952], abs=5e-4)  # SAS PROC LIFETEST, conftype=loglog
    assert curve["p_value"].iloc[0] == pytest.approx(4.17e-5, rel=5e-3)  # chi-squared 16.79
    assert (curve["adjusted_p_value"] == curve["p_value"]).all()  # two groups, one test


def test_medians_of_freireich_as_published():
    table = to_pandas(support_table(pd.DataFrame(freireich()), as_of=AS_OF, by="priority"))
    assert table["resolution_median_hours"].tolist() == [23.0, 8.0]
    assert table["resolution_median_hours_low"].tolist() == [13.0, 4.0]
    assert table["resolution_median_hours_high"].isna().tolist() == [True, False]


def test_every_row_adds_up_and_fewer_points_are_the_same_curve():
    tickets = pd.DataFrame(freireich())
    every = resolution_curve_table(tickets, as_of=AS_OF, by="priority", points=None)
    assert (every["ended_count"] + every["cut_off_count"] + every["waiting_count"] == every["ticket_count"]).all()
    few = resolution_curve_table(tickets, as_of=AS_OF, by="priority", points=3)
    assert few.groupby("group").size().tolist() == [4, 4]  # and time 0
    key = ["group", "time_hours", "waiting_share", "ended_count"]
    assert len(few.merge(every[key], on=key)) == len(few)


@given(seed=st.integers(0, 10_000))
def test_a_curve_is_what_counting_moment_by_moment_gives(seed):
    time, ended, _ = spells(np.random.default_rng(seed))
    curves = kaplan_meier(time, ended, np.zeros(len(time), np.int64), 1)
    share = 1.0
    for moment in np.unique(time):
        share *= 1 - (ended & (time == moment)).sum() / (time >= moment).sum()
        assert share_within(curves, moment, 0.95)[0][0] == pytest.approx(1 - share)
    for part in (0.25, 0.5, 0.75):
        found = quantile(curves, part)[0]
        reached = [moment for moment in np.unique(time) if share_within(curves, moment, 0.95)[0][0] >= part - 1e-9]
        assert (np.isnan(found) and not reached) or found >= reached[0]
    assert quantile(curves, 0.5) == pytest.approx(curves.median(), nan_ok=True)


@given(seed=st.integers(0, 10_000), copies=st.integers(2, 4))
def test_tickets_of_one_customer_count_as_one(seed, copies):
    time, ended, group = spells(np.random.default_rng(seed))
    time, ended, group = (np.tile(values, 2) for values in (time, ended, group))  # each customer has two tickets
    customer, again = np.arange(len(time)) % 60, lambda values: np.repeat(values, copies)
    once = log_rank(time, ended, group, 3, cluster=customer)[0]
    often = log_rank(again(time), again(ended), again(group), 3, cluster=again(customer))[0]
    known = ~np.isnan(once)
    assert often[known] == pytest.approx(once[known])
    first = kaplan_meier(time, ended, group, 3, cluster=customer)
    second = kaplan_meier(again(time), again(ended), again(group), 3, cluster=again(customer))
    for left, right in zip(quantile_interval(first, 0.5, 0.95), quantile_interval(second, 0.5, 0.95), strict=True):
        assert left == pytest.approx(right, nan_ok=True)


def test_two_groups_are_one_test_and_the_robust_one_is_near_the_usual():
    rng = np.random.default_rng(2)
    group = np.repeat([0, 1], 2000)
    time, ended = rng.exponential(1 + 0.08 * group).round(3) + 0.001, rng.random(4000) < 0.8
    usual = log_rank(time, ended, group, 2)[0]
    robust = log_rank(time, ended, group, 2, cluster=np.arange(4000) // 2)[0]
    assert usual[0] == pytest.approx(-usual[1])
    assert usual[0] > 0  # the first group ends sooner
    assert robust == pytest.approx(usual, rel=0.03)


def test_groups_that_do_not_differ_are_told_apart_as_often_as_by_chance():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        customer = np.repeat(np.arange(60), 4)
        time = np.repeat(rng.exponential(10, 60), 4) + 0.01
        p_value = log_rank(time, np.ones(240, bool), customer % 2, 2, cluster=customer)[1]
        wrong += p_value[0] < 0.05
    assert 5 <= wrong <= 27  # 15 expected; without clusters half of them


def test_few_endings_and_one_group_are_not_tested():
    tickets = pd.DataFrame(freireich()).assign(priority="one")
    assert resolution_curve_table(tickets, as_of=AS_OF, by="priority")["p_value"].isna().all()
    few = pd.DataFrame(freireich()).iloc[[0, 1, 2, 21, 22, 23]]
    assert resolution_curve_table(few, as_of=AS_OF, by="priority")["p_value"].isna().all()


def test_customers_with_one_ticket_each_are_tested_as_mantel_did_and_few_with_several_are_not():
    tickets = pd.DataFrame(freireich()).assign(customer_id=range(42))
    found = resolution_curve_table(tickets, as_of=AS_OF, by="priority")
    assert found["p_value"].iloc[0] == pytest.approx(4.17e-5, rel=5e-3)  # as published, robust: 9.5e-6
    for customers, is_tested in ((10, True), (9, False)):  # of each group
        few = tickets.assign(customer_id=[place % customers + 100 * (place > 20) for place in range(42)])
        found = resolution_curve_table(few, as_of=AS_OF, by="priority")
        assert found["p_value"].notna().all() == is_tested


def test_few_customers_give_the_wider_bounds_of_student():
    rng = np.random.default_rng(5)
    time, ended, group = spells(rng, n=90, groups=2)
    customer = rng.integers(0, 12, 90)
    curves = kaplan_meier(time, ended, group, 2, cluster=customer)
    sizes = [np.bincount(customer[group == number]) for number in (0, 1)]
    assert curves.worth == pytest.approx([size.sum() ** 2 / (size**2).sum() for size in sizes])
    t = special.stdtrit(curves.worth - 1, 0.975)
    low, high = survival_interval(curves, 0.95)
    expected = curves.interval(np.repeat(t, np.diff(curves.starts)))
    assert low == pytest.approx(expected[0], nan_ok=True)
    assert high == pytest.approx(expected[1], nan_ok=True)
    share, least, most = share_within(curves, 10.0, 0.95)
    at = [
        np.flatnonzero(curves.time[curves.starts[g] : curves.starts[g + 1]] <= 10)[-1] + curves.starts[g]
        for g in (0, 1)
    ]
    assert [least, share, most] == [pytest.approx(1 - values[at]) for values in (high, curves.survival, low)]


def test_the_tables_count_customers_not_tickets():
    tickets = pd.DataFrame(freireich()).assign(customer_id=[place % 4 for place in range(42)])
    hours = np.abs(np.array(SIX_MP + PLACEBO, float))
    curves = kaplan_meier(
        hours, np.array(SIX_MP + PLACEBO) > 0, np.zeros(42, np.int64), 1, cluster=tickets["customer_id"].to_numpy()
    )
    alone = kaplan_meier(hours, np.array(SIX_MP + PLACEBO) > 0, np.zeros(42, np.int64), 1)
    row = support_table(tickets, as_of=AS_OF).iloc[0]
    bounds = [row["resolution_median_hours_low"], row["resolution_median_hours_high"]]
    assert bounds == [values[0] for values in quantile_interval(curves, 0.5, 0.95)]
    assert bounds[1] > quantile_interval(alone, 0.5, 0.95)[1][0]
    soon = support_table(tickets, as_of=AS_OF, resolution_target="8h").iloc[0]
    shares = [soon[f"resolution_within_target_share{end}"] for end in ("", "_low", "_high")]
    assert shares == pytest.approx([values[0] for values in share_within(curves, 8.0, 0.95)])
    assert row["caution"] == "Fewer than 30 customers."
    curve = resolution_curve_table(tickets, as_of=AS_OF).set_index("time_hours")
    assert 1 - curve.loc[8.0, "waiting_share_high"] == pytest.approx(shares[1])


def test_all_tickets_of_two_customers_in_time_are_two_cases_and_of_one_they_have_no_bounds():
    hours, group = np.full(40, 2.0), np.zeros(40, np.int64)
    curves = kaplan_meier(hours, hours > 0, group, 1, cluster=np.repeat([0, 1], 20))
    share, low, _ = share_within(curves, 8.0, 0.95)
    assert share == [1.0]
    assert low == pytest.approx(0.3424, abs=1e-4)  # Wilson, 2 of 2
    single = share_within(kaplan_meier(hours, hours > 0, group, 1, cluster=group), 8.0, 0.95)
    assert np.isnan(single[1:]).all()


def test_first_replies_have_a_curve_too_and_nothing_of_the_future_is_read():
    tickets = pd.DataFrame(freireich()).rename(columns={"closed_at": "first_reply_at"})
    curve = resolution_curve_table(tickets, as_of=AS_OF, by="priority", event="first_reply")
    assert set(curve["event"]) == {"first_reply"}
    late = tickets.assign(first_reply_at=tickets["first_reply_at"].fillna(AS_OF + pd.Timedelta(days=1)))
    pd.testing.assert_frame_equal(resolution_curve_table(late, as_of=AS_OF, by="priority", event="first_reply"), curve)
    with pytest.raises(MissingColumnsError, match=r"resolution_curve_table needs \['closed_at'\]"):
        resolution_curve_table(tickets, as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"event must be one of \['resolution', 'first_reply'\], got 'closed'"):
        resolution_curve_table(tickets, as_of=AS_OF, event="closed")
    with pytest.raises(SchemaError, match="points must be a whole number of at least 2, got 1"):
        resolution_curve_table(tickets, as_of=AS_OF, event="first_reply", points=1)


def test_pictures_show_a_line_for_each_group_and_refuse_too_many():
    import matplotlib.pyplot as plt

    tickets = pd.DataFrame(freireich())
    curve = resolution_curve_table(tickets, as_of=AS_OF, by="priority")
    ax = plot_resolution(curve)
    assert [line.get_label() for line in ax.lines] == ["6-MP", "placebo"]
    assert ax.get_ylabel() == "Waiting to be closed"
    many = pd.concat([curve.assign(group=str(number)) for number in range(8)])
    with pytest.raises(SchemaError, match="8 groups are more than can be told apart"):
        plot_resolution(many)
    ax = plot_support(support_table(tickets, as_of=AS_OF, by="priority"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["placebo (21)", "6-MP (21)"]
    assert ax.lines[0].get_xdata().tolist() == [8.0, 23.0]
    plt.close("all")


def test_the_incident_log_becomes_tickets(shared_data):
    log = pd.read_parquet(shared_data / "support_incidents.parquet")
    log = log.sort_values(["number", "sys_updated_at", "sys_mod_count"], kind="stable")
    last = log.drop_duplicates("number", keep="last")
    closed = last["resolved_at"].fillna(last["closed_at"])
    tickets = pd.DataFrame({"ticket_id": last["number"], "opened_at": last["opened_at"], "closed_at": closed})
    table = support_table(tickets, as_of="2017-03-01")
    assert table["ticket_count"].tolist() == [24_918]
    hours = (closed - last["opened_at"]) / pd.Timedelta(hours=1)  # all are closed: the curve is the plain share
    assert table["resolution_median_hours"][0] == pytest.approx(hours.median(), abs=0.02)
    assert table["resolution_within_target_share"][0] == pytest.approx((hours <= 72).mean())
    curve = resolution_curve_table(tickets, as_of="2016-06-01")
    assert len(curve) == 200
    assert curve["time_hours"].iloc[0] == 0  # some were solved within the minute
    assert curve["waiting_share"].iloc[0] < 1
