"""Outputs: predictions of a partition, copied from the Delta table to where their consumers read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.stores.outputs import probabilities
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.facts.scoring import ScoringReport


@dataclass(frozen=True)
class ScoredPartition:
    """The predictions of one partition, which can be read more than once.

    :param model: name of the model.
    :param key: columns that identify a row within the partition.
    :param uri: the Delta table that holds them.
    :param version: version of the table, so that later writes are not seen.
    :param classes: the classes of each version that has predicted, if there are more than two, in the order of its
        probabilities.
    """

    model: str
    partition: Partition
    key: tuple[str, ...]
    uri: str
    version: int
    classes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        columns = tables.dataset(self.uri, self.version).schema
        return columns.remove(columns.get_field_index(tables.PARTITION))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows in batches of bounded memory."""
        yield from tables.batches(self.uri, version=self.version, partition=self.partition.key)

    @property
    def flat_schema(self) -> pa.Schema:
        """Names and types of the columns, with a column for each class in place of lists of probabilities."""
        return probabilities.columns_of(self.schema, self.classes)

    def flat_batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows as :attr:`flat_schema` has them, in batches of bounded memory."""
        yield from probabilities.as_columns(self.batches(), self.schema, self.classes)


class Writer(Protocol):
    """An output that holds the predictions written last for each partition; writing them again changes nothing."""

    def describe(self, partition: Partition | None) -> str:
        """Name the output, without credentials."""
        ...

    def write(self, predictions: ScoredPartition) -> None:
        """Replace the predictions that the output has of the partition, all at once or not at all."""
        ...


def deliver(report: ScoringReport, outputs: Sequence[Writer]) -> ScoringReport:
    """Write predictions to each output, in order, and return the report with the names of those outputs.

    They are written even if their Delta table had them already: an earlier try may have failed at an output.
    """
    if not outputs or report.champion is None or not tables.exists(report.uri):
        return report
    partition = Partition.parse(report.partition, report.dataset.grain)
    version = tables.open_table(report.uri).version()
    predictions = ScoredPartition(
        report.model, partition, report.dataset.key, report.uri, version, report.classes
    )
    for output in outputs:
        output.write(predictions)
    return report.model_copy(update={"outputs": tuple(output.describe(partition) for output in outputs)})
