"""Who is in a segment, as a few rules: a shallow tree, judged by customers that it has not seen."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._validation import check_count, check_fraction
from crmlytics.profiling._counting import encode
from crmlytics.profiling._reading import Asked, read_population, report_left_out
from crmlytics.profiling._reading_profiles import percent
from crmlytics.profiling._tree_words import Split, ends_of, leaf_rules
from crmlytics.scoring._encoding import MISSING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.profiling._reading import Population
    from crmlytics.scoring._encoding import Feature

    Matrix = NDArray[np.float32]

CHANCE = 15.0  # chi-squared of a split: one in ten thousand, since a tree looks at many
MOST_LEARNT = 200_000  # customers: more change no rule
FIGURES = ("customer_count", "share", "share_low", "share_high", "share_overall", "lift", "share_of_segment")
SCHEMA = nw.Schema(
    {"segment": nw.String(), "rank": nw.Int64(), "rule": nw.String(), "finding": nw.String()}
    | {name: nw.Float64() for name in FIGURES}
)


def profile_tree_table(
    table: Any,
    *,
    segment: str = "segment",
    key: str | None = "customer_id",
    columns: Sequence[str] | None = None,
    groups: Sequence[Any] | None = None,
    as_levels: Sequence[str] = (),
    depth: int = 3,
    least_count: int = 30,
    holdout_share: float = 0.5,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Any:
    r"""Say who is in each segment by a few rules of several columns together, judged by customers held out.

    Where :func:`profile_table` looks at one column at a time, a tree finds what counts together: "income above 60000
    and no children".

    Parameters
    ----------
    table : dataframe, one row per customer
        As for :func:`profile_table`.
    segment : str, default "segment"
        The column of the segment.
    key : str or None, default "customer_id"
        The column with the id of the customer. With None, which customers are held out depends on the order of rows.
    columns : list of str, optional
        The columns that rules may use; all others by default. Leave out what defines the segment.
    groups : list of segments, optional
        Those to describe; all by default.
    as_levels : list of str, optional
        Columns of numbers that are codes, such as a region of 1, 2 or 3: their values are levels, not amounts.
    depth : int, default 3
        The most conditions of a rule.
    least_count : int, default 30
        The fewest customers that a rule is learnt from and judged by; segments with fewer are set aside.
    holdout_share : float, default 0.5
        Of each segment, the share of customers that rules are judged by and not learnt from.
    confidence : float, default 0.95
        Of the interval of the share.
    random_state : int, default 0
        Fixes who is held out.

    Returns
    -------
    dataframe of the kind that came in, one row per segment and rule, the one with the highest share first
        ``segment`` (String); ``rank`` (Int64, from 1 in each segment);
        ``rule`` (String, the conditions; every customer meets exactly one rule of a segment);
        ``finding`` (String, the rule and its share in a sentence);
        ``customer_count`` (Float64, whole: customers held out who meet the rule);
        ``share`` (Float64, of these, how many are in the segment), ``share_low``, ``share_high`` (its Wilson interval);
        ``share_overall`` (of all customers held out), ``lift`` (share divided by share overall);
        ``share_of_segment`` (of the segment's customers held out, how many meet the rule; all Float64).
        Where fewer than ``least_count`` customers held out meet a rule these figures are null.

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`profile_table`.

    Notes
    -----
    For each segment a classification tree (Breiman, Friedman, Olshen and Stone 1984) separates it from all others. A
    split must lower the impurity by what a chi-squared of 15 at the base rate does, or there is none: a segment that
    nothing separates has one rule, all customers. Shares come from customers the tree has not seen, so they hold for
    the next ones as well, of the same time.

    A tree takes the best of several columns that know the same and is silent about the others: that a column is not
    named does not make it unimportant. If clusters were formed from these columns, the rules tell how to recognise a
    cluster, not that it exists.

    ``least_count`` is the size of the groups that are told of. Counts within a group are not hidden.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.profiling import profile_tree_table
    >>> customers = pd.DataFrame({"customer_id": range(1000), "age": [20, 30, 40, 50] * 250})
    >>> customers["segment"] = ["gold" if age > 35 and number % 10 else "other" for number, age in customers.values]
    >>> print("\n".join(profile_tree_table(customers, groups=["gold"])["finding"]))
    age at least 36: 91.1% gold, 2.0 times the average (247 customers held out)
    age at most 35: 0% gold, 0.0 times the average (253 customers held out)
    """
    caller = "profile_tree_table"
    depth = check_count(depth, name="depth", caller=caller)
    least = check_count(least_count, name="least_count", caller=caller)
    held_share = check_fraction(holdout_share, name="holdout_share", caller=caller)
    confidence = check_fraction(confidence, name="confidence", caller=caller)
    asked = Asked(segment, key, columns, groups, as_levels, least)
    population = _sorted(read_population(table, asked, caller=caller), key)
    report_left_out(population.left_out, chosen=columns is not None, caller=caller)
    matrix, splits = _matrix(population, caller=caller)
    is_held = _held_out(population, held_share, random_state)
    smallest = math.ceil(least * max(1.0, (1 - held_share) / held_share))
    rows = []
    for number in population.groups:
        inside = population.code == number
        leaf, rules = _grow(matrix, splits, inside, is_held, depth=depth, smallest=smallest)
        held = _judge(leaf[is_held], inside[is_held], rules, least, confidence)
        rows += _in_order(population.segments[number], held)
    return population.engine.from_columns({name: [row[name] for row in rows] for name in SCHEMA}, SCHEMA)


def _matrix(population: Population, *, caller: str) -> tuple[Matrix, list[Split]]:
    """Return what trees learn from: numbers as they are, and a column of ones and zeros for each level."""
    columns, splits = [], []
    for feature in population.features:
        values = encode(population, feature, caller=caller)
        for column, split in _columns(values, feature):
            columns.append(column.astype(np.float32))
            splits.append(split)
    return np.column_stack(columns), splits


def _columns(values: NDArray[np.float64], feature: Feature) -> list[tuple[NDArray[Any], Split]]:
    missing = np.isnan(values)
    if feature.levels is None:
        return [(values, Split(feature.name, ends=ends_of(values), has_missing=bool(missing.any())))]
    found = [(values == code, Split(feature.name, level)) for code, level in enumerate(feature.levels)]
    return [*found, (missing, Split(feature.name, MISSING))] if missing.any() else found


def _sorted(population: Population, key: str | None) -> Population:
    """Put customers in the order of their ids, so that chance does not depend on the order of the rows."""
    if key is None:
        return population
    order = np.asarray(population.table[key].argsort())
    return replace(population, table=population.table.iloc[order], code=population.code[order])


def _held_out(population: Population, share: float, random_state: int) -> NDArray[np.bool_]:
    """Hold the same share of each segment out, by chance."""
    code, size = population.code, population.size
    drawn = np.random.default_rng(random_state).permutation(len(code))
    drawn = drawn[np.argsort(code[drawn], kind="stable")]
    place = np.arange(len(code)) - np.repeat(np.cumsum(size) - size, size)
    is_held = np.zeros(len(code), bool)
    is_held[drawn] = np.floor((place + 1) * share) > np.floor(place * share)
    return is_held


def _grow(
    matrix: Matrix,
    splits: list[Split],
    inside: NDArray[np.bool_],
    is_held: NDArray[np.bool_],
    *,
    depth: int,
    smallest: int,
) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Learn a tree; return the leaf of every customer, and the rules of the leaves."""
    from sklearn.tree import DecisionTreeClassifier

    learnt = np.flatnonzero(~is_held)
    learnt = learnt[:: math.ceil(len(learnt) / MOST_LEARNT)]
    rate = float(inside[learnt].mean())
    tree = DecisionTreeClassifier(
        max_depth=depth,
        min_samples_leaf=smallest,
        min_impurity_decrease=2 * rate * (1 - rate) * CHANCE / len(learnt),
        random_state=0,
    ).fit(matrix[learnt], inside[learnt])
    return tree.apply(matrix), leaf_rules(tree.tree_, splits)


def _judge(
    leaf: NDArray[np.int64], inside: NDArray[np.bool_], rules: dict[int, str], least: int, confidence: float
) -> list[tuple[str, dict[str, float]]]:
    """Return each rule and its figures, from customers held out; none of a rule that few meet."""
    from crmlytics._kernels.proportions import wilson

    numbers = np.array(list(rules))
    count = np.bincount(leaf, minlength=numbers.max() + 1)[numbers]
    found = np.bincount(leaf, inside, minlength=numbers.max() + 1)[numbers]
    base = np.full(len(numbers), inside.mean())
    with np.errstate(invalid="ignore"):
        share = found / count
    low, high = wilson(found, count, confidence)
    figures = (count, share, low, high, base, share / base, found / inside.sum())
    shown = np.column_stack([np.where(count < least, np.nan, values) for values in figures])
    return [(rules[number], dict(zip(FIGURES, row, strict=True))) for number, row in zip(rules, shown, strict=True)]


def _in_order(segment: str, judged: list[tuple[str, dict[str, float]]]) -> list[dict[str, Any]]:
    ordered = sorted(judged, key=lambda found: (-np.nan_to_num(found[1]["share"], nan=-1.0), found[0]))
    return [
        {"segment": segment, "rank": rank, "rule": rule, "finding": _finding(segment, rule, figures)}
        | {name: float(value) for name, value in figures.items()}
        for rank, (rule, figures) in enumerate(ordered, start=1)
    ]


def _finding(segment: str, rule: str, figures: dict[str, float]) -> str:
    if math.isnan(figures["share"]):
        return f"{rule}: too few customers held out to judge"
    return (
        f"{rule}: {percent(figures['share'])} {segment}, {figures['lift']:.1f} times the average "
        f"({figures['customer_count']:,.0f} customers held out)"
    )
