"""What a check of a spec tells of its candidates: which of them cannot be fitted as the spec wants."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from airflow_mlops.domain.spec.data import Features
from airflow_mlops.exceptions import TrainingFailed, UntrustedModel
from airflow_mlops.learning.models import code, estimators, pipeline

if TYPE_CHECKING:
    from airflow_mlops.domain.spec.model import Candidate, ModelSpec


def problems(spec: ModelSpec, folders: Sequence[Path]) -> Iterator[str]:
    """Yield which candidates cannot be fitted with sample weights, where a spec has weights or weights of classes.

    A candidate whose library is not installed here is not looked at.

    :param folders: where modules are looked for besides, such as those that DAG files lie in.
    """
    settings = [name for name in ("weights", "class_weight") if getattr(spec.train, name) is not None]
    if not settings:
        return
    with code.importable(folders):
        for position, candidate in enumerate(spec.train.candidates):
            if why := _against_weights(candidate, spec):
                place = f"train.candidates[{position}]"
                yield f"{place}: {candidate.name!r}: {why}; take it out, or leave train.{settings[0]} out"


def _against_weights(candidate: Candidate, spec: ModelSpec) -> str:
    packages = {part.estimator.partition(".")[0] for part in candidate.parts() if "." in part.estimator}
    if not all(find_spec(package) for package in packages if ":" not in package):
        return ""
    features = spec.features or Features(numeric=("x",))
    try:
        unfitted = pipeline.build(
            candidate, features, spec.task, spec.train.seed, classes=max(2, len(spec.classes))
        )
    except (TrainingFailed, UntrustedModel) as error:
        return str(error).removeprefix(f"Candidate {candidate.name!r}: ").rstrip(".")
    return estimators.against_weights(unfitted)
