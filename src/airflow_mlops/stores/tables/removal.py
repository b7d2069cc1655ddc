"""Removal: deleting the files that no kept version of a table needs."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.stores.tables import conditional, delta

if TYPE_CHECKING:
    from deltalake import DeltaTable


class Removal(NamedTuple):
    """What a vacuum removes, or would remove.

    :param files: paths below the table.
    :param size: their bytes.
    :param kept: versions that stay readable, beside the latest one.
    """

    files: tuple[str, ...]
    size: int
    kept: tuple[int, ...]


def vacuum(uri: str, keep: Iterable[int], *, days: int, delete: bool, now: datetime | None = None) -> Removal:
    """Remove the files that no kept version needs, or only list them.

    The latest version is kept, those in ``keep``, and those that were the latest at some time in the last ``days`` days.

    :param keep: further versions to keep.
    :param days: at least 1, so that nothing is taken from a run that is under way.
    :param delete: whether to remove them; False changes nothing.
    :param now: None means the time of this machine.
    :raises ValueError: if ``days`` is less than 1.
    :raises TableMissing: if there is no table.
    :raises TableUnreadable: if a version in ``keep`` cannot be read any more.
    :raises UnsafeStore: if the store would lose one of two commits.
    """
    if days < 1:
        raise ValueError(f"{days} days are too few: keep at least 1, for runs that are under way")
    table = delta.open_table(uri)
    if delete:
        # Vacuuming is a commit, too.
        conditional.prove(uri)
    since = (now or datetime.now(UTC)) - timedelta(days=days)
    kept = sorted({*keep, *_recent(table, since)})

    # Full: at a checkpoint Delta forgets files removed more than a week before, which only a full listing sees.
    sweep = partial(table.vacuum, days * 24, enforce_retention_duration=False, full=True, keep_versions=kept)
    with delta.errors(uri):
        sizes = _sizes(uri, sweep(dry_run=True))
        if delete and sizes:
            sweep(dry_run=False)
    return Removal(tuple(sizes), sum(sizes.values()), tuple(kept))


def _recent(table: DeltaTable, since: datetime) -> list[int]:
    # Of the versions that are older than that moment, only the newest was still the latest then.
    commits = sorted((commit["version"], commit["timestamp"]) for commit in table.history())
    moment = since.timestamp() * 1000
    ended = [version for (version, _), (_, replaced) in pairwise(commits) if replaced >= moment]
    return [*ended, commits[-1][0]]


def _sizes(uri: str, files: Iterable[str]) -> dict[str, int]:
    # Delta goes on listing files that an earlier vacuum has removed.
    infos = delta.filesystem(uri).get_file_info(sorted(files))
    return {info.path: info.size for info in infos if info.is_file}
