"""Guard the champion alias, and restore the former champion if a new one does worse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops import assets
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.domain.spec.monitor import Monitor
from airflow_mlops.domain.spec.own_metrics import OwnMetric
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, dataset_of, push, push_facts, run_of, table_uri, with_labels
from airflow_mlops.stages.guard import guard

if TYPE_CHECKING:
    from airflow.sdk import Context


class GuardOperator(BaseOperator):
    """Compare champion alias and ledger, and a new champion with the former; move the alias back by the policy.

    Returns the :class:`~airflow_mlops.domain.facts.results.GuardReport` as a dict. No finding fails the task. Its
    outlet gets an event only if the champion moved.

    :param model: name of the model.
    :param target: column that holds the labels.
    :param task: classification or regression.
    :param classes: the classes of a classification in order; none takes those of the training rows.
    :param decision: from which probability on a row is put in the second of two classes; None means 0.5.
    :param weights: column of the data that says how much each row counts; None means that all count alike.
    :param metric: the metric by which the two champions are compared.
    :param own_metrics: metrics of one's own by name; None for none.
    :param delay: how long after its event time a label is known.
    :param policy: the monitoring policy, of which ``alias_guard`` and ``rollback`` are used; None means the defaults.
    :param labels: whether labels are in the model's table ``labels``, and not in its data.
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
        policy: Monitor | None = None,
        labels: bool = False,
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
        self.policy = policy
        self.labels = labels
        self.partition = partition
        self.mlflow_conn_id = mlflow_conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Check alias and champion, and move the alias back if necessary."""
        dataset = dataset_of(context, self.model, self.partition)
        report = guard.check(
            MlflowHook(self.mlflow_conn_id).get_conn(),
            ledger_uri=table_uri(self.model, "ledger"),
            model=self.model,
            dataset=with_labels(dataset, self.model, self.target if self.labels else None),
            policy=self.policy or Monitor(),
            question=Question.named_by(self),
            key=f"{run_of(context)}/{self.task_id}",
            actor=run_of(context),
        )
        loud = Verdict.FAIL in (report.alias.verdict, report.probation.verdict)
        conclude(
            context,
            (self.model, report.partition),
            report.reason if report.restored is None else sentences.decided(report.restored),
            map(sentences.judged, (report.alias, report.probation)),
            loud=loud,
            note=report.restored is not None,
        )
        champion = assets.champion(self.model)
        if report.restored is None:
            # Airflow sends an event for each outlet of a task that succeeds, and the champion has not moved.
            self.outlets = [outlet for outlet in self.outlets if outlet != champion]
        else:
            push(context, "decision", report.restored.to_dict())
            assets.emit(context, champion, decision=report.restored)
        push_facts(context, report)
        return report.to_dict()
