from __future__ import annotations

import json

import pytest

from airflow_mlops.domain.facts.guard import GuardReport
from airflow_mlops.domain.facts.results import HealthReport
from airflow_mlops.domain.facts.statement import KINDS, Statement
from notices import make_check, make_guarded, make_report


def test_a_statement_says_what_it_is_and_comes_back_through_json() -> None:
    report = make_guarded()
    stated = Statement.of(report, report="flights/2013-06/guard.html").to_dict()
    assert stated["kind"] == "GuardReport"
    again = Statement.from_dict(json.loads(json.dumps(stated)))
    assert again.read(GuardReport) == report
    assert again.read(HealthReport) is None
    assert again.pages == {"report": "flights/2013-06/guard.html"}


def test_a_kind_has_the_name_of_its_class() -> None:
    assert all(name == kind.__name__ for name, kind in KINDS.items())


def test_a_fact_that_nobody_reads_is_refused_where_it_is_stated() -> None:
    with pytest.raises(
        ValueError, match="'Check' is no kind of fact that is read; there are ChallengeReport,"
    ):
        Statement.of(make_check("drift"))


def test_what_is_not_what_it_says_is_refused_when_it_is_read() -> None:
    statement = Statement(kind="GuardReport", fact=make_report().to_dict())
    with pytest.raises(ValueError, match="GuardReport"):
        statement.read(GuardReport)
