"""Whether a campaign sold more, or only sooner, or one thing instead of another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._kernels.multiple_testing import CORRECTIONS, HOLM, adjust_p_values
from crmlytics._validation import as_days, check_choice, check_fraction
from crmlytics.campaigns._experiment import CAMPAIGN, CONTROL
from crmlytics.campaigns._rows import NUMBER, TEXT, WHOLE, table_of
from crmlytics.campaigns.measuring._no_trial import tell_if_no_trial
from crmlytics.campaigns.measuring._since_contact import amount_names, count_name, read_since_contact
from crmlytics.campaigns.without_control._comparing import LEAST, TOO_FEW, UNTOLD

if TYPE_CHECKING:
    import datetime as dt

    from numpy.typing import NDArray

    from crmlytics._kernels.panel_effects import Differences
    from crmlytics.campaigns.measuring._since_contact import Groups, SinceContact

    Vector = NDArray[np.float64]
    Places = NDArray[np.int64]

WINDOW, AFTER, NET = 0, 1, 2
PARTS = ("window", "after", "net")
FIGURES = {f"{part}_{name}": NUMBER for part in PARTS for name in ("difference", "low", "high", "p_value")}
ADJUSTED = {f"{part}_adjusted_p_value": NUMBER for part in PARTS}
SHARE = {
    "pulled_forward_share": NUMBER,
    "pulled_forward_share_low": NUMBER,
    "pulled_forward_share_high": NUMBER,
    "reading": TEXT,
}
COUNTED = {"treated_count": WHOLE, "control_count": WHOLE}


def pull_forward_table(
    contacts: Any,
    outcomes: Any,
    *,
    as_of: str | dt.date | dt.datetime,
    window: str | dt.timedelta = "30d",
    after: str | dt.timedelta = "60d",
    by: str | None = None,
    control: Any = CONTROL,
    event: str | None = None,
    correction: str = HOLM,
    confidence: float = 0.95,
) -> Any:
    """Set what a campaign won in its window against what was missing in the time after it, in all or by category.

    Parameters
    ----------
    contacts, outcomes, control, event : as in :func:`outcome_table`
    as_of : date or datetime
        Nothing at or after it is read. Customers for whom both periods are not over are left out, with a warning.
    window, after : str, default "30d" and "60d"
        How long the campaign works, in calendar days from the contact on, and how long to look afterwards. Who stocked
        up buys less for as long as the stock lasts: take ``after`` longer than that.
    by : str, optional
        A column of the outcomes to tell figures apart by, such as ``"category"`` or ``"product_id"``: what was bought
        instead of what.
    correction : {"holm", "benjamini_hochberg", "none"}
        How p-values are adjusted for the arms and categories of a campaign and metric, of each period by itself.
    confidence : float, default 0.95

    Returns
    -------
    dataframe of the kind of ``contacts``, one row per campaign, arm, metric (and value of ``by``), sorted by these
        ``campaign_id``; ``arm``, ``metric`` (String: the count, then amounts); the column ``by`` (String, ``"missing"``
        where there is none), if asked for; ``treated_count``, ``control_count`` (Int64);
        ``window_difference`` (Float64, treated less control, per customer, in the window), ``window_low``,
        ``window_high``, ``window_p_value``, ``window_adjusted_p_value``; the same of the time after as ``after_...``,
        and of both together as ``net_...``; ``pulled_forward_share`` (Float64, the part of what was won that was
        missing afterwards: 1 if the campaign only moved sales, below 0 if more was bought afterwards as well),
        ``pulled_forward_share_low``, ``pulled_forward_share_high`` (null, like the share, where the window's difference
        may be zero or below); ``reading`` (String, in words, by the adjusted p-values).

    Raises
    ------
    SchemaError, MissingColumnsError
        As :func:`outcome_table`; when a campaign has no control group, or there is no column ``by``.

    Warns
    -----
    DataQualityWarning
        When control is ``"not contacted"``, the arm of :func:`comparison_contacts`: that is no control group.

    Notes
    -----
    ``pulled_forward_share = -after / window``, with Fieller's interval, for which both periods of a customer are read
    together. Intervals and p-values are Welch's, corrected for skewness as in :func:`effect_table`, and null where
    nothing varies between the customers of a group. By category, a gain in one beside a loss in another says what was
    bought instead: believe those whose adjusted p-value is small, the others come and go by chance. An order counts in
    each category that it holds, so counts by category add up to more than orders; amounts add up.

    Not for campaigns without a control group chosen at random.

    References
    ----------
    H. J. van Heerde, P. S. H. Leeflang and D. R. Wittink (2004), "Decomposing the sales promotion bump with store
    data", Marketing Science 23(3).

    Examples
    --------
    >>> import pandas as pd
    >>> day = pd.Timestamp("2024-03-01")
    >>> arms = ["mail"] * 3 + ["control"] * 3
    >>> contacts = pd.DataFrame({"customer_id": range(6), "arm": arms, "timestamp": day})
    >>> orders = pd.DataFrame({
    ...     "customer_id": [0, 1, 2, 3, 4, 5, 2], "order_id": range(7), "amount": [21.0, 20, 22, 9, 10, 11, 6],
    ...     "timestamp": day + pd.to_timedelta([1, 2, 3, 40, 50, 60, 70], unit="D"),
    ... })
    >>> table = pull_forward_table(contacts, orders, as_of="2024-07-01")
    >>> table[["window_difference", "after_difference", "net_difference", "pulled_forward_share"]].round(2)
       window_difference  after_difference  net_difference  pulled_forward_share
    0                1.0             -0.67            0.33                   NaN
    1               21.0             -8.00           13.00                  0.38
    """
    caller = "pull_forward_table"
    check_fraction(confidence, name="confidence", caller=caller)
    check_choice(correction, CORRECTIONS, name="correction", caller=caller)
    days = as_days(window, name="window", caller=caller)
    total = days + as_days(after, name="after", caller=caller)
    read = read_since_contact(
        contacts,
        outcomes,
        as_of=as_of,
        comparison=control,
        days=(0, total),
        period=nw.when(nw.col("_day") < days).then(nw.lit(WINDOW)).otherwise(nw.lit(AFTER)),
        event=event,
        by=by,
        whole=True,
        caller=caller,
    )
    tell_if_no_trial(control, caller=caller)
    metrics = [count_name(read.figures), *amount_names(read.figures)]
    rows = [
        {CAMPAIGN: groups.campaign, "arm": groups.arm, "metric": metric} | row
        for groups in read.groups()
        for metric in metrics
        for row in _compared(read, groups, metric, by, confidence)
    ]
    _adjust(rows, correction)
    rows = [row if "reading" in row else row | {"reading": _read(row, confidence)} for row in rows]
    kinds = {CAMPAIGN: TEXT, "arm": TEXT, "metric": TEXT, **({by: TEXT} if by else {}), **COUNTED}
    for part in PARTS:
        kinds |= {name: kind for name, kind in (FIGURES | ADJUSTED).items() if name.startswith(part)}
    return table_of(read.engine, rows, kinds | SHARE, campaign_id=read.campaigns)


# -- inside --------------------------------------------------------------------------------------------------------


def _compared(
    read: SinceContact, groups: Groups, metric: str, by: str | None, confidence: float
) -> list[dict[str, Any]]:
    """Return the rows of one arm and metric, one per category."""
    counts = {"treated_count": len(groups.treated), "control_count": len(groups.comparison)}
    rows = []
    for name, places in _categories(read):
        row: dict[str, Any] = counts | ({by: name} if by else {})
        if min(counts.values()) < LEAST:
            rows.append(row | {"reading": TOO_FEW})
            continue
        rows.append(row | _figures(_differences(read, groups, metric, places), confidence))
    return rows


def _categories(read: SinceContact) -> list[tuple[Any, Places | None]]:
    """Return each category, sorted, with the places of its figures; without categories all of them."""
    if read.what is None:
        return [(None, None)]
    names, code = np.unique(read.what.astype(str), return_inverse=True)
    order = np.argsort(code, kind="stable")
    ends = np.searchsorted(code[order], np.arange(len(names) + 1))
    return [(str(name), order[ends[place] : ends[place + 1]]) for place, name in enumerate(names)]


def _differences(read: SinceContact, groups: Groups, metric: str, places: Places | None) -> Differences:
    """Return the differences of the window, of the time after and of both."""
    from crmlytics._kernels.panel_effects import differences

    weights = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
    treated, control = (
        read.means(group, read.figures[metric], periods=2, which=places).through(weights)
        for group in (groups.treated, groups.comparison)
    )
    return differences(treated, control)


def _figures(found: Differences, confidence: float) -> dict[str, Any]:
    """Return the columns that tell the differences of one row."""
    low, high = found.interval(confidence)
    p_value = found.p_value()
    row: dict[str, Any] = {}
    for place, part in enumerate(PARTS):
        row |= {f"{part}_difference": found.estimate[place], f"{part}_low": low[place], f"{part}_high": high[place]}
        row |= {f"{part}_p_value": p_value[place]}
    share = _share(found, confidence) if low[WINDOW] > 0 else None
    if share is not None:
        row["pulled_forward_share"] = -found.estimate[AFTER] / found.estimate[WINDOW]
        row["pulled_forward_share_low"], row["pulled_forward_share_high"] = share
    return row


def _share(found: Differences, confidence: float) -> tuple[float, float] | None:
    """Return the interval of what was missing afterwards as a part of what was won."""
    from scipy import special

    from crmlytics._kernels.panel_effects import ratio_interval

    signs = np.array([-1.0, 1.0])
    order = [AFTER, WINDOW]
    covariance = found.covariance[np.ix_(order, order)] * np.outer(signs, signs)
    critical = float(special.stdtrit(found.freedom[WINDOW], (1 + confidence) / 2))
    return ratio_interval(-found.estimate[AFTER], found.estimate[WINDOW], covariance, critical)


def _read(row: dict[str, Any], confidence: float) -> str:
    """Say in words what the adjusted p-values show."""
    p_value = {part: row[f"{part}_adjusted_p_value"] for part in PARTS}
    if np.isnan(p_value["window"]):
        return UNTOLD
    sign = {part: (p_value[part] < 1 - confidence) * np.sign(row[f"{part}_difference"]) for part in PARTS}
    if sign["window"] < 0:
        return "less in the window: lost, or bought as something else"
    if sign["window"] == 0:
        return "no gain in the window that could be told from chance"
    if sign["after"] > 0:
        return "more in the window and more afterwards"
    is_known = not np.isnan(p_value["after"])
    no_change = "no change afterwards that could be told from chance" if is_known else "what came after cannot be told"
    later = "less afterwards: pulled forward" if sign["after"] < 0 else no_change
    net = "a net gain remains" if sign["net"] > 0 else "no net gain that could be told from chance"
    return f"more in the window, {later}; {net}"


def _adjust(rows: list[dict[str, Any]], correction: str) -> None:
    """Add p-values adjusted for all rows of a campaign and metric."""
    families: dict[tuple[Any, str], list[dict[str, Any]]] = {}
    for row in rows:
        families.setdefault((row[CAMPAIGN], row["metric"]), []).append(row)
    for family in families.values():
        for part in PARTS:
            p_values = np.array([row.get(f"{part}_p_value", np.nan) for row in family])
            for row, value in zip(family, adjust_p_values(p_values, correction), strict=True):
                row[f"{part}_adjusted_p_value"] = value
