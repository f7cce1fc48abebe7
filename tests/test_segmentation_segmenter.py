"""What CustomerSegmenter promises: a documented space, known groups found, names that say why, new customers placed."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from crmlytics._frames import to_pandas
from crmlytics._kernels.clusters import find_clusters
from crmlytics._kernels.partitions import adjusted_rand, best_jaccard, contingency
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.segmentation._differences import names_by_difference
from crmlytics.segmentation._encoding import Numbers, Words, learn_encoding
from crmlytics.segmentation.segmenter import CustomerSegmenter
from crmlytics.segmentation.summaries import segment_summary_table
from crmlytics.testing import check_table_estimator, make_frame, records

METHODS = ["k-means", "gaussian mixture", "k-prototypes", "hierarchical"]


def known_groups(size=40, seed=0):
    """Return three groups, apart in two numbers and mostly in a word, and who is in which."""
    rng = np.random.default_rng(seed)
    group = rng.permutation(np.repeat([0, 1, 2], size))
    slip = rng.random(len(group)) < 0.1
    table = {
        "customer_id": [f"c{number:03d}" for number in range(len(group))],
        "visits": rng.normal(np.array([0.0, 10.0, 20.0])[group], 1.0).round(3),
        "basket": rng.normal(np.array([50.0, 10.0, 50.0])[group], 3.0).round(3),
        "channel": np.where(slip, "shop", np.array(["web", "shop", "phone"])[group]).tolist(),
    }
    return {name: list(values) for name, values in table.items()}, group


TABLE, GROUP = known_groups()


# -- the space -----------------------------------------------------------------------------------------------------


def test_numbers_by_hand():
    column = Numbers.of(np.array([0.0, 1.0, 2.0, 3.0, 4.0]))  # median 2, variance 2, nobody far away
    assert column.unit is None
    np.testing.assert_allclose(column.place(np.array([0.0, 2.0, np.nan]))[:, 0], [-2 / np.sqrt(2), 0.0, 0.0])
    beyond = column.place(np.array([4.0, 400.0]))[:, 0]
    assert beyond[0] == beyond[1]  # cut at what was seen


def test_heavy_tails_become_logarithms_and_one_giant_is_cut_at_four_robust_deviations():
    heavy = np.exp(np.linspace(0, 8, 101))
    assert Numbers.of(heavy).unit == pytest.approx(np.quantile(heavy, 0.05))  # the logarithm proper: even tails
    assert Numbers.of(np.array([0.0, 1.0] * 20)).unit is None  # a flag has no tail
    values = np.append(np.linspace(-1, 1, 99), 1e6)
    lower, middle, upper = np.quantile(values, [0.25, 0.5, 0.75])
    assert Numbers.of(values).high == pytest.approx(middle + 4 * (upper - lower) / 1.349)


def test_a_column_of_words_weighs_as_much_as_one_of_numbers():
    codes = np.repeat([0.0, 1.0, 2.0], [50, 30, 20])
    column = Words.of(codes, ("a", "b", "c"))
    assert column.place(codes).var(axis=0).sum() == pytest.approx(1.0)
    assert column.height == pytest.approx(1 / np.sqrt(1 - 0.25 - 0.09 - 0.04))
    np.testing.assert_allclose(column.place(np.array([np.nan]))[0], np.array([0.5, 0.3, 0.2]) * column.height)
    rare = Words.of(np.repeat([0.0, 1.0], [99, 1]), ("a", "b"))
    assert rare.height == pytest.approx(1 / np.sqrt(0.18))  # not 1 / sqrt(0.0198): seven times as far


def test_missing_words_are_a_level_and_missing_numbers_the_median():
    table = pd.DataFrame({"word": ["a", "b", None] * 20, "number": [1.0, None, 3.0] * 20})
    encoding = learn_encoding(table, ["word", "number"], caller="test")
    assert encoding.parts() == [("word", "a"), ("word", "b"), ("word", "missing"), ("number", None)]
    assert encoding.blocks == [slice(0, 3)]
    assert encoding.matrix(table, caller="test")[1, 3] == 0.0


def test_units_do_not_matter():
    rng = np.random.default_rng(3)
    euros = pd.DataFrame({"customer_id": range(200), "amount": rng.lognormal(3, 1.5, 200), "days": rng.random(200)})
    cents = euros.assign(amount=euros["amount"] * 100)
    labels = [CustomerSegmenter(segments=3).fit_predict(table) for table in (euros, cents)]
    assert (labels[0] == labels[1]).all()


# -- groups --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_finds_known_groups(method):
    table = make_frame(TABLE, "pandas")
    model = CustomerSegmenter(method=method, segments=3).fit(table)
    assert adjusted_rand_score(GROUP, model.predict(table)) == 1.0
    assert model.method_ == method
    assert model.segment_shares_.tolist() == pytest.approx([1 / 3] * 3)


def test_the_number_of_segments_is_found_too():
    table = make_frame(TABLE, "pandas").drop(columns="channel")
    assert CustomerSegmenter().fit(table).segment_count_ == 3


def test_one_cloud_is_one_segment_and_says_so():
    rng = np.random.default_rng(1)
    cloud = pd.DataFrame({"customer_id": range(300), "a": rng.normal(size=300), "b": rng.normal(size=300)})
    with pytest.warns(DataQualityWarning, match=r"everybody is one segment. segments=4 cuts the cloud"):
        model = CustomerSegmenter().fit(cloud)
    assert model.segment_names_ == ["everybody"]
    assert model.score(cloud) == 0.0
    first = records(model.score_table(cloud))[0]
    assert first[1:3] == ("everybody", 1)
    assert first[4:] == (1.0, None, None)


def test_fewer_segments_than_asked_for_are_said():
    rng = np.random.default_rng(196)
    words = {name: rng.choice(list("xyz"), 40, p=[0.8, 0.1, 0.1]) for name in "uvwxy"}
    same_levels = pd.DataFrame({"customer_id": range(40), **words})
    with pytest.warns(
        DataQualityWarning,
        match=r"2 segments were looked for and 1 found: nobody would be in another one \(method='k-prototypes'\). "
        r'Type segments=1, or take method="k-means"',
    ):
        assert CustomerSegmenter(segments=2).fit(same_levels).segment_count_ == 1
    assert CustomerSegmenter(segments=2, method="k-means").fit(same_levels).segment_count_ == 2  # as the warning says
    rare = pd.DataFrame({"customer_id": range(40_000), "a": [1] + [0] * 39_999, "b": [0] * 39_999 + [1]})
    with pytest.warns(DataQualityWarning, match=r"begins with 3,000 of 40,000 customers and may miss rare ones"):
        CustomerSegmenter(segments=3, method="hierarchical").fit(rare)


def test_a_mixture_finds_long_groups_that_k_means_cuts():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 300)
    along = rng.normal(0, 6, 600)
    table = pd.DataFrame({"customer_id": range(600), "a": along, "b": along + rng.normal(group * 6.0, 0.5)})
    found = {name: CustomerSegmenter(method=name, segments=2).fit_predict(table) for name in METHODS[:2]}
    assert adjusted_rand_score(group, found["gaussian mixture"]) > 0.98
    assert adjusted_rand_score(group, found["k-means"]) < 0.3


def test_prototypes_have_one_level_of_each_feature_of_words():
    rng = np.random.default_rng(2)
    words = pd.DataFrame({name: rng.choice(list("xyz"), 300, p=[0.6, 0.3, 0.1]) for name in ("u", "v", "w")})
    model = CustomerSegmenter(segments=3).fit(words)
    assert model.method_ == "k-prototypes"  # at least half of the features are words
    for block in model.encoding_.blocks:
        assert ((model.clusters_.centres[:, block] > 0).sum(axis=1) == 1).all()
    matrix, labels = model.encoding_.matrix(words, caller="test"), model.predict(words) - 1
    for segment, centre in enumerate(model.clusters_.centres):  # the level that most of the segment have
        shares = matrix[labels == segment].mean(axis=0)
        assert all(shares[block].argmax() == centre[block].argmax() for block in model.encoding_.blocks)
    nearest = ((matrix[:, None] - model.clusters_.centres) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest == labels).all()
    mixed = CustomerSegmenter(method="k-means", segments=3).fit(words)
    assert (mixed.clusters_.centres[:, :3] > 0).sum() > 3  # k-means mixes levels


def test_the_largest_segment_is_number_one_whatever_the_order_of_rows():
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(0, 1, (20, 2)), rng.normal(9, 1, (50, 2)), rng.normal([0, 9], 1, (30, 2))])
    for order in (np.arange(100), rng.permutation(100)):
        found = find_clusters(points[order], 3, "k-means", [], seed=0)
        assert np.bincount(found.labels(points[order])).tolist() == [50, 30, 20]


def test_a_large_table_ends_on_all_rows():
    rng = np.random.default_rng(0)
    points = rng.normal(np.repeat([[0.0], [8.0]], 60_000, axis=0), 1.0)
    centres = np.sort(find_clusters(points, 2, "k-means", [], seed=0).centres[:, 0])
    halves = [points[points < 4].mean(), points[points >= 4].mean()]
    np.testing.assert_allclose(centres, halves, atol=1e-3)


# -- names ---------------------------------------------------------------------------------------------------------


def test_names_by_hand():
    parts = [
        ("orders", "low orders", "high orders"), ("days", "low days", "high days"),
        ("channel", None, "channel web"), ("channel", None, "channel shop"),
    ]  # fmt: skip
    differences = np.array([[1.2, -0.9, 0.1, -0.1], [-0.2, 0.2, 0.0, 0.0], [-1.0, 0.2, 0.8, -0.8]])
    assert names_by_difference(differences, parts) == [
        "high orders, low days", "average", "low orders, channel web",
    ]  # fmt: skip
    assert names_by_difference(differences[:1], parts) == ["everybody"]
    rare = np.array([[0.1, 0.1, -0.9, 0.5], [0.1, 0.1, 0.4, -0.2]])  # what is rare follows from what is frequent
    assert names_by_difference(rare, parts) == ["channel shop", "channel web"]
    both = np.array([[0.5, 0.1, 0.9, 0.7], [-0.5, -0.1, 0.1, -0.2]])
    assert names_by_difference(both, parts) == ["channel web or shop", "low orders"]


def test_flags_are_named_by_their_values():
    table = pd.DataFrame({"late": [True] * 6 + [False] * 6, "accepted": [0, 1] * 6, "visits": range(12)})
    phrases = learn_encoding(table, list(table), caller="test").phrases()
    assert phrases == [
        ("late", "late False", "late True"), ("accepted", "accepted 0", "accepted 1"),
        ("visits", "low visits", "high visits"),
    ]  # fmt: skip


def test_segments_that_would_share_a_name_get_more_words_or_a_number():
    parts = [(name, f"low {name}", f"high {name}") for name in "abc"]
    assert names_by_difference(np.array([[2, 1, 0.5], [2, 1, -0.5]]), parts) == [
        "high a, high b, high c", "high a, high b, low c",
    ]  # fmt: skip
    same = np.array([[2, 1, 0.0], [2, 1, 0.0]])
    assert names_by_difference(same, parts) == ["high a, high b (1)", "high a, high b (2)"]


# -- scoring -------------------------------------------------------------------------------------------------------


def test_scores_on_every_frame(frame):
    table = frame(TABLE)
    model = CustomerSegmenter(segments=3).fit(make_frame(TABLE, "pandas"))
    scores = model.score_table(table)
    assert type(scores) is type(table)
    found = to_pandas(scores)
    assert found.columns.tolist() == [
        "customer_id", "segment", "segment_number", "distance", "membership_probability", "second_segment",
        "second_probability",
    ]  # fmt: skip
    assert found["customer_id"].tolist() == TABLE["customer_id"]
    assert adjusted_rand_score(GROUP, found["segment_number"].astype(int)) == 1.0
    assert (found["segment"] != found["second_segment"]).all()


@pytest.mark.parametrize("method", ["k-means", "gaussian mixture"])
def test_house_rules(method):
    few = {name: values[::3] for name, values in TABLE.items()}
    kinds = ["pandas", "pandas-nullable", "polars-lazy", "pyarrow", "duckdb"]
    check_table_estimator(CustomerSegmenter(method=method, segments=3), few, kinds=kinds)


def test_membership_is_that_of_round_groups_of_one_width():
    values = np.array([0.0, 1.0, 2.0, 10.0, 11.0, 12.0])
    table = pd.DataFrame({"customer_id": range(6), "visits": values})
    model = CustomerSegmenter(segments=2).fit(table)
    found = model.score_table(pd.DataFrame({"customer_id": [0, 1], "visits": [5.0, 6.0]}))
    scale = values.std()  # quartiles far apart: nothing is cut
    variance = (2 / 3) / scale**2  # mean square of -1, 0, 1
    low, high = 4 / scale, 6 / scale  # from 5 to the centres 1 and 11
    weight = np.exp(-(np.array([low, high]) ** 2) / (2 * variance))
    assert found["distance"][0] == pytest.approx(low)
    assert found["membership_probability"][0] == pytest.approx(weight[0] / weight.sum())
    assert found["second_probability"][0] == pytest.approx(weight[1] / weight.sum())
    assert found["distance"][1] == pytest.approx(5 / scale)
    assert found["membership_probability"][1] == pytest.approx(0.5)  # 6 is in the middle


def test_score_is_the_simplified_silhouette_by_hand():
    table = pd.DataFrame({"customer_id": range(4), "visits": [0.0, 2.0, 10.0, 12.0]})  # centres 1 and 11
    model = CustomerSegmenter(segments=2).fit(table)
    assert model.score(table) == pytest.approx(np.mean([1 - 1 / 11, 1 - 1 / 9, 1 - 1 / 9, 1 - 1 / 11]))


def test_new_customers_with_levels_never_seen_and_nothing_known():
    model = CustomerSegmenter(segments=3).fit(make_frame(TABLE, "pandas"))
    new = pd.DataFrame({
        "customer_id": ["n1", "n2"], "visits": [0.5, None], "basket": [50.0, None], "channel": ["fax", None],
    })  # fmt: skip
    found = model.score_table(new)
    old = model.score_table(make_frame(TABLE, "pandas"))
    assert found["segment"][0] == old["segment"][int(np.flatnonzero(GROUP == 0)[0])]
    assert found["membership_probability"].between(0, 1).all()


def test_a_table_without_a_key_is_known_by_row_numbers():
    table = make_frame(TABLE, "polars").drop("customer_id")
    scores = CustomerSegmenter(segments=3).fit(table).score_table(table)
    assert scores["row_number"].to_list() == list(range(len(GROUP)))


@settings(max_examples=15)
@given(seed=st.integers(0, 1000), count=st.integers(1, 4))
def test_everybody_is_in_one_segment_and_shares_add_up(seed, count):
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {"customer_id": rng.permutation(40), "a": rng.normal(size=40), "w": rng.choice(["x", "y"], 40)}
    )
    model = CustomerSegmenter(segments=count, random_state=seed).fit(table)
    scores = model.score_table(table)
    assert scores["customer_id"].tolist() == sorted(table["customer_id"])
    assert scores["segment_number"].value_counts().sort_index().tolist() == model.sizes_.tolist()
    assert model.segment_shares_.sum() == pytest.approx(1.0)
    assert len(set(model.segment_names_)) == model.segment_count_ == count
    assert (scores["membership_probability"] >= scores["second_probability"].fillna(0)).all()


# -- partitions ----------------------------------------------------------------------------------------------------


def test_likeness_of_partitions_by_hand_and_by_scikit_learn():
    counts = np.array([[2, 0], [1, 1]])
    np.testing.assert_allclose(best_jaccard(counts), [2 / 3, 1 / 2])
    assert adjusted_rand(np.array([[2, 0, 0], [0, 1, 1]])) == pytest.approx(4 / 7)  # scikit-learn's documentation
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 4, 200), rng.integers(0, 3, 200)
    assert adjusted_rand(contingency(one, other, (4, 3))) == pytest.approx(adjusted_rand_score(one, other))
    assert adjusted_rand(contingency(one, one, (4, 4))) == 1.0


# -- refusals ------------------------------------------------------------------------------------------------------


def test_refusals():
    table = make_frame(TABLE, "pandas")
    with pytest.raises(SchemaError, match=r"method must be one of \['auto', 'k-means'.*Did you mean 'k-means'"):
        CustomerSegmenter(method="kmeans", segments=2).fit(table)
    with pytest.raises(SchemaError, match=r'segments must be "auto" or a whole number of at least 1, got 0'):
        CustomerSegmenter(segments=0).fit(table)
    with pytest.raises(MissingColumnsError, match=r"features names 'vists', no such column. Did you mean 'visits'"):
        CustomerSegmenter(features=["vists"]).fit(table)
    with pytest.raises(MissingColumnsError, match=r"key names 'client', no such column"):
        CustomerSegmenter(key="client").fit(table)
    with pytest.raises(SchemaError, match=r"one row per customer_id, but \['c000'\] appear more than once"):
        CustomerSegmenter().fit(pd.concat([table, table.head(1)]))
    with pytest.raises(MissingColumnsError, match=r"lacks the column 'basket' that the model learnt from"):
        CustomerSegmenter(segments=2).fit(table).score_table(table.drop(columns="basket"))


def test_bad_tables_are_refused_with_reasons():
    constant = pd.DataFrame({"customer_id": range(5), "a": [1.0] * 5, "b": [None] * 5})
    with pytest.raises(
        SchemaError, match=r"no column is left to learn from \(a: the same in every row; b: no value in any row\)"
    ):
        CustomerSegmenter(segments=2).fit(constant)
    with pytest.raises(SchemaError, match=r"'a' holds numbers beyond 1e\+100 in 4 rows. Give it in another unit"):
        CustomerSegmenter(segments=2).fit(pd.DataFrame({"customer_id": range(5), "a": np.arange(5) * 1e300}))
    nested = pd.DataFrame({"customer_id": range(4), "a": [1.0, 2.0, 3.0, 4.0], "b": [[1], [2], [1, 2], None]})
    for kind in ("pandas", "polars", "pyarrow", "duckdb"):
        model = CustomerSegmenter(segments=2).fit(make_frame(nested.to_dict("list"), kind))
        assert model.left_out_ == {"b": "neither numbers nor words"}
    few = pd.DataFrame({"customer_id": range(5), "a": [1.0, 1.0, 2.0, 2.0, 2.0]})
    with pytest.raises(SchemaError, match=r"segments=3 needs 3 different customers, and the 5 rows hold 2"):
        CustomerSegmenter(segments=3).fit(few)
    with pytest.raises(SchemaError, match=r'segments="auto" needs 10 different customers, and the 5 rows'):
        CustomerSegmenter().fit(few)
    with pytest.warns(DataQualityWarning, match=r"If 'household_id' is the customer, type key='household_id'"):
        CustomerSegmenter(segments=2).fit(few.rename(columns={"customer_id": "household_id"}))
    one_column = CustomerSegmenter(segments=2).fit(few)
    assert one_column.segment_names_ == ["a 2", "a 1"]


def test_ids_in_the_index_are_not_lost():
    lines = pd.DataFrame({"customer_id": [1, 1, 2, 3], "amount": [1.0, 2.0, 3.0, 9.0]})
    grouped = lines.groupby("customer_id").agg(amount=("amount", "sum"), lines=("amount", "size"))
    said = r"'customer_id' is the index of the table, no column: type table.reset_index\(\)"
    with pytest.raises(SchemaError, match=r"CustomerSegmenter.fit: " + said):
        CustomerSegmenter(segments=2).fit(grouped)
    model = CustomerSegmenter(segments=2).fit(grouped.reset_index())
    with pytest.raises(SchemaError, match=r"score_table: " + said):
        model.score_table(grouped)
    with pytest.raises(SchemaError, match=r"segment_summary_table: " + said):
        segment_summary_table(grouped.reset_index(), model.score_table(grouped.reset_index()).set_index("customer_id"))


# -- real customers ------------------------------------------------------------------------------------------------


def test_wholesale_segments_find_the_channels(shared_data):
    table = pd.read_parquet(shared_data / "wholesale_customers.parquet")
    spending = table.drop(columns=["Channel", "Region"])
    labels = CustomerSegmenter(segments=2).fit_predict(spending)
    assert adjusted_rand_score(table["Channel"], labels) > 0.5  # hotels and restaurants against shops, never told


def test_a_raw_export_is_read_and_what_says_nothing_is_named(shared_data):
    table = pd.read_parquet(shared_data / "customer_personality.parquet")
    model = CustomerSegmenter(segments=3, key="ID").fit(table)
    assert {"Z_CostContact", "Z_Revenue"} <= set(model.left_out_)
    assert model.left_out_["Z_Revenue"] == "the same in every row"
    summary = segment_summary_table(table, model.score_table(table), key="ID", features=["Income", "Marital_Status"])
    income = summary[summary["feature"] == "Income"].set_index("segment")
    assert (income["mean"] * income["customer_count"]).sum() / len(table) == pytest.approx(
        table["Income"].mean(),
        rel=0.01,  # 24 incomes are unknown
    )
    assert income["standardised_difference"].abs().max() > 0.8
