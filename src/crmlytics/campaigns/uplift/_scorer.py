"""What a fitted model of uplift says of customers, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
from threadpoolctl import threadpool_limits

from crmlytics.campaigns.uplift._trial import UPLIFT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from crmlytics.campaigns.uplift._base_models import Columns
    from crmlytics.campaigns.uplift._calibration import Calibration
    from crmlytics.scoring._encoding import Encoder

    Matrix = NDArray[np.float64]

ERROR = "_standard_error"
MANY = 100_000  # customers: of fewer, threads wait for each other longer than they work
HINT = (
    " Fit on features that can be had again: those of Snapshots(...).features_table(day of the contacts), joined to "
    "the outcomes, and score those of features_table(today)."
)


@dataclass(frozen=True, slots=True, eq=False)
class Scorer:
    """What it takes to score a batch: small enough to be sent to where the data are."""

    encoder: Encoder
    columns: Columns
    models: Mapping[str, tuple[Any, Calibration]]
    key: tuple[str, ...]
    caller: str

    @property
    def schema(self) -> nw.Schema:
        """The columns of :meth:`scores` beside the key."""
        names = [f"{UPLIFT}{arm}{what}" for arm in self.models for what in ("", ERROR)]
        kinds: dict[str, Any] = dict.fromkeys(names, nw.Float64())
        return nw.Schema(kinds | {"best_arm": nw.String(), "best_uplift": nw.Float64()})

    def uplift(self, table: Any) -> Matrix:
        """Return one column an arm."""
        matrix = self.columns.matrix(self.encoder.design(table, caller=self.caller, hint=HINT))
        with threadpool_limits(1 if len(matrix) < MANY else None, user_api="openmp"):
            return np.column_stack([model.predict(matrix) for model, _ in self.models.values()])

    def scores(self, table: Any) -> Any:
        """Return key, uplift of each arm and its standard error, the best arm and its uplift."""
        said = self.uplift(table)
        names = np.array(list(self.models), object)
        best = said.max(axis=1)
        columns: dict[str, Any] = {}
        for (arm, (_, calibration)), uplift in zip(self.models.items(), said.T, strict=True):
            columns |= {UPLIFT + arm: uplift, UPLIFT + arm + ERROR: calibration.standard_error(uplift)}
        columns["best_arm"] = np.where(best > 0, names[said.argmax(axis=1)], None)
        return table[list(self.key)].assign(**columns, best_uplift=best)
