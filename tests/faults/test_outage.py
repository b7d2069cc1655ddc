"""A real server that is away for a while: what was fitted is logged once it is back, and is not fitted again."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from mlflow import MlflowClient

from airflow_mlops.domain.facts.results import TrainedModel
from airflow_mlops.exceptions import RegistryUnavailable
from airflow_mlops.stages.train import fitting
from airflow_mlops.stores.registry import patience
from faults.proxy import Dropped, Proxy
from faults.server import Server
from faults.stories import left
from killed_training import TRIALS, search
from registry_builders import make_version

pytestmark = pytest.mark.slow

NUMBERS = itertools.count()
AFTER_THE_FIT = [
    "POST logged-models",
    "PUT mlflow-artifacts/*/model.skops",
    "POST runs/outputs",
    "POST runs/log-batch",
    "POST model-versions/create",
]


@pytest.fixture
def model() -> str:
    return f"outage_{next(NUMBERS)}"


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The name of each fit, as it is done."""
    fit, names = fitting.fit, []

    def counted(*arguments: Any) -> Any:
        names.append(arguments[-1])
        return fit(*arguments)

    monkeypatch.setattr(fitting, "fit", counted)
    return names


@pytest.fixture
def waits(server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    """The seconds that were waited, of which none passes: the third time, the server is started again."""
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 3:
            server.start()

    monkeypatch.setattr(patience, "sleep", wait)
    yield waited
    if len(waited) != 3:
        server.start()


@pytest.mark.thorough
def test_a_server_that_is_killed_once_the_model_is_fitted_finds_it_fitted_once_when_it_is_back(
    server: Server,
    direct: MlflowClient,
    proxy: Proxy,
    client: MlflowClient,
    fits: list[str],
    waits: list[float],
    model: str,
) -> None:
    for number, call in enumerate(AFTER_THE_FIT):
        name = f"{model}_{number}"
        fits.clear()
        waits.clear()

        def kill() -> None:
            server.kill()
            raise Dropped

        # One batch of parameters is logged before the fit.
        if call.endswith("log-batch"):
            proxy.after("POST logged-models", lambda call=call, kill=kill: proxy.before(call, kill))  # type: ignore[misc]
        else:
            proxy.before(call, kill)
        trained = make_version(client, name)
        assert len(fits) == 2, f"{call}: one to rank the candidate, and that of the model"
        assert waits == [15, 30, 60], call
        assert left(direct, name) == (["FINISHED"], 1, ["READY"]), call
        assert make_version(client, name) == trained, call
        assert len(fits) == 2, call
    assert proxy.waiting == 0


@pytest.mark.thorough
def test_a_search_whose_trials_cannot_be_recorded_for_a_while_fits_each_of_them_once(
    server: Server,
    direct: MlflowClient,
    monkeypatch: pytest.MonkeyPatch,
    client: MlflowClient,
    fits: list[str],
    waits: list[float],
) -> None:
    fit: Callable[..., Any] = fitting.fit

    def refused_from_now_on(*arguments: Any) -> Any:
        fitted = fit(*arguments)
        if len(fits) == 3:
            server.kill()
        return fitted

    monkeypatch.setattr(fitting, "fit", refused_from_now_on)
    trained = search(direct)
    assert trained.trials == TRIALS
    assert waits == [15, 30, 60]
    assert len(fits) == 2 * TRIALS + 1, "each trial on two folds, and the model"
    [run] = [
        run for run in direct.search_runs(experiments(direct, trained)) if run.info.run_id == trained.run_id
    ]
    assert run.info.status == "FINISHED"


def experiments(client: MlflowClient, trained: TrainedModel) -> list[str]:
    return [client.get_experiment_by_name(trained.model).experiment_id]


def test_half_an_hour_is_tolerated_and_no_longer_outage(
    server: Server, client: MlflowClient, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(patience, "sleep", waited.append)
    proxy.before("POST logged-models", server.kill)
    with pytest.raises(RegistryUnavailable) as failed:
        make_version(client, model)
    assert failed.value.silent
    assert waited == list(patience.WAITS)
    assert 1800 <= sum(waited) < 2400
    server.start()
