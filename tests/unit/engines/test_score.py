from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from mlflow import MlflowClient

from airflow_mlops.domain.results import DatasetVersion, ModelRef, ScoringReport
from airflow_mlops.engines import models, registry, score, tables
from airflow_mlops.exceptions import DigestMismatch, RegistryUnavailable, TransformFailed
from history import MODEL, STIFF, History, rows_of, shifted
from unit.engines.registry_builders import make_ref


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


@pytest.fixture
def champion(history: History) -> ModelRef:
    """A version that was trained on January and promoted in February."""
    history.publish("2013-01")
    return history.crown(history.train(history.publish("2013-02")), "2013-02")


def scored(history: History, dataset: DatasetVersion, champion: ModelRef | None) -> ScoringReport:
    return score.score(
        history.client,
        model=MODEL,
        dataset=dataset,
        champion=champion,
        task="classification",
        uri=history.uri("predictions"),
    )


def predictions(history: History, key: str) -> Any:
    return tables.read(history.uri("predictions"), partition=key)


def version(history: History) -> int:
    return tables.open_table(history.uri("predictions")).version()


def test_without_a_champion_nothing_is_scored_and_the_reason_is_told(history: History) -> None:
    report = scored(history, history.publish("2013-01"), None)
    assert (report.rows, report.written, report.champion) == (0, False, None)
    assert report.reason == "there is no champion yet, so nothing is scored"
    assert not tables.exists(history.uri("predictions"))


def test_every_row_gets_what_the_champion_predicts_and_where_it_came_from(
    history: History, champion: ModelRef
) -> None:
    dataset = history.publish("2013-03")
    report = scored(history, dataset, champion)
    found = predictions(history, "2013-03").sort_by("flight")
    assert (report.rows, report.written) == (found.num_rows, True)
    assert found["flight"].to_pylist() == rows_of("2013-03")["flight"].to_pylist()
    fitted = models.load_version(history.client, champion)
    expected = models.predict(fitted, rows_of("2013-03"), "classification")
    np.testing.assert_allclose(found["score"].to_numpy(), expected)
    assert found.drop_columns(["flight", "departure", "score"]).to_pylist()[0] == {
        "model_version": champion.version,
        "model_digest": champion.digest,
        "dataset_version": str(dataset.version),
        "dataset_digest": dataset.digest,
    }


def test_the_same_model_on_the_same_data_writes_nothing_again(history: History, champion: ModelRef) -> None:
    dataset = history.publish("2013-03")
    scored(history, dataset, champion)
    digest, written = tables.digest(predictions(history, "2013-03")), version(history)
    again = scored(history, dataset, champion)
    assert (again.rows, again.written) == (dataset.rows, False)
    assert again.reason == f"version {champion.version} has scored this data already"
    assert (tables.digest(predictions(history, "2013-03")), version(history)) == (digest, written)


def test_other_data_rewrites_its_own_partition_only(history: History, champion: ModelRef) -> None:
    for key in ("2013-03", "2013-04"):
        scored(history, history.publish(key), champion)
    march, april = (predictions(history, key) for key in ("2013-03", "2013-04"))
    assert scored(history, history.publish("2013-03", shifted("2013-03")), champion).written
    assert predictions(history, "2013-04").equals(april)
    assert predictions(history, "2013-03").num_rows == march.num_rows
    assert pc.mean(predictions(history, "2013-03")["score"]).as_py() > pc.mean(march["score"]).as_py() + 0.2


def test_another_champion_rewrites_its_own_partition_only(history: History, champion: ModelRef) -> None:
    for key in ("2013-03", "2013-04"):
        dataset = history.publish(key)
        scored(history, dataset, champion)
    april = history.crown(history.train(dataset, candidate=STIFF), "2013-04")
    assert scored(history, dataset, april).written
    assert set(predictions(history, "2013-03")["model_version"].to_pylist()) == {champion.version}
    assert set(predictions(history, "2013-04")["model_version"].to_pylist()) == {april.version}


def test_a_partition_that_was_scored_by_halves_is_scored_again(history: History, champion: ModelRef) -> None:
    dataset = history.publish("2013-03")
    scored(history, dataset, champion)
    half = predictions(history, "2013-03").slice(0, 100)
    tables.replace_partition(history.uri("predictions"), half, "2013-03")
    assert scored(history, dataset, champion).written
    assert predictions(history, "2013-03").num_rows == dataset.rows


def test_a_champion_of_other_bytes_scores_nothing(history: History, champion: ModelRef) -> None:
    wrong = champion.model_copy(update={"digest": "0" * 64})
    with pytest.raises(DigestMismatch):
        scored(history, history.publish("2013-03"), wrong)
    assert not tables.exists(history.uri("predictions"))


def test_features_that_other_code_prepared_are_not_scored(history: History, champion: ModelRef) -> None:
    dataset = history.publish("2013-03").model_copy(update={"transform": "features:prepare@0123456789ab"})
    with pytest.raises(
        TransformFailed, match="prepared by features:prepare@0123456789ab, but version 1 learned"
    ):
        scored(history, dataset, champion)
    assert not tables.exists(history.uri("predictions"))


def champion_for(history: History, key: str) -> ModelRef | None:
    return score.champion_for(history.client, history.uri("ledger"), MODEL, key)


def test_a_partition_at_the_live_edge_gets_what_the_alias_says(history: History, champion: ModelRef) -> None:
    assert champion_for(history, "2013-03") == champion
    moved = history.train(history.publish("2013-03"), candidate=STIFF)
    registry.set_champion(history.client, MODEL, moved.version)
    assert champion_for(history, "2013-03") == make_ref(moved).model_copy(
        update={"trained_through": "2013-02"}
    )


def test_before_the_first_decision_the_alias_decides(history: History) -> None:
    assert champion_for(history, "2013-01") is None


def test_a_replayed_partition_gets_the_champion_of_its_own_time(history: History, champion: ModelRef) -> None:
    later = history.crown(history.train(history.publish("2013-03"), candidate=STIFF), "2013-03")
    history.decide("2013-04", before=later.version, after=later.version)
    found = {key: champion_for(history, key) for key in ("2013-01", "2013-02", "2013-03", "2013-04")}
    assert found == {"2013-01": None, "2013-02": None, "2013-03": champion, "2013-04": later}


@pytest.mark.parametrize("key", ["2013-03", "2013-05"])
def test_a_registry_that_cannot_be_reached_is_never_a_missing_champion(
    history: History, champion: ModelRef, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    history.decide("2013-04", before=champion.version, after=champion.version)
    nobody = MlflowClient("http://127.0.0.1:1", "http://127.0.0.1:1")
    with pytest.raises(RegistryUnavailable):
        score.champion_for(nobody, history.uri("ledger"), MODEL, key)
