"""What response curves promise: days by hand, open windows read honestly, bands that hold, decay where there is one."""

import datetime as dt

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Events
from crmlytics.campaigns.measuring._curve_plots import plot_response_curve
from crmlytics.campaigns.measuring.response_curves import CURVE_KINDS, response_curve_table
from crmlytics.campaigns.outcomes import outcome_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

mpl.use("Agg")
START = dt.datetime(2024, 6, 1, 12)


def at(days, hours=0):
    return START + dt.timedelta(days=days, hours=hours)


CONTACTS = {
    "customer_id": ["a", "b", "c", "d", "e", "f"],
    "campaign_id": [1] * 6,
    "timestamp": [at(0), at(0), at(5), at(0), at(0), at(5)],
    "arm": ["mail", "mail", "mail", "control", "control", "control"],
}
# who, days since the first contacts, hours since noon, amount
BOUGHT = [("a", 0, -1, 99.0), ("a", 0, 0, 4.0), ("a", 2, 0, 6.0), ("b", 3, -12, 8.0), ("c", 5, 2, 3.0),
          ("d", 1, 11, 3.0), ("d", 4, 0, -1.0), ("f", 4, 0, 50.0), ("f", 6, 0, 6.0), ("x", 1, 0, 70.0)]  # fmt: skip
ORDERS = {
    "customer_id": [who for who, *_ in BOUGHT],
    "order_id": list(range(len(BOUGHT))),
    "timestamp": [at(days, hours) for _, days, hours, _ in BOUGHT],
    "amount": [amount for *_, amount in BOUGHT],
}


def curve(contacts=CONTACTS, orders=ORDERS, **options):
    options = {"as_of": "2024-08-01", "horizon": "6d", "step": "2d"} | options
    return response_curve_table(make_frame(contacts, "pandas"), make_frame(orders, "pandas"), **options)


def of(table, metric):
    return table[table.metric == metric].set_index("day")


def test_days_by_hand_on_every_frame(frame):
    contacts = frame(CONTACTS)
    found = response_curve_table(contacts, frame(ORDERS), as_of="2024-08-01", horizon="6d", step="2d")
    assert type(found) is type(contacts)
    rows = [dict(zip(CURVE_KINDS, row, strict=True)) for row in records(found)]
    assert [(row["campaign_id"], row["arm"]) for row in rows] == [(1, "mail")] * 9
    assert [row["metric"] for row in rows] == ["converted"] * 3 + ["order_count"] * 3 + ["revenue_amount"] * 3
    assert [row["day"] for row in rows] == [2, 4, 6] * 3
    treated = [2 / 3, 1, 1, 2 / 3, 4 / 3, 4 / 3, 7 / 3, 21 / 3, 21 / 3]
    control = [*[2 / 3] * 6, 9 / 3, 9 / 3, 8 / 3]  # the return of d counts as money, and is no order
    assert [row["treated_mean"] for row in rows] == pytest.approx(treated)
    assert [row["control_mean"] for row in rows] == pytest.approx(control)
    assert [row["difference"] for row in rows] == pytest.approx(np.subtract(treated, control))
    assert [row["step_difference"] for row in rows[6:]] == pytest.approx([-2 / 3, 14 / 3, 1 / 3])
    assert {(row["treated_count"], row["control_count"]) for row in rows} == {(3, 3)}


def test_the_last_day_is_the_outcome_table():
    contacts, orders = make_frame(CONTACTS, "pandas"), make_frame(ORDERS, "pandas")
    table = outcome_table(contacts, orders, as_of="2024-08-01", horizon="6d").groupby("arm")
    found = curve()
    for metric in ("converted", "order_count", "revenue_amount"):
        last = of(found, metric).loc[6]
        assert last.treated_mean == pytest.approx(table[metric].mean()["mail"])
        assert last.control_mean == pytest.approx(table[metric].mean()["control"])


