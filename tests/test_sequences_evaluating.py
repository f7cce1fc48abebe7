"""What evaluate promises: metrics by hand, nobody left out, nothing from the future, honest intervals."""

import datetime as dt
from math import log2
from typing import ClassVar

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from crmlytics._kernels.ranking import METRICS, Lists, bootstrap, calibration, customer_metrics
from crmlytics.exceptions import SchemaError
from crmlytics.sequences.baselines import (
    DecayedRepeatRecommender,
    PersonalThenPopularRecommender,
    PersonalTopRecommender,
    PopularRecommender,
)
from crmlytics.sequences.evaluating import Evaluation, evaluate, evaluate_last_orders, plot_evaluation
from crmlytics.testing import records

mpl.use("Agg")

START = dt.datetime(2024, 1, 1)
CUTOFF = START + dt.timedelta(days=20)
AS_OF = START + dt.timedelta(days=30)


def lines_of(orders):
    """Order lines from (customer, day, items as letters)."""
    rows = [
        (customer, number, START + dt.timedelta(days=day), item)
        for number, (customer, day, bought) in enumerate(orders)
        for item in bought
    ]
    columns = ["customer_id", "order_id", "timestamp", "product_id"]
    return {name: [row[place] for row in rows] for place, name in enumerate(columns)}


# before day 20: a in 3 orders, b and c in 2, d in 1
KNOWN = [("ann", 0, "ab"), ("ann", 5, "a"), ("bob", 3, "cd"), ("bob", 9, "c"), ("eve", 4, "ab")]
# from day 20 to 29: ann buys again and something never sold before, bob something new, eve nothing, zoe is unknown
LATER = [("ann", 20, "az"), ("ann", 29, "ac"), ("bob", 22, "a"), ("zoe", 21, "b")]
ORDERS = pd.DataFrame(lines_of(KNOWN + LATER))
OPTIONS = {"as_of": AS_OF, "horizon": "10d", "k": 2, "replicates": 50}


def judged(evaluation, model):
    table = pd.DataFrame(evaluation.to_frame()).set_index("model")
    return table.loc[model]


# -- metrics -------------------------------------------------------------------------------------------------------


def of_one(is_hit, is_own, bought, repeated, k):
    """Metrics of one customer from flags of the list."""
    lists = Lists(
        np.zeros(len(is_hit), np.int64), np.arange(len(is_hit)) + 1, np.array(is_hit, bool), np.array(is_own, bool)
    )
    found = customer_metrics(lists, np.array([bought]), np.array([repeated]), k)
    return dict(zip(METRICS, found[:, 0].tolist(), strict=True))


def test_metrics_by_hand():
    assert of_one([0, 1, 0, 1], [1, 1, 0, 0], bought=3, repeated=2, k=5) == pytest.approx({
        "recall": 2 / 3, "precision": 2 / 5, "hit_rate": 1, "reciprocal_rank": 1 / 2,
        "ndcg": (1 / log2(3) + 1 / log2(5)) / (1 / log2(2) + 1 / log2(3) + 1 / log2(4)),
        "repeat_recall": 1 / 2, "explore_recall": 1 / 1,
    })  # fmt: skip


def test_the_ideal_list_is_cut_at_k():
    assert of_one([1, 1], [0, 0], bought=9, repeated=0, k=2)["ndcg"] == pytest.approx(1)
    assert of_one([1], [0], bought=1, repeated=0, k=2)["ndcg"] == pytest.approx(1)
    assert of_one([0, 1], [0, 0], bought=1, repeated=0, k=2)["ndcg"] == pytest.approx(1 / log2(3))


def test_who_bought_nothing_has_no_recall_but_counts_for_the_hit_rate():
    found = of_one([0, 0], [1, 0], bought=0, repeated=0, k=2)
    assert (found["hit_rate"], found["precision"]) == (0, 0)
    assert all(np.isnan(found[name]) for name in METRICS if name not in {"hit_rate", "precision"})
    found = of_one([], [], bought=2, repeated=0, k=2)
    assert (found["recall"], found["ndcg"], found["reciprocal_rank"], found["explore_recall"]) == (0, 0, 0, 0)
    assert np.isnan(found["repeat_recall"])


SETS = st.sets(st.integers(0, 9), max_size=6)


