"""``airflow mlops rename-model``."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from airflow_mlops.domain.facts.renaming import ModelRename


def rename(args: Namespace) -> None:
    """Print what the renaming of a model changes, and rename it if told to.

    :raises SystemExit: if there is no such model, the new name is taken, or a spec still has the old one.
    """
    if args.rename and not (args.reason or "").strip():
        raise SystemExit("--reason is empty; say why, the journal of changes keeps it.")
    try:
        _rename(args)
    except (LookupError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(str(error)) from error


def _rename(args: Namespace) -> None:
    import getpass

    from airflow_mlops import config
    from airflow_mlops.cli import connect
    from airflow_mlops.cli.places import specs_of
    from airflow_mlops.runs import report_path
    from airflow_mlops.stages import rename as stage

    storage, client = config.storage(), connect.mlflow()
    planned = stage.plan(client, storage, args.model, args.to)
    pages, target = report_path(args.model), report_path(args.to)
    specs = [str(path) for path in specs_of(args.model, connect.find_code())]
    for line in _lines(planned, str(pages) if pages.exists() else "", specs):
        print(line)
    if not args.rename:
        print(
            "Nothing was renamed; --rename does it, once its DAGs are paused and its spec has the new name."
        )
        return
    if specs:
        raise SystemExit(f"Nothing was renamed: {specs[0]} has the old name, so its DAGs would begin anew.")
    stage.rename(client, storage, planned, by=getpass.getuser(), reason=args.reason.strip())
    if pages.exists():
        pages.fs.mv(pages.path, target.path, recursive=True)
    print(f"{args.model} is {args.to} now. Unpause its DAGs; Airflow's record of the former ones goes by:")
    for name in ("ingest", "score", "monitor", "train", "rollback"):
        print(f"  airflow dags delete {args.model}.{name} --yes")


def _lines(planned: ModelRename, pages: str, specs: list[str]) -> Iterator[str]:
    if planned.begun:
        yield "A renaming of it was cut off; this finishes it."
    if planned.tables:
        yield f"Tables that move: {', '.join(planned.tables)} ({planned.files:,} files)"
    if planned.versions:
        yield f"Registered model in MLflow: versions {', '.join(planned.versions)} with their aliases"
    if planned.experiment:
        yield f"Experiment in MLflow: {planned.experiment}"
    if planned.readers:
        yield f"Versions of other models that learned from its data, and are told its new place: {', '.join(planned.readers)}"
    if pages:
        yield f"Report pages that move: {pages}"
    for path in specs:
        yield f"Give the spec the new name yourself, and whatever else names the model: {path}"
    yield (
        f"Yours to change: what loads models:/{planned.model}@champion, specs with delta: {planned.model}, and the column model "
        "of SQL outputs."
    )
