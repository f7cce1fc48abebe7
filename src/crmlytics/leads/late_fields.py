"""Which fields of a lead were filled in after the fact: what makes a model of leads look better than it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import encode, microseconds
from crmlytics._frames import collect
from crmlytics._lists import table_with_lists
from crmlytics._validation import as_moment, did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.leads._columns import OUTCOMES, floats
from crmlytics.leads._maturing import DAY
from crmlytics.leads._missing import MISSING_WORDS, check_missing_words, group_words, is_missing, texts
from crmlytics.tables import Leads

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]

NOT_FIELDS = ("lead_id", "created_at", *OUTCOMES)
NUMBER_BINS = 20
FOLDS, PRIOR_COUNT = 5, 10.0  # a level's share of converted leads, from the other folds, and what it is drawn to
ALPHA = 0.01  # of a single false alarm in the whole table, before the thresholds below
LATE_AUC, ODD_AUC = 0.8, 0.65  # of "is filled": decided afterwards; more than a form usually tells
AGE_GAP, AGE_CORRELATION = 0.1, 0.2  # between old and young leads that have not converted
NEAR_PERFECT, DECIDING_SHARE, DECIDING_COUNT = 0.9, 0.98, 20
USUAL_SHARE = 0.8  # of converted leads: beyond it no level can stand out
FINE = "nothing says that it is filled later"
VERDICTS = ("late-filled", "tells the outcome", "suspicious", "fine")
LEFT_OUT = VERDICTS[:2]  # by whoever learns from the fields


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A column of the leads, as codes.

    Attributes
    ----------
    name : str
    code : int64 array, shape (leads,)
        The number of the level or, of numbers, of the bin; -1 where the field is not filled.
    levels : tuple of str
        The levels in words; of numbers the lower bounds of the bins.
    numbers : float64 array, shape (leads,), or None
        The numbers themselves, NaN where not filled; None for words.
    """

    name: str
    code: NDArray[np.int64]
    levels: tuple[str, ...]
    numbers: NDArray[np.float64] | None = None

    @property
    def filled(self) -> Flags:
        """Whether the field is filled, of each lead."""
        known: Flags = self.code >= 0
        return known


@dataclass(frozen=True, slots=True, eq=False)
class LeadFields:
    """Leads created before a moment, by id.

    Attributes
    ----------
    age_days : float64 array, shape (leads,)
    days_to_conversion : float64 array, shape (leads,)
        From creation; NaN for whoever had not converted by then, or at an unknown moment.
    converted : bool array, shape (leads,)
    fields : tuple of Field
    groups : array of words, shape (leads,), or None
        The groups asked for.
    """

    age_days: NDArray[np.float64]
    days_to_conversion: NDArray[np.float64]
    converted: Flags
    fields: tuple[Field, ...]
    groups: NDArray[Any] | None = None

    @property
    def undated(self) -> Flags:
        """Whether a lead converted at a moment that nobody knows."""
        return np.asarray(self.converted & np.isnan(self.days_to_conversion))


