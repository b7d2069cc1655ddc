from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import Evaluation, TrainedModel
from airflow_mlops.domain.spec.model import Candidate, Gates
from airflow_mlops.operators.evaluate import EvaluateOperator
from airflow_mlops.reporting.card import card
from airflow_mlops.runs import report_path
from contexts import Run, deploy
from history import MODEL, STIFF, History, changed, rows_of, shifted

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # real processes, or fits: seconds each

SAMPLE_ROWS = 200
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
    assert {check.n for check in evaluation.checks} == {trained.split.holdout_rows, SAMPLE_ROWS}
    assert run.pushed == {"mlflow_run": trained.run_id, "report": f"{MODEL}/2013-02/model_card.html"}


def test_a_recalibration_that_was_not_made_is_no_candidate(trained: TrainedModel) -> None:
    assert evaluated(Run(partition="2013-02"), [trained.to_dict(), {}]).candidate == trained


def test_the_model_card_says_what_the_model_is_for(trained: TrainedModel) -> None:
    run = Run(partition="2013-02")
    run.execute(
        EvaluateOperator, models=trained.to_dict(), description="Will it be late?", owner="operations"
    )
    card = report_path(run.pushed["report"]).read_text()
    assert "Will it be late?" in card
    assert "operations" in card


def test_a_card_that_cannot_be_written_leaves_the_evaluation_as_it_is(
    trained: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise RuntimeError("no card today")

    monkeypatch.setattr(card, "write", fail)
    run = Run(partition="2013-02")
    assert evaluated(run, trained.to_dict()).verdict is Verdict.PASS
    assert "report" not in run.pushed


def test_a_key_that_was_trained_on_under_another_time_fails(history: History) -> None:
    history.publish("2013-01")
    february = rows_of("2013-02")
    known = changed(
        february,
        flight=pc.if_else(pc.equal(february["flight"], february["flight"][9]), 0, february["flight"]),
    )
    trained = history.train(history.publish("2013-02", known))
    evaluation = evaluated(Run(partition="2013-02"), trained.to_dict())
    [check] = [check for check in evaluation.checks if check.name == "leakage.rows"]
    assert (check.verdict, check.observed) == (Verdict.FAIL, 1)


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
