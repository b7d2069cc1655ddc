"""What a check of a spec tells of its candidates: which of them cannot be fitted as the spec wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.domain.spec import estimator_index
from airflow_mlops.domain.spec.data import Features
from airflow_mlops.exceptions import TrainingFailed, UntrustedModel
from airflow_mlops.learning.models import code, estimators, pipeline

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import Candidate, ModelSpec


def problems(spec: ModelSpec, folders: Sequence[Path], *, builds: bool = True) -> Iterator[str]:
    """Yield which candidates cannot be built, or cannot be fitted as a spec wants.

    Their estimators or parameters do not exist, their functions cannot be imported, or they take no weights where there are
    some. A candidate whose library is not installed here has its names looked up, and is not built.

    :param folders: where modules are looked for besides, such as those that DAG files lie in.
    :param builds: build each candidate, which imports its library; otherwise names are looked up in an index, and only those
        of another version than the index are built.
    """
    with code.importable(folders):
        for position, candidate in enumerate(spec.train.candidates):
            # All names at once; a build stops at the first. A member may also be a candidate, and is named there.
            own = [
                part for part in candidate.parts() if part is candidate or part not in spec.train.candidates
            ]
            wrong = [text for part in own for text in _misnamed(part, spec.task)]
            if not wrong and (builds or not all(map(_is_looked_up, own))):
                wrong = [why] if (why := _unfit(candidate, spec)) else []
            yield from (f"train.candidates[{position}]: {candidate.name!r}: {text}" for text in wrong)


def _is_looked_up(part: Candidate) -> bool:
    return bool(part.of) or estimators.is_function(part) or estimator_index.is_current(part)


def _misnamed(part: Candidate, task: str) -> list[str]:
    if part.of:
        return []
    if not estimators.is_function(part):
        return estimator_index.problems(part, task) if estimator_index.is_current(part) else []
    try:
        estimators.source(part)
    except TrainingFailed as error:
        return [_without_name(part, error)]
    return []


def _unfit(candidate: Candidate, spec: ModelSpec) -> str:
    """Return why a candidate cannot be built, or takes no weights where there are some; "" if it can be fitted."""
    packages = {part.estimator.partition(".")[0] for part in candidate.parts() if "." in part.estimator}
    if not all(find_spec(package) for package in packages if ":" not in package):
        return ""
    features = spec.features or Features(numeric=("x",))
    try:
        unfitted = pipeline.build(
            candidate, features, spec.task, spec.train.seed, classes=max(2, len(spec.classes))
        )
    except (TrainingFailed, UntrustedModel) as error:
        return _without_name(candidate, error)
    settings = [name for name in ("weights", "class_weight") if getattr(spec.train, name) is not None]
    if settings and (why := estimators.against_weights(unfitted)):
        return f"{why}; take it out, or leave train.{settings[0]} out"
    return ""


def _without_name(candidate: Candidate, error: Exception) -> str:
    return str(error).removeprefix(f"Candidate {candidate.name!r}: ").rstrip(".")
