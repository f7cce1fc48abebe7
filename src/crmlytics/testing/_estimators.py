"""What every estimator of crmlytics keeps, checked by running it."""

from __future__ import annotations

import math
import pickle
import pkgutil
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics.testing._kinds import FRAME_KINDS, make_frame, records

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NOT_TOPICS = {"cli", "datasets", "exceptions", "report", "tables", "testing"}


def all_estimators() -> list[tuple[str, type]]:
    """Return the public estimators of every topic, those with ``fit`` and ``score_table``: (name, class) by name.

    >>> "RFMSegmenter" in dict(all_estimators())
    True
    """
    import crmlytics

    found: dict[str, type] = {}
    for module in pkgutil.iter_modules(crmlytics.__path__):
        if module.name.startswith("_") or module.name in NOT_TOPICS:
            continue
        topic = import_module(f"crmlytics.{module.name}")
        for name in getattr(topic, "__all__", [name for name in dir(topic) if not name.startswith("_")]):
            value = getattr(topic, name, None)
            if isinstance(value, type) and callable(getattr(value, "fit", None)) and hasattr(value, "score_table"):
                found[name] = value
    return sorted(found.items())


def check_table_estimator(
    estimator: Any,
    table: Any,
    *,
    kinds: Sequence[str] | None = None,
    score_options: Mapping[str, Any] | None = None,
    tolerance: float = 1e-9,
) -> None:
    """Check that an estimator keeps the house's promises; an AssertionError says which one it broke.

    It keeps its parameters verbatim, refuses to score unfitted, returns itself from ``fit``, leaves parameters and
    input alone, learns only attributes ending in ``_``, comes out of pickle and of a second fit the same, does not
    depend on the order of rows, hands back the kind of frame it was given, sorted by its key, one row a key, and gives
    the same scores for every kind.

    Parameters
    ----------
    estimator : estimator, not fitted
        Has ``fit(X)`` and ``score_table(X)``.
    table : mapping of column to values, or dataframe
        A table that it can be fitted on; its key, if any, is the first column of the scores.
    kinds : sequence of str, optional
        Which of ``FRAME_KINDS``; by default every kind whose library is installed, without PySpark, which is slow.
    score_options : mapping, optional
        Further arguments of ``score_table``.
    tolerance : float
        Relative difference allowed between numbers: sums depend on their order in the last digits.

    Examples
    --------
    >>> from crmlytics.rfm import RFMSegmenter
    >>> table = {"customer_id": [1, 2, 3], "recency_days": [5, 40, 200], "order_count": [9, 2, 1],
    ...          "total_amount": [900.0, 80.0, 100.0]}
    >>> check_table_estimator(RFMSegmenter(n_bins=3), table)
    """
    options = dict(score_options or {})
    columns = _columns(table)
    first, *others = [kind for kind in (kinds or FRAME_KINDS) if kinds or _is_quick(kind)]
    frame = make_frame(columns, first)
    _check_contract(estimator, frame, options)
    fitted = _check_fitting(estimator, frame, options)
    expected = _fit_and_score(estimator, frame, options)
    again = pickle.loads(pickle.dumps(fitted)).score_table(frame, **options)  # noqa: S301  our own bytes
    _assert_same(_Scores(again), expected, "after pickle", tolerance)
    _assert_same(_Scores(fitted.fit(frame).score_table(frame, **options)), expected, "after a second fit", tolerance)
    shuffled = np.random.default_rng(0).permutation(len(next(iter(columns.values()))))
    if expected.names[0] in columns:  # without a key, rows are known by their number
        same_rows = make_frame({name: [values[i] for i in shuffled] for name, values in columns.items()}, first)
        _assert_same(_fit_and_score(estimator, same_rows, options), expected, "other row order", tolerance)
    for kind in others:
        other = make_frame(columns, kind)
        _assert_same(_fit_and_score(estimator, other, options), expected, f"kind {kind}", tolerance)


