"""Provenance: the facts that tell a training run from every other one, and that are needed to reproduce it."""

from __future__ import annotations

import json
import logging
import platform
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from airflow_mlops.domain import estimators
from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import ModelNotFound, RegistryUnavailable, TableMissing, TableUnreadable
from airflow_mlops.stores.registry import artifacts, tracking
from airflow_mlops.stores.tables import tables

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput, Run

    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.domain.facts.results import DatasetVersion

_logger = logging.getLogger(__name__)

FILE = "provenance.json"
"""Run artifact: recipe, partitions, code, environment and packages."""

DAG_FILE = "airflow.dag_file"
"""Tag of runs: the file of the DAG that trains, beside which the code of the project lies."""
BUNDLE_VERSION = "airflow.bundle_version"
"""Tag of runs: version of the DAG bundle, which for a Git bundle is its commit."""

START = "train_start"
"""Parameter of runs: the time of the first row that could be fitted."""

_MOST_INPUTS = 100
_TRIES = 5
_LONGEST_PARAM = 500  # characters; MLflow refuses more than 6,000
_NAMED = (
    "scikit-learn", "numpy", "scipy", "pandas", "pyarrow", "deltalake", "skops", "optuna", "mlflow", "apache-airflow",
)  # fmt: skip


class Use(NamedTuple):
    """One partition of the data, and what it was used for.

    :param context: ``training``, ``holdout``, or both where the cut lies within it.
    """

    version: DatasetVersion
    context: str


def log(client: MlflowClient, run: Run, recipe: Recipe, tags: Mapping[str, str]) -> None:
    """Log the inputs of a training before it begins: parameters, dataset versions, code, packages, machine, seed.

    It takes three requests, whatever the number of partitions.

    :param tags: tags of the run; the commit of the code follows from :data:`DAG_FILE` and :data:`BUNDLE_VERSION`.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    from mlflow.entities import Param, RunTag

    run_id, used = run.info.run_id, uses(recipe)
    installed, commit = packages(), _commit(tags)
    ours = installed.get("airflow-mlops", "unknown")  # unknown if it runs from a folder
    named = {name: installed[name] for name in (*_NAMED, *_libraries(recipe)) if name in installed}
    run_tags = {
        "mlops.airflow_mlops": ours,
        "mlops.packages": " ".join(f"{name}=={version}" for name, version in named.items()),
        "mlops.platform": platform.platform(),
        "mlops.python": platform.python_version(),
        "mlops.seed": str(recipe.seed),
        # MLflow's own pages show these as the source of a run.
        **(
            {"mlflow.source.git.commit": commit.removesuffix("-dirty"), "mlops.commit": commit}
            if commit
            else {}
        ),
        **(
            {"mlflow.source.name": Path(tags[DAG_FILE]).name, "mlflow.source.type": "JOB"}
            if DAG_FILE in tags
            else {}
        ),
    }
    facts = {
        "recipe": recipe.to_dict(),
        "partitions": {key: _described(use) for key, use in used.items()},
        "code": {"commit": commit, "airflow_mlops": ours},
        "environment": _environment(),
        "packages": installed,
        "named": list(named),
        "airflow": {name: value for name, value in tags.items() if name.startswith("airflow.")},
    }
    with tracking.errors(client):
        client.log_batch(
            run_id,
            params=[Param(name, str(value)[:_LONGEST_PARAM]) for name, value in _params(recipe).items()],
            tags=[RunTag(name, value) for name, value in run_tags.items()],
        )
    artifacts.write_json(client, run_id, FILE, facts)
    _log_inputs(client, run_id, list(_inputs(recipe, used)))


def _log_inputs(client: MlflowClient, run_id: str, inputs: list[DatasetInput]) -> None:
    # Candidates are trained side by side on the same data. If several log a new dataset at the same time, MLflow lets
    # one create it and refuses the others, which find it at the next try.
    for left in reversed(range(_TRIES)):
        try:
            with tracking.errors(client):
                client.log_inputs(run_id, inputs)
            return
        except RegistryUnavailable as error:
            if error.silent or not left:
                raise


def read(client: MlflowClient, run_id: str) -> dict[str, Any]:
    """Return the facts that :func:`log` stored with a run; empty if there are none.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    try:
        content = artifacts.read(client, run_id, FILE)
        facts: dict[str, Any] = {} if content is None else json.loads(content)
    except (ModelNotFound, ValueError, RecursionError):
        return {}
    return facts


def uses(recipe: Recipe) -> dict[str, Use]:
    """Return by key the partitions that hold a recipe's rows, as they were at its dataset version."""
    dataset, split = recipe.dataset, recipe.split
    partitions = {}
    for key, version in sorted(_as_of(dataset).items()):
        span = Partition.parse(key, version.grain)
        contexts = [
            context
            for context, since, until in (
                ("training", split.start, split.cut),
                ("holdout", split.cut, split.end),
            )
            if span.start < until and span.end > since
        ]
        if contexts:
            partitions[key] = Use(version, " and ".join(contexts))
    return partitions


