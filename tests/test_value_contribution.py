"""What contribution_table promises: every cost counted by hand, nothing lost, nothing from the future."""

import datetime as dt

import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from crmlytics import Contacts, Transactions
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records
from crmlytics.value.contribution import contribution_table

AS_OF = dt.datetime(2024, 3, 20)
COSTS = {"order": 4.5, "return": 8.0, "ticket": 6.0, "contact": 0.5}


def on(month, day):
    return dt.datetime(2024, month, day)


# a: an order of two lines and one more; b: an order that came back; c: only at as_of
SALES = {
    "customer_id": ["a", "a", "a", "b", "b", "c"],
    "order_id": [1, 1, 2, 3, 4, 5],
    "timestamp": [on(1, 1), on(1, 1), on(1, 20), on(1, 10), on(2, 2), AS_OF],
    "amount": [30.0, 20.0, 30.0, 15.0, -15.0, 99.0],
    "cost": [10.0, 5.0, 10.0, 6.0, -6.0, 1.0],
}
PLAIN = {name: values for name, values in SALES.items() if name != "cost"}
TICKETS = {  # d asked and never bought; the second of b is not known yet
    "ticket_id": [1, 2, 3],
    "customer_id": ["b", "b", "d"],
    "opened_at": [on(1, 11), AS_OF, on(1, 1)],
}
CONTACTS = {  # the second of b was held out
    "customer_id": ["a", "b", "b", "e", "e"],
    "campaign_id": ["x", "x", "y", "x", "z"],
    "timestamp": [on(1, 1), on(1, 2), on(1, 3), on(2, 1), AS_OF],
    "arm": ["mail", "mail", "control", "mail", "mail"],
    "cost": [1.25, None, 1.0, 0.75, 9.0],
}
HEAD = ["customer_id", "total_amount", "order_count", "return_count", "service_cost_amount", "contribution_amount"]


def rows(table, *columns):
    names = nw.from_native(table).collect_schema().names()
    return [tuple(row[names.index(name)] for name in columns) for row in records(table)]


def test_every_cost_counted_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = contribution_table(sales, as_of=AS_OF, costs=COSTS, tickets=frame(TICKETS), contacts=frame(CONTACTS))
    assert type(table) is type(sales)
    assert rows(table, *HEAD) == [
        ("a", 80.0, 2, 0, 2 * 4.5 + 1.25, 80 - 25 - 10.25),
        ("b", 0.0, 1, 1, 4.5 + 8 + 6 + 0.5, -19.0),
        ("d", 0.0, 0, 0, 6.0, -6.0),
        ("e", 0.0, 0, 0, 0.75, -0.75),
    ]
    assert rows(table, "goods_cost_amount", "margin_amount", "ticket_count", "contact_count", "rank") == [
        (25.0, 55.0, 0, 1, 1),
        (0.0, 0.0, 1, 1, 4),
        (0.0, 0.0, 1, 0, 3),
        (0.0, 0.0, 0, 1, 2),
    ]
    assert rows(table, "contribution_ratio") == [(pytest.approx(44.75 / 80),), (None,), (None,), (None,)]
    dtypes = {name: str(dtype) for name, dtype in nw.from_native(table).collect_schema().items()}
    counts = {name for name in dtypes if name.endswith("_count")} | {"rank"}
    assert {name for name, dtype in dtypes.items() if dtype == "Int64"} == counts
    assert {name for name, dtype in dtypes.items() if dtype == "Float64"} == set(dtypes) - counts - {"customer_id"}


def test_columns_of_tables_that_are_not_given_are_not_there():
    table = contribution_table(pd.DataFrame(PLAIN), as_of=AS_OF, costs=COSTS)
    assert list(table) == [
        "customer_id", "total_amount", "order_count", "order_cost_amount", "return_count", "return_cost_amount",
        "service_cost_amount", "contribution_amount", "contribution_ratio", "rank",
    ]  # fmt: skip
    assert table["contribution_amount"].tolist() == [80 - 9.0, -4.5 - 8.0]


