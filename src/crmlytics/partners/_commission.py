"""What partners are paid for what they sell: one share, a share each, or a column of the table of partners."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._validation import check_share, did_you_mean, warn
from crmlytics.exceptions import SchemaError
from crmlytics.partners._reading import DIRECT, PARTNER

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray


def commission_shares(
    commission: Any, names: Sequence[str], partners: pd.DataFrame | None, *, caller: str
) -> NDArray[np.float64]:
    """Return the share of each partner, NaN where none is known; what is sold directly costs none."""
    if isinstance(commission, str):
        if partners is None:
            msg = f"{caller}: commission={commission!r} names a column of partners. Give that table: partners=..."
            raise SchemaError(msg)
        commission = dict(zip(partners[PARTNER], partners[commission], strict=True))
    if isinstance(commission, Mapping):
        given = {str(name).strip(): share for name, share in commission.items()}
        unknown, unpaid = set(given) - set(names), set(names) - set(given) - {DIRECT}
        if unknown and unpaid:  # who only sold later is no mistake: the same commission goes with every as_of
            name = min(unknown)
            known = did_you_mean(name, sorted(unpaid))
            warn(f"{caller}: commission names {name!r}, who sold nothing, and none of {min(unpaid)!r}.{known}")
    else:
        given = dict.fromkeys(names, commission)
    shares = np.array([_share(given.get(name), name, caller=caller) for name in names], np.float64)
    return np.where(np.array(names, object) == DIRECT, 0.0, shares)


def _share(value: Any, name: str, *, caller: str) -> float:
    if value is None or type(value).__name__ == "NAType" or (isinstance(value, float) and math.isnan(value)):
        return math.nan
    return check_share(value, name="commission" if name == DIRECT else f"commission of {name!r}", caller=caller)
