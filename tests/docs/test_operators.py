"""The table of operators names every one, with the arguments that it requires."""

from __future__ import annotations

import inspect
import pkgutil
import re
from importlib import import_module
from pathlib import Path

import pytest

import airflow_mlops.operators
import airflow_mlops.sensors

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
ROW = re.compile(r"^\| `(\w+(?:Operator|Sensor))` \| ([^|]*) \|", re.MULTILINE)


def operators() -> dict[str, type]:
    """Return every operator and sensor of ours, by name."""
    modules = [
        import_module(f"{package.__name__}.{module.name}")
        for package in (airflow_mlops.operators, airflow_mlops.sensors)
        for module in pkgutil.iter_modules(package.__path__)
    ]
    return {
        name: kind
        for module in modules
        for name, kind in vars(module).items()
        if inspect.isclass(kind)
        and kind.__module__ == module.__name__
        and re.fullmatch(r"[A-Z]\w*(Operator|Sensor)", name)
    }


def documented() -> dict[str, list[str]]:
    return {
        name: re.findall(r"`(\w+)`", cell) for name, cell in ROW.findall(PAGE.read_text(encoding="utf-8"))
    }


def test_every_operator_is_in_the_table() -> None:
    assert set(documented()) == set(operators())


@pytest.mark.parametrize("name", sorted(documented()))
def test_the_table_has_the_arguments_that_an_operator_requires(name: str) -> None:
    parameters = inspect.signature(operators()[name]).parameters.values()
    required = [
        parameter.name
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    ]
    assert documented()[name] == [argument for argument in required if argument != "task_id"]
