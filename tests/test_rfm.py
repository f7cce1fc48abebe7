"""RFM: hand-counted tables on every frame, scores that keep order and ties, segments that cover the grid once."""

import datetime as dt
import itertools
import math
import warnings
from collections import Counter

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

import crmlytics as crm
from crmlytics import rfm
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.rfm._plots import _squarify
from crmlytics.rfm._segments import SEGMENTS, default_map
from crmlytics.rfm._thresholds import quantile_cuts
from crmlytics.testing import all_estimators, check_table_estimator, make_frame, records

mpl.use("Agg")

JAN = [dt.datetime(2024, 1, 1) + dt.timedelta(days=d) for d in range(60)]
AS_OF = JAN[30]
SALES = {
    "customer_id": ["c", "a", "a", "a", "b", "d"],
    "order_id": [4, 1, 1, 2, 3, 5],
    "timestamp": [AS_OF, JAN[0], JAN[0], JAN[10] + dt.timedelta(hours=23), JAN[20], JAN[29]],
    "amount": [9.0, 4.0, 6.0, 5.0, 7.0, -3.0],  # c bought at as_of: not known yet; d only returned
}
TEN = {  # measures 1..10 in the same direction: with five bins, two customers a score
    "customer_id": list("abcdefghij"),
    "recency_days": [10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
    "order_count": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
    "total_amount": [10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0, 90.0, 100.0],
}


def columns_of(table, *names):
    frame = pd.DataFrame(records(table), columns=column_names(table))
    return list(frame[list(names)].itertuples(index=False, name=None)) if len(names) > 1 else frame[names[0]].tolist()


def column_names(table):
    names = getattr(table, "column_names", None)  # PyArrow
    return list(names) if names else list(getattr(table, "collect_schema", lambda: table.columns)())


def pandas_table(recency, orders, amounts):
    ids = np.arange(len(recency))
    return pd.DataFrame(
        {"customer_id": ids, "recency_days": recency, "order_count": orders, "total_amount": np.array(amounts, float)}
    )


# -- rfm_table -----------------------------------------------------------------------------------------------------


def test_rfm_by_hand_and_returns_the_kind_that_came_in(frame):
    sales = frame(SALES)
    table = rfm.rfm_table(sales, as_of="2024-01-31")
    assert type(table) is type(sales)
    assert column_names(table) == ["customer_id", "recency_days", "order_count", "total_amount"]
    assert records(table) == [("a", 20, 2, 15.0), ("b", 10, 1, 7.0), ("d", 1, 0, -3.0)]


def test_a_moment_within_a_day_counts_calendar_days():
    lines = pd.DataFrame(SALES)
    assert records(rfm.rfm_table(lines, as_of=dt.datetime(2024, 1, 30, 12)))[-1] == ("d", 0, 0, -3.0)


def test_nothing_on_or_after_as_of_is_read():
    known = pd.DataFrame(SALES)
    poison = pd.DataFrame({"customer_id": ["a", "z"], "order_id": [98, 99], "timestamp": AS_OF, "amount": 1e9})
    poisoned = pd.concat([known, poison], ignore_index=True)
    assert records(rfm.rfm_table(poisoned, as_of=AS_OF)) == records(rfm.rfm_table(known, as_of=AS_OF))


def test_a_credit_note_is_no_order_and_no_sign_of_life():
    lines = pd.DataFrame(
        {
            "customer_id": ["a", "a", "b", "b"],
            "order_id": [1, 2, 3, 4],
            "timestamp": [JAN[0], JAN[5], JAN[0], JAN[9]],
            "product_id": ["p", "q", "p", "p"],
            "quantity": [1, 1, 2, -2],
            "unit_price": 5.0,
        }
    )
    assert records(rfm.rfm_table(lines, as_of=AS_OF)) == [("a", 25, 2, 10.0), ("b", 30, 1, 0.0)]
    with warnings.catch_warnings(action="ignore"):
        matched = crm.Transactions(lines, returns="match")
    assert records(rfm.rfm_table(matched, as_of=AS_OF)) == [("a", 25, 2, 10.0)]


order_lines = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(0, 59), st.integers(-20, 100)), min_size=1, max_size=30
)


def counted_slowly(lines):
    """The rule in plain words: an order adds up to more than zero, or is free without a return."""
    table = []
    for customer in sorted({c for c, *_ in lines}):
        mine = [(o, d, a) for c, o, d, a in lines if c == customer]
        orders = {o: [(d, a) for p, d, a in mine if p == o] for o, *_ in mine}
        placed = [v for v in orders.values() if sum(a for _, a in v) > 0 or all(a >= 0 for _, a in v)]
        days = [d for order in placed for d, _ in order] or [d for _, d, _ in mine]
        table.append((customer, 30 - max(days), len(placed), float(sum(a for *_, a in mine))))
    return table


