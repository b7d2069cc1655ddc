"""``airflow mlops run``."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import Namespace

    from rich.console import Console

    from airflow_mlops.domain.facts.loop import LoopStep
    from airflow_mlops.domain.partitions import Partition
    from airflow_mlops.domain.spec.dataset import DataSpec
    from airflow_mlops.stages.loop.plan import DataPlan

FAILED = 1
"""Exit code if a partition was left out or a training failed."""
WAITING = 3
"""Exit code if a person has to decide before the loop can go on."""


def run(args: Namespace) -> None:
    """Take the partitions of a source through the loop, and print what was decided.

    :raises SystemExit: with code 1 if something failed, and 3 if a person has to decide.
    """
    from rich.console import Console

    from airflow_mlops.cli.places import refuse_unwritable

    console = Console(stderr=True)
    try:
        dags = place(args)
        if dags is not None:
            _make(dags)
        refuse_unwritable()
        spec, file = load(args.spec)
        log_to(console, spec)
        plan = _plan(spec, file.parent)
        partitions = _partitions(plan, args, console)
        from airflow_mlops.cli.stage_progress import progress
        from airflow_mlops.stages.loop import loop

        with progress(console, partitions, loop.stages_of(plan)) as begin:
            steps = list(loop.run(plan, partitions, begin))
    except KeyboardInterrupt:
        raise SystemExit("Stopped; the same command goes on from here.") from None
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from error
    _print(plan, steps, as_json=args.json)
    if steps and dags is not None and not args.json:
        _print_next(dags)
    if code := _code(steps):
        raise SystemExit(code)


def place(args: Namespace) -> Path | None:
    """Set the options of this process for a storage of its own; return the folder of DAG files if it is the project's.

    :raises ValueError: if the MLflow that belongs to it is not named.
    """
    from airflow_mlops import config

    if args.storage is None:
        if args.tracking_uri is not None:
            raise ValueError("--tracking-uri needs --storage: a ledger and its MLflow belong together.")
        return _project(args.spec)
    folder = None if "://" in args.storage else Path(args.storage).resolve()
    # Not as_uri(), which writes a blank as %20: readers take that for another folder.
    storage = args.storage if folder is None else f"file://{folder}"
    tracking = args.tracking_uri
    if tracking is None:
        if folder is None and not storage.startswith("file:///"):
            raise ValueError(
                f"--tracking-uri is missing: MLflow has no database in {storage}; name its MLflow."
            )
        tracking = f"sqlite:///{storage.removeprefix('file://')}/mlflow.db"
    config.use(storage=storage, reports="", tracking_uri=tracking)
    return None


def _project(name: str) -> Path | None:
    """Use what is kept beside the folder of DAG files that a spec is in, unless an Airflow has it; return the folder."""
    from airflow_mlops.cli import project
    from airflow_mlops.local import home

    path = Path(name).resolve()
    if not path.is_file():
        return None
    dags = path.parent.parent if path.parent.name == "models" else path.parent
    return dags if project.use(home.of(dags)) else None


def _make(dags: Path) -> None:
    from airflow_mlops.local import home

    home.make(home.of(dags))


def load(name: str) -> tuple[DataSpec, Path]:
    """Read a spec, and let its functions be imported as a DAG file beside it imports them.

    :param name: path of the spec, or name of a model whose spec lies beside the DAG files.
    :return: the spec and its file.
    """
    from airflow_mlops.cli.connect import find_code
    from airflow_mlops.cli.replay import find_spec
    from airflow_mlops.domain.spec.specs import read

    if Path(name).is_file():
        path = Path(name).resolve()
        sys.path += [str(path.parent), str(path.parent.parent)]
    else:
        path = find_spec(name, find_code())
    return read(path), path


def _plan(spec: DataSpec, folder: Path) -> DataPlan:
    from airflow_mlops import config
    from airflow_mlops.cli.connect import mlflow
    from airflow_mlops.cli.rollback import person
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.domain.spec.monitoring import MonitoringSpec
    from airflow_mlops.domain.spec.predicted import PredictionSpec
    from airflow_mlops.hooks import outputs
    from airflow_mlops.hooks.mlflow import MlflowHook
    from airflow_mlops.hooks.sources import from_spec
    from airflow_mlops.runs import write_report
    from airflow_mlops.stages.loop.plan import DataPlan, LoopPlan, WatchPlan

    common: dict[str, Any] = {
        "source": from_spec(spec.source),
        "storage": config.storage(),
        "write": write_report,
        "folder": folder,
    }
    if not isinstance(spec, PredictionSpec):
        return DataPlan(spec=spec, **common)
    common["labels"] = None if spec.labels.source is None else from_spec(spec.labels.source)
    if isinstance(spec, MonitoringSpec):
        return WatchPlan(spec=spec, **common)
    assert isinstance(spec, ModelSpec)
    return LoopPlan(
        spec=spec,
        client=mlflow(),
        outputs=[outputs.from_spec(output) for output in spec.score.outputs],
        actor=person(),
        artifacts=MlflowHook().artifact_location(spec.name),
        dask=config.dask_scheduler() or None,
        **common,
    )


def _partitions(plan: DataPlan, args: Namespace, console: Console) -> list[Partition]:
    """Return the partitions to take through the loop: those of the source that are still to be decided."""
    from airflow_mlops.cli.span import present as partitions_of
    from airflow_mlops.stages.loop import loop

    present = list(partitions_of(plan.spec, plan.source, args.first, args.last))
    if not present:
        where = plan.source.describe(None)
        raise LookupError(
            f"There is no partition between {args.first or 'the first'} and {args.last or 'the last'} in {where}."
        )
    partitions, late = loop.undecided(plan, present)
    if late:
        names = ", ".join(partition.key for partition in late[:5])
        more = f" and {len(late) - 5} more" if len(late) > 5 else ""
        text = f"{names}{more}: a later partition has been decided already, so that nothing is decided on them any more"
        if not partitions:
            raise LookupError(f"{text}.")
        from airflow_mlops.reporting.verdicts import WARN, appearance

        warning = appearance(WARN)
        console.print(f"{warning.sign} Left out {text}.", style=warning.terminal, highlight=False)
    if not partitions and not late:
        done = {"train": "decided", "monitor": "judged"}.get(loop.stages_of(plan)[-1], "published")
        console.print(f"Nothing to do: {present[0]} to {present[-1]} are {done}.", highlight=False)
    return partitions


def log_to(console: Console, spec: DataSpec) -> None:
    """Show warnings above the progress bar, in place of all that Airflow's tasks log to the output."""
    from rich.logging import RichHandler

    from airflow_mlops.domain.spec.model import ModelSpec

    if isinstance(spec, ModelSpec):
        import mlflow  # noqa: F401 - sets up its own log, which tells of each table that it makes

    handler = RichHandler(console=console, show_time=False, show_path=False, show_level=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler], force=True)
    logging.getLogger("mlflow").setLevel(logging.WARNING)
    # It warns of an environment without pip, such as one of uv.
    logging.getLogger("mlflow.utils.environment").setLevel(logging.ERROR)


