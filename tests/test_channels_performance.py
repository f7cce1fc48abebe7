"""What channel_table promises: hand-counted values on every frame, sums that stay whole, visits told by session."""

import datetime as dt

import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Events, Transactions
from crmlytics.channels._plots import plot_channels
from crmlytics.channels.attribution import attribution_table
from crmlytics.channels.performance import SCHEMA, channel_table
from crmlytics.channels.preferred import preferred_channel_table
from crmlytics.channels.touchpoints import touchpoint_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


SALES = {
    "customer_id": ["a", "a", "b", "b", "c", "c", "d"],
    "order_id": [1, 2, 3, 4, 5, 6, 7],
    "timestamp": [ago(20), ago(9), ago(8), ago(7), ago(6), ago(2), AS_OF],
    "amount": [30.0, 10.0, 40.0, -5.0, 20.0, 5.0, 999.0],  # -5: b's credit note
    "cost": [10.0, 5.0, 10.0, -1.0, 5.0, 1.0, 1.0],
    "channel": ["web", "store", "web", "web", None, "store", "web"],
}
CLICKS = {
    "customer_id": ["a", "a", "a", "b", "b", "c", "a"],
    "session_id": ["s1", "s1", "s2", "s3", "s3", "s4", "s5"],
    "timestamp": [ago(9.5), ago(9), ago(8), ago(8), ago(7.9), ago(5), AS_OF],
    "event": ["view", "purchase", "view", "view", "purchase", "view", "purchase"],
    "channel": ["web", "mail", "web", None, "mail", None, "web"],
    "cost": [1.0, None, 0.5, None, None, None, 100.0],
}
TOLD = ["channel", "customer_count", "order_count", "amount", "amount_share", "amount_per_order",
        "orders_per_customer", "repeat_customer_count", "repeat_share", "margin_amount", "visit_count",
        "converting_visit_count", "conversion_share", "cost_amount", "return_on_cost", "roi"]  # fmt: skip


def told(table, names=TOLD):
    rows = [dict(zip(SCHEMA, row, strict=True)) for row in records(table)]
    return [tuple(row[name] for name in names) for row in rows]


def test_counts_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = channel_table(sales, as_of=AS_OF, events=frame(CLICKS))
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(SCHEMA)
    assert told(table) == [
        # s3 begins with no channel and is mail's; mail has no order, so no return
        ("mail", 0, 0, 0.0, 0.0, None, None, 0, None, 0.0, 1, 1, 1.0, None, None, None),
        ("store", 2, 2, 15.0, 0.15, 7.5, 1.0, 2, 1.0, 9.0, 0, 0, None, None, None, None),
        # s1 is web's, the channel of its first event; b ordered once
        ("web", 2, 2, 65.0, 0.65, 35.0, 1.0, 1, 0.5, 46.0, 2, 1, 0.5, 1.5, 65 / 1.5, 44.5 / 1.5),
        ("(unknown)", 1, 1, 20.0, 0.2, 20.0, 1.0, 1, 1.0, 15.0, 1, 0, 0.0, None, None, None),
    ]
    assert "attribution_table credits channels that orders do not name" in told(table, ["caution"])[0][0]


def test_the_period_cuts_both_ends():
    table = channel_table(pd.DataFrame(SALES), as_of=AS_OF, since=ago(9), margin=0.5, costs={"web": 10})
    names = ["channel", "order_count", "amount", "repeat_customer_count", "margin_amount", "return_on_cost", "roi"]
    assert told(table, names) == [
        ("store", 2, 15.0, 1, 7.5, None, None),  # a's order of day 20 is not there: a ordered once
        ("web", 1, 35.0, 0, 17.5, 3.5, 0.75),
        ("(unknown)", 1, 20.0, 1, 10.0, None, None),
    ]


