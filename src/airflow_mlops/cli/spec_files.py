"""The files of a spec's source: which there are, whether some are elsewhere, and which partitions they are of."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.domain.partitions import Partition

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.domain.spec.source import Files
    from airflow_mlops.hooks.source_files import FileSource
    from airflow_mlops.stores.sources.bytes import File


def is_local(files: Files) -> bool:
    """Tell whether files lie on this machine, so that no connection of Airflow leads to them."""
    return files.conn_id is None and ("://" not in files.path or files.path.startswith("file:///"))


def listed(files: Files) -> list[File]:
    """List the files of all partitions; Airflow is loaded for those that are elsewhere only.

    :raises OSError: if they cannot be reached.
    :raises ValueError: if the path cannot be used.
    """
    from airflow_mlops.stores.sources import listing

    if is_local(files):
        return listing.local(_path(files), files)
    return _elsewhere(files).files(None)


def missing(files: Files, folder: Path) -> str:
    """Return that there is no file, and where there are some.

    :param folder: that the spec lies in.
    """
    from airflow_mlops.stores.sources import listing
    from airflow_mlops.stores.sources.paths import fill, without_login

    path = without_login(fill(files.path, None))
    if not is_local(files) or Path(_path(files)).is_absolute():
        return f"no look at the data: there is no file {path}"
    beside = [place for place in (folder, folder.parent) if listing.local(f"{place}/{files.path}", files)]
    if beside:
        return (
            f"no look at the data: there is no file {path} in {Path.cwd()}, where relative paths begin, but in {beside[0]}; write "
            f"the whole path, {beside[0]}/{files.path}, as Airflow's processes may be started anywhere"
        )
    return f"no look at the data: there is no file {path} in {Path.cwd()}, where relative paths begin, nor beside the spec"


def of_bounds(spec: DataSpec, files: Files, *, everywhere: bool) -> list[str]:
    """Return what is wrong with first and last partition, given the files there are.

    :param everywhere: list files elsewhere too.
    """
    from airflow_mlops.stores.sources import listing

    if not (everywhere or is_local(files)):
        return []
    try:
        there = listed(files)
    except (OSError, ValueError):
        return []  # the look at the last file tells
    if is_local(files):
        keys = [listing.local_key(_path(files), file, spec.grain) for file in there]
    else:
        source = _elsewhere(files)
        keys = [source.key_of(file, spec.grain) for file in there]
    partitions = sorted(Partition.parse(key, spec.grain) for key in set(keys) if key)
    if there and not partitions:
        form = spec.partition.key_format
        return [
            f"none of {len(there)} files, such as {there[-1].name}, names a {spec.partition}, written {form}"
        ]
    return _outside(spec, partitions)


def _outside(spec: DataSpec, partitions: list[Partition]) -> list[str]:
    if not partitions:
        return []
    first, last = partitions[0], partitions[-1]
    if spec.start and Partition.parse(spec.start, spec.grain) > last:
        return [f"start is {spec.start}, and the last file is of {last}: none would be read"]
    if spec.end and Partition.parse(spec.end, spec.grain) < first:
        return [f"end is {spec.end}, and the first file is of {first}: none would be read"]
    return []


def _path(files: Files) -> str:
    return files.path.removeprefix("file://")


def _elsewhere(files: Files) -> FileSource:
    from airflow_mlops.hooks.source_files import FileSource
    from airflow_mlops.stores.sources.bytes import NULLS

    options = files.model_dump(exclude={"nulls"})
    return FileSource(**options, nulls=NULLS if files.nulls is None else files.nulls)
