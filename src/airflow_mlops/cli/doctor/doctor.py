"""``airflow mlops doctor``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from airflow_mlops.cli import terminal
from airflow_mlops.cli.doctor import (
    clocks,
    configuration,
    connections,
    dags,
    data,
    installation,
    mail,
    registry,
    storage,
    versions,
)
from airflow_mlops.cli.doctor.examination import Check, examine
from airflow_mlops.cli.doctor.finding import Status

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_mlops.cli.doctor.finding import Finding

CHECKS = (
    Check("versions", versions.look, 30),
    Check("installation", installation.look, 60),
    Check("configuration", configuration.look, 30),
    Check("disks", storage.disks, 20),
    Check("storage", storage.look, 90),
    Check("pages", storage.pages, 60),
    Check("MLflow", registry.look, 90),
    Check("connections", connections.look, 60),
    Check("mail", mail.look, 40),
    Check("DAG files", dags.files, 120),
    Check("DAGs", dags.look, 60),
    Check("data", data.look, 120),
    Check("preload", configuration.preload, 30),
    Check("time zones", clocks.zones, 30),
    Check("clock", clocks.look, 30),
)
"""What the doctor looks at, in order: what others rest on comes first."""


def doctor(args: Namespace) -> None:
    """Print a line for each thing that a deployment needs: how it is, what that means, what to do.

    :raises SystemExit: with code 1 if something failed.
    """
    # Loaded once, before the processes of the checks are forked.
    import airflow.sdk  # noqa: F401

    findings: list[Finding] = []
    for check in CHECKS:
        seen = examine(check)
        findings += seen
        if not args.json:
            for finding in seen:
                print(terminal.wrapped(str(finding)), flush=True)
    is_healthy = all(finding.status is not Status.FAIL for finding in findings)
    if args.json:
        print(
            json.dumps(
                {"healthy": is_healthy, "findings": [finding.to_dict() for finding in findings]}, indent=2
            )
        )
    else:
        print(_summary(findings))
    if not is_healthy:
        sys.exit(1)


def _summary(findings: Sequence[Finding]) -> str:
    counts = {status: sum(finding.status is status for finding in findings) for status in Status}
    return ", ".join(f"{count} {status}" for status, count in counts.items())
