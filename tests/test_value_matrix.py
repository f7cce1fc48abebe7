"""What the value matrix promises: each group's rule tried from both sides, nobody twice, sums that stay."""

import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records
from crmlytics.value.matrix import ACTIONS, GROUPS, value_group_table, value_matrix_table

VALUES = {
    "customer_id": ["f", "a", "b", "c", "d", "e"],
    "year": [0.0, 90.0, 20.0, 10.0, -5.0, -8.0],
    "wallet": [-1.0, 95.0, 80.0, 12.0, 0.0, -2.0],
}
QUICK = ["pandas", "pandas-nullable", "pyarrow", "polars", "polars-lazy", "duckdb"]


@pytest.mark.parametrize("kind", QUICK)
def test_groups_by_hand(kind):
    values = make_frame(VALUES, kind)
    table = value_matrix_table(values, current="year", potential="wallet")
    assert type(table) is type(values)
    assert [row[:7] for row in records(table)] == [
        ("a", 90.0, 95.0, 5.0, 1, 3, "most valuable"),
        ("b", 20.0, 80.0, 60.0, 2, 1, "most valuable"),  # a fifth of six customers are two
        ("c", 10.0, 12.0, 2.0, 3, 5, "low maintenance"),
        ("d", -5.0, 0.0, 5.0, 5, 4, "low maintenance"),  # tied with a: by id; not below zero for good
        ("e", -8.0, -2.0, 6.0, 6, 2, "below zero"),
        ("f", 0.0, -1.0, -1.0, 4, 6, "low maintenance"),  # costs nothing today
    ]
    assert [row[7] for row in records(table)] == [ACTIONS[row[6]] for row in records(table)]
    kinds = [str(dtype) for dtype in nw.from_native(table).collect_schema().values()]
    assert kinds == ["String", "Float64", "Float64", "Float64", "Int64", "Int64", "String", "String"]


def test_growable_are_the_first_by_growth_who_are_not_valuable_yet():
    table = value_matrix_table(
        pd.DataFrame(VALUES), current="year", potential="wallet", tiers={"most valuable": 0.1, "most growable": 0.6}
    )
    assert table.loc[table["value_group"] == "most growable", "customer_id"].tolist() == ["b", "d"]


@pytest.mark.parametrize("kind", QUICK)
def test_groups_add_up_and_are_there_when_empty(kind):
    matrix = value_matrix_table(make_frame(VALUES, kind), current="year", potential="wallet")
    assert [row[:7] for row in records(value_group_table(matrix))] == [
        ("most valuable", 2, 2 / 6, 110.0, 175.0, 65.0, 110 / 107),
        ("most growable", 0, 0.0, 0.0, 0.0, 0.0, 0.0),
        ("low maintenance", 3, 0.5, 5.0, 11.0, 6.0, 5 / 107),
        ("below zero", 1, 1 / 6, -8.0, -2.0, 6.0, -8 / 107),
    ]


def test_a_last_bit_is_neither_worth_nor_growth():
    crumb = 0.1 + 0.2 - 0.3
    values = pd.DataFrame({"customer_id": ["a", "b"], "year": [crumb, -crumb], "wallet": [0.0, -crumb]})
    matrix = value_matrix_table(values, current="year", potential="wallet")
    assert matrix["value_group"].tolist() == ["low maintenance"] * 2


AMOUNT = st.integers(-100, 100)


@settings(max_examples=25)
@given(pairs=st.lists(st.tuples(AMOUNT, AMOUNT), min_size=1, max_size=30), share=st.floats(0.01, 0.99))
def test_rules_hold_for_everybody(pairs, share):
    values = pd.DataFrame(
        [(n, *map(float, pair)) for n, pair in enumerate(pairs)], columns=["customer_id", "now", "may"]
    )
    tiers = {"most valuable": share, "most growable": share}
    table = value_matrix_table(values.sample(frac=1, random_state=1), current="now", potential="may", tiers=tiers)
    pd.testing.assert_frame_equal(table, value_matrix_table(values, current="now", potential="may", tiers=tiers))
    below = (table["current_amount"] < 0) & (table["potential_amount"] < 0)
    assert (below == (table["value_group"] == "below zero")).all()
    assert (table.loc[table["value_group"] == "most valuable", "current_amount"] > 0).all()
    assert (table.loc[table["value_group"] == "most growable", "growth_amount"] > 0).all()
    groups = value_group_table(table)
    assert groups["value_group"].tolist() == list(GROUPS)
    assert groups["customer_count"].sum() == len(pairs)
    assert groups["growth_amount"].sum() == sum(may - now for now, may in pairs)


def test_a_missing_potential_is_left_out_and_told_of():
    values = pd.DataFrame(VALUES | {"wallet": [None, *VALUES["wallet"][1:]]})
    with pytest.warns(DataQualityWarning, match="'year' or 'wallet' is missing for 1 of 6 customers"):
        assert len(value_matrix_table(values, current="year", potential="wallet")) == 5


@pytest.mark.parametrize(
    ("more", "error", "said"),
    [
        ({"potential": "walet"}, MissingColumnsError, "needs .'walet'.. Did you mean 'wallet'"),
        ({"potential": "wallet", "tiers": 0.2}, SchemaError, r"tiers must be a mapping such as tiers=\{"),
        (
            {"potential": "wallet", "tiers": {"most valuable": 20}},
            SchemaError,
            r"tiers\['most valuable'\] must be a fra",
        ),
        (
            {"potential": "wallet", "tiers": {"growable": 0.2}},
            SchemaError,
            "has 'growable'. Did you mean 'most growable'",
        ),
    ],
)
def test_refusals_say_what_to_type(more, error, said):
    with pytest.raises(error, match=said):
        value_matrix_table(pd.DataFrame(VALUES), current="year", **more)


def test_other_tables_are_no_matrix():
    with pytest.raises(MissingColumnsError, match="reads the result of value_matrix_table"):
        value_group_table(pd.DataFrame(VALUES))
    matrix = value_matrix_table(pd.DataFrame(VALUES), current="year", potential="wallet")
    with pytest.raises(SchemaError, match=r"value_group holds .'best'., expected"):
        value_group_table(matrix.assign(value_group="best"))
