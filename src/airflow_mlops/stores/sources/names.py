"""Columns that the layout of a file names, and that the file does not have."""

from __future__ import annotations

import logging
from collections.abc import Collection
from difflib import get_close_matches

from airflow_mlops.exceptions import SourceUnreadable
from airflow_mlops.stores.sources.bytes import Layout

log = logging.getLogger(__name__)

_CLOSE = 0.8
"""Likeness, as difflib has it, of names that are taken for two spellings of one: not ``date_from`` and ``date_to``."""


def check(layout: Layout, columns: Collection[str], published: Collection[str], where: str) -> None:
    """Check that the columns which ``types``, ``percent`` and ``times`` name are there.

    A name that is spelled otherwise would have no effect: leading zeros would be lost for good. A column that is gone, or
    is yet to come, is none to complain about.

    :param columns: the columns that are there.
    :param published: the columns that were there before.
    :raises SourceUnreadable: if a column that nothing names is nearly called so.
    """
    keys = {"types": layout.types, "percent": layout.notation.percent, "times": layout.notation.times}
    all_names = {name for names in keys.values() for name in names}
    free = {_folded(column): column for column in columns if column not in all_names}
    for key, names in keys.items():
        for name in names:
            if name in columns:
                continue
            close = get_close_matches(_folded(name), free, n=1, cutoff=_CLOSE)
            if close and name not in published:
                raise SourceUnreadable(
                    f"{key} names {name!r}, which is no column of {where}; did you mean {free[close[0]]!r}?"
                )
            log.warning("%s names %r, which is no column of %s", key, name, where)


def _folded(name: str) -> str:
    return name.strip().casefold()
