"""The contracts: what each kind of table holds. Columns are named once, here, and nowhere else.

Every role is a keyword that takes the name of your column. A role left out is found when the frame has a column of
the canonical name; ``role=None`` leaves such a column unused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, ClassVar

import narwhals.stable.v2 as nw

from crmlytics._binding import Kind, is_no_id, own_name
from crmlytics._contract import Contract, Reason, Step, role
from crmlytics._frames import collect
from crmlytics._validation import check_choice, warn
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Contacts", "Customers", "Events", "Leads", "Products", "Subscriptions", "Tickets", "Transactions"]

MANY_IDS = 10  # of which at least one is expected in another table
NO_CUSTOMER, NO_DATE = "no customer", "no date"
COMPARED_ONLY = "_column_"  # what a column is called that has no role and is not kept, but tells duplicates apart


@dataclass(frozen=True, eq=False, repr=False)
class _Logged(Contract):
    """A contract of a log, whose lines may be exported twice."""

    duplicates: str = field(default="keep", kw_only=True)

    def __post_init__(self) -> None:
        """Check the option, then the frame."""
        check_choice(self.duplicates, ["keep", "set_aside"], name="duplicates", caller=self._caller)
        super().__post_init__()

    @property
    def columns(self) -> list[str]:
        """The canonical names of the roles that have a column, and the names of the attributes."""
        return [name for name in super().columns if not name.startswith(COMPARED_ONLY)]

    def _attribute_name(self, number: int, column: str) -> str | None:  # noqa: ARG002
        """Lines equal in the roles alone may still differ: exact duplicates are equal in every column."""
        return f"{COMPARED_ONLY}{number}" if self.duplicates == "set_aside" else None

    def _steps(self) -> list[Step]:
        return [Step("exact duplicate", lambda frame: frame.unique())] if self.duplicates == "set_aside" else []


@dataclass(frozen=True, eq=False, repr=False)
class Transactions(_Logged):
    """Order lines: who bought what, when, for how much. One row an order line, or one an order.

    Parameters
    ----------
    data : dataframe
        pandas, Polars (eager or lazy), PyArrow, DuckDB relation or PySpark.
    customer_id, order_id, product_id, partner_id : str, optional
        Columns of ids: whole numbers or text.
    timestamp : str, optional
        Column of the moment of purchase: dates, datetimes, or text with ``timestamp_format``.
    quantity : str, optional
        Column of the number of units; negative for returns.
    unit_price : str, optional
        Column of the price of one unit, in the currency of ``amount``.
    amount : str, optional
        Column of the money of the line; ``quantity`` x ``unit_price`` if not given. One currency; with or without tax
        and discount as you decide, the same for every line. Returns are negative.
    list_price, discount_amount, cost : str, optional
        Columns of the price before discounts of one unit, the discount of the line and the cost of the line.
    category, channel, currency : str, optional
        Columns of words. More than one currency is refused.
    returns : {"keep", "match", "set_aside"}
        What happens to returns (lines of negative quantity, or negative amount where no quantity is given).
        ``"keep"``: they stay as negative lines. ``"match"``: a return is set aside together with its original, the
        latest line before it of the same customer, product, unit price (or amount, where no price is given) and
        number of units that no other return has taken (one to one; a return of a part, or of something bought earlier
        than the data begin, stays).
        ``"set_aside"``: all returns go.
    duplicates : {"keep", "set_aside"}
        ``"set_aside"``: of lines equal in every column of the frame, one stays.
    time_zone, timestamp_format : str, optional
        Needed for moments with a time zone, and for moments that are text.

    Notes
    -----
    A bad line is set aside under one reason, the first of: no customer, no order, no date, not finite (amount missing
    or not a number, or another number infinite), negative price, zero price, return (if asked), outside the period
    (after ``before`` or ``between``), exact duplicate (if asked), cancelled with its original (if asked). Within a
    period only its own lines are looked at: a return after the end does not reach back.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "Client": ["a", "a", None], "Invoice": [1, 2, 3],
    ...     "Day": pd.to_datetime(["2024-01-01", "2024-02-01", "2024-02-02"]), "Total": [10.0, 5.0, 7.0],
    ... })
    >>> import warnings
    >>> with warnings.catch_warnings(action="ignore"):
    ...     tx = Transactions(orders, customer_id="Client", order_id="Invoice", timestamp="Day", amount="Total")
    >>> tx.audit
            reason    outcome  lines  amount
    0     received   received      3    22.0
    1         kept       kept      2    15.0
    2  no customer  set aside      1     7.0
    3     no order  set aside      0     0.0
    4      no date  set aside      0     0.0
    5   not finite  set aside      0     0.0
    """

    moment_role: ClassVar[str | None] = "timestamp"
    amount_role: ClassVar[str | None] = "amount"

    customer_id: str | None = role("customer_id", Kind.ID, missing=NO_CUSTOMER)
    order_id: str | None = role("order_id", Kind.ID, missing="no order")
    timestamp: str | None = role("timestamp", Kind.MOMENT, missing=NO_DATE)
    product_id: str | None = role("product_id", Kind.ID)
    category: str | None = role("category", Kind.ID)
    quantity: str | None = role("quantity", Kind.NUMBER)
    unit_price: str | None = role("unit_price", Kind.NUMBER)
    amount: str | None = role("amount", Kind.NUMBER)
    list_price: str | None = role("list_price", Kind.NUMBER)
    discount_amount: str | None = role("discount_amount", Kind.NUMBER)
    cost: str | None = role("cost", Kind.NUMBER)
    currency: str | None = role("currency", Kind.ID)
    channel: str | None = role("channel", Kind.ID)
    partner_id: str | None = role("partner_id", Kind.ID)
    returns: str = field(default="keep", kw_only=True)

    def __post_init__(self) -> None:
        """Check the options, then the frame."""
        check_choice(self.returns, ["keep", "match", "set_aside"], name="returns", caller=self._caller)
        super().__post_init__()
        needed = {
            "keep": [],
            "match": ["customer_id", "product_id", "timestamp", "quantity"],
            "set_aside": ["quantity" if self.has("quantity") else "amount"],
        }[self.returns]
        if needed:
            self.need(*needed, caller=f"Transactions(returns={self.returns!r})")

    def _derived(self, plan: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        names = plan.collect_schema().names()
        if "amount" in names or not {"quantity", "unit_price"} <= set(names):
            return plan
        return plan.with_columns(amount=nw.col("quantity") * nw.col("unit_price"))

    def _reasons(self) -> list[Reason]:
        finite = {name: nw.col(name).is_finite().fill_null(value=False) for name in [*self._numbers(), "amount"]}
        bad = [~finite[name] & ~nw.col(name).is_null() for name in self._numbers()]  # an unknown cost is no fault
        bad += [~finite["amount"]] if self.has("amount") else []
        reasons = super()._reasons()
        reasons += [Reason("not finite", reduce(or_, bad), "amount")] if bad else []
        if self.has("unit_price"):
            reasons += [
                Reason("negative price", (nw.col("unit_price") < 0).fill_null(value=False), "unit_price"),
                Reason("zero price", (nw.col("unit_price") == 0).fill_null(value=False), "unit_price"),
            ]
        if self.returns == "set_aside":
            returned = "quantity" if self.has("quantity") else "amount"
            reasons.append(Reason("return", (nw.col(returned) < 0).fill_null(value=False), returned))
        return reasons

    def _signals(self) -> dict[str, nw.Expr]:
        if not self.has("amount"):
            return {}
        given = [
            name for name in ("amount", "quantity") if self.has(name)
        ]  # some systems keep returned amounts positive
        return {"return": reduce(or_, [(nw.col(name) < 0).fill_null(value=False) for name in given])}

    @property
    def may_hold_returns(self) -> bool:
        """Whether a line may be a return: False only if the lines were counted and none is negative."""
        return not self.has("amount") or self._may_hold("return")

    def _steps(self) -> list[Step]:
        steps = super()._steps()
        if self.returns == "match":
            key = ["customer_id", "product_id", *(["unit_price"] if self.has("unit_price") else [])]
            order = [name for name in ("timestamp", "_is_return", "order_id") if name == "_is_return" or self.has(name)]
            steps.append(Step("cancelled with its original", lambda frame: _without_cancelled(frame, key, order)))
        return steps

    def _numbers(self) -> list[str]:
        return [name for name, kind in self._kinds().items() if kind is Kind.NUMBER and name in self.sources]

    def _validate_values(self) -> None:
        if not self.has("currency"):
            return
        found = collect(self._binding.plan.select("currency").drop_nulls().unique().sort("currency").head(5))
        currencies = found["currency"].to_list()
        if len(currencies) > 1:
            msg = (
                f"Transactions(currency={self.sources['currency']!r}): amounts must be in one currency, got "
                f"{currencies}. Convert the amounts, or make one contract for each currency."
            )
            raise SchemaError(msg)


def _without_cancelled(frame: nw.LazyFrame[Any], key: list[str], order: list[str]) -> nw.LazyFrame[Any]:
    """Drop each return together with the latest earlier original that it undoes, as brackets are matched.

    Within a key and a number of units, +1 opens an original and -1 closes the latest open one. An original is closed
    when fewer are open at some later line than just after it; a return closes one when any is open just before it.
    """
    columns = frame.collect_schema().names()
    complete = reduce(lambda test, name: test & ~nw.col(name).is_null(), key, nw.col("quantity") != 0)
    complete = complete.fill_null(value=False)
    size = [*key, "_size", "_money"]
    money = nw.col("amount").abs() if "amount" in columns and "unit_price" not in key else nw.lit(0.0)
    paired = (
        frame.filter(complete)
        .with_columns(_size=nw.col("quantity").abs(), _money=money)
        .with_columns(_is_return=(nw.col("quantity") < 0).cast(nw.Int64))
        .with_columns(_step=1 - 2 * nw.col("_is_return"), _one=nw.lit(1))
        .with_columns(_line=nw.col("_one").cum_sum().over(*size, order_by=order))  # ties, numbered once for all
        .with_columns(_before=nw.col("_step").cum_sum().over(*size, order_by="_line") - nw.col("_step"))
        .with_columns(_open_before=nw.col("_before") - nw.col("_before").cum_min().over(*size, order_by="_line"))
        .with_columns(
            _open=nw.when(nw.col("_is_return") == 0)
            .then(nw.col("_open_before") + 1)
            .when(nw.col("_open_before") > 0)
            .then(nw.col("_open_before") - 1)
            .otherwise(nw.lit(0))
        )
        .with_columns(_backwards=-nw.col("_line"))
        .with_columns(_fewest_later=nw.col("_open").cum_min().over(*size, order_by="_backwards"))
    )
    stays_open = (nw.col("_is_return") == 0) & (nw.col("_fewest_later") >= nw.col("_open"))
    closes_none = (nw.col("_is_return") == 1) & (nw.col("_open_before") == 0)
    return nw.concat([paired.filter(stays_open | closes_none).select(columns), frame.filter(~complete)])


@dataclass(frozen=True, eq=False, repr=False)
class _Keyed(Contract):
    """A contract with one row a key: repeated keys are refused, since every join would multiply lines."""

    key_role: ClassVar[str]

    def _validate_values(self) -> None:
        if not self.has(self.key_role) or self._is_dated():
            return
        plan = self._binding.plan.filter(~nw.col(self.key_role).is_null())
        counted = plan.group_by(self.key_role).agg(rows=nw.len()).filter(nw.col("rows") > 1)
        repeated = collect(counted.sort(self.key_role).head(5))[self.key_role].to_list()
        if repeated:
            msg = (
                f"{self._caller}({self.key_role}={self.sources[self.key_role]!r}): expected one row each, but "
                f"{repeated} appear more than once. Keep one row of each."
            )
            raise SchemaError(msg)

    def _is_dated(self) -> bool:
        return False


@dataclass(frozen=True, eq=False, repr=False)
class Products(_Keyed):
    """What is sold: one row a product.

    Parameters
    ----------
    data : dataframe
    product_id, category, department, tier : str, optional
        Columns of ids or words; ``tier`` orders the products of a category from basic to premium.
    price, cost : str, optional
        Columns of the list price and the cost of one unit.
    """

    key_role: ClassVar[str] = "product_id"

    product_id: str | None = role("product_id", Kind.ID, missing="no product")
    category: str | None = role("category", Kind.ID)
    department: str | None = role("department", Kind.ID)
    tier: str | None = role("tier", Kind.ID)
    price: str | None = role("price", Kind.NUMBER)
    cost: str | None = role("cost", Kind.NUMBER)


@dataclass(frozen=True, eq=False, repr=False)
class Customers(_Keyed):
    """Who the customers are: one row a customer, or one a customer and period of validity. Other columns are kept.

    Parameters
    ----------
    data : dataframe
    customer_id, account_id, acquisition_channel : str, optional
        Columns of ids or words; ``account_id`` is the household or company that customers belong to.
    valid_from, valid_to : str, optional
        Columns of the moments between which the attributes of a row hold (``valid_to`` exclusive, null = still).
    acquisition_cost : str, optional
        Column of what winning the customer cost.
    consent : str, optional
        Column of whether the customer may be contacted.
    """

    key_role: ClassVar[str] = "customer_id"

    customer_id: str | None = role("customer_id", Kind.ID, missing=NO_CUSTOMER)
    valid_from: str | None = role("valid_from", Kind.MOMENT)
    valid_to: str | None = role("valid_to", Kind.MOMENT)
    account_id: str | None = role("account_id", Kind.ID)
    acquisition_channel: str | None = role("acquisition_channel", Kind.ID)
    acquisition_cost: str | None = role("acquisition_cost", Kind.NUMBER)
    consent: str | None = role("consent", Kind.FLAG)

    def _attribute_name(self, _: int, column: str) -> str | None:
        return own_name(column, self._kinds())

    def _is_dated(self) -> bool:
        return self.has("valid_from")

    def _reasons(self) -> list[Reason]:
        return super()._reasons() + _ends_before_start(self, "valid_from", "valid_to")


@dataclass(frozen=True, eq=False, repr=False)
class Subscriptions(Contract):
    """Contracts with customers: one row a subscription.

    Parameters
    ----------
    data : dataframe
    customer_id, plan : str, optional
        Columns of the customer's id and the name of the plan.
    started_at, ended_at : str, optional
        Columns of the moments of start and end; no end means that it runs.
    price : str, optional
        Column of the price of one billing period.
    """

    moment_role: ClassVar[str | None] = "started_at"
    amount_role: ClassVar[str | None] = "price"

    customer_id: str | None = role("customer_id", Kind.ID, missing=NO_CUSTOMER)
    started_at: str | None = role("started_at", Kind.MOMENT, missing=NO_DATE)
    ended_at: str | None = role("ended_at", Kind.MOMENT)
    plan: str | None = role("plan", Kind.ID)
    price: str | None = role("price", Kind.NUMBER)

    def _reasons(self) -> list[Reason]:
        return super()._reasons() + _ends_before_start(self, "started_at", "ended_at")


@dataclass(frozen=True, eq=False, repr=False)
class Events(_Logged):
    """What customers did: one row a click, visit, touchpoint or other event.

    Parameters
    ----------
    data : dataframe
    customer_id, event, page, session_id, channel : str, optional
        Columns of ids or words.
    timestamp : str, optional
        Column of the moment of the event.
    amount, cost : str, optional
        Columns of the money an event brought and what it cost.
    duplicates : {"keep", "set_aside"}
        ``"set_aside"``: of events equal in every column of the frame, one stays: logs are often delivered twice.
    time_zone : str, optional
        Needed for moments with a time zone. Where a clock is changed local time jumps: for sessions and ways take
        ``"UTC"``, for days and hours the zone of the business.

    Other columns stay, under their own names, as attributes of the event.
    """

    moment_role: ClassVar[str | None] = "timestamp"
    amount_role: ClassVar[str | None] = "amount"

    customer_id: str | None = role("customer_id", Kind.ID, missing=NO_CUSTOMER)
    timestamp: str | None = role("timestamp", Kind.MOMENT, missing=NO_DATE)
    event: str | None = role("event", Kind.ID, missing="no event")
    page: str | None = role("page", Kind.ID)
    session_id: str | None = role("session_id", Kind.ID)
    channel: str | None = role("channel", Kind.ID)
    amount: str | None = role("amount", Kind.NUMBER)
    cost: str | None = role("cost", Kind.NUMBER)

    def _attribute_name(self, number: int, column: str) -> str | None:
        return own_name(column, self._kinds()) or super()._attribute_name(number, column)

    def _signals(self) -> dict[str, nw.Expr]:
        if not self.has("customer_id", "session_id"):
            return {}
        lacks = {name: is_no_id(name, self._schema[name]) for name in ("customer_id", "session_id")}
        return {"session alone": lacks["customer_id"] & ~lacks["session_id"]}

    def _set_aside_in_words(self) -> str:
        words, alone = super()._set_aside_in_words(), self._counts.get("signal session alone", 0)
        if not alone:
            return words
        return (
            f"{words} Of those without a customer {alone:,} have a session_id: to read whole sessions, bind "
            "customer_id=None: Events(data, customer_id=None)."
        )


@dataclass(frozen=True, eq=False, repr=False)
class Contacts(Contract):
    """Whom campaigns contacted or held out: one row a customer and campaign contact.

    Parameters
    ----------
    data : dataframe
    customer_id, campaign_id, channel : str, optional
        Columns of ids or words.
    timestamp : str, optional
        Column of the moment of the contact (for the control group: of the assignment).
    arm : str, optional
        Column of the arm assigned, the control group among them.
    responded, consent : str, optional
        Columns of true or false.
    amount, cost : str, optional
        Columns of the money a contact brought and what it cost.
    """

    moment_role: ClassVar[str | None] = "timestamp"
    amount_role: ClassVar[str | None] = "amount"

    customer_id: str | None = role("customer_id", Kind.ID, missing=NO_CUSTOMER)
    campaign_id: str | None = role("campaign_id", Kind.ID, missing="no campaign")
    timestamp: str | None = role("timestamp", Kind.MOMENT, missing=NO_DATE)
    channel: str | None = role("channel", Kind.ID)
    arm: str | None = role("arm", Kind.ID)
    responded: str | None = role("responded", Kind.FLAG)
    amount: str | None = role("amount", Kind.NUMBER)
    cost: str | None = role("cost", Kind.NUMBER)
    consent: str | None = role("consent", Kind.FLAG)


@dataclass(frozen=True, eq=False, repr=False)
class Tickets(_Keyed):
    """What customers asked support: one row a ticket.

    Parameters
    ----------
    data : dataframe
    ticket_id, customer_id, category, priority, channel : str, optional
        Columns of ids or words.
    opened_at, first_reply_at, closed_at, reopened_at : str, optional
        Columns of moments; an open ticket has no ``closed_at``, one that was closed twice has that of the last time.
        A ticket with a moment before its ``opened_at`` is set aside.
    satisfaction : str, optional
        Column of the customer's mark for the answer.
    time_zone : str, optional
        Needed for moments with a time zone. Waits are counted by the clock, and where it is changed local time jumps:
        take ``"UTC"``; for days and hours of the week the zone of the business.

    Where ``customer_id`` is named a ticket without one is set aside; ``customer_id=None`` keeps it, with all others, as
    a ticket of nobody.
    """

    key_role: ClassVar[str] = "ticket_id"
    moment_role: ClassVar[str | None] = "opened_at"

    ticket_id: str | None = role("ticket_id", Kind.ID, missing="no ticket")
    customer_id: str | None = role("customer_id", Kind.ID, missing=NO_CUSTOMER)
    opened_at: str | None = role("opened_at", Kind.MOMENT, missing=NO_DATE)
    first_reply_at: str | None = role("first_reply_at", Kind.MOMENT)
    closed_at: str | None = role("closed_at", Kind.MOMENT)
    reopened_at: str | None = role("reopened_at", Kind.MOMENT)
    category: str | None = role("category", Kind.ID)
    priority: str | None = role("priority", Kind.ID)
    channel: str | None = role("channel", Kind.ID)
    satisfaction: str | None = role("satisfaction", Kind.NUMBER)

    def _reasons(self) -> list[Reason]:
        later = ("closed_at", "first_reply_at", "reopened_at")
        return sum((_ends_before_start(self, "opened_at", moment) for moment in later), super()._reasons())


@dataclass(frozen=True, eq=False, repr=False)
class Leads(_Keyed):
    """Who might become a customer: one row a lead. Other columns are kept; the history of stages comes as Events.

    Parameters
    ----------
    data : dataframe
    lead_id, source, stage, owner : str, optional
        Columns of ids or words.
    created_at, converted_at : str, optional
        Columns of the moments at which the lead came in and became a customer. A ``converted_at`` that is only a date
        (midnight) may be that of the day on which the lead came in: it then took no time.
    converted : str, optional
        Column of whether the lead became a customer.
    """

    key_role: ClassVar[str] = "lead_id"
    moment_role: ClassVar[str | None] = "created_at"

    lead_id: str | None = role("lead_id", Kind.ID, missing="no lead")
    created_at: str | None = role("created_at", Kind.MOMENT, missing=NO_DATE)
    source: str | None = role("source", Kind.ID)
    stage: str | None = role("stage", Kind.ID)
    owner: str | None = role("owner", Kind.ID)
    converted: str | None = role("converted", Kind.FLAG)
    converted_at: str | None = role("converted_at", Kind.MOMENT)

    def _attribute_name(self, _: int, column: str) -> str | None:
        return own_name(column, self._kinds())

    def _reasons(self) -> list[Reason]:
        return super()._reasons() + _ends_before_start(self, "created_at", "converted_at", days_count=True)


def check_same_ids(contracts: Iterable[Contract], *, role: str, caller: str) -> None:
    """Refuse to join contracts whose ids differ in kind: 12346 is not "12346"; warn of those that share none."""
    contracts = [contract for contract in contracts if contract.has(role)]
    kinds = {contract._caller: contract.id_kind(role) for contract in contracts}  # noqa: SLF001
    if len(set(kinds.values())) > 1:
        listed = ", ".join(f"{kind} in {name}" for name, kind in kinds.items())
        msg = f"{caller}: {role} is {listed}. Give both the same kind, for example with .astype(str) on both sides."
        raise SchemaError(msg)
    _tell_of_strangers([contract for contract in contracts if not contract.engine.is_lazy], role, caller)


def _tell_of_strangers(contracts: list[Contract], role: str, caller: str) -> None:
    """Warn where a table shares no id with the first one, though both have many; lazy ones are not asked."""
    named = [(contract._caller, _ids(contract, role, caller)) for contract in contracts]  # noqa: SLF001
    (first, known), *others = [(name, ids) for name, ids in named if len(ids) >= MANY_IDS] or [("", [])]
    for name, ids in others:
        if set(ids).isdisjoint(known):
            warn(
                f"{caller}: no {role} of {name} is in {first}: {ids[0]!r} is one, {known[0]!r} one of {first}. Are "
                "they written alike?"
            )


def _ids(contract: Contract, role: str, caller: str) -> list[Any]:
    return collect(contract.need(role, caller=caller).select(role).unique())[role].drop_nulls().sort().to_list()


def _ends_before_start(contract: Contract, start: str, end: str, *, days_count: bool = False) -> list[Reason]:
    """Set aside what ends before it starts; where ``days_count``, an end at midnight is a date and holds all day."""
    if not contract.has(start, end):
        return []
    is_before = nw.col(end) < nw.col(start)
    if days_count:
        is_before = is_before & (nw.col(end) != nw.col(start).dt.truncate("1d"))
    return [Reason(f"{end} before {start}", is_before.fill_null(value=False), end)]
