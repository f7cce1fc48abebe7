"""What the bridge and the cuts of revenue promise: every cent of a change has one name, whatever the engine."""

import datetime as dt
import math
from functools import partial
from itertools import pairwise

import matplotlib as mpl
import matplotlib.pyplot as plt
import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics._periods import period_labels
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.revenue._pictures import (
    plot_bridge,
    plot_composition,
    plot_forecast,
    plot_forecast_evaluation,
    plot_revenue_cuts,
    plot_seasonality,
)
from crmlytics.revenue._tables import movement_table, revenue_table
from crmlytics.revenue.bridges import EFFECTS, bridge_table
from crmlytics.revenue.composition import composition_table
from crmlytics.revenue.cuts import revenue_cut_table
from crmlytics.revenue.describing import describe_revenue
from crmlytics.testing import make_frame, records

mpl.use("Agg")

DAY = dt.datetime(2024, 1, 1)
AS_OF = dt.datetime(2024, 4, 20)


def on(month, day):
    return dt.datetime(2024, month, day)


# January, February: a and b stay; l leaves, n comes. Tea 10 at 2 becomes 12 at 3; jam 10 at 4 becomes 4 at 4;
# nuts are dropped, figs are added; a fee has no quantity. March: n comes back after l did. April: nobody.
LINES = [
    ("a", 1, on(1, 1), "tea", 10.0, 20.0, "web"),
    ("b", 2, on(1, 5), "jam", 10.0, 40.0, "shop"),
    ("b", 2, on(1, 5), "nuts", 1.0, 7.0, "shop"),
    ("l", 3, on(1, 9), "tea", 5.0, 10.0, "web"),
    ("a", 4, on(2, 1), "tea", 12.0, 36.0, "web"),
    ("b", 5, on(2, 2), "jam", 4.0, 16.0, "shop"),
    ("b", 5, on(2, 2), "figs", 2.0, 9.0, "shop"),
    ("b", 5, on(2, 2), "fee", None, 1.5, None),
    ("n", 6, on(2, 3), "tea", 1.0, 3.0, "web"),
    ("l", 7, on(3, 3), "tea", 2.0, 6.0, "web"),
    ("a", 8, on(3, 4), "tea", -1.0, -3.0, "web"),
    ("x", 9, AS_OF, "tea", 99.0, 999.0, "web"),
]
NAMES = ("customer_id", "order_id", "timestamp", "product_id", "quantity", "amount", "channel")
SALES = dict(zip(NAMES, map(list, zip(*LINES, strict=True)), strict=True))


def rows(table, *columns):
    names = nw.from_native(table).collect_schema().names()
    return [tuple(row[names.index(name)] for name in columns) for row in records(table)]


def effects_of(table):
    return [dict(zip(EFFECTS, row, strict=True)) for row in rows(table, *EFFECTS)]


def nonzero(effects):
    return {name: value for name, value in effects.items() if value != 0}


@pytest.fixture(params=["pandas-nullable", "pyarrow", "duckdb"])
def few(request):
    """Like ``frame``, on the kinds that differ most: for what the tests on every kind have shown already."""
    return partial(make_frame, kind=request.param)


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


# -- the bridge ----------------------------------------------------------------------------------------------------


