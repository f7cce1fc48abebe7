"""Does the loyalty programme pay? What members' bonuses cost, beside what members bring because of them, by tier."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import check_amount, check_choice, check_fraction
from crmlytics.campaigns._experiment import (
    CONTROL,
    CUSTOMER,
    Experiment,
    NoControlError,
    check_columns,
    read_experiment,
    word_of,
)
from crmlytics.campaigns._rows import NUMBER, TEXT, WHOLE, table_of
from crmlytics.exceptions import SchemaError
from crmlytics.scoring._reading import check_key, with_whole_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Vector = NDArray[np.float64]
    Flags = NDArray[np.bool_]

CALLER = "loyalty_table"
VARIES = 1e-9  # what rounding leaves over is no variance
COMPARISONS = {
    "control": "members against held-out customers",
    "pre_period": "members against themselves before",
    "change": "change of members against change of others",
}
TOTAL, MEMBERS = "all", "members"
FIGURES = {
    "comparison": TEXT, "member_count": WHOLE, "comparison_count": WHOLE,
    "value_per_member_amount": NUMBER, "baseline_per_member_amount": NUMBER, "anyway_share": NUMBER,
    "incremental_amount": NUMBER, "incremental_amount_low": NUMBER, "incremental_amount_high": NUMBER,
    "bonus_cost_amount": NUMBER, "fixed_cost_amount": NUMBER,
    "net_amount": NUMBER, "net_amount_low": NUMBER, "net_amount_high": NUMBER, "roi": NUMBER,
    "lift_share": NUMBER, "break_even_lift_share": NUMBER, "verdict": TEXT,
}  # fmt: skip


def loyalty_table(
    outcomes: Any,
    *,
    value: str = "margin_amount",
    bonus_cost: str = "bonus_cost_amount",
    tier: str = "tier",
    against: str = "control",
    fixed_cost: float = 0.0,
    pre_factor: float = 1.0,
    confidence: float = 0.95,
    control: Any = CONTROL,
) -> Any:
    """Set what a loyalty programme costs beside what its members bring because of it, tier by tier.

    Parameters
    ----------
    outcomes : dataframe, one row per customer
        ``customer_id``; ``arm``, the control group among them (not needed for ``against="pre_period"``); the columns
        that ``tier``, ``value`` and ``bonus_cost`` name; ``pre_<value>``, such as ``pre_margin_amount``, where members
        are compared with before. :func:`outcome_table` makes all but the cost. All arms but control are members.
    value : str, default "margin_amount"
        What a customer brought in the period, before bonuses are taken off.
    bonus_cost : str, default "bonus_cost_amount"
        What the points, discounts and gifts of a customer cost in the period; 0 for who got none.
    tier : str, default "tier"
        The tier *before* the period, also of the control group: the tier that they would have been in. A tier reached
        within the period is a result of it, and gold customers always look as if gold worked.
    against : {"control", "pre_period", "change"}
        What members would have brought anyway. ``"control"``: what customers of the tier brought who were held out at
        random, the only comparison that can be relied on. ``"pre_period"``: what the members brought before; growth,
        season and the fact that people join when they buy a lot are then taken for the programme. ``"change"``: what
        they brought before, plus the change of those who are in no programme; this takes off growth and season, not
        the reasons for joining.
    fixed_cost : float, default 0.0
        What the programme costs in the period beside the bonuses: staff, cards, software. In the row "all".
    pre_factor : float, default 1.0
        What to multiply figures of before by, where that period was longer or shorter: 30 / 90 for ``horizon="30d"``
        and ``pre_period="90d"``.
    confidence : float, default 0.95
        Of the intervals.
    control : str or number, default "control"
        How the arm of the control group is called.

    Returns
    -------
    dataframe of the kind that came in, one row per tier, sorted by it, and last the row "all"
        ``tier`` (String), ``comparison`` (String, what members were compared with); ``member_count``,
        ``comparison_count`` (Int64, customers); per member (Float64) ``value_per_member_amount``,
        ``baseline_per_member_amount`` (what they would have brought anyway) and ``anyway_share`` (the second by the
        first: how much of what bonuses are paid on would have come without); of all members (Float64)
        ``incremental_amount`` with ``incremental_amount_low`` and ``incremental_amount_high``, ``bonus_cost_amount``
        (beyond that of the control group per head), ``fixed_cost_amount``, ``net_amount`` (incremental less cost) with
        ``net_amount_low`` and ``net_amount_high``, ``roi`` (net by cost, null without cost); ``lift_share`` (how much
        more members brought than they would have) and ``break_even_lift_share`` (how much more it takes to pay for
        bonuses and fixed costs; both null where the baseline is not above 0); ``verdict`` (String, "pays", "costs more
        than it brings" or "cannot tell", by the interval of ``net_amount``).
        Bounds are null in a tier with fewer than two customers on either side, or where nothing varies, and then in
        "all".

    Raises
    ------
    SchemaError, MissingColumnsError
        Without a control group where one is needed, with a tier that has none, without the values of before, with
        missing values, or with a bonus that cost less than nothing.

    Notes
    -----
    Per tier, ``incremental = members x (mean of members - baseline)``. The interval of the net amount is that of the
    customers' ``value - bonus``, since who buys more is paid more bonus; that of a difference of means is Welch's, set
    right for skewness as in :func:`effect_table`. "All" adds the tiers up, with the variance of the sum: customers held
    out in another share of gold than of silver do no harm.

    Who holds nobody out pays bonuses on purchases that would have come anyway without ever knowing how many. See also
    :func:`~crmlytics.clv.profit_pattern_table`, which describes old customers and says nothing about programmes.

    Examples
    --------
    >>> import pandas as pd
    >>> outcomes = pd.DataFrame({
    ...     "customer_id": range(8), "tier": ["gold"] * 4 + ["silver"] * 4, "arm": ["member", "member", "control",
    ...     "control"] * 2, "margin_amount": [120.0, 100.0, 91.0, 89.0, 30.0, 34.0, 29.0, 31.0],
    ...     "bonus_cost_amount": [6.0, 5.0, 0.0, 0.0, 3.0, 3.0, 0.0, 0.0],
    ... })
    >>> table = loyalty_table(outcomes)
    >>> table[["tier", "anyway_share", "incremental_amount", "bonus_cost_amount", "net_amount"]].round(2)
         tier  anyway_share  incremental_amount  bonus_cost_amount  net_amount
    0    gold          0.82                40.0               11.0        29.0
    1  silver          0.94                 4.0                6.0        -2.0
    2     all          0.85                44.0               17.0        27.0
    """
    check_choice(against, list(COMPARISONS), name="against", caller=CALLER)
    check_fraction(confidence, name="confidence", caller=CALLER)
    fixed = check_amount(fixed_cost, name="fixed_cost", caller=CALLER)
    factor = check_amount(pre_factor, name="pre_factor", caller=CALLER, positive=True)
    before = f"pre_{value}"
    needs = [tier, value, bonus_cost, *([before] if against != "control" else [])]
    people = _read(outcomes, needs, control=control, alone=against == "pre_period")
    figures = _Figures(
        people.numbers(value, caller=CALLER),
        _bonuses(people, bonus_cost),
        factor * people.numbers(before, caller=CALLER) if against != "control" else np.zeros(len(people)),
        people.arm > 0,
    )
    tiers = {name: figures.of(rows) for name, rows in _tiers(people.words(tier, caller=CALLER), tier)}
    found = {name: _Tier.of(rows, name, against, confidence) for name, rows in tiers.items()}
    total = _all(list(found.values()), confidence)
    rows = [_row(name, one, against, 0.0) for name, one in found.items()] + [_row(TOTAL, total, against, fixed)]
    return table_of(people.engine, rows, {"tier": TEXT, **FIGURES})


# -- reading -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class _Figures:
    """What customers brought, cost and brought before, each shape (n,), and who is a member."""

    value: Vector
    cost: Vector
    before: Vector
    is_member: Flags

    def of(self, rows: Flags) -> _Figures:
        return _Figures(self.value[rows], self.cost[rows], self.before[rows], self.is_member[rows])


def _read(outcomes: Any, needs: list[str], *, control: Any, alone: bool) -> Experiment:
    """Read customers in arms; where members are compared with themselves, the members ``alone``."""
    if not alone:
        try:
            return read_experiment(outcomes, control=control, needs=needs, caller=CALLER)
        except NoControlError as error:
            told = 'Without one there is against="pre_period", which takes growth and season for the programme.'
            raise NoControlError(f"{error} {told}") from None
    plan, engine = enter(outcomes, caller=CALLER)
    check_columns(columns_of(plan), [CUSTOMER, *needs], caller=CALLER)
    plan = with_whole_ids(plan, [CUSTOMER], caller=CALLER)
    if "arm" in columns_of(plan):
        plan = plan.filter(nw.col("arm").cast(nw.String) != word_of(control))
    check_key(plan, [CUSTOMER], [CUSTOMER], caller=CALLER)
    rows = collect(plan.sort(CUSTOMER)).to_pandas().reset_index(drop=True)
    if not len(rows):
        raise SchemaError(f"{CALLER}: no row is of a member: every arm is {control!r}, or there are no rows.")
    return Experiment(engine, rows, (CUSTOMER,), (CONTROL, MEMBERS), np.ones(len(rows), np.int64))


def _bonuses(people: Experiment, name: str) -> Vector:
    """Return what bonuses cost, which is never less than nothing."""
    cost = people.numbers(name, caller=CALLER)
    if (cost < 0).any():
        msg = (
            f"{CALLER}: {name!r} is below 0 for {int((cost < 0).sum()):,} customers, the least is {cost.min():g}. "
            "Expected what bonuses cost, as a number of zero or more."
        )
        raise SchemaError(msg)
    return cost


def _tiers(words: NDArray[Any], name: str) -> Iterator[tuple[str, Flags]]:
    found = sorted(set(words))
    if TOTAL in found:
        raise SchemaError(f"{CALLER}: {name}={TOTAL!r} is the name of the last row of the result. Rename that tier.")
    for tier in found:
        yield tier, words == tier


# -- comparing -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Gain:
    """What members have beyond the comparison, all members together; NaN where it is not known how sure that is."""

    amount: float
    low: float
    high: float
    variance: float


@dataclass(frozen=True, slots=True)
class _Tier:
    """The economics of one tier, or of all; amounts are those of all members."""

    members: int
    others: int
    value: float
    gain: _Gain
    net: _Gain

    @classmethod
    def of(cls, figures: _Figures, tier: str, against: str, confidence: float) -> _Tier:
        members, others = int(figures.is_member.sum()), int((~figures.is_member).sum())
        if not members or (against != "pre_period" and not others):
            lacking = "the control group" if members else "a programme"
            raise SchemaError(
                f"{CALLER}: nobody of tier {tier!r} is in {lacking}. Merge it with another, or leave it out."
            )
        value = figures.value - figures.before if against != "control" else figures.value
        gain, net = (_gain(one, figures.is_member, confidence) for one in (value, value - figures.cost))
        return cls(members, others, float(figures.value[figures.is_member].sum()), gain, net)


def _gain(values: Vector, is_member: Flags, confidence: float) -> _Gain:
    """Compare the members' mean with that of the others, or with 0 where there are none."""
    from scipy import special

    from crmlytics._kernels.treatment_effects import mean_difference

    ours, others = values[is_member], values[~is_member]
    size = len(ours)
    if not len(others):
        varies = size > 1 and np.ptp(ours) > VARIES * np.abs(ours).max()
        error = float(ours.std(ddof=1)) / math.sqrt(size) if varies else math.nan
        reach = float(special.stdtrit(max(size - 1, 1), (1 + confidence) / 2)) * error
        return _Gain(float(ours.sum()), size * (ours.mean() - reach), size * (ours.mean() + reach), (size * error) ** 2)
    amount = size * float(ours.mean() - others.mean())
    found = mean_difference(ours[:, None], others[:, None])
    if found is None:
        return _Gain(amount, math.nan, math.nan, math.nan)
    low, high = (size * found.spread.error * bound for bound in found.spread.reach(confidence))
    return _Gain(amount, amount - high, amount - low, (size * found.spread.error) ** 2)


def _all(tiers: list[_Tier], confidence: float) -> _Tier:
    """Add tiers up; one alone is all there is."""
    from scipy import special

    if len(tiers) == 1:
        return tiers[0]
    z = -float(special.ndtri((1 - confidence) / 2))

    def total(gains: list[_Gain]) -> _Gain:
        amount, variance = (math.fsum(getattr(one, name) for one in gains) for name in ("amount", "variance"))
        reach = z * math.sqrt(variance)
        return _Gain(amount, amount - reach, amount + reach, variance)

    counts = (sum(one.members for one in tiers), sum(one.others for one in tiers))
    gains = total([one.gain for one in tiers]), total([one.net for one in tiers])
    return _Tier(*counts, math.fsum(one.value for one in tiers), *gains)


def _row(name: str, tier: _Tier, against: str, fixed: float) -> dict[str, Any]:
    baseline, bonus = tier.value - tier.gain.amount, tier.gain.amount - tier.net.amount
    cost, net = bonus + fixed, tier.net
    return {
        "tier": name,
        "comparison": COMPARISONS[against],
        "member_count": tier.members,
        "comparison_count": tier.others,
        "value_per_member_amount": tier.value / tier.members,
        "baseline_per_member_amount": baseline / tier.members,
        "anyway_share": _share(baseline, tier.value),
        "incremental_amount": tier.gain.amount,
        "incremental_amount_low": tier.gain.low,
        "incremental_amount_high": tier.gain.high,
        "bonus_cost_amount": bonus,
        "fixed_cost_amount": fixed,
        "net_amount": net.amount - fixed,
        "net_amount_low": net.low - fixed,
        "net_amount_high": net.high - fixed,
        "roi": _share(net.amount - fixed, cost),
        "lift_share": _share(tier.gain.amount, baseline),
        "break_even_lift_share": _share(cost, baseline),
        "verdict": _verdict(net.low - fixed, net.high - fixed),
    }


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.nan


def _verdict(low: float, high: float) -> str:
    if low > 0:
        return "pays"
    return "costs more than it brings" if high < 0 else "cannot tell"
