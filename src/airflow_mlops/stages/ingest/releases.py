"""Releases: rows that broke expectations and may pass all the same, with who released them, when and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple, SupportsInt

from airflow_mlops.stores.arrow import wider
from airflow_mlops.stores.tables import delta, digests, tables
from airflow_mlops.stores.tables.column_types import is_marked, open_types, reopened, settled

if TYPE_CHECKING:
    import pyarrow as pa

REASONS = "_reasons"
"""Column of the rows set aside that says what is wrong with each."""

UNREADABLE = "_unreadable"
"""Column of the rows set aside with the cells of each that cannot be read, by column, as JSON; null if all can be."""

_WAS, _REASON, _BY, _AT = "_was", "_reason", "_by", "_at"
_OURS = (REASONS, UNREADABLE, _WAS, _REASON, _BY, _AT, tables.PARTITION)


class Release(NamedTuple):
    """The latest release of a row.

    :param now: digest of the row that may pass; not the digest of the row set aside, if that row was
        corrected.
    :param row: position of that row in the table of releases.
    """

    now: str
    at: datetime
    row: int


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


def read(uri: str, partition: str) -> Releases:
    """Return the releases of a partition; there are none if the table does not exist yet."""
    table = tables.read(uri, partition=partition) if tables.exists(uri) else None
    if table is None or not table.num_rows:
        return Releases(table, {})
    table = table.sort_by(_AT)
    contents = table.select(columns(table.schema))
    facts = zip(
        table[_WAS].to_pylist(), map(text, digests.rows(contents)), table[_AT].to_pylist(), strict=True
    )
    return Releases(contents, {was: Release(now, at, index) for index, (was, now, at) in enumerate(facts)})


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
    import pyarrow as pa

    table = rows if isinstance(rows, pa.Table) else pa.Table.from_batches([rows])
    names = [*columns(table.schema), *([UNREADABLE] if UNREADABLE in table.column_names else [])]
    return [text(digest) for digest in digests.rows(table.select(names))]


def text(digest: SupportsInt) -> str:
    """Return a row digest as the text that is stored."""
    return f"{int(digest):016x}"
