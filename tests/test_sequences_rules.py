"""What sequence_rules promises: counts, times and orders by definition; chance within alpha, the planted found."""

import datetime as dt
import itertools
import shutil
from math import comb

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _reference_sequences import embeddings, holds
from crmlytics._sequences import Sequences
from crmlytics.affinity import split_by_customer
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._occurrences import Orders, orders_of
from crmlytics.sequences._plots import plot_sequence_rules
from crmlytics.sequences._reading import read
from crmlytics.sequences.patterns import frequent_sequences
from crmlytics.sequences.rules import sequence_rules
from crmlytics.sequences.significance import sign_test, significant_sequence_rules
from crmlytics.tables import Transactions
from crmlytics.testing import FRAME_KINDS, make_frame, records

DAY = dt.datetime(2024, 1, 1)
COLUMNS = ["antecedent", "consequent", "text", "sequence_count", "antecedent_count", "consequent_count",
           "reverse_count", "confidence", "lift", "order_lift"]  # fmt: skip
TIMES = [f"{quartile}_days_between" for quartile in ("q25", "median", "q75")]
# Of five customers four bought a printer; three of them ink later, after 10, 20 and 40 days; one bought ink before.
# The second printer of customer 0 and the second ink of customer 1 change nothing.
OFFICE = [
    [(0, {"printer"}), (8, {"printer"}), (10, {"ink"})],
    [(0, {"printer"}), (20, {"ink"}), (25, {"ink"})],
    [(0, {"printer"}), (40, {"ink", "paper"})],
    [(0, {"ink"}), (5, {"printer"})],
    [(3, {"ink"})],
]
IN_MEMORY = pytest.mark.parametrize("kind", [kind for kind in FRAME_KINDS if kind != "pyspark"])  # Spark has no times
histories = st.lists(
    st.lists(st.tuples(st.integers(0, 12), st.sets(st.sampled_from("abc"), min_size=1, max_size=2)), min_size=1,
             max_size=6),
    min_size=1, max_size=6,
)  # fmt: skip


def lines_of(sequences, first=0):
    """One row a customer, day and item, of sequences of (day, items)."""
    rows = [
        (first + customer, 100 * customer + place, DAY + dt.timedelta(days=int(day)), item)
        for customer, sequence in enumerate(sequences)
        for place, (day, items) in enumerate(sequence)
        for item in sorted(items)
    ]
    return dict(zip(["customer_id", "order_id", "timestamp", "product_id"], map(list, zip(*rows, strict=True)),
                    strict=True))  # fmt: skip


def rules_of(sequences, min_support=1, min_confidence=0.0, **arguments):
    patterns = frequent_sequences(pd.DataFrame(lines_of(sequences)), min_support, **arguments)
    return sequence_rules(patterns, min_confidence=min_confidence)


def merged(history):
    days = {}
    for day, items in history:
        days.setdefault(day, set()).update(items)
    return sorted(days.items())


def sides(row):
    antecedent = tuple(frozenset(element) for element in row["antecedent"])
    return antecedent, frozenset(row["consequent"])


def rows_of(table):
    return nw.from_native(table).lazy().collect().to_arrow().to_pylist()


# -- counts and times --------------------------------------------------------------------------------------------------


@IN_MEMORY
def test_counted_by_hand_on_every_frame(frame):
    lines = frame(lines_of(OFFICE))
    table = sequence_rules(frequent_sequences(lines, 3)).to_frame()
    assert type(table) is type(lines)
    (row,) = rows_of(table)
    assert list(row) == COLUMNS + TIMES
    assert (row["antecedent"], row["consequent"], row["text"]) == ([["printer"]], ["ink"], "printer => ink")
    assert [row[name] for name in COLUMNS[3:7]] == [3, 4, 5, 1]
    assert row["confidence"] == 3 / 4
    assert row["lift"] == pytest.approx(3 / 4)
    assert row["order_lift"] == 3
    assert [row[name] for name in TIMES] == [15, 20, 30]


