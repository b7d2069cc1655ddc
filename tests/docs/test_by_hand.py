"""What the documentation shows for scripts, notebooks and tasks of one's own is run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from runpy import run_path
from typing import Any

import pytest

from airflow_mlops import Evaluation, ModelSpec, Train
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.results import ModelRef, TrainedModel
from airflow_mlops.exceptions import ValidationFailed
from airflow_mlops.stages.replay import stages
from history import MODEL, History
from registry_builders import make_gate
from synthetic import FEATURES, LOGISTIC

DOCS = Path(__file__).parents[2] / "docs"
SERVER = "http://127.0.0.1:5000"
SPEC = ModelSpec(
    name=MODEL, task="classification", target="late", key=("flight",), event_time="departure", partition="month",
    source={"files": "/data/{partition}.csv"}, features=FEATURES, train=Train(candidates=(LOGISTIC,)),
)  # fmt: skip


@pytest.fixture
def history(tmp_path: Path) -> History:
    history = History(tmp_path)
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    return history


def run(
    folder: Path, page: str, name: str, changes: Mapping[str, str], values: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Run the Python of a page that imports a name of the door, as a script in a folder, and return its variables.

    :param changes: what to write in the place of addresses and names that are there for the reader.
    """
    blocks = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL)
    (code,) = [block for block in blocks if re.search(rf"from airflow_mlops import .*\b{name}\b", block)]
    for written, here in changes.items():
        assert written in code
        code = code.replace(written, here)
    (folder / "script.py").write_text(code, encoding="utf-8")
    return run_path(str(folder / "script.py"), dict(values or {}), "__main__")


def evaluated(trained: TrainedModel, champion: ModelRef | None = None) -> Evaluation:
    return Evaluation(
        model=MODEL, partition="2013-02", candidate=trained, champion=champion, metrics={}, checks=(make_gate(),),
        verdict=Verdict.PASS, leaderboard={}, reason="better",
    )  # fmt: skip


def test_a_card_is_written(history: History) -> None:
    trained = history.train(history.publish("2013-02"))
    values = {"evaluation": evaluated(trained).to_dict()}
    variables = run(
        history.folder, "model-card.md", "write_card", {SERVER: history.client.tracking_uri}, values
    )
    assert "Who will leave?" in variables["page"]
    assert "model_card.html" in {file.path for file in history.client.list_artifacts(trained.run_id)}


def test_a_version_is_reproduced(history: History) -> None:
    trained = history.train(history.publish("2013-02"))
    changes = {SERVER: history.client.tracking_uri, '"flight_delays", "4"': f'"{MODEL}", "{trained.version}"'}
    assert run(history.folder, "reproduce.md", "reproduce", changes)["reproduction"].reproduced


def test_policies_are_replayed(
    history: History, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def passed(
        plan: Any,
        spec: Any,
        place: int,
        candidates: Sequence[TrainedModel],
        champion: ModelRef | None,
        retrain: Any,
    ) -> tuple[Evaluation, float]:
        return evaluated(candidates[0], champion), 0.0

    # To judge one takes a process of its own, and so does each job.
    monkeypatch.setattr(stages, "evaluated", passed)
    monkeypatch.setattr(ModelSpec, "load", lambda path: SPEC)
    monkeypatch.chdir(history.folder)
    Path("patient.yaml").write_text("retrain: {when: {drift: 2 of 3}}\n")
    run(
        history.folder, "replay.md", "replay_policies", {"file:///data/storage": history.storage, "jobs=2": "jobs=1"}
    )  # fmt: skip
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["patient", "1"],
        ["current", "1"],
        ["never", "1"],
    ]
    assert Path("replay-flight_delays", "replay.png").exists()


@pytest.mark.parametrize(("amounts", "verdict"), [("5\n7", Verdict.PASS), ("5\n-7", Verdict.FAIL)])
def test_a_task_checks_a_frame(tmp_path: Path, amounts: str, verdict: Verdict) -> None:
    (tmp_path / "today.csv").write_text(f"amount\n{amounts}\n")
    (tmp_path / "orders.json").write_text(
        '{"name": "orders", "expectations": '
        '[{"type": "expect_column_values_to_be_between", "kwargs": {"column": "amount", "min_value": 0}}]}'
    )
    changes = {"/data/orders/today.csv": f"{tmp_path}/today.csv", "/opt/airflow/suites": str(tmp_path)}
    check = run(tmp_path, "expectations.md", "validate_frame", changes)["check_frame"].function
    if verdict is Verdict.FAIL:
        with pytest.raises(ValidationFailed, match="amount"):
            check()
    else:
        assert (check()["verdict"], check()["rows"]) == (verdict, 2)
