"""What the economics of a customer base promise: hand-counted values, a paper's table, sums that add up, refusals."""

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import crmlytics as crm
from crmlytics._kernels.markov import discounted_renewals
from crmlytics.clv import (
    claims_table,
    customer_equity,
    elasticity_table,
    profit_pattern_table,
    retention_elasticity_table,
    retention_lifetime_value,
)
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records
from crmlytics.value import concentration_table

# --- customer equity

PLAN = {
    "new_customers_per_period": [10, 20],
    "new_customer_value": 90.0,
    "acquisition_cost": 30.0,
    "horizon": "2920d",
    "period": "1460d",  # of four years
    "discount_rate": 0.5,
}
DISCOUNTED = 10 / 1.5**4 + 20 / 1.5**8


def test_equity_by_hand_on_every_kind(frame):
    values = frame({"customer_id": [1, 2, 3], "clv_amount": [100.0, 40.0, -5.0]})
    equity = customer_equity(values, **PLAN)
    assert (equity.customer_count, equity.present_amount, equity.new_customer_count) == (3, 135.0, 30.0)
    assert equity.new_amount == pytest.approx(90 * DISCOUNTED, rel=1e-14)
    assert equity.acquisition_cost_amount == pytest.approx(30 * DISCOUNTED, rel=1e-14)
    assert equity.equity_amount == pytest.approx(135 + 60 * DISCOUNTED, rel=1e-14)
    parts = records(equity.to_frame())
    assert [row[0] for row in parts] == ["present customers", "new customers", "all"]
    assert parts[0][1:] == (3.0, 135.0, 0.0, 135.0)
    assert parts[2][1:] == pytest.approx((33, 135 + 90 * DISCOUNTED, 30 * DISCOUNTED, 135 + 60 * DISCOUNTED))


def test_equity_takes_numbers_and_one_rate_of_acquisition():
    plain = {"new_customers_per_period": 5, "new_customer_value": 9, "acquisition_cost": 2, "discount_rate": 0}
    equity = customer_equity([10.0, 20.0], **plain, horizon="1095d")
    assert equity == customer_equity(np.array([10.0, 20.0]), **plain, horizon="1095d")
    assert (equity.new_customer_count, equity.equity_amount) == (15.0, 30 + 15 * 7)
    assert customer_equity(30.0, **plain, horizon="1095d").equity_amount == equity.equity_amount


amounts = st.floats(0.1, 1e4)


@given(
    present=amounts, count=amounts, worth=amounts, cost=amounts, rate=st.floats(0, 1), retention=st.floats(0.5, 10)
)  # fmt: skip
def test_elasticities_are_the_derivatives_of_equity(present, count, worth, cost, rate, retention):
    assume(present + 1.02 * count * (worth - 1.02 * cost) / (1 + rate) > 0.01 * count * worth)

    def equity(levers):
        both = levers["margin"] * levers["order_value"] * levers["retention"] ** retention
        return customer_equity(
            levers["present_customer_value"] * both,
            new_customers_per_period=levers["new_customer_count"],
            new_customer_value=worth * levers["new_customer_value"] * both,
            acquisition_cost=levers["acquisition_cost"],
            horizon="365d",
            discount_rate=rate,
        )

    here = {
        "acquisition_cost": cost,
        "margin": 1.0,
        "new_customer_count": count,
        "new_customer_value": 1.0,
        "order_value": 1.0,
        "present_customer_value": present,
        "retention": 1.0,
    }
    analytic = equity(here).elasticity_table(retention_elasticity=retention)
    numeric = elasticity_table(lambda levers: equity(levers).equity_amount, here)
    assert analytic["lever"].tolist() == numeric["lever"].tolist() == sorted(here)
    np.testing.assert_allclose(analytic["elasticity"], numeric["elasticity"], rtol=1e-6, atol=1e-6)
    share = analytic.set_index("lever")["elasticity"]
    money = share["present_customer_value"] + share["new_customer_value"] + share["acquisition_cost"]
    assert money == pytest.approx(1.0, rel=1e-9)  # all amounts up by 1 %: so is equity


