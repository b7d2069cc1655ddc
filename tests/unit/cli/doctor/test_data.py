from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_mlops.cli.doctor import data, models
from airflow_mlops.cli.doctor.diagnosis import Condition, Diagnosis

NOW = datetime(2026, 4, 15, tzinfo=UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def look(write: Callable[[str], None], more: str = "", now: datetime = NOW) -> Diagnosis:
    write(more)
    (spec,) = models.specs().valid
    return data.of_model(spec, now)


def test_files_up_to_the_newest_partition_pass(spec: Callable[[str], None], folder: Path) -> None:
    for key in ("2026-02", "2026-03"):
        (folder / f"{key}.csv").touch()
    diagnosis = look(spec)
    assert diagnosis.status is Condition.PASS
    assert (
        diagnosis.observation
        == "flights has files of 2 partitions, 2026-02 to 2026-03; its schedule has reached 2026-03"
    )


@pytest.mark.parametrize(
    ("key", "more", "words"),
    [
        (
            "2026-01",
            "",
            "The schedule of flights has reached 2026-03, and the newest file is of 2026-01, 2 before it",
        ),
        ("2026-03", "start: 2026-05\n", "2026-03 to 2026-03, and starts with 2026-05"),
        ("2026-03", "end: 2026-02\n", "and ends with 2026-02"),
    ],
)
def test_data_that_no_run_reads_or_that_does_not_come_is_named(
    spec: Callable[[str], None], folder: Path, key: str, more: str, words: str
) -> None:
    (folder / f"{key}.csv").touch()
    diagnosis = look(spec, more)
    assert diagnosis.status is Condition.WARN
    assert words in diagnosis.observation


def test_history_with_an_end_is_not_stale(spec: Callable[[str], None], folder: Path) -> None:
    (folder / "2013-12.csv").touch()
    assert look(spec).status is Condition.WARN
    assert look(spec, "start: 2013-01\nend: 2013-12\n").status is Condition.PASS


def test_a_folder_without_files_and_files_of_another_form_are_named(
    spec: Callable[[str], None], folder: Path
) -> None:
    diagnosis = look(spec)
    assert diagnosis.status is Condition.FAIL
    assert diagnosis.observation == f"flights has no file {folder}/*.csv"
    (folder / "January.csv").touch()
    diagnosis = look(spec)
    assert diagnosis.status is Condition.FAIL
    assert "None of the 1 files of flights" in diagnosis.observation
    assert "name the files as 2026-03" in diagnosis.fix
    (folder / "January.csv").unlink()
    folder.rmdir()
    assert look(spec).observation == f"flights has no file {folder}/*.csv"


def test_a_schedule_that_has_not_fired_yet_has_reached_the_partition_before(
    spec: Callable[[str], None],
) -> None:
    spec("schedule: '0 6 20 * *'\n")
    (described,) = models.specs().valid
    assert data.reached(described, NOW).key == "2026-02"
    assert data.reached(described, NOW.replace(day=21)).key == "2026-03"


def test_a_source_that_is_a_function_is_asked_whether_data_is_there(
    spec: Callable[[str], None], dags: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (dags / "arrivals_of_doctor.py").write_text(
        "def read(p): ...\ndef none(p): return None\ndef some(p): return 'x'\n"
    )
    monkeypatch.syspath_prepend(dags)
    spec("")
    file = dags / "models" / "flights.yaml"
    text = file.read_text()
    start = text.index("source:")
    for arrived, status in (("none", Condition.WARN), ("some", Condition.PASS), ("absent", Condition.FAIL)):
        function = f"{{function: 'arrivals_of_doctor:read', arrived: 'arrivals_of_doctor:{arrived}'}}"
        file.write_text(f"{text[:start]}source: {{python: {function}}}\n")
        (described,) = models.specs().valid
        assert data.of_model(described, NOW).status is status
    file.write_text(f"{text[:start]}source: {{python: 'arrivals_of_doctor:read'}}\n")
    (described,) = models.specs().valid
    assert data.of_model(described, NOW).status is Condition.SKIPPED
