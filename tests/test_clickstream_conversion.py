"""What conversion_table promises: the chain solved as by hand, by simulation, and nothing from after the conversion."""

import datetime as dt

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse, stats
from threadpoolctl import threadpool_info, threadpool_limits

from _clicks import NOON, clicks_of
from crmlytics import Events
from crmlytics._kernels import markov_chains
from crmlytics._kernels.markov_chains import absorbing_chain
from crmlytics.clickstream.conversion import _Moves, conversion_table
from crmlytics.exceptions import DataQualityWarning, MissingColumnsError, SchemaError
from crmlytics.testing import make_frame, records

# home: 3 of 6 to the cart, 1 to help, 1 buys, 1 leaves. cart: 2 of 4 buy, 1 goes home, 1 leaves. help: leaves.
# h = 1/2 c + 1/6 and c = 1/4 h + 1/2: h = 10/21, c = 13/21. Steps: H = 1 + C/2 + 1/6, C = 1 + H/4: H = 40/21, C = 31/21
WAYS = ["home cart buy", "home cart buy help help", "home cart home buy", "home help", "home", "cart"]
names = st.lists(st.lists(st.sampled_from("abcde$"), min_size=1, max_size=7), min_size=1, max_size=12)


def measured(table):
    """Rows by state, as mappings."""
    columns = table.columns
    return {row[0]: dict(zip(columns, row, strict=True)) for row in records(table)}


# -- by hand -------------------------------------------------------------------------------------------------------


def test_solved_by_hand_on_every_kind(frame):
    clicks = frame(clicks_of(WAYS))
    table = conversion_table(clicks, converted="buy", replicates=20)
    assert type(table) is type(clicks)
    schema = {name: str(kind) for name, kind in nw.from_native(table).collect_schema().items()}
    bounds = [f"{name}{end}" for name in ("conversion_probability", "expected_step_count", "removal_effect")
              for end in ("", "_low", "_high")]  # fmt: skip
    counts = dict.fromkeys(["visit_count", "sequence_count", "converted_count"], "Int64")
    assert schema == {"state": "String", **counts, "observed_share": "Float64", **dict.fromkeys(bounds, "Float64")}
    rows = [dict(zip(schema, row, strict=True)) for row in records(table)]
    assert [row["state"] for row in rows] == ["(start)", "cart", "home", "help"]
    start, cart, home, none = rows
    assert [(row["visit_count"], row["sequence_count"], row["converted_count"]) for row in rows] == [
        (6, 6, 3), (4, 4, 3), (6, 5, 3), (1, 1, 0),
    ]  # fmt: skip
    assert [row["observed_share"] for row in rows] == pytest.approx([3 / 6, 3 / 4, 3 / 5, 0])
    found = [row["conversion_probability"] for row in rows]
    assert found == pytest.approx([0.5, 13 / 21, 10 / 21, 0])
    assert [row["expected_step_count"] for row in rows] == pytest.approx(
        [1 + 5 / 6 * 40 / 21 + 1 / 6 * 31 / 21, 31 / 21, 40 / 21, 1]
    )
    # without cart: 5/6 begin at home, of whom 1/6 buy. Without home: 1/6 begin at the cart, of whom 1/2 buy.
    assert start["removal_effect"] is None
    assert cart["removal_effect"] == pytest.approx(1 - 5 / 36 / 0.5)
    assert home["removal_effect"] == pytest.approx(1 - 1 / 12 / 0.5)
    assert none["removal_effect"] == pytest.approx(0)


def test_what_follows_the_conversion_is_not_read():
    ways = [way.split() for way in WAYS]
    cut = [way[: way.index("buy") + 1] if "buy" in way else way for way in ways]
    poisoned = [[*way, "poison", "home", "buy"] if "buy" in way else way for way in ways]
    one, other = (conversion_table(pd.DataFrame(clicks_of(w)), converted="buy") for w in (cut, poisoned))
    assert one.equals(other)
    assert "poison" not in set(one["state"])


def test_nothing_at_or_after_as_of_is_read():
    clicks = pd.DataFrame(clicks_of(WAYS))
    as_of = NOON + dt.timedelta(hours=2, seconds=120)  # the third session is about to buy: not converted yet
    poison = clicks.assign(event=clicks["event"].where(clicks["timestamp"] < as_of, "poison"))
    table = conversion_table(poison, converted="buy", as_of=as_of)
    assert table.equals(conversion_table(clicks[clicks["timestamp"] < as_of], converted="buy"))
    assert measured(table)["(start)"]["observed_share"] == 2 / 3


