from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable
from airflow_mlops.stores.registry import registration, tracking
from synthetic import make_client, make_rows, make_trained


class Unreliable(MlflowClient):
    """A real client whose reply to the creation of a version is lost, or whose request is repeated."""

    def __init__(self, uri: str, *, creates: int = 1, fails: bool = False) -> None:
        super().__init__(uri)
        self.creates = creates
        self.fails = fails

    def create_model_version(self, *args: Any, **settings: Any) -> Any:
        for _ in range(self.creates):
            version = super().create_model_version(*args, **settings)
        if self.fails:
            raise MlflowException("the reply was lost")
        return version


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_client(tmp_path_factory.mktemp("mlflow"))


def run_with(client: Any, name: str, body: Callable[[], None]) -> str:
    experiment = tracking.experiment(client, name)
    with tracking.run(client, experiment, "run", "key", {}) as run:
        body()
    return str(run.info.run_id)


def statuses(client: Any, name: str) -> list[str]:
    return [
        run.info.status for run in client.search_runs([client.get_experiment_by_name(name).experiment_id])
    ]


def test_artifacts_of_a_sqlite_store_lie_beside_it(client: Any) -> None:
    experiment = client.get_experiment(tracking.experiment(client, "beside"))
    folder = Path(client.tracking_uri.removeprefix("sqlite:///")).parent
    assert experiment.artifact_location == f"file://{folder}/artifacts/beside"


def test_artifacts_lie_where_they_are_told_to(client: Any, tmp_path: Path) -> None:
    experiment = client.get_experiment(
        tracking.experiment(client, "elsewhere", f"{tmp_path.as_uri()}/models")
    )
    assert experiment.artifact_location == f"{tmp_path.as_uri()}/models"


def test_an_experiment_is_created_once(client: Any) -> None:
    assert tracking.experiment(client, "once") == tracking.experiment(client, "once")


def test_an_experiment_that_another_task_creates_meanwhile_is_used(client: Any) -> None:
    class Late(MlflowClient):
        def get_experiment_by_name(self, name: str) -> Any:
            found = super().get_experiment_by_name(name)
            if found is None:
                super().create_experiment(name)
            return found

    raced = tracking.experiment(Late(client.tracking_uri), "raced")
    assert client.get_experiment(raced).name == "raced"


def test_a_deleted_experiment_is_named_with_what_to_do(client: Any) -> None:
    client.delete_experiment(tracking.experiment(client, "deleted"))
    with pytest.raises(ModelNotFound, match="'deleted' is deleted: restore it"):
        tracking.experiment(client, "deleted")


def test_a_run_ends_as_its_work_did(client: Any) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    run_with(client, "finished", lambda: None)
    with pytest.raises(ZeroDivisionError):
        run_with(client, "failed", lambda: [1 / 0][0])
    with pytest.raises(KeyboardInterrupt):
        run_with(client, "killed", stop)
    assert [statuses(client, name) for name in ("finished", "failed", "killed")] == [
        ["FINISHED"],
        ["FAILED"],
        ["KILLED"],
    ]


def test_a_run_that_a_killed_process_left_open_is_closed_by_the_next_one(client: Any) -> None:
    experiment = tracking.experiment(client, "stale")
    client.create_run(experiment, tags={tracking.KEY: "key"})
    other = client.create_run(experiment, tags={tracking.KEY: "another key"})
    run_with(client, "stale", lambda: None)
    assert sorted(statuses(client, "stale")) == ["FINISHED", "KILLED", "RUNNING"]
    assert client.get_run(other.info.run_id).info.status == "RUNNING"


def test_a_version_whose_reply_was_lost_is_adopted(client: Any) -> None:
    trained = make_trained(
        Unreliable(client.tracking_uri, fails=True), make_rows(), "key", model="lost_reply"
    )
    assert [str(each.version) for each in client.search_model_versions("name = 'lost_reply'")] == [
        trained.version
    ]
    assert statuses(client, "lost_reply") == ["FINISHED"]


def test_of_versions_from_one_repeated_request_the_first_remains(client: Any) -> None:
    trained = make_trained(Unreliable(client.tracking_uri, creates=3), make_rows(), "key", model="repeated")
    assert trained.version == "1"
    assert [str(each.version) for each in client.search_model_versions("name = 'repeated'")] == ["1"]


def test_a_version_that_could_not_be_created_fails_the_run(client: Any) -> None:
    with pytest.raises(RegistryUnavailable, match="the reply was lost"):
        make_trained(
            Unreliable(client.tracking_uri, creates=0, fails=True), make_rows(), "key", model="not_created"
        )
    assert statuses(client, "not_created") == ["FAILED"]


def test_a_version_without_a_model_file_is_never_adopted(client: Any) -> None:
    hollow = client.create_run(tracking.experiment(client, "hollow"))
    client.create_registered_model("hollow")
    client.create_model_version("hollow", "file:///nowhere", hollow.info.run_id, tags={tracking.KEY: "key"})
    assert registration.only_version(client, "hollow", "key") is None
    assert make_trained(client, make_rows(), "key", model="hollow").version == "2"
    assert str(registration.only_version(client, "hollow", "key").version) == "2"


def test_a_training_that_was_killed_after_it_registered_is_finished_by_its_retry(client: Any) -> None:
    trained = make_trained(client, make_rows(), "key", model="late_kill")
    client.update_run(trained.run_id, status="RUNNING")
    assert make_trained(client, make_rows(), "key", model="late_kill") == trained
    assert statuses(client, "late_kill") == ["FINISHED"]


def test_a_database_that_cannot_be_opened_is_an_mlflow_that_does_not_answer(tmp_path: Path) -> None:
    client = make_client(tmp_path)
    (tmp_path / "mlflow.db").write_bytes(b"no database" * 100)
    with pytest.raises(RegistryUnavailable, match=r"MLflow at sqlite:.*mlflow\.db"):
        registration.only_version(client, "any", "key")


def test_undefined_metrics_are_left_out(client: Any) -> None:
    run = client.create_run(tracking.experiment(client, "metrics"))
    tracking.log_metrics(client, run.info.run_id, "holdout", {"roc_auc": None, "brier": 0.25})
    assert client.get_run(run.info.run_id).data.metrics == {"holdout/brier": 0.25}
