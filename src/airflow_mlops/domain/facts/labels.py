"""What a run did with the labels of its partition, and which of them belong to no row of the data."""

from __future__ import annotations

from pydantic import Field

from airflow_mlops.domain.checks import Check, Fact


class Unmatched(Fact):
    """Labels that belong to no published row, by what keeps them from it.

    :param unknown: the partition of their event time is published, and no row has their key.
    :param elsewhere: the row that has their key is in another partition than that of their event time.
    :param unpublished: the partition of their event time is not published yet.
    :param retyped: name of each key column that the source has in another type than the data, with both types.
    """

    unknown: int = 0
    elsewhere: int = 0
    unpublished: int = 0
    retyped: dict[str, tuple[str, str]] = Field(default_factory=dict)

    @property
    def total(self) -> int:
        """Number of these labels."""
        return self.unknown + self.elsewhere + self.unpublished


class LabelsReport(Fact):
    """What one run did with the labels of its partition.

    :param partition: partition of the run.
    :param rows: rows with a label.
    :param new: labels that were not known before.
    :param empty: rows without a label, which are left out.
    :param contradictory: keys that have more than one label now, in the partitions that these labels belong to.
    :param touched: partitions of event time that got new labels.
    :param unmatched: those of the rows with a label that belong to no published row; None if nobody looked.
    :param check: whether these are more than the spec allows; None if nobody looked.
    :param reason: why the partition goes on without labels; empty if there were some to read.
    """

    partition: str
    rows: int
    new: int
    empty: int
    contradictory: int
    touched: tuple[str, ...] = ()
    unmatched: Unmatched | None = None
    check: Check | None = None
    reason: str = ""