def _check_contract(estimator: Any, frame: Any, options: dict[str, Any]) -> None:
    from sklearn.base import clone
    from sklearn.exceptions import NotFittedError

    name = type(estimator).__name__
    for parameter, value in estimator.get_params(deep=False).items():
        if getattr(type(estimator)(**{parameter: value}), parameter) is not value:
            raise AssertionError(f"{name}: the parameter {parameter!r} is not stored as it came")
    if repr(clone(estimator).get_params(deep=False)) != repr(estimator.get_params(deep=False)):
        raise AssertionError(f"{name}: clone changes its parameters")
    try:
        clone(estimator).score_table(frame, **options)
    except NotFittedError:
        return
    raise AssertionError(f"{name}.score_table: unfitted, it must raise sklearn.exceptions.NotFittedError")


def _check_fitting(estimator: Any, frame: Any, options: dict[str, Any]) -> Any:
    from sklearn.base import clone

    name = type(estimator).__name__
    fresh = clone(estimator)
    parameters, rows = repr(fresh.get_params(deep=False)), records(frame)
    before = set(vars(fresh))
    if fresh.fit(frame) is not fresh:
        raise AssertionError(f"{name}.fit must return self")
    learned = [attribute for attribute in set(vars(fresh)) - before if not attribute.endswith("_")]
    if learned:
        raise AssertionError(f"{name}.fit: learned state must end in '_', got {sorted(learned)}")
    scores = fresh.score_table(frame, **options)
    if repr(fresh.get_params(deep=False)) != parameters:
        raise AssertionError(f"{name}.fit changes its parameters")
    if records(frame) != rows:
        raise AssertionError(f"{name} changes the table it was given")
    if type(scores) is not type(frame):
        raise AssertionError(f"{name}.score_table: {type(frame).__name__} in, {type(scores).__name__} out")
    _check_rows(name, scores, len(rows))
    return fresh


def _check_rows(name: str, scores: Any, rows: int) -> None:
    keys = [row[0] for row in records(scores)]
    if len(keys) != rows or len(set(keys)) != rows:
        raise AssertionError(f"{name}.score_table: {rows} rows in, {len(set(keys))} keys in {len(keys)} rows out")
    if keys != sorted(keys):
        raise AssertionError(f"{name}.score_table: the scores are not sorted by their key")


class _Scores:
    """A score table as names and plain rows."""

    def __init__(self, table: Any) -> None:
        self.names = list(to_pandas(table).columns)
        self.rows = records(table)


def _fit_and_score(estimator: Any, frame: Any, options: dict[str, Any]) -> _Scores:
    from sklearn.base import clone

    scores = clone(estimator).fit(frame).score_table(frame, **options)
    if type(scores) is not type(frame):
        message = f"{type(estimator).__name__}.score_table: {type(frame)} in, {type(scores)} out"
        raise AssertionError(message)
    return _Scores(scores)


def _assert_same(found: _Scores, expected: _Scores, when: str, tolerance: float) -> None:
    if found.names != expected.names:
        raise AssertionError(f"{when}: columns {found.names} instead of {expected.names}")
    if len(found.rows) != len(expected.rows):
        raise AssertionError(f"{when}: {len(found.rows)} rows instead of {len(expected.rows)}")
    for row, other in zip(found.rows, expected.rows, strict=True):
        for name, value, wanted in zip(found.names, row, other, strict=True):
            if not _is_close(value, wanted, tolerance):
                raise AssertionError(f"{when}: {name} of {other[0]!r} is {value!r} instead of {wanted!r}")


def _is_close(value: Any, wanted: Any, tolerance: float) -> bool:
    if isinstance(value, float) and isinstance(wanted, float):
        return math.isclose(value, wanted, rel_tol=tolerance, abs_tol=tolerance)
    return type(value) is type(wanted) and bool(value == wanted)


def _columns(table: Any) -> dict[str, Any]:
    frame = table if hasattr(table, "items") and not hasattr(table, "columns") else to_pandas(table)
    return {str(name): list(frame[name]) for name in frame}


def _is_quick(kind: str) -> bool:
    library = {"polars-lazy": "polars", "duckdb": "duckdb", "polars": "polars"}.get(kind)
    return kind != "pyspark" and (library is None or find_spec(library) is not None)
