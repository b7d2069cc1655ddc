"""Monitor: the champion's health as of one partition, and its history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from airflow_mlops.domain.checks import Check, overall
from airflow_mlops.domain.facts.results import DatasetVersion, HealthReport, ModelRef
from airflow_mlops.domain.facts.retraining import steps
from airflow_mlops.domain.policies import monitoring
from airflow_mlops.stores.tables import tables
from airflow_mlops.stores.tables.tables import record_report


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
    others: Sequence[Check] = (),
) -> HealthReport:
    """Return the health report of one partition, put together from its checks.

    :param others: further checks, which are reported and decide nothing here.
    :param staleness: maximum number of partitions that may pass since training; None means any number.
    """
    if champion is None:
        age = monitoring.no_champion("staleness")
    elif champion.is_external:
        age = monitoring.of_any_age()
    else:
        age = monitoring.staleness(since_training(champion, dataset.partition, dataset.grain), staleness)
    checks = (drift, performance, age)
    return HealthReport(
        model=model,
        partition=dataset.partition,
        champion=champion,
        verdict=overall(checks),
        drift=drift,
        columns=columns,
        performance=performance,
        metrics=dict(metrics),
        staleness=age,
        others=tuple(others),
        # Without a champion, all three say the same.
        reason="; ".join(dict.fromkeys(check.reason for check in checks)),
    )


def since_training(champion: ModelRef | None, partition: str, grain: str) -> int | None:
    """Return the number of partitions since the champion's training data; None without a champion."""
    if champion is None or champion.trained_through is None:
        return None
    return steps(champion.trained_through, partition, grain)


def record(uri: str, report: HealthReport) -> None:
    """Write a report to the monitoring table; it replaces an earlier report of the same partition."""
    record_report(
        uri,
        report.partition,
        report,
        verdict=report.verdict.value,
        drift=report.drift.verdict.value,
        performance=report.performance.verdict.value,
        staleness=report.staleness.verdict.value,
        model_version=report.champion.version if report.champion else None,
    )


def history(uri: str, partition: str | None = None) -> list[HealthReport]:
    """Return the health reports, the newest first.

    :param partition: key of the last partition whose report is returned; None means all.
    """
    if not tables.exists(uri):
        return []
    rows = tables.read(uri, columns=["partition", "report"]).to_pylist()
    ordered = sorted(
        (row for row in rows if partition is None or row["partition"] <= partition),
        key=lambda row: row["partition"],
    )
    return [HealthReport.model_validate_json(row["report"]) for row in reversed(ordered)]
