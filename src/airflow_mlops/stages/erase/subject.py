"""Whose rows: from the values that a person is known by to the rows of every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.calendars import Calendar
from airflow_mlops.exceptions import ErasureRefused, OtherValue, TableMissing
from airflow_mlops.stores import written
from airflow_mlops.stores.tables import delta, erasure, tables, versions

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.results import DatasetVersion

SOURCES = ("data", "staging", "unreadable", "quarantine", "released")
"""Tables that hold whole rows, as they came from the source."""
DERIVED = ("labels", "predictions", "challenger")
"""Tables that hold only the key of a row, and what belongs to it."""


class DataSubject(NamedTuple):
    """The rows to erase.

    :param grain: length of a partition.
    :param key: columns that identify a row of the dataset.
    :param chosen: the rows that were asked for, by the values of some columns.
    :param whose: these rows, and by its key each row that was theirs in any version.
    """

    grain: str
    key: tuple[str, ...]
    chosen: erasure.Rows
    whose: tuple[erasure.Rows, ...]


def find(uris: Mapping[str, str], columns: Sequence[str], values: Sequence[Sequence[str]]) -> DataSubject:
    """Return the rows that have some values.

    A row is theirs if it had the values in any version, be it in quarantine alone. Where a table has only the key of
    a row, such as that of predictions, the key tells.

    :param uris: the tables that are there, by name.
    :param values: combinations of values, one text a column.
    :raises TableMissing: if nothing was ever ingested.
    :raises ErasureRefused: if a column is in no table, or cannot hold a value.
    """
    dataset = _dataset(uris)
    timezone = Calendar(dataset.grain).timezone
    _check(uris, columns, values, timezone)
    chosen = erasure.Rows(tuple(columns), frozenset(map(tuple, values)), timezone=timezone)
    if set(columns) == set(dataset.key):
        return DataSubject(dataset.grain, dataset.key, chosen, (chosen,))
    keys: dict[str, set[tuple[object, ...]]] = {}
    for name in SOURCES:
        if name in uris:
            for partition, rows in erasure.combinations(uris[name], chosen, dataset.key).items():
                keys.setdefault(partition, set()).update(rows)
    theirs = (
        erasure.Rows(dataset.key, frozenset(rows), partition) for partition, rows in sorted(keys.items())
    )
    return DataSubject(dataset.grain, dataset.key, chosen, (chosen, *theirs))


def _dataset(uris: Mapping[str, str]) -> DatasetVersion:
    for name in ("data", "staging"):
        newest = next(versions.versions(uris[name]), None) if name in uris else None
        if newest is not None:
            return newest
    raise TableMissing("Nothing of it was ever ingested, so there is nothing to erase.")


def _check(
    uris: Mapping[str, str], columns: Sequence[str], values: Sequence[Sequence[str]], timezone: str
) -> None:
    if not columns or not values:
        raise ErasureRefused("Name at least one column with a value.")
    schemas = {name: delta.schema(uri) for name, uri in uris.items() if name in SOURCES}
    for position, column in enumerate(columns):
        types = {
            name: schema.field(column).type for name, schema in schemas.items() if column in schema.names
        }
        if not types or column == tables.PARTITION:
            available = sorted(
                {name for schema in schemas.values() for name in schema.names if name[0] != "_"}
            )
            raise ErasureRefused(
                f"No table has a column {column!r}; rows are chosen by {', '.join(available)}"
            )
        for number, combination in enumerate(values, start=1):
            for name, kind in types.items():
                # Which value it is stays out of the message, as messages are kept in logs.
                try:
                    if not combination[position]:
                        raise OtherValue(f"is no {kind}; it is empty")
                    written.read(combination[position], kind, timezone)
                except OtherValue as error:
                    raise ErasureRefused(
                        f"The value of {column!r} in row {number} {error} ({name} has {kind} there)"
                    ) from error
