"""Partitions of event time: half-open intervals of instants, named by a key."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from airflow_mlops.domain.calendars import Calendar, Grain
from airflow_mlops.domain.offsets import first_instant, zone_of
from airflow_mlops.exceptions import UnknownPartition

__all__ = ["Grain", "Partition"]


@dataclass(frozen=True, order=True)
class Partition:
    """One partition of event time, ``start <= t < end``.

    :param start: first instant, in UTC, at the boundary of its grain.
    :param grain: how long it is, and in which time zone it begins: ``day``, or ``day Europe/Berlin``.
    """

    start: datetime
    grain: Calendar

    def __post_init__(self) -> None:
        """Read a grain that was given as its text."""
        object.__setattr__(self, "grain", Calendar(self.grain))

    @classmethod
    def parse(cls, key: str, grain: str) -> Partition:
        """Read a key such as ``2013-01``.

        :raises UnknownPartition: if the key has another form, names no boundary of the grain, or is the last of all time.
        """
        calendar = Calendar(grain)
        form = calendar.grain.key_format
        try:
            clock = datetime.strptime(key, form)  # noqa: DTZ007 - the calendar has the zone
        except ValueError:
            raise UnknownPartition(f"{key!r} is no {calendar.grain} partition; write it as {form}") from None
        partition = cls._at(clock, calendar)
        if partition.key != key:
            raise UnknownPartition(
                f"{key!r} is no {calendar} partition; the one that holds it is {partition.key!r}"
            )
        _ = partition.end
        return partition

    @classmethod
    def containing(cls, moment: datetime, grain: str) -> Partition:
        """Return the partition that holds an aware moment.

        :raises UnknownPartition: if it lies at an end of time.
        """
        calendar = Calendar(grain)
        if calendar.zone is UTC:
            return cls(calendar.floor(moment.astimezone(UTC)), calendar)
        try:
            clock = moment.astimezone(calendar.zone).replace(tzinfo=None, fold=0)
        except (ValueError, OverflowError):
            raise UnknownPartition(f"{moment} lies outside of the years 1 to 9999 of {calendar}") from None
        partition = cls._at(clock, calendar)
        # A clock that is set back over midnight shows the day before once more.
        while partition.start > moment:
            partition = partition.shift(-1)
        while partition.end <= moment:
            partition = partition.shift(1)
        return partition

    @classmethod
    def _at(cls, clock: datetime, calendar: Calendar) -> Partition:
        """Return the partition that begins when the clock of the zone shows the partition's beginning."""
        begins = calendar.floor(clock)
        if calendar.zone is UTC:
            return cls(begins.replace(tzinfo=UTC), calendar)
        try:
            return cls(first_instant(begins, calendar.zone), calendar)
        except (ValueError, OverflowError):
            raise UnknownPartition(
                f"{begins:{calendar.grain.key_format}} begins outside of the years 1 to 9999 of UTC; name another partition"
            ) from None

    @property
    def key(self) -> str:
        """The name that travels as Airflow's ``partition_key``."""
        # Not every platform writes years before 1000 with four digits.
        return self.clock.strftime(self.grain.grain.key_format.replace("%Y", f"{self.clock.year:04}"))

    @property
    def end(self) -> datetime:
        """First instant after the partition."""
        return self.shift(1).start

    @property
    def clock(self) -> datetime:
        """What the clock of its time zone shows when it begins: midnight, even if that is never shown on this day."""
        return self.grain.floor(self.start.astimezone(self.grain.zone).replace(tzinfo=None))

    @property
    def bounds(self) -> tuple[datetime, datetime]:
        """Start and end as times without an offset are written in the time zone; those of hours may be ambiguous."""
        if self.grain.grain is not Grain.HOUR:
            return self.clock, self.shift(1).clock
        zone = zone_of(self.grain.timezone)
        first, last = (moment.astimezone(zone).replace(tzinfo=None) for moment in (self.start, self.end))
        return first, last

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
        if self.grain.zone is UTC:
            return Partition(self.grain.shifted(self.start, steps), self.grain)
        clock = self.grain.shifted(self.clock, steps)
        moved = Partition(first_instant(clock, self.grain.zone), self.grain)
        # Samoa had no 30 December 2011: the day before the 31st is the 29th.
        return self._shift(steps - 1) if steps < 0 and moved.clock > clock else moved

    def steps(self, later: Partition) -> int:
        """Return how many partitions a later one is away."""
        return self.grain.steps(self.clock, later.clock)

    def through(self, last: Partition) -> Iterator[Partition]:
        """Yield this partition and each one up to and including ``last``."""
        current = self
        while current.start <= last.start:
            yield current
            current = current.shift(1)

    def __str__(self) -> str:
        return self.key
