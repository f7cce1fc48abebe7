"""What make_universe promises of its truth: what was planted is found in the tables, within its standard error."""

import math

import numpy as np
import pandas as pd
import pytest

from crmlytics.campaigns.outcomes import outcome_table
from crmlytics.datasets._universe import make_universe

MADE = make_universe(customers=30_000, random_state=2)
DAY = pd.Timedelta(days=1)
START, END = pd.Timestamp("2024-01-01"), pd.Timestamp("2024-01-01") + 540 * DAY
EFFECTS = MADE.effects.set_index(["outcome", "column", "level"])["effect"].sort_index()
PEOPLE = MADE.customers.merge(MADE.customer_truth, on="customer_id")
MEASURES = ["probability", "order_count", "revenue_amount", "margin_amount"]


def dummies(table, columns):
    """Levels as columns of 0 and 1, without the first level that was planted, and their planted effects' names."""
    names = [(column, level) for column, levels in columns.items() for level in levels]
    return np.column_stack([np.ones(len(table)), *[table[column].eq(level) for column, level in names]]), names


def least_squares(y, x):
    """Coefficients and their standard errors."""
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    spread = ((y - x @ beta) ** 2).sum() / (len(y) - x.shape[1])
    return beta, np.sqrt(spread * np.diag(inverse))


def poisson(count, exposure, x):
    """Maximum likelihood of a Poisson regression: coefficients and their standard errors."""
    beta = np.zeros(x.shape[1])
    beta[0] = np.log(count.sum() / exposure.sum())
    for _ in range(30):
        mean = exposure * np.exp(x @ beta)
        beta = beta + np.linalg.solve(x.T * mean @ x, x.T @ (count - mean))
    return beta, np.sqrt(np.diag(np.linalg.inv(x.T * mean @ x)))


def life_in_parts():
    """One row per customer and number of bad tickets closed so far, up to three: days lived, and whether left."""
    bad = MADE.tickets[MADE.ticket_truth["is_bad"]].dropna(subset="closed_at").sort_values("closed_at")
    bad = bad.assign(number=bad.groupby("customer_id").cumcount() + 1).query("number <= 3")
    steps = bad.set_index(["number", "customer_id"])["closed_at"]
    last = PEOPLE["dropped_out_at"].fillna(END)
    parts = []
    for count in range(4):
        begin = PEOPLE["joined_at"] if count == 0 else PEOPLE["customer_id"].map(steps[count])
        stop = last if count == 3 else PEOPLE["customer_id"].map(steps[count + 1]).fillna(END).clip(upper=last)
        part = PEOPLE.assign(bad=count, days=(stop - begin) / DAY)
        part["left"] = PEOPLE["dropped_out_at"].notna() & (stop == last)
        parts.append(part[begin.notna() & (begin < last)])
    return pd.concat(parts)


def test_customers_leave_by_the_planted_hazard():
    parts = life_in_parts()
    assert parts["left"].sum() == PEOPLE["dropped_out_at"].notna().sum() > 5000
    columns = {
        "segment": ["budget", "premium"],
        "acquisition_channel": ["social", "referral", "sales"],
        "partner_id": ["PA06"],
    }
    x, names = dummies(parts, columns)
    x = np.column_stack([x, parts["is_deal_seeker"], parts["bad"]]).astype(float)
    beta, error = poisson(parts["left"].to_numpy(), parts["days"].to_numpy() / 365.25, x)
    planted = [EFFECTS["log_hazard", *name] for name in [("(intercept)", ""), *names]]
    planted += [EFFECTS["log_hazard", "is_deal_seeker", "True"], EFFECTS["log_hazard", "is_bad", "each, up to three"]]
    assert (np.abs(beta - planted) < 4 * error).all()
    assert error.max() < 0.1
    for count in range(4):  # each bad ticket counts as much as the one before
        of = parts[parts["bad"] == count]
        expected = (of["yearly_hazard"] * np.exp(0.7 * count) * of["days"] / 365.25).sum()
        assert abs(of["left"].sum() - expected) < 4 * np.sqrt(expected)


