"""Where a partition's rows come from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable

if TYPE_CHECKING:
    import pyarrow as pa


class Source(Protocol):
    """Something that has the rows of each partition."""

    def read(self, partition: Partition) -> pa.Table:
        """Return the rows of one partition."""
        ...

    def describe(self, partition: Partition) -> str:
        """Name the place that one partition comes from, for messages and commit metadata."""
        ...


@dataclass(frozen=True)
class PythonSource:
    """Call a function with a :class:`~airflow_mlops.domain.partitions.Partition`.

    :param function: ``module:function``; it returns a ``pyarrow.Table`` or a ``pandas.DataFrame``.
    """

    function: str

    def describe(self, partition: Partition) -> str:
        """Name the call."""
        return f"{self.function}({partition.key})"

    def read(self, partition: Partition) -> pa.Table:
        """Call the function.

        :raises SourceUnreadable: if it cannot be imported, fails, or returns something else than a table.
        """
        import pyarrow as pa

        try:
            rows = self._load()(partition)
        except FileNotFoundError as error:
            raise SourceMissing(f"{self.describe(partition)}: {error}") from error
        except Exception as error:
            raise SourceUnreadable(
                f"{self.describe(partition)} failed: {type(error).__name__}: {error}"
            ) from error
        if isinstance(rows, pa.Table):
            return rows
        if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
            return pa.Table.from_pandas(rows, preserve_index=False)
        raise SourceUnreadable(
            f"{self.describe(partition)} returned {type(rows).__name__}; "
            "return a pyarrow.Table or a pandas.DataFrame"
        )

    def _load(self) -> Callable[[Partition], Any]:
        from importlib import import_module

        module, _, name = self.function.partition(":")
        function: Callable[[Partition], Any] = getattr(import_module(module), name)
        return function


@dataclass(frozen=True)
class FileSource:
    """Read one file a partition, on any file system that fsspec knows.

    :param path: a path or URL that holds ``{partition}``; ``.csv``, ``.jsonl`` (both also with ``.gz``)
        or ``.parquet``.
    """

    path: str

    def describe(self, partition: Partition) -> str:
        """Return the file's path."""
        return self.path.replace("{partition}", partition.key)

    def read(self, partition: Partition) -> pa.Table:
        """Read the file.

        :raises SourceMissing: if there is no such file.
        :raises SourceUnreadable: if it is empty, truncated or of another format.
        """
        import fsspec
        import pyarrow as pa

        path = self.describe(partition)
        try:
            with fsspec.open(path, "rb", compression="infer") as file:
                content = file.read()
        except FileNotFoundError as error:
            raise SourceMissing(f"partition {partition.key}: there is no file {path}") from error
        except ImportError as error:
            raise SourceUnreadable(
                f"partition {partition.key}: {path} needs another package: {error}"
            ) from error
        except (OSError, EOFError) as error:
            raise SourceUnreadable(f"partition {partition.key}: {path} cannot be read: {error}") from error
        if not content:
            raise SourceUnreadable(f"partition {partition.key}: {path} is empty (0 bytes)")
        try:
            return _parse(pa.BufferReader(content), path)
        except (pa.ArrowInvalid, OSError) as error:
            kind = "truncated or not " + path.removesuffix(".gz").rpartition(".")[2]
            raise SourceUnreadable(f"partition {partition.key}: {path} is {kind}: {error}") from error


def _parse(file: pa.BufferReader, path: str) -> pa.Table:
    from pyarrow import csv, json, parquet

    readers = {"csv": csv.read_csv, "jsonl": json.read_json, "parquet": parquet.read_table}
    suffix = path.removesuffix(".gz").rpartition(".")[2]
    if suffix not in readers:
        raise SourceUnreadable(f"{path}: the format {suffix!r} is not one of {', '.join(sorted(readers))}")
    return readers[suffix](file)