@settings(deadline=None, max_examples=60)
@given(lines=order_lines)
def test_no_order_and_no_amount_is_lost_or_invented(lines):
    sales = {
        "customer_id": [c for c, *_ in lines],
        "order_id": [f"{c}-{o}" for c, o, *_ in lines],
        "timestamp": [JAN[d] for _, _, d, _ in lines],
        "amount": [float(a) for *_, a in lines],
    }
    known = [line for line in lines if line[2] < 30]
    for kind in ("pandas", "polars"):
        table = records(rfm.rfm_table(make_frame(sales, kind), as_of=AS_OF))
        assert table == counted_slowly(known)
        assert sum(row[3] for row in table) == sum(a for *_, a in known)


def test_says_which_column_is_missing_and_how_to_name_it():
    with pytest.raises(MissingColumnsError, match=r"rfm_table needs \['amount'\].*amount='<your column>'"):
        rfm.rfm_table(pd.DataFrame(SALES).rename(columns={"amount": "Revenue"}), as_of=AS_OF)


def test_says_how_to_write_a_date():
    with pytest.raises(
        SchemaError, match=r'rfm_table: as_of must be a date such as as_of="2011-12-10", got \'31/1/24\''
    ):
        rfm.rfm_table(pd.DataFrame(SALES), as_of="31/1/24")


# -- scores --------------------------------------------------------------------------------------------------------


def test_scores_by_hand_on_every_kind(frame):
    table = frame(TEN)
    scores = rfm.RFMSegmenter().fit(table).score_table(table)
    assert type(scores) is type(table)
    assert column_names(scores) == [*TEN, "r_score", "f_score", "m_score", "rfm_score", "segment"]
    assert columns_of(scores, "rfm_score") == ["111", "111", "222", "222", "333", "333", "444", "444", "555", "555"]
    assert columns_of(scores, "r_score") == columns_of(scores, "f_score") == columns_of(scores, "m_score")
    assert columns_of(scores, "segment") == (
        ["Lost"] * 2 + ["Hibernating"] * 2 + ["Need attention"] * 2 + ["Loyal"] * 2 + ["Champions"] * 2
    )


def test_nested_scores_by_hand_on_every_kind(frame):
    table = frame(
        {
            "customer_id": [1, 2, 3, 4, 5, 6, 7, 8],
            "recency_days": [1, 1, 1, 1, 9, 9, 9, 9],
            "order_count": [10, 10, 20, 20, 1, 1, 2, 2],
            "total_amount": [5.0, 6.0, 1.0, 2.0, 7.0, 8.0, 100.0, 200.0],
        }
    )
    scores = rfm.RFMSegmenter(n_bins=2, method="nested").fit(table).score_table(table)
    assert columns_of(scores, "rfm_score") == ["211", "212", "221", "222", "111", "112", "121", "122"]


def test_nested_cells_nobody_has_take_the_thresholds_of_the_wider_group():
    table = pandas_table([1, 1, 9, 9], [1, 1, 3, 5], [1, 2, 3, 4])
    segmenter = rfm.RFMSegmenter(n_bins=2, method="nested").fit(table)
    assert segmenter.thresholds_["order_count"].tolist() == [[4.0], [1.0]]  # r_score 1 first
    assert segmenter.thresholds_["total_amount"][1].tolist() == [[1.5], [1.5]]  # recent with many orders: nobody


def test_cuts_are_the_largest_values_of_their_bins():
    cuts = {"recency_days": [30, 90], "order_count": [1, 4], "total_amount": [50, 100]}
    table = pandas_table([30, 31, 90, 91], [1, 2, 4, 5], [50, 50.01, 100, 100.01])
    scores = rfm.RFMSegmenter(n_bins=3, method="cuts", cuts=cuts).fit(table).score_table(table)
    assert columns_of(scores, "rfm_score") == ["311", "222", "222", "133"]


def test_thresholds_of_one_period_score_another():
    segmenter = rfm.RFMSegmenter().fit(pd.DataFrame(TEN))
    later = pandas_table([0, 500], [99, 0], [1e6, -1e6])
    assert columns_of(segmenter.score_table(later), "rfm_score") == ["555", "111"]


def test_equal_values_get_equal_scores_and_the_empty_ones_are_named():
    table = pandas_table([1, 2, 3, 4, 5], [1, 1, 1, 1, 2], [1, 2, 3, 4, 5])
    with pytest.warns(
        DataQualityWarning, match=r"5 customers share so many equal values that no one gets f_score 2, 3"
    ):
        segmenter = rfm.RFMSegmenter().fit(table)
    assert segmenter.empty_scores_ == {"r_score": [], "f_score": [2, 3, 4], "m_score": []}
    assert columns_of(segmenter.score_table(table), "f_score") == [1, 1, 1, 1, 5]


def test_the_last_digit_of_a_float_sum_decides_nothing():
    cuts = {"recency_days": [1], "order_count": [1], "total_amount": [0.3]}
    table = pandas_table([1, 1, 1], [1, 1, 1], [0.3, 0.1 + 0.2, 0.31])
    scores = rfm.RFMSegmenter(n_bins=2, method="cuts", cuts=cuts).fit(table).score_table(table)
    assert columns_of(scores, "m_score") == [1, 1, 2]


