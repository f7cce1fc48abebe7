"""Customer lifetime value against lifetimes, as ratios measured in one run.

Run with ``python benchmarks/clv_fit.py``; smaller with ``--customers 20000 --lines 200000``.
"""

import argparse
import time
import warnings

import numpy as np
import pandas as pd

from crmlytics import clv
from crmlytics.tables import Transactions

warnings.filterwarnings("ignore", module="lifetimes")
import lifetimes  # noqa: E402  after the filter: it warns when imported

REPEATS = 3
SLOW_FROM = 200_000  # customers: beyond, lifetimes takes minutes for all but the BG/NBD


def simulated_histories(customers, *, seed):
    """BG/NBD customers with CDNOW's parameters, watched for 27 to 53 weeks; purchases on whole days."""
    rng = np.random.default_rng(seed)
    T = rng.integers(27 * 7, 53 * 7, customers)
    rate = rng.gamma(0.2426, 1 / (4.4136 * 7), customers)
    leaving = rng.beta(0.7929, 2.4259, customers)
    frequency, recency, alive = np.zeros(customers), np.zeros(customers), np.ones(customers, dtype=bool)
    while alive.any():
        next_day = recency + np.maximum(1, np.ceil(rng.exponential(1 / np.maximum(rate, 1e-12))))
        alive &= next_day <= T
        frequency += alive
        recency = np.where(alive, next_day, recency)
        alive &= rng.random(customers) >= leaving
    return pd.DataFrame({"frequency": frequency, "recency": recency / 7, "T": T / 7})


def simulated_lines(lines, *, seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "customer_id": rng.integers(0, max(lines // 10, 1), lines),
            "timestamp": pd.Timestamp("2023-01-01") + pd.to_timedelta(rng.integers(0, 700 * 86_400, lines), unit="s"),
            "amount": rng.gamma(2.0, 10.0, lines),
        },
    )


def fastest(run, repeats=REPEATS):
    """Best of a few runs, in seconds, and what the last one returned."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = run()
        times.append(time.perf_counter() - start)
    return min(times), result


def compare(what, ours, theirs):
    print(f"{what:<55} ours {ours:8.3f} s   lifetimes {theirs:8.3f} s   {theirs / ours:6.1f} x faster")


def benchmark_fit(customers):
    table = simulated_histories(customers, seed=1)
    pairs = [
        (clv.BetaGeoModel, lifetimes.BetaGeoFitter),
        (clv.ModifiedBetaGeoModel, lifetimes.ModifiedBetaGeoFitter),
        (clv.ParetoNBDModel, lifetimes.ParetoNBDFitter),
    ]
    for ours, theirs in pairs if customers <= SLOW_FROM else pairs[:1]:
        our_time, model = fastest(lambda ours=ours: ours().fit(table))
        their_time, fitter = fastest(
            lambda theirs=theirs: theirs().fit(table["frequency"], table["recency"], table["T"]), 1
        )
        compare(f"{ours.__name__}.fit, {customers:,} customers", our_time, their_time)
        print("   ours     ", {name: round(value, 4) for name, value in model.params_.items()})
        print("   lifetimes", {name: round(float(value), 4) for name, value in fitter.params_.items()})
    for kind in (clv.BetaGeoModel, clv.ModifiedBetaGeoModel, clv.ParetoNBDModel):
        model = kind().fit(table)
        seconds, _ = fastest(lambda model=model: model.score_table(table, horizon="90d"))
        print(f"{kind.__name__}.score_table, {customers:,} customers, with intervals: {seconds:.2f} s")
        seconds, _ = fastest(lambda model=model: model.score_table(table, horizon="90d", discount_rate=0.1), 1)
        print(f"    with discounted purchases, too: {seconds:.2f} s")


def benchmark_table(lines):
    data = simulated_lines(lines, seed=2)
    our_time, ours = fastest(lambda: clv.btyd_table(Transactions(data, order_id=None), as_of="2024-12-02", unit="1d"))
    their_time, theirs = fastest(
        lambda: lifetimes.utils.summary_data_from_transaction_data(
            data, "customer_id", "timestamp", monetary_value_col="amount", observation_period_end="2024-12-01"
        ),
        1,
    )
    same = theirs[theirs["T"] >= 0].reset_index()
    assert np.allclose(ours[["frequency", "recency", "T"]], same[["frequency", "recency", "T"]])
    assert np.allclose(ours["monetary_value"].fillna(0), same["monetary_value"])
    compare(f"btyd_table (with its checks), {lines:,} order lines", our_time, their_time)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--customers", type=int, nargs="*", default=[100_000, 1_000_000])
    parser.add_argument("--lines", type=int, nargs="*", default=[1_000_000, 5_500_000])
    options = parser.parse_args()
    for customers in options.customers:
        benchmark_fit(customers)
    for lines in options.lines:
        benchmark_table(lines)


if __name__ == "__main__":
    main()
