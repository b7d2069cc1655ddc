"""The page about plans shows what is printed, and the options and exit codes that there are."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from airflow_mlops.cli import plan
from airflow_mlops.cli.commands.work import work
from airflow_mlops.domain.facts.preview import Preview
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.pipelines.differences import task_changes
from airflow_mlops.stages.preview import meaning

PAGE = (Path(__file__).parents[2] / "docs" / "plan.md").read_text(encoding="utf-8")
SPEC: dict[str, Any] = {
    "name": "flights",
    "task": "classification",
    "target": "late",
    "key": ["flight"],
    "event_time": "departure",
    "partition": "month",
    "source": {"files": "/data/{partition}.parquet"},
    "features": {"numeric": ["distance", "wind"]},
    "gates": {"floor": {"roc_auc": 0.7}},
}


def test_the_example_is_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    before = ModelSpec.from_dict(SPEC)
    features = {"numeric": ["distance", "wind", "humidity"]}
    after = ModelSpec.from_dict(SPEC | {"features": features, "gates": {"floor": {"roc_auc": 0.75}}})
    outcome = Preview(
        model="flights",
        against="the spec in force since 2013-01",
        compared=True,
        changes=meaning.differences(meaning.values(before), meaning.values(after)),
        tasks=task_changes(before, after),
        trains_at="2013-04",
        trains=False,
    )
    plan._print(Console(width=80, no_color=True), outcome)
    (example,) = re.findall(
        r"```console\n\$ airflow-mlops plan [^\n]*flights.yaml\n(.*?)```", PAGE, re.DOTALL
    )
    assert capsys.readouterr().out == example


def test_options_and_exit_codes_are_those_of_the_command() -> None:
    command = next(command for command in work() if command.name == "plan")
    flags = {flag for argument in command.arguments for flag in argument.flags if flag.startswith("--")}
    assert set(re.findall(r"--[a-z][a-z-]*", PAGE)) == flags
    codes = re.findall(r"^\| (\d) \|", PAGE, re.MULTILINE)
    assert codes == ["0", "1", str(plan.CHANGES), str(plan.BREAKS)]
