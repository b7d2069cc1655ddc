from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.results import Evaluation
from airflow_mlops.operators.approve import PromotionApprovalOperator
from contexts import Run, deploy, through_json
from history import History


@pytest.fixture
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch, mlflow=True)


@pytest.mark.parametrize("verdict", [Verdict.FAIL, Verdict.INCONCLUSIVE])
def test_nobody_is_asked_about_a_candidate_that_did_not_pass(history: History, verdict: Verdict) -> None:
    history.publish("2013-01")
    trained = history.train(history.publish("2013-02"))
    evaluation = Evaluation(
        model=trained.model,
        partition="2013-02",
        candidate=trained,
        champion=None,
        metrics={},
        checks=(),
        verdict=verdict,
        leaderboard={},
        reason="too weak",
    )
    given = through_json(evaluation.to_dict())
    assert (
        Run(partition="2013-02").execute(
            PromotionApprovalOperator, "approve", subject="Promote?", evaluation=given
        )
        is None
    )
