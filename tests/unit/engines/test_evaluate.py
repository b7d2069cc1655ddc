from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.results import Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.spec import Candidate, Gates, Slices
from airflow_mlops.engines import evaluate
from airflow_mlops.exceptions import DigestMismatch, ModelNotFound, NotEnoughData, SchemaMismatch
from synthetic import LOGISTIC, make_client, make_rows, make_trained

GUESS = Candidate(estimator="sklearn.dummy.DummyClassifier", params={"strategy": "prior"})
ROWS = make_rows(1200)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_client(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="module")
def good(client: Any) -> TrainedModel:
    return make_trained(client, ROWS, "good")


@pytest.fixture(scope="module")
def guess(client: Any) -> TrainedModel:
    return make_trained(client, ROWS, "guess", candidate=GUESS)


def ref_of(trained: TrainedModel, **changes: str) -> ModelRef:
    facts = {
        "model": trained.model,
        "version": trained.version,
        "digest": trained.digest,
        "run_id": trained.run_id,
    }
    return ModelRef(**{**facts, **changes})


def judged(
    client: Any, *candidates: TrainedModel, holdout: pa.Table | None = None, **changes: Any
) -> Evaluation:
    split = candidates[0].split
    rows = ROWS.filter(pc.greater_equal(ROWS["departure"], split.cut)) if holdout is None else holdout
    settings: dict[str, Any] = {"champion": None, "gates": Gates(), "partition": "2013-02"}
    return evaluate.evaluate(rows, client=client, candidates=candidates, **{**settings, **changes})


def named(evaluation: Evaluation, name: str) -> list[Check]:
    return [check for check in evaluation.checks if check.name == name]


