"""Groups: rows of one customer or patient, which never stand on both sides of a split.

Order in time comes first: a model is judged on rows that are later than those it learns from. Of these, the rows of a group
that came before are left out, so that a model is judged on groups that no model had seen. Training keeps all of its rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.recipe import LEAST_ROWS
from airflow_mlops.exceptions import NotEnoughData, SchemaMismatch
from airflow_mlops.learning.statistics.resampling import Blocks

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from airflow_mlops.domain.facts.results import Split


def codes_of(rows: pa.Table, column: str | None) -> np.ndarray | None:
    """Return a number for the group of each row, from 0 in order of appearance; None if there is no column of groups.

    A row without a value is a group of its own.

    :raises SchemaMismatch: if the column is missing, or its values cannot be compared.
    """
    import numpy as np

    if column is None:
        return None
    values = _values(rows, column)
    encoded = values.combine_chunks().dictionary_encode()
    codes: np.ndarray = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    lonely = codes < 0
    codes[lonely] = len(encoded.dictionary) + np.arange(lonely.sum())
    return codes


def is_new(rows: pa.Table, earlier: pa.Table, column: str | None) -> np.ndarray:
    """Tell for each row whether none of some earlier rows is of its group; without a column, each is new."""
    import numpy as np
    import pyarrow.compute as pc

    if column is None:
        return np.ones(rows.num_rows, bool)
    values = _values(rows, column)
    before = _values(earlier, column).cast(values.type).unique()
    seen = pc.and_(pc.is_in(values, value_set=before), values.is_valid())
    new: np.ndarray = ~seen.to_numpy(zero_copy_only=False)
    return new


def of_new_groups(
    holdout: pa.Table, seen: pa.Table, column: str | None, event_time: str, split: Split
) -> pa.Table:
    """Return the rows of a holdout that are of groups which no row before it is of.

    :param seen: event time and group of rows, of which those before the holdout count.
    :param column: of the groups; None returns all rows.
    :raises NotEnoughData: if too few rows are left to judge on.
    :raises SchemaMismatch: if the column is missing, or its values cannot be compared.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if column is None:
        return holdout
    new = is_new(holdout, seen.filter(pc.less(seen[event_time], split.cut)), column)
    if new.sum() < LEAST_ROWS:
        raise NotEnoughData(
            f"{int(new.sum()):,} of {holdout.num_rows:,} labelled rows held out from {split.cut:%Y-%m-%d %H:%M} on are of a "
            f"{column} that no earlier row is of, and {LEAST_ROWS} are needed to judge by: hold out more (train.holdout), or "
            "leave out train.groups if a model is meant for those that are known."
        )
    return holdout if new.all() else holdout.filter(pa.array(new))


def blocks(codes: np.ndarray) -> Blocks:
    """Put rows of one group in one block, since they depend on each other.

    Cameron, Gelbach and Miller, Bootstrap-Based Improvements for Inference with Clustered Errors (2008).

    :param codes: number of each row's group.
    """
    import numpy as np

    names, places = np.unique(codes, return_inverse=True)
    return Blocks(places, names.size, "group")


def _values(rows: pa.Table, column: str) -> pa.ChunkedArray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if column not in rows.column_names:
        raise SchemaMismatch(
            f"train.groups: the data has no column {column!r}; it has {', '.join(rows.column_names)}."
        )
    values = rows[column]
    kind = values.type.value_type if pa.types.is_dictionary(values.type) else values.type
    if pa.types.is_nested(kind):
        raise SchemaMismatch(
            f"train.groups: column {column!r} is {kind}; a group is known by a text or a number."
        )
    values = values.cast(kind)
    # What a pandas column of whole numbers becomes where one is missing.
    return pc.if_else(pc.is_nan(values), None, values) if pa.types.is_floating(kind) else values
