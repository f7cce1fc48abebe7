"""Whether a model knows who is worth contacting: its ranking beside chance and beside the plain response model."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_count, warn
from crmlytics.campaigns._experiment import CONTROL, CUSTOMER, Experiment, read_experiment
from crmlytics.campaigns.uplift._judging import comparison_columns, curve_columns, decile_columns, judge, stacked
from crmlytics.campaigns.uplift._trial import Trial, read_score_names, read_trials
from crmlytics.campaigns.uplift._verdicts import Verdict, give_verdict
from crmlytics.campaigns.uplift.balance import Balance, known_before, read_balance
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics._frames import Engine

BINS = 10
CELL = "style='text-align:left;vertical-align:top'"
SHOWN = ("score", "qini", "qini_low", "qini_high", "uplift_at_10", "difference", "difference_low", "difference_high")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class UpliftEvaluation:
    """How well scores tell whom a contact changes: every score beside chance and beside the response model.

    :attr:`verdict` says it in a sentence per arm; :attr:`comparison` has the figures, :attr:`curve` and :attr:`deciles`
    look into the rankings, :attr:`balance` and :attr:`randomisation` at whether the arms can be compared at all.

    Attributes
    ----------
    trials : dict of str to Trial
        What was judged, by arm.
    figures, curves : dict of str to array
        The columns of :attr:`comparison` and of :attr:`curve`.
    verdicts : tuple of Verdict
        One per arm.
    arms_before : Balance, optional
        What was known before the contact, arm against control.
    engine : Engine
        The kind of dataframe that tables go out as.
    """

    trials: Mapping[str, Trial]
    figures: dict[str, Any]
    curves: dict[str, Any]
    verdicts: tuple[Verdict, ...]
    arms_before: Balance | None
    engine: Engine

    @property
    def verdict(self) -> str:
        """One sentence per arm: uplift found, response targeting is as good, or nothing detectable; with figures."""
        return "\n".join(verdict.sentence for verdict in self.verdicts)

    @property
    def comparison(self) -> Any:
        """The scores beside each other: one row per arm and score.

        Columns: ``arm``, ``score`` (String); ``qini`` (Float64: what contacting by this score brings over contacting as
        many at random, in outcome per customer, averaged over all shares contacted), ``qini_low``, ``qini_high`` (its
        95% interval of samples of customers), ``qini_p_value`` (two-sided); ``auuc`` (Float64, the same over contacting
        nobody: the area under the curve); ``uplift_at_10``, ``uplift_at_20``, ``uplift_at_30`` (Float64, mean outcome
        of the treated less that of control among this percentage with the highest scores); ``difference`` (Float64,
        Qini less that of the response model), ``difference_low``, ``difference_high``, ``difference_p_value`` (of the
        same samples: a paired comparison; null where there is no response model, and in its own row).
        """
        return table_with_lists(self.engine, self.figures)

    @property
    def curve(self) -> Any:
        """What contacting by each score brings, as :func:`qini_table` has it."""
        return table_with_lists(self.engine, self.curves)

    @property
    def deciles(self) -> Any:
        """What each tenth of each ranking holds, as :func:`uplift_table` has it."""
        return table_with_lists(
            self.engine, stacked({arm: decile_columns(trial, BINS) for arm, trial in self.trials.items()})
        )

    @property
    def balance(self) -> Any:
        """What was known before the contact, arm against control, as :func:`balance_table` has it."""
        return table_with_lists(self.engine, self._before("balance").covariates)

    @property
    def randomisation(self) -> Any:
        """Whether the arms look dealt at random, as :func:`randomisation_table` has it."""
        return table_with_lists(self.engine, self._before("randomisation").tests)

    def _before(self, name: str) -> Balance:
        if self.arms_before is None:
            msg = f"UpliftEvaluation.{name}: no covariates were given. Evaluate a table with what was known before."
            raise SchemaError(msg)
        return self.arms_before

    def __repr__(self) -> str:
        """Tell the story: who was judged, the verdicts, what to mind, the figures."""
        return "\n".join([*self._headlines(), "", *_as_text(self.figures)])

    def _repr_html_(self) -> str:
        head, *others = self._headlines()
        lines = "".join(f"<p>{escape(line)}</p>" for line in others)
        names, *rows = _cells(self.figures)
        table = _html_row(names, "th") + "".join(_html_row(row, "td") for row in rows)
        return f"<h4>{escape(head)}</h4>{lines}<table>{table}</table>"

    def _headlines(self) -> list[str]:
        told = []
        for arm, trial in self.trials.items():
            treated = int(trial.treated.sum())
            told.append(f"{treated:,} in {arm!r}, {len(trial.treated) - treated:,} in control")
        return [f"Uplift: {'; '.join(told)}", *(verdict.sentence for verdict in self.verdicts)]


def evaluate_trials(
    trials: Mapping[str, Trial],
    *,
    engine: Engine,
    baseline: str | None,
    balance: Balance | None = None,
    replicates: int = 1000,
    seed: int = 0,
) -> UpliftEvaluation:
    """Judge scores of models that had not seen these outcomes, arm by arm.

    Parameters
    ----------
    trials : dict of str to Trial
        By arm.
    engine : Engine
        The kind of dataframe that tables go out as.
    baseline : str or None
        The score of the response model, which the others are compared with.
    balance : Balance, optional
        What was known before the contact.
    replicates, seed : int
        Samples of customers for the intervals.
    """
    figures, lines, verdicts, remarks = {}, {}, [], remarks_on(trials, balance)
    for arm, trial in trials.items():
        judged = judge(trial, replicates=replicates, seed=seed)
        figures[arm] = comparison_columns(judged, baseline)
        lines[arm] = curve_columns(judged, len(trial.outcome))
        verdict = give_verdict(arm, trial, judged, figures[arm], baseline)
        verdicts.append(verdict.minding(remarks[arm]) if arm in remarks else verdict)
    return UpliftEvaluation(trials, stacked(figures), stacked(lines), tuple(verdicts), balance, engine.without_table)


def remarks_on(trials: Mapping[str, Trial], balance: Balance | None) -> dict[str, str]:
    """Say of which arms the customers were others than control's, but of those dealt so on purpose: by propensity."""
    remarks = {} if balance is None else balance.remarks_by_arm
    return {arm: remark for arm, remark in remarks.items() if not np.ptp(trials[arm].propensity)}


