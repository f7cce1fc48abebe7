"""What backlog_table promises: a balance that adds up in every period and group, and ages by hand."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics._frames import to_pandas
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.support._plots import plot_backlog
from crmlytics.support.backlog import backlog_table
from crmlytics.testing import make_frame

START = pd.Timestamp("2024-01-01")
DAY = pd.Timedelta(days=1)


def days(*numbers):
    return [None if number is None else START + number * DAY for number in numbers]


def by_hand():
    return {
        "ticket_id": [1, 2, 3, 4, 5],
        "opened_at": days(0, 2, 4, 11, 12),
        "closed_at": days(1, 8, None, 12, 20),  # the last is closed after as_of
        "reopened_at": days(3, 5, 6, None, None),  # the first after its closing, the second before, the third is open
        "channel": ["web", "web", "mail", "mail", "mail"],
    }


def test_counts_by_hand_and_returns_the_kind_that_came_in(frame):
    tickets = frame(by_hand())
    found = backlog_table(tickets, as_of="2024-01-15")
    assert type(found) is type(tickets)
    rows = to_pandas(found)
    counts = ["backlog_start_count", "opened_count", "closed_count", "backlog_end_count", "reopened_count",
              "reopened_backlog_count"]  # fmt: skip
    assert rows[counts].to_numpy().tolist() == [[0, 3, 1, 2, 3, 1], [2, 2, 2, 2, 0, 1]]
    assert rows["period_start"].tolist() == [START, START + 7 * DAY]
    assert rows["is_complete"].tolist() == [True, True]
    assert rows["oldest_age_hours"].tolist() == [5 * 24, 10 * 24]
    assert rows["median_age_hours"].tolist() == [4 * 24, 6 * 24]


def test_a_ticket_closed_as_the_next_period_begins_is_left_over():
    data = pd.DataFrame({"ticket_id": [1], "opened_at": days(0), "closed_at": days(7)})
    rows = backlog_table(data, as_of=START + 14 * DAY)
    assert rows[["closed_count", "backlog_end_count"]].to_numpy().tolist() == [[0, 1], [1, 0]]
    assert rows["oldest_age_hours"].iloc[0] == 7 * 24
    assert rows["oldest_age_hours"].isna().tolist() == [False, True]


def test_groups_share_their_periods_and_add_up_to_all():
    by_channel = backlog_table(pd.DataFrame(by_hand()), as_of="2024-01-15", by="channel")
    assert by_channel["group"].tolist() == ["mail", "mail", "web", "web"]
    whole = backlog_table(pd.DataFrame(by_hand()), as_of="2024-01-15")
    names = ["opened_count", "closed_count", "backlog_end_count", "reopened_count"]
    together = by_channel.groupby("period_index")[names].sum()
    assert together.to_numpy().tolist() == whole[names].to_numpy().tolist()
    assert by_channel["oldest_age_hours"].isna().tolist() == [False, False, False, True]


@given(
    opened=st.lists(st.integers(0, 60), min_size=1, max_size=25),
    lasts=st.lists(st.one_of(st.none(), st.integers(0, 40)), min_size=25, max_size=25),
    period=st.sampled_from(["7d", "10d", "month"]),
)
def test_no_ticket_is_lost_between_periods(opened, lasts, period):
    closed = [None if last is None else start + last for start, last in zip(opened, lasts, strict=False)]
    data = {"ticket_id": range(len(opened)), "opened_at": days(*opened)}
    data["closed_at"] = pd.Series(days(*closed), dtype="datetime64[us]")
    table = backlog_table(make_frame(data, "polars"), as_of=START + 70 * DAY, period=period)
    rows = to_pandas(table)
    ends = rows["backlog_start_count"] + rows["opened_count"] - rows["closed_count"]
    assert (ends == rows["backlog_end_count"]).all()
    assert rows["backlog_start_count"].tolist() == [0, *rows["backlog_end_count"].tolist()[:-1]]
    assert rows["opened_count"].sum() == len(opened)
    still = [start for start, end in zip(opened, closed, strict=True) if end is None or end >= 70]
    assert rows["backlog_end_count"].iloc[-1] == len(still)
    oldest = rows["oldest_age_hours"].iloc[-1]
    assert oldest == (70 - min(still)) * 24 if still else np.isnan(oldest)


def test_an_incomplete_month_is_said_to_be_one():
    rows = backlog_table(pd.DataFrame(by_hand()), as_of="2024-02-10", period="month")
    assert rows["is_complete"].tolist() == [True, False]
    assert rows["oldest_age_hours"].tolist() == [27 * 24, 36 * 24]  # the last until as_of, not until the month's end


def test_nothing_of_the_future_is_read():
    poisoned = pd.DataFrame(by_hand())
    poisoned.loc[2, "closed_at"] = poisoned.loc[3, "reopened_at"] = pd.Timestamp("2024-01-15")
    poisoned.loc[5] = [6, pd.Timestamp("2024-01-15"), None, None, "web"]
    known = backlog_table(pd.DataFrame(by_hand()), as_of="2024-01-15", by="channel")
    pd.testing.assert_frame_equal(backlog_table(poisoned, as_of="2024-01-15", by="channel"), known)


def test_says_what_it_does_not_understand():
    tickets = pd.DataFrame(by_hand())
    with pytest.raises(SchemaError, match=r'backlog_table: period must be "month".*For weeks write "7d"'):
        backlog_table(tickets, as_of="2024-01-15", period="week")
    with pytest.raises(MissingColumnsError, match=r"backlog_table needs \['closed_at'\]"):
        backlog_table(tickets.drop(columns="closed_at"), as_of="2024-01-15")
    with pytest.raises(SchemaError, match="no ticket was opened before as_of=2023-01-01"):
        backlog_table(tickets, as_of="2023-01-01")


def test_the_picture_is_of_one_group():
    import matplotlib.pyplot as plt

    rows = backlog_table(pd.DataFrame(by_hand()), as_of="2024-01-15")
    ax = plot_backlog(rows)
    assert [bar.get_height() for bar in ax.patches] == [3, 2, -1, -2]
    assert ax.lines[0].get_ydata().tolist() == [2, 2]
    plt.close("all")
    with pytest.raises(SchemaError, match="keep one group, such as the rows of 'mail'"):
        plot_backlog(backlog_table(pd.DataFrame(by_hand()), as_of="2024-01-15", by="channel"))
