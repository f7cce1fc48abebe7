"""A model that scores customers: chosen out of time, calibrated, with its evaluation attached."""

from __future__ import annotations

import inspect
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from crmlytics._frames import columns_of, enter, to_pandas
from crmlytics._kernels.classification import auc, probability_of
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_count, did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.scoring._candidates import FEW, candidates, knows_threads
from crmlytics.scoring._card import CardFacts, ModelCard, current_versions
from crmlytics.scoring._encoding import learn_encoder, looks_like_id
from crmlytics.scoring._evaluation import Evaluation, evaluate_predictions
from crmlytics.scoring._fitting import Lessons, held_out, learn
from crmlytics.scoring._importance import importance_columns
from crmlytics.scoring._oracles import LOOKED_AT, telling_columns
from crmlytics.scoring._persistence import save_model
from crmlytics.scoring._reading import (
    column_of,
    feature_names,
    labels_of,
    read_baselines,
    read_outcome,
    read_period,
    read_rows,
)
from crmlytics.scoring._reasons import explain
from crmlytics.scoring._scores import contribution_rows, probability_rows, reason_rows
from crmlytics.scoring._stability import in_words

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics.scoring._encoding import Design, Encoder
    from crmlytics.scoring._reading import Rows

FEWEST = 10  # outcomes of the rarer kind: with fewer there is nothing to learn from
WEIGHT = "_sample_weight"
MOST_CUTOFFS = 60  # on a card


