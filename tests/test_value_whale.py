"""What the whale curve and deciles promise: sums by hand, one peak, totals that stay, whatever the order of rows."""

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics._frames import to_pandas
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records
from crmlytics.value.whale import value_decile_table, whale_curve_table, whale_summary_table

LEFT = {"customer_id": ["d", "a", "c", "b", "e"], "contribution_amount": [20.0, 60.0, 0.0, -30.0, 20.0]}
QUICK = ["pandas", "pandas-nullable", "pandas-pyarrow", "pyarrow", "polars", "polars-lazy", "duckdb"]


def schema(table):
    return {name: str(dtype) for name, dtype in nw.from_native(table).collect_schema().items()}


@pytest.mark.parametrize("kind", QUICK)
def test_curve_by_hand(kind):
    left = make_frame(LEFT, kind)
    table = whale_curve_table(left)
    assert type(table) is type(left)
    assert records(table) == [
        (1, "a", 60.0, 60.0, 0.2, 60 / 70, False),
        (2, "d", 20.0, 80.0, 0.4, 80 / 70, False),  # tied with e: by id
        (3, "e", 20.0, 100.0, 0.6, 100 / 70, True),
        (4, "c", 0.0, 100.0, 0.8, 100 / 70, False),
        (5, "b", -30.0, 70.0, 1.0, 1.0, False),
    ]
    assert schema(table) == {
        "rank": "Int64", "customer_id": "String", "contribution_amount": "Float64",
        "cumulative_contribution_amount": "Float64", "cumulative_customer_share": "Float64",
        "cumulative_contribution_share": "Float64", "is_peak": "Boolean",
    }  # fmt: skip


@pytest.mark.parametrize("kind", QUICK)
def test_summary_by_hand(kind):
    assert records(whale_summary_table(make_frame(LEFT, kind))) == [
        ("earning", 3, 0.6, 100.0, 1.0),
        ("even", 1, 0.2, 0.0, 0.0),
        ("losing", 1, 0.2, -30.0, -0.3),
    ]


@pytest.mark.parametrize("kind", ["pandas", "polars", "duckdb"])
def test_a_whole_below_zero_has_no_shares(kind):
    left = make_frame({"customer_id": [1, 2], "contribution_amount": [-5.0, -1.0]}, kind)
    assert records(whale_curve_table(left)) == [
        (1, 2, -1.0, -1.0, 0.5, None, True),
        (2, 1, -5.0, -6.0, 1.0, None, False),
    ]
    assert [row[-1] for row in records(whale_summary_table(left))] == [None] * 3


@settings(max_examples=25)
@given(cents=st.lists(st.integers(-10_000, 10_000), min_size=1, max_size=40), seed=st.integers(0, 9))
def test_sides_and_tenths_add_up_whatever_the_order_of_rows(cents, seed):
    left = pd.DataFrame({"customer_id": range(len(cents)), "contribution_amount": np.array(cents) / 100})
    mixed = left.sample(frac=1, random_state=seed)
    curve, sides = whale_curve_table(mixed), whale_summary_table(mixed)
    pd.testing.assert_frame_equal(curve, whale_curve_table(left))
    peak = curve.loc[curve["is_peak"], "cumulative_contribution_amount"]
    earning = sum(cent for cent in cents if cent > 0)
    assert curve["cumulative_contribution_amount"].max() == pytest.approx(peak.iloc[0])
    assert sides["contribution_amount"].tolist() == pytest.approx([earning / 100, 0, (sum(cents) - earning) / 100])
    assert curve["cumulative_contribution_amount"].iloc[-1] == pytest.approx(sum(cents) / 100)
    if len(cents) >= 10:
        tenths = value_decile_table(mixed)
        assert tenths["total_amount"].sum() == pytest.approx(sum(cents) / 100)
        assert tenths["customer_count"].sum() == len(cents)
        assert np.ptp(tenths["customer_count"]) <= 1
        assert (tenths["most_amount"].to_numpy()[1:] <= tenths["least_amount"].to_numpy()[:-1]).all()


