"""Facts that were recorded as JSON, by an earlier task or another version of this package, and may be damaged."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow_mlops.exceptions import TableUnreadable


@contextmanager
def errors(what: str, kind: type[Exception] = TableUnreadable) -> Iterator[None]:
    """Say which record cannot be read, whatever Python says of its text; put nothing else into the block.

    :param what: the record, for the message, with what to do about it if that is not plain.
    :param kind: the error to raise.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise kind(
            f"{what} was written by another version of this package, or by somebody else: {' '.join(str(error).split())}"
        ) from error
