"""The demo: replay four months of New York flights through the loop, and show what was decided and why."""

from __future__ import annotations

import argparse
import fcntl
import shutil
import signal
import sys
import time
from contextlib import nullcontext
from pathlib import Path
from types import FrameType
from typing import IO

from rich.console import Console
from rich.markup import escape

from airflow_mlops.domain.facts.results import Action, PromotionDecision
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local import home as homes
from airflow_mlops.local import serve
from airflow_mlops.local.airflow import LocalAirflow, LocalAirflowError
from airflow_mlops.local.api import ApiError
from airflow_mlops.local.catch_up import CatchUp
from airflow_mlops.local.durations import Durations
from airflow_mlops.local.progress import follow, summarize
from airflow_mlops.reporting.verdicts import appearance

MODEL = "flight_delays"
LOCK = "demo.lock"
"""File that marks a folder as a demo's, and is locked while the demo runs."""
DURATIONS = "durations.json"
"""File with how long the last start took, which stays from one demo to the next."""


def main(arguments: list[str] | None = None) -> int:
    """Run the demo and return an exit code."""
    options = _parser().parse_args(arguments)
    console = Console()
    # SIGINT too: a shell has its background jobs ignore it.
    for stop in (signal.SIGINT, signal.SIGTERM):
        signal.signal(stop, _interrupt)
    try:
        return _run(options, console)
    except KeyboardInterrupt:
        console.print("\nStopped: everything that the demo started has ended.")
        return 130
    except (ApiError, OSError, ValueError) as error:
        failed = appearance("failed")
        console.print(f"[{failed.terminal}]{failed.sign} The demo could not go on.[/] {escape(str(error))}")
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
    at = serve.ports(home, options.port)
    mlops = homes.settings(home, at.mlflow)
    (home / "mlflow-port").write_text(str(at.mlflow))
    console.print(f"Starting Airflow in {escape(str(home))} (logs are in airflow/logs) …")
    with (
        serve.mail_page(home, at) if options.keep else nullcontext() as mailbox,
        LocalAirflow(
            home / "airflow",
            _mailing(options.dags, home / "dags") if mailbox else options.dags,
            plugins=Path("plugins").resolve(),
            port=at.airflow,
            settings=mlops | (serve.mail_settings(at) if mailbox else {}),
            durations=Durations(home / DURATIONS, lambda sentence: console.print(sentence, markup=False)),
        ) as airflow,
    ):
        console.print(
            f"Airflow is up after {time.monotonic() - began:.0f} s: {airflow.url}  (admin / {airflow.password})"
        )
        replay = CatchUp(airflow, MODEL, *span)
        replay.start()
        follow(replay, console)
        done = summarize(replay, console)
        console.print(f"The replay took {time.monotonic() - began:.0f} s after installation.")
        if options.keep:
            mlflow = serve.mlflow(airflow, home, at)
            promoted = [
                decision for decision in replay.decisions().values() if decision.action is Action.PROMOTED
            ]
            for what, page in _worth_opening(airflow.url, mlflow, mailbox, promoted).items():
                console.print(f"  {what:<24}{page}", markup=False, soft_wrap=True)
            console.print(
                f"Airflow stays up (admin / {airflow.password}). Ctrl-C stops it and MLflow.", markup=False
            )
            while True:
                airflow.check_alive()
                time.sleep(1)
        console.print("MLflow's UI on what is left in the folder: [bold]make ui[/bold]")
        # Nothing runs any more that could be lost.
        airflow.patience = 1.0
        return 0 if done else 1


def _mailing(dags: Path, copy: Path) -> Path:
    """Copy the DAG files, and have the spec mail, which costs each DAG a task: what is shown is there to be read."""
    shutil.copytree(dags, copy, ignore=shutil.ignore_patterns("__pycache__"))
    with (copy / "models" / f"{MODEL}.yaml").open("a") as spec:
        spec.write(
            "\nalerts: {email: [you@localhost], events: [failure, validation, health, promotion, approval]}\n"
        )
    return copy


def _worth_opening(
    airflow: str, mlflow: str, mailbox: str | None, promoted: list[PromotionDecision]
) -> dict[str, str]:
    """Return the pages that tell the story best."""
    pages = {
        "the decisions": f"{airflow}/dags/{MODEL}.train/runs",
        "the loop, by partition": f"{airflow}/dags/{MODEL}.monitor",
        "the versions": f"{mlflow}/#/models/{MODEL}",
    }
    if promoted:
        pages["the model card"] = f"{airflow}/mlops/reports/{MODEL}/{promoted[-1].partition}/model_card.html"
    return pages | {"the mails": mailbox or "are not caught: pip install airflow-mlops[local]"}


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
        elif path.name not in (LOCK, DURATIONS):
            path.unlink()
    return lock


if __name__ == "__main__":
    sys.exit(main())
