from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.spec import grid
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import SpecError

VALUES: dict[str, Any] = {
    "name": "flights",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "source": {"files": "/data/{partition}.csv"},
    "gates": {"floor": {"roc_auc": 0.6}},
}
SPEC = ModelSpec.from_dict(VALUES)


def read(folder: Path, text: str) -> grid.Grid:
    path = folder / "grid.yaml"
    path.write_text(text)
    return grid.read(path, SPEC)


def test_each_combination_is_a_policy_and_keeps_the_rest_of_the_spec(tmp_path: Path) -> None:
    lists = (
        "retrain.when.performance: [1 of 1, 2 of 3]\nretrain.again: [null, growing]\ntrain.window: [all, 3]\n"
    )
    combinations = grid.policies(read(tmp_path, lists), SPEC)
    assert len(combinations) == 8
    assert len({combination.policy.name for combination in combinations}) == 8
    last = combinations[-1]
    assert last.changes == {
        "retrain.when.performance": "2 of 3",
        "retrain.again": "growing",
        "train.window": 3,
    }
    assert (str(last.policy.spec.retrain.when.performance), last.policy.spec.train.window) == ("2 of 3", 3)
    assert str(last.policy.spec.retrain.when.drift) == "2 of 3"
    assert last.policy.spec.gates == SPEC.gates
    # As the spec has them by itself.
    assert [each.policy.name for each in combinations].count("current") == 1


def test_a_value_may_be_a_whole_section(tmp_path: Path) -> None:
    [only] = grid.policies(read(tmp_path, "retrain.when: [{every: 2}]"), SPEC)
    assert (only.policy.spec.retrain.when.every, only.policy.spec.retrain.when.drift) == (2, None)


def test_a_policy_has_the_same_name_in_any_grid(tmp_path: Path) -> None:
    [alone] = grid.policies(read(tmp_path, "retrain.cooldown: [2]"), SPEC)
    beside = grid.policies(read(tmp_path, "retrain.cooldown: [1, 2]"), SPEC)
    assert alone.policy in [each.policy for each in beside]


def test_combinations_that_cannot_differ_are_tried_once() -> None:
    combinations = grid.policies(grid.default(SPEC), SPEC)
    intervals = [each.changes for each in combinations if each.changes["retrain.when"] == {"every": 3}]
    assert {changes["retrain.again"] for changes in intervals} == {None}
    assert len(combinations) == (2 * 2 + 1) * 2 * 2


def test_the_newest_defaults_are_among_the_default_grid() -> None:
    newest = ModelSpec.from_dict({**VALUES, "defaults": 2})
    assert [each.policy.name for each in grid.policies(grid.default(newest), newest)].count("current") == 1


def test_the_default_grid_fits_what_the_spec_has() -> None:
    tested = ModelSpec.from_dict({**VALUES, "monitor": {"performance": {"chance": 0.05}}})
    assert grid.default(tested).values["retrain.when"][0] == {"performance": "1 of 1", "growth": 4}
    assert grid.default(SPEC).values["retrain.when"][0] == {"performance": "2 of 3", "growth": 4}
    ungated = ModelSpec.from_dict({**VALUES, "gates": {"versus_champion": None}, "train": {"window": 4}})
    values = grid.default(ungated).values
    assert "gates.versus_champion.margin" not in values
    assert values["train.window"] == ("all", 4)
    numbers = ModelSpec.from_dict({**VALUES, "task": "regression", "target": "delay", "gates": {}})
    assert grid.default(numbers).values["gates.versus_champion.margin"] == (0.0,)
    assert grid.policies(grid.default(numbers), numbers)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("retrian.again: [null]", r"line 1, retrian.again: cannot be varied; did you mean 'retrain.again'\?"),
        ("train.seed: [1, 2]", r"line 1, train.seed: cannot be varied.*or train.window"),
        (
            "retrain.again: growing",
            r"line 1, retrain.again: must be a list of values to try, such as \[growing\]",
        ),
        ("retrain.again: []", "has no value to try; name one, or leave the key out"),
        ("retrain.again:\n  - growing\n  - grwing", r"line 3, retrain.again\[1\]: .*grwing"),
        ("retrain.cooldown: [1, 1]", r"retrain.cooldown\[1\]: 1 is listed twice"),
        ("retrain.when.performance: [4 of 3]", r"retrain.when.performance\[0\]: cannot be 4 of 3"),
        ("retrain.when.performnce: [1 of 1]", r"performnce.*is no key; did you mean 'performance'"),
        ("retrain.when.performance.k: [1]", "lies within retrain.when.performance, which is no section"),
        (
            "retrain.when: [{every: 1}]\nretrain.when.drift: [1 of 1]",
            "lies within retrain.when, which is varied",
        ),
        ("gates.floor: [{rmse: 3}]", r"line 1, gates.floor\[0\]: gates.floor.rmse: rmse judges regression"),
        ("train.window: [0]", r"train.window\[0\]: must be all, or a number of partitions"),
        ("retrain.cooldown: [1]\nretrain.cooldown: [2]", "given twice"),
        ("retrain.cooldown: [" + ", ".join(map(str, range(201))) + "]", "201 combinations, and at most 200"),
    ],
)
def test_what_is_wrong_is_told_with_its_key_and_what_to_do(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(SpecError, match=f"(?s)grid.yaml.*{told}"):
        read(tmp_path, text)


def test_combinations_that_do_not_fit_are_left_out_if_others_of_their_values_do(tmp_path: Path) -> None:
    concept = "monitor.performance.concept: [null, 0.002]\nretrain.when.concept: [null, 1 of 1]\n"
    combinations = grid.policies(read(tmp_path, concept), SPEC)
    assert [tuple(each.changes.values()) for each in combinations] == [
        (None, None),
        (0.002, None),
        (0.002, "1 of 1"),
    ]
    with pytest.raises(SpecError, match=r"retrain.when.concept\[0\]: needs monitor"):
        read(tmp_path, "monitor.performance.concept: [null]\nretrain.when.concept: [1 of 1]\n")