def test_the_candidate_with_the_best_inner_score_is_judged(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    evaluation = judged(client, guess, good)
    assert evaluation.candidate == good
    assert evaluation.leaderboard == {"DummyClassifier": 0.5, "LogisticRegression": good.score}


def test_of_losses_the_smallest_is_best(client: Any) -> None:
    settings = {"task": "regression", "target": "delay", "metric": "rmse", "model": "delays"}
    mean = Candidate(estimator="sklearn.dummy.DummyRegressor")
    ridge = Candidate(estimator="sklearn.linear_model.Ridge")
    both = [make_trained(client, ROWS, each.name, candidate=each, **settings) for each in (mean, ridge)]
    evaluation = judged(client, *both, gates=Gates(floor={"rmse": 15.0}))
    assert (evaluation.candidate.candidate, evaluation.verdict) == ("Ridge", Verdict.PASS)
    assert set(evaluation.metrics) == {"rmse", "mae", "r2"}
    assert [file.path for file in client.list_artifacts(both[1].run_id, "plots")] == ["plots/residuals.png"]


def test_a_first_model_passes_without_a_champion(client: Any, good: TrainedModel) -> None:
    evaluation = judged(client, good)
    assert (evaluation.verdict, evaluation.champion, evaluation.champion_metrics) == (Verdict.PASS, None, {})


def test_a_better_candidate_passes_with_the_interval_of_its_improvement(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    evaluation = judged(client, good, champion=ref_of(guess))
    [check] = named(evaluation, "versus_champion.roc_auc")
    assert evaluation.verdict is Verdict.PASS
    assert check.interval is not None
    assert 0.2 < check.interval[0] < evaluation.metrics["roc_auc"] - 0.5 < check.interval[1]
    assert evaluation.champion_metrics["roc_auc"] == 0.5


def test_a_candidate_that_equals_the_champion_is_not_promoted(client: Any, good: TrainedModel) -> None:
    evaluation = judged(client, good, champion=ref_of(good))
    assert evaluation.verdict is not Verdict.PASS
    assert evaluation.metrics == evaluation.champion_metrics


def test_a_worse_candidate_fails(client: Any, good: TrainedModel, guess: TrainedModel) -> None:
    evaluation = judged(client, guess, champion=ref_of(good))
    assert evaluation.verdict is Verdict.FAIL
    assert "versus_champion.roc_auc: improvement -" in evaluation.reason


def test_a_floor_that_is_not_reached_fails(client: Any, good: TrainedModel) -> None:
    evaluation = judged(client, good, gates=Gates(floor={"roc_auc": 0.999, "brier": 0.25}))
    assert [check.verdict for check in evaluation.checks] == [Verdict.FAIL, Verdict.PASS, Verdict.PASS]
    assert evaluation.verdict is Verdict.FAIL


def test_one_bad_slice_fails_the_whole(client: Any, good: TrainedModel) -> None:
    holdout = ROWS.filter(pc.greater_equal(ROWS["departure"], good.split.cut))
    wrong = pc.equal(holdout["origin"], "LGA")
    turned = holdout.set_column(holdout.column_names.index("late"), "late", pc.xor(holdout["late"], wrong))
    gates = Gates(versus_champion=None, slices=Slices(by=("origin",), floor={"roc_auc": 0.6}, min_rows=100))
    evaluation = judged(client, good, holdout=turned, gates=gates)
    found = {check.slice: check.verdict for check in named(evaluation, "floor.roc_auc")}
    assert found == {"origin=EWR": Verdict.PASS, "origin=JFK": Verdict.PASS, "origin=LGA": Verdict.FAIL}
    assert evaluation.verdict is Verdict.FAIL
    assert "floor.roc_auc of origin=LGA" in evaluation.reason


def test_slices_with_too_few_rows_are_named_but_do_not_block(client: Any, good: TrainedModel) -> None:
    gates = Gates(slices=Slices(by=("carrier",), floor={"roc_auc": 0.6}, min_rows=100))
    evaluation = judged(client, good, gates=gates)
    assert {check.slice for check in named(evaluation, "floor.roc_auc")} == {
        "carrier=AA",
        "carrier=DL",
        "carrier=UA",
    }
    assert evaluation.verdict is Verdict.PASS
    assert "too few rows to judge carrier=missing (" in evaluation.reason


def test_a_slice_by_a_column_that_is_not_there_is_named(client: Any, good: TrainedModel) -> None:
    gates = Gates(slices=Slices(by=("airport",), floor={"roc_auc": 0.6}))
    with pytest.raises(SchemaMismatch, match="'airport'"):
        judged(client, good, gates=gates)


def test_a_spec_may_ask_for_no_gate_at_all(client: Any, good: TrainedModel) -> None:
    evaluation = judged(client, good, gates=Gates(versus_champion=None))
    assert (evaluation.verdict, evaluation.checks) == (Verdict.PASS, ())
    assert "the spec asks for no gate" in evaluation.reason


def test_a_champion_that_cannot_be_read_is_never_no_champion(client: Any, good: TrainedModel) -> None:
    with pytest.raises(ModelNotFound):
        judged(client, good, champion=ref_of(good, run_id="nowhere"))
    with pytest.raises(DigestMismatch):
        judged(client, good, champion=ref_of(good, digest="0" * 64))


def test_a_holdout_without_labels_cannot_be_judged_on(client: Any, good: TrainedModel) -> None:
    bare = ROWS.set_column(ROWS.column_names.index("late"), "late", pa.nulls(ROWS.num_rows, pa.bool_()))
    with pytest.raises(NotEnoughData, match="none of the 1200 rows of the holdout has a label"):
        judged(client, good, holdout=bare)


def test_a_holdout_of_one_class_is_inconclusive(client: Any, good: TrainedModel) -> None:
    holdout = ROWS.filter(pc.and_(pc.greater_equal(ROWS["departure"], good.split.cut), ROWS["late"]))
    evaluation = judged(client, good, holdout=holdout, gates=Gates(floor={"roc_auc": 0.6}))
    assert evaluation.verdict is Verdict.INCONCLUSIVE
    assert evaluation.metrics["roc_auc"] is None


def test_what_was_found_is_logged_to_the_run_of_the_candidate(client: Any, tmp_path: Path) -> None:
    trained = make_trained(client, ROWS, "logged", candidate=LOGISTIC, model="logged")
    evaluation = judged(client, trained)
    run = client.get_run(trained.run_id)
    assert run.data.metrics["holdout/roc_auc"] == evaluation.metrics["roc_auc"]
    assert {file.path for file in client.list_artifacts(trained.run_id, "plots")} == {
        "plots/confusion.png",
        "plots/curves.png",
    }
    written = Path(client.download_artifacts(trained.run_id, "evaluation.json", str(tmp_path))).read_text()
    assert Evaluation.from_dict(json.loads(written)) == evaluation
    assert client.get_model_version("logged", trained.version).tags["mlops.verdict"] == "PASS"
