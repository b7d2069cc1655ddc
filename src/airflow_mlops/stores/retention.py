"""Retention: remove the files of old versions, but never what a model that may serve was trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from airflow_mlops.exceptions import RegistryUnavailable
from airflow_mlops.stores.registry import ledger, registry, tracking
from airflow_mlops.stores.tables import delta

if TYPE_CHECKING:
    from deltalake import DeltaTable
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_MOVED = ("mlops.promoted", "mlops.restored")


class Removal(NamedTuple):
    """What a vacuum removes, or would remove.

    :param files: paths below the table.
    :param size: their bytes.
    :param kept: versions that stay readable, beside the latest one.
    """

    files: tuple[str, ...]
    size: int
    kept: tuple[int, ...]


def needed(client: MlflowClient, uri: str, ledgers: Mapping[str, str]) -> dict[int, str]:
    """Return the versions of a table that a champion, present or former, was trained on, each with such a model.

    The table may be one of data or of labels.

    A former champion is what a rollback goes back to. A table is known by its last two folders, so that storage that was
    moved protects no less.

    :param ledgers: URI of each ledger there is, by model.
    :raises RegistryUnavailable: if MLflow does not answer, or does not know a model of which a ledger names champions.
    :raises TableUnreadable: if a ledger is damaged.
    :raises DigestMismatch: see :func:`airflow_mlops.stores.registry.registry.tags`.
    """
    versions = _versions(client)
    known = {version.name for version in versions}
    champions = {(name, number) for name, at in ledgers.items() for number in _champions(at)}
    if lost := sorted({name for name, _ in champions} - known):
        raise RegistryUnavailable(
            f"The ledger names champions of {', '.join(lost)}, of which MLflow at {client.tracking_uri} has no version: is "
            "it the right one? Without it nothing is removed."
        )
    champions |= {(name, number) for name in known if (number := registry.champion_version(client, name))}
    found: dict[int, str] = {}
    for version in versions:
        moved = (version.name, str(version.version)) in champions or any(
            tag in version.tags for tag in _MOVED
        )
        if not moved:
            continue
        dataset = json.loads(registry.tags(client, version).get("mlops.dataset", "{}"))
        for each in (dataset, dataset.get("labels") or {}):
            if _tail(each.get("uri", "")) == _tail(uri) and each.get("version") is not None:
                found.setdefault(int(each["version"]), f"version {version.version} of {version.name!r}")
    return found


def vacuum(uri: str, keep: Iterable[int], *, days: int, delete: bool, now: datetime | None = None) -> Removal:
    """Remove the files that no version needs which is kept, or tell which they are.

    Kept are the latest version, those in ``keep``, and those that were the latest at some time in the last days.

    :param keep: further versions.
    :param days: at least 1, so that nothing is taken from a run that is under way.
    :param delete: whether to remove them; False changes nothing.
    :param now: None means the time of this machine.
    :raises ValueError: if ``days`` is less.
    :raises TableMissing: if there is no table.
    :raises TableUnreadable: if a version in ``keep`` cannot be read any more.
    """
    if days < 1:
        raise ValueError(f"{days} days are too few: keep at least 1, for runs that are under way")
    table = delta.open_table(uri)
    since = (now or datetime.now(UTC)) - timedelta(days=days)
    kept = sorted({*keep, *_recent(table, since)})

    # Full: otherwise Delta forgets, at a checkpoint, what was removed from the table more than a week before.
    sweep = partial(table.vacuum, days * 24, enforce_retention_duration=False, full=True, keep_versions=kept)
    with delta.errors(uri):
        sizes = _sizes(uri, sweep(dry_run=True))
        if delete and sizes:
            sweep(dry_run=False)
    return Removal(tuple(sizes), sum(sizes.values()), tuple(kept))


def _versions(client: MlflowClient) -> list[ModelVersion]:
    found: list[ModelVersion] = []
    token = None
    with tracking.errors(client):
        while True:
            page = client.search_model_versions(max_results=1000, page_token=token)
            found += page
            token = page.token
            if not token:
                return found


def _champions(ledger_uri: str) -> set[str]:
    rows = ledger.rows(ledger_uri)
    # What is on trial may be champion next.
    trial = ledger.trial(rows)
    found = [number for row in rows for number in (row.before, row.after)]
    found += [trial.evidence.candidate] if trial is not None else []
    return {number for number in found if number is not None}


def _tail(uri: str) -> list[str]:
    return uri.rstrip("/").split("/")[-2:]


def _recent(table: DeltaTable, since: datetime) -> list[int]:
    # Of the versions before, only the newest was still the latest then.
    commits = sorted((commit["version"], commit["timestamp"]) for commit in table.history())
    moment = since.timestamp() * 1000
    ended = [version for (version, _), (_, replaced) in pairwise(commits) if replaced >= moment]
    return [*ended, commits[-1][0]]


def _sizes(uri: str, files: Iterable[str]) -> dict[str, int]:
    # Delta names files that an earlier vacuum has removed again and again.
    found = delta.filesystem(uri).get_file_info(sorted(files))
    return {info.path: info.size for info in found if info.is_file}
