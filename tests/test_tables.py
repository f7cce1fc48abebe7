"""What the contracts promise: columns named once, bad lines set aside by reason, nothing lost, helpful refusals."""

import copy
import datetime as dt
import pickle
import re
import warnings
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import crmlytics as crm
from crmlytics._frames import to_pandas
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.tables import check_same_ids
from crmlytics.testing import make_frame, records, spark_session

DAY = [dt.datetime(2024, 1, 1) + dt.timedelta(days=d) for d in range(60)]
SALES = {
    "Client": ["a", "a", "b", "b", "c"],
    "Invoice": [1, 1, 2, 3, 4],
    "Day": [DAY[0], DAY[0], DAY[10], DAY[20], DAY[30]],
    "Units": [2.0, 1.0, 3.0, -1.0, 1.0],
    "Price": [5.0, 1.0, 2.0, 2.0, 9.0],
}
ROLES = {"customer_id": "Client", "order_id": "Invoice", "timestamp": "Day", "quantity": "Units", "unit_price": "Price"}
NAN, INF = float("nan"), float("inf")
DIRTY = {
    "customer_id": ["a", None, "", "b", "b", "b", "b", "b", None],
    "order_id": [1, 2, 3, 4, 5, 6, 7, 8, 9],
    "timestamp": [DAY[0], DAY[0], DAY[1], None, DAY[2], DAY[3], DAY[4], DAY[5], None],
    "quantity": [1.0, 1.0, 1.0, 1.0, 1.0, INF, 2.0, 3.0, 1.0],
    "unit_price": [10.0, 20.0, 30.0, 40.0, NAN, 1.0, -1.0, 0.0, 50.0],
}
DIRTY_AUDIT = [
    ("received", "received", 9, 10.0 + 20 + 30 + 40 - 2 + 0 + 50),
    ("kept", "kept", 1, 10.0),
    ("no customer", "set aside", 3, 20.0 + 30 + 50),  # the last line has no date either: the first reason counts
    ("no order", "set aside", 0, 0.0),
    ("no date", "set aside", 1, 40.0),
    ("not finite", "set aside", 2, 0.0),
    ("negative price", "set aside", 1, -2.0),
    ("zero price", "set aside", 1, 0.0),
]


def rows(tx, *roles):
    return sorted(records(tx.to_native(tx.need(*roles, caller="test"))))


def quietly(make, *args, **named):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        return make(*args, **named)


# -- roles and values ----------------------------------------------------------------------------------------------


def test_reads_own_names_and_computes_the_amount(frame):
    tx = crm.Transactions(frame(SALES), **ROLES)
    assert rows(tx, "customer_id", "order_id", "amount") == [
        ("a", 1, 1.0),
        ("a", 1, 10.0),
        ("b", 2, 6.0),
        ("b", 3, -2.0),
        ("c", 4, 9.0),
    ]
    assert tx.sources == ROLES


def test_a_given_amount_wins_over_the_computed_one():
    sales = {**SALES, "amount": [1.0] * 5}
    assert rows(crm.Transactions(make_frame(sales, "pandas"), **ROLES), "amount") == [(1.0,)] * 5


def test_canonical_names_need_no_naming_and_none_leaves_a_column_out():
    sales = pd.DataFrame(SALES).rename(columns={column: role for role, column in ROLES.items()})
    assert crm.Transactions(sales).has("customer_id", "amount")
    assert not crm.Transactions(sales, unit_price=None).has("amount")


def test_audit_gives_each_line_one_reason_and_adds_up_on_every_frame(frame):
    tx = quietly(crm.Transactions, frame(DIRTY))
    assert records(tx.audit) == DIRTY_AUDIT
    assert rows(tx, "order_id", "amount") == [(1, 10.0)]
    assert type(tx.audit) is type(tx.data) or tx.engine.name == "Polars"


def test_eager_frames_warn_at_once_and_say_how_many_and_why():
    with pytest.warns(DataQualityWarning, match=r"8 of 9 lines set aside \(no customer 3, no date 1, not finite 2"):
        crm.Transactions(make_frame(DIRTY, "pandas"))


def test_lazy_frames_are_checked_when_asked():
    tx = crm.Transactions(make_frame(DIRTY, "polars-lazy"))
    assert "not checked yet" in repr(tx)
    with pytest.warns(DataQualityWarning, match="8 of 9 lines set aside"):
        tx.validate()
    assert "9 lines, some set aside" in repr(tx)


def test_the_input_is_not_changed_and_its_index_is_ignored():
    sales = pd.DataFrame(SALES, index=[5, 5, 3, 2, 1])
    before = sales.copy()
    tx = crm.Transactions(sales, **ROLES)
    result = tx.to_native(tx.need("customer_id", "amount", caller="test"))
    assert list(result.index) == [0, 1, 2, 3, 4]
    pd.testing.assert_frame_equal(sales, before)


def test_a_contract_is_frozen_copies_and_pickles():
    tx = crm.Transactions(pd.DataFrame(SALES), **ROLES)
    with pytest.raises(AttributeError):
        tx.customer_id = "other"
    for twin in (copy.copy(tx), pickle.loads(pickle.dumps(tx))):  # noqa: S301
        assert rows(twin, "customer_id", "amount") == rows(tx, "customer_id", "amount")


