"""MLflow: whether it answers, in which version, and what it lets us do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow_mlops.cli.doctor.answers import ask
from airflow_mlops.cli.doctor.diagnosis import Diagnosis, brief, failed, passed, skipped, warned

if TYPE_CHECKING:
    from collections.abc import Iterable

    from airflow_mlops.stores.registry.client import Client

_PATIENCE = {"MLFLOW_HTTP_REQUEST_TIMEOUT": "10", "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_ALL = "No model can be trained, promoted or scored"


def look() -> list[Diagnosis]:
    """Reach MLflow as tasks do, read what it has, and register a model that is removed at once."""
    from airflow_mlops.cli import connect
    from airflow_mlops.cli.doctor import models
    from airflow_mlops.exceptions import RegistryUnavailable, SettingRefused, StoreUnavailable
    from airflow_mlops.hooks.mlflow import configure

    try:
        address = connect.mlflow_address()
    except (LookupError, SettingRefused) as error:
        return [failed("MLflow", brief(error), _ALL, "correct the connection, or [mlops] mlflow_conn_id")]
    place = place_of(address)
    if address.startswith("sqlite:") and not Path(place).exists():
        return [skipped("MLflow", f"Its database, {place}, is not there yet; the first training makes it")]
    # A task waits longer, as a server may be started again meanwhile.
    configure(_PATIENCE)
    try:
        client = connect.mlflow()
        names = [spec.name for spec in models.specs().valid]
        lines = [
            *rights(client, place),
            *deleted(client, names),
            *artifacts(client, address, names),
        ]
    except (RegistryUnavailable, SettingRefused, StoreUnavailable) as error:
        return [failed("MLflow", brief(error), _ALL, "start it, or correct address, user and password")]
    return [*lines, *_release(address)]


def place_of(address: str) -> str:
    """Return the file or the host of an address; Airflow masks the address as a whole."""
    parts = urlsplit(address)
    if parts.scheme == "sqlite":
        return parts.path.removeprefix("/")
    return parts.netloc.rpartition("@")[2]


def rights(client: Client, place: str) -> list[Diagnosis]:
    """Tell whether this user may read, register and remove.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable
    from airflow_mlops.stores.registry import rehearsal

    count = rehearsal.registered(client)
    try:
        rehearsal.register(client)
    except (RegistryUnavailable, ModelNotFound) as error:
        return [
            failed(
                "MLflow",
                f"{place} can be read, and refuses to register and remove a model: {brief(error)}",
                "Candidates cannot be registered, so nothing is ever promoted",
                "give the user of the connection the right to create and delete registered models",
            )
        ]
    return [
        passed("MLflow", f"{place} answers; it has {count} registered models, and took and removed one more")
    ]


def deleted(client: Client, names: Iterable[str]) -> list[Diagnosis]:
    """Name the experiments that were deleted: MLflow keeps their names taken."""
    from airflow_mlops.stores.registry import rehearsal

    return [
        failed(
            "MLflow",
            f"The experiment {name!r} is deleted",
            "MLflow keeps the name, so that each training of the model fails",
            f"restore it, or remove it for good with mlflow gc --experiment-ids of {name}",
        )
        for name in names
        if rehearsal.is_deleted(client, name)
    ]


def artifacts(client: Client, address: str, names: Iterable[str]) -> list[Diagnosis]:
    """Write, read and remove an artifact where experiments keep theirs, each place once.

    :param names: of experiments; where there is none of them yet, that which a server has for new ones.
    """
    from airflow_mlops.stores.registry import rehearsal

    is_server = address.startswith(("http://", "https://"))
    places = rehearsal.locations(client, names)
    if not places and is_server:
        places = rehearsal.locations(client, ["Default"])
    stores = {location.rstrip("/").rpartition("/")[0]: location for location in places.values()}
    return [_artifact(client, location, is_server=is_server) for location in stores.values()]


def _artifact(client: Client, location: str, *, is_server: bool) -> Diagnosis:
    from airflow_mlops.domain.addresses import shown
    from airflow_mlops.stores.registry import rehearsal

    place = shown(location)
    if is_server and urlsplit(location).scheme in ("", "file"):
        return warned(
            "MLflow artifacts",
            f"The server has its clients keep artifacts in {place}, a folder of whichever machine they run on",
            "A model that one machine has trained is missing on all others, unless they share that disk",
            "start the server with --serve-artifacts and --artifacts-destination, or name an object store",
        )
    try:
        is_same = rehearsal.keep(client, location)
    except Exception as error:  # noqa: BLE001 - each artifact store has errors of its own
        return failed(
            "MLflow artifacts",
            f"{place} cannot be used: {brief(error)}",
            "Models cannot be kept or loaded, so that nothing is trained or scored",
            "correct the credentials of that store, its folder's owner, or --artifacts-destination of the server",
        )
    if not is_same:
        return failed(
            "MLflow artifacts",
            f"{place} gives other bytes than were written",
            "Models are damaged, which their digests tell when they are loaded",
            "look for what rewrites them, such as a proxy",
        )
    return passed("MLflow artifacts", f"In {place} an artifact was written, read and removed")


def _release(address: str) -> list[Diagnosis]:
    from importlib.metadata import version

    if not address.startswith(("http://", "https://")):
        return []
    answer = ask(f"{address}/version")
    ours = version("mlflow")
    if answer is None or answer.status != 200 or not answer.text[:1].isdigit():
        return [skipped("MLflow", "The server does not tell its version")]
    if answer.text.split(".")[:2] == ours.split(".")[:2]:
        return []
    return [
        warned(
            "MLflow",
            f"The server is {answer.text}, and the client here {ours}",
            "Requests that one of them does not know fail, or lose fields",
            "install the same minor version on both sides",
        )
    ]
