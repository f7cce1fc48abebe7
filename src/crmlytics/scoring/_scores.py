"""A fitted model turned on a table of any engine, batch by batch; Spark sends it to where the data are."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import columns_of, enter
from crmlytics._kernels.classification import probability_of
from crmlytics.scoring._batches import score_any
from crmlytics.scoring._candidates import knows_threads
from crmlytics.scoring._reading import ROW, check_key, read_rows, with_whole_ids
from crmlytics.scoring._reasons import (
    REASON_SCHEMA,
    contribution_columns,
    contribution_schema,
    explain,
    reason_columns,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from crmlytics.scoring._encoding import Design
    from crmlytics.scoring._fitting import Fitted
    from crmlytics.scoring._model import ScoringModel

REASONS = 3


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """What it takes to score a batch: small enough to be sent to where the data are.

    Attributes
    ----------
    fitted : Fitted
    name : str
        What the probability is called.
    base_rate : float
    caller : str
        Named in errors.
    key : tuple of str
        The columns of the key that the table has.
    shown : tuple of str
        Columns handed on as they are.
    n : int
        How many reasons.
    """

    fitted: Fitted
    name: str
    base_rate: float
    caller: str
    key: tuple[str, ...] = ()
    shown: tuple[str, ...] = ()
    n: int = REASONS

    def probabilities(self, table: Any) -> Any:
        """Return key, probability and lift."""
        return table[list(self.key)].assign(**self._scores(self.fitted.log_odds(self._design(table).matrix)))

    def explained(self, table: Any) -> Any:
        """Return the same with the weightiest reasons in words, and the columns shown."""
        design = self._design(table)
        found = explain(self.fitted, design)
        reasons = reason_columns({"_row": np.arange(len(table))}, design, found, n=self.n)
        words = np.full((len(table), self.n), None, object)
        words[reasons["_row"], reasons["rank"] - 1] = reasons["reason"]
        columns = self._scores(found.base + found.contributions.sum(axis=1))
        columns |= {f"reason_{rank + 1}": words[:, rank] for rank in range(self.n)}
        return table[list(self.key)].assign(**columns, **{name: table[name] for name in self.shown})

    def contributions(self, table: Any) -> Any:
        """Return key, base, what each feature adds, and their sum."""
        import pandas as pd

        design = self._design(table)
        columns = contribution_columns({}, design, explain(self.fitted, design))
        return pd.concat([table[list(self.key)], pd.DataFrame(columns, index=table.index)], axis=1)

    def reasons(self, table: Any) -> Any:
        """Return the weightiest features, one row each."""
        import pandas as pd

        design = self._design(table)
        columns = reason_columns({"_row": np.arange(len(table))}, design, explain(self.fitted, design), n=self.n)
        keys = table[list(self.key)].iloc[columns.pop("_row")].reset_index(drop=True)
        return pd.concat([keys, pd.DataFrame(columns)], axis=1)

    def _design(self, table: Any) -> Design:
        return self.fitted.encoder.design(table, caller=self.caller)

    def _scores(self, log_odds: Any) -> dict[str, Any]:
        probability = probability_of(log_odds)
        return {self.name: probability, "lift": probability / self.base_rate}


def probability_rows(model: ScoringModel, X: Any, *, caller: str) -> Any:
    """Return key, probability and lift of each row."""
    return _score(_scorer(model, caller), Scorer.probabilities, X, _probability_schema(model), model)


def explained_rows(model: ScoringModel, X: Any, *, shown: Sequence[str] = (), caller: str) -> Any:
    """Return key, probability, lift, the weightiest reasons in words, and some columns of the table as they are."""
    there = enter(X, caller=caller)[0].collect_schema()
    kept = {name: there[name] for name in shown if name in there}
    words = {f"reason_{rank}": nw.String() for rank in range(1, REASONS + 1)}
    schema = nw.Schema(dict(_probability_schema(model)) | words | kept)
    return _score(replace(_scorer(model, caller), shown=tuple(kept)), Scorer.explained, X, schema, model)


def contribution_rows(model: ScoringModel, X: Any, *, caller: str) -> Any:
    """Return what each feature adds to the log odds of each row."""
    return _score(
        _scorer(model, caller), Scorer.contributions, X, contribution_schema(list(model.feature_names_in_)), model
    )


def reason_rows(model: ScoringModel, X: Any, *, n: int, caller: str) -> Any:
    """Return the weightiest features of each row."""
    return _score(replace(_scorer(model, caller), n=n), Scorer.reasons, X, REASON_SCHEMA, model)


# -- inside --------------------------------------------------------------------------------------------------------


def _scorer(model: ScoringModel, caller: str) -> Scorer:
    return Scorer(model.fitted_, model.probability_name, model.base_rate_, caller)


def _probability_schema(model: ScoringModel) -> nw.Schema:
    return nw.Schema({model.probability_name: nw.Float64(), "lift": nw.Float64()})


def _score(
    scorer: Scorer, of_batch: Callable[[Scorer, Any], Any], X: Any, schema: nw.Schema, model: ScoringModel
) -> Any:
    caller, key = scorer.caller, model.key_names
    plan, engine = enter(X, caller=caller)
    found = tuple(name for name in key if name in columns_of(plan))
    if not found:
        rows = read_rows(X, key=(), caller=caller)
        computed = of_batch(replace(scorer, key=(ROW,)), rows.table)
        kinds = nw.Schema({ROW: nw.Int64()} | dict(schema))
        return engine.from_columns({name: computed[name].tolist() for name in kinds}, kinds)
    with_whole_ids(plan, found, caller=caller)
    if not engine.is_lazy:
        check_key(plan, list(found), key, caller=caller)
    task = getattr(replace(scorer, key=found), of_batch.__name__)
    columns = list(dict.fromkeys([*model.feature_names_in_, *scorer.shown]))
    in_threads = knows_threads(scorer.fitted.estimator)
    return score_any(X, task, schema, key=found, columns=columns, caller=caller, in_threads=in_threads)
