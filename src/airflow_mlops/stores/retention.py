"""Retention: which versions of a table may not go, since a model that may serve was trained on them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_mlops.exceptions import RegistryUnavailable
from airflow_mlops.stores.registry import ledger, registry

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client

_MOVED = ("mlops.promoted", "mlops.restored")


def needed(client: Client, uri: str, ledgers: Mapping[str, str]) -> dict[int, str]:
    """Return the versions of a table that a champion, present or former, was trained on, each with such a model.

    The table may be one of data or of labels.

    A former champion is what a rollback goes back to. A table is known by its last two folders, so that storage that was
    moved protects no less.

    :param ledgers: URI of each ledger there is, by model.
    :raises RegistryUnavailable: if MLflow does not answer, or does not know a model of which a ledger names champions.
    :raises TableUnreadable: if a ledger is damaged.
    :raises DigestMismatch: see :func:`airflow_mlops.stores.registry.registry.tags`.
    """
    versions = registry.versions(client)
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


def _champions(ledger_uri: str) -> set[str]:
    rows = ledger.rows(ledger_uri)
    # What is on trial may be champion next.
    trial = ledger.trial(rows)
    found = [number for row in rows for number in (row.before, row.after)]
    found += [trial.evidence.candidate] if trial is not None else []
    return {number for number in found if number is not None}


def _tail(uri: str) -> list[str]:
    return uri.rstrip("/").split("/")[-2:]
