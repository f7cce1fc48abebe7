"""Made leads of which everything is known: the way through the pipeline, who would convert, and which fields leak."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from crmlytics._validation import as_moment, check_amount, check_count

if TYPE_CHECKING:
    import datetime as dt

    import numpy as np
    import pandas as pd

CALLER = "make_leads"
STAGES = ("New", "Contacted", "Qualified", "Proposal")
WON, LOST = "Won", "Lost"
WEIGHTS = (0.15, 0.40, 0.25, 0.20)  # of the stages in the logarithm of the probability of converting
SHAPES = (0.5, 2.0, 2.0, 1.5)  # of the gamma distributed time in a stage; one scale, so the sum is gamma as well
SCALE_DAYS = 7.0
WITHIN_DAYS = 90
INTERCEPT = -1.7
SOURCES = {
    "website": (0.35, 0.0),
    "paid_search": (0.25, -0.3),
    "referral": (0.15, 0.9),
    "event": (0.10, 0.3),
    "cold_call": (0.15, -0.8),
}  # fmt: skip  share and effect on the log odds
INDUSTRIES = {
    "Software": (0.25, 0.5),
    "Retail": (0.25, 0.0),
    "Health": (0.20, 0.2),
    "Public": (0.15, -0.4),
    "Select": (0.15, -0.1),
}  # fmt: skip  "Select" is what a form says when nothing was chosen
JOB_TITLES = {"Director": (0.20, 0.5), "Manager": (0.35, 0.1), "Engineer": (0.30, -0.2), "unknown": (0.15, -0.2)}
COUNTRIES = {"DE": (0.4, 0.0), "FR": (0.3, 0.0), "GB": (0.2, 0.0), "US": (0.1, 0.0)}
DEMO = {False: (0.8, 0.0), True: (0.2, 1.3)}
CHOICES: dict[str, dict[Any, tuple[float, float]]] = {
    "source": SOURCES, "industry": INDUSTRIES, "job_title": JOB_TITLES, "country": COUNTRIES, "demo_requested": DEMO,
}  # fmt: skip
OWNERS = {"Ana": 1.0, "Ben": 0.0, "Cleo": 0.0, "Dan": -1.0, "Eva": 0.0}  # times ``owner_effect``
FAVOURED, FAVOUR_SHARE, GOOD_SHARE = "Cleo", 0.6, 0.3  # she gets most of the best leads, and no others
VISITS, SIZE = 0.35, 0.25  # effects of the logarithm of visits, and of that of the size of the company over fifty
NO_SIZE_SHARE, SKIP_SHARE, BACK_SHARE, CALL_DAYS, FORM_SHARE = 0.1, 0.08, 0.06, 60.0, 0.97
REASONS = {"price": 0.4, "competitor": 0.3, "no need": 0.2, None: 0.1}


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class SyntheticLeads:
    """Made leads and the truth behind them; every table is a pandas DataFrame.

    Attributes
    ----------
    leads
        One row per lead, by time of creation, as the sales system shows them at the end of the data: ``lead_id``
        (int64), ``created_at``, ``source``, ``stage``, ``owner``, ``converted`` (bool), ``converted_at``; known from
        the beginning ``company_size`` (float64, a tenth missing), ``industry`` ("Select" where nothing was chosen),
        ``country``, ``job_title`` (also "unknown"), ``visits``, ``emails_opened`` (int64), ``demo_requested`` (bool),
        ``deal_amount`` (float64); filled later ``contract_type`` and ``last_call_result``.
    stage_history
        One row per change of stage, by time: ``lead_id``, ``timestamp``, ``stage``, ``reason`` (of a loss).
    truth
        The truth of each row of ``leads``: ``lead_id``, ``conversion_probability`` (ever), ``probability_within_90d``,
        ``conversion_days`` (float64, from creation, missing for whoever never converts).
    effects
        What was planted: ``column``, ``level``, ``log_odds``. The log odds of ever converting are their sum and the
        ``(intercept)``; with ``visits`` the effect is of ln(1 + visits), with ``company_size`` of ln(size / 50), and
        sizes left out count as well.
    stages
        The truth of each stage: ``stage``, ``moved_on_probability`` (the mean over the leads that enter it in the end),
        ``win_probability`` (likewise).
    late_fields
        ``column``, ``filled`` ("at conversion" or "with time").
    """

    leads: pd.DataFrame
    stage_history: pd.DataFrame
    truth: pd.DataFrame
    effects: pd.DataFrame
    stages: pd.DataFrame
    late_fields: pd.DataFrame

    def __repr__(self) -> str:
        """Say how much of what was made."""
        return (
            f"SyntheticLeads({len(self.leads):,} leads, {int(self.leads['converted'].sum()):,} converted, "
            f"{len(self.stage_history):,} changes of stage)"
        )


def make_leads(
    n_leads: int = 2000,
    *,
    start: str | dt.date | dt.datetime = "2024-01-01",
    days: int = 365,
    owner_effect: float = 0.8,
    loss_delay: float = 2.0,
    random_state: int = 0,
) -> SyntheticLeads:
    """Make the leads of a sales team, and keep the truth.

    A lead comes in at a random moment and goes through the stages New, Contacted, Qualified and Proposal until it is
    won or lost. How likely it moves on depends on its source, industry, job title, visits, size and whether a demo was
    asked for, and on its owner. Owners do not get the same leads: Cleo works on good leads only and is as able as the
    average. Leads of the last weeks are still on their way: nothing from ``start + days`` on is known.

    Parameters
    ----------
    n_leads : int
        How many, at least 1.
    start, days : date, int
        The first day of the data and their length.
    owner_effect : float
        What Ana adds to the log odds and Dan takes away; 0 makes all owners alike.
    loss_delay : float
        How many times longer it takes until a loss is recorded than until a lead moves on: above 1, the leads resolved
        so far look better than all will be.
    random_state : int
        Seed; the same arguments give the same tables.

    Returns
    -------
    SyntheticLeads

    Notes
    -----
    Stage ``k`` is passed with probability ``p ** w_k``, p the probability of ever converting and the weights w adding
    up to one. Times in stages are gamma distributed with one scale of seven days, so that
    the time to conversion is gamma distributed with shape 6, and ``probability_within_90d`` is exact. Of
    those who reach Proposal 8 % never had Qualified recorded, and 6 % go back to it for a while.

    Examples
    --------
    >>> make_leads(500)
    SyntheticLeads(500 leads, 128 converted, 1,742 changes of stage)
    """
    import numpy as np

    check_count(n_leads, name="n_leads", caller=CALLER)
    check_count(days, name="days", caller=CALLER)
    check_amount(owner_effect, name="owner_effect", caller=CALLER)
    check_amount(loss_delay, name="loss_delay", caller=CALLER, positive=True)
    origin = np.datetime64(as_moment(start, name="start", caller=CALLER), "s")
    rng = np.random.default_rng(random_state)
    fields, log_odds = _draw_fields(rng, n_leads)
    owner = _assign(rng, log_odds)
    log_odds = log_odds + owner_effect * np.array(list(OWNERS.values()))[owner]
    way = _walk(rng, 1 / (1 + np.exp(-log_odds)), loss_delay)
    created = np.sort(rng.integers(0, days * 86_400, n_leads))
    history = _history(rng, way, created, days * 86_400)
    leads = _leads(rng, fields | {"owner": np.array(list(OWNERS))[owner]}, way, created, days)
    return _as_tables(leads, history, way, owner_effect, origin)


def _draw_fields(rng: np.random.Generator, n: int) -> tuple[dict[str, Any], np.ndarray]:
    """Draw what is known of a lead when it comes in, and its log odds without the owner's part."""
    import numpy as np

    fields: dict[str, Any] = {}
    log_odds = np.full(n, INTERCEPT)
    for column, choices in CHOICES.items():
        shares, effects = np.array(list(choices.values())).T
        drawn = rng.choice(len(choices), n, p=shares)
        fields[column] = np.array(list(choices))[drawn]
        log_odds += effects[drawn]
    fields["visits"] = rng.poisson(rng.gamma(1.0, 4.0, n))
    fields["emails_opened"] = rng.poisson(2.0, n)
    size = np.exp(rng.normal(np.log(50), 1.2, n)).round() + 1
    log_odds += VISITS * np.log1p(fields["visits"]) + SIZE * np.log(size / 50)
    fields["company_size"] = np.where(rng.random(n) < NO_SIZE_SHARE, np.nan, size)
    fields["deal_amount"] = np.exp(rng.normal(np.log(4000), 0.7, n)).round(-1) + 10
    return fields, log_odds


