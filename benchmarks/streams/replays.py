"""A stream that is published, and policies that are replayed over it."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.streams.catalogue import MOST_ROWS, SEEDS
from benchmarks.streams.kinds import Columns, Stream

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.replay import Replay
    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.domain.spec.replay import Policy

FORMER, UNGATED, WINDOWS, PRESET = "former_defaults", "ungated", "2_of_5_windows", "half_of_the_columns"
"""Policies beside the defaults: those of the first edition, a training in each partition that always serves, and what others do by
default."""
POLICIES: dict[str, dict[str, Any]] = {
    FORMER: {"defaults": 1},
    UNGATED: {"retrain": {"when": {"every": 1}, "budget": None}, "gates": {"versus_champion": None}},
    # A metric beyond its threshold in k of the last n windows, as in MLOps Stacks, where people set the threshold: here a loss of 0.05.
    WINDOWS: {
        "monitor": {"performance": {"drop": 0.05}},
        "retrain": {"when": {"performance": "2 of 5"}, "again": 1, "budget": None},
        "gates": {"versus_champion": {"margin": 0.0, "confidence": 0.5}},
    },
    # The preset of Evidently calls a table drifted when half of its columns are.
    PRESET: {
        "monitor": {"drift": {"columns": 0.5, "reference": "training"}},
        "retrain": {"when": {"drift": "1 of 1"}, "again": 1, "budget": None},
        "gates": {"versus_champion": None},
    },
}
_START = "2000-01"


def spec_of(stream: Stream) -> dict[str, Any]:
    """Return the spec of a stream: its defaults are those that people get, but for candidates that are quick to fit."""
    kind = "Regressor" if stream.task == "regression" else "Classifier"
    linear = "Ridge" if stream.task == "regression" else "LogisticRegression"
    return {
        "name": "stream",
        "defaults": 2,
        "task": stream.task,
        "target": "y",
        "key": ["id"],
        "event_time": "at",
        "partition": "month",
        "source": {"files": "/data/{partition}.parquet"},
        "train": {
            "candidates": [
                f"sklearn.linear_model.{linear}",
                {f"sklearn.ensemble.HistGradientBoosting{kind}": {"max_iter": 20, "learning_rate": 0.2}},
            ]
        },
        **stream.spec,
    }


def partitions(length: int) -> list[Partition]:
    """Return the partitions of a stream."""
    from airflow_mlops.domain.partitions import Partition

    first = Partition.parse(_START, "month")
    return [*first.through(first.shift(length - 1))]


def drawn(stream: Stream, length: int, place: int) -> Columns:
    """Return the rows of one partition: the same whatever was drawn before."""
    import numpy as np

    name = zlib.crc32(stream.name.encode())
    random = np.random.default_rng([SEEDS[stream.held_out], name, length, place])
    draw: Any = stream.draw
    more = {"partitions": length} if stream.name == "flights" else {}
    return dict(draw(random, place / length, stream.rows or min(1500, MOST_ROWS // length), **more))


def publish(stream: Stream, length: int, storage: str) -> None:
    """Publish the partitions of a stream that are not there."""
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.exceptions import TableMissing
    from airflow_mlops.stores.tables import tables, versions

    spec = ModelSpec.from_dict(spec_of(stream))
    uri = tables.uri_of(storage, spec.name, "data")
    try:
        there = set(versions.partitions(uri))
    except TableMissing:
        there = set()
    for place, month in enumerate(partitions(length)):
        if month.key in there:
            continue
        columns = drawn(stream, length, place)
        count = len(columns["y"])
        step = (month.end - month.start) / count
        rows = {
            "id": np.arange(count) + place * 1_000_000,
            "at": pa.array([month.start + row * step for row in range(count)], pa.timestamp("us", "UTC")),
            **columns,
        }
        tables.publish(
            uri, pa.table(rows), name=spec.name, grain="month", partition=month.key, key=spec.key,
            event_time=spec.event_time, source="benchmark", run="benchmark",
        )  # fmt: skip


def policies(stream: Stream) -> Iterator[Policy]:
    """Yield what is compared: the defaults, fixed policies, and what others do."""
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.domain.spec.replay import BUILT_IN, Policy, built_in

    plain = spec_of(stream)
    for name in BUILT_IN:
        yield built_in(name, ModelSpec.from_dict(plain))
    for name, sections in POLICIES.items():
        yield Policy(name, ModelSpec.from_dict({**plain, **sections}))


def replayed(stream: Stream, length: int, folder: Path, jobs: int) -> Replay:
    """Replay every policy over a stream; what was done before is read from the folder."""
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.stages.replay import compare, planning, workers

    storage = (folder / "storage").as_uri()
    publish(stream, length, storage)
    plan = planning.make(ModelSpec.from_dict(spec_of(stream)), storage, folder / "work")
    with workers.pool(jobs) as pool:
        return compare.compare(pool, plan, [*policies(stream)])
