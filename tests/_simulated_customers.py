"""Customers who behave as a model says, for tests that fit the model to them."""

import numpy as np
import pandas as pd


def pareto_customers(rng, T, *, r, alpha, s, beta, horizon=0.0):
    """Histories until T of Pareto/NBD customers, and their purchases in the horizon after it; alpha may be an array."""
    count = len(T)
    rate = rng.gamma(r, 1.0, count) / alpha
    lifetime = rng.exponential(1.0, count) / (rng.gamma(s, 1.0, count) / beta)
    frequency, recency, later, clock = np.zeros(count), np.zeros(count), np.zeros(count), np.zeros(count)
    running = np.ones(count, dtype=bool)
    while running.any():
        clock += rng.exponential(1.0, count) / np.maximum(rate, 1e-300)
        running &= clock <= np.minimum(lifetime, T + horizon)
        before = running & (clock <= T)
        frequency += before
        recency = np.where(before, clock, recency)
        later += running & ~before
    return frequency, recency, later


def pareto_table(rng, T, *, horizon=0.0, **params):
    """The same as a btyd table, with what came later in ``later_count``."""
    frequency, recency, later = pareto_customers(rng, T, horizon=horizon, **params)
    return pd.DataFrame(
        {
            "customer_id": np.arange(len(T)),
            "frequency": frequency.astype(int),
            "recency": recency,
            "T": T,
            "later_count": later.astype(int),
        },
    )


def sudden_leavers(rng, count, *, T=60.0):
    """Histories of customers who stay for about 30 units of time and then leave all at once: a growing hazard."""
    rate, lifetime = rng.gamma(2.0, 0.1, count), rng.normal(30.0, 5.0, count)
    frequency, recency = np.zeros(count), np.zeros(count)
    clock = rng.exponential(1.0, count) / rate
    while (running := clock <= np.minimum(lifetime, T)).any():
        frequency += running
        recency = np.where(running, clock, recency)
        clock = clock + rng.exponential(1.0, count) / rate
    return pd.DataFrame({"customer_id": np.arange(count), "frequency": frequency, "recency": recency, "T": T})


def pareto_futures(rng, futures, x, T, *, r, alpha, s, beta, ends, alive):
    """Purchases of Pareto/NBD customers with histories (x, T) between 0 and each of ``ends``, (futures, ends).

    Those who are alive at T (with probability ``alive``) have a rate ~ gamma(r + x, alpha + T) and a lifetime to come
    of which 1/rate ~ gamma(s, beta + T).
    """
    totals = np.zeros((futures, len(ends)))
    for future in range(futures):
        rate = rng.gamma(r + x) / (alpha + T)
        stay = rng.exponential(1.0, len(x)) / (rng.gamma(s, 1.0, len(x)) / (beta + T))
        stay = np.where(rng.random(len(x)) < alive, stay, 0.0)
        time = np.diff(np.minimum(stay[:, None], ends), axis=1, prepend=0.0)
        totals[future] = rng.poisson(rate[:, None] * time).sum(axis=0).cumsum()
    return totals