def evaluate_uplift(
    table: Any,
    *,
    scores: str | Sequence[str],
    baseline: str | None = None,
    outcome: str = "converted",
    covariates: Sequence[str] | None = None,
    key: Sequence[str] = (CUSTOMER,),
    arm: str = "arm",
    control: Any = CONTROL,
    propensity: str | None = None,
    replicates: int = 1000,
    random_state: int = 0,
) -> UpliftEvaluation:
    """Judge any model's uplift scores on customers of an experiment that it has not seen.

    Parameters
    ----------
    table : dataframe, one row per key
        Such as :func:`outcome_table` returns, with columns of scores.
    scores : column name or several
        Predicted uplift, or anything else to rank by: the highest are contacted first.
    baseline : column name, optional
        The score to beat: what a response model predicts, the probability or amount without regard to the contact. It
        is judged beside the others, and need not be among ``scores``.
    outcome : str, default "converted"
        True or false, or an amount or count per customer.
    covariates : column names, optional
        What was known before the contact, for the check of randomisation; by default all columns that are neither key,
        arm, outcome nor score nor, by their name, what :func:`outcome_table` counts after the contact or what
        :meth:`UpliftModel.score_table` adds.
    key, arm, control
        Columns of ids and of arms, and how the control group is called.
    propensity : column name, optional
        Each customer's probability of having been given the arm rather than control, where it was not the same for all.
    replicates : int, default 1000
        Samples of customers for the intervals, at least 100.
    random_state : int, default 0
        Of these samples.

    Returns
    -------
    UpliftEvaluation
        One verdict per arm.

    Raises
    ------
    SchemaError
        When columns are missing or hold missing values, or there is no control group.

    Warns
    -----
    DataQualityWarning
        When an arm and control were not alike before the contact, as in :func:`balance_table`; the verdict says so too.
        With a column of propensities they were not meant to be.

    Notes
    -----
    "uplift found": a score beats the response model and chance, both at the 5% level after Holm's correction for the
    number of scores (without a baseline: chance). "response targeting is as good": scores beat chance, but none is
    detectably better than the response model. "nothing detectable": no score beats chance. Where a contact changes all
    alike, the last is said in at least 95 of 100 trials. Scores must come from a model that has not seen these
    outcomes: on the customers that it learnt from every model looks good.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> random = np.random.default_rng(0)
    >>> visits, treated = random.integers(0, 10, 4000), np.arange(4000) % 2 == 0
    >>> bought = random.random(4000) < 0.10 + 0.03 * visits * treated
    >>> arms = np.where(treated, "mail", "control")
    >>> trial = pd.DataFrame({"customer_id": range(4000), "arm": arms, "converted": bought, "uplift": 0.03 * visits})
    >>> evaluation = evaluate_uplift(trial, scores="uplift", covariates=[])
    >>> evaluation.comparison[["arm", "score", "qini", "qini_low", "qini_high"]].round(3)
        arm   score  qini  qini_low  qini_high
    0  mail  uplift  0.03     0.024      0.036
    """
    caller = "evaluate_uplift"
    replicates = check_count(replicates, name="replicates", caller=caller, least=100)
    seed = check_count(random_state, name="random_state", caller=caller, least=0)
    names = read_score_names(scores, caller=caller)
    names += [baseline] if baseline is not None and baseline not in names else []
    experiment = read_experiment(table, key=key, arm=arm, control=control, needs=[*names, outcome], caller=caller)
    trials = read_trials(experiment, outcome=outcome, scores=names, propensity=propensity, caller=caller)
    if covariates is None:
        found = known_before(experiment, [arm, outcome, *names, propensity])
        covariates = [name for name in found if _varies(experiment, name)]
    balance = read_balance(experiment, covariates, caller=caller) if covariates else None
    for remark in remarks_on(trials, balance).values():
        warn(f"{caller}: {remark}")
    return evaluate_trials(
        trials,
        engine=experiment.engine,
        baseline=baseline,
        balance=balance,
        replicates=replicates,
        seed=seed,
    )


def _varies(experiment: Experiment, name: str) -> bool:
    return int(experiment.table[name].nunique(dropna=False)) > 1


# -- words ---------------------------------------------------------------------------------------------------------


def _cells(figures: Mapping[str, Any]) -> list[list[str]]:
    """Return the main figures as text, the names of the columns first."""
    names = (["arm"] if len(set(figures["arm"])) > 1 else []) + list(SHOWN)
    rows = zip(*(figures[name] for name in names), strict=True)
    return [names, *([_written(value) for value in row] for row in rows)]


def _written(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if math.isnan(value) else f"{value:.4g}"


def _html_row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag} {CELL}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"


def _as_text(figures: Mapping[str, Any]) -> list[str]:
    cells = _cells(figures)
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
