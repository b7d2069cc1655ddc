"""Jobs: a recipe and its code, and the tags that describe both on a run and on a version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import ModelNotFound
from airflow_mlops.learning.labels import labelled
from airflow_mlops.learning.models import code, estimators, own_metrics, transform
from airflow_mlops.stores import damage
from airflow_mlops.stores.registry import registry

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.domain.facts.results import DatasetVersion, Split
    from airflow_mlops.domain.spec.model import Features
    from airflow_mlops.stores.registry.client import Client

RECIPE = "mlops.recipe"
"""Tag of versions: the :class:`~airflow_mlops.domain.facts.recipe.Recipe`, from which the version can be trained again."""
FUNCTION = "mlops.function"
"""Tag of runs and versions: what built the estimator, as ``module:function@digest``; none if a class was named."""
TRAINED = "mlops.trained"
"""Tag of versions: the facts of a :class:`~airflow_mlops.domain.facts.results.TrainedModel`."""
SEARCHED = "mlops.searched"
"""Tag of versions whose search time cut short: the identity of their job, and how many trials were done."""


@dataclass(frozen=True)
class Job:
    """A recipe, and the code that its model depends on.

    :param prepared: what prepared the features; None if nothing did.
    :param function: what builds the estimator; None if it is a class.
    :param metrics: what computes metrics of one's own, by name.
    """

    recipe: Recipe
    prepared: transform.Transform | None
    function: code.Function | None
    metrics: Mapping[str, code.Function] = field(default_factory=dict)

    @classmethod
    def of(cls, recipe: Recipe) -> Job:
        """Find the code that a recipe names.

        :raises TrainingFailed: if the function of the candidate cannot be imported.
        :raises MetricFailed: if the function of a metric cannot be imported.
        :raises TransformFailed: if not all rows were prepared by the code that is there now.
        """
        prepared = transform.of_training(recipe.dataset, recipe.split)
        functions = {name: own_metrics.function(own.function) for name, own in recipe.own_metrics.items()}
        return cls(recipe, prepared, estimators.source(recipe.candidate), functions)

    def identity(self, key: str = "") -> str:
        """Return a digest of key, recipe and code, which changes if any of them does."""
        built = self.function.version if self.function else ""
        built += "".join(f" {name}={version}" for name, version in self._versions().items())
        recipe = self.recipe.model_copy(update={"dataset": labelled.content(self.recipe.dataset)})
        return hashlib.sha256(f"{key}\n{built}\n{recipe.model_dump_json()}".encode()).hexdigest()[:32]

    def after(self, trials: int) -> Job:
        """Return the job whose search does exactly so many trials."""
        return replace(self, recipe=self.recipe.model_copy(update={"searched": trials}))

    def of_rows(self, recipe: Recipe) -> Job:
        """Return the job with the recipe that says which of its rows were fitted."""
        return replace(self, recipe=recipe)

    def cut_tags(self, trials: int, asked: Job) -> dict[str, str]:
        """Return the tags of a version whose search time cut short, for :func:`searched`.

        :param asked: the job as it was before a window of its rows was chosen.
        """
        return {**self.after(trials).long_tags(), SEARCHED: json.dumps([asked.identity(), trials])}

    def sources(self) -> dict[str, str]:
        """Return the code to be stored beside the model, by file name."""
        functions = {transform.FILE: self.prepared, estimators.FILE: self.function}
        metrics = {own_metrics.file(name): own.source for name, own in self.metrics.items()}
        return {file: function.source for file, function in functions.items() if function} | metrics

    def tags(self) -> dict[str, str]:
        """Return the tags of both the run and the version."""
        recipe = self.recipe
        return {
            **short_tags(
                recipe.candidate.name,
                recipe.dataset,
                recipe.split.cut,
                recipe.target,
                recipe.task,
                self.prepared,
            ),
            **({FUNCTION: self.function.version} if self.function else {}),
            **({own_metrics.VERSIONS: json.dumps(self._versions())} if self.metrics else {}),
        }

    def _versions(self) -> dict[str, str]:
        return {name: own.version for name, own in sorted(self.metrics.items())}

    def long_tags(self) -> dict[str, str]:
        """Return the tags that only the version gets."""
        recipe = self.recipe
        data = data_tags(recipe.dataset, recipe.features, recipe.split, self.prepared)
        return {RECIPE: recipe.model_dump_json(), **data}


def short_tags(
    candidate: str,
    dataset: DatasetVersion,
    until: datetime,
    target: str,
    task: str,
    prepared: transform.Transform | None,
) -> dict[str, str]:
    """Return the tags that say what a model was trained on, for both its run and its version.

    :param until: end of its training rows.
    :param prepared: what prepared the features; None if nothing did.
    """
    last = Partition.containing(until - timedelta(microseconds=1), dataset.grain)
    return {
        "mlops.candidate": candidate,
        "mlops.partition": dataset.partition,
        "mlops.dataset_digest": dataset.digest,
        "mlops.dataset_uri": dataset.uri,
        "mlops.dataset_version": str(dataset.version),
        "mlops.target": target,
        "mlops.task": task,
        "mlops.trained_through": last.key,
        **({"mlops.labels_version": str(dataset.labels.version)} if dataset.labels else {}),
        **({transform.VERSION_TAG: prepared.version} if prepared else {}),
    }


def data_tags(
    dataset: DatasetVersion, features: Features, split: Split, prepared: transform.Transform | None
) -> dict[str, str]:
    """Return the tags that name a version's data; only versions get them."""
    # A tag of a run holds 8,000 characters; the columns of a wide table need more.
    return {
        "mlops.dataset": dataset.model_dump_json(),
        "mlops.features": features.model_dump_json(),
        "mlops.split": split.model_dump_json(),
        **({transform.DIGEST_TAG: prepared.digest} if prepared else {}),
    }


def trained_facts(version_tags: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts of a training that its version keeps, beside dataset and split.

    :raises ModelNotFound: if they are damaged.
    """
    with damage.errors("How a version was trained", ModelNotFound):
        return dict(json.loads(version_tags[TRAINED]))


def searched(client: Client, model: str) -> dict[str, int]:
    """Return how many trials each search of a model did that time cut short, by the identity of its job.

    :raises RegistryUnavailable: if MLflow does not answer.
    :raises ModelNotFound: if such a tag is damaged.
    """
    tags = [version.tags.get(SEARCHED) for version in registry.versions(client) if version.name == model]
    with damage.errors(f"The tag {SEARCHED} of a version of {model!r}", ModelNotFound):
        return dict(json.loads(text) for text in tags if text)