@IN_MEMORY
def test_dtypes_are_the_same_where_there_is_no_rule(frame):
    for min_support in (3, 99):
        table = sequence_rules(frequent_sequences(frame(lines_of(OFFICE)), min_support)).to_frame()
        schema = nw.from_native(table).collect_schema()
        assert schema["antecedent"] == nw.List(nw.List(nw.String))
        assert schema["consequent"] == nw.List(nw.String)
        assert schema["text"] == nw.String
        assert [str(schema[name]) for name in COLUMNS[3:7]] == ["Int64"] * 4
        assert [str(schema[name]) for name in COLUMNS[7:] + TIMES] == ["Float64"] * 6


@given(drawn=histories, most=st.sampled_from([None, 3, 6]), window=st.sampled_from([None, 7]))
@settings(max_examples=30)
def test_every_count_and_time_is_that_of_the_definition(drawn, most, window):
    sequences = [merged(history) for history in drawn]
    arguments = {"max_gap": None if most is None else f"{most}d", "window": None if window is None else f"{window}d"}
    limits = (-1, most or -1, window or -1)
    rules = rules_of(sequences, max_len=3, **arguments)
    only = orders_of(rules, rules.patterns.sequences)
    for row, forward_only, backward_only in zip(
        rows_of(rules.to_frame()), only.forward_only, only.backward_only, strict=True
    ):
        antecedent, consequent = sides(row)
        whole = (*antecedent, consequent)
        backward = whole[::-1] if most or window else (consequent, *antecedent)  # a gap is a gap backwards, too
        assert row["sequence_count"] == sum(holds(whole, sequence, limits) for sequence in sequences)
        assert row["antecedent_count"] == sum(holds(antecedent, sequence, limits) for sequence in sequences)
        assert row["consequent_count"] == sum(holds((consequent,), sequence) for sequence in sequences)
        assert row["reverse_count"] == sum(holds(backward, sequence, limits) for sequence in sequences)
        in_order = [[holds(pattern, sequence, limits) for pattern in (whole, backward)] for sequence in sequences]
        assert (forward_only, backward_only) == (in_order.count([True, False]), in_order.count([False, True]))
        times = []
        for sequence in sequences:
            found = [places[-2:] for places in embeddings(whole, sequence, limits)]
            if found:
                start, end = min(found)  # the earliest completion that is followed, and the first that follows it
                times.append(sequence[end][0] - sequence[start][0])
        expected = np.quantile(times, [0.25, 0.5, 0.75])
        assert [row[name] for name in TIMES] == pytest.approx(expected)


@given(drawn=histories)
@settings(max_examples=20)
def test_every_pattern_of_several_elements_is_one_rule(drawn):
    sequences = [merged(history) for history in drawn]
    patterns = frequent_sequences(pd.DataFrame(lines_of(sequences)), 1)
    several = {row[1].rpartition(" > ") for row in records(patterns.to_frame()) if row[3] > 1}
    texts = [row["text"].partition(" => ") for row in rows_of(sequence_rules(patterns, min_confidence=0).to_frame())]
    assert sorted((a, c) for a, _, c in several) == sorted((a, c) for a, _, c in texts)


def test_a_rule_exactly_at_the_threshold_is_kept():
    sequences = [[(0, {"a"}), (1, {"b"})]] * 3 + [[(0, {"a"})]] * 7
    assert len(rules_of(sequences, min_confidence=0.3)) == 1  # 3 of 10, although 0.3 is no float
    assert len(rules_of(sequences, min_confidence=0.3000001)) == 0
    assert len(rules_of(sequences).at_least(confidence=0.3, support=0.3)) == 1


def test_rules_within_days_and_between_clicks():
    (row,) = rows_of(rules_of(OFFICE, max_gap="20d", min_support=2).to_frame())
    assert (row["sequence_count"], row["reverse_count"], row["confidence"]) == (2, 1, 0.5)
    assert [row[name] for name in TIMES] == [12.5, 15, 17.5]
    moments = [DAY + dt.timedelta(seconds=s) for s in (0, 90, 0, 30)]
    clicks = {"session_id": [1, 1, 2, 2], "timestamp": moments, "event": ["cart", "buy", "cart", "buy"]}
    (row,) = rows_of(sequence_rules(frequent_sequences(pd.DataFrame(clicks), 2, by="session_id")).to_frame())
    assert row["text"] == "cart => buy"
    assert row["median_seconds_between"] == 60


