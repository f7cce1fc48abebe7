"""The churn model, on a ready table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from crmlytics.scoring._card import RETENTION
from crmlytics.scoring._model import ScoringModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class ChurnModel(ScoringModel):
    """Score customers by the probability that they leave, on a ready table.

    The table has one row per customer, or one per customer and ``cutoff``, features as they were known then, and the
    outcome ``churned``: from :class:`crmlytics.snapshots.Snapshots`, or one of your own. :func:`score_churn` does all
    of it from transactions.

    Parameters
    ----------
    target : str, default "churned"
        The column of the outcome: true or false, 1 or 0, yes or no.
    key, time, purge, features, exclude, baselines, model, monotone, random_state
        As in :class:`crmlytics.scoring.ScoringModel`. Labels that stand beside the target in a panel (``bought``,
        ``future_amount`` and so on) are never features.

    Notes
    -----
    A high probability says who is at risk, not who can be persuaded to stay: Ascarza, E. (2018), Retention futility:
    targeting high-risk customers might be ineffective, Journal of Marketing Research 55(1).

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"customer_id": range(400), "tenure_months": rng.integers(1, 72, 400)})
    >>> table["churned"] = rng.random(400) < 0.6 - table["tenure_months"] / 144
    >>> model = ChurnModel(model="logistic").fit(table)
    >>> list(model.score_table(table).columns)
    ['customer_id', 'churn_probability', 'lift']
    """

    probability_name: ClassVar[str] = "churn_probability"
    limits: ClassVar[tuple[str, ...]] = (RETENTION,)

    def __init__(
        self,
        *,
        target: str = "churned",
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
        super().__init__(
            target=target, key=key, time=time, purge=purge, features=features, exclude=exclude, baselines=baselines,
            model=model, monotone=monotone, random_state=random_state,
        )  # fmt: skip
