"""What path_table, page_table and loop_table promise: plain counts of what came before conversion, on every frame."""

import datetime as dt
from fractions import Fraction

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from _clicks import NOON, clicks_of
from crmlytics._kernels.multiple_testing import holm
from crmlytics.clickstream.pages import loop_table, page_table
from crmlytics.clickstream.paths import path_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

WAYS = ["home cart buy", "home cart buy home help", "home help", "home help home", "home cart"]
words = st.lists(st.lists(st.sampled_from("abc$"), min_size=1, max_size=8), min_size=1, max_size=12)


def before_buying(way):
    return way[: way.index("$")] if "$" in way else way


# -- paths ---------------------------------------------------------------------------------------------------------


def test_paths_counted_by_hand_on_every_kind(frame):
    clicks = frame(clicks_of(WAYS))
    table = path_table(clicks, converted="buy", min_support=2)
    assert type(table) is type(clicks)
    schema = {name: str(kind) for name, kind in nw.from_native(table).collect_schema().items()}
    assert schema.pop("path") == "List(String)"
    counts = dict.fromkeys(["path_length", "sequence_count", "converted_count"], "Int64")
    shares = [
        "conversion_share",
        "conversion_share_low",
        "conversion_share_high",
        "lift",
        "p_value",
        "adjusted_p_value",
    ]
    assert schema == counts | dict.fromkeys(shares, "Float64")
    first, second = records(table)  # home help after the purchase is no path to it
    assert (list(first[0]), *first[1:5]) == (["home", "cart"], 2, 3, 2, 2 / 3)
    assert first[7] == pytest.approx(2 / 3 / (2 / 5))
    assert (list(second[0]), *second[1:5], second[7]) == (["home", "help"], 2, 2, 0, 0.0, 0.0)
    # of 5 sessions 2 buy: of the 3 with the cart both with 3 in 10; of the 2 with help none with 3 in 10
    assert first[8] == pytest.approx(2 * 3 / 10)
    assert second[8] == pytest.approx(2 * 3 / 10)
    assert first[9] == pytest.approx(1.0)
    assert first[5:7] == pytest.approx((0.20766, 0.93851), abs=1e-4)  # Wilson, 2 of 3


def plain_paths(ways, least, longest):
    """Sessions, and converted ones, of every run of words, counted one by one."""
    sets = []
    for way in ways:
        cut = before_buying(way)
        sets.append({tuple(cut[a : a + n]) for n in range(1, longest + 1) for a in range(len(cut) - n + 1)})
    every = set().union(*sets)
    counts = {path: (sum(path in held for held in sets),
                     sum(path in held and "$" in way for held, way in zip(sets, ways, strict=True)))
              for path in every}  # fmt: skip
    return {path: pair for path, pair in counts.items() if pair[0] >= least}


@given(words, st.integers(1, 4), st.integers(1, 5), st.randoms())
def test_paths_equal_a_plain_count_whatever_the_order_of_rows(ways, least, longest, random):
    ways = [*ways, ["b", "$"], ["a"]]
    clicks = pd.DataFrame(clicks_of(ways))
    table = path_table(clicks, converted="$", min_support=least, min_len=1, max_len=longest)
    rows = records(table)
    found = {tuple(row[0]): row[2:4] for row in rows}
    assert found == plain_paths(ways, least, longest)
    overall = np.mean(["$" in way for way in ways])
    order = [(-Fraction(row[3], row[2]), -row[2], tuple(row[0])) for row in rows]
    assert order == sorted(order)
    for _, length, held, converted, share, low, high, lift, p_value, _ in rows:
        assert length <= longest
        assert low <= share == converted / held <= high
        assert lift == pytest.approx(share / overall)
        cells = [[converted, held - converted]]
        total = sum("$" in way for way in ways)
        cells.append([total - converted, len(ways) - held - total + converted])
        tails = [stats.fisher_exact(cells, alternative=side).pvalue for side in ("greater", "less")]
        assert p_value == pytest.approx(min(1, 2 * min(tails)))
    if len(rows):
        assert [row[9] for row in rows] == pytest.approx(holm(np.array([row[8] for row in rows])))
    shuffled = clicks.iloc[random.sample(range(len(clicks)), len(clicks))]
    again = path_table(shuffled, converted="$", min_support=least, min_len=1, max_len=longest)
    assert repr(records(again)) == repr(rows)


