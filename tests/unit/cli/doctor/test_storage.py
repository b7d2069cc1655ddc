from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import full_disk
from airflow_mlops.cli.doctor import storage
from airflow_mlops.cli.doctor.diagnosis import Condition
from airflow_mlops.local.airflow import free_port
from object_store import BUCKET, Store, careless, serving

Configure = Callable[[str, str], None]
NUMBERS = itertools.count()
LOOK = """
from airflow_mlops.cli.doctor import storage
print(storage.table("s3://{bucket}/{folder}", "the bucket"))
print("end")
"""


def test_a_folder_is_written_read_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "kept").touch()
    diagnosis = storage.table(tmp_path.as_uri(), "the folder")
    assert diagnosis.status is Condition.PASS
    assert os.listdir(tmp_path) == ["kept"]


def test_a_folder_that_is_not_there_is_told_and_not_left_behind(tmp_path: Path) -> None:
    diagnosis = storage.table(f"{tmp_path.as_uri()}/mount/mlops", "the folder")
    assert diagnosis.status is Condition.WARN
    assert "is not there yet" in diagnosis.observation
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("refusal", "words"),
    [
        (full_disk.full, "the disk is full"),
        (full_disk.read_only, "read-only"),
        (full_disk.closed, "no right to it"),
    ],
)
def test_a_disk_that_takes_nothing_is_named(tmp_path: Path, refusal: full_disk.Refusal, words: str) -> None:
    with full_disk.disk(tmp_path / "disk") as folder:
        with refusal(folder):
            diagnosis = storage.table(folder.as_uri(), "the folder")
        assert diagnosis.status is Condition.FAIL
        assert words in diagnosis.observation
        assert storage.table(folder.as_uri(), "the folder").status is Condition.PASS


def test_a_file_in_place_of_the_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlops").touch()
    diagnosis = storage.table(f"{tmp_path.as_uri()}/mlops", "the folder")
    assert diagnosis.status is Condition.FAIL


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with serving(tmp_path_factory.mktemp("moto"), free_port()) as store:
        yield store


@pytest.mark.slow
def test_a_store_with_conditional_put_passes_and_one_without_is_named(store: Store) -> None:
    look = LOOK.format(bucket=BUCKET, folder=f"doctor-{next(NUMBERS)}")
    line = store.run(look)
    assert line.startswith("✓ PASS")
    assert "the second of two commits at once was refused" in line
    with careless(store) as proxy:
        line = proxy.run(look)
    assert line.startswith("✗ FAIL")
    assert "ignores the header If-None-Match" in line
    assert store.keys("doctor-") == []


def test_a_store_that_is_away_or_unknown_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    diagnosis = storage.table("gopher://bucket/mlops", "the bucket")
    assert diagnosis.status is Condition.FAIL
    assert "no place for tables" in diagnosis.observation


def test_room_is_told_of_each_disk_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (diagnosis,) = storage.room({"AIRFLOW_HOME": tmp_path, "[mlops] storage": tmp_path / "not" / "there"})
    assert "The disk of AIRFLOW_HOME and [mlops] storage has" in diagnosis.observation
    monkeypatch.setattr(storage, "LITTLE", 1 << 60)
    assert [diagnosis.status for diagnosis in storage.room({"x": tmp_path})] == [Condition.WARN]
    with full_disk.disk(tmp_path / "small") as folder:
        (diagnosis,) = storage.room({"x": folder})
        assert (diagnosis.status, diagnosis.observation) == (Condition.FAIL, "The disk of x has 0.0 GB left")


def test_disks_of_one_machine_under_tasks_of_several_are_named(
    configure: Configure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    configure("storage", tmp_path.as_uri())
    assert [diagnosis.status for diagnosis in storage.look()] == [Condition.PASS]
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTOR", "CeleryExecutor")
    tables, models, _ = storage.look()
    assert (tables.status, models.status) == (Condition.WARN, Condition.WARN)
    assert "[mlops] storage lies on a disk" in tables.observation
    assert "[mlops] tracking_uri lies on a disk" in models.observation


def test_pages_elsewhere_are_written_too(configure: Configure, tmp_path: Path) -> None:
    configure("storage", f"{tmp_path.as_uri()}/mlops")
    assert [diagnosis.status for diagnosis in storage.pages()] == [Condition.SKIPPED]
    configure("reports", f"{tmp_path.as_uri()}/pages")
    assert [diagnosis.status for diagnosis in storage.pages()] == [Condition.PASS]
    assert os.listdir(tmp_path / "pages") == []
    (tmp_path / "file").touch()
    configure("reports", f"{tmp_path.as_uri()}/file/pages")
    assert [diagnosis.status for diagnosis in storage.pages()] == [Condition.FAIL]
