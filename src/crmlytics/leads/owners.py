"""Who turns leads into customers, given the leads they got: results of owners or sources, adjusted for the mix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import as_days, check_count, check_fraction, did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.leads._bins import RARE
from crmlytics.leads._maturing import tell_undated
from crmlytics.leads.late_fields import LEFT_OUT, judge_fields, read_leads
from crmlytics.tables import Leads

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.leads.late_fields import Field, LeadFields

    Floats = NDArray[np.float64]
    Codes = NDArray[np.int64]

FOLDS = 5
LEAST_EXPECTED = 5.0  # conversions, and leads that do not convert: with fewer nothing is said
MOST_TO_LEARN_FROM = 200_000  # leads: more do not make the expectation better
STEPS, FARTHEST = 50, 30.0  # of halving an interval of log odds


def owner_table(
    leads: Leads | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    within: str | dt.timedelta = "90d",
    by: str = "owner",
    adjust_for: Sequence[str] | None = None,
    min_count: int = 30,
    alpha: float = 0.05,
    random_state: int = 0,
) -> Any:
    """Compare the conversions of each owner with those that the average owner would have made of the same leads.

    Whoever is given the good leads has the best rate. Here every lead counts for what leads like it usually bring, and
    the owner for what came beyond that.

    Parameters
    ----------
    leads : Leads or dataframe, one row per lead
        Needs ``lead_id``, ``created_at``, ``converted_at`` (or ``converted``) and the column that ``by`` names.
    as_of : date
        The moment described from; nothing on or after it is read.
    within : duration such as "90d"
        A lead counts as converted if it became a customer before so long had passed since its creation. Leads younger
        than that at ``as_of`` are left out, whether they have converted or not: they are not failures yet.
    by : str
        ``"owner"``, or ``"source"``, or another field to compare by.
    adjust_for : list of str, optional
        The fields that leads are alike in. By default the other fields that describe a lead, without those that
        :func:`late_field_table` finds "late-filled" or to tell the outcome. An empty list compares plain rates.
    min_count : int
        Owners of fewer leads get no verdict.
    alpha : float
        The expected share of false verdicts among those given.
    random_state : int
        Deals the leads into folds.

    Returns
    -------
    dataframe of the kind that came in, one row per owner, the highest shrunken ratio first, then by name
        The column that ``by`` names (String, a missing one is "unknown"); ``lead_count`` (Int64, old enough),
        ``young_count`` (Int64, left out); ``converted_count`` (Int64), ``conversion_rate`` (Float64, as it
        is), ``expected_count`` (Float64, conversions of the average owner with these leads), ``ratio`` (Float64,
        ``converted_count / expected_count``) with ``ratio_low`` and ``ratio_high`` (Float64, at 1 - ``alpha``, for this
        row alone), ``shrunken_ratio`` (Float64, drawn to 1 by as much as owners of few leads differ by chance),
        ``adjusted_rate`` (Float64, ``shrunken_ratio`` times the rate of all leads, at most 1), ``p_value`` and
        ``adjusted_p_value`` (Float64, of the ratio 1; by Benjamini and Hochberg over the rows), ``verdict`` (String,
        "better", "worse", "as expected" or "too few").

    Raises
    ------
    SchemaError, MissingColumnsError
        When no lead is old enough, or all or none of them converted, or a column is not there.

    Warns
    -----
    DataQualityWarning
        When fields were left out as filled late, or leads converted at an unknown moment: they count as converted in
        time, though some may have taken longer.

    Notes
    -----
    The expected conversions are those of a logistic regression on the fields (numbers in bins of equal count, missing a
    level of its own) without ``by``, learnt on four fifths of the leads and applied to the last; the ratio is that of
    indirect standardisation. Given the leads, conversions are independent with the expected probabilities times an odds
    ratio of the owner; interval and p-value are those of the score test of it, ``z = (O - E) / sqrt(sum p (1 - p))``,
    as Wilson's interval is of a share. Owners' log odds ratios are taken to be normal around 0, with the
    variance estimated from all of them (R. DerSimonian and N. Laird (1986), "Meta-analysis in clinical trials");
    ``shrunken_ratio`` is at their most likely values. The verdict needs ``min_count`` leads and 5 expected conversions
    and failures.

    Not adjusted for is what is in no column: if good leads are dealt by hand, by what the dealer sees, the owner gets
    the credit. What an owner alone works on (a country, say) cannot be told from the owner, and goes to the field. A
    field that owners fill in themselves should not be in ``adjust_for``. The expectation is taken as known: with
    hundreds of leads, intervals are a little short.

    Examples
    --------
    >>> from crmlytics.datasets._leads import make_leads
    >>> known = ["source", "industry", "job_title", "visits", "company_size", "demo_requested"]
    >>> table = owner_table(make_leads(4000).leads, as_of="2024-12-31", adjust_for=known)
    >>> table[["owner", "conversion_rate", "ratio", "verdict"]].round(2)
      owner  conversion_rate  ratio      verdict
    0   Ana             0.43   1.58       better
    1  Cleo             0.52   1.00  as expected
    2   Ben             0.27   0.99  as expected
    3   Eva             0.28   0.97  as expected
    4   Dan             0.13   0.47        worse
    """
    caller = "owner_table"
    days = as_days(within, name="within", caller=caller)
    check_count(min_count, name="min_count", caller=caller)
    check_fraction(alpha, name="alpha", caller=caller)
    table = Leads.bind(leads)
    _check_columns(table, by, caller=caller)
    found = read_leads(table, as_of=as_of, by=by, caller=caller)
    fields = {field.name: field for field in found.fields}
    mature, converted = _outcomes(found, days, caller=caller)
    adjusting = _adjusting(fields, found, by, adjust_for, caller=caller)
    names, owner = np.unique(np.asarray(found.groups).astype(str), return_inverse=True)
    expected = _expected(adjusting, mature, converted, random_state)
    results = _compare(owner[mature], converted[mature], expected, len(names), alpha)
    columns = _columns(results, np.bincount(owner[~mature], minlength=len(names)), min_count, alpha)
    kept = np.lexsort((names, -columns["shrunken_ratio"]))
    kept = kept[columns["lead_count"][kept] + columns["young_count"][kept] > 0]
    words = {by: names[kept].astype(object)}
    return table_with_lists(table.engine, words | {name: of[kept] for name, of in columns.items()})


# -- reading -------------------------------------------------------------------------------------------------------


def _check_columns(table: Leads, by: str, *, caller: str) -> None:
    """Say what is missing before anything is read."""
    table.need("lead_id", "created_at", *([] if table.has("converted") else ["converted_at"]), caller=caller)
    if not table.has(by) or by in {"lead_id", "created_at", "converted", "converted_at", "stage"}:
        msg = f"{caller}: no field by={by!r} to compare by.{did_you_mean(by, table.columns)} Columns: {table.columns}"
        raise MissingColumnsError(msg)


def _outcomes(found: LeadFields, days: int, *, caller: str) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which leads are old enough, and which converted in time."""
    mature = found.age_days >= days
    converted = found.undated | (found.days_to_conversion < days)
    tell_undated(found.undated & mature, found.converted & mature, within=days, caller=caller)
    if not mature.any():
        oldest = f"the oldest lead is {found.age_days.max():.0f} days old"
        raise SchemaError(f"{caller}: no lead is {days} days old at as_of ({oldest}). Take a shorter within=.")
    if not 0 < converted[mature].sum() < mature.sum():
        outcome = "all" if converted[mature].any() else "none"
        msg = f"{caller}: {outcome} of the {mature.sum():,} leads old enough converted within {days} days: none differ."
        raise SchemaError(msg)
    return mature, converted


