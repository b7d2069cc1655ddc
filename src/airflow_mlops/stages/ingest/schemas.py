"""Columns and types of a partition, held to those of its dataset."""

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
    """A later batch has shown types that hold more than those assumed so far: begin again."""


class Columns:
    """The columns that the batches of one partition are cast to; the first batch settles what is not known before.

    :param known: the columns of the published table; None before anything is published.
    :param needed: those of them that the partition must have.
    :param required: columns that must be there under any policy.
    :param where: partition and source, for messages.
    """

    def __init__(
        self,
        known: pa.Schema | None,
        needed: Sequence[str],
        required: Sequence[str],
        policy: SchemaPolicy,
        where: str,
    ) -> None:
        self.kinds: dict[str, pa.DataType] = dict(zip(known.names, known.types, strict=True)) if known else {}
        self._known = known
        self._needed = tuple(needed)
        self._required = tuple(required)
        self._policy = policy
        self._where = where
        self._assumed: set[str] = set()
        self._names: list[str] | None = None

    def conform(self, rows: pa.Table) -> pa.Table:
        """Return rows, whose names were checked, in the columns of the dataset.

        :raises SchemaMismatch: naming every type that the policy does not allow, and what would allow it.
        :raises OtherTypes: if the batches before have to be read again, with :attr:`kinds` as they are now.
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
        # What an older partition never had stays out of it; what `evolve` lets it lose is there, without values.
        there = {*names, *self._needed}
        first = [name for name in self._known.names if name in there] if self._known else []
        return iter(dict.fromkeys([*first, *names]))

    def _retype(self, name: str, kind: pa.DataType, why: str, problems: list[str]) -> bool:
        was = self.kinds[name]
        joined = kind if name in self._assumed else wider(was, kept(kind))
        common = None if joined is None else kept(joined)
        published = self._known is not None and name in self._known.names
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
            f"column {name!r} is {kind}, was {was}{'' if published else ' before'}{detail} ({fix})"
        )
        return False

    def check(self, schema: pa.Schema) -> None:
        """Check the names of a batch's columns.

        :raises SchemaMismatch: naming every difference that the policy does not allow, and what would allow it.
        """
        names = schema.names
        refuse(names, self._where)
        if self._names is not None:
            self._check_later(names)
            return
        lost = [name for name in self._needed if name not in names]
        new = [name for name in names if self._known is not None and name not in self._known.names]
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
        """Return for each lost column what says that a new one may be it."""
        known: Mapping[str, pa.DataType] = self.kinds
        position = {name: index for index, name in enumerate(self._known.names)} if self._known else {}
        found = {}
        for name in lost:
            for other in new:
                same = name not in known or kept(schema.field(other).type) == known[name]
                close = SequenceMatcher(None, name.lower(), other.lower()).ratio() >= _ALIKE
                if same and (close or position.get(name) == schema.names.index(other)):
                    found[name] = f"renamed to {other!r}? rename it back in the source"
        return found


def refuse(names: Sequence[str], where: str) -> None:
    """Refuse columns of one name, and names of columns that our tables add.

    :raises SchemaMismatch: naming them.
    """
    refuse_twice(names, where)
    if reserved := [name for name in names if name in RESERVED_COLUMNS]:
        raise SchemaMismatch(f"{where} has {_list(reserved)}, which our tables add; rename it")


def _alike(column: pa.ChunkedArray, wanted: pa.DataType) -> pa.ChunkedArray:
    """Cast what loses nothing: between kinds of numbers, to what Delta keeps, and what has no values.

    :raises pa.ArrowInvalid: if it would lose something.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if column.type == wanted:
        return column
    if column.null_count == len(column):
        return pa.chunked_array([pa.nulls(len(column), wanted)])
    if kept(column.type) == wanted:
        return column.cast(wanted)
    if not (_is_number(column.type) and _is_number(wanted)):
        raise pa.ArrowInvalid(f"{column.type} is not {wanted}")
    found = column.cast(wanted)
    if pa.types.is_floating(column.type):
        # Arrow itself makes a fraction less exact without a word.
        kept_all = pc.all(pc.or_(pc.equal(found.cast(column.type), column), pc.is_nan(column))).as_py()
        if kept_all is False:
            raise pa.ArrowInvalid(f"values would be less exact as {wanted}")
    return found


def _is_number(kind: pa.DataType) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
