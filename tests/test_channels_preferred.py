"""What preferred_channel_table promises: values by hand on every frame, an honest share, lazy where lazy."""

import datetime as dt
from collections import Counter

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from crmlytics import datasets
from crmlytics.channels.preferred import preferred_channel_table
from crmlytics.exceptions import SchemaError
from crmlytics.testing import make_frame, records

AS_OF = dt.datetime(2024, 3, 31)
COLUMNS = {
    "customer_id": nw.String(), "preferred_channel": nw.String(), "preferred_order_count": nw.Int64(),
    "order_count": nw.Int64(), "channel_count": nw.Int64(), "preferred_share": nw.Float64(),
    "prior_order_count": nw.Float64(), "is_clear": nw.Boolean(), "last_channel": nw.String(),
}  # fmt: skip


def ago(days):
    return AS_OF - dt.timedelta(days=days)


LINES = [  # customer, days ago, channel, amount
    *[("a", 20 - day, "web", 5.0) for day in range(4)], ("a", 3, None, 5.0),
    ("b", 9, "web", 5.0), ("b", 8, "store", 5.0),  # equal: the last order tells
    ("c", 7, "store", 5.0), ("c", 6, "store", 5.0), ("c", 5, "web", 5.0), ("c", 4, "web", -5.0),
    ("d", 2, None, 5.0),
    ("e", 2, "web", -5.0),  # a credit note is no order
    ("a", 0, "store", 9.0),  # at as_of
]  # fmt: skip
SALES = {
    "customer_id": [line[0] for line in LINES],
    "order_id": list(range(len(LINES))),
    "timestamp": [ago(line[1]) for line in LINES],
    "channel": [line[2] for line in LINES],
    "amount": [line[3] for line in LINES],
}


def test_counts_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = preferred_channel_table(sales, as_of=AS_OF)
    assert type(table) is type(sales)
    assert dict(nw.from_native(table).collect_schema()) == COLUMNS
    base = {"web": 6 / 9, "store": 3 / 9}
    alike = (1 + 0 + 2 / 6) / 3  # pairs of orders of a, b and c through one channel
    chance = base["web"] ** 2 + base["store"] ** 2
    assert alike < chance  # so a customer's own orders say nothing
    rows = records(table)
    assert [row[:5] for row in rows] == [
        ("a", "web", 4, 5, 1), ("b", "store", 1, 2, 2), ("c", "store", 2, 3, 2), ("d", None, 0, 1, 0)
    ]  # fmt: skip
    assert [row[6:] for row in rows] == [
        (None, False, "web"), (None, False, "store"), (None, False, "web"), (None, False, None)
    ]  # fmt: skip
    assert [row[5] for row in rows] == [pytest.approx(2 / 3), pytest.approx(1 / 3), pytest.approx(1 / 3), None]


@pytest.mark.parametrize("kind", ["polars-lazy", "duckdb"])
def test_lazy_tables_stay_lazy(kind, monkeypatch):
    sales = make_frame(SALES, kind)
    owner = type(sales)
    for name in ("collect", "fetchall", "to_arrow_table", "arrow"):
        if hasattr(owner, name):
            monkeypatch.setattr(owner, name, lambda *_, **__: pytest.fail("computed"), raising=False)
    table = preferred_channel_table(sales, as_of=AS_OF)
    assert type(table) is owner
    assert isinstance(nw.from_native(table), nw.LazyFrame)


def brute(lines):
    """Compute the shares from the definition, in plain Python."""
    counts, own = Counter(), {}
    for customer, channel in lines:
        counts[channel] += 1
        own.setdefault(customer, Counter())[channel] += 1
    whole = sum(counts.values())
    base = {channel: count / whole for channel, count in counts.items()}
    pairs = [
        sum(n * (n - 1) for n in uses.values()) / (sum(uses.values()) * (sum(uses.values()) - 1))
        for uses in own.values()
        if sum(uses.values()) > 1
    ]
    chance = sum(share**2 for share in base.values())
    likeness = 0.5 if not pairs else (np.mean(pairs) - chance) / (1 - chance) if chance < 1 - 1e-12 else 0.0
    likeness = 0.0 if chance > 1 - 1e-12 else max(likeness, 0.0)
    found = {}
    for customer, uses in own.items():
        total, top = sum(uses.values()), max(uses.values())
        found[customer] = {
            channel: (likeness * count + (1 - likeness) * base[channel]) / (likeness * total + 1 - likeness)
            for channel, count in uses.items()
            if count == top
        }
    return found


