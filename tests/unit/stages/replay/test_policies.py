from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops import __version__
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.replay import Replay
from airflow_mlops.domain.facts.results import Evaluation, ModelRef, TrainedModel
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import SpecError, TableMissing
from airflow_mlops.stages.replay import stages
from airflow_mlops.stages.replay.policies import replay_policies
from history import MODEL, History
from registry_builders import make_gate
from synthetic import FEATURES, LOGISTIC

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

MONTHS = ("2013-01", "2013-02", "2013-03")
SPEC = ModelSpec(
    name=MODEL, task="classification", target="late", key=("flight",), event_time="departure", partition="month",
    source={"files": "/data/{partition}.csv"}, features=FEATURES, train={"candidates": [LOGISTIC]},
)  # fmt: skip


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> History:
    history = History(tmp_path_factory.mktemp("history"))
    for key in MONTHS:
        history.publish(key)
    return history


@pytest.fixture
def unjudged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each candidate pass: to judge one takes a process of its own."""

    def passed(
        plan: Any,
        spec: Any,
        place: int,
        candidates: Sequence[TrainedModel],
        champion: ModelRef | None,
        retrain: Any,
    ) -> tuple[Evaluation, float]:
        evaluation = Evaluation(
            model=MODEL, partition=MONTHS[place], candidate=candidates[0], champion=champion, metrics={}, checks=(make_gate(),),
            verdict=Verdict.PASS, leaderboard={}, reason="better",
        )  # fmt: skip
        return evaluation, 0.0

    monkeypatch.setattr(stages, "evaluated", passed)


def test_files_and_names_are_replayed_and_the_report_is_written(
    history: History, tmp_path: Path, unjudged: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "each.yaml").write_text("retrain: {when: {every: 1}}\n")
    policies: list[Path | str] = [tmp_path / "each.yaml", "never"]
    options: dict[str, Any] = {"storage": history.storage, "output": tmp_path / "out", "quiet": MONTHS[2:]}
    replay = replay_policies(SPEC, policies, **options)
    assert replay.partitions == MONTHS
    assert [(each.name, each.retrainings) for each in replay.summaries] == [
        ("each", 2),
        ("never", 1),
        ("oracle", 1),
    ]
    assert {rate.policy for rate in replay.rates} == {"each", "never"}
    assert Replay.model_validate_json((tmp_path / "out" / "replay.json").read_text()) == replay
    assert (tmp_path / "out" / "replay.png").exists()
    assert (tmp_path / "out" / f"work-{__version__}" / "mlflow.db").exists()
    for name in ("trained", "evaluated", "health", "quality"):
        monkeypatch.setattr(stages, name, None)
    again = replay_policies(SPEC, policies, **options | {"oracle": False, "quiet": ()})
    assert again.points == replay.points


def test_a_part_of_the_history_can_be_named(history: History, tmp_path: Path, unjudged: None) -> None:
    span = {"first": "2013-02", "last": "2013-02"}
    replay = replay_policies(
        SPEC, ["never"], storage=history.storage, output=tmp_path / "out", oracle=False, **span
    )
    assert replay.partitions == ("2013-02",)
    with pytest.raises(TableMissing, match="from 2014-01"):
        replay_policies(SPEC, storage=history.storage, output=tmp_path / "out", first="2014-01")


def test_a_policy_that_cannot_be_read_stops_it_before_anything_is_written(
    history: History, tmp_path: Path
) -> None:
    with pytest.raises(SpecError, match="'nevr' is no built-in policy; did you mean 'never'"):
        replay_policies(SPEC, ["nevr"], storage=history.storage, output=tmp_path / "out")
    with pytest.raises(SpecError, match="missing"):
        replay_policies(SPEC, [tmp_path / "missing.yaml"], storage=history.storage, output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