def test_an_unknown_cost_is_no_fault_of_the_line_and_an_infinite_one_is(frame):
    sales = {**SALES, "cost": [1.0, None, NAN, INF, 2.0]}
    tx = quietly(crm.Transactions, frame(sales), **ROLES)
    found = sorted(records(tx.to_native(tx.need("order_id", "cost", caller="test"))), key=str)
    assert found == [(1, 1.0), (1, None), (2, None), (4, 2.0)]
    assert ("not finite", "set aside", 1, -2.0) in records(tx.audit)


# -- ids -----------------------------------------------------------------------------------------------------------


def test_whole_floats_become_integers_and_the_audit_says_so(frame):
    sales = {**SALES, "Client": [12346.0, 12346.0, None, 12347.0, 12348.0], "Product": [1.0, None, 2.0, 2.0, 3.0]}
    tx = quietly(crm.Transactions, frame(sales), **ROLES, product_id="Product")
    assert rows(tx, "customer_id", "order_id")[0] == (12346, 1)
    assert tx.id_kind("customer_id") == "Int64"
    assert sorted(
        (c, p) for c, p in records(tx.to_native(tx.need("customer_id", "product_id", caller="t"))) if p is not None
    ) == [(12346, 1), (12347, 2), (12348, 3)]
    audit = {reason: (outcome, lines) for reason, outcome, lines, _ in records(tx.audit)}
    assert audit["customer_id came as a float"] == ("converted", 4)
    assert audit["product_id came as a float"] == ("converted", 4)


def test_fractional_ids_are_refused_and_never_merged(frame, kind):
    sales = {**SALES, "Client": [1.0, 1.5, 2.0, 3.0, 4.0]}
    message = r"Transactions\(customer_id='Client'\): ids must be whole numbers or text, got 1.5"
    if kind not in {"polars-lazy", "duckdb", "pyspark"}:
        with pytest.raises(SchemaError, match=message):
            crm.Transactions(frame(sales), **ROLES)
        return
    tx = crm.Transactions(frame(sales), **ROLES)
    for ask in (lambda: tx.audit, tx.validate, lambda: rows(tx, "customer_id")):
        with pytest.raises(SchemaError, match=message):
            ask()


def test_ids_of_spreadsheets_that_mix_numbers_and_text_become_text():
    sales = pd.DataFrame(SALES).assign(Product=pd.Series([22423, "85123A", None, "POST", 22423], dtype=object))
    tx = crm.Transactions(sales, **ROLES, product_id="Product")
    found = records(tx.to_native(tx.need("product_id", caller="test")))
    assert found == [("22423",), ("85123A",), (None,), ("POST",), ("22423",)]


def test_categorical_ids_become_text_and_decimals_become_numbers():
    sales = pd.DataFrame(SALES).assign(Total=[Decimal("1.5"), Decimal(2), Decimal(3), Decimal(4), Decimal(5)])
    sales["Client"] = sales["Client"].astype("category")
    tx = crm.Transactions(sales, **{**ROLES, "quantity": None}, amount="Total")
    assert rows(tx, "customer_id", "amount")[0] == ("a", 1.5)
    assert tx.id_kind("customer_id") == "String"


def test_joining_ids_of_different_kind_is_refused():
    tx = crm.Transactions(pd.DataFrame(SALES), **ROLES)
    who = crm.Customers(pd.DataFrame({"customer_id": [1, 2]}))
    message = r"score: customer_id is String in Transactions, Int64 in Customers. Give both the same kind"
    with pytest.raises(SchemaError, match=message):
        check_same_ids([tx, who], role="customer_id", caller="score")


def test_a_role_left_out_stays_out_whatever_the_options(frame):
    sales = frame({**SALES, "amount": [500.0] * 5})
    for duplicates in ("keep", "set_aside"):
        tx = crm.Transactions(sales, **ROLES, amount=None, duplicates=duplicates)
        assert rows(tx, "amount") == [(-2.0,), (1.0,), (6.0,), (9.0,), (10.0,)]
    assert not crm.Customers(frame({"customer_id": [1], "consent": ["maybe"]}), consent=None).has("consent")


def test_columns_in_the_shadow_of_a_role_still_tell_lines_apart(frame):
    sales = {**{name: values[:1] * 2 for name, values in SALES.items()}, "customer_id": ["x", "y"], "Amount": [1, 2]}
    tx = crm.Transactions(frame(sales), **ROLES, duplicates="set_aside")
    assert rows(tx, "amount") == [(10.0,), (10.0,)]
    assert all(reason != "exact duplicate" or lines == 0 for reason, _, lines, _ in records(tx.audit))


