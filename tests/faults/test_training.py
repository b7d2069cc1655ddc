"""I2 on a real server: one version for a key, and no run left open, whatever happens to the calls of a training."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.environment_variables import (
    MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR,
    MLFLOW_HTTP_REQUEST_BACKOFF_JITTER,
)

from airflow_mlops.domain.facts.results import Action
from airflow_mlops.exceptions import RegistryUnavailable
from airflow_mlops.hooks import mlflow
from airflow_mlops.stores.registry import patience
from faults import processes
from faults.conftest import Stopped, longest
from faults.proxy import Dropped, Proxy
from faults.server import Server
from faults.stories import Story, left
from registry_builders import make_version

pytestmark = pytest.mark.slow

RUN = "POST runs/create"
LOGGED = "POST logged-models"
OUTPUT = "POST runs/outputs"
VERSION = "POST model-versions/create"
NUMBERS = itertools.count()


@pytest.fixture
def model() -> str:
    return f"trained_{next(NUMBERS)}"


@pytest.fixture(autouse=True)
def _every_outage_is_longer_than_a_training_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    # What it does within that time, test_outage.py shows.
    monkeypatch.setattr(patience, "WAITS", ())


def test_a_training_whose_every_answer_is_lost_once_leaves_one_run_one_model_and_one_version(
    client: MlflowClient, direct: MlflowClient, proxy: Proxy, model: str
) -> None:
    proxy.lossy = True
    trained = make_version(client, model)
    assert [proxy.count(call) for call in (RUN, LOGGED, OUTPUT, VERSION)] == [2, 2, 2, 2]
    assert left(direct, model) == (["FINISHED"], 1, ["READY"])
    assert make_version(client, model) == trained
    assert proxy.count(RUN) == 2


@pytest.mark.parametrize(
    ("call", "runs"),
    [(RUN, ["FINISHED", "KILLED"]), (OUTPUT, ["FINISHED", "KILLED"]), (VERSION, ["FINISHED"])],
)
def test_a_training_whose_answers_are_all_lost_is_done_by_its_retry_without_a_second_version(
    client: MlflowClient, direct: MlflowClient, proxy: Proxy, model: str, call: str, runs: list[str]
) -> None:
    proxy.drop(call, times=2)
    with pytest.raises(RegistryUnavailable):
        make_version(client, model)
    trained = make_version(client, model)
    assert proxy.waiting == 0
    assert left(direct, model)[:2] == (runs, 1)
    assert make_version(client, model) == trained


@pytest.mark.parametrize(("call", "runs"), [(RUN, ["FINISHED", "KILLED"]), (VERSION, ["FINISHED"])])
def test_a_training_that_is_killed_is_done_by_its_retry_without_a_second_version(
    client: MlflowClient, direct: MlflowClient, proxy: Proxy, model: str, call: str, runs: list[str]
) -> None:
    victims: list[processes.Process] = []
    proxy.after(call, lambda: victims[0].kill())
    with processes.started(processes.train, 1, (proxy.uri, model)) as [victim]:
        victims.append(victim)
        assert victim.ended() == -9
    trained = make_version(client, model)
    assert left(direct, model)[:2] == (runs, 1)
    assert make_version(client, model) == trained


def test_a_server_that_is_stopped_during_any_call_of_a_training_fails_it_and_the_retry_succeeds(
    client: MlflowClient, direct: MlflowClient, stopped: Stopped, model: str
) -> None:
    calls = [RUN, "PUT mlflow-artifacts/*/model.skops", VERSION, "POST runs/update"]
    for number, call in enumerate(calls):
        name = f"{model}_{number}"
        with stopped(call), pytest.raises(RegistryUnavailable) as failed:
            make_version(client, name)
        assert failed.value.silent, call
        trained = make_version(client, name)
        runs, versions, _ = left(direct, name)
        assert versions == runs.count("FINISHED") == 1, call
        assert set(runs) <= {"FINISHED", "KILLED"}, call
        assert make_version(client, name) == trained


def test_a_silent_server_holds_up_one_call_of_a_task_for_less_than_two_minutes() -> None:
    # Nobody waits for that here: `stopped` shows with short settings that the same sum holds.
    timeout = float(mlflow._DEFAULTS["MLFLOW_HTTP_REQUEST_TIMEOUT"])
    retries = int(mlflow._DEFAULTS["MLFLOW_HTTP_REQUEST_MAX_RETRIES"])
    factor, jitter = MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR.default, MLFLOW_HTTP_REQUEST_BACKOFF_JITTER.default
    assert (timeout, retries) == (20, 3)
    assert longest(timeout, retries, factor, jitter) < 120


def test_a_server_that_is_killed_loses_nothing_that_it_has_done(
    server: Server, client: MlflowClient, direct: MlflowClient, proxy: Proxy, tmp_path: Path, model: str
) -> None:
    story = Story(direct, model, tmp_path)

    def kill() -> None:
        server.kill()
        raise Dropped

    proxy.after("POST registered-models/alias", kill)
    with pytest.raises(RegistryUnavailable):
        story.promote(client, story.one)
    with pytest.raises(RegistryUnavailable):
        make_version(client, model, 0.1)
    server.start()
    assert story.promote(client, story.one).action is Action.PROMOTED
    assert proxy.count("POST registered-models/alias") == 2, "it had moved, and its client tried twice"
    assert make_version(client, model, 0.1).version == "2"
    assert left(direct, model)[:2] == (["FINISHED", "FINISHED"], 2)
    assert story.champion == "1"