def late_field_table(
    leads: Leads | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    target: str = "converted",
    columns: Sequence[str] | None = None,
    missing_words: Iterable[str] = MISSING_WORDS,
) -> Any:
    """Judge of each field of the leads whether it was filled in later than the moment a score would be wanted.

    A table of leads shows every lead as it is today. Fields that somebody fills in once the lead has bought ("contract
    type"), or in the course of time ("last call"), tell the outcome or the age of a lead; a model that learns from them
    is right in the past and useless on new leads.

    Parameters
    ----------
    leads : Leads or dataframe, one row per lead
        Needs ``lead_id``, ``created_at`` and ``converted`` or ``converted_at``.
    as_of : date
        The moment at which the fields were read, best that of the export; leads created on or after it are left out.
    target : str
        The column that says whether a lead converted: flags or whole numbers. ``"converted"`` is made from
        ``converted_at`` where there is no such column; with both, what happened on or after ``as_of`` does not count.
    columns : list of str, optional
        The fields to judge; by default ``source``, ``owner`` and all columns without a role.
    missing_words : list of str
        Words that stand for no answer: where they are, the field is not filled.

    Returns
    -------
    dataframe of the kind that came in, one row per field, the worst verdicts first, then by name
        ``column`` (String); ``filled_share`` (Float64, of all leads), ``filled_share_converted`` and
        ``filled_share_other`` (Float64, of leads that converted and of others), ``filled_share_young`` and
        ``filled_share_old`` (Float64, of the youngest and the oldest third of the leads that have not converted);
        ``filled_auc`` (Float64, the probability that a converted lead has the field filled where another has not, ties
        half), ``value_auc`` (Float64, how well the value alone tells converted leads from others, where it is filled;
        .5 is not at all, null where all converted or none), ``age_correlation`` (Float64, of numbers: rank correlation
        of value and age among leads that have not converted; null for words), ``verdict`` (String, "late-filled",
        "tells the outcome", "suspicious" or "fine"; fields with the first two are left out of lead scores), ``reason``
        (String, in words).

    Raises
    ------
    SchemaError, MissingColumnsError
        When no lead or every lead converted, or a column is not there.

    Notes
    -----
    Not filled is null, NaN and what forms say instead (``missing_words``), in capitals or not and with blanks around or
    not: empty text, "-", "--", "?", "missing", "n/a", "na", "nan", "none", "not provided", "not specified", "null",
    "select", "unknown", "unspecified".

    "late-filled": ``filled_auc`` of .8 or more or, among leads that have not converted, filled for a tenth more of the
    old than of the young. "tells the outcome": ``value_auc`` of .9 or more (with 20 leads of either outcome), such as
    the number of invoices, or whether there is a contract. "suspicious": ``filled_auc`` of .65 or more, or a level of
    20 or more leads of which 98 % converted, or numbers that grow with age (rank correlation .2: counted until today?).
    What is said of filling and of age must also be beyond chance, at 1 % over the whole table (Holm). ``value_auc``
    ranks by the share of converted leads at the same level (numbers: in the same of 20 bins of equal count) in the
    other four of five folds, so that a name or a number of many levels gains nothing.

    A verdict is a hint, not a proof: whoever fills a field in knows when, and a history of it settles the question. A
    field dropped from the form lately looks like one filled late. One filled from the beginning and overwritten later
    is found only if it nearly tells the outcome.

    Examples
    --------
    >>> from crmlytics.datasets._leads import make_leads
    >>> made = make_leads(2000)
    >>> table = late_field_table(made.leads, as_of="2024-12-31")
    >>> table[["column", "filled_share_converted", "filled_share_other", "verdict"]].head(3).round(2)
                 column  filled_share_converted  filled_share_other      verdict
    0     contract_type                    0.98                0.00  late-filled
    1  last_call_result                    0.90                0.82  late-filled
    2      company_size                    0.91                0.90         fine
    """
    caller = "late_field_table"
    words = check_missing_words(missing_words, caller=caller)
    found = read_leads(leads, as_of=as_of, target=target, columns=columns, words=words, caller=caller)
    engine = Leads.bind(leads).engine
    if not 0 < found.converted.sum() < len(found.converted):
        outcome = "every lead" if found.converted.any() else "no lead"
        msg = f"{caller}: {outcome} created before as_of converted: there is nothing to compare. Check {target!r}."
        raise SchemaError(msg)
    return table_with_lists(engine, _as_columns(judge_fields(found)))


@dataclass(frozen=True, slots=True)
class FieldJudgement:
    """What was found of a field; the names are those of the columns of :func:`late_field_table`."""

    column: str
    filled_share: float
    filled_share_converted: float
    filled_share_other: float
    filled_share_young: float
    filled_share_old: float
    filled_auc: float
    value_auc: float
    age_correlation: float
    verdict: str
    reason: str


def judge_fields(found: LeadFields) -> list[FieldJudgement]:
    """Judge every field, the worst first, then by name."""
    from crmlytics._kernels.multiple_testing import holm

    young, old = _thirds(found)
    p_values = np.array([_p_values(field, found, young, old) for field in found.fields]).reshape(-1, 3)
    sure = np.nan_to_num(holm(p_values.ravel()), nan=1.0).reshape(-1, 3) <= ALPHA
    judged = [_judge(field, found, young, old, tested) for field, tested in zip(found.fields, sure, strict=True)]
    return sorted(judged, key=lambda one: (VERDICTS.index(one.verdict), one.column))


# -- reading -------------------------------------------------------------------------------------------------------


def read_leads(
    leads: Leads | Any,
    *,
    as_of: Any,
    target: str = "converted",
    columns: Sequence[str] | None = None,
    by: str | None = None,
    words: frozenset[str] = frozenset(MISSING_WORDS),
    caller: str,
) -> LeadFields:
    """Read leads created before ``as_of`` and their fields, which by default are all that describe a lead."""
    moment = as_moment(as_of, caller=caller)
    table = Leads.bind(leads).before(moment)
    names = _field_names(table, target, columns, caller=caller)
    outcome = _outcome_roles(table, target, caller=caller)
    plan = table.need(*dict.fromkeys(["lead_id", "created_at", *outcome, *names]), caller=caller)
    frame = collect(plan.sort("lead_id"))
    if not len(frame):
        raise SchemaError(f"{caller}: no lead was created before as_of, {moment}. Check as_of.")
    created = _days(frame["created_at"])
    now = np.datetime64(moment, "us").astype(np.int64) / DAY
    converted, converted_day = _outcomes(frame, outcome, now, caller=caller)
    return LeadFields(
        now - created,
        np.where(converted, np.maximum(converted_day - created, 0.0), np.nan),
        converted,
        tuple(_field(name, frame[name], words) for name in names),
        None if by is None else group_words(frame[by], words),
    )