def _assign(rng: np.random.Generator, log_odds: np.ndarray) -> np.ndarray:
    """Give each lead an owner: the favoured one gets good leads only."""
    import numpy as np

    favoured = list(OWNERS).index(FAVOURED)
    others = np.array([i for i in range(len(OWNERS)) if i != favoured])
    owner: np.ndarray = rng.choice(others, len(log_odds))
    good = log_odds >= np.quantile(log_odds, 1 - GOOD_SHARE)
    owner[good & (rng.random(len(log_odds)) < FAVOUR_SHARE)] = favoured
    return owner


def _walk(rng: np.random.Generator, probability: np.ndarray, loss_delay: float) -> dict[str, Any]:
    """Lead every lead to its end: how many stages it passes, and the seconds from creation to each exit."""
    import numpy as np

    n = len(probability)
    passes = rng.random((n, len(STAGES))) < probability[:, None] ** np.array(WEIGHTS)
    passed = np.where(passes.all(axis=1), len(STAGES), passes.argmin(axis=1))
    waits = rng.gamma(np.array(SHAPES), SCALE_DAYS, (n, len(STAGES)))
    lost_in = np.arange(len(STAGES)) == passed[:, None]
    exits = np.maximum(np.cumsum(np.where(lost_in, loss_delay, 1.0) * waits, axis=1) * 86_400, np.arange(1, 5))
    return {"probability": probability, "passed": passed, "exits": np.round(exits).astype(np.int64)}


