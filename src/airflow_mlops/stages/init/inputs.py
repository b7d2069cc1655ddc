"""Data to begin with: a file, a folder of files, or any rows that can be read again and again."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.source import SUFFIXES
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable
from airflow_mlops.stages.init import dialect, partition_names
from airflow_mlops.stages.init.partition_names import NamedPartitions
from airflow_mlops.stores import disks
from airflow_mlops.stores.sources import files as source_files
from airflow_mlops.stores.sources import quotes
from airflow_mlops.stores.sources.batches import ROWS
from airflow_mlops.stores.sources.bytes import File, Layout

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Input:
    """Rows to begin with.

    :param name: what they are called in messages.
    :param read: returns the rows, in batches of one schema; it can be called again.
    :param options: how files are written, by key of ``source.files``.
    :param notes: what a person should know of how they were read.
    :param files: none if they come from elsewhere.
    :param named: partitions that the names of files hold; None if they hold none.
    :param table: connection and table, if they are rows of a database.
    :param part: returns the rows of a partition of a database whose column of times has a name.
    """

    name: str
    read: Callable[[], Iterator[pa.RecordBatch]]
    options: Mapping[str, Any] = field(default_factory=dict)
    notes: Sequence[str] = ()
    files: Sequence[File] = ()
    named: NamedPartitions | None = None
    table: tuple[str, str] | None = None
    part: Callable[[Partition, str], Iterator[pa.RecordBatch]] | None = None

    def rows_of(self, key: str) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a partition that the names of files hold."""
        assert self.named is not None
        here = [file for file, other in zip(self.files, self.named.keys, strict=True) if other == key]
        return source_files.read(here, self.name)

    def places(self, rows: Sequence[int]) -> list[str]:
        """Say where rows are that have so many rows before them, in ascending order."""
        if self.files and self.files[0].format == "csv":
            return quotes.places(self.files, rows)
        return [f"row {before + 1:,} of {self.name}" for before in rows]


class Kept:
    """Rows that are read once, and kept in a temporary file to be read again.

    :param read: returns the rows, in batches of one schema.
    """

    def __init__(self, read: Callable[[], Iterator[pa.RecordBatch]]) -> None:
        self._read = read
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def __call__(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows.

        :raises StoreUnavailable: if the disk of temporary files is full.
        """
        from pyarrow import parquet

        if self._folder is None:
            folder = tempfile.TemporaryDirectory(prefix="airflow-mlops-")
            batches = self._read()
            first = next(batches)
            with (
                disks.errors(tempfile.gettempdir()),
                parquet.ParquetWriter(f"{folder.name}/rows.parquet", first.schema) as writer,
            ):
                for batch in chain([first], batches):
                    writer.write_batch(batch)
            self._folder = folder
        yield from parquet.ParquetFile(f"{self._folder.name}/rows.parquet").iter_batches(ROWS)


def of_path(data: Path) -> Input:
    """Return the rows of a file, or of all files in a folder and the folders below.

    :raises SourceMissing: if there is none.
    :raises SourceUnreadable: if they cannot be read, or are of several formats.
    """
    import fsspec

    paths = _paths(data)
    system = fsspec.filesystem("file")
    files = [File(system, str(path), _short(path, data), Layout()) for path in paths]
    formats = sorted({file.format for file in files})
    if len(formats) > 1:
        raise SourceUnreadable(
            f"{data} has files of several formats, {', '.join(formats)}; name those of one"
        )
    named = partition_names.find(data.absolute(), paths) if data.is_dir() else None
    if named is not None:
        # Files of one partition stand together, so that rows by partition are in the order of all rows.
        pairs = sorted(zip(named.keys, range(len(files)), strict=True))
        files = [files[place] for _, place in pairs]
        named = named._replace(keys=tuple(key for key, _ in pairs))
    written = dialect.find(files)
    files = dialect.written(files, written.options)
    options = dict(written.options)
    if named is not None and files[0].format != "parquet":
        # Each partition is read by itself, and its values alone may be of a narrower type.
        options["types"] = {**options.get("types", {}), **_uneven(files, data.name)}
        options = {key: value for key, value in options.items() if value}
        files = dialect.written(files, options)
    return Input(
        data.name,
        Kept(lambda: source_files.read(files, data.name)),
        options,
        written.notes,
        files,
        named,
    )


def _paths(data: Path) -> list[Path]:
    if not data.exists():
        raise SourceMissing(f"there is no file or folder {data}")
    if data.is_file():
        if not data.name.endswith(SUFFIXES):
            raise SourceUnreadable(f"{data.name} ends in none of {', '.join(SUFFIXES)}; rename or convert it")
        return [data.absolute()]
    paths = sorted(
        path
        for path in data.absolute().rglob("*")
        if path.is_file()
        and path.name.endswith(SUFFIXES)
        and not _is_hidden(path.relative_to(data.absolute()))
    )
    if not paths:
        raise SourceMissing(f"there is no file in {data} that ends in one of {', '.join(SUFFIXES)}")
    return paths


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _short(path: Path, data: Path) -> str:
    return path.relative_to(data.absolute()).as_posix() if data.is_dir() else path.name


def _uneven(files: Sequence[File], where: str) -> dict[str, str]:
    """Return the types of columns that some files by themselves would have in another type than all together."""
    import pyarrow as pa

    whole = next(source_files.read(files, where)).schema
    notation = files[0].layout.notation.kinds
    uneven: dict[str, str] = {}
    for file in files:
        here = next(source_files.read([file], where)).schema
        for column in whole:
            kind = str(column.type)
            same = here.field(column.name).type == column.type or pa.types.is_null(
                here.field(column.name).type
            )
            if not same and kind in ("string", "int64", "double", "bool") and column.name not in notation:
                uneven[column.name] = kind
    return uneven