def _adjusting(
    fields: dict[str, Field], found: LeadFields, by: str, adjust_for: Sequence[str] | None, *, caller: str
) -> list[Field]:
    """Return the fields to adjust for, by default those known in time."""
    if adjust_for is not None:
        unknown = [name for name in adjust_for if name not in fields or name == by]
        if isinstance(adjust_for, str) or unknown:
            others = [name for name in fields if name != by]
            expected = f"adjust_for must be a list of fields other than {by!r}"
            raise SchemaError(f"{caller}: {expected}, got {adjust_for!r}. Fields: {others}")
        return [fields[name] for name in dict.fromkeys(adjust_for)]
    late = [one.column for one in judge_fields(found) if one.verdict in LEFT_OUT and one.column != by]
    if late:
        told = "look filled late or tell the outcome, and are left out of the adjustment. See late_field_table(...)."
        warn(f"{caller}: {late} {told}")
    return [field for name, field in fields.items() if name != by and name not in late]


# -- what the average owner would have made of it ------------------------------------------------------------------


def _expected(
    fields: list[Field], mature: NDArray[np.bool_], converted: NDArray[np.bool_], random_state: int
) -> Floats:
    """Return the probability of each lead that is old enough, from a model of the others."""
    from sklearn.linear_model import LogisticRegression

    won = converted[mature]
    design = _indicators([_pooled(field.code[mature]) for field in fields], len(won))
    rng = np.random.default_rng(random_state)
    dealt = rng.permutation(len(won))
    fold = np.empty(len(won), np.int64)
    fold[dealt[np.argsort(won[dealt], kind="stable")]] = np.arange(len(won)) % FOLDS
    probability = np.full(len(won), won.mean())
    for number in range(FOLDS if design.shape[1] else 0):
        train = dealt[fold[dealt] != number][:MOST_TO_LEARN_FROM]
        if not 0 < won[train].sum() < len(train):
            continue
        model = LogisticRegression(C=1.0, solver="newton-cholesky").fit(design[train], won[train])
        test = fold == number
        probability[test] = model.predict_proba(design[test])[:, 1]
    return probability


