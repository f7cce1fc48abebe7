"""The model of leads: the probability that one converts within a stated time of its creation."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import narwhals.stable.v2 as nw
import numpy as np
from sklearn.utils.validation import check_is_fitted

from crmlytics._frames import enter
from crmlytics.leads._columns import OUTCOMES
from crmlytics.leads._grades import GRADES, check_grades, grade_expression
from crmlytics.leads._missing import MISSING_WORDS, check_missing_words, without_words
from crmlytics.scoring._model import ScoringModel

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crmlytics.scoring._predictions import Predictions
    from crmlytics.scoring._reading import Rows

FEW_PERIODS = 60  # with more moments of creation than that, months are looked at


class LeadModel(ScoringModel):
    """Score leads by the probability that they convert within a stated time of their creation.

    A :class:`crmlytics.scoring.ScoringModel` for a ready table of leads whose outcome is known: models compete on leads
    created later than those they learnt from, and the best is calibrated. Words that stand for no answer are missing,
    and each score has a grade. :func:`score_leads` makes the table, and the model, from what a sales system exports.

    Parameters
    ----------
    target : str, default "converted"
        The column of the outcome: whether the lead converted within the stated time of its creation.
    key : str, default "lead_id"
    time : str or None, default "created_at"
        The column of the moment of creation: models are then chosen and judged on later leads.
    purge : str or timedelta
        The stated time, such as ``"90d"``: so long after its creation the outcome of a lead was known.
    features, exclude, baselines, model, monotone, random_state
        As :class:`~crmlytics.scoring.ScoringModel` takes them. ``stage``, ``converted`` and ``converted_at`` are never
        features: they are the outcome by other names.
    grades : dict of letter to float
        The least lift (times the base rate) of each grade, falling to 0. By default A is at least twice as likely as
        the average lead, B at least as likely, C at least half as likely, D less.
    missing_words : list of str
        Words that stand for no answer, such as "Select" and "unknown" (large or small letters, blanks around them).

    Attributes
    ----------
    fitted_, selection_, base_rate_, evaluation_, ...
        As :class:`~crmlytics.scoring.ScoringModel` has them.

    Notes
    -----
    Under 100 conversions (or 100 leads that did not convert) only logistic regressions with a strong ridge are tried,
    and a warning says so; under 10 there is nothing to learn, and an error does.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> visits = rng.integers(0, 10, 1000)
    >>> leads = pd.DataFrame({"lead_id": range(1000), "visits": visits})
    >>> leads["industry"] = rng.choice(["Retail", "Select"], 1000)
    >>> leads["converted"] = rng.random(1000) < 0.05 + 0.04 * visits
    >>> model = LeadModel().fit(leads)
    >>> scores = model.score_table(leads)
    >>> list(scores.columns)
    ['lead_id', 'conversion_probability', 'lift', 'grade']
    """

    probability_name: ClassVar[str] = "conversion_probability"
    noun: ClassVar[str] = "leads"

    def __init__(
        self,
        *,
        target: str = "converted",
        key: str | Sequence[str] = "lead_id",
        time: str | None = "created_at",
        purge: Any = None,
        features: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        baselines: Sequence[str] = (),
        model: Any = "auto",
        monotone: Mapping[str, int] | None = None,
        grades: Mapping[str, float] = GRADES,
        missing_words: Iterable[str] = MISSING_WORDS,
        random_state: int = 0,
    ) -> None:
        super().__init__(
            target=target, key=key, time=time, purge=purge, features=features, exclude=exclude, baselines=baselines,
            model=model, monotone=monotone, random_state=random_state,
        )  # fmt: skip
        self.grades = grades
        self.missing_words = missing_words

    def score_table(self, X: Any) -> Any:
        """Score leads of any engine.

        Returns
        -------
        dataframe of the kind that came in, one row per lead, sorted by the key
            The key (``row_number`` for a table without one), ``conversion_probability`` (Float64, calibrated, of
            converting within the stated time of creation), ``lift`` (Float64, times the base rate), ``grade`` (String).
        """
        check_is_fitted(self, "fitted_")
        caller = "LeadModel.score_table"
        grades = check_grades(self.grades, caller=caller)
        plan, engine = enter(super().score_table(self._cleaned(X, caller=caller)), caller=caller)
        return engine.to_native(plan.with_columns(grade=grade_expression(nw.col("lift"), grades)))

    def reason_table(self, X: Any, *, n: int = 3) -> Any:  # noqa: D102  as the base class says
        return super().reason_table(self._cleaned(X, caller="LeadModel.reason_table"), n=n)

    def contribution_table(self, X: Any) -> Any:  # noqa: D102  as the base class says
        return super().contribution_table(self._cleaned(X, caller="LeadModel.contribution_table"))

    # -- inside ------------------------------------------------------------------------------------------------------

    def _rows(self, X: Any, y: Any, *, caller: str) -> Rows:
        check_grades(self.grades, caller=caller)
        return super()._rows(self._cleaned(X, caller=caller), y, caller=caller)

    def _design(self, X: Any, *, caller: str) -> Any:
        return super()._design(self._cleaned(X, caller=caller), caller=caller)

    def _apart(self, rows: Rows) -> set[str]:
        return super()._apart(rows) | set(OUTCOMES)

    def _keep(self, *learnt: Any) -> None:
        super()._keep(*learnt)
        self.predictions_ = tuple(map(_by_month, self.predictions_))

    def _cleaned(self, X: Any, *, caller: str) -> Any:
        words = check_missing_words(self.missing_words, caller=caller)
        key = [self.key] if isinstance(self.key, str) else self.key
        return without_words(X, words, keep=[*key, self.target], caller=caller)


def _by_month(predictions: Predictions) -> Predictions:
    """Put leads of a month together where hardly two were created at the same moment."""
    if predictions.period is None or len(np.unique(predictions.period)) <= FEW_PERIODS:
        return predictions
    if predictions.period.dtype.kind != "M":
        return predictions
    return replace(predictions, period=predictions.period.astype("datetime64[M]").astype("datetime64[us]"))
