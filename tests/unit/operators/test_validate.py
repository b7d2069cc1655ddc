from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from airflow_mlops import assets
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import Action, DatasetVersion, PromotionDecision, TrainingData
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.facts.validation import ValidationReport
from airflow_mlops.exceptions import SuiteUnreadable, ValidationErrored, ValidationFailed
from airflow_mlops.hooks.sources import FileSource, SqlSource
from airflow_mlops.operators.ingest import IngestOperator, PublishOperator
from airflow_mlops.operators.validate import ValidateOperator
from airflow_mlops.stages.ingest import quarantine
from airflow_mlops.stores.sources.delta import DeltaSource
from airflow_mlops.stores.sources.python import PythonSource
from airflow_mlops.stores.tables import tables
from contexts import Run, deploy
from history import MODEL, History, month, moved

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
    settings = {"expectations": expectations, "max_quarantined": 0.5, **changes}
    version = DatasetVersion.from_dict(run.execute(ValidateOperator, dataset=staged.to_dict(), **settings))
    assert run.stated == [stated(run), Statement.of(version)]
    return version


def stated(run: Run) -> Statement:
    """Return what the task has to state of its report."""
    return Statement.of(ValidationReport.from_dict(run.pushed["validation"]), report=run.pushed["report"])


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


def test_a_cleared_run_judges_the_corrected_source_and_a_cleared_task_the_rows_that_were_read_before(
    tmp_path: Path, history: History
) -> None:
    def write(wind: float) -> None:
        lines = ("flight,departure,wind", f"1,2013-01-05 10:00:00,{wind}", "2,2013-01-06 10:00:00,3", "")
        (tmp_path / "2013-01.csv").write_text("\n".join(lines))

    def ingest(run: Run) -> DatasetVersion:
        source = FileSource(f"{tmp_path}/{{partition}}.csv")
        names = {"dataset": MODEL, "key": ["flight"], "event_time": "departure", "grain": "month"}
        return DatasetVersion.from_dict(run.execute(IngestOperator, source=source, stage=True, **names))

    write(-7.0)
    staged = ingest(run := Run(partition="2013-01"))
    with pytest.raises(ValidationFailed, match="wind"):
        validate(run, staged, BLOCK)
    write(7.0)
    # As the mail says: to clear validate alone judges the rows once more that were read before.
    with pytest.raises(ValidationFailed, match="wind"):
        validate(run, staged, BLOCK)
    publish(run, validate(run, ingest(run), BLOCK))
    assert winds(history, "data") == [3.0, 7.0]


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
    assert run.stated == [stated(run)]
    assert f"not published: {report.reason.partition(';')[0]}" in run.note
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


# ------------------------------------------------------------------------------------------------ what is kept
def test_the_report_is_kept_in_a_table_with_one_row_a_partition(history: History) -> None:
    for partition, values in (("2013-01", [1.0]), ("2013-01", [1.0, 2.0]), ("2013-02", [1.0, -7.0])):
        validate(Run(partition=partition), stage(history, values, partition), QUARANTINE)
    first, second = sorted(
        tables.read(history.uri("validation")).to_pylist(), key=lambda row: row["partition"]
    )
    assert (first["partition"], first["rows"], first["verdict"], first["quarantined"]) == (
        "2013-01",
        2,
        "PASS",
        0,
    )
    assert (second["quarantined"], second["run"]) == (1, "flights.test/run-1")
    assert ValidationReport.model_validate_json(second["report"]).quarantined == 1


def test_a_failure_is_kept_in_the_table_too(history: History) -> None:
    with pytest.raises(ValidationFailed):
        validate(Run(partition="2013-01"), stage(history, [-7.0]), BLOCK)
    (row,) = tables.read(history.uri("validation")).to_pylist()
    assert (row["verdict"], row["partition"]) == ("FAIL", "2013-01")
    assert "wind" in row["reason"]


def test_data_docs_lie_beside_the_page_which_is_what_the_task_links_to(history: History) -> None:
    run = Run(partition="2013-01")
    validate(run, stage(history, [1.0]), BLOCK)
    assert run.pushed["report"] == "flights/2013-01/validation.html"
    folder = history.folder / "storage/reports/flights/2013-01"
    assert 'href="data-docs.html"' in (folder / "validation.html").read_text()
    assert "Data Docs of flights 2013-01" in (folder / "data-docs.html").read_text()


