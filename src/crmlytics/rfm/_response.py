"""The RFM test: how the cells of the grid answered a past mailing, and which are worth mailing again."""

from __future__ import annotations

import math
import numbers
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
from scipy import stats

from crmlytics._frames import Implementation, check_same_kind, collect, columns_of, enter
from crmlytics._validation import check_amount, check_choice, check_fraction
from crmlytics.exceptions import SchemaError
from crmlytics.rfm._entering import check_same_id, enter_scores
from crmlytics.tables import Contacts

NO_SCORE = "(no score)"
CELLS = ("rfm_score", "segment")
FLAGS = (bool, np.bool_, numbers.Real)


def rfm_response_table(
    scores: Any,
    responses: Contacts | Any,
    *,
    contact_cost: float,
    margin_per_response: float,
    by: str = "rfm_score",
    confidence: float = 0.95,
) -> Any:
    """Compare the response of each cell to a past mailing with the response at which mailing pays.

    Parameters
    ----------
    scores : dataframe, one row per customer
        Needs ``customer_id`` and the column named in ``by``, as they were **before** the mailing.
    responses : Contacts or dataframe of the same kind, one row per contact
        Needs ``customer_id`` and ``responded``: true or false, or 1 or 0; an empty one means no response.
    contact_cost : float, >= 0
        What one contact costs, in the currency of the margin.
    margin_per_response : float, > 0
        What one response brings, before the cost of the contact.
    by : {"rfm_score", "segment"}
        What a cell is. With 125 scores and few contacts, segments are steadier.
    confidence : float
        Of the interval of the response rate.

    Returns
    -------
    dataframe of the kind that came in, one row per cell that was contacted, best response first, ties by cell
        the column ``by`` (String, "(no score)" for contacts without a score); ``contact_count``, ``response_count``
        (Int64); ``response_rate``, ``response_rate_low``, ``response_rate_high`` (Float64, Wilson interval);
        ``break_even_rate`` (Float64, contact cost / margin per response); ``is_worth_mailing`` (Boolean, the rate
        reaches the break-even); ``is_uncertain`` (Boolean, the interval contains the break-even: too few contacts to
        tell); ``profit_amount`` (Float64, responses x margin - contacts x cost); and down the list the gains:
        ``cumulative_contact_share`` (Float64, also the share of responses that random order would reach),
        ``cumulative_response_share`` (Float64, null where nobody responded), ``cumulative_profit_amount`` (Float64).

    Notes
    -----
    The cells are ordered by the very responses they are judged on, so the gains flatter: cells that were lucky come
    first. Decide on cells that are not uncertain, and prove the order on the next mailing. Response is not effect:
    the best customers might have bought without the mailing, which only a control group can tell.

    The interval is Wilson's (1927): (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n).

    References
    ----------
    Hughes A. M. (1994). Strategic Database Marketing. Probus. Wilson E. B. (1927). Probable inference, the law of
    succession, and statistical inference. JASA 22, 209-212.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame({"customer_id": [1, 2, 3, 4], "rfm_score": ["555", "555", "111", "111"]})
    >>> mailing = pd.DataFrame({"customer_id": [1, 2, 3, 4], "responded": [True, False, False, False]})
    >>> table = rfm_response_table(scores, mailing, contact_cost=1.0, margin_per_response=4.0)
    >>> table[["rfm_score", "response_rate", "is_worth_mailing", "is_uncertain", "profit_amount"]]
      rfm_score  response_rate  is_worth_mailing  is_uncertain  profit_amount
    0       555            0.5              True          True            2.0
    1       111            0.0             False          True           -2.0
    """
    caller = "rfm_response_table"
    cost = check_amount(contact_cost, name="contact_cost", caller=caller)
    margin = check_amount(margin_per_response, name="margin_per_response", caller=caller, positive=True)
    z = float(stats.norm.ppf((1 + check_fraction(confidence, name="confidence", caller=caller)) / 2))
    check_choice(by, CELLS, name="by", caller=caller)
    plan, engine = _answered(scores, responses, by, caller)
    cells = (
        plan.group_by(by)
        .agg(contact_count=nw.len(), response_count=nw.col("responded").sum())
        .with_columns(nw.col("contact_count", "response_count").cast(nw.Int64))
        .with_columns(response_rate=nw.col("response_count") / nw.col("contact_count"))
    )
    judged = _with_gains(_with_verdict(cells, cost, margin, z), by)
    columns = [by, "contact_count", "response_count", "response_rate", "response_rate_low", "response_rate_high"]
    columns += ["break_even_rate", "is_worth_mailing", "is_uncertain", "profit_amount", "cumulative_contact_share"]
    columns += ["cumulative_response_share", "cumulative_profit_amount"]
    return engine.to_native(judged.sort("order", by).select(columns))


