"""Propensity in one call: from orders to who buys next, or what, how sure that is, and why."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._forward import labelled_panel, seen_once, training_cutoffs
from crmlytics._lists import table_with_lists
from crmlytics._purchase_days import CUSTOMER, read_purchases, tell_silence
from crmlytics._validation import as_days, as_moment, check_choice, did_you_mean, read_length
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.propensity._targets import fit_targets, score_targets
from crmlytics.propensity.modelling import PropensityModel
from crmlytics.scoring._measures import AUC, LIFT
from crmlytics.scoring._scores import explained_rows
from crmlytics.snapshots._contacts import RESPONSE_DAYS
from crmlytics.snapshots._families import OF_OTHERS
from crmlytics.snapshots._snapshots import Snapshots
from crmlytics.tables import Contacts, Transactions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crmlytics.scoring._card import ModelCard
    from crmlytics.scoring._evaluation import Evaluation

FEW_FAMILIES = ("recency", "frequency", "monetary", "tenure", "intervals", "breadth")
SHOWN = ("recency_days", "order_count", "total_amount")
BOUGHT, RESPONDED = "bought", "responded"
ANSWERED = "answered before"
CALLER = "score_propensity"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class PropensityScores:
    """Who is likely to buy, or what, and how far to trust that.

    Attributes
    ----------
    scores : dataframe of the kind that came in
        *Without targets* one row per customer, sorted by ``customer_id``: ``customer_id``; ``cutoff`` (the ``as_of``
        scored at); ``buy_probability`` (Float64, of an order in the horizon; with ``outcome="responded"``, of an answer
        when contacted); ``lift`` (Float64, how many times the share among the customers learnt from); ``reason_1`` to
        ``reason_3`` (String, what moved the score most, and by what factor the odds); ``recency_days``, ``order_count``
        and ``total_amount`` as known at ``as_of``.

        *With targets* one row per customer and target, sorted by ``customer_id`` and ``target``: ``customer_id``;
        ``cutoff``; ``target`` (String, the value); ``buy_probability``; ``lift``, of that target;
        ``past_order_count`` (Int64, orders with it before ``as_of``). For reasons, ask the model of a target:
        ``models["DAIRY"].reason_table(features)``.
    features : dataframe
        What the models knew of the customers.
    models : dict of str to PropensityModel
        By target; without targets one, by the name of its outcome.
    snapshots : Snapshots
        Makes the panel that the models learnt from: ``snapshots.panel_table()``.
    as_of : datetime
    """

    scores: Any
    features: Any
    models: dict[str, PropensityModel]
    snapshots: Snapshots
    as_of: dt.datetime

    @property
    def model(self) -> PropensityModel:
        """The model, where there is one."""
        return self._of(None)

    @property
    def evaluation(self) -> Evaluation:
        """How good the model was out of time, beside the rules that it has to beat, where there is one."""
        return self._of(None).evaluation_

    @property
    def evaluations(self) -> dict[str, Evaluation]:
        """How good each model was, by target; made when asked for."""
        return {target: model.evaluation_ for target, model in self.models.items()}

    def evaluation_table(self) -> Any:
        """Say how good each model was on rows that it had not seen.

        Returns
        -------
        dataframe of the kind that came in, one row per target, sorted by it
            ``target`` (String; without targets the outcome); ``scheme`` (String, out of time where there were cutoffs
            enough); ``customer_count``, ``positive_count`` (Int64; positive rows, a customer has one a cutoff);
            ``base_rate``; ``auc`` with ``auc_low`` and ``auc_high`` (95%); ``baseline`` (String, the rule that is
            hardest to beat) and ``baseline_auc``; ``top_decile_lift`` (how many times the base rate is found among the
            tenth with the highest scores); ``calibration_error`` (Float64); ``grade`` (String, A to C, against that
            rule).
        """
        rows = [_figures(evaluation) for evaluation in self.evaluations.values()]
        columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        words = ("scheme", "baseline", "grade")
        columns |= {name: columns[name].astype(object) for name in words}
        named = {"target": np.array(list(self.models), dtype=object)}
        return table_with_lists(self.snapshots.transactions.engine, named | columns)

    def card(self, target: str | None = None) -> ModelCard:
        """Return the model card: data, windows, figures, features, limits. Of several models, name the target."""
        model = self._of(target)
        windows = {name: f"{getattr(self.snapshots, name).days}d" for name in ("horizon", "gap")}
        what = {BOUGHT: "an order", RESPONDED: "an answer of those contacted"}.get(model.target, f"{target} bought")
        words = f"{what} within {windows['horizon']} of the cutoff"
        words += f", {windows['gap']} after it" if self.snapshots.gap else ""
        return model.card(definition=words, as_of=f"{self.as_of:%Y-%m-%d}", **windows)

    def __repr__(self) -> str:
        """Say what was learnt from; of one model, how good it is."""
        head = f"PropensityScores as of {self.as_of:%Y-%m-%d}, learnt from {self.snapshots!r}"
        if len(self.models) == 1:
            return f"{head}\n{self.evaluation!r}"
        return f"{head}\n{len(self.models)} targets: {', '.join(self.models)}. See .evaluation_table()."

    def _of(self, target: str | None) -> PropensityModel:
        if target is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        if target is None or str(target) not in self.models:
            names = list(self.models)
            msg = f"PropensityScores: name one of the targets {names}, got {target!r}.{did_you_mean(target, names)}"
            raise SchemaError(msg + ' Such as models["..."], evaluations["..."] or card("...").')
        return self.models[str(target)]


def score_propensity(
    transactions: Transactions | Any,
    *,
    as_of: str | dt.date | dt.datetime,
    horizon: str | dt.timedelta = "30d",
    gap: str | dt.timedelta = "0d",
    active_within: str | dt.timedelta | None = "365d",
    targets: Mapping[str, Sequence[Any]] | None = None,
    outcome: str = BOUGHT,
    cutoffs: Any = None,
    events: Any = None,
    tickets: Any = None,
    contacts: Any = None,
    customers: Any = None,
    products: Any = None,
    subscriptions: Any = None,
    families: Sequence[str] | None = None,
    model: Any = None,
    random_state: int = 0,
) -> PropensityScores:
    """Score the active customers of today by the probability that they buy: anything, or each of several things.

    Snapshots of the past are taken every 30 days (features strictly before each, the outcome strictly after it), models
    compete on later snapshots than they learnt from, the best is calibrated and turned on today.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and ``amount``; what else is bound is used.
    as_of : date
        Today: lines on or after it are not read. The data should reach up to it.
    horizon : str or timedelta, default "30d"
        Within how long they buy: the time that an offer runs.
    gap : str or timedelta, default "0d"
        The days between a score and the first day of the offer.
    active_within : str, timedelta or None, default "365d"
        Who is scored, and learnt from: customers with an order in so many days.
    targets : dict, optional
        Single things to buy, such as ``{"category": ["DAIRY", "MEAT"]}`` or ``{"product_id": [11, 12]}``, a model for
        each. Those that fewer than 10 customers bought, or did not buy, are left out, and named in a warning.
    outcome : {"bought", "responded"}
        ``"responded"``: who answers when contacted. Needs ``contacts`` with ``responded``; learnt from customers who
        were contacted in a horizon that ended at least 30 days before ``as_of``, so that answers are in.
    cutoffs : list of dates, optional
        When snapshots are taken. Default: every 30 days, twelve at most.
    events, tickets, contacts, customers, products, subscriptions : contracts or dataframes, optional
        What else is known; see :class:`crmlytics.snapshots.Snapshots`. ``products`` says the ``category`` of a product.
    families : list of str, optional
        Which features; default: all that the data allow. With targets, the default is recency, frequency, monetary,
        tenure, intervals, breadth and those of the other tables, and ``"targets"`` is always among them.
    model : {"auto", "logistic", "boosting"} or classifier, optional
        As in :class:`PropensityModel`. Default: ``"auto"``; with targets ``"logistic"``, see Notes.
    random_state : int

    Returns
    -------
    PropensityScores
        ``.scores``, ``.evaluation`` or ``.evaluation_table()``, ``.models``, ``.card()``. With targets,
        :func:`offer_table` turns it into the best next offer.

    Raises
    ------
    SchemaError, MissingColumnsError
        When the history is too short for the horizon (says how long it may be), nobody is active, or there are too few
        customers of either outcome; for an outcome whose columns are missing.

    Warns
    -----
    DataQualityWarning
        For targets left out, few outcomes, and data that end before ``as_of``.

    Notes
    -----
    **Likely to buy is not moved by an offer.** Many of the likeliest would buy anyway, and who answers a contact might
    have bought without it: to know what a contact does, hold customers out
    (:func:`crmlytics.decisions.response_target_table` does so by default) and learn from the difference. Answers were
    learnt from whom somebody chose to contact: of other customers they say less.

    A model of a target has to beat what is obvious: whoever bought it often, or lately, buys it again. Complete Journey
    (600 households, 20 of the largest categories, 30 days, out of time): a mean AUC of .81 against .80 of the rule that
    is hardest to beat. Trees came to between .003 less and .006 more than smooth models, in four times the time.

    When not to use: for customers who never bought anything, who have no history; see the guide to leads.

    Examples
    --------
    >>> from crmlytics.datasets import make_transactions
    >>> made = make_transactions(customers=400, random_state=1)
    >>> found = score_propensity(made.transactions, as_of="2024-12-31", horizon="60d", model="logistic")
    >>> list(found.scores.columns[:4])
    ['customer_id', 'cutoff', 'buy_probability', 'lift']
    """
    today = as_moment(as_of, caller=CALLER)
    as_days(horizon, caller=CALLER)
    wait = read_length(horizon, name="horizon", caller=CALLER) + read_length(gap, name="gap", caller=CALLER)
    contacts = _check_outcome(outcome, targets, contacts)
    given = {
        "events": events, "tickets": tickets, "contacts": contacts, "customers": customers,
        "subscriptions": subscriptions,
    }  # fmt: skip
    answers = dt.timedelta(days=RESPONSE_DAYS if outcome == RESPONDED else 0)
    table = Transactions.bind(transactions).before(today)
    purchases, _ = read_purchases(table, as_of=today, by=(CUSTOMER,), caller=CALLER)
    tell_silence(purchases, as_of, caller=CALLER)
    snapshots = Snapshots(
        table,
        cutoffs=training_cutoffs(purchases, today, wait + answers, caller=CALLER) if cutoffs is None else cutoffs,
        horizon=horizon, gap=gap, active_within=active_within, observed_until=today - answers, targets=targets,
        families=_families(families, given) if targets else families, products=products, **given,
    )  # fmt: skip
    panel, rules = labelled_panel(snapshots, purchases)
    features = snapshots.features_table(today)
    settings: dict[str, Any] = {
        "purge": wait + answers, "exclude": seen_once(snapshots, panel), "random_state": random_state,
    }  # fmt: skip
    if model is None:
        model = "logistic" if targets else "auto"
    if targets:
        models = fit_targets(panel, rules, snapshots, caller=CALLER, model=model, **settings)
        scores = score_targets(models, features, caller=CALLER)
        return PropensityScores(scores, features, models, snapshots, today)
    panel, rules = _of_contacted(panel, rules) if outcome == RESPONDED else (panel, rules)
    fitted = PropensityModel(target=outcome, baselines=rules, model=model, **settings).fit(panel)
    scores = explained_rows(fitted, features, shown=SHOWN, caller=CALLER)
    return PropensityScores(scores, features, {outcome: fitted}, snapshots, today)


# -- inside --------------------------------------------------------------------------------------------------------


def _check_outcome(outcome: str, targets: Any, contacts: Any) -> Any:
    """Refuse an outcome that the tables do not tell; return the contacts, bound."""
    check_choice(outcome, [BOUGHT, RESPONDED], name="outcome", caller=CALLER)
    contacts = None if contacts is None else Contacts.bind(contacts)
    if outcome == BOUGHT:
        return contacts
    if targets:
        msg = f"{CALLER}: outcome={RESPONDED!r} says nothing of targets. Leave out one of them."
        raise SchemaError(msg)
    if contacts is None or not contacts.has("timestamp", "responded"):
        msg = (
            f"{CALLER}: outcome={RESPONDED!r} needs contacts= with the roles 'timestamp' and 'responded', such as "
            "contacts=crm.Contacts(data, responded='<your column>')."
        )
        raise MissingColumnsError(msg)
    return contacts


def _families(wanted: Sequence[str] | None, given: Mapping[str, Any]) -> list[str]:
    """Return the families for models of targets: smooth ones get worse by much that says little of a single one."""
    if wanted is not None:
        return [*wanted, "targets"]
    return [
        *FEW_FAMILIES,
        *(name for name, argument in OF_OTHERS.items() if given.get(argument) is not None),
        "targets",
    ]


def _of_contacted(panel: Any, rules: list[str]) -> tuple[Any, list[str]]:
    """Keep the rows of customers who were contacted in the horizon; whoever answered before answers again."""
    contacted = panel[panel["contacted"].to_numpy(dtype=bool)].reset_index(drop=True)
    if not len(contacted):
        msg = f"{CALLER}: nobody active was contacted within the horizon of any cutoff. Check the dates of contacts."
        raise SchemaError(msg)
    if "response_count" not in contacted:
        return contacted, rules
    answered = contacted["response_count"].to_numpy(dtype=np.float64, na_value=0.0)
    return contacted.assign(**{ANSWERED: answered}), [*rules, ANSWERED]


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    """Return what a table says of one evaluation."""
    hardest = evaluation.grade.baseline
    of_lift = evaluation.comparisons["metric"] == LIFT
    of_lift &= evaluation.comparisons["scheme"] == evaluation.judged.scheme
    judged = evaluation.judged
    return {
        "scheme": judged.scheme,
        "customer_count": len(np.unique(judged.group)),
        "positive_count": int(judged.outcome.sum()),
        "base_rate": float(judged.outcome.mean()),
        **{name: evaluation.figure(name) for name in (AUC, "auc_low", "auc_high")},
        "baseline": hardest,
        "baseline_auc": evaluation.figure(AUC, score=hardest),
        "top_decile_lift": float(evaluation.comparisons["model_value"][of_lift][0]),
        "calibration_error": evaluation.figure("calibration_error"),
        "grade": evaluation.grade.letter,
    }
