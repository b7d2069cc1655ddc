from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tools import expectation_index

from airflow_mlops.domain.spec import expectations
from airflow_mlops.domain.spec.model import Expectation, ModelSpec, Suite
from airflow_mlops.exceptions import SpecError

SPEC = """name: flights
task: classification
target: late
key: [id]
event_time: departure
partition: month
source: {python: "flights:read"}
validate:
"""


def problems(name: str, **args: Any) -> list[str]:
    found = expectations.check(f"expect_{name}", args)
    return [": ".join([*map(str, place), text]) for place, text in found]


def load(folder: Path, checks: str) -> ModelSpec:
    (folder / "spec.yaml").write_text(SPEC + checks)
    return ModelSpec.load(folder / "spec.yaml")


@pytest.mark.slow
def test_the_index_is_that_of_the_installed_great_expectations() -> None:
    fresh = expectation_index.text(expectation_index.build())
    assert fresh == expectations.FILE.read_text(encoding="utf-8"), "run python -m tools.expectation_index"


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("column_values_to_be_between", {"column": "x", "min_value": 0, "max_value": 1.5, "strict_max": True}),
        ("column_values_to_be_between", {"column": "x", "min_value": "2013-01-01", "max_value": "2013-01-02"}),
        ("column_values_to_be_between", {"column": "x", "min_value": None, "max_value": 1, "mostly": 0.9}),
        ("column_values_to_be_in_set", {"column": "x", "value_set": ["a", 1, None]}),
        ("column_values_to_be_unique", {"column": "x", "row_condition": "y > 1", "condition_parser": "pandas"}),
        ("column_quantile_values_to_be_between", {"column": "x", "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 1]]}}),
        ("column_pair_values_a_to_be_greater_than_b", {"column_A": "x", "column_B": "y", "ignore_row_if": "neither"}),
        ("compound_columns_to_be_unique", {"column_list": ["x", "y"]}),
        ("table_row_count_to_be_between", {"min_value": 1}),
        ("table_row_count_to_be_near_last_partitions", {"tolerance": 0.5}),
        ("column_mean_to_be_near_last_partitions", {"column": "x", "partitions": 3, "tolerance": 0}),
    ],
)  # fmt: skip
def test_what_great_expectations_takes_is_right(name: str, args: dict[str, Any]) -> None:
    assert problems(name, **args) == []


