"""What transition_table, its pictures and MarkovChainModel promise: counted by hand, the right memory, no future."""

import datetime as dt
import math
import pickle
from collections import Counter, defaultdict

import matplotlib as mpl
import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from _clicks import NOON, clicks_of
from crmlytics import Events
from crmlytics.clickstream._transition_plots import plot_transition_heatmap, plot_transitions
from crmlytics.clickstream.next_event import MarkovChainModel
from crmlytics.clickstream.transition_contrasts import transition_contrast_table
from crmlytics.clickstream.transitions import transition_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

mpl.use("Agg")

WAYS = ["home cart home", "home cart", "home home help"]
words = st.lists(st.lists(st.sampled_from("abcd"), min_size=1, max_size=8), min_size=1, max_size=12)


def counted(ways):
    """Transitions of ways, counted one by one."""
    return Counter(step for way in ways for step in zip(["(start)", *way], [*way, "(end)"], strict=True))


def by_step(table):
    return {(row[0], row[1]): row for row in records(table)}


# -- transitions ---------------------------------------------------------------------------------------------------


def test_counted_by_hand_on_every_kind(frame):
    clicks = frame(clicks_of(WAYS))
    table = transition_table(clicks)
    assert type(table) is type(clicks)
    numbers = dict.fromkeys(["probability", "probability_low", "probability_high", "median_seconds"], "Float64")
    expected = {"from_state": "String", "to_state": "String", "transition_count": "Int64", "sequence_count": "Int64"}
    assert {n: str(k) for n, k in nw.from_native(table).collect_schema().items()} == expected | numbers
    assert [row[:5] + row[7:] for row in records(table)] == [
        ("(start)", "home", 3, 3, 1.0, None),
        ("cart", "home", 1, 1, 0.5, 60.0),
        ("cart", "(end)", 1, 1, 0.5, None),
        ("help", "(end)", 1, 1, 1.0, None),
        ("home", "cart", 2, 2, 0.4, 60.0),
        ("home", "help", 1, 1, 0.2, 60.0),
        ("home", "home", 1, 1, 0.2, 60.0),
        ("home", "(end)", 1, 1, 0.2, None),
    ]
    assert by_step(table)["cart", "home"][5:7] == pytest.approx((0.09453, 0.90547), abs=1e-5)  # Wilson, 1 of 2


def test_the_median_is_of_seconds_and_sequences_are_counted_once():
    ways = [["a", "b", "a", "b", "a", "b"], ["a", "b"]]
    clicks = pd.DataFrame(clicks_of(ways))
    clicks["timestamp"] = [NOON + dt.timedelta(seconds=s) for s in (0, 10, 100, 130, 200, 202, 0, 4.5)]
    row = by_step(transition_table(clicks))["a", "b"]
    assert row[2:4] == (4, 2)
    assert row[7] == (4.5 + 10) / 2  # of 2, 4.5, 10, 30


@given(words, st.randoms())
def test_counts_are_those_of_a_plain_count_and_shares_add_up_whatever_the_order_of_rows(ways, random):
    clicks = pd.DataFrame(clicks_of(ways))
    table = transition_table(clicks)
    plain = counted(ways)
    assert {step: row[2] for step, row in by_step(table).items()} == plain
    holding = {step: sum(step in counted([way]) for way in ways) for step in plain}
    assert {step: row[3] for step, row in by_step(table).items()} == holding
    assert table.groupby("from_state")["probability"].sum().to_numpy() == pytest.approx(1)
    assert table["probability"].between(table["probability_low"], table["probability_high"]).all()
    shuffled = clicks.iloc[random.sample(range(len(clicks)), len(clicks))]
    assert transition_table(shuffled).equals(table)


def test_nothing_at_or_after_as_of_is_read():
    clicks = pd.DataFrame(clicks_of(WAYS))
    as_of = NOON + dt.timedelta(hours=1, seconds=60)  # the second session is at its cart
    known = clicks[clicks["timestamp"] < as_of]
    poison = clicks.assign(event=clicks["event"].where(clicks["timestamp"] < as_of, "poison"))
    table = transition_table(poison, as_of=as_of)
    assert table.equals(transition_table(known))
    assert by_step(table)["home", "(end)"][2] == 2


