"""Call a function in a child process that is ended at a limit of processor time: a regular expression lets nothing else do that."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from airflow_mlops.exceptions import MachineBusy

# As many times the processor time may pass on a wall: a machine that is that busy does nothing in time.
_PATIENCE = 10


class Ended(NamedTuple):
    """How a child process ended.

    :param value: what the function returned; None if there is a problem.
    :param problem: why there is no value, in words; None if there is one.
    """

    value: Any
    problem: str | None = None


def call(function: Callable[[], Any], seconds: float) -> Ended:
    """Return what a function returns that is called in a fork of this process, which has all that was imported and read.

    :param function: raises nothing, and returns what can be sent to another process.
    :param seconds: most processor time that the child may use.
    :raises MachineBusy: if the child did not get that much processor time within ten times as long.
    """
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=_run, args=(function, sender, seconds))
    child.start()
    sender.close()
    try:
        if not receiver.poll(_PATIENCE * seconds):
            raise MachineBusy(_busy(seconds))
        return Ended(receiver.recv())
    except EOFError:
        child.join()
        return Ended(None, _ending(child.exitcode, seconds))
    finally:
        # Also when this process is told to stop.
        child.kill()
        child.join()
        receiver.close()


def _run(function: Callable[[], Any], sender: Connection, seconds: float) -> None:
    # What the process that was forked does on these is not for a child to do.
    for number in (signal.SIGPROF, signal.SIGALRM, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    # If the parent process is killed, nobody else ends this one.
    signal.setitimer(signal.ITIMER_REAL, _PATIENCE * seconds + 5)
    sender.send(function())
    # Arrow's threads, which a fork lacks, sometimes hold up a process that exits normally.
    os._exit(0)


def _ending(code: int | None, seconds: float) -> str:
    if code == -signal.SIGPROF:
        return f"it took more than {seconds:.3g} s of processor time"
    if code is not None and code < 0:
        return f"its process was ended by {signal.Signals(-code).name}"
    return f"its process ended with code {code}"


def _busy(seconds: float) -> str:
    load = f"{os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    return (
        f"In {_PATIENCE * seconds:.3g} s an expectation was not evaluated, nor did it use up the {seconds:.3g} s of processor time that "
        f"it may take: the load of this machine is {load}. That says nothing about the data; try again when it is less busy."
    )
