from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from airflow_mlops.domain.spec.source import SUFFIXES, Source
from airflow_mlops.exceptions import SpecError

QUERY = "select * from flights where departure >= :start and departure < :end"

ACCEPTED: list[dict[str, Any]] = [
    {"python": "flights:read"},
    {"python": {"function": "flights:read", "arrived": "flights:arrived"}, "wait": "PT6H"},
    {"files": "data/{partition}.parquet"},
    {"files": "s3://bucket/year={year}/month={month}/*_{partition}.csv.gz", "wait": "PT6H"},
    {"files": {"path": "{partition}/*.txt", "format": "csv", "delimiter": ";", "encoding": "latin-1"}},
    {"files": {"path": "{partition}.csv", "conn_id": "aws", "nulls": ["-"], "types": {"zip": "string"}}},
    {
        "files": {
            "path": "{partition}.csv",
            "delimiter": ";",
            "escape": "\\",
            "decimal": ",",
            "thousands": ".",
        }
    },
    {"files": {"path": "{partition}.csv.gz", "percent": ["share"], "times": {"at": "%d.%m.%Y %H:%M"}}},
    {"sql": {"conn_id": "warehouse", "query": QUERY}},
    {
        "sql": {
            "conn_id": "warehouse",
            "query": "select a::date from t where p = :partition",
            "changed": QUERY,
        }
    },
    {"delta": "s3://bucket/flights"},
    {"delta": "other_model"},
    {"delta": {"dataset": "other_model", "table": "predictions", "event_time": "at", "version": 3}},
    {"delta": {"uri": "file:///flights", "event_time": "at"}, "wait": None},
]


def refusals(value: Any) -> list[str]:
    return [error.message for error in Draft202012Validator(Source.model_json_schema()).iter_errors(value)]


@pytest.mark.parametrize("value", ACCEPTED, ids=str)
def test_a_source_is_read_written_and_known_to_the_schema(value: dict[str, Any]) -> None:
    source = Source.from_dict(value)
    assert Source.from_dict(source.to_dict()) == source
    assert refusals(value) == []
    assert refusals(source.to_dict()) == []


def test_a_text_stands_for_the_key_that_is_needed() -> None:
    assert Source.from_dict({"python": "a:b"}) == Source.from_dict({"python": {"function": "a:b"}})
    assert Source.from_dict({"files": "{year}.csv"}) == Source.from_dict({"files": {"path": "{year}.csv"}})
    assert Source.from_dict({"delta": "/flights"}) == Source.from_dict({"delta": {"uri": "/flights"}})
    assert Source.from_dict({"delta": "flights"}) == Source.from_dict({"delta": {"dataset": "flights"}})