def test_sessions_are_of_a_customer_and_customers_walk_through_all_of_theirs():
    clicks = pd.DataFrame(clicks_of(["a b", "c", "d"], customers=["x", "x", "y"]))
    clicks["session_id"] = [1, 1, 2, 1]  # y's first session is not x's
    with pytest.warns(DataQualityWarning, match="transition_table: 1 of 2 session_ids belong to several customers"):
        assert set(by_step(transition_table(clicks))) == set(counted(["ab", "c", "d"]))
    whole = transition_table(clicks, by="customer_id")
    assert set(by_step(whole)) == set(counted(["abc", "d"]))
    assert whole.equals(transition_table(clicks.drop(columns="session_id")))


def test_states_may_be_numbers_and_events_without_one_are_told():
    clicks = clicks_of([[7, 12], [12]], item="page")
    assert [row[:2] for row in records(transition_table(make_frame(clicks, "polars"), item="page"))] == [
        ("(start)", "7"), ("(start)", "12"), ("7", "12"), ("12", "(end)"),
    ]  # fmt: skip
    clicks["page"][1] = None
    with pytest.warns(DataQualityWarning, match=r"transition_table: 1 of 3 events have no page and are left out"):
        table = transition_table(Events(pd.DataFrame(clicks | {"event": ["view"] * 3})), item="page")
    assert [row[:3] for row in records(table)][2:] == [("7", "(end)", 1), ("12", "(end)", 1)]


def test_refusals_say_what_to_type():
    clicks = pd.DataFrame(clicks_of(WAYS))
    with pytest.raises(MissingColumnsError, match=r"transition_table needs \['page'\].*page='<your column>'"):
        transition_table(clicks, item="page")
    with pytest.raises(SchemaError, match=r"transition_table: item must be one of .*'evnt'. Did you mean 'event'\?"):
        transition_table(clicks, item="evnt")
    with pytest.raises(SchemaError, match=r"transition_table: by must be one of \['customer_id', 'session_id'\]"):
        transition_table(clicks, by="order_id")
    with pytest.raises(SchemaError, match=r"the event '\(end\)' has the name of the beginning or end of a walk"):
        transition_table(clicks.replace("help", "(end)"))
    with pytest.raises(SchemaError, match=r"no event is left that has 'event'. Check as_of"):
        transition_table(clicks, as_of="2020-01-01")
    with pytest.raises(SchemaError, match=r"confidence must be a fraction between 0 and 1"):
        transition_table(clicks, confidence=95)


# -- contrasts -----------------------------------------------------------------------------------------------------


def test_contrasts_are_those_of_two_shares(frame):
    one, other = frame(clicks_of(["a b"] * 5 + ["a c"] * 15)), frame(clicks_of(["a b"] * 12 + ["a d"] * 8))
    table = transition_contrast_table(transition_table(one), transition_table(other))
    assert type(table) is type(one)
    found = by_step(table)
    assert list(found) == [("(start)", "a"), ("a", "b"), ("a", "c"), ("a", "d"),
                           ("b", "(end)"), ("c", "(end)"), ("d", "(end)")]  # fmt: skip
    row = found["a", "b"]
    assert row[2:6] == (5, 12, 0.25, 0.6)
    # Wilson: 5 of 20 is .112 to .469, 12 of 20 is .387 to .781
    assert row[6] == pytest.approx(-0.35)
    assert row[7] == pytest.approx(-0.35 - math.hypot(0.25 - 0.11186, 0.78119 - 0.6), abs=1e-4)
    assert row[8] == pytest.approx(-0.35 + math.hypot(0.46870 - 0.25, 0.6 - 0.38658), abs=1e-4)
    assert row[9] == pytest.approx(stats.chi2_contingency([[5, 15], [12, 8]], correction=False).pvalue)
    assert row[10] == pytest.approx(row[9] * 3)  # of 5: c and d differ more, two have p = 1
    assert found["c", "(end)"][3:6] == (0, 1.0, None)  # the others never were at c
    assert found["c", "(end)"][9] is None


