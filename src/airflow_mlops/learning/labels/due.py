"""Whether a row can have a label yet: until one can, a source of labels that has nothing is no error."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.labels import LabelsReport
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable
from airflow_mlops.learning.labels import matching
from airflow_mlops.stores.sources.source import UNKNOWN
from airflow_mlops.stores.tables import tables, versions

if TYPE_CHECKING:
    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.stores.sources.source import Source


def none(
    source: Source, partition: Partition, error: SourceMissing, data: str | None, delay: timedelta
) -> LabelsReport:
    """Return the report of a partition whose source has no labels, where none can be due.

    :param error: that the source raised when its labels were read.
    :param data: URI of the published data; None means data that is not a table of ours.
    :param delay: how long after its event time a label is known.
    :raises SourceMissing: if a row can have a label, or the source cannot be reached.
    """
    if data is None or not _is_absent(source, partition) or _can_be_due(data, partition, delay):
        raise SourceMissing(
            f"labels.source: {error}. If nothing became known in {partition.key}, leave its columns there without a row."
        ) from error
    reason = (
        f"goes on without labels: there is nothing at {source.describe(partition)}, and none can be due, as no published row is "
        f"older than labels.delay at its end"
    )
    return LabelsReport(partition=partition.key, rows=0, new=0, empty=0, contradictory=0, reason=reason)


def _is_absent(source: Source, partition: Partition) -> bool:
    """Tell whether a source has nothing, and not only that it cannot be reached."""
    try:
        return source.stamp(partition) in (None, UNKNOWN)
    except (SourceMissing, SourceUnreadable):
        return False


def _can_be_due(data: str, partition: Partition, delay: timedelta) -> bool:
    if not tables.exists(data):
        return False
    matching.refuse_other_grain(data, partition, f"the labels of partition {partition.key}")
    first = min(versions.partitions(data), default=None)
    return first is not None and partition.parse(first, partition.grain).start < partition.end - delay
