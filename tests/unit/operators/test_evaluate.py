from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.results import Evaluation, TrainedModel
from airflow_mlops.domain.spec import Candidate, Gates
from airflow_mlops.operators.evaluate import EvaluateOperator
from contexts import Run, deploy
from history import STIFF, History, shifted

GUESS = Candidate(estimator="sklearn.dummy.DummyClassifier", params={"strategy": "prior"})


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch, mlflow=True)


def evaluated(run: Run, models: Any, gates: Gates | None = None) -> Evaluation:
    return Evaluation.from_dict(run.execute(EvaluateOperator, models=models, gates=gates))


@pytest.fixture
def trained(history: History) -> TrainedModel:
    history.publish("2013-01")
    return history.train(history.publish("2013-02"))


def test_one_model_is_judged_on_the_rows_held_out(trained: TrainedModel) -> None:
    run = Run(partition="2013-02")
    evaluation = evaluated(run, trained.to_dict(), Gates(floor={"roc_auc": 0.7}))
    assert (evaluation.verdict, evaluation.champion) == (Verdict.PASS, None)
    assert {check.n for check in evaluation.checks} == {trained.split.holdout_rows}
    assert run.pushed == {"mlflow_run": trained.run_id}


def test_of_mapped_models_the_best_is_judged(history: History, trained: TrainedModel) -> None:
    guess = history.train(trained.dataset, candidate=GUESS)
    # What a mapped task returned arrives as a lazy sequence.
    models = (each.to_dict() for each in (guess, trained))
    evaluation = evaluated(Run(), models)
    assert evaluation.candidate == trained
    assert evaluation.leaderboard == {"DummyClassifier": 0.5, "LogisticRegression": trained.score}


def test_a_gate_that_does_not_pass_is_a_result_and_no_error(trained: TrainedModel) -> None:
    evaluation = evaluated(Run(), [trained.to_dict()], Gates(floor={"roc_auc": 0.999}))
    assert evaluation.verdict is Verdict.FAIL


def test_without_gates_a_candidate_must_be_better_than_the_champion(
    history: History, trained: TrainedModel
) -> None:
    champion = history.crown(trained, "2013-02")
    worse = history.train(history.publish("2013-03"), candidate=STIFF)
    evaluation = evaluated(Run(), [worse.to_dict()])
    assert evaluation.champion == champion
    assert evaluation.verdict is not Verdict.PASS
    assert set(evaluation.champion_metrics) == set(evaluation.metrics)


def test_the_holdout_is_read_at_the_version_that_was_trained_on(
    history: History, trained: TrainedModel
) -> None:
    before = evaluated(Run(), trained.to_dict())
    history.publish("2013-02", shifted("2013-02"))
    assert evaluated(Run(), trained.to_dict()).metrics == before.metrics
