"""Judge the best candidate beside the champion."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.domain.facts.results import Evaluation, TrainedModel
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.model import Gates
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.links import MlflowRunLink, ReportLink
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, push, save_report, table_uri
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stores.registry import champions

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.domain.facts.results import ModelRef
    from airflow_mlops.stores.registry.client import Client


class EvaluateOperator(BaseOperator):
    """Judge what a training offers beside the champion on the same holdout rows, gate by gate: the best candidate, or a recalibration first.

    Returns the :class:`~airflow_mlops.domain.facts.results.Evaluation` as a dict, and keeps the candidate's model card as a
    report. A FAIL is a result, not an error.

    :param models: what :class:`TrainOperator` returned: one dict, or a list of them if it was mapped.
    :param gates: what a candidate must reach; None means to be better than the champion.
    :param retrain: what :class:`~airflow_mlops.operators.decide.DecideOperator` returned, which says whether the champion fails;
        None if it is not known.
    :param description: what the model is for; its card shows it, and the task's owner.
    :param mlflow_conn_id: MLflow connection; None means ``[mlops] mlflow_conn_id``.
    """

    template_fields: Sequence[str] = ("models", "retrain", "mlflow_conn_id")
    operator_extra_links = (MlflowRunLink(), ReportLink())
    ui_color = "#fce4ec"

    def __init__(
        self,
        *,
        models: Any,
        gates: Gates | None = None,
        retrain: Any = None,
        description: str = "",
        mlflow_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.models = models
        self.gates = gates
        self.retrain = retrain
        self.description = description
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Read the holdout, predict with candidate and champion, and judge."""
        models = [self.models] if isinstance(self.models, dict) else list(self.models)
        candidates = [TrainedModel.from_dict(model) for model in models if model]
        client = MlflowHook(self.mlflow_conn_id).get_conn()
        evaluation = evaluate.evaluate_candidates(
            candidates,
            client=client,
            dataset=candidates[0].dataset,
            champion=self._champion(client, candidates[0]),
            gates=self.gates or Gates(),
            retrain=RetrainDecision.from_dict(self.retrain) if self.retrain else None,
        )
        push(context, "mlflow_run", evaluation.candidate.run_id)
        about, details = (evaluation.model, evaluation.partition), map(sentences.judged, evaluation.checks)
        conclude(context, about, sentences.evaluated(evaluation), details)
        self._keep_card(context, client, evaluation)
        return evaluation.to_dict()

    def _champion(self, client: Client, candidate: TrainedModel) -> ModelRef | None:
        model, partition = candidate.model, candidate.dataset.partition
        standing = champions.to_beat(client, table_uri(model, "ledger"), model, partition)
        if standing.problem:
            self.log.warning("%s: %s", model, standing.problem)
        return standing.champion

    def _keep_card(self, context: Context, client: Client, evaluation: Evaluation) -> None:
        from airflow_mlops.reporting.card import card

        try:
            html = card.write(
                client,
                evaluation,
                validation_uri=table_uri(evaluation.model, "validation"),
                description=self.description,
                owner=self.owner,
            )
            save_report(context, evaluation.model, evaluation.partition, "model_card", html)
        except Exception:
            self.log.exception("The model card of %s is missing", evaluation.model)
