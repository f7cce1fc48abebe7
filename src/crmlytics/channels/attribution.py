"""Who gets the credit: conversions and their money shared among the channels on the way to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._cautions import cautions
from crmlytics._kernels.ratios import over
from crmlytics._validation import warn
from crmlytics.channels._beside import MEASURED, Beside
from crmlytics.channels._counted_paths import is_path_table, read_paths
from crmlytics.channels._credit import CALLER, FIGURES, Options, figures_of
from crmlytics.channels._paths import DEFAULTS, NO_TOUCH, read_journeys
from crmlytics.exceptions import SchemaError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics.channels._paths import Touches
    from crmlytics.tables import Events, Transactions

    Floats = NDArray[np.float64]

FEW = 30  # converting paths
LEAST_COMPARED = 10  # where others are too new to be: of three the chain learns nothing of hundreds
NUMBER, COUNT, TEXT = nw.Float64(), nw.Int64(), nw.String()
SCHEMA = nw.Schema(
    {
        "model": TEXT, "channel": TEXT, "rank": COUNT, "path_count": COUNT, "converting_path_count": COUNT,
        "credit_conversion_count": NUMBER, "credit_conversion_count_low": NUMBER,
        "credit_conversion_count_high": NUMBER, "credit_share": NUMBER, "credit_share_low": NUMBER,
        "credit_share_high": NUMBER, "credit_amount": NUMBER, "credit_amount_low": NUMBER,
        "credit_amount_high": NUMBER, "removal_effect": NUMBER,
        "removal_effect_low": NUMBER, "removal_effect_high": NUMBER,
        "cost_amount": NUMBER, "cost_per_conversion_amount": NUMBER, "return_on_cost": NUMBER,
        MEASURED: NUMBER, f"{MEASURED}_low": NUMBER, f"{MEASURED}_high": NUMBER, "incremental_per_credit": NUMBER,
        "caution": TEXT,
    }
)  # fmt: skip
NOT_CAUSAL = (
    "Credit, not effect: it says which channels lay on the way to conversions, not how many would be missing without "
    "them. Only an experiment tells."
)
FROM_EXPERIMENT = "An experiment measured what this channel brought: decide by it, not by the credit."
UNKNOWN = "No touchpoint within the lookback: what brought these conversions is not known."
UNTRACKED = "No touchpoint of it is on record, so no rule can credit this channel: its part is not known."
UNSEEN = "Too new for a Markov chain, which counts none of its conversions: dealt to the others, not known."
TOO_FEW = f"Few: under {FEW} converting paths."
TOO_NEW = f"Few: under {FEW} converting paths that began in the period, more than the lookback before its end."


def attribution_table(
    events_or_paths: Events | Any,
    transactions: Transactions | Any = None,
    *,
    as_of: str | dt.date | dt.datetime | None = None,
    since: str | dt.date | dt.datetime | None = None,
    model: str | Sequence[str] = "markov",
    order: int = 1,
    lookback: Any = "30d",
    conversion: Any = "purchase",
    half_life: Any = "7d",
    position_shares: tuple[float, float, float] = (0.4, 0.2, 0.4),
    costs: Mapping[str, float] | None = None,
    experiment: Any = None,
    replicates: int = 200,
    confidence: float = 0.95,
    random_state: int = 0,
) -> Any:
    """Share the credit for conversions, and for their money, among the channels that were touched before them.

    Parameters
    ----------
    events_or_paths : Events, or dataframe of events or of paths
        Events as for :func:`path_table`; or paths already counted, with the columns ``path`` (channels joined by
        ``>``), ``conversion_count``, ``non_conversion_count`` and, if known, ``amount`` and
        ``comparable_conversion_count`` (by default all conversions compare), such as that function makes.
    transactions : Transactions or dataframe, optional
        Orders, which then are the conversions; as for :func:`path_table`.
    as_of, since, lookback, conversion
        As for :func:`path_table`: ``as_of`` is needed with events. Paths already counted take none of them.
    model : str or sequence of str, default "markov"
        ``"first"``, ``"last"`` (all to one touchpoint), ``"linear"`` (the same to each), ``"position"``,
        ``"time_decay"`` (half as much for each ``half_life`` that a touchpoint lies further back; not for paths, whose
        days are not known), ``"markov"`` (by removal effects), ``"shapley"`` (the same to each different channel).
    order : int, default 1
        How many of the last channels a state of the Markov chain remembers.
    half_life : duration such as "7d", default "7d"
    position_shares : (first, between, last), default (0.4, 0.2, 0.4)
        For ``"position"``; they add up to 1. Of two touchpoints the ends share all.
    costs : dict of channel to amount, optional
        What each channel cost in the same period. By default the sum of ``Events.cost`` by channel, where it is bound.
        A channel without touchpoints has a row without credit.
    experiment : dataframe, optional
        What an experiment measured in the same period: ``channel``, ``incremental_conversion_count`` and, if known,
        ``incremental_conversion_count_low`` and ``_high``. It stands beside the credit, and does not change it.
    replicates : int, at least 20, default 200
        Bootstrap samples that the intervals are read from. Customers are drawn with all their paths; where only paths
        are known, paths, each conversion with the mean amount of its path.
    confidence : float, default 0.95
    random_state : int, default 0

    Returns
    -------
    dataframe of the kind that came in, one row per model and channel, models as asked for, then by rank
        ``model``, ``channel`` (String; "(no touchpoint)", last of each model, keeps its own conversions in all of
        them), ``rank`` (Int64, by credit), ``path_count``, ``converting_path_count`` (Int64, paths that hold the
        channel, and those of them that converted), ``credit_conversion_count``, ``credit_share`` (of all conversions),
        ``credit_amount`` (null where no amounts are known) and ``removal_effect`` (Markov only: the share of the
        chain's conversions that pass through the channel), each with the bounds of its interval, ``_low`` and
        ``_high`` (credit is null where the channel has no touchpoint on record; with Markov also where it is too new
        for the chain, which deals its part to the others), ``cost_amount``, ``cost_per_conversion_amount`` (by credit),
        ``return_on_cost`` (credited money by cost, before any margin; null without cost),
        ``incremental_conversion_count`` with ``_low`` and ``_high`` (what the experiment measured),
        ``incremental_per_credit`` (of that, for each conversion credited; all Float64, null where not known),
        ``caution`` (String, how far to trust the row).

    Raises
    ------
    SchemaError
        When nothing converted, ``order`` exceeds the longest path, fewer than ten conversions, and not all, compare
        with paths without one (Markov only), a model or channel is not known, or arguments are out of range or change
        nothing.
    MissingColumnsError
        When a role or column is missing.

    Warns
    -----
    DataQualityWarning
        When no path holds two different channels (there is nothing to share), when no path of a Markov chain
        ended without a conversion, when touchpoints are undecided (Markov only, others read no path that did not
        convert), when paths look as if another sign than ``>`` stood between channels, and as :func:`path_table` does.

    Notes
    -----
    **Credit is no effect.** Who was about to buy anyway searches for the shop's name: last-click credit then goes to
    the search ad, and so does most of any model's, which sees only who came by. In a made customer base in which the
    truth is known, models credit channels with several times what they brought, and channels that brought nothing with
    most. Compare models to see how far the answer hangs on the rule; decide by experiments, and put their result in.

    **Markov.** With states of the last ``order`` channels, and transitions as counted, the chain converts exactly as
    often as the paths with a touchpoint did. It counts only paths that began in the period, more than ``lookback``
    before its end, of which all are known, with and without conversion (see :func:`path_table`); in the proportions
    that it finds, all conversions are dealt. A channel so new that none of its conversions is counted has no such
    credit, and its caution says so. The removal effect of a channel is ``1 - P(without) / P``, where every step
    onto it leads nowhere: solved as linear equations to 1e-13, not simulated. Credit is in proportion to removal
    effects, of conversions and, with the mean amount of each last state, of money. Repetitions of a channel change
    nothing at order 1. A higher order follows the paths more closely and has more to estimate: where it changes the
    answer much and intervals are wide, it follows chance.

    **Shapley.** The value of the game in which a set of channels earns all conversions whose paths need no other: each
    path's conversions are dealt equally to its different channels. Paths without conversion change nothing.

    References
    ----------
    E. Anderl, I. Becker, F. von Wangenheim and J. Schumann (2016), "Mapping the customer journey", International
    Journal of Research in Marketing 33(3). K. Zhao, S. Mahboobi and S. Bagheri (2018), "Shapley value methods for
    attribution modeling in online advertising", arXiv:1804.05327. R. Lewis, J. Rao and D. Reiley (2011), "Here, there,
    and everywhere: correlated online behaviors can lead to overestimates of the effects of advertising", WWW '11.

    Examples
    --------
    Of three customers, one came by C1, C2 and C3 and bought; one left after C1, one after C2 and C3. The chain converts
    one in three; half of it passes through C1, all of it through C2 and C3.

    >>> import pandas as pd
    >>> from crmlytics.channels.attribution import attribution_table
    >>> paths = pd.DataFrame({
    ...     "path": ["C1 > C2 > C3", "C1", "C2 > C3"], "conversion_count": [1, 0, 0], "non_conversion_count": [0, 1, 1],
    ... })
    >>> attribution_table(paths)[["channel", "rank", "removal_effect", "credit_conversion_count"]]
      channel  rank  removal_effect  credit_conversion_count
    0      C2     1             1.0                      0.4
    1      C3     2             1.0                      0.4
    2      C1     3             0.5                      0.2
    """
    options = Options.checked(
        model,
        order,
        half_life,
        position_shares,
        {"replicates": replicates, "confidence": confidence, "seed": random_state},
    )
    window = {"as_of": as_of, "since": since}
    touches = _read(events_or_paths, transactions, window, lookback=lookback, conversion=conversion, options=options)
    _check(touches, options, lookback)
    beside = Beside.of(costs, experiment, touches)
    return touches.engine.from_columns(_columns(touches, options, beside), SCHEMA)


# -- what came in --------------------------------------------------------------------------------------------------


def _read(
    data: Any, transactions: Any, window: dict[str, Any], *, lookback: Any, conversion: Any, options: Options
) -> Touches:
    if not is_path_table(data, caller=CALLER):
        if window["as_of"] is None:
            raise SchemaError(f'{CALLER}: events need as_of, a date such as as_of="2011-12-10".')
        return read_journeys(data, transactions, **window, lookback=lookback, conversion=conversion, caller=CALLER)
    given = window | {"transactions": transactions, "lookback": lookback, "conversion": conversion}
    idle = [name for name, value in given.items() if value is not None and value != DEFAULTS.get(name)]
    if idle:
        raise SchemaError(f"{CALLER}: these paths are counted already, {idle} change nothing. Leave them out.")
    if "time_decay" in options.models:
        raise SchemaError(f'{CALLER}: model="time_decay" needs the days of touchpoints: give events, not paths.')
    return read_paths(data, caller=CALLER)


def _check(touches: Touches, options: Options, lookback: Any) -> None:
    """Refuse what has no answer, and tell of answers that say little."""
    journeys = touches.journeys
    touched = journeys.lengths > 0
    if not (journeys.is_converted & touched).any():
        raise SchemaError(f"{CALLER}: no path with a touchpoint converted, so there is no credit to share.")
    first = journeys.channels[np.append(journeys.starts[:-1][touched], 0)[:-1]]
    if (np.repeat(first, journeys.lengths[touched]) == journeys.channels).all():
        warn(
            f"{CALLER}: no path holds two different channels, so every rule gives each channel what came by it, and a "
            "Markov chain much the same, from the paths that compare."
        )
    if "markov" in options.models:
        _check_chain(touches, options, lookback)


def _check_chain(touches: Touches, options: Options, lookback: Any) -> None:
    journeys = touches.journeys
    longest = int(journeys.lengths.max())
    if options.order > longest:
        msg = f"{CALLER}: order={options.order}, and the longest path has {longest} touchpoints: order is at most that."
        raise SchemaError(msg)
    is_compared = (journeys.lengths > 0) & journeys.is_comparable
    known = journeys.count[is_compared & journeys.is_converted].sum()
    every = journeys.count[(journeys.lengths > 0) & journeys.is_converted].sum()
    if known < min(LEAST_COMPARED, every):
        msg = (
            f"{CALLER}: of {every:,.0f} converting paths {known:,.0f} began in the period and more than the lookback "
            f"before its end, and only these compare with paths that did not convert: a Markov chain needs "
            f"{LEAST_COMPARED}. Choose a longer period, a shorter lookback or another model."
        )
        raise SchemaError(msg)
    if journeys.is_converted[is_compared].all():
        warn(
            f"{CALLER}: no path ended without a conversion, so the Markov chain always converts: a removal effect is "
            "then only the share of paths that pass."
        )
    touches.tell_of_undecided(lookback, caller=CALLER)


# -- rows --------------------------------------------------------------------------------------------------------


def _columns(touches: Touches, options: Options, beside: Beside) -> dict[str, Any]:
    """Return the rows of all models, one after the other."""
    from crmlytics._kernels.attribution import passing

    tracked, channels = len(touches.channels), np.array([*beside.channels, NO_TOUCH], object)
    bare = int(touches.journeys.count[touches.journeys.lengths == 0].sum())
    every, converting, compared = (
        np.concatenate([count, np.zeros(len(channels) - 1 - tracked, np.int64), [bare]])
        for count in passing(touches.journeys, tracked)
    )
    cost = np.append(beside.cost, np.nan)
    known = (every > 0) | (cost > 0)
    parts = []
    for name, figures in figures_of(touches, options).items():
        column: dict[str, Any] = {**_spread(figures, len(channels), has_amount=touches.has_amount)}
        is_unseen = (converting > 0) & (column["removal_effect"] == 0)
        column |= {key: np.where(is_unseen, np.nan, of) for key, of in column.items()}
        rows = _ranked(column["credit_conversion_count"])
        rows = rows[known[rows]]
        column |= {key: np.append(measured, np.nan) for key, measured in beside.measured.items()}
        column |= {"channel": channels, "path_count": every, "converting_path_count": converting, "cost_amount": cost}
        column["model"] = np.full(len(channels), name, object)
        column |= _judged(column, compared if name == "markov" else converting)
        part = {key: of[rows] for key, of in column.items()}
        parts.append(part | {"rank": np.arange(1, len(rows) + 1)})
    return {name: np.concatenate([part[name] for part in parts]) for name in SCHEMA.names()}


def _spread(figures: tuple[Floats, Floats, Floats], size: int, *, has_amount: bool) -> dict[str, Floats]:
    """Give the figures their names, and to channels without touchpoints, before the last, none."""
    columns: dict[str, Floats] = {}
    for ending, values in zip(("", "_low", "_high"), figures, strict=True):
        whole = np.full((len(FIGURES), size), np.nan)
        whole[:, : values.shape[1] - 1], whole[:, -1] = values[:, :-1], values[:, -1]
        if not has_amount:
            whole[FIGURES.index("credit_amount")] = np.nan
        columns |= {name + ending: whole[place] for place, name in enumerate(FIGURES)}
    return columns


def _ranked(credit: Floats) -> NDArray[np.int64]:
    """Sort channels by credit, rounded: what is equal by the formula may differ in its last digit; none comes last."""
    return np.append(np.argsort(-credit[:-1].round(9), kind="stable"), len(credit) - 1)


def _judged(column: dict[str, Any], converting: NDArray[np.int64]) -> dict[str, Any]:
    """Return what credit costs, how it stands to an experiment, and how far to trust it."""
    credit, measured, cost = column["credit_conversion_count"], column[MEASURED], column["cost_amount"]
    return {
        "cost_per_conversion_amount": over(cost, credit),
        "return_on_cost": over(column["credit_amount"], cost),
        "incremental_per_credit": over(measured, credit),
        "caution": _cautions(column, converting),
    }


def _cautions(column: dict[str, Any], converting: NDArray[np.int64]) -> NDArray[Any]:
    is_channel, is_measured = column["channel"] != NO_TOUCH, ~np.isnan(column[MEASURED])
    has_credit = ~np.isnan(column["credit_conversion_count"]) & is_channel
    is_few, is_rare = has_credit & (converting < FEW), column["converting_path_count"] < FEW
    return cautions(len(is_channel), [
        (~is_channel, UNKNOWN),
        (is_measured, FROM_EXPERIMENT),
        (is_channel & (column["path_count"] == 0), UNTRACKED),
        (is_channel & (column["path_count"] > 0) & ~has_credit, UNSEEN),
        (has_credit & ~is_measured, NOT_CAUSAL),
        (is_few & is_rare, TOO_FEW),
        (is_few & ~is_rare, TOO_NEW),
    ])  # fmt: skip