@pytest.mark.parametrize("kind", ["pandas", "pandas-nullable", "pandas-pyarrow", "polars", "pyarrow"])
@pytest.mark.parametrize("ids", [np.array([2**63 + 5, 1, 2, 3], dtype="uint64"), np.array([2.0**53, 1, 2, 3])])
def test_ids_too_large_to_be_exact_are_refused(kind, ids):
    with pytest.raises(SchemaError, match=r"too large to be held exactly: give the ids as text"):
        crm.Transactions(make_frame({**SALES, "Client": ids[[0, 1, 2, 3, 3]]}, kind), **ROLES)
    fine = crm.Transactions(make_frame({**SALES, "Client": ids[[1, 1, 2, 3, 3]]}, kind), **ROLES)
    assert rows(fine, "customer_id") == [(1,), (1,), (2,), (3,), (3,)]


def test_a_table_of_the_user_is_not_taken_for_a_result():
    connection = pytest.importorskip("duckdb").connect()
    connection.register("frame", make_frame(SALES, "pyarrow"))
    connection.execute("create table sales as select * from frame")
    for decoy in ("arrow", "computed", "native"):
        connection.execute(f"create table {decoy} as select 'mine' as reason")
    tx = crm.Transactions(connection.table("sales"), **ROLES)
    assert records(tx.audit)[0] == ("received", "received", 5, 24.0)


# -- time ----------------------------------------------------------------------------------------------------------


def test_text_dates_are_read_by_the_format_given_and_the_unreadable_set_aside(frame):
    sales = {**SALES, "Day": ["31/01/2024", "01/02/2024", "13/13/2024", "n/a", "02/02/2024"]}
    tx = quietly(crm.Transactions, frame(sales), **ROLES, timestamp_format="%d/%m/%Y")
    assert rows(tx, "timestamp") == [
        (dt.datetime(2024, 1, 31),),
        (dt.datetime(2024, 2, 1),),
        (dt.datetime(2024, 2, 2),),
    ]
    assert ("no date", "set aside", 2, 4.0) in records(tx.audit)


def test_text_dates_without_a_format_are_refused(frame):
    sales = {**SALES, "Day": ["31/01/2024"] * 5}
    with pytest.raises(SchemaError, match=r"timestamp='Day'.*holds text.*timestamp_format=\"%d/%m/%Y %H:%M\""):
        crm.Transactions(frame(sales), **ROLES)


def test_aware_moments_need_a_zone_and_are_turned_into_its_wall_clock(frame, kind):
    moments = pd.to_datetime(["2024-01-01 23:30", "2024-07-01 23:30"] + ["2024-01-01 12:00"] * 3, utc=True)
    if kind == "pyspark":
        spark_session().conf.set("spark.sql.session.timeZone", "UTC")
    sales = frame({**SALES, "Day": moments})
    with pytest.raises(SchemaError, match=r"carry a time zone \(.*UTC\).*time_zone=\"Europe/London\""):
        crm.Transactions(sales, **ROLES)
    tx = crm.Transactions(sales, **ROLES, time_zone="Europe/London")
    assert rows(tx, "timestamp")[-1] == (dt.datetime(2024, 7, 2, 0, 30),)
    assert (dt.datetime(2024, 1, 1, 23, 30),) in rows(tx, "timestamp")


def test_a_zone_for_naive_moments_is_refused():
    with pytest.raises(SchemaError, match="time_zone='Europe/London' is for moments that carry a zone"):
        crm.Transactions(pd.DataFrame(SALES), **ROLES, time_zone="Europe/London")


def test_mixed_time_zones_are_refused():
    zones = [dt.UTC, dt.timezone(dt.timedelta(hours=2)), dt.UTC, dt.UTC, dt.UTC]
    mixed = pd.Series([moment.replace(tzinfo=zone) for moment, zone in zip(DAY, zones, strict=False)], dtype=object)
    message = r"column 'Day' mixes time zones \['UTC', 'UTC\+02:00'\].*pandas.to_datetime\(column, utc=True\)"
    with pytest.raises(SchemaError, match=message):
        crm.Transactions(pd.DataFrame(SALES).assign(Day=mixed), **ROLES)


@pytest.mark.parametrize("name", ["pandas", "pandas-pyarrow", "polars", "pyarrow", "duckdb"])
def test_date_columns_are_midnights(name):
    sales = {**SALES, "Day": [moment.date() for moment in SALES["Day"]]}
    tx = crm.Transactions(make_frame(sales, name), **ROLES)
    assert rows(tx, "timestamp")[0] == (DAY[0],)


@pytest.mark.parametrize("kind", ["pandas", "pandas-pyarrow", "polars", "polars-lazy", "pyarrow", "duckdb"])
def test_nanoseconds_are_cut_and_never_reach_the_next_day(kind):
    moments = pd.to_datetime(["2024-01-31 23:59:59.999999999"] * 5).astype("datetime64[ns]")
    tx = crm.Transactions(make_frame({**SALES, "Day": moments}, kind), **ROLES)
    assert rows(tx, "timestamp")[0] == (dt.datetime(2024, 1, 31, 23, 59, 59, 999_999),)


def test_spaces_around_text_dates_and_fractions_of_seconds_are_read_alike(frame):
    sales = {**SALES, "Day": ["2024-01-31 10:00:00.5", " 2024-01-31 10:00:00.250000 ", *["2024-02-01 00:00:00.0"] * 3]}
    tx = crm.Transactions(frame(sales), **ROLES, timestamp_format="%Y-%m-%d %H:%M:%S.%f")
    assert [moment.microsecond for (moment,) in rows(tx, "timestamp")][:2] == [250_000, 500_000]


