"""Runs in processes of their own, as Airflow's tasks are."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any


def warm(modules: Sequence[str]) -> BaseContext:
    """Return a context whose processes are forked from one that has imported modules but run nothing of them.

    :param modules: those of one benchmark, as only the first call in a process has an effect.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(modules))
    return context


def apart(context: BaseContext, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function in a new process, and return what it returns or raise what it raises."""
    answers, answer = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(answer, function, *arguments))  # type: ignore[attr-defined]
    process.start()
    answer.close()
    reply = answers.recv()
    process.join()
    if isinstance(reply, BaseException):
        raise reply
    return reply


def _answer(answer: Connection, function: Callable[..., Any], *arguments: Any) -> None:
    try:
        answer.send(function(*arguments))
    except Exception as error:  # noqa: BLE001 - raised again by the process that called
        answer.send(error)
