"""Channels: what each brings, whom it wins, who changes, and who gets the credit for orders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics.report._charts import bars
from crmlytics.report._section import Cell, Figure, Heading, Outline, Table
from crmlytics.report._words import (
    between,
    caution,
    compact,
    count,
    counted,
    is_missing,
    listed,
    percent,
    sentence,
    signed,
    weeks,
)

if TYPE_CHECKING:
    import pandas as pd
    from markupsafe import Markup

    from crmlytics.report._context import Context

UNKNOWN, NO_TOUCH = "(unknown)", "(no touchpoint)"
CHANCE, SURE = "horizon_adjusted_p_value", 0.05
FACTOR = 10  # of the bounds of a lift: a wider one says nothing
CREDITED = ("model", "channel", "credit_share", "credit_share_low", "credit_share_high", "lookback_days")
DRAWN = {"last": ("Last", 5), "markov": ("Markov", 1), "shapley": ("Shapley", 2)}
PHASES = ("before", "at", "after")
WORDS = {"(new)": "New", "(back)": "Back again", "(gone)": "No order", UNKNOWN: "Unknown"}


# -- findings ------------------------------------------------------------------------------------------------------


def _largest_finding(context: Context) -> Markup | None:
    sold = _sold(context)
    known = None if sold is None else sold[sold["channel"] != UNKNOWN]
    if known is None or known.empty:
        return None
    first = known.iloc[0]
    buyers = counted(first["customer_count"], "customer")
    if len(known) == 1:
        return sentence(
            f"All that is known was bought through {{}}: {{}}, by {buyers}.",
            str(first["channel"]), context.money(first["amount"]),
        )  # fmt: skip
    return sentence(
        f"Most was bought through {{}}: {{}}, {{}} of all revenue, by {buyers}.",
        str(first["channel"]), context.money(first["amount"]), percent(first["amount_share"]),
    )  # fmt: skip


def _won_finding(context: Context) -> Markup | None:
    """Tell of which channel the customers are surely worth more or less."""
    won = context.table("channel_customers", "horizon_difference", CHANCE, "horizon_days")
    won = None if won is None else won[won[CHANCE].notna() & (won["acquisition_channel"] != UNKNOWN)]
    if won is None or len(won) < 2:
        return None
    span = weeks(int(won["horizon_days"].iloc[0]))
    sure = won[won[CHANCE].astype(float) <= SURE]
    if sure.empty:
        return sentence(
            f"By what customers bring in their first {span}, {{}} won better or worse ones than the others.",
            "no channel surely",
        )
    row = sure.loc[sure["horizon_difference"].abs().idxmax()]
    low, high = sorted(abs(row[f"horizon_difference_{end}"]) for end in ("low", "high"))
    more = "more" if row["horizon_difference"] > 0 else "less"
    return sentence(
        f"Customers won by {{}} bring {{}} in their first {span}, {{}} {more} than those won by the other channels "
        f"({context.money(low)} to {context.money(high)}).",
        str(row["acquisition_channel"]), context.money(row["horizon_amount"]),
        context.money(abs(row["horizon_difference"])),
    )  # fmt: skip


def _move_finding(context: Context) -> Markup | None:
    """Tell of the largest move between two channels, and how many moved back."""
    moves = context.table("channel_moves", "from_channel", "to_channel", "customer_count", "reverse_count", "step_days")
    if moves is None:
        return None
    is_move = (moves["from_channel"] != moves["to_channel"]) & ~moves["to_channel"].str.startswith("(")
    found = moves[is_move & ~moves["from_channel"].str.startswith("(")]
    if found.empty:
        return None
    row = found.loc[found["customer_count"].idxmax()]
    all_of = moves.loc[moves["from_channel"] == row["from_channel"], "customer_count"].sum()
    span, moved = weeks(int(row["step_days"])), count(row["customer_count"])
    return sentence(
        f"Of the {counted(all_of, 'customer')} who ordered mostly through {{}} in the {span} before the last, {{}} "
        f"({moved}) have since ordered mostly through {{}}; {count(row['reverse_count'])} went the other way.",
        str(row["from_channel"]), percent(row["from_share"]), str(row["to_channel"]),
    )  # fmt: skip


def _several_finding(context: Context) -> Markup | None:
    table = context.table("multichannel", "comparison", "several_amount", "one_amount", "difference", "difference_low")
    if table is None:
        return None
    rows = table.set_index("comparison")
    plain, fair = rows.loc["all customers"], rows.loc["at equal number of orders"]
    if not plain["several_count"] or not plain["one_count"] or is_missing(fair["difference_low"]):
        return None
    return sentence(
        "Customers of several channels brought {} each, those of one {}; but who orders more often meets more "
        "channels. At an equal number of orders the difference is {} "
        f"({signed(context.money, fair['difference_low'])} to {signed(context.money, fair['difference_high'])}).",
        context.money(plain["several_amount"]), context.money(plain["one_amount"]),
        signed(context.money, fair["difference"]),
    )  # fmt: skip


def _credit_finding(context: Context) -> str | Markup | None:
    """Tell for which channel the answer hangs most on the rule, where it does by more than chance."""
    shares, table = _credit_shares(context), context.table("credit", *CREDITED)
    shares = None if shares is None else shares.drop(index=NO_TOUCH, errors="ignore")
    if table is None or shares is None or shares.empty or shares.shape[1] < 2:
        return None
    reach = (table["credit_share_high"] - table["credit_share_low"]).astype(float).groupby(table["channel"]).max()
    spread = shares.max(axis=1) - shares.min(axis=1)
    beyond = spread[spread > reach.loc[spread.index]]
    if beyond.empty:
        return "But for chance, the rules agree on who gets the credit. What a channel adds, only an experiment tells."
    channel = beyond.idxmax()
    of = shares.loc[channel]
    return sentence(
        f"Who gets the credit hangs on the rule: {{}} gets {{}} of the orders by {_model(of.idxmin())} and {{}} by "
        f"{_model(of.idxmax())}. No rule tells what a channel adds; only an experiment does.",
        str(channel), percent(of.min()), percent(of.max()),
    )  # fmt: skip


# -- figures -------------------------------------------------------------------------------------------------------


def _revenue_figure(context: Context) -> Figure | None:
    sold = _sold(context)
    if sold is None:
        return None
    names, amounts = sold["channel"].astype(str).tolist(), sold["amount"].astype(float).tolist()
    told = [f"{name} {context.money(amount)}" for name, amount in zip(names, amounts, strict=True)]
    return Figure(
        title="Revenue by channel",
        picture=bars(names, [amounts], text=context.money, alt=f"Revenue by channel: {listed(told)}."),
        note="Channels that orders came through, returns taken off.",
    )


def _credit_figure(context: Context) -> Figure | None:
    shares = _credit_shares(context)
    drawn = [] if shares is None else [model for model in DRAWN if model in shares.columns]
    if shares is None or not drawn:
        return None
    series = [shares[model].tolist() for model in drawn]
    words = listed([DRAWN[model][0] for model in drawn])
    return Figure(
        title="Who gets the credit for orders, by rule",
        picture=bars(
            [str(name) for name in shares.index], series, text=percent, colours=[DRAWN[model][1] for model in drawn],
            alt=f"Share of orders credited to each of {len(shares)} channels by the rules {words}.",
        ),
        legend=tuple((DRAWN[model][1], DRAWN[model][0]) for model in drawn),
        note="Last: all to the last channel touched. Markov: by the orders that would be missing on the ways there are "
        "without the channel. Shapley: the same to each channel on the way.",
    )  # fmt: skip


# -- tables --------------------------------------------------------------------------------------------------------


def _channel_table(context: Context) -> Table | None:
    table = context.table("channels", "channel", "amount", "amount_share", "repeat_share", "visit_count")
    if table is None:
        return None
    visited, converts = table["visit_count"] > 0, table["converting_visit_count"].sum() > 0
    is_apart = visited.any() and (visited != (table["order_count"] > 0)).any()
    headings = (
        "Revenue", "Share", "Margin", "Customers", "Orders", "Average order", "Came back", "Visits", "Of them ordered",
    )  # fmt: skip
    rows = [
        (
            str(row["channel"]), context.money(row["amount"]), percent(row["amount_share"]),
            context.money(row["margin_amount"]), count(row["customer_count"]), count(row["order_count"]),
            context.money(row["amount_per_order"]), percent(row["repeat_share"]),
            count(row["visit_count"] or None), percent(row["conversion_share"] if converts else None),
        )
        for row in table.sort_values(["amount", "visit_count"], ascending=False, kind="stable").to_dict("records")
    ]  # fmt: skip
    return Table(
        caption="What each channel did",
        headings=(Heading("Channel"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note="Came back: its customers with a second order through whatever channel. "
        + ("Orders and visits do not name the same channels: one may have two rows. " if is_apart else "")
        + caution(table),
    )


def _won_table(context: Context) -> Table | None:
    won = context.table("channel_customers", "acquisition_channel", "horizon_amount", "horizon_days")
    if won is None:
        return None
    rows = [
        (
            str(row["acquisition_channel"]), count(row["observed_count"]), context.money(row["first_order_amount"]),
            percent(row["repeat_share"]), context.money(row["horizon_amount"]),
            between(context.money, row["horizon_amount_low"], row["horizon_amount_high"]),
            context.money(row["horizon_margin_amount"]), context.money(row["acquisition_cost_amount"]),
            signed(context.money, row["net_amount"]),
        )
        for row in won.to_dict("records")
    ]  # fmt: skip
    span = weeks(int(won["horizon_days"].iloc[0]))
    headings = (
        "Customers", "First order", "Came back", "Brought", "between", "Margin", "Cost to win", "Margin less cost",
    )  # fmt: skip
    return Table(
        caption=f"Customers by the channel that won them, each in the first {span}",
        headings=(Heading("Won by"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note=f"Only customers whose first {span} are over. {caution(won)}",
        folded=True,
    )


def _credit_table(context: Context) -> Table | None:
    shares, table = _credit_shares(context), context.table("credit", *CREDITED)
    if shares is None or table is None:
        return None
    markov, lookback = table[table["model"] == "markov"].set_index("channel"), table["lookback_days"].iloc[0]
    rows = []
    for channel, of in shares.iterrows():
        sure = []
        if len(markov):
            sure = [between(percent, *markov.loc[channel, ["credit_share_low", "credit_share_high"]])]
        rows.append((str(channel), *(percent(value) for value in of), *sure))
    headings = [_model(name).capitalize() for name in shares.columns] + (["Markov, between"] if len(markov) else [])
    return Table(
        caption="Credit for orders by channel and rule",
        headings=(Heading("Channel"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note=f"Every rule deals out all orders; channels touched in the {counted(lookback, 'day')} before count. "
        f"{caution(table[table['channel'] != NO_TOUCH])}",
        folded=True,
    )


def _touch_table(context: Context) -> Table | None:
    table = context.table("touchpoints", "channel", "phase", "reached_share", "lift", "lift_low", "around_days")
    if table is None:
        return None
    cells = table.set_index(["channel", "phase"])
    rows = [
        (str(channel), *(text for phase in PHASES for text in _touched(cells.loc[(channel, phase)])))
        for channel in dict.fromkeys(table["channel"])
    ]
    around = counted(table["around_days"].iloc[0], "day")
    phases = (f"{around} before", "Same day", f"{around} after")
    headings = [text for phase in phases for text in (phase, "times usual")]
    return Table(
        caption="What is touched around an order",
        headings=(Heading("Channel"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note=f"Share of the {counted(table['order_count'].iloc[0], 'order')} of which the time before and after is "
        "known, with a touch in that time; and how many times as often the same customers are touched then as on other "
        f"days, where that is known to a factor of {FACTOR}. {caution(table)}",
        folded=True,
    )  # fmt: skip


def _touched(row: pd.Series[float]) -> tuple[str, str]:
    is_known = not is_missing(row["lift_low"]) and row["lift_high"] <= FACTOR * row["lift_low"]
    return percent(row["reached_share"]), compact(row["lift"] if is_known else None)


def _preferred_table(context: Context) -> Table | None:
    table = context.table("preferred_channels", "preferred_channel", "customer_count", "clear_count")
    if table is None or len(table) < 2:
        return None
    rows = [
        (str(row["preferred_channel"]), count(row["customer_count"]), count(row["clear_count"]))
        for row in table.to_dict("records")
    ]
    return Table(
        caption="The channel that customers order through most",
        headings=(Heading("Channel"), Heading("Customers", is_number=True), Heading("Clearly so", is_number=True)),
        rows=tuple(rows),
        note="Clearly: by more than chance, which takes six orders through one channel and none through another.",
        folded=True,
    )


def _move_table(context: Context) -> Table | None:
    moves = context.table("channel_moves", "from_channel", "to_channel", "customer_count", "from_share", "step_days")
    if moves is None or moves.empty:
        return None
    ends = list(dict.fromkeys(sorted(moves["to_channel"], key=lambda name: (name.startswith("("), name))))
    starts = list(dict.fromkeys(sorted(moves["from_channel"], key=lambda name: (name.startswith("("), name))))
    rows = [_move_row(name, moves[moves["from_channel"] == name], ends) for name in starts]
    span = weeks(int(moves["step_days"].iloc[0]))
    headings = ("Customers", *(WORDS.get(name, name) for name in ends))
    return Table(
        caption=f"Main channel in the last {span} by that of the {span} before, in per cent of the row",
        headings=(Heading("Before"), *(Heading(text, is_number=True) for text in headings)),
        rows=tuple(rows),
        note=f"Who uses two channels alike changes the main one by chance. {caution(moves)}",
        folded=True,
    )


def _move_row(name: str, rows: pd.DataFrame, ends: list[str]) -> tuple[str | Cell, ...]:
    shares = dict(zip(rows["to_channel"], rows["from_share"].astype(float), strict=True))
    return WORDS.get(name, name), count(rows["customer_count"].sum()), *(Cell.of(shares.get(end, 0.0)) for end in ends)


# -- inside --------------------------------------------------------------------------------------------------------


def _sold(context: Context) -> pd.DataFrame | None:
    """Return the channels that orders came through, the largest first."""
    table = context.table("channels", "channel", "amount", "amount_share", "customer_count", "order_count")
    sold = None if table is None else table[table["order_count"] > 0]
    return None if sold is None or sold.empty else sold.sort_values("amount", ascending=False, kind="stable")


def _credit_shares(context: Context) -> pd.DataFrame | None:
    """Return the share of the orders credited to each channel, the most by Markov's rule first; a column a model."""
    table = context.table("credit", *CREDITED)
    if table is None:
        return None
    models, channels = (list(dict.fromkeys(table[name])) for name in ("model", "channel"))
    shares = table.set_index(["channel", "model"])["credit_share"].astype(float).unstack().loc[channels, models]  # noqa: PD010
    by = "markov" if "markov" in models else models[0]
    order = shares.assign(_last=shares.index == NO_TOUCH, _less=-shares[by]).sort_values(["_last", "_less"])
    return shares.loc[order.index]


def _model(name: str) -> str:
    return {"first": "first touch", "last": "last touch", "linear": "equal parts", "markov": "Markov chains",
            "shapley": "Shapley values"}.get(name, name)  # fmt: skip


build = Outline(
    key="channels",
    title="The channels",
    question="What does each channel bring, whom does it win, and what lies on the way to an order?",
    findings=(_largest_finding, _won_finding, _several_finding, _move_finding, _credit_finding),
    figures=(_revenue_figure, _credit_figure),
    tables=(_channel_table, _won_table, _credit_table, _touch_table, _preferred_table, _move_table),
).build