def test_a_small_group_that_is_like_the_other_seldom_differs():
    """Groups drawn by lot from rare steps: the normal distribution finds a difference in most of these tables."""
    random, false = np.random.default_rng(0), 0
    for _ in range(40):
        count, other = random.binomial(25, 0.004, 30), random.binomial(1000, 0.004, 30)
        tables = [
            pd.DataFrame({
                "from_state": np.repeat([f"s{i:02}" for i in range(30)], 2),
                "to_state": ["help", "(end)"] * 30,
                "transition_count": np.ravel([hits, of - hits], order="F"),
            })
            for hits, of in ((count, 25), (other, 1000))
        ]  # fmt: skip
        found = transition_contrast_table(*tables)
        assert not found["p_value"].isna().any()
        false += (found["adjusted_p_value"] <= 0.05).any()
    assert false <= 3  # 5 % at most, and exact tests have less


def test_one_visitor_is_compared_exactly():
    one = pd.DataFrame({"from_state": ["help"], "to_state": ["cart"], "transition_count": [1]})
    other = pd.DataFrame({"from_state": ["help"], "to_state": ["(end)"], "transition_count": [1000]})
    assert transition_contrast_table(one, other)["p_value"].tolist() == pytest.approx([2 / 1001] * 2)


def test_contrasts_refuse_other_tables():
    table = transition_table(pd.DataFrame(clicks_of(WAYS)))
    with pytest.raises(MissingColumnsError, match=r"others needs the columns \['to_state'\].*transition_table\(events"):
        transition_contrast_table(table, table.drop(columns="to_state"))


# -- pictures ------------------------------------------------------------------------------------------------------


def test_the_heat_map_shows_shares_in_order_of_a_session():
    ways = ["home list cart", "home list", "home cart"] * 2
    ax = plot_transition_heatmap(make_frame(pd.DataFrame(transition_table(pd.DataFrame(clicks_of(ways)))), "polars"))
    assert [label.get_text() for label in ax.get_yticklabels()] == ["(start)", "home", "list", "cart"]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["home", "list", "cart", "(end)"]
    texts = {text.get_position(): text.get_text() for text in ax.texts}
    assert texts == {(0, 0): "100", (1, 1): "67", (2, 1): "33", (2, 2): "50", (3, 2): "50", (3, 3): "100"}
    few = plot_transition_heatmap(transition_table(pd.DataFrame(clicks_of(ways))), n=1)
    assert "(2 less visited states are left out)" in few.get_title(loc="left")
    mpl.pyplot.close("all")


def test_the_graph_draws_the_likely_ones_once():
    ways = ["home home list cart", "home list", "home cart"]
    ax = plot_transitions(transition_table(pd.DataFrame(clicks_of(ways))), min_probability=0.3)
    assert len(ax.patches) == 5  # start-home, home-list .5, list-cart .5, list-end .5, cart-end 1; home-cart is .25
    assert [text.get_text() for text in ax.texts] == ["(start)", "home\nagain 25%", "list", "cart", "(end)"]
    mpl.pyplot.close("all")


def test_pictures_refuse_what_is_no_table_of_transitions():
    with pytest.raises(
        MissingColumnsError, match=r"plot_transitions: transitions needs .*'probability'.*transition_table"
    ):
        plot_transitions(pd.DataFrame({"from_state": ["a"]}))
    empty = transition_table(pd.DataFrame(clicks_of(WAYS))).head(0)
    with pytest.raises(SchemaError, match="plot_transition_heatmap: there are no transitions to draw"):
        plot_transition_heatmap(empty)


# -- memory --------------------------------------------------------------------------------------------------------


def walked(rng, following, count, length=12):
    """Ways of ``length`` letters; ``following(way)`` is the probability of each letter after what there is."""
    ways = []
    for _ in range(count):
        way = []
        for _ in range(length):
            way.append("abcd"[rng.choice(4, p=following(way))])
        ways.append(way)
    return ways


DENSE = np.array([[0.1, 0.5, 0.2, 0.2], [0.4, 0.1, 0.1, 0.4], [0.25, 0.25, 0.25, 0.25], [0.7, 0.1, 0.1, 0.1]])
SPARSE = np.array([[0, 0.7, 0.3, 0], [0, 0, 0.5, 0.5], [0.9, 0, 0, 0.1], [0.2, 0.8, 0, 0]])  # not every page is linked
UNIFORM = np.full(4, 0.25)


def after_one(chain):
    return lambda way: chain["abcd".index(way[-1])] if way else UNIFORM


def after_two(way):
    """As DENSE, but who comes from b does the opposite."""
    if len(way) < 2:
        return UNIFORM
    row = DENSE["abcd".index(way[-1])]
    return row[::-1] if way[-2] == "b" else row


