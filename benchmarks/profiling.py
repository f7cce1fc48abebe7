"""Profiles of a million customers in fifty columns against a plain catdes in pandas, measured in one run.

Run with ``python benchmarks/profiling.py [customers]`` (1,000,000 by default). The peer is what an analyst writes in an
afternoon: a crosstab and two hypergeometric tails for each column of words, means and a v-test by a groupby for each
column of numbers. Ours adds medians, ranks, effect sizes with intervals, hidden counts and the correction for many
tests. Both v-tests are compared, so that they answer the same question. Seconds are those of the processor; memory is
the peak above what was there before (Linux).
"""

import argparse
import warnings

import numpy as np
import pandas as pd
from _measured import measure
from scipy import stats

from crmlytics.profiling import profile_table

SEGMENTS, NUMBERS, WORDS = 5, 30, 20


def make_customers(count, seed=0):
    """Thirty columns of numbers, twenty of words with eight levels; the first half of each hangs on the segment."""
    rng = np.random.default_rng(seed)
    segment = rng.integers(0, SEGMENTS, count)
    table = {"customer_id": np.arange(count), "segment": np.array([f"segment {n}" for n in range(SEGMENTS)])[segment]}
    for number in range(NUMBERS):
        shift = 0.005 * segment * (number < NUMBERS // 2)
        table[f"number_{number}"] = rng.gamma(2, 10, count) * (1 + shift)
    levels = np.array([f"level {n}" for n in range(8)])
    for number in range(WORDS):
        moved = (rng.random(count) < 0.003) & (number < WORDS // 2)
        table[f"word_{number}"] = levels[np.where(moved, segment, rng.integers(0, 8, count))]
    return pd.DataFrame(table)


def by_pandas(table):
    """Return v by segment, column and level (None for a mean)."""
    rows = []
    for name in table.columns.drop(["customer_id", "segment"]):
        numeric = pd.api.types.is_numeric_dtype(table[name])
        rows += of_numbers(table, name) if numeric else of_words(table, name)
    return {key: v for *key_parts, v in rows for key in [tuple(key_parts)]}


def of_numbers(table, name):
    groups = table.groupby("segment")[name].agg(["size", "mean"])
    total, variance = len(table), table[name].var(ddof=0)
    error = np.sqrt(variance / groups["size"] * (total - groups["size"]) / (total - 1))
    v = (groups["mean"] - table[name].mean()) / error
    return [(segment, name, None, one) for segment, one in v.items()]


def of_words(table, name):
    cells = pd.crosstab(table["segment"], table[name])
    size, level, total = cells.sum(axis=1).to_numpy()[:, None], cells.sum().to_numpy(), len(table)
    chance = stats.hypergeom(total, level, size)
    above, below = chance.sf(cells - 1) + chance.sf(cells), chance.cdf(cells) + chance.cdf(cells - 1)
    sign = np.sign(cells.to_numpy() * total - size * level)
    v = -sign * stats.norm.ppf(np.minimum(np.minimum(above, below), 1) / 2)
    return [(row, name, column, v[i, j]) for i, row in enumerate(cells.index) for j, column in enumerate(cells)]


def farthest(profile, theirs):
    """Return by how much the v-tests of both differ at most."""
    keys = zip(profile["segment"], profile["column"], profile["level"], strict=True)
    mine = dict(zip([(*key[:2], None if pd.isna(key[2]) else key[2]) for key in keys], profile["v_test"], strict=True))
    assert mine.keys() == theirs.keys()
    return max(abs(mine[key] - theirs[key]) for key in theirs)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("customers", nargs="?", type=int, default=1_000_000)
    table = make_customers(parser.parse_args().customers)
    warnings.simplefilter("ignore")
    profile_table(table.head(2_000))  # numba compiles
    profile, seconds, megabytes = measure(lambda: profile_table(table))
    print(f"{len(table):,} x {NUMBERS + WORDS}   ours {seconds:6.1f} s          {megabytes:8,.0f} MB", flush=True)
    theirs, their_seconds, their_megabytes = measure(lambda: by_pandas(table))
    print(f"{'':<16}pandas {their_seconds:4.1f} s {their_seconds / seconds:6.2f} x {their_megabytes:8,.0f} MB")
    print(f"v-tests differ by {farthest(profile, theirs):.1e} at most")


if __name__ == "__main__":
    main()
