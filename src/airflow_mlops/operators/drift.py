"""Measure how far a partition has drifted from what the champion was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.spec import DriftPolicy
from airflow_mlops.engines import monitor, monitor_drift
from airflow_mlops.links import ReportLink
from airflow_mlops.operators.subject import subject
from airflow_mlops.runs import save_report

if TYPE_CHECKING:
    from airflow.sdk import Context


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
        client, dataset, champion = subject(context, self.model, self.partition, self.mlflow_conn_id)
        overall = monitor.no_champion("drift")
        columns: tuple[Check, ...] = ()
        if champion is not None:
            overall, columns, html = monitor_drift.drift(
                client, dataset=dataset, champion=champion, policy=self.policy or DriftPolicy()
            )
            save_report(context, self.model, dataset.partition, "drift", html)
        self.log.info("%s %s: drift %s: %s", self.model, dataset.partition, overall.verdict, overall.reason)
        return {"overall": overall.to_dict(), "columns": [column.to_dict() for column in columns]}