def test_bridge_counted_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = bridge_table(sales, as_of=AS_OF)
    assert type(table) is type(sales)
    assert rows(table, "period_start", "period_end", "is_complete", "group", "basis") == [
        (on(2, 1), on(3, 1), True, "all", "units"),
        (on(3, 1), on(4, 1), True, "all", "units"),
        (on(4, 1), on(5, 1), False, "all", "units"),
    ]
    assert rows(table, "previous_amount", "total_amount", "amount_change") == [
        (77.0, 65.5, -11.5),
        (65.5, 3.0, -62.5),
        (3.0, 0.0, -3.0),
    ]
    february, march, april = effects_of(table)
    # units 20 -> 16; shares of tea 1/2 -> 3/4; mean prices 2.5 and 4
    volume = -4 * (0.625 * 2.5 + 0.375 * 4)
    mix = 18 * 0.25 * (2.5 - 4)
    assert nonzero(february) == {
        "new_amount": 3.0,
        "lost_amount": -10.0,
        "volume_effect_amount": pytest.approx(volume),  # -12.25
        "mix_effect_amount": pytest.approx(mix),  # -6.75
        "price_effect_amount": pytest.approx(1 * 11),  # tea, one more a unit, on 11 units
        "added_products_amount": 9.0,
        "dropped_products_amount": -7.0,
        "other_effect_amount": 1.5,
    }
    # a only sent something back: lost with that return; l is back
    assert nonzero(march) == {"reactivated_amount": 6.0, "lost_amount": pytest.approx(-68.5)}
    assert nonzero(april) == {"lost_amount": -6.0, "returns_amount": 3.0}


def test_bridge_reads_backwards_with_the_signs_turned():
    lines = [line for line in LINES if line[2] < on(3, 1) and line[0] in "ab"]
    there = dict(zip(NAMES, map(list, zip(*lines, strict=True)), strict=True))
    back = {**there, "timestamp": [on(3 - moment.month, moment.day) for moment in there["timestamp"]]}
    (one,), (other,) = (effects_of(bridge_table(pd.DataFrame(data), as_of=on(3, 1))) for data in (there, back))
    for name in ("volume_effect_amount", "mix_effect_amount", "price_effect_amount", "other_effect_amount"):
        assert one[name] == pytest.approx(-other[name])
    assert one["added_products_amount"] == -other["dropped_products_amount"] == 9.0


def test_a_bridge_from_a_part_of_a_period_is_not_complete():
    sales = pd.DataFrame(SALES)
    table = bridge_table(sales[sales["timestamp"] > on(1, 4)], as_of=on(4, 1))
    assert table["is_complete"].tolist() == [False, True]


def test_without_products_orders_are_counted_and_the_table_says_so(few):
    sales = {name: SALES[name] for name in ("customer_id", "order_id", "timestamp", "amount")}
    table = bridge_table(few(sales), as_of=on(3, 1))
    assert rows(table, "basis", "amount_change") == [("orders", -11.5)]
    (february,) = effects_of(table)
    # kept: two orders of 67 in all became two of 62.5
    assert nonzero(february) == {"new_amount": 3.0, "lost_amount": -10.0, "price_effect_amount": pytest.approx(-4.5)}


# a always pays 10 for tea, b always 5; a takes 10 and then 20, b 10 and then 2
OWN_PRICES = {
    "customer_id": ["a", "b", "a", "b"],
    "order_id": [1, 2, 3, 4],
    "timestamp": [on(1, 1), on(1, 2), on(2, 1), on(2, 2)],
    "product_id": ["tea"] * 4,
    "quantity": [10.0, 10.0, 20.0, 2.0],
    "amount": [100.0, 50.0, 200.0, 10.0],
}


def test_a_price_that_nobody_saw_change_is_mix(few):
    (row,) = effects_of(bridge_table(few(OWN_PRICES), as_of=on(3, 1)))
    pooled = (7.5 + 210 / 22) / 2
    assert nonzero(row) == {
        "volume_effect_amount": pytest.approx(2 * pooled),
        "mix_effect_amount": pytest.approx(60 - 2 * pooled),
    }


def test_prices_are_held_against_what_the_same_customer_paid(few):
    amounts = [100.0, 50.0, 220.0, 10.0]  # a pays 11 now, on (10 + 20) / 2 units
    (row,) = effects_of(bridge_table(few({**OWN_PRICES, "amount": amounts}), as_of=on(3, 1)))
    assert row["price_effect_amount"] == pytest.approx(15.0)
    assert math.fsum(row.values()) == pytest.approx(80.0)
    # c bought tea before only, b now only: they have no price of their own to compare
    swapped = {**OWN_PRICES, "customer_id": ["a", "c", "a", "b"], "amount": [100.0, 40.0, 220.0, 10.0]}
    both = {"customer_id": ["b", "c"], "order_id": [5, 6], "timestamp": [on(1, 3), on(2, 3)],
            "product_id": ["jam", "jam"], "quantity": [1.0, 1.0], "amount": [3.0, 3.0]}  # fmt: skip
    (row,) = effects_of(bridge_table(few({name: swapped[name] + both[name] for name in both}), as_of=on(3, 1)))
    assert row["price_effect_amount"] == pytest.approx(15.0)
    assert math.fsum(row.values()) == pytest.approx(90.0)


