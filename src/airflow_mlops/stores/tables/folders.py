"""Folders of tables: what is in them, and how they are taken away as a whole."""

from __future__ import annotations

from typing import NamedTuple

from airflow_mlops.stores.tables import delta


class Content(NamedTuple):
    """What a folder holds.

    :param tables: number of rows of each table right below it, by name; None for one that cannot be read.
    :param files: number of all files, those of earlier versions and of logs among them.
    :param size: their bytes.
    """

    tables: dict[str, int | None]
    files: int
    size: int


def content(uri: str) -> Content:
    """Return what a folder holds; nothing if it is not there."""
    import pyarrow.fs as pafs

    selector = pafs.FileSelector("", allow_not_found=True, recursive=True)
    infos = [info for info in delta.filesystem(uri).get_file_info(selector) if info.is_file]
    paths = [info.path.lstrip("/") for info in infos]
    names = sorted(
        {path.partition("/")[0] for path in paths if path.partition("/")[2].startswith("_delta_log/")}
    )
    return Content(
        {name: _rows(f"{uri}/{name}") for name in names}, len(infos), sum(info.size for info in infos)
    )


def delete(uri: str) -> None:
    """Delete a folder with all that it holds; one that is not there is fine."""
    import pyarrow.fs as pafs

    files = delta.filesystem(uri)
    if isinstance(files, pafs.SubTreeFileSystem):
        folder = files.base_path.rstrip("/")
        if files.base_fs.get_file_info(folder).type is pafs.FileType.Directory:
            files.base_fs.delete_dir(folder)
        return
    # An object store has keys and no folders.
    for info in files.get_file_info(pafs.FileSelector("", allow_not_found=True, recursive=True)):
        if info.is_file:
            files.delete_file(info.path)


def _rows(uri: str) -> int | None:
    try:
        return int(delta.dataset(uri).count_rows())
    except (OSError, RuntimeError, ValueError):
        return None
