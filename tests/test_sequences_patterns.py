"""What frequent_sequences promises: exact counts within the limits of time, the same on every frame."""

import datetime as dt
import pickle
import shutil
import warnings

import narwhals.stable.v2 as nw
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from _reference_sequences import closed_of, maximal_of, patterns_of
from crmlytics import Events, Transactions
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, ResultTooLargeError, SchemaError
from crmlytics.sequences._plots import plot_sequences
from crmlytics.sequences.patterns import frequent_sequences, pattern_features
from crmlytics.testing import FRAME_KINDS, make_frame, records

DAY = dt.datetime(2024, 1, 1)
# SPMF's contextPrefixSpan, a day an element
PREFIX_SPAN = [
    [{1}, {1, 2, 3}, {1, 3}, {4}, {3, 6}],
    [{1, 4}, {3}, {2, 3}, {1, 5}],
    [{5, 6}, {1, 2}, {4, 6}, {3}, {2}],
    [{5}, {7}, {1, 6}, {3}, {2}, {3}],
]
# Three customers; ann's second printer comes on the day of her ink
OFFICE = [
    [(0, {"printer"}), (30, {"ink", "paper"})],
    [(0, {"printer"}), (31, {"ink"}), (40, {"paper"})],
    [(0, {"ink"}), (5, {"printer"})],
]
IN_MEMORY = pytest.mark.parametrize("kind", [kind for kind in FRAME_KINDS if kind != "pyspark"])  # Spark is slow
histories = st.lists(
    st.lists(st.tuples(st.integers(0, 12), st.sets(st.sampled_from("abcd"), min_size=1, max_size=3)), max_size=5),
    min_size=1,
    max_size=7,
)


def lines_of(sequences):
    """One row a customer, day and item, of sequences of (day, items); each day is one order."""
    rows = [
        (customer, 100 * customer + place, DAY + dt.timedelta(days=day), item)
        for customer, sequence in enumerate(sequences)
        for place, (day, items) in enumerate(sequence)
        for item in sorted(items)
    ]
    return dict(zip(["customer_id", "order_id", "timestamp", "product_id"], map(list, zip(*rows, strict=True)),
                    strict=True))  # fmt: skip


def with_days(sequences):
    return [list(enumerate(sequence)) for sequence in sequences]


def plain(nested):
    return [plain(part) for part in nested] if hasattr(nested, "__len__") and not isinstance(nested, str) else nested


def found(patterns):
    """Pattern -> count, of the table that goes out."""
    rows = records(patterns.to_frame())
    answer = {tuple(frozenset(plain(element)) for element in row[0]): row[4] for row in rows}
    assert len(answer) == len(rows) == len(patterns)
    return answer


def merged(history):
    """What was bought on one day is one element."""
    days = {}
    for day, items in history:
        days.setdefault(day, set()).update(items)
    return sorted(days.items())


# -- what it returns ---------------------------------------------------------------------------------------------------


def test_the_table_by_hand_on_every_frame_and_of_the_kind_that_came_in(frame):
    lines = frame(lines_of(OFFICE))
    table = frequent_sequences(lines, min_support=2).to_frame()
    assert type(table) is type(lines)
    assert [(plain(pattern), *rest) for pattern, *rest in records(table)] == [
        ([["ink"]], "ink", 1, 1, 3, 1.0),
        ([["printer"]], "printer", 1, 1, 3, 1.0),
        ([["paper"]], "paper", 1, 1, 2, 2 / 3),
        ([["printer"], ["paper"]], "printer > paper", 2, 2, 2, 2 / 3),  # rare items first
        ([["printer"], ["ink"]], "printer > ink", 2, 2, 2, 2 / 3),
    ]


@IN_MEMORY
def test_dtypes_are_the_same_where_nothing_is_found(frame):
    for min_support in (2, 99):
        table = frequent_sequences(frame(lines_of(OFFICE)), min_support).to_frame()
        schema = nw.from_native(table).collect_schema()
        kinds = {name: str(kind) for name, kind in schema.items() if name != "pattern"}
        assert kinds == {"text": "String", "length": "Int64", "element_count": "Int64", "sequence_count": "Int64",
                         "support": "Float64"}  # fmt: skip
        assert schema["pattern"] == nw.List(nw.List(nw.String))


