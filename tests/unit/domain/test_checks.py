"""Facts that come back from JSON as they went, whatever was measured and whatever stands in the data."""

from __future__ import annotations

import json
from math import inf, nan
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops.domain.checks import Check, Fact, Verdict
from airflow_mlops.domain.facts.replay import Rate
from airflow_mlops.domain.facts.statement import Statement
from notices import make_check, make_health


def strictly(value: Any) -> Any:
    """Return what a database keeps of JSON: no number that is not finite, no half of a character, no character zero."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=False)
    assert "\\u0000" not in text
    return json.loads(text.encode())


@pytest.mark.parametrize(
    ("measure", "kept"),
    [
        (0.5, 0.5),
        (1, 1.0),
        (inf, None),
        (-inf, None),
        (nan, None),
        (2**70, 2.0**70),
        (10**400, None),
        (None, None),
    ],
    ids=["fraction", "whole", "inf", "-inf", "nan", "70 bits", "1330 bits", "none"],
)
def test_a_measure_that_is_not_finite_is_none_at_all(measure: Any, kept: float | None) -> None:
    check = make_check("floor", observed=measure)
    assert check.observed == kept
    assert Check.from_dict(strictly(check.to_dict())) == check
    assert Check.model_validate_json(check.model_dump_json()) == check


@pytest.mark.parametrize("interval", [(0.1, inf), (-inf, 0.1), (nan, nan), (0.1, None)])
def test_an_interval_without_an_end_is_none_and_its_news_arrive(interval: Any) -> None:
    report = make_health(drift=make_check("drift", Verdict.FAIL, interval=interval))
    assert report.drift.interval is None
    statement = Statement.from_dict(strictly(Statement.of(report).to_dict()))
    assert statement.read(type(report)) == report


def test_an_interval_that_a_former_build_wrote_without_its_end_is_read() -> None:
    values = make_check("floor", interval=(0.1, 0.2)).to_dict() | {"interval": [0.1, None]}
    assert Check.from_dict(values).interval is None


def test_a_number_that_must_be_there_is_refused_if_it_is_not_finite() -> None:
    with pytest.raises(ValidationError, match="threshold\n.*finite number"):
        Rate(policy="drift", threshold=inf, judged=1, alarms=0, interval=None)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("origin=JFK", "origin=JFK"),
        ("Zürich, 東京, 🛫", "Zürich, 東京, 🛫"),
        ("file-\udcff.csv", r"file-\udcff.csv"),
        ("half \ud83d of one", r"half \ud83d of one"),
        ("zero\0", r"zero\x00"),
    ],
    ids=["ascii", "scripts", "file name", "half", "zero"],
)
def test_text_survives_and_what_json_lacks_is_spelt_out(text: str, kept: str) -> None:
    class Noted(Fact):
        note: str
        names: dict[str, tuple[str, ...]]

    noted = Noted(note=text, names={text: (text,)})
    assert (noted.note, noted.names) == (kept, {kept: (kept,)})
    assert Noted.from_dict(strictly(noted.to_dict())) == noted
    assert Noted.model_validate_json(noted.model_dump_json()) == noted
