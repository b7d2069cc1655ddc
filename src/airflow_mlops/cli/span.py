"""Which partitions of a model there are, for commands that go through them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.stores.sources.source import Source


def present(spec: DataSpec, source: Source, first: str | None, last: str | None) -> Iterator[Partition]:
    """Yield the partitions that a source has, from one to another; None means the spec's, or all there are.

    :raises ValueError: if the source cannot tell which it has, and neither names the first.
    """
    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.exceptions import UnknownPartition

    bounds = [key and Partition.parse(key, spec.grain) for key in (first or spec.start, last or spec.end)]
    low, high = bounds
    keys = _keys(spec, source)
    if keys:
        partitions = sorted(Partition.parse(key, spec.grain) for key in keys)
    elif low:
        partitions = list(low.through(high or Partition.containing(datetime.now(UTC), spec.grain).shift(-1)))
    else:
        raise UnknownPartition(
            f"{source.describe(None)} does not tell which partitions there are: give --from, or start in the spec."
        )
    for partition in partitions:
        if (not low or low <= partition) and (not high or partition <= high):
            yield partition


def _keys(spec: DataSpec, source: Source) -> set[str]:
    from airflow_mlops.hooks.source_files import FileSource

    if not isinstance(source, FileSource):
        return set()
    keys = {source.key_of(file, spec.grain) for file in source.files(None)}
    return {key for key in keys if key is not None}