def test_ids_stay_numbers_and_stand_in_order_within_an_element():
    table = frequent_sequences(pd.DataFrame(lines_of(with_days(PREFIX_SPAN))), 1, max_len=3).to_frame()
    patterns = [plain(pattern) for pattern in table["pattern"]]
    assert [[1, 2, 3]] in patterns
    assert [[1, 2], [4]] in patterns
    assert all(element == sorted(element) for pattern in patterns for element in pattern)
    assert table.loc[patterns.index([[1, 2], [4]]), "text"] == "1 + 2 > 4"


def test_names_are_for_reading_and_ids_stay():
    patterns = frequent_sequences(pd.DataFrame(lines_of(OFFICE)), 2, min_len=2)
    table = patterns.to_frame(names={"printer": "Laser 3000"})
    assert table["text"].tolist() == ["Laser 3000 > paper", "Laser 3000 > ink"]
    assert plain(table["pattern"][0]) == [["printer"], ["paper"]]


def test_says_how_many_there_are():
    patterns = frequent_sequences(pd.DataFrame(lines_of(OFFICE)), 2, kind="closed")
    assert repr(patterns) == (
        "SequencePatterns: 4 closed patterns of product_id in at least 2 of 3 customers (.to_frame())"
    )
    assert len(pickle.loads(pickle.dumps(patterns))) == 4  # noqa: S301  our own
    assert records(patterns.top(1).to_frame()) == records(patterns.to_frame())[:1]


# -- counts ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("min_support", "kind", "number"),
    [(0.5, "all", 53), (0.5, "closed", 17), (0.5, "maximal", 10), (0.75, "all", 14), (2, "all", 53), (3, "all", 14)],
)
def test_the_published_numbers_of_prefix_span(min_support, kind, number):
    lines = pd.DataFrame(lines_of(with_days(PREFIX_SPAN)))
    patterns = found(frequent_sequences(lines, min_support, kind=kind))
    assert len(patterns) == number
    sequences = with_days(PREFIX_SPAN)
    expected = patterns_of(sequences, 3 if min_support in {0.75, 3} else 2)
    kinds = {"all": dict, "closed": closed_of, "maximal": maximal_of}
    assert patterns == kinds[kind](expected)


@given(
    drawn=histories,
    min_count=st.integers(1, 4),
    lengths=st.sampled_from([(None, None), (1, None), (2, None), (3, None), (3, 1), (None, 2)]),
    kind=st.sampled_from(["all", "closed", "maximal"]),
)
@settings(max_examples=25)
def test_counts_are_those_of_the_definition(drawn, min_count, lengths, kind):
    sequences = [merged(history) for history in drawn if history]
    if not sequences:
        return
    every, (most, size) = patterns_of(sequences, min_count), lengths
    expected = {"all": dict, "closed": closed_of, "maximal": maximal_of}[kind](every)  # judged by long ones, too
    expected = {
        p: n for p, n in expected.items() if sum(map(len, p)) <= (most or 99) and max(map(len, p)) <= (size or 99)
    }
    lines = pd.DataFrame(lines_of(sequences))
    assert found(frequent_sequences(lines, min_count, max_len=most, max_element_len=size, kind=kind)) == expected


@given(drawn=histories, least=st.sampled_from([None, 1, 3]), most=st.sampled_from([None, 3, 6]),
       window=st.sampled_from([None, 4, 8]), size=st.sampled_from([None, 1, 2]))  # fmt: skip
@settings(max_examples=25)
def test_limits_of_time_are_kept_to_the_day(drawn, least, most, window, size):
    sequences = [merged(history) for history in drawn if history]
    if not sequences:
        return
    days = {"min_gap": least, "max_gap": most, "window": window}
    given_limits = {name: None if value is None else f"{value}d" for name, value in days.items()}
    lines = pd.DataFrame(lines_of(sequences))
    patterns = frequent_sequences(lines, 1, max_element_len=size, max_len=4, **given_limits)
    limits = tuple(-1 if value is None else value for value in days.values())
    expected = patterns_of(sequences, 1, limits, max_len=4)
    assert found(patterns) == {p: n for p, n in expected.items() if max(map(len, p)) <= (size or 9)}


def test_thirty_days_are_in_and_thirty_one_out():
    lines = pd.DataFrame(lines_of(OFFICE))
    pair = (frozenset(["printer"]), frozenset(["ink"]))
    assert found(frequent_sequences(lines, 1, max_gap="30d"))[pair] == 1
    assert found(frequent_sequences(lines, 1, max_gap="31d"))[pair] == 2
    assert found(frequent_sequences(lines, 1, min_gap="31d"))[pair] == 1
    chain = (*pair, frozenset(["paper"]))
    assert chain not in found(frequent_sequences(lines, 1, window="39d"))
    assert found(frequent_sequences(lines, 1, window="40d"))[chain] == 1


