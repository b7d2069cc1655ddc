from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pytest
import yaml

from airflow_mlops.domain.facts.tuning import Tuning
from airflow_mlops.domain.spec import grid, replay
from airflow_mlops.domain.spec.grid import Grid
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.stages.replay import planning, stages
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stages.tune import policy_file, tune
from history import MODEL, History, changed, month
from synthetic import FEATURES, LOGISTIC, make_rows

pytestmark = pytest.mark.slow  # fits: seconds each

MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04", "2013-05", "2013-06")
SPEC = ModelSpec(
    name=MODEL, task="classification", target="late", key=("flight",), event_time="departure", partition="month",
    source={"files": "/data/{partition}.csv"}, features=FEATURES, train={"candidates": [LOGISTIC]},
    monitor={"drift": {"min_rows": 100}}, gates={"versus_champion": None, "floor": {"roc_auc": 0.1}},
)  # fmt: skip
GRID = Grid({"retrain.when": ({"every": 1}, {"every": 2}), "train.window": ("all", 1)})


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    """Six months; from March on the wind delays nobody any more."""
    history = History(tmp_path_factory.mktemp("tune"))
    rows = make_rows(1200, months=6)
    for key in MONTHS:
        times, partition = rows["departure"], month(key)
        inside = pc.and_(pc.greater_equal(times, partition.start), pc.less(times, partition.end))
        part = rows.filter(inside)
        history.publish(key, part if key < "2013-03" else changed(part, wind=pc.negate(part["wind"])))
    return history


@pytest.fixture(scope="module")
def plan(history: History) -> ReplayPlan:
    return planning.make(SPEC, history.storage, history.folder / "out" / "work")


@pytest.fixture(scope="module")
def output(history: History) -> Path:
    return history.folder / "out"


@pytest.fixture(scope="module")
def tuning(plan: ReplayPlan, output: Path) -> Tuning:
    return tune.run(plan, GRID, output)


def test_a_policy_is_chosen_by_the_first_part_and_measured_on_the_rest(tuning: Tuning) -> None:
    assert (tuning.first, tuning.rest) == (MONTHS[:4], MONTHS[4:])
    assert [tried.name == "current" for tried in tuning.tried] == [True, False, False, False, False]
    chosen = tuning.of(tuning.chosen)
    close = [tried for tried in tuning.tried if tried.close]
    assert chosen in close
    assert chosen.figures.summary.retrainings == min(tried.figures.summary.retrainings for tried in close)
    assert set(tuning.figures) == {tuning.chosen, "current", "never", "every_partition"}
    assert {(beside.policy, beside.score) for beside in tuning.beside} == {
        (name, score) for name in tuning.figures if name != tuning.chosen for score in ("roc_auc", "log_loss")
    }
    assert {(beside.n, beside.interval) for beside in tuning.beside} == {(2, None)}
    assert tuning.figures["every_partition"].summary.retrainings == 2


def test_the_policy_is_a_file_that_a_replay_reads(tuning: Tuning, output: Path) -> None:
    path = output / "policy.yaml"
    policies = {each.policy.name: each.policy for each in grid.policies(GRID, SPEC)}
    policies["current"] = replay.built_in("current", SPEC)
    assert replay.read(path, SPEC).spec == policies[tuning.chosen].spec
    text = path.read_text()
    assert "The rest has 2 partitions to compare in, and an interval takes 14" in text
    for name in ("every_partition", "never"):
        assert f"#   {name}: mean roc_auc" in text
    assert Tuning.model_validate_json((output / "tune-policy.json").read_text()) == tuning


def test_each_policy_is_written_by_what_differs_from_the_defaults(tuning: Tuning) -> None:
    for each in grid.policies(GRID, SPEC):
        values = yaml.safe_load(policy_file.text(tuning, SPEC, each.policy, ("retrain", "train")))
        assert values["retrain"] == {"when": each.changes["retrain.when"]}
        assert values.get("train") == ({"window": 1} if each.changes["train.window"] == 1 else None)
    own = yaml.safe_load(policy_file.text(tuning, SPEC, replay.built_in("current", SPEC), ("retrain",)))
    assert own == {"retrain": {}}


def test_the_rest_has_no_say_in_the_choice(history: History, tuning: Tuning, plan: ReplayPlan) -> None:
    shorter = planning.make(SPEC, history.storage, plan.folder, last="2013-05")
    again = tune.run(shorter, GRID, history.folder / "shorter", partition="2013-04")
    assert again.rest == ("2013-05",)
    assert (again.tried, again.chosen) == (tuning.tried, tuning.chosen)


def test_what_was_replayed_is_not_computed_again(
    plan: ReplayPlan, tuning: Tuning, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("computed again")

    for name in ("evaluated", "monitored", "quality"):
        monkeypatch.setattr(stages, name, refuse)
    assert tune.run(plan, GRID, output) == tuning


def test_the_part_that_is_chosen_by_leaves_one_to_judge_on(plan: ReplayPlan, history: History) -> None:
    assert [tune.until(plan, partition) for partition in (None, "2013-01", "2013-05")] == [4, 1, 5]
    for wrong in ("2013-06", "2014-01"):
        with pytest.raises(
            ValueError, match=f"--choose-until {wrong}: name a partition from 2013-01 to 2013-05"
        ):
            tune.until(plan, wrong)
    alone = planning.make(SPEC, history.storage, plan.folder, last="2013-01")
    with pytest.raises(ValueError, match="2013-01 is the only partition"):
        tune.until(alone, None)


def test_a_policy_with_trials_says_what_they_take(tuning: Tuning) -> None:
    [trial] = grid.policies(Grid({"gates.shadow": (2,)}), SPEC)
    text = policy_file.text(tuning, SPEC, trial.policy, ("gates",))
    assert "# A trial in shadow also takes score: {shadow: true} in the spec." in text
    assert yaml.safe_load(text)["gates"]["shadow"]["windows"] == 2
    assert "shadow" not in policy_file.text(tuning, SPEC, replay.built_in("current", SPEC), ("gates",))