def test_customers_count_in_the_steps_that_are_over():
    """On June 10th c and f are observed for four days, the others for nine: the last step is of two and two."""
    found = of(curve(as_of=at(9)), "revenue_amount")
    assert found.treated_count.tolist() == [3, 3, 2]
    assert found.control_count.tolist() == [3, 3, 2]
    assert found.treated_mean.tolist() == pytest.approx([7 / 3, 7, 7])
    assert found.control_mean.tolist() == pytest.approx([3, 3, 3 - 1 / 2])
    early = of(curve(as_of="2024-06-06"), "revenue_amount")  # nothing is known of c and f, contacted that day
    assert early.treated_count.tolist() == [2, 2]
    assert early.index.tolist() == [2, 4]


def test_the_last_step_may_be_short():
    whole, short = (of(curve(horizon="5d", step=step), "revenue_amount") for step in ("1d", "2d"))
    assert short.index.tolist() == [2, 4, 5]
    columns = ["treated_mean", "control_mean", "difference"]
    pd.testing.assert_frame_equal(short[columns], whole.loc[[2, 4, 5], columns])
    open_windows = of(curve(horizon="5d", step="2d", as_of=at(9)), "revenue_amount")  # c and f are observed four days
    assert open_windows.treated_count.tolist() == [3, 3, 2]
    over = of(curve(horizon="5d", step="2d", as_of=at(10)), "revenue_amount")  # and here five: the short step is over
    assert over.treated_count.tolist() == [3, 3, 3]


def test_a_short_last_step_does_not_shorten_the_half_life():
    contacts, orders, _ = trial(1)
    lives = [
        of(response_curve_table(contacts, orders, as_of="2024-06-01", horizon=horizon, step="7d"), "revenue_amount")
        for horizon in ("56d", "60d")
    ]
    assert lives[0].index.tolist() == lives[1].index.tolist()[:-1]
    assert lives[1].half_life_days.tolist() == pytest.approx([lives[0].half_life_days[56]] * 9)


def test_a_curve_ends_where_one_customer_is_left():
    contacts = CONTACTS | {"timestamp": [at(0), at(5), at(5), at(0), at(0), at(5)]}
    found = of(curve(contacts, as_of=at(9)), "revenue_amount")
    assert found.index.tolist() == [2, 4]
    assert found.treated_count.tolist() == [3, 3]


def test_a_return_alone_converts_nobody():
    orders = pd.DataFrame({"customer_id": ["a", "a", "d"], "order_id": [1, 2, 3], "amount": [-5.0, 9.0, 4.0]})
    found = of(curve(orders=orders.assign(timestamp=[at(0), at(3), at(1)])), "converted")
    assert found.treated_mean.tolist() == pytest.approx([0, 1 / 3, 1 / 3])


@settings(max_examples=4)
@given(more=st.lists(st.tuples(st.sampled_from("abcdef"), st.integers(9, 60)), min_size=1, max_size=5))
def test_the_future_and_the_order_of_rows_change_nothing(more):
    known = pd.DataFrame(ORDERS)
    later = pd.DataFrame(more, columns=["customer_id", "day"]).assign(amount=1e6, order_id=77)
    later["timestamp"] = [at(days) for days in later.pop("day")]
    poisoned = pd.concat([known, later], ignore_index=True).sample(frac=1, random_state=1)
    contacts = pd.DataFrame(CONTACTS)[::-1]
    options = {"as_of": at(9), "horizon": "6d", "step": "2d"}
    found = response_curve_table(contacts, poisoned, **options)
    pd.testing.assert_frame_equal(found, response_curve_table(pd.DataFrame(CONTACTS), known, **options))


def trial(seed, count=1_500, half_life=10.0, lift=0.06, days=60, until=60):
    """Return contacts and orders of a trial whose effect fades, some windows not over."""
    random = np.random.default_rng(seed)
    treated = np.arange(2 * count) < count
    moment = np.datetime64("2024-01-01") + random.integers(0, max(days - until, 0) + 1, 2 * count)
    arm = np.where(treated, "mail", "control")
    contacts = pd.DataFrame({"customer_id": np.arange(2 * count), "timestamp": moment, "arm": arm})
    fading = lift * np.exp(-np.log(2) * (np.arange(days) + 0.5) / half_life)
    rate = 0.03 * random.gamma(1, 1, (2 * count, 1)) + np.where(treated[:, None], fading, 0)
    who, day = np.nonzero(random.poisson(rate))
    orders = pd.DataFrame({"customer_id": who, "timestamp": moment[who] + day, "order_id": np.arange(len(who))})
    return contacts, orders.assign(amount=random.gamma(2, 10, len(who))), 20 * np.cumsum(fading)


