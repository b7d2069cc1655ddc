from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.checks import Check, Verdict
from airflow_mlops.domain.facts.results import DatasetVersion, ModelRef
from airflow_mlops.domain.spec.model import DriftPolicy, Features
from airflow_mlops.exceptions import RegistryUnavailable
from airflow_mlops.stages.drift import compare
from airflow_mlops.stages.drift import drift as monitor_drift
from airflow_mlops.stages.score import score
from airflow_mlops.stores.tables import tables
from history import MODEL, History, changed, rows_of, shifted

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


@pytest.fixture
def champion(history: History) -> ModelRef:
    """A version that was trained on January and promoted in February."""
    history.publish("2013-01")
    return history.crown(history.train(history.publish("2013-02")), "2013-02")


def drift_of(
    history: History, dataset: DatasetVersion, champion: ModelRef, *, page: bool = False, **changes: Any
) -> compare.Drift:
    asked = {
        name: changes.pop(name) for name in ("target", "delay", "predictions_uri", "seen") if name in changes
    }
    return monitor_drift.drift(
        history.client,
        dataset=dataset,
        champion=champion,
        policy=DriftPolicy(**{"min_rows": 100, "threshold": 0.25, **changes}),
        summaries_uri=history.uri("summaries"),
        page=page,
        **asked,
    )


def wind(found: compare.Drift) -> Check:
    return next(check for check in found.columns if check.name == "drift.wind")


def test_a_month_of_stronger_wind_has_drifted_from_the_champions_training_data(
    history: History, champion: ModelRef
) -> None:
    assert wind(drift_of(history, history.publish("2013-03"), champion)).verdict is Verdict.PASS
    stormy = drift_of(history, history.publish("2013-03", shifted("2013-03")), champion)
    assert wind(stormy).verdict is Verdict.FAIL
    assert [check.name for check in stormy.columns] == [
        "drift.distance", "drift.wind", "drift.wind.missing", "drift.carrier", "drift.carrier.missing", "drift.origin",
    ]  # fmt: skip


def test_a_feature_may_be_called_as_what_is_told_beside_the_features(history: History) -> None:
    _, february, march = (
        history.publish(key, rows_of(key).append_column("prediction", rows_of(key)[column]))
        for key, column in (("2013-01", "wind"), ("2013-02", "wind"), ("2013-03", "distance"))
    )
    features = Features(numeric=("distance", "prediction"))
    champion = history.crown(history.train(february, features=features), "2013-02")
    uri = history.uri("predictions")
    score.score(history.client, model=MODEL, dataset=march, champion=champion, task="classification", uri=uri)
    found = drift_of(history, march, champion, page=True, predictions_uri=uri, target="late")
    told = {check.name: check.observed for check in found.columns}
    assert {"drift.prediction", "drift.<prediction>", "drift.target"} <= told.keys()
    assert told["drift.prediction"] != told["drift.<prediction>"]
    assert "1 of 2 measured columns drifted (most: prediction" in found.overall.reason


def test_the_page_and_the_picture_say_what_was_compared(history: History, champion: ModelRef) -> None:
    stormy = drift_of(history, history.publish("2013-03", shifted("2013-03")), champion, page=True)
    assert f"{MODEL} 2013-03 against version {champion.version}" in stormy.html
    assert stormy.picture is not None
    assert stormy.picture.startswith(b"\x89PNG")
    assert len(stormy.picture) < 30_000


def test_drift_is_measured_against_the_data_that_was_trained_on_also_after_it_was_published_anew(
    history: History, champion: ModelRef
) -> None:
    march = history.publish("2013-03")
    before = drift_of(history, march, champion)
    history.publish("2013-01", shifted("2013-01"))
    after = drift_of(history, march, champion)
    assert (after.overall, after.columns) == (before.overall, before.columns)


def test_the_holdout_is_no_training_data(history: History) -> None:
    history.publish("2013-01")
    trained = history.train(history.publish("2013-02", shifted("2013-02")))
    champion = history.crown(trained, "2013-02")
    assert wind(drift_of(history, history.publish("2013-03"), champion)).verdict is Verdict.PASS


JANUARY_29 = datetime(2013, 1, 29, tzinfo=UTC)


