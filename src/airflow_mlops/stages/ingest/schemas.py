"""Columns and types of a partition, checked against those of its dataset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from typing import TYPE_CHECKING

from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.domain.spec.fields import RESERVED_COLUMNS
from airflow_mlops.exceptions import SchemaMismatch
from airflow_mlops.stores.arrow import _list, refuse_twice, wider
from airflow_mlops.stores.tables.delta import kept

if TYPE_CHECKING:
    import pyarrow as pa

_ALIKE = 0.6


class OtherTypes(Exception):
    """A later batch has wider types than those assumed so far, so the source must be read again."""


class Columns:
    """Check the batches of one partition against a schema and cast them to it.

    The first batch settles the types of columns that the published table does not have.

    :param published: the columns of the published table; None before anything is published.
    :param needed: columns of the published table that the partition must have.
    :param required: columns that the partition must have under any policy.
    :param where: partition and source, for messages.
    """

    def __init__(
        self,
        published: pa.Schema | None,
        needed: Sequence[str],
        required: Sequence[str],
        policy: SchemaPolicy,
        where: str,
    ) -> None:
        self.kinds: dict[str, pa.DataType] = (
            dict(zip(published.names, published.types, strict=True)) if published else {}
        )
        self._published = published
        self._needed = tuple(needed)
        self._required = tuple(required)
        self._policy = policy
        self._where = where
        self._assumed: set[str] = set()
        self._names: list[str] | None = None

    def conform(self, rows: pa.Table) -> pa.Table:
        """Return rows, whose column names were checked before, cast to the columns of the dataset.

        :raises SchemaMismatch: naming every type that the policy does not allow, and what would allow it.
        :raises OtherTypes: if earlier batches must be read again, with the types that :attr:`kinds` has now.
        """
        import pyarrow as pa

        if self._names is None:
            self._settle(rows.schema)
        fields: list[pa.Field] = []
        arrays: list[pa.ChunkedArray] = []
        problems: list[str] = []
        again = False
        for name in self._order(rows.column_names):
            kind = self.kinds[name]
            column = (
                rows[name] if name in rows.column_names else pa.chunked_array([pa.nulls(len(rows), kind)])
            )
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
        was = self.kinds[name]
        joined = kind if name in self._assumed else wider(was, kept(kind))
        common = None if joined is None else kept(joined)
        is_published = self._published is not None and name in self._published.names
        if common not in (None, was) and (name in self._assumed or self._policy is SchemaPolicy.EVOLVE):
            self._assumed.discard(name)
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
        lost = [name for name in self._needed if name not in names]
        new = [name for name in names if self._published is not None and name not in self._published.names]
        if missing := [name for name in self._required if name not in names]:
            hint = "; ".join(f"{name!r}: {why}" for name, why in self._renamed(missing, new, schema).items())
            raise SchemaMismatch(
                f"{self._where} lacks {_list(missing)}; it has {_list(names)}{hint and f' ({hint})'}"
            )
        if problems := list(self._differences(lost, new, schema)):
            raise SchemaMismatch(f"{self._where} has another schema: {'; '.join(problems)}")

    def _check_later(self, names: Sequence[str]) -> None:
        former = self._names or []
        lacks = [name for name in former if name not in names]
        more = [name for name in names if name not in former]
        if lacks or more:
            parts = [f"lacks {_list(lacks)}"] * bool(lacks) + [f"also has {_list(more)}"] * bool(more)
            raise SchemaMismatch(f"{self._where}: a later batch {' and '.join(parts)}")

    def _settle(self, schema: pa.Schema) -> None:
        import pyarrow as pa

        self._names = list(schema.names)
        for field in schema:
            if field.name not in self.kinds:
                self.kinds[field.name] = kept(field.type)
                if pa.types.is_null(field.type):
                    self._assumed.add(field.name)

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
        for name in lost:
            for other in new:
                same = name not in kinds or kept(schema.field(other).type) == kinds[name]
                close = SequenceMatcher(None, name.lower(), other.lower()).ratio() >= _ALIKE
                if same and (close or position.get(name) == schema.names.index(other)):
                    hints[name] = f"renamed to {other!r}? rename it back in the source"
        return hints


def refuse(names: Sequence[str], where: str) -> None:
    """Refuse repeated column names, and names of columns that our tables add.

    :raises SchemaMismatch: if there are any; the message names them.
    """
    refuse_twice(names, where)
    if reserved := [name for name in names if name in RESERVED_COLUMNS]:
        raise SchemaMismatch(f"{where} has {_list(reserved)}, which our tables add; rename it")


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
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), kind)])
    if kept(column.type) == kind:
        return column.cast(kind)
    if not (_is_number(column.type) and _is_number(kind)):
        raise pa.ArrowInvalid(f"{column.type} is not {kind}")
    converted = column.cast(kind)
    if pa.types.is_floating(column.type):
        # Arrow itself makes a fraction less exact without a word.
        kept_all = pc.all(pc.or_(pc.equal(converted.cast(column.type), column), pc.is_nan(column))).as_py()
        if kept_all is False:
            raise pa.ArrowInvalid(f"values would be less exact as {kind}")
    return converted


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
