"""Scores and offers as arrays: what each offer can be expected to bring of each customer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._frames import columns_of, enter
from crmlytics._validation import did_you_mean
from crmlytics.campaigns.targeting.offers import Offer
from crmlytics.decisions._campaign import read_rows
from crmlytics.exceptions import SchemaError
from crmlytics.metrics._columns import as_numbers, check_probabilities

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]

FIGURES = (
    "expected_uplift",
    "expected_cost_amount",
    "expected_incremental_profit_amount",
    "expected_profit_low_amount",
    "expected_profit_high_amount",
)
NORMAL = 1.959963984540054  # 95 % of a normal distribution lie within so many standard errors
NOT_LISTED = "not in the eligibility table"


@dataclass(frozen=True, slots=True, eq=False)
class Prospects:
    """What contacting each customer with each offer can be expected to do; customers are sorted by id.

    Attributes
    ----------
    arms : tuple of str
        Names of the offers, in the order given.
    ids : array, shape (n,)
        int64, or text.
    uplift, cost, contact_cost, profit : float64 arrays, shape (n, arms)
        ``cost`` is the money expected to be paid out, that of redeemed offers included.
    low, high : float64 arrays, shape (n, arms)
        Bounds of the profit; NaN where those of the uplift are not known.
    columns : mapping of column to float64 array, shape (n,)
        What else was asked for.
    """

    engine: Engine
    key: str
    arms: tuple[str, ...]
    ids: NDArray[Any]
    uplift: Vector
    cost: Vector
    contact_cost: Vector
    profit: Vector
    low: Vector
    high: Vector
    columns: Mapping[str, Vector]

    def best(self) -> NDArray[np.int64]:
        """Return each customer's most profitable offer, the first of equals, shape (n,)."""
        return np.asarray(self.profit.argmax(axis=1), np.int64)

    def of(self, arm: NDArray[np.int64]) -> dict[str, Vector]:
        """Return the figures of one offer per customer, by column of the result."""
        rows = np.arange(len(self.ids))
        figures = (self.uplift, self.cost, self.profit, self.low, self.high)
        return {name: values[rows, arm] for name, values in zip(FIGURES, figures, strict=True)}


def read_prospects(scores: Any, offers: Any, *, columns: Iterable[str] = (), key: str, caller: str) -> Prospects:
    """Read scores and price the offers; ``columns`` are numbers to be read besides."""
    given = columns_of(enter(scores, caller=caller)[0])
    listed = [offer.with_error_among(given) for offer in read_offers(offers, caller=caller)]
    wanted = [*(name for offer in listed for name in offer.columns), *columns]
    engine, ids, rows = read_rows(scores, key=key, columns=wanted, caller=caller)
    priced = [_priced(offer, rows, caller=caller) for offer in listed]
    uplift, cost, contact_cost, profit, low, high = map(np.column_stack, zip(*priced, strict=True))
    others = {name: as_numbers(rows[name], name=repr(name), caller=caller) for name in columns}
    arms = tuple(offer.name for offer in listed)
    return Prospects(engine, key, arms, ids, uplift, cost, contact_cost, profit, low, high, others)


def read_offers(offers: Any, *, caller: str) -> list[Offer]:
    """Read one offer or several."""
    listed = [offers] if isinstance(offers, Offer) else list(offers) if isinstance(offers, (list, tuple)) else []
    if not listed or not all(isinstance(offer, Offer) for offer in listed):
        msg = f'{caller}: offers must be a list such as [Offer("email", value=25, contact_cost=0.1)], got {offers!r}.'
        raise SchemaError(msg)
    names = [offer.name for offer in listed]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise SchemaError(f"{caller}: more than one offer is called {twice}. Give each its own name.")
    return listed


def read_barred(eligible: Any, prospects: Prospects, *, caller: str) -> NDArray[Any]:
    """Return why each customer may not be contacted, None for those who may."""
    _, ids, rows = read_rows(
        eligible, key=prospects.key, columns=["is_eligible", "reason"], name="eligible", caller=caller
    )
    if ids.dtype.kind != prospects.ids.dtype.kind:
        msg = (
            f"{caller}: {prospects.key} is {_kind(prospects.ids)} in scores and {_kind(ids)} in eligible, such as "
            f"{prospects.ids.tolist()[0]!r} and {ids.tolist()[0]!r}. Give both the same type."
        )
        raise SchemaError(msg)
    flags = rows["is_eligible"].fillna(value=False).astype(bool).to_numpy()
    told = rows["reason"].fillna("no reason given").astype(object).to_numpy()
    reasons = np.where(flags, None, told)
    known: NDArray[Any] = np.append(reasons, NOT_LISTED)
    return np.asarray(known[pd.Index(ids).get_indexer(prospects.ids)])  # -1, the last, for those not found


def _kind(ids: NDArray[Any]) -> str:
    return "a whole number" if ids.dtype.kind == "i" else "text"


def _priced(offer: Offer, rows: pd.DataFrame, *, caller: str) -> tuple[Vector, ...]:
    """Return uplift, cost, that of the contact alone, profit and its bounds of one offer, shape (n,) each."""

    def numbers(role: str) -> Vector:
        given = getattr(offer, role)
        if isinstance(given, str):
            return as_numbers(rows[given], name=f"{given!r} ({role} of {offer.name!r})", caller=caller)
        return np.full(len(rows), 0.0 if given is None else float(given))

    def amounts(role: str) -> Vector:
        values = numbers(role)
        if (values < 0).any():
            told = f"{values.min():g} ({int((values < 0).sum()):,} customers)"
            raise SchemaError(f"{caller}: {role} of {offer.name!r} must be zero or more, got {told}.")
        return values

    redemption = numbers("redemption")
    check_probabilities(redemption, name=f"redemption of {offer.name!r}", caller=caller)
    uplift, value = numbers("uplift"), amounts("value")
    contact_cost = amounts("contact_cost")
    cost = contact_cost + redemption * amounts("offer_cost")
    low, high = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    if offer.uplift_standard_error is not None:
        error = amounts("uplift_standard_error")
        low, high = uplift - NORMAL * error, uplift + NORMAL * error
    elif offer.uplift_low is not None:
        low, high = numbers("uplift_low"), numbers("uplift_high")
        _check_order(offer, low, uplift, high, caller=caller)
    return uplift, cost, contact_cost, uplift * value - cost, low * value - cost, high * value - cost


def _check_order(offer: Offer, low: Vector, uplift: Vector, high: Vector, *, caller: str) -> None:
    wrong = np.flatnonzero((low > uplift) | (uplift > high))
    if len(wrong):
        row = wrong[0]
        msg = (
            f"{caller}: the uplift of {offer.name!r} must lie within its bounds, got {uplift[row]:g} for "
            f"{low[row]:g} to {high[row]:g} ({len(wrong):,} customers)."
        )
        raise SchemaError(msg)


def check_arm_names(capacity: Mapping[str, Any], arms: tuple[str, ...], *, caller: str) -> None:
    """Refuse capacities of offers that there are not."""
    unknown = [name for name in capacity if name not in arms]
    if unknown:
        guess = did_you_mean(unknown[0], arms)
        raise SchemaError(f"{caller}: capacity names {unknown}, which is no offer.{guess} Offers: {list(arms)}")