@given(st.lists(st.tuples(st.lists(st.integers(0, 9), unique=True, max_size=5), SETS, SETS), min_size=1, max_size=5))
def test_metrics_equal_plain_python(customers):
    k = 5
    flat = [(who, rank, item) for who, (row, *_) in enumerate(customers) for rank, item in enumerate(row, 1)]
    lists = Lists(
        np.array([who for who, *_ in flat], np.int64),
        np.array([rank for _, rank, _ in flat], np.int64),
        np.array([item in customers[who][1] for who, _, item in flat], bool),
        np.array([item in customers[who][2] for who, _, item in flat], bool),
    )
    bought = np.array([len(truth) for _, truth, _ in customers])
    repeated = np.array([len(truth & own) for _, truth, own in customers])
    found = dict(zip(METRICS, customer_metrics(lists, bought, repeated, k), strict=True))
    for who, (row, truth, own) in enumerate(customers):
        hits = [rank for rank, item in enumerate(row, 1) if item in truth]
        expected = {"hit_rate": float(bool(hits)), "precision": len(hits) / k}
        if truth:
            expected["recall"] = len(hits) / len(truth)
            expected["reciprocal_rank"] = 1 / hits[0] if hits else 0
            best = sum(1 / log2(rank + 1) for rank in range(1, min(k, len(truth)) + 1))
            expected["ndcg"] = sum(1 / log2(rank + 1) for rank in hits) / best
        for name, part in (("repeat_recall", truth & own), ("explore_recall", truth - own)):
            if part:
                expected[name] = len(part & set(row)) / len(part)
        for name in METRICS:
            assert found[name][who] == pytest.approx(expected.get(name, np.nan), nan_ok=True)


def test_calibration_by_hand():
    probability, outcome = np.array([0.2, 0.7]), np.array([False, True])
    brier, _, error = calibration(probability, outcome)
    assert brier == pytest.approx((0.2**2 + 0.3**2) / 2)
    assert error == pytest.approx((0.2 + 0.3) / 2)
    # twenty suggestions, two in each group of similar probability: in each the right number happened
    assert calibration(np.full(20, 0.5), np.arange(20) % 2 == 0)[2] == pytest.approx(0)
    assert np.isnan(calibration(np.array([]), np.array([], bool))).all()


def test_calibration_slope_is_that_of_a_logistic_regression():
    random = np.random.default_rng(2)
    truth = random.uniform(0.02, 0.6, 4000)
    outcome = random.random(4000) < truth
    logit = np.log(truth / (1 - truth))
    boasted = 1 / (1 + np.exp(-2 * logit))  # too far from the middle by a factor of two
    assert calibration(truth, outcome)[1] == pytest.approx(1, abs=0.15)
    regression = LogisticRegression(C=np.inf, tol=1e-10).fit((2 * logit)[:, None], outcome)
    assert calibration(boasted, outcome)[1] == pytest.approx(regression.coef_[0, 0], rel=1e-4)
    assert np.isnan(calibration(truth, np.zeros(4000, bool))[1])  # nothing happened
    assert np.isnan(calibration(np.full(4, 0.3), np.array([True, False, False, False]))[1])  # one probability


# -- intervals -----------------------------------------------------------------------------------------------------


def test_intervals_draw_customers_with_all_their_rows_and_compare_the_same_customers():
    values = np.array([[[0.0, 1.0, 0.5, np.nan, 1.0]], [[0.2, 0.6, 0.5, np.nan, 0.0]]])  # two models, one metric
    customer = np.array([0, 1, 0, 1, 2])
    found = bootstrap(values, customer, 1, replicates=70, seed=3)
    random, means = np.random.default_rng(3), []
    for size in (20, 20, 20, 10):
        for drawn in random.integers(0, 3, (size, 3)):
            rows = np.concatenate([np.flatnonzero(customer == one) for one in drawn])
            means.append(np.nanmean(values[:, 0, rows], axis=1))
    means = np.array(means)
    assert found.value[:, 0] == pytest.approx([2.5 / 4, 1.3 / 4])
    assert found.low[:, 0] == pytest.approx(np.quantile(means, 0.025, axis=0))
    assert found.high[:, 0] == pytest.approx(np.quantile(means, 0.975, axis=0))
    assert found.difference[:, 0] == pytest.approx([1.2 / 4, 0])
    apart = means[:, 0] - means[:, 1]
    assert found.difference_low[:, 0] == pytest.approx([np.quantile(apart, 0.025), 0])
    assert found.difference_high[:, 0] == pytest.approx([np.quantile(apart, 0.975), 0])