# -- choosing ----------------------------------------------------------------------------------------------------------


def test_narrowed_by_measures_and_consequents():
    rules = rules_of(OFFICE)
    assert repr(rules) == "SequenceRules: 8 rules from 12 patterns of product_id of 5 customers (.to_frame(), .top(10))"
    texts = rules.texts().tolist()
    lifts = rules.measure("lift")
    assert list(lifts) == sorted(lifts, reverse=True)
    assert texts[:2] == ["printer => paper", "printer => ink + paper"]  # among equals the shorter
    assert (
        sequence_rules(rules.patterns, min_confidence=0, min_lift=1.2).texts().tolist() == texts[: (lifts >= 1.2).sum()]
    )
    only = sequence_rules(rules.patterns, min_confidence=0, consequent=["printer"])
    assert {text.split(" => ")[1] for text in only.texts()} == {"printer"}
    assert sequence_rules(rules.patterns, min_confidence=0, consequent="paper").texts().tolist() == ["printer => paper"]
    best = rules.top(1, by="confidence")
    assert best.texts().tolist() == ["printer > printer => ink"]  # 1 of 1
    assert rules.at_least(order_lift=1.5).texts().tolist().count("ink => printer") == 0
    assert rules.measure("support").max() == 0.6


def test_the_order_of_rows_changes_nothing():
    lines = pd.DataFrame(lines_of(OFFICE))
    tables = [
        records(sequence_rules(frequent_sequences(table, 1), min_confidence=0).to_frame())
        for table in (lines, lines.sample(frac=1, random_state=3))
    ]
    assert tables[0] == tables[1]


def test_rules_that_lead_to_nothing_new_may_go():
    rules = rules_of(OFFICE)
    assert "ink => ink" in rules.texts()
    without = sequence_rules(rules.patterns, min_confidence=0, repeats=False)
    gone = set(rules.texts()) - set(without.texts())
    assert gone == {"ink => ink", "printer => printer", "printer > ink => ink"}
    mixed = sequence_rules(rules.patterns, min_confidence=0, repeats=False, consequent=["ink", "paper"])
    assert "printer => ink + paper" in mixed.texts()
    assert len(sequence_rules(frequent_sequences(pd.DataFrame(lines_of(OFFICE)), 99), repeats=False)) == 0


def test_closed_patterns_make_rules_with_the_same_counts():
    every = {row["text"]: row for row in rows_of(rules_of(OFFICE).to_frame())}
    for row in rows_of(rules_of(OFFICE, kind="closed").to_frame()):
        assert row == every[row["text"]]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"min_confidence": 1.2}, r"sequence_rules: min_confidence must be a share between 0 and 1.*got 1.2"),
        ({"min_lift": -1}, r"min_lift must be a number of zero or more, got -1"),
        ({"consequent": "inc"}, r"consequent='inc' is no product_id of these sequences. Did you mean 'ink'\?"),
        ({"consequent": 12}, r"consequent=12 is no product_id.*Give one id or a list of ids, which are text here"),
        ({"consequent": [["ink"]]}, r"consequent=\['ink'\] is no product_id"),
    ],
)
def test_refusals_say_what_to_type(arguments, text):
    patterns = frequent_sequences(pd.DataFrame(lines_of(OFFICE)), 1)
    with pytest.raises(SchemaError, match=text):
        sequence_rules(patterns, **arguments)


def test_refuses_what_is_no_pattern_and_no_measure():
    rules = rules_of(OFFICE)
    with pytest.raises(SchemaError, match=r"expected SequencePatterns, got DataFrame. Give what frequent_sequences"):
        sequence_rules(rules.patterns.to_frame())
    with pytest.raises(SchemaError, match=r"name must be one of \['support', 'confidence', 'lift', 'order_lift'\]"):
        rules.measure("leverage")
    with pytest.raises(SchemaError, match=r"SequenceRules.top: by must be one of \['support'.*got 'leverage'"):
        rules.top(3, by="leverage")
    with pytest.raises(SchemaError, match=r"median_days_between is no measure but a column.*after to_frame\(\)"):
        rules.at_least(median_days_between=10)
    with pytest.raises(
        SchemaError, match=r"expected SequenceRules, got SequencePatterns. Type sequence_rules\(patterns"
    ):
        significant_sequence_rules(rules.patterns, lines_of(OFFICE))
    with pytest.raises(SchemaError, match=r"expected SequenceRules, got DataFrame. Give the rules before .to_frame"):
        significant_sequence_rules(rules.to_frame(), lines_of(OFFICE))


