"""Which partitions there are: how long they are, and in which time zone their days, weeks and months begin."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from enum import StrEnum

from airflow_mlops.domain.offsets import zone_of
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


class Calendar(str):
    """A grain and a time zone in one text, ``day`` or ``day Europe/Berlin``, so that neither travels without the other.

    >>> calendar = Calendar("day Europe/Berlin")
    >>> str(calendar.grain), calendar.timezone, Calendar("hour Europe/Berlin").zone == UTC
    ('day', 'Europe/Berlin', True)

    :raises UnknownPartition: if the text names no grain, or no time zone.
    """

    grain: Grain
    timezone: str
    """Name of the time zone in which times without an offset are read."""

    def __new__(cls, text: str) -> Calendar:
        """Read a text; what :meth:`of` made stays as it is."""
        if isinstance(text, cls):
            return text
        name, _, zone = text.partition(" ")
        if name not in set(Grain):
            raise UnknownPartition(
                f"{text!r} is no grain; write {', '.join(Grain)}, and perhaps a time zone after it: day Europe/Berlin"
            )
        return cls.of(Grain(name), zone or "UTC")

    @classmethod
    def of(cls, grain: Grain, timezone: str = "UTC") -> Calendar:
        """Return the calendar of a grain in a time zone.

        :raises UnknownPartition: if there is no such time zone.
        """
        zone_of(timezone)
        calendar = super().__new__(cls, grain.value if timezone == "UTC" else f"{grain} {timezone}")
        calendar.grain, calendar.timezone = grain, timezone
        return calendar

    def __reduce__(self) -> tuple[type[Calendar], tuple[str]]:
        return Calendar, (str(self),)

    @property
    def zone(self) -> tzinfo:
        """The time zone in which partitions begin; hours are those of UTC, as others may not begin when an hour does."""
        return UTC if self.grain is Grain.HOUR else zone_of(self.timezone)

    def floor(self, clock: datetime) -> datetime:
        """Return what the clock of :attr:`zone` shows when the partition begins in which it shows a time."""
        clock = clock.replace(minute=0, second=0, microsecond=0)
        if self.grain is not Grain.HOUR:
            clock = clock.replace(hour=0)
        if self.grain is Grain.WEEK:
            clock -= timedelta(days=clock.weekday())
        return clock.replace(day=1) if self.grain is Grain.MONTH else clock

    def shifted(self, clock: datetime, steps: int) -> datetime:
        """Return what the clock shows when the partition begins that is ``steps`` later than the one that begins now."""
        if self.grain is Grain.MONTH:
            months = clock.year * 12 + clock.month - 1 + steps
            return clock.replace(year=months // 12, month=months % 12 + 1)
        return clock + steps * _LENGTHS[self.grain]

    def steps(self, earlier: datetime, later: datetime) -> int:
        """Return how many partitions lie between two that begin when the clock shows these times."""
        if self.grain is Grain.MONTH:
            return (later.year - earlier.year) * 12 + later.month - earlier.month
        return (later - earlier) // _LENGTHS[self.grain]


_LENGTHS = {Grain.HOUR: timedelta(hours=1), Grain.DAY: timedelta(days=1), Grain.WEEK: timedelta(weeks=1)}
