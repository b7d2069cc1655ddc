"""Hand out: a version that was trained before, to be judged again on rows that have become known since."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.results import DatasetVersion, TrainedModel
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.learning.labels import labelled
from airflow_mlops.stages.train.train import trained_of
from airflow_mlops.stores.registry import registry

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client


def hand_out(
    client: Client, model: str, version: str, *, dataset: DatasetVersion, delay: timedelta
) -> TrainedModel:
    """Return a version as it was trained, with a holdout that ends with the labels that are known by now.

    :param dataset: the data as of the partition at which it is judged.
    :param delay: how long after its event time a label is known.
    :raises ModelNotFound: if there is no such version, or its tags are damaged.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    registered = registry.get(client, model, version)
    trained = trained_of(registry.tags(client, registered), version)
    end = Partition.parse(dataset.partition, dataset.grain).end - delay
    names = [dataset.event_time, *([trained.target] if dataset.labels else [])]
    rows = labelled.read(dataset, columns=names, since=trained.split.cut, until=end)
    if dataset.labels:
        rows = rows.filter(rows[trained.target].is_valid())
    split = trained.split.model_copy(update={"end": end, "holdout_rows": rows.num_rows})
    sealed = labelled.seal(dataset, split.start, split.end)
    return trained.model_copy(update={"dataset": sealed, "split": split})