# -- is the order more than chance? ------------------------------------------------------------------------------------

elements = st.sets(st.sampled_from("abc"), min_size=1, max_size=2).map(frozenset)


@given(days=st.lists(elements, min_size=1, max_size=6), pattern=st.lists(elements, min_size=2, max_size=3))
def test_days_in_any_order_hold_a_pattern_as_often_with_its_last_element_first(days, pattern):
    """The null hypothesis of the sign test, counted over all orders of the days."""
    forward, backward = pattern, [pattern[-1], *pattern[:-1]]
    orders = [list(enumerate(order)) for order in itertools.permutations(days)]
    assert sum(holds(forward, order) for order in orders) == sum(holds(backward, order) for order in orders)


@given(days=st.lists(st.tuples(st.integers(0, 12), elements), min_size=1, max_size=6))
@settings(max_examples=20)
@pytest.mark.parametrize("limits", [{"max_gap": "3d"}, {"window": "6d"}, {"min_gap": "2d"}])
def test_a_history_that_runs_backwards_holds_a_rule_as_often_turned_round(limits, days):
    """The null hypothesis with limits of time: gaps stay as they are."""
    there = merged(days)
    back = [(12 - day, items) for day, items in reversed(there)]
    rules = rules_of([there, back], max_len=4, **limits)
    orders = orders_of(rules, rules.patterns.sequences)
    assert orders.forward.tolist() == orders.backward.tolist()


def once_and_often(rng, count, item_ids):
    """Customers who buy a on one day of the year, b and c on nine days each, in any order."""
    days = np.sort(rng.permuted(np.tile(np.arange(365), (count, 1)), axis=1)[:, :19])
    codes = [item_ids.tolist().index(item_id) for item_id in "a" + 9 * "b" + 9 * "c"]
    items = rng.permuted(np.tile(np.array(codes, np.int32), (count, 1)), axis=1)
    starts = np.arange(count + 1) * 19
    return Sequences(starts, np.arange(starts[-1] + 1), items.ravel(), days.ravel(), np.arange(count), item_ids)


@pytest.mark.parametrize("limits", [{"window": "60d"}, {"max_gap": "30d"}, {}])
def test_how_often_things_are_bought_is_no_order(limits):
    """With limits of time the consequent in front of the antecedent is no fair comparison."""
    rng = np.random.default_rng(3)
    alphabet = [[(day, {item}) for day, item in enumerate("abcabcabcabc")]]
    rules = rules_of(alphabet, 1, max_len=3, max_element_len=1, **limits)
    orders = orders_of(rules, once_and_often(rng, 20_000, rules.patterns.item_ids))
    p_value = sign_test(orders)[orders.forward_only + orders.backward_only > 0]
    assert len(p_value) >= 20
    assert p_value.min() * len(p_value) > 0.05


def test_a_rule_that_reads_the_same_backwards_is_not_tested():
    again = [[(0, {"tea"}), (1, {"tea"})]] * 6
    holdout = pd.DataFrame(lines_of(OFFICE + again, first=50))
    for limits, palindromes in (({}, set()), ({"max_gap": "40d"}, {"tea > jam => tea"})):
        sequences = [[(0, {"tea"}), (1, {"tea"}), (2, {"jam"}), (4, {"tea"})]] * 3
        rows = rows_of(significant_sequence_rules(rules_of(sequences, 3, max_len=3, **limits), holdout))
        untested = {row["text"] for row in rows if row["p_value"] is None}
        assert untested == {"tea => tea", "tea > tea => tea"} | palindromes
        assert not any(row["is_significant"] or row["adjusted_p_value"] for row in rows if row["text"] in untested)
    only = rules_of([[(0, {"tea"}), (1, {"tea"}), (2, {"ink"})]] * 3, 3, max_len=2)
    six = lines_of([[(0, {"tea"}), (1, {"ink"})]] * 6, first=50)
    (row, other) = rows_of(significant_sequence_rules(only, pd.DataFrame(six)))
    assert (row["text"], other["text"]) == ("tea => ink", "tea => tea")
    assert row["adjusted_p_value"] == row["p_value"] == pytest.approx(2**-6)  # one test


