"""Probabilities of classes as columns, for outputs that hold no lists: a column for each class, with a name of plain letters."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.classes import union
from airflow_mlops.domain.predictions import MODEL_VERSION, PROBABILITIES

if TYPE_CHECKING:
    import pyarrow as pa

PREFIX = "probability_"
"""How the columns of classes begin."""
_LONGEST = 60
"""Characters of a name: PostgreSQL keeps 63."""
_DIGITS = 8


def column_name(name: str) -> str:
    """Return the column of a class: ``probability_`` and its name in small letters and digits.

    Every other character is written as its code in hexadecimal between underscores, since databases do not tell capitals
    apart. A long name is cut, and ends in a part of its sha256.
    """
    plain = re.sub(r"[^a-z0-9]", lambda match: f"_{ord(match[0]):x}_", name)
    if len(PREFIX) + len(plain) > _LONGEST:
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
        plain = f"{plain[: _LONGEST - len(PREFIX) - _DIGITS - 2]}__{digest}"
    return PREFIX + plain


def columns_of(schema: pa.Schema, classes: Mapping[str, Sequence[str]]) -> pa.Schema:
    """Return the columns of predictions with one for each class in place of the lists.

    :param classes: the classes of each version that has predicted, in the order of its lists.
    """
    import pyarrow as pa

    if PROBABILITIES not in schema.names:
        return schema
    fields = [field for field in schema if field.name != PROBABILITIES]
    return pa.schema([*fields, *((column_name(name), pa.float64()) for name in union(*classes.values()))])


def as_columns(
    batches: Iterator[pa.RecordBatch], schema: pa.Schema, classes: Mapping[str, Sequence[str]]
) -> Iterator[pa.RecordBatch]:
    """Yield predictions with the columns that :func:`columns_of` returns; null for a class that a version does not know.

    :param schema: the columns that the batches have.
    """
    import numpy as np
    import pyarrow as pa

    if PROBABILITIES not in schema.names:
        yield from batches
        return
    target, names = columns_of(schema, classes), union(*classes.values())
    for batch in batches:
        values = {name: np.full(batch.num_rows, np.nan) for name in names}
        version_column = np.array(batch[MODEL_VERSION].to_pylist(), dtype=object)
        lists = np.array([*batch[PROBABILITIES].to_pylist(), None], dtype=object)[:-1]
        for version, order in classes.items():
            rows = np.flatnonzero(version_column == version)
            if rows.size and lists[rows[0]] is not None:
                matrix = np.array(lists[rows].tolist(), dtype=float)
                for place, name in enumerate(order):
                    values[name][rows] = matrix[:, place]
        others = [batch[field.name] for field in schema if field.name != PROBABILITIES]
        # What is not a number is missing: the version does not know the class.
        each = [pa.array(values[name], from_pandas=True) for name in names]
        yield pa.record_batch([*others, *each], schema=target)