def test_without_products_dearer_customers_who_order_more_are_mix():
    one_each = {name: OWN_PRICES[name] for name in ("customer_id", "order_id", "timestamp", "amount")}
    more = {"customer_id": ["a"], "order_id": [5], "timestamp": [on(2, 9)], "amount": [100.0]}
    sales = pd.DataFrame({name: one_each[name] + more[name] for name in more})
    sales["amount"] = [100.0, 50.0, 100.0, 50.0, 100.0]
    (row,) = effects_of(bridge_table(sales, as_of=on(3, 1)))
    pooled = (75 + 250 / 3) / 2
    assert nonzero(row) == {
        "volume_effect_amount": pytest.approx(pooled),
        "mix_effect_amount": pytest.approx(100 - pooled),
    }


def test_more_orders_are_volume_without_products():
    sales = pd.DataFrame({
        "customer_id": ["a"] * 3, "order_id": [1, 2, 3], "amount": [10.0, 12.0, 12.0],
        "timestamp": [on(1, 1), on(2, 1), on(2, 9)],
    })  # fmt: skip
    (row,) = effects_of(bridge_table(sales, as_of=on(3, 1)))
    assert nonzero(row) == {"volume_effect_amount": 11.0, "price_effect_amount": 3.0}  # 1 x 11 and 2 x 1.5


def test_groups_add_up_to_the_whole_in_what_came_and_went(few):
    moved = {**SALES, "channel": [*SALES["channel"][:4], "shop", *SALES["channel"][5:]]}  # a changes the channel
    whole = effects_of(bridge_table(few(moved), as_of=AS_OF))[0]
    table = bridge_table(few(moved), as_of=AS_OF, by="channel")
    assert [group for (group,) in rows(table, "group")][:3] == ["(unknown)", "shop", "web"]
    parts = effects_of(table)[:3]
    assert nonzero(parts[0]) == {"other_effect_amount": 1.5}
    for name in EFFECTS[:4]:
        assert sum(part[name] for part in parts) == pytest.approx(whole[name])
    assert sum(map(math.fsum, (part.values() for part in parts))) == pytest.approx(math.fsum(whole.values()))
    assert nonzero(parts[2]) == {"new_amount": 3.0, "lost_amount": -10.0, "dropped_products_amount": -20.0}
    assert parts[1]["added_products_amount"] == 45.0
    assert whole["added_products_amount"] == 9.0


def test_a_bridge_of_groups_says_so(few):
    table = bridge_table(few(SALES), as_of=on(3, 1), by="channel")
    assert "3 groups added up" in plot_bridge(table).get_title(loc="left")
    (first, *_) = [finding for (finding,) in rows(describe_revenue(table, n=1), "finding")]
    assert first.endswith("What kept customers did is told within 3 groups and added up.")


def test_lag_compares_with_a_period_further_back():
    table = bridge_table(pd.DataFrame(SALES), as_of=AS_OF, lag=2)
    assert rows(table, "period_start", "previous_amount", "total_amount") == [
        (on(3, 1), 77.0, 3.0),
        (on(4, 1), 65.5, 0.0),
    ]
    march = effects_of(table)[0]
    # l: tea 5 at 2 -> 2 at 3; a and b did not order in March
    assert nonzero(march) == {
        "lost_amount": -70.0,
        "volume_effect_amount": -3 * 2.5,
        "price_effect_amount": 3.5,
    }
    new = bridge_table(pd.DataFrame(SALES), as_of=on(3, 1), period="7d", lag=4)
    assert rows(new, "new_amount")[-1] == (0.0,)  # the last week of February: nobody


