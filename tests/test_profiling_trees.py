"""What profile_tree_table promises: planted rules found and put in words, judged by customers it has not seen."""

import numpy as np
import pandas as pd
import pytest

from crmlytics._frames import to_pandas
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.profiling import trees
from crmlytics.profiling.trees import profile_tree_table


def many(n=4000, seed=0, noise=0.05):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({
        "customer_id": rng.permutation(n),
        "income": rng.uniform(20_000.5, 100_000.5, n),
        "children": rng.integers(0, 4, n),
        "city": rng.choice(["Bern", "Basel", "Chur"], n),
        "age": rng.integers(18, 80, n),
    })  # fmt: skip
    gold = (table["income"] > 60_000) & (table["children"] == 0)
    table["segment"] = np.where(gold ^ (rng.random(n) < noise), "gold", "other")
    return table


def test_finds_the_planted_rule_and_says_it(frame):
    customers = frame(many())
    found = profile_tree_table(customers, groups=["gold"])
    assert type(found) is type(customers)
    best = to_pandas(found).iloc[0]
    income, children = sorted(best["rule"].split(" and "), reverse=True)
    assert children == "children is 0"
    assert float(income.removeprefix("income above ")) == pytest.approx(60_000, rel=0.01)
    assert best["share"] == pytest.approx(0.95, abs=0.04)
    assert best["share_low"] < 0.95 < best["share_high"]
    assert best["finding"].startswith(f"{best['rule']}: 9")
    words = f"% gold, {best['lift']:.1f} times the average ({best['customer_count']:.0f} customers held out)"
    assert best["finding"].endswith(words)


def test_every_customer_held_out_meets_one_rule():
    customers = many()
    held = (customers["segment"].value_counts() // 4).sum()
    for _, rules in profile_tree_table(customers, holdout_share=0.25).groupby("segment"):
        assert rules["customer_count"].sum() == held
        assert rules["share_of_segment"].sum() == pytest.approx(1)
        expected = (rules["share"] * rules["customer_count"]).sum() / held
        assert rules["share_overall"].to_numpy() == pytest.approx(expected)
        assert rules["share"].is_monotonic_decreasing


def test_shares_are_those_of_customers_not_learnt_from():
    rng = np.random.default_rng(0)
    noise = pd.DataFrame(rng.normal(size=(600, 30)), columns=[f"x{number}" for number in range(30)])
    noise = noise.assign(customer_id=range(600), segment=rng.choice(["a", "b"], 600))
    found = profile_tree_table(noise, groups=["a"])
    assert found["rule"].tolist() == ["all customers"]
    assert found["lift"].tolist() == [1]


def test_rules_select_the_customers_they_say():
    table = many()
    table.loc[table["income"] < 30_000, "income"] = None
    table.loc[table["age"] > 70, "city"] = None
    table["segment"] = np.where(table["income"].isna() | (table["city"] == "Bern"), "gold", "other")
    found = profile_tree_table(table, groups=["gold"], columns=["income", "city"])
    assert found[["rule", "share"]].to_numpy().tolist() == [
        ["city is Bern", 1],
        ["city is not Bern and income is missing", 1],
        ["city is not Bern and income is known", 0],
    ]
    table["segment"] = np.where(table["income"].isna() | (table["income"] > 50_000), "gold", "other")
    first, second = profile_tree_table(table, groups=["gold"], columns=["income"])["rule"]
    assert first.startswith("(income above 50")
    assert first.endswith(" or missing)")
    assert second == first.removeprefix("(").removesuffix(" or missing)").replace("above", "at most")
    unknown = np.where(table["city"].isna(), "gold", "other")
    rules = profile_tree_table(table.assign(segment=unknown), groups=["gold"], columns=["city"])["rule"]
    assert rules.tolist() == ["city is missing", "city is not missing"]


def test_bounds_of_a_number_are_one_condition():
    table = many()
    table["segment"] = np.where(table["age"].between(30, 49), "gold", "other")
    best = profile_tree_table(table, groups=["gold"], columns=["age"]).iloc[0]
    assert best["rule"] == "age at least 30 and at most 49"
    assert best["share"] == 1


def test_order_of_rows_does_not_matter():
    table = many()
    pd.testing.assert_frame_equal(
        profile_tree_table(table), profile_tree_table(table.sample(frac=1, random_state=3).reset_index(drop=True))
    )
    again = profile_tree_table(table, random_state=1)
    assert again["share"].iloc[0] != profile_tree_table(table)["share"].iloc[0]


def test_no_rule_is_judged_by_few():
    table = many(1200).assign(vip=["yes"] * 84 + ["no"] * 1116)
    table.loc[table["vip"] == "yes", "segment"] = "gold"
    options = {"groups": ["gold"], "columns": ["vip"], "least_count": 40}
    enough = profile_tree_table(table, random_state=0, **options)
    assert enough[["rule", "customer_count"]].to_numpy().tolist() == [["vip is yes", 42], ["vip is not yes", 557]]
    few = profile_tree_table(table, random_state=8, **options).iloc[-1]  # 45 to learn from, 39 held out
    assert few[list(trees.FIGURES)].isna().all()
    assert few["finding"] == "vip is yes: too few customers held out to judge"


def test_rules_that_chance_made_do_not_hold(monkeypatch):
    monkeypatch.setattr(trees, "CHANCE", 0.0)
    rng = np.random.default_rng(0)
    noise = pd.DataFrame(rng.normal(size=(600, 30)), columns=[f"x{number}" for number in range(30)])
    noise = noise.assign(customer_id=range(600), segment=rng.choice(["a", "b"], 600))
    found = profile_tree_table(noise, groups=["a"])
    base = found["share_overall"]
    chi_squared = (found["customer_count"] * (found["share"] - base) ** 2 / (base * (1 - base))).sum()
    assert len(found) > 4
    assert chi_squared < 18.5  # of 7 degrees of freedom at most: 1 %


def test_responders_to_a_campaign(shared_data):
    table = pd.read_parquet(shared_data / "customer_personality.parquet").drop(
        columns=["Dt_Customer", "Z_CostContact", "Z_Revenue"]
    )
    best = profile_tree_table(table, segment="Response", key="ID", groups=[1]).iloc[0]
    assert "AcceptedCmp5 is 1" in best["rule"]
    assert best["lift"] > 2.5


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"depth": 0}, SchemaError, r"profile_tree_table: depth must be a whole number of at least 1, got 0"),
        ({"holdout_share": 1}, SchemaError, r"holdout_share must be a fraction between 0 and 1"),
        ({"segment": "x"}, MissingColumnsError, r"profile_tree_table needs the column segment='x'"),
        ({"groups": ["silver"]}, SchemaError, r"groups names 'silver', no segment"),
    ],
)
def test_says_what_is_wrong(options, error, text):
    with pytest.raises(error, match=text):
        profile_tree_table(many(200), **options)
