"""What if the budget moved: the best split among channels, if credit were effect and grew as assumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import check_amount, check_fraction, warn
from crmlytics.channels._beside import MEASURED
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

CALLER = "budget_table"
NEEDED = ("model", "channel", "credit_conversion_count", "cost_amount")
BISECTIONS = 200  # halve a logarithm to the last digit
NUMBER, TEXT = nw.Float64(), nw.String()
SCHEMA = nw.Schema(
    {
        "model": TEXT, "elasticity": NUMBER, "channel": TEXT, "present_cost_amount": NUMBER,
        "suggested_cost_amount": NUMBER, "change_share": NUMBER, "present_conversion_count": NUMBER,
        "expected_conversion_count": NUMBER, "marginal_cost_per_conversion_amount": NUMBER, "assumption": TEXT,
        "caution": TEXT,
    }
)  # fmt: skip
FROM_CREDIT = (
    "Built on credit, which is not effect: a channel that is only passed on the way to conversions looks as good as "
    "one that brings them. Test before moving money."
)
FROM_EXPERIMENT = (
    "Built on conversions that an experiment measured. How they grow with spending is assumed: move in small steps, "
    "and measure again."
)


def budget_table(
    attribution: Any,
    *,
    budget: float | None = None,
    elasticity: float | Sequence[float] = (0.3, 0.5, 0.7),
    least_change: float = 0.5,
    most_change: float = 2.0,
) -> Any:
    """Ask how a budget would best be split among channels, under an assumption of how their conversions grow.

    Parameters
    ----------
    attribution : dataframe, one row per model and channel
        Of :func:`attribution_table`; needs ``model``, ``channel``, ``credit_conversion_count`` and ``cost_amount``.
        Channels without cost are left out: there is nothing to move. Where an experiment measured every channel that
        costs, its ``incremental_conversion_count`` is taken in place of the credit; else a channel without credit, of
        which no touchpoint is on record, is left out too.
    budget : float, optional
        The most to spend on all channels of the table, in the currency of costs; by default as much as now.
    elasticity : float or sequence, default (0.3, 0.5, 0.7)
        **Assumed**, not estimated: ten per cent more spending brings about ``10 x elasticity`` per cent more
        conversions of a channel, the same for all. Between 0 and 1: each further unit of money brings less.
    least_change, most_change : float, defaults 0.5 and 2.0
        The least and the most that a channel may get, as a multiple of what it costs now: further off the assumption
        says nothing.

    Returns
    -------
    dataframe of the kind that came in, one row per model, elasticity and channel, models as they came, then by
    elasticity, then the largest suggestion first, then by channel
        ``model`` (String), ``elasticity`` (Float64, assumed), ``channel`` (String), ``present_cost_amount``,
        ``suggested_cost_amount``, ``change_share`` (suggested by present, less 1), ``present_conversion_count`` (credit
        or measured), ``expected_conversion_count`` (at the suggestion, if the assumption holds),
        ``marginal_cost_per_conversion_amount`` (of one more conversion there; the same for all channels that are at no
        bound; null where none are to be had; all Float64), ``assumption``, ``caution`` (String).

    Raises
    ------
    SchemaError
        When no channel costs anything, an argument is out of range, or the budget cannot be spent within the bounds.
    MissingColumnsError
        When a column is missing.

    Warns
    -----
    DataQualityWarning
        When an experiment measured some of the channels that cost, and not all: effect and credit do not compare, so
        the credit of all of them is taken.

    Notes
    -----
    A channel that now costs c and brings n conversions brings ``n (x / c)^e`` for a cost of x. The suggestion maximises
    the sum for a sum of costs of at most the budget: as every response is concave, one multiplier decides, found by
    bisection, at which the last unit of money brings the same everywhere or a bound holds. Money stays unspent only
    where no channel that may still grow brings anything.

    The table is a what-if. It does not say that more money brings more conversions; elasticities of advertising that
    were measured are often near 0.1, and differ by channel. If the suggestion changes much between elasticities, the
    assumption decides, not the data.

    References
    ----------
    R. Sethuraman, G. Tellis and R. Briesch (2011), "How well does advertising work? Generalizations from meta-analysis
    of brand advertising elasticities", Journal of Marketing Research 48(3).

    Examples
    --------
    Two channels cost 100 each, and one is credited with four times as many conversions. At an elasticity of one half
    it should get sixteen times as much; it may at most double.

    >>> import pandas as pd
    >>> from crmlytics.channels.budget import budget_table
    >>> credit = pd.DataFrame({
    ...     "model": ["markov", "markov"], "channel": ["email", "social"],
    ...     "credit_conversion_count": [40.0, 10.0], "cost_amount": [100.0, 100.0],
    ... })
    >>> budget_table(credit, elasticity=0.5, least_change=0.1)[["channel", "suggested_cost_amount", "change_share"]]
      channel  suggested_cost_amount  change_share
    0   email             188.235294      0.882353
    1  social              11.764706     -0.882353
    """
    limit = None if budget is None else check_amount(budget, name="budget", caller=CALLER, positive=True)
    assumed = _elasticities(elasticity)
    least, most = _changes(least_change, most_change)
    frame, engine = enter(attribution, caller=CALLER)
    rows = _rows(frame)
    parts = [
        _part(rows, rows["model"] == model, (share, least, most), limit)
        for model in dict.fromkeys(rows["model"])
        for share in assumed
    ]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in SCHEMA.names()}
    return engine.from_columns(columns, SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _elasticities(elasticity: Any) -> list[float]:
    given = list(elasticity) if hasattr(elasticity, "__iter__") and not isinstance(elasticity, str) else [elasticity]
    if not given:
        raise SchemaError(f"{CALLER}: elasticity has no value. Give at least one such as elasticity=0.5.")
    return sorted({check_fraction(value, name="elasticity", caller=CALLER) for value in given})


def _changes(least_change: Any, most_change: Any) -> tuple[float, float]:
    least = check_amount(least_change, name="least_change", caller=CALLER)
    most = check_amount(most_change, name="most_change", caller=CALLER, positive=True)
    if least > most:
        raise SchemaError(f"{CALLER}: least_change must not exceed most_change, got {least} and {most}.")
    return least, most


def _rows(frame: nw.LazyFrame[Any]) -> dict[str, NDArray[Any]]:
    """Read the channels that cost something."""
    names = columns_of(frame)
    missing = [name for name in NEEDED if name not in names]
    if missing:
        raise MissingColumnsError(f"{CALLER} needs the result of attribution_table(...): no {missing} in {names}.")
    wanted = [*NEEDED, *([MEASURED] if MEASURED in names else [])]
    arrow = collect(frame.select(wanted)).to_arrow()
    rows = {name: np.array(arrow[name].to_pylist(), object) for name in ("model", "channel")}
    for name in wanted[2:]:
        rows[name] = np.asarray(arrow[name].to_numpy(), np.float64)
    rows.setdefault(MEASURED, np.full(len(rows["model"]), np.nan))
    costly = rows["cost_amount"] > 0
    rows = _with_brought({name: values[costly] for name, values in rows.items()})
    known = ~np.isnan(rows["brought"])
    if not known.any():
        msg = (
            f"{CALLER}: no channel has credit and a cost_amount above zero, so there is no budget to split. "
            "Give attribution_table(..., costs={channel: amount}), or bind cost in the events."
        )
        raise SchemaError(msg)
    return {name: values[known] for name, values in rows.items()}


def _with_brought(rows: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Say what each channel brings: what was measured, if all were, else credit."""
    measured = ~np.isnan(rows[MEASURED])
    is_measured = bool(measured.all())
    if measured.any() and not is_measured:
        others = list(dict.fromkeys(rows["channel"][~measured]))
        warn(
            f"{CALLER}: what an experiment measured is not used, since {others} cost too and were not measured: effect "
            "and credit do not compare, so credit is taken. To use it, drop the rows of these channels."
        )
    caution = FROM_EXPERIMENT if is_measured else FROM_CREDIT
    brought = rows[MEASURED if is_measured else "credit_conversion_count"]
    return rows | {"brought": brought, "caution": np.full(len(brought), caution, object)}


