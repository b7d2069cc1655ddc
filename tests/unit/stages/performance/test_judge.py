from __future__ import annotations

from datetime import timedelta
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from airflow_mlops.domain.facts.performance import Judgement
from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.predictions import Predictor
from airflow_mlops.exceptions import SchemaMismatch, TableUnreadable
from airflow_mlops.learning.labels import labels
from airflow_mlops.learning.labels.join import Truth, join
from airflow_mlops.stages.performance import judge, window
from airflow_mlops.stages.performance.registered import RegisteredVersions
from airflow_mlops.stages.performance.subject import Subject
from airflow_mlops.stores.registry import tracking
from airflow_mlops.stores.tables import tables
from history import MODEL, History, changed, month, rows_of

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

WEEK = timedelta(days=7)
MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")


def predict(
    history: History, key: str, version: str = "1", rows: pa.Table | None = None, digest: str = "d"
) -> None:
    """Leave predictions that are right more often than not."""
    rows = rows_of(key) if rows is None else rows
    luck = np.random.default_rng(int(key[-2:])).random(rows.num_rows)
    score = 0.6 * luck + 0.3 * rows["late"].to_numpy(zero_copy_only=False)
    table = rows.select(["flight", "departure"]).append_column("score", pa.array(score))
    for name, value in (("model_version", version), ("model_digest", digest)):
        table = table.append_column(name, pa.array([value] * rows.num_rows))
    tables.replace_partition(history.uri("predictions"), table, key)


def subject_of(history: History, key: str, *, own: bool = False, **changes: Any) -> Subject:
    """Return what a run of a month judges; ``own`` for labels that have a table of their own."""
    dataset = tables.published(history.uri("data"), key)
    assert dataset is not None
    question = Question(target="late", task="classification", metric="roc_auc", delay=WEEK)
    truth = Truth(dataset, question, history.uri("labels") if own else None)
    return Subject(RegisteredVersions(history.client, MODEL), history.uri("predictions"), truth, **changes)


def update(history: History, key: str, **changes: Any) -> list[Judgement]:
    return judge.update(subject_of(history, key, **changes), history.uri("performance"))


def arrive(history: History, key: str) -> None:
    """Bring the labels of the flights of a month and of the second half of the month before, a tenth of them twice."""
    half = month(key).start + timedelta(days=14)
    rows = rows_of(key)
    rows = rows.filter(pc.less(rows["departure"], half))
    before = month(key).shift(-1)
    if before.key in MONTHS:
        old = rows_of(before.key)
        rows = pa.concat_tables([rows, old.filter(pc.greater_equal(old["departure"], before.start + WEEK))])
    labels.write(
        history.uri("labels"),
        rows.select(["flight", "departure", "late"]),
        month(key),
        key=["flight"],
        event_time="departure",
        target="late",
        task="classification",
    )


def run(history: History, key: str, rows: pa.Table | None = None, **changes: Any) -> None:
    history.publish(key, rows)
    if changes.get("own"):
        arrive(history, key)
    predict(history, key, rows=rows)
    update(history, key, **changes)


def corrected(key: str) -> pa.Table:
    """Return a month's flights with other origins, and other labels in every tenth row."""
    rows = rows_of(key)
    tenth = pa.array(np.arange(rows.num_rows) % 10 == 0)
    return changed(
        rows,
        origin=pa.array(["EWR"] * rows.num_rows),
        late=pc.if_else(tenth, pc.invert(rows["late"]), rows["late"]),
    )


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


