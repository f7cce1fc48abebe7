"""What the measures promise: arules' numbers, exact tails however deep, a sense at every edge."""

import math
from fractions import Fraction
from itertools import product

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2_contingency, fisher_exact, hypergeom

from crmlytics._kernels.hypergeometric import lower_tail, quantile, upper_tail
from crmlytics.affinity.measures import MEASURES, measure_guide, measure_named, measure_values
from crmlytics.exceptions import SchemaError


def value(name, both, antecedent, consequent, baskets):
    return measure_values(name, [both], [antecedent], [consequent], baskets)[0]


@st.composite
def rule_counts(draw, most=200):
    """Counts that a rule can have: baskets with both sides, with each, and in all."""
    baskets = draw(st.integers(1, most))
    antecedent, consequent = draw(st.integers(1, baskets)), draw(st.integers(1, baskets))
    both = draw(st.integers(max(0, antecedent + consequent - baskets), min(antecedent, consequent)))
    return both, antecedent, consequent, baskets


# -- against others ------------------------------------------------------------------------------------------------

ADULT = 48_842
GAIN_NONE, LOSS_NONE, FULL_TIME, MALE, PRIVATE, WHITE = 44_807, 46_560, 28_577, 32_650, 33_906, 41_762
COLUMNS = [
    *["confidence", "lift", "leverage", "hyper_lift", "hyper_confidence", "fisher_p_value", "chi_squared"],
    *["conviction", "odds_ratio", "phi", "imbalance", "kulczynski", "jaccard", "certainty", "added_value"],
]
# R arules, tests/testthat/test-interestMeasures.R: Adult at support .5, confidence .9, rounded there to three places
ARULES = {
    (26_550, FULL_TIME, GAIN_NONE): [
        *[0.929, 1.013, 0.007, 1.01, 1.0, 0.0, 124.024],
        *[1.165, 1.441, 0.05, 0.347, 0.761, 0.567, 0.141, 0.012],
    ],
    (29_553, MALE, GAIN_NONE): [
        *[0.905, 0.987, -0.008, 0.984, 0.0, 1.0, 194.725],
        *[0.871, 0.587, -0.063, 0.254, 0.782, 0.617, -0.148, -0.012],
    ],
    (31_326, PRIVATE, GAIN_NONE): [
        *[0.924, 1.007, 0.005, 1.005, 1.0, 0.0, 62.203],
        *[1.086, 1.31, 0.036, 0.23, 0.812, 0.661, 0.079, 0.007],
    ],
    (38_184, WHITE, GAIN_NONE): [
        *[0.914, 0.997, -0.003, 0.995, 0.0, 1.0, 35.656],
        *[0.964, 0.736, -0.027, 0.063, 0.883, 0.789, -0.037, -0.003],
    ],
    (42_525, GAIN_NONE, LOSS_NONE): [
        *[0.949, 0.996, -0.004, 0.995, 0.0, 1.0, 215.573],
        *[0.917, 0.0, -0.066, 0.036, 0.931, 0.871, -0.09, -0.004],
    ],
    (25_357, 26_550, LOSS_NONE): [
        *[0.955, 1.002, 0.001, 1.0, 0.978, 0.022, 4.175],
        *[1.04, 1.092, 0.009, 0.419, 0.75, 0.531, 0.038, 0.002],
    ],
    (29_851, 31_326, LOSS_NONE): [
        *[0.953, 1.0, 0.0, 0.998, 0.298, 0.702, 0.259],
        *[0.992, 0.977, -0.002, 0.317, 0.797, 0.621, -0.008, 0.0],
    ],
}


@pytest.mark.parametrize("counts", ARULES)
def test_measures_are_those_of_arules_on_adult(counts):
    found = [value(name, *counts, ADULT) for name in COLUMNS]
    assert found == pytest.approx(ARULES[counts], abs=0.0005 + 1e-12)


def by_definition(both, antecedent, consequent, baskets):
    """Compute the measures from probabilities, in fractions, as the definitions say."""
    xy, x, y = (Fraction(count, baskets) for count in (both, antecedent, consequent))
    neither, x_alone, y_alone = 1 - x - y + xy, x - xy, y - xy
    excess = xy - x * y
    return {
        "support": xy,
        "confidence": xy / x,
        "lift": xy / (x * y),
        "leverage": excess,
        "conviction": x * (1 - y) / x_alone if x_alone else (math.inf if y < 1 else 1),
        "zhang": excess / max(xy * (1 - x), x * y_alone) if excess else 0,
        "jaccard": xy / (x + y - xy),
        "cosine": float(xy) / math.sqrt(x * y),
        "kulczynski": (xy / x + xy / y) / 2,
        "imbalance": abs(x - y) / (x + y - xy),
        "certainty": (xy / x - y) / (1 - y) if y < 1 else 0,
        "phi": float(excess) / math.sqrt(x * (1 - x) * y * (1 - y)) if x < 1 and y < 1 else 0,
        "odds_ratio": (
            1 if x == 1 or y == 1 else xy * neither / (x_alone * y_alone) if x_alone and y_alone else math.inf
        ),
        "added_value": xy / x - y,
        "chi_squared": baskets * float(excess) ** 2 / float(x * (1 - x) * y * (1 - y)) if x < 1 and y < 1 else 0,
    }


