"""Summaries as an Arrow table, a row a column: what is kept of a partition, and of the data a model was trained on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops.learning.summaries import summary
from airflow_mlops.learning.summaries.sample import CategorySample
from airflow_mlops.learning.summaries.summary import Column, ColumnKind
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa

_PLAIN = ("rows", "missing", "infinite", "squares", "low", "high", "others", "problem")


def to_table(groups: Mapping[str, Mapping[str, Column]]) -> pa.Table:
    """Return summaries as a table, each of some 100 kB at most.

    :param groups: what the rows have in common, such as a month, to the summaries of its columns by name.
    """
    import pyarrow as pa

    rows = [
        {"of": group, "column": name, "kind": column.kind.value, **_lists(summary.compact(column))}
        | {key: getattr(column, key) for key in _PLAIN}
        for group, columns in groups.items()
        for name, column in columns.items()
    ]
    whole, text = pa.int64(), pa.string()
    return pa.Table.from_pylist(
        rows,
        pa.schema(
            [
                ("of", text), ("column", text), ("kind", text), ("rows", whole), ("missing", whole),
                ("infinite", whole), ("squares", pa.float64()), ("low", pa.float64()), ("high", pa.float64()),
                ("others", whole), ("problem", text), ("numbers", pa.list_(pa.float64())),
                ("labels", pa.list_(text)), ("counts", pa.list_(whole)), ("hashes", pa.list_(whole)),
                ("hashed", pa.list_(whole)), ("limit", whole),
            ]
        ),
    )  # fmt: skip


def from_table(table: pa.Table) -> dict[str, dict[str, Column]]:
    """Return the summaries that :func:`to_table` made the table of.

    :raises KeyError: if it is no such table.
    """
    groups: dict[str, dict[str, Column]] = {}
    for place in range(table.num_rows):
        row = {name: table[name][place] for name in table.column_names}
        groups.setdefault(row["of"].as_py(), {})[row["column"].as_py()] = _column(row)
    return groups


def kept(uri: str, partition: str) -> dict[str, dict[str, Column]]:
    """Return the summaries that are kept of a partition, by group; empty if there are none."""
    return from_table(tables.read(uri, partition=partition)) if tables.exists(uri) else {}


def keep(uri: str, partition: str, groups: Mapping[str, Mapping[str, Column]], of: Iterable[str]) -> None:
    """Keep summaries of a partition, in place of those that it has.

    :param of: names of its groups that stay.
    """
    still = {name: columns for name, columns in kept(uri, partition).items() if name in set(of)}
    tables.replace_partition(uri, to_table({**still, **groups}), partition)


def _lists(column: Column) -> dict[str, Any]:
    numeric = column.kind is ColumnKind.NUMERIC
    return {
        "numbers": column.values if numeric else None,
        "labels": None if numeric else column.values.tolist(),
        "counts": column.counts,
        **_sample(column.sampled),
    }


def _sample(sample: CategorySample | None) -> dict[str, Any]:
    """Return a sample as cells of a row; tables have no unsigned numbers of 64 bits."""
    import numpy as np

    if sample is None:
        return {}
    limit = int(np.uint64(sample.limit).view(np.int64))
    return {"hashes": sample.hashes.view(np.int64), "hashed": sample.counts, "limit": limit}


def _column(row: Mapping[str, Any]) -> Column:
    import numpy as np

    kind = ColumnKind(row["kind"].as_py())
    counts = row["counts"].values.to_numpy(zero_copy_only=False)
    if kind is ColumnKind.NUMERIC:
        values = row["numbers"].values.to_numpy(zero_copy_only=False)
    else:
        values = np.array(row["labels"].as_py(), object)
    sampled = None
    # Tables of former builds have no samples.
    if "limit" in row and row["limit"].is_valid:
        hashes, hashed = (row[key].values.to_numpy(zero_copy_only=False) for key in ("hashes", "hashed"))
        limit = int(np.int64(row["limit"].as_py()).view(np.uint64))
        sampled = CategorySample(hashes.view(np.uint64), hashed, limit)
    plain = {key: row[key].as_py() for key in _PLAIN}
    return Column(kind=kind, values=values, counts=counts, **plain, sampled=sampled)