def test_zones_in_text_and_unknown_zones_are_refused():
    with pytest.raises(
        SchemaError, match=r"zones in text are read differently by every engine. Parse the column first"
    ):
        crm.Transactions(pd.DataFrame(SALES), **ROLES, timestamp_format="%Y-%m-%d %z")
    with pytest.raises(SchemaError, match=r"time_zone='Europe/Londn' is not known.*Did you mean 'Europe/London'\?"):
        crm.Transactions(pd.DataFrame(SALES), **ROLES, time_zone="Europe/Londn")


# -- periods -------------------------------------------------------------------------------------------------------


def test_before_is_exclusive_and_between_includes_its_start(frame):
    tx = crm.Transactions(frame(SALES), **ROLES)
    assert rows(tx.before(DAY[20]), "order_id") == [(1,), (1,), (2,)]
    assert rows(tx.between(DAY[10], DAY[30]), "order_id") == [(2,), (3,)]
    assert rows(tx.between(DAY[10], DAY[30]).before("2024-01-21"), "order_id") == [(2,)]
    assert ("outside the period", "set aside", 2, 7.0) in records(tx.before(DAY[20]).audit)
    assert rows(tx, "order_id") == [(1,), (1,), (2,), (3,), (4,)]


def test_before_adds_up_on_dirty_lines_too(frame):
    tx = quietly(crm.Transactions, frame(DIRTY)).before(DAY[3])
    received, *parts = [row for row in records(tx.audit) if row[1] != "converted"]
    assert received[2] == sum(row[2] for row in parts)
    assert received[3] == pytest.approx(sum(row[3] for row in parts))


def test_the_same_period_is_sifted_once_and_shown():
    tx = crm.Transactions(pd.DataFrame(SALES), **ROLES)
    known = tx.before(DAY[20])
    assert known.before(DAY[20]) is known is tx.before(DAY[20])
    assert tx.before(DAY[10]) is not known
    assert "5 lines received, used from the beginning to 2024-01-21" in repr(known)


def test_an_audit_changed_by_its_reader_does_not_change_the_next():
    tx = crm.Transactions(pd.DataFrame(SALES), **ROLES)
    audit = tx.audit
    audit.loc[0, "lines"] = 999
    assert tx.audit.loc[0, "lines"] == 5


def test_warnings_point_at_the_callers_line():
    for make in (crm.Transactions, lambda data: crm.rfm.rfm_table(data, as_of="2024-03-01")):
        with pytest.warns(DataQualityWarning) as caught:
            make(make_frame(DIRTY, "pandas"))
        assert caught[0].filename == __file__


def test_between_refuses_an_empty_period():
    tx = crm.Transactions(pd.DataFrame(SALES), **ROLES)
    with pytest.raises(SchemaError, match="start must lie before end"):
        tx.between("2024-02-01", "2024-02-01")


def test_rebind_gives_another_frame_the_same_roles_and_options():
    tx = crm.Transactions(pd.DataFrame(SALES), **ROLES, duplicates="set_aside")
    more = tx.rebind(make_frame({name: values[:2] for name, values in SALES.items()}, "polars"))
    assert more.duplicates == "set_aside"
    assert rows(more, "amount") == [(1.0,), (10.0,)]


def test_rebind_refuses_a_frame_that_lost_a_column_of_canonical_name():
    sales = pd.DataFrame(SALES).assign(amount=1.0)
    tx = crm.Transactions(sales, **ROLES)
    with pytest.raises(MissingColumnsError, match=r"rebind: the frame lacks the columns of \{'amount': 'amount'\}"):
        tx.rebind(sales.drop(columns="amount"))


def test_results_take_back_the_callers_names(frame):
    tx = crm.Transactions(frame(SALES), **ROLES)
    table = tx.with_source_names(crm.rfm.rfm_table(tx, as_of="2024-03-01"))
    assert records(table)[0][0] == "a"
    assert to_pandas(table).columns[0] == "Client"


# -- duplicates and returns ----------------------------------------------------------------------------------------


def test_exact_duplicates_are_looked_for_only_if_asked(frame):
    sales = {name: [*values, values[2], values[2]] for name, values in SALES.items()}
    sales["Note"] = ["", "", "x", "", "", "x", "other"]  # equal in the roles alone is not an exact duplicate
    assert len(rows(crm.Transactions(frame(sales), **ROLES), "amount")) == 7
    tx = quietly(crm.Transactions, frame(sales), **ROLES, duplicates="set_aside")
    assert ("exact duplicate", "set aside", 1, 6.0) in records(tx.audit)
    assert len(rows(tx, "amount")) == 6


RETURNS = {
    "customer_id": ["a", "a", "a", "a", "a", "a", "b", "b", "b", "b"],
    "order_id": ["p", "q", "r", "s", "t", "u", "v", "w", "x", "y"],
    "timestamp": [DAY[i] for i in (0, 1, 2, 3, 4, 5, 1, 2, 3, 4)],
    "product_id": ["x", "x", "x", "x", "x", "y", "x", "x", None, "x"],
    "quantity": [2.0, 2.0, -2.0, 2.0, -1.0, -2.0, -1.0, 1.0, -1.0, -1.0],
    "unit_price": [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 3.0],
}


