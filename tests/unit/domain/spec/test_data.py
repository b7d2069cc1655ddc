"""Features of text in a spec."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.spec.data import TextFeature
from airflow_mlops.domain.spec.model import Features, ModelSpec
from airflow_mlops.exceptions import SpecError


def make_spec(features: dict[str, Any]) -> ModelSpec:
    values = {
        "name": "complaints",
        "task": "classification",
        "target": "topic",
        "key": ["complaint"],
        "event_time": "received",
        "partition": "day",
        "source": {"sql": {"conn_id": "db", "query": "select * from complaints where day = :partition"}},
        "features": features,
    }
    return ModelSpec.from_dict(values)


def test_a_text_is_named_alone_or_with_its_options() -> None:
    spec = make_spec({"text": ["subject", {"column": "comment", "ngrams": 2}]})
    assert spec.features is not None
    assert spec.features.text == (TextFeature(column="subject"), TextFeature(column="comment", ngrams=2))
    assert spec.features.names == ("subject", "comment")
    assert spec.features.types == {"subject": "string", "comment": "string"}
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_texts_come_last_so_that_former_columns_keep_their_places() -> None:
    features = Features(numeric=("a",), categorical=("b",), dates=("c",), text=("d",))  # type: ignore[arg-type]
    assert features.names == ("a", "b", "c", "d")


@pytest.mark.parametrize(
    ("features", "problem"),
    [
        ({"text": ["comment"], "categorical": ["comment"]}, "'comment' is also listed under categorical"),
        ({"text": ["comment", {"column": "comment"}]}, "features.text[1]: 'comment' is listed twice"),
        ({"text": ["topic"]}, "features.text[0]: 'topic' is the target"),
        ({"text": [{"column": "comment", "ngrams": 4}]}, "ngrams"),
        ({"text": [{"column": "comment", "max_features": 2_000_000}]}, "max_features"),
        ({"text": [{"columns": "comment"}]}, "did you mean 'column'"),
        ({"text": [7]}, "features.text[0]"),
        ({"missing": "indicate"}, "lists no column"),
        ({"numeric": ["orders"], "missing": "drop"}, "features.missing"),
    ],
)
def test_what_is_no_text_is_named(features: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as refused:
        make_spec(features)
    assert problem in str(refused.value)
