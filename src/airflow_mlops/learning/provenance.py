"""Provenance: what a run needs to be told apart from every other one, and to be done again."""

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
    """Log what a training is made of, before it begins: parameters, dataset versions, code, packages, machine, seed.

    It takes three requests, whatever the number of partitions.

    :param tags: of the run; :data:`DAG_FILE` and :data:`BUNDLE_VERSION` among them tell the commit of the code.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    from mlflow.entities import Param, RunTag

    run_id, used = run.info.run_id, uses(recipe)
    installed, commit = packages(), _commit(tags)
    ours = installed.get("airflow-mlops", "unknown")  # when it runs from a folder
    named = {name: installed[name] for name in (*_NAMED, *_libraries(recipe)) if name in installed}
    said = {
        "mlops.airflow_mlops": ours,
        "mlops.packages": " ".join(f"{name}=={version}" for name, version in named.items()),
        "mlops.platform": platform.platform(),
        "mlops.python": platform.python_version(),
        "mlops.seed": str(recipe.seed),
        # Those that MLflow's own pages show as the source of a run.
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
        "partitions": {key: _described(each) for key, each in used.items()},
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
            tags=[RunTag(name, value) for name, value in said.items()],
        )
    artifacts.write_json(client, run_id, FILE, facts)
    _log_inputs(client, run_id, list(_inputs(recipe, used)))


def _log_inputs(client: MlflowClient, run_id: str, inputs: list[DatasetInput]) -> None:
    # Candidates are trained side by side on the same data, and of those that log a dataset at the same time MLflow lets
    # one make it and refuses the others, which find it the next time.
    for left in reversed(range(_TRIES)):
        try:
            with tracking.errors(client):
                client.log_inputs(run_id, inputs)
            return
        except RegistryUnavailable as error:
            if error.silent or not left:
                raise


def read(client: MlflowClient, run_id: str) -> dict[str, Any]:
    """Return what :func:`log` has kept of a run; empty if it has kept nothing.

    :raises RegistryUnavailable: if MLflow does not answer.
    """
    try:
        content = artifacts.read(client, run_id, FILE)
        found: dict[str, Any] = {} if content is None else json.loads(content)
    except (ModelNotFound, ValueError):
        return {}
    return found


def uses(recipe: Recipe) -> dict[str, Use]:
    """Return the partitions that a recipe's rows lie in, as they were at its dataset version, by key."""
    dataset, split = recipe.dataset, recipe.split
    found = {}
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
            found[key] = Use(version, " and ".join(contexts))
    return found


def _as_of(dataset: DatasetVersion) -> dict[str, DatasetVersion]:
    known = {dataset.partition: dataset}
    try:
        for version in tables.versions(dataset.uri):
            if version.version <= dataset.version:
                known.setdefault(version.partition, version)
    except (TableMissing, TableUnreadable, OSError) as error:
        _logger.warning("Only the last partition is told of %s: %s", dataset.name, error)
    return known


def _described(each: Use) -> dict[str, Any]:
    version = each.version
    return {
        "used for": each.context, "version": version.version, "rows": version.rows, "digest": version.digest,
        "transform": version.transform,
    }  # fmt: skip


def _inputs(recipe: Recipe, used: Mapping[str, Use]) -> Iterator[DatasetInput]:
    """Yield a dataset of MLflow for each partition: runs can then be searched by the data they have seen."""
    from mlflow.entities import Dataset, DatasetInput, InputTag

    split = recipe.split
    span = {"mlops.start": split.start, "mlops.cut": split.cut, "mlops.end": split.end}
    # Without a partition of its own, as for rows of another table, the dataset stands for itself.
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
        said = {"mlflow.data.context": context, **{name: at.isoformat() for name, at in span.items()}}
        yield DatasetInput(entry, [InputTag(name, value) for name, value in said.items()])
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
        "estimator": recipe.candidate.estimator,
        "features": len(recipe.features.names),
        "folds": recipe.folds,
        "metric": recipe.metric,
        "seed": recipe.seed,
        "train_start": split.start.isoformat(),
        "train_cut": split.cut.isoformat(),
        **{f"budget.{name}": value for name, value in recipe.budget.to_dict().items()},
    }


def _libraries(recipe: Recipe) -> tuple[str, ...]:
    return estimators.distributions(recipe.candidate.estimator.partition(".")[0])


@cache
def packages() -> dict[str, str]:
    """Return the version of each distribution that is installed, by name, as first asked for in this process."""
    found: dict[str, str] = {}
    for each in distributions():
        said = each.metadata  # parsed at each access, and so are name and version
        found.setdefault(said["Name"], said["Version"])
    return dict(sorted(found.items()))


def _environment() -> dict[str, Any]:
    from joblib import cpu_count
    from threadpoolctl import threadpool_info

    # Which BLAS and OpenMP computed, since the last bits of a model depend on them.
    threads = {(each["internal_api"], each.get("version"), each["num_threads"]) for each in threadpool_info()}
    return {
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "machine": platform.machine(),
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
        found = subprocess.run(
            command, cwd=Path(tags[DAG_FILE]).parent, capture_output=True, text=True, timeout=5, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None  # no Git, no repository, or one of another user
    return found.stdout.strip() or None
