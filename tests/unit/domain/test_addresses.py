from __future__ import annotations

import re

import pytest

from airflow_mlops.domain.addresses import problem_of, shown, shown_cause


@pytest.mark.parametrize(
    ("text", "as_shown"),
    [
        ("postgresql+psycopg2://ada:se-cret@db:5432/mlflow", "postgresql+psycopg2://***@db:5432/mlflow"),
        ("postgresql://ada:se/cr@et@db/mlflow", "postgresql://***@db/mlflow"),
        ("http://:se-cret@mlflow:5000", "http://***@mlflow:5000"),
        ("https://token@mlflow.example.com/x", "https://***@mlflow.example.com/x"),
        ("request to http://ada:se-cret@h:1/api failed: 'x'", "request to http://***@h:1/api failed: 'x'"),
        ("got 'foo://ada:se-cret@h' and foo://b:se-cret@i", "got 'foo://***@h' and foo://***@i"),
        ("az://lake/t?sv=2022&sig=se-cret%3D&se=2026", "az://lake/t?sv=2022&sig=***&se=2026"),
        ("https://s3/x?X-Amz-Signature=se-cret", "https://s3/x?X-Amz-Signature=***"),
        ("https://h/x?access_token=se-cret#y", "https://h/x?access_token=***#y"),
        ("mysql://h/x?user=ada&password=se-cret", "mysql://h/x?user=ada&password=***"),
    ],
)
def test_passwords_and_signatures_are_not_shown(text: str, as_shown: str) -> None:
    assert shown(text) == as_shown
    assert "se-cret" not in as_shown


@pytest.mark.parametrize(
    "text",
    [
        "s3://warehouse/parcels/{partition}/*.csv.gz",
        "abfss://container@account.dfs.core.windows.net/table",
        "s3://lake/parcels@3",
        "file:///data/a:b@c",
        "http://127.0.0.1:5000/mlflow?x=1&design=2",
        "ada@example.com wrote http://h:1 to bob@example.com",
    ],
)
def test_what_is_no_secret_stays(text: str) -> None:
    assert shown(text) == text


def test_an_error_is_no_cause_if_one_that_it_comes_from_tells_a_secret() -> None:
    first = OSError("no table at s3://a:se-cret@b")
    second = ValueError("cannot be read")
    second.__context__ = first
    assert shown_cause(second) is None
    first.__context__ = second
    assert shown_cause(first) is None, "a circle has an end"
    assert shown_cause(OSError("no table at s3://b")) is not None


@pytest.mark.parametrize(
    ("address", "problem"),
    [
        ("http://mlflow:5000", None),
        ("https://[::1]:5000/x", None),
        ("sqlite:////folder/mlflow.db", None),
        ("postgresql+psycopg2:///mlflow?host=/run", None),
        ("abfss://container@account.example/x", None),
        ("file:///folder", None),
        ("http://mlflow:abc", "its port"),
        ("http://mlflow:0", "its port"),
        ("postgresql://ada:se-cret@h:99999999/db", "its port"),
        ("postgresql://ada:se/cret@h/db", "its port .*is quoted, / as %2F"),
        ("http://[::1", "brackets"),
        ("http://", "no host"),
        ("tcp://:8786", "no host"),
        ("sqlite://", "no file"),
        ("sqlite:///:memory:", "no file"),
    ],
)
def test_an_address_is_judged_by_its_form_and_nothing_of_it_is_repeated(
    address: str, problem: str | None
) -> None:
    words = problem_of(address)
    assert (words is None) == (problem is None)
    assert problem is None or (re.search(problem, words or "") and "cret" not in (words or ""))
