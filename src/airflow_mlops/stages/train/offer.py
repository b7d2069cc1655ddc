"""Offers beside the candidates of a training: the champion with refitted probabilities, and a constant for one that fails."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.recipe import CONSTANT, RECALIBRATION
from airflow_mlops.domain.spec.candidates import Candidate
from airflow_mlops.exceptions import (
    ModelNotFound,
    NotEnoughData,
    SchemaMismatch,
    TrainingFailed,
    TransformFailed,
    UntrustedModel,
)
from airflow_mlops.stages.train import jobs, recalibration, train
from airflow_mlops.stores.registry import registry

if TYPE_CHECKING:
    from airflow_mlops.domain.facts.recipe import Recipe
    from airflow_mlops.domain.facts.results import ModelRef, TrainedModel
    from airflow_mlops.stores.registry.client import Client

log = logging.getLogger(__name__)

_IMPOSSIBLE = (
    ModelNotFound,
    NotEnoughData,
    SchemaMismatch,
    TrainingFailed,
    TransformFailed,
    UntrustedModel,
)
_CONSTANTS = {
    "classification": ("sklearn.dummy.DummyClassifier", "prior"),
    "regression": ("sklearn.dummy.DummyRegressor", "mean"),
}


def recalibrated(
    client: Client,
    champion: ModelRef | None,
    ours: Recipe,
    *,
    key: str,
    tags: Mapping[str, str],
    artifacts: str | None = None,
) -> TrainedModel | None:
    """Register the champion with refitted probabilities; None if that is not possible, and the log says why.

    The candidates of the training are there in any case, so that nothing fails with it.

    :param ours: a recipe of the training, of any candidate.
    :param key: of the run; what identifies the recalibration is added.
    :param tags: further tags of the run and the version.
    :param artifacts: see :func:`airflow_mlops.stores.registry.tracking.experiment`.
    :raises DigestMismatch: if the champion's bytes are not those that were trained.
    :raises RegistryUnavailable: if MLflow does not answer.
    """
    if champion is None:
        return None
    try:
        recipe = recalibration.recipe_of(client, champion, ours)
        return _registered(client, recipe, f"{key}/{RECALIBRATION}", tags, artifacts)
    except _IMPOSSIBLE as error:
        log.warning("The champion is not recalibrated: %s", error)
        return None


def constant(
    client: Client,
    champion: ModelRef | None,
    ours: Recipe,
    *,
    key: str,
    tags: Mapping[str, str],
    artifacts: str | None = None,
) -> TrainedModel | None:
    """Register the constant that may take the place of a champion that fails; None if that is one, or it is not possible.

    It predicts the mean, or the share of each class, of the labels of the longest window, each row counting by its weight alone.

    :param ours: a recipe of the training, as ``key``, ``tags``, ``artifacts`` and errors as for :func:`recalibrated`.
    """
    if champion is None:
        return None
    estimator, strategy = _CONSTANTS[ours.task]
    recipe = ours.model_copy(
        update={
            "candidate": Candidate(name=CONSTANT, estimator=estimator, params={"strategy": strategy}),
            "class_weight": None,
            "constant": True,
            "ranked": False,
            "starts": {},
        }
    )
    try:
        if not champion.is_external and registry.training(client, champion).constant:
            log.info("Version %s is a constant already.", champion.version)
            return None
        return _registered(client, recipe, f"{key}/{CONSTANT}", tags, artifacts)
    except _IMPOSSIBLE as error:
        log.warning("There is no constant to fall back to: %s", error)
        return None


def _registered(
    client: Client, recipe: Recipe, key: str, tags: Mapping[str, str], artifacts: str | None
) -> TrainedModel:
    identity = f"{key}/{jobs.Job.of(recipe).identity()}"
    return train.train_candidate(
        recipe, client=client, key=identity, tags=tags, artifacts=artifacts, pictures=False
    )