def test_a_bad_ticket_counts_from_the_moment_it_is_closed():
    after = life_in_parts().query("bad > 0")
    days = after["days"].clip(upper=20)
    expected = (after["yearly_hazard"] * np.exp(0.7 * after["bad"]) * days / 365.25).sum()
    left = (after["left"] & (after["days"] <= 20)).sum()
    assert abs(left - expected) < 4 * np.sqrt(expected)
    assert expected > 200


def test_amounts_of_orders_move_with_segment_and_partner():
    lines = MADE.transactions.assign(full=lambda t: t["quantity"] * t["list_price"])
    first = lines.merge(MADE.orders.query("cause == 'joining'")[["order_id"]], on="order_id")
    amount = first.groupby("customer_id")["full"].sum()  # one a customer: independent, spread alike in logarithms
    x, names = dummies(PEOPLE, {"segment": ["standard", "premium"], "partner_id": [f"PA0{n}" for n in (1, 3, 4, 6)]})
    beta, error = least_squares(np.log(amount[PEOPLE["customer_id"]].to_numpy()), x)
    planted = [EFFECTS["log_order_amount", *name] for name in names]
    assert (np.abs(beta[1:] - planted) < 4 * error[1:]).all()
    assert error.max() < 0.03
    usual = amount[PEOPLE["customer_id"]].to_numpy() / np.exp(x[:, 1:] @ planted)
    assert abs(usual.mean() - np.exp(EFFECTS["log_order_amount", "(intercept)", ""])) < 4 * usual.std() / np.sqrt(
        len(usual)
    )


def test_amounts_and_costs_are_those_expected():
    lines = MADE.transactions.merge(MADE.orders[["order_id", "timestamp"]], on="order_id", suffixes=("", "_order"))
    before = lines[lines["timestamp"] < MADE.contacts["timestamp"].min()]  # no campaign's discount yet
    orders = before.groupby("order_id").agg(customer_id=("customer_id", "first"), amount=("amount", "sum"))
    mean = PEOPLE.set_index("customer_id")["mean_order_amount"]
    gap = (orders["amount"] - orders["customer_id"].map(mean)).groupby(orders["customer_id"]).sum()
    by_kind = gap.groupby(PEOPLE.set_index("customer_id")["is_deal_seeker"])
    assert (by_kind.mean().abs() < 4 * by_kind.sem()).all()
    full = before["quantity"] * before["list_price"]
    assert before["cost"].sum() / full.sum() == pytest.approx(0.6, abs=0.001)
    off = before.groupby(before["customer_id"].map(PEOPLE.set_index("customer_id")["is_deal_seeker"]))
    shares = off[["order_id", "discount_amount"]].apply(
        lambda part: part.groupby("order_id")["discount_amount"].sum().gt(0).mean()
    )
    assert shares[True] == pytest.approx(0.6, abs=0.02)
    assert shares[False] == pytest.approx(0.1, abs=0.01)


def test_orders_of_habit_come_at_the_planted_rate_with_the_wave_of_the_year():
    x, names = dummies(
        PEOPLE,
        {"segment": ["standard", "premium"], "response_type": ["sleeping dog", "sure thing", "lost cause"]},
    )
    beta, error = least_squares(np.log(PEOPLE["weekly_order_rate"].to_numpy()), x)
    base = EFFECTS["log_order_rate", "response_type", "persuadable"]
    planted = [EFFECTS["log_order_rate", *name] - (base if name[0] == "response_type" else 0) for name in names]
    assert (np.abs(beta[1:] - planted) < 4 * error[1:]).all()
    last = PEOPLE["dropped_out_at"].fillna(END)
    prevented = MADE.prevented_orders["timestamp"]
    habit = pd.concat([MADE.orders["timestamp"][MADE.orders["cause"] == "habit"], prevented])  # a few were of visits
    for begin in pd.date_range(START, END, freq="45D")[:-1]:
        days = (np.minimum(last, begin + 45 * DAY) - np.maximum(PEOPLE["joined_at"], begin)) / DAY
        middle = begin.day_of_year + 22.5
        wave = 1 + 0.2 * np.cos(2 * np.pi * (middle - 345) / 365.25)
        expected = (PEOPLE["weekly_order_rate"] / 7 * days.clip(lower=0)).sum() * wave
        count = habit.between(begin, begin + 45 * DAY, inclusive="left").sum()
        assert abs(count - expected) < 4 * np.sqrt(expected) + 0.02 * expected  # the wave is not flat within 45 days