def test_days_are_calendar_days_whatever_the_hour():
    late, early = dt.datetime(2024, 1, 1, 23, 59), dt.datetime(2024, 1, 31, 0, 1)
    lines = {"customer_id": [1, 1], "order_id": [1, 2], "timestamp": [late, early], "product_id": ["a", "b"]}
    assert len(frequent_sequences(pd.DataFrame(lines), 1, min_gap="30d", min_len=2)) == 1
    assert len(frequent_sequences(pd.DataFrame(lines), 1, max_gap="29d", min_len=2)) == 0


def test_a_day_is_one_element_and_orders_are_several():
    hours = [DAY + dt.timedelta(hours=hour) for hour in (9, 17)]
    lines = pd.DataFrame({"customer_id": [1, 1], "order_id": [8, 2], "timestamp": hours, "product_id": ["a", "b"]})
    together = (frozenset("ab"),)
    assert together in found(frequent_sequences(lines, 1))
    by_order = found(frequent_sequences(lines, 1, element="order_id"))
    assert set(by_order) == {(frozenset("a"),), (frozenset("b"),), (frozenset("a"), frozenset("b"))}


def test_what_was_returned_was_not_bought():
    lines = pd.DataFrame({"customer_id": [1] * 3, "order_id": [1, 2, 2], "product_id": ["a", "b", "b"],
                          "timestamp": [DAY, DAY + dt.timedelta(3), DAY + dt.timedelta(3)],
                          "quantity": [1, 2, -2]})  # fmt: skip
    assert set(found(frequent_sequences(lines, 1))) == {(frozenset("a"),)}


def test_nothing_at_or_after_as_of_is_read():
    lines = pd.DataFrame(lines_of(OFFICE))
    later = lines.assign(timestamp=DAY + dt.timedelta(days=30), product_id="poison")
    poisoned = pd.concat([lines, later], ignore_index=True)
    as_of = DAY + dt.timedelta(days=30)
    before = found(frequent_sequences(lines[lines["timestamp"] < as_of], 1))
    assert found(frequent_sequences(poisoned, 1, as_of=as_of)) == before
    assert found(frequent_sequences(lines, 1)) != before


@given(seed=st.integers(0, 10))
@settings(max_examples=5)
def test_the_order_of_rows_changes_nothing(seed):
    lines = pd.DataFrame(lines_of(with_days(PREFIX_SPAN)))
    shuffled = lines.sample(frac=1, random_state=seed)
    for limits in ({}, {"max_gap": "2d"}):
        one, other = (frequent_sequences(table, 2, **limits).to_frame() for table in (lines, shuffled))
        assert records(one) == records(other)


def test_top_k_are_the_most_frequent_of_the_kind():
    lines = pd.DataFrame(lines_of(with_days(PREFIX_SPAN)))
    for kind in ("all", "closed"):
        every = records(frequent_sequences(lines, 1, kind=kind, min_len=2, max_len=4).to_frame())
        best = records(frequent_sequences(lines, top_k=12, kind=kind, min_len=2, max_len=4).to_frame())
        assert [row[4] for row in best] == [row[4] for row in every[:12]]
        assert {row[1] for row in best} <= {row[1] for row in every}
    assert len(frequent_sequences(lines, 2, top_k=3, kind="maximal")) == 3


def test_of_the_top_k_is_told_what_the_last_one_has():
    patterns = frequent_sequences(pd.DataFrame(lines_of(OFFICE)), top_k=2)
    assert repr(patterns).startswith("SequencePatterns: 2 patterns of product_id in at least 3 of 3 customers")
    assert frequent_sequences(pd.DataFrame(lines_of(OFFICE)), 2, top_k=99).min_count == 2


def test_items_are_ranked_by_those_who_hold_them_not_by_lines():
    sequences = [[(0, {"a"}), (1, {"a"}), (2, {"a"})], [(0, {"b"})], [(0, {"b", "c"})], [(0, {"c"})]]
    patterns = frequent_sequences(pd.DataFrame(lines_of(sequences)), 1, max_len=1)
    assert patterns.item_ids.tolist() == ["a", "b", "c"]  # one, two and two customers; a in most elements


# -- events ------------------------------------------------------------------------------------------------------------

