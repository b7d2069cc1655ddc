from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.spec.model import ClassGates, Gates, ModelSpec
from airflow_mlops.exceptions import SpecError

SPEC: dict[str, Any] = {
    "name": "m", "task": "classification", "target": "y", "key": ["id"], "event_time": "t", "partition": "day",
    "source": {"files": "/x/{partition}.csv"}, "classes": ["cheap", "fair", "dear"],
}  # fmt: skip


def test_a_floor_alone_is_the_floor_of_each_class() -> None:
    assert Gates.from_dict({"classes": {"recall": 0.5}}).classes == ClassGates(floor={"recall": 0.5})


def test_what_is_written_is_read_back() -> None:
    gates = Gates(classes=ClassGates(named={"dear": {"f1": 0.2}}, loss={"recall": 0.05}, min_rows=9))
    assert Gates.from_dict(gates.to_dict()) == gates


@pytest.mark.parametrize(("classes", "name"), [([1, 0], 1), ([False, True], True), ([10, 9], "10")])
def test_a_class_that_is_a_number_or_a_truth_value_is_named_as_it_is(
    classes: list[int], name: int | str
) -> None:
    gates = {"classes": {"named": {name: {"recall": 0.5}}}}
    of_each = ModelSpec.from_dict({**SPEC, "classes": classes, "gates": gates}).gates.classes
    assert of_each is not None
    assert of_each.named == {str(int(name)): {"recall": 0.5}}


@pytest.mark.parametrize(
    ("classes", "words"),
    [
        ({}, "asks nothing of any class: write a floor"),
        ({"named": {"dear": {}}}, "asks nothing of any class"),
        ({"floor": {"recal": 0.5}}, "recal"),
        ({"floor": {"recall": 1.5}}, "classes.floor.recall: must be at most 1"),
        ({"named": {"deer": {"recall": 0.5}}}, "gates.classes.named.deer: is no class; did you mean 'dear'"),
    ],
)
def test_what_cannot_be_judged_says_why(classes: dict[str, Any], words: str) -> None:
    with pytest.raises(SpecError, match=words):
        ModelSpec.from_dict({**SPEC, "gates": {"classes": classes}})


def test_values_have_no_classes_to_watch() -> None:
    watched = {"monitor": {"performance": {"classes": {"recall": 0.5}}}}
    assert ModelSpec.from_dict(SPEC | watched).monitor.performance.classes == {"recall": 0.5}
    with pytest.raises(SpecError, match=r"monitor\.performance\.classes: is for classification"):
        ModelSpec.from_dict({**SPEC, "task": "regression", "classes": [], **watched})


def test_values_have_no_classes() -> None:
    regression = {**SPEC, "task": "regression", "classes": [], "gates": {"classes": {"recall": 0.5}}}
    with pytest.raises(SpecError, match="gates.classes: is for classification; leave it out"):
        ModelSpec.from_dict(regression)