@pytest.mark.parametrize(
    ("following", "order"), [(lambda _: UNIFORM, 0), (after_one(DENSE), 1), (after_one(SPARSE), 1), (after_two, 2)]
)
def test_bic_finds_the_memory_that_was_planted(following, order):
    for seed in range(3):
        ways = walked(np.random.default_rng(seed), following, 300)
        model = MarkovChainModel().fit(pd.DataFrame(clicks_of(ways)))
        table = model.order_table()
        # of fixed length: at what event a session ends, only longer memories than these could tell
        assert model.order_ == order
        assert table["order"].tolist() == [0, 1, 2, 3]
        assert table.loc[table["is_chosen"], "order"].tolist() == [order]
        assert table["log_likelihood"].is_monotonic_increasing


def test_likelihood_and_parameters_by_hand():
    # order 0: a 3, b 2, end 2 of 7. order 1: start -> a 2; a -> b 2, a -> end 1; b -> a 1, b -> end 1.
    table = MarkovChainModel(max_order=1).fit(pd.DataFrame(clicks_of(["a b a", "a b"]))).order_table()
    zero = 3 * math.log(3 / 7) + 4 * math.log(2 / 7)
    one = 2 * math.log(2 / 3) + math.log(1 / 3) + 2 * math.log(1 / 2)
    assert table["context_count"].tolist() == [1, 3]
    assert table["parameter_count"].tolist() == [2, 2]  # none after the start, one after a and after b
    assert table["log_likelihood"].tolist() == pytest.approx([zero, one])
    assert table["aic"].tolist() == pytest.approx([4 - 2 * zero, 4 - 2 * one])
    assert table["bic"].tolist() == pytest.approx([2 * math.log(7) - 2 * zero, 2 * math.log(7) - 2 * one])


class PlainChain:
    """The smoothed chain as its formula is written."""

    def __init__(self, ways, order, smoothing):
        self.order, self.smoothing = order, smoothing
        self.count = defaultdict(Counter)
        self.possible = len({word for way in ways for word in way}) + 2
        for way in ways:
            for context, coming in self.places(way):
                for length in range(order + 1):
                    self.count[context[order - length :]][coming] += 1

    def places(self, way):
        padded = ["(start)"] * self.order + list(way) + ["(end)"]
        for at in range(self.order, len(padded)):
            yield tuple(padded[at - self.order : at]), padded[at]

    def probability(self, context, coming):
        shorter = self.probability(context[1:], coming) if context else 1 / self.possible
        seen = self.count[context]
        return (seen[coming] + self.smoothing * shorter) / (seen.total() + self.smoothing)


@settings(max_examples=30)
@given(words, words, st.integers(0, 3), st.sampled_from([0.5, 20.0]))
def test_scores_and_predictions_equal_the_formula(ways, others, order, smoothing):
    others = [[*way, "never seen", *way] if len(way) > 2 else way for way in others]
    model = MarkovChainModel(order=order, smoothing=smoothing).fit(pd.DataFrame(clicks_of(ways)))
    plain = PlainChain(ways, order, smoothing)
    logs = [math.log(plain.probability(*place)) for way in others for place in plain.places(way)]
    clicks = pd.DataFrame(clicks_of(others))
    assert model.score(clicks) == pytest.approx(np.mean(logs))
    table = model.predict_table(clicks, n=9)
    for session, way in enumerate(others):
        context, _ = list(plain.places(way))[-1]
        rows = table[table["session_id"] == session]
        expected = {event: plain.probability(context, event) for event in rows["event"]}
        assert set(expected) == {word for way in ways for word in way}
        assert dict(zip(rows["event"], rows["probability"], strict=True)) == pytest.approx(expected)
        assert rows["probability"].is_monotonic_decreasing
        assert rows["end_probability"].iloc[0] == pytest.approx(plain.probability(context, "(end)"))
        never = plain.probability(context, "something new")
        assert rows["probability"].sum() + rows["end_probability"].iloc[0] + never == pytest.approx(1)