def test_since_is_inclusive_for_every_table():
    table = contribution_table(
        pd.DataFrame(PLAIN), as_of=AS_OF, since=on(1, 10), costs=COSTS,
        tickets=pd.DataFrame(TICKETS), contacts=pd.DataFrame(CONTACTS),
    )  # fmt: skip
    assert rows(table, "customer_id", "total_amount", "ticket_count", "contact_count") == [
        ("a", 30.0, 0, 0), ("b", 0.0, 1, 0), ("e", 0.0, 0, 1)
    ]  # fmt: skip


def test_an_unknown_cost_is_not_zero_and_comes_last():
    sales = pd.DataFrame(SALES | {"cost": [None, *SALES["cost"][1:]]})
    table = contribution_table(sales, as_of=AS_OF, costs={"order": 1.0})
    assert rows(table, "customer_id", "goods_cost_amount", "contribution_amount", "rank") == [
        ("a", None, None, 2), ("b", 0.0, -1.0, 1)
    ]  # fmt: skip


def test_a_contact_without_cost_of_its_own_is_unknown_unless_the_average_is_given():
    contacts = make_frame(CONTACTS, "polars")
    table = contribution_table(make_frame(PLAIN, "polars"), as_of=AS_OF, costs={}, contacts=contacts)
    assert rows(table, "customer_id", "contact_cost_amount", "contribution_amount") == [
        ("a", 1.25, 78.75), ("b", None, None), ("e", 0.75, -0.75)
    ]  # fmt: skip


def test_a_mixed_order_is_an_order_and_a_return_and_a_discount_line_is_no_return():
    lines = {"customer_id": ["a"] * 2, "order_id": [1, 1], "timestamp": [on(1, 1)] * 2, "amount": [10.0, -2.0]}
    table = contribution_table(pd.DataFrame(lines), as_of=AS_OF, costs=COSTS)
    assert rows(table, "order_count", "return_count") == [(1, 1)]
    table = contribution_table(pd.DataFrame(lines | {"quantity": [1, 1]}), as_of=AS_OF, costs=COSTS)
    assert rows(table, "order_count", "return_count") == [(1, 0)]


def test_free_goods_are_an_order_and_no_return():
    lines = {"customer_id": ["a"], "order_id": [1], "timestamp": [on(1, 1)], "amount": [0.0]}
    table = contribution_table(pd.DataFrame(lines), as_of=AS_OF, costs=COSTS)
    assert rows(table, "order_count", "return_count", "contribution_amount") == [(1, 0, -4.5)]


LINE = st.tuples(
    st.sampled_from("abc"), st.integers(1, 4), st.integers(0, 90), st.integers(-5_000, 5_000), st.integers(0, 3_000)
)


@settings(max_examples=25)
@given(lines=st.lists(LINE, min_size=1, max_size=12), asked=st.lists(st.sampled_from("abcd"), max_size=6))
def test_parts_add_up_to_the_whole_and_to_the_lines(lines, asked):
    start = dt.datetime(2024, 1, 1)
    customer, order, day, cents, cost = zip(*lines, strict=True)
    sales = {
        "customer_id": customer, "order_id": order, "timestamp": [start + dt.timedelta(days=days) for days in day],
        "amount": [c / 100 for c in cents], "cost": [c / 100 for c in cost],
    }  # fmt: skip
    tickets = {"ticket_id": range(len(asked)), "customer_id": asked, "opened_at": [start] * len(asked)}
    tickets = pd.DataFrame(tickets).astype({"customer_id": "str", "opened_at": "datetime64[us]"})
    assume(asked or min(sales["timestamp"]) < AS_OF)
    table = contribution_table(pd.DataFrame(sales), as_of=AS_OF, costs=COSTS, tickets=tickets if asked else None)
    known = [place for place, days in enumerate(day) if start + dt.timedelta(days=days) < AS_OF]
    assert round(table["total_amount"].sum(), 2) == sum(cents[place] for place in known) / 100
    assert round(table["goods_cost_amount"].sum(), 2) == sum(cost[place] for place in known) / 100
    parts = [
        name
        for name in table
        if name.endswith("_cost_amount") and name not in ("goods_cost_amount", "service_cost_amount")
    ]
    left = table["total_amount"] - table["goods_cost_amount"] - table[parts].sum(axis=1)
    assert table["contribution_amount"].to_numpy() == pytest.approx(left.to_numpy(), abs=1e-9)
    if asked:
        assert table["ticket_count"].sum() == len(asked)
    assert sorted(table["rank"]) == list(range(1, len(table) + 1))


