"""Partitions that the names of files hold, such as ``2013-01.csv`` or ``year=2013/month=01/part-0.parquet``."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from airflow_mlops.domain.calendars import Grain
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import UnknownPartition
from airflow_mlops.stores.sources.paths import expression

_GRAINS = (Grain.HOUR, Grain.DAY, Grain.MONTH)
_PARTS = ("year", "month", "day", "hour")
_BETWEEN = r"(\D{0,8}?)"
_WEEK = timedelta(days=7)


class NamedPartitions(NamedTuple):
    """Files whose names hold their partition.

    :param path: with ``{partition}``, or its parts, in place of what differs.
    :param keys: of the partition of each file, in the order of the files.
    """

    path: str
    grain: Grain
    keys: tuple[str, ...]


def find(folder: Path, files: Sequence[Path]) -> NamedPartitions | None:
    """Return the partitions that the paths of all files below a folder name; None if they name none.

    The finest grain that all names have is taken; days that are all Mondays, a week or more apart, name weeks.
    """
    names = [path.relative_to(folder).as_posix() for path in files]
    for grain in _GRAINS:
        pattern = _pattern(names, grain)
        keys = _keys(names, pattern, grain) if pattern else None
        if pattern is None or keys is None or len(set(keys)) < 2:
            continue
        return NamedPartitions(f"{folder.as_posix()}/{pattern}", _or_week(grain, keys), keys)
    return None


def _pattern(names: Sequence[str], grain: Grain) -> str | None:
    count = 2 + _GRAINS[::-1].index(grain)
    form = r"(?<!\d)(\d{4})" + (_BETWEEN + r"(\d{2})") * (count - 1) + r"(?!\d)"
    match = re.search(form, names[0])
    if match is None:
        return None
    places = [match.span(1 + 2 * part) for part in range(count)]
    between = "".join(
        "%" + _PARTS[part] + (names[0][places[part][1] : places[part + 1][0]] if part + 1 < count else "")
        for part in range(count)
    )
    whole = {
        Grain.HOUR: "%year-%month-%dayT%hour",
        Grain.DAY: "%year-%month-%day",
        Grain.MONTH: "%year-%month",
    }
    middle = "{partition}" if between == whole[grain] else re.sub(r"%(\w+?)(?=[^a-z]|$)", r"{\1}", between)
    before, after = names[0][: match.start()], names[0][match.end() :]
    rest = {name[match.end() :] for name in names}
    if len(rest) > 1:
        after = _starred(sorted(rest))
    return None if re.search(r"[{}*?\[]", before) else before + middle + after


def _starred(endings: Sequence[str]) -> str:
    """Return a pattern of endings that differ: a star in place of what is not common to all."""
    first = os.path.commonprefix(endings)
    last = os.path.commonprefix([ending[len(first) :][::-1] for ending in endings])[::-1]
    return f"{first}*{last}"


def _keys(names: Sequence[str], pattern: str, grain: Grain) -> tuple[str, ...] | None:
    form = re.compile(expression(pattern, grain.value))
    keys = []
    for name in names:
        match = form.fullmatch(name)
        parts = match.groupdict() if match else {}
        text = parts.get("partition") or "-".join(parts.get(part, "") for part in _PARTS[:3] if part in parts)
        text += f"T{parts['hour']}" if "hour" in parts else ""
        try:
            keys.append(Partition.parse(text, grain.value).key)
        except UnknownPartition:
            return None
    return tuple(keys)


def _or_week(grain: Grain, keys: Sequence[str]) -> Grain:
    if grain is not Grain.DAY:
        return grain
    days = sorted({Partition.parse(key, grain.value).start for key in keys})
    apart = all(later - earlier >= _WEEK for earlier, later in zip(days, days[1:], strict=False))
    return Grain.WEEK if apart and all(day.weekday() == 0 for day in days) else grain