def test_several_events_convert_and_the_first_one_counts():
    ways = ["a buy", "a call", "a call buy", "a"]
    found = measured(conversion_table(pd.DataFrame(clicks_of(ways)), converted=["buy", "call"]))
    assert set(found) == {"(start)", "a"}
    assert found["a"]["conversion_probability"] == pytest.approx(0.75)


def test_by_customer_whole_histories_convert():
    clicks = pd.DataFrame(clicks_of(["a b", "a buy", "b"], customers=[1, 1, 2]))
    by_session = measured(conversion_table(clicks, converted="buy"))
    by_customer = measured(conversion_table(clicks, converted="buy", by="customer_id"))
    assert by_session["(start)"]["conversion_probability"] == pytest.approx(1 / 3)
    assert by_customer["(start)"]["conversion_probability"] == pytest.approx(1 / 2)
    assert by_session["b"]["conversion_probability"] == 0
    assert by_customer["b"]["conversion_probability"] == pytest.approx(1 / 3)  # a = 1/2 + 1/2 b, b = 1/2 a


# -- against the equations, and against chance ---------------------------------------------------------------------


def plain_chain(ways):
    """Transition shares of ways cut at "$", with the start, conversion and the end, as one matrix."""
    states = ["^", *sorted({word for way in ways for word in way} - {"$"}), "$", "."]
    matrix = np.zeros((len(states), len(states)))
    for way in ways:
        cut = way[: way.index("$") + 1] if "$" in way else [*way, "."]
        for a, b in zip(["^", *cut], cut, strict=False):
            matrix[states.index(a), states.index(b)] += 1
    with np.errstate(invalid="ignore"):
        return states, matrix / matrix.sum(axis=1, keepdims=True)


def reached(matrix, removed=None):
    """Probability of conversion from each state, by walking the chain on until nothing is left on the way."""
    matrix = np.nan_to_num(matrix)
    if removed is not None:
        matrix[:, -1] += matrix[:, removed]
        matrix[:, removed] = 0
    matrix[[-2, -1], [-2, -1]] = 1
    for _ in range(14):
        matrix @= matrix  # 2**14 steps
    return matrix[:, -2]


@settings(max_examples=40)
@given(names, st.randoms())
def test_equals_the_chain_walked_on_whatever_the_order_of_rows(ways, random):
    ways = [*ways, ["a", "$"]]
    clicks = pd.DataFrame(clicks_of(ways))
    table = conversion_table(clicks, converted="$", replicates=20)
    states, matrix = plain_chain(ways)
    expected = reached(matrix)
    overall = np.mean(["$" in way for way in ways])
    for state, row in measured(table).items():
        at = states.index("^" if state == "(start)" else state)
        assert row["conversion_probability"] == pytest.approx(expected[at], abs=1e-9)
        assert 0 <= row["conversion_probability"] <= 1
        if at:
            assert row["removal_effect"] == pytest.approx(1 - reached(matrix.copy(), at)[0] / overall, abs=1e-9)
    start = measured(table)["(start)"]
    assert start["conversion_probability"] == pytest.approx(overall)  # the chain converts as often as sessions did
    inside = [way[: way.index("$")] if "$" in way else way for way in ways]
    assert start["expected_step_count"] == pytest.approx(np.mean([len(way) + 1 for way in inside]))
    shuffled = clicks.iloc[random.sample(range(len(clicks)), len(clicks))]
    assert conversion_table(shuffled, converted="$", replicates=20).equals(table)


def test_large_chains_are_solved_alike(monkeypatch):
    rng = np.random.default_rng(1)
    counts = sparse.csr_array(rng.poisson(0.2, (300, 300)))
    converting, leaving = rng.poisson(1, 300), 1 + rng.poisson(2, 300)
    dense = absorbing_chain(counts, converting, leaving, 7)
    monkeypatch.setattr(markov_chains, "DENSE", 0)
    for one, other in zip(dense, absorbing_chain(counts, converting, leaving, 7), strict=True):
        assert other == pytest.approx(one)
    matrix = counts.toarray() / (counts.sum(axis=1) + converting + leaving)[:, None]
    reward = converting / (counts.sum(axis=1) + converting + leaving)
    assert dense.probability == pytest.approx(np.linalg.solve(np.eye(300) - matrix, reward))
    assert dense.visits == pytest.approx(np.linalg.inv(np.eye(300) - matrix)[7])
    for removed in (3, 299):
        left = matrix.copy()
        left[:, removed] = 0  # whoever would come there is lost
        assert dense.without[removed] == pytest.approx(np.linalg.solve(np.eye(300) - left, reward)[7])