@pytest.mark.parametrize(
    ("name", "args", "expected"),
    [
        ("column_values_to_be_betwen", {"column": "x"}, "is no expectation; did you mean 'expect_column_values_to_be_between'?"),
        ("nothing_of_the_kind", {}, "expect_nothing_of_the_kind is no expectation"),
        ("column_values_to_match_like_pattern", {}, "needs a database"),
        ("table_row_count_to_equal_other_table", {}, "needs a database"),
        ("column_values_to_be_unique", {}, "needs 'column'; it takes column, mostly"),
        ("column_values_to_be_unique", {"colum": "x"}, "colum: is no argument of expect_column_values_to_be_unique; did you mean 'column'? allowed: column"),
        ("column_values_to_be_between", {"column": "x", "min": 1}, "min: is no argument of expect_column_values_to_be_between; did you mean 'min_value'?"),
        ("column_values_to_be_unique", {"column": "x", "result_format": "BASIC"}, "result_format: is no argument"),
        ("column_values_to_be_unique", {"column": 7}, "column: must be text, not the number 7"),
        ("column_values_to_be_unique", {"column": None}, "column: is empty; give it a value"),
        ("column_values_to_be_unique", {"column": "x", "mostly": 90}, "mostly: must be at most 1, not 90"),
        ("column_values_to_be_unique", {"column": "x", "mostly": "all"}, "mostly: must be a number, not the text 'all'"),
        ("column_values_to_be_unique", {"column": "x", "condition_parser": "panda"}, "condition_parser: must be one of great_expectations"),
        ("column_values_to_be_in_set", {"column": "x", "value_set": "a"}, "value_set: must be a list, not the text 'a'"),
        ("column_values_to_match_regex_list", {"column": "x", "regex_list": []}, "regex_list: must not be empty"),
        ("column_values_to_match_regex_list", {"column": "x", "regex_list": [1]}, "regex_list: must be a list of texts, and holds the number 1"),
        ("compound_columns_to_be_unique", {"column_list": ["x"]}, "column_list: needs at least 2 items, not 1"),
        ("column_values_to_be_between", {"column": "x"}, "needs min_value, max_value, or both"),
        ("column_values_to_be_between", {"column": "x", "min_value": 2, "max_value": 1}, "min_value: is above max_value: 2 > 1"),
        ("column_values_to_be_between", {"column": "x", "min_value": 1, "max_value": 1, "strict_min": True}, "min_value: equals max_value, 1, and one of them is strict"),
        ("column_values_to_be_between", {"column": "x", "min_value": "2013-02-01", "max_value": "2013-01-01"}, "min_value: is above max_value: 2013-02-01 > 2013-01-01"),
        ("column_values_to_be_between", {"column": "x", "min_value": True}, "min_value: must be a number or a time such as 2013-01-31T00:00:00+00:00, not true"),
        ("column_values_to_be_between", {"column": "x", "min_value": {"$PARAMETER": "low"}}, "min_value: must be a number or a time"),
        ("table_row_count_to_equal", {"value": 1.5}, "value: must be a whole number, not the number 1.5"),
        ("column_mean_to_be_near_last_partitions", {"column": "x"}, "needs 'tolerance'"),
        ("table_row_count_to_be_near_last_partitions", {"tolerance": -1}, "tolerance: must be at least 0, not -1"),
        ("table_row_count_to_be_near_last_partitions", {"tolerance": 1, "partitions": 0}, "partitions: must be at least 1, not 0"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_the_argument_and_the_fix(
    name: str, args: dict[str, Any], expected: str
) -> None:
    assert any(expected in problem for problem in problems(name, **args)), problems(name, **args)


def test_each_problem_of_a_spec_has_its_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as error:
        load(
            tmp_path,
            "  - expect_column_values_to_be_nul: {column: x}\n"
            "  - expect_column_values_to_be_between:\n"
            "      column: x\n"
            "      min_value: 2\n"
            "      max_value: 1\n"
            "  - suite: suites/flights.json\n"
            "    sha: 12\n",
        )
    assert [problem.partition(": ")[0] for problem in error.value.problems] == [
        "line 9, validate[0]", "line 12, validate[1].min_value", "line 15, validate[2].sha",
    ]  # fmt: skip
    assert "is no key of a suite; did you mean 'sha256'? allowed: suite, context, sha256" in str(error.value)


def test_an_expectation_built_in_python_is_checked_too() -> None:
    with pytest.raises(SpecError, match=r"min_value: is above max_value"):
        Expectation(
            expectation="expect_column_values_to_be_between",
            args={"column": "x", "min_value": 2, "max_value": 1},
        )


def test_a_suite_beside_its_spec_is_named_by_an_absolute_path(tmp_path: Path) -> None:
    spec = load(tmp_path, "  - suite: suites/flights.json\n  - suite: flights\n    context: gx\n")
    one, two = spec.expectations
    assert one == Suite(suite=str(tmp_path / "suites" / "flights.json"))
    assert two == Suite(suite="flights", context=str(tmp_path / "gx"))
    assert ModelSpec.from_dict(spec.to_dict()) == spec


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ("  - suite: a.json\n    sha256: abc\n", "must be 64 hexadecimal digits"),
        (
            f"  - suite: a\n    context: gx\n    sha256: {'0' * 64}\n",
            "pins a file; leave it out with context",
        ),
        ("  - suite: \n", "suite: is empty"),
    ],
)
def test_a_suite_that_cannot_be_meant_is_told(tmp_path: Path, checks: str, expected: str) -> None:
    with pytest.raises(SpecError, match=expected):
        load(tmp_path, checks)


def test_checking_does_not_import_great_expectations() -> None:
    script = (
        "import sys; from airflow_mlops.domain.spec import expectations as e; "
        "assert list(e.check('expect_column_values_to_be_nul', {})); "
        "assert not {'great_expectations', 'pandas', 'numpy', 'pyarrow'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
