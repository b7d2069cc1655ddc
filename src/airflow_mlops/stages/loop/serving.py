"""The champion on one partition: its predictions, and its health, as the DAGs ``<model>.score`` and ``.monitor`` have them."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.classes import class_name
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, HealthReport, ModelRef
from airflow_mlops.domain.facts.scoring import ScoringReport
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.policies.labels import unmatched
from airflow_mlops.domain.policies.seen import references
from airflow_mlops.exceptions import BadRows, DigestMismatch, ModelNotFound
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.stages.drift import compare, drift
from airflow_mlops.stages.guard import guard
from airflow_mlops.stages.loop.plan import LoopPlan, PredictionPlan, WatchPlan
from airflow_mlops.stages.monitor import checks, health
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.score import beside, score
from airflow_mlops.stages.shadow import shadow
from airflow_mlops.stages.shadow.shadow import ShadowTrial
from airflow_mlops.stages.watch import predictions, watch
from airflow_mlops.stores.outputs import tables as outputs
from airflow_mlops.stores.tables import versions

log = logging.getLogger(__name__)


def scored(plan: LoopPlan, dataset: DatasetVersion) -> ScoringReport:
    """Score a partition with the champion of its time, beside it with a challenger, and deliver the predictions."""
    # The time is taken before the models are resolved: a challenger is not to blame for a pass that began earlier.
    now, spec = datetime.now(UTC), plan.spec
    standing = score.standing_for(plan.client, plan.uri("ledger"), spec.name, dataset.partition)
    report = score.score(
        plan.client,
        model=spec.name,
        dataset=dataset,
        champion=standing.champion,
        task=spec.task.value,
        uri=plan.uri("predictions"),
        beside=_challenger(plan, dataset.partition) if spec.score.shadow else None,
        split=spec.score.split,
        now=now,
    )
    if standing.problem:
        report = report.model_copy(update={"reason": f"{report.reason}; {standing.problem}"})
    return outputs.deliver(report, plan.outputs)


def _challenger(plan: LoopPlan, partition: str) -> score.Beside | None:
    uri = plan.uri("challenger")
    try:
        challenger = beside.challenger_for(
            plan.client, model=plan.spec.name, partition=partition, ledger_source=plan.uri("ledger"), uri=uri
        )
    except (ModelNotFound, DigestMismatch) as error:
        log.warning("%s %s is scored without its challenger: %s", plan.spec.name, partition, error)
        return None
    return score.Beside(challenger, uri) if challenger is not None else None


def monitored(plan: LoopPlan, dataset: DatasetVersion) -> HealthReport:
    """Take in labels that have become known, and judge drift, quality and age of the champion; guard its alias.

    :raises BadRows: if more labels belong to no row than ``labels.max_unmatched`` lets pass.
    """
    spec = plan.spec
    take_labels(plan, Partition.parse(dataset.partition, spec.grain))
    champion = score.champion_for(plan.client, plan.uri("ledger"), spec.name, dataset.partition)
    drifted = _drift(plan, dataset, champion)
    measured = performance.performance(
        plan.client,
        truth=Truth(dataset, Question.of(spec), plan.labels_uri),
        champion=champion,
        policy=spec.monitor.performance,
        predictions_uri=plan.uri("predictions"),
        performance_uri=plan.uri("performance"),
    )
    _guard(plan, dataset)
    report = health.health(
        model=spec.name,
        dataset=dataset,
        champion=champion,
        drift=drifted.overall,
        columns=drifted.columns,
        performance=measured.check,
        metrics=measured.metrics,
        staleness=spec.monitor.staleness,
        others=[*measured.others, *_trial(plan, dataset)],
    )
    checks.record(plan.uri("checks"), report)
    health.record(plan.uri("monitoring"), report)
    return report


def watched(plan: WatchPlan, dataset: DatasetVersion) -> HealthReport:
    """Take another system's predictions from a partition, and labels that have become known, and judge both.

    :raises BadRows: as :func:`take_labels` does, or if a prediction is none.
    """
    predictions.take(plan.spec, dataset, plan.uri("predictions"))
    take_labels(plan, Partition.parse(dataset.partition, plan.spec.grain))
    report, compared = watch.watch(plan.spec, plan.with_labels(dataset), plan.uri, page=plan.pictures)
    _draw(plan, dataset.partition, compared)
    return report


def take_labels(plan: PredictionPlan, partition: Partition) -> None:
    """Take in the labels that have become known during a partition.

    :raises SourceMissing: if there are none, though a row can have one by its end.
    :raises BadRows: if more labels belong to no row than ``labels.max_unmatched`` lets pass.
    """
    spec = plan.spec
    if plan.labels is None:
        return
    report = labels.ingest(
        plan.labels,
        partition,
        uri=plan.uri("labels"),
        key=spec.key,
        event_time=spec.event_time,
        target=spec.target,
        task=spec.task.value,
        data=plan.uri("data"),
        ambiguous=spec.ambiguous,
        classes=tuple(map(class_name, spec.classes)),
        pii=spec.pii,
        delay=spec.labels.delay,
    )
    if report.reason:
        # As usual as it is at the start, it is worth one line, and not one for each partition until labels are due.
        is_first = versions.partitions(plan.uri("data"))[:1] == [partition.key]
        log.log(
            logging.WARNING if is_first else logging.INFO, "%s %s %s.", spec.name, partition, report.reason
        )
    check = unmatched(report, spec.labels.max_unmatched)
    if check is not None and check.verdict is Verdict.FAIL:
        log.warning("%s %s: %s", spec.name, partition, check.reason)
        if spec.labels.on_unmatched == "block":
            raise BadRows(f"{check.reason}; labels.max_unmatched is {spec.labels.max_unmatched:g}")


def _drift(plan: LoopPlan, dataset: DatasetVersion, champion: ModelRef | None) -> compare.Drift:
    policy = plan.spec.monitor.drift
    delay = plan.spec.labels.delay
    compared = drift.drift(
        plan.client,
        dataset=dataset if champion is None else plan.with_labels(dataset),
        champion=champion,
        policy=policy,
        summaries_uri=plan.uri("summaries"),
        predictions_uri=plan.uri("predictions"),
        target=plan.spec.target,
        delay=delay,
        seen=references(
            policy,
            champion,
            dataset,
            delay,
            lambda: health.history(plan.uri("monitoring"), dataset.partition),
        ),
        page=plan.pictures,
    )
    _draw(plan, dataset.partition, compared)
    return compared


def _draw(plan: PredictionPlan, partition: str, compared: compare.Drift) -> None:
    """Keep the page and the picture of drift."""
    if compared.html:
        plan.page(partition, "drift", compared.html)
    if compared.picture is not None:
        plan.write(f"{plan.spec.name}/{partition}/drift.png", compared.picture)


def _guard(plan: LoopPlan, dataset: DatasetVersion) -> None:
    spec = plan.spec
    if spec.monitor.rollback is None and spec.monitor.alias_guard == "off":
        return
    report = guard.check(
        plan.client,
        ledger_uri=plan.uri("ledger"),
        model=spec.name,
        dataset=plan.with_labels(dataset),
        policy=spec.monitor,
        question=Question.of(spec),
        key=f"{plan.run_of(dataset.partition, 'monitor')}/guard",
        actor=plan.actor,
    )
    if Verdict.FAIL in (report.alias.verdict, report.probation.verdict):
        log.warning("%s %s: %s", spec.name, dataset.partition, report.reason)


def _trial(plan: LoopPlan, dataset: DatasetVersion) -> tuple[Check, ...]:
    """Judge a challenger, and end its trial once its windows suffice; return the checks of that."""
    spec = plan.spec
    if not spec.score.shadow:
        return ()
    trial = ShadowTrial(
        client=plan.client,
        model=spec.name,
        ledger_uri=plan.uri("ledger"),
        uri=plan.uri("challenger"),
        predictions=plan.uri("predictions"),
        truth=Truth(dataset, Question.of(spec), plan.labels_uri),
        policy=spec.gates.shadow,
        serving=spec.gates.serving,
    )
    key = f"{plan.run_of(dataset.partition, 'monitor')}/shadow"
    return shadow.check(trial, key=key, actor=plan.actor).checks