def test_equity_refuses_what_is_no_value():
    with pytest.raises(MissingColumnsError, match=r"customer_equity needs a column 'clv_amount' or a list of numbers"):
        customer_equity(pd.DataFrame({"clv": [1.0]}), **PLAN)
    with pytest.raises(SchemaError, match="1 of 2 lifetime values are missing or infinite"):
        customer_equity(pd.DataFrame({"clv_amount": [1.0, None]}), **PLAN)
    with pytest.raises(SchemaError, match="horizon of 2921 days is no whole number of periods of 1460 days"):
        customer_equity([1.0], **{**PLAN, "horizon": "2921d"})
    with pytest.raises(SchemaError, match="has 3 numbers, expected one for each of the 2 periods"):
        customer_equity([1.0], **{**PLAN, "new_customers_per_period": [1, 2, 3]})
    with pytest.raises(SchemaError, match="acquisition_cost must be a number of zero or more, got -1"):
        customer_equity([1.0], **{**PLAN, "acquisition_cost": -1})
    loss = customer_equity([1.0], **{**PLAN, "acquisition_cost": 100})
    with pytest.raises(SchemaError, match=r"equity is -26\.56; elasticities need one above zero"):
        loss.elasticity_table()


# --- elasticities


@given(powers=st.tuples(st.floats(-6, 6), st.floats(-6, 6)), levels=st.tuples(st.floats(0.1, 10), st.floats(0.1, 10)))
def test_the_elasticity_of_a_power_is_its_exponent(powers, levels):
    table = elasticity_table(
        lambda levers: -7 * levers["a"] ** powers[0] * levers["b"] ** powers[1], dict(zip("ab", levels, strict=True))
    )
    assert table["elasticity"].tolist() == pytest.approx(list(powers), abs=1e-9)
    assert table["level"].tolist() == list(levels)


def test_elasticity_says_where_there_is_none():
    with pytest.raises(SchemaError, match="the value is 0 at the levers given; a per cent of it says nothing"):
        elasticity_table(lambda levers: levers["a"] - 1, {"a": 1.0})
    with pytest.raises(SchemaError, match=r"the value is nan where a is 1\.001"):
        elasticity_table(lambda levers: math.nan if levers["a"] > 1 else 1.0, {"a": 1.0})
    with pytest.raises(SchemaError, match="elasticity_table: a must be a number above zero, got 0"):
        elasticity_table(lambda levers: levers["a"], {"a": 0})


@pytest.mark.parametrize(
    ("alpha", "beta", "lifetimes"),
    [(3.80, 15.20, [3.31, 3.45, 3.59, 3.72, 3.84]), (1 / 15, 4 / 15, [7.68, 9.46, 9.86, 10.06, 10.19])],
)
def test_residual_lifetimes_are_the_papers(alpha, beta, lifetimes):
    """Fader & Hardie 2010, table 3, at 10 %; the paper prints the second case as alpha .067, beta .267."""
    table = retention_elasticity_table(alpha, beta, discount_rate=0.1)
    assert table["residual_lifetime_count"].tolist() == pytest.approx(lifetimes, abs=5e-3)
    assert table["retention_rate"][0] == pytest.approx(0.8)
    constant = retention_lifetime_value(1.1, retention_rate=0.8, discount_rate=0.1)
    assert table["constant_rate_lifetime_count"][0] == pytest.approx(constant)


logs = st.floats(-2, 2).map(lambda exponent: 10**exponent)


@given(alpha=logs, beta=logs, discount=st.floats(0.01, 1))
def test_ignoring_heterogeneity_is_never_too_high(alpha, beta, discount):
    """The message of Fader & Hardie 2010: too low a value, too low an elasticity."""
    table = retention_elasticity_table(alpha, beta, discount_rate=discount)
    slack = 1 + 1e-12
    assert (table["residual_lifetime_count"] * slack >= table["constant_rate_lifetime_count"]).all()
    assert (table["elasticity"] * slack >= table["constant_rate_elasticity"]).all()
    assert (table["elasticity"] <= (1 + discount) / discount * slack).all()  # of customers who never leave
    assert table["residual_lifetime_count"].is_monotonic_increasing


def test_customers_who_are_all_alike_have_the_constant_rate():
    table = retention_elasticity_table(2e9, 8e9, discount_rate=0.1, most_renewals=0)
    assert table["residual_lifetime_count"][0] == pytest.approx(0.8 * 1.1 / 0.3, rel=1e-8)
    assert table["elasticity"][0] == pytest.approx(1.1 / 0.3, rel=1e-8)


