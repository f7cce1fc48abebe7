"""What partner_customer_table promises: means by hand, Welch's test, likes with likes, the planted truth."""

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from scipy import stats

from crmlytics import Customers, datasets
from crmlytics._kernels.like_for_like import against_others, mean_interval
from crmlytics._kernels.treatment_effects import mean_effect
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.partners._plots import plot_partner_customers
from crmlytics.partners.customers import SCHEMA, partner_customer_table
from crmlytics.testing import records

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


# horizon of 20 days: 1 and 2 came through x, 3 and 4 through y, 5 too late, 6 directly
SALES = {
    "customer_id": [1, 1, 1, 2, 3, 3, 4, 4, 5, 6, 1],
    "order_id": list(range(11)),
    "timestamp": [ago(60), ago(55), ago(45), ago(50), ago(40), ago(39), ago(30), ago(9), ago(19), ago(20), AS_OF],
    "amount": [10.0, 5.0, 6.0, 30.0, 7.0, -2.0, 8.0, 99.0, 1.0, 4.0, 1e6],
    "partner_id": ["x", "y", "x", "x", "y", "y", "y", "x", "x", None, "z"],
}


def told(table, partner, metric):
    return next(
        row for row in (dict(zip(SCHEMA, row, strict=True)) for row in records(table))
        if (row["partner_id"], row["metric"]) == (partner, metric)
    )  # fmt: skip


def test_means_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = partner_customer_table(sales, as_of=AS_OF, horizon="20d")
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == dict(SCHEMA)
    shown = ["customer_count", "observed_count", "mean", "others_mean"]
    assert [told(table, "x", "first_order_amount")[name] for name in shown] == [3, 2, 20.0, 19 / 3]
    assert [told(table, "x", "horizon_amount")[name] for name in shown] == [3, 2, 25.5, 17 / 3]
    assert [told(table, "x", "repeat_share")[name] for name in shown] == [3, 2, 0.5, 0.0]
    assert told(table, "x", "retained_share")["mean"] == 0.5  # 1 came again on day 15
    assert told(table, "y", "horizon_amount")["mean"] == 6.5  # day 21 is outside
    assert told(table, "(direct)", "horizon_amount")["observed_count"] == 1


def test_who_brought_a_customer_is_told_by_customers_where_they_know():
    customers = pd.DataFrame({"customer_id": [1, 2, 3, 4], "partner_id": ["y", "w", None, ""]})
    table = partner_customer_table(pd.DataFrame(SALES), customers, as_of=AS_OF, horizon="20d")
    counts = table[table["metric"] == "horizon_amount"].set_index("partner_id")["customer_count"]
    assert list(counts.items()) == [("(direct)", 1), ("w", 1), ("x", 1), ("y", 3)]


def test_the_state_at_the_first_order_counts():
    customers = pd.DataFrame({
        "customer_id": [1, 1, 2, 3, 4, 5, 6], "region": list("nsnnnnn"),
        "valid_from": [ago(99), ago(58), *[ago(99)] * 5], "valid_to": [ago(58), None, *[None] * 5],
    })  # fmt: skip
    table = partner_customer_table(
        pd.DataFrame(SALES), Customers(customers), as_of=AS_OF, horizon="20d", like_for_like=["region"]
    )
    assert told(table, "x", "horizon_amount")["like_for_like_count"] == 2  # 1 had not moved yet
    assert told(table, "y", "horizon_amount")["like_for_like_count"] == 2


def test_the_caution_says_what_was_not_taken_out():
    plain = partner_customer_table(pd.DataFrame(SALES), as_of=AS_OF, horizon="20d")
    assert plain["caution"].str.contains("Whom the partner met is not taken out").all()
    assert plain["caution"].str.contains("Fewer than 30 customers").all()
    one = pd.DataFrame(SALES | {"partner_id": "x"})
    alone = partner_customer_table(one, as_of=AS_OF, horizon="20d")
    assert alone["caution"].str.contains("No other customers to compare with").all()
    assert alone[["difference", "p_value"]].isna().all(axis=None)


def test_rows_in_any_order_and_the_future_change_nothing():
    sales = pd.DataFrame(SALES)
    table = partner_customer_table(sales, as_of=AS_OF, horizon="20d")
    pd.testing.assert_frame_equal(table, partner_customer_table(sales[::-1], as_of=AS_OF, horizon="20d"))
    poisoned = sales.assign(amount=[*SALES["amount"][:-1], -7.0], customer_id=[*SALES["customer_id"][:-1], 9])
    pd.testing.assert_frame_equal(table, partner_customer_table(poisoned, as_of=AS_OF, horizon="20d"))


@pytest.mark.parametrize(
    ("more", "kind", "said"),
    [
        ({"horizon": "90d"}, SchemaError, r'nobody had the first order 90 days before.*horizon="45d"'),
        ({"like_for_like": ["region"]}, SchemaError, "like_for_like names columns of customers. Give that table"),
        ({"like_for_like": "region"}, SchemaError, r"like_for_like must be a list.*\['region'\]"),
        (
            {"customers": pd.DataFrame({"customer_id": [1], "region": ["n"]}), "like_for_like": ["Region"]},
            MissingColumnsError,
            "like_for_like names 'Region', no such column. Did you mean 'region'",
        ),
        ({"customers": pd.DataFrame({"customer_id": ["1"]})}, SchemaError, "customer_id is Int64 in Transactions"),
        ({"confidence": 95}, SchemaError, "confidence must be a fraction"),
    ],
)
def test_refusals_say_what_to_type(more, kind, said):
    with pytest.raises(kind, match=said):
        partner_customer_table(pd.DataFrame(SALES), as_of=AS_OF, **({"horizon": "20d"} | more))


