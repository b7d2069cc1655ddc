"""Rules for every module of the package."""

from __future__ import annotations

import ast
import sys
import warnings
from pathlib import Path

import pytest

from contracts.source import PACKAGE, classes, dotted, each_file, files, tree

ENVIRON_WRITERS = {"clear", "pop", "popitem", "setdefault", "update"}
MUTABLE_NODES = (ast.Dict, ast.DictComp, ast.List, ast.ListComp, ast.Set, ast.SetComp)
MUTABLE_CALLS = {"Counter", "bytearray", "defaultdict", "deque", "dict", "list", "set"}
PLAIN = sys.stdlib_module_names | {"airflow_mlops", "pydantic", "pydantic_core"}


@each_file()
def test_annotations_are_never_evaluated(path: Path) -> None:
    code = [node for node in tree(path).body if not isinstance(node, ast.Expr)]
    assert not code or (isinstance(code[0], ast.ImportFrom) and code[0].module == "__future__")


@each_file()
def test_a_module_can_be_read_in_one_sitting(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= 400
    if lines > 300:
        warnings.warn(f"{path.relative_to(PACKAGE)} has {lines} lines; 300 is the aim", stacklevel=1)


@each_file()
def test_what_is_public_says_what_it_is(path: Path) -> None:
    module = tree(path)
    definitions = (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    public = [node for node in module.body if isinstance(node, definitions) and not node.name.startswith("_")]
    silent = [node.name for node in public if not ast.get_docstring(node)]
    assert ast.get_docstring(module) or not module.body
    assert not silent


@each_file()
def test_the_environment_is_written_by_the_demo_only(path: Path) -> None:
    if path.is_relative_to(PACKAGE / "local"):
        pytest.skip("the demo starts processes, and sets up their environment")
    assert not [node.lineno for node in ast.walk(tree(path)) if _writes_environment(node)]


@each_file()
def test_no_class_shares_mutable_state(path: Path) -> None:
    if path.is_relative_to(PACKAGE / "plugin"):
        pytest.skip("Airflow declares the attributes of a plugin as lists")
    # pydantic gives every instance its own copy of a field's default.
    kinds = ast.Assign if path.is_relative_to(PACKAGE / "domain") else (ast.Assign, ast.AnnAssign)
    shared = [
        f"{found.name}, line {node.lineno}"
        for found in classes(path)
        for node in found.body
        if isinstance(node, kinds) and _is_mutable(node.value)
    ]
    assert not shared


@each_file("domain")
def test_the_domain_needs_nothing_but_python_and_pydantic(path: Path) -> None:
    module = tree(path)
    at_import = {name for node in module.body for name in _imported(node)}
    anywhere = {name for node in ast.walk(module) for name in _imported(node)}
    assert at_import <= PLAIN
    # Reading a spec needs these two, inside the functions that do it.
    assert anywhere <= PLAIN | {"croniter", "yaml"}


def test_a_public_class_has_a_name_of_its_own() -> None:
    places: dict[str, list[str]] = {}
    for path in files():
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    shared = {name: where for name, where in places.items() if len(where) > 1}
    # A section of the spec is called what it makes.
    assert shared.keys() <= {"Source"}, shared


def test_every_error_says_whether_a_retry_can_help() -> None:
    errors = list(classes(PACKAGE / "exceptions.py"))
    assert errors
    assert not [error.name for error in errors if "retry" not in (ast.get_docstring(error) or "").lower()]


def test_there_are_no_utils() -> None:
    names = {path.stem for path in PACKAGE.rglob("*")}
    assert not names & {"common", "helper", "helpers", "misc", "util", "utils"}


@pytest.mark.parametrize(
    "code",
    [
        "os.environ['A'] = 'b'",
        "del os.environ['A']",
        "environ.update(A='b')",
        "os.environ |= {}",
        "os.environ.setdefault('A', 'b')",
        "os.putenv('A', 'b')",
    ],
)
def test_a_write_to_the_environment_is_recognised(code: str) -> None:
    assert any(_writes_environment(node) for node in ast.walk(ast.parse(code)))


@pytest.mark.parametrize("code", ["os.environ['A']", "os.environ.get('A')", "env = {**os.environ, 'A': 'b'}"])
def test_reading_the_environment_is_no_write(code: str) -> None:
    assert not any(_writes_environment(node) for node in ast.walk(ast.parse(code)))


def _writes_environment(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        owner, _, method = dotted(node.func).rpartition(".")
        return (owner.endswith("environ") and method in ENVIRON_WRITERS) or method in {"putenv", "unsetenv"}
    if isinstance(node, ast.AugAssign):
        return dotted(node.target).endswith("environ")
    writes = isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load)
    return writes and dotted(node.value).endswith("environ")


def _is_mutable(value: ast.expr | None) -> bool:
    called = isinstance(value, ast.Call) and dotted(value.func).rpartition(".")[2] in MUTABLE_CALLS
    return called or isinstance(value, MUTABLE_NODES)


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.partition(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [(node.module or "").partition(".")[0]]
    return []
