"""Rows of figures as a table of the kind that came in."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics._frames import Engine

NUMBER, WHOLE, TEXT = nw.Float64(), nw.Int64(), nw.String()


def table_of(engine: Engine, rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, Any], **ids: Sequence[Any]) -> Any:
    """Build a table of rows, their columns in the order of ``kinds``; what is NaN, or not in a row, is missing.

    A column of ``ids`` is Int64 or String as those ids are: where there is no row, nothing else tells.
    """
    kinds = {name: id_dtype(ids[name]) if name in ids else kind for name, kind in kinds.items()}
    columns = {name: [_known(row.get(name)) for row in rows] for name in kinds}
    return engine.from_columns(columns, nw.Schema(kinds))


def id_dtype(ids: Sequence[Any]) -> Any:
    """Return the dtype of ids: Int64 or String."""
    return WHOLE if len(ids) and isinstance(ids[0], (int, np.integer)) else TEXT


def _known(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