def test_visits_trigger_as_many_orders_as_planted():
    last = PEOPLE.set_index("customer_id")["dropped_out_at"].fillna(END)
    visits = MADE.sessions[MADE.sessions["order_id"].isna()]
    settled = visits[visits["started_at"] + 7 * DAY < visits["customer_id"].map(last)]
    for channel, p in EFFECTS["order_probability", "channel"].items():
        of = settled[settled["channel"] == channel]
        count = of["triggered_order_id"].notna().sum()
        assert abs(count - p * len(of)) <= 4 * np.sqrt(p * len(of))
    truth = MADE.channel_effects.set_index("channel")
    assert truth["visit_count"].to_dict() == visits["channel"].value_counts().to_dict()
    assert truth["incremental_order_count"].sum() == (MADE.orders["cause"] == "visit").sum()
    totals = MADE.transactions.groupby("order_id")["amount"].sum()
    brought = visits.dropna(subset="triggered_order_id")
    sums = brought["triggered_order_id"].map(totals).groupby(brought["channel"]).sum()
    for channel, amount in sums.items():
        assert truth["incremental_revenue_amount"][channel] == pytest.approx(amount)


def test_who_credits_the_last_click_credits_the_search_ad():
    web = MADE.sessions.dropna(subset="order_id")["channel"].value_counts()
    truth = MADE.channel_effects.set_index("channel")["incremental_order_count"]
    assert set(web.index) == {"direct", "search_ad"}
    assert web["search_ad"] > 10 * truth["search_ad"]
    assert truth["email"] > truth["search_ad"] > truth["direct"] == 0


def planted_types(people):
    """Probabilities of the response types, from the table of effects."""
    holds = {
        "(intercept)": np.ones(len(people), bool),
        "age": people["age"] < 40,
        "household": people["household"] == "family",
        "segment and age": (people["segment"] == "premium") & (people["age"] >= 40),
        "segment": people["segment"] == "premium",
    }
    kinds = ["persuadable", "sleeping dog", "sure thing"]
    table = {kind: np.zeros(len(people)) for kind in kinds}
    for kind in kinds:
        for (column, _), share in EFFECTS[f"probability_{kind.replace(' ', '_')}"].items():
            table[kind] += share * holds[column]
    return pd.DataFrame(table)


def test_response_types_are_as_frequent_as_planted_in_every_cell():
    types = planted_types(PEOPLE)
    cell = [PEOPLE["age"] < 40, PEOPLE["household"], PEOPLE["segment"]]
    for kind, p in types.items():
        counts = PEOPLE["response_type"].eq(kind).groupby(cell).sum()
        expected, spread = p.groupby(cell).sum(), (p * (1 - p)).groupby(cell).sum()
        z = (counts - expected) / np.sqrt(spread)
        assert np.abs(z).max() < 4.5
    assert types.mean().to_dict() == pytest.approx(
        {"persuadable": 0.2, "sleeping dog": 0.05, "sure thing": 0.17}, abs=0.01
    )


