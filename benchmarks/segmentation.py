"""Segments of a million customers against scikit-learn's own pipeline, and of mixed columns against kmodes.

Run with ``python benchmarks/segmentation.py [customers]`` (1,000,000 by default; scikit-learn, which takes ten times as
long for ten times the rows, gets a tenth of them); ``pip install kmodes`` shows the second peer. One run and one thread
each, in seconds of the processor; memory is the peak above what was there before (Linux). The rand index (adjusted) is
that with the groups that were planted: 1 is all of them found.

"the number too" is what an analyst does without us: StandardScaler, KMeans with n_init=10 for 2 to 10 segments on all
rows, and the number of the highest silhouette on a sample. Ours adds stability and the gap statistic, and may say that
there are no segments.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from _measured import measure, peer
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, silhouette_score
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from crmlytics.segmentation import CustomerSegmenter

MIXED_ROWS = 10_000
SILHOUETTE_ROWS = 10_000


def make_customers(count, groups=5, columns=10, seed=0):
    """Five groups in ten columns, every second one with the heavy tail that amounts have."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, count)
    values = rng.normal(0, 1, (count, columns)) + 2.0 * rng.normal(0, 1, (groups, columns))[group]
    values[:, ::2] = np.exp(values[:, ::2])
    table = pd.DataFrame(values, columns=[f"measure_{number}" for number in range(columns)])
    table.insert(0, "customer_id", np.arange(count))
    return table, group


def make_mixed(count, groups=4, seed=0):
    """Four groups in four columns of numbers and five of words."""
    rng = np.random.default_rng(seed)
    group = rng.integers(0, groups, count)
    numbers = rng.normal(0, 1, (count, 4)) + 2.0 * rng.normal(0, 1, (groups, 4))[group]
    table = pd.DataFrame(numbers, columns=list("abcd"))
    for name in "vwxyz":
        slip = rng.random(count) < 0.3
        table[name] = np.array(list("klmn"))[np.where(slip, rng.integers(0, 4, count), rng.permutation(4)[group])]
    return table, group


def by_scikit_learn(table, counts):
    scaled = StandardScaler().fit_transform(table)
    few = np.random.default_rng(0).permutation(len(scaled))[:SILHOUETTE_ROWS]
    found = {}
    for count in counts:
        labels = KMeans(count, n_init=10, random_state=0).fit_predict(scaled)
        found[silhouette_score(scaled[few], labels[few])] = labels
    return found[max(found)]


def by_kmodes(kmodes, table):
    words = [place for place, name in enumerate(table.columns) if name in "vwxyz"]
    scaled = table.copy()
    scaled[list("abcd")] = StandardScaler().fit_transform(table[list("abcd")])
    return kmodes.KPrototypes(4, random_state=0).fit_predict(scaled.to_numpy(object), categorical=words)


def show(title, ours, theirs, group):
    for name, (labels, seconds, megabytes) in (("ours", ours), *theirs.items()):
        ratio = f"{seconds / ours[1]:6.1f} x" if name != "ours" else " " * 8
        rand = adjusted_rand_score(group, labels)
        print(f"{title:<34}{name:<14}{seconds:>8.1f} s{ratio}{megabytes:>8,.0f} MB   rand index {rand:.3f}", flush=True)


def benchmark_numbers(count, title, segments, tried=None):
    """Ours on a table of numbers, and scikit-learn where it is said which numbers of segments it tries."""
    table, group = make_customers(count)
    numbers = table.drop(columns="customer_id")
    ours = measure(lambda: CustomerSegmenter(segments=segments).fit_predict(table))
    theirs = {"scikit-learn": measure(lambda: by_scikit_learn(numbers, tried))} if tried else {}
    show(f"{count:,} x {numbers.shape[1]}, {title}", ours, theirs, group)


def benchmark_mixed():
    kmodes, (table, group) = peer("kmodes.kprototypes"), make_mixed(MIXED_ROWS)
    ours = measure(lambda: CustomerSegmenter(method="k-prototypes", segments=4).fit_predict(table))
    theirs = {"kmodes": measure(lambda: by_kmodes(kmodes, table))} if kmodes else {}
    show(f"{len(table):,} x 4 + 5 of words", ours, theirs, group)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("customers", nargs="?", type=int, default=1_000_000)
    many = parser.parse_args().customers
    warnings.simplefilter("ignore")
    CustomerSegmenter().fit(make_customers(2_000)[0])  # libraries loaded
    with threadpool_limits(1):
        benchmark_numbers(many, "five segments", 5)
        benchmark_numbers(many, "the number too", "auto")
        benchmark_mixed()
        benchmark_numbers(many // 10, "five segments", 5, [5])
        benchmark_numbers(many // 10, "the number too", "auto", range(2, 11))


if __name__ == "__main__":
    main()
