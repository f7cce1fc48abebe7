"""What funnels promise: exact counts with and without a window, honest tests of segments, on every frame."""

import datetime as dt
import warnings
from itertools import combinations, permutations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats

from crmlytics import Customers
from crmlytics._kernels.funnels import NEVER, any_order_steps, ordered_steps
from crmlytics._kernels.proportion_tests import difference_interval, difference_p_value, equal_shares_p_value
from crmlytics.clickstream._plots import plot_funnel
from crmlytics.clickstream.funnels import funnel_table, funnel_test_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

mpl.use("Agg")

NOON = dt.datetime(2024, 5, 1, 12)
NAMES = ["step_number", "step", "reached_count", "share_of_start", "share_of_previous", "dropped_count",
         "median_seconds_from_previous"]  # fmt: skip
STEPS = ["view", ["cart", "wish"], "buy"]
LATER = 10 * 24 * 60  # minutes: ten days


def events_of(rows, **more):
    """Rows of (customer, minute, event)."""
    customer, minute, event = zip(*rows, strict=True)
    moments = [NOON + dt.timedelta(minutes=m) for m in minute]
    return {"customer_id": list(customer), "timestamp": moments, "event": list(event)} | more


# a goes through in 3 minutes; b puts on the wish list after 2 minutes and buys ten days later; c carts before viewing;
# d only views, twice; e buys without ever having viewed; f begins, and again ten days later, and then goes through.
ROWS = [
    ("a", 0, "view"), ("a", 1, "cart"), ("a", 2, "help"), ("a", 3, "buy"),
    ("b", 0, "view"), ("b", 2, "wish"), ("b", LATER, "buy"),
    ("c", 0, "cart"), ("c", 5, "view"),
    ("d", 0, "view"), ("d", 9, "view"),
    ("e", 0, "buy"),
    ("f", 0, "view"), ("f", LATER, "view"), ("f", LATER + 6, "cart"), ("f", LATER + 7, "buy"),
]  # fmt: skip


def test_counted_by_hand_on_every_kind(frame):
    clicks = frame(events_of(ROWS))
    table = funnel_table(clicks, STEPS)
    assert type(table) is type(clicks)
    assert records(table) == [
        (1, "view", 5, 1.0, None, 0, None),
        (2, "cart or wish", 3, 0.6, 0.6, 2, 120.0),  # 60, 120 and, from the last view, 360
        (3, "buy", 3, 0.6, 1.0, 0, 120.0),  # 120, ten days less 2 minutes, 60
    ]


def test_dtypes_are_the_same_on_every_kind(frame):
    import narwhals.stable.v2 as nw

    clicks = frame(events_of(ROWS, channel=["mail"] * len(ROWS)))
    schema = nw.from_native(funnel_table(clicks, STEPS, segments="channel")).collect_schema()
    kinds = dict.fromkeys(["segment", "step"], "String")
    kinds |= dict.fromkeys(["step_number", "reached_count", "dropped_count"], "Int64")
    kinds |= dict.fromkeys(["share_of_start", "share_of_previous", "median_seconds_from_previous"], "Float64")
    assert {name: str(kind) for name, kind in schema.items()} == kinds
    assert schema.names() == ["segment", *NAMES]


def test_a_window_counts_from_the_first_step_and_every_beginning_has_its_chance():
    clicks = make_frame(events_of(ROWS), "pandas")
    assert funnel_table(clicks, STEPS, within="1h")["reached_count"].tolist() == [5, 3, 2]  # not b, but f
    assert funnel_table(clicks, STEPS, within="2m")["reached_count"].tolist() == [5, 2, 0]  # a buys after 3 minutes
    assert funnel_table(clicks, STEPS, within="3m")["reached_count"].tolist() == [5, 2, 1]  # the limit is inside


