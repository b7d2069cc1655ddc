from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops import assets
from airflow_mlops.domain.results import ScoringReport
from airflow_mlops.engines import tables
from airflow_mlops.exceptions import TableMissing
from airflow_mlops.operators.score import ScoreOperator
from contexts import Run, deploy
from history import MODEL, History

PREDICTIONS = assets.predictions(MODEL)


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch, mlflow=True)


def scored(run: Run, **changes: str) -> ScoringReport:
    report = run.execute(ScoreOperator, model=MODEL, task="classification", outlets=[PREDICTIONS], **changes)
    assert run.facts(PREDICTIONS)["scoring"] == report
    return ScoringReport.from_dict(report)


def test_a_partition_is_scored_with_the_champion_of_its_time(history: History) -> None:
    january = history.publish("2013-01")
    assert scored(Run(partition="2013-01")).rows == 0
    champion = history.crown(history.train(history.publish("2013-02")), "2013-02")
    march = history.publish("2013-03")
    report = scored(Run(partition="2013-03"))
    assert (report.rows, report.champion, report.dataset) == (march.rows, champion, march)
    assert tables.read(history.uri("predictions")).num_rows == march.rows
    replayed = scored(Run(partition="2013-01"))
    assert (replayed.rows, replayed.champion, replayed.dataset) == (0, None, january)


def test_a_run_without_a_partition_scores_the_latest_and_one_given_by_hand_goes_first(
    history: History,
) -> None:
    for key in ("2013-02", "2013-01"):
        history.publish(key)
    assert scored(Run()).partition == "2013-02"
    assert scored(Run(partition="2013-02"), partition="2013-01").partition == "2013-01"


def test_a_partition_that_was_not_published_is_not_scored() -> None:
    with pytest.raises(TableMissing, match=r"run flights.ingest first"):
        scored(Run(partition="2013-01"))
