"""``airflow mlops start``."""

from __future__ import annotations

import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator
    from types import FrameType

    from airflow_mlops.local.airflow import LocalAirflow


def start(args: Namespace) -> None:
    """Run an Airflow on a folder of DAG files, with MLflow and a mailbox, until Ctrl-C.

    :raises SystemExit: with the reason if it cannot start or stops by itself; with 130 after Ctrl-C.
    """
    from airflow_mlops.local import home
    from airflow_mlops.local.api import ApiError

    dags = Path(args.dags).resolve()
    if not dags.is_dir():
        raise SystemExit(f"There is no folder {dags}; name that of your DAG files with --dags.")
    folder = home.of(dags)
    # SIGINT too: a shell has its background jobs ignore it.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _interrupt)
    try:
        with home.locked(folder), _serving(dags, folder, args.port) as airflow:
            while True:
                airflow.check_alive()
                time.sleep(1)
    except BlockingIOError:
        running = home.running(folder)
        where = f": {running.url}  ({running.user} / {running.password})" if running else ", and is starting"
        raise SystemExit(f"An Airflow of {folder} is running already{where}") from None
    except (ApiError, OSError) as error:
        raise SystemExit(str(error)) from error
    except KeyboardInterrupt:
        print("\nStopped: everything that was started has ended. The next start goes on from here.")
        raise SystemExit(130) from None


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@contextmanager
def _serving(dags: Path, folder: Path, port: int | None) -> Iterator[LocalAirflow]:
    from airflow_mlops.cli import places
    from airflow_mlops.local import home, serve
    from airflow_mlops.local.airflow import LocalAirflow
    from airflow_mlops.local.durations import Durations

    models = places.models([dags]) or ["MODEL --from FIRST --to LAST"]

    def tell(sentence: str) -> None:
        print(sentence, flush=True)

    began = time.monotonic()
    at = serve.ports(folder, port)
    with serve.mail_page(folder, at) as mailbox:
        settings = {
            **{name: value for name, value in os.environ.items() if name.startswith(_OWN)},
            **home.settings(folder, at.mlflow),
            # What is new runs once its history has: unpaused, it would begin with the newest partition.
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
            **(serve.mail_settings(at) if mailbox else {}),
        }
        plugins = dags.parent / "plugins"
        tell(f"Starting Airflow on {dags}; its state and logs are in {folder}.")
        with LocalAirflow(
            folder / "airflow",
            dags,
            plugins=plugins if plugins.is_dir() else None,
            port=at.airflow,
            settings=settings,
            durations=Durations(folder / "durations.json", tell),
        ) as airflow:
            mlflow = serve.mlflow(airflow, folder, at)
            home.write(folder, home.Running(airflow.url, "admin", airflow.password))
            home.write_environment(folder, airflow.exports())
            tell(f"Up after {time.monotonic() - began:.0f} s:")
            tell(f"  Airflow  {airflow.url}  (admin / {airflow.password})")
            tell(f"  MLflow   {mlflow}")
            tell(f"  mails    {mailbox or 'are not caught: pip install airflow-mlops[local]'}")
            tell(
                "New DAGs are paused. To bring a model's history through them, and start them with it, in another terminal:\n"
                + "".join(f"  airflow-mlops catch-up {model}{_option(dags)}\n" for model in models)
                + "The program airflow, as mails name it, and airflow-mlops doctor are for this Airflow in a terminal after:\n"
                + f"  {home.sourcing(folder)}\n"
                + "Ctrl-C stops everything; what was done is kept."
            )
            yield airflow


def _option(dags: Path) -> str:
    """Return the option that names a folder of DAG files as one types it here; none for that of the default."""
    folder = os.path.relpath(dags)
    return "" if folder == "dags" else f" --dags {dags if folder.startswith('..') else folder}"


_OWN = ("AIRFLOW_CONN_", "AIRFLOW_VAR_")
"""Variables of the surrounding environment that the DAGs may need."""
