"""The window of one partition: predictions whose labels matured during it, and those that should have one by now."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies import performance
from airflow_mlops.domain.predictions import MODEL_VERSION, SCORE
from airflow_mlops.learning.labels.join import MATURED, TRUTH, Joined, join
from airflow_mlops.learning.labels.labels import touched
from airflow_mlops.stages.performance.rows import Subject
from airflow_mlops.stores.tables import delta, tables, versions

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from airflow_mlops.domain.spec.model import PerformancePolicy

_TICK = timedelta(microseconds=1)
_LOOKED_AT = 500
"""Partitions that a stream is looked for in."""


@dataclass(frozen=True)
class MaturedWindow:
    """One version's predictions, as a window of time sees them.

    :param rows: predictions whose label counts since a time within the window; in order of their key.
    :param decided: score and label (null if there is none) of the predictions that are due within the window.
    :param watermark: event time before which none of these lacks its label; None without any.
    """

    rows: pa.Table
    decided: pa.Table
    contradictory: int
    unknown: int
    watermark: datetime | None

    @property
    def due(self) -> int:
        """Predictions whose label should be known by now."""
        return int(self.decided.num_rows)

    @property
    def labelled(self) -> int:
        """Those of them that have one."""
        return self.due - int(self.decided[TRUTH].null_count)

    @property
    def coverage(self) -> float:
        """Their share."""
        return self.labelled / self.due if self.due else 0.0


def matured(subject: Subject, version: str) -> MaturedWindow:
    """Return what the window of a run's partition holds of one version's predictions."""
    import pyarrow as pa
    import pyarrow.compute as pc

    run, truth = subject.run, subject.truth
    first = Partition.containing(run.start - truth.question.delay, run.grain)
    last = Partition.containing(run.end - truth.question.delay - _TICK, run.grain)
    wanted = {each.key for each in first.through(last)}
    if truth.uri is not None:
        wanted |= set(touched(truth.uri, run))
    scored = [key for key in versions.partitions(subject.predictions_uri) if key <= run.key]
    found = [
        join(subject.predictions_uri, truth, subject.parse(key), run) for key in scored if key in wanted
    ] or [_nothing(subject)]
    rows = pa.concat_tables([each.of(version).rows for each in found], promote_options="default")
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
        contradictory=sum(each.contradictory for each in found),
        unknown=sum(each.unknown for each in found),
        watermark=pc.min(missing[event]).as_py()
        if missing.num_rows
        else until.as_py()
        if due.num_rows
        else None,
    )


def stream(subject: Subject, version: str, most: int) -> pa.Table | None:
    """Return a version's predictions with a label as of the run, the newest partitions of them; None if there are none.

    A version that serves again after a rollback has more than one span of time. It is looked for in so many partitions
    up to the run, of which only those that it has predicted are read.

    :param most: rows after which no older partition is read.
    """
    import pyarrow as pa

    found: list[pa.Table] = []
    rows = 0
    for key in _predicted(subject, version):
        joined = join(subject.predictions_uri, subject.truth, subject.parse(key), subject.run).of(version)
        found.append(joined.labelled)
        rows += found[-1].num_rows
        if rows >= most:
            break
    return pa.concat_tables(found, promote_options="default") if found else None


def _predicted(subject: Subject, version: str) -> Iterator[str]:
    """Yield the partitions that a version has predicted, the newest first."""
    import pyarrow.dataset as ds

    found = tables.dataset(subject.predictions_uri)
    there = [key for key in versions.partitions(subject.predictions_uri) if key <= subject.run.key]
    for key in reversed(there[-_LOOKED_AT:]):
        for file in found.get_fragments(ds.field(tables.PARTITION) == key):
            # What Delta knows of a file leaves out ranges of texts, and it would be skipped. Its own footer has them.
            plain = found.format.make_fragment(file.path, found.filesystem)
            with delta.errors(subject.predictions_uri):
                mine = plain.count_rows(filter=ds.field(MODEL_VERSION) == version)
            if mine:
                yield key
                break


def labels(window: MaturedWindow, policy: PerformancePolicy) -> Check:
    """Judge the labels of a window."""
    return performance.labels(
        due=window.due,
        labelled=window.labelled,
        contradictory=window.contradictory,
        unknown=window.unknown,
        watermark=window.watermark,
        least=policy.min_coverage,
    )


def _nothing(subject: Subject) -> Joined:
    """Return no predictions, in the columns that they would have."""
    import pyarrow as pa

    rows = tables.read(subject.predictions_uri, partition="")
    rows = rows.append_column(TRUTH, pa.nulls(0, pa.float64()))
    return Joined(rows.append_column(MATURED, pa.nulls(0, pa.timestamp("us", "UTC"))))