def test_a_return_goes_with_the_latest_original_before_it(frame):
    """r undoes q, y undoes w. t is a part, u another product, v comes before its original, x has no product."""
    tx = quietly(crm.Transactions, frame(RETURNS), returns="match")
    assert [order for (order,) in rows(tx, "order_id")] == ["p", "s", "t", "u", "v", "x"]
    assert [row for row in records(tx.audit) if row[0].startswith("cancelled")] == [
        ("cancelled with its original", "set aside", 4, 0.0)
    ]


def test_without_a_price_the_amount_must_match(frame):
    sales = {**RETURNS, "amount": [10.0, 10.0, -7.0, 10.0, -5.0, -1.0, -1.0, 4.0, -4.0, -4.0]}
    del sales["unit_price"]
    tx = quietly(crm.Transactions, frame(sales), returns="match")
    assert [order for (order,) in rows(tx, "order_id")] == ["p", "q", "r", "s", "t", "u", "v", "x"]


def test_a_return_after_the_cutoff_does_not_reach_back(frame):
    tx = quietly(crm.Transactions, frame(RETURNS), returns="match").before(DAY[2])
    assert [order for (order,) in rows(tx, "order_id")] == ["p", "q", "v"]


def test_returns_can_be_set_aside_altogether(frame):
    tx = quietly(crm.Transactions, frame(RETURNS), returns="set_aside")
    assert [order for (order,) in rows(tx, "order_id")] == ["p", "q", "s", "w"]
    assert ("return", "set aside", 6, -2.0 - 1 - 2 - 3 - 3 - 3) in records(tx.audit)


lines = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(-2, 2), st.integers(0, 6)), min_size=1, max_size=25
)


def matched_by_hand(table):
    """The rule in plain Python: walk through time, a return takes the latest open original of its key."""
    open_lines, gone = {}, set()
    order = sorted(range(len(table)), key=lambda i: (table[i][3], table[i][2] < 0))
    for i in order:
        customer, product, quantity, _ = table[i]
        stack = open_lines.setdefault((customer, product, abs(quantity)), [])
        if quantity > 0:
            stack.append(i)
        elif quantity < 0 and stack:
            gone |= {i, stack.pop()}
    return gone


@pytest.mark.parametrize("name", ["pandas", "polars", "duckdb"])
@given(table=lines)
def test_matching_returns_equals_the_plain_walk_through_time(name, table):
    sales = {
        "customer_id": [line[0] for line in table],
        "product_id": [line[1] for line in table],
        "quantity": [float(line[2]) for line in table],
        "timestamp": [DAY[line[3]] for line in table],
        "order_id": list(range(len(table))),
        "unit_price": [2.0] * len(table),
    }
    tx = quietly(crm.Transactions, make_frame(sales, name), returns="match")
    kept = [(table[i][0], table[i][1], table[i][2], DAY[table[i][3]]) for i in range(len(table))]
    expected = sorted(kept[i] for i in range(len(table)) if i not in matched_by_hand(table))
    assert rows(tx, "customer_id", "product_id", "quantity", "timestamp") == expected


dirty_lines = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", None]),
        st.sampled_from([DAY[0], DAY[1], None]),
        st.sampled_from([1.0, -1.0, INF, NAN, 2.5]),
        st.sampled_from([0.0, -3.0, 2.0]),
    ),
    min_size=1,
    max_size=12,
).filter(lambda table: any(line[0] for line in table) and any(line[1] for line in table))


@given(table=dirty_lines, asked=st.sampled_from(["keep", "set_aside"]), period=st.booleans())
def test_received_is_kept_plus_set_aside_whatever_the_dirt(table, asked, period):
    usable = [c and m and np.isfinite(u) and p > 0 and (u > 0 or asked == "keep") for c, m, u, p in table]
    assume(any(usable))  # else it is refused
    customers, moments, units, prices = map(list, zip(*table, strict=True))
    sales = {"customer_id": customers, "timestamp": moments, "quantity": units, "unit_price": prices}
    sales["order_id"] = [1] * len(table)
    frames = [make_frame(sales, name) for name in ("pandas", "polars", "duckdb")]
    contracts = [quietly(crm.Transactions, frame, returns=asked, duplicates=asked) for frame in frames]
    audits = [records((tx.before(DAY[1]) if period else tx).audit) for tx in contracts]
    received, *parts = audits[0]
    assert received[2] == len(table) == sum(part[2] for part in parts)
    assert received[3] == pytest.approx(sum(part[3] for part in parts))
    assert audits[1] == audits[2] == audits[0]


# -- refusals: the frame -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (SALES, r"Transactions: expected a pandas.*got dict. Wrap it first: pandas.DataFrame\(data\)."),
        ([SALES], r"got list. Wrap it first: pandas.DataFrame\(data\)."),
        ("sales.csv", r"got str. Read the file first, for example pandas.read_csv\(path\)."),
        (pd.Series([1, 2]), r"got pandas.Series. Make it a table first: .to_frame\(\)."),
        (np.zeros((2, 2)), r"got numpy.ndarray. Convert it first"),
        (None, "got NoneType"),
    ],
)
def test_what_is_not_a_dataframe_is_refused(data, message):
    with pytest.raises(SchemaError, match=message):
        crm.Transactions(data)


