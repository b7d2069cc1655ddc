from __future__ import annotations

import logging
import math
import re
import subprocess
import sys
import traceback
import warnings
from datetime import UTC, date, datetime
from decimal import Decimal
from html.parser import HTMLParser
from typing import Any

import pyarrow as pa
import pytest

from airflow_mlops.domain.checks import Outcome, Severity, Verdict
from airflow_mlops.domain.facts.validation import ExpectationResult, ValidationReport
from airflow_mlops.domain.spec import expectations as index
from airflow_mlops.domain.spec.model import Expectation
from airflow_mlops.exceptions import SchemaMismatch, ValidationErrored, ValidationFailed
from airflow_mlops.stages.validate import validate as engine
from airflow_mlops.stages.validate.gx import to_frame
from airflow_mlops.stages.validate.validate import Validated, ValidationPolicy, validate

pytestmark = pytest.mark.slow  # tables on disk, servers or processes of their own: a second and more

PRECHECKS = 3
NAN = math.nan
UNKNOWN = Expectation.model_construct(expectation="expect_nothing", args={}, severity=Severity.BLOCK)


def expect(name: str, severity: str = "block", **args: Any) -> Expectation:
    return Expectation(expectation=f"expect_{name}", args=args, severity=Severity(severity))


def make_table(**columns: Any) -> pa.Table:
    return pa.table(
        columns
        or {"id": [1, 2, 3, 4], "distance": [10.0, -1.0, 0.0, -5.0], "carrier": ["AA", "UA", None, "AA"]}
    )