def test_the_p_value_is_that_of_a_fair_coin():
    numbers = np.array([10, 5, 0, 7])
    orders = Orders(forward=numbers + 3, backward=np.array([2, 5, 0, 0]) + 3, both=np.full(4, 3))
    expected = [
        sum(comb(12, k) for k in range(10, 13)) / 2**12,
        sum(comb(10, k) for k in range(5, 11)) / 2**10,
        1,
        2**-7,
    ]
    assert sign_test(orders) == pytest.approx(expected, rel=1e-12)


def random_customers(rng, count, *, planted=False):
    """Customers with habits of their own and days in any order; a third buy printers, then ink, if planted."""
    items, sequences = list("abcdefgh"), []
    for _ in range(count):
        taste = rng.dirichlet(np.full(len(items), 0.7))
        days = [set(rng.choice(items, size=rng.integers(1, 4), p=taste).tolist()) for _ in range(rng.integers(2, 9))]
        if planted and rng.random() < 1 / 3:
            first, second = sorted(rng.choice(len(days), size=2, replace=False))
            days[first].add("printer")
            days[second].add("ink")
        sequences.append(list(zip(np.sort(rng.choice(90, size=len(days), replace=False)).tolist(), days, strict=True)))
    return sequences


@pytest.mark.parametrize("max_gap", [None, "20d"])
def test_chance_passes_no_more_often_than_alpha(max_gap):
    rng, p_values = np.random.default_rng(5), []
    rules = rules_of(random_customers(rng, 300), 10, max_len=3, max_gap=max_gap)
    for _ in range(20):
        table = Transactions(pd.DataFrame(lines_of(random_customers(rng, 300))))
        orders = orders_of(rules, read(table, rules.patterns.layout, known=rules.patterns.item_ids, caller="test"))
        p_values.append(sign_test(orders)[orders.forward_only + orders.backward_only >= 20])
    p_values = np.concatenate(p_values)
    assert len(p_values) > 500
    assert 0.025 < (p_values <= 0.05).mean() < 0.055
    assert (p_values <= 0.5).mean() < 0.6


@IN_MEMORY
def test_the_planted_order_is_found_and_nothing_else(frame):
    rng = np.random.default_rng(8)
    explore, holdout = random_customers(rng, 300, planted=True), random_customers(rng, 300, planted=True)
    rules = rules_of(explore, 20, max_len=2)
    assert len(rules) > 50
    lines = frame(lines_of(holdout, first=1000))
    tested = significant_sequence_rules(rules, lines)
    assert type(tested) is type(lines)
    rows = rows_of(tested)
    assert list(rows[0]) == [*COLUMNS, "forward_only_count", "reverse_only_count", "p_value", "adjusted_p_value",
                             "is_significant"]  # fmt: skip
    assert rows[0]["text"] == "printer => ink"
    about = [row["text"] for row in rows if row["is_significant"]]  # who buys ink late buys other things before it
    assert all("printer" in text or "ink" in text for text in about)
    pattern = (frozenset(["printer"]), frozenset(["ink"]))
    count = sum(holds(pattern, sequence) for sequence in holdout)
    assert (rows[0]["sequence_count"], rows[0]["forward_only_count"], rows[0]["reverse_only_count"]) == (
        count,
        count,
        0,
    )
    assert rows[0]["order_lift"] == float("inf")
    assert rows[0]["confidence"] == count / rows[0]["antecedent_count"]
    assert all(row["adjusted_p_value"] >= row["p_value"] for row in rows if row["p_value"] is not None)


