from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops import runs
from airflow_mlops.domain.facts.statement import Statement
from airflow_mlops.domain.spec.section import Section
from airflow_mlops.exceptions import PlaceRefused, SpecError, TableMissing
from airflow_mlops.reporting import notes
from contexts import Run, deploy
from history import MODEL, History, month
from notices import make_check, make_report, make_version


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch)


def test_tables_of_a_model_lie_under_the_storage(history: History) -> None:
    assert runs.table_uri("parcels", "ledger") == f"{history.storage}/parcels/ledger"


def test_a_partition_given_by_hand_goes_before_that_of_the_run() -> None:
    context = Run(partition="2013-01").context()
    assert runs.partition_of(context, None, "month") == month("2013-01")
    assert runs.partition_of(context, "2013-02", "month") == month("2013-02")


@pytest.mark.parametrize("given", [None, ""])
def test_a_run_without_a_partition_is_told_how_to_get_one(given: str | None) -> None:
    with pytest.raises(ValueError, match="This run has no partition key.*CronPartitionTimetable.*partition="):
        runs.partition_of(Run().context(), given, "month")


def test_a_partition_key_of_another_grain_is_refused_with_the_form_it_should_have() -> None:
    with pytest.raises(ValueError, match="'2013-01-05' is no month partition; write it as %Y-%m"):
        runs.partition_of(Run(partition="2013-01-05").context(), None, "month")


def test_a_run_is_about_the_data_of_its_partition(history: History) -> None:
    january, february = history.publish("2013-01"), history.publish("2013-02")
    assert runs.dataset_of(Run(partition="2013-01").context(), MODEL) == january
    assert runs.dataset_of(Run(partition="2013-01").context(), MODEL, "2013-02") == february


def test_a_run_without_a_partition_is_about_the_latest_also_if_an_earlier_one_was_published_last(
    history: History,
) -> None:
    february, january = history.publish("2013-02"), history.publish("2013-01")
    found = runs.dataset_of(Run().context(), MODEL)
    assert found == february.model_copy(update={"version": january.version})
    assert runs.dataset_of(Run(partition="2013-02").context(), MODEL) == february


def test_data_that_was_not_published_is_named_with_what_publishes_it(history: History) -> None:
    with pytest.raises(TableMissing, match=r"No data of 'flights' .*/flights/data; run flights.ingest first"):
        runs.dataset_of(Run().context(), MODEL)
    history.publish("2013-01")
    with pytest.raises(TableMissing, match="No partition 2013-02 of 'flights'"):
        runs.dataset_of(Run(partition="2013-02").context(), MODEL)


class Request(Section):
    """A form of two fields."""

    to: str | None = None
    reason: str


FORM = {"to": None, "reason": None, "colour": None}


def asked(conf: dict[str, Any] | None, form: dict[str, Any] | None = None) -> Request:
    return runs.request_of(Run(conf=conf, form=form).context(), Request)


def test_a_request_is_read_from_the_form_and_what_a_run_was_sent() -> None:
    assert asked({"reason": "complaints", "colour": "red"}, FORM) == Request(reason="complaints")
    assert asked({"to": "1"}, FORM | {"reason": "as ever"}) == Request(to="1", reason="as ever")


@pytest.mark.parametrize(("conf", "key"), [({"reason": 7}, "reason"), ({"reason": "r", "ot": "1"}, "ot")])
def test_what_a_request_cannot_use_is_refused_by_its_key(conf: dict[str, Any], key: str) -> None:
    with pytest.raises(SpecError, match=rf"\b{key}\b"):
        asked(conf, FORM)


def test_a_dag_without_the_form_may_be_sent_what_it_likes() -> None:
    assert asked({"reason": "r", "ticket": 7}) == Request(reason="r")


def test_runs_of_two_dags_have_two_names() -> None:
    assert runs.run_of(Run("flights.train", run_id="manual").context()) == "flights.train/manual"


def test_a_report_is_kept_as_a_page_and_linked(history: History) -> None:
    run = Run()
    for page in ("<p>first</p>", "<p>naïve</p>"):
        runs.save_report(run.context(), MODEL, "2013-01", "drift", page)
    assert run.pushed == {"report": "flights/2013-01/drift.html"}
    kept = history.folder / "storage/reports" / run.pushed["report"]
    assert kept.read_text(encoding="utf-8") == "<p>naïve</p>"


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "s3://bucket/key", "out/page.html"]
)
def test_no_report_lies_outside_of_the_folder(history: History, name: str) -> None:
    folder = history.folder / "storage/reports"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "out").symlink_to(history.folder)
    with pytest.raises(FileNotFoundError, match="is not below"):
        runs.report_path(name)


def test_what_a_task_states_last_is_what_it_has_stated() -> None:
    run = Run()
    report, version = make_report(), make_version()
    runs.push_facts(run.context(), report)
    runs.push_facts(run.context(), Statement.of(report, report="flights/2013-03/validation.html"), version)
    assert [statement.kind for statement in run.stated] == ["ValidationReport", "DatasetVersion"]
    assert run.stated[0].pages == {"report": "flights/2013-03/validation.html"}
    assert run.pushed == {}


def test_a_task_cannot_state_what_nobody_reads() -> None:
    with pytest.raises(ValueError, match="'Check' is no kind of fact that is read"):
        runs.push_facts((run := Run()).context(), make_check("drift"))
    assert run.stated == []


def test_a_report_is_kept_where_it_is_read_from_and_one_that_is_not_there_is_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    place = runs.save_report((run := Run()).context(), MODEL, "2013-01", "own", "<p>ü</p>")
    assert run.pushed == {"report": place} == {"report": "flights/2013-01/own.html"}
    assert runs.read_report(place) == "<p>ü</p>".encode()
    assert runs.read_report("flights/2013-01/other.html") is None
    assert "The report flights/2013-01/other.html cannot be attached" in caplog.text


def test_a_page_of_a_model_that_no_spec_could_name_is_not_written(history: History) -> None:
    with pytest.raises(PlaceRefused, match="is not one folder"):
        runs.save_report(Run().context(), "a#b", "2013-01", "drift", "<p>")


def test_what_came_of_a_task_is_logged_first_and_its_details_in_a_fold(
    caplog: pytest.LogCaptureFixture,
) -> None:
    context = Run().context()
    with caplog.at_level("INFO"):
        runs.conclude(context, (MODEL, "2013-01"), "all\nis well", ["a check", "another"])
    assert [record.getMessage() for record in caplog.records] == [
        "flights 2013-01: all is well",
        "::group::Details",
        "a check",
        "another",
        "::endgroup::",
    ]
    assert notes.KEY not in context["ti"].pushed


def test_what_is_wrong_is_a_warning_and_may_stand_in_the_note_of_the_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    run = Run()
    runs.conclude(run.context(), (MODEL, "2013-01"), "12 rows are broken", loud=True, note=True)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "flights 2013-01: 12 rows are broken")
    ]
    assert run.note == "2013-01: 12 rows are broken"
