"""Facts about what is published of a dataset."""

from __future__ import annotations

from airflow_mlops.domain.checks import Fact


class Coverage(Fact):
    """Which partitions of a dataset are published.

    :param partitions: number of published partitions.
    :param first: key of the first partition; None if there is none.
    :param watermark: the last partition before which none is missing; None if there is none.
    :param last: key of the last partition.
    :param gaps: partitions between first and last that are not published.
    """

    partitions: int
    first: str | None
    watermark: str | None
    last: str | None
    gaps: tuple[str, ...] = ()
