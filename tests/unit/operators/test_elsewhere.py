from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import DownstreamTasksSkipped

from airflow_mlops.domain.facts.results import TrainedModel
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.model import Retrain
from airflow_mlops.exceptions import ModelNotFound, ModelRefused, SpecError
from airflow_mlops.operators.decide import DecideOperator
from airflow_mlops.operators.elsewhere import TakeInOperator
from airflow_mlops.reporting import sentences
from contexts import Run, deploy
from foreign_models import fitted, register, save
from history import MODEL, History, rows_of

pytestmark = pytest.mark.slow  # fits, and processes that load

FORM = {"reason": None, "version": None, "record": False}


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    for history in deploy(tmp_path, monkeypatch, mlflow=True):
        history.publish("2013-01")
        history.publish("2013-02")
        yield history


def notebook(history: History, folder: str = "one", until: str = "2013-01") -> str:
    path = save(fitted(rows_of("2013-01")), history.folder / folder)
    return register(history.client, path, tags={"trained_until": until})


def decided(run: Run, **changes: Any) -> RetrainDecision:
    arguments = {"model": MODEL, "policy": Retrain(), "skips": ["take_in"], "elsewhere": "notebook"} | changes
    decide = DecideOperator(task_id="decide", dag=run.dag, **arguments)
    decide >> BaseOperator(task_id="take_in", dag=run.dag)
    try:
        return RetrainDecision.from_dict(run.execute_task(decide))
    except DownstreamTasksSkipped:
        return RetrainDecision.from_dict(run.pushed["return_value"])


def judge_run(key: str | None = "2013-02", form: dict[str, Any] = FORM, **conf: Any) -> Run:
    return Run(f"{MODEL}.train", key, form=form, conf=conf or None)


def test_a_new_version_is_taken_in_and_an_old_one_once_it_is_asked_for(history: History) -> None:
    nobody = decided(judge_run())
    assert (nobody.retrain, nobody.version) == (False, None)
    assert nobody.reason == (
        f"nobody has registered a version of 'notebook' yet in MLflow at {history.client.tracking_uri}"
    )
    number = notebook(history)
    run = judge_run()
    decision = decided(run)
    assert (decision.retrain, decision.version, decision.reason) == (
        True, number, "version 1 of 'notebook' was not judged yet",
    )  # fmt: skip
    arguments = {"origin": "notebook", "target": "late", "dataset": run.pushed["dataset"]}
    taken = TrainedModel.from_dict(
        run.execute(TakeInOperator, task_id="take_in", retrain=decision.to_dict(), **arguments)
    )
    assert (taken.version, taken.origin and taken.origin.version) == ("1", number)
    assert run.pushed["mlflow_run"] == taken.run_id
    assert sentences.trains(nobody, asks=False).startswith("takes nothing in: nobody")
    assert sentences.trains(decision, asks=False).startswith("takes a version in: version 1")
    assert sentences.trained(taken) == (
        "version 1 of notebook is version 1: it was trained elsewhere, before 2013-02-01 00:00"
    )
    history.decide("2013-02", candidate="1")
    again = decided(judge_run(None))
    assert (again.retrain, again.version) == (False, None)
    asked = decided(judge_run(version=number, reason="for the audit"))
    assert (asked.retrain, asked.version) == (True, number)
    assert asked.reason == "version 1 of 'notebook' was asked for: for the audit"
    tags = history.client.get_model_version(MODEL, "1").tags
    assert (tags["airflow.run_id"], tags["mlops.origin"]) == ("run-1", "notebook/1")


def test_a_version_waits_for_rows_and_one_that_is_not_there_fails(history: History) -> None:
    notebook(history, until="2013-02")
    waiting = decided(judge_run())
    assert (waiting.retrain, waiting.version) == (False, None)
    assert (
        "version 1 of 'notebook' is not judged yet: it may have learned from rows up to 2013-03-01"
        in waiting.reason
    )
    with pytest.raises(ModelNotFound, match="'notebook' has no version '7'; it has 1 in MLflow at "):
        decided(judge_run(version="7"))
    history.train(history.publish("2013-02"))
    with pytest.raises(ModelRefused, match="Version 1 of 'flights' was registered by airflow-mlops itself"):
        decided(judge_run(version="1"), elsewhere=MODEL)


def test_a_version_is_for_models_of_elsewhere_only(history: History) -> None:
    with pytest.raises(SpecError, match="version: its models are trained here"):
        decided(judge_run(version="1"), elsewhere=None)


def test_by_hand_it_takes_the_published_data_and_the_newest_version(history: History) -> None:
    run = Run("by_hand", None)
    with pytest.raises(SpecError, match="dataset: is missing"):
        run.execute(TakeInOperator, task_id="take_in", origin="notebook", target="late")
    with pytest.raises(
        ModelNotFound, match="Nobody has registered a version of 'notebook' yet in MLflow at "
    ):
        run.execute(TakeInOperator, task_id="take_in", origin="notebook", target="late", model=MODEL)
    notebook(history)
    taken = run.execute(TakeInOperator, task_id="take_in", origin="notebook", target="late", model=MODEL)
    assert TrainedModel.from_dict(taken).version == "1"
