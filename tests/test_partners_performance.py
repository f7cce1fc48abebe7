"""What partner_table promises: hand-counted values on every frame, sums that stay whole, places that are honest."""

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from crmlytics import Transactions, datasets
from crmlytics._kernels.draws import Draws, bounds
from crmlytics._kernels.partner_draws import group_sums, growth_bounds, of_any_number, rank_bounds, sum_bounds
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.partners._plots import plot_partners
from crmlytics.partners.performance import SCHEMA, partner_table
from crmlytics.testing import records

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


# the last 10 days, and the 10 before them, with something older
SALES = {
    "customer_id": ["a", "b", "a", "c", "a", "d", "b", "e"],
    "order_id": [1, 2, 3, 4, 5, 6, 7, 8],
    "timestamp": [ago(25), ago(15), ago(12), ago(10), ago(8), ago(1), ago(2), AS_OF],
    "amount": [5.0, 40.0, 10.0, 30.0, 20.0, 15.0, -4.0, 999.0],
    "cost": [1.0, 20.0, 5.0, 10.0, 15.0, 5.0, -2.0, 1.0],
    "partner_id": ["x", "x", "y", "x", "x", None, "y", "x"],
}
TOLD = ["partner_id", "rank", "amount", "amount_share", "previous_amount", "growth_share", "margin_amount",
        "commission_amount", "margin_after_commission_amount", "customer_count", "new_customer_count", "order_count",
        "silent_days", "is_inactive"]  # fmt: skip


def test_counts_by_hand_on_every_kind(frame):
    sales = frame(SALES | {"partner_id": ["x", "x ", " y", "x", "x", " ", "y", "x"]})  # blanks make no other partner
    table = partner_table(sales, as_of=AS_OF, window="10d", commission={"x": 0.1}, replicates=20)
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(SCHEMA)
    rows = [dict(zip(SCHEMA, row, strict=True)) for row in records(table)]
    assert [tuple(row[name] for name in TOLD) for row in rows] == [
        ("(direct)", None, 15.0, 15 / 61, 0.0, None, 10.0, 0.0, 10.0, 1, 1, 1, 1.0, False),
        ("x", 1, 50.0, 50 / 61, 40.0, 0.25, 25.0, 5.0, 20.0, 2, 1, 2, 8.0, False),  # a was brought earlier
        ("y", 2, -4.0, -4 / 61, 10.0, -1.4, -2.0, None, None, 0, 0, 0, 12.0, False),  # a return is no order
    ]
    assert [row["drawn"] for row in rows] == ["too few"] * 3
    assert all(row[name] is None for row in rows for name in ("amount_low", "rank_low", "rank_high"))


def test_every_row_is_cautious_and_says_what_is_wrong():
    table = partner_table(pd.DataFrame(SALES), as_of=AS_OF, window="10d", commission={"x": 0.1}, replicates=20)
    assert table["caution"].str.startswith("Association, not effect").all()
    of_y = table.set_index("partner_id").loc["y", "caution"]
    assert "More came back than was sold." in of_y
    assert "Its commission is not known." in of_y
    assert "Too few customers" in of_y


def test_a_partner_without_sales_has_zeros_and_is_inactive(frame):
    partners = frame({"partner_id": ["x", "y", "z"], "paid": [0.1, 0.2, 0.3]})
    table = partner_table(frame(SALES), as_of=AS_OF, window="10d", partners=partners, commission="paid", replicates=20)
    row = dict(zip(SCHEMA, records(table)[-1], strict=True))
    assert row["partner_id"] == "z"
    found = [row[name] for name in ("amount", "order_count", "commission_amount", "silent_days", "is_inactive", "rank")]
    assert found == [0.0, 0, 0.0, None, True, 2]
    assert "Never sold anything." in row["caution"]


