"""One model against one split: fitted to the history, compared with what was bought then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._kernels.ranking import Lists, calibration, customer_metrics
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.sequences._recommender import NextItemRecommender, Ranked
    from crmlytics.sequences._splits import Split

OTHERS = ("coverage_share", "brier_score", "calibration_slope", "calibration_error", "date_error_days")


@dataclass(frozen=True, slots=True, eq=False)
class Contestants:
    """Models to compare, by name, and which of them are baselines."""

    models: dict[str, NextItemRecommender]
    is_baseline: NDArray[np.bool_]

    @property
    def item(self) -> str:
        """What an item is, for all of them."""
        return next(iter(self.models.values())).item

    @classmethod
    def of(cls, models: Any, baselines: Any, *, caller: str) -> Contestants:
        """Name copies of models and, after them, of baselines; None: of all there are."""
        named = _by_name(models, name="models", caller=caller)
        if not named:
            msg = f"{caller}: models must be a recommender, a list of such or a mapping by name, got {models!r}."
            raise SchemaError(msg)
        like = next(iter(named.values()))
        others = _by_name(baselines, name="baselines", caller=caller)
        if baselines is None:
            others = {name: model for name, model in _default_baselines(like).items() if name not in named}
        if twice := sorted(named.keys() & others.keys()):
            msg = f'{caller}: {twice} are among models and baselines. Name yours: models={{"ours": ...}}.'
            raise SchemaError(msg)
        everything = named | others
        for model in everything.values():
            model._check(caller=caller)  # noqa: SLF001  recommenders have two faces: frames and arrays
        items = sorted({model.item for model in everything.values()})
        if len(items) > 1:
            got = " and ".join(map(repr, items))
            msg = f"{caller}: models and baselines must agree in what an item is, got item={got}."
            raise SchemaError(msg)
        return cls(everything, np.arange(len(everything)) >= len(named))


def fit_copy(model: NextItemRecommender, split: Split) -> NextItemRecommender:
    """Return a copy that knows what was bought before the cutoff, and nothing else."""
    from sklearn.base import clone

    blank: NextItemRecommender = clone(model)
    return blank._fit_arrays(split.history, split.moment, split.now, split.horizon)  # noqa: SLF001


def judge(fitted: NextItemRecommender, split: Split, k: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compare suggestions with what was bought: the figures of each customer, and those of nobody in particular."""
    from crmlytics.sequences._allowed import Allowed, is_among

    history, now = split.history, split.now
    ranked: Ranked = fitted._rank(history, now, k, Allowed.of(history, which=fitted.which))  # noqa: SLF001
    owner = ranked.owners()
    keys = owner * split.width + ranked.items
    lists = Lists(owner, ranked.ranks(), is_among(keys, split.bought), is_among(keys, split.own()))
    values = customer_metrics(lists, split.sizes(), split.repeated(), k)[:, split.is_judged]
    columns = fitted._columns(ranked, history, now)  # noqa: SLF001
    return values, _other_metrics(columns, ranked, lists.is_hit, split)


def _other_metrics(
    columns: dict[str, Any], ranked: Ranked, is_hit: NDArray[np.bool_], split: Split
) -> NDArray[np.float64]:
    """Return coverage, Brier score, calibration slope, calibration error and the error of dates."""
    judged = split.is_judged[ranked.owners()]
    coverage = len(np.unique(ranked.items[judged])) / len(split.history.item_ids)
    found = [np.nan] * 3
    if "probability" in columns:
        probability = np.asarray(columns["probability"], np.float64)
        known = judged & ~np.isnan(probability)
        found = list(calibration(probability[known], is_hit[known]))
    if split.horizon is None:  # an order that came: the day of the cut is its own, and there is no date to foretell
        return np.array([coverage, *found, np.nan])
    return np.array([coverage, *found, _date_error(columns.get("expected_date"), ranked, is_hit & judged, split)])


def _date_error(expected: Any, ranked: Ranked, is_hit: NDArray[np.bool_], split: Split) -> float:
    """Return the mean distance in days of expected and first date, over suggestions with a date that were bought."""
    if expected is None:
        return float("nan")
    dates = np.asarray(expected, "datetime64[D]")
    dated = is_hit & ~np.isnat(dates)
    keys = ranked.owners()[dated] * split.width + ranked.items[dated]
    actual = split.day[np.searchsorted(split.bought, keys)]
    return float(np.abs(dates[dated].astype(np.int64) - actual).mean()) if dated.any() else float("nan")


def mean_of_known(values: NDArray[np.float64], axis: int = 1) -> NDArray[np.float64]:
    """Return the mean of what is not NaN; NaN where nothing is known."""
    known = ~np.isnan(values)
    counts = known.sum(axis=axis)
    total: NDArray[np.float64] = np.where(known, values, 0).sum(axis=axis)
    return np.where(counts > 0, total / np.maximum(counts, 1), np.nan)


def _by_name(models: Any, *, name: str, caller: str) -> dict[str, NextItemRecommender]:
    """Return copies of models by name: that of their class, or the key of a mapping."""
    from sklearn.base import clone

    from crmlytics.sequences._recommender import NextItemRecommender

    models = [] if models is None else models
    if isinstance(models, Mapping):
        named = dict(models)
    else:
        listed = list(models) if isinstance(models, Sequence) else [models]
        named = {type(model).__name__: model for model in listed}
        if len(named) < len(listed):
            msg = f'{caller}: {name} has several of one class. Name them: {name}={{"a": ..., "b": ...}}.'
            raise SchemaError(msg)
    for model in named.values():
        if not isinstance(model, NextItemRecommender):
            msg = f"{caller}: {name} must be recommenders such as PopularRecommender(), got {model!r:.80}."
            raise SchemaError(msg)
    return {str(key): clone(model) for key, model in named.items()}


def _default_baselines(like: NextItemRecommender) -> dict[str, NextItemRecommender]:
    """Return every baseline, to suggest what the model ``like`` suggests."""
    from crmlytics.sequences import baselines

    classes = [
        baselines.PopularRecommender, baselines.PersonalTopRecommender, baselines.PersonalThenPopularRecommender,
        baselines.DecayedRepeatRecommender, baselines.MarkovRecommender, baselines.TIFUKNNRecommender,
    ]  # fmt: skip
    return {kind.__name__: kind(item=like.item, which=like.which) for kind in classes}