def test_a_half_life_is_found_and_the_shares_say_when_it_was_over():
    contacts, orders, _ = trial(1)
    found = of(response_curve_table(contacts, orders, as_of="2024-06-01"), "revenue_amount")
    first = found.loc[1]
    assert first.half_life_days_low < 10 < first.half_life_days_high
    assert first.half_life_days_high < 20
    assert len(set(found.half_life_days)) == 1
    assert pd.isna(first.decay_reason)
    assert found.effect_share[60] == 1.0
    converted = of(response_curve_table(contacts, orders, as_of="2024-06-01"), "converted")  # control catches up
    np.testing.assert_allclose(converted.effect_share, converted.difference / converted.difference[60])
    assert converted.effect_share.max() > 1.2
    assert 0.35 < found.effect_share[10] < 0.7


def test_the_band_holds_the_whole_curve_also_of_open_windows():
    held = []
    for seed in range(20):
        contacts, orders, truth = trial(seed, 500, days=40, until=15)
        found = response_curve_table(contacts, orders, as_of="2024-02-10", horizon="35d", step="5d")
        found = of(found, "revenue_amount")
        assert found.treated_count.is_monotonic_decreasing
        assert found.treated_count.iloc[-1] < 500
        ends = found.index.to_numpy() - 1
        held.append(((found.difference_low <= truth[ends]) & (truth[ends] <= found.difference_high)).all())
    assert np.mean(held) >= 0.9


def test_nothing_there_is_said_to_be_nothing():
    contacts, orders, _ = trial(2, lift=0.0)
    found = of(response_curve_table(contacts, orders, as_of="2024-06-01", step="5d"), "order_count")
    assert set(found.decay_reason) == {"no effect that could be told from chance"}
    assert found.half_life_days.isna().all()
    assert found.effect_share.isna().all()


def test_where_the_band_holds_zero_there_is_nothing_to_fade():
    """Of effects of nothing many look as if they faded at once, or never: none of them is told."""
    reasons = set()
    for seed in range(6):
        contacts, orders, _ = trial(seed, 300, lift=0.0, days=30, until=30)
        found = response_curve_table(contacts, orders, as_of="2024-03-01", horizon="30d")
        for _, rows in found.groupby("metric"):
            if ((rows.difference_low <= 0) & (rows.difference_high >= 0)).all():
                reasons |= set(rows.decay_reason)
    assert reasons == {"no effect that could be told from chance"}


@pytest.mark.parametrize(
    ("half_life", "lift", "near"), [(0.3, 1.0, "a half-life"), (0.05, 300.0, "within the first day")]
)
def test_what_faded_at_once_is_looked_at_more_closely(half_life, lift, near):
    contacts, orders, _ = trial(1, half_life=half_life, lift=lift)
    far, closer = (
        of(response_curve_table(contacts, orders, as_of="2024-06-01", **options), "order_count").iloc[0]
        for options in ({}, {"horizon": "15d", "step": "1d"})
    )
    assert far.decay_reason == 'faded within the first 4 days: look closer with horizon="15d" and step="1d"'
    if near == "a half-life":
        assert closer.half_life_days_low < half_life < closer.half_life_days_high
    else:
        assert closer.decay_reason == "faded within the first day"


