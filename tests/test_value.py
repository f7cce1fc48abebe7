"""What value.py promises: hand-counted values on every frame, shares that add up, no look into the future."""

import datetime as dt
import math
from collections import defaultdict

import matplotlib as mpl
import matplotlib.pyplot as plt
import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.rfm import rfm_table
from crmlytics.testing import make_frame, records
from crmlytics.value import (
    concentration_table,
    gini,
    kpi_table,
    plot_concentration,
    plot_kpis,
    plot_value,
    value_table,
)

mpl.use("Agg")

DAY = dt.datetime(2024, 1, 1)
AS_OF = dt.datetime(2024, 3, 20)


def on(month, day, hour=0):
    return dt.datetime(2024, month, day, hour)


# a: two orders (the first of two lines), then a credit note; b and c: ties at 15; d: only a return; e: at as_of
SALES = {
    "customer_id": ["a", "a", "a", "a", "c", "b", "b", "d", "e"],
    "order_id": [1, 1, 2, 5, 4, 3, 6, 7, 8],
    "timestamp": [on(1, 1, 9), on(1, 1, 9), on(1, 20), on(3, 2), on(1, 30), on(1, 10), on(3, 15), on(2, 2), AS_OF],
    "amount": [30.0, 20.0, 30.0, -10.0, 15.0, 5.0, 10.0, -5.0, 99.0],
    "cost": [10.0, 10.0, 10.0, -4.0, 5.0, 2.0, 3.0, 0.0, 9.0],
}
PLAIN = {name: values for name, values in SALES.items() if name != "cost"}


def rows(table, *columns):
    names = nw.from_native(table).collect_schema().names()
    return [tuple(row[names.index(name)] for name in columns) for row in records(table)]


def schema(table):
    return {name: str(dtype) for name, dtype in nw.from_native(table).collect_schema().items()}


def test_value_counted_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = value_table(sales, as_of=AS_OF)
    assert type(table) is type(sales)
    names = ("customer_id", "total_amount", "order_count", "average_order_amount", "tenure_days", "rank")
    assert rows(table, *names) == [
        ("a", 70.0, 2, 35.0, 79, 1),  # the credit note lowers the amount and is no order
        ("b", 15.0, 2, 7.5, 70, 2),  # tied with c: by customer_id
        ("c", 15.0, 1, 15.0, 50, 3),
        ("d", -5.0, 0, None, 47, 4),
    ]
    assert rows(table, "first_order_at", "last_order_at") == [
        (on(1, 1, 9), on(1, 20)),
        (on(1, 10), on(3, 15)),
        (on(1, 30), on(1, 30)),
        (None, None),
    ]
    shares = rows(table, "amount_share", "cumulative_customer_share", "cumulative_amount_share")
    expected = [(70 / 95, 0.25, 70 / 95), (15 / 95, 0.5, 85 / 95), (15 / 95, 0.75, 100 / 95), (-5 / 95, 1.0, 1.0)]
    assert [pytest.approx(row) for row in expected] == shares
    assert rows(table, "contribution_amount") == [(44.0,), (10.0,), (10.0,), (-5.0,)]


def test_value_has_the_same_dtypes_on_every_kind(frame):
    assert schema(value_table(frame(SALES), as_of=AS_OF)) == {
        "customer_id": "String",
        "total_amount": "Float64",
        "order_count": "Int64",
        "average_order_amount": "Float64",
        "first_order_at": "Datetime(time_unit='us', time_zone=None)",
        "last_order_at": "Datetime(time_unit='us', time_zone=None)",
        "tenure_days": "Int64",
        "amount_share": "Float64",
        "rank": "Int64",
        "cumulative_customer_share": "Float64",
        "cumulative_amount_share": "Float64",
        "contribution_amount": "Float64",
    }


def test_contribution_is_unknown_when_a_cost_is_unknown_and_absent_without_costs():
    sales = make_frame(SALES | {"cost": [10.0, None, *SALES["cost"][2:]]}, "polars")
    assert rows(value_table(sales, as_of=AS_OF), "contribution_amount")[:2] == [(None,), (10.0,)]
    assert "contribution_amount" not in value_table(pd.DataFrame(PLAIN), as_of=AS_OF)


