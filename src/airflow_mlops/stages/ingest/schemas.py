"""Columns and types of a partition, checked against those of its dataset."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.domain.spec.fields import RESERVED_COLUMNS
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stores.arrow import _list, refuse_twice, unsigned, wider
from airflow_mlops.stores.tables import column_types
from airflow_mlops.stores.tables.column_types import kept

if TYPE_CHECKING:
    import pyarrow as pa

_ALIKE = 0.6
_COMPARED = 100


class OtherTypes(Exception):
    """A later batch has wider types than those assumed so far, so the source must be read again."""


class Columns:
    """Check the batches of one partition against a schema and cast them to it.

    The first batch settles the types of columns that the published table does not have. A column without any value has
    no type so far: the first value settles it, in whatever batch or partition that comes.

    :param published: the columns of the published table; None before anything is published.
    :param needed: columns of the published table that the partition must have.
    :param required: columns that the partition must have under any policy.
    :param where: partition and source, for messages.
    :param types: types of columns that have no value yet; they are read as such until a value settles the type.
    """

    def __init__(
        self,
        published: pa.Schema | None,
        needed: Sequence[str],
        required: Sequence[str],
        policy: SchemaPolicy,
        where: str,
        types: Mapping[str, pa.DataType] | None = None,
    ) -> None:
        self.kinds: dict[str, pa.DataType] = (
            dict(zip(published.names, published.types, strict=True)) if published else {}
        )
        self._published = published
        self._needed = tuple(needed)
        self._required = tuple(required)
        self._policy = policy
        self._where = where
        self._types = types or {}
        self._open: dict[str, pa.DataType] = column_types.open_types(published) if published else {}
        self._names: list[str] | None = None

    def conform(self, rows: pa.Table) -> pa.Table:
        """Return rows, whose column names were checked before, cast to the columns of the dataset.

        :raises SchemaMismatch: naming every type that the policy does not allow, and what would allow it.
        :raises OtherTypes: if earlier batches must be read again, with the types that :attr:`kinds` has now.
        """
        import pyarrow as pa

        is_first = self._names is None
        self._names = list(rows.column_names)
        if self._settle(rows) and not is_first:
            raise OtherTypes
        fields: list[pa.Field] = []
        arrays: list[pa.ChunkedArray] = []
        problems: list[str] = []
        again = False
        columns = dict(zip(rows.column_names, rows.columns, strict=True))
        for name in self._order(rows.column_names):
            kind = self.kinds[name]
            column = columns[name] if name in columns else pa.chunked_array([pa.nulls(len(rows), kind)])
            try:
                arrays.append(_alike(column, kind))
                fields.append(pa.field(name, kind))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                again |= self._retype(name, column.type, str(error), problems)
        if problems:
            raise SchemaMismatch(f"{self._where} has another schema: {'; '.join(problems)}")
        if again:
            raise OtherTypes
        return pa.table(arrays, pa.schema(fields))

    def leftovers(self, names: Sequence[str]) -> list[str]:
        """Return the columns in which pandas keeps the numbers of rows, unless the dataset has them already."""
        ours = {*self.kinds, *self._required}
        return [name for name in names if name not in ours and re.fullmatch(r"__index_level_\d+__", name)]

    @property
    def types(self) -> dict[str, pa.DataType]:
        """Type of each column; without those that have none so far."""
        return {name: kind for name, kind in self.kinds.items() if name not in self._open}

    def mark(self, schema: pa.Schema) -> pa.Schema:
        """Return the schema of rows that :meth:`conform` has cast, with what has no type so far."""
        return column_types.mark(schema, self._open)

    def restart(self) -> None:
        """Begin again with the first batch."""
        self._names = None

    def _order(self, names: Sequence[str]) -> Iterator[str]:
        # Columns that an older partition never had are not added to it; columns that `evolve` lets it lose
        # are null.
        there = {*names, *self._needed}
        first = [name for name in self._published.names if name in there] if self._published else []
        return iter(dict.fromkeys([*first, *names]))

    def _retype(self, name: str, kind: pa.DataType, why: str, problems: list[str]) -> bool:
        import pyarrow as pa

        was = self.kinds[name]
        is_published = self._published is not None and name in self._published.names
        is_unsigned = pa.types.is_uint64(kind)
        joined = wider(was, unsigned() if is_unsigned else kept(kind))
        common = None if joined is None else kept(joined)
        if common not in (None, was) and (
            self._policy is SchemaPolicy.EVOLVE or (is_unsigned and not is_published)
        ):
            self.kinds[name] = common
            return True
        fix = (
            f"`schema: evolve` would make it {common}"
            if common not in (None, was)
            else "no policy allows that: correct the source, or cast it in a transform"
        )
        detail = "" if kind != was else f": {why}"
        problems.append(
            f"column {name!r} is {kind}, was {was}{'' if is_published else ' before'}{detail} ({fix})"
        )
        return False

    def check(self, schema: pa.Schema) -> None:
        """Check the names of a batch's columns.

        :raises SchemaMismatch: naming every difference that the policy does not allow, and what would allow
            it.
        """
        names = schema.names
        refuse(names, self._where)
        if self._names is not None:
            self._check_later(names)
            return
        lost = _without(self._needed, names)
        new = _without(names, self._published.names) if self._published is not None else []
        if missing := _without(self._required, names):
            hint = "; ".join(f"{name!r}: {why}" for name, why in self._renamed(missing, new, schema).items())
            raise SchemaMismatch(
                f"{self._where} lacks {_list(missing)}; it has {_list(names)}{hint and f' ({hint})'}"
            )
        if problems := list(self._differences(lost, new, schema)):
            raise SchemaMismatch(f"{self._where} has another schema: {'; '.join(problems)}")
        if new and self._published is not None:
            refuse([*self._published.names, *new], f"with {self._where}, the dataset")

    def _check_later(self, names: Sequence[str]) -> None:
        former = self._names or []
        lacks, more = _without(former, names), _without(names, former)
        if lacks or more:
            parts = [f"lacks {_list(lacks)}"] * bool(lacks) + [f"also has {_list(more)}"] * bool(more)
            raise SchemaMismatch(f"{self._where}: a later batch {' and '.join(parts)}")

    def _settle(self, rows: pa.Table) -> bool:
        """Take the types of new columns, and of those that had no type so far; return whether one has changed."""
        changed = False
        for field in rows.schema:
            name, kind = field.name, column_types.so_far(field.type)
            if name not in self.kinds:
                self._open[name] = kind
            elif name not in self._open:
                continue
            joined = wider(self._open[name], kind)
            if joined is None:
                continue
            former = self.kinds.get(name)
            self.kinds[name] = self._stored(name, joined, rows[name])
            changed |= former not in (None, self.kinds[name])
            if column_types.is_open(joined):
                self._open[name] = joined
            else:
                del self._open[name]
        return changed

    def _stored(self, name: str, kind: pa.DataType, column: pa.ChunkedArray) -> pa.DataType:
        """Return the type that a column is stored as, which is the declared one if that holds its values."""
        import pyarrow as pa

        declared = self._types.get(name)
        if declared is not None and pa.types.is_null(kind):
            return declared
        if declared is not None and _is_number(kind) and _is_number(declared) and _fits(column, declared):
            return declared
        if pa.types.is_uint64(column.type) and not _fits(column, pa.int64()):
            return unsigned()
        return kept(kind)

    def _differences(self, lost: list[str], new: list[str], schema: pa.Schema) -> Iterator[str]:
        if self._policy is SchemaPolicy.EVOLVE:
            return
        renamed = self._renamed(lost, new, schema)
        for name in lost:
            yield f"column {name!r} is lost ({renamed.get(name, '`schema: evolve` would fill it with nulls')})"
        if self._policy is SchemaPolicy.STRICT:
            for name in new:
                yield f"column {name!r} is new (`schema: add` would take it)"

    def _renamed(self, lost: Sequence[str], new: Sequence[str], schema: pa.Schema) -> dict[str, str]:
        """Return a hint for each lost column that may have been renamed to a new one."""
        kinds: Mapping[str, pa.DataType] = self.kinds
        position = (
            {name: index for index, name in enumerate(self._published.names)} if self._published else {}
        )
        hints = {}
        places = {name: index for index, name in enumerate(schema.names)}
        # Each is compared with each other: of thousands of columns nobody has renamed all.
        for name in lost[:_COMPARED]:
            for other in new[:_COMPARED]:
                same = name not in kinds or kept(schema.field(other).type) == kinds[name]
                close = SequenceMatcher(None, name.lower(), other.lower()).ratio() >= _ALIKE
                if same and (close or position.get(name) == places[other]):
                    hints[name] = f"renamed to {other!r}? rename it back in the source"
        return hints


def refuse(names: Sequence[str], where: str) -> None:
    """Refuse repeated column names, and names of columns that our tables add.

    So are names that differ only in capital letters, which a Delta table cannot keep apart.

    :raises SchemaMismatch: if there are any; the message names them.
    """
    refuse_twice(names, where)
    if alike := [name for name, count in Counter(map(str.casefold, names)).items() if count > 1]:
        alike = [name for name in names if name.casefold() in alike]
        raise SchemaMismatch(
            f"{where} has {_list(alike)}, which differ only in capital letters; rename or leave out one of them"
        )
    # A Delta table takes them for the same in other letters too.
    if reserved := [name for name in names if name.casefold() in RESERVED_COLUMNS]:
        raise SchemaMismatch(f"{where} has {_list(reserved)}, which our tables add; rename it")


def _without(names: Sequence[str], others: Iterable[str]) -> list[str]:
    there = set(others)
    return [name for name in names if name not in there]


def _fits(column: pa.ChunkedArray, kind: pa.DataType) -> bool:
    import pyarrow as pa

    try:
        _alike(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return False
    return True


def _alike(column: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return a column cast to a type, where the cast loses nothing.

    That is so between types of numbers, to the type that Delta stores for the column's own, and for a column
    of nulls.

    :raises pa.ArrowInvalid: if the cast would lose something, or the types are of different sorts.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == kind:
        return column
    if column.null_count == len(column) or pa.types.is_null(column_types.so_far(column.type)):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    if kept(column.type) == kind or (
        column_types.is_open(column.type) and wider(column.type, kind) is not None
    ):
        return column.cast(kind)
    if not (_is_number(column.type) and _is_number(kind)):
        raise pa.ArrowInvalid(f"{column.type} is not {kind}")
    converted, is_fraction = column.cast(kind), pa.types.is_floating(column.type)
    # Arrow itself makes a fraction less exact without a word.
    same = pc.or_(pc.equal(converted.cast(column.type), column), pc.is_nan(column)) if is_fraction else None
    if same is not None and pc.all(same).as_py() is False:
        raise pa.ArrowInvalid(f"values would be less exact as {kind}")
    return converted


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
