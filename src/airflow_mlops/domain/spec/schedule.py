"""Check that a schedule fires once in every partition."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache

from airflow_mlops.domain.partitions import Grain, Partition

# Fourteen months in a row have months of every length; the check of the fields below finds a cron that always skips a
# day or an hour.
_SAMPLE = 14
_EVERY = {Grain.HOUR: (1, 2, 3, 4), Grain.DAY: (2, 3, 4), Grain.WEEK: (3,), Grain.MONTH: (3,)}
_FIELDS = ("minute", "hour", "day of month", "month", "day of week")


@lru_cache(maxsize=256)
def complaint(cron: str, grain: Grain) -> str | None:
    """Return why a cron does not fire exactly once in every partition, in UTC; None if it does."""
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
