from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import airflow
import pytest
from airflow.sdk.bases.operatorlink import BaseOperatorLink
from airflow.sdk.execution_time.xcom import XCom

from airflow_mlops import config
from airflow_mlops.links import MlflowRunLink, ReportLink


@pytest.fixture(autouse=True)
def _nothing_is_remembered() -> Iterator[None]:
    config.mlflow_url.cache_clear()
    yield
    config.mlflow_url.cache_clear()


def link_of(monkeypatch: pytest.MonkeyPatch, link: BaseOperatorLink, **pushed: str) -> str:
    # XComs come from Airflow's API server, which no unit test has.
    def get_value(*, ti_key: Any, key: str) -> str | None:
        return pushed.get(key)

    monkeypatch.setattr(XCom, "get_value", get_value)
    return link.get_link(None, ti_key=None)  # type: ignore[arg-type]


def test_a_run_is_linked_where_people_open_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__MLOPS__MLFLOW_URL", "https://mlflow.example.com/")
    assert link_of(monkeypatch, MlflowRunLink(), mlflow_run="abc") == "https://mlflow.example.com/#/runs/abc"


def test_there_is_no_link_without_an_address_or_without_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    assert link_of(monkeypatch, MlflowRunLink(), mlflow_run="abc") == ""
    monkeypatch.setenv("AIRFLOW__MLOPS__MLFLOW_URL", "https://mlflow.example.com")
    config.mlflow_url.cache_clear()
    assert link_of(monkeypatch, MlflowRunLink()) == ""
    assert link_of(monkeypatch, ReportLink()) == ""


@pytest.mark.parametrize("worker", ["", "http://airflow-api-server:8080", "https://old.example.com/prefix/"])
@pytest.mark.parametrize("path", ["/", "/prefix/"])
def test_a_report_is_linked_on_the_api_server_that_shows_the_link_whatever_a_worker_calls_it(
    monkeypatch: pytest.MonkeyPatch, worker: str, path: str
) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", worker)
    link = link_of(monkeypatch, ReportLink(), report="flights/2013-01/drift.html")
    # As a browser does, by the element `base` of the page.
    base = f"https://airflow.example.com{path}"
    assert urljoin(base, link) == f"{base}mlops/reports/flights/2013-01/drift.html"


def test_the_pages_of_the_ui_have_the_base_that_relative_links_need() -> None:
    page = (Path(airflow.__file__).parent / "ui/dist/index.html").read_text(encoding="utf-8")
    assert '<base href="{{ backend_server_base_url }}"' in page
