"""How far the clocks of a time zone are ahead of UTC, and when they are changed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from airflow_mlops.exceptions import UnknownPartition

_SECOND, _DAY = timedelta(seconds=1), timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Beyond, an offset leads out of the years that Python has.
_FIRST, _LAST = datetime(1, 1, 3, tzinfo=UTC), datetime(9999, 12, 29, tzinfo=UTC)


@lru_cache(maxsize=64)
def zone_of(name: str) -> tzinfo:
    """Return the time zone of a name such as ``Europe/Berlin``.

    :raises UnknownPartition: if there is no such time zone.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise UnknownPartition(f"{name!r} is no time zone; write one such as Europe/Berlin") from None


def local(moment: datetime, zone: tzinfo) -> datetime:
    """Return a moment on the clock of a zone, or as it is where that leads out of the years that Python has."""
    try:
        return moment.astimezone(zone)
    except (ValueError, OverflowError):
        return moment


def first_instant(clock: datetime, zone: tzinfo) -> datetime:
    """Return the first instant, in UTC, at which the clock of a zone shows this time or a later one.

    A clock that is set ahead may never show midnight, and one that is set back shows it twice.

    >>> first_instant(datetime(2018, 11, 4), ZoneInfo("America/Sao_Paulo")).astimezone(ZoneInfo("America/Sao_Paulo")).hour
    1
    """
    late = clock.replace(tzinfo=zone, fold=0).astimezone(UTC)
    early = clock.replace(tzinfo=zone, fold=1).astimezone(UTC)
    if early >= late:
        return late
    # Never shown: the offset before the change makes it too late, and the one after it too early.
    while (seconds := (late - early) // _SECOND) > 1:
        middle = early + seconds // 2 * _SECOND
        is_reached = middle.astimezone(zone).replace(tzinfo=None) >= clock
        early, late = (early, middle) if is_reached else (middle, late)
    return late


@lru_cache(maxsize=4096)
def spans(zone: tzinfo, year: int) -> tuple[tuple[int, int], ...]:
    """Return the spans of time of a year and the days beside it in which an offset holds: begin and offset, as microseconds."""
    begin = max(_FIRST, datetime(max(year, 2), 1, 1, tzinfo=UTC) - 3 * _DAY)
    end = min(_LAST, datetime(min(year, 9998) + 1, 1, 1, tzinfo=UTC) + 3 * _DAY)
    parts = [(begin, _offset(begin, zone))]
    day = begin
    while day < end:
        following = day + _DAY
        if (offset := _offset(following, zone)) != parts[-1][1]:
            parts.append((_change(day, following, zone), offset))
        day = following
    return tuple((_micros(moment - _EPOCH), _micros(ahead)) for moment, ahead in parts)


def _change(before: datetime, after: datetime, zone: tzinfo) -> datetime:
    """Return the second at which clocks were changed."""
    offset = _offset(before, zone)
    while (seconds := (after - before) // _SECOND) > 1:
        middle = before + seconds // 2 * _SECOND
        before, after = (middle, after) if _offset(middle, zone) == offset else (before, middle)
    return after


def _offset(moment: datetime, zone: tzinfo) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta(0)


def _micros(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def gaps(zone: tzinfo, years: range) -> list[tuple[datetime, datetime]]:
    """Return what clocks never show in some years, as they are set ahead: from the first time to before the second."""
    parts = sorted({span for year in years for span in spans(zone, year)})
    pairs = zip(parts, parts[1:], strict=False)
    changes = [(begin, before, after) for (_, before), (begin, after) in pairs if after > before]
    return [(_clock(begin + before), _clock(begin + after)) for begin, before, after in changes]


def _clock(micros: int) -> datetime:
    return (_EPOCH + timedelta(microseconds=micros)).replace(tzinfo=None)