def test_where_nothing_varies_there_is_no_band():
    contacts = {name: [values[place] for place in (0, 1, 3, 4)] for name, values in CONTACTS.items()}
    bought = pd.DataFrame({"customer_id": ["a", "b"], "order_id": [1, 2], "amount": 20.0, "timestamp": [at(0), at(3)]})
    found = of(curve(contacts, bought), "revenue_amount")
    assert found.difference.tolist() == [10, 20, 20]  # after two days one has bought
    assert found.difference_low.isna().tolist() == found.difference_high.isna().tolist() == [False, True, True]
    assert found.effect_share.isna().all()
    both = of(curve(contacts, bought.assign(timestamp=at(0))), "revenue_amount")
    assert set(both.decay_reason) == {"cannot be told: nothing varies between the customers of a group"}


def test_events_are_outcomes_too():
    visits = pd.DataFrame({
        "customer_id": ["a", "a", "d"], "timestamp": [at(1), at(3), at(1)], "event": ["visit", "visit", "click"]
    })  # fmt: skip
    found = response_curve_table(
        make_frame(CONTACTS, "pandas"), Events(visits), as_of="2024-08-01", horizon="4d", step="2d", event="visit"
    )
    assert found.metric.tolist() == ["converted"] * 2 + ["event_count"] * 2
    assert found.treated_mean.tolist() == pytest.approx([1 / 3, 1 / 3, 1 / 3, 2 / 3])
    assert found.control_mean.tolist() == [0.0] * 4


def test_refusals():
    with pytest.raises(SchemaError, match=r"horizon=6d must hold 1 to 400 steps, got 0.8571 of 7d. Take shorter steps"):
        curve(step="7d")
    with pytest.raises(SchemaError, match=r"horizon=401d must hold 1 to 400 steps, got 401 of 1d. Take longer steps"):
        curve(horizon="401d", step="1d")
    with pytest.raises(SchemaError, match="fewer than 2 customers of arm 'mail' or of the control group for whom a st"):
        curve(as_of="2024-06-02")
    with pytest.raises(SchemaError, match=r"campaign 1 has nobody in arm 'placebo'.*comparison_contacts finds them"):
        curve(control="placebo")
    with pytest.raises(MissingColumnsError, match="needs"):
        curve(orders={name: values for name, values in ORDERS.items() if name != "amount"})


def test_customers_not_contacted_are_no_control_group():
    contacts = CONTACTS | {"arm": ["mail"] * 3 + ["not contacted"] * 3}
    with pytest.warns(DataQualityWarning, match="response_curve_table: 'not contacted' is no control group.*See match"):
        found = curve(contacts, control="not contacted")
    pd.testing.assert_frame_equal(found, curve())


def test_the_picture_holds_the_curve_of_each_arm():
    contacts, orders, _ = trial(3, 300)
    contacts.loc[contacts.index % 5 == 0, "arm"] = "call"
    found = response_curve_table(contacts, orders, as_of="2024-06-01", step="5d")
    ax = plot_response_curve(found, metric="revenue_amount")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["call", "mail"]
    ax.figure.canvas.draw()
    assert ax.get_legend().get_window_extent().x0 >= ax.get_window_extent().x1  # not on the curves
    mail = found[(found.metric == "revenue_amount") & (found.arm == "mail")]
    np.testing.assert_allclose(ax.lines[2].get_ydata(), [0, *mail.difference])
    assert len(ax.collections) == 2
    assert ax.get_ylabel() == "revenue amount per customer\nlift over control so far"
    assert plot_response_curve(found).get_ylabel().startswith("customers who converted")
    with pytest.raises(SchemaError, match="metric must be one of"):
        plot_response_curve(found, metric="revenue")
    campaigns = pd.concat([found.assign(campaign_id=name) for name in ("may", "june")])
    words = (
        r"expected 1 to 3 campaigns and arms, got 4: \['june: call', .*\]. Draw.*table\[\"campaign_id\"\] == 'june'\]"
    )
    with pytest.raises(SchemaError, match=words):
        plot_response_curve(campaigns)
    with pytest.raises(SchemaError, match=r"got 4.*such as table\[table\[\"arm\"\] == '1'\]"):
        plot_response_curve(pd.concat([found.assign(arm=arm) for arm in "1234"]))
    with pytest.raises(MissingColumnsError, match=r"plot_response_curve needs the columns \['difference_low'\]"):
        plot_response_curve(found.drop(columns="difference_low"))
