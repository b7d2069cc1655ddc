"""Labels that are texts because one of them is no number."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from airflow_mlops.stores.sources.unreadable import SHOWN, is_text, misfits, plain, quoted

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.partitions import Partition

log = logging.getLogger(__name__)

_MOST = 0.5
"""Share of the labels that may be no numbers; of more, classes have names."""


class ClassNames:
    """Look at labels that nobody has named the classes of, batch by batch.

    :param target: their column; None looks at nothing.
    :param masked: whether the labels may not be shown.
    """

    def __init__(self, target: str | None, *, masked: bool = False) -> None:
        self._target = target
        self._masked = masked
        self._rows = self._labels = self._count = 0
        self._first: list[tuple[int, str]] = []

    def add(self, rows: pa.Table) -> None:
        """Look at more rows, as the source has them."""
        import pyarrow as pa
        import pyarrow.compute as pc

        if self._target in rows.column_names and is_text(rows[self._target].type):
            column = plain(rows[self._target]).combine_chunks()
            # An empty text is a label that is missing.
            there = pc.fill_null(pc.not_equal(pc.utf8_trim_whitespace(column), ""), False)
            places = pc.indices_nonzero(there)
            values = column.take(places).cast(pa.string())
            # Classes are few, whatever the number of rows.
            distinct = values.unique()
            names = {*misfits(distinct, pa.float64())} & {*misfits(distinct, pa.bool_())}
            wrong = pc.indices_nonzero(pc.is_in(values, distinct.take(sorted(names))))
            self._labels += len(values)
            self._count += len(wrong)
            for place in wrong[: SHOWN - len(self._first)].to_pylist():
                self._first.append((self._rows + places[place].as_py(), values[place].as_py()))
        self._rows += rows.num_rows

    def tell(
        self,
        lines: Callable[[Partition, Sequence[int]], list[str]] | None,
        partition: Partition,
        where: str,
    ) -> None:
        """Log a warning if most labels are numbers or truth values, and some are not.

        :param lines: says where rows of a partition are that have so many rows before them, if the source can tell.
        """
        if not 0 < self._count <= _MOST * self._labels:
            return
        rows = [before for before, _ in self._first]
        places = (lines(partition, rows) if lines else []) or [f"row {before + 1:,}" for before in rows]
        shown = ", ".join(
            place if self._masked else f"{quoted(text)} ({place})"
            for (_, text), place in zip(self._first, places, strict=True)
        )
        log.warning(
            "%s: %r holds numbers or truth values, and %s of %s %s: %s%s. So all of them are taken for names of classes: correct "
            "them, or name the classes (classes) if they are some",
            where,
            self._target,
            f"{self._count:,}",
            f"{self._labels:,}",
            "is none" if self._count == 1 else "are none",
            shown,
            ", …" if self._count > len(self._first) else "",
        )
