"""Facts about erasures: what rows leave which tables, and what cannot be repeated any more; never their values."""

from __future__ import annotations

from pydantic import Field

from airflow_mlops.domain.checks import Fact


class Rewritten(Fact):
    """A partition of a table that was written again without the rows.

    :param rows: how many rows left it.
    :param before: digest of its former content; None for a table that keeps none.
    :param after: digest of what stays; None before it is written, and for a table that keeps none.
    """

    partition: str
    rows: int
    before: str | None = None
    after: str | None = None


class TableErasure(Fact):
    """What an erasure takes from one table.

    :param partitions: partitions that hold the rows now.
    :param touched: partitions that hold the rows in any version.
    :param files: files that hold the rows, in the latest version, in earlier ones, or in none.
    :param versions: versions of the table that cannot be read any more without these files.
    :param young: files of no version that are less than a day old and may be those of a run under way; they stay.
    """

    table: str
    partitions: tuple[Rewritten, ...]
    touched: tuple[str, ...]
    files: int
    versions: tuple[int, ...]
    young: int = 0


class Erasure(Fact):
    """An erasure as it is planned, or as it was done.

    :param grain: length of a partition.
    :param key: columns that identify a row of the dataset.
    :param columns: columns whose values chose the rows.
    :param subjects: how many combinations of values chose them.
    :param models: versions of models that cannot be trained again, as they learned from what is gone.
    :param keeping: those of them whose estimators keep rows that they were fitted to, or may, each with its estimator.
    :param validations: partitions whose reports on validation lose their samples of rows and values.
    :param pages: report pages with such samples, which are deleted, by their path below the folder of reports.
    :param notices: notices in the outbox that lose their samples of rows and values.
    """

    dataset: str
    grain: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    subjects: int
    tables: tuple[TableErasure, ...]
    models: tuple[str, ...] = ()
    keeping: tuple[str, ...] = Field(default=(), exclude_if=lambda models: not models)
    validations: tuple[str, ...] = ()
    pages: tuple[str, ...] = ()
    notices: int = 0

    @property
    def rows(self) -> int:
        """How many rows leave the latest versions of all tables."""
        return sum(partition.rows for table in self.tables for partition in table.partitions)

    @property
    def files(self) -> int:
        """How many files hold the rows."""
        return sum(table.files for table in self.tables)

    @property
    def young(self) -> int:
        """How many files stay because a run under way may have written them."""
        return sum(table.young for table in self.tables)

    def touched(self, *tables: str) -> list[str]:
        """Return the partitions of some tables that hold the rows in any version, in order."""
        return sorted(
            {partition for table in self.tables if table.table in tables for partition in table.touched}
        )
