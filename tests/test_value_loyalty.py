"""What the measures of loyalty promise: counts by hand, an interval that a likelihood agrees with, no look ahead."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import Events
from crmlytics._kernels.net_scores import net_score_interval
from crmlytics._kernels.proportion_tests import difference_interval
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records
from crmlytics.value.loyalty import _ratio, loyalty_measure_table, nps_table
from crmlytics.value.service_profit import _bringing, service_profit_table

AS_OF = dt.datetime(2024, 3, 31)
QUICK = ["pandas", "pandas-nullable", "pyarrow", "polars", "polars-lazy", "duckdb"]
Z = 1.959963984540054


def ago(days):
    return AS_OF - dt.timedelta(days=days)


# -- the net promoter score ----------------------------------------------------------------------------------------

ANSWERS = {"rating": [10, 9, 9, 8, 7, 0, 6, None], "segment": ["x", "x", "y", "y", "y", "y", None, "x"]}


@pytest.mark.parametrize("kind", QUICK)
def test_nps_by_hand(kind):
    answers = make_frame(ANSWERS, kind)
    table = nps_table(answers)
    assert type(table) is type(answers)
    found = records(table)
    assert [row[:9] for row in found] == [("all", 7, 3, 2, 2, 3 / 7, 2 / 7, 2 / 7, 100 / 7)]
    assert found[0][9] < 0 < found[0][10]
    assert [row[:5] for row in records(nps_table(answers, by="segment"))] == [("x", 2, 2, 0, 0), ("y", 4, 1, 2, 1)]


def test_interval_when_all_agree_has_a_closed_form():
    n = np.array([1, 10, 500])
    low, high = net_score_interval(n, 0 * n, n, 0.95)
    assert high.tolist() == [1.0, 1.0, 1.0]
    assert low == pytest.approx((n - Z**2) / (n + Z**2))
    low, high = net_score_interval(0 * n, n, n, 0.95)
    assert low.tolist() == [-1.0, -1.0, -1.0]
    assert high == pytest.approx(-(n - Z**2) / (n + Z**2))
    assert np.isnan(net_score_interval(np.array(0), np.array(0), np.array(0), 0.95)).all()


@given(counts=st.tuples(*[st.integers(0, 60)] * 3).filter(lambda counts: counts[0] + counts[2] > 0))
def test_the_interval_holds_zero_when_mcnemar_does_not_reject(counts):
    up, _, down = counts
    low, high = net_score_interval(np.array(up), np.array(down), np.array(sum(counts)), 0.95)
    rejects = (up - down) ** 2 / (up + down) - Z**2
    if abs(rejects) > 1e-6:
        assert (low <= 0 <= high) == (rejects < 0)
    assert low - 1e-9 <= (up - down) / sum(counts) <= high + 1e-9


def test_bounds_are_where_the_score_test_with_the_likeliest_shares_turns():
    up, passive, down = 30, 50, 20
    for bound in net_score_interval(np.array(up), np.array(down), np.array(100), 0.95):
        share = np.linspace(1e-6, (1 - abs(bound)) / 2, 200_001)  # of the smaller group, by brute force
        p, q = (share + bound, share) if bound > 0 else (share, share - bound)
        with np.errstate(divide="ignore"):
            likelihood = up * np.log(p) + down * np.log(q) + passive * np.log(np.maximum(1 - p - q, 0))
        best = likelihood.argmax()
        error = np.sqrt((p[best] + q[best] - bound**2) / 100)
        assert abs((up - down) / 100 - bound) / error == pytest.approx(Z, abs=1e-3)


@pytest.mark.parametrize(
    ("answers", "more", "error", "said"),
    [
        ({"rating": [11]}, {}, SchemaError, "whole numbers from 0 to 10, the scale.*got 11"),
        ({"rating": [4.5]}, {}, SchemaError, "got 4.5"),
        ({"rating": ["good"]}, {}, SchemaError, "'rating' must hold numbers from 0 to 10"),
        ({"rating": [None, None]}, {}, SchemaError, "holds no answer in 2 rows"),
        ({"score": [1]}, {}, MissingColumnsError, r"nps_table needs \['rating'\]"),
        ({"rating": [1]}, {"by": "segmnt"}, MissingColumnsError, r"nps_table needs \['segmnt'\]"),
    ],
)
def test_nps_refusals(answers, more, error, said):
    with pytest.raises(error, match=said):
        nps_table(pd.DataFrame(answers), **more)


def test_a_scale_from_one_to_five_is_told():
    with pytest.warns(
        DataQualityWarning, match="no answer in 'satisfaction' is above 5. On a scale from 1 to 5 nobody"
    ):
        nps_table(pd.DataFrame({"satisfaction": [5, 4, 3, 5, 1]}), rating="satisfaction")
    nps_table(pd.DataFrame({"rating": [5, 4, 3, 5, 6]}))
    nps_table(pd.DataFrame({"rating": [5, 4, 3, 5, None]}))  # four may all be detractors


# -- measures side by side -----------------------------------------------------------------------------------------

# a: three orders; b: one, long ago; c: one and a return; d: only a return, no customer yet; periods of 30 days
SALES = {
    "customer_id": ["a", "a", "a", "b", "c", "c", "d", "b"],
    "order_id": [1, 2, 3, 4, 5, 6, 7, 8],
    "timestamp": [ago(90), ago(60), ago(30), ago(31), ago(1), ago(1), ago(5), AS_OF],
    "amount": [10.0, 20.0, 30.0, 40.0, 50.0, -5.0, -9.0, 999.0],
}
SURVEY = {  # a changed their mind; b's second answer is not known yet
    "customer_id": ["a", "a", "b", "b", "c"],
    "timestamp": [ago(80), ago(40), ago(35), AS_OF, ago(2)],
    "rating": [10, 3, 9, 0, 9],
}
WALLET = {"customer_id": ["a", "b", "c", "x"], "wallet_amount": [60.0, 100.0, None, 10.0]}


@pytest.mark.parametrize("kind", QUICK)
def test_measures_by_hand(kind):
    sales = make_frame(SALES, kind)
    survey, wallet = make_frame(SURVEY, kind), make_frame(WALLET, kind)
    with pytest.warns(DataQualityWarning, match="1 of 3 customers of wallet had not ordered before as_of, left out"):
        table = loyalty_measure_table(sales, as_of=AS_OF, period="30d", survey=survey, wallet=wallet)
    assert type(table) is type(sales)
    found = {row[0]: row for row in records(table)}
    assert {name: (row[1], row[4]) for name, row in found.items()} == {
        "repeat_customer_share": (1 / 3, 3),
        "retained_customer_share": (0.5, 2),  # a and b ordered from 60 to 31 days ago, a again
        "orders_per_customer": (5 / 3, 3),
        "tenure_days": ((90 + 31 + 1) / 3, 3),
        "wallet_share": (30 / 160, 2),
        "nps_score": (pytest.approx(100 / 3), 3),
    }
    reach = 12.706 * np.std([90, 31, 1], ddof=1)  # more than Student's t could be: the data are skewed
    assert found["tenure_days"][2] >= 0
    assert found["tenure_days"][3] < 122 / 3 + reach
    assert found["wallet_share"][2:4] == (None, None)  # of two wallets, one empty here: anything
    for name, (_, value, low, high, *_) in found.items():
        assert name == "wallet_share" or low < value < high
    assert found["repeat_customer_share"][2:4] == pytest.approx((0.0614919, 0.7923404))  # Wilson, 1 of 3


@pytest.mark.filterwarnings("ignore:.*Below 30 customers")
def test_measures_and_the_chain_on_spark_too(frame):
    sales, survey = frame(SALES), frame(SURVEY)
    assert records(loyalty_measure_table(sales, as_of=AS_OF, period="30d", survey=survey))[-1][4] == 3
    assert [row[1] for row in records(service_profit_table(sales, survey=survey, as_of=AS_OF, horizon="30d"))] == [
        1,
        0,
        1,
    ]


def test_one_customer_and_one_period_are_measured_without_what_is_not_there():
    one = pd.DataFrame({name: values[4:5] for name, values in SALES.items()})
    early = pd.DataFrame({"customer_id": ["c"], "timestamp": [AS_OF], "rating": [10]})
    table = loyalty_measure_table(one, as_of=AS_OF, survey=early).set_index("measure")
    assert table["customer_count"].to_dict() == {
        "repeat_customer_share": 1, "retained_customer_share": 0, "orders_per_customer": 1, "tenure_days": 1,
        "nps_score": 0,
    }  # fmt: skip
    assert table.loc[["retained_customer_share", "nps_score"], "value"].isna().all()
    assert table.loc["tenure_days", ["value_low", "value_high"]].isna().all()


def test_wallets_that_cannot_be_one():
    sales = pd.DataFrame(SALES)
    small = pd.DataFrame({"customer_id": ["a", "b"], "wallet_amount": [20.0, 50.0]})
    with pytest.warns(DataQualityWarning, match="1 customers spent more here than their whole wallet_amount"):
        loyalty_measure_table(sales, as_of=AS_OF, period="30d", wallet=small)
    for values in ([0.0, 50.0], [-1.0, 2.0]):
        with pytest.raises(SchemaError, match="got 2 customers in both tables, 1 of them not above zero"):
            loyalty_measure_table(sales, as_of=AS_OF, wallet=small.assign(wallet_amount=values))
    with pytest.raises(SchemaError, match="got 0 customers in both tables"):
        loyalty_measure_table(sales, as_of=AS_OF, wallet=small.assign(customer_id=["y", "z"]))
    with pytest.raises(MissingColumnsError, match=r"needs \['wallet_amount'\]"):
        loyalty_measure_table(sales, as_of=AS_OF, wallet=small[["customer_id"]])


def test_refusals_say_what_to_type():
    sales = pd.DataFrame(SALES)
    with pytest.raises(SchemaError, match="loyalty_measure_table: no line lies before as_of=2020-01-01 00:00"):
        loyalty_measure_table(sales, as_of="2020-01-01")
    with pytest.raises(SchemaError, match=r"nobody ordered before as_of=2024-03-31\. Check the sign of amount"):
        loyalty_measure_table(sales.assign(amount=-1.0), as_of=AS_OF)
    without = pd.DataFrame(SURVEY).drop(columns="timestamp")
    with pytest.raises(
        MissingColumnsError,
        match=r"loyalty_measure_table\(survey=...\) needs \['timestamp'\].*Events\(data, timestamp='<your column>'\)",
    ):
        loyalty_measure_table(sales, as_of=AS_OF, survey=without)
    with pytest.raises(SchemaError, match="transactions is a pandas table and survey a Polars table"):
        loyalty_measure_table(sales, as_of=AS_OF, survey=make_frame(SURVEY, "polars"))
    with pytest.raises(SchemaError, match="customer_id is String in Transactions, Int64 in Events"):
        loyalty_measure_table(sales, as_of=AS_OF, survey=pd.DataFrame(SURVEY | {"customer_id": [1, 2, 3, 4, 5]}))
    with pytest.raises(MissingColumnsError, match=r"needs \['rating'\]"):
        loyalty_measure_table(sales, as_of=AS_OF, survey=pd.DataFrame(SURVEY).drop(columns="rating"))


# -- satisfaction, staying, value ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", QUICK)
def test_the_chain_by_hand(kind):
    sales = make_frame(SALES, kind)
    survey = Events(make_frame(SURVEY, kind))
    with pytest.warns(DataQualityWarning, match="there are 1 detractors and 1 promoters. Below 30 customers intervals"):
        table = service_profit_table(sales, survey=survey, as_of=AS_OF, horizon="30d")
    assert type(table) is type(sales)
    detractors, passives, promoters = records(table)  # c answered within the horizon
    assert detractors[:4] == ("detractors", 1, 1, 1.0)  # a, by the last answer
    assert (detractors[6], detractors[7]) == (20.0, 30.0)
    assert detractors[10:16] == (None,) * 6
    assert passives[:3] == ("passives", 0, 0)
    assert passives[3:16] == (None,) * 13
    assert promoters[:4] == ("promoters", 1, 0, 0.0)
    assert (promoters[6], promoters[7]) == (40.0, 0.0)
    bounds = difference_interval(*(np.array(count) for count in (0, 1, 1, 1)), 0.05)
    assert promoters[10:13] == (-1.0, *(pytest.approx(float(bound)) for bound in bounds))
    assert promoters[13:16] == (-30.0, None, None)  # one customer each: nothing varies
    assert promoters[16].startswith("0% of 1 promoters stayed, not told apart from detractors (-")
    assert passives[16] == "No passives among the answers."
    assert detractors[16] == "100% of 1 detractors stayed."


def base(promoters_stay, detractors_stay, size=200):
    """Half promoters, half detractors, each with an order before the horizon of 30 days and so many within."""
    ids = np.arange(2 * size)
    stays = np.where(ids < size, ids % size < promoters_stay * size, ids % size < detractors_stay * size)
    sales = pd.DataFrame({"customer_id": ids, "timestamp": ago(50), "amount": 10.0})
    again = pd.DataFrame({"customer_id": ids[stays], "timestamp": ago(10), "amount": 20.0})
    sales = pd.concat([sales, again], ignore_index=True).assign(order_id=lambda table: range(len(table)))
    survey = pd.DataFrame({"customer_id": ids, "timestamp": ago(40), "rating": np.where(ids < size, 10, 2)})
    return sales, survey


@pytest.mark.parametrize(
    ("stay", "words"), [((0.9, 0.5), "more than"), ((0.5, 0.9), "fewer than"), ((0.5, 0.51), "not told apart from")]
)
def test_words_follow_the_interval_and_claim_no_cause(stay, words):
    sales, survey = base(*stay)
    row = service_profit_table(sales, survey=survey, as_of=AS_OF, horizon="30d").iloc[2]
    assert f"of 200 promoters stayed, {words} detractors (" in row["finding"]
    assert row["finding"].endswith("an association, no proof of a cause.")
    assert row["average_amount_difference"] == pytest.approx(20 * (stay[0] - stay[1]))
    assert (
        row["average_amount_difference_low"] < row["average_amount_difference"] < row["average_amount_difference_high"]
    )


def test_amount_intervals_are_those_of_means():
    sales, survey = base(0.5, 0.5)
    row = service_profit_table(sales, survey=survey, as_of=AS_OF, horizon="30d").iloc[2]
    reach = 1.972 * 10 / np.sqrt(199)  # amounts of 0 and 20, half and half: no skewness; Student's t of 199
    found = row[["average_amount_low", "average_amount_high"]].to_numpy(dtype=float)
    assert found == pytest.approx([10 - reach, 10 + reach], abs=1e-3)
    reach *= np.sqrt(2) * 1.966 / 1.972  # of two such means, with 398 degrees
    found = row[["average_amount_difference_low", "average_amount_difference_high"]].to_numpy(dtype=float)
    assert found == pytest.approx([-reach, reach], abs=1e-3)


def test_intervals_of_averages_hold_the_truth_in_small_groups():
    """Of 12 customers each, half of whom are worth nothing; plain percentiles of samples hold it in 74 %."""
    random, truth = np.random.default_rng(0), 0.5 * np.exp(0.72)
    group, held = np.repeat([0, 1, 2], 12), 0
    for _ in range(300):
        amount = np.exp(random.normal(0, 1.2, 36)) * (random.random(36) < 0.5)
        found = _bringing(group, amount, amount)
        held += ((found["average_amount_low"] <= truth) & (truth <= found["average_amount_high"])).sum()
    assert held / 900 > 0.88


def test_a_ratio_has_the_interval_of_fieller():
    """All ``q`` at which the mean of ``above - q below`` is not told from 0, found by trying."""
    random = np.random.default_rng(1)
    below = np.exp(random.normal(0, 0.5, 20))
    above = below * random.random(20)
    _, value, low, high, *_ = _ratio("wallet_share", above, below, "")
    tried = np.linspace(0, 1.5, 30_001)
    left = above[:, None] - tried * below[:, None]
    inside = tried[np.abs(left.mean(axis=0)) <= 2.093 * left.std(axis=0, ddof=1) / np.sqrt(20)]
    assert (low, high) == pytest.approx((inside[0], inside[-1]), abs=2e-4)
    assert low < value == above.sum() / below.sum() < high


@pytest.mark.parametrize("kind", ["pandas", "duckdb"])
def test_a_wallet_of_a_customer_twice_is_refused(kind):
    wallet = make_frame({"customer_id": ["a", "a"], "wallet_amount": [60.0, 60.0]}, kind)
    with pytest.raises(SchemaError, match=r"\['a'\] appear more than once"):
        loyalty_measure_table(make_frame(SALES, kind), as_of=AS_OF, wallet=wallet)


@pytest.mark.filterwarnings("ignore:.*Below 30 customers")
@settings(max_examples=10)
@given(seed=st.integers(0, 99))
def test_the_order_of_rows_changes_nothing(seed):
    sales, survey = pd.DataFrame(SALES), pd.DataFrame(SURVEY)
    one, two = (
        service_profit_table(s, survey=a, as_of=AS_OF, horizon="30d")
        for s, a in (
            (sales, survey),
            (sales.sample(frac=1, random_state=seed), survey.sample(frac=1, random_state=seed)),
        )
    )
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.filterwarnings("ignore:.*Below 30 customers")
def test_the_future_changes_nothing():
    sales, survey = pd.DataFrame(SALES), pd.DataFrame(SURVEY)
    poisoned = sales.assign(amount=sales["amount"].where(sales["timestamp"] < AS_OF, -1e9))
    turned = survey.assign(rating=survey["rating"].where(survey["timestamp"] < AS_OF, 10))
    late = turned.assign(rating=turned["rating"].where(turned["timestamp"] < ago(30), 0))  # within the horizon
    one, two = (
        service_profit_table(s, survey=a, as_of=AS_OF, horizon="30d") for s, a in ((sales, survey), (poisoned, late))
    )
    pd.testing.assert_frame_equal(one, two)
    one, two = (loyalty_measure_table(s, as_of=AS_OF, survey=a) for s, a in ((sales, survey), (poisoned, turned)))
    pd.testing.assert_frame_equal(one, two)


@pytest.mark.filterwarnings("ignore:.*Below 30 customers")
def test_who_answered_before_ever_ordering_is_not_followed():
    survey = pd.DataFrame({"customer_id": ["a", "c"], "timestamp": [ago(40), ago(40)], "rating": [9, 9]})
    with pytest.warns(
        DataQualityWarning, match="1 of 2 customers who answered had not ordered before 2024-03-01, left out"
    ):
        table = service_profit_table(pd.DataFrame(SALES), survey=survey, as_of=AS_OF, horizon="30d")
    assert table["customer_count"].tolist() == [0, 0, 1]  # a; the first order of c lies within the horizon


def test_nobody_to_follow_is_said():
    with pytest.raises(SchemaError, match=r"none of the 0 customers who answered before 2023-12-12.*horizon=\"55d\""):
        service_profit_table(pd.DataFrame(SALES), survey=pd.DataFrame(SURVEY), as_of=AS_OF, horizon="110d")
