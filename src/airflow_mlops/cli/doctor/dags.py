"""DAG files and DAGs: whether they can be parsed, are seen, run, and are not paused."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.cli.doctor.diagnosis import Diagnosis, brief, failed, passed, skipped, warned
from airflow_mlops.domain.spec.defaults import NEWEST, newer
from airflow_mlops.domain.spec.predicted import PredictionSpec
from airflow_mlops.reporting.notes import TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from sqlalchemy.orm import Session

_SERVICES = {
    "SchedulerJob": ("scheduler", "No run starts"),
    "DagProcessorJob": ("dag-processor", "New and changed DAG files are not seen"),
    "TriggererJob": ("triggerer", "Tasks that wait for data, for a decision or for approval wait for ever"),
}


def files() -> list[Diagnosis]:
    """Parse the DAG files as the DAG processor does, and read the specs beside them.

    What the processor itself has recorded is of its last pass, and of none before it was ever started.
    """
    from airflow_mlops.cli.doctor import models

    lines: list[Diagnosis] = []
    for folder in models.folders():
        lines += parse(folder) if folder.is_dir() else [_missing(folder)]
    lines += [
        failed(
            "specs",
            brief(problem),
            "Its DAGs cannot be built",
            "correct it; airflow mlops spec check FILE says all",
        )
        for problem in models.specs().problems
    ]
    lines += [
        _former(spec) for spec in models.specs().valid if isinstance(spec, PredictionSpec) and newer(spec)
    ]
    return lines


def _former(spec: PredictionSpec) -> Diagnosis:
    keys = ", ".join(newer(spec))
    return warned(
        "specs",
        f"{spec.name} has the defaults of edition {spec.defaults}; of the newest, {NEWEST}, it would get {keys}",
        "It alarms, retrains and promotes as before they came; docs/how-it-decides.md says what they are worth",
        f"write defaults: {NEWEST} into the spec, and let airflow mlops plan say what that changes",
    )


def _missing(folder: Path) -> Diagnosis:
    return failed(
        "DAG files",
        f"The folder {folder} is not there",
        "Airflow sees no DAG",
        "make it, or correct [core] dags_folder or [dag_processor] dag_bundle_config_list",
    )


def parse(folder: Path) -> list[Diagnosis]:
    """Parse the DAG files of a folder."""
    from airflow.dag_processing.dagbag import BundleDagBag

    bag = BundleDagBag(folder, bundle_path=folder)
    ours = sorted(name for name, dag in bag.dags.items() if TAG in (dag.tags or ()))
    lines = [
        failed(
            "DAG files",
            f"{path} cannot be imported: {brief(_last_line(trace))}",
            "Its DAGs are missing, or stay as they were",
            "correct it; airflow dags list-import-errors shows where it fails",
        )
        for path, trace in sorted(bag.import_errors.items())
    ]
    lines += [
        warned(
            "DAG files",
            f"{path} imports airflow_mlops, and Airflow skips it",
            "Its safe mode reads only files that hold the words airflow and dag (or asset)",
            "write a word such as DAGs into its docstring, or set [core] dag_discovery_safe_mode = False",
        )
        for path in _left_out(folder)
    ]
    if lines:
        return lines
    if not bag.dags:
        return [
            warned(
                "DAG files",
                f"{folder} holds no DAG",
                "Nothing runs",
                "put a DAG file there: README shows one",
            )
        ]
    return [
        passed("DAG files", f"{folder} can be parsed: {len(bag.dags)} DAGs, {len(ours)} of them of models")
    ]


def _last_line(trace: str) -> str:
    lines = trace.strip().splitlines()
    return lines[-1] if lines else "without a message"


def _left_out(folder: Path) -> list[Path]:
    from airflow.sdk import conf
    from airflow.utils.file import might_contain_dag

    is_safe = conf.getboolean("core", "dag_discovery_safe_mode")
    return [
        path
        for path in sorted(folder.rglob("*.py"))
        if b"continuous_training" in path.read_bytes() and not might_contain_dag(str(path), is_safe)
    ]


def look() -> list[Diagnosis]:
    """Ask Airflow's database which services are alive, and which DAGs of models are paused or not seen."""
    from airflow.utils.session import create_session  # noqa: TID251 - a command is no task, and has the database
    from sqlalchemy.exc import SQLAlchemyError

    from airflow_mlops.cli.doctor import models

    names = [spec.name for spec in models.specs().valid]
    try:
        with create_session() as session:
            return [*services(_alive(session)), *states(_paused(session), names)]
    except SQLAlchemyError as error:
        return [
            failed(
                "Airflow's database",
                f"It cannot be read: {brief(getattr(error, 'orig', None) or error)}",
                "Airflow cannot run",
                "airflow db migrate, or correct [database] sql_alchemy_conn",
            )
        ]