def run(
    *expectations: Expectation,
    table: pa.Table | None = None,
    required: tuple[str, ...] = (),
    allowed: Any = None,
    **policy: Any,
) -> Validated:
    return validate(
        make_table() if table is None else table,
        ValidationPolicy(expectations=expectations, required=required, **policy),
        dataset="flights",
        partition="2013-01",
        allowed=allowed,
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
    assert found.reasons == {}


def test_an_empty_suite_still_checks_rows_and_columns():
    assert outcomes(run(required=("id",))) == {
        "rows_present": "PASS", "columns_present": "PASS", "columns_not_all_null": "PASS",
    }  # fmt: skip


def test_no_rows_fail_and_great_expectations_is_not_run():
    found = run(UNKNOWN, table=make_table().slice(0, 0), required=("id",))
    assert found.report.verdict is Verdict.FAIL
    assert outcomes(found) == {"rows_present": "FAIL", "columns_present": "PASS"}
    assert found.report.reason == "there are no rows; 1 of 2 checks passed on 0 rows"


def test_a_missing_required_column_fails_with_its_name_and_great_expectations_is_not_run():
    found = run(UNKNOWN, required=("id", "dest", "origin"))
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
    assert found.reasons == {}


def test_rows_that_break_a_quarantine_expectation_are_set_aside_with_every_reason():
    found = run(
        expect("column_values_to_be_between", "quarantine", column="distance", min_value=0),
        expect("column_values_to_be_in_set", "quarantine", column="carrier", value_set=["AA"]),
    )
    assert found.report.verdict is Verdict.PASS
    assert found.reasons == {
        1: "distance is below 0; carrier is not in set AA",
        3: "distance is below 0",
    }, "a null is not outside a set"
    assert found.report.quarantined == 2
    assert found.report.reason == (
        "2 of 4 rows set aside: distance is below 0, carrier is not in set AA; 3 of 5 checks passed on 4 rows"
    )


def test_more_rows_are_set_aside_than_great_expectations_shows_values():
    table = make_table(id=range(1000), x=[-1.0] * 999 + [1.0])
    found = run(expect("column_values_to_be_between", "quarantine", column="x", min_value=0), table=table)
    assert sorted(found.reasons) == list(range(999))


def test_only_rows_that_meet_the_condition_are_set_aside():
    rule = expect(
        "column_values_to_be_between", "quarantine",
        column="distance", min_value=0, row_condition='carrier == "UA"', condition_parser="pandas",
    )  # fmt: skip
    assert list(run(rule).reasons) == [1]


def test_the_rows_of_a_pair_expectation_are_found_past_the_rows_it_ignores():
    table = make_table(id=[1, 2, 3], left=pa.array([None, 1, 5]), right=[0, 2, 4])
    rule = expect(
        "column_pair_values_a_to_be_greater_than_b", "quarantine",
        column_A="left", column_B="right", ignore_row_if="either_value_is_missing",
    )  # fmt: skip
    found = run(rule, table=table)
    assert found.reasons == {1: "left, right pair values a is not greater than b"}


def test_a_tolerated_share_of_broken_rows_passes_and_sets_none_aside():
    found = run(
        expect("column_values_to_be_between", "quarantine", column="distance", min_value=0, mostly=0.5)
    )
    assert only(found).outcome is Outcome.PASS
    assert only(found).unexpected == 2
    assert found.reasons == {}


def test_a_quarantine_expectation_about_the_table_blocks():
    found = run(expect("table_row_count_to_be_between", "quarantine", min_value=100))
    assert found.report.verdict is Verdict.FAIL
    assert "row count is below 100" in found.report.reason


def test_a_partition_of_bad_rows_only_fails():
    found = run(expect("column_values_to_be_between", "quarantine", column="distance", min_value=100))
    assert found.report.verdict is Verdict.FAIL
    assert found.report.reason.startswith("all 4 rows would be set aside: distance is below 100")


def test_rows_keep_their_place_when_the_table_carries_a_pandas_index():
    import pandas as pd

    table = pa.Table.from_pandas(pd.DataFrame({"x": [1.0, -1.0]}, index=pd.Index([7, 9], name="key")))
    found = run(expect("column_values_to_be_between", "quarantine", column="x", min_value=0), table=table)
    assert list(found.reasons) == [1]


# ------------------------------------------------------------------------------------------------ errors
@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (expect("column_values_to_be_between", column="carrier", min_value=0), "must either be None or of the same type"),
        (expect("column_values_to_match_regex", column="carrier", regex="("), "regular expression"),
        (expect("column_values_to_be_of_type", column="distnce", type_="float64"), "no column distnce; did you mean distance?"),
        (expect("column_values_to_be_in_set", column="id", value_set=[1], row_condition="idd > 1", condition_parser="pandas"), "'idd' is not defined"),
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
    ("name", "args", "messages"),
    [
        ("column_values_to_be_betwen", {"column": "x"}, ["expect_column_values_to_be_betwen: no such expectation; did you mean expect_column_values_to_be_between"]),
        ("column_values_to_be_between", {"colum": "x", "min": 0}, ["column: field required", "colum: no such argument; did you mean column?", "min: no such argument; did you mean min_value?"]),
        ("column_values_to_be_between", {"column": "x", "min_value": 0, "mostly": 7}, ["mostly: ensure this value is less than or equal to 1.0"]),
        ("column_values_to_be_between", {"column": "x"}, ["min_value and max_value cannot both be None"]),
        ("column_values_to_match_strftime_format", {"column": "x", "strftime_format": "%Y%Y"}, ["redefinition of group name 'Y'"]),
        ("column_values_to_be_unique", {"column": "x", "result_format": "BASIC"}, ["result_format: is set by validation itself"]),
    ],
)  # fmt: skip
def test_what_the_index_lets_pass_and_great_expectations_refuses_raises_naming_each_problem(
    name: str, args: dict[str, Any], messages: list[str]
):
    rule = Expectation.model_construct(expectation=f"expect_{name}", args=args, severity=Severity.BLOCK)
    with pytest.raises(ValidationErrored) as error:
        run(rule, table=make_table(x=[1]))
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
        (expect("column_values_to_be_between", column="price", min_value=0), 1, ("-2.5",)),
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
        ValidationPolicy(
            [
                expect("column_values_to_be_in_set", "quarantine", column=script, value_set=["fine"]),
                expect("column_values_to_match_regex", column=script, regex=f"({script}"),
                expect("column_distinct_values_to_be_in_set", column=script, value_set=[script, "$1"]),
            ],
            [script],
            identifiers=[script],
        ),
        dataset=script,
        partition='"><img src=x onerror=alert(1)>',
    )
    assert found.docs
    page, docs = Page(found.html), Page(found.docs)
    for each in (page, docs):
        assert "script" not in each.tags
        assert "img" not in each.tags
    assert set(page.samples) == {script, "fine"}, "the values are there as text"
    assert "‹script›" in found.docs


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
    assert page.tags.count("tr") == 1 + len(found.report.results) + 1 + 2, "results, and rows that broke them"
    assert page.links == ["href"], "to the Data Docs beside it"
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
from airflow_mlops.domain.spec.model import Expectation
from airflow_mlops.stages.validate.validate import ValidationPolicy, validate
assert not {"great_expectations", "pandas", "jinja2"} & set(sys.modules), "imported at the top"
environment, showwarning = dict(os.environ), warnings.showwarning
rule = Expectation(expectation="expect_column_values_to_be_unique", args={"column": "x"})
found = validate(pa.table({"x": [1]}), ValidationPolicy([rule]), dataset="d", partition="p")
assert found.report.verdict == "PASS" and "great_expectations" in sys.modules
assert warnings.showwarning is showwarning, "warnings of the process go elsewhere now"
assert dict(os.environ) == environment
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ------------------------------------------------------------------------------------------------ what becomes of rows
DISTANCE = expect("column_values_to_be_between", "quarantine", column="distance", min_value=0)


