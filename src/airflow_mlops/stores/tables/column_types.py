"""Types of columns: as Delta keeps them, and which were only assumed, because there was no value yet."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stores.arrow import decoded, micros

if TYPE_CHECKING:
    import pyarrow as pa

# In the metadata of the column, in the schema of the Delta table: every version of the table has its own.
_MARK = b"airflow_mlops.type_so_far"
# Delta's reader of schemas ends the process, or refuses its own table, somewhat beyond.
_DEEPEST = 30
_DAY = 86_400_000_000
"""Microseconds."""


def plain(rows: pa.Table, where: str) -> pa.Table:
    """Return rows in types that a table can keep: text for identifiers (UUID) and times of day, and categories as their values.

    :param where: what the rows are, for messages.
    :raises SchemaMismatch: if a column has a type that no table keeps; the message names each.
    """
    import pyarrow as pa

    problems, fields, columns = [], [], []
    for field, before in zip(rows.schema, rows.columns, strict=True):
        try:
            column = _plain(before)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            problems.append(f"column {field.name!r} is {field.type}: {error}")
            continue
        fields.append(field.with_type(column.type))
        columns.append(column)
        if not _is_within(column.type, _DEEPEST):
            problems.append(f"column {field.name!r} is nested deeper than {_DEEPEST} levels")
            continue
        part = None if pa.types.is_null(so_far(column.type)) else _unknown(column.type)
        if part is not None:
            within = "" if part == field.type else f", within {field.type}"
            problems.append(f"column {field.name!r} is {part}{within}")
    if problems:
        raise SchemaMismatch(
            f"{where}: {'; '.join(problems)}; a Delta table cannot keep that: cast it in the source, or leave it out"
        )
    return rows if pa.schema(fields).equals(rows.schema) else pa.table(columns, pa.schema(fields))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc
    from pyarrow import types

    kind = column.type
    if types.is_dictionary(kind):
        chunks = [*map(decoded, column.chunks)] or [pa.nulls(0, kind.value_type)]
        return _plain(pa.chunked_array(chunks))
    if types.is_run_end_encoded(kind):
        return _plain(
            pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], kind.value_type)
        )
    if isinstance(kind, pa.BaseExtensionType):
        return _storage(column)
    if types.is_time(kind):
        return _clock(column)
    if types.is_float16(kind):
        # Arrow compares and counts hardly anything in half precision, and Delta has no such type.
        return column.cast(pa.float64())
    if (
        types.is_decimal32(kind)
        or types.is_decimal64(kind)
        or (types.is_decimal256(kind) and kind.precision <= 38)
    ):
        return column.cast(pa.decimal128(kind.precision, kind.scale))
    if types.is_list_view(kind) or types.is_large_list_view(kind):
        lists = pa.list_(kind.field(0))
        return pa.chunked_array([_listed(chunk, lists) for chunk in column.chunks], lists)
    return micros(column)


def _clock(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return times of day as text that does not depend on their unit: with six digits of a second, or with none."""
    import pyarrow as pa
    import pyarrow.compute as pc

    micros_of_day = column.cast(pa.time64("us"), safe=False)
    ends = pc.min_max(micros_of_day.cast(pa.int64()))
    if column.null_count < len(column) and not 0 <= ends["min"].as_py() <= ends["max"].as_py() < _DAY:
        raise pa.ArrowInvalid("a value is not between 00:00 and 24:00")
    texts = micros_of_day.cast(pa.string())
    return pc.replace_substring_regex(texts, r"\.0+$", "")