def test_intervals_are_about_two_standard_errors_to_each_side():
    values = np.random.default_rng(0).random((1, 1, 1000))
    found = bootstrap(values, np.arange(1000), -1, replicates=1000, seed=0)
    error = values.std() / np.sqrt(1000)
    assert found.low[0, 0] == pytest.approx(values.mean() - 1.96 * error, abs=0.25 * error)
    assert found.high[0, 0] == pytest.approx(values.mean() + 1.96 * error, abs=0.25 * error)
    assert np.isnan(found.difference).all()


# -- one cutoff for everybody --------------------------------------------------------------------------------------


def test_one_cutoff_by_hand(frame):
    orders = frame(lines_of(KNOWN + LATER))
    evaluation = evaluate(PersonalTopRecommender(), orders, baselines=PopularRecommender(), **OPTIONS)
    table = evaluation.to_frame()
    assert type(table) is type(orders)
    # personal: ann a b (she buys a, c and z), bob c d (a), eve a b (nothing). popular: a b for everybody
    own = {"recall": (1 / 3 + 0) / 2, "ndcg": (1 / (1 + 1 / log2(3)) + 0) / 2, "hit_rate": 1 / 3, "precision": 0.5 / 3}
    all_ = {"recall": (1 / 3 + 1) / 2, "ndcg": (1 / (1 + 1 / log2(3)) + 1) / 2, "hit_rate": 2 / 3, "precision": 1 / 3}
    found = {row[0]: row[1:] for row in records(table)}
    assert list(found) == ["PopularRecommender", "PersonalTopRecommender"]  # the highest recall first
    for name, is_baseline, expected, split, covered in (
        ("PersonalTopRecommender", False, own, (0.5, 1.0, 0.0), 4 / 4),
        ("PopularRecommender", True, all_, (1.0, 1.0, 0.5), 2 / 4),
    ):
        assert found[name][:4] == (is_baseline, 2, 3, pytest.approx(2 / 3))  # k, customers, active share
        recall, _, _, precision, ndcg, hit_rate, *rest = found[name][4:]
        assert {"recall": recall, "precision": precision, "ndcg": ndcg, "hit_rate": hit_rate} == pytest.approx(expected)
        assert rest[:4] == pytest.approx([*split, covered])  # reciprocal rank, repeat and explore recall, coverage
        assert rest[4:] == [None] * 4  # no probabilities, no dates


def test_the_future_is_ten_days_and_ends_before_as_of():
    whole = evaluate(PersonalTopRecommender(), ORDERS, baselines=[], **OPTIONS)
    poison = lines_of([("ann", 30, "bbbb"), ("bob", 31, "cd"), ("eve", 30, "ab"), ("new", 40, "q")])
    later = pd.concat([ORDERS, pd.DataFrame(poison).assign(order_id=100)])
    assert records(evaluate(PersonalTopRecommender(), later, baselines=[], **OPTIONS).to_frame()) == records(
        whole.to_frame()
    )


class Spy(PopularRecommender):
    """Remembers, in the class, what it was shown."""

    shown: ClassVar[list] = []

    def _learn(self, sequences, now, horizon):
        self.shown.append((sequences, now, horizon))
        super()._learn(sequences, now, horizon)


def what_models_see(call):
    Spy.shown = []
    call()
    return Spy.shown


def test_models_see_nothing_from_the_cutoff_on_whatever_comes_then():
    later = pd.DataFrame(lines_of([*KNOWN, ("ann", 20, "bcd"), ("eve", 21, "yz"), ("new", 22, "a")]))
    later.loc[later["timestamp"] >= CUTOFF, "order_id"] = 1  # the number of an order of ann's, known before
    for orders in (ORDERS, later):
        ((sequences, now, horizon),) = what_models_see(lambda: evaluate(Spy(), orders, baselines=[], **OPTIONS))  # noqa: B023
        day = (CUTOFF - dt.datetime(1970, 1, 1)).days
        assert (now.tolist(), horizon) == ([day] * 3, 10)
        assert (sequences.moment - day + 20).tolist() == [0, 5, 3, 9, 4]
        assert sequences.item_ids.tolist() == ["d", "b", "c", "a"]
        assert sequences.item_ids[sequences.items].tolist() == ["b", "a", "a", "d", "c", "c", "b", "a"]


