"""The machinery of a contract: bind once, check the schema at once, set bad lines aside by reason, lose nothing."""

from __future__ import annotations

import copy
import math
from dataclasses import KW_ONLY, dataclass, field, fields, replace
from functools import cached_property, reduce
from operator import or_
from typing import TYPE_CHECKING, Any, ClassVar, Self

import narwhals.stable.v2 as nw

from crmlytics._binding import Binding, Kind, bind_roles, is_no_id
from crmlytics._frames import Engine, collect, columns_of, enter
from crmlytics._validation import as_moment, did_you_mean, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Iterable

AUDIT_SCHEMA = nw.Schema({"reason": nw.String(), "outcome": nw.String(), "lines": nw.Int64(), "amount": nw.Float64()})


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a line is set aside, told from the line alone."""

    text: str
    test: nw.Expr
    role: str


@dataclass(frozen=True, slots=True)
class Step:
    """Why lines are set aside that only their neighbours give away: duplicates, cancelled pairs."""

    text: str
    keep: Callable[[nw.LazyFrame[Any]], nw.LazyFrame[Any]]


@dataclass(frozen=True, slots=True)
class Period:
    """Moments from ``start`` (inclusive) to ``end`` (exclusive); None is open."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None

    def __bool__(self) -> bool:
        return self.start is not None or self.end is not None

    def within(self, other: Period) -> Period:
        """Return the part of this period that lies in the other as well."""
        starts = [moment for moment in (self.start, other.start) if moment is not None]
        ends = [moment for moment in (self.end, other.end) if moment is not None]
        return Period(max(starts, default=None), min(ends, default=None))

    def holds(self, moment: nw.Expr) -> nw.Expr:
        """Whether a moment lies in the period."""
        tests = [moment >= self.start] if self.start is not None else []
        tests += [moment < self.end] if self.end is not None else []
        return reduce(nw.Expr.__and__, tests)


def role(name: str, kind: Kind, *, missing: str | None = None) -> Any:
    """Declare a role: its canonical name, its kind and, for a needed one, the reason given for a line without it."""
    return field(default=name, metadata={"kind": kind, "missing": missing})


