"""Importing the package, or parsing a DAG file, loads none of the heavy libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from contracts.source import HEAVY, PACKAGE, ROOT, files, module_name

pytestmark = pytest.mark.slow  # real processes, or fits: seconds each

# What Airflow itself loads is not ours to judge, so what counts is what each import adds.
PROBE = """
import importlib.util, json, sys
heavy, folder, targets = json.load(sys.stdin)
sys.path.insert(0, folder)
import airflow.sdk, airflow.plugins_manager
added, before = {}, set(sys.modules)
for number, target in enumerate(targets):
    if target.endswith(".py"):
        spec = importlib.util.spec_from_file_location(f"probe_{number}", target)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    else:
        importlib.import_module(target)
    now = set(sys.modules)
    loaded = sorted(name for name in heavy if name in now - before)
    if loaded:
        added[target] = loaded
    before = now
print("ADDED", json.dumps(added))
"""


def test_importing_the_package_loads_no_heavy_library() -> None:
    modules = [module_name(path) for path in files() if not path.is_relative_to(PACKAGE / "local")]
    assert "airflow_mlops.operators" in {name.rpartition(".")[0] for name in modules}
    assert heavy_imports(modules) == {}


def test_parsing_the_dag_files_loads_no_heavy_library() -> None:
    dags = sorted((ROOT / "dags").glob("*.py"))
    assert dags
    assert heavy_imports([str(path) for path in dags]) == {}


def test_a_heavy_import_is_noticed(tmp_path: Path) -> None:
    careless = tmp_path / "careless.py"
    careless.write_text("import numpy\n", encoding="utf-8")
    assert heavy_imports([str(careless)]) == {str(careless): ["numpy"]}


def heavy_imports(targets: list[str]) -> dict[str, list[str]]:
    """Import modules and files one after the other in a fresh process, and name the heavy libraries that each adds."""
    ran = subprocess.run(
        [sys.executable, "-c", PROBE],
        input=json.dumps([HEAVY, str(ROOT / "dags"), targets]),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    (answer,) = [line for line in ran.stdout.splitlines() if line.startswith("ADDED ")]
    found: dict[str, list[str]] = json.loads(answer.removeprefix("ADDED "))
    return found
