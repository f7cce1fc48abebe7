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
        f"{_counted(len(outcome.scores))}{_returns_only(outcome.scores)}, as of {_date(outcome.as_of)}",
        "",
    ]
    facts = {
        "lines": _lines(outcome.audit),
        "revenue": _revenue(outcome),
        "best segment": _best_segment(outcome),
        f"next {outcome.horizon_days} days": _outlook(outcome),
        "tried out": _back_test(outcome),
    }
    width = max(_LABEL, *(len(label) + 2 for label in facts))
    lines += [f"  {label:<{width}}{text}" for label, text in facts.items() if text]
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
    buyers = int((scores["order_count"] > 0).sum())
    again = f"; {_percent((scores['order_count'] > 1).sum() / buyers)} of the customers ordered again" if buyers else ""
    return f"{_money(total, outcome.currency)} in {orders:,} order{'s' if orders != 1 else ''}{again}"


def _best_segment(outcome: Outcome) -> str:
    from crmlytics.rfm import segment_table

    table = segment_table(outcome.scores)
    best = table.sort_values("total_amount", ascending=False, kind="stable").iloc[0]
    share = f"{_percent(best['total_amount_share'])} of the revenue" if best["total_amount_share"] > 0 else "no revenue"
    return f"{best['segment']}: {_counted(best['customer_count'])} ({_percent(best['customer_share'])}) with {share}"


def _outlook(outcome: Outcome) -> str:
    """Write what is expected within the horizon."""
    scores = outcome.scores
    if not scores["purchase_probability"].notna().any():
        return "not estimated: too few customers bought again (see guide.csv)"
    words = [f"{scores['purchase_probability'].sum():,.0f} of them expected to buy"]
    for column, label in (("expected_revenue_amount", "expected revenue"), ("clv_amount", "lifetime value")):
        if column in scores.columns:
            known = scores[column].notna().any()
            amount = _money(float(scores[column].sum()), outcome.currency) if known else "not estimated (see guide.csv)"
            words.append(f"{label} {amount}")
    return ", ".join(words)


def _back_test(outcome: Outcome) -> str:
    """Write how the same forecast, made one horizon earlier, would have done."""
    figures = dict(zip(outcome.evaluation["name"], outcome.evaluation["value"], strict=True))
    measured = next((what for what in ("revenue_amount", "purchase_count") if f"actual_{what}" in figures), None)
    if measured is None:
        return "not possible: the history is too short"
    expected, came = (float(figures[f"{name}_{measured}"]) for name in ("expected", "actual"))
    off = expected / came - 1 if came > 0 else 0.0
    verdict = f" ({_percent(abs(off))} too {'high' if off > 0 else 'low'})" if abs(off) >= _CLOSE else ""
    words = [f"{expected:,.0f} purchases", f"{came:,.0f}"]
    if measured == "revenue_amount":
        words = [_money(value, outcome.currency) for value in (expected, came)]
    return f"made {outcome.horizon_days} days earlier, this forecast expected {words[0]}; {words[1]} came{verdict}"


def _counted(count: int) -> str:
    return f"{count:,} customer{'' if count == 1 else 's'}"


def _returns_only(scores: pd.DataFrame) -> str:
    count = int((scores["order_count"] == 0).sum())
    return f" ({count:,} of them with returns only)" if count else ""


def _percent(share: float) -> str:
    """Write a share as the report does."""
    from crmlytics.report._words import percent

    return percent(share).replace("\u00a0", " ").replace("\u2212", "-")


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
