"""The options of the section ``[mlops]``: one typed function each, read once a process."""

from __future__ import annotations

from datetime import timedelta
from functools import cache

from airflow.sdk import conf

from airflow_mlops.domain.addresses import problem_of, shown
from airflow_mlops.exceptions import PlaceRefused, SettingRefused
from airflow_mlops.stores.tables import places

SECTION = "mlops"

_instead: dict[str, str] = {}


@cache
def storage() -> str:
    """[mlops] storage: root URI of the Delta tables, without a slash at its end."""
    return _folder("storage", _get("storage"))


@cache
def reports() -> str:
    """[mlops] reports: root URI of the report pages, without a slash at its end."""
    value = _get("reports")
    return _folder("reports", value) if value else f"{storage()}/reports"


@cache
def tracking_uri() -> str:
    """[mlops] tracking_uri: MLflow's URI while the default connection does not exist."""
    return _whole("tracking_uri", _uri("tracking_uri", _get("tracking_uri")))


@cache
def mlflow_conn_id() -> str:
    """[mlops] mlflow_conn_id: the MLflow connection of tasks that name none."""
    return _get("mlflow_conn_id") or _refuse("mlflow_conn_id", "", "name a connection such as mlflow_default")


@cache
def mlflow_url() -> str:
    """[mlops] mlflow_url: where people open MLflow, without a slash at its end; empty means no links."""
    value = _get("mlflow_url").rstrip("/")
    if value and value.lower().partition("://")[0] not in ("http", "https"):
        _refuse("mlflow_url", value, "write it as https://mlflow.example.com, or leave it empty for no links")
    return value and _whole("mlflow_url", value)


@cache
def smtp_conn_id() -> str:
    """[mlops] smtp_conn_id: the SMTP connection that alerts are mailed through."""
    return _get("smtp_conn_id") or _refuse("smtp_conn_id", "", "name a connection such as smtp_default")


@cache
def dask_scheduler() -> str:
    """[mlops] dask_scheduler: address of the Dask scheduler that trials are fitted on; empty fits them in the task."""
    value = _get("dask_scheduler")
    if value and "://" not in value:
        _refuse("dask_scheduler", value, "write its address, such as tcp://dask.example.com:8786")
    return value and _whole("dask_scheduler", value)


@cache
def preload() -> bool:
    """[mlops] preload: whether to import the heavy libraries in the process that tasks are forked from."""
    value = _get("preload").lower()
    if value not in ("true", "t", "1", "false", "f", "0"):
        _refuse("preload", value, "write True or False")
    return value in ("true", "t", "1")


@cache
def decision_timeout() -> timedelta:
    """[mlops] decision_timeout: how long a stage waits for the decision on the partition before."""
    value = _get("decision_timeout")
    if not value.isdecimal() or int(value) == 0:
        _refuse("decision_timeout", value, "write a whole number of seconds, at least 1")
    return timedelta(seconds=int(value))


def is_default(*options: str) -> bool:
    """Tell whether options have the values that they have where nobody has configured any."""
    return all(conf.get(SECTION, option) == conf.get_default_value(SECTION, option) for option in options)


def is_replaced(option: str) -> bool:
    """Tell whether this process uses another value of an option than the configured one."""
    return option in _instead


def use(**options: str) -> None:
    """Use other values than the configured ones in this process, for commands; before any option is read."""
    _instead.update(options)


def _get(option: str) -> str:
    return str(_instead[option] if option in _instead else conf.get(SECTION, option)).strip()


def _folder(option: str, value: str) -> str:
    try:
        return places.root(_uri(option, value))
    except PlaceRefused as error:
        return _refuse(option, value, str(error))


def _uri(option: str, value: str) -> str:
    if "://" not in value:
        _refuse(option, value, "write a URI: file:///folder, s3://bucket/folder …")
    if value.startswith("file://") and not value.startswith("file:///"):
        _refuse(option, value, "write a file URI with three slashes and an absolute path: file:///folder")
    if not value.partition("://")[2].strip("/"):
        _refuse(option, value, "it names no folder, bucket, host or file")
    return value.rstrip("/")


def _whole(option: str, value: str) -> str:
    problem = problem_of(value)
    return _refuse(option, value, problem) if problem else value


def _refuse(option: str, value: str, fix: str) -> str:
    raise SettingRefused(
        f"[{SECTION}] {option} = {shown(value)!r} cannot be used: {fix} (AIRFLOW__MLOPS__{option.upper()})."
    )
