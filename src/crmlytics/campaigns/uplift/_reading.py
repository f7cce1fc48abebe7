"""What an uplift model reads of an experiment: what was known before the contact, and one lesson an arm."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import did_you_mean, warn
from crmlytics.campaigns.uplift._learners import Lesson
from crmlytics.campaigns.uplift._trial import AFTER_CONTACT
from crmlytics.campaigns.uplift.balance import ALARM
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.scoring._encoding import learn_encoder
from crmlytics.scoring._oracles import telling_columns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.campaigns._experiment import Experiment
    from crmlytics.scoring._encoding import Design, Encoder

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

FEWEST = 10  # outcomes of an arm that are not the usual one: with fewer there is nothing to learn from


def read_features(
    experiment: Experiment, wanted: Sequence[str] | None, apart: Sequence[str], *, caller: str
) -> Encoder:  # fmt: skip
    """Learn to encode the columns wanted, or all that were known before the contact.

    Parameters
    ----------
    experiment : Experiment
    wanted : sequence of str, optional
    apart : sequence of str
        Arm, outcome and propensities.
    """
    there = [str(name) for name in experiment.table.columns]
    later = [*apart, *AFTER_CONTACT]
    if wanted is None:
        aside = {*experiment.key, *later}
        return learn_encoder(experiment.table, [name for name in there if name not in aside], caller=caller)
    names = [wanted] if isinstance(wanted, str) else list(wanted)
    for name in names:
        if name not in there:
            msg = f"{caller}: features names {name!r}, no such column.{did_you_mean(name, there)} Columns: {there}"
            raise MissingColumnsError(msg)
        if name in later or name in experiment.key:
            msg = (
                f"{caller}: features names {name!r}, which is the key, the arm, the outcome, or known only after the "
                "contact. Whoever is to be scored tomorrow does not have it: leave it out."
            )
            raise SchemaError(msg)
    return learn_encoder(experiment.table, names, caller=caller)


def check_leaks(design: Design, experiment: Experiment, outcome: Vector, *, caller: str) -> None:
    """Refuse features that tell who was treated, or that vary in one arm only; warn of those that tell who bought."""
    for code, arm in enumerate(experiment.arms[1:], start=1):
        rows = experiment.versus(code)
        known, treated, control = design.rows(rows), experiment.arm[rows] == code, experiment.arms[0]
        reasons = {
            f"alone tell {arm!r} from {control!r} all but exactly": _telling(known, treated),
            f"are the same for everybody in {control!r} and not in {arm!r}": _still(known, ~treated),
            f"are the same for everybody in {arm!r} and not in {control!r}": _still(known, treated),
        }
        for reason, found in reasons.items():
            if found:
                msg = (
                    f"{caller}: {found} {reason}, so they are filled in after the contact, or the arm was given by "
                    f"them; either way no customers can be compared. Leave them out: table.drop(columns={found}). If "
                    "they gave the arm, leave out the customers who could not have been in either."
                )
                raise SchemaError(msg)
    of_arms = [experiment.arm == code for code in range(len(experiment.arms))]
    found = list(dict.fromkeys(name for rows in of_arms for name in _telling(design.rows(rows), outcome[rows] != 0)))
    if found:
        warn(
            f"{caller}: {found} alone tell the outcome of an arm all but exactly. Such columns are mostly filled in "
            f"after it. Look where they come from, and leave them out: table.drop(columns={found})."
        )


def check_outcome(experiment: Experiment, outcome: Vector, name: str, *, caller: str) -> None:
    """Refuse outcomes that are the same for all, or for all but a few customers of an arm."""
    values, counts = np.unique(outcome, return_counts=True)
    if len(values) == 1:
        msg = f"{caller}: every row has {name} = {values[0]:g}: there is nothing to tell apart."
        raise SchemaError(msg)
    usual = values[np.argmax(counts)]
    for code, arm in enumerate(experiment.arms):
        other = int((outcome[experiment.arm == code] != usual).sum())
        if other < FEWEST:
            msg = (
                f"{caller}: {other} of {int((experiment.arm == code).sum()):,} customers in {arm!r} have another "
                f"{name} than {usual:g}, and it takes {FEWEST} in each arm to learn from. Take a longer horizon, "
                "more customers, or leave this arm out."
            )
            raise SchemaError(msg)


def read_propensity(experiment: Experiment, propensity: Any, *, caller: str) -> dict[str, Vector]:
    """Return each arm's probability, rather than control, of its customers and of control, by arm."""
    arms = experiment.arms[1:]
    if isinstance(propensity, str) and len(arms) > 1:
        msg = (
            f"{caller}: there are {len(arms)} arms, and one column of propensities. Give one an arm: "
            f"propensity={dict.fromkeys(arms, propensity)}."
        )
        raise SchemaError(msg)
    given = {arms[0]: propensity} if isinstance(propensity, str) else propensity
    if given is not None and (not isinstance(given, Mapping) or set(given) != set(arms)):
        msg = (
            f"{caller}: propensity must be the name of a column, or a mapping of every arm to a number or column such "
            f"as {dict.fromkeys(arms, 0.5)}, got {propensity!r}."
        )
        raise SchemaError(msg)
    found = {}
    for code, arm in enumerate(arms, start=1):
        rows = experiment.versus(code)
        if given is None:
            found[arm] = experiment.share(code)
            continue
        chance = given[arm]
        if isinstance(chance, str):
            found[arm] = experiment.numbers(chance, caller=caller)[rows]
        else:
            found[arm] = np.full(int(rows.sum()), float(chance) if isinstance(chance, numbers.Real) else np.nan)
        if not ((found[arm] > 0) & (found[arm] < 1)).all():
            msg = (
                f"{caller}: propensities of {arm!r} must lie between 0 and 1, both excluded, got {chance!r}: each "
                "customer's probability of being given the arm rather than control."
            )
            raise SchemaError(msg)
    return found


def read_lessons(
    experiment: Experiment, matrix: Matrix, outcome: Vector, propensity: Mapping[str, Vector]
) -> dict[str, Lesson]:
    """Return what there is to learn of each arm: its customers and control's."""
    import pandas as pd

    customer = pd.factorize(experiment.table[experiment.key[_customer(experiment)]])[0]
    lessons = {}
    for code, arm in enumerate(experiment.arms[1:], start=1):
        rows = experiment.versus(code)
        group = np.unique(customer[rows], return_inverse=True)[1].astype(np.int64)
        lessons[arm] = Lesson(matrix[rows], outcome[rows], experiment.arm[rows] == code, propensity[arm], group)
    return lessons


# -- inside --------------------------------------------------------------------------------------------------------


def _customer(experiment: Experiment) -> int:
    """Return the place in the key of who is held out as a whole."""
    return experiment.key.index("customer_id") if "customer_id" in experiment.key else 0


def _telling(design: Design, flags: NDArray[np.bool_]) -> list[str]:
    """Return the features that tell a flag by themselves; of a few flags, chance would."""
    return telling_columns(design, flags) if min(flags.sum(), (~flags).sum()) >= FEWEST else []


def _still(design: Design, mine: NDArray[np.bool_]) -> list[str]:
    """Return the features that are the same for all of mine and differ for more of the others than chance explains."""
    found = []
    for feature, column in zip(design.features, design.matrix.T, strict=True):
        usual = column[mine][0]
        different = np.isnan(column) != np.isnan(usual) if np.isnan(usual) else column != usual
        chance = np.mean(~mine) ** different.sum()  # that all who differ were dealt to the others
        if not different[mine].any() and chance < ALARM / len(design.features):
            found.append(feature.name)
    return found
