"""Python code of one module: what it means, what it needs beside it, and running it from text."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterator
from importlib.abc import InspectLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from sysconfig import get_paths
from types import ModuleType
from typing import Any


def digest(source: str) -> str:
    """Return a sha256 of what code does: comments, docstrings and layout do not count.

    :raises SyntaxError: if it is no Python.
    """
    return hashlib.sha256(repr(_form(ast.parse(source))).encode()).hexdigest()


def _form(value: Any) -> Any:
    # Not ast.dump, which writes the same code in another way from one version of Python to the next.
    if isinstance(value, list):
        return [_form(each) for each in value]
    if not isinstance(value, ast.AST):
        return value
    fields = dict(ast.iter_fields(value))
    if isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = value.body[ast.get_docstring(value, clean=False) is not None :]
    kept = {name: each for name, each in fields.items() if each is not None and each != []}
    return type(value).__name__, [
        (name, _form(kept[name])) for name in sorted(kept) if name not in ("kind", "type_comment")
    ]


def beside(source: str, name: str, file: str) -> Iterator[str]:
    """Yield what a module imports from the folder that its own package lies in, unless packages are installed there.

    :param name: dotted name of the module.
    :param file: its path.
    """
    package = Path(file).name == "__init__.py"
    root = Path(file).parents[name.count(".") + package].resolve()
    if root in {Path(get_paths()[kind]).resolve() for kind in ("purelib", "platlib", "stdlib")}:
        return
    for node in ast.walk(ast.parse(source)):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        for each in names:
            if each.startswith(".") or root in _folders(each.partition(".")[0]):
                yield each


def _folders(package: str) -> set[Path]:
    """Return the folders that a package or module lies in."""
    try:
        found = find_spec(package)
    except (ImportError, ValueError):
        return set()
    if found is None:
        return set()
    places = found.submodule_search_locations or (
        [found.origin] if found.has_location and found.origin else []
    )
    return {Path(each).resolve().parent for each in places}


def run(source: str, name: str) -> ModuleType:
    """Run code as a module under a name that is not in use otherwise.

    :raises Exception: whatever the code raises.
    """
    loader = _Text(source)
    spec = spec_from_loader(name, loader)
    if spec is None:
        raise ImportError(name)
    # Dataclasses look for their module by its name.
    module = sys.modules[name] = module_from_spec(spec)
    try:
        loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


class _Text(InspectLoader):
    def __init__(self, source: str) -> None:
        self.source = source

    def get_source(self, fullname: str) -> str:
        return self.source
