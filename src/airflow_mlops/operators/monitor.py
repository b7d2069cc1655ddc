"""Combine the measurements of the champion's health."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.observability import stats

from airflow_mlops import assets
from airflow_mlops.domain.checks import Check
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, push_facts, subject, table_uri
from airflow_mlops.stages.monitor import checks, health

if TYPE_CHECKING:
    from airflow.sdk import Context


class HealthOperator(BaseOperator):
    """Combine drift, performance and staleness into one verdict, and keep it in the monitoring table.

    Every check becomes a row of the Delta table ``<storage>/<model>/checks``, and a metric of Airflow:
    ``mlops.<model>.<check>``. Returns the :class:`~airflow_mlops.domain.facts.results.HealthReport` as a dict.

    :param model: name of the model.
    :param drift: what :class:`DriftOperator` returned.
    :param performance: what :class:`PerformanceOperator` returned.
    :param shadow: what :class:`ShadowOperator` returned; None if no challenger is judged.
    :param staleness: largest number of partitions that may pass since training; None means any number.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    template_fields: Sequence[str] = (
        "model",
        "drift",
        "performance",
        "shadow",
        "partition",
        "mlflow_conn_id",
    )
    ui_color = "#fffde7"

    def __init__(
        self,
        *,
        model: str,
        drift: Any,
        performance: Any,
        shadow: Any = None,
        staleness: int | None = None,
        partition: str | None = None,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.drift = drift
        self.performance = performance
        self.shadow = shadow
        self.staleness = staleness
        self.partition = partition
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Judge the health, and record checks and report."""
        _, dataset, champion = subject(context, self.model, self.partition, self.mlflow_conn_id)
        others = [*self.performance.get("others", ()), *(self.shadow or {}).get("checks", ())]
        report = health.health(
            model=self.model,
            dataset=dataset,
            champion=champion,
            drift=Check.from_dict(self.drift["overall"]),
            columns=tuple(Check.from_dict(column) for column in self.drift["columns"]),
            performance=Check.from_dict(self.performance["check"]),
            metrics=self.performance["metrics"],
            staleness=self.staleness,
            others=[Check.from_dict(check) for check in others],
        )
        checks.record(table_uri(self.model, "checks"), report)
        # After the checks, so that a task that waits for the report finds its checks too.
        health.record(table_uri(self.model, "monitoring"), report)
        for name, value in checks.gauges(report).items():
            stats.gauge(name, value)
        assets.emit(context, assets.health(self.model), health=report)
        parts = (report.drift, report.performance, report.staleness, *report.others)
        about, details = (self.model, report.partition), map(sentences.judged, parts)
        conclude(context, about, sentences.well(report), details, note=True)
        push_facts(context, report)
        return report.to_dict()
