"""What benchmarks share: processor seconds and peak memory of one run, and peers that may be absent."""

import ctypes
import gc
import importlib
import time
from pathlib import Path

import pyarrow as pa


def measure(run):
    """Return what a function returns, its processor seconds, and the peak of memory above what was there, in MB."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # or what was freed before would be used again, and not be counted
    pa.default_memory_pool().release_unused()
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    before, start = memory("VmRSS"), time.process_time()
    found = run()
    return found, time.process_time() - start, memory("VmHWM") - before


def memory(what):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(what)) / 1e3


def peer(name):
    try:
        return importlib.import_module(name)
    except ImportError:
        print(f"({name} is not installed)")
