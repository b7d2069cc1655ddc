"""What the champion has seen and was fine with: partitions that drift is compared with beside its training data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.partitions import Partition

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import DatasetVersion, HealthReport, ModelRef
    from airflow_mlops.domain.spec.monitor import DriftPolicy

MOST = 12
"""Number of partitions that are looked back at most: a year of months, and no more with age."""
_TICK = timedelta(microseconds=1)


def references(
    policy: DriftPolicy,
    champion: ModelRef | None,
    dataset: DatasetVersion,
    delay: timedelta,
    reports: Callable[[], Sequence[HealthReport]],
) -> tuple[str, ...]:
    """Return the partitions that a partition is compared with beside the training data, as :func:`fine` does; none if they do not count.

    :param dataset: the partition that is compared.
    :param reports: reads the health reports; it is called only if they count.
    """
    if champion is None or policy.reference != "seen":
        return ()
    return fine(reports(), champion, Partition.parse(dataset.partition, dataset.grain), delay)


def fine(
    reports: Sequence[HealthReport], champion: ModelRef, partition: Partition, delay: timedelta
) -> tuple[str, ...]:
    """Return the latest partitions, the newest first, whose labels have shown that the champion does well on them.

    Labels of a partition are judged ``delay`` later, in one partition or in two; the verdict on performance has to be PASS in each.
    What could not be judged is no evidence.

    :param reports: health reports, in any order; those on other versions do not count.
    :param partition: the one that is compared; earlier ones are returned.
    :param delay: how long after its event time a label is known.
    """
    passed = {
        report.partition
        for report in reports
        # Its own report is there when it is looked at again.
        if report.partition < partition.key
        and report.champion is not None
        and report.champion.version == champion.version
        and report.performance.verdict is Verdict.PASS
    }
    # Labels of this many partitions, and of one more in part, may still come.
    late = partition.steps(Partition.containing(partition.start + delay, partition.grain))
    before = [partition.shift(-back) for back in range(1, MOST + late + 2)]
    return tuple(
        earlier.key for earlier in before if all(key in passed for key in _judged_at(earlier, delay))
    )[:MOST]


def _judged_at(partition: Partition, delay: timedelta) -> list[str]:
    """Return the partitions at which labels of a partition's rows are judged."""
    first = Partition.containing(partition.start + delay, partition.grain)
    last = Partition.containing(partition.end - _TICK + delay, partition.grain)
    return [judged.key for judged in first.through(last)]
