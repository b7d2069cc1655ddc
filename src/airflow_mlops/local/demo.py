"""The demo: replay four months of New York flights through the loop, and show what was decided and why."""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO

from rich.console import Console
from rich.markup import escape

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local import summary
from airflow_mlops.local.airflow import LocalAirflow, LocalAirflowError, free_port
from airflow_mlops.local.catch_up import CatchUp
from airflow_mlops.local.progress import follow

MODEL = "flight_delays"
LOCK = "demo.lock"
"""File that marks a folder as a demo's, and is locked while the demo runs."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return an exit code."""
    options = _parser().parse_args(arguments)
    console = Console()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return _run(options, console)
    except KeyboardInterrupt:
        console.print("\nStopped: everything that the demo started has ended.")
        return 130
    except (LocalAirflowError, OSError, ValueError) as error:
        console.print(f"[red]The demo could not go on.[/red] {escape(str(error))}")
        return 1


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave Airflow running until Ctrl-C")
    parser.add_argument("--from", dest="first", default="2013-01", help="first month (default: %(default)s)")
    parser.add_argument("--to", dest="last", default="2013-04", help="last month (default: %(default)s)")
    parser.add_argument("--port", type=int, help="port of the Airflow UI (default: a free one)")
    parser.add_argument(
        "--home", type=Path, default=Path(".demo"), help="folder for all state (default: %(default)s)"
    )
    parser.add_argument("--dags", type=Path, default=Path("dags"), help="folder of the DAG files")
    return parser


def _run(options: argparse.Namespace, console: Console) -> int:
    began = time.monotonic()
    home: Path = options.home.resolve()
    if not options.dags.is_dir():
        raise LocalAirflowError(
            f"There are no DAG files in {options.dags.resolve()}; run the demo in a checkout."
        )
    span = Partition.parse(options.first, "month"), Partition.parse(options.last, "month")
    if span[0] > span[1]:
        raise LocalAirflowError(f"--from {span[0]} is after --to {span[1]}.")
    with _begin_anew(home):
        return _replay(options, console, home, span, began)


def _replay(
    options: argparse.Namespace, console: Console, home: Path, span: tuple[Partition, Partition], began: float
) -> int:
    settings = demo_settings(home)
    (home / "mlflow-port").write_text(settings["AIRFLOW__MLOPS__MLFLOW_URL"].rpartition(":")[2])
    console.print(f"Starting Airflow in {escape(str(home))} (logs are in airflow/logs) …")
    with LocalAirflow(
        home / "airflow",
        options.dags,
        plugins=Path("plugins").resolve(),
        port=options.port,
        settings=settings,
    ) as airflow:
        console.print(
            f"Airflow is up after {time.monotonic() - began:.0f} s: {airflow.url}  (admin / {airflow.password})"
        )
        replay = CatchUp(airflow, MODEL, *span)
        replay.start()
        follow(replay, console)
        console.print(summary.table(airflow, home / "storage", MODEL, replay.partitions))
        for run in replay.failures():
            for line in replay.errors(run):
                console.print(f"[red]✗[/red] {escape(line)}")
        console.print(f"The replay took {time.monotonic() - began:.0f} s after installation.")
        console.print("MLflow's UI on what is left in the folder: [bold]make ui[/bold]")
        if options.keep:
            console.print(f"Airflow stays up: {airflow.url}  (admin / {airflow.password}). Ctrl-C stops it.")
            while True:
                airflow.check_alive()
                time.sleep(1)
        return 1 if replay.failures() else 0


def _begin_anew(home: Path) -> IO[str]:
    """Empty the folder, so that each demo shows the whole story, and return the file that is locked while it runs."""
    if home.is_dir() and any(home.iterdir()) and not (home / LOCK).exists():
        raise LocalAirflowError(f"{home} holds something else than a demo; name another folder, or empty it.")
    home.mkdir(parents=True, exist_ok=True)
    lock = (home / LOCK).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LocalAirflowError(f"A demo runs in {home} already; stop it with Ctrl-C first.") from None
    for path in home.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
    return lock


def demo_settings(home: Path) -> dict[str, str]:
    """Return the ``[mlops]`` options of a demo in a folder."""
    return {
        "AIRFLOW__MLOPS__STORAGE": f"file://{home}/storage",
        "AIRFLOW__MLOPS__TRACKING_URI": f"sqlite:///{home}/mlflow.db",
        "AIRFLOW__MLOPS__MLFLOW_URL": f"http://127.0.0.1:{free_port()}",
        "AIRFLOW__MLOPS__PRELOAD": "True",
    }


if __name__ == "__main__":
    sys.exit(main())