def test_a_share_of_sessions_is_taken_as_it_is_written():
    ways = ["a b"] * 3 + ["c"] * 6 + ["$"]
    clicks = pd.DataFrame(clicks_of(ways))
    assert len(path_table(clicks, converted="$", min_support=0.3)) == 1  # 3 of 10 reach three tenths
    assert len(path_table(clicks, converted="$", min_support=0.31)) == 0
    assert len(path_table(clicks, converted="$", min_support=4)) == 0


def test_a_planted_way_lifts_and_its_parts_do_not():
    rng = np.random.default_rng(5)
    ways = []
    for _ in range(1500):
        way = list(rng.choice(list("abcde"), 6))
        is_on_it = "ab" in "".join(way)
        ways.append([*way, "$"] if rng.random() < (0.6 if is_on_it else 0.1) else way)
    table = path_table(pd.DataFrame(clicks_of(ways)), converted="$", min_support=0.05, max_len=2)
    assert list(table["path"].iloc[0]) == ["a", "b"]
    assert table["adjusted_p_value"].iloc[0] < 1e-20
    assert table["conversion_share"].iloc[0] == pytest.approx(0.6, abs=0.08)
    assert table["lift"].iloc[1] < 0.7 * table["lift"].iloc[0]


def test_of_numbers_and_before_as_of_only():
    clicks = pd.DataFrame(clicks_of([[1, 2, 9], [1, 2]], item="page"))
    as_of = NOON + dt.timedelta(hours=1, seconds=60)  # the second session has only seen page 1
    poison = clicks.assign(page=clicks["page"].where(clicks["timestamp"] < as_of, 77))
    table = path_table(poison, converted=9, item="page", min_support=1, as_of=as_of)
    assert [(list(row[0]), *row[2:5]) for row in records(table)] == [([1, 2], 1, 1, 1.0)]
    assert str(nw.from_native(table).schema["path"]) == "List(Int64)"


def test_paths_refuse_and_tell():
    clicks = pd.DataFrame(clicks_of(WAYS))
    for wrong in (0, 1.5, "1%", True):
        with pytest.raises(SchemaError, match=r"path_table: min_support must be a whole number of sessions"):
            path_table(clicks, converted="buy", min_support=wrong)
    with pytest.raises(SchemaError, match=r"path_table: max_len must be a whole number of at least 3, got 2"):
        path_table(clicks, converted="buy", min_len=3, max_len=2)
    with pytest.warns(DataQualityWarning, match="path_table: converted names 'bye'"):
        table = path_table(clicks, converted="bye", min_support=1)
    assert table["lift"].isna().all()


# -- pages ---------------------------------------------------------------------------------------------------------


def test_pages_counted_by_hand_on_every_kind(kind):
    clicks = make_frame(clicks_of(["home list home", "home", "list item", "list list buy thanks"], item="page"), kind)
    table = page_table(clicks, converted="buy")
    assert type(table) is type(clicks)
    schema = {name: str(kind) for name, kind in nw.from_native(table).collect_schema().items()}
    assert {name: kind for name, kind in schema.items() if name != "page"} == {
        name: "Int64" if name.endswith("_count") else "Float64" for name in schema if name != "page"
    }
    found = {row[0]: dict(zip(schema, row, strict=True)) for row in records(table)}
    assert list(found) == ["buy", "home", "item", "list", "thanks"]
    home = found["home"]
    assert [home[n] for n in ("visit_count", "sequence_count", "entry_count", "exit_count", "bounce_count")] == [
        3, 2, 2, 2, 1,
    ]  # fmt: skip
    assert (home["entry_share"], home["exit_share"], home["bounce_share"]) == (2 / 4, 2 / 3, 1 / 2)
    assert (home["timed_count"], home["median_seconds"]) == (1, 60.0)
    assert (found["list"]["conversion_share"], home["conversion_share"]) == (1 / 3, 0)
    assert found["item"]["bounce_share"] is None  # nobody enters there
    assert found["thanks"]["conversion_share"] is None  # only seen after the conversion
    assert found["thanks"]["median_seconds"] is None  # who knows how long


