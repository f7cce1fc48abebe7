"""The data that come with crmlytics; origin, licence and making are in each folder's SOURCE.md."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from crmlytics._validation import check_choice
from crmlytics.exceptions import CrmlyticsError

if TYPE_CHECKING:
    import pandas as pd

_PACKAGE = Path(__file__).resolve().parent


def _data_folders() -> list[Path]:
    """Where the data may lie: inside an installed package, or at the top of a checkout."""
    root = _PACKAGE.parents[2]
    in_checkout = [root / "datasets"] if (root / "pyproject.toml").is_file() else []
    return [_PACKAGE / "data", *in_checkout]


def data_path(*parts: str) -> Path:
    """Find a bundled file or folder, in an installed package or in a checkout.

    Parameters
    ----------
    *parts : str
        Folder and file name below the data folder.

    Returns
    -------
    pathlib.Path
        An existing path.

    Raises
    ------
    CrmlyticsError
        If it is in neither place.

    Examples
    --------
    >>> data_path("cdnow", "SOURCE.md").read_text(encoding="utf-8").splitlines()[0]
    '# CDNOW: purchases of a cohort of online CD buyers'
    """
    folders = _data_folders()
    for folder in folders:
        path = folder.joinpath(*parts)
        if path.exists():
            return path
    looked = " and ".join(str(folder) for folder in folders)
    msg = f"data_path: no bundled file {'/'.join(parts)!r}; looked in {looked}. Reinstall crmlytics to get its data."
    raise CrmlyticsError(msg)


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class CompleteJourney:
    """The tables of the Complete Journey; every one a pandas DataFrame, joined by the ids they share.

    Attributes
    ----------
    transactions
        One row per order line: ``household_id``, ``store_id``, ``basket_id``, ``product_id``, ``quantity``,
        ``sales_value``, ``retail_disc``, ``coupon_disc``, ``coupon_match_disc`` (US dollars), ``week``,
        ``transaction_timestamp``.
    products
        One row per product bought: ``product_id``, ``manufacturer_id``, ``department``, ``brand``,
        ``product_category``, ``product_type``, ``package_size``.
    demographics
        One row per household described (400 of 600): ``household_id``, ``age``, ``income``, ``home_ownership``,
        ``marital_status``, ``household_size``, ``household_comp``, ``kids_count`` (bands, as text).
    campaigns
        One row per household and campaign sent to it: ``campaign_id``, ``household_id``.
    campaign_descriptions
        One row per campaign: ``campaign_id``, ``campaign_type``, ``start_date``, ``end_date``.
    coupons
        One row per coupon, product and campaign: ``coupon_upc``, ``product_id``, ``campaign_id``.
    coupon_redemptions
        One row per coupon used: ``household_id``, ``coupon_upc``, ``campaign_id``, ``redemption_date``.
    """

    transactions: pd.DataFrame
    products: pd.DataFrame
    demographics: pd.DataFrame
    campaigns: pd.DataFrame
    campaign_descriptions: pd.DataFrame
    coupons: pd.DataFrame
    coupon_redemptions: pd.DataFrame

    def __repr__(self) -> str:
        """List the tables with their numbers of rows and columns."""
        lines = []
        for field in fields(self):
            rows, columns = getattr(self, field.name).shape
            lines.append(f"  .{field.name:<22}{rows:>8,} rows x {columns:>2} columns")
        return "\n".join(["CompleteJourney", *lines])


def load_complete_journey() -> CompleteJourney:
    """Load a year of grocery shopping by 600 households, with products, demographics and campaigns.

    The amount of a line is ``sales_value``: the US dollars the retailer receives for the whole line. Loyalty discounts
    (``retail_disc``) and the retailer's match of coupons (``coupon_match_disc``) are already taken off it; manufacturer
    coupons (``coupon_disc``), paid back by the manufacturer, are not. So a line costs
    ``sales_value + retail_disc + coupon_match_disc`` at list price and the household pays
    ``sales_value - coupon_disc``. Households with demographics are over-represented (400 of 600, in the
    source 801 of 2,469); campaigns were not randomised.

    Returns
    -------
    CompleteJourney
        Seven pandas DataFrames under the source's column names. To hand the transactions on::

            cj = load_complete_journey()
            tx = crm.Transactions(cj.transactions, customer_id="household_id", order_id="basket_id",
                                  timestamp="transaction_timestamp", product_id="product_id",
                                  quantity="quantity", amount="sales_value")

    References
    ----------
    Boehmke B., Mortimer S. M. (2019). completejourney: Retail Shopping Data. R package, CC0.

    Examples
    --------
    >>> load_complete_journey()
    CompleteJourney
      .transactions           513,470 rows x 11 columns
      .products                44,138 rows x  7 columns
      .demographics               400 rows x  8 columns
      .campaigns                2,329 rows x  2 columns
      .campaign_descriptions       27 rows x  4 columns
      .coupons                 57,812 rows x  3 columns
      .coupon_redemptions         938 rows x  4 columns
    """
    import pandas as pd

    names = [field.name for field in fields(CompleteJourney)]
    return CompleteJourney(
        **{name: pd.read_parquet(data_path("complete_journey", f"{name}.parquet")) for name in names}
    )


def load_cdnow(which: Literal["sample", "master"] = "sample") -> pd.DataFrame:
    """Load the purchases of people who first bought CDs at CDNOW in early 1997, followed for 18 months.

    Parameters
    ----------
    which : {"sample", "master"}
        The systematic 1/10 sample (2,357 customers) that published models are fitted on, or all 23,570 customers.

    Returns
    -------
    pandas.DataFrame, one row per purchase, in the order of the source
        ``customer_id`` (int64, number in the master file), ``sample_id`` (Int64, number in the 1/10 sample: the
        papers' "customer 1516" is ``sample_id == 1516``; empty for customers outside it), ``order_id`` (int64, made:
        the row number in the master file, from 1), ``date`` (datetime, a day), ``quantity`` (int64, CDs), ``amount``
        (float64, US dollars, 0 in 80 purchases). A customer may buy twice a day: papers count that as one purchase.

    References
    ----------
    Fader P. S., Hardie B. G. S. (2001). Forecasting repeat sales at CDNOW. Interfaces 31(3), S94-S107.

    Examples
    --------
    >>> load_cdnow().head(2)
       customer_id  sample_id  order_id       date  quantity  amount
    0            4          1        10 1997-01-01         2   29.33
    1            4          1        11 1997-01-18         2   29.73
    """
    import pandas as pd

    check_choice(which, ["sample", "master"], name="which", caller="load_cdnow")
    purchases = pd.read_parquet(data_path("cdnow", "cdnow.parquet")).astype({"sample_id": "Int64"})
    purchases.insert(2, "order_id", range(1, len(purchases) + 1))
    if which == "sample":
        purchases = purchases[purchases["sample_id"].notna()].reset_index(drop=True)
    return purchases


def load_donations() -> pd.DataFrame:
    """Load six years of yearly giving by 11,104 supporters, as counts per history.

    Returns
    -------
    pandas.DataFrame, one row per distinct history, as shipped by the source
        ``frequency`` (years with a gift), ``recency`` (last year with a gift, 0 for none), ``periods`` (years
        observed, 6), ``weights`` (supporters with that history); all int64.

    References
    ----------
    Fader P. S., Hardie B. G. S., Shang J. (2010). Customer-base analysis in a discrete-time noncontractual setting.
    Marketing Science 29(6), 1086-1108.

    Examples
    --------
    >>> load_donations()["weights"].sum().item()
    11104
    """
    import pandas as pd

    return pd.read_csv(data_path("donations", "donations.csv"))
