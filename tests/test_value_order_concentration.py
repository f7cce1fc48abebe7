"""What lasting concentration promises: closed forms, the likelihood's own bounds, a truth that is found again."""

import datetime as dt

import matplotlib as mpl
import matplotlib.pyplot as plt
import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from crmlytics import Transactions
from crmlytics._kernels import rate_concentration as kernel
from crmlytics._kernels.fitting import maximise
from crmlytics._kernels.poisson_gamma import NBD
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.testing import records
from crmlytics.value._customer_plots import plot_order_concentration
from crmlytics.value.order_concentration import _verdict, order_concentration_table

mpl.use("Agg")

AS_OF = dt.datetime(2024, 3, 31)


def ago(days):
    return AS_OF - dt.timedelta(days=days)


# a, b, c and d had ordered before the last 20 days; e came later; c's line is a return; the last line is at as_of
SALES = {
    "customer_id": ["a", "b", "c", "d", "a", "a", "a", "b", "c", "e", "d"],
    "order_id": list(range(11)),
    "timestamp": [ago(30), ago(21), ago(25), ago(40), ago(20), ago(10), ago(1), ago(5), ago(3), ago(2), AS_OF],
    "amount": [5.0, 5.0, 5.0, 5.0, 1.0, 1.0, 1.0, 9.0, -5.0, 9.0, 9.0],
}


# -- the table -----------------------------------------------------------------------------------------------------


def test_counts_by_hand_on_every_kind(frame):
    sales = frame(SALES)
    table = order_concentration_table(sales, as_of=AS_OF, windows=["20d", "5d"], top_share=0.4)
    assert type(table) is type(sales)
    found = records(table)
    # in 5 days a and b ordered once: the best 1.6 customers make 1.6 of 2; in 20 days a made 3 of 4, b the fourth
    assert [row[:6] for row in found] == [
        (5, ago(5), 4, 2, 0.5, 0.5),
        (20, ago(20), 4, 4, 1.0, 0.5),
    ]
    assert [row[7] for row in found] == [pytest.approx(1.6 / 2), pytest.approx((3 + 0.6) / 4)]
    # of the 20 days, one of a's three orders came in the first ten, and b's one in the later ten: 3 of 4 are late
    assert found[1][13] == pytest.approx(((2 - 2.25) ** 2 / (3 * 3 / 16) + (1 - 0.75) ** 2 / (3 / 16)) / 2)
    # two single orders vary less than chance: all are taken for alike, and the best 40 % make 40 % in the long run
    assert found[0][9] == 0.4
    assert found[0][12] is None
    assert found[0][6] == pytest.approx(np.exp(-0.5))
    assert found[1][10] <= found[1][9] <= found[1][11]
    assert found[1][9] == pytest.approx(kernel.lasting_top_share(found[1][12], 0.4))
    assert found[0][15].startswith("In 5 days the top 40% of customers made 80% of orders; in the long run")
    dtypes = [str(dtype) for dtype in nw.from_native(table).collect_schema().values()]
    assert dtypes[2:4] == ["Int64", "Int64"]
    assert dtypes[4:] == [*["Float64"] * 10, "String", "String"]


def test_a_window_without_orders_has_no_shares():
    sales = pd.DataFrame(SALES)[:4]
    row = order_concentration_table(sales, as_of=AS_OF, windows=["10d"]).iloc[0]
    assert (row["customer_count"], row["order_count"], row["silent_share"]) == (4, 0, 1.0)
    assert row[["expected_silent_share", "order_share", "lasting_order_share", "rate_shape"]].isna().all()
    assert (row["verdict"], row["finding"]) == ("no orders", "Nobody ordered in the last 10 days.")


def simulated(shape, mean, customers, seed):
    """Orders of a year at gamma rates, each customer's first one before it."""
    random = np.random.default_rng(seed)
    each = 1 + random.poisson(random.gamma(shape, mean / shape, customers))
    days = np.concatenate([np.append(400, random.integers(1, 366, orders - 1)) for orders in each])
    return pd.DataFrame({
        "customer_id": np.repeat(np.arange(customers), each), "order_id": np.arange(each.sum()), "amount": 1.0,
        "timestamp": pd.Timestamp(AS_OF) - pd.to_timedelta(days, unit="D"),
    })  # fmt: skip


