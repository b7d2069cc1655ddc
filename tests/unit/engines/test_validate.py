from __future__ import annotations

import logging
import math
import re
import subprocess
import sys
import warnings
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Outcome, Severity, Verdict
from airflow_mlops.domain.results import ExpectationResult, ValidationReport
from airflow_mlops.domain.spec import Expectation
from airflow_mlops.engines.validate import REASONS, Validated, validate
from airflow_mlops.engines.validation_gx import to_frame
from airflow_mlops.exceptions import ValidationErrored

PRECHECKS = 3
NAN = math.nan


def expect(name: str, severity: str = "block", **args: Any) -> Expectation:
    return Expectation(expectation=f"expect_{name}", args=args, severity=Severity(severity))


def make_table(**columns: Any) -> pa.Table:
    return pa.table(
        columns
        or {"id": [1, 2, 3, 4], "distance": [10.0, -1.0, 0.0, -5.0], "carrier": ["AA", "UA", None, "AA"]}
    )


def run(
    *expectations: Expectation, table: pa.Table | None = None, required: tuple[str, ...] = ()
) -> Validated:
    return validate(
        make_table() if table is None else table,
        dataset="flights",
        partition="2013-01",
        expectations=expectations,
        required=required,
    )


def only(found: Validated) -> ExpectationResult:
    (result,) = found.report.results[PRECHECKS:]
    return result


def outcomes(found: Validated) -> dict[str, str]:
    return {result.expectation: result.outcome.value for result in found.report.results}


# ------------------------------------------------------------------------------------------------ our own checks
def test_a_table_that_meets_everything_passes_with_all_its_rows():
    found = run(expect("column_values_to_be_unique", column="id"), required=("id", "carrier"))
    assert found.report.verdict is Verdict.PASS
    assert found.report.reason == "4 checks passed on 4 rows"
    assert found.good.equals(make_table())
    assert found.bad.num_rows == 0
    assert found.bad.schema.field(REASONS).type == pa.string()


def test_an_empty_suite_still_checks_rows_and_columns():
    assert outcomes(run(required=("id",))) == {
        "rows_present": "PASS", "columns_present": "PASS", "columns_not_all_null": "PASS",
    }  # fmt: skip


def test_no_rows_fail_and_great_expectations_is_not_run():
    found = run(expect("no_such_expectation"), table=make_table().slice(0, 0), required=("id",))
    assert found.report.verdict is Verdict.FAIL
    assert outcomes(found) == {"rows_present": "FAIL", "columns_present": "PASS"}
    assert found.report.reason == "there are no rows; 1 of 2 checks passed on 0 rows"


def test_a_missing_required_column_fails_with_its_name_and_great_expectations_is_not_run():
    found = run(expect("no_such_expectation"), required=("id", "dest", "origin"))
    assert found.report.verdict is Verdict.FAIL
    assert outcomes(found)["columns_present"] == "FAIL"
    assert "columns dest, origin missing" in found.report.reason


@pytest.mark.parametrize(
    "column", [pa.nulls(2), pa.array([None, None], pa.string()), pa.array([NAN, None]), pa.array([NAN, NAN])]
)
def test_a_required_column_without_a_value_fails(column: pa.Array):
    found = run(expect("table_row_count_to_equal", value=2), table=make_table(x=column), required=("x",))
    assert found.report.verdict is Verdict.FAIL
    assert outcomes(found)["columns_not_all_null"] == "FAIL"
    assert outcomes(found)["expect_table_row_count_to_equal"] == "PASS", "the other findings are still wanted"


def test_great_expectations_would_pass_an_all_null_column():
    table = make_table(x=pa.nulls(3, pa.float64()))
    assert (
        only(run(expect("column_values_to_be_between", column="x", min_value=0), table=table)).outcome
        is Outcome.PASS
    )


# ------------------------------------------------------------------------------------------------ severities
def test_a_blocking_failure_fails_the_partition():
    found = run(expect("column_values_to_not_be_null", column="carrier"))
    assert found.report.verdict is Verdict.FAIL
    assert found.report.reason == "carrier is null in 1 row; 3 of 4 checks passed on 4 rows"
    result = only(found)
    assert (result.unexpected, result.unexpected_share, result.samples) == (1, 0.25, ("null",))
    assert (result.column, result.expected) == ("carrier", "not be null")


def test_a_warning_is_told_and_passes():
    found = run(expect("column_mean_to_be_between", "warn", column="distance", min_value=5))
    assert found.report.verdict is Verdict.PASS
    assert only(found).outcome is Outcome.FAIL
    assert "warning: distance mean is below 5 (observed: 1)" in found.report.reason
    assert found.good.num_rows == 4


