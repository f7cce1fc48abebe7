"""Affinity analysis against its peers, as ratios measured in one run on the same tables.

Needs ``pip install pyfim rusket mlxtend duckdb``; a peer that is not installed is left out. Run with
``python benchmarks/affinity.py <folder of T10I4D100K.dat and mushroom.dat> [--journey transactions.parquet]``.

Every call starts from the same long table of order lines, the form in which such data come, and ends with a table or a
list of patterns. "lists given" is a peer's time without turning the table into lists, the form that it takes.
"""

import argparse
import importlib
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from _measured import peer

from crmlytics.affinity import RuleRecommender, association_rules, frequent_itemsets

REPEATS = 5
LINES, BASKETS, ITEMS = 10_000_000, 1_000_000, 20_000


def read(path):
    baskets = [line.split() for line in Path(path).read_text().splitlines() if line.strip()]
    numbers = np.repeat(np.arange(len(baskets)), [len(basket) for basket in baskets])
    return pd.DataFrame({"order_id": numbers, "product_id": np.concatenate([np.array(b, np.int64) for b in baskets])})


def as_lists(lines):
    ends = np.flatnonzero(np.diff(lines["order_id"].to_numpy())) + 1
    return [part.tolist() for part in np.split(lines["product_id"].to_numpy(), ends)]


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


def benchmark_itemsets(name, lines, min_count):
    fim, rusket = peer("fim"), peer("rusket")
    ours, itemsets = median(lambda: frequent_itemsets(lines, min_count).to_frame())
    theirs = {}
    if fim:
        lists = as_lists(lines)
        for miner in ("eclat", "fpgrowth"):
            mine = getattr(fim, miner)
            theirs[f"pyfim {miner}"], found = median(lambda m=mine: m(as_lists(lines), supp=-min_count, report="a"))
            theirs[f"pyfim {miner}, lists given"], _ = median(lambda m=mine: m(lists, supp=-min_count, report="a"))
        assert len(itemsets) - len(found) in {0, 1}  # the item in every basket is a set to us, the empty one to pyfim
    if rusket:
        share = (min_count - 0.5) / lines["order_id"].nunique()

        def mine_rusket():
            table = rusket.from_transactions(lines, transaction_col="order_id", item_col="product_id")
            return rusket.fpgrowth(table, min_support=share, use_colnames=True)

        theirs["rusket fpgrowth"], _ = median(mine_rusket, 3)
    show(f"itemsets, {name}, support {min_count} ({len(itemsets):,})", ours, theirs)


def benchmark_mlxtend(lines, min_count):
    frequent_patterns = importlib.import_module("mlxtend.frequent_patterns")
    one_hot = pd.crosstab(lines["order_id"], lines["product_id"]).astype(bool)
    ours, _ = median(lambda: frequent_itemsets(lines, min_count).to_frame())
    share = min_count / len(one_hot)
    theirs, found = median(lambda: frequent_patterns.fpgrowth(one_hot, min_support=share, use_colnames=True), 1)
    show(f"itemsets, T10I4D100K, support {min_count}", ours, {"mlxtend fpgrowth, one-hot given": theirs})
    itemsets = frequent_itemsets(lines, min_count)
    ours, rules = median(lambda: association_rules(itemsets, min_confidence=0.1, max_consequent_len=99))
    with_table, _ = median(rules.to_frame)
    with warnings.catch_warnings(action="ignore"):
        theirs, table = median(
            lambda: frequent_patterns.association_rules(found, num_itemsets=len(one_hot), min_threshold=0.1), 1
        )
    assert len(rules) == len(table)
    show(f"rules ({len(rules):,})", ours, {"mlxtend association_rules": theirs})
    show(f"rules ({len(rules):,}), as a table with measures", ours + with_table, {"mlxtend association_rules": theirs})


def benchmark_recommender(lines, min_count):
    rules = association_rules(frequent_itemsets(lines, min_count), min_confidence=0.1, max_consequent_len=99)
    recommender = RuleRecommender().fit(rules)
    ours, table = median(lambda: recommender.recommend(lines, n=5))
    print(
        f"top 5 for {lines['order_id'].nunique():,} carts against {len(rules):,} rules: {ours:.2f} s ({len(table):,})"
    )


def benchmark_pairs(min_count):
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, ITEMS + 1) ** 0.8
    lines = pd.DataFrame({
        "order_id": np.sort(rng.integers(0, BASKETS, LINES)),
        "product_id": rng.choice(ITEMS, LINES, p=popularity / popularity.sum()),
    }).drop_duplicates(ignore_index=True)  # fmt: skip
    ours, itemsets = median(lambda: frequent_itemsets(lines, min_count, max_len=2, min_len=2).to_frame(), 3)
    database = peer("duckdb").connect()
    database.register("lines", lines)
    query = f"""select a.product_id, b.product_id, count(*) from lines a join lines b
        on a.order_id = b.order_id and a.product_id < b.product_id group by all having count(*) >= {min_count}"""
    theirs, pairs = median(lambda: database.sql(query).fetchnumpy(), 3)
    assert len(pairs["product_id"]) == len(itemsets)
    show(f"pairs in {len(lines):,} lines ({len(itemsets):,})", ours, {"DuckDB self join": theirs})


def benchmark_memory(lines):
    """Peak memory of a process that mines T10I4D100K at support 10, libraries included and above them (Linux)."""
    ours = "from crmlytics.affinity import frequent_itemsets; answer = frequent_itemsets(lines, 10).to_frame()"
    theirs = (
        "import rusket; t = rusket.from_transactions(lines, transaction_col='order_id', item_col='product_id');"
        "answer = rusket.fpgrowth(t, min_support=9.5 / 100_000, use_colnames=True)"
    )
    for name, code in {"crmlytics": ours, "rusket": theirs}.items():
        before, mined = (peak_kilobytes(lines, part) / 1e3 for part in (f"import {name}", code))
        print(f"memory, T10I4D100K, support 10: {name} {mined:.0f} MB, {mined - before:.0f} MB above its import")


def peak_kilobytes(lines, code):
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "lines.npy", lines.to_numpy())
        program = PEAK.format(file=Path(folder) / "lines.npy", code=code)
        return int(subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout)


PEAK = """
import numpy as np
import pandas as pd
import pyarrow.compute
lines = pd.DataFrame(np.load("{file}"), columns=["order_id", "product_id"])
{code}
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="where T10I4D100K.dat and mushroom.dat lie")
    parser.add_argument("--journey", type=Path, help="order lines of the whole Complete Journey")
    options = parser.parse_args()
    mushroom, baskets = (read(options.folder / name) for name in ("mushroom.dat", "T10I4D100K.dat"))
    benchmark_itemsets("T10I4D100K", baskets, 100)
    benchmark_itemsets("T10I4D100K", baskets, 10)
    benchmark_itemsets("mushroom", mushroom, 1625)
    benchmark_itemsets("mushroom", mushroom, 813)
    if options.journey:
        lines = pd.read_parquet(options.journey, columns=["basket_id", "product_id"])
        lines = lines.rename(columns={"basket_id": "order_id"}).sort_values("order_id", ignore_index=True)
        benchmark_itemsets("Complete Journey", lines.drop_duplicates(ignore_index=True), 156)
    benchmark_mlxtend(baskets, 100)
    benchmark_recommender(baskets, 100)
    benchmark_pairs(100)
    benchmark_memory(baskets)


if __name__ == "__main__":
    main()