def _as_of(dataset: DatasetVersion) -> dict[str, DatasetVersion]:
    versions = {dataset.partition: dataset}
    try:
        for version in tables.versions(dataset.uri):
            if version.version <= dataset.version:
                versions.setdefault(version.partition, version)
    except (TableMissing, TableUnreadable, OSError) as error:
        _logger.warning("Only the last partition is told of %s: %s", dataset.name, error)
    return versions


def _described(use: Use) -> dict[str, Any]:
    version = use.version
    return {
        "used for": use.context, "version": version.version, "rows": version.rows, "digest": version.digest,
        "transform": version.transform,
    }  # fmt: skip


def _inputs(recipe: Recipe, used: Mapping[str, Use]) -> Iterator[DatasetInput]:
    """Yield a dataset of MLflow for each partition: runs can then be searched by the data they have seen."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    split = recipe.split
    span = {"mlops.start": split.start, "mlops.cut": split.cut, "mlops.end": split.end}
    # If its partitions are not known, as for rows of another table, the dataset is logged as a whole.
    latest = list(used.values())[-_MOST_INPUTS:] or [Use(recipe.dataset, "training")]
    for version, context in reversed(latest):
        source = {"uri": version.uri, "version": version.version, "partition": version.partition}
        entry = Dataset(
            name=version.name,
            digest=version.digest[:36],  # MLflow keeps no more
            source_type="delta",
            source=json.dumps(source),
            schema=json.dumps(version.columns),
            profile=json.dumps({"rows": version.rows}),
        )
        input_tags = {"mlflow.data.context": context, **{name: at.isoformat() for name, at in span.items()}}
        yield DatasetInput(entry, [InputTag(name, value) for name, value in input_tags.items()])
    if (labels := recipe.dataset.labels) is not None:
        source = {"uri": labels.uri, "version": labels.version}
        entry = Dataset(
            name=f"{recipe.dataset.name}.labels",
            digest=str(labels.digest)[:36],
            source_type="delta",
            source=json.dumps(source),
        )
        yield DatasetInput(entry, [InputTag("mlflow.data.context", "labels")])


def _params(recipe: Recipe) -> dict[str, Any]:
    split = recipe.split
    return {
        "estimator": recipe.candidate.kind,
        "features": len(recipe.features.names),
        "folds": recipe.folds,
        "metric": recipe.metric,
        "seed": recipe.seed,
        # Of several windows, the one that is chosen says it.
        **({} if recipe.starts else {START: split.start.isoformat()}),
        "train_cut": split.cut.isoformat(),
        **{f"budget.{name}": value for name, value in recipe.budget.to_dict().items()},
    }


def _libraries(recipe: Recipe) -> tuple[str, ...]:
    packages = [part.estimator.partition(".")[0] for part in recipe.candidate.parts()]
    return tuple(dict.fromkeys(name for package in packages for name in estimators.distributions(package)))


@cache
def packages() -> dict[str, str]:
    """Return the version of each installed distribution by name, read once in a process."""
    installed: dict[str, str] = {}
    for distribution in distributions():
        metadata = distribution.metadata  # parsed at each access
        installed.setdefault(metadata["Name"], metadata["Version"])
    return dict(sorted(installed.items()))


def processor() -> str:
    """Return the kind of processor that BLAS computes for here, such as ``x86_64 SkylakeX``: last bits depend on it."""
    import numpy  # noqa: F401 - its BLAS is what is asked for
    from threadpoolctl import threadpool_info

    kinds = {library["architecture"] for library in threadpool_info() if library.get("architecture")}
    return " ".join([platform.machine(), *sorted(kinds)])


def _environment() -> dict[str, Any]:
    from joblib import cpu_count
    from threadpoolctl import threadpool_info

    # Which BLAS and OpenMP computed, since the last bits of a model depend on them.
    threads = {
        (library["internal_api"], library.get("version"), library["num_threads"])
        for library in threadpool_info()
    }
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "machine": platform.machine(),
        "processor": processor(),
        "processors": cpu_count(),
        "libraries": [
            f"{name} {version}, {count} threads" for name, version, count in sorted(threads, key=str)
        ],
    }


def _commit(tags: Mapping[str, str]) -> str | None:
    """Return the commit of the project's code, with ``-dirty`` if files differ from it; None if that is not known."""
    if tags.get(BUNDLE_VERSION):
        return tags[BUNDLE_VERSION]
    if DAG_FILE not in tags:
        return None
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        described = subprocess.run(
            command, cwd=Path(tags[DAG_FILE]).parent, capture_output=True, text=True, timeout=60, check=True
        )
    except subprocess.TimeoutExpired as error:
        _logger.warning("The commit of the code is not recorded: git took longer than %g s.", error.timeout)
        return None
    except (OSError, subprocess.SubprocessError):
        return None  # no Git, no repository, or one of another user
    return described.stdout.strip() or None
