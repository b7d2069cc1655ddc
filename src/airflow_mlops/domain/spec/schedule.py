"""Check that a schedule fires once in every partition."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

from airflow_mlops.domain.calendars import Calendar, Grain
from airflow_mlops.domain.offsets import gaps
from airflow_mlops.domain.partitions import Partition

# Fourteen months in a row have months of every length; the check of the fields below finds a cron that always skips a
# day or an hour.
_SAMPLE = 14
_EVERY = {Grain.HOUR: (1, 2, 3, 4), Grain.DAY: (2, 3, 4), Grain.WEEK: (3,), Grain.MONTH: (3,)}
_AHEAD = range(2026, 2036)
_FIELDS = ("minute", "hour", "day of month", "month", "day of week")


def default(calendar: Calendar) -> str:
    """Return the cron on which a partition ends and the next begins, or soon after where clocks skip that time.

    Airflow names the partition of such a run by the day after, so that a day is left out.
    """
    cron = calendar.grain.cron
    if calendar.grain is Grain.HOUR:
        return cron
    later = (re.sub(r"^0 0", f"0 {hour}", cron) for hour in range(24))
    return next(cron for cron in later if _skipped(cron, calendar.zone) is None)


def complaint(cron: str, calendar: Calendar) -> str | None:
    """Return why a cron does not fire exactly once in every partition; None if it does."""
    if problem := _complaint(cron, calendar.grain):
        return problem
    gap = _skipped(cron, calendar.zone)
    if gap is None:
        return None
    return (
        f"{cron!r} fires between {gap[0]:%H:%M} and {gap[1]:%H:%M}, which clocks of {calendar.timezone} skip once a year (on "
        f"{gap[0]:%Y-%m-%d}): Airflow would leave a partition out; choose another hour, or leave it out"
    )


@lru_cache(maxsize=256)
def _skipped(cron: str, zone: tzinfo) -> tuple[datetime, datetime] | None:
    """Return the next span of time that clocks skip, and in which a cron would fire; None if there is none."""
    from croniter import croniter

    for first, last in gaps(zone, _AHEAD) if zone is not UTC else ():
        if croniter(cron, first - timedelta(seconds=1)).get_next(datetime) < last:
            return first, last
    return None


@lru_cache(maxsize=256)
def _complaint(cron: str, grain: Grain) -> str | None:
    """Return why a cron does not fire exactly once in every partition, as clocks that are never changed show it."""
    from croniter import CroniterBadDateError, CroniterError

    example = f"such as {grain.cron!r}, or leave it out"
    if len(cron.split()) != len(_FIELDS):
        return f"{cron!r} is no cron of five fields; write minute, hour, day, month and weekday, {example}"
    # croniter reads R as a random time and H as a time by hash, but a schedule has to be the same each time.
    if re.search(r"(^|[\s,/-])[hr]", cron, re.IGNORECASE):
        return f"{cron!r} is no cron: H and R are not known here; write it {example}"
    try:
        return _irregular(cron, grain, example)
    except CroniterBadDateError:
        return f"{cron!r} never fires; every {grain} needs a run, {example}"
    except CroniterError as error:
        return f"{cron!r} is no cron: {error}; write it {example}"


def _irregular(cron: str, grain: Grain, example: str) -> str | None:
    from croniter import croniter

    fields = croniter.expand(cron)[0]
    partition = Partition.containing(datetime(2023, 1, 1, tzinfo=UTC), grain)
    fires = croniter(cron, partition.start.timestamp() - 1, ret_type=float)
    for _ in range(_SAMPLE):
        fired = Partition.containing(datetime.fromtimestamp(fires.get_next(), UTC), grain)
        if fired < partition:
            return f"{cron!r} fires more than once in the {grain} {fired}; a {grain} partition needs one run, {example}"
        if fired > partition:
            return (
                f"{cron!r} does not fire in the {grain} {partition}; every partition needs a run, {example}"
            )
        partition = partition.shift(1)
    if grain is Grain.WEEK and fields[4] != [1]:
        # The key of a week is a Monday, so its cron has to fire on one.
        return f"{cron!r} does not fire on Mondays, when a week ends; {example}"
    for position in _EVERY[grain]:
        if fields[position] != ["*"]:
            return (
                f"{cron!r} does not fire on every {_FIELDS[position]}; every {grain} needs a run, {example}"
            )
    return None
