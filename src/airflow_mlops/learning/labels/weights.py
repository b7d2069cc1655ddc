"""Sample weights: a column of the data that says how much each row counts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import SchemaMismatch

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_SHOWN = 3


def of(rows: pa.Table, column: str | None, key: Sequence[str], *, some: bool = False) -> np.ndarray | None:
    """Return the weight of each row; None if there is no column of weights.

    :param column: name of the column; None means that all rows count alike.
    :param key: columns that identify a row, for messages.
    :param some: whether one weight at least must be above 0.
    :raises SchemaMismatch: if the column is missing or holds no numbers, or a weight is missing, negative or not finite.
    """
    import numpy as np
    import pyarrow as pa

    if column is None:
        return None
    if column not in rows.column_names:
        raise SchemaMismatch(
            f"train.weights: the data has no column {column!r}; it has {', '.join(rows.column_names)}."
        )
    kind = rows[column].type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)):
        raise SchemaMismatch(f"train.weights: column {column!r} is {kind}; weights are numbers.")
    values = rows[column].cast(pa.float64(), safe=False)
    weights: np.ndarray = values.to_numpy()
    wrong = ~(np.isfinite(weights) & (weights >= 0))
    if wrong.any():
        places = np.flatnonzero(wrong)[:_SHOWN]
        examples = [f"{_value(values, place)} ({_name(rows, key, place)})" for place in places.tolist()]
        raise SchemaMismatch(
            f"train.weights: {int(wrong.sum()):,} of {wrong.size:,} values of {column!r} are missing, negative or not finite: "
            f"{', '.join(examples)}. A weight is a number from 0 on: correct them, or leave the rows out of the source."
        )
    if some and not weights.any():
        raise SchemaMismatch(
            f"train.weights: all {weights.size:,} values of {column!r} are 0, so that no row counts."
        )
    return weights


def _value(values: pa.ChunkedArray, place: int) -> str:
    value = values[place].as_py()
    return "null" if value is None else f"{value:g}"


def _name(rows: pa.Table, key: Sequence[str], place: int) -> str:
    parts = [f"{name}={rows[name][place].as_py()}" for name in key if name in rows.column_names]
    return ", ".join(parts) or f"row {place}"
