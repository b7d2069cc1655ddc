"""Texts of three classes, a class that comes late, weights with intervals, and costs: four loops on one scheduler."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics as sk

from airflow_mlops.domain.facts.performance import Judgement
from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local.catch_up import STAGES, CatchUp
from airflow_mlops.stages.performance import judge
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables
from deployment import Deployment
from questions import COSTS, FAULTS, FLOOD_FROM, MONTHS, ROWS, SUBJECTS, spec, write

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

_JUDGED = MONTHS[1]
"""The first month that is scored; at the end of the month after it, all of its labels are known."""
_DAG_FILE = """# Airflow looks for the word DAG in a file before it reads it.
from airflow_mlops import ModelSpec, continuous_training

for name in {names}:
    continuous_training(ModelSpec.load(f"{{name}}.yaml"))
"""


class Loops(NamedTuple):
    """Four models whose months have all been replayed.

    :param truth: for each model, the true label of each key by month.
    """

    deployment: Deployment
    replays: dict[str, CatchUp]
    truth: dict[str, dict[str, dict[str, Any]]]

    def served(self, name: str, month: str) -> tuple[pa.Table, np.ndarray]:
        """Return the predictions of a month, and the true label of each."""
        rows = tables.read(self.deployment.uri(name, "predictions"), partition=month)
        labels = self.truth[name][month]
        return rows, np.array([labels[key] for key in rows["id"].to_pylist()])

    def judged(self, name: str) -> Judgement:
        """Return how the predictions of the first scored month were judged, once all its labels were known."""
        history = judge.history(self.deployment.uri(name, "performance"))
        return max((each for each in history if each.scored == _JUDGED), key=lambda each: each.as_of)


@pytest.fixture(scope="module")
def loops(deployment: Deployment) -> Loops:
    folder = deployment.home / "questions"
    folder.mkdir()
    truth = {name: write(name, folder) for name in SUBJECTS}
    files = {f"{name}.yaml": spec(name, folder) for name in SUBJECTS}
    files["questions.py"] = _DAG_FILE.format(names=tuple(SUBJECTS))
    deployment.deploy(files, *(f"{name}.{stage}" for name in SUBJECTS for stage in STAGES))
    first, last = (Partition.parse(key, "month") for key in (MONTHS[0], MONTHS[-1]))
    replays = {name: CatchUp(deployment.airflow, name, first, last) for name in SUBJECTS}
    for replay in replays.values():
        replay.start()
    for name, replay in replays.items():
        deployment.airflow.wait(replay.ended, f"the replay of {name} to end", seconds=900, interval=2)
    return Loops(deployment, replays, truth)


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_stage_of_every_month_succeeds(loops: Loops, name: str) -> None:
    replay = loops.replays[name]
    assert not [line for failure in replay.failures() for line in replay.errors(failure)]
    assert {month: set(stages) for month, stages in replay.states().items()} == dict.fromkeys(
        MONTHS, set(STAGES)
    )


@pytest.mark.parametrize("name", SUBJECTS)
def test_the_first_month_trains_a_champion_and_the_third_another_candidate(loops: Loops, name: str) -> None:
    decisions = [ledger.decision(loops.deployment.uri(name, "ledger"), month) for month in MONTHS]
    assert (decisions[0].action, decisions[0].after) == (Action.PROMOTED, "1"), decisions[0].reason
    assert decisions[2].candidate == "2"
    assert decisions[2].action in (Action.PROMOTED, Action.REFUSED)


@pytest.mark.parametrize("name", SUBJECTS)
def test_every_row_is_scored_and_labels_that_come_late_are_judged(loops: Loops, name: str) -> None:
    rows, _ = loops.served(name, _JUDGED)
    assert rows.num_rows == len(set(rows["id"].to_pylist())) == ROWS
    judgement = loops.judged(name)
    assert (judgement.predicted, judgement.labelled, judgement.as_of > _JUDGED) == (ROWS, ROWS, True)


def agrees(judgement: Judgement, expected: dict[str, float]) -> None:
    measured = {name: judgement.metrics[name].value for name in expected}
    assert measured == pytest.approx(expected, rel=1e-12)


def test_three_classes_of_texts_are_measured_as_scikit_learn_does(loops: Loops) -> None:
    rows, teams = loops.served("tickets", _JUDGED)
    judgement = loops.judged("tickets")
    probabilities, classes = np.array(rows["probabilities"].to_pylist()), list(judgement.classes)
    assert classes == ["billing", "outage", "sales"]
    chosen = np.array(rows["prediction"].to_pylist())
    assert (chosen == np.array(classes)[probabilities.argmax(axis=1)]).all()
    agrees(
        judgement,
        {
            "log_loss": sk.log_loss(teams, probabilities, labels=classes),
            "accuracy": sk.accuracy_score(teams, chosen),
            "f1": sk.f1_score(teams, chosen, average="macro"),
            "roc_auc": sk.roc_auc_score(teams, probabilities, multi_class="ovr", labels=classes),
        },
    )
    assert sk.accuracy_score(teams, chosen) > 0.8  # nine tickets of ten speak of what they are about


def test_a_class_that_comes_late_has_no_probability_before_and_one_after(loops: Loops) -> None:
    flood = FAULTS.index("flood")
    for month in (_JUDGED, FLOOD_FROM):
        rows, _ = loops.served("faults", month)
        probabilities = np.array(rows["probabilities"].to_pylist())
        assert probabilities.shape == (ROWS, len(FAULTS))
        assert not probabilities[:, flood].any()
    decision = ledger.decision(loops.deployment.uri("faults", "ledger"), FLOOD_FROM)
    assert decision.action is Action.PROMOTED, decision.reason
    rows, faults = loops.served("faults", MONTHS[3])
    probabilities = np.array(rows["probabilities"].to_pylist())
    assert sk.roc_auc_score(faults == "flood", probabilities[:, flood]) > 0.9


def test_a_weighted_regression_tells_how_sure_it_is(loops: Loops) -> None:
    rows, prices = loops.served("prices", _JUDGED)
    inside = (rows["score_low"].to_numpy() <= prices) & (prices <= rows["score_high"].to_numpy())
    # 0.9 within four standard errors.
    assert inside.mean() == pytest.approx(0.9, abs=4 * (0.9 * 0.1 / ROWS) ** 0.5 + 0.02)


def test_frauds_are_called_by_what_they_cost(loops: Loops) -> None:
    rows, frauds = loops.served("payments", _JUDGED)
    called = np.array(rows["prediction"].to_pylist()).astype(int)
    scores = rows["score"].to_numpy()
    assert scores[called == 1].min() > scores[called == 0].max()
    assert scores[called == 1].min() < 0.3  # a missed fraud costs twenty times a false alarm

    def cost(calls: np.ndarray) -> float:
        missed, false = (calls == 0) & (frauds == 1), (calls == 1) & (frauds == 0)
        return float((missed * COSTS["false_negative"] + false * COSTS["false_positive"]).mean())

    agrees(loops.judged("payments"), {"expected_cost": cost(called)})
    assert cost(called) < cost((scores >= 0.5).astype(int))
