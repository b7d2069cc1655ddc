"""The summary of a demo: what was decided at each partition, read from the records of the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table

from airflow_mlops.assets import EXTRA
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import HealthReport, PromotionDecision
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local.airflow import LocalAirflow
from airflow_mlops.stages.monitor.health import history
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables

_COLOURS = {Verdict.PASS: "green", Verdict.FAIL: "red", Verdict.INCONCLUSIVE: "yellow"}


def table(airflow: LocalAirflow, storage: Path, model: str, partitions: list[Partition]) -> Table:
    """Return a table with one row a partition: rows, validation, drift, the champion's AUC, decision and reason."""
    root = f"file://{storage}"
    reports = validations(airflow, model)
    health = {report.partition: report for report in _health(root, model, partitions)}
    page = Table(title=f"{model}: what was decided, and why", title_justify="left", show_lines=True)
    for name in ("partition", "rows", "validation", "drift", "champion AUC", "decision", "champion"):
        page.add_column(name, justify="right" if name in ("rows", "champion AUC") else "left")
    for partition in partitions:
        dataset = tables.published(tables.uri_of(root, model, "data"), partition.key)
        page.add_row(
            partition.key,
            f"{dataset.rows:,}" if dataset else "–",
            _validation(reports.get(partition.key)),
            *_measures(health.get(partition.key)),
            *_decision(ledger.decision(tables.uri_of(root, model, "ledger"), partition.key)),
        )
    return page


def validations(airflow: LocalAirflow, model: str) -> dict[str, dict[str, Any]]:
    """Return the validation report of each partition, from the events of the data asset."""
    events = airflow.call("GET", "assets/events", params={"limit": 100, "order_by": "timestamp"})[
        "asset_events"
    ]
    facts = [event["extra"].get(EXTRA, {}) for event in events if event["name"] == f"{model}/data"]
    return {fact["validation"]["partition"]: fact["validation"] for fact in facts if "validation" in fact}


def _health(root: str, model: str, partitions: list[Partition]) -> list[HealthReport]:
    return history(tables.uri_of(root, model, "monitoring"), partitions[-1].key)


def _coloured(verdict: Verdict) -> str:
    return f"[{_COLOURS[verdict]}]{verdict}[/]"


def _validation(report: dict[str, Any] | None) -> str:
    return f"{_coloured(Verdict(report['verdict']))}\n{escape(report['reason'])}" if report else "–"


def _measures(report: HealthReport | None) -> tuple[str, str]:
    if report is None:
        return "–", "–"
    score = report.metrics.get("roc_auc")
    return (
        f"{_coloured(report.drift.verdict)}\n{escape(report.drift.reason)}",
        f"{score:.3f}" if score else "–",
    )


def _decision(decision: PromotionDecision | None) -> tuple[str, str]:
    if decision is None:
        return "–", "–"
    champion = f"{decision.before or '–'} → {decision.after or '–'}"
    return f"[bold]{decision.action}[/bold]\n{escape(decision.reason)}", champion
