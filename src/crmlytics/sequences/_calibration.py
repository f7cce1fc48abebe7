"""How probable it is that a candidate is bought: boosted trees, and a line that makes their odds come true."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from crmlytics._kernels.working import in_parts
from crmlytics._validation import warn
from crmlytics.exceptions import SchemaError
from crmlytics.scoring._folds import deal_customers

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.sequences._training import Lessons

FOLDS = 3
FEW = 500  # purchases: with fewer, trees learn chance by heart and a logistic regression does better
FEWEST = 10  # customers who bought a candidate: with fewer there is nothing to learn from
ENOUGH = 100  # such customers: with fewer a good rule is often better
LEAST = 1e-6  # no candidate is impossible, none is certain


@dataclass(frozen=True, slots=True, eq=False)
class Ranker:
    """Models that each learnt from two thirds of the customers, and what their mean log odds are worth.

    Attributes
    ----------
    models : list of classifiers
    slope, intercept : float
        Of the line from the mean log odds of the models to those that came true among customers they had not seen; a
        slope of 0 says that nothing was learnt.
    """

    models: list[Any]
    slope: float
    intercept: float

    def probability(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how probable it is that each candidate is bought."""
        if not len(features):
            return np.empty(0)
        odds = np.mean([_log_odds(model, features) for model in self.models], axis=0)
        probability: NDArray[np.float64] = 1 / (1 + np.exp(-(self.intercept + self.slope * odds)))
        return probability


def fit_ranker(lessons: Lessons, random_state: int, *, caller: str) -> Ranker:
    """Learn from candidates at earlier cuts: no customer calibrates a model that has seen that customer."""
    buyers = np.unique(lessons.customer[lessons.bought])
    if len(buyers) < FEWEST:
        msg = (
            f"{caller}: {len(buyers):,} customers bought one of their candidates in the periods to learn from, and it "
            f'takes {FEWEST}. Take a longer horizon, item="category", or PersonalThenPopularRecommender.'
        )
        raise SchemaError(msg)
    if len(buyers) < ENOUGH:
        warn(
            f"{caller}: {len(buyers):,} customers bought one of their candidates in the periods to learn from: with "
            f"under {ENOUGH} a simple rule is often better. Compare PersonalThenPopularRecommender by evaluate()."
        )
    fold = deal_customers(lessons.customer, lessons.bought, FOLDS, random_state)

    def learn(number: int) -> tuple[Any, NDArray[np.float64]]:
        seen = fold != number
        model = _model(int(lessons.bought.sum()), random_state)
        model = _fit(model, lessons.features[seen], lessons.bought[seen], lessons.weight[seen])
        return model, _log_odds(model, lessons.features[~seen])

    learnt = in_parts(learn, range(FOLDS), label="models")
    odds = np.empty(len(fold))
    for number, (_, foretold) in enumerate(learnt):
        odds[fold == number] = foretold
    line = _line(odds, lessons.bought, lessons.weight)
    if not line[0]:
        warn(
            f"{caller}: nothing was learnt of which candidates are bought: all have the same probability and rank by "
            'popularity. Take PersonalThenPopularRecommender, or a longer horizon or item="category".'
        )
    return Ranker([model for model, _ in learnt], *line)


def _model(purchases: int, random_state: int) -> Any:
    """Return the model that suits what there is to learn from."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    if purchases < FEW:
        return make_pipeline(FunctionTransformer(_in_logs), StandardScaler(), LogisticRegression(max_iter=1000))
    return HistGradientBoostingClassifier(
        max_iter=100, learning_rate=0.08, max_leaf_nodes=31, min_samples_leaf=100, l2_regularization=1.0,
        early_stopping=False, random_state=random_state,
    )  # fmt: skip


def _in_logs(features: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return features that a straight line can weigh: logs of counts and days; what is not known is far away."""
    known = np.isfinite(features)
    return np.hstack([np.log1p(np.where(known, features, 0).astype(np.float64)), ~known])


def _one_thread() -> Any:
    """Let trees work in this thread alone: it is one of ours, and more of theirs would wait for one another.

    The limit of OpenMP belongs to a thread. That of BLAS belongs to the process: threads that set it and set it back
    would leave it wherever the last of them found it.
    """
    return threadpool_limits(1, user_api="openmp")


def _fit(model: Any, features: NDArray[np.float32], bought: NDArray[np.bool_], weight: NDArray[np.float64]) -> Any:
    name = f"{model.steps[-1][0]}__sample_weight" if hasattr(model, "steps") else "sample_weight"
    unknown = ~np.isfinite(features).any(axis=0)
    if unknown.any():  # such as the intervals of items that are new to everybody: trees want a value to bin
        features = np.where(unknown, np.float32(0), features)
    with _one_thread():
        return model.fit(features, bought, **{name: weight})


def _log_odds(model: Any, features: NDArray[np.float32]) -> NDArray[np.float64]:
    with _one_thread():
        probability = np.clip(model.predict_proba(features)[:, 1], LEAST, 1 - LEAST)
    odds: NDArray[np.float64] = np.log(probability / (1 - probability))
    return odds


def _line(odds: NDArray[np.float64], bought: NDArray[np.bool_], weight: NDArray[np.float64]) -> tuple[float, float]:
    """Return slope and intercept of the log odds that came true on those foretold (Platt 1999).

    Where those foretold to be likelier were not, the slope is 0, and everything as probable as the mean.
    """
    from sklearn.linear_model import LogisticRegression

    middle, spread = odds.mean(), odds.std()
    if spread > LEAST:  # in units of its own, so that the search for the line ends at it however alike the odds are
        line = LogisticRegression(C=np.inf).fit((odds[:, None] - middle) / spread, bought, sample_weight=weight)
        if (slope := float(line.coef_[0, 0] / spread)) > LEAST:
            return slope, float(line.intercept_[0] - slope * middle)
    return 0.0, float(np.log(weight[bought].sum() / weight[~bought].sum()))
