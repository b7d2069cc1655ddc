"""Judge predictions by the labels that have matured."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.domain.spec import PerformancePolicy
from airflow_mlops.engines import monitor, monitor_performance
from airflow_mlops.operators.subject import subject
from airflow_mlops.runs import table_uri

if TYPE_CHECKING:
    from airflow.sdk import Context


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
        client, dataset, champion = subject(context, self.model, self.partition, self.mlflow_conn_id)
        check = monitor.no_champion("performance")
        metrics: dict[str, float | None] = {}
        if champion is not None:
            check, metrics = monitor_performance.performance(
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