def test_a_value_equal_to_a_threshold_of_zero_stays_in_the_lower_bin():
    cuts = {"recency_days": [1], "order_count": [1], "total_amount": [0]}
    table = pandas_table([1, 1], [1, 1], [0, 0])
    segmenter = rfm.RFMSegmenter(n_bins=2, method="cuts", cuts=cuts).fit(table)
    assert columns_of(segmenter.score_table(table), "m_score") == [1, 1]
    assert segmenter.empty_scores_ == {"r_score": [1], "f_score": [2], "m_score": [2]}


@settings(deadline=None, max_examples=60)
@given(values=st.lists(st.integers(-50, 50), min_size=1, max_size=40), n_bins=st.integers(2, 9))
def test_quantiles_are_type_7(values, n_bins):
    expected = np.quantile(values, np.arange(1, n_bins) / n_bins)
    assert quantile_cuts(np.array(values, float), n_bins) == pytest.approx(expected)


customers = st.lists(
    st.tuples(st.integers(1, 400), st.integers(1, 6), st.integers(-100, 10_000)), min_size=1, max_size=40
)


@pytest.mark.filterwarnings("ignore::crmlytics.exceptions.DataQualityWarning")
@settings(deadline=None, max_examples=40)
@given(rows=customers, n_bins=st.integers(2, 9), seed=st.integers(0, 99))
def test_scores_keep_order_and_ties_and_ignore_row_order_and_currency(rows, n_bins, seed):
    table = pandas_table(*zip(*rows, strict=True))
    scores = rfm.RFMSegmenter(n_bins=n_bins).fit(table).score_table(table)
    assert scores["segment"].notna().all()
    assert len(scores) == len(rows)
    for measure, score, sign in (("recency_days", "r", -1), ("order_count", "f", 1), ("total_amount", "m", 1)):
        pairs = sorted(zip(sign * scores[measure], scores[f"{score}_score"], strict=True))
        assert all(1 <= s <= n_bins for _, s in pairs)
        assert all(a[1] <= b[1] and (a[0] != b[0] or a[1] == b[1]) for a, b in itertools.pairwise(pairs))
    shuffled = table.sample(frac=1, random_state=seed)
    assert rfm.RFMSegmenter(n_bins=n_bins).fit(shuffled).score_table(shuffled).equals(scores)
    cents = table.assign(total_amount=table["total_amount"] * 7.25)
    rescored = rfm.RFMSegmenter(n_bins=n_bins).fit(cents).score_table(cents)
    assert rescored["rfm_score"].tolist() == scores["rfm_score"].tolist()


# -- R's rfm package -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def r_orders(shared_data):
    orders = pd.read_parquet(shared_data / "rfm_orders.parquet")
    orders["timestamp"] = pd.to_datetime(orders["order_date"])
    orders["order_id"] = range(len(orders))  # R counts rows: a customer may order twice a day
    table = rfm.rfm_table(crm.Transactions(orders, amount="revenue"), as_of="2006-12-31")
    assert len(table) == 995
    return table


# thresholds that R prints: quantile type 7 plus one; it gives a value below one the lower bin
R_THRESHOLDS = {
    "recency_days": [115, 181, 297.4, 482],
    "order_count": [4, 5, 6, 8],
    "total_amount": [255.8, 382, 506.4, 666],
}


def test_quantiles_plus_one_are_the_thresholds_that_r_prints(r_orders):
    for name, printed in R_THRESHOLDS.items():
        assert (quantile_cuts(r_orders[name].to_numpy(float), 5) + 1).tolist() == pytest.approx(printed)


def test_scores_of_r_for_all_customers(r_orders):
    below = {name: [math.ceil(t) - 1 for t in printed] for name, printed in R_THRESHOLDS.items()}  # whole numbers
    scores = rfm.RFMSegmenter(method="cuts", cuts=below).fit(r_orders).score_table(r_orders)
    expected = {name: sum((r_orders[name] >= t).astype(int) for t in ts) for name, ts in R_THRESHOLDS.items()}
    assert scores["r_score"].tolist() == (5 - expected["recency_days"]).tolist()
    assert scores["f_score"].tolist() == (1 + expected["order_count"]).tolist()
    assert scores["m_score"].tolist() == (1 + expected["total_amount"]).tolist()
    assert scores["rfm_score"].head().tolist() == ["343", "412", "323", "544", "433"]  # printed by R


def test_plain_quantiles_differ_from_r_for_three_of_995(r_orders):
    below = {name: [math.ceil(t) - 1 for t in printed] for name, printed in R_THRESHOLDS.items()}
    of_r = rfm.RFMSegmenter(method="cuts", cuts=below).fit(r_orders).score_table(r_orders)
    ours = rfm.RFMSegmenter().fit(r_orders).score_table(r_orders)
    assert (of_r["rfm_score"] != ours["rfm_score"]).sum() == 3


# -- segments ------------------------------------------------------------------------------------------------------


def grid(n_bins):
    return list(itertools.product(range(1, n_bins + 1), repeat=3))


