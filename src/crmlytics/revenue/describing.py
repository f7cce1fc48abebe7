"""A table of revenue in words: the few sentences worth saying."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import enter, to_pandas
from crmlytics._plots import short_number
from crmlytics._validation import check_count
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.revenue.bridges import EFFECTS

if TYPE_CHECKING:
    import pandas as pd

    Finding = tuple[str, float]

CALLER = "describe_revenue"
SCHEMA = nw.Schema({"rank": nw.Int64(), "finding": nw.String(), "amount": nw.Float64()})
OF_GROUPS = ("amount_change", "amount_share", "growth_contribution_share")
WORDS = {
    "new_amount": "New customers",
    "reactivated_amount": "Customers who came back",
    "lost_amount": "Customers who ordered then and not now",
    "returns_amount": "Returns of customers without an order",
    "volume_effect_amount": "Kept customers: the number of {basis}",
    "mix_effect_amount": "Kept customers: dearer or cheaper products",
    "price_effect_amount": "Kept customers: {price}",
    "added_products_amount": "Kept customers: products they had not bought before",
    "dropped_products_amount": "Kept customers: products they no longer bought",
    "other_effect_amount": "Kept customers: lines without a unit price",
}
SENTENCES = {  # the gravest first
    "worse": "Forecasts of the {ahead} were worse than the {benchmark} benchmark in the past: use that instead.",
    "no clear difference": "Forecasts of the {ahead} did not clearly beat the {benchmark} benchmark in the past.",
    "not known": "Too little is known to compare forecasts of the {ahead} with the {benchmark} benchmark.",
    "better": "Forecasts of the {ahead} beat the {benchmark} benchmark in the past.",
}
UNITS = (("bn", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0))


def describe_revenue(table: Any, *, n: int = 3) -> Any:
    r"""Say in sentences what a bridge, a cut or a forecast of revenue shows.

    Parameters
    ----------
    table : dataframe
        What :func:`bridge_table`, :func:`revenue_cut_table` or :func:`revenue_forecast_table` returned. Of a bridge or
        a cut the last complete period with a complete one to compare with is told (the last, if there is none): filter
        the rows to tell another. Groups of a bridge are added up, which is not the bridge of the whole: what kept
        customers did is told within each group.
    n : int, default 3
        How many effects, groups or verdicts at most, after the first sentence; the largest first, of verdicts the
        gravest.

    Returns
    -------
    dataframe of the kind that came in, one row per sentence
        ``rank`` (Int64, from 1), ``finding`` (String, what to read: ``print("\n".join(table["finding"]))``),
        ``amount`` (Float64, the money it is about).

    Raises
    ------
    SchemaError
        When the table has no rows, or is a cut without any period to compare with.
    MissingColumnsError
        When the table is none of these.

    Notes
    -----
    Findings describe: they do not say what revenue would have been at other prices.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.revenue import bridge_table, describe_revenue
    >>> orders = pd.DataFrame({
    ...     "customer_id": ["a", "b", "a", "c"], "order_id": [1, 2, 3, 4], "product_id": ["tea", "tea", "tea", "tea"],
    ...     "quantity": [10, 5, 12, 1], "amount": [20.0, 10.0, 30.0, 2.0],
    ...     "timestamp": pd.to_datetime(["2024-01-01", "2024-01-21", "2024-02-10", "2024-02-20"]),
    ... })
    >>> print("\n".join(describe_revenue(bridge_table(orders, as_of="2024-03-01"), n=2)["finding"]))
    Revenue from 2024-02-01 on was 32, 2 more than in the period compared with, 30 (+7%).
    Customers who ordered then and not now: -10.
    Kept customers: unit prices: +5.5.
    """
    n = check_count(n, name="n", caller=CALLER)
    _, engine = enter(table, caller=CALLER)
    rows = to_pandas(table, caller=CALLER)
    tell = _teller(list(rows.columns))
    if rows.empty:
        msg = f"{CALLER}: the table has no rows. Keep at least one period."
        raise SchemaError(msg)
    found = tell(rows, n)
    columns = {
        "rank": list(range(1, len(found) + 1)),
        "finding": [finding for finding, _ in found],
        "amount": [amount for _, amount in found],
    }
    return engine.from_columns(columns, SCHEMA)


# -- inside --------------------------------------------------------------------------------------------------------


def _teller(columns: list[str]) -> Any:
    for name, tell in (("price_effect_amount", _tell_bridge), ("growth_contribution_share", _tell_cut),
                       ("forecast_amount", _tell_forecast)):  # fmt: skip
        if name in columns:
            return tell
    msg = (
        f"{CALLER}: expected a table of bridge_table, revenue_cut_table or revenue_forecast_table, got the columns "
        f"{columns}."
    )
    raise MissingColumnsError(msg)


def _tell_bridge(rows: pd.DataFrame, n: int) -> list[Finding]:
    rows = _last(rows, "is_complete")
    sums = rows[["previous_amount", "total_amount", *EFFECTS]].astype(float).sum()
    units = bool((rows["basis"] == "units").any())
    words = {"basis": "units", "price": "unit prices"} if units else {"basis": "orders", "price": "amounts per order"}
    effects = sorted(((name, float(sums[name])) for name in EFFECTS), key=lambda effect: -abs(effect[1]))
    first, change = _change(rows, float(sums["total_amount"]), float(sums["previous_amount"]))
    groups = rows["group"].nunique()
    first += f" What kept customers did is told within {groups} groups and added up." if groups > 1 else ""
    told = [(f"{WORDS[name].format(**words)}: {_signed(amount)}.", amount) for name, amount in effects[:n]
            if abs(amount) >= 0.005]  # fmt: skip
    return [(first, change), *told]


def _tell_cut(rows: pd.DataFrame, n: int) -> list[Finding]:
    rows = rows[rows["previous_amount"].notna()]
    if rows.empty:
        msg = f"{CALLER}: no period of this cut has one to compare with. Keep at least two periods."
        raise SchemaError(msg)
    rows = _last(rows, "is_comparable")
    first = _change(rows, float(rows["total_amount"].sum()), float(rows["previous_amount"].sum()))
    numbers = {name: rows[name].astype(float) for name in OF_GROUPS}
    rows = rows.assign(**numbers, _size=-numbers["amount_change"].abs())
    largest = rows.sort_values(["_size", "group"]).head(n)
    return [first, *(_of_group(row) for row in largest.to_dict("records"))]


def _of_group(row: dict[str, Any]) -> Finding:
    change, share, points = (row[name] for name in OF_GROUPS)
    text = f"{row['group']}: {_signed(change)}"
    text += f", {100 * points:+.1f} points of growth" if not math.isnan(points) else ""
    text += f" (now {share:.0%} of revenue)" if not math.isnan(share) else ""
    return f"{text}.", float(change)


def _tell_forecast(rows: pd.DataFrame, n: int) -> list[Finding]:
    total, new = (float(rows[name].astype(float).sum()) for name in ("forecast_amount", "new_amount"))
    share = f", {new / total:.0%} of it from customers still to come" if total > 0 else ""
    start, end = rows["period_start"].min(), rows["period_end"].max()
    found = [(f"From {start:%Y-%m-%d} to {end:%Y-%m-%d}, revenue of {short_number(total)} is expected{share}.", total)]
    found += [_of_verdict(verdict, rows[rows["verdict"] == verdict]) for verdict in SENTENCES
              if (rows["verdict"] == verdict).any()][:n]  # fmt: skip
    return found


def _of_verdict(verdict: str, rows: pd.DataFrame) -> Finding:
    benchmark = " or ".join(dict.fromkeys(rows["benchmark"]))
    sentence = SENTENCES[verdict].format(ahead=_ahead([int(n) for n in rows["period_number"]]), benchmark=benchmark)
    return sentence, float(rows["forecast_amount"].astype(float).sum())


def _ahead(numbers: list[int]) -> str:
    first, last = numbers[0], numbers[-1]
    if first == last:
        return f"{_ordinal(first)} period ahead"
    if last - first + 1 == len(numbers):
        return f"{_ordinal(first)} to {_ordinal(last)} period ahead"
    return f"{', '.join(_ordinal(number) for number in numbers[:-1])} and {_ordinal(last)} period ahead"


def _ordinal(number: int) -> str:
    teens = 10 <= number % 100 <= 20
    return f"{number}{'th' if teens else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"


def _last(rows: pd.DataFrame, complete: str) -> pd.DataFrame:
    """Return the rows of the last period that is complete, or of the last one if none is."""
    whole = rows[rows[complete].astype(bool)]
    chosen = whole if len(whole) else rows
    return chosen[chosen["period_start"] == chosen["period_start"].max()]


def _change(rows: pd.DataFrame, now: float, before: float) -> Finding:
    written, difference, previous = _that_add_up(now, before)
    share = f" ({(now - before) / before:+.0%})" if before > 0 else ""
    text = (
        f"Revenue from {rows['period_start'].iloc[0]:%Y-%m-%d} on was {written}, {difference} than in the period "
        f"compared with, {previous}{share}."
    )
    return text, now - before


def _that_add_up(now: float, before: float) -> tuple[str, str, str]:
    """Write two amounts and their difference with as many digits as the smallest of the three needs for three."""
    sizes = [abs(round(amount, 2)) for amount in (now, before, now - before)]
    smallest = min((size for size in sizes if size > 0), default=1.0)
    name, unit = next(((name, unit) for name, unit in UNITS if smallest >= unit), UNITS[-1])
    decimals = max(2 - math.floor(math.log10(max(smallest / unit, 1.0))), 0)
    rounded, previous = round(now / unit, decimals), round(before / unit, decimals)
    difference = round(rounded - previous, decimals)
    texts = [f"{number:,.{decimals}f}" for number in (rounded + 0.0, abs(difference), previous + 0.0)]
    texts = [(text.rstrip("0").rstrip(".") if "." in text else text) + name for text in texts]
    return texts[0], f"{texts[1]} {'more' if difference >= 0 else 'less'}", texts[2]


def _signed(amount: float) -> str:
    cents = round(amount, 2) + 0.0  # not -0
    return f"{'+' if cents >= 0 else ''}{short_number(cents)}"
