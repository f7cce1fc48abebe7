"""What to offer each customer next: from probabilities by target to the few offers that pay."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, columns_of, enter, id_column
from crmlytics._validation import check_amount, check_count, did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.propensity.scoring import PropensityScores

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]

CALLER = "offer_table"
KEY = ("customer_id", "target")
PROBABILITY, PAST, PROFIT = "buy_probability", "past_order_count", "expected_profit_amount"


def offer_table(
    scores: PropensityScores | Any,
    *,
    margin: float | Mapping[Any, float] | str | None = None,
    contact_cost: float = 0.0,
    n: int = 3,
    exclude: Sequence[Any] | Any = (),
    new_to_customer: bool = False,
) -> Any:
    """Choose the best next offers for each customer: those with the highest expected profit, as far as they pay.

    Parameters
    ----------
    scores : PropensityScores, or dataframe with one row per customer and target
        As :func:`score_propensity` makes it with ``targets``. A table of yours needs ``customer_id``, ``target`` and
        ``buy_probability``.
    margin : float, dict or str, optional
        What a sale earns: one number, one for each target, or the column that says it. Without it offers are ranked by
        their probability.
    contact_cost : float, default 0
        What it costs to make an offer, whether it is taken or not. Needs ``margin``.
    n : int, default 3
        How many offers a customer gets at most.
    exclude : sequence of targets, or dataframe with ``customer_id`` and ``target``
        What nobody is offered (sold out), or what some customers are not (offered last week).
    new_to_customer : bool, default False
        Offer only what the customer never bought, for cross-selling: ``past_order_count`` is 0.

    Returns
    -------
    dataframe of the kind that came in, one row per offer, sorted by ``customer_id`` and ``rank``
        ``customer_id``; ``rank`` (Int64, 1 is the best offer; of equals the first by name); ``target`` (String);
        ``buy_probability`` (Float64); ``expected_profit_amount`` (Float64: probability x margin - contact cost, above
        nought; null without ``margin``). A customer for whom no offer pays has no row.

    Raises
    ------
    SchemaError, MissingColumnsError
        For scores of one outcome, keys that come twice, probabilities outside 0 and 1, a margin that a target lacks,
        targets to exclude that do not exist.

    Notes
    -----
    The profit is that of a sale, not of the offer: a customer likely to buy anyway earns it without one. What is
    bought every week comes out on top; ``new_to_customer`` asks where something is to be won. Hold customers out
    (:func:`crmlytics.decisions.response_target_table`) to see what offers change.

    Examples
    --------
    >>> import pandas as pd
    >>> scores = pd.DataFrame({
    ...     "customer_id": [1, 1, 2, 2], "target": ["milk", "wine", "milk", "wine"],
    ...     "buy_probability": [0.9, 0.3, 0.2, 0.05],
    ... })
    >>> offer_table(scores, margin={"milk": 1.0, "wine": 8.0}, contact_cost=0.5)
       customer_id  rank target  buy_probability  expected_profit_amount
    0            1     1   wine              0.3                     1.9
    1            1     2   milk              0.9                     0.4
    """
    most = check_count(n, name="n", caller=CALLER)
    cost = check_amount(contact_cost, name="contact_cost", caller=CALLER)
    if margin is None and cost:
        msg = f"{CALLER}: contact_cost={contact_cost!r} needs a margin to be held against, such as margin=5.0."
        raise SchemaError(msg)
    rows, engine = _read(scores, margin if isinstance(margin, str) else None, new_to_customer=new_to_customer)
    rows = _without(rows, exclude)
    if new_to_customer:
        rows = rows[rows[PAST] == 0]
    chance = rows[PROBABILITY].to_numpy(dtype=np.float64)
    profit = np.full(len(rows), np.nan) if margin is None else chance * _margins(rows, margin) - cost
    offers = rows.assign(**{PROFIT: profit, "_worth": chance if margin is None else profit})
    offers = offers[offers["_worth"] > 0].sort_values(
        ["customer_id", "_worth", "target"], ascending=[True, False, True], kind="stable"
    )
    offers["rank"] = offers.groupby("customer_id", sort=False).cumcount() + 1
    return _handed_back(offers[offers["rank"] <= most], engine)


# -- inside --------------------------------------------------------------------------------------------------------


def _read(scores: Any, margin: str | None, *, new_to_customer: bool) -> tuple[pd.DataFrame, Engine]:
    """Read the scores: customers as ids, targets as text, one row of each."""
    native = scores.scores if isinstance(scores, PropensityScores) else scores
    plan, engine = enter(native, caller=CALLER)
    needed = [*KEY, PROBABILITY, *([PAST] if new_to_customer else []), *([margin] if margin else [])]
    _check_columns(needed, columns_of(plan))
    schema = plan.collect_schema()
    ids = [id_column("customer_id", schema["customer_id"], caller=CALLER), nw.col("target").cast(nw.String)]
    rows = collect(plan.select(*ids, *needed[2:]).sort(*KEY)).to_pandas()
    missing = int(rows[list(needed)].isna().any(axis=1).sum())
    if missing:
        raise SchemaError(f"{CALLER}: one of {needed} is missing in {missing:,} rows. Leave them out, or fill them.")
    repeated = rows[rows.duplicated(list(KEY))]
    if len(repeated):
        shown = tuple(repeated.iloc[0][list(KEY)])
        msg = f"{CALLER}: expected one row per customer_id and target, but {shown} appear more than once."
        raise SchemaError(msg + " Keep one of each.")
    chance = rows[PROBABILITY].to_numpy(dtype=np.float64)
    if len(chance) and not (chance.min() >= 0 and chance.max() <= 1):
        msg = f"{CALLER}: {PROBABILITY!r} must lie within 0 and 1, got {chance.min():.3g} to {chance.max():.3g}."
        raise SchemaError(msg)
    return rows, engine


def _check_columns(needed: list[str], there: list[str]) -> None:
    missing = [name for name in needed if name not in there]
    if missing == ["target"] and PROBABILITY in there:
        msg = (
            f"{CALLER}: the scores are of one outcome, and offers take several. Give score_propensity targets=, such "
            'as targets={"category": ["DAIRY", "MEAT"]}; for one offer there is decisions.response_target_table.'
        )
        raise MissingColumnsError(msg)
    if missing:
        msg = f"{CALLER} needs {missing}.{did_you_mean(missing[0], there)} Columns: {there}"
        raise MissingColumnsError(msg)


def _without(rows: pd.DataFrame, exclude: Any) -> pd.DataFrame:
    """Leave out targets, or pairs of customer and target."""
    if hasattr(type(exclude), "columns"):  # a dataframe; asked itself, a lazy one would compute
        plan, _ = enter(exclude, caller=CALLER)
        missing = [name for name in KEY if name not in columns_of(plan)]
        if missing:
            msg = f"{CALLER}: exclude needs {missing}. Columns: {columns_of(plan)}"
            raise MissingColumnsError(msg)
        kind = id_column("customer_id", plan.collect_schema()["customer_id"], caller=CALLER)
        pairs = collect(plan.select(kind, nw.col("target").cast(nw.String))).to_pandas()
        taken = set(zip(pairs["customer_id"].tolist(), pairs["target"].tolist(), strict=True))
        keys = zip(rows["customer_id"].tolist(), rows["target"].tolist(), strict=True)
        return rows[[key not in taken for key in keys]]
    targets = [exclude] if isinstance(exclude, (str, numbers.Integral)) else list(exclude)
    known = set(rows["target"].tolist())
    for target in map(str, targets):
        if target not in known:
            msg = f"{CALLER}: exclude names {target!r}, no such target.{did_you_mean(target, known)}"
            raise SchemaError(msg + f" Targets: {sorted(known)}")
    return rows[~rows["target"].isin(list(map(str, targets)))]


def _margins(rows: pd.DataFrame, margin: float | Mapping[Any, float] | str) -> Vector:
    """Return what a sale of each row earns."""
    if isinstance(margin, str):
        return np.asarray(rows[margin].to_numpy(dtype=np.float64))
    if not isinstance(margin, Mapping):
        return np.full(len(rows), check_amount(margin, name="margin", caller=CALLER))
    by_target = {
        str(target): check_amount(value, name=f"margin[{target!r}]", caller=CALLER) for target, value in margin.items()
    }
    lacking = sorted(set(rows["target"]) - set(by_target))
    if lacking:
        msg = f"{CALLER}: margin lacks {lacking}. Give each target its own, or leave them out: exclude={lacking}."
        raise SchemaError(msg)
    return np.asarray(rows["target"].map(by_target).to_numpy(dtype=np.float64))


def _handed_back(offers: pd.DataFrame, engine: Engine) -> Any:
    kind = nw.String() if offers["customer_id"].dtype == object or _is_text(offers["customer_id"]) else nw.Int64()
    schema = {"customer_id": kind, "rank": nw.Int64(), "target": nw.String(), PROBABILITY: nw.Float64()}
    columns = {name: offers[name].tolist() for name in schema}
    profit = [None if np.isnan(value) else value for value in offers[PROFIT].tolist()]
    return engine.from_columns(columns | {PROFIT: profit}, nw.Schema(schema | {PROFIT: nw.Float64()}))


def _is_text(ids: Any) -> bool:
    import pandas as pd

    return bool(pd.api.types.is_string_dtype(ids.dtype))
