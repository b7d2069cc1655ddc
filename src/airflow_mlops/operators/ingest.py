"""Bring a partition in, and publish it once it is found good."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops import assets
from airflow_mlops.domain.results import DatasetVersion, ValidationReport
from airflow_mlops.engines import ingest, tables
from airflow_mlops.runs import partition_of, run_of, table_uri

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.engines.sources import Source


class IngestOperator(BaseOperator):
    """Read one partition of a source into a dataset's Delta table, in place of what the partition had.

    Returns the :class:`~airflow_mlops.domain.results.DatasetVersion` as a dict.

    :param source: where the rows come from, e.g. ``FileSource("/data/{partition}.parquet")``.
    :param dataset: name of the dataset.
    :param key: columns that identify a row.
    :param event_time: column of event time, in UTC.
    :param grain: length of a partition: hour, day, week or month.
    :param partition: key of the partition; None means the run's ``partition_key``.
    :param required: columns that must be there besides key and event time.
    :param stage: write to the staging table, which no reader sees, for a :class:`PublishOperator` to publish.
    """

    template_fields: Sequence[str] = ("dataset", "partition")
    ui_color = "#e3f2fd"

    def __init__(
        self,
        *,
        source: Source,
        dataset: str,
        key: Sequence[str],
        event_time: str,
        grain: str = "day",
        partition: str | None = None,
        required: Sequence[str] = (),
        stage: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.source = source
        self.dataset = dataset
        self.key = key
        self.event_time = event_time
        self.grain = grain
        self.partition = partition
        self.required = required
        self.stage = stage

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, check and write the partition."""
        partition = partition_of(context, self.partition, self.grain)
        former = tables.latest(table_uri(self.dataset, "data"))
        rows = ingest.ingest(
            self.source,
            partition,
            key=self.key,
            event_time=self.event_time,
            required=self.required,
            expected=former.columns if former else None,
        )
        version = tables.publish(
            table_uri(self.dataset, "staging" if self.stage else "data"),
            rows,
            name=self.dataset,
            grain=self.grain,
            partition=partition.key,
            key=self.key,
            event_time=self.event_time,
            source=self.source.describe(partition),
            run=run_of(context),
        )
        self.log.info(
            "%s %s: %s rows × %s columns from %s%s",
            self.dataset,
            partition.key,
            f"{rows.num_rows:,}",
            rows.num_columns,
            self.source.describe(partition),
            "" if version.changed else " (unchanged)",
        )
        return version.to_dict()


class PublishOperator(BaseOperator):
    """Publish a validated partition from the staging table as a dataset version.

    Returns the published :class:`~airflow_mlops.domain.results.DatasetVersion` as a dict, and puts it and the
    validation report into the event of the dataset's asset. The same content again changes nothing.

    :param dataset: what :class:`ValidateOperator` returned.
    :param validation: its report; None leaves the report out of the asset event.
    """

    template_fields: Sequence[str] = ("dataset", "validation")
    ui_color = "#e3f2fd"

    def __init__(self, *, dataset: Any, validation: Any = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.validation = validation

    def execute(self, context: Context) -> dict[str, Any]:
        """Copy the partition from staging to data in one commit."""
        staged = DatasetVersion.from_dict(self.dataset)
        rows = tables.read(staged.uri, version=staged.version, partition=staged.partition)
        version = tables.publish(
            table_uri(staged.name, "data"),
            rows,
            name=staged.name,
            grain=staged.grain,
            partition=staged.partition,
            key=staged.key,
            event_time=staged.event_time,
            source=staged.uri,
            run=run_of(context),
        )
        report = ValidationReport.from_dict(self.validation) if self.validation else None
        assets.emit(context, assets.data(staged.name), dataset=version, validation=report)
        self.log.info(
            "%s %s: version %s, %s rows, digest %s%s",
            version.name,
            version.partition,
            version.version,
            f"{version.rows:,}",
            version.digest[:12],
            "" if version.changed else " (already published)",
        )
        return version.to_dict()
