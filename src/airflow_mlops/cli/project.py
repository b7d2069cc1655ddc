"""The folder of a project without an Airflow of its own: what ``run`` and ``start`` keep there is what all commands read."""

from __future__ import annotations

import sys
from pathlib import Path

_DOCTOR = "doctor.doctor.doctor"
_OTHERS = (
    "init.init",
    "spec.check",
    "spec.schema",
    "start.start",
    "catch_up.catch_up",
    _DOCTOR,
    "plan.plan",
    "run.run",
)
"""Commands that read no storage, that look at the deployment that is configured, or that choose for themselves."""


def choose(function: str) -> None:
    """Let a command use the folder that ``run`` or ``start`` has left in the working directory, if there is one.

    :param function: what the command calls, as a dotted path.
    """
    from airflow_mlops.local import home

    folder = home.of(Path("dags"))
    if not folder.is_dir():
        return
    if function.endswith(f".cli.{_DOCTOR}") and _is_unconfigured(folder):
        from airflow.configuration import AIRFLOW_HOME

        sourced = home.sourcing(folder)
        print(
            f"This looks at the Airflow of {AIRFLOW_HOME}, and not at what `airflow-mlops run` and `start` keep in {folder}"
            + (f": for that one, write `{sourced}` first." if sourced else "."),
            file=sys.stderr,
        )
    elif not function.endswith(tuple(f".cli.{name}" for name in _OTHERS)) and use(folder):
        sourced = home.sourcing(folder)
        print(
            f"In {folder}, as no [mlops] storage is configured."
            + (f" The program airflow is for its Airflow after `{sourced}`." if sourced else ""),
            file=sys.stderr,
        )


def use(folder: Path) -> bool:
    """Use the folder of a local Airflow as storage, unless another place is configured; tell whether it is used.

    An Airflow whose own DAG files are beside the folder has its storage where the configuration says, by default too.
    """
    from airflow_mlops import config
    from airflow_mlops.local import home

    if not _is_unconfigured(folder):
        return False
    config.use(storage=home.storage(folder), tracking_uri=home.tracking_uri(folder))
    return True


def _is_unconfigured(folder: Path) -> bool:
    from airflow.sdk import conf

    from airflow_mlops import config

    if not config.is_default("storage", "reports", "tracking_uri", "mlflow_conn_id"):
        return False
    return Path(conf.get("core", "dags_folder")).resolve().parent != folder.parent
