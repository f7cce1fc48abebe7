"""What the standard errors of uplift scores promise: bounds of lists that hold, for customers never seen."""

import threading
import warnings

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

from crmlytics._kernels import working
from crmlytics.campaigns.targeting.offers import Offer
from crmlytics.campaigns.targeting.target_summary import target_summary_table
from crmlytics.campaigns.targeting.targets import target_table
from crmlytics.campaigns.uplift._calibration import Calibration
from crmlytics.campaigns.uplift._choosing import Contest
from crmlytics.campaigns.uplift._choosing import _run as run
from crmlytics.campaigns.uplift.model import UpliftModel

VALUE, COST = 25.0, 1.0


def simulated(rng, rows, strength):
    """A high first feature is worth ``strength``; the second tells who buys anyway."""
    X, treated = rng.normal(size=(rows, 3)), rng.random(rows) < 0.5
    anyway = 0.1 + 0.4 / (1 + np.exp(-X[:, 1]))
    uplift = 0.03 + strength * (X[:, 0] > 0.5)
    table = pd.DataFrame(X, columns=["a", "b", "c"]).assign(
        customer_id=range(rows),
        arm=np.where(treated, "mail", "control"),
        converted=rng.random(rows) < anyway + uplift * treated,
    )
    return table, uplift


def by_hand(beyond, pseudo):
    line = LinearRegression().fit(beyond[:, None], pseudo)
    columns = np.column_stack([np.ones(len(beyond)), beyond])
    rest = pseudo - line.predict(beyond[:, None])
    bread = np.linalg.inv(columns.T @ columns)
    return [line.intercept_, *line.coef_], bread @ (columns.T * rest**2) @ columns @ bread


def test_is_least_squares_with_white_s_covariance():
    rng = np.random.default_rng(0)
    beyond = rng.normal(size=200)
    pseudo = 1 + 2 * beyond + rng.normal(size=200) * (1 + beyond**2)
    found = Calibration.learn(beyond, pseudo, group=np.arange(200), centre=5.0)
    line, covariance = by_hand(beyond, pseudo)
    np.testing.assert_allclose(found.line, line)
    np.testing.assert_allclose(found.covariance, covariance)
    at_centre = np.sqrt(covariance[0, 0] + (line[0] - 5.0) ** 2)
    assert found.standard_error(np.array([5.0])) == pytest.approx(at_centre)


def test_a_customer_who_comes_twice_is_not_two():
    rng = np.random.default_rng(1)
    beyond, pseudo = rng.normal(size=100), rng.normal(size=100)
    once = Calibration.learn(beyond, pseudo, group=np.arange(100), centre=0.0)
    twice = Calibration.learn(np.tile(beyond, 2), np.tile(pseudo, 2), group=np.tile(np.arange(100), 2), centre=0.0)
    np.testing.assert_allclose(twice.covariance, once.covariance)


def test_a_score_that_is_the_same_for_all_has_the_error_of_a_mean():
    pseudo = np.random.default_rng(2).normal(size=400)
    found = Calibration.learn(np.zeros(400), pseudo, group=np.arange(400), centre=pseudo.mean())
    assert found.standard_error(np.array([pseudo.mean()])) == pytest.approx(pseudo.std() / 20)


@pytest.mark.parametrize("learner", ["t", "auto"])
def test_bounds_of_a_list_hold(learner):
    """A T-learner thinks too much of its best customers, which its bounds know."""
    base = LinearRegression() if learner == "auto" else LogisticRegression(solver="newton-cholesky")
    offer = Offer("mail", value=VALUE, contact_cost=COST, uplift_standard_error="uplift_mail_standard_error")
    runs, held = 40, []
    for seed in range(runs):
        rng = np.random.default_rng(seed)
        table, _ = simulated(rng, 1_000, 0.15)
        fresh, uplift = simulated(rng, 4_000, 0.15)
        targets = target_table(UpliftModel(learner=learner, base_model=base).fit(table).score_table(fresh), offer)
        row = target_summary_table(targets).iloc[-1]
        contacted = (targets.sort_values("customer_id")["action"] == "contact").to_numpy()
        profit = float((uplift[contacted] * VALUE - COST).sum())
        held.append(row["expected_profit_low_amount"] <= profit <= row["expected_profit_high_amount"])
    assert np.mean(held) >= 0.9


def test_amounts_are_calibrated_as_they_are():
    """What is cut off the largest amounts to learn is no part of the mean uplift unless it is put back."""
    rng = np.random.default_rng(3)
    table, _ = simulated(rng, 2_000, 0.0)
    spent = np.where(table["converted"], rng.lognormal(3, 1.5, 2_000), 0.0)
    model = UpliftModel(learner="t", outcome="spent").fit(table.drop(columns="converted").assign(spent=spent))
    means = pd.Series(spent).groupby(table["arm"]).mean()
    assert model.learnt_["mail"].calibration.line[0] == pytest.approx(means["mail"] - means["control"], abs=1.0)


# -- threads -------------------------------------------------------------------------------------------------------


def test_threads_leave_the_caller_s_warning_filters_alone(monkeypatch):
    """scikit-learn empties them while it fits: of two threads, the one that ends last puts the empty ones back."""
    monkeypatch.setattr(working, "thread_count", lambda: 2)
    both, first_out = threading.Barrier(2, timeout=60), threading.Event()
    noise = "`sklearn.utils.parallel.delayed` should be used with `sklearn.utils.parallel.Parallel`"

    def fit(number):
        if number:
            both.wait()  # the other has emptied them
        with warnings.catch_warnings():
            warnings.resetwarnings()
            if number:
                warnings.warn(noise, UserWarning, stacklevel=1)
                warnings.warn("no convergence", RuntimeWarning, stacklevel=1)
                first_out.wait(60)
            else:
                both.wait()
        if not number:
            first_out.set()

    ours = Contest({}, None, is_mixed=False, is_ours=True, random_state=0)
    before = list(warnings.filters)
    with pytest.warns(RuntimeWarning, match="no convergence") as said:
        run(fit, [0, 1], ours)
    assert list(warnings.filters) == before
    assert [str(one.message) for one in said] == ["no convergence"]
