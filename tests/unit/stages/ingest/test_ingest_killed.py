"""I3: no row of a partition is duplicated, partial or lost, whenever its ingest is killed."""

from __future__ import annotations

import multiprocessing
import os
import random
import time
from pathlib import Path

import pytest

from airflow_mlops.stores.tables import tables
from killed_ingest import BATCHES, PARTITIONS, ROWS, forever, once

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

KILLS = 40 if os.environ.get("THOROUGH") else 15
_FOLDERS = ("data", "staging")


def check(folder: Path) -> int:
    """Check that each partition is there whole or not at all, and return how many are there."""
    uri = f"file://{folder}/data"
    if not tables.exists(uri):
        return 0
    there = {each["_partition"] for each in tables.open_table(uri).partitions()}
    assert there == set(tables.newest(uri))
    for key, version in tables.newest(uri).items():
        rows = tables.read(uri, partition=key)
        assert (rows.num_rows, tables.digest(rows)) == (ROWS * BATCHES, version.digest)
        assert len(set(rows["id"].to_pylist())) == len(set(rows["round"].to_pylist())) * ROWS * BATCHES
    return len(there)


@pytest.mark.slow
def test_killed_at_any_moment_a_partition_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    moments = random.Random(3)
    # Forked from a process that has imported, but never run, what would not survive a fork.
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(
        ["killed_ingest", "pyarrow.parquet", "pyarrow.dataset", "deltalake", "numpy"]
    )
    needed = 0.0
    for round in range(KILLS):
        news, answer = server.Pipe(duplex=False)
        child = server.Process(target=forever, args=(answer, str(tmp_path), round))
        child.start()
        assert news.poll(60)
        assert news.recv() == "ready"
        if not needed:  # how long one ingest takes here, busy as the machine may be
            start = time.monotonic()
            assert news.poll(60)
            needed = time.monotonic() - start
        time.sleep(moments.uniform(0.0, 3 * needed))
        child.kill()
        child.join()
        check(tmp_path)
    assert check(tmp_path), "no ingest ever came to its end"
    for partition in PARTITIONS:
        once(str(tmp_path), partition, KILLS)
    assert check(tmp_path) == len(PARTITIONS)
    counts = {table: len(list(tables.versions(f"file://{tmp_path}/{table}"))) for table in _FOLDERS}
    assert not any(once(str(tmp_path), partition, KILLS).changed for partition in PARTITIONS)
    assert counts == {table: len(list(tables.versions(f"file://{tmp_path}/{table}"))) for table in _FOLDERS}
    assert tables.read(f"file://{tmp_path}/data").num_rows == len(PARTITIONS) * ROWS * BATCHES
    named = {Path(uri).name for table in _FOLDERS for uri in _every_file(f"file://{tmp_path}/{table}")}
    assert {path.name for path in tmp_path.rglob("*.parquet")} - named, (
        "no kill struck while files were written"
    )


def _every_file(uri: str) -> set[str]:
    last = tables.open_table(uri).version()
    return {file for version in range(last + 1) for file in tables.open_table(uri, version).file_uris()}
