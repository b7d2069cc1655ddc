"""Measure how far a partition has drifted from the data that the champion was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.domain.facts.drift import DriftReport
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.policies.seen import references
from airflow_mlops.domain.spec.model import DriftPolicy
from airflow_mlops.links import ReportLink
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import (
    conclude,
    push,
    push_facts,
    save_report,
    subject,
    table_uri,
    with_labels,
    write_report,
)
from airflow_mlops.stages.drift import drift
from airflow_mlops.stages.monitor import health

if TYPE_CHECKING:
    from airflow.sdk import Context


class DriftOperator(BaseOperator):
    """Compare a partition with the champion's training data, by Evidently's methods.

    Returns ``{"overall": Check, "columns": [Check, …]}`` as dicts. Evidently's report is linked from the task, and a
    small picture is kept beside it, with its path in the XCom ``picture``.

    :param model: name of the model.
    :param policy: what counts as drift; None means the defaults.
    :param target: column with the label, whose drift is reported too; None leaves it out.
    :param delay: time from an event until its label can be known.
    :param labels: whether labels are in the model's table ``labels``, and not in its data.
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
        target: str | None = None,
        delay: timedelta = timedelta(0),
        labels: bool = False,
        partition: str | None = None,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.policy = policy
        self.target = target
        self.delay = delay
        self.labels = labels
        self.partition = partition
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Measure every column, and keep the report."""
        client, dataset, champion = subject(context, self.model, self.partition, self.mlflow_conn_id)
        if champion is not None and self.labels:
            dataset = with_labels(dataset, self.model, self.target)
        policy = self.policy or DriftPolicy()
        compared = drift.drift(
            client,
            dataset=dataset,
            champion=champion,
            policy=policy,
            summaries_uri=table_uri(self.model, "summaries"),
            predictions_uri=table_uri(self.model, "predictions"),
            target=self.target,
            delay=self.delay,
            seen=references(
                policy,
                champion,
                dataset,
                self.delay,
                lambda: health.history(table_uri(self.model, "monitoring"), dataset.partition),
            ),
        )
        pages = {}
        if compared.html:
            pages["report"] = save_report(context, self.model, dataset.partition, "drift", compared.html)
        if compared.picture is not None:
            name = f"{self.model}/{dataset.partition}/drift.png"
            write_report(name, compared.picture)
            push(context, "picture", name)
            pages["picture"] = name
        report = DriftReport(overall=compared.overall, columns=compared.columns)
        about, details = (self.model, dataset.partition), map(sentences.judged, report.columns)
        conclude(context, about, sentences.judged(report.overall), details)
        push_facts(context, Statement.of(report, **pages))
        return report.to_dict()
