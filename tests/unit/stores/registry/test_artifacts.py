from __future__ import annotations

from pathlib import Path

import pytest
from mlflow import MlflowClient

from airflow_mlops.exceptions import ModelNotFound
from airflow_mlops.stores.registry import artifacts, tracking
from synthetic import make_client


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> MlflowClient:
    return make_client(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture
def run_id(client: MlflowClient) -> str:
    return str(client.create_run(tracking.experiment(client, "flights")).info.run_id)


@pytest.mark.parametrize("path", ["a.parquet", "reference/all.parquet"])
def test_a_file_is_read_as_it_was_written(client: MlflowClient, run_id: str, path: str) -> None:
    assert artifacts.read(client, run_id, path) is None
    artifacts.write(client, run_id, path, b"first")
    artifacts.write(client, run_id, path, b"\x00second")
    assert artifacts.read(client, run_id, path) == b"\x00second"
    assert [file.path for file in client.list_artifacts(run_id)] == [path.partition("/")[0]]


def test_facts_are_written_as_json(client: MlflowClient, run_id: str) -> None:
    artifacts.write_json(client, run_id, "facts.json", {"a": [1, None]})
    assert artifacts.read(client, run_id, "facts.json") == b'{\n  "a": [\n    1,\n    null\n  ]\n}'


def test_a_folder_is_read_without_what_lies_deeper(client: MlflowClient, run_id: str) -> None:
    assert artifacts.read_folder(client, run_id, "plots") == {}
    artifacts.write_folder(client, run_id, {"a.png": b"a", "b.json": b"{}"}, "plots")
    artifacts.write(client, run_id, "plots/deeper/c.png", b"c")
    assert artifacts.read_folder(client, run_id, "plots") == {"plots/a.png": b"a", "plots/b.json": b"{}"}


def test_files_without_a_folder_lie_at_the_top(client: MlflowClient, run_id: str) -> None:
    artifacts.write_folder(client, run_id, {"card.md": b"#", "card.html": b"<"})
    assert {file.path for file in client.list_artifacts(run_id)} == {"card.md", "card.html"}


def test_a_file_that_must_be_there_is_fetched_or_fails(
    client: MlflowClient, run_id: str, tmp_path: Path
) -> None:
    with pytest.raises(ModelNotFound):
        artifacts.download(client, run_id, "blessing/sample.parquet", tmp_path)
    artifacts.write(client, run_id, "blessing/sample.parquet", b"rows")
    assert artifacts.download(client, run_id, "blessing/sample.parquet", tmp_path).read_bytes() == b"rows"


def test_files_of_a_run_that_does_not_exist_are_not_taken_for_missing(client: MlflowClient) -> None:
    for read in (artifacts.read, artifacts.read_folder):
        with pytest.raises(ModelNotFound):
            read(client, "0" * 32, "a")
