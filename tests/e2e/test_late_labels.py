"""Labels that come later than the data, a challenger in shadow, and a person who is asked whether to train."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local.catch_up import STAGES, CatchUp
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.tables import tables
from deployment import Deployment
from people import Asked

MODEL = "loans"
MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")
ROWS = 1400
SPEC = """
name: loans
task: classification
target: defaulted
key: [id]
event_time: at
partition: month
start: 2013-01
end: 2013-04
source:
  files: {folder}/loans-{{partition}}.csv
labels:
  source:
    files: {folder}/defaults-{{partition}}.csv
features: {{numeric: [debt]}}
train: {{holdout: 0.25, window: 1, candidates: [sklearn.linear_model.LogisticRegression]}}
score:
  shadow: true
  outputs:
    - sql: {{conn_id: warehouse, table: risk}}
    - files: {folder}/risk-{{partition}}.parquet
gates: {{shadow: 1}}
retrain: {{when: {{every: 1}}, mode: suggest}}
alerts: {{email: [bank@example.com], events: [failure, promotion, approval]}}
"""
DAG_FILE = """# Airflow looks for the word DAG in a file before it reads it.
from airflow_mlops import ModelSpec, continuous_training

continuous_training(ModelSpec.load("loans.yaml"))
"""

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


def loans(month: str) -> list[tuple[str, str, str, str]]:
    """Return id, day, debt and default: in January those with little debt default, later those with much."""
    worse = (lambda debt: debt < 4) if month == MONTHS[0] else (lambda debt: debt > 2)
    return [
        (
            f"{month}-{i}",
            f"{month}-{i % 28 + 1:02d}",
            f"{i % 7}.5",
            f"{worse(i % 7) ^ (i // 28 % 4 == 0):d}",
        )
        for i in range(ROWS)
    ]


def write(folder: Path) -> None:
    """Write the loans without what became of them, a fifth of which is only known in the month after."""
    late: list[str] = []
    for month in MONTHS:
        rows = loans(month)
        data = ["id,at,debt", *(f"{key},{day},{debt}" for key, day, debt, _ in rows)]
        (folder / f"loans-{month}.csv").write_text("\n".join(data) + "\n")
        known = [f"{key},{day},{label}" for key, day, _, label in rows]
        lines = ["id,at,defaulted", *late, *(each for i, each in enumerate(known) if i % 5)]
        (folder / f"defaults-{month}.csv").write_text("\n".join(lines) + "\n")
        late = known[::5]


def asked(replay: CatchUp, partition: str, user: str, choice: str, reason: str) -> dict[str, Any]:
    """Wait until a person is asked whether to train, answer, and return the form."""
    replay.airflow.wait(
        lambda: "train" in replay.states().get(partition, {}), f"{partition} to be decided", seconds=180
    )
    run = replay.states()[partition]["train"]
    question = Asked(replay.airflow, run.dag_id, run.run_id, "suggest")
    form = question.wait()
    assert question.answer(user, choice, reason=reason) == 200
    return form


@pytest.fixture(scope="module")
def told(deployment: Deployment) -> dict[str, Any]:
    """A first model, a challenger that somebody asks for, and its promotion a month later."""
    folder = deployment.home / "loans"
    folder.mkdir()
    write(folder)
    files = {"loans.yaml": SPEC.format(folder=folder), "loans.py": DAG_FILE}
    deployment.deploy(files, *(f"{MODEL}.{stage}" for stage in STAGES))
    first, last = (Partition.parse(key, "month") for key in (MONTHS[0], MONTHS[-1]))
    replay = CatchUp(deployment.airflow, MODEL, first, last)
    replay.start()
    seen: dict[str, Any] = {"form": asked(replay, MONTHS[1], "alice", "Approve", "the market has turned")}
    asked(replay, MONTHS[3], "bob", "Reject", "not again")
    deployment.airflow.wait(replay.ended, "the replay to end", seconds=240, interval=1)
    assert not [line for failure in replay.failures() for line in replay.errors(failure)]
    uri = deployment.uri(MODEL, "ledger")
    seen["decisions"] = {key: ledger.decision(uri, key) for key in MONTHS}
    seen["moves"] = ledger.moves(uri)
    return seen


def test_a_model_is_trained_on_labels_that_the_data_does_not_have(
    told: dict[str, Any], deployment: Deployment
) -> None:
    data = tables.read(deployment.uri(MODEL, "data"))
    assert (data.num_rows, "defaulted" in data.column_names) == (4 * ROWS, False)
    first = told["decisions"]["2013-01"]
    assert (first.action, first.after) == (Action.PROMOTED, "1")
    # A fifth of the labels came after the training.
    split = registry.training(deployment.client, registry.version(deployment.client, MODEL, "1")).split
    assert split.train_rows + split.holdout_rows == ROWS * 4 // 5


def test_a_person_is_asked_whether_to_train(told: dict[str, Any]) -> None:
    assert told["form"]["subject"] == "Retrain loans? Partition 2013-02"
    last = told["decisions"]["2013-04"]
    assert last.action is Action.KEPT
    for part in ("bob", "not again"):
        assert part in last.reason


def test_a_candidate_that_passed_predicts_beside_the_champion_before_it_takes_its_place(
    told: dict[str, Any], deployment: Deployment
) -> None:
    second = told["decisions"]["2013-02"]
    assert (second.action, second.before, second.after, second.candidate) == (
        Action.CHALLENGING,
        "1",
        "1",
        "2",
    )
    assert [(move.after, move.partition) for move in told["moves"]] == [("1", "2013-01"), ("2", "2013-03")]
    assert [*deployment.client.get_registered_model(MODEL).aliases] == ["champion"]
    beside = tables.read(deployment.uri(MODEL, "challenger"), partition="2013-03")
    assert {*beside["model_version"].to_pylist()} == {"2"}
    assert {*beside["champion_version"].to_pylist()} == {"1"}


def test_predictions_reach_a_database_and_files(told: dict[str, Any], deployment: Deployment) -> None:
    served = tables.read(deployment.uri(MODEL, "predictions"))
    assert served.num_rows == 3 * ROWS  # January had no champion yet
    expected = dict(zip(served["id"].to_pylist(), served["score"].to_pylist(), strict=True))
    with closing(sqlite3.connect(deployment.home / "warehouse.db")) as database:
        assert dict(database.execute("SELECT id, score FROM risk")) == expected
    files = [pq.read_table(deployment.home / "loans" / f"risk-{month}.parquet") for month in MONTHS[1:]]
    assert sum(file.num_rows for file in files) == 3 * ROWS
    assert pc.all(pc.is_in(files[0]["id"], served["id"])).as_py()


def test_people_are_mailed_what_they_are_asked_and_who_became_champion(
    told: dict[str, Any], deployment: Deployment
) -> None:
    subjects = [str(mail["Subject"]) for mail in deployment.mails("bank@example.com")]
    asked = [subject for subject in subjects if "Retrain loans?" in subject]
    assert len(asked) == 2
    assert any("version 2" in subject for subject in subjects)
