"""Sequence rules: who did this, does that next; how often, how soon, and whether the order matters."""

from __future__ import annotations

import numbers
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_amount, check_choice, check_count, did_you_mean
from crmlytics.exceptions import SchemaError
from crmlytics.sequences._checks import check_patterns, sequences_of
from crmlytics.sequences._occurrences import last_elements, reversed_count, times_between

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from crmlytics.sequences.patterns import SequencePatterns

CALLER = "sequence_rules"
MEASURES = ("support", "confidence", "lift", "order_lift")
SLACK = 1e-12  # of a bound on a measure, relative: what rounding does must not part equal rules
SHARES = ("support", "confidence")
QUARTILES = ("q25", "median", "q75")
LEADS_TO = " => "


def sequence_rules(
    patterns: SequencePatterns,
    *,
    min_confidence: float = 0.1,
    min_lift: float = 0.0,
    consequent: Any = None,
    repeats: bool = True,
) -> SequenceRules:
    """Split each pattern before its last element: of those who hold the first part, how many come to the last one.

    Parameters
    ----------
    patterns : SequencePatterns
        From :func:`frequent_sequences`; those of one element make no rule. Patterns mined with limits of time make
        rules within these: ``max_gap="30d"`` asks what comes within 30 days.
    min_confidence : float, default 0.1
        The least share of the sequences with the antecedent that hold the consequent after it. Decided on whole
        numbers of sequences: a rule exactly at the threshold is kept.
    min_lift : float
        The least ``lift``.
    consequent : item id or ids, optional
        Only rules whose consequent consists of these items.
    repeats : bool, default True
        Whether to keep rules that lead to nothing new, whose consequent is all in the antecedent: tea => tea. Who buys
        again buys the same, so that such rules often have the greatest lift.

    Returns
    -------
    SequenceRules
        The rules, greatest lift first; ``.to_frame()`` is the table, with the days between.

    Raises
    ------
    SchemaError
        Something else than patterns, thresholds out of range, a consequent that is no item.

    Notes
    -----
    Of N sequences let n(X), n(y) and n(X > y) hold the antecedent, the consequent (at any time), and the one before
    the other. ``confidence`` = n(X > y) / n(X), ``lift`` = confidence / (n(y) / N), as for itemsets.

    That lift has two flaws. A consequent that came *before* counts among n(y), so that the lift of independent things
    is below 1; and who does a lot holds both, in whatever order, so that popular things seem to lead to each other.
    ``order_lift`` answers the second: n(X > y) / n(y > X), how much more often the consequent comes after the
    antecedent than before it, among the same customers. Near 1 the order means nothing, whatever the lift; the two are
    associated at best. With limits of time the rule is compared with its mirror image: of e1 > e2 => y that is
    y > e2 > e1, which chance holds as often; the consequent in front of e1 > e2 it does not.

    There is no p-value here: rules are chosen from thousands by their counts, and the same counts would confirm
    whatever luck chose. :func:`significant_sequence_rules` tests the order in customers nobody has looked at.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.sequences import frequent_sequences, sequence_rules
    >>> lines = pd.DataFrame({
    ...     "customer_id": ["ann", "ann", "bob", "bob", "cleo", "cleo", "dan"], "order_id": range(7),
    ...     "timestamp": pd.to_datetime("2024-01-01") + pd.to_timedelta([0, 20, 3, 33, 5, 6, 7], unit="D"),
    ...     "product_id": ["printer", "ink", "printer", "ink", "ink", "printer", "tea"],
    ... })
    >>> rules = sequence_rules(frequent_sequences(lines, min_support=2))
    >>> rules.to_frame()[["text", "sequence_count", "confidence", "order_lift", "median_days_between"]]
                 text  sequence_count  confidence  order_lift  median_days_between
    0  printer => ink               2    0.666667         2.0                 25.0
    """
    patterns = check_patterns(patterns, caller=CALLER)
    numerator, denominator = _as_ratio(_check_share(min_confidence, name="min_confidence"))
    whole = patterns.rows[patterns.tree.element_counts()[patterns.rows] > 1]
    rules = SequenceRules(patterns, whole, *_sides(patterns, whole))
    kept = rules.sequence_count * denominator >= rules.antecedent_count * numerator
    kept &= _reaches(rules.measure("lift"), check_amount(min_lift, name="min_lift", caller=CALLER))
    if consequent is not None:
        kept &= _consists_of(rules, consequent)
    if not repeats:
        kept &= ~_repeats(rules)
    rules = rules.take(np.flatnonzero(kept))
    return rules.top(len(rules)) if len(rules) else rules


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class SequenceRules:
    """Rules "who did this, does that later", in order; measures, times and tables when asked.

    Nothing changes a rule set: its methods return new ones.

    Attributes
    ----------
    patterns : SequencePatterns
        What they were made from, with all counts.
    whole, antecedent, consequent : int32 arrays, shape (rules,)
        Rows of ``patterns.tree``: of the whole pattern, of the part before its last element, and of that element.
    """

    patterns: SequencePatterns
    whole: NDArray[np.int32]
    antecedent: NDArray[np.int32]
    consequent: NDArray[np.int32]

    def __len__(self) -> int:
        """Return how many rules there are."""
        return len(self.whole)

    @property
    def sequence_count(self) -> NDArray[np.int64]:
        """The sequences that hold the antecedent and after it the consequent."""
        return self.patterns.tree.count[self.whole].astype(np.int64)

    @property
    def antecedent_count(self) -> NDArray[np.int64]:
        """The sequences that hold the antecedent."""
        return self.patterns.tree.count[self.antecedent].astype(np.int64)

    @property
    def consequent_count(self) -> NDArray[np.int64]:
        """The sequences that hold the consequent, at any time."""
        return self.patterns.tree.count[self.consequent].astype(np.int64)

    def measure(self, name: str) -> NDArray[np.float64]:
        """Compute ``"support"``, ``"confidence"``, ``"lift"`` or ``"order_lift"`` of every rule."""
        return self._measured(name, argument="name", caller="SequenceRules.measure")

    def _measured(self, name: str, *, argument: str, caller: str) -> NDArray[np.float64]:
        check_choice(name, MEASURES, name=argument, caller=caller)
        total = max(self.patterns.sequence_count, 1)
        if name == "support":
            return self.sequence_count / total
        if name == "order_lift":
            return order_lift(
                self.sequence_count, reversed_count(self, sequences_of(self.patterns, name, caller=caller))
            )
        confidence = self.sequence_count / self.antecedent_count
        return confidence if name == "confidence" else confidence / (self.consequent_count / total)

    def reverse_count(self) -> NDArray[np.int64] | None:
        """Count the sequences that hold the rules turned round; None where Spark mined them.

        That is the consequent, and after it the antecedent; within limits of time the mirror image, in which the
        elements of the antecedent run backwards, too.
        """
        if self.patterns.sequences is None:
            return None
        return reversed_count(self, self.patterns.sequences)

    def top(self, n: int, by: str = "lift") -> SequenceRules:
        """Keep the ``n`` strongest rules by a measure, the strongest first.

        Ties: more sequences, then shorter antecedents, then item ids. Where the measure is not known, rules come last.
        """
        caller = "SequenceRules.top"
        check_count(n, name="n", caller=caller)
        strength = np.nan_to_num(self._measured(by, argument="by", caller=caller), nan=-np.inf)
        lengths = self.patterns.tree.lengths()[self.whole]
        return self.take(np.lexsort((self.whole, lengths, -self.sequence_count, -strength))[:n])

    def at_least(self, **bounds: float) -> SequenceRules:
        """Keep the rules whose measures reach all bounds, such as ``at_least(confidence=0.2, order_lift=1.5)``.

        Confidence and support are decided on whole numbers of sequences, exactly; other measures may fall short by
        1e-12 of the bound. Rules for which a measure is not known go.
        """
        caller, kept = "SequenceRules.at_least", np.ones(len(self), bool)
        for name, bound in bounds.items():
            _refuse_times(name, caller=caller)
            check_choice(name, MEASURES, name="measure", caller=caller)
            if name in SHARES:
                numerator, denominator = _as_ratio(_check_share(bound, name=name, caller=caller))
                of_all = self.antecedent_count if name == "confidence" else self.patterns.sequence_count
                kept &= self.sequence_count * denominator >= of_all * numerator
            else:
                measured = self._measured(name, argument="measure", caller=caller)
                kept &= _reaches(measured, check_amount(bound, name=name, caller=caller))
        return self.take(np.flatnonzero(kept))

    def texts(self, *, names: Any = None, caller: str = "SequenceRules.texts") -> NDArray[Any]:
        """Return the rules to read: ``"tea > milk => jam"``."""
        sides = (self.patterns.texts(rows, names=names, caller=caller) for rows in (self.antecedent, self.consequent))
        return np.array([LEADS_TO.join(pair) for pair in zip(*sides, strict=True)], object)

    def take(self, places: NDArray[np.integer[Any]]) -> SequenceRules:
        """Return the rules at these positions, in this order."""
        parts = {name: getattr(self, name)[places] for name in ("whole", "antecedent", "consequent")}
        return replace(self, **parts)

    def to_frame(self, *, names: Any = None) -> Any:
        """Return the rules as a table of the kind of dataframe that came in, one row a rule, in their order.

        Columns: ``antecedent`` (List of Lists of ids: elements in order), ``consequent`` (List of ids, one element),
        ``text`` (String: ``"tea > milk => jam"``), ``sequence_count`` (Int64, sequences that hold the antecedent and
        after it the consequent), ``antecedent_count``, ``consequent_count`` (Int64, those that hold that side, at any
        time), ``reverse_count`` (Int64, those that hold the rule turned round, see :meth:`reverse_count`),
        ``confidence``, ``lift``, ``order_lift`` (Float64, infinite where the reverse was never seen), and
        ``q25_days_between``, ``median_days_between``, ``q75_days_between`` (Float64, over the sequences that hold the
        rule: the days from the antecedent, complete, to the consequent; where both came several times the earliest
        completion that leads to a consequent, and the first of those after it). Of events, ``..._seconds_between``.
        What needs the sequences is missing where Spark mined them.

        With ``names``, a mapping from item id to name, the text holds names; the lists hold ids.
        """
        columns = rule_columns(self, names=names, caller="SequenceRules.to_frame") | self._counts()
        return table_with_lists(self.patterns.engine, columns | self._times())

    def __repr__(self) -> str:
        """Say how many there are, and of what."""
        patterns, whose = self.patterns, self.patterns.layout.whose
        return (
            f"SequenceRules: {len(self):,} rules from {len(patterns):,} patterns of {patterns.layout.item} of "
            f"{patterns.sequence_count:,} {whose} (.to_frame(), .top(10))"
        )

    def _counts(self) -> dict[str, Any]:
        patterns = self.patterns
        reverse = self.reverse_count()
        return count_columns(
            (self.sequence_count, self.antecedent_count, self.consequent_count), reverse, patterns.sequence_count
        )

    def _times(self) -> dict[str, Any]:
        layout, sequences = self.patterns.layout, self.patterns.sequences
        names = [f"{quartile}_{layout.unit}_between" for quartile in QUARTILES]
        if sequences is None:
            return dict.fromkeys(names, np.full(len(self), np.nan))
        return dict(zip(names, times_between(self, sequences), strict=True))


