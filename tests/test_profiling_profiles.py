"""What profile_table promises: FactoMineR's values, counts by hand on every frame, honest tests, helpful refusals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import stats

from crmlytics._frames import to_pandas
from crmlytics._kernels.group_differences import (
    NumberSummary,
    cohen_d,
    cohen_h,
    level_v_test,
    number_v_test,
    summarise_numbers,
    superiority,
)
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.profiling.profiles import SCHEMA, profile_table

CUSTOMERS = {
    "customer_id": list(range(8)),
    "segment": ["gold"] * 4 + ["other"] * 4,
    "plan": ["year", "year", "year", "month", "month", "month", "month", "year"],
    "income": [60.0, 70.0, 80.0, 90.0, 30.0, 40.0, 50.0, 60.0],
    "spent": [1.0, 2.0, None, 4.0, 5.0, 6.0, None, None],
}


def many(n=2000, seed=0):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({
        "customer_id": [f"c{number}" for number in rng.permutation(n)],
        "segment": rng.choice(["a", "b", "c"], n, p=[0.5, 0.3, 0.2]),
        "city": rng.choice(["Bern", "Basel", "Chur"], n),
        "visits": rng.poisson(5, n),
        "spend": rng.lognormal(3, 1, n),
        "member": rng.random(n) < 0.4,
    })  # fmt: skip
    table.loc[table["segment"] == "c", "visits"] += 3
    return table


def row(table, segment, column, level=None):
    rows = to_pandas(table)
    rows = rows[(rows["segment"] == segment) & (rows["column"] == column)]
    rows = rows[rows["level"].isna()] if level is None else rows[rows["level"] == level]
    assert len(rows) == 1
    return rows.iloc[0]


# -- published and counted by hand -----------------------------------------------------------------------------------


def test_levels_as_factominer_describes_them():
    """Output of catdes for the 46 countries of B. Russett (1964), cluster 1 of 22 by type of democracy."""
    demo = np.repeat([1, 2, 3, 1, 2, 3], [1, 8, 13, 14, 4, 6])
    table = pd.DataFrame({"segment": ["cluster 1"] * 22 + ["others"] * 24, "demo": demo})
    found = profile_table(table, key=None, as_levels=["demo"], least_count=1)
    third, first = row(found, "cluster 1", "demo", "3"), row(found, "cluster 1", "demo", "1")
    assert third[["share_of_level", "share_in_segment", "share_overall"]].tolist() == pytest.approx(
        [0.68421053, 0.59090909, 0.4130435], rel=1e-6
    )
    assert (third["p_value"], third["v_test"]) == pytest.approx((2.360839e-02, 2.263443), rel=1e-6)
    assert (first["p_value"], first["v_test"]) == pytest.approx((8.942578e-05, -3.917625), rel=1e-6)


@pytest.mark.parametrize(
    ("mean", "overall", "spread", "v", "p"),
    [
        (97.49545, 92.82609, 6.668988, 4.496867, 6.896198e-06),
        (80.59545, 71.19783, 14.333701, 4.210871, 2.543884e-05),
        (287.68182, 563.56522, 488.908040, -3.624185, 2.898740e-04),
    ],
)
def test_numbers_as_factominer_describes_them(mean, overall, spread, v, p):
    """The same output for land owned by farms, its Gini coefficient, and the gross national product a head."""
    n, total = 22, 46
    others = (overall * total - n * mean) / (total - n)
    within = spread**2 * total - n * (mean - overall) ** 2 - (total - n) * (others - overall) ** 2
    summary = NumberSummary(
        np.array([n, total - n]), np.array([mean, others]), np.zeros(2), np.array([within, 0.0]), np.zeros(2), 0.0
    )
    found_v, found_p = number_v_test(summary)
    assert found_v[0] == pytest.approx(v, rel=1e-5)
    assert found_p[0] == pytest.approx(p, rel=1e-4)


def test_counts_by_hand_on_every_frame(frame):
    customers = frame(CUSTOMERS)
    found = profile_table(customers, groups=["gold"], least_count=1)
    assert type(found) is type(customers)
    year = row(found, "gold", "plan", "year")
    assert year[["customer_count", "count"]].tolist() == [4, 3]
    assert year[["share_in_segment", "share_overall", "share_of_level", "lift"]].tolist() == [0.75, 0.5, 0.75, 1.5]
    # 3 of 4 from 4 of 8: P(4) + P(3) / 2 = 1 / 70 + 8 / 70, twice
    assert year["p_value"] == pytest.approx(18 / 70)
    assert year["effect_size"] == pytest.approx(2 * np.arcsin(np.sqrt(0.75)) - 2 * np.arcsin(np.sqrt(0.25)))
    income = row(found, "gold", "income")
    assert income[["count", "mean", "mean_overall", "median", "median_overall"]].tolist() == [4, 75, 60, 75, 60]
    assert income["standard_deviation_overall"] == pytest.approx(np.sqrt(350))
    assert income["v_test"] == pytest.approx(15 / np.sqrt(350) * 2 / np.sqrt(4 / 7))
    assert income["superiority_probability"] == 15.5 / 16  # 60 and 60 are a tie
    assert income["effect_size"] == pytest.approx((75 - 45) / np.sqrt(500 * 2 / 6))
    missing = row(found, "gold", "spent", "missing")
    assert missing[["count", "share_in_segment", "share_overall"]].tolist() == [1, 0.25, 0.375]
    assert row(found, "gold", "spent")[["count", "mean"]].tolist() == [3, pytest.approx(7 / 3)]


def test_dtypes_are_the_same_whatever_is_found():
    import polars as pl

    table = pl.DataFrame(CUSTOMERS)
    for columns in (["plan"], ["income"], None):
        found = profile_table(table, columns=columns, least_count=1)
        assert dict(zip(found.columns, map(str, found.dtypes), strict=True)) == {
            name: str(kind) for name, kind in SCHEMA.items()
        }
        assert not found.select(pl.selectors.float().is_nan().any()).to_numpy().any()


# -- against other ways to compute it --------------------------------------------------------------------------------


@given(st.integers(0, 40), st.integers(1, 40), st.integers(0, 40), st.integers(1, 40))
def test_level_test_is_the_mid_tail_of_the_hypergeometric(inside, more, outside, others):
    group, total = inside + more, inside + more + outside + others
    level = inside + outside
    v, p = level_v_test(*(np.array([number]) for number in (inside, group, level, total)))
    law = stats.hypergeom(total, level, group)
    expected = min(2 * law.cdf(inside) - law.pmf(inside), 2 * law.sf(inside) + law.pmf(inside), 1)
    assert p[0] == pytest.approx(expected, rel=1e-9)
    assert 2 * stats.norm.sf(abs(v[0])) == pytest.approx(p[0]) or v[0] == 0
    assert v[0] * (inside * total - group * level) >= 0


def test_v_goes_on_where_p_ends():
    inside = np.arange(130_000, 160_000, 2_000)
    v, p = level_v_test(inside, np.full(15, 250_000), np.full(15, 500_000), np.full(15, 1_000_000))
    assert p[0] > 0
    assert p[-1] == 0
    assert (np.diff(v) > 0).all()
    normal = (inside - 125_000) / np.sqrt(250_000 * 0.25 * 0.75)
    assert v == pytest.approx(normal, rel=0.05)


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 6)), min_size=4, max_size=40))
@example([(0, 0)] * 4 + [(1, 1)])
def test_numbers_equal_the_plain_formulas(rows):
    group, values = np.array([g for g, _ in rows], np.int32), np.array([x for _, x in rows], float)
    summary = summarise_numbers(values, group, 3)
    assert summary.overall_median == np.median(values)
    assert summary.overall_mean == pytest.approx(values.mean())
    assert summary.overall_squares == pytest.approx(((values - values.mean()) ** 2).sum(), abs=1e-9)
    effect = cohen_d(summary, 0.95)[0]
    for code in range(3):
        mine, others = values[group == code], values[group != code]
        if not len(mine) or not len(others):
            continue
        assert summary.median[code] == np.median(mine)
        pairs = (mine[:, None] > others).mean() + (mine[:, None] == others).mean() / 2
        assert superiority(summary)[code] == pytest.approx(pairs)
        within = ((mine - mine.mean()) ** 2).sum() + ((others - others.mean()) ** 2).sum()
        if within > 0:
            d = (mine.mean() - others.mean()) / np.sqrt(within / (len(values) - 2))
            assert effect[code] == pytest.approx(d, abs=1e-9)
        else:
            assert np.isnan(effect[code])


def test_intervals_of_effects_cover():
    rng = np.random.default_rng(1)
    covered_h, covered_d = 0, 0
    true_h = 2 * np.arcsin(np.sqrt(0.3)) - 2 * np.arcsin(np.sqrt(0.2))
    group = np.repeat([0, 1], [200, 600]).astype(np.int32)
    for _ in range(400):
        counts = rng.binomial([200, 600], [0.3, 0.2])
        _, low, high = cohen_h(counts[:1], np.array([200]), counts[1:], np.array([600]), 0.9)
        covered_h += low[0] <= true_h <= high[0]
        values = rng.normal(size=800) + 0.5 * (group == 0)
        _, low, high = cohen_d(summarise_numbers(values, group, 2), 0.9)
        covered_d += low[0] <= 0.5 <= high[0]
    assert 0.86 <= covered_h / 400 <= 0.94
    assert 0.86 <= covered_d / 400 <= 0.94


# -- what holds for every profile ------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(st.integers(0, 10_000))
def test_counts_add_up_and_order_of_rows_does_not_matter(seed):
    table = many(300, seed)
    found = profile_table(table, least_count=1)
    shuffled = profile_table(table.sample(frac=1, random_state=seed), least_count=1)
    pd.testing.assert_frame_equal(found, shuffled)
    levels = found[found["level"].notna()]
    shares = levels.groupby(["segment", "column"])["share_in_segment"].sum()
    assert shares.to_numpy() == pytest.approx(1)
    assert levels.groupby(["column"])["count"].sum().tolist() == [300] * 2
    assert levels.groupby(["column", "level"])["share_of_level"].sum().to_numpy() == pytest.approx(1)
    assert (found.groupby("segment")["effect_size"].apply(lambda effect: effect.abs().diff().max()) <= 1e-9).all()
    assert found.groupby("segment")["rank"].apply(list).map(lambda rank: rank == [*range(1, len(rank) + 1)]).all()


def test_segments_without_a_difference_are_rarely_significant():
    significant = 0
    for seed in range(20):
        table = many(400, seed).drop(columns="visits")
        significant += (profile_table(table, least_count=5)["adjusted_p_value"] <= 0.05).any()
    assert significant <= 4


def test_corrections_are_those_of_scipy_and_holm():
    plain = profile_table(many(), correction="none")
    found = profile_table(many())
    assert plain["adjusted_p_value"].tolist() == plain["p_value"].tolist()
    expected = stats.false_discovery_control(found["p_value"])
    assert found["adjusted_p_value"].to_numpy() == pytest.approx(expected)
    holm = profile_table(many(), correction="holm")
    smallest = holm["p_value"].min()
    assert holm["adjusted_p_value"].min() == pytest.approx(min(1, smallest * len(holm)))


def test_what_formed_the_segments_is_not_tested():
    table = many()
    table["segment"] = np.where(table["spend"] > table["spend"].median(), "high", "low")
    found = profile_table(table, formed_by=["spend"])
    spend, visits = row(found, "high", "spend"), row(found, "high", "visits")
    assert spend[["v_test", "p_value", "adjusted_p_value", "effect_low", "effect_high"]].isna().all()
    assert spend["note"] == "it formed the segments: no test"
    assert spend["effect_size"] > 1
    assert visits["adjusted_p_value"] > 0.01
    honest = profile_table(table.drop(columns="spend"))
    assert row(honest, "high", "visits")["adjusted_p_value"] == visits["adjusted_p_value"]


def test_mean_and_ranks_may_disagree():
    n = 1000
    spend = np.r_[np.tile([1.0, 2.0], n // 2 - 10), np.full(20, 900.0), np.tile([3.0, 4.0], n // 2)]
    table = pd.DataFrame({"customer_id": range(2 * n), "segment": ["a"] * n + ["b"] * n, "spend": spend})
    found = profile_table(table)
    assert row(found, "a", "spend")["note"] == "the mean is higher by a few large values: most are lower"
    assert row(found, "b", "spend")["note"] == "the mean is lower by a few small values: most are higher"
    assert row(found, "a", "spend")["superiority_probability"] == pytest.approx(0.02)


def test_two_numbers_and_truth_values_are_levels():
    table = many().assign(flag=lambda rows: rows["member"].astype(int), price=[9.5, 12.0] * 1000)
    found = to_pandas(profile_table(table))
    levels = found.dropna(subset="level").groupby("column")["level"].unique().map(sorted).to_dict()
    assert levels == {
        "city": ["Basel", "Bern", "Chur"], "flag": ["0", "1"], "member": ["False", "True"], "price": ["12", "9.5"],
    }  # fmt: skip
    member = row(found, "a", "member", "True")
    assert member["count"] == (table["member"] & (table["segment"] == "a")).sum()


def test_codes_may_be_read_as_levels():
    table = many().assign(region=[1.0, 2.0, 3.0, None] * 500)
    found = to_pandas(profile_table(table, columns=["region"], as_levels=["region"]))
    assert sorted(found.loc[found["segment"] == "a", "level"]) == ["1", "2", "3", "missing"]
    with pytest.raises(MissingColumnsError, match=r"as_levels names 'rgion', no such column. Did you mean 'region'"):
        profile_table(table, as_levels=["rgion"])


def test_segments_may_be_numbers_truth_values_or_missing():
    table = many()
    first = table["segment"] == "a"
    expected = row(profile_table(table.assign(segment=first)), "True", "visits")
    table["bought"] = first.astype(float)
    assert row(profile_table(table, segment="bought", columns=["visits"]), "1", "visits")["mean"] == expected["mean"]
    table.loc[table["segment"] == "c", "bought"] = None
    found = row(profile_table(table, segment="bought", columns=["visits"]), "1", "visits")
    assert found["mean_overall"] == table.loc[table["segment"] != "c", "visits"].mean()


# -- real data -------------------------------------------------------------------------------------------------------


def test_churners_of_a_telephone_company(shared_data):
    telco = pd.read_parquet(shared_data / "telco_churn.parquet")
    found = profile_table(telco, segment="Churn", key="customerID")
    monthly = row(found, "Yes", "Contract", "Month-to-month")
    assert monthly["count"] == ((telco["Contract"] == "Month-to-month") & (telco["Churn"] == "Yes")).sum()
    assert monthly["rank"] == 1
    assert row(found, "Yes", "tenure")["mean"] == telco.loc[telco["Churn"] == "Yes", "tenure"].mean()
    assert row(found, "Yes", "gender", "Female")["adjusted_p_value"] > 0.1


def test_wholesale_customers_by_channel(shared_data):
    table = pd.read_parquet(shared_data / "wholesale_customers.parquet")
    found = profile_table(table, segment="Channel", key=None, as_levels=["Region"])
    assert row(found, "2", "Detergents_Paper")["rank"] == 1
    assert row(found, "2", "Detergents_Paper")["superiority_probability"] > 0.9
    assert row(found, "2", "Region", "3")["count"] == ((table["Channel"] == 2) & (table["Region"] == 3)).sum()
    assert (found.loc[found["column"] == "Region", "adjusted_p_value"].dropna() > 0.01).all()


# -- refusals and warnings -------------------------------------------------------------------------------------------


def test_says_what_it_leaves_out():
    table = many().assign(
        order_id=range(2000), since="2024-01-01", country="CH", note=[f"n{i}" for i in range(2000)], empty=None
    )
    with pytest.warns(DataQualityWarning, match=r"profile_table leaves out 'order_id': an id by its name; 'since': "):
        found = profile_table(table)
    assert set(found["column"]) == {"city", "visits", "spend", "member"}
    with pytest.raises(SchemaError, match=r"columns names what cannot be profiled \('country': the same in every row"):
        profile_table(table, columns=["city", "country"])


def test_small_segments_are_set_aside():
    table = many()
    table.loc[:4, "segment"] = "tiny"
    with pytest.warns(DataQualityWarning, match=r"sets aside 1 segments with fewer than least_count=10 .*\['tiny'\]"):
        found = profile_table(table)
    assert set(found["segment"]) == {"a", "b", "c"}
    assert row(found, "a", "visits")["mean_overall"] == table.loc[5:, "visits"].mean()
    assert "tiny" in set(profile_table(table, least_count=5)["segment"])
    one = table.assign(segment="a")
    one.loc[0, "segment"] = "b"
    with pytest.raises(SchemaError, match=r"'segment' has 'a' with 1,999, 'b' with 1, and it takes two of at least"):
        profile_table(one)
    with pytest.raises(SchemaError, match=r"compares segments: 'segment' has nobody in any segment"):
        profile_table(table.assign(segment=pd.Series([None] * 2000, dtype="str")))


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"segment": "sgment"}, MissingColumnsError, r"column segment='sgment', no such column. Did you mean"),
        ({"key": "id"}, MissingColumnsError, r"column key='id'.* key=None if the table has one row per customer"),
        ({"columns": "city"}, SchemaError, r'columns must be a list of columns, such as columns=\["income", "age"\]'),
        ({"columns": ["cty"]}, MissingColumnsError, r"columns names 'cty', no such column. Did you mean 'city'"),
        ({"columns": ["segment"]}, SchemaError, r"columns names \['segment'\], which is the key or the segment itself"),
        ({"formed_by": ["spnd"]}, MissingColumnsError, r"formed_by names 'spnd', no such column. Did you mean 'spend'"),
        ({"groups": "a"}, SchemaError, r"groups must be a list of segments such as groups=\['a'\], got 'a'"),
        ({"groups": ["d"]}, SchemaError, r"groups names 'd', no segment of at least least_count=10"),
        ({"correction": "fdr"}, SchemaError, r"correction must be one of \['holm', 'benjamini_hochberg', 'none'\]"),
        ({"least_count": 0}, SchemaError, r"least_count must be a whole number of at least 1, got 0"),
        ({"confidence": 95}, SchemaError, r"confidence must be a fraction between 0 and 1"),
    ],
)
def test_says_what_is_wrong(options, error, text):
    with pytest.raises(error, match=text):
        profile_table(many(200), **options)


def test_one_row_per_customer():
    table = many(100)
    with pytest.raises(SchemaError, match=r"expected one row per customer_id"):
        profile_table(pd.concat([table, table.head(1)]), least_count=1)
    with pytest.raises(SchemaError, match=r"expected a pandas, Polars, PyArrow, DuckDB or PySpark dataframe, got dict"):
        profile_table({})


def test_nothing_to_compare():
    table = many(200)[["customer_id", "segment"]].assign(country="CH")
    with pytest.raises(SchemaError, match=r"profile_table: no column is left to compare segments by \(country: the s"):
        profile_table(table)


def test_ids_in_the_index_lists_and_columns_without_a_name():
    table = many(300)
    with pytest.raises(MissingColumnsError, match=r"The index is called 'customer_id': type table.reset_index\(\)"):
        profile_table(table.set_index("customer_id"))
    with pytest.raises(SchemaError, match=r"profile_table: columns need names, got \[5\]. Type table.columns ="):
        profile_table(table.rename(columns={"city": 5}))
    nested = table.assign(tags=[["a"], ["b"], ["a", "b"]] * 100, none=None)
    left_out = r"leaves out 'tags': neither numbers nor words; 'none': no value in any row"
    with pytest.warns(DataQualityWarning, match=left_out):
        found = profile_table(nested)
    assert "tags" not in set(found["column"])
    with pytest.raises(SchemaError, match=r"as_levels names \['tags'\], neither numbers nor words"):
        profile_table(nested, as_levels=["tags"])


def test_a_value_that_most_have_far_from_all_others_is_noted():
    table = many(600)
    table["days"] = np.where(np.arange(600) % 3 > 0, 999, np.arange(600) % 28)
    table["visits"] = np.where(np.arange(600) % 3 > 0, 0, np.arange(600) % 28 + 1)  # many zeros are no code
    found = profile_table(table, least_count=1).set_index("column")["note"]
    assert found["days"].unique().tolist() == [
        "most are 999, far from all others: if that is a code for none, make it missing"
    ]
    assert not found["visits"].astype("string").str.contains("most are").any()
