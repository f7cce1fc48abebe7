"""What partner_table promises: hand-counted values on every frame, sums that stay whole, places that are honest."""

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special

from crmlytics import Transactions, datasets
from crmlytics._kernels.draws import Draws, bounds
from crmlytics._kernels.partner_draws import group_sums, rank_bounds, sum_bounds
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
        ("(direct)", 2, 15.0, 15 / 61, 0.0, None, 10.0, 0.0, 10.0, 1, 1, 1, 1.0, False),
        ("x", 1, 50.0, 50 / 61, 40.0, 0.25, 25.0, 5.0, 20.0, 2, 1, 2, 8.0, False),  # a was brought earlier
        ("y", 3, -4.0, -4 / 61, 10.0, -1.4, -2.0, None, None, 0, 0, 0, 12.0, False),  # a return is no order
    ]
    assert [row["drawn"] for row in rows] == ["too few"] * 3
    assert all(row["amount_low"] is None for row in rows)


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
    assert found == [0.0, 0, 0.0, None, True, 3]
    assert "Never sold anything." in row["caution"]


def test_growth_is_not_told_where_the_data_begin_too_late():
    table = partner_table(pd.DataFrame(SALES), as_of=AS_OF, window="20d", replicates=20)
    assert table[["previous_amount", "growth_share"]].isna().all(axis=None)
    assert table["caution"].str.contains("The data begin within the period before").all()


def test_one_partner_and_whole_numbers_as_ids():
    sales = pd.DataFrame(SALES | {"partner_id": 7})
    table = partner_table(sales, as_of=AS_OF, window="10d", commission=0.5, replicates=20)
    assert table[["partner_id", "rank", "rank_low", "rank_high"]].to_numpy().tolist() == [["7", 1, 1, 1]]
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
    assert (table["rank_low"] <= table["rank"]).all()
    assert (table["rank"] <= table["rank_high"]).all()


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
        ({"commission": {"x": 1.2}}, "commission must be a share.*got 1.2 of 'x'"),
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


def slow_bounds(drawn, measured, confidence, group):
    apart = drawn - measured
    error = np.sqrt(((apart - apart[:, [group]]) ** 2).mean(axis=0))
    others = np.arange(len(measured)) != group
    studentised = np.abs(apart - apart[:, [group]])[:, others] / error[others]
    reach = np.quantile(studentised.max(axis=1), confidence)
    ahead = (measured - measured[group])[others] / error[others]
    return 1 + (ahead > reach).sum(), len(measured) - (ahead < -reach).sum()


def test_places_agree_with_a_loop():
    random = np.random.default_rng(1)
    measured = np.array([10.0, 9.5, 4.0, 3.8, 0.0])
    drawn = measured + random.normal(scale=[1.0, 1.0, 0.5, 0.5, 0.1], size=(400, 5))
    best, worst = rank_bounds(drawn, measured, 0.95)
    slow = [slow_bounds(drawn, measured, 0.95, group) for group in range(5)]
    assert list(zip(best, worst, strict=True)) == slow == [(1, 2), (1, 2), (3, 4), (3, 4), (5, 5)]


def test_places_of_partners_that_are_alike_hold_the_truth():
    """All ten are equal: every place is true of each, and all must be held for each in 95 of 100 worlds."""
    random = np.random.default_rng(2)
    held = []
    for _ in range(60):
        measured = random.normal(size=10)
        best, worst = rank_bounds(measured + random.normal(size=(300, 10)), measured, 0.95)
        held.append((best == 1) & (worst == 10))
    assert np.mean(held) > 0.9


def test_two_groups_without_any_spread_are_told_apart_by_their_amounts():
    measured = np.array([5.0, 5.0, 1.0])
    best, worst = rank_bounds(np.tile(measured, (20, 1)), measured, 0.95)
    assert (best.tolist(), worst.tolist()) == ([1, 1, 3], [2, 2, 3])


# -- data ----------------------------------------------------------------------------------------------------------


def test_planted_partners_come_out_in_order_and_intervals_hold_the_amounts():
    made = datasets.make_universe(customers=1500, random_state=3)
    table = partner_table(made.transactions, as_of="2025-06-24", window="180d", replicates=200).set_index("partner_id")
    assert set(table["drawn"]) == {"customers"}
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
    assert table[["amount_low", "amount_high"]].isna().all(axis=None)
