from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops.domain.spec import replay
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import SpecError

SPEC = ModelSpec.from_dict(
    {
        "name": "flights",
        "task": "classification",
        "target": "late",
        "key": ["flight"],
        "event_time": "departure",
        "partition": "month",
        "source": {"files": "/data/{partition}.csv"},
        "monitor": {"drift": {"threshold": 0.2}},
        "gates": {"floor": {"roc_auc": 0.6}},
    }
)


def policy(folder: Path, text: str, name: str = "patient.yaml") -> replay.Policy:
    path = folder / name
    path.write_text(text)
    return replay.read(path, SPEC)


def test_a_section_takes_the_place_of_the_specs_and_the_others_stay(tmp_path: Path) -> None:
    found = policy(tmp_path, "retrain:\n  when: {drift: 2 of 3}\n  cooldown: 2\n")
    assert found.name == "patient"
    assert (str(found.spec.retrain.when.drift), found.spec.retrain.cooldown) == ("2 of 3", 2)
    assert (found.spec.monitor, found.spec.gates, found.spec.train) == (SPEC.monitor, SPEC.gates, SPEC.train)


def test_a_section_is_replaced_as_a_whole(tmp_path: Path) -> None:
    found = policy(tmp_path, "monitor: {staleness: 6}")
    assert found.spec.monitor.staleness == 6
    assert found.spec.monitor.drift.threshold != SPEC.monitor.drift.threshold


def test_a_trial_can_be_tried_by_a_model_that_has_none(tmp_path: Path) -> None:
    read_policy = policy(tmp_path, "gates: {shadow: 2}")
    assert read_policy.spec.gates.shadow is not None
    assert (read_policy.spec.gates.shadow.windows, read_policy.spec.score) == (2, SPEC.score)


def test_of_training_the_window_alone_is_replaced(tmp_path: Path) -> None:
    read_policy = policy(tmp_path, "train: {window: 3}")
    assert read_policy.spec == SPEC.model_copy(update={"train": SPEC.train.model_copy(update={"window": 3})})


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("train: {seed: 3}", r"line 1.*train.seed.*no key.*window"),
        ("train:\n  window: 0", r"line 2.*train.window.*must be all, or a number of partitions"),
        ("score: {shadow: false}", r"line 1.*score.*no key.*retrain, monitor, gates, train"),
        ("retrain:\n  when: {drift: 4 of 3}", r"line 2.*retrain.when.drift.*cannot be 4 of 3"),
        ("retrain: {cooldown: 1}\nretrain: {cooldown: 2}", "given twice"),
        ("monitor:\n  performance:\n    floor: {rmse: 3}", r"line 3.*rmse judges regression"),
        ("gates: {floor: {rmse: 3}}", "rmse judges regression"),
        ("retrain: null", "has no section; write at least one of: retrain, monitor, gates, train"),
        ("", "is empty"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SpecError, match=f"(?s)patient.yaml.*{told}"):
        policy(tmp_path, text)


@pytest.mark.parametrize("name", ["oracle.yaml", "never.yaml", "-x.yaml", "a b.yaml"])
def test_a_file_must_name_its_policy(tmp_path: Path, name: str) -> None:
    with pytest.raises(SpecError, match="name"):
        policy(tmp_path, "retrain: {cooldown: 1}", name)


def test_built_in_policies_change_when_is_trained_and_nothing_else() -> None:
    current, never, every = (replay.built_in(name, SPEC).spec for name in replay.BUILT_IN)
    assert current == SPEC
    assert (never.retrain.when.every, never.retrain.when.drift, every.retrain.when.every) == (None, None, 1)
    assert never.monitor == every.monitor == SPEC.monitor
    with pytest.raises(SpecError, match="did you mean 'never'"):
        replay.built_in("nevr", SPEC)
