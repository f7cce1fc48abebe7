"""Were the arms dealt at random? Neither their sizes nor what was known before may tell them apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from crmlytics._lists import table_with_lists
from crmlytics._validation import check_amount, warn
from crmlytics.campaigns._experiment import CONTROL, CUSTOMER, Experiment, read_experiment
from crmlytics.campaigns.uplift._covariates import Covariate, filled, read_covariates, side_by_side
from crmlytics.campaigns.uplift._judging import stacked
from crmlytics.campaigns.uplift._trial import AFTER_CONTACT, BEST, UPLIFT
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

LARGE = 0.1  # of a standard deviation
ALARM = 0.001  # a false one in 1,000 trials
DOUBT = 0.01
NAMED = 3
RANDOM, DOUBTFUL = "consistent with random assignment", "doubtful"
NOT_RANDOM, WRONG_SIZES = "not randomised", "sample ratio mismatch"


@dataclass(frozen=True, slots=True, eq=False)
class Balance:
    """Arms against control before the contact.

    Attributes
    ----------
    covariates, tests : dict of str to array
        The columns of :func:`balance_table` and of :func:`randomisation_table`.
    """

    covariates: dict[str, Any]
    tests: dict[str, Any]

    @property
    def remarks(self) -> list[str]:
        """One sentence per arm that cannot be compared with control as it is."""
        return list(self.remarks_by_arm.values())

    @property
    def remarks_by_arm(self) -> dict[str, str]:
        """The same by arm."""
        rows = [dict(zip(self.tests, row, strict=True)) for row in zip(*self.tests.values(), strict=True)]
        found = {row["arm"]: _remark(row["arm"], row, self._worst(row["arm"])) for row in rows}
        return {arm: remark for arm, remark in found.items() if remark is not None}

    def _worst(self, arm: str) -> str:
        """Name the covariates in which an arm differs most from control."""
        rows = np.flatnonzero(self.covariates["arm"] == arm)
        size = np.nan_to_num(np.abs(self.covariates["standardised_difference"][rows]), nan=0.0)
        names = self.covariates["covariate"][rows][np.argsort(-size, kind="stable")]
        return ", ".join(list(dict.fromkeys(names))[:NAMED])


def read_balance(
    experiment: Experiment,
    names: Sequence[str],
    *,
    planned_shares: Mapping[str, float] | None = None,
    caller: str,
) -> Balance:
    """Compare every arm with control in these columns."""
    planned = _planned(experiment.arms, planned_shares, caller=caller)
    found = read_covariates(experiment, names, caller=caller)
    covariates, tests = {}, {}
    for code, arm in enumerate(experiment.arms[1:], start=1):
        rows = experiment.versus(code)
        among, treated = [one.among(rows) for one in found], experiment.arm[rows] == code
        covariates[arm] = _compared(among, treated)
        tests[arm] = _tested(among, covariates[arm], treated, planned[arm])
    return Balance(stacked(covariates), stacked(tests))


def known_before(experiment: Experiment, apart: Sequence[str | None]) -> list[str]:
    """Return the columns to compare arms in: not key nor these, what came after, nor what an uplift model scored."""
    aside = {*experiment.key, *apart, *AFTER_CONTACT, *BEST}
    return [name for name in experiment.table.columns if name not in aside and not name.startswith(UPLIFT)]


def balance_table(
    table: Any,
    *,
    columns: Sequence[str] | None = None,
    key: Sequence[str] = (CUSTOMER,),
    arm: str = "arm",
    control: Any = CONTROL,
) -> Any:
    """Compare each arm with control in everything that was known before the contact.

    Parameters
    ----------
    table : dataframe, one row per key
        Such as :func:`outcome_table` returns.
    columns : column names, optional
        What was known before the contact: numbers, flags, dates, words. By default all columns but key, arm, those
        that :func:`outcome_table` counts after the contact, and the scores of an uplift model; an outcome of another
        name must be left out by naming the columns.
    key, arm, control
        Columns of ids and of arms, and how the control group is called.

    Returns
    -------
    dataframe of the kind that came in, one row per arm, covariate and level, in the order of the columns
        ``arm``, ``covariate`` (String), ``level`` (String: the word, of which the 20 most frequent stand alone;
        ``"mean"`` of numbers, flags and dates; ``"missing"``: how many are), ``treated_mean``, ``control_mean``
        (Float64, shares of levels and flags; of dates days since 1970), ``standardised_difference`` (Float64, in
        standard deviations), ``p_value`` (Float64, Welch's test of numbers, score or Fisher's test of shares),
        ``is_large`` (Boolean, more than .1 standard deviations apart).

    Raises
    ------
    SchemaError
        When a column is missing, or there is no control group.

    Warns
    -----
    DataQualityWarning
        When the covariates tell an arm from control better than chance would in 1 of 1,000 trials.

    Notes
    -----
    In small trials large differences come by chance, in large ones small differences have small p-values: whether the
    arms were dealt at random is answered by :func:`randomisation_table`, this table says where they differ. That
    covariates are alike does not say that what was not measured is.

    Examples
    --------
    >>> import pandas as pd
    >>> arms = ["mail", "mail", "control", "control"]
    >>> table = pd.DataFrame({"customer_id": [1, 2, 3, 4], "arm": arms, "visits": [3.0, 5.0, 2.0, 4.0]})
    >>> balance_table(table)[["covariate", "treated_mean", "control_mean", "standardised_difference"]].round(3)
      covariate  treated_mean  control_mean  standardised_difference
    0    visits           4.0           3.0                    0.707
    """
    caller = "balance_table"
    experiment = read_experiment(table, key=key, arm=arm, control=control, needs=columns or (), caller=caller)
    names = list(columns) if columns is not None else known_before(experiment, [arm])
    balance = _warned(read_balance(experiment, names, caller=caller), caller=caller)
    return table_with_lists(experiment.engine, balance.covariates)


def randomisation_table(
    table: Any,
    *,
    columns: Sequence[str] | None = None,
    planned_shares: Mapping[str, float] | None = None,
    key: Sequence[str] = (CUSTOMER,),
    arm: str = "arm",
    control: Any = CONTROL,
) -> Any:
    """Test whether arms were dealt at random, by their sizes and by all covariates at once.

    Parameters
    ----------
    table, columns, key, arm, control
        As in :func:`balance_table`.
    planned_shares : dict of str to number, optional
        The share of customers that each arm was meant to have, such as ``{"mail": 0.8, "control": 0.2}``; weights do
        as well. Without it sizes are not tested.

    Returns
    -------
    dataframe of the kind that came in, one row per arm but control
        ``arm`` (String), ``treated_count``, ``control_count`` (Int64), ``planned_share``, ``observed_share`` (Float64,
        of the arm among itself and control), ``ratio_p_value`` (Float64, chi-squared test that they agree; null without
        planned shares), ``covariate_count`` (Int64), ``large_count`` (Int64, covariates more than .1 standard
        deviations apart), ``largest_difference`` (Float64, in standard deviations), ``omnibus_statistic`` (Float64,
        Hansen and Bowers's d squared: under random assignment about ``degrees_of_freedom``, Int64),
        ``omnibus_p_value`` (Float64), ``verdict`` (String): ``"sample ratio mismatch"`` (p < .001), ``"not
        randomised"`` (p < .001), ``"doubtful"`` (either p < .01, as 1 or 2 of 100 sound trials are), ``"consistent with
        random assignment"``.

    Raises
    ------
    SchemaError
        When a column is missing, there is no control group, or planned shares are not those of the arms.

    Warns
    -----
    DataQualityWarning
        When the verdict is one of the first two.

    Notes
    -----
    A trial with the wrong sizes lost or gained customers on the way: find out where before reading its result (Fabijan
    et al. 2019, KDD). One that is not randomised compares different customers: its effect needs matching or
    differences in differences, and shows less. Regress the assignment on all covariates: ``d^2 = (n - 1) R^2`` (Hansen
    & Bowers 2008), referred to Hotelling's F, which stays right with many covariates.

    Examples
    --------
    >>> import pandas as pd
    >>> arms = ["mail"] * 30 + ["control"] * 10
    >>> table = pd.DataFrame({"customer_id": range(40), "arm": arms, "visits": [1, 2, 3, 4] * 10})
    >>> planned = {"mail": 0.75, "control": 0.25}
    >>> randomisation_table(table, planned_shares=planned)[["arm", "observed_share", "ratio_p_value", "verdict"]]
        arm  observed_share  ratio_p_value                            verdict
    0  mail            0.75            1.0  consistent with random assignment
    """
    caller = "randomisation_table"
    experiment = read_experiment(table, key=key, arm=arm, control=control, needs=columns or (), caller=caller)
    names = list(columns) if columns is not None else known_before(experiment, [arm])
    balance = read_balance(experiment, names, planned_shares=planned_shares, caller=caller)
    return table_with_lists(experiment.engine, _warned(balance, caller=caller).tests)


# -- inside --------------------------------------------------------------------------------------------------------


def _warned(balance: Balance, *, caller: str) -> Balance:
    for remark in balance.remarks:
        warn(f"{caller}: {remark}")
    return balance


def _compared(covariates: Sequence[Covariate], treated: NDArray[np.bool_]) -> dict[str, Any]:
    """Return the rows of one arm: columns of :func:`balance_table`."""
    from crmlytics._kernels.balance import standardised_differences

    names = [(one.name, level) for one in covariates for level in one.levels]
    values = side_by_side(covariates)
    difference = standardised_differences(values, treated)
    return {
        "covariate": np.array([name for name, _ in names], object),
        "level": np.array([level for _, level in names], object),
        "treated_mean": _means(values[treated]),
        "control_mean": _means(values[~treated]),
        "standardised_difference": difference,
        "p_value": np.array([_p_value(column, treated) for column in values.T], np.float64),
        "is_large": np.abs(difference) > LARGE,
    }


def _means(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = ~np.isnan(values)
    total, count = np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)
    means: NDArray[np.float64] = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    return means


def _p_value(values: NDArray[np.float64], treated: NDArray[np.bool_]) -> float:
    """Return the p-value of a difference: of shares where all values are flags, else of means."""
    from crmlytics._kernels.balance import are_flags, mean_p_value
    from crmlytics._kernels.proportion_tests import difference_p_value

    groups = [group[~np.isnan(group)] for group in (values[treated], values[~treated])]
    if not are_flags(values):
        return mean_p_value(*groups)
    counts = [np.array([number], np.int64) for group in groups for number in (group.sum(), len(group))]
    return float(difference_p_value(*counts)[0])


def _tested(
    covariates: Sequence[Covariate], compared: dict[str, Any], treated: NDArray[np.bool_], planned: float
) -> dict[str, Any]:
    """Return one arm: columns of :func:`randomisation_table`."""
    from crmlytics._kernels.balance import omnibus, sample_ratio_p_value

    count, other = int(treated.sum()), int((~treated).sum())
    ratio = float("nan") if np.isnan(planned) else sample_ratio_p_value(count, other, planned)
    test = omnibus(filled(side_by_side(covariates)), treated)
    size = np.abs(compared["standardised_difference"])
    row = {
        "treated_count": count,
        "control_count": other,
        "planned_share": planned,
        "observed_share": count / (count + other),
        "ratio_p_value": ratio,
        "covariate_count": len(covariates),
        "large_count": len(set(compared["covariate"][size > LARGE])),
        "largest_difference": float(np.nanmax(size, initial=0.0)),
        "omnibus_statistic": test.statistic,
        "degrees_of_freedom": test.degrees,
        "omnibus_p_value": test.p_value,
        "verdict": _verdict(ratio, test.p_value),
    }
    return {name: np.array([value]) for name, value in row.items()}


def _verdict(ratio: float, omnibus: float) -> str:
    """Name what is wrong first; a test that was not made finds nothing."""
    if ratio < ALARM:
        return WRONG_SIZES
    if omnibus < ALARM:
        return NOT_RANDOM
    return DOUBTFUL if ratio < DOUBT or omnibus < DOUBT else RANDOM


def _planned(arms: Sequence[str], planned_shares: Mapping[str, float] | None, *, caller: str) -> dict[str, float]:
    """Return the share that each arm was meant to have among itself and control; missing where none was planned."""
    if planned_shares is None:
        return dict.fromkeys(arms, float("nan"))
    if set(planned_shares) != set(arms):
        msg = (
            f"{caller}: planned_shares must have a share for each of the arms {list(arms)}, got "
            f"{sorted(map(str, planned_shares))}. Type planned_shares={dict.fromkeys(arms, round(1 / len(arms), 2))}."
        )
        raise SchemaError(msg)
    share = {
        arm: check_amount(planned_shares[arm], name=f"planned_shares[{arm!r}]", caller=caller, positive=True)
        for arm in arms
    }
    return {arm: share[arm] / (share[arm] + share[arms[0]]) for arm in arms}


def _remark(arm: str, test: Mapping[str, Any], worst: str) -> str | None:
    """Say why an arm cannot be compared with control as it is; nothing where it can."""
    if test["verdict"] == WRONG_SIZES:
        found, planned = f"{test['observed_share']:.2%}", f"{test['planned_share']:.2%}"
        return (
            f"sample ratio mismatch: {arm!r} has {found} of the customers in it and control, {planned} were planned "
            f"(p = {test['ratio_p_value']:.1g}). Find out where customers were lost before reading the result."
        )
    if test["verdict"] == NOT_RANDOM:
        return (
            f"{arm!r} and control were not alike before the contact (p = {test['omnibus_p_value']:.1g}), least of "
            f"all in {worst}: not randomised, so what sets them apart afterwards is not all the contact's doing."
        )
    return None
