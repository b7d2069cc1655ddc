"""Performance as of one partition: predictions compared with the labels that have matured."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.performance import Judgement
from airflow_mlops.domain.facts.results import ModelRef
from airflow_mlops.domain.policies import monitoring
from airflow_mlops.domain.policies import quality as tests
from airflow_mlops.domain.spec.decision import COST
from airflow_mlops.learning.labels.coding import Coding
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import own_metrics
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.performance import checks, judge, quality, window
from airflow_mlops.stages.performance.metrics import measured
from airflow_mlops.stages.performance.registered import RegisteredVersions
from airflow_mlops.stages.performance.rows import predictor_of
from airflow_mlops.stages.performance.subject import Models, Subject
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import PerformancePolicy
    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.registry.registry import Training


class Performance(NamedTuple):
    """Performance of the champion, as far as labels are known.

    :param check: the check on the rows whose labels matured during the partition.
    :param metrics: metrics of these rows.
    :param others: further checks: ``labels``, those of :mod:`airflow_mlops.domain.policies.quality` that are part of the
        check, and some which decide nothing by themselves: ``baseline``, ``estimate``, ``intervals``, ``estimate.error``, ``concept``, ``volume``, ``latency``, ``feedback``, and one for each slice.
    :param history: the latest judgement of each scored partition and version, the newest first; empty if no
        history is kept.
    """

    check: Check
    metrics: dict[str, float | None]
    others: tuple[Check, ...] = ()
    history: tuple[Judgement, ...] = ()


@own_metrics.scoped(lambda client, *, truth, **_: truth.question)
def performance(
    client: Client,
    *,
    truth: Truth,
    champion: ModelRef | None,
    policy: PerformancePolicy,
    predictions_uri: str,
    performance_uri: str | None = None,
    estimated: bool = True,
) -> Performance:
    """Judge the predictions whose labels matured during a partition, and keep the history of all partitions.

    A label matures some time after its event time, and not before it is known. Only predictions of this
    champion count for the verdict, not those of the champion before it. The history has a judgement for each
    version that has scored a partition.

    :param truth: the data as of the partition, and where its labels are.
    :param champion: None if the model has no champion; performance is then INCONCLUSIVE.
    :param performance_uri: URI of the table of the history (:mod:`airflow_mlops.stages.performance.judge`);
        None keeps no history.
    :param estimated: whether quality is estimated before labels come.
    :raises MetricFailed: if a metric of one's own cannot be imported or computed.
    :raises SchemaMismatch: if labels do not fit the task, or the predictions' keys.
    """
    if champion is None:
        return Performance(monitoring.no_champion("performance"), {})
    subject = Subject(
        RegisteredVersions(client, champion.model, estimated),
        predictions_uri,
        truth,
        policy.slices,
        policy.min_rows,
    )
    return measure(subject, champion, registry.training(client, champion), policy, performance_uri)


def measure(
    subject: Subject,
    champion: ModelRef,
    training: Training,
    policy: PerformancePolicy,
    performance_uri: str | None = None,
) -> Performance:
    """Judge the predictions of one version as :func:`performance` does.

    :param training: what it has learned from, and its metrics then.
    """
    truth, predictions_uri = subject.truth, subject.predictions_uri
    dataset, task, metric = truth.dataset, truth.question.task, truth.question.metric
    holdout = training.metrics
    if not tables.exists(predictions_uri):
        return Performance(monitoring.performance({}, holdout, policy, metric, 0, policy.min_rows), {})
    matured = window.matured(subject, predictor_of(champion))
    rows = matured.rows
    coding = Coding.of(truth.question, training.classes, training.decision).widened(rows)
    holdout = coding.comparable(holdout, training.decision.costs)
    named = (metric, *policy.floor, *((COST,) if truth.question.costs else ()))
    weights, metrics = coding.weights_of(rows, dataset.key), {}
    if rows.num_rows:
        metrics = measures.metrics(*coding.arrays(rows), task, named, rule=coding.decision, weights=weights)
        metrics = {name: metrics[name] for name in coding.measurable(metrics)}
    measurement = None
    if rows.num_rows:
        measurement = measured(rows, coding, dataset.event_time, dataset.grain, [metric])[metric]
    check = monitoring.performance(
        metrics, holdout, policy, metric, rows.num_rows, policy.min_rows, then=checks.then(champion)
    )
    labels_check = window.labels(matured, policy)
    if measurement is not None:
        check = check.model_copy(update={"interval": measurement.interval})
    history = judge.update(subject, performance_uri) if performance_uri is not None else []
    models = Models(subject, history)
    tested: tuple[Check, ...] = ()
    if not training.constant:
        tested = quality.checks(subject, champion, training, rows, coding, models, policy, performance_uri)
    bounded = bool(policy.floor) or policy.drop is not None
    check = tests.performance(check, tested, bounded=bounded)
    if matured.due and matured.coverage < policy.min_coverage:
        check = check.model_copy(update={"verdict": Verdict.INCONCLUSIVE, "reason": labels_check.reason})
    if training.constant:
        check = monitoring.constant(check)
    others = (
        labels_check,
        *tested,
        checks.baseline(subject, champion, rows, coding, measurement, models, policy),
        *checks.intervals(subject, champion, rows, coding, policy),
        *checks.slices(subject, rows, coding, policy),
        *checks.classes(subject, rows, coding, policy),
        *checks.estimates(subject, champion, history, models, policy),
        *checks.served(subject, champion, coding, policy),
        *checks.feedback(matured, coding, policy),
    )
    return Performance(check, metrics, others, tuple(history))
