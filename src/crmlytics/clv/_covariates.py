"""What is known of customers besides their purchases, as covariates: learned in fit, encoded again to score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from crmlytics._kernels.effects import Effect
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crmlytics._kernels.special import Vector
    from crmlytics.clv._histories import Histories

MOST_LEVELS = 50


@dataclass(frozen=True, slots=True)
class Covariate:
    """A number a customer has: of a numeric column as it is, of a text column 1 for one of its levels.

    Attributes
    ----------
    column : str
    level : str or None
        None for a numeric column.
    levels : tuple of str
        All levels of a text column, the first of which is what the others are compared with.
    mean, spread : float
        Of the customers it was fitted on: the search runs on ``(z - mean) / spread``.
    """

    column: str
    level: str | None
    levels: tuple[str, ...]
    mean: float
    spread: float

    @property
    def name(self) -> str:
        return self.column if self.level is None else f"{self.column}={self.level}"

    def encode(self, table: Histories) -> Vector:
        values = table.attributes[self.column]
        if self.level is None:
            return np.asarray(values, dtype=float)
        return np.asarray(values == self.level, dtype=float)


@dataclass(frozen=True, slots=True)
class Lever:
    """The parameter that covariates move, in which direction, and where their coefficients stand in theta."""

    parameter: int
    sign: float
    covariates: tuple[Covariate, ...]
    at: npt.NDArray[np.intp]

    def effect(self, table: Histories, *, standardise: bool) -> Effect:
        rows = [covariate.encode(table) for covariate in self.covariates]
        if standardise:
            rows = [(row - z.mean) / z.spread for row, z in zip(rows, self.covariates, strict=True)]
        return Effect(self.parameter, self.sign, np.array(rows), self.at)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """All coefficients of a model: their names, and the levers they belong to."""

    names: tuple[str, ...] = ()
    levers: tuple[Lever, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Columns that a table needs, each once."""
        return list(dict.fromkeys(z.column for lever in self.levers for z in lever.covariates))

    def effects(self, table: Histories, *, standardise: bool = False) -> list[Effect]:
        return [lever.effect(table, standardise=standardise) for lever in self.levers]

    def back_to_user_units(self, count: int) -> Vector:
        """Return the matrix that turns theta of standardised covariates into theta of covariates as they are.

        ``g (z - mean) / spread`` is ``(g / spread) z`` and a constant, which belongs to the logarithm of the parameter.
        """
        back = np.eye(count + len(self.names))
        for lever in self.levers:
            for z, at in zip(lever.covariates, lever.at, strict=True):
                back[lever.parameter, at] -= lever.sign * z.mean / z.spread
                back[at, at] = 1 / z.spread
        return back


NONE = Coefficients()


def learn_coefficients(
    table: Histories,
    levers: Sequence[tuple[int, float, Sequence[tuple[str, Sequence[str]]]]],
    *,
    count: int,
    caller: str,
) -> Coefficients:
    """Learn covariates from a table.

    Parameters
    ----------
    levers : sequence of (parameter, sign, groups)
        A group is (prefix, columns); groups of the same prefix in two levers share their coefficients.
    count : int
        Number of parameters, after which the coefficients come in theta.
    """
    places: dict[str, int] = {}
    made = []
    for parameter, sign, groups in levers:
        covariates, at = [], []
        for prefix, columns in groups:
            for covariate in (z for column in columns for z in _covariates_of(table, column, caller=caller)):
                covariates.append(covariate)
                at.append(places.setdefault(f"{prefix}:{covariate.name}", count + len(places)))
        if covariates:
            made.append(Lever(parameter, sign, tuple(covariates), np.array(at, dtype=np.intp)))
    return Coefficients(tuple(places), tuple(made))


def check_levels(table: Histories, coefficients: Coefficients, *, caller: str) -> None:
    """Refuse columns of another kind than the model was fitted on, and levels of text that it has not seen."""
    for column, is_text in {
        z.column: z.level is not None for lever in coefficients.levers for z in lever.covariates
    }.items():
        if (table.attributes[column].dtype == object) is not is_text:
            was, came = ("text", "numbers") if is_text else ("numbers", "text")
            raise SchemaError(f"{caller}: column {column!r} holds {came}; the model was fitted on {was}.")
    levels = {z.column: z.levels for lever in coefficients.levers for z in lever.covariates if z.level is not None}
    for column, known in levels.items():
        strange = sorted({str(value) for value in table.attributes[column]} - set(known))
        if strange:
            msg = (
                f"{caller}: column {column!r} holds {strange[:5]}, which the model was not fitted on. "
                f"It knows {list(known)}. Fit again with customers of every level."
            )
            raise SchemaError(msg)


def _covariates_of(table: Histories, column: str, *, caller: str) -> list[Covariate]:
    values = table.attributes[column]
    if values.dtype != object:
        numbers = np.asarray(values, dtype=float)
        if np.ptp(numbers) == 0:
            raise SchemaError(f"{caller}: covariate {column!r} is {numbers[0]:g} for everybody: it explains nothing.")
        ordered = np.sort(numbers)  # no trace of the order they came in
        return [Covariate(column, None, (), float(ordered.mean()), float(ordered.std()))]
    levels = tuple(sorted(set(values.tolist())))
    if len(levels) < 2:
        raise SchemaError(f"{caller}: covariate {column!r} is {levels[0]!r} for everybody: it explains nothing.")
    if len(levels) > MOST_LEVELS:
        msg = (
            f"{caller}: covariate {column!r} has {len(levels)} different texts, at most {MOST_LEVELS} are taken: "
            "each gets a coefficient. Group them, or give a number."
        )
        raise SchemaError(msg)
    return [_of_level(column, level, levels, values) for level in levels[1:]]


def _of_level(column: str, level: str, levels: tuple[str, ...], values: npt.NDArray[np.object_]) -> Covariate:
    share = float(np.mean(values == level))
    return Covariate(column, level, levels, share, float(np.sqrt(share * (1 - share))))


def check_names(names: object, *, name: str, caller: str) -> tuple[str, ...]:
    """Read a list of column names: a single text is one name."""
    if isinstance(names, str):
        return (names,)
    if isinstance(names, (list, tuple)) and all(isinstance(item, str) for item in names):
        repeated = {item for item in names if names.count(item) > 1}
        if repeated:
            raise SchemaError(f"{caller}: {name} names {sorted(repeated)} twice.")
        return tuple(names)
    raise SchemaError(f'{caller}: {name} must be a list of column names such as {name}=["age"], got {names!r}.')
