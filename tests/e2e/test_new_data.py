"""Watched files on a real triggerer, which is killed, and a run for each of their partitions."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.engines import tables
from airflow_mlops.local.airflow import COMPONENTS, LocalAirflow

DAGS = """
from airflow.sdk import DAG, Asset, AssetWatcher, PartitionedAssetTimetable

from airflow_mlops.hooks.sources import FileSource
from airflow_mlops.operators.announce import AnnounceOperator
from airflow_mlops.operators.ingest import IngestOperator
from airflow_mlops.sensors.partition import NewPartitionSensor
from airflow_mlops.triggers.new_data import NewDataTrigger

PATH = "{folder}/{{partition}}.csv"
FILES = Asset("parcels/files", watchers=[AssetWatcher("files", NewDataTrigger(path=PATH, settle=1, interval=0.5))])
ARRIVED = Asset("parcels/arrived")

with DAG("parcels_arrive", schedule=[FILES], catchup=False):
    AnnounceOperator(task_id="announce", outlets=[ARRIVED])

with DAG("parcels_ingest", schedule=PartitionedAssetTimetable(assets=ARRIVED), catchup=False):
    wait = NewPartitionSensor(task_id="wait", source=FileSource(PATH), grain="month", deferrable=True, poke_interval=1)
    wait >> IngestOperator(
        task_id="ingest", source=FileSource(PATH), dataset="parcels", key=["id"], event_time="at", grain="month"
    )
"""

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAirflow]:
    home = tmp_path_factory.mktemp("watched")
    (home / "dags").mkdir()
    (home / "files").mkdir()
    (home / "dags" / "parcels.py").write_text(DAGS.format(folder=home / "files"))
    (home / "files" / "2012-12.csv").write_text("id,at\n1,2012-12-05\n")
    settings = {"AIRFLOW__MLOPS__STORAGE": f"file://{home}/storage"}
    with LocalAirflow(home / "airflow", home / "dags", settings=settings) as airflow:
        yield airflow


def write(airflow: LocalAirflow, key: str) -> None:
    (airflow.home.parent / "files" / f"{key}.csv").write_text(f"id,at\n1,{key}-05\n")


def told(airflow: LocalAirflow) -> Counter[str]:
    """Count the events of each file."""
    events = airflow.call("GET", "assets/events", params={"limit": 100})["asset_events"]
    payloads = [event["extra"]["payload"] for event in events if event["extra"].get("from_trigger")]
    return Counter(Path(payload["path"]).stem for payload in payloads)


def remembers(airflow: LocalAirflow, count: int) -> bool:
    """Tell whether the watcher has noted so many files as told."""
    [asset] = airflow.call("GET", "assets", params={"name_pattern": "parcels/files"})["assets"]
    values = [
        str(each["value"])
        for each in airflow.call("GET", f"assets/{asset['id']}/state-store")["asset_state_store"]
    ]
    return any(len(value.split()) == count for value in values)


def runs(airflow: LocalAirflow) -> dict[str, str]:
    """Return the state of each partition's ingest."""
    answer: list[dict[str, Any]] = airflow.call("GET", "dags/parcels_ingest/dagRuns")["dag_runs"]
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
        each.partition for each in tables.versions(f"file://{airflow.home.parent}/storage/parcels/data")
    }
    assert published == {"2013-01", "2013-02"}