@pytest.mark.parametrize("alpha", [1e-2, 0.7, 1e2])
@pytest.mark.parametrize("beta", [1e-2, 1.0, 1e2])
@pytest.mark.parametrize("discount", [1e-3, 0.1, 3.0])
def test_discounted_renewals_are_exact(alpha, beta, discount):
    mp = pytest.importorskip("mpmath")
    with mp.workdps(50):
        a, b, z = mp.mpf(alpha), mp.mpf(beta), 1 / (1 + mp.mpf(discount))
        exact = [b / (a + b) * mp.hyp2f1(power, b + 1, a + b + 1, z) for power in (1, 2)]
        errors = [
            abs(mp.mpf(ours) / theirs - 1)
            for ours, theirs in zip(discounted_renewals(alpha, beta, discount), exact, strict=True)
        ]
    assert max(errors) < 1e-13


def test_retention_elasticity_refuses_the_infinite():
    with pytest.raises(SchemaError, match="discount_rate must be a number above zero, got 0"):
        retention_elasticity_table(1.0, 4.0, discount_rate=0)
    with pytest.raises(SchemaError, match="alpha must be a number above zero, got -1"):
        retention_elasticity_table(-1, 4.0, discount_rate=0.1)


# --- the pattern of profit

YEARS = {
    "customer_id": ["a", "b", "a", "a"],
    "year_of_relationship": [1, 1, 2, 3],
    "amount": [100.0, 60.0, 130.0, 150.0],
    "cost": [75.0, 30.0, 80.0, 70.0],
    "acquisition_cost": [20.0, 30.0, 0.0, 0.0],
    "referral_amount": [0.0, 0.0, 5.0, 8.0],
    "price_premium_amount": [0.0, 0.0, 10.0, 15.0],
}


def test_pattern_by_hand_on_every_kind(frame):
    years = frame(YEARS)
    table = profit_pattern_table(years)
    assert type(table) is type(years)
    base = 80 - 52.5  # of both in year 1; a alone brought 25, at a ratio of cost to revenue of 3/4
    assert records(table) == [
        (1, 2, base, 0.0, 0.0, 0.0, 0.0, 0.0, -25.0, base - 25),
        (2, 1, base, 25 - base, 20 / 4, 0.75 * 120 - 80, 10.0, 5.0, 0.0, 55.0),
        (3, 1, base, 25 - base, 35 / 4, 0.75 * 135 - 70, 15.0, 8.0, 0.0, 88.0),
    ]


def test_pattern_has_only_the_parts_it_is_told(frame):
    plain = {name: YEARS[name] for name in ("customer_id", "year_of_relationship", "amount", "cost")}
    assert [row[-1] for row in records(profit_pattern_table(frame(plain)))] == [27.5, 50.0, 80.0]
    assert len(records(profit_pattern_table(frame(plain)))[0]) == 7


money = st.integers(-50, 500).map(float)
year_rows = st.dictionaries(
    st.tuples(st.integers(1, 4), st.integers(1, 4)), st.tuples(money, money, money, money, money), min_size=1
)


@given(rows=year_rows, kind=st.sampled_from(["pandas", "polars"]))
def test_the_parts_add_up_to_the_profit_that_came_in(rows, kind):
    for customer, _ in list(rows):
        rows.setdefault((customer, 1), (100.0, 70.0, 0.0, 0.0, 0.0))
    names = ["amount", "cost", "acquisition_cost", "referral_amount", "price_premium_amount"]
    customers, years = zip(*rows, strict=True)
    columns = dict(zip(names, zip(*rows.values(), strict=True), strict=True))
    table = records(
        profit_pattern_table(make_frame({"customer_id": customers, "year_of_relationship": years, **columns}, kind))
    )
    assert [row[0] for row in table] == sorted(set(years))
    for year, count, *parts, profit in table:
        scale = max(map(abs, parts)) + 1
        assert math.fsum(parts) == pytest.approx(profit, abs=1e-11 * scale)
        came_in = [r[0] - r[1] - r[2] + r[3] for (_, of), r in rows.items() if of == year]
        assert count == len(came_in)
        assert profit * count == pytest.approx(sum(came_in), abs=1e-9)


