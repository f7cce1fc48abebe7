"""Churn in one call: from orders to who is at risk today, how sure that is, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._forward import labelled_panel, seen_once, training_cutoffs
from crmlytics._purchase_days import CUSTOMER, read_purchases, tell_silence
from crmlytics._validation import as_days, as_moment, read_length
from crmlytics.churn.horizons import warn_of_horizon
from crmlytics.churn.modelling import ChurnModel
from crmlytics.scoring._rules import silence_windows
from crmlytics.scoring._scores import explained_rows
from crmlytics.snapshots._snapshots import Snapshots
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from crmlytics.scoring._card import ModelCard
    from crmlytics.scoring._evaluation import Evaluation

SHOWN = ("recency_days", "order_count", "total_amount")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class ChurnScores:
    """Who is at risk, and how far to trust that.

    Attributes
    ----------
    scores : dataframe of the kind that came in, one row per customer, sorted by ``customer_id``
        ``customer_id``; ``cutoff`` (the ``as_of`` scored at); ``churn_probability`` (Float64, of no order in the
        horizon); ``lift`` (Float64, how many times the share that churned among the customers learnt from);
        ``reason_1`` to ``reason_3`` (String, what moved the score most, and by what factor the odds); ``recency_days``,
        ``order_count`` and ``total_amount`` as known at ``as_of``.
    features : dataframe
        What the model knew of them, for ``model.reason_table(features)`` or a model of yours.
    model : ChurnModel
    snapshots : Snapshots
        Makes the panel that the model learnt from: ``snapshots.panel_table()``.
    as_of : datetime
    """

    scores: Any
    features: Any
    model: ChurnModel
    snapshots: Snapshots
    as_of: dt.datetime

    @property
    def evaluation(self) -> Evaluation:
        """How good the model was out of time, beside the rules that it has to beat."""
        return self.model.evaluation_

    def card(self) -> ModelCard:
        """Return the model card: data, windows, figures, features, limits."""
        windows = {name: f"{getattr(self.snapshots, name).days}d" for name in ("horizon", "gap")}
        words = f"no order within {windows['horizon']} of the cutoff"
        words += f", {windows['gap']} after it" if self.snapshots.gap else ""
        return self.model.card(definition=words, as_of=f"{self.as_of:%Y-%m-%d}", **windows)

    def __repr__(self) -> str:
        """Say what was learnt from, and how good it is."""
        return f"ChurnScores as of {self.as_of:%Y-%m-%d}, learnt from {self.snapshots!r}\n{self.evaluation!r}"


def score_churn(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str | dt.timedelta = "90d",
    gap: str | dt.timedelta = "0d",
    active_within: str | dt.timedelta | None = "180d",
    cutoffs: Any = None,
    events: Any = None,
    tickets: Any = None,
    contacts: Any = None,
    customers: Any = None,
    products: Any = None,
    families: Sequence[str] | None = None,
    model: Any = "auto",
    monotone: Mapping[str, int] | None = None,
    random_state: int = 0,
) -> ChurnScores:
    """Score the active customers of today by the probability that they order nothing within the horizon.

    Snapshots of the past are taken every 30 days (features strictly before each, the outcome strictly after it), models
    compete on later snapshots than they learnt from, the best is calibrated and turned on today.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``; what else is bound is used.
    as_of : date
        Today: lines on or after it are not read. The data should reach up to it.
    horizon : str or timedelta, default "90d"
        Churned is who orders nothing for so long. Held against the customers' own intervals: see
        :func:`horizon_table`.
    gap : str or timedelta, default "0d"
        The days between a score and the first day on which anything can be done about it.
    active_within : str, timedelta or None, default "180d"
        Who is scored, and learnt from: customers with an order in so many days. Who is silent for longer has left
        already: see :func:`watchlist`.
    cutoffs : list of dates, optional
        When snapshots are taken. Default: every 30 days, twelve at most.
    events, tickets, contacts, customers, products : contracts or dataframes, optional
        What else is known; see :class:`crmlytics.snapshots.Snapshots`.
    families : list of str, optional
        Which features; default: all that the data allow.
    model, monotone, random_state
        As in :class:`ChurnModel`.

    Returns
    -------
    ChurnScores
        ``.scores``, ``.evaluation`` (with the grade), ``.model``, ``.card()``.

    Raises
    ------
    SchemaError
        When the history is too short for the horizon (says how long it may be), nobody is active, or there are too few
        customers of either outcome.

    Warns
    -----
    DataQualityWarning
        For a horizon that does not suit the intervals of these customers, and data that end before ``as_of``.

    Notes
    -----
    Who is at risk is not who can be persuaded to stay (Ascarza 2018): hold some of the customers you contact out, and
    learn from the difference. :func:`crmlytics.decisions.target_table` does so by default.

    References
    ----------
    Ascarza, E. (2018), Retention futility: targeting high-risk customers might be ineffective, Journal of Marketing
    Research 55(1).
    Neslin, S. et al. (2006), Defection detection: measuring and understanding the predictive accuracy of customer churn
    models, Journal of Marketing Research 43(2).

    Examples
    --------
    >>> from crmlytics.datasets import make_transactions
    >>> made = make_transactions(customers=400, random_state=1)
    >>> churn = score_churn(made.transactions, as_of="2024-12-31", horizon="90d", model="logistic")
    >>> list(churn.scores.columns[:4])
    ['customer_id', 'cutoff', 'churn_probability', 'lift']
    """
    caller = "score_churn"
    today = as_moment(as_of, caller=caller)
    days = as_days(horizon, caller=caller)
    wait = read_length(horizon, name="horizon", caller=caller) + read_length(gap, name="gap", caller=caller)
    table = Transactions.bind(transactions).before(today)
    purchases, _ = read_purchases(table, as_of=today, by=(CUSTOMER,), caller=caller)
    tell_silence(purchases, as_of, caller=caller)
    warn_of_horizon(purchases, days, caller=caller)
    snapshots = Snapshots(
        table,
        cutoffs=training_cutoffs(purchases, today, wait, caller=caller) if cutoffs is None else cutoffs,
        horizon=horizon, gap=gap, active_within=active_within, observed_until=today, events=events, tickets=tickets,
        contacts=contacts, customers=customers, products=products, families=families,
    )  # fmt: skip
    panel, rules = labelled_panel(snapshots, purchases)
    panel, baselines = _with_silence(panel.assign(churned=~panel["bought"].astype(bool)), rules, snapshots)
    fitted = ChurnModel(
        purge=wait, exclude=seen_once(snapshots, panel), baselines=baselines, model=model, monotone=monotone,
        random_state=random_state,
    ).fit(panel)  # fmt: skip
    features = snapshots.features_table(today)
    scores = explained_rows(fitted, features, shown=SHOWN, caller=caller)
    return ChurnScores(scores, features, fitted, snapshots, today)


# -- inside --------------------------------------------------------------------------------------------------------


def _with_silence(panel: Any, rules: list[str], snapshots: Snapshots) -> tuple[Any, list[str]]:
    """Turn the rules round, to say who leaves, and add the rule every sales team has: no order for so long."""
    silent = -panel["recency"].to_numpy()
    windows = silence_windows(snapshots.active_within.days if snapshots.active_within else None)
    flags = {
        f"no order for {window} days": (silent >= window).astype(np.float64)
        for window in windows
        if 0 < (silent >= window).mean() < 1
    }
    return panel.assign(**{name: -panel[name] for name in rules}, **flags), [*rules, *flags]
