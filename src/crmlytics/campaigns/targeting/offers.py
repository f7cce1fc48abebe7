"""An offer: what it moves, what that is worth, and what it costs."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from crmlytics._validation import check_amount
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

AMOUNTS = ("value", "contact_cost", "offer_cost")
UPLIFTS = ("uplift", "uplift_low", "uplift_high")
STANDARD_ERROR = "_standard_error"
RESERVED = ("control", "all")  # the hold-out, and the row that sums up all offers


@dataclass(frozen=True, slots=True)
class Offer:
    """One way to contact customers, such as an e-mail with a voucher.

    Everything but the name is a number, the same for all, or the name of a column of the scores, which says it for each
    customer. What contacting a customer can be expected to bring is ``uplift x value - contact_cost - redemption x
    offer_cost``.

    Parameters
    ----------
    name : str
        The arm of the campaign.
    value : float or str
        What a conversion earns (its margin), or 1 where ``uplift`` is an amount already.
    uplift : float or str, optional
        What the contact adds: to the probability of a conversion (0.02 is two points), or to the amount per customer.
        May be negative. By default the column ``uplift_<name>``, as the ``score_table`` of an uplift model calls it.
    contact_cost : float or str, default 0
        Paid for every contact.
    offer_cost : float or str, default 0
        Paid when the offer is redeemed, such as the value of a voucher.
    redemption : float or str, optional
        The probability that a customer who is contacted redeems. It includes those who would have bought anyway, whose
        voucher is a gift: of a voucher for buyers, the probability of buying if contacted. Needed with an
        ``offer_cost``.
    uplift_low, uplift_high : float or str, optional
        The bounds of the uplift's 95 % interval.
    uplift_standard_error : float or str, optional
        Instead of bounds: they are then 1.96 standard errors away. By default the column ``<uplift>_standard_error``,
        if there is one, as the ``score_table`` of an uplift model has.

    Raises
    ------
    SchemaError
        When a number is out of range, ``redemption`` is missing, or the uncertainty is given twice or by half.

    Notes
    -----
    A voucher costs most among those who need it least. Of customers who buy with probability 0.30, and with 0.32 when
    contacted, a voucher of 5 costs 0.32 x 5 = 1.60 a contact to win 0.02 orders: 80 an order.

    Examples
    --------
    >>> from crmlytics.campaigns import Offer
    >>> voucher = Offer("voucher", value=25, contact_cost=0.1, offer_cost=5, redemption="buy_probability")
    >>> voucher.uplift
    'uplift_voucher'
    """

    name: str
    value: float | str
    uplift: float | str | None = None
    contact_cost: float | str = 0.0
    offer_cost: float | str = 0.0
    redemption: float | str | None = None
    uplift_low: float | str | None = None
    uplift_high: float | str | None = None
    uplift_standard_error: float | str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name.strip() or self.name in RESERVED:
            msg = f"Offer: name must be a word such as 'email', other than {list(RESERVED)}, got {self.name!r}."
            raise SchemaError(msg)
        if self.uplift is None:
            object.__setattr__(self, "uplift", f"uplift_{self.name}")
        for role in AMOUNTS:
            if not isinstance(getattr(self, role), str):
                check_amount(getattr(self, role), name=role, caller=self.title)
        for role in UPLIFTS:
            self._check_uplift(role)
        self._check_redemption()
        self._check_uncertainty()

    @property
    def title(self) -> str:
        """The offer as messages call it."""
        return f"Offer {self.name!r}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns it needs, each once."""
        given = (getattr(self, role) for role in self.__slots__ if role != "name")
        return tuple(dict.fromkeys(name for name in given if isinstance(name, str)))

    def with_error_among(self, columns: Sequence[str]) -> Offer:
        """Return the offer with the standard error that an uplift model gave beside the uplift, if it is there."""
        name = f"{self.uplift}{STANDARD_ERROR}"
        is_told = self.uplift_standard_error is not None or self.uplift_low is not None
        return self if is_told or name not in columns else replace(self, uplift_standard_error=name)

    def _check_uplift(self, role: str) -> None:
        value: Any = getattr(self, role)
        is_number = isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
        if not (value is None or isinstance(value, str) or is_number):
            msg = (
                f'{self.title}: {role} must be a number or the name of a column, such as "uplift_email", got {value!r}.'
            )
            raise SchemaError(msg)

    def _check_redemption(self) -> None:
        share = self.redemption
        if share is None:
            if self.offer_cost != 0:
                msg = (
                    f"{self.title}: offer_cost={self.offer_cost!r} is paid by whoever redeems. Give redemption=, the "
                    "probability that a contacted customer does, including those who would have bought anyway."
                )
                raise SchemaError(msg)
        elif not isinstance(share, str) and check_amount(share, name="redemption", caller=self.title) > 1:
            raise SchemaError(f"{self.title}: redemption must lie between 0 and 1, got {share!r}.")

    def _check_uncertainty(self) -> None:
        error, bounds = self.uplift_standard_error, (self.uplift_low, self.uplift_high)
        if error is not None and not isinstance(error, str):
            check_amount(error, name="uplift_standard_error", caller=self.title)
        given = [bound is not None for bound in bounds]
        if any(given) and (not all(given) or error is not None):
            msg = f"{self.title}: give uplift_low and uplift_high, or uplift_standard_error, or none of them."
            raise SchemaError(msg)
