from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_mlops.domain.facts.results import Action
from airflow_mlops.testing import LoopLab, assert_promotes, assert_refuses
from foreign_models import fitted, register, save
from history import rows_of

pytestmark = pytest.mark.slow  # fits, and processes that load and bless

SPEC: dict[str, Any] = {
    "name": "flights",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "features": {"numeric": ["distance", "wind"], "categorical": ["carrier", "origin"]},
    "source": {"python": "nowhere:read"},
    "train": {"elsewhere": "notebook"},
    "gates": {"floor": {"roc_auc": 0.7}},
}


@pytest.mark.thorough  # operators are shown the same in less
def test_versions_of_a_notebook_are_judged_once_and_the_better_one_serves(
    mlops: LoopLab, tmp_path: Path
) -> None:
    rows = {key: rows_of(key) for key in ("2013-01", "2013-02", "2013-03", "2013-04")}
    client = mlops._plan(mlops.spec(SPEC), rows, None).client
    first = mlops.run_loop(SPEC, {"2013-01": rows["2013-01"]})
    assert first["2013-01"].decision is not None
    assert first["2013-01"].decision.reason == (
        f"nobody has registered a version of 'notebook' yet in MLflow at {client.tracking_uri}"
    )
    swapped = [not late for late in rows["2013-01"]["late"].to_pylist()]
    bad = save(fitted(rows["2013-01"], labels=swapped), tmp_path / "bad")
    register(client, bad, tags={"trained_until": "2013-01"})
    refused = mlops.run_loop(SPEC, {"2013-02": rows["2013-02"]})
    assert_refuses(refused, "floor.roc_auc")
    again = mlops.run_loop(SPEC, {"2013-03": rows["2013-03"]})["2013-03"].decision
    assert again is not None
    assert (again.action, again.reason) == (
        Action.KEPT, "version 1 of 'notebook' was judged at 2013-02, as version 1: refused",
    )  # fmt: skip
    good = save(fitted(rows["2013-01"]), tmp_path / "good")
    register(client, good, tags={"trained_until": "2013-03-31"})
    promoted = mlops.run_loop(SPEC, {"2013-04": rows["2013-04"]})
    assert_promotes(promoted, "2013-04")
    assert promoted.champion == "2"
    assert client.get_model_version("flights", "2").tags["mlops.origin"] == "notebook/2"


@pytest.mark.thorough  # operators are shown the same in less
def test_a_version_waits_for_rows_that_it_cannot_have_learned_from(mlops: LoopLab, tmp_path: Path) -> None:
    rows = {key: rows_of(key) for key in ("2013-01", "2013-02", "2013-03")}
    client = mlops._plan(mlops.spec(SPEC), rows, None).client
    folder = save(fitted(rows["2013-01"]), tmp_path / "model")
    register(client, folder, tags={"trained_until": "2013-02"})
    run = mlops.run_loop(SPEC, rows)
    waiting = run["2013-02"].decision
    assert waiting is not None
    assert (waiting.action, "It waits for later partitions" in waiting.reason) == (Action.KEPT, True)
    assert_promotes(run, "2013-03")


def test_a_version_that_cannot_be_taken_in_is_a_decision_too(mlops: LoopLab, tmp_path: Path) -> None:
    rows = {key: rows_of(key) for key in ("2013-01", "2013-02")}
    client = mlops._plan(mlops.spec(SPEC), rows, None).client
    folder = save(fitted(rows["2013-01"]), tmp_path / "model", "cloudpickle")
    register(client, folder, tags={"trained_until": "2013-01"})
    failed = mlops.run_loop(SPEC, rows)["2013-02"].decision
    assert failed is not None
    assert (failed.action, "train: {trust: pickle}" in failed.reason) == (Action.FAILED, True)
    trusting = SPEC | {"train": {"elsewhere": "notebook", "trust": "pickle"}}
    assert_promotes(mlops.run_loop(trusting, {"2013-02": rows["2013-02"]}))


def test_a_tag_that_is_no_end_of_time_is_a_refusal_that_names_it(mlops: LoopLab, tmp_path: Path) -> None:
    rows = {key: rows_of(key) for key in ("2013-01", "2013-02")}
    client = mlops._plan(mlops.spec(SPEC), rows, None).client
    folder = save(fitted(rows["2013-01"]), tmp_path / "model")
    number = register(client, folder, tags={"trained_until": "soon"})
    failed = mlops.run_loop(SPEC, rows)["2013-02"].decision
    assert failed is not None
    assert failed.action is Action.FAILED
    assert failed.reason.startswith(
        "The tag trained_until of version 1 of 'notebook': 'soon' is no partition"
    )
    client.set_model_version_tag("notebook", number, "trained_until", "2013-01")
    assert_promotes(mlops.run_loop(SPEC, {"2013-02": rows["2013-02"]}))
