"""What the door to dataframes promises: elapsed days that are right on every engine, and the way back."""

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crmlytics._frames import compute, day_number, days_between, enter, to_pandas
from crmlytics.exceptions import SchemaError
from crmlytics.testing import make_frame, records

MOMENTS = [
    dt.datetime(1900, 3, 1),
    dt.datetime(1969, 12, 31, 23, 59, 59),
    dt.datetime(1970, 1, 1),
    dt.datetime(1999, 12, 31, 12),
    dt.datetime(2000, 2, 29),
    dt.datetime(2023, 12, 31, 23, 59, 59, 999_999),
    dt.datetime(2024, 2, 29, 1),
    dt.datetime(2100, 3, 1),
]
EPOCH = dt.date(1970, 1, 1).toordinal()


def test_day_numbers_are_those_of_the_calendar_on_every_frame(frame):
    plan, engine = enter(frame({"moment": MOMENTS}), caller="test")
    table = engine.to_native(plan.select(day=day_number(nw.col("moment"))))
    assert sorted(records(table)) == [(moment.toordinal() - EPOCH,) for moment in MOMENTS]


@given(
    moments=st.lists(st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)), min_size=1), later=st.datetimes()
)
def test_days_between_are_the_midnights_in_between(moments, later):
    plan, engine = enter(make_frame({"moment": moments}, "polars"), caller="test")
    table = engine.to_native(plan.select(days=days_between(nw.col("moment"), later)))
    assert records(table) == [((later.date() - moment.date()).days,) for moment in moments]


def test_what_comes_in_goes_back_as_its_own_kind(frame):
    native = frame({"key": ["b", "a"], "number": [1.5, 2.5]})
    plan, engine = enter(native, caller="test")
    assert type(engine.to_native(plan.sort("key"))) is type(native)
    assert records(engine.to_native(plan.sort("key"))) == [("a", 2.5), ("b", 1.5)]


def test_computed_tables_join_the_kind_that_came_in(frame):
    native = frame({"key": ["b", "a"], "number": [1.5, 2.5]})
    _, engine = enter(native, caller="test")
    schema = nw.Schema({"key": nw.String(), "score": nw.Float64(), "count": nw.Int64()})
    made = engine.from_columns({"key": ["a", "b"], "score": [0.5, None], "count": [1, 2]}, schema)
    assert type(made) is type(native)
    assert records(made) == [("a", 0.5, 1), ("b", None, 2)]
    gaps = engine.from_columns({"count": np.array([1.0, np.nan])}, nw.Schema({"count": nw.Int64()}))
    assert records(gaps) == [(1,), (None,)]
    assert nw.from_native(gaps).collect_schema()["count"] == nw.Int64()
    left, right = enter(native, caller="test")[0], enter(made, caller="test")[0]
    joined = left.join(right, on="key", how="left").sort("key")
    assert records(engine.to_native(joined)) == [("a", 2.5, 0.5, 1), ("b", 1.5, None, 2)]


def test_compute_and_to_pandas_hold_the_same_rows(frame):
    native = frame({"key": ["b", "a"], "number": [1.5, None]})
    assert compute(native, caller="test")["key"].to_list() == ["b", "a"] == to_pandas(native)["key"].tolist()
    assert to_pandas(native)["number"].isna().tolist() == [False, True]


def test_other_things_are_refused():
    with pytest.raises(
        SchemaError, match="test: expected a pandas, Polars, PyArrow, DuckDB or PySpark dataframe, got int"
    ):
        enter(3, caller="test")
