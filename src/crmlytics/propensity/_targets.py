"""One model a target: what they share, what each has of its own, and all scores in one pass over the customers."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import enter
from crmlytics._kernels.classification import probability_of
from crmlytics._validation import warn
from crmlytics.exceptions import SchemaError
from crmlytics.propensity.modelling import PropensityModel
from crmlytics.scoring._batches import score_any
from crmlytics.scoring._model import FEWEST
from crmlytics.snapshots._joining import LABEL_PREFIX
from crmlytics.snapshots._target_family import COUNT, RECENCY

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from crmlytics.scoring._fitting import Fitted
    from crmlytics.snapshots._snapshots import Snapshots

BEFORE, LATELY = "bought it before", "bought it lately"
KEY = ("customer_id", "cutoff")
SCHEMA = {
    "rank": nw.Int64(),
    "target": nw.String(),
    "buy_probability": nw.Float64(),
    "lift": nw.Float64(),
    "past_order_count": nw.Int64(),
}


def fit_targets(
    panel: Any, rules: Sequence[str], snapshots: Snapshots, *, caller: str, **settings: Any
) -> dict[str, PropensityModel]:
    """Fit a model for each target that enough customers bought, in the order of their names.

    A model learns from what is known of the customer and from their history with its own target. On groceries histories
    with all the others told nothing more, and smooth models got lost in them.
    """
    targets = sorted(str(value) for values in snapshots.targets.values() for value in values)
    exclude = {*settings.pop("exclude"), *(name for target in targets for name in _own(target))}
    panel = panel.copy()  # in one piece: a panel comes together column by column
    models = {}
    for target in _common_enough(panel, targets, caller=caller):
        own = _own(target)
        models[target] = PropensityModel(
            target=f"{LABEL_PREFIX}{target}", exclude=sorted(exclude - set(own)), baselines=[*rules, BEFORE, LATELY],
            **settings,
        ).fit(panel.assign(**_habits(panel, *own)))  # fmt: skip
    return models


def score_targets(models: Mapping[str, PropensityModel], features: Any, *, caller: str) -> Any:
    """Return the scores of every customer for every target: the features are read once."""
    fitted = {target: (model.fitted_, model.base_rate_) for target, model in models.items()}
    read = dict.fromkeys(
        [*(f"{COUNT}{target}" for target in models), *(name for model in models.values() for name in _learnt(model))]
    )
    scored = score_any(
        features, partial(_scored, fitted, KEY, caller), nw.Schema(SCHEMA), key=KEY, columns=list(read), caller=caller
    )
    plan, engine = enter(scored, caller=caller)
    return engine.to_native(plan.drop("rank"))  # it sorted the targets of a customer


# -- inside --------------------------------------------------------------------------------------------------------


def _own(target: str) -> tuple[str, str]:
    return f"{COUNT}{target}", f"{RECENCY}{target}"


def _learnt(model: PropensityModel) -> Iterable[str]:
    return [str(name) for name in model.feature_names_in_]


def _common_enough(panel: Any, targets: Sequence[str], *, caller: str) -> list[str]:
    """Leave out what too few customers bought, or did not buy, to learn from."""
    customers = {target: _customers(panel, panel[f"{LABEL_PREFIX}{target}"]) for target in targets}
    few = [target for target in targets if min(customers[target]) < FEWEST]
    kept = [target for target in targets if target not in few]
    if not few:
        return kept
    msg = (
        f"{caller}: {few} were bought, or not bought, by fewer than {FEWEST} customers in the horizons learnt from, "
        "too few for a model"
    )
    if not kept:
        repair = ". Take targets that more customers buy, such as categories rather than products, or a longer horizon."
        raise SchemaError(msg + repair)
    warn(f"{msg}: they are left out.")
    return kept


def _customers(panel: Any, bought: Any) -> tuple[int, int]:
    """Return how many customers ever bought, and how many ever did not, in the horizon."""
    flags = bought.to_numpy(dtype=bool)
    return panel["customer_id"][flags].nunique(), panel["customer_id"][~flags].nunique()


def _habits(panel: Any, count: str, recency: str) -> dict[str, Any]:
    """Return the obvious scores: how often it was bought, and how lately; never is longer ago than anything."""
    days = panel[recency].to_numpy(dtype=np.float64, na_value=np.nan)
    longest = float(np.nanmax(days, initial=0.0))
    lately = -np.where(np.isnan(days), longest + 1, days)
    return {BEFORE: panel[count].to_numpy(dtype=np.float64), LATELY: lately}


def _scored(
    fitted: Mapping[str, tuple[Fitted, float]], key: Sequence[str], caller: str, table: Any
) -> Any:  # fmt: skip
    import pandas as pd

    parts = []
    for rank, (target, (model, base_rate)) in enumerate(fitted.items()):
        odds = model.log_odds(model.encoder.design(table, caller=caller).matrix)
        probability = probability_of(odds)
        columns = {"rank": rank, "target": target, "buy_probability": probability, "lift": probability / base_rate}
        parts.append(table[list(key)].assign(**columns, past_order_count=table[f"{COUNT}{target}"]))
    return pd.concat(parts, ignore_index=True)
