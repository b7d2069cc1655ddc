from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import DownstreamTasksSkipped

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.guard import GuardReport
from airflow_mlops.domain.facts.labels import LabelsReport
from airflow_mlops.domain.facts.results import DatasetVersion, TrainedModel
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.data import Labels
from airflow_mlops.domain.spec.model import DriftPolicy, Features, Retrain
from airflow_mlops.domain.spec.monitor import AutoRollback, Monitor
from airflow_mlops.exceptions import BadRows, SourceMissing
from airflow_mlops.operators.decide import DecideOperator
from airflow_mlops.operators.drift import DriftOperator
from airflow_mlops.operators.guard import GuardOperator
from airflow_mlops.operators.performance import IngestLabelsOperator
from airflow_mlops.operators.train import TrainOperator
from airflow_mlops.stages.promote import promote
from airflow_mlops.stores.sources import python
from contexts import Run, deploy
from history import MODEL, month, rows_of
from late import WEEK, Late, known_in
from synthetic import FEATURES

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

FORM: dict[str, Any] = {"reason": None, "force": False, "window": None}


@pytest.fixture(autouse=True)
def late(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Late]:
    for deployed in deploy(tmp_path, monkeypatch, mlflow=True):
        found = Late(tmp_path)
        found.client = deployed.client
        yield found


def bring(key: str, run: Run | None = None, **changes: Any) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "model": MODEL, "source": python.PythonSource(known_in), "key": ["flight"], "event_time": "departure",
        "target": "late", "task": "classification", "grain": "month",
    }  # fmt: skip
    run = run or Run(f"{MODEL}.monitor", key)
    returned: dict[str, Any] = run.execute(IngestLabelsOperator, "labels", **settings | changes)
    return returned


def decided(key: str) -> tuple[RetrainDecision, DatasetVersion]:
    run = Run(f"{MODEL}.train", key, form=FORM)
    settings: dict[str, Any] = {"model": MODEL, "policy": Retrain(), "skips": ["train"], "delay": WEEK}
    decide = DecideOperator(task_id="decide", dag=run.dag, labels="late", **settings)
    decide >> BaseOperator(task_id="train", dag=run.dag)
    try:
        returned = run.execute_task(decide)
    except DownstreamTasksSkipped:
        returned = run.pushed["return_value"]
    return RetrainDecision.from_dict(returned), DatasetVersion.from_dict(run.pushed["dataset"])


def trained(dataset: DatasetVersion, key: str = "2013-02", **changes: Any) -> TrainedModel:
    settings: dict[str, Any] = {
        "dataset": dataset.to_dict(),
        "candidate": "sklearn.linear_model.LogisticRegression",
        "target": "late",
        "features": FEATURES,
        "delay": WEEK,
    }
    return TrainedModel.from_dict(
        Run(f"{MODEL}.train", key, form=FORM).execute(TrainOperator, "train", **settings | changes)
    )


def publish(late: Late, *keys: str) -> None:
    for key in keys:
        late.publish(key, rows_of(key).drop_columns(["late", "delay"]))


def test_a_model_is_trained_once_its_labels_have_come(late: Late) -> None:
    publish(late, "2013-01", "2013-02")
    early, _ = decided("2013-02")
    assert not early.retrain
    assert "labels.source has brought 0" in early.reason
    bring("2013-01")
    bring("2013-02")
    decision, dataset = decided("2013-02")
    assert decision.retrain
    assert decision.dataset == dataset
    model = trained(dataset)
    assert model.dataset.labels is not None
    assert model.dataset.labels.digest
    assert model.features == FEATURES.names


def test_labels_that_no_row_can_be_due_yet_are_not_needed(late: Late) -> None:
    def absent(partition: Any) -> None:
        raise FileNotFoundError("nothing")

    publish(late, "2013-01")
    source = python.PythonSource(absent)
    report = LabelsReport.from_dict(bring("2013-01", source=source, policy=Labels(delay=timedelta(days=31))))
    assert report.rows == 0
    assert "there is nothing at " in report.reason
    with pytest.raises(SourceMissing, match="labels.source: .*: nothing"):
        bring("2013-01", source=source, policy=Labels(delay=timedelta(days=30)))


