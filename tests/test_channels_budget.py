"""What budget_table promises: the best split there is under what it assumes, and the assumption in every row."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from crmlytics.channels._attribution_plots import plot_budget
from crmlytics.channels.attribution import attribution_table
from crmlytics.channels.budget import best_split, budget_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import records

WIDE = {"least_change": 0.0, "most_change": 1000.0}


def credit(channels, conversions, costs, **more):
    columns = {"channel": channels, "credit_conversion_count": conversions, "cost_amount": costs}
    return {"model": ["markov"] * len(channels)} | columns | more


TWO = credit(["email", "social"], [40.0, 10.0], [100.0, 100.0])


def test_by_hand_and_of_the_kind_that_came_in(frame):
    """At one half, costs go with the square of conversions: 16 to 1 of 200; (188.2 / 100)^.5 x 40 and so on."""
    table = frame(TWO)
    found = budget_table(table, elasticity=0.5, **WIDE)
    assert type(found) is type(table)
    email, social = records(found)
    assert email[:3] == ("markov", 0.5, "email")
    assert email[3:8] == pytest.approx((100, 3200 / 17, 15 / 17, 40, 40 * (32 / 17) ** 0.5))
    assert social[3:8] == pytest.approx((100, 200 / 17, 2 / 17 - 1, 10, 10 * (2 / 17) ** 0.5))
    assert email[8] == pytest.approx(social[8])  # one more conversion costs the same anywhere
    assert email[8] == pytest.approx(2 * 100 / 40 * (32 / 17) ** 0.5)
    assert (
        email[9]
        == "conversions x (cost / present cost)^0.5 in every channel, each between 0 and 1000 times its present cost"
    )
    assert email[10].startswith("Built on credit, which is not effect")


def test_bounds_hold_and_rows_stand_in_order():
    table = budget_table(pd.DataFrame(TWO))
    assert table["elasticity"].tolist() == [0.3, 0.3, 0.5, 0.5, 0.7, 0.7]
    assert table["channel"].tolist() == ["email", "social"] * 3
    assert table["suggested_cost_amount"].between(50, 200).all()
    assert table.loc[table["elasticity"] == 0.7, "suggested_cost_amount"].tolist() == pytest.approx([150, 50])


@given(
    cost=st.lists(st.floats(1, 1e4), min_size=2, max_size=6),
    seed=st.integers(0, 10**6),
    elasticity=st.floats(0.05, 0.95),
    change=st.floats(0.5, 2.0),
)
def test_no_other_split_brings_more(cost, seed, elasticity, change):
    """Against sequential quadratic programming from the present split."""
    cost = np.array(cost)
    brought = np.random.default_rng(seed).gamma(1, 50, len(cost)) + 1e-3
    bounds, budget = (0.5 * cost, 2.0 * cost), float(change * cost.sum())
    spent = best_split(cost, brought, elasticity, bounds, budget)

    def total(x):
        return float((brought * (x / cost) ** elasticity).sum())

    assert spent.sum() == pytest.approx(budget, rel=1e-12)
    assert (spent >= bounds[0] * (1 - 1e-12)).all()
    assert (spent <= bounds[1] * (1 + 1e-12)).all()
    other = minimize(
        lambda ratio: -total(ratio * cost) / total(cost),
        np.full(len(cost), change),
        bounds=[(0.5, 2.0)] * len(cost),
        constraints={"type": "eq", "fun": lambda ratio: (ratio * cost).sum() / budget - 1},
        method="SLSQP",
        options={"ftol": 1e-12},
    )
    assert total(spent) >= total(np.clip(other.x, 0.5, 2.0)) * (1 - 1e-7)
    slope = elasticity * brought / cost * (spent / cost) ** (elasticity - 1)
    free = (spent > bounds[0] * (1 + 1e-9)) & (spent < bounds[1] * (1 - 1e-9))
    if free.sum() > 1:
        assert slope[free].max() == pytest.approx(slope[free].min(), rel=1e-9)


def test_what_brings_nothing_gets_no_more_than_it_must():
    table = pd.DataFrame(credit(["a", "b"], [10.0, 0.0], [100.0, 100.0]))
    found = budget_table(table, elasticity=0.5).set_index("channel")
    assert found["suggested_cost_amount"].to_dict() == pytest.approx({"a": 150, "b": 50})
    assert np.isnan(found.loc["b", "marginal_cost_per_conversion_amount"])
    more = budget_table(table, elasticity=0.5, budget=300).set_index("channel")
    assert more["suggested_cost_amount"].to_dict() == pytest.approx({"a": 200, "b": 50})  # fifty stay unspent


def test_channels_without_cost_are_left_out_and_an_experiment_of_all_others_is_believed():
    measured = {"incremental_conversion_count": [1.0, 4.0, None]}
    table = pd.DataFrame(credit(["a", "b", "direct"], [90.0, 10.0, 50.0], [100.0, 100.0, 0.0], **measured))
    found = budget_table(table, elasticity=0.5, **WIDE).set_index("channel")
    assert found["present_conversion_count"].to_dict() == {"b": 4.0, "a": 1.0}
    assert found["suggested_cost_amount"].to_dict() == pytest.approx({"b": 3200 / 17, "a": 200 / 17})
    assert found["caution"].str.startswith("Built on conversions that an experiment measured").all()
    table.loc[1, "incremental_conversion_count"] = None  # one measured, one credited: they do not compare
    with pytest.warns(
        DataQualityWarning, match=r"experiment measured is not used, since \['b'\] cost too and were not"
    ):
        found = budget_table(table, elasticity=0.5)
    assert found["present_conversion_count"].tolist() == [90.0, 10.0]
    assert found["caution"].str.startswith("Built on credit").all()


def test_a_channel_without_touchpoints_takes_part_only_where_it_was_measured():
    table = pd.DataFrame(credit(["a", "tv"], [90.0, None], [100.0, 300.0], incremental_conversion_count=[2.0, 3.0]))
    assert set(budget_table(table)["channel"]) == {"a", "tv"}
    found = budget_table(table.drop(columns="incremental_conversion_count"), elasticity=0.5)
    assert found[["channel", "suggested_cost_amount"]].to_numpy().tolist() == [["a", 100.0]]


def test_it_takes_the_attribution_of_several_models_as_it_comes():
    paths = pd.DataFrame(
        {"path": ["a > b", "b", "c"], "conversion_count": [30, 20, 9], "non_conversion_count": [9, 40, 8]}
    )
    table = budget_table(attribution_table(paths, model=("last", "first"), costs={"a": 10, "b": 20}), elasticity=0.4)
    assert table["model"].tolist() == ["last"] * 2 + ["first"] * 2
    assert table.groupby("model")["suggested_cost_amount"].sum().to_dict() == pytest.approx({"last": 30, "first": 30})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 1000.0}, r"1,000\.00 lies outside what the bounds allow, 100\.00 to 400\.00 \(now 200\.00\)"),
        ({"budget": 0.0}, r"budget must be a number above zero"),
        ({"least_change": 1.2}, r"a budget of 200\.00 lies outside what the bounds allow, 240\.00 to 400\.00"),
        ({"elasticity": 1.0}, r"elasticity must be a fraction between 0 and 1"),
        ({"elasticity": []}, r"elasticity has no value"),
        ({"least_change": 3.0}, r"least_change must not exceed most_change, got 3\.0 and 2\.0"),
    ],
)  # fmt: skip
def test_refusals_say_what_to_type(options, message):
    with pytest.raises(SchemaError, match=message):
        budget_table(pd.DataFrame(TWO), **options)


def test_tables_without_costs_are_refused():
    with pytest.raises(SchemaError, match=r"no channel has credit and a cost_amount above .*costs=\{channel: amount\}"):
        budget_table(pd.DataFrame(TWO).assign(cost_amount=0.0))
    with pytest.raises(
        MissingColumnsError, match=r"budget_table needs the result of attribution_table\(\.\.\.\): no \['model'\]"
    ):
        budget_table(pd.DataFrame(TWO).drop(columns="model"))


def test_the_picture_shows_now_and_each_assumption():
    ax = plot_budget(budget_table(pd.DataFrame(TWO), elasticity=(0.3, 0.7)))
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["now", "elasticity 0.3", "elasticity 0.7"]
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 2]
    assert sorted(ax.lines[1].get_xdata()) == pytest.approx([50, 150])
