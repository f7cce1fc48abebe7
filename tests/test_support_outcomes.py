"""What ticket_outcome_table promises: counts by hand, planted effects found, none where none is, no look ahead."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import crmlytics as crm
from crmlytics._frames import to_pandas
from crmlytics._kernels.landmarks import Timeline, clustered_effect, effective_customers, same_day_customers
from crmlytics._kernels.matching import doubly_robust_effect
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.support._outcome_plots import plot_ticket_outcomes
from crmlytics.support.outcomes import ticket_outcome_table

START, DAY = pd.Timestamp("2024-01-01"), pd.Timedelta(days=1)
AS_OF = "2025-06-01"
BESIDE = ["kind", "comparison"]


def alike(bad=40, good=40, back=(10, 30)):
    """Return customers with one history: some have a bad ticket, some a good one; so many of each order again.

    All tickets are judged on day 23. All order once more at the moment at which 90 days are over, which is too late.
    """
    customers = list(range(bad + good))
    returning = customers[: back[0]] + customers[bad : bad + back[1]]
    orders = {
        "customer_id": customers + returning + customers,
        "order_id": list(range(2 * len(customers) + len(returning))),
        "timestamp": [START] * len(customers)
        + [START + 30 * DAY] * len(returning)
        + [START + 113 * DAY] * len(customers),
        "amount": [50.0] * len(customers) + [20.0] * len(returning) + [7.0] * len(customers),
    }
    tickets = {
        "ticket_id": customers,
        "customer_id": customers,
        "opened_at": [START + 20 * DAY] * len(customers),
        "closed_at": [START + 21 * DAY] * len(customers),
        "satisfaction": [1.0] * bad + [5.0] * good,
    }
    return tickets, orders


def alike_frames(**options):
    return [pd.DataFrame(data) for data in alike(**options)]


def bad_beside_good(tickets, orders, **options):
    table = ticket_outcome_table(tickets, orders, **({"as_of": "2024-06-01"} | options))
    return table.set_index(BESIDE).loc[("bad", "good ticket")]


@pytest.fixture(scope="module")
def universe():
    return crm.datasets.make_universe(customers=10_000, random_state=2)


@pytest.fixture(scope="module")
def planted(universe):
    table = ticket_outcome_table(
        universe.tickets, universe.transactions, as_of=AS_OF, reply_target="12h", by="category"
    )
    return table.set_index(BESIDE)


def test_counts_by_hand_on_every_frame(frame):
    tickets, orders = (frame(data) for data in alike())
    table = ticket_outcome_table(tickets, orders, as_of="2024-06-01")
    assert type(table) is type(tickets)
    rows = to_pandas(table)
    assert rows[BESIDE].apply(tuple, axis=1).tolist() == [
        ("all", "no ticket"), ("good", "no ticket"), ("bad", "no ticket"), ("bad", "good ticket"),
        ("slow", "good ticket"), ("low mark", "good ticket"),
    ]  # fmt: skip
    bad = rows.iloc[3]
    assert (bad["ticket_count"], bad["matched_count"], bad["comparison_count"], bad["undecided_count"]) == (
        40,
        40,
        40,
        0,
    )
    found = [bad[name] for name in ("returned_share", "comparison_returned_share", "returned_share_difference")]
    assert found == pytest.approx([10 / 40, 30 / 40, -20 / 40])
    revenue = [bad[name] for name in ("revenue_amount", "comparison_revenue_amount", "revenue_amount_difference")]
    assert revenue == pytest.approx([5.0, 15.0, -10.0])
    high = bad["returned_share_difference_high"]
    assert high == pytest.approx(-0.5 + 2.02 * np.sqrt(2 * 0.25 * 0.75 / 40), abs=0.01)  # Student's t of 39
    ratio = 0.75 / (0.75 + high)
    assert bad["e_value_bound"] == pytest.approx(ratio + np.sqrt(ratio * (ratio - 1)))
    assert bad["p_value"] < 1e-4
    assert bad["adjusted_p_value"] == pytest.approx(bad["p_value"])  # the low marks are the same tickets
    assert rows["returned_share"].isna().tolist() == [True, True, True, False, True, False]
    assert rows["caution"][0] == (
        "Association, not effect: who asks is still a customer, who does not may have left already. "
        "Fewer than 20 customers in a group."
    )


def test_a_bad_ticket_costs_what_was_planted(universe, planted):
    """Leaving at rate h and ordering at rate r, a customer orders within t with (1 - exp(-(r + h) t)) r / (r + h).

    The rate of leaving rises when a bad ticket is closed, which may be days after it was judged.
    """
    tickets = universe.tickets.merge(universe.ticket_truth).merge(universe.customer_truth, on="customer_id")
    bad = tickets[tickets["is_bad"]].sort_values("closed_at").assign(judged_at=lambda rows: rows["opened_at"] + 3 * DAY)
    bad["earlier"] = np.minimum(bad.groupby("customer_id").cumcount(), 3)
    bad = bad[bad["judged_at"] <= pd.Timestamp(AS_OF) - 90 * DAY]
    still = ((bad["closed_at"] - bad["judged_at"]) / DAY).clip(0, 90).fillna(90)
    rate, hazard = bad["weekly_order_rate"] / 7, bad["yearly_hazard"] / 365.25

    def returns(bad_tickets, days):
        both = rate + hazard * np.exp(0.7 * np.minimum(bad_tickets, 3))
        return rate / both * -np.expm1(-days * both), np.exp(-days * both)

    (before, silent), (after, _) = returns(bad["earlier"], still), returns(bad["earlier"] + 1, 90 - still)
    truth = (before + silent * after - returns(bad["earlier"], 90)[0]).mean()
    row = planted.loc[("bad", "good ticket")]
    assert -0.03 < truth < -0.015
    assert row["returned_share_difference_low"] <= truth <= row["returned_share_difference_high"]
    assert row["returned_share_difference"] == pytest.approx(truth, abs=0.01)
    assert row["largest_imbalance"] < 0.1
    assert "hard questions go badly more often" in row["caution"]


def leaving_by_chance(seed, customers=4_000):
    """Return tickets and orders of customers who stay for 150 days on average, whatever support does.

    Three in ten tickets take 3 days and then 20 more on average, the others .4; some are reopened, by who is there.
    """
    random = np.random.default_rng(seed)
    joined = random.uniform(0, 200, customers)
    left = np.minimum(joined + random.exponential(150, customers), 600)

    def moments(rates):
        who = np.repeat(np.arange(customers), random.poisson(rates * (left - joined)))
        return who, joined[who] + random.random(len(who)) * (left - joined)[who]

    buyer, bought = moments(random.lognormal(-3.6, 0.8, customers))
    asker, opened = moments(random.lognormal(-5.0, 0.7, customers))
    is_slow = random.random(len(asker)) < 0.3
    closed = opened + np.where(is_slow, 3 + random.exponential(20, len(asker)), random.exponential(0.4, len(asker)))
    again = closed + random.exponential(20, len(asker))
    again[(random.random(len(asker)) < 0.5) | (again >= left[asker])] = np.nan

    def dated(days):
        return START + pd.to_timedelta(days, unit="D").round("s")

    asked = pd.DataFrame({"customer_id": asker, "opened_at": dated(opened), "closed_at": dated(closed)})
    asked["reopened_at"] = dated(again)
    sold = pd.DataFrame({
        "customer_id": np.append(np.arange(customers), buyer), "timestamp": dated(np.append(joined, bought)),
        "amount": 20.0,
    })  # fmt: skip
    return asked.rename_axis("ticket_id").reset_index(), sold.rename_axis("order_id").reset_index()


def test_where_customers_leave_by_chance_slow_tickets_cost_nothing_and_reopened_ones_keep_nobody():
    """Judged at their closing, slow tickets cost 9 points of a hundred; judged at the reopening, these gained 3."""
    tickets, orders = leaving_by_chance(1)
    table = ticket_outcome_table(tickets, orders, as_of="2025-08-20", comparisons=1).set_index(BESIDE)
    for kind in ("bad", "slow", "reopened"):
        row = table.loc[(kind, "good ticket")]
        assert row["returned_share_difference_low"] < 0 < row["returned_share_difference_high"], kind
        assert row["e_value_bound"] == 1
    slow = table.loc[("slow", "good ticket")]
    assert slow["returned_share_difference_high"] - slow["returned_share_difference_low"] < 0.08
    assert abs(slow["returned_share_difference"]) < 0.02


def test_what_was_not_planted_is_not_found(planted):
    topics = planted.xs("other tickets", level="comparison")
    assert topics.index.tolist() == ["account", "billing", "delivery", "product"]
    assert (topics["adjusted_p_value"] > 0.05).all()


def test_who_asks_is_still_there_and_only_that_makes_good_tickets_look_good(universe, planted):
    good = planted.loc[("good", "no ticket")]
    assert good["returned_share_difference_low"] > 0.03
    assert "who does not may have left already" in good["caution"]
    stayed = universe.customer_truth.query("dropped_out_at.isna()")["customer_id"]
    tickets, orders = (table[table["customer_id"].isin(stayed)] for table in (universe.tickets, universe.transactions))
    table = ticket_outcome_table(tickets, orders, as_of=AS_OF, reply_target="12h").set_index(BESIDE)
    good = table.loc[("good", "no ticket")]
    assert good["returned_share_difference_low"] < 0 < good["returned_share_difference_high"]
    assert abs(good["returned_share_difference"]) < 0.015


def test_nothing_of_the_future_is_read_and_no_order_of_rows_matters():
    made = crm.datasets.make_universe(customers=1_500, random_state=3)
    known = ticket_outcome_table(made.tickets, made.transactions, as_of="2025-01-01")
    late = pd.Timestamp("2025-01-01")
    tickets, orders = made.tickets.copy(), made.transactions.copy()
    for name in ("closed_at", "reopened_at", "first_reply_at"):
        tickets[name] = tickets[name].where(~(tickets[name] >= late), tickets[name] + 3 * DAY)
    tickets["satisfaction"] = tickets["satisfaction"].where(tickets["closed_at"] < late, 1.0)
    tickets.loc[tickets["opened_at"] >= late, "customer_id"] = 1
    orders.loc[orders["timestamp"] >= late, "amount"] = 1e6
    poisoned = ticket_outcome_table(
        tickets.sample(frac=1, random_state=0), orders.sample(frac=1, random_state=1), as_of="2025-01-01"
    )
    pd.testing.assert_frame_equal(poisoned, known, check_exact=True)


def test_all_tickets_are_judged_at_the_same_age_by_what_was_known_then():
    tickets, orders = alike_frames()
    late = START + 23 * DAY + pd.Timedelta(seconds=1)
    tickets["reopened_at"] = [late - pd.Timedelta(seconds=1)] * 25 + [late] * 15 + [pd.NaT] * 40
    tickets.loc[40:49, "closed_at"] = late
    tickets.loc[50:, "closed_at"] = [START + 23 * DAY] * 10 + [START + 21 * DAY] * 19 + [pd.NaT]
    tickets.loc[40:59, "satisfaction"] = 1.0
    table = ticket_outcome_table(tickets, orders, as_of="2024-06-01").set_index(BESIDE)
    counts = table.xs("good ticket", level="comparison")["ticket_count"]
    assert counts.to_dict() == {"bad": 61, "slow": 11, "reopened": 25, "low mark": 50}


def test_what_the_customer_does_counts_from_when_the_ticket_is_judged():
    """Who returns does so on day 30; tickets opened on day 20 are judged on day 29, or on day 31."""
    options = {"bad": ["low mark"], "horizon": "60d"}
    for target, shares in (("9d", [0.25, 0.75]), ("11d", [0.0, 0.0])):
        row = bad_beside_good(*alike_frames(bad=80, good=80, back=(20, 60)), resolution_target=target, **options)
        assert row[["returned_share", "comparison_returned_share"]].tolist() == shares
    short = ticket_outcome_table(*alike_frames(), as_of="2024-02-15", horizon="24d", resolution_target="1h")
    assert short["undecided_count"].iloc[0] == 0
    with pytest.raises(SchemaError, match="had reached its target 24 days before"):
        ticket_outcome_table(*alike_frames(), as_of="2024-02-15", horizon="24d")


def test_what_comes_back_later_does_not_change_what_was_known_before():
    """Returns with the old order's id come after the landmark: less revenue, the same history, nobody less returned."""
    tickets, orders = alike_frames()
    back = pd.DataFrame({"customer_id": range(20), "order_id": range(20), "timestamp": START + 50 * DAY})
    returned = pd.concat([orders, back.assign(amount=-50.0)])
    plain, less = (bad_beside_good(tickets, lines) for lines in (orders, returned))
    assert less["matched_count"] == plain["matched_count"] == 40
    assert less["returned_share"] == plain["returned_share"]
    assert less["revenue_amount"] == pytest.approx(plain["revenue_amount"] - 25.0)