def _listed(views: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return views of lists as lists; Arrow's own cast makes offsets that it then refuses."""
    import pyarrow as pa
    import pyarrow.compute as pc

    ends = pc.cumulative_sum(pc.fill_null(pc.list_value_length(views), 0))
    offsets = pa.concat_arrays([pa.array([0], ends.type), ends]).cast(pa.int32())
    return pa.ListArray.from_arrays(offsets, views.flatten(), kind, mask=views.is_null())


def _storage(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the values of an extension type in the type that stands for them, if there is one."""
    import pyarrow as pa

    name = column.type.extension_name
    if name == "arrow.uuid":
        texts = [None if value is None else str(value) for value in column.to_pylist()]
        return pa.chunked_array([pa.array(texts, pa.string())])
    if name in ("arrow.json", "arrow.bool8"):
        return column.cast(column.type.storage_type).cast(
            pa.bool_() if name == "arrow.bool8" else pa.string()
        )
    return column


def _unknown(kind: pa.DataType) -> pa.DataType | None:
    """Return the part of a type that no table keeps; None if all of it can be kept."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_nested(kind) and not types.is_union(kind) and not _is_view(kind):
        if types.is_struct(kind) and len({field.name.casefold() for field in kind}) < max(1, kind.num_fields):
            return kind
        children = (_unknown(kind.field(index).type) for index in range(kind.num_fields))
        return next((child for child in children if child is not None), None)
    refused = (
        isinstance(kind, pa.BaseExtensionType)
        or types.is_union(kind)
        or _is_view(kind)
        or types.is_run_end_encoded(kind)
        or types.is_time(kind)
        or types.is_duration(kind)
        or types.is_interval(kind)
        or (types.is_decimal(kind) and not (types.is_decimal128(kind) and kind.scale >= 0))
    )
    return kind if refused else None


def _is_within(kind: pa.DataType, levels: int) -> bool:
    return levels >= 0 and all(
        _is_within(kind.field(index).type, levels - 1) for index in range(kind.num_fields)
    )


def _is_view(kind: pa.DataType) -> bool:
    from pyarrow import types

    return bool(types.is_list_view(kind) or types.is_large_list_view(kind))


def kept(kind: pa.DataType) -> pa.DataType:
    """Return the type as which Delta stores values of an Arrow type."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return kept(kind.value_type)
    if pa.types.is_large_string(kind) or pa.types.is_string_view(kind) or pa.types.is_null(kind):
        return pa.string()
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return pa.timestamp("us", "UTC")
    if pa.types.is_unsigned_integer(kind):
        return pa.int64()
    if pa.types.is_float16(kind):
        return pa.float64()
    return _kept_parts(kind)


def _kept_parts(kind: pa.DataType) -> pa.DataType:
    """Return the type as which Delta stores nested values and bytes."""
    import pyarrow as pa
    from pyarrow import types

    if types.is_struct(kind):
        return pa.struct([field.with_type(kept(field.type)) for field in kind])
    if types.is_map(kind):
        return pa.map_(kept(kind.key_type), kept(kind.item_type))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        # Delta's own name of what a list holds.
        return pa.list_(pa.field("element", kept(kind.value_type)))
    if types.is_large_binary(kind) or types.is_fixed_size_binary(kind) or types.is_binary_view(kind):
        return pa.binary()
    return kind


def is_open(kind: pa.DataType) -> bool:
    """Tell whether a type leaves open what its values are: nulls, lists of nothing, objects without keys.

    >>> import pyarrow as pa
    >>> is_open(pa.null()), is_open(pa.list_(pa.null())), is_open(pa.struct([])), is_open(pa.list_(pa.int64()))
    (True, True, True, False)
    """
    from pyarrow import types

    if types.is_null(kind) or (types.is_struct(kind) and not kind.num_fields):
        return True
    if types.is_dictionary(kind):
        return is_open(kind.value_type)
    return any(is_open(kind.field(index).type) for index in range(kind.num_fields))


def so_far(kind: pa.DataType) -> pa.DataType:
    """Return what a column's type says about its values: an open type as it is, any other as Delta stores it."""
    import pyarrow as pa

    if not is_open(kind):
        return kept(kind)
    # An object without keys says no more than a missing one.
    return pa.null() if pa.types.is_struct(kind) and not kind.num_fields else kind


def mark(schema: pa.Schema, open_types: Mapping[str, pa.DataType]) -> pa.Schema:
    """Return a schema that remembers which of its columns have no type so far.

    :param open_types: what is known of the type of each such column.
    """
    import pyarrow as pa

    fields = []
    for field in schema:
        kind = open_types.get(field.name)
        fields.append(field.remove_metadata() if kind is None else field.with_metadata({_MARK: _text(kind)}))
    return pa.schema(fields)


def open_types(schema: pa.Schema) -> dict[str, pa.DataType]:
    """Return what is known of the type of each column that has none so far."""
    return {field.name: _type(field.metadata[_MARK]) for field in schema if is_marked(field)}


def is_marked(field: pa.Field) -> bool:
    """Tell whether a column of a table has no type so far."""
    return _MARK in (field.metadata or {})


def reopened(rows: pa.Table, open_columns: Mapping[str, pa.DataType]) -> pa.Table:
    """Return rows as read from a table, in which the columns without a type so far have no assumed type any more."""
    import pyarrow as pa

    for name, kind in open_columns.items():
        if name in rows.column_names:
            column = pa.chunked_array([pa.array(rows[name].to_pylist(), kind)])
            rows = rows.set_column(rows.column_names.index(name), name, column)
    return rows


def settled(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return rows in the types of a schema, which may say more about columns that have no value.

    :raises SchemaMismatch: if values of a column would lose digits.
    """
    import pyarrow as pa

    columns = []
    for field in schema:
        column = rows[field.name]
        try:
            columns.append(
                pa.chunked_array([pa.nulls(len(rows), field.type)])
                if column.null_count == len(rows)
                else column.cast(field.type)
            )
        except pa.ArrowInvalid:
            # Its text quotes the value, which may be personal.
            raise SchemaMismatch(
                f"column {field.name!r} is {column.type}, of which values would lose digits as {field.type}; correct the "
                "source, or give the column another name"
            ) from None
    return pa.table(columns, schema)


def _text(kind: pa.DataType) -> str:
    import pyarrow as pa

    return base64.b64encode(pa.schema([("_", kind)]).serialize()).decode()


def _type(text: bytes) -> pa.DataType:
    import pyarrow as pa

    return pa.ipc.read_schema(pa.py_buffer(base64.b64decode(text))).field("_").type
