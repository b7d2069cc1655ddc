"""``airflow mlops doctor``."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from airflow_mlops.cli import terminal
from airflow_mlops.cli.doctor import (
    clocks,
    cluster,
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
from airflow_mlops.cli.doctor.diagnosis import Condition
from airflow_mlops.cli.doctor.examination import Examination, examine

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Sequence

    from airflow_mlops.cli.doctor.diagnosis import Diagnosis

CHECKS = (
    Examination("versions", versions.look, 30),
    Examination("installation", installation.look, 60),
    Examination("configuration", configuration.look, 30),
    Examination("disks", storage.disks, 20),
    Examination("storage", storage.look, 90),
    Examination("pages", storage.pages, 60),
    Examination("MLflow", registry.look, 90),
    Examination("Dask", cluster.look, 60),
    Examination("connections", connections.look, 60),
    Examination("mail", mail.look, 40),
    Examination("DAG files", dags.files, 120),
    Examination("DAGs", dags.look, 60),
    Examination("data", data.look, 120),
    Examination("preload", configuration.preload, 30),
    Examination("time zones", clocks.zones, 30),
    Examination("clock", clocks.look, 30),
)
"""What the doctor looks at, in order: what others rest on comes first."""


def doctor(args: Namespace) -> None:
    """Print a line for each thing that a deployment needs: how it is, what that means, what to do.

    :raises SystemExit: with code 1 if something failed.
    """
    # Loaded once, before the processes of the checks are forked.
    import airflow.sdk  # noqa: F401

    diagnoses: list[Diagnosis] = []
    for check in CHECKS:
        seen = examine(check)
        diagnoses += seen
        if not args.json:
            for diagnosis in seen:
                print(terminal.wrapped(str(diagnosis)), flush=True)
    is_healthy = all(diagnosis.status is not Condition.FAIL for diagnosis in diagnoses)
    if args.json:
        print(
            json.dumps(
                {"healthy": is_healthy, "diagnoses": [diagnosis.to_dict() for diagnosis in diagnoses]},
                indent=2,
            )
        )
    else:
        print(_summary(diagnoses))
    if not is_healthy:
        sys.exit(1)


def _summary(diagnoses: Sequence[Diagnosis]) -> str:
    counts = {status: sum(diagnosis.status is status for diagnosis in diagnoses) for status in Condition}
    return ", ".join(f"{count} {status}" for status, count in counts.items())