def test_a_cleared_training_is_adopted_unless_labels_of_its_rows_have_come_since(late: Late) -> None:
    publish(late, "2013-01", "2013-02")
    bring("2013-01")
    bring("2013-02")
    first = trained(decided("2013-02")[1])
    bring("2013-03")
    same = trained(decided("2013-02")[1])
    assert same == first
    rows = known_in(month("2013-03")).slice(0, 5)
    late.bring("2013-02", rows.drop_columns(["labelled_at"]))
    other = trained(decided("2013-02")[1])
    assert (first.version, other.version) == ("1", "2")


def test_a_dag_without_a_decision_says_itself_where_labels_are(late: Late) -> None:
    publish(late, "2013-01", "2013-02")
    bring("2013-01")
    bring("2013-02")
    model = trained(late.publish("2013-02", rows_of("2013-02").drop_columns(["late", "delay"])), labels=True)
    assert model.dataset.labels == trained(decided("2013-02")[1]).dataset.labels


def test_probation_and_drift_of_the_target_go_by_labels_of_their_own(
    late: Late, monkeypatch: pytest.MonkeyPatch
) -> None:
    blessed = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="in another test")
    monkeypatch.setattr(promote, "_blessed", lambda *_: blessed)
    publish(late, "2013-01", "2013-02")
    bring("2013-01")
    bring("2013-02")
    dataset = decided("2013-02")[1]
    late.crown(trained(dataset), "2013-02")
    late.crown(trained(dataset, features=Features(numeric=("distance",)), seed=1), "2013-02")
    publish(late, "2013-03")
    run = Run(f"{MODEL}.monitor", "2013-03")
    policy = DriftPolicy(min_rows=50, threshold=0.25)
    bring("2013-03")
    drift = run.execute(DriftOperator, model=MODEL, policy=policy, target="late", delay=WEEK, labels=True)
    assert "drift.target" in {check["name"] for check in drift["columns"]}
    report = GuardReport.from_dict(
        run.execute(
            GuardOperator,
            model=MODEL,
            target="late",
            task="classification",
            metric="roc_auc",
            delay=WEEK,
            labels=True,
            policy=Monitor(rollback=AutoRollback()),
        )  # fmt: skip
    )
    assert report.probation.verdict is Verdict.FAIL, report.probation.reason
    assert report.restored is not None
    assert report.restored.after == "1"


def astray(partition: Any) -> Any:
    """Return labels of which four in five name flights that nobody has published."""
    rows = known_in(partition)
    flights = [
        flight if place % 5 == 0 else -flight - 1 for place, flight in enumerate(rows["flight"].to_pylist())
    ]
    return rows.set_column(0, "flight", pa.array(flights, pa.int64()))


def test_labels_that_belong_to_no_published_row_are_told_and_only_warn(
    late: Late, caplog: pytest.LogCaptureFixture
) -> None:
    publish(late, "2013-01", "2013-02")
    run = Run(f"{MODEL}.monitor", "2013-01")
    report = LabelsReport.from_dict(bring("2013-01", run, source=python.PythonSource(astray)))
    assert report.unmatched is not None
    assert report.unmatched.unknown == report.rows - len(range(0, report.rows, 5)) > 0
    assert report.check is not None
    assert report.check.verdict is Verdict.FAIL
    [warning] = [record for record in caplog.records if record.levelname == "WARNING"]
    assert "have a key that the data lacks" in warning.getMessage()
    assert [statement.read(LabelsReport) for statement in run.stated] == [report]


def test_labels_that_belong_to_no_published_row_block_where_the_spec_says_so(late: Late) -> None:
    publish(late, "2013-01", "2013-02")
    policy = Labels(max_unmatched=0.75, on_unmatched="block")
    run = Run(f"{MODEL}.monitor", "2013-01")
    with pytest.raises(
        BadRows, match=r"have a key that the data lacks\. labels\.max_unmatched is 0\.75: write 'flight'"
    ):
        bring("2013-01", run, source=python.PythonSource(astray), policy=policy)
    assert len(run.stated) == 1
    assert (
        bring("2013-01", policy=Labels(max_unmatched=0, on_unmatched="block"))["check"]["verdict"] == "PASS"
    )
