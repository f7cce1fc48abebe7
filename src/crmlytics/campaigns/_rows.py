"""Rows of figures as a table of the kind that came in, and the ids that they are found by."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

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


def kinds_of(ids: Iterable[Any]) -> set[str]:
    """Return what ids are in results, "Int64" or "String"; the missing ones are neither."""
    return {"String" if isinstance(one, str) else "Int64" for one in ids if one is not None}


def refuse_mixed_ids(name: str, kinds: Mapping[str, Collection[str]], *, caller: str) -> None:
    """Refuse ids that are whole numbers here and text there: 1 is not "1", and neither would be found.

    Parameters
    ----------
    name : str
        The column.
    kinds : dict of place to kinds
        Such as ``{"plans": {"Int64"}, "the results": {"String"}}``; a place without ids has none.
    """
    if len(set().union(*kinds.values())) < 2:
        return
    listed = ", ".join(f"{' and '.join(sorted(found))} in {place}" for place, found in kinds.items() if found)
    raise SchemaError(f"{caller}: {name} is {listed}. Give all the same kind, for example with .astype(str).")


def _known(value: Any) -> Any:
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value