def test_a_partition_is_judged_again_as_its_labels_mature(history: History) -> None:
    for key in MONTHS[:3]:
        run(history, key)
    found = judge.history(history.uri("performance"))
    assert [(each.scored, each.as_of) for each in found] == [
        ("2013-01", "2013-01"), ("2013-01", "2013-02"),
        ("2013-02", "2013-02"), ("2013-02", "2013-03"),
        ("2013-03", "2013-03"),
    ]  # fmt: skip
    first, whole = found[0], found[1]
    january = rows_of("2013-01")
    due = pc.sum(pc.less(january["departure"], month("2013-01").end - WEEK)).as_py()
    assert (first.predicted, first.labelled) == (january.num_rows, due)
    assert (whole.labelled, whole.coverage) == (january.num_rows, 1.0)
    assert first.watermark is not None
    assert first.watermark >= month("2013-01").end - WEEK
    assert whole.watermark == month("2013-01").end
    measured = whole.metrics["roc_auc"]
    assert measured.low < measured.value < measured.high
    assert measured.n == january.num_rows


@pytest.mark.parametrize("own", [False, True])
def test_arrival_in_any_order_leaves_the_same_history(tmp_path: Path, own: bool) -> None:
    expected = None
    for number, order in enumerate(permutations(MONTHS[:3])):
        history = History(tmp_path / str(number))
        history.folder.mkdir()
        for key in order:
            run(history, key, own=own)
        found = judge.history(history.uri("performance"))
        expected = expected or found
        assert found == expected, order
    assert expected is not None
    assert len(expected) == 5


@pytest.mark.parametrize("own", [False, True])
def test_a_partition_that_is_ingested_again_leaves_the_same_history_in_any_order(
    tmp_path: Path, own: bool
) -> None:
    found = []
    changes = {"own": own, "slices": ["origin"], "min_rows": 20}
    orders = [("again", "2013-02"), ("2013-02", "again"), ("2013-02", "again", "2013-02")]
    for number, order in enumerate(
        [("2013-01", *rest) for rest in orders] + [("2013-02", "2013-01", "again")]
    ):
        history = History(tmp_path / str(number))
        history.folder.mkdir()
        for key in order:
            run(
                history,
                "2013-01" if key == "again" else key,
                corrected("2013-01") if key == "again" else None,
                **changes,
            )
        found.append(judge.history(history.uri("performance")))
        # A run that is cleared sees the data as a run of today does.
        update(history, "2013-02", **changes)
        assert judge.history(history.uri("performance")) == found[-1], order
        assert found[-1] == found[0], order
    assert [(each.scored, each.as_of) for each in found[0]] == [
        ("2013-01", "2013-01"), ("2013-01", "2013-02"), ("2013-02", "2013-02"),
    ]  # fmt: skip
    assert list(found[0][1].slices) == ["origin=EWR"]


def test_the_same_run_again_writes_nothing(history: History) -> None:
    for key in MONTHS[:2]:
        run(history, key)
    version = tables.open_table(history.uri("performance")).version()
    update(history, "2013-02")
    assert tables.open_table(history.uri("performance")).version() == version


def test_the_table_can_be_queried_without_reading_reports(history: History) -> None:
    run(history, "2013-01")
    row = tables.read(history.uri("performance")).to_pylist()[0]
    assert (row["scored"], row["as_of"], row["model_version"], row["metric"]) == (
        "2013-01", "2013-01", "1", "roc_auc",
    )  # fmt: skip
    assert row["low"] < row["value"] < row["high"]
    assert row["coverage"] == row["labelled"] / row["predicted"]


def test_an_earlier_partition_does_not_see_what_came_later(history: History) -> None:
    for key in MONTHS[:3]:
        run(history, key)
    known = judge.history(history.uri("performance"))
    assert [(each.scored, each.labelled < each.predicted) for each in judge.as_of(known, "2013-02")] == [
        ("2013-02", True),
        ("2013-01", False),
    ]


def test_labels_that_come_before_their_predictions_join_later(history: History) -> None:
    history.publish("2013-01")
    arrive(history, "2013-01")
    history.publish("2013-02")
    assert not tables.exists(history.uri("predictions"))
    predict(history, "2013-01")
    found = update(history, "2013-02", own=True)
    assert [each.scored for each in found] == ["2013-01"]
    assert found[0].labelled > 0


