"""Stages of a replay: what the tasks of the loop do in one partition, by the same functions and without Airflow.

Nothing is written outside of the folder of the replay: it has an MLflow and tables of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from time import monotonic
from typing import Any

from airflow_mlops.domain.facts.question import Question
from airflow_mlops.domain.facts.recipe import Recipe, TrainingConfig
from airflow_mlops.domain.facts.results import (
    DatasetVersion,
    Evaluation,
    HealthReport,
    ModelRef,
    Split,
    TrainedModel,
)
from airflow_mlops.domain.facts.retraining import RetrainDecision, TrainableRows
from airflow_mlops.domain.spec.decision import COST
from airflow_mlops.domain.spec.model import ModelSpec
from airflow_mlops.exceptions import (
    BlessingFailed,
    LeakedRows,
    MetricFailed,
    NotEnoughData,
    SchemaMismatch,
    TrainingFailed,
    TransformFailed,
    UntrustedModel,
)
from airflow_mlops.learning.labels import labelled, weights
from airflow_mlops.learning.labels.join import Truth
from airflow_mlops.learning.models import classes, models, own_metrics, pipeline, thresholds, transform
from airflow_mlops.learning.statistics import measures
from airflow_mlops.stages.evaluate import evaluate
from airflow_mlops.stages.monitor import health
from airflow_mlops.stages.performance import performance
from airflow_mlops.stages.replay import drifted, offers
from airflow_mlops.stages.replay.cache import cached, key_of, locked
from airflow_mlops.stages.replay.planning import ReplayPlan, client
from airflow_mlops.stages.score import score
from airflow_mlops.stages.train import former, jobs, train
from airflow_mlops.stages.train.recipe import recipe_of
from airflow_mlops.stages.train.split import split_of

REFUSALS = (
    BlessingFailed,
    LeakedRows,
    MetricFailed,
    NotEnoughData,
    SchemaMismatch,
    TrainingFailed,
    TransformFailed,
    UntrustedModel,
)
"""Errors that no retry can help: in the loop they fail the run, and the champion stays."""


def split(plan: ReplayPlan, place: int, spec: ModelSpec | None = None) -> tuple[Split | None, str | None]:
    """Return the rows to train on and to judge on as of a partition, or why there are too few.

    :param spec: of the policy, whose window may differ; None for the plan's.
    """
    spec, dataset = spec or plan.spec, plan.datasets[place]
    settings = (spec.train.holdout, spec.train.window, spec.labels.delay)

    def compute() -> dict[str, Any]:
        try:
            return {"split": split_of(dataset, *settings).to_dict(), "shortage": None}
        except NotEnoughData as error:
            return {"split": None, "shortage": str(error)}

    key = key_of(_content(dataset), *settings[:2], spec.labels.delay.total_seconds())
    kept = cached(plan.folder, "split", key, compute)
    return (Split.from_dict(kept["split"]) if kept["split"] else None), kept["shortage"]


def trainable(plan: ReplayPlan, place: int, spec: ModelSpec | None = None) -> TrainableRows:
    """Return what a training as of a partition would learn from; ``spec`` as for :func:`split`."""
    bounds, shortage = split(plan, place, spec)
    return TrainableRows(bounds.cut if bounds else None, shortage)


def trained(plan: ReplayPlan, place: int, spec: ModelSpec | None = None) -> list[TrainedModel]:
    """Train every candidate as of a partition, once for all policies with the same window.

    :param spec: of the policy, whose window may differ; None for the plan's.
    :raises NotEnoughData: if there are too few rows.
    :raises TrainingFailed: if a candidate cannot be fitted; and as :func:`airflow_mlops.stages.train.train.train`.
    """
    spec, dataset = spec or plan.spec, plan.datasets[place]
    bounds, shortage = split(plan, place, spec)
    if bounds is None:
        raise NotEnoughData(f"{dataset.partition}: {shortage}")
    config = TrainingConfig.of(spec)
    return [
        _trained(plan, recipe_of(config, dataset, bounds, candidate, spec.name))
        for candidate in spec.train.candidates
    ]


def candidates(
    plan: ReplayPlan, place: int, retrain: RetrainDecision, champion: ModelRef | None, spec: ModelSpec
) -> list[TrainedModel]:
    """Train every candidate and what is offered beside them, or hand out what is judged again; ``spec`` as for :func:`split`.

    :raises TrainingFailed: as :func:`trained`, whose other errors are raised here too.
    """
    if retrain.again is None or retrain.version is None:
        beside = offers.beside(plan, place, retrain, champion, spec)
        return [*beside, *trained(plan, place, spec)]
    delay, dataset = plan.spec.labels.delay, plan.datasets[place]
    return [former.hand_out(plan.client(), plan.spec.name, retrain.version, dataset=dataset, delay=delay)]


def _trained(plan: ReplayPlan, recipe: Recipe) -> TrainedModel:
    identity = jobs.Job.of(recipe).identity()
    if (trials := plan.searched.get(identity)) is not None:
        recipe = recipe.model_copy(update={"searched": trials})
        identity = jobs.Job.of(recipe).identity()

    def compute() -> dict[str, Any]:
        return train.train_candidate(
            recipe, client=plan.client(), key=identity, tags={}, pictures=False
        ).to_dict()

    return TrainedModel.from_dict(cached(plan.folder, "trained", identity, compute))


def evaluated(
    plan: ReplayPlan,
    spec: ModelSpec,
    place: int,
    candidates: Sequence[TrainedModel],
    champion: ModelRef | None,
    retrain: RetrainDecision | None = None,
) -> tuple[Evaluation, float]:
    """Judge the best candidate beside the champion by the gates of a spec, and return the evaluation and its seconds.

    :param retrain: the decision that has led here; None if the gates ask for nothing of it.
    """
    dataset = plan.datasets[place]
    # The drift policy weighs columns by the data of this picture.
    pictures = spec.monitor.drift.weights == "importance"

    def compute() -> dict[str, Any]:
        # Under several policies the same candidates are judged beside other champions, and each writes to their run in MLflow.
        # What is offered beside them comes first, and is for one champion.
        with locked(plan.folder, f"candidates-{candidates[-1].version}"):
            began = monotonic()
            evaluation = evaluate.evaluate_candidates(
                candidates,
                client=plan.client(),
                dataset=dataset,
                champion=champion,
                gates=spec.gates,
                retrain=retrain,
                pictures=pictures,
                # Nobody serves what a replay trains, and a fresh process takes seconds to start.
                fresh=False,
            )
            return {"evaluation": evaluation.to_dict(), "seconds": round(monotonic() - began, 3)}

    against = champion.digest if champion else None
    # A digest alone will not do: neither the metric of the ranking nor the end of the holdout changes a model's bytes.
    ours = [(model.version, model.digest, model.metric, model.split.to_dict()) for model in candidates]
    judged = ours, against, spec.gates.to_dict(), _content(dataset)
    # What a policy knows of its champion is part of what is judged, where the gates ask for it.
    key = key_of(*judged, *(["pictures"] if pictures else []), *_known(retrain))
    kept = cached(plan.folder, "evaluated", key, compute)
    return Evaluation.from_dict(kept["evaluation"]), kept["seconds"]


def _known(retrain: RetrainDecision | None) -> list[Any]:
    """Return what the decision before a training knows of the champion and the candidate; nothing if the gates do not ask."""
    if retrain is None:
        return []
    evidence = retrain.evidence and retrain.evidence.to_dict()
    return [fact for fact in (retrain.failing, evidence, retrain.again) if fact]


def monitored(
    plan: ReplayPlan,
    spec: ModelSpec,
    place: int,
    champion: ModelRef | None,
    policy: str,
    reports: Sequence[HealthReport] = (),
) -> HealthReport:
    """Score a partition, and judge drift, performance and age as of it.

    :param policy: folder of the policy's own tables: performance is judged on the policy's own predictions.
    :param reports: on the health of earlier partitions under the policy.
    """
    dataset = plan.datasets[place]
    score.score(
        plan.client(),
        model=spec.name,
        dataset=dataset,
        champion=champion,
        task=spec.task.value,
        uri=plan.uri(policy, "predictions"),
    )
    compared = drifted.compared(plan, spec.monitor.drift, place, champion, policy, reports)
    measured = performance.performance(
        plan.client(),
        truth=Truth(dataset, Question.of(spec), plan.labels[0].uri if plan.labels else None),
        champion=champion,
        policy=spec.monitor.performance,
        predictions_uri=plan.uri(policy, "predictions"),
        performance_uri=plan.uri(policy, "performance"),
        # No rule of a policy looks at them.
        estimated=False,
    )
    return health.health(
        model=spec.name,
        dataset=dataset,
        champion=champion,
        drift=compared[0],
        columns=compared[1:],
        performance=measured.check,
        metrics=measured.metrics,
        others=measured.others,
        staleness=spec.monitor.staleness,
    )


@own_metrics.scoped(lambda plan, *_: Question.of(plan.spec))
def quality(plan: ReplayPlan, place: int, version: ModelRef) -> dict[str, float | None]:
    """Return the metrics of a version on all labels of a partition, which nobody could know at that time.

    :return: an empty dict if the partition has no labels.
    :raises TransformFailed: if its features were prepared by other code than the version learned from.
    :raises SchemaMismatch: if a feature is missing.
    """
    spec, dataset = plan.spec, plan.in_hindsight(place)

    def compute() -> dict[str, float | None]:
        transform.check_scoring(plan.client(), dataset, version)
        rows = labelled.read(dataset, partition=dataset.partition)
        fitted = _loaded(plan.tracking, version)
        names = classes.of(fitted).names
        labelled_rows, truth = pipeline.labelled(rows, spec.target, spec.task.value, names)
        if not labelled_rows.num_rows:
            return {}
        predicted = models.predict(fitted, labelled_rows, spec.task.value)
        named = [spec.metric.name, *([COST] if costs else [])]
        rule = thresholds.of(fitted, costs=Question.of(spec).costs_of(names))
        weighed = weights.of(labelled_rows, spec.train.weights, dataset.key)
        return measures.metrics(truth, predicted, spec.task.value, named, rule=rule, weights=weighed)

    costs = spec.decision.costs if spec.decision else None
    counted = [*([costs.to_dict()] if costs else []), *([spec.train.weights] if spec.train.weights else [])]
    key = key_of(version.digest, _content(dataset), spec.target, *counted)
    metrics: dict[str, float | None] = cached(plan.folder, "quality", key, compute)
    return metrics


def _content(dataset: DatasetVersion) -> dict[str, Any]:
    return labelled.content(dataset).to_dict()


@lru_cache(maxsize=2)
def _loaded(tracking: str, version: ModelRef) -> Any:
    return models.load_version(client(tracking), version)
