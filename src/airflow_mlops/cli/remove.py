"""``airflow mlops remove-model``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_mlops.domain.counts import counted

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from airflow.sdk import ObjectStoragePath

    from airflow_mlops.domain.facts.removal import ModelRemoval

_STAGES = ("ingest", "score", "monitor", "train", "rollback")


def remove(args: Namespace) -> None:
    """Print what the removal of a model takes, and remove it if told to.

    :raises SystemExit: if there is no such model, or its spec is still beside the DAG files.
    """
    if args.delete and not (args.reason or "").strip():
        raise SystemExit("--reason is empty; say why, the journal of changes keeps it.")
    try:
        _remove(args)
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from error


def _remove(args: Namespace) -> None:
    import getpass

    from airflow_mlops import config
    from airflow_mlops.cli import connect
    from airflow_mlops.cli.places import specs_of
    from airflow_mlops.stages import remove as stage

    storage, client = config.storage(), connect.mlflow()
    planned = stage.plan(client, storage, args.model)
    pages = _pages(args.model)
    if planned.nothing and not pages.exists():
        raise SystemExit(f"There is nothing of {args.model!r}, neither at {storage} nor in MLflow.")
    specs = [str(path) for path in specs_of(args.model, connect.find_code())]
    for line in _lines(planned, pages, specs):
        print(line)
    if not args.delete:
        print("Nothing was removed; --delete does it, once its DAGs are paused and its spec is gone.")
        return
    if specs:
        raise SystemExit(f"Nothing was removed: with {specs[0]} its DAGs would begin anew.")
    stage.remove(client, storage, planned, by=getpass.getuser(), reason=args.reason.strip())
    if pages.exists():
        pages.rmdir(recursive=True)
    print(f"{args.model} was removed. What Airflow remembers of its DAGs goes by:")
    for name in _STAGES:
        print(f"  airflow dags delete {args.model}.{name} --yes")
    if planned.experiment and not planned.artifacts:
        print(f"Its runs and artifacts wait in MLflow: mlflow gc --experiment-ids {planned.experiment}")


def _lines(planned: ModelRemoval, pages: ObjectStoragePath, specs: list[str]) -> Iterator[str]:
    for name, rows in planned.tables.items():
        yield f"Table {name}: {'cannot be read' if rows is None else counted(rows, 'row')}"
    yield f"Files of its tables: {planned.files:,}, {planned.size / 1e6:,.1f} MB"
    if planned.versions:
        serves = f"; version {planned.champion} is champion" if planned.champion else ""
        yield f"Registered model in MLflow: versions {', '.join(planned.versions)}{serves}"
    if planned.experiment:
        yield f"Experiment in MLflow: {planned.experiment}, with {planned.runs:,} runs"
    if planned.artifacts:
        yield f"Artifacts of its runs: {planned.artifacts}"
    if pages.exists():
        yield f"Report pages: {pages}"
    if planned.readers:
        yield f"Cannot be trained again afterwards, as they learned from its data: {', '.join(planned.readers)}"
    for path in specs:
        yield f"Remove the spec yourself, and what builds DAGs of it: {path}"


def _pages(model: str) -> ObjectStoragePath:
    from airflow_mlops.runs import report_path

    return report_path(model)