def test_an_order_cancelled_under_its_own_number_is_none_and_a_free_order_is_one():
    sales = {
        "customer_id": ["a", "a", "b"],
        "order_id": [1, 1, 2],
        "timestamp": [DAY] * 3,
        "amount": [10.0, -10.0, 0.0],
    }
    assert rows(value_table(pd.DataFrame(sales), as_of=AS_OF), "customer_id", "order_count") == [("a", 0), ("b", 1)]


@pytest.mark.parametrize("kind", ["pandas", "pandas-pyarrow", "pyarrow", "polars-lazy", "duckdb"])
def test_a_last_bit_ranks_nobody_on_any_engine(kind):
    amounts = [31.919999999999998, 31.92]
    sales = {"customer_id": ["a", "b"], "order_id": [1, 2], "timestamp": [DAY] * 2, "amount": amounts}
    assert rows(value_table(make_frame(sales, kind), as_of=AS_OF), "customer_id", "rank") == [("a", 1), ("b", 2)]


def test_shares_of_nothing_are_null(frame):
    sales = frame({name: values[7:8] for name, values in PLAIN.items()})
    columns = ("total_amount", "amount_share", "rank", "cumulative_amount_share")
    assert rows(value_table(sales, as_of=AS_OF), *columns) == [(-5.0, None, 1, None)]


def test_equal_totals_get_ranks_by_id_whatever_the_order_of_addition():
    sales = {
        "customer_id": ["b", "a"],
        "order_id": [1, 2],
        "timestamp": [DAY] * 2,
        "amount": [0.1 + 0.2 + 0.3, 0.3 + 0.2 + 0.1],  # 0.6000000000000001 and 0.6
    }
    assert rows(value_table(pd.DataFrame(sales), as_of=AS_OF), "customer_id", "rank") == [("a", 1), ("b", 2)]


def test_zero_and_minus_zero_are_a_tie(frame):
    sales = {"customer_id": ["b", "a", "c"], "order_id": [1, 2, 3], "timestamp": [DAY] * 3, "amount": [0.0, -1e-9, 5.0]}
    assert rows(value_table(frame(sales), as_of=AS_OF), "customer_id", "rank") == [("a", 2), ("b", 3), ("c", 1)]
    assert rows(concentration_table(frame(sales), as_of=AS_OF, top_shares=[0.1]), "customer_count") == [(1,)]


def test_concentration_counted_by_hand_on_every_kind(frame):
    table = concentration_table(frame(PLAIN), as_of=AS_OF, top_shares=[0.5, 0.2, 1])
    assert rows(table, "top_share", "customer_count", "total_amount", "least_amount") == [
        (0.2, 1, 70.0, 70.0),
        (0.5, 2, 85.0, 15.0),
        (1.0, 4, 95.0, -5.0),
    ]
    assert rows(table, "amount_share") == [(pytest.approx(share),) for share in (70 / 95, 85 / 95, 1.0)]
    assert set(schema(table).values()) == {"Float64", "Int64"}


def test_a_top_share_is_not_rounded_up_by_float_noise():
    sales = {
        "customer_id": list(range(100)),
        "order_id": list(range(100)),
        "timestamp": [DAY] * 100,
        "amount": [1.0] * 100,
    }
    table = concentration_table(pd.DataFrame(sales), as_of=AS_OF, top_shares=[n / 100 for n in range(1, 101)])
    assert table["customer_count"].tolist() == list(range(1, 101))  # 0.07 x 100 is 7.000000000000001


def test_gini_counted_by_hand(frame):
    # means of all absolute differences over twice the mean: |70-15| x 4 + |70+5| x 2 + |15+5| x 4 = 450
    assert gini(frame(PLAIN), as_of=AS_OF) == pytest.approx(450 / (2 * 4 * 4 * 95 / 4))