def test_personal_data_is_masked_in_all_that_is_kept(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    run, secret = Run(partition="2013-01"), "-7.123456"
    with pytest.raises(ValidationFailed) as error:
        validate(run, stage(history, [1.0, float(secret)]), BLOCK, pii=["wind"])
    told = [str(error.value), caplog.text, json.dumps(run.ti.pushed)]
    told += [file.read_text() for file in (history.folder / "storage/reports").rglob("*.html")]
    told += [row["report"] + row["reason"] for row in tables.read(history.uri("validation")).to_pylist()]
    assert len(told) == 6
    assert not [text for text in told if secret in text]
    assert "•••" in told[2] or "\\u2022" in told[2]


# ------------------------------------------------------------------------------------------------ shares and releases
def test_above_the_share_nothing_is_moved(history: History) -> None:
    run, staged = Run(partition="2013-01"), stage(history, [1.0, -7.0])
    with pytest.raises(ValidationFailed, match=r"1 of 2 rows would be set aside, above 10 % of them"):
        validate(run, staged, QUARANTINE, max_quarantined=0.1)
    assert not tables.exists(history.uri("quarantine"))
    assert winds(history, "staging") == [-7.0, 1.0]
    assert run.pushed["validation"]["quarantined"] == 0


def test_rows_that_a_person_has_released_pass(history: History) -> None:
    staged = stage(history, [1.0, -7.0])
    validate(Run(partition="2013-01"), staged, QUARANTINE)
    quarantine.release(
        staged,
        quarantine=history.uri("quarantine"),
        released=history.uri("released"),
        by="ada",
        reason="as measured",
    )
    run = Run(partition="2013-01")
    valid = validate(run, stage(history, [1.0, -7.0]), QUARANTINE)
    assert valid.rows == 2
    assert (run.pushed["validation"]["released"], run.pushed["validation"]["quarantined"]) == (1, 0)


# ------------------------------------------------------------------------------------------------ suites and history
def test_a_suite_is_found_beside_the_dag_file(history: History) -> None:
    run, staged = Run(partition="2013-01"), stage(history, [-7.0])
    folder = history.folder / "dags"
    folder.mkdir()
    run.dag.fileloc = str(folder / "flights.py")
    suite = {"expectations": [{"type": "expect_column_values_to_be_between", "kwargs": RANGE}]}
    (folder / "wind.json").write_text(json.dumps(suite))
    with pytest.raises(ValidationFailed, match="wind is below 0"):
        validate(run, staged, expectations="wind.json")
    with pytest.raises(SuiteUnreadable, match="none.json"):
        validate(run, staged, {"suite": "none.json"})


def test_a_partition_is_held_to_those_published_before_it(history: History) -> None:
    near = {"expect_table_row_count_to_be_near_last_partitions": {"partitions": 2, "tolerance": 0.5}}
    for key in ("2013-01", "2013-02"):
        run = Run(partition=key)
        publish(run, validate(run, stage(history, [1.0, 2.0], key), near))
    with pytest.raises(ValidationFailed, match=r"row count is not near .*\(observed: 9\)"):
        validate(Run(partition="2013-03"), stage(history, [1.0] * 9, "2013-03"), near)


def test_without_a_champion_there_is_nothing_to_be_skewed_from(history: History) -> None:
    staged = stage(history, [1.0])
    assert validate(Run(partition="2013-01"), staged, model=MODEL, skew={"threshold": 0.5}) == staged


def promote(history: History, trained_on: DatasetVersion) -> None:
    """Record that a model trained on a version has become champion."""
    learned = TrainingData(
        dataset=trained_on, start=month("2013-01").start, cut=month("2013-01").end, features=("wind",)
    )
    decision = PromotionDecision(
        model=MODEL, partition="2013-01", action=Action.PROMOTED, before=None, after="1", reason="first",
        key="k", trained_on=learned,
    )  # fmt: skip
    moved(history.uri("ledger"), decision)


@pytest.mark.parametrize(("severity", "fails"), [("block", True), ("warn", False)])
def test_a_partition_is_compared_with_what_the_champion_learned_from(
    history: History, severity: str, fails: bool
) -> None:
    run = Run(partition="2013-01")
    promote(history, publish(run, validate(run, stage(history, [float(n % 10) for n in range(600)]))))
    staged = stage(history, [float(n % 10 + 40) for n in range(600)], "2013-02")
    run = Run(partition="2013-02")
    settings = {"model": MODEL, "skew": {"threshold": 0.5, "severity": severity}}
    if fails:
        with pytest.raises(ValidationFailed, match=r"skew\.distribution on wind"):
            validate(run, staged, **settings)
    else:
        assert validate(run, staged, **settings) == staged
    assert "skew.distribution" in json.dumps(run.pushed["validation"])


# ------------------------------------------------------------------------------------------------ somebody else's data
def orders(partition: Any) -> pa.Table:
    return pa.table({"id": [1, 2, 3], "amount": [5.0, -1.0, 7.0]})


AMOUNT = {"expect_column_values_to_be_between": {"column": "amount", "min_value": 0}}


def test_a_source_is_validated_where_nothing_else_of_ours_is_used(history: History) -> None:
    run = Run()
    report = ValidationReport.from_dict(
        run.execute(
            ValidateOperator, source=orders, name="orders", max_quarantined=0.5, required=["id"],
            expectations=[{"expect_column_values_to_be_between": {**RANGE, "column": "amount", "severity": "quarantine"}}],
        )
    )  # fmt: skip
    assert (report.dataset, report.partition, report.verdict, report.rows) == ("orders", "latest", "PASS", 3)
    assert (report.quarantined, report.warned) == (0, True)
    assert run.pushed["report"] == "orders/latest/validation.html"
    assert [path.name for path in (history.folder / "storage").iterdir()] == ["reports"]


def test_a_source_that_breaks_what_blocks_fails_the_task_after_its_report_is_kept(history: History) -> None:
    run = Run()
    with pytest.raises(ValidationFailed, match=r"flights\.test\.orders 2013-01: amount is below 0 in 1 row"):
        run.execute(
            ValidateOperator, task_id="orders", source=PythonSource(orders), partition="2013-01", grain="month", expectations=[AMOUNT]
        )  # fmt: skip
    assert run.pushed["validation"]["verdict"] == "FAIL"


def test_the_page_of_a_source_lies_under_the_dag_and_the_task(history: History) -> None:
    run = Run()
    run.execute(
        ValidateOperator, task_id="orders", source=PythonSource(orders), partition="2013-01", grain="month",
        expectations=[{"expect_column_to_exist": {"column": "amount"}}],
    )  # fmt: skip
    assert str(run.pushed["report"]).startswith("flights.test.orders/2013-01/")


@pytest.mark.parametrize("kind", ["file", "query", "delta"])
def test_files_queries_and_delta_tables_are_validated(
    kind: str, history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = history.folder
    (folder / "orders.csv").write_text("id,amount\n1,5.0\n2,-1.0\n")
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", f"sqlite:///{folder}/shop.db")
    with contextlib.closing(sqlite3.connect(folder / "shop.db")) as shop, shop:
        shop.execute("create table orders (id integer, amount real)")
        shop.executemany("insert into orders values (?, ?)", [(1, 5.0), (2, -1.0)])
    deltalake.write_deltalake(f"{folder}/orders", orders(None).slice(0, 2))
    source = {
        "file": FileSource(f"{folder}/orders.csv"),
        "query": SqlSource("shop", "select * from orders"),
        "delta": DeltaSource(f"file://{folder}/orders"),
    }[kind]
    run = Run()
    with pytest.raises(ValidationFailed, match="orders latest: amount is below 0 in 1 row"):
        run.execute(ValidateOperator, source=source, name="orders", expectations=[AMOUNT])
    report = ValidationReport.from_dict(run.pushed["validation"])
    assert (report.verdict, report.rows) == ("FAIL", 2)
    assert "amount" in (folder / "storage/reports/orders/latest/validation.html").read_text()
    answer = run.execute(ValidateOperator, source=source, name="orders", required=["id"])
    assert (answer["verdict"], answer["rows"]) == ("PASS", 2)


@pytest.mark.parametrize("name", ["../other", "a/b", "..", "a\nb", "x" * 251])
def test_a_name_that_would_lead_elsewhere_is_refused(history: History, name: str) -> None:
    with pytest.raises(ValueError, match="cannot name a page"):
        Run().execute(ValidateOperator, source=orders, name=name, expectations=[AMOUNT])


def test_a_source_of_which_nothing_is_asked_is_no_success(history: History) -> None:
    with pytest.raises(ValueError, match="nothing is asked of the data"):
        Run().execute(ValidateOperator, source=orders, name="orders")


def test_a_text_is_not_taken_for_its_letters(history: History) -> None:
    for field in ("required", "pii"):
        with pytest.raises(TypeError, match=f"{field} is a text"):
            Run().execute(ValidateOperator, source=orders, expectations=[AMOUNT], **{field: "email"})


@pytest.mark.parametrize("both", [{}, {"dataset": {}, "source": orders}])
def test_either_a_dataset_or_a_source_is_checked(both: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="takes either dataset= or source="):
        Run().execute(ValidateOperator, **both)
