"""Conditional put: whether a store refuses a key that it holds already, on which every commit rests."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Barrier
from urllib.parse import urlsplit
from uuid import uuid4

from airflow_mlops.exceptions import UnsafeStore, WriteConflict

_ATTEMPTS = 20
# Kept by the process and not by the store: a copy of the store would vouch for a server that it never lay on.
_proven: set[tuple[str, str]] = set()


def prove(uri: str) -> None:
    """Prove, once a process, that the store of a table refuses the second of two commits of one version.

    Where it does not, of two writers the one that comes first loses its rows, and both are told that all went well. The
    proof takes deltalake's own way and settings, below the folder of the table, and is deleted afterwards.

    :param uri: the table; one on a disk needs no proof.
    :raises UnsafeStore: if the store takes both.
    :raises WriteConflict: if one writer was always done before the other one began.
    """
    place = urlsplit(uri)
    store = place.scheme, place.netloc
    if place.scheme in ("", "file") or store in _proven:
        return
    for _ in range(_ATTEMPTS):
        acknowledged, refused = _race(f"{uri.rstrip('/')}/_proof-{uuid4().hex}")
        if acknowledged > 1:
            raise UnsafeStore(
                f"The store {place.scheme}://{place.netloc} takes a key that it holds already: it ignores the header "
                f"If-None-Match (conditional put). Of two processes that write to {uri} at once, one would lose its rows "
                "without a word, in the promotion ledger too. Set [mlops] storage to a store that refuses the second "
                "write, such as Amazon S3, Google Cloud Storage, Azure Blob Storage or a recent MinIO."
            )
        if refused:
            _proven.add(store)
            return
    raise WriteConflict(
        f"Two commits at once on {place.scheme}://{place.netloc} always came one after the other."
    )


def _race(uri: str) -> tuple[int, int]:
    """Let two writers make one table at once; return how many were acknowledged, and how many refused at the commit."""
    from deltalake.fs import DeltaStorageHandler

    start = Barrier(2)
    try:
        with ThreadPoolExecutor(2) as pool:
            outcomes = [outcome.result() for outcome in [pool.submit(_create, uri, start) for _ in range(2)]]
    finally:
        # Who may not delete may still write; what stays takes a few hundred bytes.
        with suppress(Exception):
            DeltaStorageHandler(uri).delete_dir("")
    return outcomes.count("acknowledged"), outcomes.count("refused")


def _create(uri: str, start: Barrier) -> str:
    import pyarrow as pa
    from deltalake import CommitProperties, DeltaTable
    from deltalake.exceptions import CommitFailedError, DeltaError

    start.wait(60)
    try:
        # Without retries, which would find out what the other one has written.
        alone = CommitProperties(max_commit_retries=0)
        DeltaTable.create(uri, pa.schema([("proof", pa.string())]), mode="error", commit_properties=alone)
    except CommitFailedError:
        return "refused"
    except DeltaError as error:
        # It looks before it writes; having seen the other one's table, it proves nothing.
        if "already exists" not in str(error):
            raise
        return "late"
    return "acknowledged"
