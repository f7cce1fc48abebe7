"""What the tables of dependence promise: who buys nowhere else by hand, bounds that hold, shares that add up."""

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Transactions
from crmlytics._kernels.partner_draws import concentration, largest_bounds
from crmlytics.exceptions import SchemaError
from crmlytics.partners._plots import plot_partner_dependence
from crmlytics.partners.dependence import (
    SCHEMA,
    WHOLE_SCHEMA,
    partner_concentration_table,
    partner_dependence_table,
)
from crmlytics.testing import records

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


# in the last 10 days: a only through x, b through x and y, c directly; d only gave back; earlier a bought from y
SALES = {
    "customer_id": ["a", "a", "b", "b", "c", "d", "a"],
    "order_id": [1, 2, 3, 4, 5, 6, 7],
    "timestamp": [ago(20), ago(10), ago(5), ago(4), ago(3), ago(2), AS_OF],
    "amount": [5.0, 40.0, 30.0, 20.0, 15.0, -5.0, 1e6],
    "partner_id": ["y", "x", "x", "y", None, "y", "z"],
}
TOLD = ["partner_id", "amount", "amount_share", "customer_count", "only_customer_count", "only_customer_share",
        "only_amount", "shared_amount", "at_risk_amount_low", "at_risk_amount_high", "at_risk_share_high"]  # fmt: skip


def test_dependence_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = partner_dependence_table(sales, as_of=AS_OF, window="10d", staying_share=0.25, replicates=20)
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(SCHEMA)
    rows = [dict(zip(SCHEMA, row, strict=True)) for row in records(table)]
    assert [[row[name] for name in TOLD] for row in rows] == [
        ["(direct)", 15.0, 0.15, 1, 1, 1.0, 15.0, 0.0, 0.0, 0.0, 0.0],
        ["x", 70.0, 0.7, 2, 1, 0.5, 40.0, 30.0, 30.0, 52.5, 0.525],
        ["y", 15.0, 0.15, 1, 0, 0.0, 0.0, 15.0, 0.0, 11.25, 0.1125],
    ]
    assert {row["caution"] for row in rows} == {
        "What hangs on the partner under the assumption staying_share=0.25, not what would happen."
    }


def test_concentration_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = partner_concentration_table(sales, as_of=AS_OF, window="10d", replicates=20)
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(WHOLE_SCHEMA)
    row = dict(zip(WHOLE_SCHEMA, records(table)[0], strict=True))
    assert [row[name] for name in ("partner_count", "amount", "direct_share", "top_partner_id", "verdict")] == [
        2, 85.0, 0.15, "x", "highly concentrated",
    ]  # fmt: skip
    assert row["top_share"] == pytest.approx(70 / 85)
    assert (
        row["hhi"]
        == pytest.approx((70 / 85) ** 2 + (15 / 85) ** 2)
        == pytest.approx(1 / row["effective_partner_count"])
    )
    assert row["top_share_low"] is None
    assert "Too few for intervals." in row["caution"]


def test_one_partner_is_no_concentration_but_a_partner():
    table = partner_concentration_table(pd.DataFrame(SALES | {"partner_id": "x"}), as_of=AS_OF, window="10d")
    assert table[["partner_count", "hhi", "top_share", "verdict"]].to_numpy().tolist() == [[1, 1.0, 1.0, "one partner"]]


@pytest.mark.parametrize(("partners", "verdict"), [(4, "highly concentrated"), (8, "concentrated"), (20, "spread")])
def test_partners_alike_have_an_hhi_of_one_over_their_number(partners, verdict):
    sales = pd.DataFrame({
        "customer_id": range(20 * partners), "order_id": range(20 * partners), "timestamp": ago(5), "amount": 3.0,
        "partner_id": [f"p{number % partners}" for number in range(20 * partners)],
    })  # fmt: skip
    row = partner_concentration_table(sales, as_of=AS_OF, window="10d", replicates=200).iloc[0]
    assert row["hhi"] == 1 / partners
    assert row["effective_partner_count"] == partners
    assert row["verdict"] == verdict
    assert row["top_share"] <= row["top_share_high"]


