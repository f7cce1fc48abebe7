"""What revenue.py promises: every change is accounted for, customer by customer and factor by factor."""

import datetime as dt
import math
from collections import defaultdict
from itertools import pairwise, permutations

import matplotlib as mpl
import matplotlib.pyplot as plt
import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.revenue import (
    cohort_table,
    movement_table,
    plot_cohorts,
    plot_movements,
    plot_revenue,
    revenue_table,
)
from crmlytics.testing import make_frame, records
from crmlytics.value import kpi_table

mpl.use("Agg")

DAY = dt.datetime(2024, 1, 1)
AS_OF = dt.datetime(2024, 4, 20)
BUILDERS = [revenue_table, movement_table, cohort_table]
MOVED = ["new_amount", "reactivated_amount", "expansion_amount", "contraction_amount", "lost_amount", "returns_amount"]


def on(month, day):
    return dt.datetime(2024, month, day)


# a: less each month, then gone; b: more, gone, back; c: from February on, a return in March only; e: at as_of
SALES = {
    "customer_id": ["a", "b", "a", "b", "b", "c", "c", "a", "b", "e"],
    "order_id": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    "timestamp": [on(1, 1), on(1, 9), on(2, 3), on(2, 4), on(2, 9), on(2, 20), on(3, 2), on(3, 5), on(4, 1), AS_OF],
    "amount": [50.0, 10.0, 30.0, 10.0, 15.0, 20.0, -5.0, 30.0, 40.0, 99.0],
}


def rows(table, *columns):
    names = nw.from_native(table).collect_schema().names()
    return [tuple(row[names.index(name)] for name in columns) for row in records(table)]


def schema(table):
    return {name: str(dtype) for name, dtype in nw.from_native(table).collect_schema().items()}


# -- revenue -------------------------------------------------------------------------------------------------------


def test_revenue_and_its_factors_counted_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = revenue_table(sales, as_of=AS_OF)
    assert type(table) is type(sales)
    assert rows(table, "period_start", "is_complete") == [
        (on(1, 1), True),
        (on(2, 1), True),
        (on(3, 1), True),
        (on(4, 1), False),
    ]
    assert rows(table, "total_amount", "customer_count", "orders_per_customer", "average_order_amount") == [
        (60.0, 2, 1.0, 30.0),
        (75.0, 3, pytest.approx(4 / 3), 18.75),
        (25.0, 1, 1.0, 25.0),  # 30 and a credit note of 5, which is no order
        (40.0, 1, 1.0, 40.0),
    ]
    assert rows(table, "amount_change", "change_share") == [
        (None, None),
        (15.0, 0.25),
        (-50.0, pytest.approx(-2 / 3)),
        (15.0, pytest.approx(0.6)),
    ]


def shapley(before, after):
    """Average each factor's contribution over the six orders in which the three could have changed."""
    effects = [0.0, 0.0, 0.0]
    for order in permutations(range(3)):
        now = list(before)
        for factor in order:
            old = now[0] * now[1] * now[2]
            now[factor] = after[factor]
            effects[factor] += (now[0] * now[1] * now[2] - old) / 6
    return effects


def test_effects_are_the_shapley_values_on_every_kind(frame):
    table = revenue_table(frame(SALES), as_of=AS_OF)
    factors = rows(table, "customer_count", "orders_per_customer", "average_order_amount")
    effects = rows(table, "customer_effect_amount", "frequency_effect_amount", "order_value_effect_amount")
    assert effects[0] == (None, None, None)
    for before, after, found in zip(factors, factors[1:], effects[1:], strict=False):
        assert found == pytest.approx(tuple(shapley(before, after)))


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_to_and_from_a_period_without_orders_the_change_is_the_customers(kind):
    sales = {
        "customer_id": ["a", "a", "b"],
        "order_id": [1, 2, 3],
        "timestamp": [on(1, 1), on(2, 5), on(4, 1)],
        "amount": [50.0, -20.0, 30.0],
    }
    table = revenue_table(make_frame(sales, kind), as_of="2024-05-01")
    effects = ("customer_effect_amount", "frequency_effect_amount", "order_value_effect_amount")
    assert rows(table, "total_amount", *effects) == [
        (50.0, None, None, None),
        (-20.0, -70.0, 0.0, 0.0),
        (0.0, 20.0, 0.0, 0.0),
        (30.0, 30.0, 0.0, 0.0),
    ]
    assert rows(table, "change_share") == [(None,), (-1.4,), (None,), (None,)]


