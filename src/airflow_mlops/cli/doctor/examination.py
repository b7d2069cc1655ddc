"""A check in a process of its own: whatever it runs into, the doctor says so and goes on."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

from airflow_mlops.cli.doctor.diagnosis import Diagnosis, failed, unexpected


class Examination(NamedTuple):
    """Something to look at.

    :param look: returns what it sees, one diagnosis or more.
    :param seconds: after which it is given up.
    """

    name: str
    look: Callable[[], Sequence[Diagnosis]]
    seconds: float


def examine(check: Examination) -> list[Diagnosis]:
    """Return what a check sees; an error, a crash or a limit of time that was missed is a diagnosis too.

    A thread would not do: some libraries hold the interpreter while they wait for a server.
    """
    context = get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(check, reader, writer))
    with warnings.catch_warnings():
        # Python warns of threads, which a fork does not copy; nothing here has started any that the check needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    writer.close()
    try:
        if not reader.poll(check.seconds):
            return [_late(check)]
        return [Diagnosis.from_dict(fields) for fields in json.loads(reader.recv_bytes())]
    except EOFError:
        process.join(1)
        return [_crashed(check, process.exitcode)]
    finally:
        process.kill()
        process.join()
        reader.close()


def _answer(check: Examination, reader: Connection, writer: Connection) -> None:
    reader.close()
    _detach()
    try:
        diagnoses = list(check.look())
    except BaseException as error:  # noqa: BLE001 - also what libraries end a process with
        diagnoses = [unexpected(check.name, error)]
    writer.send_bytes(json.dumps([_without_secrets(diagnosis) for diagnosis in diagnoses]).encode())


def _detach() -> None:
    """Keep what libraries print away from the report, and leave the parent's connections to the database alone."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    sys.stdout = sys.stderr = os.fdopen(nowhere, "w")
    from airflow import settings

    if settings.engine is not None:
        settings.engine.dispose(close=False)


def _without_secrets(diagnosis: Diagnosis) -> dict[str, str]:
    from airflow.sdk.log import redact  # type: ignore[attr-defined]

    from airflow_mlops.domain.addresses import shown

    return {name: str(redact(shown(text))) for name, text in diagnosis.to_dict().items()}


def _late(check: Examination) -> Diagnosis:
    return failed(
        check.name,
        f"There was no answer within {check.seconds:.0f} s",
        "What it looks at hangs, or this machine is very busy; tasks would wait for it alike",
        "see whether the server, the disk or the database behind it answers, and run the doctor again",
    )


def _crashed(check: Examination, code: int | None) -> Diagnosis:
    return failed(
        check.name,
        f"The process of the check ended with code {code}",
        "A library crashed, or the machine had no memory left; a task would end in the same way",
        "look at the memory, and install the versions of airflow_mlops/constraints.txt",
    )