def test_no_rounding_of_sums_tells_customers_apart():
    """Sums of 19.99 over all customers differ by 1e-12 from one to the next, and who comes first was the bad group."""
    tickets, orders = alike_frames(bad=300, good=3_000, back=(75, 2_250))
    orders["amount"] = 19.99
    row = bad_beside_good(tickets, orders)
    assert row["matched_count"] == 300
    assert row["returned_share_difference"] == pytest.approx(-0.5)


def test_too_few_who_are_alike_are_not_compared():
    tickets, orders = alike_frames(bad=30, good=30, back=(10, 20))
    earlier = orders[orders["customer_id"] < 15].assign(amount=9_000.0, timestamp=START - 50 * DAY)
    orders = pd.concat([orders, earlier.assign(order_id=earlier["order_id"] + 1_000)])
    row = bad_beside_good(tickets, orders)
    assert (row["ticket_count"], row["matched_count"]) == (30, 0)
    assert row["caution"].endswith("Fewer than 20 customers of a group are alike.")
    assert np.isnan(row["returned_share_difference"])


def test_what_is_certain_is_bounded_and_what_is_unknown_is_null():
    rows = {back: bad_beside_good(*alike_frames(back=back)) for back in ((0, 30), (0, 40), (40, 0))}
    assert rows[(0, 30)]["e_value_bound"] > 2.7  # none of the bad returned: stronger than a quarter of them
    for back, difference in (((0, 40), -1.0), ((40, 0), 1.0)):
        assert rows[back]["returned_share_difference"] == difference
        assert rows[back][["returned_share_difference_low", "p_value", "e_value_bound"]].isna().all()  # nothing varies


