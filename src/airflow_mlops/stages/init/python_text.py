"""The Python files of a model, and the workflow that checks them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

_DAG = '''"""The five DAGs of the model in models/{name}.yaml."""

from __future__ import annotations

from airflow_mlops import ModelSpec, continuous_training

continuous_training(ModelSpec.load("models/{name}.yaml"))
'''
_TEST = '''"""Tests of the model {name}: `pytest {tests}`."""

from __future__ import annotations

from pathlib import Path

{packages}

SPEC = Path(__file__).parent / "{spec}"
{partitions}

def test_the_spec_is_valid() -> None:
    spec = ModelSpec.load(SPEC)
    assert spec.name == "{name}"
    assert spec.target == {target}
    assert spec.target not in spec.features.names
'''
_LOOP_TEST = """

def test_the_first_partitions_go_through_the_loop(mlops: LoopLab) -> None:
    if not mlops.has_files(SPEC, PARTITIONS):
        pytest.skip("the data is not on this machine")
    run = mlops.run_loop(SPEC, PARTITIONS)
    assert not any(step.problem for step in run.steps), run
"""
_WORKFLOW = """# Checks every model of this repository; written by `airflow-mlops init --ci`.
name: models
on: [push, pull_request]
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {{python-version: "3.12"}}
      - run: pip install airflow-mlops pytest
      - run: for spec in {specs}/*.yaml; do airflow-mlops spec check "$spec" --no-data || exit 1; done
      - run: pytest {tests}
"""


def dag(name: str) -> str:
    """Return the DAG file of a model."""
    return _DAG.format(name=name)


def test(name: str, target: str, spec: Path, tests: Path, partitions: Sequence[str]) -> str:
    """Return the first tests of a model.

    :param tests: folder of tests.
    :param partitions: keys of partitions whose files a test reads; none if there are no files.
    """
    where = Path(os.path.relpath(spec.absolute(), tests.absolute())).as_posix()
    quoted = {
        "target": json.dumps(target, ensure_ascii=False),
        "name": name,
        "spec": where,
        "tests": tests.name,
    }
    if not partitions:
        return _TEST.format(**quoted, packages="from airflow_mlops import ModelSpec", partitions="")
    packages = (
        "import pytest\n\nfrom airflow_mlops import ModelSpec\nfrom airflow_mlops.testing import LoopLab"
    )
    keys = f"PARTITIONS = {json.dumps(list(partitions))}\n"
    return _TEST.format(**quoted, packages=packages, partitions=keys) + _LOOP_TEST


def workflow(root: Path, specs: Path, tests: Path) -> str:
    """Return a workflow of GitHub Actions that checks specs and runs tests.

    :param root: folder of the repository.
    """
    return _WORKFLOW.format(specs=_below(root, specs), tests=_below(root, tests))


def _below(root: Path, folder: Path) -> str:
    return Path(os.path.relpath(folder.absolute(), root.absolute())).as_posix()
