from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops import assets
from airflow_mlops.domain.results import DatasetVersion
from airflow_mlops.engines import tables
from airflow_mlops.engines.sources import FileSource
from airflow_mlops.exceptions import BadRows, SchemaMismatch, SourceMissing, SourceUnreadable
from airflow_mlops.operators.ingest import IngestOperator, PublishOperator
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
    return DatasetVersion.from_dict(run.execute(IngestOperator, **arguments | changes))


def publish(run: Run, staged: DatasetVersion) -> DatasetVersion:
    task = PublishOperator(task_id="publish", dag=run.dag, dataset=staged.to_dict(), outlets=[DATA])
    return DatasetVersion.from_dict(run.execute_task(task))


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
    tmp_path: Path, history: History, capfd: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "2013-01", [1.5, 2.5])
    first = publish(run := Run(partition="2013-01"), ingest(run, tmp_path))
    again = publish(run := Run(partition="2013-01", run_id="run-2"), ingest(run, tmp_path))
    assert again == first.model_copy(update={"changed": False})
    assert run.facts(DATA)["dataset"]["changed"] is False
    said = capfd.readouterr().out
    assert "(unchanged)" in said
    assert "(already published)" in said
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
        (truncated, SourceUnreadable, "truncated or not csv"),
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