def test_a_few_customers_with_many_tickets_are_few():
    tickets, orders = alike_frames()
    tickets.loc[:39, "customer_id"] = [0, 1] * 20
    row = bad_beside_good(tickets, orders, bad=["low mark"])
    assert row["ticket_count"] == 40
    assert row["matched_count"] == 0
    assert row["caution"].endswith("Fewer than 20 customers in a group.")


def test_tickets_of_who_never_ordered_are_told():
    tickets, orders = alike_frames()
    tickets.loc[:2, "customer_id"] = [900, 901, 902]
    with pytest.warns(DataQualityWarning, match=r"3 of 80 tickets are left out: their customers had not"):
        table = ticket_outcome_table(tickets, orders, as_of="2024-06-01")
    assert table["ticket_count"].iloc[0] == 77


def test_says_what_it_does_not_understand():
    tickets, orders = alike_frames()
    with pytest.raises(
        SchemaError, match=r"earlier orders had reached its target 90 days before as_of=2024-02-01.*horizon=\"30d\""
    ):
        ticket_outcome_table(tickets, orders, as_of="2024-02-01")
    with pytest.raises(SchemaError, match=r"bad must be one of \['slow', 'reopened', 'low mark'\], got 'late'"):
        ticket_outcome_table(tickets, orders, as_of="2024-06-01", bad=["late"])
    with pytest.raises(SchemaError, match="bad must be a list of signs"):
        ticket_outcome_table(tickets, orders, as_of="2024-06-01", bad="slow")
    with pytest.raises(MissingColumnsError, match=r"ticket_outcome_table needs \['reopened_at'\]"):
        ticket_outcome_table(tickets, orders, as_of="2024-06-01", bad=["reopened", "slow"])
    with pytest.raises(SchemaError, match=r"nobody with one of the 80 tickets had ordered before it.*the same in"):
        ticket_outcome_table(tickets, orders.assign(timestamp=START + 40 * DAY), as_of="2024-06-01")
    with pytest.raises(MissingColumnsError, match=r"ticket_outcome_table needs \['closed_at'\]"):
        ticket_outcome_table(tickets.drop(columns="closed_at"), orders, as_of="2024-06-01")
    with pytest.raises(SchemaError, match="customer_id is Int64 in Tickets, String in Transactions"):
        ticket_outcome_table(tickets, orders.astype({"customer_id": str}), as_of="2024-06-01")


