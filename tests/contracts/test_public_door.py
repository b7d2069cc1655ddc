"""What people are shown imports from the public door of the package, and the door is there and light."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import airflow_mlops
from contracts.source import HEAVY, PACKAGE, ROOT, tree

MODULES = {
    "assets", "config", "exceptions", "hooks", "notifications", "operators", "pipelines", "sensors", "testing", "triggers",
}  # fmt: skip
"""Of the package, what people import from beside the door."""
INNER = re.compile(r"\bairflow_mlops[./](?:domain|engines|learning|reporting|stages|stores)\b")
NEEDS_AIRFLOW = {"DatasetSource", "FileSource", "SqlSource", "continuous_training"}
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FILES = sorted(
    path for folder in ("dags", "plugins", "benchmarks/dags") for path in (ROOT / folder).rglob("*.py")
)
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r"^\s*(?:from|import) airflow_mlops", re.MULTILINE)


def examples() -> Iterator[tuple[str, str]]:
    """Yield each piece of Python that people are shown, with where it stands."""
    for path in FILES:
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for fence in FENCE.finditer(text):
            language, code = fence.groups()
            if language in ("python", "py") or IMPORT.search(code):
                # An ellipsis stands for what is left out.
                line = text.count("\n", 0, fence.start()) + 1
                yield f"{page.relative_to(ROOT)}:{line}", code.replace("…", "...")


EXAMPLES = list(examples())


def strangers(code: str) -> list[str]:
    """Name what a piece of code imports from the package that is not public, or not there."""
    names = []
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names if not _is_public(alias.name)]
        elif isinstance(node, ast.ImportFrom) and node.module == "airflow_mlops":
            names += [
                name for alias in node.names if (name := alias.name) not in {*airflow_mlops.__all__, *MODULES}
            ]
        elif isinstance(node, ast.ImportFrom) and not _is_public(node.module or ""):
            names.append(str(node.module))
        elif isinstance(node, ast.ImportFrom) and str(node.module).startswith("airflow_mlops."):
            module = import_module(str(node.module))
            names += [
                f"{node.module}.{alias.name}" for alias in node.names if not hasattr(module, alias.name)
            ]
    return names


def _is_public(module: str) -> bool:
    package, _, rest = module.partition(".")
    return package != "airflow_mlops" or not rest or rest.partition(".")[0] in MODULES


def test_there_are_examples_in_files_and_on_pages() -> None:
    places = {place.partition(":")[0] for place, _ in EXAMPLES}
    assert {"README.md", "docs/replay.md", "dags/late_flights.py", "plugins/deployment_links.py"} <= places
    assert any(place.startswith("benchmarks/dags/") for place in places)


@pytest.mark.parametrize(("place", "code"), EXAMPLES, ids=[place for place, _ in EXAMPLES])
def test_an_example_imports_only_what_is_public_and_there(place: str, code: str) -> None:
    assert strangers(code) == []


@pytest.mark.parametrize("path", [*PAGES, *FILES], ids=lambda path: str(path.relative_to(ROOT)))
def test_no_page_or_file_names_an_inner_module(path: Path) -> None:
    assert INNER.findall(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_on_a_page_stands_in_fences(page: Path) -> None:
    assert not IMPORT.search(FENCE.sub("", page.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from airflow_mlops.domain.spec.model import Gates", ["airflow_mlops.domain.spec.model"]),
        ("def task():\n    from airflow_mlops.stages.train import train", ["airflow_mlops.stages.train"]),
        ("import airflow_mlops.stores.arrow as arrow", ["airflow_mlops.stores.arrow"]),
        ("from airflow_mlops import Gates, Gate, assets, learning", ["Gate", "learning"]),
        ("from airflow_mlops.operators.train import Trainer", ["airflow_mlops.operators.train.Trainer"]),
        ("from airflow_mlops.operators.train import TrainOperator\nimport airflow_mlops", []),
    ],
)
def test_an_import_from_inside_is_noticed(code: str, expected: list[str]) -> None:
    assert strangers(code) == expected


def test_a_path_to_the_inside_is_noticed() -> None:
    assert INNER.findall("see `src/airflow_mlops/stages/train` and `airflow_mlops.engines.models`")


def test_what_type_checkers_see_is_what_the_door_gives() -> None:
    (block,) = [node for node in tree(PACKAGE / "__init__.py").body if isinstance(node, ast.If)]
    seen = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert {*seen, "__version__"} == {*airflow_mlops.__all__}
    for name, (module, attribute) in seen.items():
        assert getattr(airflow_mlops, name) is getattr(import_module(module), attribute), name


def test_the_door_hides_no_module() -> None:
    modules = {path.stem for path in PACKAGE.iterdir()}
    assert not {*airflow_mlops.__all__} & modules
    assert modules >= MODULES


def test_editors_are_told_each_name() -> None:
    assert {*dir(airflow_mlops)} >= {*airflow_mlops.__all__}


def test_the_documentation_lists_each_name() -> None:
    text = (ROOT / "docs" / "operators.md").read_text(encoding="utf-8")
    assert [name for name in airflow_mlops.__all__ if name != "__version__" and f"`{name}`" not in text] == []


def test_the_door_itself_loads_nothing() -> None:
    loaded = loaded_by("import airflow_mlops")
    assert {name for name in loaded if name.startswith("airflow_mlops")} == {"airflow_mlops"}
    assert {name.partition(".")[0] for name in loaded} <= {*sys.stdlib_module_names, "airflow_mlops"}


def test_a_service_needs_neither_airflow_nor_a_heavy_library_to_import_its_names() -> None:
    names = sorted({*airflow_mlops.__all__} - NEEDS_AIRFLOW)
    loaded = loaded_by(f"from airflow_mlops import {', '.join(names)}")
    assert not loaded & {"airflow", *HEAVY}


def test_a_heavy_import_behind_the_door_would_be_noticed() -> None:
    assert "numpy" in loaded_by("import airflow_mlops, numpy")


def test_a_misspelt_name_is_answered_with_the_right_one() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", "import airflow_mlops; airflow_mlops.VersusChampions"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "has no attribute 'VersusChampions'. Did you mean: 'VersusChampion'?" in ran.stderr


def loaded_by(statement: str) -> set[str]:
    """Return the modules that a statement loads in a fresh process."""
    code = f"import json, sys; before = {{*sys.modules}}; {statement}; print(json.dumps([*{{*sys.modules}} - before]))"
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    names: list[Any] = json.loads(ran.stdout)
    return set(names)