def _alive(session: Session) -> set[str]:
    from airflow.jobs.job import Job
    from sqlalchemy import select

    jobs = session.scalars(select(Job).where(Job.job_type.in_(_SERVICES), Job.state == "running"))
    return {str(job.job_type) for job in jobs if job.is_alive()}


def services(alive: Iterable[str]) -> list[Diagnosis]:
    """Name the services that do not run.

    :param alive: types of jobs with a fresh heartbeat.
    """
    dead = [job for job in _SERVICES if job not in set(alive)]
    if len(dead) == len(_SERVICES):
        return [
            warned(
                "services",
                "Neither scheduler nor DAG processor nor triggerer has a fresh heartbeat",
                "Nothing runs; the rest of this report is of what was there last",
                "start Airflow, if it should run",
            )
        ]
    lines = [
        failed(
            "services",
            f"The {_SERVICES[job][0]} has no fresh heartbeat",
            _SERVICES[job][1],
            f"airflow {_SERVICES[job][0]}",
        )
        for job in dead
    ]
    return lines or [passed("services", "Scheduler, DAG processor and triggerer are alive")]


def _paused(session: Session) -> dict[str, bool]:
    from airflow.models.dag import DagModel, DagTag  # noqa: TID251 - a command is no task, and has the database
    from sqlalchemy import select

    of_models = select(DagTag.dag_id).where(DagTag.name == TAG)
    rows = session.execute(
        select(DagModel.dag_id, DagModel.is_paused).where(
            DagModel.dag_id.in_(of_models), DagModel.is_stale.is_(False)
        )
    )
    return {dag_id: bool(is_paused) for dag_id, is_paused in rows}


def states(paused: Mapping[str, bool], names: Sequence[str]) -> list[Diagnosis]:
    """Name the DAGs of models that are paused, and the models that Airflow has no DAGs of.

    :param paused: whether it is, of each DAG of a model that Airflow has.
    :param names: of the models that specs describe.
    """
    if not paused and not names:
        return [skipped("DAGs", "There is no model yet")]
    lines = []
    for name in sorted({dag_id.rpartition(".")[0] for dag_id in paused} | set(names)):
        stages = {
            dag_id: is_paused for dag_id, is_paused in paused.items() if dag_id.rpartition(".")[0] == name
        }
        off = sorted(dag_id for dag_id, is_paused in stages.items() if is_paused)
        if not stages:
            lines.append(
                warned(
                    "DAGs",
                    f"There is a spec of {name}, and Airflow has no DAGs of it",
                    "It never runs",
                    "call continuous_training for it in a DAG file, and see that the DAG processor runs",
                )
            )
        elif off:
            lines.append(
                warned(
                    "DAGs",
                    f"Paused: {', '.join(off)}",
                    "Their runs, those of a backfill too, stay queued until they are unpaused",
                    f"airflow dags unpause {off[0]}" + (" … and the others" if off[1:] else ""),
                )
            )
        else:
            lines.append(passed("DAGs", f"No DAG of {name} is paused"))
    return lines
