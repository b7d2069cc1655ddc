"""Predict a partition with the champion."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops import assets
from airflow_mlops.domain.spec.score import Score
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.hooks.outputs import from_spec
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, dataset_of, push_facts, table_uri
from airflow_mlops.stages.guard import guard
from airflow_mlops.stages.score import beside, score
from airflow_mlops.stores.outputs import tables

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.stores.registry.client import Client


class ScoreOperator(BaseOperator):
    """Write the champion's predictions of one partition, once for each model and data version.

    To score many partitions in one run, map it: ``ScoreOperator.partial(…).expand(partition=[…])``. Returns the
    :class:`~airflow_mlops.domain.facts.results.ScoringReport` as a dict; it has no rows while there is no champion.

    :param model: name of the registered model and of its dataset.
    :param task: classification or regression.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
    :param score: where else predictions go, and whether a challenger predicts beside the champion; None means the Delta
        table alone.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    template_fields: Sequence[str] = ("model", "partition", "mlflow_conn_id")
    ui_color = "#ede7f6"

    def __init__(
        self,
        *,
        model: str,
        task: str,
        partition: str | None = None,
        score: Score | None = None,
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.task = task
        self.partition = partition
        self.score = score
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Resolve the champion of that time and its challenger, score, and deliver the predictions to the outputs."""
        # The time is taken before the models are resolved: a challenger is not to blame for a pass that began earlier.
        options, now = self.score or Score(), datetime.now(UTC)
        dataset = dataset_of(context, self.model, self.partition)
        client = MlflowHook(self.mlflow_conn_id).get_conn()
        standing = score.standing_for(client, table_uri(self.model, "ledger"), self.model, dataset.partition)
        report = score.score(
            client,
            model=self.model,
            dataset=dataset,
            champion=standing.champion,
            task=self.task,
            uri=table_uri(self.model, "predictions"),
            beside=self._beside(client, dataset.partition) if options.shadow else None,
            split=options.split,
            now=now,
        )
        if standing.problem:
            self.log.error("%s %s: %s", self.model, report.partition, standing.problem)
            report = report.model_copy(update={"reason": f"{report.reason}; {standing.problem}"})
        if standing.live:
            push_facts(context, guard.alias_report(self.model, report.partition, standing))
        report = tables.deliver(report, [from_spec(output) for output in options.outputs])
        assets.emit(context, assets.predictions(self.model), scoring=report)
        conclude(context, (self.model, report.partition), sentences.scored(report), report.outputs, note=True)
        return report.to_dict()

    def _beside(self, client: Client, partition: str) -> score.Beside | None:
        uri = table_uri(self.model, "challenger")
        try:
            challenger = beside.challenger_for(
                client, model=self.model, partition=partition, ledger_source=table_uri(self.model, "ledger"), uri=uri
            )  # fmt: skip
        except (ModelNotFound, DigestMismatch) as error:
            self.log.warning("%s %s is scored without its challenger: %s", self.model, partition, error)
            return None
        return score.Beside(challenger, uri) if challenger is not None else None