@pytest.mark.parametrize("n_bins", range(2, 10))
def test_every_cell_has_exactly_one_segment(n_bins):
    boxes = default_map(n_bins)
    for r, f, m in grid(n_bins):
        names = [name for name, box in boxes if all(box.tests(r, f, m, n_bins=n_bins))]
        assert len(names) == 1, (r, f, m, names)


def test_the_eleven_segments_of_125_cells():
    counts = Counter(name for r, f, m in grid(5) for name, box in default_map(5) if all(box.tests(r, f, m, n_bins=5)))
    assert set(counts) == set(SEGMENTS)
    # cells of 25 (f, m) by level of their mean, halves up: 1, 5, 9, 7, 3
    assert counts["Champions"] == 7 + 3
    assert counts["Loyal"] == 2 * (7 + 3)
    assert counts["Potential loyalists"] == 2 * (5 + 9)
    assert counts["New customers"] == counts["Promising"] == 1
    assert counts["Need attention"] == 9
    assert counts["About to sleep"] == counts["Hibernating"] == counts["Lost"] == 1 + 5
    assert counts["At risk"] == 2 * (9 + 7)
    assert counts["Cannot lose"] == 2 * 3


OWN = {"VIP": {"r": (3, 5), "fm": (4, 5)}, "Rest": [{"r": (1, 2)}, {"r": (3, 5), "fm": (1, 3)}]}


def test_own_segments(frame):
    table = frame(TEN)
    scores = rfm.RFMSegmenter(segments=OWN).fit(table).score_table(table)
    assert columns_of(scores, "segment") == ["Rest"] * 6 + ["VIP"] * 4


@pytest.mark.parametrize(
    ("segments", "message"),
    [
        ({"Top": {"r": (2, 3)}}, r"segments leaves 9 cells \(111, 112, .*, \.\.\.\) without a segment"),
        (
            {"A": {"r": (1, 2)}, "B": {"r": (2, 3)}},
            r"gives 9 cells \(211, .*\) more than one segment \(211 is in \['A', 'B'\]\)",
        ),
        ({"A": {"R": (1, 3)}}, r"segments\['A'\] may name 'r', 'f', 'm' and 'fm'.*got \['R'\]\. Did you mean 'r'\?"),
        ({"A": {"r": (1, 4)}}, r"segments\['A'\]\['r'\] must be .* scores from 1 to 3, got \(1, 4\)"),
        ({"A": "everyone"}, r"segments\['A'\] must be ranges of scores such as"),
    ],
)
def test_refuses_segments_with_holes_overlaps_or_slips(segments, message):
    with pytest.raises(SchemaError, match=message):
        rfm.RFMSegmenter(n_bins=3, segments=segments).fit(pd.DataFrame(TEN))


# -- refusals of the segmenter -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_bins": 1}, "RFMSegmenter: n_bins must be a whole number of at least 2, got 1"),
        ({"n_bins": 10}, "n_bins must be 2 to 9, since each score is one digit, got 10"),
        ({"method": "quantiles"}, r"method must be one of .* got 'quantiles'\. Did you mean 'quantile'\?"),
        ({"method": "cuts"}, r"method='cuts' with cuts=None.*cuts=\{\"recency_days\""),
        ({"cuts": {}}, "method='quantile' with cuts={}"),
        ({"method": "cuts", "cuts": {"recency_days": [1, 2, 3, 4]}}, "cuts has no 'order_count'"),
        ({"method": "cuts", "cuts": {"recency_days": [1, 2]}}, r"must be 4 increasing numbers for n_bins=5"),
        ({"method": "cuts", "cuts": {"recency_days": [1, 3, 2, 4]}}, r"increasing numbers .* got \[1, 3, 2, 4\]"),
        ({"method": "cuts", "cuts": {"recency_days": ["a", 3, 2, 4]}}, "increasing numbers"),
    ],
)
def test_refuses_parameters(parameters, message):
    with pytest.raises(SchemaError, match=message):
        rfm.RFMSegmenter(**parameters).fit(pd.DataFrame(TEN))


def test_refuses_tables_that_are_not_rfm_tables(kind):
    with pytest.raises(MissingColumnsError, match=r"RFMSegmenter.fit needs the columns \['order_count', .*rfm_table"):
        rfm.RFMSegmenter().fit(make_frame({"customer_id": [1], "recency_days": [1]}, kind))
    with pytest.raises(SchemaError, match=r"1 of 2 rows have no usable 'total_amount' \(missing or infinite\)"):
        rfm.RFMSegmenter().fit(
            make_frame(
                {"customer_id": [1, 2], "recency_days": [1, 2], "order_count": [1, 2], "total_amount": [1.0, math.inf]},
                kind,
            )
        )