def test_windows_look_more_concentrated_than_what_lasts_which_is_the_same_in_all():
    table = order_concentration_table(simulated(1.0, 10.0, 3_000, 3), as_of=AS_OF, windows=["30d", "90d", "365d"])
    truth = 0.2 * (1 - np.log(0.2))
    assert table["order_share"].is_monotonic_decreasing
    assert (table["order_share"] > truth + 0.01).all()
    assert (table["order_share"] - table["expected_order_share"]).abs().max() < 0.02
    assert (table["silent_share"] - table["expected_silent_share"]).abs().max() < 0.02
    assert ((table["lasting_order_share_low"] < truth) & (truth < table["lasting_order_share_high"])).all()
    assert (table["lasting_order_share"] - truth).abs().max() < 0.03
    assert table["verdict"].unique().tolist() == ["fits"]


@pytest.mark.parametrize("when", ["before", "within"])
def test_customers_who_leave_are_seen_in_the_longest_window_and_nothing_is_claimed(when):
    sales, random = simulated(1.0, 10.0, 3_000, 3), np.random.default_rng(4)
    day = (sales["timestamp"] - pd.Timestamp(ago(400))).dt.days
    stayed = np.where(random.random(3_000) < 0.4, 10, 999) if when == "before" else random.exponential(600, 3_000)
    stays = sales[day <= stayed[sales["customer_id"]]]
    table = order_concentration_table(stays, as_of=AS_OF, windows=["90d", "365d"])
    assert table["verdict"].tolist() == ["does not fit"] * 2
    below = table["expected_order_share"].iloc[1] - table["order_share"].iloc[1]
    assert (below > 0.02, table["change_index"].iloc[1] > 1.2) == (when == "before", when == "within")
    assert table["finding"].str.contains("of orders. What lasts cannot be told").all()


@pytest.mark.parametrize(
    ("off", "index", "deviations", "customers", "verdict"),
    [
        (0.019, 1.19, 9.0, 10_000, "fits"),
        (-0.021, 1.0, 0.0, 10_000, "does not fit"),
        (0.021, 1.0, 0.0, 10_000, "does not fit"),
        (0.055, 1.5, 1.9, 100, "fits"),
        (-0.065, 1.0, 0.0, 100, "does not fit"),
        (0.0, 1.21, 2.1, 100, "does not fit"),
        (0.0, 0.79, -2.1, 100, "does not fit"),
        (0.0, np.nan, np.nan, 100, "fits"),
    ],
)
def test_a_model_fits_within_two_points_a_fifth_and_chance(off, index, deviations, customers, verdict):
    row = {"orders_per_customer": 1.0, "order_share": 0.6 + off, "expected_order_share": 0.6}
    assert _verdict(row | {"change_index": index, "_off": deviations}, customers) == verdict


def test_the_order_of_rows_and_the_future_change_nothing():
    sales = pd.DataFrame(SALES)
    mixed = sales.sample(frac=1, random_state=1)
    poison = sales.assign(timestamp=AS_OF, order_id=range(100, 111), amount=1e9)
    tables = (sales, mixed, pd.concat([sales, poison]))
    one, two, three = (order_concentration_table(data, as_of=AS_OF, windows=["20d"]) for data in tables)
    pd.testing.assert_frame_equal(one, two)
    pd.testing.assert_frame_equal(one, three)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"windows": ["40d"]}, r'nobody had ordered before 2024-02-20, .* of 2024-02-20. .*ones: windows=\["20d"\]'),
        ({"as_of": "2020-01-01"}, "no line lies before as_of=2020-01-01 00:00. Check as_of and the data"),
        ({"as_of": "2024-02-21"}, "A day of orders tells nothing of what lasts"),
        ({"windows": []}, "windows holds nothing"),
        ({"windows": ["1m"]}, "windows must be a duration"),
        ({"top_share": 20}, "top_share must be a fraction between 0 and 1, such as top_share=0.2, got 20"),
    ],
)
def test_refusals_say_what_to_type(more, said):
    with pytest.raises(SchemaError, match=f"order_concentration_table: .*{said}"):
        order_concentration_table(pd.DataFrame(SALES), **{"as_of": AS_OF} | more)


