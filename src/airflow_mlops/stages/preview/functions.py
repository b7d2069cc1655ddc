"""The code of the functions that a spec names, known by what it does: comments and layout do not count."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import decode_source, find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain.facts.preview import SpecChange
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.predicted import PredictionSpec
from airflow_mlops.learning.models import code

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.dataset import DataSpec


class Fault(NamedTuple):
    """A function that a spec names and that could not be called.

    :param place: that names it.
    :param reason: why, in words.
    :param is_certain: False if its module may be installed where tasks run, and is not here.
    """

    place: str
    reason: str
    is_certain: bool


def versions(spec: DataSpec, folders: Sequence[Path] = ()) -> dict[str, str]:
    """Return the version of each function that a spec names, ``module:function@digest``, by the place that names it.

    Nothing of it is run. A function whose code is not found has its name alone.

    :param folders: looked in first, then wherever Python looks.
    """
    return {place: _version(path, folders) for place, path in _paths(spec)}


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[SpecChange, ...]:
    """Return the functions of one name whose code is another; of code that was not found nothing is told."""
    return tuple(
        SpecChange(place=place, before=before[place], after=version)
        for place, version in after.items()
        if before.get(place, version) != version
        and before[place].partition("@")[0] == version.partition("@")[0]
        and "@" in before[place]
        and "@" in version
    )


def faults(spec: DataSpec, before: Mapping[str, str], folders: Sequence[Path] = ()) -> Iterator[Fault]:
    """Yield the functions of a spec whose module is gone or no Python, or has no such function. Nothing of it is run.

    :param before: versions of the functions of the former spec, by place.
    :param folders: looked in first, then wherever Python looks.
    """
    for place, path in _paths(spec):
        module, _, name = path.partition(":")
        source = _source(module, folders)
        if source is None:
            was_there = path in {version.partition("@")[0] for version in before.values() if "@" in version}
            yield Fault(
                place, f"there is no module {module} beside the spec, and none is installed here", was_there
            )
            continue
        try:
            nodes = list(ast.walk(ast.parse(source)))
        except (SyntaxError, ValueError) as error:
            line = f" in line {error.lineno}" if isinstance(error, SyntaxError) else ""
            yield Fault(place, f"its module {module} is no Python{line}: {error.args[0]}", True)
            continue
        if name not in {label for node in nodes for label in _labels(node)}:
            yield Fault(place, f"its module {module} has no {name}", True)


def _labels(node: ast.AST) -> Iterator[str]:
    """Yield the names that a piece of code may give something."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
    elif isinstance(node, ast.alias):
        yield node.asname or node.name
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id


def _paths(spec: DataSpec) -> Iterator[tuple[str, str]]:
    if spec.transform is not None:
        yield "transform", spec.transform
    labels = spec.labels.source if isinstance(spec, PredictionSpec) else None
    for place, source in (("source", spec.source), ("labels.source", labels)):
        python: Any = source.python if source is not None else None
        for key in ("function", "arrived"):
            path = getattr(python, key, None)
            if isinstance(path, str):
                yield f"{place}.python.{key}", path
    if not isinstance(spec, ModelSpec):
        return
    for candidate in spec.train.candidates:
        if ":" in candidate.estimator:
            yield f"train.candidates.{candidate.name}.estimator", candidate.estimator
    for name, metric in spec.train.metrics.items():
        yield f"train.metrics.{name}.function", metric.function


def _version(path: str, folders: Sequence[Path]) -> str:
    source = _source(path.partition(":")[0], folders)
    try:
        return path if source is None else code.version(path, source)
    except (SyntaxError, ValueError):
        return path


def _source(module: str, folders: Sequence[Path]) -> str | None:
    beside = _beside(module, folders)
    return _installed(module) if beside is None else beside


def _beside(name: str, folders: Sequence[Path]) -> str | None:
    for folder in folders:
        place = folder.joinpath(*name.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return _text(file)
    return None


def _text(file: Path) -> str:
    """Return code as Python reads it; an encoding that is none leaves what is no Python."""
    try:
        return decode_source(file.read_bytes())
    except (SyntaxError, UnicodeDecodeError):
        return "\0"


def _installed(name: str) -> str | None:
    try:
        spec = find_spec(name)
        read = getattr(spec.loader, "get_source", None) if spec is not None else None
        source: str | None = read(name) if read else None
    except (ImportError, ValueError, AttributeError, SyntaxError):
        return None
    return source
