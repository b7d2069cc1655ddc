"""Tell of columns of text that look like numbers or times in another notation, before they are published as text."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stores.sources.advice import stray
from airflow_mlops.stores.sources.hints import Hint, Looks
from airflow_mlops.stores.sources.notation import Notation

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.stores.sources.source import Source

log = logging.getLogger(__name__)


def looks_at(source: Source) -> Looks:
    """Return what looks at the rows of a source."""
    # Only files say how their numbers are written.
    return Looks(getattr(source, "notation", Notation()))


def tell(
    looks: Looks,
    source: Source,
    partition: Partition,
    *,
    schema: pa.Schema,
    types: Mapping[str, str],
    pii: Sequence[str],
    where: str,
) -> None:
    """Log a warning for each column that looks like numbers or times, and stays text.

    :param schema: the columns as they are stored, after any transform.
    :param types: types that columns are declared to have.
    :param pii: columns whose values are not shown.
    :raises SchemaMismatch: if such a column is declared to be a number or a time.
    """
    import pyarrow as pa

    for hint in looks.hints():
        place = schema.get_field_index(hint.column)
        if place < 0 or not pa.types.is_string(schema.field(place).type):
            continue
        advice = _advice(hint, source, partition, masked=hint.column in pii)
        if advice is None:
            continue
        declared = types.get(hint.column, "string")
        if declared not in ("string", "large_string"):
            raise SchemaMismatch(f"{where}: {hint.column!r} must be {declared}: {advice}")
        log.warning("%s: %s", where, advice)


def _advice(hint: Hint, source: Source, partition: Partition, *, masked: bool) -> str | None:
    # Only files have options for it; sources of others need not know of hints.
    if advise := getattr(source, "advise", None):
        said: str | None = advise(hint, partition, masked=masked)
        return said
    if not hint.options:
        odd = stray(hint, masked=masked)
        return odd and f"{hint.column!r} is text, for {odd}; correct them in the source or a transform"
    return f"{hint.sentence(masked=masked)}; change it in the source or a transform"