@pytest.mark.parametrize(("largest", "verdict"), [(0.5, "PASS"), (0.49, "FAIL"), (1.0, "PASS")])
def test_above_a_share_the_partition_is_stopped_and_no_row_is_moved(largest: float, verdict: str):
    found = run(DISTANCE, max_quarantined=largest)
    assert found.report.verdict == verdict
    assert found.report.quarantined == len(found.reasons) == (2 if verdict == "PASS" else 0)
    if verdict == "FAIL":
        assert found.report.reason.startswith(
            "2 of 4 rows would be set aside, above 49 % of them: distance is below 0"
        )


def test_a_share_that_is_just_allowed_is_allowed():
    table = make_table(distance=[-1.0] * 29 + [1.0] * 71)  # 0.29 * 100 is less than 29
    found = run(DISTANCE, table=table, max_quarantined=0.29)
    assert (found.report.verdict, found.report.quarantined) == ("PASS", 29)


def test_a_row_that_a_person_has_released_goes_on_and_is_counted():
    asked: list[Any] = []

    def allowed(rows: Any) -> frozenset[int]:
        asked.append(list(rows))
        return frozenset({3})

    found = run(DISTANCE, allowed=allowed, max_quarantined=0.25)
    assert asked == [[1, 3]]
    assert list(found.reasons) == [1]
    assert (found.report.verdict, found.report.quarantined, found.report.released) == ("PASS", 1, 1)
    assert "1 row that a person has released goes on" in found.report.reason


def test_a_release_does_not_lift_what_blocks():
    blocks = expect("column_values_to_be_between", column="distance", min_value=0)
    found = run(blocks, DISTANCE, allowed=frozenset)
    assert (found.report.verdict, found.report.released) == (Verdict.FAIL, 2)


def test_nothing_is_moved_from_rows_that_are_not_ours():
    found = engine.frame(make_table(), [DISTANCE], name="orders")
    assert (found.report.verdict, found.report.quarantined, found.reasons) == ("PASS", 0, {})
    assert found.report.reason.startswith("2 of 4 rows would be set aside: distance is below 0")
    assert found.report.warned


def test_skew_is_judged_with_the_rest():
    skewed = ExpectationResult(
        expectation="skew.distribution",
        column="distance",
        severity=Severity.BLOCK,
        outcome=Outcome.FAIL,
        expected="at most 0.5",
        observed="0.9 from the training data",
    )
    found = validate(make_table(), ValidationPolicy(), dataset="d", partition="p", skew=lambda: [skewed])
    assert found.report.verdict is Verdict.FAIL
    assert found.report.reason.startswith("skew.distribution on distance: 0.9 from the training data")


@pytest.mark.parametrize(("severity", "verdict"), [("warn", "PASS"), ("block", "INCONCLUSIVE")])
def test_skew_that_cannot_be_computed_is_told_and_stops_only_what_it_could_block(severity: str, verdict: str):
    unknown = ExpectationResult(
        expectation="skew",
        severity=Severity(severity),
        outcome=Outcome.ERROR,
        expected="",
        observed="could not be computed",
    )
    found = validate(make_table(), ValidationPolicy(), dataset="d", partition="p", skew=lambda: [unknown])
    assert (found.report.verdict, found.report.warned) == (verdict, severity == "warn")
    assert "skew could not be computed" in found.report.reason


@pytest.mark.parametrize(
    ("verdict", "error"), [("FAIL", ValidationFailed), ("INCONCLUSIVE", ValidationErrored)]
)
def test_a_verdict_is_raised_as_its_own_error(verdict: str, error: type[Exception]):
    report = run(DISTANCE).report
    engine.raise_for(report)
    with pytest.raises(error, match="flights 2013-01: "):
        engine.raise_for(report.model_copy(update={"verdict": Verdict(verdict)}))


