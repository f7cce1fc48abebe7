"""Who is like the customers that you point at: the others, by how much they resemble the seeds."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._frames import collect, columns_of, enter, id_column
from crmlytics._validation import check_count, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics.scoring._model import ScoringModel

CALLER = "look_alike_table"
CUSTOMER, SEED = "customer_id", "is_seed"
FEWEST_SEEDS = 10
NOT_TOLD_APART = 0.6  # AUC: below, seeds are hardly different from anybody
CHANCE = 0.5


def look_alike_table(
    features: Any,
    seeds: Sequence[Any] | Any,
    *,
    n: int | None = None,
    exclude: Sequence[str] = (),
    model: Any = "auto",
    random_state: int = 0,
) -> Any:
    """Rank the other customers by how much they resemble some that you point at, the seeds.

    A model learns to tell the seeds from the others; whom it takes for a seed without their being one is alike.

    Parameters
    ----------
    features : dataframe, one row per customer
        ``customer_id`` and what is known of them, such as ``Snapshots.features_table(as_of)``. What made the seeds
        seeds does not belong in it: it tells them apart and finds nobody.
    seeds : sequence of ids, or dataframe with ``customer_id``
        At least 10 of the customers: the best ones, those who took an offer, members of a club.
    n : int, optional
        How many to return. Default: all others.
    exclude : sequence of str
        Columns never to learn from. Dates, such as a cutoff, never are.
    model : {"auto", "logistic", "boosting"} or classifier
        As in :class:`crmlytics.scoring.ScoringModel`.
    random_state : int

    Returns
    -------
    dataframe of the kind that came in, one row per customer who is no seed, sorted by ``rank``
        ``customer_id``; ``rank`` (Int64, 1 is the most alike; of equals the first id); ``similarity_score`` (Float64,
        the calibrated probability that a customer like this one is among the seeds, said by a model that has not seen
        them); ``lift`` (Float64, how many times the share of seeds); ``seed_auc`` with ``seed_auc_low`` and
        ``seed_auc_high`` (Float64, 95%, the same in every row: how often the model, cross-validated, ranks a seed
        before another customer; .5 is chance).

    Raises
    ------
    SchemaError, MissingColumnsError
        For fewer than 10 seeds or others, seeds that are not in the table, and customers that come twice.

    Warns
    -----
    DataQualityWarning
        When the seeds are hardly told from the others (an AUC under .6, or an interval that reaches .5): the ranking
        is little more than chance.

    Notes
    -----
    The others are not the opposite of seeds: among them are those wanted, whom the model was told are none. The ranking
    survives that if seeds are a fair sample of those wanted (Elkan and Noto 2008); probabilities do not, so read
    ``similarity_score`` as a score. Seeds chosen in one shop resemble each other by the shop.

    Each score comes from a fold that the customer was not in; beyond 100,000 customers, from the model of all.

    When not to use: where it is known who said no, that outcome is better than likeness: :class:`PropensityModel`.

    References
    ----------
    Elkan, C. and Noto, K. (2008), Learning classifiers from only positive and unlabeled data, KDD.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> features = pd.DataFrame({"customer_id": range(1200), "order_count": rng.poisson(3, 1200)})
    >>> often = features["customer_id"][features["order_count"] > 4]
    >>> table = look_alike_table(features, often[::2], n=3, model="logistic")
    >>> sorted(set(table["customer_id"]) - set(often))
    []
    """
    most = None if n is None else check_count(n, name="n", caller=CALLER)
    table, engine = _read(features)
    is_seed = _is_seed(table[CUSTOMER], seeds)
    fitted = _fit(table.assign(**{SEED: is_seed}), exclude, model, random_state)
    evaluation = fitted.evaluation_
    figures = {f"seed_{name}": evaluation.figure(name) for name in ("auc", "auc_low", "auc_high")}
    _tell_likeness(figures["seed_auc"], figures["seed_auc_low"], int(is_seed.sum()))
    score = _unseen(fitted, table)
    others = np.flatnonzero(~is_seed)
    best = others[np.argsort(-score[others], kind="stable")][:most]
    kind = nw.String() if isinstance(table[CUSTOMER].iloc[0], str) else nw.Int64()
    columns = {
        CUSTOMER: table[CUSTOMER].iloc[best].tolist(),
        "rank": np.arange(1, len(best) + 1),
        "similarity_score": score[best],
        "lift": score[best] / is_seed.mean(),
        **{name: np.full(len(best), value) for name, value in figures.items()},
    }
    schema = {name: nw.Float64() for name in columns} | {CUSTOMER: kind, "rank": nw.Int64()}
    return engine.from_columns(columns, nw.Schema(schema))


# -- inside --------------------------------------------------------------------------------------------------------


def _read(features: Any) -> tuple[Any, Engine]:
    """Compute the table once, sorted by customer."""
    plan, engine = enter(features, caller=CALLER)
    if CUSTOMER not in columns_of(plan):
        msg = f"{CALLER}: features needs {CUSTOMER!r}. Columns: {columns_of(plan)}"
        raise MissingColumnsError(msg)
    plan = plan.with_columns(id_column(CUSTOMER, plan.collect_schema()[CUSTOMER], caller=CALLER))
    table = collect(plan.sort(CUSTOMER)).to_pandas().reset_index(drop=True)
    if table.empty:
        raise SchemaError(f"{CALLER}: features has no rows. Check the moment that they were made for.")
    repeated = table[CUSTOMER][table[CUSTOMER].duplicated()].tolist()
    if repeated:
        msg = f"{CALLER}: expected one row per customer, but {repeated[0]!r} appears more than once. "
        raise SchemaError(msg + "Give features of one moment, such as snapshots.features_table(as_of).")
    return table, engine


def _is_seed(customers: Any, seeds: Any) -> NDArray[np.bool_]:
    """Return who is a seed; refuse seeds that nothing is known of, and too few of them."""
    wanted = dict.fromkeys(_ids(seeds))
    known = set(customers.tolist())
    strange = [seed for seed in wanted if seed not in known]
    if strange:
        msg = (
            f"{CALLER}: {len(strange):,} of {len(wanted):,} seeds are not among the customers of features, such as "
            f"{strange[:3]}. Give ids as features has them ({customers.tolist()[0]!r}), and only of customers in it."
        )
        raise SchemaError(msg)
    is_seed = np.asarray(customers.isin(list(wanted)), dtype=bool)
    for count, what in ((int(is_seed.sum()), "seeds"), (int((~is_seed).sum()), "other customers")):
        if count < FEWEST_SEEDS:
            msg = f"{CALLER}: {count} {what}, and it takes {FEWEST_SEEDS} to see what they have in common."
            raise SchemaError(msg)
    return is_seed


def _ids(seeds: Any) -> list[Any]:
    if isinstance(seeds, (str, numbers.Integral)):
        return [seeds]
    if not hasattr(type(seeds), "columns"):  # no dataframe; asked itself, a lazy one would compute
        return [value.item() if isinstance(value, np.generic) else value for value in seeds]
    plan, _ = enter(seeds, caller=CALLER)
    if CUSTOMER not in columns_of(plan):
        raise MissingColumnsError(f"{CALLER}: seeds needs {CUSTOMER!r}. Columns: {columns_of(plan)}")
    ids = collect(plan.select(id_column(CUSTOMER, plan.collect_schema()[CUSTOMER], caller=CALLER)))
    return list(ids[CUSTOMER].to_list())


def _fit(table: Any, exclude: Sequence[str], model: Any, random_state: int) -> ScoringModel:
    from crmlytics.scoring._model import ScoringModel

    names = [exclude] if isinstance(exclude, str) else list(exclude)
    return ScoringModel(
        target=SEED, key=CUSTOMER, time=None, exclude=names, model=model, random_state=random_state
    ).fit(table)


def _unseen(fitted: ScoringModel, table: Any) -> NDArray[np.float64]:
    """Return the probability of each customer, said without them; of very many, by the model of all."""
    folds = fitted.predictions_[0]
    if len(folds.probability) == len(table):
        return np.asarray(folds.probability)
    return np.asarray(fitted.predict_proba(table)[:, 1])


def _tell_likeness(auc: float, low: float, seeds: int) -> None:
    if auc < NOT_TOLD_APART or low <= CHANCE:
        warn(
            f"{CALLER}: the {seeds:,} seeds are hardly told from the others (AUC {auc:.2f}, 95% from {low:.2f}; .50 is "
            "chance): by these features nobody is like them in particular. Give more seeds, or features that say more."
        )