def test_an_empty_frame_is_refused(frame):
    with pytest.raises(SchemaError, match=r"Transactions: the frame has no lines. Check the filter"):
        crm.Transactions(frame({name: pd.Series(values).head(0) for name, values in SALES.items()}), **ROLES).validate()


def test_repeated_column_names_are_refused():
    sales = pd.DataFrame(SALES)
    with pytest.raises(SchemaError, match=r"the columns \['Client'\] appear more than once"):
        crm.Transactions(pd.concat([sales, sales[["Client"]]], axis=1), **ROLES)


# -- refusals: the roles -------------------------------------------------------------------------------------------


def test_a_misspelt_column_is_refused_with_the_likely_one(frame):
    message = r"Transactions\(customer_id='Clint'\): no such column. Did you mean 'Client'\? Columns: \['Client'"
    with pytest.raises(MissingColumnsError, match=message):
        crm.Transactions(frame(SALES), **{**ROLES, "customer_id": "Clint"})


def test_a_misspelt_role_is_refused_with_the_likely_one():
    with pytest.raises(SchemaError, match=r"Transactions has no role 'custmer_id'. Did you mean 'customer_id'\?"):
        crm.Transactions(pd.DataFrame(SALES), custmer_id="Client")


def test_one_column_cannot_play_two_roles():
    message = r"column 'Client' was given two roles, \['customer_id', 'order_id'\]"
    with pytest.raises(SchemaError, match=message):
        crm.Transactions(pd.DataFrame(SALES), **{**ROLES, "order_id": "Client"})


def test_a_column_named_as_a_role_cannot_play_another_one_too():
    message = r"'customer_id' was given two roles, \['customer_id', 'order_id'\]. If your data have no customer_id, say"
    with pytest.raises(SchemaError, match=message):
        crm.Transactions(pd.DataFrame({"customer_id": [1], "amount": [1.0]}), order_id="customer_id")


def test_names_given_back_must_be_free():
    sales = pd.DataFrame(SALES).rename(columns={"Client": "order_count"})
    tx = crm.Transactions(sales, **{**ROLES, "customer_id": "order_count"})
    with pytest.raises(SchemaError, match=r"the table has columns of its own called \['order_count'\]"):
        tx.with_source_names(crm.rfm.rfm_table(tx, as_of="2024-03-01"))


def test_a_role_that_is_not_a_name_is_refused():
    with pytest.raises(SchemaError, match=r"Transactions\(customer_id=3\): expected the name of a column"):
        crm.Transactions(pd.DataFrame(SALES), customer_id=3)


def test_a_frame_without_any_known_name_is_told_how_to_name_columns():
    with pytest.raises(MissingColumnsError, match=r"no column has a role.*customer_id='<your column>'.*'Client'"):
        crm.Transactions(pd.DataFrame(SALES))


def test_a_role_that_is_needed_later_says_who_needs_it():
    tx = crm.Transactions(pd.DataFrame(SALES), customer_id="Client", timestamp="Day")
    message = r"rfm_table needs \['order_id', 'amount'\].*Transactions\(data, order_id='<your column>', amount="
    with pytest.raises(MissingColumnsError, match=message):
        crm.rfm.rfm_table(tx, as_of="2024-03-01")


@pytest.mark.parametrize(
    ("role", "column", "message"),
    [
        ("amount", ["1,50"] * 5, r"amount='Bad'\): the column holds String, expected numbers. Convert it first"),
        ("timestamp", [1.0] * 5, r"timestamp='Bad'\): the column holds Float64, expected dates or datetimes"),
        ("customer_id", [True] * 5, r"customer_id='Bad'\): the column holds Boolean, expected whole numbers or text"),
        ("customer_id", DAY[:5], r"customer_id='Bad'\): the column holds Datetime.*expected whole numbers or text"),
        ("quantity", [True] * 5, r"quantity='Bad'\): the column holds Boolean, expected numbers"),
    ],
)
def test_a_column_of_the_wrong_kind_is_refused(frame, role, column, message):
    with pytest.raises(SchemaError, match=message):
        crm.Transactions(frame({**SALES, "Bad": column}), **{**ROLES, role: "Bad"})


@pytest.mark.parametrize(
    ("role", "values", "message"),
    [
        ("amount", [1, "1.5", None, 2, 3], r"column 'Bad' holds text such as '1.5', expected numbers"),
        ("customer_id", [1, b"x", None, 2, 3], r"column 'Bad' holds Python objects of mixed kind"),
        ("amount", [1, {}, None, 2, 3], r"column 'Bad' holds Python objects, expected numbers"),
    ],
)
def test_columns_of_mixed_python_objects_are_refused(role, values, message):
    sales = pd.DataFrame(SALES).assign(Bad=pd.Series(values, dtype=object))
    with pytest.raises(SchemaError, match=message):
        crm.Transactions(sales, **{**ROLES, role: "Bad"})