# ------------------------------------------------------------------------------------------------ sample rows
def test_rows_that_broke_expectations_are_shown_with_what_tells_them_and_what_is_wrong():
    carrier = expect("column_values_to_not_be_null", "warn", column="carrier")
    found = run(DISTANCE, carrier, identifiers=("id",))
    sample = found.report.sample
    assert sample is not None
    assert sample.columns == ("id", "distance", "carrier")
    assert sample.rows == (("2", "-1", "UA"), ("4", "-5", "AA"), ("3", "0", "null"))
    assert sample.reasons == ("distance is below 0", "distance is below 0", "carrier is null")
    assert "Rows that broke expectations" in found.html


def test_a_sample_is_bounded_in_rows_columns_and_text():
    names = [f"c{place}" for place in range(12)]
    table = pa.table({"id": range(1000), **{name: ["=1+1" + "x" * 10**6] + ["y"] * 999 for name in names}})
    rules = [expect("column_values_to_be_in_set", "warn", column=name, value_set=["z"]) for name in names]
    sample = run(*rules, table=table, identifiers=("id",)).report.sample
    assert sample is not None
    assert (len(sample.rows), len(sample.columns)) == (20, 8)
    assert max(len(text) for row in sample.rows for text in row) <= 100


def test_there_is_no_sample_without_broken_rows():
    assert run(expect("table_row_count_to_equal", value=7)).report.sample is None


# ------------------------------------------------------------------------------------------------ personal data
SECRET = "ada@example.com"


@pytest.mark.parametrize(
    "rule",
    [
        expect("column_values_to_be_in_set", "quarantine", column="mail", value_set=["x"]),
        expect("column_values_to_be_in_set", "warn", column="mail", value_set=["x"]),
        expect("column_values_to_match_regex", column="mail", regex="^x"),
        expect("column_distinct_values_to_be_in_set", column="mail", value_set=["x"]),
        expect("column_most_common_value_to_be_in_set", column="mail", value_set=["x"]),
        expect("column_max_to_be_between", column="mail", max_value=1),
        expect("column_values_to_be_between", column="mail", max_value=1),
        expect("column_pair_values_to_be_equal", column_A="mail", column_B="id"),
        expect("compound_columns_to_be_unique", column_list=["mail", "same"]),
        expect("column_values_to_be_null", "quarantine", column="id", row_condition=f'mail == "{SECRET}"', condition_parser="pandas"),
        expect("column_max_to_be_near_last_partitions", column="mail", tolerance=1),
    ],
)  # fmt: skip
def test_no_personal_value_leaves_the_engine(rule: Expectation):
    table = pa.table({"id": ["1", "2", "3"], "mail": [SECRET] * 3, "same": [1, 1, 1]})
    found = run(rule, table=table, identifiers=("id", "mail"), pii=("mail",), required=("mail",))
    assert found.docs is not None or rule.expectation.endswith("partitions")
    shown = found.report.model_copy(
        update={"results": tuple(each.model_copy(update={"expected": ""}) for each in found.report.results)}
    )
    asked = str(rule.args.get("row_condition", ""))
    for text in (shown.model_dump_json(), found.html, found.docs or "", *found.reasons.values()):
        assert SECRET not in text.replace(asked, "").replace(asked.replace('"', "&#34;"), "").replace(
            asked.replace('"', "”"), ""
        )


def test_a_mask_tells_neither_length_nor_count():
    def shown(*values: str) -> tuple[Any, Any]:
        rule = expect("column_values_to_be_in_set", "warn", column="mail", value_set=["x"])
        report = run(rule, table=pa.table({"mail": values}), identifiers=("mail",), pii=("mail",)).report
        assert report.sample is not None
        return report.results[-1].samples, report.sample.rows

    assert shown("a", "bb") == shown("ccc", "ccc") == (("•••",), (("•••",), ("•••",)))


