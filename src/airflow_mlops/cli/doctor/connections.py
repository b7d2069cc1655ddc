"""Whether the connections exist that the configuration and the specs name."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from airflow_mlops.cli.doctor.diagnosis import Diagnosis, failed, passed, skipped

if TYPE_CHECKING:
    from collections.abc import Iterator


def look() -> list[Diagnosis]:
    """Look for each connection, in the secrets backends of Airflow's processes."""
    from airflow.sdk.exceptions import AirflowNotFoundException

    from airflow_mlops import config
    from airflow_mlops.cli import connect
    from airflow_mlops.cli.doctor import models
    from airflow_mlops.hooks.mlflow import MlflowHook

    uses: dict[str, list[str]] = {}
    if config.mlflow_conn_id() != MlflowHook.default_conn_name:
        uses[config.mlflow_conn_id()] = ["[mlops] mlflow_conn_id"]
    for spec in models.specs().valid:
        named = set(_named(spec.model_dump(mode="json")))
        if spec.alerts.email:
            named.add(config.smtp_conn_id())
        for name in named:
            uses.setdefault(name, []).append(spec.name)
    lines = []
    for name, users in sorted(uses.items()):
        try:
            connect.connection(name)
        except AirflowNotFoundException:
            lines.append(
                failed(
                    "connections",
                    f"The connection {name!r} does not exist, and {', '.join(users)} name it",
                    "Tasks that need it fail",
                    f"airflow connections add {name} …, or AIRFLOW_CONN_{name.upper()} in the environment of tasks",
                )
            )
    if not uses:
        return [skipped("connections", "Neither the configuration nor a spec names a connection")]
    return lines or [
        passed("connections", f"All {len(uses)} that are named exist: {', '.join(sorted(uses))}")
    ]


def _named(value: Any) -> Iterator[str]:
    """Yield the connections in a spec, also those within addresses such as ``s3://conn@bucket``."""
    if isinstance(value, dict):
        if isinstance(value.get("conn_id"), str):
            yield value["conn_id"]
        elif isinstance(value.get("path"), str) and (match := re.match(r"\w+://([\w-]+)@", value["path"])):
            yield match[1]
        for part in value.values():
            yield from _named(part)
    elif isinstance(value, list):
        for part in value:
            yield from _named(part)
