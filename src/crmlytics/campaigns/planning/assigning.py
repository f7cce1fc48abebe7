"""Who is contacted and who is held out: dealt at random, evenly in every stratum, the same again tomorrow."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from crmlytics._frames import check_same_kind, collect, columns_of, enter
from crmlytics._validation import check_count, warn
from crmlytics.campaigns._experiment import CONTROL, MISSING, check_columns, words_of
from crmlytics.campaigns._rows import kinds_of, refuse_mixed_ids
from crmlytics.campaigns.planning._dealing import deal, hashes
from crmlytics.campaigns.planning.sizing import Demand, Rate, check_shares
from crmlytics.exceptions import SchemaError
from crmlytics.scoring._reading import with_whole_ids
from crmlytics.tables import Contacts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

ADDED = ("campaign_id", "arm", "stratum")
EVERYBODY = "all"
QUANTILES = 4
FEW = 100  # customers in an arm: fewer show nothing that a campaign can be hoped to do
USUAL_RATE, USUAL = 0.05, Demand(0.8, 0.05)  # for the warning only


def assign_arms(
    customers: Any,
    *,
    campaign_id: str | int,
    shares: Mapping[str, float],
    strata: str | Sequence[str] | None = None,
    previous: Contacts | Any = None,
    key: str = "customer_id",
    control: str = CONTROL,
    random_state: int = 0,
) -> Any:
    """Deal customers to the arms of a campaign, the control group among them.

    Parameters
    ----------
    customers : dataframe, one row per customer
        Such as those who are eligible (``table[table["is_eligible"]]``) or targeted, with any other columns.
    campaign_id : str or int
        The campaign: another one deals the same customers anew.
    shares : dict of arm to share
        Such as ``{"control": 0.1, "offer": 0.9}``; they add up to 1. An arm of share 0 takes nobody new.
    strata : str or list of str, optional
        Columns in whose every combination the shares are to hold: words as they are, numbers of more than four values
        cut at their quartiles, missing values as a level of their own.
    previous : Contacts or dataframe, optional
        An earlier assignment of this campaign (key and ``arm``): whoever is in it keeps the arm. Of several campaigns
        (``campaign_id``) this one is read; of several contacts of a customer (``timestamp``) the first one.
    key : str, default "customer_id"
        The column with the id of the customer; in a table of accounts, that of the account.
    control : str, default "control"
    random_state : int, default 0
        Another number, another deal.

    Returns
    -------
    dataframe of the kind that came in, the same rows and columns, sorted by the key, with
        ``campaign_id`` (Int64 or String), ``arm`` (String) and ``stratum`` (String, such as ``"segment=gold,
        amount=2 of 4"``; ``"all"`` without strata).

    Raises
    ------
    SchemaError
        When ids are missing or repeated, shares do not add up, there is no control group, ``previous`` has other arms,
        columns of the result are there already, or ``is_eligible`` is there and false.
    MissingColumnsError
        When a column is missing.

    Warns
    -----
    DataQualityWarning
        If fewer than 100 customers are in an arm that takes some; if ``previous`` knows nothing of the campaign.

    Notes
    -----
    Customers are dealt in the order of a hash of campaign, ``random_state`` and id, so the result hangs neither on the
    order of rows nor on the engine, and says nothing about another campaign. In each stratum every arm gets its share
    of the customers, rounded down, and what is left goes to the arms with the largest remainder; that remainder is
    carried from stratum to stratum (in random order), so that many small strata do not all round the same way.
    Customers of ``previous`` count towards the shares of their stratum.

    Without ``previous`` a list that has grown is dealt anew: keep the assignment, and hand it in.

    References
    ----------
    W. G. Cochran (1977), Sampling techniques, chapter 5, for strata. R. Kohavi, D. Tang and Y. Xu (2020), Trustworthy
    online controlled experiments, chapter 14, for hashing.

    Examples
    --------
    >>> import pandas as pd
    >>> customers = pd.DataFrame({"customer_id": range(1000), "segment": ["gold"] * 300 + ["other"] * 700})
    >>> shares = {"control": 0.2, "mail": 0.8}
    >>> table = assign_arms(customers, campaign_id="may", shares=shares, strata="segment")
    >>> print(table.head(3).to_string())
       customer_id segment campaign_id      arm       stratum
    0            0    gold         may  control  segment=gold
    1            1    gold         may     mail  segment=gold
    2            2    gold         may     mail  segment=gold
    >>> print(table.groupby(["stratum", "arm"]).size().to_string())
    stratum        arm
    segment=gold   control     60
                   mail       240
    segment=other  control    140
                   mail       560
    """
    caller = "assign_arms"
    read = check_shares(shares, control=control, caller=caller, may_be_none=True)
    seed = check_count(random_state, name="random_state", caller=caller, least=0)
    plan, engine = enter(customers, caller=caller)
    columns = [] if strata is None else [strata] if isinstance(strata, str) else list(strata)
    _check_columns(columns_of(plan), key, columns, caller=caller)
    plan = with_whole_ids(plan, [key], caller=caller)
    told = [name for name in ("is_eligible", "reason") if name in columns_of(plan)]
    rows = collect(plan.select(key, *dict.fromkeys([*columns, *told]))).to_pandas().sort_values(key, ignore_index=True)
    ids = _read_ids(rows[key], key=key, caller=caller)
    _check_eligible(rows, key, caller=caller)
    stratum = _strata(rows, columns)
    kept = _kept(previous, ids, campaign_id, list(read), engine, key=key, caller=caller)
    names = np.array(list(read), dtype=object)
    arm = deal(hashes(ids, campaign_id, seed), hashes(stratum, campaign_id, seed), kept, np.array(list(read.values())))
    _warn_of_few(np.bincount(arm, minlength=len(names)), read, caller=caller)
    dealt = {
        key: ids,
        "campaign_id": np.full(len(ids), campaign_id, dtype=object),
        "arm": names[arm],
        "stratum": stratum,
    }
    return _joined(plan, engine, dealt, key)


def _joined(plan: nw.LazyFrame[Any], engine: Engine, dealt: dict[str, NDArray[Any]], key: str) -> Any:
    """Add what was dealt to the rows, where they live."""
    schema: dict[str, Any] = {name: nw.String() for name in dealt}
    for name in (key, "campaign_id"):
        if not isinstance(dealt[name][0], str):
            schema[name] = nw.Int64()
    columns = {name: values.tolist() for name, values in dealt.items()}
    arms = enter(engine.from_columns(columns, nw.Schema(schema)), caller="assign_arms")[0]
    return engine.to_native(plan.join(arms, on=key, how="inner").sort(key))


def _check_columns(found: list[str], key: str, strata: Sequence[str], *, caller: str) -> None:
    check_columns(found, [key, *strata], caller=caller)
    taken = [name for name in ADDED if name in found]
    if taken:
        msg = (
            f"{caller}: customers has columns {taken}, which the result adds. Drop or rename them; an earlier "
            "assignment goes in as previous=."
        )
        raise SchemaError(msg)
    if key in strata:
        raise SchemaError(f"{caller}: {key!r} is the key: every customer would be a stratum. Take it out of strata.")


def _read_ids(ids: pd.Series[Any], *, key: str, caller: str) -> NDArray[Any]:
    if not len(ids):
        raise SchemaError(f"{caller}: customers has no rows. Expected one row per customer.")
    if ids.isna().any():
        raise SchemaError(f"{caller}: {key!r} is missing in {int(ids.isna().sum()):,} rows.")
    repeated = ids[ids.duplicated()].tolist()
    if repeated:
        msg = f"{caller}: {key} {repeated[0]!r} has more than one row. Keep one row per customer."
        raise SchemaError(msg)
    return np.asarray(ids, np.int64 if pd.api.types.is_integer_dtype(ids.dtype) else object)


def _check_eligible(rows: pd.DataFrame, key: str, *, caller: str) -> None:
    """Refuse those who may not be contacted, where the eligibility table came whole."""
    if "is_eligible" not in rows:
        return
    barred = rows[~rows["is_eligible"].fillna(value=False).astype(bool)]
    if len(barred):
        reason = barred["reason"].tolist()[0] if "reason" in rows else None
        why = f" ({reason})" if isinstance(reason, str) else ""
        msg = (
            f"{caller}: {len(barred):,} customers may not be contacted, such as {key} {barred[key].tolist()[0]!r}"
            f'{why}. Leave them out: table[table["is_eligible"]].'
        )
        raise SchemaError(msg)


def _strata(rows: pd.DataFrame, columns: Sequence[str]) -> NDArray[Any]:
    """Return the stratum of each row in words."""
    words = np.full(len(rows), EVERYBODY if not columns else "", dtype=object)
    for i, name in enumerate(columns):
        words += (", " if i else "") + f"{name}=" + _levels(rows[name])
    return words


def _levels(values: pd.Series[Any]) -> NDArray[Any]:
    """Return words as they are and numbers by quarter: quartiles hang on values, so equal ones stay together."""
    is_number = pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype)
    if not is_number or values.nunique() <= QUANTILES:
        return words_of(values)
    number = values.to_numpy(np.float64, na_value=np.nan)
    known = number[~np.isnan(number)]
    cuts = np.quantile(known, np.arange(1, QUANTILES) / QUANTILES, method="inverted_cdf")
    levels = np.array([*(f"{i + 1} of {QUANTILES}" for i in range(QUANTILES)), MISSING], dtype=object)
    return np.asarray(levels[np.where(np.isnan(number), QUANTILES, np.searchsorted(cuts, number, side="left"))])


# -- who has an arm already


def _kept(
    previous: Any, ids: NDArray[Any], campaign_id: Any, arms: list[str], engine: Engine, *, key: str, caller: str
) -> NDArray[np.int64]:
    """Return the place of the arm that each customer has already, -1 for those who have none."""
    if previous is None:
        return np.full(len(ids), -1)
    rows = _read_previous(previous, campaign_id, engine, key=key, caller=caller)
    refuse_mixed_ids(key, {"customers": kinds_of(ids[:1]), "previous": kinds_of(rows[key].head(1))}, caller=caller)
    unknown = sorted(set(rows["arm"]) - set(arms))
    if unknown:
        msg = (
            f"{caller}: previous has customers in the arms {unknown}, shares has {arms}. Give every arm a share, 0 for "
            f"one that takes nobody new: shares={{..., {unknown[0]!r}: 0}}."
        )
        raise SchemaError(msg)
    place = pd.Series(rows["arm"].map(arms.index).to_numpy(np.int64), index=rows[key].to_numpy())
    return np.asarray(place.reindex(ids, fill_value=-1), dtype=np.int64)


def _read_previous(previous: Any, campaign_id: Any, engine: Engine, *, key: str, caller: str) -> pd.DataFrame:
    """Return the earliest arm of each customer in this campaign: the key and ``arm``."""
    if isinstance(previous, Contacts):
        roles = ["customer_id", "campaign_id", "timestamp", "arm"]
        plan = previous.need(*roles, caller=caller).rename({"customer_id": key})
        check_same_kind({"customers": engine, "previous": previous.engine}, caller=caller)
    else:
        plan, other = enter(previous, caller=f"{caller}(previous)")
        check_same_kind({"customers": engine, "previous": other}, caller=caller)
    names = columns_of(plan)
    check_columns(names, [key, "arm"], caller=f"{caller}(previous)")
    plan = plan.filter(~nw.col(key).is_null(), ~nw.col("arm").is_null())
    plan = with_whole_ids(plan, [key], caller=caller).with_columns(nw.col("arm").cast(nw.String))
    if "campaign_id" in names:
        plan = plan.filter(nw.col("campaign_id").cast(nw.String) == str(campaign_id))
    order = ["timestamp"] if "timestamp" in names else []
    rows = collect(plan.select(key, "arm", *order).unique()).to_pandas()
    if not len(rows):
        warn(f"{caller}: previous knows no customer of campaign {campaign_id!r}: everybody is dealt anew.")
    return _earliest(rows, key, order, caller=caller)


def _earliest(rows: pd.DataFrame, key: str, order: list[str], *, caller: str) -> pd.DataFrame:
    rows = rows.sort_values([key, *order], ignore_index=True)
    if order:
        rows = rows[rows["timestamp"] == rows.groupby(key)["timestamp"].transform("min")]
    rows = rows[[key, "arm"]].drop_duplicates()
    twice = rows[rows[key].duplicated()][key].tolist()
    if twice:
        msg = (
            f"{caller}: previous has {key} {twice[0]!r} in several arms at once ({len(twice):,} customers). Keep the "
            "arm in which the customer was first, or add the timestamp."
        )
        raise SchemaError(msg)
    return rows


def _warn_of_few(counts: NDArray[np.int64], shares: Mapping[str, float], *, caller: str) -> None:
    """Warn where an arm is too small to show anything."""
    small = {
        arm: int(count) for (arm, share), count in zip(shares.items(), counts, strict=True) if share and count < FEW
    }
    if not small:
        return
    arm, count = min(small.items(), key=lambda item: item[1])
    others = int(counts.sum()) - count
    rise = Rate(USUAL_RATE, 1.0).detectable(count, others, USUAL) if count and others else np.nan
    what = (
        f"if {USUAL_RATE:.0%} buy without it, only a rise to {USUAL_RATE + rise:.0%} or more would be found "
        f"({USUAL.power:.0%} power)"
        if not math.isnan(rise)
        else "no effect would be found, however large"
    )
    warn(
        f"{caller}: {count:,} customers in arm {arm!r}: {what}. See sample_size_table(...); give it a larger share, or "
        "judge several campaigns together."
    )
