"""Retention: which versions of a table must stay because a model that may serve was trained on them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.estimators import may_keep_rows
from airflow_mlops.domain.spec.candidates import Candidate
from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable
from airflow_mlops.stores import damage
from airflow_mlops.stores.registry import elsewhere, ledger, registry

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client

_MOVED = ("mlops.promoted", "mlops.restored")


def needed(client: Client, uri: str, ledgers: Mapping[str, str]) -> dict[int, str]:
    """Return the versions of a table that a present or former champion was trained on, each with the name of one.

    The table may be one of data or of labels. Former champions count because a rollback restores them. A table is
    identified by its last two folders, so that versions stay protected after storage was moved.

    :param ledgers: URI of the ledger of each model, by its name.
    :raises RegistryUnavailable: if MLflow does not answer, or does not know a model of which a ledger names champions.
    :raises TableUnreadable: if a ledger is damaged.
    :raises DigestMismatch: see :func:`airflow_mlops.stores.registry.registry.tags`.
    """
    versions = registry.versions(client)
    registered = {version.name for version in versions}
    champions = {(name, number) for name, at in ledgers.items() for number in _champions(at)}
    if lost := sorted({name for name, _ in champions} - registered):
        raise RegistryUnavailable(
            f"The ledger names champions of {', '.join(lost)}, of which MLflow at {client.tracking_uri} has no version: is "
            "it the right one? Without it nothing is removed."
        )
    champions |= {
        (name, number) for name in registered if (number := registry.champion_version(client, name))
    }
    models: dict[int, str] = {}
    for version in versions:
        moved = (version.name, str(version.version)) in champions or any(
            tag in version.tags for tag in _MOVED
        )
        if not moved:
            continue
        for at in _tables(client, version, uri):
            models.setdefault(at, f"version {version.version} of {version.name!r}")
    return models


def learned_from(client: Client, uri: str) -> dict[str, int]:
    """Return each model version that was trained on a table of data or of labels, with the version of the table.

    :raises RegistryUnavailable: if MLflow does not answer.
    :raises DigestMismatch: see :func:`airflow_mlops.stores.registry.registry.tags`.
    """
    models: dict[str, int] = {}
    for version in registry.versions(client):
        for number in _tables(client, version, uri):
            models[f"version {version.version} of {version.name!r}"] = number
    return models


def keeping_rows(client: Client, models: Collection[str]) -> dict[str, str]:
    """Return which model versions hold rows that they were fitted to, or may hold some, with the estimator that does.

    :param models: versions, as :func:`learned_from` names them.
    :raises RegistryUnavailable: if MLflow does not answer.
    :raises DigestMismatch: see :func:`airflow_mlops.stores.registry.registry.tags`.
    """
    keeping: dict[str, str] = {}
    for version in registry.versions(client) if models else ():
        name = f"version {version.version} of {version.name!r}"
        tags = registry.tags(client, version) if name in models else {}
        if (parts := tags.get(elsewhere.ESTIMATORS)) is not None:
            with damage.errors(f"The tag {elsewhere.ESTIMATORS} of {name}", ModelNotFound):
                keepers = sorted(part for part in json.loads(parts) if may_keep_rows(part))
            keeping |= {name: ", ".join(keepers)} if keepers else {}
        recipe = tags.get("mlops.recipe")
        if recipe is None:
            continue
        with damage.errors(f"The tag mlops.recipe of {name}", ModelNotFound):
            candidate = Candidate.from_dict(json.loads(recipe)["candidate"])
        estimators = {part.estimator for part in candidate.parts() if may_keep_rows(part.estimator)}
        if estimators:
            keeping[name] = ", ".join(sorted(estimators))
    return keeping


def _tables(client: Client, version: Any, uri: str) -> list[int]:
    """Return the versions of a table, of data or of labels, that a model version has learned from."""
    tags = registry.tags(client, version)
    with damage.errors(
        f"The tag mlops.dataset of version {version.version} of {version.name!r}", ModelNotFound
    ):
        dataset = json.loads(tags.get("mlops.dataset", "{}"))
        parts = [
            part
            for part in (dataset, dataset.get("labels") or {})
            if _tail(part.get("uri", "")) == _tail(uri)
        ]
        return [int(part["version"]) for part in parts if part.get("version") is not None]


def _champions(ledger_uri: str) -> set[str]:
    rows = ledger.rows(ledger_uri)
    # The candidate on trial may be the next champion.
    trial = ledger.trial(rows)
    numbers = [number for row in rows for number in (row.before, row.after)]
    numbers += [trial.evidence.candidate] if trial is not None else []
    return {number for number in numbers if number is not None}


def _tail(uri: str) -> list[str]:
    return uri.rstrip("/").split("/")[-2:]