def test_gini_is_zero_for_equals_and_near_one_for_one_who_makes_it_all():
    def of(amounts):
        n = len(amounts)
        sales = {"customer_id": range(n), "order_id": range(n), "timestamp": [DAY] * n, "amount": amounts}
        return gini(pd.DataFrame(sales), as_of=AS_OF)

    assert of([3.0] * 10) == pytest.approx(0)
    assert of([0.0] * 9 + [5.0]) == pytest.approx(0.9)


def test_kpis_counted_by_hand_on_every_kind(frame):
    sales = frame(PLAIN)
    table = kpi_table(sales, as_of=AS_OF)
    assert type(table) is type(sales)
    assert rows(table, "period_start", "period_end", "is_complete") == [
        (on(1, 1), on(2, 1), True),
        (on(2, 1), on(3, 1), True),
        (on(3, 1), on(4, 1), False),
    ]
    counts = ("customer_count", "new_customer_count", "returning_customer_count", "order_count", "total_amount")
    assert rows(table, *counts) == [(3, 3, 0, 4, 100.0), (0, 0, 0, 0, -5.0), (1, 0, 1, 1, 0.0)]
    ratios = ("returning_share", "repeat_share", "average_order_amount", "orders_per_customer", "amount_per_customer")
    assert rows(table, *ratios, "days_between_orders") == [
        pytest.approx((0.0, 1 / 3, 25.0, 4 / 3, 100 / 3, 19.0)),
        (None,) * 6,
        (1.0, 0.0, 0.0, 1.0, 0.0, 65.0),
    ]


def test_kpis_have_fixed_dtypes_on_every_kind(frame):
    found = schema(kpi_table(frame(PLAIN), as_of=AS_OF))
    assert {name: dtype for name, dtype in found.items() if name.endswith("_count")} == dict.fromkeys(
        ["customer_count", "new_customer_count", "returning_customer_count", "order_count"], "Int64"
    )
    assert found["is_complete"] == "Boolean"
    assert found["period_start"] == found["period_end"] == "Datetime(time_unit='us', time_zone=None)"
    assert {found[name] for name in list(found)[7:]} == {"Float64"}


@pytest.mark.parametrize(
    ("period", "starts"),
    [
        ("quarter", [on(1, 1)]),
        ("year", [on(1, 1)]),
        ("40d", [dt.datetime(2023, 12, 31), on(2, 9)]),  # counted back from the 20th of March
        (dt.timedelta(days=40), [dt.datetime(2023, 12, 31), on(2, 9)]),
        ("4w", [dt.datetime(2023, 12, 27), on(1, 24), on(2, 21)]),
    ],
)
def test_periods_of_every_length_follow_without_a_gap(frame, period, starts):
    table = kpi_table(frame(PLAIN), as_of=AS_OF, period=period)
    assert [row[0] for row in rows(table, "period_start")] == starts
    assert sum(row[0] for row in rows(table, "order_count")) == 5
    assert sum(row[0] for row in rows(table, "total_amount")) == 95.0


def test_days_count_back_from_as_of_so_that_the_last_period_is_whole():
    table = kpi_table(pd.DataFrame(PLAIN), as_of=AS_OF, period="7d")
    assert table["period_end"].iloc[-1] == AS_OF
    assert table["is_complete"].tolist() == [False] + [True] * 11  # the first one began before the data
    half = kpi_table(pd.DataFrame(PLAIN), as_of=AS_OF + dt.timedelta(hours=12), period="7d")
    assert half["period_end"].iloc[-1] == AS_OF + dt.timedelta(days=1)
    assert not half["is_complete"].iloc[-1]


def test_a_first_period_that_begins_before_its_first_line_is_incomplete():
    late = pd.DataFrame(PLAIN).query("timestamp > '2024-01-05'")
    assert kpi_table(late, as_of=AS_OF)["is_complete"].tolist() == [False, True, False]


def test_as_of_at_a_border_ends_with_the_period_before():
    assert kpi_table(pd.DataFrame(PLAIN), as_of="2024-03-01")["period_start"].tolist() == [on(1, 1), on(2, 1)]


