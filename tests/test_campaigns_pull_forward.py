"""What pull-forward figures promise: both periods by hand, shares with honest intervals, categories corrected."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from crmlytics import Events
from crmlytics._kernels.panel_effects import differences, means_of
from crmlytics.campaigns.measuring._since_contact import read_since_contact
from crmlytics.campaigns.measuring.effects import effect_table
from crmlytics.campaigns.measuring.pull_forward import _share, pull_forward_table
from crmlytics.campaigns.outcomes import outcome_table
from crmlytics.exceptions import DataQualityWarning, SchemaError
from crmlytics.testing import make_frame, records

START = dt.datetime(2024, 6, 1)


def at(days):
    return START + dt.timedelta(days=days)


CONTACTS = {
    "customer_id": [1, 2, 3, 4, 5, 6],
    "timestamp": [at(0), at(0), at(9), at(0), at(0), at(9)],
    "arm": ["mail"] * 3 + ["control"] * 3,
}
# who, order, days since June 1st, amount, category
BOUGHT = [(1, 1, 0, 9.0, "tea"), (1, 1, 0, 3.0, "jam"), (1, 2, -1, 50.0, "tea"), (2, 3, 9, 11.0, "tea"),
          (3, 4, 18, 10.0, "tea"), (3, 5, 19, 1.0, None), (4, 6, 10, 6.0, "tea"), (5, 7, 29, 7.0, "jam"),
          (6, 8, 12, 2.0, "tea"), (6, 9, 38, 5.0, "tea"),
          (6, 10, 39, 70.0, "tea"), (4, 11, 30, 80.0, "tea")]  # fmt: skip
NAMES = ("customer_id", "order_id", "timestamp", "amount", "category")
ORDERS = dict(zip(NAMES, map(list, zip(*BOUGHT, strict=True)), strict=True))
ORDERS["timestamp"] = [at(days) for days in ORDERS["timestamp"]]
SPENT = {"mail": ([12, 11, 10], [0, 0, 1]), "control": ([0, 0, 2], [6, 7, 5])}  # in ten days, in twenty days after


def pulled(contacts=CONTACTS, orders=ORDERS, **options):
    options = {"as_of": "2024-08-01", "window": "10d", "after": "20d"} | options
    return pull_forward_table(make_frame(contacts, "pandas"), make_frame(orders, "pandas"), **options)


def test_customers_not_contacted_are_no_control_group():
    contacts = CONTACTS | {"arm": ["mail"] * 3 + ["not contacted"] * 3}
    with pytest.warns(DataQualityWarning, match="pull_forward_table: 'not contacted' is no control group.*See matched"):
        found = pulled(contacts, control="not contacted")
    pd.testing.assert_frame_equal(found, pulled())


def test_both_periods_by_hand_on_every_frame(frame):
    contacts = frame(CONTACTS)
    found = pull_forward_table(contacts, frame(ORDERS), as_of="2024-08-01", window="10d", after="20d")
    assert type(found) is type(contacts)
    names = list(pulled().columns)
    orders, revenue = (dict(zip(names, row, strict=True)) for row in records(found))
    assert [orders[name] for name in names[:5]] == ["campaign", "mail", "order_count", 3, 3]
    assert orders["window_difference"] == pytest.approx(1 - 1 / 3)
    assert orders["after_difference"] == pytest.approx(1 / 3 - 1)
    mail, control = (np.array(SPENT[arm], float) for arm in ("mail", "control"))
    for part, one, other in (
        ("window", mail[0], control[0]), ("after", mail[1], control[1]), ("net", mail.sum(0), control.sum(0))
    ):  # fmt: skip
        test = stats.ttest_ind(one, other, equal_var=False)
        interval = test.confidence_interval()
        found_here = [revenue[f"{part}_{name}"] for name in ("difference", "low", "high", "p_value")]
        expected = [one.mean() - other.mean(), interval.low, interval.high, test.pvalue]
        np.testing.assert_allclose(found_here, expected, rtol=1e-9)
    assert revenue["pulled_forward_share"] == pytest.approx((18 - 1) / (33 - 2))
    assert revenue["pulled_forward_share_low"] < 17 / 31 < revenue["pulled_forward_share_high"]
    assert revenue["reading"] == "more in the window, less afterwards: pulled forward; a net gain remains"
    assert orders["pulled_forward_share"] is None
    assert orders["reading"] == "no gain in the window that could be told from chance"


def test_categories_by_hand_and_amounts_that_add_up():
    found = pulled(by="category")
    revenue = found[found.metric == "revenue_amount"].set_index("category")
    assert revenue.index.tolist() == ["jam", "missing", "tea"]
    assert revenue.window_difference.tolist() == pytest.approx([3 / 3, 0, 30 / 3 - 2 / 3])
    assert revenue.after_difference.tolist() == pytest.approx([-7 / 3, 1 / 3, -11 / 3])
    whole = pulled().set_index("metric").loc["revenue_amount"]
    for part in ("window", "after", "net"):
        assert revenue[f"{part}_difference"].sum() == pytest.approx(whole[f"{part}_difference"])
    counts = found[found.metric == "order_count"].set_index("category")
    assert counts.window_difference.tolist() == pytest.approx([1 / 3, 0, 3 / 3 - 1 / 3])  # order 1 holds both


def test_p_values_are_adjusted_for_all_categories():
    plain, holm, fdr = (
        pulled(by="category", correction=name).set_index(["metric", "category"]).loc["revenue_amount"]
        for name in ("none", "holm", "benjamini_hochberg")
    )
    p = plain.window_p_value
    pd.testing.assert_series_equal(plain.window_adjusted_p_value, p, check_names=False)
    tea, jam = p["tea"], p["jam"]
    assert tea < jam < 1
    assert pd.isna(p["missing"])  # nobody bought any in the window: no test, and none to adjust for
    assert holm.window_adjusted_p_value["tea"] == pytest.approx(2 * tea)
    assert fdr.window_adjusted_p_value["tea"] == pytest.approx(min(2 * tea, jam))
    assert plain.window_low["tea"] > 0


def test_the_reading_goes_by_the_adjusted_p_values():
    """Of 30 categories without any effect some look like one alone, and none is called one."""
    random = np.random.default_rng(0)
    contacts = pd.DataFrame({"customer_id": range(300), "timestamp": START, "arm": ["mail", "control"] * 150})
    orders = pd.DataFrame({
        "customer_id": random.integers(0, 300, 6_000), "order_id": range(6_000), "amount": 5.0,
        "timestamp": [at(days) for days in random.integers(0, 30, 6_000).tolist()],
        "category": [f"c{number}" for number in random.integers(0, 30, 6_000)],
    })  # fmt: skip
    found = pull_forward_table(contacts, orders, as_of="2024-12-01", by="category")
    revenue = found[found.metric == "revenue_amount"]
    assert ((revenue.window_low > 0) | (revenue.window_high < 0)).any()
    assert set(revenue.reading) == {"no gain in the window that could be told from chance"}


def moved(seed, share, gain=20.0, count=400):
    """Return contacts and orders: mail brings forward what some customers would have bought later, and more."""
    random = np.random.default_rng(seed)
    treated = np.arange(2 * count) < count
    arm = np.where(treated, "mail", "control")
    contacts = pd.DataFrame({"customer_id": np.arange(2 * count), "timestamp": START, "arm": arm})
    usual = random.gamma(2, 20, (2 * count, 1)) * random.gamma(4, 0.25, (2 * count, 2)) + 30
    spent = usual + np.where(treated[:, None], np.array([gain, -share * gain]), 0.0)
    parts = [
        pd.DataFrame({"customer_id": np.arange(2 * count), "timestamp": at(day), "amount": spent[:, place]})
        for place, day in enumerate((5, 45))
    ]
    orders = pd.concat(parts, ignore_index=True)
    return contacts, orders.assign(order_id=np.arange(len(orders)))


def test_the_share_pulled_forward_lies_in_its_interval_as_often_as_it_says():
    """Both periods of a customer hang together: 1,500 trials in which .4 of the gain was only moved."""
    random, held = np.random.default_rng(7), []
    for _ in range(1_500):
        usual = random.gamma(2, 20, (600, 1)) * random.gamma(4, 0.25, (600, 2))
        treated, control = usual[:300] + np.array([20.0, -8.0]), usual[300:]
        share = _share(differences(means_of(treated), means_of(control)), 0.95)
        held.append(share is not None and share[0] <= 0.4 <= share[1])
    assert 0.94 <= np.mean(held) <= 0.965


def test_the_share_comes_with_its_interval():
    row = pull_forward_table(*moved(1, 0.4), as_of="2024-12-01").iloc[1]
    assert row.pulled_forward_share == pytest.approx(-row.after_difference / row.window_difference)
    assert row.pulled_forward_share_low < row.pulled_forward_share < row.pulled_forward_share_high


@pytest.mark.parametrize(
    ("share", "reading"),
    [
        (1.0, "more in the window, less afterwards: pulled forward; no net gain that could be told from chance"),
        (0.5, "more in the window, less afterwards: pulled forward; a net gain remains"),
        (-0.5, "more in the window and more afterwards"),
        (0.0, "more in the window, no change afterwards that could be told from chance; a net gain remains"),
    ],
)
def test_what_the_figures_say_in_words(share, reading):
    found = pull_forward_table(*moved(1, share, gain=30.0, count=1_500), as_of="2024-12-01")
    assert found.reading[1] == reading


def test_a_loss_is_told_as_one():
    found = pull_forward_table(*moved(2, 0.0, gain=-20.0), as_of="2024-12-01").iloc[1]
    assert found.reading == "less in the window: lost, or bought as something else"
    assert pd.isna(found.pulled_forward_share)


def test_a_small_control_group_is_read_as_effect_table_reads_it():
    """Nothing was done to anybody, and the 100 of the control group happened to buy little."""
    random = np.random.default_rng(10)
    who = np.flatnonzero(random.random(1_000) < 0.02)
    days = random.integers(0, 30, len(who))
    arm = ["mail"] * 900 + ["control"] * 100
    contacts = pd.DataFrame({"customer_id": range(1_000), "timestamp": START, "arm": arm})
    orders = pd.DataFrame({
        "customer_id": who, "order_id": who, "amount": random.lognormal(3, 1, len(who)),
        "timestamp": [at(day) for day in days.tolist()],
    })  # fmt: skip
    found = pull_forward_table(contacts, orders, as_of="2025-01-01").set_index("metric").loc["revenue_amount"]
    outcomes = outcome_table(contacts, orders, as_of="2025-01-01")
    effect = effect_table(outcomes, covariates=[]).set_index("metric").loc["revenue_amount"]
    told = found[["window_difference", "window_low", "window_high", "window_p_value"]].astype(float)
    expected = effect[["difference", "difference_low", "difference_high", "p_value"]].astype(float)
    np.testing.assert_allclose(told, expected)
    assert found.window_p_value > 0.2
    assert found.reading == "no gain in the window that could be told from chance"


def test_where_nothing_varies_nothing_can_be_told():
    contacts = {name: [*values[:2], *values[3:5]] for name, values in CONTACTS.items()}
    bought = pd.DataFrame({"customer_id": [1, 2], "order_id": [1, 2], "amount": 20.0, "timestamp": [at(1), at(8)]})
    found = pulled(contacts, bought).iloc[1]
    assert found.window_difference == 20
    assert found.filter(regex="_low|_high|p_value").isna().all()
    assert found.reading == "cannot be told: nothing varies between the customers of a group"


def test_where_nobody_buys_later_that_is_said():
    contacts, orders = moved(1, 0.0, gain=60.0)
    found = pull_forward_table(contacts, orders[: len(contacts)], as_of="2024-12-01").iloc[1]
    assert found.reading == "more in the window, what came after cannot be told; a net gain remains"


def test_windows_that_are_not_over_are_left_out_and_told():
    with pytest.warns(DataQualityWarning, match="2 of 6 customers are left out: the 30 days after the contact"):
        found = pulled(as_of=at(31))
    assert found.treated_count.tolist() == [2, 2]
    one_left = {name: values[:4] for name, values in CONTACTS.items()}
    found = pulled(one_left)
    assert set(found.reading) == {"Too few customers in a group: at least 2 are needed."}
    assert found.window_difference.isna().all()


@settings(max_examples=4)
@given(more=st.lists(st.tuples(st.integers(1, 6), st.integers(39, 99)), min_size=1, max_size=5))
def test_the_future_changes_nothing(more):
    later = pd.DataFrame(more, columns=["customer_id", "day"]).assign(order_id=99, amount=1e6, category="tea")
    later["timestamp"] = [at(days) for days in later.pop("day")]
    known = pd.DataFrame(ORDERS)
    poisoned = pd.concat([later, known], ignore_index=True)
    found = pull_forward_table(pd.DataFrame(CONTACTS)[::-1], poisoned, as_of=at(39), window="10d", after="20d")
    pd.testing.assert_frame_equal(found, pulled(as_of=at(39)))


def test_events_by_page():
    clicks = pd.DataFrame({
        "customer_id": [1, 2, 2, 4], "timestamp": [at(0), at(1), at(15), at(11)],
        "event": ["view", "view", "view", "view"], "page": ["shop", "shop", "help", "help"],
    })  # fmt: skip
    found = pull_forward_table(
        make_frame(CONTACTS, "pandas"), Events(clicks), as_of="2024-08-01", window="10d", after="20d", by="page"
    ).set_index("page")
    assert found.index.tolist() == ["help", "shop"]
    assert found.window_difference.tolist() == pytest.approx([0, 2 / 3])
    assert found.after_difference.tolist() == [0, 0]


def test_refusals():
    with pytest.raises(SchemaError, match=r"by='categroy' is no column of the Transactions. Did you mean 'category'\?"):
        pulled(by="categroy")
    with pytest.raises(SchemaError, match="correction must be one of"):
        pulled(correction="bonferroni")
    with pytest.raises(SchemaError, match="event='buy' goes with Events"):
        pulled(by="category", event="buy")
    with pytest.raises(SchemaError, match="has nobody in arm 'nobody'"):
        pulled(control="nobody")


def test_figures_are_read_as_aggregates():
    """One row per customer and period, however many lines there are."""
    import narwhals.stable.v2 as nw

    lines = pd.concat([pd.DataFrame(ORDERS)] * 50, ignore_index=True)
    lines["order_id"] = range(len(lines))
    read = read_since_contact(
        pd.DataFrame(CONTACTS), lines, as_of="2024-08-01", comparison="control", days=(0, 30),
        period=nw.when(nw.col("_day") < 10).then(nw.lit(0)).otherwise(nw.lit(1)), caller="test",
    )  # fmt: skip
    assert len(read.row) == len(set(zip(read.row.tolist(), read.period.tolist(), strict=True))) == 8


def test_an_unknown_event_is_refused_by_category_too():
    contacts = pd.DataFrame(
        {"customer_id": [1, 2], "arm": ["mail", "control"], "timestamp": pd.Timestamp("2024-01-01")}
    )
    clicks = pd.DataFrame({
        "customer_id": [1, 2], "timestamp": pd.Timestamp("2024-01-02"), "event": "view", "page": ["a", "b"],
    })  # fmt: skip
    with pytest.raises(SchemaError, match=r"no event is 'vew'. Did you mean 'view'"):
        pull_forward_table(contacts, clicks, as_of="2024-06-01", event="vew", by="page")
