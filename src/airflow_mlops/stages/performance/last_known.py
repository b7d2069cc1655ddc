"""Constants of what was last known: the labels of a partition before, as far as they were known when rows were scored."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from airflow_mlops.domain.calendars import Grain
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import UnknownPartition
from airflow_mlops.learning.labels.coding import TRUTH, Coding
from airflow_mlops.stages.performance.subject import Subject

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.facts.results import DatasetVersion

LEAST_LABELS = 30
"""Labels that a partition needs for its mean to be a prediction of others."""
_SEASON = {Grain.HOUR: 168, Grain.DAY: 7, Grain.WEEK: 52, Grain.MONTH: 12}
_LOOKED_AT = 12
"""Partitions, from the newest with labels that were due, that are searched for enough labels."""

Known = Callable[[Partition], "pa.Table | None"]
"""A function that returns labels that were known when a partition was scored, or None if there were too few."""


def newest(subject: Subject, rows: pa.Table, coding: Coding) -> np.ndarray | None:
    """Return the mean, or the shares, of the newest labels that were known when each row was scored; None if there were none.

    Those are labels of the newest partition before the row's own of which at least :data:`LEAST_LABELS` counted by the end of
    the row's partition.

    :param rows: rows with labels.
    """

    def known(scored: Partition) -> pa.Table | None:
        due = Partition.containing(scored.end - subject.question.delay, scored.grain)
        latest = min(due, scored.shift(-1))
        tables_of = (_labels(subject, latest.shift(-steps), scored) for steps in range(_LOOKED_AT))
        return next((labels for labels in tables_of if labels is not None), None)

    return _constant(subject, rows, coding, known)


def season(subject: Subject, rows: pa.Table, coding: Coding) -> np.ndarray | None:
    """Return the same of the season before: of the week before for hours and days, of the year before for weeks and months."""

    def known(scored: Partition) -> pa.Table | None:
        return _labels(subject, scored.shift(-_SEASON[scored.grain.grain]), scored)

    return _constant(subject, rows, coding, known)


def _constant(subject: Subject, rows: pa.Table, coding: Coding, known: Known) -> np.ndarray | None:
    """Return the prediction of each row, in the form that the measures take; None if some row has none."""
    import numpy as np

    predicted = np.full((rows.num_rows, len(coding.judged)) if coding.many else rows.num_rows, np.nan)
    for scored, chosen in _by_partition(rows, subject.truth.dataset):
        try:
            labels = known(scored)
        except UnknownPartition:
            labels = None
        if labels is None:
            return None
        predicted[chosen] = _mean(labels, coding)
    return predicted


def _by_partition(rows: pa.Table, dataset: DatasetVersion) -> Iterator[tuple[Partition, np.ndarray]]:
    """Yield each partition that rows are of, and which of the rows these are."""
    import numpy as np
    import pyarrow.compute as pc

    times = rows[dataset.event_time].cast("timestamp[us]").to_numpy()
    first, last = (
        Partition.containing(bound, dataset.grain)
        for bound in pc.min_max(rows[dataset.event_time]).as_py().values()
    )
    for partition in first.through(last):
        since, until = (
            np.datetime64(moment.replace(tzinfo=None), "us") for moment in (partition.start, partition.end)
        )
        chosen = (times >= since) & (times < until)
        if chosen.any():
            yield partition, chosen


def _labels(subject: Subject, partition: Partition, scored: Partition) -> pa.Table | None:
    """Return the labels of a partition that counted by the end of another one; None if they are too few."""
    labels = subject.truth.labels(partition, scored)
    labels = labels.filter(labels[TRUTH].is_valid())
    return labels if labels.num_rows >= LEAST_LABELS else None


def _mean(labels: pa.Table, coding: Coding) -> np.ndarray:
    import numpy as np

    values = coding.widened(labels).labels(labels)
    if coding.task != "classification":
        return np.asarray(values.mean())
    width = max(len(coding.judged), 2)
    counts = np.bincount(values[(values >= 0) & (values < width)].astype(np.int64), minlength=width)
    # One more of each class: a class that was not there is not impossible.
    shares = (counts + 1) / (counts.sum() + width)
    return np.asarray(shares if coding.many else shares[1])