# ------------------------------------------------------------------------------------------------ bad input
@pytest.mark.parametrize(
    ("column", "rule", "outcome"),
    [
        (pa.array([1.0]), expect("column_values_to_be_between", column="x", min_value=0), "PASS"),
        (pa.array([math.inf, 1.0]), expect("column_values_to_be_between", column="x", max_value=10), "FAIL"),
        (pa.array([-math.inf, 1.0]), expect("column_mean_to_be_between", column="x", max_value=10, min_value=0), "FAIL"),
        (pa.array([NAN, 1.0]), expect("column_values_to_not_be_null", column="x"), "FAIL"),
        (pa.nulls(3, pa.string()), expect("column_values_to_match_regex", column="x", regex="a"), "PASS"),
        (pa.array(["1", "two"]), expect("column_values_to_be_between", column="x", min_value=0), "ERROR"),
        (pa.array(["x" * 10**6, "y"]), expect("column_values_to_be_in_set", column="x", value_set=["y"]), "FAIL"),
        (pa.array(["=1+1", "y"]), expect("column_values_to_be_in_set", column="x", value_set=["y"]), "FAIL"),
        (pa.array(["<b>", "y"]), expect("column_values_to_be_in_set", column="x", value_set=["y"]), "FAIL"),
        (pa.array([{"a": 1}, {"a": 2}]), expect("column_values_to_be_unique", column="x"), None),
        (pa.array([[1], [2]]), expect("column_values_to_not_be_null", column="x"), "PASS"),
    ],
)  # fmt: skip
def test_bad_values_have_an_explicit_verdict(column: pa.Array, rule: Expectation, outcome: str | None):
    found = run(rule, table=pa.table({"x": column}), identifiers=("x",))
    result = only(found)
    assert result.outcome == (outcome or result.outcome)
    assert found.report.verdict == {"PASS": "PASS", "FAIL": "FAIL", "ERROR": "INCONCLUSIVE"}[result.outcome]
    assert ValidationReport.from_dict(found.report.to_dict()) == found.report
    assert len(found.html) < 40_000
    assert len(found.docs or "") < 40_000


def test_mixed_types_of_a_foreign_frame_are_refused_by_name():
    import pandas as pd

    with pytest.raises(TypeError, match=r"DataFrame is no table that can be validated: .*column x") as raised:
        engine.frame(pd.DataFrame({"x": [1, SECRET]}), [], required=["x"])
    assert SECRET not in "".join(traceback.format_exception(raised.value))


def test_columns_of_one_name_are_refused_by_name():
    twice = pa.table([[1], [2]], names=["x", "x"])
    with pytest.raises(SchemaMismatch, match="orders has columns of one name: 'x'"):
        engine.frame(twice, [], name="orders", required=["x"])


def test_a_frame_of_which_nothing_is_asked_is_no_success():
    with pytest.raises(ValueError, match="nothing is asked of the data: give expectations= or required="):
        engine.frame(make_table(), [])


@pytest.mark.parametrize("field", ["required", "identifiers", "pii"])
def test_a_text_is_no_list_of_columns(field: str):
    with pytest.raises(TypeError, match=rf"{field} is a text; write a list of columns: {field}=\['email'\]"):
        ValidationPolicy(**{field: "email"})


def test_a_personal_column_that_is_not_there_is_told(caplog: pytest.LogCaptureFixture):
    run(pii=("id", "emial"))
    assert "flights 2013-01: pii names no column of the data: emial" in caplog.text


def test_a_frame_is_validated_as_a_table_is():
    import pandas as pd

    frame = pd.DataFrame({"id": [1, 2], "x": [1.0, NAN]}, index=[7, 7])
    rule = {"expect_column_values_to_not_be_null": {"column": "x"}}
    report = engine.frame(frame, [rule], name="orders", required=["id"]).report
    assert (report.dataset, report.verdict, report.rows) == ("orders", "FAIL", 2)


# ------------------------------------------------------------------------------------------------ only what is needed
def test_expectations_on_different_columns_are_evaluated_on_their_own_columns(
    monkeypatch: pytest.MonkeyPatch,
):
    from airflow_mlops.stages.validate import gx

    frames: list[tuple[str, ...]] = []
    convert = gx.to_frame
    monkeypatch.setattr(
        gx, "to_frame", lambda table: frames.append(tuple(table.column_names)) or convert(table)
    )
    condition = {"row_condition": "distance > 0", "condition_parser": "pandas"}
    run(
        expect("column_values_to_be_unique", column="id"),
        expect("column_values_to_not_be_null", column="carrier"),
        expect("column_values_to_be_between", column="id", min_value=0),
        expect("column_values_to_not_be_null", column="carrier", **condition),
        expect("table_row_count_to_equal", value=4),
        expect("table_columns_to_match_ordered_list", column_list=["id", "distance", "carrier"]),
        expect("column_to_exist", column="distance", column_index=1),
    )
    assert frames == [("id",), ("carrier",), ("distance", "carrier")]