def test_rolling_origins_fit_anew_at_each_cutoff_and_count_customers_once_a_cutoff():
    options = OPTIONS | {"horizon": "12d"}
    shown = what_models_see(lambda: evaluate(Spy(), ORDERS, baselines=[], cutoffs=2, **options))
    assert [len(sequences.moment) for sequences, *_ in shown] == [4, 5]
    evaluation = evaluate(PersonalTopRecommender(), ORDERS, baselines=[], cutoffs=2, **options)
    table = evaluation.cutoff_table()
    assert table["cutoff"].tolist() == [AS_OF - dt.timedelta(days=24), AS_OF - dt.timedelta(days=12)]
    assert table["customer_count"].tolist() == [3, 3]
    # day 6 to 17: only bob comes, for c, known from his basket of c and d; day 18 to 29: as before
    assert table["active_share"].tolist() == pytest.approx([1 / 3, 2 / 3])
    assert table["recall"].tolist() == pytest.approx([1.0, (1 / 3 + 0) / 2])
    pooled = judged(evaluation, "PersonalTopRecommender")
    assert (pooled["customer_count"], pooled["recall"]) == (6, pytest.approx((1 + 1 / 3 + 0) / 3))


class Certain(PersonalTopRecommender):
    """Gives a probability and a date, three days after the cutoff and later for later customers, but none for d."""

    def _columns(self, ranked, sequences, now):  # noqa: ARG002
        dates = (now[ranked.owners()] + 3 + 2 * ranked.owners()).astype("datetime64[D]").astype("datetime64[us]")
        dates[ranked.items == 0] = np.datetime64("NaT")
        return {"probability": ranked.scores * 0.8, "expected_date": dates}


def test_probabilities_and_dates_are_judged_where_a_model_gives_them():
    found = judged(evaluate(Certain(), ORDERS, baselines=PopularRecommender(), **OPTIONS), "Certain")
    # ann a 1 b 1/2, bob c 1 d 1/2, eve a 1 b 1, times .8; only ann's a was bought, on day 20, expected on day 23
    assert found["brier_score"] == pytest.approx((0.2**2 + 0.4**2 + 0.8**2 + 0.4**2 + 2 * 0.8**2) / 6)
    assert found["calibration_error"] == pytest.approx((0.2 + 0.4 + 0.8 + 0.4 + 0.8 + 0.8) / 6)  # each a group
    assert found["date_error_days"] == 3


def test_of_last_orders_that_are_too_small_nothing_is_judged():
    orders = pd.DataFrame(lines_of([*KNOWN, ("eve", 12, "abq")]))
    options = {"as_of": AS_OF, "k": 2, "baselines": [], "replicates": 10}
    found = judged(evaluate_last_orders(Certain(), orders, min_items=3, **options), "Certain")
    assert np.isnan(found["date_error_days"])  # the day of the order is where models stand
    assert found["brier_score"] == pytest.approx(0.2**2)
    assert found["coverage_share"] == 2 / 4


def test_each_item_never_sold_before_counts():
    orders = pd.DataFrame(lines_of([*KNOWN, ("ann", 21, "axyz")]))
    assert judged(evaluate(PersonalTopRecommender(), orders, baselines=[], **OPTIONS), "PersonalTopRecommender")[
        "recall"
    ] == pytest.approx(1 / 4)


def test_row_order_does_not_matter_and_the_seed_does():
    first = evaluate(DecayedRepeatRecommender(), ORDERS, **OPTIONS)
    shuffled = evaluate(DecayedRepeatRecommender(), ORDERS.sample(frac=1, random_state=1), **OPTIONS)
    assert records(first.to_frame()) == records(shuffled.to_frame())
    assert records(first.comparison_table()) == records(shuffled.comparison_table())
    other = evaluate(DecayedRepeatRecommender(), ORDERS, random_state=1, **OPTIONS)
    assert not np.array_equal(first.intervals.low, other.intervals.low)


