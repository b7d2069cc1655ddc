"""Monitor: the champion's health as of one partition, and its history."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain import policies
from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.results import DatasetVersion, HealthReport, ModelRef
from airflow_mlops.engines import drift as drift_engine
from airflow_mlops.engines import performance as performance_engine
from airflow_mlops.engines import pipeline, registry, reports, tables
from airflow_mlops.engines.score import SCORE

if TYPE_CHECKING:
    import pyarrow as pa
    from mlflow import MlflowClient

    from airflow_mlops.domain.spec import DriftPolicy, PerformancePolicy


def no_champion(name: str) -> Check:
    """Return the check of a model that has no champion to measure."""
    reason = "there is no champion yet"
    return Check(name=name, verdict=Verdict.INCONCLUSIVE, expected="a champion", reason=reason)


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


def health(
    *,
    model: str,
    dataset: DatasetVersion,
    champion: ModelRef | None,
    drift: Check,
    columns: tuple[Check, ...],
    performance: Check,
    metrics: Mapping[str, float | None],
    staleness: int | None,
) -> HealthReport:
    """Put the measures of one partition together.

    :param staleness: most partitions that may pass since training; None means any number.
    """
    age = policies.staleness(since_training(champion, dataset.partition, dataset.grain), staleness)
    checks = (drift, performance, age)
    return HealthReport(
        model=model,
        partition=dataset.partition,
        champion=champion,
        verdict=policies.overall(checks),
        drift=drift,
        columns=columns,
        performance=performance,
        metrics=dict(metrics),
        staleness=age,
        reason="; ".join(check.reason for check in checks),
    )


def since_training(champion: ModelRef | None, partition: str, grain: str) -> int | None:
    """Count the partitions from the last one that the champion saw to this one; None without a champion."""
    if champion is None or champion.trained_through is None:
        return None
    first = Partition.parse(champion.trained_through, grain)
    return sum(1 for _ in first.through(Partition.parse(partition, grain))) - 1


def record(uri: str, report: HealthReport) -> None:
    """Keep a report in the monitoring table; the same partition again replaces its row."""
    reports.record(
        uri,
        report.partition,
        report,
        verdict=report.verdict.value,
        drift=report.drift.verdict.value,
        performance=report.performance.verdict.value,
        staleness=report.staleness.verdict.value,
        model_version=report.champion.version if report.champion else None,
    )


def history(uri: str, partition: str) -> list[HealthReport]:
    """Return the reports up to and including one partition, the newest first."""
    if not tables.exists(uri):
        return []
    rows = tables.read(uri, columns=["partition", "report"]).to_pylist()
    known = sorted((row for row in rows if row["partition"] <= partition), key=lambda row: row["partition"])
    return [HealthReport.model_validate_json(row["report"]) for row in reversed(known)]
