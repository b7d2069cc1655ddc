"""The page of operators, sensors and the notifier."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Iterator
from datetime import timedelta
from importlib import import_module
from types import ModuleType

from airflow.sdk import BaseNotifier, BaseOperator

from airflow_mlops import notifications, operators, sensors
from tools.reference.markdown import page as page_of
from tools.reference.markdown import parse, table


def page() -> str:
    """Return the page of every class that a DAG file may use as a task or a callback."""
    return page_of(
        "Operators, sensors and the notifier",
        "How they work together is shown in [Operators by hand](../operators.md). Each also takes what every task of Airflow takes, "
        "such as `task_id`. Templated are the parameters that Jinja fills in.",
        *_sections("Operators", operators),
        *_sections("Sensors", sensors),
        *_sections("Notifier", notifications),
    )


def _sections(title: str, package: ModuleType) -> Iterator[str]:
    yield f"## {title}"
    for module in sorted(module.name for module in pkgutil.iter_modules(package.__path__)):
        for kind in _classes(import_module(f"{package.__name__}.{module}")):
            yield from _section(kind)


def _classes(module: ModuleType) -> Iterator[type[BaseOperator | BaseNotifier]]:
    for name, kind in vars(module).items():
        own = inspect.isclass(kind) and kind.__module__ == module.__name__ and not name.startswith("_")
        if own and issubclass(kind, BaseOperator | BaseNotifier):
            yield kind


def _section(kind: type[BaseOperator | BaseNotifier]) -> Iterator[str]:
    own = [base for base in kind.__mro__ if base.__module__.startswith("airflow_mlops.")]
    words = parse(kind)
    meanings = {name: text for base in reversed(own) for name, text in parse(base).parameters.items()}
    signature = next(
        (inspect.signature(base) for base in own if "__init__" in vars(base)), inspect.Signature()
    )
    yield f"### {kind.__name__}"
    yield f"`from {kind.__module__} import {kind.__name__}`"
    yield words.text
    parameters = [
        parameter for parameter in signature.parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.name != "task_id"
    ]  # fmt: skip
    if missing := [parameter.name for parameter in parameters if parameter.name not in meanings]:
        raise ValueError(f"{kind.__name__} does not say what {', '.join(missing)} means")
    templated = set(kind.template_fields)
    if parameters:
        yield table(
            ["parameter", "default", "templated", "meaning"],
            [
                (
                    f"`{parameter.name}`", _default(parameter), "yes" if parameter.name in templated else "",
                    meanings[parameter.name],
                )
                for parameter in parameters
            ],
        )  # fmt: skip


def _default(parameter: inspect.Parameter) -> str:
    if parameter.default is parameter.empty:
        return "required"
    value = parameter.default
    shown = str(value) if isinstance(value, str | timedelta) else repr(value)
    return f"`{shown}`" if shown else "empty"
