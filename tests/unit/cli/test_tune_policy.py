from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops import config
from airflow_mlops.cli import tune_policy
from airflow_mlops.domain.facts.tuning import Tuning
from history import MODEL, History

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

SPEC = """
name: flights
task: classification
target: late
key: [flight]
event_time: departure
partition: month
source: {files: "/data/{partition}.csv"}
features: {numeric: [distance, wind], categorical: [carrier, origin]}
train: {candidates: [sklearn.linear_model.LogisticRegression]}
monitor: {drift: {min_rows: 100}}
"""
MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[History]:
    history = History(tmp_path)
    monkeypatch.setenv("AIRFLOW__MLOPS__STORAGE", history.storage)
    config.storage.cache_clear()
    (tmp_path / "dags" / "models").mkdir(parents=True)
    (tmp_path / "dags" / "models" / f"{MODEL}.yaml").write_text(SPEC)
    monkeypatch.setattr("airflow.settings.DAGS_FOLDER", str(tmp_path / "dags"))
    monkeypatch.chdir(tmp_path)
    yield history
    config.storage.cache_clear()


def mlops(model: str = MODEL, **options: Any) -> None:
    usual = {
        "grid": None,
        "choose_until": None,
        "first": None,
        "last": None,
        "jobs": 1,
        "output": None,
        "json": False,
    }
    tune_policy.tune_policy(Namespace(model=model, **usual | options))


def test_a_policy_is_chosen_and_printed_and_written_and_the_spec_stays(
    store: History, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in MONTHS:
        store.publish(key)
    # Two partitions with a model and labels are the least to choose by, and these months have no more.
    monkeypatch.setattr("airflow_mlops.stages.tune.choice.LEAST", 1)
    (tmp_path / "grid.yaml").write_text("retrain.when: [{every: 1}]\ntrain.window: [all, 1]\n")
    mlops(grid="grid.yaml", choose_until="2013-03", jobs=2)
    out = capsys.readouterr().out
    assert "flights: chosen by 2013-01 to 2013-03, of 3 policies." in out
    first, _, others = out.partition("of 3 policies.")[2].partition("On the rest")
    rest, _, against = others.partition("* against")
    assert "when {every: 1}, window 1" in " ".join(first.split())
    assert "every_partition" in rest
    assert "too few" in against
    assert "interval takes 14" in out
    assert max(len(line) for line in out.splitlines() if "|" in line) <= 80
    assert (tmp_path / "dags" / "models" / f"{MODEL}.yaml").read_text() == SPEC
    assert "retrain:" in Path("replay-flights/policy.yaml").read_text()
    written = json.loads(Path("replay-flights/tune-policy.json").read_text())
    mlops(grid="grid.yaml", choose_until="2013-03", json=True)
    assert json.loads(capsys.readouterr().out) == written


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": "trains"}, "There is no spec trains"),
        ({"grid": "missing.yaml"}, "missing.yaml"),
        ({"jobs": 0}, "at least 1"),
        ({"choose_until": "2014-01"}, "--choose-until 2014-01: name a partition from 2013-01 to 2013-01"),
        ({"last": "2013-01"}, "2013-01 is the only partition"),
        ({"last": "2012-01"}, "No partition of 'flights'"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(store: History, options: dict[str, Any], told: str) -> None:
    for key in MONTHS[:2]:
        store.publish(key)
    with pytest.raises(SystemExit, match=told):
        mlops(**options)
    assert not Path("replay-flights/policy.yaml").exists()


def tuning_of(interval: tuple[float, float] | None, changes: dict[str, Any]) -> Tuning:
    """A choice between the spec's policy and another one."""
    summary = {
        "name": "x", "served": 20, "retrainings": 1, "promotions": 1, "refused": 0, "rollbacks": 0, "alarms": 0, "drift_alarms": 0,
        "performance_alarms": 0, "mean": 0.7, "worst": 0.6, "worst_partition": "2013-01", "degraded": None, "degraded_days": None,
        "seconds": 1.0,
    }  # fmt: skip
    figures = {"summary": summary, "proper": 0.5}
    chosen = "grid-1" if changes else "current"
    tried = [{"name": "current", "figures": figures, "behind": 0.0, "noise": 0.0, "close": True}]
    if changes:
        tried.append({**tried[0], "name": "grid-1", "changes": changes})
    beside = {"policy": "current", "score": "roc_auc", "gain": -0.1, "interval": interval, "n": 20}
    return Tuning.from_dict(
        {
            "model": "flights", "metric": "roc_auc", "proper": "log_loss", "first": ["2013-01"], "rest": ["2013-02"], "tried": tried,
            "best": chosen, "chosen": chosen, "figures": {chosen: figures}, "beside": [beside] if changes else [],
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("interval", "changes", "told"),
    [
        ((-0.2, -0.05), {"retrain.again": "growing"}, "keep the spec as it is"),
        ((-0.2, 0.05), {"retrain.again": "growing"}, "taken over by hand"),
        (None, {"retrain.again": "growing"}, "taken over by hand"),
        (None, {}, "there is nothing to change"),
    ],
)
def test_what_follows_is_told_by_what_the_rest_has_shown(
    interval: tuple[float, float] | None,
    changes: dict[str, Any],
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from rich.console import Console

    tune_policy._print(Console(), tuning_of(interval, changes), Path("out"))
    assert told in capsys.readouterr().out.replace("\n    ", " ")
