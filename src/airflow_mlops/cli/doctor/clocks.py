"""Clocks and time zones: this machine's against those of the servers, the deployment's against those of the specs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from airflow_mlops.cli.doctor.answers import ask
from airflow_mlops.cli.doctor.diagnosis import Diagnosis, failed, passed, skipped, warned

FAR = 60.0
"""Seconds by which clocks may differ."""


def look() -> list[Diagnosis]:
    """Hold this machine's clock to those of Airflow's database, of the storage and of MLflow."""
    ahead: dict[str, float] = {}
    for name, clock in (("Airflow's database", _database), ("the storage", _storage), ("MLflow", _mlflow)):
        # What cannot be reached has a line of its own already.
        with suppress(Exception):
            if (there := clock()) is not None:
                ahead[name] = (there - datetime.now(UTC)).total_seconds()
    return compare(ahead)


def compare(ahead: Mapping[str, float]) -> list[Diagnosis]:
    """Judge differences of clocks.

    :param ahead: by how many seconds each clock is ahead of this machine's.
    """
    if not ahead:
        return [skipped("clock", "No other clock could be read")]
    lines = [
        failed(
            "clock",
            f"The clock of {name} is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} this machine's",
            "Decisions, labels and reports are put into another order than they had, and an object store may refuse requests",
            "let both be set by the same time server (NTP)",
        )
        for name, seconds in ahead.items()
        if abs(seconds) > FAR
    ]
    return lines or [passed("clock", f"This machine's is within {FAR:.0f} s of {', '.join(ahead)}")]


def _database() -> datetime | None:
    from airflow.utils.session import create_session  # noqa: TID251 - a command is no task, and has the database
    from sqlalchemy import func, select

    with create_session() as session:
        is_mysql = session.get_bind().dialect.name == "mysql"
        now = session.scalar(select(func.utc_timestamp() if is_mysql else func.current_timestamp()))
    return now if now is None or now.tzinfo else now.replace(tzinfo=UTC)


def _storage() -> datetime | None:
    """Return when a file that is written now was written: by the clock of the server, on a disk of the network."""
    import os

    from airflow_mlops import config

    storage = config.storage()
    if storage.startswith("s3://"):
        answer = ask(os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com")
        return answer.date if answer else None
    if not storage.startswith("file://"):
        return None
    with tempfile.NamedTemporaryFile(dir=Path(storage.removeprefix("file://"))) as file:
        return datetime.fromtimestamp(os.stat(file.name).st_mtime, UTC)


def _mlflow() -> datetime | None:
    from airflow_mlops.cli import connect

    address = connect.mlflow_address()
    answer = ask(f"{address}/version") if address.startswith(("http://", "https://")) else None
    return answer.date if answer else None


def zones() -> list[Diagnosis]:
    """Hold the time zones of specs to that of the deployment."""
    from airflow.sdk import conf

    from airflow_mlops.cli.doctor import models

    default = conf.get("core", "default_timezone")
    return compare_zones(default, {spec.name: spec.timezone for spec in models.specs().valid})


def compare_zones(default: str, of_specs: Mapping[str, str]) -> list[Diagnosis]:
    """Judge time zones.

    :param default: ``[core] default_timezone``.
    :param of_specs: time zone of each spec.
    """
    if not of_specs:
        return [skipped("time zones", f"There is no spec to hold to [core] default_timezone = {default}")]
    utc = [name for name, zone in of_specs.items() if zone == "UTC"]
    if default.lower() != "utc" and utc:
        return [
            warned(
                "time zones",
                f"[core] default_timezone is {default}, and the partitions of {', '.join(utc)} begin at midnight UTC",
                f"Rows of the first hours of a day in {default} may lie in another partition than people think, and times "
                "without an offset are read as UTC",
                f"write timezone: {default} in the spec, before its first partition is ingested, or leave it if UTC is meant",
            )
        ]
    zones = ", ".join(f"{name}: {zone}" for name, zone in of_specs.items())
    return [
        passed(
            "time zones",
            f"Partitions begin by the clocks of {zones}; schedules and backfills of each follow them",
        )
    ]
