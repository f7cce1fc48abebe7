"""The door for outcomes and scores: lists, arrays and columns of any dataframe."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._frames import enter
from crmlytics._kernels.draws import Draws
from crmlytics._validation import check_count, check_fraction
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Judged:
    """Outcomes and scores of the same rows.

    Attributes
    ----------
    y : bool array, shape (n,)
        Both outcomes occur.
    score : float64 array, shape (n,)
        Higher is likelier; finite.
    engine : Engine
        The kind of table that results become.
    """

    y: NDArray[np.bool_]
    score: Vector
    engine: Engine


@dataclass(frozen=True, slots=True)
class Resampling:
    """How intervals are found: from samples of customers, of which ``interval`` lie within the bounds."""

    draws: Draws
    interval: float


def read_scores(y: Any, score: Any, *, caller: str, name: str = "score") -> Judged:
    """Read outcomes and scores, or say what is wrong with them."""
    outcome = as_array(y, name="y", caller=caller)
    values = as_numbers(score, name=name, caller=caller)
    check_lengths({"y": len(outcome), name: len(values)}, caller=caller)
    if not len(values):
        raise SchemaError(f"{caller}: y and {name} have no rows. Expected one row per customer.")
    flags = as_flags(outcome, name="y", caller=caller)
    if flags.all() or not flags.any():
        only = "true" if flags.all() else "false"
        msg = (
            f"{caller}: y is {only} in all {len(flags):,} rows. Expected both outcomes: with one alone there is "
            "nothing to tell apart. Take a longer horizon or more customers."
        )
        raise SchemaError(msg)
    return Judged(flags, values, engine_of(score, y, caller=caller))


def read_probabilities(y: Any, probability: Any, *, caller: str) -> Judged:
    """Read outcomes and probabilities, or say what is wrong with them."""
    judged = read_scores(y, probability, caller=caller, name="probability")
    check_probabilities(judged.score, name="probability", caller=caller)
    return judged


def check_probabilities(values: Vector, *, name: str, caller: str) -> None:
    """Refuse numbers outside 0 to 1."""
    outside = values[(values < 0) | (values > 1)]
    if len(outside):
        msg = (
            f"{caller}: {name} must lie between 0 and 1, got {outside[0]:g} ({len(outside):,} of {len(values):,} rows "
            "lie outside). Scores that are no probabilities go to lift_table, gains_table or expected_max_profit; "
            "log odds become probabilities by 1 / (1 + exp(-x))."
        )
        raise SchemaError(msg)


def read_resampling(
    customer_id: Any, judged: Judged, *, replicates: Any, interval: Any, random_state: Any, caller: str
) -> Resampling:
    """Read how the bootstrap is to be done; without customers every row is one of its own.

    Customers are numbered by their ids, rows by their values: the draws do not depend on the order of the rows.
    """
    rows = len(judged.y)
    replicates = check_count(replicates, name="replicates", caller=caller, least=100)
    interval = check_fraction(interval, name="interval", caller=caller)
    random_state = check_count(random_state, name="random_state", caller=caller, least=0)
    if customer_id is None:
        customer = np.empty(rows, np.int64)
        customer[np.lexsort((judged.y, judged.score))] = np.arange(rows)
    else:
        customer = as_codes(customer_id, name="customer_id", caller=caller)
        check_lengths({"y": rows, "customer_id": len(customer)}, caller=caller)
    return Resampling(Draws.of(customer, replicates=replicates, seed=random_state), interval)


def as_codes(ids: Any, *, name: str, caller: str) -> NDArray[np.int64]:
    """Return ids as numbers from 0, in their order."""
    array = as_array(ids, name=name, caller=caller)
    if pd.isna(array).any():
        raise SchemaError(f"{caller}: {name} is missing in {int(pd.isna(array).sum()):,} rows.")
    return np.asarray(pd.factorize(array, sort=True)[0], np.int64)


def as_array(values: Any, *, name: str, caller: str) -> NDArray[Any]:
    """Return one column of anything as an array."""
    if hasattr(values, "columns") or hasattr(values, "column_names"):
        msg = (
            f"{caller}: {name} must be one column, got a table ({type(values).__name__}): rows of two tables cannot be "
            f'matched by their order. Take the columns of one table, such as {name}=table["{name}"]; of a DuckDB or '
            "PySpark table collect it first (.to_arrow_table(), .toArrow())."
        )
        raise SchemaError(msg)
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:  # as classifiers and .reshape(-1, 1) give it
        array = array[:, 0]
    if array.ndim != 1:
        shape = f"shape {array.shape}" if array.ndim else f"{values!r}"
        msg = f"{caller}: {name} must be one column of values, got {shape}."
        if array.ndim == 2 and array.shape[1] == 2:
            msg += " Of predict_proba take the second column: predict_proba(X)[:, 1]."
        raise SchemaError(msg)
    return array


def as_numbers(values: Any, *, name: str, caller: str) -> Vector:
    """Return one column as finite numbers."""
    array = as_array(values, name=name, caller=caller)
    missing = pd.isna(array)
    if missing.any():
        msg = f"{caller}: {name} is missing in {int(missing.sum()):,} of {len(array):,} rows. Fill or leave out these."
        raise SchemaError(msg)
    try:
        number: Vector = array.astype(np.float64)
    except (TypeError, ValueError) as error:
        msg = f"{caller}: {name} must be numbers, got {array.tolist()[0]!r}."
        raise SchemaError(msg) from error
    if not np.isfinite(number).all():
        raise SchemaError(f"{caller}: {name} is infinite in {int((~np.isfinite(number)).sum()):,} rows.")
    return number


def check_lengths(lengths: dict[str, int], *, caller: str) -> None:
    """Refuse columns of different lengths."""
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name} has {length:,}" for name, length in lengths.items())
        raise SchemaError(f"{caller}: expected one value per row in each column, but {told} rows.")


def engine_of(*columns: Any, caller: str) -> Engine:
    """Return the kind of table that the first column with a kind comes from; pandas where none has."""
    for values in columns:
        if type(values).__module__.startswith("pyarrow"):
            import pyarrow as pa

            return enter(pa.table({"column": values}), caller=caller)[1].without_table
        if hasattr(values, "to_frame"):
            return enter(values.to_frame("column"), caller=caller)[1].without_table
    return enter(pd.DataFrame(), caller=caller)[1].without_table


def as_flags(values: Any, *, name: str, caller: str) -> NDArray[np.bool_]:
    """Return one column of outcomes as true and false."""
    outcome = as_array(values, name=name, caller=caller)
    missing = int(pd.isna(outcome).sum())
    if missing:
        msg = (
            f"{caller}: {name} is missing in {missing:,} of {len(outcome):,} rows. Leave these rows out: an outcome "
            "that is not known yet is not a negative."
        )
        raise SchemaError(msg)
    found = pd.unique(outcome)
    if not all(isinstance(value, (bool, np.bool_, numbers.Real)) and value in {0, 1} for value in found):
        shown = ", ".join(repr(value) for value in found.tolist()[:3])
        msg = f'{caller}: {name} must be true or false, or 1 and 0, got {shown}. Say what counts, such as y == "yes".'
        raise SchemaError(msg)
    return outcome.astype(bool)
