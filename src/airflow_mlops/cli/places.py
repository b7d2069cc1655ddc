"""Places of tables, as the commands reach them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any


def table_uri(name: str, table: str) -> str:
    """Return the URI of one of a dataset's tables under ``[mlops] storage``.

    :raises SystemExit: if the name cannot be a dataset's, or the storage cannot be used.
    """
    from airflow_mlops import config
    from airflow_mlops.stores.tables import tables

    try:
        return tables.uri_of(config.storage(), name, table)
    except ValueError as error:
        raise SystemExit(str(error)) from error


def datasets() -> list[str]:
    """Return the folders under ``[mlops] storage`` that can be those of datasets and models."""
    from airflow.sdk import ObjectStoragePath

    from airflow_mlops import config
    from airflow_mlops.stores.tables import places

    root = ObjectStoragePath(config.storage())
    folders = root.iterdir() if root.exists() else ()
    return sorted(folder.name for folder in folders if places.is_name(folder.name) and folder.is_dir())


def strange_ledgers() -> list[str]:
    """Return the folders under ``[mlops] storage`` with a ledger, though no spec could have their names."""
    from airflow.sdk import ObjectStoragePath

    from airflow_mlops import config
    from airflow_mlops.stores.tables import places

    root = ObjectStoragePath(config.storage())
    folders = root.iterdir() if root.exists() else ()
    strange = (folder for folder in folders if not places.is_name(folder.name))
    return sorted(folder.name for folder in strange if (folder / "ledger" / "_delta_log").exists())


def specs_of(model: str, folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files of specs with the name of a model.

    :param folders: folders with DAG files.
    """
    return (path for path, spec in _mappings(folders) if spec.get("name") == model)


def spec_files(folders: Sequence[Path]) -> Iterator[Path]:
    """Yield the files that look like specs of models.

    :param folders: folders with DAG files.
    """
    return (path for path, spec in _mappings(folders) if {"name", "source"} <= set(spec))


def models(folders: Sequence[Path]) -> list[str]:
    """Return the names in files that look like specs of models.

    :param folders: folders with DAG files.
    """
    return sorted({str(spec["name"]) for _, spec in _mappings(folders) if {"name", "source"} <= set(spec)})


def _mappings(folders: Sequence[Path]) -> Iterator[tuple[Path, dict[Any, Any]]]:
    import yaml

    for folder in folders:
        for path in sorted({*folder.glob("*.yaml"), *folder.glob("models/*.yaml")}):
            try:
                spec = yaml.safe_load(path.read_text(encoding="utf-8"))
            except (OSError, ValueError, RecursionError, yaml.YAMLError):
                continue
            if isinstance(spec, dict):
                yield path, spec


def refuse_unwritable() -> None:
    """Refuse a storage that nothing can be written to, before MLflow tries to for minutes.

    :raises ValueError: naming it.
    """
    from tempfile import TemporaryFile

    from airflow_mlops import config

    scheme, _, path = config.storage().partition("://")
    if scheme != "file":
        return
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise ValueError(
            f"Nothing can be written to the storage {path} ({error.strerror}): name a folder that you may write to, by --storage or "
            "[mlops] storage."
        ) from error
