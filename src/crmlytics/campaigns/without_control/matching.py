"""Without a random control group: the contacted beside customers who were like them and were not contacted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from crmlytics._validation import check_fraction
from crmlytics.campaigns._experiment import CAMPAIGN, CONTROL
from crmlytics.campaigns._rows import NUMBER, TEXT, WHOLE, table_of
from crmlytics.campaigns.uplift._covariates import filled, read_covariates, side_by_side
from crmlytics.campaigns.without_control._comparing import (
    arms_of,
    campaign_ids,
    read_outcomes,
    with_campaign,
    with_remark,
)
from crmlytics.campaigns.without_control._matching import (
    LEAST,
    Likeness,
    design_of,
    find_likeness,
    read_metrics,
    read_plan,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.campaigns.uplift._covariates import Covariate

    Vector = NDArray[np.float64]
    Places = NDArray[np.int64]

NAIVE, TWINS, ROBUST = "naive", "nearest twin", "doubly robust"
ROUNDING = 1e-12  # relative to the outcome: a standard error as small is none
LARGE = 0.1  # standard deviations: groups that far apart are not alike (Austin 2009)
UNSEEN = (
    "Differences that no column shows are not taken out: a customer chosen for what only the sender knew has no twin."
)
FEW = f"Too few customers: at least {LEAST} treated and {LEAST} others are needed."
NOBODY = "Nobody of the treated has a twin: the groups have nothing in common."
EFFECT_KINDS = {
    CAMPAIGN: TEXT,
    "arm": TEXT,
    "metric": TEXT,
    "method": TEXT,
    "treated_count": WHOLE,
    "matched_count": WHOLE,
    "comparison_count": WHOLE,
    "treated_mean": NUMBER,
    "difference": NUMBER,
    "difference_low": NUMBER,
    "difference_high": NUMBER,
    "p_value": NUMBER,
    "largest_imbalance": NUMBER,
    "e_value": NUMBER,
    "e_value_bound": NUMBER,
    "caution": TEXT,
}
BALANCE_KINDS = {
    CAMPAIGN: TEXT,
    "arm": TEXT,
    "covariate": TEXT,
    "level": TEXT,
    "treated_mean": NUMBER,
    "comparison_mean": NUMBER,
    "twin_mean": NUMBER,
    "weighted_mean": NUMBER,
    "standardised_difference": NUMBER,
    "twin_standardised_difference": NUMBER,
    "weighted_standardised_difference": NUMBER,
}


class Estimate(NamedTuple):
    """A mean effect on the treated, its standard error, and its degrees of freedom."""

    difference: float
    error: float
    freedom: float = np.inf


class Weighing(NamedTuple):
    """One way to compare: the rows of the treated, the weight of each other customer, how many of these count."""

    treated: Places
    weight: Vector
    others: int


def matched_effect_table(
    outcomes: Any,
    *,
    comparison: Any = CONTROL,
    metrics: Sequence[str] | None = None,
    features: Sequence[str] | None = None,
    caliper: float = 0.2,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Any:
    """Compare the contacted with customers who were not contacted and had been like them: in three ways.

    Parameters
    ----------
    outcomes : dataframe, one row per customer, or per campaign and customer
        As :func:`outcome_table` makes it, best of :func:`comparison_contacts`: ``customer_id``, ``arm``, outcomes, and
        what was known before the contact.
    comparison : str, number or bool, default "control"
        The arm to compare with, such as ``"not contacted"``.
    metrics : sequence of str, optional
        Which outcomes; by default all that :func:`outcome_table` makes.
    features : sequence of str, optional
        What customers must be alike in; by default every column but ids, arm and what :func:`outcome_table` counts
        after the contact. Whatever had a part in choosing them belongs here, and nothing of after the contact.
    caliper : float, default 0.2
        How far apart twins may be, in standard deviations of the log odds of being contacted.
    confidence : float, default 0.95
    random_state : int, default 0
        Fixes the folds in which the models of the doubly robust way learn.

    Returns
    -------
    dataframe of the kind that came in, sorted by campaign and arm, one row per (campaign,) arm, metric and method
        ``campaign_id`` (where there is one); ``arm``, ``metric``, ``method`` (String: ``"naive"``, all treated against
        all others as they are; ``"nearest twin"``; ``"doubly robust"``); ``treated_count`` (Int64, all);
        ``matched_count`` (Int64, of these with a twin: the effect is theirs); ``comparison_count`` (Int64, other
        customers used); ``treated_mean`` (Float64, of those matched); ``difference`` (Float64, the effect per treated
        customer), ``difference_low``, ``difference_high``, ``p_value``; ``largest_imbalance`` (Float64, of all features
        the largest difference left, in standard deviations; above .1 the groups are not alike); ``e_value`` (Float64,
        how many times likelier something unseen must make both the contact and the outcome to explain the effect
        away), ``e_value_bound`` (the same for the nearer end of the interval; 1 if that holds zero); ``caution``
        (String). Interval, ``p_value`` and both e-values are null where nothing varies: nobody converts, or everybody.

    Raises
    ------
    SchemaError, MissingColumnsError
        When there is no comparison arm, no other arm, no outcome, or no feature.

    Notes
    -----
    The chance of being contacted comes from a logistic regression on splines. *Nearest twin*: each treated customer
    beside the other with the nearest log odds (all of them, where several are equally near), with replacement, within
    the caliper; standard errors by Abadie and Imbens (2006), which take the chances as known. *Doubly robust* (AIPW):
    five folds, outcomes expected without contact by ridge regression on the same curves, others weighted by the odds of
    being contacted, none by more than ten times the mean; right if one of the two models is. Both speak of the treated
    with twins only. ``e_value`` of counts and amounts takes ``exp(.91 d)``, d in standard deviations, for a ratio of
    risks.

    **What it cannot show.** Twins are alike in the columns that are there. If customers were chosen by what no column
    tells, or chose themselves, the difference is not the effect of the contact. Two ways that disagree, or an
    ``e_value_bound`` near 1, say: do not rely on it. Hold out a random control group next time.

    References
    ----------
    A. Abadie and G. W. Imbens (2006), Econometrica 74. P. C. Austin (2011), "Optimal caliper widths for
    propensity-score matching", Pharmaceutical Statistics 10. J. M. Robins, A. Rotnitzky and L. P. Zhao (1994), Journal
    of the American Statistical Association 89. T. J. VanderWeele and P. Ding (2017), Annals of Internal Medicine 167.

    Examples
    --------
    Big spenders were contacted, and big spenders spend; the contact did nothing:

    >>> import numpy as np, pandas as pd
    >>> random = np.random.default_rng(1)
    >>> before = random.gamma(2.0, 50.0, 2_000)
    >>> contacted = random.random(2_000) < before / 400
    >>> table = pd.DataFrame({
    ...     "customer_id": range(2_000), "arm": np.where(contacted, "mail", "control"),
    ...     "pre_revenue_amount": before, "revenue_amount": before + random.normal(0, 20, 2_000),
    ... })
    >>> matched_effect_table(table)[["method", "difference", "difference_low", "difference_high"]].round(0)
              method  difference  difference_low  difference_high
    0          naive        64.0            55.0             72.0
    1   nearest twin         0.0            -3.0              4.0
    2  doubly robust         0.0            -2.0              3.0
    """
    caller = "matched_effect_table"
    check_fraction(confidence, name="confidence", caller=caller)
    experiment = read_outcomes(outcomes, comparison, caller=caller)
    found = read_metrics(experiment, metrics, caller=caller)
    plan = read_plan(experiment, features, list(found), caliper=caliper, random_state=random_state, caller=caller)
    design = design_of(experiment, plan, caller=caller)
    columns = filled(side_by_side(read_covariates(experiment, plan.features, caller=caller)))
    values = np.column_stack(list(found.values()))
    rows = []
    for key, treated, other in arms_of(experiment):
        enough = min(len(treated), len(other)) >= LEAST
        like = find_likeness(design, values, treated, other, plan) if enough else None
        ways = _nothing(other, enough=enough) if like is None else _effects(like, treated, columns)
        for place, metric in enumerate(found):
            common = key | {"metric": metric, "treated_count": len(treated)}
            told = {} if like is None else _told_of(like, treated, values[:, place], place, confidence)
            rows += [with_remark(common | way | told.get(way["method"], {})) for way in ways]
    return table_of(experiment.engine, rows, with_campaign(EFFECT_KINDS, experiment), **campaign_ids(experiment))


def matched_balance_table(
    outcomes: Any,
    *,
    comparison: Any = CONTROL,
    features: Sequence[str] | None = None,
    caliper: float = 0.2,
    random_state: int = 0,
) -> Any:
    """Show how alike treated and others were before the contact, as they are and as :func:`matched_effect_table` does.

    Parameters
    ----------
    outcomes, comparison, features, caliper, random_state : as in :func:`matched_effect_table`

    Returns
    -------
    dataframe of the kind that came in, one row per (campaign,) arm, covariate and level, in the order of the columns
        ``campaign_id`` (where there is one); ``arm``, ``covariate``, ``level`` (String, as in :func:`balance_table`);
        ``treated_mean``, ``comparison_mean`` (Float64, of all treated and all others), ``twin_mean`` (of the twins),
        ``weighted_mean`` (of the others, weighted as in the doubly robust way); ``standardised_difference`` (Float64,
        of all treated and all others, in standard deviations), ``twin_standardised_difference`` and
        ``weighted_standardised_difference`` (of the treated who have twins; missing where there are none).

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`matched_effect_table`.

    Notes
    -----
    All differences are in the standard deviations of before matching. Beyond .1 a column still tells the groups apart:
    add features, or do not compare. What is in no column may still differ.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> random = np.random.default_rng(1)
    >>> before = random.gamma(2.0, 50.0, 2_000)
    >>> arm = np.where(random.random(2_000) < before / 400, "mail", "control")
    >>> table = pd.DataFrame({"customer_id": range(2_000), "arm": arm, "pre_revenue_amount": before})
    >>> shown = ["covariate", "standardised_difference", "twin_standardised_difference"]
    >>> matched_balance_table(table)[shown].round(2)
                covariate  standardised_difference  twin_standardised_difference
    0  pre_revenue_amount                     0.86                           0.0
    """
    caller = "matched_balance_table"
    experiment = read_outcomes(outcomes, comparison, caller=caller)
    plan = read_plan(experiment, features, (), caliper=caliper, random_state=random_state, caller=caller)
    design = design_of(experiment, plan, caller=caller)
    covariates = read_covariates(experiment, plan.features, caller=caller)
    nothing = np.zeros((len(experiment), 1))
    rows = []
    for key, treated, other in arms_of(experiment):
        enough = min(len(treated), len(other)) >= LEAST
        like = find_likeness(design, nothing, treated, other, plan) if enough else None
        rows += [key | row for row in _balance(covariates, treated, other, like)]
    return table_of(experiment.engine, rows, with_campaign(BALANCE_KINDS, experiment), **campaign_ids(experiment))


# -- effects -------------------------------------------------------------------------------------------------------


def _weighings(like: Likeness, treated: Places) -> dict[str, Weighing]:
    """Return by method who is compared, and how much each other customer counts."""
    count = len(like.other)
    return {
        NAIVE: Weighing(treated, np.ones(count), count),
        TWINS: Weighing(like.treated, like.twin_weight, int((like.twin_weight > 0).sum())),
        ROBUST: Weighing(like.treated, like.odds_weight[len(like.treated) :], count),
    }


def _effects(like: Likeness, treated: Places, columns: Vector) -> list[dict[str, Any]]:
    """Return what all metrics of an arm have in common, a row per method."""
    rows = []
    for method, weighing in _weighings(like, treated).items():
        imbalance = _largest_imbalance(columns, treated, like.other, weighing)
        caution = _caution(method, imbalance, len(like.treated), len(treated))
        row = {"method": method, "matched_count": len(weighing.treated), "comparison_count": weighing.others}
        rows.append(row | {"largest_imbalance": imbalance, "caution": caution})
    return rows


def _told_of(
    like: Likeness, treated: Places, values: Vector, place: int, confidence: float
) -> dict[str, dict[str, float]]:
    """Return by method the columns that tell the effect on one metric."""
    rows = {method: like.treated if method != NAIVE else treated for method in (NAIVE, TWINS, ROBUST)}
    found = _estimates(like, treated, values, place)
    return {method: _told(estimate, values[rows[method]], confidence) for method, estimate in found.items()}


def _estimates(like: Likeness, treated: Places, values: Vector, place: int) -> dict[str, Estimate]:
    """Return the effect on one metric by method."""
    from crmlytics._kernels.matching import doubly_robust_effect, matched_effect

    own, others = values[treated], values[like.other]
    chosen = np.arange(len(like.treated) + len(like.other)) < len(like.treated)
    both = np.concatenate([values[like.treated], others])
    return {
        NAIVE: _naive(own, others),
        TWINS: Estimate(*matched_effect(own, others, like.other_score, like.twins)),
        ROBUST: Estimate(*doubly_robust_effect(both, chosen, like.odds_weight, like.expected[:, place])),
    }


def _naive(treated: Vector, other: Vector) -> Estimate:
    from crmlytics._kernels.panel_effects import differences, means_of

    found = differences(means_of(treated[:, None]), means_of(other[:, None]))
    return Estimate(float(found.estimate[0]), float(found.error[0]), float(found.freedom[0]))


def _told(estimate: Estimate, treated: Vector, confidence: float) -> dict[str, float]:
    """Return an estimate as the columns that tell it."""
    from scipy import special

    from crmlytics._kernels.matching import e_value, risk_ratio

    told = {"treated_mean": float(treated.mean()), "difference": estimate.difference, "difference_low": np.nan}
    if not estimate.error > ROUNDING * np.abs(treated).max():  # NaN where nothing varies
        return told
    freedom = min(estimate.freedom, 1e9)
    reach = float(special.stdtrit(freedom, (1 + confidence) / 2)) * estimate.error
    low, high = estimate.difference - reach, estimate.difference + reach
    nearer = low if estimate.difference > 0 else high
    certain = (low > 0) or (high < 0)
    return told | {
        "difference_low": low,
        "difference_high": high,
        "p_value": 2 * float(special.stdtr(freedom, -abs(estimate.difference / estimate.error))),
        "e_value": e_value(risk_ratio(estimate.difference, treated)),
        "e_value_bound": e_value(risk_ratio(nearer, treated)) if certain else 1.0,
    }


def _largest_imbalance(columns: Vector, treated: Places, other: Places, weighing: Weighing) -> float:
    from crmlytics._kernels.matching import pooled_spread, standardised_difference

    spread = pooled_spread(columns[treated], columns[other])
    apart = standardised_difference(columns[weighing.treated], columns[other], weighing.weight, spread)
    return float(np.abs(apart).max())


def _caution(method: str, imbalance: float, matched: int, treated: int) -> str:
    """Say what a row cannot show."""
    if method == NAIVE:
        return "No effect: what the groups differed in before is still in it. For comparison with the other rows."
    words = [UNSEEN]
    if matched < treated:
        words.append(f"{treated - matched:,} of {treated:,} treated have no twin: the effect is that of the others.")
    if imbalance > LARGE:
        words.append(
            f"The groups are not alike yet: {imbalance:.2f} standard deviations apart (matched_balance_table)."
        )
    return " ".join(words)


def _nothing(other: Places, *, enough: bool) -> list[dict[str, Any]]:
    """Return the rows of an arm that cannot be compared."""
    caution = NOBODY if enough else FEW
    row = {"matched_count": 0, "comparison_count": len(other), "caution": caution}
    return [row | {"method": method} for method in (NAIVE, TWINS, ROBUST)]


# -- balance -------------------------------------------------------------------------------------------------------


def _balance(
    covariates: Sequence[Covariate], treated: Places, other: Places, like: Likeness | None
) -> list[dict[str, Any]]:
    """Return the rows of one arm."""
    from crmlytics._kernels.matching import pooled_spread, standardised_difference

    columns = filled(side_by_side(covariates))
    names = [(one.name, level) for one in covariates for level in one.levels]
    found = {"treated_mean": columns[treated].mean(axis=0)}
    all_others = {NAIVE: Weighing(treated, np.ones(len(other)), len(other))}
    weighings = all_others if like is None else _weighings(like, treated)
    spread = pooled_spread(columns[treated], columns[other]) if min(len(treated), len(other)) > 1 else None
    prefixes = {NAIVE: ("comparison", ""), TWINS: ("twin", "twin_"), ROBUST: ("weighted", "weighted_")}
    for method, (treated_rows, weight, _) in weighings.items():
        group, prefix = prefixes[method]
        if len(other) and spread is not None:
            found[f"{group}_mean"] = weight @ columns[other] / weight.sum()
            apart = standardised_difference(columns[treated_rows], columns[other], weight, spread)
            found[f"{prefix}standardised_difference"] = apart
    return [
        {"covariate": name, "level": level} | {key: values[number] for key, values in found.items()}
        for number, (name, level) in enumerate(names)
    ]
