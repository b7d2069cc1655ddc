"""Releases: rows that broke expectations and may pass all the same, each with who said so, when and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, SupportsInt

from airflow_mlops.stores.arrow import wider
from airflow_mlops.stores.tables import delta, digests, tables

if TYPE_CHECKING:
    import pyarrow as pa

REASONS = "_reasons"
"""Column of the rows set aside that says what is wrong with each."""

_WAS, _REASON, _BY, _AT = "_was", "_reason", "_by", "_at"
_OURS = (REASONS, _WAS, _REASON, _BY, _AT, tables.PARTITION)


class Release(NamedTuple):
    """The latest release of a row.

    :param now: digest of the row that may pass.
    :param row: where that row is in the table of releases.
    """

    now: str
    at: datetime
    row: int


class Releases(NamedTuple):
    """What was released of a partition, by the digest that a row had when it was set aside."""

    rows: pa.Table
    latest: Mapping[str, Release]

    def outcome(self, was: str) -> Release | None:
        """Return what a row becomes, following corrections of corrections; None if it was not released."""
        found: Release | None = None
        here = self.latest.get(was)
        while here is not None and (found is None or here.at > found.at):
            found = here
            here = self.latest.get(here.now)
        return found


def read(uri: str, partition: str) -> Releases:
    """Return what was released of a partition; nothing if there is no table yet."""
    found = tables.read(uri, partition=partition) if tables.exists(uri) else None
    if found is None or not found.num_rows:
        return Releases(found, {})
    found = found.sort_by(_AT)
    data = found.select(columns(found.schema))
    facts = zip(found[_WAS].to_pylist(), map(text, digests.rows(data)), found[_AT].to_pylist(), strict=True)
    return Releases(data, {was: Release(now, at, index) for index, (was, now, at) in enumerate(facts)})


def append(
    uri: str, data: pa.Table, were: Sequence[str], known: Releases, partition: str, by: str, reason: str
) -> None:
    """Add rows that may pass to the releases of a partition.

    :param data: the rows.
    :param were: digest as text of each when it was set aside.
    :param known: what was released before.
    :param by: who releases them.
    :param reason: why.
    :raises WriteConflict: if another writer changed the table at the same time.
    """
    import pyarrow as pa

    # Clocks of two machines differ; which release is the later must not.
    last = max((each.at for each in known.latest.values()), default=datetime.min.replace(tzinfo=UTC))
    at = max(datetime.now(UTC), last + timedelta(microseconds=1))
    columns = {
        _WAS: pa.array(were, pa.string()),
        _REASON: pa.array([reason] * len(were), pa.string()),
        _BY: pa.array([by] * len(were), pa.string()),
        _AT: pa.array([at] * len(were), pa.timestamp("us", "UTC")),
        tables.PARTITION: pa.array([partition] * len(were), pa.string()),
    }
    for name, column in columns.items():
        data = data.append_column(name, column)
    tables.create(uri, data.schema, [tables.PARTITION])
    data = fitting(uri, data)
    kinds = tables.schema_of(delta.schema(uri))
    if all(kinds.get(name, kind) == kind for name, kind in tables.schema_of(data).items()):
        delta.append(uri, data)
        return
    # A column has become wider since the last release, which appending cannot do.
    rows = [tables.read(uri, partition=partition), data.drop_columns([tables.PARTITION])]
    whole = pa.concat_tables(rows, promote_options="permissive")
    tables.replace_partition(uri, whole, partition, change=tables.Change.WIDEN)


def fitting(uri: str, rows: pa.Table) -> pa.Table:
    """Give rows the types of a table where those are wider."""
    if not tables.exists(uri):
        return rows
    there = delta.schema(uri)
    for position, field in enumerate(rows.schema):
        kind = there.field(field.name).type if field.name in there.names else field.type
        if kind != field.type and kind == wider(kind, field.type):
            rows = rows.set_column(position, field.name, rows[field.name].cast(kind))
    return rows


def columns(schema: pa.Schema) -> list[str]:
    """Return the columns of the data itself."""
    return [name for name in schema.names if name not in _OURS]


def text(digest: SupportsInt) -> str:
    """Return a row digest as it is kept."""
    return f"{int(digest):016x}"
