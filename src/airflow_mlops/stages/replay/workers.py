"""Processes of a replay: each takes one task after the other."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Protocol

Tell = Callable[[], None]
"""Called whenever a task has ended."""


class Pool(Protocol):
    """Something that runs functions, here or elsewhere."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Begin to run a function, and return a future of its return value."""
        ...


@contextmanager
def pool(jobs: int, folders: Sequence[str] = ()) -> Iterator[Pool]:
    """Open a pool; when an error ends it, tasks that have not begun are dropped.

    :param jobs: number of processes; 1 runs everything in this process.
    :param folders: where candidates and transforms are imported from, besides what is installed.
    """
    if jobs == 1:
        yield _Here()
        return
    import multiprocessing

    # Never fork: a process that is forked from one whose OpenMP has run hangs or crashes.
    context = multiprocessing.get_context("spawn")
    opened = ProcessPoolExecutor(jobs, context, _begin, (jobs, tuple(folders), context.Value("i", 0)))
    try:
        yield opened
    finally:
        opened.shutdown(cancel_futures=True)


class _Here:
    """A pool that runs everything in this process, at once."""

    def submit(self, function: Callable[..., Any], /, *arguments: Any) -> Future[Any]:
        """Run a function at once."""
        future: Future[Any] = Future()
        future.set_result(function(*arguments))
        return future


def _begin(jobs: int, folders: Sequence[str], counter: Any) -> None:
    """Prepare a process: where it imports from, and its own share of the processors."""
    sys.path.extend(folder for folder in folders if folder not in sys.path)
    if not hasattr(os, "sched_setaffinity"):
        return
    with counter.get_lock():
        place, counter.value = counter.value, counter.value + 1
    # Threads of several processes on the same processors wait for each other.
    if mine := sorted(os.sched_getaffinity(0))[place % jobs :: jobs]:
        os.sched_setaffinity(0, mine)


def every(
    pool: Pool, function: Callable[..., Any], cases: Sequence[tuple[Any, ...]], tell: Tell
) -> list[Any]:
    """Call a function with the arguments of each case, and return its return values in the order of the cases."""
    futures = [pool.submit(function, *case) for case in cases]
    left = set(futures)
    while left:
        done, left = wait(left, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
            tell()
    return [future.result() for future in futures]
