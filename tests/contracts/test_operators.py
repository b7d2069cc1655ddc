"""Rules for every operator, sensor and notifier, as Airflow sees them."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from typing import Any

import pytest

from contracts.source import dotted, files, module_name

FOLDERS = ("operators", "sensors", "notifications")
PARAM = re.compile(r"^\s*:param (\w+):", re.MULTILINE)


def _blocks() -> list[type]:
    """Return the public classes of the three folders that run as tasks or in their place."""
    modules = [importlib.import_module(module_name(path)) for path in files(*FOLDERS)]
    return [
        each
        for module in modules
        for each in vars(module).values()
        if inspect.isclass(each) and each.__module__ == module.__name__ and hasattr(each, "template_fields")
    ]


BLOCKS = _blocks()
each_block = pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)


def test_there_are_operators_to_check() -> None:
    assert [block for block in BLOCKS if block.__module__.startswith("airflow_mlops.operators.")]


@each_block
def test_its_name_says_what_it_is(block: type) -> None:
    assert block.__name__.endswith(("Operator", "Sensor", "Notifier"))


@each_block
def test_its_template_fields_are_declared_and_are_parameters(block: type) -> None:
    assert any("template_fields" in vars(each) for each in _ours(block))
    inherited = {field for each in _foreign(block) for field in getattr(each, "template_fields", ())}
    assert set(_template_fields(block)) <= _all_parameters(block) | inherited


@each_block
def test_its_connections_can_be_templated(block: type) -> None:
    connections = {name for name in _all_parameters(block) if name.endswith("conn_id")}
    assert connections <= set(_template_fields(block))


@each_block
def test_its_constructor_assigns_and_nothing_else(block: type) -> None:
    if "__init__" not in vars(block):
        pytest.skip("it has no constructor of its own")
    constructor = _constructor(block)
    assert not [ast.unparse(statement) for statement in constructor.body if not _only_assigns(statement)]
    taken = {
        node.id
        for statement in constructor.body
        for node in ast.walk(statement)
        if isinstance(node, ast.Name)
    }
    assert _parameters(block) <= taken, "a parameter is neither kept nor handed on"


@each_block
def test_its_docstring_names_its_parameters(block: type) -> None:
    documented = set(PARAM.findall(inspect.getdoc(block) or ""))
    assert _parameters(block) - documented == set()
    assert documented - _all_parameters(block) == set()


@each_block
def test_an_operator_says_what_came_of_it_in_the_way_of_all(block: type) -> None:
    if not block.__module__.startswith("airflow_mlops.operators."):
        pytest.skip("it waits, or tells people")
    source = inspect.getsource(block)
    if block.__name__ in ("AlertOperator", "AnnounceOperator"):
        assert "conclude(" not in source, "it is about a partition by now"
    else:
        assert re.search(r"\bconclude\(\s*context", source)
        assert "log.info(" not in source, "what came of it stands first, and what led to it in the fold below"


@pytest.mark.parametrize(
    "code", ["self.a = a", "super().__init__(**kwargs)", "super().__init__(a=a, b=1, **kwargs)"]
)
def test_an_assignment_is_recognised(code: str) -> None:
    assert _only_assigns(ast.parse(code).body[0])


@pytest.mark.parametrize(
    "code",
    [
        "self.a = a or []",
        "self.a = b",
        "self.a = list(a)",
        "a = 1",
        "if a: pass",
        "check(a)",
        "super().__init__(a=f(a))",
    ],
)
def test_anything_else_is_recognised(code: str) -> None:
    assert not _only_assigns(ast.parse(code).body[0])


def _ours(block: type) -> list[type]:
    return [each for each in block.__mro__ if each.__module__.startswith("airflow_mlops.")]


def _foreign(block: type) -> list[type]:
    return [each for each in block.__mro__ if not each.__module__.startswith("airflow_mlops.")]


def _template_fields(block: Any) -> tuple[str, ...]:
    return tuple(block.template_fields)


def _parameters(block: type) -> set[str]:
    if "__init__" not in vars(block):
        return set()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(vars(block)["__init__"]).parameters.values()
    return {each.name for each in parameters if each.kind in named} - {"self"}


def _all_parameters(block: type) -> set[str]:
    return set().union(*(_parameters(each) for each in _ours(block)))


def _constructor(block: type) -> ast.FunctionDef:
    # Airflow wraps the constructors of operators.
    source = inspect.getsource(inspect.unwrap(vars(block)["__init__"]))
    (function,) = ast.parse(textwrap.dedent(source)).body
    assert isinstance(function, ast.FunctionDef)
    return function


def _only_assigns(statement: ast.stmt) -> bool:
    match statement:
        case ast.Expr(value=ast.Constant(value=str())):
            return True
        case ast.Expr(
            value=ast.Call(func=ast.Attribute(value=ast.Call(func=called), attr="__init__")) as call
        ):
            handed_on = [*call.args, *(keyword.value for keyword in call.keywords)]
            return dotted(called) == "super" and all(
                isinstance(value, (ast.Constant, ast.Name)) for value in handed_on
            )
        case ast.Assign(
            targets=[ast.Attribute(value=ast.Name(id="self"), attr=name)], value=ast.Name(id=value)
        ):
            return name == value
        case _:
            return False
