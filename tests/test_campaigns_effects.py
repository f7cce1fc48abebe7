"""What effect_table promises: hand-counted values on every frame, corrected families, reasons, refusals."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from crmlytics._frames import to_pandas
from crmlytics.campaigns.measuring._effect_plots import plot_effects
from crmlytics.campaigns.measuring._effect_rows import SHARE_METHOD
from crmlytics.campaigns.measuring.effects import effect_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError

NEWCOMBE = {  # 56 of 70 against 48 of 80: Newcombe (1998), table II, example a
    "customer_id": list(range(150)),
    "arm": ["mail"] * 70 + ["control"] * 80,
    "converted": [True] * 56 + [False] * 14 + [True] * 48 + [False] * 32,
}
EFFECT_COLUMNS = [
    "metric", "treated_count", "control_count", "treated_mean", "control_mean",
    "difference", "difference_low", "difference_high", "ratio", "ratio_low", "ratio_high",
    "p_value", "adjusted_p_value", "is_significant",
    "incremental_total", "incremental_total_low", "incremental_total_high",
    "unadjusted_difference", "variance_reduction_share", "method", "remark",
]  # fmt: skip


def campaigns(size=2000, seed=0):
    """Two campaigns, two arms and control, three segments, an outcome that depends on the period before."""
    rng = np.random.default_rng(seed)
    before = rng.gamma(1, 30, size) * (rng.random(size) < 0.6)
    arm = rng.choice(["control", "mail", "call"], size, p=[0.3, 0.4, 0.3])
    converted = rng.random(size) < 0.15 + 0.2 * (before > 20) + 0.1 * (arm == "call")
    return pd.DataFrame(
        {
            "campaign_id": rng.choice(["spring", "autumn"], size),
            "customer_id": np.arange(size),
            "arm": arm,
            "segment": rng.choice(["a", "b", "c"], size),
            "pre_revenue_amount": before,
            "revenue_amount": np.where(converted, 20 + before, 0),
            "converted": converted,
        }
    )


def only(table, **values):
    rows = to_pandas(table)
    for name, value in values.items():
        rows = rows[rows[name] == value]
    assert len(rows) == 1
    return rows.iloc[0]


# -- figures -------------------------------------------------------------------------------------------------------


def test_shares_by_the_book_on_every_frame(frame):
    outcomes = frame(NEWCOMBE)
    table = effect_table(outcomes)
    assert type(table) is type(outcomes)
    rows = to_pandas(table)
    assert list(rows.columns) == ["arm", *EFFECT_COLUMNS]
    row = only(rows, metric="converted")
    assert (row["arm"], row["treated_count"], row["control_count"]) == ("mail", 70, 80)
    assert (row["treated_mean"], row["control_mean"]) == (0.8, 0.6)
    assert (row["difference_low"], row["difference_high"]) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert (row["incremental_total_low"], row["incremental_total"]) == pytest.approx((70 * 0.0524, 14), abs=4e-3)
    expected = stats.chi2_contingency([[56, 14], [48, 32]], correction=False).pvalue
    assert row["p_value"] == row["adjusted_p_value"] == pytest.approx(expected)
    assert row["is_significant"]
    assert row["method"] == "Newcombe; ratio: Koopman; test: score"
    assert pd.isna(row["remark"])
    assert pd.isna(row["variance_reduction_share"])


def test_dtypes_do_not_hang_on_what_is_missing():
    polars = pytest.importorskip("polars")
    kinds = effect_table(polars.DataFrame(NEWCOMBE)).schema
    assert kinds["treated_count"] == polars.Int64
    assert kinds["variance_reduction_share"] == polars.Float64
    assert kinds["remark"] == kinds["method"] == polars.String
    assert kinds["is_significant"] == polars.Boolean


def test_means_of_equal_arms_are_tested_as_welch_did():
    outcomes = pd.DataFrame({"customer_id": range(8), "arm": ["control", "offer"] * 4})
    outcomes["revenue_amount"] = [10.0, 30, 0, 20, 5, 25, 0, 40]
    row = only(effect_table(outcomes), metric="revenue_amount")
    known = stats.ttest_ind([30, 20, 25, 40], [10, 0, 5, 0], equal_var=False)
    assert row["difference"] == 28.75 - 3.75
    assert row["p_value"] == pytest.approx(known.pvalue)
    assert row["difference_low"] == pytest.approx(known.confidence_interval().low)
    assert row["incremental_total"] == 100
    assert row["ratio"] == pytest.approx(28.75 / 3.75)
    assert row["method"] == "Welch, corrected for skewness; ratio: Fieller"


def test_few_converted_are_tested_exactly():
    outcomes = pd.DataFrame({"customer_id": range(40), "arm": ["mail"] * 20 + ["control"] * 20})
    outcomes["converted"] = [1] * 4 + [0] * 16 + [1] + [0] * 19
    row = only(effect_table(outcomes), metric="converted")
    lower_tail = stats.hypergeom.cdf(1, 40, 5, 20)
    assert row["p_value"] == pytest.approx(2 * lower_tail)
    assert row["method"].endswith("Fisher's exact")


def test_the_same_figure_before_makes_the_comparison_sharper():
    outcomes = campaigns()
    assert effect_table(outcomes, metrics="revenue_amount", covariates=None)["variance_reduction_share"].isna().all()
    table = effect_table(outcomes, metrics="revenue_amount")
    assert (table["variance_reduction_share"] > 0.2).all()
    assert (table["difference"] != table["unadjusted_difference"]).all()
    assert table["difference"].tolist() == pytest.approx((table["treated_mean"] - table["control_mean"]).tolist())
    assert (table["method"].str.endswith("adjusted for pre_revenue_amount")).all()
    named = effect_table(outcomes, metrics="revenue_amount", covariates=["pre_revenue_amount"])
    pd.testing.assert_frame_equal(named, table)


def test_shares_are_adjusted_where_enough_have_them():
    rng = np.random.default_rng(1)
    before = rng.random(400) < 0.5
    outcomes = pd.DataFrame({"customer_id": range(400), "arm": ["mail", "control"] * 200, "pre_converted": before})
    for buyers, is_adjusted in ((120, True), (30, False)):  # of 400; a fifth of the fewer in an arm is not enough
        converted = np.zeros(400, bool)
        converted[np.argsort(-(before + 0.5 * rng.random(400)))[:buyers]] = True
        row = only(effect_table(outcomes.assign(converted=converted)), metric="converted")
        assert (not pd.isna(row["variance_reduction_share"])) == is_adjusted
    asked = effect_table(outcomes.assign(converted=converted), covariates=["pre_converted"])
    assert not pd.isna(only(asked, metric="converted")["variance_reduction_share"])


def test_a_mailing_without_a_detectable_effect(shared_data):
    parts = [pd.read_parquet(shared_data / f"information_uplift/{part}.parquet") for part in ("train", "valid")]
    trial = pd.concat(parts)
    numbers = [name for name in trial.columns if name not in ("TREATMENT", "PURCHASE", "UNIQUE_ID")]
    numbers = [name for name in numbers if trial[name].dtype.kind in "fi" and trial[name].notna().all()]
    outcomes = trial[numbers].assign(
        customer_id=range(len(trial)),
        arm=np.where(trial["TREATMENT"] == 1, "mail", "control"),
        converted=trial["PURCHASE"],
    )
    plain = only(effect_table(outcomes), metric="converted")
    means = trial.groupby("TREATMENT")["PURCHASE"].mean()
    assert plain["difference"] == pytest.approx(means[1] - means[0])
    assert plain["p_value"] > 0.5
    sharper = only(effect_table(outcomes, covariates=numbers), metric="converted")
    assert 0.2 < sharper["variance_reduction_share"] < 0.25
    assert sharper["difference_low"] < 0 < sharper["difference_high"]


# -- who is compared -----------------------------------------------------------------------------------------------


def test_one_row_per_campaign_segment_arm_and_metric_in_order():
    table = effect_table(campaigns(), by="segment", metrics=["revenue_amount", "converted"])
    assert list(table.columns[:4]) == ["campaign_id", "segment", "arm", "metric"]
    found = list(table[["campaign_id", "segment", "arm", "metric"]].itertuples(index=False, name=None))
    assert found == [
        (campaign, segment, arm, metric)
        for campaign in ("autumn", "spring")
        for segment in "abc"
        for arm in ("call", "mail")
        for metric in ("revenue_amount", "converted")
    ]
    whole = campaigns()
    counted = table[table["metric"] == "converted"].groupby("campaign_id")["treated_count"].sum()
    assert counted.to_dict() == whole[whole["arm"] != "control"]["campaign_id"].value_counts().to_dict()


@given(seed=st.integers(0, 1000), campaign=st.sampled_from(["spring", "autumn"]), segment=st.sampled_from("abc"))
def test_each_row_is_that_of_its_customers_alone_whatever_their_order(seed, campaign, segment):
    outcomes = campaigns(300, seed)
    table = effect_table(outcomes.sample(frac=1, random_state=seed), by="segment", correction="none")
    rows = table[(table["campaign_id"] == campaign) & (table["segment"] == segment)].reset_index(drop=True)
    alone = outcomes[(outcomes["campaign_id"] == campaign) & (outcomes["segment"] == segment)]
    known = effect_table(alone.drop(columns="segment"), correction="none")
    pd.testing.assert_frame_equal(rows.drop(columns="segment"), known)


def test_arms_of_other_campaigns_are_not_compared():
    outcomes = campaigns()
    outcomes = outcomes[(outcomes["campaign_id"] == "spring") | (outcomes["arm"] != "call")]
    table = effect_table(outcomes, metrics="converted")
    assert list(zip(table["campaign_id"], table["arm"], strict=True)) == [
        ("autumn", "mail"),
        ("spring", "call"),
        ("spring", "mail"),
    ]


def test_another_name_of_the_control_group_and_ids_that_are_numbers(frame):
    data = NEWCOMBE | {
        "arm": [1 if arm == "mail" else 0 for arm in NEWCOMBE["arm"]],
        "campaign_id": [7] * 150,
    }
    row = only(effect_table(frame(data), control=0), metric="converted")
    assert (row["campaign_id"], row["arm"], row["difference"]) == (7, "1", pytest.approx(0.2))


# -- several at once -----------------------------------------------------------------------------------------------


def test_a_family_is_one_campaign_and_metric():
    outcomes = campaigns()
    plain, holm, false_discovery = (
        effect_table(outcomes, by="segment", correction=name) for name in ("none", "holm", "benjamini_hochberg")
    )
    assert plain["adjusted_p_value"].tolist() == plain["p_value"].tolist()
    for _, rows in plain.groupby(["campaign_id", "metric"]):
        assert len(rows) == 6
        ordered = rows["p_value"].sort_values()
        expected = (ordered * np.arange(6, 0, -1)).clip(upper=1).cummax()
        assert holm.loc[expected.index, "adjusted_p_value"].tolist() == pytest.approx(expected.tolist())
        known = stats.false_discovery_control(ordered)
        assert false_discovery.loc[expected.index, "adjusted_p_value"].tolist() == pytest.approx(list(known))
    assert (holm["is_significant"] == (holm["adjusted_p_value"] <= 0.05)).all()
    assert holm["difference_low"].tolist() == plain["difference_low"].tolist()


# -- little is known -----------------------------------------------------------------------------------------------


def test_every_missing_figure_has_a_reason():
    data = [("a", "mail", 1.0), ("a", "mail", 2.0), ("a", "control", 0.0), ("a", "control", 0.0)]
    data += [("b", "mail", 5.0), ("c", "mail", 3.0), ("c", "control", 1.0), ("d", "control", 4.0)]
    data += [("e", "mail", 2.0), ("e", "mail", 2.0), ("e", "control", 2.0), ("e", "control", 2.0)]
    outcomes = pd.DataFrame(data, columns=["segment", "arm", "revenue_amount"]).reset_index(names="customer_id")
    table = effect_table(outcomes, by="segment").set_index("segment")
    assert table["remark"].to_dict() == {
        "a": "no ratio: the control group's mean is not above 0",
        "b": "nobody in the control group",
        "c": "a single customer in an arm: no interval",
        "d": "nobody in the arm",
        "e": "the same value throughout: no interval",
    }
    assert table.loc["c", "difference"] == 2
    assert table.loc["d", "control_mean"] == 4
    assert table.loc[list("bcde"), "p_value"].isna().all()
    assert not table["is_significant"].any()
    assert table.loc[list("bcde"), "method"].isna().all()


def test_too_few_customers_are_not_adjusted():
    outcomes = pd.DataFrame({"customer_id": range(5), "arm": ["mail", "mail", "control", "control", "control"]})
    outcomes = outcomes.assign(revenue_amount=[3.0, 4, 1, 0, 2], pre_revenue_amount=[1.0, 2, 1, 0, 5])
    row = only(effect_table(outcomes), metric="revenue_amount")
    assert row["remark"] == "too few customers in an arm to adjust"
    assert row["difference"] == 2.5
    assert row["method"] == "Welch, corrected for skewness; ratio: Fieller"


# -- refusals ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "options", "words"),
    [
        ({"arm": ["mail"] * 150}, {}, r"there is no control group.*Without a control group see matched_effect_table"),
        ({"arm": ["control"] * 150}, {}, "nobody was treated"),
        ({"customer_id": [1] * 150}, {}, r"expected one row per customer_id, but \['1'\] appear more than once"),
        ({}, {"covariates": "past"}, r'covariates must be "pre".*such as \[\'past\'\], got \'past\''),
        ({}, {"covariates": ["converted"]}, "covariates=.*known only after the contact. Take what was known before it"),
        ({}, {"by": "converted"}, r"by=\['converted'\] are keys, or known only after the contact"),
        ({}, {"by": ["arm", "arm"]}, "by must be a column name or a list of different ones"),
        ({}, {"correction": "bonferroni"}, r"correction must be one of \['holm', 'benjamini_hochberg', 'none'\]"),
        ({}, {"confidence": 95}, "confidence must be a fraction between 0 and 1"),
        ({"converted": [None] + [True] * 149}, {}, "'converted' is missing in 1 of 150 rows"),
    ],
)
def test_bad_tables_and_options_are_refused(changes, options, words):
    with pytest.raises(SchemaError, match=words):
        effect_table(pd.DataFrame(NEWCOMBE | changes), **options)


def test_columns_that_are_not_there_are_named():
    with pytest.raises(MissingColumnsError, match=r"none of the usual outcomes.*metrics=\['<your column>'\]"):
        effect_table(pd.DataFrame(NEWCOMBE).rename(columns={"converted": "sale"}))
    with pytest.raises(MissingColumnsError, match=r"effect_table needs the columns \['convertd'\]. Did you mean 'conv"):
        effect_table(pd.DataFrame(NEWCOMBE), metrics="convertd")
    with pytest.raises(MissingColumnsError, match=r"effect_table needs the columns \['region'\]"):
        effect_table(pd.DataFrame(NEWCOMBE), by="region")
    lacks_arm = pd.DataFrame(NEWCOMBE).rename(columns={"arm": "no control group"})
    with pytest.raises(MissingColumnsError, match=r"effect_table needs the columns \['arm'\].*group', 'converted'\]$"):
        effect_table(lacks_arm)


def test_every_campaign_needs_its_own_control_group():
    outcomes = campaigns()
    without = outcomes[(outcomes["campaign_id"] == "spring") | (outcomes["arm"] != "control")]
    with pytest.raises(SchemaError, match=r"1 of 2 campaigns have no control group: \['autumn'\].*Leave these camp"):
        effect_table(without)
    only_control = outcomes[(outcomes["campaign_id"] == "spring") | (outcomes["arm"] == "control")]
    with pytest.raises(SchemaError, match=r"1 of 2 campaigns have nobody but control: \['autumn'\]"):
        effect_table(only_control)


def test_customers_not_contacted_are_no_control_group(frame):
    outcomes = NEWCOMBE | {"arm": ["mail"] * 70 + ["not contacted"] * 80}
    with pytest.warns(DataQualityWarning, match="effect_table: 'not contacted' is no control group.*See match") as told:
        table = to_pandas(effect_table(frame(outcomes), control="not contacted"))
    assert len(told) == 1
    assert table["remark"].tolist() == ["not comparable: the groups were not dealt at random"]
    trial = to_pandas(effect_table(frame(NEWCOMBE)))
    pd.testing.assert_frame_equal(table.drop(columns="remark"), trial.drop(columns="remark"))


# -- picture -------------------------------------------------------------------------------------------------------


def test_the_picture_has_a_line_for_every_row_and_fills_what_is_significant():
    table = effect_table(campaigns(), metrics="converted")
    ax = plot_effects(table)
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "autumn, call", "autumn, mail", "spring, call", "spring, mail",
    ]  # fmt: skip
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [dot.get_xdata()[0] for dot in dots] == pytest.approx((table["ratio"] - 1).tolist())
    assert [dot.get_markerfacecolor() != "white" for dot in dots] == table["is_significant"].tolist()
    assert [text.get_text() for text in ax.texts] == [f"{100 * value:+.1f} points" for value in table["difference"]]


def test_the_picture_writes_differences_as_they_are_read():
    rows = {"difference": [-8.58e-06, 0.0117, -0.0004, 1234.5, 12.345], "ratio": 1.1, "ratio_low": 1.0}
    rows |= {"metric": ["order_count", "converted", "clicked", "revenue_amount", "revenue_amount"], "arm": "mail"}
    rows |= {"ratio_high": 1.2, "is_significant": False, "method": ["Welch", "Welch", SHARE_METHOD, "Welch", "Welch"]}
    words = [text.get_text() for text in plot_effects(pd.DataFrame(rows)).texts]
    assert words == ["+0.000", "+1.2 points", "+0.0 points", "+1,234", "+12.35"]


def test_the_picture_shows_where_an_interval_has_no_end():
    outcomes = pd.DataFrame(NEWCOMBE).assign(converted=[True] * 56 + [False] * 94)
    ax = plot_effects(effect_table(outcomes))
    assert [text.get_text() for text in ax.texts] == ["no ratio"]
    assert any(line.get_marker() == ">" for line in ax.lines)


def test_the_picture_says_what_it_draws():
    with pytest.raises(MissingColumnsError, match=r"plot_effects draws the result of effect_table\(...\)"):
        plot_effects(pd.DataFrame({"a": [1]}))
    table = effect_table(campaigns(), by=["segment", "pre_revenue_amount"], metrics="converted")
    with pytest.raises(SchemaError, match=r"rows, expected 1 to 60. Draw some of them"):
        plot_effects(table)


def test_money_is_never_a_share():
    table = pd.DataFrame({"customer_id": range(200), "arm": ["mail", "control"] * 100, "revenue_amount": 0.0})
    row = effect_table(table).iloc[0]
    assert row["difference"] == 0.0
    assert pd.isna(row["difference_low"])
    assert row["remark"] == "the same value throughout: no interval"
