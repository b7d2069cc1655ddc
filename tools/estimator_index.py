"""Write the index of estimators: what each is called, what it is for and what it takes, from the libraries themselves.

Run ``python -m tools.estimator_index`` after a change of the version of one of them.
"""

from __future__ import annotations

import json
import pkgutil
import sys
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from airflow_mlops.domain.estimators import PACKAGES
from airflow_mlops.domain.spec.estimator_index import FILE
from airflow_mlops.learning.models.estimators import classes, parameters_of

TASKS = ("classification", "regression")


def build() -> dict[str, Any]:
    """Return the index of the installed libraries."""
    versions = {package: _version(package) for package in PACKAGES}
    entries = dict(
        entry for package in PACKAGES for module in _modules(package) for entry in _entries(module)
    )
    return {"versions": versions, "estimators": dict(sorted(entries.items()))}


def text(index: dict[str, Any]) -> str:
    """Return the content of the file: an estimator a line, so that a change of one is a change of a line."""
    lines = ",\n".join(
        f"  {json.dumps(path)}: {json.dumps(entry)}" for path, entry in index["estimators"].items()
    )
    return f'{{"versions": {json.dumps(index["versions"])}, "estimators": {{\n{lines}\n}}}}\n'


def main() -> int:
    """Write the file."""
    FILE.write_text(text(build()), encoding="utf-8")
    return 0


def _version(package: str) -> str:
    for name in PACKAGES[package].distributions:
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    raise SystemExit(f"{package} is not installed; the index needs all of {', '.join(PACKAGES)}.")


def _modules(package: str) -> Iterator[ModuleType]:
    """Yield the public modules of a package that can be imported here."""
    root = import_module(package)
    yield root
    for found in pkgutil.iter_modules(root.__path__, f"{package}."):
        if "._" not in found.name and not found.name.endswith((".tests", ".testing", ".conftest")):
            try:
                yield import_module(found.name)
            except ImportError:
                continue


def _entries(module: ModuleType) -> Iterator[tuple[str, dict[str, Any]]]:
    by_task = {task: classes(module, task) for task in TASKS}
    for name in sorted(set().union(*by_task.values())):
        tasks = [task for task in TASKS if name in by_task[task]]
        kind = by_task[tasks[0]][name]
        try:
            parameters = sorted(parameters_of(kind))
        except (TypeError, RuntimeError):
            continue  # a base class that cannot be made, or whose constructor is none of scikit-learn's kind
        yield f"{module.__name__}.{name}", {"tasks": tasks, "parameters": parameters}


if __name__ == "__main__":
    sys.exit(main())
