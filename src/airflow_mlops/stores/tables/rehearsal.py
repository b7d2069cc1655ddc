"""A rehearsal of what stages do to a storage, on a small table of its own."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote
from uuid import uuid4

from airflow_mlops.exceptions import TableUnreadable
from airflow_mlops.stores.tables import conditional, delta, folders, tables

_KEY = "2013-01"


def rehearse(storage: str) -> None:
    """Write a partition, replace it, read it and remove it, as stages do; folders that are made for it go too.

    :param storage: URI of the folder or bucket.
    :raises UnsafeStore: if the store would lose one of two commits.
    :raises StoreUnavailable: if a disk is full, read-only or closed to this user, or the store does not answer.
    :raises TableUnreadable: if what is read is not what was written.
    """
    import pyarrow as pa

    uri = f"{storage}/_rehearsal-{uuid4().hex}"
    made = _missing(storage)
    try:
        with delta.errors(uri):
            conditional.prove(uri)
        for number in (1, 2):
            tables.replace_partition(uri, pa.table({"number": [number]}), _KEY)
        rows = tables.read(uri, partition=_KEY)["number"].to_pylist()
        if rows != [2]:
            raise TableUnreadable(f"{storage} gave {rows} where [2] was written last.")
        with delta.errors(uri):
            folders.delete(uri)
    finally:
        # What went wrong is told already, and may stand in the way of tidying up too.
        with suppress(Exception):
            folders.delete(uri)
        for folder in made:
            with suppress(OSError):
                folder.rmdir()


def _missing(storage: str) -> list[Path]:
    """Return the folders on a disk that are not there yet, the innermost first."""
    if not storage.startswith("file://"):
        return []
    folder = Path(unquote(storage.removeprefix("file://")))
    return [path for path in (folder, *folder.parents) if not path.exists()]