@pytest.mark.parametrize("build", [value_table, concentration_table, gini, kpi_table])
def test_the_future_changes_nothing(build):
    sales = pd.DataFrame(PLAIN)
    poison = sales.assign(timestamp=[AS_OF + dt.timedelta(days=n) for n in range(len(sales))], amount=1e9)
    clean, poisoned = build(sales, as_of=AS_OF), build(pd.concat([sales, poison]), as_of=AS_OF)
    assert clean == poisoned if build is gini else clean.equals(poisoned)


@pytest.mark.parametrize("kind", ["polars-lazy", "duckdb"])
def test_value_stays_lazy(kind):
    sales = make_frame(PLAIN, kind)
    assert type(value_table(sales, as_of=AS_OF)) is type(sales)
    assert type(kpi_table(sales, as_of=AS_OF)) is type(sales)


# -- properties ----------------------------------------------------------------------------------------------------

lines = st.lists(
    st.tuples(
        st.integers(1, 6),
        st.integers(1, 12),
        st.integers(0, 120),
        st.integers(-20, 80).map(float),
    ),
    min_size=1,
    max_size=40,
)


def as_columns(drawn):
    return {
        "customer_id": [line[0] for line in drawn],
        "order_id": [line[1] for line in drawn],
        "timestamp": [DAY + dt.timedelta(days=line[2]) for line in drawn],
        "amount": [line[3] for line in drawn],
    }


@settings(max_examples=40, deadline=None)
@given(lines)
def test_shares_add_up_and_ranks_follow_the_amounts(drawn):
    as_of = DAY + dt.timedelta(days=121)
    table = value_table(pd.DataFrame(as_columns(drawn)), as_of=as_of)
    total = sum(line[3] for line in drawn)
    assert table["total_amount"].sum() == pytest.approx(total)
    ranked = table.sort_values("rank")
    assert ranked["rank"].tolist() == list(range(1, len(table) + 1))
    assert ranked["total_amount"].is_monotonic_decreasing
    if total > 0:
        assert table["amount_share"].sum() == pytest.approx(1)
        assert ranked["cumulative_amount_share"].iloc[-1] == pytest.approx(1)
        steps = ranked["cumulative_amount_share"].diff().iloc[1:]
        assert all(steps[ranked["total_amount"].iloc[1:] >= 0] >= -1e-12)
        top = concentration_table(pd.DataFrame(as_columns(drawn)), as_of=as_of)
        assert all(top["amount_share"] >= top["top_share"] - 1e-9)  # the best make at least their share
    else:
        assert table["amount_share"].isna().all()


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_an_order_over_midnight_begins_with_its_first_line_and_ends_with_its_last(kind):
    sales = {
        "customer_id": ["a", "a"],
        "order_id": [1, 1],
        "timestamp": [dt.datetime(2024, 1, 1, 23, 59), dt.datetime(2024, 1, 2, 0, 1)],
        "amount": [5.0, 5.0],
    }
    table = value_table(make_frame(sales, kind), as_of="2024-01-03")
    assert rows(table, "first_order_at", "last_order_at") == [tuple(sales["timestamp"])]


@settings(max_examples=40, deadline=None)
@given(lines, st.sampled_from(["pandas", "polars"]))
def test_recency_counts_from_the_last_order_that_value_tells(drawn, kind):
    moments = [DAY + dt.timedelta(hours=7 * line[2]) for line in drawn]  # orders straddle midnights
    sales = make_frame(as_columns(drawn) | {"timestamp": moments}, kind)
    as_of = DAY + dt.timedelta(days=30)
    assume(min(moments) < as_of)
    told = rows(value_table(sales, as_of=as_of), "customer_id", "order_count", "first_order_at", "last_order_at")
    counted = rows(rfm_table(sales, as_of=as_of), "customer_id", "order_count", "recency_days")
    assert [row[:2] for row in told] == [row[:2] for row in counted]
    for (*_, orders, first, last), (*_, recency) in zip(told, counted, strict=True):
        assert (last is None) == (first is None) == (orders == 0)
        if last is not None:
            assert first <= last
            assert (as_of.date() - last.date()).days == recency