def test_a_margin_is_that_of_costs_or_a_share_and_else_not_known():
    sales, options = pd.DataFrame(SALES), {"as_of": AS_OF, "window": "10d", "commission": 0.1, "replicates": 20}
    table = partner_table(sales, margin=0.5, **options)
    assert table["margin_amount"].tolist() == [7.5, 25.0, -2.0]
    assert table["margin_after_commission_amount"].tolist() == pytest.approx([7.5, 20.0, -1.6])
    assert partner_table(sales.drop(columns="cost"), **options)["margin_amount"].isna().all()
    later = partner_table(sales.drop(columns="cost"), **(options | {"as_of": ago(2), "window": "1d"}))
    assert later["margin_amount"].isna().all()  # nothing sold, and nothing known


def test_the_last_order_is_the_moment_of_its_last_line():
    later = ago(7.25)
    line = {"customer_id": "a", "order_id": 5, "timestamp": later, "amount": 1.0, "cost": 1.0, "partner_id": "x"}
    sales = pd.concat([pd.DataFrame(SALES), pd.DataFrame([line])])
    row = partner_table(sales, as_of=AS_OF, window="10d", replicates=20).set_index("partner_id").loc["x"]
    assert (row["last_order_at"], row["silent_days"]) == (later, 8.0)
    hours = pd.DataFrame(SALES | {"timestamp": [moment + dt.timedelta(hours=9) for moment in SALES["timestamp"]]})
    row = partner_table(hours, as_of=AS_OF, window="10d", replicates=20).set_index("partner_id").loc["x"]
    assert (row["last_order_at"], row["silent_days"]) == (ago(8) + dt.timedelta(hours=9), 8.0)


def test_growth_is_not_told_where_the_data_begin_too_late():
    table = partner_table(pd.DataFrame(SALES), as_of=AS_OF, window="20d", replicates=20)
    assert table[["previous_amount", "growth_share"]].isna().all(axis=None)
    assert table["caution"].str.contains("The data begin within the period before").all()


def test_one_partner_and_whole_numbers_as_ids():
    sales = pd.DataFrame(SALES | {"partner_id": 7})
    table = partner_table(sales, as_of=AS_OF, window="10d", commission=0.5, replicates=20)
    assert table[["partner_id", "rank"]].to_numpy().tolist() == [["7", 1]]
    assert table["commission_amount"].tolist() == [30.5]
    ten = partner_table(sales.assign(partner_id=[10, 9, 9, 9, 9, 9, 9, 9]), as_of=AS_OF, window="10d", replicates=20)
    assert ten["partner_id"].tolist() == ["9", "10"]  # as numbers are sorted


def test_who_is_slow_by_habit_is_not_inactive_and_who_was_quick_is():
    days = {"quick": range(60, 400, 7), "slow": range(60, 1000, 90)}
    lines = [(name, day) for name, of in days.items() for day in of]
    sales = pd.DataFrame({
        "customer_id": 1, "order_id": range(len(lines)), "partner_id": [name for name, _ in lines],
        "timestamp": [ago(day) for _, day in lines], "amount": 9.0,
    })  # fmt: skip
    table = partner_table(sales, as_of=AS_OF, replicates=20).set_index("partner_id")
    assert table["is_inactive"].to_dict() == {"quick": True, "slow": False}
    assert table["silent_days"].tolist() == [60, 60]
    assert table["usual_interval_days"].round().tolist() == [7, 90]


def test_where_nobody_sold_twice_the_window_tells_who_is_inactive():
    sales = pd.DataFrame(SALES).iloc[[1, 3]].assign(partner_id=["x", "y"])
    table = partner_table(sales, as_of=AS_OF, window="10d", replicates=20)
    assert table["is_inactive"].tolist() == [True, False]
    assert table["overdue_probability"].isna().all()


LINE = st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", None]), st.integers(0, 29), st.integers(-300, 999))


