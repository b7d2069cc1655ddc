"""Judge every partition again as its labels arrive: the history of how good predictions turned out to be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import groupby

from airflow_mlops.domain.facts.performance import Judgement
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.learning.labels import labels
from airflow_mlops.stages.performance.rows import Models, Subject, content_of, judge
from airflow_mlops.stores.tables import tables, versions


def update(subject: Subject, uri: str) -> list[Judgement]:
    """Judge what a run can tell more of than the runs before, keep it, and return the history as of its partition.

    The table has a row for each scored partition, model version and partition as of which more was known than as of
    the one before. A row rests on nothing but the predictions, the data as it is now, and the labels that count by the
    end of its partition: whatever the order in which partitions are run, the table is the same in the end, also if some
    were ingested again. Runs for earlier partitions (a backfill) therefore also bring later rows up to date.

    :param uri: URI of the table; each of its partitions is replaced as a whole.
    """
    known = history(uri)
    subject = replace(subject, truth=subject.truth.newest())
    run = subject.run
    moments = [run, *sorted({subject.parse(each.as_of) for each in known if each.as_of > run.key})]
    scored = [subject.parse(key) for key in versions.partitions(subject.predictions_uri)]
    chosen = {each for moment in moments for each in _open(subject, moment, scored, known)}
    models = Models(subject, {each.model_version: each.prior for each in known if each.prior is not None})
    for each in sorted(chosen):
        before = [row for row in known if row.scored == each.key]
        after = _again(subject, each, moments, before, models)
        if after != before:
            _write(uri, each.key, after, subject.question.metric)
            known = [row for row in known if row.scored != each.key] + after
    return as_of(known, run.key)


def history(uri: str) -> list[Judgement]:
    """Return every judgement, by scored partition and then by the partition as of which it was made."""
    if not tables.exists(uri):
        return []
    found = tables.read(uri, columns=["report"])["report"].to_pylist()
    return sorted((Judgement.model_validate_json(each) for each in found), key=_place)


def as_of(judgements: Iterable[Judgement], partition: str) -> list[Judgement]:
    """Return the latest judgement of each scored partition and model version that one partition knows, newest first."""
    latest: dict[tuple[str, str], Judgement] = {}
    for each in sorted(judgements, key=_place):
        if each.as_of <= partition:
            latest[each.scored, each.model_version] = each
    return sorted(latest.values(), key=_place, reverse=True)


def _place(judgement: Judgement) -> tuple[str, str, str]:
    return judgement.scored, judgement.as_of, judgement.model_version


def _open(
    subject: Subject, moment: Partition, scored: Sequence[Partition], known: Sequence[Judgement]
) -> set[Partition]:
    """Return the scored partitions of which more may be known as of one partition than as of the one before."""
    truth, current = subject.truth, subject.digests
    judged = {each.scored for each in known if each.as_of <= moment.key}
    latest = {each.scored: each.data_digest for each in known}
    new = {key for key, digest in latest.items() if current.get(key, digest) != digest}
    if truth.uri is not None:
        new |= set(labels.touched(truth.uri, moment))
    return {
        each
        for each in scored
        if each <= moment
        and (
            each == subject.run
            or each.key not in judged
            or each.key in new
            or (
                each.start + truth.question.delay < moment.end
                and each.end + truth.question.delay > moment.start
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
    """Return the judgements of a partition, made anew as of some partitions and kept as of the others."""
    anew = {moment.key for moment in moments if scored <= moment}
    kept = {key: list(rows) for key, rows in groupby(before, key=lambda each: each.as_of)}
    found: list[Judgement] = []
    said: list[tuple[str, str]] = []
    for key in sorted({*anew, *kept}):
        rows = kept.get(key, [])
        if key in anew:
            rows = judge(subject, scored, subject.parse(key), [*rows, *found[-len(said) :]], models)
        if rows and (now := content_of(rows)) != said:
            found += rows
            said = now
    estimates = {row.model_version: row.estimates for row in found if row.as_of == row.scored}
    return [row.model_copy(update={"estimates": estimates.get(row.model_version, {})}) for row in found]


def _write(uri: str, scored: str, rows: Sequence[Judgement], metric: str) -> None:
    import pyarrow as pa

    kinds = {
        "scored": pa.string(),
        "as_of": pa.string(),
        "model_version": pa.string(),
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
    for each in rows:
        found = each.metrics.get(metric)
        facts.append(
            {
                **each.model_dump(include=set(kinds)),
                "coverage": each.coverage,
                "metric": metric,
                **(found.model_dump(include={"value", "low", "high"}) if found else {}),
                "report": each.model_dump_json(),
            }
        )
    tables.replace_partition(uri, pa.Table.from_pylist(facts, pa.schema(list(kinds.items()))), scored)
