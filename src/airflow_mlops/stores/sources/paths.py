"""Paths of files with the parts of a partition in them: filled in, and read back from the path of a file."""

from __future__ import annotations

import re

from airflow_mlops.domain.calendars import Calendar
from airflow_mlops.domain.partitions import Partition


def fill(path: str, partition: Partition | None) -> str:
    """Fill the parts of a partition into a path; None fills in ``*``."""
    if partition is None:
        # One star for parts side by side, and for those beside a star: two would mean any folders below.
        return re.sub(r"\**\{\w+\}(?:\**\{\w+\})*\**", "*", path)
    start = partition.clock
    parts = {
        "partition": partition.key,
        # Not every platform writes years before 1000 with four digits.
        "year": f"{start.year:04}",
        "month": f"{start:%m}",
        "day": f"{start:%d}",
        "hour": f"{start:%H}",
    }
    return re.sub(r"\{(\w+)\}", lambda match: parts.get(match[1], match[0]), path)


def fixed_folder(path: str) -> str:
    """Return the folder that a path begins with, whatever the partition: ``data`` of ``data/{partition}/*.csv``."""
    return re.split(r"[{*?\[]", path, maxsplit=1)[0].rpartition("/")[0] or (
        "/" if path.startswith("/") else "."
    )


def expression(pattern: str, grain: str | None) -> str:
    """Return a regular expression for the paths that a pattern matches, with a group for each name in braces.

    A part has its own form, so that it ends where a star, or another part, begins beside it.
    """
    four, two = r"\d{4}", r"\d{2}"
    digits = (
        re.sub(r"%(Y?)\w?", lambda part: four if part[1] else two, Calendar(grain).grain.key_format)
        if grain
        else ""
    )
    forms = {"partition": digits or "[^/]+", "year": four}
    seen: set[str] = set()
    parts = []
    for part in re.split(r"(\{\w+\}|\*\*/|\*\*|\*|\?|\[[^\]]*\])", pattern):
        name = part[1:-1]
        if part.startswith("{"):
            parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{forms.get(name, two)})")
            seen.add(name)
        else:
            wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
            parts.append(wild.get(part) or (part if part.startswith("[") else re.escape(part)))
    return "".join(parts)


def is_pattern(path: str) -> bool:
    """Tell whether a path may match several files."""
    return bool(re.search(r"[*?\[]", path))


def bare(path: str) -> str:
    """Return a path without the connection that may stand before its bucket."""
    return re.sub(r"://[^/]*@", "://", path)


def without_login(path: str) -> str:
    """Return a path for messages, without credentials; those of a signed URL follow its question mark."""
    address = bare(path)
    return address.partition("?")[0] if re.match("https?://", address) else address
