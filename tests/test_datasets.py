"""What the data promise: the numbers of their sources, and made data whose truth can be counted."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crmlytics import datasets
from crmlytics.datasets import (
    data_path,
    load_cdnow,
    load_complete_journey,
    load_donations,
    load_online_retail,
    make_transactions,
)
from crmlytics.exceptions import CrmlyticsError, MissingColumnsError, SchemaError

CLEAN = dict.fromkeys(
    [
        "return_rate",
        "missing_customer_rate",
        "duplicate_rate",
        "zero_price_rate",
        "negative_price_rate",
        "cancellation_rate",
        "infinite_amount_rate",
    ],
    0.0,
)

# --- bundled data ------------------------------------------------------------------------------------------------


def test_cdnow_has_the_counts_that_the_papers_give():
    master, sample = load_cdnow("master"), load_cdnow()
    assert (len(master), master["customer_id"].nunique()) == (69_659, 23_570)  # Fader & Hardie 2001
    assert (len(sample), sample["customer_id"].nunique()) == (6_919, 2_357)
    assert list(sample) == list(master) == ["customer_id", "sample_id", "order_id", "date", "quantity", "amount"]
    assert sample.dtypes.to_dict() == master.dtypes.to_dict()
    assert master["order_id"].tolist() == list(range(1, 69_660))
    assert sample.index.tolist() == list(range(6_919))
    assert (master["date"].min(), master["date"].max()) == (pd.Timestamp("1997-01-01"), pd.Timestamp("1998-06-30"))
    assert round(master["amount"].sum(), 2) == 2_500_315.63
    assert round(sample["amount"].sum(), 2) == 244_091.94


def test_cdnow_sample_repeats_the_calibration_period_of_the_papers():
    sample = load_cdnow()
    days = sample[sample["date"] <= "1997-09-30"].drop_duplicates(["sample_id", "date"])
    repeats = days.groupby("sample_id")["date"].count() - 1
    assert repeats.sum() == 2_457
    weeks = (pd.Timestamp("1997-09-30") - days.groupby("sample_id")["date"].min()).dt.days / 7
    assert round(weeks.max(), 3) == 38.857
    span = days[days["sample_id"] == 1516]["date"]
    first = span.min()
    assert (len(span) - 1, round((span.max() - first).days / 7, 3)) == (26, 30.857)
    assert (pd.Timestamp("1997-09-30") - first).days / 7 == 31


def test_cdnow_refuses_another_part():
    with pytest.raises(SchemaError, match=r"load_cdnow: which must be one of \['sample', 'master'\], got 'half'"):
        load_cdnow("half")


def test_donations_is_the_published_table():
    table = load_donations()
    assert list(table) == ["frequency", "recency", "periods", "weights"]
    assert len(table) == 22
    assert table["weights"].sum() == 11_104
    assert table.iloc[0].tolist() == [0, 0, 6, 3464]
    assert table.iloc[-1].tolist() == [6, 6, 6, 1203]


def test_complete_journey_is_whole_and_linked():
    cj = load_complete_journey()
    households = set(cj.transactions["household_id"])
    assert (len(cj.transactions), len(households), cj.transactions["basket_id"].nunique()) == (513_470, 600, 52_538)
    assert round(cj.transactions["sales_value"].sum(), 2) == 1_592_453.15
    assert (cj.transactions["quantity"] == 0).sum() == 3_267
    assert cj.transactions.dtypes["transaction_timestamp"] == "datetime64[us]"
    assert not cj.transactions.duplicated().any()
    for table in (cj.demographics, cj.campaigns, cj.coupon_redemptions):
        assert set(table["household_id"]) <= households
    assert len(cj.demographics) == cj.demographics["household_id"].nunique() == 400
    undescribed = ~cj.transactions["product_id"].isin(cj.products["product_id"])
    assert undescribed.sum() == 1_911
    assert cj.products["product_id"].is_unique
    assert set(cj.coupons["product_id"]) <= set(cj.transactions["product_id"])
    assert set(cj.campaigns["campaign_id"]) <= set(cj.campaign_descriptions["campaign_id"])


def test_each_folder_says_where_it_comes_from():
    for folder in ("complete_journey", "cdnow", "donations"):
        text = data_path(folder, "SOURCE.md").read_text(encoding="utf-8")
        for part in ("**Origin.**", "**Licence.**", "**Citation.**", "**How made.**"):
            assert part in text


def test_bundled_data_stay_small():
    files = [file for file in data_path("complete_journey").iterdir() if file.suffix == ".parquet"]
    assert sum(file.stat().st_size for file in files) <= 4 * 2**20


def test_data_are_found_in_a_checkout_and_in_an_installed_package(tmp_path, monkeypatch):
    from crmlytics.datasets import _bundled

    package = tmp_path / "src" / "crmlytics" / "datasets"
    (tmp_path / "datasets" / "x").mkdir(parents=True)
    monkeypatch.setattr(_bundled, "_PACKAGE", package)
    with pytest.raises(CrmlyticsError, match=r"no bundled file 'x'; looked in .*crmlytics/datasets/data\."):
        data_path("x")  # a folder called datasets that is not ours
    (tmp_path / "pyproject.toml").touch()
    assert data_path("x") == tmp_path / "datasets" / "x"
    (package / "data" / "x").mkdir(parents=True)
    assert data_path("x") == package / "data" / "x"


def test_missing_data_say_what_was_looked_for():
    with pytest.raises(CrmlyticsError, match=r"no bundled file 'cdnow/nothing\.csv'.*Reinstall crmlytics"):
        data_path("cdnow", "nothing.csv")


def test_importing_the_datasets_loads_nothing_heavy():
    code = (
        "import sys, crmlytics.datasets; print(sorted({'pandas', 'numpy', 'pyarrow', 'openpyxl'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# --- the user's own copy of Online Retail --------------------------------------------------------------------------

ONLINE_RETAIL = """InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country
536365,85123A,HANGING HEART,6,12/1/2010 8:26,2.55,17850,United Kingdom
C536379,22720,,-1,12/13/2010 9:41,27.5,,United Kingdom
"""


def test_online_retail_as_downloaded_gets_sane_kinds(tmp_path):
    (tmp_path / "data.csv").write_text(ONLINE_RETAIL)
    frame = load_online_retail(tmp_path / "data.csv")
    assert frame["InvoiceNo"].tolist() == ["536365", "C536379"]
    assert frame["StockCode"].tolist() == ["85123A", "22720"]
    assert frame["Description"].isna().tolist() == [False, True]
    assert frame["InvoiceDate"].tolist() == [pd.Timestamp("2010-12-01 08:26"), pd.Timestamp("2010-12-13 09:41")]
    assert frame["CustomerID"].tolist() == [17850, pd.NA]
    assert [str(kind) for kind in frame.dtypes[["Quantity", "UnitPrice", "CustomerID"]]] == [
        "int64",
        "float64",
        "Int64",
    ]


def test_online_retail_from_parquet_with_float_ids(tmp_path):
    pd.DataFrame(
        {
            "InvoiceNo": [536365, 536366],
            "StockCode": ["85123A", None],
            "Description": ["x", "y"],
            "Quantity": [1, 2],
            "InvoiceDate": pd.to_datetime(["2010-12-01 08:26", "2010-12-02 00:00"]),
            "UnitPrice": [1, 2],
            "CustomerID": [17850.0, np.nan],
            "Country": ["France", "France"],
        }
    ).to_parquet(tmp_path / "copy.parquet")
    frame = load_online_retail(tmp_path / "copy.parquet")
    assert frame["InvoiceNo"].tolist() == ["536365", "536366"]
    assert frame["StockCode"].isna().tolist() == [False, True]
    assert frame["CustomerID"].tolist() == [17850, pd.NA]


def test_the_real_online_retail_is_read_line_by_line():
    path = Path(__file__).parents[2] / "shared" / "data" / "online_retail.parquet"
    if not path.exists():
        pytest.skip("needs ../shared/data")
    frame = load_online_retail(path)
    assert len(frame) == 541_909
    assert frame["CustomerID"].isna().sum() == 135_080
    assert round((frame["Quantity"] * frame["UnitPrice"]).sum(), 3) == 9_747_747.934


def test_online_retail_says_where_to_get_it_and_knows_another_table(tmp_path):
    with pytest.raises(CrmlyticsError, match=r"no file '.*gone\.xlsx'.*\"Online Retail\" \(id 352\).*UCI"):
        load_online_retail(tmp_path / "gone.xlsx")
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(MissingColumnsError, match=r"lacks the columns \['InvoiceNo', .*is it UCI dataset 352\?"):
        load_online_retail(tmp_path / "other.csv")


# --- made transactions -------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_tables_and_another_seed_others():
    one, same, other = (make_transactions(customers=50, random_state=seed) for seed in (4, 4, 5))
    for name in ("transactions", "lines", "customers", "products"):
        pd.testing.assert_frame_equal(getattr(one, name), getattr(same, name))
    assert not one.customers["weekly_order_rate"].equals(other.customers["weekly_order_rate"])


def test_every_kind_of_dirt_is_planted_exactly_and_shows():
    rates = {
        "missing_customer": 0.03,
        "duplicate": 0.02,
        "zero_price": 0.015,
        "negative_price": 0.01,
        "infinite_amount": 0.005,
        "cancelled": 0.04,
    }
    names = {f"{kind}_rate": rate for kind, rate in rates.items() if kind != "cancelled"}
    made = make_transactions(customers=400, return_rate=0.025, cancellation_rate=0.04, random_state=2, **names)
    tx, dirt = made.transactions, made.lines["dirt"]
    clean_world = make_transactions(customers=400, random_state=2, **CLEAN)
    sold = len(clean_world.transactions)

    counts = dirt.value_counts()
    for kind, rate in rates.items():
        assert counts[kind] == round(rate * sold)
    assert counts["cancellation"] == counts["cancelled"]
    assert made.lines["is_return"].sum() == round(0.025 * sold)
    assert len(tx) == sold + counts["duplicate"] + counts["cancellation"] + made.lines["is_return"].sum()

    assert tx["customer_id"].isna().equals(dirt == "missing_customer")
    assert tx.duplicated().equals(dirt == "duplicate")
    assert (tx["unit_price"] == 0).equals(dirt == "zero_price")
    assert (tx["unit_price"] < 0).equals(dirt == "negative_price")
    assert np.isinf(tx["amount"]).equals(dirt == "infinite_amount")
    assert (tx["quantity"] < 0).equals((dirt == "cancellation") | made.lines["is_return"])
    assert tx["order_id"].str.startswith("C").equals(dirt == "cancellation")
    assert tx["order_id"].str.startswith("R").equals(made.lines["is_return"])


def test_a_cancellation_follows_its_original_and_undoes_it():
    made = make_transactions(customers=300, cancellation_rate=0.05, random_state=3)
    tx, dirt = made.transactions, made.lines["dirt"]
    key = ["customer_id", "product_id", "unit_price"]
    undone = tx[dirt == "cancellation"].assign(order_id=lambda t: t["order_id"].str[1:])
    pairs = tx[dirt == "cancelled"].merge(undone, on=[*key, "order_id"], suffixes=("", "_undone"))
    assert len(pairs) == (dirt == "cancelled").sum() > 50
    assert (pairs["quantity"] == -pairs["quantity_undone"]).all()
    assert (pairs["timestamp_undone"] - pairs["timestamp"]).between(pd.Timedelta(0), pd.Timedelta(hours=1)).all()


def test_without_dirt_every_line_is_clean_and_adds_up():
    made = make_transactions(customers=300, random_state=6, **CLEAN)
    tx = made.transactions
    assert (made.lines["dirt"] == "clean").all()
    assert (made.lines["true_customer_id"] == tx["customer_id"]).all()
    assert (tx["amount"] == tx["quantity"] * tx["unit_price"]).all()
    assert tx["amount"].min() > 0
    assert not tx.duplicated().any()
    assert tx["timestamp"].is_monotonic_increasing
    per_customer = tx.groupby("customer_id").agg(
        orders=("order_id", "nunique"), first=("timestamp", "min"), last=("timestamp", "max")
    )
    per_customer.index = per_customer.index.astype("int64")
    truth = made.customers.set_index("customer_id")
    assert (per_customer["orders"] == truth["order_count"]).all()
    assert (per_customer["first"] == truth["joined_at"]).all()
    left = truth["dropped_out_at"].notna()
    assert 0 < left.sum() < len(left)
    assert (per_customer["last"] == truth["dropped_out_at"])[left].all()


def test_planted_laws_are_recovered():
    made = make_transactions(
        customers=20_000, purchase_rate=(2.0, 8.0), dropout=(1.0, 4.0), spend=(6.0, 5.0, 24.0), products=5, **CLEAN
    )
    truth = made.customers
    assert truth["weekly_order_rate"].mean() == pytest.approx(2 / 8, rel=0.02)
    assert truth["weekly_order_rate"].var() == pytest.approx(2 / 8**2, rel=0.05)
    assert truth["dropout_probability"].mean() == pytest.approx(1 / 5, rel=0.02)
    assert truth["mean_order_amount"].mean() == pytest.approx(6 * 24 / (5 - 1), rel=0.02)
    amounts = made.transactions.groupby("order_id")["amount"].sum()
    customer = made.transactions.groupby("order_id")["customer_id"].first()
    expected = customer.map(truth.set_index("customer_id")["mean_order_amount"]).astype(float)
    assert (amounts / expected).mean() == pytest.approx(1, rel=0.01)
    assert (amounts / expected).var() == pytest.approx(1 / 6, rel=0.03)  # Gamma with shape p = 6
    picked = made.transactions["product_id"].value_counts().index.tolist()
    assert picked == made.products["product_id"].tolist()


@pytest.mark.parametrize(("process", "share"), [("mbg_nbd", 0.25), ("bg_nbd", 0.0)])
def test_only_mbg_nbd_lets_customers_leave_after_their_first_order(process, share):
    made = make_transactions(customers=8_000, process=process, dropout=(2.0, 6.0), **CLEAN).customers
    left_at_once = (made["order_count"] == 1) & made["dropped_out_at"].notna()
    assert left_at_once.mean() == pytest.approx(share, abs=0.015)


def test_orders_of_those_who_stay_are_poisson_in_the_time_they_had():
    made = make_transactions(customers=8_000, joining_days=1, days=728, dropout=(1e-6, 1.0), seasonality=0.0, **CLEAN)
    truth = made.customers
    expected = truth["weekly_order_rate"] * 104
    assert truth["dropped_out_at"].isna().all()
    assert (truth["order_count"] - 1).sum() == pytest.approx(expected.sum(), rel=0.01)
    standard = (truth["order_count"] - 1 - expected) / np.sqrt(expected)
    assert standard.var() == pytest.approx(1, rel=0.05)


def test_december_sells_more_with_seasons_and_not_without():
    def december_share(seasonality):
        tx = make_transactions(
            customers=4_000,
            joining_days=1,
            start="2023-01-01",
            days=365,
            dropout=(1e-6, 1.0),
            seasonality=seasonality,
            **CLEAN,
        ).transactions
        return (tx["timestamp"] >= "2023-12-01").sum() / (tx["timestamp"] >= "2023-01-02").sum()

    flat, wave = december_share(0.0), december_share(0.5)
    assert flat == pytest.approx(31 / 364, rel=0.04)
    assert wave == pytest.approx(31 / 364 * 1.48, rel=0.04)  # mean of 1 + .5 cos over December


@settings(max_examples=40, deadline=None)
@given(
    customers=st.integers(1, 40),
    days=st.integers(1, 800),
    products=st.integers(1, 6),
    rate=st.floats(0, 0.14),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_size_holds_together(customers, days, products, rate, seed):
    made = make_transactions(
        customers=customers,
        days=days,
        joining_days=days,
        products=products,
        random_state=seed,
        **dict.fromkeys(CLEAN, rate),
    )
    tx = made.transactions
    assert len(made.customers) == customers
    assert len(made.products) == products
    assert tx.index.equals(made.lines.index)
    assert tx["timestamp"].min() >= pd.Timestamp("2023-01-01")
    assert tx["timestamp"].max() < pd.Timestamp("2023-01-01") + pd.Timedelta(days=days)
    assert set(made.lines["true_customer_id"]) == set(range(1, customers + 1))
    assert tx.duplicated().sum() == (made.lines["dirt"] == "duplicate").sum()
    assert tx["product_id"].isin(made.products["product_id"]).all()
    assert tx.dtypes.astype(str).to_dict()["customer_id"] == "Int64"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"customers": 0}, "customers must be a whole number of at least 1, got 0"),
        ({"days": 1.5}, r"days must be a whole number of at least 1, got 1\.5"),
        ({"days": 10, "joining_days": 11}, "joining_days=11 is longer than the data, days=10"),
        ({"process": "nbd"}, r"process must be one of \['mbg_nbd', 'bg_nbd'\], got 'nbd'"),
        ({"purchase_rate": (1.0,)}, r"purchase_rate must be \(r, alpha\), all above 0, got \(1\.0,\)"),
        ({"spend": (6, 4, 0)}, r"spend must be \(p, q, gamma\), all above 0"),
        ({"duplicate_rate": -0.1}, "the rate of 'duplicate' must lie between 0 and 1"),
        ({"duplicate_rate": 0.6, "zero_price_rate": 0.6}, r"the rates sum to 1\.2.*at most 1"),
        ({"seasonality": 1}, r"seasonality must lie in \[0, 1\), got 1"),
        ({"lines_per_order": 0.5}, r"lines_per_order must be at least 1, got 0\.5"),
        ({"start": "yesterday"}, "start must be a date"),
    ],
)
def test_impossible_wishes_are_refused(wrong, message):
    with pytest.raises(SchemaError, match=f"make_transactions: .*{message}|make_transactions: {message}"):
        make_transactions(**wrong)


def test_public_names_are_there():
    assert all(hasattr(datasets, name) for name in datasets.__all__)
