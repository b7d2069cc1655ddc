"""Judge every scored partition again when its labels arrive, and keep the history of these judgements."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from airflow_mlops.domain.facts.performance import Judgement
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.predictions import Predictor
from airflow_mlops.learning.labels import labels
from airflow_mlops.stages.performance.rows import content_of, judge
from airflow_mlops.stages.performance.subject import Models, Subject
from airflow_mlops.stores.tables import tables, versions


def update(subject: Subject, uri: str) -> list[Judgement]:
    """Judge the partitions with new labels or data, keep that, and return the history as of the run.

    The table has a row for each scored partition and model version, as of each partition that brought new
    labels or data. A row depends only on the predictions, the current data, and the labels that count by the
    end of its partition: whatever the order in which partitions are run, the table is the same in the end,
    also if some were ingested again. Runs of earlier partitions (a backfill) therefore also bring later rows
    up to date.

    :param uri: URI of the table; each of its partitions is replaced as a whole.
    """
    judgements = history(uri)
    subject = replace(subject, truth=subject.truth.newest())
    run = subject.run
    moments = [
        run,
        *sorted({subject.parse(judgement.as_of) for judgement in judgements if judgement.as_of > run.key}),
    ]
    scored = [subject.parse(key) for key in versions.partitions(subject.predictions_uri)]
    chosen = {partition for moment in moments for partition in _open(subject, moment, scored, judgements)}
    models = Models(subject, judgements)
    for partition in sorted(chosen):
        before = [row for row in judgements if row.scored == partition.key]
        after = _again(subject, partition, moments, before, models)
        if after != before:
            _write(uri, partition.key, after, subject.question.metric)
            judgements = [row for row in judgements if row.scored != partition.key] + after
    return as_of(judgements, run.key)


def history(uri: str) -> list[Judgement]:
    """Return all judgements, ordered by scored partition and by the partition as of which they were made."""
    if not tables.exists(uri):
        return []
    reports = tables.read(uri, columns=["report"])["report"].to_pylist()
    return sorted((Judgement.model_validate_json(report) for report in reports), key=_place)


def as_of(judgements: Iterable[Judgement], partition: str) -> list[Judgement]:
    """Return each scored partition's latest judgement of each version as of a partition, the newest first."""
    latest: dict[tuple[str, Predictor], Judgement] = {}
    for judgement in sorted(judgements, key=_place):
        if judgement.as_of <= partition:
            # One of a former build, which does not say whose predictions they were, is made again with the digest.
            latest.pop((judgement.scored, Predictor(judgement.model_version, None)), None)
            latest[judgement.scored, judgement.predictor] = judgement
    return sorted(latest.values(), key=_place, reverse=True)


def _place(judgement: Judgement) -> tuple[str, str, str, str]:
    return judgement.scored, judgement.as_of, judgement.model_version, judgement.model_digest or ""


def _open(
    subject: Subject, moment: Partition, scored: Sequence[Partition], judgements: Sequence[Judgement]
) -> set[Partition]:
    """Return the scored partitions to judge again: those that may have new labels or data as of a partition.

    :param moment: the partition as of which they are judged.
    """
    truth, current = subject.truth, subject.digests
    judged = {judgement.scored for judgement in judgements if judgement.as_of <= moment.key}
    latest = {judgement.scored: judgement.data_digest for judgement in judgements}
    new = {key for key, digest in latest.items() if current.get(key, digest) != digest}
    if truth.uri is not None:
        new |= set(labels.touched(truth.uri, moment))
    return {
        partition
        for partition in scored
        if partition <= moment
        and (
            partition == subject.run
            or partition.key not in judged
            or partition.key in new
            or (
                partition.start + truth.question.delay < moment.end
                and partition.end + truth.question.delay > moment.start
            )
        )
    }


def _again(
    subject: Subject,
    scored: Partition,
    moments: Sequence[Partition],
    before: Sequence[Judgement],
    models: Models,
) -> list[Judgement]:
    """Return the judgements of a scored partition, new as of some partitions and kept as of the others.

    :param moments: the partitions as of which it is judged again.
    :param before: the judgements of the partition so far.
    """
    anew = {moment.key for moment in moments if scored <= moment}
    kept = {key: list(rows) for key, rows in groupby(before, key=lambda row: row.as_of)}
    judgements: list[Judgement] = []
    last_content: list[tuple[Predictor, str]] = []
    for key in sorted({*anew, *kept}):
        rows = kept.get(key, [])
        if key in anew:
            rows = judge(
                subject, scored, subject.parse(key), [*rows, *judgements[-len(last_content) :]], models
            )
        if rows and (now := content_of(rows)) != last_content:
            judgements += rows
            last_content = now
    estimates = {row.predictor: row.estimates for row in judgements if row.as_of == row.scored}
    return [row.model_copy(update={"estimates": estimates.get(row.predictor, {})}) for row in judgements]


def _write(uri: str, scored: str, rows: Sequence[Judgement], metric: str) -> None:
    import pyarrow as pa

    kinds = {
        "scored": pa.string(),
        "as_of": pa.string(),
        "model_version": pa.string(),
        "model_digest": pa.string(),
        "predicted": pa.int64(),
        "labelled": pa.int64(),
        "coverage": pa.float64(),
        "watermark": pa.timestamp("us", "UTC"),
        "metric": pa.string(),
        "value": pa.float64(),
        "low": pa.float64(),
        "high": pa.float64(),
        "report": pa.string(),
    }
    facts = []
    for judgement in rows:
        measurement = judgement.metrics.get(metric)
        facts.append(
            {
                **judgement.model_dump(include=set(kinds)),
                "coverage": judgement.coverage,
                "metric": metric,
                **(measurement.model_dump(include={"value", "low", "high"}) if measurement else {}),
                "report": judgement.model_dump_json(),
            }
        )
    tables.replace_partition(uri, pa.Table.from_pylist(facts, pa.schema(list(kinds.items()))), scored)
