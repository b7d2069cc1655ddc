"""Performance as of one partition: predictions beside the labels that have matured."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain import policies
from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.results import DatasetVersion, ModelRef
from airflow_mlops.engines import performance as performance_engine
from airflow_mlops.engines import pipeline, registry, tables
from airflow_mlops.engines.score import SCORE

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow import MlflowClient

    from airflow_mlops.domain.spec import PerformancePolicy


def performance(
    client: MlflowClient,
    *,
    dataset: DatasetVersion,
    champion: ModelRef,
    predictions_uri: str,
    target: str,
    task: str,
    metric: str,
    delay: timedelta,
    policy: PerformancePolicy,
) -> tuple[Check, dict[str, float | None]]:
    """Judge the predictions whose labels matured during a partition.

    Labels mature ``delay`` after their event time, so these are the rows with an event time between the partition's
    start and end, both less the delay. Only what this champion has predicted counts: what the one before it served says
    nothing about it.
    """
    partition = Partition.parse(dataset.partition, dataset.grain)
    bounds = {
        "event_time": dataset.event_time,
        "since": partition.start - delay,
        "until": partition.end - delay,
    }
    joined = _joined(dataset, champion, predictions_uri, target, bounds)
    metrics: dict[str, float | None] = {}
    rows = 0
    if joined is not None:
        labelled, truth = pipeline.labelled(joined, target, task)
        rows = labelled.num_rows
        if rows:
            metrics = performance_engine.metrics(truth, labelled[SCORE].to_numpy(), task)
    expected = registry.training(client, champion).metrics
    return policies.performance(metrics, expected, policy, metric, rows), metrics


def _joined(
    dataset: DatasetVersion,
    champion: ModelRef,
    predictions_uri: str,
    target: str,
    bounds: Mapping[str, Any],
) -> pa.Table | None:
    import pyarrow.compute as pc

    if not tables.exists(predictions_uri):
        return None
    key = list(dataset.key)
    served = tables.read(predictions_uri, columns=[*key, SCORE, "model_version"], **bounds)
    served = served.filter(pc.field("model_version") == champion.version).drop_columns(["model_version"])
    labels = tables.read(dataset.uri, version=dataset.version, columns=[*key, target], **bounds)
    # A join gives its rows in any order, and the last digits of a sum depend on it.
    return served.join(labels, keys=key, join_type="inner").sort_by([(name, "ascending") for name in key])