def test_predicts_on_every_kind_and_says_what_it_rests_on(frame):
    model = MarkovChainModel(order=2, smoothing=1).fit(frame(clicks_of(["a b c", "a b c", "a b d", "d"])))
    going_on = frame(clicks_of(["a b", "d b", "b new"]))
    table = model.predict_table(going_on, n=2)
    assert type(table) is type(going_on)
    rows = records(table)
    assert [row[:3] for row in rows] == [(s, r, e) for s, events in enumerate(["cd", "cd", "bc"]) for r, e in
                                         enumerate(events, 1) if s < 2] + [row[:3] for row in rows[4:]]  # fmt: skip
    # p(c) = 2/14 + 1/14/6 of no context; after b (3 times) and after a b (3 times) each (2 + shorter) / 4
    none = (2 + 1 / 6) / 15
    assert rows[0][3] == pytest.approx((2 + (2 + none) / 4) / 4)
    assert [row[5:] for row in rows[::2]] == [(2, 3), (1, 3), (0, 14)]  # b after d, and what is new, were never seen
    assert type(model.order_table()) is type(going_on)


def test_keeps_the_contract_of_scikit_learn():
    clicks = pd.DataFrame(clicks_of(["a b c", "a b", "c a b"]))
    model = MarkovChainModel(order=1, smoothing=2.0, by="session_id")
    with pytest.raises(NotFittedError):
        model.predict_table(clicks)
    copy = clone(model)
    assert copy.get_params() == model.get_params() == {
        "order": 1, "max_order": 3, "smoothing": 2.0, "item": "event", "by": "session_id",
    }  # fmt: skip
    expected = copy.fit(clicks).predict_table(clicks)
    again = pickle.loads(pickle.dumps(copy))  # noqa: S301  our own bytes
    assert again.predict_table(clicks).equals(expected)
    assert again.order_table().equals(copy.order_table())
    assert model.fit(clicks.sample(frac=1, random_state=1)).predict_table(clicks).equals(expected)
    assert set(vars(copy)) - set(copy.get_params()) == {"fit_", "order_", "levels_", "state_ids_", "by_", "engine_"}


def test_predictions_name_session_and_customer_where_both_are_known():
    clicks = pd.DataFrame(clicks_of(["a b", "a", "b"], customers=["y", "x", "x"]))
    clicks["session_id"] = [1, 1, 1, 2]
    with pytest.warns(DataQualityWarning, match="1 of 2 session_ids belong to several customers"):
        table = MarkovChainModel(order=1).fit(clicks).predict_table(clicks, n=1)
    assert list(table.columns[:3]) == ["session_id", "customer_id", "rank"]
    assert [row[:2] for row in records(table)] == [(1, "x"), (1, "y"), (2, "x")]


def test_the_model_refuses_what_it_cannot_do():
    clicks = pd.DataFrame(clicks_of(WAYS))
    with pytest.raises(SchemaError, match=r'order must be "auto" or a whole number such as order=1, got .best.'):
        MarkovChainModel(order="best").fit(clicks)
    with pytest.raises(SchemaError, match=r"MarkovChainModel.fit: max_order must be a whole number of at least 1"):
        MarkovChainModel(max_order=0).fit(clicks)
    with pytest.raises(SchemaError, match=r"smoothing must be a number above zero, got 0"):
        MarkovChainModel(smoothing=0).fit(clicks)
    with pytest.raises(SchemaError, match=r"MarkovChainModel.predict_table: n must be a whole number"):
        MarkovChainModel().fit(clicks).predict_table(clicks, n=0)


# -- real data -----------------------------------------------------------------------------------------------------


def test_an_online_shop_has_a_memory_of_one_event(shared_data):
    clicks = pd.read_parquet(shared_data / "clickstream_ecom.parquet").rename(columns={"user_id": "customer_id"})
    table = by_step(transition_table(clicks))
    pairs = clicks.sort_values(["session_id", "timestamp", "event"]).assign(
        following=lambda rows: rows.groupby("session_id")["event"].shift(-1).fillna("(end)")
    )
    assert (
        table["cart", "payment_details"][2]
        == (pairs["event"].eq("cart") & pairs["following"].eq("payment_details")).sum()
    )
    assert sum(row[2] for row in table.values()) == len(clicks) + clicks["session_id"].nunique()
    half = clicks["session_id"].str[-1].isin(list("02468"))
    models = {order: MarkovChainModel(order=order).fit(clicks[half]) for order in (0, 1)}
    assert MarkovChainModel().fit(clicks).order_ == 1
    scores = {order: model.score(clicks[~half]) for order, model in models.items()}
    assert scores[1] > scores[0] + 0.1
