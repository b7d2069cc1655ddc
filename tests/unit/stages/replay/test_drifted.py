from __future__ import annotations

from pathlib import Path

import pytest

from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.replay import NEVER, built_in
from airflow_mlops.stages.replay import compare, planning, workers
from history import MODEL, History, shifted
from synthetic import FEATURES, LOGISTIC

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("blessed_here")]


@pytest.mark.parametrize(
    ("reference", "floor", "april"),
    [
        ("training", {}, Verdict.FAIL),
        ("seen", {}, Verdict.PASS),
        # The champion does not do well on what it has seen.
        ("seen", {"roc_auc": 0.999}, Verdict.FAIL),
    ],
)
def test_a_wind_that_does_no_harm_is_told_once(
    tmp_path: Path, reference: str, floor: dict[str, float], april: Verdict
) -> None:
    history = History(tmp_path)
    for key in ("2013-01", "2013-02"):
        history.publish(key)
    for key in ("2013-03", "2013-04"):
        history.publish(key, shifted(key))
    spec = ModelSpec(
        name=MODEL, task="classification", target="late", key=("flight",), event_time="departure", partition="month",
        source={"files": "/data/{partition}.csv"}, features=FEATURES, train={"candidates": [LOGISTIC]},
        monitor={
            "drift": {"min_rows": 100, "columns": 0.2, "reference": reference}, "performance": {"floor": floor, "min_rows": 10},
        },
    )  # fmt: skip
    plan = planning.make(spec, (tmp_path / "storage").as_uri(), tmp_path / "work")
    with workers.pool(1) as pool:
        replay = compare.compare(pool, plan, [built_in(NEVER, spec)], oracle=False)
    assert [point.drift for point in replay.points[NEVER]][2:] == [Verdict.FAIL, april]
