"""Folders of tables: what is in them, and how they are taken away or moved as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from airflow_mlops.stores.tables import delta

_CHUNK = 1 << 22


class FolderContent(NamedTuple):
    """What a folder holds.

    :param tables: number of rows of each table right below it, by name; None for one that cannot be read.
    :param files: number of all files, those of earlier versions and of logs among them.
    :param size: their bytes.
    """

    tables: dict[str, int | None]
    files: int
    size: int


def content(uri: str) -> FolderContent:
    """Return what a folder holds; nothing if it is not there."""
    import pyarrow.fs as pafs

    selector = pafs.FileSelector("", allow_not_found=True, recursive=True)
    infos = [info for info in delta.filesystem(uri).get_file_info(selector) if info.is_file]
    paths = [info.path.lstrip("/") for info in infos]
    names = sorted(
        {path.partition("/")[0] for path in paths if path.partition("/")[2].startswith("_delta_log/")}
    )
    return FolderContent(
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


def move(uri: str, to: str) -> None:
    """Move a folder with all that it holds; one that is not there is fine.

    On a disk it is renamed. In an object store each key is copied before the first is deleted, so that a repetition can
    finish it.
    """
    import pyarrow.fs as pafs

    old, new = delta.filesystem(uri), delta.filesystem(to)
    if isinstance(old, pafs.SubTreeFileSystem) and isinstance(new, pafs.SubTreeFileSystem):
        source, target = old.base_path.rstrip("/"), new.base_path.rstrip("/")
        if old.base_fs.get_file_info(source).type is pafs.FileType.Directory:
            old.base_fs.move(source, target)
        return
    infos = old.get_file_info(pafs.FileSelector("", allow_not_found=True, recursive=True))
    for info in infos:
        if info.is_file:
            with (
                old.open_input_stream(info.path) as source_file,
                new.open_output_stream(info.path, buffer_size=2 * _CHUNK) as target_file,
            ):
                while chunk := source_file.read(_CHUNK):
                    target_file.write(chunk)
    delete(uri)


def rewrite_texts(uri: str, column: str, change: Callable[[str], str]) -> None:
    """Write the texts of a column of a table without partitions again, in one commit.

    :raises WriteConflict: if another writer changed the table meanwhile.
    """
    import pyarrow as pa
    from deltalake import CommitProperties, write_deltalake

    table = delta.open_table(uri)
    with delta.errors(uri):
        rows = table.to_pyarrow_table(filesystem=delta.filesystem(uri))
        texts = [None if text is None else change(text) for text in rows[column].to_pylist()]
        if texts == rows[column].to_pylist():
            return
        field = rows.schema.field(column)
        rows = rows.set_column(rows.column_names.index(column), field, pa.array(texts, field.type))
        write_deltalake(
            table, rows, mode="overwrite", commit_properties=CommitProperties(max_commit_retries=0)
        )


def _rows(uri: str) -> int | None:
    try:
        return int(delta.dataset(uri).count_rows())
    except (OSError, RuntimeError, ValueError):
        return None
