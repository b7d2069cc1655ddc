"""The storage of tables and pages: whether it can be used as stages use it, and whether there is room."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

from airflow_mlops.cli.doctor.diagnosis import Diagnosis, brief, failed, passed, skipped, warned

if TYPE_CHECKING:
    from collections.abc import Mapping

LITTLE = 1_000_000_000
"""Bytes below which a disk is nearly full: a training of a small model, its report and logs take tens of millions."""

NOTHING = 100_000_000
"""Bytes below which a disk is full in effect."""

_SHARED = ("CeleryExecutor", "KubernetesExecutor", "EdgeExecutor")


def look() -> list[Diagnosis]:
    """Go through what stages do to the storage: write, replace, read and remove a table, with two writers at once."""
    from airflow_mlops import config
    from airflow_mlops.domain.addresses import shown

    storage = config.storage()
    return [*_shared(storage, config.tracking_uri()), table(storage, shown(storage))]


def table(storage: str, name: str) -> Diagnosis:
    """Rehearse on a storage.

    :param name: the storage as people may read it.
    """
    from airflow_mlops.exceptions import PlaceRefused, TableUnreadable, UnsafeStore, WriteConflict
    from airflow_mlops.stores.tables.rehearsal import rehearse

    is_new = storage.startswith("file://") and not Path(storage.removeprefix("file://")).exists()
    try:
        rehearse(storage)
    except UnsafeStore as error:
        return failed(
            "storage",
            brief(error),
            "No table can be written: every task that would refuses with this error",
            "name another store in [mlops] storage, or take away the proxy that strips If-None-Match",
        )
    except (OSError, PlaceRefused, TableUnreadable, WriteConflict) as error:
        return failed(
            "storage",
            f"{name} cannot be used: {brief(error)}",
            "No data, prediction, report or decision can be kept",
            "make room or give the folder to the user that tasks run as; of an object store, check address and credentials",
        )
    if is_new:
        return warned(
            "storage",
            f"{name} is not there yet, and can be made",
            "The first task makes it; if it is a disk that should be mounted, tables would lie on the wrong one",
            "mount the disk if there is one; otherwise nothing",
        )
    two = "" if storage.startswith("file://") else ", and the second of two commits at once was refused"
    return passed("storage", f"In {name} a table was written, replaced, read and removed{two}")


def pages() -> list[Diagnosis]:
    """Write, read and remove a page where reports go, if that is not the storage."""
    from airflow_mlops import config
    from airflow_mlops.domain.addresses import shown

    place, storage = config.reports(), config.storage()
    name = shown(place)
    if place.startswith("file://") and place.startswith(f"{storage}/"):
        return [skipped("pages", f"Reports are written below the storage, to {name}")]
    from airflow.sdk import ObjectStoragePath

    path = ObjectStoragePath(place) / f"_rehearsal-{uuid4().hex}.html"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"page")
        is_same = path.read_bytes() == b"page"
        path.unlink()
    except Exception as error:  # noqa: BLE001 - file systems have errors of their own
        return [
            failed(
                "pages",
                f"{name} cannot be used: {brief(error)}",
                "Reports cannot be kept, and their links answer 404",
                "correct [mlops] reports, or the connection and credentials of its file system",
            )
        ]
    if not is_same:
        return [
            failed(
                "pages",
                f"{name} gives other bytes than were written",
                "Reports are damaged",
                "name another folder",
            )
        ]
    return [passed("pages", f"In {name} a page was written, read and removed")]


def _shared(storage: str, tracking_uri: str) -> list[Diagnosis]:
    """Warn of what lies on one machine's disk, where tasks run on several."""
    from airflow.sdk import conf

    executor = conf.get("core", "executor")
    if not any(name in executor for name in _SHARED):
        return []
    places = {"[mlops] storage": storage, "[mlops] tracking_uri": tracking_uri}
    return [
        warned(
            "storage",
            f"{option} lies on a disk, and {executor} runs tasks on several machines",
            "Machines that do not share the disk would each have tables, models and decisions of their own",
            "mount the same folder everywhere, or name an object store, and a server for MLflow",
        )
        for option, uri in places.items()
        if uri.startswith(("file:", "sqlite:"))
    ]


def disks() -> list[Diagnosis]:
    """Tell how much room there is where data, pages and Airflow's own files lie."""
    from airflow.configuration import AIRFLOW_HOME

    from airflow_mlops import config
    from airflow_mlops.exceptions import SettingRefused

    folders = {"AIRFLOW_HOME": Path(AIRFLOW_HOME)}
    for option in ("storage", "reports"):
        try:
            place = getattr(config, option)()
        except SettingRefused:
            continue  # the check of the configuration tells
        if place.startswith("file://"):
            folders[f"[mlops] {option}"] = Path(place.removeprefix("file://"))
    return room(folders)


def room(folders: Mapping[str, Path]) -> list[Diagnosis]:
    """Tell how much room there is on the disks of folders, each disk once.

    :param folders: by what they are for; one that is not there yet is looked for where it would be made.
    """
    devices: dict[int, tuple[list[str], Path]] = {}
    for use, folder in folders.items():
        there = next(path for path in (folder, *folder.parents) if path.exists())
        devices.setdefault(there.stat().st_dev, ([], there))[0].append(use)
    return [_room(" and ".join(uses), path) for uses, path in devices.values()]


def _room(uses: str, path: Path) -> Diagnosis:
    free = shutil.disk_usage(path).free
    state = os.statvfs(path)
    amount = f"The disk of {uses} has {free / 1e9:.1f} GB left"
    if state.f_files and not state.f_favail:
        return failed(
            "disk",
            f"The disk of {uses} can take no further file",
            "Tasks fail at their first write",
            "delete old files",
        )
    if free < NOTHING:
        return failed("disk", amount, "Tasks fail in the middle of a write", _FIX)
    if free < LITTLE:
        return warned("disk", amount, "A training of a large model, or a week of logs, may fill it", _FIX)
    return passed("disk", amount)


_FIX = "delete old logs, airflow mlops datasets vacuum, or take a larger disk"