def test_the_holdout_is_counted_for_itself_and_its_items_may_be_others():
    rules = rules_of(OFFICE, 3)
    holdout = lines_of([[(0, {"printer"}), (1, {"glue"}), (2, {"ink"})], [(0, {"glue"})]], first=50)
    (row,) = rows_of(significant_sequence_rules(rules, pd.DataFrame(holdout), correction="benjamini_hochberg"))
    assert [row[name] for name in COLUMNS[3:7]] == [1, 1, 1, 0]
    assert row["lift"] == 2  # two customers, glue or not
    assert (row["p_value"], row["is_significant"]) == (0.5, False)
    absent = pd.DataFrame(lines_of([[(0, {"glue"})]], first=50))
    (row,) = rows_of(significant_sequence_rules(rules, absent))
    assert (row["sequence_count"], row["confidence"], row["lift"], row["order_lift"]) == (0, None, None, None)
    assert row["p_value"] == 1


def test_customers_the_rules_were_found_in_confirm_nothing():
    lines = pd.DataFrame(lines_of(OFFICE))
    rules = sequence_rules(frequent_sequences(lines, 1))
    with pytest.raises(SchemaError, match=r"5 of the 5 customers of holdout are among those the rules were found in"):
        significant_sequence_rules(rules, lines)
    split = split_by_customer(lines)
    rules = sequence_rules(frequent_sequences(split.explore, 1))
    assert len(significant_sequence_rules(rules, split.holdout)) == len(rules)
    with pytest.raises(SchemaError, match=r"correction must be one of \['holm', 'benjamini_hochberg'\], got 'none'"):
        significant_sequence_rules(rules, split.holdout, correction="none")
    with pytest.raises(SchemaError, match=r"alpha must be a fraction between 0 and 1"):
        significant_sequence_rules(rules, split.holdout, alpha=5)


# -- Spark, and the picture --------------------------------------------------------------------------------------------


@pytest.mark.spark
@pytest.mark.xdist_group("spark")
def test_rules_of_spark_have_counts_and_no_times():
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("PySpark needs Java")
    rules = sequence_rules(frequent_sequences(make_frame(lines_of(OFFICE), "pyspark"), 3))
    (row,) = records(rules.to_frame())
    assert row[2:] == ("printer => ink", 3, 4, 5, None, 0.75, pytest.approx(0.75), None, None, None, None)
    for ask in (lambda: rules.at_least(order_lift=1), lambda: rules.top(1, by="order_lift")):
        with pytest.raises(SchemaError, match=r"SequenceRules.*: order_lift is not known where Spark mined\. Collect"):
            ask()
    with pytest.raises(SchemaError, match=r"the time between is not known where Spark mined\. Collect the lines first"):
        plot_sequence_rules(rules)


def test_the_plot_shows_how_soon_and_how_sure():
    ax = plot_sequence_rules(rules_of(OFFICE, 3), names={"ink": "Ink 12"})
    points, lines = ax.collections[1], ax.collections[0]
    assert points.get_offsets().tolist() == [[20, 0]]
    assert lines.get_segments()[0].tolist() == [[15, 0], [30, 0]]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["printer => Ink 12"]
    assert [text.get_text() for text in ax.texts] == ["Confidence\n(customers)", "75% (3)"]
    assert ax.get_xlabel().startswith("Days")
    assert len(plot_sequence_rules(rules_of(OFFICE), n=2).texts) == 3
    with pytest.raises(SchemaError, match="plot_sequence_rules: there are no rules to draw"):
        plot_sequence_rules(rules_of(OFFICE, 99))


def test_the_plot_of_clicks_chooses_a_readable_unit():
    moments = [DAY + dt.timedelta(seconds=s) for s in (0, 600, 0, 1800)]
    clicks = {"session_id": [1, 1, 2, 2], "timestamp": moments, "event": ["cart", "buy", "cart", "buy"]}
    ax = plot_sequence_rules(sequence_rules(frequent_sequences(pd.DataFrame(clicks), 2, by="session_id")))
    assert ax.collections[1].get_offsets().tolist() == [[20, 0]]
    assert ax.get_xlabel().startswith("Minutes")
