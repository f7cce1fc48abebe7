"""What to do: suggestions that follow from the numbers, the most money first where money can be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crmlytics.report._section import Section, Step
from crmlytics.report._slipping import GONE_BELOW, LONGEST_LIST, expected_amount
from crmlytics.report._summary import TOP, top_share
from crmlytics.report._words import count, counted, is_missing, percent, sentence, verb

if TYPE_CHECKING:
    from collections.abc import Callable

    from crmlytics.report._context import Context

UNKNOWN_FROM = 0.03  # share of lines without a customer that is worth an action


def build(context: Context) -> Section | None:
    """Write the suggestions that apply."""
    steps = tuple(step for suggest in SUGGESTIONS if (step := suggest(context)) is not None)
    if not steps:
        return None
    return Section(key="actions", title="What to do", question="What should we do about it?", steps=steps)


def _win_back(context: Context) -> Step | None:
    watched = context.table("watch")
    if watched is None:
        return None
    alive = watched[watched["purchase_probability"].astype(float) >= GONE_BELOW]
    if alive.empty:
        return None
    first, stake = alive.head(LONGEST_LIST), alive["at_stake_amount"].sum()
    slipping = f"{verb(len(alive), 'is', 'are')} slipping and can still be won back"
    if len(first) == len(alive):
        reason = sentence(
            f"{{}} {slipping}; {{}} is at stake.", counted(len(alive), "good customer"), context.money(stake)
        )
    else:
        share = first["at_stake_amount"].sum() / stake
        reason = sentence(
            f"{{}} {slipping}; the first {{}} hold {{}} of the {{}} at stake.",
            counted(len(alive), "good customer"), count(len(first)), percent(share), context.money(stake),
        )  # fmt: skip
    whom = "customer" if len(first) == 1 else f"first {count(len(first))} customers"
    return Step(f"Talk to the {whom} of the watch list.", reason)


def _look_after_the_best(context: Context) -> Step | None:
    scores = context.table("scores", "total_amount")
    share = top_share(context, TOP)
    if share is None or scores is None:
        return None
    best = -(-len(scores) * TOP // 1)
    these, make = verb(best, "This", "These"), verb(best, "makes", "make")
    return Step(
        f"Look after the best {percent(TOP)} by name.",
        sentence(
            f"{these} {{}} {make} {{}} of all revenue: give them a person to call, early offers and no mass mailings.",
            counted(best, "customer"), percent(share),
        ),
    )  # fmt: skip


def _second_order(context: Context) -> Step | None:
    scores = context.table("scores", "order_count", "tenure_days")
    if scores is None:
        return None
    once = scores["order_count"] == 1
    young = once & (scores["tenure_days"] <= context.horizon_days)
    if not young.any():
        return None
    first = f"{{}} placed {verb(young.sum(), 'the', 'their')} first and only order in the last {{}}."
    figures = [counted(young.sum(), "customer"), context.horizon]
    older = scores[(scores["tenure_days"] > context.horizon_days) & (scores["order_count"] > 0)]
    if len(older):
        first += " Of those who joined earlier, {} never came back."
        figures.append(percent((older["order_count"] == 1).mean()))
    return Step("Lead new customers to a second order.", sentence(first, *figures))


def _spend_where_it_pays(context: Context) -> Step | None:
    scores = context.table("scores", "purchase_probability", "average_order_amount")
    if scores is None:
        return None
    expected = expected_amount(scores).fillna(0.0).sort_values(ascending=False)
    if not expected.sum() > 0:
        return None
    best = int(-(-len(expected) * TOP // 1))
    share = expected.iloc[:best].sum() / expected.sum()
    return Step(
        "Choose whom to contact by the score, not by the whole list.",
        sentence(
            f"The {{}} with the highest expected revenue ({{}} of all) {verb(best, 'stands', 'stand')} for {{}} of the "
            "{} expected in the next {}.",
            counted(best, "customer"), percent(best / len(expected)), percent(share),
            context.money(expected.sum()), context.horizon,
        ),
    )  # fmt: skip


def _know_the_unknown(context: Context) -> Step | None:
    audit = context.table("audit")
    if audit is None:
        return None
    unknown = audit[audit["reason"] == "no customer"]
    received = audit["lines"].iloc[0]
    if unknown.empty or not unknown["lines"].iloc[0] / received >= UNKNOWN_FROM:
        return None
    worth = unknown["amount"].iloc[0]
    figures = [counted(unknown["lines"].iloc[0], "order line"), percent(unknown["lines"].iloc[0] / received)]
    money = ", worth {}," if not is_missing(worth) and worth else ""
    return Step(
        "Find out who the unknown buyers are.",
        sentence(
            f"{{}} ({{}} of all){money} {verb(unknown['lines'].iloc[0], 'has', 'have')} no customer, so nothing here "
            "counts them: ask for a card, an account "
            "or an e-mail address at the till.",
            *figures, *([context.money(worth)] if money else []),
        ),
    )  # fmt: skip


SUGGESTIONS: tuple[Callable[[Context], Step | None], ...] = (
    _win_back,
    _look_after_the_best,
    _second_order,
    _spend_where_it_pays,
    _know_the_unknown,
)