# -- the kernel ----------------------------------------------------------------------------------------------------


def test_one_stratum_is_welch_corrected_for_skewness():
    random = np.random.default_rng(0)
    values, group = random.gamma(0.7, 30.0, 120), random.choice(3, 120, p=[0.2, 0.3, 0.5])
    found = against_others(values, group, 3, np.zeros(120, np.int64))
    low, high = found.interval(0.95)
    for number in range(3):
        slow = mean_effect(values[group == number][:, None], values[group != number][:, None], 0.95)
        quick = (found.difference[number], low[number], high[number], found.p_value()[number])
        assert quick == pytest.approx((slow.difference, slow.difference_low, slow.difference_high, slow.p_value))


def test_strata_are_weighted_as_the_group_is_spread():
    values = np.array([10.0, 12.0, 20.0, 22.0, 24.0, 1.0, 3.0, 5.0, 7.0, 9.0, 99.0])
    group = np.array([0, 0, 1, 1, 1, 0, 0, 0, 1, 1, 0])
    stratum = np.array([0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 2])  # nobody of others in the last
    found = against_others(values, group, 2, stratum)
    assert found.members.tolist() == [5, 5]
    assert found.difference[0] == pytest.approx(0.4 * (11 - 22) + 0.6 * (3 - 8))
    variance = 0.4**2 * (2 / 2 + 4 / 3) + 0.6**2 * (4 / 3 + 2 / 2)
    assert found.error[0] == pytest.approx(np.sqrt(variance))


def test_without_spread_or_others_there_is_no_interval():
    found = against_others(np.array([1.0, 1.0, 2.0, 2.0]), np.array([0, 0, 1, 1]), 3, np.zeros(4, np.int64))
    assert found.difference[:2].tolist() == [-1.0, 1.0]
    assert np.isnan(found.p_value()).all()
    assert np.isnan(found.difference[2])


def test_a_mean_of_symmetric_values_has_the_interval_of_student():
    values = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    mean, low, high = mean_interval(values, np.zeros(5, np.int64), 2, 0.95)
    reach = stats.t.ppf(0.975, 4) * np.sqrt(2.5 / 5)
    assert (mean[0], low[0], high[0]) == pytest.approx((3, 3 - reach, 3 + reach))
    assert np.isnan([mean[1], low[1], high[1]]).all()


def test_means_of_skewed_values_are_held_as_often_as_promised():
    random = np.random.default_rng(1)
    held = []
    for _ in range(400):
        _, low, high = mean_interval(random.gamma(0.5, 2.0, 60), np.zeros(60, np.int64), 1, 0.95)
        held.append(low[0] <= 1 <= high[0])
    assert np.mean(held) >= 0.92


# -- the planted truth ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def planted():
    made = datasets.make_universe(customers=5000, random_state=2)
    table = partner_customer_table(
        made.transactions, made.customers, as_of="2025-06-24", like_for_like=["region", "segment"]
    )
    return made, table.set_index(["partner_id", "metric"])


@pytest.mark.parametrize(("partner", "other"), [("PA01", "PA02"), ("PA03", "PA04"), ("PA05", "PA06")])
def test_like_for_like_recovers_what_was_planted_in_amounts(planted, partner, other):
    made, table = planted
    effects = made.effects[made.effects["column"] == "partner_id"].set_index(["outcome", "level"])["effect"]
    amounts = effects[next(outcome for outcome, _ in effects.index if "amount" in outcome)]
    truth = np.exp(amounts[partner] - amounts.get(other, 0.0))
    row = table.loc[(partner, "first_order_amount")]
    low, high = (row["mean"] / (row["mean"] - row[f"like_for_like_difference{end}"]) for end in ("_low", "_high"))
    assert low <= truth <= high


def test_what_looks_like_a_good_partner_is_whom_it_met(planted):
    """PA01 gets more of the premium customers: as they are, its customers look better than it makes them."""
    _, table = planted
    row = table.loc[("PA01", "first_order_amount")]
    assert row["difference"] > row["like_for_like_difference"] > 0
    assert row["difference_low"] > row["like_for_like_difference"]


def test_the_partner_whose_customers_leave_is_behind_in_retention(planted):
    _, table = planted
    assert table.loc[("PA06", "retained_share"), "difference_high"] < 0  # planted: hazard x 1.5


def test_p_values_are_told_alone_and_after_holm(planted):
    table = planted[1].xs("horizon_amount", level="metric")
    for name in ("", "like_for_like_"):
        raw, adjusted = np.sort(table[f"{name}p_value"]), np.sort(table[f"{name}adjusted_p_value"])
        holm = np.minimum(np.maximum.accumulate(raw * np.arange(len(raw), 0, -1)), 1)
        assert adjusted.tolist() == pytest.approx(holm)


def test_one_partner_has_nobody_to_differ_from_in_the_picture():
    import matplotlib.pyplot as plt

    table = partner_customer_table(pd.DataFrame(SALES | {"partner_id": "x"}), as_of=AS_OF, horizon="20d")
    ax = plot_partner_customers(table)
    assert (ax.get_legend(), [label.get_text() for label in ax.get_yticklabels()]) == (None, ["x"])
    plt.close(ax.figure)


def test_the_picture_draws_both_differences(planted):
    import matplotlib.pyplot as plt

    ax = plot_partner_customers(planted[1].reset_index(), metric="retained_share")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["As they are", "Like for like"]
    assert len(ax.get_yticklabels()) == 6
    plt.close(ax.figure)
    with pytest.raises(SchemaError, match=r"metric must be one of \['first_order_amount'"):
        plot_partner_customers(planted[1].reset_index(), metric="amount")