def _print(plan: DataPlan, steps: Sequence[LoopStep], *, as_json: bool) -> None:
    from rich.console import Console
    from rich.text import Text

    from airflow_mlops.domain.checks import Verdict
    from airflow_mlops.domain.spec.model import ModelSpec
    from airflow_mlops.domain.spec.monitoring import MonitoringSpec
    from airflow_mlops.local.decisions import DataTable, DecisionTable, stories
    from airflow_mlops.reporting.verdicts import appearance

    spec = plan.spec
    if as_json:
        facts = [step.to_dict() for step in steps]
        print(json.dumps({"model": spec.name, "storage": plan.storage, "partitions": facts}, indent=2))
        return
    if not steps:
        return
    console = Console()
    failed, waits = appearance("failed"), appearance("waiting")
    keys = [step.partition for step in steps]
    partition_stories = stories(plan.storage, spec.name, keys)
    if isinstance(spec, ModelSpec | MonitoringSpec):
        decides = isinstance(spec, ModelSpec)
        console.print(DecisionTable(spec.name, spec.metric.name, partition_stories, decides))
    else:
        console.print(DataTable(spec.name, partition_stories))
    for step in steps:
        is_in_table = step.decision is not None or (
            step.validation and step.validation.verdict is Verdict.FAIL
        )
        if step.problem and not is_in_table:
            problem = Text.assemble((f"{failed.sign} {step.partition}: ", failed.terminal), step.problem)
            # In a file or a pipe it is one line, with paths that can be copied.
            console.print(problem, soft_wrap=not console.is_terminal)
    for step in steps:
        if step.waiting:
            console.print()
            console.print(
                Text.assemble((f"{waits.sign} Waiting for a person: ", waits.terminal), step.waiting)
            )
            console.print(
                f"Decide it in Airflow: the DAG {spec.name}.train asks at {step.partition}. Or take the approval out of "
                "the spec, and run this again.",
                highlight=False,
            )


def _print_next(dags: Path) -> None:
    from airflow_mlops.local import home

    folder = os.path.relpath(dags)
    where = "" if folder == "dags" else f" --dags {folder}"
    print(
        f"\nIt is kept in {os.path.relpath(home.of(dags))}. Airflow and MLflow show it, and go on from there:"
    )
    print(f"  airflow-mlops start{where}")


def _code(steps: Sequence[LoopStep]) -> int:
    if any(step.waiting for step in steps):
        return WAITING
    return FAILED if any(step.problem for step in steps) else 0
