"""Disks: what one says that is full, read-only or somebody else's, as an error that tells what to do."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from airflow_mlops import exceptions
from airflow_mlops.exceptions import StoreUnavailable

_FULL = ("the disk is full", "free some space")
_CLOSED = ("this user has no right to it", "give the folder to the user that tasks run as")
_STATES = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EFBIG: _FULL,
    errno.EROFS: ("the disk is read-only", "mount it so that it can be written to"),
    errno.EACCES: _CLOSED,
    errno.EPERM: _CLOSED,
}
# SQLite's errors have numbers of their own, which MLflow keeps in the text alone.
_SQLITE = {
    "database or disk is full": errno.ENOSPC,
    "attempt to write a readonly database": errno.EACCES,
}
# deltalake's errors have no number, but their texts do.
_NUMBER = re.compile(r"(?:\(os error |\bOs \{ code: )(\d+)")


@contextmanager
def errors(where: str) -> Iterator[None]:
    """Turn what a disk says that takes or gives no data into an error of ours; any other error passes.

    :param where: what is read or written, for the message.
    :raises StoreUnavailable: if the disk is full, read-only, or closed to this user.
    """
    try:
        yield
    except Exception as error:
        refusal = refusal_of(error, where)
        if refusal is None:
            raise
        raise refusal from error


def refusal_of(error: Exception, where: str) -> StoreUnavailable | None:
    """Return the error of ours for what a disk says; None if it says something else."""
    if type(error).__module__ == exceptions.__name__:
        return None
    number = getattr(error, "errno", None)
    if number is None and (match := _NUMBER.search(str(error))):
        number = int(match[1])
    if number is None:
        number = next((number for text, number in _SQLITE.items() if text in str(error)), None)
    if number not in _STATES:
        return None
    state, fix = _STATES[number]
    return StoreUnavailable(
        f"{where} cannot be used: {state} ({os.strerror(number)}). Nothing half written counts; {fix}, and the next try "
        "goes on."
    )