def _part(
    rows: dict[str, NDArray[Any]], here: NDArray[np.bool_], assumption: tuple[float, float, float], limit: float | None
) -> dict[str, Any]:
    """Return the rows of one model and elasticity."""
    elasticity, least, most = assumption
    cost, channel = rows["cost_amount"][here], rows["channel"][here]
    brought = rows["brought"][here]
    bounds = (least * cost, most * cost)
    spent = best_split(cost, brought, elasticity, bounds, _budget(limit, cost, bounds))
    ratio = np.where(spent > 0, spent / cost, 1.0)  # only what brings nothing gets nothing
    slope = elasticity * np.maximum(brought, 0.0) / cost * ratio ** (elasticity - 1)
    order = np.lexsort((channel.astype(str), -spent.round(9)))
    columns = {
        "model": rows["model"][here],
        "elasticity": np.full(len(cost), elasticity),
        "channel": channel,
        "present_cost_amount": cost,
        "suggested_cost_amount": spent,
        "change_share": spent / cost - 1,
        "present_conversion_count": brought,
        "expected_conversion_count": brought * (spent / cost) ** elasticity,
        "marginal_cost_per_conversion_amount": np.divide(1.0, slope, out=np.full(len(cost), np.nan), where=slope > 0),
        "assumption": np.full(len(cost), _in_words(elasticity, least, most), object),
        "caution": rows["caution"][here],
    }
    return {name: values[order] for name, values in columns.items()}