@pytest.mark.parametrize(
    "values", [[True, None, False], [1.0, None, 0.0], [1, None, 0], pd.Series([True, None, False], dtype="boolean")]
)
def test_flags_with_gaps_are_read_as_pandas_exports_them(values):
    customers = crm.Customers(pd.DataFrame({"customer_id": [1, 2, 3], "consent": values}))
    read = customers.need("consent", caller="test").collect()["consent"].to_list()
    assert [None if pd.isna(value) else bool(value) for value in read] == [True, None, False]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([True, "no", None], r"column 'consent' holds 'no', expected true or false. Say which value is true"),
        ([0.7, None, 0.2], r"column 'consent' holds 0.7, expected true or false"),
        (
            ["yes", "no", None],
            r"holds String, expected true or false. Say which value is true, such as column == \"yes\"",
        ),
    ],
)
def test_columns_that_are_no_flags_are_refused(values, message):
    with pytest.raises(SchemaError, match=message):
        crm.Customers(pd.DataFrame({"customer_id": [1, 2, 3], "consent": values}))


# -- refusals: the data --------------------------------------------------------------------------------------------


def test_ids_that_are_all_missing_are_refused(frame):
    sales = {**SALES, "Client": [None] * 5}  # a column without a type on Polars and Arrow
    message = r"Transactions: every line has 'no customer': check customer_id='Client'"
    with pytest.raises(SchemaError, match=message):
        crm.Transactions(frame(sales), **ROLES).validate()


def test_mixed_currencies_are_refused(frame):
    sales = {**SALES, "Currency": ["EUR", "EUR", "USD", None, "EUR"]}
    message = r"currency='Currency'\): amounts must be in one currency, got \['EUR', 'USD'\]"
    with pytest.raises(SchemaError, match=message):
        crm.Transactions(frame(sales), **ROLES, currency="Currency").validate()


def test_a_format_that_reads_no_line_is_refused():
    sales = {**SALES, "Day": ["31/01/2024"] * 5}
    with pytest.raises(SchemaError, match=r"check timestamp='Day'. No text fits timestamp_format='%Y-%m-%d'"):
        crm.Transactions(pd.DataFrame(sales), **ROLES, timestamp_format="%Y-%m-%d")


def test_unknown_options_are_refused():
    with pytest.raises(
        SchemaError, match=r"returns must be one of \['keep', 'match', 'set_aside'\], got 'mach'.*'match'"
    ):
        crm.Transactions(pd.DataFrame(SALES), **ROLES, returns="mach")
    with pytest.raises(MissingColumnsError, match=r"Transactions\(returns='match'\) needs \['product_id'\]"):
        crm.Transactions(pd.DataFrame(SALES), **ROLES, returns="match")


def test_a_contract_of_another_kind_is_refused():
    products = crm.Products(pd.DataFrame({"product_id": [1]}))
    with pytest.raises(SchemaError, match="expected Transactions or a dataframe, got Products"):
        crm.rfm.rfm_table(products, as_of="2024-01-01")


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("Price", [0.0] * 5, r"every line has 'zero price': check unit_price='Price'"),
        ("Price", [NAN, 0.0, 0.0, 0.0, 0.0], r"5 of 5 lines set aside \(not finite 1, zero price 4\).*No line is left"),
    ],
)
def test_data_without_a_usable_line_are_refused(column, values, message):
    with pytest.raises(SchemaError, match=message):
        crm.Transactions(pd.DataFrame({**SALES, column: values}), **ROLES)


# -- the other contracts -------------------------------------------------------------------------------------------


def test_repeated_keys_are_refused(frame):
    message = r"Products\(product_id='sku'\): expected one row each, but \[1\] appear more than once"
    with pytest.raises(SchemaError, match=message):
        crm.Products(frame({"sku": [1, 1, 2]}), product_id="sku").validate()


def test_customers_keep_their_attributes_and_may_repeat_when_dated(frame):
    people = {"id": [1, 1, 2], "city": ["Bern", "Basel", "Bern"], "valid_from": [DAY[0], DAY[5], DAY[0]]}
    who = crm.Customers(frame(people), customer_id="id").validate()
    assert rows(who, "customer_id", "city") == [(1, "Basel"), (1, "Bern"), (2, "Bern")]


def test_what_ends_before_it_starts_is_set_aside(frame):
    plans = {"customer_id": [1, 2], "started_at": [DAY[5], DAY[5]], "ended_at": [DAY[9], DAY[4]], "price": [1.0, 2.0]}
    contracts = quietly(crm.Subscriptions, frame(plans))
    assert rows(contracts, "customer_id") == [(1,)]
    assert ("ended_at before started_at", "set aside", 1, 2.0) in records(contracts.audit)


def test_flags_are_booleans_or_ones_and_zeros(frame):
    sent = {
        "customer_id": [1, 2],
        "campaign_id": ["x", "x"],
        "timestamp": [DAY[0], DAY[0]],
        "responded": [1, 0],
        "consent": [True, False],
    }
    assert rows(crm.Contacts(frame(sent)), "responded", "consent") == [(False, False), (True, True)]


