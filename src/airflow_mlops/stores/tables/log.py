"""The log of a table: from which version to which each file was part of it, and what it says of a file's values."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from airflow_mlops.stores.tables import delta

if TYPE_CHECKING:
    import pyarrow.fs as pafs

_LOG = "_delta_log"


class Span(NamedTuple):
    """The versions of a table that a file is part of.

    :param last: None while it still is.
    """

    first: int
    last: int | None

    def through(self, latest: int) -> range:
        """Return the numbers of these versions."""
        return range(self.first, (latest if self.last is None else self.last) + 1)


def spans(uri: str) -> dict[str, Span]:
    """Return when each file was part of a table, by its path below the table.

    :raises TableUnreadable: if the log is damaged.
    """
    files, first, last = delta.filesystem(uri), dict[str, int](), dict[str, int]()
    with delta.errors(uri):
        for number, path in _commits(files):
            for action in _actions(files, path):
                if "add" in action:
                    first.setdefault(unquote(action["add"]["path"]), number)
                elif "remove" in action:
                    last[unquote(action["remove"]["path"])] = number - 1
    return {path: Span(number, last.get(path)) for path, number in first.items()}


def forget_ranges(uri: str, paths: Collection[str]) -> None:
    """Take out of the log what it says of the values of some files: the least and the greatest of each column.

    The versions stay as they are. Checkpoints, which repeat it, are replaced by a new one of the latest version.

    :param paths: files that are no longer part of the table.
    """
    files = delta.filesystem(uri)
    with delta.errors(uri):
        for _, path in _commits(files):
            actions = list(_actions(files, path))
            ours = [action for action in actions if _ranged(action, paths)]
            for action in ours:
                count = json.loads(action["add"]["stats"]).get("numRecords")
                action["add"]["stats"] = json.dumps({"numRecords": count})
            if ours:
                _replace(files, path, actions)
    _renew_checkpoint(uri, files)


def _ranged(action: dict[str, Any], paths: Collection[str]) -> bool:
    added = action.get("add")
    return added is not None and bool(added.get("stats")) and unquote(added["path"]) in paths


def _commits(files: pafs.FileSystem) -> list[tuple[int, str]]:
    return sorted((int(name.removesuffix(".json")), f"{_LOG}/{name}") for name in _names(files, ".json"))


def _names(files: pafs.FileSystem, ending: str) -> Iterator[str]:
    import pyarrow.fs as pafs

    for info in files.get_file_info(pafs.FileSelector(_LOG)):
        if info.is_file and info.base_name.endswith(ending) and info.base_name.partition(".")[0].isdigit():
            yield info.base_name


def _actions(files: pafs.FileSystem, path: str) -> Iterator[dict[str, Any]]:
    with files.open_input_stream(path) as file:
        for line in file.read().decode().splitlines():
            if line.strip():
                yield json.loads(line)


def _replace(files: pafs.FileSystem, path: str, actions: Iterable[dict[str, Any]]) -> None:
    import pyarrow.fs as pafs

    content = "\n".join(json.dumps(action, ensure_ascii=False) for action in actions).encode()
    # An object store shows a new object when all of it has arrived; a disk does so when it is renamed.
    local = isinstance(files, pafs.SubTreeFileSystem)
    folder, _, name = path.rpartition("/")
    draft = f"{folder}/.{name}.draft" if local else path
    # Into a buffer that takes all of it: deltalake's streams cannot take what Arrow hands to them directly.
    with files.open_output_stream(draft, buffer_size=len(content) + 1) as file:
        file.write(content)
    if local:
        files.move(draft, path)


def _renew_checkpoint(uri: str, files: pafs.FileSystem) -> None:
    earlier = list(_names(files, ".parquet"))
    if not earlier:
        return
    table = delta.open_table(uri)
    with delta.errors(uri):
        table.create_checkpoint()
        for name in earlier:
            if int(name.partition(".")[0]) != table.version():
                files.delete_file(f"{_LOG}/{name}")
