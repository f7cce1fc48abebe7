"""The propensity model, on a ready table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from crmlytics.scoring._model import ScoringModel

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


class PropensityModel(ScoringModel):
    """Score customers by the probability that they buy, on a ready table.

    The table has one row per customer, or one per customer and ``cutoff``, features as they were known then, and the
    outcome ``bought``: from :class:`crmlytics.snapshots.Snapshots`, or one of your own. :func:`score_propensity` does
    all of it from transactions.

    Parameters
    ----------
    target : str, default "bought"
        The column of the outcome: true or false, 1 or 0, yes or no; such as ``"bought_DAIRY"`` or ``"responded"``.
    key, time, purge, features, exclude, baselines, model, monotone, random_state
        As in :class:`crmlytics.scoring.ScoringModel`. Labels that stand beside the target in a panel
        (``future_amount``, ``bought_<value>`` and so on) are never features.

    Notes
    -----
    Who is likely to buy is not who buys because of an offer: many of the likeliest would buy anyway. That is what
    holding customers out tells.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"customer_id": range(400), "recency_days": rng.integers(1, 200, 400)})
    >>> table["bought"] = rng.random(400) < 0.8 - table["recency_days"] / 300
    >>> model = PropensityModel(model="logistic").fit(table)
    >>> list(model.score_table(table).columns)
    ['customer_id', 'buy_probability', 'lift']
    """

    probability_name: ClassVar[str] = "buy_probability"

    def __init__(
        self,
        *,
        target: str = "bought",
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
