"""A fitted model on a table of any engine and any size: its features are in memory a batch at a time."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial, reduce
from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw

from crmlytics._frames import SPARK, Implementation, columns_of, enter, id_column, plan_of
from crmlytics._validation import did_you_mean
from crmlytics.exceptions import MissingColumnsError, SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from concurrent.futures import Future

    from crmlytics._frames import Engine

    Score = Callable[[Any], Any]

BATCH_ROWS = 50_000
SHOWN = 3  # keys in a message


def score_any(
    native: Any,
    score: Score,
    schema: nw.Schema,
    *,
    key: Sequence[str],
    columns: Sequence[str],
    caller: str,
    in_threads: bool = True,
) -> Any:
    """Score a table of any engine, batch by batch.

    Parameters
    ----------
    native : dataframe of any engine
    score : function from a pandas table to a pandas table
        Gets ``key`` and those of ``columns`` that the table has; gives back ``key`` and the columns of ``schema``, one
        or several rows per row. What it says of a row must not depend on the others, which are in other batches. Spark
        pickles it: a function of a module, or a ``functools.partial`` of one.
    schema : narwhals Schema
        The columns that ``score`` adds.
    key : sequence of str
        Ids, as Int64 or String, and moments.
    columns : sequence of str
        What ``score`` reads beside the key; nothing else is fetched.
    caller : str
        Named in errors.
    in_threads : bool
        Whether several threads may call ``score`` at once, each with OpenMP kept to itself: right for the models of
        this library. Not for a caller's classifier, which has its own threads: scikit-learn's forests warn of nothing.

    Returns
    -------
    dataframe of the kind that came in, sorted by ``key`` and, within it, by ``rank`` if ``schema`` has it
        On Spark nothing is computed before somebody asks, and then where the data live (crmlytics must be installed
        there). Elsewhere results are in memory; of lazy tables, features are not.

    Raises
    ------
    MissingColumnsError
        For a table without one of ``key``.
    SchemaError
        Where a key comes twice (Spark, which would have to look at all rows first, gives both back).
    """
    plan, engine = enter(native, caller=caller)
    plan = _needed(plan, key, columns, is_spark=engine.implementation in SPARK, caller=caller)
    by = [*key, *(name for name in ("rank",) if name in schema)]
    if engine.implementation in SPARK:
        from crmlytics._spark import map_batches

        return plan_of(map_batches(plan.to_native(), score, schema.to_arrow(), key=list(key))).sort(by).to_native()
    types = plan.collect_schema()
    schema = nw.Schema({name: types[name] for name in key} | dict(schema))
    computed = _computed(_batches(plan, engine), score, schema, in_threads=in_threads)
    computed = computed.sort_by([(name, "ascending") for name in by])
    _refuse_repeated(computed, by, caller=caller)
    return _handed_back(computed, engine)


# -- inside --------------------------------------------------------------------------------------------------------


def _needed(
    plan: nw.LazyFrame[Any], key: Sequence[str], columns: Sequence[str], *, is_spark: bool, caller: str
) -> nw.LazyFrame[Any]:
    """Return the columns asked for, keys as Int64, String or moments of microseconds."""
    there = columns_of(plan)
    for name in key:
        if name not in there:
            msg = f"{caller}: the table lacks its key {name!r}.{did_you_mean(name, there)} Columns: {there}"
            raise MissingColumnsError(msg)
    types = plan.collect_schema()
    keys = []
    for name in key:
        if types[name] == nw.Datetime and not is_spark:
            keys.append(nw.col(name).cast(nw.Datetime("us")))
        elif types[name].is_temporal():
            keys.append(nw.col(name))
        elif types[name].is_float():  # whole: that was seen to before
            keys.append(nw.col(name).cast(nw.Int64))
        else:
            keys.append(id_column(name, types[name], caller=caller))
    return plan.select(*keys, *(name for name in columns if name in there and name not in key))


def _computed(batches: Iterator[Any], score: Score, schema: nw.Schema, *, in_threads: bool) -> Any:
    """Return the scores of all batches as one Arrow table."""
    import pyarrow as pa

    types = schema.to_arrow()
    task = partial(_alone if in_threads else _scored, score, types)
    scored = _in_threads(task, batches) if in_threads else map(task, batches)
    return pa.concat_tables([types.empty_table(), *scored]).replace_schema_metadata(None)


def _scored(score: Score, types: Any, batch: Any) -> Any:
    """Return the scores of a batch as an Arrow table, a copy: its keys would keep the whole batch in memory."""
    import numpy as np
    import pyarrow as pa

    found = pa.Table.from_pandas(score(batch), types, preserve_index=False)
    return found.take(np.arange(len(found)))


def _alone(score: Score, types: Any, batch: Any) -> Any:
    """Score a batch in this thread only: on a busy machine, threads of OpenMP wait for each other for ever."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="openmp"):
        return _scored(score, types, batch)


def _in_threads(task: Callable[[Any], Any], parts: Iterable[Any]) -> Iterator[Any]:
    """Do a task on each part, in order; parts are asked for as threads become free."""
    from crmlytics._kernels.working import thread_count

    with ThreadPoolExecutor(thread_count()) as pool:
        running: deque[Future[Any]] = deque()
        try:
            for part in parts:
                running.append(pool.submit(task, part))
                if len(running) > thread_count():
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _refuse_repeated(in_order: Any, by: list[str], *, caller: str) -> None:
    import pyarrow.compute as pc

    before, after = in_order.select(by).slice(0, max(len(in_order) - 1, 0)), in_order.select(by).slice(1)
    repeated = after.filter(reduce(pc.and_, [pc.equal(before[name], after[name]) for name in by]))
    if len(repeated):
        shown = [", ".join(map(str, row.values())) for row in repeated.slice(0, SHOWN).to_pylist()]
        msg = f"{caller}: expected one row per {' and '.join(by)}, but {shown} appear more than once. Keep one of each."
        raise SchemaError(msg)


def _handed_back(computed: Any, engine: Engine) -> Any:
    backend: Any = engine.implementation
    if backend not in {Implementation.PANDAS, Implementation.POLARS}:
        backend = Implementation.PYARROW
    return engine.from_eager(nw.DataFrame.from_arrow(computed, backend=backend))


def _batches(plan: nw.LazyFrame[Any], engine: Engine) -> Iterator[Any]:
    """Yield the rows of a plan as pandas tables, never many at once where the engine has not got them in memory."""
    native = plan.to_native()
    if engine.implementation is Implementation.DUCKDB:
        import pandas as pd

        read = getattr(native, "to_arrow_reader", None) or native.fetch_arrow_reader  # its name before DuckDB 1.4
        for batch in read(BATCH_ROWS):
            yield batch.to_pandas(types_mapper=pd.ArrowDtype)
    elif engine.is_lazy:
        for batch in native.collect_batches(chunk_size=BATCH_ROWS):
            yield batch.to_pandas()
    else:
        table = plan.collect()
        for first in range(0, len(table), BATCH_ROWS):
            yield table[first : first + BATCH_ROWS].to_pandas().reset_index(drop=True)
