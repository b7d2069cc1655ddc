from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.evidence import EvidenceSoFar, judged_again
from airflow_mlops.domain.facts.results import Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.facts.windows import WindowChoice
from airflow_mlops.domain.spec.model import (
    Candidate,
    Fairness,
    Features,
    Gates,
    Rescue,
    Serving,
    Slices,
    Stability,
    VersusChampion,
)
from airflow_mlops.exceptions import (
    DigestMismatch,
    LeakedRows,
    ModelNotFound,
    NotEnoughData,
    SchemaMismatch,
    TrainingFailed,
)
from airflow_mlops.learning.bless.sample import DIGEST_TAG, fetch
from airflow_mlops.learning.models import models
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stores.registry import tracking
from synthetic import make_client, make_rows, make_split, make_trained

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # real processes, or fits: seconds each

GUESS = Candidate(estimator="sklearn.dummy.DummyClassifier", params={"strategy": "prior"})
ROWS = make_rows(1200)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return make_client(tmp_path_factory.mktemp("mlflow"))


@pytest.fixture(scope="module")
def good(client: Any) -> TrainedModel:
    return make_trained(client, ROWS, "good")


@pytest.fixture(scope="module")
def again(client: Any) -> TrainedModel:
    """The same model as another version."""
    return make_trained(client, ROWS, "again")


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
    seen = ROWS.select(["flight", "departure"])
    return evaluate.evaluate(
        rows,
        **{
            "client": client,
            "candidates": candidates,
            "seen": seen,
            "pictures": False,
            **settings,
            **changes,
        },
    )