def test_a_partner_with_more_returns_than_sales_has_nothing_at_risk():
    sales = pd.DataFrame(SALES | {"amount": [5.0, 40.0, 30.0, 2.0, 15.0, -9.0, 1e6]})
    row = partner_dependence_table(sales, as_of=AS_OF, window="10d", replicates=20).set_index("partner_id").loc["y"]
    assert row[["amount", "at_risk_amount_low", "at_risk_amount_high"]].tolist() == [-7.0, 0.0, 0.0]


@pytest.mark.parametrize("truth", [[0.4, 0.3, 0.2, 0.1], [0.25] * 4, [0.3, 0.3, 0.4 / 3, 0.4 / 3, 0.4 / 3]])
def test_concentration_is_held_as_often_as_promised_also_where_partners_are_alike(truth):
    """Bias-corrected percentiles held the truth in none of 100 intervals where all four partners were alike."""
    held, top, hhi = [], max(truth), sum(share**2 for share in truth)
    for seed in range(40):
        random = np.random.default_rng(seed)
        sales = pd.DataFrame({
            "customer_id": range(300), "order_id": range(300), "timestamp": ago(5),
            "amount": random.gamma(2.0, 5.0, 300), "partner_id": random.choice(len(truth), 300, p=truth).astype(str),
        })  # fmt: skip
        row = partner_concentration_table(sales, as_of=AS_OF, window="10d", replicates=200, random_state=seed).iloc[0]
        assert row["hhi_low"] <= row["hhi"] <= row["hhi_high"]
        held.append((row["top_share_low"] <= top <= row["top_share_high"], row["hhi_low"] <= hhi <= row["hhi_high"]))
    assert (np.mean(held, axis=0) >= 0.88).all()


def test_bounds_of_the_largest_are_those_of_who_may_be_it():
    random = np.random.default_rng(0)
    apart = random.normal(scale=[0.01, 0.01, 0.001], size=(20_000, 3))
    measured = np.array([0.5, 0.3, 0.2])
    low, high = largest_bounds(measured + apart, measured, 0.95)  # the first alone: plus or minus 1.96 errors
    assert (low, high) == pytest.approx((0.4804, 0.5196), abs=5e-4)
    tied = np.array([0.4, 0.4, 0.2])
    low, high = largest_bounds(tied + apart, tied, 0.95)  # of two: 2.236 errors, since 0.95 is 0.9747 squared
    assert (low, high) == pytest.approx((0.3776, 0.4224), abs=6e-4)
    assert largest_bounds(np.tile(tied, (9, 1)), tied, 0.95) == (0.4, 0.4)


def test_an_hhi_less_the_chance_in_it():
    drawn = np.array([[0.4, 0.6], [0.6, 0.4]] * 50)  # each has the HHI 0.52; the variances are 0.01 each
    assert concentration(drawn, np.array([0.5, 0.5]), 0.95) == (0.5, 0.5, 0.5)  # .5 less .02, and two have no less
    assert concentration(drawn, np.array([0.4, 0.6]), 0.95) == pytest.approx((0.5, 0.5, 0.5))
    wide = np.array([[0.9, 0.1], [0.7, 0.3]] * 50)  # .82 and .58, of variances of .01 each
    assert concentration(wide, np.array([0.8, 0.2]), 0.95) == pytest.approx((0.66, 0.54, 0.78))


def test_the_hhi_of_few_customers_is_that_of_the_long_run():
    """Twelve partners alike but for chance: squared shares as they come are a fifth too high in the mean."""
    random, found = np.random.default_rng(0), []
    truth = np.array([0.2, *[0.8 / 11] * 11])
    for seed in range(40):
        sales = pd.DataFrame({
            "customer_id": range(100), "order_id": range(100), "timestamp": ago(5),
            "amount": random.gamma(2.0, 5.0, 100), "partner_id": random.choice(12, 100, p=truth).astype(str),
        })  # fmt: skip
        row = partner_concentration_table(sales, as_of=AS_OF, window="10d", replicates=100, random_state=seed).iloc[0]
        amount = sales.groupby("partner_id")["amount"].sum()
        found.append((row["hhi"], ((amount / amount.sum()) ** 2).sum()))
    told, measured = np.mean(found, axis=0)
    assert told == pytest.approx((truth**2).sum(), rel=0.05)
    assert measured > 1.1 * told


