from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable
from airflow_mlops.learning.bless import sample
from registry_builders import make_ref, make_version
from synthetic import make_client

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_client(tmp_path_factory.mktemp("mlflow"))


def failing(monkeypatch: pytest.MonkeyPatch, client: Any, error: Exception) -> None:
    def fail(run_id: str, path: str, folder: str) -> str:
        raise error

    monkeypatch.setattr(client, "download_artifacts", fail)


def test_an_mlflow_that_does_not_answer_is_no_missing_sample(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ref = make_ref(make_version(client, "silent"))
    failing(monkeypatch, client, requests.ConnectionError("refused"))
    with pytest.raises(RegistryUnavailable):
        sample.fetch(client, ref, tmp_path)


def test_a_sample_that_is_gone_cannot_be_retried(
    client: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ref = make_ref(make_version(client, "gone"))
    failing(monkeypatch, client, FileNotFoundError(sample.SAMPLE))
    with pytest.raises(ModelNotFound, match=r"has no blessing/sample\.parquet"):
        sample.fetch(client, ref, tmp_path)
