"""Paths already counted, such as path_table makes them: read back as journeys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._baskets import encode
from crmlytics._frames import columns_of, compute, enter
from crmlytics._validation import warn
from crmlytics.channels._paths import BETWEEN, NO_TOUCH, Touches, known_money
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Events

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int64]
    Floats = NDArray[np.float64]

NEEDED = ("path", "conversion_count", "non_conversion_count")
COMPARABLE = "comparable_conversion_count"
OTHER_SIGNS = ("→", "->", "=>", "|", ";", ",")  # that some put between channels


def is_path_table(data: Any, *, caller: str) -> bool:
    """Whether a table holds paths already counted."""
    if isinstance(data, Events):
        return False
    names = columns_of(enter(data, caller=caller)[0])
    return "path" in names and "conversion_count" in names


def read_paths(paths: Any, *, caller: str) -> Touches:
    """Read a table of paths: each is a journey that converted, and one that did not."""
    from crmlytics._kernels.attribution import Journeys

    frame, engine = enter(paths, caller=caller)
    names = columns_of(frame)
    missing = [name for name in NEEDED if name not in names]
    if missing:
        msg = f"{caller}: a table of paths needs {list(NEEDED)}; {missing} missing in {names}."
        raise MissingColumnsError(msg)
    rows = compute(paths, caller=caller).to_arrow()
    starts, channels, ids = _parsed(rows["path"], caller=caller)
    converting, others = (_counts(rows, name, caller=caller) for name in NEEDED[1:])
    compared = _counts(rows, COMPARABLE, caller=caller) if COMPARABLE in names else converting
    if (compared > converting).any():
        raise SchemaError(f"{caller}: {COMPARABLE} must not exceed conversion_count: it is a part of it.")
    if ((np.diff(starts) == 0) & (others > 0)).any():
        msg = f"{caller}: {NO_TOUCH!r} is the path of conversions without a touchpoint: expected no non-conversions."
        raise SchemaError(msg)
    money, has_amount = _money(rows, converting, caller=caller)
    parts = (compared, converting - compared, others)
    path = np.concatenate([np.flatnonzero(part) for part in parts])
    part = np.repeat(np.arange(3), [np.count_nonzero(part) for part in parts])
    lengths = np.diff(starts)[path]
    begins = np.append(0, np.cumsum(lengths))
    places = np.repeat(starts[path] - begins[:-1], lengths) + np.arange(begins[-1])
    mean = np.divide(money, converting, out=np.zeros(len(money)), where=converting > 0)
    amount, count = np.where(part < 2, mean[path], 0.0), np.stack(parts)[part, path]
    journeys = Journeys(begins, channels[places], part < 2, amount, count, part != 1)
    return Touches(journeys, ids, None, None, None, has_amount, 0, engine)


def _parsed(texts: Any, *, caller: str) -> tuple[Ints, Ints, list[str]]:
    """Split paths at ">": where each begins, the codes of channels and their names."""
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = texts.combine_chunks() if isinstance(texts, pa.ChunkedArray) else texts
    kind = texts.type.value_type if pa.types.is_dictionary(texts.type) else texts.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)) or texts.null_count:
        msg = f'{caller}: path must be text such as "email > search" in every row. Use "{NO_TOUCH}" for no touchpoint.'
        raise SchemaError(msg)
    texts = pc.utf8_trim_whitespace(texts.cast(pa.string()))
    _tell_of_other_signs(texts, caller=caller)
    lists = pc.split_pattern(texts, ">")
    bare = pc.equal(texts, NO_TOUCH).to_numpy(zero_copy_only=False)
    lengths = np.where(bare, 1, pc.list_value_length(lists).to_numpy()).astype(np.int64)
    steps = pc.utf8_trim_whitespace(lists.flatten())
    kept = ~np.repeat(bare, lengths)
    codes, ids = encode(steps.filter(pa.array(kept)))
    if len(ids) and ids[0] == "":
        msg = f"{caller}: a path has a step without a name. Expected channels joined by {BETWEEN!r}."
        raise SchemaError(msg)
    starts = np.append(0, np.cumsum(np.where(bare, 0, lengths)))
    return starts, codes.astype(np.int64), ids.tolist()


def _tell_of_other_signs(texts: Any, *, caller: str) -> None:
    """Warn where no path is split at ">" and another sign looks as if it should be."""
    import pyarrow.compute as pc

    if pc.any(pc.match_substring_regex(texts, "(^|[^-=])>")).as_py():
        return
    found = [sign for sign in OTHER_SIGNS if pc.any(pc.match_substring(texts, sign)).as_py()]
    if found:
        warn(
            f"{caller}: paths hold {found[0]!r}, and only '>' is between channels. If it stands between them here, "
            f"replace it: path.str.replace({found[0]!r}, '>', regex=False)."
        )


def _counts(rows: Any, name: str, *, caller: str) -> Floats:
    count = np.asarray(rows[name].to_numpy(), np.float64)
    wrong = np.flatnonzero(~((count >= 0) & (count == np.floor(count))))
    if len(wrong):
        place = int(wrong[0])
        msg = (
            f"{caller}: {name} must hold whole numbers of zero or more, got {rows[name][place].as_py()} for the path "
            f"{rows['path'][place].as_py()!r}."
        )
        raise SchemaError(msg)
    return count


def _money(rows: Any, converting: Floats, *, caller: str) -> tuple[Floats, bool]:
    """Return the money of each path, and whether any is known."""
    if "amount" not in rows.column_names:
        return np.zeros(len(converting)), False
    money = np.asarray(rows["amount"].to_numpy(), np.float64)
    if (money < 0).any() or ((money > 0) & (converting == 0)).any():
        msg = f"{caller}: amount must be zero or more, and zero on paths without a conversion."
        raise SchemaError(msg)
    found = np.flatnonzero(converting)
    known, has_amount = known_money(money[found], "converting paths", caller=caller)
    money = np.zeros(len(converting))
    money[found] = known
    return money, has_amount
