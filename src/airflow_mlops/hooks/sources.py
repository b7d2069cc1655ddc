"""Sources behind Airflow's connections and configuration, and the source that a spec describes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any

from airflow_mlops import config
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.hooks.source_files import FileSource
from airflow_mlops.hooks.source_sql import SqlSource
from airflow_mlops.stores.sources.bytes import NULLS
from airflow_mlops.stores.sources.delta import DeltaSource
from airflow_mlops.stores.sources.python import PythonSource, load
from airflow_mlops.stores.sources.source import ADDED_LATER, Source
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.spec import source as spec

__all__ = [
    "DatasetSource",
    "DeltaSource",
    "FileSource",
    "PythonSource",
    "Source",
    "SqlSource",
    "from_spec",
    "pack",
    "unpack",
]


# Waiting triggers and watched assets have these names stored, so they stay when the classes move.
_STORED = {
    "airflow_mlops.engines.sources:PythonSource": PythonSource,
    "airflow_mlops.engines.source_delta:DeltaSource": DeltaSource,
}


@dataclass(frozen=True)
class DatasetSource:
    """Read a table of another dataset, such as the predictions of a model, as it is at one version.

    :param dataset: name of the dataset or model.
    :param table: ``data`` for what was published, ``predictions`` for what was scored, or another of its tables.
    :param event_time: column with the time that a row belongs to; None selects rows by the partition under which they
        were written.
    :param version: version to read; None means the latest.
    """

    dataset: str
    table: str = "data"
    event_time: str | None = None
    version: int | None = None

    def describe(self, partition: Partition | None) -> str:
        """Name the table."""
        return self._delta().describe(partition)

    def stamp(self, partition: Partition | None) -> str | None:
        """Return a digest of the names of the partition's data files; None if it has no rows."""
        return self._delta().stamp(partition)

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of one partition.

        :raises SourceMissing: if there is no such table.
        :raises SourceUnreadable: if the version or the event time column does not exist, or the table cannot be read.
        """
        yield from self._delta().batches(partition, types)

    def _delta(self) -> DeltaSource:
        # Resolved only here: the storage may differ between the processes that parse and run a DAG.
        uri = tables.uri_of(config.storage(), self.dataset, self.table)
        return DeltaSource(uri, self.event_time, self.version)


def from_spec(source: spec.Source) -> Source:
    """Return the source that a spec describes."""
    if source.python is not None:
        return PythonSource(source.python.function, source.python.arrived)
    if source.files is not None:
        options = source.files.model_dump(exclude={"nulls"})
        return FileSource(**options, nulls=NULLS if source.files.nulls is None else source.files.nulls)
    if source.sql is not None:
        return SqlSource(source.sql.conn_id, source.sql.query, source.sql.changed)
    delta = source.delta
    assert delta is not None
    if delta.uri is not None:
        return DeltaSource(delta.uri, delta.event_time, delta.version)
    return DatasetSource(str(delta.dataset), delta.table, delta.event_time, delta.version)


def pack(source: Source) -> dict[str, Any]:
    """Return a source as JSON values, from which :func:`unpack` rebuilds it in another process.

    :raises SourceUnreadable: if the source is no dataclass, or holds a function that cannot be imported by its name.
    """
    if not is_dataclass(source):
        raise SourceUnreadable(
            f"{type(source).__name__} cannot be handed to the triggerer, as it is no dataclass; use deferrable=False"
        )
    used = [field for field in fields(source) if not _left_out(source, field)]  # type: ignore[unreachable]
    arguments = {field.name: _plain(getattr(source, field.name)) for field in used}
    own = f"{type(source).__module__}:{type(source).__qualname__}"
    return {
        "kind": next((name for name, kind in _STORED.items() if kind is type(source)), own),
        "values": arguments,
    }


def unpack(packed: Mapping[str, Any]) -> Source:
    """Return the source that :func:`pack` packed."""
    kind = _STORED.get(packed["kind"]) or load(packed["kind"])
    source: Source = kind(**packed["values"])
    return source


def _left_out(source: Any, field: Field[Any]) -> bool:
    """Tell whether a field has come with a later release and says nothing: the trigger is then the one that it was."""
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return bool(field.metadata.get(ADDED_LATER)) and getattr(source, field.name) == default


def _plain(value: Any) -> Any:
    if not callable(value):
        return (
            list(value) if isinstance(value, tuple) else dict(value) if isinstance(value, Mapping) else value
        )
    name = f"{value.__module__}:{value.__qualname__}"
    # Airflow loads DAG files under names of its own, which no other process knows.
    if value.__module__.startswith(("unusual_prefix_", "__main__")) or "<" in name:
        raise SourceUnreadable(
            f"{value.__qualname__} cannot be imported by the triggerer; put it in a module and write module:function, "
            "or use deferrable=False"
        )
    return name