def test_nothing_at_or_after_as_of_is_read():
    clean = channel_table(pd.DataFrame(SALES), as_of=AS_OF, events=pd.DataFrame(CLICKS))
    poisoned = {name: [*values, *values] for name, values in SALES.items()}
    poisoned["timestamp"][7:] = [AS_OF + dt.timedelta(days=day) for day in range(7)]
    poisoned["channel"][7:] = ["new"] * 7
    poisoned["order_id"] = range(14)
    clicks = pd.DataFrame(CLICKS)
    late = clicks.assign(timestamp=AS_OF + dt.timedelta(hours=1), channel="new", event="purchase")
    pd.testing.assert_frame_equal(
        clean, channel_table(pd.DataFrame(poisoned), as_of=AS_OF, events=pd.concat([clicks, late]))
    )


def test_visits_without_sessions_are_customer_days_and_without_names_nothing_converts():
    clicks = pd.DataFrame(CLICKS).drop(columns=["session_id", "cost"])
    assert told(channel_table(pd.DataFrame(SALES), as_of=AS_OF, events=clicks), TOLD[:1] + TOLD[10:13]) == [
        ("mail", 2, 2, 1.0),  # a on day 9; b on day 8, where an event without a channel came first
        ("store", 0, 0, None),
        ("web", 2, 0, 0.0),
        ("(unknown)", 1, 0, 0.0),
    ]
    nameless = Events(clicks, event=None)
    assert told(channel_table(pd.DataFrame(SALES), as_of=AS_OF, events=nameless), TOLD[11:13]) == [(0, None)] * 4


def test_events_without_customers_and_a_click_without_a_session():
    clicks = pd.DataFrame(CLICKS | {"session_id": ["s1", "s1", "s2", None, None, "s4", "s5"]})
    table = channel_table(pd.DataFrame(SALES), as_of=AS_OF, events=clicks)
    assert told(table, TOLD[10:12]) == [(1, 1), (0, 0), (2, 1), (1, 0)]  # b's day is the visit
    anonymous = Events(clicks, customer_id=None)
    table = channel_table(pd.DataFrame(SALES), as_of=AS_OF, events=anonymous)
    assert told(table, TOLD[:1] + TOLD[10:12]) == [("store", 0, 0), ("web", 2, 1), ("(unknown)", 1, 0)]


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_no_channel_anywhere_is_one_row(kind):
    sales = make_frame(SALES | {"channel": pd.array([None] * 7, dtype="str")}, kind)
    assert told(channel_table(sales, as_of=AS_OF), TOLD[:4]) == [("(unknown)", 3, 5, 100.0)]


def test_intervals_hold_the_estimate_and_caution_says_what_is_wrong():
    table = channel_table(pd.DataFrame(SALES | {"amount": [1.0, 10.0, 4.0, -50.0, 2.0, 5.0, 9.0]}), as_of=AS_OF)
    assert (table["repeat_share_low"] <= table["repeat_share"]).all()
    assert (table["repeat_share"] <= table["repeat_share_high"]).all()
    assert table["caution"].str.startswith("Association, not effect").all()
    assert table["caution"].str.contains("More came back than was sold").tolist() == [False, True, False]
    assert table["amount_share"].isna().all()  # nothing to share


LINE = st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", None]), st.integers(1, 29), st.integers(-300, 999))


@settings(max_examples=25)
@given(lines=st.lists(LINE, min_size=1, max_size=25))
def test_revenue_and_orders_are_all_there_whatever_the_order_of_rows(lines):
    customer, channel, days, cents = zip(*lines, strict=True)
    sales = pd.DataFrame({
        "customer_id": customer, "order_id": range(len(lines)), "timestamp": [ago(day) for day in days],
        "amount": [cent / 100 for cent in cents], "channel": pd.array(channel, dtype="str"),
    })  # fmt: skip
    table = channel_table(sales, as_of=AS_OF)
    pd.testing.assert_frame_equal(table, channel_table(sales.sample(frac=1, random_state=0), as_of=AS_OF))
    assert round(table["amount"].sum(), 2) == sum(cents) / 100
    assert table["order_count"].sum() == sum(cent >= 0 for cent in cents)
    buyers = {(who, which) for who, which, _, cent in lines if cent >= 0}
    assert table["customer_count"].sum() == len(buyers)