def test_refuses_repeated_customers_words_and_emptiness():
    table = pandas_table([1, 2], [1, 2], [1, 2])
    with pytest.raises(SchemaError, match="1 rows repeat a customer_id; expected one row per customer"):
        rfm.RFMSegmenter().fit(table.assign(customer_id=1))
    with pytest.raises(SchemaError, match="column 'order_count' holds String, expected numbers"):
        rfm.RFMSegmenter().fit(table.assign(order_count=["1", "2"]))
    with pytest.raises(SchemaError, match="column 'customer_id' holds Float64, expected whole numbers or text"):
        rfm.RFMSegmenter().fit(table.assign(customer_id=[1.5, 2.5]))
    with pytest.raises(SchemaError, match="the table has no rows"):
        rfm.RFMSegmenter().fit(table.head(0))


@pytest.mark.parametrize("kind", ["pandas", "polars", "polars-lazy", "duckdb"])
def test_fit_refuses_repeated_and_nameless_customers_of_every_kind(kind):
    repeated = make_frame({**TEN, "customer_id": list("aacdefghij")}, kind)
    with pytest.raises(SchemaError, match=r"RFMSegmenter\.fit: 1 rows repeat a customer_id; expected one row per"):
        rfm.RFMSegmenter().fit(repeated)
    nameless = make_frame({**TEN, "customer_id": [None, *"bcdefghij"]}, kind)
    with pytest.raises(SchemaError, match="1 of 10 rows have no usable 'customer_id'"):
        rfm.RFMSegmenter().fit(nameless)


def test_a_recent_return_without_an_order_is_scored_as_documented():
    recency = [1, 9, 8, 7, 6, 5, 4, 3, 2, 10]
    table = pandas_table(recency, [0, 2, 3, 4, 5, 6, 7, 8, 9, 1], [-5.0, *range(20, 110, 10)])
    scores = rfm.RFMSegmenter().fit(table).score_table(table)
    assert columns_of(scores, "r_score", "f_score", "segment")[0] == (5, 1, "New customers")
    assert "Customers without an order" in rfm.RFMSegmenter.__doc__


def test_a_lazy_table_scores_a_missing_measure_as_missing():
    table = make_frame(TEN | {"total_amount": [None, *TEN["total_amount"][1:]]}, "polars-lazy")
    scores = rfm.RFMSegmenter().fit(pd.DataFrame(TEN)).score_table(table)
    first = scores.collect().row(0, named=True)
    assert first["m_score"] is first["rfm_score"] is first["segment"] is None
    assert columns_of(scores, "rfm_score")[1:] == ["111", "222", "222", "333", "333", "444", "444", "555", "555"]


# -- summaries -----------------------------------------------------------------------------------------------------

SCORED = {
    "customer_id": [1, 2, 3, 4],
    "recency_days": [5, 7, 90, 50],
    "order_count": [9, 7, 1, 2],
    "total_amount": [50.0, 30.0, 15.0, 5.0],
    "r_score": [5, 5, 1, 2],
    "f_score": [5, 5, 1, 1],
    "segment": ["Champions", "Champions", "At risk", "Ours"],  # not their order in the alphabet
}


def test_segments_by_hand_in_their_order(frame):
    scores = frame(SCORED)
    table = rfm.segment_table(scores, actions={"Ours": "Ask them."})
    assert type(table) is type(scores)
    rows = columns_of(
        table, "segment", "customer_count", "customer_share", "total_amount", "total_amount_share",
        "mean_recency_days", "mean_order_count", "mean_total_amount",
    )  # fmt: skip
    assert rows == [
        ("Champions", 2, 0.5, 80.0, 0.8, 6.0, 8.0, 40.0),
        ("At risk", 1, 0.25, 15.0, 0.15, 90.0, 1.0, 15.0),
        ("Ours", 1, 0.25, 5.0, 0.05, 50.0, 2.0, 5.0),
    ]
    assert columns_of(table, "suggested_action")[-1] == "Ask them."


def test_an_own_segment_without_an_action_has_none_and_zero_revenue_has_no_shares():
    table = rfm.segment_table(pd.DataFrame(SCORED).assign(segment="Ours", total_amount=[5.0, -5.0, 0.0, 0.0]))
    assert table["suggested_action"].isna().all()
    assert table["total_amount_share"].isna().all()


def test_grid_by_hand(frame):
    assert records(rfm.grid_table(frame(SCORED))) == [(1, 1, 1, 15.0), (2, 1, 1, 5.0), (5, 5, 2, 40.0)]


def test_migration_by_hand_loses_nobody(frame):
    before = frame({"customer_id": [1, 2, 3, 5], "segment": ["Champions", "Champions", "Lost", "Ours"]})
    after = frame({"customer_id": [4, 1, 2, 5], "segment": ["New customers", "At risk", "Champions", "Lost"]})
    moves = rfm.migration_table(before, after)
    assert type(moves) is type(before)
    assert records(moves) == [
        ("Champions", "Champions", 1, 0.5),
        ("Champions", "At risk", 1, 0.5),
        ("Lost", "(gone)", 1, 1.0),
        ("Ours", "Lost", 1, 1.0),
        ("(new)", "New customers", 1, 1.0),
    ]