@given(rule_counts())
def test_measures_follow_their_definitions_at_every_edge(counts):
    for name, expected in by_definition(*counts).items():
        assert value(name, *counts) == pytest.approx(float(expected), rel=1e-12, abs=1e-15), name


@given(rule_counts())
def test_hypergeometric_measures_agree_with_scipy(counts):
    both, antecedent, consequent, baskets = counts
    chance = hypergeom(baskets, antecedent, consequent)
    assert value("fisher_p_value", *counts) == pytest.approx(chance.sf(both - 1), rel=1e-9)
    assert value("hyper_confidence", *counts) == pytest.approx(chance.cdf(both - 1), rel=1e-9, abs=1e-300)
    expected = int(chance.ppf(0.99 * (1 - 1e-12)))
    assert value("hyper_lift", *counts) == (
        pytest.approx(both / expected) if expected else pytest.approx(math.inf if both else math.nan, nan_ok=True)
    )


def test_table_tests_agree_with_scipys_own_tests():
    table = [[30, 70], [120, 780]]  # 100 with the antecedent, 150 with the consequent, 1,000 in all
    counts = (30, 100, 150, 1000)
    assert value("chi_squared", *counts) == pytest.approx(chi2_contingency(table, correction=False).statistic)
    assert value("fisher_p_value", *counts) == pytest.approx(fisher_exact(table, alternative="greater").pvalue)
    assert value("odds_ratio", *counts) == pytest.approx(30 * 780 / (70 * 120))


def test_zhang_by_hand():
    # Zhang (2000): .3 - .5 x .4 over max(.3 x .5, .5 x (.4 - .3)); and never together is -1
    assert value("zhang", 3, 5, 4, 10) == pytest.approx(0.1 / 0.15)
    assert value("zhang", 0, 5, 4, 10) == -1


# -- edges ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counts", [(5, 5, 10, 10), (5, 10, 5, 10), (10, 10, 10, 10)])
def test_a_side_in_every_basket_is_independent_of_the_other(counts):
    for measure in MEASURES.values():
        if not math.isnan(measure.at_independence):
            assert value(measure.name, *counts) == measure.at_independence, measure.name
    assert value("fisher_p_value", *counts) == 1
    assert value("hyper_confidence", *counts) == 0
    assert value("hyper_lift", *counts) == 1


def test_a_rule_without_exception():
    assert value("conviction", 5, 5, 6, 10) == math.inf
    assert value("odds_ratio", 5, 5, 6, 10) == math.inf
    assert value("certainty", 5, 5, 6, 10) == 1


def test_a_side_in_no_basket_has_no_value_and_raises_no_warning():
    for name in ["confidence", "lift", "conviction", "zhang", "certainty", "phi", "odds_ratio", "added_value"]:
        assert math.isnan(value(name, 0, 0, 4, 10)), name
    assert value("confidence", 0, 4, 0, 10) == 0
    assert math.isnan(value("lift", 0, 4, 0, 10))


def test_expected_in_no_basket_makes_hyper_lift_infinite():
    assert value("hyper_lift", 1, 1, 1, 1000) == math.inf  # the 99 % quantile is 0


def test_counts_of_32_bits_do_not_overflow():
    counts = [np.array([n], np.int32) for n in (900_000_000, 1_000_000_000, 1_000_000_000)]
    assert measure_values("leverage", *counts, 2_000_000_000)[0] == pytest.approx(0.2)
    assert measure_values("phi", *counts, 2_000_000_000)[0] == pytest.approx(0.8)


# -- tails ---------------------------------------------------------------------------------------------------------


def exact_tail(population, successes, draws, count):
    ways = sum(
        math.comb(successes, k) * math.comb(population - successes, draws - k)
        for k in range(max(count, 0), min(successes, draws) + 1)
        if draws - k <= population - successes
    )
    return Fraction(ways, math.comb(population, draws))