CLICKS = {
    "customer_id": [1, 1, 1, 1, 2, 2],
    "session_id": ["s1", "s1", "s1", "s2", "s3", "s3"],
    "timestamp": [DAY + dt.timedelta(minutes=m) for m in (0, 30, 61, 3000, 0, 0)],
    "event": ["home", "cart", "buy", "home", "cart", "home"],
    "page": ["/", "/cart", "/buy", "/", "/cart", "/"],
}


@IN_MEMORY
def test_events_are_elements_by_customer_or_session(frame):
    events = frame(CLICKS)
    table = frequent_sequences(events, 2, by="session_id").to_frame()
    assert type(table) is type(events)
    assert [(row[1], row[4], row[5]) for row in records(table)] == [("home", 3, 1.0), ("cart", 2, 2 / 3)]
    texts = {row[1]: row[4] for row in records(frequent_sequences(events, 1).to_frame())}
    assert texts["home > cart > buy > home"] == 1
    assert texts["cart > home"] == 1  # not customer 2, of the same moment
    assert texts["cart + home"] == 1


def test_gaps_between_events_are_exact_to_the_second():
    events = Events(pd.DataFrame(CLICKS), event="event")
    texts = {row[1] for row in records(frequent_sequences(events, 1, by="session_id", max_gap="30m").to_frame())}
    assert {"home > cart", "cart + home"} <= texts
    assert "cart > buy" not in texts  # 31 minutes
    longer = frequent_sequences(events, 1, by="session_id", max_gap="1860s", item="page")
    assert "/cart > /buy" in {row[1] for row in records(longer.to_frame())}
    assert repr(longer).endswith("patterns of page in at least 1 of 3 sessions (.to_frame())")


# -- features ----------------------------------------------------------------------------------------------------------


@IN_MEMORY
def test_features_say_who_holds_what_on_every_frame(frame):
    patterns = frequent_sequences(pd.DataFrame(lines_of(OFFICE)), 1, min_len=2, max_gap="30d")
    lines = frame(lines_of([*OFFICE, [(0, {"glue"})]]))
    table = pattern_features(patterns, lines, as_of=DAY + dt.timedelta(days=99))
    assert type(table) is type(lines)
    frame_ = nw.from_native(table).lazy().collect()
    assert frame_["customer_id"].to_list() == [0, 1, 2, 3]  # who holds nothing known is there, too
    assert frame_["printer > ink"].to_list() == [True, False, False, False]
    assert frame_["ink > printer"].to_list() == [False, False, True, False]
    assert frame_.schema["printer > ink"] == nw.Boolean


@IN_MEMORY
def test_who_holds_no_item_is_no_sequence_and_has_features(frame):
    lines = frame({"customer_id": ["a", "a", "b", "c", None], "order_id": [1, 2, 3, 4, 5],
                   "timestamp": [DAY + dt.timedelta(days=d) for d in range(5)],
                   "product_id": ["x", "y", None, "x", "x"], "quantity": [1, 1, 1, -1, 1]})  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataQualityWarning)
        patterns = frequent_sequences(lines, 1, min_len=2)
        features = [pattern_features(patterns, lines, as_of=DAY + dt.timedelta(days=days)) for days in (9, 2)]
    assert patterns.sequence_count == 1
    assert records(features[0]) == [("a", True), ("b", False), ("c", False)]
    assert records(features[1]) == [("a", True)]


def test_features_do_not_know_the_future():
    lines = pd.DataFrame(lines_of(OFFICE))
    patterns = frequent_sequences(lines, 1, min_len=2)
    features = pattern_features(patterns, lines, as_of=DAY + dt.timedelta(days=31))
    assert features["printer > ink"].tolist() == [True, False, False]
    assert pattern_features(patterns, lines, as_of=DAY + dt.timedelta(days=1))["printer > ink"].sum() == 0


def test_features_of_sessions():
    events = pd.DataFrame(CLICKS)
    patterns = frequent_sequences(events, 1, by="session_id", min_len=2, max_len=2)
    other = events.assign(event=["quit"] * 3 + list(events["event"][3:]))
    table = pattern_features(patterns, other, as_of="2024-02-01", names={"cart": "basket"})
    assert table["session_id"].tolist() == ["s1", "s2", "s3"]
    assert table["basket + home"].tolist() == [False, False, True]