@pytest.mark.parametrize("build", [bridge_table, composition_table])
@pytest.mark.parametrize("period", ["month", "7d"])
def test_the_future_changes_nothing(build, period):
    sales = pd.DataFrame(SALES)
    poison = sales.assign(timestamp=[AS_OF + dt.timedelta(days=n) for n in range(len(sales))], amount=1e9)
    clean, poisoned = (build(data, as_of=AS_OF, period=period) for data in (sales, pd.concat([sales, poison])))
    assert clean.equals(poisoned)


lines = st.lists(
    st.tuples(
        st.integers(1, 4),
        st.integers(1, 12),
        st.integers(0, 120),
        st.sampled_from(["tea", "jam", None]),
        st.sampled_from([None, -2.0, -0.3, 0.0, 0.1, 1.0, 7.0]),
        st.integers(-20, 80).map(lambda cents: cents / 7),
        st.sampled_from(["web", "shop", None]),
    ),
    min_size=1,
    max_size=40,
)


def as_columns(drawn):
    columns = [list(column) for column in zip(*drawn, strict=True)]
    columns[2] = [DAY + dt.timedelta(days=days) for days in columns[2]]
    return {
        **dict(zip(NAMES, columns, strict=True)),
        "quantity": pd.array(columns[4], dtype="Float64").to_numpy(float, na_value=math.nan),
    }


@settings(max_examples=20)
@given(lines, st.sampled_from(["month", "3w"]), st.sampled_from([None, "channel"]), st.integers(1, 2))
def test_effects_add_up_to_the_change_exactly(drawn, period, by, lag):
    sales = pd.DataFrame(as_columns(drawn))
    sales["product_id"] = sales["product_id"].astype(str).where(sales["product_id"].notna())
    table = bridge_table(sales.astype({"product_id": "str", "channel": "str"}), as_of="2024-05-10", period=period,
                         lag=lag, by=by) if _periods(sales, period) > lag else None  # fmt: skip
    if table is None:
        return
    for row in table.to_dict("records"):
        assert math.fsum(row[name] for name in EFFECTS) == pytest.approx(row["amount_change"], abs=1e-9)
    totals = revenue_table(sales, as_of="2024-05-10", period=period)["total_amount"].to_numpy()
    by_period = table.groupby("period_start")[["previous_amount", "total_amount"]].sum().to_numpy()
    assert by_period[:, 1] == pytest.approx(totals[lag:])
    assert by_period[:, 0] == pytest.approx(totals[:-lag])


def _periods(sales, period):
    return len(revenue_table(sales, as_of="2024-05-10", period=period))


@settings(max_examples=15)
@given(lines)
def test_customers_who_come_and_go_are_those_of_the_movements(drawn):
    sales = pd.DataFrame(as_columns(drawn)).astype({"product_id": "str", "channel": "str"})
    if _periods(sales, "month") < 2:
        return
    bridge = bridge_table(sales, as_of="2024-05-10")
    moves = movement_table(sales, as_of="2024-05-10").iloc[1:]
    names = ["new_amount", "reactivated_amount", "lost_amount", "returns_amount"]
    assert bridge[names].to_numpy() == pytest.approx(moves[names].to_numpy(), abs=1e-9)


@settings(max_examples=10)
@given(lines, st.randoms())
def test_the_order_of_the_lines_changes_nothing_but_the_last_bit(drawn, random):
    one, other = (
        pd.DataFrame(as_columns(d)).astype({"product_id": "str"}) for d in (drawn, random.sample(drawn, len(drawn)))
    )
    if _periods(one, "month") < 2:
        return
    tables = [bridge_table(data, as_of="2024-05-10")[list(EFFECTS)].to_numpy() for data in (one, other)]
    assert tables[0] == pytest.approx(tables[1], abs=1e-9)


# -- cuts ----------------------------------------------------------------------------------------------------------