@settings(deadline=None, max_examples=30)
@given(
    before=st.dictionaries(st.integers(0, 20), st.sampled_from(["Champions", "Lost", "Ours"]), min_size=1),
    after=st.dictionaries(st.integers(0, 20), st.sampled_from(["Champions", "Lost", "Ours"]), min_size=1),
)
def test_migration_adds_up_to_everybody(before, after):
    tables = [pd.DataFrame({"customer_id": list(t), "segment": list(t.values())}) for t in (before, after)]
    moves = rfm.migration_table(*tables)
    assert moves["customer_count"].sum() == len(before.keys() | after.keys())
    assert moves.groupby("from_segment")["from_share"].sum().to_numpy() == pytest.approx(1)
    old = moves[moves["from_segment"] != "(new)"].groupby("from_segment")["customer_count"].sum()
    assert old.to_dict() == dict(Counter(before.values()))


def test_a_known_customer_without_a_segment_is_neither_new_nor_gone(frame):
    before = frame({"customer_id": [1, 2, 3], "segment": ["Lost", None, "Lost"]})
    after = frame({"customer_id": [1, 2, 4], "segment": [None, "Lost", "Lost"]})
    assert records(rfm.migration_table(before, after)) == [
        ("Lost", "(no segment)", 1, 0.5),
        ("Lost", "(gone)", 1, 0.5),
        ("(no segment)", "Lost", 1, 1.0),
        ("(new)", "Lost", 1, 1.0),
    ]


def test_refuses_two_kinds_of_table_and_two_kinds_of_id():
    table = {"customer_id": [1], "segment": ["Lost"]}
    with pytest.raises(SchemaError, match="before is a pandas table and after a Polars table"):
        rfm.migration_table(make_frame(table, "pandas"), make_frame(table, "polars"))
    with pytest.raises(SchemaError, match="customer_id is Int64 in before and String in after"):
        rfm.migration_table(pd.DataFrame(table), pd.DataFrame(table).astype({"customer_id": str}))
    with pytest.raises(MissingColumnsError, match=r"segment_table needs the columns .*RFMSegmenter\(\)\.fit"):
        rfm.segment_table(pd.DataFrame(table))


# -- response ------------------------------------------------------------------------------------------------------


def test_response_by_hand(frame):
    scores = frame({"customer_id": [1, 2, 3, 4, 5, 6], "rfm_score": ["555", "555", "111", "111", "111", "333"]})
    mailing = frame(
        {"customer_id": [1, 2, 3, 4, 5, 99], "responded": [True, False, False, False, True, False]}
    )  # 6 was not contacted, 99 has no score
    table = rfm.rfm_response_table(scores, mailing, contact_cost=1.0, margin_per_response=2.5)
    assert type(table) is type(scores)
    rows = columns_of(
        table, "rfm_score", "contact_count", "response_count", "response_rate", "break_even_rate",
        "is_worth_mailing", "is_uncertain", "profit_amount", "cumulative_profit_amount",
    )  # fmt: skip
    assert rows == [
        ("555", 2, 1, 0.5, 0.4, True, True, 0.5, 0.5),
        ("111", 3, 1, 1 / 3, 0.4, False, True, -0.5, 0.0),
        ("(no score)", 1, 0, 0.0, 0.4, False, True, -1.0, -1.0),
    ]
    assert columns_of(table, "cumulative_contact_share") == pytest.approx([2 / 6, 5 / 6, 1])
    assert columns_of(table, "cumulative_response_share") == pytest.approx([0.5, 1, 1])


def test_the_interval_is_wilsons():
    # 15 of 148: .0624 to .1605 (Newcombe 1998, Statistics in Medicine 17, table I, method 3)
    scores = pd.DataFrame({"customer_id": range(148), "rfm_score": "555"})
    mailing = pd.DataFrame({"customer_id": range(148), "responded": [n < 15 for n in range(148)]})
    row = rfm.rfm_response_table(scores, mailing, contact_cost=1, margin_per_response=20).iloc[0]
    assert (round(row["response_rate_low"], 4), round(row["response_rate_high"], 4)) == (0.0624, 0.1605)
    assert not row["is_uncertain"]


@pytest.mark.parametrize(
    "responded",
    [[True, None, False], [1.0, None, 0.0], [True, float("nan"), False], [1, None, 0.0], [1, 0, 0],
     pd.array([True, None, False], "boolean"), pd.array([1, None, 0], "Int64"), np.array([True, False, False])],
    ids=["objects", "floats", "objects-nan", "mixed", "integers", "boolean", "Int64", "numpy"],
)  # fmt: skip
def test_an_empty_response_is_none_however_it_is_written(responded):
    scores = pd.DataFrame({"customer_id": [1, 2, 3], "rfm_score": ["555", "555", "111"]})
    mailing = pd.DataFrame({"customer_id": [1, 2, 3], "responded": responded})
    came = mailing.copy(deep=True)
    table = rfm.rfm_response_table(scores, mailing, contact_cost=1, margin_per_response=2)
    assert columns_of(table, "rfm_score", "contact_count", "response_count") == [("555", 2, 1), ("111", 1, 0)]
    pd.testing.assert_frame_equal(mailing, came)


