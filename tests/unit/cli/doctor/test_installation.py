from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from airflow_mlops.cli.doctor import installation
from airflow_mlops.cli.doctor.diagnosis import Condition


def test_provider_and_plugin_are_registered_here() -> None:
    assert [diagnosis.status for diagnosis in installation.look()] == [Condition.PASS, Condition.PASS]


def test_a_provider_that_airflow_does_not_list_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "airflow.providers_manager.ProvidersManager", lambda: SimpleNamespace(providers={"other": None})
    )
    diagnosis = installation.provider()
    assert diagnosis.status is Condition.FAIL
    assert "does not list airflow-mlops among its 1 providers" in diagnosis.observation


def test_a_plugin_that_is_missing_and_one_that_takes_its_name_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("airflow.plugins_manager.get_fastapi_plugins", lambda: ([{"name": "shop"}], []))
    monkeypatch.setattr(
        "airflow.plugins_manager.get_import_errors",
        lambda: {"shop.py": "Plugin 'airflow_mlops' already registered"},
    )
    missing, twice = installation.plugin()
    assert (missing.status, twice.status) == (Condition.FAIL, Condition.WARN)
    assert "shop.py: Plugin 'airflow_mlops' already registered" in twice.observation


def test_a_file_that_hides_the_package_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("airflow.settings.PLUGINS_FOLDER", str(tmp_path))
    assert installation.shadows() == []
    (tmp_path / "airflow_mlops.py").touch()
    (diagnosis,) = installation.shadows()
    assert diagnosis.status is Condition.FAIL
    assert str(tmp_path / "airflow_mlops.py") in diagnosis.observation