@given(st.data())
def test_tails_equal_whole_number_arithmetic(data):
    population = data.draw(st.integers(1, 300))
    successes, draws = data.draw(st.integers(0, population)), data.draw(st.integers(0, population))
    count = data.draw(st.integers(-1, min(successes, draws) + 1))
    exact = exact_tail(population, successes, draws, count)
    assert upper_tail(population, [successes], [draws], [count])[0] == pytest.approx(float(exact), rel=1e-12, abs=0)
    below = exact_tail(population, population - successes, draws, draws - count)
    assert lower_tail(population, [successes], [draws], [count])[0] == pytest.approx(float(below), rel=1e-12, abs=0)


def deep_tail(population, successes, draws, count):
    """Sum P(X = count) and on in forty digits."""
    with mpmath.workdps(40):
        term = mpmath.binomial(successes, count) * mpmath.binomial(population - successes, draws - count)
        term /= mpmath.binomial(population, draws)
        total, k = mpmath.mpf(0), count
        while term > total * mpmath.mpf(10) ** -25:
            total += term
            term *= mpmath.mpf(successes - k) * (draws - k)
            term /= mpmath.mpf(k + 1) * (population - successes - draws + k + 1)
            k += 1
        return float(total)


@pytest.mark.parametrize(
    "counts",
    [
        (100_000, 5_000, 4_000, 230),
        (100_000, 5_000, 4_000, 700),  # 2e-193
        (100_000, 90, 80, 60),  # 2e-176, where about 0.07 are expected
        (1_000_000, 50_000, 40_000, 3_500),  # 1e-225
        (10_000_000, 1_000_000, 500_000, 57_000),  # 2e-242
        (1_000_000_000, 100_000_000, 100_000_000, 10_005_000),
    ],
)
def test_deep_tails_equal_forty_digit_arithmetic(counts):
    population, successes, draws, count = counts
    expected = deep_tail(*counts)
    assert upper_tail(population, [successes], [draws], [count])[0] == pytest.approx(expected, rel=1e-12, abs=0)
    assert upper_tail(population, [draws], [successes], [count])[0] == pytest.approx(expected, rel=1e-12, abs=0)


def test_a_quantile_reached_exactly_is_reached():
    assert quantile(100, [1], [1], 0.99).tolist() == [0]  # P(X <= 0) is 99 in 100
    assert quantile(99, [1], [1], 0.99).tolist() == [1]
    assert quantile(8, [3], [4], 0.5).tolist() == [1]  # by symmetry a half, which rounding misses
    assert quantile(12, [3], [1], 0.75).tolist() == [0]


@given(rule_counts(), st.sampled_from([0.05, 0.5, 0.99]))
def test_a_quantile_is_the_first_count_that_reaches_the_level(counts, level):
    _, successes, draws, population = counts
    first = int(quantile(population, [successes], [draws], level)[0])
    wanted = 1 - Fraction(str(level))
    assert exact_tail(population, successes, draws, first + 1) <= wanted
    assert first == max(0, successes + draws - population) or exact_tail(population, successes, draws, first) > wanted


def test_equal_rules_get_equal_values_wherever_they_stand():
    grid = np.array(list(product([5, 9], [10, 20], [12, 30])) * 3)
    tails = upper_tail(100, grid[:, 1], grid[:, 2], grid[:, 0])
    assert tails.tolist() == [upper_tail(100, [x], [y], [k])[0] for k, x, y in grid]


# -- the registry --------------------------------------------------------------------------------------------------


def test_the_guide_has_a_line_for_every_measure():
    guide = measure_guide()
    assert guide["measure"].to_list() == list(MEASURES)
    assert len(guide) == 18
    assert guide[["definition", "range", "trust"]].map(len).min().min() > 3
    assert guide.loc[~guide["greater_is_stronger"], "measure"].to_list() == ["imbalance", "fisher_p_value"]


@given(rule_counts())
def test_values_stay_in_the_range_the_guide_gives(counts):
    for measure in MEASURES.values():
        low, high = measure.range.strip("[]()").replace("baskets", str(counts[3])).split(", ")
        found = value(measure.name, *counts)
        assert math.isnan(found) or float(low) - 1e-12 <= found <= float(high) * (1 + 1e-12), measure.name


def test_an_unknown_measure_is_refused_with_a_hint():
    with pytest.raises(SchemaError, match=r"top: no measure is called 'lfit'\. Did you mean 'lift'\?.*'confidence'"):
        measure_named("lfit", caller="top")
    with pytest.raises(SchemaError, match="no measure is called None"):
        measure_named(None, caller="top")