def test_cuts_counted_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = revenue_cut_table(sales, as_of=on(3, 1), by="channel")
    assert type(table) is type(sales)
    assert rows(table, "period_start", "group", "total_amount", "order_count", "customer_count") == [
        (on(1, 1), "(unknown)", 0.0, 0, 0),
        (on(1, 1), "shop", 47.0, 1, 1),
        (on(1, 1), "web", 30.0, 2, 2),
        (on(2, 1), "(unknown)", 1.5, 1, 1),
        (on(2, 1), "shop", 25.0, 1, 1),
        (on(2, 1), "web", 39.0, 2, 2),
    ]
    columns = ("previous_amount", "amount_change", "growth_share", "growth_contribution_share", "is_comparable")
    assert rows(table, *columns) == [
        (None, None, None, None, False),
        (None, None, None, None, False),
        (None, None, None, None, False),
        (0.0, 1.5, None, pytest.approx(1.5 / 77), True),
        (47.0, -22.0, pytest.approx(-22 / 47), pytest.approx(-22 / 77), True),
        (30.0, 9.0, pytest.approx(0.3), pytest.approx(9 / 77), True),
    ]
    assert [share for (share,) in rows(table, "amount_share")][3:] == pytest.approx([1.5 / 65.5, 25 / 65.5, 39 / 65.5])


def test_cuts_by_an_attribute_of_customers_and_of_products(few):
    customers = few({"customer_id": ["a", "b", "l"], "country": ["FR", "DE", None], "age": [1.0, 2.0, None]})
    table = revenue_cut_table(few(SALES), as_of=on(3, 1), by="country", customers=customers)
    assert rows(table, "group", "total_amount") == [
        ("(unknown)", 10.0), ("DE", 47.0), ("FR", 20.0), ("(unknown)", 3.0), ("DE", 26.5), ("FR", 36.0),
    ]  # fmt: skip
    products = few({"product_id": ["tea", "jam"], "category": ["drink", "spread"]})
    table = revenue_cut_table(few(SALES), as_of=on(3, 1), by="category", products=products)
    assert rows(table, "group", "total_amount")[:3] == [("(unknown)", 7.0), ("drink", 30.0), ("spread", 40.0)]


@settings(max_examples=20)
@given(lines, st.sampled_from(["pandas", "polars"]))
def test_contributions_add_up_to_growth(drawn, kind):
    columns = {**as_columns(drawn)}
    sales = make_frame(
        {name: columns[name] for name in ("customer_id", "order_id", "timestamp", "amount", "channel")}, kind
    )
    if all(channel is None for channel in columns["channel"]):
        return
    table = nw.from_native(revenue_cut_table(sales, as_of="2024-05-10", by="channel")).to_pandas()
    whole = nw.from_native(revenue_table(sales, as_of="2024-05-10")).to_pandas()
    sums = table.groupby("period_start")[["total_amount", "growth_contribution_share", "amount_share"]].sum(min_count=1)
    assert sums["total_amount"].to_numpy() == pytest.approx(whole["total_amount"].to_numpy(), abs=1e-9)
    growth = whole["change_share"].astype(float).to_numpy()
    previous = whole["total_amount"].shift(1).to_numpy()
    clear = previous > 1e-6  # a previous sum of rounding errors has no growth worth testing
    assert sums["growth_contribution_share"].astype(float).to_numpy()[clear] == pytest.approx(
        growth[clear], nan_ok=True
    )


# -- composition ---------------------------------------------------------------------------------------------------


def test_composition_counted_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = composition_table(sales, as_of=AS_OF)
    assert type(table) is type(sales)
    assert rows(table, "kind", "customer_count", "order_count", "total_amount")[:12] == [
        ("new", 3, 3, 77.0), ("retained", 0, 0, 0.0), ("reactivated", 0, 0, 0.0), ("returns", 0, 0, 0.0),
        ("new", 1, 1, 3.0), ("retained", 2, 2, 62.5), ("reactivated", 0, 0, 0.0), ("returns", 0, 0, 0.0),
        ("new", 0, 0, 0.0), ("retained", 0, 0, 0.0), ("reactivated", 1, 1, 6.0), ("returns", 1, 0, -3.0),
    ]  # fmt: skip
    assert rows(table, "amount_share")[5] == (pytest.approx(62.5 / 65.5),)
    assert rows(table, "amount_share")[-1] == (None,)


