"""Threads of what computes: how many, and how they are waited for."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from threading import Thread
from time import monotonic
from typing import TypeVar

log = logging.getLogger(__name__)


T = TypeVar("T")

_TOLD_EVERY = 30.0  # seconds
_LONGEST_REMARK = 300  # characters


def per_fit(side_by_side: int = 1) -> int:
    """Return how many threads one of several fits may use, by the processors that this task is allowed."""
    from joblib import cpu_count

    return max(1, int(cpu_count()) // side_by_side)


def bounded(count: int) -> AbstractContextManager[object]:
    """Bound the threads of linear algebra for the whole process, around all fits that go on at a time.

    Its libraries have one limit for all threads, so fits beside each other cannot set it each for itself; and OpenBLAS hears
    of it from the main thread only.
    """
    import scipy.linalg  # noqa: F401 – only libraries that are loaded can be bounded
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(count, user_api="blas")
    return limits


def waited(work: Callable[[], T], what: str) -> T:
    """Do work in a thread and wait for it, with a line in the log every 30 seconds.

    The main thread stays free to be interrupted: a signal to a process is handled by that thread alone, and only between
    two steps of Python, of which a long fit may have none.

    Whatever uses OpenMP belongs into such work, and not beside it: its threads stay with the thread that has used them, and
    once there are more of them than processors, each of their loops takes nearly twice as long. For the same reason nothing
    else is done meanwhile: both would be slower than one after the other.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 – it is raised again where the result is awaited
            done.set_exception(error)

    # A daemon, so that a process that was told to end does not wait for it.
    Thread(target=run, name="fit", daemon=True).start()
    began = monotonic()
    while True:
        try:
            return done.result(_TOLD_EVERY)
        except TimeoutError:
            if done.done():
                raise
            log.info("%s: %.0f s so far.", what, monotonic() - began)


@contextmanager
def remarks() -> Iterator[list[str]]:
    """Collect what libraries warn of, once each; the list is filled when the context ends.

    Only for one thread at a time, as Python's warnings are: the main one, around work in others.
    """
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)
        yield found
    texts = (" ".join(str(warning.message).split()) for warning in caught)
    found += dict.fromkeys(text[:_LONGEST_REMARK] for text in texts)
