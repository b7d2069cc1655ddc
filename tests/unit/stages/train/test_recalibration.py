"""A candidate that keeps the champion's model and refits its probabilities."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.decision import DecisionRule
from airflow_mlops.domain.facts.evidence import EVIDENCE
from airflow_mlops.domain.facts.recipe import Recipe
from airflow_mlops.domain.facts.results import DatasetVersion, Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.decision import Decision
from airflow_mlops.domain.spec.gates import Gates, Rescue, VersusChampion
from airflow_mlops.exceptions import TrainingFailed
from airflow_mlops.learning.models import models, thresholds
from airflow_mlops.learning.models.recalibrated import Recalibrated
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.train import offer, recalibration
from airflow_mlops.stages.train.former import hand_out
from airflow_mlops.stores.registry import artifacts
from airflow_mlops.stores.tables import tables
from history import MODEL, History, changed, month, rows_of
from synthetic import BOOSTING, LOGISTIC, make_recipe, make_split

pytestmark = [
    pytest.mark.slow,
    pytest.mark.usefixtures("blessed_here"),
]  # fits

MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")


def noisy(key: str, share: float = 0.5) -> pa.Table:
    """Return a month of which a share of the labels is a coin's: the order of rows holds, and probabilities are too sure."""
    rows, random = rows_of(key), np.random.default_rng(int(key[-2:]))
    late = rows["late"].to_numpy(zero_copy_only=False)
    coin = random.random(late.size) < share
    return changed(rows, late=pa.array(np.where(coin, random.random(late.size) < 0.5, late)))


@pytest.fixture
def history(tmp_path: Path) -> History:
    """A champion of January, and months since then in which it is too sure."""
    made = History(tmp_path)
    made.publish("2013-01")
    for key in MONTHS[1:]:
        made.publish(key, noisy(key))
    return made


def dataset_of(history: History, key: str) -> DatasetVersion:
    found = [version for version in tables.versions(history.uri("data")) if version.partition == key]
    latest = max(tables.versions(history.uri("data")), key=lambda version: version.version)
    return found[0].model_copy(update={"version": latest.version})


def crowned(history: History, **changes: Any) -> ModelRef:
    return history.crown(history.train(dataset_of(history, "2013-02"), **changes), "2013-02")


def recipe_at(history: History, key: str = "2013-04", **changes: Any) -> Recipe:
    """Say how a candidate is trained at a partition, with the month before it as the last to learn from."""
    dataset = dataset_of(history, key)
    rows = tables.read(dataset.uri, version=dataset.version)
    return make_recipe(rows, split=make_split(rows, partition=month(key)), dataset=dataset, **changes)


def offered(history: History, champion: ModelRef, **changes: Any) -> TrainedModel:
    made = offer.recalibrated(
        history.client, champion, recipe_at(history, **changes), key="recalibrated", tags={}
    )
    assert made is not None
    return made


def judged(history: History, champion: ModelRef, *candidates: TrainedModel, **changes: Any) -> Evaluation:
    return evaluate.evaluate_candidates(
        candidates,
        client=history.client,
        dataset=candidates[0].dataset,
        champion=champion,
        pictures=False,
        fresh=False,
        **{"gates": Gates(), **changes},
    )


def loaded(history: History, trained: TrainedModel) -> Any:
    return models.load_version(history.client, ref_of(trained))


def ref_of(trained: TrainedModel) -> ModelRef:
    return ModelRef(model=MODEL, version=trained.version, digest=trained.digest, run_id=trained.run_id)


@pytest.mark.parametrize("candidate", [LOGISTIC, BOOSTING], ids=["logits", "trees"])
def test_the_champion_ranks_as_before_and_its_probabilities_are_better(
    history: History, candidate: Any
) -> None:
    champion = crowned(history, candidate=candidate)
    made = offered(history, champion)
    assert (made.keeps, made.candidate, made.score) == (champion.version, "recalibration of version 1", None)
    assert made.split.start == rows_of("2013-01")["departure"][0].as_py()
    assert "its probabilities were refitted on 5" in made.remarks[0]
    assert loaded(history, made)[-1].slope < 0.5
    evaluation = judged(history, champion, history.train(dataset_of(history, "2013-04")), made)
    assert evaluation.candidate == made
    ours, theirs = evaluation.metrics, evaluation.champion_metrics
    assert ours["roc_auc"] == pytest.approx(theirs["roc_auc"], abs=1e-9)
    assert ours["log_loss"] < theirs["log_loss"]  # type: ignore[operator]
    [check] = [check for check in evaluation.checks if check.name.startswith("versus_champion")]
    assert (check.name, check.expected) == ("versus_champion.log_loss", "improvement > 0")
    assert check.verdict is Verdict.PASS


def adding_up(history: History, made: TrainedModel, **gates: Any) -> dict[str, Any]:
    """Return gates by which evidence adds up, and the decision that has led to a recalibration."""
    decision = RetrainDecision(
        model=MODEL, partition="2013-04", retrain=True, checks=(), dataset=made.dataset, reason="r", recalibrates=True,
    )  # fmt: skip
    versus = VersusChampion(evidence="adds_up", **gates)
    return {"gates": Gates(versus_champion=versus), "retrain": decision}


def test_where_a_recalibration_passes_what_was_trained_is_not_judged(history: History) -> None:
    champion = crowned(history)
    made, trained = offered(history, champion), history.train(dataset_of(history, "2013-04"))
    evaluation = judged(history, champion, trained, made)
    assert (evaluation.candidate, evaluation.verdict) == (made, Verdict.PASS)
    assert "judged too" not in evaluation.reason
    # Its evaluation was cleared after its promotion.
    now = history.crown(made, "2013-04")
    assert judged(history, now, trained, made) == evaluation


