"""What a run of the loop works with: a spec, its source and its tables; of a model an MLflow too, and who runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.spec.dataset import DataSpec
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.domain.spec.predicted import PredictionSpec
from airflow_mlops.learning.labels import labelled
from airflow_mlops.stores.outputs.tables import Writer
from airflow_mlops.stores.sources.source import Source
from airflow_mlops.stores.tables import places, tables

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client


@dataclass(frozen=True, kw_only=True)
class DataPlan:
    """What a run of the loop works with whose spec asks for data alone.

    :param source: where the rows of each partition come from.
    :param storage: URI under which the tables are, those of Airflow's tasks too.
    :param write: keeps a page or a picture under its name, below the folder of reports.
    :param folder: in which suites of expectations lie that the spec names by a relative path.
    """

    spec: DataSpec
    source: Source
    storage: str
    write: Callable[[str, bytes], None]
    folder: Path | None = None

    def uri(self, table: str) -> str:
        """Return the URI of one of the tables."""
        return tables.uri_of(self.storage, self.spec.name, table)

    def run_of(self, partition: str, stage: str) -> str:
        """Return the name of a stage's run: a stage that is killed is taken up again under the same name."""
        return f"{self.spec.name}.{stage}/run/{partition}"

    def page(self, partition: str, kind: str, html: str) -> str:
        """Keep a page, and return its path below the folder of reports."""
        name = places.page_of(self.spec.name, partition, kind)
        self.write(name, html.encode())
        return name


@dataclass(frozen=True, kw_only=True)
class PredictionPlan(DataPlan):
    """What a run of the loop works with whose spec asks for predictions to be judged.

    :param labels: where labels come from that are not in the data; None if they are.
    :param pictures: whether pages and pictures are made that decide nothing, such as model cards and Evidently's reports.
    """

    spec: PredictionSpec
    labels: Source | None = None
    pictures: bool = True

    @property
    def labels_uri(self) -> str | None:
        """URI of the table of labels; None if they are in the data."""
        return self.uri("labels") if self.labels is not None else None

    def with_labels(self, dataset: DatasetVersion) -> DatasetVersion:
        """Pin a dataset version to the labels that are known by the end of its partition."""
        if self.labels_uri is None:
            return dataset
        return labelled.with_labels(dataset, self.labels_uri, self.spec.target)


@dataclass(frozen=True, kw_only=True)
class WatchPlan(PredictionPlan):
    """What a run of the loop works with whose spec is of another system's predictions."""

    spec: MonitoringSpec


@dataclass(frozen=True, kw_only=True)
class LoopPlan(PredictionPlan):
    """What a run of the loop of a model works with.

    :param outputs: where predictions go beside the Delta table.
    :param actor: who runs the loop; the ledger names him.
    :param artifacts: where a new experiment keeps artifacts; None leaves that to MLflow.
    :param dask: address of a Dask scheduler for the trials of a search; None fits them here.
    """

    spec: ModelSpec
    client: Client
    actor: str
    outputs: Sequence[Writer] = ()
    artifacts: str | None = None
    dask: str | None = None
