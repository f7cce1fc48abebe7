"""How the response to a contact builds up, day after day, and how fast it fades."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._validation import as_days, check_count, check_fraction
from crmlytics.campaigns._experiment import CAMPAIGN, CONTROL
from crmlytics.campaigns._rows import NUMBER, TEXT, WHOLE, table_of
from crmlytics.campaigns.measuring._since_contact import CONVERTED, amount_names, count_name, read_since_contact
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from crmlytics._kernels.panel_effects import Differences, Means
    from crmlytics.campaigns.measuring._since_contact import Groups, SinceContact

    Vector = NDArray[np.float64]

LEAST = 2  # customers observed in a step, or nothing is known of how they vary
MOST_STEPS = 400  # of a curve: their covariance is a square table
FIT_STEPS = 15  # the decay is read from so many stretches at most: single days are mostly noise
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
    "half_life_low_days": NUMBER,
    "half_life_high_days": NUMBER,
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
        How long a step is; ``"7d"`` for small campaigns.
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
        itself); ``step_difference`` (Float64, the lift within the step); ``effect_share`` (Float64, the part of the
        lift of the last row reached; null where the band of the last row holds zero); ``half_life_days`` (Float64,
        after which the daily lift is half of what it was), ``half_life_low_days``, ``half_life_high_days`` (the same in
        every row of a curve, null where the data do not tell it); ``decay_reason`` (String, why not).

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`outcome_table`; when a campaign has no control group, or no step is over for two customers of both
        groups.

    Notes
    -----
    **Customers whose window is not over** count in the steps that are over at ``as_of``, and no longer: each step is a
    mean over those observed in it, and the curve their sum (Lin et al. 1997). It holds if early and late contacts work
    alike. A curve ends where fewer than two customers of a group are observed.

    The band is the sup-t band (Montiel Olea and Plagborg-Moller 2019) with the covariance between customers. The decay
    is ``a exp(-t ln 2 / half-life)``, fitted to the lifts of at most 15 stretches of equal length by generalised least
    squares; its interval is that of the profile likelihood. A curve that first rises, or comes in waves, has no
    half-life and says so.

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
    steps = _steps(as_days(horizon, caller=caller), width, caller=caller)
    read = read_since_contact(
        contacts,
        outcomes,
        as_of=as_of,
        comparison=control,
        days=(0, steps * width),
        period=nw.col("_day") // width,
        event=event,
        caller=caller,
    )
    rows = []
    for groups in read.groups():
        observed = _observed(read, groups, steps, width, caller=caller)
        for metric, treated, other in _means(read, groups, observed, width):
            key = {CAMPAIGN: groups.campaign, "arm": groups.arm, "metric": metric}
            rows += [key | row for row in _curve(treated, other, width, confidence, seed)]
    return table_of(read.engine, rows, CURVE_KINDS, campaign_id=read.campaigns)


# -- inside --------------------------------------------------------------------------------------------------------


def _steps(days: int, width: int, *, caller: str) -> int:
    """Return the number of whole steps in the horizon."""
    steps = days // width
    if steps * width != days or steps > MOST_STEPS:
        msg = (
            f"{caller}: horizon={days}d must be a whole number of steps, at most {MOST_STEPS} of them, got "
            f'{days / width:.4g} of {width}d. For example horizon="{max(steps, 1) * width}d", or a longer step.'
        )
        raise SchemaError(msg)
    return steps


def _observed(read: SinceContact, groups: Groups, steps: int, width: int, *, caller: str) -> int:
    """Return in how many steps at least two customers of both groups are observed."""
    days = read.customers["observed_days"].to_numpy(np.int64)
    seen = [np.sort(days[places] // width)[-LEAST] for places in (groups.treated, groups.comparison)
            if len(places) >= LEAST]  # fmt: skip
    if len(seen) < 2 or min(seen) < 1:
        msg = (
            f"{caller}: campaign {groups.campaign!r} has fewer than {LEAST} customers of arm {groups.arm!r} or of the "
            f"control group for whom a step of {width}d is over at as_of. Take a shorter step, or wait."
        )
        raise SchemaError(msg)
    return int(min(*seen, steps))


def _means(read: SinceContact, groups: Groups, steps: int, width: int) -> Iterator[tuple[str, Means, Means]]:
    """Go through metrics: the means per step of both groups."""
    count = count_name(read.figures)
    figures = {CONVERTED: read.first_of(count), count: read.figures[count]}
    figures |= {name: read.figures[name] for name in amount_names(read.figures)}
    for metric, values in figures.items():
        treated, other = (
            read.means(places, values, periods=steps, width=width) for places in (groups.treated, groups.comparison)
        )
        yield metric, treated, other


def _curve(treated: Means, other: Means, width: int, confidence: float, seed: int) -> list[dict[str, Any]]:
    """Return the rows of one arm and metric."""
    from crmlytics._kernels.panel_effects import cumulative, differences

    steps = len(treated.mean)
    by_step = differences(treated, other)
    sums = [group.through(cumulative(steps)) for group in (treated, other)]
    lift = differences(*sums)
    low, high = lift.band(confidence, seed=seed)
    is_told = low[-1] > 0 or high[-1] < 0
    share = lift.estimate / lift.estimate[-1] if is_told else np.full(steps, np.nan)
    decay = _decay(by_step, width, confidence)
    return [
        {
            "day": (number + 1) * width,
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


def _decay(by_step: Differences, width: int, confidence: float) -> dict[str, Any]:
    """Fit the decay to the mean lift of stretches of equal length; a rest of the curve is left out."""
    from crmlytics._kernels.decay import half_life

    length = -(-len(by_step.estimate) // FIT_STEPS)
    stretches = len(by_step.estimate) // length
    weights = np.repeat(np.eye(stretches), length, axis=1) / length
    weights = np.hstack([weights, np.zeros((stretches, len(by_step.estimate) - stretches * length))])
    found = half_life(weights @ by_step.estimate, weights @ by_step.covariance @ weights.T, width * length, confidence)
    return {
        "half_life_days": found.half_life,
        "half_life_low_days": found.low,
        "half_life_high_days": found.high,
        "decay_reason": found.reason,
    }
