"""A metric of one's own, from the ranking of candidates to what production says, and the same model again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef, TrainedModel
from airflow_mlops.domain.metrics import find
from airflow_mlops.domain.spec.model import Candidate, Features, Gates, PerformancePolicy, Slices
from airflow_mlops.domain.spec.own_metrics import OwnMetric
from airflow_mlops.exceptions import MetricFailed
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import models
from airflow_mlops.reporting.card import card
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stages.train import jobs
from airflow_mlops.stores.registry import artifacts, registry
from history import MODEL, History, rows_of

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blessed_here")]  # fits: seconds each

CODE = """
import numpy as np

def saved(labels, probabilities):
    \"\"\"What calling the flights that will be late saves, in money per flight.\"\"\"
    called = probabilities >= 0.2
    return float(np.mean(5.0 * (called & (labels == 1)) - 1.0 * (called & (labels == 0))))

def broken(labels, probabilities):
    raise RuntimeError("no prices today")

def late(labels, probabilities):
    return 2.0
"""
SAVED = OwnMetric(function="company_prices:saved", greater_is_better=True, low=-1, high=5)
FEATURES = Features(numeric=("wind", "distance"), categorical=("carrier", "origin"))
WEAK = Candidate(estimator="sklearn.linear_model.LogisticRegression", params={"C": 0.0001}, name="Weak")
LINEAR = Candidate(estimator="sklearn.linear_model.LogisticRegression")


class Priced(NamedTuple):
    """Two months of flights and two models of them, ranked by what they save, and a third month that is scored."""

    history: History
    folder: Path
    february: DatasetVersion
    march: DatasetVersion
    champion: ModelRef
    better: TrainedModel


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Priced]:
    folder = tmp_path_factory.mktemp("prices")
    (folder / "company_prices.py").write_text(CODE)
    sys.path.insert(0, str(folder))
    history = History(tmp_path_factory.mktemp("priced"))
    history.publish("2013-01")
    february = history.publish("2013-02")
    champion = history.crown(history.train(february, candidate=WEAK, **settings()), "2013-02")
    better = history.train(february, candidate=LINEAR, **settings())
    march = history.publish("2013-03")
    score.score(
        history.client, model=MODEL, dataset=march, champion=champion, task="classification",
        uri=history.uri("predictions"),
    )  # fmt: skip
    yield Priced(history, folder, february, march, champion, better)
    sys.path.remove(str(folder))
    del sys.modules["company_prices"]


def settings(metric: OwnMetric = SAVED) -> dict[str, Any]:
    return {"metric": "saved", "features": FEATURES, "own_metrics": {"saved": metric}, "ranked": True}


def saved(labels: np.ndarray, probabilities: np.ndarray) -> float:
    called = probabilities >= 0.2
    return float(np.mean(np.where(labels == 1, 5.0, -1.0) * called))


def named(checks: Any, name: str, part: str | None = None) -> Check:
    [check] = [check for check in checks if check.name == name and check.slice == part]
    return check


def on(world: Priced, ref: ModelRef | TrainedModel, key: str) -> float:
    """Return what a model saves on a month."""
    made = ModelRef(model=MODEL, version=ref.version, digest=ref.digest, run_id=ref.run_id)
    rows = rows_of(key)
    predicted = models.predict(models.load_version(world.history.client, made), rows, "classification")
    return saved(rows["late"].to_numpy().astype(int), predicted)


def test_candidates_are_ranked_by_it_and_its_code_is_part_of_the_version(world: Priced) -> None:
    better = world.better
    assert better.score is not None
    assert (better.metric, better.own_metrics) == ("saved", {"saved": SAVED})
    ref = ModelRef(model=MODEL, version=better.version, digest=better.digest, run_id=better.run_id)
    tags = registry.short_tags(world.history.client, ref)
    [version] = json.loads(tags["mlops.metrics"]).values()
    assert version.startswith("company_prices:saved@")
    assert '"own_metrics":{"saved"' in tags[jobs.RECIPE]
    assert find("saved") is None


def test_the_gates_judge_it_beside_the_champion(world: Priced) -> None:
    gates = Gates(floor={"accuracy": 0.5}).model_copy(
        update={
            "floor": {"saved": 0.5},
            "slices": Slices(by=("origin",), floor={"accuracy": 0.1}, min_rows=30).model_copy(
                update={"floor": {"saved": -0.9}}
            ),
        }
    )
    evaluation = evaluate.evaluate_candidates(
        [world.better],
        client=world.history.client,
        dataset=world.february,
        champion=world.champion,
        gates=gates,
    )
    expected = on(world, world.better, "2013-02")
    assert evaluation.metrics["saved"] == pytest.approx(expected, rel=1e-12)
    assert evaluation.champion_metrics["saved"] == pytest.approx(
        on(world, world.champion, "2013-02"), rel=1e-12
    )
    assert named(evaluation.checks, "floor.saved").verdict is Verdict.PASS
    check = named(evaluation.checks, "versus_champion.saved")
    assert check.verdict is Verdict.PASS
    assert "bootstrap over" in check.reason
    low, high = evaluation.intervals["saved"]
    assert -1 <= low < expected < high <= 5
    assert named(evaluation.checks, "floor.saved", "origin=JFK").verdict is Verdict.PASS
    importance = artifacts.read(world.history.client, world.better.run_id, "plots/importance.json")
    assert importance is not None
    assert json.loads(importance)["wind"] > 0
    page = card.write(world.history.client, evaluation, validation_uri=None, description="", owner="")
    assert "saved" in page


def test_production_measures_it_and_holds_it_to_its_floor(world: Priced) -> None:
    question = Question(target="late", task="classification", metric="saved", own_metrics={"saved": SAVED})
    expected = on(world, world.champion, "2013-03")
    policy = PerformancePolicy(min_rows=50).model_copy(update={"floor": {"saved": expected + 0.01}})
    measured = performance.performance(
        world.history.client,
        truth=Truth(world.march, question),
        champion=world.champion,
        policy=policy,
        predictions_uri=world.history.uri("predictions"),
        performance_uri=world.history.uri("performance"),
    )
    assert measured.metrics["saved"] == pytest.approx(expected, rel=1e-12)
    assert measured.check.verdict is Verdict.FAIL
    assert measured.history[0].metrics["saved"].value == pytest.approx(expected, rel=1e-12)
    assert named(measured.others, "baseline").baseline is not None


def test_the_same_model_is_measured_again_by_the_code_of_folders_that_are_trusted(world: Priced) -> None:
    version = world.better.version
    trusted = reproduce.reproduce(world.history.client, MODEL, version, folders=[world.folder])
    assert named(trusted.environment, "metric saved").verdict is Verdict.PASS
    assert named(trusted.outcome, "saved").verdict is Verdict.PASS
    elsewhere = reproduce.reproduce(world.history.client, MODEL, version)
    assert elsewhere.reproduced
    for checks, name in ((elsewhere.environment, "metric saved"), (elsewhere.outcome, "saved")):
        assert named(checks, name).verdict is Verdict.INCONCLUSIVE


def test_a_function_that_is_not_there_stops_a_training_and_one_that_fails_each_trial(world: Priced) -> None:
    gone = OwnMetric(function="company_prices:profit", greater_is_better=True)
    with pytest.raises(MetricFailed, match="company_prices:profit cannot be imported"):
        world.history.train(world.february, candidate=LINEAR, **settings(gone))
    broken = OwnMetric(function="company_prices:broken", greater_is_better=True)
    with pytest.raises(Exception, match="saved: company_prices:broken: RuntimeError: no prices today"):
        world.history.train(world.february, candidate=LINEAR, **settings(broken))


def test_a_value_beyond_its_range_ranks_nothing(world: Priced) -> None:
    beyond = OwnMetric(function="company_prices:late", greater_is_better=True, low=0, high=1)
    with pytest.raises(Exception, match="saved is undefined on the"):
        world.history.train(world.february, candidate=LINEAR, **settings(beyond))
