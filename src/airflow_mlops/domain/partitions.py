"""Partitions of event time: half-open intervals in UTC, named by a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from airflow_mlops.exceptions import UnknownPartition


class Grain(StrEnum):
    """How long one partition is."""

    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def key_format(self) -> str:
        """The ``strftime`` form of a partition's key; a week is named by its Monday."""
        return {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%Y-%m-%d", "month": "%Y-%m"}[self]

    @property
    def cron(self) -> str:
        """The schedule on which a partition ends and the next begins."""
        return {"hour": "0 * * * *", "day": "0 0 * * *", "week": "0 0 * * 1", "month": "0 0 1 * *"}[self]


@dataclass(frozen=True, order=True)
class Partition:
    """One partition of event time, ``start <= t < end``.

    :param start: first instant, in UTC, at the boundary of its grain.
    :param grain: how long it is.
    """

    start: datetime
    grain: Grain

    @classmethod
    def parse(cls, key: str, grain: Grain | str) -> Partition:
        """Read a key such as ``2013-01``.

        :raises UnknownPartition: if the key has another form, names no boundary of the grain, or is the last of all time.
        """
        grain = Grain(grain)
        try:
            moment = datetime.strptime(key, grain.key_format).replace(tzinfo=UTC)
        except ValueError:
            raise UnknownPartition(
                f"{key!r} is no {grain} partition; write it as {grain.key_format}"
            ) from None
        partition = cls.containing(moment, grain)
        if partition.key != key:
            raise UnknownPartition(
                f"{key!r} is no {grain} partition; the one that holds it is {partition.key!r}"
            )
        _ = partition.end
        return partition

    @classmethod
    def containing(cls, moment: datetime, grain: Grain | str) -> Partition:
        """Return the partition that holds an aware moment."""
        grain = Grain(grain)
        start = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        if grain is not Grain.HOUR:
            start = start.replace(hour=0)
        if grain is Grain.WEEK:
            start -= timedelta(days=start.weekday())
        if grain is Grain.MONTH:
            start = start.replace(day=1)
        return cls(start, grain)

    @property
    def key(self) -> str:
        """The name that travels as Airflow's ``partition_key``."""
        # Not every platform writes years before 1000 with four digits.
        return self.start.strftime(self.grain.key_format.replace("%Y", f"{self.start.year:04}"))

    @property
    def end(self) -> datetime:
        """First instant after the partition."""
        return self.shift(1).start

    def shift(self, steps: int) -> Partition:
        """Return the partition ``steps`` later, or earlier if negative.

        :raises UnknownPartition: if it lies outside of the years 1 to 9999.
        """
        try:
            return self._shift(steps)
        except (ValueError, OverflowError):
            side = "after" if steps > 0 else "before"
            raise UnknownPartition(
                f"there is no {self.grain} {side} {self.key}: times lie in the years 1 to 9999; name another partition"
            ) from None

    def _shift(self, steps: int) -> Partition:
        if self.grain is Grain.MONTH:
            months = self.start.year * 12 + self.start.month - 1 + steps
            return Partition(self.start.replace(year=months // 12, month=months % 12 + 1), self.grain)
        length = {
            Grain.HOUR: timedelta(hours=1),
            Grain.DAY: timedelta(days=1),
            Grain.WEEK: timedelta(weeks=1),
        }
        return Partition(self.start + steps * length[self.grain], self.grain)

    def through(self, last: Partition) -> Iterator[Partition]:
        """Yield this partition and each one up to and including ``last``."""
        current = self
        while current.start <= last.start:
            yield current
            current = current.shift(1)

    def __str__(self) -> str:
        return self.key
