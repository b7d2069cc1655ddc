"""The window of one partition: predictions whose labels matured during it, or were due in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies import performance
from airflow_mlops.domain.predictions import SCORE, Predictor
from airflow_mlops.learning.labels.coding import TRUTH
from airflow_mlops.learning.labels.join import MATURED, Joined, join, made_by
from airflow_mlops.learning.labels.labels import touched
from airflow_mlops.stages.performance.subject import Subject
from airflow_mlops.stores.tables import delta, tables, versions

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from airflow_mlops.domain.spec.model import PerformancePolicy

_TICK = timedelta(microseconds=1)
_LOOKED_AT = 500
"""Maximum number of partitions that are searched for the predictions of a stream."""


@dataclass(frozen=True)
class MaturedWindow:
    """The predictions of one version in a window of time.

    :param rows: predictions whose label has come to count during the window, ordered by their key.
    :param decided: score and label (null if there is none) of the predictions whose label is due within the
        window.
    :param contradictory: number of predictions whose labels contradict each other.
    :param unknown: number of labels that belong to no prediction.
    :param watermark: event time before which no due prediction lacks its label; None if none is due.
    """

    rows: pa.Table
    decided: pa.Table
    contradictory: int
    unknown: int
    watermark: datetime | None

    @property
    def due(self) -> int:
        """Number of predictions whose label should be known by now."""
        return int(self.decided.num_rows)

    @property
    def labelled(self) -> int:
        """Number of due predictions that have a label."""
        return self.due - int(self.decided[TRUTH].null_count)

    @property
    def coverage(self) -> float:
        """Share of the due predictions that have a label."""
        return self.labelled / self.due if self.due else 0.0


def matured(subject: Subject, predictor: Predictor) -> MaturedWindow:
    """Return the predictions of one version in the window of the run's partition."""
    import pyarrow as pa
    import pyarrow.compute as pc

    run, truth = subject.run, subject.truth
    first = Partition.containing(run.start - truth.question.delay, run.grain)
    last = Partition.containing(run.end - truth.question.delay - _TICK, run.grain)
    keys = {partition.key for partition in first.through(last)}
    if truth.uri is not None:
        keys |= set(touched(truth.uri, run))
    scored = [key for key in versions.partitions(subject.predictions_uri) if key <= run.key]
    joins = [
        join(subject.predictions_uri, truth, subject.parse(key), run) for key in scored if key in keys
    ] or [_nothing(subject)]
    rows = pa.concat_tables([joined.of(predictor).rows for joined in joins], promote_options="default")
    event, kind = truth.dataset.event_time, pa.timestamp("us", "UTC")
    since = pa.scalar(run.start - truth.question.delay, kind)
    until = pa.scalar(run.end - truth.question.delay, kind)
    due = rows.filter(pc.and_(pc.greater_equal(rows[event], since), pc.less(rows[event], until)))
    missing = due.filter(due[TRUTH].is_null())
    now = rows.filter(
        pc.and_(rows[TRUTH].is_valid(), pc.greater_equal(rows[MATURED], pa.scalar(run.start, kind)))
    )
    return MaturedWindow(
        rows=now.sort_by([(name, "ascending") for name in truth.key]),
        decided=due.select([SCORE, TRUTH]),
        contradictory=sum(joined.contradictory for joined in joins),
        unknown=sum(joined.unknown for joined in joins),
        watermark=pc.min(missing[event]).as_py()
        if missing.num_rows
        else until.as_py()
        if due.num_rows
        else None,
    )


def stream(subject: Subject, predictor: Predictor, most: int, span: int = 1) -> pa.Table | None:
    """Return a version's labelled predictions as of the run, from the newest partitions; None if it has none.

    A version that serves again after a rollback has predicted in more than one span of time. So the last
    :data:`_LOOKED_AT` partitions are searched for it, and only those that it has predicted are read.

    :param most: number of rows after which no older partition is read.
    :param span: number of partitions with labels that are read all the same, if there are so many.
    """
    import pyarrow as pa

    parts: list[pa.Table] = []
    rows = 0
    for key in _predicted(subject, predictor):
        joined = join(subject.predictions_uri, subject.truth, subject.parse(key), subject.run).of(predictor)
        parts.append(joined.labelled)
        rows += parts[-1].num_rows
        if rows >= most and sum(part.num_rows > 0 for part in parts) >= span:
            break
    return pa.concat_tables(parts, promote_options="default") if parts else None


def _predicted(subject: Subject, predictor: Predictor) -> Iterator[str]:
    """Yield the partitions that a version has predicted, the newest first."""
    import pyarrow.dataset as ds

    predictions = tables.dataset(subject.predictions_uri)
    there = [key for key in versions.partitions(subject.predictions_uri) if key <= subject.run.key]
    for key in reversed(there[-_LOOKED_AT:]):
        for file in predictions.get_fragments(ds.field(tables.PARTITION) == key):
            # Statistics in the Delta log leave out ranges of texts, and the file would be skipped; its footer
            # has them.
            plain = predictions.format.make_fragment(file.path, predictions.filesystem)
            with delta.errors(subject.predictions_uri):
                mine = plain.count_rows(filter=made_by(predictor))
            if mine:
                yield key
                break


def labels(window: MaturedWindow, policy: PerformancePolicy) -> Check:
    """Check how many predictions of a window have their labels."""
    return performance.labels(
        due=window.due,
        labelled=window.labelled,
        contradictory=window.contradictory,
        unknown=window.unknown,
        watermark=window.watermark,
        least=policy.min_coverage,
    )


def _nothing(subject: Subject) -> Joined:
    """Return an empty join, with the columns that predictions and labels have."""
    import pyarrow as pa

    rows = tables.read(subject.predictions_uri, partition="")
    rows = rows.append_column(TRUTH, pa.nulls(0, pa.float64()))
    return Joined(rows.append_column(MATURED, pa.nulls(0, pa.timestamp("us", "UTC"))))
