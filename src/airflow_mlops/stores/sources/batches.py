"""Arrow batches of one schema, from the batches that a source yields."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores import disks
from airflow_mlops.stores.arrow import arrow_type, decoded, wider

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 65_536
"""Rows of a batch, at most, where a source lets us choose."""


def unify(
    parts: Iterable[tuple[str, pa.Schema]],
    where: str,
    join: Callable[[pa.DataType, pa.DataType], pa.DataType | None] = wider,
) -> pa.Schema:
    """Return the schema that the rows of several parts share; columns are in the order of the first.

    :param parts: for each part, its name, and its schema; the name is empty if parts have none.
    :param join: returns the type that holds the values of two others; None if there is none.
    :raises SourceUnreadable: if the parts differ, with each difference.
    """
    import pyarrow as pa

    columns: dict[str, pa.DataType] = {}
    problems: list[str] = []
    for position, (name, schema) in enumerate(parts):
        here = name or "a later batch"
        if position:
            names = dict.fromkeys(schema.names)
            problems += [f"{here} lacks {column!r}" for column in columns if column not in names]
            problems += [f"{here} has {column!r} too" for column in names if column not in columns]
        for field in (field for field in schema if not position or field.name in columns):
            former = columns.get(field.name, field.type)
            common = join(former, field.type)
            if common is None:
                problems.append(f"{field.name!r} is {former} and then {field.type}{name and f' in {name}'}")
            columns[field.name] = common or former
    if problems:
        raise SourceUnreadable(f"{where}: its parts differ: {'; '.join(list(dict.fromkeys(problems))[:10])}")
    return pa.schema(list(columns.items()))


def distinct(names: Iterable[str], where: str) -> None:
    """Refuse columns without a name, or of the same name.

    :raises SourceUnreadable: naming them.
    """
    seen: set[str] = set()
    for position, name in enumerate(names, 1):
        if not name:
            index = " (pandas: to_csv(index=False))" if position == 1 else ""
            raise SourceUnreadable(
                f"{where}: column {position} has no name; give it one, or leave it out{index}"
            )
        if name in seen:
            header = " (it looks like a value: is the header missing?)" if name[:1].isdigit() else ""
            raise SourceUnreadable(f"{where}: the column {name!r} is there twice; rename one of them{header}")
        seen.add(name)


def cast(batch: pa.RecordBatch, schema: pa.Schema, where: str) -> pa.RecordBatch:
    """Return a batch in another schema of the same columns.

    :raises SourceUnreadable: if a value does not fit, or the columns differ.
    """
    import pyarrow as pa

    if batch.schema.equals(schema):
        return batch
    unify([("", schema), ("", batch.schema)], where)
    columns = []
    for field in schema:
        try:
            columns.append(decoded(batch.column(field.name)).cast(field.type))
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise SourceUnreadable(
                f"{where}: {field.name!r} is {field.type} at first, and then {batch.schema.field(field.name).type}: "
                f"{error}; give each batch the same types"
            ) from error
    return pa.record_batch(columns, schema=schema)


def settled(schema: pa.Schema, types: Mapping[str, str] | None) -> pa.Schema:
    """Return a schema in which columns without any value have the type that is published for them, if there is one.

    Categories have the type of their values: what follows may hold others, or be no categories.
    """
    import pyarrow as pa

    published = types or {}
    fields = [
        pa.field(field.name, arrow_type(published[field.name]) or field.type)
        if pa.types.is_null(field.type) and field.name in published
        else pa.field(field.name, field.type.value_type if pa.types.is_dictionary(field.type) else field.type)
        for field in schema
    ]
    return pa.schema(fields)


def spooled(
    batches: Iterable[pa.RecordBatch],
    types: Mapping[str, str] | None,
    where: str,
    planned: Callable[[pa.Schema], pa.Schema] = lambda schema: schema,
    read: Callable[[pa.RecordBatch, pa.Schema, str], pa.RecordBatch] = cast,
) -> Iterator[pa.RecordBatch]:
    """Yield batches in one schema that is known only after the last batch; a temporary file holds them until then.

    Batches of frames or of a database may each have other types: a column may have no value at first, whole numbers
    later, and then fractions.

    :param types: types that are already published, for columns without any value.
    :param planned: returns the schema that batches of a schema will have; it is called after the last batch.
    :param read: returns a batch in the schema of all.
    :raises SourceUnreadable: if the types of a column cannot be reconciled.
    :raises StoreUnavailable: if the disk of temporary files is full.
    """
    import pyarrow as pa

    options = pa.ipc.IpcWriteOptions(compression="lz4")
    # The file has no name, so that not even a killed process leaves it behind.
    with disks.errors(tempfile.gettempdir()), tempfile.TemporaryFile(prefix="airflow-mlops-") as raw:
        written: list[pa.Schema] = []
        writer: Any = None
        for batch in batches:
            if not written or not written[-1].equals(batch.schema):
                if writer is not None:
                    writer.close()
                written.append(batch.schema)
                writer = pa.ipc.new_stream(pa.PythonFile(raw, "w"), batch.schema, options=options)
            writer.write_batch(batch)
        if writer is None:
            return
        writer.close()
        schema = settled(unify((("", planned(part)) for part in written), where), types)
        raw.seek(0)
        file = pa.PythonFile(raw, "r")
        for _ in written:
            for batch in pa.ipc.open_stream(file):
                yield read(batch, schema, where)
