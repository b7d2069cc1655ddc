"""The context of a task run: its partition, its dataset, and the reports and facts that it leaves."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_mlops import config
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.exceptions import TableMissing, UnknownPartition
from airflow_mlops.hooks.mlflow import MlflowHook
from airflow_mlops.learning.labels import labelled
from airflow_mlops.reporting import notes
from airflow_mlops.reporting.words import line
from airflow_mlops.stages.score import score
from airflow_mlops.stores import disks
from airflow_mlops.stores.tables import places, tables

if TYPE_CHECKING:
    from airflow.sdk import Context, ObjectStoragePath

    from airflow_mlops.domain.checks import Fact
    from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
    from airflow_mlops.stores.registry.client import Client

log = logging.getLogger(__name__)

FACTS = "mlops_facts"
"""XCom key of the facts that a task states for alerts: a list of statements."""

_READABLE = 64 << 20

Request = TypeVar("Request", bound=Section)


def table_uri(name: str, table: str) -> str:
    """Return the URI of one of a dataset's tables under ``[mlops] storage``.

    :raises PlaceRefused: if the name is none that a spec could have.
    """
    return tables.uri_of(config.storage(), name, table)


def partition_of(context: Context, explicit: str | None, grain: str) -> Partition:
    """Return the partition of a run.

    :param explicit: key that was set by hand; None means the run's ``partition_key``.
    :raises UnknownPartition: if neither names a partition, or the key is not one of the grain.
    """
    key = explicit or context.get("partition_key")
    if not key:
        raise UnknownPartition(
            "This run has no partition key. Schedule the DAG with CronPartitionTimetable, start it by a backfill or over the "
            "REST API with a partition_key (airflow dags test and airflow dags trigger have none), or pass partition= to the "
            "operator."
        )
    return Partition.parse(key, grain)


def dataset_of(context: Context, model: str, explicit: str | None = None) -> DatasetVersion:
    """Return the published dataset version of a run: that of its partition, or the latest without a partition.

    A run of a partition sees the table as it was when that partition was published, any other run sees all of it.

    :raises TableMissing: if nothing was published.
    """
    uri = table_uri(model, "data")
    key = explicit or context.get("partition_key")
    dataset = tables.published(uri, key) if key else tables.latest(uri)
    if dataset is None:
        what = f"partition {key}" if key else "data"
        raise TableMissing(f"No {what} of {model!r} has been published at {uri}; run {model}.ingest first.")
    return dataset if key else dataset.model_copy(update={"version": tables.open_table(uri).version()})


def with_labels(dataset: DatasetVersion, model: str, target: str | None) -> DatasetVersion:
    """Pin a dataset version to the labels in the model's table of labels, as of its partition.

    :param target: column of that table with the label; None leaves the version as it is, with the label in its data.
    """
    if target is None or dataset.labels is not None:
        return dataset
    return labelled.with_labels(dataset, table_uri(model, "labels"), target)


def request_of(context: Context, request: type[Request]) -> Request:
    """Return the request of a person or a REST call, from those params of the run that are fields of ``request``.

    :raises SpecError: naming every value that cannot be used, and every key that is not in the form of the run.
    """
    params = {name: value for name, value in context["params"].items() if name in request.model_fields}
    # Airflow adds unknown keys to the params too, so only the form itself shows which are known.
    form = {*context["dag"].params, *context["task"].params}
    asks = form & set(request.model_fields)
    extra = set(context["dag_run"].conf or {}) - form - set(params) if asks else set()
    return request.from_dict(params | dict.fromkeys(extra))


def subject(
    context: Context, model: str, partition: str | None, conn_id: str | None
) -> tuple[Client, DatasetVersion, ModelRef | None]:
    """Return MLflow, the data as of a run's partition, and the champion of that time; None if there was none."""
    dataset = dataset_of(context, model, partition)
    client = MlflowHook(conn_id).get_conn()
    return client, dataset, score.champion_for(client, table_uri(model, "ledger"), model, dataset.partition)


def run_of(context: Context) -> str:
    """Return the name of a run, which begins its idempotency keys and which its commits refer to."""
    return f"{context['dag'].dag_id}/{context['run_id']}"


def is_of_run(context: Context, key: str) -> bool:
    """Tell whether an idempotency key was made by this run."""
    # It is the name of its run, or begins with it and a slash: one run id may be the beginning of another.
    return f"{key}/".startswith(f"{run_of(context)}/")


def report_path(name: str) -> ObjectStoragePath:
    """Return the path of a report.

    :param name: its path below ``[mlops] reports``.
    :raises FileNotFoundError: if the name, or a link in the path, leads out of that folder.
    """
    from airflow.sdk import ObjectStoragePath

    root = ObjectStoragePath(config.reports())
    if not any(part in ("", ".", "..") for part in name.split("/")):
        path = root / name
        # Object stores have no links.
        if path.protocol != "file" or Path(path.path).resolve().is_relative_to(Path(root.path).resolve()):
            return path
    raise FileNotFoundError(f"{name!r} is not below {root}")


def save_report(context: Context, model: str, partition: str, kind: str, html: str) -> str:
    """Save a page under ``[mlops] reports``, link it from the task, and return its path there.

    :raises StoreUnavailable: if its disk is full, read-only, or closed to this user.
    """
    name = places.page_of(model, partition, kind)
    write_report(name, html.encode())
    push(context, "report", name)
    return name


def write_report(name: str, content: bytes) -> None:
    """Write a page or a picture.

    :param name: its path below ``[mlops] reports``.
    :raises StoreUnavailable: if its disk is full, read-only, or closed to this user.
    """
    path = report_path(name)
    with disks.errors(str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read_report(name: str) -> bytes | None:
    """Return a page or a picture; None if it is not there or too large to be mailed.

    :param name: its path below ``[mlops] reports``.
    """
    try:
        # report_path refuses a name or a link that leads to another file of this machine, so none can be mailed.
        path = report_path(name)
        return path.read_bytes() if path.stat().st_size <= _READABLE else None
    except Exception as error:  # noqa: BLE001 - the mail is sent without it
        log.warning("The report %s cannot be attached: %s", name, error)
        return None


def push(context: Context, key: str, value: Any) -> None:
    """Push an XCom of the running task."""
    context["ti"].xcom_push(key=key, value=value)


def push_facts(context: Context, *facts: Fact) -> None:
    """State facts of the running task for alerts; they replace those that the task has stated before.

    :param facts: facts of the kinds that alerts judge, or statements of them that name their pages.
    :raises ValueError: if a fact is of another kind.
    """
    statements = [fact if isinstance(fact, Statement) else Statement.of(fact) for fact in facts]
    push(context, FACTS, [statement.to_dict() for statement in statements])


def conclude(
    context: Context,
    about: tuple[str, str],
    sentence: str,
    details: Iterable[str] = (),
    *,
    loud: bool = False,
    note: bool = False,
) -> None:
    """Log what came of the running task: the sentence first, then details, which Airflow's page of a log folds.

    :param about: name of the model or dataset, and key of the partition.
    :param loud: whether it is a warning.
    :param note: whether the sentence also goes into the note of the run.
    """
    log.log(logging.WARNING if loud else logging.INFO, "%s %s: %s", *about, line(sentence))
    if lines := [line(detail) for detail in details]:
        log.info("::group::Details")
        for text in lines:
            log.info("%s", text)
        log.info("::endgroup::")
    if note:
        push(context, notes.KEY, notes.entry(about[1], sentence))
