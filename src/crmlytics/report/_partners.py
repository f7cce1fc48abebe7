"""Partners: what each sold, how sure its place is, what hangs on it, whom it brought, and its quota."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics.report._charts import bars
from crmlytics.report._section import Figure, Heading, Outline, Table
from crmlytics.report._sources import YEAR
from crmlytics.report._words import (
    MISSING,
    between,
    caution,
    change,
    count,
    counted,
    date,
    is_missing,
    listed,
    percent,
    sentence,
    signed,
    verb,
    weeks,
)

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from crmlytics.report._context import Context

DIRECT = "(direct)"
SURE = 0.05
LARGEST, MOST_NAMED = 12, 3
SOLD = ("partner_id", "rank", "amount", "previous_amount", "amount_share", "growth_share", "is_inactive", "span_days")
WORTH = "horizon_amount"
VERDICTS = {
    "one partner": "all in one hand", "highly concentrated": "highly concentrated", "concentrated": "concentrated",
    "spread": "spread over many",
}  # fmt: skip
METHODS = {
    "run rate": "what came so far, carried on", "level": "what came so far and what is usual after this point",
    "season": "what came so far and what came after this point a year before",
    "quota": "the quota and how much of past quotas was attained",
    "rest of quota": "what came so far and how much of past quotas was attained after this point",
}  # fmt: skip
NOT_SEASONAL = "; seasons are not taken out"
STATES = ("reached", "on track", "open", "behind", "no sales", "not known")


# -- findings ------------------------------------------------------------------------------------------------------


def _share_finding(context: Context) -> Markup | None:
    sold, found = _sold(context), context.table("partner_concentration", "top_partner_id", "top_share", "verdict")
    if sold is None or found is None:
        return None
    row = found.iloc[0]
    span = weeks(int(row["span_days"]))
    likely = between(percent, row["top_share_low"], row["top_share_high"])
    return sentence(
        f"In the last {span}, {{}} of the revenue came through {{}}. {{}} sold the most: {{}}"
        + (f" ({likely})" if likely != MISSING else "") + f". That is {VERDICTS[row['verdict']]}.",
        percent(1 - row["direct_share"]), counted(row["partner_count"], "partner"), str(row["top_partner_id"]),
        percent(row["top_share"]),
    )  # fmt: skip


def _place_finding(context: Context) -> Markup | None:
    """Tell how many might be the first."""
    sold = _sold(context)
    if sold is None or len(sold) < 2:
        return None
    first = sold[sold["rank_low"] == 1]
    if first.empty:
        return None
    name = str(first["partner_id"].iloc[0])
    if (first["rank_high"] == 1).any():  # ahead of all, also of those too small for places of their own
        return sentence("{} is surely the first of them.", name)
    who = name if len(first) == 1 else counted(len(first), "partner")
    return sentence("The places are not sure: {} may be the first, going by who happened to buy.", who)


def _growth_finding(context: Context) -> Markup | None:
    """Tell which of the largest surely grew and which surely shrank: of many, some would by chance."""
    sold = _sold(context)
    shown = None if sold is None else sold.head(LARGEST)
    if sold is None or shown is None or shown["growth_share"].isna().all():
        return None
    grew, shrank = shown[shown["growth_share_low"] > 0], shown[shown["growth_share_high"] < 0]
    whose = "" if len(shown) == len(sold) else f" of the {LARGEST} largest"
    against = f"Against the {weeks(int(shown['span_days'].iloc[0]))} before ({_whole_growth(context)})"
    told = [f"{listed(_named(rows))} {did}" for rows, did in ((grew, "grew"), (shrank, "shrank")) if len(rows)]
    if not told:
        return sentence(f"{against}, {{}}{whose} surely grew or shrank.", "no partner")
    all_told = "; ".join("{}" for _ in told)
    return sentence(f"{against},{whose and f'{whose},'} with 95 % certainty each: {all_told}.", *told)


def _whole_growth(context: Context) -> str:
    """Tell how all revenue changed, with and without partners: what a season does to all is no partner's doing."""
    table = context.tables["partners"]
    before, seasons = table["previous_amount"].sum(), "" if table["span_days"].iloc[0] >= YEAR else NOT_SEASONAL
    return f"all revenue {change(table['amount'].sum() / before - 1 if before > 0 else None)}{seasons}"


def _named(rows: pd.DataFrame) -> list[str]:
    names = [f"{name} ({change(share)})" for name, share in zip(rows["partner_id"], rows["growth_share"], strict=True)]
    return names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} more"]


def _silent_finding(context: Context) -> Markup | None:
    sold = _sold(context)
    silent = None if sold is None else sold[sold["is_inactive"].astype(bool)]
    if silent is None or silent.empty:
        return None
    names = silent["partner_id"].astype(str).tolist()
    shown = listed(names if len(names) <= MOST_NAMED else [*names[:MOST_NAMED], f"{len(names) - MOST_NAMED} more"])
    return sentence(
        f"{{}} {verb(len(names), 'is', 'are')} silent for longer than usual: {{}}.",
        counted(len(names), "partner"), shown,
    )  # fmt: skip


