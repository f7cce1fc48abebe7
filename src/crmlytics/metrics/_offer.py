"""What an offer costs, what it saves, and who accepts it: read once for every function that deals in money."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmlytics._validation import check_amount
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

BELIEF = 0.95  # how much of what is believed of the acceptance lies within its bounds


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The share of those about to leave whom the offer keeps: a beta distribution, or a share that is known.

    Attributes
    ----------
    mean, low, high : float
        Its mean and central 95 % interval; three times the same where it is known.
    beta : tuple of float or None
    """

    mean: float
    low: float
    high: float
    beta: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Offer:
    """What an offer costs whoever takes it, what a contact costs, and how many would be kept by it."""

    offer_cost: float
    contact_cost: float
    acceptance: Acceptance


def read_offer(*, offer_cost: Any, contact_cost: Any, acceptance: Any, caller: str) -> Offer:
    """Check costs and acceptance."""
    return Offer(
        check_amount(offer_cost, name="offer_cost", caller=caller),
        check_amount(contact_cost, name="contact_cost", caller=caller),
        read_acceptance(acceptance, caller=caller),
    )


def read_acceptance(acceptance: Any, *, caller: str) -> Acceptance:
    """Read a share such as 0.3, or the two parameters of a beta distribution such as (6, 14)."""
    if _is_positive(acceptance) and acceptance <= 1:
        share = float(acceptance)
        return Acceptance(share, share, share, None)
    if isinstance(acceptance, (tuple, list)) and len(acceptance) == 2 and all(map(_is_positive, acceptance)):
        from scipy import special

        a, b = map(float, acceptance)
        tail = (1 - BELIEF) / 2
        low, high = special.betaincinv(a, b, [tail, 1 - tail])
        return Acceptance(a / (a + b), float(low), float(high), (a, b))
    msg = (
        f"{caller}: acceptance must be the share of those about to leave whom the offer keeps, such as "
        f"acceptance=0.3, or a beta distribution of it such as acceptance=(6, 14), got {acceptance!r}."
    )
    raise SchemaError(msg)


def check_values(values: Vector, *, name: str, caller: str) -> Vector:
    """Refuse customers worth less than nothing."""
    if (values < 0).any():
        msg = (
            f"{caller}: {name} must be zero or more, got {values.min():g} ({int((values < 0).sum()):,} customers). "
            "Clip it at 0: nobody pays to keep a loss."
        )
        raise SchemaError(msg)
    return values


def _is_positive(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and 0 < float(value) < float("inf")