def test_labels_of_unknown_keys_and_contradictory_ones_are_counted_and_set_aside(history: History) -> None:
    history.publish("2013-01")
    predict(history, "2013-01")
    arrive(history, "2013-01")
    before = update(history, "2013-01", own=True)[0]
    some = rows_of("2013-01").select(["flight", "departure", "late"]).slice(0, 3)
    strange = pa.concat_tables(
        [
            changed(some, late=pc.invert(some["late"])),
            changed(some, flight=pc.add(some["flight"], 10**6)),
        ]
    )
    labels.write(
        history.uri("labels"), strange, month("2013-01"),
        key=["flight"], event_time="departure", target="late", task="classification",
    )  # fmt: skip
    after = update(history, "2013-01", own=True)[0]
    assert (after.contradictory, after.unknown) == (3, 3)
    assert after.labelled == before.labelled - 3


def test_each_partition_is_judged_with_the_model_that_scored_it(history: History) -> None:
    first = history.publish("2013-01")
    for key in MONTHS[1:3]:
        history.publish(key)
    trained = history.train(tables.published(history.uri("data"), "2013-02") or first)
    tracking.log_metrics(history.client, trained.run_id, "holdout", {"roc_auc": 0.8})
    predict(history, "2013-02", "99")
    predict(history, "2013-03", trained.version, digest=trained.digest)
    march, february = update(history, "2013-03")
    assert (february.model_version, february.holdout, february.prior, february.naive) == ("99", {}, None, {})
    assert february.metrics["roc_auc"].value is not None
    assert (march.model_version, march.holdout) == (trained.version, {"roc_auc": 0.8})
    labelled = rows_of("2013-01")["late"].to_numpy(zero_copy_only=False)
    assert march.prior == pytest.approx(labelled.mean())
    assert march.naive["roc_auc"] == 0.5


def test_a_version_that_was_deleted_and_trained_again_lends_its_number_nothing(history: History) -> None:
    first = history.publish("2013-01")
    for key in MONTHS[1:3]:
        history.publish(key)
    trained = history.train(tables.published(history.uri("data"), "2013-02") or first)
    tracking.log_metrics(history.client, trained.run_id, "holdout", {"roc_auc": 0.8})
    predict(history, "2013-02", trained.version, digest="of the version that was deleted")
    predict(history, "2013-03", trained.version, digest=trained.digest)
    march, february = update(history, "2013-03")
    assert (february.model_version, february.holdout, february.prior) == (trained.version, {}, None)
    assert (march.holdout, march.prior is None) == ({"roc_auc": 0.8}, False)
    mine = window.stream(subject_of(history, "2013-03"), march.predictor, 10**6)
    assert mine is not None
    assert mine.num_rows == march.labelled


def test_the_same_scores_of_another_content_of_the_number_are_judged_anew(history: History) -> None:
    history.publish("2013-01")
    predict(history, "2013-01")
    assert [judged.model_digest for judged in update(history, "2013-01")] == ["d"]
    predict(history, "2013-01", digest="another")
    assert [judged.model_digest for judged in update(history, "2013-01")] == ["another"]


def test_a_judgement_of_a_former_build_gives_way_to_one_with_the_digest(history: History) -> None:
    run(history, "2013-01")
    [judged] = judge.history(history.uri("performance"))
    former = judged.model_copy(update={"model_digest": None})
    assert judge.as_of([former], "2013-01") == [former]
    later = judged.model_copy(update={"as_of": "2013-02"})
    assert judge.as_of([former, later], "2013-02") == [later]
    assert judge.as_of([former, judged], "2013-02") == [judged]