def test_picture():
    table = order_concentration_table(pd.DataFrame(SALES), as_of=AS_OF, windows=["5d", "20d"], top_share=0.4)
    ax = plot_order_concentration(table)
    assert ax.lines[0].get_ydata() == pytest.approx([0.8, 0.9])
    assert ax.lines[1].get_ydata() == pytest.approx(table["expected_order_share"])
    bars = ax.containers[0][2][0].get_segments()
    assert bars[1][:, 1] == pytest.approx(table.loc[1, ["lasting_order_share_low", "lasting_order_share_high"]])
    with pytest.raises(MissingColumnsError, match=r"draws the result of order_concentration_table\(\.\.\.\)"):
        plot_order_concentration(pd.DataFrame(SALES))
    plt.close("all")


def test_online_retail_is_less_concentrated_than_a_month_shows(shared_data):
    raw = pd.read_parquet(shared_data / "online_retail.parquet")
    with pytest.warns(match="set aside"):
        tx = Transactions(raw, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate",
                          quantity="Quantity", unit_price="UnitPrice")  # fmt: skip
    table = order_concentration_table(tx, as_of="2011-12-10")
    assert table["customer_count"].unique().tolist() == [2821]
    assert table["order_share"].tolist() == pytest.approx([0.753, 0.677, 0.651], abs=5e-4)
    assert (table["order_share"] - table["expected_order_share"]).abs().max() < 0.02  # the model fits
    assert table["lasting_order_share"].tolist() == pytest.approx([0.628, 0.590, 0.588], abs=5e-4)


# -- the arrays ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("top", [0.05, 0.2, 0.5])
def test_lasting_share_in_closed_form(top):
    assert kernel.lasting_top_share(1.0, top) == pytest.approx(top * (1 - np.log(top)))  # exponential rates
    # r = 2: with e^-x (1 + x) = q the fastest make e^-x (1 + x + x^2 / 2)
    x = special.gammainccinv(2, top)
    assert np.exp(-x) * (1 + x) == pytest.approx(top)
    assert kernel.lasting_top_share(2.0, top) == pytest.approx(top + np.exp(-x) * x**2 / 2)
    assert kernel.lasting_top_share(np.inf, top) == top
    assert kernel.lasting_top_share(1e6, top) == pytest.approx(top, abs=1e-3)


@settings(max_examples=40)
@given(st.floats(0.2, 20), st.floats(0.05, 30), st.floats(0.02, 0.9))
def test_window_share_is_that_of_the_counts_one_by_one(shape, mean, top):
    n = np.arange(4_000)
    chance = stats.nbinom.pmf(n, shape, shape / (shape + mean))
    descending = chance[::-1]
    used = np.minimum(np.maximum(top - (np.cumsum(descending) - descending), 0), descending)
    found = kernel.window_top_share(shape, mean, top)
    assert found == pytest.approx((used * n[::-1]).sum() / (chance * n).sum(), abs=1e-6)
    assert found >= kernel.lasting_top_share(shape, top) - 1e-9
    assert kernel.window_top_share(shape, 2 * mean, top) <= found + 1e-9
    assert kernel.window_silent_share(shape, mean) == pytest.approx(chance[0])


def test_a_window_without_end_shows_what_lasts_and_one_of_equals_is_poisson():
    assert kernel.window_top_share(0.7, 1e5, 0.2) == pytest.approx(kernel.lasting_top_share(0.7, 0.2), abs=1e-4)
    counts = stats.poisson(3.0)
    # the best fifth: all with 5 orders or more, and as many with 4 as are missing
    above = counts.sf(4)
    assert above < 0.2 < counts.sf(3)
    expected = (3.0 - counts.pmf(np.arange(5)) @ np.arange(5) + (0.2 - above) * 4) / 3.0
    assert kernel.window_top_share(np.inf, 3.0, 0.2) == pytest.approx(expected)
    assert kernel.window_silent_share(np.inf, 3.0) == pytest.approx(np.exp(-3))


