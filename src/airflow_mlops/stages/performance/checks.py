"""Further checks of a champion in production, beside its quality; by themselves they decide nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.checks import Check
from airflow_mlops.domain.facts.performance import Judgement, Measured
from airflow_mlops.domain.facts.results import ModelRef
from airflow_mlops.domain.metrics import COVERAGE
from airflow_mlops.domain.policies import monitoring, performance
from airflow_mlops.domain.policies.intervals import coverage
from airflow_mlops.domain.predictions import MODEL_DIGEST, MODEL_VERSION, PROBABILITIES, SCORE, SCORED_AT
from airflow_mlops.domain.spec.class_gates import ClassGates
from airflow_mlops.domain.spec.gates import Slices
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.labels.coding import TRUTH, Coding
from airflow_mlops.learning.labels.join import MATURED, made_by
from airflow_mlops.learning.statistics import by_class, decisions, resampling
from airflow_mlops.learning.statistics.slices import Judged, floors
from airflow_mlops.stages.performance import concept_drift, metrics
from airflow_mlops.stages.performance.calibration import LEAST_ROWS
from airflow_mlops.stages.performance.rows import predictor_of
from airflow_mlops.stages.performance.subject import Models, Subject
from airflow_mlops.stages.performance.window import MaturedWindow, stream
from airflow_mlops.stores.tables import tables, versions

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.spec.model import PerformancePolicy


def baseline(
    subject: Subject,
    champion: ModelRef,
    rows: pa.Table,
    coding: Coding,
    measurement: Measured | None,
    models: Models,
    policy: PerformancePolicy,
) -> Check:
    """Compare the champion with a constant prediction, on the rows whose labels have matured.

    :param measurement: the champion's metric on these rows; None if there are none.
    """
    predictor = predictor_of(champion)
    prior, shares = models.prior(predictor), models.shares(predictor)
    metric, trained = subject.question.metric, models.training(predictor)
    naive = metrics.naive(rows, coding, prior, shares, metric).get(metric)
    gone = (
        "the labels of the reference are not known, or not due"
        if champion.is_external
        else "the training labels are gone"
    )
    if trained is not None and trained[1].constant:
        naive, gone = None, "the champion is a constant itself"
    return performance.baseline(metric, measurement, naive, policy.baseline, policy.min_rows, gone=gone)


def then(champion: ModelRef) -> str:
    """Return when a version was evaluated, in words."""
    return "in the reference" if champion.is_external else "at training"


def slices(subject: Subject, rows: pa.Table, coding: Coding, policy: PerformancePolicy) -> Iterator[Check]:
    """Check each slice against the floor, as the gates do; no checks without slices, floor or rows."""
    if not (policy.slices and policy.floor and rows.num_rows):
        return
    judged = _judged(subject, subject.truth.with_all_columns(rows, policy.slices), coding)
    gate = Slices(by=policy.slices, floor=policy.floor, min_rows=policy.min_rows)
    for check in floors(gate, judged)[0]:
        yield check.model_copy(update={"name": f"slice.{check.name}"})


def classes(subject: Subject, rows: pa.Table, coding: Coding, policy: PerformancePolicy) -> list[Check]:
    """Check each class against its floor, as the gates do; no checks without floors or rows."""
    if not (policy.classes and rows.num_rows):
        return []
    return by_class.floors(ClassGates(floor=policy.classes), _judged(subject, rows, coding), coding.judged)


def _judged(subject: Subject, rows: pa.Table, coding: Coding) -> Judged:
    dataset = subject.truth.dataset
    truth, predicted = coding.arrays(rows)
    times = rows[dataset.event_time].cast("timestamp[us]").to_numpy()
    blocks = resampling.blocks(times, "auto", dataset.grain)
    weights = coding.weights_of(rows, subject.truth.key)
    return Judged(rows, truth, predicted, blocks, coding.decision, weights)


def intervals(
    subject: Subject, champion: ModelRef, rows: pa.Table, coding: Coding, policy: PerformancePolicy
) -> Iterator[Check]:
    """Check how many of the values whose labels have matured lie between the bounds that the champion predicted."""
    dataset = subject.truth.dataset
    measured = metrics.bounds(rows, coding, dataset.event_time, dataset.grain).get(COVERAGE)
    nominal = None if measured is None else subject.versions.coverage(champion)
    if measured is not None and nominal is not None:
        yield coverage(
            measured.value, measured.interval, nominal, policy.intervals, measured.n, policy.min_rows
        )


def estimates(
    subject: Subject,
    champion: ModelRef,
    history: Sequence[Judgement],
    models: Models,
    policy: PerformancePolicy,
) -> Iterator[Check]:
    """Check the estimated performance of the partition and the error of earlier estimates, of classifiers."""
    if subject.question.task != "classification" or not subject.question.probabilities:
        return
    mine = [judgement for judgement in history if judgement.predictor == predictor_of(champion)]
    now = next(
        (judgement for judgement in mine if judgement.scored == judgement.as_of == subject.run.key), None
    )
    trained = models.training(predictor_of(champion))
    if now is not None:
        estimated = now.estimates
    else:
        rows = _predictions(subject, champion)
        estimated = (
            subject.versions.estimates(*trained, models.coding(predictor_of(champion)), rows)
            if trained
            else {}
        )
    by_metric = {name: measured.value for name, measured in estimated.items()}
    metric, n = (
        estimated.get(subject.question.metric),
        next((measured.n for measured in estimated.values()), 0),
    )
    if not estimated:
        expected = "an estimate"
        whose = "reference" if champion.is_external else "holdout"
        why = (
            f"there are no predictions, or no {whose} of {LEAST_ROWS} rows with labels, {LEAST_ROWS // 10} of either of two "
            "classes, to calibrate them by"
        )
        why = _without_weights(subject, champion, models) or why
        yield performance.unknown("estimate", expected, why)
    else:
        coding = models.coding(predictor_of(champion))
        holdout = coding.comparable(trained[1].metrics, trained[1].decision.costs) if trained else {}
        check = monitoring.performance(
            by_metric, holdout, policy, subject.question.metric, n, policy.min_rows, then=then(champion)
        )
        yield performance.as_estimate(check, metric)
    if history:
        yield performance.estimate_error(subject.question.metric, mine, policy.min_rows)


def _without_weights(subject: Subject, champion: ModelRef, models: Models) -> str:
    """Return why predictions cannot be weighted, as where weights come with the labels; "" if they can, or need not be."""
    try:
        rows = _predictions(subject, champion)
        models.coding(predictor_of(champion)).weights_of(rows, subject.truth.key)
    except SchemaMismatch as error:
        return f"an estimate needs the weight of each row. {str(error).rstrip('.')}"
    return ""


def served(
    subject: Subject, champion: ModelRef, coding: Coding, policy: PerformancePolicy
) -> Iterator[Check]:
    """Check the predictions of the partition: their errors in time, their number, how many are positive, and when they were made."""
    truth, run = subject.truth, subject.run
    if policy.concept is not None:
        rows = stream(subject, predictor_of(champion), concept_drift.LONGEST)
        yield concept_drift.concept(
            rows,
            since=run.start,
            event_time=truth.dataset.event_time,
            matured=MATURED,
            coding=coding,
            chance=policy.concept,
            least=policy.min_rows,
        )
    counts = _counts(subject)
    yield performance.volume(counts.pop(run.key, 0), [*counts.values()], policy.volume)
    if coding.decision.reason and not coding.many:
        scores = coding.predictions(_predictions(subject, champion))
        called = int(decisions.chosen(scores, coding.decision).sum())
        yield performance.positives(called, scores.size, coding.decision.positive)
    latest = _scored_at(subject)
    if latest is not None:
        yield performance.latency(latest, policy.latency)


def feedback(window: MaturedWindow, coding: Coding, policy: PerformancePolicy) -> Iterator[Check]:
    """Check whether rows get labels alike if predicted positive and if negative; only for classifiers of two classes."""
    if coding.task != "classification":
        return
    if coding.many:
        why = f"it compares two classes, and there are {len(coding.judged)}"
        yield performance.unknown("feedback", "labels for either class alike", why)
        return
    scores = window.decided[SCORE].to_numpy()
    labelled = window.decided[TRUTH].is_valid().to_numpy()
    positive = decisions.chosen(scores, coding.decision) == 1
    yield performance.feedback(
        (int((labelled & positive).sum()), int(positive.sum())),
        (int((labelled & ~positive).sum()), int((~positive).sum())),
        policy.min_rows,
    )


def _predictions(subject: Subject, champion: ModelRef) -> pa.Table:
    there = tables.dataset(subject.predictions_uri).schema.names
    columns = [SCORE, *([PROBABILITIES] if PROBABILITIES in there else []), MODEL_VERSION, MODEL_DIGEST]
    weights = [subject.question.weights] if subject.question.weights else []
    columns += subject.truth.key if weights else []
    rows = tables.read(subject.predictions_uri, partition=subject.run.key, columns=columns)
    rows = rows.filter(made_by(predictor_of(champion)))
    return subject.truth.with_columns(rows, subject.run, weights, "train.weights") if weights else rows


def _counts(subject: Subject) -> dict[str, int]:
    """Return the number of predictions of the partition and of those before it, by key."""
    import pyarrow.dataset as ds

    there = [key for key in versions.partitions(subject.predictions_uri) if key <= subject.run.key]
    predictions = tables.dataset(subject.predictions_uri)
    recent = there[-performance.USUAL - 1 :]
    return {key: predictions.count_rows(filter=ds.field(tables.PARTITION) == key) for key in recent}


def _scored_at(subject: Subject) -> timedelta | None:
    """Return the time from the partition's end to its last prediction; None if that was not recorded."""
    import pyarrow.compute as pc

    if SCORED_AT not in tables.dataset(subject.predictions_uri).schema.names:
        return None
    rows = tables.read(subject.predictions_uri, partition=subject.run.key, columns=[SCORED_AT])
    latest = pc.max(rows[SCORED_AT]).as_py()
    return None if latest is None else latest - subject.run.end
