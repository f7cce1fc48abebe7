"""What segment_count_table promises: known groups counted, one cloud told from them, evidence that can be checked."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import silhouette_score

from crmlytics._kernels.cluster_counts import one_cloud
from crmlytics.exceptions import SchemaError
from crmlytics.segmentation.counting import segment_count_table
from crmlytics.segmentation.segmenter import CustomerSegmenter
from crmlytics.testing import make_frame, records

CORNERS = np.array([[0, 0], [6, 0], [0, 6], [6, 6]])


def four_groups(seed=0, n=240):
    rng = np.random.default_rng(seed)
    points = CORNERS[np.repeat(range(4), n // 4)] + rng.normal(size=(n, 2))
    return pd.DataFrame({"customer_id": rng.permutation(n), "a": points[:, 0], "b": points[:, 1]})


def suggested(table):
    return int(table["segment_count"][table["suggested"]].iloc[0])


def test_four_groups_are_counted_and_the_columns_are_what_they_say():
    customers = four_groups()
    table = segment_count_table(customers, counts=[3, 4, 5])
    assert suggested(table) == 4
    assert table["segment_count"].tolist() == [1, 3, 4, 5]
    assert table["verdict"].tolist()[::2] == ["more than one cloud", "clearest of the stable"]
    best = table[table["suggested"]].iloc[0]
    assert best["lowest_jaccard"] > 0.95
    assert best["adjusted_rand_low"] > 0.9
    assert best["smallest_share"] == pytest.approx(0.25, abs=0.02)
    model = CustomerSegmenter(segments=4).fit(customers)
    matrix = model.encoding_.matrix(customers, caller="test")
    assert best["silhouette"] == pytest.approx(silhouette_score(matrix, model.predict(customers)))
    assert best["silhouette_low"] < best["silhouette"] < best["silhouette_high"]


def test_what_is_not_found_again_is_not_suggested():
    table = segment_count_table(four_groups(), counts=[5])
    assert table["gap"][1] - 2 * table["gap_error"][1] > table["gap"][0]  # tighter than one cloud, and yet
    assert table["verdict"][1] == "not found again"
    assert suggested(table) == 1


@pytest.mark.parametrize("kind", ["correlated", "heavy tails", "counts and words"])
def test_one_cloud_has_no_segments(kind):
    rng = np.random.default_rng(7)
    a = rng.normal(size=300)
    clouds = {
        "correlated": {"a": a, "b": a + rng.normal(size=300) / 2},
        "heavy tails": {"a": np.exp(a), "b": rng.lognormal(2, 1.5, 300)},
        "counts and words": {"a": rng.poisson(3, 300), "b": a, "w": rng.choice(list("xyz"), 300)},
    }
    customers = pd.DataFrame({"customer_id": range(300)} | clouds[kind])
    table = segment_count_table(customers, counts=range(2, 6), replicates=10)
    assert suggested(table) == 1
    assert table["verdict"][0] == "one cloud: no segments"


def test_gap_of_one_group_by_hand():
    customers = pd.DataFrame({"customer_id": range(30), "a": np.arange(30.0)})
    table = segment_count_table(customers, counts=[2], references=100, replicates=2)
    # squares about the mean: 30 (30^2 - 1) / 12 here, 29 29^2 / 12 on average of 30 even draws from 0 to 29, whose
    # logarithm is lower by half their squared coefficient of variation, 0.8 / 30
    by_hand = np.log(29 * 29**2 / 12) - 0.4 / 30 - np.log(30 * (30**2 - 1) / 12)
    assert table["gap"][0] == pytest.approx(by_hand, abs=0.05)
    assert suggested(table) == 1


def test_a_table_without_groups_keeps_margins_and_loses_what_ties_columns():
    rng = np.random.default_rng(0)
    group = rng.integers(0, 2, 400)
    number = rng.normal(group * 8.0, 1.0)
    flag = np.eye(2)[group]
    matrix = np.column_stack([number, flag, group * 1.0])
    cloud = one_cloud(matrix, [slice(1, 3)], rng)
    assert (cloud[:, 1:3].sum(axis=1) == 1).all()  # one level each
    assert cloud[:, 1:].sum(axis=0).tolist() == matrix[:, 1:].sum(axis=0).tolist()  # as many of each as before
    assert abs(np.corrcoef(cloud[:, 1], cloud[:, 3])[0, 1]) < 0.2  # and not of the same customers
    assert number.min() <= cloud[:, 0].min() < cloud[:, 0].max() <= number.max()
    assert ((cloud[:, 0] > 3) & (cloud[:, 0] < 5)).mean() > 0.1  # where nobody was


def test_same_answer_whatever_the_order_and_the_kind_of_frame():
    customers = four_groups(n=80)
    options = {"counts": [2, 4], "replicates": 4, "references": 3}
    expected = records(segment_count_table(customers, **options))
    shuffled = customers.sample(frac=1, random_state=1)
    assert records(segment_count_table(shuffled, **options)) == expected
    for kind in ("polars-lazy", "duckdb"):
        table = make_frame(customers.to_dict("list"), kind)
        found = segment_count_table(table, **options)
        assert type(found) is type(table)
        assert records(found) == expected


def test_refusals():
    customers = four_groups(n=40)
    with pytest.raises(SchemaError, match=r"counts must be a whole number of at least 2, got 1"):
        segment_count_table(customers, counts=[1, 2])
    with pytest.raises(SchemaError, match=r"counts must be whole numbers of at least 2 such as counts=range"):
        segment_count_table(customers, counts=3)
    with pytest.raises(SchemaError, match=r"counts up to 10 needs 10 different customers, and the 5 rows hold 5"):
        segment_count_table(customers.head(5))
    with pytest.raises(SchemaError, match=r"replicates must be a whole number of at least 2"):
        segment_count_table(customers, replicates=1)
