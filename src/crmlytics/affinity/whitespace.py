"""White space: which segments do not own the product lines that others own, and what that could be worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import narwhals.stable.v2 as nw
import numpy as np

from crmlytics._baskets import ITEM_ROLES
from crmlytics._binding import is_no_id
from crmlytics._frames import collect, to_pandas
from crmlytics._orders import gather
from crmlytics._plots import INK, MUTED, percent_axis, short_number
from crmlytics._plots import axes as new_axes
from crmlytics._segments import enter_segments
from crmlytics._validation import as_moment, check_choice, check_count, warn
from crmlytics.exceptions import MissingColumnsError, SchemaError
from crmlytics.tables import Transactions

if TYPE_CHECKING:
    import datetime as dt

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from crmlytics._frames import Engine

DARK = 0.55  # of the colour scale: needs white text


def whitespace_table(
    transactions: Transactions | Any,
    segments: Any,
    *,
    as_of: str | dt.date | dt.datetime,
    item: str = "category",
    benchmark: str = "best",
    min_customer_count: int = 30,
) -> Any:
    r"""Compare how many customers of each segment own each product line, and value what lacks to a benchmark.

    Parameters
    ----------
    transactions : Transactions or dataframe, one row per order line
        Needs ``customer_id``, ``timestamp``, ``amount`` and the column of ``item``. A customer owns something of a
        product line if they bought more than they returned, by ``quantity`` where known, else by ``amount``. Lines
        without a product line are left out. All that was bought before ``as_of`` counts: for what was bought within a
        year, give ``transactions.between(...)``.
    segments : dataframe of the same kind, one row per customer
        Needs ``customer_id`` and ``segment``, such as :meth:`~crmlytics.rfm.RFMSegmenter.score_table` makes them. A
        customer of a segment who bought nothing counts as one who owns nothing.
    as_of : date
        The moment up to which the data are known; lines on or after it are left out.
    item : {"category", "product_id", "channel", "partner_id"}, default "category"
        What a product line is.
    benchmark : {"best", "all"}
        ``"best"``: the segment with the largest share of owners of the product line, of those that have at least
        ``min_customer_count`` customers. ``"all"``: all customers who have a segment.
    min_customer_count : int, default 30
        The share of a smaller segment says too little to be a benchmark.

    Returns
    -------
    dataframe of the kind that came in, one row per segment and product line that some customer with a segment owns
        Sorted by ``potential_amount``, largest first, then by segment and product line.
        ``segment`` (String); ``category`` or what else ``item`` is (Int64 or String);
        ``customer_count`` (Int64, in the segment);
        ``owner_count`` (Int64, of them those who own something of the line, returns taken off);
        ``owning_share`` (Float64, ``owner_count / customer_count``);
        ``amount_per_owner`` (Float64, what the owners of the segment spent on the line, per owner, returns taken off;
        what all owners spent, where the segment has no owner);
        ``benchmark_share`` (Float64, the owning share of the benchmark);
        ``gap_count`` (Int64, >= 0, owners missing to the benchmark: ``benchmark_share * customer_count - owner_count``,
        rounded down to whole customers);
        ``potential_amount`` (Float64, >= 0, ``gap_count * amount_per_owner``, in the currency of ``amount``; 0 where
        owners got more back than they spent).

    Raises
    ------
    SchemaError
        When no line lies before ``as_of``, a customer has two segments, no customer with a segment bought anything, or
        no segment is large enough to be a benchmark.

    Warns
    -----
    DataQualityWarning
        When customers who bought have no segment: they are left out.

    Notes
    -----
    The potential is what the gap is worth at the benchmark, and no forecast: that one segment owns a product does not
    mean that another one wants it, and who does not own it yet may spend less than those who chose it. It ranks
    conversations; a trial campaign with a control group says what can be won.

    Examples
    --------
    >>> import pandas as pd
    >>> orders = pd.DataFrame({
    ...     "customer_id": [1, 2, 2, 3], "order_id": [1, 2, 2, 3], "category": ["phone", "phone", "case", "phone"],
    ...     "amount": [300.0, 500.0, 20.0, 400.0], "timestamp": pd.to_datetime(["2024-01-01"] * 4),
    ... })
    >>> segments = pd.DataFrame({"customer_id": [1, 2, 3, 4], "segment": ["new", "loyal", "new", "new"]})
    >>> table = whitespace_table(orders, segments, as_of="2024-02-01", min_customer_count=1)
    >>> table[["segment", "category", "owning_share", "benchmark_share", "gap_count", "potential_amount"]].round(2)
      segment category  owning_share  benchmark_share  gap_count  potential_amount
    0     new    phone          0.67              1.0          1             350.0
    1     new     case          0.00              1.0          3              60.0
    2   loyal     case          1.00              1.0          0               0.0
    3   loyal    phone          1.00              1.0          0               0.0
    """
    caller = "whitespace_table"
    check_choice(item, ITEM_ROLES, name="item", caller=caller)
    check_choice(benchmark, ["best", "all"], name="benchmark", caller=caller)
    least = check_count(min_customer_count, name="min_customer_count", caller=caller)
    moment = as_moment(as_of, caller=caller)
    table = Transactions.bind(transactions)
    units = [role for role in ("quantity",) if table.has(role)]
    lines = table.before(moment).need("customer_id", item, "amount", *units, caller=caller)
    segmented = enter_segments(segments, table, caller=caller)
    _warn_of_customers_without(lines, segmented, moment, caller=caller)
    customers = collect(segmented.group_by("segment").agg(customers=nw.len()).sort("segment"))
    cells = (
        _owned(lines.filter(~is_no_id(item, lines.collect_schema()[item])), item)
        .join(segmented, on="customer_id", how="inner")
        .group_by("segment", item)
        .agg(owners=nw.len(), amount=nw.col("spent").sum())
    )
    grid = _Grid(customers, collect(cells), item)
    if not len(grid.items):
        msg = f"{caller}: no customer with a segment owns a {item} before {moment}. Compare the ids of both tables."
        raise SchemaError(msg)
    return grid.table(grid.benchmark(benchmark, least, caller=caller), table.engine)


def plot_whitespace(table: Any, *, ax: Axes | None = None) -> Axes:
    """Draw who owns what, segment by product line: shaded by the share of owners, with the potential written in.

    Parameters
    ----------
    table : dataframe
        As :func:`whitespace_table` makes it; filter it first when it has more product lines than fit.
    ax : Axes, optional
        Where to draw; a new figure if not given.

    Returns
    -------
    Axes
    """
    caller = "plot_whitespace"
    cells = to_pandas(table, caller=caller)
    item = next((name for name in ITEM_ROLES if name in cells), None)
    if item is None or not {"segment", "owning_share", "potential_amount"} <= set(cells):
        msg = f"{caller} needs a table as whitespace_table makes it, got the columns {list(cells)}."
        raise MissingColumnsError(msg)
    shares = cells.pivot_table(index=item, columns="segment", values="owning_share")
    shares = shares.loc[shares.mean(axis=1).sort_values(ascending=False, kind="stable").index]
    potential = cells.pivot_table(index=item, columns="segment", values="potential_amount")
    potential = potential.reindex(index=shares.index, columns=shares.columns).to_numpy(dtype=float)
    ax = new_axes(ax, size=(2.5 + 1.1 * shares.shape[1], 1.5 + 0.4 * shares.shape[0]))
    image = ax.imshow(shares.to_numpy(dtype=float), cmap="Blues", vmin=0, aspect="auto")
    _write_potential(ax, potential, image)
    ax.set_xticks(range(shares.shape[1]), list(map(str, shares.columns)), rotation=30, ha="right")
    ax.set_yticks(range(shares.shape[0]), list(map(str, shares.index)))
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    bar = ax.figure.colorbar(image, ax=ax)
    percent_axis(bar.ax.yaxis, decimals=0)
    bar.outline.set_visible(False)
    bar.set_label("share of customers who own it", color=MUTED)
    ax.set_title("Share of owners, and the potential to the benchmark", loc="left", fontsize=11)
    return ax


# -- inside --------------------------------------------------------------------------------------------------------


class _Grid:
    """Segments by product lines, as arrays: customers (segments,), owners and amounts (segments, items)."""

    def __init__(self, customers: nw.DataFrame[Any], cells: nw.DataFrame[Any], item: str) -> None:
        self.item = item
        self.segments = customers["segment"].to_list()
        self.items = sorted(set(cells[item].to_list()))
        self.customers: NDArray[np.int64] = np.array(customers["customers"].to_list(), np.int64)
        self.owners = np.zeros((len(self.segments), len(self.items)), np.int64)
        self.amounts = np.zeros(self.owners.shape)
        rows = {segment: row for row, segment in enumerate(self.segments)}
        columns = {name: column for column, name in enumerate(self.items)}
        at = ([rows[name] for name in cells["segment"].to_list()], [columns[name] for name in cells[item].to_list()])
        self.owners[at] = cells["owners"].to_list()
        self.amounts[at] = cells["amount"].to_list()

    def benchmark(self, kind: str, least: int, *, caller: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the owners and the customers of the benchmark of each item, shape (items,): a share as a fraction."""
        if kind == "all":
            return self.owners.sum(axis=0), np.full(len(self.items), self.customers.sum())
        large = np.flatnonzero(self.customers >= least)
        if not len(large):
            msg = (
                f"{caller}: no segment has the {least} customers that a benchmark needs, the largest has "
                f'{self.customers.max()}. Take all customers (benchmark="all"), or a smaller min_customer_count.'
            )
            raise SchemaError(msg)
        best = large[np.argmax(self.owners[large] / self.customers[large, None], axis=0)]
        return self.owners[best, range(len(self.items))], self.customers[best]

    def table(self, benchmark: tuple[NDArray[np.int64], NDArray[np.int64]], engine: Engine) -> Any:
        """Return one row per cell, the largest potential first."""
        best_owners, best_customers = benchmark
        customers = np.broadcast_to(self.customers[:, None], self.owners.shape)
        gap = np.maximum(best_owners * customers // best_customers - self.owners, 0)  # exact, in whole numbers
        overall = np.broadcast_to(self.amounts.sum(axis=0) / self.owners.sum(axis=0), self.owners.shape)
        per_owner = np.where(self.owners > 0, self.amounts / np.maximum(self.owners, 1), overall)
        potential = gap * np.maximum(per_owner, 0)
        row, column = (index.ravel() for index in np.indices(self.owners.shape))
        # rounded: sums of the same lines differ in their last digits by the order of the lines
        order = np.lexsort((column, row, -potential.ravel().round(6)))
        numbers = {
            "customer_count": customers,
            "owner_count": self.owners,
            "owning_share": self.owners / customers,
            "amount_per_owner": per_owner,
            "benchmark_share": np.broadcast_to(best_owners / best_customers, self.owners.shape),
            "gap_count": gap,
            "potential_amount": potential,
        }
        columns: dict[str, Any] = {
            "segment": [self.segments[i] for i in row[order]],
            self.item: [self.items[i] for i in column[order]],
            **{name: values.ravel()[order] for name, values in numbers.items()},
        }
        item_kind = nw.String() if isinstance(self.items[0], str) else nw.Int64()
        kinds = {name: nw.Int64() if name.endswith("_count") else nw.Float64() for name in numbers}
        return engine.from_columns(columns, nw.Schema({"segment": nw.String(), self.item: item_kind, **kinds}))


def _owned(lines: nw.LazyFrame[Any], item: str) -> nw.LazyFrame[Any]:
    """Return one row per customer and product line owned, with ``spent``: sent back for less money is sent back."""
    is_counted = "quantity" in lines.collect_schema().names()
    units = nw.col("quantity").cast(nw.Float64).fill_null(0) if is_counted else nw.col("amount")
    lines = lines.with_columns(_paid=nw.col("amount"), amount=units)
    return gather(lines, "customer_id", item, spent=nw.col("_paid").sum()).filter(nw.col("is_order") == 1)


def _warn_of_customers_without(
    lines: nw.LazyFrame[Any], segmented: nw.LazyFrame[Any], moment: dt.datetime, *, caller: str
) -> None:
    buyers = lines.select("customer_id").unique()
    bought = collect(buyers.select(customers=nw.len())).row(0)[0]
    if not bought:
        raise SchemaError(f"{caller}: no line lies before as_of={moment:%Y-%m-%d %H:%M}. Check as_of and the data.")
    without = collect(buyers.join(segmented, on="customer_id", how="anti").select(customers=nw.len())).row(0)[0]
    if without:
        msg = f"{caller}: {without:,} of {bought:,} customers with lines before {moment} have no segment: left out."
        warn(msg)


def _write_potential(ax: Axes, potential: NDArray[np.float64], image: Any) -> None:
    shade = image.norm(image.get_array())
    for i, j in np.argwhere(potential > 0):
        colour = "white" if shade[i, j] > DARK else INK
        ax.text(j, i, short_number(potential[i, j]), ha="center", va="center", color=colour, fontsize=9)