def planted_points(table):
    """What an arm adds to the probability of an order of a customer who stays, from the table of effects."""
    family = np.where(table["household"] == "family", "persuadable, family", "persuadable, no family")
    level = pd.Series(family).where(
        table["response_type"].eq("persuadable").to_numpy(), table["response_type"].to_numpy()
    )
    points = pd.Series(np.zeros(len(table)))
    for arm in table["arm"].unique():
        of = table["arm"].eq(arm).to_numpy()
        points[of] = level[of].map(EFFECTS[f"uplift_{arm}", "response_type"]).fillna(0.0)
    return points


def test_uplifts_are_the_planted_points_of_those_who_stay():
    table = MADE.uplifts.merge(PEOPLE.drop(columns="response_type"), on="customer_id")
    contacted = MADE.contacts.set_index(["campaign_id", "customer_id"])["timestamp"].dt.normalize()
    day = contacted[pd.MultiIndex.from_frame(table[["campaign_id", "customer_id"]])].to_numpy()
    stays = ~(table["dropped_out_at"] < day + 30 * DAY)
    points = planted_points(table)
    uplift = table["uplift_probability"]
    assert uplift[~stays].eq(0).all()
    capped = uplift.sub(points)[stays].abs() > 1e-12
    assert capped.mean() < 0.01  # where more than certain, or less than never, would be needed
    top, floor = (table["control_probability"] + points > 1)[stays], (table["control_probability"] + points < 0)[stays]
    assert capped.equals(top | floor)
    assert (table["control_probability"] + uplift).between(-1e-12, 1 + 1e-12).all()
    without = table["control_order_count"]
    brought = points.clip(lower=0) / (1 - table["control_probability"])
    lost = (-points).clip(lower=0) / table["control_probability"] * without
    plain = stays & ~capped.reindex(table.index, fill_value=True)
    assert table["uplift_order_count"][plain].to_numpy() == pytest.approx((brought - lost)[plain].to_numpy())
    assert MADE.uplifts.drop(columns="is_assigned").equals(
        MADE.uplifts.drop(columns="is_assigned").sort_values(["campaign_id", "arm", "customer_id"], ignore_index=True)
    )


def within(days):
    """The share of triggered orders that come so many days after the visit, by its definition."""
    days = min(max(days, 0.5), 7.0)
    return (1 - math.exp(-(days - 0.5) / 2)) / (1 - math.exp(-6.5 / 2))


def test_expectations_without_a_contact_are_those_of_plain_arithmetic():
    visits = MADE.sessions[MADE.sessions["order_id"].isna()]
    people = PEOPLE.set_index("customer_id")
    contacted = MADE.contacts.set_index(["campaign_id", "customer_id"])["timestamp"]
    some = MADE.uplifts.query("arm == 'email' and control_probability > 0").sample(60, random_state=1)
    for row in some.itertuples():
        start, person = contacted[row.campaign_id, row.customer_id], people.loc[row.customer_id]
        stop = start.normalize() + 30 * DAY
        stop = stop if pd.isna(person["dropped_out_at"]) else min(stop, person["dropped_out_at"])
        since = np.linspace((start - START) / DAY, (stop - START) / DAY, 1001)
        wave = 1 + 0.2 * np.cos(2 * np.pi * (since - 345) / 365.25)  # 345 days from New Year
        count = person["weekly_order_rate"] / 7 * np.trapezoid(wave, since)
        none = math.exp(-count)
        for visit in visits[visits["customer_id"] == row.customer_id].itertuples():
            p = EFFECTS["order_probability", "channel", visit.channel]
            late, early = (within((moment - visit.started_at) / DAY) for moment in (stop, start))
            count, none = count + p * max(late - early, 0), none * (1 - p * max(late - early, 0))
        assert row.control_order_count == pytest.approx(count, rel=1e-4, abs=1e-6)
        assert row.control_probability == pytest.approx(1 - none, rel=1e-4, abs=1e-6)
        assert row.control_revenue_amount == pytest.approx(row.control_order_count * person["mean_order_amount"])


