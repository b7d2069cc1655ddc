"""Sources that are Python functions.

Files and databases are reached through Airflow's connections, so their sources are in
:mod:`airflow_mlops.hooks.sources`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SourceMissing, SourceUnreadable
from airflow_mlops.stores.sources import frames
from airflow_mlops.stores.sources.batches import ROWS, cast, distinct, settled, spooled
from airflow_mlops.stores.sources.source import UNKNOWN
from airflow_mlops.stores.tables.column_types import is_open

if TYPE_CHECKING:
    import pyarrow as pa


_END = object()


def load(function: str) -> Callable[..., Any]:
    """Import ``module:function``.

    :raises SourceUnreadable: if there is no such function.
    """
    from importlib import import_module

    module, _, name = function.partition(":")
    try:
        attribute = getattr(import_module(module), name)
    except Exception as error:  # a module may fail in any way while it is imported
        raise SourceUnreadable(
            f"{function} cannot be imported: {type(error).__name__}: {error}; write module:function, and put the "
            "module where Airflow finds it: beside the DAG file, in plugins, or installed"
        ) from error
    if not callable(attribute):
        raise SourceUnreadable(f"{function} is no function but {type(attribute).__name__}")
    return attribute  # type: ignore[no-any-return]


@dataclass(frozen=True)
class PythonSource:
    """Call a function with a :class:`~airflow_mlops.domain.partitions.Partition`, or with None for all there is.

    :param function: ``module:function``, or the function itself. It returns a ``pyarrow.Table``, a
        ``pandas.DataFrame``, a ``pyarrow.RecordBatchReader``, or an iterator of tables, batches or frames. An
        iterator is read once and never held in memory as a whole.
    :param arrived: ``module:function``, or the function itself, which tells whether the data of a partition is there:
        a text or number that changes when the data does, or None while there is none. None here means that nobody
        can tell, so that nothing can wait for this source.
    """

    function: str | Callable[[Any], Any]
    arrived: str | Callable[[Any], Any] | None = None

    def describe(self, partition: Partition | None) -> str:
        """Name the call."""
        return _call(self.function, partition)

    def stamp(self, partition: Partition | None) -> str | None:
        """Return the text of what ``arrived`` returns; :data:`UNKNOWN` without such a function.

        :raises SourceUnreadable: if the function fails.
        """
        if self.arrived is None:
            return UNKNOWN
        answer = _ask(self.arrived, partition)
        return None if answer is None or answer is False else str(answer)

    def batches(
        self, partition: Partition | None, types: Mapping[str, str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """Call the function and yield its rows.

        :raises SourceMissing: if the function raises FileNotFoundError.
        :raises SourceUnreadable: if the function cannot be imported, fails, or returns something else than rows.
        """
        where = self.describe(partition)
        answer = _ask(self.function, partition)
        single = _is_rows(answer)
        parts = _parts([answer] if single else answer, where)
        first = next(parts, None)
        if first is None:
            return
        distinct(first.schema.names, where)
        batches = (batch for rows in chain([first], parts) for batch in _batches(rows))
        if not single and (first.schema.metadata or any(map(is_open, first.schema.types))):
            # Each pandas frame has types of its own, which depend on its values; so may a column without one at first.
            yield from spooled(batches, types, where)
            return
        schema = settled(first.schema, types)
        yield from (cast(batch, schema, where) for batch in batches)


def _call(function: str | Callable[[Any], Any], partition: Partition | None) -> str:
    name = function if isinstance(function, str) else f"{function.__module__}:{function.__qualname__}"
    return f"{name}({partition.key if partition else ''})"


def _ask(function: str | Callable[[Any], Any], partition: Partition | None) -> Any:
    with _errors(_call(function, partition)):
        return (load(function) if isinstance(function, str) else function)(partition)


@contextmanager
def _errors(call: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise SourceMissing(f"{call}: {error}") from error
    except SourceUnreadable:
        raise
    except Exception as error:  # the function is not ours and may raise anything
        if type(error).__module__ == "pyarrow.lib":
            # Arrow quotes the value that it stumbles over, which may be personal.
            raise SourceUnreadable(f"{call} failed: {frames.without_values(error)}") from None
        raise SourceUnreadable(f"{call} failed: {type(error).__name__}: {error}") from error


def _is_rows(answer: Any) -> bool:
    import pyarrow as pa

    return isinstance(answer, pa.RecordBatch) or (
        hasattr(answer, "__arrow_c_stream__") and not isinstance(answer, pa.RecordBatchReader)
    )


def _parts(answers: Any, call: str) -> Iterator[pa.Table]:
    """Yield each answer as a table; one that was a pandas frame has metadata of pandas."""
    import pyarrow as pa

    if not isinstance(answers, Iterable) or isinstance(answers, str | bytes | Mapping):
        answers = [answers]
    following = iter(answers)
    while True:
        with _errors(call):
            answer = next(following, _END)
            if answer is _END:
                return
            if not _is_rows(answer):
                raise SourceUnreadable(
                    f"{call} returned {type(answer).__name__}; return a pyarrow.Table or a pandas.DataFrame, or an "
                    "iterator of such"
                )
            if isinstance(answer, pa.RecordBatch):
                table = pa.Table.from_batches([answer])
            elif hasattr(answer, "to_numpy") and hasattr(answer, "iloc"):
                table = pa.Table.from_pandas(answer, preserve_index=False)
            else:
                table = pa.table(answer)
        yield table


def _batches(rows: pa.Table) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa

    rows = rows.replace_schema_metadata()
    yield from rows.to_batches(ROWS) or [pa.RecordBatch.from_pylist([], rows.schema)]
