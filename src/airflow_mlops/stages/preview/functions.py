"""The code of the functions that a spec names, known by what it does: comments and layout do not count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.facts.preview import SpecChange
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.domain.spec.predicted import PredictionSpec
from airflow_mlops.learning.models import code

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.dataset import DataSpec


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
    name = path.partition(":")[0]
    source = _beside(name, folders) or _installed(name)
    try:
        return path if source is None else code.version(path, source)
    except SyntaxError:
        return path


def _beside(name: str, folders: Sequence[Path]) -> str | None:
    for folder in folders:
        place = folder.joinpath(*name.split("."))
        for file in (place.with_suffix(".py"), place / "__init__.py"):
            if file.is_file():
                return file.read_text(encoding="utf-8")
    return None


def _installed(name: str) -> str | None:
    try:
        spec = find_spec(name)
        read = getattr(spec.loader, "get_source", None) if spec is not None else None
        source: str | None = read(name) if read else None
    except (ImportError, ValueError, AttributeError, SyntaxError):
        return None
    return source
