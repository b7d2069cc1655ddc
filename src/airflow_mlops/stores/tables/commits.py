"""Commits: a draft replaces the rows of its partition, at once or not at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from enum import StrEnum
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import SchemaMismatch, StoreUnavailable, WriteConflict
from airflow_mlops.stores.arrow import wider
from airflow_mlops.stores.tables import column_types, delta
from airflow_mlops.stores.tables.delta import PARTITION
from airflow_mlops.stores.tables.drafts import Draft, paths

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction

_ATTEMPTS = 50


class Change(StrEnum):
    """What rows with other columns than their table do to it.

    MERGE adds columns, which older rows have as null. WIDEN also makes types wider, and writes older rows again.
    REPLACE leaves nothing of the other partitions.
    """

    MERGE = "merge"
    WIDEN = "widen"
    REPLACE = "replace"


def commit(
    draft: Draft,
    metadata: Mapping[str, str],
    change: Change = Change.MERGE,
    seen: Sequence[str] | None = None,
) -> int:
    """Replace the rows of a draft's partition by the draft, and return the new version of the table.

    :param metadata: facts that the commit keeps beside its rows.
    :param seen: files of the partition that the draft was made from; None if it was made from none of them.
    :raises WriteConflict: if another writer changed the same partition meanwhile, or since it was seen.
    :raises SchemaMismatch: if the type of a column does not fit the table's.
    """
    import pyarrow as pa

    if draft.schema is None:
        raise ValueError("a draft without columns cannot be committed")
    rows = draft.schema.append(pa.field(PARTITION, pa.string()))
    _check(rows, draft.uri)
    delta.create(draft.uri, rows, [PARTITION])
    ours = {action.path for action in draft.finish()}
    before = None if seen is None else sorted(seen)
    for _ in range(_ATTEMPTS):
        table = delta.open_table(draft.uri)
        there = paths(table, draft.partition)
        if before is not None and there != before:
            if ours and ours.issubset(there):
                # The attempt before did commit; only the answer to it was lost.
                draft.committed = True
                return table.version()
            break
        before = there
        if _attempt(draft, table, rows, metadata, change):
            return table.version() + 1
    raise WriteConflict(
        f"Another writer changed partition {draft.partition} of {draft.uri} at the same time."
    )


def _attempt(
    draft: Draft, table: DeltaTable, rows: pa.Schema, metadata: Mapping[str, str], change: Change
) -> bool:
    """Commit only on the version that was read: deltalake would let two writers fill one partition."""
    import pyarrow as pa
    from deltalake import CommitProperties, Schema

    stored = pa.schema(table.schema().to_arrow())
    schema = rows if change is Change.REPLACE else _union(stored, rows, change, draft.uri)
    kinds = dict(zip(schema.names, schema.types, strict=True))
    retyped = any(kinds.get(field.name, field.type) != field.type for field in stored)
    whole = retyped or (change is Change.REPLACE and set(stored.names) != set(schema.names))
    is_other = whole or set(schema.names) != set(stored.names) or _marks(schema) != _marks(stored)
    with ExitStack() as stack:
        others = _others(stack, draft, table, schema) if whole and change is not Change.REPLACE else []
        actions: list[AddAction | RemoveAction] = [
            action for partition_draft in (draft, *others) for action in partition_draft.finish()
        ]
        # From here on the files may be part of the table, so leaving a draft must not delete them.
        for partition_draft in (draft, *others):
            partition_draft.committed = True
        try:
            with delta.errors(draft.uri):
                table.create_write_transaction(
                    actions,
                    "overwrite",
                    Schema.from_arrow(schema if is_other else stored),
                    [PARTITION],
                    partition_filters=None if whole else [(PARTITION, "=", draft.partition)],
                    commit_properties=CommitProperties(custom_metadata=dict(metadata), max_commit_retries=0),
                )
        except (StoreUnavailable, WriteConflict) as error:
            is_full = isinstance(error, StoreUnavailable)
            # The commit may be there, and only what deltalake does after it found no room.
            is_there = is_full and _is_there(draft)
            for partition_draft in (draft, *others):
                partition_draft.committed = is_there
            if is_full and not is_there:
                raise
            return is_there
    return True


def _is_there(draft: Draft) -> bool:
    ours = {action.path for action in draft.finish()}
    return bool(ours) and ours.issubset(paths(delta.open_table(draft.uri), draft.partition))


def _marks(schema: pa.Schema) -> dict[str, pa.DataType]:
    return column_types.open_types(schema)


def _union(stored: pa.Schema, rows: pa.Schema, change: Change, uri: str) -> pa.Schema:
    import pyarrow as pa

    fields = {field.name: field for field in stored}
    for field in rows:
        there = fields.get(field.name)
        fields[field.name] = field if there is None else _joined(there, field, change, uri)
    return pa.schema(list(fields.values()))


def _joined(there: pa.Field, field: pa.Field, change: Change, uri: str) -> pa.Field:
    """Return a column of a table once rows are added that have it too."""
    if column_types.is_marked(there) and (there.type != field.type or not column_types.is_marked(field)):
        # Its type was assumed, for want of a value.
        return field
    joined = wider(there.type, field.type) if change is Change.WIDEN else None
    if there.type != field.type and joined != field.type:
        raise SchemaMismatch(f"column {field.name!r} is {field.type}, and {there.type} in {uri}")
    return there.with_type(joined or there.type)


def _others(stack: ExitStack, draft: Draft, table: DeltaTable, schema: pa.Schema) -> list[Draft]:
    """Write the other partitions again, in a schema with wider types."""
    import pyarrow as pa
    import pyarrow.dataset as ds

    rows = delta.dataset(draft.uri, table.version())
    keys = sorted(str(partition[PARTITION]) for partition in table.partitions())
    there = set(rows.schema.names) - {PARTITION}
    target = pa.schema([field for field in schema if field.name in there])
    others = [stack.enter_context(Draft(draft.uri, key)) for key in keys if key != draft.partition]
    for other in others:
        for batch in delta.scan(rows, target.names, ds.field(PARTITION) == other.partition):
            try:
                other.add(column_types.settled(pa.Table.from_batches([batch]), target))
            except SchemaMismatch as error:
                raise SchemaMismatch(f"partition {other.partition} of {draft.uri}: {error}") from None
        other.finish()
    return others


def _check(schema: pa.Schema, uri: str) -> None:
    """Refuse types that Delta does not know."""
    import pyarrow as pa
    from deltalake import Schema

    for field in schema:
        try:
            Schema.from_arrow(pa.schema([field]))
        except Exception as error:  # deltalake raises bare exceptions
            raise SchemaMismatch(
                f"column {field.name!r} is {field.type}, which a Delta table ({uri}) cannot keep; cast it to another type"
            ) from error
