"""What tables that are made to be drawn share: their model, their missing values, their moments."""

from __future__ import annotations

import datetime as dt
from typing import Any

import narwhals.stable.v2 as nw
from sklearn.utils.validation import check_is_fitted

from crmlytics.clv._histories import DTYPES
from crmlytics.clv._purchases import PurchaseModel
from crmlytics.exceptions import SchemaError

EPOCH = dt.datetime(1970, 1, 1)


def check_model(model: Any, *, caller: str) -> None:
    """Refuse what is no fitted model of purchases."""
    if not isinstance(model, PurchaseModel):
        kind = type(model).__name__
        msg = f"{caller}: model must be a fitted model of purchases such as ModifiedBetaGeoModel, got {kind}."
        raise SchemaError(msg)
    check_is_fitted(model)


def schema_of(columns: dict[str, Any]) -> nw.Schema:
    """Return the schema of arrays of floats, whole numbers and truth values."""
    return nw.Schema({name: DTYPES[values.dtype.kind]() for name, values in columns.items()})


def with_moments(columns: dict[str, Any], *moments: str) -> tuple[dict[str, Any], nw.Schema]:
    """Turn day numbers into the moments that begin these days."""
    schema: dict[str, Any] = dict(schema_of(columns))
    for name in moments:
        columns = columns | {name: [EPOCH + dt.timedelta(days=day) for day in columns[name].tolist()]}
        schema[name] = nw.Datetime("us")
    return columns, nw.Schema(schema)
