"""What an experiment measured, to stand beside what a rule credits: by channel or by partner."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import compute
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


def read_measured(
    experiment: Any, names: Sequence[str], *, role: str, figure: str, caller: str
) -> dict[str, NDArray[np.float64]]:
    """Return ``figure`` and its bounds as an experiment has them for each of the names of ``role``, NaN where not."""
    wanted = (figure, f"{figure}_low", f"{figure}_high")
    found = {name: np.full(len(names), np.nan) for name in wanted}
    if experiment is None:
        return found
    rows = compute(experiment, caller=caller)
    missing = [name for name in (role, figure) if name not in rows.columns]
    if missing:
        raise MissingColumnsError(f"{caller}: experiment needs the columns {missing}, got {rows.columns}.")
    places = _places([_word(value) for value in rows[role].to_list()], names, role=role, caller=caller)
    for name in wanted:
        if name in rows.columns:
            found[name][places] = np.asarray(rows[name].cast(nw.Float64).to_arrow().to_numpy(), np.float64)
    return found


def _word(value: Any) -> str:
    """Return an id as text: whole numbers are often read as floats."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _places(words: list[str], names: Sequence[str], *, role: str, caller: str) -> list[int]:
    place = {name: number for number, name in enumerate(names)}
    for word in words:
        if word not in place:
            msg = f"{caller}: experiment names {word!r}, a {role} that has no row.{did_you_mean(word, names)}"
            raise SchemaError(f"{msg} There are: {list(names)}")
        if words.count(word) > 1:
            raise SchemaError(f"{caller}: experiment has the {role} {word!r} more than once. Keep one row each.")
    return [place[word] for word in words]
