"""Ingest: stage one partition of a source, check the promises of its dataset, and publish it when valid."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops.domain.facts.results import DatasetVersion, Difference
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.exceptions import EmptyPartition, SourceChanging, TableUnreadable
from airflow_mlops.stages.ingest import notations
from airflow_mlops.stages.ingest.difference import difference
from airflow_mlops.stages.ingest.promises import Keys, Times, refuse_odd_times
from airflow_mlops.stages.ingest.schemas import Columns, OtherTypes, refuse
from airflow_mlops.stores.arrow import arrow_type
from airflow_mlops.stores.clocks import Clocks
from airflow_mlops.stores.sources.hints import Looks
from airflow_mlops.stores.tables import column_types, delta, digests, tables, versions
from airflow_mlops.stores.tables.commits import Change
from airflow_mlops.stores.tables.drafts import Draft

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.stores.sources.source import Source

log = logging.getLogger(__name__)

_SECONDS = 5.0


class Preparation(Protocol):
    """A function that prepares features, with a version that identifies its code."""

    @property
    def version(self) -> str:
        """``module:function@digest``."""
        ...

    def __call__(self, rows: pa.Table, partition: Partition, /) -> pa.Table:
        """Return the prepared rows."""
        ...


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
    run: str,
) -> DatasetVersion:
    """Write a partition batch by batch, in one commit, to a staging table that no reader uses.

    :param uri: URI of the staging table.
    :param published: URI of the published table, whose columns the partition is checked against; it need not
        exist.
    :param required: columns that the model needs besides key and event time.
    :param policy: what the partition may change in the columns.
    :param transform: prepares the features of each batch; None leaves rows as they are.
    :param types: Arrow types, as text, of columns that have no value yet; the first value settles those of others.
        A column of text that looks like numbers or times is refused if they say it is that, and told of otherwise.
    :param pii: columns whose values are shown in no message about that.
    :param ambiguous: which one is meant by a time without an offset that occurs twice in the time zone of the partition:
        ``earlier`` or ``later``; None refuses it.
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
    while True:
        clocks = Clocks(partition.grain.timezone, ambiguous, where)
        content, keys, times = digests.Content(), Keys(key, where), Times(event_time, partition, where)
        looks = Looks()
        with Draft(uri, partition.key) as draft:
            before = source.stamp(partition)
            try:
                for rows in _prepared(
                    source, partition, columns, clocks, looks, event_time, transform, where
                ):
                    draft.add(rows)
                    for tally in (content, keys, times):
                        tally.add(rows)
            except OtherTypes:
                columns.restart()
                log.info("%s: a later batch has wider types; it is read again", where)
                continue
            if source.stamp(partition) != before:
                raise SourceChanging(f"{where} changed while it was read; it may still be being written")
            if not draft.rows or draft.schema is None:
                raise EmptyPartition(f"{where} has no rows")
            draft.schema = columns.mark(draft.schema)
            clocks.check()
            times.check()
            keys.check(draft.batches)
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
            commit_facts = versions.describe(version, run, source.describe(partition), policy)
            # REPLACE: other partitions in the staging table are of no use once the columns have changed.
            return tables.put(draft, version, commit_facts, Change.REPLACE)


def publish(staged: DatasetVersion, *, uri: str, run: str) -> DatasetVersion:
    """Publish a staged partition in one commit; nothing is written if the same content is published already.

    The staged files are added to the table as they are, unless columns of the table have changed since
    staging.

    :param uri: URI of the published table.
    :param run: the run that publishes the partition; kept in the commit.
    :raises SchemaMismatch: if the table's columns have changed so that the partition no longer fits.
    :raises WriteConflict: if another writer published the same partition meanwhile.
    """
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
    kinds = {name: kind for name, text in (types or {}).items() if (kind := arrow_type(text)) is not None}
    if not newest:
        return Columns(None, (), required, policy, where, kinds)
    keys = sorted(newest)
    nearest = newest[max(takewhile(lambda key: key <= partition.key, keys), default=keys[0])]
    versions.refuse_others(nearest, partition, where)
    schema = delta.dataset(published).schema
    schema = schema.remove(schema.get_field_index(delta.PARTITION)).remove_metadata()
    return Columns(schema, tuple(nearest.columns), required, policy, where, kinds)


def _prepared(
    source: Source,
    partition: Partition,
    columns: Columns,
    clocks: Clocks,
    looks: Looks,
    event_time: str,
    transform: Preparation | None,
    where: str,
) -> Iterator[pa.Table]:
    import pyarrow as pa

    began = last_logged = time.monotonic()
    count = 0
    for batch in source.batches(partition, columns.types):
        rows = pa.Table.from_batches([batch])
        rows = rows.drop_columns(columns.leftovers(rows.column_names))
        refuse(rows.column_names, where)
        rows = column_types.plain(rows, where)
        looks.add(rows)
        if transform is not None:
            # A batch without rows is left out: the transform could not add its columns to it.
            if not rows.num_rows:
                continue
            rows = column_types.plain(transform(rows, partition), where)
        columns.check(rows.schema)
        rows = clocks.read(rows, [event_time])
        refuse_odd_times(rows, where)
        yield columns.conform(rows)
        count += rows.num_rows
        if time.monotonic() - last_logged >= _SECONDS:
            last_logged = time.monotonic()
            log.info("%s: %s rows so far (%.0f s)", where, f"{count:,}", last_logged - began)


def _origin(staged: DatasetVersion) -> tuple[SchemaPolicy, str]:
    """Return the schema policy and the source that a partition was ingested with.

    Validation may have staged the partition again since, so the newest commit need not name them.
    """
    for commit in versions.history(staged.uri):
        is_ancestor = (
            commit.version.partition == staged.partition and commit.version.version <= staged.version
        )
        if is_ancestor and commit.policy is not None:
            return commit.policy, commit.source
    return SchemaPolicy.STRICT, staged.uri


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
