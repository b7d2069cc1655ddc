"""Judgements: predictions of one partition, measured by the labels that are known as of another one."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.classes import BINARY
from airflow_mlops.domain.facts.decision import HALF
from airflow_mlops.domain.facts.performance import Judgement, Measured
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.predictions import SCORE, Predictor
from airflow_mlops.learning.labels.coding import TRUTH, Coding
from airflow_mlops.learning.labels.join import Joined, join
from airflow_mlops.stages.performance import metrics
from airflow_mlops.stages.performance.subject import Models, Subject
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from datetime import datetime

    import pyarrow as pa

    from airflow_mlops.domain.facts.results import ModelRef


def predictor_of(ref: ModelRef) -> Predictor:
    """Return what the predictions of a registered version are found by."""
    return Predictor(ref.version, ref.digest)


def judge(
    subject: Subject, scored: Partition, moment: Partition, earlier: Sequence[Judgement], models: Models
) -> list[Judgement]:
    """Judge a partition as of another, with one judgement for each version that has predicted it.

    :param scored: the partition that was predicted.
    :param moment: the partition as of which labels count.
    :param earlier: earlier judgements; those of the same predictions and labels are used again.
    """
    joined = join(subject.predictions_uri, subject.truth, scored, moment)
    judgements = []
    for predictor in joined.predictors:
        mine = joined.of(predictor)
        classes = models.classes(predictor, mine.rows)
        coding = models.coding(predictor, mine.rows).widened(mine.labelled)
        content = _digest(subject, mine, scored, coding)
        same = _unchanged(earlier, predictor, content, scored, moment)
        judgements.append(
            same
            or _measure(
                subject, scored, moment, mine, predictor, content, models, None if classes is None else coding
            )
        )
    return judgements


def _unchanged(
    earlier: Sequence[Judgement], predictor: Predictor, content: str, scored: Partition, moment: Partition
) -> Judgement | None:
    """Return the earlier judgement of the same rows, as of another partition; None if there is none.

    As of the scored partition itself, only a judgement as of that same partition counts: no other one has
    estimates.
    """
    for judgement in earlier:
        same = (judgement.predictor, judgement.content) == (predictor, content)
        if same and (scored != moment or judgement.as_of == moment.key):
            return judgement.model_copy(update={"as_of": moment.key})
    return None


def content_of(rows: Iterable[Judgement]) -> list[tuple[Predictor, str]]:
    """Return the version and the content digest of judgements as of one partition."""
    return [(judgement.predictor, judgement.content) for judgement in rows]


def _digest(subject: Subject, joined: Joined, scored: Partition, coding: Coding) -> str:
    truth = subject.truth
    columns = list(dict.fromkeys([*truth.key, truth.dataset.event_time, SCORE, TRUTH]))
    parts: list[object] = [
        tables.digest(joined.rows.select(columns))[:32],
        joined.contradictory,
        joined.unknown,
    ]
    # The digest of the data too, because slices are made by its columns.
    parts.append(subject.digests.get(scored.key, "")[:32])
    if coding.judged not in ((), BINARY):
        # Metrics depend on the classes that rows are judged by, and a spec may name others by now.
        names = "\n".join([*coding.own, "", *coding.judged])
        parts.append(hashlib.sha256(names.encode("utf-8", "surrogatepass")).hexdigest()[:16])
    if coding.decision != HALF:
        decided = coding.decision.model_dump_json(include={"threshold", "costs", "matrix"})
        parts.append(hashlib.sha256(decided.encode()).hexdigest()[:16])
    if truth.question.weights is not None:
        parts.append(truth.question.weights)
    return "-".join(map(str, parts))


def _measure(
    subject: Subject,
    scored: Partition,
    moment: Partition,
    joined: Joined,
    predictor: Predictor,
    content: str,
    models: Models,
    coding: Coding | None,
) -> Judgement:
    truth, labelled = subject.truth, joined.labelled
    dataset = truth.dataset
    judged = labelled
    if coding is None:
        # Nothing can be measured of a version that was deleted with the order of its classes.
        coding, judged = Coding.of(subject.question, ()), labelled.slice(0, 0)
    trained, prior = models.training(predictor), models.prior(predictor)
    estimated: dict[str, Measured] = {}
    if scored == moment and trained is not None and truth.question.task == "classification":
        estimated = subject.versions.estimates(*trained, coding, joined.rows)
    return Judgement(
        scored=scored.key,
        as_of=moment.key,
        model_version=predictor.version,
        model_digest=predictor.digest,
        predicted=joined.rows.num_rows,
        labelled=labelled.num_rows,
        contradictory=joined.contradictory,
        unknown=joined.unknown,
        watermark=_watermark(joined, dataset.event_time, scored),
        metrics=metrics.every(judged, coding, dataset.event_time, dataset.grain, subject.question.metric),
        slices=_slices(subject, scored, judged, coding),
        naive=metrics.naive(judged, coding, prior, models.shares(predictor), subject.question.metric),
        prior=prior,
        shares=models.shares(predictor),
        classes=() if coding.own == BINARY else coding.own,
        decision=None if (rule := models.decision(predictor, joined.rows)) == HALF else rule,
        holdout=dict(trained[1].metrics) if trained else {},
        estimates=estimated,
        content=content,
        data_digest=subject.digests.get(scored.key),
    )


def _slices(subject: Subject, scored: Partition, labelled: pa.Table, coding: Coding) -> dict[str, Measured]:
    if not subject.slices or not labelled.num_rows:
        return {}
    rows = subject.truth.with_columns(labelled, scored, subject.slices)
    dataset = subject.truth.dataset
    metric, least = subject.question.metric, subject.min_rows
    return metrics.slices(rows, coding, dataset.event_time, dataset.grain, metric, subject.slices, least)


def _watermark(joined: Joined, event_time: str, scored: Partition) -> datetime:
    import pyarrow.compute as pc

    missing = joined.rows.filter(joined.rows[TRUTH].is_null())
    first: datetime = pc.min(missing[event_time]).as_py() if missing.num_rows else scored.end
    return first
