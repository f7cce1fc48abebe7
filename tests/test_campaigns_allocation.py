"""What the allocation promises: limits kept, near the best of all lists, a bound that is one, hold-outs on paper."""

from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from crmlytics._kernels.allocation import BUDGET, CAPACITY, LEFT, Limits, allocate, allocate_in_order, best_prices

INF = np.inf


def limits_of(arms, *, budget=INF, capacity=INF, by_arm=None):
    return Limits(float(budget), float(capacity), np.full(arms, INF) if by_arm is None else np.array(by_arm, float))


def solved(profit, cost, limits, uses=None):
    uses = np.ones(len(profit), bool) if uses is None else uses
    prices = best_prices(profit[uses], cost[uses], limits)
    return allocate(profit, cost, uses, limits, prices.prices), prices.bound


def total(values, arm):
    chosen = arm != LEFT
    return values[np.flatnonzero(chosen), arm[chosen]].sum()


def check_kept(cost, arm, limits):
    assert total(cost, arm) <= limits.budget * (1 + 1e-9)
    assert (arm != LEFT).sum() <= limits.capacity
    assert (np.bincount(arm[arm != LEFT], minlength=cost.shape[1]) <= limits.by_arm).all()


def brute_force(profit, cost, limits):
    best = 0.0
    for arms in product(range(-1, profit.shape[1]), repeat=len(profit)):
        arm = np.array(arms)
        counts = np.bincount(arm[arm != LEFT], minlength=profit.shape[1])
        within = counts.sum() <= limits.capacity and (counts <= limits.by_arm).all()
        if within and total(cost, arm) <= limits.budget:
            best = max(best, total(profit, arm))
    return best


def programme(profit, cost, limits, *, whole):
    """The best list by mixed-integer (or linear) programming: SciPy's HiGHS."""
    n, arms = profit.shape
    rows = [np.kron(np.eye(n), np.ones(arms))]
    bounds = [np.ones(n)]
    for row, bound in [
        (cost.ravel(), limits.budget),
        (np.ones(n * arms), limits.capacity),
        *((np.tile(np.eye(arms)[arm], n), limits.by_arm[arm]) for arm in range(arms)),
    ]:
        if np.isfinite(bound):
            rows.append(row[None])
            bounds.append([bound])
    constraint = optimize.LinearConstraint(np.vstack(rows), -INF, np.concatenate(bounds))
    integrality = np.full(n * arms, int(whole))
    return -optimize.milp(-profit.ravel(), constraints=constraint, integrality=integrality, bounds=(0, 1)).fun


def market(n, seed, arms=3):
    random = np.random.default_rng(seed)
    cost = random.uniform(0.05, 1.5, arms) + random.beta(1, 6, (n, 1)) * random.uniform(0, 8, arms)
    return random.normal(0.02, 0.03, (n, arms)) * random.gamma(2, 40, (n, 1)) - cost, cost


def test_a_dear_offer_only_where_the_difference_pays():
    # from nothing to the cheap offer: 4 and 6 per unit; from cheap to dear: 2 more for 4, and 9 more for 3
    profit, cost = np.array([[4.0, 6.0], [6.0, 15.0]]), np.array([[1.0, 5.0], [1.0, 4.0]])
    found, bound = solved(profit, cost, limits_of(2, budget=5))
    assert found.arm.tolist() == [0, 1]
    assert total(profit, found.arm) == bound == 19
    found, bound = solved(profit, cost, limits_of(2, budget=4.5))  # the first customer's cheap offer: half of it
    assert found.arm.tolist() == [0, 0]
    assert bound == pytest.approx(4 + 6 + 9 * 2.5 / 3)


def test_without_limits_everybody_gets_the_best_offer_that_pays():
    profit = np.array([[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0], [3.0, 1.0]])
    found, bound = solved(profit, np.ones((4, 2)), limits_of(2))
    assert found.arm.tolist() == [1, LEFT, LEFT, 0]
    assert bound == 5


@given(st.data())
def test_with_a_budget_the_list_is_within_one_step_of_the_best(data):
    n, arms = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    numbers = st.lists(st.integers(-3, 12), min_size=n * arms, max_size=n * arms)
    profit = np.array(data.draw(numbers), float).reshape(n, arms)
    cost = np.abs(np.array(data.draw(numbers), float)).reshape(n, arms)
    limits = limits_of(arms, budget=data.draw(st.integers(0, 30)))
    found, bound = solved(profit, cost, limits)
    best, got = brute_force(profit, cost, limits), total(profit, found.arm)
    check_kept(cost, found.arm, limits)
    assert got <= best <= bound * (1 + 1e-9) + 1e-9
    assert bound - got <= max(profit.max(), 0) + 1e-5
    assert bound == pytest.approx(programme(profit, cost, limits, whole=False), rel=1e-6, abs=1e-6)


@given(st.data())
def test_limits_of_every_kind_are_kept_and_the_bound_is_one(data):
    n, arms = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 3))
    numbers = st.lists(st.integers(-3, 12), min_size=n * arms, max_size=n * arms)
    profit = np.array(data.draw(numbers), float).reshape(n, arms)
    cost = np.abs(np.array(data.draw(numbers), float)).reshape(n, arms)
    by_arm = data.draw(st.lists(st.sampled_from([0, 1, 2, INF]), min_size=arms, max_size=arms))
    limits = limits_of(arms, budget=data.draw(st.sampled_from([0, 7, 20, INF])), capacity=n - 1, by_arm=by_arm)
    found, bound = solved(profit, cost, limits)
    check_kept(cost, found.arm, limits)
    assert total(profit, found.arm) <= brute_force(profit, cost, limits) <= bound * (1 + 1e-9) + 1e-9
    left = found.arm == LEFT
    assert (found.refused[left & (profit > 0).any(axis=1)] != 0).all()  # nobody worth it is left without a reason
    assert (profit[~left, found.arm[~left]] > 0).all()


