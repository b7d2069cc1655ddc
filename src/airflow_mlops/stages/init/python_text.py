"""The Python files of a model, and the workflow that checks them."""

from __future__ import annotations

import json
import os
from pathlib import Path

_DAG = '''"""The five DAGs of the model in models/{name}.yaml."""

from __future__ import annotations

from airflow_mlops import ModelSpec, continuous_training

continuous_training(ModelSpec.load("models/{name}.yaml"))
'''
_TEST = '''"""Tests of the model {name}: `pytest {tests}`."""

from __future__ import annotations

from pathlib import Path

from airflow_mlops import ModelSpec

SPEC = Path(__file__).parent / "{spec}"


def test_the_spec_is_valid() -> None:
    spec = ModelSpec.load(SPEC)
    assert spec.name == "{name}"
    assert spec.target == {target}
    assert spec.target not in spec.features.names
'''
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


def test(name: str, target: str, spec: Path, tests: Path) -> str:
    """Return the first test of a model.

    :param tests: folder of tests.
    """
    where = Path(os.path.relpath(spec.absolute(), tests.absolute())).as_posix()
    written = json.dumps(target, ensure_ascii=False)
    return _TEST.format(name=name, target=written, spec=where, tests=tests.name)


def workflow(root: Path, specs: Path, tests: Path) -> str:
    """Return a workflow of GitHub Actions that checks specs and runs tests.

    :param root: folder of the repository.
    """
    return _WORKFLOW.format(specs=_below(root, specs), tests=_below(root, tests))


def _below(root: Path, folder: Path) -> str:
    return Path(os.path.relpath(folder.absolute(), root.absolute())).as_posix()
