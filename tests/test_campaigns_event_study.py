"""What event studies promise: periods by brute force, a warning where trends differ, nothing from the future."""

import datetime as dt

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crmlytics import Events, Transactions
from crmlytics._kernels.treatment_effects import mean_effect
from crmlytics.campaigns.measuring._curve_plots import plot_event_study
from crmlytics.campaigns.without_control.event_study import STUDY_KINDS, event_study_table
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.testing import make_frame, records

mpl.use("Agg")
NOON = dt.datetime(2024, 6, 1, 12)


def at(days, hours=0):
    return NOON + dt.timedelta(days=days, hours=hours)


CONTACTS = {
    "customer_id": [1, 2, 3, 4, 5],
    "campaign_id": ["spring"] * 5,
    "timestamp": [at(0), at(0), at(10), at(0), at(10)],
    "arm": ["mail", "mail", "mail", "control", "control"],
}
# who, days since June 1st, hours since noon, amount
# fmt: off
BOUGHT = [(1, 0, -1, 5.0), (1, 0, 0, 7.0), (1, -20, 0, 1.0), (2, 9, 11, 3.0), (2, 10, -12, 100.0),
          (3, 10, 1, 2.0), (3, 0, 0, 4.0), (4, -1, 0, 6.0), (4, -21, 0, 50.0),
          (5, 19, 0, 8.0), (5, -9, 0, 9.0), (2, -11, 0, 2.5)]
# fmt: on
ORDERS = {
    "customer_id": [who for who, *_ in BOUGHT],
    "order_id": list(range(len(BOUGHT))),
    "timestamp": [at(days, hours) for _, days, hours, _ in BOUGHT],
    "amount": [amount for *_, amount in BOUGHT],
}


def study(contacts=CONTACTS, orders=ORDERS, **options):
    options = {"as_of": "2024-09-01", "step": "10d", "before": 2, "after": 1} | options
    return event_study_table(make_frame(contacts, "pandas"), make_frame(orders, "pandas"), **options)


def test_periods_by_hand_on_every_frame(frame):
    contacts = frame(CONTACTS)
    found = event_study_table(contacts, frame(ORDERS), as_of="2024-09-01", step="10d", before=2, after=1)
    assert type(found) is type(contacts)
    rows = [dict(zip(STUDY_KINDS, row, strict=True)) for row in records(found)]
    assert [row["metric"] for row in rows] == ["order_count"] * 3 + ["revenue_amount"] * 3
    revenue = rows[3:]
    assert [(row["period"], row["first_day"], row["last_day"]) for row in revenue] == [
        (-2, -20, -11), (-1, -10, -1), (0, 0, 9)]  # fmt: skip
    # of the treated: 1 and 2.5 in the first; 5 an hour before the contact and 4 in the second; 7, 3 and 2 in the third
    assert [row["treated_mean"] for row in revenue] == pytest.approx([3.5 / 3, 9 / 3, 12 / 3])
    assert [row["comparison_mean"] for row in revenue] == pytest.approx([9 / 2, 6 / 2, 8 / 2])
    changes = {-2: ([1 - 5, 2.5, -4], [-6, 9]), 0: ([7 - 5, 3, 2 - 4], [-6, 8])}
    for row in (revenue[0], revenue[2]):
        treated, other = changes[row["period"]]
        effect = mean_effect(np.array(treated)[:, None], np.array(other)[:, None], 0.95)
        expected = (np.mean(treated) - np.mean(other), effect.difference_low, effect.difference_high)
        found = (row["difference"], row["difference_low"], row["difference_high"])
        np.testing.assert_allclose(found, expected, atol=1e-9)
    assert (revenue[1]["difference"], revenue[1]["p_value"]) == (0.0, None)
    before = stats.ttest_ind(*changes[-2], equal_var=False)
    assert [row["pre_trend_p_value"] for row in revenue] == pytest.approx([stats.f.sf(before.statistic**2, 1, 3)] * 3)


def people(random, trend, effect=0.0, count=400):
    """Return contacts and orders of half a year; the treated spend more by ``trend`` a month until the contact."""
    treated = np.arange(count) < count // 2
    moment = np.datetime64("2024-06-01")
    contacts = pd.DataFrame({
        "customer_id": np.arange(count), "timestamp": moment, "arm": np.where(treated, "mail", "control")
    })  # fmt: skip
    usual = random.gamma(4.0, 10.0, count)
    parts = []
    for month in range(-4, 2):
        lift = np.where(treated, trend * month + effect * (month >= 0), 0.0)
        day = month * 30 + random.integers(0, 30, count)
        amount = 100 + usual + lift + random.normal(0, 10, count)
        parts.append(pd.DataFrame({"customer_id": np.arange(count), "timestamp": moment + day, "amount": amount}))
    orders = pd.concat(parts, ignore_index=True)
    return contacts, orders.assign(order_id=np.arange(len(orders)))