def test_plot_composition_stacks_to_the_revenue_of_the_period(few):
    ax = plot_composition(composition_table(few(SALES), as_of=AS_OF))
    tops = [sum(container[place].get_height() for container in ax.containers) for place in range(4)]
    assert tops == pytest.approx([77.0, 65.5, 3.0, 0.0])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [
        "Retained",
        "Reactivated",
        "New",
        "Returns only",
    ]


# -- picture and words ---------------------------------------------------------------------------------------------


def test_plot_bridge_steps_from_before_to_now(few):
    ax = plot_bridge(bridge_table(few(SALES), as_of=on(3, 1), by="channel"))
    bars = ax.containers[0]
    assert (bars[0].get_height(), bars[-1].get_height()) == pytest.approx((77.0, 65.5))
    level = 77.0
    for bar in bars[1:-1]:
        assert bar.get_y() == pytest.approx(level)
        level += bar.get_height()
    assert level == pytest.approx(65.5)
    assert "Volume\n(units)" in [label.get_text() for label in ax.get_xticklabels()]
    assert "Reactivated" not in [label.get_text() for label in ax.get_xticklabels()]


def test_plot_bridge_takes_the_last_complete_period():
    table = bridge_table(pd.DataFrame(SALES), as_of=AS_OF)
    assert plot_bridge(table).get_xticklabels()[-1].get_text() == "From\n2024-03-01"
    assert "not complete" in plot_bridge(table.tail(1)).get_title(loc="left")
    with pytest.raises(SchemaError, match=r"plot_bridge: the table has no rows. Keep at least one of bridge_table"):
        plot_bridge(table.head(0))


@pytest.mark.parametrize(
    ("draw", "maker"),
    [
        (plot_bridge, "bridge_table"),
        (plot_composition, "composition_table"),
        (plot_forecast, "revenue_forecast_table"),
        (plot_forecast_evaluation, "forecast_evaluation_table"),
        (plot_revenue_cuts, "revenue_cut_table"),
        (plot_seasonality, "seasonality_table"),
    ],
)
def test_plots_refuse_other_tables(draw, maker):
    with pytest.raises(
        MissingColumnsError, match=rf"{draw.__name__} draws the result of {maker}\(\.\.\.\): no columns"
    ):
        draw(pd.DataFrame({"period_start": [on(1, 1)]}))


@pytest.mark.parametrize("order", [[0.3, -0.1, -0.2], [0.1, 0.2, -0.3], [0.0, 0.0, 0.0]])
def test_a_last_bit_below_nothing_is_a_price_of_nothing(order):
    """What was given away keeps its name, however the engine adds it up."""
    lines = [("a", 1, on(1, 1), 2.0, 6.0), ("a", 2, on(2, 1), 1.0, 5.0), *[("a", 3, on(2, 2), 1.0, n) for n in order]]
    names = ("customer_id", "order_id", "timestamp", "quantity", "amount")
    sales = dict(zip(names, map(list, zip(*lines, strict=True)), strict=True))
    sales["product_id"] = ["tea", "jam", "tea", "tea", "tea"]
    bridge = bridge_table(pd.DataFrame(sales), as_of=on(3, 1))
    assert bridge["other_effect_amount"].tolist() == [0.0]
    assert bridge["added_products_amount"].tolist() == [5.0]


@pytest.mark.parametrize(
    ("now", "before", "said"),
    [
        (891_000.0, 1_148_000.0, "was 891k, 257k less than in the period compared with, 1,148k (-22%)"),
        (1_149_200.0, 1_148_000.0, "was 1,149.2k, 1.2k more than in the period compared with, 1,148k (+0%)"),
        (12.0, 12.0, "was 12, 0 more than in the period compared with, 12 (+0%)"),
        (0.0, -3.4567, "was 0, 3.46 more than in the period compared with, -3.46."),
    ],
)
def test_amounts_in_words_add_up(now, before, said):
    bridge = bridge_table(pd.DataFrame(SALES), as_of=on(3, 1)).assign(total_amount=now, previous_amount=before)
    assert said in describe_revenue(bridge)["finding"].iloc[0]