def test_every_table_has_the_same_dtypes_on_every_kind(frame):
    for build in BUILDERS:
        for name, dtype in schema(build(frame(SALES), as_of=AS_OF)).items():
            if name.endswith(("_start", "_end")):
                assert dtype == "Datetime(time_unit='us', time_zone=None)"
            elif name.endswith(("_count", "_number")):
                assert dtype == "Int64"
            else:
                assert dtype == ("Boolean" if name == "is_complete" else "Float64")


def minus_zeros(table):
    return [value for row in records(table) for value in row if value == 0 and math.copysign(1, value) < 0]


def test_no_movement_is_zero_and_not_minus_zero(frame):
    sales = {"customer_id": ["a"] * 3, "order_id": [1, 2, 3], "timestamp": [on(1, 1), on(2, 1), on(4, 1)],
             "amount": [50.0, 30.0, 10.0]}  # fmt: skip
    assert minus_zeros(movement_table(frame(sales), as_of=AS_OF)) == []


# -- movements -----------------------------------------------------------------------------------------------------


def test_movements_counted_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = movement_table(sales, as_of=AS_OF)
    assert type(table) is type(sales)
    assert rows(table, "previous_amount", "total_amount", "amount_change", *MOVED) == [
        (0.0, 60.0, 60.0, 60.0, 0.0, 0.0, 0.0, 0.0, 0.0),
        (60.0, 75.0, 15.0, 20.0, 0.0, 15.0, -20.0, 0.0, 0.0),
        (75.0, 25.0, -50.0, 0.0, 0.0, 0.0, 0.0, -50.0, 0.0),  # c: 20 before, a return of 5 now, no order
        (25.0, 40.0, 15.0, 0.0, 40.0, 0.0, 0.0, -30.0, 5.0),  # c: the return of March is not repeated
    ]
    counts = ("new", "reactivated", "retained", "expansion", "contraction", "lost")
    assert rows(table, "customer_count", *(f"{name}_customer_count" for name in counts)) == [
        (2, 2, 0, 0, 0, 0, 0),
        (3, 1, 0, 2, 1, 1, 0),
        (1, 0, 0, 1, 0, 0, 2),  # a spent the same: retained, no more and no less
        (1, 0, 1, 0, 0, 0, 1),
    ]


# -- cohorts -------------------------------------------------------------------------------------------------------


def test_cohorts_counted_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = cohort_table(sales, as_of=AS_OF)
    assert type(table) is type(sales)
    assert rows(table, "cohort_start", "period_number", "period_start", "period_end", "is_complete") == [
        (on(1, 1), 0, on(1, 1), on(2, 1), True),
        (on(1, 1), 1, on(2, 1), on(3, 1), True),
        (on(1, 1), 2, on(3, 1), on(4, 1), True),
        (on(1, 1), 3, on(4, 1), on(5, 1), False),
        (on(2, 1), 0, on(2, 1), on(3, 1), True),
        (on(2, 1), 1, on(3, 1), on(4, 1), True),
        (on(2, 1), 2, on(4, 1), on(5, 1), False),
    ]
    columns = ("cohort_customer_count", "customer_count", "retained_share", "total_amount")
    assert rows(table, *columns, "amount_per_customer", "cumulative_amount_per_customer") == [
        (2, 2, 1.0, 60.0, 30.0, 30.0),
        (2, 2, 1.0, 55.0, 27.5, 57.5),
        (2, 1, 0.5, 30.0, 15.0, 72.5),
        (2, 1, 0.5, 40.0, 20.0, 92.5),
        (1, 1, 1.0, 20.0, 20.0, 20.0),
        (1, 0, 0.0, -5.0, -5.0, 15.0),
        (1, 0, 0.0, 0.0, 0.0, 15.0),
    ]


