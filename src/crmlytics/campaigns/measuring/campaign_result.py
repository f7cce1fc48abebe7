"""A campaign measured in one call: outcomes, effects, returns, balance of the arms, and a verdict."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from html import escape
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._kernels.multiple_testing import HOLM
from crmlytics._validation import check_amount, warn
from crmlytics.campaigns._experiment import CAMPAIGN, CONTROL, Experiment
from crmlytics.campaigns._rows import NUMBER, TEXT, table_of
from crmlytics.campaigns.measuring._campaign_words import Manner, Verdict, money_words, verdicts_on
from crmlytics.campaigns.measuring._effect_rows import read_arms, read_metrics, read_names
from crmlytics.campaigns.measuring._no_trial import NO_CONTROL_GROUP, is_trial, remarked
from crmlytics.campaigns.measuring.effects import effect_rows, effects_as_table, read_reading
from crmlytics.campaigns.measuring.returns import MARGIN, REVENUE, Money, return_rows, returns_as_table
from crmlytics.campaigns.outcomes import outcome_table
from crmlytics.campaigns.uplift.balance import Balance, known_before, read_balance
from crmlytics.exceptions import MissingColumnsError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Iterator, Sequence

CALLER = "measure_campaign"
BALANCE = {
    CAMPAIGN: TEXT, "arm": TEXT, "covariate": TEXT, "level": TEXT, "treated_mean": NUMBER, "control_mean": NUMBER,
    "standardised_difference": NUMBER, "p_value": NUMBER, "is_large": nw.Boolean(),
}  # fmt: skip
SHOWN = ("metric", "treated_mean", "control_mean", "difference", "difference_low", "difference_high", "p_value")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class CampaignResult:
    """What campaigns did, against their control groups: print it for the verdict.

    Attributes
    ----------
    outcomes : dataframe
        What :func:`outcome_table` returns: one row per campaign and customer.
    effects : dataframe
        What :func:`effect_table` returns, of all customers.
    segment_effects : dataframe or None
        The same by segment; None without ``by``.
    returns : dataframe or None
        What :func:`return_table` returns; None where nothing says what was earned or what a contact cost.
    balance : dataframe
        What :func:`balance_table` returns, of each campaign (``campaign_id``): were the arms alike before the contact?
    verdicts : tuple of Verdict
        One per campaign and arm: ``label``, ``finding``, ``detectable_difference``, ``sentence``.
    money : tuple of str
        One sentence per campaign and arm about what it earned.
    remarks : tuple of str
        What makes these figures worth less than they look.
    """

    outcomes: Any
    effects: Any
    segment_effects: Any | None
    returns: Any | None
    balance: Any
    verdicts: tuple[Verdict, ...]
    money: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """One sentence per campaign and arm: found, not found, could not have been found, or not comparable."""
        return "\n".join(one.sentence for one in self.verdicts)

    def __str__(self) -> str:
        """Tell the story: what was found, what to mind, what it earned."""
        return "\n".join([self.verdict, *(f"Mind: {remark}" for remark in self.remarks), *self.money])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        effects = to_pandas(self.effects, caller="CampaignResult")
        keys = [name for name in (CAMPAIGN, "arm") if name in effects.columns]
        lines = "".join(f"<li>{escape(line)}</li>" for line in str(self).splitlines())
        table = effects[[*keys, *SHOWN]].to_html(index=False, float_format="{:,.4g}".format, border=0, na_rep="")
        return f"<ul>{lines}</ul>{table}"


def measure_campaign(
    contacts: Any,
    outcomes: Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str | dt.timedelta = "30d",
    pre_period: str | dt.timedelta = "90d",
    event: str | None = None,
    customers: Any = None,
    metrics: str | Sequence[str] | None = None,
    by: str | Sequence[str] | None = None,
    value: str | None = None,
    margin_share: float | None = None,
    contact_cost: float | None = None,
    offer_cost: float = 0.0,
    campaign_costs: float | dict[Any, float] | None = None,
    worthwhile_lift: float = 0.1,
    covariates: str | Sequence[str] | None = "pre",
    correction: str = HOLM,
    confidence: float = 0.95,
    control: Any = CONTROL,
) -> CampaignResult:
    """Measure what campaigns did against their control groups, from contacts and outcomes to a verdict.

    Parameters
    ----------
    contacts, outcomes, as_of, horizon, pre_period, event, customers
        As in :func:`outcome_table`.
    metrics : column names, optional
        As in :func:`effect_table`. The verdict is about the first: decide before the campaign which it is.
    by : column names, optional
        Segments, such as attributes of ``customers``: for ``segment_effects``.
    value : str, optional
        As in :func:`return_table`; by default ``margin_amount`` where outcomes have a cost, else ``revenue_amount`` if
        ``margin_share`` is given.
    margin_share, contact_cost, offer_cost, campaign_costs
        As in :func:`return_table`.
    worthwhile_lift : float, default 0.1
        The smallest effect that would be worth while, as a share of the control group's mean: a campaign that could not
        have shown it is told apart from one that did nothing.
    covariates, correction, confidence, control
        As in :func:`effect_table`.

    Returns
    -------
    CampaignResult

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`outcome_table`, :func:`effect_table` and :func:`return_table`; without a control group it names what
        can be done then.

    Warns
    -----
    DataQualityWarning
        As :func:`outcome_table` and :func:`effect_table`, and when an arm and control were not alike before the
        contact.

    Notes
    -----
    ``detectable difference = (z(1 - alpha / 2m) + z(.8)) x standard error`` for m comparisons with a corrected p-value:
    the effect that four of five campaigns of this size find. Where it is more than ``worthwhile_lift``, finding nothing
    says nothing.

    Not for campaigns whose arms were not dealt at random. Where the balance shows it (p < .001), or control is
    ``"not contacted"``, the finding is ``"not comparable"``, the tables and :func:`campaign_history_table` say so too,
    and that it paid is not said to be probable. What cannot be seen in the balance nobody can tell.

    Examples
    --------
    >>> import pandas as pd
    >>> day, ids = pd.Timestamp("2024-03-01"), range(2000)
    >>> arms = ["mail"] * 1000 + ["control"] * 1000
    >>> contacts = pd.DataFrame({"customer_id": ids, "arm": arms, "timestamp": day})
    >>> buyers = [*range(160), *range(1000, 1100)]
    >>> orders = pd.DataFrame({"customer_id": buyers, "order_id": buyers, "amount": 30.0})
    >>> orders["timestamp"] = day + pd.Timedelta(days=3)
    >>> result = measure_campaign(contacts, orders, as_of="2024-05-01", margin_share=0.4, contact_cost=0.2)
    >>> print(result)
    mail: converted 16.0% against 10.0% in control, +6.0 points (95% +3.1 to +8.9, p < 0.0001): an effect was found.
    mail: margin 720 for a cost of 200, profit 520 (167 to 873); that it paid is over 99% probable.
    """
    reading = read_reading(correction, confidence, caller=CALLER)
    worthwhile_lift = check_amount(worthwhile_lift, name="worthwhile_lift", caller=CALLER, positive=True)
    segments = read_names(by, name="by", caller=CALLER)
    table = outcome_table(
        contacts,
        outcomes,
        as_of=as_of,
        horizon=horizon,
        pre_period=pre_period,
        event=event,
        customers=customers,
        control=control,
    )
    experiment = _read(table, control, segments, has_customers=customers is not None)
    wanted = read_metrics(experiment, metrics, covariates, caller=CALLER)
    balances = dict(_balances(experiment))
    alarms = _alarms(balances)
    told = partial(remarked, control=control, apart=alarms)
    effects = told(effect_rows(experiment, wanted, [], reading, caller=CALLER))
    by_segment = told(effect_rows(experiment, wanted, segments, reading, caller=CALLER)) if segments else None
    money = _money(experiment, Money(value or "", margin_share, contact_cost, offer_cost, campaign_costs))
    returns = told(return_rows(experiment, money, covariates, reading.confidence, caller=CALLER)) if money else None
    first = [row for row in effects if row["metric"] == wanted[0].name]
    return CampaignResult(
        outcomes=table,
        effects=effects_as_table(experiment, [], effects),
        segment_effects=None if by_segment is None else effects_as_table(experiment, segments, by_segment),
        returns=None if returns is None else returns_as_table(experiment, returns),
        balance=_balance_table(experiment, balances),
        verdicts=tuple(verdicts_on(first, Manner(wanted[0].is_share, reading, worthwhile_lift))),
        money=tuple(money_words(row, several=len(balances) > 1) for row in returns or ()),
        remarks=tuple(_remarks(alarms, control, has_returns=returns is not None, several=len(balances) > 1)),
    )


# -- inside --------------------------------------------------------------------------------------------------------


def _read(table: Any, control: Any, segments: Sequence[str], *, has_customers: bool) -> Experiment:
    """Read the outcomes; attributes that are missing were perhaps not given."""
    try:
        return read_arms(table, control=control, needs=segments, caller=CALLER)
    except MissingColumnsError as error:
        if has_customers:
            raise
        raise MissingColumnsError(f"{error}. Attributes of customers come with customers=...") from None


def _money(experiment: Experiment, given: Money) -> Money | None:
    """Return what turns outcomes into profit, None where that is not known."""
    columns = set(experiment.table.columns)
    value = given.value or (MARGIN if MARGIN in columns else REVENUE if given.margin_share is not None else "")
    has_cost = given.contact_cost is not None or "contact_cost_amount" in columns
    return replace(given, value=value) if value and has_cost else None


def _balances(experiment: Experiment) -> Iterator[tuple[Any, Balance | None]]:
    """Return the balance of each campaign; None where nothing was known before the contact."""
    names = known_before(experiment, ["arm"])
    for campaign, rows in experiment.table.groupby(CAMPAIGN, sort=True).indices.items():
        one = _among(experiment, rows)
        varying = [name for name in names if one.table[name].nunique(dropna=False) > 1]
        yield campaign, read_balance(one, varying, caller=CALLER) if varying else None


def _among(experiment: Experiment, rows: Any) -> Experiment:
    """Return the experiment of some rows, with the arms that are among them."""
    found = np.unique(experiment.arm[rows])
    return replace(
        experiment,
        table=experiment.table.iloc[rows].reset_index(drop=True),
        arms=tuple(experiment.arms[code] for code in found),
        arm=np.searchsorted(found, experiment.arm[rows]),
    )


def _balance_table(experiment: Experiment, balances: dict[Any, Balance | None]) -> Any:
    found = [(campaign, one.covariates) for campaign, one in balances.items() if one is not None]
    rows = [
        {CAMPAIGN: campaign} | dict(zip(columns, row, strict=True))
        for campaign, columns in found
        for row in zip(*columns.values(), strict=True)
    ]
    return table_of(experiment.engine, rows, BALANCE, **{CAMPAIGN: list(balances)})


def _alarms(balances: dict[Any, Balance | None]) -> dict[tuple[Any, str], str]:
    """Return what is wrong with arms that were not dealt at random, by campaign and arm."""
    known = {campaign: balance.remarks_by_arm for campaign, balance in balances.items() if balance is not None}
    return {(campaign, arm): remark for campaign, remarks in known.items() for arm, remark in remarks.items()}


def _remarks(alarms: dict[tuple[Any, str], str], control: Any, *, has_returns: bool, several: bool) -> Iterator[str]:
    if not is_trial(control):  # of which reading the arms has warned
        yield NO_CONTROL_GROUP
    for (campaign, _), remark in alarms.items():
        told = f"{campaign}: {remark}" if several else remark
        warn(f"{CALLER}: {told}")
        yield told
    if not has_returns:
        yield (
            "whether it paid is not known: give contact_cost=, and margin_share= where the outcomes have amounts and "
            "no cost."
        )