def test_a_cost_that_nobody_ordered_for_has_a_row_and_returns_nothing():
    costs = {"tv": 500.0, "web 2": 3.0, "(unknown)": 7.0, "mail": 4.0}
    table = channel_table(pd.DataFrame(SALES), as_of=AS_OF, events=pd.DataFrame(CLICKS), costs=costs)
    names = ["channel", "customer_count", "amount", "cost_amount", "return_on_cost", "roi"]
    assert told(table, names) == [
        ("mail", 0, 0.0, 4.0, None, None),  # visited: orders may call it otherwise
        ("store", 2, 15.0, None, None, None),
        ("tv", 0, 0.0, 500.0, 0.0, -1.0),
        ("web", 2, 65.0, None, None, None),
        ("web 2", 0, 0.0, 3.0, 0.0, -1.0),  # no misspelt "web"
        ("(unknown)", 1, 20.0, 7.0, None, None),  # what is not known may be of any channel
    ]
    assert table["caution"].str.contains("Nobody ordered through it").tolist() == [False] * 2 + [True, False] * 2


@pytest.mark.parametrize("name", ["Web", "we b", "webb"])
def test_a_misspelt_channel_of_costs_is_refused(name):
    channels = ["webs"] * 6 + ["store"]
    with pytest.raises(SchemaError, match=rf"costs names '{name}s', no such channel. Did you mean 'webs'\?"):
        channel_table(pd.DataFrame(SALES | {"channel": channels}), as_of=AS_OF, costs={f"{name}s": 1.0})


def test_channels_that_differ_in_case_are_told_and_blanks_around_make_no_other():
    sales = SALES | {"channel": ["web", "Web ", "store", " store", "Store", "mail", "WEB"]}
    with pytest.warns(DataQualityWarning, match=r"count as different ones: 'Store', 'store'; 'Web', 'web'\. .*lower"):
        table = channel_table(pd.DataFrame(sales), as_of=AS_OF)
    assert table["channel"].tolist() == ["Store", "Web", "mail", "store", "web"]
    with pytest.warns(DataQualityWarning, match=r"'Mail', 'mail'"):  # of events and of orders
        channel_table(
            pd.DataFrame(SALES | {"channel": "Mail"}), as_of=AS_OF, events=pd.DataFrame(CLICKS), conversion="view"
        )


def column(table, name):
    return [row[0] for row in records(nw.from_native(table).select(name).to_native())]


@pytest.mark.parametrize("kind", ["pandas", "polars-lazy", "pyarrow", "duckdb"])
def test_a_channel_has_the_same_name_in_every_table(kind):
    first = {name: values[:4] for name, values in SALES.items()}
    sales = make_frame(first | {"channel": ["web", " web", "web ", " "]}, kind)
    first = {name: values[:3] for name, values in CLICKS.items()}
    clicks = make_frame(first | {"channel": ["web ", " web", "  "]}, kind)
    assert column(channel_table(sales, as_of=AS_OF, costs={"web ": 2.0, "web": 3.0}), "cost_amount") == [5.0, None]
    assert column(channel_table(sales, as_of=AS_OF), "channel") == ["web", "(unknown)"]
    assert column(preferred_channel_table(sales, as_of=AS_OF), "preferred_channel") == ["web", "web"]
    last = {"as_of": AS_OF, "model": "last", "replicates": 20, "costs": {"web ": 2.0}}
    with pytest.warns(DataQualityWarning, match="no path holds two different channels"):
        assert column(attribution_table(clicks, sales, **last), "channel") == ["web", "(no touchpoint)"]
    touched = touchpoint_table(clicks, sales, as_of=AS_OF, before="1d", after="1d")
    assert set(column(touched, "channel")) == {"web"}


