"""Watched files on a real triggerer, which is killed, and a run for each of their partitions."""

from __future__ import annotations

import os
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.local.airflow import COMPONENTS, LocalAirflow
from airflow_mlops.stores.tables import tables
from deployment import Deployment

DAGS = """
from airflow.sdk import DAG, Asset, AssetWatcher, PartitionedAssetTimetable

from airflow_mlops.hooks.sources import FileSource
from airflow_mlops.operators.announce import AnnounceOperator
from airflow_mlops.operators.ingest import IngestOperator
from airflow_mlops.sensors.partition import NewPartitionSensor
from airflow_mlops.triggers.new_data import NewDataTrigger

PATH = "{folder}/{{partition}}.csv"
FILES = Asset("letters/files", watchers=[AssetWatcher("files", NewDataTrigger(path=PATH, settle=1, interval=0.5))])
ARRIVED = Asset("letters/arrived")

with DAG("letters_arrive", schedule=[FILES], catchup=False):
    AnnounceOperator(task_id="announce", outlets=[ARRIVED])

with DAG("letters_ingest", schedule=PartitionedAssetTimetable(assets=ARRIVED), catchup=False):
    wait = NewPartitionSensor(task_id="wait", source=FileSource(PATH), grain="month", deferrable=True, poke_interval=1)
    wait >> IngestOperator(
        task_id="ingest", source=FileSource(PATH), dataset="letters", key=["id"], event_time="at", grain="month"
    )
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def airflow(deployment: Deployment) -> LocalAirflow:
    folder = deployment.home / "letters"
    folder.mkdir()
    (folder / "2012-12.csv").write_text("id,at\n1,2012-12-05\n")
    deployment.deploy({"letters.py": DAGS.format(folder=folder)}, "letters_arrive", "letters_ingest")
    return deployment.airflow


def write(airflow: LocalAirflow, key: str) -> None:
    (airflow.home.parent / "letters" / f"{key}.csv").write_text(f"id,at\n1,{key}-05\n")


def told(airflow: LocalAirflow) -> Counter[str]:
    """Count the events of each file."""
    events = airflow.call("GET", "assets/events", params={"limit": 100, "asset_id": asset_id(airflow)})[
        "asset_events"
    ]
    payloads = [event["extra"]["payload"] for event in events if event["extra"].get("from_trigger")]
    return Counter(Path(payload["path"]).stem for payload in payloads)


def remembers(airflow: LocalAirflow, count: int) -> bool:
    """Tell whether the watcher has noted so many files as told."""
    kept = airflow.call("GET", f"assets/{asset_id(airflow)}/state-store")["asset_state_store"]
    return any(len(str(each["value"]).split()) == count for each in kept)


def asset_id(airflow: LocalAirflow) -> int:
    [asset] = airflow.call("GET", "assets", params={"name_pattern": "letters/files"})["assets"]
    return int(asset["id"])


def runs(airflow: LocalAirflow) -> dict[str, str]:
    """Return the state of each partition's ingest."""
    answer: list[dict[str, Any]] = airflow.call("GET", "dags/letters_ingest/dagRuns")["dag_runs"]
    return {run["partition_key"]: run["state"] for run in answer}


def kill_triggerer(airflow: LocalAirflow) -> None:
    process = airflow.processes.pop("triggerer")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_each_file_starts_its_partition_once_although_the_triggerer_is_killed(airflow: LocalAirflow) -> None:
    airflow.wait(lambda: remembers(airflow, 1), "the watcher to look", seconds=120)
    write(airflow, "2013-01")
    airflow.wait(lambda: remembers(airflow, 2), "the first file to be told", seconds=60)
    kill_triggerer(airflow)
    write(airflow, "2013-02")
    airflow._start("triggerer", COMPONENTS["triggerer"])
    airflow.wait(lambda: remembers(airflow, 3), "the second file to be told", seconds=120)
    done = {"2013-01": "success", "2013-02": "success"}
    airflow.wait(lambda: runs(airflow) == done, "the partitions to be ingested", seconds=120)
    # Only now: Airflow's list of events fails while a run that one of them has started is queued.
    assert told(airflow) == {"2013-01": 1, "2013-02": 1}
    published = {
        each.partition for each in tables.versions(f"file://{airflow.home.parent}/storage/letters/data")
    }
    assert published == {"2013-01", "2013-02"}