@pytest.mark.filterwarnings("ignore:.*the last line is of")
@settings(max_examples=20)
@given(lines=st.lists(LINE, min_size=1, max_size=25))
def test_revenue_and_orders_are_all_there_whatever_the_order_of_rows(lines):
    customer, partner, days, cents = zip(*lines, strict=True)
    sales = pd.DataFrame({
        "customer_id": customer, "order_id": range(len(lines)), "timestamp": [ago(day + 1) for day in days],
        "amount": [cent / 100 for cent in cents], "partner_id": pd.array(partner, dtype="str"),
    })  # fmt: skip
    table = partner_table(sales, as_of=AS_OF, window="10d", replicates=20)
    mixed = partner_table(sales.sample(frac=1, random_state=0), as_of=AS_OF, window="10d", replicates=20)
    pd.testing.assert_frame_equal(table, mixed)
    now = [cent for cent, day in zip(cents, days, strict=True) if day < 10]
    assert round(table["amount"].sum(), 2) == sum(now) / 100
    assert table["order_count"].sum() == sum(cent >= 0 for cent in now)
    assert table["rank"].isna().tolist() == (table["partner_id"] == "(direct)").tolist()
    ranked = table[table["rank_low"].notna()]
    assert (ranked["rank_low"] <= ranked["rank"]).all()
    assert (ranked["rank"] <= ranked["rank_high"]).all()


def test_the_future_changes_nothing():
    poisoned = SALES | {"amount": [*SALES["amount"][:-1], -1e9], "partner_id": [*SALES["partner_id"][:-1], "z"]}
    one, two = (
        partner_table(pd.DataFrame(sales), as_of=AS_OF, window="10d", replicates=20) for sales in (SALES, poisoned)
    )
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"commission": 15}, r"commission must be a share from 0 to 1.*got 15\. Of 15 per cent type 0\.15"),
        ({"commission": {"x": 1.2}}, "commission of 'x' must be a share from 0 to 1.*got 1.2"),
        ({"margin": 30}, "margin must be a fraction between 0 and 1"),
        ({"commission": "paid"}, "commission='paid' names a column of partners. Give that table"),
        ({"partners": pd.DataFrame({"partner_id": ["x", "x"]})}, "partners has more than one row of 'x'"),
        ({"partners": pd.DataFrame({"partner_id": [1]})}, "partner_id is Int64 in partners and String in transactions"),
        ({"window": "year"}, "window must be a duration"),
        ({"replicates": 3}, "replicates must be a whole number of at least 20"),
        ({"as_of": "2020-01-01"}, "no line lies before as_of=2020-01-01"),
    ],
)
def test_refusals_say_what_to_type(more, said):
    with pytest.raises(SchemaError, match=said):
        partner_table(pd.DataFrame(SALES), **({"as_of": AS_OF} | more))


def test_a_commission_may_name_who_sells_only_later_but_a_slip_is_told():
    earlier = {"as_of": ago(11), "window": "5d", "replicates": 20}
    table = partner_table(pd.DataFrame(SALES), commission={"x": 0.1, "y ": 0.2, "later": 0.3}, **earlier)
    assert table["commission_amount"].tolist() == [4.0, 2.0]
    with pytest.warns(DataQualityWarning, match=r"names 'X', who sold nothing, and none of 'x'. Did you mean 'x'"):
        partner_table(pd.DataFrame(SALES), commission={"X": 0.1, "y": 0.2}, **earlier)


def test_an_as_of_after_the_data_end_is_told():
    orders = pd.DataFrame({"customer_id": 1, "order_id": range(12), "partner_id": "x", "amount": 1.0})
    orders["timestamp"] = [ago(3 * day) for day in range(12)]
    partner_table(orders, as_of=AS_OF + dt.timedelta(7), replicates=20)
    said = r'the last line is of 2024-03-31, 8 days before as_of.*type as_of="2024-04-01"'
    with pytest.warns(DataQualityWarning, match=said):
        partner_table(orders, as_of=AS_OF + dt.timedelta(8), replicates=20)
    partner_table(orders.iloc[::5], as_of=AS_OF + dt.timedelta(14), replicates=20)  # there was none for as long before


def test_says_which_role_is_missing():
    sales = pd.DataFrame(SALES).drop(columns="partner_id")
    with pytest.raises(MissingColumnsError, match=r"partner_table needs \['partner_id'\].*partner_id='<your column>'"):
        partner_table(sales, as_of=AS_OF)