def _field_names(table: Leads, target: str, columns: Sequence[str] | None, *, caller: str) -> list[str]:
    known = [name for name in table.columns if name not in {*NOT_FIELDS, target}]
    if columns is None:
        return known
    if isinstance(columns, str):
        raise SchemaError(f"{caller}: columns must be a list of names such as [{columns!r}], got {columns!r}.")
    for name in columns:
        if name not in known:
            msg = f"{caller}: no field {name!r}.{did_you_mean(name, known)} Fields: {known}"
            raise MissingColumnsError(msg)
    return list(columns)


def _outcome_roles(table: Leads, target: str, *, caller: str) -> list[str]:
    """Return the columns that say who converted, and when."""
    if target != "converted":
        if not table.has(target):
            msg = f"{caller}: no column target={target!r}.{did_you_mean(target, table.columns)}"
            raise MissingColumnsError(msg)
        return [target]
    given = [name for name in ("converted", "converted_at") if table.has(name)]
    return given or ["converted"]  # which need then asks for in words


def _outcomes(
    frame: nw.DataFrame[Any], roles: list[str], now: float, *, caller: str
) -> tuple[Flags, NDArray[np.float64]]:
    """Return who had converted by ``now``, and the day, NaN where unknown."""
    day = _days(frame["converted_at"]) if "converted_at" in roles else np.full(len(frame), np.nan)
    if roles[0] == "converted_at":
        return day < now, day
    flag = frame[roles[0]]
    if not (flag.dtype == nw.Boolean or flag.dtype.is_numeric()):
        raise SchemaError(f"{caller}: target={roles[0]!r} holds {flag.dtype}, expected true and false, or 0 and 1.")
    said = flag.cast(nw.Float64).fill_null(0.0).to_numpy() != 0
    return said & ~(day >= now), day


def _days(moments: nw.Series[Any]) -> NDArray[np.float64]:
    """Return moments as days since 1970-01-01, NaN where there is none."""
    values = moments.to_numpy().astype("datetime64[us]")
    return np.where(np.isnat(values), np.nan, microseconds(values) / DAY)


def _field(name: str, series: nw.Series[Any], words: frozenset[str]) -> Field:
    dtype = series.dtype
    if isinstance(dtype, (nw.Datetime, nw.Date)):
        return _number_field(name, _days(series))
    if dtype.is_numeric():
        return _number_field(name, floats(series.to_arrow()))
    return _word_field(name, series, words)


def _number_field(name: str, numbers: NDArray[np.float64]) -> Field:
    numbers = np.where(np.isfinite(numbers), numbers, np.nan)
    known = ~np.isnan(numbers)
    code = np.full(len(numbers), -1)
    if not known.any():
        return Field(name, code, (), numbers)
    bounds = np.unique(np.quantile(numbers[known], np.arange(NUMBER_BINS) / NUMBER_BINS, method="lower"))
    code[known] = np.searchsorted(bounds, numbers[known], side="right") - 1
    return Field(name, code, tuple(f"{bound:.6g}" for bound in bounds), numbers)


def _word_field(name: str, series: nw.Series[Any], words: frozenset[str]) -> Field:
    """Code the levels in the order of their names; what forms say for nothing is no level."""
    import pyarrow.compute as pc

    code, levels = encode(pc.utf8_trim_whitespace(texts(series).fill_null("")))
    empty = np.array([not level or is_missing(level, words) for level in levels.tolist()], bool)
    number = np.where(empty, -1, np.cumsum(~empty) - 1)
    return Field(name, number[code].astype(np.int64), tuple(levels[~empty].tolist()))


# -- judging -------------------------------------------------------------------------------------------------------


def _thirds(found: LeadFields) -> tuple[Flags, Flags]:
    """Return the youngest and the oldest third of the leads that have not converted."""
    age = found.age_days[~found.converted]
    first, second = np.quantile(age, [1 / 3, 2 / 3])
    return ~found.converted & (found.age_days <= first), ~found.converted & (found.age_days >= second)


def _p_values(field: Field, found: LeadFields, young: Flags, old: Flags) -> list[float]:
    """Test whether filling differs by outcome and by age, and whether numbers go with age."""
    from crmlytics._kernels.proportion_tests import difference_p_value

    filled, won = field.filled, found.converted
    pairs = np.array([(won, ~won), (old, young)])
    counts, totals = (filled & pairs).sum(axis=2), pairs.sum(axis=2)
    by_outcome, by_age = difference_p_value(counts[:, 0], totals[:, 0], counts[:, 1], totals[:, 1])
    return [by_outcome, by_age, _age_correlation(field, found)[1]]


