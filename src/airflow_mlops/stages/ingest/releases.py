"""Releases: rows that broke expectations and may pass all the same, with who released them, when and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, SupportsInt

from airflow_mlops.stores import damage
from airflow_mlops.stores.arrow import wider
from airflow_mlops.stores.tables import delta, digests, tables
from airflow_mlops.stores.tables.column_types import is_marked, open_types, reopened, settled

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

REASONS = "_reasons"
"""Column of the rows set aside that says what is wrong with each."""

UNREADABLE = "_unreadable"
"""Column of the rows set aside with the cells of each that cannot be read, by column, as JSON; null if all can be."""

_WAS, _REASON, _BY, _AT, _COLUMNS = "_was", "_reason", "_by", "_at", "_columns"
_OURS = (REASONS, UNREADABLE, _WAS, _REASON, _BY, _AT, _COLUMNS, tables.PARTITION)


class Release(NamedTuple):
    """The latest release of a row.

    :param now: digest of the row that may pass; not the digest of the row set aside, if that row was
        corrected.
    :param row: position of that row in the table of releases.
    :param columns: columns that the dataset had then; None if a former build has released it, without writing them down.
    """

    now: str
    at: datetime
    row: int
    columns: frozenset[str] | None = None


class Releases(NamedTuple):
    """Releases of a partition, by the digest that a row had when it was set aside."""

    rows: pa.Table
    latest: Mapping[str, Release]

    def outcome(self, was: str) -> Release | None:
        """Return the last release of a row, through corrections of corrections; None if there is none."""
        last: Release | None = None
        following = self.latest.get(was)
        while following is not None and (last is None or following.at > last.at):
            last = following
            following = self.latest.get(following.now)
        return last

    def known(self, part: pa.Table | pa.RecordBatch) -> list[str]:
        """Return the digest by which each row is known here: that of its content, or of the columns that it had then.

        A column that the dataset has gained since is none of what a person has looked at.
        """
        table = _table(part)
        own = identity(table)
        for there, then in self._as_then(table):
            former = identity(then)
            own = [
                was
                if now not in self.latest and was in self.latest and self.latest[was].columns == there
                else now
                for now, was in zip(own, former, strict=True)
            ]
        return own

    def suspects(self, part: pa.Table | pa.RecordBatch) -> np.ndarray:
        """Return the positions of rows that :meth:`known` may know, without a text for each of the others."""
        import numpy as np

        table = _table(part)
        released = np.array([int(was, 16) for was in self.latest], np.uint64)
        hits = np.isin(digests.rows(table), released)
        for _, then in self._as_then(table):
            hits |= np.isin(digests.rows(then), released)
        return np.flatnonzero(hits)

    def _as_then(self, table: pa.Table) -> Iterator[tuple[frozenset[str], pa.Table]]:
        """Yield the columns of each time that has fewer of them, and rows with those alone."""
        for there in {release.columns for release in self.latest.values() if release.columns is not None}:
            if not set(columns(table.schema)) <= there:
                yield (
                    there,
                    table.select([name for name in table.column_names if name in {*there, UNREADABLE}]),
                )

    def passing(self, outcomes: Sequence[Release], instead_of: pa.Table) -> pa.Table:
        """Return the rows that pass, with the values that the rows in their place have in columns that are new since.

        :param instead_of: the rows in their place, in the order of the outcomes.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        rows = self.rows.take(pa.array([outcome.row for outcome in outcomes], pa.int64()))
        for name in columns(instead_of.schema):
            had = pa.array([outcome.columns is None or name in outcome.columns for outcome in outcomes])
            column = instead_of[name]
            if name not in rows.column_names:
                rows = rows.append_column(name, column)
            elif not pc.all(had, min_count=0).as_py():
                kind = wider(rows[name].type, column.type) or rows[name].type
                column = pc.if_else(had, rows[name].cast(kind), column.cast(kind))
                rows = rows.set_column(rows.column_names.index(name), name, column)
        return rows