def test_trends_that_differ_are_told():
    contacts, orders = people(np.random.default_rng(1), trend=3.0)
    words = r"parallel trends fail for revenue_amount of arm 'mail' in campaign 'campaign' \(p = .*moved apart before"
    with pytest.warns(DataQualityWarning, match=words):
        found = event_study_table(contacts, orders, as_of="2024-09-01", step="30d", before=4, after=2)
    revenue = found[found.metric == "revenue_amount"]
    assert revenue.caution.str.startswith("Parallel trends fail (p = ").all()
    assert (revenue.pre_trend_p_value < 0.001).all()


def test_an_effect_after_trends_alike():
    contacts, orders = people(np.random.default_rng(2), trend=0.0, effect=12.0)
    found = event_study_table(contacts, orders, as_of="2024-09-01", step="30d", before=4, after=2)
    revenue = found[found.metric == "revenue_amount"].set_index("period")
    assert (revenue.difference_low[[0, 1]] < 12).all()
    assert (revenue.difference_low[[0, 1]] > 5).all()
    assert revenue.caution[0].startswith("No sign that the groups moved apart")
    counts = found[found.metric == "order_count"]  # one a month, all of them
    assert counts.caution.str.startswith("Nothing varies before the contact").all()
    others = counts[counts.period != -1]
    assert others.p_value.isna().all()
    assert others.caution.str.endswith(" No interval: nothing varies between the customers of a group.").all()


def test_the_future_changes_nothing():
    more = {"customer_id": 1, "order_id": 99, "timestamp": at(11), "amount": 1e6}
    later = {name: [*values, more[name]] for name, values in ORDERS.items()}
    as_of = at(30)
    poisoned = later | {"timestamp": [*ORDERS["timestamp"], as_of]}
    expected = study(as_of=as_of)
    pd.testing.assert_frame_equal(study(orders=poisoned, as_of=as_of), expected)
    shuffled = pd.DataFrame(later).sample(frac=1, random_state=0)
    pd.testing.assert_frame_equal(study(orders=shuffled, as_of=as_of), study(orders=later, as_of=as_of))
    with pytest.warns(DataQualityWarning, match="2 of 5 customers are left out: the 10 days after"):
        found = study(as_of="2024-06-15")
    assert found.treated_count.tolist() == [2] * 6
    assert set(found.caution) == {"Too few customers in a group: at least 2 are needed."}
    assert found.difference.isna().all()


def test_events_of_one_kind():
    clicks = pd.DataFrame({
        "customer_id": [1, 1, 4], "timestamp": [at(1), at(-1), at(2)], "event": ["visit", "visit", "open"]
    })  # fmt: skip
    found = event_study_table(
        make_frame(CONTACTS, "pandas"), Events(clicks), as_of="2024-09-01", step="10d", before=2, after=1, event="visit"
    )
    assert set(found.metric) == {"event_count"}
    assert found.treated_mean.tolist() == pytest.approx([0, 1 / 3, 1 / 3])
    assert found.comparison_mean.tolist() == [0, 0, 0]


def test_refusals():
    orders = Transactions(make_frame(ORDERS, "pandas"))
    contacts = make_frame(CONTACTS, "pandas")
    options = {"as_of": "2024-09-01", "step": "10d"}
    with pytest.raises(SchemaError, match="before must be a whole number of at least 2"):
        event_study_table(contacts, orders, before=1, **options)
    with pytest.raises(SchemaError, match=r"'spring' has nobody in arm 'none'.*\['control', 'mail'\].*matched_effect"):
        event_study_table(contacts, orders, comparison="none", **options)
    with pytest.raises(SchemaError, match="every contact has arm 'control': nobody was treated"):
        event_study_table(contacts.assign(arm="control"), orders, **options)


def test_the_picture_says_where_trends_fail():
    contacts, orders = people(np.random.default_rng(1), trend=3.0)
    with pytest.warns(DataQualityWarning):
        found = event_study_table(contacts, orders, as_of="2024-09-01")
    ax = plot_event_study(found, metric="revenue_amount")
    assert ax.get_title(loc="left") == "Parallel trends fail: parted before the contact"
    marks = ax.containers[0][0].get_ydata()
    np.testing.assert_allclose(marks, found[found.metric == "revenue_amount"].difference)
    with pytest.raises(SchemaError, match="metric must be one of"):
        plot_event_study(found, metric="revenue")
