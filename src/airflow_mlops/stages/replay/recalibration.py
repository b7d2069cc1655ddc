"""The recalibration of a champion in a replay."""

from __future__ import annotations

from typing import Any

from airflow_mlops.domain.facts.recipe import TrainingConfig
from airflow_mlops.domain.facts.results import ModelRef, TrainedModel
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.stages.replay.cache import cached, key_of
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stages.train import jobs, offer
from airflow_mlops.stages.train.recipe import recipe_of
from airflow_mlops.stages.train.split import split_of


def of(
    plan: ReplayPlan, place: int, champion: ModelRef | None, spec: ModelSpec | None = None
) -> list[TrainedModel]:
    """Return a champion with refitted probabilities, computed once for all policies; none if that is not possible.

    :param spec: that of a policy, by which candidates are trained; None for that of the replay.
    :raises NotEnoughData: if there are too few rows to train or to judge on.
    """
    if champion is None:
        return []
    spec, dataset = spec or plan.spec, plan.datasets[place]
    bounds = split_of(dataset, spec.train.holdout, spec.train.window, spec.labels.delay)
    ours = recipe_of(TrainingConfig.of(spec), dataset, bounds, spec.train.candidates[0], spec.name)
    key = key_of(champion.digest, jobs.Job.of(ours).identity())

    def compute() -> dict[str, Any]:
        offered = offer.recalibrated(plan.client(), champion, ours, key=key, tags={})
        return offered.to_dict() if offered else {}

    kept = cached(plan.folder, "recalibrated", key, compute)
    return [TrainedModel.from_dict(kept)] if kept else []
