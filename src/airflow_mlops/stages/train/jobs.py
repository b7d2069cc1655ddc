"""Jobs: a recipe and its code, and the tags that describe both on a run and on a version."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from airflow_mlops.domain.partitions import Partition
from airflow_mlops.exceptions import ModelNotFound
from airflow_mlops.learning.labels import labelled
from airflow_mlops.learning.models import code, estimators, own_metrics, transform
from airflow_mlops.stores import damage
from airflow_mlops.stores.registry import registry

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.stores.registry.client import Client

RECIPE = "mlops.recipe"
"""Tag of versions: the :class:`~airflow_mlops.domain.facts.recipe.Recipe`, from which the version can be trained again."""
FUNCTION = "mlops.function"
"""Tag of runs and versions: what built the estimator, as ``module:function@digest``; none if a class was named."""
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

    def cut_tags(self, trials: int) -> dict[str, str]:
        """Return the tags of a version whose search time cut short, for :func:`searched`."""
        return {**self.after(trials).long_tags(), SEARCHED: json.dumps([self.identity(), trials])}

    def sources(self) -> dict[str, str]:
        """Return the code to be stored beside the model, by file name."""
        functions = {transform.FILE: self.prepared, estimators.FILE: self.function}
        metrics = {own_metrics.file(name): own.source for name, own in self.metrics.items()}
        return {file: function.source for file, function in functions.items() if function} | metrics

    def tags(self) -> dict[str, str]:
        """Return the tags of both the run and the version."""
        dataset = self.recipe.dataset
        last = Partition.containing(self.recipe.split.cut - timedelta(microseconds=1), dataset.grain)
        return {
            "mlops.candidate": self.recipe.candidate.name,
            "mlops.partition": dataset.partition,
            "mlops.dataset_digest": dataset.digest,
            "mlops.dataset_uri": dataset.uri,
            "mlops.dataset_version": str(dataset.version),
            "mlops.target": self.recipe.target,
            "mlops.task": self.recipe.task,
            "mlops.trained_through": last.key,
            **({"mlops.labels_version": str(dataset.labels.version)} if dataset.labels else {}),
            **({transform.VERSION_TAG: self.prepared.version} if self.prepared else {}),
            **({FUNCTION: self.function.version} if self.function else {}),
            **({own_metrics.VERSIONS: json.dumps(self._versions())} if self.metrics else {}),
        }

    def _versions(self) -> dict[str, str]:
        return {name: own.version for name, own in sorted(self.metrics.items())}

    def long_tags(self) -> dict[str, str]:
        """Return the tags that only the version gets."""
        # A tag of a run holds 8,000 characters; the columns of a wide table need more.
        return {
            RECIPE: self.recipe.model_dump_json(),
            "mlops.dataset": self.recipe.dataset.model_dump_json(),
            "mlops.features": self.recipe.features.model_dump_json(),
            "mlops.split": self.recipe.split.model_dump_json(),
            **({transform.DIGEST_TAG: self.prepared.digest} if self.prepared else {}),
        }


def searched(client: Client, model: str) -> dict[str, int]:
    """Return how many trials each search of a model did that time cut short, by the identity of its job.

    :raises RegistryUnavailable: if MLflow does not answer.
    :raises ModelNotFound: if such a tag is damaged.
    """
    tags = [version.tags.get(SEARCHED) for version in registry.versions(client) if version.name == model]
    with damage.errors(f"The tag {SEARCHED} of a version of {model!r}", ModelNotFound):
        return dict(json.loads(text) for text in tags if text)
