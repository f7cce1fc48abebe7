"""What intervals of effects promise: the planted effect lies within 95 % ones in 93.5 to 96.5 % of the campaigns."""

import numpy as np
import pandas as pd
import pytest

from crmlytics._kernels.treatment_effects import mean_effect, share_effects
from crmlytics.campaigns.measuring.campaign_result import measure_campaign
from crmlytics.campaigns.outcomes import outcome_table
from crmlytics.datasets import make_universe

RUNS = 2000
DAY = np.timedelta64(1, "D")
LEAST, MOST = 0.935, 0.965
END = "2025-06-24"  # of the universe: 540 days from 2024-01-01


def holds(effect, figure, truth):
    """Whether the interval of a figure holds the truth; without a bound it goes on for ever."""
    low, high = (getattr(effect, f"{figure}_{end}") for end in ("low", "high"))
    return np.logical_not((low > truth) | (high < truth))


def assert_kept(found):
    shares = {name: float(np.mean(hits)) for name, hits in found.items()}
    assert all(LEAST <= share <= MOST for share in shares.values()), shares


def judge(name, rows, treated, truth, found):
    """Add whether the intervals of a difference and of its ratio hold the truth."""
    effect = mean_effect(rows[treated], rows[~treated], 0.95)
    found.setdefault(name, []).append(holds(effect, "difference", truth["difference"]))
    found.setdefault(f"ratio of {name}", []).append(holds(effect, "ratio", truth["ratio"]))


def judge_all(rows, treated, revenue, share, found):
    """Judge revenue (the first column, that of before the second) as it is and adjusted, and adjusted conversion."""
    judge("revenue", rows[:, :1], treated, revenue, found)
    judge("adjusted revenue", rows, treated, revenue, found)
    judge("adjusted conversion", (rows > 0).astype(float), treated, share, found)


def judge_shares(counts, truths, found):
    effect = share_effects(*np.array(counts).T, 0.95)
    found["conversion"] = holds(effect, "difference", np.array([truth["difference"] for truth in truths]))
    found["ratio of conversion"] = holds(effect, "ratio", np.array([truth["ratio"] for truth in truths]))


# -- customers made here -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sizes", "buyers", "lift"),
    [((150, 150), 0.3, 0.05), ((450, 50), 0.3, 0.06), ((600, 300), 0.1, 0.03)],
    ids=["equal arms", "a tenth held out", "few buyers"],
)
def test_small_campaigns(sizes, buyers, lift):
    rng = np.random.default_rng(5)
    treated = np.arange(sum(sizes)) < sizes[0]
    mean_order, mean_rate = np.exp(3 + 0.5**2 / 2), buyers - lift / 2  # rates are capped at 1 - lift below
    found, counts = {}, []
    rate_law = (4 * mean_rate, 4 * (1 - mean_rate))
    truth_rate = np.minimum(np.random.default_rng(1).beta(*rate_law, 4_000_000), 1 - lift).mean()
    share = {"difference": lift, "ratio": 1 + lift / truth_rate}
    revenue = {"difference": lift * mean_order, "ratio": share["ratio"]}
    for _ in range(RUNS):
        rate = np.minimum(rng.beta(*rate_law, len(treated)), 1 - lift)

        def orders(chance):
            return (rng.random(len(treated)) < chance) * rng.lognormal(3, 0.5, len(treated))

        before = orders(rate) + orders(rate)
        after = orders(rate + lift * treated)
        judge_all(np.column_stack([after, before]), treated, revenue, share, found)
        bought = after > 0
        counts.append([bought[treated].sum(), sizes[0], bought[~treated].sum(), sizes[1]])
    judge_shares(counts, [share] * RUNS, found)
    assert_kept(found)


# -- the universe --------------------------------------------------------------------------------------------------


def campaigns_of(universe):
    """Return arm, ids and figures (orders, revenue, and both before) of each campaign: outcome_table in a hurry."""
    lines, contacts = universe.transactions, universe.contacts
    order, ids = pd.factorize(lines["order_id"])
    first = np.full(len(ids), len(lines))
    np.minimum.at(first, order, np.arange(len(lines)))
    amount = np.bincount(order, lines["amount"])
    when, who = lines["timestamp"].to_numpy()[first], lines["customer_id"].to_numpy()[first]
    size = int(who.max()) + 1
    for campaign, rows in contacts.groupby("campaign_id"):
        customer, contacted = rows["customer_id"].to_numpy(), np.full(size, np.datetime64("NaT", "us"))
        contacted[customer] = rows["timestamp"].to_numpy()
        at, day = contacted[who], contacted[who].astype("datetime64[D]")
        windows = (when >= at) & (when < day + 30 * DAY), (when < at) & (when >= day - 90 * DAY)
        figures = [
            np.bincount(who[rows_in], weights[rows_in], size)[customer]
            for rows_in in windows
            for weights in (np.ones(len(ids)), amount)
        ]
        yield campaign, rows["arm"].to_numpy(str), customer, np.column_stack(figures)


def truth_of(uplifts, campaign, arm, measure):
    rows = uplifts[(uplifts["campaign_id"] == campaign).to_numpy() & (uplifts["arm"] == arm).to_numpy()]
    control, uplift = rows[f"control_{measure}"].mean(), rows[f"uplift_{measure}"].mean()
    return {"difference": uplift, "ratio": 1 + uplift / control}


def test_campaigns_of_the_universe():
    found, counts, truths = {}, [], []
    for seed in range(RUNS // 3 + 1):  # three campaigns in each, of which one arm
        universe = make_universe(customers=300, random_state=seed)
        uplifts = universe.uplifts
        for campaign, arm, _, figures in campaigns_of(universe):
            chosen = min(set(arm) - {"control"})
            rows = (arm == chosen) | (arm == "control")
            treated, (orders, revenue, _, before) = arm[rows] == chosen, figures[rows].T
            share, money = (truth_of(uplifts, campaign, chosen, name) for name in ("probability", "revenue_amount"))
            judge_all(np.column_stack([revenue, before]), treated, money, share, found)
            bought = orders > 0
            counts.append([bought[treated].sum(), treated.sum(), bought[~treated].sum(), (~treated).sum()])
            truths.append(share)
    judge_shares(counts, truths, found)
    assert len(found["conversion"]) >= RUNS
    assert_kept(found)


def test_the_hurried_outcomes_are_those_of_the_table():
    universe = make_universe(customers=200, random_state=3)
    table = outcome_table(universe.contacts, universe.transactions, as_of=END).set_index(["campaign_id", "customer_id"])
    for campaign, _, customer, figures in campaigns_of(universe):
        names = ["order_count", "revenue_amount", "pre_order_count", "pre_revenue_amount"]
        assert table.loc[campaign].loc[customer, names].to_numpy() == pytest.approx(figures)


def test_from_contacts_to_effects_on_a_large_universe():
    universe = make_universe(customers=4000, random_state=8)
    result = measure_campaign(universe.contacts, universe.transactions, as_of=END, confidence=0.999)
    averages = universe.average_effects.set_index(["campaign_id", "arm"])
    measures = {"converted": "probability", "order_count": "order_count", "revenue_amount": "revenue_amount"}
    measures["margin_amount"] = "margin_amount"
    assert len(result.effects) == len(averages) * len(measures)
    for row in result.effects.itertuples():
        planted = averages.loc[(row.campaign_id, row.arm), f"uplift_{measures[row.metric]}"]
        assert row.difference_low <= planted <= row.difference_high, row
    assert result.remarks == ()