def test_in_any_order_the_cart_may_come_first():
    clicks = make_frame(events_of(ROWS), "pandas")
    table = funnel_table(clicks, STEPS, order="any")
    assert table["reached_count"].tolist() == [5, 4, 3]
    assert table["median_seconds_from_previous"].isna().all()
    assert funnel_table(clicks, STEPS, order="any", within="5m")["reached_count"].tolist() == [5, 3, 1]
    assert funnel_table(clicks, STEPS, order="any", within="1h")["reached_count"].tolist() == [5, 4, 2]


def test_one_event_is_one_step_and_events_of_a_moment_stand_in_order_of_the_steps():
    clicks = make_frame(events_of([("a", 0, "view"), ("b", 0, "view"), ("b", 1, "view")]), "pandas")
    assert funnel_table(clicks, ["view", "view"])["reached_count"].tolist() == [2, 1]
    at_once = make_frame(events_of([("a", 0, "buy"), ("a", 0, "view")]), "pandas")
    for steps in (["view", "buy"], ["buy", "view"]):
        with pytest.warns(DataQualityWarning, match="funnel_table: 2 of 2 events share their moment"):
            assert funnel_table(at_once, steps)["reached_count"].tolist() == [1, 1]


def test_only_what_is_a_step_in_order_is_told_to_share_a_moment():
    clicks = pd.DataFrame(events_of([("a", 0, "view"), ("a", 0, "noise"), ("a", 1, "buy"), ("a", 2, "cart")]))
    assert funnel_table(clicks, ["view", "buy"])["reached_count"].tolist() == [1, 1]
    clicks = pd.concat([clicks, clicks.assign(event="cart")])
    assert funnel_table(clicks, ["cart", "buy"], order="any")["reached_count"].tolist() == [1, 1]
    with pytest.warns(DataQualityWarning, match="funnel_table: 2 of 6 events share their moment"):
        funnel_table(clicks, ["cart", "buy"])


def test_sessions_of_two_customers_may_share_an_id():
    rows = [(1, 0, "view"), (2, 1, "buy"), (2, 2, "view"), (2, 3, "buy")]
    clicks = pd.DataFrame(events_of(rows, session_id=[1, 1, 1, 2], page=["p", "q", "r", "s"]))
    with pytest.warns(DataQualityWarning, match=r"funnel_table: 1 of 2 session_ids belong to several customers"):
        assert funnel_table(clicks, ["view", "buy"], by="session_id")["reached_count"].tolist() == [2, 0]
    alone = clicks.drop(columns="customer_id")
    assert funnel_table(alone, ["view", "buy"], by="session_id")["reached_count"].tolist() == [1, 1]
    assert funnel_table(clicks, ["r", "s"], item="page")["reached_count"].tolist() == [1, 1]


# -- against all ways through ------------------------------------------------------------------------------------------

walks = st.lists(st.tuples(st.integers(0, 12), st.sampled_from("abcd")), min_size=1, max_size=9)
funnels = st.lists(
    st.lists(st.sampled_from("abc"), min_size=1, max_size=2, unique=True), min_size=2, max_size=3
)  # d is no step
windows = st.one_of(st.none(), st.integers(1, 10))


def fitting(walk, funnel):
    """Events in order of time, then of the first step that they fit, then of their names."""
    kept = [(minute, event) for minute, event in walk if any(event in step for step in funnel)]
    return sorted(kept, key=lambda row: (row[0], next(i for i, step in enumerate(funnel) if row[1] in step), row[1]))


def all_ways(walk, funnel, window):
    """Every way through the first steps, as moments."""
    rows = fitting(walk, funnel)
    for depth in range(1, len(funnel) + 1):
        for places in combinations(range(len(rows)), depth):
            if all(rows[place][1] in step for place, step in zip(places, funnel, strict=False)):
                moments = [rows[place][0] for place in places]
                if window is None or moments[-1] - moments[0] <= window:
                    yield moments