@pytest.mark.parametrize("kind", QUICK)
def test_tenths_by_hand(kind):
    values = make_frame({"customer_id": range(11), "total_amount": [float(n) for n in range(11)]}, kind)
    table = records(value_decile_table(values, amount="total_amount"))
    assert table[0] == (1, 1, 10.0, 10.0, 10.0, 10.0, 10 / 55, 10 / 55)
    assert table[-1] == (10, 2, 1.0, 0.5, 1.0, 0.0, 1 / 55, 1.0)
    assert len(table) == 10


@pytest.mark.parametrize("kind", QUICK)
def test_tenths_tell_orders_and_margins_where_these_are_known(kind):
    values = {
        "customer_id": range(20), "total_amount": [100.0 - n for n in range(20)], "order_count": [2] * 20,
        "margin_amount": [10.0] * 18 + [None, 10.0], "contribution_amount": [0.0] * 2 + [-5.0] * 18,
    }  # fmt: skip
    table = to_pandas(value_decile_table(make_frame(values, kind), amount="total_amount"))
    assert list(table.columns[8:]) == ["order_count", "average_order_amount", "margin_share", "contribution_share"]
    assert table["order_count"].tolist() == [4] * 10
    assert table["average_order_amount"].iloc[0] == (100 + 99) / 4
    assert table["margin_share"].iloc[0] == 20 / (100 + 99)
    assert table["margin_share"].isna().tolist() == [False] * 9 + [True]
    assert table["contribution_share"].iloc[:2].tolist() == [0.0, -10 / (98 + 97)]


CRUMB = 0.1 + 0.2 - 0.3  # not 0 by its last bit


@pytest.mark.parametrize("crumb", [CRUMB, -CRUMB, 0.0])
def test_a_last_bit_is_neither_gain_nor_loss(crumb):
    left = pd.DataFrame({"customer_id": ["a", "b", "c"], "contribution_amount": [5.0, crumb, -2.0]})
    assert whale_curve_table(left)["is_peak"].tolist() == [True, False, False]
    assert whale_summary_table(left)["customer_count"].tolist() == [1, 1, 1]


def test_shares_of_a_last_bit_are_missing():
    left = pd.DataFrame({"customer_id": ["a", "b", "c"], "contribution_amount": [0.1, 0.2, -0.3]})
    assert whale_curve_table(left)["cumulative_contribution_share"].isna().all()


def test_the_unknown_are_left_out_and_told_of():
    left = pd.DataFrame({"customer_id": [1, 2, 3], "contribution_amount": [1.0, None, 2.0]})
    with pytest.warns(DataQualityWarning, match="'contribution_amount' is missing for 1 of 3 customers, left out"):
        assert whale_curve_table(left)["customer_id"].tolist() == [3, 1]
    with pytest.raises(SchemaError, match="'contribution_amount' is missing for all 1 customers"):
        whale_curve_table(left[1:2])


@pytest.mark.parametrize(
    ("values", "error", "said"),
    [
        ({"customer_id": range(9), "contribution_amount": [1.0] * 9}, SchemaError, "at least 10 customers, got 9"),
        (
            {"customer_id": [1, 1], "contribution_amount": [1.0, 2.0]},
            SchemaError,
            "customer_id 1 has more than one row",
        ),
        ({"customer_id": [1], "contribution_amount": ["x"]}, SchemaError, "'contribution_amount' must hold numbers"),
        ({"customer_id": [1], "contribution_amount": [np.inf]}, SchemaError, "'contribution_amount' is infinite in 1"),
        (
            {"customer_id": [1], "contribution": [1.0]},
            MissingColumnsError,
            "needs .'contribution_amount'.. Did you mean",
        ),
        ({"customer_id": [], "contribution_amount": []}, SchemaError, "values has no rows"),
    ],
)
def test_refusals_say_what_to_type(values, error, said):
    values = pd.DataFrame(values).astype({"customer_id": "int64"})
    with pytest.raises(error, match=said):
        value_decile_table(values)
