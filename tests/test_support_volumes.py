"""What support_table promises: shares and times by hand on every frame, open tickets heard, the future unread."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crmlytics as crm
from crmlytics._frames import to_pandas
from crmlytics._kernels.clustered_means import group_means
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.support.backlog import backlog_table
from crmlytics.support.resolution import resolution_curve_table
from crmlytics.support.volumes import support_table
from crmlytics.testing import make_frame

AS_OF = "2024-02-01"
HOUR = pd.Timedelta(hours=1)
MIDNIGHT = pd.Timestamp("2024-01-01")
DATES = "Moments are dates without a time: hours are those of whole days."


def at(hours):
    """Return moments so many hours after 2024-01-01, missing where there is no number."""
    return [None if hour is None else pd.Timestamp("2024-01-01") + hour * HOUR for hour in hours]


def by_hand():
    """Eight tickets: the last two are open at 744 hours, one of them a day old."""
    return {
        "ticket_id": [1, 2, 3, 4, 5, 6, 7, 8],
        "customer_id": ["a", "a", "b", "c", "c", "d", "e", "a"],
        "opened_at": at([0, 100, 200, 300, 400, 500, 600, 720]),
        "first_reply_at": at([2, 104, 220, None, 401, 508, None, None]),
        "closed_at": at([24, 196, 296, 310, 448, 596, None, None]),
        "reopened_at": at([30, None, None, None, None, 510, None, None]),
        "category": ["bill", "bill", "bill", "ship", "ship", "ship", "ship", None],
        "satisfaction": [5.0, 4.0, 1.0, None, 2.0, 3.0, None, None],
    }


def table_of(data=None, kind="pandas", **options):
    return to_pandas(support_table(make_frame(data or by_hand(), kind), **{"as_of": AS_OF} | options))


def test_counts_by_hand_and_returns_the_kind_that_came_in(frame):
    tickets = frame(by_hand())
    found = support_table(tickets, as_of=AS_OF, by="category")
    assert type(found) is type(tickets)
    rows = to_pandas(found)
    assert rows["group"].tolist() == ["bill", "ship", "(unknown)"]
    assert rows["by"].tolist() == ["category"] * 3
    counts = ["ticket_count", "open_count", "customer_count", "closed_unanswered_count", "reply_undecided_count",
              "resolution_undecided_count", "mark_count"]  # fmt: skip
    assert rows[counts].to_numpy().tolist() == [[3, 0, 2, 0, 0, 0, 3], [4, 1, 3, 1, 0, 0, 2], [1, 1, 1, 0, 0, 1, 0]]
    # bill: replied after 2, 4, 20 hours, closed after 24, 96, 96; ship: replied after 1 and 8, two were never answered
    assert rows["first_reply_median_hours"].tolist()[:1] == [4.0]
    assert rows["reply_within_target_share"].tolist() == pytest.approx([2 / 3, 0.5, 0.0])
    assert rows["resolution_median_hours"].tolist()[:2] == [96.0, 72.0]  # ship: 10, 48, 96 and open: between 48 and 96
    assert rows["resolution_within_target_share"].tolist()[:2] == pytest.approx([1 / 3, 0.5])
    assert rows["reopened_share"].tolist()[:2] == pytest.approx([1 / 3, 1 / 3])
    assert rows["satisfaction_mean"].tolist()[:2] == pytest.approx([10 / 3, 2.5])
    assert rows["resolution_within_target_share"].isna().tolist() == [False, False, True]  # a day old: undecided
    assert rows["caution"].str.match("Association, not effect: .* Fewer than 30 customers.$").all()


def test_repeated_contacts_are_those_of_tickets_that_could_be_repeated():
    row = table_of().iloc[0]
    assert row["group"] == "(all)"
    assert row["repeat_share"] == pytest.approx(2 / 6)  # 1 and 4 are followed after 100 hours; 7 and 8 are too young
    assert table_of(repeat_window="99h").iloc[0]["repeat_share"] == 0
    assert table_of(repeat_window="100h").iloc[0]["repeat_share"] == pytest.approx(2 / 7)  # after 100 hours sharp
    assert table_of(repeat_window="30d").iloc[0]["repeat_share"] == 1.0  # only ticket 1 is 30 days old


def test_open_tickets_are_heard():
    """Closed alone: a median of 10 hours. Half of all are still open after 100."""
    data = {"ticket_id": range(4), "opened_at": at([0, 0, 0, 0]), "closed_at": at([10, 10, None, None])}
    found = table_of(data, as_of=at([100])[0]).iloc[0]
    assert found["resolution_p25_hours"] == 10
    assert found["resolution_median_hours"] == 10 or np.isnan(found["resolution_p75_hours"])
    assert found["resolution_within_target_share"] == 0.5
    assert np.isnan(found["resolution_p75_hours"])


def test_unclosed_tickets_alone_have_no_median_and_a_share_with_bounds():
    data = {"ticket_id": range(10), "opened_at": at([0] * 10), "closed_at": at([None] * 9 + [None])}
    data["closed_at"] = pd.Series([pd.NaT] * 10, dtype="datetime64[us]")
    found = table_of(data).iloc[0]
    assert found["open_count"] == 10
    assert np.isnan(found["resolution_median_hours"])
    assert found["resolution_within_target_share"] == 0.0
    assert found["resolution_within_target_share_high"] == pytest.approx(0.2775, abs=1e-4)  # Wilson, 0 of 10


def test_nothing_of_the_future_is_read():
    known, poisoned = by_hand(), by_hand()
    late = pd.Timestamp("2024-02-05")
    for name, place in (("closed_at", 6), ("first_reply_at", 7), ("reopened_at", 6)):
        poisoned[name][place] = late
    poisoned["satisfaction"][6] = 1.0  # given at the closing, after as_of
    poisoned = {name: [*values, values[0]] for name, values in poisoned.items()}
    poisoned["ticket_id"][-1], poisoned["opened_at"][-1] = 9, pd.Timestamp(AS_OF)
    poisoned["first_reply_at"][-1] = poisoned["closed_at"][-1] = poisoned["reopened_at"][-1] = late
    pd.testing.assert_frame_equal(table_of(known, by="category"), table_of(poisoned, by="category"))


def test_what_happens_at_as_of_has_not_happened_and_open_tickets_are_reopened_too():
    assert table_of(as_of=at([596])[0])["open_count"].tolist() == [1]  # ticket 6 is closed at that moment
    early = table_of(as_of=at([550])[0]).iloc[0]
    assert early["reopened_share"] == pytest.approx(2 / 6)  # five closed and the sixth open again


def test_the_order_of_rows_says_nothing():
    shuffled = pd.DataFrame(by_hand()).sample(frac=1, random_state=3)
    pd.testing.assert_frame_equal(to_pandas(support_table(shuffled, as_of=AS_OF)), table_of())


def test_columns_come_with_their_roles():
    least = {name: by_hand()[name] for name in ("ticket_id", "opened_at", "closed_at")}
    names = set(table_of(least).columns)
    assert not {name for name in names if name.startswith(("first", "reply", "reopened", "repeat", "customer", "mark"))}
    assert {"ticket_count", "resolution_median_hours", "caution"} <= names


def test_a_single_customer_gives_no_bounds():
    data = by_hand() | {"customer_id": ["a"] * 8}
    found = table_of(data).iloc[0]
    assert found["satisfaction_mean"] == 3.0
    assert np.isnan(found["satisfaction_mean_low"])
    assert found[["resolution_median_hours_low", "reopened_share_low", "repeat_share_high"]].isna().all()


@given(copies=st.integers(2, 5))
def test_a_customer_who_asks_often_makes_no_bound_narrower(copies):
    rng = np.random.default_rng(1)
    values = (rng.random(40) < 0.4).astype(float)
    customer, group = np.arange(40), np.zeros(40, np.int64)
    once = group_means(values, group, 1, cluster=customer)
    often = group_means(np.repeat(values, copies), np.repeat(group, copies), 1, cluster=np.repeat(customer, copies))
    assert often.mean == pytest.approx(once.mean)
    assert often.error == pytest.approx(once.error)
    assert often.share_interval(0.95)[1] >= once.share_interval(0.95)[1] - 0.02


def test_clustered_error_by_hand():
    """Without the one customer the mean is 1, without the other 3, with both 2: Var = 1/2 x (1 + 1)."""
    found = group_means(np.array([3.0, 3.0, 1.0, 1.0]), np.zeros(4, np.int64), 1, cluster=np.array([0, 0, 1, 1]))
    assert found.error[0] == pytest.approx(1.0)
    assert found.design_effect[0] == pytest.approx(1 / (4 / 3 / 4))
    assert found.worth[0] == 2


def test_a_customer_with_most_rows_is_most_of_what_is_known():
    """Four rows of one customer, one of the other two: 6^2 / (16 + 1 + 1) = 2, a degree of freedom."""
    values, group, customer = np.array([1.0, 1, 1, 1, 4, 7]), np.zeros(6, np.int64), np.array([0, 0, 0, 0, 1, 2])
    found = group_means(values, group, 1, cluster=customer)
    without = np.array([11 / 2, 11 / 5, 8 / 5])
    assert found.worth[0] == 2
    assert found.error[0] == pytest.approx(np.sqrt(2 / 3 * ((without - 2.5) ** 2).sum()))
    assert found.interval(0.95)[1][0] == pytest.approx(2.5 + 12.706204736 * found.error[0])


def test_what_a_few_customers_agree_on_is_known_of_these_few():
    """Of ten customers one has half of fifty tickets reopened: mostly none is seen, which is ten times no."""
    rng, covered = np.random.default_rng(0), 0
    customer, group = np.repeat(np.arange(10), 50), np.zeros(500, np.int64)
    for _ in range(200):
        values = ((rng.random(10) < 0.1)[customer] & (rng.random(500) < 0.5)).astype(float)
        low, high = group_means(values, group, 1, cluster=customer).share_interval(0.95)
        covered += low[0] <= 0.05 <= high[0]
    assert covered >= 190  # 121, had each ticket been a witness of its own
    none = group_means(np.zeros(500), group, 1, cluster=customer).share_interval(0.95)[1][0]
    assert none == pytest.approx(1.96**2 / (1.96**2 + 10 * (1.9647 / 2.2622) ** 2), abs=1e-3)


def test_bounds_hold_where_few_customers_have_most_tickets():
    """Thirty customers with tickets as uneven as those of real callers: with a degree of freedom a customer .905."""
    rng, covered = np.random.default_rng(0), 0
    for _ in range(400):
        customer = np.repeat(np.arange(30), np.maximum(1, np.rint(np.exp(rng.normal(1, 1.2, 30)))).astype(int))
        values = 0.7 * rng.normal(size=30)[customer] + rng.normal(size=len(customer))
        low, high = group_means(values, np.zeros(len(values), np.int64), 1, cluster=customer).interval(0.95)
        covered += low[0] <= 0 <= high[0]
    assert 370 <= covered <= 394


def test_few_customers_with_most_tickets_are_told():
    data = export().assign(customer_id=lambda rows: np.minimum(rows["ticket_id"], 40))
    caution = support_table(data, as_of="2024-02-10")["caution"][0]
    assert caution == "Few customers have most of the tickets."


def test_the_net_promoter_score_is_read_where_the_scale_is_its_own():
    data = by_hand() | {"satisfaction": [10, 9, 7, None, 0, 6, None, None]}
    found = table_of(data, scale=(0, 10)).iloc[0]
    assert found["nps_score"] == pytest.approx(0.0)  # 2 promoters and 2 detractors of 5
    assert found["nps_score_low"] < 0 < found["nps_score_high"]
    assert table_of()["nps_score"].isna().all()


def test_names_that_differ_in_blanks_are_one():
    data = by_hand() | {"category": ["bill", "bill ", " bill", "ship", "ship", "ship", " ", None]}
    assert table_of(data, by="category")["group"].tolist() == ["bill", "ship", "(unknown)"]


def test_the_universe_answers_as_it_was_told_to():
    """.65 exp(-t / 4) + .35 passes one half at 5.87 hours; a minute is added."""
    from crmlytics.datasets._universe import _laws as laws

    universe = crm.datasets.make_universe(customers=3000, random_state=1)
    row = table_of_frame(universe.tickets)
    truth = -4 * np.log((0.5 - laws.BAD_SHARE) / (1 - laws.BAD_SHARE)) + 1 / 60
    assert row["first_reply_median_hours_low"] < truth < row["first_reply_median_hours_high"]


def table_of_frame(tickets):
    return to_pandas(support_table(tickets, as_of="2025-06-01")).iloc[0]


def test_says_what_it_does_not_understand():
    with pytest.raises(SchemaError, match=r"no ticket was opened before as_of=2020-01-01 00:00"):
        table_of(as_of="2020-01-01")
    with pytest.raises(
        SchemaError, match=r"satisfaction holds 5, beyond the scale of 0 to 1 \(4 of 5 marks\).*scale=\(1, 5\)"
    ):
        table_of(scale=(0, 1))
    with pytest.raises(SchemaError, match=r"scale must be the lowest and the highest mark such as scale=\(1, 5\)"):
        table_of(scale=5)
    with pytest.raises(SchemaError, match=r"by must be one of \['category', 'priority', 'channel'\], got 'team'"):
        table_of(by="team")
    with pytest.raises(MissingColumnsError, match=r"support_table needs \['priority'\]"):
        table_of(by="priority")
    with pytest.raises(SchemaError, match=r'reply_target must be a duration such as reply_target="90s"'):
        table_of(reply_target=8)


def test_a_mark_that_means_no_answer_is_not_taken_for_the_scale():
    data = by_hand() | {"satisfaction": [5, 99, 1, None, 2, 3, None, None]}
    with pytest.raises(
        SchemaError, match=r"satisfaction holds 99, .*Where 99 means no answer, make it missing\. .*100"
    ):
        table_of(data)
    data["satisfaction"][1] = float("inf")
    with pytest.raises(SchemaError, match=r"Where inf means no answer, make it missing\.$"):
        table_of(data)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "duckdb"])
def test_groups_are_named_alike_on_every_engine(kind):
    data = {name: by_hand()[name] for name in ("ticket_id", "opened_at", "closed_at")}
    numbers = table_of(data | {"priority": [1, 2, 10, None, 2, 1, 1, 1]}, kind, by="priority")
    assert numbers["group"].tolist() == ["1", "2", "10", "(unknown)"]
    words = table_of(data | {"priority": ["b", "a", "", " ", None, "(unknown)", "a", "a"]}, kind, by="priority")
    assert words["group"].tolist() == ["a", "b", "(unknown)"]
    assert words["ticket_count"].tolist() == [3, 1, 4]
    assert table_of(data | {"category": ["", " ", "", "", "", "", "", ""]}, kind, by="category")["group"].tolist() == [
        "(unknown)"
    ]


def test_each_group_may_have_its_own_target():
    data = by_hand() | {"category": ["bill"] * 4 + ["ship"] * 4}  # closed after 24, 96, 96, 10 and 48, 96 hours
    targets = {"ship": "48h", "bill": "96h", "none of these": "1h"}
    rows = table_of(data, by="category", resolution_target=targets)
    assert rows["resolution_within_target_share"].tolist() == pytest.approx([1.0, 1 / 3])
    assert rows["resolution_target_hours"].tolist() == [96.0, 48.0]
    assert rows["reply_target_hours"].tolist() == [8.0, 8.0]
    assert rows["resolution_undecided_count"].tolist() == [0, 1]  # 24 hours old; the other open one is overdue
    with pytest.raises(SchemaError, match=r"resolution_target has no duration for \['bill'\].*\['bill', 'ship'\]"):
        table_of(data, by="category", resolution_target={"ship": "48h", "Bill": "96h"})
    with pytest.raises(SchemaError, match=r"reply_target has no duration for \['\(all\)'\]"):
        table_of(data, reply_target={"ship": "48h"})


def export(days=40):
    """Return a desk that gets a ticket every six hours and closes each after two days: eight are open at a time."""
    opened = [pd.Timestamp("2024-01-01") + 6 * HOUR * place for place in range(4 * days)]
    closed = [moment + 48 * HOUR for moment in opened]
    return pd.DataFrame({"ticket_id": range(len(opened)), "opened_at": opened, "closed_at": closed})


def test_dates_without_a_time_are_told():
    data = {"ticket_id": range(40), "opened_at": MIDNIGHT, "first_reply_at": MIDNIGHT, "closed_at": [MIDNIGHT] * 40}
    assert support_table(pd.DataFrame(data), as_of="2024-01-05")["caution"].str.contains(DATES).all()
    data["closed_at"][7] += HOUR
    assert support_table(pd.DataFrame(data), as_of="2024-01-05")["caution"].isna().all()


def test_an_export_that_is_old_or_of_closed_tickets_alone_is_doubted():
    desk = export()
    end = pd.Timestamp("2024-02-10")
    assert to_pandas(support_table(desk, as_of=end))["caution"].isna().all()
    desk.loc[len(desk) - 1, "closed_at"] = pd.NaT
    pause = support_table(desk, as_of="2024-02-18")  # the last was closed on the 11th, and one came every six hours
    assert pause["caution"].isna().all()
    closed = desk[desk["closed_at"] < end]
    for table in (
        support_table(closed, as_of=end),
        backlog_table(closed, as_of=end),
        resolution_curve_table(closed, as_of=end),
    ):
        assert set(table["caution"]) == {"No ticket is open: the export may lack those."}
    late = end + pd.Timedelta(days=15)
    assert support_table(desk, as_of=late)["caution"].tolist() == [
        "Nothing happened after 2024-02-11: the export may be old."
    ]
    quiet = support_table(desk.iloc[::40], as_of=late)  # a ticket in ten days: 23 days of silence are not unusual
    assert quiet["caution"].tolist() == [f"Fewer than 30 tickets. {DATES}"]


def test_tickets_that_end_before_they_begin_are_set_aside():
    data = by_hand() | {"closed_at": at([-5, 196, 296, 310, 448, 596, None, None])}
    with pytest.warns(DataQualityWarning, match="closed_at before opened_at"):
        tickets = crm.Tickets(pd.DataFrame(data))
    assert to_pandas(support_table(tickets, as_of=AS_OF))["ticket_count"].tolist() == [7]


def test_a_period_begins_where_it_is_said_to():
    since = at([300])[0]
    assert table_of(since=since)["ticket_count"].tolist() == [5]  # that of hour 300 is in it
    with pytest.raises(
        SchemaError, match="support_table: since must lie before as_of, got since=2024-02-01 00:00, as_of=2024-02-01"
    ):
        table_of(since=AS_OF)
    with pytest.raises(SchemaError, match=r"no ticket was opened from since=2024-01-31 on, before as_of=2024-02-01"):
        table_of({name: values[:7] for name, values in by_hand().items()}, since="2024-01-31")