def plain_kpis(drawn):
    """Count the key figures of months the slow way, order by order."""
    orders = defaultdict(list)
    for customer, order, day, amount in drawn:
        moment = DAY + dt.timedelta(days=day)
        orders[moment.month, customer, order].append((moment, amount))
    found, last = defaultdict(lambda: [set(), 0, 0.0, []]), {}
    bought = []
    for (month, customer, _), items in orders.items():
        found[month][2] += sum(amount for _, amount in items)
        if sum(amount for _, amount in items) > 0 or min(amount for _, amount in items) >= 0:
            bought.append((min(moment for moment, _ in items), month, customer))
    for moment, month, customer in sorted(bought):
        found[month][0].add(customer)
        found[month][1] += 1
        if customer in last:
            found[month][3].append((moment - last[customer]).days)
        last[customer] = moment
    return found


@settings(max_examples=40, deadline=None)
@given(lines)
def test_kpis_equal_a_count_order_by_order(drawn):
    expected = plain_kpis(drawn)
    for kind in ("pandas", "polars"):
        table = kpi_table(make_frame(as_columns(drawn), kind), as_of=dt.datetime(2024, 5, 1))
        columns = ("period_start", "customer_count", "order_count", "total_amount", "days_between_orders")
        for start, customers, orders, amount, days in rows(table, *columns):
            who, count, total, gaps = expected[start.month]
            assert (customers, orders, amount) == (len(who), count, pytest.approx(total))
            assert days == (pytest.approx(math.fsum(gaps) / len(gaps)) if gaps else None)


@settings(max_examples=20, deadline=None)
@given(lines, st.randoms())
def test_the_order_of_the_lines_changes_nothing(drawn, random):
    shuffled = random.sample(drawn, len(drawn))
    for build in (value_table, kpi_table):
        one, other = (build(pd.DataFrame(as_columns(d)), as_of="2024-05-01") for d in (drawn, shuffled))
        assert one.equals(other)


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", [concentration_table, gini])
def test_shares_of_a_total_that_is_not_positive_are_refused(build, frame):
    sales = frame(PLAIN | {"amount": [-1.0] * 9})
    with pytest.raises(SchemaError, match=rf"{build.__name__}: customers brought in -8.00 in all before 2024-03-20"):
        build(sales, as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"0.00 in all before .* set returns aside: Transactions\(..., returns='set"):
        build(frame(PLAIN | {"amount": [0.0] * 9}), as_of=AS_OF)


@pytest.mark.parametrize("shares", [[], [0], [1.2], [20]])
def test_top_shares_that_are_no_fractions_are_refused(shares):
    with pytest.raises(SchemaError, match=r"top_shares must be fractions above 0 and up to 1, such as \[0.01, 0.2\]"):
        concentration_table(pd.DataFrame(PLAIN), as_of=AS_OF, top_shares=shares)


@pytest.mark.parametrize("period", ["week", "1mo", "0d", 7, None])
def test_unknown_periods_are_refused(period):
    with pytest.raises(SchemaError, match=r"kpi_table: period must be"):
        kpi_table(pd.DataFrame(PLAIN), as_of=AS_OF, period=period)


def test_weeks_are_told_how_to_be_written():
    with pytest.raises(SchemaError, match=r"got 'week'. For weeks write \"7d\""):
        kpi_table(pd.DataFrame(PLAIN), as_of=AS_OF, period="week")


def test_an_as_of_before_the_data_is_refused(frame):
    for build in (value_table, concentration_table, gini, kpi_table):
        with pytest.raises(
            SchemaError, match=rf"{build.__name__}: no line lies before as_of=2023-01-01 00:00. Check as"
        ):
            build(frame(PLAIN), as_of="2023-01-01")


