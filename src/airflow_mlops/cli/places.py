"""Places of tables, as the commands reach them."""

from __future__ import annotations


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
