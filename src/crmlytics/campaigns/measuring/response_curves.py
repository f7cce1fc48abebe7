"""How the response to a contact builds up, day after day, and how fast it fades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._validation import as_days, check_count, check_fraction
from crmlytics.campaigns._experiment import CAMPAIGN, CONTROL
from crmlytics.campaigns._rows import NUMBER, TEXT, WHOLE, table_of
from crmlytics.campaigns.measuring._no_trial import tell_if_no_trial
from crmlytics.campaigns.measuring._since_contact import CONVERTED, amount_names, count_name, read_since_contact
from crmlytics.campaigns.without_control._comparing import UNTOLD
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from crmlytics._kernels.panel_effects import Differences, Means
    from crmlytics.campaigns.measuring._since_contact import Groups, SinceContact

    Days = NDArray[np.int64]

LEAST = 2  # customers observed in a step, or nothing is known of how they vary
MOST_STEPS = 400  # of a curve: their covariance is a square table
FIT_STEPS = 15  # the decay is read from so many stretches at most: single days are mostly noise
NOTHING = "no effect that could be told from chance"
CURVE_KINDS = {
    CAMPAIGN: TEXT,
    "arm": TEXT,
    "metric": TEXT,
    "day": WHOLE,
    "treated_count": WHOLE,
    "control_count": WHOLE,
    "treated_mean": NUMBER,
    "control_mean": NUMBER,
    "difference": NUMBER,
    "difference_low": NUMBER,
    "difference_high": NUMBER,
    "step_difference": NUMBER,
    "effect_share": NUMBER,
    "half_life_days": NUMBER,
    "half_life_days_low": NUMBER,
    "half_life_days_high": NUMBER,
    "decay_reason": TEXT,
}


def response_curve_table(
    contacts: Any,
    outcomes: Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str | dt.timedelta = "60d",
    step: str | dt.timedelta = "1d",
    control: Any = CONTROL,
    event: str | None = None,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Any:
    """Say by how much each arm is ahead of the control group on every day since the contact.

    Parameters
    ----------
    contacts, outcomes, control, event : as in :func:`outcome_table`
    as_of : date or datetime
        Nothing at or after it is read.
    horizon : str, default "60d"
        How long to look, in calendar days, that of the contact being the first.
    step : str, default "1d"
        How long a step is; ``"7d"`` for small campaigns. The last one may be shorter.
    confidence : float, default 0.95
    random_state : int, default 0
        Fixes the draws that the width of the band comes from.

    Returns
    -------
    dataframe of the kind of ``contacts``, one row per campaign, arm, metric and step, sorted by these
        ``campaign_id``; ``arm``, ``metric`` (String: ``"converted"``, then the count, then amounts); ``day`` (Int64,
        days since the contact at the end of the step: 1 is the end of the day of the contact); ``treated_count``,
        ``control_count`` (Int64, customers observed in this step); ``treated_mean``, ``control_mean`` (Float64, per
        customer from the contact up to this day); ``difference`` (Float64, the lift up to this day per customer),
        ``difference_low``, ``difference_high`` (a band that holds the whole curve at this confidence, not each day by
        itself; null where nothing varies between the customers of a group, as before the first order);
        ``step_difference`` (Float64, the lift within the step); ``effect_share`` (Float64, the part of the lift of the
        last row reached; null where the band of the last row holds zero); ``half_life_days`` (Float64, after which the
        daily lift is half of what it was), ``half_life_days_low``, ``half_life_days_high`` (the same in every row of a
        curve, null where the data do not tell it, or the band holds zero throughout); ``decay_reason`` (String, why
        not).

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`outcome_table`; when a campaign has no control group, or no step is over for two customers of both
        groups.

    Warns
    -----
    DataQualityWarning
        When control is ``"not contacted"``, the arm of :func:`comparison_contacts`: that is no control group.

    Notes
    -----
    **Customers whose window is not over** count in the steps that are over at ``as_of``, and no longer: each step is a
    mean over those observed in it, and the curve their sum (Lin et al. 1997). It holds if early and late contacts work
    alike. A curve ends where fewer than two customers of a group are observed.

    The band is the sup-t band (Montiel Olea and Plagborg-Moller 2019) with the covariance between customers, each end
    corrected for skewness as in :func:`effect_table`. The decay is ``a exp(-t ln 2 / half-life)``, fitted to the lifts
    of at most 15 stretches of equal length by generalised least squares; its interval is that of the profile
    likelihood. A curve that first rises, or comes in waves, has no half-life and says so.

    Not for campaigns without a control group chosen at random: who was contacted for good reasons buys more anyway.

    Examples
    --------
    >>> import pandas as pd
    >>> day = pd.Timestamp("2024-06-01")
    >>> arms = ["mail", "mail", "control", "control"]
    >>> contacts = pd.DataFrame({"customer_id": [1, 2, 3, 4], "arm": arms, "timestamp": day})
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 2, 3], "order_id": [1, 2, 3], "amount": [30.0, 20.0, 10.0],
    ...     "timestamp": day + pd.to_timedelta([1, 8, 12], unit="D"),
    ... })
    >>> curve = response_curve_table(contacts, orders, as_of="2024-08-01", horizon="21d", step="7d")
    >>> curve[curve["metric"] == "revenue_amount"][["day", "treated_mean", "control_mean", "difference"]]
       day  treated_mean  control_mean  difference
    6    7          15.0           0.0        15.0
    7   14          25.0           5.0        20.0
    8   21          25.0           5.0        20.0
    """
    caller = "response_curve_table"
    check_fraction(confidence, name="confidence", caller=caller)
    seed = check_count(random_state, name="random_state", caller=caller, least=0)
    width = as_days(step, name="step", caller=caller)
    ends = _ends(as_days(horizon, caller=caller), width, caller=caller)
    read = read_since_contact(
        contacts,
        outcomes,
        as_of=as_of,
        comparison=control,
        days=(0, int(ends[-1])),
        period=nw.col("_day") // width,
        event=event,
        caller=caller,
    )
    tell_if_no_trial(control, caller=caller)
    rows = []
    for groups in read.groups():
        observed = ends[: _observed(read, groups, ends, caller=caller)]
        for metric, treated, other in _means(read, groups, observed):
            key = {CAMPAIGN: groups.campaign, "arm": groups.arm, "metric": metric}
            rows += [key | row for row in _curve(treated, other, observed, confidence, seed)]
    return table_of(read.engine, rows, CURVE_KINDS, campaign_id=read.campaigns)


# -- inside --------------------------------------------------------------------------------------------------------


def _ends(days: int, width: int, *, caller: str) -> Days:
    """Return on which days the steps of the horizon end: the last one with it."""
    steps = -(-days // width)
    if width > days or steps > MOST_STEPS:
        msg = (
            f"{caller}: horizon={days}d must hold 1 to {MOST_STEPS} steps, got {days / width:.4g} of {width}d. Take "
            f"{'shorter' if width > days else 'longer'} steps."
        )
        raise SchemaError(msg)
    return np.minimum(np.arange(1, steps + 1) * width, days)


def _observed(read: SinceContact, groups: Groups, ends: Days, *, caller: str) -> int:
    """Return in how many steps at least two customers of both groups are observed."""
    days = read.customers["observed_days"].to_numpy(np.int64)
    both = (groups.treated, groups.comparison)
    seen = [np.searchsorted(ends, np.sort(days[places])[-LEAST], "right") for places in both if len(places) >= LEAST]
    if len(seen) < 2 or min(seen) < 1:
        msg = (
            f"{caller}: campaign {groups.campaign!r} has fewer than {LEAST} customers of arm {groups.arm!r} or of the "
            f"control group for whom a step of {ends[0]}d is over at as_of. Take a shorter step, or wait."
        )
        raise SchemaError(msg)
    return int(min(seen))


def _means(read: SinceContact, groups: Groups, ends: Days) -> Iterator[tuple[str, Means, Means]]:
    """Go through metrics: the means per step of both groups."""
    count = count_name(read.figures)
    figures = {CONVERTED: read.first_of(count), count: read.figures[count]}
    figures |= {name: read.figures[name] for name in amount_names(read.figures)}
    for metric, values in figures.items():
        treated, other = (
            read.means(places, values, periods=len(ends), ends=ends) for places in (groups.treated, groups.comparison)
        )
        yield metric, treated, other


def _curve(treated: Means, other: Means, ends: Days, confidence: float, seed: int) -> list[dict[str, Any]]:
    """Return the rows of one arm and metric."""
    from crmlytics._kernels.panel_effects import cumulative, differences

    steps = len(ends)
    by_step = differences(treated, other)
    sums = [group.through(cumulative(steps)) for group in (treated, other)]
    lift = differences(*sums)
    low, high = lift.band(confidence, seed=seed)
    is_told = low[-1] > 0 or high[-1] < 0
    share = lift.estimate / lift.estimate[-1] if is_told else np.full(steps, np.nan)
    nothing = {"decay_reason": UNTOLD if np.isnan(low).all() else NOTHING}
    decay = _decay(by_step, ends, confidence) if ((low > 0) | (high < 0)).any() else nothing
    return [
        {
            "day": int(ends[number]),
            "treated_count": int(treated.count[number]),
            "control_count": int(other.count[number]),
            "treated_mean": sums[0].mean[number],
            "control_mean": sums[1].mean[number],
            "difference": lift.estimate[number],
            "difference_low": low[number],
            "difference_high": high[number],
            "step_difference": by_step.estimate[number],
            "effect_share": share[number],
        }
        | decay
        for number in range(steps)
    ]


def _decay(by_step: Differences, ends: Days, confidence: float) -> dict[str, Any]:
    """Fit the decay to the mean lift of stretches of equal length; a rest of the curve is left out."""
    from crmlytics._kernels.decay import AT_ONCE, half_life

    width, steps = int(ends[0]), len(ends)
    length = -(-steps // FIT_STEPS)
    stretches = int(ends[-1]) // (width * length)
    weights = np.repeat(np.eye(stretches), length, axis=1) / length
    weights = np.hstack([weights, np.zeros((stretches, steps - stretches * length))])
    found = half_life(weights @ by_step.estimate, weights @ by_step.covariance @ weights.T, width * length, confidence)
    return {
        "half_life_days": found.half_life,
        "half_life_days_low": found.low,
        "half_life_days_high": found.high,
        "decay_reason": _too_early(width * length) if found.reason == AT_ONCE else found.reason,
    }


def _too_early(days: int) -> str:
    """Say that the effect was over within the first stretch, and how to take shorter ones."""
    if days == 1:
        return "faded within the first day"
    return f'faded within the first {days} days: look closer with horizon="{FIT_STEPS}d" and step="1d"'