@pytest.mark.parametrize(
    ("contract", "roles"),
    [
        (crm.Events, {"customer_id": [1], "timestamp": [DAY[0]], "event": ["view"], "page": ["home"]}),
        (crm.Tickets, {"ticket_id": [1], "customer_id": [1], "opened_at": [DAY[0]], "satisfaction": [4]}),
        (crm.Leads, {"lead_id": [1], "created_at": [DAY[0]], "source": ["fair"], "converted": [False], "age": [40]}),
    ],
)
def test_every_other_contract_reads_its_roles(frame, contract, roles):
    bound = contract(frame(roles))
    assert rows(bound, *roles) == [tuple(values[0] for values in roles.values())]
    assert [row[2] for row in records(bound.audit)][:2] == [1, 1]


def test_tickets_with_a_moment_before_their_opening_are_set_aside(frame):
    """A first reply, a closing, a reopening before the ticket; a reopening before the closing is none of these."""
    sent = {
        "ticket_id": [1, 2, 3, 4],
        "opened_at": [DAY[2]] * 4,
        "first_reply_at": [DAY[1], DAY[2], None, None],
        "closed_at": [DAY[4], DAY[1], DAY[4], DAY[4]],
        "reopened_at": [None, None, DAY[0], DAY[3]],
    }
    with warnings.catch_warnings(action="ignore"):
        tickets = crm.Tickets(frame(sent))
    assert rows(tickets, "ticket_id") == [(4,)]
    aside = {row[0]: row[2] for row in records(tickets.audit) if row[0].endswith("before opened_at")}
    assert aside == {f"{name} before opened_at": 1 for name in ("first_reply_at", "closed_at", "reopened_at")}


@pytest.mark.parametrize("nothing", [None, np.nan, pd.NaT])
def test_a_column_of_moments_without_a_single_one_is_read(nothing):
    """No ticket is closed yet: pandas has objects or floats there."""
    tickets = pd.DataFrame({"ticket_id": [1, 2], "opened_at": DAY[:2], "closed_at": nothing})
    assert rows(crm.Tickets(tickets), "closed_at") == [(None,), (None,)]
    with pytest.raises(SchemaError, match=r"closed_at='closed_at'\): the column holds Float64, expected dates"):
        crm.Tickets(tickets.assign(closed_at=[1.0, np.nan]))


def test_every_contract_documents_every_role():
    for name in ("Transactions", "Products", "Customers", "Subscriptions", "Events", "Contacts", "Tickets", "Leads"):
        contract = getattr(crm, name)
        documented = set(re.findall(r"\w+", contract.__doc__))
        assert set(contract._kinds()) <= documented  # noqa: SLF001


# -- real dirt -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["pandas", "polars", "duckdb"])
def test_online_retail_adds_up_to_every_line_and_penny(shared_data, engine):
    path = shared_data / "online_retail.parquet"
    if engine == "duckdb":
        frame = pytest.importorskip("duckdb").read_parquet(str(path))
    else:
        frame = pytest.importorskip(engine).read_parquet(path)
    retail = {
        "customer_id": "CustomerID",
        "order_id": "InvoiceNo",
        "timestamp": "InvoiceDate",
        "product_id": "StockCode",
        "quantity": "Quantity",
        "unit_price": "UnitPrice",
    }
    tx = quietly(crm.Transactions, frame, **retail, duplicates="set_aside", returns="match")
    received, *parts = [row for row in records(tx.audit) if row[1] != "converted"]
    assert (received[2], round(received[3], 3)) == (541_909, 9_747_747.934)
    assert sum(part[2] for part in parts) == 541_909
    assert sum(part[3] for part in parts) == pytest.approx(9_747_747.934, abs=1e-3)
    aside = {part[0]: part[2] for part in parts}
    assert aside["no customer"] == 135_080
    assert aside["cancelled with its original"] == 5_540


def test_ids_of_nothing_but_blanks_are_none(frame):
    ids = ["a", " ", "\t", "", " b "]
    tx = quietly(crm.Transactions, frame({**SALES, "Client": ids}), **ROLES)
    assert ("no customer", "set aside", 3) in [row[:3] for row in records(tx.audit)]
    assert {who for (who,) in rows(tx, "customer_id")} == {"a", " b "}


def test_tables_that_share_no_id_are_told_with_an_example_of_each():
    ids = [str(number) for number in range(10, 20)]
    sales = {"customer_id": ids, "order_id": ids, "timestamp": DAY[0], "amount": 1.0}
    tx = crm.Transactions(pd.DataFrame(sales))
    padded = [f"00{name}" for name in ids]
    message = "score: no customer_id of Customers is in Transactions: '0010' is one, '10' one of Transactions"
    with pytest.warns(DataQualityWarning, match=message):
        check_same_ids([tx, crm.Customers(pd.DataFrame({"customer_id": padded}))], role="customer_id", caller="score")
    for found in ([*padded, "19"], padded[:9]):  # one is enough, and of a few nothing follows: no warning
        check_same_ids([tx, crm.Customers(pd.DataFrame({"customer_id": found}))], role="customer_id", caller="score")
