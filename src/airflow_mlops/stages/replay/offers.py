"""What a replay offers beside the candidates: the champion with refitted probabilities, and a constant for one that fails."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from airflow_mlops.domain.facts.recipe import CONSTANT, TrainingConfig
from airflow_mlops.domain.facts.results import ModelRef, TrainedModel
from airflow_mlops.domain.facts.retraining import RetrainDecision
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.stages.replay.cache import cached, key_of
from airflow_mlops.stages.replay.planning import ReplayPlan
from airflow_mlops.stages.train import jobs, offer
from airflow_mlops.stages.train.recipe import recipe_of
from airflow_mlops.stages.train.split import split_of


def beside(
    plan: ReplayPlan, place: int, retrain: RetrainDecision, champion: ModelRef | None, spec: ModelSpec
) -> list[TrainedModel]:
    """Return what a training offers beside its candidates, computed once for all policies; none if nothing is due, or possible.

    :param spec: that of a policy, by which candidates are trained.
    :raises NotEnoughData: if there are too few rows to train or to judge on.
    """
    offers = {
        "recalibrated": (retrain.recalibrates, offer.recalibrated),
        "constant": (bool(retrain.failing) and CONSTANT in spec.gates.fallback, offer.constant),
    }
    due = {kind: make for kind, (asked_for, make) in offers.items() if asked_for}
    if champion is None or not due:
        return []
    dataset = plan.datasets[place]
    bounds = split_of(dataset, spec.train.holdout, spec.train.window, spec.labels.delay)
    ours = recipe_of(TrainingConfig.of(spec), dataset, bounds, spec.train.candidates[0], spec.name)
    key = key_of(champion.digest, jobs.Job.of(ours).identity())

    def computed(make: Callable[..., TrainedModel | None]) -> dict[str, Any]:
        made = make(plan.client(), champion, ours, key=key, tags={})
        return made.to_dict() if made else {}

    kept = [cached(plan.folder, kind, key, partial(computed, make)) for kind, make in due.items()]
    return [TrainedModel.from_dict(facts) for facts in kept if facts]