def _pooled(code: Codes) -> Codes:
    """Code the levels of a field anew: missing is one, and so are the rare ones together."""
    count = np.bincount(code + 1)
    number = np.where(count >= RARE, np.cumsum(count >= RARE), 0)
    renumbered: Codes = np.unique(number[code + 1], return_inverse=True)[1]
    return renumbered


def _indicators(codes: list[Codes], rows: int) -> Any:
    """Lay codes out as a sparse matrix of zeros and ones, a column a level."""
    from scipy import sparse

    if not codes:
        return sparse.csr_matrix((rows, 0))
    sizes = np.array([int(code.max()) + 1 for code in codes])
    offsets = np.cumsum(sizes) - sizes
    columns = np.column_stack([code + offset for code, offset in zip(codes, offsets, strict=True)]).ravel()
    starts = np.arange(0, len(columns) + 1, len(codes))
    return sparse.csr_matrix((np.ones(len(columns)), columns, starts), shape=(rows, int(sizes.sum())))


# -- comparing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Results:
    """What each owner made of their leads, each shape (owners,)."""

    total: Codes
    converted: Floats
    expected: Floats
    variance: Floats
    low: Floats
    high: Floats
    shrunken: Floats
    rate: float


def _compare(owner: Codes, converted: NDArray[np.bool_], expected: Floats, owners: int, alpha: float) -> _Results:
    from scipy import special

    log_odds = special.logit(np.clip(expected, 1e-9, 1 - 1e-9))
    moments = _Moments(owner, log_odds, owners)
    count = _sums(owner, converted, owners)
    mean, variance = moments.at(np.zeros(owners))
    z = -special.ndtri(alpha / 2)
    # bounds where the conversions lie z standard deviations beyond what an owner of these odds makes
    low = _root(lambda at: _beyond(count, moments.at(at), -z), owners)
    high = _root(lambda at: _beyond(count, moments.at(at), z), owners)
    spread = _between(count - mean, variance)
    shrunken = _root(lambda at: count - moments.at(at)[0] - at / spread, owners) if spread > 0 else np.zeros(owners)
    return _Results(
        np.bincount(owner, minlength=owners), count, mean, variance,
        moments.at(low)[0], moments.at(high)[0], moments.at(shrunken)[0], float(converted.mean()),
    )  # fmt: skip