def _age_correlation(field: Field, found: LeadFields) -> tuple[float, float]:
    """Return Spearman's correlation of value and age among leads that have not converted, and its p-value."""
    from scipy import stats

    if field.numbers is None:
        return np.nan, np.nan
    kept = field.filled & ~found.converted
    numbers, age = field.numbers[kept], found.age_days[kept]
    if len(numbers) < 3 or np.ptp(numbers) == 0 or np.ptp(age) == 0:
        return np.nan, np.nan
    correlation, p_value = stats.spearmanr(numbers, age)
    return float(correlation), float(p_value)


def _judge(field: Field, found: LeadFields, young: Flags, old: Flags, sure: Flags) -> FieldJudgement:
    from crmlytics._kernels.classification import auc

    filled, won = field.filled, found.converted
    shares = tuple(float(filled[which].mean()) for which in (won, ~won, young, old))
    filled_auc, value_auc = auc(won, filled), _value_auc(field, won)
    correlation = _age_correlation(field, found)[0]
    verdict, reason = VERDICTS[3], FINE
    for words, holds, text in (
        (0, sure[0] and filled_auc >= LATE_AUC, _by_outcome(shares)),
        (0, sure[1] and shares[3] - shares[2] >= AGE_GAP, _by_age(shares)),
        (
            1,
            _is_enough(won[filled]) and value_auc >= NEAR_PERFECT,
            f"the value alone tells who converted (AUC {value_auc:.3f})",
        ),
        (2, sure[0] and filled_auc >= ODD_AUC, _by_outcome(shares)),
        (2, (level := _deciding_level(field, won)) is not None, f"nearly all leads with {level!r} converted"),
        (2, sure[2] and correlation >= AGE_CORRELATION, f"grows with age (rank correlation {correlation:.2f})"),
    ):
        if holds:
            verdict, reason = VERDICTS[words], text
            break
    return FieldJudgement(
        column=field.name,
        filled_share=float(filled.mean()),
        filled_share_converted=shares[0],
        filled_share_other=shares[1],
        filled_share_young=shares[2],
        filled_share_old=shares[3],
        filled_auc=filled_auc,
        value_auc=value_auc,
        age_correlation=correlation,
        verdict=verdict,
        reason=reason,
    )


def _is_enough(converted: Flags) -> bool:
    """Whether leads of both outcomes are many enough for a value to tell them apart other than by luck."""
    return bool(min(converted.sum(), (~converted).sum()) >= DECIDING_COUNT)


def _by_outcome(shares: tuple[float, ...]) -> str:
    return f"filled for {shares[0]:.0%} of the leads that converted and for {shares[1]:.0%} of the others"


def _by_age(shares: tuple[float, ...]) -> str:
    return f"of leads not converted, filled for {shares[3]:.0%} of the old and for {shares[2]:.0%} of the young"


def _value_auc(field: Field, converted: Flags) -> float:
    """Return how well the level alone tells who converted, where it is filled: ranked by what the other folds say."""
    from crmlytics._kernels.classification import auc

    code, won = field.code[field.filled], converted[field.filled]
    if not 0 < won.sum() < len(won):
        return np.nan
    fold = np.empty(len(won), np.int64)
    dealt = np.random.default_rng(0).permutation(len(won))
    order = dealt[np.argsort(won[dealt], kind="stable")]  # each fold has its share of those who converted
    fold[order] = np.arange(len(won)) % FOLDS
    cells = (FOLDS, len(field.levels))
    total = np.bincount(fold * cells[1] + code, minlength=cells[0] * cells[1]).reshape(cells)
    positive = np.bincount(fold * cells[1] + code, won, cells[0] * cells[1]).reshape(cells)
    total, positive = total.sum(axis=0) - total, positive.sum(axis=0) - positive
    rate = (positive + PRIOR_COUNT * won.mean()) / (total + PRIOR_COUNT)
    return auc(won, rate[fold, code])


def _deciding_level(field: Field, converted: Flags) -> str | None:
    """Return the most frequent level that nearly only converted leads have, if there is one."""
    kept = field.filled
    total = np.bincount(field.code[kept], minlength=len(field.levels))
    positive = np.bincount(field.code[kept], converted[kept], len(field.levels))
    decides = (total >= DECIDING_COUNT) & (positive >= DECIDING_SHARE * total) & (converted.mean() <= USUAL_SHARE)
    return field.levels[int(np.argmax(np.where(decides, total, -1)))] if decides.any() else None


def _as_columns(judged: list[FieldJudgement]) -> dict[str, Any]:
    names = FieldJudgement.__dataclass_fields__
    words = {"column", "verdict", "reason"}
    dtypes = {name: object if name in words else np.float64 for name in names}
    return {name: np.array([getattr(one, name) for one in judged], dtype) for name, dtype in dtypes.items()}