def read(uri: str, partition: str) -> Releases:
    """Return the releases of a partition; there are none if the table does not exist yet."""
    table = tables.read(uri, partition=partition) if tables.exists(uri) else None
    if table is None or not table.num_rows:
        return Releases(table, {})
    table = table.sort_by(_AT)
    contents = table.select(columns(table.schema))
    there = table[_COLUMNS].to_pylist() if _COLUMNS in table.column_names else [None] * table.num_rows
    with damage.errors(f"The table of releases at {uri}"):
        then = [None if names is None else frozenset(json.loads(names)) for names in there]
    facts = zip(
        table[_WAS].to_pylist(), map(text, digests.rows(contents)), table[_AT].to_pylist(), then, strict=True
    )
    return Releases(
        contents, {was: Release(now, at, index, had) for index, (was, now, at, had) in enumerate(facts)}
    )


def append(
    uri: str, passing: pa.Table, were: Sequence[str], earlier: Releases, partition: str, by: str, reason: str
) -> None:
    """Add rows that may pass to the releases of a partition.

    :param passing: the rows that may pass.
    :param were: digest of each row when it was set aside, as text.
    :param earlier: the releases of the partition so far.
    :param by: who releases them.
    :param reason: why.
    :raises WriteConflict: if another writer changed the table at the same time.
    """
    import pyarrow as pa

    # Clocks of two machines differ, so a release is always stamped later than those before it.
    last = max((release.at for release in earlier.latest.values()), default=datetime.min.replace(tzinfo=UTC))
    at = max(datetime.now(UTC), last + timedelta(microseconds=1))
    columns = {
        _WAS: pa.array(were, pa.string()),
        _REASON: pa.array([reason] * len(were), pa.string()),
        _BY: pa.array([by] * len(were), pa.string()),
        _AT: pa.array([at] * len(were), pa.timestamp("us", "UTC")),
        _COLUMNS: pa.array([json.dumps(sorted(passing.column_names))] * len(were), pa.string()),
        tables.PARTITION: pa.array([partition] * len(were), pa.string()),
    }
    for name, column in columns.items():
        passing = passing.append_column(name, column)
    tables.create(uri, passing.schema, [tables.PARTITION])
    passing = fitting(uri, passing)
    kinds = tables.schema_of(delta.schema(uri))
    if all(kinds.get(name, kind) == kind for name, kind in tables.schema_of(passing).items()):
        delta.append(uri, passing)
        return
    # A column has become wider since the last release, which appending cannot do.
    there = tables.read(uri, partition=partition)
    parts = [reopened(there, open_types(there.schema)), passing.drop_columns([tables.PARTITION])]
    whole = pa.concat_tables(parts, promote_options="permissive")
    tables.replace_partition(uri, whole, partition, change=tables.Change.WIDEN)


def fitting(uri: str, rows: pa.Table) -> pa.Table:
    """Return rows cast to the types of a table where those are wider, or the rows have none."""
    import pyarrow as pa

    if not tables.exists(uri):
        return rows
    there = delta.schema(uri)
    columns_there = {field.name: field for field in there}
    fields = []
    for field in rows.schema:
        stored = columns_there.get(field.name, field)
        is_wider = not is_marked(stored) and stored.type == wider(stored.type, field.type)
        fields.append(stored if is_wider or is_marked(field) else field)
    return settled(rows, pa.schema(fields))


def columns(schema: pa.Schema) -> list[str]:
    """Return the columns of the dataset itself, without those that quarantine and releases add."""
    return [name for name in schema.names if name not in _OURS]


def identity(rows: pa.Table | pa.RecordBatch) -> list[str]:
    """Return a digest of each row that was set aside, by which releases of it are known.

    A row with a cell that cannot be read is told apart from one that has nothing there, or another such text.
    """
    table = _table(rows)
    names = [*columns(table.schema), *([UNREADABLE] if UNREADABLE in table.column_names else [])]
    return [text(digest) for digest in digests.rows(table.select(names))]


def _table(rows: pa.Table | pa.RecordBatch) -> pa.Table:
    import pyarrow as pa

    return rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])


def text(digest: SupportsInt) -> str:
    """Return a row digest as the text that is stored."""
    return f"{int(digest):016x}"