@given(walk=walks, funnel=funnels, window=windows)
@example(walk=[(0, "a"), (5, "a"), (6, "b")], funnel=[["a"], ["b"]], window=2)
@example(walk=[(0, "a"), (0, "a"), (1, "a"), (1, "a")], funnel=[["a"], ["a"], ["a"]], window=None)
@example(walk=[(0, "a"), (4, "b"), (5, "a"), (6, "c"), (7, "b"), (8, "c")], funnel=[["a"], ["b"], ["c"]], window=3)
def test_in_order_as_by_trying_every_way(walk, funnel, window):
    ways = list(all_ways(walk, funnel, window))
    depth = max(map(len, ways), default=0)
    clicks = pd.DataFrame(events_of([("x", *row) for row in walk]))
    with warnings.catch_warnings(action="ignore"):
        table = funnel_table(clicks, funnel, within=None if window is None else f"{window}m")
    assert table["reached_count"].tolist() == [int(step < depth) for step in range(len(funnel))]
    if depth > 1:  # of the ways that go furthest: the earliest end, then the latest beginning, then early steps
        best = min((way[-1], -way[0], way) for way in ways if len(way) == depth)[2]
        assert table["median_seconds_from_previous"].tolist()[1:depth] == [60 * s for s in np.diff(best)]


@given(walk=walks, steps=st.permutations("abc"), window=windows)
def test_in_any_order_as_by_trying_every_order(walk, steps, window):
    clicks = pd.DataFrame(events_of([("x", *row) for row in walk]))
    within = None if window is None else f"{window}m"
    with warnings.catch_warnings(action="ignore"):
        table = funnel_table(clicks, steps, order="any", within=within)
    for depth in range(1, 4):
        reached = any(len(way) == depth for some in permutations(steps[:depth]) for way in all_ways(walk, some, window))
        assert table["reached_count"][depth - 1] == reached


@given(rows=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9), st.sampled_from("abc")), min_size=1, max_size=30))
def test_counts_never_rise_and_windows_only_take_away(rows):
    clicks = pd.DataFrame(events_of(rows))
    shuffled = clicks.sample(frac=1, random_state=1)
    with warnings.catch_warnings(action="ignore"):
        table = funnel_table(clicks, ["a", "b", "c"])
        short = funnel_table(clicks, ["a", "b", "c"], within="3m")
        loose = funnel_table(clicks, ["a", "b", "c"], order="any")
        pd.testing.assert_frame_equal(table, funnel_table(clicks, ["a", "b", "c"], within="30000d"))
        pd.testing.assert_frame_equal(short, funnel_table(shuffled, ["a", "b", "c"], within="3m"))
    assert (table["reached_count"].diff().dropna() <= 0).all()
    assert (short["reached_count"] <= table["reached_count"]).all()
    assert (table["reached_count"] <= loose["reached_count"]).all()
    assert table["reached_count"].iloc[0] == clicks.loc[clicks["event"] == "a", "customer_id"].nunique()
    assert table["dropped_count"].sum() == table["reached_count"].iloc[0] - table["reached_count"].iloc[-1]


def test_kernels_give_what_is_counted_by_hand():
    moment = np.array([0, 4, 5, 6])
    fits = np.array([[True, False], [True, False], [False, True], [False, True]])
    taken = ordered_steps(np.array([0, 4, 4]), moment, fits, 3)
    assert taken.tolist() == [[4, 5], [NEVER, NEVER]]
    depth = any_order_steps(np.array([0, 4]), moment, np.array([1, 0, 1, 0]), 2, 0)
    assert depth.tolist() == [1]


def test_nothing_at_or_after_as_of_is_read():
    as_of = NOON + dt.timedelta(minutes=3)
    known = [row for row in ROWS if row[1] < 3]
    poison = [("d", 3, "cart"), ("d", 4, "buy"), ("g", 3, "view")]
    steps = ["view", ["cart", "wish"]]
    found = funnel_table(make_frame(events_of(ROWS + poison), "polars"), steps, as_of=as_of)
    assert found.equals(funnel_table(make_frame(events_of(known), "polars"), steps))


# -- segments ----------------------------------------------------------------------------------------------------------


