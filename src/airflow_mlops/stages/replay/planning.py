"""The plan of a replay: which partitions of which data, and where its own MLflow and tables are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.results import DatasetVersion, LabelsVersion
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import TableMissing
from airflow_mlops.learning.labels import maturity
from airflow_mlops.stores.registry.client import connect, probe
from airflow_mlops.stores.tables import tables, versions

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client


@dataclass(frozen=True)
class ReplayPlan:
    """What is replayed, and where.

    :param spec: of the model; its data, candidates and training hold for every policy.
    :param datasets: the partitions in order, each pinned to the version in which it and all before it are there.
    :param folder: of the replay's own MLflow, tables and cache.
    :param labels: of each partition, all labels that are known today, sealed; empty if labels come with the data.
    :param searched: trials of the searches that time cut short when they were not replayed, by the identity of their job:
        their replay does exactly as many.
    """

    spec: ModelSpec
    datasets: tuple[DatasetVersion, ...]
    folder: Path
    labels: tuple[LabelsVersion, ...] = ()
    searched: Mapping[str, int] = field(default_factory=dict)

    @property
    def tracking(self) -> str:
        """URI of the replay's own MLflow."""
        return f"sqlite:///{self.folder}/mlflow.db"

    def client(self) -> Client:
        """Return a client for the replay's own MLflow."""
        return client(self.tracking)

    def partition(self, place: int) -> Partition:
        """Return the partition at a place."""
        return Partition.parse(self.datasets[place].partition, self.datasets[place].grain)

    def in_hindsight(self, place: int) -> DatasetVersion:
        """Return the dataset at a place, with all labels of its partition that are known today."""
        labels = self.labels[place] if self.labels else None
        return self.datasets[place].model_copy(update={"labels": labels})

    def uri(self, *parts: str) -> str:
        """Return the URI of one of the replay's own tables."""
        return f"file://{self.folder.joinpath('tables', *parts)}"


@cache
def client(uri: str) -> Client:
    """Return a client for an MLflow, the same one within a process."""
    return connect(uri)


def make(
    spec: ModelSpec,
    storage: str,
    folder: Path,
    first: str | None = None,
    last: str | None = None,
    searched: Mapping[str, int] | None = None,
) -> ReplayPlan:
    """Pin the data of a replay, and make its folder and its own MLflow.

    :param storage: URI under which the model's tables are; they are only read.
    :param folder: folder for what the replay computes; a replay that was begun there is resumed.
    :param first: partition to begin with; the rows before it are there from the start. None means the first that is
        published.
    :param last: partition to end with; None means the last.
    :param searched: trials of searches that time cut short, as :class:`ReplayPlan` has them.
    :raises UnknownPartition: if a key is none of the spec's grain.
    :raises TableMissing: if nothing was published in that span.
    """
    uri = tables.uri_of(storage, spec.name, "data")
    bounds = [Partition.parse(key, spec.grain).key for key in (first, last) if key is not None]
    low, high = (bounds[0] if first else ""), (bounds[-1] if last else "~")
    chosen = tuple(dataset for dataset in pinned(uri) if low <= dataset.partition <= high)
    if not chosen:
        span = f" from {first or 'the first'} to {last or 'the last'}" if first or last else ""
        raise TableMissing(f"No partition of {spec.name!r} is published at {uri}{span}; ingest it first.")
    labels: tuple[LabelsVersion, ...] = ()
    if spec.labels.source is not None:
        at = tables.uri_of(storage, spec.name, "labels")
        chosen, labels = maturity.pinned(chosen, at, spec.target)
    plan = ReplayPlan(spec, chosen, folder.resolve(), labels, searched or {})
    plan.folder.mkdir(parents=True, exist_ok=True)
    probe(plan.client())
    return plan


def pinned(uri: str) -> list[DatasetVersion]:
    """Return each partition, in order, at the first version in which it and all before it are as they are now."""
    newest = versions.newest(uri)
    reached, datasets = -1, []
    for key in sorted(newest):
        reached = max(reached, newest[key].version)
        datasets.append(newest[key].model_copy(update={"version": reached}))
    return datasets
