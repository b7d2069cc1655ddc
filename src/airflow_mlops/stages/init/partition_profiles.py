"""Profiles of partitions as they will be published."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from airflow_mlops.domain.spec.data import SchemaPolicy
from airflow_mlops.exceptions import BadRows
from airflow_mlops.stages.ingest.schemas import Columns
from airflow_mlops.stages.validate.learned import ProfiledColumn
from airflow_mlops.stages.validate.profiles import Profile
from airflow_mlops.stages.validate.suggest import section_of
from airflow_mlops.stores.arrow import arrow_type
from airflow_mlops.stores.tables import column_types

if TYPE_CHECKING:
    import pyarrow as pa

    from airflow_mlops.domain.partitions import Partition


class PartitionProfiles:
    """Rows of partitions, as statistics of each column as it will be published.

    :param types: Arrow types, as text, that features have because of their use.
    :param where: what the rows are of, for messages.
    :ivar rows: number of rows by partition.
    :ivar profiles: statistics of the columns by partition.
    """

    def __init__(self, types: Mapping[str, str], where: str) -> None:
        kinds = {name: kind for name, text in types.items() if (kind := arrow_type(text)) is not None}
        self._columns, self._where = Columns(None, (), (), SchemaPolicy.STRICT, where, kinds), where
        self.rows: dict[str, int] = {}
        self.profiles: dict[str, dict[str, Profile]] = {}
        self._kinds: dict[str, pa.DataType] = {}

    def add(self, key: str, rows: pa.Table) -> None:
        """Add rows of a partition, with times as :func:`in_utc` has them.

        :raises SchemaMismatch: if a column has another type than before.
        """
        rows = self._columns.conform(column_types.plain(rows, self._where))
        self.rows[key] = self.rows.get(key, 0) + rows.num_rows
        self._kinds = dict(zip(rows.schema.names, rows.schema.types, strict=True))
        columns = self.profiles.setdefault(key, {name: Profile() for name in rows.column_names})
        for name in rows.column_names:
            for chunk in rows[name].chunks:
                columns[name].add(chunk)

    def finish(self) -> None:
        """Put the partitions in order."""
        self.rows = dict(sorted(self.rows.items()))
        self.profiles = dict(sorted(self.profiles.items()))

    def suite(
        self, key: Collection[str], event_time: str, grain: str, pii: Collection[str], target: str
    ) -> list[str]:
        """Return the lines of the section `validate` that the partitions let one write."""
        columns = [
            ProfiledColumn(name, kind, [of_key[name] for of_key in self.profiles.values()])
            for name, kind in self._kinds.items()
        ]
        return section_of(
            columns,
            self.rows,
            list(self.rows),
            tuple(key),
            event_time,
            grain,
            pii=pii,
            may_lack=[target],
            advises=False,
        )


def refuse_outside(rows: pa.Table, event_time: str, partition: Partition, where: str) -> None:
    """Refuse rows whose time lies outside of the partition that the name of their file holds.

    :raises BadRows: naming the first and the last time.
    """
    import pyarrow.compute as pc

    ends = pc.min_max(rows[event_time]).as_py()
    if ends["min"] is not None and not partition.start <= ends["min"] <= ends["max"] < partition.end:
        raise BadRows(
            f"{where}: {event_time!r} runs from {ends['min']:%Y-%m-%d %H:%M} to {ends['max']:%Y-%m-%d %H:%M}, outside of "
            f"{partition.key}, which the name of the file holds; name another column with --time"
        )
