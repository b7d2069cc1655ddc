"""The window of a training in a spec: one, or several to choose from."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_mlops.domain.facts.recipe import TrainingConfig
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.windows import of_text, phrase, spans, text
from airflow_mlops.exceptions import SpecError

VALUES: dict[str, Any] = {
    "name": "flights",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "day",
    "source": {"files": "/data/{partition}.csv"},
    "features": {"numeric": ["wind"]},
}


def make_spec(window: Any, **train: Any) -> ModelSpec:
    return ModelSpec.from_dict({**VALUES, "train": {"window": window, **train}})


def test_several_windows_are_kept_longest_first() -> None:
    spec = make_spec([3, "all", 12])
    assert spec.train.window == ("all", 12, 3)
    assert ModelSpec.from_dict(spec.to_dict()) == spec
    assert TrainingConfig.of(spec).window == ("all", 12, 3)


@pytest.mark.parametrize("window", ["all", 3])
def test_a_single_window_is_written_as_before(window: Any) -> None:
    assert make_spec(window).to_dict()["train"]["window"] == window
    assert (of_text(text(window)), text(window), phrase(window)) == (window, str(window), str(window))


@pytest.mark.parametrize(
    ("window", "complaint"),
    [
        (["all"], "train.window: must have several windows to choose from, each once, such as [all, 3]"),
        (
            ["all", 3, 3],
            "train.window: must have several windows to choose from, each once, such as [all, 3]",
        ),
        (
            ["all", 1],
            "the newest one says how good the window is; not the number 1",
        ),
        (
            "some",
            "train.window: must be all, or a number of partitions from 1, not the text 'some'",
        ),
    ],
)
def test_a_window_that_cannot_be_chosen_is_refused(window: Any, complaint: str) -> None:
    with pytest.raises(SpecError) as raised:
        make_spec(window)
    assert complaint in str(raised.value)


def test_models_of_elsewhere_have_one_window() -> None:
    assert make_spec(3, elsewhere="theirs").train.window == 3
    with pytest.raises(SpecError, match=r"train\.window: is chosen by fits"):
        make_spec(["all", 3], elsewhere="theirs")


def test_a_template_has_the_windows_in_one_word() -> None:
    assert text(("all", 12, 3)) == "all,12,3"
    assert of_text("all,12,3") == ("all", 12, 3)
    assert (of_text("7"), of_text(7), of_text(["all", 3])) == (7, 7, ("all", 3))
    assert spans(("all", 3)) == ("all", 3)
    assert phrase(("all", 12, 3)) == "all, 12 or 3, whichever predicts the newest training partition best"


def test_only_probabilities_are_recalibrated() -> None:
    assert make_spec("all", recalibrate=True).train.recalibrate
    with pytest.raises(
        SpecError, match=r"train\.recalibrate: is of probabilities, and a number has none; leave it out"
    ):
        ModelSpec.from_dict({**VALUES, "task": "regression", "train": {"recalibrate": True}})