def _in_words(elasticity: float, least: float, most: float) -> str:
    return (
        f"conversions x (cost / present cost)^{elasticity:g} in every channel, each between {least:g} and {most:g} "
        "times its present cost"
    )


def _budget(limit: float | None, cost: Floats, bounds: tuple[Floats, Floats]) -> float:
    least, most = (float(bound.sum()) for bound in bounds)
    limit = float(cost.sum()) if limit is None else limit
    if not least * (1 - 1e-12) <= limit <= most * (1 + 1e-12):
        msg = (
            f"{CALLER}: a budget of {limit:,.2f} lies outside what the bounds allow, {least:,.2f} to {most:,.2f} "
            f"(now {cost.sum():,.2f}). Change budget, least_change or most_change."
        )
        raise SchemaError(msg)
    return limit


def best_split(
    cost: Floats, brought: Floats, elasticity: float, bounds: tuple[Floats, Floats], budget: float
) -> Floats:
    """Maximise ``sum of brought (x / cost)^elasticity`` within bounds, for a sum of x of at most ``budget``.

    Where no bound holds, ``x = cost (elasticity brought / (cost m))^(1 / (1 - elasticity))`` for a multiplier m.
    """
    least, most = bounds
    value = elasticity * np.maximum(brought, 0.0) / cost
    useful = value > 0
    ceiling = np.where(useful, most, least)  # what brings nothing gets no more than it must
    if not useful.any() or ceiling.sum() <= budget:
        return ceiling
    log_value, power = np.log(value[useful]), 1 / (1 - elasticity)

    def split(log_multiplier: float) -> Floats:
        spent = least.copy()
        wanted = cost[useful] * np.exp(np.minimum(power * (log_value - log_multiplier), 700.0))
        spent[useful] = np.clip(wanted, least[useful], most[useful])
        return spent

    reach = np.log(np.maximum(most[useful] / cost[useful], 1e-300)) / power
    low, high = float((log_value - reach).min()), float(log_value.max()) + 700.0 / power
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        low, high = (middle, high) if split(middle).sum() > budget else (low, middle)
    return split(high)