def _answered(scores: Any, responses: Any, by: str, caller: str) -> tuple[nw.LazyFrame[Any], Any]:
    """One row per contact: the cell of the customer, and whether there was a response."""
    known, engine = enter_scores(scores, words=[by], caller=caller)
    contacts = responses if isinstance(responses, Contacts) else Contacts.bind(_with_flags(responses, caller))
    names = ("scores", "responses")
    check_same_kind(dict(zip(names, (engine, contacts.engine), strict=True)), caller=caller)
    plan = contacts.need("customer_id", "responded", caller=caller)
    check_same_id(known, plan, names=names, caller=caller)
    plan = plan.with_columns(nw.col("responded").fill_null(value=False).cast(nw.Int64))
    return plan.join(known, on="customer_id", how="left").with_columns(nw.col(by).fill_null(NO_SCORE)), engine


def _with_flags(responses: Any, caller: str) -> Any:
    """Read ``responded`` as true or false where gaps made floats or objects of it; values in memory are checked."""
    frame, engine = enter(responses, caller=caller)
    if "responded" not in columns_of(frame):
        return responses  # the contract says what to type
    if engine.implementation is Implementation.PANDAS and responses["responded"].dtype == object:
        _refuse_others(responses["responded"].dropna().tolist(), caller)
        flags = responses["responded"].map(bool, na_action="ignore")
        return responses.assign(responded=flags.astype("boolean"))
    dtype, flag = frame.collect_schema()["responded"], nw.col("responded")
    if not dtype.is_numeric():
        return responses
    if not engine.is_lazy:
        found = collect(frame.select(flag.cast(nw.Float64)))["responded"].drop_nulls().unique()
        _refuse_others([value for value in found.to_list() if not math.isnan(value)], caller)
    if dtype.is_float():
        return engine.to_native(frame.with_columns(responded=(flag != 0) & flag.is_finite()))
    return responses


def _refuse_others(values: list[Any], caller: str) -> None:
    other = next((value for value in values if not (isinstance(value, FLAGS) and value in (0, 1))), None)
    if other is not None:
        msg = f"{caller}: responded of responses holds {other!r}, expected true or false, 1 or 0, or nothing."
        raise SchemaError(msg)


def _with_verdict(cells: nw.LazyFrame[Any], cost: float, margin: float, z: float) -> nw.LazyFrame[Any]:
    n, p = nw.col("contact_count"), nw.col("response_rate")
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    reach = z * (p * (1 - p) / n + z * z / (4 * n * n)).sqrt() / (1 + z * z / n)
    profit = nw.col("response_count") * margin - n * cost
    break_even = cost / margin
    return cells.with_columns(
        response_rate_low=nw.when(p == 0).then(nw.lit(0.0)).otherwise(middle - reach),
        response_rate_high=nw.when(p == 1).then(nw.lit(1.0)).otherwise(middle + reach),
        break_even_rate=nw.lit(break_even),
        profit_amount=profit.cast(nw.Float64),
        is_worth_mailing=profit >= 0,
    ).with_columns(
        is_uncertain=(nw.col("response_rate_low") <= break_even) & (nw.col("response_rate_high") >= break_even)
    )


def _with_gains(cells: nw.LazyFrame[Any], by: str) -> nw.LazyFrame[Any]:
    """Add what the cells so far add up to, best response first."""
    contacts, responses, profit = (nw.col(c) for c in ("contact_count", "response_count", "profit_amount"))
    cells = cells.with_columns(order=-nw.col("response_rate"))

    def so_far(column: nw.Expr) -> nw.Expr:
        return column.cum_sum().over(order_by=["order", by]).cast(nw.Float64)

    cells = cells.with_columns(
        contacts_so_far=so_far(contacts),
        responses_so_far=so_far(responses),
        cumulative_profit_amount=so_far(profit),
        all_contacts=contacts.sum(),
        all_responses=responses.sum(),
    )
    share = nw.col("responses_so_far") / nw.col("all_responses")
    return cells.with_columns(
        cumulative_contact_share=nw.col("contacts_so_far") / nw.col("all_contacts"),
        cumulative_response_share=nw.when(nw.col("all_responses") > 0).then(share),
    )
