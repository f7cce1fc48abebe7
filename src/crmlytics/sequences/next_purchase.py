"""What each customer buys next, how probably, when, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect
from crmlytics._kernels.working import in_parts
from crmlytics._validation import as_days, as_moment, check_count
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._allowed import Allowed
from crmlytics.sequences._calibration import fit_ranker
from crmlytics.sequences._candidates import Crowd, candidates_at, cut_at_end, histories_of, in_small_parts
from crmlytics.sequences._reasons import reasons_of
from crmlytics.sequences._recommender import NextItemRecommender, Ranked
from crmlytics.sequences._timing import Dates, learn_timing
from crmlytics.sequences._training import lessons_of
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics._kernels.next_purchase import Candidates
    from crmlytics._sequences import Sequences
    from crmlytics.sequences.evaluating import Evaluation

WORTH_A_DATE = 0.05  # the least probability: below it hardly one such date in twenty comes true
DIGITS = 6  # further ones are noise, hang on how many candidates are worked on at once, and would decide between equals
LOW, HIGH = 0.1, 0.9  # the quantiles of a date, as of those that :class:`PurchaseTiming` tells


@dataclass(frozen=True, slots=True, eq=False)
class _Found(Ranked):
    """Suggestions with the source of each."""

    sources: NDArray[np.int8]


class NextPurchaseModel(NextItemRecommender):
    """Say what each customer buys next: items, the probability of each, a date and a reason.

    Items that a customer may buy come from five sources: the customer's own purchases, what is bought beside them, what
    follows the last order, what customers with similar purchases buy, and what sells lately. Boosted trees learn from
    earlier periods of the same customers which of these are bought, by 33 numbers: how often, how long ago, at what
    intervals, how popular, how regular, how strongly linked.

    Parameters
    ----------
    item : {"product_id", "category"}, default "product_id"
        What is suggested.
    which : {"all", "repeat", "new"}, default "all"
        Whether all items are suggested, only those that the customer has bought before, or only others. The model
        learns from candidates of that kind alone.
    random_state : int, default 0
        Deals customers into thirds and draws those to learn from where there are very many.

    Attributes
    ----------
    item_ids_, customer_kind_, as_of_, horizon_days_
        As every recommender has them: the items known, whether ids of customers are numbers or text, the moment and the
        days of the fit.
    ranker_ : Ranker
        The models and their calibration: ``slope`` and ``intercept`` are 1 and 0 where nothing was to be corrected; a
        slope of 0 says that nothing was learnt.
    crowd_ : Crowd
        What all histories teach, and the customers that others are compared with.
    popularity_ : int64 array, shape (items,)
        How many orders held each item.

    Raises
    ------
    SchemaError
        From ``fit``: when the history is shorter than two horizons, when nobody ordered twice (without a horizon), or
        when fewer than ten customers bought one of their candidates.

    Warns
    -----
    DataQualityWarning
        From ``fit``: when fewer than a hundred customers bought one of their candidates; when nothing was learnt of
        which are bought, so that all are as probable and rank by popularity; when the last order lies longer before
        ``as_of`` than the horizon is.

    Notes
    -----
    With a horizon of ``h`` days the model looks back to up to three days, ``h`` before ``as_of`` and further steps of
    ``h`` or 28 days, knows what was before each, and learns what was bought in the ``h`` days after it. Without a
    horizon it looks back to each customer's last three orders and learns what was in them, on the days they came: it
    then says what is in an order placed on ``as_of``, as for a customer who stands in the shop. Popularity, links and
    similar customers are counted anew at each of these cuts, from what lay before it.

    Probabilities are calibrated: each of three models learns from two thirds of the customers; a line through the log
    odds that it foretells for the others corrects their mean (Platt 1999). Where fewer than 500 candidates were bought
    there are logistic regressions in place of trees. Seasons are not known: if Christmas lies in the horizon and not
    in the periods learnt from, the probabilities are those of an ordinary month.

    Ten candidates at the top are those of which the model was too hopeful more often than not; look at the calibration
    of what was suggested, which :func:`evaluate` reports.

    A probability says what the customer buys if nothing is done. Most of what it is sure of would be bought anyway;
    what a letter adds only an experiment can tell. For a shop whose customers buy once in years, or that has fewer than
    a few hundred repeat customers, take :class:`PersonalThenPopularRecommender`.

    Examples
    --------
    >>> import pandas as pd
    >>> lines = pd.DataFrame(
    ...     [(c, 100 * c + w, pd.Timedelta(days=7 * w + c % 7) + pd.Timestamp("2024-01-01"), item)
    ...      for c in range(120) for w in range(20) for item in ["tea"] + ["soap"] * (w % 4 == c % 4)],
    ...     columns=["customer_id", "order_id", "timestamp", "product_id"],
    ... )
    >>> model = NextPurchaseModel().fit(lines, as_of="2024-05-13", horizon="7d")
    >>> table = model.recommend_table(lines, as_of="2024-05-13", n=1)
    >>> print(table[["customer_id", "product_id", "expected_date", "reason"]].head(3).to_string())
       customer_id product_id expected_date                                reason
    0            0        tea    2024-05-13  bought every 7 days, last 7 days ago
    1            1        tea    2024-05-14  bought every 7 days, last 6 days ago
    2            2        tea    2024-05-15  bought every 7 days, last 5 days ago
    """

    def __init__(self, *, item: str = "product_id", which: str = "all", random_state: int = 0) -> None:
        super().__init__(item=item, which=which)
        self.random_state = random_state

    def recommend_table(
        self, transactions: Any, *, as_of: Any, n: int = 10, horizon: Any = None, exclude: Any = None
    ) -> Any:
        """Suggest up to ``n`` items to each customer who bought something before ``as_of``.

        Parameters
        ----------
        transactions : Transactions or dataframe, one row per order line
            The histories; as for :meth:`fit`. Items that were not known when the model was fitted are passed over. Give
            all customers together: how long intervals are is learnt from all of them.
        as_of : date
            The day to recommend on, at or after that of the fit: nothing at or after it is read.
        n : int, default 10
            The most items a customer; there are at most 240 candidates.
        horizon : str or timedelta, optional
            That of the fit, if given: another one takes another fit.
        exclude : list, Series, Products or dataframe, optional
            What must not be suggested: ids of items, such as what is out of stock (a list, a Series, or a frame with
            the item's column), or a frame with ``customer_id`` and the item's column, such as what customers own.

        Returns
        -------
        dataframe of the kind that came in, key (``customer_id``, ``rank``)
            ``customer_id``; ``rank`` (Int64, from 1); the item, named by its role, ``product_id`` or ``category``;
            ``probability`` (Float64, that the customer buys it within the horizon from ``as_of``, or in an order on
            that day; equal ones rank by popularity, then by item id);
            ``expected_date``, ``expected_date_low``, ``expected_date_high`` (Datetime, midnights: given that it is
            bought within the horizon, the median of the day and an interval that holds it with 80 %. An item never
            bought before is about as likely to come with each of the customer's orders, so its days are those between
            the next order and the end of the horizon, one as good as another: a wide interval. Without a horizon it is
            the day of the customer's next order, whatever the item. Null where the probability is below 0.05);
            ``reason`` (String, such as "bought every 28 days, last 30 days ago", "goes with 17, bought 3 days ago",
            "often next after 17, bought 3 days ago", "customers with similar purchases buy it" or "popular").

        Raises
        ------
        sklearn.exceptions.NotFittedError
            Before ``fit``.
        SchemaError
            When ``as_of`` lies before that of the fit, ``horizon`` is another, or ids are numbers here and were text at
            the fit, or the other way round.

        Warns
        -----
        DataQualityWarning
            When none of the items was known at the fit, or the last order lies longer before ``as_of`` than the horizon
            is (than 91 days without one).
        """
        return super().recommend_table(transactions, as_of=as_of, n=n, horizon=horizon, exclude=exclude)

    # -- what the contract asks for --------------------------------------------------------------------------------

    def _check(self, *, caller: str) -> None:
        super()._check(caller=caller)
        check_count(self.random_state, name="random_state", caller=caller, least=0)

    def _learn(self, sequences: Sequences, now: NDArray[np.int64], horizon: int | None) -> None:
        caller = f"{type(self).__name__}.fit"
        lessons = lessons_of(sequences, now, horizon, which=self.which, random_state=self.random_state, caller=caller)
        self.ranker_ = fit_ranker(lessons, self.random_state, caller=caller)
        self.crowd_ = Crowd.of(sequences, cut_at_end(sequences, now), self.random_state)
        self.popularity_ = np.bincount(sequences.items, minlength=len(sequences.item_ids)).astype(np.int64)

    def _rank(
        self, sequences: Sequences, now: NDArray[np.int64], n: int, allowed: Allowed, *, named: bool = False
    ) -> Ranked:
        """Return the best suggestions; ``named``: what is listed as allowed is a candidate, wherever it comes from."""
        cut = cut_at_end(sequences, now)

        def rank(customers: NDArray[np.int64]) -> _Found:
            part = _of(allowed, customers)
            found = candidates_at(
                sequences, cut, self.crowd_, customers, which=self.which, offered=allowed.anybody,
                named=(part.starts, part.items) if named else None,
            )  # fmt: skip
            return self._best(found, part, n)

        parts = in_parts(rank, in_small_parts(np.arange(len(sequences))), label="customers")
        lengths = np.concatenate([np.diff(part.starts) for part in parts])
        items, scores, sources = (
            np.concatenate([getattr(part, name) for part in parts]) for name in ("items", "scores", "sources")
        )
        return _Found(np.append(0, np.cumsum(lengths)), items, scores, sources)

    def _best(self, found: Candidates, allowed: Allowed, n: int) -> _Found:
        """Return the ``n`` most probable candidates that are allowed, ties by popularity, then by item code."""
        owner = np.repeat(np.arange(len(found.starts) - 1), np.diff(found.starts))
        kept = np.flatnonzero(allowed.pairs(owner, found.items))
        owner, items = owner[kept], found.items[kept]
        probability = self.ranker_.probability(found.features[kept]).round(DIGITS)
        order = np.lexsort((items, -self.popularity_[items], -probability, owner))
        counts = np.bincount(owner, minlength=len(found.starts) - 1)
        rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
        best = order[rank < n]
        starts = np.append(0, np.cumsum(np.minimum(counts, n)))
        return _Found(starts, items[best], probability[best], found.sources[kept][best])

    def _columns(self, ranked: Ranked, sequences: Sequences, now: NDArray[np.int64]) -> dict[str, Any]:
        from crmlytics._kernels.next_purchase_reasons import evidence_for

        histories = histories_of(sequences, cut_at_end(sequences, now))
        owner, sources = ranked.owners(), ranked.sources  # type: ignore[attr-defined]
        evidence = evidence_for(histories, now, owner, ranked.items, sources, self.crowd_.people)
        has_own_date = (evidence.because == ranked.items) & (self.horizon_days_ is not None)
        since = np.where(has_own_date, evidence.days_ago, -1)
        dates = learn_timing(sequences, now).dates(owner, ranked.items.astype(np.int64), since, self.horizon_days_)
        if self.horizon_days_ is not None:
            dates = _with_any_order(dates, since < 0, self.horizon_days_)
        return {
            "probability": ranked.scores,
            **_date_columns(dates, now[owner], ranked.scores >= WORTH_A_DATE),
            "reason": np.array(reasons_of(sources, evidence, sequences.item_ids), dtype=object),
        }


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class NextPurchaseScores:
    """What customers buy next, and how far to trust it.

    Attributes
    ----------
    recommendations : dataframe of the kind that came in, key (``customer_id``, ``rank``)
        As :meth:`NextPurchaseModel.recommend_table` returns it.
    evaluation : Evaluation
        The model beside every baseline, fitted and judged one horizon earlier.
    model : NextPurchaseModel
        Fitted on everything before ``as_of``.
    """

    recommendations: Any
    evaluation: Evaluation
    model: NextPurchaseModel

    def __repr__(self) -> str:
        """Say what is in it, in a line."""
        model, best = self.model, self.evaluation.models[0]
        return (
            f'NextPurchaseScores: as of {model.as_of_:%Y-%m-%d}, horizon="{model.horizon_days_}d", best recall by '
            f"{best} (.recommendations, .evaluation, .model)"
        )


def score_next_purchase(
    transactions: Any, *, as_of: Any, horizon: Any, n: int = 10, item: str = "product_id", which: str = "all",
    exclude: Any = None, random_state: int = 0,
) -> NextPurchaseScores:  # fmt: skip
    """Say what each customer buys next, with the honest evaluation of it, in one call.

    First the model and every baseline are fitted one horizon before ``as_of`` and judged by what was bought since; then
    the model is fitted again, to all that is known, and recommends. If a baseline wins, take that.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and the role ``item`` names, and a history of three horizons:
        one to describe customers by, one to learn from, one to judge by.
    as_of : date
        The day to recommend on: nothing at or after it is read.
    horizon : str or timedelta
        The days from ``as_of`` that are predicted, such as ``"28d"``.
    n : int, default 10
        The most items a customer, and how many are judged.
    item, which, random_state
        As in :class:`NextPurchaseModel`.
    exclude
        As in :meth:`NextPurchaseModel.recommend_table`; what is judged does not leave it out.

    Returns
    -------
    NextPurchaseScores
        ``.recommendations``, ``.evaluation`` (``.to_frame()``, ``.comparison_table()``) and ``.model``.

    Raises
    ------
    SchemaError
        When the history is shorter than three horizons, or too few customers bought again.

    Warns
    -----
    DataQualityWarning
        As :class:`NextPurchaseModel` does, of the model itself or of that fitted one horizon earlier.
    """
    from crmlytics.sequences.evaluating import evaluate

    _refuse_short(transactions, as_of, horizon, caller="score_next_purchase")
    model = NextPurchaseModel(item=item, which=which, random_state=random_state)
    model.fit(transactions, as_of=as_of, horizon=horizon)
    recommendations = model.recommend_table(transactions, as_of=as_of, n=n, exclude=exclude)
    evaluation = evaluate(model, transactions, as_of=as_of, horizon=horizon, k=n, random_state=random_state)
    return NextPurchaseScores(recommendations, evaluation, model)


def _refuse_short(transactions: Any, as_of: Any, horizon: Any, *, caller: str) -> None:
    """Refuse a history shorter than three horizons before anything is learnt."""
    moment, days = as_moment(as_of, caller=caller), as_days(horizon, caller=caller)
    plan = Transactions.bind(transactions).before(moment).need("timestamp", caller=caller)
    first = collect(plan.select(nw.col("timestamp").min()))["timestamp"][0]
    known = 0 if first is None else (moment.date() - first.date()).days
    if known < 3 * days:
        shorter = f'Take horizon="{known // 3}d" or less' if known >= 3 else "Take a later as_of"
        msg = (
            f'{caller}: horizon="{days}d" takes a history of {3 * days} days: one horizon to describe customers by, '
            f"one to learn from, one to judge by; before as_of={moment:%Y-%m-%d} there are {known}. {shorter}."
        )
        raise SchemaError(msg)


def _of(allowed: Allowed, customers: NDArray[np.int64]) -> Allowed:
    """Return what is allowed for some customers that follow one another."""
    if not len(customers):
        return allowed
    starts = allowed.starts[customers[0] : customers[-1] + 2]
    return Allowed(allowed.anybody, starts - starts[0], allowed.items[starts[0] : starts[-1]], allowed.only)


def _with_any_order(dates: Dates, is_new: NDArray[np.bool_], horizon: int) -> Dates:
    """Return dates in which what is new comes with any order: a day from the next one to the end, all as likely."""
    first = dates.low
    days = horizon - first
    middle, low = first + days // 2, first + np.rint(LOW * days).astype(np.int64)
    high = first + np.rint(HIGH * days).astype(np.int64) - 1  # the last of the days before it
    spread = (
        np.where(is_new & (first >= 0), new, old) for new, old in zip((middle, low, high), dates[1:], strict=True)
    )
    return Dates(dates.probability, *spread)


def _date_columns(
    dates: Dates, now: NDArray[np.int64], is_worth_it: NDArray[np.bool_]
) -> dict[str, NDArray[np.datetime64]]:
    """Return days from now as dates, missing where there is none to tell."""
    named = {"expected_date": dates.middle, "expected_date_low": dates.low, "expected_date_high": dates.high}
    is_told = is_worth_it & (dates.middle >= 0) & (dates.high >= 0)
    return {
        name: np.where(is_told, (now + days).astype("datetime64[D]"), np.datetime64("NaT")).astype("datetime64[us]")
        for name, days in named.items()
    }