# -- the kernel ----------------------------------------------------------------------------------------------------


def test_sums_of_samples_agree_with_a_loop():
    random = np.random.default_rng(0)
    customer, group, values = random.integers(0, 8, 40), random.integers(0, 3, 40), random.normal(size=40)
    draws = Draws.of(customer, replicates=5, seed=1)
    found = group_sums(draws, values, group, 3)
    for row, weight in zip(found, draws.weights, strict=True):
        times = weight[draws.bundle]
        assert row == pytest.approx([(times * values)[group == number].sum() for number in range(3)])


def test_sums_of_few_skewed_units_are_held_more_often_than_by_plain_percentiles():
    """Eight partners of some 15 customers each, with amounts as customers have them; many even units change nothing."""
    random = np.random.default_rng(3)
    plain, corrected = [], []
    for seed in range(60):
        group, values = random.integers(0, 8, 120), random.lognormal(-0.5, 1.0, 120)
        drawn = group_sums(Draws.of(np.arange(120), replicates=400, seed=seed), values, group, 8)
        units = np.bincount(group, minlength=8)
        for held, (low, high) in ((plain, bounds(drawn)), (corrected, sum_bounds(drawn, units, 0.95))):
            held.append((low <= 15) & (high >= 15))
    assert np.mean(plain) < 0.9 < np.mean(corrected)
    even = special.ndtri((np.arange(4_000) + 0.5) / 4_000)[:, None]
    assert np.hstack(sum_bounds(even, np.array([10_000]), 0.95)) == pytest.approx([-1.96, 1.96], abs=0.01)
    assert np.hstack(sum_bounds(even, np.array([10]), 0.95)) == pytest.approx([-2.262, 2.262], abs=0.01)  # Student's


def test_sums_that_never_vary_have_bounds_of_no_width_and_missing_samples_none():
    drawn = np.full((20, 2), 5.0)
    assert [side.tolist() for side in sum_bounds(drawn, np.array([1, 9]), 0.95)] == [[5.0, 5.0]] * 2
    drawn[:11] = np.nan
    assert np.isnan(sum_bounds(drawn, np.array([1, 9]), 0.95)).all()


def test_amounts_of_a_partner_that_is_the_whole_business_vary_by_how_many_come():
    """Customers who all spend the same vary in their number alone: by its root."""
    drawn = group_sums(Draws.of(np.arange(400), replicates=4_000, seed=0), np.full(400, 2.0), np.zeros(400, int), 1)
    assert drawn.std() == 0
    free = of_any_number(drawn, 400, 0)
    assert (free.mean(), free.std()) == pytest.approx((800, 2 * 20), rel=0.05)


def test_growth_by_hand():
    """From 40 to 60: a 10 to 20, b 30 to 40; shares of 1/3 and 1/4, 2/3 and 3/4 are 1/12 apart, twice."""
    now, before = np.array([20.0, 25.0, 15.0, 0.0, 5.0]), np.array([10.0, 30.0, 0.0, 3.0, 0.0])
    low, high = growth_bounds(now, before, np.array([0, 1, 1, 2, 3]), np.array([0, 0, 0, 1, 2]), 3, 0.95)
    reach = stats.t.ppf(0.975, 1) * np.sqrt(2 / 12**2 * 2)  # squares 2 / 144, fourths 2 / 144**2: 2 - 1 degrees
    assert (low[0], high[0]) == pytest.approx((1.5 * np.exp(-reach) - 1, 1.5 * np.exp(reach) - 1))
    assert np.isnan([low[1:], high[1:]]).all()  # nothing now; nothing before


def test_growth_of_few_customers_is_held_as_often_as_promised():
    random, group = np.random.default_rng(0), np.repeat(np.arange(200), 15)
    now, before = random.gamma(2.0, 1.0, len(group)) * random.lognormal(0, 0.8, (2, len(group)))
    low, high = growth_bounds(now, before, np.arange(len(group)), group, 200, 0.95)
    held = (low <= 0) & (high >= 0)
    assert 0.92 <= held.mean() <= 0.99