def test_each_segment_by_itself_on_every_kind(frame):
    who = frame({"customer_id": list("abcdef"), "segment": ["old", "old", "new", "new", "new", None]})
    with pytest.warns(DataQualityWarning, match=r"funnel_table: 1 of 5 who begin the funnel have no segment: left out"):
        table = funnel_table(frame(events_of(ROWS)), STEPS, segments=who)
    assert [row[:2] + row[3:4] for row in records(table)] == [
        ("new", 1, 2), ("new", 2, 0), ("new", 3, 0), ("old", 1, 2), ("old", 2, 2), ("old", 3, 2),
    ]  # fmt: skip
    assert records(table)[2][4:] == (0.0, None, 0, None)  # a share of nobody


def test_the_segment_is_that_of_the_first_event_of_the_first_step():
    rows = [("a", 0, "cart"), ("a", 1, "view"), ("a", 2, "view"), ("a", 3, "cart")]
    clicks = pd.DataFrame(events_of(rows, channel=["x", "mail", "ad", "y"], platform=[9, 1, 2, 3]))
    for name, segment in (("channel", "mail"), ("platform", "1")):  # a role, and a column without one
        table = funnel_table(clicks, ["view", "cart"], segments=name)
        assert table[["segment", "reached_count"]].to_numpy().tolist() == [[segment, 1], [segment, 1]]
    customers = Customers(pd.DataFrame({"customer_id": ["a"], "segment": ["s"]}))
    assert funnel_table(clicks, ["view", "cart"], segments=customers)["segment"].tolist() == ["s", "s"]


def test_segments_may_be_true_or_false_and_numbers_with_gaps_on_every_kind(frame):
    rows = [("a", 0, "view"), ("b", 1, "view"), ("b", 2, "buy"), ("c", 3, "view")]
    clicks = frame(events_of(rows, is_new=[True, False, False, True], tier=[2.0, 10.0, 10.0, None]))
    table = funnel_table(clicks, ["view", "buy"], segments="is_new")
    assert [row[:4] for row in records(table)] == [
        ("False", 1, "view", 1), ("False", 2, "buy", 1), ("True", 1, "view", 2), ("True", 2, "buy", 0)
    ]  # fmt: skip
    with pytest.warns(DataQualityWarning, match="1 of 3 who begin the funnel have no segment"):
        table = funnel_table(clicks, ["view", "buy"], segments="tier")
    assert [row[0] for row in records(table)] == ["10", "10", "2", "2"]
    for values, names in (([True, False, None], ["False", "True"]), ([2.0, 10.0, None], ["10", "2"])):
        who = frame({"customer_id": ["a", "b", "c"], "segment": values})
        with pytest.warns(DataQualityWarning, match="1 of 3 who begin the funnel have no segment"):
            table = funnel_table(clicks, ["view", "buy"], segments=who)
        assert [row[0] for row in records(table)][::2] == names


