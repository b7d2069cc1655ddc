"""Ingest labels, and judge predictions by the labels that have matured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.classes import class_name
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.policies.labels import unmatched
from airflow_mlops.domain.spec.data import Labels
from airflow_mlops.domain.spec.model import Decision, PerformancePolicy
from airflow_mlops.domain.spec.own_metrics import OwnMetric
from airflow_mlops.exceptions import BadRows
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.reporting import sentences
from airflow_mlops.runs import conclude, partition_of, push_facts, subject, table_uri
from airflow_mlops.stages.performance import performance

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_mlops.stores.sources.source import Source


class PerformanceOperator(BaseOperator):
    """Judge the predictions whose labels have matured since the last partition, and all others again.

    Returns ``{"check": Check, "metrics": {name: value}, "others": [Check, …]}`` as dicts. The performance of each
    scored partition is kept in the model's table ``performance``.

    :param model: name of the model.
    :param target: column that holds the labels.
    :param task: classification or regression.
    :param classes: the classes of a classification in order; none takes those of the training rows.
    :param decision: from which probability on a row is put in the second of two classes; None means 0.5.
    :param weights: column of the data that says how much each row counts; None means that all count alike.
    :param metric: the metric to which the policy's ``drop`` applies.
    :param own_metrics: metrics of one's own by name; None for none.
    :param delay: how long after its event time a label is known.
    :param policy: what counts as bad; None means the defaults.
    :param labels: whether labels are in the model's table ``labels``, where :class:`IngestLabelsOperator` puts them,
        and not in its data.
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
        """Join predictions with matured labels and judge them."""
        client, dataset, champion = subject(context, self.model, self.partition, self.mlflow_conn_id)
        labels_uri = table_uri(self.model, "labels") if self.labels else None
        measured = performance.performance(
            client,
            truth=Truth(dataset, Question.named_by(self), labels_uri),
            champion=champion,
            policy=self.policy or PerformancePolicy(),
            predictions_uri=table_uri(self.model, "predictions"),
            performance_uri=table_uri(self.model, "performance"),
        )
        about, details = (self.model, dataset.partition), map(sentences.judged, measured.others)
        conclude(context, about, sentences.judged(measured.check), details)
        others = [check.to_dict() for check in measured.others]
        return {"check": measured.check.to_dict(), "metrics": measured.metrics, "others": others}


class IngestLabelsOperator(BaseOperator):
    """Read the labels that became known during a partition into a model's table of labels.

    Returns the :class:`~airflow_mlops.domain.facts.labels.LabelsReport` as a dict. The same labels again change
    nothing. A label is known from the time in its column ``labelled_at`` on, or from the partition that contains it.
    Keys are read with the types of the model's published data, and labels that belong to none of its rows are counted.

    :param model: name of the model.
    :param source: where the labels come from: rows of key, event time, target and perhaps ``labelled_at``. A partition
        has the labels that became known during it, whatever their event times.
    :param key: columns that identify a row of the data.
    :param event_time: column of the event time of the row to which a label belongs.
    :param target: column that holds the labels; rows without a value are left out.
    :param task: classification or regression.
    :param classes: the classes of a classification in order; none takes those of the training rows.
    :param grain: length of a partition: hour, day, week or month, and perhaps a time zone after it, as of the data.
    :param policy: how many labels may belong to no published row, and what follows if more do; and the delay, before which a
        source without labels is no error. None means the defaults.
    :param partition: key of the partition; None means the run's ``partition_key``.
    :param ambiguous: which one is meant by a time without an offset that occurs twice, as clocks are set back: ``earlier``
        or ``later``; None refuses it.
    :param pii: columns with personal data, whose values no message about a cell that cannot be read shows.
    """

    template_fields: Sequence[str] = ("model", "target", "partition")
    ui_color = "#e3f2fd"

    def __init__(
        self,
        *,
        model: str,
        source: Source,
        key: Sequence[str],
        event_time: str,
        target: str,
        task: str,
        grain: str = "day",
        policy: Labels | None = None,
        partition: str | None = None,
        ambiguous: str | None = None,
        classes: Sequence[str | int] = (),
        pii: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.ambiguous = ambiguous
        self.pii = pii
        self.model = model
        self.source = source
        self.key = key
        self.event_time = event_time
        self.target = target
        self.task = task
        self.classes = classes
        self.grain = grain
        self.policy = policy
        self.partition = partition

    def execute(self, context: Context) -> dict[str, Any]:
        """Read and merge the labels, log how many are new, and judge how many belong to no published row."""
        policy = self.policy or Labels()
        partition = partition_of(context, self.partition, self.grain)
        report = labels.ingest(
            self.source,
            partition,
            uri=table_uri(self.model, "labels"),
            key=self.key,
            event_time=self.event_time,
            target=self.target,
            task=self.task,
            data=table_uri(self.model, "data"),
            ambiguous=self.ambiguous,
            classes=tuple(map(class_name, self.classes)),
            pii=self.pii,
            delay=policy.delay,
        )
        check = unmatched(report, policy.max_unmatched)
        report = report.model_copy(update={"check": check})
        push_facts(context, report)
        # Of labels that all belong to a row there is nothing to say.
        matched = () if check is None or report.unmatched is None or not report.unmatched.total else (check,)
        failed = any(check.verdict is Verdict.FAIL for check in matched)
        conclude(
            context,
            (self.model, partition.key),
            sentences.labelled(report),
            [f"read from {self.source.describe(partition)}", *map(sentences.judged, matched)],
            loud=failed or report.contradictory > 0,
        )
        if check is not None and failed and policy.on_unmatched == "block":
            raise BadRows(
                f"{self.model} {partition.key}: {check.reason}. labels.max_unmatched is {policy.max_unmatched:g}: write "
                f"{', '.join(map(repr, self.key))} and {self.event_time!r} in labels.source as in the data, or raise it."
            )
        return report.to_dict()