def test_rows_that_break_a_quarantine_expectation_are_set_aside_with_every_reason():
    found = run(
        expect("column_values_to_be_between", "quarantine", column="distance", min_value=0),
        expect("column_values_to_be_in_set", "quarantine", column="carrier", value_set=["AA"]),
    )
    assert found.report.verdict is Verdict.PASS
    assert found.good["id"].to_pylist() == [1, 3], "a null is not outside a set"
    assert found.good.schema == make_table().schema
    assert found.bad.select(["id", REASONS]).to_pylist() == [
        {"id": 2, REASONS: "distance is below 0; carrier is not in set AA"},
        {"id": 4, REASONS: "distance is below 0"},
    ]
    assert found.report.quarantined == 2
    assert found.report.reason == (
        "2 of 4 rows set aside: distance is below 0, carrier is not in set AA; 3 of 5 checks passed on 4 rows"
    )


def test_more_rows_are_set_aside_than_great_expectations_shows_values():
    table = make_table(id=range(1000), x=[-1.0] * 999 + [1.0])
    found = run(expect("column_values_to_be_between", "quarantine", column="x", min_value=0), table=table)
    assert (found.good["id"].to_pylist(), found.bad.num_rows) == ([999], 999)


def test_only_rows_that_meet_the_condition_are_set_aside():
    rule = expect(
        "column_values_to_be_between", "quarantine",
        column="distance", min_value=0, row_condition='carrier == "UA"', condition_parser="pandas",
    )  # fmt: skip
    assert run(rule).bad["id"].to_pylist() == [2]


def test_the_rows_of_a_pair_expectation_are_found_past_the_rows_it_ignores():
    table = make_table(id=[1, 2, 3], left=pa.array([None, 1, 5]), right=[0, 2, 4])
    rule = expect(
        "column_pair_values_a_to_be_greater_than_b", "quarantine",
        column_A="left", column_B="right", ignore_row_if="either_value_is_missing",
    )  # fmt: skip
    found = run(rule, table=table)
    assert found.bad["id"].to_pylist() == [2]
    assert found.bad[REASONS].to_pylist() == ["left, right pair values a is not greater than b"]


def test_a_tolerated_share_of_broken_rows_passes_and_sets_none_aside():
    found = run(
        expect("column_values_to_be_between", "quarantine", column="distance", min_value=0, mostly=0.5)
    )
    assert only(found).outcome is Outcome.PASS
    assert only(found).unexpected == 2
    assert found.bad.num_rows == 0


def test_a_quarantine_expectation_about_the_table_blocks():
    found = run(expect("table_row_count_to_be_between", "quarantine", min_value=100))
    assert found.report.verdict is Verdict.FAIL
    assert "row count is below 100" in found.report.reason


def test_a_partition_of_bad_rows_only_fails():
    found = run(expect("column_values_to_be_between", "quarantine", column="distance", min_value=100))
    assert found.report.verdict is Verdict.FAIL
    assert found.report.reason.startswith("all 4 rows set aside: distance is below 100")


def test_rows_keep_their_place_when_the_table_carries_a_pandas_index():
    import pandas as pd

    table = pa.Table.from_pandas(pd.DataFrame({"x": [1.0, -1.0]}, index=pd.Index([7, 9], name="key")))
    found = run(expect("column_values_to_be_between", "quarantine", column="x", min_value=0), table=table)
    assert found.bad["key"].to_pylist() == [9]


# ------------------------------------------------------------------------------------------------ errors
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (expect("column_values_to_be_between", column="carrier", min_value=0), "must either be None or of the same type"),
        (expect("column_values_to_be_between", column="distance", min_value=9, max_value=1), "cannot be greater"),
        (expect("column_values_to_match_regex", column="carrier", regex="("), "regular expression"),
        (expect("column_values_to_be_of_type", column="distnce", type_="float64"), "no column distnce; did you mean distance?"),
        (expect("column_values_to_be_between", column="id", min_value={"$PARAMETER": "low"}), "No value found"),
    ],
)  # fmt: skip
def test_an_expectation_that_raises_is_an_error_and_never_a_failure(rule: Expectation, message: str):
    found = run(rule, expect("column_values_to_be_unique", column="id"))
    errored, unique = found.report.results[PRECHECKS:]
    assert errored.outcome is Outcome.ERROR
    assert message in errored.observed
    assert len(errored.observed) < 400
    assert "Traceback" not in errored.observed
    assert unique.outcome is Outcome.PASS, "the others still ran"
    assert found.report.verdict is Verdict.INCONCLUSIVE
    assert f"{rule.expectation} on {errored.column} could not be evaluated" in found.report.reason


def test_a_failure_outranks_an_error():
    broken = expect("column_values_to_match_regex", column="carrier", regex="(")
    assert (
        run(broken, expect("column_values_to_not_be_null", column="carrier")).report.verdict is Verdict.FAIL
    )