CHAIN = np.array([[0.1, 0.5, 0.2], [0.3, 0.2, 0.2], [0.0, 0.6, 0.1]])  # of a, b, c
BUYING = np.array([0.0, 0.1, 0.2])
TRUE = np.linalg.solve(np.eye(3) - CHAIN, BUYING)


def simulated(seed, sessions):
    rng = np.random.default_rng(seed)
    rows = np.column_stack([CHAIN, BUYING, 1 - CHAIN.sum(axis=1) - BUYING])
    ways = []
    for _ in range(sessions):
        way = [rng.integers(3)]
        while way[-1] < 3:
            way.append(rng.choice(5, p=rows[way[-1]]))
        ways.append(["abc$"[state] for state in way if state < 4])
    return ways


def test_planted_probabilities_are_recovered_and_inside_their_intervals_as_often_as_promised():
    inside = []
    for seed in range(40):
        ways = simulated(seed, 150)
        found = measured(conversion_table(pd.DataFrame(clicks_of(ways)), converted="$", confidence=0.9))
        for state, truth in zip("abc", TRUE, strict=True):
            row = found[state]
            assert row["conversion_probability"] == pytest.approx(truth, abs=0.2)
            inside.append(row["conversion_probability_low"] <= truth <= row["conversion_probability_high"])
    assert 0.8 <= np.mean(inside) <= 0.97  # .9 of 120, which are not independent


def test_intervals_hang_on_the_seed_and_the_confidence_and_hold_the_estimate():
    clicks = pd.DataFrame(clicks_of(simulated(1, 300)))
    table = conversion_table(clicks, converted="$", random_state=3)
    assert table.equals(conversion_table(clicks, converted="$", random_state=3))
    assert not table.equals(conversion_table(clicks, converted="$", random_state=4))
    narrow = conversion_table(clicks, converted="$", random_state=3, confidence=0.5)
    for name in ("conversion_probability", "expected_step_count", "removal_effect"):
        rows = table[table["state"] != "(start)"] if name == "removal_effect" else table
        assert rows[name].between(rows[f"{name}_low"], rows[f"{name}_high"]).all()
        assert (narrow[f"{name}_high"] <= table[f"{name}_high"])[rows.index].all()
        assert (narrow[f"{name}_low"] >= table[f"{name}_low"])[rows.index].all()


def test_bounds_are_those_of_sessions_drawn_again():
    """How many of 400 sessions drawn with replacement convert is binomial."""
    clicks = pd.DataFrame(clicks_of(["a $"] * 120 + ["a"] * 280))
    start = measured(conversion_table(clicks, converted="$", confidence=0.9, replicates=3000))["(start)"]
    expected = stats.binom.ppf([0.05, 0.95], 400, 0.3) / 400
    found = [start["conversion_probability_low"], start["conversion_probability_high"]]
    assert found == pytest.approx(expected, abs=0.004)


def test_customers_are_drawn_with_all_their_sessions():
    """Every customer ten times the same way: ten times the sessions, but not ten times as sure."""
    ways = simulated(2, 60)
    once = pd.DataFrame(clicks_of(ways, customers=range(60)))
    tenfold = pd.DataFrame(clicks_of(ways * 10, customers=list(range(60)) * 10))
    strangers = tenfold.drop(columns="customer_id")

    def width(clicks):
        row = measured(conversion_table(clicks, converted="$"))["(start)"]
        return row["conversion_probability_high"] - row["conversion_probability_low"]

    assert width(tenfold) == pytest.approx(width(once))  # the same customers are drawn
    assert width(strangers) < width(once) / 2


# -- what cannot be ------------------------------------------------------------------------------------------------


def test_without_conversion_everything_is_zero_and_told():
    with pytest.warns(DataQualityWarning, match=r"conversion_table: converted names 'by'.*Did you mean 'buy'"):
        table = conversion_table(make_frame(clicks_of(WAYS), "polars"), converted="by")
    found = measured(table)
    assert {row["conversion_probability"] for row in found.values()} == {0}
    assert {row["removal_effect"] for row in found.values()} == {None}


