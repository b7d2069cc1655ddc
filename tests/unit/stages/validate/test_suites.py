from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.spec.model import Expectation, Suite
from airflow_mlops.exceptions import SpecError, SuiteUnreadable
from airflow_mlops.stages.validate import suites

NOT_NULL = {"type": "expect_column_values_to_not_be_null", "kwargs": {"column": "carrier"}}


def write(folder: Path, *expectations: Any, name: str = "flights.json") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps({"name": "flights", "expectations": list(expectations), "meta": {}}))
    return file


def refused(folder: Path, rules: Any = "flights.json") -> str:
    with pytest.raises(SuiteUnreadable) as error:
        suites.expand(rules, folder=folder)
    return str(error.value)


def test_a_suite_stands_for_its_expectations_in_their_order(tmp_path: Path) -> None:
    write(tmp_path, NOT_NULL, {**NOT_NULL, "kwargs": {"column": "origin", "mostly": None}})
    plain = {"expect_table_row_count_to_be_between": {"min_value": 1}}
    found = suites.expand([plain, {"suite": "flights.json"}, Expectation.from_dict(plain)], folder=tmp_path)
    assert [each.args for each in found] == [
        {"min_value": 1}, {"column": "carrier"}, {"column": "origin"}, {"min_value": 1},
    ]  # fmt: skip


def test_a_path_alone_names_a_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = write(tmp_path, NOT_NULL)
    by_name = suites.expand("flights.json", folder=tmp_path)
    assert suites.expand(str(file)) == by_name
    monkeypatch.chdir(tmp_path)
    assert suites.expand("flights.json", folder="/nowhere") == by_name


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({}, "block"),
        ({"severity": "critical"}, "block"),
        ({"severity": "warning"}, "warn"),
        ({"severity": "info"}, "warn"),
        ({"severity": "critical", "meta": {"severity": "quarantine"}}, "quarantine"),
        ({"severity": "critical", "meta": {"severity": "warn"}}, "warn"),
        ({"meta": None}, "block"),
    ],
)
def test_a_severity_of_great_expectations_means_the_nearest_of_ours(
    tmp_path: Path, given: dict[str, Any], meant: str
) -> None:
    write(tmp_path, {**NOT_NULL, **given})
    (found,) = suites.expand("flights.json", folder=tmp_path)
    assert found.severity.value == meant


def test_a_suite_of_an_older_great_expectations_is_read(tmp_path: Path) -> None:
    write(tmp_path, {"expectation_type": NOT_NULL["type"], "kwargs": NOT_NULL["kwargs"]})
    (found,) = suites.expand("flights.json", folder=tmp_path)
    assert found.expectation == NOT_NULL["type"]


def test_a_pinned_suite_that_was_tampered_with_is_refused_with_both_digests(tmp_path: Path) -> None:
    file = write(tmp_path, NOT_NULL)
    pinned = hashlib.sha256(file.read_bytes()).hexdigest()
    rule = [{"suite": "flights.json", "sha256": pinned}]
    assert suites.expand(rule, folder=tmp_path)
    file.write_text(file.read_text().replace("carrier", "origin"))
    message = refused(tmp_path, rule)
    assert str(file) in message
    assert pinned in message
    assert hashlib.sha256(file.read_bytes()).hexdigest() in message


def test_a_missing_suite_is_told_with_the_places(tmp_path: Path) -> None:
    message = refused(tmp_path)
    assert f"There is no suite at {tmp_path / 'flights.json'} and {Path.cwd() / 'flights.json'}" in message


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", "is no JSON"),
        ('{"expectations": [', "is no JSON"),
        ("\x00\x01", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("[]", "is no suite of Great Expectations"),
        ('{"name": "flights"}', "has no list `expectations`"),
        ('{"expectations": {}}', "has no list `expectations`"),
        ('{"expectations": []}', "has no expectations"),
    ],
)
def test_a_damaged_or_empty_suite_is_told_with_its_file(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "flights.json").write_text(content)
    message = refused(tmp_path)
    assert message.startswith(str(tmp_path / "flights.json"))
    assert expected in message


def test_everything_wrong_in_a_suite_is_told_at_once(tmp_path: Path) -> None:
    between = {
        "type": "expect_column_values_to_be_between",
        "kwargs": {"column": "x", "min_value": 2, "max_value": 1},
    }
    write(
        tmp_path,
        {"type": "expect_nothing", "kwargs": {}},
        NOT_NULL,
        between,
        7,
        {**NOT_NULL, "severity": "fatal"},
    )
    message = refused(tmp_path)
    for wanted in (
        "expectations[0]: expect_nothing is no expectation",
        "expectations[2]: min_value: is above max_value: 2 > 1",
        "expectations[3]: must be a mapping with `type` and `kwargs`",
        "expectations[4]: severity: cannot be 'fatal'",
    ):
        assert wanted in message, message


def test_a_suite_beyond_all_measure_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suites, "LARGEST", 50)
    write(tmp_path, NOT_NULL)
    assert "is larger than" in refused(tmp_path)


def test_a_wrong_expectation_among_the_rules_is_told_with_its_place() -> None:
    with pytest.raises(SpecError, match=r"expectations\[0\].colum: is no argument"):
        suites.expand([{"expect_column_values_to_be_unique": {"colum": "x"}}])


def make_project(folder: Path) -> Path:
    """Make a project of Great Expectations with one suite."""
    import great_expectations as gx

    context = gx.get_context(mode="file", project_root_dir=folder)
    kept = gx.expectations.ExpectColumnValuesToNotBeNull(column="carrier", meta={"severity": "quarantine"})
    suite = gx.ExpectationSuite(name="flights", expectations=[kept])
    context.suites.add(suite)
    return folder / "gx"


def test_a_suite_of_a_project_is_read_by_its_name(tmp_path: Path) -> None:
    project = make_project(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    (found,) = suites.expand([{"suite": "flights", "context": "gx"}], folder=tmp_path)
    assert (found.expectation, found.severity.value) == (NOT_NULL["type"], "quarantine")
    assert sorted(tmp_path.rglob("*")) == before, "nothing was written"
    assert f"suite 'none' of {project} cannot be read" in refused(
        tmp_path, [{"suite": "none", "context": "gx"}]
    )


def test_a_folder_without_a_project_is_told_and_none_is_made(tmp_path: Path) -> None:
    message = refused(tmp_path, [Suite(suite="flights", context=str(tmp_path))])
    assert "no great_expectations.yml" in message
    assert list(tmp_path.iterdir()) == []


def test_missing_and_damaged_suites_of_a_spec_are_found_without_running_anything(tmp_path: Path) -> None:
    good = write(tmp_path, NOT_NULL)
    rules = [
        Expectation.from_dict({"expect_table_row_count_to_equal": {"value": 1}}),
        Suite(suite=str(good)),
        Suite(suite=str(tmp_path / "none.json")),
        Suite(suite="flights", context=str(tmp_path)),
    ]
    missing, no_project = suites.check(rules)
    assert "none.json" in missing
    assert "great_expectations.yml" in no_project
