"""What intervals of partners are drawn from: customers, orders of an only customer, or nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import check_count, check_fraction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.partners._reading import Codes, Flags, Sales

ENOUGH_CUSTOMERS, ENOUGH_ORDERS = 10, 5  # orders are drawn only of a partner with one customer
CUSTOMERS, ORDERS, NOTHING = "customers", "orders", "too few"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How intervals are made: their level, the number of samples, the seed."""

    confidence: float
    replicates: int
    seed: int


def check_sampling(confidence: Any, replicates: Any, random_state: Any, *, caller: str) -> Sampling:
    """Check the options of intervals."""
    return Sampling(
        check_fraction(confidence, name="confidence", caller=caller),
        check_count(replicates, name="replicates", caller=caller, least=20),
        check_count(random_state, name="random_state", caller=caller, least=0),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """What samples are drawn of.

    Attributes
    ----------
    unit : int64 array
        Of each sale drawn from, the customer or order that is drawn as one.
    words : array of str, shape (partners,)
        "customers", "orders" or "too few".
    units : int64 array, shape (partners,)
        How many of these each partner has.
    """

    unit: Codes
    words: NDArray[Any]
    units: Codes

    @property
    def is_enough(self) -> Flags:
        """Whether each partner has enough of them for an interval."""
        return np.asarray(self.words != NOTHING, bool)


def drawn_from(sales: Sales, rows: Flags) -> Source:
    """Choose between customers and orders for each partner, from some of the sales."""
    customers = sales.customer_counts(rows)
    enough = customers >= ENOUGH_CUSTOMERS
    orders = np.bincount(sales.partner[rows & sales.is_order], minlength=len(sales.names))
    words = np.where(enough, CUSTOMERS, np.where((customers == 1) & (orders >= ENOUGH_ORDERS), ORDERS, NOTHING))
    own = len(sales.customer_ids) + np.arange(len(sales.partner))
    unit = np.where(enough[sales.partner], sales.customer, own)[rows]
    return Source(unit, words.astype(object), np.where(enough, customers, orders))
