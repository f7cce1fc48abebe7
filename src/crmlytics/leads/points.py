"""Points: a scorecard that anybody can add up by hand, and a database can compute."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_is_fitted

from crmlytics._lists import table_with_lists
from crmlytics._validation import did_you_mean, warn
from crmlytics.exceptions import SchemaError
from crmlytics.leads._columns import OUTCOMES, read_table
from crmlytics.leads._missing import MISSING_WORDS, check_missing_words
from crmlytics.leads._scorecard import assemble, codes_of, learn_characteristic
from crmlytics.leads._scorecard_options import check_features, check_monotone, check_numbers, scale_of, wanted_of
from crmlytics.leads._scorecard_tables import EVERYBODY, information_columns, points_columns, rounding_columns
from crmlytics.leads._sql import scorecard_query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine
    from crmlytics.leads._columns import ReadyTable
    from crmlytics.leads._scorecard import Scorecard


class PointsScorecard(BaseEstimator):  # type: ignore[misc]
    """Score leads (or customers) by points that add up: so many for the source, so many for the size of the company.

    Each column is cut into a few bins; a bin gives points for how much likelier than average the outcome is in it, 0
    where it says nothing. The sum of the points is the score, and stands for a probability.

    Parameters
    ----------
    target : str, default "converted"
        The column of the outcome: true or false, or 1 and 0.
    key : str or None, default "lead_id"
        The column that names a row; never learnt from. A table without it gets ``row_number``, from 0.
    features : list of str, optional
        The columns to learn from; by default all others that hold numbers, words or truth values. Dates are left out:
        turn them into days first. Where the target is ``"converted"``, ``stage`` and ``converted_at`` are never learnt
        from: they are the outcome by other names.
    monotone : dict of column to 1, -1 or 0, optional
        For columns of numbers only: points rise with the number (1), fall (-1) or may go up and down (0). By default
        they rise or fall, whichever tells more.
    max_bins : int, default 6
        The most bins of a column, besides those of missing and of other values.
    min_bin_share : float, default 0.02
        The least share of all rows in a bin. Levels of words in fewer than 20 rows are pooled as "any other".
    min_bin_positives : int, default 0
        The fewest rows with the outcome, and the fewest without, in a bin. With 0 a bin may be all of one kind:
        ``shrinkage`` keeps its points within reason.
    shrinkage : float, default 10
        So many average rows are added to each bin when it is weighed: a small bin says little, an empty one nothing.
    points_to_double_odds : float, default 20
        So many points more mean twice the odds.
    base_points : float, default 500
        The score at ``base_odds``.
    base_odds : float, optional
        Odds (not probability) of the outcome; by default those of all rows: an average lead then has 500 points.
    missing_words : list of str
        Words that stand for no answer, such as "Select" and "unknown" (large or small letters, blanks around them).

    Attributes
    ----------
    scorecard_ : Scorecard
        Bins, weights and points of every column; see :meth:`points_table`.
    engine_ : Engine
        The kind of table that was learnt from.
    key_name_ : str
        The column of its key, ``"row_number"`` if it had none.

    Raises
    ------
    SchemaError, MissingColumnsError
        From ``fit``: for parameters out of range; for an outcome that is not true or false, unknown in some row, or the
        same in all; for repeated keys. From ``score_table``: for a column whose kind changed.

    Warns
    -----
    DataQualityWarning
        From ``fit``: when no column tells more than chance would; every row then has the same score.

    Notes
    -----
    *Weight of evidence* of a bin: its log odds less those of everybody, ``shrinkage`` average rows added to it.
    *Information value* of a column: over its bins, the share of all rows with the outcome less the share of those
    without, times the weight of evidence, added up (N. Siddiqi (2006), "Credit risk scorecards", who calls columns
    below 0.02 useless, to 0.1 weak, to 0.3 medium, above strong, and above 0.5 suspicious: look whether they were
    filled after the outcome). In few rows chance alone gives a lot: about ``(bins - 1) (1 / positives + 1 /
    negatives)``, which is shown beside and taken off before the column is called anything.

    *Bins* are joined from 40 quantiles such that the information value is the highest that there is, exactly, among
    those that rise or fall and are large enough, where each bin after the first costs ln(rows) times what chance gives
    one (as Schwarz's criterion has it). So a column that tells nothing has one bin, and is left out. Levels of words
    are put in the order of their outcomes first; what chance gives by that is charged too.

    *Points*: a logistic regression of the outcome on the weights of evidence (ridge penalty 1), whose coefficients may
    not be negative: a column whose sign would be turned round by the others is left out, and
    :meth:`information_table` says so. ``points = points_to_double_odds / ln 2 x coefficient x weight of evidence``,
    rounded to whole numbers; :meth:`rounding_table` says what that costs.

    A scorecard adds its columns up: where two matter only together, :class:`LeadModel` sees more. It describes the rows
    learnt from; judge it on later ones.

    Examples
    --------
    >>> import pandas as pd
    >>> leads = pd.DataFrame({
    ...     "lead_id": range(400), "source": ["web", "fair"] * 200, "visits": [1, 1, 8, 8] * 100,
    ...     "converted": [False, False, True, False] * 50 + [False, False, True, True] * 50,
    ... })
    >>> card = PointsScorecard().fit(leads)
    >>> table = card.points_table()
    >>> print(table[["characteristic", "attribute", "points", "row_count", "positive_share"]].to_string())
      characteristic  attribute  points  row_count  positive_share
    0      everybody  everybody     489        400           0.375
    1         visits    under 8    -182        200           0.000
    2         visits  8 or more      79        200           0.750
    3         visits    missing       0          0             NaN
    4         source       fair     -50        200           0.250
    5         source        web      44        200           0.500
    6         source  any other       0          0             NaN
    7         source    missing       0          0             NaN
    >>> card.score_table(leads).head(2).round(3)
       lead_id  points  outcome_probability
    0        0     351                0.003
    1        1     257                0.000
    """

    def __init__(
        self,
        *,
        target: str = "converted",
        key: str | None = "lead_id",
        features: Sequence[str] | None = None,
        monotone: Mapping[str, int] | None = None,
        max_bins: int = 6,
        min_bin_share: float = 0.02,
        min_bin_positives: int = 0,
        shrinkage: float = 10.0,
        points_to_double_odds: float = 20.0,
        base_points: float = 500.0,
        base_odds: float | None = None,
        missing_words: Iterable[str] = MISSING_WORDS,
    ) -> None:
        self.target = target
        self.key = key
        self.features = features
        self.monotone = monotone
        self.max_bins = max_bins
        self.min_bin_share = min_bin_share
        self.min_bin_positives = min_bin_positives
        self.shrinkage = shrinkage
        self.points_to_double_odds = points_to_double_odds
        self.base_points = base_points
        self.base_odds = base_odds
        self.missing_words = missing_words

    def fit(self, X: Any, y: Any = None) -> Self:  # noqa: ARG002  scikit-learn passes y
        """Learn bins and points.

        Parameters
        ----------
        X : dataframe, one row per lead (or customer), with the outcome
            Any engine; a lazy one is collected once.
        y : None
            Not used: the outcome is the column ``target``.

        Returns
        -------
        PointsScorecard
        """
        caller = "PointsScorecard.fit"
        words = check_missing_words(self.missing_words, caller=caller)
        check_features(self.features, caller=caller)
        table = read_table(X, key=self.key, needed=[self.target, *(self.features or [])], caller=caller)
        outcome = table.outcome(self.target)
        names = self._names(table)
        directions = check_monotone(self.monotone, names, caller=caller)
        want, scale = wanted_of(self, outcome, caller=caller), scale_of(self, outcome, caller=caller)
        columns = {name: table.column(name, words) for name in names}
        check_numbers(directions, columns, caller=caller)
        found = [
            learn_characteristic(name, column, outcome, directions.get(name), words, want=want)
            for name, column in columns.items()
        ]
        codes = {c.name: c.bins.codes(columns[c.name], name=c.name, caller=caller) for c in found}
        self.scorecard_: Scorecard = assemble(found, codes, outcome, scale)
        self.engine_: Engine = table.engine.without_table
        self.key_name_ = table.key_name
        self.feature_names_in_ = np.array(names, dtype=object)
        self.n_features_in_ = len(names)
        if not self.scorecard_.used:
            warn(
                f"{caller}: none of the {len(names)} columns tells more than chance would, with {int(outcome.sum()):,} "
                f"of {len(outcome):,} rows {self.target}: every row has the same score."
            )
        return self

    def score_table(self, X: Any) -> Any:
        """Add up the points of each row.

        Parameters
        ----------
        X : dataframe, one row per lead
            The columns that give points.

        Returns
        -------
        dataframe of the kind that came in, one row per lead, sorted by the key
            The key (or ``row_number``), ``points`` (Int64) and ``outcome_probability`` (Float64, what the points stand
            for).
        """
        table, points = self._points(X, "PointsScorecard.score_table")
        total = self.scorecard_.base + points.sum(axis=1)
        return _by_key(table, {"points": total, "outcome_probability": self.scorecard_.scale.probability(total)})

    def score(self, X: Any, y: Any = None) -> float:  # noqa: ARG002  scikit-learn passes y
        """Return the area under the ROC curve (AUC) of the points, on rows whose outcome is known."""
        from crmlytics._kernels.classification import auc

        table, points = self._points(X, "PointsScorecard.score", self.target)
        return auc(table.outcome(self.target), points.sum(axis=1))

    def contribution_table(self, X: Any) -> Any:
        """Say what each row got its points for; they add up to its score.

        Returns
        -------
        dataframe of the kind that came in, one row per lead and column that gives points, sorted by the key
            The key, ``characteristic`` (String; first ``"everybody"``, then as in :meth:`points_table`), ``attribute``
            (String, the bin in words) and ``points`` (Int64).
        """
        table, points = self._points(X, "PointsScorecard.contribution_table")
        used = self.scorecard_.used
        order = np.argsort(table.keys, kind="stable")
        words = [np.full(len(table), EVERYBODY, object)]
        codes = self._codes(table)
        words += [np.array(c.bins.words(), object)[codes[c.name]] for c in used]
        everybody = np.full((len(table), 1), self.scorecard_.base, np.int64)
        columns = {
            table.key_name: np.repeat(table.keys[order], len(used) + 1),
            "characteristic": np.tile(np.array([EVERYBODY, *(c.name for c in used)], object), len(table)),
            "attribute": np.stack(words, axis=1)[order].ravel(),
            "points": np.hstack([everybody, points])[order].ravel(),
        }
        return table_with_lists(table.engine, columns)

    def points_table(self) -> Any:
        """Return the scorecard: what gives how many points.

        Returns
        -------
        dataframe of the kind that was learnt from, one row per bin of the columns that give points
            ``characteristic`` (String, the column; first ``"everybody"``: what each row has from the start),
            ``attribute`` (String, the bin: ``"[10, 25)"`` is from 10 to under 25, levels with commas between, those
            that have a comma in quotes, ``"any other"``, ``"missing"``), ``points`` (Int64), ``weight_of_evidence``
            (Float64, log odds beyond those of everybody, shrunken), ``row_count`` and ``positive_count`` (Int64, of the
            rows learnt from), ``positive_share`` (Float64, missing where there is no row), ``information_value``
            (Float64, of the whole column). The columns that tell most come first.
        """
        check_is_fitted(self, "scorecard_")
        return table_with_lists(self.engine_, points_columns(self.scorecard_))

    def information_table(self) -> Any:
        """Say how much each column tells of the outcome, and whether it gives points.

        Returns
        -------
        dataframe of the kind that was learnt from, one row per column, the most telling first
            ``characteristic`` (String), ``bin_count`` (Int64, bins with rows), ``information_value`` (Float64),
            ``chance_information_value`` (Float64, what so many bins of a column without any meaning would have),
            ``strength`` (String, "none", "weak", "medium", "strong" or "suspicious": of what is beyond chance),
            ``coefficient`` (Float64, in the regression; about 1 for a column that says nothing the others say, 0 if it
            gives no points) and ``verdict`` (String: "used", "says no more than chance does", "adds nothing beside the
            other columns").
        """
        check_is_fitted(self, "scorecard_")
        return table_with_lists(self.engine_, information_columns(self.scorecard_))

    def rounding_table(self) -> Any:
        """Say what whole points cost, on the rows learnt from.

        Returns
        -------
        dataframe of the kind that was learnt from, two rows: ``score`` (String) "exact" and "whole points"
            ``auc`` and ``log_loss`` (Float64), ``mean_difference_points`` and ``largest_difference_points`` (Float64,
            from the exact score). With fewer ``points_to_double_odds`` points are coarser.
        """
        check_is_fitted(self, "scorecard_")
        return table_with_lists(self.engine_, rounding_columns(self.scorecard_))

    def to_sql(self, table: str | Sequence[str] = "leads", *, key: bool = True, dialect: str = "standard") -> str:
        r"""Write the scorecard as a query that a database runs.

        Parameters
        ----------
        table : str or sequence of str, default "leads"
            The table to score; its parts, such as ``("crm", "leads")``, where it lies in a schema.
        key : bool, default True
            Whether the query returns the key beside the points; without it, put the rows in order yourself.
        dialect : {"standard", "backslash"}
            ``"standard"``: ``"names"`` and ``'it''s'`` (PostgreSQL, DuckDB, Snowflake, SQLite, Oracle, Redshift ...).
            ``"backslash"``: names between grave accents and ``'it\'s'`` (Spark, Databricks, BigQuery, MySQL).

        Returns
        -------
        str
            A SELECT of the key and ``points``, the same for each row as :meth:`score_table` gives.

        Raises
        ------
        SchemaError
            When the key is asked for and the table learnt from had none.

        Notes
        -----
        Names and words are quoted, so nothing in them is run. Missing values, numbers that are none and infinite ones,
        words that stand for no answer and levels never seen are read as in Python. Texts are compared as the database
        compares them: where its collation takes "web" for "WEB", so does the query.
        """
        check_is_fitted(self, "scorecard_")
        if key and self.key_name_ != self.key:
            msg = (
                f"to_sql: the table learnt from had no key {self.key!r} for the query to return. Name yours: "
                "PointsScorecard(key=...), or type to_sql(key=False)."
            )
            raise SchemaError(msg)
        card = self.scorecard_
        parts = [(c.name, c.bins, c.points.tolist()) for c in card.used]
        return scorecard_query(parts, card.base, table=table, key=self.key if key else None, dialect=dialect)

    # -- inside ------------------------------------------------------------------------------------------------------

    def _points(self, X: Any, caller: str, *needed: str) -> tuple[ReadyTable, NDArray[np.int64]]:
        """Return the points of each row (first axis) for each column that gives any."""
        check_is_fitted(self, "scorecard_")
        used = self.scorecard_.used
        table = read_table(X, key=self.key, needed=[*(c.name for c in used), *needed], caller=caller)
        codes = self._codes(table)
        points = np.column_stack([np.empty((len(table), 0), np.int64), *(c.points[codes[c.name]] for c in used)])
        return table, points

    def _codes(self, table: ReadyTable) -> dict[str, NDArray[np.int64]]:
        words = check_missing_words(self.missing_words, caller=table.caller)
        return codes_of(self.scorecard_.used, table, words)

    def _names(self, table: ReadyTable) -> list[str]:
        """Return the columns to learn from."""
        never = {self.key, self.target, *(OUTCOMES if self.target in OUTCOMES else ())}
        readable = [name for name in table.readable() if name not in never]
        names = readable if self.features is None else list(dict.fromkeys(self.features))
        wrong = [name for name in names if name not in readable]
        if wrong:
            msg = f"{table.caller}: features {wrong} hold no numbers, words or truth values, or are key or outcome."
            raise SchemaError(msg)
        if not names:
            raise SchemaError(f"{table.caller}: the table has no column to learn from beside key and target.")
        return names


def points_table(X: Any, *, target: str = "converted", key: str = "lead_id", **options: Any) -> Any:
    """Make a points scorecard of a ready table, and return it as a table: what gives how many points.

    Parameters
    ----------
    X : dataframe, one row per lead (or customer), with the outcome
    target, key : str
        The columns of the outcome and of the key.
    **options
        As :class:`PointsScorecard` takes them, such as ``monotone={"visits": 1}`` or ``max_bins=4``.

    Returns
    -------
    dataframe of the kind that came in
        As :meth:`PointsScorecard.points_table` returns it. To score leads, or to write SQL, keep a
        :class:`PointsScorecard`.

    Raises
    ------
    SchemaError, MissingColumnsError
        As :class:`PointsScorecard` does.

    Examples
    --------
    >>> import pandas as pd
    >>> leads = pd.DataFrame({
    ...     "lead_id": range(400), "source": ["web", "fair"] * 200,
    ...     "converted": [False, True, False, False] * 50 + [False, True] * 100,
    ... })
    >>> table = points_table(leads)
    >>> print(table[["characteristic", "attribute", "points", "row_count", "positive_share"]].round(2).to_string())
      characteristic  attribute  points  row_count  positive_share
    0      everybody  everybody     480        400            0.38
    1         source        web    -153        200            0.00
    2         source       fair      66        200            0.75
    3         source  any other       0          0             NaN
    4         source    missing       0          0             NaN
    """
    known = PointsScorecard().get_params(deep=False)
    for name in options:
        if name not in known:
            msg = f"points_table has no option {name!r}.{did_you_mean(name, known)} Options: {sorted(known)}"
            raise SchemaError(msg)
    return PointsScorecard(target=target, key=key, **options).fit(X).points_table()


# -- inside --------------------------------------------------------------------------------------------------------


def _by_key(table: ReadyTable, scores: Mapping[str, NDArray[Any]]) -> Any:
    order = np.argsort(table.keys, kind="stable")
    return table_with_lists(
        table.engine, {table.key_name: table.keys[order]} | {name: values[order] for name, values in scores.items()}
    )