def _brought_finding(context: Context) -> Markup | None:
    """Tell which partner's customers are surely worth more or less."""
    table = context.table("partner_customers", "metric", "difference", "adjusted_p_value", "horizon_days")
    worth = None if table is None else table[(table["metric"] == WORTH) & table["adjusted_p_value"].notna()]
    worth = None if worth is None else worth[worth["partner_id"] != DIRECT]
    if worth is None or worth.empty:
        return None
    span = weeks(int(worth["horizon_days"].iloc[0]))
    sure = worth[worth["adjusted_p_value"].astype(float) <= SURE]
    if sure.empty:
        return sentence(
            f"By what customers bring in their first {span}, {{}} brought better or worse ones.", "no partner surely"
        )
    row = sure.loc[sure["difference"].abs().idxmax()]
    low, high = sorted(abs(row[f"difference_{end}"]) for end in ("low", "high"))
    more = "more" if row["difference"] > 0 else "less"
    return sentence(
        f"Customers brought by {{}} bring {{}} in their first {span}, {{}} {more} than those of all others "
        f"({context.money(low)} to {context.money(high)}): by whom it meets, or by what it does.",
        str(row["partner_id"]), context.money(row["mean"]), context.money(abs(row["difference"])),
    )  # fmt: skip


def _quota_finding(context: Context) -> Markup | None:
    running = _running(context)
    if running is None:
        return None
    verdicts = running["verdict"].value_counts()
    told = [f"{count(verdicts[name])} {name}" for name in STATES if name in verdicts]
    return sentence(f"Of {{}} that run: {listed(['{}' for _ in told])}.", counted(len(running), "quota"), *told)


# -- figure --------------------------------------------------------------------------------------------------------


def _share_figure(context: Context) -> Figure | None:
    sold = _sold(context)
    if sold is None:
        return None
    shown = sold.head(LARGEST)
    low, high = shown["amount_low"].astype(float), shown["amount_high"].astype(float)
    whiskers = {
        place: (float(low.iloc[place]), float(high.iloc[place]))
        for place in range(len(shown)) if not is_missing(low.iloc[place])
    }  # fmt: skip
    names = shown["partner_id"].astype(str).tolist()
    told = [f"{name} {context.money(amount)}" for name, amount in zip(names, shown["amount"], strict=True)]
    return Figure(
        title=f"Revenue through partners in the last {weeks(int(sold['span_days'].iloc[0]))}",
        picture=bars(
            names, [shown["amount"].astype(float).tolist()], text=context.money, whiskers=whiskers,
            alt=f"Revenue by partner: {listed(told)}.",
        ),
        note=(f"The {LARGEST} largest of {count(len(sold))}. " if len(sold) > LARGEST else "")
        + "Lines span what could have come of the same kind of customers, had others happened to buy.",
    )  # fmt: skip


# -- tables --------------------------------------------------------------------------------------------------------


