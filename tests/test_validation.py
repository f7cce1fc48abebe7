"""What the helpers for arguments promise: the clean value, or what came, what was expected and what to type."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics._validation import (
    as_days,
    as_moment,
    as_seconds,
    check_amount,
    check_choice,
    check_count,
    check_fraction,
)
from crmlytics.exceptions import SchemaError


@pytest.mark.parametrize(
    "value",
    [
        "2024-02-29",
        " 2024-02-29 ",
        "2024-02-29 00:00",
        dt.date(2024, 2, 29),
        dt.datetime(2024, 2, 29),
        pd.Timestamp("2024-02-29"),
        np.datetime64("2024-02-29"),
    ],
)
def test_a_moment_may_come_in_many_forms(value):
    assert as_moment(value, caller="f") == dt.datetime(2024, 2, 29)
    assert type(as_moment(value, caller="f")) is dt.datetime


@pytest.mark.parametrize(
    "value", ["29.02.2024", "2023-02-29", "", "yesterday", 20240229, np.int64(20240201), None, pd.NaT]
)
def test_other_moments_are_refused(value):
    with pytest.raises(SchemaError, match=r'f: as_of must be a date such as as_of="2011-12-10"'):
        as_moment(value, caller="f")


@pytest.mark.parametrize("value", ["2024-02-29T00:00+01:00", dt.datetime(2024, 2, 29, tzinfo=dt.UTC)])
def test_moments_with_a_zone_are_refused(value):
    with pytest.raises(SchemaError, match=r"without a time zone.*wall-clock time of your data"):
        as_moment(value, caller="f")


@pytest.mark.parametrize(("value", "days"), [("90d", 90), ("12w", 84), (" 7 d ", 7), (dt.timedelta(days=30), 30)])
def test_durations_are_days_or_weeks(value, days):
    assert as_days(value, caller="f") == days


@given(days=st.integers(1, 5_000))
def test_a_week_is_seven_days(days):
    assert as_days(f"{days}w", caller="f") == 7 * as_days(f"{days}d", caller="f")


@pytest.mark.parametrize(
    "value", ["3 months", "0d", "99999999999d", "-7d", "1.5d", 90, None, dt.timedelta(hours=36), ""]
)
def test_other_durations_are_refused(value):
    with pytest.raises(SchemaError, match=r'f: horizon must be a duration in days or weeks such as horizon="90d"'):
        as_days(value, caller="f")


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90s", 90),
        ("30m", 30 * 60),
        (" 12 h ", 12 * 60 * 60),
        ("1d", 24 * 60 * 60),
        ("2w", 14 * 24 * 60 * 60),
        (dt.timedelta(days=2, seconds=5), 2 * 24 * 60 * 60 + 5),
        (pd.Timedelta("45min"), 45 * 60),
    ],
)
def test_short_durations_are_seconds(value, seconds):
    assert as_seconds(value, caller="f") == seconds


@given(days=st.integers(1, 5_000))
def test_short_and_long_durations_agree_on_days(days):
    assert as_seconds(f"{days}d", caller="f") == 24 * 60 * 60 * as_days(f"{days}d", caller="f")


@pytest.mark.parametrize(
    "value",
    ["30", "0m", "-5m", "1.5h", "1 month", "30M", 1800, None, pd.NaT, dt.timedelta(milliseconds=500), "40000d", ""],
)
def test_other_short_durations_are_refused(value):
    with pytest.raises(SchemaError, match=r'f: gap must be a duration such as gap="90s", "30m" \(minutes\).*longest'):
        as_seconds(value, caller="f")


@pytest.mark.parametrize("value", [0, 1, -0.1, 1.5, "0.2", True, None, float("nan")])
def test_fractions_lie_between_zero_and_one(value):
    assert check_fraction(0.2, name="margin", caller="f") == 0.2
    with pytest.raises(SchemaError, match=r"f: margin must be a fraction between 0 and 1, such as margin=0.2, got"):
        check_fraction(value, name="margin", caller="f")


@pytest.mark.parametrize("value", [0, 2.0, "3", True, None])
def test_counts_are_whole_numbers(value):
    assert check_count(np.int64(3), name="n", caller="f") == 3
    with pytest.raises(SchemaError, match="f: n must be a whole number of at least 1, got"):
        check_count(value, name="n", caller="f")


@pytest.mark.parametrize("value", [-1, float("inf"), float("nan"), "3", True, None])
def test_amounts_are_finite_and_not_negative(value):
    assert check_amount(0, name="cost", caller="f") == 0.0
    with pytest.raises(SchemaError, match="f: cost must be a number of zero or more, got"):
        check_amount(value, name="cost", caller="f")
    with pytest.raises(SchemaError, match="f: cost must be a number above zero, got 0"):
        check_amount(0, name="cost", caller="f", positive=True)


def test_choices_are_listed_with_the_likely_one():
    assert check_choice("keep", ["keep", "match"], name="returns", caller="f") == "keep"
    with pytest.raises(
        SchemaError, match=r"f: returns must be one of \['keep', 'match'\], got 'kepp'. Did you mean 'keep'"
    ):
        check_choice("kepp", ["keep", "match"], name="returns", caller="f")
