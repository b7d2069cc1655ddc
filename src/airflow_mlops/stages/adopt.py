"""Adopt a version that was trained elsewhere: take it in, with the data that drift is measured against."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.recipe import LEAST_ROWS
from airflow_mlops.domain.facts.results import DatasetVersion, Split, TrainedModel
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import NotEnoughData, TableMissing, UnknownPartition
from airflow_mlops.learning.elsewhere.span import moment
from airflow_mlops.learning.labels import labelled
from airflow_mlops.stages.train import elsewhere
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.elsewhere import ForeignVersion


def taken_in(
    client: Client,
    foreign: ForeignVersion,
    spec: ModelSpec,
    storage: str,
    *,
    first: str | None = None,
    last: str | None = None,
    trained_until: str | None = None,
    artifacts: str | None = None,
) -> TrainedModel:
    """Register a version that was trained elsewhere as one of a model, for a person to make it champion.

    A second call of the same version with the same data returns the first result.

    :param storage: URI under which the model's tables are.
    :param first: key of the first partition that drift is measured against; None means the first that is published.
    :param last: key of the last one; None means the latest that is published.
    :param trained_until: partition, day or time that its training data ends with; None takes what the version itself says.
    :param artifacts: see :func:`airflow_mlops.stores.registry.tracking.experiment`.
    :raises TableMissing: if nothing is published.
    :raises UnknownPartition: if a partition is not published, or the first lies after the last.
    :raises NotEnoughData: if the partitions have too few rows.
    :raises ValueError: if ``trained_until`` is no end of time; and as :func:`airflow_mlops.stages.train.elsewhere.take_in`.
    """
    until = _until(trained_until, spec.grain)
    dataset, split = _reference(spec, storage, first, last)
    return elsewhere.take_in(
        elsewhere.Intake.of(spec),
        foreign,
        client=client,
        dataset=dataset,
        split=split,
        key=f"adopt/{spec.name}",
        tags={},
        artifacts=artifacts,
        until=until,
    )


def _until(text: str | None, grain: str) -> datetime | None:
    try:
        return moment(text, grain) if text else None
    except ValueError as error:
        raise ValueError(f"--trained-until: {error}") from None


def _reference(
    spec: ModelSpec, storage: str, first: str | None, last: str | None
) -> tuple[DatasetVersion, Split]:
    """Return the published data, and the span of the partitions that drift is measured against."""
    uri = tables.uri_of(storage, spec.name, "data")
    published = sorted({version.partition for version in tables.versions(uri)}) if tables.latest(uri) else []
    if not published:
        raise TableMissing(
            f"No data of {spec.name!r} is published at {uri}, and drift is measured against data: run {spec.name}.ingest, or "
            "`airflow mlops run` for the partitions that there are, first."
        )
    for option, key in (("--from", first), ("--to", last)):
        if key is not None and key not in published:
            raise UnknownPartition(
                f"{option}: {key!r} of {spec.name!r} is not published; these are: {published[0]} to {published[-1]}"
            )
    begin, end = first or published[0], last or published[-1]
    if begin > end:
        raise UnknownPartition(f"--from: {begin} lies after {end}")
    dataset = tables.published(uri, end)
    assert dataset is not None
    if spec.labels.source is not None:
        dataset = labelled.with_labels(dataset, tables.uri_of(storage, spec.name, "labels"), spec.target)
    start, cut = Partition.parse(begin, spec.grain).start, Partition.parse(end, spec.grain).end
    rows = labelled.read(dataset, columns=[dataset.event_time], since=start, until=cut).num_rows
    if rows < LEAST_ROWS:
        raise NotEnoughData(f"{begin} to {end} of {spec.name!r} have {rows} rows; {LEAST_ROWS} are needed")
    return dataset, Split(start=start, cut=cut, end=cut, train_rows=rows, holdout_rows=0)
