"""Rows that a model of a spec can learn from, for tests that have none."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_CATEGORIES = ("red", "green", "blue")
_WORDS = ("bad", "poor", "fair", "good", "fine")


def make(
    spec: ModelSpec, partition: str, count: int, *, signal: float, shift: float, seed: int | None
) -> pa.Table:
    """Make the rows of a partition, with all columns that a spec names; the same arguments make the same rows.

    Numbers are normal, moved by ``shift``; categories are of three colours, and texts are of five words. The target follows
    from them all, with as much chance beside ``signal`` times them as a standard normal has: a number, or the classes of the
    spec by their order, True and False without them.

    :raises ValueError: if the spec names no features.
    """
    import numpy as np
    import pyarrow as pa

    if spec.features is None:
        raise ValueError(
            f"{spec.name!r} names no features, so that no rows of it can be made: add features to the spec"
        )
    place = Partition.parse(partition, spec.grain)
    random = np.random.default_rng(zlib.crc32(partition.encode()) if seed is None else seed)
    columns: dict[str, pa.Array] = {}
    strengths = []
    for name in spec.features.numeric:
        values = random.normal(size=count)
        columns[name] = pa.array(values + shift)
        strengths.append(values)
    for kind, words in (("categorical", _CATEGORIES), ("text", _WORDS)):
        for name in spec.features.kinds.get(kind, ()):
            codes = random.integers(0, len(words), count)
            columns[name] = pa.array(np.array(words)[codes])
            strengths.append((codes - codes.mean()) / max(codes.std(), 1e-9))
    times = _times(place, count)
    columns |= dict.fromkeys(spec.features.dates, times)
    drive = np.mean(strengths, axis=0) * np.sqrt(len(strengths)) if strengths else np.zeros(count)
    columns[spec.target] = _target(spec, signal * drive + random.normal(size=count))
    columns |= _others(spec, place, count, random)
    columns[spec.event_time] = times
    return pa.table(columns)


def _times(partition: Partition, count: int) -> pa.Array:
    import pyarrow as pa

    step = (partition.end - partition.start) / (count + 1)
    return pa.array(
        [partition.start + step * (row + 1) for row in range(count)], pa.timestamp("us", tz="UTC")
    )


def _target(spec: ModelSpec, strength: np.ndarray) -> pa.Array:
    import numpy as np
    import pyarrow as pa

    if spec.task != "classification":
        return pa.array(100 + 10 * strength)
    if not spec.classes:
        return pa.array(strength > 0)
    edges = np.quantile(strength, np.linspace(0, 1, len(spec.classes) + 1)[1:-1])
    codes = np.searchsorted(edges, strength)
    return pa.array([spec.classes[code] for code in codes])


def _others(
    spec: ModelSpec, partition: Partition, count: int, random: np.random.Generator
) -> dict[str, pa.Array]:
    """Return the columns that name rows, weigh them or keep them together, unless they are features."""
    import numpy as np
    import pyarrow as pa

    first = int(partition.start.timestamp()) * 1_000
    named = {name: pa.array(np.arange(first, first + count)) for name in spec.key}
    if spec.train.weights:
        named[spec.train.weights] = pa.array(random.uniform(0.5, 1.5, count))
    if spec.train.groups:
        named[spec.train.groups] = pa.array(random.integers(0, max(count // 5, 1), count))
    left = set(spec.features.names) if spec.features else set()
    return {name: values for name, values in named.items() if name not in left | {spec.event_time}}
