"""No module imports itself by way of others, imports within functions included."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from contracts.source import files, module_name, tree

MODULES = {module_name(path): path for path in files()}


def imports(module: ast.Module, names: Iterable[str]) -> Iterator[str]:
    """Yield which of some modules a module imports, wherever in it the import stands."""
    known = set(names)
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in known else node.module


def circle(graph: Mapping[str, Iterable[str]]) -> list[str]:
    """Return modules that import each other in a circle; none if there is none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        modules: list[str] = error.args[1]
        return modules
    return []


def graph_of(paths: Mapping[str, Path]) -> dict[str, set[str]]:
    # The door of the package names everything, and loads it when it is asked for.
    return {
        name: {other for other in imports(tree(path), paths) if other != name and other in paths}
        for name, path in paths.items()
        if name != "airflow_mlops"
    }


def test_no_module_imports_itself_by_way_of_others() -> None:
    graph = graph_of(MODULES)
    assert sum(map(len, graph.values())) > len(MODULES), "the imports are not seen"
    assert circle(graph) == []


@pytest.mark.parametrize(
    "text",
    [
        "from airflow_mlops.stages.train import train",
        "def f():\n    from airflow_mlops.stages.train.train import fit",
        "import airflow_mlops.stages.train.train",
        "if TYPE_CHECKING:\n    from airflow_mlops.stages.train.train import fit",
    ],
)
def test_an_import_is_seen_wherever_it_stands(text: str) -> None:
    assert "airflow_mlops.stages.train.train" in set(imports(ast.parse(text), MODULES))


def test_a_circle_is_seen() -> None:
    assert set(circle({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["a"]})) == {"a", "b", "c"}