@given(words, st.lists(st.integers(0, 500), min_size=100, max_size=100))
def test_times_are_those_to_the_next_event_and_counts_add_up(ways, gaps):
    clicks = pd.DataFrame(clicks_of(ways, item="page"))
    # hours between sessions, whatever the pauses within them
    paused = clicks.groupby("session_id")["timestamp"].transform("min") + pd.to_timedelta(
        [sum(gaps[: place + 1]) + place for place in clicks.groupby("session_id").cumcount()], "s"
    )
    clicks["timestamp"] = paused
    table = page_table(clicks).set_index("page")
    waits = {page: [] for page in table.index}
    for _, rows in clicks.groupby("session_id"):
        pages, moments = rows["page"].tolist(), rows["timestamp"].tolist()
        for place in range(len(pages) - 1):
            waits[pages[place]].append((moments[place + 1] - moments[place]).total_seconds())
    for page, seconds in waits.items():
        row = table.loc[page]
        assert row["timed_count"] == len(seconds)
        if seconds:
            expected = [np.mean(seconds), *np.quantile(seconds, [0.25, 0.5, 0.75])]
            found = row[["mean_seconds", "lower_quartile_seconds", "median_seconds", "upper_quartile_seconds"]]
            assert found.tolist() == pytest.approx(expected)
    assert table["entry_count"].sum() == table["exit_count"].sum() == len(ways)
    assert table["bounce_count"].sum() == sum(len(way) == 1 for way in ways)
    assert (table["visit_count"] - table["exit_count"]).equals(table["timed_count"])
    assert table["conversion_share"].isna().all()


def test_pages_need_a_page():
    with pytest.raises(MissingColumnsError, match=r"page_table needs \['page'\]"):
        page_table(pd.DataFrame(clicks_of(WAYS)))


# -- loops ---------------------------------------------------------------------------------------------------------


def test_loops_counted_by_hand_on_every_kind(kind):
    ways = ["a a b", "a b a buy", "a b b a", "a a a buy", "c buy c c"]
    clicks = make_frame(clicks_of(ways), kind)
    table = loop_table(clicks, converted="buy")
    assert type(table) is type(clicks)
    assert records(table) == [
        ("a", "repeat", 3, 4, 2, 2 / 4, 1 / 2, 1 / 2),
        ("a", "return", 1, 4, 1, 1 / 4, 1.0, 1 / 3),  # a b b a comes back after two
        ("b", "repeat", 1, 3, 1, 1 / 3, 0.0, 1 / 2),
        ("b", "return", 0, 3, 0, 0.0, None, 1 / 3),
        ("c", "repeat", 0, 1, 0, 0.0, None, 1.0),  # what follows the conversion is no loop before it
        ("c", "return", 0, 1, 0, 0.0, None, 1.0),
    ]


@settings(max_examples=30)
@given(words)
def test_loops_equal_a_plain_count(ways):
    ways = [*ways, ["a", "$"]]
    table = loop_table(pd.DataFrame(clicks_of(ways)), converted="$")
    cut = [before_buying(way) for way in ways]
    for event, loop, count, held, looping, _, with_share, without_share in records(table):
        back = {"repeat": 1, "return": 2}[loop]
        times = [
            sum(way[i] == way[i - back] == event and (back == 1 or way[i - 1] != event) for i in range(back, len(way)))
            for way in cut
        ]
        buys = [("$" in way) for way in ways]
        assert count == sum(times)
        assert held == sum(event in way for way in cut)
        assert looping == sum(time > 0 for time in times)
        both = [bought for bought, time in zip(buys, times, strict=True) if time]
        neither = [b for b, time, way in zip(buys, times, cut, strict=True) if event in way and not time]
        assert with_share == (np.mean(both) if both else None)
        assert without_share == (np.mean(neither) if neither else None)