def test_the_future_of_no_table_changes_anything():
    later = AS_OF + dt.timedelta(days=1)
    poison = [pd.DataFrame(data) for data in (SALES, TICKETS, CONTACTS)]
    plain = [frame.copy() for frame in poison]
    for frame, moment in zip(poison, ("timestamp", "opened_at", "timestamp"), strict=True):
        frame.loc[frame[moment] >= AS_OF, ["customer_id", moment]] = ["a", later]
    before, after = (
        contribution_table(sales, as_of=AS_OF, costs=COSTS, tickets=tickets, contacts=contacts)
        for sales, tickets, contacts in (plain, poison)
    )
    pd.testing.assert_frame_equal(before, after)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"costs": 4.5}, r"costs must be a mapping such as costs=\{\"order\": 4.5"),
        ({"costs": {"orders": 4.5}}, "costs has 'orders'. Did you mean 'order'"),
        ({"costs": {"order": -1}}, r"costs\['order'\] must be a number of zero or more, got -1"),
        ({"costs": {}, "tickets": pd.DataFrame(TICKETS)}, 'tickets came without what one costs.*"ticket"'),
        ({"costs": {}, "contacts": pd.DataFrame(CONTACTS).drop(columns="cost")}, "contacts came without"),
        ({"costs": {}, "since": "2024-03-20"}, "since must lie before as_of, got since=2024-03-20"),
        (
            {"costs": {}, "as_of": "2020-01-01"},
            "contribution_table: no line lies before as_of=2020-01-01 00:00. Check as",
        ),
        (
            {"costs": {}, "since": "2019-01-01", "as_of": "2020-01-01"},
            "no line lies from since=2019-01-01 00:00 to as_of",
        ),
        (
            {"costs": COSTS, "tickets": make_frame(TICKETS, "polars")},
            "transactions is a pandas table and tickets a Polars",
        ),
    ],
)
def test_refusals_say_what_to_type(more, said):
    with pytest.raises(SchemaError, match=said):
        contribution_table(pd.DataFrame(SALES), **{"as_of": AS_OF} | more)


def test_ids_of_another_kind_and_missing_roles_are_refused():
    tickets = pd.DataFrame(TICKETS | {"customer_id": [1, 2, 3]})
    with pytest.raises(SchemaError, match="customer_id is String in Transactions, Int64 in Tickets"):
        contribution_table(pd.DataFrame(SALES), as_of=AS_OF, costs=COSTS, tickets=tickets)
    with pytest.raises(MissingColumnsError, match=r"contribution_table needs \['amount'\]"):
        contribution_table(pd.DataFrame(SALES).drop(columns="amount"), as_of=AS_OF, costs=COSTS)


def test_contacts_bound_by_name_and_one_customer():
    contacts = Contacts(pd.DataFrame({"who": ["a"], "when": [on(1, 1)]}), customer_id="who", timestamp="when")
    sales = pd.DataFrame({name: values[:1] for name, values in PLAIN.items()})
    table = contribution_table(sales, as_of=AS_OF, costs=COSTS, contacts=contacts)
    assert rows(table, "customer_id", "contribution_amount", "rank") == [("a", 25.0, 1)]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow", "duckdb"])