@pytest.mark.parametrize("responded", [[True, None, False], [1.0, None, 0.0], [1.0, float("nan"), 0.0]])
def test_an_empty_response_is_none_on_every_kind(frame, responded):
    scores = frame({"customer_id": [1, 2, 3], "rfm_score": ["555", "555", "111"]})
    mailing = frame({"customer_id": [1, 2, 3], "responded": responded})
    table = rfm.rfm_response_table(scores, mailing, contact_cost=1, margin_per_response=2)
    assert columns_of(table, "rfm_score", "contact_count", "response_count") == [("555", 2, 1), ("111", 1, 0)]


def test_nobody_answered_may_be_a_column_without_a_value():
    scores = pd.DataFrame({"customer_id": [1, 2], "rfm_score": ["555", "555"]})
    mailing = pd.DataFrame({"customer_id": [1, 2], "responded": [None, None]})
    table = rfm.rfm_response_table(scores, mailing, contact_cost=1, margin_per_response=2)
    assert columns_of(table, "response_count") == [0]


@pytest.mark.parametrize(
    ("responded", "shown"),
    [([1, 2], "2.0"), ([1.0, 0.5], "0.5"), ([True, "no"], "'no'"), ([1.0, float("inf")], "inf"), ([1, None, -1], "-1")],
)
def test_a_response_that_is_neither_yes_nor_no_is_refused(responded, shown):
    scores = pd.DataFrame({"customer_id": range(len(responded)), "rfm_score": "555"})
    mailing = pd.DataFrame({"customer_id": range(len(responded)), "responded": responded})
    with pytest.raises(SchemaError, match=f"responded of responses holds {shown}.*, expected true or false, 1 or 0"):
        rfm.rfm_response_table(scores, mailing, contact_cost=1, margin_per_response=2)


def test_response_by_segment_and_without_any_response():
    scores = pd.DataFrame({"customer_id": [1, 2], "segment": ["Lost", "Loyal"]})
    mailing = pd.DataFrame({"customer_id": [1, 2], "responded": [0, 0]})
    table = rfm.rfm_response_table(scores, mailing, contact_cost=1, margin_per_response=2, by="segment")
    assert table["segment"].tolist() == ["Lost", "Loyal"]
    assert table["cumulative_response_share"].isna().all()
    assert table["response_rate_low"].tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"contact_cost": -1}, "contact_cost must be a number of zero or more, got -1"),
        ({"margin_per_response": 0}, "margin_per_response must be a number above zero, got 0"),
        ({"confidence": 95}, "confidence must be a fraction between 0 and 1"),
        ({"by": "segment"}, r"rfm_response_table needs the columns \['segment'\]"),
        ({"by": "cell"}, r"by must be one of \['rfm_score', 'segment'\], got 'cell'"),
        ({"by": "order"}, r"by must be one of \['rfm_score', 'segment'\], got 'order'"),
        ({"by": "responded"}, r"by must be one of"),
        ({"by": "customer_id"}, r"by must be one of"),
        ({"by": ["rfm_score"]}, r"by must be one of .*, got \['rfm_score'\]"),
    ],
)
def test_response_refuses(change, message):
    scores = pd.DataFrame({"customer_id": [1], "rfm_score": ["555"]})
    mailing = pd.DataFrame({"customer_id": [1], "responded": [True]})
    with pytest.raises(SchemaError, match=message):
        rfm.rfm_response_table(scores, mailing, **{"contact_cost": 1, "margin_per_response": 2, **change})


# -- estimator -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["quantile", "nested", "cuts"])
def test_keeps_the_promises_of_estimators(method):
    cuts = {"recency_days": [2, 4, 6, 8], "order_count": [2, 4, 6, 8], "total_amount": [20, 40, 60, 80]}
    rng = np.random.default_rng(3)
    table = {
        "customer_id": [f"c{n:03}" for n in range(120)],
        "recency_days": rng.integers(1, 300, 120).tolist(),
        "order_count": rng.integers(1, 40, 120).tolist(),
        "total_amount": rng.gamma(2, 50, 120).round(2).tolist(),
    }
    check_table_estimator(rfm.RFMSegmenter(method=method, cuts=cuts if method == "cuts" else None), table)


@pytest.mark.spark
@pytest.mark.xdist_group("spark")
def test_keeps_the_promises_of_estimators_on_spark():
    pytest.importorskip("pyspark")
    check_table_estimator(rfm.RFMSegmenter(), TEN, kinds=["pandas", "pyspark"])


def test_all_estimators_are_found():
    assert ("RFMSegmenter", rfm.RFMSegmenter) in all_estimators()


def test_unfitted_it_says_so():
    with pytest.raises(NotFittedError, match="RFMSegmenter"):
        rfm.RFMSegmenter().score_table(pd.DataFrame(TEN))