def history_of(*keys: str) -> pa.ChunkedArray:
    return pa.chunked_array([part for key in keys for part in rows_of(key)["departure"].chunks])


def data_is_gone(history: History) -> None:
    data = history.folder / "storage" / MODEL / "data"
    for file in data.glob("_partition=2013-01/*"):
        file.unlink()


def test_training_data_that_is_gone_before_it_was_summarised_is_named(
    history: History, champion: ModelRef
) -> None:
    march = history.publish("2013-03")
    data_is_gone(history)
    found = drift_of(history, march, champion, page=True)
    assert (found.overall.verdict, found.columns) == (Verdict.INCONCLUSIVE, ())
    assert "flights/data" in found.overall.reason
    assert "and the data is gone" in found.html


def test_a_check_reads_the_training_data_once_for_all_checks_of_a_champion(
    history: History, champion: ModelRef
) -> None:
    before = drift_of(history, history.publish("2013-03"), champion)
    data_is_gone(history)
    after = drift_of(history, history.publish("2013-03", shifted("2013-03")), champion)
    assert wind(before).verdict is Verdict.PASS
    assert wind(after).verdict is Verdict.FAIL


def test_a_damaged_summary_of_the_training_data_is_made_again(history: History, champion: ModelRef) -> None:
    march = history.publish("2013-03")
    before = drift_of(history, march, champion)
    (kept,) = history.folder.rglob("reference/all.parquet")
    whole = kept.read_bytes()
    kept.write_bytes(whole[:1000])
    assert drift_of(history, march, champion) == before
    assert kept.read_bytes() == whole