def test_returns_from_before_the_data_are_in_no_cohort():
    sales = {
        "customer_id": ["a", "a", "b"],
        "order_id": [1, 2, 3],
        "timestamp": [on(1, 1), on(2, 5), on(2, 1)],
        "amount": [-50.0, 20.0, -30.0],
    }
    table = cohort_table(pd.DataFrame(sales), as_of="2024-03-01")
    assert rows(table, "cohort_start", "period_number", "total_amount") == [(on(2, 1), 0, 20.0)]


# -- all three -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("period", ["month", "7d"])
def test_the_future_changes_nothing(build, period):
    sales = pd.DataFrame(SALES)
    poison = sales.assign(timestamp=[AS_OF + dt.timedelta(days=n) for n in range(len(sales))], amount=1e9)
    clean, poisoned = (build(d, as_of=AS_OF, period=period) for d in (sales, pd.concat([sales, poison])))
    assert clean.equals(poisoned)


@pytest.mark.parametrize("kind", ["polars-lazy", "duckdb"])
@pytest.mark.parametrize("build", BUILDERS)
def test_lazy_stays_lazy(build, kind):
    sales = make_frame(SALES, kind)
    assert type(build(sales, as_of=AS_OF)) is type(sales)


lines = st.lists(
    st.tuples(st.integers(1, 6), st.integers(1, 12), st.integers(0, 120), st.integers(-20, 80).map(float)),
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
@given(lines, st.sampled_from(["month", "3w"]), st.sampled_from(["pandas", "polars"]))
def test_factors_multiply_to_revenue_and_effects_add_up_to_its_change(drawn, period, kind):
    table = revenue_table(make_frame(as_columns(drawn), kind), as_of="2024-05-10", period=period)
    assert sum(row[0] for row in rows(table, "total_amount")) == pytest.approx(sum(line[3] for line in drawn))
    for amount, *factors in rows(
        table, "total_amount", "customer_count", "orders_per_customer", "average_order_amount"
    ):
        if factors[0]:
            assert factors[0] * factors[1] * factors[2] == pytest.approx(amount)
    effects = ("customer_effect_amount", "frequency_effect_amount", "order_value_effect_amount")
    found = rows(table, "total_amount", "amount_change", *effects)
    for (before, *_), (now, change, *parts) in pairwise(found):
        assert change == pytest.approx(now - before)
        assert sum(parts) == pytest.approx(change)


@settings(max_examples=60, deadline=None)
@given(lines, st.sampled_from(["month", "3w"]), st.sampled_from(["pandas", "polars"]))
def test_movements_add_up_to_the_change_and_customers_to_those_of_the_kpis(drawn, period, kind):
    sales = make_frame(as_columns(drawn), kind)
    table = movement_table(sales, as_of="2024-05-10", period=period)
    kpis = rows(kpi_table(sales, as_of="2024-05-10", period=period), "customer_count", "new_customer_count")
    before_amount, before_count = 0.0, 0
    columns = ("previous_amount", "total_amount", "amount_change", *MOVED)
    counts = ("customer_count", "new_customer_count", "reactivated_customer_count", "retained_customer_count")
    counted = rows(table, *counts, "lost_customer_count")
    for (previous, now, change, *moved), (active, new, again, kept, lost), kpi in zip(
        rows(table, *columns), counted, kpis, strict=True
    ):
        assert previous == pytest.approx(before_amount)
        assert change == pytest.approx(now - previous)
        assert sum(moved) == pytest.approx(change)
        assert moved[2] >= 0 >= moved[3]
        assert (active, new) == kpi
        assert active == new + again + kept
        assert before_count == kept + lost
        before_amount, before_count = now, active


def plain_movements(drawn):
    """Sort every customer's change between months under its heading, the slow way."""
    orders = defaultdict(list)
    for customer, order, day, amount in drawn:
        orders[(DAY + dt.timedelta(days=day)).month, customer, order].append(amount)
    amounts, active = defaultdict(float), set()
    for (month, customer, _), parts in orders.items():
        amounts[month, customer] += sum(parts)
        if sum(parts) > 0 or min(parts) >= 0:
            active.add((month, customer))
    found = defaultdict(lambda: dict.fromkeys(MOVED, 0.0))
    for month in range(1, 6):
        for customer in {line[0] for line in drawn}:
            change = amounts[month, customer] - amounts[month - 1, customer]
            now, before = (month, customer) in active, (month - 1, customer) in active
            if now and before:
                heading = "expansion" if change > 0 else "contraction"
            elif now:
                heading = "reactivated" if any((m, customer) in active for m in range(month)) else "new"
            else:
                heading = "lost" if before else "returns"
            found[month][f"{heading}_amount"] += change
    return found


@settings(max_examples=40, deadline=None)
@given(lines)
def test_movements_equal_a_count_customer_by_customer(drawn):
    expected = plain_movements(drawn)
    for start, *moved in rows(movement_table(pd.DataFrame(as_columns(drawn)), as_of="2024-05-10"),
                              "period_start", *MOVED):  # fmt: skip
        assert moved == pytest.approx(list(expected[start.month].values()))


@settings(max_examples=40, deadline=None)
@given(lines, st.sampled_from(["month", "3w"]), st.sampled_from(["pandas", "polars"]))
def test_cohorts_hold_every_customer_once_and_every_order(drawn, period, kind):
    sales = make_frame(as_columns(drawn), kind)
    table = cohort_table(sales, as_of="2024-05-10", period=period)
    kpis = rows(kpi_table(sales, as_of="2024-05-10", period=period), "period_start", "customer_count",
                "new_customer_count")  # fmt: skip
    active = defaultdict(int)
    columns = ("cohort_start", "period_number", "period_start", "customer_count", "cohort_customer_count")
    for cohort, number, start, customers, size in rows(table, *columns):
        active[start] += customers
        if number == 0:
            assert customers == size == {k[0]: k[2] for k in kpis}[cohort]
    assert all(active[start] == customers for start, customers, _ in kpis)


@settings(max_examples=20, deadline=None)
@given(lines, st.randoms())
def test_the_order_of_the_lines_changes_nothing(drawn, random):
    shuffled = random.sample(drawn, len(drawn))
    for build in BUILDERS:
        one, other = (build(pd.DataFrame(as_columns(d)), as_of="2024-05-10") for d in (drawn, shuffled))
        assert one.equals(other)


@pytest.mark.parametrize("build", BUILDERS)
def test_refusals_name_the_caller_and_the_repair(build):
    sales = pd.DataFrame(SALES)
    with pytest.raises(SchemaError, match=rf"{build.__name__}: period must be \"month\", .* got 'fortnight'"):
        build(sales, as_of=AS_OF, period="fortnight")
    with pytest.raises(SchemaError, match=rf"{build.__name__}: no line lies before as_of=2020-01-01 00:00"):
        build(sales, as_of="2020-01-01")
    with pytest.raises(SchemaError, match=rf"{build.__name__}: as_of must be a date"):
        build(sales, as_of="20.4.2024")
    with pytest.raises(MissingColumnsError, match=rf"{build.__name__} needs \['order_id'\]"):
        build(sales.drop(columns="order_id"), as_of=AS_OF)


# -- plots ---------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


@pytest.mark.parametrize(("build", "plot"), [(revenue_table, plot_revenue), (movement_table, plot_movements)])
def test_stacks_end_where_the_parts_end_and_the_dot_is_their_sum(build, plot, frame):
    table = build(frame(SALES), as_of=AS_OF)
    ax = plot(table)
    changes = [change for (change,) in rows(table, "amount_change")[1:]]
    assert list(ax.lines[-1].get_ydata()) == changes
    for place, change in enumerate(changes):
        bars = [container[place] for container in ax.containers]
        assert sum(bar.get_height() for bar in bars) == pytest.approx(change)
        top = sum(bar.get_height() for bar in bars if bar.get_height() > 0)
        assert max(bar.get_y() + max(bar.get_height(), 0) for bar in bars) == pytest.approx(top)
    assert [bar.get_alpha() for bar in ax.containers[0]] == [1.0, 1.0, 0.45]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["2024-02", "2024-03", "2024-04"]


def test_plot_cohorts_writes_shares_and_hatches_open_cells(frame):
    ax = plot_cohorts(cohort_table(frame(SALES), as_of=AS_OF))
    assert [text.get_text() for text in ax.texts] == ["100%", "100%", "50%", "50%", "100%", "0%", "0%"]
    assert sorted((patch.get_x(), patch.get_y()) for patch in ax.patches) == [(1.5, 0.5), (2.5, -0.5)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["2024-01  (2)", "2024-02  (1)"]


def test_plot_cohorts_shows_another_column_on_given_axes():
    given_ax = plt.subplots()[1]
    ax = plot_cohorts(cohort_table(pd.DataFrame(SALES), as_of=AS_OF), value="amount_per_customer", ax=given_ax)
    assert ax is given_ax
    assert [text.get_text() for text in ax.texts][:3] == ["30", "27.5", "15"]
    with pytest.raises(SchemaError, match=r"plot_cohorts: value must be one of .* Did you mean 'retained_share'"):
        plot_cohorts(cohort_table(pd.DataFrame(SALES), as_of=AS_OF), value="retention_share")


@pytest.mark.parametrize("draw", [plot_revenue, plot_movements, plot_cohorts])
def test_plots_refuse_other_tables_and_none_at_all(draw):
    maker = {plot_revenue: "revenue_table", plot_movements: "movement_table", plot_cohorts: "cohort_table"}[draw]
    build = {build.__name__: build for build in BUILDERS}[maker]
    with pytest.raises(
        MissingColumnsError, match=rf"{draw.__name__} draws the result of {maker}\(\.\.\.\): no columns"
    ):
        draw(pd.DataFrame({"x": [1]}))
    with pytest.raises(SchemaError, match=rf"{draw.__name__}: the table has no rows. Keep at least one of {maker}"):
        draw(build(pd.DataFrame(SALES), as_of=AS_OF).head(0))


def test_a_last_bit_is_neither_more_nor_less():
    sales = pd.DataFrame({
        "customer_id": "a", "order_id": range(4), "timestamp": [on(1, 1), on(1, 2), on(2, 1), on(2, 2)],
        "amount": [0.1, 0.2, 0.3, 0.0],
    })  # fmt: skip
    table = movement_table(sales, as_of=on(3, 1))
    assert table[["expansion_customer_count", "contraction_customer_count"]].sum().tolist() == [0, 0]


def test_plots_take_a_single_period():
    table = movement_table(pd.DataFrame(SALES), as_of="2024-01-20")
    assert plot_movements(table).get_title(loc="left") == "Who moved revenue"
    assert plot_revenue(revenue_table(pd.DataFrame(SALES), as_of="2024-01-20")).get_legend() is not None
    assert len(plot_cohorts(cohort_table(pd.DataFrame(SALES), as_of="2024-01-20")).texts) == 1


# -- real data -----------------------------------------------------------------------------------------------------


def test_online_retail_adds_up(shared_data):
    raw = pd.read_parquet(shared_data / "online_retail.parquet")
    with pytest.warns(match="set aside"):
        tx = Transactions(raw, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate",
                          product_id="StockCode", quantity="Quantity", unit_price="UnitPrice")  # fmt: skip
    known = raw[raw["CustomerID"].notna() & (raw["UnitPrice"] > 0)]
    known = known.assign(amount=known["Quantity"] * known["UnitPrice"])
    by_month = known.groupby(known["InvoiceDate"].dt.to_period("M"))["amount"].sum().to_numpy()
    moves = movement_table(tx, as_of="2011-12-10")
    assert moves["total_amount"].to_numpy() == pytest.approx(by_month)
    assert moves[MOVED].to_numpy().sum() == pytest.approx(by_month[-1])
    cohorts = cohort_table(tx, as_of="2011-12-10")
    sizes = cohorts[cohorts["period_number"] == 0]["cohort_customer_count"].tolist()
    assert sizes[:3] == [885, 417, 380]  # customers of each month's first orders, counted with plain pandas