def test_how_long_to_wait_is_a_duration() -> None:
    assert Source.from_dict({"delta": "flights", "wait": "PT6H"}).wait == timedelta(hours=6)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_end_of_a_path_tells_its_format(suffix: str) -> None:
    assert Source.from_dict({"files": f"{{partition}}{suffix}"}).files is not None


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ({}, "takes exactly one of python, files, sql, delta; none is given"),
        ({"python": "a:b", "files": "{partition}.csv"}, "takes exactly one of python, files, sql, delta; python and files are given"),
        ({"python": "a.b"}, "python.function: must be written module:function, such as nycflights:read_month"),
        ({"python": {"arrived": "a:b"}}, "python.function: is required"),
        ({"python": "a:b", "wait": "PT1H"}, "wait: nobody can tell when the rows of a function have arrived"),
        ({"files": "data.csv"}, "files.path: must hold {partition}, or {year}, {month} …"),
        ({"files": "{month}.csv"}, "files.path: must hold {partition}, or {year}, {month} …"),
        ({"files": "{partition}/{date}.csv"}, "files.path: holds {date}; allowed in braces: {partition}, {year},"),
        ({"files": "{partition}/{day.csv"}, "files.path: holds a single brace"),
        ({"files": "{partition}.xls"}, "files.path: must end in one of .csv, .csv.gz"),
        ({"files": 3}, "files: must be a mapping, not the number 3; its keys: path, conn_id"),
        ({"files": {"path": "{partition}.csv", "delimiter": ";;"}}, "files.delimiter: must be one character"),
        ({"files": {"path": "{partition}.csv", "encoding": "utf9"}}, "files.encoding: 'utf9' is no encoding of text"),
        ({"files": {"path": "{partition}.csv", "encoding": "rot13"}}, "files.encoding: 'rot13' is no encoding of text"),
        ({"files": {"path": "{partition}.csv", "encoding": "unicode_escape"}}, "files.encoding: 'unicode_escape' is no encoding"),
        ({"files": {"path": "{partition}.csv", "encoding": "a\0b"}}, "files.encoding: "),
        ({"files": {"path": "{partition}.csv", "types": {"zip": "int"}}}, "files.types.zip: cannot be 'int'; did you mean 'int64'?"),
        ({"files": {"path": "{partition}.csv", "escape": "\\\\"}}, "files.escape: must be one character, such as \\, not"),
        ({"files": {"path": "{partition}.csv", "escape": ","}}, "files.escape: is the delimiter too: ','"),
        ({"files": {"path": "{partition}.csv", "decimal": ";"}}, "files.decimal: cannot be ';'; allowed: ., ,"),
        ({"files": {"path": "{partition}.csv", "thousands": "."}}, "files.thousands: is '.', as decimal is; write decimal: ',', or another"),
        ({"files": {"path": "{partition}.csv", "times": {"at": "dd.mm.yyyy"}}}, "files.times.at: must have a year (%Y or %y), a month"),
        ({"files": {"path": "{partition}.csv", "times": {"at": "%d.%m.%Y %M"}}}, "files.times.at: has %M without %H or %I"),
        ({"files": {"path": "{partition}.csv", "times": {"at": "%d.%m.%Y %H %I %p"}}}, "files.times.at: has both %H and %I"),
        ({"files": {"path": "{partition}.csv", "times": {"at": "%d.%d.%Y"}}}, "files.times.at: holds %d twice"),
        ({"files": {"path": "{partition}.csv", "times": {"at": "%d.%m.%Y"}, "types": {"at": "string"}}}, "files.times.at: is listed under types too"),
        ({"files": {"path": "{partition}.csv", "percent": ["x"], "types": {"x": "double"}}}, "files.percent: 'x' is listed under types too"),
        ({"files": {"path": "{partition}.jsonl", "decimal": ","}}, "files.decimal: is of CSV, and '{partition}.jsonl' is none; change the values in a transform"),
        ({"files": {"path": "{partition}.csv", "format": "xls"}}, "files.format: cannot be 'xls'; allowed: csv, jsonl, parquet"),
        ({"sql": QUERY}, "sql: must be a mapping, not the text"),
        ({"sql": {"conn_id": "w"}}, "sql.query: is required: Query that refers to `:start`"),
        ({"sql": {"conn_id": "w", "query": "select 1"}}, "sql.query: refers to none of :start, :end, :partition"),
        ({"sql": {"conn_id": "w", "query": "select '2013-01-01'::date"}}, "sql.query: refers to none of :start"),
        ({"sql": {"conn_id": "w", "query": "select :strat"}}, "sql.query: refers to :strat; did you mean 'start'?"),
        ({"sql": {"conn_id": "w", "qurey": QUERY, "query": QUERY}}, "sql.qurey: is no key; did you mean 'query'?"),
        ({"delta": {}}, "delta: takes exactly one of uri, dataset; none is given"),
        ({"delta": {"uri": "s3://a", "dataset": "b"}}, "delta: takes exactly one of uri, dataset; both are given"),
        ({"delta": {"uri": "flights"}}, "delta.uri: must be a URI such as s3://bucket/table"),
        ({"delta": {"uri": "s3://a", "table": "b"}}, "delta.table: belongs to dataset; write the whole place as uri"),
        ({"delta": "Other Model"}, "delta.dataset: 'Other Model' cannot name DAGs"),
        ({"delta": "a", "wait": "6 hours"}, "wait: must be a duration in weeks, days, hours,"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_problem_with_its_place(value: dict[str, Any], says: str) -> None:
    with pytest.raises(SpecError) as raised:
        Source.from_dict(value)
    [problem] = raised.value.problems
    assert says in problem
