"""Data frames of other libraries as Arrow tables, and errors about them that quote no value."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stores import arrow

if TYPE_CHECKING:
    import pyarrow as pa


def to_table(rows: Any, name: str) -> pa.Table:
    """Return rows as an Arrow table.

    :param name: the name of the rows in an error.
    :raises SchemaMismatch: if columns share a name.
    :raises TypeError: if the rows are no table and cannot be converted to one.
    """
    import pyarrow as pa

    try:
        if hasattr(rows, "iloc"):
            arrow.refuse_twice([str(column) for column in rows.columns], name)
            table = pa.Table.from_pandas(rows, preserve_index=False)
        else:
            # Any object with the Arrow interface, such as a frame of Polars.
            table = rows if isinstance(rows, pa.Table) else pa.table(rows)
    except SchemaMismatch:
        raise
    except (TypeError, ValueError, pa.ArrowInvalid) as error:
        # Arrow quotes the value that it stumbles over, which may be personal.
        problem = without_values(error)
        raise TypeError(f"{type(rows).__name__} is no table that can be validated: {problem}") from None
    arrow.refuse_twice(table.column_names, name)
    return table


def without_values(error: Exception) -> str:
    """Return the text of an Arrow error without the value that it quotes; the column is named if the error names it."""
    problems = [str(text) for text in error.args if str(text).startswith("Conversion failed for column ")]
    return "; ".join([type(error).__name__, *problems])
