from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from itertools import count
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Outcome, Severity, Verdict
from airflow_mlops.domain.facts.validation import ExpectationResult
from airflow_mlops.domain.spec.model import Expectation
from airflow_mlops.exceptions import MachineBusy, ValidationErrored
from airflow_mlops.stages.validate import limit, validate
from airflow_mlops.stages.validate.validate import ValidationPolicy

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

# Python's own engine is needed where there is a look ahead; Arrow's takes linear time.
ENDLESS = "(?=a)(a+)+$"
PRECHECKS = 3


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    yield
    assert multiprocessing.active_children() == []


def expect(name: str, severity: str = "block", **args: Any) -> Expectation:
    return Expectation(expectation=f"expect_{name}", args=args, severity=Severity(severity))


def run(*expectations: Expectation, texts: list[str], **policy: Any) -> validate.Validated:
    held = ValidationPolicy(expectations=expectations, **policy)
    return validate.validate(pa.table({"x": texts}), held, dataset="flights", partition="2013-01")


def results(validated: validate.Validated) -> list[ExpectationResult]:
    return list(validated.report.results[PRECHECKS:])


def endless() -> None:
    for _ in count():
        pass


def test_a_child_returns_what_the_function_returns_however_large() -> None:
    assert limit.call(lambda: list(range(1_000_000)), 60).value == list(range(1_000_000))


def test_a_child_is_ended_at_its_processor_time() -> None:
    assert limit.call(endless, 0.2).problem == "it took more than 0.2 s of processor time"


def test_a_child_that_is_killed_takes_nobody_along() -> None:
    ended = limit.call(lambda: os.kill(os.getpid(), signal.SIGKILL), 60)
    assert ended == (None, "its process was ended by SIGKILL")
    assert limit.call(lambda: os._exit(3), 60).problem == "its process ended with code 3"


def test_a_child_that_got_no_processor_time_says_nothing_about_the_data() -> None:
    with pytest.raises(MachineBusy, match=r"nor did it use up the 0.05 s .* the load of this machine is"):
        limit.call(signal.pause, 0.05)


def test_a_child_does_not_do_what_its_parent_does_when_it_is_told_to_stop() -> None:
    former = signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
    try:
        ended = limit.call(lambda: os.kill(os.getpid(), signal.SIGTERM), 60)
    finally:
        signal.signal(signal.SIGTERM, former)
    assert ended.problem == "its process was ended by SIGTERM"


@pytest.mark.parametrize(
    "rule",
    [
        expect("column_values_to_match_regex", column="x", regex=ENDLESS),
        expect("column_values_to_match_json_schema", column="x", json_schema={"items": {"pattern": "^(a+)+$"}}),
        expect("table_row_count_to_equal", value=1, row_condition=f"x.str.contains('{ENDLESS}')", condition_parser="pandas"),
    ],
    ids=["regex", "schema", "condition"],
)  # fmt: skip
def test_an_expectation_that_takes_too_long_is_an_error_and_never_a_failure(rule: Expectation) -> None:
    validated = run(
        rule, expect("column_values_to_be_unique", column="x"), texts=['["' + "a" * 60 + '!"]'], seconds=1
    )
    cut, unique = results(validated)
    assert cut.outcome is Outcome.ERROR
    assert "it took more than 1 s of processor time (simplify its pattern: repeats within" in cut.observed
    assert unique.outcome is Outcome.PASS, "the others are judged"
    assert validated.report.verdict is Verdict.INCONCLUSIVE
    with pytest.raises(ValidationErrored, match="took more than 1 s of processor time"):
        validate.raise_for(validated.report)


def test_a_limit_is_told_of_personal_data_too_since_it_quotes_none() -> None:
    rule = expect("column_values_to_match_regex", column="x", regex=ENDLESS)
    [cut] = results(run(rule, texts=["a" * 60 + "!"], pii=("x",), seconds=0.5))
    assert "it took more than 0.5 s of processor time" in cut.observed


def test_what_a_child_answers_is_what_great_expectations_answers() -> None:
    validated = run(
        expect("column_values_to_match_regex", "quarantine", column="x", regex="^b"),
        expect("column_values_to_match_regex", column="x", regex="("),
        expect("column_values_to_be_json_parseable", "warn", column="x"),
        texts=["bc", "a", "b", "1"],
    )
    matches, broken, parses = results(validated)
    assert (matches.outcome, matches.unexpected, matches.samples) == (Outcome.FAIL, 2, ("a", "1"))
    assert broken.outcome is Outcome.ERROR
    assert "regular expression" in broken.observed
    assert (parses.outcome, parses.unexpected) == (Outcome.FAIL, 3)
    assert validated.docs is not None
