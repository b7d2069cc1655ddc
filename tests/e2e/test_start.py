"""The story of somebody who has a folder of DAG files: start, catch up with history, and come too late with more of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_mlops.domain.facts.results import Action
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.local import home
from airflow_mlops.local.api import AirflowApi
from airflow_mlops.stores.registry import ledger
from airflow_mlops.stores.tables import tables
from history import month

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

MODEL = "parcels"
HISTORY = ("2013-01", "2013-02", "2013-03")
EARLIER = "2012-12"
# What the schedule starts as soon as the DAG is unpaused.
NEWEST = Partition.containing(datetime.now(UTC), "month").shift(-1).key

DAG = """# Airflow looks for the word DAG in a file before it reads it.
from airflow_mlops import ModelSpec, continuous_training

continuous_training(ModelSpec.from_dict({{
    "name": "parcels", "task": "classification", "target": "late", "key": ["id"], "event_time": "at",
    "partition": "month", "start": "2012-12", "source": {{"files": "{folder}/{{partition}}.csv"}},
    "train": {{"holdout": 0.25, "candidates": ["sklearn.linear_model.LogisticRegression"]}},
    "retrain": {{"when": {{"every": 1}}}},
    "alerts": {{"email": ["you@localhost"], "events": ["promotion"]}},
}}))
"""


def write_month(folder: Path, key: str) -> None:
    start = month(key).start
    rows = [
        f"{key}-{number},{start:%Y-%m}-{1 + number % 28:02} 10:00,{number % 7},{(number % 7 > 3) != (number % 11 == 0)}"
        for number in range(280)
    ]
    (folder / f"{key}.csv").write_text("\n".join(["id,at,weight,late", *rows]) + "\n")


def command(*words: str) -> list[str]:
    return [sys.executable, "-c", f"from airflow_mlops.cli.main import main; main({list(words)!r})"]


class Started:
    """What a start has printed, and where it runs."""

    def __init__(self, project: Path, process: subprocess.Popen[str]) -> None:
        self.project = project
        self.process = process
        self.said: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            self.said.append(line)
            if "Ctrl-C stops everything" in line:
                return
        raise AssertionError("".join(self.said))

    def url(self, what: str) -> str:
        line = re.search(rf"^  {what} +(http://\S+)", "".join(self.said), re.MULTILINE)
        assert line is not None
        return line[1]

    def catch_up(self, first: str, last: str, *more: str) -> subprocess.CompletedProcess[str]:
        words = (
            "catch-up",
            MODEL,
            "--from",
            first,
            "--to",
            last,
            "--dags",
            str(self.project / "dags"),
            *more,
        )
        return subprocess.run(command(*words), capture_output=True, text=True, timeout=900, check=False)

    @property
    def api(self) -> AirflowApi:
        running = home.running(home.of(self.project / "dags"))
        assert running is not None
        airflow = AirflowApi(running.url)
        airflow.log_in(running.user, running.password)
        return airflow

    @property
    def ledger(self) -> str:
        return tables.uri_of(f"file://{self.project}/.airflow-mlops/storage", MODEL, "ledger")


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    project = tmp_path_factory.mktemp("project")
    for folder in ("dags", "data"):
        (project / folder).mkdir()
    for key in (EARLIER, *HISTORY, NEWEST):
        write_month(project / "data", key)
    (project / "dags/parcels.py").write_text(DAG.format(folder=project / "data"))
    process = subprocess.Popen(
        command("start", "--dags", str(project / "dags")), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}, start_new_session=True,
    )  # fmt: skip
    try:
        yield Started(project, process)
    finally:
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(60) == 130
        finally:
            process.kill()


@pytest.fixture(scope="module")
def caught_up(started: Started) -> subprocess.CompletedProcess[str]:
    return started.catch_up(HISTORY[0], HISTORY[-1])


def test_history_is_decided_in_order_and_before_the_newest_partition(
    started: Started, caught_up: subprocess.CompletedProcess[str]
) -> None:
    assert caught_up.returncode == 0, caught_up.stdout + caught_up.stderr
    started.api.wait(lambda: ledger.decision(started.ledger, NEWEST), "the newest partition", seconds=300)
    decided = (row.partition for row in ledger.rows(started.ledger) if row.kind in ("done", "decision"))
    assert [*dict.fromkeys(decided)] == [*HISTORY, NEWEST]
    for key in HISTORY:
        assert f"{key} train success" in caught_up.stdout
    assert "promoted" in caught_up.stdout


def test_mlflow_and_the_mails_are_there_to_read(
    started: Started, caught_up: subprocess.CompletedProcess[str]
) -> None:
    assert caught_up.returncode == 0
    assert httpx.get(started.url("MLflow")).is_success
    [link] = set(re.findall(r'href="(/\d+)">([^<]*new champion)', httpx.get(started.url("mails")).text))
    page = httpx.get(started.url("mails") + link[0]).text
    assert "version 1 is the new champion" in page


def test_more_history_comes_too_late_and_is_judged_for_the_record(
    started: Started, caught_up: subprocess.CompletedProcess[str]
) -> None:
    assert caught_up.returncode == 0
    runs: Any = started.api.call("GET", f"dags/{MODEL}.ingest/dagRuns")["total_entries"]
    refused = started.catch_up(EARLIER, EARLIER)
    assert refused.returncode == 1
    assert f"a candidate of {EARLIER} can no longer become champion" in refused.stderr
    assert started.api.call("GET", f"dags/{MODEL}.ingest/dagRuns")["total_entries"] == runs
    champion = ledger.moves(started.ledger)[-1].after
    recorded = started.catch_up(EARLIER, EARLIER, "--for-the-record")
    assert recorded.returncode == 0, recorded.stdout + recorded.stderr
    decision = ledger.decision(started.ledger, EARLIER)
    assert decision is not None
    assert (decision.action, decision.before, decision.after) == (Action.RECORDED, None, None)
    assert decision.candidate not in (None, champion)
    assert ledger.moves(started.ledger)[-1].after == champion


def test_a_second_start_of_the_same_folder_says_where_the_first_is(started: Started) -> None:
    words = command("start", "--dags", str(started.project / "dags"))
    second = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert second.returncode == 1
    assert f"is running already: {started.url('Airflow')}" in second.stderr