LINE = st.tuples(st.sampled_from("abcd"), st.sampled_from(["x", "y", None]), st.integers(0, 19), st.integers(-300, 999))


@settings(max_examples=20)
@given(lines=st.lists(LINE, min_size=1, max_size=25))
def test_shares_add_up_and_bounds_stay_in_order(lines):
    lines = [*lines, ("z", "x", 1, 99_999)]  # revenue above zero
    customer, partner, days, cents = zip(*lines, strict=True)
    sales = pd.DataFrame({
        "customer_id": customer, "order_id": range(len(lines)), "timestamp": [ago(day + 1) for day in days],
        "amount": [cent / 100 for cent in cents], "partner_id": pd.array(partner, dtype="str"),
    })  # fmt: skip
    table = partner_dependence_table(sales, as_of=AS_OF, window="10d", replicates=20)
    mixed = partner_dependence_table(sales.sample(frac=1, random_state=0), as_of=AS_OF, window="10d", replicates=20)
    pd.testing.assert_frame_equal(table, mixed)
    now = [line for line in lines if line[2] < 10]
    assert round(table["amount"].sum(), 2) == sum(line[3] for line in now) / 100
    assert table["amount_share"].sum() == pytest.approx(1)
    assert (table["only_amount"] + table["shared_amount"]).tolist() == pytest.approx(table["amount"].tolist())
    assert (table["at_risk_amount_low"] <= table["at_risk_amount_high"]).all()
    ways = {}
    for who, how, _, cent in now:
        if cent >= 0:
            ways.setdefault(who, set()).add(how or "(direct)")
    alone = {name: sum(how == {name} for how in ways.values()) for name in table["partner_id"]}
    assert table.set_index("partner_id")["only_customer_count"].to_dict() == alone


def test_the_future_changes_nothing():
    poisoned = SALES | {"amount": [*SALES["amount"][:-1], -1e9], "partner_id": [*SALES["partner_id"][:-1], "x"]}
    for make in (partner_dependence_table, partner_concentration_table):
        one, two = (make(pd.DataFrame(sales), as_of=AS_OF, window="10d", replicates=20) for sales in (SALES, poisoned))
        pd.testing.assert_frame_equal(one, two)


@pytest.mark.parametrize(
    ("make", "more", "said"),
    [
        (
            partner_dependence_table,
            {"staying_share": 20},
            r"staying_share must be a share from 0 to 1, such as 0\.15, got 20\. Of 20 per cent type 0\.2",
        ),
        (partner_dependence_table, {"window": "2d"}, "revenue of the 2 days before as_of is -5.00; shares need"),
        (partner_concentration_table, {"window": "1d", "as_of": ago(2)}, "revenue through partners is 0.00"),
        (partner_concentration_table, {"confidence": 1}, "confidence must be a fraction"),
    ],
)
def test_refusals_say_what_to_type(make, more, said):
    with pytest.raises(SchemaError, match=said):
        make(pd.DataFrame(SALES), **({"as_of": AS_OF, "window": "10d"} | more))


def test_adventureworks_and_its_picture(shared_data):
    import matplotlib.pyplot as plt

    sales = pd.read_parquet(shared_data / "adventureworks" / "FactResellerSales.parquet")
    tx = Transactions(sales, customer_id="ResellerKey", order_id="SalesOrderNumber", timestamp="OrderDate",
                      amount="SalesAmount", partner_id="EmployeeKey")  # fmt: skip
    row = partner_concentration_table(tx, as_of="2013-12-01", replicates=200).iloc[0]
    now = sales[sales["OrderDate"] >= "2012-12-01"].groupby("EmployeeKey")["SalesAmount"].sum()
    assert row["top_share"] == pytest.approx(now.max() / now.sum())
    assert row["hhi_low"] < row["hhi"] < row["hhi_high"]
    ax = plot_partner_dependence(partner_dependence_table(tx, as_of="2013-12-01", replicates=20))
    assert ax.get_title(loc="left") == "What hangs on each partner, if 0% would stay without it"
    assert len(ax.patches) == 2 * len(now)
    plt.close(ax.figure)
