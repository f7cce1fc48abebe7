"""Association rules: if these are in the basket, so is that one."""

from __future__ import annotations

import html
import math
import numbers
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import list_column, table_with_lists
from crmlytics._names import names_of
from crmlytics._validation import check_count, did_you_mean
from crmlytics.affinity._checks import check_itemsets
from crmlytics.affinity._rule_order import candidates_of, strongest_first
from crmlytics.affinity._rules_in_tables import positions_in
from crmlytics.affinity.measures import measure_named, measure_values
from crmlytics.exceptions import ResultTooLargeError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._kernels.rules import Question
    from crmlytics.affinity.itemsets import Itemsets

IMPROVEMENT = "improvement"  # the one measure that takes more than the three counts of a rule
SLACK = 1e-12  # of a bound on a measure, relative: what rounding does must not part equal rules
SHOWN = 10
BYTES_TO_BUILD, BYTES_IN_TABLE = 64, 190  # a rule, measured at the peak
MINE_ALL = 'Mine them all: frequent_itemsets(..., kind="all").'
MISSING = f"the itemsets lack a subset of one of them, so that its count is not known. {MINE_ALL}"
NO_P_VALUES = (
    "p-values over mined rules alone are no p-values: the rules were chosen among many more by the same baskets. "
    "Type affinity.significant_rules(rules, ...), which corrects for the whole search or tests on other customers."
)


