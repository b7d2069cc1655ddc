"""Read a partition from its source, and publish it once it is valid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops import assets
from airflow_mlops.domain.facts.coverage import Coverage
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.facts.validation import ValidationReport
from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.learning.models import transform
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, partition_of, push_facts, run_of, table_uri
from airflow_mlops.stages.ingest import ingest
from airflow_mlops.stages.preview import memory
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.stores.sources.source import Source

_GAPS = 5


class IngestOperator(BaseOperator):
    """Read one partition of a source into a dataset's Delta table, replacing the rows of the partition.

    Returns the :class:`~airflow_mlops.domain.facts.results.DatasetVersion` as a dict.

    :param source: where the rows come from, e.g. ``FileSource("/data/{partition}.parquet")``.
    :param dataset: name of the dataset.
    :param key: columns that identify a row.
    :param event_time: column of event time.
    :param grain: length of a partition: hour, day, week or month; and perhaps a time zone after it, ``day Europe/Berlin``, in
        which days, weeks and months begin, and times without an offset are read. Without one, it is UTC.
    :param partition: key of the partition; None means the run's ``partition_key``.
    :param required: columns that must be there besides key and event time.
    :param stage: stop at the staging table, which no reader sees, for a :class:`PublishOperator` to publish.
    :param schema: what a partition may change in the columns: ``strict`` (nothing), ``add`` (new columns) or
        ``evolve`` (also lost columns and wider types).
    :param transform: ``module:function`` that prepares the features of each row; None leaves rows as they are.
    :param types: Arrow types, such as ``{"weight": "double"}``, that columns must have, so that text which is none of them
        cannot be read; None leaves their type to the first value.
    :param pii: columns with personal data, whose values no message of ours about notations shows.
    :param ambiguous: which one is meant by a time without an offset that occurs twice, as clocks are set back: ``earlier``
        or ``later``; None refuses the partition.
    :param on_unreadable: what becomes of a row with a cell that cannot be read as the type of its column: ``block`` stops
        the partition, ``quarantine`` leaves the row to a :class:`ValidateOperator` to set aside, and so needs ``stage``.
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
        schema: str = "strict",
        transform: str | None = None,
        types: Mapping[str, str] | None = None,
        pii: Sequence[str] = (),
        ambiguous: str | None = None,
        on_unreadable: str = "block",
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
        self.schema = schema
        self.transform = transform
        self.types = types
        self.pii = pii
        self.ambiguous = ambiguous
        self.on_unreadable = on_unreadable

    def execute(self, context: Context) -> dict[str, Any]:
        """Read, check and write the partition.

        :raises ValueError: if ``on_unreadable`` is neither of its values, or would leave rows that nothing sets aside.
        """
        unreadable = self._unreadable()
        partition = partition_of(context, self.partition, self.grain)
        data = table_uri(self.dataset, "data")
        version = ingest.stage(
            self.source,
            partition,
            uri=table_uri(self.dataset, "staging"),
            published=data,
            name=self.dataset,
            key=self.key,
            event_time=self.event_time,
            required=self.required,
            policy=SchemaPolicy(self.schema),
            transform=transform.load(self.transform) if self.transform else None,
            types=self.types,
            pii=self.pii,
            ambiguous=self.ambiguous,
            unreadable=unreadable,
            run=run_of(context),
        )
        details, how = [f"read from {self.source.describe(partition)}"], "staged"
        if not self.stage:
            version, how = ingest.publish(version, uri=data, run=run_of(context)), "published"
            details.append(_covered(tables.coverage(data)))
        about = (self.dataset, partition.key)
        conclude(context, about, sentences.stored(version, how), details, note=not self.stage)
        push_facts(context, version)
        return version.to_dict()

    def _unreadable(self) -> str | None:
        """Return where rows go that cannot be read; None if such a row stops the partition."""
        if self.on_unreadable not in ("block", "quarantine"):
            raise ValueError(f"on_unreadable is {self.on_unreadable!r}; it must be block or quarantine")
        if self.on_unreadable == "block":
            return None
        if not self.stage:
            raise ValueError(
                "on_unreadable=quarantine needs stage=True, and a ValidateOperator to set rows aside"
            )
        return table_uri(self.dataset, "unreadable")


class PublishOperator(BaseOperator):
    """Publish a validated partition from the staging table as a dataset version.

    Returns the published :class:`~airflow_mlops.domain.facts.results.DatasetVersion` as a dict, and puts it and the
    validation report into the event of the dataset's asset. Publishing the same content again changes nothing.

    :param dataset: what :class:`ValidateOperator` returned.
    :param validation: its report; None leaves the report out of the asset event.
    :param spec: of data alone, kept for ``airflow mlops plan``; None keeps none, as where a model's decisions keep theirs.
    """

    template_fields: Sequence[str] = ("dataset", "validation")
    ui_color = "#e3f2fd"

    def __init__(
        self, *, dataset: Any, validation: Any = None, spec: DataSpec | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.dataset = dataset
        self.validation = validation
        self.spec = spec

    def execute(self, context: Context) -> dict[str, Any]:
        """Copy the partition from staging to data in one commit."""
        staged = DatasetVersion.from_dict(self.dataset)
        data = table_uri(staged.name, "data")
        version = ingest.publish(staged, uri=data, run=run_of(context))
        if self.spec is not None:
            memory.remember(table_uri(staged.name, memory.TABLE), self.spec, version.partition)
        report = ValidationReport.from_dict(self.validation) if self.validation else None
        assets.emit(context, assets.data(staged.name), dataset=version, validation=report)
        quarantined = report.quarantined if report else 0
        sentence, details = (
            sentences.stored(version, "published", quarantined),
            [_covered(tables.coverage(data))],
        )
        conclude(context, (version.name, version.partition), sentence, details, note=True)
        push_facts(context, version)
        return version.to_dict()


def _covered(coverage: Coverage) -> str:
    """Describe which partitions the dataset has, e.g. ``complete from 2013-01 to 2013-04``."""
    if not coverage.gaps:
        return f"complete from {coverage.first} to {coverage.last}"
    more = f" and {len(coverage.gaps) - _GAPS:,} more" if len(coverage.gaps) > _GAPS else ""
    gaps = ", ".join(coverage.gaps[:_GAPS])
    return (
        f"complete from {coverage.first} to {coverage.watermark}; gaps before {coverage.last}: {gaps}{more}"
    )
