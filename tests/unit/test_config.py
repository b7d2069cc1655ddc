from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from airflow_mlops import config
from airflow_mlops.exceptions import SettingRefused

OPTIONS: tuple[Callable[[], Any], ...] = (
    config.storage,
    config.reports,
    config.tracking_uri,
    config.mlflow_conn_id,
    config.mlflow_url,
    config.dask_scheduler,
    config.preload,
    config.decision_timeout,
)


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> Iterator[None]:
    for option in OPTIONS:
        option.cache_clear()  # type: ignore[attr-defined]
    yield
    for option in OPTIONS:
        option.cache_clear()  # type: ignore[attr-defined]


def set_option(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"AIRFLOW__MLOPS__{name.upper()}", value)


def test_without_any_setting_state_lives_under_airflow_home() -> None:
    home = os.environ["AIRFLOW_HOME"]
    assert config.storage() == f"file://{home}/mlops"
    assert config.reports() == f"file://{home}/mlops/reports"
    assert config.tracking_uri() == f"sqlite:///{home}/mlops/mlflow.db"
    assert config.mlflow_conn_id() == "mlflow_default"
    assert config.mlflow_url() == ""
    assert config.preload() is False
    assert config.decision_timeout() == timedelta(hours=6)


def test_the_api_server_and_the_scheduler_see_the_same_defaults() -> None:
    from airflow.configuration import conf

    assert conf.get("mlops", "storage") == config.storage()


def test_reports_follow_storage_unless_they_have_a_place_of_their_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    set_option(monkeypatch, "storage", "s3://bucket/mlops/")
    assert config.storage() == "s3://bucket/mlops"
    assert config.reports() == "s3://bucket/mlops/reports"
    config.reports.cache_clear()
    set_option(monkeypatch, "reports", "s3://pages")
    assert config.reports() == "s3://pages"


def test_an_option_is_read_once_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    set_option(monkeypatch, "preload", "true")
    assert config.preload() is True
    set_option(monkeypatch, "preload", "false")
    assert config.preload() is True


@pytest.mark.parametrize(
    ("option", "value", "fix"),
    [
        ("storage", "/data/mlops", "write a URI"),
        ("storage", "file://data/mlops", "three slashes"),
        ("storage", "file:///data/a#b", "all tables would be one"),
        ("storage", "s3://bucket/a?b", "all tables would be one"),
        ("storage", "file:///data/a%20b", "%20, which some readers decode"),
        ("storage", "file:///data/a\\b", "backslash for a slash"),
        ("storage", "file:///data/../b", "write the path that it leads to"),
        ("storage", "s3://bucket//b", "two slashes in a row"),
        ("reports", "s3://bucket/pages#1", "all tables would be one"),
        ("reports", "reports", "write a URI"),
        ("tracking_uri", "mlflow.example.com", "write a URI"),
        ("tracking_uri", "http://mlflow:abc", "its port is no whole number"),
        ("tracking_uri", "postgresql://mlflow:99999999/db", "its port is no whole number"),
        ("tracking_uri", "sqlite://", "it names no folder, bucket, host or file"),
        ("tracking_uri", "sqlite:///:memory:", "what is kept in memory is lost"),
        ("storage", "s3://", "it names no folder, bucket, host or file"),
        ("storage", "file:///", "it names no folder, bucket, host or file"),
        ("dask_scheduler", "tcp://dask:abc", "its port is no whole number"),
        ("mlflow_url", "https://mlflow:99999999", "its port is no whole number"),
        ("mlflow_conn_id", "", "name a connection"),
        ("mlflow_url", "javascript:alert(1)", "https://mlflow.example.com"),
        ("preload", "perhaps", "True or False"),
        ("decision_timeout", "6 h", "whole number of seconds"),
        ("decision_timeout", "0", "at least 1"),
    ],
)
def test_a_bad_value_is_refused_with_section_option_value_and_fix(
    monkeypatch: pytest.MonkeyPatch, option: str, value: str, fix: str
) -> None:
    set_option(monkeypatch, option, value)
    with pytest.raises(SettingRefused, match=fix) as raised:
        getattr(config, option)()
    assert str(raised.value).startswith(f"[mlops] {option} = {value!r} ")
    assert f"AIRFLOW__MLOPS__{option.upper()}" in str(raised.value)


def test_an_option_that_is_refused_does_not_show_its_password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__MLOPS__MLFLOW_URL", "ftp://ada:se-cret@mlflow")
    config.mlflow_url.cache_clear()
    with pytest.raises(ValueError, match=r"mlflow_url = 'ftp://\*\*\*@mlflow' cannot be used") as refused:
        config.mlflow_url()
    config.mlflow_url.cache_clear()
    assert "se-cret" not in str(refused.value)
