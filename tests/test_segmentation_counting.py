"""What segment_count_table promises: known groups counted, one cloud told from them, evidence that can be checked."""

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.metrics import silhouette_score

from crmlytics._kernels.cluster_counts import one_cloud
from crmlytics._kernels.valleys import highest_valley
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
    assert table["verdict"].tolist()[::2] == ["more than one cloud", "the most that stand apart"]
    best = table[table["suggested"]].iloc[0]
    assert best["lowest_jaccard"] > 0.95
    assert best["adjusted_rand_low"] > 0.9
    assert best["highest_valley"] < 0.3
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


def one_factor(rng, n):
    return rng.gamma(1.0, 1.0, n)


def rfm(rng, n):
    count = rng.poisson(one_factor(rng, n) * 7) + 1
    recency = (365 * (1 - rng.beta(count, 1))).round() + 1
    return {"recency_days": recency, "order_count": count, "total_amount": (count * rng.lognormal(3, 0.8, n)).round(2)}


def noisy(rng, n):
    points = CORNERS[np.repeat(range(4), n // 4)][:, [0, 1, 0]] + rng.normal(size=(n, 3))
    return dict(zip("abcdef", np.column_stack([points, rng.normal(size=(n, 3))]).T, strict=True))


def unequal(rng, n):
    group = np.repeat(range(4), [n // 2, n // 4, n // 8, n // 8])
    return dict(zip("ab", (CORNERS[group] + rng.normal(size=(n, 2))).T, strict=True))


WORLDS = {  # how many there are, and how often out of three that must be found
    "orders": (1, rfm),
    "counts": (
        1,
        lambda rng, n: dict(zip("abcd", rng.poisson(one_factor(rng, n) * [[0.5], [1], [3], [8]]), strict=True)),
    ),
    "shares": (1, lambda rng, n: dict(zip("abcd", rng.dirichlet([1] * 4, n).T, strict=True))),
    "four corners, three columns of noise": (4, noisy),
    "large and small": (4, unequal),
}


@pytest.mark.parametrize("world", WORLDS)
def test_clouds_of_any_shape_are_one_and_islands_are_counted(world):
    expected, make = WORLDS[world]
    options = {"counts": [2, 3, 4, 5], "replicates": 10, "references": 5, "sample_rows": 600}
    tables = [pd.DataFrame(make(np.random.default_rng(seed), 600)) for seed in (11, 12, 13)]
    found = [suggested(segment_count_table(table, **options)) for table in tables]
    assert found.count(expected) >= 2, found


def test_the_most_that_stand_apart_not_the_clearest():
    rng = np.random.default_rng(0)
    points = np.repeat([0.0, 5.0, 40.0, 45.0], 100) + rng.normal(size=400)  # two pairs: two are clearer, four are there
    table = segment_count_table(pd.DataFrame({"a": points}), counts=[2, 4], replicates=5, references=3)
    assert table["silhouette"][1] > table["silhouette"][2]
    assert suggested(table) == 4
    assert table["verdict"][1] == "apart, and more are"


def test_neighbours_that_noise_blurs_are_told_from_islands():
    rng = np.random.default_rng(1)
    table = pd.DataFrame(rng.normal(size=(600, 12))).add_prefix("x")
    table["x0"] += np.repeat([0, 8], 300)
    table["x1"] += np.repeat([0, 8], 300)
    found = segment_count_table(table, counts=[2], replicates=5, references=5)
    assert found["silhouette"][1] < 0.25
    assert found["verdict"][1] == "neighbours, no islands"


def test_valleys_by_hand():
    """Two normal groups at -3 and 3 beside a wide one: between normals at distance d the valley is known."""
    even = special.ndtri((np.arange(4000) + 0.5) / 4000)
    points = np.concatenate([even, even + 4])[:, None]
    labels = np.repeat([0, 1], 4000)
    valley = highest_valley(points, labels, np.array([[0.0], [4.0]]))
    width = 1 + (0.54 * 8000**-0.2) ** 2 * 5  # variance of a peak and of its kernel: 5 is that of both groups
    by_hand = 2 * np.exp(-(2**2) / 2 / width) / (1 + np.exp(-(4**2) / 2 / width))
    assert valley == pytest.approx(by_hand, rel=0.01)
    halves = (even > 0).astype(np.int64)
    assert highest_valley(even[:, None], halves, np.array([[-0.8], [0.8]])) > 0.95  # one peak cut in the middle
    third = np.concatenate([points, even[:, None] + 30])
    labels = np.repeat([0, 1, 2], 4000)
    centres = np.array([[0.0], [4.0], [30.0]])
    assert highest_valley(third, labels, centres) == pytest.approx(valley)  # of the pair that is least apart


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