def test_where_a_recalibration_is_refused_the_best_trained_candidate_is_judged_and_evidence_is_its(
    history: History,
) -> None:
    champion = crowned(history)
    made, trained = offered(history, champion), history.train(dataset_of(history, "2013-04"))
    # No model of this month reaches it.
    facts = adding_up(history, made)
    facts["gates"] = facts["gates"].model_copy(update={"floor": {"roc_auc": 0.99}})
    evaluation = judged(history, champion, made, trained, **facts)
    alone = judged(history, champion, trained, **facts)
    assert (evaluation.candidate, evaluation.verdict) == (trained, Verdict.FAIL)
    evidence, of_it_alone = (
        [check for check in each.checks if check.name in (EVIDENCE, "versus_champion.roc_auc")]
        for each in (evaluation, alone)
    )
    assert len(evidence) == 2
    assert evidence == of_it_alone
    said = f"; judged too: recalibration of version 1 (version {made.version}), FAIL: floor.roc_auc: "
    assert evaluation.reason.startswith(alone.reason + said)
    assert set(evaluation.leaderboard) == {made.candidate, trained.candidate}
    kept = artifacts.read(history.client, made.run_id, "evaluation.json")
    assert kept is not None
    assert Evaluation.from_dict(json.loads(kept)).verdict is Verdict.FAIL


def test_a_promoted_candidate_is_not_judged_again_beside_a_recalibration(history: History) -> None:
    champion = crowned(history)
    made, trained = offered(history, champion), history.train(dataset_of(history, "2013-04"))
    first = judged(history, champion, trained)
    now = history.crown(trained, "2013-04")
    assert judged(history, now, made, trained) == first


def test_where_the_champion_fails_the_better_bet_is_by_log_loss_too(history: History) -> None:
    champion = crowned(history)
    made = offered(history, champion)
    fails = RetrainDecision(
        model=MODEL, partition="2013-04", retrain=True, checks=(), dataset=made.dataset, reason="r", failing="2013-03: calibration",
    )  # fmt: skip
    # More than this month can show.
    gates = Gates(versus_champion=VersusChampion(confidence=0.9999, rescue=Rescue()))
    checks = judged(history, champion, made, gates=gates, retrain=fails).checks
    [rescue] = [check for check in checks if check.name == "rescue"]
    assert rescue.verdict is Verdict.PASS
    assert rescue.expected.startswith("better in log_loss, improvement > ")


def test_a_recalibration_is_reproduced_and_a_retry_adopts_it(history: History) -> None:
    champion = crowned(history)
    made = offered(history, champion)
    assert offered(history, champion).version == made.version
    done = reproduce.reproduce(history.client, MODEL, made.version)
    assert (done.reproduced, done.digest) == (True, made.digest)
    dataset = dataset_of(history, "2013-04")
    again = hand_out(history.client, MODEL, made.version, dataset=dataset, delay=timedelta(0))
    assert again.keeps == champion.version


def test_a_recalibrated_champion_is_recalibrated_itself_and_not_its_curve(history: History) -> None:
    first = offer.recalibrated(
        history.client, crowned(history), recipe_at(history, "2013-03"), key="first", tags={}
    )
    assert first is not None
    champion = history.crown(first, "2013-03")
    second = loaded(history, offered(history, champion))
    assert isinstance(second[-1], Recalibrated)
    assert not isinstance(second[-1].estimator, Recalibrated)


def test_a_threshold_that_a_metric_chose_goes_where_the_same_rows_are_above_it(history: History) -> None:
    champion = crowned(history, decision=Decision(metric="f1"))
    made = offered(history, champion, decision=Decision(metric="f1"))
    before, after = (models.load_version(history.client, ref) for ref in (champion, ref_of(made)))
    assert made.decision is not None
    assert thresholds.of(after).threshold == made.decision.threshold
    assert made.decision.reason == "where that of version 1 went"
    frame = rows_of("2013-04").to_pandas()[list(made.features)]
    assert (before.predict(frame) == after.predict(frame)).all()


def test_a_threshold_that_costs_imply_is_that_of_any_probabilities(history: History) -> None:
    decision = Decision(costs={"false_negative": 3, "false_positive": 1})
    champion = crowned(history, decision=decision)
    made = offered(history, champion, decision=decision)
    assert made.decision is not None
    assert made.decision.threshold == 0.25


def test_a_fixed_threshold_stays(history: History) -> None:
    champion = crowned(history, decision=Decision(threshold=0.3))
    made = offered(history, champion, decision=Decision(threshold=0.3))
    assert isinstance(made.decision, DecisionRule)
    assert made.decision.threshold == 0.3


def test_what_cannot_be_recalibrated_offers_nothing(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    champion, ours = crowned(history), recipe_at(history)
    with pytest.raises(TrainingFailed, match="no label has come that it has not learned from"):
        recalibration.recipe_of(history.client, champion, recipe_at(history, "2013-02"))
    other = ours.model_copy(update={"target": "wind"})
    assert offer.recalibrated(history.client, champion, other, key="other", tags={}) is None
    assert "the spec has another target" in caplog.text
    gone = champion.model_copy(update={"version": "99"})
    assert offer.recalibrated(history.client, gone, ours, key="gone", tags={}) is None
    assert offer.recalibrated(history.client, None, ours, key="none", tags={}) is None