@pytest.mark.parametrize("steps", [[4, 1], np.array([4, 1]), pd.Series([4, 1]), [np.int64(4), np.array([1, 7])]])
def test_steps_may_come_from_arrays_and_columns(steps):
    clicks = pd.DataFrame(events_of([("a", 0, 4), ("a", 1, 1), ("b", 2, 4)]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "funnel_table: steps names 7", DataQualityWarning)
        assert funnel_table(clicks, steps)["reached_count"].tolist() == [2, 1]


def test_a_step_that_is_a_page_says_how_to_take_pages():
    clicks = pd.DataFrame(events_of([("a", 0, "view"), ("a", 1, "click")], page=["home", "till"]))
    with pytest.warns(DataQualityWarning, match=r"names 'till'.*A page has this name: .* say item=\"page\""):
        funnel_table(clicks, ["view", "till"])


def sides(counts):
    """Events of segments of which (began, went on, bought)."""
    rows, segment, customer = [], {}, 0
    for name, (began, went_on, bought) in counts.items():
        for place in range(began):
            customer += 1
            segment[customer] = name
            rows += [(customer, 0, "view")]
            rows += [(customer, 1, "cart")] * (place < went_on) + [(customer, 2, "buy")] * (place < bought)
    who = {"customer_id": list(segment), "segment": list(segment.values())}
    return events_of(rows), who


def test_two_segments_are_compared_as_newcombe_and_pearson_do_on_every_kind(frame):
    events, who = sides({"new": (70, 56, 7), "old": (80, 48, 3)})
    table = funnel_test_table(frame(events), ["view", "cart", "buy"], segments=frame(who))
    first, second = records(table)
    assert first[:8] == (2, "cart", "new", "old", 70, 80, 56, 48)
    assert first[8:11] == (0.8, 0.6, pytest.approx(0.2))
    assert first[11:13] == pytest.approx((0.0524, 0.3339), abs=5e-5)  # R. G. Newcombe (1998), table II, method 10
    p_value = stats.chi2_contingency([[56, 14], [48, 32]], correction=False).pvalue
    assert first[13:] == (pytest.approx(p_value), pytest.approx(2 * p_value), True, pytest.approx(p_value))
    assert second[4:8] == (56, 48, 7, 3)
    # 10 of 104 go on: fewer than 5 expected of 48, so Fisher's test, twice the smaller tail
    exact = 2 * stats.fisher_exact([[7, 49], [3, 45]], alternative="greater").pvalue
    assert second[13:] == (pytest.approx(exact), pytest.approx(exact), False, pytest.approx(exact))


def test_every_two_of_several_segments_are_compared_and_all_at_once():
    events, who = sides({"c": (100, 50, 25), "a": (100, 80, 40), "b": (100, 50, 25)})
    table = funnel_test_table(make_frame(events, "pandas"), ["view", "cart", "buy"], segments=make_frame(who, "pandas"))
    assert table[["segment", "other_segment"]].to_numpy().tolist() == [["a", "b"], ["a", "c"], ["b", "c"]] * 2
    together = stats.chi2_contingency([[80, 50, 50], [20, 50, 50]], correction=False).pvalue
    assert table["step_p_value"].tolist() == pytest.approx([together] * 3 + [1.0] * 3)
    one = stats.chi2_contingency([[80, 50], [20, 50]], correction=False).pvalue
    assert table["p_value"].tolist() == pytest.approx([one, one, 1, 1, 1, 1])
    assert table["adjusted_p_value"].tolist() == pytest.approx([6 * one, 6 * one, 1, 1, 1, 1])
    assert table["differs"].tolist() == [True, True, False, False, False, False]
    assert table["difference"].tolist() == pytest.approx([0.3, 0.3, 0, 0, 0, 0])


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    [
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((9, 10, 3, 10), 0.1705, 0.8090),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((0, 10, 0, 20), -0.1611, 0.2775),
        ((0, 10, 0, 10), -0.2775, 0.2775),
        ((10, 10, 0, 20), 0.6791, 1.0),
        ((10, 10, 0, 10), 0.6075, 1.0),
    ],
)
def test_intervals_are_those_newcombe_printed(counts, low, high):
    found = difference_interval(*(np.array([count]) for count in counts), 0.05)
    assert [float(side[0]) for side in found] == pytest.approx([low, high], abs=5e-5)


@given(one=st.tuples(st.integers(1, 40), st.integers(0, 40)), other=st.tuples(st.integers(1, 40), st.integers(0, 40)))
def test_two_segments_have_one_p_value_either_way(one, other):
    (total, count), (other_total, other_count) = ((n, min(k, n)) for n, k in (one, other))
    found = difference_p_value(*(np.array([n]) for n in (count, total, other_count, other_total)))
    together = equal_shares_p_value(np.array([count, other_count]), np.array([total, other_total]))
    assert found[0] == pytest.approx(together, abs=1e-12)


@given(counts=st.tuples(*[st.integers(0, 12)] * 4))
def test_few_are_tested_exactly_and_many_by_the_score_test(counts):
    a, b, c, d = counts
    found = difference_p_value(*(np.array([n]) for n in (a, a + b, c, c + d)))[0]
    cells = np.array([[a, b], [c, d]])
    if 0 in (a + b, c + d):
        assert np.isnan(found)
    elif (cells.sum(axis=0) * cells.sum(axis=1)[:, None]).min() >= 5 * cells.sum():
        assert found == pytest.approx(stats.chi2_contingency(cells, correction=False).pvalue)
    else:
        tails = [stats.fisher_exact(cells, alternative=side).pvalue for side in ("less", "greater")]
        assert found == pytest.approx(min(1, 2 * min(tails)))


