"""What is killed: a process that ingests partitions, one after the other and again and again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection

import pyarrow as pa

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.stages.ingest import ingest

PARTITIONS = tuple(Partition.parse(f"2013-{month:02}", "month") for month in range(1, 7))
ROWS, BATCHES = 3000, 4


@dataclass(frozen=True)
class Rounds:
    """A source whose rows are others in each round."""

    round: int

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        assert partition is not None
        for part in range(BATCHES):
            ids = [f"{partition}-{part}-{row}" for row in range(ROWS)]
            times = pa.array([partition.start] * ROWS, pa.timestamp("us", "UTC"))
            yield from pa.table({"id": ids, "at": times, "round": [self.round] * ROWS}).to_batches()

    def describe(self, partition: Partition | None) -> str:
        return f"round {self.round}"

    def stamp(self, partition: Partition | None) -> str | None:
        return str(self.round)


def once(folder: str, partition: Partition, round: int) -> DatasetVersion:
    """Stage and publish one partition."""
    data = f"file://{folder}/data"
    staged = ingest.stage(
        Rounds(round),
        partition,
        uri=f"file://{folder}/staging",
        published=data,
        name="killed",
        key=["id"],
        event_time="at",
        run=f"round {round}",
    )
    return ingest.publish(staged, uri=data, run=f"round {round}")


def forever(news: Connection, folder: str, round: int) -> None:
    """Ingest until killed, and say when it begins and whenever a partition was published."""
    news.send("ready")
    while True:
        for partition in PARTITIONS:
            once(folder, partition, round)
            news.send(partition.key)
        round += 1_000