def test_pattern_refusals_name_the_trouble():
    years = pd.DataFrame(YEARS)
    with pytest.raises(MissingColumnsError, match=r"profit_pattern_table needs the columns \['cost'\]"):
        profit_pattern_table(years.drop(columns="cost"))
    with pytest.raises(SchemaError, match=r"1 customers have no year 1 to compare with \(first: 'a'\)"):
        profit_pattern_table(years.iloc[1:])
    with pytest.raises(SchemaError, match=r"1 rows repeat a customer and year\. Add them up"):
        profit_pattern_table(pd.concat([years, years.head(1)]))
    with pytest.raises(
        SchemaError, match=r"column 'cost' has missing or infinite numbers\. Where there is none, write 0"
    ):
        profit_pattern_table(years.assign(cost=[1.0, 2.0, None, 3.0]))
    with pytest.raises(SchemaError, match="year_of_relationship must be a whole number from 1"):
        profit_pattern_table(years.assign(year_of_relationship=[0, 1, 2, 3]))
    with pytest.raises(SchemaError, match="year_of_relationship must be a whole number from 1, in at least one row"):
        profit_pattern_table(years.head(0))


# --- folklore

ORDERS = {
    "customer_id": ["a", "b", "c", "d", "e", "f", "f", "g"],
    "order_id": [1, 2, 3, 4, 5, 6, 7, 8],
    "amount": [60.0, 10.0, 10.0, 10.0, 5.0, 10.0, -5.0, 1000.0],
    "timestamp": pd.to_datetime(["2024-01-01"] * 6 + ["2024-01-05", "2024-02-01"]),
}


def test_claims_by_hand_on_every_kind(frame):
    orders = frame(ORDERS)
    table = claims_table(
        orders, as_of="2024-02-01", acquisition_cost=30, retention_cost=12, retention_rate=0.8, discount_rate=0.1
    )
    assert type(table) is type(orders)
    rows = records(table)
    assert [row[1:3] for row in rows] == [(0.8, 0.8), (5.0, 5.0), (0.25, 0.85)]
    assert [row[3] for row in rows] == pytest.approx([70 / 100, 2.5, (1.1 / 0.25) / (1.1 / 0.3) - 1])
    assert all(isinstance(text, str) and text for row in rows for text in (row[0], *row[4:]))


def test_what_was_not_given_is_null(frame):
    assert [row[3] for row in records(claims_table(frame(ORDERS), as_of="2024-02-01"))] == [0.7, None, None]
    lone = claims_table(frame(ORDERS), as_of="2024-02-01", acquisition_cost=30, retention_rate=0.5)
    assert [row[3] for row in records(lone)] == [0.7, None, None]


@given(amounts=st.lists(st.integers(-5, 100).map(float), min_size=1, max_size=40))
def test_the_best_fifth_is_that_of_the_concentration_table(amounts):
    assume(sum(amounts) > 0)
    count = len(amounts)
    orders = pd.DataFrame(
        {
            "customer_id": range(count),
            "order_id": range(count),
            "amount": amounts,
            "timestamp": pd.Timestamp("2024-01-01"),
        }
    )
    ours = claims_table(orders, as_of="2024-02-01")["observed"][0]
    theirs = concentration_table(orders, as_of="2024-02-01", top_shares=[0.2])["amount_share"][0]
    assert ours == pytest.approx(theirs, rel=1e-12)


def test_claims_that_cannot_be_observed():
    refunds = pd.DataFrame(ORDERS).assign(amount=-1.0)
    table = claims_table(refunds, as_of="2024-02-01", retention_rate=0.96, discount_rate=0.1)
    assert table["observed"].isna().all()
    with pytest.raises(SchemaError, match="claims_table: retention_cost must be a number above zero, got 0"):
        claims_table(refunds, as_of="2024-02-01", acquisition_cost=1, retention_cost=0)
    with pytest.raises(SchemaError, match="retention_rate must be a fraction between 0 and 1"):
        claims_table(refunds, as_of="2024-02-01", retention_rate=80, discount_rate=0.1)


# -- retention without contracts


@pytest.fixture(scope="module")
def cdnow():
    orders = crm.Transactions(crm.datasets.load_cdnow(), customer_id="sample_id", timestamp="date")
    return crm.clv.btyd_table(orders, as_of="1997-10-01", unit="7d")


