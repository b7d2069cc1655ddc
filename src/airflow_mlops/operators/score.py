"""Predict a partition with the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops import assets
from airflow_mlops.engines import score
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.runs import dataset_of, table_uri

if TYPE_CHECKING:
    from airflow.sdk import Context


class ScoreOperator(BaseOperator):
    """Write the champion's predictions of one partition, once for each model and data version.

    Returns the :class:`~airflow_mlops.domain.results.ScoringReport` as a dict; it has no rows while there is no
    champion.

    :param model: name of the registered model and of its dataset.
    :param task: classification or regression.
    :param partition: key of the partition; None means the run's ``partition_key``, or the latest without one.
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
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.task = task
        self.partition = partition
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Resolve the champion of that time, and score."""
        dataset = dataset_of(context, self.model, self.partition)
        client = MlflowHook(self.mlflow_conn_id).get_conn()
        champion = score.champion_for(client, table_uri(self.model, "ledger"), self.model, dataset.partition)
        report = score.score(
            client,
            model=self.model,
            dataset=dataset,
            champion=champion,
            task=self.task,
            uri=table_uri(self.model, "predictions"),
        )
        assets.emit(context, assets.predictions(self.model), scoring=report)
        self.log.info("%s %s: %s rows: %s", self.model, report.partition, f"{report.rows:,}", report.reason)
        return report.to_dict()
