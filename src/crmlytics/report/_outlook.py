"""What is to come: revenue by period with its interval and its benchmark; when in the year and the week it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crmlytics.report._charts import columns
from crmlytics.report._revenue import PERIOD_COLUMNS, period_labels, period_noun
from crmlytics.report._section import Figure, Heading, Section, Table
from crmlytics.report._words import MISSING, is_missing, percent, sentence, short

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from crmlytics.report._context import Context

NEEDED = ("period_start", "period_end", "existing_amount", "new_amount", "forecast_amount", "verdict")
HISTORY = 12  # periods drawn before the forecast
BENCHMARKS = {
    "naive": "that every {noun} brings what the last one did",
    "exponential smoothing": "that every {noun} brings the level of the last ones",
    "seasonal naive": "that every {noun} brings what it did a year before",
    "weekly naive": "that every day brings what it did a week before",
}
SEASONS = {"months": ("month", "Months of the year", 3), "weekdays": ("day", "Days of the week", 3)}


def build(context: Context) -> Section | None:
    """Write the section from the forecast and the seasons, whichever can be told."""
    ahead = context.table("forecast", *NEEDED)
    figures = [] if ahead is None else [_forecast_figure(context, ahead)]
    figures += [figure for name in SEASONS if (figure := _season_figure(context, name)) is not None]
    if not figures:
        return None
    findings = [] if ahead is None else _forecast_findings(context, ahead)
    findings += [found for name in SEASONS if (found := _season_finding(context, name)) is not None]
    return Section(
        key="outlook",
        title="What is to come",
        question="What revenue is to be expected, and when does it come?",
        findings=tuple(findings),
        figures=tuple(figures),
        tables=() if ahead is None else (_forecast_table(context, ahead),),
    )


def _forecast_findings(context: Context, ahead: pd.DataFrame) -> list[Markup]:
    from crmlytics.revenue import describe_revenue

    noun, labels = period_noun(ahead), period_labels(ahead)
    total, new = float(ahead["forecast_amount"].sum()), float(ahead["new_amount"].sum())
    span = f"In {labels[0]}" if len(labels) == 1 else f"From {labels[0]} to {labels[-1]}"
    still = f", {percent(new / total)} of it from customers still to come" if total > 0 else ""
    told = describe_revenue(ahead)["finding"].iloc[1:]
    benchmark = BENCHMARKS[str(ahead["benchmark"].iloc[0])].format(noun=noun)
    found = [sentence(f"{span}, {{}} of revenue is expected{still}.", context.money(total))]
    found += [sentence(text.replace(" period", f" {noun}")) for text in told]
    first = ahead.iloc[0]
    if not is_missing(first["absolute_error_share"]) and not is_missing(first["benchmark_absolute_error_share"]):
        found.append(
            sentence(
                f"Tried on the past, forecasts one {noun} ahead were off by {{}} on average; the benchmark, "
                f"{benchmark}, by {{}}.",
                percent(first["absolute_error_share"]), percent(first["benchmark_absolute_error_share"]),
            )
        )  # fmt: skip
    return found


def _forecast_figure(context: Context, ahead: pd.DataFrame) -> Figure:
    noun = period_noun(ahead)
    past = _past(context, ahead)
    labels = [*past["label"], *period_labels(ahead)]
    before, after = len(past), len(ahead)
    series = [
        [*past["total_amount"], *[0.0] * after],
        [*[0.0] * before, *ahead["existing_amount"].astype(float)],
        [*[0.0] * before, *ahead["new_amount"].astype(float)],
    ]
    bounds = zip(ahead["forecast_amount_low"], ahead["forecast_amount_high"], strict=True)
    whiskers = {before + i: (float(low), float(high)) for i, (low, high) in enumerate(bounds) if not is_missing(low)}
    return Figure(
        title=f"Revenue by {noun}, and what is expected",
        picture=columns(
            labels, series, text=short, colours=(1, 6, 3), whiskers=whiskers,
            alt=f"Columns: revenue of {before} {noun}s and of {after} expected ones, {labels[before]} to {labels[-1]}, "
            f"with intervals. {labels[before]}: {context.money(ahead['forecast_amount'].iloc[0])}.",
        ),
        legend=((1, "So far"), (6, "Expected from customers we have"), (3, "From new ones")),
        note=f"Whole {noun}s only. "
        + ("The lines hold what comes in 95 of 100 cases, judged by past errors." if whiskers else ""),
    )  # fmt: skip


def _past(context: Context, ahead: pd.DataFrame) -> pd.DataFrame:
    """Return the last whole periods before the forecast: ``label`` and ``total_amount``."""
    import pandas as pd

    kpis = context.table("kpis", *PERIOD_COLUMNS)
    if kpis is None:
        return pd.DataFrame({"label": [], "total_amount": []})
    earlier = kpis["is_complete"].astype(bool) & (kpis["period_start"] < ahead["period_start"].iloc[0])
    whole = kpis[earlier].tail(HISTORY)
    labels = period_labels(whole) if len(whole) else []
    return pd.DataFrame({"label": labels, "total_amount": whole["total_amount"].astype(float).to_numpy()})


def _forecast_table(context: Context, ahead: pd.DataFrame) -> Table:
    noun = period_noun(ahead)
    rows = []
    for label, row in zip(period_labels(ahead), ahead.to_dict("records"), strict=True):
        is_bounded = not is_missing(row["forecast_amount_low"])
        between = f"{context.money(row['forecast_amount_low'])} \u2013 {context.money(row['forecast_amount_high'])}"
        rows.append((
            label, context.money(row["forecast_amount"]), between if is_bounded else MISSING,
            context.money(row["benchmark_amount"]), percent(row["absolute_error_share"]),
            percent(row["benchmark_absolute_error_share"]), str(row["verdict"]),
        ))  # fmt: skip
    headings = ("Expected", "between", "Benchmark", "Past error", "of the benchmark")
    return Table(
        caption=f"Expected revenue by {noun}, and how such forecasts did in the past",
        headings=(
            Heading(noun.capitalize()),
            *(Heading(text, is_number=True) for text in headings),
            Heading("Against the benchmark"),
        ),
        rows=tuple(rows),
        note="Made from how much customers of each age bring and how many new ones come, the latest level and the "
        "season. It knows no plans: a campaign or price rise is not in the past. The revenue expected at the top adds "
        "up customers one by one, without new ones, so the two differ.",
    )


def _season_figure(context: Context, name: str) -> Figure | None:
    season = context.table(name, "part", "amount_index", "average_amount")
    if season is None:
        return None
    noun, title, letters = SEASONS[name]
    labels = [str(part)[:letters] for part in season["part"]]
    bounds = zip(season["amount_index_low"], season["amount_index_high"], strict=True)
    whiskers = {i: (float(low), float(high)) for i, (low, high) in enumerate(bounds) if not is_missing(low)}
    return Figure(
        title=title,
        picture=columns(
            labels, [season["amount_index"].astype(float).tolist()], text=percent, whiskers=whiskers,
            alt=f"Columns: revenue by {noun} against the average {noun}. {_extremes(season)}",
        ),
        note=f"100\u00a0% is the average {noun}. The lines hold the truth in 95 of 100 cases.",
    )  # fmt: skip


def _season_finding(context: Context, name: str) -> Markup | None:
    season = context.table(name, "part", "amount_index")
    if season is None:
        return None
    best, least = _ends(season)
    noun = SEASONS[name][0]
    return sentence(
        f"The best {noun} is {{}} with {{}} of the average, the weakest {{}} with {{}}.",
        str(best["part"]), percent(best["amount_index"]), str(least["part"]), percent(least["amount_index"]),
    )  # fmt: skip


def _extremes(season: pd.DataFrame) -> str:
    best, least = _ends(season)
    return f"Best: {best['part']}, {percent(best['amount_index'])}; weakest: {least['part']}."


def _ends(season: pd.DataFrame) -> tuple[pd.Series[Any], pd.Series[Any]]:
    order = season.sort_values(["amount_index", "part_number"], ascending=[False, True], kind="stable")
    return order.iloc[0], order.iloc[-1]
