"""Files of partitions, on any file system behind Airflow's connections."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from airflow_mlops.domain.addresses import problem_of, shown, shown_cause
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceChanging, SourceMissing, SourceUnreadable
from airflow_mlops.hooks.source_sql import missing_connection
from airflow_mlops.stores.sources import listing
from airflow_mlops.stores.sources.bytes import NULLS, File
from airflow_mlops.stores.sources.notation import Notation
from airflow_mlops.stores.sources.paths import bare, fill, fixed_folder, is_pattern, without_login
from airflow_mlops.stores.sources.source import ADDED_LATER

if TYPE_CHECKING:
    import pyarrow as pa
    from airflow.sdk import ObjectStoragePath

    from airflow_mlops.stores.sources.hints import Hint

_AWAY_NAMES = ("ClientConnector", "EndpointConnection", "ConnectTimeout", "ConnectionClosed", "ReadTimeout")
_AWAY = (errno.ECONNREFUSED, errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)


@dataclass(frozen=True)
class FileSource:
    """Read the files of a partition, on any file system that ``ObjectStoragePath`` reaches.

    :param path: a path or URL with ``{partition}``, or with ``{year}``, ``{month}``, ``{day}`` and ``{hour}`` of the
        partition's start on the clock of its time zone, each any number of times; ``*``, ``?`` and ``[…]`` match several files, and those whose
        names begin with a dot or underscore are left out. It ends in ``.csv``, ``.jsonl`` or ``.parquet``; the first
        two also with ``.gz``, ``.bz2`` or ``.zst``.
    :param conn_id: connection with the credentials of the file system; None means those of the environment.
    :param format: ``csv``, ``jsonl`` or ``parquet``; None means that the end of the path decides.
    :param delimiter: what separates the fields of CSV.
    :param encoding: how text is encoded.
    :param nulls: texts that count as missing in columns of CSV that are no text; an empty field always does.
    :param types: Arrow type of columns of CSV and JSON, such as ``{"zip": "string"}``; the types of others are inferred
        from all of their values.
    :param escape: what stands before a quote within a field of CSV, such as a backslash; None if quotes are doubled.
    :param decimal: what stands before the fraction of numbers of CSV.
    :param thousands: what separates their thousands; a space is any space.
    :param percent: columns of CSV that are written in percent: ``12.5 %`` is read as 0.125.
    :param times: ``strptime`` formats of columns of CSV whose times are not ISO 8601; see
        :mod:`airflow_mlops.domain.spec.time_formats`.
    """

    path: str
    conn_id: str | None = None
    format: str | None = None
    delimiter: str = ","
    encoding: str = "utf-8"
    nulls: tuple[str, ...] = NULLS
    types: Mapping[str, str] = field(default_factory=dict, hash=False)
    escape: str | None = field(default=None, metadata={ADDED_LATER: True})
    decimal: str = field(default=".", metadata={ADDED_LATER: True})
    thousands: str | None = field(default=None, metadata={ADDED_LATER: True})
    percent: Sequence[str] = field(default=(), metadata={ADDED_LATER: True})
    times: Mapping[str, str] = field(default_factory=dict, hash=False, metadata={ADDED_LATER: True})

    @property
    def notation(self) -> Notation:
        """How the numbers and times of CSV are written."""
        return Notation(self.decimal, self.thousands, self.percent, dict(self.times))

    @property
    def has_notation(self) -> bool:
        """Whether numbers or times are written in a notation of their own."""
        return not self.notation.is_plain

    def describe(self, partition: Partition | None) -> str:
        """Return the path, without credentials; for no partition, with ``*`` where its parts would be."""
        return without_login(fill(self.path, partition))

    def stamp(self, partition: Partition | None) -> str | None:
        """Return a digest of the names, sizes and times of the files; None while there are none.

        :raises SourceUnreadable: if the path cannot be used.
        """
        from airflow_mlops.stores.sources import files as source_files

        return source_files.stamp(self.files(partition))

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Yield the rows of the files, in the order of their names.

        :raises SourceMissing: if there is no file.
        :raises SourceUnreadable: if a file cannot be read, or the files have different columns.
        :raises SourceChanging: if a file changes while it is read.
        """
        yield from self._read(partition, types, None)

    def marked(
        self, partition: Partition | None, types: Mapping[str, str], expected: Mapping[str, str]
    ) -> Iterator[pa.RecordBatch]:
        """Yield the same rows, with the cells of CSV and JSON that cannot be read as their type in a column of their own.

        :param expected: Arrow types of columns, besides those that ``types`` of this source names.
        """
        yield from self._read(partition, types, expected)

    def is_plain(self, *, number: bool) -> bool:
        """Tell whether text is written as Arrow reads it; columns of ``percent`` and ``times`` are never left as text."""
        is_usual = (self.decimal, self.thousands) == (".", None) or not number
        return is_usual and set(self.nulls) <= set(NULLS)

    def _read(
        self,
        partition: Partition | None,
        types: Mapping[str, str] | None,
        marks: Mapping[str, str] | None,
    ) -> Iterator[pa.RecordBatch]:
        from airflow_mlops.stores.sources.files import read

        where = self.describe(partition)
        of = f"partition {partition.key}: " if partition else ""
        try:
            files = self.files(partition)
            if not files:
                what = "no file that matches" if is_pattern(where) else "no file"
                raise SourceMissing(f"there is {what} {where}")
            yield from read(files, where, types, marks)
        except (SourceMissing, SourceUnreadable, SourceChanging) as error:
            raise type(error)(f"{of}{error}") from error

    def advise(self, hint: Hint, partition: Partition | None, *, masked: bool = False) -> str | None:
        """Say which option would read a column that looks like numbers or times; None if it is said to be text."""
        from airflow_mlops.stores.sources.advice import advice

        return advice(hint, self.files(partition), masked=masked)

    def lines(self, partition: Partition | None, rows_before: Sequence[int]) -> list[str]:
        """Say on which lines of CSV rows begin that have so many rows before them, in ascending order; nothing of other files."""
        from airflow_mlops.stores.sources.quotes import places

        files = self.files(partition)
        return places(files, rows_before) if files and files[0].format == "csv" else []

    def files(self, partition: Partition | None) -> list[File]:
        """List the files of a partition in the order of their names.

        :raises SourceMissing: if the file system cannot be reached.
        :raises SourceUnreadable: if a file lies outside of the folder that the path begins with, or the folder cannot
            be listed.
        """
        root = self.open(fill(self.path, partition))
        try:
            # Listings are cached, and would never show a new file to a process that waits for it.
            root.fs.invalidate_cache()
            paths = self._list(root)
        except FileNotFoundError:
            return []
        except SourceUnreadable:
            raise
        except Exception as error:  # noqa: BLE001 - file systems have errors of their own
            where, why = self.describe(partition), shown(str(error))
            if _is_away(error):
                raise SourceMissing(f"{where} cannot be reached: {why}") from shown_cause(error)
            raise SourceUnreadable(f"{where} cannot be listed: {why}") from shown_cause(error)
        layout = listing.layout(self)
        if _is_local(root):
            listing.refuse_outside(paths, self.open(fixed_folder(self.path)).path)
        return [
            File(
                root.fs,
                path,
                path if _is_local(root) else without_login(root.fs.unstrip_protocol(path)),
                layout,
            )
            for path in paths
        ]

    def key_of(self, file: File, grain: str | None = None) -> str | None:
        """Return the key of the partition that a file's path names; None if it names none.

        :param grain: length of a partition; None returns the text in place of ``{partition}`` as it is.
        """
        pattern = self.open(fixed_folder(self.path)).fs._strip_protocol(bare(self.path))
        return listing.key_of(str(pattern), file.path, grain)

    def open(self, path: str) -> ObjectStoragePath:
        import fsspec
        from airflow.sdk import ObjectStoragePath
        from airflow.sdk.exceptions import AirflowNotFoundException
        from airflow.sdk.io import attach, has_fs

        protocol = path.partition("://")[0] if "://" in path else "file"
        if "://" in path and (problem := problem_of(re.split(r"[{*?]", path, maxsplit=1)[0])):
            raise SourceUnreadable(f"{self.describe(None)} cannot be opened: {problem}")
        try:
            if self.conn_id is None and not has_fs(protocol):
                # No provider of Airflow has this protocol, such as http or memory, but fsspec may.
                attach(protocol, fs=fsspec.filesystem(protocol))
            opened = ObjectStoragePath(path, conn_id=self.conn_id)
            _ = opened.fs
        except AirflowNotFoundException as error:
            raise SourceUnreadable(missing_connection(str(opened.conn_id))) from error
        except (ImportError, ValueError) as error:
            raise SourceUnreadable(
                f"{self.describe(None)} cannot be opened: {error}; Airflow needs the "
                "provider of its file system, such as apache-airflow-providers-amazon[s3fs] for s3"
            ) from error
        except OSError as error:
            # HDFS is reached through Java, which may not be there, or may not reach it.
            why = shown(" ".join(str(error).split()))
            if _is_away(error) or "connection" in why.lower():
                raise SourceMissing(f"{self.describe(None)} cannot be reached: {why}") from shown_cause(error)
            raise SourceUnreadable(f"{self.describe(None)} cannot be opened: {why}") from shown_cause(error)
        return opened

    def _list(self, root: ObjectStoragePath) -> list[str]:
        return listing.paths(root.fs, root.path)


def _is_away(error: Exception) -> bool:
    """Tell whether an error means that the file system cannot be reached now, but may be later."""
    # aiohttp, which reads http, and botocore, which reads s3, have errors of their own for this.
    return (
        isinstance(error, ConnectionError | TimeoutError)
        or getattr(error, "errno", None) in _AWAY
        or type(error).__name__.startswith(_AWAY_NAMES)
    )


def _is_local(path: ObjectStoragePath) -> bool:
    return path.protocol in ("", "file", "local")