def test_features_refuse_what_is_no_handful():
    lines = pd.DataFrame(lines_of(OFFICE))
    patterns = frequent_sequences(lines, 1)
    with pytest.raises(SchemaError, match=r"pattern_features: expected SequencePatterns, got DataFrame"):
        pattern_features(patterns.to_frame(), lines, as_of="2025-01-01")
    many = frequent_sequences(pd.DataFrame(lines_of([[(d, set("abcdefg")) for d in range(2)]])), 1)
    with pytest.raises(SchemaError, match=r"patterns would be as many columns. Choose: patterns.top\(30\)"):
        pattern_features(many, lines, as_of="2025-01-01")
    alike = frequent_sequences(pd.DataFrame(lines_of([[(0, {"a"}), (1, {"b"})], [(0, {"a > b"})]])), 1)
    with pytest.raises(SchemaError, match=r"some patterns read alike. Give items other names"):
        pattern_features(alike, lines, as_of="2025-01-01")


# -- refusals ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({}, r"frequent_sequences: give min_support, such as min_support=0.01 \(of all customers\)"),
        ({"min_support": 1.5}, r"min_support must be a whole number of customers.*got 1.5"),
        ({"min_support": 0}, r"min_support must be a whole number.*got 0"),
        ({"min_support": 2, "kind": "closd"}, r"kind must be one of .*Did you mean 'closed'"),
        ({"min_support": 2, "max_len": 1, "min_len": 2}, r"max_len must be a whole number of at least 2"),
        ({"min_support": 2, "max_element_len": 0}, r"max_element_len must be a whole number of at least 1"),
        ({"top_k": 2, "kind": "maximal"}, r"what is maximal depends on min_support"),
        (
            {"min_support": 2, "max_gap": 30},
            r'max_gap must be a duration in days or weeks such as max_gap="30d".*got 30',
        ),
        ({"min_support": 2, "max_gap": "30 minutes"}, r"max_gap must be a duration in days or weeks.*got .30 minutes"),
        ({"min_support": 2, "min_gap": "9d", "max_gap": "8d"}, r"min_gap='9d' is longer than max_gap='8d'"),
        ({"min_support": 2, "min_gap": "9d", "window": "8d"}, r"min_gap='9d' is longer than window='8d'"),
        ({"min_support": 2, "by": "session_id"}, r"by='session_id' is for Events\(...\)"),
        ({"min_support": 2, "element": "week"}, r"element must be one of \['day', 'order_id'\], got 'week'"),
        ({"min_support": 2, "item": "category"}, r"needs \['category'\]"),
        (
            {"min_support": 2, "item": "StockCode"},
            r"got 'StockCode'.*bind it: Transactions\(data, product_id='StockCode'",
        ),
    ],
)
def test_refusals_say_what_to_type(arguments, text):
    with pytest.raises((SchemaError, MissingColumnsError), match=text):
        frequent_sequences(pd.DataFrame(lines_of(OFFICE)), **arguments)


def test_events_refuse_what_is_for_order_lines():
    events = pd.DataFrame(CLICKS)
    with pytest.raises(SchemaError, match=r"element='day' is for order lines; events of a moment are one"):
        frequent_sequences(events, 1, element="day")
    with pytest.raises(SchemaError, match=r"by must be one of \['customer_id', 'session_id'\]"):
        frequent_sequences(events, 1, by="visitor")
    with pytest.raises(SchemaError, match=r'max_gap must be a duration such as max_gap="90s"'):
        frequent_sequences(events, 1, max_gap="soon")


def test_too_many_patterns_are_an_error_that_says_what_to_tighten():
    lines = pd.DataFrame(lines_of([[(day, set("abcdefgh")) for day in range(9)]]))
    with pytest.raises(
        ResultTooLargeError, match=r"in at least 1 of 1 sequences need more than max_memory=5 MB.*max_gap"
    ):
        frequent_sequences(lines, 1, max_memory="5MB")
    with pytest.raises(
        ResultTooLargeError, match=r"among which the top_k=9 are looked for.*or a top_k below 9; or give"
    ):
        frequent_sequences(lines, 1, top_k=9, min_len=9, max_memory="5MB")


@pytest.mark.parametrize("limits", [{}, {"max_gap": "9d"}])
def test_memory_is_counted_as_the_table_takes_it(limits):
    """At 13 bytes each 65,535 patterns would do."""
    lines = pd.DataFrame(lines_of([[(0, {f"{n:02}" for n in range(16)})]]))
    assert len(frequent_sequences(lines, 1, max_memory="50MB", **limits)) == 2**16 - 1
    with pytest.raises(ResultTooLargeError, match="max_memory=9 MB"):
        frequent_sequences(lines, 1, max_memory="9MB", **limits)


