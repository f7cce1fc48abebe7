"""What make_events promises: clicks whose visits, ways and planted effects are those of the truth beside them."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from crmlytics.clickstream.funnels import funnel_test_table
from crmlytics.clickstream.sessions import session_table
from crmlytics.datasets._events import END, PAGES, make_events
from crmlytics.exceptions import SchemaError

MADE = make_events(random_state=1)


def test_the_same_seed_makes_the_same_clicks():
    one, same, other = (make_events(customers=60, random_state=seed) for seed in (4, 4, 5))
    for name in one.__slots__:
        pd.testing.assert_frame_equal(getattr(one, name), getattr(same, name))
    assert not one.events.equals(other.events)


def test_clicks_stand_by_time_within_the_days_and_the_truth_beside_them():
    made = make_events(customers=300, start="2023-05-01", days=30, random_state=2)
    events = made.events
    assert list(events.columns) == ["customer_id", "timestamp", "event", "channel", "device", "amount"]
    assert events["timestamp"].is_monotonic_increasing
    assert events["timestamp"].min() >= pd.Timestamp("2023-05-01")
    assert events["timestamp"].max() < pd.Timestamp("2023-05-31")
    assert events.index.equals(made.lines.index)
    assert events["customer_id"].nunique() == 300
    assert (events["amount"].notna() == (events["event"] == "purchase")).all()
    assert events.groupby("customer_id")["device"].nunique().eq(1).all()
    assert set(events["event"]) == set(PAGES) - {END}


def test_a_pause_of_half_an_hour_finds_exactly_the_visits():
    table = session_table(MADE.events, gap="30m", converted="purchase")
    assert len(table) == len(MADE.visits)
    names = ["customer_id", "visit_number", "started_at", "ended_at", "channel", "event_count", "converted"]
    pd.testing.assert_frame_equal(table[names], MADE.visits[names], check_dtype=False)


def test_pages_follow_one_another_as_planted():
    ordered = MADE.events.join(MADE.lines).sort_values(["customer_id", "timestamp"], kind="stable")
    visit = [ordered["customer_id"], ordered["visit_number"]]
    onward = ordered.groupby(["customer_id", "visit_number"])["event"].shift(-1).fillna(END)
    counts = ordered.groupby([ordered["device"], ordered["helped"], ordered["event"], onward]).size()
    seen_help = (ordered["event"] == "help").groupby(visit).cumsum() - (ordered["event"] == "help")
    assert ((seen_help > 0) == ordered["helped"]).all()
    truth = MADE.transitions.set_index(["device", "helped", "from_state", "to_state"])["probability"]
    assert truth.groupby(level=[0, 1, 2]).sum().to_numpy() == pytest.approx(np.ones(32))
    assert set(counts.index) <= set(truth.index)
    counts = counts.reindex(truth.index, fill_value=0)
    total = counts.groupby(level=[0, 1, 2]).transform("sum")
    z = (counts - total * truth) / np.sqrt(total * truth * (1 - truth))
    assert np.abs(z).max() < 4.5  # 190 of them: one beyond 4.5 has probability .001
    assert 0.8 < z.std() < 1.2


def test_first_pages_and_times_are_as_planted():
    first = MADE.events.join(MADE.lines).drop_duplicates(["customer_id", "visit_number"])
    shares = first.groupby("channel")["event"].value_counts(normalize=True)
    truth = MADE.entries.set_index(["channel", "to_state"])["probability"]
    assert shares[truth.index].to_numpy() == pytest.approx(truth.to_numpy(), abs=0.03)
    assert truth.groupby(level=0).sum().to_numpy() == pytest.approx(np.ones(4))
    ordered = MADE.events.join(MADE.lines).sort_values(["customer_id", "timestamp"], kind="stable")
    spent = -ordered.groupby(["customer_id", "visit_number"])["timestamp"].diff(-1).dt.total_seconds()
    medians = spent.groupby(ordered["event"]).median()
    assert medians[MADE.pages["event"]].to_numpy() == pytest.approx(MADE.pages["median_seconds"].to_numpy(), rel=0.15)


def test_the_planted_difference_of_devices_is_found_and_no_other():
    steps = ["product", "cart", "checkout", "purchase"]
    table = funnel_test_table(MADE.events, steps, segments="device").set_index("step")
    assert table["differs"].tolist() == [False, False, True]
    without = make_events(device_effect=0, random_state=1)
    table = funnel_test_table(without.events, steps, segments="device")
    assert table["differs"].tolist() == [False, False, False]


def test_says_what_is_out_of_range():
    with pytest.raises(SchemaError, match=r"make_events: customers must be a whole number of at least 1, got 0"):
        make_events(customers=0)
    with pytest.raises(SchemaError, match=r"make_events: device_effect must lie between 0 and 0.55, got 0.6"):
        make_events(device_effect=0.6)
    with pytest.raises(SchemaError, match=r"make_events: help_effect must lie between 0 and 0.27, got -0.1"):
        make_events(help_effect=-0.1)
    largest = make_events(customers=5, device_effect=0.55, help_effect=0.27).transitions
    assert largest["probability"].between(0, 1).all()


def test_making_clicks_loads_no_compiler():
    code = "import sys, crmlytics.datasets._events as e; e.make_events(customers=5); print('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"
