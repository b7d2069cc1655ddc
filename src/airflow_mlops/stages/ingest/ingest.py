"""Ingest: stage one partition of a source, check the promises of its dataset, and publish it when valid."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import chain, takewhile
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.facts.results import DatasetVersion, Difference
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.exceptions import BadRows, EmptyPartition, SourceChanging, TableUnreadable
from airflow_mlops.stages.ingest import notations
from airflow_mlops.stages.ingest.difference import difference
from airflow_mlops.stages.ingest.prepare import Preparation, prepared
from airflow_mlops.stages.ingest.promises import Keys, Times
from airflow_mlops.stages.ingest.schemas import Columns, OtherTypes
from airflow_mlops.stages.ingest.unreadable import Unreadable, complete
from airflow_mlops.stores.arrow import arrow_type
from airflow_mlops.stores.clocks import Clocks, Places
from airflow_mlops.stores.tables import column_types, commits, delta, digests, tables, versions
from airflow_mlops.stores.tables.commits import Change
from airflow_mlops.stores.tables.drafts import Draft

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.stores.sources.source import Source

log = logging.getLogger(__name__)


def stage(
    source: Source,
    partition: Partition,
    *,
    uri: str,
    published: str,
    name: str,
    key: Sequence[str],
    event_time: str,
    required: Sequence[str] = (),
    policy: SchemaPolicy = SchemaPolicy.STRICT,
    transform: Preparation | None = None,
    types: Mapping[str, str] | None = None,
    pii: Sequence[str] = (),
    ambiguous: str | None = None,
    unreadable: str | None = None,
    run: str,
) -> DatasetVersion:
    """Write a partition batch by batch, in one commit, to a staging table that no reader uses.

    :param uri: URI of the staging table.
    :param published: URI of the published table, whose columns the partition is checked against; it need not
        exist.
    :param required: columns that the model needs besides key and event time.
    :param policy: what the partition may change in the columns.
    :param transform: prepares the features of each batch; None leaves rows as they are.
    :param types: Arrow types, as text, that columns must have: text in them is read as such, and a cell that cannot be read
        is unreadable from the first partition on. A column that is not named has the type of its first value, and one of
        text that looks like numbers or times is told of.
    :param pii: columns whose values are shown in no message about that.
    :param ambiguous: which one is meant by a time without an offset that occurs twice in the time zone of the partition:
        ``earlier`` or ``later``; None refuses it.
    :param unreadable: URI of the table that keeps rows with a cell which cannot be read as the type of its column, until
        validation sets them aside; None stops the partition instead.
    :param run: the run that stages the partition; kept in the commit.
    :raises TypeError: if the key is a string instead of a list of columns.
    :raises EmptyPartition: if the source has no rows.
    :raises SchemaMismatch: if columns or types differ in a way that the policy does not allow.
    :raises BadRows: if keys are missing or repeat, event times lie outside of the partition, or the clocks of its time
        zone show a time twice or never.
    :raises OtherPartitions: if partitions of another length or time zone are published.
    :raises SourceChanging: if the source changed while it was read.
    """
    if isinstance(key, str):
        raise TypeError(f"key is the text {key!r}; name columns in a list: key=[{key!r}]")
    where = f"partition {partition.key} of {source.describe(partition)}"
    must = [*key, event_time, *required]
    columns = _expected(published, partition, must, policy, where, types)
    already = columns.types
    while True:
        clocks = Clocks(partition.grain.timezone, ambiguous, where)
        content, keys, times = digests.Content(), Keys(key, where), Times(event_time, partition, where)
        looks = notations.looks_at(source)
        cells = Unreadable(
            event_time,
            already,
            _kinds(types),
            is_prepared=transform is not None,
            keeps_apart=bool(unreadable),
            pii=pii,
            where=where,
        )
        with Draft(uri, partition.key) as draft, Draft(unreadable or uri, partition.key) as apart:
            before = source.stamp(partition)
            try:
                for rows, aside in prepared(
                    source, partition, columns, clocks, looks, cells, event_time, transform, where
                ):
                    draft.add(rows)
                    content.add(rows)
                    keys.add(rows)
                    times.add(rows)
                    if aside is not None:
                        apart.add(aside)
                        # Each by itself: a row without a time can be given one later, and then has its key still.
                        keys.add(complete(aside, key))
                        times.add(complete(aside, [event_time]))
            except OtherTypes:
                columns.restart()
                log.info("%s: a later batch has wider types; it is read again", where)
                continue
            if source.stamp(partition) != before:
                raise SourceChanging(f"{where} changed while it was read; it may still be being written")
            cells.check()
            if not draft.rows or draft.schema is None:
                rest = " but those with a cell that cannot be read" if apart.rows else ""
                raise EmptyPartition(f"{where} has no rows{rest}")
            draft.schema = columns.mark(draft.schema)
            # A transform may have left rows out, so that they are no longer those of the source.
            clocks.check(_places(source, partition) if transform is None else None)
            times.check()
            keys.check(lambda names: chain(draft.batches(names), apart.batches(names)))
            notations.tell(
                looks, source, partition, schema=draft.schema, types=types or {}, pii=pii, where=where
            )
            version = DatasetVersion(
                name=name,
                uri=uri,
                version=0,
                grain=str(partition.grain),
                partition=partition.key,
                rows=draft.rows,
                digest=content.digest(),
                columns=delta.schema_of(draft.schema),
                key=tuple(key),
                event_time=event_time,
                transform=transform.version if transform else None,
            )
            commit_facts = versions.describe(version, run, source.describe(partition), policy, ambiguous)
            # REPLACE: other partitions in the staging table are of no use once the columns have changed.
            kept = None
            if apart.schema is not None:
                # First, so that a process that is killed in between leaves no partition without these rows.
                apart.schema = columns.mark(apart.schema)
                kept = commits.commit(apart, {"run": run}, Change.REPLACE)
                log.info("%s: %s rows have a cell that cannot be read", where, f"{apart.rows:,}")
            staged = tables.put(draft, version, commit_facts, Change.REPLACE)
            return staged.model_copy(update={"unreadable": kept})


def publish(staged: DatasetVersion, *, uri: str, run: str) -> DatasetVersion:
    """Publish a staged partition in one commit; nothing is written if the same content is published already.

    The staged files are added to the table as they are, unless columns of the table have changed since
    staging.

    :param uri: URI of the published table.
    :param run: the run that publishes the partition; kept in the commit.
    :raises SchemaMismatch: if the table's columns have changed so that the partition no longer fits.
    :raises BadRows: if rows of it with a cell that cannot be read still wait for validation.
    :raises WriteConflict: if another writer published the same partition meanwhile.
    """
    if staged.unreadable is not None:
        raise BadRows(
            f"{staged.name} {staged.partition} has rows with a cell that cannot be read, which only validation sets "
            "aside: hand what ValidateOperator returns to PublishOperator"
        )
    policy, source = _origin(staged)
    former = versions.current(uri, staged.partition)
    if former is not None and tables.same(former, staged):
        return former.model_copy(update={"changed": False})
    where = f"partition {staged.partition} of {staged.uri}"
    columns = _expected(
        uri, Partition.parse(staged.partition, staged.grain), [*staged.key, staged.event_time], policy, where
    )
    while True:
        with Draft(uri, staged.partition) as draft:
            try:
                version = _taken_over(draft, staged, columns, where)
            except OtherTypes:
                columns.restart()
                continue
            changes: dict[str, Any] = {"uri": uri}
            # Only rows that have all columns of the key can be compared by it.
            if former is not None and set(staged.key) <= set(former.columns):
                comparison = difference(_rows(former), _rows(staged), staged.key, former.rows)
                if comparison == Difference(added=0, removed=0, changed=0) and _alike(former, version):
                    return former.model_copy(update={"changed": False})
                changes["difference"] = comparison
            version = version.model_copy(update=changes)
            change = Change.WIDEN if policy is SchemaPolicy.EVOLVE else Change.MERGE
            return tables.put(draft, version, versions.describe(version, run, source, policy), change)


def _alike(former: DatasetVersion, version: DatasetVersion) -> bool:
    """Return whether versions of the same rows differ at most in types, which the table may have widened."""
    return (former.transform, set(former.columns)) == (version.transform, set(version.columns))


def _expected(
    published: str,
    partition: Partition,
    required: Sequence[str],
    policy: SchemaPolicy,
    where: str,
    types: Mapping[str, str] | None = None,
) -> Columns:
    """Return the columns that a partition must have: those of its newest version, else of the one before."""
    newest = versions.newest(published)
    kinds = _kinds(types)
    if not newest:
        return Columns(None, (), required, policy, where, kinds)
    keys = sorted(newest)
    nearest = newest[max(takewhile(lambda key: key <= partition.key, keys), default=keys[0])]
    versions.refuse_other_grain(nearest, partition, where)
    schema = delta.dataset(published).schema
    schema = schema.remove(schema.get_field_index(delta.PARTITION)).remove_metadata()
    return Columns(schema, tuple(nearest.columns), required, policy, where, kinds)


def _places(source: Source, partition: Partition) -> Places | None:
    # Only files have lines; sources of others need not know of them.
    lines = getattr(source, "lines", None)
    return None if lines is None else partial(lines, partition)


def _kinds(types: Mapping[str, str] | None) -> dict[str, pa.DataType]:
    return {name: kind for name, text in (types or {}).items() if (kind := arrow_type(text)) is not None}


def _origin(staged: DatasetVersion) -> tuple[SchemaPolicy, str]:
    """Return the schema policy and the source that a partition was ingested with."""
    commit = versions.ingested(staged)
    if commit is None or commit.policy is None:
        return SchemaPolicy.STRICT, staged.uri
    return commit.policy, commit.source


def _taken_over(draft: Draft, staged: DatasetVersion, columns: Columns, where: str) -> DatasetVersion:
    """Fill a draft with the staged rows, cast to the columns that the published table has now."""
    import pyarrow as pa

    with delta.errors(staged.uri):
        table = delta.open_table(staged.uri, staged.version)
        schema = pa.schema(table.schema().to_arrow())
    if all(columns.kinds.get(field.name, field.type) == field.type for field in schema):
        with delta.errors(staged.uri):
            draft.add_files(table, staged.uri)
        if draft.rows != staged.rows or draft.schema is None:
            raise TableUnreadable(
                f"{where} has {draft.rows:,} rows, not the {staged.rows:,} that were staged"
            )
        columns.check(draft.schema)
        return staged
    content = digests.Content()
    for batch in _rows(staged):
        rows = column_types.reopened(pa.Table.from_batches([batch]), column_types.open_types(schema))
        columns.check(rows.schema)
        rows = columns.conform(rows)
        draft.add(rows)
        content.add(rows)
    assert draft.schema is not None
    draft.schema = columns.mark(draft.schema)
    types = delta.schema_of(draft.schema)
    return staged.model_copy(update={"digest": content.digest(), "columns": types})


def _rows(version: DatasetVersion) -> pa.RecordBatchReader:
    return tables.batches(version.uri, version=version.version, partition=version.partition)
