from __future__ import annotations

import logging
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.facts.recipe import Recipe
from airflow_mlops.domain.spec.model import Budget, Candidate
from airflow_mlops.exceptions import (
    ClusterUnavailable,
    ModelNotFound,
    NotEnoughData,
    RegistryUnavailable,
    TrainingFailed,
)
from airflow_mlops.learning import threads
from airflow_mlops.learning.models import models
from airflow_mlops.stages.train import fitting, measuring, pools, train, trials, tune
from airflow_mlops.stages.train.folds import Fold
from airflow_mlops.stores.registry import tracking
from damaged import DAMAGED
from synthetic import make_client, make_recipe, make_rows

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

TREE = "sklearn.tree.DecisionTreeClassifier"


def tree(**space: Any) -> Candidate:
    return Candidate(estimator=TREE, search=space)


def make_data(rows: pa.Table | None = None) -> fitting.Data:
    """Return all rows, in order of time."""
    rows = make_rows(400) if rows is None else rows
    return fitting.data(rows, recipe_of(tree()))


def recipe_of(candidate: Candidate, *, metric: str = "roc_auc", folds: int = 1, **budget: Any) -> Recipe:
    # Two months, so that all rows are trained on.
    rows = make_rows(400)
    recipe = make_recipe(rows, candidate=candidate, metric=metric, budget=Budget(**budget), folds=folds)
    return recipe.model_copy(update={"split": recipe.split.model_copy(update={"cut": recipe.split.end})})


def found(candidate: Candidate, data: fitting.Data | None = None, **settings: Any) -> tune.SearchOutcome:
    return tune.search(recipe_of(candidate, **settings), data or make_data())


def keep_time(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    """Let a search, and each of its fits, look at one clock."""
    for module in (tune, measuring):
        monkeypatch.setattr(module, "monotonic", clock)


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Any], int]]:
    """Tell of each fit, of which parameters and to how many rows."""
    told: list[tuple[dict[str, Any], int]] = []
    measure = measuring.on_fold

    def tell(unfitted: Any, data: Any, fold: Fold, recipe: Any, params: Any, threads: int) -> Any:
        told.append((params, fold.cut))
        return measure(unfitted, data, fold, recipe, params, threads)

    monkeypatch.setattr(measuring, "on_fold", tell)
    return told


def test_the_parameters_that_do_best_on_later_rows_are_chosen() -> None:
    best = found(tree(max_depth=[1, 5, None], min_samples_leaf=[1, 10]))
    each = {
        (depth, leaf): found(tree(max_depth=[depth], min_samples_leaf=[leaf])).score
        for depth in (1, 5, None)
        for leaf in (1, 10)
    }
    assert (best.score, best.trials) == (max(each.values()), 6)
    assert each[best.params["max_depth"], best.params["min_samples_leaf"]] == best.score


def test_a_loss_is_made_small() -> None:
    assert found(tree(max_depth=[2, None]), metric="log_loss").params == {"max_depth": 2}


def test_of_equals_the_first_wins() -> None:
    assert found(tree(random_state=[5, 6, 7], max_depth=[1])).params == {"random_state": 5, "max_depth": 1}


def test_the_score_is_the_mean_over_the_folds_each_fitted_to_the_rows_before(
    fits: list[tuple[dict[str, Any], int]],
) -> None:
    best = found(tree(max_depth=[3]), folds=3)
    assert [rows for _, rows in fits] == [160, 240, 320]
    data = make_data()
    each = [
        measuring.on_fold(
            fitting.build(recipe_of(tree()), {"max_depth": 3}, fitting.categories(recipe_of(tree()), data)),
            data, Fold(cut, cut + 80), recipe_of(tree()), {}, 1,
        ).value
        for cut in (160, 240, 320)
    ]  # fmt: skip
    assert best.score == pytest.approx(np.mean(each))


def test_validation_rows_are_the_latest_fifth() -> None:
    data = make_data()
    turned = fitting.Data(
        data.frame, np.where(np.arange(400) < 320, data.labels, 1 - data.labels), data.times
    )
    straight = found(tree(max_depth=[3]), data).score
    assert straight is not None
    assert found(tree(max_depth=[3]), turned).score == pytest.approx(1 - straight)


