"""From the leads of a sales system to grades: the outcome that is known, the model, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import as_days, as_moment, check_count, did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.leads._clicks import click_features
from crmlytics.leads._grades import GRADES, check_grades, grade_codes
from crmlytics.leads._maturing import rate_so_far, read_known, tell_undated
from crmlytics.leads._missing import MISSING_WORDS, check_missing_words
from crmlytics.leads._stages import LOST, are_lost
from crmlytics.leads.conversion_times import time_columns
from crmlytics.leads.late_fields import LEFT_OUT, NOT_FIELDS, VERDICTS, judge_fields, read_leads
from crmlytics.leads.model import LeadModel
from crmlytics.tables import Leads

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics.leads._maturing import KnownLeads
    from crmlytics.scoring._evaluation import Evaluation
    from crmlytics.tables import Events

CALLER = "score_leads"
OWNER = "owner"
RULE = "conversion rate of the source so far"
FEW_LEADS = 500


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class LeadScores:
    """Leads scored at a moment, with the model and how good it was on leads it had not seen.

    Attributes
    ----------
    scores : dataframe of the kind that came in, one row per open lead (not converted, not lost), sorted by ``lead_id``
        ``lead_id``; ``conversion_probability`` (Float64, of converting within the stated time of creation, by what was
        known then); ``lift`` (Float64, times the base rate); ``grade`` (String); ``age_days`` (Float64);
        ``remaining_probability`` (Float64, of converting in what is left of that time, the lead being open so far: 0
        once it is over; null where the moments of conversion are unknown).
    grade_table : dataframe, one row per grade, the best first
        ``grade`` (String); ``least_lift`` and ``least_probability`` (Float64); ``open_count`` (Int64, of ``scores``,
        those still within their time) and ``expected_conversion_count`` (Float64, the sum of their
        ``remaining_probability``); ``judged_count`` (Int64, leads the model had not seen, later ones where there were
        enough), ``mean_probability`` (Float64, what it said of them), ``converted_share`` (Float64, what came true)
        with ``converted_share_low`` and ``_high`` (95%, Wilson).
    time_table : dataframe, one row per grade
        ``grade``, then as :func:`conversion_time_table` has it. Of all leads, most of which the model has learnt from:
        how fast they convert, rather than how many.
    model : LeadModel
    as_of : datetime
    within_days : int
    late_fields : dict of column to str
        Fields that were left out since they seem to be filled in afterwards, and why.
    unconverted : pandas DataFrame
        What the model reads of each lead of ``scores``: ``lead_id``, ``created_at`` and its features.
    """

    scores: Any
    grade_table: Any
    time_table: Any
    model: LeadModel
    as_of: dt.datetime
    within_days: int
    late_fields: dict[str, str]
    unconverted: Any = field(repr=False)

    @property
    def evaluation(self) -> Evaluation:
        """How good the model was on leads that it had not seen: later ones, where there were enough."""
        return self.model.evaluation_

    def reason_table(self, *, n: int = 3) -> Any:
        """Say why each lead has its score, as :meth:`LeadModel.reason_table` does; minutes for a million leads."""
        check_count(n, name="n", caller="LeadScores.reason_table")
        reasons = self.model.reason_table(self.unconverted, n=n)
        return table_with_lists(self.model.engine_, {name: reasons[name].to_numpy() for name in reasons})

    def card(self) -> Any:
        """Return the card of the model: data, windows, figures, features, limits."""
        horizon = f"{self.within_days}d"
        definition = f"the lead converted within {self.within_days} days of its creation"
        return self.model.card(definition=definition, horizon=horizon, as_of=f"{self.as_of:%Y-%m-%d}")

    def to_frame(self) -> Any:
        """Return the scores."""
        return self.scores

    def __repr__(self) -> str:
        """Say how many leads were scored, and how good the model was."""
        return f"LeadScores of {len(self.unconverted):,} leads\n{self.evaluation!r}"


def score_leads(
    leads: Leads | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    within: str | dt.timedelta = "90d",
    features: Sequence[str] | None = None,
    events: Events | Any = None,
    lost: str | Sequence[str] = LOST,
    grades: Mapping[str, float] = GRADES,
    missing_words: Iterable[str] = MISSING_WORDS,
    model: Any = "auto",
    random_state: int = 0,
) -> LeadScores:
    """Score leads by the probability that they convert within a stated time of their creation, and grade them.

    Learns from leads old enough for their outcome to be known. Younger ones are scored, and not learnt from: neither as
    failures, which most of them are not, nor, where they have converted already, as successes, whose failing fellows
    are not known yet.

    Parameters
    ----------
    leads : Leads or dataframe, one row per lead
        Needs ``lead_id``, ``created_at`` and ``converted_at`` (or ``converted``, see Notes); any attributes.
    as_of : date
        The day scored from: leads created on or after it are left out, and conversions then have not happened. It is
        best the day of the export, since fields are as they were then.
    within : duration, default "90d"
        The time from its creation in which a lead counts as converting.
    features : list of str, optional
        The columns to learn from. By default ``source`` and all attributes, without those that seem to be filled in
        afterwards (see :func:`late_field_table`), which a warning names. ``owner`` is not among them: a lead is no
        better for who works on it. Columns that you name are taken as they are.
    events : Events or dataframe, one row per event, optional
        What leads did, such as clicks; ``customer_id`` is the id of the lead. Those before the creation of a lead are
        learnt from too: how many, of how many kinds, how many days since the first and the last.
    lost : str or list of str, default "Lost"
        The values of ``stage`` of leads that were given up: they are learnt from as any other, and not scored. Nothing
        else is read from ``stage``, which is as it is in the table, not as it was at ``as_of``; for a moment in the
        past give ``[]``, and nobody is taken for lost.
    grades : dict of letter to float
        The least lift (times the base rate) of each, falling to 0; by default A 2, B 1, C 0.5, D 0.
    missing_words : list of str
        Words that stand for no answer.
    model : {"auto", "logistic", "boosting"} or classifier
        As :class:`LeadModel` takes it.
    random_state : int

    Returns
    -------
    LeadScores
        With ``.scores``, ``.grade_table``, ``.time_table``, ``.evaluation``, ``.model``, ``.card()``.

    Raises
    ------
    SchemaError, MissingColumnsError
        When no lead is as old as ``within``; with fewer than 10 conversions, or other leads, to learn from; for a
        column, date or option that cannot be read.

    Warns
    -----
    DataQualityWarning
        Of fields left out as filled in afterwards, or since they tell the outcome; of conversions without a moment; of
        few leads; of stages that look like losses and are not named.

    Notes
    -----
    *Without* ``converted_at`` nobody knows whether a conversion came in time: every conversion then counts as such (a
    warning says how many), and old leads have had longer. Where ``converted`` is given too, a lead converted only if it
    says so.

    *Simple rule to beat*: the share that converted of the earlier leads of the same source, by what was known when the
    lead came in.

    ``remaining_probability = p (1 - F(a)) / (p (1 - F(a)) + (1 - p) (1 - G(a)))`` at age a, where F is the share of
    conversions in time that come within a days, of leads whose outcome is known, and G the share of failures that are
    lost by that age (isotonic regression; 0 where nobody is lost): who is still open is likelier to convert. It takes
    leads of all grades to convert, and to be lost, at the same pace.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> day = np.sort(rng.integers(0, 300, 1500))
    >>> visits = rng.integers(0, 10, 1500)
    >>> leads = pd.DataFrame({"lead_id": range(1500), "visits": visits, "source": rng.choice(["web", "fair"], 1500)})
    >>> leads["created_at"] = pd.Timestamp("2024-01-01") + pd.to_timedelta(day, unit="D")
    >>> delay = np.where(rng.random(1500) < 0.03 * visits, rng.integers(1, 60, 1500), 10_000)
    >>> leads["converted_at"] = leads["created_at"] + pd.to_timedelta(delay, unit="D")
    >>> result = score_leads(leads, as_of="2024-10-27", within="60d")
    >>> list(result.scores.columns)
    ['lead_id', 'conversion_probability', 'lift', 'grade', 'age_days', 'remaining_probability']
    >>> result.grade_table["grade"].tolist()
    ['A', 'B', 'C', 'D']
    """
    days = as_days(within, name="within", caller=CALLER)
    limits = check_grades(grades, caller=CALLER)
    table = Leads.bind(leads)
    names = _candidates(table, features)
    rule = ["source"] if table.has("source") else []
    stage = "stage" if table.has("stage") else None
    known = read_known(table, as_of=as_of, columns=list(dict.fromkeys([*names, *rule])), by=stage, caller=CALLER)
    gone = ~known.converted & are_lost(known.groups, ~known.converted, lost, caller=CALLER)
    settled = _settled(known, days)
    words = check_missing_words(missing_words, caller=CALLER)
    late = _late_fields(table, names, as_of, words) if features is None else {}
    names = [name for name in names if name not in late]
    clicks = {} if events is None else click_features(events, table, known, caller=CALLER)
    ready = known.table[["lead_id", "created_at", *names]].assign(**clicks)
    lessons = ready.assign(converted=known.in_time(days))
    if rule:
        lessons[RULE] = rate_so_far(known, "source", days)
    fitted = LeadModel(
        purge=f"{days}d", features=[*names, *clicks], baselines=[RULE for _ in rule], model=model, grades=limits,
        missing_words=missing_words, random_state=random_state,
    ).fit(lessons[settled])  # fmt: skip
    fitted.engine_ = known.engine.without_table  # tables of the model go out as the leads came in
    facts = {"as_of": as_moment(as_of, caller=CALLER), "within_days": days, "late_fields": late}
    return _result(known, gone, ready, fitted, facts)


# -- inside --------------------------------------------------------------------------------------------------------


def _candidates(table: Leads, features: Sequence[str] | None) -> list[str]:
    """Return the columns that may be learnt from."""
    if features is None:
        names = [name for name in table.columns if name not in {*NOT_FIELDS, OWNER}]
        if not names:
            msg = f"{CALLER}: the leads have no source and no attribute to learn from. Columns: {table.columns}"
            raise SchemaError(msg)
        return names
    if isinstance(features, str):
        raise SchemaError(f"{CALLER}: features must be a list of names such as [{features!r}], got {features!r}.")
    for name in features:
        if not table.has(name):
            msg = f"{CALLER}: features names {name!r}, no such column.{did_you_mean(name, table.columns)}"
            raise MissingColumnsError(f"{msg} Columns: {table.columns}")
        if name in NOT_FIELDS:
            raise SchemaError(f"{CALLER}: features names {name!r}, which is the outcome, or the time or key of a lead.")
    return list(dict.fromkeys(features))


def _late_fields(table: Leads, names: list[str], as_of: Any, words: frozenset[str]) -> dict[str, str]:
    """Return the columns that seem to be filled in afterwards, with the reason; tell of them."""
    found = read_leads(table, as_of=as_of, columns=names, words=words, caller=CALLER)
    judged = judge_fields(found)
    late = {one.column: one.reason for one in judged if one.verdict in LEFT_OUT}
    odd = [one.column for one in judged if one.verdict == VERDICTS[2]]
    if late:
        kept = f" Kept, though suspicious: {odd}." if odd else ""
        warn(
            f"{CALLER}: {list(late)} seem to be filled in after the fact and are left out (late_field_table says why)."
            f"{kept} Where you know better, name all columns to learn from: features=[...]."
        )
    elif odd:
        warn(f"{CALLER}: {odd} may be filled in after the fact (late_field_table says why). They are learnt from.")
    if len(late) == len(names):
        raise SchemaError(f"{CALLER}: every attribute seems to be filled in after the fact: {late}.")
    return late


def _settled(known: KnownLeads, days: int) -> NDArray[np.bool_]:
    """Return the leads whose outcome is known, or say that there are none; warn where they tell little."""
    settled = known.settled(days)
    if not settled.any():
        msg = (
            f"{CALLER}: no lead is {days} days old at as_of, the oldest is {known.age_days.max():.0f}: no outcome is "
            f'known. Ask for less time, such as within="{max(int(known.age_days.max()) // 2, 1)}d".'
        )
        raise SchemaError(msg)
    won = int(known.in_time(days)[settled].sum())
    if won in {0, settled.sum()}:
        which = "every one" if won else "none"
        old = f"{int(settled.sum()):,} leads {days} days old or more"
        msg = f"{CALLER}: of {old} {which} converted in that time: there is nothing to tell apart. Check converted_at."
        raise SchemaError(msg)
    tell_undated(known.undated, known.converted, within=days, caller=CALLER)
    if settled.sum() < FEW_LEADS:
        warn(
            f"{CALLER}: {int(settled.sum()):,} leads are old enough to learn from ({won} converted). Under {FEW_LEADS} "
            "scores are rough; a PointsScorecard of a few columns may be as good."
        )
    return settled


def _result(
    known: KnownLeads, lost: NDArray[np.bool_], ready: Any, fitted: LeadModel, facts: dict[str, Any]
) -> LeadScores:
    limits, days, left = fitted.grades, facts["within_days"], ~known.converted & ~lost
    every = fitted.score_table(ready)  # pandas, sorted by lead_id as the leads are
    probability, lift = (every[name].to_numpy(dtype=np.float64) for name in ("conversion_probability", "lift"))
    code, names = grade_codes(lift, limits), np.array(list(limits), object)
    remaining = _remaining(known, lost, probability, days)
    scores = {
        "lead_id": known.table["lead_id"].to_numpy()[left],
        "conversion_probability": probability[left],
        "lift": lift[left],
        "grade": names[code[left]],
        "age_days": known.age_days[left],
        "remaining_probability": remaining[left],
    }
    young = left & ~known.settled(days)
    counts = _grade_columns(fitted, limits, code[young], remaining[young])
    times = {"grade": names} | time_columns(known, code, len(names), [days])
    tables = [table_with_lists(known.engine, columns) for columns in (scores, counts, times)]
    unconverted = ready[left].reset_index(drop=True)
    return LeadScores(tables[0], tables[1], tables[2], fitted, unconverted=unconverted, **facts)


def _remaining(
    known: KnownLeads, lost: NDArray[np.bool_], probability: NDArray[np.float64], days: int
) -> NDArray[np.float64]:
    """Return the probability of converting in what is left of the time, of a lead that has not, and is not lost."""
    taken = np.sort(known.days[known.settled(days) & (known.days < days)])
    if not len(taken):
        return np.full(len(known), np.nan)
    passed = np.searchsorted(taken, known.age_days, side="right") / len(taken)
    passed = np.where(known.settled(days), 1.0, passed)
    converts, waits = probability * (1 - passed), (1 - probability) * (1 - _lost_by_age(known, lost, probability))
    return converts / np.maximum(converts + waits, np.finfo(float).tiny)


def _lost_by_age(known: KnownLeads, lost: NDArray[np.bool_], probability: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of leads that do not convert in time which is lost by the age of each: it rises with age."""
    from sklearn.isotonic import IsotonicRegression

    fails = np.maximum(1 - probability, np.finfo(float).eps)
    rising = IsotonicRegression(y_min=0.0, y_max=1.0)
    share: NDArray[np.float64] = rising.fit_transform(known.age_days, lost / fails, sample_weight=fails)
    return share


def _grade_columns(
    fitted: LeadModel, limits: Mapping[str, float], code: NDArray[np.int64], remaining: NDArray[np.float64]
) -> dict[str, Any]:
    """Return the grades: what they take, how many leads have them, and what became of leads that were not seen."""
    from crmlytics._kernels.proportions import wilson

    judged = fitted.predictions_[0]  # out of time, if there are any
    seen = grade_codes(judged.probability / fitted.base_rate_, limits)
    count = np.bincount(seen, minlength=len(limits))
    won = np.bincount(seen, judged.outcome, len(limits))
    low, high = wilson(won, count, 0.95)
    with np.errstate(invalid="ignore"):
        said, share = np.bincount(seen, judged.probability, len(limits)) / count, won / count
    least = np.array(list(limits.values()))
    return {
        "grade": np.array(list(limits), object),
        "least_lift": least,
        "least_probability": least * fitted.base_rate_,
        "open_count": np.bincount(code, minlength=len(limits)),
        "expected_conversion_count": np.bincount(code, remaining, len(limits)),
        "judged_count": count,
        "mean_probability": said,
        "converted_share": share,
        "converted_share_low": low,
        "converted_share_high": high,
    }
