"""What at_risk_table promises: shares counted by hand, the worst first, worth among the equally late, no look ahead."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics._frames import to_pandas
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.support.risk import at_risk_table
from crmlytics.testing import make_frame

START, HOUR = pd.Timestamp("2024-01-01"), pd.Timedelta(hours=1)
AS_OF = START + 1_000 * HOUR


def desk():
    """Return forty tickets that took 1 to 40 hours, and four that are open."""
    hours, ages = list(range(1, 41)), [39.5, 31, 5, 60]
    return {
        "ticket_id": list(range(44)),
        "customer_id": [f"old {number}" for number in range(40)] + ["a", "b", "c", "c"],
        "opened_at": [START] * 40 + [AS_OF - age * HOUR for age in ages],
        "first_reply_at": [START + HOUR] * 40 + [None, AS_OF - HOUR, None, None],
        "closed_at": [START + hour * HOUR for hour in hours] + [None] * 4,
    }


def test_counts_by_hand_on_every_frame(frame):
    table = at_risk_table(frame(desk()), as_of=AS_OF)
    assert type(table) is type(frame(desk()))
    rows = to_pandas(table)
    assert rows["customer_id"].tolist() == ["c", "a", "b"]
    assert rows["rank"].tolist() == [1, 2, 3]
    assert rows["ticket_id"].tolist() == [43, 40, 41]
    assert rows["open_ticket_count"].tolist() == [2, 1, 1]
    assert rows["age_hours"].tolist() == [60, 39.5, 31]
    assert rows["urgency"].tolist() == ["overdue", "overdue", "usual"]
    assert rows["is_answered"].tolist() == [False, False, True]
    assert rows["reason"][0] == (
        "open for 60 hours, by when 96% of all tickets are closed; none that is closed took longer; no reply yet; "
        "2 open tickets"
    )  # as Kaplan and Meier see it: two were watched for less


def test_shares_are_kaplan_and_meiers():
    rows = at_risk_table(pd.DataFrame(desk()), as_of=AS_OF).set_index("customer_id")
    waiting, at_risk = 1.0, {}
    ages = np.array([39.5, 31, 5, 60])
    for hour in range(1, 41):
        waiting *= 1 - 1 / ((41 - hour) + (ages >= hour).sum())
        at_risk[hour] = waiting
    assert rows.loc["b", "closed_by_then_share"] == pytest.approx(1 - at_risk[31])
    assert rows.loc["a", "closed_by_then_share"] == pytest.approx(1 - at_risk[39])
    half = next(hour for hour, share in at_risk.items() if share <= at_risk[31] / 2)
    assert rows.loc["b", "median_left_hours"] == half - 31
    assert np.isnan(rows.loc["c", "median_left_hours"])  # nobody saw a ticket take as long


@pytest.mark.parametrize("kind", ["pandas", "pandas-nullable", "polars", "pyarrow", "duckdb"])
def test_worth_decides_among_the_equally_late(kind):
    values = make_frame({"customer_id": ["b", "a", "x", "c"], "worth": [9.0, 500.0, 1.0, None]}, kind)
    rows = to_pandas(at_risk_table(make_frame(desk(), kind), as_of=AS_OF, values=values, value="worth"))
    assert rows["customer_id"].tolist() == ["a", "c", "b"]  # b is worth something but not late; of c nobody knows
    assert rows["value_amount"].tolist()[::2] == [500.0, 9.0]
    assert rows["value_amount"].isna()[1]


def test_like_is_compared_with_like_where_there_is_enough_of_it():
    data = pd.DataFrame(desk())
    data["priority"] = "low"
    data.loc[[40, 41], "priority"] = "high"  # none of them is closed
    rows = at_risk_table(data, as_of=AS_OF).set_index("customer_id")
    assert rows["compared_with"].to_dict() == {"c": "priority low", "a": "all tickets", "b": "all tickets"}
    assert rows["reason"].str.contains("of tickets of priority low are closed").tolist() == [True, False, False]
    assert rows["caution"].isna().all()
    few = at_risk_table(data.iloc[20:].drop(columns="first_reply_at"), as_of=AS_OF)
    assert "is_answered" not in few.columns
    assert not few["reason"].str.contains("reply").any()
    assert few["caution"].eq("Fewer than 30 closed tickets to compare with.").all()


def test_a_reason_says_how_far_was_seen_where_half_never_was():
    """Of 141 tickets 40 are closed, after 1 to 40 hours: most of those as old as 35 hours are open at 40."""
    data = pd.DataFrame(desk()).iloc[:41].drop(columns="first_reply_at")
    data.loc[40, "opened_at"] = AS_OF - 35 * HOUR
    crowd = pd.DataFrame({"ticket_id": range(100, 200), "customer_id": "crowd", "opened_at": AS_OF - 500 * HOUR})
    rows = at_risk_table(pd.concat([data, crowd]), as_of=AS_OF).set_index("customer_id")
    assert rows["median_left_hours"].isna().all()
    assert rows.loc["a", "reason"].endswith("are closed; more than half of those as old stay open for 5 hours more")
    assert rows.loc["crowd", "reason"] == (
        "open for 21 days, by when 28% of all tickets are closed; none that is closed took longer; 100 open tickets"
    )


def test_nearly_all_are_not_all_and_a_group_says_what_it_is_of():
    data = pd.DataFrame({"ticket_id": range(1_001), "customer_id": range(1_001), "priority": 2, "category": "billing"})
    data["opened_at"] = START
    data["closed_at"] = START + pd.to_timedelta(data.index / 10, unit="h")
    data.loc[1_000, ["opened_at", "closed_at"]] = [AS_OF - 99.85 * HOUR, pd.NaT]
    reason = at_risk_table(data, as_of=AS_OF)["reason"][0]
    assert "by when more than 99% of tickets of category billing, priority 2 are closed" in reason


def test_what_was_usual_long_ago_is_not_asked():
    rows = at_risk_table(pd.DataFrame(desk()), as_of=AS_OF, history="30d")  # all that are closed are older
    assert rows[["closed_by_then_share", "median_left_hours", "urgency"]].isna().all(axis=None)
    assert (rows["caution"] == "Fewer than 30 closed tickets to compare with.").all()


def test_where_no_ticket_is_closed_nothing_is_usual(frame):
    data = {"ticket_id": [1, 2], "customer_id": ["a", "b"], "opened_at": [START, START + HOUR]}
    data["closed_at"] = [AS_OF, None]
    rows = to_pandas(at_risk_table(frame(data), as_of=START + 2 * HOUR))
    assert rows["reason"].tolist() == ["open for 2 hours", "open for 1 hour"]
    assert rows["urgency"].isna().all()
    assert rows["caution"].str.endswith("No ticket is closed: closed_at may be lacking.").all()


def test_nothing_of_the_future_is_read():
    later = pd.DataFrame(desk())
    later.loc[[40, 41], "closed_at"] = AS_OF + HOUR
    later.loc[len(later)] = [99, "z", AS_OF, None, None]
    known = at_risk_table(pd.DataFrame(desk()), as_of=AS_OF)
    pd.testing.assert_frame_equal(at_risk_table(later, as_of=AS_OF), known)


def test_an_old_export_makes_everybody_late_and_is_told():
    rows = at_risk_table(pd.DataFrame(desk()), as_of=AS_OF + 5_000 * HOUR, history="3650d")
    assert rows["caution"].str.contains("the export may be old").all()


def test_nobody_waits():
    data = pd.DataFrame(desk()).iloc[:40]
    for kind in ("pandas", "polars", "duckdb"):
        rows = to_pandas(at_risk_table(make_frame(data.to_dict("list"), kind), as_of=AS_OF))
        assert len(rows) == 0
        assert rows.columns.tolist()[:3] == ["customer_id", "open_ticket_count", "oldest_age_hours"]


@given(
    closed=st.lists(st.one_of(st.none(), st.integers(1, 90)), min_size=1, max_size=30),
    customer=st.lists(st.integers(0, 4), min_size=30, max_size=30),
)
def test_every_open_ticket_is_somebodys_and_ranks_are_places(closed, customer):
    data = {"ticket_id": range(len(closed)), "customer_id": customer[: len(closed)], "opened_at": START}
    data["closed_at"] = pd.Series(
        [None if one is None else START + one * HOUR for one in closed], dtype="datetime64[us]"
    )
    rows = at_risk_table(pd.DataFrame(data), as_of=START + 60 * HOUR)
    still = [one for one, end in zip(customer, closed, strict=False) if end is None or end >= 60]
    assert rows["open_ticket_count"].sum() == len(still)
    assert sorted(rows["customer_id"]) == sorted(set(still))
    assert rows["rank"].tolist() == list(range(1, len(rows) + 1))
    known = any(end is not None and end < 60 for end in closed)
    assert (rows["closed_by_then_share"].between(0, 1) == known).all()
    assert (rows["urgency"].notna() == known).all()


def test_says_what_it_does_not_understand():
    data = pd.DataFrame(desk())
    with pytest.raises(MissingColumnsError, match=r"at_risk_table needs \['closed_at'\]"):
        at_risk_table(data.drop(columns="closed_at"), as_of=AS_OF)
    with pytest.raises(SchemaError, match="no ticket was opened before as_of=2023-01-01"):
        at_risk_table(data, as_of="2023-01-01")
    values = pd.DataFrame({"customer_id": [1, 2], "value_amount": [1.0, 2.0]})
    with pytest.raises(SchemaError, match=r"customer_id is String in tickets and Int64 in values"):
        at_risk_table(data, as_of=AS_OF, values=values)
    with pytest.raises(MissingColumnsError, match=r"at_risk_table needs \['worth'\]"):
        at_risk_table(data, as_of=AS_OF, values=values, value="worth")
