"""What is said at the end: the figures a boss asks for, and where everything is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics._cli.outputs import FILES

if TYPE_CHECKING:
    import pandas as pd

    from crmlytics._cli.job import Outcome

_LABEL = 14
_CLOSE = 0.01  # a forecast off by less needs no verdict


def summarise(outcome: Outcome) -> str:
    """Write the summary, a few lines of text."""
    lines = [
        "",
        f"{len(outcome.scores):,} customer{'s' if len(outcome.scores) > 1 else ''}, as of {_date(outcome.as_of)}",
        "",
    ]
    facts = {
        "lines": _lines(outcome.audit),
        "revenue": _revenue(outcome),
        "best segment": _best_segment(outcome),
        f"next {outcome.horizon_days} days": _outlook(outcome),
        "tried out": _back_test(outcome),
    }
    lines += [f"  {label:<{_LABEL}}{text}" for label, text in facts.items() if text]
    lines += ["", f"Written to {outcome.folder}:"]
    lines += [f"  {name:<19}{meaning}" for name, meaning in FILES.items() if name in outcome.files]
    if outcome.customer_column != "customer_id":
        lines += ["", f"customer_id in these files is your column {outcome.customer_column!r}."]
    return "\n".join([*lines, "", f"Open {(outcome.folder / 'report.html').resolve().as_uri()}", ""])


def _lines(audit: pd.DataFrame) -> str:
    received, kept = (int(count) for count in audit["lines"].iloc[:2])
    aside = audit[(audit["outcome"] == "set aside") & (audit["lines"] > 0)]
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in zip(aside["reason"], aside["lines"], strict=True))
    return f"{received:,} received, {kept:,} kept" + (f", {received - kept:,} set aside ({reasons})" if reasons else "")


def _revenue(outcome: Outcome) -> str:
    scores = outcome.scores
    total, orders = float(scores["total_amount"].sum()), int(scores["order_count"].sum())
    again = float((scores["order_count"] > 1).mean())
    return f"{_money(total, outcome.currency)} in {orders:,} orders; {again:.0%} of the customers ordered again"


def _best_segment(outcome: Outcome) -> str:
    from crmlytics.rfm import segment_table

    table = segment_table(outcome.scores)
    best = table.sort_values("total_amount", ascending=False, kind="stable").iloc[0]
    share = f"{best['total_amount_share']:.0%} of the revenue" if best["total_amount_share"] > 0 else "no revenue"
    return f"{best['segment']}: {best['customer_count']:,} customers ({best['customer_share']:.0%}) with {share}"


def _outlook(outcome: Outcome) -> str:
    """Write what is expected within the horizon."""
    scores = outcome.scores
    if not scores["purchase_probability"].notna().any():
        return "not estimated: too few customers bought again (see guide.csv)"
    words = [f"{scores['purchase_probability'].sum():,.0f} of them expected to buy"]
    for column, label in (("expected_revenue_amount", "expected revenue"), ("clv_amount", "lifetime value")):
        if column in scores.columns:
            words.append(f"{label} {_money(float(scores[column].sum()), outcome.currency)}")
    return ", ".join(words)


def _back_test(outcome: Outcome) -> str:
    """Write how the same forecast, made one horizon earlier, would have done."""
    figures = dict(zip(outcome.evaluation["name"], outcome.evaluation["value"], strict=True))
    if not {"expected_revenue_amount", "actual_revenue_amount"} <= set(figures):
        return "not possible: the history is too short"
    expected, came = (float(figures[f"{name}_revenue_amount"]) for name in ("expected", "actual"))
    off = expected / came - 1 if came > 0 else 0.0
    verdict = f" ({abs(off):.0%} too {'high' if off > 0 else 'low'})" if abs(off) >= _CLOSE else ""
    money = [_money(value, outcome.currency) for value in (expected, came)]
    return f"made {outcome.horizon_days} days earlier, this forecast expected {money[0]}; {money[1]} came{verdict}"


def _money(value: float, currency: str) -> str:
    """Write money without cents from 100 on: a symbol before, a code after.

    >>> _money(1234567.8, "£"), _money(12.5, "EUR"), _money(-7, "")
    ('£1,234,568', '12.50 EUR', '-7.00')
    """
    size = f"{abs(value):,.0f}" if abs(value) >= 100 else f"{abs(value):,.2f}"
    if currency:
        size = f"{size} {currency}" if currency[-1].isalpha() else f"{currency}{size}"
    return f"-{size}" if value < 0 else size


def _date(moment: object) -> str:
    return str(moment).removesuffix(" 00:00:00")