def association_rules(
    itemsets: Itemsets,
    *,
    min_confidence: float = 0.1,
    max_consequent_len: int = 1,
    antecedent: Any = None,
    consequent: Any = None,
    max_rules: int = 10_000_000,
) -> RuleSet:
    """Split frequent itemsets into rules "if the antecedent is in the basket, so is the consequent".

    Parameters
    ----------
    itemsets : Itemsets
        All frequent itemsets, from :func:`frequent_itemsets` with ``kind="all"``.
    min_confidence : float, default 0.1
        The least share of the baskets with the antecedent that hold the consequent too. Decided on whole numbers of
        baskets: a rule exactly at the threshold is kept.
    max_consequent_len : int, default 1
        The most items in a consequent.
    antecedent, consequent : item id or ids, optional
        The items that this side may consist of: a rule is kept if every item of the side is among them.
    max_rules : int, default 10,000,000
        More rules than this are refused, before memory is taken for them. At most 1,000,000,000.

    Returns
    -------
    RuleSet
        The rules, strongest lift first (as :meth:`RuleSet.top` orders them).

    Raises
    ------
    SchemaError
        For itemsets that lack subsets (closed and maximal ones do), items that no itemset holds, and thresholds out of
        range.
    ResultTooLargeError
        When there are more than ``max_rules``.

    Notes
    -----
    R. Agrawal, R. Srikant, Fast algorithms for mining association rules, VLDB 1994: of the rules of one itemset, one
    whose consequent grows loses confidence, so whole branches are left out.

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity import association_rules, frequent_itemsets
    >>> lines = pd.DataFrame({
    ...     "order_id": [1, 1, 2, 2, 3, 3, 4], "product_id": ["bread", "jam", "bread", "jam", "bread", "tea", "tea"],
    ... })
    >>> rules = association_rules(frequent_itemsets(lines, min_support=2), min_confidence=0.5)
    >>> rules.to_frame()[["antecedent", "consequent", "basket_count", "confidence", "lift"]]
      antecedent consequent  basket_count  confidence      lift
    0  ['bread']    ['jam']             2    0.666667  1.333333
    1    ['jam']  ['bread']             2    1.000000  1.333333
    """
    from crmlytics._kernels.itemset_index import index_of
    from crmlytics._kernels.rules import MissingSubsetError, Question, TooManyRulesError, counted, find_rules

    caller = "association_rules"
    check_itemsets(itemsets, caller=caller)
    if itemsets.kind != "all":
        raise SchemaError(f"{caller}: {itemsets.kind} itemsets lack subsets whose counts a rule needs. {MINE_ALL}")
    question = Question(
        *_as_ratio(_check_share(min_confidence, name="min_confidence", caller=caller)),
        check_count(max_consequent_len, name="max_consequent_len", caller=caller),
        _sides(itemsets, antecedent, consequent),
    )
    max_rules = _check_max_rules(max_rules, caller=caller)
    tree = itemsets.tree
    try:
        found = find_rules(counted(tree, index_of(tree)), itemsets.rows, question, max_rules=max_rules)
    except TooManyRulesError as error:
        raise ResultTooLargeError(_too_many(itemsets, question, error.args[0], max_rules)) from None
    except MissingSubsetError:
        raise SchemaError(f"{caller}: {MISSING}") from None
    rules = RuleSet(itemsets, *found)
    return rules.take(strongest_first(rules, rules.measure("lift")))


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class RuleSet:
    """Association rules in order: twelve bytes each, measures and tables when asked.

    Rule ``i`` is row ``i`` of :meth:`to_frame` and element ``i`` of :meth:`measure`. Nothing changes a rule set: its
    methods return new ones, which keep the order (only :meth:`top` and :meth:`take` set another).

    Attributes
    ----------
    itemsets : Itemsets
        The itemsets they were made from, with all counts.
    both, antecedent, consequent : int32 arrays, shape (rules,)
        Rows of ``itemsets.tree``: of all items of a rule, of its antecedent ("if") and of its consequent ("then").

    Examples
    --------
    >>> import pandas as pd
    >>> from crmlytics.affinity import association_rules, frequent_itemsets
    >>> lines = pd.DataFrame({
    ...     "order_id": [1, 1, 2, 2, 3, 3, 4], "product_id": ["bread", "jam", "bread", "jam", "bread", "tea", "tea"],
    ... })
    >>> rules = association_rules(frequent_itemsets(lines, min_support=1))
    >>> rules
    RuleSet: 4 rules from 5 itemsets of product_id in 4 baskets (.to_frame(), .top(10))
    >>> rules.without_redundant().at_least(confidence=0.8).with_items(consequent="bread")
    RuleSet: 1 rules from 5 itemsets of product_id in 4 baskets (.to_frame(), .top(10))
    >>> rules.top(2, by="confidence").measure("confidence").round(2).tolist()
    [1.0, 0.67]
    """

    itemsets: Itemsets
    both: NDArray[np.int32]
    antecedent: NDArray[np.int32]
    consequent: NDArray[np.int32]

    def __len__(self) -> int:
        """Return how many rules there are."""
        return len(self.both)

    @property
    def both_count(self) -> NDArray[np.int64]:
        """The baskets that hold all items of each rule."""
        return self.itemsets.tree.count[self.both].astype(np.int64)

    @property
    def antecedent_count(self) -> NDArray[np.int64]:
        """The baskets that hold the antecedent of each rule."""
        return self.itemsets.tree.count[self.antecedent].astype(np.int64)

    @property
    def consequent_count(self) -> NDArray[np.int64]:
        """The baskets that hold the consequent of each rule."""
        return self.itemsets.tree.count[self.consequent].astype(np.int64)

    def measure(self, name: str) -> NDArray[np.float64]:
        """Compute a measure of every rule: ``"improvement"``, or one that :func:`measure_guide` lists."""
        if name == IMPROVEMENT:
            return self.improvement()
        measure_named(name, caller="RuleSet.measure")
        counts = self.both_count, self.antecedent_count, self.consequent_count
        return measure_values(name, *counts, self.itemsets.basket_count)

    def improvement(self) -> NDArray[np.float64]:
        """Compute how much more confident each rule is than the best of all more general ones.

        More general: the same consequent and fewer items in the antecedent, down to none (whose confidence is the
        share of all baskets with the consequent). At zero or below, the rule is redundant. R. J. Bayardo, R. Agrawal,
        D. Gunopulos, Constraint-based rule mining in large, dense databases, ICDE 1999.
        """
        both, antecedent = self._best_general_counts(only_to_decide=False)
        return self.both_count / self.antecedent_count - both / antecedent

    def without_redundant(self) -> RuleSet:
        """Keep the rules that are more confident than every more general one (``improvement`` above zero).

        What arules calls ``is.redundant``, decided on whole numbers of baskets. More general rules count whether or
        not they are in this set. A rule that is better by a hair stays: ``.at_least(improvement=0.05)`` asks for five
        points of confidence.
        """
        both, antecedent = self._best_general_counts(only_to_decide=True)
        return self.take(np.flatnonzero(self.both_count * antecedent > both * self.antecedent_count))

    def top(self, n: int, by: str = "lift") -> RuleSet:
        """Keep the ``n`` strongest rules by a measure, the strongest first.

        Ties: more baskets, then fewer items, then item ids. A p-value is stronger where it is smaller; rules for which
        the measure is not defined come last.
        """
        n = check_count(n, name="n", caller="RuleSet.top")
        strength = self.measure(by)
        if by != IMPROVEMENT and not measure_named(by, caller="RuleSet.top").greater_is_stronger:
            strength = -strength
        chosen = candidates_of(strength, n)
        candidates = self.take(chosen)
        return candidates.take(strongest_first(candidates, strength[chosen])[:n])

    def at_least(self, **bounds: float) -> RuleSet:
        """Keep the rules whose measures reach all bounds, such as ``at_least(lift=1.5, support=0.01)``.

        Confidence and support are decided on whole numbers of baskets, exactly; other measures may fall short by
        1e-12 of the bound, so that a rule exactly at it is kept. Rules for which a measure is not defined go.
        """
        return self._within(bounds, 1, caller="RuleSet.at_least")

    def at_most(self, **bounds: float) -> RuleSet:
        """Keep the rules whose measures exceed no bound, decided as in :meth:`at_least`."""
        return self._within(bounds, -1, caller="RuleSet.at_most")

    def with_items(self, *, antecedent: Any = None, consequent: Any = None, either: Any = None) -> RuleSet:
        """Keep the rules with at least one of these items: on that side, or on either side.

        Each is an item id or several. For rules that hold all of several items, call once for each.
        """
        from crmlytics._kernels.rules import rows_with

        tree, kept = self.itemsets.tree, np.ones(len(self), bool)
        sides = {
            "antecedent": (antecedent, self.antecedent),
            "consequent": (consequent, self.consequent),
            "either": (either, self.both),
        }
        for name, (ids, rows) in sides.items():
            if ids is not None:
                wanted = _items_among(ids, self.itemsets, name=name, caller="RuleSet.with_items")
                kept &= rows_with(wanted, tree.item, tree.parent)[rows]
        return self.take(np.flatnonzero(kept))

    def matching(self, table: Any) -> RuleSet:
        """Keep the rules that stand in a table, in its order, each once.

        So that what was learnt from a table goes on with the rules: ``rules.matching(tested[tested.is_significant])``
        has the rules that passed, with the counts of the baskets in which *they* were found.

        Parameters
        ----------
        table : dataframe
            With ``antecedent`` and ``consequent`` (lists of item ids, in any order): rows of :meth:`to_frame`,
            :func:`significant_rules`, :func:`contrast_table`, :func:`rule_trend_table` or :func:`describe_rules`.
            Only the ids count, so the table may be about other baskets.

        Raises
        ------
        SchemaError
            When a row is no rule of this set, such as one with names instead of ids.

        Examples
        --------
        >>> import pandas as pd
        >>> from crmlytics.affinity import association_rules, frequent_itemsets
        >>> lines = pd.DataFrame({"order_id": [1, 1, 2], "product_id": ["bread", "jam", "bread"]})
        >>> rules = association_rules(frequent_itemsets(lines, min_support=1))
        >>> table = rules.to_frame()
        >>> rules.matching(table[table["confidence"] == 1])
        RuleSet: 1 rules from 3 itemsets of product_id in 2 baskets (.to_frame(), .top(10))
        """
        return self.take(positions_in(self, table))

    def take(self, rows: NDArray[np.integer[Any]]) -> RuleSet:
        """Return the rules at these positions, in this order."""
        return replace(self, both=self.both[rows], antecedent=self.antecedent[rows], consequent=self.consequent[rows])

    def to_frame(
        self, measures: str | Sequence[str] = ("support", "confidence", "lift", "leverage"), *, names: Any = None
    ) -> Any:
        """Return the rules as a table of the kind of dataframe that came in, one row a rule, in their order.

        Columns: ``antecedent``, ``consequent`` (List of item ids, sorted), ``basket_count`` (Int64, the baskets that
        hold all items of the rule), ``antecedent_count``, ``consequent_count`` (Int64, those that hold that side), and
        the ``measures`` (Float64), one or several, in the order asked for.

        With ``names``, a mapping from item id to name, the lists hold names (String, in the order of the ids; an item
        without one is called by its id, items that share one by name and id). Such a table is for reading:
        :meth:`matching` needs the ids.
        """
        labels = None if names is None else names_of(self.itemsets.item_ids.tolist(), names, caller="RuleSet.to_frame")
        columns = {
            "antecedent": self._ids(self.antecedent, labels),
            "consequent": self._ids(self.consequent, labels),
            "basket_count": self.both_count,
            "antecedent_count": self.antecedent_count,
            "consequent_count": self.consequent_count,
        }
        columns |= {name: self.measure(name) for name in ([measures] if isinstance(measures, str) else measures)}
        return table_with_lists(self.itemsets.engine, columns)

    def __repr__(self) -> str:
        """Say how many there are, and of what."""
        return (
            f"RuleSet: {len(self):,} rules from {len(self.itemsets):,} itemsets of {self.itemsets.item} "
            f"in {self.itemsets.basket_count:,} baskets (.to_frame(), .top(10))"
        )

    def _repr_html_(self) -> str:
        """Show the first rules in a notebook."""
        first = self.take(np.arange(min(SHOWN, len(self))))
        columns = {
            "if": [", ".join(map(str, ids)) for ids in self._ids(first.antecedent).to_pylist()],
            "then": [", ".join(map(str, ids)) for ids in self._ids(first.consequent).to_pylist()],
            "baskets": [f"{count:,}" for count in first.both_count],
            "confidence": [f"{value:.1%}" for value in first.measure("confidence")],
            "lift": [f"{value:.2f}" for value in first.measure("lift")],
        }
        return f"<p>{html.escape(repr(self))}</p>{_html_table(columns)}"

    def _ids(self, rows: NDArray[np.int32], labels: list[str] | None = None) -> Any:
        members = self.itemsets.tree.members(rows, order=self.itemsets.id_order())
        return list_column(*members, self.itemsets.item_ids if labels is None else np.array(labels, object))

    def _best_general_counts(self, *, only_to_decide: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        from crmlytics._kernels.itemset_index import index_of
        from crmlytics._kernels.redundancy import most_confident_general_rules
        from crmlytics._kernels.rules import MissingSubsetError, Rules, counted

        tree = self.itemsets.tree
        rules = Rules(self.both, self.antecedent, self.consequent)
        try:
            return most_confident_general_rules(
                counted(tree, index_of(tree)), rules, tree.basket_count, only_to_decide=only_to_decide
            )
        except MissingSubsetError:
            raise SchemaError(f"RuleSet: {MISSING}") from None

    def _within(self, bounds: dict[str, float], direction: int, *, caller: str) -> RuleSet:
        kept = np.ones(len(self), bool)
        for name, bound in bounds.items():
            if name == "fisher_p_value":
                raise SchemaError(f"{caller}: {NO_P_VALUES}")
            if name in {"confidence", "support"}:
                numerator, denominator = _as_ratio(_check_share(bound, name=name, caller=caller))
                baskets = self.antecedent_count if name == "confidence" else self.itemsets.basket_count
                kept &= (self.both_count * denominator - baskets * numerator) * direction >= 0
            else:
                least = _check_number(bound, name=name, caller=caller) * direction
                kept &= self.measure(name) * direction >= least - SLACK * abs(least)
        return self.take(np.flatnonzero(kept))


def _sides(itemsets: Itemsets, antecedent: Any, consequent: Any) -> NDArray[np.int8]:
    """Return the side of a rule on which each item code may stand."""
    from crmlytics._kernels.rules import EITHER, NEITHER, ONLY_ANTECEDENT, ONLY_CONSEQUENT

    first, second = (
        np.ones(len(itemsets.item_ids), bool)
        if ids is None
        else _items_among(ids, itemsets, name=name, caller="association_rules")
        for name, ids in (("antecedent", antecedent), ("consequent", consequent))
    )
    neither, on_one = ~first & ~second, np.where(first, ONLY_ANTECEDENT, ONLY_CONSEQUENT)
    return np.where(first & second, EITHER, np.where(neither, NEITHER, on_one)).astype(np.int8)


def _items_among(ids: Any, itemsets: Itemsets, *, name: str, caller: str) -> NDArray[np.bool_]:
    """Return which item codes stand for one of ``ids``, an id or several."""
    codes = {item_id: code for code, item_id in enumerate(itemsets.item_ids.tolist())}
    among = np.zeros(len(codes), bool)
    for item_id in [ids] if isinstance(ids, (str, numbers.Number)) else ids:
        if itemsets.hierarchy is not None and isinstance(item_id, numbers.Integral):
            item_id = str(item_id)  # noqa: PLW2901  ids are text beside what stands above them
        if item_id not in codes:
            hint = did_you_mean(item_id, codes) if isinstance(item_id, str) else ""
            msg = (
                f"{caller}: {name}={item_id!r} is in no frequent itemset.{hint} There are {len(codes):,} items of "
                f"{itemsets.item}, such as {list(codes)[-1:]}, in at least {itemsets.min_count:,} baskets: for rarer "
                "ones mine with a lower min_support."
            )
            raise SchemaError(msg)
        among[codes[item_id]] = True
    return among


def _as_ratio(share: float) -> tuple[int, int]:
    """Return the fraction that was meant: 0.1 is one tenth, although no float is."""
    return Fraction(repr(share)).limit_denominator(10**9).as_integer_ratio()


def _check_share(value: Any, *, name: str, caller: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= float(value) <= 1:
        raise SchemaError(f"{caller}: {name} must be a share between 0 and 1, such as {name}=0.1, got {value!r}.")
    return float(value)


def _check_number(value: Any, *, name: str, caller: str) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not math.isfinite(value):
        raise SchemaError(f"{caller}: {name} must be a finite number, such as {name}=1.5, got {value!r}.")
    return float(value)


def _check_max_rules(value: Any, *, caller: str) -> int:
    from crmlytics._kernels.rules import COUNT_LIMIT

    max_rules = check_count(value, name="max_rules", caller=caller)
    if max_rules > COUNT_LIMIT:
        msg = (
            f"{caller}: max_rules must be at most {COUNT_LIMIT:_}, beyond which rules are not counted, got "
            f"{max_rules:_}. For fewer rules raise min_confidence or min_support, or name items in antecedent=, "
            "consequent=."
        )
        raise SchemaError(msg)
    return max_rules


def _too_many(itemsets: Itemsets, question: Question, total: int, max_rules: int) -> str:
    from crmlytics._kernels.rules import COUNT_LIMIT, split_count

    splits = split_count(itemsets.tree.lengths()[itemsets.rows], question.max_consequent_len)
    confidence = question.numerator / question.denominator
    shorter = "max_consequent_len=1, " if question.max_consequent_len > 1 else ""
    number, memory, allow = f"more than {COUNT_LIMIT:,}", "", ""
    if total <= COUNT_LIMIT:  # beyond, the number is where counting stopped
        number, allow = f"{total:,}", f"; or allow them with max_rules={total:_}"
        building, table = (f"{total * size / 1e6:,.0f} MB" for size in (BYTES_TO_BUILD, BYTES_IN_TABLE))
        memory = f"Building them would take about {building}, and a table of them about {table}. "
    return (
        f"association_rules: {number} of the {splits:,} rules that these itemsets can be split into reach "
        f"min_confidence={confidence:g}; max_rules={max_rules:,}. {memory}Ask for fewer, for example with "
        f"min_confidence={(1 + confidence) / 2:.2g}, {shorter}consequent=[...] or itemsets of a higher "
        f"min_support{allow}."
    )


def _html_table(columns: dict[str, list[str]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in columns)
    rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in zip(*columns.values(), strict=True)]
    return f"<table><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in rows)}</table>"
