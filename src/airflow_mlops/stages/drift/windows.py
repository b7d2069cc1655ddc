"""Summaries of the partitions of a window; they are kept, so that no row is read twice."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.predictions import (
    DATASET_DIGEST,
    MODEL_DIGEST,
    MODEL_VERSION,
    PREDICTION,
    SCORE,
)
from airflow_mlops.learning.labels import maturity
from airflow_mlops.learning.summaries import build, summary, table
from airflow_mlops.learning.summaries.summary import Column, ColumnKind
from airflow_mlops.stores.tables import delta, tables

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.spec.model import Features

_ORIGIN = (MODEL_VERSION, MODEL_DIGEST, DATASET_DIGEST)


class DriftWindow(NamedTuple):
    """The last few partitions, up to the one that is judged.

    :param partitions: their versions as of the last partition, in order; partitions that were not published
        are left out.
    """

    partitions: tuple[DatasetVersion, ...]

    @property
    def last(self) -> DatasetVersion:
        """The partition that is judged."""
        return self.partitions[-1]

    def seasons(self, season: str | None) -> set[int] | None:
        """Return the months, or days of the week from 1 for Monday, of the window; None without a season."""
        if season is None:
            return None
        groups = set()
        for version in self.partitions:
            partition = Partition.parse(version.partition, version.grain)
            day, end = partition.clock, partition.shift(1).clock
            while day < end:
                groups.add(day.month if season == "month" else day.isoweekday())
                day += timedelta(days=1)
        return groups

    def __str__(self) -> str:
        first = self.partitions[0].partition
        return self.last.partition if len(self.partitions) == 1 else f"{first} to {self.last.partition}"


def of(dataset: DatasetVersion, length: int) -> DriftWindow:
    """Return the window of ``length`` partitions that ends with a partition, as of its dataset version."""
    last = Partition.parse(dataset.partition, dataset.grain)
    return DriftWindow((*published(dataset, {last.shift(-steps).key for steps in range(1, length)}), dataset))


def published(dataset: DatasetVersion, keys: Collection[str]) -> list[DatasetVersion]:
    """Return the versions of partitions as of a dataset version, in order; partitions that were not published are left out."""
    newest: dict[str, DatasetVersion] = {}
    for version in tables.versions(dataset.uri) if keys else ():
        if version.version <= dataset.version and version.partition in keys:
            newest.setdefault(version.partition, version)
            if len(newest) == len(keys):
                break
    return [newest[key] for key in sorted(newest)]


def features(
    window: DriftWindow, features: Features, uri: str, as_of: DatasetVersion | None = None
) -> dict[str, Column]:
    """Return the summaries of a window's features; missing ones are computed and kept.

    :param uri: URI of the Delta table of summaries.
    :param as_of: the version of the table that is read; None for that of the window's last partition.
    """
    table_version = as_of or window.last
    parts = [_features(table_version, version, features, uri) for version in window.partitions]
    return {name: summary.merge(part[name] for part in parts) for name in parts[0]}


def predictions(
    window: DriftWindow, champion: ModelRef, predictions_uri: str, uri: str, *, many: bool = False
) -> Column | None:
    """Return the summary of the champion's predictions of a window; None if it has predicted nothing.

    :param predictions_uri: URI of the Delta table of predictions.
    :param uri: URI of the Delta table of summaries.
    :param many: True for a classifier of more than two classes, of which the chosen classes are summarised.
    """
    if not tables.exists(predictions_uri):
        return None
    column = PREDICTION if many else SCORE
    parts = [_predictions(version, champion, predictions_uri, uri, column) for version in window.partitions]
    present = [part for part in parts if part is not None]
    return summary.merge(present) if present else None


def target(window: DriftWindow, name: str, delay: timedelta, *, classes: bool) -> Column | None:
    """Return the summary of the labels that matured in a window; None if the data has no such column.

    :param delay: time from an event until its label can be known.
    :param classes: True for classification.
    """
    import pyarrow.compute as pc

    dataset = window.last
    first, last = (
        Partition.parse(version.partition, version.grain) for version in (window.partitions[0], window.last)
    )
    kinds = ((), (name,)) if classes else ((name,), ())
    if dataset.labels is not None:
        labels = maturity.matured(dataset, first.start, delay)
        return build.summarise([labels], numeric=kinds[0], categorical=kinds[1])[name]
    stored = tables.dataset(dataset.uri, dataset.version)
    if name not in stored.schema.names:
        return None
    time = pc.field(dataset.event_time)
    matured = (time >= first.start - delay) & (time < last.end - delay)
    with delta.errors(dataset.uri):
        rows = delta.scan(stored, [name], matured)
        return build.summarise(rows, numeric=kinds[0], categorical=kinds[1])[name]


def _data(dataset: DatasetVersion) -> str:
    return f"data {dataset.digest}"


def _predicted(dataset: DatasetVersion, champion: ModelRef) -> str:
    return f"predictions {champion.version} {champion.digest} {dataset.digest}"


def _features(
    as_of: DatasetVersion, dataset: DatasetVersion, features: Features, uri: str
) -> dict[str, Column]:
    origin = _data(dataset)
    kinds = dict.fromkeys(features.numeric, ColumnKind.NUMERIC)
    kinds |= dict.fromkeys(features.categorical, ColumnKind.CATEGORICAL)
    texts = features.kinds.get("text", ())
    kinds |= dict.fromkeys(texts, ColumnKind.NUMERIC)
    kept = table.kept(uri, dataset.partition)
    summaries = kept.get(origin, {})
    if all(name in summaries and summaries[name].kind is kind for name, kind in kinds.items()):
        return {name: summaries[name] for name in kinds}
    there = [name for name in tables.dataset(as_of.uri, as_of.version).schema.names if name in kinds]
    rows = tables.batches(as_of.uri, version=as_of.version, partition=dataset.partition, columns=there)
    with delta.errors(as_of.uri):
        columns = build.summarise(
            rows, numeric=features.numeric, categorical=features.categorical, text=texts
        )
    predicted = [name for name in kept if name.endswith(f" {dataset.digest}") and name != origin]
    table.keep(uri, dataset.partition, {origin: columns}, predicted)
    return columns


def _predictions(
    dataset: DatasetVersion, champion: ModelRef, predictions_uri: str, uri: str, column: str
) -> Column | None:
    origin = _predicted(dataset, champion)
    kept = table.kept(uri, dataset.partition)
    if origin in kept:
        return kept[origin][column]
    columns = [column, *_ORIGIN]
    rows = tables.batches(predictions_uri, partition=dataset.partition, columns=columns)
    with delta.errors(predictions_uri):
        scored = _scored(rows, (champion.version, champion.digest, dataset.digest))
        kinds = ((SCORE,), ()) if column == SCORE else ((), (column,))
        summaries = build.summarise(scored, numeric=kinds[0], categorical=kinds[1])
    if not summaries[column].rows:
        return None
    table.keep(uri, dataset.partition, {origin: summaries}, [_data(dataset)])
    return summaries[column]


def _scored(rows: pa.RecordBatchReader, origin: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """Yield the predictions that one model made of one version of the data."""
    import pyarrow.compute as pc

    for batch in rows:
        ours = pc.equal(batch.column(_ORIGIN[0]), origin[0])
        for name, value in zip(_ORIGIN[1:], origin[1:], strict=True):
            ours = pc.and_(ours, pc.equal(batch.column(name), value))
        yield batch.filter(ours)