def test_a_partition_that_two_versions_have_scored_has_a_judgement_for_each(history: History) -> None:
    rows = rows_of("2013-01")
    history.publish("2013-01")
    predict(history, "2013-01")
    table = tables.read(history.uri("predictions"))
    versions = pc.if_else(
        pc.equal(pc.bit_wise_and(pc.cast(pa.array(range(rows.num_rows)), "int64"), 1), 0), "1", "2"
    )
    tables.replace_partition(history.uri("predictions"), changed(table, model_version=versions), "2013-01")
    found = update(history, "2013-01")
    assert sorted(each.model_version for each in found) == ["1", "2"]
    assert sum(each.predicted for each in found) == rows.num_rows


def test_slices_are_measured_apart(history: History) -> None:
    history.publish("2013-01")
    predict(history, "2013-01")
    found = update(history, "2013-01", slices=["origin"], min_rows=20)[0]
    assert sum(each.n for each in found.slices.values()) == found.labelled
    assert list(found.slices) == ["origin=EWR", "origin=JFK", "origin=LGA"]
    predict(history, "2013-01", "2")
    with pytest.raises(SchemaMismatch, match="no column weather_code"):
        update(history, "2013-01", slices=["weather_code"])


def test_labels_that_are_filled_in_by_publishing_the_data_again_are_seen_by_the_next_run(
    history: History,
) -> None:
    rows = rows_of("2013-01")
    history.publish("2013-01", changed(rows, late=pa.nulls(rows.num_rows, pa.bool_())))
    predict(history, "2013-01")
    run(history, "2013-02")
    run(history, "2013-03")
    assert [each.labelled for each in judge.as_of(judge.history(history.uri("performance")), "2013-03")][
        -1
    ] == 0
    history.publish("2013-01", rows)
    run(history, "2013-04")
    known = judge.history(history.uri("performance"))
    assert judge.as_of(known, "2013-04")[-1].coverage == 1.0
    assert judge.as_of(known, "2013-03")[-1].coverage == 0.0


def test_keys_of_another_type_than_those_of_the_data_are_an_error(history: History) -> None:
    history.publish("2013-01")
    predict(history, "2013-01")
    some = rows_of("2013-01").select(["flight", "departure", "late"]).slice(0, 1)
    texts = changed(some, flight=pa.array(["AA 1"]))
    labels.write(
        history.uri("labels"), texts, month("2013-01"),
        key=["flight"], event_time="departure", target="late", task="classification",
    )  # fmt: skip
    truth = subject_of(history, "2013-01", own=True).truth
    with pytest.raises(SchemaMismatch, match="'flight' is string in the labels and int64 in the data"):
        join(history.uri("predictions"), truth, month("2013-01"), month("2013-01"))


def test_a_version_that_serves_again_is_followed_over_what_lies_between(history: History) -> None:
    for key, version in zip(MONTHS, ("1", "2", "1", "3"), strict=True):
        history.publish(key)
        predict(history, key, version)
    subject = subject_of(history, "2013-04")
    rows = window.stream(subject, Predictor("1", "d"), 10**6)
    assert rows is not None
    assert rows.num_rows == rows_of("2013-01").num_rows + rows_of("2013-03").num_rows
    newest = window.stream(subject, Predictor("1", "d"), 1)
    assert newest is not None
    assert newest.num_rows == rows_of("2013-03").num_rows
    earlier = window.stream(subject_of(history, "2013-02"), Predictor("1", "d"), 10**6)
    assert earlier is not None
    assert earlier.num_rows == rows_of("2013-01").num_rows
    assert window.stream(subject, Predictor("4", "d"), 10**6) is None


def test_a_new_version_reads_nothing_of_the_ones_before(history: History) -> None:
    for key, version in zip(MONTHS[:2], ("1", "2"), strict=True):
        history.publish(key)
        predict(history, key, version)
    for file in (history.folder / "storage" / MODEL / "data" / "_partition=2013-01").glob("*.parquet"):
        file.unlink()
    subject = subject_of(history, "2013-02")
    assert window.stream(subject, Predictor("2", "d"), 10**6) is not None
    with pytest.raises(TableUnreadable):
        window.stream(subject, Predictor("1", "d"), 10**6)
