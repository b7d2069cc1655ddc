"""Measure the champion's health: drift, performance, staleness."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops import assets
from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.spec import DriftPolicy, PerformancePolicy
from airflow_mlops.engines import monitor, score
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.links import ReportLink
from airflow_mlops.runs import dataset_of, save_report, table_uri

if TYPE_CHECKING:
    from airflow.sdk import Context
    from mlflow import MlflowClient

    from airflow_mlops.domain.results import DatasetVersion, ModelRef


def _subject(
    context: Context, model: str, partition: str | None, conn_id: str | None
) -> tuple[MlflowClient, DatasetVersion, ModelRef | None]:
    dataset = dataset_of(context, model, partition)
    client = MlflowHook(conn_id).get_conn()
    return client, dataset, score.champion_for(client, table_uri(model, "ledger"), model, dataset.partition)


class DriftOperator(BaseOperator):
    """Compare a partition's features with the champion's training data, by Evidently.

    Returns ``{"overall": Check, "columns": [Check, …]}`` as dicts; Evidently's report is linked from the task.

    :param model: name of the model.
    :param policy: what counts as drift; None means the defaults.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    template_fields: Sequence[str] = ("model", "partition", "mlflow_conn_id")
    operator_extra_links = (ReportLink(),)
    ui_color = "#fffde7"

    def __init__(
        self,
        *,
        model: str,
        policy: DriftPolicy | None = None,
        partition: str | None = None,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.policy = policy
        self.partition = partition
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Measure every feature and keep the report."""
        client, dataset, champion = _subject(context, self.model, self.partition, self.mlflow_conn_id)
        overall = monitor.no_champion("drift")
        columns: tuple[Check, ...] = ()
        if champion is not None:
            overall, columns, html = monitor.drift(
                client, dataset=dataset, champion=champion, policy=self.policy or DriftPolicy()
            )
            save_report(context, self.model, dataset.partition, "drift", html)
        self.log.info("%s %s: drift %s: %s", self.model, dataset.partition, overall.verdict, overall.reason)
        return {"overall": overall.to_dict(), "columns": [column.to_dict() for column in columns]}


class PerformanceOperator(BaseOperator):
    """Judge the predictions whose labels have matured since the last partition.

    Returns ``{"check": Check, "metrics": {name: value}}`` as dicts.

    :param model: name of the model.
    :param target: column that holds the labels.
    :param task: classification or regression.
    :param metric: the metric that the policy's ``drop`` is about.
    :param delay: how long after its event time a label is known.
    :param policy: what counts as bad; None means the defaults.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    template_fields: Sequence[str] = ("model", "target", "partition", "mlflow_conn_id")
    ui_color = "#fffde7"

    def __init__(
        self,
        *,
        model: str,
        target: str,
        task: str,
        metric: str,
        delay: timedelta = timedelta(0),
        policy: PerformancePolicy | None = None,
        partition: str | None = None,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.target = target
        self.task = task
        self.metric = metric
        self.delay = delay
        self.policy = policy
        self.partition = partition
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Join predictions with matured labels and judge them."""
        client, dataset, champion = _subject(context, self.model, self.partition, self.mlflow_conn_id)
        check = monitor.no_champion("performance")
        metrics: dict[str, float | None] = {}
        if champion is not None:
            check, metrics = monitor.performance(
                client,
                dataset=dataset,
                champion=champion,
                predictions_uri=table_uri(self.model, "predictions"),
                target=self.target,
                task=self.task,
                metric=self.metric,
                delay=self.delay,
                policy=self.policy or PerformancePolicy(),
            )
        self.log.info("%s %s: performance %s: %s", self.model, dataset.partition, check.verdict, check.reason)
        return {"check": check.to_dict(), "metrics": metrics}


class HealthOperator(BaseOperator):
    """Put drift, performance and staleness together, and keep the verdict in the monitoring table.

    Returns the :class:`~airflow_mlops.domain.results.HealthReport` as a dict.

    :param model: name of the model.
    :param drift: what :class:`DriftOperator` returned.
    :param performance: what :class:`PerformanceOperator` returned.
    :param staleness: most partitions that may pass since training; None means any number.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    template_fields: Sequence[str] = ("model", "drift", "performance", "partition", "mlflow_conn_id")
    ui_color = "#fffde7"

    def __init__(
        self,
        *,
        model: str,
        drift: Any,
        performance: Any,
        staleness: int | None = None,
        partition: str | None = None,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.drift = drift
        self.performance = performance
        self.staleness = staleness
        self.partition = partition
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Judge, and keep the row."""
        _, dataset, champion = _subject(context, self.model, self.partition, self.mlflow_conn_id)
        report = monitor.health(
            model=self.model,
            dataset=dataset,
            champion=champion,
            drift=Check.from_dict(self.drift["overall"]),
            columns=tuple(Check.from_dict(column) for column in self.drift["columns"]),
            performance=Check.from_dict(self.performance["check"]),
            metrics=self.performance["metrics"],
            staleness=self.staleness,
        )
        monitor.record(table_uri(self.model, "monitoring"), report)
        assets.emit(context, assets.health(self.model), health=report)
        self.log.info("%s %s: health %s: %s", self.model, report.partition, report.verdict, report.reason)
        return report.to_dict()