def test_pages_convert_by_the_event_wherever_events_are_bound():
    clicks = pd.DataFrame(clicks_of(["home list home", "home list list"], item="page"))
    clicks["event"] = ["view", "view", "buy", "view", "view", "view"]
    pages = {row[0]: row[-1] for row in records(page_table(clicks, converted="buy"))}
    assert pages == {"home": 0.5, "list": 0.5}
    loops = {row[:2]: row[2:] for row in records(loop_table(clicks, item="page", converted="buy"))}
    assert loops["home", "return"][0] == 0  # back home is the purchase
    assert loops["list", "repeat"][-2:] == (0.0, 1.0)
    paths = path_table(clicks, item="page", converted="buy", min_support=1, max_len=3)
    assert {tuple(path): share for path, share in zip(paths["path"], paths["conversion_share"], strict=True)} == {
        ("home", "list"): 0.5, ("list", "list"): 0.0, ("home", "list", "list"): 0.0
    }  # fmt: skip
    with pytest.warns(DataQualityWarning, match=r"converted names 'home', .*Events\(data, event=None\)"):
        page_table(clicks, converted="home")


def test_without_conversion_loops_are_counted_to_the_end():
    table = loop_table(pd.DataFrame(clicks_of(["a buy a a"])))
    found = {row[:2]: row[2:] for row in records(table)}
    assert found["a", "repeat"] == (1, 1, 1, 1.0, None, None)
    assert found["a", "return"] == (1, 1, 1, 1.0, None, None)


# -- real data -----------------------------------------------------------------------------------------------------


def test_visits_of_a_web_site_without_times(shared_data):
    """Only the order of pages is known: the times of a counter keep it."""
    visits = pd.read_parquet(shared_data / "msweb_visits.parquet")
    visits = visits.rename(columns={"case_id": "session_id", "vroot_id": "page"})
    visits["timestamp"] = pd.Timestamp("1998-02-01") + pd.to_timedelta(np.arange(len(visits)), "s")
    table = page_table(visits).set_index("page")
    assert table["visit_count"].sum() == len(visits) == 98654
    assert table["entry_count"].sum() == visits["session_id"].nunique()
    last = visits.drop_duplicates("session_id", keep="last")["page"].value_counts()
    assert table.loc[last.index, "exit_count"].tolist() == last.tolist()


def test_paths_of_a_clothes_shop(shared_data):
    clicks = pd.read_parquet(shared_data / "eshop_clickstream.parquet")
    day = pd.to_datetime(clicks[["year", "month", "day"]])
    clicks = pd.DataFrame({
        "session_id": clicks["session ID"],
        "timestamp": day + pd.to_timedelta(clicks["order"], "s"),
        "page": clicks["page 1 (main category)"].map({1: "trousers", 2: "skirts", 3: "blouses", 4: "sale"}),
    })  # fmt: skip
    table = path_table(clicks, converted="sale", item="page", min_support=0.02, max_len=3)
    assert {word for path in table["path"] for word in path} == {"trousers", "skirts", "blouses"}
    words = clicks.groupby("session_id")["page"].agg(" ".join)
    before = words.str.split("sale").str[0].str.strip()
    holding = (" " + before + " ").str.contains(" skirts blouses ", regex=False)
    row = next(row for row in records(table) if list(row[0]) == ["skirts", "blouses"])
    assert row[2:4] == (holding.sum(), (holding & words.str.contains("sale")).sum())
