"""Rename a model: its tables, its ledger and what MLflow keeps of it; told before, recorded after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.renaming import ModelRename, Names
from airflow_mlops.exceptions import ErasureRefused
from airflow_mlops.stores import retention
from airflow_mlops.stores.registry import removal, renaming
from airflow_mlops.stores.tables import changes, folders, places, tables, versions

if TYPE_CHECKING:
    from airflow_mlops.stores.registry.client import Client

_BEGUN, _DONE = "renaming begun", "renamed"
_VERSIONED = ("data", "staging")


def plan(client: Client, storage: str, model: str, to: str) -> ModelRename:
    """Return what the renaming of a model would change, without changing anything.

    :param storage: URI under which the tables of all models are.
    :raises PlaceRefused: if no model can have one of the names.
    :raises ErasureRefused: if there is nothing of the model, or something that has the new name already.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    names = _names(storage, model, to)
    begun = _is_begun(storage, model, to)
    there, new = folders.content(names.old_folder), folders.content(names.new_folder)
    if not begun and (new.files or renaming.is_there(client, to)):
        raise ErasureRefused(
            f"There is something of {to!r} already, in tables or in MLflow (perhaps deleted); choose another name, or "
            f"remove it: airflow mlops remove-model {to}"
        )
    kept = removal.registered(client, model)
    if not begun and not (there.files or kept.versions or kept.experiment):
        raise ErasureRefused(f"There is nothing of {model!r}, neither at {storage} nor in MLflow.")
    readers = {
        reader
        for table in ("data", "labels")
        for reader in retention.learned_from(client, places.uri_of(storage, model, table))
        if not reader.endswith((f" of {model!r}", f" of {to!r}"))
    }
    return ModelRename(
        model=model,
        to=to,
        tables=tuple(there.tables or new.tables),
        files=there.files or new.files,
        versions=kept.versions,
        experiment=kept.experiment,
        readers=tuple(sorted(readers)),
        begun=begun,
    )


def rename(client: Client, storage: str, planned: ModelRename, *, by: str, reason: str) -> None:
    """Rename what was planned. Killed on its way, it is finished by its repetition.

    :param storage: URI under which the tables of all models are.
    :param by: who renames it; kept in the journal of changes, beside the tables of all models.
    :param reason: why; kept there.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    names = _names(storage, planned.model, planned.to)
    changes.note(storage, _BEGUN, planned, by, reason)
    folders.move(names.old_folder, names.new_folder)
    for table in _VERSIONED:
        uri = places.uri_of(storage, names.new, table)
        if tables.exists(uri):
            versions.rename(uri, names.new, f"rename/{names.old}")
    ledger = places.uri_of(storage, names.new, "ledger")
    if tables.exists(ledger):
        folders.rewrite_texts(ledger, "evidence", names.json)
    renaming.rename(client, names)
    changes.note(storage, _DONE, planned, by, reason)


def _names(storage: str, model: str, to: str) -> Names:
    return Names(model, to, places.folder_of(storage, model), places.folder_of(storage, to))


def _is_begun(storage: str, model: str, to: str) -> bool:
    rows = [row for row in changes.rows(storage) if row["model"] == model]
    if not rows or rows[-1]["what"] != _BEGUN:
        return False
    return ModelRename.model_validate_json(rows[-1]["facts"]).to == to
