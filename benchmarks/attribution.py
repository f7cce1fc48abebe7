"""Attribution against a peer that simulates, as ratios measured in one run on the same paths.

Needs ``pip install ChannelAttribution matplotlib``; without it only our times are shown. Run with
``python benchmarks/attribution.py``.

Ours is the whole table, exact, with 200 bootstrap draws; the peer's is one estimate by simulation, without intervals,
at its default precision and at a tenth of it.
"""

import argparse
import functools
import importlib
import time

import numpy as np
import pandas as pd

from crmlytics.channels.attribution import attribution_table

DRAWS = 200


def make_paths(count, channels, seed=0):
    """Paths of distinct rows: geometric lengths, channels that follow each other, conversion by the last channel."""
    random = np.random.default_rng(seed)
    length = random.geometric(0.2, count)
    likes = random.dirichlet(np.full(channels, 0.6), channels).cumsum(axis=1)
    texts, converts = [], []
    for size in length:
        path = [int(random.integers(channels))]
        for draw in random.random(size - 1):
            path.append(min(int(np.searchsorted(likes[path[-1]], draw)), channels - 1))
        texts.append(" > ".join(f"c{code}" for code in path))
        converts.append(random.random() < 0.02 + 0.1 * path[-1] / channels)
    frame = pd.DataFrame({"path": texts, "conversion_count": converts})
    frame["conversion_count"] = frame["conversion_count"].astype(int)
    frame["non_conversion_count"] = 1 - frame["conversion_count"]
    frame["amount"] = frame["conversion_count"] * random.gamma(2, 30, count).round(2)
    return frame


def timed(run, repeats=3):
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        answer = run()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), answer


def simulate(peer, paths, order, precision):
    answer = peer.markov_model(
        paths, "path", "conversion_count", var_value="amount", var_null="non_conversion_count", order=order,
        max_step=1000, conv_par=precision, verbose=False, flg_pro=False,
    )  # fmt: skip
    return answer["result"] if isinstance(answer, dict) else answer


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--paths", type=int, default=100_000)
    parser.add_argument("--channels", type=int, default=8)
    options = parser.parse_args()
    try:
        peer = importlib.import_module("ChannelAttribution")
    except ImportError:
        peer = None
        print("(ChannelAttribution is not installed)")
    paths = make_paths(options.paths, options.channels)
    attribution_table(paths.head(1000), replicates=20)  # compiles
    for order in (1, 2, 3):
        ours, table = timed(functools.partial(attribution_table, paths, order=order, replicates=DRAWS))
        print(f"{options.paths:,} paths, order {order}: ours {ours:.2f} s, {DRAWS} draws")
        if peer is None:
            continue
        exact = table.set_index("channel")["credit_conversion_count"]
        for precision in (0.05, 0.005):
            theirs, found = timed(functools.partial(simulate, peer, paths, order, precision), 1)
            off = (found.set_index("channel_name")["total_conversions"] / exact - 1).abs().max()
            print(
                f"    ChannelAttribution, conv_par={precision}: {theirs:6.2f} s, no draws; off by up to {off:.2%}; "
                f"{theirs / ours * (DRAWS + 1):6.0f} x ours an estimate"
            )


if __name__ == "__main__":
    main()