def test_staying_longer_is_worth_what_stretched_lifetimes_of_the_pareto_nbd_are(cdnow):
    """By trapezoid over the survival function: hazards divided by c are S(t / c)."""
    model = crm.clv.ParetoNBDModel().fit(cdnow)
    r, alpha, s, beta = model.params_.values()
    x, T = cdnow["frequency"].to_numpy(), cdnow["T"].to_numpy()
    alive = model.score_table(cdnow, horizon=1)["alive_probability"].to_numpy()
    t = np.linspace(0, 104, 20_001)
    force = np.log(1.15) * 7 / 365

    def value(stretch):
        kept = {
            watched: np.trapezoid(np.exp(-force * t) * ((beta + watched) / (beta + watched + t / stretch)) ** s, t)
            for watched in np.unique(T)
        }
        return (alive * (r + x) / (alpha + T) * np.array([kept[watched] for watched in T])).sum()

    expected = (np.log(value(1.001)) - np.log(value(0.999))) / (np.log(1.001) - np.log(0.999))
    found = crm.clv.retention_elasticity(cdnow, counts=model, horizon=104, discount_rate=0.15)
    assert found == pytest.approx(expected, rel=1e-5)


def test_staying_longer_is_worth_what_rarer_dropout_of_the_bg_nbd_is(cdnow):
    """By drawing rates and dropout probabilities of one customer from the posterior of those alive: hazard rate * p."""
    model = crm.clv.BetaGeoModel().fit(cdnow)
    r, alpha, a, b = model.params_.values()
    one = cdnow[cdnow["customer_id"] == 1516]
    x, T = int(one["frequency"].iloc[0]), float(one["T"].iloc[0])
    rng = np.random.default_rng(0)
    rate, p = rng.gamma(r + x, 1 / (alpha + T), 400_000), rng.beta(a, b + x, 400_000)
    force = np.log(1.15) * 7 / 365

    def value(stretch):  # of purchases at rate, discounted, until a death at rate * p / stretch
        return (rate / (force + rate * p / stretch)).mean()

    expected = (np.log(value(1.01)) - np.log(value(0.99))) / (np.log(1.01) - np.log(0.99))
    found = crm.clv.retention_elasticity(one, counts=model, horizon="lifetime", discount_rate=0.15)
    assert found == pytest.approx(expected, rel=0.01)


def test_where_nobody_leaves_staying_longer_changes_nothing(cdnow):
    model = crm.clv.NBDModel().fit(cdnow)
    found = crm.clv.retention_elasticity(cdnow, counts=model, horizon="365d", discount_rate=0.1)
    assert found == pytest.approx(0.0, abs=1e-9)
    with pytest.raises(SchemaError, match=r"retention_elasticity: counts must be a fitted .*got GammaGammaModel"):
        crm.clv.retention_elasticity(cdnow, counts=crm.clv.GammaGammaModel(), horizon="365d", discount_rate=0.1)


def test_the_cost_of_acquisition_is_taken_off_once():
    won = crm.clv.NewCustomerValue(
        discounted_purchase_count=3.0, order_amount=40.0, repeat_purchase_amount=36.0, first_purchase_amount=12.0,
        acquisition_cost=20.0, clv_amount=28.0,
    )  # fmt: skip
    options = {"new_customers_per_period": 5, "horizon": "730d", "discount_rate": 0.1}
    ours = customer_equity([100.0], new_customer_value=won, **options)
    by_hand = customer_equity([100.0], new_customer_value=48.0, acquisition_cost=20.0, **options)
    assert ours == by_hand
    with pytest.raises(SchemaError, match="new_customer_value knows its acquisition_cost of 20: leave it out"):
        customer_equity([100.0], new_customer_value=won, acquisition_cost=20.0, **options)
    with pytest.raises(SchemaError, match="acquisition_cost must be a number of zero or more, got None"):
        customer_equity([100.0], new_customer_value=48.0, **options)


def test_values_that_are_no_numbers_are_refused_and_series_are_taken():
    options = {
        "new_customers_per_period": pd.Series([1.0]), "new_customer_value": 1.0, "acquisition_cost": 0.0,
        "horizon": "365d", "discount_rate": 0.1,
    }  # fmt: skip
    assert customer_equity(pd.Series([1.0, 2.0]), **options).present_amount == 3.0
    with pytest.raises(SchemaError, match=r"values must be numbers, got \['a', 'b'\]"):
        customer_equity(["a", "b"], **options)
    with pytest.raises(SchemaError, match="values must be one list of numbers, got 2 dimensions"):
        customer_equity(np.ones((2, 2)), **options)
    with pytest.raises(SchemaError, match="column 'clv_amount' holds String, expected numbers"):
        customer_equity(pd.DataFrame({"clv_amount": ["a"]}), **options)
