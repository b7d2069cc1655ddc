from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from mlflow import MlflowClient

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import Action, DatasetVersion, ModelRef
from airflow_mlops.domain.facts.scoring import ScoringReport
from airflow_mlops.domain.spec.model import Candidate
from airflow_mlops.exceptions import (
    DigestMismatch,
    ModelNotFound,
    RegistryUnavailable,
    SchemaMismatch,
    TransformFailed,
)
from airflow_mlops.learning.models import models
from airflow_mlops.stages.promote import adopt, promote
from airflow_mlops.stages.score import batches, score
from airflow_mlops.stores.registry import ledger, registry
from airflow_mlops.stores.registry.champions import Standing
from airflow_mlops.stores.registry.ledger import RowKind
from airflow_mlops.stores.tables import delta, tables
from history import MODEL, STIFF, History, make_decision, rows_of, shifted

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more


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


def regression(history: History, estimator: str) -> tuple[DatasetVersion, Any]:
    """Train on how late flights are, and return what March then is predicted to be."""
    history.publish("2013-01")
    candidate = Candidate(estimator=estimator)
    trained = history.train(
        history.publish("2013-02"), task="regression", target="delay", metric="rmse", candidate=candidate
    )
    dataset, champion = history.publish("2013-03"), history.crown(trained, "2013-02")
    uri = history.uri("predictions")
    score.score(history.client, model=MODEL, dataset=dataset, champion=champion, task="regression", uri=uri)
    return dataset, predictions(history, "2013-03")


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
    assert found.drop_columns(["flight", "departure", "score", "scored_at"]).to_pylist()[0] == {
        "prediction": str(int(expected[0] >= 0.5)),
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


def test_small_batches_predict_the_same_as_all_rows_at_once(
    history: History, champion: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = history.publish("2013-03")
    now = datetime(2026, 1, 1, tzinfo=UTC)
    whole = {"model": MODEL, "dataset": dataset, "champion": champion, "task": "classification", "now": now}
    score.score(history.client, uri=history.uri("predictions"), **whole)
    monkeypatch.setattr(delta, "_BATCH_ROWS", 7)
    monkeypatch.setattr(batches, "_ROWS", 20)
    score.score(history.client, uri=history.uri("others"), **whole)
    one, other = (tables.read(history.uri(name)) for name in ("predictions", "others"))
    assert other.drop_columns(["score"]).equals(one.drop_columns(["score"]))
    np.testing.assert_allclose(other["score"].to_numpy(), one["score"].to_numpy(), rtol=1e-12)
    assert set(predictions(history, "2013-03")["scored_at"].to_pylist()) == {now}


def test_a_regressor_that_knows_its_spread_gives_an_interval_that_covers_what_it_should(
    history: History,
) -> None:
    dataset, found = regression(history, "sklearn.linear_model.BayesianRidge")
    actual = tables.read(dataset.uri, version=dataset.version, partition="2013-03")
    assert actual["flight"].equals(found["flight"])
    low, value, high = (found[name].to_numpy() for name in ("score_low", "score", "score_high"))
    np.testing.assert_allclose(value - low, high - value)
    delay = actual["delay"].to_numpy()
    # 270 rows: two standard errors are 0.037.
    assert np.mean((delay >= low) & (delay <= high)) == pytest.approx(0.9, abs=0.05)


def test_a_regressor_that_does_not_know_its_spread_gives_no_interval(history: History) -> None:
    _, found = regression(history, "sklearn.linear_model.Ridge")
    assert not {"score_low", "score_high"} & {*found.column_names}


def test_a_table_of_an_older_release_gets_the_new_columns_and_keeps_its_rows(
    history: History, champion: ModelRef
) -> None:
    uri, february = history.uri("predictions"), history.publish("2013-02")
    scored(history, february, champion)
    tables.replace_partition(
        uri + "-old", predictions(history, "2013-02").drop_columns(["scored_at"]), "2013-02"
    )
    old = {"model": MODEL, "champion": champion, "task": "classification", "uri": uri + "-old"}
    assert not score.score(history.client, dataset=february, **old).written
    assert score.score(history.client, dataset=history.publish("2013-03"), **old).written
    found = tables.read(uri + "-old", columns=["scored_at"], partition="2013-02")["scored_at"]
    assert found.null_count == february.rows


def test_an_empty_partition_is_no_error_and_leaves_no_row_of_what_was_there(
    history: History, champion: ModelRef
) -> None:
    dataset = history.publish("2013-03")
    scored(history, dataset, champion)
    empty = history.publish("2013-03", rows_of("2013-03").slice(0, 0))
    report = scored(history, empty, champion)
    assert (report.rows, report.written, report.reason) == (0, True, "the partition has no rows")
    assert predictions(history, "2013-03").num_rows == 0
    assert not scored(history, empty, champion).written


def test_a_feature_that_is_missing_is_named_and_nothing_is_written(
    history: History, champion: ModelRef
) -> None:
    tables.replace_partition(
        history.uri("other"), rows_of("2013-03").drop_columns(["wind", "late"]), "2013-03"
    )
    dataset = history.publish("2013-03").model_copy(update={"uri": history.uri("other"), "version": 0})
    dataset = dataset.model_copy(update={"version": tables.open_table(dataset.uri).version()})
    with pytest.raises(SchemaMismatch, match="no column wind"):
        scored(history, dataset, champion)
    assert not tables.exists(history.uri("predictions"))


def test_a_version_that_was_deleted_scores_nothing(history: History, champion: ModelRef) -> None:
    history.client.delete_model_version(MODEL, champion.version)
    with pytest.raises(ModelNotFound):
        scored(history, history.publish("2013-03"), champion)
    assert not tables.exists(history.uri("predictions"))


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


def standing_for(history: History, key: str) -> Standing:
    return score.standing_for(history.client, history.uri("ledger"), MODEL, key)


def test_an_alias_that_was_moved_by_hand_does_not_serve_and_is_told(
    history: History, champion: ModelRef
) -> None:
    assert standing_for(history, "2013-03") == Standing(champion)
    other = history.train(history.publish("2013-03"), candidate=STIFF)
    registry.set_champion(history.client, MODEL, other.version)
    standing = standing_for(history, "2013-03")
    assert standing.champion == champion
    assert "version 2 is champion, though test/2013-02 made version 1 the champion" in standing.problem
    assert standing.problem.endswith("moved outside of the ledger; version 1 goes on serving")
    history.client.delete_registered_model_alias(MODEL, registry.CHAMPION)
    standing = standing_for(history, "2013-03")
    assert (standing.champion, "there is no champion, though" in standing.problem) == (champion, True)


def test_an_alias_that_was_set_by_hand_serves_only_once_it_is_adopted(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    blessed = Check(name="blessing", verdict=Verdict.PASS, expected="alike", reason="blessed in another test")
    monkeypatch.setattr(promote, "_blessed", lambda *_: blessed)
    history.publish("2013-01")
    trained = history.train(history.publish("2013-02"))
    registry.set_champion(history.client, MODEL, trained.version)
    with pytest.raises(DigestMismatch, match="nothing in the ledger has made it so.*mlops adopt flights 1 "):
        champion_for(history, "2013-03")
    adopt.adopt(
        history.client, ledger_uri=history.uri("ledger"), model=MODEL, version="1", reason="from before", key="a", actor="test"
    )  # fmt: skip
    assert champion_for(history, "2013-03") == registry.version(history.client, MODEL, "1", trained.digest)


def test_a_move_that_was_killed_before_it_was_recorded_serves_by_its_claim(
    history: History, champion: ModelRef
) -> None:
    later = history.train(history.publish("2013-03"), candidate=STIFF)
    claim = make_decision(
        "2013-03", Action.PROMOTED, before="1", after=later.version, digest=later.digest, key="killed"
    )
    ledger.record(history.uri("ledger"), RowKind.INTENT, claim, actor="test")
    assert champion_for(history, "2013-04") == champion
    registry.set_champion(history.client, MODEL, later.version)
    assert standing_for(history, "2013-04") == Standing(
        registry.version(history.client, MODEL, later.version, later.digest)
    )


def test_a_version_of_the_same_number_that_was_trained_again_scores_nothing(
    history: History, champion: ModelRef
) -> None:
    history.decide("2013-03", before=champion.version, after=champion.version)
    history.client.delete_registered_model(MODEL)
    again = history.train(history.publish("2013-04"), candidate=STIFF)
    assert again.version == champion.version
    standing = standing_for(history, "2013-05")
    assert standing.champion is None
    assert "it was deleted and trained again" in standing.problem
    registry.set_champion(history.client, MODEL, again.version)
    for key in ("2013-03", "2013-05"):
        with pytest.raises(DigestMismatch, match="Version 1 of 'flights' is registered with digest"):
            champion_for(history, key)
    # It replaces the old one as of its own promotion, and of no earlier partition.
    history.client.delete_registered_model_alias(MODEL, registry.CHAMPION)
    promoted = history.crown(again, "2013-04")
    assert champion_for(history, "2013-05") == promoted
    with pytest.raises(DigestMismatch, match="was recorded with"):
        champion_for(history, "2013-03")


def test_before_the_first_decision_there_is_no_champion(history: History) -> None:
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
