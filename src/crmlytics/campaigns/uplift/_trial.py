"""What judging uplift needs: outcomes of one arm and of control, beside what each model had predicted for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics.campaigns._experiment import Experiment

    Vector = NDArray[np.float64]

RESPONSE = "response model"  # the baseline: ranks by what is likely anyway
CHOSEN = "chosen"  # out of fold, of the learner that other folds chose
UPLIFT, BEST = "uplift_", ("best_arm", "best_uplift")  # what score_table adds
AFTER_CONTACT = (  # columns of outcome_table that are known only after the contact
    "is_treated",
    "contacted_at",
    "contact_count",
    "contact_cost_amount",
    "converted",
    "responded",
    "order_count",
    "event_count",
    "revenue_amount",
    "margin_amount",
)


@dataclass(frozen=True, slots=True, eq=False)
class Trial:
    """One arm against control: outcomes, and scores of models that had not seen them.

    Attributes
    ----------
    outcome : float64 array, shape (n,)
        Flags as 0 and 1, or amounts.
    treated : bool array, shape (n,)
    propensity : float64 array, shape (n,)
        Probability that the customer was given the arm rather than control: its share in a randomised trial.
    scores : dict of str to float64 array, shape (n,)
        By name of the model: higher is contacted earlier.
    group : int64 array, shape (n,), optional
        The customer of each row, where some have several; without it every row is a customer of its own.
    """

    outcome: Vector
    treated: NDArray[np.bool_]
    propensity: Vector
    scores: Mapping[str, Vector]
    group: NDArray[np.int64] | None = None

    @property
    def customers(self) -> NDArray[np.int64]:
        """The customer of each row as a number, shape (n,)."""
        return np.arange(len(self.outcome)) if self.group is None else self.group


def read_trials(
    experiment: Experiment, *, outcome: str, scores: Sequence[str], propensity: str | None, caller: str
) -> dict[str, Trial]:
    """Return one trial per arm: the rows of that arm and of control."""
    values = experiment.numbers(outcome, caller=caller)
    predicted = {name: experiment.numbers(name, caller=caller) for name in scores}
    chance = None if propensity is None else experiment.numbers(propensity, caller=caller)
    if chance is not None and not ((chance > 0) & (chance < 1)).all():
        msg = (
            f"{caller}: {propensity!r} must lie between 0 and 1, both excluded, got {chance.min():g} to "
            f"{chance.max():g}. It is each customer's probability of being given the arm rather than control: who "
            "could not be given one of them tells nothing of the difference; leave these customers out."
        )
        raise SchemaError(msg)
    group = _customers(experiment)
    trials = {}
    for code, name in enumerate(experiment.arms[1:], start=1):
        rows = experiment.versus(code)
        treated = experiment.arm[rows] == code
        trials[name] = Trial(
            outcome=values[rows],
            treated=treated,
            propensity=experiment.share(code) if chance is None else chance[rows],
            scores={score: numbers[rows] for score, numbers in predicted.items()},
            group=None if group is None else group[rows],
        )
    return trials


def read_score_names(scores: str | Sequence[str], *, caller: str) -> list[str]:
    """Return the names of the columns of scores, each once."""
    names = [scores] if isinstance(scores, str) else list(scores)
    if not names or len(set(names)) < len(names) or not all(isinstance(name, str) for name in names):
        msg = (
            f"{caller}: expected the name of a column of scores or a list of different names, such as "
            f'["uplift", "response"], got {scores!r}.'
        )
        raise SchemaError(msg)
    return names


def _customers(experiment: Experiment) -> NDArray[np.int64] | None:
    """Return the customers as numbers where the key has more than them: one row per customer and campaign."""
    if len(experiment.key) == 1 or "customer_id" not in experiment.key:
        return None
    import pandas as pd

    return np.asarray(pd.factorize(experiment.table["customer_id"], sort=True)[0], np.int64)
