from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops import assets
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.results import DatasetVersion, ValidationReport
from airflow_mlops.engines import tables
from airflow_mlops.exceptions import ValidationErrored, ValidationFailed
from airflow_mlops.operators.ingest import PublishOperator
from airflow_mlops.operators.validate import ValidateOperator
from contexts import Run, deploy
from history import MODEL, History, month

DATA = assets.data(MODEL)
RANGE = {"column": "wind", "min_value": 0, "max_value": 50}
QUARANTINE = {"expect_column_values_to_be_between": {**RANGE, "severity": "quarantine"}}
BLOCK = {"expect_column_values_to_be_between": RANGE}


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch)


def stage(history: History, winds: Sequence[float], key: str = "2013-01") -> DatasetVersion:
    """Stage a month, as ingesting leaves it."""
    rows = pa.table(
        {
            "flight": [f"{key}/{number}" for number in range(len(winds))],
            "departure": pa.array([month(key).start] * len(winds), pa.timestamp("us", "UTC")),
            "wind": pa.array(winds, pa.float64()),
        }
    )
    return tables.publish(
        history.uri("staging"), rows, name=MODEL, grain="month", partition=key, key=["flight"],
        event_time="departure", source="test", run="test",
    )  # fmt: skip


def validate(run: Run, staged: DatasetVersion, *expectations: Any, **changes: Any) -> DatasetVersion:
    return DatasetVersion.from_dict(
        run.execute(ValidateOperator, dataset=staged.to_dict(), expectations=expectations, **changes)
    )


def publish(run: Run, valid: DatasetVersion) -> DatasetVersion:
    validation = run.pushed["validation"]
    task = PublishOperator(
        task_id="publish", dag=run.dag, dataset=valid.to_dict(), validation=validation, outlets=[DATA]
    )
    return DatasetVersion.from_dict(run.execute_task(task))


def winds(history: History, table: str, key: str = "2013-01") -> list[float]:
    return sorted(tables.read(history.uri(table), partition=key)["wind"].to_pylist())


def test_good_data_goes_on_as_it_is_and_its_report_goes_into_the_asset_event(history: History) -> None:
    run, staged = Run(partition="2013-01"), stage(history, [1.0, 2.0])
    assert validate(run, staged, BLOCK) == staged
    assert run.pushed["report"] == "flights/2013-01/validation.html"
    page = history.folder / "storage/reports" / run.pushed["report"]
    assert "expect_column_values_to_be_between" in page.read_text()
    assert not tables.exists(history.uri("quarantine"))
    publish(run, staged)
    report = ValidationReport.from_dict(run.facts(DATA)["validation"])
    assert (report.verdict, report.rows, report.quarantined) == (Verdict.PASS, 2, 0)


def test_bad_rows_are_set_aside_with_the_reason_and_the_good_ones_are_published(history: History) -> None:
    run, staged = Run(partition="2013-01"), stage(history, [1.0, -7.0, 2.0])
    valid = validate(run, staged, QUARANTINE)
    assert run.pushed["validation"]["quarantined"] == 1
    assert (valid.rows, valid.version) == (2, staged.version + 1)
    publish(run, valid)
    assert winds(history, "data") == [1.0, 2.0]
    (bad,) = tables.read(history.uri("quarantine"), partition="2013-01").to_pylist()
    assert bad["wind"] == -7.0
    assert "wind" in bad["_reasons"]


def test_a_retry_finds_the_same_rows_good_and_bad(history: History) -> None:
    staged = stage(history, [1.0, -7.0])
    first, again = (validate(Run(partition="2013-01"), staged, QUARANTINE) for _ in range(2))
    assert again == first.model_copy(update={"changed": False})
    assert winds(history, "quarantine") == [-7.0]


def test_quarantine_is_cleared_once_the_data_is_corrected(history: History) -> None:
    for key in ("2013-01", "2013-02"):
        validate(Run(partition=key), stage(history, [1.0, -7.0], key), QUARANTINE)
    validate(Run(partition="2013-01"), stage(history, [1.0, 7.0]), QUARANTINE)
    assert winds(history, "quarantine") == []
    assert winds(history, "quarantine", "2013-02") == [-7.0]


def test_a_blocking_failure_keeps_its_report_before_it_raises(history: History) -> None:
    run, staged = Run(partition="2013-01"), stage(history, [1.0, -7.0])
    with pytest.raises(ValidationFailed, match=r"flights 2013-01: .*wind.* in 1 row"):
        validate(run, staged, BLOCK)
    report = ValidationReport.from_dict(run.pushed["validation"])
    assert report.verdict is Verdict.FAIL
    (failed,) = [result for result in report.results if result.outcome == "FAIL"]
    assert (failed.unexpected, failed.samples) == (1, ("-7",))
    assert (history.folder / "storage/reports" / run.pushed["report"]).exists()
    assert not tables.exists(history.uri("quarantine"))


def test_an_expectation_that_cannot_be_evaluated_is_an_error_and_not_a_failure(history: History) -> None:
    run = Run(partition="2013-01")
    unknown = {"expect_column_values_to_match_regex": {"column": "wind", "regex": "("}}
    with pytest.raises(ValidationErrored, match="flights 2013-01"):
        validate(run, stage(history, [1.0]), unknown)
    assert run.pushed["validation"]["verdict"] == "INCONCLUSIVE"


def test_a_required_column_without_any_value_blocks(history: History) -> None:
    staged = stage(history, [None, None])  # type: ignore[list-item]
    with pytest.raises(ValidationFailed, match="wind"):
        validate(Run(partition="2013-01"), staged, required=["wind"])