class ScoringModel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Score the rows of a ready table by the probability of a yes-or-no outcome.

    Several models compete on rows that they have not seen, later ones where the table has a time: ridge logistic
    regressions on splines and histogram gradient boosting, from careful to flexible. The one with the lowest log loss
    is fitted on all rows, and a line through its log odds (Platt 1999) makes them come true. Nothing is resampled or
    weighted by class: that would improve no ranking and spoil every probability.

    Parameters
    ----------
    target : str
        The column of the outcome: true or false, 1 or 0, yes or no. Not needed where ``fit`` is given ``y``.
    key : str or sequence of str
        The columns that tell rows apart, the customer first. Never features; those that the table lacks are passed by.
    time : str or None
        The column of the cutoff of each row, dates or whole numbers: models are chosen and judged on later periods.
    purge : str or timedelta, optional
        How long after its cutoff a row's outcome was known, gap + horizon, such as ``"90d"``: rows to learn from lie so
        long before the period foretold. Needed where ``time`` holds several dates.
    features : sequence of str, optional
        The columns to learn from. Default: all that are not key, target, time, baseline or ``exclude``.
    exclude : sequence of str
        Columns never to learn from, such as what is filled in after the outcome.
    baselines : sequence of str
        Columns with scores to beat (higher is likelier). Never features.
    model : {"auto", "logistic", "boosting"} or classifier
        What competes; a scikit-learn classifier competes alone, on indicators of levels and standardised numbers.
    monotone : dict of feature to 1 or -1, optional
        What may only raise, or only lower, the score. Trees keep to it, so only they compete.
    random_state : int

    Attributes
    ----------
    fitted_ : Fitted
        The model, its encoder and its calibration line.
    selection_ : dict of candidate to float
        The log loss of each on rows it had not seen; the lowest was chosen.
    feature_names_in_ : array of str
        The columns that it learnt from.
    left_out_ : dict of column to str
        Columns that nothing can be learnt from, and why.
    base_rate_ : float
        Share of positive outcomes among the rows learnt from.
    classes_ : bool array

    References
    ----------
    Platt, J. (1999), Probabilistic outputs for support vector machines, Advances in large margin classifiers.
    van den Goorbergh, R. et al. (2022), The harm of class imbalance corrections for risk prediction models:
    illustration and simulation using logistic regression, JAMIA 29(9).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"customer_id": range(400), "recency_days": rng.integers(1, 200, 400)})
    >>> table["churned"] = rng.random(400) < table["recency_days"] / 250
    >>> model = ScoringModel(target="churned").fit(table)
    >>> scores = model.score_table(table)
    >>> list(scores.columns)
    ['customer_id', 'probability', 'lift']
    """

    probability_name: ClassVar[str] = "probability"
    noun: ClassVar[str] = "customers"  # who is scored, in words
    limits: ClassVar[tuple[str, ...]] = ()  # what a card of this model says beside what holds of all

    def __init__(
        self,
        *,
        target: str = "target",
        key: str | Sequence[str] = ("customer_id", "cutoff"),
        time: str | None = "cutoff",
        purge: Any = None,
        features: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        baselines: Sequence[str] = (),
        model: Any = "auto",
        monotone: Mapping[str, int] | None = None,
        random_state: int = 0,
    ) -> None:
        self.target = target
        self.key = key
        self.time = time
        self.purge = purge
        self.features = features
        self.exclude = exclude
        self.baselines = baselines
        self.model = model
        self.monotone = monotone
        self.random_state = random_state

    # -- learning ------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Choose, fit, calibrate and judge on a table of any kind; a lazy one is computed once.

        Parameters
        ----------
        X : dataframe, one row per key
        y : array, optional
            The outcome, row by row as in a table in memory; default: the column ``target``.

        Raises
        ------
        SchemaError
            With one outcome only, fewer than 10 of a kind, keys that come twice, or nothing to learn from.

        Warns
        -----
        DataQualityWarning
            Where few outcomes are known, and where a single column tells the outcome: such columns are mostly filled in
            after it.
        """
        caller = f"{type(self).__name__}.fit"
        rows = self._rows(X, y, caller=caller)
        outcome = read_outcome(column_of(rows, self.target, what="target", caller=caller), self.target, caller=caller)
        rarer = int(min(outcome.sum(), (~outcome).sum()))
        self._check_enough(rarer, _fewer_customers(rows.group, outcome), caller=caller)
        period, purge = read_period(rows, self.time, self.purge, caller=caller)
        self._check_excluded(rows, caller=caller)
        names = feature_names(rows, self.features, self._apart(rows), caller=caller)
        encoder = learn_encoder(rows.table, names, caller=caller)
        design = encoder.design(rows.table, caller=caller)
        _warn_of_oracles(design, outcome, caller=caller)
        baselines = read_baselines(rows, self.baselines, caller=caller)
        models = candidates(
            self.model, encoder.features, rarer, monotone=self.monotone, random_state=self.random_state, caller=caller
        )
        lessons = Lessons(design, outcome, rows.group, period, purge, baselines)
        self._keep(lessons, encoder, models, rows)
        return self

    def _keep(self, lessons: Lessons, encoder: Encoder, models: Mapping[str, Any], rows: Rows) -> None:
        learnt = learn(lessons, encoder, models, random_state=self.random_state)
        self.__dict__.pop("evaluation_", None)  # of an earlier fit
        self.fitted_ = learnt.fitted
        self.selection_, self.chosen_on_ = learnt.log_losses, learnt.chosen_on
        self.predictions_ = tuple(replace(one, noun=self.noun) for one in learnt.predictions)
        self.feature_names_in_ = np.array([feature.name for feature in encoder.features], dtype=object)
        self.left_out_ = dict(encoder.left_out)
        self.base_rate_ = float(lessons.outcome.mean())
        self.facts_ = _facts(lessons)
        self.key_ = rows.key
        self.engine_ = rows.engine.without_table
        self.classes_ = np.array([False, True])
        self.n_features_in_ = len(self.feature_names_in_)

    # -- scoring -------------------------------------------------------------------------------------------------

    def decision_function(self, X: Any) -> NDArray[np.float64]:
        """Return the calibrated log odds of the rows of a table in memory, in their order."""
        return self.fitted_.log_odds(self._design(X, caller=f"{type(self).__name__}.decision_function").matrix)

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probabilities of no and yes, row by row."""
        return _both(self.decision_function(X))

    def predict(self, X: Any) -> NDArray[np.bool_]:
        """Return whether yes is likelier than no. To act on it, take a threshold that pays: ``crm.decisions``."""
        return np.asarray(self.decision_function(X) > 0)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Return the area under the ROC curve."""
        caller = f"{type(self).__name__}.score"
        if sample_weight is not None:  # rows come out of _rows in the order of their key, and so must weights
            X = _with_column(X, sample_weight, WEIGHT, caller=caller)
        rows = self._rows(X, y, caller=caller)
        outcome = read_outcome(column_of(rows, self.target, what="target", caller=caller), self.target, caller=caller)
        weight = None if sample_weight is None else rows.table[WEIGHT].to_numpy()
        return auc(outcome, self.decision_function(rows.table), weight)

    def score_table(self, X: Any) -> Any:
        """Score a table of any engine; on Spark where the data are, elsewhere batch by batch.

        Returns
        -------
        dataframe of the kind that came in, one row per key, sorted by it
            The key (``row_number`` for a table without one), the probability (Float64, calibrated; its name says of
            what), ``lift`` (Float64, how many times the base rate among the rows learnt from).
        """
        check_is_fitted(self, "fitted_")
        caller = f"{type(self).__name__}.score_table"
        return probability_rows(self, X, caller=caller)

    def reason_table(self, X: Any, *, n: int = 3) -> Any:
        """Say why each row has its score: its ``n`` weightiest features.

        Returns
        -------
        dataframe of the kind that came in, one row per key and reason, sorted by key and ``rank``
            The key, ``rank`` (Int64, 1 is the weightiest), ``feature``, ``value`` (String, the row's own),
            ``contribution`` (Float64, to the log odds), ``odds_factor`` (Float64, its exponential), ``direction``
            (``"raises"`` or ``"lowers"``), ``reason`` (String, in words).

        Notes
        -----
        Contributions are those of :meth:`contribution_table`. They say what the model made of a value, not what would
        happen if the value were changed.
        """
        check_is_fitted(self, "fitted_")
        caller = f"{type(self).__name__}.reason_table"
        n = check_count(n, name="n", caller=caller)
        return reason_rows(self, X, n=n, caller=caller)

    def contribution_table(self, X: Any) -> Any:
        """Take each score apart: what every feature adds to the log odds.

        Returns
        -------
        dataframe of the kind that came in, one row per key, sorted by it
            The key, ``base`` (Float64, the log odds of nobody in particular), one column a feature, ``log_odds``: their
            sum, which is that of the probability. Exact for the models of this library (terms of the logistic
            regression; Shapley values of the trees, Lundberg et al. 2020); of a classifier of yours each value is
            estimated, and the sum exact.
        """
        check_is_fitted(self, "fitted_")
        return contribution_rows(self, X, caller=f"{type(self).__name__}.contribution_table")

    # -- judging -------------------------------------------------------------------------------------------------

    @cached_property
    def evaluation_(self) -> Evaluation:
        """How good the model was on rows that it had not seen, out of time beside random folds; made when asked for."""
        check_is_fitted(self, "fitted_")
        return evaluate_predictions(self.predictions_, engine=self.engine_, seed=self.random_state)

    def importance_table(self, X: Any, *, repeats: int = 5) -> Any:
        """Say what the model's quality hangs on: how much worse it judges when a feature is shuffled.

        The model chosen learns anew from four fifths of the customers and is judged on the last fifth, five times.

        Parameters
        ----------
        X : dataframe with the outcome, such as the one it was fitted on
        repeats : int
            How often each feature is shuffled in each fold.

        Returns
        -------
        dataframe of the kind that came in, one row per feature, the most important first
            ``feature``; ``log_loss_increase`` and ``auc_drop`` (Float64, when it is shuffled), each with ``_low`` and
            ``_high`` (95%, over customers and shuffles); ``mean_abs_contribution`` (Float64, to the log odds).

        Notes
        -----
        Features that say the same stand in for each other: shuffling one of them costs little.
        """
        check_is_fitted(self, "fitted_")
        caller = f"{type(self).__name__}.importance_table"
        rows = self._rows(X, None, caller=caller)
        lessons = self._lessons(rows, caller=caller)
        folds = held_out(self.fitted_.estimator, lessons, random_state=self.random_state)
        some = np.arange(0, len(lessons), max(len(lessons) // LOOKED_AT, 1))
        added = explain(self.fitted_, lessons.design.rows(some))
        columns = importance_columns(
            list(self.feature_names_in_), folds, added.contributions, repeats=repeats, random_state=self.random_state,
            in_threads=knows_threads(self.fitted_.estimator),
        )  # fmt: skip
        return table_with_lists(rows.engine, columns)

    def card(
        self, *, definition: str | None = None, horizon: str | None = None, gap: str | None = None,
        as_of: str | None = None,
    ) -> ModelCard:  # fmt: skip
        """Return the model card: data, windows, candidates, figures, features, limits.

        Parameters
        ----------
        definition : str, optional
            What a positive outcome is, in words.
        horizon, gap, as_of : str, optional
            The windows of the labels and the day of training, where the table does not say them.
        """
        check_is_fitted(self, "fitted_")
        facts = CardFacts(
            model=type(self).__name__, target=self.target, definition=definition or f"{self.target} is true",
            candidates=self.selection_, chosen=self.fitted_.name,
            why=f"lowest log loss, {self.chosen_on_}" if len(self.selection_) > 1 else "the only one that competed",
            features=list(self.feature_names_in_), intercept=self.fitted_.intercept, slope=self.fitted_.slope,
            left_out=self.left_out_, horizon=horizon, gap=gap, as_of=as_of, limits=self.limits, **self.facts_,
        )  # fmt: skip
        return ModelCard(facts, self.evaluation_)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the model; ``crm.scoring.load_model(path, trusted=True)`` reads it again."""
        check_is_fitted(self, "fitted_")
        save_model(self, path)

    # -- inside --------------------------------------------------------------------------------------------------

    @property
    def key_names(self) -> list[str]:
        """The columns of the key, those that a table may lack among them."""
        return [self.key] if isinstance(self.key, str) else list(self.key)

    def _lessons(self, rows: Rows, *, caller: str) -> Lessons:
        outcome = read_outcome(column_of(rows, self.target, what="target", caller=caller), self.target, caller=caller)
        design = self.fitted_.encoder.design(rows.table, caller=caller)
        return Lessons(design, outcome, rows.group, None, 0, {})

    def _rows(self, X: Any, y: Any, *, caller: str) -> Rows:
        if y is not None:
            X = _with_column(X, y, self.target, caller=caller)
        self._check_key(X, caller=caller)
        return read_rows(X, key=self.key_names, caller=caller)

    def _check_key(self, X: Any, *, caller: str) -> None:
        """Refuse a key that the caller named and the table lacks; the usual one may be missing, but not unsaid."""
        usual = inspect.signature(type(self)).parameters["key"].default
        names = columns_of(enter(X, caller=caller)[0])
        missing = [name for name in self.key_names if name not in names]
        if missing and self.key != usual:
            close = did_you_mean(missing[0], names)
            msg = f"{caller}: key names {missing[0]!r}, no such column.{close} Columns: {names}"
            raise MissingColumnsError(msg)
        likely = [name for name in names if looks_like_id(name)]
        if len(missing) == len(self.key_names) and likely and missing:
            warn(
                f"{caller}: the table has no {missing[0]!r}, so every row counts as a customer of its own. If "
                f"{likely[0]!r} is the customer, type key={likely[0]!r}. It is not learnt from."
            )

    def _check_excluded(self, rows: Rows, *, caller: str) -> None:
        names = list(rows.table.columns)
        for name in [self.exclude] if isinstance(self.exclude, str) else self.exclude:
            if name not in names:
                msg = f"{caller}: exclude names {name!r}, no such column.{did_you_mean(name, names)} Columns: {names}"
                raise MissingColumnsError(msg)

    def _apart(self, rows: Rows) -> set[str]:
        time = [self.time] if self.time else []
        return {self.target, *labels_of(rows.table.columns), *self.exclude, *self.baselines, *time}

    def _check_enough(self, rarer: int, customers: int, *, caller: str) -> None:
        if rarer >= FEWEST > customers:
            msg = (
                f"{caller}: the rows with one outcome of {self.target!r} belong to {customers} customers only, and it "
                f"takes {FEWEST} to learn from."
            )
            raise SchemaError(msg)
        if rarer < FEWEST:
            msg = (
                f"{caller}: {rarer} rows have the rarer outcome of {self.target!r}, and it takes {FEWEST} to learn "
                "from. Take more customers, earlier cutoffs as well, or a longer horizon."
            )
            raise SchemaError(msg)
        if rarer < FEW:
            warn(
                f"{caller}: {rarer} rows have the rarer outcome of {self.target!r}. Under {FEW}, only smooth models "
                "with a strong ridge are tried: scores stay near the mean, and figures are rough."
            )

    def _design(self, X: Any, *, caller: str) -> Design:
        check_is_fitted(self, "fitted_")
        return self.fitted_.encoder.design(to_pandas(X, caller=caller), caller=caller)


def _facts(lessons: Lessons) -> dict[str, Any]:
    """Return what a model card says of the rows learnt from."""
    periods: Any = [] if lessons.period is None else np.unique(lessons.period)
    return {
        "row_count": len(lessons),
        "customer_count": len(np.unique(lessons.group)),
        "positive_count": int(lessons.outcome.sum()),
        "cutoffs": [in_words(moment) for moment in periods] if len(periods) <= MOST_CUTOFFS else [],
        "versions": current_versions(),
    }


def _fewer_customers(group: NDArray[np.int64], outcome: NDArray[np.bool_]) -> int:
    return min(len(np.unique(group[outcome])), len(np.unique(group[~outcome])))


def _both(odds: NDArray[np.float64]) -> NDArray[np.float64]:
    probability = probability_of(odds)
    return np.column_stack([1 - probability, probability])


def _with_column(X: Any, values: Any, name: str, *, caller: str) -> Any:
    table = to_pandas(X, caller=caller)
    if len(table) != len(values):
        msg = f"{caller}: X has {len(table):,} rows, and {len(values):,} values came with it."
        raise SchemaError(msg)
    return table.assign(**{name: np.asarray(values)})


def _warn_of_oracles(design: Design, outcome: NDArray[np.bool_], *, caller: str) -> None:
    """Warn of columns that tell the outcome by themselves."""
    found = telling_columns(design, outcome)
    if found:
        warn(
            f"{caller}: {found} alone tell the outcome all but exactly. Such columns are mostly filled in after it. "
            f"Look where they come from, and leave them out: exclude={found}."
        )
