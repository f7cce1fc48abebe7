"""Whether a campaign paid: what the contacts brought that would not have come without them, against what they cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import check_fraction, did_you_mean
from crmlytics.campaigns._experiment import CAMPAIGN, CONTROL
from crmlytics.campaigns._rows import NUMBER, TEXT, WHOLE, table_of
from crmlytics.campaigns.measuring._costs import Costs, read_costs
from crmlytics.campaigns.measuring._effect_rows import (
    Comparison,
    Metric,
    comparisons_of,
    findings_of,
    read_arms,
    read_metric,
    sides_of,
)
from crmlytics.campaigns.measuring._no_trial import remarked
from crmlytics.campaigns.measuring._payback import add_payback
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crmlytics.campaigns._experiment import Experiment

MARGIN, REVENUE, CONVERTED = "margin_amount", "revenue_amount", "converted"
BOUNDED = (
    "incremental_conversion_count", "incremental_revenue_amount", "incremental_margin_amount",
)  # fmt: skip
JUDGED = ("incremental_profit_amount", "roi", "cost_per_conversion_amount")
COSTS = ("contact_cost_amount", "offer_cost_amount", "fixed_cost_amount", "cost_amount")


def _with_bounds(names: Sequence[str]) -> list[str]:
    return [column for name in names for column in (name, f"{name}_low", f"{name}_high")]


FIGURES = {
    "treated_count": WHOLE,
    "control_count": WHOLE,
    **dict.fromkeys(_with_bounds(BOUNDED), NUMBER),
    **dict.fromkeys(COSTS, NUMBER),
    **dict.fromkeys(_with_bounds(JUDGED), NUMBER),
    "probability_profitable": NUMBER,
    "payback_days": NUMBER,
    "remark": TEXT,
}


def return_table(
    outcomes: Any,
    *,
    value: str = MARGIN,
    margin_share: float | None = None,
    contact_cost: float | None = None,
    offer_cost: float = 0.0,
    campaign_costs: float | dict[Any, float] | None = None,
    curve: Any = None,
    covariates: str | Sequence[str] | None = "pre",
    confidence: float = 0.95,
    control: Any = CONTROL,
) -> Any:
    """Say what each arm of a campaign earned beyond the control group, what it cost, and whether it paid.

    Parameters
    ----------
    outcomes : dataframe, one row per customer (and campaign)
        As :func:`effect_table` takes it.
    value : str, default "margin_amount"
        The column with what a customer brought in.
    margin_share : float, optional
        How much of ``value`` is margin, where it is revenue: ``value="revenue_amount", margin_share=0.3``.
    contact_cost : float, optional
        What contacting a customer cost; by default the column ``contact_cost_amount``.
    offer_cost : float, default 0
        What the offer cost for each treated customer who converted, those who would have bought anyway included. Leave
        it 0 if ``value`` is already less the discount.
    campaign_costs : float or dict of campaign to float, optional
        What was spent once, shared out among the arms by their size.
    curve : dataframe, optional
        What ``response_curve_table`` returned for these contacts, with ``value`` among its metrics: it says on which
        day the costs were earned back.
    covariates, confidence, control
        As in :func:`effect_table`.

    Returns
    -------
    dataframe of the kind that came in, one row per campaign and arm, sorted by both
        ``campaign_id`` (if there is one), ``arm`` (String), ``treated_count``, ``control_count`` (Int64); all others
        Float64, those of money and counts for all treated customers together:
        ``incremental_conversion_count``, ``incremental_revenue_amount`` (null where the outcomes do not have them),
        ``incremental_margin_amount``; ``contact_cost_amount`` (of the customers treated),
        ``offer_cost_amount``, ``fixed_cost_amount``, ``cost_amount`` (their sum); ``incremental_profit_amount``
        (margin less cost), ``roi`` (profit by cost; null without costs), ``cost_per_conversion_amount`` (cost by
        incremental conversions; null where there are none), each with ``_low`` and ``_high``;
        ``probability_profitable`` (that the profit is above 0, as far as these outcomes tell); ``payback_days`` (whole
        days from the contact until the incremental margin covered the cost for good; null without ``curve``, or where
        it does not at the end of the curve); ``remark`` (String, why a figure is missing, or that the groups are not
        comparable).

    Raises
    ------
    SchemaError
        As :func:`effect_table`; when ``value`` is revenue and no ``margin_share`` says how much of it is earned, or
        amounts are negative.
    MissingColumnsError
        When a column is missing, or nothing says what a contact cost.

    Warns
    -----
    DataQualityWarning
        When control is ``"not contacted"``, the arm of :func:`comparison_contacts`: that is no control group.

    Notes
    -----
    ``incremental margin = (treated mean - control mean) x treated_count``, with the interval of :func:`effect_table`.
    Costs are what was paid: they have no interval, so ``profit_low = margin_low - cost``. The bound of the cost per
    conversion is missing where the campaign may have brought none.

    ``probability_profitable`` reads the interval as a distribution of the true margin, nothing being known of it
    before; above 97.5 % the 95 % interval of the profit lies above 0. Only what was bought within the horizon counts: a
    new customer is worth more than the first order, and a purchase that only came sooner less (``pull_forward_table``).

    Examples
    --------
    >>> import pandas as pd
    >>> outcomes = pd.DataFrame({"customer_id": range(400), "arm": ["mail"] * 200 + ["control"] * 200})
    >>> outcomes["revenue_amount"] = [50.0] * 40 + [0.0] * 160 + [50.0] * 20 + [0.0] * 180
    >>> table = return_table(outcomes, value="revenue_amount", margin_share=0.4, contact_cost=0.5)
    >>> profit = [f"incremental_profit_amount{end}" for end in ("", "_low", "_high")]
    >>> print(table[["incremental_margin_amount", "cost_amount", *profit]].round(2).T.to_string(header=False))
    incremental_margin_amount      400.00
    cost_amount                    100.00
    incremental_profit_amount      300.00
    incremental_profit_amount_low   21.21
    incremental_profit_amount_high 578.79
    """
    caller = "return_table"
    confidence = check_fraction(confidence, name="confidence", caller=caller)
    money = Money(value, margin_share, contact_cost, offer_cost, campaign_costs)
    experiment = read_arms(outcomes, control=control, caller=caller)
    rows = return_rows(experiment, money, covariates, confidence, caller=caller)
    if curve is not None:
        add_payback(rows, curve, value=value, share=money.share, caller=caller)
    return returns_as_table(experiment, remarked(rows, control))


# -- for measure_campaign too --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Money:
    """What turns outcomes into profit, as the caller gave it."""

    value: str
    margin_share: Any
    contact_cost: Any
    offer_cost: Any
    campaign_costs: Any

    @property
    def share(self) -> float:
        """How much of the value is earned."""
        return 1.0 if self.margin_share is None else float(self.margin_share)


def return_rows(
    experiment: Experiment, money: Money, covariates: Any, confidence: float, *, caller: str
) -> list[dict[str, Any]]:
    """Return the rows of :func:`return_table`."""
    margin = _margin(experiment, money, covariates, caller=caller)
    costs = read_costs(
        experiment,
        contact_cost=money.contact_cost,
        offer_cost=money.offer_cost,
        campaign_costs=money.campaign_costs,
        caller=caller,
    )
    comparisons = comparisons_of(experiment, [], caller=caller)
    rows = [_row(one, margin, costs, confidence) for one in comparisons]
    for name, metric in ((BOUNDED[0], CONVERTED), (BOUNDED[1], REVENUE)):
        if metric in experiment.table.columns:
            _add_totals(rows, name, read_metric(experiment, metric, covariates, caller=caller), comparisons, confidence)
    return [row | _judged(row) for row in rows]


def returns_as_table(experiment: Experiment, rows: list[dict[str, Any]]) -> Any:
    """Return rows as a table of the kind that came in."""
    ids = {name: experiment.table[name].tolist() for name in experiment.key if name == CAMPAIGN}
    return table_of(experiment.engine, rows, {**dict.fromkeys([*ids, "arm"], TEXT), **FIGURES}, **ids)


# -- inside --------------------------------------------------------------------------------------------------------


def _margin(experiment: Experiment, money: Money, covariates: Any, *, caller: str) -> Metric:
    """Read what each customer earned, its covariates beside it."""
    columns, value = [str(name) for name in experiment.table.columns], money.value
    if value not in columns:
        hint = did_you_mean(value, columns)
        if value == MARGIN and REVENUE in columns:
            hint = f" Of revenue say how much is margin: value={REVENUE!r}, margin_share=0.3."
        raise MissingColumnsError(f"{caller}: no column {value!r}.{hint} Columns: {columns}")
    if value == REVENUE and money.margin_share is None:
        msg = (
            f"{caller}: revenue is no profit. Say how much of it is margin, such as margin_share=0.3 (1.0 if all of "
            f"it), or give the outcomes a cost and take value={MARGIN!r}."
        )
        raise SchemaError(msg)
    if money.margin_share is not None and money.margin_share != 1:
        check_fraction(money.margin_share, name="margin_share", caller=caller)
    metric = read_metric(experiment, value, covariates, caller=caller)
    earned = np.column_stack([metric.columns[:, 0] * money.share, metric.columns[:, 1:]])
    return replace(metric, columns=earned, is_share=False)


def _row(comparison: Comparison, margin: Metric, costs: Costs, confidence: float) -> dict[str, Any]:
    """Return the margin that an arm brought, what it cost, and how probable it is that it paid."""
    from crmlytics._kernels.treatment_effects import mean_difference

    size = len(comparison.treated)
    row = {**comparison.labels, "treated_count": size, "control_count": len(comparison.control)}
    row |= costs.of(comparison)
    finding = findings_of(margin, [comparison], confidence)[0]
    row |= _totals(BOUNDED[2], finding.effect, size)
    treated, control, _ = sides_of(margin, comparison)
    found = mean_difference(treated, control)
    if found is None:
        return row | {"remark": finding.remark}
    beyond = found.difference - row["cost_amount"] / size
    return row | {"probability_profitable": found.spread.probability_below(beyond)}


def _add_totals(
    rows: list[dict[str, Any]], name: str, metric: Metric, comparisons: Sequence[Comparison], confidence: float
) -> None:
    for row, finding in zip(rows, findings_of(metric, comparisons, confidence), strict=True):
        row.update(_totals(name, finding.effect, row["treated_count"]))


def _totals(name: str, effect: Any, size: int) -> dict[str, float]:
    found = (effect.difference, effect.difference_low, effect.difference_high)
    return {column: value * size for column, value in zip(_with_bounds([name]), found, strict=True)}


def _judged(row: dict[str, Any]) -> dict[str, float]:
    """Set what came in against what it cost; the bound of a cost per conversion is missing where there may be none."""
    cost, judged = row["cost_amount"], {}
    for end, other in (("", ""), ("_low", "_high"), ("_high", "_low")):
        profit = row[f"{BOUNDED[2]}{end}"] - cost
        conversions = row.get(f"{BOUNDED[0]}{other}", np.nan)
        judged[f"{JUDGED[0]}{end}"] = profit
        judged[f"{JUDGED[1]}{end}"] = profit / cost if cost > 0 else np.nan
        judged[f"{JUDGED[2]}{end}"] = cost / conversions if conversions > 0 else np.nan
    return judged