def test_no_row_of_a_partition_is_read_twice_until_it_is_published_anew(
    history: History, champion: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    march = history.publish("2013-03")
    before = drift_of(history, march, champion)
    batches = tables.batches
    read: list[str] = []
    monkeypatch.setattr(
        tables, "batches", lambda uri, **asked: (read.append(asked["partition"]), batches(uri, **asked))[1]
    )
    assert drift_of(history, march, champion) == before
    assert read == []
    assert wind(drift_of(history, history.publish("2013-03", shifted("2013-03")), champion)) != wind(before)
    assert read == ["2013-03"]


def test_a_window_judges_its_partitions_together_as_of_its_last(history: History, champion: ModelRef) -> None:
    history.publish("2013-03", shifted("2013-03", 0.5))
    april = history.publish("2013-04", shifted("2013-04", 0.5))
    together = drift_of(history, april, champion, window=2)
    rows = rows_of("2013-03").num_rows + rows_of("2013-04").num_rows
    assert together.overall.n == rows
    # What is published later is not known yet.
    history.publish("2013-03", shifted("2013-03", 9.0))
    assert drift_of(history, april, champion, window=2) == together
    again = history.publish("2013-04", shifted("2013-04", 0.6))
    later = drift_of(history, again, champion, window=2)
    assert (wind(later).observed or 0) > (wind(together).observed or 0) + 1


def test_a_window_leaves_out_what_was_not_published(history: History, champion: ModelRef) -> None:
    april = history.publish("2013-04")
    found = drift_of(history, april, champion, window=2)
    assert found.overall.n == rows_of("2013-04").num_rows
    assert wind(found).n == wind(drift_of(history, april, champion)).n


def test_what_the_champion_was_seen_to_do_well_on_is_no_drift_when_it_comes_back(
    history: History, champion: ModelRef
) -> None:
    history.publish("2013-03", shifted("2013-03"))
    april = history.publish("2013-04", shifted("2013-04"))
    assert wind(drift_of(history, april, champion)).verdict is Verdict.FAIL
    back = drift_of(history, april, champion, seen=("2013-03", "2012-12"), page=True)
    assert wind(back).verdict is Verdict.PASS
    assert "the nearest of 2 references" in wind(back).reason
    # Neither what is judged itself is a reference, nor another season.
    for settings in ({"window": 2}, {"season": "month"}):
        reason = wind(drift_of(history, april, champion, seen=("2013-03",), **settings)).reason
        assert "references" not in reason
    # As it was all along, it has not drifted either; stormier than ever, it has.
    calm, stormier = rows_of("2013-04"), shifted("2013-04", by=15.0)
    for rows, verdict in ((calm, Verdict.PASS), (stormier, Verdict.FAIL)):
        dataset = history.publish("2013-04", rows)
        assert wind(drift_of(history, dataset, champion, seen=("2013-03",))).verdict is verdict


def test_a_season_is_compared_with_itself(history: History, champion: ModelRef) -> None:
    # The champion has seen no March.
    found = drift_of(history, history.publish("2013-03"), champion, season="month")
    assert found.overall.verdict is Verdict.INCONCLUSIVE
    assert "0 reference rows have a value; 100 are needed" in wind(found).reason
    january = drift_of(history, history.publish("2013-01"), champion, season="month")
    assert (wind(january).verdict, wind(january).observed) == (Verdict.PASS, 0.0)
    # A month has every day of the week.
    assert wind(drift_of(history, history.publish("2013-03"), champion, season="weekday")) == wind(
        drift_of(history, history.publish("2013-03"), champion)
    )


def test_predictions_and_labels_are_told_and_do_not_count(history: History, champion: ModelRef) -> None:
    march = history.publish("2013-03", shifted("2013-03"))
    uri = history.uri("predictions")
    quiet = drift_of(history, march, champion, predictions_uri=uri, target="delay_")
    assert {"drift.prediction", "drift.target"}.isdisjoint(check.name for check in quiet.columns)
    score.score(history.client, model=MODEL, dataset=march, champion=champion, task="classification", uri=uri)
    told = drift_of(history, march, champion, predictions_uri=uri, target="late")
    checks = {check.name: check for check in told.columns}
    assert checks["drift.prediction"].verdict is Verdict.FAIL
    assert checks["drift.target"].verdict is Verdict.PASS
    assert told.overall == quiet.overall


def test_only_labels_that_have_matured_are_seen(history: History, champion: ModelRef) -> None:
    rows = rows_of("2013-03")
    march = history.publish("2013-03", changed(rows, late=pa.array([True] * rows.num_rows)))
    whole, month_later = (
        next(
            check
            for check in drift_of(history, march, champion, target="late", delay=delay).columns
            if check.name == "drift.target"
        )
        for delay in (timedelta(0), timedelta(days=31))
    )
    assert (whole.verdict, whole.n) == (Verdict.FAIL, rows.num_rows)
    # Those of the 31 days before March, none of its own.
    assert month_later.verdict is Verdict.PASS
    assert month_later.n == pc.sum(pc.greater_equal(history_of("2013-01", "2013-02"), JANUARY_29)).as_py()


def test_columns_count_by_importance_if_it_is_known(history: History, champion: ModelRef) -> None:
    march = history.publish("2013-03", shifted("2013-03"))
    unknown = drift_of(history, march, champion, weights="importance").overall
    assert unknown.observed == 0.25
    assert "no importance is known" in unknown.reason
    history.client.log_dict(
        champion.run_id, {"wind": 0.09, "carrier": 0.01, "origin": -0.1}, "plots/importance.json"
    )
    known = drift_of(history, march, champion, weights="importance").overall
    assert (known.observed, known.verdict) == (pytest.approx(0.9), Verdict.FAIL)
    assert "90% by importance" in known.reason


@pytest.mark.parametrize("kept", ["{", "[1]", '{"wind": "much"}'])
def test_a_damaged_importance_is_told_and_costs_no_verdict(
    history: History, champion: ModelRef, kept: str, caplog: pytest.LogCaptureFixture
) -> None:
    march = history.publish("2013-03", shifted("2013-03"))
    history.client.log_text(champion.run_id, kept, "plots/importance.json")
    overall = drift_of(history, march, champion, weights="importance").overall
    assert "no importance is known, so all count the same" in overall.reason
    assert f"plots/importance.json of run {champion.run_id} is damaged" in caplog.text


def test_a_registry_that_cannot_be_reached_is_no_finding(
    history: History, champion: ModelRef, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    march = history.publish("2013-03")
    history.client = MlflowClient("http://127.0.0.1:1", "http://127.0.0.1:1")
    with pytest.raises(RegistryUnavailable):
        drift_of(history, march, champion)
