"""Time and memory to ingest 20 million rows, compared with a bare copy of the same file by pyarrow."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.domain.partitions import Partition
from benchmarks.comparison import RUNS, Comparison
from benchmarks.processes import apart, warm

if TYPE_CHECKING:
    import pyarrow as pa

PEER = "pyarrow copy"
ROWS = 20_000_000

_JANUARY = Partition.parse("2013-01", "month")
_BATCH = 65_536
# Imported, and never run, in the process that each run is forked from.
_LIBRARIES = [
    "airflow_mlops.stages.ingest.ingest",
    "deltalake",
    "numpy",
    "pyarrow.compute",
    "pyarrow.dataset",
]


@dataclass(frozen=True)
class Took:
    """Time and memory of one run.

    :param megabytes: the most that was resident in the process.
    """

    seconds: float
    megabytes: float


@dataclass(frozen=True)
class ParquetSource:
    """One file, read batch by batch."""

    path: str

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        import pyarrow.parquet as pq

        # Buffering ahead would hold the whole file in memory.
        with pq.ParquetFile(self.path, pre_buffer=False) as file:
            yield from file.iter_batches(_BATCH)

    def describe(self, partition: Partition | None) -> str:
        return self.path

    def stamp(self, partition: Partition | None) -> str | None:
        return str(Path(self.path).stat().st_mtime_ns)


def compare(say: Callable[[str], None], rows: int = ROWS) -> Iterator[Comparison]:
    """Ingest a file (check, digest, stage and publish), and copy it, in turns.

    :raises RuntimeError: if not all rows are published.
    """
    server = warm([__name__, "pyarrow.parquet", *_LIBRARIES])
    with tempfile.TemporaryDirectory(prefix="benchmark-ingest-") as folder:
        say(f"making {rows:,} rows")
        apart(server, _measure, _make, folder, rows)
        ours: list[Took] = []
        theirs: list[Took] = []
        for run in range(RUNS):
            say(f"{rows:,} rows, run {run + 1} of {RUNS}")
            ours.append(apart(server, _measure, _ingest, folder, rows))
            theirs.append(apart(server, _measure, _copy, folder, rows))
    for part, unit, name in (("", "s", "seconds"), ("/memory", "MB", "megabytes")):
        figures = [[getattr(took, name) for took in side] for side in (ours, theirs)]
        yield Comparison("ingest", f"{rows}{part}", figures[0], figures[1], PEER, unit)


def _measure(work: Callable[[str, int], None], folder: str, rows: int) -> Took:
    began = time.perf_counter()
    work(folder, rows)
    seconds = time.perf_counter() - began
    [peak] = re.findall(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text(encoding="utf-8"))
    return Took(seconds, int(peak) * 1024 / 1e6)


def _make(folder: str, rows: int) -> None:
    """Write a month of flights: a key, a time, two texts, four fractions, a whole number and a truth value."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(20)
    carriers = pa.array(["AA", "B6", "DL", "UA", "WN"])
    tails = pa.array([f"N{number:05d}" for number in range(4000)])
    writer: pq.ParquetWriter | None = None
    for first in range(0, rows, 1 << 17):
        count = min(1 << 17, rows - first)
        times = _JANUARY.start.timestamp() + random.integers(0, 31 * 86_400, count)
        table = pa.table(
            {
                "id": np.arange(first, first + count),
                "at": pa.array(times.astype("int64") * 1_000_000, pa.timestamp("us", "UTC")),
                "carrier": carriers.take(pa.array(random.integers(0, 5, count))),
                "tail": tails.take(pa.array(random.integers(0, 4000, count))),
                **{f"x{number}": random.normal(size=count).round(3) for number in range(4)},
                "distance": random.integers(0, 3000, count).astype("int32"),
                "late": pa.array(random.random(count) < 0.2),
            }
        )
        writer = writer or pq.ParquetWriter(_file(folder), table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()


def _copy(folder: str, rows: int) -> None:
    import pyarrow.parquet as pq

    copy = f"{folder}/copy.parquet"
    with (
        pq.ParquetFile(_file(folder), pre_buffer=False) as file,
        pq.ParquetWriter(copy, file.schema_arrow) as writer,
    ):
        for batch in file.iter_batches(1 << 17):
            writer.write_batch(batch)
    Path(copy).unlink()


def _ingest(folder: str, rows: int) -> None:
    from airflow_mlops.stages.ingest import ingest

    tables = f"{folder}/tables"
    staged = ingest.stage(
        ParquetSource(_file(folder)),
        _JANUARY,
        uri=f"file://{tables}/staging",
        published=f"file://{tables}/data",
        name="flights",
        key=["id"],
        event_time="at",
        run="benchmark",
    )
    published = ingest.publish(staged, uri=f"file://{tables}/data", run="benchmark")
    if published.rows != rows or not published.changed:
        raise RuntimeError(f"{published.rows:,} of {rows:,} rows were published")
    shutil.rmtree(tables)


def _file(folder: str) -> str:
    return f"{folder}/flights.parquet"