def order_lift(forward: NDArray[np.int64], backward: NDArray[np.int64] | None) -> NDArray[np.float64]:
    """Return how much more often one thing follows another than the other way round; NaN where it is not known."""
    if backward is None:
        return np.full(len(forward), np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):  # never seen backwards: infinite; seen in no order: unknown
        return forward / backward


def rule_columns(rules: SequenceRules, *, names: Any, caller: str) -> dict[str, Any]:
    """Return the columns that say what the rules are."""
    patterns = rules.patterns
    return {
        "antecedent": patterns.lists(rules.antecedent),
        "consequent": patterns.lists(
            rules.consequent
        ).values,  # of one element each: the list of lists without its outer lists
        "text": rules.texts(names=names, caller=caller),
    }


def count_columns(
    counts: tuple[NDArray[np.int64], ...], reverse: NDArray[np.int64] | None, sequence_count: int
) -> dict[str, Any]:
    """Return the columns of the counts of rules (of the whole, the antecedent, the consequent) and of their ratios."""
    import pyarrow as pa

    whole, antecedent, consequent = counts
    with np.errstate(divide="ignore", invalid="ignore"):  # in other data a side may never occur
        confidence = whole / antecedent
        lift = confidence * (max(sequence_count, 1) / consequent)
    return {
        "sequence_count": whole,
        "antecedent_count": antecedent,
        "consequent_count": consequent,
        "reverse_count": pa.nulls(len(whole), pa.int64()) if reverse is None else reverse,
        "confidence": confidence,
        "lift": lift,
        "order_lift": order_lift(whole, reverse),
    }