def test_comparing_missing_integers_is_an_error_that_says_what_to_write():
    table = make_table(left=pa.array([None, 1]), right=[0, 2])
    found = run(
        expect("column_pair_values_a_to_be_greater_than_b", column_A="left", column_B="right"), table=table
    )
    assert only(found).outcome is Outcome.ERROR
    assert "ignore_row_if" in only(found).observed


@pytest.mark.parametrize(
    ("rule", "messages"),
    [
        (expect("column_values_to_be_betwen", column="x"), ["expect_column_values_to_be_betwen: no such expectation; did you mean expect_column_values_to_be_between"]),
        (expect("column_values_to_be_between", colum="x", min=0), ["column: field required", "colum: no such argument; did you mean column?", "min: no such argument; did you mean min_value?"]),
        (expect("column_values_to_be_between", column="x", min_value=0, mostly=7), ["mostly: ensure this value is less than or equal to 1.0"]),
        (expect("column_values_to_be_between", column="x"), ["min_value and max_value cannot both be None"]),
        (expect("column_values_to_be_unique", column="x", result_format="BASIC"), ["result_format: is set by validation itself"]),
    ],
)  # fmt: skip
def test_a_suite_that_great_expectations_refuses_raises_naming_each_problem(
    rule: Expectation, messages: list[str]
):
    with pytest.raises(ValidationErrored) as error:
        run(rule)
    assert all(f"{rule.expectation}: " in line for line in str(error.value).splitlines())
    assert [message for message in messages if message not in str(error.value)] == []


# ------------------------------------------------------------------------------------------------ types
def make_typed() -> pa.Table:
    return make_table(
        large=pa.array([2**60 + 1, 2**60 + 2, None]),
        flag=pa.array([True, False, None]),
        category=pa.array(["a", "b", None]).dictionary_encode(),
        words=pa.array(["a", "bb", None]),
        when=pa.array([datetime(2013, 1, day, tzinfo=UTC) for day in (1, 2, 3)], pa.timestamp("us", "UTC")),
        day=pa.array([date(2013, 1, 1)] * 3),
        price=pa.array([Decimal("1.50"), Decimal("-2.50"), None]),
        real=pa.array([1.0, NAN, math.inf]),
        whole=pa.array([1, 2, 3]),
    )


@pytest.mark.parametrize(
    ("rule", "unexpected", "samples"),
    [
        (expect("column_values_to_be_unique", column="large"), 0, ()),
        (expect("column_values_to_be_in_set", column="large", value_set=[2**60 + 1]), 1, (str(2**60 + 2),)),
        (expect("column_values_to_not_be_null", column="large"), 1, ("null",)),
        (expect("column_values_to_be_in_set", column="flag", value_set=[True]), 1, ("False",)),
        (expect("column_values_to_be_in_set", column="category", value_set=["a"]), 1, ("b",)),
        (expect("column_values_to_match_regex", column="category", regex="^a$"), 1, ("b",)),
        (expect("column_value_lengths_to_be_between", column="words", max_value=1), 1, ("bb",)),
        (expect("column_values_to_be_between", column="when", min_value="2013-01-02T00:00:00+00:00"), 1, ("2013-01-01 00:00:00+00:00",)),
        (expect("column_values_to_be_between", column="price", min_value=0), 1, ("-2.50",)),
        (expect("column_values_to_not_be_null", column="real"), 1, ("null",)),
        (expect("column_values_to_be_between", column="real", max_value=10), 1, ("inf",)),
        (expect("compound_columns_to_be_unique", column_list=["day", "whole"]), 0, ()),
    ],
)  # fmt: skip
def test_rows_are_counted_right_for_every_type(rule: Expectation, unexpected: int, samples: tuple[str, ...]):
    result = only(run(rule, table=make_typed()))
    assert result.outcome is (Outcome.FAIL if unexpected else Outcome.PASS)
    assert (result.unexpected, result.samples) == (unexpected, samples)


@pytest.mark.parametrize(
    ("column", "kind"),
    [("large", "int64"), ("whole", "int64"), ("flag", "bool"), ("words", "str"), ("real", "float64")],
)
def test_the_type_of_a_column_does_not_depend_on_its_nulls(column: str, kind: str):
    assert (
        only(
            run(expect("column_values_to_be_of_type", column=column, type_=kind), table=make_typed())
        ).outcome
        is Outcome.PASS
    )