def test_only_columns_that_something_is_asked_of_are_read():
    policy = ValidationPolicy(
        expectations=[
            expect("column_values_to_be_between", column="b", min_value=0, row_condition="c > 1", condition_parser="pandas"),
            expect("table_row_count_to_equal", value=4),
        ],
        required=["a"],
        identifiers=["k"],
    )  # fmt: skip
    assert engine.columns(policy, ["k", "a", "b", "c", "d"]) == ["k", "a", "b", "c"]


def test_columns_that_were_not_read_are_still_known():
    table = make_table(id=[1])
    rules = [expect("table_column_count_to_equal", value=3), expect("column_to_exist", column="carrier")]
    found = validate(
        table, ValidationPolicy(rules, ["carrier"]), dataset="d", partition="p", names=["id", "x", "y"]
    )
    assert outcomes(found)["columns_present"] == "FAIL"
    found = validate(table, ValidationPolicy(rules[:1]), dataset="d", partition="p", names=["id", "x", "y"])
    assert found.report.verdict is Verdict.PASS


def test_ours_stand_among_the_others_in_the_order_of_the_spec():
    found = run(
        expect("column_values_to_be_unique", column="id"),
        expect("table_row_count_to_be_near_last_partitions", "warn", tolerance=1),
        expect("column_values_to_not_be_null", column="carrier"),
    )
    names = [result.expectation for result in found.report.results[PRECHECKS:]]
    assert names == [
        "expect_column_values_to_be_unique",
        "expect_table_row_count_to_be_near_last_partitions",
        "expect_column_values_to_not_be_null",
    ]
    assert [result.outcome for result in found.report.results[PRECHECKS:]] == ["PASS", "ERROR", "FAIL"]


def test_the_same_expectation_twice_is_answered_twice():
    broken = expect("column_values_to_match_regex", column="carrier", regex="(")
    unique = expect("column_values_to_be_unique", column="id")
    found = run(unique, broken, broken, unique)
    assert [result.outcome for result in found.report.results[PRECHECKS:]] == [
        "PASS",
        "ERROR",
        "ERROR",
        "PASS",
    ]


# ------------------------------------------------------------------------------------------------ every expectation
SAMPLES: dict[str, Any] = {
    "column": "x", "column_A": "x", "column_B": "y", "column_list": ["x", "y"], "type_": "int64",
    "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 9]]}, "value_pairs_set": [[1, 4], [2, 5]],
    "partition_object": {"bins": [0, 2, 9], "weights": [0.5, 0.5]}, "json_schema": {"type": "number"},
    "strftime_format": "%Y", "regex": "1", "min_value": 2, "threshold": 0.5,
}  # fmt: skip


def sample_args(name: str) -> dict[str, Any]:
    """Return arguments that an expectation takes."""
    simple = {"text": "x", "number": 1.0, "whole": 1, "truth": True, "list": ["1", "2"], "mapping": {}}
    known = index.index()[name]["args"]
    needed = {key: simple[told["types"][0]] for key, told in known.items() if told.get("required")}
    return {key: SAMPLES.get(key, needed.get(key)) for key in known if key in needed or key in SAMPLES}


@pytest.mark.parametrize(
    "name", [name for name, told in index.index().items() if not told.get("sql") and not told.get("ours")]
)
def test_every_expectation_of_the_index_is_evaluated_and_shown(name: str):
    numbers = make_table(x=[1, 2, 3], y=[4, 5, 6])
    texts = make_table(x=["a", "<b>", None], y=["a", "c", "1"])
    digits = make_table(x=["1", "2"], y=["1", "3"])
    rule = Expectation(expectation=name, args=sample_args(name))
    answers = [run(rule, table=table) for table in (numbers, texts, digits)]
    assert any(only(found).outcome is not Outcome.ERROR for found in answers), only(answers[0]).observed
    assert all(found.docs and name in found.html for found in answers)


def test_data_docs_that_cannot_be_rendered_are_no_reason_to_fail(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer

    def fail(*_: Any) -> None:
        raise KeyError(SECRET)

    monkeypatch.setattr(ValidationResultsPageRenderer, "render", fail)
    found = run(DISTANCE)
    assert (found.report.verdict, found.docs) == (Verdict.PASS, None)
    assert "data-docs.html" not in found.html
    assert "Data Docs of flights 2013-01 could not be rendered: KeyError" in caplog.text
    assert SECRET not in caplog.text
