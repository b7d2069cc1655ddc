"""Erase a person's rows from every table of a dataset: told before, recorded after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.facts.erasure import Erasure, Rewritten, TableErasure
from airflow_mlops.domain.facts.results import DatasetVersion, Difference
from airflow_mlops.domain.predictions import DATASET_DIGEST, DATASET_VERSION
from airflow_mlops.exceptions import WriteConflict
from airflow_mlops.reporting.alerts import forget
from airflow_mlops.stages.erase import samples, subject
from airflow_mlops.stages.erase.subject import DERIVED, SOURCES, DataSubject
from airflow_mlops.stores import retention
from airflow_mlops.stores.tables import erasure, journal, log, places, tables, versions

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.stores.registry.client import Client
    from airflow_mlops.stores.tables.erasure import Holding

TABLES = (*SOURCES, *DERIVED, "validation", "outbox")
"""Tables that an erasure looks at."""
VERSIONED = ("data", "staging")
"""Tables whose commits say which version of the dataset they are."""
_COLUMNS = ("stage", "by", "reason", "facts")
_BEGUN, _DONE = "begun", "done"
_RUN = "erase"


def plan(
    client: Client,
    name: str,
    uris: Mapping[str, str],
    columns: Sequence[str],
    values: Sequence[Sequence[str]],
) -> tuple[Erasure, DataSubject]:
    """Return what an erasure would take, without changing anything, and the rows that it is about.

    :param name: name of the dataset.
    :param uris: URIs of its tables, by name; those that are not there are passed over.
    :param columns: columns whose values choose the rows.
    :param values: combinations of values, one text a column.
    :raises TableMissing: if nothing was ever ingested.
    :raises ErasureRefused: if a column is in no table, or cannot hold a value.
    :raises RegistryUnavailable: if MLflow does not answer, so that nobody can tell which models it concerns.
    """
    there = {table: uris[table] for table in (*SOURCES, *DERIVED) if tables.exists(uris[table])}
    theirs = subject.find(there, columns, values)
    parts, models = [], set[str]()
    for table, uri in there.items():
        holdings = erasure.holdings(uri, theirs.whose)
        part = _part(table, uri, holdings)
        parts.append(part)
        learned = retention.learned_from(client, uri) if part.versions else {}
        models |= {model for model, version in learned.items() if version in part.versions}
    facts = Erasure(
        dataset=name,
        grain=theirs.grain,
        key=theirs.key,
        columns=theirs.chosen.columns,
        subjects=len(theirs.chosen.combinations),
        tables=tuple(parts),
        models=tuple(sorted(models)),
        keeping=tuple(
            f"{model} ({estimators})"
            for model, estimators in sorted(retention.keeping_rows(client, models).items())
        ),
    )
    touched = facts.touched(*SOURCES)
    pages = (places.page_of(name, partition, kind) for partition in touched for kind in samples.PAGES)
    validations = samples.reported(uris["validation"], touched)
    shown = {
        "validations": tuple(validations), "pages": tuple(pages), "notices": forget.count(uris["outbox"]),
    }  # fmt: skip
    return facts.model_copy(update=shown), theirs


def erase(
    planned: Erasure, theirs: DataSubject, uris: Mapping[str, str], *, record: str, by: str, reason: str
) -> Erasure:
    """Erase what was planned, and return what was done.

    Killed on its way, it is finished by its repetition: what is left is found again.

    :param uris: URIs of the tables, by name.
    :param record: URI of the journal of erasures.
    :param by: who erases; kept in the journal.
    :param reason: why; kept in the journal.
    :raises WriteConflict: if a run wrote to a table meanwhile, or brought the rows back.
    """
    _note(record, _BEGUN, by, reason, planned)
    # First what is found by the rows alone: once they are gone, a repetition would not find it.
    if planned.validations:
        samples.take_out(uris["validation"], planned.validations)
    forget.take_out(uris["outbox"])
    done = []
    for part in planned.tables:
        uri = uris[part.table]
        rewritten = tuple(
            _rewritten(part.table, uris, planned.dataset, row, theirs) for row in part.partitions
        )
        done.append(_removed(part.model_copy(update={"partitions": rewritten}), uri, theirs))
    outcome = planned.model_copy(update={"tables": tuple(done)})
    _note(record, _DONE, by, reason, outcome)
    return outcome


def delivered(planned: Erasure, record: str) -> list[str]:
    """Return the partitions whose predictions change, by this erasure or by those before it that were cut off."""
    begun: set[str] = set()
    for _, stage, _, _, facts in erasures(record):
        begun = begun | {*facts.touched("predictions")} if stage == _BEGUN else set()
    return sorted(begun | {*planned.touched("predictions")})


def erasures(record: str) -> list[tuple[datetime, str, str, str, Erasure]]:
    """Return when, how far, by whom and why rows were erased, and what, oldest first."""
    return [
        (row["at"], row["stage"], row["by"], row["reason"], Erasure.model_validate_json(row["facts"]))
        for row in journal.rows(record)
    ]


def _part(table: str, uri: str, holdings: Sequence[Holding]) -> TableErasure:
    present, spans = erasure.part_of(uri), log.spans(uri)
    latest = tables.open_table(uri).version()
    former = {commit.version.partition: commit.version for commit in _oldest_first(table, uri)}
    rows: dict[str, int] = {}
    for holding in holdings:
        if holding.path in present:
            rows[holding.partition] = rows.get(holding.partition, 0) + holding.rows
    return TableErasure(
        table=table,
        partitions=tuple(
            Rewritten(partition=key, rows=count, before=former[key].digest if key in former else None)
            for key, count in sorted(rows.items())
        ),
        touched=tuple(sorted({holding.partition for holding in holdings})),
        files=len(holdings),
        versions=tuple(
            sorted(
                {
                    version
                    for holding in holdings
                    if holding.path in spans
                    for version in spans[holding.path].through(latest)
                }
            )
        ),
        young=sum(holding.young and holding.path not in spans for holding in holdings),
    )


def _oldest_first(table: str, uri: str) -> list[versions.Commit]:
    return list(versions.history(uri))[::-1] if table in VERSIONED else []


def _rewritten(
    table: str, uris: Mapping[str, str], dataset: str, planned: Rewritten, theirs: DataSubject
) -> Rewritten:
    """Write a partition again without the rows."""
    uri, run = uris[table], f"{_RUN}/{dataset}"
    if table not in VERSIONED:
        change = partial(_renamed, _renames(uris, planned.partition)) if table in DERIVED else None
        erasure.rewrite(uri, planned.partition, theirs.whose, lambda *_: {"run": run}, change=change)
        return planned
    commit = next(commit for commit in versions.history(uri) if commit.version.partition == planned.partition)
    former = commit.version

    def describe(rows: int, digest: str, schema: pa.Schema) -> Mapping[str, str]:
        version = former.model_copy(
            update={
                "rows": rows,
                "digest": digest,
                "columns": tables.schema_of(schema),
                "difference": Difference(added=0, removed=former.rows - rows, changed=0),
            }
        )
        return versions.describe(version, run, commit.source, commit.policy, commit.ambiguous)

    _, digest = erasure.rewrite(uri, planned.partition, theirs.whose, describe, [*former.columns])
    return planned.model_copy(update={"before": former.digest, "after": digest})


def _renames(uris: Mapping[str, str], partition: str) -> tuple[str, DatasetVersion] | None:
    """Return the digest that a partition of the data had before it was erased from, and its version since; or None."""
    if "data" not in uris or not tables.exists(uris["data"]):
        return None
    commits = [commit for commit in versions.history(uris["data"]) if commit.version.partition == partition]
    if len(commits) < 2 or not commits[0].run.startswith(f"{_RUN}/"):
        return None
    return commits[1].version.digest, commits[0].version


def _renamed(renames: tuple[str, DatasetVersion] | None, rows: pa.Table) -> pa.Table:
    """Let predictions name the version of the data that has their rows now, or scoring would make them again."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if renames is None or DATASET_DIGEST not in rows.column_names:
        return rows
    before, version = renames
    ours = pc.fill_null(pc.equal(rows[DATASET_DIGEST], before), False)
    for name, value in {DATASET_DIGEST: version.digest, DATASET_VERSION: str(version.version)}.items():
        named = pc.if_else(ours, pa.scalar(value, pa.string()), rows[name])
        rows = rows.set_column(rows.column_names.index(name), name, named)
    return rows


