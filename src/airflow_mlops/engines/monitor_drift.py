"""Drift as of one partition: its features beside those that the champion was trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.results import DatasetVersion, ModelRef
from airflow_mlops.engines import drift as drift_engine
from airflow_mlops.engines import registry, tables

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from airflow_mlops.domain.spec import DriftPolicy


def drift(
    client: MlflowClient, *, dataset: DatasetVersion, champion: ModelRef, policy: DriftPolicy
) -> drift_engine.Drift:
    """Compare a partition's features with those that the champion was trained on.

    :raises TableMissing: if the champion's training data is gone.
    """
    training = registry.training(client, champion)
    split, source, features = training.split, training.dataset, training.features
    columns = [*features.numeric, *features.categorical]
    reference = tables.read(
        source.uri,
        version=source.version,
        columns=[*columns, source.event_time],
        event_time=source.event_time,
        since=split.start,
        until=split.cut,
    )
    current = tables.read(dataset.uri, version=dataset.version, partition=dataset.partition, columns=columns)
    return drift_engine.measure(
        reference.select(columns),
        current,
        numeric=features.numeric,
        categorical=features.categorical,
        policy=policy,
        title=f"{champion.model} {dataset.partition} against version {champion.version}",
    )