@pytest.mark.parametrize("bits", ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"])
def test_integers_with_nulls_stay_integers(bits: str):
    frame = to_frame(
        make_table(
            x=pa.array([1, None], pa.type_for_alias(bits)), y=pa.array([1, 2], pa.type_for_alias(bits))
        )
    )
    assert [str(kind).lower() for kind in frame.dtypes] == [bits, bits]


def test_samples_are_different_values_and_at_most_twenty():
    table = make_table(x=["same"] * 30 + [f"v{number}" for number in range(40)])
    samples = only(
        run(expect("column_values_to_be_in_set", column="x", value_set=["y"]), table=table)
    ).samples
    assert (len(samples), len(set(samples)), samples[:2]) == (20, 20, ("same", "v0"))


def test_distinct_values_are_not_counted_as_rows():
    result = only(run(expect("column_distinct_values_to_be_in_set", column="carrier", value_set=["AA"])))
    assert (result.outcome, result.unexpected, result.samples) == (Outcome.FAIL, None, ("UA",))


# ------------------------------------------------------------------------------------------------ words and page
@pytest.mark.parametrize(
    ("rule", "expected", "reason"),
    [
        (expect("column_values_to_be_between", column="id", min_value=2, max_value=3), "at least 2 and at most 3", "id is below 2 or above 3 in 2 rows"),
        (expect("column_values_to_be_between", column="id", min_value=1, strict_min=True), "above 1", "id is at or below 1 in 1 row"),
        (expect("column_to_exist", column="dest"), "exist", "dest does not exist"),
        (expect("column_values_to_match_regex", column="carrier", regex="^A", mostly=0.9), "match regex ^A, for at least 0.9 of the values", "carrier does not match regex ^A in 1 row"),
        (expect("column_values_to_be_null", column="carrier"), "be null", "carrier is not null in 3 rows"),
    ],
)  # fmt: skip
def test_expectations_are_told_in_words(rule: Expectation, expected: str, reason: str):
    found = run(rule)
    assert only(found).expected == expected
    assert reason in found.report.reason


def test_a_long_suite_of_failures_keeps_its_reason_short():
    found = run(
        *(expect("column_values_to_be_between", column="id", min_value=100 + number) for number in range(8))
    )
    assert "id is below 104 in 4 rows, 3 more;" in found.report.reason


def test_the_report_survives_json():
    report = run(expect("column_values_to_be_between", "quarantine", column="distance", min_value=0)).report
    assert ValidationReport.from_dict(report.to_dict()) == report


class Page(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.samples: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [name for name, _ in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.words.append(data)
        if self.tags[-1:] == ["code"] and data.strip():
            self.samples.append(data)


def test_a_script_in_the_data_or_in_a_rule_stays_text_in_the_page():
    script = "<script>alert(1)</script>"
    table = pa.table({script: ["fine", script, None]})
    found = validate(
        table,
        dataset=script,
        partition='"><img src=x onerror=alert(1)>',
        expectations=[
            expect("column_values_to_be_in_set", "quarantine", column=script, value_set=["fine"]),
            expect("column_values_to_match_regex", column=script, regex=f"({script}"),
        ],
        required=[script],
    )
    page = Page(found.html)
    assert "script" not in page.tags
    assert "img" not in page.tags
    assert page.samples == [script], "the value is there as text"


def test_the_page_shows_every_result_and_needs_nothing_from_outside():
    found = run(
        expect("column_values_to_be_between", "quarantine", column="distance", min_value=0),
        expect("column_values_to_match_regex", "warn", column="carrier", regex="("),
    )
    page = Page(found.html)
    words = " ".join(page.words)
    for wanted in (
        "INCONCLUSIVE",
        found.report.reason,
        "at least 0",
        "quarantine",
        "50.00%",
        "-5",
        "could not be evaluated",
    ):
        assert wanted in words
    assert page.tags.count("tr") == 1 + len(found.report.results)
    assert page.links == []
    assert not re.search(r"https?:|@import|url\(", found.html)
    assert "prefers-color-scheme: dark" in found.html
    assert 'name="viewport"' in found.html


# ------------------------------------------------------------------------------------------------ good manners
def test_nothing_is_logged_or_printed_and_the_logging_of_the_process_is_as_before(
    caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    caplog.set_level(logging.INFO)
    before = logging.getLogger("great_expectations").level, warnings.showwarning
    run(expect("column_values_to_be_unique", column="id"))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")
    assert (logging.getLogger("great_expectations").level, warnings.showwarning) == before


def test_the_first_import_is_as_quiet_and_writes_no_environment():
    script = """
import logging, os, sys, warnings
logging.basicConfig(level=logging.INFO)
import pyarrow as pa
from airflow_mlops.domain.spec import Expectation
from airflow_mlops.engines.validate import validate
assert not {"great_expectations", "pandas", "jinja2"} & set(sys.modules), "imported at the top"
environment, showwarning = dict(os.environ), warnings.showwarning
rule = Expectation(expectation="expect_column_values_to_be_unique", args={"column": "x"})
found = validate(pa.table({"x": [1]}), dataset="d", partition="p", expectations=[rule], required=[])
assert found.report.verdict == "PASS" and "great_expectations" in sys.modules
assert warnings.showwarning is showwarning, "warnings of the process go elsewhere now"
assert dict(os.environ) == environment
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
