from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import SpecError

LEAST: dict[str, Any] = {
    "name": "flights",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "source": {"files": "/data/{partition}.parquet"},
}


@pytest.mark.parametrize(
    ("section", "key", "value", "said"),
    [
        (
            "retrain",
            "skip_unchanged",
            "zzz",
            "retrain.skip_unchanged: must be true or false, not the text 'zzz'",
        ),
        ("score", "shadow", 0, "score.shadow: must be true or false, not the number 0"),
        ("retrain", "again", 0, "retrain.again: must be at least 1, not 0"),
    ],
)
def test_a_value_of_one_type_or_another_has_one_complaint_without_words_of_pydantic(
    section: str, key: str, value: object, said: str
) -> None:
    with pytest.raises(SpecError) as raised:
        ModelSpec.from_dict({**LEAST, section: {key: value}})
    [problem] = raised.value.problems
    assert problem.startswith(said)
    assert "literal" not in problem


def test_alternatives_are_told_together() -> None:
    with pytest.raises(SpecError) as raised:
        ModelSpec.from_dict({**LEAST, "gates": {"versus_champion": {"block": "zzz"}}})
    [problem] = raised.value.problems
    assert problem.startswith("gates.versus_champion.block: ")
    assert "; or " in problem
    assert "allowed: auto, none" in problem
