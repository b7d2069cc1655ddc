"""Judge a challenger beside the champion, and promote or drop it once its windows suffice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops import assets
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.domain.spec.gates import Serving, Shadow
from airflow_mlops.domain.spec.own_metrics import OwnMetric
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, dataset_of, push, push_facts, run_of, table_uri
from airflow_mlops.stages.shadow import shadow
from airflow_mlops.stages.shadow.shadow import ShadowTrial

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.stores.registry.client import Client


class ShadowOperator(BaseOperator):
    """Compare the challenger with the champion on rows whose labels have matured; end its trial once they suffice.

    Returns the :class:`~airflow_mlops.domain.facts.scoring.ChallengeReport` as a dict. No finding fails the task. Its
    outlet gets an event only if the champion moved. Run it after all other tasks that resolve the champion of the
    partition.

    :param model: name of the model, whose :class:`ScoreOperator` has ``shadow: true``.
    :param target: column that holds the labels.
    :param task: classification or regression.
    :param classes: the classes of a classification in order; none takes those of the training rows.
    :param decision: from which probability on a row is put in the second of two classes; None means 0.5.
    :param weights: column of the data that says how much each row counts; None means that all count alike.
    :param metric: the metric by which the two are compared.
    :param own_metrics: metrics of one's own by name; None for none.
    :param delay: how long after its event time a label is known.
    :param labels: whether labels are in the model's table ``labels``, and not in its data.
    :param policy: what a challenger must achieve to become champion; None only records how it does, and promotes none.
    :param serving: limits of loading and predicting; None means the defaults.
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
        labels: bool = False,
        policy: Shadow | None = None,
        serving: Serving | None = None,
        partition: str | None = None,
        mlflow_conn_id: str | None = None,
        classes: Sequence[str | int] = (),
        decision: Decision | None = None,
        own_metrics: Mapping[str, OwnMetric] | None = None,
        weights: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.model = model
        self.target = target
        self.task = task
        self.classes = classes
        self.decision = decision
        self.weights = weights
        self.metric = metric
        self.own_metrics = own_metrics
        self.delay = delay
        self.labels = labels
        self.policy = policy
        self.serving = serving
        self.partition = partition
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Judge the challenger, and end the trial if its windows suffice."""
        dataset = dataset_of(context, self.model, self.partition)
        labels_uri = table_uri(self.model, "labels") if self.labels else None
        subject = ShadowTrial(
            client=MlflowHook(self.mlflow_conn_id).get_conn(),
            model=self.model,
            ledger_uri=table_uri(self.model, "ledger"),
            uri=table_uri(self.model, "challenger"),
            predictions=table_uri(self.model, "predictions"),
            truth=Truth(dataset, Question.named_by(self), labels_uri),
            policy=self.policy,
            serving=self.serving,
        )
        report = shadow.check(subject, key=f"{run_of(context)}/{self.task_id}", actor=run_of(context))
        loud = any(check.verdict is Verdict.FAIL for check in report.checks)
        conclude(
            context,
            (self.model, report.partition),
            report.reason if report.moved is None else sentences.decided(report.moved),
            map(sentences.judged, report.checks),
            loud=loud,
            note=report.moved is not None,
        )
        champion = assets.champion(self.model)
        if report.moved is not None:
            push(context, "decision", report.moved.to_dict())
        if report.moved is not None and report.moved.action is Action.PROMOTED:
            assets.emit(context, champion, decision=report.moved)
            self._describe(subject.client, report.moved)
        else:
            # Airflow sends an event for each outlet of a task that succeeds, and the champion has not moved.
            self.outlets = [outlet for outlet in self.outlets if outlet != champion]
        push_facts(context, report)
        return report.to_dict()

    def _describe(self, client: Client, decision: PromotionDecision) -> None:
        try:
            from airflow_mlops.reporting.card import card

            card.describe(client, str(decision.after), decision, self.metric, decision.metrics)
        except Exception:  # the champion has moved: a description that cannot be written changes nothing
            self.log.warning("The registry does not tell of the promotion", exc_info=True)
