"""The files that a path stands for, on any fsspec file system, and the partitions that their paths name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol

from airflow_mlops.domain.calendars import Calendar
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.source import SUFFIXES
from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.sources.bytes import NULLS, File, Layout
from airflow_mlops.stores.sources.notation import Notation
from airflow_mlops.stores.sources.paths import expression, fill, fixed_folder, is_pattern


class Options(Protocol):
    """What a source or a spec says of its files."""

    @property
    def format(self) -> str | None: ...
    @property
    def delimiter(self) -> str: ...
    @property
    def encoding(self) -> str: ...
    @property
    def nulls(self) -> tuple[str, ...] | None: ...
    @property
    def types(self) -> Mapping[str, Any]: ...
    @property
    def escape(self) -> str | None: ...
    @property
    def decimal(self) -> str: ...
    @property
    def thousands(self) -> str | None: ...
    @property
    def percent(self) -> Sequence[str]: ...
    @property
    def times(self) -> Mapping[str, str]: ...


def layout(options: Options) -> Layout:
    """Return how files are written."""
    return Layout(
        options.format,
        options.delimiter,
        options.encoding,
        NULLS if options.nulls is None else tuple(options.nulls),
        dict(options.types),
        options.escape,
        Notation(options.decimal, options.thousands, options.percent, dict(options.times)),
    )


def local(path: str, options: Options) -> list[File]:
    """List the files of all partitions on this machine, in the order of their names.

    :param path: with the parts of a partition in braces; a relative one begins in the current directory.
    :raises SourceUnreadable: if a file lies outside of the folder that the path begins with.
    """
    import fsspec

    fs = fsspec.filesystem("file")
    there = paths(fs, fill(path, None))
    refuse_outside(there, str(fs._strip_protocol(fixed_folder(path))))
    return [File(fs, file, file, layout(options)) for file in there]


def local_key(path: str, file: File, grain: str) -> str | None:
    """Return the key of the partition that the path of a file on this machine names; None if it names none.

    :param path: with the parts of a partition in braces.
    """
    return key_of(str(file.fs._strip_protocol(path)), file.path, grain)


def paths(fs: Any, path: str) -> list[str]:
    """List the files that a path stands for, in the order of their names.

    :param fs: file system of fsspec.
    :raises SourceUnreadable: if a folder that stands for one file has folders of its own.
    """
    if not is_pattern(path):
        place = str(fs._strip_protocol(path))
        if fs.isfile(path):
            return [place]
        return _parts(fs, place) if fs.isdir(path) else []
    infos: dict[str, Any] = fs.glob(path, detail=True)
    shown = [(place, info["type"] == "directory") for place, info in infos.items() if not _is_hidden(place)]
    files = {place for place, is_folder in shown if not is_folder}
    for place, is_folder in shown:
        if is_folder and place.endswith(SUFFIXES):
            files.update(_parts(fs, place))
    return sorted(files)


def key_of(pattern: str, path: str, grain: str | None) -> str | None:
    """Return the key of the partition that a file's path names; None if it names none.

    :param pattern: path with the parts of a partition in braces.
    :param grain: length of a partition; None returns the text in place of ``{partition}`` as it is.
    """
    # A folder may stand for a file; its parts lie in it.
    match = re.fullmatch(expression(pattern, grain) + "(?:/[^/]+)?", path)
    parts = match.groupdict() if match else {}
    try:
        if "partition" in parts:
            return Partition.parse(parts["partition"], grain).key if grain else parts["partition"]
        if "year" not in parts or grain is None:
            return None
        year, month, day, hour = (
            int(parts.get(name, first))
            for name, first in (("year", 1), ("month", 1), ("day", 1), ("hour", 0))
        )
        clock = datetime(year, month, day, hour, tzinfo=Calendar(grain).zone)
        return Partition.containing(clock, grain).key
    except ValueError:
        return None


def refuse_outside(paths: Sequence[str], folder: str) -> None:
    """Refuse files that links lead to, outside of the folder that a path begins with.

    :raises SourceUnreadable: if there is one.
    """
    home = os.path.realpath(folder)
    for path in paths:
        real = os.path.realpath(path)
        if os.path.commonpath([home, real]) != home:
            raise SourceUnreadable(
                f"{path} leads to {real}, outside of {home}; copy the file there, or name its own folder"
            )


def _parts(fs: Any, folder: str) -> list[str]:
    """List the files of a folder that stands for one file, as Spark writes it; none while it is still being written."""
    infos = fs.ls(folder, detail=True)
    if any(info["name"].rstrip("/").endswith("/_temporary") for info in infos):
        return []
    shown = [info for info in infos if not _is_hidden(info["name"].rstrip("/"))]
    if folders := [info["name"] for info in shown if info["type"] == "directory"]:
        raise SourceUnreadable(
            f"{folder} has folders of its own, such as {folders[0]}, whose names may hold columns; name the files, as "
            f"in {folder}/*/*.parquet, or write it without partitionBy"
        )
    return sorted(info["name"] for info in shown)


def _is_hidden(path: str) -> bool:
    return path.rpartition("/")[2].startswith((".", "_"))
