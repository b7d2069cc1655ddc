"""Offer: a recalibration of the champion beside the candidates of a training, where its calibration has asked for one."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from airflow_mlops.domain.facts.recipe import RECALIBRATION
from airflow_mlops.exceptions import (
    ModelNotFound,
    NotEnoughData,
    SchemaMismatch,
    TrainingFailed,
    TransformFailed,
    UntrustedModel,
)
from airflow_mlops.stages.train import jobs, recalibration, train

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
        identity = f"{key}/{RECALIBRATION}/{jobs.Job.of(recipe).identity()}"
        return train.train_candidate(
            recipe, client=client, key=identity, tags=tags, artifacts=artifacts, pictures=False
        )
    except _IMPOSSIBLE as error:
        log.warning("The champion is not recalibrated: %s", error)
        return None
