"""Data frames of others as Arrow tables, and what may be said of one that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stores import arrow

if TYPE_CHECKING:
    import pyarrow as pa


def to_table(rows: Any, name: str) -> pa.Table:
    """Return rows as an Arrow table.

    :param name: what they are called in an error.
    :raises SchemaMismatch: if columns share a name.
    :raises TypeError: if they are no table, and cannot be turned into one.
    """
    import pyarrow as pa

    try:
        if hasattr(rows, "iloc"):
            arrow.refuse_twice([str(each) for each in rows.columns], name)
            table = pa.Table.from_pandas(rows, preserve_index=False)
        else:
            # What has the Arrow interface, such as a frame of Polars.
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
    """Return what an error of Arrow says about a column, without the value that it quotes."""
    told = [str(each) for each in error.args if str(each).startswith("Conversion failed for column ")]
    return "; ".join([type(error).__name__, *told])
