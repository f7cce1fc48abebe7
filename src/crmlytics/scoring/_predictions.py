"""What a model said about rows that it had not seen: all that an evaluation needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy.typing import NDArray

OUT_OF_TIME = "out of time"
RANDOM_FOLDS = "random folds"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Predictions:
    """Probabilities of rows held out in one way, beside what happened.

    Attributes
    ----------
    scheme : str
        ``"out of time"`` (learnt from earlier cutoffs only) or ``"random folds"`` (of customers).
    outcome : bool array, shape (rows,)
    probability : float64 array, shape (rows,)
    group : int64 array, shape (rows,)
        The customer of a row, as a code: what is drawn together in a bootstrap.
    period : array, shape (rows,), or None
        The cutoff of a row: moments or whole numbers; None for a table without one.
    baselines : dict of name to float64 array, shape (rows,)
        Scores of the same rows that the model has to beat; higher is likelier, not always a probability.
    noun : str, default "customers"
        What is scored, in sentences, such as ``"leads"``.
    """

    scheme: str
    outcome: NDArray[Any]
    probability: NDArray[Any]
    group: NDArray[Any]
    period: NDArray[Any] | None = None
    baselines: dict[str, NDArray[Any]] = field(default_factory=dict)
    noun: str = "customers"