def test_trials_that_fall_behind_are_fitted_to_fewer_folds_and_never_chosen(
    fits: list[tuple[dict[str, Any], int]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    space = {"max_depth": [3, 4, 5, 6, 7, 8], "max_features": [None], "criterion": ["gini", "entropy"]}
    given_up = {"min_samples_leaf": [1, 350]}  # a leaf of all rows tells nothing
    best = found(tree(**space, **given_up), folds=3, trials=24)
    folds = {str(params): sum(each == params for each, _ in fits) for params, _ in fits}
    hopeless = [number for params, number in folds.items() if "'min_samples_leaf': 350" in params]
    assert min(hopeless[-6:]) == 1
    assert best.params["min_samples_leaf"] == 1
    assert folds[str(best.params)] == 3
    assert "on the first 1 of 3 folds, given up, best 0." in caplog.text


def test_a_search_that_runs_out_of_time_tells_how_many_trials_it_did_and_which_key_ended_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    best = found(tree(max_depth=[1, 2, 3]), seconds=1e-9)
    assert (best.params, best.trials, best.cut) == ({"max_depth": 1}, 1, True)
    assert "1 of 3 trials were done when the 1e-09 s of train.budget.seconds were over" in caplog.text
    assert best.remarks[0] in caplog.text


class Clock:
    """A clock that tells a time later by ``step`` each time it is asked."""

    def __init__(self, step: float) -> None:
        self.step, self.now = step, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


def test_a_trial_that_runs_out_of_time_between_folds_counts_for_nothing(
    monkeypatch: pytest.MonkeyPatch, fits: list[tuple[dict[str, Any], int]]
) -> None:
    keep_time(monkeypatch, Clock(1.0))
    best = found(tree(max_depth=[1, 2, 3, 4]), folds=4, seconds=20)
    assert len(fits) % 4 > 0, "the last one was given up"
    assert best.trials == len(fits) // 4


@pytest.mark.parametrize(
    "space", [{"max_depth": [1, 2, 3, 4, 5, 6]}, {"max_depth": {"low": 1, "high": 40}}], ids=str
)
def test_a_search_that_was_cut_short_is_the_same_again_at_any_speed(
    monkeypatch: pytest.MonkeyPatch, fits: list[tuple[dict[str, Any], int]], space: dict[str, Any]
) -> None:
    recipe = recipe_of(tree(**space), trials=8, parallel=2, folds=2, seconds=60)
    keep_time(monkeypatch, Clock(5.0))
    cut = tune.search(recipe, make_data())
    assert cut.cut
    assert 0 < cut.trials < len({str(params) for params, _ in fits}), "a batch was given up"
    again = recipe.model_copy(update={"searched": cut.trials})
    for step in (0.0, 1e6):
        keep_time(monkeypatch, Clock(step))
        assert tune.search(again, make_data()) == cut


def test_the_same_facts_give_the_same_search_at_any_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    outcomes = []
    for step in (0.0, 1.0, 20.0):
        keep_time(monkeypatch, Clock(step))
        outcomes.append(found(tree(max_depth=[1, 2, 3, 4, 5, 6, 7, 8]), folds=2, seconds=Budget().seconds))
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert (outcomes[0].trials, outcomes[0].cut) == (8, False)


def test_each_trial_is_told_with_what_is_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    found(tree(max_depth=[1, 5]))
    first, second = [text for text in caplog.messages if " trial " in text]
    assert "DecisionTreeClassifier: trial 1 of 2: roc_auc 0." in first
    assert first.endswith("max_depth=1")
    assert "best 0." in second
    assert "s so far, about 0 s left" in second


def test_a_long_fit_is_told_of_while_it_runs(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from threading import Event

    caplog.set_level(logging.INFO)
    monkeypatch.setattr(threads, "_LOGGED_EVERY", 0.01)
    told = Event()
    info = threads.log.info
    monkeypatch.setattr(threads.log, "info", lambda *given: (info(*given), told.set()))
    threads.waited(lambda: told.wait(30), "Fitting a large one")
    assert "Fitting a large one: 0 s so far." in caplog.text


def test_an_error_in_the_thread_of_a_fit_is_raised_where_it_is_awaited() -> None:
    def fail() -> None:
        raise TimeoutError("of the work itself")

    with pytest.raises(TimeoutError, match="of the work itself"):
        threads.waited(fail, "Fitting")


def test_values_that_a_fit_refuses_are_left_out_and_told(caplog: pytest.LogCaptureFixture) -> None:
    best = found(tree(max_depth=[-1, 2]))
    assert best.params == {"max_depth": 2}
    assert "trial 1 of 2 failed and is left out" in caplog.text
    assert best.remarks[0].startswith("1 of 2 trials failed")


def test_a_trial_that_cannot_predict_is_left_out_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    predicted, calls = models.predicted, count(1)

    def fail_once(*given: Any) -> Any:
        if next(calls) == 1:
            raise RuntimeError("out of luck")
        return predicted(*given)

    monkeypatch.setattr(models, "predicted", fail_once)
    best = found(tree(max_depth=[1, 2]))
    assert best.params == {"max_depth": 2}
    assert "'max_depth': 1}: out of luck" in best.remarks[0]


def test_linear_algebra_keeps_to_the_processors_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    fit = fitting.fit
    seen: list[int] = []

    def look(*given: Any) -> Any:
        seen.extend(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return fit(*given)

    monkeypatch.setattr(fitting, "fit", look)
    monkeypatch.setattr(threads, "per_fit", lambda side_by_side=1: 1)
    with threadpool_limits(2, user_api="blas"):
        found(tree(max_depth=[1]))
        train.fit(make_rows(400), recipe_of(tree()), {})
    assert len(seen) >= 2
    assert set(seen) == {1}


def test_a_worker_of_dask_is_not_told_of_the_processors_of_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "per_fit", lambda side_by_side=1: 64 // side_by_side)
    recipe = recipe_of(tree(), parallel=4)
    assert (pools.n_threads(None, recipe), pools.n_threads("tcp://127.0.0.1:9", recipe)) == (16, 1)


def test_a_search_of_which_every_trial_fails_tells_the_first_error() -> None:
    with pytest.raises(TrainingFailed, match=r"'max_depth': -1.*'max_depth' parameter"):
        found(tree(max_depth=[-1, -2]))


def test_a_parameter_that_does_not_exist_is_told() -> None:
    with pytest.raises(TrainingFailed, match="no parameter 'depth'"):
        found(tree(depth=[1, 2]))


def test_a_metric_that_is_undefined_on_the_latest_rows_ranks_nothing() -> None:
    data = make_data()
    one_class = fitting.Data(data.frame, np.where(np.arange(400) < 320, data.labels, 1), data.times)
    with pytest.raises(NotEnoughData, match="roc_auc is undefined on the 80 latest"):
        found(tree(), one_class)


def test_what_libraries_warn_of_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    hasty = Candidate(
        estimator="sklearn.linear_model.LogisticRegression", params={"max_iter": 1}, search={"C": [1, 2, 3]}
    )
    found(hasty)
    assert sum("failed to converge" in text for text in caplog.messages) == 1


def test_trials_side_by_side_find_the_same_every_time() -> None:
    space = {"max_depth": {"low": 1, "high": 20}, "min_samples_leaf": {"low": 1, "high": 100, "log": True}}
    once, again = (found(tree(**space), folds=3, trials=12, parallel=3) for _ in range(2))
    assert once == again


@pytest.fixture
def client(tmp_path: Path) -> Any:
    return make_client(tmp_path)


@pytest.fixture
def experiment(client: Any) -> str:
    return tracking.experiment(client, "flights")


def make_store(client: Any, experiment: str, search: str = "a") -> trials.Store:
    run = client.create_run(experiment)
    return trials.Store(client, run, search, "roc_auc")


def kept(client: Any, experiment: str, search: str = "a") -> Iterator[Any]:
    found = client.search_runs([experiment], f"tags.`{trials.SEARCH}` = '{search}'")
    yield from sorted(found, key=lambda run: int(run.info.run_name.split()[-1]))


def test_trials_are_runs_below_that_of_the_training(client: Any, experiment: str) -> None:
    store = make_store(client, experiment)
    tune.search(recipe_of(tree(max_depth=[-1, 2]), folds=2), make_data(), store)
    failed, done = kept(client, experiment)
    assert [each.info.status for each in (failed, done)] == ["FAILED", "FINISHED"]
    assert {each.data.tags["mlflow.parentRunId"] for each in (failed, done)} == {store.run.info.run_id}
    assert done.data.params == {"max_depth": "2"}
    mean = (done.data.metrics["fold_1/roc_auc"] + done.data.metrics["fold_2/roc_auc"]) / 2
    assert done.data.metrics["inner/roc_auc"] == pytest.approx(mean)


@pytest.mark.parametrize("text", DAMAGED, ids=range(len(DAMAGED)))
def test_a_trial_whose_record_is_damaged_is_named(client: Any, experiment: str, text: str) -> None:
    store = make_store(client, experiment)
    tune.search(recipe_of(tree(max_depth=[2])), make_data(), store)
    (done,) = kept(client, experiment)
    client.set_tag(done.info.run_id, trials.TRIAL, text)
    with pytest.raises(
        ModelNotFound, match=f"The tag mlops.trial of MLflow run {done.info.run_id} was written by"
    ):
        tune.search(recipe_of(tree(max_depth=[2])), make_data(), make_store(client, experiment))


@pytest.mark.parametrize("settings", [{}, {"folds": 3, "parallel": 3}], ids=str)
def test_a_search_that_was_broken_off_goes_on_where_it_was(
    client: Any,
    experiment: str,
    monkeypatch: pytest.MonkeyPatch,
    fits: list[tuple[dict[str, Any], int]],
    settings: dict[str, Any],
) -> None:
    space = {"max_depth": {"low": 1, "high": 9}, "min_samples_leaf": {"low": 1, "high": 200, "log": True}}
    recipe, data = recipe_of(tree(**space), trials=14, **settings), make_data()
    whole = tune.search(recipe, data)
    uninterrupted, fits[:] = list(fits), []

    first = make_store(client, experiment)
    end, ended = trials.Store.end, count(1)

    def break_off(store: trials.Store, run_id: str, trial: trials.Trial) -> None:
        if next(ended) > 11:
            raise SystemExit("cancelled")
        end(store, run_id, trial)

    monkeypatch.setattr(trials.Store, "end", break_off)
    with pytest.raises(SystemExit):
        tune.search(recipe, data, first)
    monkeypatch.setattr(trials.Store, "end", end)
    states = [run.info.status for run in kept(client, experiment)]
    assert states.count("FINISHED") == 11
    assert set(states[11:]) == {"KILLED"}

    before = len(fits)
    second = make_store(client, experiment)
    assert tune.search(recipe, data, second) == whole
    done = [params for params, _ in fits[:before]]
    fitted_again = [params for params, _ in fits[before:] if params in done]
    lost = 3 if "parallel" in settings else 2
    assert len({str(each) for each in fitted_again}) <= lost, "only those that were not kept are fitted again"
    assert {str(each) for each in fits} == {str(each) for each in uninterrupted}
    under = [run for run in kept(client, experiment) if run.info.status == "FINISHED"]
    assert len(under) == whole.trials
    assert {run.data.tags["mlflow.parentRunId"] for run in under} == {second.run.info.run_id}


def test_trials_of_another_search_are_not_taken_for_ours(
    client: Any, experiment: str, fits: list[tuple[dict[str, Any], int]]
) -> None:
    for search in ("a", "b"):
        tune.search(recipe_of(tree(max_depth=[1, 2])), make_data(), make_store(client, experiment, search))
    assert len(fits) == 4


def test_mlflow_that_goes_away_during_a_search_ends_it(
    client: Any, experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make_store(client, experiment)

    def gone(*given: Any, **named: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr(client, "log_batch", gone)
    with pytest.raises(RegistryUnavailable, match="no route"):
        tune.search(recipe_of(tree(max_depth=[1, 2])), make_data(), store)
    assert [run.info.status for run in kept(client, experiment)] == ["KILLED"]


def test_a_dask_scheduler_that_does_not_answer_is_named() -> None:
    import distributed
    from dask import config

    assert distributed.__version__, "brings the settings that are changed here"
    with (
        config.set({"distributed.comm.timeouts.connect": "100ms"}),
        pytest.raises(ClusterUnavailable, match=r"Dask scheduler at tcp://127.0.0.1:9 does not answer"),
    ):
        tune.search(recipe_of(tree(max_depth=[1, 2])), make_data(), dask="tcp://127.0.0.1:9")


@pytest.mark.slow
def test_a_dask_cluster_that_is_lost_on_the_way_is_named_and_retried() -> None:
    from dask import config
    from distributed import LocalCluster
    from joblib import delayed

    recipe = recipe_of(tree(max_depth=[1, 2]), parallel=2)
    with (
        config.set({"distributed.comm.timeouts.connect": "500ms"}),
        LocalCluster(n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster,
    ):
        address = cluster.scheduler_address
        with pools.opened(address, make_data(), recipe) as pool, pytest.raises(ZeroDivisionError):
            pool([delayed(divmod)(1, 0)])

        def lose() -> None:
            with pools.opened(address, make_data(), recipe) as pool:
                assert pool([delayed(divmod)(7, 2)]) == [(3, 1)]
                cluster.close()
                pool([delayed(divmod)(1, 1)])

        with pytest.raises(ClusterUnavailable, match=f"cluster at {address} was lost while it fitted"):
            lose()


@pytest.mark.slow
def test_trials_on_a_dask_cluster_find_what_threads_find(monkeypatch: pytest.MonkeyPatch) -> None:
    from distributed import LocalCluster

    space = {"max_depth": {"low": 1, "high": 9}, "min_samples_leaf": {"low": 1, "high": 200, "log": True}}
    recipe, data = recipe_of(tree(**space), trials=6, folds=2, parallel=2), make_data()
    here = tune.search(recipe, data)

    def refuse(*given: Any, **named: Any) -> None:
        raise AssertionError("fitted in this process")

    with LocalCluster(n_workers=1, threads_per_worker=2, host="127.0.0.1", dashboard_address=None) as cluster:
        monkeypatch.setattr(fitting, "fit", refuse)
        assert tune.search(recipe, data, dask=cluster.scheduler_address) == here