def _removed(part: TableErasure, uri: str, theirs: DataSubject) -> TableErasure:
    """Delete the files that hold the rows, and let what is readable stay readable."""
    holdings = erasure.holdings(uri, theirs.whose)
    spans, present = log.spans(uri), erasure.part_of(uri)
    if back := sorted({holding.partition for holding in holdings if holding.path in present}):
        raise WriteConflict(
            f"A run wrote rows to {part.table} {', '.join(back)} meanwhile that were to be erased; pause the DAGs of the "
            "dataset, and run this again."
        )
    doomed = {holding.path for holding in holdings if holding.path in spans or not holding.young}
    # The files left the table with the commits above, so each has a last version.
    unreadable = {version for path in doomed if path in spans for version in spans[path].through(0)}
    if part.table in VERSIONED:
        pinned = [
            version.partition for version in versions.newest(uri).values() if version.version in unreadable
        ]
        if pinned:
            versions.pin(uri, sorted(pinned), f"{_RUN}/{part.table}")
    if doomed:
        log.forget_ranges(uri, doomed)
    erasure.remove(uri, doomed)
    young = len(holdings) - len(doomed)
    return part.model_copy(update={"versions": tuple(sorted(unreadable)), "young": young})


def _note(record: str, stage: str, by: str, reason: str, facts: Erasure) -> None:
    def row(_: object, at: datetime) -> dict[str, Any]:
        return {"at": at, "stage": stage, "by": by, "reason": reason, "facts": facts.model_dump_json()}

    journal.append(record, _COLUMNS, row)