def _sides(patterns: SequencePatterns, whole: NDArray[np.int32]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return the rows of the patterns before their last elements, and of these elements alone."""
    from crmlytics._kernels.sequence_kinds import rows_of

    starts, codes, joined = patterns.tree.members(whole)
    parts = np.sort(np.concatenate([starts, last_elements(starts, joined)]))
    rows = rows_of(patterns.tree, parts, codes, joined)
    return rows[::2], rows[1::2]


def _consists_of(rules: SequenceRules, ids: Any) -> NDArray[np.bool_]:
    """Whether all items of each consequent are among some ids."""
    codes = {item_id: code for code, item_id in enumerate(rules.patterns.item_ids.tolist())}
    wanted = [ids] if isinstance(ids, (str, numbers.Number)) else list(ids)
    unknown = [item_id for item_id in wanted if isinstance(item_id, (list, tuple, set)) or item_id not in codes]
    if unknown:
        is_text = rules.patterns.item_ids.dtype.kind == "O"
        msg = (
            f"{CALLER}: consequent={unknown[0]!r} is no {rules.patterns.layout.item} of these sequences."
            f"{did_you_mean(unknown[0], codes) if is_text else ''} Give one id or a list of ids, which are "
            f"{'text' if is_text else 'whole numbers'} here."
        )
        raise SchemaError(msg)
    starts, held, _ = rules.patterns.tree.members(rules.consequent)
    return _all_of_each(np.isin(held, [codes[item_id] for item_id in wanted]), starts)


def _repeats(rules: SequenceRules) -> NDArray[np.bool_]:
    """Whether all items of each consequent are in its antecedent, too."""
    tree, item_total = rules.patterns.tree, len(rules.patterns.item_ids)
    antecedents, consequents = (
        (starts, np.repeat(np.arange(len(rules)), np.diff(starts)) * item_total + held)
        for starts, held, _ in map(tree.members, (rules.antecedent, rules.consequent))
    )
    return _all_of_each(np.isin(consequents[1], antecedents[1]), consequents[0])


def _all_of_each(flags: NDArray[np.bool_], starts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether all flags of each run are up; no run is empty."""
    return np.logical_and.reduceat(flags, starts[:-1]) if len(starts) > 1 else np.zeros(0, bool)


def _refuse_times(name: str, *, caller: str) -> None:
    if name.endswith("_between"):
        msg = (
            f'{caller}: {name} is no measure but a column. Choose rows of the table: table["{name}"] after to_frame().'
        )
        raise SchemaError(msg)


def _reaches(values: NDArray[np.float64], least: float) -> NDArray[np.bool_]:
    return np.nan_to_num(values, nan=-np.inf, posinf=np.inf) >= least - SLACK * abs(least)


def _as_ratio(share: float) -> tuple[int, int]:
    """Return the fraction that was meant: 0.1 is one tenth, although no float is."""
    return Fraction(repr(share)).limit_denominator(10**9).as_integer_ratio()


def _check_share(value: Any, *, name: str, caller: str = CALLER) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise SchemaError(f"{caller}: {name} must be a share between 0 and 1, such as {name}=0.1, got {value!r}.")
    return float(value)