def test_average_effects_are_the_means_of_the_uplifts():
    table, averages = MADE.uplifts, MADE.average_effects.set_index(["campaign_id", "arm"])
    columns = [f"{kind}_{measure}" for measure in MEASURES for kind in ("control", "uplift")]
    means = table.groupby(["campaign_id", "arm"])[[*columns, "uplift_later_order_count"]].mean()
    pd.testing.assert_frame_equal(averages[means.columns], means)
    counts = MADE.contacts.groupby(["campaign_id", "arm"]).size()
    for (campaign, arm), row in averages.iterrows():
        assert row["assigned_count"] == counts[campaign, arm]
        assert row["customer_count"] == counts[campaign].sum()
        of = table[table["is_assigned"] & (table["campaign_id"] == campaign) & (table["arm"] == arm)]
        assert row["assigned_uplift_probability"] == pytest.approx(of["uplift_probability"].mean())
    people = PEOPLE[["household", "response_type"]]
    for arm in ("discount", "reminder", "email", "letter"):
        points = planted_points(people.assign(arm=arm))
        planted = averages.xs(arm, level="arm")["planted_uplift_probability"]
        assert len(set(planted)) == 1
        assert abs(points.mean() - planted.iloc[0]) < 4 * points.std() / np.sqrt(len(points))


@pytest.fixture(scope="module")
def outcomes():
    """What each customer of a campaign did, as campaigns are measured, beside what was expected with the arm dealt."""
    table = outcome_table(MADE.contacts, MADE.transactions, as_of=END, horizon="30d", pre_period="90d")
    uplifts = MADE.uplifts
    own = uplifts[uplifts["is_assigned"]].drop(columns="is_assigned")
    without = uplifts.drop_duplicates(["campaign_id", "customer_id"])
    without = without[
        ~without.set_index(["campaign_id", "customer_id"]).index.isin(
            own.set_index(["campaign_id", "customer_id"]).index
        )
    ]
    without = without.assign(**{f"uplift_{measure}": 0.0 for measure in MEASURES}, arm="control")
    expected = pd.concat([own, without.drop(columns="is_assigned")])
    joined = table.merge(expected, on=["campaign_id", "customer_id", "arm"])
    assert len(joined) == len(table) == len(MADE.contacts)
    return joined


def test_customers_of_a_campaign_do_what_is_expected_of_their_arm(outcomes):
    pairs = {"probability": "converted", "order_count": "order_count", "revenue_amount": "revenue_amount",
             "margin_amount": "margin_amount"}  # fmt: skip
    z = {}
    for measure, column in pairs.items():
        gap = outcomes[column].astype(float) - outcomes[f"control_{measure}"] - outcomes[f"uplift_{measure}"]
        for names in (["campaign_id", "arm"], ["arm", "response_type"]):
            groups = gap.groupby([outcomes[name] for name in names])
            z |= {(measure, *key): value for key, value in (groups.mean() / groups.sem()).items()}
    z = pd.Series(z)
    assert len(z) == 4 * (9 + 20)
    assert z.abs().max() < 4.5
    assert 0.7 < z.std() < 1.3


def test_probabilities_are_right_at_every_height(outcomes):
    p = (outcomes["control_probability"] + outcomes["uplift_probability"]).to_numpy()
    came = outcomes["converted"].astype(float).to_numpy()
    for part in np.array_split(np.argsort(p), 10):
        spread = (p[part] * (1 - p[part])).sum()
        assert abs(came[part].sum() - p[part].sum()) <= 4.5 * np.sqrt(spread)


def test_orders_that_annoyed_customers_would_have_placed_are_missing(outcomes):
    annoyed = MADE.prevented_orders[MADE.prevented_orders["reason"] == "annoyed"].merge(
        outcomes, on=["campaign_id", "customer_id", "arm"]
    )
    assert len(annoyed) > 50
    assert annoyed["response_type"].eq("sleeping dog").all()
    assert annoyed["order_count"].eq(0).all()
    assert (annoyed["timestamp"] >= annoyed["contacted_at"]).all()
    assert (annoyed["timestamp"] < annoyed["contacted_at"].dt.normalize() + 30 * DAY).all()