def test_plot_of_cuts_stacks_the_largest_groups(few):
    ax = plot_revenue_cuts(revenue_cut_table(few(SALES), as_of=on(3, 1), by="channel"))
    tops = [sum(container[place].get_height() for container in ax.containers) for place in range(2)]
    assert tops == pytest.approx([77.0, 65.5])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["shop", "web", "(unknown)"]
    many = pd.DataFrame(SALES).assign(channel=[f"c{number}" for number in range(len(LINES))])
    ax = plot_revenue_cuts(revenue_cut_table(many, as_of=on(3, 1), by="channel"))
    assert [text.get_text() for text in ax.get_legend().get_texts()][-1] == "(others)"
    tops = [sum(container[place].get_height() for container in ax.containers) for place in range(2)]
    assert tops == pytest.approx([77.0, 65.5])


def test_ticks_do_not_round_into_one_another():
    from crmlytics.revenue._pictures import money_axis

    ax = plt.subplots()[1]
    money_axis(ax.yaxis)
    written = [ax.yaxis.get_major_formatter()(tick, None) for tick in (0, 950, 1_250_000, 1_500_000, -2.5e9)]
    assert written == ["0", "950", "1.25M", "1.5M", "-2.5bn"]


def test_quarters_are_called_so():
    starts = [on(1, 1), on(4, 1), on(7, 1)]
    assert period_labels(starts) == ["Q1 2024", "Q2 2024", "Q3 2024"]
    assert period_labels([on(2, 1), on(5, 1)]) == ["2024-02", "2024-05"]
    assert period_labels([on(1, 1), on(2, 1)]) == ["2024-01", "2024-02"]


def test_words_know_no_minus_nothing():
    cut = revenue_cut_table(pd.DataFrame(SALES), as_of=on(3, 1), by="channel")
    cut["amount_change"] = cut["amount_change"].where(cut["group"] != "shop", -0.001)
    assert any(finding.startswith("shop: +0,") for finding in describe_revenue(cut)["finding"])


def test_a_bridge_in_words(few):
    table = describe_revenue(bridge_table(few(SALES), as_of=on(3, 1)), n=2)
    assert rows(table, "rank", "finding", "amount") == [
        (1, "Revenue from 2024-02-01 on was 65.5, 11.5 less than in the period compared with, 77 (-15%).", -11.5),
        (2, "Kept customers: the number of units: -12.2.", pytest.approx(-12.25)),
        (3, "Kept customers: unit prices: +11.", pytest.approx(11.0)),
    ]


def test_a_cut_in_words(few):
    table = describe_revenue(revenue_cut_table(few(SALES), as_of=on(3, 1), by="channel"), n=2)
    assert [finding for (finding,) in rows(table, "finding")][1:] == [
        "shop: -22, -28.6 points of growth (now 38% of revenue).",
        "web: +9, +11.7 points of growth (now 60% of revenue).",
    ]


# -- refusals ------------------------------------------------------------------------------------------------------