@pytest.mark.parametrize("build", [value_table, concentration_table, gini, kpi_table])
def test_a_missing_role_is_named(build):
    sales = pd.DataFrame(PLAIN).rename(columns={"amount": "Revenue"})
    with pytest.raises(MissingColumnsError, match=rf"{build.__name__} needs \['amount'\]"):
        build(sales, as_of=AS_OF)


def test_an_unknown_kpi_is_refused():
    table = kpi_table(pd.DataFrame(PLAIN), as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"plot_kpis: kpi must be one of .* Did you mean 'order_count'"):
        plot_kpis(table, kpi="orders_count")


# -- plots ---------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def test_plot_value_ends_at_one_and_marks_a_fifth_of_the_customers(frame):
    ax = plot_value(value_table(frame(PLAIN), as_of=AS_OF))
    curve = ax.lines[0]
    assert list(curve.get_xdata()) == [0, 0.25, 0.5, 0.75, 1]
    assert curve.get_ydata()[-1] == pytest.approx(1)
    assert "25% of customers\nmake 74% of revenue" in [text.get_text() for text in ax.texts]


def test_plot_concentration_has_a_bar_per_share():
    table = concentration_table(pd.DataFrame(PLAIN), as_of=AS_OF, top_shares=[0.25, 0.5])
    ax = plot_concentration(table)
    assert [bar.get_width() for bar in ax.containers[0]] == table["amount_share"].tolist()
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Top 25% (1)", "Top 50% (2)"]


def test_plot_concentration_of_many_shares_is_a_curve():
    table = concentration_table(pd.DataFrame(PLAIN), as_of=AS_OF, top_shares=[n / 20 for n in range(1, 21)])
    ax = plot_concentration(table.iloc[::-1])
    assert not ax.containers
    assert ax.lines[0].get_xdata().tolist() == [0.0, *table["top_share"]]
    assert ax.lines[0].get_ydata().tolist() == [0.0, *table["amount_share"]]
    assert [text.get_text() for text in ax.texts] == [f"Top 20%: {table['amount_share'].iloc[3]:.0%}"]


@pytest.mark.parametrize("kpi", ["total_amount", "customer_count", "repeat_share", "days_between_orders"])
def test_plot_kpis_is_pale_where_a_period_is_not_complete(kpi):
    given_ax = plt.subplots()[1]
    ax = plot_kpis(kpi_table(pd.DataFrame(PLAIN), as_of=AS_OF), kpi=kpi, ax=given_ax)
    assert ax is given_ax
    assert [bar.get_alpha() for bar in ax.containers[0]] == [1.0, 1.0, 0.45]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2024-01", "2024-02", "2024-03"]


# -- real data -----------------------------------------------------------------------------------------------------


def test_online_retail_against_a_plain_pandas_query(shared_data):
    raw = pd.read_parquet(shared_data / "online_retail.parquet")
    with pytest.warns(match="set aside"):
        tx = Transactions(raw, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate",
                          product_id="StockCode", quantity="Quantity", unit_price="UnitPrice")  # fmt: skip
    known = raw[raw["CustomerID"].notna() & (raw["UnitPrice"] > 0)]
    known = known.assign(amount=known["Quantity"] * known["UnitPrice"])
    totals = known.groupby("CustomerID")["amount"].sum().sort_values(ascending=False)
    table = value_table(tx, as_of="2011-12-10")
    assert table["total_amount"].to_numpy() == pytest.approx(totals.sort_index().to_numpy())
    top = concentration_table(tx, as_of="2011-12-10", top_shares=[0.2])
    assert top["amount_share"].tolist() == [pytest.approx(totals.head(875).sum() / totals.sum())]  # 875 of 4,371
    orders = known.groupby(["CustomerID", "InvoiceNo"])["amount"].agg(["sum", "min"])
    assert table["order_count"].sum() == ((orders["sum"] > 1e-9) | (orders["min"] >= 0)).sum()
    # what docs/value.md says: 20 % of the customers make 74 %, and the Gini coefficient is 0.71
    assert round(top["amount_share"].iloc[0], 4) == 0.7385
    assert round(gini(tx, as_of="2011-12-10"), 4) == 0.7092
