from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import Asset

from airflow_mlops.exceptions import UnknownPartition
from airflow_mlops.operators.announce import AnnounceOperator
from contexts import Run

ARRIVED = Asset("parcels/arrived")


def announce(*payloads: Any) -> tuple[list[str], set[str]]:
    """Return the keys that are returned, and those in the event of the outlet."""
    run = Run()
    task = AnnounceOperator(task_id="announce", outlets=[ARRIVED])
    events = [SimpleNamespace(extra={"from_trigger": True, "payload": payload}) for payload in payloads]
    context = {**run.context(task), "triggering_asset_events": {Asset("parcels/files"): events}}
    return task.execute(context), run.outlet_events[ARRIVED].partition_keys


def test_each_partition_is_announced_once() -> None:
    files = [
        {"path": f"{n}.csv", "partition": key}
        for n, key in enumerate(["2013-02", "2013-01", "2013-02", None])
    ]
    assert announce(*files) == (["2013-01", "2013-02"], {"2013-01", "2013-02"})


@pytest.mark.parametrize(
    ("payloads", "says"),
    [
        ([], "No partition is known of what started this run"),
        ([{"path": "a.csv", "partition": None}], "No partition is known of a.csv"),
        ([{"uri": "s3://a/t", "version": 3}], "No partition is known of s3://a/t"),
        (["text"], "No partition is known of what started this run"),
    ],
)
def test_new_data_of_no_partition_is_told(payloads: list[Any], says: str) -> None:
    with pytest.raises(UnknownPartition, match=says):
        announce(*payloads)