def test_refusals_say_where_what_came_and_what_to_type():
    sales = pd.DataFrame(SALES)
    with pytest.raises(
        SchemaError, match=r"bridge_table: comparing with the period 1 before needs .* 2 periods, got 1"
    ):
        bridge_table(sales, as_of=on(2, 1))
    with pytest.raises(SchemaError, match=r"bridge_table: by must name .* \['channel', 'product_id'\], got 'chanel'"):
        bridge_table(sales, as_of=AS_OF, by="chanel")
    with pytest.raises(SchemaError, match=r"revenue_cut_table: by must name .* got 'country'.*customers=<one row"):
        revenue_cut_table(sales, as_of=AS_OF, by="country")
    with pytest.raises(SchemaError, match=r"bridge_table: lag must be a whole number of at least 1, got 0"):
        bridge_table(sales, as_of=AS_OF, lag=0)
    with pytest.raises(SchemaError, match=r"bridge_table: no line lies before as_of=2020"):
        bridge_table(sales, as_of="2020-01-01")
    with pytest.raises(MissingColumnsError, match=r"bridge_table needs \['amount'\]"):
        bridge_table(sales.drop(columns="amount"), as_of=AS_OF)
    customers = pd.DataFrame({"customer_id": [1, 2], "country": ["FR", "DE"]})
    with pytest.raises(SchemaError, match=r"customer_id is Int64 in customers and String in transactions"):
        revenue_cut_table(sales, as_of=AS_OF, by="country", customers=customers)
    with pytest.raises(SchemaError, match=r"customers is a Polars table and transactions a pandas table"):
        revenue_cut_table(sales, as_of=AS_OF, by="country", customers=make_frame(customers.to_dict("list"), "polars"))
    dated = customers.astype({"customer_id": str}).assign(valid_from=on(1, 1))
    with pytest.raises(SchemaError, match=r"customers must hold one row each, got rows with valid_from"):
        revenue_cut_table(sales, as_of=AS_OF, by="country", customers=dated)
    with pytest.raises(MissingColumnsError, match=r"describe_revenue: expected a table of bridge_table"):
        describe_revenue(sales)
    with pytest.raises(SchemaError, match=r"describe_revenue: no period of this cut has one to compare with"):
        describe_revenue(revenue_cut_table(sales, as_of=on(2, 1), by="channel"))


# -- real data -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["pandas", "polars-lazy", "duckdb"])
def test_online_retail_adds_up_to_the_cent(shared_data, kind):
    raw = pd.read_parquet(shared_data / "online_retail.parquet")
    raw = raw[raw["CustomerID"].notna() & (raw["UnitPrice"] > 0)].astype({"CustomerID": "int64"})
    names = ["CustomerID", "InvoiceNo", "InvoiceDate", "StockCode", "Quantity", "UnitPrice"]
    tx = Transactions(make_frame(raw[names].to_dict("list"), kind), customer_id="CustomerID", order_id="InvoiceNo",
                      timestamp="InvoiceDate", product_id="StockCode", quantity="Quantity",
                      unit_price="UnitPrice")  # fmt: skip
    cents = (raw["Quantity"] * (raw["UnitPrice"] * 1000).round().astype("int64")).groupby(
        raw["InvoiceDate"].dt.to_period("M")
    )
    totals = (cents.sum() / 1000).to_numpy()
    found = rows(bridge_table(tx, as_of="2011-12-10"), "previous_amount", "total_amount", *EFFECTS)
    assert [(before, now) for before, now, *_ in found] == [pytest.approx(pair, abs=1e-6) for pair in pairwise(totals)]
    for before, now, *effects in found:
        assert math.fsum(effects) == pytest.approx(now - before, abs=1e-6)


def test_adventureworks_adds_up_by_year_and_country(shared_data):
    raw = pd.read_parquet(shared_data / "adventureworks" / "FactInternetSales.parquet")
    tx = Transactions(raw, customer_id="CustomerKey", order_id="SalesOrderNumber", timestamp="OrderDate",
                      amount="SalesAmount", product_id="ProductKey", quantity="OrderQuantity",
                      channel="SalesTerritoryKey")  # fmt: skip
    table = bridge_table(tx, as_of="2014-01-01", period="year", by="channel")
    assert table[list(EFFECTS)].sum(axis=1).to_numpy() == pytest.approx(table["amount_change"].to_numpy(), abs=1e-6)
    by_year = raw.groupby(raw["OrderDate"].astype("datetime64[ns]").dt.year)["SalesAmount"].sum()
    totals = table.groupby(table["period_start"].dt.year)["total_amount"].sum()
    assert totals.loc[[2012, 2013]].to_numpy() == pytest.approx(by_year.loc[[2012, 2013]].to_numpy(), abs=0.001)