def test_orders_brought_pull_forward_as_many_as_expected(outcomes):
    pulled = MADE.prevented_orders[MADE.prevented_orders["reason"] == "pulled forward"]
    brought = MADE.orders[MADE.orders["cause"] == "contact"]
    both = pulled.merge(brought, on=["campaign_id", "customer_id", "arm"], suffixes=("", "_brought"))
    assert len(both) == len(pulled) > 50  # one each
    end = both.merge(outcomes, on=["campaign_id", "customer_id"])["contacted_at"].dt.normalize() + 30 * DAY
    assert both["timestamp"].between(end, end + 30 * DAY, inclusive="left").all()
    own = MADE.uplifts[MADE.uplifts["is_assigned"]]
    expected = -own["uplift_later_order_count"].sum()
    assert abs(len(pulled) - expected) < 4 * np.sqrt(expected)


def test_orders_brought_come_soon(outcomes):
    brought = MADE.orders[MADE.orders["cause"] == "contact"].merge(outcomes, on=["campaign_id", "customer_id", "arm"])
    wait = (brought["timestamp"] - brought["contacted_at"]) / DAY
    scale, longest = (
        EFFECTS["response_scale_days", "cause", "contact"],
        29.45,
    )  # from working hours to the last midnight
    mean = scale - longest / np.expm1(longest / scale)
    assert abs(wait.mean() - mean) < 4 * wait.sem()
    for days in (3.5, 7, 14):
        p = np.expm1(-days / scale) / np.expm1(-longest / scale)
        assert abs((wait < days).mean() - p) < 4 * np.sqrt(p * (1 - p) / len(wait))
    assert EFFECTS["pulled_forward_share", "cause", "contact"] == 0.3


def test_responses_flatter_the_campaign(outcomes):
    done = outcomes[["campaign_id", "customer_id", "converted", "uplift_probability"]]
    booked = MADE.contacts.merge(done, on=["campaign_id", "customer_id"])
    treated = booked[booked["arm"] != "control"]
    assert not (treated["responded"] & ~treated["converted"].astype(bool)).any()
    assert treated["responded"].mean() > 3 * treated["uplift_probability"].mean()


def test_discounts_cost_more_than_they_bring():
    averages = MADE.average_effects.set_index(["campaign_id", "arm"])
    assert (averages.xs("discount", level="arm")["uplift_probability"] > 0.01).all()
    assert (averages.xs("discount", level="arm")["uplift_margin_amount"] < 0).all()
    assert (averages.xs("email", level="arm")["uplift_margin_amount"] > 0).all()


def test_opt_outs_are_those_planted():
    asked = MADE.contacts[MADE.contacts["campaign_id"].eq("autumn") & MADE.contacts["arm"].ne("control")]
    asked = asked.merge(MADE.customer_truth[["customer_id", "response_type"]], on="customer_id")
    for kind, share in EFFECTS["probability_opts_out", "response_type"].items():
        refused = asked["consent"][asked["response_type"] == kind].notna()
        assert abs(refused.mean() - share) < 4 * np.sqrt(share * (1 - share) / len(refused)), kind


def test_effects_name_columns_that_are_there():
    for table, column in MADE.effects[["table", "column"]].drop_duplicates().itertuples(index=False):
        if table != "leads" and column not in {"(intercept)", "segment and age"}:
            assert column in getattr(MADE, table).columns
    assert not MADE.effects.duplicated(["outcome", "column", "level"]).any()
    leads = MADE.effects[MADE.effects["table"] == "leads"]
    assert {"source", "owner", "visits"} <= set(leads["column"])
