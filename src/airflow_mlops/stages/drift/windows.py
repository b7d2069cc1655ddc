"""What the partitions of a window hold now: summaries that are kept, so that no row is read twice."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.predictions import DATASET_DIGEST, MODEL_DIGEST, MODEL_VERSION, SCORE
from airflow_mlops.learning.labels import maturity
from airflow_mlops.learning.summaries import build, summary, table
from airflow_mlops.learning.summaries.summary import Column, ColumnKind
from airflow_mlops.stores.tables import delta, tables

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.spec.model import Features

_ORIGIN = (MODEL_VERSION, MODEL_DIGEST, DATASET_DIGEST)


class DriftWindow(NamedTuple):
    """Some partitions, up to one.

    :param partitions: their versions as of the last one, in order; those that were not published are left out.
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
        found = set()
        for each in self.partitions:
            partition = Partition.parse(each.partition, each.grain)
            day, end = partition.start, partition.end
            while day < end:
                found.add(day.month if season == "month" else day.isoweekday())
                day += timedelta(days=1)
        return found

    def __str__(self) -> str:
        first = self.partitions[0].partition
        return self.last.partition if len(self.partitions) == 1 else f"{first} to {self.last.partition}"


def of(dataset: DatasetVersion, length: int) -> DriftWindow:
    """Return the window of ``length`` partitions that ends with one, as of its dataset version."""
    last = Partition.parse(dataset.partition, dataset.grain)
    wanted = {last.shift(-steps).key for steps in range(1, length)}
    known: dict[str, DatasetVersion] = {}
    for version in tables.versions(dataset.uri) if wanted else ():
        if version.version <= dataset.version and version.partition in wanted:
            known.setdefault(version.partition, version)
            if len(known) == len(wanted):
                break
    return DriftWindow((*(known[key] for key in sorted(known)), dataset))


def features(window: DriftWindow, features: Features, uri: str) -> dict[str, Column]:
    """Return the summaries of a window's features; those that are not kept yet are made and kept.

    :param uri: of the Delta table that keeps them.
    """
    parts = [_features(window.last, each, features, uri) for each in window.partitions]
    return {name: summary.merge(part[name] for part in parts) for name in parts[0]}


def predictions(window: DriftWindow, champion: ModelRef, predictions_uri: str, uri: str) -> Column | None:
    """Return the summary of what the champion predicted of a window; None if that is nothing.

    :param predictions_uri: of the Delta table with the predictions.
    :param uri: of the Delta table that keeps summaries.
    """
    if not tables.exists(predictions_uri):
        return None
    parts = [_predictions(each, champion, predictions_uri, uri) for each in window.partitions]
    found = [part for part in parts if part is not None]
    return summary.merge(found) if found else None


def target(window: DriftWindow, name: str, delay: timedelta, *, classes: bool) -> Column | None:
    """Return the summary of the labels that matured in a window; None if the data has no such column.

    :param delay: time from an event until its label can be known.
    :param classes: True for classification.
    """
    import pyarrow.compute as pc

    dataset = window.last
    first, last = (
        Partition.parse(each.partition, each.grain) for each in (window.partitions[0], window.last)
    )
    kinds = ((), (name,)) if classes else ((name,), ())
    if dataset.labels is not None:
        labels = maturity.matured(dataset, first.start, delay)
        return build.summarise([labels], numeric=kinds[0], categorical=kinds[1])[name]
    found = tables.dataset(dataset.uri, dataset.version)
    if name not in found.schema.names:
        return None
    time = pc.field(dataset.event_time)
    matured = (time >= first.start - delay) & (time < last.end - delay)
    with delta.errors(dataset.uri):
        rows = delta.scan(found, [name], matured)
        return build.summarise(rows, numeric=kinds[0], categorical=kinds[1])[name]


def _data(dataset: DatasetVersion) -> str:
    return f"data {dataset.digest}"


def _predicted(dataset: DatasetVersion, champion: ModelRef) -> str:
    return f"predictions {champion.version} {champion.digest} {dataset.digest}"


def _features(
    as_of: DatasetVersion, dataset: DatasetVersion, features: Features, uri: str
) -> dict[str, Column]:
    origin = _data(dataset)
    wanted = dict.fromkeys(features.numeric, ColumnKind.NUMERIC)
    wanted |= dict.fromkeys(features.categorical, ColumnKind.CATEGORICAL)
    kept = table.kept(uri, dataset.partition)
    known = kept.get(origin, {})
    if all(name in known and known[name].kind is kind for name, kind in wanted.items()):
        return {name: known[name] for name in wanted}
    there = [name for name in tables.dataset(as_of.uri, as_of.version).schema.names if name in wanted]
    rows = tables.batches(as_of.uri, version=as_of.version, partition=dataset.partition, columns=there)
    with delta.errors(as_of.uri):
        found = build.summarise(rows, numeric=features.numeric, categorical=features.categorical)
    predicted = [name for name in kept if name.endswith(f" {dataset.digest}") and name != origin]
    table.keep(uri, dataset.partition, {origin: found}, predicted)
    return found


def _predictions(
    dataset: DatasetVersion, champion: ModelRef, predictions_uri: str, uri: str
) -> Column | None:
    origin = _predicted(dataset, champion)
    kept = table.kept(uri, dataset.partition)
    if origin in kept:
        return kept[origin][SCORE]
    columns = [SCORE, *_ORIGIN]
    rows = tables.batches(predictions_uri, partition=dataset.partition, columns=columns)
    with delta.errors(predictions_uri):
        scored = _scored(rows, (champion.version, champion.digest, dataset.digest))
        found = build.summarise(scored, numeric=(SCORE,), categorical=())
    if not found[SCORE].rows:
        return None
    table.keep(uri, dataset.partition, {origin: found}, [_data(dataset)])
    return found[SCORE]


def _scored(rows: pa.RecordBatchReader, origin: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    """Yield the predictions of one model of one version of the data."""
    import pyarrow.compute as pc

    for batch in rows:
        ours = pc.equal(batch.column(_ORIGIN[0]), origin[0])
        for name, value in zip(_ORIGIN[1:], origin[1:], strict=True):
            ours = pc.and_(ours, pc.equal(batch.column(name), value))
        yield batch.filter(ours)