def _history(rng: np.random.Generator, way: dict[str, Any], created: np.ndarray, end: int) -> dict[str, Any]:
    """Write down the changes of stage before the end: lead, second and stage of each, by time."""
    import numpy as np

    n, last = len(created), len(STAGES) - 1
    entries = created[:, None] + np.column_stack([np.zeros(n, np.int64), way["exits"]])
    lead, stage = np.nonzero(np.arange(last + 2) <= way["passed"][:, None])
    lost = np.flatnonzero(way["passed"] <= last)
    reached = way["passed"] >= last
    skipping = reached & (rng.random(n) < SKIP_SHARE)
    back = np.flatnonzero(reached & ~skipping & (rng.random(n) < BACK_SHARE))
    spent = entries[back, last + 1] - entries[back, last]
    rows = [
        (lead, entries[lead, stage], stage),
        (lost, entries[lost, way["passed"][lost] + 1], np.full(len(lost), last + 2)),
        (back, entries[back, last] + spent // 3, np.full(len(back), last - 1)),
        (back, entries[back, last] + 2 * spent // 3, np.full(len(back), last)),
    ]
    lead, second, stage = (np.concatenate(column) for column in zip(*rows, strict=True))
    kept = (second < end) & ~(skipping[lead] & (stage == last - 1))
    lead, second, stage = lead[kept], second[kept], stage[kept]
    order = np.lexsort((stage, lead, second))
    reason = rng.choice(np.array(list(REASONS), object), n, p=list(REASONS.values()))[lead]
    reason[stage != last + 2] = None
    return {"lead": lead[order], "second": second[order], "stage": stage[order], "reason": reason[order]}


def _leads(
    rng: np.random.Generator, fields: dict[str, Any], way: dict[str, Any], created: np.ndarray, days: int
) -> dict[str, Any]:
    """Lay out the leads as they look at the end of the data, with the fields that were filled since."""
    import numpy as np

    n, end = len(created), days * 86_400
    converted_at = created + way["exits"][:, -1]
    converted = (way["passed"] == len(STAGES)) & (converted_at < end)
    contract = rng.choice(["annual", "monthly"], n).astype(object)
    contract[~converted | (rng.random(n) >= FORM_SHARE)] = None
    called = created + rng.exponential(CALL_DAYS, n) * 86_400 < end
    keen = rng.random(n) < np.where(converted, 0.7, 0.4)
    call = np.where(keen, "interested", "no answer").astype(object)
    call[~called] = None
    return fields | {
        "created": created,
        "converted": converted,
        "converted_at": converted_at,
        "contract_type": contract,
        "last_call_result": call,
    }


def _as_tables(
    leads: dict[str, Any], history: dict[str, Any], way: dict[str, Any], owner_effect: float, origin: np.datetime64
) -> SyntheticLeads:
    """Lay the arrays out as tables."""
    import numpy as np
    import pandas as pd
    from scipy import special

    names = np.array([*STAGES, WON, LOST])
    lead_id = np.arange(1, len(leads["created"]) + 1)
    stage = np.zeros(len(lead_id), np.int64)
    stage[history["lead"]] = history["stage"]  # by time: the last one stays
    at = pd.Series(_moments(origin, leads["converted_at"])).where(leads["converted"])
    head = {
        "lead_id": lead_id,
        "created_at": _moments(origin, leads["created"]),
        "source": leads["source"],
        "stage": names[stage],
        "owner": leads["owner"],
        "converted": leads["converted"],
        "converted_at": at,
    }
    kept = {name: values for name, values in leads.items() if name not in {*head, "created"}}
    changes = pd.DataFrame({
        "lead_id": lead_id[history["lead"]],
        "timestamp": _moments(origin, history["second"]),
        "stage": names[history["stage"]],
        "reason": history["reason"],
    })  # fmt: skip
    p = way["probability"]
    within = special.gammainc(sum(SHAPES), WITHIN_DAYS / SCALE_DAYS)
    truth = pd.DataFrame({
        "lead_id": lead_id,
        "conversion_probability": p,
        "probability_within_90d": p * within,
        "conversion_days": np.where(way["passed"] == len(STAGES), way["exits"][:, -1] / 86_400, np.nan),
    })  # fmt: skip
    late = pd.DataFrame({
        "column": ["contract_type", "last_call_result"], "filled": ["at conversion", "with time"],
    })  # fmt: skip
    return SyntheticLeads(pd.DataFrame(head | kept), changes, truth, _effects(owner_effect), _stage_truth(p), late)


def _moments(origin: np.datetime64, seconds: np.ndarray) -> np.ndarray:
    moments: np.ndarray = (origin + seconds.astype("timedelta64[s]")).astype("datetime64[us]")
    return moments


def _effects(owner_effect: float) -> pd.DataFrame:
    """Lay out what was planted."""
    import pandas as pd

    rows = [("(intercept)", "", INTERCEPT), ("visits", "", VISITS), ("company_size", "", SIZE)]
    rows += [(column, str(level), effect) for column in CHOICES for level, (_, effect) in CHOICES[column].items()]
    rows += [("owner", name, owner_effect * effect) for name, effect in OWNERS.items()]
    return pd.DataFrame(rows, columns=["column", "level", "log_odds"])


def _stage_truth(p: np.ndarray) -> pd.DataFrame:
    """Average over the leads that enter each stage, each with its probability of entering it."""
    import numpy as np
    import pandas as pd

    weights = np.array(WEIGHTS)
    reached = p[:, None] ** np.concatenate([[0.0], np.cumsum(weights)])
    entered = reached.sum(axis=0)
    return pd.DataFrame({
        "stage": STAGES,
        "moved_on_probability": entered[1:] / entered[:-1],
        "win_probability": entered[-1] / entered[:-1],
    })  # fmt: skip