class _Moments:
    """Mean and variance of the conversions of each owner, if the owner multiplies the odds of each lead."""

    def __init__(self, owner: Codes, log_odds: Floats, owners: int) -> None:
        self.owner, self.log_odds, self.owners = owner, log_odds, owners

    def at(self, shift: Floats) -> tuple[Floats, Floats]:
        from scipy import special

        p = special.expit(self.log_odds + shift[self.owner])
        return _sums(self.owner, p, self.owners), _sums(self.owner, p * (1 - p), self.owners)


def _sums(owner: Codes, values: NDArray[Any], owners: int) -> Floats:
    return np.bincount(owner, values, owners).astype(np.float64)


def _beyond(count: Floats, moments: tuple[Floats, Floats], z: float) -> Floats:
    """Return what is left of the difference once z standard deviations are taken away: it falls with the odds."""
    mean, variance = moments
    left: Floats = count - mean + z * np.sqrt(variance)
    return left


def _root(falling: Any, owners: int) -> Floats:
    """Find where a falling function of the log odds ratio crosses zero, for every owner at once."""
    low, high = np.full(owners, -FARTHEST), np.full(owners, FARTHEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        above = falling(middle) > 0
        low, high = np.where(above, middle, low), np.where(above, high, middle)
    root: Floats = (low + high) / 2
    return root


def _between(surplus: Floats, variance: Floats) -> float:
    """Return the variance of owners' log odds ratios beyond chance: DerSimonian and Laird's, of one-step estimates."""
    known = variance > 0
    weight = variance[known]
    if len(weight) < 2:
        return 0.0
    effect = surplus[known] / weight
    centre = (weight @ effect) / weight.sum()
    excess = float(weight @ (effect - centre) ** 2) - (len(weight) - 1)
    return max(0.0, float(excess / (weight.sum() - (weight**2).sum() / weight.sum())))


def _columns(results: _Results, young: Codes, min_count: int, alpha: float) -> dict[str, Any]:
    from scipy import special

    from crmlytics._kernels.multiple_testing import benjamini_hochberg
    from crmlytics._kernels.proportion_tests import share

    total, count, expected = results.total, results.converted, results.expected
    enough = (total >= min_count) & (np.minimum(expected, total - expected) >= LEAST_EXPECTED)
    z = np.divide(count - expected, np.sqrt(results.variance), out=np.zeros(len(total)), where=results.variance > 0)
    p_value = np.where(total > 0, 2 * special.ndtr(-np.abs(z)), np.nan)
    adjusted = np.where(enough, benjamini_hochberg(np.where(enough, p_value, np.nan)), np.nan)
    sure = np.nan_to_num(adjusted, nan=1.0) <= alpha
    verdict = np.where(sure, np.where(count > expected, "better", "worse"), "as expected")
    ratios = [share(of, expected) for of in (count, results.low, results.high)]
    shrunken = np.where(total > 0, share(results.shrunken, expected), 1.0)
    return {
        "lead_count": total.astype(np.int64),
        "young_count": young.astype(np.int64),
        "converted_count": count.astype(np.int64),
        "conversion_rate": share(count, total),
        "expected_count": expected,
        "ratio": ratios[0],
        "ratio_low": ratios[1],
        "ratio_high": ratios[2],
        "shrunken_ratio": shrunken,
        "adjusted_rate": np.minimum(shrunken * results.rate, 1.0),
        "p_value": p_value,
        "adjusted_p_value": adjusted,
        "verdict": np.where(enough, verdict, "too few").astype(object),
    }
