"""How many customers a campaign needs to see what it does, and what it can see with those that it has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._frames import Engine, collect, columns_of, enter
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_amount, check_count, check_fraction, warn
from crmlytics.campaigns._experiment import CONTROL, check_columns, missing_arms
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

HALVES = {CONTROL: 0.5, "treated": 0.5}
ROUNDING = 1e-9


def sample_size_table(
    *,
    lift: float | Sequence[float],
    baseline_rate: float | None = None,
    baseline_mean: float | None = None,
    standard_deviation: float | None = None,
    shares: Mapping[str, float] | None = None,
    power: float = 0.8,
    significance: float = 0.05,
    correlation: float = 0.0,
    control: str = CONTROL,
) -> Any:
    """Say how many customers each arm of a campaign needs, so that a lift is found if it is there.

    Parameters
    ----------
    lift : float or list of floats
        What the campaign is to add, relative to the control group: 0.1 is ten per cent more (2 % become 2.2 %).
        Below zero for harm.
    baseline_rate : float, optional
        The share of the control group that buys (or clicks, registers, ...). Give this, or the next two.
    baseline_mean, standard_deviation : float, optional
        Mean and standard deviation of an amount over all customers, those who buy nothing included: usually several
        times the mean.
    shares : dict of arm to share, optional
        The control group among them; they add up to 1. Halves by default.
    power : float, default 0.8
        How often a lift that is there is to be found.
    significance : float, default 0.05
        How often a difference is to be found, of either sign, where there is none; shared equally among the comparisons
        of several arms with the control group (Bonferroni).
    correlation : float, default 0
        Between the outcome and the same measure before the campaign. Results adjusted for it (CUPED) have a variance
        smaller by its square.
    control : str, default "control"

    Returns
    -------
    pandas dataframe, one row per lift and arm, sorted by lift, the control group first
        ``lift`` (Float64), ``arm`` (String), ``share`` (Float64), ``expected_value`` (Float64, rate or mean expected in
        this arm), ``customer_count`` (Int64, needed in this arm), ``total_customer_count`` (Int64, in all arms),
        ``power`` (Float64, that of the whole numbers against the control group; missing for the control group).

    Raises
    ------
    SchemaError
        When no baseline, or both, are given, shares do not add up, or a rate would exceed 1.

    Warns
    -----
    DataQualityWarning
        If a lift is above 1, more than twice the baseline: perhaps it was meant in per cent.

    Notes
    -----
    Rates: the score test of two shares (:func:`~crmlytics._kernels.power.shares_power`); means: Student's test, by the
    noncentral t distribution. The arm that is hardest to tell from the control group decides.

    **Why a control group of 10 % is often too small.** What counts is ``1/n + 1/m`` for n in control and m treated: the
    smaller group decides. Of one total, 10 : 90 has 2.8 times the variance of halves (0.25 / 0.09), so it needs 2.8
    times the customers: with 2 % buying and a lift of ten per cent some 45,000 in the control group alone, and however
    many the other 90 % are, they cannot make up for it. Each customer held out costs sales, so take the smallest
    control group that shows the lift that would pay. A smaller one costs sales and shows nothing.

    References
    ----------
    J. L. Fleiss, B. Levin and M. C. Paik (2003), Statistical methods for rates and proportions, chapter 4. A. Deng,
    Y. Xu, R. Kohavi and T. Walker (2013), "Improving the sensitivity of online controlled experiments by utilizing
    pre-experiment data", WSDM (CUPED).

    Examples
    --------
    >>> table = sample_size_table(baseline_rate=0.02, lift=[0.1, 0.2], shares={"control": 0.1, "mail": 0.9})
    >>> print(table.round(3).to_string())
       lift      arm  share  expected_value  customer_count  total_customer_count  power
    0   0.1  control    0.1           0.020           45476                454760    NaN
    1   0.1     mail    0.9           0.022          409284                454760    0.8
    2   0.2  control    0.1           0.020           12047                120464    NaN
    3   0.2     mail    0.9           0.024          108417                120464    0.8
    """
    caller = "sample_size_table"
    outcome = _read_outcome(baseline_rate, baseline_mean, standard_deviation, correlation, caller=caller)
    shared = check_shares(HALVES if shares is None else shares, control=control, caller=caller)
    demand = _read_demand(power, significance, len(shared) - 1, caller=caller)
    rows = []
    for each in _read_lifts(lift, outcome, caller=caller):
        rows += _sizes(each, shared, outcome, demand)
    return _table(rows, enter(pd.DataFrame(), caller=caller)[1])


def detectable_effect_table(
    sizes: Mapping[str, int] | Any,
    *,
    baseline_rate: float | None = None,
    baseline_mean: float | None = None,
    standard_deviation: float | None = None,
    power: float = 0.8,
    significance: float = 0.05,
    correlation: float = 0.0,
    control: str = CONTROL,
) -> Any:
    """Say how large the effect of each arm must be to be found with the customers there are.

    Parameters
    ----------
    sizes : dict of arm to number of customers, or dataframe with one row per customer and ``arm``
        Such as the result of :func:`assign_arms`, of one campaign.
    baseline_rate, baseline_mean, standard_deviation, power, significance, correlation, control
        As in :func:`sample_size_table`.

    Returns
    -------
    dataframe of the kind that came in (pandas for a dict), one row per arm but the control group, sorted by ``arm``
        ``arm`` (String), ``customer_count``, ``control_customer_count`` (Int64), ``smallest_difference`` (Float64, the
        least rise above the baseline that is found with this power, in units of the baseline), ``smallest_lift``
        (Float64, the same as a share of the baseline). Both missing where even the largest rise would not be found.

    Raises
    ------
    MissingColumnsError, SchemaError
        When there is no control group, or as in :func:`sample_size_table`.

    Examples
    --------
    >>> table = detectable_effect_table({"control": 1_000, "mail": 9_000}, baseline_rate=0.02)
    >>> print(table.round(4).to_string())
        arm  customer_count  control_customer_count  smallest_difference  smallest_lift
    0  mail            9000                    1000                0.016          0.799
    """
    caller = "detectable_effect_table"
    outcome = _read_outcome(baseline_rate, baseline_mean, standard_deviation, correlation, caller=caller)
    counts, engine = _read_sizes(sizes, control=control, caller=caller)
    demand = _read_demand(power, significance, len(counts) - 1, caller=caller)
    held = counts.pop(control)
    rows = []
    for arm, count in counts.items():
        rise = outcome.detectable(held, count, demand)
        rows.append({
            "arm": arm, "customer_count": count, "control_customer_count": held,
            "smallest_difference": rise, "smallest_lift": rise / outcome.baseline,
        })  # fmt: skip
    return _table(rows, engine)


# -- what is compared


@dataclass(frozen=True, slots=True)
class Demand:
    """How surely a difference is to be found, and how seldom one that is not there: of each comparison."""

    power: float
    alpha: float


@dataclass(frozen=True, slots=True)
class Rate:
    """A share of customers; ``information`` is how many customers one counts for after adjustment."""

    baseline: float
    information: float

    def power(self, value: float, held: float, treated: float, alpha: float) -> float:
        """Return how often a rate that differs from the baseline is found so."""
        from crmlytics._kernels.power import shares_power

        return shares_power(self.baseline, value, held * self.information, treated * self.information, alpha)

    def count(self, value: float, ratio: float, demand: Demand) -> float:
        """Return how many the control group needs, if there are ``ratio`` treated for each of it."""
        from crmlytics._kernels.power import shares_count

        return shares_count(self.baseline, value, ratio, demand.alpha, demand.power) / self.information

    def detectable(self, held: int, treated: int, demand: Demand) -> float:
        """Return the least rise that is found."""
        from crmlytics._kernels.power import first_reaching

        def found(rise: float) -> float:
            return self.power(self.baseline + rise, held, treated, demand.alpha)

        return first_reaching(demand.power, found, 0.0, 1 - self.baseline)


@dataclass(frozen=True, slots=True)
class Mean:
    """An amount per customer; ``spread`` is its standard deviation after adjustment."""

    baseline: float
    spread: float

    def power(self, value: float, held: float, treated: float, alpha: float) -> float:
        """Return how often a mean that differs from the baseline is found so."""
        from crmlytics._kernels.power import means_power

        return means_power((value - self.baseline) / self.spread, held, treated, alpha)

    def count(self, value: float, ratio: float, demand: Demand) -> float:
        """Return how many the control group needs, if there are ``ratio`` treated for each of it."""
        from crmlytics._kernels.power import means_count

        return means_count((value - self.baseline) / self.spread, ratio, demand.alpha, demand.power)

    def detectable(self, held: int, treated: int, demand: Demand) -> float:
        """Return the least rise that is found."""
        from crmlytics._kernels.power import means_effect

        return means_effect(held, treated, demand.alpha, demand.power) * self.spread


Outcome = Rate | Mean


def _sizes(lift: float, shares: Mapping[str, float], outcome: Outcome, demand: Demand) -> list[dict[str, Any]]:
    """Return the rows of one lift: the arm that needs the most customers decides."""
    value = outcome.baseline * (1 + lift)
    (control, held), *treated = shares.items()
    needed = max(outcome.count(value, share / held, demand) for _, share in treated) / held
    counts = {arm: math.ceil(needed * share - ROUNDING) for arm, share in shares.items()}
    total = sum(counts.values())
    rows = []
    for arm, share in shares.items():
        is_control = arm == control
        found = math.nan if is_control else outcome.power(value, counts[control], counts[arm], demand.alpha)
        rows.append({
            "lift": lift, "arm": arm, "share": share, "expected_value": outcome.baseline if is_control else value,
            "customer_count": counts[arm], "total_customer_count": total, "power": found,
        })  # fmt: skip
    return rows


def _table(rows: list[dict[str, Any]], engine: Engine) -> Any:
    return table_with_lists(engine, {name: np.array([row[name] for row in rows]) for name in rows[0]})


# -- reading


def check_shares(shares: Any, *, control: str, caller: str, may_be_none: bool = False) -> dict[str, float]:
    """Return the share of each arm, the control group first and the others sorted."""
    example = f'such as shares={{"{control}": 0.2, "mail": 0.8}}'
    if not isinstance(shares, Mapping) or len(shares) < 2:
        raise SchemaError(f"{caller}: shares must map two arms or more to their shares, {example}, got {shares!r}.")
    if control not in shares:
        msg = (
            f"{caller}: no arm of {list(shares)} is called {control!r}: without a control group nobody will know what "
            f"the campaign did. Add it, {example}. If one of these is it, type control={next(iter(shares))!r}."
        )
        raise SchemaError(msg)
    read = {str(arm): check_amount(share, name=f"the share of {arm!r}", caller=caller) for arm, share in shares.items()}
    empty = [arm for arm, share in read.items() if share == 0 and (arm == control or not may_be_none)]
    total = math.fsum(read.values())
    if empty or abs(total - 1) > ROUNDING:
        came = f"the share of {empty[0]!r} is 0" if empty else f"the shares add up to {total:g}"
        raise SchemaError(f"{caller}: {came}, expected shares above 0 that add up to 1, {example}.")
    return {arm: read[arm] for arm in (control, *sorted(set(read) - {control}))}


def _read_outcome(rate: Any, mean: Any, deviation: Any, correlation: Any, *, caller: str) -> Outcome:
    if (rate is None) == (mean is None) or (mean is None) != (deviation is None):
        msg = (
            f"{caller}: give baseline_rate, such as baseline_rate=0.02 for 2 % who buy, or baseline_mean and "
            "standard_deviation of an amount per customer."
        )
        raise SchemaError(msg)
    known = not isinstance(correlation, bool) and correlation == 0
    explained = 0.0 if known else check_fraction(abs(correlation), name="correlation", caller=caller) ** 2
    if rate is not None:
        return Rate(check_fraction(rate, name="baseline_rate", caller=caller), 1 / (1 - explained))
    spread = check_amount(deviation, name="standard_deviation", caller=caller, positive=True)
    return Mean(
        check_amount(mean, name="baseline_mean", caller=caller, positive=True), spread * math.sqrt(1 - explained)
    )


def _read_demand(power: Any, significance: Any, comparisons: int, *, caller: str) -> Demand:
    wanted = check_fraction(power, name="power", caller=caller)
    alpha = check_fraction(significance, name="significance", caller=caller)
    if wanted <= alpha:
        raise SchemaError(f"{caller}: power={power!r} must be above significance={significance!r}.")
    return Demand(wanted, alpha / comparisons)


def _read_lifts(lift: Any, outcome: Outcome, *, caller: str) -> list[float]:
    values = np.atleast_1d(np.asarray(lift, dtype=object)).tolist()
    for value in values:
        check_amount(
            abs(value) if isinstance(value, (int, float)) else value, name="lift", caller=caller, positive=True
        )
        reached = outcome.baseline * (1 + value)
        if reached < 0 or (isinstance(outcome, Rate) and reached > 1):
            msg = (
                f"{caller}: a lift of {value:g} takes the baseline from {outcome.baseline:g} to {reached:g}, which "
                "cannot be. A lift is relative: 0.1 is ten per cent more."
            )
            raise SchemaError(msg)
        if value > 1:
            warn(
                f"{caller}: lift={value:g} is {value:.0%} more: the baseline goes from {outcome.baseline:g} to "
                f"{reached:g}. Ten per cent more are lift=0.1."
            )
    if not values:
        raise SchemaError(f"{caller}: lift is empty. Give one or several, such as lift=[0.05, 0.1, 0.2].")
    return sorted({float(value) for value in values})


def _read_sizes(sizes: Any, *, control: str, caller: str) -> tuple[dict[str, int], Engine]:
    """Return the number of customers of each arm, sorted by arm."""
    if isinstance(sizes, Mapping):
        counts = {str(arm): check_count(count, name=f"sizes[{arm!r}]", caller=caller) for arm, count in sizes.items()}
        engine = enter(pd.DataFrame(), caller=caller)[1]
    else:
        counts, engine = _counted(sizes, caller=caller)
    if control not in counts or len(counts) < 2:
        msg = f"{caller} needs the arm {control!r} and another one, got {sorted(counts)}."
        raise SchemaError(msg + f" If one of these is the control group, type control={next(iter(counts), '')!r}.")
    return dict(sorted(counts.items())), engine


def _counted(table: Any, *, caller: str) -> tuple[dict[str, int], Engine]:
    plan, engine = enter(table, caller=caller)
    check_columns(columns_of(plan), ["arm"], caller=caller)
    rows = collect(plan.select(nw.col("arm").cast(nw.String)).group_by("arm").agg(count=nw.len()))
    missing = rows.filter(nw.col("arm").is_null())
    if len(missing):
        raise SchemaError(missing_arms(int(missing["count"][0]), "rows", caller=caller))
    return dict(zip(rows["arm"].to_list(), map(int, rows["count"].to_list()), strict=True)), engine
