"""Whom a contact changes: a model of uplift, learnt from an experiment, with its evaluation attached."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crmlytics._frames import columns_of, enter, to_pandas
from crmlytics._lists import table_with_lists
from crmlytics._validation import check_choice, warn
from crmlytics.campaigns._experiment import CONTROL, CUSTOMER, read_experiment
from crmlytics.campaigns.uplift._base_models import Columns
from crmlytics.campaigns.uplift._candidates import KINDS, contest_of
from crmlytics.campaigns.uplift._choosing import learn
from crmlytics.campaigns.uplift._reading import (
    check_leaks,
    check_outcome,
    read_features,
    read_lessons,
    read_propensity,
)
from crmlytics.campaigns.uplift._scorer import Scorer
from crmlytics.campaigns.uplift._trial import RESPONSE, Trial
from crmlytics.campaigns.uplift.balance import read_balance
from crmlytics.campaigns.uplift.evaluation import evaluate_trials, remarks_on
from crmlytics.exceptions import SchemaError
from crmlytics.scoring._batches import score_any
from crmlytics.scoring._reading import check_key, with_whole_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics.campaigns._experiment import Experiment
    from crmlytics.campaigns.uplift._choosing import Learnt
    from crmlytics.campaigns.uplift.evaluation import UpliftEvaluation
    from crmlytics.scoring._encoding import Encoder

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]


class UpliftModel(BaseEstimator):  # type: ignore[misc]
    """Score customers by what a contact changes: the outcome if treated less that if left alone.

    Learns from an experiment: customers dealt to arms, the control group among them, what was known of them before the
    contact, and what came after it. Every arm is compared with control.

    Parameters
    ----------
    learner : {"auto", "s", "s with interactions", "t", "x", "dr", "class transformation"}
        How effects are learnt (see Notes). ``"auto"`` lets several compete on customers that they have not seen, and
        mixes them by how near they came; what nothing is known of gets the mean effect.
    outcome : str, default "converted"
        The column of the outcome: yes or no as a flag, or an amount or count. Uplift is in its units.
    arm : str
        The column of arms.
    control : str
        How the control group is called in it.
    key : sequence of str
        The columns that tell rows apart, ``customer_id`` among them. Never features.
    base_model : "auto", classifier or regressor
        What learners expect outcomes with. ``"auto"``: shallow, slowly learning trees. A scikit-learn estimator of
        yours is cloned and gets numbers as they are (the median for what is missing, and an indicator of it) and
        indicators of levels; a classifier for an outcome of yes or no.
    effect_model : "auto" or regressor
        What the X- and DR-learner expect effects with. ``"auto"``: ``base_model`` if that is a regressor, else ours.
    features : sequence of str, optional
        The columns to learn from. Default: all but the key, arm, outcome, propensities and what
        :func:`outcome_table` counts after the contact.
    propensity : str or dict of arm to number or str, optional
        The probability, or its column, that a customer was given the arm rather than control. Default: the arm's share,
        which is right where arms were dealt at random, the same for all.
    random_state : int

    Attributes
    ----------
    arms_ : tuple of str
        Without control.
    learnt_ : dict of arm to Learnt
        The fitted learner or mixture, and what was said out of fold.
    trials_ : dict of arm to Trial
        Outcomes beside scores of models that had not seen them: what is judged.
    balance_ : Balance
        What was known before the contact, arm against control.
    feature_names_in_ : array of str
        The columns that it learnt from.
    left_out_ : dict of column to str
        Columns that nothing can be learnt from, and why.

    Notes
    -----
    *Learners.* ``"s"``: one model with the treatment as a feature (with interactions: its product with each feature
    too); ``"t"``: one model an arm; ``"x"``: effects learnt from what each outcome differs by from the other arm's
    model (Künzel et al. 2019); ``"dr"``: a regression on doubly robust pseudo-outcomes (Kennedy 2023); ``"class
    transformation"``: one classifier of treated-and-yes or untreated-and-no (Jaśkowski & Jaroszewicz 2012). With your
    base model they are exactly that.

    *Auto* adds DR-learners on the columns that tell effects apart by themselves, and on their straight line, and mixes
    by non-negative least squares on pseudo-outcomes of customers held out (a "super learner"). What :attr:`evaluation_`
    calls ``"chosen"`` is mixed, fold by fold, by the weights of the other folds, so that choosing does not flatter.

    *Amounts.* Few large orders would decide all, so with ``base_model="auto"`` amounts are learnt with the largest
    hundredth of those that are not nought cut to what the others reach. With ``learner="auto"`` the mean effect is that
    of the amounts as they are; effects are judged on these too.

    *Not for* campaigns whose customers were picked: what was picked by is then taken for effect. :attr:`evaluation_`
    says how the arms differed before; if they did, give ``propensity`` or run an experiment.

    *Features that can be had again.* What :func:`outcome_table` counts before the contact (``pre_...``) is not known of
    customers to score. Take those of :class:`~crmlytics.snapshots.Snapshots`: to fit, ``features_table`` of the day of
    the contacts, joined to ``customer_id``, ``arm`` and outcome; to score, ``features_table`` of today.

    *How right it is.* 50,000 simulated customers with 20 features, half of them treated, 5% buying anyway; a contact
    adds 8 points for the 20% with two features high and takes 4 from 5%. Where contacts pay from 4 points, those made
    where uplift pays earn 0.94 of what knowing every effect would (0.91 to 0.97 in six runs), from 2 points 0.93 (0.88
    to 0.98). With 10% buying anyway it was 0.86 (one run), and where the sum of three features decides, which needs a
    slanting edge, 0.64 and 0.76 (two runs). Of a real randomised mailing to 10,000 customers (67 features), the Qini
    coefficient out of fold is 2.6 per 100 customers, of the response model 0.6; on 10,000 others it is 2.7. Fitting
    takes 17 seconds of one core in the first case.

    References
    ----------
    Künzel, S. R. et al. (2019), Metalearners for estimating heterogeneous treatment effects using machine learning,
    PNAS 116(10).
    Chernozhukov, V. et al. (2018), Generic machine learning inference on heterogeneous treatment effects in randomized
    experiments, NBER 24678.
    Kennedy, E. H. (2023), Towards optimal doubly robust estimation of heterogeneous causal effects, Electronic Journal
    of Statistics 17(2).
    Jaśkowski, M. and Jaroszewicz, S. (2012), Uplift modeling for clinical trial data, ICML Workshop on Clinical Data
    Analysis.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> table = pd.DataFrame({"customer_id": range(4000), "visits": rng.integers(0, 10, 4000)})
    >>> table["arm"] = np.where(rng.random(4000) < 0.5, "mail", "control")
    >>> chance = 0.1 + 0.04 * table["visits"] * (table["arm"] == "mail")
    >>> table["converted"] = rng.random(4000) < chance
    >>> model = UpliftModel().fit(table)
    >>> list(model.score_table(table).columns)
    ['customer_id', 'uplift_mail', 'uplift_mail_standard_error', 'best_arm', 'best_uplift']
    """

    def __init__(
        self,
        *,
        learner: str = "auto",
        outcome: str = "converted",
        arm: str = "arm",
        control: Any = CONTROL,
        key: Sequence[str] = (CUSTOMER,),
        base_model: Any = "auto",
        effect_model: Any = "auto",
        features: Sequence[str] | None = None,
        propensity: Any = None,
        random_state: int = 0,
    ) -> None:
        self.learner = learner
        self.outcome = outcome
        self.arm = arm
        self.control = control
        self.key = key
        self.base_model = base_model
        self.effect_model = effect_model
        self.features = features
        self.propensity = propensity
        self.random_state = random_state

    # -- learning ------------------------------------------------------------------------------------------------

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn, and judge on customers held out, from a table of any kind; a lazy one is computed once.

        Parameters
        ----------
        X : dataframe, one row per key
            Such as :func:`outcome_table` returns.
        y : array, optional
            The outcome, row by row as in a table in memory; default: the column ``outcome``.

        Raises
        ------
        SchemaError, MissingColumnsError
            Without a control group or another arm; when the outcome is the same for all, or fewer than 10 customers of
            an arm have another one; for features known only after the contact, such as one that tells the arms apart
            or that varies in one arm only.

        Warns
        -----
        DataQualityWarning
            Where a single column tells the outcome of an arm: such columns are mostly filled in after it. When an arm
            and control were not alike before the contact, as in :func:`balance_table`, and no propensities say why.
        """
        caller = "UpliftModel.fit"
        check_choice(self.learner, KINDS, name="learner", caller=caller)
        experiment, outcome = self._read(X, y, caller=caller)
        check_outcome(experiment, outcome, self.outcome, caller=caller)
        chances = read_propensity(experiment, self.propensity, caller=caller)
        encoder = read_features(experiment, self.features, self._apart(), caller=caller)
        design = encoder.design(experiment.table, caller=caller)
        check_leaks(design, experiment, outcome, caller=caller)
        columns = Columns.learn(design)
        lessons = read_lessons(experiment, columns.matrix(design), outcome, chances)
        learnt = {
            arm: learn(lesson, contest_of(self, len(lesson), is_flag=lesson.is_flag, caller=caller))
            for arm, lesson in lessons.items()
        }
        self._keep(experiment, encoder, columns, learnt)
        self.trials_ = {
            arm: Trial(lesson.outcome, lesson.treated, lesson.propensity, learnt[arm].scores, lesson.group)
            for arm, lesson in lessons.items()
        }
        for remark in remarks_on(self.trials_, self.balance_).values():
            warn(f"{caller}: {remark}")
        return self

    def _keep(self, experiment: Experiment, encoder: Encoder, columns: Columns, learnt: dict[str, Learnt]) -> None:
        self.__dict__.pop("evaluation_", None)  # of an earlier fit
        self.encoder_, self.columns_, self.learnt_ = encoder, columns, learnt
        self.arms_ = experiment.arms[1:]
        self.feature_names_in_ = np.array([feature.name for feature in encoder.features], dtype=object)
        self.n_features_in_ = len(self.feature_names_in_)
        self.left_out_ = dict(encoder.left_out)
        self.balance_ = read_balance(experiment, list(self.feature_names_in_), caller="UpliftModel.fit")
        self.engine_ = experiment.engine.without_table

    # -- scoring -------------------------------------------------------------------------------------------------

    def predict(self, X: Any) -> Matrix:
        """Return the uplift of each row of a table in memory, in its order: one column an arm, as in ``arms_``."""
        check_is_fitted(self, "learnt_")
        return self._scorer("UpliftModel.predict").uplift(to_pandas(X, caller="UpliftModel.predict"))

    def score(self, X: Any, y: Any = None) -> float:
        """Return the Qini coefficient of an experiment: outcome per customer that the ranking brings over chance.

        As in :func:`qini_table`, over all shares contacted; of several arms the mean, weighted by customers.
        """
        from crmlytics._kernels.uplift_curves import qini

        check_is_fitted(self, "learnt_")
        caller = "UpliftModel.score"
        experiment, outcome = self._read(X, y, caller=caller)
        self._check_arms(experiment, caller=caller)
        chances = read_propensity(experiment, self.propensity, caller=caller)
        said = self._scorer(caller).uplift(experiment.table)
        found, sizes = [], []
        for code, arm in enumerate(experiment.arms[1:], start=1):
            rows = experiment.versus(code)
            scores = said[rows, self.arms_.index(arm)]
            found.append(qini(scores, outcome[rows], experiment.arm[rows] == code, chances[arm]))
            sizes.append(int(rows.sum()))
        return float(np.average(found, weights=sizes))

    def score_table(self, X: Any) -> Any:
        """Score a table of any engine; on Spark where the data are, elsewhere batch by batch.

        Returns
        -------
        dataframe of the kind that came in, one row per key, sorted by it
            The key; ``uplift_<arm>`` for each arm (Float64, what the contact adds to the outcome, in its units: 0.03 of
            a flag is 3 points of probability), followed by ``uplift_<arm>_standard_error`` (Float64, see Notes);
            ``best_arm`` (String, the arm with the highest uplift; null where none is above nought: leave alone);
            ``best_uplift`` (Float64, the highest, be it below nought).

        Notes
        -----
        A contact pays where uplift, times what an outcome is worth, exceeds what the contact costs.

        *The standard error* is that of the level: within 1.96 of them lies, 95 times in 100, the mean uplift of all
        customers with such a score. Single customers differ from it by far more, and nobody can know by how much. Of
        customers held out in the experiment, doubly robust pseudo-outcomes are regressed on the score (Chernozhukov et
        al. 2018); the standard error of that line and the score's distance from it are added as squares. It errs for
        all customers together, so bounds of a list are sums of the bounds of its customers, as
        :func:`target_summary_table` takes them; an :class:`Offer` finds the column by itself.
        It holds for customers as those of the experiment were, and contacts as they were then. In 300 simulated
        campaigns to 1,500 customers each, the profit of the list of 20,000 others lay within its bounds in 98 of 100,
        of a T-learner as of a mixture. Where only a mixture's mistakes make a list (nothing pays: 104 of 300), in 89.
        """
        check_is_fitted(self, "learnt_")
        caller = "UpliftModel.score_table"
        key = self._key_names()
        plan, engine = enter(X, caller=caller)
        found = [name for name in key if name in columns_of(plan)]
        with_whole_ids(plan, found, caller=caller)
        if not engine.is_lazy and found == key:
            check_key(plan, key, key, caller=caller)
        scorer = self._scorer(caller)
        columns, is_ours = list(self.feature_names_in_), isinstance(self.base_model, str)
        return score_any(X, scorer.scores, scorer.schema, key=key, columns=columns, caller=caller, in_threads=is_ours)

    # -- judging -------------------------------------------------------------------------------------------------

    @cached_property
    def evaluation_(self) -> UpliftEvaluation:
        """How good each learner's ranking was on customers that it had not seen; made when asked for.

        ``"chosen"`` is what ``learner="auto"`` makes of them; ``"response model"`` ranks by the outcome that is likely
        of the treated anyway. ``evaluation_.verdict`` says in words whether there is uplift to be had.
        """
        check_is_fitted(self, "learnt_")
        return evaluate_trials(
            self.trials_, engine=self.engine_, baseline=RESPONSE, balance=self.balance_, seed=self.random_state
        )

    def learner_table(self) -> Any:
        """Say how near each learner came to the effects of customers that it had not seen.

        Returns
        -------
        dataframe of the kind it was fitted on, one row per arm and learner, the nearest first
            ``arm``, ``learner`` (String); ``loss`` (Float64, mean squared distance from doubly robust pseudo-outcomes
            less that of the mean effect: below nought is better than treating all alike); ``weight`` (Float64, by how
            much what it says beyond the mean effect enters what is predicted; 1.5 in all at most, since learners that
            learn slowly say too little).
        """
        check_is_fitted(self, "learnt_")
        rows = [
            (arm, name, loss, learnt.weights[name])
            for arm, learnt in self.learnt_.items()
            for name, loss in sorted(learnt.losses.items(), key=lambda item: (item[1], item[0]))
        ]
        arms, names, losses, weights = zip(*rows, strict=True)
        columns = {"arm": np.array(arms, object), "learner": np.array(names, object)}
        numbers = {"loss": np.array(losses, np.float64), "weight": np.array(weights, np.float64)}
        return table_with_lists(self.engine_, columns | numbers)

    # -- inside --------------------------------------------------------------------------------------------------

    def _key_names(self) -> list[str]:
        return [self.key] if isinstance(self.key, str) else list(self.key)

    def _apart(self) -> list[str]:
        given = self.propensity.values() if isinstance(self.propensity, Mapping) else [self.propensity]
        return [self.arm, self.outcome, *(name for name in given if isinstance(name, str))]

    def _read(self, X: Any, y: Any, *, caller: str) -> tuple[Experiment, Vector]:
        if y is not None:
            table = to_pandas(X, caller=caller)
            if len(table) != len(y):
                msg = f"{caller}: X has {len(table):,} rows, and {len(y):,} outcomes came with it."
                raise SchemaError(msg)
            X = table.assign(**{self.outcome: np.asarray(y)})
        options: dict[str, Any] = {"key": self._key_names(), "arm": self.arm, "control": self.control}
        experiment = read_experiment(X, **options, needs=[self.outcome], caller=caller)
        return experiment, experiment.numbers(self.outcome, caller=caller)

    def _check_arms(self, experiment: Experiment, *, caller: str) -> None:
        unknown = [arm for arm in experiment.arms[1:] if arm not in self.arms_]
        if unknown:
            msg = f"{caller}: the arms {unknown} were not learnt, but {list(self.arms_)}. Leave these rows out."
            raise SchemaError(msg)

    def _scorer(self, caller: str) -> Scorer:
        models = {arm: (learnt.model, learnt.calibration) for arm, learnt in self.learnt_.items()}
        return Scorer(self.encoder_, self.columns_, models, tuple(self._key_names()), caller)