# -- kernels -------------------------------------------------------------------------------------------------------

rows = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 12), st.integers(-5, 9)), min_size=1, max_size=25)


@given(rows=rows, customer=st.integers(0, 3), start=st.integers(0, 13), length=st.integers(0, 9))
def test_a_timeline_is_what_looking_row_by_row_gives(rows, customer, start, length):
    who, when, much = (np.array(column) for column in zip(*rows, strict=True))
    line = Timeline.of(who, when, much[:, None].astype(float), 4)
    ask, moment = np.array([customer]), np.array([start])
    inside = (who == customer) & (when >= start) & (when < start + length)
    assert line.sums_between(ask, moment, moment + length)[0, 0] == much[inside].sum()
    before = (who == customer) & (when < start)
    assert line.sums_between(ask, None, moment)[0, 0] == much[before].sum()
    if before.any():
        assert line.last(ask, moment)[0] == when[before].max()
        assert line.first(ask)[0] == when[who == customer].min()


def test_who_is_drawn_had_begun_before():
    first, moment = np.array([5, 1, 9]), np.array([1, 2, 6, 20])
    drawn, landmark = same_day_customers(first, moment, 200, seed=0)
    assert (first[drawn] < moment[landmark]).all()
    assert [set(drawn[landmark == one].tolist()) for one in range(4)] == [set(), {1}, {0, 1}, {0, 1, 2}]