def test_pages_lead_to_the_event_that_is_the_conversion():
    """The conversion is an event; states are pages. Its own page, and pages after it, are not read."""
    ways = [("home list till home", "view view buy view"), ("home list", "view view"), ("home till", "view view")]
    rows = [
        (session, NOON + dt.timedelta(minutes=minute), page, event)
        for session, (pages, events) in enumerate(ways)
        for minute, (page, event) in enumerate(zip(pages.split(), events.split(), strict=True))
    ]
    clicks = pd.DataFrame(rows, columns=["session_id", "timestamp", "page", "event"])
    found = measured(conversion_table(clicks, converted="buy", item="page"))
    assert {state: (row["visit_count"], row["converted_count"]) for state, row in found.items()} == {
        "(start)": (3, 1), "list": (2, 1), "home": (3, 1), "till": (1, 0)
    }  # fmt: skip
    assert found["list"]["conversion_probability"] == 0.5
    assert found["till"]["conversion_probability"] == 0.0
    clicks.loc[clicks["event"] == "buy", "page"] = None  # a conversion on no page converts too
    with pytest.warns(DataQualityWarning, match="1 of 8 events have no page and are left out"):
        assert measured(conversion_table(clicks, converted="buy", item="page")) == found


def test_a_conversion_that_is_a_page_says_what_to_type():
    clicks = pd.DataFrame(clicks_of(WAYS)).assign(page="till")
    with pytest.warns(
        DataQualityWarning, match=r"converted names 'till', .*A page has this.*Events\(data, event=None\)"
    ):
        conversion_table(clicks, converted="till", item="page")
    alone = clicks.assign(page=clicks["event"])
    found = conversion_table(Events(alone, event=None), converted="buy", item="page")
    assert found.equals(conversion_table(clicks, converted="buy"))


def test_replicates_keep_to_one_thread_and_leave_the_others_as_they_were(monkeypatch):
    def threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    seen, replicate = [], _Moves.replicate

    def watched(self, seed):
        seen.extend(threads())
        return replicate(self, seed)

    monkeypatch.setattr(_Moves, "replicate", watched)
    with threadpool_limits(2, user_api="blas"):
        conversion_table(pd.DataFrame(clicks_of(WAYS)), converted="buy", replicates=20)
        after = threads()
    assert set(seen) == {1}
    assert set(after) == {2}


def test_refusals_say_what_to_type():
    clicks = pd.DataFrame(clicks_of(WAYS))
    with pytest.raises(SchemaError, match=r"conversion_table: converted must be an event or a list of events"):
        conversion_table(clicks, converted=None)
    with pytest.raises(SchemaError, match=r"conversion_table: replicates must be a whole number of at least 20, got 5"):
        conversion_table(clicks, converted="buy", replicates=5)
    with pytest.raises(SchemaError, match=r"conversion_table: random_state must be a whole number"):
        conversion_table(clicks, converted="buy", random_state=-1)
    with pytest.raises(MissingColumnsError, match=r"conversion_table needs \['customer_id'\]"):
        conversion_table(clicks, converted="buy", by="customer_id")
    with pytest.raises(SchemaError, match=r"no event is left that has 'event'"):
        conversion_table(clicks, converted="buy", as_of="2001-01-01")


# -- real data -----------------------------------------------------------------------------------------------------


def test_an_online_shop_converts_from_payment_most(shared_data):
    clicks = pd.read_parquet(shared_data / "clickstream_ecom.parquet").rename(columns={"user_id": "customer_id"})
    found = measured(conversion_table(clicks, converted="purchase"))
    buying = clicks.loc[clicks["event"] == "purchase", "session_id"].nunique()
    sessions = clicks["session_id"].nunique()
    assert (
        (found["(start)"]["converted_count"], found["(start)"]["sequence_count"]) == (buying, sessions) == (470, 3605)
    )
    assert found["(start)"]["conversion_probability"] == pytest.approx(470 / 3605)
    assert list(found)[1] == "payment_details"
    paying = found["payment_details"]  # the chain forgets who has been in the cart: more of these pay than it says
    assert paying["observed_share"] > paying["conversion_probability_high"] + 0.1