@dataclass(frozen=True, eq=False, repr=False)
class Contract:
    """A dataframe whose columns are named once. See the subclasses for their roles.

    Parameters
    ----------
    data : dataframe
        pandas, Polars (eager or lazy), PyArrow, DuckDB relation or PySpark.
    time_zone : str, optional
        Needed when moments carry a time zone: the zone in which a day begins and ends for the business.
    timestamp_format : str, optional
        How text moments are written, as ``strftime`` says it; a moment that does not fit is set aside as "no date".
    """

    moment_role: ClassVar[str | None] = None
    amount_role: ClassVar[str | None] = None

    data: Any
    _: KW_ONLY
    time_zone: str | None = None
    timestamp_format: str | None = None

    def __new__(cls, *_: Any, **named: Any) -> Self:
        """Refuse a misspelt role with a hint, before Python's own terse TypeError."""
        known = [item.name for item in fields(cls)]
        for name in named:
            if name not in known:
                roles = list(cls._kinds())
                msg = f"{cls.__name__} has no role {name!r}.{did_you_mean(name, roles)} Roles: {roles}"
                raise SchemaError(msg)
        return super().__new__(cls)

    def __post_init__(self) -> None:
        """Check the schema now; check the data now if they are in memory."""
        for name in self._kinds():
            if not isinstance(getattr(self, name), (str, type(None))):
                msg = f"{self._caller}({name}={getattr(self, name)!r}): expected the name of a column."
                raise SchemaError(msg)
        self._binding  # noqa: B018  computed and kept: a schema error shows where the contract is made
        if not self._engine.is_lazy:
            self._validate()

    # -- making and remaking -------------------------------------------------------------------------------------

    @classmethod
    def bind(cls, data: Any) -> Self:
        """Return ``data`` if it is this contract already, else bind a frame that has the canonical names."""
        if isinstance(data, cls):
            return data
        if isinstance(data, Contract):
            msg = f"expected {cls.__name__} or a dataframe, got {type(data).__name__}."
            raise SchemaError(msg)
        return cls(data)

    def rebind(self, data: Any) -> Self:
        """Give another frame, such as next month's export, the same roles and options; a period does not carry over."""
        other = replace(self, data=data)
        lost = {name: column for name, column in self.sources.items() if name not in other.sources}
        if lost:
            columns = columns_of(enter(data, caller=self._caller)[0])
            msg = f"{self._caller}.rebind: the frame lacks the columns of {lost}. Columns: {columns}"
            raise MissingColumnsError(msg)
        return other

    def before(self, moment: Any) -> Self:
        """Keep the lines strictly before a moment; a date means the midnight that begins it."""
        return self._narrowed(Period(end=as_moment(moment, name="moment", caller=f"{self._caller}.before")))

    def between(self, start: Any, end: Any) -> Self:
        """Keep the lines from ``start`` (inclusive) to ``end`` (exclusive)."""
        caller = f"{self._caller}.between"
        period = Period(as_moment(start, name="start", caller=caller), as_moment(end, name="end", caller=caller))
        if period.start >= period.end:  # type: ignore[operator]
            msg = f"{caller}: start must lie before end, got {period.start} and {period.end}."
            raise SchemaError(msg)
        return self._narrowed(period)

    def with_source_names(self, table: Any) -> Any:
        """Rename the canonical columns of a result to the caller's own names."""
        caller = f"{self._caller}.with_source_names"
        frame, engine = enter(table, caller=caller)
        names = columns_of(frame)
        renamed = {role: column for role, column in self.sources.items() if role in names}
        taken = sorted(set(renamed.values()) & (set(names) - set(renamed)))
        if taken:
            msg = f"{caller}: the table has columns of its own called {taken}. Rename these first."
            raise SchemaError(msg)
        return engine.to_native(frame.rename(renamed))

    # -- what the topics ask for ---------------------------------------------------------------------------------

    @property
    def sources(self) -> dict[str, str]:
        """The roles that have a column: role -> the caller's column name."""
        return dict(self._binding.sources)

    @property
    def engine(self) -> Engine:
        """The kind of the frame, and the way back to it."""
        return self._engine

    def has(self, *roles: str) -> bool:
        """Whether every one of these roles has a column, or is computed from columns that are there."""
        return set(roles) <= set(self.columns)

    @property
    def columns(self) -> list[str]:
        """The canonical names of the roles that have a column, and the names of the attributes."""
        return self._schema.names()

    def id_kind(self, name: str) -> str:
        """``'Int64'`` or ``'String'``: the kind an id has in results."""
        return "String" if self._schema[name] == nw.String else "Int64"

    def need(self, *roles: str, caller: str) -> nw.LazyFrame[Any]:
        """Return the kept lines with these columns, under canonical names, as a lazy plan.

        Raises
        ------
        MissingColumnsError
            Says which roles have no column and how to name one.
        """
        missing = [name for name in roles if not self.has(name)]
        if missing:
            repair = ", ".join(f"{name}='<your column>'" for name in missing)
            msg = (
                f"{caller} needs {missing}, and {self._caller} has {[r for r in self._kinds() if self.has(r)]}. "
                f"Name yours: {self._caller}(data, {repair}). Columns: {columns_of(enter(self.data, caller=caller)[0])}"
            )
            raise MissingColumnsError(msg)
        return self._kept(list(roles))

    def to_native(self, frame: nw.LazyFrame[Any]) -> Any:
        """Hand a plan derived from :meth:`need` back as the kind of frame that came in."""
        return self._engine.to_native(frame)

    # -- what was set aside --------------------------------------------------------------------------------------

    @property
    def audit(self) -> Any:
        """What came, what was kept and what was set aside, by reason: a table that adds up.

        Columns: ``reason``; ``outcome`` ("received", "kept", "set aside" or "converted"); ``lines`` (Int64);
        ``amount`` (Float64, the sum of finite amounts; null without amounts). The line "received" equals "kept" plus
        every line "set aside". "converted" lines were kept: whole numbers that came as floats, read as Int64.
        A lazy frame is queried when this is asked for.
        """
        if self._engine.is_lazy:
            self._is_sound  # noqa: B018
        rows = self._audit_rows
        columns = {name: [row[name] for row in rows] for name in AUDIT_SCHEMA}
        return self._engine.from_columns(columns, AUDIT_SCHEMA)

    def validate(self) -> Self:
        """Check the data now: the explicit door for lazy frames, which are not queried when the contract is made."""
        self._validate()
        return self

    def __repr__(self) -> str:
        """Name the frame, the roles and how much was set aside."""
        roles = ", ".join(f"{name}={column!r}" for name, column in self.sources.items())
        head = f"{self._caller}({self._engine.name} frame, {roles})"
        if "_counts" not in self.__dict__:
            return f"{head}: lazy, data not checked yet (.validate(), .audit)"
        words = f"{head}: {self._counts['lines']:,} lines"
        if self._period:
            start, end = self._period.start or "the beginning", self._period.end or "the end"
            words += f" received, used from {start} to {end}"
        return words if self._is_clean else f"{words}, some set aside (.audit)"

    # -- inside --------------------------------------------------------------------------------------------------

    def _reasons(self) -> list[Reason]:
        """Return the reasons told from a line alone, in the order in which the first one counts."""
        reasons = []
        for item in fields(self):
            text = item.metadata.get("missing")
            if text is not None and self.has(item.name):
                is_id = item.metadata["kind"] is Kind.ID
                test = is_no_id(item.name, self._schema[item.name]) if is_id else nw.col(item.name).is_null()
                reasons.append(Reason(text, test, item.name))
        return reasons

    def _steps(self) -> list[Step]:
        """Return the reasons that need a line's neighbours, in order, after all of :meth:`_reasons`."""
        return []

    def _signals(self) -> dict[str, nw.Expr]:
        """Return what builders want to know about the lines beforehand, by name: counted with the checks."""
        return {}

    def _may_hold(self, signal: str) -> bool:
        """Whether a line may give a signal: False only if the data were counted and none does."""
        return "_counts" not in self.__dict__ or self._counts[f"signal {signal}"] > 0

    def _derived(self, plan: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        """Add the columns that a contract computes from others."""
        return plan

    def _attribute_name(self, number: int, column: str) -> str | None:  # noqa: ARG002
        """Return what a column without a role is called, or None to leave it out."""
        return None

    @classmethod
    def _kinds(cls) -> dict[str, Kind]:
        return {item.name: item.metadata["kind"] for item in fields(cls) if "kind" in item.metadata}

    @property
    def _caller(self) -> str:
        return type(self).__name__

    @cached_property
    def _entered(self) -> tuple[nw.LazyFrame[Any], Engine]:
        return enter(self.data, caller=self._caller)

    @property
    def _engine(self) -> Engine:
        return self._entered[1]

    @cached_property
    def _binding(self) -> Binding:
        binding = bind_roles(
            self._entered[0],
            {name: getattr(self, name) for name in self._kinds()},
            self._kinds(),
            caller=self._caller,
            time_zone=self.time_zone,
            timestamp_format=self.timestamp_format,
            optional=frozenset(item.name for item in fields(self) if item.metadata.get("missing", "") is None),
            attribute_names=self._attribute_name,
        )
        return replace(binding, plan=self._derived(binding.plan))

    @cached_property
    def _schema(self) -> nw.Schema:
        return nw.Schema(self._binding.plan.collect_schema())

    @property
    def _period(self) -> Period:
        period: Period = self.__dict__.get("_narrowed_to", Period())
        return period

    def _narrowed(self, period: Period) -> Self:
        if self.moment_role is None or not self.has(self.moment_role):
            needed = self.moment_role or "a role with a date"
            msg = f"{self._caller}: choosing a period needs {needed!r}. Name yours when you make the contract."
            raise MissingColumnsError(msg)
        wanted = self._period.within(period)
        for known in (self, self.__dict__.get("_last_narrowed", self)):
            if known._period == wanted:  # noqa: SLF001
                return known
        narrowed = copy.copy(self)  # keeps the checks already made
        narrowed.__dict__["_narrowed_to"] = wanted
        for cached in ("_audit_rows", "_sifted", "_last_narrowed"):
            narrowed.__dict__.pop(cached, None)
        self.__dict__["_last_narrowed"] = narrowed  # the next topic asks for the same period: sift its lines once
        return narrowed

    @cached_property
    def _counts(self) -> dict[str, int]:
        """Count, in one query, the lines that each check concerns (a line may be counted by several)."""
        tests = {f"reason {i}": reason.test for i, reason in enumerate(self._reasons())}
        tests |= {f"signal {name}": test for name, test in self._signals().items()}
        tests |= {f"unfit {name}": test for name, test in self._binding.unfit_ids.items()}
        query = self._binding.plan.select(lines=nw.len(), **{name: _count(test) for name, test in tests.items()})
        values = collect(query).row(0)
        return {name: int(value or 0) for name, value in zip(["lines", *tests], values, strict=True)}

    @property
    def _is_clean(self) -> bool:
        return not any(count for name, count in self._counts.items() if name.startswith("reason"))

    def _validate(self) -> None:
        if self._is_sound and self._is_clean:
            return
        words = self._set_aside_in_words()
        if self._audit_rows[1]["lines"] == 0:
            msg = f"{words} No line is left."
            raise SchemaError(msg)
        warn(words)

    @cached_property
    def _is_sound(self) -> bool:
        """Raise for data that cannot be what the roles say; looked at once."""
        lines = self._counts["lines"]
        if lines == 0:
            msg = f"{self._caller}: the frame has no lines. Check the filter or the file it came from."
            raise SchemaError(msg)
        for name in self._binding.unfit_ids:
            if self._counts[f"unfit {name}"]:
                self._refuse_unfit_ids(name)
        for i, reason in enumerate(self._reasons()):
            if self._counts[f"reason {i}"] == lines:
                column = self.sources.get(reason.role, reason.role)
                msg = f"{self._caller}: every line has {reason.text!r}: check {reason.role}={column!r}."
                if self.timestamp_format is not None and reason.text == "no date":
                    msg += f" No text fits timestamp_format={self.timestamp_format!r}."
                raise SchemaError(msg)
        self._validate_values()
        return True

    def _validate_values(self) -> None:
        """Refuse what no line can be blamed for, such as mixed currencies."""

    def _refuse_unfit_ids(self, name: str) -> None:
        unfit = self._binding.plan.filter(self._binding.unfit_ids[name]).select(name).head(1)
        found = collect(unfit)[name].to_list()[0]
        why = "Is this the right column?" if found % 1 else "It is too large to be held exactly: give the ids as text."
        where = f"{self._caller}({name}={self.sources[name]!r})"
        msg = f"{where}: ids must be whole numbers or text, got {float(found)}. {why}"
        raise SchemaError(msg)

    def _set_aside_in_words(self) -> str:
        rows = self._audit_rows
        aside = [row for row in rows if row["outcome"] == "set aside" and row["lines"]]
        total, received = sum(row["lines"] for row in aside), rows[0]["lines"]
        listed = ", ".join(f"{row['reason']} {row['lines']:,}" for row in aside)
        return f"{self._caller}: {total:,} of {received:,} lines set aside ({listed}). The table .audit has them all."

    def _kept(self, roles: list[str]) -> nw.LazyFrame[Any]:
        """Return the kept lines with these columns, doing no more work than the data call for."""
        if self._binding.unfit_ids:  # lazy or not: 1.5 must not become customer 1 by the cast
            self._is_sound  # noqa: B018
        checked = "_counts" in self.__dict__
        if checked and self._is_clean and not self._steps():
            extra = {str(self.moment_role)} - set(roles) if self._period else set()
            kept = self._in_period(self._binding.plan.select(*roles, *extra))
        else:
            kept = self._sifted
        return kept.select(*[self._settled(name) for name in roles])

    def _settled(self, name: str) -> nw.Expr:
        """Return a column as results have it."""
        return nw.col(name).cast(nw.Int64) if name in self._binding.unfit_ids else nw.col(name)

    @cached_property
    def _sifted(self) -> nw.LazyFrame[Any]:
        """The lines that no reason and no step sets aside; in memory they are sifted once."""
        kept = self._after_steps(self._after_reasons(), self._steps())
        return kept if self._engine.is_lazy else collect(kept).lazy()

    def _in_period(self, frame: nw.LazyFrame[Any]) -> nw.LazyFrame[Any]:
        return frame.filter(self._period.holds(nw.col(str(self.moment_role)))) if self._period else frame

    def _line_reasons(self) -> list[Reason]:
        """Return :meth:`_reasons`, plus the one that a chosen period adds."""
        reasons = self._reasons()
        if self._period:
            outside = ~self._period.holds(nw.col(str(self.moment_role))).fill_null(value=True)
            reasons.append(Reason("outside the period", outside, str(self.moment_role)))
        return reasons

    def _after_reasons(self) -> nw.LazyFrame[Any]:
        tests = [reason.test for reason in self._line_reasons()]
        return self._binding.plan.filter(~reduce(or_, tests)) if tests else self._binding.plan

    def _after_steps(self, frame: nw.LazyFrame[Any], steps: Iterable[Step]) -> nw.LazyFrame[Any]:
        return reduce(lambda kept, step: step.keep(kept), steps, frame)

    @cached_property
    def _audit_rows(self) -> list[dict[str, Any]]:
        rows = self._rows_by_reason()
        kept = next(row for row in rows if row["reason"] == "kept")
        frame = self._after_reasons()
        for step in self._steps():
            frame = step.keep(frame)
            after = _tally(frame, self._amount, {"kept": nw.lit(value=True)})[0]
            amount = None if kept["amount"] is None else _difference(kept["amount"], after["amount"])
            rows.append({"reason": step.text, "lines": kept["lines"] - after["lines"], "amount": amount})
            kept = after
        received, *aside = [row for row in rows if row["reason"] != "kept"]
        table = [received | {"outcome": "received"}, kept | {"outcome": "kept"}]
        table += [row | {"outcome": "set aside"} for row in aside]
        whole = [f"{name} came as a float" for name in self._binding.float_ids]
        return table + [kept | {"reason": text, "outcome": "converted"} for text in whole]

    def _rows_by_reason(self) -> list[dict[str, Any]]:
        """Return one row for everything, one for each reason (the first counts) and one for the rest, in one query."""
        masks: dict[str, nw.Expr] = {"received": nw.lit(value=True)}
        earlier: list[nw.Expr] = []
        for reason in self._line_reasons():
            masks[reason.text] = reduce(lambda mask, test: mask & ~test, earlier, reason.test)
            earlier.append(reason.test)
        masks["kept"] = ~reduce(or_, earlier) if earlier else nw.lit(value=True)
        return _tally(self._binding.plan, self._amount, masks)

    @property
    def _amount(self) -> str | None:
        return self.amount_role if self.amount_role is not None and self.has(self.amount_role) else None


def _difference(before: float, after: float) -> float:
    """Subtract sums of the same lines: what only the order of addition leaves over is nothing."""
    return 0.0 if math.isclose(before, after, rel_tol=1e-12) else before - after


def _count(test: nw.Expr) -> nw.Expr:
    return test.cast(nw.Int64).sum()


def _tally(frame: nw.LazyFrame[Any], amount: str | None, masks: dict[str, nw.Expr]) -> list[dict[str, Any]]:
    """Count the lines, and add up the finite amounts, under each mask, in one query."""
    frame = frame.with_columns(nw.lit(1).cast(nw.Int64).alias("_one"))
    query = {}
    for i, mask in enumerate(masks.values()):
        query[f"lines {i}"] = nw.when(mask).then(nw.col("_one")).otherwise(nw.lit(0).cast(nw.Int64)).sum()
        if amount is not None:
            finite = mask & nw.col(amount).is_finite().fill_null(value=False)
            query[f"amount {i}"] = nw.when(finite).then(nw.col(amount)).otherwise(nw.lit(0.0)).sum()
    values = collect(frame.select(**query)).row(0)
    found = dict(zip(query, values, strict=True))
    return [
        {
            "reason": text,
            "lines": int(found[f"lines {i}"] or 0),
            "amount": None if amount is None else float(found[f"amount {i}"] or 0.0),
        }
        for i, text in enumerate(masks)
    ]