@settings(max_examples=15)
@given(lines=st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz")), min_size=1, max_size=30))
def test_the_share_is_that_of_the_definition_whatever_the_order_of_rows(lines):
    sales = pd.DataFrame({
        "customer_id": [line[0] for line in lines], "channel": [line[1] for line in lines], "amount": 1.0,
        "order_id": range(len(lines)), "timestamp": [ago(len(lines) - day) for day in range(len(lines))],
    })  # fmt: skip
    table = preferred_channel_table(sales.sample(frac=1, random_state=1), as_of=AS_OF)
    expected = brute(lines)
    for row in table.itertuples():
        assert row.preferred_share == pytest.approx(expected[row.customer_id][row.preferred_channel], abs=1e-9)
        assert row.last_channel == [channel for who, channel in lines if who == row.customer_id][-1]


@pytest.mark.parametrize("confidence", [0.3, 0.9, 0.95, 0.99])
def test_clear_is_never_less_strict_than_the_exact_test_and_hardly_stricter(confidence):
    counts = [(first, second) for first in range(1, 19) for second in range(min(first + 1, 19 - first))]
    lines = [
        (who, name) for who, both in enumerate(counts) for name, count in zip("xy", both, strict=True)
        for _ in range(count)
    ]  # fmt: skip
    sales = pd.DataFrame(lines, columns=["customer_id", "channel"])
    sales = sales.assign(order_id=range(len(lines)), amount=1.0, timestamp=ago(9))
    table = preferred_channel_table(sales, as_of=AS_OF, confidence=confidence)
    exact = np.array([binomtest(first, first + second).pvalue for first, second in counts])
    assert (exact[table["is_clear"]] < 1 - confidence).all()
    assert table["is_clear"][exact < (1 - confidence) / 2].all()
    found = dict(zip(counts, table["is_clear"].tolist(), strict=True))
    assert confidence != 0.95 or (found[6, 0], found[5, 0], found[8, 1], found[7, 1]) == (True, False, True, False)


@pytest.mark.parametrize("channels", [2, 5])
def test_of_customers_without_a_preference_hardly_any_is_clear(channels):
    random = np.random.default_rng(3)
    who = np.repeat(np.arange(6_000), 8)
    sales = pd.DataFrame({
        "customer_id": who, "order_id": np.arange(len(who)), "amount": 1.0, "timestamp": ago(9),
        "channel": np.array(list("abcde"))[random.integers(0, channels, len(who))],
    })  # fmt: skip
    assert preferred_channel_table(sales, as_of=AS_OF)["is_clear"].mean() < 0.05


def test_nobody_twice_lets_the_base_count_as_one_order():
    sales = pd.DataFrame({
        "customer_id": [1, 2, 3, 4], "order_id": range(4), "amount": 1.0, "timestamp": ago(9),
        "channel": ["x", "x", "x", "y"],
    })  # fmt: skip
    table = preferred_channel_table(sales, as_of=AS_OF)
    assert table["prior_order_count"].tolist() == [1.0] * 4
    assert table["preferred_share"].tolist() == [0.875, 0.875, 0.875, 0.625]


def test_the_strength_of_habits_is_found():
    random = np.random.default_rng(4)
    shares = random.beta(0.6 * 3, 0.4 * 3, 4_000)  # a base worth three orders
    orders = random.integers(2, 9, 4_000)
    who = np.repeat(np.arange(4_000), orders)
    sales = pd.DataFrame({
        "customer_id": who, "order_id": np.arange(len(who)), "amount": 1.0, "timestamp": ago(9),
        "channel": np.where(random.random(len(who)) < shares[who], "web", "store"),
    })  # fmt: skip
    table = preferred_channel_table(sales, as_of=AS_OF)
    assert table["prior_order_count"][0] == pytest.approx(3, abs=0.35)
    is_web = table["preferred_channel"] == "web"
    expected = np.where(is_web, shares, 1 - shares)
    assert table["preferred_share"].mean() == pytest.approx(expected.mean(), abs=0.01)  # a plain share is too large
    assert (table["preferred_order_count"] / table["order_count"]).mean() > expected.mean() + 0.03


def test_without_habits_a_clear_preference_is_rare():
    world = datasets.make_universe(customers=3_000, random_state=2)  # channels of orders are drawn for each alike
    table = preferred_channel_table(world.transactions, as_of="2025-06-24")
    assert table["is_clear"].mean() < 0.03
    assert not table["prior_order_count"].min() < 20


def test_since_and_what_is_wrong():
    table = preferred_channel_table(pd.DataFrame(SALES), as_of=AS_OF, since=ago(6))
    assert table["customer_id"].tolist() == ["a", "c", "d"]
    with pytest.raises(SchemaError, match="since must lie before as_of"):
        preferred_channel_table(pd.DataFrame(SALES), as_of=AS_OF, since="2025-01-01")
    with pytest.raises(SchemaError, match="confidence must be a fraction"):
        preferred_channel_table(pd.DataFrame(SALES), as_of=AS_OF, confidence=95)