def slow_bounds(drawn, measured, confidence, group):
    """Compare with all, then with those that were not sure, until none is."""
    apart, ahead = drawn - measured, measured - measured[group]
    error = np.sqrt(((apart - apart[:, [group]]) ** 2).mean(axis=0))
    left, sure = set(range(len(measured))) - {group}, set()
    while left:
        some = sorted(left)
        studentised = np.abs(apart - apart[:, [group]])[:, some] / error[some]
        reach = np.quantile(studentised.max(axis=1), confidence)
        found = {other for other in some if abs(ahead[other]) / error[other] > reach}
        if not found:
            break
        left, sure = left - found, sure | found
    return 1 + sum(ahead[list(sure)] > 0), len(measured) - sum(ahead[list(sure)] < 0)


def test_places_agree_with_a_loop():
    random = np.random.default_rng(1)
    measured = np.array([10.0, 9.5, 4.0, 3.8, 0.0])
    drawn = measured + random.normal(scale=[1.0, 1.0, 0.5, 0.5, 0.1], size=(400, 5))
    best, worst = rank_bounds(drawn, measured, np.ones(5, bool), 0.95)
    slow = [slow_bounds(drawn, measured, 0.95, group) for group in range(5)]
    assert list(zip(best, worst, strict=True)) == slow == [(1, 2), (1, 2), (3, 4), (3, 4), (5, 5)]
    best, worst = rank_bounds(drawn, measured, np.array([False, True, False, False, True]), 0.95)
    assert list(zip(best, worst, strict=True)) == [slow[1], slow[4]]
    assert [side.tolist() for side in rank_bounds(drawn, measured, np.zeros(5, bool), 0.95)] == [[], []]


def test_the_sure_ones_no_longer_count_among_those_that_are_left():
    """Of ten far apart and two that differ by 2.2 errors: among all that is no difference, of the two alone it is."""
    random = np.random.default_rng(3)
    measured = np.append(100.0 * np.arange(1, 11), [0.0, 2.2 * np.sqrt(2)])
    drawn = measured + random.normal(size=(4_000, 12))
    best, worst = rank_bounds(drawn, measured, np.arange(12) >= 10, 0.95)
    assert list(zip(best, worst, strict=True)) == [(12, 12), (11, 11)]


def test_places_of_partners_that_are_alike_hold_the_truth():
    """All ten are equal: every place is true of each, and all must be held for each in 95 of 100 worlds."""
    random = np.random.default_rng(2)
    held = []
    for _ in range(60):
        measured = random.normal(size=10)
        best, worst = rank_bounds(measured + random.normal(size=(300, 10)), measured, np.ones(10, bool), 0.95)
        held.append((best == 1) & (worst == 10))
    assert np.mean(held) > 0.9


def test_two_groups_without_any_spread_are_told_apart_by_their_amounts():
    measured = np.array([5.0, 5.0, 1.0])
    best, worst = rank_bounds(np.tile(measured, (20, 1)), measured, np.ones(3, bool), 0.95)
    assert (best.tolist(), worst.tolist()) == ([1, 1, 3], [2, 2, 3])


# -- data ----------------------------------------------------------------------------------------------------------


def test_planted_partners_come_out_in_order_and_intervals_hold_the_amounts():
    made = datasets.make_universe(customers=1500, random_state=3)
    table = partner_table(made.transactions, as_of="2025-06-24", window="180d", replicates=200).set_index("partner_id")
    assert set(table["drawn"]) == {"customers"}
    ranked = table.drop(index="(direct)", errors="ignore")
    assert (ranked["rank"] == ranked["amount"].rank(ascending=False)).all()
    for name in ("amount", "amount_share", "growth_share"):
        assert (table[f"{name}_low"] < table[name]).all()
        assert (table[name] < table[f"{name}_high"]).all()
    assert table["amount_share"].sum() == pytest.approx(1)
    assert table.loc["PA01", "rank_high"] <= table.loc["PA06", "rank_low"]  # planted: +25 % and -20 % an order