LIMITS = {
    "budget": {"budget": 15},
    "capacity": {"capacity": 10},
    "by offer": {"by_arm": [6, 5, INF]},
    "budget and by offer": {"budget": 12, "by_arm": [10, 6, 8]},
    "budget and capacity": {"budget": 10, "capacity": 14},
}


@pytest.mark.parametrize("given", LIMITS)
@pytest.mark.parametrize("seed", range(4))
def test_near_the_best_of_all_lists(given, seed):
    profit, cost = market(60, seed)
    limits = limits_of(3, **LIMITS[given])
    found, bound = solved(profit, cost, limits)
    best = programme(profit, cost, limits, whole=True)
    check_kept(cost, found.arm, limits)
    assert bound == pytest.approx(programme(profit, cost, limits, whole=False), rel=1e-6)
    assert bound >= best - 1e-6
    assert total(profit, found.arm) >= best * (0.9999 if given == "capacity" else 0.96)


@pytest.mark.parametrize("given", LIMITS)
def test_a_long_list_reaches_its_bound(given):
    profit, cost = market(20_000, 7)
    scaled = {name: np.array(value) * 300 for name, value in LIMITS[given].items()}
    found, bound = solved(profit, cost, limits_of(3, **scaled))
    check_kept(cost, found.arm, limits_of(3, **scaled))
    assert 0.9999 * bound <= total(profit, found.arm) <= bound * (1 + 1e-9)


def test_of_offers_that_bring_the_same_the_cheaper_one():
    profit, cost = np.full((3, 2), 5.0), np.tile([4.0, 1.0], (3, 1))
    found, bound = solved(profit, cost, limits_of(2, budget=3))
    assert found.arm.tolist() == [1, 1, 1]
    assert bound == 15


def test_of_offers_that_bring_and_cost_the_same_the_first():
    profit, cost = np.full((3, 2), 5.0), np.ones((3, 2))
    limits = limits_of(2, budget=2)
    assert solved(profit, cost, limits)[0].arm.tolist() == [0, 0, LEFT]
    down = allocate_in_order(profit, cost, np.ones(3, bool), limits, np.array([2, 0, 1]))
    assert down.arm.tolist() == [0, LEFT, 0]


def test_who_is_held_out_gets_the_same_offers_and_uses_nothing_up():
    profit, cost = market(5_000, 3)
    twice = (np.repeat(profit, 2, axis=0), np.repeat(cost, 2, axis=0))
    uses = np.tile([True, False], 5_000)
    limits = limits_of(3, budget=900, by_arm=[700, 500, INF])
    alone, _ = solved(profit, cost, limits)
    found, _ = solved(*twice, limits, uses)
    assert found.arm[uses].tolist() == alone.arm.tolist()
    assert (found.arm[~uses] != alone.arm).sum() <= 5  # those on the edge
    assert (alone.arm != LEFT).sum() > 1_000


def test_currency_does_not_matter():
    profit, cost = market(500, 5)
    for unit in (1e-4, 1e6):
        small, _ = solved(profit, cost, limits_of(3, budget=60, capacity=90))
        large, _ = solved(profit * unit, cost * unit, limits_of(3, budget=60 * unit, capacity=90))
        assert large.arm.tolist() == small.arm.tolist()


def test_without_good_prices_limits_and_bound_hold_all_the_same(monkeypatch):
    profit, cost = market(60, 2)
    limits = limits_of(3, budget=12, by_arm=[10, 6, 8])
    monkeypatch.setattr(optimize, "linprog", lambda *_, **__: SimpleNamespace(x=None, fun=None))
    found, bound = solved(profit, cost, limits)
    monkeypatch.undo()
    check_kept(cost, found.arm, limits)
    assert 0 < total(profit, found.arm) <= programme(profit, cost, limits, whole=True) <= bound


def test_reasons_name_what_was_short():
    profit, cost = np.array([[9.0], [8.0], [7.0]]), np.array([[1.0], [1.0], [1.0]])
    by_money, _ = solved(profit, cost, limits_of(1, budget=2))
    assert by_money.refused.tolist() == [0, 0, BUDGET]
    by_hands, _ = solved(profit, cost, limits_of(1, by_arm=[1]))
    assert by_hands.refused.tolist() == [0, CAPACITY, CAPACITY]


def naive_in_order(profit, cost, limits, order):
    arm, spent, given = np.full(len(profit), LEFT), 0.0, np.zeros(profit.shape[1])
    for row in order:
        for offer in sorted(range(profit.shape[1]), key=lambda offer: -profit[row, offer]):
            fits = spent + cost[row, offer] <= limits.budget and given[offer] < limits.by_arm[offer]
            if profit[row, offer] > 0 and fits and given.sum() < limits.capacity:
                arm[row], spent = offer, spent + cost[row, offer]
                given[offer] += 1
                break
    return arm


@pytest.mark.parametrize("given", LIMITS)
def test_down_a_list_each_gets_the_best_that_fits(given):
    profit, cost = market(60, 11)
    order = np.random.default_rng(2).permutation(60)
    limits = limits_of(3, **LIMITS[given])
    found = allocate_in_order(profit, cost, np.ones(60, bool), limits, order)
    check_kept(cost, found.arm, limits)
    assert found.arm.tolist() == naive_in_order(profit, cost, limits, order).tolist()
