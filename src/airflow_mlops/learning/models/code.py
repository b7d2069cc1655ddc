"""The Python code of one module: a digest of what it does, the modules beside it that it imports, and how to run it."""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import InspectLoader
from importlib.util import find_spec, module_from_spec, spec_from_loader
from pathlib import Path
from sysconfig import get_paths
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Function:
    """A function that a spec names, with the code of its module.

    :param version: ``module:function@digest``, by the code of the module; comments, docstrings and layout do not
        count.
    :param source: the code of the module.
    """

    version: str
    source: str
    call: Callable[..., Any]

    @property
    def digest(self) -> str:
        """The sha256 of the source, byte by byte."""
        return hashlib.sha256(self.source.encode()).hexdigest()


def find(path: str) -> Function:
    """Import a function; a module beside the DAG file is found in the way in which that file would import it.

    :param path: ``module:function``. The module may import installed packages, but no module that lies beside it,
        because only its own code is versioned and stored with a model.
    :raises ImportError: if it cannot be imported, or its module needs code that lies beside it.
    """
    name, _, attribute = path.partition(":")
    try:
        module = import_module(name)
        function: Any = getattr(module, attribute)
    except Exception as error:
        raise ImportError(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(function) or getattr(function, "__module__", None) != name:
        raise ImportError(f"{path} is not a function of that module; name it where it is defined")
    read = getattr(getattr(module.__spec__, "loader", None), "get_source", None)
    source = read(name) if read else None
    if source is None:
        raise ImportError(f"the code of {path} cannot be read; define it in a .py file")
    if near := sorted(beside(source, name, str(module.__file__))):
        raise ImportError(
            f"the module of {path} imports {', '.join(near)}, which is stored with no model: move what it needs "
            "into the module itself, or into an installed package"
        )
    return Function(version(path, source), source, function)


@contextmanager
def importable(folders: Iterable[Path]) -> Iterator[None]:
    """Let modules be imported from some folders too, such as those that DAG files lie in."""
    added = [str(folder) for folder in folders]
    sys.path[:0] = added
    try:
        yield
    finally:
        # Not what it was before: what is imported may add to it.
        for folder in added:
            sys.path.remove(folder)


def outside(path: str, folders: Iterable[Path]) -> str | None:
    """Return why a function does not count as lying below one of some folders; None if it lies there.

    To find out, only the packages above its module are imported, each once it has been found to lie there itself.

    :param path: ``module:function``.
    """
    allowed = [Path(folder).resolve() for folder in folders]
    where = f"below {', '.join(map(str, allowed))}" if allowed else "in a folder that was named as trusted"
    parts = path.partition(":")[0].split(".")
    for end in range(1, len(parts) + 1):
        name = ".".join(parts[:end])
        try:
            spec = find_spec(name)
        except (ImportError, ValueError) as error:
            return f"{name} cannot be imported: {error}"
        if spec is None:
            return f"there is no module {name}; put it {where}"
        # A folder without __init__.py has no code of its own.
        if spec.origin is None and end < len(parts):
            continue
        above = Path(spec.origin or "").resolve().parents
        # An environment, whose packages do not count, may lie below the folder that holds the DAG files.
        installed = not _installed().isdisjoint(above)
        if not spec.has_location or installed or not any(root in above for root in allowed):
            return f"its module {name} does not lie {where}"
    return None


def _installed() -> set[Path]:
    return {Path(get_paths()[kind]).resolve() for kind in ("purelib", "platlib", "stdlib")}


def version(path: str, source: str) -> str:
    """Return the name of a function with the digest of its code: ``module:function@digest``."""
    return f"{path}@{digest(source)[:12]}"


def digest(source: str) -> str:
    """Return a sha256 of what code does: comments, docstrings and layout do not count.

    :raises SyntaxError: if it is no Python.
    """
    return hashlib.sha256(repr(_form(ast.parse(source))).encode()).hexdigest()


def _form(value: Any) -> Any:
    # Not ast.dump, whose text for the same code differs from one version of Python to the next.
    if isinstance(value, list):
        return [_form(element) for element in value]
    if not isinstance(value, ast.AST):
        return value
    fields = dict(ast.iter_fields(value))
    if isinstance(value, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
        fields["body"] = value.body[ast.get_docstring(value, clean=False) is not None :]
    kept = {name: field for name, field in fields.items() if field is not None and field != []}
    return type(value).__name__, [
        (name, _form(kept[name])) for name in sorted(kept) if name not in ("kind", "type_comment")
    ]


def beside(source: str, name: str, file: str) -> Iterator[str]:
    """Yield the modules that a module imports from the folder of its own package, unless packages are installed there.

    :param name: dotted name of the module.
    :param file: its path.
    """
    package = Path(file).name == "__init__.py"
    root = Path(file).parents[name.count(".") + package].resolve()
    if root in _installed():
        return
    for node in ast.walk(ast.parse(source)):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = ["." * node.level + (node.module or "")]
        for imported in names:
            if imported.startswith(".") or root in _folders(imported.partition(".")[0]):
                yield imported


def _folders(package: str) -> set[Path]:
    """Return the folders that a package or module lies in."""
    try:
        spec = find_spec(package)
    except (ImportError, ValueError):
        return set()
    if spec is None:
        return set()
    places = spec.submodule_search_locations or ([spec.origin] if spec.has_location and spec.origin else [])
    return {Path(place).resolve().parent for place in places}


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