def test_adventureworks_resellers_as_partners_add_up_to_the_cent(shared_data):
    sales = pd.read_parquet(shared_data / "adventureworks" / "FactResellerSales.parquet")
    tx = Transactions(sales, customer_id="ResellerKey", order_id="SalesOrderNumber", timestamp="OrderDate",
                      amount="SalesAmount", cost="TotalProductCost", partner_id="EmployeeKey")  # fmt: skip
    table = partner_table(tx, as_of="2013-12-01", replicates=100)
    now = sales[sales["OrderDate"] >= "2012-12-01"]
    assert table["amount"].sum() == pytest.approx(now["SalesAmount"].sum(), abs=0.005)
    assert table["margin_amount"].sum() == pytest.approx((now["SalesAmount"] - now["TotalProductCost"]).sum(), abs=0.01)
    assert table["order_count"].sum() == now["SalesOrderNumber"].nunique()


def test_the_picture_has_a_bar_a_partner_and_pales_who_is_inactive():
    import matplotlib.pyplot as plt

    partners = pd.DataFrame({"partner_id": ["x", "y", "z"]})
    table = partner_table(pd.DataFrame(SALES), as_of=AS_OF, window="10d", partners=partners, replicates=20)
    ax = plot_partners(table)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["y", "z", "(direct)", "x"]
    assert [bar.get_alpha() for bar in ax.patches] == [1.0, 0.35, 1.0, 1.0]
    plt.close(ax.figure)
    with pytest.raises(MissingColumnsError, match=r"plot_partners draws the result of partner_table"):
        plot_partners(pd.DataFrame({"partner_id": ["x"]}))


def test_a_few_customers_make_no_interval_however_much_they_order():
    """Six customers' orders, drawn one by one, held the truth in 46 of 100 intervals that were to hold it in 95."""
    orders = pd.DataFrame({"customer_id": np.arange(120) % 6, "order_id": np.arange(120), "timestamp": ago(3)})
    table = partner_table(orders.assign(amount=9.0, partner_id="x"), as_of=AS_OF, window="10d", replicates=20)
    assert table["drawn"].tolist() == ["too few"]
    assert table[["amount_low", "amount_high", "rank_low", "rank_high"]].isna().all(axis=None)


def test_what_had_no_partner_takes_no_place_and_few_customers_a_caution():
    rows = [(name, customer) for name, size in (("", 90), ("x", 60), ("y", 12)) for customer in range(size)]
    orders = pd.DataFrame(rows, columns=["partner_id", "customer_id"]).assign(amount=9.0, timestamp=ago(3))
    table = partner_table(orders.assign(order_id=range(len(rows))), as_of=AS_OF, window="10d", replicates=50)
    places = table[["partner_id", "rank", "rank_low", "rank_high"]].astype(object).where(table.notna(), None)
    assert places.to_numpy().tolist() == [["(direct)", None, None, None], ["x", 1, 1, 1], ["y", 2, 2, 2]]
    cautious = table["caution"].str.contains("Under 50 customers: .* its place is surer than")
    assert cautious.tolist() == [False, False, True]


def test_a_partner_that_is_the_whole_business_is_not_sure_of_its_amount():
    """Thirty customers who spend the same: how many come is all that varies; F. Garwood's (1936) interval of 30."""
    orders = pd.DataFrame({"customer_id": range(30), "order_id": range(30), "timestamp": ago(3), "amount": 1.0})
    row = partner_table(orders.assign(partner_id="x"), as_of=AS_OF, window="10d").iloc[0]
    exact = stats.chi2.ppf([0.025, 0.975], [60, 62]) / 2
    assert (row["amount_low"], row["amount_high"]) == pytest.approx(tuple(exact), abs=1.5)
    assert (row["amount_share_low"], row["amount_share_high"]) == (1.0, 1.0)
