"""Which model knows best what is bought next: all of them side by side, on purchases they had not seen."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._frames import to_pandas
from crmlytics._kernels.ranking import METRICS, bootstrap
from crmlytics._lists import table_with_lists
from crmlytics._validation import as_days, as_moment, check_choice, check_count
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._judging import OTHERS, Contestants, fit_copy, judge, mean_of_known
from crmlytics.sequences._splits import Split, split_at, split_off_last
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics._kernels.ranking import Intervals


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Evaluation:
    """How well models knew what was bought next: three tables of the kind of frame that came in.

    :meth:`to_frame` has all models side by side, :meth:`comparison_table` says how sure that is and whether a model
    beats the best baseline, :meth:`cutoff_table` has each cutoff by itself.

    Attributes
    ----------
    models : tuple of str
        The names, the one with the highest recall first.
    is_baseline : bool array, shape (models,)
        Which of them the others are compared with.
    cutoffs : tuple of datetime
        From where on purchases were the future; for last orders, the end of the data.
    k : int
        How many suggestions count.
    customer_counts : int64 array, shape (cutoffs,)
        How many customers were judged.
    active_counts : int64 array, shape (cutoffs,)
        How many of them bought something.
    means : float64 array, shape (models, cutoffs, metrics)
        What :meth:`cutoff_table` shows.
    others : float64 array, shape (models, cutoffs, others)
        What belongs to no single customer: coverage, calibration, error of dates.
    intervals : Intervals
        Pooled means of the metrics with intervals, and differences to the best baseline.
    reference : int
        The number of the best baseline among the models, -1 for none.
    fitted : dict of name to model
        The models as they were fitted for the latest cutoff, ready for ``recommend_table``: what was judged can be
        looked into without fitting it again.
    engine : Engine
        The kind of dataframe that came in, and that results go out as.
    """

    models: tuple[str, ...]
    is_baseline: NDArray[np.bool_]
    cutoffs: tuple[dt.datetime, ...]
    k: int
    customer_counts: NDArray[np.int64]
    active_counts: NDArray[np.int64]
    means: NDArray[np.float64]
    others: NDArray[np.float64]
    intervals: Intervals
    reference: int
    fitted: dict[str, Any]
    engine: Engine

    def to_frame(self) -> Any:
        """Return all models side by side, over all cutoffs together: one row per model, the highest recall first.

        Columns: ``model`` (String); ``is_baseline`` (Boolean); ``k`` (Int64, how many suggestions count);
        ``customer_count`` (Int64, customers judged, once a cutoff); ``active_share`` (Float64, how many of them bought
        anything); ``recall`` (Float64) with ``recall_low`` and ``recall_high`` (its 95% interval); ``precision``,
        ``ndcg``, ``hit_rate``, ``reciprocal_rank``, ``repeat_recall``, ``explore_recall``, ``coverage_share``,
        ``brier_score``, ``calibration_slope``, ``calibration_error`` and ``date_error_days`` (Float64; what they are:
        see :func:`evaluate`). The last five are means over the cutoffs.
        """
        count = int(self.customer_counts.sum())
        columns: dict[str, Any] = {
            "model": np.array(self.models, object),
            "is_baseline": self.is_baseline,
            "k": np.full(len(self.models), self.k),
            "customer_count": np.full(len(self.models), count),
            "active_share": np.full(len(self.models), self.active_counts.sum() / max(count, 1)),
        }
        for number, metric in enumerate(METRICS):
            columns[metric] = self.intervals.value[:, number]
            if metric == "recall":
                columns["recall_low"] = self.intervals.low[:, number]
                columns["recall_high"] = self.intervals.high[:, number]
        others = mean_of_known(self.others)
        columns |= {name: others[:, number] for number, name in enumerate(OTHERS)}
        return table_with_lists(self.engine, columns)

    def cutoff_table(self) -> Any:
        """Return each cutoff by itself: one row per cutoff and model.

        Columns: ``cutoff`` (Datetime), ``model``, and those of :meth:`to_frame` but for the interval of recall.
        Sorted by cutoff, then as :meth:`to_frame`.
        """
        models, cutoffs = len(self.models), len(self.cutoffs)
        moments = np.array(self.cutoffs, "datetime64[us]")
        columns: dict[str, Any] = {
            "cutoff": np.repeat(moments, models),
            "model": np.tile(np.array(self.models, object), cutoffs),
            "is_baseline": np.tile(self.is_baseline, cutoffs),
            "k": np.full(models * cutoffs, self.k),
            "customer_count": np.repeat(self.customer_counts, models),
            "active_share": np.repeat(self.active_counts / np.maximum(self.customer_counts, 1), models),
        }
        columns |= {name: self.means[:, :, number].T.ravel() for number, name in enumerate(METRICS)}
        columns |= {name: self.others[:, :, number].T.ravel() for number, name in enumerate(OTHERS)}
        return table_with_lists(self.engine, columns)

    def comparison_table(self) -> Any:
        """Return how sure the figures are, and whether a model beats the best baseline: one row per model and metric.

        Columns: ``model`` and ``metric`` (String); ``value`` with ``value_low`` and ``value_high`` (Float64, 95%);
        ``baseline`` (String, the baseline with the highest recall; null where there is none); ``difference`` to it with
        ``difference_low`` and ``difference_high`` (Float64, 95%, of the same customers: an interval above 0 says that
        the model is better; null for that baseline itself). Sorted as :meth:`to_frame`, then by metric as there.
        """
        found, metrics = self.intervals, len(METRICS)
        is_other = np.repeat(np.arange(len(self.models)) != self.reference, metrics)
        reference = self.models[self.reference] if self.reference >= 0 else None
        columns: dict[str, Any] = {
            "model": np.repeat(np.array(self.models, object), metrics),
            "metric": np.tile(np.array(METRICS, object), len(self.models)),
            "value": found.value.ravel(),
            "value_low": found.low.ravel(),
            "value_high": found.high.ravel(),
            "baseline": np.full(len(is_other), reference, object),
        }
        for name in ("difference", "difference_low", "difference_high"):
            columns[name] = np.where(is_other, getattr(found, name).ravel(), np.nan)
        return table_with_lists(self.engine, columns)

    def __repr__(self) -> str:
        """Say how many models were judged, how often."""
        at = f"{len(self.cutoffs)} cutoffs" if len(self.cutoffs) > 1 else "1 cutoff"
        return f"Evaluation: {len(self.models)} models at {at}, best recall by {self.models[0]} (.to_frame())"


def evaluate(
    models: Any,
    transactions: Transactions | Any,
    *,
    as_of: Any,
    horizon: Any,
    k: int = 10,
    cutoffs: int = 1,
    baselines: Any = None,
    replicates: int = 1000,
    random_state: int = 0,
) -> Evaluation:
    r"""Judge models by what was bought after a day, all of them and every baseline side by side.

    At each cutoff the models are fitted to what was bought before it, by anybody; then they suggest ``k`` items to each
    customer known by then, and these are compared with what the customer bought within ``horizon`` from the cutoff.
    The last cutoff lies one ``horizon`` before ``as_of``, the one before it two, and so on (rolling origins).

    Parameters
    ----------
    models : recommender, list or mapping
        Not fitted, or fitted to something else: copies are fitted. Named by their classes, or by the keys of a mapping.
        They must agree in ``item``.
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and the role ``item`` names.
    as_of : date
        The end of what is known: nothing at or after it is read.
    horizon : str or timedelta
        How long the future is, such as ``"28d"``.
    k : int, default 10
        How many suggestions count.
    cutoffs : int, default 1
        How many cutoffs.
    baselines : list or mapping, optional
        What to compare with: by default every baseline of this package, with the ``item`` and ``which`` of the first
        model (but for those among ``models``). ``[]`` for none.
    replicates : int, default 1000
        How many bootstrap samples of customers make an interval.
    random_state : int, default 0
        Seed of the samples.

    Returns
    -------
    Evaluation
        ``.to_frame()`` has all models side by side, ``.comparison_table()`` intervals and differences to the best
        baseline, ``.cutoff_table()`` each cutoff.

    Raises
    ------
    SchemaError
        When nothing was bought before the first cutoff, or nothing after one by anybody known.

    Notes
    -----
    One day cuts for everybody, so no model learns from what others bought later, as it does where every customer's last
    order is held out [1]_; and customers who did not come back are counted. They have no recall: there is nothing to
    find. So of the ``k`` suggestions to a customer who bought the set T, of which H were found,

    - ``hit_rate`` = share with H > 0, and ``precision`` = mean of H / k, are over **all** customers known at the
      cutoff: what a message to everybody would bring. Customers who bought nothing count 0;
    - ``recall`` = mean of H / \|T\|, ``ndcg`` (each hit discounted by log2(rank + 1), divided by that of hits in each
      of the first min(k, \|T\|) places) and ``reciprocal_rank`` (1 / rank of the first hit, else 0) are over those
      who bought something, ``active_share`` of all. Items never sold before count in T as well;
    - ``repeat_recall`` and ``explore_recall`` are recall within what the customer had, and had not, bought before: most
      hits are repetitions, and a model for new things is to be judged by the second;
    - ``coverage_share`` is the share of the items known that anybody is suggested;
    - ``brier_score``, ``calibration_slope`` (1 is right, less promises too much) and ``calibration_error`` (mean
      distance of probability and frequency over ten groups of suggestions) judge probabilities of being bought within
      the horizon; ``date_error_days`` is the mean distance of the expected and the first date of purchase where a
      suggestion with a date was bought. Missing for models that give no probability or no date.

    Intervals are percentiles over samples of customers (a customer with all cutoffs), for one fit of each model: they
    do not tell how another training period would have turned out; several cutoffs do.

    References
    ----------
    .. [1] Y. Ji, A. Sun, J. Zhang, C. Li (2023), "A critical study on data leakage in recommender system offline
       evaluation", ACM Transactions on Information Systems 41(3).

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.datasets import load_complete_journey
    >>> from crmlytics.sequences import DecayedRepeatRecommender, PersonalThenPopularRecommender, evaluate
    >>> orders = Transactions(
    ...     load_complete_journey().transactions, customer_id="household_id", order_id="basket_id",
    ...     timestamp="transaction_timestamp", amount="sales_value",
    ... )
    >>> evaluation = evaluate(
    ...     DecayedRepeatRecommender(), orders, as_of="2018-01-01", horizon="28d",
    ...     baselines=[PersonalThenPopularRecommender()],
    ... )
    >>> columns = ["model", "active_share", "recall", "recall_low", "recall_high", "hit_rate"]
    >>> print(evaluation.to_frame()[columns].round(3).to_string())
                                model  active_share  recall  recall_low  recall_high  hit_rate
    0        DecayedRepeatRecommender         0.897   0.096       0.088        0.105     0.805
    1  PersonalThenPopularRecommender         0.897   0.089       0.082        0.097     0.803
    """
    caller = "evaluate"
    moment, days = as_moment(as_of, caller=caller), as_days(horizon, caller=caller)
    k, times = check_count(k, name="k", caller=caller), check_count(cutoffs, name="cutoffs", caller=caller)
    compared = Contestants.of(models, baselines, caller=caller)
    table = Transactions.bind(transactions)
    moments = [moment - dt.timedelta(days=days * before) for before in range(times, 0, -1)]
    splits = [split_at(table, cutoff, days, item=compared.item, caller=caller) for cutoff in moments]
    return _evaluation(compared, splits, k, (replicates, random_state), table.engine.without_table, caller=caller)


def evaluate_last_orders(
    models: Any,
    transactions: Transactions | Any,
    *,
    as_of: Any,
    k: int = 10,
    min_items: int = 1,
    baselines: Any = None,
    replicates: int = 1000,
    random_state: int = 0,
) -> Evaluation:
    """Judge models by each customer's last order, as papers on the next basket do: only to compare with these.

    Every customer has a cutoff of their own, so models learn from what others bought later, and each customer comes
    back for certain. What counts for a campaign is :func:`evaluate`.

    Parameters
    ----------
    models : recommender, list or mapping
        As for :func:`evaluate`; they are fitted to predict the next order.
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``order_id``, ``timestamp`` and the role ``item`` names.
    as_of : date
        The end of what is known: nothing at or after it is read.
    k : int, default 10
        How many suggestions count.
    min_items : int, default 1
        Last orders of fewer different items are not judged; they are no part of the history either.
    baselines : list or mapping, optional
        As for :func:`evaluate`.
    replicates, random_state : int
        As for :func:`evaluate`.

    Returns
    -------
    Evaluation
        As for :func:`evaluate`; the one cutoff is ``as_of``, ``active_share`` is 1, and ``date_error_days`` is missing:
        models stand on the day of the order that they are to tell. Customers with one order are left out.

    Notes
    -----
    Recall depends much on what is judged: an order of a single item, such as a tank of petrol, is found or not, and
    many such orders raise the mean. On the 2,469 households of Complete Journey, products bought ten times or more,
    recall of ten by popularity is .086 over all last orders and .043 over those of three items or more (own habits,
    then popularity: .162 and .120; TIFU-KNN: .170 and .122). Papers differ in this, and seldom say so.

    Examples
    --------
    >>> from crmlytics import Transactions
    >>> from crmlytics.datasets import load_complete_journey
    >>> from crmlytics.sequences import PersonalThenPopularRecommender, PopularRecommender, evaluate_last_orders
    >>> orders = Transactions(
    ...     load_complete_journey().transactions, customer_id="household_id", order_id="basket_id",
    ...     timestamp="transaction_timestamp", amount="sales_value",
    ... )
    >>> models = [PopularRecommender(), PersonalThenPopularRecommender()]
    >>> evaluation = evaluate_last_orders(models, orders, as_of="2018-01-01", baselines=[])
    >>> print(evaluation.to_frame()[["model", "active_share", "recall", "hit_rate"]].round(3).to_string())
                                model  active_share  recall  hit_rate
    0  PersonalThenPopularRecommender           1.0   0.132     0.541
    1              PopularRecommender           1.0   0.071     0.321
    """
    caller = "evaluate_last_orders"
    moment = as_moment(as_of, caller=caller)
    k, least = check_count(k, name="k", caller=caller), check_count(min_items, name="min_items", caller=caller)
    compared = Contestants.of(models, baselines, caller=caller)
    table = Transactions.bind(transactions)
    split = split_off_last(table, moment, least, item=compared.item, caller=caller)
    return _evaluation(compared, [split], k, (replicates, random_state), table.engine.without_table, caller=caller)


def plot_evaluation(evaluation: Evaluation | Any, *, metric: str = "recall", ax: Axes | None = None) -> Axes:
    """Draw a metric of all models with its intervals, the best model on top; baselines are grey.

    Parameters
    ----------
    evaluation : Evaluation
    metric : str, default "recall"
        One of ``recall``, ``precision``, ``ndcg``, ``hit_rate``, ``reciprocal_rank``, ``repeat_recall`` and
        ``explore_recall``: those of :meth:`Evaluation.comparison_table`, which have an interval. Probabilities are
        judged in :meth:`Evaluation.to_frame`.
    ax : matplotlib Axes, optional

    Returns
    -------
    matplotlib Axes
    """
    from crmlytics._plots import INK, MUTED, PALETTE, axes, tidy

    caller = "plot_evaluation"
    check_choice(metric, METRICS, name="metric", caller=caller)
    if not isinstance(evaluation, Evaluation):
        msg = f"{caller}: expected an Evaluation, as evaluate(...) returns it, got {type(evaluation).__name__}."
        raise SchemaError(msg)
    table = to_pandas(evaluation.comparison_table(), caller=caller)
    table = table[table["metric"] == metric].sort_values("value", kind="stable").reset_index(drop=True)
    baselines = {name for name, is_one in zip(evaluation.models, evaluation.is_baseline, strict=True) if is_one}
    ax = tidy(axes(ax, size=(8, 1.2 + 0.4 * len(table))), grid="x")
    for place, row in table.iterrows():
        colour = MUTED if row["model"] in baselines else PALETTE[0]
        ax.plot([row["value_low"], row["value_high"]], [place, place], color=colour, linewidth=2, alpha=0.5)
        ax.plot(row["value"], place, "o", color=colour, markersize=7)
    ax.set_yticks(range(len(table)), table["model"], color=INK)
    ax.set_ylim(-0.5, len(table) - 0.5)
    ax.set_xlim(left=0)
    ax.set_xlabel(f"{metric.replace('_', ' ')} of {evaluation.k} suggestions, with 95% interval")
    return ax


# -- judging ---------------------------------------------------------------------------------------------------------


def _evaluation(
    compared: Contestants,
    splits: list[Split],
    k: int,
    samples: tuple[int, int],
    engine: Engine,
    *,
    caller: str,
) -> Evaluation:
    replicates = check_count(samples[0], name="replicates", caller=caller)
    seed = check_count(samples[1], name="random_state", caller=caller, least=0)
    for split in splits:
        _refuse_empty(split, caller=caller)
    judged, fitted = [], {}
    for name, model in compared.models.items():
        row = []
        for split in splits:
            fitted[name] = fit_copy(model, split)
            row.append(judge(fitted[name], split, k))
        judged.append(row)
    values = np.array([np.concatenate([found for found, _ in row], axis=1) for row in judged])
    order, reference = _ranked_models(values, compared.is_baseline)
    ids = np.concatenate([split.history.sequence_ids[split.is_judged] for split in splits])
    customer = np.unique(ids, return_inverse=True)[1]
    names = list(compared.models)
    return Evaluation(
        models=tuple(names[number] for number in order),
        is_baseline=compared.is_baseline[order],
        cutoffs=tuple(split.moment for split in splits),
        k=k,
        customer_counts=np.array([split.is_judged.sum() for split in splits], np.int64),
        active_counts=np.array([(split.sizes()[split.is_judged] > 0).sum() for split in splits], np.int64),
        means=np.array([[mean_of_known(found.T, axis=0) for found, _ in judged[number]] for number in order]),
        others=np.array([[others for _, others in judged[number]] for number in order]),
        intervals=bootstrap(values[order], customer, reference, replicates=replicates, seed=seed),
        reference=reference,
        fitted=fitted,
        engine=engine,
    )


def _refuse_empty(split: Split, *, caller: str) -> None:
    if not split.sizes()[split.is_judged].any():
        if split.horizon is None:
            msg = f"{caller}: no last order is large enough, so there is nothing to judge by. Take fewer min_items."
        else:
            msg = (
                f"{caller}: no customer known at {split.moment:%Y-%m-%d} bought anything in the {split.horizon} days "
                "from then, so there is nothing to judge by. Take another as_of, a longer horizon or fewer cutoffs."
            )
        raise SchemaError(msg)


def _ranked_models(values: NDArray[np.float64], is_baseline: NDArray[np.bool_]) -> tuple[NDArray[np.int64], int]:
    """Return the models by recall, equals as given, and the place of the best baseline in this order (-1: none)."""
    recall = mean_of_known(values[:, METRICS.index("recall"), :], axis=1)
    order = np.argsort(-recall, kind="stable")
    found = np.flatnonzero(is_baseline[order])
    return order, int(found[0]) if len(found) else -1
