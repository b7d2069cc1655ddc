from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from airflow_mlops.domain.facts.results import Action
from airflow_mlops.testing import (
    LoopLab,
    assert_alarms,
    assert_blocks,
    assert_promotes,
    assert_refuses,
)

SPEC: dict[str, Any] = {
    "name": "parcels",
    "task": "classification",
    "target": "late",
    "key": ["parcel"],
    "event_time": "sent",
    "partition": "month",
    "features": {"numeric": ["weight", "distance"], "categorical": ["depot"]},
    "source": {"files": "data/{partition}.parquet"},
    "validate": [
        {"expect_column_values_to_be_between": {"column": "weight", "min_value": -20, "max_value": 20}}
    ],
    "train": {"candidates": ["sklearn.linear_model.LogisticRegression"]},
    "gates": {"floor": {"roc_auc": 0.8}},
}
MONTHS = ("2024-01", "2024-02", "2024-03")

HOW_LONG = """
import pytest, sys, time
before, start = set(sys.modules), time.perf_counter()
import airflow_mlops.testing
print(time.perf_counter() - start, *sorted({name.partition(".")[0] for name in set(sys.modules) - before}))
"""


def test_the_plugin_loads_nothing_but_itself() -> None:
    output = subprocess.run(
        [sys.executable, "-c", HOW_LONG], capture_output=True, text=True, check=True
    ).stdout.split()
    assert output[1:] == ["airflow_mlops"]


def test_rows_have_all_columns_of_the_spec_and_are_the_same_each_time(mlops: LoopLab) -> None:
    spec = mlops.spec(
        SPEC,
        task="classification",
        classes=["early", "fair", "late"],
        features={"numeric": ["weight"], "dates": ["ordered"], "text": ["note"]},
        train={
            "candidates": ["sklearn.linear_model.LogisticRegression"],
            "weights": "worth",
            "groups": "customer",
        },
        gates={},
    )
    rows = mlops.rows(spec, "2024-01", 90)
    assert set(rows.column_names) == {
        "weight",
        "ordered",
        "note",
        "late",
        "parcel",
        "worth",
        "customer",
        "sent",
    }
    assert pc.value_counts(rows["late"]).to_pylist() == [
        {"values": name, "counts": 30} for name in dict.fromkeys(rows["late"].to_pylist())
    ]
    assert len(set(rows["parcel"].to_pylist())) == 90
    assert (f"{pc.min(rows['sent'])}"[:7], f"{pc.max(rows['sent'])}"[:7]) == ("2024-01", "2024-01")
    assert rows.equals(mlops.rows(spec, "2024-01", 90))
    assert not rows["weight"].equals(mlops.rows(spec, "2024-02", 90)["weight"])
    with pytest.raises(ValueError, match="'parcels' names no features"):
        mlops.rows({name: value for name, value in SPEC.items() if name != "features"}, "2024-01")


@pytest.mark.slow
def test_a_model_that_learns_is_promoted_and_one_that_cannot_is_refused(mlops: LoopLab) -> None:
    run = mlops.run_loop(SPEC, {month: mlops.rows(SPEC, month) for month in MONTHS[:2]})
    assert_promotes(run, "2024-02")
    assert run.champion == "1"
    assert run["2024-02"].decision is not None
    with pytest.raises(
        pytest.fail.Exception, match=r"Nothing was refused at 2024-02\.\n  2024-01: not trained: "
    ):
        assert_refuses(run, partition="2024-02")
    chance = mlops.spec(SPEC, name="chance")
    refused = mlops.run_loop(chance, {month: mlops.rows(chance, month, signal=0) for month in MONTHS[:2]})
    assert_refuses(refused, "floor.roc_auc")
    with pytest.raises(pytest.fail.Exception, match="blessing refused nothing, but floor.roc_auc"):
        assert_refuses(refused, "blessing")
    with pytest.raises(pytest.fail.Exception, match="Nothing was promoted"):
        assert_promotes(refused)


@pytest.mark.slow
def test_drift_alarms_while_the_champion_is_frozen(mlops: LoopLab) -> None:
    mlops.run_loop(SPEC, {month: mlops.rows(SPEC, month, 1000) for month in MONTHS[:2]})
    moved = mlops.run_loop(SPEC, {"2024-03": mlops.rows(SPEC, "2024-03", 1000, shift=3)}, frozen=True)
    assert_alarms(moved, "drift")
    decision = moved["2024-03"].decision
    assert decision is not None
    assert decision.action is Action.KEPT
    with pytest.raises(pytest.fail.Exception, match="performance raised no alarm, but drift"):
        assert_alarms(moved, "performance")
    # Two of three columns drift, and the spec lets them.
    lenient = mlops.spec(SPEC, monitor={"drift": {"columns": 0.9}})
    let = mlops.run_loop(lenient, {"2024-04": mlops.rows(SPEC, "2024-04", 1000, shift=3)}, frozen=True)
    assert_alarms(let, "drift.weight")
    with pytest.raises(pytest.fail.Exception, match="drift raised no alarm, but drift"):
        assert_alarms(let, "drift")


@pytest.mark.slow
def test_bad_rows_are_blocked_and_files_of_the_spec_are_read(
    mlops: LoopLab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    pq.write_table(mlops.rows(SPEC, "2024-01", shift=100), "data/2024-01.parquet")
    pq.write_table(mlops.rows(SPEC, "2024-02"), "data/2024-02.parquet")
    assert mlops.has_files(SPEC, MONTHS[:2])
    assert not mlops.has_files(SPEC, MONTHS)
    run = mlops.run_loop(SPEC, MONTHS)
    assert_blocks(run, "expect_column_values_to_be_between", "2024-01")
    assert "there is no file data/2024-03.parquet" in run["2024-03"].problem
    with pytest.raises(pytest.fail.Exception, match="No expectation stopped a partition at 2024-03"):
        assert_blocks(run, partition="2024-03")
    with pytest.raises(pytest.fail.Exception, match="All partitions were published at 2024-02"):
        assert_blocks(run, partition="2024-02")
    with pytest.raises(KeyError, match="2023-12 was not run; these were: 2024-01, 2024-02, 2024-03"):
        run["2023-12"]
    with pytest.raises(ValueError, match="the source of 'parcels' is no file: give run_loop rows"):
        mlops.run_loop(mlops.spec(SPEC, source={"python": "elsewhere:read"}), MONTHS)


@pytest.mark.slow
@pytest.mark.thorough
def test_labels_come_late_by_the_delay_of_the_test(mlops: LoopLab) -> None:
    spec = mlops.spec(SPEC, labels={"source": {"python": "elsewhere:labels"}})
    rows = {month: mlops.rows(spec, month) for month in MONTHS}
    labels = {month: table.select(["parcel", "sent", "late"]) for month, table in rows.items()}
    data = {month: table.drop_columns(["late"]) for month, table in rows.items()}
    at_once = mlops.run_loop(spec, data, labels=labels)
    assert_promotes(at_once, "2024-02")
    later = mlops.spec(spec, name="later")
    delayed = mlops.run_loop(later, data, labels=labels, delay="P40D")
    decision = delayed["2024-02"].decision
    assert decision is not None
    assert decision.action is Action.KEPT  # no label of February counts yet
