"""Has the population moved? The population stability index, and how much of it is chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._frames import collect, enter
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_count, check_fraction, did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.metrics._columns import as_array

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

LEAST_EXPECTED = 5.0  # rows of a bin in the smaller sample, as for any chi-squared test; rarer ones are put together
SMALL, LARGE = 0.1, 0.25
MISSING, RARE = "(missing)", "(rare)"
TOO_FEW = "too few rows"


def stability_table(
    expected: Any, actual: Any, *, columns: Sequence[str] | None = None, n_bins: int = 10, confidence: float = 0.95
) -> Any:
    """Compare the columns of two tables, such as training data and this month's, and say which moved beyond chance.

    Parameters
    ----------
    expected, actual : dataframes, of any kind
        The rows a model was made on, and those it is used on. Their columns are computed in memory.
    columns : list of str, optional
        Columns to compare: numbers, text or true and false. By default all that both tables have but dates; leave out
        ids, which always move.
    n_bins : int, default 10
        Bins of a column of numbers: equal shares of the rows of ``expected``. A value that has such a share by itself,
        such as 0, is a bin of its own.
    confidence : float, default 0.95
        How seldom chance alone exceeds ``critical_psi``.

    Returns
    -------
    dataframe of the kind of ``actual``, one row per column, the highest index first, then by name
        ``column`` (String), ``kind`` ("number" or "category"), ``expected_count``, ``actual_count`` (Int64, rows),
        ``bin_count`` (Int64, with one for missing values where there are any), ``psi`` (Float64), ``critical_psi``
        (Float64, what chance alone exceeds in 5 % of the columns that have not moved, given these numbers of rows),
        ``p_value`` (Float64), ``thumb_rule`` (String: "stable" below 0.1, "moved" from 0.1, "moved far" from 0.25,
        whatever the number of rows) and ``verdict`` (String: "no more than chance", "small change", "moved", "moved
        far"; or "too few rows" where no two bins could be filled, and these figures are missing).

    Raises
    ------
    SchemaError
        When a table has no rows, or a column is of another kind in the other table.
    MissingColumnsError
        When a table lacks a column.

    Notes
    -----
    The index is ``sum (a - e) ln(a / e)`` over bins, ``a`` and ``e`` being the shares of the rows of either table.
    Where nothing has moved, ``PSI / (1 / n + 1 / m)`` has nearly a chi-squared distribution with one degree of freedom
    less than bins: with 200 rows in each table the thumb rule calls a column of ten bins moved one time in three when
    nothing has. The verdict asks chance first, and then the thumb rule how large the change is. Each column is tested
    by itself: of 20 that have not moved, one exceeds chance.

    A bin without rows in one table would make the index infinite: half a row is then added to each bin. Bins expected
    to have fewer than five rows of the smaller table are put together: rare categories, and neighbouring numbers. Where
    that leaves one bin only, there are too few rows to say anything.

    References
    ----------
    B. Yurdakul (2018), "Statistical properties of the population stability index", Western Michigan University.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.metrics import stability_table
    >>> before = pd.DataFrame({"age": list(range(20, 70)) * 4, "channel": ["web"] * 120 + ["shop"] * 80})
    >>> now = pd.DataFrame({"age": list(range(20, 70)) * 4, "channel": ["web"] * 170 + ["shop"] * 30})
    >>> stability_table(before, now)[["column", "psi", "critical_psi", "thumb_rule", "verdict"]].round(3)
        column    psi  critical_psi thumb_rule              verdict
    0  channel  0.332         0.038  moved far            moved far
    1      age  0.000         0.169     stable  no more than chance
    """
    caller = "stability_table"
    bins = check_count(n_bins, name="n_bins", caller=caller, least=2)
    confidence = check_fraction(confidence, name="confidence", caller=caller)
    names = _check_columns(columns, expected, actual, caller=caller)
    before, now = (_pandas(table, names, caller=caller) for table in (expected, actual))
    rows = []
    for name in names:
        counted = _count(before[name], now[name], bins, name=name, caller=caller)
        rows.append({"column": name, "kind": counted.kind} | _judged(counted, confidence))
    rows.sort(key=lambda row: (np.isnan(row["psi"]), -np.nan_to_num(row["psi"]), row["column"]))
    texts = {"column", "kind", "thumb_rule", "verdict"}
    table = {key: np.array([row[key] for row in rows], dtype=object if key in texts else None) for key in rows[0]}
    return table_with_lists(enter(actual, caller=caller)[1], table)


def population_stability_index(expected: Any, actual: Any, *, n_bins: int = 10) -> float:
    """Measure how far the distribution of one column has moved; 0 is not at all.

    Parameters
    ----------
    expected, actual : columns of numbers, text or true and false
        They may differ in length. Missing values are a bin of their own.
    n_bins : int, default 10
        As in :func:`stability_table`, which also says what is chance: this number alone does not, and it is the higher
        the fewer rows there are.

    Returns
    -------
    float
        Missing where there are too few rows to fill two bins.

    Raises
    ------
    SchemaError
        When a column has no rows, or one has numbers and the other text.

    Examples
    --------
    >>> from crmlytics.metrics import population_stability_index
    >>> round(population_stability_index(["a"] * 50 + ["b"] * 50, ["a"] * 80 + ["b"] * 20), 4)  # 0.6 ln 2
    0.4159
    """
    caller = "population_stability_index"
    bins = check_count(n_bins, name="n_bins", caller=caller, least=2)
    before, now = (
        pd.Series(as_array(values, name=name, caller=caller)).infer_objects()
        for name, values in (("expected", expected), ("actual", actual))
    )
    return _index(_count(before, now, bins, name="values", caller=caller))


@dataclass(frozen=True, slots=True)
class _Counted:
    """Rows of both tables in the same bins, two float64 arrays of shape (bins,); bins that both leave empty are out.

    ``too_few``: there were several values, and all of them too rare to be bins.
    """

    kind: str
    expected: Vector
    actual: Vector
    too_few: bool


def _index(counted: _Counted) -> float:
    if counted.too_few:
        return float("nan")
    expected, actual = counted.expected, counted.actual
    if not (expected.all() and actual.all()):
        expected, actual = expected + 0.5, actual + 0.5
    e, a = expected / expected.sum(), actual / actual.sum()
    return float(((a - e) * np.log(a / e)).sum())


def _judged(counted: _Counted, confidence: float) -> dict[str, Any]:
    n, m = counted.expected.sum(), counted.actual.sum()
    size = {"expected_count": int(n), "actual_count": int(m), "bin_count": len(counted.expected)}
    if counted.too_few:
        missing = dict.fromkeys(("psi", "critical_psi", "p_value"), float("nan"))
        return size | missing | {"thumb_rule": None, "verdict": TOO_FEW}
    return size | _tested(_index(counted), len(counted.expected) - 1, 1 / n + 1 / m, confidence)


def _tested(psi: float, freedom: int, chance: float, confidence: float) -> dict[str, Any]:
    from scipy import special

    critical = chance * special.chdtri(freedom, 1 - confidence) if freedom else 0.0
    size = 2 if psi >= LARGE else 1 if psi >= SMALL else 0
    return {
        "psi": psi,
        "critical_psi": float(critical),
        "p_value": float(special.chdtrc(freedom, psi / chance)) if freedom else 1.0,
        "thumb_rule": ("stable", "moved", "moved far")[size],
        "verdict": ("small change", "moved", "moved far")[size] if psi > critical else "no more than chance",
    }


def _count(before: pd.Series[Any], now: pd.Series[Any], bins: int, *, name: str, caller: str) -> _Counted:
    if not len(before) or not len(now):
        raise SchemaError(f"{caller}: expected has {len(before):,} rows and actual {len(now):,}. Both need some.")
    kinds = {_kind(values, name=name, caller=caller) for values in (before, now)} - {"nothing"}
    if len(kinds) > 1:
        msg = (
            f"{caller}: {name!r} holds numbers in one table and text in the other "
            f"({before.dtype} and {now.dtype}). Convert one of them first."
        )
        raise SchemaError(msg)
    kind = kinds.pop() if kinds else "category"
    expected, actual = _count_numbers(before, now, bins) if kind == "number" else _count_words(before, now)
    used = expected + actual > 0
    too_few = int(used.sum()) == 1 and len(pd.concat([before, now]).drop_duplicates()) > 1
    return _Counted(kind, expected[used], actual[used], too_few)


def _kind(values: pd.Series[Any], *, name: str, caller: str) -> str:
    if values.isna().all():
        return "nothing"
    if pd.api.types.is_bool_dtype(values.dtype):
        return "category"
    if pd.api.types.is_numeric_dtype(values.dtype):
        return "number"
    if values.dropna().astype(object).map(lambda value: isinstance(value, (str, bool, np.bool_))).all():
        return "category"
    msg = f"{caller}: {name!r} holds {values.dtype}, expected numbers, text or true and false. Leave it out of columns."
    raise SchemaError(msg)


def _count_numbers(before: pd.Series[Any], now: pd.Series[Any], bins: int) -> tuple[Vector, Vector]:
    """Count rows between the quantiles of ``before``; the last bin is that of missing values."""
    e, a = (values.to_numpy(np.float64, na_value=np.nan) for values in (before, now))
    edges = _edges(e[~np.isnan(e)], bins)

    def counts(values: Vector) -> Vector:
        places = np.where(np.isnan(values), len(edges) + 1, np.searchsorted(edges, values))
        return np.bincount(places, minlength=len(edges) + 2).astype(np.float64)

    counted = np.array([counts(e), counts(a)])
    known = counted[:, :-1]
    firsts = _first_of_each(known.sum(axis=0), _least(len(e), len(a)))
    expected, actual = np.column_stack([np.add.reduceat(known, firsts, axis=1), counted[:, -1]])
    return expected, actual


def _edges(known: Vector, bins: int) -> Vector:
    """Return the highest value of each bin but the last; a value with the share of a bin begins one and ends it."""
    if not len(known):
        return np.zeros(0)
    quantiles = np.quantile(known, np.arange(1, bins) / bins, method="inverted_cdf")
    values, rows = np.unique(known, return_counts=True)
    heavy = values[rows >= len(known) / bins]
    return np.unique(np.concatenate([quantiles, heavy, np.nextafter(heavy, -np.inf)]))


def _first_of_each(rows: Vector, least: float) -> NDArray[np.intp]:
    """Return where bins begin when neighbours are put together until each has enough rows; the last takes the rest."""
    firsts, so_far = [0], 0.0
    for place in range(len(rows)):
        if so_far >= least and rows[place:].sum() >= least:
            firsts.append(place)
            so_far = 0.0
        so_far += rows[place]
    return np.array(firsts, np.intp)


def _least(before: int, now: int) -> float:
    """Return how many rows of both tables together a bin needs."""
    return LEAST_EXPECTED * (before + now) / min(before, now)


def _count_words(before: pd.Series[Any], now: pd.Series[Any]) -> tuple[Vector, Vector]:
    """Count rows by category; those too rare to tell anything from are one."""
    e, a = (values.astype(object).where(values.notna(), MISSING).map(str) for values in (before, now))
    pooled = pd.concat([e, a]).value_counts()
    rare = pooled.index[(pooled < _least(len(e), len(a))) & (pooled.index != MISSING)]
    labels = pooled.index.difference(rare).union([RARE])

    def counts(values: pd.Series[Any]) -> Vector:
        found = values.where(~values.isin(rare), RARE).value_counts()
        return np.asarray(found.reindex(labels, fill_value=0), np.float64)

    return counts(e), counts(a)


def _pandas(table: Any, names: list[str], *, caller: str) -> pd.DataFrame:
    frame: pd.DataFrame = collect(enter(table, caller=caller)[0].select(names)).to_pandas()
    return frame


def _check_columns(columns: Sequence[str] | None, expected: Any, actual: Any, *, caller: str) -> list[str]:
    """Return the columns to compare, both tables having them; dates move by themselves."""
    before, now = (enter(table, caller=caller)[0].collect_schema() for table in (expected, actual))
    if columns is None:
        columns = [name for name, dtype in before.items() if name in now and not dtype.is_temporal()]
    if isinstance(columns, str) or not columns:
        msg = f'{caller}: columns must be a list of columns of both tables, such as columns=["age"], got {columns!r}.'
        raise SchemaError(msg)
    for role, schema in (("expected", before), ("actual", now)):
        missing = [name for name in columns if name not in schema]
        if missing:
            hint = did_you_mean(missing[0], schema)
            msg = f"{caller}: {role} has no columns {missing}.{hint} Columns: {list(schema)}"
            raise MissingColumnsError(msg)
    return list(columns)