# -- comparison ----------------------------------------------------------------------------------------------------


def test_every_baseline_stands_beside_and_the_best_is_what_others_are_compared_with():
    evaluation = evaluate({"ours": PersonalTopRecommender()}, ORDERS, **OPTIONS)
    assert evaluation.is_baseline.sum() == 6
    assert len(evaluation.models) == 7
    table = evaluation.comparison_table()
    best = next(name for name, is_one in zip(evaluation.models, evaluation.is_baseline, strict=True) if is_one)
    assert set(table["baseline"]) == {best}
    values = table.pivot_table(index="model", columns="metric", values="value")
    for row in table.dropna(subset="difference").itertuples():
        assert row.difference == pytest.approx(values.loc[row.model, row.metric] - values.loc[best, row.metric])
        assert row.difference_low <= row.difference_high
        assert row.value_low <= row.value_high
    assert set(table[table["difference"].isna()]["model"]) == {best}


def test_without_baselines_there_is_nothing_to_compare_with():
    table = evaluate([PopularRecommender(), PersonalTopRecommender()], ORDERS, baselines=[], **OPTIONS)
    compared = table.comparison_table()
    assert compared["baseline"].isna().all()
    assert compared["difference"].isna().all()


def test_baselines_suggest_what_the_model_suggests():
    evaluation = evaluate(PopularRecommender(which="new"), ORDERS, **OPTIONS)
    assert pd.DataFrame(evaluation.to_frame())["repeat_recall"].tolist() == [0.0] * 6
    assert repr(evaluation).startswith("Evaluation: 6 models at 1 cutoff, best recall by ")


def test_models_that_came_in_are_left_alone():
    model = PopularRecommender()
    evaluate(model, ORDERS, baselines=[], **OPTIONS)
    assert not hasattr(model, "item_ids_")


# -- last orders ---------------------------------------------------------------------------------------------------


def test_last_orders_by_hand():
    orders = pd.DataFrame(lines_of([*KNOWN, ("eve", 12, "abq"), ("one", 1, "a")]))
    evaluation = evaluate_last_orders(PersonalThenPopularRecommender(), orders, as_of=AS_OF, k=2, baselines=[])
    # ann: a of her a b; bob: c of his c d, not d; eve: a b of her a b q; one has no history
    found = judged(evaluation, "PersonalThenPopularRecommender")
    assert (found["customer_count"], found["active_share"]) == (3, 1.0)
    assert found["recall"] == pytest.approx((1 + 1 + 2 / 3) / 3)
    assert found["repeat_recall"] == pytest.approx(1)
    assert found["explore_recall"] == 0  # q alone
    large = evaluate_last_orders(
        PersonalThenPopularRecommender(), orders, as_of=AS_OF, k=2, min_items=3, baselines=[]
    ).to_frame()
    assert records(large)[0][3:6] == (1, 1.0, pytest.approx(2 / 3))


def test_models_learn_from_all_orders_but_the_last_and_number_items_by_these_alone():
    orders = pd.DataFrame(lines_of([*KNOWN, ("eve", 12, "ddq"), ("one", 1, "a")]))
    ((sequences, now, horizon),) = what_models_see(
        lambda: evaluate_last_orders(Spy(), orders, as_of=AS_OF, baselines=[], replicates=10)
    )
    first_day = (START - dt.datetime(1970, 1, 1)).days
    assert sequences.sequence_ids.tolist() == ["ann", "bob", "eve"]
    assert ((now - first_day).tolist(), horizon) == ([5, 9, 12], None)
    assert sequences.item_ids.tolist() == ["c", "d", "a", "b"]  # once and once, twice and twice: equals by id
    assert sequences.item_ids[sequences.items].tolist() == ["a", "b", "c", "d", "a", "b"]
    assert (sequences.moment - first_day).tolist() == [0, 3, 4]


# -- plot ----------------------------------------------------------------------------------------------------------


