"""Remove a model: its tables, and what MLflow keeps of it; told before, recorded after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.facts.removal import ModelRemoval
from airflow_mlops.stores import retention
from airflow_mlops.stores.registry import removal
from airflow_mlops.stores.tables import changes, folders, places

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client

_BEGUN, _DONE = "removal begun", "removed"


def plan(client: Client, storage: str, model: str) -> ModelRemoval:
    """Return what the removal of a model would take, without changing anything.

    :param storage: URI under which the tables of all models are.
    :raises PlaceRefused: if no model can have that name.
    :raises ErasureRefused: if a version of another model would be lost with it.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    there = folders.content(places.folder_of(storage, model))
    kept = removal.registered(client, model)
    readers = {
        reader
        for table in ("data", "labels")
        for reader in retention.learned_from(client, places.uri_of(storage, model, table))
        if not reader.endswith(f" of {model!r}")
    }
    # Elsewhere, as on a server, MLflow keeps them and is the one to delete them.
    ours = kept.artifacts if (kept.artifacts or "").startswith(f"{storage}/artifacts/") else None
    return ModelRemoval(
        model=model,
        tables=there.tables,
        files=there.files,
        size=there.size,
        versions=kept.versions,
        champion=kept.champion,
        experiment=kept.experiment,
        runs=kept.runs,
        artifacts=ours,
        readers=tuple(sorted(readers)),
    )


def remove(client: Client, storage: str, planned: ModelRemoval, *, by: str, reason: str) -> None:
    """Remove what was planned. Killed on its way, it is finished by its repetition.

    :param storage: URI under which the tables of all models are.
    :param by: who removes it; kept in the journal of changes, beside the tables of all models.
    :param reason: why; kept there.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    changes.note(storage, _BEGUN, planned, by, reason)
    # First what serves, then what could be scored with, last what tells how it came about.
    removal.remove(client, planned.model)
    if planned.artifacts:
        folders.delete(planned.artifacts)
    folders.delete(places.folder_of(storage, planned.model))
    changes.note(storage, _DONE, planned, by, reason)


def removals(storage: str) -> list[dict[str, Any]]:
    """Return which models were removed, when, by whom and why, oldest first."""
    return [
        row | {"facts": ModelRemoval.model_validate_json(row["facts"])}
        for row in changes.rows(storage)
        if row["what"] in (_BEGUN, _DONE)
    ]
