"""What tests of the doctor need: a configuration of their own, read anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_mlops import config
from airflow_mlops.get_provider_info import get_provider_info

OPTIONS = get_provider_info()["config"]["mlops"]["options"]
SPEC = """
name: flights
task: classification
target: late
key: [id]
event_time: at
partition: month
source: {{files: "{folder}/{{partition}}.csv"}}
"""


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Set an option of ``[mlops]``; what was read before is forgotten, now and afterwards."""

    def forget() -> None:
        for option in OPTIONS:
            getattr(config, option).cache_clear()

    def set_option(option: str, value: str) -> None:
        monkeypatch.setenv(f"AIRFLOW__MLOPS__{option.upper()}", value)
        forget()

    monkeypatch.setattr("airflow.secrets.metastore.MetastoreBackend.get_connection", lambda *_, **__: None)
    forget()
    yield set_option
    monkeypatch.undo()
    forget()


@pytest.fixture
def dags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of DAG files, with nothing in it."""
    folder = tmp_path / "dags"
    folder.mkdir()
    monkeypatch.setattr("airflow_mlops.cli.connect.find_code", lambda: [folder])
    monkeypatch.setattr("airflow_mlops.cli.doctor.models.folders", lambda: [folder])
    return folder


@pytest.fixture
def spec(dags: Path, tmp_path: Path) -> Callable[[str], None]:
    """Write the spec of a model, whose files lie in ``data``, with more lines."""

    def write(more: str = "") -> None:
        (dags / "models").mkdir(exist_ok=True)
        (dags / "models" / "flights.yaml").write_text(SPEC.format(folder=tmp_path / "data") + more)

    return write