def _partner_table(context: Context) -> Table | None:
    table = context.table("partners", *SOLD)
    sold = _sold(context)
    if table is None or sold is None:
        return None
    rows = [
        (
            str(row["partner_id"]), context.money(row["amount"]), percent(row["amount_share"]),
            between(count, row["rank_low"], row["rank_high"]), change(row["growth_share"]),
            between(change, row["growth_share_low"], row["growth_share_high"]), count(row["customer_count"]),
            count(row["new_customer_count"]), context.money(row["margin_amount"]),
        )
        for row in sold.head(LARGEST).to_dict("records")
    ]  # fmt: skip
    headings = ("Revenue", "Share", "Place", "Growth", "between", "Customers", "New", "Margin")
    more = len(sold) - len(rows)
    return Table(
        caption=f"What each partner sold in the last {weeks(int(sold['span_days'].iloc[0]))}",
        headings=(Heading("Partner"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note=(f"The {LARGEST} largest; {count(more)} more are not shown. " if more > 0 else "")
        + f"Growth: {_whole_growth(context)}. Place: the best and the worst that cannot be ruled out. "
        + ("Margin: before commission. " if sold["margin_amount"].notna().any() else "")
        + caution(table),
    )


def _dependence_table(context: Context) -> Table | None:
    table = context.table("partner_dependence", "partner_id", "only_customer_share", "at_risk_share_low", "span_days")
    table = None if table is None else table[table["partner_id"] != DIRECT]
    if table is None or table.empty:
        return None
    shown = table.sort_values("amount", ascending=False, kind="stable").head(LARGEST)
    rows = [
        (
            str(row["partner_id"]), count(row["customer_count"]), percent(row["only_customer_share"]),
            context.money(row["at_risk_amount_low"]), context.money(row["at_risk_amount_high"]),
            percent(row["at_risk_share_high"]),
        )
        for row in shown.to_dict("records")
    ]  # fmt: skip
    headings = ("Customers", "Buy only there", "At risk, at least", "At most", "Of all revenue")
    return Table(
        caption="What would be at risk if a partner left",
        headings=(Heading("Partner"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note="Assumed: nothing of the customers who buy only there stays (at least), or nothing at all (at most). "
        f"{caution(table)}",
        folded=True,
    )


def _customer_table(context: Context) -> Table | None:
    table = context.table("partner_customers", "partner_id", "metric", "mean", "observed_count", "horizon_days")
    if table is None:
        return None
    metrics = {name: rows.set_index("partner_id") for name, rows in table.groupby("metric")}
    worth = metrics[WORTH].dropna(subset=["difference_low"])  # of one customer nothing is told
    worth = worth.sort_values("observed_count", ascending=False, kind="stable").head(LARGEST)
    if set(worth.index) <= {DIRECT}:
        return None
    rows = []
    for name, row in worth.iterrows():
        shares = [percent(metrics[of].loc[name, "mean"]) for of in ("repeat_share", "retained_share")]
        amounts = [context.money(row["mean"]), signed(context.money, row["difference"])]
        likely = between(lambda value: signed(context.money, value), row["difference_low"], row["difference_high"])
        rows.append((str(name), count(row["observed_count"]), *amounts, likely, *shares))
    span = weeks(int(table["horizon_days"].iloc[0]))
    headings = ("Customers", "Brought", "Than others", "between", "Came back", "Stayed")
    return Table(
        caption=f"Customers by the partner who brought them, each in the first {span}",
        headings=(Heading("Partner"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note=f"Stayed: with an order in the second half. {caution(table)}",
        folded=True,
    )


def _credit_table(context: Context) -> Table | None:
    table = context.table("partner_credit", "partner_id", "sold_amount", "sourced_amount", "credit_share")
    if table is None or not (table["joint_amount"].astype(float).abs() > 0).any():  # nobody had a part in others' sales
        return None
    shown = table.sort_values("credit_amount", ascending=False, kind="stable").head(LARGEST)
    amounts = ("sold_amount", "sourced_amount", "influenced_amount", "credit_amount")
    rows = [
        (str(row["partner_id"]), *(context.money(row[name]) for name in amounts), percent(row["credit_share"]))
        for row in shown.to_dict("records")
    ]
    headings = ("Sold", "Of customers it brought", "In touch before", "Credit", "Of all revenue")
    return Table(
        caption="Whose revenue it is where several had a part in it",
        headings=(Heading("Partner"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note="Credit divides each sale equally among who brought the customer, was in touch and sold; it adds up to "
        f"all revenue. {caution(table)}",
        folded=True,
    )  # fmt: skip


def _quota_table(context: Context) -> Table | None:
    running = _running(context)
    if running is None:
        return None
    rows = [
        (
            str(row["partner_id"]), date(row["period_end"]), context.money(row["quota_amount"]),
            percent(row["attainment_share"]), percent(row["elapsed_share"]), percent(row["forecast_attainment_share"]),
            between(percent, row["forecast_attainment_share_low"], row["forecast_attainment_share_high"]),
            percent(row["reach_probability"]), str(row["verdict"]),
        )
        for row in running.to_dict("records")
    ]  # fmt: skip
    headings = ("Until", "Quota", "Reached", "Of the time", "At the end", "between", "Chance to reach")
    by = [words for method, words in METHODS.items() if method in set(running["method"])]
    return Table(
        caption="Quotas that run",
        headings=(Heading("Partner"), *(Heading(text, is_number=True) for text in headings), Heading("Verdict")),
        rows=tuple(rows),
        note=f"Forecasts from {listed(by)}; chances and intervals from past errors. Open: both reaching and missing it "
        f"are possible. {caution(running)}",
    )  # fmt: skip


# -- inside --------------------------------------------------------------------------------------------------------


def _sold(context: Context) -> pd.DataFrame | None:
    """Return the partners, who sold most first; those without one are not among them."""
    table = context.table("partners", *SOLD)
    sold = None if table is None else table[table["partner_id"] != DIRECT]
    return None if sold is None or sold.empty else sold.sort_values(["rank", "partner_id"], kind="stable")


def _running(context: Context) -> pd.DataFrame | None:
    """Return the quotas of the periods that ``as_of`` lies in."""
    table = context.table("quotas", "partner_id", "verdict", "elapsed_share", "period_end")
    running = None if table is None else table[(table["elapsed_share"] > 0) & (table["period_end"] > context.as_of)]
    return None if running is None or running.empty else running


build = Outline(
    key="partners",
    title="The partners",
    question="What do partners sell and bring, and what hangs on them?",
    findings=(
        _share_finding, _place_finding, _growth_finding, _silent_finding, _brought_finding, _quota_finding,
    ),
    figures=(_share_figure,),
    tables=(_partner_table, _quota_table, _dependence_table, _customer_table, _credit_table),
).build  # fmt: skip
