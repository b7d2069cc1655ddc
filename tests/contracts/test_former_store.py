"""A store that a former build has written is read by this one: tables, ledger, versions, facts, packed sources."""

from __future__ import annotations

import json
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.performance import Judgement
from airflow_mlops.domain.facts.recipe import Recipe
from airflow_mlops.domain.facts.results import (
    Action,
    DatasetVersion,
    Evaluation,
    HealthReport,
    ModelRef,
    TrainedModel,
)
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.facts.scoring import ScoringReport
from airflow_mlops.domain.spec.model import DriftPolicy
from airflow_mlops.hooks import sources
from airflow_mlops.learning.models import models
from airflow_mlops.reporting.alerts import outbox
from airflow_mlops.stages.drift import drift
from airflow_mlops.stages.monitor import health
from airflow_mlops.stages.reproduce import reproduce
from airflow_mlops.stages.score import score
from airflow_mlops.stores.registry import champions, ledger, registry
from airflow_mlops.stores.tables import tables, versions

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

# Made by the build before the code was moved, from the tests' own flights; facts and MLflow name this place.
ARCHIVE = Path(__file__).parent / "former" / "store-0.1.0.tar.xz"
PLACE = Path("/tmp/airflow-mlops-store")
MODEL = "flights"


class Former:
    """The store, and the facts that its tasks had handed on."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = json.loads((PLACE / "facts.json").read_text(encoding="utf-8"))
        uri = f"sqlite:///{PLACE}/mlflow.db"
        self.client = MlflowClient(uri, uri)

    def uri(self, table: str) -> str:
        return tables.uri_of(f"file://{PLACE}/storage", MODEL, table)

    @property
    def champion(self) -> ModelRef:
        return ModelRef.from_dict(self.facts["champion"])

    @property
    def march(self) -> DatasetVersion:
        return DatasetVersion.from_dict(self.facts["dataset"])


@pytest.fixture(scope="module")
def former() -> Iterator[Former]:
    shutil.rmtree(PLACE, ignore_errors=True)
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(PLACE.parent, filter="data")
    yield Former()
    shutil.rmtree(PLACE, ignore_errors=True)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (ScoringReport, "scoring"),
        (HealthReport, "health"),
        (Evaluation, "evaluation"),
        (RetrainDecision, "retrain"),
        (DatasetVersion, "dataset"),
    ],
)
def test_facts_between_tasks_are_read_and_written_as_they_were(former: Former, kind: Any, name: str) -> None:
    assert kind.from_dict(former.facts[name]).to_dict() == former.facts[name]


def test_recipes_are_read_and_written_byte_for_byte(former: Former) -> None:
    for text in former.facts["recipes"].values():
        assert Recipe.model_validate_json(text).model_dump_json() == text


def test_the_ledger_tells_the_same_story(former: Former) -> None:
    rows = ledger.rows(former.uri("ledger"))
    assert [(row.kind.value, row.action) for row in rows] == [
        ("intent", Action.PROMOTED),
        ("done", Action.PROMOTED),
        ("decision", Action.REFUSED),
    ]
    assert ledger.champion_as_of(former.uri("ledger"), "2013-03") == "1"
    assert champions.champion(former.client, MODEL, f"file://{PLACE}/storage") == former.champion


def test_versions_are_loaded_by_their_digest_and_predict_what_they_did(former: Former) -> None:
    for trained in map(TrainedModel.from_dict, former.facts["trained"]):
        ref = registry.version(former.client, MODEL, trained.version)
        assert (ref.digest, ref.run_id) == (trained.digest, trained.run_id)
        models.load_version(former.client, ref)
    # Another pass would write other predictions, and the same ones are not written again.
    again = score.score(
        former.client,
        model=MODEL,
        dataset=former.march,
        champion=former.champion,
        task="classification",
        uri=former.uri("predictions"),
    )
    assert not again.written
    rows = tables.read(former.uri("predictions"), partition="2013-03")
    data = tables.read(former.march.uri, version=former.march.version, partition="2013-03")
    fitted = models.load_version(former.client, former.champion)
    expected = dict(
        zip(data["flight"].to_pylist(), models.predict(fitted, data, "classification"), strict=True)
    )
    assert dict(zip(rows["flight"].to_pylist(), rows["score"].to_pylist(), strict=True)) == expected


def test_a_version_is_trained_again_with_the_same_digest(former: Former) -> None:
    for trained in map(TrainedModel.from_dict, former.facts["trained"]):
        again = reproduce.reproduce(former.client, MODEL, trained.version)
        # Of other packages or processors, which is told, the last bits may be others.
        same = all(check.verdict is Verdict.PASS for check in again.environment)
        digest, *metrics = again.outcome
        assert digest.verdict is Verdict.PASS or not same
        assert [check.reason for check in metrics if check.verdict is Verdict.FAIL] == []


def test_histories_go_on(former: Former) -> None:
    [report] = health.history(former.uri("monitoring"))
    assert report == HealthReport.from_dict(former.facts["health"])
    kept = tables.read(former.uri("checks"), partition="2013-03")["check"].to_pylist()
    assert {"drift", "performance", "staleness"} <= set(kept)
    judged = tables.read(former.uri("performance"), partition="2013-03").num_rows
    assert judged == len([Judgement.from_dict(values) for values in former.facts["judgements"]])
    assert [version.partition for version in versions.versions(former.uri("data"))] == [
        "2013-03",
        "2013-02",
        "2013-01",
    ]
    assert len(outbox.entries(former.uri("outbox"))) == 1


def test_kept_summaries_give_the_same_drift(former: Former) -> None:
    compared = drift.drift(
        former.client,
        dataset=former.march,
        champion=former.champion,
        policy=DriftPolicy(min_rows=50),
        summaries_uri=former.uri("summaries"),
        predictions_uri=former.uri("predictions"),
        target="late",
        page=False,
    )
    report = HealthReport.from_dict(former.facts["health"])
    assert (compared.overall, compared.columns) == (report.drift, report.columns)


def test_sources_that_a_triggerer_holds_are_unpacked(former: Former) -> None:
    unpacked = [sources.unpack(packed) for packed in former.facts["packed"]]
    kinds = ["PythonSource", "DeltaSource", "FileSource", "SqlSource", "DatasetSource"]
    assert [type(source).__name__ for source in unpacked] == kinds
    # The same source is the same trigger, whichever build has written it down.
    assert [sources.pack(source) for source in unpacked] == former.facts["packed"]
