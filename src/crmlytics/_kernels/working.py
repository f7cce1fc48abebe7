"""Long work in threads: shown when it lasts, ended by Ctrl-C, kept within its memory.

A compiled task looks at its :class:`Controls`, arrays that the threads share with whoever waits for them.
"""

from __future__ import annotations

import os
import warnings
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Future

    from numpy.typing import NDArray

QUIET_SECONDS = 2.0  # shorter work shows no progress
LOOK_EVERY_SECONDS = 0.1
GO, STOP, FULL = 0, 1, 2
PARTS_A_THREAD = 32
P = TypeVar("P")
R = TypeVar("R")


class Controls(NamedTuple):
    """What the threads of one piece of work share.

    Attributes
    ----------
    signal : int64 array, shape (1,)
        GO; STOP when whoever waits gave up; FULL when a task found no more room.
    done : int64 array, shape (tasks,)
        Steps done, for the progress bar.
    held : int64 array, shape (tasks, 2)
        Bytes that each task holds, for its results and for its work.
    room : int64 array, shape (1,)
        Bytes that all tasks together may hold.
    """

    signal: NDArray[np.int64]
    done: NDArray[np.int64]
    held: NDArray[np.int64]
    room: NDArray[np.int64]


def controls(tasks: int, room: int) -> Controls:
    """Return the controls of work that may begin."""
    return Controls(np.zeros(1, np.int64), np.zeros(tasks, np.int64), np.zeros((tasks, 2), np.int64), np.array([room]))


def thread_count() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def run(tasks: Sequence[Callable[[], R]], shared: Controls, *, steps: int, label: str) -> list[R]:
    """Run tasks in threads and return what they return, in order; Ctrl-C stops them and is raised."""
    with ThreadPoolExecutor(thread_count()) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            _watch(futures, shared, steps=steps, label=label)
        except BaseException:
            shared.signal[0] = STOP
            pool.shutdown(cancel_futures=True)
            raise
        return [future.result() for future in futures]


@contextmanager
def own_warnings() -> Iterator[None]:
    """Keep the warning filters, which scikit-learn empties for a moment in each thread: threads put back each other's.

    What it says of finding them empty is not for the caller.
    """
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        yield
    for one in said:
        if "sklearn.utils.parallel" not in str(one.message):
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)


def in_parts(task: Callable[[P], R], parts: Sequence[P], *, label: str) -> list[R]:
    """Run a task on each part of its work. Ctrl-C waits for the parts that run: make them many and short."""
    shared = controls(len(parts), 0)

    def one(number: int) -> R:
        answer = task(parts[number])
        shared.done[number] = 1
        return answer

    return run([partial(one, number) for number in range(len(parts))], shared, steps=len(parts), label=label)


def _watch(futures: list[Future[Any]], shared: Controls, *, steps: int, label: str) -> None:
    _, running = wait(futures, timeout=QUIET_SECONDS, return_when=FIRST_EXCEPTION)
    if not running:
        return
    with warnings.catch_warnings(action="ignore"):  # in a notebook without ipywidgets it complains, and does its work
        from tqdm.auto import tqdm

    with tqdm(total=steps, desc=label, unit="item", disable=None, leave=False) as bar:
        while running:
            done = int(shared.done.sum())
            bar.update(done - bar.n)
            finished, running = wait(futures, timeout=LOOK_EVERY_SECONDS, return_when=FIRST_EXCEPTION)
            if any(future.exception() for future in finished):
                return
