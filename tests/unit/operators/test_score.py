from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops import assets
from airflow_mlops.domain.checks import Verdict
from airflow_mlops.domain.facts.guard import GuardReport
from airflow_mlops.domain.facts.scoring import ScoringReport
from airflow_mlops.domain.spec.score import Score
from airflow_mlops.exceptions import TableMissing
from airflow_mlops.operators.score import ScoreOperator
from airflow_mlops.stores.registry import registry
from airflow_mlops.stores.tables import tables
from contexts import Run, deploy
from history import MODEL, STIFF, History

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

PREDICTIONS = assets.predictions(MODEL)


@pytest.fixture(autouse=True)
def history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    yield from deploy(tmp_path, monkeypatch, mlflow=True)


def scored(run: Run, **changes: Any) -> ScoringReport:
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


def test_predictions_go_on_to_the_outputs_also_if_they_were_there_already(
    history: History, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_OUT", f"sqlite:///{history.folder}/out.db")
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")
    march = history.publish("2013-03")
    folder = history.folder / "out"
    asked = Score.from_dict(
        {
            "outputs": [
                {"files": f"{folder}/{{partition}}.csv"},
                {"sql": {"conn_id": "out", "table": "scores"}},
            ]
        }
    )
    assert scored(Run(partition="2013-03")).outputs == ()
    report = scored(Run(partition="2013-03"), score=asked)
    assert not report.written
    assert report.outputs == (f"{folder}/2013-03.csv", "table scores on out")
    assert len((folder / "2013-03.csv").read_text().splitlines()) == march.rows + 1


def test_a_challenger_predicts_beside_the_champion_if_it_is_asked_for(history: History) -> None:
    history.publish("2013-01")
    february = history.publish("2013-02")
    history.crown(history.train(february), "2013-02")
    other = history.put_beside(history.train(february, candidate=STIFF)).version
    march = history.publish("2013-03")
    assert scored(Run(partition="2013-03")).shadow is None
    shadow = scored(Run(partition="2013-03"), score=Score.from_dict({"shadow": True, "split": 0.5})).shadow
    assert shadow is not None
    assert (shadow.version, shadow.rows) == (other, march.rows)
    assert 0 < shadow.served < march.rows


def test_a_challenger_that_nobody_can_verify_does_not_stop_the_champion(history: History) -> None:
    history.publish("2013-01")
    history.crown(history.train(history.publish("2013-02")), "2013-02")
    strange = history.client.create_model_version(MODEL, "file:///nowhere").version
    history.client.set_registered_model_alias(MODEL, registry.CHALLENGER, strange)
    march = history.publish("2013-03")
    report = scored(Run(partition="2013-03"), score=Score.from_dict({"shadow": True}))
    assert (report.rows, report.shadow) == (march.rows, None)


def test_one_task_for_each_of_many_partitions_scores_them_in_any_order(history: History) -> None:
    history.publish("2013-01")
    champion = history.crown(history.train(history.publish("2013-02")), "2013-02")
    sizes = {key: history.publish(key).rows for key in ("2013-03", "2013-04")}
    run = Run()
    with run.dag:
        mapped = ScoreOperator.partial(task_id="score", model=MODEL, task="classification").expand(
            partition=[*sizes]
        )
    for key in ("2013-04", "2013-03"):
        report = ScoringReport.from_dict(run.execute_task(mapped.unmap({"partition": key})))
        assert (report.partition, report.rows, report.champion) == (key, sizes[key], champion)
    assert tables.read(history.uri("predictions")).num_rows == sum(sizes.values())


def test_an_alias_that_was_moved_by_hand_does_not_serve_and_is_stated_at_once(history: History) -> None:
    history.publish("2013-01")
    february = history.publish("2013-02")
    champion = history.crown(history.train(february), "2013-02")
    march = history.publish("2013-03")
    run = Run(partition="2013-03")
    scored(run)
    [statement] = run.stated
    assert GuardReport.from_dict(statement.fact).alias.verdict is Verdict.PASS
    other = history.train(february, candidate=STIFF)
    registry.set_champion(history.client, MODEL, other.version)
    run = Run(partition="2013-03")
    report = scored(run)
    assert (report.rows, report.champion) == (march.rows, champion)
    assert report.reason.endswith("moved outside of the ledger; version 1 goes on serving")
    [statement] = run.stated
    alias = GuardReport.from_dict(statement.fact).alias
    assert (alias.verdict, alias.reason) == (Verdict.FAIL, report.reason.partition("; ")[2])
    # A partition that was decided on before says nothing about the alias of today.
    history.decide("2013-03", before=champion.version, after=champion.version)
    run = Run(partition="2013-03")
    assert (scored(run).champion, run.stated) == (champion, [])
