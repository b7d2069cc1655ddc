"""Predictions joined with their labels, which are in the data itself or in a table of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.predictions import MODEL_DIGEST, MODEL_VERSION, Predictor
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.labels import labels, matching, maturity
from airflow_mlops.learning.labels.coding import TRUTH
from airflow_mlops.learning.models import pipeline
from airflow_mlops.learning.models.classes import column_of
from airflow_mlops.stores.tables import tables, versions

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.dataset as ds

MATURED = "_matured"
"""Column of the time from which the label counts."""
_OTHER, _PLACE = "_other", "_place"
_SLICES = "monitor.performance.slices"


@dataclass(frozen=True)
class Truth:
    """Where the labels of predictions are.

    A label counts from ``question.delay`` after the event time of its row, and not before it is known.

    :param dataset: the data, at the version that a run sees.
    :param question: the target that the labels are of, and how long they take to count.
    :param uri: table of labels; None if they are in the data.
    """

    dataset: DatasetVersion
    question: Question
    uri: str | None = None

    def newest(self) -> Truth:
        """Return the same labels at the newest version of the data, since predictions are of its rows too.

        Only some runs would have seen the rows that a partition had before it was ingested again.
        """
        version = tables.open_table(self.dataset.uri).version()
        return replace(self, dataset=self.dataset.model_copy(update={"version": version}))

    @property
    def key(self) -> list[str]:
        """Columns that identify a row."""
        return list(self.dataset.key)

    def labels(self, scored: Partition, as_of: Partition) -> pa.Table:
        """Return the labels of one partition's rows that count by the end of another partition, one for each key.

        :raises SchemaMismatch: if the column of labels is missing, or does not hold labels.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = self._rows(scored)
        rows, values = pipeline.labels(rows, self.question.target, self.question.task)
        matured = pc.add(rows[self.dataset.event_time], pa.scalar(self.question.delay, pa.duration("us")))
        if labels.LABELLED_AT in rows.column_names:
            matured = labels.later(matured, rows[labels.LABELLED_AT])
        rows = rows.select(self.key)
        rows = rows.append_column(TRUTH, column_of(values)).append_column(MATURED, matured)
        rows = rows.filter(pc.less(matured, pa.scalar(as_of.end, pa.timestamp("us", "UTC"))))
        once = rows.group_by(self.key).aggregate([(TRUTH, "min"), (TRUTH, "max"), (MATURED, "min")])
        return once.rename_columns([*self.key, TRUTH, _OTHER, MATURED])

    def digests(self) -> dict[str, str]:
        """Return the digest of each partition of the data."""
        by_partition: dict[str, str] = {}
        for version in versions.versions(self.dataset.uri):
            if version.version <= self.dataset.version:
                by_partition.setdefault(version.partition, version.digest)
        return by_partition

    def with_columns(
        self, rows: pa.Table, scored: Partition, columns: Sequence[str], setting: str = _SLICES
    ) -> pa.Table:
        """Add columns of the data to rows of one partition, in order of their key.

        :param setting: the key of the spec that names the columns, for the error.
        :raises SchemaMismatch: if the data has no such column.
        """
        version = _version_of(self.dataset, scored)
        available = tables.dataset(self.dataset.uri, version).schema.names
        if missing := [name for name in columns if name not in available]:
            raise SchemaMismatch(
                f"{setting}: the data has no column {', '.join(missing)}; it has {', '.join(available)}."
            )
        added = [name for name in columns if name not in rows.column_names]
        data = tables.read(
            self.dataset.uri, version=version, partition=scored.key, columns=[*self.key, *added]
        )
        # A key may have become wider since these rows were predicted; values that it could not hold then are none of theirs.
        data, _, _ = matching.fitted(data, self.key, rows.schema, self.dataset.uri)
        return _beside(rows, data, self.key)

    def with_all_columns(self, rows: pa.Table, columns: Sequence[str]) -> pa.Table:
        """Add columns of the data to rows of several partitions, in order of their key; errors as above."""
        import pyarrow as pa
        import pyarrow.compute as pc

        event = self.dataset.event_time
        first, last = (
            Partition.containing(bound, self.dataset.grain)
            for bound in pc.min_max(rows[event]).as_py().values()
        )
        kind = pa.timestamp("us", "UTC")
        parts = []
        for partition in first.through(last):
            inside = pc.and_(
                pc.greater_equal(rows[event], pa.scalar(partition.start, kind)),
                pc.less(rows[event], pa.scalar(partition.end, kind)),
            )
            if pc.any(inside).as_py():
                parts.append(self.with_columns(rows.filter(inside), partition, columns))
        return pa.concat_tables(parts).sort_by([(name, "ascending") for name in self.key])

    def _rows(self, scored: Partition) -> pa.Table:
        columns = list(dict.fromkeys([*self.key, self.dataset.event_time, self.question.target]))
        if self.uri is None:
            return tables.read(
                self.dataset.uri,
                version=_version_of(self.dataset, scored),
                partition=scored.key,
                columns=columns,
            )
        if tables.exists(self.uri):
            return tables.read(self.uri, partition=scored.key)
        return _nothing(columns, self.dataset)