def test_of_several_segments_few_are_not_tested_together():
    assert np.isnan(equal_shares_p_value(np.array([1, 2, 3]), np.array([10, 50, 60])))
    assert equal_shares_p_value(np.array([25, 25, 25]), np.array([50, 50, 50])) == 1.0


def test_a_share_of_nobody_has_no_p_value():
    assert np.isnan(difference_p_value(np.array([0]), np.array([0]), np.array([1]), np.array([2]))[0])
    assert np.isnan(equal_shares_p_value(np.array([0, 1]), np.array([0, 2])))


# -- pictures ----------------------------------------------------------------------------------------------------------


def test_the_picture_has_a_bar_for_each_step_and_says_the_shares():
    ax = plot_funnel(funnel_table(make_frame(events_of(ROWS), "polars"), STEPS))
    assert [bar.get_width() for bar in ax.patches] == [5, 3, 3]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["view", "cart or wish", "buy"]
    said = " ".join(text.get_text() for text in ax.texts)
    assert "60%" in said
    assert "2" in said


def test_segments_stand_beside_one_another_as_shares():
    events, who = sides({"new": (10, 8, 2), "old": (20, 10, 5)})
    table = funnel_table(make_frame(events, "pandas"), ["view", "cart", "buy"], segments=make_frame(who, "pandas"))
    ax = plot_funnel(table)
    assert sorted(round(bar.get_width(), 3) for bar in ax.patches) == [0.2, 0.25, 0.5, 0.8, 1.0, 1.0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["new (10)", "old (20)"]


def test_only_funnels_are_drawn():
    with pytest.raises(SchemaError, match=r"plot_funnel: expected the table of funnel_table, which has \['step_number"):
        plot_funnel(pd.DataFrame({"step": ["a"]}))
    clicks = make_frame(events_of(ROWS, channel=["x"] * len(ROWS)), "pandas")
    with pytest.warns(DataQualityWarning, match="names 'sell'"):
        nobody = funnel_table(clicks, ["sell", "view"], segments="channel")
    with pytest.raises(SchemaError, match="plot_funnel: the table has no rows; nobody began"):
        plot_funnel(nobody)


def test_the_legend_is_below_the_bars():
    events, who = sides(dict.fromkeys(("mail", "ad", "shop", "friend", "search"), (10, 8, 2)))
    table = funnel_table(make_frame(events, "pandas"), ["view", "cart", "buy"], segments=make_frame(who, "pandas"))
    ax = plot_funnel(table)
    ax.figure.canvas.draw()
    legend, lowest = ax.get_legend().get_window_extent(), min(bar.get_window_extent().y0 for bar in ax.patches)
    assert 0 <= legend.y0 < legend.y1 <= lowest


# -- what is refused ---------------------------------------------------------------------------------------------------


def test_says_what_to_type():
    clicks = make_frame(events_of(ROWS), "pandas")
    with pytest.raises(SchemaError, match=r'funnel_table: steps must be a list of two or more, such as \["cart", "pur'):
        funnel_table(clicks, "view")
    with pytest.raises(SchemaError, match=r"funnel_table: steps must be a list of two or more.*got \['view'\]"):
        funnel_table(clicks, ["view"])
    with pytest.raises(SchemaError, match=r"steps must be an event or a list of events.*got \[\]"):
        funnel_table(clicks, ["view", []])
    with pytest.raises(
        SchemaError, match=r"\['view'\] are in several steps, and with order=\"any\".*order=\"ordered\""
    ):
        funnel_table(clicks, ["view", ["cart", "view"]], order="any")
    with pytest.raises(SchemaError, match=r"order must be one of \['ordered', 'any'\], got 'anny'. Did you mean 'any'"):
        funnel_table(clicks, ["view", "buy"], order="anny")
    with pytest.raises(SchemaError, match=r'within must be a duration such as within="90s"'):
        funnel_table(clicks, ["view", "buy"], within=7)
    with pytest.raises(
        MissingColumnsError, match=r"segments='chanel' is no column of the events.*Columns: \['customer"
    ):
        funnel_table(clicks, ["view", "buy"], segments="chanel")
    with pytest.raises(MissingColumnsError, match=r"segments needs the columns \['segment'\]"):
        funnel_table(clicks, ["view", "buy"], segments=pd.DataFrame({"customer_id": ["a"]}))
    with pytest.raises(MissingColumnsError, match=r"funnel_table needs \['session_id'\]"):
        funnel_table(clicks, ["view", "buy"], by="session_id")
    with pytest.raises(
        SchemaError, match=r"column 'price' holds fractions, .*pd.qcut\(data\['price'\], 4\).astype\(str"
    ):
        funnel_table(clicks.assign(price=1.5), ["view", "buy"], segments="price")
    days = clicks.assign(day=pd.Timestamp("2024-05-01"))
    with pytest.raises(SchemaError, match=r"column 'day' holds Datetime.*data\['day'\].astype\(str\)"):
        funnel_table(days, ["view", "buy"], segments="day")
    for wrong in (True, [True], [["view"]], 1.5, np.array([["view"]])):
        with pytest.raises(SchemaError, match="funnel_table: steps must be an event or a list of events"):
            funnel_table(clicks, ["view", wrong])
    with pytest.warns(
        DataQualityWarning, match=r"steps names 'bye', and no event .* has this event. Did you mean 'buy'"
    ):
        assert funnel_table(clicks, ["view", "bye"])["reached_count"].tolist() == [5, 0]


def test_a_test_needs_segments():
    clicks = make_frame(events_of(ROWS, channel=["mail"] * len(ROWS)), "pandas")
    with pytest.raises(SchemaError, match=r"funnel_test_table: expected at least two segments .* got \['mail'\]"):
        funnel_test_table(clicks, ["view", "buy"], segments="channel")
    with pytest.raises(SchemaError, match=r'segments must be the name of a column such as "channel".*got None'):
        funnel_test_table(clicks, ["view", "buy"], segments=None)
    with pytest.raises(SchemaError, match=r"alpha must be a fraction"):
        funnel_test_table(clicks, ["view", "buy"], segments="channel", alpha=5)


# -- real data ---------------------------------------------------------------------------------------------------------


def test_a_shop(shared_data):
    events = pd.read_parquet(shared_data / "clickstream_ecom.parquet").rename(columns={"user_id": "customer_id"})
    steps = ["product_view", "add_to_cart", "cart", "purchase"]
    table = funnel_table(events, steps, by="session_id")
    first, reached = {}, np.zeros(4, int)
    for session, event in events.sort_values(["timestamp"], kind="stable")[["session_id", "event"]].itertuples(
        index=False
    ):
        depth = first.get(session, 0)
        if depth < 4 and event == steps[depth]:
            first[session] = depth + 1
            reached[depth] += 1
    assert table["reached_count"].tolist() == reached.tolist()


def test_visits_without_any_time_are_counted_in_order_of_the_rows(shared_data):
    visits = pd.read_parquet(shared_data / "msweb_visits.parquet")
    counter = visits.groupby("case_id").cumcount()
    events = pd.DataFrame({
        "session_id": visits["case_id"],
        "timestamp": pd.Timestamp("1998-02-01") + pd.to_timedelta(counter, unit="s"),
        "page": visits["vroot_id"],
    })  # fmt: skip
    table = funnel_table(events, [1008, 1034], by="session_id", item="page")  # free downloads, then Internet Explorer
    place = {page: counter[visits["vroot_id"] == page].set_axis(visits["case_id"][visits["vroot_id"] == page])
             for page in (1008, 1034)}  # fmt: skip
    both = pd.concat(place, axis=1, join="inner")
    assert table["reached_count"].tolist() == [len(place[1008]), int((both[1034] > both[1008]).sum())]
