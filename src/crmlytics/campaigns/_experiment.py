"""The door for tables of experiments: one row per customer, who is in an arm, the control group among them."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from crmlytics._frames import collect, columns_of, enter
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.metrics._columns import as_numbers
from crmlytics.scoring._reading import check_key, with_whole_ids
from crmlytics.snapshots._contacts import CONTROL_ARMS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from crmlytics._frames import Engine

    Vector = NDArray[np.float64]

CONTROL = "control"
NOT_CONTACTED = "not contacted"  # the arm of those whom no campaign contacted, added to compare with
TREATED = "treated"  # the arm of all contacts, where none is named
CONTROL_WORDS = (*CONTROL_ARMS, "none", "no", "false", "0")
SHOWN = 5
MISSING = "missing"
CUSTOMER, CAMPAIGN = "customer_id", "campaign_id"


class NoControlError(SchemaError):
    """Nobody was held out; a caller who knows another way adds it to the words."""


@dataclass(frozen=True, slots=True, eq=False)
class Experiment:
    """Customers and the arms that they were dealt to.

    Attributes
    ----------
    engine : Engine
        The kind of table that came in.
    table : pandas DataFrame, shape (n, ...)
        Sorted by the key.
    key : tuple of str
    arms : tuple of str
        The control group first, the others sorted.
    arm : int64 array, shape (n,)
        The place of each row's arm among the arms: 0 is the control group.
    """

    engine: Engine
    table: pd.DataFrame
    key: tuple[str, ...]
    arms: tuple[str, ...]
    arm: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.arm)

    def numbers(self, name: str, *, caller: str) -> Vector:
        """Return a column as finite numbers, flags as 0 and 1."""
        check_columns(self.table.columns, [name], caller=caller)
        return as_numbers(self.table[name], name=repr(name), caller=caller)

    def words(self, name: str, *, caller: str) -> NDArray[Any]:
        """Return a column as text, ``"missing"`` where nothing is known."""
        check_columns(self.table.columns, [name], caller=caller)
        return words_of(self.table[name])

    def versus(self, arm: int) -> NDArray[np.bool_]:
        """Return which rows are of this arm, or of the control group of a campaign that has it."""
        campaign = self._campaign
        has_arm = np.bincount(campaign, self.arm == arm) > 0
        rows: NDArray[np.bool_] = has_arm[campaign] & ((self.arm == 0) | (self.arm == arm))
        return rows

    def share(self, arm: int) -> Vector:
        """Return the share of the arm among the rows of :meth:`versus`, in the campaign of each."""
        rows = self.versus(arm)
        campaign = self._campaign[rows]
        in_arm, all_rows = (np.bincount(campaign, weight) for weight in ((self.arm[rows] == arm), np.ones(rows.sum())))
        return np.asarray(in_arm[campaign] / all_rows[campaign])

    @property
    def _campaign(self) -> NDArray[np.int64]:
        """The campaign of each row as a number; one where no column says it."""
        if CAMPAIGN not in self.table.columns:
            return np.zeros(len(self), np.int64)
        return np.asarray(pd.factorize(self.table[CAMPAIGN])[0] + 1, np.int64)


def read_experiment(
    table: Any,
    *,
    key: Sequence[str] = (CUSTOMER,),
    arm: str = "arm",
    control: Any = CONTROL,
    needs: Sequence[str] = (),
    caller: str,
) -> Experiment:
    """Compute a table of customers in arms once, or say what is wrong with it.

    Parameters
    ----------
    table : dataframe, one row per key
    key : column names
        Ids become Int64 or String; none may be missing or come twice.
    arm : str
        The column of arms, words or numbers.
    control : str, bool or number
        How the control group is called in it.
    needs : column names
        Further columns that must be there.
    """
    plan, engine = enter(table, caller=caller)
    check_columns(columns_of(plan), [*key, arm, *needs], caller=caller)
    plan = with_whole_ids(plan, key, caller=caller)
    rows = collect(plan).to_pandas()
    if not len(rows):
        raise SchemaError(f"{caller}: the table has no rows. Expected one row per customer.")
    _check_key(plan, key, rows, caller=caller)
    rows = rows.sort_values(list(key), kind="stable").reset_index(drop=True)
    arms, code = _arms(rows[arm], arm, word_of(control), caller=caller)
    return Experiment(engine, rows, tuple(key), arms, code)


def check_columns(columns: Any, names: Sequence[str], *, caller: str) -> None:
    """Refuse a table that lacks columns."""
    found = [str(name) for name in columns]
    missing = [name for name in names if name not in found]
    if missing:
        msg = f"{caller} needs the columns {missing}.{did_you_mean(missing[0], found)} Columns: {found}"
        raise MissingColumnsError(msg)


def missing_arms(count: int, of: str, *, name: str = "arm", caller: str) -> str:
    """Say that nobody knows in which arm some are."""
    return (
        f"{caller}: {name!r} is missing in {count:,} {of}. Leave out who was in no arm, or fill in the control group."
    )


def words_of(values: pd.Series[Any]) -> NDArray[Any]:
    """Return values as text, whole numbers without a point, ``"missing"`` where nothing is known."""
    codes, different = pd.factorize(values)  # each value is read once, however often it comes
    words = np.array([*(word_of(value) for value in different), MISSING], dtype=object)
    return np.asarray(words[codes])


def word_of(value: Any) -> str:
    """Return a value as text; 1.0 is "1"."""
    whole = isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)) and float(value).is_integer()
    return str(int(value)) if whole else str(value).strip()


# -- inside --------------------------------------------------------------------------------------------------------


def _check_key(plan: Any, key: Sequence[str], rows: pd.DataFrame, *, caller: str) -> None:
    campaigns = sorted(set(words_of(rows[CAMPAIGN]))) if CAMPAIGN in rows.columns and CAMPAIGN not in key else []
    if len(campaigns) > 1 and rows.duplicated(list(key)).any():
        msg = (
            f"{caller}: the table holds customers of several campaigns ({campaigns[:SHOWN]}), some of them more than "
            f'once. Take one: table[table["{CAMPAIGN}"] == {campaigns[0]!r}].'
        )
        raise SchemaError(msg)
    check_key(plan, list(key), key, caller=caller)


def _arms(values: pd.Series[Any], name: str, control: str, *, caller: str) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    missing = int(values.isna().sum())
    if missing:
        raise SchemaError(missing_arms(missing, f"of {len(values):,} rows", name=name, caller=caller))
    words = words_of(values)
    found = sorted(set(words))
    if control not in found:
        msg = f"{caller}: no row has {name}={control!r}, so there is no control group. {_way_out(found)}"
        raise NoControlError(msg)
    if len(found) == 1:
        msg = (
            f"{caller}: all {len(words):,} rows have {name}={control!r}: nobody was treated. Expected the control "
            "group and at least one other arm."
        )
        raise SchemaError(msg)
    arms = (control, *(word for word in found if word != control))
    place = {word: code for code, word in enumerate(arms)}
    return arms, np.array([place[word] for word in words], dtype=np.int64)


def _way_out(arms: list[str]) -> str:
    """Say what to do where no arm is called as the control group should be."""
    listed = f"Arms: {arms[:SHOWN]}" + (" and others." if len(arms) > SHOWN else ".")
    if arms == [TREATED]:
        return f"{listed} So contacts without an arm are called: name the column, Contacts(data, arm=...)."
    likely = [arm for arm in arms if arm.lower() in CONTROL_WORDS and len(arms) > 1]
    if likely:
        return f"{listed} If that is {likely[0]!r}, type control={likely[0]!r}."
    if len(arms) == 1:
        return f"{listed} All were treated: nobody was held out."
    return f"{listed} If one of them was held out, type its name, control=...; else nobody was."