def test_there_is_no_ratio_to_a_last_bit_of_revenue(kind):
    sales = {"customer_id": ["a"] * 3, "order_id": [1, 2, 3], "timestamp": [dt.datetime(2024, 1, 1)] * 3,
             "amount": [0.1, 0.2, -0.3]}  # fmt: skip
    table = contribution_table(make_frame(sales, kind), as_of=AS_OF, costs={"order": 4.5, "return": 8.0})
    assert rows(table, "contribution_amount", "contribution_ratio") == [(pytest.approx(-17.0), None)]


@pytest.mark.parametrize("kind", ["pandas", "pyarrow", "duckdb"])
def test_a_last_bit_ranks_nobody_on_any_engine(kind):
    sales = {"customer_id": ["a", "b"], "order_id": [1, 2], "timestamp": [dt.datetime(2024, 1, 1)] * 2,
             "amount": [31.919999999999998, 31.92]}  # fmt: skip
    table = contribution_table(make_frame(sales, kind), as_of=AS_OF, costs={})
    assert rows(table, "customer_id", "rank") == [("a", 1), ("b", 2)]


# -- real data -----------------------------------------------------------------------------------------------------

ENGINES = ["pandas", "pyarrow", "polars-lazy", "duckdb"]


@pytest.mark.parametrize("kind", ENGINES)
def test_online_retail_adds_up_to_the_cent(shared_data, kind):
    columns = ["CustomerID", "InvoiceNo", "InvoiceDate", "Quantity", "UnitPrice"]
    raw = pd.read_parquet(shared_data / "online_retail.parquet", columns=columns)
    raw = raw[raw["CustomerID"].notna() & (raw["UnitPrice"] > 0)].astype({"CustomerID": "int64", "InvoiceNo": "str"})
    tx = Transactions(make_frame(raw, kind), customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate",
                      quantity="Quantity", unit_price="UnitPrice")  # fmt: skip
    table = contribution_table(tx, as_of="2011-12-10", costs={"order": 4.5, "return": 8.0})
    total, orders, returned, left = (
        sum(column)
        for column in zip(
            *rows(table, "total_amount", "order_count", "return_count", "contribution_amount"), strict=True
        )
    )
    mils = int((raw["Quantity"] * (raw["UnitPrice"] * 1000).round().astype(int)).sum())
    assert total == pytest.approx(mils / 1000, abs=0.005)
    assert returned == raw[raw["Quantity"] < 0].groupby(["CustomerID", "InvoiceNo"]).ngroups
    assert left == pytest.approx(mils / 1000 - 4.5 * orders - 8 * returned, abs=0.005)


@pytest.mark.parametrize("kind", ENGINES)
def test_adventureworks_adds_up_to_the_cent(shared_data, kind):
    raw = pd.read_parquet(
        shared_data / "adventureworks" / "FactInternetSales.parquet",
        columns=["CustomerKey", "SalesOrderNumber", "OrderDate", "SalesAmount", "TotalProductCost"],
    )
    tx = Transactions(make_frame(raw, kind), customer_id="CustomerKey", order_id="SalesOrderNumber",
                      timestamp="OrderDate", amount="SalesAmount", cost="TotalProductCost")  # fmt: skip
    table = contribution_table(tx, as_of="2020-01-01", costs={"order": 4.5})
    total, goods, left = (
        sum(column)
        for column in zip(*rows(table, "total_amount", "goods_cost_amount", "contribution_amount"), strict=True)
    )
    amount, cost = (int((raw[name] * 10_000).round().sum()) / 10_000 for name in ("SalesAmount", "TotalProductCost"))
    assert (total, goods) == (pytest.approx(amount, abs=0.005), pytest.approx(cost, abs=0.005))
    assert left == pytest.approx(amount - cost - 4.5 * raw["SalesOrderNumber"].nunique(), abs=0.005)


@pytest.mark.parametrize("word", ["Control", "holdout", "held out", "not contacted"])
def test_whoever_was_held_out_is_charged_no_contact(word):
    contacts = pd.DataFrame(CONTACTS).assign(arm=word)
    table = contribution_table(pd.DataFrame(SALES), as_of=AS_OF, costs={"order": 4.5}, contacts=contacts)
    assert table["contact_count"].sum() == 0