@dataclass(frozen=True)
class Joined:
    """Predictions of a partition, each once, with their labels; in order of their key.

    :param rows: columns of the predictions, :data:`TRUTH` and :data:`MATURED`.
    :param contradictory: predictions whose labels contradict each other, and which have no label here for that reason.
    :param unknown: labels that belong to no prediction.
    """

    rows: pa.Table
    contradictory: int = 0
    unknown: int = 0

    @property
    def labelled(self) -> pa.Table:
        """The rows that have a label."""
        return self.rows.filter(self.rows[TRUTH].is_valid())

    @property
    def predictors(self) -> list[Predictor]:
        """The versions that made the predictions."""
        pairs = self.rows.group_by([MODEL_VERSION, MODEL_DIGEST]).aggregate([])
        return sorted(Predictor(row[MODEL_VERSION], row[MODEL_DIGEST]) for row in pairs.to_pylist())

    def of(self, predictor: Predictor) -> Joined:
        """Return the predictions of one version of the model."""
        return replace(self, rows=self.rows.filter(made_by(predictor)))


def made_by(predictor: Predictor) -> ds.Expression:
    """Return the condition by which a version's rows are found in a table of predictions."""
    import pyarrow.dataset as ds

    version, digest = ds.field(MODEL_VERSION), ds.field(MODEL_DIGEST)
    return (version == predictor.version) & (digest == predictor.digest)


def join(predictions_uri: str, truth: Truth, scored: Partition, as_of: Partition) -> Joined:
    """Join the predictions of one partition with their labels that count by the end of another partition.

    Where rows have weights, they get the column of these too.

    :raises SchemaMismatch: if the keys of labels are of another type than those of the data, or the data has no column of
        weights.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    served = tables.read(predictions_uri, partition=scored.key)
    if truth.question.weights is not None:
        served = truth.with_columns(served, scored, [truth.question.weights], "train.weights")
    matured = maturity.same_keys(truth.labels(scored, as_of), served, truth.key)
    rows = _beside(served, matured, truth.key)
    clash = pc.fill_null(pc.not_equal(rows[TRUTH], rows[_OTHER]), False)
    matched = rows[TRUTH].is_valid()
    none = pa.scalar(None, rows.schema.field(TRUTH).type)
    rows = rows.set_column(rows.column_names.index(TRUTH), TRUTH, pc.if_else(clash, none, rows[TRUTH]))
    return Joined(
        rows.drop_columns([_OTHER]),
        contradictory=_count(clash),
        unknown=matured.num_rows - _count(matched),
    )


def _beside(rows: pa.Table, others: pa.Table, key: list[str]) -> pa.Table:
    """Return rows with the columns that others have for their key, in order of the key; null where there are none."""
    import numpy as np
    import pyarrow as pa

    # Only keys are joined: Arrow cannot join lists, such as probabilities. A join gives its rows in any order, and the last
    # digits of a sum depend on it.
    places = rows.select(key).append_column(_PLACE, pa.array(np.arange(rows.num_rows)))
    joined = places.join(others, keys=key, join_type="left outer")
    joined = joined.sort_by([(name, "ascending") for name in key])
    rows = rows.take(joined[_PLACE])
    for name in others.column_names:
        if name not in key:
            rows = rows.append_column(name, joined[name])
    return rows


def _count(chosen: Any) -> int:
    import pyarrow.compute as pc

    return int(pc.sum(chosen, min_count=0).as_py())


def _nothing(columns: Sequence[str], dataset: DatasetVersion) -> pa.Table:
    """Return an empty table of labels, in place of one that does not exist yet."""
    import pyarrow as pa

    schema = tables.dataset(dataset.uri, dataset.version).schema
    fields = [
        pa.field(name, schema.field(name).type if name in schema.names else pa.float64()) for name in columns
    ]
    return tables.normalise(pa.schema(fields).empty_table())


def _version_of(dataset: DatasetVersion, scored: Partition) -> int:
    """Return the version to read a partition at: the first that has it, if it was published later (a backfill)."""
    at = tables.open_table(dataset.uri, dataset.version)
    if scored.key in {str(folder[tables.PARTITION]) for folder in at.partitions()}:
        return dataset.version
    later = [
        published.version for published in versions.versions(dataset.uri) if published.partition == scored.key
    ]
    return min((version for version in later if version > dataset.version), default=dataset.version)
