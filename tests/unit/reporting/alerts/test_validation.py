from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.checks import Outcome, Severity, Verdict
from airflow_mlops.domain.facts.validation import Sample
from airflow_mlops.domain.spec.alerts import Level
from airflow_mlops.reporting.alerts.notice import Notice, Status
from airflow_mlops.reporting.alerts.validation import validation
from notices import make_report, make_result, make_run, make_version, make_warning


def failed(**changes: Any) -> Notice:
    return validation(make_run(), make_report(**changes), failed=["validate"], dataset=make_version())


def words(notice: Notice) -> str:
    return "\n".join(
        [each.text for each in notice.passages] + [c for p in notice.passages for c in p.commands]
    )


def test_a_failed_validation_is_urgent_and_nothing_was_published() -> None:
    notice = failed()
    assert (notice.status, notice.levels, notice.badge) == (Status.FAILED, (Level.URGENT,), "FAIL")
    assert "It was not published" in words(notice)
    assert "airflow mlops quarantine" not in words(notice)


def test_in_another_dag_nothing_is_said_about_publishing() -> None:
    notice = validation(make_run(dag="nightly"), make_report(), failed=["check"])
    assert "published" not in words(notice)
    assert "Tasks that depend on what failed have not run." in words(notice)


def test_an_expectation_that_could_not_be_evaluated_is_no_failed_one() -> None:
    error = make_result(outcome=Outcome.ERROR, observed="the column is text", unexpected=None)
    notice = failed(verdict=Verdict.INCONCLUSIVE, results=(error,))
    assert (notice.title, notice.badge) == (
        "flights 2013-03: validation could not be completed",
        "INCONCLUSIVE",
    )
    [found] = notice.findings
    assert found.note == "? ERROR: expect_column_values_to_be_between"


def test_rows_set_aside_are_counted_with_how_to_see_and_release_them() -> None:
    notice = validation(make_run(), make_warning(released=2), dataset=make_version())
    assert (notice.status, notice.levels) == (Status.WARNED, (Level.WARNING,))
    assert notice.title == "flights 2013-03: validation passed with warnings, 12 rows set aside"
    said = words(notice)
    assert "12 of 1,000 rows (1.2 %) were set aside in quarantine; the other 988 go on." in said
    assert "2 rows break an expectation and go on, because a person released them." in said
    for command in ("list", "export", "release"):
        assert f"airflow mlops quarantine {command} flights --partition 2013-03" in said
    assert "airflow mlops datasets list flights --partition 2013-03" in said


def test_the_commands_that_it_names_exist() -> None:
    import argparse
    import shlex

    from airflow.cli.cli_config import GroupCommand, core_commands
    from airflow.cli.cli_parser import _add_command  # type: ignore[attr-defined]

    from airflow_mlops.cli.definition import get_mlops_cli_commands

    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for group in (*get_mlops_cli_commands(), *(one for one in core_commands if one.name == "dags")):
        assert isinstance(group, GroupCommand)
        _add_command(commands, group)
    notices = (validation(make_run(), make_warning(), dataset=make_version()), failed())
    named = [command for notice in notices for passage in notice.passages for command in passage.commands]
    assert len(named) == 6
    for command in named:
        parser.parse_args(shlex.split(command)[1:])


def test_what_only_warns_goes_on() -> None:
    report = make_warning(quarantined=0, results=(make_result(severity=Severity.WARN),))
    assert "All rows go on: what failed only warns." in words(validation(make_run(), report))


def test_the_gravest_come_first_and_those_that_hold_are_left_out() -> None:
    severities = (Severity.WARN, Severity.BLOCK, Severity.QUARANTINE)
    results = [make_result(column=severity.value, severity=severity) for severity in severities]
    notice = failed(results=(*results, make_result(outcome=Outcome.PASS, column="fine")))
    assert [found.name for found in notice.findings] == ["block", "quarantine", "warn"]
    assert dict(notice.facts)["Expectations"] == "3 of 4 not met"


def test_a_long_report_makes_no_long_mail() -> None:
    results = tuple(
        make_result(column=f"c{n}", observed="x" * 10_000, samples=("y" * 10**6,) * 20) for n in range(99)
    )
    sample = Sample(
        columns=tuple(f"c{n}" for n in range(99)),
        rows=(("z" * 10**6,) * 99,) * 20,
        reasons=("w" * 10**6,) * 20,
    )
    notice = failed(results=results, sample=sample)
    assert notice.more == 79
    assert len(notice.model_dump_json()) < 40_000


def test_personal_data_stays_masked() -> None:
    assert notice_rows(failed()) == [("F0", "•••", "-0"), ("F1", "•••", "-1"), ("F2", "•••", "-2")]


def notice_rows(notice: Notice) -> list[tuple[str, ...]]:
    assert notice.sample is not None
    return list(notice.sample.rows)


@pytest.mark.parametrize(
    ("base", "urls"),
    [
        ("", []),
        (
            "https://airflow.example.com/team",
            [
                "https://airflow.example.com/team/dags/flights.ingest/runs/scheduled__2013-04-01T00%3A00%3A00%2B00%3A00",
                "https://airflow.example.com/team/mlops/reports/flights/2013-03/validation.html",
                "https://airflow.example.com/team/assets?name_pattern=flights%2Fdata",
            ],
        ),
    ],
)
def test_links_lead_below_the_prefix_of_the_base_address(base: str, urls: list[str]) -> None:
    page = "flights/2013-03/validation.html"
    notice = validation(make_run(base=base), make_report(), failed=["v"], dataset=make_version(), page=page)
    assert [link.url for link in notice.links] == urls
    assert notice.report == page


def test_other_expectations_that_fail_are_other_news() -> None:
    other = failed(results=(make_result(column="carrier"),))
    assert failed().key == failed().key != other.key
    assert failed().topic == other.topic


@pytest.mark.parametrize(
    "changes",
    [
        {"rows": 999},
        {"results": (make_result(unexpected=11),)},
        {"results": (make_result(severity=Severity.QUARANTINE),)},
    ],
)
def test_the_same_expectations_of_other_rows_are_other_news(changes: dict[str, Any]) -> None:
    assert failed().key != failed(**changes).key


def test_other_content_is_other_news_and_what_was_observed_at_another_time_is_not() -> None:
    def key(digest: str, observed: str = "-3") -> str:
        report = make_report(results=(make_result(observed=observed),))
        return validation(make_run(), report, failed=["v"], dataset=make_version(digest=digest)).key

    assert key("a") == key("a", "-4") != key("b")


def test_without_a_dataset_the_values_tell_rows_apart() -> None:
    one, other = (
        validation(make_run(), make_report(results=(make_result(samples=(value,)),)), failed=["v"]).key
        for value in ("-3", "-4")
    )
    assert one != other


def test_more_rows_set_aside_are_other_news() -> None:
    one, other = (
        validation(make_run(), make_warning(quarantined=count), dataset=make_version()) for count in (12, 13)
    )
    assert one.key != other.key


def test_it_says_to_clear_the_run_for_only_that_reads_the_source_again() -> None:
    passage = next(passage for passage in failed().passages if passage.heading == "What to do")
    assert "then clear the run: it reads the source again. To clear validate alone judges" in passage.text
    assert passage.commands == ("airflow dags clear flights.ingest --partition-key 2013-03 --yes",)
    alone = validation(make_run(partition=None), make_report(), failed=["validate"])
    assert not any(passage.commands for passage in alone.passages)