def test_data_without_a_purchase_warn():
    lines = pd.DataFrame(lines_of(OFFICE)).assign(quantity=-1)
    with pytest.warns(DataQualityWarning, match="there is no sequence: no line with product_id is left"):
        assert len(frequent_sequences(Transactions(lines), 1)) == 0


# -- Spark -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def spark_frame():
    pytest.importorskip("pyspark")
    if shutil.which("java") is None:
        pytest.skip("PySpark needs Java")
    return lambda columns: make_frame(columns, "pyspark")


LONG = [[(day, {"a"}) for day in range(12)], [(day, {"a", "b"}) for day in range(12)]]


@pytest.mark.spark
@pytest.mark.xdist_group("spark")
def test_spark_mines_the_same_with_its_own_library(spark_frame):
    lines = lines_of(with_days(PREFIX_SPAN))
    for arguments in (
        {"min_support": 0.5}, {"min_support": 2, "kind": "maximal"},
        {"min_support": 2, "element": "order_id", "max_element_len": 1, "min_len": 2, "max_len": 3, "kind": "closed"},
    ):  # fmt: skip
        here, there = (frequent_sequences(make(lines), **arguments) for make in (pd.DataFrame, spark_frame))
        assert found(there) == found(here)
        assert there.min_count == here.min_count
    longest = frequent_sequences(spark_frame(lines_of(LONG)), 2)
    assert max(row[2] for row in records(longest.to_frame())) == 12  # not ten, MLlib's own default
    assert len(frequent_sequences(spark_frame(lines), 99)) == 0  # MLlib takes no share above one
    ranked = {"min_support": 2, "top_k": 20, "min_len": 2}
    here, there = (frequent_sequences(make(lines), **ranked) for make in (pd.DataFrame, spark_frame))
    assert records(there.to_frame()) == records(here.to_frame())  # the same of those that are equally frequent
    assert there.min_count == here.min_count
    clicks = frequent_sequences(spark_frame(CLICKS), 1, by="session_id", as_of=DAY + dt.timedelta(days=1))
    assert found(clicks) == found(
        frequent_sequences(pd.DataFrame(CLICKS), 1, by="session_id", as_of=DAY + dt.timedelta(days=1))
    )


@pytest.mark.spark
@pytest.mark.xdist_group("spark")
def test_spark_is_told_what_it_cannot_do(spark_frame):
    lines = spark_frame(lines_of(OFFICE))
    with pytest.raises(SchemaError, match=r"Spark's PrefixSpan knows no min_gap, max_gap or window. Collect the lines"):
        frequent_sequences(lines, 2, max_gap="30d")
    with pytest.raises(SchemaError, match=r"on Spark give min_support along with top_k"):
        frequent_sequences(lines, top_k=2)
    with pytest.raises(ResultTooLargeError, match=r"need more than max_memory"):
        frequent_sequences(lines, 2, max_memory="10B")


# -- the picture -------------------------------------------------------------------------------------------------------


def test_the_plot_shows_shares_and_counts():
    patterns = frequent_sequences(pd.DataFrame(lines_of(OFFICE)), 2)
    ax = plot_sequences(patterns, n=4)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["ink", "printer", "paper", "printer > paper"]
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([1, 1, 2 / 3, 2 / 3])
    assert {"3", "2"} <= {text.get_text() for text in ax.texts}
    with pytest.raises(SchemaError, match="plot_sequences: there are no patterns to draw"):
        plot_sequences(frequent_sequences(pd.DataFrame(lines_of(OFFICE)), 99))


# -- real data ---------------------------------------------------------------------------------------------------------


def test_bike_has_the_published_number_of_patterns(shared_data):
    """SPMF, cSPADE and rusket find 38,895 patterns in BIKE's 21,078 sequences at a support of 21."""
    rows = [
        (sequence, DAY + dt.timedelta(minutes=place), int(item))
        for sequence, line in enumerate((shared_data / "bike_sequences.txt").read_text().splitlines())
        for place, item in enumerate(line.replace("-2", "").replace("-1", "").split())
    ]
    trips = pd.DataFrame(rows, columns=["session_id", "timestamp", "event"])
    patterns = frequent_sequences(trips, 21, by="session_id")
    assert (len(patterns), patterns.sequence_count) == (38_895, 21_078)
    assert (
        len(frequent_sequences(trips, 21 / 21_078, by="session_id", min_len=2))
        == len(patterns) - (patterns.tree.lengths() == 1).sum()
    )
