from __future__ import annotations

import json
import math

import pytest
from pydantic import ValidationError

from airflow_mlops.domain.checks import Check, Verdict


def make_check(**changes: object) -> Check:
    values = {
        "name": "floor.roc_auc",
        "verdict": "PASS",
        "expected": ">= 0.6",
        "observed": 0.7,
        "reason": "good",
    }
    return Check.from_dict(values | changes)


def test_a_fact_survives_json() -> None:
    check = make_check(interval=(0.6, 0.8), slice="origin=JFK", n=500)
    assert Check.from_dict(json.loads(json.dumps(check.to_dict()))) == check


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_no_evidence(value: float) -> None:
    assert make_check(observed=value).observed is None


def test_a_fact_cannot_be_changed_or_extended() -> None:
    with pytest.raises(ValidationError):
        make_check().verdict = Verdict.FAIL  # type: ignore[misc]
    with pytest.raises(ValidationError, match="surprise"):
        make_check(surprise=1)
