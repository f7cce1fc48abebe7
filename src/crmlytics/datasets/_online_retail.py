"""A loader for the user's own copy of UCI Online Retail, which crmlytics does not ship."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from crmlytics._files import parse_dates, read_table
from crmlytics.exceptions import CrmlyticsError, MissingColumnsError

if TYPE_CHECKING:
    import os

    import pandas as pd

_COLUMNS = {
    "InvoiceNo": "text",
    "StockCode": "text",
    "Description": "text",
    "Quantity": "int64",
    "InvoiceDate": "time",
    "UnitPrice": "float64",
    "CustomerID": "Int64",
    "Country": "text",
}


def load_online_retail(path: str | os.PathLike[str]) -> pd.DataFrame:
    """Read your own copy of the UCI Online Retail data: order lines of a UK gift wholesaler, 2010-12 to 2011-12.

    Every line is kept as it comes, dirt included (135,080 lines without a customer, cancellations, prices of 0);
    only the kinds of the columns are set right.

    Parameters
    ----------
    path : path
        The file as downloaded (``Online Retail.xlsx``; a minute or two) or a CSV or parquet copy of it. Get it from
        the UCI Machine Learning Repository: dataset "Online Retail", id 352.

    Returns
    -------
    pandas.DataFrame, one row per order line
        ``InvoiceNo``, ``StockCode``, ``Description``, ``Country`` (text), ``Quantity`` (int64), ``InvoiceDate``
        (datetime), ``UnitPrice`` (float64, pounds), ``CustomerID`` (Int64, empty when unknown). To hand it on::

            tx = crm.Transactions(df, customer_id="CustomerID", order_id="InvoiceNo", timestamp="InvoiceDate",
                                  product_id="StockCode", quantity="Quantity", unit_price="UnitPrice")

    Raises
    ------
    CrmlyticsError
        If there is no such file: the message says where to get one.
    MissingColumnsError
        If it is another table.

    Notes
    -----
    Licence CC BY 4.0. Chen D. (2015). Online Retail. UCI Machine Learning Repository. doi:10.24432/C5BW33.
    """
    if not Path(path).is_file():
        msg = (
            f"load_online_retail: no file {str(path)!r}. crmlytics does not ship these data: download dataset "
            '"Online Retail" (id 352) from the UCI Machine Learning Repository and give the path of the file.'
        )
        raise CrmlyticsError(msg)
    frame = read_table(path)
    missing = [name for name in _COLUMNS if name not in frame.columns]
    if missing:
        msg = (
            f"load_online_retail: {str(path)!r} lacks the columns {missing}; is it UCI dataset 352? "
            f"Its columns: {list(frame.columns)}."
        )
        raise MissingColumnsError(msg)
    return frame.assign(**{name: _as_kind(frame[name], kind) for name, kind in _COLUMNS.items()})


def _as_kind(column: pd.Series, kind: str) -> Any:
    """Give one column the kind it should have."""
    import pandas as pd

    if kind == "time":
        if not pd.api.types.is_datetime64_any_dtype(column):
            column = parse_dates(column).moments
        return column.astype("datetime64[us]")
    if kind == "text":
        return column.astype(str).mask(column.isna())  # pandas 2 would spell missing values out
    return column.astype(kind)