def test_whole_numbers_are_sorted_as_numbers():
    table = channel_table(pd.DataFrame(SALES | {"channel": [10, 9, 9, 9, 9, 9, 9]}), as_of=AS_OF)
    assert table["channel"].tolist() == ["9", "10"]


def test_says_what_is_missing_or_wrong():
    sales = pd.DataFrame(SALES)
    with pytest.raises(MissingColumnsError, match=r"channel_table needs \['channel'\].*channel='<your column>'"):
        channel_table(Transactions(sales, channel=None), as_of=AS_OF)
    with pytest.raises(SchemaError, match=r"no line lies before as_of=2020-01-01 00:00"):
        channel_table(sales, as_of="2020-01-01")
    with pytest.raises(SchemaError, match=r"no line lies between since=2024-03-30 00:00 and as_of=2024-03-31 00:00"):
        channel_table(sales.iloc[:4], as_of=AS_OF, since=ago(1))
    with pytest.raises(SchemaError, match="since must lie before as_of"):
        channel_table(sales, as_of=AS_OF, since=AS_OF)
    with pytest.raises(SchemaError, match=r"costs names 'Web', no such channel. Did you mean 'web'\?"):
        channel_table(sales, as_of=AS_OF, costs={"Web": 1.0})
    with pytest.raises(SchemaError, match="costs must map channels to amounts"):
        channel_table(sales, as_of=AS_OF, costs=5.0)
    with pytest.raises(SchemaError, match=r"no event of the period is called 'buy'.*Say conversion="):
        channel_table(sales, as_of=AS_OF, events=pd.DataFrame(CLICKS), conversion="buy")
    with pytest.raises(MissingColumnsError, match="events need session_id or customer_id"):
        channel_table(sales, as_of=AS_OF, events=Events(pd.DataFrame(CLICKS), customer_id=None, session_id=None))
    with pytest.raises(SchemaError, match="margin must be a fraction"):
        channel_table(sales, as_of=AS_OF, margin=30)


def test_adventure_works_adds_up(shared_data):
    folder = shared_data / "adventureworks"
    shops = pd.read_parquet(folder / "FactResellerSales.parquet").assign(channel="reseller")
    web = pd.read_parquet(folder / "FactInternetSales.parquet").assign(channel="internet")
    web["customer"], shops["customer"] = "c" + web["CustomerKey"].astype(str), "r" + shops["ResellerKey"].astype(str)
    lines = pd.concat([shops, web], ignore_index=True)
    sales = Transactions(lines, customer_id="customer", order_id="SalesOrderNumber", timestamp="OrderDate",
                         amount="SalesAmount", cost="TotalProductCost")  # fmt: skip
    table = channel_table(sales, as_of="2014-02-01").set_index("channel")
    assert table["customer_count"].to_dict() == {"internet": 18484, "reseller": 635}
    assert table["order_count"].to_dict() == {"internet": 27659, "reseller": 3796}
    assert table["amount"].sum() == pytest.approx(lines["SalesAmount"].sum(), abs=0.01)
    margin = (web["SalesAmount"] - web["TotalProductCost"]).sum()
    assert table.loc["internet", "margin_amount"] == pytest.approx(margin, abs=0.01)


def test_the_picture_has_a_bar_a_channel():
    axes = plot_channels(channel_table(pd.DataFrame(SALES), as_of=AS_OF, events=pd.DataFrame(CLICKS)))
    assert [label.get_text() for label in axes.get_yticklabels()] == ["mail", "store", "(unknown)", "web"]
    assert [bar.get_width() for bar in axes.patches] == [0.0, 15.0, 20.0, 65.0]
    assert axes.texts[0].get_text() == "no order under this name, and 1 visits"
    with pytest.raises(MissingColumnsError, match=r"plot_channels draws the result of channel_table"):
        plot_channels(pd.DataFrame(SALES))