def test_the_share_counted_cuts_equals_at_the_border():
    counts = np.array([0, 4, 2, 2, 0])
    assert kernel.counted_top_share(counts, 0.2) == 4 / 8
    assert kernel.counted_top_share(counts, 0.3) == pytest.approx(5 / 8)
    assert kernel.counted_top_share(counts, 0.7) == 1.0


def test_shape_is_the_likeliest_and_its_bounds_are_where_the_likelihood_falls():
    counts = np.random.default_rng(2).poisson(np.random.default_rng(1).gamma(0.8, 3.0, 400))
    shape, low, high = kernel.rate_shape(counts, 0.95)
    x, window, ones = counts.astype(float), np.ones(400), np.ones(400)
    fitted = maximise(NBD.objective(x, 0 * x, window, ones), NBD.starts, weight=400)
    assert shape == pytest.approx(fitted.params[0], rel=1e-4)

    def likelihood(r):
        return stats.nbinom.logpmf(counts, r, r / (r + counts.mean())).sum()

    for bound in (low, high):
        assert 2 * (likelihood(shape) - likelihood(bound)) == pytest.approx(stats.chi2.ppf(0.95, 1), abs=1e-4)
    assert low < shape < high


def test_counts_that_vary_no_more_than_chance_are_of_equals():
    shape, low, high = kernel.rate_shape(np.array([2, 3, 2, 3] * 25), 0.95)
    assert np.isinf(shape)
    assert np.isinf(high)
    assert low > 1  # that they differ much is excluded


def test_one_buyer_among_many_is_an_extreme_and_no_failure():
    shape, low, high = kernel.rate_shape(np.array([50, *[0] * 200]), 0.95)
    assert low <= shape <= high < 0.1
    assert kernel.lasting_top_share(shape, 0.2) == pytest.approx(1.0, abs=1e-3)


def test_halves_of_a_window_by_hand():
    late, counts = np.array([4, 0, 1, 0]), np.array([4, 4, 2, 0])
    index, off = kernel.change_index(late, counts)  # 5 of 10 are late, so a half is due to each
    assert index == pytest.approx((4 / 1 + 4 / 1 + 0) / 3)
    variance = 2 * (1 + 2 - 6 / 4) + (2 + 2 - 6 / 2)  # E(x^4) / v^2 - 1 of the binomial, v = n / 4
    assert off == pytest.approx((8 - 3) / np.sqrt(variance))
    assert np.isnan(kernel.change_index(counts, counts)).all()
    assert np.isnan(kernel.change_index(0 * counts, 0 * counts)).all()
    assert kernel.change_index(np.array([1, 0]), np.array([1, 1])) == (1.0, 0.0)  # single orders say nothing


def test_halves_of_steady_customers_differ_by_chance_whatever_the_season():
    random, far = np.random.default_rng(6), []
    for _ in range(200):
        rate = random.gamma(0.8, 4.0, 150)
        early, late = random.poisson(rate), random.poisson(1.8 * rate)  # a season of all
        far.append(kernel.change_index(late, early + late)[1])
    assert abs(np.mean(far)) < 0.2
    assert np.std(far) == pytest.approx(1.0, abs=0.15)


def test_intervals_hold_the_truth_as_often_as_they_say():
    random, truth = np.random.default_rng(8), kernel.lasting_top_share(0.6, 0.2)
    held = 0
    for _ in range(100):
        _, low, high = kernel.rate_shape(random.poisson(random.gamma(0.6, 3.0, 150)), 0.9)
        held += kernel.lasting_top_share(high, 0.2) <= truth <= kernel.lasting_top_share(low, 0.2)
    assert 82 <= held <= 97  # of 90 expected
