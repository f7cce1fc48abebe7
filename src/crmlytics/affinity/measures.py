"""What says that a rule is strong: the measures, each with a line on when to trust it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmlytics._kernels import rule_measures
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class Measure:
    """A measure of the interest of a rule X -> Y.

    Attributes
    ----------
    name : str
        What it is called: the name of its column.
    definition : str
        The formula; P is a share of baskets, XY are all items of the rule.
    range : str
        The values it can take.
    at_independence : float
        Its value where X says nothing about Y; NaN where that depends on how frequent they are.
    trust : str
        When to trust it.
    greater_is_stronger : bool
        Whether a greater value is a stronger rule.
    """

    name: str
    definition: str
    range: str
    at_independence: float
    trust: str
    greater_is_stronger: bool = True

    @property
    def function(self) -> Callable[..., NDArray[np.float64]]:
        """The function of counts that computes it, of the same name in ``_kernels/rule_measures.py``."""
        function: Callable[..., NDArray[np.float64]] = getattr(rule_measures, self.name)
        return function


_ALL = (
    Measure("support", "P(XY)", "[0, 1]", math.nan, "How often the rule matters; says nothing about a link."),
    Measure(
        "confidence",
        "P(Y|X)",
        "[0, 1]",
        math.nan,
        "For predicting Y; high for every frequent Y, so compare it with P(Y): lift, added_value.",
    ),
    Measure(
        "lift",
        "P(XY) / (P(X) P(Y))",
        "[0, inf)",
        1.0,
        "For rules of some hundred baskets; a few chance baskets of rare items give enormous values.",
    ),
    Measure(
        "leverage",
        "P(XY) - P(X) P(Y)",
        "[-0.25, 0.25]",
        0.0,
        "For how many baskets the link concerns; favours frequent items, steady on rare ones.",
    ),
    Measure(
        "conviction",
        "P(X) P(not Y) / P(X, not Y)",
        "[0, inf]",
        1.0,
        "For rules nearly without exception; inf at confidence 1, be it of a single basket.",
    ),
    Measure(
        "zhang",
        "(P(XY) - P(X) P(Y)) / max(P(XY) P(not X), P(X) P(Y, not X))",
        "[-1, 1]",
        0.0,
        "For attraction and repulsion on one scale; as unsteady on rare items as lift.",
    ),
    Measure(
        "jaccard",
        "P(XY) / P(X or Y)",
        "[0, 1]",
        math.nan,
        "For things bought as one; low for a rare X that always comes with a frequent Y.",
    ),
    Measure(
        "cosine",
        "P(XY) / sqrt(P(X) P(Y))",
        "[0, 1]",
        math.nan,
        "For comparing shops and periods: baskets with neither side do not change it. Not a test of a link.",
    ),
    Measure(
        "kulczynski",
        "(P(Y|X) + P(X|Y)) / 2",
        "[0, 1]",
        math.nan,
        "As cosine; near 0.5 look at imbalance, which tells a one-way rule from a weak one.",
    ),
    Measure(
        "imbalance",
        "|P(X) - P(Y)| / P(X or Y)",
        "[0, 1]",
        math.nan,
        "Beside kulczynski: 0 where both sides are equally frequent, near 1 where one dwarfs the other.",
        greater_is_stronger=False,
    ),
    Measure(
        "certainty",
        "(P(Y|X) - P(Y)) / P(not Y)",
        "(-inf, 1]",
        0.0,
        "For the share of the doubt about Y that X removes; unsteady where nearly every basket has Y.",
    ),
    Measure(
        "phi",
        "correlation of having X and having Y",
        "[-1, 1]",
        0.0,
        "For sides of like frequency; cannot come near 1 where they differ in it.",
    ),
    Measure(
        "odds_ratio",
        "P(XY) P(neither) / (P(X, not Y) P(Y, not X))",
        "[0, inf]",
        1.0,
        "For comparing groups that differ in how frequent Y is; 0 or inf as soon as one cell is empty.",
    ),
    Measure(
        "added_value",
        "P(Y|X) - P(Y)",
        "[-1, 1]",
        0.0,
        "For what a recommendation gains, in points of probability; needs enough baskets with X.",
    ),
    Measure(
        "chi_squared",
        "baskets x phi^2",
        "[0, baskets]",
        0.0,
        "For ranking strong against weak evidence; grows with the data, not with the link, and has no sign.",
    ),
    Measure(
        "fisher_p_value",
        "P(C >= baskets of XY), C hypergeometric",
        "[0, 1]",
        math.nan,
        "For ranking only: mined rules were chosen for it. For decisions use significant_rules.",
        greater_is_stronger=False,
    ),
    Measure(
        "hyper_lift",
        "baskets of XY / 99 % quantile of C, C hypergeometric",
        "[0, inf]",
        math.nan,
        "Instead of lift for rare items: above 1 is more than chance gives in 99 of 100 pairs.",
    ),
    Measure(
        "hyper_confidence",
        "P(C < baskets of XY), C hypergeometric",
        "[0, 1]",
        math.nan,
        "For filtering chance out of small counts; near 1 for thousands of rules, where it ranks no more.",
    ),
)

MEASURES: dict[str, Measure] = {measure.name: measure for measure in _ALL}


def measure_named(name: Any, *, caller: str) -> Measure:
    """Return the measure of this name, or say which there are."""
    if isinstance(name, str) and name in MEASURES:
        return MEASURES[name]
    msg = f"{caller}: no measure is called {name!r}.{did_you_mean(name, MEASURES)} Measures: {list(MEASURES)}"
    raise SchemaError(msg)


def measure_values(
    name: str, both: ArrayLike, antecedent: ArrayLike, consequent: ArrayLike, baskets: int
) -> NDArray[np.float64]:
    """Compute a measure from the counts of baskets that hold both sides, the antecedent and the consequent."""
    return measure_named(name, caller="measure_values").function(both, antecedent, consequent, baskets)


def measure_guide() -> Any:
    """List the measures of a rule X -> Y, and when to trust each.

    The definitions are those of R's arules: M. Hahsler, "A Probabilistic Comparison of Commonly Used Interest Measures
    for Association Rules", 2015; ``zhang`` is from T. Zhang, "Association Rules", 2000. Where a side is in every basket
    a measure that would be 0/0 takes its value at independence.

    Returns
    -------
    pandas.DataFrame, one row per measure
        ``measure`` (its name, as ``RuleSet.measure`` and ``RuleSet.top`` take it), ``definition`` (P is a share of
        baskets), ``range``, ``at_independence`` (Float64: the value where X says nothing about Y, NaN where there is no
        fixed one), ``greater_is_stronger`` (Boolean), ``trust`` (when to trust it).

    Examples
    --------
    >>> measure_guide().loc[1:3, ["measure", "definition", "range", "at_independence"]]
          measure           definition          range  at_independence
    1  confidence               P(Y|X)         [0, 1]              NaN
    2        lift  P(XY) / (P(X) P(Y))       [0, inf)              1.0
    3    leverage   P(XY) - P(X) P(Y)  [-0.25, 0.25]              0.0
    """
    import pandas as pd

    return pd.DataFrame(
        {
            "measure": [measure.name for measure in _ALL],
            "definition": [measure.definition for measure in _ALL],
            "range": [measure.range for measure in _ALL],
            "at_independence": [measure.at_independence for measure in _ALL],
            "greater_is_stronger": [measure.greater_is_stronger for measure in _ALL],
            "trust": [measure.trust for measure in _ALL],
        }
    )
