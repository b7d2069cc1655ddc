"""Rows of a source of labels, with keys read as the source writes them, whatever stands in a single cell."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.domain.facts.labels import LabelsReport, Unmatched
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.learning.labels.names import ClassNames
from airflow_mlops.learning.models import classes as label_classes
from airflow_mlops.learning.models import pipeline
from airflow_mlops.stores.arrow import arrow_type, is_beyond_exact
from airflow_mlops.stores.sources import unreadable
from airflow_mlops.stores.sources.kinds import masking
from airflow_mlops.stores.sources.source import MarkingSource

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.stores.sources.source import Source


_BETWEEN = r".,'’_ \x{a0}\x{2009}\x{202f}"
_SEPARATED = rf"^\s*[+-]?(?:\d+[{_BETWEEN}]\d|[.,]\d)[\d{_BETWEEN}]*(?:[eE][+-]?\d+)?\s*$"
"""Numbers with something between their digits, whose meaning depends on their notation."""


class Brought(NamedTuple):
    """What a source of labels has for a partition.

    :param rows: rows whose cells can all be read.
    :param strangers: rows with a key that cannot be read as the type of the data, so that no row of the data has it.
    :param retyped: type that the source has, and that the data has, of each column with such a key.
    """

    rows: pa.Table
    strangers: pa.Table
    retyped: dict[str, tuple[str, str]]

    def labelled(
        self, target: str, task: str, classes: tuple[str, ...], where: str, pii: Collection[str] = ()
    ) -> int:
        """Return how many of the strangers have a label.

        :param where: what the labels are, for messages.
        :param pii: columns whose values no message shows.
        :raises SchemaMismatch: if the label of one is none.
        """
        if target not in self.strangers.column_names:
            return 0
        labelled, values = pipeline.labels(self.strangers, target, task)
        if task == "classification":
            label_classes.refuse_others(values, classes, target, where, masked=target in pii)
        return int(labelled.num_rows)

    def counted(self, report: LabelsReport, labelled: int) -> LabelsReport:
        """Return the report of the rows with the strangers counted too.

        :param labelled: how many of these have a label.
        """
        if report.unmatched is None or not self.strangers.num_rows:
            return report
        unmatched = Unmatched(
            unknown=report.unmatched.unknown + labelled,
            elsewhere=report.unmatched.elsewhere,
            unpublished=report.unmatched.unpublished,
            retyped=report.unmatched.retyped | self.retyped,
        )
        rows, empty = report.rows + labelled, report.empty + self.strangers.num_rows - labelled
        return report.model_copy(update={"rows": rows, "empty": empty, "unmatched": unmatched})


def read(
    source: Source,
    partition: Partition,
    types: Mapping[str, str],
    keys: Collection[str],
    expected: Mapping[str, str],
    early: Collection[str] = (),
    classes: str | None = None,
    pii: Collection[str] = (),
) -> Brought | None:
    """Read the labels of a partition; None if the source yields nothing, not even columns.

    One bad cell makes a whole column text. Its other cells would be read without the notation of their file then, and
    the key ``5.000`` would be five.

    :param types: Arrow types of columns that are known.
    :param keys: columns in which a cell that cannot be read is a key that the data lacks.
    :param expected: Arrow types of further columns, whose cells must all be readable.
    :param early: columns of the key whose type nobody knows yet, since the data is not published.
    :param classes: column of classes that nobody has named: a text among numbers there is told of, since it makes names of
        all of them. None for no such column.
    :param pii: columns whose values no message about cells shows.
    :raises SchemaMismatch: if a cell of another column cannot be read, or keys have lost digits or their notation.
    """
    import numpy as np
    import pyarrow as pa

    legible = {name: types[name] for name in keys if name in types and _is_legible(types[name])}
    marks = legible | dict(expected)
    has_notation = isinstance(source, MarkingSource) and source.has_notation
    if isinstance(source, MarkingSource):
        # Without a notation, and without types, a key is the same as the text that stands for it.
        said = {
            name: kind
            for name, kind in marks.items()
            if has_notation or name in expected or name in source.types
        }
        batches = masking(source.marked(partition, types, said), pii)
    else:
        batches = source.batches(partition, types)
    where = f"the labels of partition {partition.key}"
    rows, strangers, retyped = list[pa.Table](), list[pa.Table](), dict[str, tuple[str, str]]()
    tally = unreadable.Tally()
    names = ClassNames(classes, masked=classes in pii)
    for batch in batches:
        part, cells = unreadable.taken(pa.Table.from_batches([batch]))
        tally.add(part, cells)
        names.add(part)
        for cell in (cell for place in cells for cell in cells[place]):
            if cell.column in legible:
                retyped[cell.column] = "string", types[cell.column]
        is_strange = np.zeros(part.num_rows, bool)
        is_strange[list(cells)] = True
        rows.append(part.filter(pa.array(~is_strange)))
        strangers.append(part.filter(pa.array(is_strange)))
    if wrong := [name for name in tally.counts if name not in legible]:
        _refuse(tally, wrong, pii, where)
    names.tell(getattr(source, "lines", None), partition, where)
    if not rows:
        return None
    labels = Brought(pa.concat_tables(rows), pa.concat_tables(strangers), retyped)
    if has_notation:
        _refuse_text(labels.rows, {name: kind for name, kind in marks.items() if _is_number(kind)}, where)
        _refuse_early(labels.rows, early, where)
    _refuse_rounded(labels.rows, legible, where)
    return labels


def _is_legible(text: str) -> bool:
    kind = arrow_type(text)
    return kind is not None and unreadable.is_legible(kind)


def _is_number(text: str) -> bool:
    kind = arrow_type(text)
    return kind is not None and unreadable.is_number(kind)


def _refuse(tally: unreadable.Tally, names: Collection[str], pii: Collection[str], where: str) -> None:
    options = [written for name in names if (written := tally.written(name))]
    advice = f"; or write {' and '.join(options)} if they are of CSV" if options else ""
    sentences = "; ".join(tally.sentence(name, masked=name in pii) for name in names)
    raise SchemaMismatch(f"{where}: {sentences}; correct them in the source{advice}")


def _refuse_text(rows: pa.Table, types: Mapping[str, str], where: str) -> None:
    """Refuse numbers that are text by ``types`` of a source whose numbers are written in another way than text is read."""
    for name, text in types.items():
        if name in rows.column_names and unreadable.is_text(rows[name].type):
            raise SchemaMismatch(
                f"{where}: {name!r} is text by types of the source, to which decimal and thousands do not apply, and "
                f"{text} is due: take it out of types"
            )


def _refuse_early(rows: pa.Table, names: Collection[str], where: str) -> None:
    """Refuse keys that would be kept as text, and be other numbers if the data turns out to have numbers."""
    import pyarrow.compute as pc

    for name in names:
        if name not in rows.column_names or not unreadable.is_text(rows[name].type):
            continue
        values = rows[name].filter(pc.fill_null(pc.match_substring_regex(rows[name], _SEPARATED), False))
        if len(values):
            raise SchemaMismatch(
                f"{where}: {name!r} holds {values[0].as_py()!r}, and whether that is a number is not known before the data is "
                "published: publish a partition of the data first"
            )


def _refuse_rounded(rows: pa.Table, types: Mapping[str, str], where: str) -> None:
    """Refuse whole numbers that were read as fractions, and may have become others by that."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, text in types.items():
        if name not in rows.column_names or not pa.types.is_floating(rows[name].type):
            continue
        # Larger ones are no whole number of the data.
        column = rows[name].filter(pc.less(pc.abs(rows[name]), 2.0**64))
        kind = arrow_type(text)
        if (pa.types.is_integer(kind) or pa.types.is_decimal(kind)) and is_beyond_exact(column):
            raise SchemaMismatch(
                f"{where}: {name!r} is read as fractions, in which whole numbers beyond 2**53 lose their last digits, and the "
                f"data has {text}: correct the values with a fraction in the source, or bring whole numbers or text"
            )
