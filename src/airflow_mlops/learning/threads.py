"""How many threads a computation may use, how busy the machine is, and how to wait for a thread that computes."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, contextmanager
from contextvars import copy_context
from threading import Thread
from time import monotonic
from typing import TypeVar

log = logging.getLogger(__name__)


T = TypeVar("T")

_LOGGED_EVERY = 30.0  # seconds
_LONGEST_REMARK = 300  # characters


def per_fit(side_by_side: int = 1) -> int:
    """Return how many threads one of several fits may use, by the processors that this task is allowed."""
    from joblib import cpu_count

    return max(1, int(cpu_count()) // side_by_side)


def load() -> str:
    """Return how busy this machine is, for the message of a limit of time that was missed."""
    return f"the load of this machine is {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"


def bounded(count: int) -> AbstractContextManager[object]:
    """Limit the threads of linear algebra for the whole process, around all fits that run at the same time.

    Its libraries have one limit for the whole process, so parallel fits cannot each set their own; and OpenBLAS obeys
    it only if the main thread sets it.
    """
    import scipy.linalg  # noqa: F401 – only libraries that are loaded can be bounded
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(count, user_api="blas")
    return limits


def waited(work: Callable[[], T], what: str) -> T:
    """Run work in a thread and wait for it, with a line in the log every 30 seconds.

    The main thread stays free to be interrupted: Python handles signals in that thread alone, and only between two
    instructions of its own, while a long fit may be one instruction.

    Code that uses OpenMP must run within such work, not beside it: OpenMP keeps its threads for the thread that used
    them, and once they are more than the processors, each parallel loop takes nearly twice as long. For the same reason
    nothing else runs meanwhile: two pieces of work at once would be slower than one after the other.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as error:  # noqa: BLE001 – it is raised again in the thread that waits
            done.set_exception(error)

    # A daemon, so that a process that was told to end does not wait for it.
    Thread(target=copy_context().run, args=(run,), name="fit", daemon=True).start()
    began = monotonic()
    while True:
        try:
            return done.result(_LOGGED_EVERY)
        except TimeoutError:
            if done.done():
                raise
            log.info("%s: %.0f s so far.", what, monotonic() - began)


@contextmanager
def remarks() -> Iterator[list[str]]:
    """Collect the warnings of libraries, each once; the list is filled when the context ends.

    Python records warnings for the whole process, so only one thread may use this at a time: the main one, around work
    in other threads.
    """
    collected: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warnings.simplefilter("ignore", DeprecationWarning)
        yield collected
    texts = (" ".join(str(warning.message).split()) for warning in caught)
    collected += dict.fromkeys(text[:_LONGEST_REMARK] for text in texts)