def test_an_effect_of_customers_with_one_row_each_has_the_error_known_without_clusters():
    random = np.random.default_rng(0)
    outcome, treated, weight, expected = random.random(200), random.random(200) < 0.4, random.random(200), np.zeros(200)
    weight = np.where(treated, 0.0, weight)
    effect, error = clustered_effect(outcome, treated, weight, expected, np.arange(200))
    known = doubly_robust_effect(outcome, treated, weight, expected)
    assert (effect, error) == pytest.approx((known[0], known[1] * np.sqrt(200 / 199)))
    twice = clustered_effect(*(np.repeat(one, 2) for one in (outcome, treated, weight, expected)), np.arange(400) // 2)
    assert twice == pytest.approx((effect, error))  # rows that come twice say nothing new


def test_customers_who_weigh_more_tell_as_much_as_fewer():
    assert effective_customers(np.ones(3), np.arange(3)) == 3
    assert effective_customers(np.array([3.0, 1.0, 0.0]), np.arange(3)) == pytest.approx(16 / 10)
    assert effective_customers(np.array([1.0, 2.0, 1.0]), np.array([5, 7, 5])) == 2
    assert effective_customers(np.zeros(2), np.arange(2)) == 0


def test_the_picture_shows_what_could_be_compared(planted):
    import matplotlib.pyplot as plt

    ax = plot_ticket_outcomes(planted.reset_index())
    assert [label.get_text() for label in ax.get_yticklabels()][-1].startswith("all (")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["no ticket", "good ticket", "other tickets"]
    plt.close("all")
    with pytest.raises(MissingColumnsError, match=r"draws the result of ticket_outcome_table"):
        plot_ticket_outcomes(planted.reset_index().drop(columns="kind"))
    few = ticket_outcome_table(*alike_frames(bad=5, good=5, back=(2, 2)), as_of="2024-06-01")
    with pytest.raises(SchemaError, match=r"no row of the table has a difference to draw \(.*Fewer than 20 customers"):
        plot_ticket_outcomes(few)


def by_chance(seed, customers=500):
    """Return tickets and orders that know nothing of each other: lives, rates and two tickets in five bad by chance."""
    random = np.random.default_rng(seed)
    rate, start = random.gamma(1.5, 1 / 60, customers), random.uniform(0, 300, customers)
    end = start + random.exponential(400, customers)
    orders, tickets = [], []
    for customer in range(customers):
        days = np.sort(random.uniform(0, 540, random.poisson(rate[customer] * 540)))
        lived = days[(days >= start[customer]) & (days < end[customer])]
        orders += [(customer, day, float(random.lognormal(3, 0.8))) for day in lived]
        asked = random.uniform(start[customer], 540, random.poisson(1.2))
        tickets += [(customer, day, day + (5 if random.random() < 0.4 else 0.5)) for day in asked]
    sold = pd.DataFrame(orders, columns=["customer_id", "timestamp", "amount"]).rename_axis("order_id").reset_index()
    asked = (
        pd.DataFrame(tickets, columns=["customer_id", "opened_at", "closed_at"]).rename_axis("ticket_id").reset_index()
    )
    sold["timestamp"] = START + pd.to_timedelta(sold["timestamp"], "D")
    asked["first_reply_at"] = asked["opened_at"] + 0.1
    for name in ("opened_at", "first_reply_at", "closed_at"):
        asked[name] = START + pd.to_timedelta(asked[name], "D")
    return asked, sold


@pytest.mark.filterwarnings("ignore::crmlytics.exceptions.DataQualityWarning")
@pytest.mark.parametrize("seed", [925, 930])
def test_small_comparisons_stay_possible(seed):
    """Shares expected of 624 %, and revenue of five times what anybody spent, before what is expected was bounded."""
    table = ticket_outcome_table(*by_chance(seed), as_of="2025-06-01", reply_target="8h")
    assert table["comparison_returned_share"].dropna().between(0, 1).all()
    assert (table["comparison_revenue_amount"].dropna() >= 0).all()
