from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from airflow_mlops.cli.doctor import cluster
from airflow_mlops.cli.doctor.diagnosis import Condition
from airflow_mlops.local.airflow import free_port

Configure = Callable[[str, str], None]


def test_without_a_cluster_there_is_nothing_to_look_at(configure: Configure) -> None:
    configure("dask_scheduler", "")
    (diagnosis,) = cluster.look()
    assert diagnosis.status is Condition.SKIPPED


def test_a_package_that_is_missing_is_named(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    configure("dask_scheduler", "tcp://127.0.0.1:9")
    monkeypatch.setitem(sys.modules, "distributed", None)
    (diagnosis,) = cluster.look()
    assert diagnosis.status is Condition.FAIL
    assert "pip install 'airflow-mlops[dask]'" in diagnosis.fix


@pytest.mark.slow
def test_a_scheduler_that_is_away_is_named(configure: Configure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster, "_SECONDS", 1)
    address = f"tcp://127.0.0.1:{free_port()}"
    configure("dask_scheduler", address)
    (diagnosis,) = cluster.look()
    assert diagnosis.status is Condition.FAIL
    assert diagnosis.observation.startswith(f"The scheduler at {address} does not answer: ")


@pytest.mark.slow
def test_workers_are_asked_for_their_versions(configure: Configure) -> None:
    from distributed import LocalCluster

    with LocalCluster(n_workers=0, threads_per_worker=1, processes=False, dashboard_address=None) as dask:
        configure("dask_scheduler", dask.scheduler_address)
        (diagnosis,) = cluster.look()
        assert (diagnosis.status, "has no worker" in diagnosis.observation) == (Condition.WARN, True)
        dask.scale(1)
        dask.wait_for_workers(1, timeout=30)
        (diagnosis,) = cluster.look()
        assert diagnosis.status is Condition.PASS, diagnosis


def test_workers_with_other_versions_are_named() -> None:
    workers = {"tcp://a": cluster.versions(), "tcp://b": cluster.versions() | {"pandas": "2.0"}}
    diagnosis = cluster.compare("The scheduler", workers)
    assert diagnosis.status is Condition.WARN
    assert "pandas 2.0 (here " in diagnosis.observation
