"""Sequential patterns against a peer, as ratios measured in one run on the same table.

Needs ``pip install rusket``; without it only our times are shown. Run with ``python benchmarks/sequences.py
<folder of bike_sequences.txt> [--journey transactions.parquet products.parquet]``.

"from the table" begins with one row per event or order line, the form in which such data come, and ends with the
patterns as a table; "from arrays" begins with what the miner takes and ends with what it returns.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import pandas as pd
from _measured import peer

from crmlytics._kernels.sequences import Question, mine
from crmlytics._sequences import read_event_sequences, read_sequences
from crmlytics.sequences import frequent_sequences
from crmlytics.tables import Transactions

REPEATS = 7
ROOM = 2 * 10**9
NO_CATEGORY = "COUPON/MISC ITEMS"


def read_bike(path):
    """One row per visit: the line in the file, the place in the line as a moment, the station."""
    visits = [line.split(" -1 ")[:-1] for line in Path(path).read_text().splitlines() if line.strip()]
    sizes = [len(stations) for stations in visits]
    seconds = np.concatenate([np.arange(size) for size in sizes])
    return pd.DataFrame({
        "customer_id": np.repeat(np.arange(len(visits)), sizes),
        "timestamp": pd.Timestamp("2024-01-01") + pd.to_timedelta(seconds, unit="s"),
        "event": np.concatenate(visits).astype(np.int64),
    })  # fmt: skip


def read_journey(lines, products):
    categories = pd.read_parquet(products, columns=["product_id", "product_category"])
    lines = pd.read_parquet(lines).merge(categories, on="product_id").dropna(subset="product_category")
    lines = lines[lines["product_category"] != NO_CATEGORY].reset_index(drop=True)
    return Transactions(
        lines,
        customer_id="household_id",
        order_id="basket_id",
        timestamp="transaction_timestamp",
        category="product_category",
    )


def median(run, repeats=REPEATS):
    """Median of a few runs after a first one that compiles and warms up, in seconds, and the last answer."""
    answer = run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        answer = run()
        times.append(time.perf_counter() - start)
    return float(np.median(times)), answer


def show(what, ours, theirs):
    print(f"{what}: ours {ours:.3f} s")
    for name, seconds in theirs.items():
        print(f"    {name:<34} {seconds:8.3f} s   {seconds / ours:6.1f} x ours")


def benchmark_bike(visits, min_count):
    rusket = peer("rusket")
    sequences = read_event_sequences(visits, item="event", by="customer_id", caller="benchmark")
    from_table, patterns = median(lambda: frequent_sequences(visits, min_count).to_frame())
    from_arrays, tree = median(lambda: mine(sequences, Question(min_count), max_bytes=ROOM))
    assert len(patterns) == len(tree)
    tables, arrays = {}, {}
    if rusket:
        roles = {"user_col": "customer_id", "time_col": "timestamp", "item_col": "event"}

        def mine_rusket():
            return rusket.PrefixSpan.from_transactions(visits, min_support=min_count, **roles).mine()

        tables["rusket"], found = median(mine_rusket)
        assert len(found) == len(tree)
        given = rusket.PrefixSpan((sequences.starts.astype(np.uintp), sequences.items.astype(np.uint32)), min_count)
        arrays["rusket, and its table"], _ = median(given.mine)
        lists = [part.tolist() for part in np.split(sequences.items, sequences.starts[1:-1])]
        arrays["rusket, lists given, and its table"], _ = median(rusket.PrefixSpan(lists, min_count).mine)
    show(f"BIKE, support {min_count} ({len(tree):,} patterns), from the table", from_table, tables)
    show(f"BIKE, support {min_count}, from arrays", from_arrays, arrays)


def benchmark_journey(journey, min_count):
    """Days as elements, categories as items; arulesSequences needed 5.5 s at support 1500 where it was tried."""
    sequences = read_sequences(journey, item="category", element="day", caller="benchmark")
    show_what = f"Complete Journey, {len(sequences):,} households, support {min_count}"
    from_arrays, tree = median(lambda: mine(sequences, Question(min_count), max_bytes=ROOM))
    show(f"{show_what} ({len(tree):,} patterns), from arrays", from_arrays, {})
    from_table, _ = median(lambda: frequent_sequences(journey, min_count, item="category").to_frame(), 3)
    show(f"{show_what}, from the table", from_table, {})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where bike_sequences.txt lies")
    parser.add_argument("--journey", type=Path, nargs=2, help="order lines of the whole Complete Journey, and products")
    options = parser.parse_args()
    benchmark_bike(read_bike(options.folder / "bike_sequences.txt"), 21)
    if options.journey:
        journey = read_journey(*options.journey)
        benchmark_journey(journey, 1500)
        benchmark_journey(journey, 1400)


if __name__ == "__main__":
    main()
