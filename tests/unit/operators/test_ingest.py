from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops import assets
from airflow_mlops.domain.facts.results import DatasetVersion
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.exceptions import (
    BadRows,
    EmptyPartition,
    PlaceRefused,
    SchemaMismatch,
    SourceMissing,
    SourceUnreadable,
)
from airflow_mlops.hooks.sources import FileSource
from airflow_mlops.operators.ingest import IngestOperator, PublishOperator
from airflow_mlops.stores.tables import tables
from contexts import Run, deploy
from history import History

DATA = assets.data("flights")


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch)


def write(folder: Path, key: str, winds: Sequence[float | str], extra: str = "") -> Path:
    """Write a month's file, a flight a day."""
    path = folder / f"{key}.csv"
    lines = [
        f"{key}/{day},{key}-{day:02} 10:00:00,{wind},{day % 2}{extra}"
        for day, wind in enumerate(winds, start=1)
    ]
    path.write_text("\n".join([f"flight,departure,wind,late{extra and ',extra'}", *lines, ""]))
    return path


def ingest(run: Run, folder: Path, **changes: Any) -> DatasetVersion:
    arguments: dict[str, Any] = {
        "source": FileSource(f"{folder}/{{partition}}.csv"),
        "dataset": "flights",
        "key": ["flight"],
        "event_time": "departure",
        "grain": "month",
        "stage": True,
    }
    version = DatasetVersion.from_dict(run.execute(IngestOperator, **arguments | changes))
    assert run.stated == [Statement.of(version)]
    return version


def publish(run: Run, staged: DatasetVersion) -> DatasetVersion:
    task = PublishOperator(task_id="publish", dag=run.dag, dataset=staged.to_dict(), outlets=[DATA])
    version = DatasetVersion.from_dict(run.execute_task(task))
    assert run.stated == [Statement.of(version)]
    return version


def winds(uri: str, key: str) -> list[float]:
    return sorted(tables.read(uri, partition=key)["wind"].to_pylist())


def test_a_staged_partition_is_not_published_until_it_is(tmp_path: Path, history: History) -> None:
    write(tmp_path, "2013-01", [1.5, 2.5])
    run = Run(partition="2013-01")
    staged = ingest(run, tmp_path)
    assert (staged.uri, staged.rows) == (history.uri("staging"), 2)
    assert not tables.exists(history.uri("data"))
    published = publish(run, staged)
    assert published == tables.published(history.uri("data"), "2013-01")
    assert (published.digest, winds(published.uri, "2013-01")) == (staged.digest, [1.5, 2.5])
    assert DatasetVersion.from_dict(run.facts(DATA)["dataset"]) == published


def test_without_a_stage_the_partition_is_published_at_once(tmp_path: Path, history: History) -> None:
    write(tmp_path, "2013-01", [1.5])
    assert ingest(Run(partition="2013-01"), tmp_path, stage=False).uri == history.uri("data")