def test_plot_has_the_best_on_top_and_intervals():
    evaluation = evaluate(PersonalTopRecommender(), ORDERS, baselines=PopularRecommender(), **OPTIONS)
    ax = plot_evaluation(evaluation, metric="hit_rate")
    assert [label.get_text() for label in ax.get_yticklabels()] == ["PersonalTopRecommender", "PopularRecommender"]
    table = evaluation.comparison_table().query("metric == 'hit_rate'").iloc[::-1]
    lines = [line.get_xdata() for line in ax.get_lines()]
    for place, row in enumerate(table.itertuples()):
        assert lines[2 * place] == pytest.approx([row.value_low, row.value_high])
        assert lines[2 * place + 1] == pytest.approx([row.value])
    assert ax.get_xlabel() == "hit rate of 2 suggestions, with 95% interval"
    assert plot_evaluation(evaluation, ax=ax) is ax


# -- refusals ------------------------------------------------------------------------------------------------------


def test_refusals_say_what_to_type():
    model = PopularRecommender()
    with pytest.raises(SchemaError, match=r"nothing was bought before 2023-12-12.* Take fewer cutoffs, a shorter hor"):
        evaluate(model, ORDERS, as_of=AS_OF, horizon="10d", cutoffs=5)
    with pytest.raises(SchemaError, match=r"no customer known at 2024-02-20 bought anything in the 10 days.*longer"):
        evaluate(model, ORDERS, as_of="2024-03-01", horizon="10d")
    with pytest.raises(SchemaError, match=r"no customer has two orders before as_of=2024-01-04"):
        evaluate_last_orders(model, ORDERS, as_of="2024-01-04")
    with pytest.raises(SchemaError, match=r"no last order is large enough.* Take fewer min_items"):
        evaluate_last_orders(model, ORDERS, as_of=AS_OF, min_items=9)
    with pytest.raises(
        SchemaError, match=r"evaluate: models must be recommenders such as PopularRecommender\(\), got 'x"
    ):
        evaluate("x", ORDERS, **OPTIONS)
    with pytest.raises(SchemaError, match=r"models must be a recommender, a list of such .*got \[\]"):
        evaluate([], ORDERS, **OPTIONS)
    with pytest.raises(SchemaError, match=r'models has several of one class. Name them: models=\{"a": ...'):
        evaluate([model, model], ORDERS, **OPTIONS)
    with pytest.raises(SchemaError, match=r"agree in what an item is, got item='category' and 'product_id'"):
        evaluate(model, ORDERS, baselines=PersonalTopRecommender(item="category"), **OPTIONS)
    with pytest.raises(SchemaError, match=r"\['PopularRecommender'\] are among models and baselines. Name yours"):
        evaluate(model, ORDERS, baselines=model, **OPTIONS)
    with pytest.raises(SchemaError, match=r"evaluate: horizon must be a duration"):
        evaluate(model, ORDERS, as_of=AS_OF, horizon=10)
    with pytest.raises(SchemaError, match=r"evaluate: replicates must be a whole number of at least 1"):
        evaluate(model, ORDERS, baselines=[], **(OPTIONS | {"replicates": 0}))
    with pytest.raises(SchemaError, match=r"plot_evaluation: expected an Evaluation, as evaluate\(...\) returns it"):
        plot_evaluation(ORDERS)
    with pytest.raises(SchemaError, match=r"plot_evaluation: metric must be one of"):
        plot_evaluation(evaluate(model, ORDERS, baselines=[], **OPTIONS), metric="recal")


# -- real data -----------------------------------------------------------------------------------------------------


def test_complete_journey_six_hundred_households():
    """The order of the baselines is that of the literature: habits beat best-sellers, and age makes habits better."""
    from crmlytics import Transactions
    from crmlytics.datasets import load_complete_journey

    tx = Transactions(
        load_complete_journey().transactions, customer_id="household_id", order_id="basket_id",
        timestamp="transaction_timestamp", amount="sales_value",
    )  # fmt: skip
    evaluation = evaluate(
        DecayedRepeatRecommender(), tx, as_of="2018-01-01", horizon="28d", replicates=200,
        baselines=[PopularRecommender(), PersonalThenPopularRecommender()],
    )  # fmt: skip
    assert isinstance(evaluation, Evaluation)
    assert evaluation.models == ("DecayedRepeatRecommender", "PersonalThenPopularRecommender", "PopularRecommender")
    table = evaluation.comparison_table().set_index(["model", "metric"])
    assert table.loc[("DecayedRepeatRecommender", "recall"), "difference_low"] > 0
    assert table.loc[("PopularRecommender", "explore_recall"), "difference_low"] > 0