class Broken(BaseEstimator):
    """Breaks one promise, as told."""

    def __init__(self, *, fault="none"):
        self.fault = fault

    def fit(self, X):
        self.mean_ = float(pd.DataFrame(X)["x"].mean())
        if self.fault == "state":
            self.mean = self.mean_
        if self.fault == "parameter":
            self.fault = "changed"
        if self.fault == "input":
            X.loc[0, "x"] = -1.0
        return None if self.fault == "self" else self

    def score_table(self, X):
        if not hasattr(self, "mean_") and self.fault != "unfitted":
            raise NotFittedError("Broken")
        scores = pd.DataFrame({"customer_id": X["customer_id"], "score": X["x"] - getattr(self, "mean_", 0.0)})
        if self.fault == "order":
            scores["score"] = np.arange(len(scores), dtype=float)
        if self.fault == "unsorted":
            return scores.sort_values("customer_id", ascending=False)
        if self.fault == "lost":
            scores = scores.head(2)
        return scores.sort_values("customer_id", ignore_index=True)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("unfitted", "unfitted, it must raise"),
        ("self", "must return self"),
        ("state", r"must end in '_', got \['mean'\]"),
        ("parameter", "changes its parameters"),
        ("input", "changes the table it was given"),
        ("order", "other row order: score of"),
        ("unsorted", "not sorted by their key"),
        ("lost", "3 rows in, 2 keys in 2 rows out"),
    ],
)
def test_the_check_finds_a_broken_promise(fault, message):
    table = {"customer_id": [1, 2, 3], "x": [1.0, 2.0, 6.0]}
    check_table_estimator(Broken(), table, kinds=["pandas"])
    with pytest.raises(AssertionError, match=message):
        check_table_estimator(Broken(fault=fault), table, kinds=["pandas"])


# -- plots ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def closing():
    import matplotlib.pyplot as plt

    yield
    plt.close("all")


@pytest.mark.usefixtures("closing")
def test_the_map_has_a_rectangle_a_segment_with_its_share_as_area():
    table = rfm.segment_table(pd.DataFrame(SCORED))
    ax = rfm.plot_segments(table)
    areas = sorted(patch.get_width() * patch.get_height() for patch in ax.patches)
    assert areas == pytest.approx(sorted(table["customer_share"]))
    assert "Champions" in [text.get_text() for text in ax.texts]


def test_rectangles_are_as_square_as_in_the_paper():
    # the example of Bruls, Huizing & van Wijk (2000), 6 x 4: two of 3 x 2 at the left, then 4 and 3 in a row
    placed = _squarify([6, 6, 4, 3, 2, 2, 1], 0, 0, 6, 4)
    assert [tuple(map(float, box)) for box in placed[:2]] == [(0, 2, 3, 2), (0, 0, 3, 2)]
    assert [box[2:] for box in placed[2:4]] == [pytest.approx((12 / 7, 7 / 3)), pytest.approx((9 / 7, 7 / 3))]


@pytest.mark.usefixtures("closing")
def test_the_heat_map_writes_every_count():
    ax = rfm.plot_rfm_heatmap(rfm.grid_table(pd.DataFrame(SCORED)))
    assert sorted(text.get_text() for text in ax.texts) == ["1", "1", "2"]


@pytest.mark.usefixtures("closing")
def test_the_migration_has_a_row_and_a_column_for_each_segment_that_occurs():
    before = pd.DataFrame({"customer_id": [1, 2, 3], "segment": ["Champions", "Champions", "Lost"]})
    after = pd.DataFrame({"customer_id": [1, 2, 4], "segment": ["Champions", "At risk", "New customers"]})
    ax = rfm.plot_migration(rfm.migration_table(before, after))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Champions  2", "Lost  1", "(new)  1"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["Champions", "New customers", "At risk", "(gone)"]


@pytest.mark.usefixtures("closing")
def test_the_response_has_a_bar_a_cell_and_the_break_even():
    scores = pd.DataFrame({"customer_id": [1, 2, 3, 4], "rfm_score": ["555", "555", "111", "111"]})
    mailing = pd.DataFrame({"customer_id": [1, 2, 3, 4], "responded": [True, False, False, False]})
    table = rfm.rfm_response_table(scores, mailing, contact_cost=1.0, margin_per_response=4.0)
    ax = rfm.plot_response(table)
    assert sorted(bar.get_height() for bar in ax.patches) == [0.0, 0.5]
    assert "break-even 25.0%" in [text.get_text() for text in ax.get_legend().get_texts()]
    gains = rfm.plot_response_gains(table)
    assert gains.lines[1].get_ydata().tolist() == [0.0, 1.0, 1.0]


@pytest.mark.usefixtures("closing")
def test_a_plot_draws_on_the_axes_it_is_given_and_says_what_it_draws():
    import matplotlib.pyplot as plt

    ax = plt.figure().add_subplot()
    assert rfm.plot_segments(rfm.segment_table(pd.DataFrame(SCORED)), ax=ax) is ax
    with pytest.raises(MissingColumnsError, match=r"plot_migration draws the result of crm.rfm.migration_table"):
        rfm.plot_migration(pd.DataFrame(SCORED))