def test_the_same_file_again_publishes_nothing_and_says_so(
    tmp_path: Path, history: History, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    write(tmp_path, "2013-01", [1.5, 2.5])
    first = publish(run := Run(partition="2013-01"), ingest(run, tmp_path))
    again = publish(run := Run(partition="2013-01", run_id="run-2"), ingest(run, tmp_path))
    assert again == first.model_copy(update={"changed": False})
    assert run.facts(DATA)["dataset"]["changed"] is False
    unchanged = "unchanged, version 1 has the same 2 rows × 4 columns"
    assert caplog.text.count(f"flights 2013-01: {unchanged}") == 2
    assert run.note == f"2013-01: {unchanged}"
    assert len(list(tables.versions(history.uri("data")))) == 1


def test_a_corrected_file_replaces_its_partition_only(tmp_path: Path, history: History) -> None:
    for key in ("2013-01", "2013-02"):
        write(tmp_path, key, [1.5, 2.5])
        publish(run := Run(partition=key), ingest(run, tmp_path))
    write(tmp_path, "2013-01", [9.5])
    publish(run := Run(partition="2013-01"), ingest(run, tmp_path))
    assert winds(history.uri("data"), "2013-01") == [9.5]
    assert winds(history.uri("data"), "2013-02") == [1.5, 2.5]


def test_a_retry_of_publishing_publishes_what_was_validated_and_not_what_was_staged_since(
    tmp_path: Path, history: History
) -> None:
    write(tmp_path, "2013-01", [1.5])
    staged = ingest(Run(partition="2013-01"), tmp_path)
    write(tmp_path, "2013-01", [9.5])
    ingest(Run(partition="2013-01"), tmp_path)
    publish(Run(partition="2013-01"), staged)
    assert winds(history.uri("data"), "2013-01") == [1.5]


def test_a_partition_given_by_hand_is_ingested_in_a_run_without_one(tmp_path: Path) -> None:
    write(tmp_path, "2013-02", [1.5])
    assert ingest(Run(), tmp_path, partition="2013-02").partition == "2013-02"
    with pytest.raises(ValueError, match="This run has no partition key"):
        ingest(Run(), tmp_path)


def missing(file: Path) -> None:
    file.unlink()


def empty(file: Path) -> None:
    file.write_text("")


def header_only(file: Path) -> None:
    file.write_text(file.read_text().partition("\n")[0] + "\n")


def truncated(file: Path) -> None:
    file.write_text(file.read_text().rpartition(",")[0])


def another_schema(file: Path) -> None:
    write(file.parent, file.stem, [1.5, 2.5], extra=",1")


def another_month(file: Path) -> None:
    file.write_text(file.read_text().replace("2013-02-02", "2013-03-02"))


@pytest.mark.parametrize(
    ("damage", "error", "difference"),
    [
        (missing, SourceMissing, "there is no file"),
        (empty, SourceUnreadable, "is empty"),
        (header_only, EmptyPartition, "has no rows"),
        (truncated, SourceUnreadable, "line 3 has 3 fields, the header 4"),
        (another_schema, SchemaMismatch, "column 'extra' is new"),
        (another_month, BadRows, "outside of 2013-02-01"),
    ],
)
def test_a_bad_file_fails_with_file_partition_and_difference_and_leaves_everything_as_it_was(
    tmp_path: Path, history: History, damage: Any, error: type[Exception], difference: str
) -> None:
    for key in ("2013-01", "2013-02"):
        file = write(tmp_path, key, [1.5, 2.5])
        publish(run := Run(partition=key), ingest(run, tmp_path))
    before = {name: tables.open_table(history.uri(name)).version() for name in ("data", "staging")}
    damage(file)
    with pytest.raises(error, match=difference) as raised:
        ingest(Run(partition="2013-02"), tmp_path)
    assert str(file) in str(raised.value)
    assert "partition 2013-02" in str(raised.value)
    assert before == {name: tables.open_table(history.uri(name)).version() for name in ("data", "staging")}
    assert winds(history.uri("data"), "2013-02") == [1.5, 2.5]


def test_the_log_tells_what_changed_and_how_far_the_dataset_goes(
    tmp_path: Path, history: History, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    for key in ("2013-01", "2013-04"):
        write(tmp_path, key, [1.5, 2.5])
        ingest(Run(partition=key), tmp_path, stage=False)
    write(tmp_path, "2013-01", [1.5, 9.5, 3.5])
    ingest(run := Run(partition="2013-01"), tmp_path, stage=False)
    published = "published 3 rows × 4 columns as version 3 (1 row added, 0 removed, 1 changed)"
    assert [record.getMessage() for record in caplog.records if record.name == "airflow_mlops.runs"][-5:] == [
        f"flights 2013-01: {published}",
        "::group::Details",
        f"read from {tmp_path}/2013-01.csv",
        "complete from 2013-01 to 2013-01; gaps before 2013-04: 2013-02, 2013-03",
        "::endgroup::",
    ]
    assert run.note == f"2013-01: {published}"


def test_columns_change_as_the_policy_says(tmp_path: Path, history: History) -> None:
    write(tmp_path, "2013-01", [1.5])
    ingest(Run(partition="2013-01"), tmp_path, stage=False)
    write(tmp_path, "2013-02", [1.5], extra=",7")
    with pytest.raises(SchemaMismatch, match="'extra' is new"):
        ingest(Run(partition="2013-02"), tmp_path)
    staged = ingest(Run(partition="2013-02"), tmp_path, schema="add")
    assert publish(Run(partition="2013-02"), staged).columns["extra"] == "int64"


def test_features_are_prepared_and_known_by_their_code(
    tmp_path: Path, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = (
        "def make(rows):\n    return rows.append_column('windy', [[x.as_py() > 2 for x in rows['wind']]])\n"
    )
    (tmp_path / "windy_features.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    write(tmp_path, "2013-01", [1.5, 2.5])
    version = ingest(Run(partition="2013-01"), tmp_path, stage=False, transform="windy_features:make")
    assert version.transform is not None
    assert version.transform.startswith("windy_features:make@")
    assert sorted(tables.read(version.uri)["windy"].to_pylist()) == [False, True]


@pytest.mark.parametrize("name", ["../evil", "a#b", "a%2e%2e", "Flights", "reports"])
def test_a_dataset_named_by_hand_or_by_a_template_obeys_the_rule_of_specs_and_leaves_no_file(
    history: History, tmp_path: Path, name: str
) -> None:
    write(tmp_path, "2013-01", [1.0])
    before = sorted(tmp_path.rglob("*"))
    run = Run(partition="2013-01")
    with pytest.raises(PlaceRefused, match="dataset or model: "):
        ingest(run, tmp_path, dataset=name)
    with pytest.raises(PlaceRefused, match="dataset or model: "):
        ingest(run, tmp_path, dataset=f"{{{{ '{name}' }}}}")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_row_with_a_cell_that_cannot_be_read_waits_for_validation_if_that_is_asked(
    tmp_path: Path,
) -> None:
    write(tmp_path, "2013-01", [1.5, 2.5, 3.5])
    publish(run := Run(partition="2013-01"), ingest(run, tmp_path))
    write(tmp_path, "2013-01", [1.5, "thirty", 3.5])
    with pytest.raises(SchemaMismatch, match=r"'thirty'.*on_unreadable: quarantine"):
        ingest(Run(partition="2013-01"), tmp_path)
    staged = ingest(Run(partition="2013-01"), tmp_path, on_unreadable="quarantine")
    assert (staged.rows, staged.unreadable is not None) == (2, True)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"on_unreadable": "quarantine", "stage": False}, "needs stage=True"),
        ({"on_unreadable": "skip"}, "must be block"),
    ],
)
def test_rows_that_nothing_would_set_aside_are_not_read(
    tmp_path: Path, changes: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        ingest(Run(partition="2013-01"), tmp_path, **changes)