def test_candidates_of_different_windows_are_of_one_training(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    later = good.split.model_copy(update={"start": good.split.start + timedelta(days=7), "train_rows": 400})
    choice = WindowChoice(chosen="all", partition="2013-01", scores={"all": 0.7, "2": 0.6})
    whole = guess.model_copy(update={"window": choice})
    short = good.model_copy(update={"window": choice.model_copy(update={"chosen": 2}), "split": later})
    assert judged(client, whole, short).candidate == short
    with pytest.raises(TrainingFailed, match="trained on different data"):
        judged(client, guess, short)


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


def failing(trained: TrainedModel, **changes: Any) -> dict[str, Any]:
    """Return what is known where the champion fails, and a gate that asks for it and is hard to pass by itself."""
    decision = RetrainDecision(
        model=trained.model, partition="2013-02", retrain=True, checks=(), dataset=trained.dataset, reason="r",
        failing="2013-01: log_loss 1.17 is worse than a constant",
    )  # fmt: skip
    rows = ROWS.filter(pc.less(ROWS["departure"], trained.split.cut))
    gates = Gates(versus_champion=VersusChampion(margin=0.45, rescue=Rescue()))
    return {"retrain": decision, "learned": lambda: rows, "gates": gates, **changes}


def test_a_candidate_that_is_the_better_bet_rescues_from_a_champion_that_fails(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    evaluation = judged(client, good, champion=ref_of(guess), **failing(good))
    [check] = named(evaluation, "rescue")
    assert (evaluation.verdict, check.verdict) == (Verdict.PASS, Verdict.PASS)
    # It stands in place of the comparison, which it would not have passed.
    assert named(evaluation, "versus_champion.roc_auc") == []
    assert "rescue: the better bet" in evaluation.reason
    assert "log_loss 1.17 is worse than a constant" in evaluation.reason
    assert (check.observed, check.baseline) == (evaluation.metrics["roc_auc"], 0.5)


@pytest.mark.parametrize(
    "change", [{"retrain": None}, {"gates": Gates(versus_champion=VersusChampion(margin=0.45))}]
)
def test_a_champion_that_does_well_is_not_rescued_from(
    client: Any, good: TrainedModel, guess: TrainedModel, change: dict[str, Any]
) -> None:
    evaluation = judged(client, good, champion=ref_of(guess), **failing(good, **change))
    assert named(evaluation, "rescue") == []
    assert [check.verdict for check in named(evaluation, "versus_champion.roc_auc")] != [Verdict.PASS]


def test_a_candidate_that_is_no_better_than_a_constant_rescues_nobody(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    evaluation = judged(client, guess, champion=ref_of(good), **failing(guess))
    [check] = named(evaluation, "rescue")
    assert (evaluation.verdict, check.verdict) == (Verdict.FAIL, Verdict.FAIL)
    assert named(evaluation, "versus_champion.roc_auc")


def test_the_better_bet_among_regressions(client: Any) -> None:
    settings = {"task": "regression", "target": "delay", "metric": "rmse", "model": "delays"}
    mean = Candidate(estimator="sklearn.dummy.DummyRegressor")
    ridge = Candidate(estimator="sklearn.linear_model.Ridge")
    poor, better = (
        make_trained(client, ROWS, f"bet-{each.name}", candidate=each, **settings) for each in (mean, ridge)
    )
    gates = Gates(versus_champion=VersusChampion(margin=100.0, rescue=Rescue()))
    evaluation = judged(client, better, champion=ref_of(poor), **failing(better, gates=gates))
    [check] = named(evaluation, "rescue")
    assert check.verdict is Verdict.PASS
    assert "better in rmse and rmse" not in check.expected


@pytest.mark.parametrize(
    ("times", "margin", "passes"),
    [(2, 0.0, True), (4, 0.0, False), (None, 0.0, False), (2, 0.001, False)],
)
def test_a_candidate_that_has_learned_from_more_is_the_better_bet(
    client: Any, good: TrainedModel, times: float | None, margin: float, passes: bool
) -> None:
    span = good.split.cut - good.split.start
    short = make_split(ROWS).model_copy(update={"start": good.split.start + 0.6 * span})
    champion = make_trained(client, ROWS, "short", split=short)
    versus = VersusChampion(more_data=times, margin=margin, confidence=0.9999)
    rows = ROWS.filter(pc.less(ROWS["departure"], good.split.cut))
    evaluation = judged(
        client, good, champion=ref_of(champion), gates=Gates(versus_champion=versus), learned=lambda: rows
    )
    bets = [check.verdict for check in named(evaluation, "more_data")]
    assert bets == ([Verdict.PASS] if passes else [])
    assert (evaluation.verdict is Verdict.PASS) is passes
    assert ("it has learned from 2.5 times as long as the champion" in evaluation.reason) is passes
    # The other way round there is less.
    back = judged(client, champion, champion=ref_of(good), gates=Gates(versus_champion=versus))
    assert named(back, "more_data") == []


ADDS_UP = Gates(versus_champion=VersusChampion(evidence="adds_up"))


def known(trained: TrainedModel, **facts: Any) -> RetrainDecision:
    settings: dict[str, Any] = {"retrain": True, "checks": (), "reason": "r"}
    return RetrainDecision(
        model=trained.model, partition="2013-02", dataset=trained.dataset, **(settings | facts)
    )


def test_the_first_look_is_by_an_interval_of_half_the_error_and_leaves_evidence(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    alone = judged(client, good, champion=ref_of(guess))
    evaluation = judged(client, good, champion=ref_of(guess), gates=ADDS_UP)
    [once], [check] = (named(each, "versus_champion.roc_auc") for each in (alone, evaluation))
    assert (evaluation.verdict, check.verdict) == (Verdict.PASS, Verdict.PASS)
    assert once.interval is not None
    assert check.interval is not None
    assert check.interval[0] < once.interval[0]
    [evidence] = named(evaluation, "evidence")
    assert (evidence.verdict, evidence.n) == (Verdict.PASS, 1)
    assert evidence.observed is not None
    assert evidence.observed > 80
    assert named(alone, "evidence") == []


def test_only_rows_that_do_not_count_yet_are_added_to_the_evidence(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    times = ROWS["departure"].to_pylist()
    middle = good.split.cut + (good.split.end - good.split.cut) / 2

    def after(until: Any) -> Check:
        so_far = EvidenceSoFar(value=4.0, looks=2, until=until)
        evaluation = judged(
            client, good, champion=ref_of(guess), gates=ADDS_UP, retrain=known(good, evidence=so_far)
        )
        return named(evaluation, "evidence")[0]

    whole, half, none = (after(until) for until in (good.split.cut, middle, max(times) + timedelta(1)))
    assert (none.observed, none.n) == (4.0, 2)
    assert (whole.n, half.n) == (3, 3)
    assert 4.0 < (half.observed or 0) < (whole.observed or 0)


def test_after_the_first_look_an_interval_alone_is_not_enough(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    so_far = EvidenceSoFar(value=0.5, looks=5, until=good.split.end)
    evaluation = judged(
        client, good, champion=ref_of(guess), gates=ADDS_UP, retrain=known(good, evidence=so_far)
    )
    [check] = named(evaluation, "versus_champion.roc_auc")
    assert (evaluation.verdict, check.verdict) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    assert "counts at the first look alone" in check.reason
    assert "evidence: 0.5 of 80 needed" in evaluation.reason


def test_an_evaluation_says_that_its_candidate_was_judged_before(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    again = known(good, retrain=False, version=good.version)
    evaluation = judged(client, good, champion=ref_of(guess), gates=ADDS_UP, retrain=again)
    assert evaluation.checks[-1].name == "again"
    assert judged_again(evaluation.checks)
    assert not judged_again(judged(client, good, champion=ref_of(guess), gates=ADDS_UP).checks)


def test_evidence_about_values_has_a_clip(client: Any) -> None:
    settings = {"task": "regression", "target": "delay", "metric": "rmse", "model": "delays"}
    mean = Candidate(estimator="sklearn.dummy.DummyRegressor")
    ridge = Candidate(estimator="sklearn.linear_model.Ridge")
    poor, better = (
        make_trained(client, ROWS, f"sum-{each.name}", candidate=each, **settings) for each in (mean, ridge)
    )
    rows = ROWS.filter(pc.less(ROWS["departure"], better.split.cut))
    evaluation = judged(client, better, champion=ref_of(poor), gates=ADDS_UP, learned=lambda: rows)
    [evidence] = named(evaluation, "evidence")
    assert evidence.observed is not None
    assert evidence.observed > 80
    assert "an error counts up to" in evidence.reason


def test_a_candidate_that_is_the_champion_over_again_fails(
    client: Any, good: TrainedModel, again: TrainedModel
) -> None:
    evaluation = judged(client, good, champion=ref_of(again))
    [check] = named(evaluation, "versus_champion.roc_auc")
    assert check.verdict is Verdict.FAIL
    assert "nothing new" in check.reason
    assert evaluation.metrics == evaluation.champion_metrics


def test_without_a_comparison_a_candidate_may_be_the_champion_over_again(
    client: Any, good: TrainedModel, again: TrainedModel
) -> None:
    evaluation = judged(client, good, champion=ref_of(again), gates=Gates(versus_champion=None))
    assert evaluation.verdict is Verdict.PASS


def test_a_worse_candidate_fails(client: Any, good: TrainedModel, guess: TrainedModel) -> None:
    evaluation = judged(client, guess, champion=ref_of(good))
    assert evaluation.verdict is Verdict.FAIL
    assert "versus_champion.roc_auc: improvement -" in evaluation.reason


def test_a_floor_that_is_not_reached_fails(client: Any, good: TrainedModel) -> None:
    evaluation = judged(client, good, gates=Gates(floor={"roc_auc": 0.999, "brier": 0.25}))
    found = {check.name: check.verdict for check in evaluation.checks}
    assert (found["floor.roc_auc"], found["floor.brier"]) == (Verdict.FAIL, Verdict.PASS)
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


def test_what_no_spec_has_to_ask_for_is_checked_all_the_same(client: Any, good: TrainedModel) -> None:
    evaluation = judged(client, good, gates=Gates(versus_champion=None, leakage=None))
    assert evaluation.verdict is Verdict.PASS
    assert [check.name for check in evaluation.checks] == ["leakage.rows", "blessing"]


def test_an_evaluation_that_is_cleared_after_its_promotion_stays_as_it_is(
    client: Any, again: TrainedModel
) -> None:
    first = judged(client, again)
    cleared = judged(client, again, champion=ref_of(again), gates=Gates(floor={"roc_auc": 1.0}))
    assert cleared == first
    assert client.get_model_version(again.model, again.version).tags["mlops.verdict"] == "PASS"
    client.log_text(again.run_id, '{"verdict": ', "evaluation.json")
    with pytest.raises(
        ModelNotFound, match=f"evaluation.json of MLflow run {again.run_id} was written by another"
    ):
        judged(client, again, champion=ref_of(again))


def test_a_holdout_with_three_labels_is_inconclusive(client: Any, good: TrainedModel) -> None:
    holdout = ROWS.filter(pc.greater_equal(ROWS["departure"], good.split.cut))
    known = pc.less(pa.array(range(holdout.num_rows)), 3)
    labels = pc.if_else(known, holdout["late"], None)
    few = holdout.set_column(holdout.column_names.index("late"), "late", labels)
    gates = Gates(floor={"accuracy": 0.0}, versus_champion=None, leakage=None)
    evaluation = judged(client, good, holdout=few, gates=gates)
    [check] = named(evaluation, "floor.accuracy")
    assert (evaluation.verdict, check.verdict, check.n) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE, 3)


def test_a_sample_that_is_not_the_one_that_was_logged_blesses_nothing(
    client: Any, again: TrainedModel, tmp_path: Path
) -> None:
    sample = fetch(client, ref_of(again), tmp_path)[1]
    rows = pq.read_table(sample)
    try:
        pq.write_table(rows.slice(0, 1), sample)
        client.log_artifact(again.run_id, str(sample), "blessing")
        with pytest.raises(DigestMismatch, match="it proves nothing"):
            fetch(client, ref_of(again), tmp_path)
        # Versions of earlier releases have no such tag.
        client.delete_model_version_tag(again.model, again.version, DIGEST_TAG)
        assert pq.read_table(fetch(client, ref_of(again), tmp_path)[1]).num_rows == 1
    finally:
        pq.write_table(rows, sample)
        client.log_artifact(again.run_id, str(sample), "blessing")


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


def test_what_was_found_is_logged_to_the_run_of_the_candidate(
    client: Any, again: TrainedModel, tmp_path: Path
) -> None:
    trained = again
    evaluation = judged(client, trained)
    run = client.get_run(trained.run_id)
    assert run.data.metrics["holdout/roc_auc"] == evaluation.metrics["roc_auc"]
    low, high = (run.data.metrics[f"holdout_{end}/roc_auc"] for end in ("low", "high"))
    assert evaluation.intervals["roc_auc"] == (low, high)
    assert low < evaluation.metrics["roc_auc"] < high
    written = Path(client.download_artifacts(trained.run_id, "evaluation.json", str(tmp_path))).read_text()
    assert Evaluation.from_dict(json.loads(written)) == evaluation
    assert client.get_model_version(trained.model, trained.version).tags["mlops.verdict"] == "PASS"


def test_pictures_are_drawn_when_they_are_wanted(client: Any, good: TrainedModel) -> None:
    assert not client.list_artifacts(good.run_id, "plots")
    judged(client, good, pictures=True)
    assert client.list_artifacts(good.run_id, "plots")


@pytest.mark.usefixtures("fresh_process")
def test_a_candidate_is_blessed_in_a_fresh_process_with_its_own_requirements(
    client: Any, good: TrainedModel
) -> None:
    gates = Gates(serving=Serving(size=100, latency=10_000))
    evaluation = judged(client, good, gates=gates)
    found = {check.name: check for check in evaluation.checks}
    assert evaluation.verdict is Verdict.PASS, evaluation.reason
    assert found["blessing"].observed == 0
    assert 0 < found["serving.size"].observed < 1
    assert found["serving.latency"].observed > 0


@pytest.mark.usefixtures("fresh_process")
def test_other_packages_than_in_training_fail_the_blessing_and_both_are_named(
    client: Any, good: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(client: Any, run_id: str, folder: Path, file: str = tracking.MODEL_FILE) -> Path:
        path = real(client, run_id, folder, file)
        if file == "requirements.txt":
            path.write_text("numpy==1.0\nno-such-package>=2\n")
        return path

    real = models.download
    monkeypatch.setattr(models, "download", download)
    evaluation = judged(client, good, gates=Gates(serving=Serving(latency=10_000)))
    [check] = named(evaluation, "blessing")
    assert (evaluation.verdict, check.verdict) == (Verdict.FAIL, Verdict.FAIL)
    assert f"numpy==1.0, which is {np.__version__} here" in check.reason
    assert "no-such-package>=2, which is not installed here" in check.reason
    assert [each.verdict for each in named(evaluation, "serving.latency")] == [Verdict.INCONCLUSIVE]


def test_a_model_that_is_larger_or_slower_than_allowed_fails(client: Any, good: TrainedModel) -> None:
    evaluation = judged(client, good, gates=Gates(serving=Serving(size=1e-6, latency=1e-6)))
    found = {check.name: check.verdict for check in evaluation.checks}
    assert (found["serving.size"], found["serving.latency"]) == (Verdict.FAIL, Verdict.FAIL)


def test_rows_from_before_the_holdout_are_refused(client: Any, good: TrainedModel) -> None:
    with pytest.raises(LeakedRows, match="669 of 1,200 rows are not of the holdout"):
        judged(client, good, holdout=ROWS)


def test_a_row_of_the_holdout_that_was_trained_on_under_another_time_fails(
    client: Any, good: TrainedModel
) -> None:
    holdout = ROWS.filter(pc.greater_equal(ROWS["departure"], good.split.cut))
    keys = pc.if_else(pc.less(holdout["flight"], 671), pc.subtract(holdout["flight"], 600), holdout["flight"])
    moved = holdout.set_column(holdout.column_names.index("flight"), "flight", keys)
    evaluation = judged(client, good, holdout=moved)
    [check] = named(evaluation, "leakage.rows")
    assert (evaluation.verdict, check.observed) == (Verdict.FAIL, 2)
    assert "such as 69, 70" in check.reason


def test_a_champion_that_has_seen_the_holdout_is_not_compared_with(client: Any, good: TrainedModel) -> None:
    later = make_split(ROWS, holdout=0.05)
    peeked = make_trained(client, ROWS, "peeked", split=later, candidate=GUESS)
    evaluation = judged(client, good, champion=ref_of(peeked))
    [check] = named(evaluation, "versus_champion.roc_auc")
    assert check.verdict is Verdict.INCONCLUSIVE
    assert f"version {peeked.version} has learned from" in check.reason
    assert (check.observed, check.baseline) == (evaluation.metrics["roc_auc"], 0.5)


def test_a_champion_of_another_target_is_not_compared_with(client: Any, good: TrainedModel) -> None:
    rows = ROWS.append_column("early", pc.invert(ROWS["late"]))
    other = make_trained(client, rows, "early", target="early")
    evaluation = judged(client, good, champion=ref_of(other))
    [check] = named(evaluation, "versus_champion.roc_auc")
    assert (evaluation.verdict, check.verdict) == (Verdict.INCONCLUSIVE, Verdict.INCONCLUSIVE)
    assert f"the target of version {other.version} is early, that of the candidate late" in check.reason
    assert evaluation.champion_metrics == {}


def test_a_champion_whose_features_are_gone_is_still_the_champion(client: Any, good: TrainedModel) -> None:
    rows = ROWS.append_column("pressure", ROWS["wind"])
    features = Features(numeric=("pressure",), categorical=("carrier",))
    other = make_trained(client, rows, "pressure", features=features)
    evaluation = judged(client, good, champion=ref_of(other))
    [check] = named(evaluation, "versus_champion.roc_auc")
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "cannot predict these rows: The data has no column pressure" in check.reason


def test_a_champion_of_other_features_that_are_there_is_compared_with(
    client: Any, good: TrainedModel
) -> None:
    other = make_trained(client, ROWS, "distance", features=Features(numeric=("distance",)))
    [check] = named(judged(client, good, champion=ref_of(other)), "versus_champion.roc_auc")
    assert check.verdict is Verdict.PASS


def test_a_champion_on_features_of_another_transform_is_not_compared_with(
    client: Any, good: TrainedModel
) -> None:
    guess = make_trained(
        client, ROWS, "prepared", candidate=GUESS, tags={"mlops.transform": "prepare:rows@1"}
    )
    evaluation = judged(client, good, champion=ref_of(guess))
    [check] = named(evaluation, "versus_champion.roc_auc")
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "learned from what prepare:rows@1 prepared" in check.reason


def test_predictions_that_are_no_numbers_fail_and_nothing_else_is_measured(
    client: Any, good: TrainedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = models.predicted

    def predicted(model: Any, frame: Any, task: str, classes: Any = None) -> np.ndarray:
        values = real(model, frame, task, classes)
        if values.size > 200:  # not the sample of the blessing
            values[-3:] = [np.nan, np.inf, -np.inf]
        return values

    monkeypatch.setattr(evaluate.models, "predicted", predicted)
    evaluation = judged(client, good, gates=Gates(floor={"roc_auc": 0.5}))
    [check] = named(evaluation, "predictions")
    assert (evaluation.verdict, check.observed) == (Verdict.FAIL, 3)
    assert set(evaluation.metrics.values()) == {None}
    assert not named(evaluation, "floor.roc_auc")


def test_a_copy_of_the_target_among_the_features_fails(client: Any) -> None:
    rows = ROWS.append_column("arrived", pc.cast(ROWS["late"], "string"))
    features = Features(numeric=("wind",), categorical=("arrived",))
    trained = make_trained(client, rows, "copy", features=features, model="copy")
    holdout = rows.filter(pc.greater_equal(rows["departure"], trained.split.cut))
    [check] = named(judged(client, trained, holdout=holdout), "leakage.features")
    assert check.verdict is Verdict.FAIL
    assert "'arrived' (1) predicts the target too well" in check.reason


def test_calibration_fairness_and_stability_are_judged_when_the_spec_asks(
    client: Any, good: TrainedModel
) -> None:
    gates = Gates(
        calibration=0.2,
        fairness=Fairness(by=("origin", "carrier"), gaps={"selection_rate": 0.9}, min_rows=100),
        stability=Stability(drop=0.3, by="week", min_rows=100),
    )
    evaluation = judged(client, good, gates=gates)
    found = {check.name: check for check in evaluation.checks}
    assert found["calibration"].interval is not None
    # 531 rows.
    assert (found["calibration"].verdict, evaluation.verdict) == (Verdict.INCONCLUSIVE,) * 2
    fair = named(evaluation, "fairness.selection_rate")
    assert {check.slice: check.verdict for check in fair} == {"origin": Verdict.PASS, "carrier": Verdict.PASS}
    assert evaluation.unjudged.startswith("carrier=missing (")
    assert f"too few rows to judge {evaluation.unjudged}" in evaluation.reason
    assert found["stability.roc_auc"].slice.startswith("2013-0")


def test_a_candidate_without_an_inner_score_is_judged_alone_but_never_preferred(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    unranked = good.model_copy(update={"score": None, "candidate": "alone"})
    assert judged(client, unranked).candidate == unranked
    assert judged(client, unranked, guess).candidate == guess


def test_too_short_a_holdout_is_inconclusive_and_says_what_to_do(
    client: Any, good: TrainedModel, guess: TrainedModel
) -> None:
    gates = Gates(versus_champion=VersusChampion(block="week"))
    [check] = named(judged(client, good, champion=ref_of(guess), gates=gates), "versus_champion.roc_auc")
    assert check.verdict is Verdict.INCONCLUSIVE
    assert "weeks cannot tell how much of it is chance, 7 are needed" in check.reason
