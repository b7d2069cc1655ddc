"""Judge one partition of another system's predictions: drift against the reference, and quality on labels that have matured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, HealthReport, ModelRef
from airflow_mlops.domain.metrics import Task
from airflow_mlops.domain.predictions import PREDICTION, SCORE
from airflow_mlops.domain.spec.data import Features
from airflow_mlops.domain.spec.monitoring import MonitoringSpec
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.summaries import build, summary
from airflow_mlops.stages.drift import windows
from airflow_mlops.stages.drift.compare import Drift, compare
from airflow_mlops.stages.drift.windows import DriftWindow
from airflow_mlops.stages.monitor import checks, health
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.performance.performance import Performance
from airflow_mlops.stages.performance.subject import Subject
from airflow_mlops.stages.train.recipe import by_type
from airflow_mlops.stages.watch import reference
from airflow_mlops.stages.watch.predictions import classes_of, main_version
from airflow_mlops.stages.watch.reference import Reference
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from airflow_mlops.learning.summaries.summary import Column

Uri = Callable[[str], str]
"""A function that returns the URI of one of the model's tables, by the table's name."""


class Watched(NamedTuple):
    """What was found of a partition.

    :param drift: with the page and the picture of it, if there are some.
    """

    report: HealthReport
    drift: Drift


def watch(spec: MonitoringSpec, dataset: DatasetVersion, uri: Uri, *, page: bool = True) -> Watched:
    """Judge the predictions of a partition, and keep the verdict as that of a champion is kept.

    :param dataset: the partition, with the labels that were known by its end.
    :param page: whether to draw the page and the picture of drift.
    :raises SchemaMismatch: if labels do not fit the task, or the predictions' keys.
    """
    references, why = reference.partitions(spec, dataset)
    version = main_version(spec.name, dataset.partition, uri("predictions"))
    drifted = _drift(spec, dataset, references, why, uri, page=page)
    measured = _performance(spec, dataset, references, version, uri)
    report = health.health(
        model=spec.name,
        dataset=dataset,
        champion=version,
        drift=drifted.overall,
        columns=drifted.columns,
        performance=measured.check,
        metrics=measured.metrics,
        staleness=None,
        others=measured.others,
    )
    checks.record(uri("checks"), report)
    health.record(uri("monitoring"), report)
    return Watched(report, drifted)


def _performance(
    spec: MonitoringSpec,
    dataset: DatasetVersion,
    references: list[DatasetVersion],
    version: ModelRef | None,
    uri: Uri,
) -> Performance:
    if version is None:
        return Performance(
            _inconclusive("performance", "predictions", "the partition has no predictions"), {}
        )
    # Where the data has no column of labels, there is no table of them either, and so no label.
    apart = spec.labels.source is not None or spec.target not in dataset.columns
    truth = Truth(dataset, Question.of_predictions(spec), uri("labels") if apart else None)
    policy = spec.monitor.performance
    behind = Reference(spec, tuple(references), truth, uri("predictions"))
    subject = Subject(behind, uri("predictions"), truth, policy.slices, policy.min_rows)
    return performance.measure(subject, version, behind.stand_in, policy, uri("performance"))


def _drift(
    spec: MonitoringSpec,
    dataset: DatasetVersion,
    references: list[DatasetVersion],
    why: str,
    uri: Uri,
    *,
    page: bool,
) -> Drift:
    if not references:
        return Drift(_inconclusive("drift", "a reference", why), ())
    policy = spec.monitor.drift
    window = windows.of(dataset, policy.window)
    features = spec.features or _features(spec, dataset)
    before = _merged(
        [windows.features(DriftWindow((part,)), features, uri("summaries")) for part in references]
    )
    now = windows.features(window, features, uri("summaries"))
    then = _predicted(spec, references, uri("predictions"))
    lately = _predicted(spec, window.partitions, uri("predictions"))
    name = "<prediction>" if "prediction" in now else "prediction"
    extra = {} if then is None or lately is None else {name: (then, lately)}
    if not now:
        # Without features, the predictions are what is judged.
        before, now = ({name: sides[place] for name, sides in extra.items()} for place in (0, 1))
        extra = {}
    span = (
        references[0].partition
        if len(references) == 1
        else f"{references[0].partition} to {references[-1].partition}"
    )
    return compare(
        before,
        now,
        policy=policy,
        title=f"{spec.name} {window} against {span}",
        extra=extra,
        page=page,
    )


def _features(spec: MonitoringSpec, dataset: DatasetVersion) -> Features:
    """Return the columns that are compared where the spec names none: all that have no other use, by their types."""
    others = {*spec.key, spec.event_time, spec.target, *spec.predictions.columns}
    kinds = by_type({name: kind for name, kind in dataset.columns.items() if name not in others})
    return Features(numeric=tuple(kinds["numeric"]), categorical=tuple(kinds["categorical"]))


def _merged(parts: list[dict[str, Column]]) -> dict[str, Column]:
    return {name: summary.merge(part[name] for part in parts) for name in parts[0]}


def _predicted(spec: MonitoringSpec, partitions: Sequence[DatasetVersion], uri: str) -> Column | None:
    """Return the summary of the predictions of partitions, whichever version made them; None if there are none."""
    if not tables.exists(uri):
        return None
    is_chosen = spec.task is Task.CLASSIFICATION and (
        len(classes_of(spec)) > len(BINARY) or not spec.predictions.has_probabilities
    )
    column = PREDICTION if is_chosen else SCORE
    kinds = ((), (column,)) if is_chosen else ((column,), ())
    parts = [
        build.summarise(
            tables.batches(uri, partition=part.partition, columns=[column]),
            numeric=kinds[0],
            categorical=kinds[1],
        )[column]
        for part in partitions
    ]
    present = [part for part in parts if part.rows]
    return summary.merge(present) if present else None


def _inconclusive(name: str, expected: str, reason: str) -> Check:
    return Check(name=name, verdict=Verdict.INCONCLUSIVE, expected=expected, reason=reason)
